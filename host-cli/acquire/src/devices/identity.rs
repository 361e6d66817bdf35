//! What a disk says of itself when it is asked: names, size, hidden areas, locks; its health only when that is wanted.
//!
//! Facts: the questions, their order and their conditions are those of the write blocker's attach script (published policy, sections
//! 3.2, 4.1b, 4.3, 4.4): SPC-4 (INQUIRY, pages 80h and 83h), SBC-3 (READ CAPACITY), SAT-3 (pass-through, registers as sense data), ATA/ATAPI-8
//! ACS (7.16 IDENTIFY DEVICE, 7.10.3 overlay), ACS-3 (78h). HPA, DCO and AMAX are reported; nothing here can lift them. A port of this
//! computer's own SATA controller passes FEATURES unchanged (Linux `libata-scsi.c`, `ata_scsi_pass_thru`); an adapter does so when it
//! is on the policy's list. Reading SMART data can make a drive save its attributes, so it is a choice, and the answer says so.

use std::{fs::File, io, time::Duration};

use serde::Serialize;
use wb_policy::{
    capture::IdentifyData,
    down::{DownCommand, InquiryBytes, VpdPage},
    sat::is_listed,
    sense::Sense,
};

use super::{
    ata::{IdentifyPage, Security},
    smart::{self, Smart},
    sysfs::{Disk, Roots, Transport},
};
use crate::ioctl::{self, Answer};

/// A disk that spins up on the first question takes that long.
const TIMEOUT: Duration = Duration::from_secs(20);
/// CHECK CONDITION.
const CHECK_CONDITION: u8 = 0x02;
/// Error and device fault bits of the STATUS register.
const FAILED: u8 = 0x21;
/// INQUIRY version from which READ CAPACITY(16) is asked as well.
const SPC3: u8 = 0x05;

/// How it stands with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Asked<T> {
    /// The device's answer.
    Reported {
        /// What it says.
        value: T,
    },
    /// Not asked: nothing may be concluded from that.
    NotAsked {
        /// Why not.
        reason: String,
    },
    /// Asked, and not answered in a way that can be used.
    NotAnswered {
        /// What came instead.
        reason: String,
    },
}

impl<T> Asked<T> {
    /// The answer, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Reported { value } => Some(value),
            Self::NotAsked { .. } | Self::NotAnswered { .. } => None,
        }
    }

    fn not_asked(reason: impl Into<String>) -> Self {
        Self::NotAsked { reason: reason.into() }
    }

    fn map<U>(self, make: impl FnOnce(T) -> Option<U>) -> Asked<U> {
        match self {
            Self::Reported { value } => make(value).map_or_else(
                || Asked::NotAnswered { reason: "the answer makes no sense".to_owned() },
                |value| Asked::Reported { value },
            ),
            Self::NotAsked { reason } => Asked::NotAsked { reason },
            Self::NotAnswered { reason } => Asked::NotAnswered { reason },
        }
    }
}

/// Standard INQUIRY data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inquiry {
    /// Maker.
    pub vendor: String,
    /// Model, at most 16 characters of it.
    pub product: String,
    /// Release, at most 4 characters of it.
    pub revision: String,
    /// Type of the device; 0 is a disk.
    pub device_type: u8,
    /// Version of the standard.
    pub version: u8,
    /// The medium can be taken out.
    #[serde(rename = "removable")]
    pub is_removable: bool,
}

/// Size by READ CAPACITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// Logical blocks.
    pub blocks: u64,
    /// Bytes in each.
    pub block_bytes: u32,
}

/// What IDENTIFY DEVICE says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identified {
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware.
    pub firmware: Option<String>,
    /// Addressable sectors.
    pub sectors: u64,
    /// Bytes in a logical sector.
    pub sector_bytes: u32,
    /// The data have their signature and their sum; without, they are recorded and used for nothing.
    #[serde(rename = "valid")]
    pub is_valid: bool,
}

