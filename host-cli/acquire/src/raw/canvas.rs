//! The medium in any order: every file has its full length from the start, and what was not written reads as zeros.
//!
//! Facts: `ftruncate(2)` (a file made longer reads as zeros and takes no room); `fsync(2)` puts on the disk what was written
//! through any handle.

use std::{
    collections::BTreeSet,
    fs::File,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{FileError, Layout, positioned};

/// A raw image that is filled in any order, by several threads if wanted.
#[derive(Debug)]
pub struct RawCanvas {
    layout: Layout,
    hands: Mutex<Hands>,
}

/// One file is open at a time: a large disk in small pieces has more of them than a process may open.
#[derive(Debug, Default)]
struct Hands {
    open: Option<(u64, File)>,
    /// Pieces written since they were last synced.
    dirty: BTreeSet<u64>,
}

impl RawCanvas {
    /// Creates all files at their full length, empty.
    ///
    /// # Errors
    /// When any of them is there already or cannot be created.
    pub fn create(layout: Layout) -> Result<Self, FileError> {
        layout.require_absent()?;
        for piece in 0..layout.pieces() {
            let (path, len) = (layout.path(piece), layout.piece_len(piece));
            let file = layout.create(piece)?;
            file.set_len(len).map_err(FileError::new("set the length of", &path, len))?;
            file.sync_all().map_err(FileError::new("sync", &path, 0))?;
        }
        Ok(Self { layout, hands: Mutex::default() })
    }

    /// Goes on with files that are there.
    ///
    /// # Errors
    /// When one is missing or has another length.
    pub fn open(layout: Layout) -> Result<Self, FileError> {
        for piece in 0..layout.pieces() {
            let (path, len) = (layout.path(piece), layout.piece_len(piece));
            let found = path.metadata().map_err(FileError::new("examine", &path, 0))?.len();
            if found != len {
                let why = format!("the file has {found} bytes, not {len}");
                return Err(FileError::new("continue", &path, found)(std::io::Error::other(why)));
            }
        }
        Ok(Self { layout, hands: Mutex::default() })
    }

    /// Which files hold what.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes `bytes` at their place on the medium.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.require_inside(offset, bytes.len())?;
        let mut hands = self.hands();
        for part in self.layout.parts(offset, bytes.len()) {
            let path = self.layout.path(part.piece);
            hands.dirty.insert(part.piece);
            let file = hands.file(&self.layout, part.piece)?;
            let bytes = bytes.get(part.range).unwrap_or_default();
            positioned::write_all_at(file, bytes, part.offset).map_err(FileError::new(
                "write",
                &path,
                part.offset,
            ))?;
        }
        Ok(())
    }

    /// Reads back.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FileError> {
        self.require_inside(offset, bytes.len())?;
        let mut hands = self.hands();
        for part in self.layout.parts(offset, bytes.len()) {
            let path = self.layout.path(part.piece);
            let file = hands.file(&self.layout, part.piece)?;
            let bytes = bytes.get_mut(part.range).unwrap_or_default();
            positioned::read_exact_at(file, bytes, part.offset).map_err(FileError::new(
                "read",
                &path,
                part.offset,
            ))?;
        }
        Ok(())
    }

    /// Puts on the disk what was written so far.
    ///
    /// # Errors
    /// When the system cannot; what was written is then synced again by the next call.
    pub fn sync(&self) -> Result<(), FileError> {
        // Taken in one go, so that writing goes on beside the syncing.
        let dirty = std::mem::take(&mut self.hands().dirty);
        for piece in &dirty {
            let path = self.layout.path(*piece);
            let synced = self
                .layout
                .open(*piece)
                .and_then(|file| file.sync_data().map_err(FileError::new("sync", &path, 0)));
            if synced.is_err() {
                self.hands().dirty.extend(&dirty);
                return synced;
            }
        }
        Ok(())
    }

    /// A write past the end would make the image longer than the medium.
    fn require_inside(&self, offset: u64, len: usize) -> Result<(), FileError> {
        let end = offset.checked_add(len as u64);
        if end.is_some_and(|end| end <= self.layout.media_bytes()) {
            return Ok(());
        }
        let path = self.layout.path(0);
        Err(FileError::new("reach", &path, offset)(std::io::Error::other("past the end")))
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    fn file(&mut self, layout: &Layout, piece: u64) -> Result<&File, FileError> {
        let opened = match self.open.take() {
            Some(open) if open.0 == piece => open,
            _ => (piece, layout.open(piece)?),
        };
        Ok(&self.open.insert(opened).1)
    }
}
