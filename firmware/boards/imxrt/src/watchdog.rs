//! WDOG1: resets the chip when the main loop stops. Once on it cannot be turned off.
//!
//! Facts: i.MX RT1060 reference manual, chapter "Watchdog Timer". A time-out is in steps of half a second; WMCR holds a second timer, which would pull
//! the reset pin 16 seconds after power-up.

use imxrt_ral::{self as ral, ccm::CCM, modify_reg, wdog::WDOG1, write_reg};

/// 4 seconds: (7 + 1) half seconds. Longer than anything that is done without feeding it.
const HALF_SECONDS_LESS_ONE: u16 = 7;
/// The same in microseconds.
pub const MICROS: u32 = 4_000_000;

/// The watchdog.
pub struct Watchdog(WDOG1);

impl Watchdog {
    /// Starts it. A debugger that stops the core stops it too.
    pub fn start(registers: WDOG1, ccm: &mut CCM) -> Self {
        modify_reg!(ral::ccm, ccm, CCGR3, CG8: 3);
        write_reg!(ral::wdog, registers, WMCR, PDE: 0);
        // SRS and WDA written as ones do nothing.
        write_reg!(
            ral::wdog,
            registers,
            WCR,
            WT: HALF_SECONDS_LESS_ONE,
            SRS: 1,
            WDA: 1,
            WDBG: 1,
            WDZST: 1,
            WDE: 1
        );
        let watchdog = Self(registers);
        watchdog.feed();
        watchdog
    }

    /// Begins the time anew.
    pub fn feed(&self) {
        write_reg!(ral::wdog, self.0, WSR, 0x5555);
        write_reg!(ral::wdog, self.0, WSR, 0xAAAA);
    }
}
