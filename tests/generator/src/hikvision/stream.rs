//! Turns the plan of one camera into the packs of a program stream.
//!
//! Facts: `docs/formats/hikvision.md`, sections 7 (order within a pack), 7.4 (private data), 7.5 (time)
//! and 7.6 (encryption). Time stamps, the picture counter and the recorder's clock run on their own:
//! setting the clock changes only the times in descriptor 0x40.

use std::ops::Range;

use super::pack::{
    self, BASIC_AT, MapFacts, PACK_HEADER_BYTES, PES_AUDIO, PES_PRIVATE, PES_VIDEO, Pes,
};
use super::plan::{Cipher, Event, PTS_MASK, Private, StreamPlan, TICKS_PER_MS};
use super::{imkh, pack_header};
use crate::civil::Moment;
use crate::dhav::crc32;
use crate::footage::{Footage, VideoCodec};
use crate::mark::Mark;
use crate::rng::Rng;
use crate::take::Pace;
use crate::truth::{Discontinuity, Frame, FrameKind, StoredTime};

/// Bytes of a NAL unit that are encrypted at most, in whole AES blocks.
const CIPHER_LIMIT: usize = 4096;
const AES_BLOCK: usize = 16;

/// A stream in units that can be placed one after the other.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The header before the first unit; empty without one.
    pub head: Vec<u8>,
    /// Frames in stream order.
    pub units: Vec<StreamUnit>,
}

/// One frame, ready to be placed.
#[derive(Debug, Clone)]
pub struct StreamUnit {
    /// Pack header and packets; without a pack header where the frame shares the pack before it.
    pub bytes: Vec<u8>,
    /// Pieces of the access unit or sound frame within `bytes`: PES payloads, in order.
    pub payload: Vec<Range<usize>>,
    /// The PES packets of those pieces with their headers.
    pub pes: Vec<Range<usize>>,
    /// Kind.
    pub kind: FrameKind,
    /// True where decoding can start.
    pub key: bool,
    /// The recorder's clock at this frame, steps included.
    pub clock: Moment,
    /// Milliseconds since the first video frame of the plan; clock steps do not show in it.
    pub elapsed: i64,
    /// Presentation time.
    pub pts: u64,
    /// Picture counter in the pack header of this frame or the one before it.
    pub counter: u32,
    /// Time in descriptor 0x40, and where in `bytes` the descriptor starts.
    pub stored: Option<(Moment, usize)>,
    /// The truth about it, still without places; [`StreamUnit::fact_at`] gives it with them.
    pub fact: Frame,
}

impl StreamUnit {
    /// The truth about this frame when its first byte lies at `offset`.
    pub fn fact_at(&self, offset: u64) -> Frame {
        let mut fact = self.fact.clone();
        let at = |range: &Range<usize>| [offset + range.start as u64, range.len() as u64];
        fact.payload = self.payload.iter().map(at).collect();
        fact.extents = vec![[offset, self.bytes.len() as u64]];
        if let (Some(stored), Some((_, place))) = (&mut fact.stored, self.stored) {
            stored.time_at = Some(offset + place as u64);
        }
        fact
    }
}

impl Stream {
    /// All bytes, head first.
    pub fn bytes(&self) -> Vec<u8> {
        let parts = self.units.iter().map(|unit| unit.bytes.as_slice());
        std::iter::once(self.head.as_slice()).chain(parts).collect::<Vec<_>>().concat()
    }
}

/// Builds the units of a plan in stream order.
pub fn build(plan: &StreamPlan) -> Stream {
    let sound = plan.sound.map(|sound| sound.codec);
    let head = if plan.imkh { imkh(plan.footage.codec(), sound) } else { Vec::new() };
    Stream { head, units: Builder::new(plan).run() }
}

/// A frame with its place in time, before it becomes bytes.
struct Planned {
    elapsed: i64,
    content: Content,
    discontinuity: Vec<Discontinuity>,
}

enum Content {
    Video { footage: Footage, number: usize, counter: u32 },
    Private(Vec<u8>),
    Audio { number: usize, payload: Vec<u8> },
}

impl Content {
    /// Order of frames that fall on the same millisecond.
    fn rank(&self) -> u8 {
        match self {
            Content::Video { .. } => 0,
            Content::Private(_) => 1,
            Content::Audio { .. } => 2,
        }
    }
}

