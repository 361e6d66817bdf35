//! The wires to a card: two functions that drive its data-in line, and what they are made into.
//!
//! Facts: SD Physical Layer Simplified Specification, 7.2 (protocol), 7.3.2 (responses), 7.5 (timing); the published policy, section 7.2.
//! Chip select stays low for a whole command with its response and data.

use embedded_hal::{digital::OutputPin, spi::SpiBus};
use wb_policy::{
    sd::{Application, CardLink, SdCommand, SdFrame, SdState, data_crc, may_emit},
    tables::POLICY,
};

use super::errors::{R1_CRC, R1_IDLE, R1_ILLEGAL};
use crate::drive::Emitted;

/// Level of an idle line, and the only byte besides command frames that a card gets.
const IDLE: u8 = 0xFF;
/// Begins a block of data of a read.
pub(super) const START_TOKEN: u8 = 0xFE;
/// Bytes between the end of a command and its response, at most (`N_CR`).
const RESPONSE_WITHIN: u8 = 8;
/// Bytes clocked in one step while waiting for a card.
const WAIT_BYTES: u16 = 64;

/// Speed of the bus clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// At most 400 kHz, until the card is initialised.
    Identification,
    /// At most 25 MHz.
    Data,
}

/// Why a command has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing came in time.
    Silent,
    /// The card holds the line low.
    Busy,
    /// The bus or the chip select pin failed.
    Bus,
    /// The published tables do not let the command through in this state.
    Withheld,
}

/// Bus and chip select, and what the card is known to be.
pub(super) struct Link<SPI, CS> {
    spi: SPI,
    cs: CS,
    set_clock: fn(&mut SPI, Clock),
    state: SdState,
    block_addressed: bool,
    emitted: Emitted,
}

impl<SPI: SpiBus<u8>, CS: OutputPin> Link<SPI, CS> {
    pub(super) fn new(spi: SPI, cs: CS, set_clock: fn(&mut SPI, Clock)) -> Self {
        Self {
            spi,
            cs,
            set_clock,
            state: SdState::spi(),
            block_addressed: false,
            emitted: Emitted::default(),
        }
    }

    pub(super) fn bus(&mut self) -> &mut SPI {
        &mut self.spi
    }

    pub(super) fn emitted(&self) -> &Emitted {
        &self.emitted
    }

    fn count(&mut self, command: &SdCommand) {
        let emitted = &mut self.emitted;
        emitted.wrappers = emitted.wrappers.saturating_add(1);
        emitted.own = emitted.own.saturating_add(1);
        emitted.bytes = emitted.bytes.saturating_add(6);
        let by_index = if command.is_application() {
            &mut emitted.card_application
        } else {
            &mut emitted.card
        };
        if let Some(count) = by_index.get_mut(usize::from(command.index())) {
            *count = count.saturating_add(1);
        }
    }

    /// The frame sent last was a command of the host, which [`Link::count`] took for one of the driver's own.
    pub(super) fn count_command(&mut self, index: usize) {
        if let Some(count) = self.emitted.commands.get_mut(index) {
            *count = count.saturating_add(1);
        }
        self.emitted.own = self.emitted.own.saturating_sub(1);
    }

    pub(super) fn count_recovery(&mut self) {
        self.emitted.recoveries = self.emitted.recoveries.saturating_add(1);
    }

    pub(super) fn is_block_addressed(&self) -> bool {
        self.block_addressed
    }

    pub(super) fn set_block_addressed(&mut self, block_addressed: bool) {
        self.block_addressed = block_addressed;
    }

    /// The card has proved that it checks CRCs: from now on the tables let reads through.
    pub(super) fn set_crc_checked(&mut self) {
        self.state.link = CardLink::Spi { crc_checked: true };
    }

    pub(super) fn set_clock(&mut self, clock: Clock) {
        (self.set_clock)(&mut self.spi, clock);
    }

    /// First of the two functions that drive the data-in line: six bytes made by the encoder.
    fn drive_frame(&mut self, frame: &SdFrame, command: &SdCommand) -> Result<(), Trouble> {
        self.count(command);
        self.spi.write(frame.as_bytes()).map_err(|_| Trouble::Bus)
    }

