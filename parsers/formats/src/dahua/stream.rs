//! DHAV frames: header, tags, payload, trailer; sub-frames joined; damage resynchronised.
//!
//! Facts: `docs/formats/dahua.md` section 3. The header checksum and the trailer's length are the two cheap validity tests.
//! Sub-frames of a very long frame share its number and count down to 0 (single source): their payloads are joined in that
//! order, whatever tags each unit carries.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use daleel_core::{
    AudioFormat, Codec, Counter, Frame, FrameKind, FrameParser, FrameState, Ranges, SkipKind, Step,
    StoredTime, StoredValue,
};
use memchr::memmem::Finder;

use super::{payload, tags::Tags, time::decode_date};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the trailer: `dhav` and the unit's length again.
pub const TRAILER_BYTES: usize = 8;
/// Shortest unit: header and trailer.
pub const UNIT_MIN: u32 = 32;
/// Longest unit a parser accepts (section 7).
pub const UNIT_MAX: u32 = 16 << 20;
/// The millisecond counter is 16 bits and wraps at this value (section 4).
pub const COUNTER_MODULUS: u64 = 65536;

const MAGIC: &[u8; 4] = b"DHAV";
const TRAILER_MAGIC: &[u8; 4] = b"dhav";

/// The fixed header of a DHAV unit (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 04  FD key frame, FC P, FE B, FB JPEG, F0 audio, F1 auxiliary.
    pub kind: u8,
    /// 05  Subtype of auxiliary units.
    pub subtype: u8,
    /// 06  Channel from 0, relative to the stream only.
    pub channel: u8,
    /// 07  Sub-frame index, counts down to 0.
    pub sub_frame: u8,
    /// 08  Frame number, one counter per kind.
    pub number: u32,
    /// 0C  Total length of the unit.
    pub length: u32,
    /// 10  Date.
    pub date: u32,
    /// 14  Millisecond counter.
    pub milliseconds: u16,
    /// 16  Length of the tag area.
    pub tag_length: u8,
    /// 17  Sum of the 23 bytes before it.
    pub checksum: u8,
    /// What the sum is.
    pub computed_checksum: u8,
}

impl Header {
    /// Reads the 24 bytes at the start of `bytes` if they begin with `DHAV`; values are not judged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [m0, m1, m2, m3, kind, subtype, channel, sub_frame, rest @ ..] = *header;
        let [n0, n1, n2, n3, l0, l1, l2, l3, d0, d1, d2, d3, ms0, ms1, tag_length, checksum] = rest;
        (&[m0, m1, m2, m3] == MAGIC).then(|| Self {
            kind,
            subtype,
            channel,
            sub_frame,
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            date: u32::from_le_bytes([d0, d1, d2, d3]),
            milliseconds: u16::from_le_bytes([ms0, ms1]),
            tag_length,
            checksum,
            computed_checksum: header
                .iter()
                .take(23)
                .fold(0u8, |sum, byte| sum.wrapping_add(*byte)),
        })
    }

    /// True when the checksum holds.
    pub const fn checksum_holds(&self) -> bool {
        self.checksum == self.computed_checksum
    }

    /// True when type, length and tag length are possible.
    pub fn is_plausible(&self) -> bool {
        let room = self.length.saturating_sub(UNIT_MIN);
        matches!(self.kind, 0xF0 | 0xF1 | 0xFB..=0xFE)
            && (UNIT_MIN..=UNIT_MAX).contains(&self.length)
            && u32::from(self.tag_length) <= room
    }

    /// True when this is surely a header: possible values and the checksum holds.
    pub fn is_valid(&self) -> bool {
        self.checksum_holds() && self.is_plausible()
    }

    /// Name of the unit type.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            0xFD => "key frame",
            0xFC => "P frame",
            0xFE => "B frame",
            0xFB => "still picture",
            0xF0 => "audio",
            0xF1 => "auxiliary",
            _ => "unknown",
        }
    }
}

