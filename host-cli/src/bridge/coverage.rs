//! Which megabytes of the medium have a digest of the bridge, and what the others are.
//!
//! Facts: published requirements, section 4.4. Whether a megabyte of the image was filled with zeros is the imager's knowledge, so
//! `zero-filled` never comes from the statements: the imager lays what it knows over them ([`overlay`]).

use std::{io::Write, ops::Range};

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wb_attest::{
    log::CHUNK,
    statement::Extent,
    verify::{Image, Statement},
};

use super::{sessions::SessionLogs, verify::offset_of};
use crate::{
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// Differing digests that are named; the count is of all.
const UNSTABLE_KEPT: usize = 1000;
/// Most lines of `uncovered.txt`: 256 TiB.
const LINES_MAX: u64 = 1 << 28;
/// Bytes read from an image at once.
const PIECE_BYTES: usize = 1 << 20;

/// Why a chunk has no bridge digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No block of it was read in a session.
    NotRead,
    /// Blocks of it were read, but not all of them in one pass in ascending order.
    Partial,
    /// All of it was read, and its entry may be among those that were lost.
    Lost,
    /// The image holds zeros in place of sectors of it that could not be read.
    ZeroFilled,
}

impl Why {
    /// The word of `uncovered.txt`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotRead => "not-read",
            Self::Partial => "partial",
            Self::Lost => "lost",
            Self::ZeroFilled => "zero-filled",
        }
    }
}

/// Chunks one after the other without a bridge digest, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Byte offsets divided by 1 MiB.
    pub chunks: Range<u64>,
    /// Why.
    pub why: Why,
}

impl Uncovered {
    /// How many chunks.
    pub const fn count(&self) -> u64 {
        self.chunks.end.saturating_sub(self.chunks.start)
    }
}

/// A chunk that was delivered with different contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnstableJson {
    /// Byte offset divided by 1 MiB.
    pub chunk: u64,
    /// Its offset in bytes.
    pub offset: u64,
    /// Entry that stands for it: session counted from 0 in this document, and seq.
    pub first: EntryJson,
    /// The later one.
    pub later: EntryJson,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryJson {
    /// Session, counted from 0 over the sessions of the document.
    pub session: u32,
    /// Number in it.
    pub seq: u64,
    /// SHA-256 of the chunk.
    pub digest: String,
}

impl From<&wb_attest::verify::Covered> for EntryJson {
    fn from(covered: &wb_attest::verify::Covered) -> Self {
        Self { session: covered.session, seq: covered.seq, digest: hex(&covered.digest) }
    }
}

/// What of the medium has a bridge digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoverageJson {
    /// Chunks of the medium.
    pub chunks: u64,
    /// Chunks with a bridge digest.
    pub covered: u64,
    /// Bytes in them.
    pub covered_bytes: u64,
    /// Chunks of which no block was read.
    pub not_read: u64,
    /// Chunks that were read in parts or out of order.
    pub partial: u64,
    /// Chunks whose entry may have been lost.
    pub lost: u64,
    /// Chunks that were delivered with different contents.
    pub unstable_count: u64,
    /// The first of them.
    pub unstable: Vec<UnstableJson>,
}

impl CoverageJson {
    /// Whether a person has to look at it.
    pub const fn has_findings(&self) -> bool {
        self.covered < self.chunks || self.unstable_count > 0
    }
}

/// The chunks of the medium with the proven entries of all sessions. All sessions have to be of the same drive.
pub fn of(
    statements: &[&Statement],
    logs: &SessionLogs,
    failures: &mut Vec<String>,
) -> (Option<Image>, Vec<Uncovered>) {
    let Some(first) = statements.first() else { return (None, Vec::new()) };
    let drive = &first.drive;
    let shape = |of: &Statement| (of.drive.capacity, of.drive.block_size, of.drive.medium.clone());
    if statements.iter().any(|other| shape(other) != shape(first)) {
        failures.push("the sessions are of different drives: no coverage of one medium".to_owned());
        return (None, Vec::new());
    }
    let bytes = drive.capacity.saturating_mul(drive.block_size.into());
    let mut image = Image::new(bytes);
    for (session, entries) in logs {
        if let Err(error) = image.add_session(*session, entries) {
            failures.push(format!("session {session} of this list: {error}"));
        }
    }
    let uncovered = uncovered(&image, statements, drive.block_size);
    (Some(image), uncovered)
}

