//! The drive as it described itself, and what it was not asked.
//!
//! Published requirements, section 4.3 (row "drive"); published policy, sections 3.2, 4.4 and 7.3.

use crate::Digest;

/// A value that the drive gave, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Asked {
    /// What the drive answered.
    Value(u64),
    /// The drive was not asked.
    NotAsked(Skip),
    /// The drive was asked and gave an error or an answer without the value.
    Failed,
}

/// Why a step of the attach script was not run (published policy, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Skip {
    /// The unit was not ready.
    NotReady,
    /// The medium is removable.
    #[cfg_attr(feature = "serde", serde(rename = "rmb"))]
    Removable,
    /// The profile is off.
    Profile,
    /// The IDENTIFY data is not valid.
    IdentifyInvalid,
    /// The drive does not announce the feature.
    NotAnnounced,
    /// The USB bridge in front of the drive is not a checked one.
    BridgeNotListed,
    /// The step is of the other script (cards or disks).
    NotApplicable,
}

impl Skip {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::NotReady,
        Self::Removable,
        Self::Profile,
        Self::IdentifyInvalid,
        Self::NotAnnounced,
        Self::BridgeNotListed,
        Self::NotApplicable,
    ];

    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::NotReady => 1,
            Self::Removable => 2,
            Self::Profile => 3,
            Self::IdentifyInvalid => 4,
            Self::NotAnnounced => 5,
            Self::BridgeNotListed => 6,
            Self::NotApplicable => 7,
        }
    }

    /// The reason of a number used in the statement.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|skip| u64::from(skip.code()) == code)
    }

    /// Its name in the published policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReady => "not-ready",
            Self::Removable => "rmb",
            Self::Profile => "profile",
            Self::IdentifyInvalid => "identify-invalid",
            Self::NotAnnounced => "not-announced",
            Self::BridgeNotListed => "bridge-not-listed",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// The drive as it described itself. All texts are the bytes it gave.
#[derive(Debug, Clone, Copy)]
pub struct Drive<'a> {
    /// The unit that was presented, read and logged.
    pub lun: u8,
    /// Capacity in blocks.
    pub capacity: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Native max + 1 in blocks.
    pub native_max: Asked,
    /// DCO max + 1 in blocks.
    pub dco_max: Asked,
    /// AMAX (accessible max) native value + 1 in blocks.
    pub amax: Asked,
    /// Capacity, native max, DCO max or block sizes disagree (published policy, section 4.4).
    pub disagreement: bool,
    /// How it is attached.
    pub medium: Medium<'a>,
}

/// The identity, by the way the drive is attached.
#[derive(Debug, Clone, Copy)]
pub enum Medium<'a> {
    /// A USB disk, or a disk behind a USB adapter.
    Usb {
        /// The USB device.
        usb: Usb<'a>,
        /// The SCSI unit.
        scsi: Scsi<'a>,
        /// The ATA device behind it, if IDENTIFY DEVICE was answered.
        ata: Option<Ata<'a>>,
    },
    /// An SD or MMC card on the bridge's own slot.
    Card(Card<'a>),
}

/// The USB device in front of the drive.
#[derive(Debug, Clone, Copy)]
pub struct Usb<'a> {
    /// SHA-256 of device, configuration and string descriptors in the order read.
    pub descriptors: Digest,
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
    /// The serial string descriptor's UTF-16LE bytes; empty when there is none.
    pub serial: &'a [u8],
    /// Whether it is one of the checked adapters (published policy, section 3.2).
    pub listed: bool,
}

/// The SCSI unit.
#[derive(Debug, Clone, Copy)]
pub struct Scsi<'a> {
    /// Standard INQUIRY data as the drive gave it.
    pub inquiry: &'a [u8],
    /// VPD page 80h (serial number), whole; `None` when the drive has none.
    pub vpd80: Option<&'a [u8]>,
    /// VPD page 83h (identification), whole; `None` when the drive has none.
    pub vpd83: Option<&'a [u8]>,
}

/// IDENTIFY DEVICE, in the byte order of the words as text (ACS: high byte first).
#[derive(Debug, Clone, Copy)]
pub struct Ata<'a> {
    /// Words 27 to 46.
    pub model: &'a [u8],
    /// Words 10 to 19.
    pub serial: &'a [u8],
    /// Words 23 to 26.
    pub firmware: &'a [u8],
    /// Words 108 to 111; `None` when the drive announces none.
    pub wwn: Option<u64>,
    /// SHA-256 of all 512 bytes.
    pub identify: Digest,
    /// Whether the integrity word and the checksum are right (published policy, section 3.2).
    pub valid: bool,
}

/// An SD or MMC card.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// Register CID.
    pub cid: [u8; 16],
    /// Register CSD.
    pub csd: [u8; 16],
    /// Register SCR; `None` when reading it failed.
    pub scr: Option<[u8; 8]>,
    /// SD_STATUS, 64 bytes; `None` when reading it failed.
    pub sd_status: Option<&'a [u8]>,
    /// CRC checking on the card was switched on and proved (published policy, section 7.2).
    pub spi_crc: bool,
}
