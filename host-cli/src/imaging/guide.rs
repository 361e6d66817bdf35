//! What to read first, found in the recorder's own index on a disk that is not imaged yet.
//!
//! The index is read through a source that acquires what it is asked for, so reading it is imaging it. The recordings that are wanted
//! lie where the index says. At the end the holes of the image are told in the recorder's own terms.

use std::{collections::BTreeMap, sync::Arc};

use daleel_acquire::{
    job::{Guidance, Guide},
    rescue::LiveSource,
};
use daleel_core::{Extent, Hole, Input, Recorder, Recording, Source};
use daleel_image::volumes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{FilterArgs, parse_until},
    exit::{Exit, Failure},
};

/// Recordings that a record names one by one.
const NAMED_MAX: usize = 1000;
/// Most extents of an order: recordings in clusters of one MiB over 16 TB.
const EXTENTS_MAX: usize = 16 << 20;

/// Something that is wanted before the rest.
#[derive(Clone, Debug)]
pub enum Wish {
    /// The recorder's own areas: index, copies of it, log.
    Index,
    /// Recordings.
    Footage {
        /// As it was given.
        text: String,
        /// Which.
        filter: FilterArgs,
    },
}

impl Wish {
    /// `index`, or `CH3 2024-12-07T20:00..2024-12-08T04:00` with channel, time range, or both.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: String| {
            Failure::new(Exit::Usage, what).hint(
                "write `index`, `CH3`, `2024-12-07T20:00..2024-12-08T04:00` or both with a space",
            )
        };
        if text.eq_ignore_ascii_case("index") {
            return Ok(Self::Index);
        }
        let mut filter = FilterArgs::default();
        for word in text.split_whitespace() {
            if let Some(number) = channel(word) {
                filter.channel.push(number);
            } else if let Some((from, to)) = word.split_once("..") {
                let bad = |error: &dyn std::fmt::Display| wrong(format!("`{word}`: {error}"));
                filter.from = Some(from.parse().map_err(|error| bad(&error))?);
                filter.to = Some(parse_until(to).map_err(|error| bad(&error))?);
            } else {
                return Err(wrong(format!("`{word}` is no channel and no time range")));
            }
        }
        if filter.channel.is_empty() && !filter.has_times() {
            return Err(wrong("nothing is asked for".to_owned()));
        }
        filter.check()?;
        Ok(Self::Footage { text: text.to_owned(), filter })
    }
}

/// The channel of `CH3`, from 1.
fn channel(word: &str) -> Option<u32> {
    let upper = word.to_ascii_uppercase();
    let number: u32 = upper.strip_prefix("CH")?.parse().ok()?;
    (number > 0).then_some(number)
}

/// Finds wishes on a disk.
pub struct RecorderGuide {
    wishes: Vec<Wish>,
}

impl RecorderGuide {
    /// For these wishes, in this order.
    pub const fn new(wishes: Vec<Wish>) -> Self {
        Self { wishes }
    }
}

/// The recorder with the best verdict on a source.
fn recorder_on(source: Arc<dyn Source>) -> Result<Box<dyn Recorder>, String> {
    let (volumes, ..) = volumes(source);
    let layers = volumes.into_iter().flat_map(|volume| {
        let input = Input::Volume(volume);
        let found = daleel_formats::identify(&input);
        found.into_iter().map(move |(family, verdict)| (family, verdict, input.clone()))
    });
    let best = layers.max_by_key(|(_, verdict, _)| verdict.score);
    let (family, verdict, input) =
        best.ok_or("nothing on the disk is of a known recorder's format")?;
    (family.open)(input, &verdict)
        .map_err(|error| format!("{} cannot be read: {error}", verdict.layout))
}

