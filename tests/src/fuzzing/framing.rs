//! The DHAV parser alone: the frames must not depend on how the bytes are cut into windows.

use std::ops::Range;

use daleel_core::{Frame, FrameParser, Step};
use daleel_formats::dahua::{Bounds, DhavParser};

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
    let whole = parse(bounds, stream, |_| usize::MAX);
    // A length of 255 stands for a long window, so that one cut decides and not all of them.
    let cut = parse(bounds, stream, |turn| match lengths[turn % lengths.len()] {
        255 => 1 << 16,
        length => usize::from(length) * 3 + 1,
    });
    assert_eq!(whole, cut, "the frames depend on the windows");
    whole.len() as u64
}

/// Parses a stream with windows of the given lengths, as a [`Walk`](daleel_core::Walk) would, and checks every step.
fn parse(bounds: Bounds, stream: &[u8], window_length: impl Fn(usize) -> usize) -> Vec<Frame> {
    let mut parser = DhavParser::new(bounds);
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
