//! Whether this computer is fit to take an image: the self-check (U-14).
//!
//! Facts: `capabilities(7)` (bit 17 SYS_RAWIO, bit 21 SYS_ADMIN), `logind.conf(5)`, `systemd-inhibit(1)` (`/run/systemd/inhibit`),
//! `systemd-timesyncd.service(8)` (`/run/systemd/timesync/synchronized`), `hwclock(8)` (`/etc/adjtime`), `proc_meminfo(5)`; a file on FAT32 is
//! shorter than 4 GiB. The kernel's own word on the clock (`adjtimex`) takes a call that has no safe form, so services are asked.

use std::{fs, path::Path, thread, time::SystemTime};

use serde::Serialize;

use super::{
    sysfs::{Disk, Roots, names, read_bytes, read_text},
    uses::Use,
};

const MIB: u64 = 1024 * 1024;
/// What imaging takes at most, doubled.
const MEMORY_LEAST: u64 = 512 * MIB;
const CAP_SYS_RAWIO: u32 = 17;
const CAP_SYS_ADMIN: u32 = 21;
/// 2024-01-01T00:00:00Z: no computer that runs this is older.
const EARLIEST_SECONDS: u64 = 1_704_067_200;
/// The fastest link of USB 2.
const USB2_MBIT: u32 = 480;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// Should be looked at.
    Warning,
    /// An image should not be taken like this.
    Problem,
}

impl Verdict {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What helps; null when all is well.
    pub hint: Option<String>,
}

fn ok(name: &'static str, text: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Ok, text: text.into(), hint: None }
}

fn bad(
    name: &'static str,
    verdict: Verdict,
    text: impl Into<String>,
    hint: impl Into<String>,
) -> Check {
    Check { name, verdict, text: text.into(), hint: Some(hint.into()) }
}

/// All checks; `out` is where an image is to be written.
pub fn checks(roots: &Roots, out: Option<&Path>) -> Vec<Check> {
    let disks = roots.disks();
    let listed = disks.as_deref().unwrap_or_default();
    let with_uses: Vec<(&Disk, Vec<Use>)> =
        listed.iter().map(|disk| (disk, roots.uses(disk))).collect();
    let mut checks = vec![kernel(roots), privileges(roots)];
    match &disks {
        Ok(_) => checks.extend(write_block(roots, &with_uses)),
        Err(error) => checks.push(bad(
            "write block",
            Verdict::Warning,
            format!("the disks of this system cannot be listed: {error}"),
            "list them with the system's own means, and use a write blocker",
        )),
    }
    checks.extend([automounters(roots), assembly(roots), sleep(roots)]);
    if let Some(out) = out {
        let largest = with_uses.iter().filter(|(_, uses)| !roots.is_system_disk(uses));
        checks.extend(destination(roots, out, largest.map(|(disk, _)| disk.size).max()));
    }
    checks.extend([clock(roots), zone(roots), memory(roots), processor()]);
    checks.extend(listed.iter().filter_map(usb_link));
    checks
}

fn kernel(roots: &Roots) -> Check {
    let Some(release) = read_text(&roots.path("proc/sys/kernel/osrelease")) else {
        return bad(
            "kernel",
            Verdict::Warning,
            format!("this is {}: what is attached cannot be looked at", std::env::consts::OS),
            "take images on Linux",
        );
    };
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 15) {
        return ok("kernel", format!("Linux {release}"));
    }
    let text = format!("Linux {release} does not count changes of media (diskseq, Linux 5.15)");
    bad("kernel", Verdict::Warning, text, "a newer kernel tells better when a device was exchanged")
}

