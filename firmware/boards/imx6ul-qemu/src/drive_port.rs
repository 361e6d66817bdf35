//! The drive's side: the first ChipIdea core of the emulated chip.

use core::arch::asm;

use chipidea::{Config, Ehci, Hardware, Memory, Mmio, SpeedSource};
use static_cell::ConstStaticCell;
use wb_bridge::Micros;

/// Room of a slot.
pub const SLOT_BYTES: usize = 64 * 1024;

/// First USB core (reference manual, memory map: USB).
const CORE: usize = 0x0218_4000;

static MEMORY: ConstStaticCell<Memory<SLOT_BYTES>> = ConstStaticCell::new(Memory::new());

/// Settings for QEMU's model, which reports no speed and enables high-speed devices only.
pub const CONFIG: Config = Config { speed: SpeedSource::AlwaysHigh, ..Config::CHIP };

/// Registers of the core.
pub struct DrivePort {
    registers: Mmio,
}

// SAFETY: the registers are those of the first core, which `open` gives out once. Caches and MMU are off (`runtime`), so memory is
// where its address says, for processor and core alike. `dsb` completes all earlier accesses.
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
        // SAFETY: orders memory accesses and has no other effect.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    }

    // The model has neither a switch nor a PHY.
    fn set_vbus(&mut self, _on: bool) {}

    fn set_high_speed(&mut self, _attached: bool) {}
}

/// The driver on the core. Panics when called a second time.
pub fn open(config: Config, now: Micros) -> Ehci<DrivePort, SLOT_BYTES> {
    let memory = MEMORY.take();
    // SAFETY: the core lies there, and the static cell gives its memory, and so this, once.
    let registers = unsafe { Mmio::new(CORE) };
    Ehci::new(DrivePort { registers }, memory, config, now)
}
