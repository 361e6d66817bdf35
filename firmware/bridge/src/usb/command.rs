//! One command of the bridge to a drive, with the sense data that belong to it.
//!
//! Facts: the published policy, sections 3.1 (no retry, no padding) and 6.3 (short data with good status is an error); SPC-4, section 4.3 (a
//! command with an allocation length may answer with less); SAT-3, section 12.2.2 (registers come as sense). A drive tells once that its medium
//! was exchanged (5.5): a lost answer must not take that along.

use wb_policy::{
    down::DownCommand,
    sense::{MEDIUM_CHANGED, NO_SENSE, Sense, TARGET_FAILURE},
};

use crate::{
    Micros,
    drive::{Completion, Fault, Slot, Status},
    host::{HostController, Into},
};

use super::{
    transport::{Outcome, Transport},
    wire::Wire,
};

/// Sense key of a unit attention.
pub(super) const UNIT_ATTENTION: u8 = 0x6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Command,
    /// REQUEST SENSE after a command that brought so many bytes; `passed`: the command itself was good.
    Sense {
        delivered: u32,
        passed: bool,
    },
    /// REQUEST SENSE after a command whose own end was lost, on a unit whose medium can be exchanged.
    Medium(Fault),
}

/// A command in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    command: DownCommand,
    slot: Slot,
    /// Logical unit and bytes in its blocks.
    target: (u8, u32),
    phase: Phase,
    /// The medium can be exchanged: what the drive says of it must not be lost.
    watched: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) completion: Completion,
    /// Whether only a port reset is left.
    pub(super) broken: bool,
    /// Whether a reset recovery was made, which the drive reports as a unit attention.
    pub(super) recovered: bool,
    /// What the drive said of its medium besides its status, or may have said where its words were lost.
    pub(super) notice: Notice,
}

/// What is known of the medium of a watched unit after a lost answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nothing beyond the status.
    None,
    /// A unit attention other than an exchange, which may stand before or in place of one.
    Attention,
    /// The words were lost that may have told of an exchange.
    Unheard,
}

impl Ended {
    fn answered(status: Status, delivered: u32) -> Self {
        let completion = Completion { status, delivered };
        Self { completion, broken: false, recovered: false, notice: Notice::None }
    }

    fn failed(fault: Fault, broken: bool) -> Self {
        let completion = Completion { status: Status::Fault(fault), delivered: 0 };
        Self { completion, broken, recovered: !broken, notice: Notice::None }
    }
}

impl Running {
    /// Begins a command whose data go to `slot`; `None` if the policy has no wrapper for it.
    pub(super) fn begin<H: HostController>(
        wire: &mut Wire<H>,
        transport: &mut Transport,
        command: DownCommand,
        slot: Slot,
        target: (u8, u32),
        now: Micros,
    ) -> Option<Self> {
        let running = Self { command, slot, target, phase: Phase::Command, watched: false };
        transport.begin(wire, target, &command, Into::Slot(slot), now).then_some(running)
    }

    /// The same, on a unit whose medium can be exchanged if `watched`.
    pub(super) fn watching_medium(self, watched: bool) -> Self {
        Self { watched, ..self }
    }

    /// Takes the command off the bus. It goes on until both sides are in step again, and ends then.
    pub(super) fn abandon<H: HostController>(
        &self,
        wire: &mut Wire<H>,
        transport: &mut Transport,
        now: Micros,
    ) {
        transport.abandon(wire, now);
    }

    pub(super) fn command(&self) -> &DownCommand {
        &self.command
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// Advances the command, and the REQUEST SENSE after it.
    pub(super) fn poll<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        transport: &mut Transport,
        now: Micros,
    ) -> Option<Ended> {
        let outcome = transport.poll(wire, now)?;
        let (passed, delivered) = match outcome {
            Outcome::Answered { passed, delivered } => (passed, delivered),
            Outcome::Recovered(fault) => return self.after_recovery(wire, transport, fault, now),
            Outcome::Broken(fault) => return Some(Ended::failed(fault, true)),
        };
        match self.phase {
            Phase::Command => self.after_command(wire, transport, passed, delivered, now),
            Phase::Sense { delivered: data, passed: good } => {
                let answer = passed.then(|| transport.kept(delivered));
                let is_lost = self.watched && answer.is_none_or(<[u8]>::is_empty);
                let notice = if is_lost { Notice::Unheard } else { Notice::None };
                Some(Ended { notice, ..Ended::answered(sense_status(answer, good), data) })
            }
            Phase::Medium(fault) => {
                let answer = passed.then(|| transport.kept(delivered));
                Some(ended_with_sense(fault, answer))
            }
        }
    }

