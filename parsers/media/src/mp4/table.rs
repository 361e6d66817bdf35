//! Sample tables of one track, kept compact while the file is written: ISO/IEC 14496-12 clauses 8.6.1, 8.7.
//!
//! Four bytes for the size, at most eight for the time (runs of equal durations are one entry), four for a key
//! sample, sixteen for a chunk.

use mp4_atom::BufMut as _;

use super::{MAX_DELTA_TICKS, MuxError};

/// A run of samples in the file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    offset: u64,
    samples: u32,
}

/// Sizes, times, key samples and places of the samples of a track.
#[derive(Debug, Default)]
pub(super) struct SampleTable {
    sizes: Vec<u32>,
    /// (samples, duration of each).
    durations: Vec<(u32, u32)>,
    /// Numbers of the samples decoding can start at, from 1.
    keys: Vec<u32>,
    chunks: Vec<Chunk>,
    /// Samples not yet in a chunk.
    open: u32,
    first: Option<i64>,
    last: i64,
    duration: u64,
}

impl SampleTable {
    /// Number of samples.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }

    /// Time of the first sample.
    pub(super) const fn first_tick(&self) -> Option<i64> {
        self.first
    }

    /// Time of the last sample; meaningless without one.
    pub(super) const fn last_tick(&self) -> i64 {
        self.last
    }

    /// Sum of the durations; complete after [`end`](Self::end).
    pub(super) const fn duration(&self) -> u64 {
        self.duration
    }

    /// Whether one more sample at `tick` can be taken in; gives the duration of the sample before it, `None` for the
    /// first.
    pub(super) fn check_time(&self, tick: i64) -> Result<Option<u32>, MuxError> {
        if self.first.is_none() {
            return Ok(None);
        }
        if self.len() == u32::MAX {
            return Err(MuxError::TooMany);
        }
        if tick <= self.last {
            return Err(MuxError::Time { tick, previous: self.last });
        }
        let delta = tick.checked_sub(self.last).unwrap_or(i64::MAX);
        let duration = u32::try_from(delta).ok().filter(|&delta| delta <= MAX_DELTA_TICKS);
        duration.map(Some).ok_or(MuxError::Gap(delta))
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, size: u32, key: bool, tick: i64) -> Result<(), MuxError> {
        let duration = self.check_time(tick)?;
        match duration {
            Some(duration) => self.add_duration(duration),
            None => self.first = Some(tick),
        }
        self.last = tick;
        self.sizes.push(size);
        self.open = self.open.saturating_add(1);
        if key {
            self.keys.push(self.len());
        }
        Ok(())
    }

    /// Gives the last sample its duration.
    pub(super) fn end(&mut self, last_duration: u32) {
        if self.first.is_some() {
            self.add_duration(last_duration);
        }
    }

    /// The samples since the last chunk lie at `offset` in the file.
    pub(super) fn close_chunk(&mut self, offset: u64) {
        if self.open > 0 {
            self.chunks.push(Chunk { offset, samples: self.open });
            self.open = 0;
        }
    }

    fn add_duration(&mut self, duration: u32) {
        self.duration = self.duration.saturating_add(u64::from(duration));
        match self.durations.last_mut() {
            Some((samples, same)) if *same == duration => *samples = samples.saturating_add(1),
            _ => self.durations.push((1, duration)),
        }
    }

    /// The boxes `stts`, `stss` (unless every sample is a key sample), `stsc`, `stsz`, `stco` or `co64`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> mp4_atom::Result<()> {
        full_box(out, b"stts", self.durations.len(), |out| {
            for (samples, duration) in &self.durations {
                put(out, *samples);
                put(out, *duration);
            }
        })?;
        if self.keys.len() < self.sizes.len() {
            full_box(out, b"stss", self.keys.len(), |out| put_all(out, &self.keys))?;
        }
        let runs = self.chunk_runs();
        full_box(out, b"stsc", runs.len(), |out| {
            for (first_chunk, samples) in &runs {
                put(out, *first_chunk);
                put(out, *samples);
                put(out, 1); // sample description
            }
        })?;
        out.encode_atom(b"stsz", |out| {
            put(out, 0); // version and flags
            put(out, 0); // no common size
            put(out, self.len());
            put_all(out, &self.sizes);
            Ok(())
        })?;
        self.encode_offsets(out)
    }

    /// (number of the first chunk, samples in it and in those after it).
    fn chunk_runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (number, chunk) in (1u32..).zip(&self.chunks) {
            if runs.last().is_none_or(|(_, samples)| *samples != chunk.samples) {
                runs.push((number, chunk.samples));
            }
        }
        runs
    }

    fn encode_offsets(&self, out: &mut Vec<u8>) -> mp4_atom::Result<()> {
        let small: Option<Vec<u32>> =
            self.chunks.iter().map(|chunk| u32::try_from(chunk.offset).ok()).collect();
        match small {
            Some(offsets) => full_box(out, b"stco", offsets.len(), |out| put_all(out, &offsets)),
            None => full_box(out, b"co64", self.chunks.len(), |out| {
                for chunk in &self.chunks {
                    out.extend_from_slice(&chunk.offset.to_be_bytes());
                }
            }),
        }
    }
}

/// A box of version 0 without flags that begins with its number of entries.
fn full_box(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    entries: usize,
    body: impl FnOnce(&mut Vec<u8>),
) -> mp4_atom::Result<()> {
    let entries = u32::try_from(entries).map_err(|_| mp4_atom::Error::TooLarge(kind.into()))?;
    out.encode_atom(kind, |out| {
        put(out, 0);
        put(out, entries);
        body(out);
        Ok(())
    })
}

fn put(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_all(out: &mut Vec<u8>, values: &[u32]) {
    out.reserve(values.len().saturating_mul(4));
    for value in values {
        put(out, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::SampleTable;

    fn encoded(table: &SampleTable) -> Vec<u8> {
        let mut out = Vec::new();
        table.encode(&mut out).unwrap();
        out
    }

    fn has(bytes: &[u8], kind: &[u8; 4]) -> bool {
        bytes.windows(4).any(|window| window == kind)
    }

    /// A clip may be larger than 4 GiB.
    #[test]
    fn chunks_beyond_four_gibibytes_have_long_offsets() {
        let mut table = SampleTable::default();
        table.push(9, true, 0).unwrap();
        table.close_chunk(u64::from(u32::MAX));
        assert!(has(&encoded(&table), b"stco"));
        table.push(9, true, 1).unwrap();
        table.close_chunk(u64::from(u32::MAX) + 1);
        let boxes = encoded(&table);
        assert!(has(&boxes, b"co64") && !has(&boxes, b"stco"));
        assert!(boxes.ends_with(&[0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 0]));
    }

    #[test]
    fn equal_durations_are_one_entry_and_key_samples_are_listed_only_among_others() {
        let mut table = SampleTable::default();
        for tick in [5, 45, 85, 125, 225] {
            table.push(1, true, tick).unwrap();
        }
        table.end(40);
        table.close_chunk(0);
        let boxes = encoded(&table);
        let stts = [3u32, 40, 1, 100, 1, 40].map(u32::to_be_bytes).concat();
        assert_eq!(boxes.get(12..40), Some([&[0, 0, 0, 3][..], &stts].concat().as_slice()));
        assert!(!has(&boxes, b"stss"));
        assert_eq!(table.duration(), 260);
        table.push(1, false, 300).unwrap();
        assert!(has(&encoded(&table), b"stss"));
    }
}
