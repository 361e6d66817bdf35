//! The attach script: what the bridge asks of a drive of its own accord, in this order and nothing else.
//!
//! Facts: the published policy, section 3.2 (steps, conditions, reasons), rule 6 of section 1 (device types), 5.5 (medium change). A step that
//! fails is recorded and never blocks imaging.

use heapless::Vec;
use sha2::{Digest, Sha256};
use wb_attest::statement::{self, Command, Layer, Skip, Step, StepOutcome};
use wb_policy::{
    capture::{Capture, Kind, NotRun},
    down::{DownCommand, InquiryBytes, VpdPage},
    sense::{Code, MEDIUM_CHANGED, NEEDS_START, POWER_ON, Sense},
};

use crate::{
    Micros,
    drive::{Fault, Refused, Report, Status},
};

use super::{
    command::{Ended, Notice},
    steps,
};

/// How long TEST UNIT READY is repeated.
const READY_LIMIT: Micros = 30_000_000;
/// Pause between two of them.
const READY_PAUSE: Micros = 250_000;
/// Shortest INQUIRY answer that says what is needed: up to the additional length.
const INQUIRY_LEAST: usize = 5;
/// Runs from the beginning after a medium change during the script.
const RESTARTS: u8 = 3;
/// Steps that are not sent again after they broke the transport.
const BROKEN_STEPS: usize = 16;

/// A step of the script (3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Inquiry,
    FullInquiry,
    Pages,
    Page80,
    Page83,
    PageB0,
    PageB1,
    PageB2,
    Page89,
    Ready,
    Start,
    Capacity10,
    Capacity16,
    Mode,
    Identify16,
    Identify12,
    NativeMax,
    LogDirectory,
    LogIdentify,
    Dco,
    End,
}

impl Stage {
    /// The step behind it; START UNIT stands outside the row, since it leads back.
    fn next(self) -> Self {
        match self {
            Self::Inquiry => Self::FullInquiry,
            Self::FullInquiry => Self::Pages,
            Self::Pages => Self::Page80,
            Self::Page80 => Self::Page83,
            Self::Page83 => Self::PageB0,
            Self::PageB0 => Self::PageB1,
            Self::PageB1 => Self::PageB2,
            Self::PageB2 => Self::Page89,
            Self::Page89 | Self::Start => Self::Ready,
            Self::Ready => Self::Capacity10,
            Self::Capacity10 => Self::Capacity16,
            Self::Capacity16 => Self::Mode,
            Self::Mode => Self::Identify16,
            Self::Identify16 => Self::Identify12,
            Self::Identify12 => Self::NativeMax,
            Self::NativeMax => Self::LogDirectory,
            Self::LogDirectory => Self::LogIdentify,
            Self::LogIdentify => Self::Dco,
            Self::Dco | Self::End => Self::End,
        }
    }

    fn page(self) -> Option<u8> {
        Some(match self {
            Self::Pages => 0x00,
            Self::Page80 => 0x80,
            Self::Page83 => 0x83,
            Self::PageB0 => 0xB0,
            Self::PageB1 => 0xB1,
            Self::PageB2 => 0xB2,
            Self::Page89 => 0x89,
            _ => return None,
        })
    }

    /// Without its answer nothing can be imaged.
    fn is_essential(self) -> bool {
        matches!(self, Self::Inquiry | Self::Ready | Self::Capacity10 | Self::Capacity16)
    }

    /// Row of the script as a statement numbers it: 50 is row 5a.
    fn row(self) -> u8 {
        match self {
            Self::Inquiry => 1,
            Self::FullInquiry => 2,
            Self::Pages => 3,
            Self::Page80
            | Self::Page83
            | Self::PageB0
            | Self::PageB1
            | Self::PageB2
            | Self::Page89 => 4,
            Self::Ready => 5,
            Self::Start => 50,
            Self::Capacity10 => 6,
            Self::Capacity16 => 7,
            Self::Mode => 8,
            Self::Identify16 | Self::Identify12 => 9,
            Self::NativeMax => 10,
            Self::LogDirectory | Self::LogIdentify => 11,
            Self::Dco | Self::End => 12,
        }
    }

