//! Records in the order they were written, and the passes of the recorder they belong to.
//!
//! Facts: `docs/formats/hikvision.md` section 4.2. A pass begins anew at the start of the block, so an offset that steps back begins an older
//! generation. A time that steps back may be a clock that was set: numbers that go on then say that it is the same pass.

use super::{RECORD_BYTES, TailRecord};

/// A time may step back by this much without meaning anything.
const TOLERATED_SECONDS: u32 = 2;
/// A clock that is set back for summer time, or by a time server, moves by less; a block is not written anew so soon.
const CLOCK_SECONDS: u32 = 7200;
/// Neighbouring key frames.
const SAME_SECONDS: u32 = 60;
/// Key frames are rarely further apart inside a recording.
const PAUSE_SECONDS: u32 = 3600;
/// Records behind a strange one that are looked at: it may be damaged, and the pass go on behind it.
const AHEAD: usize = 4;
/// How far numbers and offsets may step on, in steps of their own, for the pass to be the same.
const STEPS_MAX: u64 = 16;

/// Orders records that stand in descending order of their places, and numbers the generations.
pub fn settle(records: Vec<TailRecord>) -> Vec<TailRecord> {
    let mut out: Vec<TailRecord> = Vec::with_capacity(records.len());
    let mut run: Vec<TailRecord> = Vec::new();
    for record in records {
        let goes_on = run.last().is_none_or(|above| {
            record.at.offset().saturating_add(RECORD_BYTES) == above.at.offset()
        });
        if !goes_on {
            out.append(&mut written_order(std::mem::take(&mut run)));
        }
        run.push(record);
    }
    out.append(&mut written_order(run));
    number(&mut out);
    out
}

/// A run whose offsets mostly fall towards lower places was written upwards.
fn written_order(mut run: Vec<TailRecord>) -> Vec<TailRecord> {
    let steps = run.len().saturating_sub(1);
    let falling = run
        .iter()
        .zip(run.iter().skip(1))
        .filter(|(above, below)| below.offset < above.offset)
        .count();
    if falling.saturating_mul(2) > steps {
        run.reverse();
    }
    run
}

fn number(records: &mut [TailRecord]) {
    let mut pass = Pass::default();
    let mut generation = 0u32;
    for place in 0..records.len() {
        let Some((record, ahead)) = records.get(place..).and_then(<[_]>::split_first) else {
            break;
        };
        let record = *record;
        let ahead = ahead.get(..ahead.len().min(AHEAD)).unwrap_or(&[]);
        let mut is_damaged = false;
        if let Some(before) = pass.last {
            // The pass goes on behind it, and not from it.
            is_damaged = !pass.goes_on(&before, &record)
                && ahead
                    .iter()
                    .any(|next| pass.goes_on(&before, next) && !pass.goes_on(&record, next));
            if !is_damaged && pass.is_older(&before, &record) {
                if !pass.is_false_start(&before, &record) {
                    generation = generation.saturating_add(1);
                }
                pass = Pass::default();
            }
        }
        if !is_damaged {
            pass.take(&record);
        }
        if let Some(record) = records.get_mut(place) {
            record.generation = generation;
        }
    }
}

/// What the records of a pass have in common so far.
#[derive(Default)]
struct Pass {
    last: Option<TailRecord>,
    /// Records so far.
    count: usize,
    first_number: u64,
    /// Largest step of the number.
    number_step: u64,
    /// Largest step of the offset.
    offset_step: u64,
}

impl Pass {
    fn take(&mut self, record: &TailRecord) {
        match self.last {
            Some(before) => {
                let step = u64::from(record.number.saturating_sub(before.number));
                self.number_step = self.number_step.max(step);
                let step = record.offset.saturating_sub(before.offset);
                self.offset_step = self.offset_step.max(step);
            }
            None => self.first_number = u64::from(record.number),
        }
        self.last = Some(*record);
        self.count = self.count.saturating_add(1);
    }

    /// True where `record` is clearly of the same pass as `before`, and not far behind it.
    fn goes_on(&self, before: &TailRecord, record: &TailRecord) -> bool {
        let step = record.offset.saturating_sub(before.offset);
        let is_near = self.offset_step == 0 || within(step, self.offset_step);
        let pause = record.raw_time.saturating_sub(before.raw_time);
        !self.is_older(before, record) && is_near && pause <= PAUSE_SECONDS
    }

    /// True where the pass so far is one record with a false offset: the next one is of the same time.
    fn is_false_start(&self, before: &TailRecord, record: &TailRecord) -> bool {
        let pause = record.raw_time.checked_sub(before.raw_time);
        self.count == 1 && before.offset != 0 && pause.is_some_and(|pause| pause <= SAME_SECONDS)
    }

    /// True where `record` belongs to an older pass than `before`.
    fn is_older(&self, before: &TailRecord, record: &TailRecord) -> bool {
        let Some(offset_step) = record.offset.checked_sub(before.offset).filter(|step| *step > 0)
        else {
            return true;
        };
        let back = before.raw_time.saturating_sub(record.raw_time);
        let is_dated = record.time.is_some() && before.time.is_some();
        if !is_dated || back <= TOLERATED_SECONDS {
            return false;
        }
        let number_step = u64::from(record.number).checked_sub(u64::from(before.number));
        let goes_on = within(offset_step, self.offset_step)
            && number_step.is_some_and(|step| step > 0 && within(step, self.number_step));
        // Numbers that begin with the block are alike in every pass; a running counter is not.
        let is_running = !within(self.first_number, self.number_step);
        !(goes_on && (is_running || back <= CLOCK_SECONDS))
    }
}

fn within(step: u64, usual: u64) -> bool {
    step <= usual.max(1).saturating_mul(STEPS_MAX)
}
