//! `daleel extract`.

use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
};

use anyhow::Result;
use daleel_core::{Extent, Findings, Input, Recorder, Recording};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::export::hashed::hex;
use crate::{
    args::{FilterArgs, OutputArgs, ProgressArgs, SourceArgs},
    exit::{Exit, Failure, classify},
    export::{
        ClockStep, Counts, Cutting, Journal, Options, RecordingDone, export, finish_folder, plan,
    },
    interrupt,
    output::{FindingJson, VerdictJson, counts, facts, findings, out, print_json, report_findings},
    progress::Progress,
    session::{self, Session, SourceWatch},
};

/// Write the listed recordings as playable clips with the place of every frame
///
/// Makes OUT with an .mp4 for every clip (coded pictures unchanged, times of every frame kept), a frames file beside it that gives time, uncertainty and
/// place on the medium of every frame, clips.jsonl, other.jsonl (what cannot be played, and why), summary.json and SHA256SUMS.
/// A clip ends where no frame follows for longer than --gap, at the key frame after the recorder's clock was moved, and where codec, picture
/// size or parameter sets change. The source is only read. OUT must not exist, and not lie on the source.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel extract disk.dd --out footage\n  daleel extract disk.dd --out ch3 --channel 3 --from 2024-12-07T20:00 --to 2024-12-08T04:00 --native\n  daleel extract disk.dd --out footage --resume\n\nCheck what was written:\n  cd footage && sha256sum -c SHA256SUMS"
)]
pub struct Extract {
    #[command(flatten)]
    source: SourceArgs,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// Write the bit-exact original stream beside each clip
    #[arg(long)]
    native: bool,
    /// A distance between frames of more than this many milliseconds ends a clip
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    gap: u32,
    /// Where a clip ends when the recorder's clock is moved: at the next key frame, at the exact frame (pictures up to the next key frame
    /// cannot be decoded then), or not at all
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = ClockStep::Key)]
    clock_step: ClockStep,
    /// Go on with an interrupted run
    #[arg(long)]
    resume: bool,
    /// Say what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// What the filters ask for.
#[derive(Default)]
struct Asked {
    recordings: u64,
    bytes: u64,
    noticed: Findings,
}

/// A finished extraction.
pub struct Finished {
    counts: Counts,
    finding_counts: std::collections::BTreeMap<String, u64>,
    /// `summary.json`.
    pub summary: serde_json::Value,
}

impl Finished {
    fn exit(&self) -> Exit {
        if self.finding_counts.is_empty() && self.counts.other == 0 {
            Exit::Success
        } else {
            Exit::Findings
        }
    }
}