fn privileges(roots: &Roots) -> Check {
    let status = read_text(&roots.path("proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(set) = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()) else {
        return bad("privileges", Verdict::Warning, "not known", "run as root");
    };
    let has = |bit: u32| set.checked_shr(bit).unwrap_or(0) & 1 == 1;
    if has(CAP_SYS_ADMIN) && has(CAP_SYS_RAWIO) {
        return ok("privileges", "root: disks can be set read-only and asked who they are");
    }
    bad(
        "privileges",
        Verdict::Warning,
        "not root: disks cannot be set read-only, nor asked for hidden areas and locks; reading them takes membership in the group of their nodes (often `disk`)",
        "run as root for an image",
    )
}

fn write_block(roots: &Roots, disks: &[(&Disk, Vec<Use>)]) -> Vec<Check> {
    const NAME: &str = "write block";
    let foreign: Vec<_> =
        disks.iter().filter(|(disk, uses)| disk.size > 0 && !roots.is_system_disk(uses)).collect();
    if foreign.is_empty() {
        return vec![ok(NAME, "no disk is attached but the one that this computer runs from")];
    }
    let of_disk = |(disk, uses): &&(&Disk, Vec<Use>)| {
        let node = disk.node.display();
        let parts = disk.partitions.iter().all(|part| part.is_read_only);
        let behind = if disk.usb.as_ref().is_some_and(|usb| usb.is_bridge) {
            ", behind a write blocker by its name; `daleel bridge info` asks it for proof"
        } else {
            ""
        };
        match () {
            () if !uses.is_empty() => {
                let uses: Vec<String> = uses.iter().map(Use::text).collect();
                let text = format!("{node} is in use: {}", uses.join("; "));
                bad(
                    NAME,
                    Verdict::Problem,
                    text,
                    "release it before an image is taken; `daleel devices` says how",
                )
            }
            () if disk.is_read_only && parts => ok(NAME, format!("{node} is read-only{behind}")),
            () => bad(
                NAME,
                Verdict::Warning,
                format!("the system lets programs write to {node} ({}){behind}", disk.title()),
                format!("use a write blocker, or `blockdev --setro {node}`"),
            ),
        }
    };
    foreign.iter().map(of_disk).collect()
}

fn automounters(roots: &Roots) -> Check {
    const NAME: &str = "automount";
    match roots.watchers().automounters.as_slice() {
        [] => ok(NAME, "nothing is known to run that mounts disks on its own"),
        all => bad(
            NAME,
            Verdict::Warning,
            all.join("; "),
            "stop it before evidence is plugged in, as with `systemctl mask --now udisks2`",
        ),
    }
}

fn assembly(roots: &Roots) -> Check {
    const NAME: &str = "assembly";
    match roots.watchers().assemblers.as_slice() {
        [] => ok(NAME, "udev assembles no RAID and no logical volumes"),
        all => bad(
            NAME,
            Verdict::Warning,
            format!("udev assembles what it finds: {}", all.join(", ")),
            "put empty files of the names of its rules into /etc/udev/rules.d, then `udevadm control --reload`",
        ),
    }
}

fn sleep(roots: &Roots) -> Check {
    const NAME: &str = "sleep";
    let states = read_text(&roots.path("sys/power/state")).unwrap_or_default();
    if !["mem", "freeze", "standby"].iter().any(|state| states.split(' ').any(|own| own == *state))
    {
        return ok(NAME, "this computer has no sleep");
    }
    if is_masked(&roots.path("etc/systemd/system/sleep.target")) {
        return ok(NAME, "sleep is switched off (sleep.target is masked)");
    }
    if has_inhibitor(roots) {
        return ok(NAME, "a program keeps this computer from sleeping");
    }
    let lid = logind_setting(roots, "HandleLidSwitch").unwrap_or_else(|| "suspend".to_owned());
    let idle = logind_setting(roots, "IdleAction").unwrap_or_else(|| "ignore".to_owned());
    if !roots.path("run/systemd").exists() {
        let text = "this computer can sleep; what makes it do so is not known here";
        return bad(NAME, Verdict::Warning, text, "switch sleep off in its settings");
    }
    bad(
        NAME,
        Verdict::Warning,
        format!(
            "this computer can sleep: closing the lid does `{lid}`, idling does `{idle}`, and a desktop may have settings of its own"
        ),
        "run as `systemd-inhibit --what=sleep:idle:handle-lid-switch daleel image ...`",
    )
}

fn is_masked(unit: &Path) -> bool {
    fs::read_link(unit).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// A lock that blocks sleep, in the files of logind.
fn has_inhibitor(roots: &Roots) -> bool {
    let folder = roots.path("run/systemd/inhibit");
    let locks = names(&folder).unwrap_or_default();
    locks.iter().filter_map(|name| read_text(&folder.join(name))).any(|lock| {
        let value = |key: &str| {
            lock.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
        };
        value("WHAT").split(':').any(|what| what == "sleep") && value("MODE") == "block"
    })
}

/// A setting of logind, later files over earlier ones.
fn logind_setting(roots: &Roots, key: &str) -> Option<String> {
    let folder = roots.path("etc/systemd/logind.conf.d");
    let own = names(&folder).unwrap_or_default().into_iter().map(|name| folder.join(name));
    let files: Vec<_> = [roots.path("etc/systemd/logind.conf")].into_iter().chain(own).collect();
    files.iter().rev().find_map(|path| {
        let text = read_text(path)?;
        let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(key))?;
        Some(line.trim_start().strip_prefix('=')?.trim().to_owned())
    })
}

/// The nearest folder that exists.
fn existing(path: &Path) -> Option<std::path::PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|folder| fs::canonicalize(folder).ok())
}

