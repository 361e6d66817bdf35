//! The disks of this computer as the kernel lists them; nothing is opened and nobody is asked.
//!
//! Facts: Linux `Documentation/ABI/stable/sysfs-block` (sizes count in 512 bytes whatever the sector), `testing/sysfs-bus-usb`,
//! `drivers/scsi/scsi_sysfs.c` (pages of vital product data as files), `drivers/block/loop.c`, `drivers/md/dm-sysfs.c`; the prefix of a
//! bridge's product string: published requirements of the write blocker, section 5.1.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Serialize;
use wb_attest::interface::{PRODUCT_ID, VENDOR_ID};

use super::ata::IdentifyPage;

/// What the product string of every bridge of ours begins with.
const BRIDGE_PREFIX: &str = "Daleel write blocker";
/// Unit of sizes and starts in sysfs.
const SYSFS_SECTOR_BYTES: u64 = 512;
/// No file of sysfs or procfs that is read here is longer.
const READ_MAX: u64 = 4 * 1024 * 1024;
/// Devices stacked on a disk; more is a fault of the tree.
const STACK_MAX: usize = 1024;

/// Where the system's own directories lie: `/`, or a made-up tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::at("/")
    }
}

/// Major and minor number of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Of the driver.
    pub major: u32,
    /// Of the device.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Not `MAJOR:MINOR`.
#[derive(Debug, thiserror::Error)]
#[error("not a device number")]
pub struct NoDeviceNumber;

impl FromStr for DeviceNumber {
    type Err = NoDeviceNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.trim().split_once(':').ok_or(NoDeviceNumber)?;
        let number = |text: &str| text.parse().map_err(|_| NoDeviceNumber);
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl Serialize for DeviceNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a disk is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// SATA or PATA port of this computer.
    Ata,
    /// USB.
    Usb,
    /// NVMe.
    Nvme,
    /// Slot for SD cards or MMC.
    Mmc,
    /// A virtual machine's disk.
    Virtio,
    /// SAS.
    Sas,
    /// Another SCSI host.
    Scsi,
    /// A file that is shown as a disk.
    Loop,
    /// Network block device.
    Nbd,
    /// Device mapper: LVM, encryption, multipath.
    DeviceMapper,
    /// Software RAID.
    Md,
    /// None of these.
    Other,
}

impl Transport {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ata => "ata",
            Self::Usb => "usb",
            Self::Nvme => "nvme",
            Self::Mmc => "mmc",
            Self::Virtio => "virtio",
            Self::Sas => "sas",
            Self::Scsi => "scsi",
            Self::Loop => "loop",
            Self::Nbd => "nbd",
            Self::DeviceMapper => "device-mapper",
            Self::Md => "md",
            Self::Other => "other",
        }
    }
}

/// The USB device that a disk is behind: its adapter, or the disk itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsbLink {
    /// Vendor id, four hexadecimal digits.
    pub vendor_id: String,
    /// Product id, four hexadecimal digits.
    pub product_id: String,
    /// Release (bcdDevice), four digits.
    pub release: String,
    /// Manufacturer string.
    pub manufacturer: Option<String>,
    /// Product string.
    pub product: Option<String>,
    /// Serial string; an adapter's is not the disk's.
    pub serial: Option<String>,
    /// The socket: bus, then the port of each hub, as `2-1.4`.
    pub port: String,
    /// Megabits per second of the link.
    pub speed_mbit: Option<u32>,
    /// USB version that the device announces, as `3.20`.
    pub version: Option<String>,
    /// A write blocker bridge of ours. Its own interface proves that; strings do not.
    #[serde(rename = "bridge")]
    pub is_bridge: bool,
}

/// A file shown as a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoopLink {
    /// The file.
    pub backing_file: String,
    /// Where in it the disk begins, in bytes.
    pub offset: u64,
    /// Reads pass the page cache by.
    pub direct_io: bool,
}

/// A device made of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assembly {
    /// `lvm`, `crypt`, `multipath`, `device-mapper`, or for software RAID its level (`raid1`).
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The devices that it is made of, by kernel name.
    pub parts: Vec<String>,
}

/// A partition as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelPartition {
    /// Kernel name, as `sda1`.
    pub name: String,
    /// Its number in `/dev`.
    pub number: DeviceNumber,
    /// Number in the partition table.
    pub index: u32,
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The kernel refuses to write to it.
    #[serde(rename = "read_only")]
    pub is_read_only: bool,
}

