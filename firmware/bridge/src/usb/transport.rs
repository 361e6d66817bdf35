//! Bulk-only transport, initiator side: wrapper, data-in, status, and reset recovery when they do not go together.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport, revision 1.0, sections 3.1 (reset), 5.3.3 and figure 2 (status transport), 5.3.4
//! (reset recovery), 6.3 to 6.7 (validity, phase error); the published policy, section 6.3. There is no data-out phase.

use wb_policy::{
    cbw::{Csw, CswStatus},
    down::{CbwOut, DownCommand},
    sense::SENSE_BYTES,
};

use crate::{
    Micros,
    drive::Fault,
    host::{Endpoints, HostController, Into, PipeFault, Request},
};

use super::wire::Wire;

/// Longest time for a command, from its wrapper to its status.
pub(super) const COMMAND_LIMIT: Micros = 60_000_000;
/// Asked for where 13 bytes of status are due, so that a longer answer shows.
const STATUS_ROOM: usize = 32;
const IN: u8 = 0x80;

/// How the drive is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) packet0: u8,
    pub(super) interface: u8,
    pub(super) endpoints: Endpoints,
}

/// How a command ended on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The drive answered: whether it passed, and the bytes that came and count.
    Answered { passed: bool, delivered: u32 },
    /// It failed; both sides are in step again, after a reset recovery where one was needed.
    Recovered(Fault),
    /// It failed and so did reset recovery: only a port reset is left.
    Broken(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Wrapper,
    Data,
    /// CLEAR_FEATURE after a stalled data phase.
    ClearData,
    /// `again`: a second try.
    Status {
        again: bool,
    },
    ClearStatus,
    Reset(Fault),
    ClearIn(Fault),
    ClearOut(Fault),
}

/// One command at a time on its way through the transport.
pub(super) struct Transport {
    link: Link,
    tag: u32,
    phase: Phase,
    requested: u32,
    into: Into,
    received: u32,
    /// Data of a command that were asked into the status buffer, before the status takes their place.
    kept: [u8; SENSE_BYTES],
    deadline: Micros,
}

