//! Registers of the core, as offsets from its base, and the bits that are used.
//!
//! Facts: EHCI 1.0 sections 2.2 and 2.3; the reference manuals' memory map (operational registers at 140h).

/// SBUSCFG: bursts of the core on the system bus.
pub const SBUSCFG: usize = 0x90;
/// USBCMD: command.
pub const USBCMD: usize = 0x140;
/// USBSTS: status; its low bits are cleared by writing ones.
pub const USBSTS: usize = 0x144;
/// USBINTR: interrupt enable.
pub const USBINTR: usize = 0x148;
/// ASYNCLISTADDR: a queue head of the asynchronous schedule.
pub const ASYNCLISTADDR: usize = 0x158;
/// CONFIGFLAG: ports belong to this controller. Not in the chips, whose port has no other owner; QEMU's model wants it.
pub const CONFIGFLAG: usize = 0x180;
/// PORTSC1: the root port.
pub const PORTSC: usize = 0x184;
/// USBMODE: device or host. Written once after each reset of the controller.
pub const USBMODE: usize = 0x1A8;

/// USBCMD: the schedules run.
pub const CMD_RUN: u32 = 1 << 0;
/// USBCMD: resets the controller; reads 1 until that is done.
pub const CMD_RESET: u32 = 1 << 1;
/// USBCMD: the asynchronous schedule is on.
pub const CMD_ASYNC: u32 = 1 << 5;
/// USBCMD: asks to be told when nothing that was taken off the asynchronous schedule is held any more.
pub const CMD_DOORBELL: u32 = 1 << 6;

/// USBSTS: a host system error has stopped the controller.
pub const STS_SYSTEM_ERROR: u32 = 1 << 4;
/// USBSTS: the answer to the doorbell.
pub const STS_ADVANCED: u32 = 1 << 5;
/// USBSTS: the schedules do not run.
pub const STS_HALTED: u32 = 1 << 12;
/// USBSTS: the asynchronous schedule runs.
pub const STS_ASYNC: u32 = 1 << 15;
/// USBSTS: all bits that are cleared by writing ones.
pub const STS_CLEAR: u32 = 0x3F;

/// PORTSC1: a device is connected.
pub const PORT_CONNECTED: u32 = 1 << 0;
/// PORTSC1: that changed; cleared by writing one.
pub const PORT_CONNECT_CHANGE: u32 = 1 << 1;
/// PORTSC1: the port is enabled; writing one clears nothing, writing zero disables.
pub const PORT_ENABLED: u32 = 1 << 2;
/// PORTSC1: the port was disabled by an error; cleared by writing one.
pub const PORT_ENABLE_CHANGE: u32 = 1 << 3;
/// PORTSC1: over-current.
pub const PORT_OVER_CURRENT: u32 = 1 << 4;
/// PORTSC1: that changed; cleared by writing one.
pub const PORT_OVER_CURRENT_CHANGE: u32 = 1 << 5;
/// PORTSC1: bus reset. The chips end it by themselves; EHCI leaves that to the driver.
pub const PORT_RESET: u32 = 1 << 8;
/// PORTSC1: port power.
pub const PORT_POWER: u32 = 1 << 12;
/// PORTSC1: bits that are cleared by writing ones.
pub const PORT_CHANGES: u32 = PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE | PORT_OVER_CURRENT_CHANGE;

/// SBUSCFG: bursts of any length. Out of reset the chips have 2 (bursts of 8 and 4, then single transfers), with which cores of this family are
/// known to hang on data of odd lengths (errata of i.MX chips; kernels set 0 too).
pub const BURSTS_ANY: u32 = 0;

/// USBMODE: the core is a host.
pub const MODE_HOST: u32 = 3;

/// PORTSC1: PSPD, the speed of the device on an enabled port.
#[must_use]
pub fn port_speed(portsc: u32) -> PortSpeed {
    match (portsc >> 26) & 3 {
        0 => PortSpeed::Full,
        1 => PortSpeed::Low,
        2 => PortSpeed::High,
        _ => PortSpeed::Undefined,
    }
}

/// What PSPD says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSpeed {
    /// 12 Mbit/s.
    Full,
    /// 1.5 Mbit/s: no mass storage has it.
    Low,
    /// 480 Mbit/s.
    High,
    /// Value 3.
    Undefined,
}
