//! Disk images that end early or lack index structures: nothing panics, no listed frame that can still be reached is lost, and what is
//! missing is said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod dahua;
mod hikvision;
mod reading;
