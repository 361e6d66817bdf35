//! Which blocks left for the host at least once, and which could not be read.
//!
//! Facts: the published requirements, section 4.3 (coverage), and D-02. The list is bounded; what finds no room is counted, and
//! nothing is ever joined that was not read.

use heapless::Vec;
use wb_attest::statement::{ErrorExtent, Extent};
use wb_policy::sense::Code;

/// Extents that were read: ascending, disjoint, not touching.
#[derive(Clone, Debug, Default)]
pub struct Coverage<const N: usize> {
    extents: Vec<Extent, N>,
    unrecorded: u64,
}

impl<const N: usize> Coverage<N> {
    /// Notes a read of `blocks` blocks from `lba`.
    pub fn add(&mut self, lba: u64, blocks: u64) {
        let Some(end) = lba.checked_add(blocks).filter(|end| *end > lba) else { return };
        // The common case of an imager that reads on: the extent that ends here grows.
        let first = self.extents.partition_point(|extent| end_of(extent) < lba);
        let touched =
            self.extents.iter().skip(first).take_while(|extent| extent.lba <= end).count();
        if touched == 0 {
            if self.extents.insert(first, Extent { lba, blocks }).is_err() {
                self.unrecorded = self.unrecorded.saturating_add(1);
            }
            return;
        }
        let last = first.saturating_add(touched).saturating_sub(1);
        let joined_end = self.extents.get(last).map_or(end, |extent| end_of(extent).max(end));
        let Some(joined) = self.extents.get_mut(first) else { return };
        joined.lba = joined.lba.min(lba);
        joined.blocks = joined_end.saturating_sub(joined.lba);
        for _ in 1..touched {
            self.extents.remove(first.saturating_add(1));
        }
    }

    /// The extents.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Reads that found no room in the list.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    /// Blocks in the list.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.extents.iter().fold(0, |sum, extent| sum.saturating_add(extent.blocks))
    }

    /// Forgets everything: a new session.
    pub fn clear(&mut self) {
        self.extents.clear();
        self.unrecorded = 0;
    }
}

fn end_of(extent: &Extent) -> u64 {
    extent.lba.saturating_add(extent.blocks)
}

/// Blocks that could not be read, in order of time; neighbours that fail one after the other are one extent, and a block that fails again
/// at once is noted once.
#[derive(Clone, Debug, Default)]
pub struct Errors<const N: usize> {
    extents: Vec<ErrorExtent, N>,
    unrecorded: u64,
}

impl<const N: usize> Errors<N> {
    /// Notes a failed read.
    pub fn add(&mut self, lba: u64, blocks: u64, code: Code) {
        let extent = ErrorExtent { lba, blocks, sense: [code.key, code.asc, code.ascq] };
        if let Some(last) = self.extents.last_mut()
            && last.sense == extent.sense
            && last.lba.checked_add(last.blocks) == Some(lba)
        {
            last.blocks = last.blocks.saturating_add(blocks);
            return;
        }
        if self.extents.last() != Some(&extent) && self.extents.push(extent).is_err() {
            self.unrecorded = self.unrecorded.saturating_add(1);
        }
    }

    /// The extents.
    #[must_use]
    pub fn extents(&self) -> &[ErrorExtent] {
        &self.extents
    }

    /// Failures that found no room in the list.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    /// Forgets everything: a new session.
    pub fn clear(&mut self) {
        self.extents.clear();
        self.unrecorded = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The list is the set of blocks that were read, in as few extents as there can be.
        #[test]
        fn coverage_is_the_set_of_blocks_read(
            reads in prop::collection::vec((0_u64..200, 1_u64..12), 0..60)
        ) {
            let mut coverage = Coverage::<128>::default();
            let mut blocks = BTreeSet::new();
            for (lba, count) in reads {
                coverage.add(lba, count);
                blocks.extend(lba..lba + count);
            }
            let listed: Vec<u64, 256> =
                coverage.extents().iter().flat_map(|e| e.lba..e.lba + e.blocks).collect();
            prop_assert!(listed.iter().copied().eq(blocks.iter().copied()));
            prop_assert_eq!(coverage.blocks(), blocks.len() as u64);
            prop_assert!(coverage.extents().windows(2).all(|w| w[0].lba + w[0].blocks < w[1].lba));
        }
    }

    #[test]
    fn a_full_list_counts_and_does_not_join() {
        let mut coverage = Coverage::<2>::default();
        for lba in [0, 10, 20, 30] {
            coverage.add(lba, 1);
        }
        assert_eq!(coverage.extents().len(), 2);
        assert_eq!(coverage.unrecorded(), 2);
        coverage.add(1, 9);
        assert_eq!(coverage.extents(), [Extent { lba: 0, blocks: 11 }]);
    }

    #[test]
    fn ranges_that_wrap_are_nothing() {
        let mut coverage = Coverage::<2>::default();
        coverage.add(u64::MAX, 2);
        coverage.add(5, 0);
        assert_eq!(coverage.blocks(), 0);
    }
}
