//! Groups of chunks and the tables that say where they lie.
//!
//! Facts: `docs/formats/ewf.md` sections 5, 6 and 9. Only the place and the header of each table are kept; entries are
//! read when a chunk of the group is, and the tables used last are held. A damaged table is replaced by its copy, and
//! when both are damaged by a walk over the chunks themselves, which prove their own place by their checksums.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use daleel_core::{Extent, Source};
use flate2::Decompress;

use super::{
    finding::{EwfFinding, Notebook},
    inflate::inflate,
    records::{TableHeader, adler32, u32_at},
};

/// Most entries of a table: EnCase 6 writes 65,534.
pub(super) const ENTRIES_LIMIT: u32 = 1 << 22;
/// Bit of an entry that says that its chunk is a zlib stream.
const PACKED: u32 = 1 << 31;
/// Most damaged chunks that a walk goes on behind, in one group.
const FAILURES_LIMIT: usize = 1024;
/// Bytes of the tables that are held.
const CACHE_BYTES: usize = 32 << 20;

/// One copy of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableCopy {
    /// Offset of its first entry in the file.
    pub(super) at: u64,
    pub(super) header: TableHeader,
    /// Whether a checksum follows the entries; the original format has none.
    pub(super) has_sum: bool,
}

impl TableCopy {
    fn extent(&self) -> Extent {
        let sum = if self.has_sum { 4 } else { 0 };
        Extent::new(self.at, self.header.entry_bytes().saturating_add(sum))
    }

    /// The bytes of the entries, and whether their checksum is right; `None` when they cannot be read.
    fn read(&self, file: &dyn Source) -> Option<(Vec<u8>, bool)> {
        let mut bytes = file.read(self.extent()).ok()?;
        if !self.has_sum {
            return Some((bytes, true));
        }
        let entries = bytes.len().checked_sub(4)?;
        let sums = u32_at(&bytes, entries) == bytes.get(..entries).map(adler32);
        bytes.resize(entries, 0);
        Some((bytes, sums))
    }
}

/// A chunk found by walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) at: u64,
    pub(super) length: u32,
    pub(super) packed: bool,
}

/// Chunks that one table lists.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Which file of the set.
    pub(super) file: usize,
    /// Number of its first chunk.
    pub(super) first: u64,
    /// How many it has.
    pub(super) chunks: u64,
    /// Where in the file their bytes lie.
    pub(super) data: Extent,
    pub(super) origin: Origin,
}

/// Where the places of chunks are known from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// From a table and its copy; headers with right checksums, all of one count.
    Copies(Vec<TableCopy>),
    /// From a walk, since there was none.
    Walked(Arc<Table>),
}

/// The places of a group's chunks.
#[derive(Debug)]
pub(super) enum Table {
    /// As the table states them.
    Listed {
        base: u64,
        entries: Vec<u32>,
        /// From this entry on offsets use all 32 bits, and chunks are stored.
        overflow: usize,
        /// No checksum covers the entries, so each chunk has to fill its place exactly.
        exact: bool,
    },
    /// As a walk found them. `None` where it could not go on.
    Walked(Vec<Option<Walked>>),
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: u64,
    /// Bytes up to the next chunk, or to the end of the data.
    pub(super) room: u64,
    pub(super) packed: bool,
    /// The flag may be a bit of the offset.
    pub(super) either: bool,
    pub(super) exact: bool,
}

