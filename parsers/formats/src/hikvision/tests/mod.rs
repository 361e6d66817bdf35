//! Tests of the family.

use daleel_core::{
    CivilTime, Codec, Counter, CounterKind, Frame, FrameKind, FrameState, StoredTime,
};

/// An undated picture with a time stamp.
pub fn picture(pts: u64) -> Frame {
    let counter =
        Counter { kind: CounterKind::Pts, value: pts, modulus: 1 << 33, ticks_per_second: 90_000 };
    Frame {
        kind: FrameKind::Video,
        codec: Codec::H264,
        units: std::iter::once(0..1).collect(),
        payload: std::iter::once(0..1).collect(),
        time: StoredTime { counter: Some(counter), ..StoredTime::default() },
        number: None,
        stream_channel: Some(0),
        key: false,
        size: None,
        rate: None,
        audio: None,
        encrypted: None,
        state: FrameState::Complete,
        check: None,
        interpretation: None,
    }
}

/// A time on a day of 2024, so many seconds after noon.
pub fn noon(seconds: i64) -> CivilTime {
    CivilTime::from_millis((1_710_417_600 + seconds) * 1000)
}

mod disk;
mod disk_show;
mod encryption;
mod file;
mod files;
mod files_real;
mod index;
mod units;
