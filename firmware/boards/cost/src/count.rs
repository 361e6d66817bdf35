//! The counter: SysTick on the virtual clock.

use core::{arch::asm, panic::PanicInfo};

use cortex_m::{
    Peripherals,
    peripheral::{SYST, syst::SystClkSource},
};
use cortex_m_semihosting::{debug, hprintln};

/// Instructions in a tick: the emulated boards' clock is 25 MHz, an instruction takes a nanosecond.
const INSTRUCTIONS_A_TICK: u64 = 40;
/// Ticks until the timer comes round: 671 million instructions.
const RELOAD: u32 = 0x00FF_FFFF;

/// Rounds of the known work, of twelve instructions each.
const KNOWN_ROUNDS: u32 = 100_000;
const KNOWN_INSTRUCTIONS: u64 = 12 * KNOWN_ROUNDS as u64;

/// Twelve instructions a round: ten that do nothing, a subtraction, a branch.
fn known_work(rounds: u32) {
    // SAFETY: changes a register and flags alone.
    unsafe {
        asm!(
            "1:",
            ".rept 10",
            "nop",
            ".endr",
            "subs {rounds}, #1",
            "bne 1b",
            rounds = inout(reg) rounds => _,
            options(nomem, nostack)
        );
    }
}

/// The counter.
pub struct Counter {
    /// What counting costs by itself.
    own: u64,
}

impl Counter {
    /// Starts the timer, and checks by instructions that are known that an instruction is what it counts.
    pub fn start() -> Option<Self> {
        let mut core = Peripherals::take()?;
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(RELOAD);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        let mut counter = Self { own: 0 };
        counter.own = counter.count(1, || {});
        let known = counter.count(1, || known_work(KNOWN_ROUNDS));
        let is_right = known.abs_diff(KNOWN_INSTRUCTIONS) < KNOWN_INSTRUCTIONS / 1000;
        hprintln!("calibration: {} instructions counted as {}", KNOWN_INSTRUCTIONS, known);
        is_right.then_some(counter)
    }

    /// Instructions of `work`, the mean of so many runs.
    pub fn count(&self, runs: u32, mut work: impl FnMut()) -> u64 {
        let mut total = 0_u64;
        for _ in 0..runs {
            let before = SYST::get_current();
            work();
            let after = SYST::get_current();
            let ticks = before.wrapping_sub(after) & RELOAD;
            let all = u64::from(ticks).saturating_mul(INSTRUCTIONS_A_TICK);
            total = total.saturating_add(all.saturating_sub(self.own));
        }
        total.checked_div(u64::from(runs)).unwrap_or(0)
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let is_done = Counter::start().is_some_and(|counter| crate::work::run(&counter).is_some());
    if !is_done {
        hprintln!("not counted");
    }
    loop {
        debug::exit(if is_done { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
