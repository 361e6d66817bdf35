//! The stream of a recording or a file: DHAV units as frames.
//!
//! Facts: `docs/formats/dahua.md` sections 3 and 4. Units are found in [`unit`](super::unit), split frames joined in [`split`](super::split), and what
//! the tags and the payload say is in [`tags`](super::tags) and [`payload`](super::payload).

use std::{borrow::Cow, collections::BTreeMap};

use daleel_core::{
    AudioFormat, CivilTime, Codec, Counter, CounterKind, Frame, FrameKind, FrameParser, FrameState,
    SkipKind, Step, StoredTime, StoredValue,
};

use super::{
    encryption::{Answer, Encryption, Evidence},
    payload,
    split::Joiner,
    tags::Tags,
    time::decode_date,
    unit::{HEADER_BYTES, Header, Unit, skip},
};

/// The millisecond counter is 16 bits and wraps at this value (section 4).
pub const COUNTER_MODULUS: u64 = 65536;

/// What lies in front of the first frame of a stream and where doubt begins at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Logical offset of the first frame; bytes before it are index or slack.
    pub first_frame: u64,
    /// From this logical offset on the index does not say where the recording ends. Footage whose date lies before what came before and
    /// whose number *and* millisecond counter do not go on belongs to an earlier generation and ends the recording.
    pub open_end_from: Option<u64>,
    /// Set where the index of the recording is damaged and does not tell its first frame.
    pub unproven_head: Option<UnprovenHead>,
}

/// The head of a recording whose index is damaged: older footage may stand before its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnprovenHead {
    /// Logical end of the head cluster: what lies behind is the recording's.
    pub until: u64,
    /// Begin of the recording, by the index.
    pub from: CivilTime,
    /// End of the recording, where the index states one.
    pub to: Option<CivilTime>,
}

impl UnprovenHead {
    /// True when a unit at `offset` with this date may be the recording's. Dates are whole seconds, and the index is written beside the frames.
    fn allows(&self, offset: u64, date: u32) -> bool {
        const SLACK_MS: i64 = 2000;
        let Some(date) = decode_date(date) else { return offset >= self.until };
        let inside = date.plus_millis(SLACK_MS) >= self.from
            && self.to.is_none_or(|to| date <= to.plus_millis(SLACK_MS));
        offset >= self.until || inside
    }
}

/// Parser of DHAV units in a recording's joined clusters or in a file.
pub struct DhavParser {
    bounds: Bounds,
    joiner: Joiner,
    encryption: Encryption,
    /// Codec of each channel's last picture.
    codecs: BTreeMap<u8, Codec>,
    milliseconds: payload::AbsoluteMilliseconds,
    /// Number, date and millisecond counter of the last video unit.
    last: Option<(u32, u32, u16)>,
    ended: bool,
}

impl DhavParser {
    /// A parser for a stream with the given bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            joiner: Joiner::default(),
            encryption: Encryption::default(),
            codecs: BTreeMap::new(),
            milliseconds: payload::AbsoluteMilliseconds::default(),
            last: None,
            ended: false,
        }
    }

    fn in_open_end(&self, offset: u64) -> bool {
        self.bounds.open_end_from.is_some_and(|from| offset >= from)
    }

    /// True when a unit behind an open end belongs to an earlier generation.
    fn is_older_generation(&self, offset: u64, header: &Header) -> bool {
        self.in_open_end(offset)
            && header.checksum_holds()
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
            AudioFormat { sample_rate: payload::sample_rate(rate), channels: channels.max(1) }
        });
        let answer = self.encryption.judge(&Evidence {
            header: &header,
            tags: &tags,
            payload,
            codec,
            is_video: kind == FrameKind::Video,
            is_key: key,
            continues: self.joiner.continues(&header),
        });
        let state = match answer {
            Answer::LacksHead => FrameState::Damaged("the first sub-frames are missing".to_owned()),
            _ => FrameState::Complete,
        };
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
            encrypted: match answer {
                Answer::Encrypted(why) => Some(why),
                Answer::Clear | Answer::LacksHead => None,
            },
            state,
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
                kind: CounterKind::Own,
                value: u64::from(header.milliseconds),
                modulus: COUNTER_MODULUS,
                ticks_per_second: 1000,
            }),
            millisecond: None,
            millisecond_doubtful: false,
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

    /// The rest of a recording whose end the index does not tell: footage of an earlier one.
    fn older_generation(window: &[u8]) -> Step {
        let why = Cow::Borrowed("older footage behind the end of the recording, not listed");
        Step::Skip { used: window.len().max(1), kind: SkipKind::OlderGeneration, why }
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
        match Unit::at(window, last, self.in_open_end(offset)) {
            Unit::NeedMore(at_least) => Step::NeedMore { at_least },
            Unit::None => skip(window, last),
            Unit::Whole { length, payload_end, damage } => {
                let Some((header, mut frame)) = self.frame(offset, window, payload_end, length)
                else {
                    return skip(window, last);
                };
                if let Some(head) = self.bounds.unproven_head {
                    if !head.allows(offset, header.date) {
                        let why = "older footage in the head cluster, whose index is damaged";
                        let kind = SkipKind::OlderGeneration;
                        return Step::Skip { used: length, kind, why: Cow::Borrowed(why) };
                    }
                    self.bounds.unproven_head = None;
                }
                if self.is_older_generation(offset, &header) {
                    self.ended = true;
                    return Self::older_generation(window);
                }
                if let Some(why) = damage {
                    frame.state = FrameState::Damaged(why);
                }
                if frame.kind == FrameKind::Video && header.checksum_holds() {
                    self.last = Some((header.number, header.date, header.milliseconds));
                }
                self.joiner.join(&header, frame, length)
            }
        }
    }

    fn finish(&mut self) -> Option<Box<Frame>> {
        self.joiner.finish()
    }
}
