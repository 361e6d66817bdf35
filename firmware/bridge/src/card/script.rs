//! The attach script for cards in SPI mode, and what it makes of the answers.
//!
//! Facts: the published policy, sections 7.2 and 7.3; SD Physical Layer Simplified Specification, 4.2.3 and 7.2.1 (initialisation), 7.3.2 (responses).
//!
//! | Step | Goes on with | Otherwise |
//! |---|---|---|
//! | CMD0, up to three times | R1 = 01h | no card |
//! | CMD8 | echo; or illegal command: a card of version 1 | refused |
//! | CMD59(1), CMD58 with a wrong CRC7 | R1 = 01h; CRC error | refused: no CRC |
//! | CMD55 + ACMD41, up to 1 s | R1 = 00h | refused: no memory, other kind of card |
//! | CMD58 | powered up; CCS | refused |
//! | CMD9, CMD10 | 16 bytes with their CRC16, a layout that fits CCS | refused |
//! | CMD16(512), byte-addressed cards | R1 = 00h | refused |
//! | CMD13 | not locked | refused: locked |
//! | CMD55 + ACMD51, CMD55 + ACMD13 | anything, recorded | |
//!
//! CMD13 is there because nothing else in the script tells a locked card from an open one. An answer that does not come, or cannot be
//! right, makes the script start again at CMD0, twice at most, before the card is refused: a contact that bounces or a supply that
//! fails for a moment is no reason to refuse a card.

use embedded_hal::{digital::OutputPin, spi::SpiBus};
use heapless::Vec;
use wb_attest::{
    sha256,
    statement::{Command, Layer, NotRun, Skip, Step, StepOutcome},
};
use wb_policy::{
    capture::{Capture, Kind},
    sd::{self, CsdVersion, SdCommand},
};

use super::{
    TOKEN_TIMEOUT,
    errors::{R1_CRC, R1_IDLE, R1_ILLEGAL, R2_LOCKED},
    link::{Clock, Link, START_TOKEN, Trouble},
};
use crate::{
    Micros,
    drive::{CardIdentity, Identity, NOT_RUN, Refused, Report, STEPS},
};

/// Time in which a card must become ready (7.3; SD specification, 4.2.3).
const READY_TIMEOUT: Micros = 1_000_000;
/// Pause between two ACMD41.
const ASK_AGAIN: Micros = 1_000;
/// Pause between two CMD0: a supply that has failed for a moment must be stable again.
const RESET_AGAIN: Micros = 20_000;
const RESETS: u8 = 3;
const RESTARTS: u8 = 2;
const POWERED_UP: u8 = 0x80;
const BLOCK_ADDRESSED: u8 = 0x40;
const ULTRA_CAPACITY: u8 = 0x08;

/// A row of the script as the statement names it: its position in 7.3 from 101, and the command.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    step: u8,
    layer: Layer,
    code: u8,
}

impl Row {
    const fn sd(step: u8, code: u8) -> Self {
        Self { step, layer: Layer::Sd, code }
    }

    const fn application(step: u8, code: u8) -> Self {
        Self { step, layer: Layer::SdApplication, code }
    }
}

const CMD0: Row = Row::sd(101, 0);
const CMD8: Row = Row::sd(102, 8);
const CMD59: Row = Row::sd(103, 59);
const CRC_PROBE: Row = Row::sd(104, 58);
const ACMD41: Row = Row::application(105, 41);
const CMD58: Row = Row::sd(106, 58);
const CMD9: Row = Row::sd(107, 9);
const CMD10: Row = Row::sd(108, 10);
const CMD16: Row = Row::sd(109, 16);
const ACMD51: Row = Row::application(110, 51);
const ACMD13: Row = Row::application(111, 13);
/// Not in the list of 7.3, which refuses locked cards without a command that shows the lock.
const CMD13: Row = Row::sd(112, 13);
const ROWS: [Row; 12] =
    [CMD0, CMD8, CMD59, CRC_PROBE, ACMD41, CMD58, CMD9, CMD10, CMD16, CMD13, ACMD51, ACMD13];

