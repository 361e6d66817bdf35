//! What must hold of every walk over a stream.

use std::ops::Range;

use daleel_core::{Frame, Stream, Walk, WalkItem};

/// Walks `range` of a stream to its end and checks what comes: every byte of the range belongs to exactly one frame,
/// skip or hole. Gives the frames, in the order in which they came.
pub fn walk(stream: &Stream, mut walk: Walk<'_>, range: Range<u64>) -> Vec<Frame> {
    let end = range.end.min(stream.map.len());
    let mut frames = Vec::new();
    let mut claimed: Vec<Range<u64>> = Vec::new();
    let most = end.saturating_sub(range.start) + 1;
    for _ in 0..=most {
        match walk.next() {
            Some(WalkItem::Frame(frame)) => {
                check_frame(&frame, end);
                check_bytes(stream, &walk, &frame);
                claimed.extend(frame.units.iter().cloned());
                frames.push(*frame);
            }
            Some(
                WalkItem::Skipped { range, .. }
                | WalkItem::Hole { range, .. }
                | WalkItem::Failed { range, .. },
            ) => claimed.push(range),
            None => {
                check_cover(claimed, range.start.min(end)..end);
                return frames;
            }
        }
    }
    panic!("more than {most} items from {range:?}");
}

/// The ranges of a frame lie in the stream, in order, and its payload inside its units.
pub fn check_frame(frame: &Frame, end: u64) {
    assert!(!frame.units.is_empty() && !frame.payload.is_empty(), "{frame:?}");
    for ranges in [&frame.units, &frame.payload] {
        let mut at = 0;
        for range in ranges {
            assert!(at <= range.start && range.start <= range.end && range.end <= end, "{frame:?}");
            at = range.end;
        }
    }
    for part in &frame.payload {
        let is_inside = |unit: &Range<u64>| unit.start <= part.start && part.end <= unit.end;
        assert!(frame.units.iter().any(is_inside), "payload outside the units: {frame:?}");
    }
    assert_eq!(
        (frame.start(), frame.end()),
        (frame.units[0].start, frame.units[frame.units.len() - 1].end)
    );
}

/// A frame's bytes are on the medium, and the walk gives as many as the frame says.
fn check_bytes(stream: &Stream, walk: &Walk<'_>, frame: &Frame) {
    for extent in frame.units.iter().flat_map(|range| stream.map.map(range.clone())) {
        assert!(extent.end() <= stream.source.len(), "frame past the end of the input: {frame:?}");
        let holes = stream.source.holes(extent);
        assert!(holes.is_empty(), "frame over a hole {holes:?}: {frame:?}");
    }
    let bytes = walk.bytes(&frame.payload).expect("a frame's bytes were read before");
    assert_eq!(bytes.len() as u64, frame.payload_len());
}

/// The ranges cover `whole`, each byte once.
pub fn check_cover(mut ranges: Vec<Range<u64>>, whole: Range<u64>) {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut at = whole.start;
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        assert_eq!(
            range.start, at,
            "bytes left out, or counted twice, at {at} of {whole:?}: {ranges:?}"
        );
        at = range.end;
    }
    assert_eq!(at, whole.end, "bytes left out at the end: {ranges:?}");
}

/// No byte is in two of the ranges.
pub fn check_disjoint(mut ranges: Vec<Range<u64>>) {
    ranges.sort_by_key(|range| (range.start, range.end));
    for pair in ranges.windows(2) {
        assert!(pair[0].end <= pair[1].start, "bytes given twice: {pair:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_any_order_cover_their_whole() {
        check_cover(vec![4..7, 0..4, 4..4, 7..9], 0..9);
    }

    #[test]
    #[should_panic(expected = "counted twice")]
    fn a_byte_counted_twice_is_found() {
        check_cover(vec![0..5, 4..9], 0..9);
    }

    #[test]
    #[should_panic(expected = "left out")]
    fn a_byte_left_out_is_found() {
        check_cover(vec![0..4, 5..9], 0..9);
    }

    #[test]
    #[should_panic(expected = "given twice")]
    fn a_byte_given_twice_is_found() {
        check_disjoint(vec![6..8, 0..5, 4..6]);
    }
}
