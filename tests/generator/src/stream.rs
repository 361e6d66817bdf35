//! Turns a [`Take`] into DHAV frames in stream order.
//!
//! Facts: `docs/formats/dahua.md`, sections 3 (frames) and 4 (time): the date of a frame is the whole
//! second of the recorder's clock, the millisecond counter runs on at an arbitrary phase, wraps at
//! 65536 and does not follow when the clock is set.

use std::ops::Range;

use crate::civil::Moment;
use crate::dhav::{self, FrameType, Header};
use crate::footage::{Footage, Unit, VideoCodec};
use crate::mark::Mark;
use crate::rng::Rng;
use crate::take::{Check, Cipher, Event, Pace, Take};
use crate::truth::{Discontinuity, Frame, FrameKind};

/// Subtype of TEXT and JSON auxiliary frames ("custom").
const SUBTYPE_CUSTOM: u8 = 2;
/// Payload byte from which key frames are encrypted in [`Cipher::KeyFrames`].
const KEY_FRAME_CLEAR_BYTES: usize = 64;

/// One frame, ready to be placed.
#[derive(Debug, Clone)]
pub struct StreamFrame {
    /// Bytes that stand before the frame and belong to no frame: filler or garbage.
    pub lead: Vec<u8>,
    /// Set where `lead` holds garbage.
    pub garbage: bool,
    /// The frame, all pieces.
    pub bytes: Vec<u8>,
    /// Payloads of the pieces, within `bytes`.
    pub payloads: Vec<Range<usize>>,
    /// Length of the first piece, as the index stores it.
    pub first_piece: usize,
    /// The clock at this frame.
    pub clock: Moment,
    /// Time since the first frame of the take, in milliseconds; clock steps do not show in it.
    pub elapsed: i64,
    /// The truth about it, still without extents.
    pub fact: Frame,
}

/// Builds the frames of a take in stream order.
pub fn build(take: &Take) -> Vec<StreamFrame> {
    Builder::new(take).run()
}

/// A unit with its place in time, before it becomes a frame.
struct Planned {
    elapsed: i64,
    content: Content,
    discontinuity: Vec<Discontinuity>,
    garbage: usize,
}

enum Content {
    Video { footage: Footage, number: usize },
    Audio(Vec<u8>),
    Still(usize),
    Auxiliary(Vec<u8>),
}

impl Content {
    /// Order of frames that fall on the same millisecond.
    fn rank(&self) -> u8 {
        match self {
            Content::Auxiliary(_) => 0,
            Content::Still(_) => 1,
            Content::Video { .. } => 2,
            Content::Audio(_) => 3,
        }
    }
}

struct Builder<'a> {
    take: &'a Take,
    /// Time of a clock step, and all steps up to it.
    steps: Vec<(i64, i64)>,
    /// Begin and end of a time without recording.
    gaps: Vec<(i64, i64)>,
    rng: Rng,
    numbers: [u32; 4],
}

impl<'a> Builder<'a> {
    fn new(take: &'a Take) -> Self {
        let mut rng = Rng::new(take.seed, 1);
        let numbers = [
            take.first_number,
            rng.below(90_000) as u32,
            rng.below(900) as u32,
            rng.below(900) as u32,
        ];
        Builder { take, steps: Vec::new(), gaps: Vec::new(), rng, numbers }
    }

    fn run(mut self) -> Vec<StreamFrame> {
        let mut planned = self.plan_video();
        let end = planned.last().map_or(0, |last| last.elapsed + 40);
        planned.extend(self.plan_audio(end));
        planned.sort_by_key(|unit| (unit.elapsed, unit.content.rank()));
        let origin = planned.first().map_or(0, |first| first.elapsed);
        planned.into_iter().map(|unit| self.frame(unit, origin)).collect()
    }

