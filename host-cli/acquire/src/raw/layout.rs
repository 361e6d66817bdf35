//! Which file holds which bytes.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{FileError, positioned};

/// Most pieces: more names than a folder should have.
const PIECES_MAX: u64 = 100_000;

/// Why an image cannot be cut so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A piece holds at least one block of the file system.
    #[error("pieces of {0} bytes are too small, 4096 is the least")]
    PieceTooSmall(u64),
    /// Too many files.
    #[error("pieces of {piece_bytes} bytes would be {pieces}, at most {PIECES_MAX} are written")]
    TooManyPieces {
        /// Size of one, in bytes.
        piece_bytes: u64,
        /// How many.
        pieces: u64,
    },
}

/// The files of a raw image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    folder: PathBuf,
    stem: String,
    media_bytes: u64,
    piece_bytes: Option<u64>,
}

/// A part of a range that lies in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of the file, from 0.
    pub(super) piece: u64,
    /// Offset in it, in bytes.
    pub(super) offset: u64,
    /// Which bytes of the range.
    pub(super) range: Range<usize>,
}

impl Layout {
    /// `folder/stem.raw`, or with `piece_bytes` `folder/stem.001` and on.
    ///
    /// # Errors
    /// When there would be too many pieces.
    pub fn new(
        folder: impl Into<PathBuf>,
        stem: impl Into<String>,
        media_bytes: u64,
        piece_bytes: Option<u64>,
    ) -> Result<Self, LayoutError> {
        let layout = Self { folder: folder.into(), stem: stem.into(), media_bytes, piece_bytes };
        if let Some(bytes) = piece_bytes {
            if bytes < 4096 {
                return Err(LayoutError::PieceTooSmall(bytes));
            }
            let pieces = layout.pieces();
            if pieces > PIECES_MAX {
                return Err(LayoutError::TooManyPieces { piece_bytes: bytes, pieces });
            }
        }
        Ok(layout)
    }

    /// Size of the medium in bytes.
    pub const fn media_bytes(&self) -> u64 {
        self.media_bytes
    }

    /// How many files there are when all is written.
    pub const fn pieces(&self) -> u64 {
        match self.piece_bytes {
            Some(bytes) if bytes > 0 && self.media_bytes > bytes => {
                self.media_bytes.div_ceil(bytes)
            }
            _ => 1,
        }
    }

    /// All files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        (0..self.pieces()).map(|piece| self.path(piece)).collect()
    }

    /// The file of a piece, counted from 0.
    pub(super) fn path(&self, piece: u64) -> PathBuf {
        let extension = match self.piece_bytes {
            Some(_) => format!("{:03}", piece.saturating_add(1)),
            None => "raw".to_owned(),
        };
        self.folder.join(format!("{}.{extension}", self.stem))
    }

    /// Bytes of a piece that is full.
    pub(super) fn piece_len(&self, piece: u64) -> u64 {
        let most = self.piece_bytes.unwrap_or(u64::MAX);
        let start = if piece == 0 { 0 } else { piece.saturating_mul(most) };
        self.media_bytes.saturating_sub(start).min(most)
    }

    /// The piece that holds `offset`, and where in it.
    pub(super) fn place(&self, offset: u64) -> (u64, u64) {
        match self.piece_bytes {
            Some(bytes) if bytes > 0 => (
                offset.checked_div(bytes).unwrap_or(0),
                offset.checked_rem(bytes).unwrap_or(offset),
            ),
            _ => (0, offset),
        }
    }

    /// The parts of `len` bytes at `offset`.
    pub(super) fn parts(&self, offset: u64, len: usize) -> impl Iterator<Item = Part> + '_ {
        let mut done = 0usize;
        std::iter::from_fn(move || {
            let left = len.checked_sub(done).filter(|left| *left > 0)?;
            let (piece, at) = self.place(offset.saturating_add(done as u64));
            let room = self.piece_bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(at));
            let count = usize::try_from(room).unwrap_or(usize::MAX).min(left);
            let range = done..done.saturating_add(count);
            done = range.end;
            Some(Part { piece, offset: at, range })
        })
    }

    /// Creates the file of `piece`. An existing file is left alone.
    pub(super) fn create(&self, piece: u64) -> Result<File, FileError> {
        let path = self.path(piece);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(FileError::new("create", &path, 0))?;
        self.sync_folder()?;
        Ok(file)
    }

    /// Opens the file of `piece` for writing.
    pub(super) fn open(&self, piece: u64) -> Result<File, FileError> {
        let path = self.path(piece);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        file.map_err(FileError::new("open", &path, 0))
    }

    /// Refuses when any of the files is there already.
    pub(super) fn require_absent(&self) -> Result<(), FileError> {
        for path in self.files() {
            let there = path.symlink_metadata().is_ok();
            if there {
                let source = std::io::ErrorKind::AlreadyExists.into();
                return Err(FileError { action: "create", path, offset: 0, source });
            }
        }
        Ok(())
    }

    pub(super) fn sync_folder(&self) -> Result<(), FileError> {
        positioned::sync_folder(&self.folder).map_err(FileError::new(
            "sync the folder",
            &self.folder,
            0,
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_that_other_tools_look_for() {
        let layout = Layout::new("d", "image", 1001 * 4096, Some(4096)).unwrap();
        let files = layout.files();
        assert_eq!(files.len(), 1001);
        for (index, name) in [(0, "image.001"), (998, "image.999"), (999, "image.1000")] {
            assert_eq!(files[index], PathBuf::from("d").join(name));
        }
        let whole = Layout::new("d", "image", 1001 * 4096, None).unwrap();
        assert_eq!(whole.files(), [PathBuf::from("d/image.raw")]);
    }

    #[test]
    fn pieces_have_bounds() {
        assert_eq!(Layout::new("d", "i", 1, Some(4095)), Err(LayoutError::PieceTooSmall(4095)));
        let many = Layout::new("d", "i", 1 << 40, Some(4096)).unwrap_err();
        assert!(matches!(many, LayoutError::TooManyPieces { pieces: 268_435_456, .. }), "{many}");
    }

    proptest! {
        /// Parts follow each other, lie in their pieces and cover the range.
        #[test]
        fn parts_cover_the_range(offset in 0u64..100_000, len in 0usize..100_000, piece in 4096u64..50_000) {
            let layout = Layout::new("d", "i", 200_000, Some(piece)).unwrap();
            let mut done = 0;
            for part in layout.parts(offset, len) {
                prop_assert_eq!(part.range.start, done);
                prop_assert_eq!(part.piece * piece + part.offset, offset + done as u64);
                prop_assert!(part.offset + part.range.len() as u64 <= layout.piece_len(part.piece));
                done = part.range.end;
            }
            prop_assert_eq!(done, len);
            let sum: u64 = (0..layout.pieces()).map(|n| layout.piece_len(n)).sum();
            prop_assert_eq!(sum, 200_000);
        }
    }
}
