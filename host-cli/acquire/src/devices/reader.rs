//! Positioned reads of one open file or device, past the page cache where that is possible.
//!
//! Facts: `open(2)`, O_DIRECT: offset, length and memory are multiples of the logical sector, and of what the file system asks for; a read
//! at the end of a file gives what is left. `read(2)`: a read may be interrupted, and may give less than was asked for.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use super::elsewhere::{self, Elsewhere};
use crate::medium::{ALIGNMENT, Buffer};

/// Bytes read at once where the caller's memory does not fit.
const BOUNCE_BYTES: usize = 1024 * 1024;

/// Why bytes could not be had.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system's error.
    System(io::Error),
    /// The read ended without an error: so many bytes of those asked for.
    Short { offset: u64, wanted: u64, got: u64 },
}

/// An open file or device.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    len: u64,
    /// What offset, length and memory are multiples of; `None` through the page cache.
    direct: Option<usize>,
    /// Where the bytes come from in a program of the tests.
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Reader {
    /// Opens for reading, past the page cache where the system lets that happen, with `unit` as the alignment it asks for.
    pub(crate) fn open(
        path: &Path,
        unit: usize,
        len: impl FnOnce(&File) -> io::Result<u64>,
    ) -> io::Result<Self> {
        let unit = unit.max(1);
        if let Some(other) = elsewhere::find(path) {
            let file = open_cached(path)?;
            return Ok(Self { len: other.len(), file, direct: None, elsewhere: Some(other) });
        }
        if let Ok(file) = open_direct(path) {
            let reader = Self { len: len(&file)?, file, direct: Some(unit), elsewhere: None };
            // Some file systems take the flag and refuse the read.
            let refuses = |error: &io::Error| error.kind() == ErrorKind::InvalidInput;
            let mut first = Buffer::new(unit.max(ALIGNMENT));
            let size = usize::try_from(reader.len).unwrap_or(usize::MAX).min(first.len());
            match first.get_mut(..size).map(|buf| reader.read(0, buf)) {
                Some(Err(Fault::System(error))) if refuses(&error) => {
                    let (len, file) = (reader.len, open_cached(path)?);
                    return Ok(Self { len, file, direct: None, elsewhere: None });
                }
                // A sector that cannot be read says nothing about the flag.
                _ => return Ok(reader),
            }
        }
        let file = open_cached(path)?;
        Ok(Self { len: len(&file)?, file, direct: None, elsewhere: None })
    }

    /// The open file.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Whether reads pass the page cache by.
    pub(crate) const fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Fills `buf`.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if let Some(other) = &self.elsewhere {
            return other.read_at(offset, buf).map_err(Fault::System);
        }
        let Some(unit) = self.direct else {
            let wanted = buf.len();
            return self.fill(offset, buf, wanted);
        };
        let is_even = |number: usize| number.is_multiple_of(unit);
        // The remainder by a number of `usize` is one.
        let start = usize::try_from(offset.checked_rem(to_u64(unit)).unwrap_or(0)).unwrap_or(0);
        if start == 0 && is_even(buf.len()) && is_even(buf.as_ptr().addr()) {
            let wanted = buf.len();
            return self.fill(offset, buf, wanted);
        }
        self.read_around(offset, start, buf, unit)
    }

    /// The same with memory of our own around the range.
    fn read_around(
        &self,
        offset: u64,
        mut before: usize,
        buf: &mut [u8],
        unit: usize,
    ) -> Result<(), Fault> {
        let most = BOUNCE_BYTES.next_multiple_of(unit);
        let whole = before.saturating_add(buf.len()).next_multiple_of(unit);
        let mut bounce = Buffer::new(whole.min(most));
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let start = at.saturating_sub(to_u64(before));
            let size = before.saturating_add(rest.len()).next_multiple_of(unit).min(bounce.len());
            let now = size.saturating_sub(before).min(rest.len());
            let end = before.saturating_add(now);
            let room = bounce.get_mut(..size).unwrap_or_default();
            self.fill(start, room, end)?;
            let (done, more) = rest.split_at_mut(now);
            done.copy_from_slice(room.get(before..end).unwrap_or_default());
            rest = more;
            at = at.saturating_add(to_u64(now));
            before = 0;
        }
        Ok(())
    }

    /// Reads until `wanted` bytes of `buf` are filled.
    fn fill(&self, offset: u64, buf: &mut [u8], wanted: usize) -> Result<(), Fault> {
        let mut got = 0_usize;
        while got < wanted {
            let rest = buf.get_mut(got..).unwrap_or_default();
            match read_once(&self.file, rest, offset.saturating_add(to_u64(got))) {
                Ok(now @ 1..) => got = got.saturating_add(now),
                Ok(0) => return Err(short(offset, wanted, got)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // After an odd part of a sector the rest cannot be asked for; only the end of a file is odd.
                Err(error) if error.kind() == ErrorKind::InvalidInput && got > 0 => {
                    return Err(short(offset, wanted, got));
                }
                Err(error) => return Err(Fault::System(error)),
            }
        }
        Ok(())
    }
}

fn short(offset: u64, wanted: usize, got: usize) -> Fault {
    Fault::Short { offset, wanted: to_u64(wanted), got: to_u64(got) }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(unix)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(target_os = "linux")]
fn open_with(path: &Path, more: rustix::fs::OFlags) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | more;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    open_with(path, rustix::fs::OFlags::DIRECT)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<File> {
    Err(io::Error::new(ErrorKind::Unsupported, "not on this system"))
}

/// Opens a device for reading and claims it: nobody can mount it, use it as swap or build on it while the file is open, and nobody does
/// so now (`open(2)`, O_EXCL without O_CREAT: EBUSY when the device is in use by the system).
#[cfg(target_os = "linux")]
pub(crate) fn open_claiming(path: &Path) -> io::Result<File> {
    open_with(path, rustix::fs::OFlags::EXCL)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn open_claiming(_: &Path) -> io::Result<File> {
    Err(io::Error::new(ErrorKind::Unsupported, "not on this system"))
}

/// Opens for reading.
pub(crate) fn open_cached(path: &Path) -> io::Result<File> {
    File::open(path)
}
