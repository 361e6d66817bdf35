//! An image as it is stored: every byte that its files hold, whatever a map says of where it is from.
//!
//! Digests of an image are over what is stored, zeros in place of unreadable sectors included. What cannot be had from the files, a
//! damaged chunk or a missing segment, is named and counts as zeros, so that offsets do not shift and the rest can be checked.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use daleel_core::{Extent, Input, ReadError, Source};
use daleel_image::{EwfError, EwfSet, OpenError};

use crate::{medium::MediumError, pipeline::Feed};

/// Most damaged places that are named one by one.
const DAMAGE_MAX: usize = 10_000;

/// Why an image cannot be read as stored.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is an E01 set that cannot be opened.
    #[error(transparent)]
    Ewf(#[from] EwfError),
    /// A folder is no image.
    #[error("{} is no image of a medium", .0.display())]
    NoMedium(PathBuf),
}

/// A place that the files do not give.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Damage {
    /// First byte on the medium.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// Why.
    pub why: String,
}

/// An image, open for reading.
pub struct StoredImage {
    content: Content,
    paths: Vec<PathBuf>,
    damage: Mutex<Vec<Damage>>,
}

enum Content {
    Ewf(Box<EwfSet>),
    Raw(Arc<dyn Source>),
}

impl StoredImage {
    /// Opens an image by any of its files.
    ///
    /// # Errors
    /// When it is none or cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoredError> {
        let (content, paths) = if is_ewf(path) {
            let set = EwfSet::open(path)?;
            let paths = set.segments().iter().map(|segment| segment.path.clone()).collect();
            (Content::Ewf(Box::new(set)), paths)
        } else {
            let opened = daleel_image::open(path, None)?;
            let Input::Volume(volume) = opened.input else {
                return Err(StoredError::NoMedium(path.to_owned()));
            };
            (Content::Raw(volume.source), opened.paths)
        };
        Ok(Self { content, paths, damage: Mutex::default() })
    }

    /// The E01 set, if it is one.
    pub fn ewf(&self) -> Option<&EwfSet> {
        match &self.content {
            Content::Ewf(set) => Some(set),
            Content::Raw(_) => None,
        }
    }

    /// Bytes of the medium as far as the image states them; E01 counts whole sectors.
    pub fn bytes(&self) -> u64 {
        match &self.content {
            Content::Ewf(set) => set.media_bytes(),
            Content::Raw(source) => source.len(),
        }
    }

    /// Its files, in order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// What could not be had so far, in the order of the medium.
    pub fn damage(&self) -> Vec<Damage> {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        damage.sort_by_key(|one| one.offset);
        damage
    }

    fn note(&self, offset: u64, length: u64, why: String) {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = damage.last_mut()
            && last.offset.saturating_add(last.length) == offset
            && last.why == why
        {
            last.length = last.length.saturating_add(length);
        } else if damage.len() < DAMAGE_MAX {
            damage.push(Damage { offset, length, why });
        }
    }

    fn fill_from_set(&self, set: &EwfSet, offset: u64, buf: &mut [u8]) {
        let mut at = offset;
        let mut rest = buf;
        let chunk_bytes = u64::try_from(set.chunk_bytes()).unwrap_or(u64::MAX);
        let mut whole = Vec::new();
        while !rest.is_empty() {
            let index = at.checked_div(chunk_bytes).unwrap_or(u64::MAX);
            let extent = set.chunk_extent(index);
            let skip = usize::try_from(at.saturating_sub(extent.offset())).unwrap_or(usize::MAX);
            let length = usize::try_from(extent.len()).unwrap_or(usize::MAX).saturating_sub(skip);
            if length == 0 || extent.is_empty() {
                rest.fill(0);
                self.note(at, rest.len() as u64, "behind the end of the image".to_owned());
                return;
            }
            let (target, later) = rest.split_at_mut(length.min(rest.len()));
            let taken = target.len();
            let read = if skip == 0 && target.len() as u64 == extent.len() {
                set.read_chunk(index, target)
            } else {
                whole.resize(set.chunk_bytes(), 0);
                let read = set.read_chunk(index, &mut whole);
                let part = whole.get(skip..skip.saturating_add(taken)).unwrap_or_default();
                if part.len() == target.len() {
                    target.copy_from_slice(part);
                }
                read
            };
            if let Err(error) = read {
                target.fill(0);
                self.note(at, taken as u64, error.to_string());
            }
            at = at.saturating_add(taken as u64);
            rest = later;
        }
    }

    fn fill_from_source(&self, source: &dyn Source, offset: u64, buf: &mut [u8]) {
        let wanted = Extent::new(offset, buf.len() as u64);
        let Err(error) = source.read_exact_at(offset, buf) else { return };
        // What is there is checked all the same: hole by hole, or block by block where the system fails.
        buf.fill(0);
        let holes = source.holes(wanted);
        if holes.is_empty() {
            self.note_failing(source, wanted, buf, &error);
            return;
        }
        let mut from = offset;
        for (hole, why) in &holes {
            self.fill_part(source, offset, from..hole.offset(), buf);
            self.note(hole.offset(), hole.len(), why.to_string());
            from = hole.end();
        }
        self.fill_part(source, offset, from..wanted.end(), buf);
    }

    fn fill_part(
        &self,
        source: &dyn Source,
        base: u64,
        range: std::ops::Range<u64>,
        buf: &mut [u8],
    ) {
        let index = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
        let Some(part) = buf.get_mut(index(range.start)..index(range.end)) else { return };
        if let Err(error) = source.read_exact_at(range.start, part) {
            part.fill(0);
            self.note(range.start, part.len() as u64, error.to_string());
        }
    }

    fn note_failing(&self, source: &dyn Source, wanted: Extent, buf: &mut [u8], error: &ReadError) {
        const STEP: usize = 4096;
        let mut at = wanted.offset();
        for part in buf.chunks_mut(STEP) {
            if source.read_exact_at(at, part).is_err() {
                part.fill(0);
                self.note(at, part.len() as u64, reason(error));
            }
            at = at.saturating_add(part.len() as u64);
        }
    }
}

/// The words of an error without its place, so that neighbours join.
fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Hole { hole, .. } => hole.to_string(),
        ReadError::Io { error, .. } => error.to_string(),
    }
}

impl Feed for StoredImage {
    fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        match &self.content {
            Content::Ewf(set) => self.fill_from_set(set, offset, buf),
            Content::Raw(source) => self.fill_from_source(&**source, offset, buf),
        }
        Ok(())
    }
}

/// Whether a file begins as a segment of an E01 set does.
fn is_ewf(path: &Path) -> bool {
    const SIGNATURES: [[u8; 8]; 3] =
        [*b"EVF\x09\x0d\x0a\xff\x00", *b"LVF\x09\x0d\x0a\xff\x00", *b"EVF2\x0d\x0a\x81\x00"];
    let mut start = [0; 8];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && SIGNATURES.contains(&start)
}

/// Lets the system forget what it keeps of a file in memory, so that reading it reads the disk.
///
/// # Errors
/// When it cannot be opened; a system that does not take the advice is none.
pub fn forget(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    drop(file);
    Ok(())
}
