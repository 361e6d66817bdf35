//! Checking an image: what is claimed about it, one by one, and what lies where it differs.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use daleel_acquire::{
    digest::{
        Algorithm,
        blocks::{self, BLOCK_BYTES, ListReader, block_name, group_name},
        hex,
    },
    job::{MAP_FILE, RAW_FILE},
    pipeline::{PassError, Shared},
    record::{self, FileJson, ImageJson},
    stored::{Damage, StoredImage},
    verify::{Check, Found},
};
use daleel_core::Extent;
use serde::Serialize;

use super::touched::{TouchedJson, touched};
use crate::{
    exit::{Exit, Failure},
    interrupt,
    output::{out, printable},
    progress::{Mode, Progress},
};

/// Largest `image.json` that is read: a hundred thousand events.
const RECORD_MAX: u64 = 64 << 20;
/// Differing extents that an answer names.
const EXTENTS_NAMED: usize = 1000;
/// How often the pass is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A digest from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Function.
    pub algorithm: Algorithm,
    /// Value.
    pub digest: Vec<u8>,
}

/// What to check.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Folder or file.
    pub image: PathBuf,
    /// Digests to compare with.
    pub given: Vec<Given>,
    /// Blocks and checksums only.
    pub quick: bool,
    /// Threads.
    pub threads: Option<usize>,
    /// Progress.
    pub progress: Mode,
}

/// Something that is claimed about the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimJson {
    /// What.
    pub claim: String,
    /// Whether it is so.
    pub ok: bool,
    /// As claimed.
    pub expected: String,
    /// As found.
    pub found: String,
    /// The standard command that shows the same, run in the image's folder.
    pub command: Option<String>,
}

/// An extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RangeJson {
    /// First byte on the medium.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// First block of the list that it touches.
    pub first_block: u64,
    /// Last one.
    pub last_block: u64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    image: String,
    files: Vec<String>,
    media_bytes: u64,
    /// SHA-256 of `image.json`, which the signed custody event names; null without one.
    record_sha256: Option<String>,
    /// Everything that was compared.
    claims: Vec<ClaimJson>,
    /// Digests that were made.
    digests: Vec<DigestJson>,
    /// Blocks that are not those of the list, in all.
    differing_blocks: u64,
    /// Where they are; the first extents.
    differing: Vec<RangeJson>,
    /// What the files do not give.
    damage: Vec<Damage>,
    /// Recordings that lie where something differs or is damaged; null when no recorder's file system is found.
    recordings: Option<Vec<TouchedJson>>,
    /// What the record says was unreadable or not acquired.
    holes_bytes: u64,
    /// What has to be said.
    notes: Vec<String>,
}

/// A digest over the whole medium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DigestJson {
    algorithm: Algorithm,
    value: String,
}

impl Report {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        let is_right = self.claims.iter().all(|claim| claim.ok) && self.damage.is_empty();
        match (is_right, self.claims.is_empty() || self.holes_bytes > 0) {
            (false, _) => Exit::Verification,
            (true, true) => Exit::Findings,
            (true, false) => Exit::Success,
        }
    }
}

/// An image with what lies beside it.
struct Subject {
    image: PathBuf,
    folder: PathBuf,
    stored: StoredImage,
    record: Option<ImageJson>,
    record_digest: Option<String>,
    /// Blocks of the list beside it and the digest of `groups.sha256`.
    list: Option<(u64, String)>,
    media_bytes: u64,
    notes: Vec<String>,
}