fn destination(roots: &Roots, out: &Path, largest: Option<u64>) -> Vec<Check> {
    const NAME: &str = "destination";
    let Some(folder) = existing(out) else {
        let text = format!("{} cannot be reached", out.display());
        return vec![bad(NAME, Verdict::Problem, text, "name another folder")];
    };
    vec![space(&folder, largest), file_system(roots, &folder)]
}

fn space(folder: &Path, largest: Option<u64>) -> Check {
    const NAME: &str = "free space";
    let path = folder.display();
    let free = match free_bytes(folder) {
        Ok(free) => free,
        Err(error) => {
            let text = format!("not known for {path}: {error}");
            return bad(NAME, Verdict::Warning, text, "look with the system's own means");
        }
    };
    match largest {
        Some(size) if size > free => bad(
            NAME,
            Verdict::Warning,
            format!("{path} has {free} bytes free; the largest disk attached has {size}"),
            "an E01 of a disk that is not full may fit; a raw image, or one of a failing disk, does not",
        ),
        _ => ok(NAME, format!("{path} has {free} bytes free")),
    }
}

#[cfg(target_os = "linux")]
fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn free_bytes(_: &Path) -> std::io::Result<u64> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "not on this system"))
}

fn file_system(roots: &Roots, folder: &Path) -> Check {
    const NAME: &str = "file system";
    let mounts = roots.mounts();
    let is_above = |mount: &&super::uses::Mount| folder.starts_with(&mount.point);
    // Of mounts at one point the last one is seen.
    let mount = mounts.iter().filter(is_above).max_by_key(|mount| mount.point.len());
    let Some(mount) = mount else {
        let text = format!("that of {} is not known", folder.display());
        return bad(NAME, Verdict::Warning, text, "FAT32 holds no file of 4 GiB or more");
    };
    let at = format!("{} is on {} ({})", folder.display(), mount.file_system, mount.point);
    match mount.file_system.as_str() {
        "vfat" | "msdos" => bad(
            NAME,
            Verdict::Warning,
            format!("{at}, where no file has 4 GiB or more"),
            "keep to E01 or split raw with pieces below 4 GiB, or format the destination as exFAT, NTFS or ext4",
        ),
        "tmpfs" | "ramfs" | "devtmpfs" | "squashfs" => bad(
            NAME,
            Verdict::Problem,
            format!("{at}, which is gone or full soon"),
            "name a folder on a disk",
        ),
        _ if mount.is_read_only => {
            bad(NAME, Verdict::Problem, format!("{at}, which is read-only"), "name another folder")
        }
        "nfs" | "nfs4" | "cifs" | "smb3" => bad(
            NAME,
            Verdict::Warning,
            format!("{at}, on another computer"),
            "a network that fails ends the job; it can be resumed",
        ),
        _ => ok(NAME, at),
    }
}

