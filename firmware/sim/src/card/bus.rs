//! The slot's wires as `embedded-hal` sees them.

use std::convert::Infallible;

use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::spi::{self, SpiBus};
use wb_bridge::card::Clock;

use super::ModelCard;

/// The bus. What [`SpiBus::read`] sends is up to the implementation: this one sends 00h, as many do.
#[derive(Clone)]
pub struct ModelSpi(pub(super) ModelCard);

impl ModelSpi {
    /// The hook for the bus clock.
    pub fn set_clock(&mut self, clock: Clock) {
        self.0.core().fast = clock == Clock::Data;
    }
}

impl spi::ErrorType for ModelSpi {
    type Error = Infallible;
}

impl SpiBus<u8> for ModelSpi {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        words.fill(0);
        self.transfer_in_place(words)
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Infallible> {
        let mut core = self.0.core();
        for word in words {
            core.carry(*word);
        }
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Infallible> {
        let mut core = self.0.core();
        for index in 0..read.len().max(write.len()) {
            let answer = core.carry(write.get(index).copied().unwrap_or(0));
            if let Some(word) = read.get_mut(index) {
                *word = answer;
            }
        }
        Ok(())
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        let mut core = self.0.core();
        for word in words {
            *word = core.carry(*word);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The chip select line.
#[derive(Clone)]
pub struct ModelCs(pub(super) ModelCard);

impl digital::ErrorType for ModelCs {
    type Error = Infallible;
}

impl OutputPin for ModelCs {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.core().select(true);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.core().select(false);
        Ok(())
    }
}

/// The detect switch.
#[derive(Clone)]
pub struct ModelDetect(pub(super) ModelCard);

impl digital::ErrorType for ModelDetect {
    type Error = Infallible;
}

impl InputPin for ModelDetect {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.core().is_inserted())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.core().is_inserted())
    }
}
