//! From program-stream units to frames: which packs and packets make up one access unit.
//!
//! Facts: `docs/formats/hikvision.md` section 7. The recorder writes one pack for every picture: pack header, before key frames a system header
//! and a program stream map, then the access unit in one packet or several, of which only the first carries a time stamp. A frame is complete
//! when the next unit shows that it is: the last one of a run is given out by [`Assembler::finish`].

use std::ops::Range;

use daleel_core::{
    AudioFormat, CivilTime, Codec, Counter, CounterKind, Frame, FrameKind, FrameState, Passed,
    Ranges, SkipKind, StoredTime, StoredValue,
};
use daleel_media::ps::{PackHeader, PesHeader, PesTime, ProgramMap, Unit, UnitKind, find_pack};
use smallvec::SmallVec;

use super::{
    codecs,
    descriptors::{MapFacts, map_facts, private_kind},
    encryption::Stated,
    generation::PTS_MODULUS,
    pictures::{self, Pieces},
};

/// Stuffing of a pack header that holds the picture counter: two bytes FF, then a 32-bit number (section 7.1).
const COUNTER_STUFFING: usize = 6;
/// Length of a pack header without stuffing.
const PACK_HEADER_BYTES: usize = 14;
/// Last stuffing byte of a packet header whose access unit goes on in another packet (section 7.1, inferred).
const MORE_FOLLOWS: u8 = 0xFD;

/// What the assembler gives.
#[derive(Debug)]
pub enum Given {
    /// A frame.
    Frame(Assembled),
    /// Bytes that turned out to belong to none.
    Passed(Passed),
}

/// Packets of a picture beyond any recorder's: what follows is another picture.
const PACKETS_MAX: usize = 4096;

/// A frame with what only its assembly knows.
#[derive(Debug)]
pub struct Assembled {
    /// The frame; `encrypted` and `number` are still to be judged.
    pub frame: Box<Frame>,
    /// The picture counter of its pack.
    pub counter: Option<u32>,
    /// Signs of encryption the stream gives.
    pub stated: Stated,
    /// The heads of its packets' payloads, for pictures.
    pub pieces: Pieces,
}

/// Date of a map: the whole second, milliseconds, and the bytes it was read from.
type Date = (CivilTime, u16, StoredValue);

/// A pack whose first packet has not come yet.
#[derive(Debug, Default)]
struct Head {
    units: Range<u64>,
    scr: Option<(u64, StoredValue)>,
    counter: Option<u32>,
    has_map: bool,
    date: Option<Date>,
}

/// What the last map says of the stream.
#[derive(Debug, Default)]
struct Known {
    video: Option<u8>,
    audio: Option<u8>,
    size: Option<(u16, u16)>,
    rate: Option<u8>,
    audio_format: Option<AudioFormat>,
    stated: Stated,
}

/// An access unit that may still grow.
#[derive(Debug)]
struct Picture {
    stream_id: u8,
    units: Ranges,
    payload: Ranges,
    pts: Option<(u64, StoredValue)>,
    scr: Option<(u64, StoredValue)>,
    counter: Option<u32>,
    has_map: bool,
    date: Option<Date>,
    codec: Codec,
    size: Option<(u16, u16)>,
    rate: Option<u8>,
    /// What the stream said of encryption when the picture began: the map in hand may be the next picture's.
    stated: Stated,
    has_slice: bool,
    is_key: bool,
    has_sets: bool,
    more_follows: bool,
    damage: Option<String>,
    pieces: Pieces,
}

/// Puts access units together.
#[derive(Debug, Default)]
pub struct Assembler {
    head: Option<Head>,
    known: Known,
    picture: Option<Picture>,
    /// Codec of the last picture: for fragments without a map.
    codec: Option<Codec>,
    /// Codec of the sound by a file header.
    expected_audio: Option<Codec>,
    /// Set behind bytes that are no packets, until the next map: other footage may go on there, of another codec.
    is_lost: bool,
}

impl Assembler {
    /// Sets the codecs that a file header names, for streams without a map.
    pub fn expect(&mut self, video: Option<Codec>, audio: Option<Codec>) {
        self.codec = self.codec.or(video);
        self.expected_audio = self.expected_audio.or(audio);
    }

    /// Says that bytes that are no packets were passed over.
    pub fn lose(&mut self) {
        self.is_lost = true;
    }

