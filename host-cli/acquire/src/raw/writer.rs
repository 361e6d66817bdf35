//! The medium in order.
//!
//! Facts: `open(2)`, O_DIRECT: past the page cache, with memory, offset and length aligned; a file system may refuse it at `open` or at
//! the first write (EINVAL), and then the page cache is used. Copying into the page cache can cost more processor time than hashing.

use std::{fs, fs::File, io};

use serde::{Deserialize, Serialize};

use super::{FileError, Layout, layout::Part, positioned};
use crate::{ewf::is_zero, medium::ALIGNMENT};

/// Zeros are left out in whole blocks of this many bytes.
const HOLE_BYTES: usize = 64 << 10;

/// How bytes are put into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storing {
    /// Leave out blocks of zeros.
    pub sparse: bool,
    /// Write past the page cache where the file system can.
    pub direct: bool,
}

impl Default for Storing {
    fn default() -> Self {
        Self { sparse: true, direct: true }
    }
}

/// Where an image can be continued, once the file is on the disk up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawCheckpoint {
    /// Bytes of the medium in the image so far.
    pub position: u64,
}

/// Writes one raw image from front to back.
#[derive(Debug)]
pub struct RawWriter {
    layout: Layout,
    storing: Storing,
    piece: Option<Piece>,
    position: u64,
    stopped: bool,
}

/// The file that is written now.
#[derive(Debug)]
struct Piece {
    number: u64,
    file: File,
    /// The same file, past the page cache.
    direct: Option<File>,
}

impl RawWriter {
    /// Begins an image.
    ///
    /// # Errors
    /// When any of its files is there already, or the first cannot be created.
    pub fn create(layout: Layout, storing: Storing) -> Result<Self, FileError> {
        layout.require_absent()?;
        let mut writer = Self { layout, storing, piece: None, position: 0, stopped: false };
        writer.piece = Some(writer.create_piece(0)?);
        Ok(writer)
    }

    /// Continues an image: its last file is cut to the checkpoint, files after that are removed.
    ///
    /// # Errors
    /// When a file is missing or shorter than the checkpoint says, or cannot be cut; nothing is touched before that is known.
    pub fn resume(
        layout: Layout,
        storing: Storing,
        checkpoint: RawCheckpoint,
    ) -> Result<Self, FileError> {
        let position = checkpoint.position.min(layout.media_bytes());
        // At the end of a full piece the next one may not be there yet: the full one is the last then.
        let (last, _) = layout.place(position.saturating_sub(1));
        for piece in 0..=last {
            let end = layout.piece_end(piece, position);
            layout.require_length(piece, end)?;
        }
        for piece in last.saturating_add(1)..layout.pieces() {
            let path = layout.path(piece);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::new("remove", &path, 0)(error));
                }
                _ => {}
            }
        }
        let file = layout.open(last)?;
        let mut writer = Self { layout, storing, piece: None, position, stopped: false };
        let piece = writer.piece_of(last, file);
        writer.set_length(&piece, writer.layout.piece_end(last, position))?;
        piece.file.sync_all().map_err(FileError::new("sync", &writer.layout.path(last), 0))?;
        writer.layout.sync_folder()?;
        writer.piece = Some(piece);
        Ok(writer)
    }

    /// Which files hold what.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes of the medium so far.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Writes the bytes that come next. Slabs in a [`crate::medium::Buffer`], whose lengths are multiples of [`ALIGNMENT`], go past the
    /// page cache where that is wanted and possible.
    ///
    /// # Errors
    /// When a file cannot be written, or there are more bytes than the medium has. After an error nothing more is written; the image
    /// can be continued from its last checkpoint.
    pub fn push(&mut self, slab: &[u8]) -> Result<(), FileError> {
        let room = self.layout.media_bytes().saturating_sub(self.position);
        if self.stopped || slab.len() as u64 > room {
            let why = if self.stopped { "stopped at an earlier error" } else { "past the end" };
            let path = self.layout.path(0);
            return Err(FileError::new("write", &path, self.position)(io::Error::other(why)));
        }
        self.stopped = true;
        let parts: Vec<Part> = self.layout.parts(self.position, slab.len()).collect();
        for part in parts {
            let bytes = slab.get(part.range.clone()).unwrap_or_default();
            self.write_part(part.piece, part.offset, bytes)?;
        }
        self.position = self.position.saturating_add(slab.len() as u64);
        self.stopped = false;
        Ok(())
    }

    /// Where the image stands. When the file ([`RawWriter::sync_handle`]) has then been synced, the image can be continued from here.
    ///
    /// # Errors
    /// When the length of the file cannot be set.
    pub fn checkpoint(&mut self) -> Result<RawCheckpoint, FileError> {
        if let Some(piece) = &self.piece {
            self.set_length(piece, self.layout.piece_end(piece.number, self.position))?;
        }
        Ok(RawCheckpoint { position: self.position })
    }

    /// The file that is written now, to be synced by another thread. Files before it are on the disk.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn sync_handle(&self) -> io::Result<File> {
        match &self.piece {
            Some(piece) => piece.file.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Ends the image and puts it on the disk; its files, in order.
    ///
    /// # Errors
    /// When bytes are missing or the last file cannot be finished.
    pub fn finish(mut self) -> Result<Vec<std::path::PathBuf>, FileError> {
        if self.stopped || self.position != self.layout.media_bytes() {
            let path = self.layout.path(0);
            let why = io::Error::new(io::ErrorKind::UnexpectedEof, "the image is not whole");
            return Err(FileError::new("finish", &path, self.position)(why));
        }
        self.close_piece()?;
        Ok(self.layout.files())
    }

    /// Writes bytes that lie in one piece.
    fn write_part(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        if self.piece.as_ref().is_none_or(|piece| piece.number != number) {
            self.close_piece()?;
            self.piece = Some(self.create_piece(number)?);
        }
        let path = self.layout.path(number);
        let Some(piece) = &mut self.piece else { return Ok(()) };
        for (start, run) in runs(bytes, self.storing.sparse) {
            let at = offset.saturating_add(start as u64);
            piece.write(run, at).map_err(FileError::new("write", &path, at))?;
        }
        Ok(())
    }

    fn create_piece(&self, number: u64) -> Result<Piece, FileError> {
        let file = self.layout.create(number)?;
        Ok(self.piece_of(number, file))
    }

    fn piece_of(&self, number: u64, file: File) -> Piece {
        let path = self.layout.path(number);
        let direct = self.storing.direct.then(|| positioned::open_direct(&path).ok()).flatten();
        Piece { number, file, direct }
    }

    /// Gives the file the length that it has when everything up to here is written, holes at its end included.
    fn set_length(&self, piece: &Piece, length: u64) -> Result<(), FileError> {
        let path = self.layout.path(piece.number);
        piece.file.set_len(length).map_err(FileError::new("set the length of", &path, length))
    }

    /// Finishes the file that is written now.
    fn close_piece(&mut self) -> Result<(), FileError> {
        let Some(piece) = self.piece.take() else { return Ok(()) };
        self.set_length(&piece, self.layout.piece_len(piece.number))?;
        let path = self.layout.path(piece.number);
        piece.file.sync_all().map_err(FileError::new("sync", &path, 0))
    }
}

