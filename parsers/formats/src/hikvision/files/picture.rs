//! Pictures of a camera: records of a picture index, and JPEG files out of a `hivNNNNN.pic` store.
//!
//! Facts: `docs/formats/hikvision.md` sections 9.1 (records of 96 bytes, 4096 for each file) and 7.6 (encrypted stills); ITU-T T.81 annex B for
//! where a picture begins and ends. The store has no framing of its own, so the stream of a recording is its records' bytes, one
//! after the other, and a parser that knows where each begins.

use std::{borrow::Cow, ops::Range};

use daleel_core::{
    CivilTime, Codec, Frame, FrameKind, FrameParser, FrameState, SkipKind, Step, StoredTime,
};
use memchr::memmem;

/// Longest record taken for a picture.
pub const PICTURE_MAX: u64 = 32 << 20;
/// Start of an encrypted still.
const ENCRYPTED: &[u8] = b"hikencodepicture";
const JPEG_START: &[u8] = &[0xFF, 0xD8, 0xFF];
const JPEG_END: &[u8] = &[0xFF, 0xD9];

/// One picture of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its bytes in the logical stream.
    pub range: Range<u64>,
    /// Its time by the index.
    pub time: Option<CivilTime>,
}

/// Parser of a picture store.
pub struct PictureParser {
    /// In stream order, without gaps.
    pictures: Vec<Picture>,
}

impl PictureParser {
    /// A parser for a stream of these pictures.
    pub fn new(pictures: Vec<Picture>) -> Self {
        Self { pictures }
    }

    /// The picture that holds a logical offset.
    fn at(&self, offset: u64) -> Option<&Picture> {
        let after = self.pictures.partition_point(|picture| picture.range.end <= offset);
        self.pictures.get(after).filter(|picture| picture.range.contains(&offset))
    }
}

impl FrameParser for PictureParser {
    fn step(&mut self, offset: u64, window: &[u8], last: bool) -> Step {
        let Some(picture) = self.at(offset) else {
            let why = Cow::Borrowed("no record of the picture index");
            return Step::Skip { used: window.len().max(1), kind: SkipKind::Damage, why };
        };
        let left = picture.range.end.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let Some(bytes) = window.get(..length) else {
            if !last && left <= PICTURE_MAX {
                return Step::NeedMore { at_least: length };
            }
            return cut(picture, offset, window);
        };
        if offset > picture.range.start {
            let why = Cow::Borrowed("behind a picture, or the rest of one that a hole cut");
            return Step::Skip { used: bytes.len().max(1), kind: SkipKind::Expected, why };
        }
        match found(bytes) {
            Some((within, state, encrypted)) => {
                let used = within.end.max(1);
                Step::Frame { frame: Box::new(frame(picture, within, state, encrypted)), used }
            }
            None => {
                let why = Cow::Borrowed("the record's bytes hold no JPEG picture");
                Step::Skip { used: bytes.len().max(1), kind: SkipKind::Damage, why }
            }
        }
    }

    fn finish(&mut self) -> Option<Box<Frame>> {
        None
    }
}

/// A picture whose end is not to be had.
fn cut(picture: &Picture, offset: u64, window: &[u8]) -> Step {
    let used = window.len().max(1);
    match found(window).filter(|_| offset == picture.range.start) {
        Some((within, state, encrypted)) => {
            let state = match state {
                FrameState::Complete => FrameState::Complete,
                FrameState::Damaged(_) => FrameState::Damaged("its end is missing".to_owned()),
            };
            let used = within.end.max(1);
            Step::Frame { frame: Box::new(frame(picture, within, state, encrypted)), used }
        }
        None => {
            let why = Cow::Borrowed("part of a picture without its begin");
            Step::Skip { used, kind: SkipKind::Damage, why }
        }
    }
}

