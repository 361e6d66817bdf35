//! Room at a destination, and how large a file it takes.
//!
//! Facts: `statvfs(3)`; `statfs(2)` names a file system by its type (Linux `include/uapi/linux/magic.h`: MSDOS 0x4d44, which FAT12,
//! FAT16 and FAT32 share; a file there has at most 2^32 - 1 bytes).

use std::{
    io,
    path::{Path, PathBuf},
};

/// Largest file of FAT32.
const FAT_FILE_MAX: u64 = u32::MAX as u64;

/// The nearest folder above a path that is there.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
    above.unwrap_or(Path::new(".")).to_owned()
}

/// Bytes that may still be written below a folder, which need not be there yet.
///
/// # Errors
/// When the system does not say.
#[cfg(target_os = "linux")]
pub fn free(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(existing(folder))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Largest file that can be made below a folder; `None` where no limit is known.
///
/// # Errors
/// When the system does not say.
#[cfg(target_os = "linux")]
pub fn largest_file(folder: &Path) -> io::Result<Option<u64>> {
    const MSDOS: i128 = 0x4d44;
    let kind = rustix::fs::statfs(existing(folder))?.f_type;
    Ok((i128::from(kind) == MSDOS).then_some(FAT_FILE_MAX))
}

/// Bytes that may still be written; not asked for on this system, so nothing is refused.
///
/// # Errors
/// When the folder's place is not there.
#[cfg(not(target_os = "linux"))]
pub fn free(folder: &Path) -> io::Result<u64> {
    existing(folder).metadata().map(|_| u64::MAX)
}

/// Largest file; not known on this system.
///
/// # Errors
/// When the folder's place is not there.
#[cfg(not(target_os = "linux"))]
pub fn largest_file(folder: &Path) -> io::Result<Option<u64>> {
    existing(folder).metadata().map(|_| None)
}
