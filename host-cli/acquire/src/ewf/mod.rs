//! Writing E01 sets: the Expert Witness Compression Format in the shape of EnCase 6.
//!
//! Facts: Expert Witness Compression Format (libyal); files of `ewfacquire` 20140813 and what `ewfverify`, `ewfinfo` and Sleuth Kit
//! say about ours. A [`Plan`] says how a medium is cut; an [`Encoder`] makes chunks of its bytes, on as many threads as wanted; the
//! [`EwfWriter`] puts them into files in order, and can go on after a power loss at the [`Checkpoint`] of any finished group.
//!
//! What is written depends on the bytes of the medium, the plan, the texts, and where groups end, and on nothing else: the same calls
//! give the same files.

pub mod chunk;
pub mod error;
pub mod header;
pub mod names;
pub mod plan;
mod probe;
mod resume;
mod section;
mod segment;
pub mod writer;

pub use chunk::{Batch, Chunk, Compression, Encoder};
pub use error::EwfError;
pub use header::{CaseText, SetFacts, TEXT_MAX};
pub use plan::{GROUP_ENTRIES_MAX, LEGACY_SEGMENT_BYTES, Plan, PlanError, SegmentSize, Shape};
pub(crate) use probe::is_zero;
pub use writer::{Checkpoint, EwfWriter, Finished, Group};
