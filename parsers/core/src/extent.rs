//! Extents: offset and length of bytes on a medium, and the map from a logical stream to extents.
//!
//! All offset arithmetic of the parsers goes through these types, so that sums cannot overflow and
//! a slice cannot reach outside what it was cut from.

use std::{fmt, ops::Range};

use smallvec::SmallVec;

/// Bytes of a medium (or of one file of a tree): where they start and how many there are.
///
/// `offset + length` never overflows; [`Extent::new`] shortens a length that would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    offset: u64,
    length: u64,
}

/// The extents of one frame or range; nearly always one, two where it crosses a cluster.
pub type Extents = SmallVec<[Extent; 2]>;

impl Extent {
    /// Bytes `offset..offset + length`. A length that reaches past `u64::MAX` is shortened: such an
    /// extent lies beyond every source and reading it fails with its offset.
    pub const fn new(offset: u64, length: u64) -> Self {
        let room = u64::MAX.saturating_sub(offset);
        Self { offset, length: if length > room { room } else { length } }
    }

    /// First byte.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Number of bytes.
    pub const fn len(self) -> u64 {
        self.length
    }

    /// True when there are no bytes.
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// True when `offset` is one of these bytes.
    pub const fn contains(self, offset: u64) -> bool {
        offset >= self.offset && offset < self.end()
    }

    /// `length` bytes from `start` of this extent, or `None` when they do not lie inside it.
    pub fn slice(self, start: u64, length: u64) -> Option<Self> {
        let end = start.checked_add(length)?;
        (end <= self.length).then(|| Self::new(self.offset.saturating_add(start), length))
    }

    /// What both extents cover, or `None` when they do not meet.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.offset.max(other.offset);
        let end = self.end().min(other.end());
        (start < end).then(|| Self::new(start, end.saturating_sub(start)))
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x} ({}), {} bytes", self.offset, self.offset, self.length)
    }
}

/// Where a logical stream lies on the medium: pieces in stream order, without logical gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentMap {
    /// `(logical start, extent)`, ascending by logical start.
    pieces: Vec<(u64, Extent)>,
}

impl ExtentMap {
    /// A map of one extent.
    pub fn of(extent: Extent) -> Self {
        let mut map = Self::default();
        map.push(extent);
        map
    }

    /// Appends bytes to the end of the stream; a piece that continues the last one is joined to it.
    pub fn push(&mut self, extent: Extent) {
        if extent.is_empty() {
            return;
        }
        let start = self.len();
        if let Some((_, last)) = self.pieces.last_mut()
            && last.end() == extent.offset
        {
            *last = Extent::new(last.offset, last.length.saturating_add(extent.length));
            return;
        }
        self.pieces.push((start, extent));
    }

    /// Length of the logical stream in bytes.
    pub fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(start, extent)| start.saturating_add(extent.length))
    }

    /// True when the stream has no bytes.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces in stream order.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.pieces.iter().map(|(_, extent)| *extent)
    }

    /// The extents of a logical range, in stream order; what lies past the end is left out.
    pub fn map(&self, range: Range<u64>) -> Extents {
        let mut out = Extents::new();
        let first = self
            .pieces
            .partition_point(|(start, extent)| start.saturating_add(extent.length) <= range.start);
        for (start, extent) in self.pieces.iter().skip(first) {
            if *start >= range.end {
                break;
            }
            let from = range.start.max(*start).saturating_sub(*start);
            let to = range.end.saturating_sub(*start).min(extent.length);
            if to > from {
                out.push(Extent::new(extent.offset.saturating_add(from), to.saturating_sub(from)));
            }
        }
        out
    }

    /// The logical offset of a byte of the medium, if the stream holds it.
    pub fn logical(&self, offset: u64) -> Option<u64> {
        self.pieces
            .iter()
            .find(|(_, extent)| extent.contains(offset))
            .map(|(start, extent)| start.saturating_add(offset.saturating_sub(extent.offset)))
    }

    /// The first `length` bytes of the stream.
    pub fn truncated(&self, length: u64) -> Self {
        let mut out = Self::default();
        for extent in self.map(0..length) {
            out.push(extent);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_from_hell_is_shortened_not_wrapped() {
        let extent = Extent::new(u64::MAX - 3, u64::MAX);
        assert_eq!((extent.len(), extent.end()), (3, u64::MAX));
        assert_eq!(Extent::new(10, 5).slice(3, u64::MAX), None);
    }

    proptest! {
        /// mapping a range and adding up its extents gives the range back, in order.
        #[test]
        fn a_mapped_range_keeps_its_length(
            lengths in prop::collection::vec(1u64..5000, 1..40), from in 0u64..200_000, length in 0u64..200_000,
        ) {
            let mut map = ExtentMap::default();
            for (i, length) in lengths.iter().enumerate() {
                map.push(Extent::new(i as u64 * 10_000, *length));
            }
            let range = from.min(map.len())..(from + length).min(map.len());
            let extents = map.map(range.clone());
            prop_assert_eq!(extents.iter().map(|e| e.len()).sum::<u64>(), range.end - range.start);
            for extent in &extents {
                prop_assert!(map.logical(extent.offset()).is_some());
            }
        }

        #[test]
        fn truncation_never_adds_bytes(lengths in prop::collection::vec(1u64..50, 1..20), cut in 0u64..2000) {
            let mut map = ExtentMap::default();
            for (i, length) in lengths.iter().enumerate() {
                map.push(Extent::new(i as u64 * 100, *length));
            }
            prop_assert_eq!(map.truncated(cut).len(), cut.min(map.len()));
        }
    }
}