/// A maximum that the disk may have beyond what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Maximum {
    /// Sectors that there are by this answer.
    pub sectors: u64,
    /// Of these, sectors beyond those that IDENTIFY DEVICE shows.
    pub hidden_sectors: u64,
}

/// An answer as it came, to be kept as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// File name.
    pub name: &'static str,
    /// Bytes.
    pub bytes: Vec<u8>,
}

/// What a disk said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Standard INQUIRY data.
    pub inquiry: Asked<Inquiry>,
    /// Unit serial number (page 80h).
    pub unit_serial: Asked<String>,
    /// Names of the unit (page 83h), as `naa.5000c500a1b2c3d4`.
    pub unit_names: Asked<Vec<String>>,
    /// Size.
    pub capacity: Asked<Capacity>,
    /// IDENTIFY DEVICE.
    pub identify: Asked<Identified>,
    /// ATA security.
    pub security: Asked<Security>,
    /// Host protected area: the native maximum.
    pub hpa: Asked<Maximum>,
    /// Device configuration overlay: its maximum.
    pub dco: Asked<Maximum>,
    /// Accessible maximum address: its native maximum.
    pub amax: Asked<Maximum>,
    /// Health.
    pub smart: Asked<Smart>,
    /// Answers as they came, for files of their own.
    #[serde(skip)]
    pub pages: Vec<Page>,
}

/// Something that answers questions.
pub trait Drive {
    /// Sends one command.
    ///
    /// # Errors
    /// When it cannot be sent.
    fn ask(&self, command: &DownCommand) -> io::Result<Answer>;
}

impl Drive for File {
    fn ask(&self, command: &DownCommand) -> io::Result<Answer> {
        ioctl::ask(self, command, TIMEOUT)
    }
}

impl Report {
    /// The report of a disk that nothing was asked of.
    pub fn not_asked(reason: &str) -> Self {
        Self {
            inquiry: Asked::not_asked(reason),
            unit_serial: Asked::not_asked(reason),
            unit_names: Asked::not_asked(reason),
            capacity: Asked::not_asked(reason),
            identify: Asked::not_asked(reason),
            security: Asked::not_asked(reason),
            hpa: Asked::not_asked(reason),
            dco: Asked::not_asked(reason),
            amax: Asked::not_asked(reason),
            smart: Asked::not_asked(reason),
            pages: Vec::new(),
        }
    }

    /// Asks a disk that is attached; `with_smart` is the explicit choice to read its health.
    pub fn of_disk(roots: &Roots, disk: &Disk, with_smart: bool) -> Self {
        if let Some(reason) = without_scsi(disk.transport) {
            return Self::not_asked(reason);
        }
        let mut report = match super::reader::open_cached(&disk.node) {
            Ok(file) => Self::of(&file, passes_features(disk), with_smart),
            Err(error) => {
                Self::not_asked(&format!("{} cannot be opened: {error}", disk.node.display()))
            }
        };
        report.fill_in(roots, disk);
        report
    }

    /// Asks a drive. `features_pass` says that FEATURES reaches it unchanged.
    pub fn of(drive: &dyn Drive, features_pass: bool, with_smart: bool) -> Self {
        let mut questions = Questions { drive, pages: Vec::new() };
        let mut report = questions.scsi();
        questions.ata(&mut report, features_pass);
        report.smart = if with_smart {
            questions.smart(&report)
        } else {
            Asked::not_asked("not taken: reading it can make a disk save its attributes")
        };
        report.pages = questions.pages;
        report
    }

    /// What the kernel read when the disk was attached stands where it could not be asked now.
    fn fill_in(&mut self, roots: &Roots, disk: &Disk) {
        if self.identify.value().is_none()
            && let Some(page) = roots.identify_page(&disk.name)
        {
            self.pages.push(Page { name: "identify.bin", bytes: page.bytes().to_vec() });
            self.take_identify(&page);
        }
        if self.unit_serial.value().is_none()
            && let Some(value) = roots.vpd_page(&disk.name, 0x80).and_then(|page| serial(&page))
        {
            self.unit_serial = Asked::Reported { value };
        }
        if self.unit_names.value().is_none()
            && let Some(value) = roots.vpd_page(&disk.name, 0x83).map(|page| unit_names(&page))
        {
            self.unit_names = Asked::Reported { value };
        }
    }

