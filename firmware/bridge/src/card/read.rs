//! A command in progress: a read, block by block, or the question for the card's status.
//!
//! Facts: the published policy, sections 3.1 (never widened, no retry, good blocks before the failing one are delivered) and 7.4; SD
//! Physical Layer Simplified Specification, 7.2.3 (data read) and 7.3.3 (tokens).
//!
//! After every read of several blocks, and after every failure, CMD13 makes sure that card and driver are in step. A card that
//! does not answer it properly is initialised anew.

use embedded_hal::{digital::OutputPin, spi::SpiBus};
use wb_policy::{
    down::DownCommand,
    geometry::BlockRange,
    sd::{CARD_BLOCK_BYTES, SdCommand},
    sense::{CRC_ERROR, Code, NOT_PRESENT, Sense, TARGET_FAILURE, TIMED_OUT},
};

use super::{
    BUSY_TIMEOUT, TOKEN_TIMEOUT, errors,
    errors::{R1_CRC, R1_IDLE, R1_ILLEGAL},
    link::{Link, START_TOKEN, Trouble},
};
use crate::{
    Micros,
    drive::{Completion, Slot, Status},
};

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another step.
    Continue,
    /// The command has ended and the card is in step.
    Done,
    /// The card is not in step.
    Recover,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// Wait for a block until this time.
    Token(Micros),
    /// CMD12; once more if the card did not take the first one.
    Stop {
        last_try: bool,
    },
    /// Wait until this time for the end of busy.
    Busy(Micros),
    /// CMD13, waiting for the end of busy until this time; once more if the card did not take the first one.
    Settle {
        until: Micros,
        last_try: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum What {
    Status,
    Read { range: BlockRange, command: SdCommand, index: usize },
}

/// A command in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) slot: Slot,
    what: What,
    step: Step,
    done: u32,
    failure: Option<Code>,
    wanted: bool,
}

/// Where a read's blocks go: a slot's bytes, and how many of them are valid.
type Room<'a> = Option<(&'a mut [u8], &'a mut usize)>;

impl Operation {
    pub(super) fn status(slot: Slot) -> Self {
        Self::new(What::Status, slot)
    }

    pub(super) fn read(range: &BlockRange, block_addressed: bool, slot: Slot) -> Option<Self> {
        let command = SdCommand::read(range, block_addressed)?;
        let index = DownCommand::Read(*range).index();
        Some(Self::new(What::Read { range: *range, command, index }, slot))
    }

    fn new(what: What, slot: Slot) -> Self {
        Self { slot, what, step: Step::Begin, done: 0, failure: None, wanted: true }
    }

    /// Whether somebody waits for its end.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The card has gone: a failure, unless every block had come and was right.
    pub(super) fn card_has_gone(&mut self) {
        if self.failure.is_some() || !self.is_complete() {
            self.failure = Some(NOT_PRESENT);
        }
    }

    /// Good, or the sense of what went wrong; for reads with the first block that was not delivered (7.4).
    pub(super) fn completion(&self) -> Completion {
        let delivered = self.done.saturating_mul(CARD_BLOCK_BYTES);
        let status = match (self.failure, self.what) {
            (None, _) => Status::Good,
            (Some(code), What::Status) => Status::Check(Sense::new(code)),
            (Some(code), What::Read { range, .. }) => {
                let lba = range.lba().saturating_add(u64::from(self.done));
                Status::Check(Sense::new(code).with_information(lba))
            }
        };
        Completion { status, delivered }
    }

    fn is_complete(&self) -> bool {
        match self.what {
            What::Status => false,
            What::Read { range, .. } => self.done == range.blocks(),
        }
    }

    fn is_multiple(&self) -> bool {
        matches!(self.what, What::Read { command: SdCommand::ReadMultiple(_), .. })
    }