impl Extract {
    /// An extraction with default options, for `demo`.
    pub fn of(source: PathBuf, out: PathBuf) -> Self {
        Self {
            source: SourceArgs { source, map: None, no_map: false, family: None },
            out,
            filter: FilterArgs::default(),
            native: false,
            gap: 3000,
            clock_step: ClockStep::Key,
            resume: false,
            dry_run: false,
            output: OutputArgs::default(),
            progress: ProgressArgs::default(),
        }
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// When source or output cannot be opened or used, or the run is interrupted.
    pub fn run(self) -> Result<Exit> {
        if self.dry_run {
            return self.say_plan();
        }
        let finished = self.work()?;
        self.report(&finished)?;
        Ok(finished.exit())
    }

    /// Extracts, and says nothing on stdout.
    ///
    /// # Errors
    /// As [`Extract::run`].
    pub fn work(&self) -> Result<Finished> {
        interrupt::watch();
        self.filter.check()?;
        let (session, recorder) = session::open(&self.source)?;
        self.refuse_source(&session)?;
        let Asked { bytes: total, noticed, .. } = self.asked(&session, &*recorder);
        for note in &session.opened.notes {
            writeln!(stderr(), "note: {note}")?;
        }
        let mut journal =
            Journal::open(&self.out, &self.recipe(&session, &*recorder), self.resume)?;
        let watch = SourceWatch::new(&session.opened);
        let mut progress = Progress::new(self.progress.progress, "extract", total);
        let mut before = 0u64;
        let mut found = noticed.counts().values().sum::<u64>();
        for recording in
            recorder.recordings().flatten().filter(|recording| self.filter.extracts(recording))
        {
            if !journal.is_done(&recording.id) {
                let done = self.one(&*recorder, &recording, |at| {
                    progress.at(before.saturating_add(at.min(recording.bytes)), found);
                });
                match done {
                    Ok(done) => {
                        watch.check().map_err(|failure| self.stopped(failure.into()))?;
                        found = found.saturating_add(done.finding_counts.values().sum());
                        journal.add(&done)?;
                    }
                    Err(error) => return Err(self.stopped(error)),
                }
            }
            before = before.saturating_add(recording.bytes);
            progress.at(before, found);
        }
        drop(progress);
        self.finish(journal, &session, &*recorder, &noticed)
    }

    /// What the filters ask for, by the index.
    fn asked(&self, session: &Session, recorder: &dyn Recorder) -> Asked {
        let mut asked = Asked::default();
        asked.noticed.extend(&session.findings);
        asked.noticed.extend(recorder.findings());
        for item in recorder.recordings() {
            match item {
                Ok(recording) if self.filter.extracts(&recording) => {
                    asked.recordings = asked.recordings.saturating_add(1);
                    asked.bytes = asked.bytes.saturating_add(recording.bytes);
                }
                Ok(_) => {}
                Err(error) => asked.noticed.add(error.into()),
            }
        }
        asked
    }

    fn say_plan(&self) -> Result<Exit> {
        self.filter.check()?;
        let (session, recorder) = session::open(&self.source)?;
        self.refuse_source(&session)?;
        Journal::check(&self.out, self.resume)?;
        let Asked { recordings, bytes, noticed } = self.asked(&session, &*recorder);
        if self.output.json {
            print_json(&json!({
                "schema": "daleel.extract-plan/1", "recordings": recordings, "bytes": bytes,
                "out": self.out.display().to_string(), "parameters": self.parameters(),
            }))?;
        } else {
            let mut out = out();
            writeln!(
                out,
                "{recordings} recordings, {bytes} bytes of stream, into {}",
                self.out.display()
            )?;
            out.flush()?;
        }
        report_findings(&noticed)?;
        Ok(if noticed.is_empty() { Exit::Success } else { Exit::Findings })
    }

    /// One recording: planned first where the wanted times may cut it.
    fn one(
        &self,
        recorder: &dyn Recorder,
        recording: &Recording,
        mut position: impl FnMut(u64),
    ) -> Result<RecordingDone> {
        let stream = match recorder.stream(recording) {
            Ok(stream) => stream,
            Err(error) => {
                let mut noticed = Findings::default();
                noticed.add(error.into());
                let mut done = RecordingDone::new(recording);
                done.set_findings(&noticed);
                return Ok(done);
            }
        };
        let options =
            Options { out: self.out.clone(), cutting: self.cutting(), native: self.native };
        // With a plan the stream is read twice: each pass is half of the way.
        let halves = self.filter.has_times();
        let times = (self.filter.from, self.filter.to);
        let wanted = halves.then(|| {
            plan(recorder, recording, &stream, self.cutting(), times, |at| position(at / 2))
        });
        // A plan that was interrupted is not whole.
        if interrupt::arrived() {
            return Err(Failure::new(Exit::Interrupted, "interrupted").into());
        }
        if wanted.as_ref().is_some_and(|wanted| wanted.is_empty()) {
            return Ok(RecordingDone::new(recording));
        }
        let half = recording.bytes / 2;
        export(recorder, recording, &stream, &options, wanted.as_ref(), |at| {
            position(if halves { half.saturating_add(at / 2) } else { at });
        })
    }

    const fn cutting(&self) -> Cutting {
        Cutting { gap_ms: self.gap, clock_step: self.clock_step }
    }

    fn refuse_source(&self, session: &Session) -> Result<()> {
        if session.opened.is_on_source(&self.out)? {
            let text =
                format!("{} lies on the source: nothing is written there", self.out.display());
            return Err(Failure::new(Exit::Input, text)
                .hint("give a folder on another disk")
                .into());
        }
        Ok(())
    }

    /// What must be the same for a run to be taken up again.
    fn recipe(&self, session: &Session, recorder: &dyn Recorder) -> String {
        json!({
            "source": absolute_path(&self.source.source), "size": session.opened.size,
            "layout": recorder.verdict().layout, "content": fingerprint(session, recorder),
            "description": session.opened.description,
            "parameters": self.parameters(),
            "version": env!("CARGO_PKG_VERSION"),
        })
        .to_string()
    }

    fn parameters(&self) -> serde_json::Value {
        json!({
            "channel": self.filter.channel,
            "from": self.filter.from.map(|time| time.to_string()),
            "to": self.filter.to.map(|time| time.to_string()),
            "gap_ms": self.gap,
            "clock_step": match self.clock_step {
                ClockStep::Key => "key",
                ClockStep::Exact => "exact",
                ClockStep::Through => "through",
            },
            "native": self.native,
            "family": self.source.family,
            "map": self.source.map.as_ref().map(|map| map.display().to_string()),
        })
    }

    fn stopped(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Failure>() {
            Ok(failure) if matches!(failure.exit, Exit::Interrupted | Exit::SourceLost) => failure
                .hint(format!(
                    "what is done is kept; go on with the same command and --resume ({})",
                    self.out.display()
                ))
                .into(),
            Ok(failure) => failure.into(),
            Err(error) => {
                let (exit, _) = classify(&error);
                let text = format!("{error:#}");
                Failure::new(exit, text)
                    .hint("what is done is kept; when the cause is mended, go on with the same command and --resume")
                    .into()
            }
        }
    }

    fn finish(
        &self,
        journal: Journal,
        session: &Session,
        recorder: &dyn Recorder,
        noticed: &Findings,
    ) -> Result<Finished> {
        let mut own = findings(noticed);
        let mut all = counts(noticed);
        let mut summary = json!(null);
        let done = finish_folder(journal, |counts, theirs, their_counts| {
            own.extend(theirs);
            for (kind, count) in their_counts {
                let entry = all.entry(kind).or_insert(0u64);
                *entry = entry.saturating_add(count);
            }
            summary = self.summary(session, recorder, counts, &own, &all);
            summary.clone()
        })?;
        Ok(Finished { counts: done, finding_counts: all, summary })
    }

    fn report(&self, finished: &Finished) -> Result<()> {
        if self.output.json {
            return print_json(&finished.summary);
        }
        let done = &finished.counts;
        let mut out = out();
        writeln!(
            out,
            "{} clips with {} frames from {} recordings in {}",
            done.clips,
            done.frames,
            done.recordings,
            self.out.display()
        )?;
        if done.other > 0 {
            writeln!(
                out,
                "{} entries ({} frames) cannot be played: other.jsonl says why",
                done.other, done.other_frames
            )?;
        }
        out.flush()?;
        for (kind, count) in &finished.finding_counts {
            writeln!(stderr(), "findings ({kind}): {count}; see summary.json")?;
        }
        Ok(())
    }

    fn summary(
        &self,
        session: &Session,
        recorder: &dyn Recorder,
        counts: &impl serde::Serialize,
        findings: &[FindingJson],
        finding_counts: &std::collections::BTreeMap<String, u64>,
    ) -> serde_json::Value {
        json!({
            "schema": "daleel.extract/1",
            "tool": { "name": "daleel", "version": env!("CARGO_PKG_VERSION") },
            "source": {
                "path": self.source.source.display().to_string(),
                "description": session.opened.description,
                "size": session.opened.size,
                "notes": session.opened.notes,
                "missing_pieces": session.opened.missing,
            },
            "identity": VerdictJson::from(recorder.verdict()),
            "facts": facts(recorder),
            "time_basis": "recorder",
            "parameters": self.parameters(),
            "counts": counts,
            "finding_counts": finding_counts,
            "findings": findings,
        })
    }
}

/// A digest that tells one source from another of the same size: its first bytes, what its index lists, and the first bytes of some
/// recordings.
fn fingerprint(session: &Session, recorder: &dyn Recorder) -> String {
    const SAMPLE_BYTES: u64 = 4096;
    const SAMPLES: usize = 64;
    let mut digest = Sha256::new();
    if let Input::Volume(volume) = &session.opened.input {
        let start = volume.source.read(Extent::new(0, SAMPLE_BYTES.min(volume.source.len())));
        digest.update(start.unwrap_or_default());
    }
    for (n, recording) in recorder.recordings().flatten().enumerate() {
        digest.update(&recording.id);
        for value in &recording.stored {
            digest.update(value.hex());
        }
        digest.update(recording.bytes.to_le_bytes());
        if let Ok(stream) = recorder
            .stream(&recording)
            .map_err(drop)
            .and_then(|s| if n < SAMPLES { Ok(s) } else { Err(()) })
        {
            for extent in stream.map.map(0..SAMPLE_BYTES.saturating_mul(16)) {
                digest.update(stream.source.read(extent).unwrap_or_default());
            }
        }
    }
    hex(&digest.finalize())
}

fn absolute_path(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
