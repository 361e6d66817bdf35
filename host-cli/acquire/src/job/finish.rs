//! The end of an image: files closed, read back, and the record written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use daleel_core::Extent;
use serde_json::Value;

use super::{
    Ended, Job, JobError, MAP_FILE, RAW_FILE, Stated, at,
    device::{self, Moment},
    folders,
    settings::{Format, Request, Settings, Start},
    sinks::ImageSink,
    straight::Passed,
    watch::Step,
};
use crate::{
    digest::{
        Algorithm,
        blocks::{self, BLOCK_BYTES, BlockDigest, BlockWriter, ListReader, file_digest},
        hex,
    },
    journal::{Journal, replace_file},
    pipeline::PassError,
    raw::positioned::sync_folder,
    record::{
        AcquisitionJson, BlocksJson, DigestJson, ExtentJson, FILE, FileJson, HolesJson, Host,
        ImageJson, MediumJson, ReadBackJson, SCHEMA, Scope, WriteBlocker, file_json, now,
    },
    rescue::{Map, State},
    stored::{StoredImage, forget},
    verify::{Check, Found, ended, zeros},
};

/// Extents that the record names; all are in the map.
const HOLES_NAMED: usize = 1000;

/// What the files of an image are once they are closed.
struct Closed {
    /// First file of the image in each folder.
    images: Vec<PathBuf>,
    /// Names of all its files, the same in each folder.
    names: Vec<String>,
    groups: BlockDigest,
    digests: Vec<(Algorithm, Vec<u8>)>,
    /// Unreadable extents that the container cannot express.
    left_out: u64,
}

/// What reading back gives: what is told of it, and what was found in each folder.
type ReadBack = (Vec<ReadBackJson>, Vec<Found>);

/// Why reading back gives nothing.
enum ReadBackError {
    Stopped,
    Job(JobError),
}

impl From<JobError> for ReadBackError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// An image whose record is written and whose journal was not removed any more: what is left of the end is done.
///
/// # Errors
/// When the record cannot be read or a file not removed.
pub(super) fn finished(request: &Request) -> Result<Option<Box<ImageJson>>, JobError> {
    let path = request.out.join(FILE);
    if !path.exists() || !Journal::is_in(&request.out) {
        return Ok(None);
    }
    let (journal, start, _) = Journal::open::<Start>(&request.out)?;
    let text = fs::read(&path).map_err(at(&path))?;
    let record: ImageJson = serde_json::from_slice(&text)
        .map_err(|error| JobError::Destination(format!("{}: {error}", path.display())))?;
    remove_raw(&request.out, &start.settings, &record)?;
    journal.remove()?;
    Ok(Some(Box::new(record)))
}

/// Removes the raw file that an image was packed from, where that was asked for and the image was read back and is equal.
fn remove_raw(out: &Path, settings: &Settings, record: &ImageJson) -> Result<(), JobError> {
    let is_equal = !record.read_back.is_empty() && record.read_back.iter().all(|one| one.equal);
    let raw = out.join(RAW_FILE);
    if settings.remove_raw && is_equal && settings.format != Format::Raw && raw.exists() {
        fs::remove_file(&raw).map_err(at(&raw))?;
    }
    Ok(())
}

