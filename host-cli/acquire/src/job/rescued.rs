//! A medium that fails, or that is read in another order: first a raw file and a map, then the image packed from it.

use std::{
    fs::OpenOptions,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use daleel_core::Extent;

use super::{
    Guidance, Job, JobError, MAP_FILE, Next, RAW_FILE, at, folders,
    settings::Format,
    sinks::{ImageSink, STEM},
    straight::{PassEnd, Wanted, clear_files, clear_lists, close_at_checkpoint, wait_for},
    watch::{Step, Watch},
};
use crate::{
    ewf::is_zero,
    journal::{Event as Noted, Phase},
    log::Log,
    medium::MediumError,
    pipeline::{Checkpoint, Feed},
    raw::{Layout, RawCanvas},
    record::now,
    rescue::{
        self, Event, LiveSource, Map, Outcome, Rescue, RescueError, Settings, State, Store,
        SystemClock,
    },
    stored::StoredImage,
};

/// Zeros of this length are left out of the raw file, which reads as zeros there anyway.
const HOLE_BYTES: usize = 64 << 10;
/// Failed reads that get a line each in the log; all are in the map.
const LOGGED_ERRORS: u64 = 1000;

/// The raw file that a rescue fills.
pub(super) struct RawStore(RawCanvas);

impl RawStore {
    /// Makes the file, or opens the one that an earlier run filled; a straight pass may have left it shorter.
    fn open(folder: &Path, media_bytes: u64) -> Result<Self, JobError> {
        let layout = Layout::new(folder, STEM, media_bytes, None)
            .map_err(|error| JobError::Internal(error.to_string()))?;
        let path = folder.join(RAW_FILE);
        let canvas = if path.exists() {
            let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
            file.set_len(media_bytes).map_err(at(&path))?;
            RawCanvas::open(layout)
        } else {
            RawCanvas::create(layout)
        };
        canvas.map(Self).map_err(|error| JobError::Destination(error.to_string()))
    }
}

impl Store for RawStore {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        for piece in bytes.chunks(HOLE_BYTES) {
            if !is_zero(piece) {
                self.0.write_at(at, piece).map_err(io::Error::other)?;
            }
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync().map_err(io::Error::other)
    }
}

impl rescue::ReadBack for RawStore {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf).map_err(io::Error::other)
    }
}

/// The raw file, and what of it was never acquired.
struct PackFeed {
    store: RawStore,
    map: Map,
}

impl Feed for PackFeed {
    fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.store.0.read_at(offset, buf).map_err(|error| MediumError::Lost(error.to_string()))
    }

    fn is_void(&self, offset: u64, length: u64) -> bool {
        let wanted = Extent::new(offset, length);
        self.map
            .at(offset)
            .is_some_and(|(extent, state)| state == State::NonTried && extent.end() >= wanted.end())
    }
}

