//! The lights: two green ones that follow reads, a red one that follows refusals.
//!
//! Facts: the published requirements, section 4.7. [`crate`] has the table of codes.

use embedded_hal::digital::OutputPin;
use rp2040_hal::gpio::{
    FunctionSioOutput, Pin, PullDown,
    bank0::{Gpio14, Gpio15, Gpio25},
};
use wb_bridge::{Micros, bridge::Lights as State};

/// Half a period of the green light while data leave.
const READING: Micros = 50_000;
/// Half a period of the red light while what is attached is not served.
const FAULT: Micros = 500_000;
/// A flash of a fault code, and the darkness behind it.
const FLASH: Micros = 250_000;
/// Flashes that would fit into the pause between two codes.
const PAUSE: Micros = 6;

type Output<P> = Pin<P, FunctionSioOutput, PullDown>;

/// The lights.
pub struct Lights {
    /// On the board.
    pub green: Output<Gpio25>,
    /// On the case.
    pub outer_green: Output<Gpio14>,
    /// On the case.
    pub red: Output<Gpio15>,
}

fn is_on(now: Micros, half: Micros) -> bool {
    now.checked_div(half).is_some_and(|halves| halves % 2 == 0)
}

impl Lights {
    /// Shows what the bridge does.
    pub fn show(&mut self, state: State, now: Micros) {
        self.set_green(if state.reading { is_on(now, READING) } else { state.ready });
        self.set_red(state.refused || (state.fault && is_on(now, FAULT)));
    }

    /// Shows a fault code: so many red flashes, a pause, again. The time is that since the fault.
    pub fn show_fault(&mut self, code: u8, now: Micros) {
        self.set_green(false);
        let slot = now.checked_div(FLASH.wrapping_mul(2)).unwrap_or(0);
        let round = Micros::from(code).wrapping_add(PAUSE);
        // Darkness comes first, since the lights were on for the self-test.
        let place = slot.checked_rem(round).unwrap_or(0);
        let is_flash = place > 0 && place <= code.into();
        self.set_red(is_flash && is_on(now, FLASH));
    }

    /// All on, so that a broken light shows.
    pub fn test(&mut self) {
        self.set_green(true);
        self.set_red(true);
    }

    fn set_green(&mut self, on: bool) {
        let level = on.into();
        // The pins are the processor's own: setting one cannot fail.
        let _ = self.green.set_state(level);
        let _ = self.outer_green.set_state(level);
    }

    fn set_red(&mut self, on: bool) {
        let _ = self.red.set_state(on.into());
    }
}
