//! The end of a clip: its files and its record.

use std::{fs, ops::Range};

use anyhow::{Context, Result};
use daleel_core::{CivilTime, Codec, Finding, FindingKind, Grade, Reason, Recording, Stream};
use daleel_media::{MuxError, ParameterSets};
use daleel_timeline::Stamp;

use super::{
    folder::{Folder, file},
    hashed::Digested,
    lane::{Clip, SideAudio, Target, later},
    records::{AudioJson, ClipJson, FileJson, OtherJson},
    sound::Beside,
};
use crate::output::ReasonJson;

/// Whose footage something is, and how well that is known.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Channel, from 1.
    pub channel: Option<u32>,
    /// Grade.
    pub grade: Grade,
    /// Why.
    pub reasons: Vec<ReasonJson>,
}

impl Attribution {
    /// That of a recording and its stream. `conflict` says that the stream contradicts it here: then no channel is given.
    pub fn of(recording: &Recording, stream: &Stream, conflict: Option<&Reason>) -> Self {
        let conflict = conflict.or(stream.conflict.as_ref());
        let all = recording.reasons.iter().chain(&stream.reasons).chain(conflict);
        let reasons = all.map(ReasonJson::from).collect();
        match conflict {
            Some(_) => Self { channel: None, grade: Grade::IndexConflict, reasons },
            None => Self { channel: recording.channel, grade: recording.grade, reasons },
        }
    }
}

/// A clip that has ended.
pub struct Closing<'a> {
    /// Its files.
    pub folder: &'a Folder<'a>,
    /// The stream it is from.
    pub stream: &'a Stream,
    /// The clip.
    pub clip: Clip,
    /// The stamp behind the end, when the counter ran on while the clock was moved.
    pub after: Option<Stamp>,
    /// Ticks in a second of its clock.
    pub ticks_per_second: u32,
    /// Whether the native stream is wanted.
    pub native: bool,
    /// Units of other cameras inside its range, ascending.
    pub foreign: &'a [Range<u64>],
    /// Whose it is.
    pub attribution: Attribution,
}

/// What closing a clip gave.
#[derive(Default)]
pub struct Closed {
    /// A line of `clips.jsonl`.
    pub clip: Option<ClipJson>,
    /// A line of `other.jsonl`.
    pub other: Option<OtherJson>,
    /// Files written.
    pub files: Vec<FileJson>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// What a finished clip is: a whole .mp4, or nothing that plays, with the kind of `other.jsonl` and the reason.
enum Outcome {
    Playable(Digested),
    Other(&'static str, String),
}

impl Closing<'_> {
    /// Finishes the clip's files and makes its record.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(self) -> Result<Closed> {
        let recording = self.folder.recording;
        let id = format!("{}+{:x}", recording.id, self.clip.range.start);
        let Clip { target, codec, sets, frames, .. } = self.clip;
        let outcome = outcome(target, &sets, self.clip.usual_ticks)?;
        let frames = frames.finish(self.after)?;
        let stem = self.folder.stem(&id, self.attribution.channel, frames.start);
        let frames_file = format!("{stem}.frames.jsonl");
        self.folder.place(&id, "frames", &frames_file)?;
        let mut attribution = self.attribution;
        attribution.reasons.extend(self.clip.begins.as_ref().map(ReasonJson::from));
        let native = Native {
            folder: self.folder,
            stream: self.stream,
            range: self.clip.range.clone(),
            units: &self.clip.units,
            foreign: self.foreign,
        };
        let mut closed = Closed::default();
        closed.files.push(file(&frames_file, frames.digest));
        let ended = Ended {
            folder: self.folder,
            stream: self.stream,
            id,
            stem,
            frames_file,
            codec,
            count: self.clip.count as u64,
            start: frames.start,
            end: frames.end,
            attribution,
        };
        match outcome {
            Outcome::Playable(digest) => {
                let native =
                    if self.native { Some(native.write(&ended.stem, &mut closed)?) } else { None };
                let sound = ClipSound {
                    muxed: self.clip.muxed_audio,
                    beside: &self.clip.side_audio,
                    first_tick: self.clip.first_tick,
                    ticks_per_second: self.ticks_per_second,
                };
                ended.playable(digest, &sets, native, &sound, &mut closed)?;
            }
            Outcome::Other(kind, reason) => {
                let native = native.write(&ended.stem, &mut closed)?;
                ended.other(kind, reason, native, &mut closed)?;
            }
        }
        Ok(closed)
    }
}

