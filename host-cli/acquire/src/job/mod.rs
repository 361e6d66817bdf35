//! One image from beginning to end: open, read, write, check, record; and again from wherever it was left.
//!
//! A sound medium goes straight into the image (`straight`). One that fails, or that is to be read in another order, goes into a raw
//! file with a map first and is packed from there (`rescued`). In both cases `finish` ends the files, reads them back, and writes
//! `image.json`. What was done is in the journal at every moment, so that a killed run goes on.

mod device;
mod finish;
mod limits;
mod rescued;
pub mod settings;
mod sinks;
mod straight;
mod watch;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use daleel_core::{Extent, Source};
use serde_json::Value;

use crate::{
    devices::{
        medium::SourceMedium,
        source::{Identity, OpenError, Opened},
    },
    digest::blocks::BlockDigest,
    ewf::{
        header::SetFacts,
        plan::{Plan, PlanError},
    },
    journal::{Event, Journal, JournalError, Phase},
    log::Log,
    medium::{Medium as _, MediumError},
    record::{CustodyJson, Host, ImageJson, StatementJson, WriteBlocker, now},
    rescue::{LiveSource, Map},
};
use device::{Moment, SharedGuard};
use settings::{Container, Format, Request, START_SCHEMA, Start};
pub use sinks::STEM;
pub use watch::{Step, Watch};

/// Name of the raw file.
pub const RAW_FILE: &str = "image.raw";
/// Name of the map.
pub const MAP_FILE: &str = "image.map";

/// Knows recorder file systems, which this crate does not: says where on a disk that is not read yet the wanted things lie.
pub trait Guide: Send + Sync {
    /// What to read first, found by reading the recorder's index through `live`; what it touches is acquired by that. Lines for the log.
    ///
    /// # Errors
    /// When nothing can be found, in words.
    fn plan(&self, live: Arc<LiveSource>) -> Result<Guidance, String>;

    /// What the holes of an image are in the recorder's own terms: camera-minutes.
    fn camera_time(&self, image: Arc<dyn Source>) -> Option<Value>;
}

/// What a guide found.
#[derive(Clone, Debug, Default)]
pub struct Guidance {
    /// Where the wanted things lie, in the order wanted.
    pub extents: Vec<Extent>,
    /// What was found, for the log.
    pub notes: Vec<String>,
}

/// A write blocker that makes statements: ours.
pub trait Blocker: Send {
    /// Nonce and session before the first read, or after a break. The nonce of the first is the digest of the event that the
    /// acquisition begins with, where there is one.
    ///
    /// # Errors
    /// When the bridge does not answer as it has to, in words.
    fn begin(&mut self, folder: &Path, custody: Option<&CustodyJson>) -> Result<(), String>;

    /// The last statement, once the block list is whole: its nonce is the digest of `groups.sha256`. `map` says what the image has.
    ///
    /// # Errors
    /// When there is none, in words. The image is then not finished.
    fn end(&mut self, folder: &Path, groups: &BlockDigest, map: &Map) -> Result<Stated, String>;
}

/// What our bridge says of an acquisition, and what we say of it.
#[derive(Clone, Debug)]
pub struct Stated {
    /// The bridge and how much it covers.
    pub blocker: WriteBlocker,
    /// Its statements.
    pub statements: Vec<StatementJson>,
    /// What does not fit; the image is then not trusted.
    pub faults: Vec<String>,
}

/// What a job may be helped by.
#[derive(Default)]
pub struct Helpers<'a> {
    /// For an order that the recorder's file system gives.
    pub guide: Option<&'a dyn Guide>,
    /// Our own bridge.
    pub blocker: Option<&'a mut dyn Blocker>,
    /// The event that the acquisition begins with.
    pub custody: Option<CustodyJson>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// The image is there.
    Finished(Box<ImageJson>),
    /// It can be gone on with.
    Paused {
        /// Bytes that are safe.
        position: u64,
        /// Why.
        why: String,
        /// The source was lost, and did not come back in time.
        lost: bool,
    },
}

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The source cannot be opened or is refused.
    #[error("the source cannot be imaged: {0}")]
    Source(#[from] OpenError),
    /// Not the source that the unfinished image is of.
    #[error("this is not the source that the unfinished image is of: {0}")]
    OtherSource(String),
    /// The destination, or a file in it.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The destination is not to be used.
    #[error("{0}")]
    Destination(String),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The set cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something that is asked for cannot be had.
    #[error("{0}")]
    Guide(String),
    /// The bridge.
    #[error("the write blocker: {0}")]
    Blocker(String),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
}

