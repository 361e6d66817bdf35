//! The append-only log of the chunks that left for the host.
//!
//! Published requirements, section 4.4: entries in order of completion, each one chunk of
//! [`CHUNK`] bytes with its SHA-256; leaf and node hashes with the domain bytes of RFC 6962,
//! section 2.1, over an entry layout of our own. The device keeps only the right edge of the tree
//! ([`Frontier`], at most 64 nodes).

use crate::{Digest, sha256};

/// Bytes of a chunk; the last chunk of a drive may be shorter.
pub const CHUNK: u32 = 1 << 20;

/// One chunk that left for the host in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Number of the entry in its session, from 0.
    pub seq: u64,
    /// Byte offset of the chunk divided by [`CHUNK`].
    pub chunk: u64,
    /// Bytes of the chunk.
    pub len: u32,
    /// SHA-256 of these bytes.
    pub digest: Digest,
}

impl Entry {
    /// Bytes of the wire form.
    pub const SIZE: usize = 52;

    /// The wire form: u64be seq, u64be chunk, u32be len, digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let fields = self
            .seq
            .to_be_bytes()
            .into_iter()
            .chain(self.chunk.to_be_bytes())
            .chain(self.len.to_be_bytes())
            .chain(self.digest);
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }

    /// Reads the wire form. Every value of the 52 bytes is an entry.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut entry = Self { seq: 0, chunk: 0, len: 0, digest: [0; 32] };
        if let Some((seq, rest)) = bytes.split_first_chunk::<8>()
            && let Some((chunk, rest)) = rest.split_first_chunk::<8>()
            && let Some((len, rest)) = rest.split_first_chunk::<4>()
            && let Some(digest) = rest.first_chunk::<32>()
        {
            entry = Self {
                seq: u64::from_be_bytes(*seq),
                chunk: u64::from_be_bytes(*chunk),
                len: u32::from_be_bytes(*len),
                digest: *digest,
            };
        }
        entry
    }

    /// SHA-256(00h || wire form), the entry's leaf.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        sha256(&[&[0], &self.to_bytes()])
    }
}

/// SHA-256(01h || left || right), the node above two nodes.
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], left, right])
}

/// The root of a log without entries: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Digest {
    sha256(&[])
}

/// Why an entry was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// Its `seq` is not the number of entries so far.
    OutOfOrder,
    /// The log holds 2^64 - 1 entries.
    Full,
}

/// The right edge of the tree: enough to append and to give the root, 2 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// `nodes[k]` is the root of a complete subtree of 2^k leaves; it counts only while bit k of
    /// `size` is set.
    nodes: [Digest; 64],
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontier {
    /// An empty log.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: [[0; 32]; 64] }
    }

    /// Entries so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Makes the next entry, numbered by the log, and appends it.
    ///
    /// # Errors
    /// [`LogError::Full`].
    pub fn push(&mut self, chunk: u64, len: u32, digest: Digest) -> Result<Entry, LogError> {
        let entry = Entry { seq: self.size, chunk, len, digest };
        self.append(&entry)?;
        Ok(entry)
    }

    /// Appends an entry that carries its number.
    ///
    /// # Errors
    /// [`LogError`]; the log is unchanged then.
    pub fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        if entry.seq != self.size {
            return Err(LogError::OutOfOrder);
        }
        self.append_leaf(entry.leaf())
    }

    /// Appends a leaf hash.
    ///
    /// # Errors
    /// [`LogError::Full`].
    pub fn append_leaf(&mut self, leaf: Digest) -> Result<(), LogError> {
        let size = self.size.checked_add(1).ok_or(LogError::Full)?;
        let mut carry = leaf;
        let mut below = self.size;
        for slot in &mut self.nodes {
            if below & 1 == 0 {
                *slot = carry;
                break;
            }
            carry = node(slot, &carry);
            below >>= 1;
        }
        self.size = size;
        Ok(())
    }

    /// The root over all entries so far (RFC 6962, 2.1).
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut root: Option<Digest> = None;
        let mut left = self.size;
        for part in &self.nodes {
            if left & 1 == 1 {
                root = Some(root.map_or(*part, |right| node(part, &right)));
            }
            left >>= 1;
        }
        root.unwrap_or_else(empty_root)
    }
}

/// The root over entries in their order; `None` when their numbers are not 0, 1, 2, ...
#[must_use]
pub fn root<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Digest> {
    let mut log = Frontier::new();
    for entry in entries {
        log.append(entry).ok()?;
    }
    Some(log.root())
}
