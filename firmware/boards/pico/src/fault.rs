//! Faults: what makes the board stop, shown by the red light, and what happens when the program itself goes wrong.

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering},
};

use rp2040_hal::{Timer, Watchdog};

use crate::lights::Lights;

/// Why the bridge does not run. The numbers are those of the red light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
#[repr(u8)]
pub enum Fault {
    /// The hash computes something wrong.
    Hash = 1,
    /// The policy or the classifier is not the published one.
    Policy = 2,
    /// The key page is neither blank nor a key page.
    KeyPage = 3,
    /// The flash does not keep what is written.
    Flash = 4,
    /// The USB device cannot be set up.
    Usb = 5,
    /// The ring oscillator gives no random samples.
    Oscillator = 6,
}

impl Fault {
    /// Shows the fault for ever.
    pub fn show(self, lights: &mut Lights, timer: &Timer, watchdog: &Watchdog) -> ! {
        defmt::error!("fault: {}", self);
        let now = || timer.get_counter().ticks();
        let start = now();
        loop {
            watchdog.feed();
            lights.show_fault(self as u8, now().saturating_sub(start));
        }
    }
}

/// Where a panic was: address and length of the file's name, and the line. For a debugger; nothing is printed, since the log itself may be what
/// failed.
#[used]
static PANIC: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    if let Some(location) = info.location() {
        let file = location.file();
        let [address, length, line] = &PANIC;
        address.store(file.as_ptr().addr() as u32, Ordering::Relaxed);
        length.store(file.len() as u32, Ordering::Relaxed);
        line.store(location.line(), Ordering::Relaxed);
    }
    // The watchdog restarts the board.
    loop {
        cortex_m::asm::nop();
    }
}
