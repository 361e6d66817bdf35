//! What a camera stores as one entry of its index: a segment of a stream, or a picture.
//!
//! Facts: `docs/formats/hikvision.md`, section 9.1 (segments, stream times of 45 kHz).

use crate::civil::Moment;
use crate::dhav::crc32;
use crate::footage::Footage;
use crate::hikvision::{KeyRecord, RECORD_BYTES, Stream, StreamPlan, StreamUnit, build};
use crate::mark::Mark;
use crate::truth::{AudioFacts, Frame, FrameKind};

/// A segment of a stream.
#[derive(Debug, Clone)]
pub struct SegmentPlan {
    /// Channel from 1.
    pub channel: u16,
    /// The stream.
    pub stream: StreamPlan,
    /// Type byte of the record: 0x0D, or 3 for motion.
    pub kind: u8,
    /// How it ends.
    pub ending: Ending,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is closed; the file stays in use.
    Closed,
    /// It is closed, and so is its file, full or not.
    ClosesFile,
    /// Power is lost while it is written.
    PowerLost,
}

/// A still picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PicturePlan {
    /// Channel from 1.
    pub channel: u16,
    /// The clock.
    pub clock: Moment,
    /// Which of the stills.
    pub number: usize,
}

impl SegmentPlan {
    /// A closed segment of all events.
    pub fn new(channel: u16, stream: StreamPlan) -> SegmentPlan {
        SegmentPlan { channel, stream, kind: 0x0D, ending: Ending::Closed }
    }

    /// The same segment with another ending.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> SegmentPlan {
        self.ending = ending;
        self
    }
}

/// A segment or a picture as a run of bytes.
pub(super) struct Item {
    pub channel: u16,
    pub kind: u8,
    pub ending: Ending,
    pub bytes: Vec<u8>,
    /// Frames with their places within `bytes`.
    pub frames: Vec<Frame>,
    /// Key-frame records; their offsets count within `bytes`.
    pub keys: Vec<KeyRecord>,
    pub start: Moment,
    pub end: Moment,
    /// Stream time of the first key frame and of the last frame.
    pub ticks: [u32; 2],
    pub codec: &'static str,
    pub size: [u32; 2],
    pub audio: Option<AudioFacts>,
    /// Bytes of the IMKH header before the first pack.
    pub header_bytes: u64,
}

impl Item {
    pub fn segment(plan: &SegmentPlan) -> Item {
        let stream = build(&plan.stream);
        let mut bytes = stream.bytes();
        let places = places(&stream);
        let mut frames: Vec<Frame> =
            stream.units.iter().zip(&places).map(|(unit, at)| unit.fact_at(*at as u64)).collect();
        let mut keys = keys(&stream, &places, plan.channel);
        let lost = plan.ending == Ending::PowerLost;
        if let (true, Some(last)) = (lost, stream.units.last()) {
            bytes.truncate(bytes.len() - last.bytes.len() / 2);
            cut(&mut frames, bytes.len() as u64);
            // The record of a key frame is written with the next one.
            keys.pop();
        }
        let video = || stream.units.iter().filter(|unit| unit.kind == FrameKind::Video);
        let clock = |unit: Option<&StreamUnit>| unit.map_or(plan.stream.start, |unit| unit.clock);
        let ticks = |unit: Option<&StreamUnit>| unit.map_or(0, |unit| (unit.pts >> 1) as u32);
        Item {
            channel: plan.channel,
            kind: plan.kind,
            ending: plan.ending,
            bytes,
            frames,
            keys,
            start: clock(video().next()),
            end: clock(video().next_back()),
            ticks: [ticks(video().find(|unit| unit.key)), ticks(video().next_back())],
            codec: plan.stream.footage.codec().name(),
            size: plan.stream.footage.size(),
            audio: plan.stream.audio_facts(),
            header_bytes: stream.head.len() as u64,
        }
    }