/// How the script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing answers.
    Silent,
    /// A card that is served.
    Served,
    /// A card that is not.
    Refused(Refused),
}

/// Why the script does not go on.
enum Stop {
    Finished,
    Refused(Refused),
    /// No answer, or one that cannot be right.
    Doubtful,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Ask at this time.
    Reset(Micros),
    InterfaceCondition,
    CrcOn,
    CrcProbe,
    /// Ask at this time, until that time.
    OperatingCondition {
        next: Micros,
        until: Micros,
    },
    Ocr,
    Csd,
    Cid,
    BlockLength,
    LockState,
    Scr,
    SdStatus,
    /// A card that may still wait for an application command gets CMD13, which means no harm either way.
    Clear,
}

/// The script in progress, and what it has learned.
pub(super) struct Script {
    stage: Stage,
    /// A block of data is awaited until this time.
    awaited: Option<Micros>,
    resets: u8,
    restarts: u8,
    /// ACMD41 sent.
    asked: u32,
    version2: bool,
    block_addressed: bool,
    crc_checked: bool,
    cid: Option<[u8; 16]>,
    csd: Option<[u8; 16]>,
    blocks: Option<u64>,
    scr: Option<[u8; 8]>,
    status: Option<[u8; 64]>,
    steps: Vec<Step, STEPS>,
    own_before: u64,
}

impl Script {
    /// A script before its first step, `own_before` commands of the bridge's own after power-up.
    pub(super) fn new(own_before: u64) -> Self {
        Self {
            own_before,
            stage: Stage::Reset(0),
            awaited: None,
            resets: 0,
            restarts: 0,
            asked: 0,
            version2: false,
            block_addressed: false,
            crc_checked: false,
            cid: None,
            csd: None,
            blocks: None,
            scr: None,
            status: None,
            steps: Vec::new(),
        }
    }

    /// Whether a card has answered CMD0.
    pub(super) fn is_answered(&self) -> bool {
        self.restarts > 0 || !matches!(self.stage, Stage::Reset(_))
    }

    /// One step.
    pub(super) fn poll<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Option<Ended> {
        let outcome = self.step(link, now);
        if self.awaited.is_none() {
            link.end();
        }
        match outcome {
            Ok(()) => None,
            Err(Stop::Finished) => Some(Ended::Served),
            Err(Stop::Refused(refused)) => Some(Ended::Refused(refused)),
            Err(Stop::Doubtful) => self.start_again(),
        }
    }

    fn start_again(&mut self) -> Option<Ended> {
        if matches!(self.stage, Stage::Reset(_)) {
            return Some(Ended::Silent);
        }
        if self.restarts < RESTARTS {
            *self =
                Self { restarts: self.restarts.saturating_add(1), ..Self::new(self.own_before) };
            return None;
        }
        let refused = match self.stage {
            Stage::CrcOn | Stage::CrcProbe => Refused::NoCrc,
            _ => Refused::Enumeration,
        };
        Some(Ended::Refused(refused))
    }

