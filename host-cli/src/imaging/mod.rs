//! Imaging as the program does it: one job for each source, progress, and what is said at the end.

pub mod bridge;
pub mod guide;
pub mod plan;
pub mod touched;
pub mod verify;

use std::{
    collections::BTreeSet,
    io::{Write, stderr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use daleel_acquire::{
    job::{self, Helpers, JobError, Outcome, Step, Watch, settings::Request},
    record::{ImageJson, Scope, WriteBlocker},
};
use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    interrupt,
    output::{out, printable},
    progress::{Mode, Progress},
};

/// How often the jobs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What became of one source.
pub struct Done {
    /// What was asked for.
    pub source: PathBuf,
    /// Its folder.
    pub out: PathBuf,
    /// How it ended.
    pub result: Result<Outcome, JobError>,
}

/// A folder for each source: the one that was given for one, folders in it for several.
///
/// # Errors
/// When two sources would get the same.
pub fn folders(sources: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>> {
    if let [_] = sources {
        return Ok(vec![out.to_owned()]);
    }
    let mut taken = BTreeSet::new();
    let mut folders = Vec::new();
    for source in sources {
        let name =
            source.file_name().with_context(|| format!("{} has no name", source.display()))?;
        let folder = out.join(name);
        if !taken.insert(folder.clone()) {
            let text = format!("two sources would be imaged into {}", folder.display());
            return Err(Failure::new(Exit::Usage, text).into());
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Refuses a folder that lies on the source (U-6).
///
/// # Errors
/// When it does, or the source cannot be looked at.
pub fn refuse_on_source(source: &Path, folder: &Path) -> Result<()> {
    let image =
        daleel_image::RawSource::open(source).with_context(|| source.display().to_string())?;
    let existing = folder.ancestors().find(|path| !path.as_os_str().is_empty() && path.exists());
    let place = existing.unwrap_or(Path::new("."));
    let carries = match image.identity() {
        Some(identity) => identity.carries(place).with_context(|| place.display().to_string())?,
        None => false,
    };
    if carries {
        let text = format!("{} lies on the source {}", folder.display(), source.display());
        return Err(Failure::new(Exit::Input, text).into());
    }
    Ok(())
}

/// Runs all jobs at once and shows how far they are. An interrupt pauses all of them.
///
/// # Errors
/// When a wish cannot be read, the bridge that is asked for cannot be had, or a thread cannot be started.
pub fn run_all(
    requests: &[Request],
    wanted: Option<&bridge::Wanted>,
    mode: Mode,
) -> Result<Vec<Done>> {
    let watches: Vec<Watch> = requests.iter().map(|_| Watch::default()).collect();
    let mut guides = Vec::new();
    let mut bridges = Vec::new();
    for request in requests {
        guides.push(guide_of(request)?);
        bridges.push(bridge::Bridge::of(request, wanted)?);
    }
    thread::scope(|scope| {
        let mut running = Vec::new();
        let all = requests.iter().zip(&watches).zip(&guides).zip(&mut bridges);
        for (((request, watch), guide), bridge) in all {
            let helpers = Helpers { guide: Some(guide), ..Helpers::default() };
            running.push(scope.spawn(move || run_one(request, helpers, bridge.as_mut(), watch)));
        }
        let mut shown: Vec<Shown> = requests.iter().map(|_| Shown::new(mode)).collect();
        while running.iter().any(|job| !job.is_finished()) {
            if interrupt::arrived() {
                watches.iter().for_each(Watch::stop);
            }
            for (shown, watch) in shown.iter_mut().zip(&watches) {
                shown.look(watch);
            }
            thread::sleep(LOOK_EVERY);
        }
        drop(shown);
        let ended = running.into_iter().zip(requests).map(|(job, request)| Done {
            source: request.source.clone(),
            out: request.out.clone(),
            result: job.join().unwrap_or_else(|_| {
                Err(JobError::Internal("the imaging thread failed".to_owned()))
            }),
        });
        Ok(ended.collect())
    })
}

/// Runs a job, behind a bridge where there is one. A job that pauses leaves a statement there; a bridge that is gone at the end pauses it.
fn run_one<'a>(
    request: &'a Request,
    helpers: Helpers<'a>,
    bridge: Option<&mut bridge::Bridge>,
    watch: &'a Watch,
) -> Result<Outcome, JobError> {
    let Some(bridge) = bridge else { return job::run(request, helpers, watch) };
    let Helpers { guide, custody, .. } = helpers;
    let result = job::run(request, Helpers { guide, custody, blocker: Some(&mut *bridge) }, watch);
    bridge.leave();
    match result {
        Err(JobError::Blocker(why)) if bridge.is_lost() => {
            Ok(Outcome::Paused { position: watch.position(), why, lost: true })
        }
        result => result,
    }
}

/// A run that goes on has the wishes that the image was begun with.
fn guide_of(request: &Request) -> Result<guide::RecorderGuide, Failure> {
    let begun = if request.resume { job::begun_order(&request.out).ok() } else { None };
    let order = begun.as_ref().unwrap_or(&request.settings.order);
    let wishes = order.first.iter().chain(&order.only).map(|text| guide::Wish::parse(text));
    Ok(guide::RecorderGuide::new(wishes.collect::<Result<_, _>>()?))
}

/// Progress of one job, step by step.
struct Shown {
    mode: Mode,
    step: Step,
    progress: Option<Progress>,
}

impl Shown {
    const fn new(mode: Mode) -> Self {
        Self { mode, step: Step::Open, progress: None }
    }

    fn look(&mut self, watch: &Watch) {
        let step = watch.step();
        if step != self.step {
            self.step = step;
            self.progress = Some(Progress::new(self.mode, step.as_str(), watch.total()));
        }
        if let Some(progress) = &mut self.progress {
            progress.at(watch.position(), watch.errors());
        }
    }
}

/// How the program ends: the gravest of the jobs' ends.
pub fn exit_of(done: &[Done]) -> Exit {
    let order = [
        Exit::Internal,
        Exit::Verification,
        Exit::SourceLost,
        Exit::Input,
        Exit::Unsupported,
        Exit::Interrupted,
        Exit::Findings,
    ];
    let exits: Vec<Exit> = done.iter().map(|one| exit_of_one(&one.result)).collect();
    order.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Success)
}

fn exit_of_one(result: &Result<Outcome, JobError>) -> Exit {
    match result {
        Ok(Outcome::Finished(record)) => exit_of_record(record),
        Ok(Outcome::Paused { lost: true, .. }) | Err(JobError::OtherSource(_)) => Exit::SourceLost,
        Ok(Outcome::Paused { .. }) => Exit::Interrupted,
        Err(JobError::Blocker(_)) => Exit::Verification,
        Err(JobError::Guide(_)) => Exit::Unsupported,
        Err(JobError::Internal(_)) => Exit::Internal,
        Err(_) => Exit::Input,
    }
}

fn exit_of_record(record: &ImageJson) -> Exit {
    let is_equal = record.read_back.iter().all(|one| one.equal);
    let is_trusted = !record.limitations.iter().any(|text| text.starts_with("NOT TRUSTED"));
    let holes = &record.acquisition.holes;
    let is_covered = match &record.write_blocker {
        WriteBlocker::Bridge { covered_bytes, .. } => *covered_bytes >= record.medium.bytes,
        WriteBlocker::Given { .. } | WriteBlocker::NoneNamed => true,
    };
    match (is_equal && is_trusted, holes.unreadable_bytes, holes.not_acquired_bytes) {
        (false, ..) => Exit::Verification,
        (true, 0, 0) if is_covered => Exit::Success,
        (true, ..) => Exit::Findings,
    }
}

/// The answer for programs.
#[derive(Serialize)]
pub struct Answer<'a> {
    schema: &'static str,
    images: Vec<ImageAnswer<'a>>,
}

#[derive(Serialize)]
struct ImageAnswer<'a> {
    source: String,
    folder: String,
    /// `finished`, `paused` or `failed`.
    state: &'static str,
    /// `image.json`, of a finished one.
    record: Option<&'a ImageJson>,
    /// Bytes that are safe, of a paused one.
    position: Option<u64>,
    /// Why it is not finished.
    why: Option<String>,
}

impl<'a> Answer<'a> {
    /// Of these jobs.
    pub fn of(done: &'a [Done]) -> Self {
        Self { schema: "daleel.image-answer/1", images: done.iter().map(ImageAnswer::of).collect() }
    }
}

impl<'a> ImageAnswer<'a> {
    fn of(done: &'a Done) -> Self {
        let (state, record, position, why) = match &done.result {
            Ok(Outcome::Finished(record)) => ("finished", Some(&**record), None, None),
            Ok(Outcome::Paused { position, why, .. }) => {
                ("paused", None, Some(*position), Some(why.clone()))
            }
            Err(error) => ("failed", None, None, Some(error.to_string())),
        };
        let text = |path: &Path| path.display().to_string();
        Self { source: text(&done.source), folder: text(&done.out), state, record, position, why }
    }
}

/// The answer for people.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_text(done: &[Done]) -> Result<()> {
    for one in done {
        match &one.result {
            Ok(Outcome::Finished(record)) => print_record(&one.out, record)?,
            Ok(Outcome::Paused { position, why, .. }) => {
                let mut err = stderr();
                // A closed stderr leaves the exit code.
                let _ = writeln!(
                    err,
                    "{}: paused at byte {position}: {}",
                    one.source.display(),
                    printable(why)
                );
                let _ = writeln!(
                    err,
                    "hint:  daleel image {} --out {} --resume",
                    one.source.display(),
                    one.out.display()
                );
            }
            Err(error) => {
                let text = printable(&error.to_string());
                let _ = writeln!(stderr(), "error: {}: {text}", one.source.display());
            }
        }
    }
    Ok(())
}

