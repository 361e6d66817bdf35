//! The data phase towards the host: one state for each thing that can be under way.
//!
//! Facts: Bulk-Only Transport, section 6.7; the published policy, section 6.1. A refused command's data-out is drained to its last
//! byte before its status is sent, and the status is always sent.

use wb_attest::digest::HashEngine;
use wb_policy::{
    cbw::{Cbw, CswStatus, csw},
    down::DownCommand,
    sense::{self, Sense},
};

use super::{Bridge, Csw, REPLY_BYTES};
use crate::{
    audit::Event,
    drive::{Completion, Drive, Slot, Status},
    pipes::Pipes,
    read::{Failure, Hashed, ReadJob},
    thirteen::{DataPhase, Intent, decide},
};

/// Data-out of a refused command up to this length is drained; more is stopped by a halt (6.1).
pub const DRAIN_BYTES: u32 = 16 << 20;
/// Room for the largest packet of a bulk endpoint.
pub(super) const PACKET_BYTES: usize = 512;

/// Packets that a controller may hold when its endpoint is halted.
const IN_FLIGHT: usize = 4;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub tag: u32,
    pub residue: u32,
    pub status: CswStatus,
}

impl End {
    fn wrapper(self) -> Csw {
        csw(self.tag, self.residue, self.status)
    }
}

/// Where the bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Reply,
    Slot(Slot),
}

/// A command at the drive other than READ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub command: DownCommand,
    pub tag: u32,
    pub host: Intent,
    /// Bytes that the host takes at most.
    pub limit: u32,
    /// The host wants the registers back whatever comes of it (CK_COND).
    pub registers: bool,
    /// They are those of a 48-bit command.
    pub extend: bool,
    pub started: bool,
}

/// What is under way towards the host. There is one, in place, so its size is that of its largest variant.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum State {
    /// The next transfer is a command wrapper.
    Idle,
    /// An answer is leaving.
    Sending { from: From, length: u32, sent: u32, end: End, wanted: u32 },
    /// A command is at the drive.
    Asking(Asking),
    /// A READ.
    Reading(ReadJob),
    /// Data of a refused command are coming in.
    Draining { left: u32, end: End },
    /// The data phase ended early: the endpoint is halted once what was queued has left, and the status follows when the host has
    /// cleared it.
    Halting { end: End, is_halted: bool },
    /// The status is to be sent.
    Status(Csw),
    /// Not a command wrapper: both endpoints are halted until reset recovery.
    Invalid,
}

impl State {
    pub fn is_at_the_drive(&self) -> bool {
        match self {
            Self::Asking(asking) => asking.started,
            Self::Reading(job) => job.is_filling(),
            _ => false,
        }
    }
}

