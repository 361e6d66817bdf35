//! A command of the host: judged, counted, and answered or started.
//!
//! Facts: the published policy, sections 1 to 5; SPC-4, section 5.14 (unit attention). A refusal comes before everything else, so that no
//! attempt to write goes uncounted behind a unit attention.

use wb_attest::{
    digest::HashEngine,
    statement::{Command, Layer, RefusalKind},
};
use wb_policy::{
    capture::Kind,
    cbw::Cbw,
    down::DownCommand,
    geometry::BlockRange,
    judge::{self, Action, Answer, Facts, Judgement, LocalEffect, judge, local_effect, opcodes},
    present::{self, CAPACITY16_BYTES, Comparison},
    sense::{self, AtaRegisters, Code, Refusal, Sense},
    tables::Class,
};

use super::{
    Bridge,
    data::{Asking, From, State},
};
use crate::{
    audit::Event,
    counters::Fate,
    drive::{Completion, Drive, Slot, Status},
    read::{ReadJob, fault_sense},
    thirteen::{Intent, decide},
};

/// Commands that are not told of a unit attention (SPC-4 5.14).
const INQUIRY: u8 = 0x12;
const REPORT_LUNS: u8 = 0xA0;
const REQUEST_SENSE: u8 = 0x03;

impl<D: Drive, E: HashEngine, const RING: usize> Bridge<'_, D, E, RING> {
    /// Executes a command: afterwards the state says what is under way.
    pub(super) fn execute(&mut self, cbw: &Cbw) {
        let host = Intent::new(cbw.direction, cbw.transfer);
        let judgement = self.judge(cbw);
        if cbw.cdb.opcode() != REQUEST_SENSE {
            self.sense = Sense::new(sense::NO_SENSE);
        }
        if let Action::Refuse(refusal) = judgement.action {
            self.refuse(cbw, host, &judgement, refusal);
            return;
        }
        let fate = if self.reaches_drive(cbw, host, &judgement) {
            Fate::Forwarded
        } else {
            Fate::Answered
        };
        self.counters.count(key(&judgement), fate);
        if let Some(code) = self.condition(cbw, &judgement.action) {
            self.fail(cbw.tag, host, Sense::new(code));
            return;
        }
        match judgement.action {
            Action::Read(Some(range)) => self.start_read(cbw, host, range),
            Action::Send(command) => self.ask(cbw, host, command, &judgement),
            Action::Answer(answer) => self.reply(cbw, host, &answer, &judgement),
            Action::Good => {
                self.take_effect(local_effect(&cbw.cdb));
                self.finish_local(cbw.tag, host, &judgement);
            }
            Action::Read(None) | Action::Refuse(_) => {
                self.conclude(cbw.tag, host, 0, From::Reply, false);
            }
        }
    }

    fn judge(&self, cbw: &Cbw) -> Judgement {
        let facts = self.facts();
        let judgement = judge(self.config.policy, &facts, cbw);
        match judgement.action {
            // A card has no other commands than these (7.4).
            Action::Send(command)
                if facts.capture.kind == Kind::Card && !is_for_cards(&command) =>
            {
                Judgement { action: Action::Refuse(Refusal::OpCode), ..judgement }
            }
            // Without a captured size the unit is not ready, which the condition says better than "out of range".
            Action::Refuse(Refusal::OutOfRange)
                if facts.capture.geometry.is_none() && is_read(cbw) =>
            {
                Judgement { action: Action::Read(None), ..judgement }
            }
            _ => judgement,
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            profiles: self.config.profiles,
            capture: self.capture(),
            last_sense: self.drive_sense,
        }
    }

    fn refuse(&mut self, cbw: &Cbw, host: Intent, judgement: &Judgement, refusal: Refusal) {
        let fate = Fate::of_refusal(refusal);
        self.counters.count(key(judgement), fate);
        let modifying = judgement.class == Class::Modifying;
        if let Fate::Refused(kind) = fate {
            self.refusals.add(self.now, &cbw.cdb, kind, modifying);
        }
        self.last_refusal = Some(self.now);
        self.note(Event::Refused { opcode: cbw.cdb.opcode(), modifying });
        self.fail(cbw.tag, host, Sense::refusal(refusal));
    }

    /// Whether a command gets as far as the drive.
    fn reaches_drive(&self, cbw: &Cbw, host: Intent, judgement: &Judgement) -> bool {
        let can_ask = self.attention.is_none() && self.unready(cbw).is_none();
        let is_in = matches!(host, Intent::In(_));
        let block = self.capture().geometry.map_or(1, |geometry| geometry.block_bytes);
        can_ask
            && match judgement.action {
                Action::Read(Some(_)) => is_in && host.bytes() >= block,
                Action::Send(_) => is_in || judgement.limit == 0,
                Action::Read(None) | Action::Answer(_) | Action::Good | Action::Refuse(_) => false,
            }
    }

    /// What stands between a command and its answer: a unit attention first, then a unit that is not ready.
    fn condition(&mut self, cbw: &Cbw, action: &Action) -> Option<Code> {
        if matches!(cbw.cdb.opcode(), INQUIRY | REPORT_LUNS | REQUEST_SENSE) {
            return None;
        }
        let needs_unit = matches!(action, Action::Read(_) | Action::Send(_));
        self.attention.take().or_else(|| self.unready(cbw).filter(|_| needs_unit))
    }

    /// Why the drive cannot be asked.
    fn unready(&self, cbw: &Cbw) -> Option<Code> {
        let is_read = is_read(cbw);
        match self.drive.report() {
            None => Some(sense::NOT_PRESENT),
            Some(report) if report.refused.is_some() => Some(sense::INCOMPATIBLE_MEDIUM),
            Some(_) if self.ejected => Some(sense::NOT_PRESENT),
            Some(_) if is_read && self.capacity_changed => Some(sense::CAPACITY_CHANGED),
            Some(report) if is_read && report.capture.geometry.is_none() => {
                let is_removable = report.capture.is_removable();
                Some(if is_removable { sense::NOT_PRESENT } else { sense::BECOMING_READY })
            }
            Some(_) => None,
        }
    }

    fn take_effect(&mut self, effect: LocalEffect) {
        match effect {
            LocalEffect::Eject => self.ejected = true,
            LocalEffect::Load if self.ejected => {
                self.ejected = false;
                self.attention = Some(sense::MEDIUM_CHANGED);
            }
            LocalEffect::Load | LocalEffect::Lock(_) | LocalEffect::None => {}
        }
    }

    /// GOOD without data; an ATA command whose registers the host wants to see gets those of success.
    fn finish_local(&mut self, tag: u32, host: Intent, judgement: &Judgement) {
        let wants = judgement.registers.is_some_and(|registers| registers.check_condition);
        if wants {
            let extend = judgement.registers.is_some_and(|registers| registers.extend);
            self.registers = success(extend);
            self.fail(tag, host, Sense::registers(self.registers));
        } else {
            self.conclude(tag, host, 0, From::Reply, false);
        }
    }

    fn reply(&mut self, cbw: &Cbw, host: Intent, answer: &Answer, judgement: &Judgement) {
        let length = self.put_answer(answer);
        if matches!(answer, Answer::RequestSense { .. }) {
            self.sense = Sense::new(sense::NO_SENSE);
        }
        if self.served().is_none() && matches!(answer, Answer::Inquiry { .. }) {
            self.mark_vacant();
        }
        let wants = judgement.registers.is_some_and(|registers| registers.check_condition);
        if wants {
            let extend = judgement.registers.is_some_and(|registers| registers.extend);
            self.registers = success(extend);
            self.sense = Sense::registers(self.registers);
        }
        self.conclude(cbw.tag, host, length, From::Reply, wants);
    }

    /// Puts an answer into the reply buffer; its length.
    fn put_answer(&mut self, answer: &Answer) -> u32 {
        let sense = match (answer, self.attention) {
            // REQUEST SENSE with nothing else to say tells a waiting unit attention, and ends it (SPC-4 5.14).
            (Answer::RequestSense { .. }, Some(code)) if self.sense.code() == sense::NO_SENSE => {
                self.attention = None;
                Sense::new(code)
            }
            _ => self.sense,
        };
        let policy = self.config.policy;
        let profiles = self.config.profiles;
        let report = self.drive.report().filter(|report| report.refused.is_none());
        let capture = report.map_or(&self.vacant, |report| &report.capture);
        let facts = Facts { profiles, capture, last_sense: self.drive_sense };
        let state = present::State {
            capture,
            sense: &sense,
            registers: &self.registers,
            ident: profiles.ident,
        };
        let offered = opcodes::offered(policy, &facts);
        let length = present::answer(answer, &state, offered, &mut self.reply);
        u32::try_from(length).unwrap_or(0)
    }

    /// A USB port without a drive has no unit: peripheral qualifier 001b.
    fn mark_vacant(&mut self) {
        if self.config.kind == Kind::Usb
            && let Some(first) = self.reply.first_mut()
        {
            *first = 0x20;
        }
    }

    fn start_read(&mut self, cbw: &Cbw, host: Intent, range: BlockRange) {
        let Some(geometry) = self.capture().geometry else { return };
        let bytes = u64::from(range.blocks()).saturating_mul(geometry.block_bytes.into());
        let device = Intent::In(u32::try_from(bytes).unwrap_or(u32::MAX));
        let case = decide(host, device);
        let Intent::In(wanted) = host else {
            // Host and command disagree on the direction: nothing is sent to the drive.
            self.mismatch(cbw.tag, host, device);
            return;
        };
        // Only whole blocks that fit what the host waits for are read (3.1).
        let fit = wanted.checked_div(geometry.block_bytes).unwrap_or(0).min(range.blocks());
        let job = ReadJob::new(cbw.tag, wanted, case.status, geometry, range.lba(), fit);
        self.state = State::Reading(job);
    }

    fn ask(&mut self, cbw: &Cbw, host: Intent, command: DownCommand, judgement: &Judgement) {
        let expected = Intent::In(judgement.limit.max(1));
        if judgement.limit > 0 && !matches!(host, Intent::In(_)) {
            self.mismatch(cbw.tag, host, expected);
            return;
        }
        self.state = State::Asking(Asking {
            command,
            tag: cbw.tag,
            host,
            limit: judgement.limit,
            registers: judgement.registers.is_some_and(|registers| registers.check_condition),
            extend: judgement.registers.is_some_and(|registers| registers.extend),
            started: false,
        });
    }

    /// Cases 2 and 10: a phase error without a byte from the drive.
    fn mismatch(&mut self, tag: u32, host: Intent, device: Intent) {
        self.conclude(tag, host, device.bytes(), From::Reply, true);
    }

    /// The drive answered a command other than READ.
    pub(super) fn answered(&mut self, asking: &Asking, completion: &Completion) {
        let (tag, host) = (asking.tag, asking.host);
        match completion.status {
            Status::Good => {
                let delivered = completion.delivered.min(asking.limit);
                if let Some(code) = self.compare_capacity(&asking.command, completion.delivered) {
                    self.fail(tag, host, Sense::new(code));
                } else if asking.registers {
                    self.registers = success(asking.extend);
                    self.sense = Sense::registers(self.registers);
                    self.conclude(tag, host, delivered, From::Slot(Slot::A), true);
                } else {
                    let from = self.source(&asking.command);
                    self.conclude(tag, host, delivered, from, false);
                }
            }
            Status::Check(drive) => self.checked(asking, drive),
            Status::Fault(fault) => self.fail(tag, host, fault_sense(fault)),
        }
    }

    /// CHECK CONDITION from the drive: registers that were asked for, or an error.
    fn checked(&mut self, asking: &Asking, drive: Sense) {
        let (tag, host) = (asking.tag, asking.host);
        match drive.ata_registers() {
            Some(registers) if asking.command.answers_in_registers() => {
                self.registers = registers;
                let is_error = registers.status & 0x01 != 0;
                if asking.registers || is_error {
                    self.fail(tag, host, drive);
                } else {
                    self.conclude(tag, host, 0, From::Reply, false);
                }
            }
            _ => {
                self.drive_sense = Some(drive.code());
                self.fail(tag, host, drive);
            }
        }
    }

    /// Where the answer to a command of the host lies: rewritten answers are in the reply buffer.
    fn source(&mut self, command: &DownCommand) -> From {
        if !matches!(command, DownCommand::ReadCapacity16) {
            return From::Slot(Slot::A);
        }
        let whole =
            whole_capacity(self.drive.data(Slot::A)).map(|raw| present::read_capacity16(&raw));
        for (own, byte) in self.reply.iter_mut().zip(whole.into_iter().flatten()) {
            *own = byte;
        }
        From::Reply
    }

    /// A fresh answer to READ CAPACITY beside the captured size (5.4): another size without a reported change of medium stops all reads.
    fn compare_capacity(&mut self, command: &DownCommand, delivered: u32) -> Option<Code> {
        let data = self.drive.data(Slot::A);
        let data = data.get(..usize::try_from(delivered).unwrap_or(0)).unwrap_or_default();
        let capture = self.capture();
        let comparison = match command {
            DownCommand::ReadCapacity10 => {
                data.first_chunk().map(|fresh| present::compare_capacity10(capture, fresh))
            }
            DownCommand::ReadCapacity16 => {
                whole_capacity(data).map(|fresh| present::compare_capacity16(capture, &fresh))
            }
            _ => Some(Comparison::Same),
        };
        match comparison {
            Some(Comparison::Same | Comparison::NotCaptured) => None,
            None => Some(sense::TARGET_FAILURE),
            Some(Comparison::Changed) => {
                if !self.capacity_changed {
                    self.capacity_changed = true;
                    self.note(Event::CapacityChanged);
                }
                Some(sense::CAPACITY_CHANGED)
            }
        }
    }

    /// A transfer that is no command wrapper.
    pub(super) fn count_invalid(&mut self) {
        let command = Command { layer: Layer::Invalid, code: 0, sub: 0 };
        self.counters.count(command, Fate::Refused(RefusalKind::Fld));
    }
}