impl Table {
    fn listed(copy: &TableCopy, bytes: &[u8]) -> Self {
        let four = bytes.chunks_exact(4).filter_map(|four| four.try_into().ok());
        let entries: Vec<u32> = four.map(u32::from_le_bytes).collect();
        let overflow = overflow(&entries);
        Self::Listed { base: copy.header.base, entries, overflow, exact: !copy.has_sum }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Listed { entries, .. } => entries.len().saturating_mul(4),
            Self::Walked(chunks) => chunks.len().saturating_mul(size_of::<Option<Walked>>()),
        }
    }

    /// Where the chunk with this number in its group lies; `data` is where it has to.
    pub(super) fn place(&self, number: usize, data: Extent) -> Option<Place> {
        match self {
            Self::Walked(chunks) => {
                let chunk = (*chunks.get(number)?)?;
                let (at, room) = (chunk.at, chunk.length.into());
                Some(Place { at, room, packed: chunk.packed, either: false, exact: false })
            }
            Self::Listed { base, entries, overflow, exact } => {
                let offset = |number: usize| {
                    let entry = *entries.get(number)?;
                    let offset = if number >= *overflow { entry } else { entry & !PACKED };
                    base.checked_add(offset.into())
                };
                let at = offset(number)?;
                let next = number.checked_add(1).and_then(offset).unwrap_or(data.end());
                let is_inside = data.contains(at) && (!exact || (next > at && next <= data.end()));
                // Chunks out of order are proven by their checksums as others are.
                let next = if next > at { next.min(data.end()) } else { data.end() };
                let either = number >= *overflow;
                let packed = !either && entries.get(number)? & PACKED != 0;
                let room = next.saturating_sub(at);
                is_inside.then_some(Place { at, room, packed, either, exact: *exact })
            }
        }
    }

    /// The offset that an entry states, wherever that is.
    pub(super) fn stated(&self, number: usize) -> Option<u64> {
        match self {
            Self::Walked(_) => None,
            Self::Listed { base, entries, overflow, .. } => {
                let entry = *entries.get(number)?;
                let offset = if number >= *overflow { entry } else { entry & !PACKED };
                base.checked_add(offset.into())
            }
        }
    }
}

/// Where offsets run into the flag: EnCase 6.7.1 let sections grow above 2 GiB. Up to there offsets ascend; there the
/// 31 bits fall back and the 32 bits go on.
fn overflow(entries: &[u32]) -> usize {
    let mut last = 0;
    for (number, entry) in entries.iter().enumerate() {
        let offset = entry & !PACKED;
        if offset < last && *entry > last {
            return number;
        }
        last = offset;
    }
    usize::MAX
}

/// Reads the tables of groups and holds those used last.
#[derive(Default)]
pub(super) struct TableCache {
    /// Least recently used first.
    held: Mutex<VecDeque<(usize, Arc<Table>)>>,
}

impl TableCache {
    /// The table of the group with this number, read by `load` unless it is held.
    pub(super) fn get(&self, number: usize, load: impl FnOnce() -> Table) -> Arc<Table> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The one used last is asked for most.
        if let Some(at) = held.iter().rposition(|(own, _)| *own == number)
            && let Some(entry) = held.remove(at)
        {
            let table = Arc::clone(&entry.1);
            held.push_back(entry);
            return table;
        }
        drop(held);
        let table = Arc::new(load());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((number, Arc::clone(&table)));
        while held.len() > 1
            && held.iter().fold(0usize, |sum, (_, one)| sum.saturating_add(one.bytes()))
                > CACHE_BYTES
        {
            held.pop_front();
        }
        table
    }
}

/// Reads the table of a group, its copy, or walks.
pub(super) fn load(
    copies: &[TableCopy],
    file: &dyn Source,
    name: &str,
    walk: &Walk,
    notes: &Notebook,
) -> Table {
    let mut damaged = Vec::new();
    for copy in copies {
        match copy.read(file) {
            Some((bytes, true)) => return Table::listed(copy, &bytes),
            Some((bytes, false)) => damaged.push(Table::listed(copy, &bytes)),
            None => {}
        }
        notes.add(EwfFinding {
            segment: name.to_owned(),
            at: copy.extent(),
            structure: "table",
            found: "entries with a wrong checksum, or unreadable".to_owned(),
            expected: "right ones; the copy is used, or the chunks are walked over".to_owned(),
        });
    }
    // Two damaged copies that state one offset are a place to go on at, no proof.
    let agreed = |number: usize| match damaged.as_slice() {
        [first, second] => first.stated(number).filter(|at| second.stated(number) == Some(*at)),
        _ => None,
    };
    let count = copies.first().map_or(0, |copy| copy.header.entries);
    let count = usize::try_from(count).unwrap_or(0);
    let mut chunks = Vec::new();
    let mut failures = 0usize;
    let mut at = agreed(0).unwrap_or(walk.data.offset());
    while chunks.len() < count && failures <= FAILURES_LIMIT {
        let found = walk.chunk_at(file, at);
        failures = failures.saturating_add(usize::from(found.is_none()));
        chunks.push(found);
        let next = found.map(|chunk| chunk.at.saturating_add(chunk.length.into()));
        match next.or_else(|| agreed(chunks.len()).filter(|next| *next > at)) {
            Some(next) => at = next,
            // Nothing tells where the next chunk begins; where copies agree again the walk goes on.
            None => {
                let resumed =
                    (chunks.len()..count).find_map(|number| Some((number, agreed(number)?)));
                let Some((number, next)) = resumed.filter(|(_, next)| *next > at) else { break };
                chunks.resize(number, None);
                at = next;
            }
        }
    }
    chunks.resize(count, None);
    Table::Walked(chunks)
}