    /// The command as a statement names it. The two logs of row 11 are told apart by their order.
    fn command(self, capture: &Capture) -> Command {
        let (layer, code, sub) = match self {
            Self::Inquiry | Self::FullInquiry => (Layer::Scsi, 0x12, 0),
            Self::Ready => (Layer::Scsi, 0x00, 0),
            Self::Start => (Layer::Scsi, 0x1B, 0),
            Self::Capacity10 => (Layer::Scsi, 0x25, 0),
            Self::Capacity16 => (Layer::Scsi, 0x9E, 0x10),
            Self::Mode => (Layer::Scsi, 0x1A, 0x3F),
            Self::Identify16 | Self::Identify12 => (Layer::Ata, 0xEC, 0),
            Self::NativeMax if capture.announced().lba48 => (Layer::Ata, 0x27, 0),
            Self::NativeMax => (Layer::Ata, 0xF8, 0),
            Self::LogDirectory | Self::LogIdentify => (Layer::Ata, 0x2F, 0),
            Self::Dco | Self::End => (Layer::Ata, 0xB1, 0xC2),
            page => (Layer::Scsi, 0x12, u16::from(page.page().unwrap_or(0))),
        };
        Command { layer, code, sub }
    }
}

/// What a step is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Send(DownCommand),
    /// Its condition does not hold, and there is a reason to report.
    NotRun(NotRun),
    /// It has nothing to ask: no such page, nothing longer, no second form needed.
    Absent,
}

/// What the script does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Send(DownCommand),
    Wait,
    /// All done; why the drive is not served, if it is not.
    Finished(Option<Refused>),
}

/// What came of a step that was sent.
pub(super) enum Answer<'a> {
    Data(&'a [u8]),
    Sense(Sense),
    Fault(Fault),
}

impl Answer<'_> {
    pub(super) fn outcome(&self) -> StepOutcome {
        match self {
            Self::Data(bytes) => StepOutcome::Good(Sha256::digest(bytes).into()),
            Self::Sense(sense) => StepOutcome::Sense(steps::digest(sense)),
            Self::Fault(_) => StepOutcome::Failed,
        }
    }

    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Sense(sense) => Some(sense.code()),
            Self::Data(_) | Self::Fault(_) => None,
        }
    }
}

/// A run of the script.
pub(super) struct Script {
    stage: Stage,
    pub(super) unit: u8,
    units: u8,
    pub(super) ident: bool,
    listed: bool,
    ready: bool,
    started: bool,
    /// IDENTIFY by 85h was refused with ILLEGAL REQUEST.
    pub(super) refused16: bool,
    /// READ CAPACITY(10) did not say it all.
    pub(super) more_blocks: bool,
    /// The step in progress failed below the level of sense data and was sent again.
    again: bool,
    /// A reset of the bridge's own, which the drive may report as a unit attention once.
    after_reset: bool,
    block_limit: u32,
    ready_until: Option<Micros>,
    pause_until: Micros,
    restarts: u8,
    /// How often the step in progress was sent, and TEST UNIT READY before START UNIT came between.
    sent: u32,
    ready_sent: u32,
    /// Steps of the report before the script's own.
    kept_steps: usize,
    broken: Vec<(u8, Stage, Fault), BROKEN_STEPS>,
}

impl Script {
    /// A script that never runs before [`Script::begin`].
    pub(super) fn new(ident: bool) -> Self {
        Self {
            stage: Stage::End,
            unit: 0,
            units: 1,
            ident,
            listed: false,
            ready: false,
            started: false,
            refused16: false,
            more_blocks: false,
            again: false,
            after_reset: false,
            block_limit: 0,
            ready_until: None,
            pause_until: 0,
            restarts: 0,
            sent: 0,
            ready_sent: 0,
            kept_steps: 0,
            broken: Vec::new(),
        }
    }

    /// Begins a run for a device with `units` logical units, blocks of at most `block_limit` bytes.
    pub(super) fn begin(&mut self, report: &mut Report, units: u8, listed: bool, limit: u32) {
        self.units = units;
        self.listed = listed;
        self.block_limit = limit;
        self.restarts = 0;
        self.kept_steps = report.steps.len();
        // The port was reset before an attach; a medium change brings its own unit attention.
        self.after_reset = true;
        self.begin_unit(report, 0);
    }

    /// Whether the unit was ready when it was captured.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The medium has gone.
    pub(super) fn forget_medium(&mut self) {
        self.ready = false;
    }

    /// Forgets which steps broke the transport: another device is coming.
    pub(super) fn forget_device(&mut self) {
        self.broken.clear();
    }

    fn begin_unit(&mut self, report: &mut Report, unit: u8) {
        self.unit = unit;
        self.stage = Stage::Inquiry;
        self.ready = false;
        self.started = false;
        self.refused16 = false;
        self.more_blocks = false;
        self.again = false;
        self.ready_until = None;
        self.pause_until = 0;
        self.sent = 0;
        self.ready_sent = 0;
        report.capture = Capture::empty(Kind::Usb);
        report.capture.listed_bridge = self.listed;
    }

