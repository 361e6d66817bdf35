//! What is left of the segments that an index no longer shows.
//!
//! Facts: `docs/formats/hikvision.md` sections 9.1 and 5. A media file is written from its front and its records from the first place on, over
//! and over. So the record at an earlier place was written in the same pass or a later one, and what it covers is no longer there of a
//! segment at a later place, whatever their clocks say. Key-frame runs are written from the end of the file downwards and are judged apart:
//! a lost run takes nothing of the footage.

use std::collections::BTreeMap;

use super::{index::Held, layout::Record};

/// What a record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The recorder shows it.
    Current,
    /// The record of an earlier pass.
    Residual(Remains),
}

/// What is left of a residual segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Its bytes from here on are covered by no record of the same or a later pass.
    pub from: u64,
    /// Bytes left; 0 when all are written over.
    pub bytes: u64,
    /// True when it begins at or behind the end of what the current pass wrote.
    pub is_beyond_current: bool,
    /// True when its key-frame run lies at or below the lowest of the current pass.
    pub is_run_kept: bool,
    /// True when the record makes no sense.
    pub has_fault: bool,
}

impl Remains {
    /// Intact by the rule of section 9.1: neither footage nor run is touched by the current pass.
    pub fn is_beyond_current_pass(&self) -> bool {
        self.is_beyond_current && self.is_run_kept && !self.has_fault
    }

    /// True when no record covers any of its bytes.
    pub fn is_whole(&self, record: &Record) -> bool {
        !self.has_fault && self.from == u64::from(record.start_offset) && self.bytes > 0
    }
}

/// How far the current pass has come in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// End of its last segment; the begin of one being written, whose end is not recorded.
    pub written: u64,
    /// True when a segment was being written there.
    pub is_open: bool,
    /// Lowest byte of its key-frame runs; `None` when it has none.
    pub lowest_run: Option<u64>,
}

impl Front {
    /// The front of the records up to `last`.
    pub fn of(held: &[Held], last: Option<u16>) -> Self {
        let current = held.iter().filter(|held| is_current(held, last)).map(|held| &held.record);
        let mut front = Self { written: 0, is_open: false, lowest_run: None };
        for record in current.filter(|record| record.fault().is_none()) {
            let end = if record.is_open() { record.start_offset } else { record.end_offset };
            front.written = front.written.max(u64::from(end));
            front.is_open |= record.is_open();
            if record.run_lower != 0 {
                let low = u64::from(record.run_lower);
                front.lowest_run = Some(front.lowest_run.map_or(low, |lowest| lowest.min(low)));
            }
        }
        front
    }
}

fn is_current(held: &Held, last: Option<u16>) -> bool {
    last.is_some_and(|last| held.slot <= last)
}

/// Says what each record of a file stands for. `held` is in the order of the places.
pub fn judge(held: &[Held], last: Option<u16>) -> Vec<Part> {
    let front = Front::of(held, last);
    let mut covered = Covered::default();
    held.iter()
        .map(|held| {
            let record = &held.record;
            let part = if is_current(held, last) {
                Part::Current
            } else {
                Part::Residual(remains(record, &front, &covered))
            };
            covered.add(record);
            part
        })
        .collect()
}

fn remains(record: &Record, front: &Front, covered: &Covered) -> Remains {
    let (start, end) = (u64::from(record.start_offset), u64::from(record.end_offset));
    let has_fault = record.fault().is_some() || record.is_open();
    let from = covered.before(end).max(start);
    Remains {
        from,
        bytes: if has_fault { 0 } else { end.saturating_sub(from) },
        is_beyond_current: start >= front.written,
        is_run_kept: front.lowest_run.is_none_or(|low| u64::from(record.run_upper) <= low),
        has_fault,
    }
}

/// The bytes that records looked at so far cover: for each begin the farthest end of those that begin no later.
#[derive(Default)]
struct Covered {
    ends: BTreeMap<u64, u64>,
}

