//! Which file or device a source is, and whether a path lies on it.
//!
//! Facts: `stat(2)` (device and inode numbers name a file; `st_rdev` names a device), the Linux kernel's
//! `Documentation/ABI/stable/sysfs-block` (`queue/logical_block_size`, `slaves/`), and `makedev(3)` for the layout of
//! a device number. Other systems than Linux state no sector size and no stacking here.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// What the operating system calls a file or device, so that two paths can be told to be the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Number of the device that the file's directory entry lies on.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
    /// For a block device: its own device number, which files on its file system carry as `device`.
    pub block_device: Option<u64>,
}

impl Identity {
    /// The identity that the operating system gives for a file; `None` where it has no such numbers.
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let block_device = metadata.file_type().is_block_device().then(|| metadata.rdev());
        Some(Self { device: metadata.dev(), inode: metadata.ino(), block_device })
    }

    /// The identity that the operating system gives for a file; `None` where it has no such numbers.
    #[cfg(not(unix))]
    pub(crate) fn of(_metadata: &Metadata) -> Option<Self> {
        None
    }

    /// True when the source is a block device.
    pub fn is_block_device(&self) -> bool {
        self.block_device.is_some()
    }

    /// True when `path` is this very file or device, or lies on a file system of this device: on the device
    /// itself, one of its partitions, or (Linux) a mapped or RAID device above it. Links are followed.
    ///
    /// File systems with made-up device numbers (btrfs, overlays) cannot be traced to their disk.
    ///
    /// # Errors
    /// When `path` cannot be looked at.
    pub fn carries(&self, path: &Path) -> io::Result<bool> {
        let Some(other) = Self::of(&fs::metadata(path)?) else { return Ok(false) };
        if (other.device, other.inode) == (self.device, self.inode) {
            return Ok(true);
        }
        let Some(device) = self.block_device else { return Ok(false) };
        let under = other.block_device.unwrap_or(other.device);
        Ok(under == device || is_above(under, device))
    }
}

/// True for a block device node.
pub(crate) fn is_block_device(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type())
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Bytes per logical sector of a block device, where the system states it.
#[cfg(target_os = "linux")]
pub(crate) fn logical_sector_bytes(device: u64) -> Option<u32> {
    let own = sysfs_folder(device).canonicalize().ok()?;
    // A partition has no queue of its own: its disk, one folder up, has.
    let text = [Some(own.as_path()), own.parent()]
        .into_iter()
        .flatten()
        .find_map(|folder| fs::read_to_string(folder.join("queue/logical_block_size")).ok())?;
    let bytes = text.trim().parse().ok()?;
    plausible_sector_bytes(bytes).then_some(bytes)
}

/// Bytes per logical sector of a block device, where the system states it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn logical_sector_bytes(_device: u64) -> Option<u32> {
    None
}

/// True for sector sizes that disks have.
pub(crate) fn plausible_sector_bytes(bytes: u32) -> bool {
    bytes.is_power_of_two() && (512..=65536).contains(&bytes)
}

/// Deepest stack of devices followed; real ones (partition, RAID, volume group, encryption) need about five.
#[cfg(target_os = "linux")]
const STACK_LIMIT: u32 = 16;

#[cfg(target_os = "linux")]
fn sysfs_folder(device: u64) -> std::path::PathBuf {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    format!("/sys/dev/block/{major}:{minor}").into()
}

/// True when block device `upper` is a partition of `lower`, or built on it.
#[cfg(target_os = "linux")]
fn is_above(upper: u64, lower: u64) -> bool {
    let (Ok(upper), Ok(lower)) =
        (sysfs_folder(upper).canonicalize(), sysfs_folder(lower).canonicalize())
    else {
        return false;
    };
    folder_is_above(&upper, &lower, STACK_LIMIT)
}

#[cfg(target_os = "linux")]
fn folder_is_above(upper: &Path, lower: &Path, depth: u32) -> bool {
    // A partition's folder lies inside the folder of its disk.
    if upper.starts_with(lower) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let disk = if upper.join("partition").exists() { upper.parent() } else { None };
    [Some(upper), disk].into_iter().flatten().any(|folder| {
        let slaves = fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten();
        slaves
            .filter_map(|slave| slave.path().canonicalize().ok())
            .any(|slave| folder_is_above(&slave, lower, depth))
    })
}

/// True when block device `upper` is a partition of `lower`, or built on it; not known on this system.
#[cfg(not(target_os = "linux"))]
fn is_above(_upper: u64, _lower: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn device_numbers_are_split_as_makedev_joins_them() {
        assert_eq!(sysfs_folder(0x0801), Path::new("/sys/dev/block/8:1"));
        assert_eq!(sysfs_folder(0x0010_0305), Path::new("/sys/dev/block/3:261"));
    }

    /// U-6: a RAID of partitions lies on the disk that holds one of them.
    #[cfg(target_os = "linux")]
    #[test]
    fn stacked_devices_lead_to_the_disk_below() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["sda/sda1", "sdb/sdb1", "md0/md0p1", "md0/slaves"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("md0/md0p1/partition"), "1\n").unwrap();
        std::os::unix::fs::symlink(root.join("sda/sda1"), root.join("md0/slaves/sda1")).unwrap();
        let above = |upper: &str, lower: &str| {
            folder_is_above(&root.join(upper), &root.join(lower), STACK_LIMIT)
        };
        assert!(above("sda/sda1", "sda"));
        assert!(above("md0/md0p1", "sda"));
        assert!(above("md0", "sda/sda1"));
        assert!(!above("md0/md0p1", "sdb"));
        assert!(!above("sda", "sda/sda1"));
    }

    /// U-6: a file is itself by any of its names.
    #[cfg(unix)]
    #[test]
    fn a_file_carries_itself_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let (image, link, other) =
            (folder.path().join("a.dd"), folder.path().join("b"), folder.path().join("c"));
        fs::write(&image, b"x").unwrap();
        fs::write(&other, b"x").unwrap();
        fs::hard_link(&image, &link).unwrap();
        let identity = Identity::of(&fs::metadata(&image).unwrap()).unwrap();
        assert!(!identity.is_block_device());
        assert!(identity.carries(&link).unwrap());
        assert!(!identity.carries(&other).unwrap());
        assert!(!identity.carries(folder.path()).unwrap());
    }
}