/// A whole disk, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Kernel name, as `sda`.
    pub name: String,
    /// Its node, as `/dev/sda`.
    pub node: PathBuf,
    /// Its number in `/dev`.
    pub number: DeviceNumber,
    /// Counts up whenever another medium or device takes this name; `None` before Linux 5.15.
    pub sequence: Option<u64>,
    /// Bytes; 0 without a medium.
    pub size: u64,
    /// Bytes in a logical sector.
    pub logical_sector_bytes: u32,
    /// Bytes in a physical sector.
    pub physical_sector_bytes: u32,
    /// Maker, where the transport tells it apart from the model.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial number of the disk itself.
    pub serial: Option<String>,
    /// Firmware.
    pub firmware: Option<String>,
    /// World wide name or its like, as `naa.5000c500a1b2c3d4`.
    pub wwn: Option<String>,
    /// The medium can be taken out.
    #[serde(rename = "removable")]
    pub is_removable: bool,
    /// The kernel refuses to write to it.
    #[serde(rename = "read_only")]
    pub is_read_only: bool,
    /// It has platters; `None` where the kernel does not say.
    #[serde(rename = "rotational")]
    pub is_rotational: Option<bool>,
    /// State of a SCSI device, `running` when all is well.
    pub state: Option<String>,
    /// How it is connected.
    pub transport: Transport,
    /// Its place on the buses, below `/sys`.
    pub bus_path: String,
    /// The USB device that it is behind.
    pub usb: Option<UsbLink>,
    /// The file that it shows.
    pub loop_file: Option<LoopLink>,
    /// What it is made of, where it is no disk of its own.
    pub assembly: Option<Assembly>,
    /// Partitions by the kernel, in the order of their numbers.
    pub partitions: Vec<KernelPartition>,
}

impl Disk {
    /// Maker and model in one line, or what the device is.
    pub fn title(&self) -> String {
        let parts: Vec<&str> =
            [self.vendor.as_deref(), self.model.as_deref()].into_iter().flatten().collect();
        match (&self.loop_file, &self.assembly) {
            (Some(file), _) => format!("loop device of {}", file.backing_file),
            (_, Some(assembly)) => format!("{} {}", assembly.kind, assembly.name),
            _ if parts.is_empty() => format!("{} disk", self.transport.as_str()),
            _ => parts.join(" "),
        }
    }
}

/// A block device on which others may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stacked {
    /// Kernel name.
    pub name: String,
    /// Number.
    pub number: DeviceNumber,
    /// Kernel name of what it stands on; none for the disk itself and its partitions.
    pub on: Option<String>,
    folder: PathBuf,
}

