//! The files of one clip: .mp4, frames file, native stream, sound beside it; and its record.

use std::{
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use daleel_core::{CivilTime, Codec, Finding, FindingKind, Grade, Reason, Recording, Stream};
use daleel_media::{
    MuxError,
    wav::{WavFormat, WavWriter},
};
use daleel_timeline::Resolved;
use sha2::{Digest, Sha256};

use super::{
    hashed::{Digested, HashedFile, hex},
    lane::{Clip, FrameRecord, SideAudio, Target, later},
    recording::absolute,
    records::{AudioJson, ClipJson, FileJson, FrameJson, OtherJson},
};
use crate::output::{ReasonJson, StoredJson, extent};

/// Sound is split into files where nothing was recorded for longer than this.
const SOUND_GAP_MS: i64 = 1000;
/// Bytes copied at a time.
const COPY_BYTES: u64 = 4 << 20;

/// Where a recording's files go and what they are called.
pub struct Folder<'a> {
    out: &'a Path,
    recording: &'a Recording,
}

/// A written line of `other.jsonl` with its files.
pub struct OtherWritten {
    /// The line.
    pub json: OtherJson,
    /// Its files.
    pub files: Vec<FileJson>,
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

impl<'a> Folder<'a> {
    /// The files of a recording below `out`.
    pub const fn new(out: &'a Path, recording: &'a Recording) -> Self {
        Self { out, recording }
    }

    /// The unfinished .mp4 of a clip; renamed when it is whole.
    pub fn part(&self, id: &str) -> PathBuf {
        self.out.join(super::journal::WORK).join(format!("{}.part", file_safe(id)))
    }

    /// Relative path without extension of a clip's files.
    fn stem(&self, id: &str, start: Option<CivilTime>) -> String {
        let channel =
            self.recording.channel.map_or("chxx".to_owned(), |channel| format!("ch{channel:02}"));
        let time = start.map_or("undated".to_owned(), |start| {
            start.to_string().replace([':', '-'], "").replace('T', "_")
        });
        format!("clips/{channel}_{time}_{}", file_safe(id))
    }

    /// Begins a file.
    fn create(&self, relative: &str) -> Result<HashedFile> {
        let path = absolute(self.out, relative);
        HashedFile::create(&path).with_context(|| path.display().to_string())
    }