    /// Takes in a unit at logical `offset`; `bytes` are the unit's. Gives frames that it shows to be complete, and how many of its bytes were
    /// used: less than all where a packet is cut off by another pack.
    pub fn take(&mut self, offset: u64, unit: &Unit, bytes: &[u8]) -> (Vec<Given>, usize) {
        let mut out = Vec::new();
        let mut used = bytes.len();
        let end = |used: usize| offset.saturating_add(used as u64);
        match &unit.kind {
            UnitKind::Pack(pack) => {
                out.extend(self.orphan());
                self.head = Some(head(offset, end(used), pack, bytes));
            }
            UnitKind::SystemHeader => out.extend(self.extend_head(offset..end(used))),
            UnitKind::Map(map) => {
                out.extend(self.extend_head(offset..end(used)));
                self.read_map(offset, map, bytes);
            }
            UnitKind::Pes(pes) if matches!(pes.stream_id, 0xE0..=0xEF) => {
                let payload = bytes.get(pes.payload.clone()).unwrap_or(&[]);
                // Of a pack header that is cut off itself not enough is seen to believe it.
                let is_seen = |at: &usize| payload.len().saturating_sub(*at) >= PACK_HEADER_BYTES;
                let cut = find_pack(payload).filter(is_seen);
                if let Some(at) = cut {
                    used = pes.payload.start.saturating_add(at).min(bytes.len());
                }
                let payload_end = used.min(pes.payload.end);
                let packet = Packet { offset, pes, used, payload_end, bytes };
                self.video(&packet, &mut out);
                let damage = match (cut, unit.whole) {
                    (Some(_), _) => Some("another pack begins inside the packet: it was cut off"),
                    (None, false) => Some("the bytes end inside a packet"),
                    (None, true) => None,
                };
                if let (Some(damage), Some(picture)) = (damage, &mut self.picture) {
                    picture.damage.get_or_insert_with(|| damage.to_owned());
                }
            }
            UnitKind::Pes(pes) => {
                let frame = self.beside(offset, pes, unit.whole, bytes);
                out.push(Given::Frame(frame));
            }
            UnitKind::ProgramEnd => {
                out.extend(self.finish(None));
                out.push(passed(offset..end(used), SkipKind::Expected, "end of a program stream"));
            }
        }
        (out, used)
    }

    /// A pack header, and what followed it, to which no packet came.
    fn orphan(&mut self) -> Option<Given> {
        let head = self.head.take()?;
        Some(passed(head.units, SkipKind::Damage, "a pack without a packet"))
    }

    /// Ends what is in hand. `broken` says that what follows is no unit of the stream, and why.
    pub fn finish(&mut self, broken: Option<&'static str>) -> Vec<Given> {
        let mut out = Vec::new();
        if let Some(mut picture) = self.picture.take() {
            if broken.is_some() && picture.more_follows && picture.damage.is_none() {
                picture.damage = Some("its further packets are missing".to_owned());
            }
            let interpretation = broken.filter(|_| picture.damage.is_none());
            out.extend(Self::complete(picture, interpretation));
        }
        out.extend(self.orphan());
        out
    }

    /// Adds a system header or a map to the pack in hand.
    fn extend_head(&mut self, range: Range<u64>) -> Option<Given> {
        match &mut self.head {
            Some(head) if head.units.end == range.start => {
                head.units.end = range.end;
                None
            }
            _ => {
                let orphan = self.orphan();
                self.head = Some(Head { units: range, ..Head::default() });
                orphan
            }
        }
    }

    fn read_map(&mut self, offset: u64, map: &ProgramMap, bytes: &[u8]) {
        let facts: MapFacts = map_facts(map, bytes);
        let date = facts.time.as_ref().and_then(|(second, milliseconds, at)| {
            let place = offset.saturating_add(at.start as u64);
            let stored = StoredValue::new("0x40 time", place, bytes.get(at.clone())?);
            Some((*second, *milliseconds, stored))
        });
        if let Some(head) = &mut self.head {
            head.has_map = true;
            head.date = date;
        }
        self.is_lost = false;
        let private = self.known.stated.private;
        self.known = Known {
            video: facts.video,
            audio: facts.audio,
            size: facts.size,
            rate: facts.rate,
            audio_format: facts.audio_format,
            stated: Stated {
                kind: facts.encryption,
                descriptor: facts.has_encryption_descriptor,
                private,
            },
        };
    }

    fn video(&mut self, packet: &Packet<'_>, out: &mut Vec<Given>) {
        let head = self.head.take();
        if !self.picture.as_ref().is_some_and(|picture| picture.takes(packet, head.as_ref())) {
            if let Some(before) = self.picture.take() {
                out.extend(Self::complete(before, None));
            }
            let stated = self.known.video.and_then(codecs::video);
            let own = pictures::guess_codec(packet.payload()).filter(|_| self.is_lost);
            let codec = own
                .or(stated)
                .or(self.codec)
                .or_else(|| pictures::guess_codec(packet.payload()))
                .unwrap_or(Codec::Unknown);
            self.codec = Some(codec).filter(|codec| *codec != Codec::Unknown);
            self.picture = Some(Picture::new(packet.pes.stream_id, codec, &self.known));
        }
        if let Some(picture) = &mut self.picture {
            picture.add(packet, head);
        }
    }