impl Roots {
    /// Directories below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path of the system, given without the leading slash.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// Every whole disk: partitions, memory disks and loop devices without a file are left out.
    ///
    /// # Errors
    /// When the system does not list its block devices; on a system other than Linux always.
    pub fn disks(&self) -> io::Result<Vec<Disk>> {
        let folder = self.path("sys/block");
        let names = names(&folder).map_err(|error| {
            let text = format!("{}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        })?;
        let is_memory = |name: &str| name.starts_with("ram") || name.starts_with("zram");
        let disks = names.iter().filter(|name| !is_memory(name)).filter_map(|name| self.disk(name));
        Ok(disks.filter(|disk| disk.size > 0 || disk.transport != Transport::Loop).collect())
    }

    /// One disk by its kernel name.
    pub fn disk(&self, name: &str) -> Option<Disk> {
        let folder = self.block(name)?;
        let real = fs::canonicalize(&folder).ok()?;
        let number = read_text(&folder.join("dev"))?.parse().ok()?;
        if read_flag(&folder.join("hidden")) == Some(true) {
            return None;
        }
        let device = folder.join("device");
        let page = self.identify_page(name);
        let of_page = |get: fn(&IdentifyPage) -> Option<String>| page.as_ref().and_then(get);
        let first = |names: &[&str]| names.iter().find_map(|name| read_text(&device.join(name)));
        let ata_vendor = |vendor: &String| vendor != "ATA" && !vendor.starts_with("0x");
        let mut disk = Disk {
            name: name.to_owned(),
            node: self.path("dev").join(name.replace('!', "/")),
            number,
            sequence: read_number(&folder.join("diskseq")),
            size: sectors(&folder.join("size")),
            logical_sector_bytes: sector_bytes(&folder.join("queue/logical_block_size")),
            physical_sector_bytes: sector_bytes(&folder.join("queue/physical_block_size")),
            vendor: first(&["vendor"]).filter(ata_vendor),
            model: of_page(IdentifyPage::model).or_else(|| first(&["model", "name"])),
            serial: of_page(IdentifyPage::serial)
                .or_else(|| serial_of_page(&read_bytes(&device.join("vpd_pg80"))?))
                .or_else(|| first(&["serial"]))
                .or_else(|| read_text(&folder.join("serial"))),
            firmware: of_page(IdentifyPage::firmware)
                .or_else(|| first(&["firmware_rev", "rev", "fwrev"])),
            wwn: first(&["wwid"]).or_else(|| read_text(&folder.join("wwid"))),
            is_removable: read_flag(&folder.join("removable")).unwrap_or(false),
            is_read_only: read_flag(&folder.join("ro")).unwrap_or(false),
            is_rotational: read_flag(&folder.join("queue/rotational")),
            state: first(&["state"]),
            transport: Transport::Other,
            bus_path: self.bus_path(&real),
            usb: usb_link(&real),
            loop_file: loop_link(&folder),
            assembly: assembly(&folder),
            partitions: partitions(&folder),
        };
        disk.transport = transport(&disk);
        // A memory disk's name is no model.
        if disk.assembly.is_some() || disk.loop_file.is_some() {
            disk.model = None;
        }
        Some(disk)
    }

    /// The disk with this device number.
    pub fn disk_of_number(&self, number: DeviceNumber) -> Option<Disk> {
        let names = names(&self.path("sys/block")).ok()?;
        let is_it = |name: &&String| {
            let dev = self.block(name).and_then(|folder| read_text(&folder.join("dev")));
            dev.and_then(|text| text.parse().ok()) == Some(number)
        };
        names.iter().find(is_it).and_then(|name| self.disk(name))
    }

    /// The disk that has a partition with this device number, and the partition.
    pub fn partition_of_number(&self, number: DeviceNumber) -> Option<(Disk, KernelPartition)> {
        self.disks().ok()?.into_iter().find_map(|disk| {
            let found = disk.partitions.iter().find(|part| part.number == number)?.clone();
            Some((disk, found))
        })
    }

    /// IDENTIFY DEVICE as the kernel read it when the disk was attached (vital product data page 89h), where it keeps it.
    pub fn identify_page(&self, name: &str) -> Option<IdentifyPage> {
        IdentifyPage::of_vpd(&read_bytes(&self.block(name)?.join("device/vpd_pg89"))?)
    }

    /// A page of vital product data that the kernel keeps.
    pub fn vpd_page(&self, name: &str, page: u8) -> Option<Vec<u8>> {
        read_bytes(&self.block(name)?.join(format!("device/vpd_pg{page:02x}")))
    }

    /// The disk, its partitions, and everything that stands on them.
    pub fn stack(&self, disk: &Disk) -> Vec<Stacked> {
        let mut found = self.layer(disk, None);
        let mut seen: BTreeSet<String> = found.iter().map(|one| one.name.clone()).collect();
        let mut next = 0;
        while let Some(one) = found.get(next).filter(|_| found.len() <= STACK_MAX).cloned() {
            next = next.saturating_add(1);
            for holder in names(&one.folder.join("holders")).unwrap_or_default() {
                let new = seen.insert(holder.clone()).then(|| self.disk(&holder)).flatten();
                found.extend(new.iter().flat_map(|upper| self.layer(upper, Some(&one.name))));
            }
        }
        found
    }

    fn layer(&self, disk: &Disk, on: Option<&str>) -> Vec<Stacked> {
        let whole = self.path("sys/block").join(&disk.name);
        let one = |name: &str, number, folder| Stacked {
            name: name.to_owned(),
            number,
            on: on.map(str::to_owned),
            folder,
        };
        let parts = disk.partitions.iter();
        let parts = parts.map(|part| one(&part.name, part.number, whole.join(&part.name)));
        [one(&disk.name, disk.number, whole.clone())].into_iter().chain(parts).collect()
    }

    fn block(&self, name: &str) -> Option<PathBuf> {
        let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
        is_name.then(|| self.path("sys/block").join(name))
    }

    fn bus_path(&self, real: &Path) -> String {
        let sys = fs::canonicalize(self.path("sys")).unwrap_or_default();
        real.strip_prefix(&sys).unwrap_or(real).display().to_string()
    }
}

/// Names in a directory, sorted as people count: `sda2` before `sda10`.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_by_key(|name| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let number = name.get(stem.len()..).and_then(|digits| digits.parse::<u64>().ok());
        (stem, number)
    });
    Ok(names)
}

