//! A session: what left for the host between START and the final statement.
//!
//! Facts: the published requirements, sections 4.3, 4.4 and 5.3. START opens a session with an empty log; detach, reset and power-off end
//! it without a statement.

use wb_attest::{Digest, digest::HashEngine, log::Frontier, statement::EndReason};
use wb_policy::{geometry::Geometry, sense::Code};

use crate::{
    Micros,
    chunks::Chunks,
    coverage::{Coverage, Errors},
    drive::Emitted,
    read::{Hashed, Ready},
    ring::Ring,
};

/// Extents of the coverage map.
pub const EXTENTS: usize = 256;
/// Extents of the error map.
pub const ERRORS: usize = 96;

/// The open session's nonce and beginnings.
#[derive(Clone, Debug)]
pub struct Open {
    /// Nonce that came with START.
    pub nonce: Digest,
    /// When it began.
    pub since: Micros,
    /// Statements made so far.
    pub statements: u32,
    /// What had been sent to the drive before.
    pub emitted: Emitted,
}

/// What is kept of a session.
#[derive(Debug)]
pub struct Session<E, const RING: usize> {
    /// The open session.
    pub open: Option<Open>,
    /// Number of the newest session, 0 before the first.
    pub number: u32,
    /// How the session before the newest ended.
    pub previous: Option<EndReason>,
    /// How the newest session ended, while none is open.
    ended: Option<EndReason>,
    /// The chunks that are being hashed.
    pub chunks: Chunks<E>,
    /// Right edge of the log's tree.
    pub log: Frontier,
    /// Entries on their way to the host.
    pub ring: Ring<RING>,
    /// Blocks that left.
    pub coverage: Coverage<EXTENTS>,
    /// Blocks that could not be read.
    pub errors: Errors<ERRORS>,
}

impl<E: HashEngine, const RING: usize> Session<E, RING> {
    /// No session has been opened.
    pub fn new(engine: E) -> Self {
        Self {
            open: None,
            number: 0,
            previous: None,
            ended: None,
            chunks: Chunks::new(engine),
            log: Frontier::new(),
            ring: Ring::default(),
            coverage: Coverage::default(),
            errors: Errors::default(),
        }
    }

    /// Opens a session over a medium; one that was open ends as superseded.
    pub fn begin(&mut self, nonce: Digest, now: Micros, geometry: Geometry, emitted: &Emitted) {
        self.end(EndReason::Superseded);
        self.previous = self.ended.take();
        self.number = self.number.saturating_add(1);
        self.open = Some(Open { nonce, since: now, statements: 0, emitted: *emitted });
        self.chunks.begin(geometry.bytes());
        self.log = Frontier::new();
        self.ring.clear();
        self.coverage.clear();
        self.errors.clear();
    }

    /// Ends the open session, if there is one; says whether there was.
    pub fn end(&mut self, reason: EndReason) -> bool {
        let was_open = self.open.take().is_some();
        if was_open {
            self.ended = Some(reason);
        }
        was_open
    }

    /// The first bytes of a slot wait in the endpoint: from now on they are hashed. An engine beside the processor gets all of
    /// them at once, and works while they leave; the processor takes each packet while it is on the bus.
    #[inline(never)]
    pub fn leaving(&mut self, ready: &mut Ready, data: &[u8], geometry: Geometry) {
        ready.session = Some(self.number);
        ready.hashed = Hashed::All;
        if self.open.is_none() {
            return;
        }
        self.chunks.leaving(ready.lba.saturating_mul(geometry.block_bytes.into()));
        if self.chunks.engine().is_beside() {
            self.chunks.feed(data.get(..ready.bytes).unwrap_or_default());
        } else {
            ready.hashed = Hashed::Packets;
        }
    }

    /// All blocks whose bytes were given to [`Chunks::feed`] since the last such call have left for the host: `bytes` from block `lba`.
    pub fn left(&mut self, lba: u64, geometry: Geometry, bytes: usize) {
        if self.open.is_none() {
            self.chunks.revoke();
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let (log, ring) = (&mut self.log, &mut self.ring);
        self.chunks.commit(&mut |whole| {
            // A log of 2^64 entries is not reached.
            if let Ok(entry) = log.push(whole.chunk, whole.length, whole.digest) {
                ring.push(entry);
            }
        });
        self.coverage.add(lba, bytes.checked_div(geometry.block_bytes.into()).unwrap_or(0));
    }

    /// Blocks could not be read.
    pub fn failed(&mut self, lba: u64, blocks: u64, geometry: Geometry, code: Code) {
        if self.open.is_none() {
            return;
        }
        self.chunks.failed(lba.saturating_mul(u64::from(geometry.block_bytes)));
        self.errors.add(lba, blocks, code);
    }
}
