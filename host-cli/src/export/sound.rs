//! Sound that no .mp4 holds: without a picture, or coded in a way MP4 does not carry here.

use std::{fs, ops::Range};

use anyhow::Result;
use daleel_core::{CivilTime, Codec, Finding, FindingKind, Stream};
use daleel_media::wav::{WavFormat, WavWriter};
use daleel_timeline::{Resolved, TimeSource};

use super::{
    close::Attribution,
    folder::{Folder, absolute, file},
    frames::frame_json,
    hashed::Digested,
    lane::{FrameRecord, SideAudio, later},
    records::{AudioJson, FileJson, OtherJson},
};

/// Sound is split into files where nothing was recorded for longer than this.
const SOUND_GAP_MS: i64 = 1000;

/// Sound without pictures.
pub struct Alone {
    /// Stable name.
    pub id: String,
    /// Its units in the stream.
    pub units: Vec<Range<u64>>,
    /// Its frames with the whole second of their stamp.
    pub frames: Vec<(FrameRecord, Option<CivilTime>)>,
    /// Codec.
    pub codec: Codec,
}

impl Alone {
    /// Writes the units and their frames file.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write(
        self,
        folder: &Folder<'_>,
        stream: &Stream,
        attribution: Attribution,
    ) -> Result<(OtherJson, Vec<FileJson>, Vec<Finding>)> {
        let times: Vec<Resolved> =
            self.frames.iter().map(|(_, second)| whole_second(*second)).collect();
        let start = times.first().and_then(|time| time.time);
        let end = times.last().and_then(|time| time.time);
        let stem = folder.stem(&self.id, attribution.channel, start);
        let native = folder.native(&stem);
        let (digest, mut findings) = folder.copy(stream, &native, &self.units)?;
        let frames_file = format!("{stem}.frames.jsonl");
        let lines = self.frames.iter().zip(&times).enumerate();
        let lines = lines.map(|(n, ((record, _), time))| frame_json(n as u64, record, time));
        let mut files = vec![folder.frames_file(&frames_file, lines)?];
        files.push(file(&native, digest.clone()));
        let reason = "sound without pictures".to_owned();
        findings.push(Finding {
            kind: FindingKind::NotCarried,
            text: format!("{}: {} sound frames without pictures", self.id, self.frames.len()),
            at: self.units.first().and_then(|unit| stream.map.map(unit.clone()).first().copied()),
        });
        let recording = folder.recording;
        let json = OtherJson {
            id: self.id,
            file: native,
            kind: "audio".to_owned(),
            reason,
            channel: attribution.channel,
            stream: recording.stream,
            start: start.map(|time| time.to_string()),
            end: end.map(|time| time.to_string()),
            time_basis: "recorder".to_owned(),
            frames: self.frames.len() as u64,
            codec: self.codec.as_str().to_owned(),
            grade: attribution.grade.as_str().to_owned(),
            reasons: attribution.reasons,
            recording: Some(recording.id.clone()),
            sha256: digest.sha256,
            frames_file,
            source_file: recording.file.clone(),
        };
        Ok((json, files, findings))
    }
}

/// A time known to the whole second only: its middle, half a second either way.
fn whole_second(second: Option<CivilTime>) -> Resolved {
    match second {
        Some(second) => Resolved {
            time: Some(second.plus_millis(500)),
            uncertainty_ms: 500,
            source: TimeSource::OwnStamp,
        },
        None => Resolved { time: None, uncertainty_ms: 0, source: TimeSource::None },
    }
}

/// Sound beside a clip.
pub struct Beside<'a> {
    /// The clip's files.
    pub folder: &'a Folder<'a>,
    /// The stream.
    pub stream: &'a Stream,
    /// Relative path of the clip's files without extension.
    pub stem: &'a str,
    /// Time of the clip's first frame.
    pub start: Option<CivilTime>,
    /// Tick of the clip's first frame.
    pub first_tick: i64,
    /// Ticks in a second.
    pub ticks_per_second: u32,
}