    /// Second of the two functions that drive the data-in line: FFh, as often as `buffer` is long. What the card sends meanwhile is left in
    /// `buffer`.
    fn clock(&mut self, buffer: &mut [u8]) -> Result<(), Trouble> {
        buffer.fill(IDLE);
        self.spi.transfer_in_place(buffer).map_err(|_| Trouble::Bus)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Trouble> {
        let mut byte = [IDLE];
        self.clock(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let mut bytes = [IDLE; N];
        self.clock(&mut bytes)?;
        Ok(bytes)
    }

    /// Chip select low, and the card not busy.
    fn select(&mut self) -> Result<(), Trouble> {
        self.cs.set_low().map_err(|_| Trouble::Bus)?;
        for _ in 0..RESPONSE_WITHIN {
            if self.byte()? == IDLE {
                return Ok(());
            }
        }
        Err(Trouble::Busy)
    }

    /// Chip select high, and eight clocks in which the card lets go of its line. Errors have no remedy here: the next command
    /// finds them.
    pub(super) fn end(&mut self) {
        let _ = self.spi.flush();
        let _ = self.cs.set_high();
        let _ = self.byte();
        let _ = self.spi.flush();
    }

    /// At least 74 clocks with chip select high, which a card needs after power-up (SD specification, 6.4.1.1).
    pub(super) fn wake(&mut self) {
        let _ = self.cs.set_high();
        let _ = self.bytes::<10>();
        let _ = self.spi.flush();
    }

    /// Sends a command and returns its R1. Chip select stays low until [`Link::end`].
    pub(super) fn command(&mut self, command: &SdCommand) -> Result<u8, Trouble> {
        self.select()?;
        self.exchange(command, 0)
    }

    /// CMD55 and, if the card takes it, the application command: the R1 of whichever came last.
    pub(super) fn application(&mut self, command: &SdCommand) -> Result<u8, Trouble> {
        self.state.next =
            Some(Application { index: command.index(), argument: command.argument() });
        let announced = self.command(&SdCommand::Application);
        self.state.next = None;
        let announced = announced?;
        self.end();
        if announced & !R1_IDLE != 0 {
            return Ok(announced);
        }
        self.command(command)
    }

    /// CMD12, while the card is sending: the byte after the frame means nothing (SD specification, 7.3.1.3).
    pub(super) fn stop(&mut self) -> Result<u8, Trouble> {
        self.cs.set_low().map_err(|_| Trouble::Bus)?;
        self.exchange(&SdCommand::StopTransmission, 1)
    }

    /// The probe of 7.2: CMD58 with a wrong CRC.
    pub(super) fn crc_probe(&mut self) -> Result<u8, Trouble> {
        let probe = SdFrame::crc_probe().ok_or(Trouble::Withheld)?;
        if !self.may_emit(&SdCommand::ReadOcr) {
            return Err(Trouble::Withheld);
        }
        self.select()?;
        self.drive_frame(&probe, &SdCommand::ReadOcr)?;
        self.response(0)
    }

    fn may_emit(&self, command: &SdCommand) -> bool {
        let (index, argument) = (command.index(), command.argument());
        may_emit(&POLICY, &self.state, index, argument, command.is_application())
    }

    fn exchange(&mut self, command: &SdCommand, stuff: u8) -> Result<u8, Trouble> {
        let frame = SdFrame::new(command).ok_or(Trouble::Withheld)?;
        if !self.may_emit(command) {
            return Err(Trouble::Withheld);
        }
        if *command == SdCommand::GoIdle {
            self.state.link = CardLink::Spi { crc_checked: false };
        }
        self.drive_frame(&frame, command)?;
        let response = self.response(stuff);
        self.state.previous = previous(self.state.previous, command, response);
        response
    }

    /// The first byte that begins with a zero bit.
    fn response(&mut self, stuff: u8) -> Result<u8, Trouble> {
        for _ in 0..stuff {
            self.byte()?;
        }
        for _ in 0..RESPONSE_WITHIN {
            let byte = self.byte()?;
            if byte & 0x80 == 0 {
                return Ok(byte);
            }
        }
        Err(Trouble::Silent)
    }

    /// The byte that ends the card's silence, or `None` if it goes on.
    pub(super) fn token(&mut self) -> Result<Option<u8>, Trouble> {
        for _ in 0..WAIT_BYTES {
            let byte = self.byte()?;
            if byte != IDLE {
                return Ok(Some(byte));
            }
        }
        Ok(None)
    }

    /// Whether the card has stopped to be busy.
    pub(super) fn is_ready(&mut self) -> Result<bool, Trouble> {
        for _ in 0..WAIT_BYTES {
            if self.byte()? == IDLE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A block of data after its start token: whether its CRC16 is right.
    pub(super) fn block(&mut self, block: &mut [u8]) -> Result<bool, Trouble> {
        self.clock(block)?;
        let crc: [u8; 2] = self.bytes()?;
        Ok(data_crc(block) == u16::from_be_bytes(crc))
    }

    /// Status by CMD13: R1, and the byte after it. An idle line instead of that byte is no answer: no card has all errors at once.
    pub(super) fn status(&mut self) -> Result<(u8, u8), Trouble> {
        let outcome = match self.command(&SdCommand::SendStatus) {
            Ok(r1) if r1 & R1_CRC != 0 => Ok((r1, 0)),
            Ok(r1) => self.byte().map(|status| (r1, status)),
            Err(trouble) => Err(trouble),
        };
        self.end();
        match outcome {
            Ok((_, IDLE)) => Err(Trouble::Silent),
            other => other,
        }
    }

    /// Whether an attached card answers CMD13 and has not been reset.
    pub(super) fn is_alive(&mut self) -> bool {
        self.status().is_ok_and(|(r1, _)| r1 & (R1_IDLE | R1_ILLEGAL) == 0)
    }

    /// Whether a card answers CMD0.
    pub(super) fn answers_reset(&mut self) -> bool {
        self.set_clock(Clock::Identification);
        self.wake();
        let answer = self.command(&SdCommand::GoIdle);
        self.end();
        answer.is_ok()
    }
}

/// The command that the card took last. One whose CRC was wrong was not taken; one without a response may have been, and CMD12 is assumed
/// not to have been, so that it can be sent again.
fn previous(before: Option<u8>, command: &SdCommand, response: Result<u8, Trouble>) -> Option<u8> {
    let index = Some(command.index());
    match response {
        Ok(r1) if r1 & R1_CRC != 0 => before,
        Ok(r1) if *command == SdCommand::Application && r1 & R1_ILLEGAL != 0 => None,
        Ok(_) if command.is_application() => None,
        Ok(_) => index,
        Err(_) if command.is_application() || *command == SdCommand::StopTransmission => before,
        Err(_) => index,
    }
}