    /// Gives the command up; what is left is to bring the card in step.
    pub(super) fn abandon<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) {
        self.wanted = false;
        match self.step {
            Step::Begin => self.done = 0,
            Step::Token(_) => {
                self.failure = Some(TIMED_OUT);
                let _ = self.leave(link, now);
            }
            Step::Stop { .. } | Step::Busy(_) | Step::Settle { .. } => {}
        }
    }

    pub(super) fn poll<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        room: Room<'_>,
        now: Micros,
    ) -> Turn {
        match self.step {
            Step::Begin if !self.wanted => Turn::Done,
            Step::Begin => self.begin(link, now),
            Step::Token(deadline) => self.token(link, room, deadline, now),
            Step::Stop { last_try } => self.stop(link, last_try, now),
            Step::Busy(deadline) => self.busy(link, deadline, now),
            Step::Settle { until, last_try } => self.settle(link, until, last_try, now),
        }
    }

    fn begin<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Turn {
        let What::Read { command, index, .. } = self.what else {
            return self.ask_status(link);
        };
        let response = link.command(&command);
        if !matches!(response, Err(Trouble::Busy | Trouble::Withheld)) {
            link.count_command(index);
        }
        match response {
            Ok(0) => {
                self.step = Step::Token(now.saturating_add(TOKEN_TIMEOUT));
                Turn::Continue
            }
            Ok(r1) if r1 & R1_IDLE != 0 => self.give_up(link, TARGET_FAILURE),
            Ok(r1) => self.fail(link, errors::of_r1(r1).unwrap_or(TARGET_FAILURE), now),
            Err(Trouble::Silent | Trouble::Busy) => self.fail(link, TIMED_OUT, now),
            Err(Trouble::Bus | Trouble::Withheld) => self.give_up(link, TARGET_FAILURE),
        }
    }

    fn ask_status<SPI: SpiBus<u8>, CS: OutputPin>(&mut self, link: &mut Link<SPI, CS>) -> Turn {
        let status = link.status();
        if !matches!(status, Err(Trouble::Busy | Trouble::Withheld)) {
            link.count_command(DownCommand::TestUnitReady.index());
        }
        match status {
            Ok((r1, _)) if r1 & R1_IDLE != 0 => self.give_up(link, TARGET_FAILURE),
            Ok((r1, status)) => {
                self.failure = errors::of_r1(r1).or_else(|| errors::of_status(status));
                Turn::Done
            }
            Err(_) => self.give_up(link, TIMED_OUT),
        }
    }

    fn give_up<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        code: Code,
    ) -> Turn {
        link.end();
        self.failure = Some(code);
        Turn::Recover
    }

    fn fail<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        code: Code,
        now: Micros,
    ) -> Turn {
        self.failure = Some(code);
        self.leave(link, now)
    }

    /// The data phase is over: CMD12 after CMD18, otherwise straight to CMD13, or to the end if all is well.
    fn leave<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        now: Micros,
    ) -> Turn {
        if self.is_multiple() {
            self.step = Step::Stop { last_try: false };
            return Turn::Continue;
        }
        link.end();
        if self.failure.is_none() {
            return Turn::Done;
        }
        self.settle_until(now.saturating_add(BUSY_TIMEOUT))
    }

    fn settle_until(&mut self, until: Micros) -> Turn {
        self.step = Step::Settle { until, last_try: false };
        Turn::Continue
    }

    fn token<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        room: Room<'_>,
        deadline: Micros,
        now: Micros,
    ) -> Turn {
        match link.token() {
            Ok(None) if now < deadline => Turn::Continue,
            Ok(None) => self.fail(link, TIMED_OUT, now),
            Ok(Some(START_TOKEN)) => self.block(link, room, now),
            Ok(Some(token)) => self.fail(link, errors::of_token(token), now),
            Err(_) => self.give_up(link, TARGET_FAILURE),
        }
    }

    fn block<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        room: Room<'_>,
        now: Micros,
    ) -> Turn {
        let block_bytes = usize::try_from(CARD_BLOCK_BYTES).unwrap_or(usize::MAX);
        let start = usize::try_from(self.done).unwrap_or(usize::MAX).saturating_mul(block_bytes);
        let end = start.saturating_add(block_bytes);
        let Some((bytes, filled)) = room else { return self.give_up(link, TARGET_FAILURE) };
        let Some(block) = bytes.get_mut(start..end) else {
            return self.give_up(link, TARGET_FAILURE);
        };
        match link.block(block) {
            Ok(true) => {
                *filled = end;
                self.done = self.done.saturating_add(1);
                if self.is_complete() {
                    return self.leave(link, now);
                }
                self.step = Step::Token(now.saturating_add(TOKEN_TIMEOUT));
                Turn::Continue
            }
            Ok(false) => self.fail(link, CRC_ERROR, now),
            Err(_) => self.give_up(link, TARGET_FAILURE),
        }
    }

    fn stop<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        last_try: bool,
        now: Micros,
    ) -> Turn {
        let taken = link.stop().is_ok_and(|r1| r1 & R1_CRC == 0);
        if taken {
            self.step = Step::Busy(now.saturating_add(BUSY_TIMEOUT));
            return Turn::Continue;
        }
        link.end();
        if last_try {
            return self.settle_until(now.saturating_add(BUSY_TIMEOUT));
        }
        self.step = Step::Stop { last_try: true };
        Turn::Continue
    }

    fn busy<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        deadline: Micros,
        now: Micros,
    ) -> Turn {
        let ready = link.is_ready() == Ok(true);
        if !ready && now < deadline {
            return Turn::Continue;
        }
        link.end();
        if !ready && self.failure.is_none() && !self.is_complete() {
            self.failure = Some(TIMED_OUT);
        }
        self.settle_until(now.saturating_add(BUSY_TIMEOUT))
    }

    /// CMD13: in step, or not. Its status may tell why the read failed; when every block has come and was right, it changes nothing.
    fn settle<SPI: SpiBus<u8>, CS: OutputPin>(
        &mut self,
        link: &mut Link<SPI, CS>,
        until: Micros,
        last_try: bool,
        now: Micros,
    ) -> Turn {
        match link.status() {
            Err(Trouble::Busy) if now < until => Turn::Continue,
            Ok((r1, _)) if r1 & R1_CRC != 0 && !last_try => {
                self.step = Step::Settle { until, last_try: true };
                Turn::Continue
            }
            Ok((r1, status)) if r1 & (R1_IDLE | R1_ILLEGAL | R1_CRC) == 0 => {
                self.failure = self.failure.map(|found| errors::with_status(found, status));
                Turn::Done
            }
            Ok(_) | Err(_) => Turn::Recover,
        }
    }
}
