//! The write blocker's core: everything between the host's bulk endpoints and the drive's, without a line that knows a chip.
//!
//! ```text
//!  host  <-- pipes --  target  --  bridge  --  drive  -- host controller -->  drive
//!                       CBW/CSW    session      usb: enumeration, attach script, CBW/CSW
//!                                               card: SD over SPI
//! ```
//!
//! Facts: the published policy, sections 3 to 7, and `docs/write-blocker/requirements.md`. Time comes in as an argument,
//! hashing and signing through traits of `wb-attest`, hardware through the traits of [`pipes`], [`host`] and `embedded-hal`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

pub mod audit;
pub mod bridge;
pub mod card;
pub mod chunks;
pub mod counters;
pub mod coverage;
#[cfg(feature = "usb-device")]
pub mod device;
pub mod drive;
pub mod host;
pub mod pipes;
mod read;
mod ring;
pub mod session;
pub mod thirteen;
pub mod usb;

/// Microseconds since power-up.
pub type Micros = u64;
