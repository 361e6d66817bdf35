//! The acquisition map: for every byte of the medium what the rescue knows about it.
//!
//! Facts: GNU ddrescue manual 1.27, chapter "Mapfile structure" (the five states). Kept as boundaries between stretches of one
//! state, so the size follows the number of damaged areas and not the size of the medium: about 20 bytes per boundary, 40 MB
//! for a million bad areas.

use std::collections::BTreeMap;

use daleel_core::Extent;
use daleel_image::{MapStatus, RescueMap};

pub use daleel_image::BlockState as State;

use super::reasons::Reasons;

/// States of all bytes `0..len`, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where a stretch begins, and its state; neighbours differ.
    starts: BTreeMap<u64, State>,
    len: u64,
    /// Bytes and stretches of every state, in the order of [`State::ALL`].
    totals: [Total; State::ALL.len()],
    /// Where the rescue is; written into the file's status line.
    pub status: MapStatus,
    /// Why reads failed.
    pub reasons: Reasons,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    bytes: u64,
    areas: u64,
}

impl Map {
    /// A medium of `len` bytes of which nothing was tried.
    pub fn new(len: u64) -> Self {
        let mut map = Self {
            starts: BTreeMap::new(),
            len,
            totals: Default::default(),
            status: MapStatus { position: 0, status: '?', pass: 1 },
            reasons: Reasons::default(),
        };
        if len > 0 {
            map.insert(0, State::NonTried);
            map.count(State::NonTried, |total| total.bytes = len);
        }
        map
    }

    /// The map that a file describes, for a medium of `len` bytes. What the file does not mention was not tried, and what it
    /// says about bytes behind the end is left out.
    pub fn from_file(file: &RescueMap, len: u64) -> Self {
        let mut map = Self::new(len);
        for (extent, state) in file.blocks() {
            map.mark(*extent, *state);
        }
        map.status = file.status();
        map
    }

    /// Size of the medium in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when the medium has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in `state`.
    pub fn bytes_of(&self, state: State) -> u64 {
        self.total(state).bytes
    }

    /// Stretches in `state`.
    pub fn areas_of(&self, state: State) -> u64 {
        self.total(state).areas
    }

    /// Bytes that were tried in vain so far: `*`, `/` and `-`.
    pub fn failed_bytes(&self) -> u64 {
        [State::NonTrimmed, State::NonScraped, State::BadSector]
            .into_iter()
            .fold(0, |sum, state| sum.saturating_add(self.bytes_of(state)))
    }

    /// The stretch around `offset`, or `None` behind the end.
    pub fn at(&self, offset: u64) -> Option<(Extent, State)> {
        if offset >= self.len {
            return None;
        }
        let (start, state) = self.starts.range(..=offset).next_back()?;
        Some((between(*start, self.end_of(*start)), *state))
    }

    /// All stretches, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Extent, State)> + '_ {
        self.within(Extent::new(0, self.len))
    }

    /// The stretches inside `within`, clipped to it, ascending.
    pub fn within(&self, within: Extent) -> impl Iterator<Item = (Extent, State)> + '_ {
        let first = self.at(within.offset()).map_or(self.len, |(extent, _)| extent.offset());
        let mut starts = self.starts.range(first..).peekable();
        std::iter::from_fn(move || {
            let (start, state) = starts.next()?;
            let end = starts.peek().map_or(self.len, |(next, _)| **next);
            Some((between(*start, end).intersection(within)?, *state))
        })
    }

    /// The first bytes in `state` at or behind `from` inside `within`, up to where the state ends.
    pub fn next(&self, state: State, from: u64, within: Extent) -> Option<Extent> {
        if self.total(state).areas == 0 {
            return None;
        }
        let rest = between(from.max(within.offset()), within.end());
        self.within(rest).find(|(_, found)| *found == state).map(|(extent, _)| extent)
    }

    /// The last bytes in `state` before `before` inside `within`, back to where the state begins.
    pub fn previous(&self, state: State, before: u64, within: Extent) -> Option<Extent> {
        if self.total(state).areas == 0 {
            return None;
        }
        let part = between(within.offset(), before.min(within.end()));
        let mut end = self.len;
        // The stretch that crosses `before` begins before it too, and its end is found by walking down from there.
        if let Some((next, _)) = self.starts.range(part.end()..).next() {
            end = *next;
        }
        for (start, found) in self.starts.range(..part.end()).rev() {
            let clipped = between(*start, end).intersection(part)?;
            if *found == state {
                return Some(clipped);
            }
            end = *start;
        }
        None
    }

    /// Gives `extent` a state; what lies behind the end of the medium is left out.
    pub fn mark(&mut self, extent: Extent, state: State) {
        let Some(extent) = extent.intersection(Extent::new(0, self.len)) else { return };
        self.split_at(extent.offset());
        self.split_at(extent.end());
        while let Some(start) = self.first_start_in(extent) {
            self.remove(start);
        }
        self.insert(extent.offset(), state);
        self.count(state, |total| total.bytes = total.bytes.saturating_add(extent.len()));
        self.join_at(extent.offset());
        self.join_at(extent.end());
    }

    fn first_start_in(&self, extent: Extent) -> Option<u64> {
        self.starts.range(extent.offset()..extent.end()).next().map(|(start, _)| *start)
    }

    fn end_of(&self, start: u64) -> u64 {
        self.starts.range(start.saturating_add(1)..).next().map_or(self.len, |(next, _)| *next)
    }

    fn total(&self, state: State) -> Total {
        self.totals.get(state as usize).copied().unwrap_or_default()
    }

    fn count(&mut self, state: State, change: impl FnOnce(&mut Total)) {
        if let Some(total) = self.totals.get_mut(state as usize) {
            change(total);
        }
    }

    fn insert(&mut self, start: u64, state: State) {
        self.starts.insert(start, state);
        self.count(state, |total| total.areas = total.areas.saturating_add(1));
    }

    /// Takes a stretch out together with its bytes.
    fn remove(&mut self, start: u64) {
        let length = self.end_of(start).saturating_sub(start);
        if let Some(state) = self.starts.remove(&start) {
            self.count(state, |total| {
                total.areas = total.areas.saturating_sub(1);
                total.bytes = total.bytes.saturating_sub(length);
            });
        }
    }

    fn split_at(&mut self, offset: u64) {
        if let Some((extent, state)) = self.at(offset)
            && extent.offset() != offset
        {
            self.insert(offset, state);
        }
    }

    fn join_at(&mut self, offset: u64) {
        let Some(state) = self.starts.get(&offset).copied() else { return };
        let before = self.starts.range(..offset).next_back().map(|(_, state)| *state);
        if before == Some(state) {
            self.starts.remove(&offset);
            self.count(state, |total| total.areas = total.areas.saturating_sub(1));
        }
    }
}

