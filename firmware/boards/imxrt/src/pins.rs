//! Pads as general-purpose inputs and outputs.
//!
//! Facts: i.MX RT1060 reference manual, chapters "IOMUX Controller" (ALT5 is the port of every pad used here) and "General Purpose
//! Input/Output"; IOMUXC_GPR26 to 29 choose between the slow and the fast ports, which out of reset are the slow ones.

use core::ptr::{read_volatile, write_volatile};

use imxrt_hal::ccm::clock_gate;
use imxrt_ral::{ccm::CCM, gpio, iomuxc, iomuxc_gpr};

use crate::board::{Output, Pad, Port};

/// The port's function of a pad.
const ALT5: u32 = 5;
/// SW_PAD_CTL: DSE 1 (150 ohm), slow.
const DRIVE: u32 = 1 << 3;
/// SW_PAD_CTL: hysteresis, pull instead of keeper, 22 kohm up.
const PULL_UP: u32 = 1 << 16 | 3 << 14 | 1 << 13 | 1 << 12;

/// Proof that ports are clocked and pads can be set up.
#[derive(Clone, Copy)]
pub struct Pins(());

impl Pins {
    /// Clocks the ports, and takes the pads from the fast ones.
    pub fn new(ccm: &mut CCM) -> Self {
        clock_gate::gpio::<1>().set(ccm, clock_gate::ON);
        clock_gate::gpio::<2>().set(ccm, clock_gate::ON);
        clock_gate::gpio::<3>().set(ccm, clock_gate::ON);
        clock_gate::gpio::<4>().set(ccm, clock_gate::ON);
        // SAFETY: nothing else uses these registers; this is called once, at power-up.
        let general = unsafe { iomuxc_gpr::IOMUXC_GPR::instance() };
        for register in [&general.GPR26, &general.GPR27, &general.GPR28, &general.GPR29] {
            register.write(0);
        }
        Self(())
    }

    /// Makes a pad an output that is off.
    pub fn output(self, output: Output) -> Driver {
        let driver = Driver(output);
        driver.set(false);
        let port = registers(output.pad.port);
        port.GDIR.write(port.GDIR.read() | 1 << output.pad.bit);
        set_up(output.pad, DRIVE);
        driver
    }

    /// Makes a pad an input with a pull-up.
    pub fn input(self, pad: Pad) -> Input {
        let port = registers(pad.port);
        port.GDIR.write(port.GDIR.read() & !(1 << pad.bit));
        set_up(pad, PULL_UP);
        Input(pad)
    }
}

/// A pad that is driven.
pub struct Driver(Output);

impl Driver {
    /// Switches it.
    pub fn set(&self, on: bool) {
        let Output { pad, inverted } = self.0;
        let port = registers(pad.port);
        if on == inverted {
            port.DR_CLEAR.write(1 << pad.bit);
        } else {
            port.DR_SET.write(1 << pad.bit);
        }
    }
}

/// Switches an output that was set up, without its driver: after a fault, when nothing else runs.
pub fn force(output: Output, on: bool) {
    Driver(output).set(on);
}

/// A pad that is read.
pub struct Input(Pad);

impl Input {
    /// Whether it is low.
    pub fn is_low(&self) -> bool {
        registers(self.0.port).PSR.read() & (1 << self.0.bit) == 0
    }
}

fn registers(port: Port) -> &'static gpio::RegisterBlock {
    let block = match port {
        Port::One => gpio::GPIO1,
        Port::Two => gpio::GPIO2,
        Port::Three => gpio::GPIO3,
        Port::Four => gpio::GPIO4,
    };
    // SAFETY: the port's registers lie there for ever; they are changed through cells.
    unsafe { &*block }
}

fn set_up(pad: Pad, control: u32) {
    write(pad.control, control);
    write(pad.mux, ALT5);
}

fn write(offset: usize, value: u32) {
    let register = iomuxc::IOMUXC.cast::<u32>().cast_mut().wrapping_byte_add(offset);
    // SAFETY: an offset of a pad's register in the block, from `board`; pads are set up at power-up only, in one thread.
    unsafe { write_volatile(register, value) };
    // SAFETY: as above. Reading back waits for the write.
    let _ = unsafe { read_volatile(register) };
}
