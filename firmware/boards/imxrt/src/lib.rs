//! The write blocker on the i.MX RT1062, as on the Teensy 4.1 and on the MIMXRT1060-EVK: USB1 towards the examiner's computer, USB2 towards
//! the drive, both at high speed.
//!
//! ```text
//!  run         power-up, self-test, the main loop
//!   |- board        what differs between the two boards: pins and names
//!   |- usb_device   USB1: the device, over imxrt-usbd
//!   |- drive_port   USB2: PHY, clock, VBUS, and the driver of `chipidea`
//!   |- dcp          hash engine: registers;   packets: what is said to it
//!   |- flash        FlexSPI commands;         counter: what the boot counter's sectors hold
//!   |- entropy      random numbers for the key
//!   |- light        what the lights show;     self_test
//!   |- protection   what may be done where;   supply: what both PHYs need
//!   |- clock, watchdog, pins, large_stack
//! ```
//!
//! # Memory, caches and what bus masters see
//!
//! Both caches are **off**, from the first instruction of `main` on. Code lies in ITCM; constants, data, stack, the queue heads, descriptors and
//! buffers of both USB cores and the packets of the hash engine lie in DTCM, which the processor reads without waiting and which bus masters reach
//! at the same address. So no cache stands between them anywhere: there is no line to clean, none to invalidate, no region's cacheability to
//! get wrong, and no speculative read of the processor that could bring back what a bus master has overwritten since. Only what the
//! processor alone uses, seldom and in one go, lies in OCRAM (the statement). Why not OCRAM that is not cached: the processor reads every byte of
//! the drive twice (copy and hash), which there costs several wait states each; DTCM has none.
//!
//! # No way into a loader
//!
//! Nothing here enters a loader: no `bkpt` of any number, no reaction to a baud rate (there is no serial interface), no vendor request that
//! would, no boot-mode register written, no jump into ROM. The Teensy's loader starts by its button, the EVK is loaded by a debug probe.
//!
//! # What only hardware can show
//!
//! No emulator models this chip, so everything that is not marked as tested on the host was compiled and read, not run: clocks, both PHYs, USB1
//! under a real host, the drive side's registers (its driver runs on an emulated i.MX6UL), the hash engine, the flash commands, the
//! random numbers, the watchdog. `hw-notes/hardware-checklist.md` lists how each is to be measured.
#![no_std]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

#[cfg(test)]
extern crate std;

pub mod counter;
pub mod light;
pub mod packets;
pub mod protection;
pub mod self_test;

#[cfg(target_os = "none")]
pub mod board;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod dcp;
#[cfg(target_os = "none")]
mod drive_port;
#[cfg(target_os = "none")]
mod entropy;
#[cfg(target_os = "none")]
pub mod fcb;
#[cfg(target_os = "none")]
mod flash;
#[cfg(target_os = "none")]
mod large_stack;
#[cfg(target_os = "none")]
mod pins;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod supply;
#[cfg(target_os = "none")]
mod usb_device;
#[cfg(target_os = "none")]
mod watchdog;

#[cfg(target_os = "none")]
pub use run::run;