    /// A packet that is no picture: sound, or the vendor's own data. It is a frame by itself.
    fn beside(&mut self, offset: u64, pes: &PesHeader, whole: bool, bytes: &[u8]) -> Assembled {
        let head = self.head.take();
        let end = offset.saturating_add(bytes.len() as u64);
        let payload_end = offset.saturating_add(pes.payload.end.min(bytes.len()) as u64);
        let payload_start = offset.saturating_add(pes.payload.start as u64).min(payload_end);
        let is_sound = matches!(pes.stream_id, 0xC0..=0xDF);
        let payload = bytes.get(pes.payload.clone()).unwrap_or(&[]);
        if pes.stream_id == 0xBD && private_kind(payload) == Some("encryption info") {
            self.known.stated.private = true;
        }
        let codec = self.audio_codec().filter(|_| is_sound).unwrap_or(Codec::Unknown);
        let pts = pes.pts.as_ref().and_then(|pts| stored_pts(offset, pts, bytes));
        let scr = head.as_ref().and_then(|head| head.scr);
        let start = head.as_ref().map_or(offset, |head| head.units.start);
        let counter = head.as_ref().and_then(|head| head.counter);
        let frame = Frame {
            kind: if is_sound { FrameKind::Audio } else { FrameKind::Auxiliary },
            codec,
            units: units(start..offset, offset..end),
            payload: std::iter::once(payload_start..payload_end).collect(),
            time: stored_time(None, pts.or(scr)),
            number: None,
            stream_channel: Some(0),
            key: false,
            size: None,
            rate: None,
            audio: is_sound.then(|| self.audio_format()),
            encrypted: None,
            state: if whole {
                FrameState::Complete
            } else {
                FrameState::Damaged("the bytes end inside a packet".to_owned())
            },
            check: None,
            interpretation: None,
        };
        let stated = Stated::default();
        Assembled { frame: Box::new(frame), counter, stated, pieces: Pieces::default() }
    }

    /// Codec of the sound, once a map or a file header named it.
    pub fn audio_codec(&self) -> Option<Codec> {
        self.known.audio.map(codecs::audio).or(self.expected_audio)
    }

    /// Sampling of the sound, as far as it is known.
    pub fn audio_format(&self) -> AudioFormat {
        self.known.audio_format.unwrap_or(AudioFormat { sample_rate: None, channels: 1 })
    }

    fn complete(picture: Picture, interpretation: Option<&'static str>) -> Vec<Given> {
        if picture.payload.is_empty() {
            let pass = |range| passed(range, SkipKind::Damage, "packets without a picture");
            return picture.units.into_iter().map(pass).collect();
        }
        let key = picture.is_key
            || (picture.has_map && picture.has_sets)
            || picture.codec == Codec::Mjpeg;
        let time = stored_time(picture.date, picture.pts.or(picture.scr));
        let frame = Frame {
            kind: FrameKind::Video,
            codec: picture.codec,
            units: picture.units,
            payload: picture.payload,
            time,
            number: None,
            stream_channel: Some(u32::from(picture.stream_id & 0x0F)),
            key,
            size: picture.size,
            rate: picture.rate,
            audio: None,
            encrypted: None,
            state: picture.damage.map_or(FrameState::Complete, FrameState::Damaged),
            check: None,
            interpretation,
        };
        vec![Given::Frame(Assembled {
            frame: Box::new(frame),
            counter: picture.counter,
            stated: picture.stated,
            pieces: picture.pieces,
        })]
    }
}

fn passed(range: Range<u64>, kind: SkipKind, why: &'static str) -> Given {
    Given::Passed(Passed { range, kind, why: why.into() })
}

/// A video packet and where it lies.
struct Packet<'a> {
    offset: u64,
    pes: &'a PesHeader,
    /// Bytes of the packet that are its own.
    used: usize,
    payload_end: usize,
    bytes: &'a [u8],
}

impl Packet<'_> {
    fn payload(&self) -> &[u8] {
        self.bytes.get(self.pes.payload.start..self.payload_end).unwrap_or(&[])
    }

    fn at(&self, relative: usize) -> u64 {
        self.offset.saturating_add(relative as u64)
    }
}