struct Builder<'a> {
    plan: &'a StreamPlan,
    /// Time of a clock step, and all steps up to it.
    steps: Vec<(i64, i64)>,
    /// Begin and end of a time without recording.
    gaps: Vec<(i64, i64)>,
    /// Elapsed time from which stream time counts on from a value.
    bases: Vec<(i64, u64)>,
    rng: Rng,
    counter: u32,
    /// Sum of the clock steps that the last stored date shows.
    shown: i64,
}

impl<'a> Builder<'a> {
    fn new(plan: &'a StreamPlan) -> Self {
        Builder {
            plan,
            steps: Vec::new(),
            gaps: Vec::new(),
            bases: vec![(0, plan.pts_start)],
            rng: Rng::new(plan.seed, 2),
            counter: plan.counter_start,
            shown: 0,
        }
    }

    fn run(mut self) -> Vec<StreamUnit> {
        let mut planned = self.plan_video();
        let end = planned.last().map_or(0, |last| last.elapsed + 40);
        planned.extend(self.plan_audio(end));
        planned.sort_by_key(|unit| (unit.elapsed, unit.content.rank()));
        let origin = planned.first().map_or(0, |first| first.elapsed);
        let mut units: Vec<StreamUnit> = Vec::with_capacity(planned.len());
        for unit in planned {
            let placed = self.unit(unit, origin, units.is_empty());
            units.push(placed);
        }
        units
    }

