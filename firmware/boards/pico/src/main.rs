//! The write blocker on a Raspberry Pi Pico: memory cards over SPI.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use panic_halt as _;
use rp2040_hal as _;

#[entry]
fn main() -> ! {
    loop {
        cortex_m::asm::nop();
    }
}