    fn step<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        match self.stage {
            Stage::Reset(next) => {
                if now < next {
                    Ok(())
                } else {
                    self.reset(link, now)
                }
            }
            Stage::InterfaceCondition => self.interface_condition(link),
            Stage::CrcOn => self.crc_on(link),
            Stage::CrcProbe => self.crc_probe(link, now),
            Stage::OperatingCondition { next, until } => {
                if now < next {
                    Ok(())
                } else {
                    self.operating_condition(link, now, until)
                }
            }
            Stage::Ocr => self.ocr(link),
            Stage::Csd => self.csd(link, now),
            Stage::Cid => self.cid(link, now),
            Stage::BlockLength => self.block_length(link),
            Stage::LockState => self.lock_state(link),
            Stage::Scr => self.scr(link, now),
            Stage::SdStatus => self.sd_status(link, now),
            Stage::Clear => self.clear(link),
        }
    }

    fn reset<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        link.set_clock(Clock::Identification);
        link.wake();
        match link.command(&SdCommand::GoIdle) {
            Ok(R1_IDLE) => {
                self.good(CMD0, &[]);
                self.stage = Stage::InterfaceCondition;
                Ok(())
            }
            _ => {
                self.resets = self.resets.saturating_add(1);
                self.stage = Stage::Reset(now.saturating_add(RESET_AGAIN));
                if self.resets < RESETS { Ok(()) } else { Err(Stop::Doubtful) }
            }
        }
    }

    fn interface_condition<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        let r1 = self.heard(CMD8, link.command(&SdCommand::SendInterfaceCondition))?;
        if r1 & R1_ILLEGAL != 0 && r1 & R1_CRC == 0 {
            self.said_no(CMD8, r1);
            self.stage = Stage::CrcOn;
            return Ok(());
        }
        let echo: [u8; 4] = self.heard(CMD8, link.bytes())?;
        self.answered(CMD8, r1, R1_IDLE, &echo);
        let [_, _, voltage, pattern] = echo;
        if r1 != R1_IDLE || voltage & 0x0F != 0x01 || pattern != 0xAA {
            return Err(Stop::Doubtful);
        }
        self.version2 = true;
        self.stage = Stage::CrcOn;
        Ok(())
    }

    fn crc_on<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        let r1 = self.heard(CMD59, link.command(&SdCommand::CrcOn))?;
        self.answered(CMD59, r1, R1_IDLE, &[]);
        if r1 != R1_IDLE {
            return Err(Stop::Refused(Refused::NoCrc));
        }
        self.stage = Stage::CrcProbe;
        Ok(())
    }

    fn crc_probe<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        let r1 = self.heard(CRC_PROBE, link.crc_probe())?;
        if r1 & R1_CRC == 0 {
            self.said_no(CRC_PROBE, r1);
            return Err(Stop::Refused(Refused::NoCrc));
        }
        self.good(CRC_PROBE, &[]);
        link.set_crc_checked();
        self.crc_checked = true;
        self.stage =
            Stage::OperatingCondition { next: now, until: now.saturating_add(READY_TIMEOUT) };
        Ok(())
    }

    fn operating_condition<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
        until: Micros,
    ) -> Result<(), Stop> {
        let command = SdCommand::SendOperatingCondition { high_capacity: self.version2 };
        self.asked = self.asked.saturating_add(1);
        let r1 = self.heard(ACMD41, link.application(&command))?;
        match r1 {
            0 => {
                self.good(ACMD41, &[]);
                self.stage = Stage::Ocr;
                Ok(())
            }
            R1_IDLE if now < until => {
                self.stage =
                    Stage::OperatingCondition { next: now.saturating_add(ASK_AGAIN), until };
                Ok(())
            }
            R1_IDLE => {
                self.said_no(ACMD41, r1);
                Err(Stop::Refused(Refused::Enumeration))
            }
            _ => {
                self.said_no(ACMD41, r1);
                Err(self.without_memory(r1))
            }
        }
    }

    /// Application commands are illegal for cards without SD memory. One that knows CMD8 is of the SD family; MMC does not.
    fn without_memory(&self, r1: u8) -> Stop {
        if r1 & R1_CRC != 0 || r1 & R1_ILLEGAL == 0 {
            Stop::Doubtful
        } else if self.version2 {
            Stop::Refused(Refused::NoMemory)
        } else {
            Stop::Refused(Refused::CardKind)
        }
    }

    fn ocr<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        let r1 = self.heard(CMD58, link.command(&SdCommand::ReadOcr))?;
        let ocr: [u8; 4] = self.heard(CMD58, link.bytes())?;
        self.answered(CMD58, r1, 0, &ocr);
        let [flags, ..] = ocr;
        let block_addressed = flags & BLOCK_ADDRESSED != 0;
        let idle_line = ocr == [0xFF; 4];
        if r1 != 0 || idle_line || flags & POWERED_UP == 0 || (block_addressed && !self.version2) {
            return Err(Stop::Doubtful);
        }
        if flags & ULTRA_CAPACITY != 0 {
            return Err(Stop::Refused(Refused::CardKind));
        }
        self.block_addressed = block_addressed;
        link.set_block_addressed(block_addressed);
        link.set_clock(Clock::Data);
        self.stage = Stage::Csd;
        Ok(())
    }

    /// The layout of the CSD, which a CRC16 protects, must agree with CCS in the OCR, which nothing protects: otherwise reads
    /// would go to wrong addresses.
    fn csd<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        let Some(answer) = self.register(link, CMD9, &SdCommand::SendCsd, now)? else {
            return Ok(());
        };
        let csd: [u8; 16] = answer.map_err(|()| Stop::Doubtful)?;
        self.csd = Some(csd);
        let expected = if self.block_addressed { CsdVersion::V2 } else { CsdVersion::V1 };
        match sd::csd_size(&csd) {
            Some((CsdVersion::V3, _)) => Err(Stop::Refused(Refused::CardKind)),
            Some((version, blocks)) if version == expected => {
                self.blocks = Some(blocks);
                self.stage = Stage::Cid;
                Ok(())
            }
            _ => Err(Stop::Doubtful),
        }
    }

    fn cid<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        let Some(answer) = self.register(link, CMD10, &SdCommand::SendCid, now)? else {
            return Ok(());
        };
        self.cid = Some(answer.map_err(|()| Stop::Doubtful)?);
        self.stage = if self.block_addressed { Stage::LockState } else { Stage::BlockLength };
        Ok(())
    }

    fn block_length<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        let r1 = self.heard(CMD16, link.command(&SdCommand::SetBlockLength))?;
        self.answered(CMD16, r1, 0, &[]);
        if r1 != 0 {
            return Err(Stop::Doubtful);
        }
        self.stage = Stage::LockState;
        Ok(())
    }

    fn lock_state<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        let (r1, status) = self.heard(CMD13, link.status())?;
        self.answered(CMD13, r1, 0, &[status]);
        if r1 != 0 {
            return Err(Stop::Doubtful);
        }
        if status & R2_LOCKED != 0 {
            return Err(Stop::Refused(Refused::Locked));
        }
        self.stage = Stage::Scr;
        Ok(())
    }

    fn scr<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        let Some(answer) = self.register(link, ACMD51, &SdCommand::SendScr, now)? else {
            return Ok(());
        };
        self.scr = answer.ok();
        self.stage = Stage::SdStatus;
        Ok(())
    }

    fn sd_status<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Result<(), Stop> {
        let Some(answer) = self.register(link, ACMD13, &SdCommand::SdStatus, now)? else {
            return Ok(());
        };
        self.status = answer.ok();
        self.stage = Stage::Clear;
        if self.status.is_some() { Err(Stop::Finished) } else { Ok(()) }
    }

    fn clear<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
    ) -> Result<(), Stop> {
        for _ in 0..2 {
            if let Ok((0, _)) = link.status() {
                return Err(Stop::Finished);
            }
        }
        Err(Stop::Doubtful)
    }

    /// A register that comes as a block of data: `None` while it is awaited, then its bytes, or an error that is recorded.
    fn register<SPI: SpiBus<u8>, CS: OutputPin, const N: usize>(
        &mut self,
        link: &mut Link<SPI, CS>,
        row: Row,
        command: &SdCommand,
        now: Micros,
    ) -> Result<Option<Result<[u8; N], ()>>, Stop> {
        let Some(deadline) = self.awaited else {
            return self.ask_register(link, row, command, now);
        };
        match self.heard(row, link.token())? {
            None if now < deadline => Ok(None),
            None => Ok(Some(self.failed(row, StepOutcome::Failed))),
            Some(START_TOKEN) => {
                let mut block = [0; N];
                let right = self.heard(row, link.block(&mut block))?;
                self.awaited = None;
                if !right {
                    return Ok(Some(self.failed(row, StepOutcome::Failed)));
                }
                self.good(row, &block);
                Ok(Some(Ok(block)))
            }
            Some(token) => Ok(Some(self.failed(row, StepOutcome::Sense(sha256(&[&[token]]))))),
        }
    }

    fn ask_register<SPI: SpiBus<u8>, CS: OutputPin, const N: usize>(
        &mut self,
        link: &mut Link<SPI, CS>,
        row: Row,
        command: &SdCommand,
        now: Micros,
    ) -> Result<Option<Result<[u8; N], ()>>, Stop> {
        let response = if command.is_application() {
            link.application(command)
        } else {
            link.command(command)
        };
        let r1 = self.heard(row, response)?;
        if r1 != 0 {
            return Ok(Some(self.failed(row, StepOutcome::Sense(sha256(&[&[r1]])))));
        }
        if *command == SdCommand::SdStatus {
            // R2: its second byte says nothing that CMD13 has not said.
            self.heard(row, link.byte())?;
        }
        self.awaited = Some(now.saturating_add(TOKEN_TIMEOUT));
        Ok(None)
    }

    fn failed<const N: usize>(&mut self, row: Row, outcome: StepOutcome) -> Result<[u8; N], ()> {
        self.awaited = None;
        self.push(row, outcome);
        Err(())
    }

    /// An answer of the line, or the end of the script.
    fn heard<T>(&mut self, row: Row, answer: Result<T, Trouble>) -> Result<T, Stop> {
        answer.map_err(|_| {
            self.awaited = None;
            self.push(row, StepOutcome::Failed);
            Stop::Doubtful
        })
    }

    /// A command with an R1 as expected brought `data`; with another one the response is the outcome.
    fn answered(&mut self, row: Row, r1: u8, expected: u8, data: &[u8]) {
        if r1 == expected { self.good(row, data) } else { self.said_no(row, r1) }
    }

    fn good(&mut self, row: Row, data: &[u8]) {
        self.push(row, StepOutcome::Good(sha256(&[data])));
    }

    /// Whether it is the card with these registers.
    pub(super) fn found(&self, card: &CardIdentity) -> bool {
        self.cid == Some(card.cid) && self.csd == Some(card.csd)
    }

    fn said_no(&mut self, row: Row, r1: u8) {
        self.push(row, StepOutcome::Sense(sha256(&[&[r1]])));
    }

    /// A report holds more steps than the script has.
    fn push(&mut self, row: Row, outcome: StepOutcome) {
        let times = match row {
            CMD0 => self.resets.saturating_add(1).into(),
            ACMD41 => self.asked,
            _ => 1,
        };
        let command = Command { layer: row.layer, code: row.code, sub: 0 };
        let _ = self.steps.push(Step { step: row.step, command, times, outcome });
    }

    /// The rows that were not run: CMD16 does not apply to cards with block addresses, the others come after a refusal.
    fn not_run(&self) -> Vec<NotRun, NOT_RUN> {
        let was_run = |row: &Row| self.steps.iter().any(|step| step.step == row.step);
        let missing = ROWS.iter().filter(|row| !was_run(row)).map(|row| NotRun {
            step: row.step,
            sub: 0,
            reason: if *row == CMD16 && self.block_addressed {
                Skip::NotApplicable
            } else {
                Skip::NotReady
            },
        });
        missing.collect()
    }

    /// What the script has learned, once it has ended.
    pub(super) fn report(&mut self, ended: Ended) -> Report {
        let refused = match ended {
            Ended::Refused(refused) => Some(refused),
            Ended::Silent | Ended::Served => None,
        };
        let cid = self.cid.unwrap_or_default();
        let mut capture = match (self.cid, self.blocks) {
            (Some(cid), Some(blocks)) => sd::capture(&sd::sd_names(&cid), &cid, blocks),
            _ => Capture::empty(Kind::Card),
        };
        if refused.is_some() {
            capture.geometry = None;
            capture.capacity16 = None;
        }
        Report {
            capture,
            identity: Identity::Card(CardIdentity {
                cid,
                csd: self.csd.unwrap_or_default(),
                scr: self.scr,
                status: self.status,
                crc_checked: self.crc_checked,
            }),
            not_run: self.not_run(),
            steps: core::mem::take(&mut self.steps),
            refused,
            own_before: self.own_before,
        }
    }
}
