//! Sorted, disjoint holes with fast look-up.

use daleel_core::{Extent, Hole};

/// Holes in ascending order without overlaps; neighbours of one kind are one hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes(Vec<(Extent, Hole)>);

impl Holes {
    /// Appends a hole behind all others. A hole that starts before the end of the last one is cut to begin there.
    pub(crate) fn push(&mut self, extent: Extent, hole: Hole) {
        let from = extent.offset().max(self.end());
        let extent = between(from, extent.end());
        if extent.is_empty() {
            return;
        }
        if let Some((last, kind)) = self.0.last_mut()
            && *kind == hole
            && last.end() == extent.offset()
        {
            *last = between(last.offset(), extent.end());
            return;
        }
        self.0.push((extent, hole));
    }

    fn end(&self) -> u64 {
        self.0.last().map_or(0, |(extent, _)| extent.end())
    }

    /// The parts of the holes that lie inside `within`.
    pub(crate) fn within(&self, within: Extent) -> impl Iterator<Item = (Extent, Hole)> + '_ {
        let first = self.0.partition_point(|(extent, _)| extent.end() <= within.offset());
        self.0
            .iter()
            .skip(first)
            .map_while(move |(extent, hole)| Some((extent.intersection(within)?, *hole)))
    }

    /// All holes.
    pub(crate) fn into_vec(self) -> Vec<(Extent, Hole)> {
        self.0
    }

    /// All holes.
    pub(crate) fn as_slice(&self) -> &[(Extent, Hole)] {
        &self.0
    }
}

/// Bytes `from..to`; empty when `to` lies before `from`.
pub(crate) fn between(from: u64, to: u64) -> Extent {
    Extent::new(from, to.saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_and_overlaps_are_cut() {
        let mut holes = Holes::default();
        holes.push(Extent::new(10, 10), Hole::Unreadable);
        holes.push(Extent::new(20, 5), Hole::Unreadable);
        holes.push(Extent::new(15, 20), Hole::NotAcquired);
        holes.push(Extent::new(12, 3), Hole::NotAcquired);
        let expected =
            [(Extent::new(10, 15), Hole::Unreadable), (Extent::new(25, 10), Hole::NotAcquired)];
        assert_eq!(holes.as_slice(), expected);
        let found: Vec<_> = holes.within(Extent::new(24, 3)).collect();
        assert_eq!(
            found,
            [(Extent::new(24, 1), Hole::Unreadable), (Extent::new(25, 2), Hole::NotAcquired)]
        );
        assert_eq!(holes.within(Extent::new(0, 10)).count(), 0);
        assert_eq!(holes.within(Extent::new(35, 10)).count(), 0);
    }
}
