//! One recording's stream, frame by frame, into clips.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use anyhow::{Context, Result};
use daleel_core::{
    CivilTime, Codec, Extent, ExtentMap, Finding, FindingKind, Findings, Frame, FrameKind, Passed,
    Ranges, Reason, Recorder, Recording, SkipKind, Stream, Walk, WalkItem,
};
use daleel_media::AudioTrack;
use smallvec::SmallVec;

use super::{
    close::{Attribution, Closing},
    folder::Folder,
    frames::KnownTimes,
    journal::RecordingDone,
    lane::{Clip, Cut, Cutting, Followed, FrameRecord, Lane, Parts, SideAudio, Target},
    plan::Wanted,
    sound::Alone,
};
use crate::{
    exit::{Exit, Failure},
    interrupt,
    output::index_findings,
};

/// Sound whose stamp is further than this from the last picture's is not given to that picture's clip at once.
const SOUND_FOLLOWS_MS: u64 = 1000;
/// Sound more than this before the first picture does not belong to the clip.
const SOUND_BEFORE_MS: i64 = 2000;
/// Sound whose counter is further from the picture's than this is placed by order instead.
const SOUND_APART_MS: i64 = 10_000;

/// Sound frames without a picture that are held.
const WAITING_MAX: usize = 30_000;
/// Clips in hand at a time.
const LANES_MAX: usize = 32;
/// Frames whose clock is further from the index than this are said to be so: a camera's clock is not the recorder's.
const CLOCK_APART_MS: u64 = 5000;

/// What to write.
#[derive(Clone, Debug)]
pub struct Options {
    /// Output folder.
    pub out: PathBuf,
    /// Cutting rules.
    pub cutting: Cutting,
    /// Write the native stream beside each clip.
    pub native: bool,
}

/// A sound frame waiting for its picture.
struct WaitingSound {
    at: u64,
    end: u64,
    payload: Ranges,
    codec: Codec,
    sample_rate: Option<u32>,
    channels: u8,
    counter: Option<u64>,
    modulus: u64,
    record: FrameRecord,
    time: Option<CivilTime>,
}

/// Frames of one kind in one stream channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LaneKey {
    channel: u32,
    is_still: bool,
}

struct Export<'a> {
    recording: &'a Recording,
    stream: &'a Stream,
    options: &'a Options,
    folder: Folder<'a>,
    lanes: BTreeMap<LaneKey, Lane>,
    /// Sound without a picture so far, by stream channel.
    waiting: BTreeMap<u32, Vec<WaitingSound>>,
    /// Units of each stream channel, neighbours joined: for the native files.
    units: BTreeMap<u32, Vec<Range<u64>>>,
    first_channel: Option<u32>,
    known: KnownTimes,
    /// How often frame numbers jumped where no key frame explains it.
    jumps: u64,
    /// True once the clocks of the index and of the frames were compared.
    compared: bool,
    /// Frames whose own payload check holds, and does not.
    checks: (u64, u64),
    /// Bytes passed over last, to be said in one piece.
    passed: Option<Passed>,
    findings: Findings,
    done: RecordingDone,
}

