//! What was extracted, judged by FFmpeg: every .mp4 decodes without a word and every picture is the one it should be; FFmpeg's own demuxers
//! and ours agree frame by frame.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod dahua;
mod ewf;
mod hikvision;
mod peer;