/// Checks an image.
///
/// # Errors
/// When it cannot be opened or read.
pub fn run(wanted: &Wanted) -> Result<Report> {
    let subject = Subject::open(&wanted.image)?;
    let found = read(&subject, wanted)?;
    let mut claims = Vec::new();
    subject.claim_lists(&found, &mut claims);
    subject.claim_blocks(&found, &mut claims);
    subject.claim_digests(&found, wanted, &mut claims);
    subject.claim_files(&found, wanted.quick, &mut claims);
    let differing = joined(&found.differing, subject.media_bytes);
    let places: Vec<Extent> = differing
        .iter()
        .map(|range| Extent::new(range.offset, range.length))
        .chain(found.damage.iter().map(|one| Extent::new(one.offset, one.length)))
        .collect();
    let recordings = if places.is_empty() { None } else { touched(&subject.image, &places) };
    let holes = subject.record.as_ref().map(|record| &record.acquisition.holes);
    let mut notes = subject.notes.clone();
    if claims.is_empty() {
        notes.push("nothing is written down about this image here: digests were made, nothing was compared".to_owned());
    }
    if found.differing_count > found.differing.len() as u64 {
        notes.push("more blocks differ than are named".to_owned());
    }
    Ok(Report {
        schema: "daleel.verify/1",
        image: subject.image.display().to_string(),
        files: subject.stored.paths().iter().map(|path| path.display().to_string()).collect(),
        media_bytes: subject.media_bytes,
        record_sha256: subject.record_digest.clone(),
        claims,
        digests: found
            .digests
            .iter()
            .map(|(algorithm, digest)| DigestJson { algorithm: *algorithm, value: hex(digest) })
            .collect(),
        differing_blocks: found.differing_count,
        differing: differing.into_iter().take(EXTENTS_NAMED).collect(),
        damage: found.damage.clone(),
        recordings,
        holes_bytes: holes
            .map_or(0, |holes| holes.unreadable_bytes.saturating_add(holes.not_acquired_bytes)),
        notes,
    })
}

/// Reads everything once, with progress.
fn read(subject: &Subject, wanted: &Wanted) -> Result<Found> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shared = Shared::default();
    let check = Check {
        image: &subject.stored,
        media_bytes: subject.media_bytes,
        list: match subject.list {
            Some(_) => Some(open_list(&subject.folder, subject.media_bytes)?),
            None => None,
        },
        hashes: if wanted.quick { Vec::new() } else { subject.algorithms(wanted) },
        files: !wanted.quick && subject.record.is_some(),
        workers: wanted.threads.unwrap_or(cores),
        shared: &shared,
    };
    let mut progress = Progress::new(wanted.progress, "verify", subject.media_bytes);
    let found = thread::scope(|scope| {
        let running = scope.spawn(move || check.run());
        while !running.is_finished() {
            if interrupt::arrived() {
                shared.stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            progress.at(shared.position.load(std::sync::atomic::Ordering::Relaxed), 0);
            thread::sleep(LOOK_EVERY);
        }
        running.join()
    });
    drop(progress);
    match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(PassError::Stopped { .. })) => {
            Err(Failure::new(Exit::Interrupted, "interrupted; nothing was changed").into())
        }
        Ok(Err(error)) => Err(Failure::new(Exit::Input, error.to_string()).into()),
        Err(_) => Err(Failure::new(Exit::Internal, "a thread of the check failed").into()),
    }
}

impl Subject {
    fn open(path: &Path) -> Result<Self> {
        let image = if path.is_dir() { image_in(path)? } else { path.to_owned() };
        let folder = image.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let stored = StoredImage::open(&image)
            .map_err(|error| Failure::new(Exit::Input, format!("{error:#}")))
            .with_context(|| format!("{} cannot be checked", image.display()))?;
        let mut notes = Vec::new();
        let (record, record_digest) = match read_record(&folder)? {
            Some((record, digest)) if is_of(&record, &stored) => (Some(record), Some(digest)),
            Some(_) => {
                notes.push(
                    "image.json beside this image is of another one and was not used".to_owned(),
                );
                (None, None)
            }
            None => (None, None),
        };
        let stated = record.as_ref().map(|record| record.medium.bytes);
        let media_bytes = stated.unwrap_or_else(|| stored.bytes());
        let list = if folder.join(blocks::GROUPS_FILE).exists() {
            let list = open_list(&folder, media_bytes)?;
            Some((list.blocks(), hex(list.root())))
        } else {
            notes.push(
                "there is no block list beside the image: which megabyte differs cannot be said"
                    .to_owned(),
            );
            None
        };
        if let Some(set) = stored.ewf() {
            notes.extend(set.missing().iter().map(|name| format!("segment {name} is missing")));
            let (findings, more) = set.findings();
            notes.extend(findings.iter().map(ToString::to_string));
            if more > findings.len() as u64 {
                notes.push(format!("{more} oddities of the E01 set in all"));
            }
        }
        Ok(Self { image, folder, stored, record, record_digest, list, media_bytes, notes })
    }

