//! A device or a file as a [`Medium`]: what is a bad sector, what is a lost device, and how it is found again.
//!
//! Facts: Linux `block/blk-core.c`, `blk_errors` (ENODATA medium error, EREMOTEIO target error, EILSEQ protection, ETIMEDOUT, ENOLINK
//! transport, ENODEV offline, EIO the rest), `errno(3)`. EIO alone does not tell: an adapter that hangs, or a server that died behind a
//! network or loop device, gives it for every sector. So an error is put down to the medium only after the device has delivered again
//! a sector that it delivered before.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    presence::{DevicePresence, FilePresence, Presence},
    reader::{Fault, Reader},
    sysfs::Disk,
};
use crate::medium::{ALIGNMENT, Buffer, Medium, MediumError};

/// Bytes at the beginning and at the end that prove that it is the same medium.
const SAMPLE_BYTES: u64 = 1024 * 1024;
/// Longest sample that is read again at once.
const SAMPLE_MAX: u64 = 16 * 1024 * 1024;
/// A smaller sample, where the large one has a bad sector, and how many places are tried.
const SMALL_SAMPLE_BYTES: u64 = 4096;
const SMALL_SAMPLES: u64 = 16;
/// Bytes of a place that was read before and is read again after an error.
const WITNESS_BYTES: usize = 4096;
/// Places kept: one of them may have gone bad since.
const WITNESSES: usize = 4;
/// How often all of them are tried, and the pause between: the reset of a bus takes that long.
const ROUNDS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(500);

/// A stretch of a medium with its digest: read again after a reconnect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Sample {
    /// The sample of bytes that were read at `offset`.
    pub fn of(offset: u64, bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { offset, len: u64::try_from(bytes.len()).unwrap_or(u64::MAX), sha256 }
    }
}

/// A device or a file, open for reading.
pub struct SourceMedium {
    presence: Box<dyn Presence>,
    reader: RwLock<Arc<Reader>>,
    sector_bytes: u32,
    witnesses: Mutex<VecDeque<Witness>>,
}

/// A few bytes that were read.
struct Witness {
    offset: u64,
    bytes: Vec<u8>,
}

impl SourceMedium {
    /// Opens a block device. Its identity and its read-only state are from now on what it is compared with.
    ///
    /// # Errors
    /// When it cannot be opened, or its size is not the one listed.
    pub(crate) fn device(presence: DevicePresence) -> io::Result<Self> {
        let sector_bytes = presence.sector_bytes();
        let reader = presence.open()?;
        Ok(Self::new(Box::new(presence), reader, sector_bytes))
    }