/// The chunks without a digest with their reasons, ascending. A bridge may state any capacity, so the work is bounded by what was
/// listed and not by the size.
fn uncovered(image: &Image, statements: &[&Statement], block_size: u32) -> Vec<Uncovered> {
    let read = merged(statements);
    let are_whole = statements.iter().all(|one| one.coverage.extents.is_whole());
    let is_lossy = statements.iter().any(|one| one.log.lost > 0);
    // Where the list of what was read was cut, that nothing was read is not known.
    let untouched = if are_whole { Why::NotRead } else { Why::Partial };
    let whole = if is_lossy { Why::Lost } else { Why::Partial };
    let bytes = |extent: &Extent| {
        let start = extent.lba.saturating_mul(block_size.into());
        (start, start.saturating_add(extent.blocks.saturating_mul(block_size.into())))
    };
    let mut extents = read.iter().map(bytes).peekable();
    let mut found: Vec<Uncovered> = Vec::new();
    for range in image.uncovered() {
        let mut chunk = range.start;
        while chunk < range.end {
            let from = offset_of(chunk);
            let to = from.saturating_add(image.chunk_len(chunk).unwrap_or(CHUNK).into());
            while extents.next_if(|(_, end)| *end <= from).is_some() {}
            let (until, why) = match extents.peek() {
                None => (range.end, untouched),
                Some((start, _)) if *start >= to => (start.div_euclid(CHUNK.into()), untouched),
                Some((start, end)) if *start <= from && *end >= to => {
                    (end.div_euclid(CHUNK.into()), whole)
                }
                Some(_) => (chunk.saturating_add(1), Why::Partial),
            };
            let until = until.clamp(chunk.saturating_add(1), range.end);
            match found.last_mut() {
                Some(last) if last.why == why && last.chunks.end == chunk => {
                    last.chunks.end = until
                }
                _ => found.push(Uncovered { chunks: chunk..until, why }),
            }
            chunk = until;
        }
    }
    found
}

/// What an imager knows, laid over what the statements say; both ascending. What an image has that no session is known to have read came
/// in one whose end was not stated.
pub fn overlay(stated: &[Uncovered], own: &[Uncovered]) -> Vec<Uncovered> {
    let mut all = own.to_vec();
    for one in stated {
        let why = if one.why == Why::NotRead { Why::Lost } else { one.why };
        let first = own.partition_point(|known| known.chunks.end <= one.chunks.start);
        let known = own.iter().skip(first).take_while(|known| known.chunks.start < one.chunks.end);
        let mut from = one.chunks.start;
        let end = one.chunks.end..one.chunks.end;
        for known in known.map(|known| known.chunks.clone()).chain([end]) {
            if known.start > from {
                all.push(Uncovered { chunks: from..known.start, why });
            }
            from = from.max(known.end);
        }
    }
    all.sort_by_key(|one| one.chunks.start);
    all
}

/// The bridge's digests against the block list of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Chunks with the same digest in both.
    pub equal: u64,
    /// Bytes in them.
    pub equal_bytes: u64,
    /// Chunks with another digest in the list: the image is not what the bridge delivered.
    pub differing: Vec<u64>,
}

/// Compares the covered chunks, those in `without` apart, with the digests that `listed` has for them.
///
/// # Errors
/// What `listed` says.
pub fn compare_listed(
    image: &Image,
    without: &[Uncovered],
    listed: &mut dyn FnMut(u64) -> Result<Option<wb_attest::Digest>>,
) -> Result<Agreement> {
    let mut agreement = Agreement::default();
    let mut without = without.iter().peekable();
    for chunk in covered_chunks(image) {
        while without.next_if(|one| one.chunks.end <= chunk).is_some() {}
        if without.peek().is_some_and(|one| one.chunks.contains(&chunk)) {
            continue;
        }
        let Some(covered) = image.covered(chunk) else { continue };
        if listed(chunk)? == Some(covered.digest) {
            let length = image.chunk_len(chunk).unwrap_or(0);
            agreement.equal = agreement.equal.saturating_add(1);
            agreement.equal_bytes = agreement.equal_bytes.saturating_add(length.into());
        } else {
            agreement.differing.push(chunk);
        }
    }
    Ok(agreement)
}

/// What was read in any session, ascending and without overlaps.
fn merged(statements: &[&Statement]) -> Vec<Extent> {
    let mut all: Vec<Extent> =
        statements.iter().flat_map(|one| one.coverage.extents.first.iter().copied()).collect();
    all.sort_by_key(|extent| extent.lba);
    let mut merged: Vec<Extent> = Vec::new();
    for extent in all {
        let end = extent.lba.saturating_add(extent.blocks);
        match merged.last_mut() {
            Some(last) if last.lba.saturating_add(last.blocks) >= extent.lba => {
                let own = last.lba.saturating_add(last.blocks);
                last.blocks = own.max(end).saturating_sub(last.lba);
            }
            _ => merged.push(extent),
        }
    }
    merged
}