    /// Digests that something is claimed about; where nothing is, those that people ask for.
    fn algorithms(&self, wanted: &Wanted) -> Vec<Algorithm> {
        let mut algorithms: Vec<Algorithm> =
            wanted.given.iter().map(|given| given.algorithm).collect();
        if let Some(record) = &self.record {
            algorithms.extend(record.digests.iter().map(|digest| digest.algorithm));
        }
        if let Some(set) = self.stored.ewf() {
            algorithms.extend(set.md5().map(|_| Algorithm::Md5));
            algorithms.extend(set.sha1().map(|_| Algorithm::Sha1));
        }
        if algorithms.is_empty() {
            algorithms.extend([Algorithm::Md5, Algorithm::Sha256]);
        }
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }

    /// The list itself: its groups' files, and its digest in the record.
    fn claim_lists(&self, found: &Found, claims: &mut Vec<ClaimJson>) {
        let Some((_, root)) = &self.list else { return };
        let changed = &found.changed_groups;
        claims.push(ClaimJson {
            claim: "the files of the block list are those that groups.sha256 names".to_owned(),
            ok: changed.is_empty(),
            expected: "all as they were written".to_owned(),
            found: if changed.is_empty() {
                "all as they were written".to_owned()
            } else {
                format!("changed: {}", changed.join(", "))
            },
            command: Some("sha256sum -c --quiet groups.sha256".to_owned()),
        });
        if let Some(record) = &self.record {
            claims.push(equal(
                "groups.sha256 is the one that image.json names",
                &record.blocks.groups_sha256,
                root,
                Some("sha256sum groups.sha256".to_owned()),
            ));
        }
    }

    fn claim_blocks(&self, found: &Found, claims: &mut Vec<ClaimJson>) {
        let Some((listed, _)) = &self.list else { return };
        let first = found.differing.first().copied();
        let of = first.unwrap_or(0);
        let source = self.raw_command();
        claims.push(ClaimJson {
            claim: "every megabyte has the digest that the block list has".to_owned(),
            ok: found.differing_count == 0,
            expected: format!("{listed} blocks"),
            found: match first {
                None => format!("{} blocks as listed", found.blocks),
                Some(block) => format!(
                    "{} of {} blocks differ, the first is {}",
                    found.differing_count,
                    found.blocks,
                    block_name(block)
                ),
            },
            command: (*listed > 0).then(|| {
                let name = block_name(of);
                let group = group_name(of.checked_div(blocks::GROUP_BLOCKS).unwrap_or(0));
                format!("{source} | dd bs=1M iflag=fullblock skip={of} count=1 of={name} && grep {name} {group} | sha256sum -c")
            }),
        });
    }

    /// A command that gives the medium's bytes.
    fn raw_command(&self) -> String {
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<String> = self.stored.paths().iter().map(|path| name(path)).collect();
        match (self.stored.ewf(), names.as_slice()) {
            (Some(_), [first, ..]) if self.stored.bytes() > self.media_bytes => {
                format!("img_cat {first} | head -c {}", self.media_bytes)
            }
            (Some(_), [first, ..]) => format!("img_cat {first}"),
            (None, names) => format!("cat {}", names.join(" ")),
            (Some(_), []) => "img_cat".to_owned(),
        }
    }

