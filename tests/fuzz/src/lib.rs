//! The bodies of the fuzz targets, which `cargo test -p daleel-tests --test corpus` replays too.
//!
//! The file is shared and not the crate: building the targets must not take the whole program.

#[path = "../../src/fuzzing/mod.rs"]
pub mod fuzzing;
