//! Imaging as people do it, with real parts: the program as a process, disks that fail as block devices, and other people's programs as judges.
//!
//! A failing disk is made of `nbdkit` with a filter, `nbdfuse` and a loop device with direct I/O, so that an error stays a sector and the
//! page cache does not answer. That takes root and those programs; without them a test says SKIPPED, and fails where
//! `DALEEL_REQUIRE_ORACLES` is set. Everything else runs anywhere.

// Everything here is test code: an assertion or an index that fails is the report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod failing;
mod forms;
mod guided;
mod kill;
mod memory;
mod parts;
#[cfg(target_os = "linux")]
mod trace;
mod verify;
