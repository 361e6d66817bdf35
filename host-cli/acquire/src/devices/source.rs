//! From a path to something that can be imaged, with all that is known about it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{
    guard::{Guard, NodeState, Refused},
    hazards::Hazard,
    identity::Report,
    medium::SourceMedium,
    presence::{DevicePresence, number_of},
    sysfs::{Disk, KernelPartition, Roots},
};
use crate::medium::Medium as _;

/// What the content of a file is counted in: recorders' disks have 512-byte sectors as far as is known.
const FILE_SECTOR_BYTES: u32 = 512;

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A whole disk.
    Disk,
    /// A partition of a disk.
    Partition,
    /// A file.
    File,
}

/// What is known about a source without asking the device itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The path as it was given.
    pub path: PathBuf,
    /// What it is.
    pub kind: SourceKind,
    /// Bytes.
    pub size: u64,
    /// Bytes in a logical sector; for a file what its content is counted in.
    pub sector_bytes: u32,
    /// Reads pass the page cache by.
    #[serde(rename = "direct")]
    pub is_direct: bool,
    /// The disk as the kernel lists it.
    pub disk: Option<Disk>,
    /// The partition of it.
    pub partition: Option<KernelPartition>,
    /// Time of change of a file, UTC, RFC 3339.
    pub modified: Option<String>,
    /// Read-only flags of a disk and its partitions, before and after they were set.
    pub read_only: Vec<NodeState>,
}

/// A source that may be read.
pub struct Opened {
    /// Its bytes.
    pub medium: Arc<SourceMedium>,
    /// What it is.
    pub identity: Identity,
    /// Keeps others away from a disk; to be kept as long as it is read.
    pub guard: Option<Guard>,
}

impl Opened {
    /// What it is now, as far as the system says without asking the device: after it was read.
    pub fn identity_now(&self) -> Identity {
        let mut identity = self.identity.clone();
        if let Some(disk) = self.medium.disk() {
            identity.disk = Roots::default().disk(&disk.name);
        }
        if identity.kind == SourceKind::File {
            let modified = fs::metadata(&identity.path).and_then(|metadata| metadata.modified());
            let modified = modified.ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
            identity.modified = modified.map(|time| time.to_string());
        }
        identity
    }

    /// Asks a disk who it is: before and after it is read. `with_smart` is the choice to read its health, which belongs into the
    /// record. A file has nothing to say.
    pub fn ask(&self, with_smart: bool) -> Option<Report> {
        let disk = self.medium.disk()?;
        Some(Report::of_disk(&Roots::default(), &disk, with_smart))
    }

    /// What could write to the disk all the same.
    pub fn hazards(&self) -> Vec<Hazard> {
        let roots = Roots::default();
        let now = self.medium.disk().and_then(|disk| roots.disk(&disk.name));
        now.map(|disk| roots.hazards(&disk, &roots.uses(&disk), &roots.watchers()))
            .unwrap_or_default()
    }
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says so.
    #[error("{path}: {source}")]
    System {
        /// The source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither a block device nor a file.
    #[error("{0} is neither a block device nor a file")]
    OtherKind(PathBuf),
    /// The kernel does not list the device.
    #[error("{0} is not among the devices that the system lists")]
    NotListed(PathBuf),
    /// Nothing is in the drive.
    #[error("{0} has no medium")]
    NoMedium(PathBuf),
    /// It is in use.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Opens a disk, a partition or a file for imaging. A disk that is in use is refused; otherwise it is claimed, and set read-only.
///
/// # Errors
/// [`OpenError`].
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let roots = Roots::default();
    let system = |source| OpenError::System { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(system)?;
    if metadata.is_file() {
        return open_file(path, &metadata).map_err(system);
    }
    let number = number_of(path).ok_or_else(|| OpenError::OtherKind(path.to_owned()))?;
    let whole = roots.disk_of_number(number).map(|disk| (disk, None));
    let part = || roots.partition_of_number(number).map(|(disk, part)| (disk, Some(part)));
    let found = whole.or_else(part).ok_or_else(|| OpenError::NotListed(path.to_owned()))?;
    open_device(roots, path, found.0, found.1)
}

fn open_file(path: &Path, metadata: &fs::Metadata) -> io::Result<Opened> {
    let medium = SourceMedium::file(path, FILE_SECTOR_BYTES)?;
    let modified = metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    let identity = Identity {
        path: path.to_owned(),
        kind: SourceKind::File,
        size: medium.len(),
        sector_bytes: FILE_SECTOR_BYTES,
        is_direct: medium.is_direct(),
        disk: None,
        partition: None,
        modified: modified.map(|time| time.to_string()),
        read_only: Vec::new(),
    };
    Ok(Opened { medium: Arc::new(medium), identity, guard: None })
}

fn open_device(
    roots: Roots,
    path: &Path,
    disk: Disk,
    partition: Option<KernelPartition>,
) -> Result<Opened, OpenError> {
    if disk.size == 0 {
        return Err(OpenError::NoMedium(path.to_owned()));
    }
    let guard = Guard::take(&roots, &disk)?;
    let system = |source| OpenError::System { path: path.to_owned(), source };
    let presence = DevicePresence::new(roots, path, disk.clone(), partition.clone());
    let medium = presence.and_then(SourceMedium::device).map_err(system)?;
    let identity = Identity {
        path: path.to_owned(),
        kind: if partition.is_some() { SourceKind::Partition } else { SourceKind::Disk },
        size: medium.len(),
        sector_bytes: medium.sector_bytes(),
        is_direct: medium.is_direct(),
        disk: Some(disk),
        partition,
        modified: None,
        read_only: guard.states().to_vec(),
    };
    Ok(Opened { medium: Arc::new(medium), identity, guard: Some(guard) })
}
