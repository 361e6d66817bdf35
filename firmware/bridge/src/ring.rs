//! The entries of the digest log on their way to the host.
//!
//! Facts: the published requirements, sections 4.4 (streaming) and 5.2 (LEAVES). A ring of bounded size: what the host does not fetch
//! in time is dropped, counted and named; a dropped entry is still in the root.

use heapless::{Deque, Vec};
use wb_attest::{log::Entry, statement::Extent};

/// Ranges of dropped entries that are kept by name.
pub const LOST_RANGES: usize = 16;

/// The newest entries, at most `N` of them.
#[derive(Clone, Debug, Default)]
pub struct Ring<const N: usize> {
    entries: Deque<Entry, N>,
    lost: u64,
    lost_ranges: Vec<Extent, LOST_RANGES>,
    unrecorded: u64,
}

impl<const N: usize> Ring<N> {
    /// Adds the newest entry; the oldest gives way where there is no room.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.is_full()
            && let Some(oldest) = self.entries.pop_front()
        {
            self.lose(oldest.seq);
        }
        // There is room: one was taken out.
        let _ = self.entries.push_back(entry);
    }

    fn lose(&mut self, seq: u64) {
        self.lost = self.lost.saturating_add(1);
        if let Some(range) = self.lost_ranges.last_mut()
            && range.lba.checked_add(range.blocks) == Some(seq)
        {
            range.blocks = range.blocks.saturating_add(1);
            return;
        }
        if self.lost_ranges.push(Extent { lba: seq, blocks: 1 }).is_err() {
            self.unrecorded = self.unrecorded.saturating_add(1);
        }
    }

    /// Lets go of everything before `seq`: the host has it.
    pub fn release(&mut self, seq: u64) {
        while self.entries.front().is_some_and(|entry| entry.seq < seq) {
            self.entries.pop_front();
        }
    }

    /// The entries held, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().copied()
    }

    /// Number of the oldest entry held, `next` where there is none.
    #[must_use]
    pub fn oldest(&self, next: u64) -> u64 {
        self.entries.front().map_or(next, |entry| entry.seq)
    }

    /// Entries dropped before the host fetched them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Where they lie: first number and count.
    #[must_use]
    pub fn lost_ranges(&self) -> &[Extent] {
        &self.lost_ranges
    }

    /// Ranges that found no room in the list.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    /// Forgets everything: a new session.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry { seq, chunk: seq, len: 1, digest: [0; 32] }
    }

    #[test]
    fn what_is_not_fetched_in_time_is_named() {
        let mut ring = Ring::<4>::default();
        (0..6).for_each(|seq| ring.push(entry(seq)));
        ring.release(4);
        (6..12).for_each(|seq| ring.push(entry(seq)));
        assert_eq!(ring.lost(), 6);
        let ranges = [Extent { lba: 0, blocks: 2 }, Extent { lba: 4, blocks: 4 }];
        assert_eq!(ring.lost_ranges(), ranges);
        assert!(ring.entries().map(|e| e.seq).eq(8..12));
        assert_eq!((ring.oldest(12), Ring::<4>::default().oldest(12)), (8, 12));
    }
}
