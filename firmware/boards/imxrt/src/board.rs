//! What differs between the two boards: names, pins, and what the drive's port has around it.
//!
//! Facts: the published schematics and pin tables of the Teensy 4.1 (PJRC) and the MIMXRT1060-EVK (NXP, Arduino headers J22 to J25). Register
//! names are those of `imxrt-ral`: IOMUXC SW_MUX_CTL_PAD and SW_PAD_CTL_PAD of each pad.

use core::mem::offset_of;

use imxrt_ral::iomuxc::RegisterBlock as Iomuxc;

/// General-purpose ports. The fast ports (GPIO6 to 9) share their pads and are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// GPIO1.
    One,
    /// GPIO2.
    Two,
    /// GPIO3.
    Three,
    /// GPIO4.
    Four,
}

/// A pad with its port and bit, and where its two registers lie in IOMUXC.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    pub(crate) port: Port,
    pub(crate) bit: u32,
    pub(crate) mux: usize,
    pub(crate) control: usize,
}

macro_rules! pad {
    ($port:ident, $bit:literal, $mux:ident, $control:ident) => {
        Pad {
            port: Port::$port,
            bit: $bit,
            mux: offset_of!(Iomuxc, $mux),
            control: offset_of!(Iomuxc, $control),
        }
    };
}

/// A pad that drives something.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub(crate) pad: Pad,
    /// On is low.
    pub(crate) inverted: bool,
}

/// A board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name in statements.
    pub hardware: &'static str,
    pub(crate) green: Output,
    pub(crate) red: Output,
    /// To ground: profile `smart` (the published policy, section 1.2). Internal pull-up.
    pub(crate) strap: Pad,
    /// Switch of the drive's supply, where the processor has one.
    pub(crate) vbus: Option<Output>,
}

impl Board {
    /// Teensy 4.1. Pin 13 (the light on the board) green, pin 2 red, pin 41 strap; the drive's supply is switched by GPIO_EMC_40, a load
    /// switch with its own current limit, whose alarm is not wired to the chip.
    pub const TEENSY41: Self = Self {
        hardware: "teensy41",
        green: Output {
            pad: pad!(Two, 3, SW_MUX_CTL_PAD_GPIO_B0_03, SW_PAD_CTL_PAD_GPIO_B0_03),
            inverted: false,
        },
        red: Output {
            pad: pad!(Four, 4, SW_MUX_CTL_PAD_GPIO_EMC_04, SW_PAD_CTL_PAD_GPIO_EMC_04),
            inverted: false,
        },
        strap: pad!(One, 21, SW_MUX_CTL_PAD_GPIO_AD_B1_05, SW_PAD_CTL_PAD_GPIO_AD_B1_05),
        vbus: Some(Output {
            pad: pad!(Three, 26, SW_MUX_CTL_PAD_GPIO_EMC_40, SW_PAD_CTL_PAD_GPIO_EMC_40),
            inverted: false,
        }),
    };

    /// MIMXRT1060-EVK. The user light D18 (GPIO_AD_B0_09, on when low) green, header J24 A3 red, A2 strap. The chip switches nothing on the drive's
    /// port (J10) but the port power bit.
    pub const MIMXRT1060_EVK: Self = Self {
        hardware: "mimxrt1060-evk",
        green: Output {
            pad: pad!(One, 9, SW_MUX_CTL_PAD_GPIO_AD_B0_09, SW_PAD_CTL_PAD_GPIO_AD_B0_09),
            inverted: true,
        },
        red: Output {
            pad: pad!(One, 21, SW_MUX_CTL_PAD_GPIO_AD_B1_05, SW_PAD_CTL_PAD_GPIO_AD_B1_05),
            inverted: false,
        },
        strap: pad!(One, 20, SW_MUX_CTL_PAD_GPIO_AD_B1_04, SW_PAD_CTL_PAD_GPIO_AD_B1_04),
        vbus: None,
    };
}