impl Guide for RecorderGuide {
    fn plan(&self, live: Arc<LiveSource>) -> Result<Guidance, String> {
        let recorder = recorder_on(live)?;
        let mut guidance = Guidance::default();
        guidance.notes.push(format!("found {}", recorder.verdict().layout));
        let mut damaged = 0_u64;
        let mut recordings = Vec::new();
        for recording in recorder.recordings() {
            match recording {
                Ok(recording) => recordings.push(recording),
                Err(_) => damaged = damaged.saturating_add(1),
            }
        }
        let events = recorder.events().count();
        guidance.notes.push(format!(
            "the index lists {} recordings, {damaged} entries cannot be read, the log has {events} entries",
            recordings.len()
        ));
        for wish in &self.wishes {
            if let Wish::Footage { text, filter } = wish {
                let found = extents_of(&*recorder, &recordings, filter);
                guidance.notes.push(format!(
                    "{text}: {} recordings, {} bytes",
                    found.recordings,
                    found.extents.iter().map(|extent| extent.len()).sum::<u64>()
                ));
                guidance.extents.extend(found.extents);
                guidance.extents.truncate(EXTENTS_MAX);
            }
        }
        Ok(guidance)
    }

    fn camera_time(&self, image: Arc<dyn Source>) -> Option<Value> {
        let recorder = recorder_on(image).ok()?;
        serde_json::to_value(CameraTime::of(&*recorder)).ok()
    }
}

struct FoundExtents {
    recordings: u64,
    extents: Vec<Extent>,
}

/// Where the wanted recordings lie, in the order of the disk: a disk is fastest that way.
fn extents_of(
    recorder: &dyn Recorder,
    recordings: &[Recording],
    filter: &FilterArgs,
) -> FoundExtents {
    let mut extents = Vec::new();
    let mut count = 0_u64;
    for recording in recordings.iter().filter(|recording| filter.wants(recording)) {
        let Ok(stream) = recorder.stream(recording) else { continue };
        count = count.saturating_add(1);
        extents.extend(stream.map.extents());
    }
    extents.sort_unstable();
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents {
        match joined.last_mut() {
            Some(last) if extent.offset() <= last.end() => {
                let end = last.end().max(extent.end());
                *last = Extent::new(last.offset(), end.saturating_sub(last.offset()));
            }
            _ => joined.push(extent),
        }
    }
    FoundExtents { recordings: count, extents: joined }
}

/// Holes of an image in camera time.
#[derive(Debug, Serialize)]
struct CameraTime {
    /// How the times were found.
    basis: &'static str,
    /// The layout that was read.
    layout: String,
    /// Each channel; null is footage that names none.
    channels: Vec<ChannelTime>,
    /// Recordings that are touched; the first ones.
    recordings: Vec<TouchedRecording>,
    /// How many in all.
    touched: u64,
    /// Index entries that cannot be read: what they listed is not counted here.
    unreadable_entries: u64,
}

/// One channel.
#[derive(Debug, Default, Serialize)]
struct ChannelTime {
    channel: Option<u32>,
    /// What the index lists.
    recorded_ms: i64,
    /// Of that unreadable.
    unreadable_ms: i64,
    /// Of that not acquired.
    not_acquired_ms: i64,
}

/// A recording with holes.
#[derive(Debug, Serialize)]
struct TouchedRecording {
    id: String,
    channel: Option<u32>,
    start: Option<String>,
    end: Option<String>,
    bytes: u64,
    unreadable_bytes: u64,
    not_acquired_bytes: u64,
    unreadable_ms: i64,
    not_acquired_ms: i64,
}

/// Bytes of a recording by the kind of hole.
#[derive(Clone, Copy, Default)]
struct Lost {
    unreadable: u64,
    not_acquired: u64,
    all: u64,
}

