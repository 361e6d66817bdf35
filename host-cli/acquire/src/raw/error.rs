//! What the file system refused, with the place.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A file could not be written, read or arranged.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {} at byte {offset}: {source}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Offset in it, in bytes.
    pub offset: u64,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Names the place of an error of the system.
    pub(crate) fn new<'a>(
        action: &'static str,
        path: &'a Path,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self { action, path: path.to_owned(), offset, source }
    }

    /// True when there is no room left, or the file may not grow further.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.source.kind(), error)
    }
}
