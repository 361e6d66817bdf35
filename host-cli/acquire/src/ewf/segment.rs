//! One segment file, written at its end.
//!
//! Facts: `open(2)`, O_DIRECT: memory, offset and length are multiples of the block; a file system may refuse it at `open` or at a
//! write (EINVAL), and then the page cache is used. Copying into fresh pages of the cache costs several times the processor time.
//! Sections begin and end anywhere, so bytes are gathered in aligned memory; the end that is no whole block goes through the
//! cache, and again with the block that it becomes part of. Linux keeps both ways coherent.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::{
    medium::{ALIGNMENT, Buffer},
    raw::{FileError, positioned},
};

/// Bytes written at once.
const STAGE_BYTES: usize = 4 << 20;

/// A segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u16,
    pub(super) path: PathBuf,
    file: File,
    length: u64,
    stage: Option<Stage>,
}

/// Bytes at the end of a file that is written past the page cache.
#[derive(Debug)]
struct Stage {
    direct: File,
    bytes: Buffer,
    used: usize,
}

impl Segment {
    /// Creates the file. An existing one is left alone.
    pub(super) fn create(number: u16, path: PathBuf, direct: bool) -> Result<Self, FileError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(FileError::new("create", &path, 0))?;
        let stage = direct.then(|| Stage::open(&path)).flatten();
        Ok(Self { number, path, file, length: 0, stage })
    }

    /// Opens the file to go on at `length`. Nothing is changed before [`Segment::cut`].
    pub(super) fn open(number: u16, path: PathBuf, length: u64) -> Result<Self, FileError> {
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(FileError::new("open", &path, 0))?;
        Ok(Self { number, path, file, length, stage: None })
    }

    /// Bytes of the file, with those that are still to be written.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that are in the file.
    pub(super) fn length_on_disk(&self) -> Result<u64, FileError> {
        let found = self.file.metadata().map_err(FileError::new("examine", &self.path, 0))?;
        Ok(found.len())
    }

    pub(super) fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// `len` bytes at `offset`, which the caller has bounded.
    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, FileError> {
        read(&self.file, &self.path, offset, len)
    }

    /// Removes what stands after `length`, and goes on past the page cache if wanted.
    pub(super) fn cut(&mut self, direct: bool) -> Result<(), FileError> {
        self.file.set_len(self.length).map_err(FileError::new("cut", &self.path, self.length))?;
        self.file.sync_all().map_err(FileError::new("sync", &self.path, self.length))?;
        let Some(mut stage) = direct.then(|| Stage::open(&self.path)).flatten() else {
            return Ok(());
        };
        let part = self.length.checked_rem(ALIGNMENT as u64).unwrap_or(0);
        stage.put(&self.read(self.length.saturating_sub(part), part)?);
        self.stage = Some(stage);
        Ok(())
    }

    /// Leaves room for a descriptor that is not known yet.
    pub(super) fn leave_descriptor(&mut self) -> Result<(), FileError> {
        self.append(&[0; 76])
    }

    /// Adds `bytes` at the end.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            let count = match &mut self.stage {
                Some(stage) => stage.put(bytes),
                None => {
                    self.write_at(bytes, self.length)?;
                    bytes.len()
                }
            };
            self.length = self.length.saturating_add(count as u64);
            bytes = bytes.get(count..).unwrap_or_default();
            if self.stage.as_ref().is_some_and(Stage::is_full) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes over bytes that were added before.
    pub(super) fn patch(&mut self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        let staged = self.stage.as_ref().map_or(0, |stage| stage.used as u64);
        let start = self.length.saturating_sub(staged);
        let before = usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (written, waiting) = bytes.split_at_checked(before).unwrap_or((bytes, &[]));
        if let Some(stage) = &mut self.stage {
            stage.patch(waiting, offset.saturating_sub(start));
        }
        self.write_at(written, offset)
    }

    /// Gives everything to the system; [`Segment::sync`] puts it on the disk.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        let Some(stage) = &mut self.stage else { return Ok(()) };
        let start = self.length.saturating_sub(stage.used as u64);
        let whole = stage.whole();
        match stage.write_whole(start) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let waiting = stage.staged().to_vec();
                self.stage = None;
                self.write_at(&waiting, start)
            }
            Err(error) => Err(FileError::new("write", &self.path, start)(error)),
            Ok(()) => {
                stage.drop_whole();
                let rest = stage.staged();
                let at = start.saturating_add(whole as u64);
                positioned::write_all_at(&self.file, rest, at)
                    .map_err(FileError::new("write", &self.path, at))
            }
        }
    }

    /// Puts the file on the disk.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        self.flush()?;
        self.file.sync_all().map_err(FileError::new("sync", &self.path, self.length))
    }

    /// Goes on through the page cache.
    pub(super) fn use_cache(&mut self) -> Result<(), FileError> {
        self.flush()?;
        self.stage = None;
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        positioned::write_all_at(&self.file, bytes, offset)
            .map_err(FileError::new("write", &self.path, offset))
    }
}

