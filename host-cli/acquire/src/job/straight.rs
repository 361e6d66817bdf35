//! A sound medium, from front to back, in one pass.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    Job, JobError, MAP_FILE, Next, at,
    device::SharedGuard,
    folders,
    settings::Format,
    sinks::ImageSink,
    watch::{Step, Watch},
};
use crate::{
    devices::medium::{Sample, SourceMedium},
    digest::{
        Algorithm, WholeHash,
        blocks::{self, BlockDigest, BlockWriter},
        hex,
    },
    journal::{Event, Phase},
    log::Log,
    medium::{Medium as _, MediumError},
    pipeline::{BlockSink, Checkpoint, Feed, Pass, PassError, Sink as _},
    record::now,
};

/// Time between two looks for a lost device.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Blocks of the list that a device is compared with when it comes back.
const RECENT_BLOCKS: u64 = 2;

/// A whole pass over the medium, or over the raw file that holds it.
pub(super) struct Passed {
    /// Whole-medium digests, standing at the end of the medium.
    pub hashes: Vec<WholeHash>,
    /// The block lists, one in each folder.
    pub lists: Lists,
    /// The destinations that were written in this pass.
    pub sinks: Vec<ImageSink>,
}

/// The block list of each folder.
pub(super) struct Lists(pub Vec<BlockWriter>);

impl Lists {
    fn open(folders: &[&Path], blocks: Option<u64>) -> Result<Self, JobError> {
        let open = |folder: &&Path| match blocks {
            None => BlockWriter::create(folder).map_err(at(folder)),
            Some(blocks) => BlockWriter::resume(folder, blocks).map_err(at(folder)),
        };
        folders.iter().map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl BlockSink for Lists {
    fn push(&mut self, digest: &BlockDigest) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|list| list.push(digest))
    }

    fn blocks(&self) -> u64 {
        self.0.first().map_or(0, BlockWriter::blocks)
    }

    fn store(&mut self) -> io::Result<Vec<File>> {
        let files: io::Result<Vec<_>> = self.0.iter_mut().map(BlockWriter::store).collect();
        Ok(files?.into_iter().flatten().collect())
    }
}

/// How a pass ended.
pub(super) enum PassEnd {
    /// At the end of the medium.
    Whole(Box<Passed>),
    /// Before it; what the last checkpoint has is safe.
    Broken { error: PassError, safe: Option<Checkpoint> },
}

/// What a pass has to be given.
pub(super) struct Wanted<'w> {
    pub feed: &'w dyn Feed,
    pub folders: Vec<&'w Path>,
    /// Folders that get image files, too.
    pub sinks: Vec<&'w Path>,
    pub checkpoint: Option<Checkpoint>,
    /// The phase that a checkpoint stands for.
    pub phase: fn(Option<Checkpoint>) -> Phase,
}