    /// Places the video frames, and the stills and auxiliary frames that stand before them.
    fn plan_video(&mut self) -> Vec<Planned> {
        let take = self.take;
        let mut planned = Vec::new();
        let (mut footage, mut number, mut elapsed) = (take.footage, take.first_unit, 0);
        for index in 0..take.frames {
            let mut discontinuity = Vec::new();
            let mut garbage = 0;
            for (_, event) in take.events.iter().filter(|(at, _)| *at == index) {
                match *event {
                    Event::ClockStep(step_ms) => {
                        let before = self.steps.last().map_or(0, |(_, sum)| *sum);
                        self.steps.push((elapsed, before + step_ms));
                        discontinuity.push(Discontinuity::Clock { step_ms });
                    }
                    Event::Gap(ms) => {
                        self.gaps.push((elapsed, elapsed + ms));
                        elapsed += ms;
                        number = footage.next_key(number);
                        discontinuity.push(Discontinuity::Gap { ms });
                    }
                    Event::Switch(other) => {
                        (footage, number) = (other, 0);
                        discontinuity.push(Discontinuity::Parameters);
                    }
                    Event::Garbage(bytes) => garbage = bytes,
                }
            }
            planned.extend(self.plan_beside(index, elapsed));
            let content = Content::Video { footage, number };
            planned.push(Planned { elapsed, content, discontinuity, garbage });
            number = (number + 1) % footage.units().len();
            elapsed += self.step(index);
        }
        planned
    }

    fn plan_beside(&self, index: usize, elapsed: i64) -> Vec<Planned> {
        let due = |every: usize| index.is_multiple_of(every);
        let mut contents = Vec::new();
        if let Some(auxiliary) = &self.take.auxiliary {
            if index == 0 {
                contents.push(Content::Auxiliary(text_block(&auxiliary.title)));
            }
            if due(auxiliary.json_every) {
                contents.push(Content::Auxiliary(json_block(index)));
            }
        }
        if let Some(every) = self.take.stills_every.filter(|every| due(*every)) {
            contents.push(Content::Still(index / every % Footage::Stills.units().len()));
        }
        contents
            .into_iter()
            .map(|content| Planned { elapsed, content, discontinuity: Vec::new(), garbage: 0 })
            .collect()
    }

    /// Milliseconds from frame `index` to the next.
    fn step(&mut self, index: usize) -> i64 {
        let even = |fps: u32| {
            let (index, fps) = (index as i64, i64::from(fps));
            (index + 1) * 1000 / fps - index * 1000 / fps
        };
        match self.take.pace {
            Pace::Steady(fps) => even(fps),
            Pace::Jitter { fps, spread } => {
                even(fps) - spread + self.rng.below(2 * spread as u64 + 1) as i64
            }
            Pace::Alternating { fps, every } => even(fps[index / every % 2]),
        }
    }

    fn plan_audio(&self, end: i64) -> Vec<Planned> {
        let Some(audio) = self.take.audio else { return Vec::new() };
        let frame_ms = audio.codec.frame_ms();
        (0..)
            .map(|n| (n, audio.offset_ms + n as i64 * frame_ms))
            .take_while(|(_, elapsed)| elapsed + frame_ms <= end.max(frame_ms))
            .filter(|(_, at)| !self.gaps.iter().any(|(from, to)| (*from..*to).contains(at)))
            .map(|(n, elapsed)| Planned {
                elapsed,
                content: Content::Audio(audio.codec.frame(n)),
                discontinuity: Vec::new(),
                garbage: 0,
            })
            .collect()
    }

    fn clock(&self, elapsed: i64) -> Moment {
        let steps =
            self.steps.iter().rev().find(|(at, _)| *at <= elapsed).map_or(0, |(_, sum)| *sum);
        self.take.start.plus_ms(elapsed + steps)
    }

    fn frame(&mut self, unit: Planned, origin: i64) -> StreamFrame {
        let clock = self.clock(unit.elapsed);
        let counter = (i64::from(self.take.counter) + unit.elapsed).rem_euclid(65_536) as u16;
        let body = self.body(&unit.content, clock);
        let number = self.next_number(&unit.content);
        let header = Header {
            kind: body.kind,
            subtype: body.subtype,
            channel: self.take.dhav_channel,
            pieces_left: 0,
            number,
            clock,
            counter,
        };
        let pieces = self.pieces(&header, &body);
        let fact = Frame {
            kind: body.fact_kind,
            dhav_channel: Some(header.channel),
            number,
            key: body.key,
            codec: body.codec,
            size: body.size,
            true_time: clock.to_string(),
            elapsed_ms: unit.elapsed - origin,
            stored_second: clock.second_text(),
            counter_ms: Some(counter),
            stored: None,
            discontinuity: unit.discontinuity,
            payload: Vec::new(),
            extents: Vec::new(),
            payload_crc32: dhav::crc32(&body.payload),
            pieces: pieces.payloads.len() as u32,
            mark: body.mark,
            intact: true,
            reason: None,
            note: None,
            encrypted: body.encrypted,
        };
        StreamFrame {
            lead: self.lead(unit.garbage, unit.elapsed == origin),
            garbage: unit.garbage > 0,
            bytes: pieces.bytes,
            payloads: pieces.payloads,
            first_piece: pieces.first_piece,
            clock,
            elapsed: unit.elapsed,
            fact,
        }
    }