/// Coverage for the report.
pub fn json(image: &Image, uncovered: &[Uncovered]) -> CoverageJson {
    let count = |why: Why| {
        let chunks = uncovered.iter().filter(|one| one.why == why).map(Uncovered::count);
        chunks.fold(0, u64::saturating_add)
    };
    let unstable = image.unstable().iter().take(UNSTABLE_KEPT).map(|one| UnstableJson {
        chunk: one.chunk,
        offset: offset_of(one.chunk),
        first: EntryJson::from(&one.first),
        later: EntryJson::from(&one.later),
    });
    CoverageJson {
        chunks: image.chunks(),
        covered: image.covered_chunks(),
        covered_bytes: image.covered_bytes(),
        not_read: count(Why::NotRead),
        partial: count(Why::Partial),
        lost: count(Why::Lost),
        unstable_count: u64::try_from(image.unstable().len()).unwrap_or(u64::MAX),
        unstable: unstable.collect(),
    }
}

/// Writes `uncovered.txt`: a line for each megabyte without a bridge digest.
///
/// # Errors
/// When `out` cannot be written, or the bridge stated a capacity that no drive has.
pub fn write_uncovered(out: &mut impl Write, uncovered: &[Uncovered]) -> Result<()> {
    let lines = uncovered.iter().map(Uncovered::count).fold(0, u64::saturating_add);
    if lines > LINES_MAX {
        let text = format!("{lines} megabytes without a bridge digest are too many to list");
        return Err(Failure::new(Exit::Verification, text).into());
    }
    for one in uncovered {
        for chunk in one.chunks.clone() {
            writeln!(out, "block-{chunk:07} {}", one.why.word())?;
        }
    }
    Ok(())
}

/// The bridge's digests against an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedJson {
    /// The image as it was given.
    pub image: String,
    /// Chunks compared.
    pub compared: u64,
    /// Chunks whose bytes have the bridge's digest.
    pub equal: u64,
    /// Chunks whose bytes have another one: the image is not what the bridge delivered.
    pub differing: Vec<u64>,
    /// Chunks that the image does not hold.
    pub unreadable: Vec<u64>,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Bytes of the medium, by the statements.
    pub medium_bytes: u64,
}

impl ComparedJson {
    /// Whether something has to be looked at.
    pub fn has_findings(&self) -> bool {
        !self.unreadable.is_empty() || self.size_finding().is_some()
    }

    /// What is to be said of an image that is not as long as the medium.
    pub fn size_finding(&self) -> Option<String> {
        let (image, medium) = (self.image_bytes, self.medium_bytes);
        (image != medium).then(|| format!("the image has {image} bytes, the medium {medium}"))
    }

    /// Whether the image is what the bridge delivered, as far as it can be compared.
    pub const fn is_equal(&self) -> bool {
        self.differing.is_empty()
    }
}

/// Compares the covered chunks with an image. `step` hears how many bytes are done and says whether to go on.
///
/// # Errors
/// What `step` says.
pub fn compare(
    image: &Image,
    name: &str,
    source: &dyn daleel_core::Source,
    step: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<ComparedJson> {
    let mut compared = ComparedJson {
        image: name.to_owned(),
        compared: 0,
        equal: 0,
        differing: Vec::new(),
        unreadable: Vec::new(),
        image_bytes: source.len(),
        medium_bytes: medium_bytes(image),
    };
    let mut buffer = vec![0; PIECE_BYTES];
    for chunk in covered_chunks(image) {
        let Some(covered) = image.covered(chunk) else { continue };
        step(offset_of(chunk))?;
        let length = usize::try_from(image.chunk_len(chunk).unwrap_or(0)).unwrap_or(0);
        let Some(bytes) = buffer.get_mut(..length) else { continue };
        if source.read_exact_at(offset_of(chunk), bytes).is_err() {
            compared.unreadable.push(chunk);
            continue;
        }
        compared.compared = compared.compared.saturating_add(1);
        let digest: [u8; 32] = Sha256::digest(&*bytes).into();
        if digest == covered.digest {
            compared.equal = compared.equal.saturating_add(1);
        } else {
            compared.differing.push(chunk);
        }
    }
    Ok(compared)
}

/// Bytes up to the end of the last chunk.
fn medium_bytes(image: &Image) -> u64 {
    let last = image.chunks().saturating_sub(1);
    offset_of(last).saturating_add(image.chunk_len(last).unwrap_or(0).into())
}

/// The chunks with a bridge digest, ascending: what lies between the others.
fn covered_chunks(image: &Image) -> impl Iterator<Item = u64> {
    let mut next = 0;
    let end = image.chunks();
    let gaps = image.uncovered().into_iter().chain(std::iter::once(end..end));
    gaps.flat_map(move |gap| {
        let covered = next..gap.start;
        next = gap.end;
        covered
    })
}

const _: () = assert!(PIECE_BYTES == CHUNK as usize);