impl Job<'_> {
    pub(super) fn straight(&mut self, checkpoint: Option<Checkpoint>) -> Result<Next, JobError> {
        let why = match &checkpoint {
            None => "from front to back".to_owned(),
            Some(checkpoint) => format!("goes on at byte {}", checkpoint.position),
        };
        self.enter(Step::Image, self.start.media_bytes, &why)?;
        // A map is the last thing that a straight pass writes; one that is there is of a run that did not come to its end.
        for folder in folders(self.request) {
            remove_if_there(&folder.join(MAP_FILE))?;
        }
        // What a run that stopped before its first checkpoint left is no beginning of anything.
        if checkpoint.is_none() {
            self.clear_straight()?;
        }
        let request = self.request;
        let all: Vec<&Path> = folders(request).collect();
        let reconnects = Mutex::default();
        let feed = MediumFeed {
            medium: self.medium.clone(),
            guard: self.guard.clone(),
            samples: self.start.samples.clone(),
            folder: &request.out,
            wait: Duration::from_secs(self.start.settings.patience.reconnect_seconds),
            watch: self.watch,
            log: self.log.clone(),
            reconnects: &reconnects,
        };
        let end = self.pass(Wanted {
            feed: &feed,
            folders: all.clone(),
            sinks: all,
            checkpoint,
            phase: |checkpoint| Phase::Straight { checkpoint },
        })?;
        for event in reconnects.into_inner().unwrap_or_default() {
            self.note(event)?;
        }
        match end {
            PassEnd::Whole(passed) => {
                self.check_state().map(|state| state.unwrap_or(Next::Finish(passed)))
            }
            PassEnd::Broken {
                error: PassError::Medium { at, error: MediumError::Unreadable(error) },
                safe,
            } => self.give_way(at, &error, safe),
            PassEnd::Broken { error, safe } => {
                let position = safe.map_or(0, |safe| safe.position);
                let lost = matches!(error, PassError::Medium { .. });
                Ok(Next::Pause { position, why: error.to_string(), lost })
            }
        }
    }

    /// A device whose state is not what it was stops the job, also at the very end.
    fn check_state(&self) -> Result<Option<Next>, JobError> {
        let state = self.medium.check_presence().map_err(|error| error.to_string());
        match state.and_then(|()| self.guard.check()) {
            Ok(()) => Ok(None),
            Err(error) => {
                let why = format!("the source is not what it was: {error}");
                Ok(Some(Next::Pause { position: self.watch.position(), why, lost: true }))
            }
        }
    }

    /// The medium fails: from here on it is read into a raw file with a map.
    fn give_way(
        &mut self,
        position: u64,
        error: &io::Error,
        safe: Option<Checkpoint>,
    ) -> Result<Next, JobError> {
        let until = safe.as_ref().map_or(0, |safe| safe.position);
        self.say(&format!(
            "a read at byte {position} failed ({error}): the medium is read into a raw file with a map from now on; {until} bytes are kept from before"
        ));
        match safe {
            None => self.clear_straight().map(|()| Next::Phase(Phase::Rescue)),
            Some(checkpoint) => Ok(Next::Phase(Phase::Unpack { until, checkpoint })),
        }
    }

    /// Runs a pass and keeps its checkpoints.
    pub(super) fn pass(&mut self, wanted: Wanted<'_>) -> Result<PassEnd, JobError> {
        let Wanted { feed, folders, sinks, checkpoint, phase } = wanted;
        let from = checkpoint.as_ref();
        let hashes = open_hashes(&self.start.settings.whole_hashes(), from)?;
        let blocks = Lists::open(&folders, from.map(|from| from.blocks))?;
        let states = from.map(|from| from.sinks.as_slice()).unwrap_or_default();
        let open = |(index, folder): (usize, &&Path)| {
            ImageSink::open(folder, &self.start, states.get(index)).map_err(at(folder))
        };
        let sinks: Vec<_> = sinks.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        let encoding = if sinks.is_empty() { None } else { ImageSink::encoding(&self.start) };
        let mut safe = checkpoint.clone();
        let set = self.journal.mover();
        let mut commit = |checkpoint: &Checkpoint| {
            set(&phase(Some(checkpoint.clone())))?;
            safe = Some(checkpoint.clone());
            Ok(())
        };
        let pass = Pass {
            media_bytes: self.start.media_bytes,
            start: from.map_or(0, |from| from.position),
            feed,
            hashes,
            blocks,
            sinks,
            encoding,
            workers: self.request.workers,
            commit: &mut commit,
            shared: &self.watch.shared,
        };
        match pass.run() {
            Ok(done) => {
                let (hashes, lists, sinks) = (done.hashes, done.blocks, done.sinks);
                Ok(PassEnd::Whole(Box::new(Passed { hashes, lists, sinks })))
            }
            Err(PassError::Thread) => Err(JobError::Internal(PassError::Thread.to_string())),
            Err(error) => Ok(PassEnd::Broken { error, safe }),
        }
    }

    /// Removes what a straight pass left that has no checkpoint.
    pub(super) fn clear_straight(&self) -> Result<(), JobError> {
        for folder in folders(self.request) {
            clear_lists(folder)?;
            clear_files(folder, &self.start.settings.format)?;
        }
        Ok(())
    }
}

/// Removes the block list of an unfinished image: it is made anew over the raw file.
pub(super) fn clear_lists(folder: &Path) -> Result<(), JobError> {
    let list = folder.join(blocks::FOLDER);
    not_there_is_fine(std::fs::remove_dir_all(&list), &list)?;
    remove_if_there(&folder.join(blocks::GROUPS_FILE))
}

fn remove_if_there(path: &Path) -> Result<(), JobError> {
    not_there_is_fine(std::fs::remove_file(path), path)
}