    fn claim_digests(&self, found: &Found, wanted: &Wanted, claims: &mut Vec<ClaimJson>) {
        if wanted.quick {
            return;
        }
        let value = |digests: &[(Algorithm, Vec<u8>)], algorithm| {
            let found = digests.iter().find(|(other, _)| *other == algorithm);
            found.map(|(_, digest)| hex(digest)).unwrap_or_default()
        };
        let command = |algorithm: Algorithm| {
            Some(format!("{} | {}", self.raw_command(), algorithm.program()))
        };
        if let Some(record) = &self.record {
            for digest in &record.digests {
                let claim =
                    format!("{} of the whole medium, in image.json", digest.algorithm.as_str());
                let found = value(&found.digests, digest.algorithm);
                claims.push(equal(&claim, &digest.value, &found, command(digest.algorithm)));
            }
        }
        if let Some(set) = self.stored.ewf() {
            let first = self.stored.paths().first().and_then(|path| path.file_name());
            let ewfverify = format!("ewfverify {}", first.unwrap_or_default().to_string_lossy());
            let of_set = [
                (Algorithm::Md5, set.md5().map(|digest| hex(&digest))),
                (Algorithm::Sha1, set.sha1().map(|digest| hex(&digest))),
            ];
            for (algorithm, stored) in of_set {
                let Some(stored) = stored else { continue };
                let with_surplus = value(&found.with_surplus, algorithm);
                let (what, found) = if with_surplus == stored {
                    (" (over the end of a file within a sector, too)", with_surplus)
                } else {
                    ("", value(&found.padded, algorithm))
                };
                let claim = format!("{} in the E01 container{what}", algorithm.as_str());
                claims.push(equal(&claim, &stored, &found, Some(ewfverify.clone())));
            }
        }
        for given in &wanted.given {
            let claim = format!("{} as given", given.algorithm.as_str());
            let found = value(&found.digests, given.algorithm);
            claims.push(equal(&claim, &hex(&given.digest), &found, command(given.algorithm)));
        }
    }

    fn claim_files(&self, found: &Found, quick: bool, claims: &mut Vec<ClaimJson>) {
        let Some(record) = &self.record else { return };
        for file in &record.files {
            let path = self.folder.join(&file.name);
            let Ok(metadata) = fs::metadata(&path) else {
                claims.push(equal(&format!("{} is there", file.name), "yes", "no", None));
                continue;
            };
            if metadata.len() != file.bytes {
                let claim = format!("size of {}", file.name);
                claims.push(equal(
                    &claim,
                    &file.bytes.to_string(),
                    &metadata.len().to_string(),
                    None,
                ));
            }
            claims.extend(self.claim_file(file, &path, found, quick));
        }
    }

    fn claim_file(
        &self,
        file: &FileJson,
        path: &Path,
        found: &Found,
        quick: bool,
    ) -> Option<ClaimJson> {
        let expected = file.sha256.as_ref()?;
        let hashed = found.files.iter().find(|(hashed, ..)| hashed == path);
        let is_small = file.name == MAP_FILE || file.name == blocks::GROUPS_FILE;
        let found = match hashed {
            Some((.., digest)) => digest.clone(),
            None if is_small || file.name.starts_with("device/") || !quick => {
                blocks::file_digest(path).map(|digest| hex(&digest)).ok()?
            }
            None => return None,
        };
        let claim = format!("{} is the file that image.json names", file.name);
        Some(equal(&claim, expected, &found, Some(format!("sha256sum {}", file.name))))
    }
}

fn open_list(folder: &Path, media_bytes: u64) -> Result<ListReader, Failure> {
    ListReader::open(folder, media_bytes)
        .map_err(|error| Failure::new(Exit::Verification, error.to_string()))
}

fn equal(claim: &str, expected: &str, found: &str, command: Option<String>) -> ClaimJson {
    ClaimJson {
        claim: claim.to_owned(),
        ok: expected.eq_ignore_ascii_case(found),
        expected: expected.to_owned(),
        found: found.to_owned(),
        command,
    }
}

/// The first file of the image in a folder.
fn image_in(folder: &Path) -> Result<PathBuf> {
    let recorded = read_record(folder)
        .ok()
        .flatten()
        .and_then(|(record, _)| record.files.first().map(|file| folder.join(&file.name)));
    let named = ["image.E01", "image.001", "image.raw"].map(|name| folder.join(name));
    let named = recorded.into_iter().chain(named);
    let mut named = named.filter(|path| path.is_file());
    if let Some(path) = named.next() {
        return Ok(path);
    }
    let mut sets = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_first =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("e01"));
        sets.extend(is_first.then_some(path));
    }
    match sets.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Exit::Input, format!("{} holds no image", folder.display()))
            .hint("give a file of the image")
            .into()),
        _ => Err(Failure::new(Exit::Usage, format!("{} holds several images", folder.display()))
            .hint("give a file of the one that is meant")
            .into()),
    }
}