impl CameraTime {
    fn of(recorder: &dyn Recorder) -> Self {
        let mut channels: BTreeMap<Option<u32>, ChannelTime> = BTreeMap::new();
        let mut answer = Self {
            basis: "bytes of each recording's stream, spread evenly over the time that the index states for it",
            layout: recorder.verdict().layout.to_string(),
            channels: Vec::new(),
            recordings: Vec::new(),
            touched: 0,
            unreadable_entries: 0,
        };
        for recording in recorder.recordings() {
            let Ok(recording) = recording else {
                answer.unreadable_entries = answer.unreadable_entries.saturating_add(1);
                continue;
            };
            let lost = lost_bytes(recorder, &recording);
            let time = recording.start.zip(recording.end);
            let length_ms =
                time.map_or(0, |(start, end)| end.millis().saturating_sub(start.millis()).max(0));
            let share = |bytes: u64| share_of(length_ms, bytes, lost.all);
            let (unreadable_ms, not_acquired_ms) =
                (share(lost.unreadable), share(lost.not_acquired));
            let channel = channels.entry(recording.channel).or_default();
            channel.channel = recording.channel;
            channel.recorded_ms = channel.recorded_ms.saturating_add(length_ms);
            channel.unreadable_ms = channel.unreadable_ms.saturating_add(unreadable_ms);
            channel.not_acquired_ms = channel.not_acquired_ms.saturating_add(not_acquired_ms);
            if lost.unreadable == 0 && lost.not_acquired == 0 {
                continue;
            }
            answer.touched = answer.touched.saturating_add(1);
            if answer.recordings.len() < NAMED_MAX {
                answer.recordings.push(TouchedRecording {
                    id: recording.id.clone(),
                    channel: recording.channel,
                    start: recording.start.map(|time| time.to_string()),
                    end: recording.end.map(|time| time.to_string()),
                    bytes: lost.all,
                    unreadable_bytes: lost.unreadable,
                    not_acquired_bytes: lost.not_acquired,
                    unreadable_ms,
                    not_acquired_ms,
                });
            }
        }
        answer.channels = channels.into_values().collect();
        answer
    }
}

fn lost_bytes(recorder: &dyn Recorder, recording: &Recording) -> Lost {
    let mut lost = Lost::default();
    let Ok(stream) = recorder.stream(recording) else { return lost };
    lost.all = stream.map.len();
    for extent in stream.map.extents() {
        for (hole, kind) in stream.source.holes(extent) {
            let sum = match kind {
                Hole::Unreadable => &mut lost.unreadable,
                _ => &mut lost.not_acquired,
            };
            *sum = sum.saturating_add(hole.len());
        }
    }
    lost
}

/// `bytes` of `all` in time, rounded up: what is lost is not made to look less.
fn share_of(length_ms: i64, bytes: u64, all: u64) -> i64 {
    let product = i128::from(length_ms).saturating_mul(i128::from(bytes));
    let all = i128::from(all.max(1));
    let share = product.saturating_add(all.saturating_sub(1)).checked_div(all).unwrap_or(0);
    i64::try_from(share).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_as_they_are_written() {
        assert!(matches!(Wish::parse("index"), Ok(Wish::Index)));
        let Ok(Wish::Footage { filter, .. }) =
            Wish::parse("CH3 2024-12-07T20:00..2024-12-08T04:00")
        else {
            panic!("not read")
        };
        assert_eq!(filter.channel, [3]);
        assert_eq!(
            filter.from.map(|time| time.to_string()).as_deref(),
            Some("2024-12-07T20:00:00.000")
        );
        assert!(Wish::parse("ch12").is_ok());
        assert!(Wish::parse("2024-12-07..2024-12-07").is_ok());
        for wrong in
            ["", "CH0", "CHx", "3", "2024-12-07T20:00", "CH1 2024-12-08..2024-12-07", "indices"]
        {
            assert!(Wish::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lost_time_is_rounded_up() {
        assert_eq!(share_of(60_000, 1, 60_000), 1);
        assert_eq!(share_of(60_000, 1, 600_000), 1);
        assert_eq!(share_of(60_000, 600_000, 600_000), 60_000);
        assert_eq!(share_of(60_000, 0, 0), 0);
    }
}
