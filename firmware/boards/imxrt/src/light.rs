//! What the two lights show, as a function of time.
//!
//! The green light follows the read path alone and the red one the refusal path alone (published requirements, 4.7):
//!
//! | green | meaning |
//! |---|---|
//! | off | no drive is served |
//! | on | a drive is attached and served |
//! | flickers | data are leaving for the host |
//!
//! | red | meaning |
//! |---|---|
//! | off | nothing to report |
//! | on for 0.2 s | a command was refused |
//! | blinks evenly, once a second | what is attached is not served, changed its size, or hides something; or the host's port is no high-speed port |
//! | n flashes, 3 s of pause, again | failure n ([`Failure`]); the bridge is not on the host's bus |
//!
//! Both on at power-up, during the self-test: a light that stays dark is broken.

use wb_bridge::{Micros, bridge::Lights};

/// Half a period of the flicker.
const FLICKER: Micros = 50_000;
/// Half a period of the even blinking.
const BLINK: Micros = 500_000;
/// A flash, and the darkness behind it.
const FLASH: Micros = 250_000;
/// Flashes that would fit into the pause between two groups.
const PAUSE: u64 = 6;

/// Why a bridge does not start, or stops; the number of flashes. The numbers are those of all boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// SHA-256 in software gives wrong digests.
    Hash = 1,
    /// The policy is not the published one, or the classifier lets through what it refuses.
    Policy = 2,
    /// The key page is neither empty nor whole, or its halves do not belong together; nothing is written over it.
    Key = 3,
    /// The flash does not keep what is written: boot counter or key.
    Flash = 4,
    /// The USB device cannot be set up.
    Usb = 5,
    /// The random number generator gives no random samples: no key was made.
    Entropy = 6,
}

impl Failure {
    /// Flashes that tell it.
    #[must_use]
    pub const fn flashes(self) -> u64 {
        match self {
            Self::Hash => 1,
            Self::Policy => 2,
            Self::Key => 3,
            Self::Flash => 4,
            Self::Usb => 5,
            Self::Entropy => 6,
        }
    }
}

/// Which lights are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct On {
    /// Green.
    pub green: bool,
    /// Red.
    pub red: bool,
}

/// What a running bridge shows.
#[must_use]
pub fn running(lights: Lights, slow_host: bool, now: Micros) -> On {
    let green = if lights.reading { is_even(now, FLICKER) } else { lights.ready };
    let fault = (lights.fault || slow_host) && is_even(now, BLINK);
    On { green, red: lights.refused || fault }
}

/// What a bridge shows that did not start.
#[must_use]
pub fn failed(failure: Failure, now: Micros) -> On {
    let flashes = failure.flashes();
    let slot = now / (2 * FLASH);
    let place = slot.checked_rem(flashes.saturating_add(PAUSE)).unwrap_or(0);
    On { green: false, red: place < flashes && is_even(now, FLASH) }
}

fn is_even(now: Micros, half: Micros) -> bool {
    now.checked_div(half).unwrap_or(0).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use wb_bridge::bridge::Lights;

    use super::{FLASH, Failure, On, failed, running};

    const DARK: Lights = Lights { ready: false, reading: false, refused: false, fault: false };

    fn edges(mut at: impl FnMut(u64) -> bool, time: u64) -> usize {
        let shows: std::vec::Vec<bool> = (0..time / 10_000).map(|step| at(step * 10_000)).collect();
        shows.windows(2).filter(|pair| !pair[0] && pair[1]).count() + usize::from(shows[0])
    }

    /// D-05, 4.7: the green light follows reads alone, the red one refusals and faults alone.
    #[test]
    fn each_light_has_its_own_cause() {
        for time in (0..5_000_000).step_by(10_000) {
            assert_eq!(running(DARK, false, time), On::default());
            let ready = running(Lights { ready: true, ..DARK }, false, time);
            assert_eq!(ready, On { green: true, red: false });
            let refused = running(Lights { refused: true, ..DARK }, false, time);
            assert_eq!(refused, On { green: false, red: true });
            assert!(!running(Lights { reading: true, ..DARK }, false, time).red);
            assert!(!running(Lights { fault: true, ..DARK }, true, time).green);
        }
    }

    #[test]
    fn reading_flickers_and_faults_blink() {
        let reading = Lights { ready: true, reading: true, ..DARK };
        assert_eq!(edges(|now| running(reading, false, now).green, 1_000_000), 10);
        let fault = Lights { fault: true, ..DARK };
        assert_eq!(edges(|now| running(fault, false, now).red, 4_000_000), 4);
        assert_eq!(edges(|now| running(DARK, true, now).red, 4_000_000), 4);
    }

    #[test]
    fn a_failure_is_told_by_its_number_of_flashes() {
        let all = [
            Failure::Hash,
            Failure::Policy,
            Failure::Key,
            Failure::Flash,
            Failure::Usb,
            Failure::Entropy,
        ];
        for (number, failure) in (1_usize..).zip(all) {
            assert_eq!(failure.flashes(), number as u64);
            let period = 2 * FLASH * (number as u64 + 6);
            assert_eq!(edges(|now| failed(failure, now).red, period), number);
            assert_eq!(edges(|now| failed(failure, now).red, 3 * period), 3 * number);
        }
    }
}
