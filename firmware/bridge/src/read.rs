//! One READ of the host: cut into commands that fit a slot, stored before they go on, stopped at the block that fails.
//!
//! Facts: the published policy, section 3.1. Two slots take turns, so the drive fills one while the other leaves. Blocks that lie before the
//! failing one are delivered, nothing behind it is, and the host learns its number:
//!
//! - the drive names the block (INFORMATION): what lies before it is delivered, and read first where the drive did not send it;
//! - the drive names none: the command's blocks are read one by one until one fails. That is one more attempt at that block, and it
//!   is what makes the host's set of unreadable blocks the drive's (D-02).

use wb_policy::{
    cbw::CswStatus,
    down::DownCommand,
    geometry::{BlockRange, Geometry},
    sense::{self, Code, Sense},
};

use crate::drive::{Completion, Fault, Slot, Status};

/// How far the hash engine is with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashed {
    /// Nothing has left.
    Not,
    /// It gets each packet that leaves.
    Packets,
    /// It has had all there is, or is not to have it: no session was open when the first packet left.
    All,
}

/// Blocks of a slot that are valid.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Where they are.
    pub slot: Slot,
    /// First block.
    pub lba: u64,
    /// Bytes.
    pub bytes: usize,
    /// Bytes that have left, or wait in the endpoint.
    pub sent: usize,
    /// What the hash engine has had of it.
    pub hashed: Hashed,
    /// Number of the newest session when the first byte left, if all of them did so far.
    pub session: Option<u32>,
}

/// Where a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the host is told.
    pub sense: Sense,
    /// First block that is known to have failed, or of which it is not known.
    pub lba: u64,
    /// How many such blocks.
    pub blocks: u64,
}

/// A READ in progress.
#[derive(Debug)]
pub struct ReadJob {
    /// Tag of the host's command.
    pub tag: u32,
    /// Bytes the host waits for.
    pub wanted: u32,
    /// Whether there may be something to ask the drive for: since it was last looked at, a slot or the drive became free.
    pub is_due: bool,
    /// Bytes of slots that have left.
    gone: u32,
    /// Status if nothing fails: a phase error where the host announced less than it asked for.
    pub status: CswStatus,
    /// Blocks leaving.
    pub leaving: Option<Ready>,
    /// Why it ends early.
    pub failure: Option<Failure>,
    /// The drive's visible size.
    pub geometry: Geometry,
    next: u64,
    end: u64,
    /// Up to here blocks are read one by one.
    alone_until: u64,
    /// What is told once `next` reaches `end`.
    last_words: Option<Failure>,
    filling: Option<(Slot, BlockRange)>,
    waiting: Option<Ready>,
}

impl ReadJob {
    /// A READ of `blocks` blocks from `lba`, none of which has been asked for yet.
    #[must_use]
    pub fn new(
        tag: u32,
        wanted: u32,
        status: CswStatus,
        geometry: Geometry,
        lba: u64,
        blocks: u32,
    ) -> Self {
        Self {
            tag,
            wanted,
            is_due: true,
            gone: 0,
            status,
            leaving: None,
            failure: None,
            geometry,
            next: lba,
            end: lba.saturating_add(u64::from(blocks)),
            alone_until: 0,
            last_words: None,
            filling: None,
            waiting: None,
        }
    }

    /// The next command to the drive and its slot, if a slot is free and there is something left to ask for.
    #[must_use]
    pub fn next_command(&self, slot_bytes: usize) -> Option<(DownCommand, Slot, BlockRange)> {
        let is_full = self.filling.is_some() || self.waiting.is_some();
        if is_full || self.failure.is_some() || self.next >= self.end {
            return None;
        }
        let left = self.end.checked_sub(self.next)?;
        let room = u64::try_from(slot_bytes).ok()?.checked_div(self.geometry.block_bytes.into())?;
        let room = if self.next < self.alone_until { 1 } else { room };
        let range = self.geometry.range(self.next, u32::try_from(left.min(room)).ok()?)?;
        let slot = self.leaving.map_or(Slot::A, |ready| ready.slot.other());
        Some((DownCommand::Read(range), slot, range))
    }

    /// The command was started.
    pub fn started(&mut self, slot: Slot, range: BlockRange) {
        self.is_due = false;
        self.filling = Some((slot, range));
        self.next = range.lba().saturating_add(u64::from(range.blocks()));
    }

    /// Whether a command of this READ is at the drive.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// The command at the drive ended.
    pub fn done(&mut self, completion: &Completion) {
        let Some((slot, range)) = self.filling.take() else { return };
        self.is_due = true;
        let bytes = u64::from(range.blocks()).saturating_mul(self.geometry.block_bytes.into());
        let is_whole = u64::from(completion.delivered) == bytes;
        match completion.status {
            Status::Good if is_whole => self.ready(slot, range, u64::from(range.blocks())),
            Status::Good | Status::Fault(Fault::ShortData) => self.short(range),
            Status::Fault(fault) => self.fail_without_place(fault_sense(fault), range),
            // RECOVERED ERROR: the data are right, and the host is told at the end.
            Status::Check(sense) if sense.code().key == 1 && is_whole => {
                self.ready(slot, range, u64::from(range.blocks()));
                self.last_words.get_or_insert(Failure { sense, lba: range.lba(), blocks: 0 });
            }
            Status::Check(sense) => self.check(slot, range, completion.delivered, sense),
        }
    }

