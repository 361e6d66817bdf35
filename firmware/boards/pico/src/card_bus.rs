//! SPI0 as the card driver's bus: `rp2040-hal`'s SPI with the transmit FIFO kept full, so that the wire sets the pace.
//!
//! Facts: RP2040 datasheet, section 4.4 (FIFOs of eight entries); the published policy, section 7.2 (clocks).

use core::{cell::Cell, convert::Infallible};

use embedded_hal::spi::{ErrorType, SpiBus};
use embedded_hal_nb::spi::FullDuplex;
use rp2040_hal::{
    Spi,
    fugit::HertzU32,
    gpio::{
        FunctionSioOutput, FunctionSpi, Pin, PullDown, PullNone, PullUp,
        bank0::{Gpio16, Gpio17, Gpio18, Gpio19},
    },
    pac::SPI0,
    spi::Enabled,
};
use wb_bridge::card::Clock;

/// Clock until the card is initialised.
pub const IDENTIFICATION: HertzU32 = HertzU32::from_raw(400_000);
/// Clock of the data phase: half of what a card allows, since the wires of a socket on a breadboard are long.
const DATA: HertzU32 = HertzU32::from_raw(12_500_000);
/// The peripheral clock that `rp2040_hal::clocks::init_clocks_and_plls` sets.
pub const PERIPHERAL: HertzU32 = HertzU32::from_raw(125_000_000);
/// Entries of each FIFO: no more bytes may be under way, or an answer is lost.
const FIFO: usize = 8;
/// What the data-in line carries while only the answer matters.
const IDLE: u8 = 0xFF;

/// Data-in, data-out with the pull-up that makes an empty slot read as FFh, and clock.
pub type Pins = (
    Pin<Gpio19, FunctionSpi, PullNone>,
    Pin<Gpio16, FunctionSpi, PullUp>,
    Pin<Gpio18, FunctionSpi, PullNone>,
);
/// Chip select, active low.
pub type ChipSelect = Pin<Gpio17, FunctionSioOutput, PullDown>;

/// The bus.
pub struct CardBus(pub Spi<Enabled, SPI0, Pins, 8>);

impl CardBus {
    /// Sets the bus clock: [`wb_bridge::card::Card::new`] wants a function for it.
    pub fn set_clock(&mut self, clock: Clock) {
        let rate = match clock {
            Clock::Identification => IDENTIFICATION,
            Clock::Data => DATA,
        };
        self.0.set_baudrate(PERIPHERAL, rate);
    }

    /// Exchanges `count` bytes.
    fn exchange(
        &mut self,
        count: usize,
        give: impl Fn(usize) -> u8,
        mut take: impl FnMut(usize, u8),
    ) {
        let (mut sent, mut received) = (0_usize, 0_usize);
        while received < count {
            let may_send = sent < count && sent.wrapping_sub(received) < FIFO;
            if may_send && FullDuplex::write(&mut self.0, give(sent)).is_ok() {
                sent = sent.wrapping_add(1);
            }
            if let Ok(byte) = FullDuplex::read(&mut self.0) {
                take(received, byte);
                received = received.wrapping_add(1);
            }
        }
    }
}

impl ErrorType for CardBus {
    type Error = Infallible;
}

fn at(words: &[u8], index: usize) -> u8 {
    words.get(index).copied().unwrap_or(IDLE)
}

fn put(words: &[Cell<u8>], index: usize, byte: u8) {
    if let Some(word) = words.get(index) {
        word.set(byte);
    }
}

impl SpiBus<u8> for CardBus {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        let words = Cell::from_mut(words).as_slice_of_cells();
        self.exchange(words.len(), |_| IDLE, |index, byte| put(words, index, byte));
        Ok(())
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Infallible> {
        self.exchange(words.len(), |index| at(words, index), |_, _| {});
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Infallible> {
        let count = read.len().max(write.len());
        let read = Cell::from_mut(read).as_slice_of_cells();
        self.exchange(count, |index| at(write, index), |index, byte| put(read, index, byte));
        Ok(())
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        let words = Cell::from_mut(words).as_slice_of_cells();
        let give = |index: usize| words.get(index).map_or(IDLE, Cell::get);
        self.exchange(words.len(), give, |index, byte| put(words, index, byte));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        SpiBus::flush(&mut self.0)
    }
}