impl Job<'_> {
    pub(super) fn finish(&mut self, passed: Passed) -> Result<Ended, JobError> {
        let map = self.final_map()?;
        let closed = self.close(passed, &map)?;
        let stated = self.end_blocker(&closed, &map)?;
        self.ask_device_again()?;
        let (read_back, files) = match self.read_back(&closed) {
            Ok(read) => read,
            Err(ReadBackError::Stopped) => {
                return Ok(Ended::Stopped("stopped while the files were read back".to_owned()));
            }
            Err(ReadBackError::Job(error)) => return Err(error),
        };
        let record = self.record(&map, &closed, stated, read_back, files)?;
        self.keep_record(&record)?;
        Ok(Ended::Record(Box::new(record)))
    }

    fn ask_device_again(&self) -> Result<(), JobError> {
        let Some(report) = self.opened.ask(self.start.settings.smart) else { return Ok(()) };
        folders(self.request).try_for_each(|folder| device::keep(folder, Moment::After, &report))
    }

    /// The map of the whole image: of a straight pass everything was read.
    fn final_map(&self) -> Result<Map, JobError> {
        let is_straight = !self.request.out.join(MAP_FILE).exists();
        let mut map = self.map()?;
        if is_straight {
            map.mark(Extent::new(0, self.start.media_bytes), State::Finished);
            map.status.status = '+';
        }
        for folder in folders(self.request) {
            let path = folder.join(MAP_FILE);
            map.save(&path).map_err(|error| JobError::Destination(error.to_string()))?;
        }
        Ok(map)
    }

    /// Ends the set, the lists and the digests.
    fn close(&self, passed: Passed, map: &Map) -> Result<Closed, JobError> {
        let digests = ended(&passed.hashes, &[]);
        let padding = self
            .start
            .plan
            .as_ref()
            .map_or(0, |plan| plan.padded_bytes().saturating_sub(self.start.media_bytes));
        let contained = ended(&passed.hashes, &zeros(padding));
        let errors = self.error_sectors(map);
        let request = self.request;
        let mut files = Vec::new();
        let mut left_out = 0;
        for sink in passed.sinks {
            match sink {
                ImageSink::Ewf(writer) => {
                    let (md5, sha1) = (
                        digest_of(&contained, Algorithm::Md5),
                        digest_of(&contained, Algorithm::Sha1),
                    );
                    let finished = writer
                        .finish(&errors, md5, sha1)
                        .map_err(|error| JobError::Destination(error.to_string()))?;
                    left_out = finished.errors_left_out.len() as u64;
                    files.push(finished.files);
                }
                ImageSink::Raw(writer) => {
                    let finished = writer.finish();
                    files.push(finished.map_err(|error| JobError::Destination(error.to_string()))?);
                }
            }
        }
        let mut groups = None;
        for (list, folder) in passed.lists.0.into_iter().zip(folders(request)) {
            groups = Some(BlockWriter::finish(list).map_err(at(folder))?);
            sync_folder(folder).map_err(at(folder))?;
        }
        let groups = groups.ok_or_else(|| JobError::Internal("no block list".to_owned()))?;
        // A raw image that a rescue filled is no destination of the pass that hashed it.
        let is_rescued_raw =
            self.start.settings.format == Format::Raw && files.len() < folders(request).count();
        if is_rescued_raw {
            files.insert(0, vec![request.out.join(RAW_FILE)]);
        }
        let first = files.first().cloned().unwrap_or_default();
        let name =
            |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Closed {
            images: files.into_iter().filter_map(|files| files.into_iter().next()).collect(),
            names: first.iter().filter_map(name).collect(),
            groups,
            digests,
            left_out,
        })
    }

    /// Unreadable sectors as first sector and count.
    fn error_sectors(&self, map: &Map) -> Vec<(u64, u64)> {
        let sector = u64::from(self.start.sector_bytes);
        let bad = map.iter().filter(|(_, state)| is_unreadable(*state));
        bad.map(|(extent, _)| {
            let first = extent.offset().checked_div(sector).unwrap_or(0);
            (first, extent.end().div_ceil(sector.max(1)).saturating_sub(first))
        })
        .collect()
    }

    fn end_blocker(&mut self, closed: &Closed, map: &Map) -> Result<Option<Stated>, JobError> {
        match &mut self.helpers.blocker {
            Some(blocker) => blocker
                .end(&self.request.out, &closed.groups, map)
                .map(Some)
                .map_err(JobError::Blocker),
            None => Ok(None),
        }
    }

    /// Reads every file again and compares.
    fn read_back(&mut self, closed: &Closed) -> Result<ReadBack, ReadBackError> {
        let mut answers = Vec::new();
        let mut all = Vec::new();
        if !self.start.settings.read_back {
            return Ok((answers, all));
        }
        for image in &closed.images {
            self.enter(Step::ReadBack, self.start.media_bytes, &image.display().to_string())?;
            let folder = image.parent().unwrap_or(Path::new("."));
            let list = ListReader::open(folder, self.start.media_bytes)
                .map_err(|error| JobError::Destination(error.to_string()))?;
            let stored = StoredImage::open(image)
                .map_err(|error| JobError::Destination(format!("{}: {error}", image.display())))?;
            for path in stored.paths() {
                forget(path).map_err(at(path))?;
            }
            let same_root = *list.root() == closed.groups;
            let check = Check {
                image: &stored,
                media_bytes: self.start.media_bytes,
                list: Some(list),
                hashes: self.start.settings.whole_hashes(),
                files: true,
                workers: self.request.workers,
                shared: &self.watch.shared,
            };
            let found = check.run().map_err(|error| match error {
                PassError::Stopped { .. } => ReadBackError::Stopped,
                error => ReadBackError::Job(JobError::Destination(error.to_string())),
            })?;
            let differences = differences(&found, closed, &stored, same_root);
            self.say(&format!(
                "read back {}: {}",
                image.display(),
                if differences.is_empty() { "equal".to_owned() } else { differences.join("; ") }
            ));
            answers.push(ReadBackJson {
                folder: folder.display().to_string(),
                equal: differences.is_empty(),
                when: now(),
                differences,
            });
            all.push(found);
        }
        Ok((answers, all))
    }

    fn files(&self, closed: &Closed, found: &[Found]) -> Result<Vec<FileJson>, JobError> {
        let out = &self.request.out;
        let hashed = found.first().map(|found| found.files.as_slice()).unwrap_or_default();
        let mut files = Vec::new();
        for name in &closed.names {
            let path = out.join(name);
            let sha256 = hashed
                .iter()
                .find(|(hashed, ..)| *hashed == path)
                .map(|(.., sha256)| sha256.clone());
            files.push(file_json(out, name, sha256).map_err(at(&path))?);
        }
        let small = [MAP_FILE, blocks::GROUPS_FILE].map(str::to_owned);
        for name in small.into_iter().chain(device::names(out).map_err(at(out))?) {
            let path = out.join(&name);
            let digest = file_digest(&path).map_err(at(&path))?;
            files.push(file_json(out, &name, Some(hex(&digest))).map_err(at(&path))?);
        }
        Ok(files)
    }

    fn record(
        &mut self,
        map: &Map,
        closed: &Closed,
        stated: Option<Stated>,
        read_back: Vec<ReadBackJson>,
        found: Vec<Found>,
    ) -> Result<ImageJson, JobError> {
        let holes = self.holes(map, closed.left_out);
        let scope = scope_of(&holes);
        let settings = &self.start.settings;
        let digest = |(algorithm, value): &(Algorithm, Vec<u8>)| DigestJson {
            algorithm: *algorithm,
            value: hex(value),
            scope,
        };
        let camera_time = self.camera_time(closed, &holes);
        let working_ms = self.working_ms();
        let (blocker, statements, faults) = match stated {
            Some(stated) => (stated.blocker, stated.statements, stated.faults),
            None => (given_blocker(settings.blocker.as_deref()), Vec::new(), Vec::new()),
        };
        let mut record = ImageJson {
            schema: SCHEMA.to_owned(),
            custody: self.helpers.custody.clone(),
            tool: self.request.tool.clone(),
            parameters: serde_json::to_value(settings).unwrap_or_default(),
            host: Host::this(),
            source: self.start.source.clone(),
            source_after: serde_json::to_value(self.opened.identity_now()).unwrap_or_default(),
            device: device::kept(&self.request.out, Moment::Before),
            device_after: device::kept(&self.request.out, Moment::After),
            write_blocker: blocker,
            statements,
            medium: MediumJson {
                bytes: self.start.media_bytes,
                sector_bytes: self.start.sector_bytes,
                sectors: self
                    .start
                    .media_bytes
                    .checked_div(u64::from(self.start.sector_bytes))
                    .unwrap_or(0),
            },
            acquisition: AcquisitionJson {
                started: self.start.started.clone(),
                ended: now(),
                working_ms,
                bytes_per_second: per_second(self.start.media_bytes, working_ms),
                events: self.journal.events()?,
                holes,
                camera_time,
            },
            digests: closed.digests.iter().map(digest).collect(),
            blocks: BlocksJson {
                algorithm: Algorithm::Sha256,
                block_bytes: BLOCK_BYTES,
                count: blocks::block_count(self.start.media_bytes),
                groups_sha256: hex(&closed.groups),
            },
            format: settings.format.as_str().to_owned(),
            files: self.files(closed, &found)?,
            read_back,
            limitations: Vec::new(),
        };
        record.limitations = super::limits::limitations(&record, &faults);
        Ok(record)
    }

    fn holes(&self, map: &Map, not_in_container: u64) -> HolesJson {
        let sector = u64::from(self.start.sector_bytes.max(1));
        let bad: Vec<Extent> = map
            .iter()
            .filter(|(_, state)| is_unreadable(*state))
            .map(|(extent, _)| extent)
            .collect();
        let bytes: u64 = bad.iter().map(|extent| extent.len()).sum();
        let as_json =
            |extent: &Extent| ExtentJson { offset: extent.offset(), length: extent.len() };
        HolesJson {
            unreadable_bytes: bytes,
            unreadable_sectors: bytes.div_ceil(sector),
            unreadable_extents: bad.len() as u64,
            not_acquired_bytes: map.bytes_of(State::NonTried),
            first: bad.iter().take(HOLES_NAMED).map(as_json).collect(),
            fill: "zeros".to_owned(),
            not_in_container,
        }
    }

    fn camera_time(&self, closed: &Closed, holes: &HolesJson) -> Option<Value> {
        if holes.unreadable_bytes == 0 && holes.not_acquired_bytes == 0 {
            return None;
        }
        let guide = self.helpers.guide?;
        let image = closed.images.first()?;
        let opened = daleel_image::open(image, Some(&self.request.out.join(MAP_FILE))).ok()?;
        let daleel_core::Input::Volume(volume) = opened.input else { return None };
        (!volume.source.is_empty()).then(|| guide.camera_time(volume.source))?
    }

    /// Time spent in runs. Earlier runs are told by their events.
    fn working_ms(&self) -> u64 {
        let events = self.journal.events().unwrap_or_default();
        let earlier = super::limits::earlier_runs_ms(&events);
        let this = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        earlier.saturating_add(this)
    }

    /// Writes the record where the image is, in the first folder last, and only then removes the journal: a run that is killed in
    /// between finds a finished image.
    fn keep_record(&mut self, record: &ImageJson) -> Result<(), JobError> {
        let mut text = serde_json::to_vec_pretty(record)
            .map_err(|error| JobError::Internal(error.to_string()))?;
        text.push(b'\n');
        self.say("the image is finished");
        let out = self.request.out.as_path();
        if let Some(also) = &self.request.also {
            let log = also.join(crate::log::FILE);
            fs::copy(out.join(crate::log::FILE), &log).map_err(at(&log))?;
            replace_file(&also.join(FILE), &text).map_err(at(also))?;
        }
        replace_file(&out.join(FILE), &text).map_err(at(out))?;
        remove_raw(out, &self.start.settings, record)?;
        let work = self.journal.folder().to_owned();
        fs::remove_dir_all(&work).map_err(at(&work))
    }
}