/// What is needed to find chunks without a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) data: Extent,
    pub(super) chunk_bytes: usize,
    /// Bytes of the last chunk of the medium where it is shorter than the others, else 0.
    pub(super) tail_bytes: usize,
}

impl Walk {
    /// All chunks from the start of the data, and whether they fill it.
    pub(super) fn all(&self, file: &dyn Source) -> (Vec<Option<Walked>>, bool) {
        let mut chunks = Vec::new();
        let mut at = self.data.offset();
        while at < self.data.end() && chunks.len() < ENTRIES_LIMIT as usize {
            let Some(chunk) = self.chunk_at(file, at) else { break };
            at = at.saturating_add(chunk.length.into());
            chunks.push(Some(chunk));
        }
        (chunks, at == self.data.end())
    }

    /// The chunk at `at`, if one with a right checksum is there: a zlib stream that gives a whole chunk, or stored bytes.
    /// At the end of the data it may have the length of the medium's last chunk; other short streams are something else,
    /// as the case data of a set are.
    fn chunk_at(&self, file: &dyn Source, at: u64) -> Option<Walked> {
        let left = self.data.end().checked_sub(at).filter(|_| at >= self.data.offset())?;
        let stored = self.chunk_bytes.checked_add(4)?;
        let most = packed_limit(self.chunk_bytes).max(stored) as u64;
        // A chunk of zeros takes few bytes; all that a chunk may take is read when those do not do.
        let few = (self.chunk_bytes >> 6).saturating_add(1024) as u64;
        let mut bytes = file.read(Extent::new(at, left.min(few))).ok()?;
        let mut out = vec![0; self.chunk_bytes];
        let mut engine = Decompress::new(true);
        let mut inflated = inflate(&mut engine, &bytes, &mut out);
        if inflated.is_err() && left > few {
            bytes = file.read(Extent::new(at, left.min(most))).ok()?;
            inflated = inflate(&mut engine, &bytes, &mut out);
        }
        if let Ok(inflated) = inflated {
            let is_last = inflated.consumed as u64 == left && self.tail_bytes > 0;
            if inflated.produced == self.chunk_bytes
                || (is_last && inflated.produced == self.tail_bytes)
            {
                let length = u32::try_from(inflated.consumed).ok()?;
                return Some(Walked { at, length, packed: true });
            }
        }
        let tail = self.tail_bytes.checked_add(4)?;
        let length = if left >= stored as u64 { stored } else { tail };
        let fits = left >= stored as u64 || (left == tail as u64 && self.tail_bytes > 0);
        let media = length.checked_sub(4).filter(|_| fits)?;
        let is_right = u32_at(&bytes, media) == bytes.get(..media).map(adler32);
        let length = u32::try_from(length).ok()?;
        is_right.then_some(Walked { at, length, packed: false })
    }
}

/// Most bytes that a zlib stream of a chunk may take: deflate grows by 5 bytes a block at most, poor encoders by an eighth.
pub(super) fn packed_limit(chunk_bytes: usize) -> usize {
    chunk_bytes.saturating_add(chunk_bytes >> 3).saturating_add(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EnCase 6.7.1: the offset behind 2 GiB runs into the flag.
    #[test]
    fn an_offset_that_runs_into_the_flag_is_told_from_a_flag() {
        let entries = [0x4C | PACKED, 0x100, 0x7FFF_FF00 | PACKED, 0x8000_0100, 0x8000_8104];
        assert_eq!(overflow(&entries), 3);
        assert_eq!(overflow(&entries[..3]), usize::MAX);
        let table = Table::Listed { base: 10, entries: entries.into(), overflow: 3, exact: false };
        let data = Extent::new(0, 1 << 40);
        let place = table.place(3, data).unwrap();
        assert_eq!((place.at, place.room, place.packed), (0x8000_010A, 0x8004, false));
        assert_eq!(table.place(2, data).unwrap().room, 0x200);
        assert!(table.place(2, Extent::new(0, 100)).is_none());
    }
}
