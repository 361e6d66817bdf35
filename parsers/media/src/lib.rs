//! Coded media of recorders: NAL units, parameter sets, ADTS and JPEG headers, and the two files footage is
//! written to, MP4 and WAVE.
//!
//! Nothing here decodes or re-encodes a picture or a sound: bytes are found, described and carried.
//! All readers take hostile bytes: they give `None` or an error value, never a panic, and their work is bounded
//! by the length of what they are given.

pub mod adts;
pub mod annexb;
mod bits;
pub mod h264;
pub mod h265;
pub mod jpeg;
pub mod mp4;
pub mod mpeg4;
pub mod params;
pub mod ps;
pub mod slice;
pub mod wav;

pub use mp4::{AudioTrack, Mp4Options, Mp4Summary, Mp4Writer, MuxError, Output, VideoTrack};
pub use params::{Change, ParameterSets, PictureSize};