fn given_blocker(given: Option<&str>) -> WriteBlocker {
    match given {
        Some(given) => WriteBlocker::Given { given: given.to_owned() },
        None => WriteBlocker::NoneNamed,
    }
}

const fn is_unreadable(state: State) -> bool {
    matches!(state, State::BadSector | State::NonTrimmed | State::NonScraped)
}

const fn scope_of(holes: &HolesJson) -> Scope {
    match (holes.not_acquired_bytes, holes.unreadable_bytes) {
        (0, 0) => Scope::Medium,
        (0, _) => Scope::Filled,
        _ => Scope::Partial,
    }
}

fn per_second(bytes: u64, milliseconds: u64) -> u64 {
    let rate = u128::from(bytes).saturating_mul(1000).checked_div(u128::from(milliseconds.max(1)));
    rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

fn digest_of<const N: usize>(
    digests: &[(Algorithm, Vec<u8>)],
    wanted: Algorithm,
) -> Option<[u8; N]> {
    let (_, digest) = digests.iter().find(|(algorithm, _)| *algorithm == wanted)?;
    digest.as_slice().try_into().ok()
}

/// What a read-back shows that is not as it was acquired.
fn differences(
    found: &Found,
    closed: &Closed,
    stored: &StoredImage,
    same_root: bool,
) -> Vec<String> {
    let mut differences = Vec::new();
    if !same_root || !found.changed_groups.is_empty() {
        differences.push("the block list is not the one that was written".to_owned());
    }
    if found.differing_count > 0 {
        let first: Vec<_> =
            found.differing.iter().take(5).map(|block| blocks::block_name(*block)).collect();
        differences.push(format!(
            "{} blocks differ, first {}",
            found.differing_count,
            first.join(", ")
        ));
    }
    for damage in found.damage.iter().take(5) {
        differences
            .push(format!("at byte {}: {} bytes: {}", damage.offset, damage.length, damage.why));
    }
    for (algorithm, digest) in &closed.digests {
        let again = found.digests.iter().find(|(other, _)| other == algorithm);
        if again.is_none_or(|(_, again)| again != digest) {
            differences.push(format!("{} differs", algorithm.as_str()));
        }
    }
    if let Some(set) = stored.ewf() {
        let md5: Option<[u8; 16]> = digest_of(&found.padded, Algorithm::Md5);
        let sha1: Option<[u8; 20]> = digest_of(&found.padded, Algorithm::Sha1);
        if set.md5() != md5 {
            differences.push("the MD5 in the container is not that of its content".to_owned());
        }
        if set.sha1() != sha1 {
            differences.push("the SHA-1 in the container is not that of its content".to_owned());
        }
    }
    differences
}