impl Covered {
    fn add(&mut self, record: &Record) {
        if record.fault().is_some() {
            return;
        }
        let start = u64::from(record.start_offset);
        let end = if record.is_open() { start } else { u64::from(record.end_offset) };
        if self.ends.range(..=start).next_back().is_some_and(|(_, farthest)| *farthest >= end) {
            return;
        }
        while let Some((next, farthest)) = self.ends.range(start..).next() {
            if *farthest > end {
                break;
            }
            let next = *next;
            self.ends.remove(&next);
        }
        self.ends.insert(start, end);
    }

    /// The farthest end of what begins before `end`; 0 when nothing does.
    fn before(&self, end: u64) -> u64 {
        self.ends.range(..end).next_back().map_or(0, |(_, farthest)| *farthest)
    }
}

#[cfg(test)]
mod tests {
    use daleel_core::Extent;
    use proptest::prelude::*;

    use super::*;
    use crate::hikvision::files::layout::Stamp;

    fn held(slot: u16, start: u32, end: u32) -> Held {
        let stamp = |seconds| Stamp { seconds, microseconds: 0 };
        let record = Record {
            kind: 13,
            start: stamp(1_700_000_000),
            end: if end == 0 { Stamp::default() } else { stamp(1_700_000_060) },
            start_offset: start,
            end_offset: end,
            run_upper: 1_000_000 - u32::from(slot) * 512,
            run_lower: 1_000_000 - u32::from(slot) * 512 - 448,
        };
        let at = Extent::new(0, 80);
        Held { slot, record, at, copy: "index00.bin".into(), times: Vec::new(), other: None }
    }

    fn left(part: Part) -> (u64, u64) {
        match part {
            Part::Current => (u64::MAX, u64::MAX),
            Part::Residual(remains) => (remains.from, remains.bytes),
        }
    }

    /// what a later pass wrote is not offered as footage of an earlier one.
    #[test]
    fn earlier_places_are_later_passes() {
        let records = [
            held(0, 0, 100),
            held(1, 200, 300),
            held(2, 0, 250),
            held(3, 250, 400),
            held(4, 500, 600),
        ];
        let parts = judge(&records, Some(1));
        assert_eq!(parts[..2], [Part::Current, Part::Current]);
        assert_eq!(left(parts[2]), (300, 0));
        assert_eq!(left(parts[3]), (300, 100));
        assert_eq!(left(parts[4]), (500, 100));
        let Part::Residual(remains) = parts[4] else { panic!() };
        assert!(remains.is_whole(&records[4].record) && remains.is_beyond_current_pass());
    }

    #[test]
    fn a_segment_being_written_ends_the_pass_where_it_begins() {
        let records = [held(0, 0, 100), held(1, 200, 0), held(2, 150, 260)];
        let front = Front::of(&records, Some(1));
        assert_eq!((front.written, front.is_open), (200, true));
        assert_eq!(left(judge(&records, Some(1))[2]), (200, 60));
    }

    #[test]
    fn a_file_without_current_records_is_all_residual() {
        let parts = judge(&[held(0, 0, 100), held(1, 100, 200)], None);
        assert_eq!(parts.into_iter().map(left).collect::<Vec<_>>(), [(0, 100), (100, 100)]);
    }

    proptest! {
        /// The quick search gives what comparing every pair gives.
        #[test]
        fn what_is_left_is_what_no_earlier_place_covers(
            ranges in prop::collection::vec((0u32..60, 1u32..20), 1..40), last in 0u16..40,
        ) {
            let records: Vec<_> = (0u16..).zip(&ranges).map(|(n, (from, length))| held(n, *from, from + length)).collect();
            for (n, part) in judge(&records, Some(last)).into_iter().enumerate() {
                let Part::Residual(remains) = part else { continue };
                let own = &records[n].record;
                let floor = records[..n].iter().filter(|held| held.record.start_offset < own.end_offset)
                    .map(|held| held.record.end_offset).max().unwrap_or(0);
                prop_assert_eq!(remains.from, u64::from(floor.max(own.start_offset)));
                prop_assert_eq!(remains.bytes, u64::from(own.end_offset.saturating_sub(floor.max(own.start_offset))));
            }
        }
    }
}
