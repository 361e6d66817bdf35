//! Going on with a set after its writer was killed or the power failed.
//!
//! A checkpoint is believed only as far as the files bear it out: the segments before it end with `next`, the start of its own
//! segment is what this set's plan, texts and facts give, and every checksum of its last group is right. What stands after it is
//! removed: it was written by the run that died, and the medium is read again from there.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use libdeflater::Decompressor;

use super::{
    error::EwfError,
    header::{CaseText, SetFacts},
    names,
    plan::Plan,
    section::{self, COMPRESSED, DESCRIPTOR_BYTES, Kind},
    segment::{Segment, read},
    writer::{Checkpoint, EwfWriter, Group, Set},
};
use crate::raw::{FileError, positioned};

impl EwfWriter {
    /// Continues a set at `checkpoint`, with the plan, texts and facts that it was begun with. The last segment is cut to the
    /// checkpoint and later segments of this set are removed; nothing is touched before everything has been checked.
    ///
    /// # Errors
    /// When the files are not those that the checkpoint was made of, or cannot be read or cut.
    pub fn resume(
        folder: &Path,
        stem: &str,
        plan: &Plan,
        text: &CaseText,
        facts: &SetFacts,
        checkpoint: &Checkpoint,
    ) -> Result<Self, EwfError> {
        let set = Set::new(folder, stem, plan, facts);
        let path = set.path(checkpoint.segment)?;
        let number = u16::try_from(checkpoint.segment)
            .map_err(|_| EwfError::Segments(checkpoint.segment))?;
        let mut segment = Segment::open(number, path, checkpoint.length)?;
        let earlier_bytes = set.check_earlier(checkpoint.segment)?;
        set.check_start(&segment, text, facts)?;
        set.check_checkpoint(&segment, checkpoint)?;
        let later = set.later_segments(checkpoint.segment)?;
        remove(&later)?;
        segment.cut(set.direct)?;
        positioned::sync_folder(folder).map_err(FileError::new(
            "sync the folder of",
            &segment.path,
            0,
        ))?;
        Ok(Self::at(set, segment, checkpoint.chunks, checkpoint.group, earlier_bytes))
    }
}

impl Set {
    /// Bytes of the segments before `last`, each of which must be complete.
    fn check_earlier(&self, last: u32) -> Result<u64, EwfError> {
        let mut bytes = 0u64;
        for number in 1..last {
            let path = self.path(number)?;
            let file = File::open(&path).map_err(FileError::new("open", &path, 0))?;
            let len = file.metadata().map_err(FileError::new("examine", &path, 0))?.len();
            let end = len.saturating_sub(DESCRIPTOR_BYTES);
            if read(&file, &path, end, DESCRIPTOR_BYTES)? != section::terminal(Kind::Next, end) {
                return Err(EwfError::resume(
                    &path,
                    "the segment does not end with its next section",
                ));
            }
            bytes = bytes.saturating_add(len);
        }
        Ok(bytes)
    }

    /// The segment begins with the headers of this set.
    fn check_start(
        &self,
        segment: &Segment,
        text: &CaseText,
        facts: &SetFacts,
    ) -> Result<(), EwfError> {
        let head = match segment.number {
            1 => self.first_head(text, facts),
            number => self.later_head(number),
        };
        let len = segment.length_on_disk()?;
        if len < segment.length() || segment.length() < head.len() as u64 {
            let why = format!("{len} bytes are there, the checkpoint says {}", segment.length());
            return Err(EwfError::resume(&segment.path, why));
        }
        if segment.read(0, head.len() as u64)? != head {
            return Err(EwfError::resume(
                &segment.path,
                "its headers are not those of this acquisition",
            ));
        }
        Ok(())
    }

    /// The last group reaches to the checkpoint and its checksums are right.
    fn check_checkpoint(&self, segment: &Segment, checkpoint: &Checkpoint) -> Result<(), EwfError> {
        let Some(group) = checkpoint.group else {
            return match checkpoint.chunks {
                0 => Ok(()),
                _ => Err(EwfError::resume(&segment.path, "the checkpoint names no group")),
            };
        };
        let tables = section::table_bytes(u64::from(group.entries)).saturating_mul(2);
        let end = segment.length().saturating_sub(tables);
        let entries = self.read_entries(segment, group, end)?;
        let sectors =
            section::descriptor(Kind::Sectors, group.start, end.saturating_sub(group.start));
        if segment.read(group.start, DESCRIPTOR_BYTES)? != sectors {
            return Err(EwfError::resume(
                &segment.path,
                format!("no sectors section at {}", group.start),
            ));
        }
        let first = checkpoint.chunks.checked_sub(u64::from(group.entries));
        let first = first.filter(|_| checkpoint.chunks <= u64::from(self.plan.chunks()));
        let first = first.ok_or_else(|| {
            EwfError::resume(&segment.path, "the checkpoint counts chunks wrongly")
        })?;
        ChunkCheck { set: self, segment, decompressor: Decompressor::new(), plain: Vec::new() }
            .run(group, &entries, end, first)
    }

