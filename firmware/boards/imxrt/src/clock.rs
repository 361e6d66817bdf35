//! Clocks of the chip, and the time.
//!
//! Facts: i.MX RT1060 reference manual, chapters "Clock Controller Module" and "General Purpose Timer". The steps are those of `imxrt-hal`: core 600 MHz from
//! PLL1 (1.2 GHz, divided by two), buses 150 MHz, at 1.25 V; USB from PLL3; periodic timers 1 MHz from the 24 MHz crystal.

use core::cell::Cell;

use cortex_m::peripheral::DWT;

use imxrt_hal::{
    ccm::{self, clock_gate},
    dcdc,
};
use imxrt_ral::{self as ral, ccm::CCM, ccm_analog::CCM_ANALOG, dcdc::DCDC, gpt::GPT1, modify_reg};
use wb_bridge::Micros;

/// Millivolts that the core needs at 600 MHz.
const CORE_MILLIVOLTS: u32 = 1250;
/// PLL1 in half steps of the 24 MHz crystal: 1.2 GHz.
const PLL1_DIVIDER: u32 = 100;
const ARM_DIVIDER: u32 = 2;
const BUS_DIVIDER: u32 = 4;
/// 24 MHz to 1 MHz.
const TIMER_DIVIDER: u32 = 24;

/// Cycles of the core in a microsecond.
pub const CYCLES_PER_MICRO: u32 = 600;

/// Brings the core to its speed, and the clock of the first USB core up.
pub fn start(ccm: &mut CCM, analog: &mut CCM_ANALOG, dcdc: &mut DCDC) {
    ccm::set_low_power_mode(ccm, ccm::LowPowerMode::RemainInRun);
    dcdc::set_target_vdd_soc(dcdc, CORE_MILLIVOLTS);
    ccm::analog::pll3::restart(analog);

    // The core runs from the crystal while its PLL is set.
    if ccm::ahb_clk::selection(ccm) == ccm::ahb_clk::Selection::PeriphClk2Sel {
        ccm::ahb_clk::set_selection(ccm, ccm::ahb_clk::Selection::PrePeriphClkSel);
    }
    ccm::periph_clk2::set_divider(ccm, 1);
    ccm::periph_clk2::set_selection(ccm, ccm::periph_clk2::Selection::Osc);
    ccm::ahb_clk::set_selection(ccm, ccm::ahb_clk::Selection::PeriphClk2Sel);
    ccm::analog::pll1::restart(analog, PLL1_DIVIDER);
    ccm::arm_divider::set_divider(ccm, ARM_DIVIDER);
    ccm::ahb_clk::set_divider(ccm, 1);
    ccm::ipg_clk::set_divider(ccm, BUS_DIVIDER);
    ccm::pre_periph_clk::set_selection(ccm, ccm::pre_periph_clk::Selection::Pll1);
    ccm::ahb_clk::set_selection(ccm, ccm::ahb_clk::Selection::PrePeriphClkSel);

    ccm::perclk_clk::set_divider(ccm, TIMER_DIVIDER);
    ccm::perclk_clk::set_selection(ccm, ccm::perclk_clk::Selection::Oscillator);
    clock_gate::gpt_bus::<1>().set(ccm, clock_gate::ON);
    clock_gate::gpt_serial::<1>().set(ccm, clock_gate::ON);
    clock_gate::usb().set(ccm, clock_gate::ON);
}

/// Asks until it is so, for so many microseconds at most; whether it came to that. 7 seconds can be asked for; the cycle counter runs.
pub fn wait(micros: u32, mut done: impl FnMut() -> bool) -> bool {
    let limit = micros.wrapping_mul(CYCLES_PER_MICRO);
    let start = DWT::cycle_count();
    while !done() {
        if DWT::cycle_count().wrapping_sub(start) > limit {
            return done();
        }
    }
    true
}

defmt::timestamp!("{=u32:us}", count());

/// The timer as it stands, for the log.
fn count() -> u32 {
    // SAFETY: a register of the timer; reading it changes nothing.
    unsafe { (*ral::gpt::GPT1).CNT.read() }
}

/// Microseconds since power-up, from GPT1. It has to be asked at least once in 71 minutes, which the main loop does.
pub struct Clock {
    timer: GPT1,
    last: Cell<u32>,
    high: Cell<u32>,
}

impl Clock {
    /// Starts the timer; its clock runs.
    pub fn new(timer: GPT1) -> Self {
        modify_reg!(ral::gpt, timer, CR, EN: 0);
        ral::write_reg!(ral::gpt, timer, PR, 0);
        // Free running from the periodic timers' clock, counting from zero.
        ral::write_reg!(ral::gpt, timer, CR, CLKSRC: CLKSRC_2, FRR: FRR_1, ENMOD: ENMOD_1);
        modify_reg!(ral::gpt, timer, CR, EN: 1);
        Self { timer, last: Cell::new(0), high: Cell::new(0) }
    }

    /// Now.
    pub fn now(&self) -> Micros {
        let count = ral::read_reg!(ral::gpt, self.timer, CNT);
        if count < self.last.replace(count) {
            self.high.set(self.high.get().wrapping_add(1));
        }
        u64::from(self.high.get()) << 32 | u64::from(count)
    }
}