    fn next_number(&mut self, content: &Content) -> u32 {
        let slot = match content {
            Content::Video { .. } => 0,
            Content::Audio(_) => 1,
            Content::Still(_) => 2,
            Content::Auxiliary(_) => 3,
        };
        let number = self.numbers[slot];
        self.numbers[slot] = number.wrapping_add(1);
        number
    }

    /// Filler, or garbage that has the magic of a frame in it but no valid header.
    fn lead(&mut self, garbage: usize, first: bool) -> Vec<u8> {
        if garbage == 0 {
            return vec![0xFF; if first { 0 } else { self.take.filler }];
        }
        let mut bytes = self.rng.bytes(garbage);
        let middle = garbage / 2;
        bytes[middle..middle + 5].copy_from_slice(b"DHAV\xFD");
        bytes
    }

    fn body(&mut self, content: &Content, clock: Moment) -> Body {
        match content {
            Content::Video { footage, number } => self.video_body(*footage, *number, clock),
            Content::Audio(payload) => Body::audio(self.take, payload.clone()),
            Content::Still(number) => Body::still(self.take, *number),
            Content::Auxiliary(payload) => Body::auxiliary(payload.clone()),
        }
    }

    fn video_body(&mut self, footage: Footage, number: usize, clock: Moment) -> Body {
        let unit = footage.units()[number];
        let (payload, cipher_tag) = self.encrypt(unit);
        let encrypted = payload != unit.bytes;
        let mut tags = video_tags(self.take, footage, unit.key, &payload, clock);
        tags.extend(cipher_tag);
        let all_hidden = encrypted && self.take.cipher != Cipher::KeyFrames;
        Body {
            kind: if unit.key { FrameType::Key } else { FrameType::Predicted },
            subtype: 0,
            fact_kind: FrameKind::Video,
            key: unit.key,
            codec: Some(footage.codec().name().into()),
            size: Some(footage.size()),
            mark: (!all_hidden).then_some(Mark { camera: footage.camera(), number: number as u16 }),
            tags,
            payload,
            encrypted,
        }
    }

    /// The payload as stored, and the tag that announces its encryption.
    fn encrypt(&mut self, unit: Unit) -> (Vec<u8>, Vec<u8>) {
        let mut payload = unit.bytes.to_vec();
        let clear = match self.take.cipher {
            Cipher::Clear => return (payload, Vec::new()),
            Cipher::KeyFrames if !unit.key => return (payload, Vec::new()),
            Cipher::KeyFrames => KEY_FRAME_CLEAR_BYTES,
            _ => 0,
        };
        for byte in &mut payload[clear..] {
            *byte ^= self.rng.next_u64() as u8;
        }
        let length = (payload.len() - clear) as u32;
        let mut block = || self.rng.next_u64().to_le_bytes();
        let tag = match self.take.cipher {
            Cipher::CloudMode => dhav::tag_95_encryption([1, 0, 0, 0, 0, 0, 0]),
            Cipher::Unannounced => Vec::new(),
            _ => {
                let mut key_id = [0; 16];
                key_id[..8].copy_from_slice(&self.take.seed.to_le_bytes());
                let mut iv = [0; 16];
                iv[..8].copy_from_slice(&block());
                iv[8..].copy_from_slice(&block());
                dhav::tag_b5_encryption(clear as u32, length, &key_id, &iv)
            }
        };
        (payload, tag)
    }

    fn pieces(&self, header: &Header, body: &Body) -> Pieces {
        let split = self.take.split.filter(|split| body.payload.len() > split.piece_bytes);
        let piece_bytes = split.map_or(body.payload.len().max(1), |split| split.piece_bytes);
        let count = body.payload.len().div_ceil(piece_bytes).max(1);
        let mut out = Pieces { bytes: Vec::new(), payloads: Vec::new(), first_piece: 0 };
        for index in 0..count {
            let payload = &body.payload
                [index * piece_bytes..((index + 1) * piece_bytes).min(body.payload.len())];
            let bare = index > 0 && split.is_some_and(|split| split.first_tags_only);
            let tags = if bare { &[][..] } else { &body.tags };
            let header = Header { pieces_left: (count - 1 - index) as u8, ..header.clone() };
            let from = out.bytes.len() + dhav::HEADER_BYTES + tags.len();
            out.payloads.push(from..from + payload.len());
            out.bytes.extend(dhav::encode(&header, tags, payload));
            if index == 0 {
                out.first_piece = out.bytes.len();
            }
        }
        out
    }
}