    fn take_identify(&mut self, page: &IdentifyPage) {
        let data = page.data();
        self.identify = Asked::Reported {
            value: Identified {
                model: page.model(),
                serial: page.serial(),
                firmware: page.firmware(),
                sectors: data.addressable(),
                sector_bytes: data.logical_sector_bytes(),
                is_valid: data.is_valid(),
            },
        };
        self.security = if data.is_valid() {
            Asked::Reported { value: page.security() }
        } else {
            Asked::NotAnswered { reason: INVALID.to_owned() }
        };
    }

    /// Without IDENTIFY data nothing else of ATA is asked.
    fn ask_no_more(&mut self, reason: &str) {
        self.security = Asked::not_asked(reason);
        self.hpa = Asked::not_asked(reason);
        self.dco = Asked::not_asked(reason);
        self.amax = Asked::not_asked(reason);
    }

    /// What a person has to know about sizes and locks.
    pub fn findings(&self) -> Vec<String> {
        let hidden = [("HPA", &self.hpa), ("DCO", &self.dco), ("AMAX", &self.amax)];
        let hidden = hidden.into_iter().filter_map(|(name, asked)| {
            let maximum = asked.value().filter(|maximum| maximum.hidden_sectors > 0)?;
            Some(format!(
                "{name}: {} of {} sectors are hidden and will not be in an image",
                maximum.hidden_sectors, maximum.sectors
            ))
        });
        let mut findings: Vec<String> = hidden.collect();
        if self.security.value().is_some_and(|security| security.is_locked) {
            findings.push("the disk is locked by a password: it gives out no data".to_owned());
        }
        if let Some(failing) = self.smart.value().map(|smart| &smart.failing)
            && !failing.is_empty()
        {
            let ids: Vec<String> = failing.iter().map(u8::to_string).collect();
            let ids = ids.join(", ");
            findings
                .push(format!("the disk is failing: SMART attributes at their threshold: {ids}"));
        }
        if let (Some(identified), Some(capacity)) = (self.identify.value(), self.capacity.value()) {
            let bytes = |count: u64, size: u32| u128::from(count).saturating_mul(size.into());
            let own = bytes(identified.sectors, identified.sector_bytes);
            let shown = bytes(capacity.blocks, capacity.block_bytes);
            if identified.is_valid && own != shown {
                findings.push(format!(
                    "the disk has {own} bytes by its own word, and shows {shown} through this connection"
                ));
            }
        }
        findings
    }
}

const INVALID: &str = "IDENTIFY DEVICE gave data without a valid signature and sum";

/// Why a disk on this transport takes no SCSI commands.
fn without_scsi(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Ata | Transport::Usb | Transport::Sas | Transport::Scsi => None,
        Transport::Nvme => {
            Some("an NVMe disk has other commands; the system's list is what is known")
        }
        Transport::Mmc => Some("a card has other commands; the system's list is what is known"),
        Transport::Virtio => Some("a virtual disk: the host of the virtual machine knows more"),
        Transport::Loop => Some("a loop device is a file"),
        Transport::Nbd => Some("a network block device answers reads alone"),
        Transport::DeviceMapper | Transport::Md => Some("made of other devices; ask those"),
        Transport::Other => Some("it is not known what commands this device takes"),
    }
}

/// Whether FEATURES reaches the drive unchanged.
fn passes_features(disk: &Disk) -> bool {
    let number = |text: &str| u16::from_str_radix(text, 16).ok();
    let is_listed_adapter = disk.usb.as_ref().is_some_and(|usb| {
        match (number(&usb.vendor_id), number(&usb.product_id), number(&usb.release)) {
            (Some(vendor), Some(product), Some(release)) => is_listed(vendor, product, release),
            _ => false,
        }
    });
    disk.transport == Transport::Ata || is_listed_adapter
}