/// What was written beside a clip.
#[derive(Default)]
pub struct BesideWritten {
    /// For the clip's record.
    pub audio: Vec<AudioJson>,
    /// The files.
    pub files: Vec<FileJson>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

impl Beside<'_> {
    /// Writes PCM as WAVE and everything else as its bytes, in runs without a gap.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write(&self, sounds: &[SideAudio]) -> Result<BesideWritten> {
        let mut written = BesideWritten::default();
        let gap = SOUND_GAP_MS.saturating_mul(i64::from(self.ticks_per_second)) / 1000;
        let runs = sounds.chunk_by(|a, b| {
            (a.codec, a.sample_rate, a.channels) == (b.codec, b.sample_rate, b.channels)
                && b.tick.saturating_sub(a.tick).saturating_abs() <= gap
        });
        for (n, run) in runs.enumerate() {
            if let Some(first) = run.first() {
                self.run(n, first, run, &mut written)?;
            }
        }
        Ok(written)
    }

    fn run(
        &self,
        n: usize,
        first: &SideAudio,
        run: &[SideAudio],
        written: &mut BesideWritten,
    ) -> Result<()> {
        let payloads: Vec<Range<u64>> =
            run.iter().flat_map(|sound| sound.payload.iter().cloned()).collect();
        let name = |ending: &str| match n {
            0 => format!("{}.{ending}", self.stem),
            _ => format!("{}.{n}.{ending}", self.stem),
        };
        let bits = match first.codec {
            Codec::Pcm16 => Some(16),
            Codec::Pcm8 => Some(8),
            _ => None,
        };
        let wav = match bits {
            Some(bits) => self.wav(&name("wav"), &payloads, first, bits)?,
            None => None,
        };
        let (relative, digest) = match wav {
            Some(digest) => (name("wav"), digest),
            None => {
                let relative = name("audio.bin");
                let (digest, findings) = self.folder.copy(self.stream, &relative, &payloads)?;
                written.findings.extend(findings);
                written.findings.push(Finding {
                    kind: FindingKind::NotCarried,
                    text: format!(
                        "sound coded as {} is not carried in MP4 here; its bytes are in {relative}",
                        first.codec.as_str()
                    ),
                    at: payloads
                        .first()
                        .and_then(|range| self.stream.map.map(range.clone()).first().copied()),
                });
                (relative, digest)
            }
        };
        let from =
            later(self.start, first.tick.saturating_sub(self.first_tick), self.ticks_per_second);
        written.audio.push(AudioJson {
            file: relative.clone(),
            codec: first.codec.as_str().to_owned(),
            sample_rate: first.sample_rate,
            start: from.map(|time| time.to_string()),
            sha256: Some(digest.sha256.clone()),
        });
        written.files.push(file(&relative, digest));
        Ok(())
    }

    /// A WAVE file; `None` when its samples cannot all be read, or not be said in WAVE: a WAVE file with bytes missing would shift all behind.
    fn wav(
        &self,
        relative: &str,
        payloads: &[Range<u64>],
        sound: &SideAudio,
        bits: u16,
    ) -> Result<Option<Digested>> {
        let format = WavFormat {
            bits,
            channels: u16::from(sound.channels),
            sample_rate: sound.sample_rate.unwrap_or(8000),
        };
        let bytes = payloads.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let Ok(mut wav) = WavWriter::new(self.folder.create(relative)?, format, bytes) else {
            return self.without_wav(relative);
        };
        for piece in payloads.iter().flat_map(|range| self.stream.map.map(range.clone())) {
            match self.stream.source.read(piece) {
                Ok(bytes) => wav.write(&bytes)?,
                Err(_) => {
                    drop(wav);
                    return self.without_wav(relative);
                }
            }
        }
        Ok(Some(wav.finish()?.finish()?))
    }

    fn without_wav(&self, relative: &str) -> Result<Option<Digested>> {
        fs::remove_file(absolute(self.folder.out, relative))?;
        Ok(None)
    }
}
