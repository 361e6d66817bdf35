//! Random samples from the chip's ring oscillator.
//!
//! Facts: the published requirements, section 4.5 (the chip has no true random number generator: at least 64 KiB of samples with a repetition
//! and a proportion test, mixed with the host's bytes); RP2040 datasheet, section 2.17.5 (the random bit is the state of the oscillator, useless
//! where it runs at a harmonic of the processor's clock). The time between two samples varies, so that no harmonic lasts.

use rp2040_hal::pac::ROSC;
use wb_attest::{
    entropy::{Cutoffs, Health},
    key::SeedMaker,
};

/// Samples, one bit each: 64 KiB of them.
const SAMPLES: u64 = 64 * 1024 * 8;
/// Samples that are handed on at once.
const PIECE: usize = 64;
/// Attempts before the source counts as broken.
const ATTEMPTS: u32 = 3;

/// Intervals: a linear feedback shift register of 16 bits with the longest period.
struct Intervals(u16);

impl Intervals {
    fn next(&mut self) -> u32 {
        let low = self.0 & 1;
        self.0 = (self.0 >> 1) ^ (0xB400 & 0_u16.wrapping_sub(low));
        u32::from(self.0 & 0x3F)
    }
}

/// Feeds the samples of a healthy source into the seed. `None` where the tests gave alarm each time. It takes seconds, in which `progress` is
/// called again and again.
pub fn gather(oscillator: &ROSC, progress: impl Fn()) -> Option<SeedMaker> {
    (1..=ATTEMPTS).find_map(|attempt| attempt_to_gather(oscillator, attempt, &progress))
}

fn attempt_to_gather(oscillator: &ROSC, attempt: u32, progress: &impl Fn()) -> Option<SeedMaker> {
    let mut health = Health::new(Cutoffs::HALF_BIT);
    let mut seed = SeedMaker::new();
    let mut intervals = Intervals(0xACE1);
    while health.samples() < SAMPLES && health.alarm().is_none() {
        progress();
        let mut piece = [0_u8; PIECE];
        for sample in &mut piece {
            cortex_m::asm::delay(intervals.next().saturating_mul(attempt));
            *sample = u8::from(oscillator.randombit().read().randombit().bit());
        }
        health.feed(&piece);
        seed.device(&piece);
    }
    health.passed(SAMPLES).then_some(seed)
}