/// The conversation with one drive.
struct Questions<'a> {
    drive: &'a dyn Drive,
    pages: Vec<Page>,
}

impl Questions<'_> {
    /// Steps 1 to 7 of the attach script, without those that can start a motor.
    fn scsi(&mut self) -> Report {
        let inquiry = InquiryBytes::new(36).map(DownCommand::Inquiry);
        let inquiry = self.data("inquiry.bin", inquiry).map(|data| parse_inquiry(&data));
        let listed = self.vpd("vpd-00.bin", 0x00).map(Some);
        let listed = listed.value().and_then(|page| page.get(4..)).unwrap_or_default().to_vec();
        let unlisted = |page| format!("page {page:02X}h is not in the disk's list of pages");
        let mut page = |name, page| {
            if listed.contains(&page) {
                self.vpd(name, page)
            } else {
                Asked::not_asked(unlisted(page))
            }
        };
        let unit_serial = page("vpd-80.bin", 0x80).map(|data| serial(&data));
        let unit_names = page("vpd-83.bin", 0x83).map(|data| Some(unit_names(&data)));
        let version = inquiry.value().map_or(0, |inquiry| inquiry.version);
        let capacity = self.capacity(version);
        let mut report = Report::not_asked("not reached");
        (report.inquiry, report.unit_serial) = (inquiry, unit_serial);
        (report.unit_names, report.capacity) = (unit_names, capacity);
        report
    }

    fn vpd(&mut self, name: &'static str, page: u8) -> Asked<Vec<u8>> {
        let asked = self.data(name, VpdPage::new(page).map(DownCommand::Vpd));
        asked.map(|data| (data.get(1) == Some(&page)).then(|| cut_page(data)))
    }

    fn capacity(&mut self, version: u8) -> Asked<Capacity> {
        let short = self.data("read-capacity-10.bin", Some(DownCommand::ReadCapacity10));
        let short = short.map(|data| {
            let (last, size) = (u32_at(&data, 0)?, u32_at(&data, 4)?);
            Some((last, Capacity { blocks: u64::from(last).checked_add(1)?, block_bytes: size }))
        });
        let is_more = short.value().is_some_and(|(last, _)| *last == u32::MAX);
        if version < SPC3 && !is_more {
            return short.map(|(_, capacity)| Some(capacity));
        }
        let long = self.data("read-capacity-16.bin", Some(DownCommand::ReadCapacity16));
        let long = long.map(|data| {
            let last = u64::from_be_bytes(*data.first_chunk::<8>()?);
            Some(Capacity { blocks: last.checked_add(1)?, block_bytes: u32_at(&data, 8)? })
        });
        if long.value().is_some() || is_more { long } else { short.map(|(_, size)| Some(size)) }
    }

    /// Steps 9, 10 and 12.
    fn ata(&mut self, report: &mut Report, features_pass: bool) {
        let reason = match report.inquiry.value() {
            None => Some("the disk did not answer INQUIRY"),
            Some(inquiry) if inquiry.is_removable => Some(
                "a removable medium takes no ATA commands: sticks and card readers hang on them",
            ),
            Some(inquiry) if !matches!(inquiry.device_type, 0x00 | 0x14) => {
                Some("this type of device has no ATA commands")
            }
            Some(_) => None,
        };
        if let Some(reason) = reason {
            report.identify = Asked::not_asked(reason);
            report.ask_no_more(reason);
            return;
        }
        let identify = self.data("identify.bin", Some(DownCommand::AtaIdentify16));
        let page = match identify.map(|data| IdentifyPage::new(&data)) {
            Asked::Reported { value } => value,
            Asked::NotAsked { reason } | Asked::NotAnswered { reason } => {
                let without = format!("IDENTIFY DEVICE was not answered: {reason}");
                report.identify = Asked::NotAnswered { reason };
                report.ask_no_more(&without);
                return;
            }
        };
        report.take_identify(&page);
        self.hidden_areas(report, page.data(), features_pass);
    }

    fn hidden_areas(&mut self, report: &mut Report, data: &IdentifyData, features_pass: bool) {
        let (announced, shown) = (data.announced(), data.addressable());
        let maximum =
            |sectors: u64| Some(Maximum { sectors, hidden_sectors: sectors.saturating_sub(shown) });
        let condition = |is_announced: bool, needs_features: bool| match () {
            () if !data.is_valid() => Some(INVALID),
            () if !is_announced => Some("the disk does not announce the feature"),
            () if needs_features && !features_pass => Some(
                "the adapter is not known to pass the command on unchanged; a changed one could alter the disk",
            ),
            () => None,
        };
        report.hpa = match condition(announced.hpa, false) {
            Some(reason) => Asked::not_asked(reason),
            None if announced.lba48 => {
                self.native_max(&DownCommand::ReadNativeMaxExt, true).map(maximum)
            }
            None => self.native_max(&DownCommand::ReadNativeMax, false).map(maximum),
        };
        report.dco = match condition(announced.dco, true) {
            Some(reason) => Asked::not_asked(reason),
            None => {
                let page = self.data("dco-identify.bin", Some(DownCommand::DcoIdentify));
                page.map(|data| dco_max(&data)).map(maximum)
            }
        };
        report.amax = match condition(announced.amax, true) {
            Some(reason) => Asked::not_asked(reason),
            None => self.native_max(&DownCommand::GetNativeMaxExt, true).map(maximum),
        };
    }

    fn smart(&mut self, report: &Report) -> Asked<Smart> {
        let Some(identified) = report.identify.value() else {
            return Asked::not_asked("IDENTIFY DEVICE was not answered");
        };
        if !identified.is_valid {
            return Asked::not_asked(INVALID);
        }
        let page = self.pages.iter().find(|page| page.name == "identify.bin");
        let page = page.and_then(|page| IdentifyPage::new(&page.bytes));
        if !page.is_some_and(|page| page.data().announced().smart) {
            return Asked::not_asked("the disk does not announce the feature");
        }
        let data = self.data("smart-data.bin", Some(DownCommand::SmartReadData));
        let thresholds = self.data("smart-thresholds.bin", Some(DownCommand::SmartReadThresholds));
        let thresholds = thresholds.value().cloned().unwrap_or_default();
        data.map(|data| smart::parse(&data, &thresholds))
    }

    /// A question whose answer is data; it is kept as a page.
    fn data(&mut self, name: &'static str, command: Option<DownCommand>) -> Asked<Vec<u8>> {
        let Some(command) = command else { return Asked::not_asked("not in the policy") };
        match self.drive.ask(&command) {
            Err(error) => refused(&error),
            Ok(answer)
                if answer.status == 0 && answer.host_status == 0 && !answer.data.is_empty() =>
            {
                self.pages.push(Page { name, bytes: answer.data.clone() });
                Asked::Reported { value: answer.data }
            }
            Ok(answer) => Asked::NotAnswered { reason: failure(&answer) },
        }
    }

    /// A question whose answer comes in the registers: the maximum plus one.
    fn native_max(&mut self, command: &DownCommand, is_extended: bool) -> Asked<u64> {
        let answer = match self.drive.ask(command) {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        };
        match registers_max(&answer.sense, is_extended) {
            Some(value) => Asked::Reported { value },
            None => Asked::NotAnswered { reason: failure(&answer) },
        }
    }
}

