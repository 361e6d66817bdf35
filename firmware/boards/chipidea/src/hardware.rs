//! What a board gives the driver: the registers, the address of its memory on the bus, and what belongs to the board
//! around the core (switch of VBUS, the PHY's disconnect detector).

use core::ptr::{read_volatile, write_volatile};

use wb_bridge::Micros;

/// A ChipIdea core and the board around it.
///
/// # Safety
/// - `read` and `write` reach the registers of one ChipIdea core that nothing else in the program uses.
/// - `bus_address` gives the address at which that core finds the memory given to [`Ehci::new`](crate::Ehci::new), in 32 bits, contiguous.
/// - Neither a cache of the processor nor anything else stands between that memory and the core (tightly coupled memory, a
///   non-cacheable region, or caches off).
/// - `barrier` completes all earlier accesses to memory before any later access to registers or memory.
pub unsafe trait Hardware {
    /// Reads a register; `offset` is one of [`registers`](crate::registers).
    fn read(&self, offset: usize) -> u32;

    /// Writes a register.
    fn write(&mut self, offset: usize, value: u32);

    /// Where the core finds this memory.
    fn bus_address(&self, memory: *const u8) -> u32;

    /// Data synchronisation barrier.
    fn barrier(&self);

    /// Switches the supply of the port, where the board has a switch besides the port power bit. Over-current is what the core's own
    /// input says; a board that has not wired that input switches it off in the chip's USB non-core registers before it opens the driver.
    fn set_vbus(&mut self, on: bool);

    /// A high-speed device is attached, or no longer: the PHY's high-speed disconnect detector may only be on while there is one.
    fn set_high_speed(&mut self, attached: bool);
}

/// Where the speed of the device is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeedSource {
    /// PORTSC1, field PSPD: the chips.
    PortStatus,
    /// Every enabled device is a high-speed device: QEMU's model enables no other, and has no PSPD.
    AlwaysHigh,
}

/// Settings of the driver; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where the speed is found.
    pub speed: SpeedSource,
    /// Time for a control transfer.
    pub control_limit: Micros,
    /// Time for a bulk transfer.
    pub bulk_limit: Micros,
}

impl Config {
    /// What the chips need: 5 s for a request (USB 2.0, 9.2.6.4), 60 s for a bulk transfer (the published policy, section 6.3).
    pub const CHIP: Self =
        Self { speed: SpeedSource::PortStatus, control_limit: 5_000_000, bulk_limit: 60_000_000 };
}

/// Memory-mapped registers of one core.
#[derive(Debug)]
pub struct Mmio {
    base: *mut u32,
}

impl Mmio {
    /// The core whose registers begin at `base`.
    ///
    /// # Safety
    /// A ChipIdea core lies there, clocked, and there is no second `Mmio` or other user of it.
    #[must_use]
    pub unsafe fn new(base: usize) -> Self {
        Self { base: core::ptr::with_exposed_provenance_mut(base) }
    }

    /// Reads the register at an offset, which is one of [`registers`](crate::registers).
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: by the contract of `new`, and all offsets of `registers` lie in the core's 512 bytes.
        unsafe { read_volatile(self.register(offset)) }
    }

    /// Writes the register at an offset, which is one of [`registers`](crate::registers).
    pub fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: by the contract of `new`, and all offsets of `registers` lie in the core's 512 bytes.
        unsafe { write_volatile(self.register(offset), value) }
    }

    fn register(&self, offset: usize) -> *mut u32 {
        self.base.wrapping_byte_add(offset & 0x1FC)
    }
}