    /// Opens a file; `sector_bytes` is what its content is counted in.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(path: &Path, sector_bytes: u32) -> io::Result<Self> {
        let presence = FilePresence::new(path)?;
        let reader = presence.open()?;
        Ok(Self::new(Box::new(presence), reader, sector_bytes))
    }

    fn new(presence: Box<dyn Presence>, reader: Reader, sector_bytes: u32) -> Self {
        let reader = RwLock::new(Arc::new(reader));
        Self { presence, reader, sector_bytes, witnesses: Mutex::default() }
    }

    /// Whether reads pass the page cache by.
    pub fn is_direct(&self) -> bool {
        self.reader().is_direct()
    }

    /// The disk as it was listed when it was opened or found again; none for a file.
    pub fn disk(&self) -> Option<Disk> {
        self.presence.disk()
    }

    /// The first and the last MiB, to be given to [`SourceMedium::reconnect`]; where one cannot be read, the first 4 KiB of it that
    /// can be.
    ///
    /// # Errors
    /// [`MediumError::Lost`] when the device is gone.
    pub fn samples(&self) -> Result<Vec<Sample>, MediumError> {
        let size = SAMPLE_BYTES.min(self.len());
        let last = self.len().saturating_sub(size);
        // The last sample begins at a sector, and ends with the medium.
        let last = last.checked_next_multiple_of(u64::from(self.sector_bytes.max(1)));
        let mut samples = Vec::new();
        samples.extend(self.sample_in(0, size)?);
        if let Some(last) = last.filter(|last| *last > 0 && *last < self.len()) {
            samples.extend(self.sample_in(last, self.len().saturating_sub(last))?);
        }
        Ok(samples)
    }

    fn sample_in(&self, offset: u64, len: u64) -> Result<Option<Sample>, MediumError> {
        let pieces = (0..SMALL_SAMPLES).filter_map(|piece| {
            let start = piece.checked_mul(SMALL_SAMPLE_BYTES)?;
            let left = len.checked_sub(start).filter(|left| *left > 0)?;
            Some((offset.checked_add(start)?, left.min(SMALL_SAMPLE_BYTES)))
        });
        for (offset, len) in [(offset, len)].into_iter().filter(|(_, len)| *len > 0).chain(pieces) {
            let mut buffer = Buffer::new(usize::try_from(len).unwrap_or(0));
            match self.read_at(offset, &mut buffer) {
                Ok(()) => return Ok(Some(Sample::of(offset, &buffer))),
                Err(MediumError::Unreadable(_)) => {}
                Err(lost) => return Err(lost),
            }
        }
        Ok(None)
    }

    /// Opens the source again, where it is now, and goes on with it if it is the same: serial, size, sectors and read-only state, then
    /// `samples` by their digests. Of a medium that fails, a sample may be gone by now: one that is the same is enough, and one that
    /// differs is too many. One attempt; the caller decides how long to wait.
    ///
    /// # Errors
    /// [`MediumError::Lost`] with what was expected and what was found; reads then go on to fail.
    pub fn reconnect(&self, samples: &[Sample]) -> Result<(), MediumError> {
        let reader = self.presence.find().map_err(MediumError::Lost)?;
        self.witnesses().clear();
        let mut unread = None;
        let mut same = 0_usize;
        for sample in samples {
            match compare(&reader, sample) {
                Ok(bytes) => {
                    same = same.saturating_add(1);
                    self.keep(sample.offset, &bytes);
                }
                Err(Unlike::Unreadable(why)) => unread = Some(why),
                Err(Unlike::Other(why)) => return Err(MediumError::Lost(why)),
            }
        }
        if let Some(why) = unread.filter(|_| same == 0) {
            return Err(MediumError::Lost(why));
        }
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reader);
        self.check_presence()
    }

    fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn witnesses(&self) -> std::sync::MutexGuard<'_, VecDeque<Witness>> {
        self.witnesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the end of what was read: the next read is near it, so reading it again costs the least.
    fn keep(&self, offset: u64, bytes: &[u8]) {
        let start = bytes.len().saturating_sub(WITNESS_BYTES);
        let Some(end) = bytes.get(start..).filter(|end| !end.is_empty()) else { return };
        let offset = offset.saturating_add(to_u64(start));
        let mut witnesses = self.witnesses();
        witnesses.retain(|old| old.offset != offset);
        let mut kept = match witnesses.len() {
            WITNESSES.. => witnesses.pop_front().map(|old| old.bytes).unwrap_or_default(),
            _ => Vec::new(),
        };
        kept.clear();
        kept.extend_from_slice(end);
        witnesses.push_back(Witness { offset, bytes: kept });
    }

    /// Reads again what was read before.
    fn hear_witnesses(&self, reader: &Reader) -> Result<(), String> {
        let places: Vec<(u64, Option<Vec<u8>>)> = {
            let witnesses = self.witnesses();
            let newest_first = witnesses.iter().rev();
            newest_first.map(|one| (one.offset, Some(one.bytes.clone()))).collect()
        };
        let places = if places.is_empty() { self.places_to_try() } else { places };
        let mut last = None;
        for round in 0..ROUNDS {
            if round > 0 {
                thread::sleep(PAUSE);
            }
            for (offset, before) in &places {
                let size = before.as_ref().map_or(to_usize(self.sector_bytes), Vec::len);
                let mut buffer = Buffer::new(size);
                match reader.read(*offset, &mut buffer) {
                    Ok(()) if before.as_ref().is_none_or(|bytes| **bytes == *buffer) => {
                        return Ok(());
                    }
                    Ok(()) => return Err(format!("other data at {offset} than before")),
                    Err(Fault::Short { offset, .. }) => {
                        return Err(format!("it ends at {offset} without an error"));
                    }
                    Err(Fault::System(error)) => last = Some(error),
                }
            }
        }
        let error = last.map(|error| error.to_string()).unwrap_or_default();
        let which = if places.iter().any(|(_, bytes)| bytes.is_some()) {
            "what could be read before cannot be read any more"
        } else {
            "nothing can be read: not the first sector, not one in the middle, not the last"
        };
        Err(format!("{which} ({error})"))
    }

    /// Where nothing has been read yet.
    fn places_to_try(&self) -> Vec<(u64, Option<Vec<u8>>)> {
        let sector = u64::from(self.sector_bytes.max(1));
        let sectors = self.len().checked_div(sector).unwrap_or(0);
        let places = [0, sectors.checked_div(2).unwrap_or(0), sectors.saturating_sub(1)];
        let places = places.into_iter().filter(|_| sectors > 0);
        places.map(|place| (place.saturating_mul(sector), None)).collect()
    }
}