fn print_record(folder: &Path, record: &ImageJson) -> Result<()> {
    let mut out = out();
    let medium = &record.medium;
    writeln!(
        out,
        "{}: {} bytes, {} sectors of {}",
        folder.display(),
        medium.bytes,
        medium.sectors,
        medium.sector_bytes
    )?;
    for digest in &record.digests {
        let scope = match digest.scope {
            Scope::Medium => "whole medium",
            Scope::Filled => "whole medium, zeros where it was unreadable",
            Scope::Partial => "partial image, no digest of the medium",
        };
        writeln!(out, "  {:<8} {}  ({scope})", digest.algorithm.as_str(), digest.value)?;
    }
    writeln!(
        out,
        "  blocks   {}  (groups.sha256 over {} blocks of {} bytes)",
        record.blocks.groups_sha256, record.blocks.count, record.blocks.block_bytes
    )?;
    for file in &record.files {
        writeln!(out, "  {}  {} bytes", printable(&file.name), file.bytes)?;
    }
    let read_back = match record.read_back.as_slice() {
        [] => "not done".to_owned(),
        all if all.iter().all(|one| one.equal) => "equal".to_owned(),
        all => all.iter().flat_map(|one| &one.differences).cloned().collect::<Vec<_>>().join("; "),
    };
    writeln!(out, "  read back: {}", printable(&read_back))?;
    if let WriteBlocker::Bridge { covered_bytes, notice, .. } = &record.write_blocker {
        writeln!(out, "  bridge: {covered_bytes} bytes have its digest. {notice}")?;
    }
    for limitation in &record.limitations {
        writeln!(out, "  note: {}", printable(limitation))?;
    }
    out.flush()?;
    Ok(())
}
