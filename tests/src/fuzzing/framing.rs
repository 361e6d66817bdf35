//! The stream parsers alone: the frames must not depend on how the bytes are cut into windows.

use std::ops::Range;

use daleel_core::{CivilTime, Frame, FrameParser, Step};
use daleel_formats::{
    dahua::{Bounds, DhavParser},
    hikvision::{self, HikParser, Window},
};

use super::checks;

/// Bytes in front of the stream that say how it is cut: two for the first frame, two for an open end, twelve window lengths.
pub const CONTROL_BYTES: usize = 16;

/// The bytes are [`CONTROL_BYTES`] of control, then a stream.
pub fn dhav_framing(bytes: &[u8]) -> u64 {
    let Some((control, stream)) = bytes.split_first_chunk::<CONTROL_BYTES>() else { return 0 };
    let [f0, f1, o0, o1, lengths @ ..] = *control;
    let open_end = u64::from(u16::from_le_bytes([o0, o1]));
    let bounds = Bounds {
        first_frame: u64::from(u16::from_le_bytes([f0, f1])),
        open_end_from: (open_end > 0).then_some(open_end),
        ..Bounds::default()
    };
    compare(|| Box::new(DhavParser::new(bounds)), stream, lengths)
}

/// The bytes are [`CONTROL_BYTES`] of control (of the first four: whether the stream is bounded, and its begin in minutes of 2024 and its
/// length in minutes), then a program stream.
pub fn hik_framing(bytes: &[u8]) -> u64 {
    let Some((control, stream)) = bytes.split_first_chunk::<CONTROL_BYTES>() else { return 0 };
    let [flags, length, m0, m1, lengths @ ..] = *control;
    let minutes = i64::from(u16::from_le_bytes([m0, m1])) * 16;
    let start = CivilTime::from_millis((1_704_067_200 + minutes * 60) * 1000);
    let end = start.plus_millis(i64::from(length) * 60_000);
    let window = Window { start: Some(start), end: (flags & 2 == 0).then_some(end) };
    let bounds = hikvision::Bounds {
        window: (flags & 1 == 1).then_some(window),
        ..hikvision::Bounds::default()
    };
    compare(|| Box::new(HikParser::new(bounds.clone())), stream, lengths)
}

/// Parses the stream whole and in windows; both have to give the same. Gives the number of frames.
fn compare(parser: impl Fn() -> Box<dyn FrameParser>, stream: &[u8], lengths: [u8; 12]) -> u64 {
    let whole = parse(parser(), stream, |_| usize::MAX);
    // A length of 255 stands for a long window, so that one cut decides and not all of them.
    let cut = parse(parser(), stream, |turn| match lengths[turn % lengths.len()] {
        255 => 1 << 16,
        length => usize::from(length) * 3 + 1,
    });
    assert_eq!(whole, cut, "the frames depend on the windows");
    whole.len() as u64
}

/// Parses a stream with windows of the given lengths, as a [`Walk`](daleel_core::Walk) would, and checks every step.
fn parse(
    mut parser: Box<dyn FrameParser>,
    stream: &[u8],
    window_length: impl Fn(usize) -> usize,
) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut claimed = Vec::new();
    let (mut at, mut turn) = (0, 0);
    let mut length = window_length(turn);
    let most = stream.len() * 2 + 2;
    let mut steps = 0;
    while at < stream.len() {
        steps += 1;
        assert!(steps <= most * 2, "the parser does not move on at {at}");
        let window = &stream[at..stream.len().min(at.saturating_add(length))];
        let last = window.len() == stream.len() - at;
        let used = match parser.step(at as u64, window, last) {
            Step::Frame { frame, used } => {
                checks::check_frame(&frame, stream.len() as u64);
                claimed.extend(frame.units.iter().cloned());
                frames.push(*frame);
                used
            }
            Step::Held { used } => moved(used),
            Step::Skip { used, .. } => {
                claimed.push(range(at, moved(used)));
                used
            }
            Step::NeedMore { at_least } => {
                assert!(!last, "asks for more than there is");
                assert!(at_least > window.len(), "asks for {at_least}, has {}", window.len());
                length = at_least;
                continue;
            }
        };
        claimed.extend(std::iter::from_fn(|| parser.passed()).map(|passed| passed.range));
        assert!(used <= window.len(), "{used} bytes used of a window of {}", window.len());
        at += used;
        turn += 1;
        length = window_length(turn);
    }
    while let Some(frame) = parser.finish() {
        checks::check_frame(&frame, stream.len() as u64);
        claimed.extend(frame.units.iter().cloned());
        frames.push(*frame);
    }
    claimed.extend(std::iter::from_fn(|| parser.passed()).map(|passed| passed.range));
    checks::check_cover(claimed, 0..stream.len() as u64);
    frames
}

fn moved(used: usize) -> usize {
    assert!(used > 0, "a step that takes nothing");
    used
}

fn range(at: usize, used: usize) -> Range<u64> {
    at as u64..(at + used) as u64
}