fn refused<T>(error: &io::Error) -> Asked<T> {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Asked::not_asked(format!("this takes the rights of root ({error})"));
    }
    Asked::NotAnswered { reason: error.to_string() }
}

/// What came instead of an answer.
fn failure(answer: &Answer) -> String {
    if answer.host_status != 0 {
        return format!("the connection failed (host status {:#04x})", answer.host_status);
    }
    if answer.status != CHECK_CONDITION {
        return format!("status {:#04x} with {} bytes", answer.status, answer.data.len());
    }
    let code = Sense::of_drive(&answer.sense).code();
    format!("refused with sense {:X}h/{:02X}h/{:02X}h", code.key, code.asc, code.ascq)
}

/// The maximum in the registers plus one. A 48-bit answer counts only with its upper bytes: the fixed sense format has no room for them, and
/// says only whether they are zero (SAT-3 12.2.2.7).
fn registers_max(sense: &[u8], is_extended: bool) -> Option<u64> {
    if let Some(found) = Sense::of_drive(sense).ata_registers() {
        let last = if is_extended {
            found.extend.then_some(found.lba & 0xFFFF_FFFF_FFFF)?
        } else {
            (u64::from(found.device & 0x0F) << 24) | (found.lba & 0xFF_FFFF)
        };
        return (found.status & FAILED == 0).then(|| last.saturating_add(1));
    }
    let fixed = sense.first_chunk::<18>().filter(|sense| matches!(sense[0] & 0x7F, 0x70 | 0x71))?;
    let [_, _, _, _error, status, device, _, _, flags, low, middle, high, asc, ascq, ..] = *fixed;
    if (asc, ascq) != (0x00, 0x1D) || status & FAILED != 0 {
        return None;
    }
    let lba = u64::from(low) | (u64::from(middle) << 8) | (u64::from(high) << 16);
    let last = match is_extended {
        true if flags & 0x20 != 0 => return None,
        true => lba,
        false => (u64::from(device & 0x0F) << 24) | lba,
    };
    last.checked_add(1)
}