/// An error about a path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> JobError + use<> {
    let path = path.to_owned();
    move |error| JobError::Io { path, error }
}

/// A job at work.
struct Job<'a> {
    request: &'a Request,
    start: Start,
    journal: Journal,
    log: Arc<Log>,
    medium: Arc<SourceMedium>,
    opened: Opened,
    guard: SharedGuard,
    watch: &'a Watch,
    helpers: Helpers<'a>,
    began: Instant,
}

/// Makes an image, or goes on with one.
///
/// # Errors
/// [`JobError`]. What can be gone on with is an [`Outcome`], not an error.
pub fn run<'a>(
    request: &'a Request,
    helpers: Helpers<'a>,
    watch: &'a Watch,
) -> Result<Outcome, JobError> {
    if request.resume
        && let Some(record) = finish::finished(request)?
    {
        return Ok(Outcome::Finished(record));
    }
    let (mut job, phase) = if request.resume {
        Job::take_up(request, helpers, watch)?
    } else {
        (Job::begin(request, helpers, watch)?, None)
    };
    let phase = phase.unwrap_or_else(|| job.first_phase());
    job.work(phase)
}

/// The way of reading that an unfinished image was begun with.
///
/// # Errors
/// When there is none, or its journal is damaged.
pub fn begun_order(folder: &Path) -> Result<settings::Order, JobError> {
    let (_, start, _) = Journal::open::<Start>(folder)?;
    Ok(start.settings.order)
}

/// The folders that get the image.
fn folders(request: &Request) -> impl Iterator<Item = &Path> {
    [Some(request.out.as_path()), request.also.as_deref()].into_iter().flatten()
}

