//! Recorder disks and streams with known content, and the truth about them.
//!
//! This is a public benchmark for any tool that reads the disks of Dahua recorders (DHFS 4.1) and
//! Hikvision recorders, their stream files, and the cards of Hikvision cameras: every scenario is an
//! image or a folder and a `truth.json` that says, frame by frame, what is on it, when it was recorded
//! and which bytes hold it. Every picture carries its camera and frame number in a form that a program
//! reads back after decoding ([`read_picture_mark`]).
//!
//! It is written from the format documents alone and shares no code with any reader.
//!
//! ```
//! # fn main() -> Result<(), daleel_generator::Error> {
//! # let dir = std::env::temp_dir().join(format!("generator-doc-{}", std::process::id()));
//! let truth = daleel_generator::write_scenario("dav-plain-h264", &dir, 1)?;
//! assert_eq!(truth.recordings[0].video().count(), 200);
//! # let _ = std::fs::remove_dir_all(&dir);
//! # Ok(())
//! # }
//! ```
//!
//! - [`scenarios`] lists them, [`Scenario::write`] writes one.
//! - [`demo_disk`] writes a small disk to show a tool on.
//! - [`mod@bench`] writes large files for measuring: a disk of terabytes, streams of any length.
//! - [`dhfs::DiskPlan`] and [`take::Take`] are the model that the scenarios of Dahua fill in,
//!   [`hikvision::disk::DiskPlan`] and [`hikvision::StreamPlan`] that of Hikvision.

// A writer works on its own data only, never on input: indices and sums are those of its plans,
// and a wrong one has to stop the run.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod audio;
pub mod bench;
pub mod civil;
pub mod dav;
mod demo;
pub mod dhav;
pub mod dhfs;
mod error;
pub mod footage;
pub mod hikvision;
pub mod image;
mod mark;
mod rng;
mod scenarios;
pub mod stream;
pub mod take;
pub mod truth;

pub use demo::demo_disk;
pub use error::Error;
pub use mark::{MARK_HEIGHT, MARK_WIDTH, Mark, read_picture_mark};
pub use scenarios::{Scenario, Shape, scenarios, write_scenario};
pub use truth::{TRUTH_FILE, Truth};