/// The beginning of a file of sysfs or procfs.
pub(crate) fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(READ_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Its text without blanks around; `None` when there is none.
pub(crate) fn read_text(path: &Path) -> Option<String> {
    let bytes = read_bytes(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn read_number(path: &Path) -> Option<u64> {
    read_text(path)?.parse().ok()
}

fn read_flag(path: &Path) -> Option<bool> {
    read_number(path).map(|number| number != 0)
}

fn sectors(path: &Path) -> u64 {
    read_number(path).unwrap_or(0).saturating_mul(SYSFS_SECTOR_BYTES)
}

fn sector_bytes(path: &Path) -> u32 {
    let number = read_number(path).and_then(|bytes| u32::try_from(bytes).ok());
    number.filter(|bytes| bytes.is_power_of_two() && *bytes >= 512).unwrap_or(512)
}

/// Unit serial number page (SPC-4 7.8.15).
fn serial_of_page(page: &[u8]) -> Option<String> {
    let (length, rest) = page.get(2..)?.split_first_chunk::<2>()?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    let text = String::from_utf8_lossy(text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn partitions(folder: &Path) -> Vec<KernelPartition> {
    let names = names(folder).unwrap_or_default();
    let found = names.into_iter().filter_map(|name| {
        let own = folder.join(&name);
        let index = read_number(&own.join("partition"))?;
        Some(KernelPartition {
            number: read_text(&own.join("dev"))?.parse().ok()?,
            index: u32::try_from(index).ok()?,
            offset: sectors(&own.join("start")),
            length: sectors(&own.join("size")),
            is_read_only: read_flag(&own.join("ro")).unwrap_or(false),
            name,
        })
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|part| part.index);
    found
}

/// The nearest USB device above a disk.
fn usb_link(real: &Path) -> Option<UsbLink> {
    let folder = real.ancestors().find(|folder| folder.join("idVendor").is_file())?;
    let text = |name: &str| read_text(&folder.join(name));
    let (vendor_id, product_id) = (text("idVendor")?, text("idProduct")?);
    let product = text("product");
    let is_ours = u16::from_str_radix(&vendor_id, 16) == Ok(VENDOR_ID)
        && u16::from_str_radix(&product_id, 16) == Ok(PRODUCT_ID);
    let has_name = product.as_ref().is_some_and(|name| name.starts_with(BRIDGE_PREFIX));
    // Low speed is written `1.5`.
    let speed = text("speed").and_then(|text| text.split('.').next()?.parse().ok());
    Some(UsbLink {
        vendor_id,
        product_id,
        release: text("bcdDevice").unwrap_or_default(),
        manufacturer: text("manufacturer"),
        product,
        serial: text("serial"),
        port: folder.file_name()?.to_string_lossy().into_owned(),
        speed_mbit: speed,
        version: text("version"),
        is_bridge: is_ours && has_name,
    })
}

fn loop_link(folder: &Path) -> Option<LoopLink> {
    let own = folder.join("loop");
    Some(LoopLink {
        backing_file: read_text(&own.join("backing_file"))?,
        offset: read_number(&own.join("offset")).unwrap_or(0),
        direct_io: read_flag(&own.join("dio")).unwrap_or(false),
    })
}

fn assembly(folder: &Path) -> Option<Assembly> {
    let parts = || names(&folder.join("slaves")).unwrap_or_default();
    let name = folder.file_name()?.to_string_lossy().into_owned();
    if folder.join("dm").is_dir() {
        // The beginning of the identifier says who made the device: libdevmapper's convention.
        let uuid = read_text(&folder.join("dm/uuid")).unwrap_or_default();
        let kind = match uuid.split_once('-') {
            Some(("LVM", _)) => "lvm",
            Some(("CRYPT", _)) => "crypt",
            Some(("mpath", _)) => "multipath",
            _ => "device-mapper",
        };
        let name = read_text(&folder.join("dm/name")).unwrap_or(name);
        return Some(Assembly { kind: kind.to_owned(), name, parts: parts() });
    }
    if folder.join("md").is_dir() {
        let level = read_text(&folder.join("md/level")).unwrap_or_else(|| "md".to_owned());
        return Some(Assembly { kind: level, name, parts: parts() });
    }
    None
}

fn transport(disk: &Disk) -> Transport {
    let has = |prefix: &str| {
        let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit());
        disk.bus_path.split('/').any(|part| part.strip_prefix(prefix).is_some_and(digits))
    };
    let name = disk.name.as_str();
    match () {
        () if name.starts_with("loop") => Transport::Loop,
        () if name.starts_with("dm-") => Transport::DeviceMapper,
        () if name.starts_with("md") => Transport::Md,
        () if name.starts_with("nbd") => Transport::Nbd,
        () if name.starts_with("nvme") => Transport::Nvme,
        () if name.starts_with("mmcblk") => Transport::Mmc,
        () if disk.usb.is_some() => Transport::Usb,
        () if has("ata") => Transport::Ata,
        () if has("virtio") => Transport::Virtio,
        () if disk.bus_path.contains("/end_device-") => Transport::Sas,
        () if has("host") => Transport::Scsi,
        () => Transport::Other,
    }
}