struct Pieces {
    bytes: Vec<u8>,
    payloads: Vec<Range<usize>>,
    first_piece: usize,
}

/// Everything of a frame but its place in time.
struct Body {
    kind: FrameType,
    subtype: u8,
    fact_kind: FrameKind,
    key: bool,
    codec: Option<String>,
    size: Option<[u32; 2]>,
    mark: Option<Mark>,
    tags: Vec<u8>,
    payload: Vec<u8>,
    encrypted: bool,
}

impl Body {
    fn audio(take: &Take, payload: Vec<u8>) -> Body {
        let codec = take.audio.map(|audio| audio.codec);
        Body {
            kind: FrameType::Audio,
            subtype: 0,
            fact_kind: FrameKind::Audio,
            codec: codec.map(|codec| codec.name().into()),
            tags: codec.map(dhav::tag_83_audio).unwrap_or_default(),
            ..Body::auxiliary(payload)
        }
    }

    fn still(take: &Take, number: usize) -> Body {
        let footage = Footage::Stills;
        let mut tags = dhav::tag_80_size(footage.size());
        tags.extend(dhav::tag_81_playback(0, 5, take.pace.nominal()));
        Body {
            kind: FrameType::Still,
            subtype: 0,
            fact_kind: FrameKind::Still,
            key: true,
            codec: Some(footage.codec().name().into()),
            size: Some(footage.size()),
            mark: Some(Mark { camera: footage.camera(), number: number as u16 }),
            tags,
            ..Body::auxiliary(footage.units()[number].bytes.to_vec())
        }
    }

    fn auxiliary(payload: Vec<u8>) -> Body {
        Body {
            kind: FrameType::Auxiliary,
            subtype: SUBTYPE_CUSTOM,
            fact_kind: FrameKind::Auxiliary,
            key: false,
            codec: None,
            size: None,
            mark: None,
            tags: Vec::new(),
            payload,
            encrypted: false,
        }
    }
}

fn video_tags(take: &Take, footage: Footage, key: bool, payload: &[u8], clock: Moment) -> Vec<u8> {
    let wanted = take.tags;
    let mut tags = Vec::new();
    if wanted.size_80 {
        tags.extend(dhav::tag_80_size(footage.size()));
    }
    let codec = if footage.codec() == take.footage.codec() {
        take.codec_number
    } else {
        dhav::codec_numbers(footage.codec())[0]
    };
    let interval = if footage.codec() == VideoCodec::Mpeg4 { 12 } else { 25 };
    tags.extend(dhav::tag_81_playback(interval, codec, take.pace.nominal()));
    if wanted.size_82 {
        tags.extend(dhav::tag_82_large_size(footage.size()));
    }
    match wanted.check {
        Check::SumOnKeys if key => tags.extend(dhav::tag_88_check(payload, 0)),
        Check::Sum => tags.extend(dhav::tag_88_check(payload, 0)),
        Check::Crc => tags.extend(dhav::tag_88_check(payload, 2)),
        Check::SumOnKeys | Check::Absent => {}
    }
    if wanted.layers {
        tags.extend(dhav::tag_94_layers(key));
    }
    if wanted.milliseconds {
        tags.extend(dhav::tag_a0_milliseconds(clock));
    }
    tags
}

/// A TEXT block: the word and the title, padded to 64 bytes. Only the word is documented.
fn text_block(title: &str) -> Vec<u8> {
    let mut block = b"TEXT".to_vec();
    block.extend(title.as_bytes());
    block.resize(64, 0);
    block
}

fn json_block(index: usize) -> Vec<u8> {
    let status = if index.is_multiple_of(2) { "Normal" } else { "Autofocus" };
    format!("{{\"FocusStatus\":{{\"Status\":\"{status}\",\"Focus\":0.{index:06}}}}}\n").into_bytes()
}
