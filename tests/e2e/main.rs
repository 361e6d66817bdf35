//! The command line, end to end: what a person or a script types, and what comes back as text, files and exit codes.
//!
//! The program runs as its own process on evidence that the generator writes; nothing is called inside it. Texts are compared with
//! `tests/golden`, everything else with the generator's truth.

// Everything here is test code: an assertion or an index that fails is the report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

mod bridge;
mod bridge_model;
mod devices;
#[allow(dead_code)] // images are made by the tests of the crate itself
#[path = "../../host-cli/tests/bridge/elf.rs"]
mod elf;
mod exit_codes;
mod filters;
mod hikvision_texts;
mod holes;
mod hostile;
mod image_bridge;
mod machine;
mod manual;
mod output_folder;
#[cfg(unix)]
mod resume;
mod run;
mod sources;
mod texts;