/// Bytes `from..to`; empty when `to` lies before `from`.
pub(super) fn between(from: u64, to: u64) -> Extent {
    Extent::new(from, to.saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(number: usize) -> State {
        State::ALL[number]
    }

    #[test]
    fn a_million_bad_areas_of_16_tb_are_kept_in_order() {
        let mut map = Map::new(16_000_000_000_000);
        for area in 0..1_000_000u64 {
            map.mark(Extent::new(area * 16_000_000, 512), State::BadSector);
        }
        assert_eq!(map.areas_of(State::BadSector), 1_000_000);
        assert_eq!(map.bytes_of(State::BadSector), 512_000_000);
        let all = Extent::new(0, map.len());
        let next = map.next(State::BadSector, 8_000_000_000_513, all);
        assert_eq!(next, Some(Extent::new(8_000_016_000_000, 512)));
    }

    #[test]
    fn states_are_numbered_as_they_are_listed() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
    }

    proptest! {
        /// whatever is marked in whatever order, the stretches cover the medium exactly and agree with a byte by byte model.
        #[test]
        fn stretches_cover_the_medium_exactly(
            len in 0u64..200,
            marks in prop::collection::vec((0u64..220, 0u64..80, 0usize..5), 0..40),
            looks in prop::collection::vec((0u64..220, 0u64..220, 0u64..220, 0usize..5), 1..20),
        ) {
            let mut map = Map::new(len);
            let mut model = vec![State::NonTried; len as usize];
            for (offset, length, number) in marks {
                map.mark(Extent::new(offset, length), state(number));
                for at in offset..(offset + length).min(len) {
                    model[at as usize] = state(number);
                }
            }
            let mut from = 0;
            let mut last = None;
            for (extent, found) in map.iter() {
                prop_assert_eq!(extent.offset(), from);
                prop_assert!(!extent.is_empty());
                prop_assert_ne!(last, Some(found));
                prop_assert!((extent.offset()..extent.end()).all(|at| model[at as usize] == found));
                from = extent.end();
                last = Some(found);
            }
            prop_assert_eq!(from, len);
            for wanted in State::ALL {
                let bytes = model.iter().filter(|found| **found == wanted).count();
                prop_assert_eq!(map.bytes_of(wanted), bytes as u64);
                prop_assert_eq!(map.areas_of(wanted), map.iter().filter(|(_, found)| *found == wanted).count() as u64);
            }
            for (at, start, length, number) in looks {
                let (wanted, within) = (state(number), Extent::new(start, length));
                let is = |at: &u64| *at < len && within.contains(*at) && model[*at as usize] == wanted;
                let first = (at..len).find(is);
                let end = first.and_then(|first| (first..=len).find(|at| !is(at)));
                prop_assert_eq!(map.next(wanted, at, within), first.map(|first| between(first, end.unwrap())));
                let last = (0..at.min(len)).rev().find(is);
                let begin = last.map(|last| (0..=last).rev().take_while(is).last().unwrap());
                prop_assert_eq!(map.previous(wanted, at, within), begin.map(|begin| between(begin, last.unwrap() + 1)));
                prop_assert_eq!(map.at(at).map(|(_, found)| found), model.get(at as usize).copied());
            }
        }
    }
}
