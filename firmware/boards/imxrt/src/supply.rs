//! What both USB sides need before either is used: 3.0 V for the PHYs, quiet on the data lines, and plain accesses to memory.
//!
//! The regulator LDO_3P0 makes the PHYs' supply of VBUS; out of reset its enable bit is 0, `imxrt-usbd` leaves it so, and the boot ROM is not relied on.
//! It is told to take the examiner's VBUS where both are there, so that a drive's port that sags or is switched takes neither side's PHY with it.
//! The charger detectors are on out of reset and drive the data lines now and then, which makes high-speed signals poor.
//!
//! The cores' accesses to memory stay without the cacheable attribute, as they are out of reset: with it bytes may be joined on the way to tightly coupled
//! memory, and pieces that are no whole words be corrupted (erratum ERR050396 of the larger chip of this family; this one's list has not been seen).
//!
//! Facts: i.MX RT1060 reference manual, chapters "Power Management Unit" (REG_3P0), "USB Analog" (CHRG_DETECT) and "IOMUXC GPR" (GPR13), register names as in
//! `imxrt-ral`. Enabling the regulator is what the vendor's clock driver and PJRC's core do for this chip; turning the detectors off is what the vendor's
//! PHY drivers do for this family of PHYs.

use imxrt_ral::{
    self as ral, iomuxc_gpr::IOMUXC_GPR, modify_reg, pmu::PMU, usb_analog::USB_ANALOG, write_reg,
};

/// Plain accesses, regulator on, charger detectors off. The regulator settles while the self-test runs.
pub fn start(regulators: &PMU, analog: &USB_ANALOG, general: &IOMUXC_GPR) {
    modify_reg!(ral::iomuxc_gpr, general, GPR13, CACHE_USB: CACHE_USB_0);
    modify_reg!(
        ral::pmu,
        regulators,
        REG_3P0,
        OUTPUT_TRG: OUTPUT_TRG_15,
        VBUS_SEL: USB_OTG1_VBUS,
        ENABLE_LINREG: 1
    );
    write_reg!(
        ral::usb_analog,
        analog,
        USB1_CHRG_DETECT_SET,
        EN_B: DISABLE,
        CHK_CHRG_B: NO_CHECK
    );
    write_reg!(
        ral::usb_analog,
        analog,
        USB2_CHRG_DETECT_SET,
        EN_B: DISABLE,
        CHK_CHRG_B: NO_CHECK
    );
}