impl Medium for SourceMedium {
    fn len(&self) -> u64 {
        self.reader().len()
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let reader = self.reader();
        if offset.checked_add(to_u64(buf.len())).is_none_or(|end| end > reader.len()) {
            let text = format!("{} bytes at {offset} lie behind the end", buf.len());
            return Err(MediumError::Lost(text));
        }
        match reader.read(offset, buf) {
            Ok(()) => {
                self.keep(offset, buf);
                Ok(())
            }
            Err(Fault::Short { offset, wanted, got }) => Err(MediumError::Lost(format!(
                "a read of {wanted} bytes at {offset} ended after {got} without an error"
            ))),
            Err(Fault::System(error)) if is_of_medium(&error) => {
                self.check_presence()?;
                Err(MediumError::Unreadable(error))
            }
            Err(Fault::System(error)) => Err(MediumError::Lost(error.to_string())),
        }
    }

    fn check_presence(&self) -> Result<(), MediumError> {
        let reader = self.reader();
        self.presence.check(&reader).map_err(MediumError::Lost)?;
        if reader.len() == 0 {
            return Ok(());
        }
        self.hear_witnesses(&reader).map_err(MediumError::Lost)
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(ALIGNMENT)
}

/// Why a sample is not the same.
enum Unlike {
    /// The medium does not give it any more, which says nothing of whose it is.
    Unreadable(String),
    /// It is another one, or the device is not there.
    Other(String),
}

/// Reads a sample again; its bytes when they are the same.
fn compare(reader: &Reader, sample: &Sample) -> Result<Buffer, Unlike> {
    let Sample { offset, len, sha256 } = sample;
    let end = offset.checked_add(*len).filter(|end| *end <= reader.len() && *len <= SAMPLE_MAX);
    let size = end.and_then(|_| usize::try_from(*len).ok());
    let size =
        size.ok_or_else(|| Unlike::Other(format!("there are no {len} bytes at {offset}")))?;
    let mut buffer = Buffer::new(size);
    reader.read(*offset, &mut buffer).map_err(|fault| {
        let told = |why: String| {
            format!("the {len} bytes at {offset} that were read before cannot be read again: {why}")
        };
        match fault {
            Fault::System(error) if is_of_medium(&error) => {
                Unlike::Unreadable(told(error.to_string()))
            }
            Fault::System(error) => Unlike::Other(told(error.to_string())),
            Fault::Short { got, .. } => Unlike::Other(told(format!("the read ended after {got}"))),
        }
    })?;
    let found = Sample::of(*offset, &buffer).sha256;
    if found == *sha256 {
        return Ok(buffer);
    }
    Err(Unlike::Other(format!(
        "another medium: SHA-256 of {len} bytes at {offset}: expected {sha256}, found {found}"
    )))
}

/// Whether an error can be the medium's; any other says that the device is gone, or that something of this computer is wrong.
fn is_of_medium(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let of_medium = [
            Errno::IO,
            Errno::NODATA,
            Errno::REMOTEIO,
            Errno::ILSEQ,
            Errno::BADMSG,
            Errno::TIMEDOUT,
            Errno::TIME,
            Errno::NOLINK,
            Errno::PROTO,
        ];
        Errno::from_io_error(error).is_some_and(|error| of_medium.contains(&error))
    }
    #[cfg(not(target_os = "linux"))]
    {
        // EIO is 5 on every Unix; ERROR_CRC is 23 and ERROR_SECTOR_NOT_FOUND 27 on Windows.
        let of_medium: &[i32] = if cfg!(windows) { &[23, 27, 1117] } else { &[5] };
        error.raw_os_error().is_some_and(|number| of_medium.contains(&number))
    }
}
