//! The write blocker on an emulated board: QEMU's `mcimx6ul-evk`, whose USB host core is that of the product's chip, so that
//! the real driver runs where there is no board.
//!
//! The drive's side is the first USB core (0218_4000h). The model has no USB device mode, so the examiner's side is a usbredir
//! peer on UART1 (0202_0000h): the other end is the computer's USB controller in another QEMU. Time comes from the ARM generic
//! timer, text and exit code go out by semihosting, caches and MMU stay off.
//!
//! Facts: i.MX 6UltraLite reference manual (memory map, UART); ARM Architecture Reference Manual ARMv7-A, B8 (generic timer) and
//! B1.8 (exceptions); Semihosting for AArch32, 2.0; usbredir protocol 0.7.
//!
//! This board proves nothing about PHY, clocks, DMA through caches, or speed.
#![no_std]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod drive_port;
#[cfg(target_os = "none")]
pub mod image;
pub mod redir;
#[cfg(target_os = "none")]
pub mod runtime;
#[cfg(target_os = "none")]
pub mod semihosting;
#[cfg(target_os = "none")]
pub mod uart;
