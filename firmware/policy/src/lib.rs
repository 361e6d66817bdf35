//! The write blocker's policy: which commands a host may ask for, and which the bridge is able to send to a drive.
//!
//! The published policy is five CSV files (`firmware/policy/tables`), explained in
//! `docs/write-blocker/policy.md`. They become constant tables at build time, and their digest is part of
//! the firmware and of every statement it signs.
//!
//! The host's command is never forwarded. It is parsed strictly ([`cbw`]), judged against the tables ([`judge`]), and
//! either answered from what was captured when the drive was attached ([`present`]), or regenerated as one of the
//! commands of [`down::DownCommand`], which has no variant that writes or changes the drive's state.
#![no_std]
#![forbid(unsafe_code)]

pub mod capture;
pub mod cbw;
pub mod down;
pub mod geometry;
pub mod judge;
pub mod present;
pub mod sat;
pub mod sd;
pub mod sense;
pub mod tables;