impl Stage {
    /// `None` where the file system has no such way.
    fn open(path: &Path) -> Option<Self> {
        let direct = positioned::open_direct(path).ok()?;
        Some(Self { direct, bytes: Buffer::new(STAGE_BYTES), used: 0 })
    }

    fn is_full(&self) -> bool {
        self.used == self.bytes.len()
    }

    /// Takes as many of `bytes` as there is room for.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..count), bytes.get(..count)) {
            room.copy_from_slice(bytes);
        }
        self.used = self.used.saturating_add(count);
        count
    }

    fn patch(&mut self, bytes: &[u8], offset: u64) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(place) = self.bytes.get_mut(start..start.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    fn staged(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Bytes in whole blocks.
    fn whole(&self) -> usize {
        self.used.saturating_sub(self.used.checked_rem(ALIGNMENT).unwrap_or(0))
    }

    fn write_whole(&self, start: u64) -> io::Result<()> {
        let whole = self.bytes.get(..self.whole()).unwrap_or_default();
        positioned::write_all_at(&self.direct, whole, start)
    }

    fn drop_whole(&mut self) {
        let (whole, used) = (self.whole(), self.used);
        self.bytes.copy_within(whole..used, 0);
        self.used = used.saturating_sub(whole);
    }
}

/// `len` bytes at `offset`, which the caller has bounded.
pub(super) fn read(file: &File, path: &Path, offset: u64, len: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    positioned::read_exact_at(file, &mut bytes, offset)
        .map_err(FileError::new("read", path, offset))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Past the page cache and through it, whatever is added, patched, flushed and gone on with, the files are the same.
        #[test]
        fn both_ways_write_the_same_file(
            steps in prop::collection::vec((0u8..4, 1usize..3_000_000, any::<u8>()), 1..25),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut expected: Vec<u8> = Vec::new();
            let mut segments = [true, false].map(|direct| {
                let path = folder.path().join(direct.to_string());
                Segment::create(1, path, direct).unwrap()
            });
            for (kind, number, byte) in steps {
                let bytes = vec![byte; if kind == 0 { number } else { number % 5_000 }];
                let at = number % (expected.len() + 1);
                let patched = &bytes[..bytes.len().min(expected.len() - at).min(76)];
                for (segment, direct) in segments.iter_mut().zip([true, false]) {
                    match kind {
                        0 | 1 => segment.append(&bytes).unwrap(),
                        2 => segment.patch(patched, at as u64).unwrap(),
                        _ => {
                            segment.flush().unwrap();
                            let length = segment.length();
                            prop_assert_eq!(segment.length_on_disk().unwrap(), length);
                            prop_assert!(segment.read(0, length).unwrap() == expected);
                            *segment = Segment::open(1, segment.path.clone(), length).unwrap();
                            segment.append(b"rubbish").unwrap();
                            *segment = Segment::open(1, segment.path.clone(), length).unwrap();
                            segment.cut(direct).unwrap();
                        }
                    }
                }
                match kind {
                    0 | 1 => expected.extend_from_slice(&bytes),
                    2 => expected[at..at + patched.len()].copy_from_slice(patched),
                    _ => {}
                }
            }
            for segment in &mut segments {
                segment.sync().unwrap();
                prop_assert!(std::fs::read(&segment.path).unwrap() == expected);
            }
        }
    }
}