    /// Bytes are missing and the drive says all is well: block by block it may do better, and what cannot be had then is named.
    fn short(&mut self, range: BlockRange) {
        if range.blocks() == 1 {
            self.fail_without_place(fault_sense(Fault::ShortData), range);
        } else {
            self.next = range.lba();
            self.alone_until = range.lba().saturating_add(u64::from(range.blocks()));
        }
    }

    fn check(&mut self, slot: Slot, range: BlockRange, delivered: u32, sense: Sense) {
        let end = range.lba().saturating_add(u64::from(range.blocks()));
        let is_error = sense.code().key > 1;
        let place = sense.information().filter(|lba| is_error && (range.lba()..end).contains(lba));
        match place {
            Some(lba) => {
                let good = lba.saturating_sub(range.lba());
                let have = u64::from(delivered).checked_div(self.geometry.block_bytes.into());
                let have = have.unwrap_or(0).min(good);
                self.ready(slot, range, have);
                self.next = range.lba().saturating_add(have);
                self.end = lba;
                self.last_words = Some(Failure { sense, lba, blocks: 1 });
            }
            None if range.blocks() == 1 && names_a_block(sense.code()) => {
                let sense = sense.with_information(range.lba());
                self.failure = Some(Failure { sense, lba: range.lba(), blocks: 1 });
            }
            None if names_a_block(sense.code()) => {
                self.next = range.lba();
                self.alone_until = end;
            }
            // Bytes are missing, and the drive has nothing to say about it that a host would take for a failure.
            None if sense.code().key <= 1 => {
                self.fail_without_place(fault_sense(Fault::ShortData), range);
            }
            None => self.fail_without_place(sense, range),
        }
    }

    fn fail_without_place(&mut self, sense: Sense, range: BlockRange) {
        self.failure = Some(Failure { sense, lba: range.lba(), blocks: u64::from(range.blocks()) });
    }

    /// Blocks of a slot are valid from its beginning.
    fn ready(&mut self, slot: Slot, range: BlockRange, blocks: u64) {
        let bytes = blocks.saturating_mul(self.geometry.block_bytes.into());
        let bytes = usize::try_from(bytes).unwrap_or(0);
        if bytes == 0 {
            return;
        }
        let ready =
            Ready { slot, lba: range.lba(), bytes, sent: 0, hashed: Hashed::Not, session: None };
        if self.leaving.is_none() {
            self.leaving = Some(ready);
        } else {
            self.waiting = Some(ready);
        }
    }

    /// All of the slot that was leaving has left: the next one follows.
    pub fn left(&mut self) {
        self.is_due = true;
        self.gone = self.sent();
        self.leaving = self.waiting.take();
    }

    /// The slot that is leaving does not reach the host whole: no session covers it.
    pub fn uncover(&mut self) {
        if let Some(ready) = &mut self.leaving {
            ready.session = None;
        }
    }

    /// Bytes that have left, or wait in the endpoint.
    #[must_use]
    pub fn sent(&self) -> u32 {
        let leaving = self.leaving.map_or(0, |ready| ready.sent);
        self.gone.saturating_add(u32::try_from(leaving).unwrap_or(u32::MAX))
    }

    /// Bytes that the host waits for and has not got.
    #[must_use]
    pub fn residue(&self) -> u32 {
        self.wanted.saturating_sub(self.sent())
    }

    /// Whether nothing more will come: all has left, or all that can.
    pub fn is_over(&mut self) -> bool {
        let is_idle = self.leaving.is_none() && self.waiting.is_none() && self.filling.is_none();
        if is_idle && self.failure.is_none() && self.next >= self.end {
            self.failure = self.last_words.take();
            return true;
        }
        is_idle && self.failure.is_some()
    }
}

/// Errors that belong to a block: MEDIUM ERROR, HARDWARE ERROR, ABORTED COMMAND.
fn names_a_block(code: Code) -> bool {
    matches!(code.key, 0x3 | 0x4 | 0xB)
}

/// What the host is told about a fault below the level of sense data.
#[must_use]
pub fn fault_sense(fault: Fault) -> Sense {
    Sense::new(match fault {
        Fault::TimedOut => sense::TIMED_OUT,
        Fault::Gone => sense::NOT_PRESENT,
        Fault::ShortData | Fault::BadStatus | Fault::Phase | Fault::Bus => sense::TARGET_FAILURE,
    })
}