/// Registers of an ATA command that succeeded and whose own were not asked for.
fn success(extend: bool) -> AtaRegisters {
    AtaRegisters { extend, status: 0x50, ..AtaRegisters::default() }
}

fn is_read(cbw: &Cbw) -> bool {
    matches!(cbw.cdb.opcode(), 0x08 | 0x28 | 0x88 | 0xA8)
}

/// An answer to READ CAPACITY(16) with what an old adapter left out as zeros; size and block length have to be there.
fn whole_capacity(data: &[u8]) -> Option<[u8; CAPACITY16_BYTES]> {
    data.first_chunk::<12>()?;
    let mut whole = [0; CAPACITY16_BYTES];
    for (own, byte) in whole.iter_mut().zip(data) {
        *own = *byte;
    }
    Some(whole)
}

fn is_for_cards(command: &DownCommand) -> bool {
    matches!(
        command,
        DownCommand::TestUnitReady | DownCommand::ReadCapacity10 | DownCommand::ReadCapacity16
    )
}

/// A command as the counters name it.
fn key(judgement: &Judgement) -> Command {
    let layer = match judgement.key.layer {
        judge::Layer::Scsi => Layer::Scsi,
        judge::Layer::Ata => Layer::Ata,
    };
    Command { layer, code: judgement.key.code, sub: judgement.key.sub }
}
