//! Imaging: from a disk that may be failing to files that anyone can check.
//!
//! The way of the data: [`devices`] says what is attached and refuses what is in use; a [`medium::Medium`] is read in order, or by
//! [`rescue`] when it fails or another order is asked for; [`digest`] hashes what was read, and [`ewf`] or [`raw`] keep it.
//! Facts: ISO/IEC 27037 and NIST CFTT demand that every accessible sector is read, that unreadable ones are logged and filled in a
//! documented way, and that the source never changes. Sources are opened for reading only; [`ioctl`] is the one module with unsafe
//! code, and the commands it can send are built by `wb-policy`, which has none that writes.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod devices;
pub mod digest;
pub mod ewf;
pub mod ioctl;
pub mod job;
pub mod journal;
pub mod log;
pub mod medium;
pub mod pipeline;
pub mod raw;
pub mod record;
pub mod rescue;
pub mod space;
pub mod stored;
pub mod verify;
