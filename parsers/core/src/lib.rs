//! The contracts every Daleel parser speaks.
//!
//! Data flows one way: a [`Source`] gives bytes by offset, a family opens it and lists [`Recording`]s, each recording
//! has a [`Stream`] (logical bytes mapped to extents on the medium), a [`FrameParser`] turns stream bytes into
//! [`Frame`]s, and every value on the way knows the bytes it was made from.
//!
//! Nothing here knows a vendor. Names follow the field: image, medium, volume, recording, extent, stream, frame,
//! channel, hole, gap, reason.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod error;
mod extent;
mod finding;
mod frame;
mod reader;
mod source;
mod structure;
mod time;
mod verdict;
mod walk;

pub use error::{FormatError, FormatErrorKind};
pub use extent::{Extent, ExtentMap, Extents};
pub use finding::{Finding, FindingKind, Findings};
pub use frame::{
    AudioFormat, Codec, Counter, CounterKind, Frame, FrameKind, FrameParser, FrameState, Passed,
    Ranges, SkipKind, Step, StoredTime, StoredValue,
};
pub use reader::{
    Family, FileTree, Grade, Input, LogEvent, OpenFn, Recorder, Recording, RecordingState, Status,
    Stream, TreeFile, Volume,
};
pub use source::{Hole, ReadError, Source};
pub use structure::{Evidence, Field, Structure};
pub use time::{CivilTime, TimeParseError};
pub use verdict::{Reason, Verdict};
pub use walk::{Walk, WalkItem};