/// Ends the .mp4, if there is one and the stream describes its pictures.
fn outcome(target: Target, sets: &ParameterSets, usual_ticks: i64) -> Result<Outcome> {
    match target {
        Target::Other(kind, reason) => Ok(Outcome::Other(kind, reason)),
        Target::Playable(writer) => {
            let usual = u32::try_from(usual_ticks).unwrap_or(0).max(1);
            match writer.finish_into(sets, usual) {
                Ok((_, file)) => Ok(Outcome::Playable(file.finish()?)),
                Err(MuxError::Incomplete(_)) => {
                    let reason = "no parameter sets: nothing in the stream describes the pictures";
                    Ok(Outcome::Other("no-parameter-sets", reason.to_owned()))
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// What a clip's native file is made of.
struct Native<'a> {
    folder: &'a Folder<'a>,
    stream: &'a Stream,
    range: Range<u64>,
    units: &'a [Range<u64>],
    foreign: &'a [Range<u64>],
}

impl Native<'_> {
    /// Writes the stream's own bytes from the first frame to the last: `(path, digest)`.
    fn write(&self, stem: &str, closed: &mut Closed) -> Result<(String, String)> {
        let relative = self.folder.native(stem);
        let ranges = match self.units {
            [] => without(self.range.clone(), self.foreign),
            units => units.to_vec(),
        };
        let (digest, findings) = self.folder.copy(self.stream, &relative, &ranges)?;
        closed.findings.extend(findings);
        closed.files.push(file(&relative, digest.clone()));
        Ok((relative, digest.sha256))
    }
}

/// The sound of a clip.
struct ClipSound<'a> {
    muxed: Option<(Codec, Option<u32>, i64)>,
    beside: &'a [SideAudio],
    first_tick: i64,
    ticks_per_second: u32,
}

/// A clip whose frames file is whole, and its record is still to be made.
struct Ended<'a> {
    folder: &'a Folder<'a>,
    stream: &'a Stream,
    id: String,
    stem: String,
    frames_file: String,
    codec: Codec,
    count: u64,
    start: Option<CivilTime>,
    end: Option<CivilTime>,
    attribution: Attribution,
}

impl Ended<'_> {
    fn playable(
        self,
        digest: Digested,
        sets: &ParameterSets,
        native: Option<(String, String)>,
        sound: &ClipSound<'_>,
        closed: &mut Closed,
    ) -> Result<()> {
        let relative = format!("{}.mp4", self.stem);
        self.folder.place(&self.id, "mp4", &relative)?;
        let mut audio = Vec::new();
        if let Some((codec, sample_rate, tick)) = sound.muxed {
            let from =
                later(self.start, tick.saturating_sub(sound.first_tick), sound.ticks_per_second);
            audio.push(AudioJson {
                file: relative.clone(),
                codec: codec.as_str().to_owned(),
                sample_rate,
                start: from.map(|time| time.to_string()),
                sha256: None,
            });
        }
        let beside = Beside {
            folder: self.folder,
            stream: self.stream,
            stem: &self.stem,
            start: self.start,
            first_tick: sound.first_tick,
            ticks_per_second: sound.ticks_per_second,
        };
        let beside = beside.write(sound.beside)?;
        audio.extend(beside.audio);
        closed.files.extend(beside.files);
        closed.findings.extend(beside.findings);
        let size = sets.picture_size();
        let (native, native_sha256) = native.unzip();
        let recording = self.folder.recording;
        closed.clip = Some(ClipJson {
            id: self.id,
            file: relative.clone(),
            channel: self.attribution.channel,
            stream: recording.stream,
            start: self.start.map(|time| time.to_string()),
            end: self.end.map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: self.count,
            codec: self.codec.as_str().to_owned(),
            width: size.map_or(0, |size| size.coded_width),
            height: size.map_or(0, |size| size.coded_height),
            grade: self.attribution.grade.as_str().to_owned(),
            reasons: self.attribution.reasons,
            recording: Some(recording.id.clone()),
            sha256: digest.sha256.clone(),
            frames_file: self.frames_file,
            native,
            native_sha256,
            source_file: recording.file.clone(),
            audio,
        });
        closed.files.push(file(&relative, digest));
        Ok(())
    }

    fn other(
        self,
        kind: &'static str,
        reason: String,
        (native, sha256): (String, String),
        closed: &mut Closed,
    ) -> Result<()> {
        let part = self.folder.part(&self.id, "mp4");
        if part.exists() {
            fs::remove_file(&part).with_context(|| part.display().to_string())?;
        }
        closed.findings.push(Finding {
            kind: FindingKind::NotCarried,
            text: format!("{}: {} frames are not playable: {reason}", self.id, self.count),
            at: None,
        });
        let recording = self.folder.recording;
        closed.other = Some(OtherJson {
            id: self.id,
            file: native,
            kind: kind.to_owned(),
            reason,
            channel: self.attribution.channel,
            stream: recording.stream,
            start: self.start.map(|time| time.to_string()),
            end: self.end.map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: self.count,
            codec: self.codec.as_str().to_owned(),
            grade: self.attribution.grade.as_str().to_owned(),
            reasons: self.attribution.reasons,
            recording: Some(recording.id.clone()),
            sha256,
            frames_file: self.frames_file,
            source_file: recording.file.clone(),
        });
        Ok(())
    }
}

/// `range` without the parts in `foreign`, which is ascending.
fn without(range: Range<u64>, foreign: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    let mut from = range.start;
    for other in foreign {
        let start = other.start.min(range.end);
        if start > from {
            out.push(from..start);
        }
        from = from.max(other.end);
    }
    if from < range.end {
        out.push(from..range.end);
    }
    out
}
