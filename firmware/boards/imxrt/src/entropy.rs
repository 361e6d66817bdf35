//! Random numbers for the device key: the chip's TRNG, tested as they come, a few at a time so that the host goes on being served.
//!
//! Facts: the published requirements, section 4.5; i.MX RT1060 reference manual, chapter "True Random Number Generator" (driver and its limits of the built-in tests:
//! `imxrt-hal`). One block of 512 bits takes the unit a good part of a second.

use core::task::Poll;

use imxrt_hal::{
    ccm::clock_gate,
    trng::{RetryCount, SampleMode, Trng},
};
use imxrt_ral::{self as ral, ccm::CCM, modify_reg, ocotp::OCOTP, trng::TRNG};
use wb_attest::{
    entropy::{Cutoffs, Health},
    key::{KeyPage, SeedMaker},
};
use wb_bridge::Micros;

/// Bytes taken for a key: two windows of the proportion test, thirty times what the key needs.
const SAMPLES: u64 = 1024;
/// Time for that.
const LIMIT: Micros = 60_000_000;

/// No key: a test gave alarm, the unit reported an error, or it took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRandom;

/// A key in the making.
pub struct Maker {
    trng: Trng,
    health: Health,
    seed: SeedMaker,
    host: [u8; 32],
    until: Micros,
}

impl Maker {
    /// Starts the unit.
    pub fn new(registers: TRNG, ccm: &mut CCM, host: &[u8; 32], now: Micros) -> Self {
        clock_gate::trng().set(ccm, clock_gate::ON);
        // OCOTP.
        modify_reg!(ral::ccm, ccm, CCGR2, CG6: 3);
        Self {
            trng: Trng::new(registers, SampleMode::VonNeumannRaw, RetryCount::default()),
            health: Health::new(Cutoffs::HALF_PER_BYTE),
            seed: SeedMaker::new(),
            host: *host,
            until: now.saturating_add(LIMIT),
        }
    }

    /// Takes what is there; the key when there is enough.
    ///
    /// # Errors
    /// [`NotRandom`].
    pub fn poll(&mut self, now: Micros) -> Result<Option<KeyPage>, NotRandom> {
        while let Poll::Ready(word) = self.trng.next_u32() {
            let word = word.map_err(|_| NotRandom)?.to_le_bytes();
            self.health.feed(&word);
            self.seed.device(&word);
            if self.health.alarm().is_some() {
                return Err(NotRandom);
            }
            if self.health.passed(SAMPLES) {
                let seed = self.seed.clone().finish(&self.host, &chip_id());
                return Ok(Some(KeyPage::from_seed(seed)));
            }
        }
        if now < self.until { Ok(None) } else { Err(NotRandom) }
    }
}

/// The chip's unique number, OCOTP CFG0 and CFG1 (shadow registers of the fuses).
fn chip_id() -> [u8; 8] {
    // SAFETY: only read, and by nobody else.
    let fuses = unsafe { OCOTP::instance() };
    let (low, high) = (fuses.CFG0.read(), fuses.CFG1.read());
    (u64::from(high) << 32 | u64::from(low)).to_le_bytes()
}
