//! Which chunks of an image have a digest of the bridge.
//!
//! Published requirements, section 4.4: an image chunk belongs to the first complete entry for it
//! over all sessions; a later entry with another digest is reported with both values, never hidden;
//! a chunk without an entry has no bridge digest. Whether the image holds zeros in a chunk because
//! it could not be read is the imager's knowledge and comes on top.

use crate::Digest;
use crate::log::{CHUNK, Entry};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::ops::Range;
use std::vec::Vec;

/// The entry that stands for a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Covered {
    /// Number that the caller gave the session.
    pub session: u32,
    /// The entry's number in it.
    pub seq: u64,
    /// SHA-256 of the chunk.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub digest: Digest,
}

/// A chunk that was delivered with different contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Unstable {
    /// The chunk.
    pub chunk: u64,
    /// The entry that stands for it.
    pub first: Covered,
    /// A later entry with another digest.
    pub later: Covered,
}

/// An entry that cannot be of this medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError {
    /// The chunk lies behind the end.
    BehindEnd {
        /// The entry's number.
        seq: u64,
    },
    /// The entry is not as long as the chunk.
    Length {
        /// The entry's number.
        seq: u64,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BehindEnd { seq } => write!(f, "entry {seq} lies behind the end of the medium"),
            Self::Length { seq } => write!(f, "entry {seq} is not as long as its chunk"),
        }
    }
}

impl std::error::Error for ImageError {}

/// The chunks of a medium and the entries for them.
#[derive(Debug, Clone)]
pub struct Image {
    bytes: u64,
    first: BTreeMap<u64, Covered>,
    unstable: Vec<Unstable>,
}

impl Image {
    /// A medium of `bytes` bytes without any entries.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, first: BTreeMap::new(), unstable: Vec::new() }
    }

    /// How many chunks the medium has.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        self.bytes.div_ceil(CHUNK as u64)
    }

    /// Bytes of a chunk; `None` behind the end.
    #[must_use]
    pub fn chunk_len(&self, chunk: u64) -> Option<u32> {
        let left = self.bytes.checked_sub(chunk.checked_mul(CHUNK.into())?)?;
        let len = u32::try_from(left.min(CHUNK.into())).ok()?;
        (len > 0).then_some(len)
    }

    /// Adds the entries of a session, in the order of the sessions. Only entries that a signed
    /// root proves belong here: see [`proven_entries`](super::proven_entries).
    ///
    /// # Errors
    /// [`ImageError`] for the first entry that cannot be of this medium; those before it stay.
    pub fn add_session(&mut self, session: u32, entries: &[Entry]) -> Result<(), ImageError> {
        for entry in entries {
            let seq = entry.seq;
            let len = self.chunk_len(entry.chunk).ok_or(ImageError::BehindEnd { seq })?;
            if len != entry.len {
                return Err(ImageError::Length { seq });
            }
            let later = Covered { session, seq, digest: entry.digest };
            match self.first.entry(entry.chunk) {
                btree_map::Entry::Vacant(place) => {
                    place.insert(later);
                }
                btree_map::Entry::Occupied(place) => {
                    let first = *place.get();
                    if first.digest != later.digest {
                        self.unstable.push(Unstable { chunk: entry.chunk, first, later });
                    }
                }
            }
        }
        Ok(())
    }

    /// The entry that stands for a chunk; `None` when it has no bridge digest.
    #[must_use]
    pub fn covered(&self, chunk: u64) -> Option<&Covered> {
        self.first.get(&chunk)
    }

    /// How many chunks have a bridge digest.
    #[must_use]
    pub fn covered_chunks(&self) -> u64 {
        u64::try_from(self.first.len()).unwrap_or(u64::MAX)
    }

    /// How many bytes lie in chunks that have a bridge digest.
    #[must_use]
    pub fn covered_bytes(&self) -> u64 {
        let len = |chunk: &u64| u64::from(self.chunk_len(*chunk).unwrap_or(0));
        self.first.keys().map(len).fold(0, u64::saturating_add)
    }

    /// The chunks without a bridge digest, as ascending ranges.
    #[must_use]
    pub fn uncovered(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut next = 0;
        for chunk in self.first.keys().copied().chain([self.chunks()]) {
            if next < chunk {
                ranges.push(next..chunk);
            }
            next = chunk.saturating_add(1);
        }
        ranges
    }

    /// Chunks that were delivered with different contents, in the order in which it showed.
    #[must_use]
    pub fn unstable(&self) -> &[Unstable] {
        &self.unstable
    }
}