    /// The next command. Steps whose conditions do not hold are passed over here, each with its reason.
    pub(super) fn next(&mut self, report: &mut Report, now: Micros) -> Next {
        while self.stage != Stage::End {
            if now < self.pause_until {
                return Next::Wait;
            }
            match self.plan(&report.capture) {
                Plan::Send(command) => {
                    let Some(fault) = self.broken_by(self.stage) else {
                        self.note_sent(now);
                        return Next::Send(command);
                    };
                    if self.take_answer(report, &Answer::Fault(fault), Micros::MAX) {
                        return Next::Finished(Some(Refused::DeviceType));
                    }
                    continue;
                }
                Plan::NotRun(reason) => {
                    self.record_not_run(report, reason);
                    steps::not_run(self.stage, reason, &mut report.capture);
                }
                Plan::Absent => {}
            }
            self.stage = self.stage.next();
        }
        Next::Finished(None)
    }

    fn note_sent(&mut self, now: Micros) {
        self.sent = self.sent.saturating_add(1);
        if self.stage == Stage::Ready && self.ready_until.is_none() {
            self.ready_until = Some(now.saturating_add(READY_LIMIT));
        }
    }

    /// Why a step is not sent any more.
    fn broken_by(&self, stage: Stage) -> Option<Fault> {
        let same = |(unit, step, _): &&(u8, Stage, Fault)| *unit == self.unit && *step == stage;
        let spared = usize::from(stage.is_essential());
        self.broken.iter().filter(same).nth(spared).map(|(_, _, fault)| *fault)
    }

    /// The step in progress broke the transport: it is not sent to this device again. `false` when there were too many.
    pub(super) fn remember_broken(&mut self, fault: Fault) -> bool {
        self.broken.push((self.unit, self.stage, fault)).is_ok()
    }

    /// A step that was run; row 1 is one step for all units. Whatever the drive, the rows fit the report.
    fn record(&mut self, report: &mut Report, outcome: StepOutcome) {
        let times = core::mem::take(&mut self.sent).max(1);
        self.again = false;
        if let Some(last) = report.steps.last_mut().filter(|_| self.stage == Stage::Inquiry)
            && last.step == Stage::Inquiry.row()
        {
            last.times = last.times.saturating_add(times);
            last.outcome = outcome;
            return;
        }
        let command = self.stage.command(&report.capture);
        let _ = report.steps.push(Step { step: self.stage.row(), command, times, outcome });
    }

    fn record_not_run(&self, report: &mut Report, reason: NotRun) {
        let reason = match reason {
            NotRun::NotReady => Skip::NotReady,
            NotRun::Removable => Skip::Removable,
            NotRun::Profile => Skip::Profile,
            NotRun::IdentifyInvalid => Skip::IdentifyInvalid,
            NotRun::NotAnnounced => Skip::NotAnnounced,
            NotRun::BridgeNotListed => Skip::BridgeNotListed,
        };
        let _ = report.not_run.push(statement::NotRun { step: self.stage.row(), sub: 0, reason });
    }

    fn plan(&self, capture: &Capture) -> Plan {
        match self.stage {
            Stage::Inquiry => inquiry(36),
            Stage::FullInquiry => full_inquiry(capture),
            Stage::Ready => Plan::Send(DownCommand::TestUnitReady),
            Stage::Start => Plan::Send(DownCommand::StartUnit),
            Stage::Capacity10 | Stage::Capacity16 | Stage::Mode if !self.ready => {
                Plan::NotRun(NotRun::NotReady)
            }
            Stage::Capacity10 => Plan::Send(DownCommand::ReadCapacity10),
            Stage::Capacity16 if self.more_blocks => Plan::Send(DownCommand::ReadCapacity16),
            Stage::Capacity16 => Plan::Absent,
            Stage::Mode => Plan::Send(DownCommand::ModeSense),
            Stage::Identify16
            | Stage::Identify12
            | Stage::NativeMax
            | Stage::LogDirectory
            | Stage::LogIdentify
            | Stage::Dco => steps::plan_ata(self, self.stage, capture),
            stage => page(stage, capture),
        }
    }

    /// Takes what came of the command in progress. `true` when no unit is left that is a disk.
    pub(super) fn take(
        &mut self,
        report: &mut Report,
        ended: &Ended,
        data: &[u8],
        now: Micros,
    ) -> bool {
        let length = usize::try_from(ended.completion.delivered).unwrap_or(usize::MAX);
        let answer = match ended.completion.status {
            Status::Good => Answer::Data(data.get(..length).unwrap_or(data)),
            Status::Check(sense) => Answer::Sense(sense),
            Status::Fault(fault) => Answer::Fault(fault),
        };
        let is_unheard = ended.notice == Notice::Unheard;
        let repeated = self.repeats(report, &answer, is_unheard) || self.is_sent_again(&answer);
        self.after_reset |= ended.recovered;
        !repeated && self.take_answer(report, &answer, now)
    }

