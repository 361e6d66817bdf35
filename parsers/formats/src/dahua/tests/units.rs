//! A writer of DHAV units (section 3) and a driver of the parser, for the tests beside it.

use daleel_core::{Frame, FrameParser, SkipKind, Step};

use crate::dahua::stream::{Bounds, DhavParser};

/// One unit to be written.
#[derive(Clone, Debug)]
pub struct Unit {
    pub kind: u8,
    pub subtype: u8,
    pub channel: u8,
    pub sub_frame: u8,
    pub number: u32,
    pub date: u32,
    pub milliseconds: u16,
    pub tags: Vec<u8>,
    pub payload: Vec<u8>,
}

/// Section 4: the date of this clock reading.
pub fn date(day: u32, hour: u32, minute: u32, second: u32) -> u32 {
    (24 << 26) | (6 << 22) | (day << 17) | (hour << 12) | (minute << 6) | second
}

impl Unit {
    /// A unit of a kind with a payload.
    pub fn new(kind: u8, number: u32, payload: Vec<u8>) -> Self {
        Self {
            kind,
            subtype: 0,
            channel: 0,
            sub_frame: 0,
            number,
            date: date(1, 12, 0, 0),
            milliseconds: 0,
            tags: Vec::new(),
            payload,
        }
    }

    /// A key frame of H.264 with a playback tag.
    pub fn key(number: u32) -> Self {
        Self {
            tags: vec![0x81, 50, 8, 25],
            ..Self::new(0xFD, number, vec![0, 0, 0, 1, 0x67, 1, 2, 3])
        }
    }

    /// A P frame.
    pub fn p(number: u32) -> Self {
        Self::new(0xFC, number, vec![0, 0, 0, 1, 0x61, 9, 9])
    }

    /// Length of the unit.
    pub fn len(&self) -> usize {
        24 + self.tags.len() + self.payload.len() + 8
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.len() as u32;
        let mut out = b"DHAV".to_vec();
        out.extend([self.kind, self.subtype, self.channel, self.sub_frame]);
        out.extend(self.number.to_le_bytes());
        out.extend(length.to_le_bytes());
        out.extend(self.date.to_le_bytes());
        out.extend(self.milliseconds.to_le_bytes());
        out.push(u8::try_from(self.tags.len()).unwrap());
        out.push(out.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        out.extend(&self.tags);
        out.extend(&self.payload);
        out.extend(b"dhav");
        out.extend(length.to_le_bytes());
        out
    }
}

/// The bytes of several units.
pub fn join(units: &[Unit]) -> Vec<u8> {
    units.iter().flat_map(Unit::bytes).collect()
}

/// What a parser made of a stream.
#[derive(Debug, Default)]
pub struct Parsed {
    pub frames: Vec<Frame>,
    /// Skipped bytes by kind: expected, older generation, damage.
    pub skipped: [usize; 3],
}

/// Parses a stream in windows whose lengths are taken from `windows` in turn; empty for one window.
pub fn parse(bytes: &[u8], windows: &[usize], bounds: Bounds) -> Parsed {
    let mut parser = DhavParser::new(bounds);
    let mut parsed = Parsed::default();
    let mut lengths = windows.iter().copied().cycle();
    let (mut at, mut wanted) = (0, 0);
    let mut budget = 4 * bytes.len() + 64;
    while at < bytes.len() {
        budget = budget.checked_sub(1).expect("the parser loops");
        let length = wanted.max(lengths.next().unwrap_or(bytes.len())).max(1);
        let end = (at + length).min(bytes.len());
        let last = end == bytes.len();
        let before = at;
        match parser.step(at as u64, &bytes[at..end], last) {
            Step::Frame { frame, used } => {
                parsed.frames.push(*frame);
                at += used;
            }
            Step::Held { used } => {
                assert!(used > 0);
                at += used;
            }
            Step::Skip { used, kind, .. } => {
                assert!(used > 0);
                let slot = match kind {
                    SkipKind::Expected => 0,
                    SkipKind::OlderGeneration => 1,
                    SkipKind::Damage => 2,
                };
                parsed.skipped[slot] += used.min(end - at);
                at += used;
            }
            Step::NeedMore { at_least } => {
                assert!(!last, "asks for more at the end");
                assert!(at_least > end - at, "asks for what it has");
                wanted = at_least;
                continue;
            }
        }
        assert!(at <= end, "consumes more than the window: {before} to {at} of {end}");
        wanted = 0;
    }
    parsed.frames.extend(std::iter::from_fn(|| parser.finish()).map(|frame| *frame));
    parsed
}

/// Parses in one window.
pub fn parse_whole(bytes: &[u8]) -> Parsed {
    parse(bytes, &[], Bounds::default())
}