    /// Removes files of an abandoned recording.
    pub fn remove(&self, files: &[FileJson]) {
        for file in files {
            // What cannot be removed is refused by the next run.
            let _ = fs::remove_file(absolute(self.out, &file.path));
        }
        let Ok(entries) = fs::read_dir(self.out.join(super::journal::WORK)) else { return };
        for entry in
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "part"))
        {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Writes the units of sound that has no picture.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn sound(
        &self,
        stream: &Stream,
        id: &str,
        units: Vec<Range<u64>>,
        records: Vec<(FrameRecord, Option<CivilTime>)>,
        (start, end): (Option<CivilTime>, Option<CivilTime>),
        codec: Codec,
    ) -> Result<OtherWritten> {
        let stem = self.stem(id, start);
        let mut files = Vec::new();
        let native = format!("{stem}.dav");
        let (digest, _) = self.copy(stream, &native, &units)?;
        let sha256 = digest.sha256.clone();
        files.push(file(&native, digest));
        let frames = records.iter().enumerate().map(|(n, (record, time))| {
            let whole = time.map(|time| Resolved {
                time: Some(time.plus_millis(500)),
                uncertainty_ms: 500,
                source: daleel_timeline::TimeSource::OwnStampAndCounter,
            });
            frame_json(n, record, whole.as_ref())
        });
        let frames_file = format!("{stem}.frames.jsonl");
        files.push(self.frames_file(&frames_file, frames)?);
        let json = OtherJson {
            id: id.to_owned(),
            file: native,
            kind: "audio".to_owned(),
            reason: "sound without pictures".to_owned(),
            channel: self.recording.channel,
            stream: self.recording.stream,
            start: start.map(|time| time.to_string()),
            end: end.map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: records.len() as u64,
            codec: codec.as_str().to_owned(),
            grade: self.recording.grade.as_str().to_owned(),
            reasons: self.recording.reasons.iter().map(ReasonJson::from).collect(),
            recording: Some(self.recording.id.clone()),
            sha256,
            frames_file,
            source_file: self.recording.file.clone(),
        };
        Ok(OtherWritten { json, files })
    }

    /// Copies logical ranges of a stream, in order. Gives what could not be read.
    fn copy(
        &self,
        stream: &Stream,
        relative: &str,
        ranges: &[Range<u64>],
    ) -> Result<(Digested, Vec<Finding>)> {
        let mut out = self.create(relative)?;
        let mut findings = Vec::new();
        for range in ranges {
            for whole in stream.map.map(range.clone()) {
                let mut done = 0;
                while let Some(piece) = whole
                    .slice(done, whole.len().saturating_sub(done).min(COPY_BYTES))
                    .filter(|piece| !piece.is_empty())
                {
                    match stream.source.read(piece) {
                        Ok(bytes) => out.write_all(&bytes)?,
                        Err(error) => findings.push(Finding::at(
                            FindingKind::Hole,
                            piece,
                            format!("{relative}: {} bytes are left out: {error}", piece.len()),
                        )),
                    }
                    done = done.saturating_add(piece.len());
                }
            }
        }
        Ok((out.finish()?, findings))
    }

    fn frames_file(
        &self,
        relative: &str,
        frames: impl Iterator<Item = FrameJson>,
    ) -> Result<FileJson> {
        let mut out = self.create(relative)?;
        for frame in frames {
            serde_json::to_writer(&mut out, &frame)?;
            out.write_all(b"\n")?;
        }
        Ok(file(relative, out.finish()?))
    }

    /// Writes sound that the .mp4 does not hold: PCM as WAVE, everything else as its bytes.
    fn side_audio(
        &self,
        stream: &Stream,
        stem: &str,
        sounds: &[SideAudio],
        start: Option<CivilTime>,
        first_tick: i64,
        ticks_per_second: u32,
    ) -> Result<(Vec<AudioJson>, Vec<FileJson>)> {
        let mut written = (Vec::new(), Vec::new());
        let gap = SOUND_GAP_MS.saturating_mul(i64::from(ticks_per_second)) / 1000;
        let runs = sounds.chunk_by(|a, b| {
            (a.codec, a.sample_rate, a.channels) == (b.codec, b.sample_rate, b.channels)
                && b.tick.saturating_sub(a.tick).saturating_abs() <= gap
        });
        for (n, run) in runs.enumerate() {
            let Some(first) = run.first() else { continue };
            let payloads: Vec<Range<u64>> =
                run.iter().flat_map(|sound| sound.payload.iter().cloned()).collect();
            let bits = match first.codec {
                Codec::Pcm16 => Some(16),
                Codec::Pcm8 => Some(8),
                _ => None,
            };
            let name = |ending: &str| {
                if n == 0 { format!("{stem}.{ending}") } else { format!("{stem}.{n}.{ending}") }
            };
            let (relative, digest) = match bits {
                Some(bits) => {
                    let relative = name("wav");
                    let digest = self.wav(stream, &relative, &payloads, first, bits)?;
                    (relative, digest)
                }
                None => {
                    let relative = name("audio.bin");
                    let (digest, _) = self.copy(stream, &relative, &payloads)?;
                    (relative, digest)
                }
            };
            let from = later(start, first.tick.saturating_sub(first_tick), ticks_per_second);
            written.0.push(AudioJson {
                file: relative.clone(),
                codec: first.codec.as_str().to_owned(),
                sample_rate: first.sample_rate,
                start: from.map(|time| time.to_string()),
                sha256: Some(digest.sha256.clone()),
            });
            written.1.push(file(&relative, digest));
        }
        Ok(written)
    }

    fn wav(
        &self,
        stream: &Stream,
        relative: &str,
        payloads: &[Range<u64>],
        sound: &SideAudio,
        bits: u16,
    ) -> Result<Digested> {
        let format = WavFormat {
            bits,
            channels: u16::from(sound.channels),
            sample_rate: sound.sample_rate.unwrap_or(8000),
        };
        let bytes = payloads.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let mut wav = WavWriter::new(self.create(relative)?, format, bytes)?;
        for range in payloads {
            for piece in stream.map.map(range.clone()) {
                wav.write(&stream.source.read(piece)?)?;
            }
        }
        Ok(wav.finish()?.finish()?)
    }
}

fn file(relative: &str, digest: Digested) -> FileJson {
    FileJson { path: relative.to_owned(), sha256: digest.sha256, bytes: digest.bytes }
}

/// An id as a part of a file name: odd characters replaced, and made unique again where that happened.
fn file_safe(id: &str) -> String {
    const LENGTH_MAX: usize = 100;
    let safe: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '_' })
        .take(LENGTH_MAX)
        .collect();
    if safe == id {
        return safe;
    }
    let digest = hex(&Sha256::digest(id.as_bytes()));
    format!("{safe}-{}", digest.get(..12).unwrap_or(&digest))
}