impl Picture {
    fn new(stream_id: u8, codec: Codec, known: &Known) -> Self {
        Self {
            stream_id,
            size: known.size,
            rate: known.rate,
            stated: known.stated,
            units: Ranges::new(),
            payload: Ranges::new(),
            pts: None,
            scr: None,
            counter: None,
            has_map: false,
            date: None,
            codec,
            has_slice: false,
            is_key: false,
            has_sets: false,
            more_follows: false,
            damage: None,
            pieces: Pieces::default(),
        }
    }

    /// True when a packet goes on with this access unit: it has no time stamp of its own and no picture begins in it, or the same time stamp
    /// while no picture data came yet or no new pack began.
    fn takes(&self, packet: &Packet<'_>, head: Option<&Head>) -> bool {
        let pes = packet.pes;
        let is_full = self.payload.len() >= PACKETS_MAX;
        if pes.stream_id != self.stream_id || head.is_some_and(|head| head.has_map) || is_full {
            return false;
        }
        match (&pes.pts, self.pts) {
            (None, _) => !(self.has_slice && pictures::begins(self.codec, packet.payload())),
            (Some(pts), Some((own, _))) => pts.ticks == own && (head.is_none() || !self.has_slice),
            (Some(_), None) => false,
        }
    }

    fn add(&mut self, packet: &Packet<'_>, head: Option<Head>) {
        if let Some(head) = head {
            push(&mut self.units, head.units);
            self.scr = self.scr.or(head.scr);
            self.counter = self.counter.or(head.counter);
            self.has_map |= head.has_map;
            self.date = self.date.or(head.date);
        }
        let pes = packet.pes;
        push(&mut self.units, packet.offset..packet.at(packet.used));
        push(&mut self.payload, packet.at(pes.payload.start)..packet.at(packet.payload_end));
        let pts = pes.pts.as_ref().and_then(|pts| stored_pts(packet.offset, pts, packet.bytes));
        self.pts = self.pts.or(pts);
        let last_stuffing = pes.payload.start.checked_sub(1).and_then(|at| packet.bytes.get(at));
        self.more_follows = last_stuffing == Some(&MORE_FOLLOWS);
        let payload = packet.payload();
        let mut slice_at = None;
        if !self.has_slice {
            let seen = pictures::look(self.codec, payload);
            self.has_slice |= seen.slice_at.is_some();
            self.is_key |= seen.is_key;
            self.has_sets |= seen.has_sets;
            slice_at = seen.slice_at;
        }
        self.pieces.add(payload, slice_at);
    }
}

fn head(offset: u64, end: u64, pack: &PackHeader, bytes: &[u8]) -> Head {
    let counter = bytes.get(pack.stuffing.clone()).filter(|s| s.len() == COUNTER_STUFFING);
    let counter = counter.and_then(|stuffing| match stuffing {
        [0xFF, 0xFF, rest @ ..] => <[u8; 4]>::try_from(rest).ok().map(u32::from_be_bytes),
        _ => None,
    });
    // Plain stuffing is all ones.
    let counter = counter.filter(|counter| *counter != u32::MAX);
    let scr = bytes
        .get(4..10)
        .map(|field| (pack.scr, StoredValue::new("SCR", offset.saturating_add(4), field)));
    Head { units: offset..end, scr, counter, has_map: false, date: None }
}

fn stored_pts(offset: u64, pts: &PesTime, bytes: &[u8]) -> Option<(u64, StoredValue)> {
    let field = bytes.get(pts.at..pts.at.checked_add(5)?)?;
    Some((pts.ticks, StoredValue::new("PTS", offset.saturating_add(pts.at as u64), field)))
}

fn stored_time(date: Option<Date>, stamp: Option<(u64, StoredValue)>) -> StoredTime {
    let mut stored = SmallVec::new();
    stored.extend(date.map(|(_, _, value)| value));
    stored.extend(stamp.map(|(_, value)| value));
    StoredTime {
        second: date.map(|(second, ..)| second),
        counter: stamp.map(|(ticks, _)| Counter {
            kind: CounterKind::Pts,
            value: ticks,
            modulus: PTS_MODULUS,
            ticks_per_second: 90_000,
        }),
        millisecond: date.map(|(_, milliseconds, _)| milliseconds),
        millisecond_doubtful: false,
        stored,
    }
}

fn units(first: Range<u64>, second: Range<u64>) -> Ranges {
    let mut out = Ranges::new();
    push(&mut out, first);
    push(&mut out, second);
    out
}

/// Appends a range; one that continues the last is joined to it.
fn push(ranges: &mut Ranges, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}