    /// Places the video frames, and the private packets behind them.
    fn plan_video(&mut self) -> Vec<Planned> {
        let plan = self.plan;
        let mut planned = Vec::new();
        let (mut footage, mut number, mut elapsed) = (plan.footage, plan.first_unit, 0);
        let mut counter = plan.counter_start;
        for index in 0..plan.frames {
            let mut discontinuity = Vec::new();
            for (_, event) in plan.events.iter().filter(|(at, _)| *at == index) {
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
                    Event::Reboot { off_ms, pts, counter: restarted } => {
                        self.gaps.push((elapsed, elapsed + off_ms));
                        elapsed += off_ms;
                        self.bases.push((elapsed, pts));
                        counter = restarted;
                        number = footage.next_key(number);
                        discontinuity.push(Discontinuity::Restart { ms: off_ms });
                    }
                    Event::Lost(frames) => {
                        elapsed += (0..frames).map(|_| self.step(index)).sum::<i64>();
                        number = (number + frames) % footage.units().len();
                        counter = counter.wrapping_add(frames as u32);
                        discontinuity.push(Discontinuity::Lost { frames: frames as u32 });
                    }
                    Event::Switch(other) => {
                        (footage, number) = (other, 0);
                        discontinuity.push(Discontinuity::Parameters);
                    }
                }
            }
            let content = Content::Video { footage, number, counter };
            planned.push(Planned { elapsed, content, discontinuity });
            if let Some(private) = plan.private.filter(|p| index.is_multiple_of(p.every)) {
                let content = Content::Private(self.private_packet(private, index));
                planned.push(Planned { elapsed, content, discontinuity: Vec::new() });
            }
            if plan.encryption.info_packets && footage.units()[number].key {
                let content = Content::Private(self.encryption_info());
                planned.push(Planned { elapsed, content, discontinuity: Vec::new() });
            }
            number = (number + 1) % footage.units().len();
            counter = counter.wrapping_add(1);
            elapsed += self.step(index);
        }
        planned
    }

    /// Milliseconds from frame `index` to the next.
    fn step(&mut self, index: usize) -> i64 {
        let even = |fps: u32| {
            let (index, fps) = (index as i64, i64::from(fps));
            (index + 1) * 1000 / fps - index * 1000 / fps
        };
        match self.plan.pace {
            Pace::Steady(fps) => even(fps),
            Pace::Jitter { fps, spread } => {
                even(fps) - spread + self.rng.below(2 * spread as u64 + 1) as i64
            }
            Pace::Alternating { fps, every } => even(fps[index / every % 2]),
        }
    }

    /// Private data with random content; the types take turns.
    fn private_packet(&mut self, private: Private, index: usize) -> Vec<u8> {
        const TYPES: [u16; 5] = [0x0001, 0x0002, 0x0003, 0x0008, 0x1002];
        self.private_payload(TYPES[index / private.every % TYPES.len()], private.body_bytes)
    }

    /// Encryption info; only its type is known.
    fn encryption_info(&mut self) -> Vec<u8> {
        self.private_payload(0x4000, 32)
    }

    fn private_payload(&mut self, kind: u16, body_bytes: usize) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend(((8 + body_bytes) as u16 / 4).to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes.extend([0x81, 0, 0, 0xFF, 0, 0]);
        // No zero bytes: a packet may not imitate a start code.
        bytes.extend(self.rng.bytes(body_bytes).iter().map(|byte| byte | 1));
        bytes
    }

    fn plan_audio(&self, end: i64) -> Vec<Planned> {
        let Some(sound) = self.plan.sound else { return Vec::new() };
        let frame_ms = sound.codec.frame_ms();
        (0..)
            .map(|n| (n, sound.offset_ms + n as i64 * frame_ms))
            .take_while(|(_, elapsed)| elapsed + frame_ms <= end.max(frame_ms))
            .filter(|(_, at)| !self.gaps.iter().any(|(from, to)| (*from..*to).contains(at)))
            .map(|(number, elapsed)| Planned {
                elapsed,
                content: Content::Audio { number, payload: sound.codec.frame(number) },
                discontinuity: Vec::new(),
            })
            .collect()
    }

    /// Sum of all clock steps up to a time.
    fn stepped(&self, elapsed: i64) -> i64 {
        self.steps.iter().rev().find(|(at, _)| *at <= elapsed).map_or(0, |(_, sum)| *sum)
    }

    fn pts(&self, elapsed: i64) -> u64 {
        let base = self.bases.iter().rev().find(|(at, _)| *at <= elapsed).or(self.bases.first());
        let (at, pts) = base.copied().unwrap_or_default();
        let ticks = (elapsed - at) * TICKS_PER_MS as i64;
        pts.wrapping_add_signed(ticks) & PTS_MASK
    }

    fn unit(&mut self, planned: Planned, origin: i64, first: bool) -> StreamUnit {
        let (stepped, pts) = (self.stepped(planned.elapsed), self.pts(planned.elapsed));
        let clock = self.plan.start.plus_ms(planned.elapsed + stepped);
        let mut out = match planned.content {
            Content::Video { footage, number, counter } => {
                self.counter = counter;
                self.video(footage, number, clock, pts)
            }
            Content::Private(payload) => {
                self.beside(FrameKind::Auxiliary, PES_PRIVATE, &payload, pts, first)
            }
            Content::Audio { number, payload } => {
                let own = first || self.plan.sound.is_some_and(|sound| sound.own_packs);
                let mut unit = self.beside(FrameKind::Audio, PES_AUDIO, &payload, pts, own);
                unit.fact.number = number as u32;
                unit.fact.codec = self.plan.sound.map(|sound| sound.codec.name().into());
                unit
            }
        };
        (out.clock, out.elapsed, out.pts, out.counter) =
            (clock, planned.elapsed, pts, self.counter);
        if out.stored.is_some() {
            self.shown = stepped;
        } else if self.shown != stepped {
            out.fact.note = Some("the clock was set; only the next key frame shows it".into());
        }
        out.fact.true_time = clock.to_string();
        out.fact.elapsed_ms = planned.elapsed - origin;
        out.fact.discontinuity = planned.discontinuity;
        out.fact.pieces = out.payload.len() as u32;
        let has_header = out.bytes.starts_with(&[0, 0, 1, 0xBA]);
        out.fact.stored = Some(StoredTime {
            pts,
            counter: has_header.then_some(self.counter),
            time: out.stored.map(|(time, _)| time.to_string()),
            time_at: None,
        });
        out
    }

    fn video(&mut self, footage: Footage, number: usize, clock: Moment, pts: u64) -> StreamUnit {
        let source = footage.units()[number];
        let mut out = StreamUnit::empty(FrameKind::Video);
        let stored = if self.plan.milliseconds {
            clock
        } else {
            clock.plus_ms(-i64::from(clock.fields().millisecond))
        };
        let map = source.key.then(|| self.map_facts(footage, stored));
        out.bytes = pack_head(pts, self.counter, map.as_ref());
        if let Some(map) = &map {
            let descriptor = PACK_HEADER_BYTES + pack::system_header().len() + BASIC_AT;
            out.stored = Some((map.clock, descriptor));
        }
        let mut payload = Vec::with_capacity(source.bytes.len());
        let mut stamp = Some(pts);
        for piece in pieces(footage.codec(), source.bytes) {
            let piece = self.encrypt(footage.codec(), piece);
            for pes in Pes::split(PES_VIDEO, stamp.take(), &piece) {
                out.push(&pes);
            }
            payload.extend(piece);
        }
        let encrypted = payload != source.bytes;
        out.key = source.key;
        out.fact.key = source.key;
        out.fact.number = self.counter;
        out.fact.codec = Some(footage.codec().name().into());
        out.fact.size = Some(footage.size());
        out.fact.payload_crc32 = crc32(&payload);
        out.fact.mark =
            (!encrypted).then_some(Mark { camera: footage.camera(), number: number as u16 });
        out.fact.encrypted = encrypted;
        out
    }

    fn map_facts(&self, footage: Footage, clock: Moment) -> MapFacts {
        MapFacts {
            clock,
            encryption: self.plan.encryption.kind,
            encryption_descriptor: self.plan.encryption.descriptor,
            codec: footage.codec(),
            size: footage.size(),
            fps: u32::from(self.plan.pace.nominal()),
            sound: self.plan.sound.map(|sound| sound.codec),
            private: self.plan.private.is_some() || self.plan.encryption.info_packets,
        }
    }

    /// A frame of sound or private data.
    fn beside(
        &self,
        kind: FrameKind,
        id: u8,
        payload: &[u8],
        pts: u64,
        own_pack: bool,
    ) -> StreamUnit {
        let mut out = StreamUnit::empty(kind);
        if own_pack {
            out.bytes = pack_header(pts, self.counter);
        }
        for pes in Pes::split(id, Some(pts), payload) {
            out.push(&pes);
        }
        out.fact.payload_crc32 = crc32(payload);
        out
    }

    fn encrypt(&mut self, codec: VideoCodec, piece: &[u8]) -> Vec<u8> {
        let mut bytes = piece.to_vec();
        let header = piece.iter().position(|byte| *byte != 0).map_or(piece.len(), |one| one + 1);
        let (skip, slice) = match codec {
            VideoCodec::H264 => (1, matches!(piece.get(header).map(|b| b & 0x1F), Some(1 | 5))),
            VideoCodec::H265 => (2, piece.get(header).is_some_and(|b| b >> 1 & 0x3F < 32)),
            VideoCodec::Mpeg4 | VideoCodec::Mjpeg => (0, true),
        };
        match self.plan.encryption.cipher {
            Cipher::Clear => return bytes,
            Cipher::Slices if !slice => return bytes,
            Cipher::Units | Cipher::Slices => {}
        }
        let from = (header + skip).min(bytes.len());
        let length = (bytes.len() - from).min(CIPHER_LIMIT) / AES_BLOCK * AES_BLOCK;
        for byte in &mut bytes[from..from + length] {
            *byte ^= self.rng.next_u64() as u8;
        }
        bytes
    }
}

