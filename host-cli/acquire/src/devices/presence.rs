//! Whether a source is still the one that was opened, and where it is after it went away.
//!
//! Facts: Linux `Documentation/ABI/stable/sysfs-block` (`diskseq` counts up when a name is given to another device or medium),
//! `drivers/scsi/scsi_sysfs.c` (`state`: `running`, `offline`, ...).

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{
    reader::{Reader, open_cached},
    sysfs::{DeviceNumber, Disk, KernelPartition, Roots},
};
use crate::{ioctl, medium::ALIGNMENT};

/// What a source is compared with.
pub(crate) trait Presence: Send + Sync {
    /// Says what is not as it was.
    fn check(&self, reader: &Reader) -> Result<(), String>;

    /// Opens the source where it is now, or says why what is there is not it.
    fn find(&self) -> Result<Reader, String>;

    /// The disk as it was listed when it was found last; none for a file.
    fn disk(&self) -> Option<Disk>;
}

/// A file: its length and its time of change.
#[derive(Debug)]
pub(crate) struct FilePresence {
    path: PathBuf,
    before: FileState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    len: u64,
    modified: Option<SystemTime>,
    /// Number of the file on its file system.
    inode: u64,
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { len: metadata.len(), modified: metadata.modified().ok(), inode }
    }
}

impl FilePresence {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let before = FileState::from(&fs::metadata(path)?);
        Ok(Self { path: path.to_owned(), before })
    }

    pub(crate) fn open(&self) -> io::Result<Reader> {
        let len = |file: &File| Ok(file.metadata()?.len());
        Reader::open(&self.path, ALIGNMENT, len)
    }

    fn compare(&self, now: io::Result<Metadata>) -> Result<(), String> {
        let path = self.path.display();
        let now = FileState::from(&now.map_err(|error| format!("{path}: {error}"))?);
        let before = self.before;
        match now {
            now if now == before => Ok(()),
            now if now.len != before.len => {
                Err(format!("{path} had {} bytes and has {}", before.len, now.len))
            }
            now if now.inode != before.inode => Err(format!("{path} is another file")),
            _ => Err(format!("{path} was changed")),
        }
    }
}

impl Presence for FilePresence {
    fn check(&self, reader: &Reader) -> Result<(), String> {
        self.compare(reader.file().metadata())?;
        self.compare(fs::metadata(&self.path))
    }

    fn find(&self) -> Result<Reader, String> {
        self.compare(fs::metadata(&self.path))?;
        self.open().map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn disk(&self) -> Option<Disk> {
        None
    }
}

/// A block device: everything that the kernel says of it, and its read-only state.
#[derive(Debug)]
pub(crate) struct DevicePresence {
    roots: Roots,
    path: PathBuf,
    expected: Disk,
    part: Option<KernelPartition>,
    is_read_only: bool,
    /// The same disk as it is listed now; its name may be another one after a reconnect.
    current: Mutex<Disk>,
}

impl DevicePresence {
    /// The state of a disk, or of one partition of it, as it is now.
    pub(crate) fn new(
        roots: Roots,
        path: &Path,
        disk: Disk,
        part: Option<KernelPartition>,
    ) -> io::Result<Self> {
        let is_read_only = ioctl::is_read_only(&open_cached(path)?)?;
        let current = Mutex::new(disk.clone());
        Ok(Self { roots, path: path.to_owned(), expected: disk, part, is_read_only, current })
    }

    pub(crate) fn sector_bytes(&self) -> u32 {
        self.expected.logical_sector_bytes
    }

    pub(crate) fn open(&self) -> io::Result<Reader> {
        self.open_at(&self.path)
    }

    fn open_at(&self, path: &Path) -> io::Result<Reader> {
        let unit = usize::try_from(self.sector_bytes()).unwrap_or(ALIGNMENT);
        let reader = Reader::open(path, unit, ioctl::size_bytes)?;
        let listed = self.part.as_ref().map_or(self.expected.size, |part| part.length);
        if reader.len() == listed {
            return Ok(reader);
        }
        let text = format!("it is listed with {listed} bytes and has {}", reader.len());
        Err(io::Error::other(text))
    }

    /// Whether a disk of the list can be the expected one, under whatever name.
    fn can_be(&self, disk: &Disk) -> bool {
        let expected = &self.expected;
        let has_name = expected.serial.is_some() || expected.wwn.is_some();
        let place = |disk: &Disk| (disk.bus_path.clone(), disk.loop_file.clone());
        differences(expected, disk).is_empty() && (has_name || place(expected) == place(disk))
    }