fn frame_json(n: usize, record: &FrameRecord, time: Option<&Resolved>) -> FrameJson {
    let dated = time.and_then(|time| time.time);
    FrameJson {
        n: n as u64,
        time: dated.map(|time| time.to_string()),
        stored: record
            .stored
            .iter()
            .map(|(value, offset)| StoredJson::new(value, *offset))
            .collect(),
        time_source: time.map_or("none", |time| time.source.as_str()).to_owned(),
        uncertainty_ms: time.filter(|time| time.time.is_some()).map(|time| time.uncertainty_ms),
        key: record.key,
        extents: record.extents.iter().map(|at| extent(*at)).collect(),
        state: record.state.to_owned(),
        reason: record.reason.as_ref().map(ToString::to_string),
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

/// Finishes a clip: its files and its record.
///
/// # Errors
/// When the output cannot be written.
#[allow(clippy::too_many_arguments)]
pub fn close(
    folder: &Folder<'_>,
    stream: &Stream,
    clip: &mut Clip,
    times: &[Resolved],
    ticks_per_second: u32,
    native: bool,
    foreign: &[Range<u64>],
    conflict: Option<Reason>,
) -> Result<Closed> {
    let recording = folder.recording;
    let id = format!("{}+{:x}", recording.id, clip.range.start);
    let start = times.first().and_then(|time| time.time);
    let end = times.last().and_then(|time| time.time);
    let stem = folder.stem(&id, start);
    let mut closed = Closed::default();
    let target = std::mem::replace(&mut clip.target, Target::Other("closed", String::new()));
    let part = folder.part(&id);
    let (mp4, why) = match target {
        Target::Other(kind, reason) => (None, Some((kind, reason))),
        Target::Playable(writer) => {
            let usual = u32::try_from(clip.usual_ticks).unwrap_or(0).max(1);
            match writer.finish_into(&clip.sets, usual) {
                Ok((_, file)) => (Some(file.finish()?), None),
                Err(MuxError::Incomplete(_)) => {
                    let reason = "no parameter sets: nothing in the stream describes the pictures"
                        .to_owned();
                    (None, Some(("no-parameter-sets", reason)))
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let mut reasons: Vec<ReasonJson> = recording.reasons.iter().map(ReasonJson::from).collect();
    reasons.extend(conflict.iter().chain(&clip.begins).map(ReasonJson::from));
    let grade = if conflict.is_some() { Grade::IndexConflict } else { recording.grade };
    let channel = if conflict.is_some() { None } else { recording.channel };
    let frames_file = format!("{stem}.frames.jsonl");
    let lines = clip
        .frames
        .iter()
        .zip(times)
        .enumerate()
        .map(|(n, (record, time))| frame_json(n, record, Some(time)));
    closed.files.push(folder.frames_file(&frames_file, lines)?);
    let native = match native || why.is_some() {
        true => {
            let relative = format!("{stem}.dav");
            let ranges = if clip.units.is_empty() {
                without(clip.range.clone(), foreign)
            } else {
                clip.units.clone()
            };
            let (digest, findings) = folder.copy(stream, &relative, &ranges)?;
            closed.findings.extend(findings);
            closed.files.push(file(&relative, digest.clone()));
            Some((relative, digest.sha256))
        }
        false => None,
    };
    match (mp4, why, native) {
        (Some(digest), _, native) => {
            let relative = format!("{stem}.mp4");
            let path = absolute(folder.out, &relative);
            if path.exists() {
                anyhow::bail!("{} exists already", path.display());
            }
            fs::rename(&part, &path).with_context(|| path.display().to_string())?;
            let first_tick = clip.stamps.first().map_or(0, |stamp| stamp.ticks);
            let mut audio = Vec::new();
            if let Some((codec, sample_rate, tick)) = clip.muxed_audio {
                audio.push(AudioJson {
                    file: relative.clone(),
                    codec: codec.as_str().to_owned(),
                    sample_rate,
                    start: later(start, tick.saturating_sub(first_tick), ticks_per_second)
                        .map(|time| time.to_string()),
                    sha256: None,
                });
            }
            let (beside, files) = folder.side_audio(
                stream,
                &stem,
                &clip.side_audio,
                start,
                first_tick,
                ticks_per_second,
            )?;
            for sound in beside.iter().filter(|sound| !sound.file.ends_with(".wav")) {
                closed.findings.push(Finding {
                    kind: FindingKind::NotCarried,
                    text: format!(
                        "{id}: sound coded as {} is not in the .mp4; its bytes are in {}",
                        sound.codec, sound.file
                    ),
                    at: None,
                });
            }
            audio.extend(beside);
            closed.files.extend(files);
            let (width, height) = clip
                .sets
                .picture_size()
                .map_or((0, 0), |size| (size.coded_width, size.coded_height));
            let (native, native_sha256) =
                native.map_or((None, None), |(path, sha256)| (Some(path), Some(sha256)));
            let sha256 = digest.sha256.clone();
            closed.files.push(file(&relative, digest));
            closed.clip = Some(ClipJson {
                id,
                file: relative,
                channel,
                stream: recording.stream,
                start: start.map(|time| time.to_string()),
                end: end.map(|time| time.to_string()),
                time_basis: "recorder".to_owned(),
                frames: clip.frames.len() as u64,
                codec: clip.codec.as_str().to_owned(),
                width,
                height,
                grade: grade.as_str().to_owned(),
                reasons,
                recording: Some(recording.id.clone()),
                sha256,
                frames_file,
                native,
                native_sha256,
                source_file: recording.file.clone(),
                audio,
            });
        }
        (None, Some((kind, reason)), Some((native, sha256))) => {
            if part.exists() {
                fs::remove_file(&part).with_context(|| part.display().to_string())?;
            }
            closed.findings.push(Finding {
                kind: FindingKind::NotCarried,
                text: format!("{id}: {} frames are not playable: {reason}", clip.frames.len()),
                at: stream.map.map(clip.range.clone()).first().copied(),
            });
            closed.other = Some(OtherJson {
                id,
                file: native,
                kind: kind.to_owned(),
                reason,
                channel,
                stream: recording.stream,
                start: start.map(|time| time.to_string()),
                end: end.map(|time| time.to_string()),
                time_basis: "recorder".to_owned(),
                frames: clip.frames.len() as u64,
                codec: clip.codec.as_str().to_owned(),
                grade: grade.as_str().to_owned(),
                reasons,
                recording: Some(recording.id.clone()),
                sha256,
                frames_file,
                source_file: recording.file.clone(),
            });
        }
        _ => {}
    }
    Ok(closed)
}