impl StreamUnit {
    fn empty(kind: FrameKind) -> StreamUnit {
        StreamUnit {
            bytes: Vec::new(),
            payload: Vec::new(),
            pes: Vec::new(),
            kind,
            key: false,
            clock: Moment::at((2000, 1, 1), (0, 0, 0)),
            elapsed: 0,
            pts: 0,
            counter: 0,
            stored: None,
            fact: Frame::empty(kind),
        }
    }

    fn push(&mut self, pes: &Pes) {
        let at = self.bytes.len();
        self.pes.push(at..at + pes.bytes.len());
        self.payload.push(at + pes.payload.start..at + pes.payload.end);
        self.bytes.extend(&pes.bytes);
    }
}

/// What stands before the video packets of a pack: with a map, also the system header.
fn pack_head(pts: u64, counter: u32, map: Option<&MapFacts>) -> Vec<u8> {
    let mut bytes = pack_header(pts, counter);
    if let Some(map) = map {
        bytes.extend(pack::system_header());
        bytes.extend(pack::program_stream_map(map));
    }
    bytes
}

/// One picture in a pack; a key picture comes with a map.
pub fn video_pack(
    codec: VideoCodec,
    access_unit: &[u8],
    pts: u64,
    counter: u32,
    map: Option<&MapFacts>,
) -> Vec<u8> {
    let mut bytes = pack_head(pts, counter, map);
    let mut stamp = Some(pts);
    for piece in pieces(codec, access_unit) {
        Pes::split(PES_VIDEO, stamp.take(), piece).iter().for_each(|pes| bytes.extend(&pes.bytes));
    }
    bytes
}