    pub fn picture(plan: &PicturePlan) -> Item {
        let footage = Footage::Stills;
        let number = plan.number % footage.units().len();
        let bytes = footage.units()[number].bytes;
        let whole = vec![[0, bytes.len() as u64]];
        let mark = Mark { camera: footage.camera(), number: number as u16 };
        let frame = Frame {
            kind: FrameKind::Still,
            key: true,
            codec: Some(footage.codec().name().into()),
            size: Some(footage.size()),
            true_time: plan.clock.to_string(),
            payload: whole.clone(),
            extents: whole,
            payload_crc32: crc32(bytes),
            pieces: 1,
            mark: Some(mark),
            ..Frame::empty(FrameKind::Still)
        };
        Item {
            channel: plan.channel,
            kind: 0x0D,
            ending: Ending::Closed,
            bytes: bytes.to_vec(),
            frames: vec![frame],
            keys: Vec::new(),
            start: plan.clock,
            end: plan.clock,
            ticks: [0; 2],
            codec: footage.codec().name(),
            size: footage.size(),
            audio: None,
            header_bytes: 0,
        }
    }

    /// Bytes of the run of key-frame records.
    pub fn run_bytes(&self) -> u64 {
        (self.keys.len() * RECORD_BYTES) as u64
    }
}

fn places(stream: &Stream) -> Vec<usize> {
    let place = |at: &mut usize, unit: &StreamUnit| {
        let own = *at;
        *at += unit.bytes.len();
        Some(own)
    };
    stream.units.iter().scan(stream.head.len(), place).collect()
}

fn keys(stream: &Stream, places: &[usize], channel: u16) -> Vec<KeyRecord> {
    let key = |(unit, at): (&StreamUnit, &usize)| KeyRecord {
        number: unit.counter,
        channel: channel as u8,
        time: unit.clock,
        pts: unit.pts,
        offset: *at as u32,
        length: unit.bytes.len() as u32,
    };
    let units = stream.units.iter().zip(places);
    units.filter(|(unit, _)| unit.key && unit.kind == FrameKind::Video).map(key).collect()
}

/// Marks the frames that pass `end`, and keeps only what was written of them.
fn cut(frames: &mut Vec<Frame>, end: u64) {
    frames.retain(|frame| frame.extents[0][0] < end);
    for frame in frames {
        if frame.extents.iter().any(|[at, length]| at + length > end) {
            frame.intact = false;
            frame.reason = Some("power was lost while it was written".into());
        }
        for list in [&mut frame.extents, &mut frame.payload] {
            list.retain(|[at, _]| *at < end);
            list.iter_mut().for_each(|[at, length]| *length = (*length).min(end - *at));
        }
    }
}

/// Moves the places of a frame by `offset`.
pub(super) fn moved(frame: &Frame, offset: u64) -> Frame {
    let mut frame = frame.clone();
    for extent in frame.extents.iter_mut().chain(&mut frame.payload) {
        extent[0] += offset;
    }
    if let Some(place) = frame.stored.as_mut().and_then(|stored| stored.time_at.as_mut()) {
        *place += offset;
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ending: Ending) -> SegmentPlan {
        let start = Moment::at((2024, 3, 14), (13, 5, 42)).plus_ms(370);
        SegmentPlan::new(2, StreamPlan::new(Footage::Cam1, start, 60, 1)).ending(ending)
    }

    #[test]
    fn a_segment_knows_its_key_frames_and_times() {
        let item = Item::segment(&plan(Ending::Closed));
        assert_eq!(item.keys.len(), 3);
        for key in &item.keys {
            assert_eq!(item.bytes[key.offset as usize..][..4], [0, 0, 1, 0xBA]);
        }
        assert_eq!((item.end.millis() - item.start.millis()) * 45, 59 * 40 * 45);
        assert_eq!(item.ticks[1].wrapping_sub(item.ticks[0]), 59 * 40 * 45);
    }

    #[test]
    fn a_lost_segment_ends_inside_its_last_frame() {
        let item = Item::segment(&plan(Ending::PowerLost));
        let last = item.frames.last().unwrap();
        assert!(!last.intact && item.frames[58].intact);
        assert_eq!(last.extents[0][0] + last.extents[0][1], item.bytes.len() as u64);
        assert_eq!(item.keys.len(), 2);
    }
}