    fn after_command<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        transport: &mut Transport,
        passed: bool,
        delivered: u32,
        now: Micros,
    ) -> Option<Ended> {
        // An adapter may end a register command with good status; the registers are in the sense all the same.
        if passed && !self.command.answers_in_registers() {
            let requested = self.command.encode(self.target.1).data_in;
            let short = delivered < requested && !may_be_short(&self.command);
            let status = if short { Status::Fault(Fault::ShortData) } else { Status::Good };
            return Some(Ended::answered(status, delivered));
        }
        self.phase = Phase::Sense { delivered, passed };
        let request = if self.command.answers_in_registers() {
            DownCommand::RequestSenseRegisters
        } else {
            DownCommand::RequestSense
        };
        if transport.begin(wire, self.target, &request, Into::Status, now) {
            wire.count_own();
            None
        } else {
            Some(Ended::answered(sense_status(None, passed), delivered))
        }
    }

    /// Both sides are in step again. A command that failed, and whose sense cannot be had either, is still the drive's error; its good data
    /// still count. A watched command may have ended in a unit attention that the drive tells once more, to REQUEST SENSE alone.
    fn after_recovery<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        transport: &mut Transport,
        fault: Fault,
        now: Micros,
    ) -> Option<Ended> {
        let ended = match self.phase {
            Phase::Command if self.watched => {
                self.phase = Phase::Medium(fault);
                let request = DownCommand::RequestSense;
                if transport.begin(wire, self.target, &request, Into::Status, now) {
                    wire.count_own();
                    return None;
                }
                Ended::failed(fault, false)
            }
            Phase::Command | Phase::Medium(_) => Ended::failed(fault, false),
            Phase::Sense { delivered, passed } => {
                let ended = Ended::answered(sense_status(None, passed), delivered);
                Ended { recovered: true, ..ended }
            }
        };
        let notice = if self.watched { Notice::Unheard } else { Notice::None };
        Some(Ended { notice, ..ended })
    }
}

/// A watched command whose own end was lost, after REQUEST SENSE: an exchange is its status, everything else leaves it at the fault.
fn ended_with_sense(fault: Fault, answer: Option<&[u8]>) -> Ended {
    let failed = Ended::failed(fault, false);
    let Some(bytes) = answer.filter(|bytes| !bytes.is_empty()) else {
        return Ended { notice: Notice::Unheard, ..failed };
    };
    let sense = Sense::of_drive(bytes);
    let code = sense.code();
    if (code.key, code.asc) == (MEDIUM_CHANGED.key, MEDIUM_CHANGED.asc) {
        Ended { recovered: true, ..Ended::answered(Status::Check(sense), 0) }
    } else if code.key == UNIT_ATTENTION {
        Ended { notice: Notice::Attention, ..failed }
    } else {
        failed
    }
}

/// Status of a command whose sense was asked for; `None` if the drive did not give any.
fn sense_status(answer: Option<&[u8]>, passed: bool) -> Status {
    match answer.filter(|bytes| !bytes.is_empty()).map(Sense::of_drive) {
        // A command that passed and left neither registers nor anything else to report.
        Some(sense) if passed && sense.code() == NO_SENSE => Status::Good,
        Some(sense) => Status::Check(sense),
        None if passed => Status::Good,
        None => Status::Check(Sense::new(TARGET_FAILURE)),
    }
}

/// Whether a shorter answer is no error: the command has an allocation length, and the answer says itself how long it is.
fn may_be_short(command: &DownCommand) -> bool {
    matches!(
        command,
        DownCommand::Inquiry(_)
            | DownCommand::Vpd(_)
            | DownCommand::ModeSense
            | DownCommand::RequestSense
            | DownCommand::RequestSenseRegisters
            | DownCommand::ReadCapacity16
            | DownCommand::LogSense(..)
            | DownCommand::LogSenseSubpages(_)
            | DownCommand::ReportZones { .. }
            | DownCommand::SecurityProtocolIn { .. }
    )
}
