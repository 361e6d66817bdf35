//! What is read: positioned reads of a device or a file, with errors that tell a bad sector from a lost device.
//!
//! Facts: `open(2)` (O_DIRECT wants offset, length and memory aligned to the logical sector; 4096 serves every disk), `read(2)` (a
//! read that ends early without an error), Linux `block/blk-core.c` (which error numbers the block layer gives).

use std::{
    io,
    ops::{Deref, DerefMut},
};

/// Alignment of buffers, and of offsets and lengths where a device is read past the page cache, in bytes.
pub const ALIGNMENT: usize = 4096;

/// Bytes in memory that begin at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
pub struct Buffer {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Zeros.
    pub fn new(len: usize) -> Self {
        let storage = vec![0; len.saturating_add(ALIGNMENT)];
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { storage, start, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.storage.get(self.start..self.start.saturating_add(self.len)).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = self.start.saturating_add(self.len);
        self.storage.get_mut(self.start..end).unwrap_or_default()
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// The device is there and says that it cannot deliver these bytes.
    #[error("unreadable: {0}")]
    Unreadable(io::Error),
    /// The device is gone, is another one, or no longer answers; nothing is said about the bytes.
    #[error("lost: {0}")]
    Lost(String),
}

/// Something to be imaged.
///
/// Nothing here writes. Offsets and lengths are multiples of the sector size, except at the end of a file.
pub trait Medium: Send + Sync {
    /// Size in bytes.
    fn len(&self) -> u64;

    /// True when there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes per logical sector.
    fn sector_bytes(&self) -> u32;

    /// Fills `buf` with the bytes at `offset`. A read that ends early is [`MediumError::Lost`], never padding.
    ///
    /// # Errors
    /// [`MediumError::Unreadable`] when any byte of the range cannot be had, whatever its place in the range.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError>;

    /// Asked after an error, before it is put down to the medium: the same device, of the same size, in the same state.
    ///
    /// # Errors
    /// [`MediumError::Lost`] with what is not as it was.
    fn check_presence(&self) -> Result<(), MediumError>;
}