impl Job<'_> {
    /// Puts the bytes of the groups that a straight pass finished into the raw file.
    pub(super) fn unpack(&mut self, until: u64, checkpoint: &Checkpoint) -> Result<Next, JobError> {
        self.enter(Step::Unpack, until, "what was packed before the medium failed")?;
        let request = self.request;
        let out = request.out.as_path();
        // The map is written when everything is unpacked: a run that was killed after that only tidies up.
        if !out.join(MAP_FILE).exists()
            && let Some(stop) = self.unpack_into_raw(until, checkpoint)?
        {
            return Ok(stop);
        }
        for (index, folder) in folders(request).enumerate() {
            clear_lists(folder)?;
            if index > 0 || self.start.settings.format != Format::Raw {
                clear_files(folder, &self.start.settings.format)?;
            }
        }
        Ok(Next::Phase(Phase::Rescue))
    }

    fn unpack_into_raw(
        &self,
        until: u64,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Next>, JobError> {
        let out = self.request.out.as_path();
        for (index, folder) in folders(self.request).enumerate() {
            let sink = ImageSink::open(folder, &self.start, checkpoint.sinks.get(index));
            sink.and_then(close_at_checkpoint).map_err(at(folder))?;
        }
        let mut store = RawStore::open(out, self.start.media_bytes)?;
        if self.start.settings.format != Format::Raw
            && let Some(stop) = self.copy_finished(&mut store, until)?
        {
            return Ok(Some(stop));
        }
        store.sync().map_err(at(out))?;
        let mut map = Map::new(self.start.media_bytes);
        map.mark(Extent::new(0, until), State::Finished);
        self.save_map(&map)?;
        Ok(None)
    }

    fn copy_finished(&self, store: &mut RawStore, until: u64) -> Result<Option<Next>, JobError> {
        const STEP: u64 = 4 << 20;
        let first = self.first_file();
        let image = StoredImage::open(&first)
            .map_err(|error| JobError::Internal(format!("{}: {error}", first.display())))?;
        let mut buffer = vec![0; usize::try_from(STEP).unwrap_or(0)];
        let mut offset = 0;
        while offset < until {
            if self.watch.shared.is_stopping() {
                let why = "stopped while unpacking".to_owned();
                return Ok(Some(Next::Pause { position: until, why, lost: false }));
            }
            let length = usize::try_from(until.saturating_sub(offset).min(STEP)).unwrap_or(0);
            let part = buffer.get_mut(..length).unwrap_or_default();
            // Damage of the image is looked at below; a `Lost` does not come from files.
            let _ = image.fill(offset, part);
            store.write_at(offset, part).map_err(at(&self.request.out))?;
            offset = offset.saturating_add(length as u64);
            self.watch.shared.position.store(offset, std::sync::atomic::Ordering::Relaxed);
        }
        match image.damage().first() {
            None => Ok(None),
            Some(damage) => Err(JobError::Internal(format!(
                "{}: what was packed cannot be read back at byte {}: {}",
                first.display(),
                damage.offset,
                damage.why
            ))),
        }
    }

    /// The first file of the image in the first folder.
    pub(super) fn first_file(&self) -> PathBuf {
        let name = match self.start.settings.format {
            Format::E01 { .. } => format!("{STEM}.E01"),
            Format::Raw => RAW_FILE.to_owned(),
            Format::SplitRaw { .. } => format!("{STEM}.001"),
        };
        self.request.out.join(name)
    }

    fn save_map(&self, map: &Map) -> Result<(), JobError> {
        let path = self.request.out.join(MAP_FILE);
        map.save(&path).map_err(|error| JobError::Destination(error.to_string()))
    }

    /// The map of the image so far.
    pub(super) fn map(&self) -> Result<Map, JobError> {
        let path = self.request.out.join(MAP_FILE);
        if !path.exists() {
            return Ok(Map::new(self.start.media_bytes));
        }
        Map::read(&path, self.start.media_bytes)
            .map_err(|error| JobError::Destination(format!("{}: {error}", path.display())))
    }

    pub(super) fn rescue(&mut self) -> Result<Next, JobError> {
        let out = self.request.out.as_path();
        let map = self.map()?;
        let store = RawStore::open(out, self.start.media_bytes)?;
        let (guidance, store, map) = match self.guided(store, map)? {
            Guided::Ready(guidance, store, map) => (guidance, store, map),
            Guided::Stop(next) => return Ok(next),
        };
        self.enter(Step::Rescue, self.start.media_bytes, "into a raw file with a map")?;
        self.run_rescue(guidance, store, map)
    }

    /// What is wanted first, found in the recorder's own index, which is acquired by that.
    fn guided(&mut self, store: RawStore, map: Map) -> Result<Guided, JobError> {
        let store: Box<dyn rescue::ReadBack> = Box::new(store);
        let order = &self.start.settings.order;
        if order.first.is_empty() && order.only.is_empty() {
            return Ok(Guided::Ready(Guidance::default(), store, map));
        }
        let guide = self.helpers.guide.ok_or_else(|| {
            JobError::Guide(
                "an order by recordings needs a reader of recorder file systems".to_owned(),
            )
        })?;
        let what = order.first.iter().chain(&order.only).cloned().collect::<Vec<_>>().join(", ");
        self.enter(Step::Guided, self.start.media_bytes, &format!("first {what}"))?;
        let live = Arc::new(LiveSource::new(self.medium.clone(), store, map));
        let planned = guide.plan(live.clone());
        let bytes = live.bytes_read();
        let lost = live.lost();
        let live = Arc::into_inner(live)
            .ok_or_else(|| JobError::Internal("the guide keeps the source".to_owned()))?;
        let (mut store, map) = live.into_parts();
        store.sync().map_err(at(&self.request.out))?;
        self.save_map(&map)?;
        if let Some(why) = lost {
            let position = map.bytes_of(State::Finished);
            return Ok(Guided::Stop(Next::Pause { position, why, lost: true }));
        }
        let guidance = match planned {
            Ok(guidance) => guidance,
            Err(why) if order_only(&self.start.settings.order) => return Err(JobError::Guide(why)),
            Err(why) => {
                self.say(&format!("the order that was asked for cannot be had: {why}"));
                Guidance::default()
            }
        };
        self.say(&format!("{bytes} bytes were read to find it"));
        for note in &guidance.notes {
            self.say(note);
        }
        Ok(Guided::Ready(guidance, store, map))
    }

    fn run_rescue(
        &mut self,
        guidance: Guidance,
        mut store: Box<dyn rescue::ReadBack>,
        map: Map,
    ) -> Result<Next, JobError> {
        let patience = self.start.settings.patience;
        let is_only = order_only(&self.start.settings.order);
        let settings = Settings {
            retries: patience.retries,
            limits: rescue::PassLimits {
                errors: patience.pass_errors,
                bytes: None,
                time: patience.pass_seconds.map(Duration::from_secs),
            },
            suspect: self.start.settings.order.rescue,
            order: guidance.extents,
            only_order: is_only,
            ..Settings::default()
        };
        let mut rescue = Rescue::new(map, settings);
        let clock = SystemClock::default();
        loop {
            let medium = self.medium.clone();
            let mut observer =
                Observer::new(self.watch, &self.log, self.request.out.join(MAP_FILE), rescue.map());
            let ended = rescue.run(&*medium, &mut StoreRef(&mut *store), &clock, &mut |event| {
                observer.see(event)
            });
            let (passes, failed) = observer.end();
            for pass in passes {
                self.note(pass)?;
            }
            if let Some(error) = failed {
                return Err(JobError::Destination(error));
            }
            let position = rescue.map().bytes_of(State::Finished);
            match ended {
                Ok(Outcome::Finished) => return Ok(Next::Phase(Phase::Pack { checkpoint: None })),
                Ok(Outcome::Paused) => {
                    let why = "stopped".to_owned();
                    return Ok(Next::Pause { position, why, lost: false });
                }
                Ok(outcome @ (Outcome::Deadline | Outcome::TooMuchUnreadable)) => {
                    let why = format!("{outcome:?}");
                    return Ok(Next::Pause { position, why, lost: false });
                }
                Err(RescueError::Lost { extent, reason }) => {
                    let wait = Duration::from_secs(patience.reconnect_seconds);
                    let samples = &self.start.samples;
                    match wait_for(
                        &self.medium,
                        &self.guard,
                        samples,
                        wait,
                        self.watch,
                        &reason,
                        extent.offset(),
                    ) {
                        Ok(event) => self.note(event)?,
                        Err(error) => {
                            let why = error.to_string();
                            return Ok(Next::Pause { position, why, lost: true });
                        }
                    }
                }
                Err(RescueError::Store(error)) => return Err(at(&self.request.out)(error)),
                Err(error @ RescueError::OtherSize { .. }) => {
                    return Err(JobError::OtherSource(error.to_string()));
                }
            }
        }
    }

    /// Hashes the raw file and packs it into what was asked for.
    pub(super) fn pack(&mut self, checkpoint: Option<Checkpoint>) -> Result<Next, JobError> {
        self.enter(Step::Pack, self.start.media_bytes, "the raw file is hashed and packed")?;
        let request = self.request;
        let out = request.out.as_path();
        let store = RawStore::open(out, self.start.media_bytes)?;
        let feed = PackFeed { store, map: self.map()? };
        let all: Vec<&Path> = folders(request).collect();
        // In the first folder the raw file is the raw image.
        let is_raw = self.start.settings.format == Format::Raw;
        let sinks = all.iter().copied().skip(usize::from(is_raw)).collect();
        if checkpoint.is_none() {
            for (index, folder) in all.iter().enumerate() {
                clear_lists(folder)?;
                if index > 0 || !is_raw {
                    clear_files(folder, &self.start.settings.format)?;
                }
            }
        }
        let phase = |checkpoint| Phase::Pack { checkpoint };
        let end = self.pass(Wanted { feed: &feed, folders: all, sinks, checkpoint, phase })?;
        match end {
            PassEnd::Whole(passed) => Ok(Next::Finish(passed)),
            PassEnd::Broken { error, safe } => {
                let position = safe.map_or(0, |safe| safe.position);
                Ok(Next::Pause { position, why: error.to_string(), lost: false })
            }
        }
    }
}