/// Words 3 to 6 of the device configuration data, plus one, if the signature and the sum hold.
fn dco_max(data: &[u8]) -> Option<u64> {
    let data = IdentifyData(data.try_into().ok()?);
    let sum = data.0.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let last = (3..=6).rev().fold(0_u64, |value, word| (value << 16) | u64::from(data.word(word)));
    (data.word(255) & 0xFF == 0xA5 && sum == 0).then(|| last.saturating_add(1))
}

/// A page of vital product data cut to its own length.
fn cut_page(mut data: Vec<u8>) -> Vec<u8> {
    let length = data.get(2..4).and_then(|length| length.first_chunk::<2>());
    let length = length.map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    data.truncate(length.saturating_add(4));
    data
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}

fn u32_at(data: &[u8], index: usize) -> Option<u32> {
    data.get(index..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn parse_inquiry(data: &[u8]) -> Option<Inquiry> {
    Some(Inquiry {
        device_type: data.first()? & 0x1F,
        is_removable: data.get(1)? & 0x80 != 0,
        version: *data.get(2)?,
        vendor: text(data.get(8..16)?),
        product: text(data.get(16..32)?),
        revision: text(data.get(32..36)?),
    })
}

fn serial(page: &[u8]) -> Option<String> {
    let page = cut_page(page.to_vec());
    let text = text(page.get(4..)?);
    (!text.is_empty()).then_some(text)
}

/// Designators of the unit itself (SPC-4 7.8.6): NAA and EUI-64 in hexadecimal, T10 vendor identification as text.
fn unit_names(page: &[u8]) -> Vec<String> {
    let page = cut_page(page.to_vec());
    let mut rest = page.get(4..).unwrap_or_default();
    let mut names = Vec::new();
    while let [set, kind, _, length, after @ ..] = rest {
        let length = usize::from(*length);
        let Some(value) = after.get(..length) else { break };
        rest = after.get(length..).unwrap_or_default();
        let is_of_unit = kind & 0x30 == 0;
        let hex = || value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match (kind & 0x0F, set & 0x0F) {
            (3, _) if is_of_unit => names.push(format!("naa.{}", hex())),
            (2, _) if is_of_unit => names.push(format!("eui.{}", hex())),
            (1, 2 | 3) if is_of_unit => names.push(format!("t10.{}", text(value))),
            _ => {}
        }
    }
    names
}
