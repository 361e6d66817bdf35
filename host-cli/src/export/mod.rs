//! What `extract` writes: clips, frames files, native streams, sound, and the records of them.
//!
//! One recording at a time, one pass over its stream: frames go into a clip's .mp4 as they are found, and what is known of them
//! into its frames file when the clip ends. The contract is `docs/schemas/extract.md`.

mod close;
mod folder;
mod frames;
pub mod hashed;
mod journal;
mod lane;
mod plan;
mod recording;
pub mod records;
mod sound;

pub use journal::{Counts, Journal, RecordingDone, finish_folder};
pub use lane::{ClockStep, Cutting};
pub use plan::{Wanted, plan};
pub use recording::{Options, export};