impl<'a> Job<'a> {
    fn begin(
        request: &'a Request,
        helpers: Helpers<'a>,
        watch: &'a Watch,
    ) -> Result<Self, JobError> {
        for folder in folders(request) {
            check_empty(folder)?;
        }
        let opened = crate::devices::open(&request.source)?;
        let medium = Arc::clone(&opened.medium);
        let start = Start::new(request, &opened.identity, &medium)?;
        check_space(request, &start, &opened.identity)?;
        for folder in folders(request) {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let log = Arc::new(Log::open(&request.out, false).map_err(at(&request.out))?);
        let phase = Phase::Straight { checkpoint: None };
        let journal = Journal::create(&request.out, &start, &phase)?;
        let mut job = Self::of(request, (start, journal), log, opened, watch, helpers);
        job.ask_device()?;
        job.announce(false)?;
        job.begin_blocker()?;
        Ok(job)
    }

    fn take_up(
        request: &'a Request,
        helpers: Helpers<'a>,
        watch: &'a Watch,
    ) -> Result<(Self, Option<Phase>), JobError> {
        let (journal, start, phase) = Journal::open::<Start>(&request.out)?;
        if request.also != start.also {
            let text = match &start.also {
                Some(also) => format!("the image was begun with --also {}", also.display()),
                None => "the image was begun without --also".to_owned(),
            };
            return Err(JobError::Destination(text));
        }
        let log = Arc::new(Log::open(&request.out, true).map_err(at(&request.out))?);
        let opened = crate::devices::open(&request.source)?;
        let medium = Arc::clone(&opened.medium);
        start.check_same(&opened.identity)?;
        let mut samples = start.samples.clone();
        // The list of a pass over the raw file has zeros where the medium is unreadable.
        if matches!(phase, Phase::Straight { .. }) {
            samples.extend(straight::recent_samples(&request.out, start.media_bytes));
        }
        medium.reconnect(&samples).map_err(|error| JobError::OtherSource(error.to_string()))?;
        let mut job = Self::of(request, (start, journal), log, opened, watch, helpers);
        job.announce(true)?;
        job.begin_blocker()?;
        Ok((job, Some(phase)))
    }

    fn of(
        request: &'a Request,
        (start, journal): (Start, Journal),
        log: Arc<Log>,
        mut opened: Opened,
        watch: &'a Watch,
        helpers: Helpers<'a>,
    ) -> Self {
        let guard = SharedGuard::new(opened.guard.take());
        let medium = Arc::clone(&opened.medium);
        let began = Instant::now();
        Self { request, start, journal, log, medium, opened, guard, watch, helpers, began }
    }

    fn announce(&mut self, resumed: bool) -> Result<(), JobError> {
        let word = if resumed { "goes on" } else { "begins" };
        let tool = &self.request.tool;
        self.say(&format!(
            "{} {} {word}: {} ({} bytes, sectors of {})",
            tool.name,
            tool.version,
            self.request.source.display(),
            self.start.media_bytes,
            self.start.sector_bytes
        ));
        for state in &self.opened.identity.read_only {
            let text = match (&state.error, state.is_read_only) {
                (_, true) => format!("{} is read-only for this computer", state.name),
                (Some(error), _) => format!("{} could not be set read-only: {error}", state.name),
                (None, false) => format!("{} is not read-only for this computer", state.name),
            };
            self.say(&text);
        }
        for hazard in self.opened.hazards() {
            self.say(&format!("warning: {} ({})", hazard.text, hazard.hint));
        }
        let source = serde_json::to_value(&self.opened.identity.read_only).unwrap_or_default();
        self.note(Event::Begin { when: now(), resumed, host: Host::this(), source })
    }

    /// Asks the disk who it is before the first read, and keeps the answers as they came (A-8, CU-12).
    fn ask_device(&self) -> Result<(), JobError> {
        let Some(report) = self.opened.ask(self.start.settings.smart) else { return Ok(()) };
        for folder in folders(self.request) {
            device::keep(folder, Moment::Before, &report)?;
        }
        report.findings().iter().for_each(|finding| self.say(finding));
        Ok(())
    }

    fn begin_blocker(&mut self) -> Result<(), JobError> {
        match &mut self.helpers.blocker {
            Some(blocker) => blocker
                .begin(&self.request.out, self.helpers.custody.as_ref())
                .map_err(JobError::Blocker),
            None => Ok(()),
        }
    }

    /// Adds a line to the log. That the log cannot be written is no reason to lose an image: the journal has what counts.
    fn say(&self, text: &str) {
        let _ = self.log.line(text);
    }

    fn note(&mut self, event: Event) -> Result<(), JobError> {
        self.journal.add(&event).map_err(JobError::from)
    }

    fn first_phase(&self) -> Phase {
        if self.start.settings.order.is_out_of_order() {
            Phase::Rescue
        } else {
            Phase::Straight { checkpoint: None }
        }
    }

    /// Goes through the phases until the image is there or the run pauses.
    fn work(&mut self, mut phase: Phase) -> Result<Outcome, JobError> {
        loop {
            self.journal.set(&phase)?;
            let next = match phase {
                Phase::Straight { checkpoint } => self.straight(checkpoint)?,
                Phase::Unpack { until, checkpoint } => self.unpack(until, &checkpoint)?,
                Phase::Rescue => self.rescue()?,
                Phase::Pack { checkpoint } => self.pack(checkpoint)?,
            };
            match next {
                Next::Phase(next) => phase = next,
                Next::Pause { position, why, lost } => return self.pause(position, why, lost),
                Next::Finish(passed) => match self.finish(*passed)? {
                    Ended::Record(record) => return Ok(Outcome::Finished(record)),
                    Ended::Stopped(why) => return self.pause(self.start.media_bytes, why, false),
                },
            }
        }
    }

    fn pause(&mut self, position: u64, why: String, lost: bool) -> Result<Outcome, JobError> {
        self.say(&format!("pauses at byte {position}: {why}"));
        self.note(Event::Pause { when: now(), position, why: why.clone() })?;
        Ok(Outcome::Paused { position, why, lost })
    }

    /// Says that a phase begins, and why.
    fn enter(&mut self, step: Step, total: u64, why: &str) -> Result<(), JobError> {
        self.watch.enter(step, total);
        self.say(&format!("{}: {why}", step.as_str()));
        let name = step.as_str().to_owned();
        self.note(Event::Phase { when: now(), name, why: why.to_owned() })
    }
}

/// How the end of an image went.
enum Ended {
    Record(Box<ImageJson>),
    /// While the files were read back; the next run does the last group and the reading back again.
    Stopped(String),
}

/// What comes after a phase.
enum Next {
    Phase(Phase),
    Pause { position: u64, why: String, lost: bool },
    Finish(Box<straight::Passed>),
}

/// A folder that is not there or empty: nothing is overwritten (U-6).
fn check_empty(folder: &Path) -> Result<(), JobError> {
    if Journal::is_in(folder) {
        let text =
            format!("{} holds an unfinished image; --resume goes on with it", folder.display());
        return Err(JobError::Destination(text));
    }
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(JobError::Destination(format!(
                "{} is not empty; nothing is overwritten",
                folder.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(folder)(error)),
    }
}

/// Where an image is made by way of a raw file, there has to be room for both from the start; for one pass it may turn out to be enough.
fn check_space(request: &Request, start: &Start, identity: &Identity) -> Result<(), JobError> {
    let held = stored_bytes(identity).unwrap_or(start.media_bytes).min(start.media_bytes);
    let packed = start.plan.as_ref().map_or(held, |plan| {
        plan.worst_case_bytes().min(held.saturating_add(held / 16).saturating_add(64 << 20))
    });
    let has_both = start.settings.order.is_out_of_order() && start.settings.format != Format::Raw;
    let is_partial = !start.settings.order.only.is_empty();
    for (index, folder) in folders(request).enumerate() {
        let needed = if has_both && index == 0 { held.saturating_add(packed) } else { packed };
        let free = crate::space::free(folder).map_err(at(folder))?;
        if free < needed && has_both && !is_partial {
            return Err(JobError::Destination(format!(
                "{} has {free} bytes free; the raw file and the image packed from it may need {needed}",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Bytes that a file takes on its disk: what is not stored reads as zeros, and takes no room in an image either.
fn stored_bytes(identity: &Identity) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(&identity.path).ok().filter(fs::Metadata::is_file)?;
        Some(metadata.blocks().saturating_mul(512))
    }
    #[cfg(not(unix))]
    {
        let _ = identity;
        None
    }
}

impl Start {
    fn new(
        request: &Request,
        identity: &Identity,
        medium: &SourceMedium,
    ) -> Result<Self, JobError> {
        let lost = |error: MediumError| JobError::OtherSource(error.to_string());
        let settings = request.settings.clone();
        let (media_bytes, sector_bytes) = (medium.len(), medium.sector_bytes());
        let mut start = Self {
            schema: START_SCHEMA.to_owned(),
            started: now(),
            settings,
            source: serde_json::to_value(identity).unwrap_or_default(),
            media_bytes,
            sector_bytes,
            samples: medium.samples().map_err(lost)?,
            also: request.also.clone(),
            plan: None,
            container: None,
        };
        if let Format::E01 { compression, segment } = start.settings.format {
            let limit = folders(request)
                .filter_map(|folder| crate::space::largest_file(folder).ok().flatten())
                .min();
            start.plan = Some(Plan::new(media_bytes, sector_bytes, segment, limit)?);
            let seconds = jiff::Timestamp::now().as_second();
            let facts = SetFacts {
                guid: random_guid()?,
                acquired: seconds,
                system: seconds,
                model: identity
                    .disk
                    .as_ref()
                    .and_then(|disk| disk.model.clone())
                    .unwrap_or_default(),
                serial: identity
                    .disk
                    .as_ref()
                    .and_then(|disk| disk.serial.clone())
                    .unwrap_or_default(),
                software: format!("daleel{}", request.tool.version),
                os: std::env::consts::OS.to_owned(),
                compression,
            };
            start.container = Some(Container { case: request.case.clone(), facts });
        }
        Ok(start)
    }

    /// Whether a source is the one that an unfinished image is of, as far as names and numbers tell.
    fn check_same(&self, identity: &Identity) -> Result<(), JobError> {
        let now = serde_json::to_value(identity).unwrap_or_default();
        for pointer in
            ["/size", "/sector_bytes", "/kind", "/disk/serial", "/disk/model", "/disk/wwn"]
        {
            let (before, after) = (self.source.pointer(pointer), now.pointer(pointer));
            if before != after {
                let name = pointer.rsplit('/').next().unwrap_or_default();
                let shown =
                    |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
                return Err(JobError::OtherSource(format!(
                    "{name} was {} and is {}",
                    shown(before),
                    shown(after)
                )));
            }
        }
        Ok(())
    }
}

/// A random identifier, UUID version 4.
fn random_guid() -> Result<[u8; 16], JobError> {
    let mut guid = [0; 16];
    getrandom::fill(&mut guid).map_err(|error| JobError::Internal(error.to_string()))?;
    guid[6] = (guid[6] & 0x0f) | 0x40;
    guid[8] = (guid[8] & 0x3f) | 0x80;
    Ok(guid)
}