impl<D: Drive, E: HashEngine, const RING: usize> Bridge<'_, D, E, RING> {
    /// One step towards the host; whether anything moved. Out of line: merged into [`Bridge::poll`], what any state may need would be
    /// prepared at each poll, which costs more than a packet's own work.
    #[inline(never)]
    pub(super) fn step(&mut self, pipes: &mut impl Pipes) -> bool {
        match &mut self.state {
            State::Idle => self.next_command(pipes),
            State::Sending { .. } => self.send(pipes),
            State::Asking(asking) => {
                if asking.started {
                    return false;
                }
                asking.started = self.drive.start(&asking.command, Slot::A, self.now);
                asking.started
            }
            State::Reading(_) => self.read_on(pipes),
            State::Draining { .. } => self.drain(pipes),
            State::Halting { end, is_halted } => {
                let end = *end;
                if *is_halted {
                    let is_cleared = !pipes.is_in_stalled();
                    if is_cleared {
                        self.state = State::Status(end.wrapper());
                    }
                    return is_cleared;
                }
                if !pipes.is_flushed() {
                    return false;
                }
                pipes.stall_in();
                self.state = State::Halting { end, is_halted: true };
                true
            }
            State::Status(wrapper) => {
                let is_sent = pipes.write(wrapper).is_some();
                if is_sent {
                    self.state = State::Idle;
                }
                is_sent
            }
            State::Invalid => {
                // The host may clear the halts, which does not end them: only reset recovery does (6.6.1).
                if !pipes.is_in_stalled() {
                    pipes.stall_in();
                }
                if !pipes.is_out_stalled() {
                    pipes.stall_out();
                }
                false
            }
        }
    }

    fn next_command(&mut self, pipes: &mut impl Pipes) -> bool {
        let mut packet = [0; PACKET_BYTES];
        let Some(length) = pipes.read(&mut packet) else { return false };
        if core::mem::take(&mut self.may_be_stale) && !pipes.is_flushed() {
            // Not carried out: its answer would stand behind the packet that is still there.
            self.reconnect = true;
            return true;
        }
        match Cbw::parse(packet.get(..length).unwrap_or_default(), 0) {
            Ok(cbw) => self.execute(&cbw),
            Err(_) => self.invalid(),
        }
        true
    }

    fn invalid(&mut self) {
        self.count_invalid();
        self.note(Event::InvalidCommand);
        self.state = State::Invalid;
    }

    /// Ends a command whose device side is known, with what it is to send in place.
    pub(super) fn conclude(&mut self, tag: u32, host: Intent, has: u32, from: From, failed: bool) {
        let device = if has == 0 { Intent::None } else { Intent::In(has) };
        let case = decide(host, device);
        let status = match case.status {
            CswStatus::Passed if failed => CswStatus::Failed,
            status => status,
        };
        let end = End { tag, residue: case.residue, status };
        self.state = match case.data {
            DataPhase::None => State::Status(end.wrapper()),
            DataPhase::Send { bytes, .. } => {
                State::Sending { from, length: bytes, sent: 0, end, wanted: host.bytes() }
            }
            DataPhase::Drain(bytes) => State::Draining { left: bytes, end },
        };
    }

    /// Ends a command with a failure and no data.
    pub(super) fn fail(&mut self, tag: u32, host: Intent, sense: Sense) {
        self.sense = sense;
        self.conclude(tag, host, 0, From::Reply, true);
    }

    fn send(&mut self, pipes: &mut impl Pipes) -> bool {
        let State::Sending { from, length, sent, end, wanted } = &mut self.state else {
            return false;
        };
        if *sent < *length {
            let data: &[u8] = match from {
                From::Reply => &self.reply,
                From::Slot(slot) => self.drive.data(*slot),
            };
            let range = index(*sent)..index(*length);
            let Some(taken) = pipes.write(data.get(range).unwrap_or_default()) else {
                return false;
            };
            *sent = sent.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
            return true;
        }
        let ended = is_ended(*length, *wanted, pipes.max_packet());
        self.state = after_data(*end, ended);
        true
    }

    fn drain(&mut self, pipes: &mut impl Pipes) -> bool {
        let State::Draining { left, end } = &mut self.state else { return false };
        let end = *end;
        if *left > DRAIN_BYTES {
            pipes.stall_out();
            // Data that came before the halt are no command.
            let mut packet = [0; PACKET_BYTES];
            for _ in 0..IN_FLIGHT {
                if pipes.read(&mut packet).is_none() {
                    break;
                }
            }
            self.state = State::Status(end.wrapper());
            return true;
        }
        if *left > 0 {
            let mut packet = [0; PACKET_BYTES];
            let Some(length) = pipes.read(&mut packet) else { return false };
            *left = left.saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
            // A short packet ends the host's data phase.
            if length < pipes.max_packet() {
                *left = 0;
            }
        }
        if *left == 0 {
            self.state = State::Status(end.wrapper());
        }
        true
    }

    /// This is where the bridge spends its time: once for each packet. What happens once for each slot is out of line.
    #[inline(never)]
    pub(super) fn read_on(&mut self, pipes: &mut impl Pipes) -> bool {
        let State::Reading(job) = &mut self.state else { return false };
        let mut moved = job.is_due && self.ask_for_blocks();
        let State::Reading(job) = &mut self.state else { return false };
        if let Some(ready) = &mut job.leaving {
            let data = self.drive.data(ready.slot);
            // As many packets as the endpoint has room for: that nothing more moves needs no other step to find out.
            let mut rest = data.get(ready.sent..ready.bytes).unwrap_or_default();
            while !rest.is_empty() {
                let Some(taken) = pipes.write(rest) else { return moved };
                if ready.hashed == Hashed::Not {
                    self.session.leaving(ready, data, job.geometry);
                }
                let piece = rest.get(..taken).unwrap_or_default();
                if ready.hashed == Hashed::Packets {
                    self.session.chunks.feed(piece);
                }
                // Not more than there are in the slot.
                ready.sent = ready.sent.wrapping_add(piece.len());
                rest = rest.get(taken..).unwrap_or_default();
            }
            // What is queued has not left: the host may never take it (4.4).
            if !pipes.is_flushed() {
                return moved;
            }
            self.slot_has_left();
            moved = true;
        }
        self.end_read(pipes.max_packet()) || moved
    }

    /// Asks the drive for the next blocks of a READ; whether it took the command.
    #[inline(never)]
    fn ask_for_blocks(&mut self) -> bool {
        let State::Reading(job) = &mut self.state else { return false };
        let Some((command, slot, range)) = job.next_command(self.drive.slot_bytes()) else {
            job.is_due = false;
            return false;
        };
        let is_started = self.drive.start(&command, slot, self.now);
        if is_started {
            job.started(slot, range);
        }
        is_started
    }

    /// All of a slot has left for the host.
    #[inline(never)]
    fn slot_has_left(&mut self) {
        let State::Reading(job) = &mut self.state else { return };
        let Some(ready) = job.leaving else { return };
        // A session covers what left after its START, so not the slot that was leaving then.
        if ready.session == Some(self.session.number) {
            self.session.left(ready.lba, job.geometry, ready.bytes);
        }
        self.last_read = Some(self.now);
        job.left();
    }

    /// Ends a READ of which nothing more will come; whether that is so.
    #[inline(never)]
    fn end_read(&mut self, max_packet: usize) -> bool {
        let State::Reading(job) = &mut self.state else { return false };
        if !job.is_over() {
            return false;
        }
        let residue = job.residue();
        let ended = is_ended(job.sent(), job.wanted, max_packet);
        let (tag, geometry, failure) = (job.tag, job.geometry, job.failure);
        let status = match job.status {
            CswStatus::Passed if failure.is_some() => CswStatus::Failed,
            status => status,
        };
        if let Some(Failure { sense, lba, blocks }) = failure {
            let code = sense.code();
            self.sense = sense;
            if sense.is_from_drive() {
                self.drive_sense = Some(code);
            }
            if blocks > 0 {
                self.session.failed(lba, blocks, geometry, code);
                self.note(Event::ReadError { lba, key: code.key });
            }
        }
        self.state = after_data(End { tag, residue, status }, ended);
        true
    }

    /// A command at the drive ended.
    pub(super) fn on_done(&mut self, completion: &Completion) {
        match completion.status {
            // A spin-up may be sent only while the drive's last word is that it needs one (3.3).
            Status::Good => self.drive_sense = None,
            Status::Fault(_) => self.note(Event::DriveFault),
            Status::Check(_) => {}
        }
        match &mut self.state {
            State::Reading(job) => job.done(completion),
            State::Asking(asking) if asking.started => {
                let asking = *asking;
                self.answered(&asking, completion);
            }
            // Given up in the meantime.
            _ => {}
        }
    }

    /// The drive has gone, or is another one: a command that waits for it fails.
    pub(super) fn lose_command(&mut self) {
        self.session.chunks.revoke();
        match &self.state {
            State::Asking(asking) => {
                let (tag, host) = (asking.tag, asking.host);
                self.fail(tag, host, Sense::new(sense::NOT_PRESENT));
            }
            State::Reading(job) => {
                let residue = job.residue();
                let end = End { tag: job.tag, residue, status: CswStatus::Failed };
                self.sense = Sense::new(sense::NOT_PRESENT);
                self.state = after_data(end, residue == 0);
            }
            State::Sending { from: From::Slot(_), length, sent, end, .. } => {
                let residue = end.residue.saturating_add(length.saturating_sub(*sent));
                let end = End { residue, status: CswStatus::Failed, ..*end };
                self.sense = Sense::new(sense::NOT_PRESENT);
                self.state = after_data(end, residue == 0);
            }
            _ => {}
        }
    }
}

/// Whether the host knows that the data phase is over: it has all it waits for, or the last packet was short.
fn is_ended(sent: u32, wanted: u32, max_packet: usize) -> bool {
    let packet = u32::try_from(max_packet).unwrap_or(u32::MAX);
    sent >= wanted || sent.checked_rem(packet).is_some_and(|rest| rest > 0)
}

fn after_data(end: End, ended: bool) -> State {
    if ended { State::Status(end.wrapper()) } else { State::Halting { end, is_halted: false } }
}

fn index(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(REPLY_BYTES)
}
