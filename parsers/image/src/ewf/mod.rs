//! Images of the Expert Witness Compression Format: E01 sets of EnCase, FTK, linen, X-Ways, Guymager, libewf, and S01 of SMART.
//!
//! `docs/formats/ewf.md` is the specification, with its sources and the evidence for each fact. [`EwfSet`] is a set of
//! segment files with all it states; [`EwfSource`] gives the bytes of the medium in it to the readers.

mod chain;
mod chunk;
mod finding;
mod groups;
mod header;
mod inflate;
mod layout;
mod metadata;
mod names;
mod records;
mod segments;
mod set;
mod source;
mod tables;

pub use chunk::ChunkError;
pub use finding::{EwfError, EwfFinding};
pub use header::{HeaderTime, HeaderValues};
pub(crate) use segments::{Recognised, recognise};
pub use segments::{Segment, SegmentInput};
pub use set::EwfSet;
pub use source::EwfSource;
