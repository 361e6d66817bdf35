//! What uses a disk: mounts, swap, software RAID, logical volumes and whatever else stands on it.
//!
//! Facts: `proc_pid_mountinfo(5)` (fields, and blanks as octal escapes), `/proc/swaps`, Linux `block/holder.c` (`holders`).

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::sysfs::{DeviceNumber, Disk, Roots, Stacked, read_bytes};

/// How a disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UseKind {
    /// A file system is mounted.
    Mounted,
    /// Swap.
    Swap,
    /// Another block device is made of it: RAID, logical volume, encryption.
    Held,
}

/// One use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// How.
    pub kind: UseKind,
    /// The disk, partition or stacked device that is used, by kernel name.
    pub device: String,
    /// Mount point, or the name of the device that holds it.
    pub by: String,
    /// File system of a mount, or kind of the holder (`raid1`, `lvm`, `crypt`).
    pub what: String,
    /// A mount that is read-only; a journal may have been replayed all the same.
    #[serde(rename = "read_only")]
    pub is_read_only: bool,
}

impl Use {
    /// In words.
    pub fn text(&self) -> String {
        let Self { device, by, what, .. } = self;
        match self.kind {
            UseKind::Mounted if self.is_read_only => {
                format!("{device} is mounted read-only at {by} ({what})")
            }
            UseKind::Mounted => format!("{device} is mounted at {by} ({what})"),
            UseKind::Swap => format!("{device} is used as swap"),
            UseKind::Held => format!("{device} is part of {by} ({what})"),
        }
    }
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Number of the device; that of no block device for some file systems.
    pub number: DeviceNumber,
    /// Where.
    pub point: String,
    /// File system.
    pub file_system: String,
    /// What it was mounted from, mostly a node.
    pub source: String,
    /// Nothing can be written through it.
    pub is_read_only: bool,
}

impl Roots {
    /// Everything that uses a disk, its partitions, and what stands on them.
    pub fn uses(&self, disk: &Disk) -> Vec<Use> {
        let stack = self.stack(disk);
        let mounts = self.mounts();
        let swaps = self.swaps();
        let mut uses = Vec::new();
        for one in &stack {
            let is_source = |mount: &&Mount| {
                mount.number == one.number || self.is_node(&mount.source, &one.name)
            };
            uses.extend(mounts.iter().filter(is_source).map(|mount| Use {
                kind: UseKind::Mounted,
                device: one.name.clone(),
                by: mount.point.clone(),
                what: mount.file_system.clone(),
                is_read_only: mount.is_read_only,
            }));
            uses.extend(swaps.iter().filter(|swap| self.is_node(swap, &one.name)).map(|_| Use {
                kind: UseKind::Swap,
                device: one.name.clone(),
                by: "swap".to_owned(),
                what: "swap".to_owned(),
                is_read_only: false,
            }));
            uses.extend(self.holding(one));
        }
        uses.sort_by(|a, b| (a.kind, &a.device).cmp(&(b.kind, &b.device)));
        uses
    }

    /// Whether this computer lives on the disk: its root or boot file systems, or its swap.
    pub fn is_system_disk(&self, uses: &[Use]) -> bool {
        const POINTS: [&str; 6] = ["/", "/usr", "/boot", "/boot/efi", "/efi", "/var"];
        uses.iter().any(|one| match one.kind {
            UseKind::Mounted => POINTS.contains(&one.by.as_str()),
            UseKind::Swap => true,
            UseKind::Held => false,
        })
    }

    /// The mounted file systems of this process.
    pub fn mounts(&self) -> Vec<Mount> {
        let bytes = read_bytes(&self.path("proc/self/mountinfo")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().filter_map(parse_mount).collect()
    }

    /// Files and nodes that are used as swap.
    pub fn swaps(&self) -> Vec<String> {
        let bytes = read_bytes(&self.path("proc/swaps")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        names.map(unescape).collect()
    }

    fn holding(&self, one: &Stacked) -> Option<Use> {
        let lower = one.on.clone()?;
        let upper = self.disk(&one.name)?;
        let (by, what) = match upper.assembly {
            Some(assembly) => (assembly.name, assembly.kind),
            None => (one.name.clone(), upper.transport.as_str().to_owned()),
        };
        Some(Use { kind: UseKind::Held, device: lower, by, what, is_read_only: false })
    }

    /// Whether a path is the node of a device, also by one of its other names.
    fn is_node(&self, path: &str, name: &str) -> bool {
        let Some(own) = path.strip_prefix("/dev/") else { return false };
        let node = self.path("dev").join(own);
        own == name
            || std::fs::canonicalize(&node)
                .is_ok_and(|real| real.file_name() == Some(Path::new(name).as_os_str()))
    }

    /// Names of the running programs, with how many of each; the kernel cuts them at 15 bytes.
    pub fn programs(&self) -> BTreeMap<String, usize> {
        let mut programs = BTreeMap::new();
        for process in super::sysfs::names(&self.path("proc")).unwrap_or_default() {
            if process.bytes().all(|c| c.is_ascii_digit())
                && let Some(name) =
                    super::sysfs::read_text(&self.path("proc").join(process).join("comm"))
            {
                let count: &mut usize = programs.entry(name).or_default();
                *count = count.saturating_add(1);
            }
        }
        programs
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_mount(line: &str) -> Option<Mount> {
    let (own, file_system) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(2);
    let number = own.next()?.parse().ok()?;
    let point = unescape(own.nth(1)?);
    let options = own.next()?;
    let mut file_system = file_system.split(' ');
    let (kind, source) = (file_system.next()?, file_system.next()?);
    let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        number,
        point,
        file_system: unescape(kind),
        source: unescape(source),
        is_read_only: has_ro(options) || has_ro(file_system.next().unwrap_or_default()),
    })
}

/// Blanks, tabs, line ends and backslashes are written as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|code| std::str::from_utf8(code).ok());
        let byte =
            code.filter(|_| *first == b'\\').and_then(|code| u8::from_str_radix(code, 8).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own example, and a mount point with a blank.
    #[test]
    fn a_line_of_mountinfo() {
        let line =
            r"36 35 98:0 /mnt1 /my\040disk rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.number, DeviceNumber { major: 98, minor: 0 });
        assert_eq!((mount.point.as_str(), mount.file_system.as_str()), ("/my disk", "ext3"));
        assert_eq!((mount.source.as_str(), mount.is_read_only), ("/dev/root", false));
        let line = "36 35 98:0 / /mnt rw - ext4 /dev/sda1 ro";
        assert!(parse_mount(line).unwrap().is_read_only);
        assert_eq!(parse_mount("36 35 98:0 / /mnt rw"), None);
        assert_eq!(unescape(r"a\134b\9\04"), r"a\b\9\04");
    }
}
