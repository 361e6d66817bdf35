//! The end of a clip: its files and its record.

use std::{fs, ops::Range};

use anyhow::{Context, Result, bail};
use daleel_core::{CivilTime, Finding, FindingKind, Grade, Reason, Recording, Stream};
use daleel_media::MuxError;
use daleel_timeline::Resolved;

use super::{
    folder::{Folder, absolute, file, frame_json},
    hashed::Digested,
    lane::{Clip, Target, later},
    records::{AudioJson, ClipJson, FileJson, OtherJson},
    sound::Beside,
};
use crate::output::ReasonJson;

/// Whose footage something is, and how well that is known.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Camera, from 1.
    pub channel: Option<u32>,
    /// Grade.
    pub grade: Grade,
    /// Why.
    pub reasons: Vec<ReasonJson>,
}

impl Attribution {
    /// That of a recording. `conflict` says that the stream contradicts it here: then no channel is given.
    pub fn of(recording: &Recording, conflict: Option<&Reason>) -> Self {
        let reasons = recording.reasons.iter().chain(conflict).map(ReasonJson::from).collect();
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
    /// Times of its frames.
    pub times: &'a [Resolved],
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
    pub fn finish(mut self) -> Result<Closed> {
        let recording = self.folder.recording;
        let id = format!("{}+{:x}", recording.id, self.clip.range.start);
        let start = self.times.first().and_then(|time| time.time);
        let stem = self.folder.stem(&id, self.attribution.channel, start);
        self.attribution.reasons.extend(self.clip.begins.as_ref().map(ReasonJson::from));
        let mut closed = Closed::default();
        let outcome = self.outcome()?;
        let frames_file = format!("{stem}.frames.jsonl");
        let lines = self.clip.frames.iter().zip(self.times).enumerate();
        let lines = lines.map(|(n, (record, time))| frame_json(n, record, time));
        closed.files.push(self.folder.frames_file(&frames_file, lines)?);
        match outcome {
            Outcome::Playable(digest) => {
                self.place(&id, &stem)?;
                let native =
                    if self.native { Some(self.native_file(&stem, &mut closed)?) } else { None };
                self.playable(id, &stem, frames_file, digest, native, &mut closed)?;
            }
            Outcome::Other(kind, reason) => {
                let native = self.native_file(&stem, &mut closed)?;
                self.other(id, kind, reason, frames_file, native, &mut closed)?;
            }
        }
        Ok(closed)
    }

    fn end(&self) -> Option<CivilTime> {
        self.times.last().and_then(|time| time.time)
    }

    /// Ends the .mp4, if there is one and the stream describes its pictures.
    fn outcome(&mut self) -> Result<Outcome> {
        let closed = Target::Other("closed", String::new());
        match std::mem::replace(&mut self.clip.target, closed) {
            Target::Other(kind, reason) => Ok(Outcome::Other(kind, reason)),
            Target::Playable(writer) => {
                let usual = u32::try_from(self.clip.usual_ticks).unwrap_or(0).max(1);
                match writer.finish_into(&self.clip.sets, usual) {
                    Ok((_, file)) => Ok(Outcome::Playable(file.finish()?)),
                    Err(MuxError::Incomplete(_)) => {
                        let reason =
                            "no parameter sets: nothing in the stream describes the pictures";
                        Ok(Outcome::Other("no-parameter-sets", reason.to_owned()))
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Gives the whole .mp4 its name.
    fn place(&self, id: &str, stem: &str) -> Result<()> {
        let path = absolute(self.folder.out, &format!("{stem}.mp4"));
        if path.exists() {
            bail!("{} exists already", path.display());
        }
        fs::rename(self.folder.part(id), &path).with_context(|| path.display().to_string())
    }

    /// Writes the stream's own bytes from the first frame to the last: `(path, digest)`.
    fn native_file(&self, stem: &str, closed: &mut Closed) -> Result<(String, String)> {
        let relative = format!("{stem}.dav");
        let ranges = match self.clip.units.as_slice() {
            [] => without(self.clip.range.clone(), self.foreign),
            units => units.to_vec(),
        };
        let (digest, findings) = self.folder.copy(self.stream, &relative, &ranges)?;
        closed.findings.extend(findings);
        closed.files.push(file(&relative, digest.clone()));
        Ok((relative, digest.sha256))
    }

    fn playable(
        self,
        id: String,
        stem: &str,
        frames_file: String,
        digest: Digested,
        native: Option<(String, String)>,
        closed: &mut Closed,
    ) -> Result<()> {
        let relative = format!("{stem}.mp4");
        let start = self.times.first().and_then(|time| time.time);
        let first_tick = self.clip.stamps.first().map_or(0, |stamp| stamp.ticks);
        let mut audio = Vec::new();
        if let Some((codec, sample_rate, tick)) = self.clip.muxed_audio {
            let from = later(start, tick.saturating_sub(first_tick), self.ticks_per_second);
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
            stem,
            start,
            first_tick,
            ticks_per_second: self.ticks_per_second,
        };
        let beside = beside.write(&self.clip.side_audio)?;
        audio.extend(beside.audio);
        closed.files.extend(beside.files);
        closed.findings.extend(beside.findings);
        let size = self.clip.sets.picture_size();
        let (native, native_sha256) = native.unzip();
        let recording = self.folder.recording;
        closed.clip = Some(ClipJson {
            id,
            file: relative.clone(),
            channel: self.attribution.channel,
            stream: recording.stream,
            start: start.map(|time| time.to_string()),
            end: self.end().map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: self.clip.frames.len() as u64,
            codec: self.clip.codec.as_str().to_owned(),
            width: size.map_or(0, |size| size.coded_width),
            height: size.map_or(0, |size| size.coded_height),
            grade: self.attribution.grade.as_str().to_owned(),
            reasons: self.attribution.reasons,
            recording: Some(recording.id.clone()),
            sha256: digest.sha256.clone(),
            frames_file,
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
        id: String,
        kind: &'static str,
        reason: String,
        frames_file: String,
        (native, sha256): (String, String),
        closed: &mut Closed,
    ) -> Result<()> {
        let part = self.folder.part(&id);
        if part.exists() {
            fs::remove_file(&part).with_context(|| part.display().to_string())?;
        }
        closed.findings.push(Finding {
            kind: FindingKind::NotCarried,
            text: format!("{id}: {} frames are not playable: {reason}", self.clip.frames.len()),
            at: self.stream.map.map(self.clip.range.clone()).first().copied(),
        });
        let recording = self.folder.recording;
        closed.other = Some(OtherJson {
            id,
            file: native,
            kind: kind.to_owned(),
            reason,
            channel: self.attribution.channel,
            stream: recording.stream,
            start: self.times.first().and_then(|time| time.time).map(|time| time.to_string()),
            end: self.end().map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: self.clip.frames.len() as u64,
            codec: self.clip.codec.as_str().to_owned(),
            grade: self.attribution.grade.as_str().to_owned(),
            reasons: self.attribution.reasons,
            recording: Some(recording.id.clone()),
            sha256,
            frames_file,
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
