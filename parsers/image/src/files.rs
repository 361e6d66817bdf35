//! Reading from files by offset, and many files with few open handles.
//!
//! Split images have up to thousands of pieces and folders up to a million files; both read through one
//! [`FilePool`] that keeps the handles used last.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use daleel_core::{Extent, Hole, ReadError, Source};

use crate::device::Identity;

/// Opens a file for reading and nothing else. Every file and device this crate reads is opened here.
pub(crate) fn open_read_only(path: &Path) -> io::Result<File> {
    File::options().read(true).open(path)
}

/// Fills `buf` from `offset` of the file, or fails; a file that ends earlier is an error.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

/// Fills `buf` from `offset` of the file, or fails; a file that ends earlier is an error.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buf.is_empty() {
        match file.seek_read(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                offset = offset.saturating_add(read as u64);
                buf = buf.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The error of a read from a file of several, with the file's name.
fn named_error(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A short read is no end of file but a file that lost bytes it had. Other errors keep the system's number.
pub(crate) fn explain_short_read(error: io::Error, length: u64) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error;
    }
    let text = format!("the file is shorter than the {length} bytes it had when it was opened");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// The error for a range that reaches past the end of `source`, or `None` when it lies inside.
pub(crate) fn beyond_end(source: &dyn Source, at: Extent) -> Option<ReadError> {
    // An empty range needs no byte, wherever it lies.
    if at.is_empty() {
        return None;
    }
    let (at, hole) = source.holes(at).into_iter().find(|(_, hole)| *hole == Hole::BeyondEnd)?;
    Some(ReadError::Hole { at, hole })
}

/// Handles kept open: far below the 1024 that systems commonly allow a process.
const OPEN_LIMIT: usize = 64;

/// The file handles used last, shared by the files of one input.
#[derive(Default)]
pub(crate) struct FilePool {
    /// Least recently used first.
    open: Mutex<VecDeque<(PathBuf, Arc<File>)>>,
}

impl FilePool {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(PathBuf, Arc<File>)>> {
        // A list of handles has no state that a panic elsewhere could leave half made.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, of: &PooledFile) -> io::Result<Arc<File>> {
        let mut open = self.lock();
        if let Some(at) = open.iter().position(|(path, _)| path.as_os_str() == of.path.as_os_str())
            && let Some(entry) = open.remove(at)
        {
            let file = Arc::clone(&entry.1);
            open.push_back(entry);
            return Ok(file);
        }
        drop(open);
        let file = Arc::new(of.open_checked()?);
        let mut open = self.lock();
        if open.len() >= OPEN_LIMIT {
            open.pop_front();
        }
        open.push_back((of.path.clone(), Arc::clone(&file)));
        Ok(file)
    }

    #[cfg(test)]
    fn open_handles(&self) -> usize {
        self.lock().len()
    }
}

/// A regular file that is opened when it is first read, and again when its handle has left the pool.
pub(crate) struct PooledFile {
    pool: Arc<FilePool>,
    path: PathBuf,
    length: u64,
    identity: Option<Identity>,
}

impl PooledFile {
    /// A file whose size and identity were just looked up.
    pub(crate) fn new(pool: &Arc<FilePool>, path: PathBuf, metadata: &fs::Metadata) -> Self {
        let identity = Identity::of(metadata);
        Self { pool: Arc::clone(pool), path, length: metadata.len(), identity }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the system called it when it was listed.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Opens the file if it is still the one that was listed: another file under the same name is not evidence.
    fn open_checked(&self) -> io::Result<File> {
        // Looked at before opening, since opening a pipe would wait for ever.
        if !fs::symlink_metadata(&self.path)?.is_file() {
            return Err(io::Error::other("is no longer a regular file"));
        }
        let file = open_read_only(&self.path)?;
        if Identity::of(&file.metadata()?) != self.identity {
            return Err(io::Error::other("another file has taken its name since it was listed"));
        }
        Ok(file)
    }
}

impl Source for PooledFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some(error) = beyond_end(self, at) {
            return Err(error);
        }
        self.pool
            .file(self)
            .and_then(|file| read_exact_at(&file, offset, buf))
            .map_err(|error| explain_short_read(error, self.length))
            .map_err(|error| ReadError::Io { at, error: named_error(&error, &self.path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_stay_bounded_and_every_file_stays_readable() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Arc::new(FilePool::default());
        let files: Vec<_> = (0..OPEN_LIMIT * 2)
            .map(|i| {
                let path = folder.path().join(i.to_string());
                fs::write(&path, i.to_string()).unwrap();
                let metadata = fs::metadata(&path).unwrap();
                PooledFile::new(&pool, path, &metadata)
            })
            .collect();
        for _ in 0..2 {
            for (i, file) in files.iter().enumerate() {
                let bytes = (file as &dyn Source).read(Extent::new(0, file.len())).unwrap();
                assert_eq!(bytes, i.to_string().into_bytes());
                assert!(pool.open_handles() <= OPEN_LIMIT);
            }
        }
    }

    /// another file under the same name is refused.
    #[cfg(unix)]
    #[test]
    fn a_replaced_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&path, b"evidence").unwrap();
        fs::write(&other, b"replaced").unwrap();
        let pool = Arc::new(FilePool::default());
        let file = PooledFile::new(&pool, path.clone(), &fs::metadata(&path).unwrap());
        fs::rename(&other, &path).unwrap();
        let error = (&file as &dyn Source).read_array::<8>(0).unwrap_err();
        assert!(error.to_string().contains("another file"), "{error}");
    }
}
