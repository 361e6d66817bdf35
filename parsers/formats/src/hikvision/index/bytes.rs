//! Bytes of index areas that may have holes in them, and numbers read from bytes.

use daleel_core::{Extent, ReadError, Source, Volume};

/// How finely a failing read is narrowed down: a sector. Holes that the source names are not narrowed down.
const FAILING_STEP_BYTES: usize = 512;

/// Bytes of a medium with the knowledge of which of them are not from it.
pub struct Patched {
    /// Where they lie; what reaches past the end of the source counts as lost.
    pub at: Extent,
    bytes: Vec<u8>,
    /// Ranges of the medium that could not be read, ascending.
    pub lost: Vec<Extent>,
}

impl Patched {
    /// Reads `at` as far as the source gives it. The caller bounds its length.
    pub fn read(source: &dyn Source, at: Extent) -> Self {
        let length = at.end().min(source.len()).saturating_sub(at.offset());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut lost = Vec::new();
        fill(source, at.offset(), &mut bytes, &mut lost);
        if let Some(beyond) = at.slice(length, at.len().saturating_sub(length))
            && !beyond.is_empty()
        {
            lost.push(beyond);
        }
        Self { at, bytes, lost }
    }

    /// `length` bytes from `start` of the area, or `None` when not all of them are from the medium.
    pub fn get(&self, start: u64, length: u64) -> Option<&[u8]> {
        let wanted = self.at.slice(start, length)?;
        let first = self.lost.partition_point(|lost| lost.end() <= wanted.offset());
        if self.lost.get(first).is_some_and(|lost| lost.intersection(wanted).is_some()) {
            return None;
        }
        self.padded(start, length)
    }

    /// As [`Patched::get`], with zeros where bytes are lost: for searching only.
    pub fn padded(&self, start: u64, length: u64) -> Option<&[u8]> {
        let from = usize::try_from(start).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(length).ok()?)?)
    }

    /// All bytes as far as the source reaches, with zeros where bytes are lost: for searching only.
    pub fn all(&self) -> &[u8] {
        &self.bytes
    }
}

fn fill(source: &dyn Source, offset: u64, buf: &mut [u8], lost: &mut Vec<Extent>) {
    let mut done = 0usize;
    loop {
        let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) else { return };
        let wanted = Extent::new(offset.saturating_add(done as u64), rest.len() as u64);
        let Err(error) = source.read_exact_at(wanted.offset(), rest) else { return };
        rest.fill(0);
        let hole = match error {
            ReadError::Hole { at, .. } => at.intersection(wanted),
            ReadError::Io { .. } => None,
        };
        match hole {
            Some(hole) => {
                let before = hole.offset().saturating_sub(wanted.offset());
                let before = usize::try_from(before).unwrap_or(0);
                if let Some(readable) = rest.get_mut(..before) {
                    fill(source, wanted.offset(), readable, lost);
                }
                lost.push(hole);
                let used = hole.end().saturating_sub(wanted.offset());
                done = done.saturating_add(usize::try_from(used).unwrap_or(usize::MAX));
            }
            None if rest.len() <= FAILING_STEP_BYTES => {
                lost.push(wanted);
                return;
            }
            None => {
                let half = (rest.len() / 2).next_multiple_of(FAILING_STEP_BYTES).min(rest.len());
                let (first, second) = rest.split_at_mut(half);
                fill(source, wanted.offset(), first, lost);
                fill(source, wanted.offset().saturating_add(half as u64), second, lost);
                return;
            }
        }
    }
}

/// Offsets in the volume at which `needle` stands `shift` bytes into a sector, within `length` bytes from `start`; ascending.
pub fn find_in_sectors(
    volume: &Volume,
    start: u64,
    length: u64,
    needle: &[u8],
    shift: u64,
) -> Vec<u64> {
    const STEP: u64 = 4 << 20;
    const MOST: usize = 64;
    let finder = memchr::memmem::Finder::new(needle);
    let end = start
        .saturating_add(length)
        .min(volume.source.len().saturating_sub(volume.extent.offset()));
    let mut from = start & !511;
    let mut found = Vec::new();
    while from < end && found.len() < MOST {
        let take = end.saturating_sub(from).min(STEP);
        // A needle never crosses a step: it lies inside one sector, and steps are whole sectors.
        let bytes = Patched::read(&*volume.source, volume.at(from, take));
        let hits = finder.find_iter(bytes.all()).filter_map(|at| {
            let at = from.saturating_add(at as u64).checked_sub(shift)?;
            (at % 512 == 0 && at >= start).then_some(at)
        });
        found.extend(hits);
        from = from.saturating_add(STEP);
    }
    found
}

/// The little-endian number at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// The little-endian number at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

/// Text up to its first NUL; what is not printable ASCII is escaped, so that it cannot reach a terminal.
pub fn text(bytes: &[u8]) -> String {
    let shown = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
    shown.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use daleel_core::Hole;

    use super::*;

    /// A medium with one bad sector, which fails as an acquisition's hole or as the system does.
    pub struct Bad(pub Vec<u8>, pub Extent, pub bool);

    impl Source for Bad {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            let at = Extent::new(offset, buf.len() as u64);
            if let Some(hole) = at.intersection(self.1) {
                return Err(match self.2 {
                    true => ReadError::Hole { at: hole, hole: Hole::Unreadable },
                    false => ReadError::Io { at, error: std::io::Error::other("bad") },
                });
            }
            self.0.read_exact_at(offset, buf)
        }
    }

    /// A bad sector costs itself, not its neighbours.
    #[test]
    fn only_the_bad_sector_is_lost() {
        for named in [true, false] {
            let source = Bad(vec![7; 8192], Extent::new(1024, 512), named);
            let bytes = Patched::read(&source, Extent::new(512, 9000));
            assert_eq!(bytes.lost, [Extent::new(1024, 512), Extent::new(8192, 1320)]);
            assert_eq!(bytes.get(0, 512), Some(&[7; 512][..]));
            assert_eq!(bytes.get(0, 513), None);
            assert_eq!(bytes.get(1024, 512), Some(&[7; 512][..]));
            assert_eq!(bytes.get(7000, 700), None);
        }
    }
}
