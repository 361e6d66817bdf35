//! Microseconds since power-up, from the ARM generic timer, which QEMU's Cortex-A7 has.

use core::arch::asm;

use wb_bridge::Micros;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ticks_per_second: u64,
}

impl Clock {
    /// Reads the timer's frequency.
    #[must_use]
    pub fn new() -> Self {
        let frequency: u32;
        // SAFETY: reads CNTFRQ and nothing else.
        unsafe { asm!("mrc p15, 0, {}, c14, c0, 0", out(reg) frequency, options(nomem, nostack)) };
        Self { ticks_per_second: u64::from(frequency.max(1)) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Micros {
        let (low, high): (u32, u32);
        // SAFETY: reads CNTPCT and nothing else.
        unsafe {
            asm!("mrrc p15, 0, {}, {}, c14", out(reg) low, out(reg) high, options(nomem, nostack));
        }
        let ticks = (u64::from(high) << 32) | u64::from(low);
        let second = self.ticks_per_second.max(1);
        let whole = ticks.checked_div(second).unwrap_or(0);
        let rest = ticks.checked_rem(second).unwrap_or(0);
        let micros = rest.wrapping_mul(MICROS_PER_SECOND).checked_div(second).unwrap_or(0);
        whole.wrapping_mul(MICROS_PER_SECOND).wrapping_add(micros)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