impl Transport {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            tag: 0,
            phase: Phase::Idle,
            requested: 0,
            into: Into::Status,
            received: 0,
            kept: [0; SENSE_BYTES],
            deadline: 0,
        }
    }

    /// Begins a command; `false` if the policy has no wrapper for it.
    pub(super) fn begin<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        target: (u8, u32),
        command: &DownCommand,
        into: Into,
        now: Micros,
    ) -> bool {
        let (unit, block_bytes) = target;
        let tag = self.tag.wrapping_add(1);
        let Some(cbw) = CbwOut::new(tag, unit, command, block_bytes) else { return false };
        self.tag = tag;
        self.requested = cbw.data_in();
        self.into = into;
        self.received = 0;
        self.deadline = now.saturating_add(COMMAND_LIMIT);
        self.phase = Phase::Wrapper;
        wire.wrapper(&cbw, command, now, self.deadline);
        true
    }

    /// Takes the command off the bus and brings both sides back in step; [`Outcome::Recovered`] says that it is done.
    pub(super) fn abandon<H: HostController>(&mut self, wire: &mut Wire<H>, now: Micros) {
        wire.host.cancel();
        self.recover(wire, Fault::TimedOut, now);
    }

    /// Advances the command in progress.
    pub(super) fn poll<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Option<Outcome> {
        if self.phase == Phase::Idle {
            return None;
        }
        let ended = wire.poll(now)?;
        let outcome = match self.phase {
            Phase::Idle => None,
            Phase::Wrapper => self.after_wrapper(wire, ended, now),
            Phase::Data => self.after_data(wire, ended, now),
            Phase::ClearData => self.after_clear(wire, ended, false, now),
            Phase::Status { again } => self.after_status(wire, ended, again, now),
            Phase::ClearStatus => self.after_clear(wire, ended, true, now),
            Phase::Reset(fault) => self.after_reset(wire, ended, fault, now),
            Phase::ClearIn(fault) => self.after_clear_in(wire, ended, fault, now),
            Phase::ClearOut(fault) => Some(self.after_clear_out(wire, ended, fault)),
        };
        if outcome.is_some() {
            self.phase = Phase::Idle;
        }
        outcome
    }

    fn after_wrapper<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        now: Micros,
    ) -> Option<Outcome> {
        match ended {
            Ok(_) if self.requested == 0 => self.ask_status(wire, false, now),
            Ok(_) => {
                self.phase = Phase::Data;
                let length = usize::try_from(self.requested).unwrap_or(usize::MAX);
                wire.receive(self.into, length, now, self.deadline);
                None
            }
            Err(fault) => self.fail(wire, fault, Fault::Bus, now),
        }
    }

    fn after_data<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        now: Micros,
    ) -> Option<Outcome> {
        match ended {
            Ok(bytes) => {
                self.keep(wire, bytes);
                self.ask_status(wire, false, now)
            }
            Err(PipeFault::Stall) => {
                let before = wire.host.data(self.into).len();
                self.keep(wire, before);
                self.phase = Phase::ClearData;
                self.clear_halt(wire, IN | self.link.endpoints.bulk_in, now);
                None
            }
            Err(fault) => self.fail(wire, fault, Fault::Bus, now),
        }
    }

    /// Counts the data that came, and copies them out of the status buffer.
    fn keep<H: HostController>(&mut self, wire: &Wire<H>, bytes: usize) {
        self.received = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.requested);
        if self.into == Into::Status {
            for (own, byte) in self.kept.iter_mut().zip(wire.host.data(Into::Status)) {
                *own = *byte;
            }
        }
    }

    /// The first `length` bytes of the last answer that was asked into the status buffer.
    pub(super) fn kept(&self, length: u32) -> &[u8] {
        usize::try_from(length).ok().and_then(|length| self.kept.get(..length)).unwrap_or_default()
    }

    /// After CLEAR_FEATURE of a halt that belongs to the protocol.
    fn after_clear<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        again: bool,
        now: Micros,
    ) -> Option<Outcome> {
        match ended {
            Ok(_) => {
                wire.host.clear_toggle(IN | self.link.endpoints.bulk_in);
                self.ask_status(wire, again, now)
            }
            Err(fault) => self.fail(wire, fault, Fault::BadStatus, now),
        }
    }

    fn after_status<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        again: bool,
        now: Micros,
    ) -> Option<Outcome> {
        match ended {
            // Some devices end data that fill their last packet with an empty one, which then arrives here.
            Ok(0) if !again => self.ask_status(wire, true, now),
            Ok(length) => self.status(wire, length, now),
            Err(PipeFault::Stall) if !again => {
                self.phase = Phase::ClearStatus;
                self.clear_halt(wire, IN | self.link.endpoints.bulk_in, now);
                None
            }
            Err(fault) => self.fail(wire, fault, Fault::BadStatus, now),
        }
    }

    /// Judges a status wrapper (6.3, 6.4).
    fn status<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        length: usize,
        now: Micros,
    ) -> Option<Outcome> {
        let parsed = wire.host.data(Into::Status).get(..length).and_then(Csw::parse);
        let valid = parsed.filter(|csw| csw.tag == self.tag && csw.residue <= self.requested);
        let Some(csw) = valid else {
            self.recover(wire, Fault::BadStatus, now);
            return None;
        };
        if csw.status == CswStatus::PhaseError {
            self.recover(wire, Fault::Phase, now);
            return None;
        }
        let relevant = self.requested.saturating_sub(csw.residue);
        Some(Outcome::Answered {
            passed: csw.status == CswStatus::Passed,
            delivered: self.received.min(relevant),
        })
    }

    fn ask_status<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        again: bool,
        now: Micros,
    ) -> Option<Outcome> {
        self.phase = Phase::Status { again };
        wire.receive(Into::Status, STATUS_ROOM, now, self.deadline);
        None
    }

    /// A transfer of the command failed. A device that has gone is past recovery.
    fn fail<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        pipe: PipeFault,
        stalled: Fault,
        now: Micros,
    ) -> Option<Outcome> {
        let fault = match pipe {
            PipeFault::Gone => return Some(Outcome::Broken(Fault::Gone)),
            PipeFault::TimedOut => Fault::TimedOut,
            PipeFault::Error => Fault::Bus,
            PipeFault::Stall => stalled,
        };
        self.recover(wire, fault, now);
        None
    }

    /// Reset recovery (5.3.4): the class reset, then both halts cleared.
    fn recover<H: HostController>(&mut self, wire: &mut Wire<H>, fault: Fault, now: Micros) {
        self.phase = Phase::Reset(fault);
        wire.count_recovery();
        let request = Request::BulkOnlyReset { interface: self.link.interface };
        wire.control(self.link.endpoints.address, self.link.packet0, &request, now);
    }

    fn after_reset<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        fault: Fault,
        now: Micros,
    ) -> Option<Outcome> {
        if ended.is_err() {
            return Some(Outcome::Broken(fault));
        }
        self.phase = Phase::ClearIn(fault);
        self.clear_halt(wire, IN | self.link.endpoints.bulk_in, now);
        None
    }

    fn after_clear_in<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        fault: Fault,
        now: Micros,
    ) -> Option<Outcome> {
        if ended.is_err() {
            return Some(Outcome::Broken(fault));
        }
        wire.host.clear_toggle(IN | self.link.endpoints.bulk_in);
        self.phase = Phase::ClearOut(fault);
        self.clear_halt(wire, self.link.endpoints.bulk_out, now);
        None
    }

    fn after_clear_out<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        fault: Fault,
    ) -> Outcome {
        if ended.is_err() {
            return Outcome::Broken(fault);
        }
        wire.host.clear_toggle(self.link.endpoints.bulk_out);
        Outcome::Recovered(fault)
    }

    fn clear_halt<H: HostController>(&mut self, wire: &mut Wire<H>, endpoint: u8, now: Micros) {
        let request = Request::ClearHalt { endpoint };
        wire.control(self.link.endpoints.address, self.link.packet0, &request, now);
    }
}
