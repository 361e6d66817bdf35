//! Helpers shared by the test binaries, and the bodies of the fuzz targets.
//!
//! The bodies live here and not in `tests/fuzz`, so that `cargo test` replays every seed and every past crash
//! without a nightly compiler.

// Everything here is test code: an assertion or an index that fails is the report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod fuzzing;
pub mod judge;
pub mod oracle;
