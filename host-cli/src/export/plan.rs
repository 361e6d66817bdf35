//! Which frames of a recording `--from` and `--to` ask for: a first pass over its stream that writes nothing.
//!
//! Footage is cut at the key frame at or before the wanted time, so that what is given out can be decoded.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use daleel_core::{CivilTime, FrameKind, Recorder, Recording, Stream, Walk, WalkItem};
use daleel_timeline::{Pace, Pacing, Stamp, resolve};

use super::{frames::KnownTimes, lane::Cutting};
use crate::interrupt;

/// Logical ranges of the stream that are wanted, by stream channel. A frame is wanted when it begins in one of them.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    ranges: BTreeMap<u32, Vec<Range<u64>>>,
    /// Times of the wanted frames, by their place in the stream, with the frames around the wanted part taken into account.
    pub times: KnownTimes,
}

impl Wanted {
    /// True when a frame of a stream channel that begins at a logical offset is wanted.
    pub fn contains(&self, channel: u32, start: u64) -> bool {
        self.ranges
            .get(&channel)
            .is_some_and(|ranges| ranges.iter().any(|range| range.contains(&start)))
    }

    /// True when nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.ranges.values().all(Vec::is_empty)
    }

    /// The part of the stream that holds all that is wanted.
    pub fn span(&self) -> Range<u64> {
        let all = || self.ranges.values().flatten();
        let start = all().map(|range| range.start).min().unwrap_or(0);
        start..all().map(|range| range.end).max().unwrap_or(0).max(start)
    }
}

/// Frames of one channel between two cuts.
struct Run {
    pace: Pace,
    /// Start of each frame and whether it is a key frame.
    frames: Vec<(u64, bool)>,
    stamps: Vec<Stamp>,
    end: u64,
}

/// Finds the frames with a time in `from..=to` and the key frames they need. Undated frames are wanted. `position` is told how far the stream is
/// read.
pub fn plan(
    recorder: &dyn Recorder,
    recording: &Recording,
    stream: &Stream,
    cutting: Cutting,
    (from, to): (Option<CivilTime>, Option<CivilTime>),
    mut position: impl FnMut(u64),
) -> Wanted {
    let mut wanted = Wanted::default();
    let mut runs: BTreeMap<(u32, bool), Run> = BTreeMap::new();
    let mut walk = Walk::new(stream, recorder.parser(recording), 0..u64::MAX);
    while let Some(item) = walk.next() {
        position(walk.offset());
        if interrupt::arrived() {
            break;
        }
        let WalkItem::Frame(frame) = item else { continue };
        if !matches!(frame.kind, FrameKind::Video | FrameKind::Still) {
            continue;
        }
        let channel = frame.stream_channel.unwrap_or(0);
        let ticks = frame.time.counter.map_or(1000, |counter| counter.ticks_per_second);
        let is_still = frame.kind == FrameKind::Still;
        let run = runs.entry((channel, is_still)).or_insert_with(|| Run {
            pace: Pace::new(ticks, cutting.gap_ms, cutting.follows_through()),
            frames: Vec::new(),
            stamps: Vec::new(),
            end: 0,
        });
        let (pacing, stamp) = run.pace.next(&frame.time, frame.number, frame.rate);
        let cut = match pacing {
            Pacing::Gap { .. } | Pacing::Break => true,
            Pacing::Step { .. } => !cutting.follows_through(),
            _ => run.frames.len() >= super::lane::CLIP_FRAMES_MAX && frame.key,
        };
        if cut {
            run.close(channel, (from, to), &mut wanted);
        }
        run.frames.push((frame.start(), frame.key));
        run.stamps.push(stamp);
        run.end = frame.end();
    }
    for ((channel, _), run) in &mut runs {
        run.close(*channel, (from, to), &mut wanted);
    }
    wanted
}

impl Run {
    fn close(
        &mut self,
        channel: u32,
        (from, to): (Option<CivilTime>, Option<CivilTime>),
        wanted: &mut Wanted,
    ) {
        let times = resolve(&self.stamps, self.pace.ticks_per_second(), None);
        let ranges = wanted.ranges.entry(channel).or_default();
        let before = ranges.len();
        let mut key = None;
        let mut open: Option<Range<u64>> = None;
        for ((start, is_key), time) in self.frames.iter().zip(&times) {
            if *is_key {
                key = Some(*start);
            }
            let inside = time.time.is_none_or(|time| {
                from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to)
            });
            match (&mut open, inside) {
                (None, true) => open = Some(key.unwrap_or(*start)..start.saturating_add(1)),
                (Some(range), true) => range.end = start.saturating_add(1),
                (Some(range), false) => {
                    ranges.push(range.start..*start);
                    open = None;
                }
                (None, false) => {}
            }
        }
        if let Some(range) = open {
            ranges.push(range.start..self.end);
        }
        let added = ranges.get(before..).unwrap_or(&[]);
        let known = Arc::make_mut(&mut wanted.times);
        for ((start, _), time) in self.frames.iter().zip(times) {
            if added.iter().any(|range| range.contains(start)) {
                known.insert(*start, time);
            }
        }
        self.frames.clear();
        self.stamps.clear();
    }
}