    /// A step without whose answer nothing can be imaged has a second try after a fault of the transport, or after a unit attention that
    /// kept the drive from carrying it out.
    fn is_sent_again(&mut self, answer: &Answer<'_>) -> bool {
        let failed = match answer {
            Answer::Data(_) => false,
            Answer::Sense(sense) => sense.code().key == 0x6 && self.stage != Stage::Ready,
            Answer::Fault(_) => true,
        };
        failed && self.stage.is_essential() && !core::mem::replace(&mut self.again, true)
    }

    /// A unit attention of a reset of our own is asked away by the same step again; a medium change begins the script anew, also one that
    /// may have been told in words that were lost. While the unit is not known to be ready, TEST UNIT READY is repeated anyway.
    fn repeats(&mut self, report: &mut Report, answer: &Answer<'_>, is_unheard: bool) -> bool {
        if matches!(self.stage, Stage::Ready | Stage::Start) {
            return false;
        }
        let says =
            |code: Code| answer.code().is_some_and(|it| (it.key, it.asc) == (code.key, code.asc));
        if says(POWER_ON) && self.after_reset {
            self.after_reset = false;
            return true;
        }
        if (says(MEDIUM_CHANGED) || is_unheard) && self.restarts < RESTARTS {
            self.restarts = self.restarts.saturating_add(1);
            report.steps.truncate(self.kept_steps);
            report.not_run.clear();
            self.begin_unit(report, 0);
            return true;
        }
        false
    }

    fn take_answer(&mut self, report: &mut Report, answer: &Answer<'_>, now: Micros) -> bool {
        match self.stage {
            Stage::Inquiry => return self.take_inquiry(report, answer),
            Stage::Ready => return self.take_ready(report, answer, now),
            _ => {}
        }
        let outcome = steps::take(self, self.stage, &mut report.capture, answer, self.block_limit);
        self.record(report, outcome.unwrap_or_else(|| answer.outcome()));
        self.stage = self.stage.next();
        false
    }

    /// Step 1 with the gate of device types (rule 6): the first unit that passes is served.
    fn take_inquiry(&mut self, report: &mut Report, answer: &Answer<'_>) -> bool {
        self.record(report, answer.outcome());
        if let Answer::Data(data) = answer
            && data.len() >= INQUIRY_LEAST
            && matches!(data.first(), Some(0x00 | 0x0E | 0x14))
        {
            steps::keep_inquiry(&mut report.capture, data);
            self.stage = Stage::FullInquiry;
            return false;
        }
        let next = self.unit.saturating_add(1);
        if next >= self.units {
            steps::keep_refused_inquiry(&mut report.capture, answer);
            self.stage = Stage::End;
            return true;
        }
        self.begin_unit(report, next);
        false
    }

    /// Step 5: until ready, no medium, or 30 s.
    fn take_ready(&mut self, report: &mut Report, answer: &Answer<'_>, now: Micros) -> bool {
        let over = self.ready_until.is_none_or(|until| now >= until);
        let code = answer.code();
        if code == Some(NEEDS_START) && !self.started && !over {
            self.started = true;
            self.ready_sent = core::mem::take(&mut self.sent);
            self.stage = Stage::Start;
            return false;
        }
        self.ready = matches!(answer, Answer::Data(_));
        self.after_reset &= !self.ready;
        let no_medium = code.is_some_and(|code| (code.key, code.asc) == (0x2, 0x3A));
        if self.ready || no_medium || over {
            self.sent = self.sent.saturating_add(self.ready_sent);
            self.record(report, answer.outcome());
            self.stage = Stage::Capacity10;
        } else {
            self.pause_until = now.saturating_add(READY_PAUSE);
        }
        false
    }
}

fn inquiry(length: u8) -> Plan {
    InquiryBytes::new(length)
        .map_or(Plan::Absent, |length| Plan::Send(DownCommand::Inquiry(length)))
}

/// Step 2: as many bytes as the drive says it has, where those are more than 36.
fn full_inquiry(capture: &Capture) -> Plan {
    let additional = capture.inquiry.as_slice().get(4).copied().unwrap_or(0);
    let length = additional.saturating_add(5);
    if length > 36 { inquiry(length) } else { Plan::Absent }
}

/// Steps 3 and 4: page 00h always, the others where it lists them.
fn page(stage: Stage, capture: &Capture) -> Plan {
    let Some(number) = stage.page() else { return Plan::Absent };
    let listed = number == 0 || steps::lists_page(capture, number);
    match VpdPage::new(number) {
        Some(page) if listed => Plan::Send(DownCommand::Vpd(page)),
        _ => Plan::Absent,
    }
}
