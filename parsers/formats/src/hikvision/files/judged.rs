//! The records of one media file, judged, and what an index holds in numbers.

use daleel_core::Finding;

use super::{
    index::{Held, Index},
    residual::{Front, Part, judge},
};

/// What an index holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are there.
    pub records: u64,
    /// Of these, records of earlier passes.
    pub residual: u64,
    /// Residual records that neither the footage nor the key-frame runs of the current pass touch.
    pub beyond_pass: u64,
    /// Residual segments of which no record of a later pass covers a byte.
    pub whole: u64,
    /// Residual segments of which the last bytes are left.
    pub tails: u64,
    /// Residual segments written over.
    pub overwritten: u64,
    /// Residual records that make no sense: not listed.
    pub faulty: u64,
    /// Segments being written.
    pub open: u64,
    /// Residual records dated before such recorders existed.
    pub early: u64,
}

/// The records of one media file, judged.
pub struct Judged {
    pub(super) held: Vec<Held>,
    parts: Vec<Part>,
    pub(super) front: Front,
}

impl Judged {
    /// The records of a media file of an index.
    pub fn of(index: &Index, file: u32) -> (Self, Vec<Finding>) {
        let records = index.records(file);
        let (last, _) = index.last_current(file);
        let parts = judge(&records.held, last);
        let front = Front::of(&records.held, last);
        (Self { held: records.held, parts, front }, records.findings)
    }

    /// Records and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&Held, Part)> {
        self.held.iter().zip(self.parts.iter().copied())
    }

    /// The record at a place.
    pub fn get(&self, slot: u16) -> Option<(&Held, Part)> {
        self.iter().find(|(held, _)| held.slot == slot)
    }

    /// Adds what this file holds.
    pub fn count(&self, counts: &mut Counts) {
        let add = |to: &mut u64, is: bool| *to = to.saturating_add(u64::from(is));
        for (held, part) in self.iter() {
            add(&mut counts.records, true);
            let Part::Residual(remains) = part else {
                add(&mut counts.open, held.record.is_open());
                continue;
            };
            add(&mut counts.residual, true);
            add(&mut counts.beyond_pass, remains.is_beyond_current_pass());
            add(&mut counts.faulty, remains.has_fault);
            add(&mut counts.early, held.record.is_before_cameras());
            let whole = remains.is_whole(&held.record);
            add(&mut counts.whole, whole);
            add(&mut counts.tails, !remains.has_fault && !whole && remains.bytes > 0);
            add(&mut counts.overwritten, !remains.has_fault && remains.bytes == 0);
        }
    }
}