fn order_only(order: &super::settings::Order) -> bool {
    !order.only.is_empty()
}

enum Guided {
    Ready(Guidance, Box<dyn rescue::ReadBack>, Map),
    Stop(Next),
}

/// A store that is borrowed.
struct StoreRef<'s>(&'s mut dyn rescue::ReadBack);

impl Store for StoreRef<'_> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

/// Looks at a rescue: keeps its map, counts, and stops it.
struct Observer<'o> {
    watch: &'o Watch,
    log: &'o Log,
    path: PathBuf,
    passes: Vec<Noted>,
    /// The pass in hand: its name, bytes that were there before it, and errors.
    pass: Option<(String, u64)>,
    errors_before: u64,
    finished: u64,
    errors: u64,
    failed: Option<String>,
}

impl<'o> Observer<'o> {
    fn new(watch: &'o Watch, log: &'o Log, path: PathBuf, map: &Map) -> Self {
        let errors = watch.errors();
        Self {
            watch,
            log,
            path,
            passes: Vec::new(),
            pass: None,
            errors_before: errors,
            finished: map.bytes_of(State::Finished),
            errors,
            failed: None,
        }
    }

    fn see(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Pass { phase, pass, domain } => {
                self.close_pass();
                let name = format!("{phase:?} {pass}, {domain}").to_lowercase();
                let _ = self.log.line(&format!("pass: {name}"));
                self.pass = Some((name, self.finished));
                self.errors_before = self.errors;
            }
            Event::Read { map, .. } => {
                self.finished = map.bytes_of(State::Finished);
                self.watch
                    .shared
                    .position
                    .store(self.finished, std::sync::atomic::Ordering::Relaxed);
            }
            Event::Failed { extent, error, .. } => {
                self.errors = self.errors.saturating_add(1);
                self.watch.set_errors(self.errors);
                if self.errors <= LOGGED_ERRORS {
                    let _ = self.log.line(&format!("unreadable: {extent}: {error}"));
                }
            }
            Event::Save { map } => {
                if let Err(error) = map.save(&self.path) {
                    self.failed = Some(error.to_string());
                    return ControlFlow::Break(());
                }
            }
        }
        if self.watch.shared.is_stopping() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn close_pass(&mut self) {
        if let Some((name, before)) = self.pass.take() {
            self.passes.push(Noted::Pass {
                when: now(),
                name,
                gained: self.finished.saturating_sub(before),
                errors: self.errors.saturating_sub(self.errors_before),
            });
        }
    }

    fn end(mut self) -> (Vec<Noted>, Option<String>) {
        self.close_pass();
        (self.passes, self.failed)
    }
}