impl Layout {
    /// Bytes of `piece` when the image reaches to `position`.
    fn piece_end(&self, piece: u64, position: u64) -> u64 {
        let (last, end) = self.place(position);
        if piece < last { self.piece_len(piece) } else { end }
    }

    fn require_length(&self, piece: u64, length: u64) -> Result<(), FileError> {
        let path = self.path(piece);
        let found = fs::metadata(&path).map_err(FileError::new("examine", &path, 0))?.len();
        if found < length {
            let why = format!("the file has {found} bytes, the checkpoint says {length}");
            return Err(FileError::new("continue", &path, found)(io::Error::other(why)));
        }
        Ok(())
    }
}

impl Piece {
    /// Writes past the page cache what can be; a file system that refuses is not asked again.
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct.as_ref().filter(|_| is_aligned(bytes, offset)) {
            match positioned::write_all_at(direct, bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                done => return done,
            }
        }
        positioned::write_all_at(&self.file, bytes, offset)
    }
}

fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    bytes.as_ptr().align_offset(ALIGNMENT) == 0
        && bytes.len().is_multiple_of(ALIGNMENT)
        && offset.is_multiple_of(ALIGNMENT as u64)
}

/// The stretches of `bytes` to be written, with their starts: all of it, or what is between blocks of zeros.
fn runs(bytes: &[u8], sparse: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0usize;
    std::iter::from_fn(move || {
        let block = |at: usize| {
            bytes.get(at..at.saturating_add(HOLE_BYTES).min(bytes.len())).filter(|b| !b.is_empty())
        };
        while sparse && block(next).is_some_and(is_zero) {
            next = next.saturating_add(HOLE_BYTES);
        }
        let start = next;
        while block(next).is_some_and(|block| !sparse || !is_zero(block)) {
            next = next.saturating_add(HOLE_BYTES);
        }
        bytes
            .get(start..next.min(bytes.len()))
            .filter(|run| !run.is_empty())
            .map(|run| (start, run))
    })
}