/// Writes the clips of one recording. `wanted` limits it to some frames; `position` is told how far the stream is read.
///
/// # Errors
/// When the output cannot be written, the recording's stream is not to be had, or an interrupt arrives: then nothing of this recording
/// is left behind.
pub fn export(
    recorder: &dyn Recorder,
    recording: &Recording,
    stream: &Stream,
    options: &Options,
    wanted: Option<&Wanted>,
    mut position: impl FnMut(u64),
) -> Result<RecordingDone> {
    let mut export = Export {
        recording,
        stream,
        options,
        folder: Folder {
            out: &options.out,
            recording,
            native_extension: recorder.native_extension(recording),
        },
        lanes: BTreeMap::new(),
        waiting: BTreeMap::new(),
        units: BTreeMap::new(),
        first_channel: None,
        known: wanted.map(|wanted| wanted.times.clone()).unwrap_or_default(),
        jumps: 0,
        compared: false,
        checks: (0, 0),
        passed: None,
        findings: Findings::default(),
        done: RecordingDone::new(recording),
    };
    for finding in index_findings(recording) {
        export.findings.add(finding);
    }
    if let Some(reason) = &stream.conflict {
        let text = format!("{}: {}", recording.id, reason.text);
        export.findings.add(Finding { kind: FindingKind::DamagedIndex, text, at: reason.at });
    }
    for reason in stream.reasons.iter().filter(|reason| !reason.supports) {
        let text = format!("{}: {}", recording.id, reason.text);
        export.findings.add(Finding { kind: FindingKind::Interpretation, text, at: reason.at });
    }
    // The parser starts at the beginning even when the wanted part does not: what it has learnt there counts.
    let end = wanted.map_or(u64::MAX, |wanted| wanted.span().end);
    let mut walk = Walk::new(stream, recorder.parser(recording), 0..end);
    while let Some(item) = walk.next() {
        if interrupt::arrived() {
            export.abandon();
            return Err(Failure::new(Exit::Interrupted, "interrupted").into());
        }
        export.item(item, &walk, wanted)?;
        position(walk.offset());
    }
    export.finish(&walk)
}