/// The length a trailer at the end of `bytes` states.
pub fn trailer_length(bytes: &[u8]) -> Option<u32> {
    let (_, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
    let [t0, t1, t2, t3, l0, l1, l2, l3] = *trailer;
    (&[t0, t1, t2, t3] == TRAILER_MAGIC).then(|| u32::from_le_bytes([l0, l1, l2, l3]))
}

/// Offset of the next sure header in `bytes`, from `from` on.
pub fn next_header(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    Finder::new(MAGIC)
        .find_iter(tail)
        .map(|at| from.saturating_add(at))
        .find(|at| bytes.get(*at..).and_then(Header::parse).is_some_and(|h| h.is_valid()))
}

/// Sample rates by index (section 3.2).
pub const fn sample_rate(index: u8) -> Option<u32> {
    Some(match index {
        0 | 2 => 8000,
        1 => 4000,
        3 => 11025,
        4 => 16000,
        5 => 20000,
        6 => 22050,
        7 => 32000,
        8 => 44100,
        9 => 48000,
        10 => 96000,
        11 => 192_000,
        12 => 64000,
        _ => return None,
    })
}

/// What lies in front of the first frame of a stream and where doubt begins at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Logical offset of the first frame; bytes before it are index or slack.
    pub first_frame: u64,
    /// From this logical offset on the index does not say where the recording ends. Footage whose date lies before what came before and
    /// whose number *and* millisecond counter do not go on belongs to an earlier generation and ends the recording.
    pub open_end_from: Option<u64>,
}

/// Parser of DHAV units in a recording's joined clusters or in a file.
pub struct DhavParser {
    bounds: Bounds,
    /// Frames whose further units have not come yet, by type and channel.
    open: BTreeMap<(u8, u8), Open>,
    /// Type, channel and number of the split frame that was last given out unfinished.
    unfinished: Option<(u8, u8, u32)>,
    /// Channels that had a key frame in the clear.
    clear: BTreeSet<u8>,
    codecs: BTreeMap<u8, Codec>,
    encrypted: BTreeMap<u8, Cow<'static, str>>,
    milliseconds: payload::AbsoluteMilliseconds,
    /// Number, date and millisecond counter of the last video unit.
    last: Option<(u32, u32, u16)>,
    ended: bool,
}

struct Open {
    number: u32,
    next_index: u8,
    frame: Box<Frame>,
}

/// What a look at the start of the window gave.
enum Unit {
    /// A unit of `length` bytes whose payload ends at `payload_end`.
    Whole {
        length: usize,
        payload_end: usize,
        damage: Option<String>,
    },
    NeedMore(usize),
    /// No unit here.
    None,
}

