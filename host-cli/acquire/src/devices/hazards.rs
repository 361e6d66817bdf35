//! What could write to a disk while nobody looks.
//!
//! Facts: Linux: udisks2, GVfs, autofs and their kin mount what is plugged in; `64-md-raid-assembly.rules` (mdadm) and `69-lvm.rules`
//! (lvm2; `69-dm-lvm-metad.rules` before) have udev assemble what it finds; a read-only mount of ext4 or XFS replays the journal all
//! the same (`mount(8)`, `ro`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    sysfs::{Disk, Roots, Transport},
    uses::{Use, UseKind},
};

/// Programs that mount without being asked, as the kernel cuts their names.
const AUTOMOUNTERS: [&str; 10] = [
    "udisksd",
    "gvfs-udisks2-vo",
    "gvfsd-mtp",
    "automount",
    "udiskie",
    "udevil",
    "devmon",
    "thunar-volman",
    "pcmanfm",
    "usbmount",
];
/// Names of a running udev.
const UDEV: [&str; 4] = ["systemd-udevd", "(udev-worker)", "udevd", "eudev"];
/// Rules by which udev assembles, and what.
const ASSEMBLERS: [(&str, &str); 5] = [
    ("64-md-raid-assembly.rules", "software RAID (mdadm)"),
    ("69-lvm.rules", "logical volumes (LVM)"),
    ("69-dm-lvm.rules", "logical volumes (LVM)"),
    ("69-dm-lvm-metad.rules", "logical volumes (LVM)"),
    ("69-bcache.rules", "caches (bcache)"),
];
const RULE_FOLDERS: [&str; 3] = ["etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"];

/// Kind of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HazardKind {
    /// Mounted, swap, or part of another device.
    InUse,
    /// The kernel lets programs write to it.
    Writable,
    /// Something mounts what is plugged in.
    Automounter,
    /// Something assembles RAID or logical volumes of what is plugged in.
    Assembly,
    /// The device is not well.
    State,
}

/// Something that could write to a disk, or that keeps it from being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hazard {
    /// Kind.
    pub kind: HazardKind,
    /// One sentence.
    pub text: String,
    /// What helps.
    pub hint: String,
}

impl Hazard {
    fn new(kind: HazardKind, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: hint.into() }
    }
}

/// What runs on this computer that could touch a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watchers {
    /// Automounters, in words.
    pub automounters: Vec<String>,
    /// What is assembled without being asked, in words.
    pub assemblers: Vec<String>,
}

impl Roots {
    /// Looks at the running programs, the mounts and the rules.
    pub fn watchers(&self) -> Watchers {
        let programs = self.programs();
        Watchers {
            automounters: self.automounters(&programs),
            assemblers: self.assemblers(&programs),
        }
    }

    fn automounters(&self, programs: &BTreeMap<String, usize>) -> Vec<String> {
        let running = AUTOMOUNTERS.iter().filter(|name| programs.contains_key(**name));
        let mut found: Vec<String> =
            running.map(|name| format!("the program {name} runs")).collect();
        let has_udisks = programs.contains_key("udisksd");
        if self.path("run/udisks2").exists() && !has_udisks {
            found.push("udisks2 has run and starts again when it is asked".to_owned());
        }
        let points = self.mounts().into_iter().filter(|mount| {
            mount.file_system == "autofs" && mount.point != "/proc/sys/fs/binfmt_misc"
        });
        found.extend(points.map(|mount| format!("{} is mounted when it is used", mount.point)));
        found
    }

    fn assemblers(&self, programs: &BTreeMap<String, usize>) -> Vec<String> {
        if !UDEV.iter().any(|name| programs.contains_key(*name)) {
            return Vec::new();
        }
        let has_rule = |rule: &str| {
            let path = RULE_FOLDERS.iter().map(|folder| self.path(folder).join(rule));
            // An empty file, or a link to /dev/null, switches a rule off.
            path.filter_map(|path| std::fs::metadata(path).ok())
                .next()
                .is_some_and(|data| data.len() > 0)
        };
        let mut found: Vec<String> = ASSEMBLERS
            .iter()
            .filter(|(rule, _)| has_rule(rule))
            .map(|(_, what)| (*what).to_owned())
            .collect();
        found.dedup();
        found
    }

    /// What could write to a disk; nothing is said of the disk that this computer runs from.
    pub fn hazards(&self, disk: &Disk, uses: &[Use], watchers: &Watchers) -> Vec<Hazard> {
        if self.is_system_disk(uses) {
            return Vec::new();
        }
        let mut hazards: Vec<Hazard> = uses.iter().map(hazard_of_use).collect();
        let node = disk.node.display();
        let writable: Vec<&str> = [(&disk.name, disk.is_read_only)]
            .into_iter()
            .chain(disk.partitions.iter().map(|part| (&part.name, part.is_read_only)))
            .filter(|(_, is_read_only)| !is_read_only)
            .map(|(name, _)| name.as_str())
            .collect();
        if !writable.is_empty() && disk.size > 0 {
            hazards.push(Hazard::new(
                HazardKind::Writable,
                format!("the system lets programs write to {}", writable.join(", ")),
                format!("use a write blocker; without one `blockdev --setro {node}` comes closest, and `daleel image` does the same"),
            ));
            hazards.extend(hazards_of_watchers(disk, watchers));
        }
        if let Some(state) =
            disk.state.as_ref().filter(|state| *state != "running" && *state != "live")
        {
            hazards.push(Hazard::new(
                HazardKind::State,
                format!("{} is {state}", disk.name),
                "look at the cable, the power and the kernel's log; plug it in again",
            ));
        }
        hazards
    }
}

fn hazard_of_use(one: &Use) -> Hazard {
    let hint = match one.kind {
        UseKind::Mounted if one.is_read_only => {
            format!(
                "a journal may have been replayed when it was mounted: say so in the record; then `umount {}`",
                one.by
            )
        }
        UseKind::Mounted => {
            format!(
                "the disk may have been written to since: say so in the record; then `umount {}`",
                one.by
            )
        }
        UseKind::Swap => format!("`swapoff /dev/{}`, and say so in the record", one.device),
        UseKind::Held => {
            format!(
                "stop {} (`mdadm --stop`, `vgchange -an`, `cryptsetup close`), and say so in the record",
                one.by
            )
        }
    };
    Hazard::new(HazardKind::InUse, one.text(), hint)
}

fn hazards_of_watchers(disk: &Disk, watchers: &Watchers) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    // These are not plugged in, and nothing acts on them on its own.
    if matches!(disk.transport, Transport::Loop | Transport::DeviceMapper | Transport::Md) {
        return hazards;
    }
    if !watchers.automounters.is_empty() {
        hazards.push(Hazard::new(
            HazardKind::Automounter,
            format!("it could be mounted at any time: {}", watchers.automounters.join("; ")),
            "stop it before evidence is plugged in, as with `systemctl mask --now udisks2`",
        ));
    }
    if !watchers.assemblers.is_empty() {
        hazards.push(Hazard::new(
            HazardKind::Assembly,
            format!("udev assembles what it finds: {}", watchers.assemblers.join(", ")),
            "put empty files of the same names into /etc/udev/rules.d, then `udevadm control --reload`",
        ));
    }
    hazards
}