impl Export<'_> {
    fn item(&mut self, item: WalkItem, walk: &Walk<'_>, wanted: Option<&Wanted>) -> Result<()> {
        match item {
            WalkItem::Frame(frame) => {
                let channel = frame.stream_channel.unwrap_or(0);
                for unit in &frame.units {
                    self.note_unit(channel, unit);
                }
                if matches!(frame.kind, FrameKind::Video | FrameKind::Still) {
                    self.first_channel.get_or_insert(channel);
                }
                let is_wanted = wanted.is_none_or(|wanted| wanted.contains(channel, frame.start()));
                match frame.kind {
                    FrameKind::Video | FrameKind::Still if is_wanted => {
                        self.picture(&frame, walk)?
                    }
                    // A clip must not run on over frames that were left out.
                    FrameKind::Video | FrameKind::Still => self.end_lane(channel)?,
                    FrameKind::Audio if is_wanted => self.sound(&frame, walk)?,
                    FrameKind::Audio | FrameKind::Auxiliary => {}
                }
            }
            WalkItem::Skipped { kind: SkipKind::Expected, .. } => {}
            WalkItem::Skipped { range, kind, why } => match &mut self.passed {
                Some(last) if last.range.end == range.start && last.why == why => {
                    last.range.end = range.end;
                }
                _ => {
                    self.note_passed();
                    self.passed = Some(Passed { range, kind, why });
                }
            },
            WalkItem::Hole { range, hole } => {
                let length = range.end.saturating_sub(range.start);
                self.note(
                    FindingKind::Hole,
                    range,
                    format!("{length} bytes of the stream are {hole}"),
                );
                self.lanes.values_mut().for_each(Lane::lost);
            }
            WalkItem::Failed { range, error } => {
                self.note(
                    FindingKind::Hole,
                    range,
                    format!("the stream cannot be read here: {error}"),
                );
                self.lanes.values_mut().for_each(Lane::lost);
            }
        }
        Ok(())
    }

    /// Says what was passed over last.
    fn note_passed(&mut self) {
        let Some(Passed { range, kind, why }) = self.passed.take() else { return };
        let length = range.end.saturating_sub(range.start);
        let kind = if kind == SkipKind::OlderGeneration {
            FindingKind::NotListed
        } else {
            FindingKind::UnparsedBytes
        };
        self.note(kind, range, format!("{length} bytes: {why}"));
    }

    /// A finding about a logical range.
    fn note(&mut self, kind: FindingKind, range: Range<u64>, text: impl Into<String>) {
        let at = self.stream.map.map(range).first().copied();
        let text = format!("{}: {}", self.recording.id, text.into());
        self.findings.add(Finding { kind, text, at });
    }

    fn note_unit(&mut self, channel: u32, unit: &Range<u64>) {
        let units = self.units.entry(channel).or_default();
        match units.last_mut() {
            Some(last) if last.end == unit.start => last.end = unit.end,
            _ => units.push(unit.clone()),
        }
    }

    fn record(&self, frame: &Frame) -> FrameRecord {
        let map = &self.stream.map;
        let extents = frame.payload.iter().flat_map(|range| map.map(range.clone())).collect();
        let place = |offset: u64| {
            map.map(offset..offset.saturating_add(1)).first().map_or(0, |extent| extent.offset())
        };
        FrameRecord {
            start: frame.start(),
            extents: join(extents),
            stored: frame.time.stored.iter().map(|value| (*value, place(value.offset))).collect(),
            key: frame.key,
            state: "complete",
            reason: None,
        }
    }

    fn picture(&mut self, frame: &Frame, walk: &Walk<'_>) -> Result<()> {
        let payload = match walk.bytes(&frame.payload) {
            Ok(payload) => payload,
            Err(error) => {
                self.note(
                    FindingKind::Hole,
                    frame.start()..frame.end(),
                    format!("a frame cannot be read: {error}"),
                );
                return Ok(());
            }
        };
        self.compare_clocks(frame);
        match frame.check {
            Some(true) => self.checks.0 = self.checks.0.saturating_add(1),
            Some(false) => self.checks.1 = self.checks.1.saturating_add(1),
            None => {}
        }
        let channel = frame.stream_channel.unwrap_or(0);
        let key = LaneKey { channel, is_still: frame.kind == FrameKind::Still };
        let ticks = frame.time.counter.map_or(1000, |counter| counter.ticks_per_second);
        let cutting = self.options.cutting;
        if !self.lanes.contains_key(&key) {
            self.make_room()?;
        }
        let mut lane = self.lanes.remove(&key).unwrap_or_else(|| Lane::new(cutting, ticks));
        let Followed { stamp, cut, step_ms } = lane.follow(frame, &payload);
        if let Some(milliseconds) = step_ms {
            self.note_step(frame, milliseconds);
        }
        if cut.is_some() {
            self.close_clip(&mut lane, cut.as_ref())?;
        }
        if lane.clip.is_none() {
            let begins = cut.map(|cut| Reason {
                supports: true,
                text: format!("a clip begins here: {}", cut.why),
                at: self.stream.map.map(frame.start()..frame.end()).first().copied(),
            });
            let id = self.clip_id(frame);
            let parts = Parts {
                mp4: self.folder.part(&id, "mp4"),
                frames: self.folder.part(&id, "frames"),
                known: self.known.clone(),
            };
            lane.begin(frame, begins, &parts)?;
        }
        if let Some(why) = &frame.encrypted
            && lane.clip.as_ref().is_some_and(|clip| clip.count == 0)
        {
            self.note(
                FindingKind::Encrypted,
                frame.start()..frame.end(),
                format!("encrypted footage: {why}"),
            );
        }
        if let daleel_core::FrameState::Damaged(why) = &frame.state {
            self.note(FindingKind::DamagedFrame, frame.start()..frame.end(), why.clone());
        }
        let record = self.record(frame);
        let note = lane.add(frame, &payload, stamp, record)?;
        if let Some(note) = note {
            self.note(FindingKind::NotCarried, frame.start()..frame.end(), note);
        }
        if key.is_still
            && let Some(clip) = &mut lane.clip
        {
            clip.units.extend(frame.units.iter().cloned());
        }
        self.lanes.insert(key, lane);
        if !key.is_still {
            self.release(channel, walk)?;
        }
        Ok(())
    }

    /// Every clip in hand keeps files open. A stream that names more channels than any recorder has ends the one that was longest without
    /// a frame.
    fn make_room(&mut self) -> Result<()> {
        if self.lanes.len() < LANES_MAX {
            return Ok(());
        }
        let end = |lane: &Lane| lane.clip.as_ref().map_or(0, |clip| clip.range.end);
        let idle = self.lanes.iter().min_by_key(|(_, lane)| end(lane)).map(|(key, _)| *key);
        if let Some(mut lane) = idle.and_then(|key| self.lanes.remove(&key)) {
            self.close_clip(&mut lane, None)?;
        }
        Ok(())
    }

    fn clip_id(&self, frame: &Frame) -> String {
        format!("{}+{:x}", self.recording.id, frame.start())
    }

    /// On recorders of network cameras the frames can carry the camera's clock and the index the recorder's: both are kept, the difference is
    /// said.
    fn compare_clocks(&mut self, frame: &Frame) {
        let Some((index, own)) = self.recording.start.zip(frame.time.second) else { return };
        let is_first = !std::mem::replace(&mut self.compared, true);
        let apart = own.millis().saturating_sub(index.millis());
        if is_first && apart.unsigned_abs() > CLOCK_APART_MS && self.known.is_empty() {
            let text = format!(
                "the first frame is dated {own}, the index says {index}: the frames' own clock is used"
            );
            self.note(FindingKind::Interpretation, frame.start()..frame.end(), text);
        }
    }

    fn note_step(&mut self, frame: &Frame, milliseconds: i64) {
        let (direction, amount) = if milliseconds < 0 {
            ("back", milliseconds.saturating_neg())
        } else {
            ("forward", milliseconds)
        };
        self.note(
            FindingKind::ClockStep,
            frame.start()..frame.end(),
            format!("the recorder's clock was moved {direction} by about {amount} ms against the footage"),
        );
    }

    fn end_lane(&mut self, channel: u32) -> Result<()> {
        for is_still in [false, true] {
            let key = LaneKey { channel, is_still };
            if let Some(mut lane) = self.lanes.remove(&key) {
                self.close_clip(&mut lane, None)?;
            }
        }
        Ok(())
    }

    fn sound(&mut self, frame: &Frame, walk: &Walk<'_>) -> Result<()> {
        let channel = frame.stream_channel.unwrap_or(0);
        let format = frame.audio;
        let sound = WaitingSound {
            at: frame.start(),
            end: frame.end(),
            payload: frame.payload.clone(),
            codec: frame.codec,
            sample_rate: format.and_then(|format| format.sample_rate),
            channels: format.map_or(1, |format| format.channels),
            counter: frame.time.counter.map(|counter| counter.value),
            modulus: frame.time.counter.map_or(0, |counter| counter.modulus),
            record: self.record(frame),
            time: frame.time.second,
        };
        let follows = self.follows_picture(channel, sound.time);
        self.waiting.entry(channel).or_default().push(sound);
        // Sound of another time than the last picture's waits for the next picture: a new clip may begin with it.
        if follows {
            self.release(channel, walk)?;
        }
        // Sound that finds no picture is written in pieces, so that it never fills the memory.
        if self.waiting.get(&channel).is_some_and(|waiting| waiting.len() >= WAITING_MAX) {
            self.write_sound_alone(channel)?;
        }
        Ok(())
    }

    fn follows_picture(&self, channel: u32, time: Option<CivilTime>) -> bool {
        let key = LaneKey { channel, is_still: false };
        let picture = self.lanes.get(&key).and_then(|lane| lane.last_second);
        picture.zip(time).is_none_or(|(picture, sound)| {
            sound.millis().abs_diff(picture.millis()) <= SOUND_FOLLOWS_MS
        })
    }

    /// Gives waiting sound to the clip in hand.
    fn release(&mut self, channel: u32, walk: &Walk<'_>) -> Result<()> {
        let key = LaneKey { channel, is_still: false };
        let Some(mut lane) = self.lanes.remove(&key) else { return Ok(()) };
        if lane.clip.is_some() {
            let waiting = self.waiting.remove(&channel).unwrap_or_default();
            let mut alone = Vec::new();
            for sound in waiting {
                if !self.give_sound(&mut lane, &sound, walk)? {
                    alone.push(sound);
                }
            }
            if !alone.is_empty() {
                self.waiting.insert(channel, alone);
                self.write_sound_alone(channel)?;
            }
        }
        self.lanes.insert(key, lane);
        Ok(())
    }

    /// Puts one sound frame into a clip; false when its time lies too far before the clip.
    fn give_sound(
        &mut self,
        lane: &mut Lane,
        sound: &WaitingSound,
        walk: &Walk<'_>,
    ) -> Result<bool> {
        let ticks = i64::from(lane.ticks_per_second());
        let apart = lane.last_counter.zip(sound.counter).and_then(|(picture, sound_at)| {
            let modulus = i64::try_from(sound.modulus).ok().filter(|modulus| *modulus > 0)?;
            let ran = i64::try_from(sound_at)
                .ok()?
                .checked_sub(i64::try_from(picture).ok()?)?
                .rem_euclid(modulus);
            Some(if ran > modulus / 2 { ran.saturating_sub(modulus) } else { ran })
        });
        let limit = |ms: i64| ms.saturating_mul(ticks) / 1000;
        let by_date = sound
            .time
            .zip(lane.last_second)
            .map(|(sound, picture)| sound.millis().saturating_sub(picture.millis()));
        let is_near = by_date.is_none_or(|ms| ms.saturating_abs() <= SOUND_APART_MS);
        let apart = apart
            .filter(|apart| is_near && apart.saturating_abs() <= limit(SOUND_APART_MS))
            .unwrap_or_else(|| limit(by_date.unwrap_or(0)));
        let Some(clip) = lane.clip.as_mut() else { return Ok(false) };
        let picture = clip.last_stamp.map_or(0, |stamp| stamp.ticks);
        let first = clip.first_tick;
        let tick = picture.saturating_add(apart);
        if tick < first.saturating_sub(limit(SOUND_BEFORE_MS)) {
            return Ok(false);
        }
        clip.range.end = clip.range.end.max(sound.end);
        let mut not_carried = None;
        let fits = matches!(sound.codec, Codec::G711A | Codec::G711U | Codec::AacAdts);
        if fits && let Target::Playable(writer) = &mut clip.target {
            let track = AudioTrack {
                codec: sound.codec,
                sample_rate: sound.sample_rate.unwrap_or(8000),
                channels: sound.channels,
            };
            let written = match walk.bytes(&sound.payload) {
                Ok(bytes) => writer
                    .audio_track(track)
                    .and_then(|()| writer.audio(&bytes, tick))
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match written {
                Ok(_) => {
                    clip.muxed_audio.get_or_insert((sound.codec, sound.sample_rate, tick));
                    return Ok(true);
                }
                Err(error) => not_carried = Some(error),
            }
        }
        clip.side_audio.push(SideAudio {
            payload: sound.payload.clone(),
            codec: sound.codec,
            sample_rate: sound.sample_rate,
            channels: sound.channels,
            tick,
        });
        if let Some(error) = not_carried {
            self.note(
                FindingKind::NotCarried,
                sound.at..sound.end,
                format!("sound is not in the .mp4: {error}"),
            );
        }
        Ok(true)
    }

    fn write_sound_alone(&mut self, channel: u32) -> Result<()> {
        let waiting = self.waiting.remove(&channel).unwrap_or_default();
        let Some(first) = waiting.first() else { return Ok(()) };
        let conflict = self.channel_conflict(channel, first.at..first.end);
        let alone = Alone {
            id: format!("{}+{:x}.sound", self.recording.id, first.at),
            codec: first.codec,
            units: waiting.iter().map(|sound| sound.at..sound.end).collect(),
            frames: waiting.into_iter().map(|sound| (sound.record, sound.time)).collect(),
        };
        let attribution = Attribution::of(self.recording, self.stream, conflict.as_ref());
        let (json, files, findings) = alone.write(&self.folder, self.stream, attribution)?;
        self.done.files.extend(files);
        self.done.other.push(json);
        findings.into_iter().for_each(|finding| self.findings.add(finding));
        Ok(())
    }

    fn close_clip(&mut self, lane: &mut Lane, cut: Option<&Cut>) -> Result<()> {
        self.jumps = self.jumps.saturating_add(std::mem::take(&mut lane.jumps));
        let ticks_per_second = lane.ticks_per_second();
        let Some(clip) = lane.take().filter(|clip| clip.count > 0) else {
            return Ok(());
        };
        let foreign = self.foreign_units(&clip);
        let conflict =
            self.channel_of(&clip).and_then(|own| self.channel_conflict(own, clip.range.clone()));
        self.done.frames = self.done.frames.saturating_add(clip.count as u64);
        let closing = Closing {
            folder: &self.folder,
            stream: self.stream,
            clip,
            after: cut.and_then(|cut| cut.after),
            ticks_per_second,
            native: self.options.native,
            foreign: &foreign,
            attribution: Attribution::of(self.recording, self.stream, conflict.as_ref()),
        };
        let closed = closing.finish().context("writing a clip")?;
        self.done.files.extend(closed.files);
        self.done.clips.extend(closed.clip);
        self.done.other.extend(closed.other);
        closed.findings.into_iter().for_each(|finding| self.findings.add(finding));
        Ok(())
    }

    /// Units of other stream channels inside a clip's range: not part of its native stream.
    fn foreign_units(&self, clip: &Clip) -> Vec<Range<u64>> {
        let own = self.channel_of(clip);
        let mut foreign: Vec<_> = self
            .units
            .iter()
            .filter(|(channel, _)| Some(**channel) != own)
            .flat_map(|(_, ranges)| ranges.iter())
            .filter(|range| range.start < clip.range.end && range.end > clip.range.start)
            .cloned()
            .collect();
        foreign.sort_by_key(|range| range.start);
        foreign
    }

    /// The stream channel of a clip: that of the unit it begins with.
    fn channel_of(&self, clip: &Clip) -> Option<u32> {
        let holds = |range: &Range<u64>| range.contains(&clip.range.start);
        self.units.iter().find(|(_, ranges)| ranges.iter().any(holds)).map(|(channel, _)| *channel)
    }

    /// A recording is one camera's. Where its stream names several, only the first keeps the recording's channel.
    fn channel_conflict(&self, own: u32, range: Range<u64>) -> Option<Reason> {
        let first = self.first_channel.filter(|first| *first != own)?;
        Some(Reason {
            supports: false,
            text: format!(
                "the stream names channel {own} here and {first} at the start of the recording: not the same camera, so no \
                 channel is given"
            ),
            at: self.stream.map.map(range).first().copied(),
        })
    }

    fn abandon(&mut self) {
        // Dropping a clip ends its writing thread; then its part can go.
        self.lanes.clear();
        self.folder.remove(&self.done.files);
    }

    fn finish(mut self, walk: &Walk<'_>) -> Result<RecordingDone> {
        self.note_passed();
        // What sounds behind the last picture belongs to its clip.
        let channels: Vec<u32> = self.waiting.keys().copied().collect();
        for channel in channels {
            self.release(channel, walk)?;
        }
        let lanes = std::mem::take(&mut self.lanes);
        for (_, mut lane) in lanes {
            self.close_clip(&mut lane, None)?;
        }
        let channels: Vec<u32> = self.waiting.keys().copied().collect();
        for channel in channels {
            self.write_sound_alone(channel)?;
        }
        if self.jumps > 0 {
            let text = format!(
                "frame numbers jump {} times without a key frame: frames are missing there",
                self.jumps
            );
            self.note(FindingKind::DamagedFrame, 0..1, text);
        }
        if let (matching, differing @ 1..) = self.checks {
            let text = format!(
                "the stream's own payload check matches in {matching} frames and differs in {differing}; its algorithm is known from \
                 one source, so this proves no damage by itself"
            );
            self.note(FindingKind::Interpretation, 0..1, text);
        }
        self.done.set_findings(&self.findings);
        Ok(self.done)
    }
}

/// Joins extents that follow each other on the medium.
fn join(extents: SmallVec<[Extent; 4]>) -> daleel_core::Extents {
    let mut map = ExtentMap::default();
    extents.into_iter().for_each(|extent| map.push(extent));
    map.extents().collect()
}