    /// The node of the disk or of the partition, and its number.
    fn node(&self, disk: &Disk) -> Result<(PathBuf, DeviceNumber), String> {
        let Some(part) = &self.part else { return Ok((disk.node.clone(), disk.number)) };
        let is_same = |other: &&KernelPartition| {
            (other.index, other.offset, other.length) == (part.index, part.offset, part.length)
        };
        let found = disk.partitions.iter().find(is_same);
        let found = found.ok_or_else(|| {
            format!("{} has no partition {} of {} bytes", disk.name, part.index, part.length)
        })?;
        Ok((self.roots.path("dev").join(&found.name), found.number))
    }

    fn check_read_only(&self, file: &File) -> Result<(), String> {
        let now =
            ioctl::is_read_only(file).map_err(|error| format!("the device is gone: {error}"))?;
        if now == self.is_read_only {
            return Ok(());
        }
        let word = |is_read_only: bool| if is_read_only { "read-only" } else { "writable" };
        Err(format!(
            "the device was {} and is {} now: something or somebody changed that, or it is not the device that it was",
            word(self.is_read_only),
            word(now)
        ))
    }
}

impl Presence for DevicePresence {
    fn check(&self, reader: &Reader) -> Result<(), String> {
        let size = ioctl::size_bytes(reader.file())
            .map_err(|error| format!("the device is gone: {error}"))?;
        if size != reader.len() {
            return Err(format!("the device had {} bytes and has {size}", reader.len()));
        }
        let before = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = self.roots.disk(&before.name);
        let now = now.ok_or_else(|| format!("{} is not attached any more", before.name))?;
        if let Some(first) = differences(&before, &now).first() {
            return Err(format!("{} is another device: {first}", before.name));
        }
        if (now.number, now.sequence) != (before.number, before.sequence) {
            return Err(format!("{} was taken out, and something put in", before.name));
        }
        if let Some(state) = now.state.filter(|state| state != "running" && state != "live") {
            return Err(format!("{} is {state}", before.name));
        }
        self.check_read_only(reader.file())
    }

    fn find(&self) -> Result<Reader, String> {
        let disks = self.roots.disks().map_err(|error| error.to_string())?;
        let same = |disk: &&Disk| self.can_be(disk);
        let by_name = disks.iter().find(|disk| disk.name == self.expected.name);
        let found = by_name.filter(same).or_else(|| disks.iter().find(same)).ok_or_else(|| {
            let there = by_name.map(|disk| differences(&self.expected, disk)).unwrap_or_default();
            match there.as_slice() {
                [] => format!("{} is not attached", self.expected.title()),
                all => format!("{} is another device: {}", self.expected.name, all.join("; ")),
            }
        })?;
        let (node, number) = self.node(found)?;
        let path = if number_of(&self.path) == Some(number) { &self.path } else { &node };
        let reader = self.open_at(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.check_read_only(reader.file())?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(reader)
    }

    fn disk(&self) -> Option<Disk> {
        Some(self.current.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What makes two disks different ones, in words.
fn differences(expected: &Disk, found: &Disk) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let file = |disk: &Disk| disk.loop_file.as_ref().map(|file| file.backing_file.clone());
    let pairs = [
        ("serial number", text(&expected.serial), text(&found.serial)),
        ("model", text(&expected.model), text(&found.model)),
        ("world wide name", text(&expected.wwn), text(&found.wwn)),
        ("bytes", expected.size.to_string(), found.size.to_string()),
        (
            "bytes in a sector",
            expected.logical_sector_bytes.to_string(),
            found.logical_sector_bytes.to_string(),
        ),
        ("file", text(&file(expected)), text(&file(found))),
    ];
    let differing = pairs.into_iter().filter(|(_, expected, found)| expected != found);
    differing
        .map(|(name, expected, found)| format!("{name}: expected {expected}, found {found}"))
        .collect()
}

/// The number of a block device's node.
#[cfg(target_os = "linux")]
pub(crate) fn number_of(path: &Path) -> Option<DeviceNumber> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let metadata = fs::metadata(path).ok().filter(|data| data.file_type().is_block_device())?;
    let number = metadata.rdev();
    Some(DeviceNumber { major: rustix::fs::major(number), minor: rustix::fs::minor(number) })
}

/// The number of a block device's node.
#[cfg(not(target_os = "linux"))]
pub(crate) fn number_of(_: &Path) -> Option<DeviceNumber> {
    None
}