impl DhavParser {
    /// A parser for a stream with the given bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            open: BTreeMap::new(),
            unfinished: None,
            clear: BTreeSet::new(),
            codecs: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            milliseconds: payload::AbsoluteMilliseconds::default(),
            last: None,
            ended: false,
        }
    }

    fn unit(&self, offset: u64, window: &[u8], last: bool) -> Unit {
        let Some(header) = Header::parse(window) else { return Unit::None };
        if !header.is_plausible() {
            return Unit::None;
        }
        let length = header.length as usize;
        // The start of the next header tells whether this one's length can be trusted.
        let wanted = length.saturating_add(HEADER_BYTES);
        let whole = window.get(..length);
        if let Some(bytes) = whole
            && trailer_length(bytes) == Some(header.length)
        {
            let damage = (!header.checksum_holds()).then(|| {
                format!(
                    "header checksum is {:02x}, computed {:02x}",
                    header.checksum, header.computed_checksum
                )
            });
            return Unit::Whole {
                length,
                payload_end: length.saturating_sub(TRAILER_BYTES),
                damage,
            };
        }
        if window.len() < wanted && !last {
            return Unit::NeedMore(wanted);
        }
        if !header.checksum_holds() || self.in_open_end(offset) {
            return Unit::None;
        }
        Self::without_trailer(&header, window)
    }

    /// A sure header whose trailer is not where its length says.
    fn without_trailer(header: &Header, window: &[u8]) -> Unit {
        let stated = header.length as usize;
        let reach = stated.min(window.len());
        let floor = HEADER_BYTES.saturating_add(usize::from(header.tag_length));
        if let Some(next) = next_header(window.get(..reach).unwrap_or(window), HEADER_BYTES) {
            let bytes = window.get(..next).unwrap_or(&[]);
            let trailer = trailer_length(bytes).map(|length| length as usize);
            let payload_end =
                if trailer.is_some() { next.saturating_sub(TRAILER_BYTES) } else { next };
            let damage = if trailer == Some(next) {
                format!("header says {stated} bytes, the trailer {next}")
            } else {
                format!("header says {stated} bytes, the next unit starts after {next}")
            };
            if payload_end < floor {
                return Unit::None;
            }
            return Unit::Whole { length: next, payload_end, damage: Some(damage) };
        }
        if window.len() < stated {
            let damage = format!("only {} of {stated} bytes are there", window.len());
            let payload_end = window.len().max(floor);
            return Unit::Whole { length: payload_end, payload_end, damage: Some(damage) };
        }
        // Nothing else bounds this unit, so something must begin where it is said to end.
        let behind = window.get(stated..).unwrap_or(&[]);
        let follows = behind.is_empty()
            || Header::parse(behind).is_some_and(|next| next.is_plausible())
            || behind.iter().take(4).all(|byte| matches!(byte, 0x00 | 0xFF));
        if !follows {
            return Unit::None;
        }
        let damage = "the trailer is damaged".to_owned();
        let payload_end = stated.saturating_sub(TRAILER_BYTES);
        Unit::Whole { length: stated, payload_end, damage: Some(damage) }
    }

    fn in_open_end(&self, offset: u64) -> bool {
        self.bounds.open_end_from.is_some_and(|from| offset >= from)
    }

    /// True when a unit behind an open end belongs to an earlier generation.
    fn is_older_generation(&self, offset: u64, header: &Header) -> bool {
        self.in_open_end(offset)
            && header.kind >= 0xFC
            && self.last.is_some_and(|(number, date, milliseconds)| {
                // A clock that was set back leaves the counter running, even where a frame is lost too.
                let runs_on = header.milliseconds.wrapping_sub(milliseconds) <= 2000;
                let follows = header.number == number.wrapping_add(1) || header.number == number;
                header.date < date && !follows && !runs_on
            })
    }

    /// Builds the frame of one unit. `window` starts with the unit.
    fn frame(
        &mut self,
        offset: u64,
        window: &[u8],
        payload_end: usize,
        length: usize,
    ) -> Option<(Header, Box<Frame>)> {
        let header = Header::parse(window)?;
        let payload_start = HEADER_BYTES.saturating_add(usize::from(header.tag_length));
        let tags = Tags::parse(window.get(HEADER_BYTES..payload_start)?);
        let payload = window.get(payload_start..payload_end)?;
        let at = |relative: usize| offset.saturating_add(relative as u64);
        let video = payload::video_codec(&header, &tags, payload, self.codecs.get(&header.channel));
        let (kind, codec) = match header.kind {
            0xF0 => (FrameKind::Audio, payload::audio_codec(&tags, payload)),
            0xF1 => (FrameKind::Auxiliary, Codec::Unknown),
            0xFB if video == Codec::Mjpeg => (FrameKind::Still, video),
            _ => (FrameKind::Video, video),
        };
        let key = header.kind == 0xFD || codec == Codec::Mjpeg;
        if kind == FrameKind::Video && codec != Codec::Unknown {
            self.codecs.insert(header.channel, codec);
        }
        let audio = (kind == FrameKind::Audio).then(|| {
            let (channels, _, rate) = tags.audio().unwrap_or((1, 0, 255));
            AudioFormat { sample_rate: sample_rate(rate), channels: channels.max(1) }
        });
        let frame = Frame {
            kind,
            codec,
            units: std::iter::once(offset..at(length)).collect(),
            payload: std::iter::once(at(payload_start)..at(payload_end)).collect(),
            time: self.stored_time(offset, &header, &tags),
            number: header.checksum_holds().then_some(header.number),
            stream_channel: Some(u32::from(header.channel)),
            key,
            size: tags.size(),
            rate: tags.playback().map(|(_, _, rate)| rate).filter(|rate| *rate > 0),
            audio,
            encrypted: self.encryption(kind, codec, key, &header, &tags, payload),
            state: FrameState::Complete,
            check: payload::check(&tags, payload)
                .map(|check| check.holds())
                .filter(|_| header.sub_frame == 0),
            interpretation: None,
        };
        Some((header, Box::new(frame)))
    }

    fn stored_time(&mut self, offset: u64, header: &Header, tags: &Tags<'_>) -> StoredTime {
        let mut time = StoredTime {
            second: decode_date(header.date),
            counter: Some(Counter {
                value: u64::from(header.milliseconds),
                modulus: COUNTER_MODULUS,
                ticks_per_second: 1000,
            }),
            millisecond: None,
            stored: [
                StoredValue::new("date", offset.saturating_add(0x10), &header.date.to_le_bytes()),
                StoredValue::new(
                    "milliseconds",
                    offset.saturating_add(0x14),
                    &header.milliseconds.to_le_bytes(),
                ),
            ]
            .into_iter()
            .collect(),
        };
        if !header.checksum_holds() {
            // Any of its fields may be the wrong one: the values stay on record and say nothing.
            time.second = None;
            time.counter = None;
            return time;
        }
        if let Some(tag) = tags.find(0xA0) {
            let at = offset.saturating_add(HEADER_BYTES as u64).saturating_add(tag.offset as u64);
            time.stored.push(StoredValue::new("tag A0", at, tag.bytes));
            time.millisecond = self.milliseconds.read(tag.bytes, header);
        }
        time
    }

    /// True for the first unit seen of a split key frame whose payload begins in the middle, in a channel that is not encrypted.
    fn lacks_head(&self, header: &Header, frame: &Frame, window: &[u8]) -> bool {
        let coded = matches!(frame.codec, Codec::H264 | Codec::H265);
        let continues = self
            .open
            .get(&(header.kind, header.channel))
            .is_some_and(|open| open.number == header.number);
        let start = HEADER_BYTES.saturating_add(usize::from(header.tag_length));
        header.kind == 0xFD
            && header.sub_frame > 0
            && coded
            && !continues
            && frame.encrypted.is_none()
            && self.clear.contains(&header.channel)
            && !payload::has_start_code(window.get(start..).unwrap_or(&[]))
    }

    /// Whether a frame's payload is encrypted. A video stream stays encrypted until its next key frame says otherwise,
    /// since recorders can encrypt key frames only.
    fn encryption(
        &mut self,
        kind: FrameKind,
        codec: Codec,
        key: bool,
        header: &Header,
        tags: &Tags<'_>,
        payload: &[u8],
    ) -> Option<Cow<'static, str>> {
        let mut found = tags.encryption().map(|id| {
            Cow::Owned(format!("tag {id:02X}h ({}) is present", super::tags::tag_name(id)))
        });
        let coded = matches!(codec, Codec::H264 | Codec::H265);
        let continues = self
            .open
            .get(&(header.kind, header.channel))
            .is_some_and(|open| open.number == header.number);
        if continues {
            return found;
        }
        let headless = header.kind == 0xFD && coded && !payload::has_start_code(payload);
        if headless && header.sub_frame > 0 && self.clear.contains(&header.channel) {
            // The first units of a split frame are missing; `lacks_head` says so.
            return found;
        }
        if found.is_none() && headless {
            found = Some(Cow::Borrowed("a key frame's payload does not begin with a start code"));
        }
        if kind != FrameKind::Video {
            return found;
        }
        if key {
            match &found {
                Some(why) => self.encrypted.insert(header.channel, why.clone()),
                None => {
                    self.clear.insert(header.channel);
                    self.encrypted.remove(&header.channel)
                }
            };
        }
        found.or_else(|| self.encrypted.get(&header.channel).cloned())
    }

    /// Takes a unit into the frame it belongs to. A header that is damaged does not begin a split frame, and continues one only where every
    /// field of it fits.
    fn join(&mut self, header: &Header, mut frame: Box<Frame>, used: usize) -> Step {
        let key = (header.kind, header.channel);
        let fits = self.open.get(&key).is_some_and(|open| {
            open.number == header.number && open.next_index == header.sub_frame
        });
        if !header.checksum_holds() && !fits {
            self.unfinished = Some((header.kind, header.channel, header.number));
            return Step::Frame { frame, used };
        }
        if let Some(stale) = self.stale(header) {
            // Consumes nothing: the unit in hand is looked at again when the unfinished frame is out of the way.
            return Step::Frame { frame: stale, used: 0 };
        }
        if let Some(open) = self.open.get_mut(&key) {
            open.append(&frame);
            if header.sub_frame > 0 {
                open.next_index = header.sub_frame.saturating_sub(1);
                return Step::Held { used };
            }
            return match self.open.remove(&key) {
                Some(open) => Step::Frame { frame: open.frame, used },
                None => Step::Held { used },
            };
        }
        if self.unfinished.take() == Some((header.kind, header.channel, header.number)) {
            frame.state =
                FrameState::Damaged("the sub-frames before it are given out apart".to_owned());
        }
        if header.sub_frame == 0 {
            return Step::Frame { frame, used };
        }
        frame.interpretation = Some(
            "split frame: the payloads of its units are joined in the order of the sub-frame index",
        );
        let next_index = header.sub_frame.saturating_sub(1);
        self.open.insert(key, Open { number: header.number, next_index, frame });
        Step::Held { used }
    }

    /// A split frame that this unit shows to be unfinished: its next sub-frame should stand here, or another picture of its channel does.
    fn stale(&mut self, header: &Header) -> Option<Box<Frame>> {
        let key = self.open.iter().find_map(|(key, open)| {
            let (kind, channel) = *key;
            let is_own = kind == header.kind;
            let are_pictures = kind >= 0xFC && header.kind >= 0xFC;
            let goes_on =
                is_own && open.number == header.number && open.next_index == header.sub_frame;
            (channel == header.channel && (is_own || are_pictures) && !goes_on).then_some(*key)
        })?;
        let open = self.open.remove(&key)?;
        self.unfinished = Some((key.0, key.1, open.number));
        Some(open.unfinished())
    }

    /// The rest of a recording whose end the index does not tell: footage of an earlier one.
    fn older_generation(window: &[u8]) -> Step {
        let why = Cow::Borrowed("older footage behind the end of the recording, not listed");
        Step::Skip { used: window.len().max(1), kind: SkipKind::OlderGeneration, why }
    }

    /// Bytes that are no unit: filler, or damage up to the next header.
    fn skip(window: &[u8], last: bool) -> Step {
        let filler = window.iter().take_while(|byte| matches!(byte, 0x00 | 0xFF)).count();
        let behind = window.get(filler..).unwrap_or(&[]);
        // A few such bytes in front of something else than a unit are part of that.
        if behind.is_empty() || filler >= 4 || (filler > 0 && behind.starts_with(MAGIC)) {
            let why = Cow::Borrowed("filler");
            return Step::Skip { used: filler.max(1), kind: SkipKind::Expected, why };
        }
        let next = Finder::new(MAGIC).find(window.get(1..).unwrap_or(&[]));
        let used = match next {
            Some(at) => at.saturating_add(1),
            None if last => window.len(),
            // The magic may begin in the last three bytes.
            None => window.len().saturating_sub(3).max(1),
        };
        Step::Skip { used, kind: SkipKind::Damage, why: Cow::Borrowed("no DHAV unit") }
    }
}

