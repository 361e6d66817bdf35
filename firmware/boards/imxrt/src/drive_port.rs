//! USB2, the drive's side: clock, PHY, supply, and the driver of `chipidea` on the core.
//!
//! Facts: i.MX RT1060 reference manual, chapters "Universal Serial Bus Controller" and "Universal Serial Bus 2.0 Integrated PHY"; register names as in
//! `imxrt-ral`: CCM_ANALOG PLL_USB2 (480 MHz, EN_USB_CLKS), CCM CCGR6 CG0, USBPHY2 CTRL and PWD, USBNC2 USB_OTG2_CTRL. The core lies at
//! 402E_0200h.
//!
//! The memory of the driver lies in DTCM, where nothing stands between it and the core (crate documentation).

use chipidea::{Config, Ehci, Hardware, Memory, Mmio};
use imxrt_hal::ccm::{self, clock_gate};
use imxrt_ral::{
    self as ral, ccm::CCM, ccm_analog::CCM_ANALOG, modify_reg, usbnc::USBNC2, usbphy::USBPHY2,
    write_reg,
};
use static_cell::ConstStaticCell;
use wb_bridge::Micros;

use crate::pins::Driver;

/// Room of a slot.
pub const SLOT: usize = 64 * 1024;
const CORE: usize = 0x402E_0200;

static MEMORY: ConstStaticCell<Memory<SLOT>> = ConstStaticCell::new(Memory::new());

/// The core and what stands around it.
pub struct DrivePort {
    registers: Mmio,
    phy: USBPHY2,
    vbus: Option<Driver>,
}

/// The driver.
pub type Controller = Ehci<DrivePort, SLOT>;

/// Brings clock and PHY up and gives the driver. `vbus` is the switch of the drive's supply, which is off.
///
/// # Safety
/// Nothing else uses the second USB core.
pub unsafe fn open(
    ccm: &mut CCM,
    analog: &mut CCM_ANALOG,
    phy: USBPHY2,
    around: &USBNC2,
    vbus: Option<Driver>,
    now: Micros,
) -> Controller {
    ccm::analog::pll7::restart(analog);
    clock_gate::usb().set(ccm, clock_gate::ON);
    // Through a reset and clocked; full-speed devices need levels 2 and 3.
    write_reg!(ral::usbphy, phy, CTRL_SET, SFTRST: 1);
    write_reg!(ral::usbphy, phy, CTRL_CLR, SFTRST: 1);
    write_reg!(ral::usbphy, phy, CTRL_CLR, CLKGATE: 1);
    write_reg!(ral::usbphy, phy, CTRL_SET, ENUTMILEVEL2: 1, ENUTMILEVEL3: 1);
    write_reg!(ral::usbphy, phy, CTRL_CLR, ENHOSTDISCONDETECT: 1);
    write_reg!(ral::usbphy, phy, PWD, 0);
    // Neither board brings an over-current line to the chip: on the Teensy the load switch, on the EVK the supply limits by itself. Left on,
    // the detector would hear a pad that is not its own.
    modify_reg!(ral::usbnc, around, USB_OTG1_CTRL, OVER_CUR_DIS: 1);
    // SAFETY: the core lies there and is clocked, and by the contract of this function it is ours alone.
    let registers = unsafe { Mmio::new(CORE) };
    Ehci::new(DrivePort { registers, phy, vbus }, MEMORY.take(), Config::CHIP, now)
}

// SAFETY: the registers are those of the second core, by the contract of `open`. The driver's memory lies in DTCM, which the core finds at the
// processor's address and which is never cached. `dsb` completes all earlier accesses.
unsafe impl Hardware for DrivePort {
    fn read(&self, offset: usize) -> u32 {
        self.registers.read(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.registers.write(offset, value);
    }

    fn bus_address(&self, memory: *const u8) -> u32 {
        u32::try_from(memory.expose_provenance()).unwrap_or(0)
    }

    fn barrier(&self) {
        cortex_m::asm::dsb();
    }

    fn set_vbus(&mut self, on: bool) {
        if let Some(vbus) = &self.vbus {
            vbus.set(on);
        }
    }

    fn set_high_speed(&mut self, attached: bool) {
        if attached {
            write_reg!(ral::usbphy, self.phy, CTRL_SET, ENHOSTDISCONDETECT: 1);
        } else {
            write_reg!(ral::usbphy, self.phy, CTRL_CLR, ENHOSTDISCONDETECT: 1);
        }
    }
}