fn clock(roots: &Roots) -> Check {
    const NAME: &str = "clock";
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |time| time.as_secs());
    let text = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let text = text.map(|time| time.to_string()).unwrap_or_default();
    if seconds < EARLIEST_SECONDS {
        let found = format!("{text} cannot be right");
        return bad(NAME, Verdict::Problem, found, "set the clock: the record states its times");
    }
    if roots.path("run/systemd/timesync/synchronized").exists() {
        return ok(NAME, format!("{text}, synchronised by systemd-timesyncd"));
    }
    let programs = roots.programs();
    let services = ["chronyd", "ntpd", "ntpsec", "openntpd", "ptp4l", "phc2sys", "gpsd"];
    if let Some(name) = services.iter().find(|name| programs.contains_key(**name)) {
        return ok(NAME, format!("{text}; {name} runs, ask it how well it keeps the time"));
    }
    bad(
        NAME,
        Verdict::Warning,
        format!("{text}; nothing is known to keep it right"),
        "compare it with a reference and note the difference: the record states its times",
    )
}

fn zone(roots: &Roots) -> Check {
    const NAME: &str = "time zone";
    let link = fs::read_link(roots.path("etc/localtime")).ok();
    let link = link.map(|path| path.display().to_string());
    let name = link.as_ref().and_then(|path| Some(path.split_once("zoneinfo/")?.1.to_owned()));
    let name = name.unwrap_or_else(|| "UTC, or not known".to_owned());
    let adjtime = read_text(&roots.path("etc/adjtime")).unwrap_or_default();
    if adjtime.lines().any(|line| line.trim() == "LOCAL") {
        return bad(
            NAME,
            Verdict::Warning,
            format!("{name}; the hardware clock keeps local time"),
            "the time after a start can be wrong by hours: compare it with a reference",
        );
    }
    ok(NAME, format!("{name}; records are in UTC"))
}

fn memory(roots: &Roots) -> Check {
    const NAME: &str = "memory";
    let bytes = read_bytes(&roots.path("proc/meminfo")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let Some(free) = kib.map(|kib| kib.saturating_mul(1024)) else {
        return bad(NAME, Verdict::Warning, "not known", "256 MiB are enough for an image");
    };
    let text = format!("{} MiB are free", free.checked_div(MIB).unwrap_or(0));
    if free >= MEMORY_LEAST {
        ok(NAME, text)
    } else {
        bad(NAME, Verdict::Warning, text, "close other programs: an image takes up to 256 MiB")
    }
}

fn processor() -> Check {
    const NAME: &str = "processor";
    let count = thread::available_parallelism().map_or(1, usize::from);
    if has_sha() {
        return ok(NAME, format!("{count} at work, with instructions for SHA-256"));
    }
    bad(
        NAME,
        Verdict::Warning,
        format!("{count} at work, without instructions for SHA-256"),
        "hashing may be slower than the disk",
    )
}

fn has_sha() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// A disk that could be faster on another socket.
fn usb_link(disk: &Disk) -> Option<Check> {
    const NAME: &str = "usb link";
    let usb = disk.usb.as_ref()?;
    let speed = usb.speed_mbit?;
    let name = disk.node.display();
    if speed > USB2_MBIT {
        return Some(ok(NAME, format!("{name} at {speed} Mbit/s")));
    }
    // A device of USB 3 says 2.10 on a link of USB 2 (USB 3.2, 9.6.1).
    let is_usb3 =
        usb.version.as_deref().is_some_and(|version| !matches!(version, "1.00" | "1.10" | "2.00"));
    if is_usb3 && !usb.is_bridge {
        let text = format!("{name} can do USB 3 and runs at {speed} Mbit/s");
        return Some(bad(NAME, Verdict::Warning, text, "use a USB 3 socket and cable"));
    }
    Some(ok(NAME, format!("{name} at {speed} Mbit/s, about 40 MB/s at most")))
}