/// `image.json` of a folder and its digest.
fn read_record(folder: &Path) -> Result<Option<(ImageJson, String)>> {
    let path = folder.join(record::FILE);
    let Ok(metadata) = fs::metadata(&path) else { return Ok(None) };
    if metadata.len() > RECORD_MAX {
        let text =
            format!("{} has {} bytes, too many for a record", path.display(), metadata.len());
        return Err(Failure::new(Exit::Input, text).into());
    }
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    let record: ImageJson = serde_json::from_slice(&text).map_err(|error| {
        Failure::new(
            Exit::Verification,
            format!("{} is no record of an image: {error}", path.display()),
        )
    })?;
    if record.schema != record::SCHEMA {
        let text =
            format!("{} is of the form {}, not {}", path.display(), record.schema, record::SCHEMA);
        return Err(Failure::new(Exit::Unsupported, text).into());
    }
    Ok(Some((record, hex(&blocks::block_digest(&text)))))
}

/// Whether a record speaks of these files, or of an image that was packed from this one.
fn is_of(record: &ImageJson, stored: &StoredImage) -> bool {
    stored.paths().first().and_then(|path| path.file_name()).is_some_and(|name| {
        let is_raw = Path::new(name) == Path::new(RAW_FILE);
        is_raw || record.files.iter().any(|file| Path::new(&file.name) == Path::new(name))
    })
}

/// Blocks that follow each other, joined.
fn joined(differing: &[u64], media_bytes: u64) -> Vec<RangeJson> {
    let mut ranges: Vec<RangeJson> = Vec::new();
    for block in differing {
        let offset = block.saturating_mul(BLOCK_BYTES);
        let length = media_bytes.saturating_sub(offset).min(BLOCK_BYTES);
        match ranges.last_mut() {
            Some(last) if last.offset.saturating_add(last.length) == offset => {
                last.length = last.length.saturating_add(length);
                last.last_block = *block;
            }
            _ => ranges.push(RangeJson { offset, length, first_block: *block, last_block: *block }),
        }
    }
    ranges
}

/// The answer for people.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_text(report: &Report) -> Result<()> {
    let mut out = out();
    writeln!(out, "{}: {} bytes", report.image, report.media_bytes)?;
    if let Some(digest) = &report.record_sha256 {
        writeln!(out, "image.json has the SHA-256 {digest}")?;
    }
    for claim in &report.claims {
        let word = if claim.ok { "PASS" } else { "FAIL" };
        writeln!(out, "{word}  {}", printable(&claim.claim))?;
        if !claim.ok {
            writeln!(out, "      expected {}", printable(&claim.expected))?;
            writeln!(out, "      found    {}", printable(&claim.found))?;
        }
        if let Some(command) = &claim.command {
            writeln!(out, "      $ {}", printable(command))?;
        }
    }
    if report.claims.is_empty() {
        for digest in &report.digests {
            writeln!(out, "      {:<8} {}", digest.algorithm.as_str(), digest.value)?;
        }
    }
    for range in &report.differing {
        writeln!(
            out,
            "differs: 0x{:x} ({}), {} bytes, {} to {}",
            range.offset,
            range.offset,
            range.length,
            block_name(range.first_block),
            block_name(range.last_block)
        )?;
    }
    for damage in &report.damage {
        writeln!(
            out,
            "damaged: 0x{:x} ({}), {} bytes: {}",
            damage.offset,
            damage.offset,
            damage.length,
            printable(&damage.why)
        )?;
    }
    for recording in report.recordings.iter().flatten() {
        writeln!(out, "recording: {}", recording.line())?;
    }
    if report.holes_bytes > 0 {
        writeln!(
            out,
            "note: {} bytes are not from the medium (see image.map)",
            report.holes_bytes
        )?;
    }
    for note in &report.notes {
        writeln!(out, "note: {}", printable(note))?;
    }
    out.flush()?;
    Ok(())
}