impl Open {
    fn append(&mut self, unit: &Frame) {
        // Whether the check of a split frame covers one unit or all is not known.
        self.frame.check = None;
        for range in &unit.units {
            push_joined(&mut self.frame.units, range);
        }
        for range in &unit.payload {
            push_joined(&mut self.frame.payload, range);
        }
        if let FrameState::Damaged(why) = &unit.state
            && self.frame.state == FrameState::Complete
        {
            self.frame.state = FrameState::Damaged(why.clone());
        }
    }

    fn unfinished(mut self) -> Box<Frame> {
        self.frame.state = FrameState::Damaged(format!(
            "sub-frame {} and what follows it are missing",
            self.next_index
        ));
        self.frame
    }
}

fn push_joined(ranges: &mut Ranges, range: &Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range.clone()),
    }
}

impl FrameParser for DhavParser {
    fn step(&mut self, offset: u64, window: &[u8], last: bool) -> Step {
        let expected = |used: u64, why| Step::Skip {
            used: usize::try_from(used).unwrap_or(usize::MAX).min(window.len()).max(1),
            kind: SkipKind::Expected,
            why: Cow::Borrowed(why),
        };
        if offset < self.bounds.first_frame {
            return expected(
                self.bounds.first_frame.saturating_sub(offset),
                "index and head of the first cluster",
            );
        }
        if self.ended {
            return Self::older_generation(window);
        }
        if window.len() < HEADER_BYTES && !last {
            return Step::NeedMore { at_least: HEADER_BYTES };
        }
        match self.unit(offset, window, last) {
            Unit::NeedMore(at_least) => Step::NeedMore { at_least },
            Unit::None => Self::skip(window, last),
            Unit::Whole { length, payload_end, damage } => {
                let Some((header, mut frame)) = self.frame(offset, window, payload_end, length)
                else {
                    return Self::skip(window, last);
                };
                if self.is_older_generation(offset, &header) {
                    self.ended = true;
                    return Self::older_generation(window);
                }
                if let Some(why) = damage {
                    frame.state = FrameState::Damaged(why);
                } else if self.lacks_head(&header, &frame, window) {
                    frame.state =
                        FrameState::Damaged("the first sub-frames are missing".to_owned());
                }
                if frame.kind == FrameKind::Video && header.checksum_holds() {
                    self.last = Some((header.number, header.date, header.milliseconds));
                }
                self.join(&header, frame, length)
            }
        }
    }

    fn finish(&mut self) -> Option<Box<Frame>> {
        self.open.pop_first().map(|(_, open)| open.unfinished())
    }
}