/// The parts of an access unit that get PES packets of their own: NAL units with their start codes
/// in H.264 and H.265, the whole picture in other codings.
fn pieces(codec: VideoCodec, bytes: &[u8]) -> Vec<&[u8]> {
    if matches!(codec, VideoCodec::Mpeg4 | VideoCodec::Mjpeg) {
        return vec![bytes];
    }
    let mut starts: Vec<usize> = (0..bytes.len().saturating_sub(3))
        .filter(|&at| bytes[at..].starts_with(&[0, 0, 1]))
        .map(|at| if at > 0 && bytes[at - 1] == 0 { at - 1 } else { at })
        .collect();
    starts.push(bytes.len());
    starts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hikvision::{Sound, SoundCodec};

    fn start() -> Moment {
        Moment::at((2024, 3, 14), (13, 5, 42)).plus_ms(370)
    }

    fn payload(unit: &StreamUnit) -> Vec<u8> {
        unit.payload.iter().flat_map(|range| unit.bytes[range.clone()].to_vec()).collect()
    }

    #[test]
    fn payload_pieces_join_to_the_access_units() {
        for footage in Footage::ALL {
            let count = footage.units().len();
            let stream = build(&StreamPlan::new(footage, start(), count, 1));
            assert_eq!(stream.units.len(), count);
            for (unit, source) in stream.units.iter().zip(footage.units()) {
                assert!(payload(unit) == source.bytes, "{footage:?}");
                assert_eq!(unit.stored.is_some(), source.key);
            }
        }
    }

    #[test]
    fn a_reboot_restarts_stream_time_and_counter_while_the_clock_goes_on() {
        let reboot = Event::Reboot { off_ms: 41_000, pts: 900, counter: 3 };
        let plan = StreamPlan::new(Footage::Cam1, start(), 40, 1)
            .with_events(&[(10, reboot), (35, Event::ClockStep(-5000))]);
        let units = build(&plan).units;
        assert_eq!((units[10].pts, units[10].counter), (900, 3));
        assert!(units[10].key);
        assert_eq!(units[10].clock, start().plus_ms(41_400));
        assert_eq!(units[35].clock, start().plus_ms(41_000 + 1400 - 5000));
        assert_eq!(units[35].pts, 900 + 25 * 3600);
    }

    #[test]
    fn sound_shares_packs_or_has_its_own() {
        let plan = StreamPlan::new(Footage::Cam5, start(), 50, 1).with_sound(SoundCodec::ALaw, 0);
        let is_pack = |unit: &StreamUnit| unit.bytes.starts_with(&[0, 0, 1, 0xBA]);
        let audio = |plan: &StreamPlan| -> Vec<bool> {
            let units = build(plan).units;
            units.iter().filter(|unit| unit.kind == FrameKind::Audio).map(is_pack).collect()
        };
        assert!(audio(&plan).len() > 20 && audio(&plan).iter().all(|own| !own));
        let own = StreamPlan { sound: plan.sound.map(|s| Sound { own_packs: true, ..s }), ..plan };
        assert!(audio(&own).iter().all(|own| *own));
    }

    #[test]
    fn a_private_packet_has_the_length_of_the_specification() {
        let private = Some(Private { every: 10, body_bytes: 64 });
        let plan = StreamPlan { private, ..StreamPlan::new(Footage::Cam1, start(), 20, 1) };
        let units = build(&plan).units;
        let unit = units.iter().find(|unit| unit.kind == FrameKind::Auxiliary).unwrap();
        let be16 = |at: usize| usize::from(unit.bytes[at]) << 8 | usize::from(unit.bytes[at + 1]);
        assert_eq!(unit.bytes[..4], [0, 0, 1, 0xBD]);
        let length = be16(unit.payload[0].start + 2);
        assert_eq!(be16(4), 4 * length + 14);
        assert_eq!(unit.bytes.len(), 6 + be16(4));
    }
}
