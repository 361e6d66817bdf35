//! One pass over a medium: read in order, hashed and encoded beside the reading, written in order, made durable group by group.
//!
//! ```text
//!                 ┌─> one thread for each whole-medium digest ──────── states ──┐
//! reader ─ slabs ─┤                                                             ├─> committer ─> checkpoint
//!                 └─> workers: block digests, encoding ─> writer (in order) ────┘
//! ```
//!
//! Slabs are shared, not copied, and there is a fixed number of them: memory does not grow with the medium. A group is durable when the
//! files' bytes are on the disk, then the checkpoint says so: a run that was killed goes on from the last one and has lost at most the
//! group in hand and the one that was being made durable, 128 MiB together (A-9).

mod stages;

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::{
        Algorithm, WholeHash,
        blocks::{BlockDigest, BlockWriter},
    },
    ewf::{
        chunk::{Batch, Compression},
        plan::Plan,
    },
    medium::{Buffer, MediumError},
};

/// Bytes read at once: a whole number of blocks and of chunks.
pub const SLAB_BYTES: usize = 4 << 20;
/// Bytes between two checkpoints.
pub const GROUP_BYTES: u64 = 64 << 20;
/// Slabs in flight, from reading to writing: two groups would not make it faster.
const SLABS: usize = 12;

/// What a slab without a buffer holds.
static ZEROS: [u8; SLAB_BYTES] = [0; SLAB_BYTES];

/// A piece of the medium on its way.
pub struct Slab {
    /// Its number, from 0 at the begin of this run.
    index: u64,
    /// Where it lies on the medium.
    offset: u64,
    /// None for a slab of zeros.
    buffer: Option<Buffer>,
    length: usize,
    /// Where the buffer goes when everybody is done with it.
    home: crossbeam_channel::Sender<Buffer>,
}

impl Slab {
    /// Offset on the medium in bytes.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.all().get(..self.length).unwrap_or_default()
    }

    fn all(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or(&ZEROS)
    }

    /// Whether it is one that nobody has to look at: all of it zeros, and as long as slabs are.
    fn is_void(&self) -> bool {
        self.buffer.is_none() && self.length == SLAB_BYTES
    }

    /// The bytes, with zeros up to a whole number of sectors.
    fn padded(&self, sector_bytes: u32) -> &[u8] {
        let sector = usize::try_from(sector_bytes).unwrap_or(usize::MAX);
        let length = self.length.checked_next_multiple_of(sector).unwrap_or(self.length);
        self.all().get(..length).unwrap_or_default()
    }

    /// One past its last byte on the medium.
    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::try_from(self.length).unwrap_or(u64::MAX))
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            // Nobody waits for it any more when the run is over.
            let _ = self.home.send(buffer);
        }
    }
}

/// Where the bytes come from: the medium, or a finished raw image.
pub trait Feed: Send + Sync {
    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// When they cannot be had; the run ends there.
    fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError>;

    /// Whether the bytes are known to be zeros without looking: what was not acquired. Most of a partial image is.
    fn is_void(&self, _offset: u64, _length: u64) -> bool {
        false
    }
}

/// Files whose bytes have to be on the disk before a checkpoint holds, and what a sink needs to go on.
pub struct Commit {
    /// Where the sink stands; its own words.
    pub state: serde_json::Value,
    /// What to sync.
    pub files: Vec<File>,
}

/// A destination of the image: bytes in the order of the medium.
pub trait Sink: Send {
    /// Writes a slab, or its encoded form.
    ///
    /// # Errors
    /// When the destination fails.
    fn write(&mut self, slab: &Slab, batch: Option<&Batch>) -> io::Result<()>;

    /// Ends a group: what was written so far can be gone on from.
    ///
    /// # Errors
    /// When the destination fails.
    fn end_group(&mut self) -> io::Result<Commit>;
}

/// What becomes of the blocks' digests, in the order of the medium.
pub trait BlockSink: Send {
    /// Takes the digest of the next block.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn push(&mut self, digest: &BlockDigest) -> io::Result<()>;

    /// Blocks so far.
    fn blocks(&self) -> u64;

    /// Files to sync before what was pushed is durable.
    ///
    /// # Errors
    /// When they cannot be written.
    fn store(&mut self) -> io::Result<Vec<File>>;
}

impl BlockSink for BlockWriter {
    fn push(&mut self, digest: &BlockDigest) -> io::Result<()> {
        Self::push(self, digest)
    }

    fn blocks(&self) -> u64 {
        Self::blocks(self)
    }

    fn store(&mut self) -> io::Result<Vec<File>> {
        Self::store(self)
    }
}

/// From where a run can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Bytes of the medium that are done.
    pub position: u64,
    /// States of the whole-medium digests, in hexadecimal.
    pub hashes: Vec<(Algorithm, String)>,
    /// Blocks in the list.
    pub blocks: u64,
    /// Where each sink stands.
    pub sinks: Vec<serde_json::Value>,
}

/// How encoded chunks are made.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// How hard to try.
    pub compression: Compression,
    /// How the set is cut.
    pub plan: Plan,
}

/// What a run and its onlookers share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Set to end the run at the next slab; the last checkpoint holds.
    pub stop: AtomicBool,
    /// Bytes of the medium that are written.
    pub position: AtomicU64,
}

impl Shared {
    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A pass over a medium, from `start` on.
pub struct Pass<'a, B, S> {
    /// Size of the medium.
    pub media_bytes: u64,
    /// Where to begin: 0, or a checkpoint's position.
    pub start: u64,
    /// Where the bytes come from.
    pub feed: &'a dyn Feed,
    /// Whole-medium digests, standing at `start`.
    pub hashes: Vec<WholeHash>,
    /// The block list, standing at `start`.
    pub blocks: B,
    /// Destinations, standing at `start`.
    pub sinks: Vec<S>,
    /// How to encode, when a sink wants encoded chunks.
    pub encoding: Option<Encoding>,
    /// Threads that encode and hash blocks.
    pub workers: usize,
    /// Makes a checkpoint durable.
    pub commit: &'a mut (dyn FnMut(&Checkpoint) -> io::Result<()> + Send),
    /// Stop and position.
    pub shared: &'a Shared,
}

/// What a complete pass gives.
pub struct Done<B, S> {
    /// Whole-medium digests, standing at the end.
    pub hashes: Vec<WholeHash>,
    /// The block list, to be ended.
    pub blocks: B,
    /// The destinations, to be ended.
    pub sinks: Vec<S>,
}

/// Why a pass ended before the end of the medium.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It was asked to stop.
    #[error("stopped at byte {at}")]
    Stopped {
        /// Where the reader stood.
        at: u64,
    },
    /// The source gave no bytes.
    #[error("at byte {at}: {error}")]
    Medium {
        /// Begin of the read that failed.
        at: u64,
        /// Why.
        error: MediumError,
    },
    /// A destination, the block list or a checkpoint could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// A thread ended as it should not.
    #[error("a thread of the imaging pass failed")]
    Thread,
}

impl<B: BlockSink, S: Sink> Pass<'_, B, S> {
    /// Runs to the end of the medium.
    ///
    /// # Errors
    /// [`PassError`]; the last checkpoint that was committed holds.
    pub fn run(self) -> Result<Done<B, S>, PassError> {
        stages::run(self)
    }
}

/// Shares of the medium that threads hold.
type SharedSlab = Arc<Slab>;