    /// The entries of the last group, from two equal tables at `at`.
    fn read_entries(&self, segment: &Segment, group: Group, at: u64) -> Result<Vec<u32>, EwfError> {
        let wrong = || EwfError::resume(&segment.path, format!("the tables at {at} are not whole"));
        let tables = segment.length().saturating_sub(at);
        let in_order = group.entries <= self.plan.group_entries() && at > group.start;
        if group.entries == 0 || !in_order {
            return Err(wrong());
        }
        let found = segment.read(at, tables)?;
        let from = usize::try_from(DESCRIPTOR_BYTES).unwrap_or(0).saturating_add(24);
        let words = found.get(from..).unwrap_or_default().as_chunks().0.iter();
        let count = usize::try_from(group.entries).unwrap_or(0);
        let entries: Vec<u32> = words.map(|word| u32::from_le_bytes(*word)).take(count).collect();
        if self.tables(group.start, at, &entries) != found {
            return Err(wrong());
        }
        Ok(entries)
    }

    /// Segments after `last` that this set's dead writer left. A file under such a name that is not of this set stops everything.
    fn later_segments(&self, last: u32) -> Result<Vec<PathBuf>, EwfError> {
        let listing =
            fs::read_dir(&self.folder).map_err(FileError::new("list", &self.folder, 0))?;
        let mut later = Vec::new();
        for entry in listing {
            let path = entry.map_err(FileError::new("list", &self.folder, 0))?.path();
            let stem = path.file_stem().is_some_and(|stem| stem == self.stem.as_str());
            let number = path.extension().and_then(|e| e.to_str()).and_then(names::number);
            if let Some(number) = number.filter(|number| stem && *number > last) {
                self.check_later(&path, number)?;
                later.push(path);
            }
        }
        Ok(later)
    }

    /// The file begins as segment `number` of this set, as far as a power loss let it: it may be short, or zeros.
    fn check_later(&self, path: &Path, number: u32) -> Result<(), EwfError> {
        let file = File::open(path).map_err(FileError::new("open", path, 0))?;
        let len = file.metadata().map_err(FileError::new("examine", path, 0))?.len();
        let head = self.later_head(u16::try_from(number).map_err(|_| EwfError::Segments(number))?);
        let found = read(&file, path, 0, len.min(head.len() as u64))?;
        if !head.starts_with(&found) && found.iter().any(|byte| *byte != 0) {
            return Err(EwfError::resume(path, "the file is in the way and not of this set"));
        }
        Ok(())
    }
}

/// Reads the chunks of a group and checks each.
struct ChunkCheck<'a> {
    set: &'a Set,
    segment: &'a Segment,
    decompressor: Decompressor,
    plain: Vec<u8>,
}

impl ChunkCheck<'_> {
    /// Checks the chunks of `group`, of which `first` is the number of the first in the medium.
    fn run(mut self, group: Group, entries: &[u32], end: u64, first: u64) -> Result<(), EwfError> {
        let base = if self.set.plan.absolute_offsets() { 0 } else { group.start };
        let place = |entry: &u32| base.saturating_add(u64::from(entry & !COMPRESSED));
        let ends = entries.iter().skip(1).map(place).chain(std::iter::once(end));
        for ((entry, end), index) in entries.iter().zip(ends).zip(first..) {
            let start = place(entry);
            let plain = self.set.plan.chunk_len(index);
            let len = end.checked_sub(start).filter(|len| *len <= plain.saturating_add(4));
            let good = match len {
                Some(len) => self.is_good(start, len, entry & COMPRESSED != 0, plain)?,
                None => false,
            };
            if !good {
                let why = format!("chunk {index} at byte {start} does not agree with its checksum");
                return Err(EwfError::resume(&self.segment.path, why));
            }
        }
        Ok(())
    }

    fn is_good(
        &mut self,
        start: u64,
        len: u64,
        deflated: bool,
        plain: u64,
    ) -> Result<bool, EwfError> {
        let bytes = self.segment.read(start, len)?;
        let plain = usize::try_from(plain).unwrap_or(0);
        if deflated {
            self.plain.resize(plain, 0);
            let done = self.decompressor.zlib_decompress(&bytes, &mut self.plain);
            return Ok(done.is_ok_and(|done| done == plain));
        }
        let Some((data, sum)) = bytes.split_last_chunk() else { return Ok(false) };
        Ok(data.len() == plain && section::adler(data).to_le_bytes() == *sum)
    }
}

fn remove(paths: &[PathBuf]) -> Result<(), EwfError> {
    for path in paths {
        fs::remove_file(path).map_err(FileError::new("remove", path, 0))?;
    }
    Ok(())
}