fn not_there_is_fine(result: io::Result<()>, path: &Path) -> Result<(), JobError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Removes the image files of an unfinished image.
pub(super) fn clear_files(folder: &Path, format: &Format) -> Result<(), JobError> {
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if is_image_file(&path, format) {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Whether a file of the image's folder is one of the image's own, of this form. A raw file that a rescue fills has another name than
/// pieces and segments have.
fn is_image_file(path: &Path, format: &Format) -> bool {
    let is_ours = path.file_stem().is_some_and(|stem| stem == super::STEM);
    let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else {
        return false;
    };
    is_ours
        && match format {
            Format::E01 { .. } => crate::ewf::names::number(extension).is_some(),
            Format::Raw => extension == "raw",
            Format::SplitRaw { .. } => extension.bytes().all(|byte| byte.is_ascii_digit()),
        }
}

fn open_hashes(
    wanted: &[Algorithm],
    checkpoint: Option<&Checkpoint>,
) -> Result<Vec<WholeHash>, JobError> {
    let Some(checkpoint) = checkpoint else {
        return Ok(wanted.iter().copied().map(WholeHash::new).collect());
    };
    let resume = |(algorithm, kept): &(Algorithm, String)| WholeHash::resume(*algorithm, kept);
    let hashes: Result<Vec<_>, _> = checkpoint.hashes.iter().map(resume).collect();
    hashes.map_err(|error| JobError::Internal(error.to_string()))
}

/// Whole blocks that were written last, as samples to compare a source with.
pub(super) fn recent_samples(folder: &Path, media_bytes: u64) -> Vec<Sample> {
    let recent = blocks::last_stored(folder, RECENT_BLOCKS).unwrap_or_default();
    recent
        .into_iter()
        .map(|(block, digest)| Sample {
            offset: block.saturating_mul(blocks::BLOCK_BYTES),
            len: blocks::BLOCK_BYTES,
            sha256: hex(&digest),
        })
        .filter(|sample| sample.offset.saturating_add(sample.len) <= media_bytes)
        .collect()
}

/// Reads the medium, and waits for it when it is lost.
struct MediumFeed<'f> {
    medium: Arc<SourceMedium>,
    guard: SharedGuard,
    samples: Vec<Sample>,
    folder: &'f Path,
    wait: Duration,
    watch: &'f Watch,
    log: Arc<Log>,
    reconnects: &'f Mutex<Vec<Event>>,
}

impl Feed for MediumFeed<'_> {
    fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        loop {
            match self.medium.read_at(offset, buf) {
                Err(MediumError::Lost(why)) => {
                    let mut samples = self.samples.clone();
                    samples.extend(recent_samples(self.folder, self.medium.len()));
                    let event = wait_for(
                        &self.medium,
                        &self.guard,
                        &samples,
                        self.wait,
                        self.watch,
                        &why,
                        offset,
                    )?;
                    // As in `Job::say`: the log is not what counts.
                    let _ = self.log.line(&format!("the source came back and is the same ({why})"));
                    if let Ok(mut reconnects) = self.reconnects.lock() {
                        reconnects.push(event);
                    }
                }
                other => return other,
            }
        }
    }
}

/// Waits for a lost device and goes on only with the same one.
pub(super) fn wait_for(
    medium: &SourceMedium,
    guard: &SharedGuard,
    samples: &[Sample],
    wait: Duration,
    watch: &Watch,
    why: &str,
    position: u64,
) -> Result<Event, MediumError> {
    let until = Instant::now().checked_add(wait);
    loop {
        match medium.reconnect(samples).and_then(|()| guard.renew(medium)) {
            Ok(()) => {
                let why = format!(
                    "{why}; serial, size, first and last bytes and {} samples are the same",
                    samples.len()
                );
                return Ok(Event::Reconnect { when: now(), position, why });
            }
            Err(error) => {
                let is_over = until.is_none_or(|until| Instant::now() >= until);
                if is_over || watch.shared.is_stopping() {
                    return Err(MediumError::Lost(format!("{why}; then: {error}")));
                }
            }
        }
        thread::sleep(RECONNECT_PAUSE);
    }
}

/// Ends the groups of destinations that were opened to be cut at their checkpoint and no more.
pub(super) fn close_at_checkpoint(sink: ImageSink) -> io::Result<()> {
    let mut sink = sink;
    let commit = sink.end_group()?;
    commit.files.iter().try_for_each(File::sync_data)
}