type Found = (Range<usize>, FrameState, Option<Cow<'static, str>>);

/// The picture in the bytes of a record.
fn found(bytes: &[u8]) -> Option<Found> {
    if bytes.starts_with(ENCRYPTED) {
        let reason = "the still begins with `hikencodepicture`: encrypted, key required";
        return Some((0..bytes.len(), FrameState::Complete, Some(Cow::Borrowed(reason))));
    }
    let start = memmem::find(bytes, JPEG_START)?;
    let rest = bytes.get(start..)?;
    // A thumbnail inside the picture has an end of its own: the last one counts.
    match memmem::rfind(rest, JPEG_END) {
        Some(end) => {
            let end = start.saturating_add(end).saturating_add(JPEG_END.len());
            Some((start..end, FrameState::Complete, None))
        }
        None => {
            let state = FrameState::Damaged("the JPEG picture has no end marker".to_owned());
            Some((start..bytes.len(), state, None))
        }
    }
}

fn frame(
    picture: &Picture,
    within: Range<usize>,
    state: FrameState,
    encrypted: Option<Cow<'static, str>>,
) -> Frame {
    let logical = |at: usize| picture.range.start.saturating_add(at as u64);
    let payload = logical(within.start)..logical(within.end);
    let milliseconds = picture.time.map(|time| time.millis().rem_euclid(1000));
    Frame {
        kind: FrameKind::Still,
        codec: Codec::Mjpeg,
        units: std::iter::once(picture.range.start..payload.end).collect(),
        payload: std::iter::once(payload).collect(),
        time: StoredTime {
            second: picture.time.map(CivilTime::whole_second),
            millisecond: milliseconds.and_then(|ms| u16::try_from(ms).ok()),
            ..StoredTime::default()
        },
        number: None,
        stream_channel: None,
        key: true,
        size: None,
        rate: None,
        audio: None,
        encrypted,
        state,
        check: None,
        interpretation: Some("the time is that of the picture index; the picture states none"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xD9];

    fn parser(lengths: &[u64]) -> PictureParser {
        let mut start = 0u64;
        let pictures = lengths
            .iter()
            .map(|length| {
                let range = start..start + length;
                start = range.end;
                Picture { range, time: Some(CivilTime::from_millis(1_700_000_000_250)) }
            })
            .collect();
        PictureParser::new(pictures)
    }

    /// Frames and skipped ranges of a whole stream.
    fn walk(parser: &mut PictureParser, stream: &[u8]) -> (Vec<Frame>, u64) {
        let (mut at, mut frames, mut skipped) = (0, Vec::new(), 0);
        while at < stream.len() {
            match parser.step(at as u64, &stream[at..], true) {
                Step::Frame { frame, used } => {
                    frames.push(*frame);
                    at += used;
                }
                Step::Skip { used, .. } => {
                    skipped += used as u64;
                    at += used;
                }
                other => panic!("{other:?}"),
            }
        }
        (frames, skipped)
    }

    /// G-2: a picture is the JPEG file inside its record, with the record's time to the millisecond.
    #[test]
    fn a_record_gives_its_picture_from_start_to_end_marker() {
        let stream = [&[0u8; 4][..], JPEG, &[0u8; 2], JPEG].concat();
        let (frames, skipped) = walk(&mut parser(&[16, 10]), &stream);
        let payloads: Vec<_> = frames.iter().map(|frame| frame.payload[0].clone()).collect();
        assert_eq!(payloads, [4..14, 16..26]);
        assert_eq!((frames[0].units[0].clone(), skipped), (0..14, 2));
        assert_eq!(frames[0].time.millisecond, Some(250));
        assert_eq!(frames[0].time.second.unwrap().millis(), 1_700_000_000_000);
        assert!(frames.iter().all(|frame| frame.kind == FrameKind::Still && frame.key));
        assert!(frames.iter().all(|frame| frame.state == FrameState::Complete));
    }

    /// E-2: encrypted stills are named and carried as they are, never as pictures.
    #[test]
    fn encrypted_stills_are_recognised() {
        let stream = [ENCRYPTED, &[b'a'; 32], &[7; 32]].concat();
        let (frames, _) = walk(&mut parser(&[stream.len() as u64]), &stream);
        assert!(frames[0].encrypted.as_ref().unwrap().contains("encrypted"));
        assert_eq!(frames[0].payload[0], 0..80);
    }

    #[test]
    fn cut_pictures_and_other_bytes_are_not_whole_pictures() {
        let (frames, _) = walk(&mut parser(&[100]), &JPEG[..8]);
        assert!(matches!(frames[0].state, FrameState::Damaged(_)));
        let (frames, skipped) = walk(&mut parser(&[8]), &[0x55; 8]);
        assert_eq!((frames.len(), skipped), (0, 8));
    }

    proptest! {
        /// no bytes make the parser loop, panic, or account for bytes twice.
        #[test]
        fn every_byte_is_accounted_for(
            lengths in prop::collection::vec(1u64..40, 0..6), stream in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut parser = parser(&lengths);
            let (frames, _) = walk(&mut parser, &stream);
            let mut end = 0;
            for frame in frames {
                prop_assert!(frame.units[0].start >= end);
                end = frame.units[0].end;
            }
        }
    }
}
