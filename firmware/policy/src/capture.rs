//! What the bridge learned about a drive when it was attached, and how it stands with each question.
//!
//! Facts: the published policy, sections 3.2 (attach script), 4.4 (visibility rule) and 7.3 (cards); ATA/ATAPI-8 ACS, section 7.16
//! (IDENTIFY DEVICE words). What was not asked is told apart from what the drive does not have.

use crate::{geometry::Geometry, sense::Code};

/// A byte string of a drive, at most `N` bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<const N: usize> {
    bytes: [u8; N],
    length: u16,
}

impl<const N: usize> Bytes<N> {
    /// Keeps the first `N` bytes.
    #[must_use]
    pub fn new(given: &[u8]) -> Self {
        let mut bytes = [0; N];
        for (own, byte) in bytes.iter_mut().zip(given) {
            *own = *byte;
        }
        Self { bytes, length: u16::try_from(given.len().min(N)).unwrap_or(u16::MAX) }
    }

    /// The bytes kept.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

/// What stands on the drive side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk behind a USB adapter, or a USB disk.
    Usb,
    /// A memory card on the bridge's own bus.
    Card,
}

/// Why a step of the attach script was not run (3.2). Its value is reported as "not asked", never as "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// The unit was not ready.
    NotReady,
    /// A removable medium: no ATA pass-through at all.
    Removable,
    /// Not in the active profiles.
    Profile,
    /// IDENTIFY DEVICE gave no valid data.
    IdentifyInvalid,
    /// The drive does not announce the feature.
    NotAnnounced,
    /// The adapter is not on the list of checked ones.
    BridgeNotListed,
}

/// A value that the script asks for when it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<T> {
    /// The drive's answer.
    Value(T),
    /// Not asked.
    NotAsked(NotRun),
    /// Asked, and answered with an error.
    Failed(Code),
}

impl<T: Copy> Asked<T> {
    /// The answer, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<T> {
        match self {
            Self::Value(value) => Some(*value),
            Self::NotAsked(_) | Self::Failed(_) => None,
        }
    }
}

/// The 512 bytes of IDENTIFY DEVICE.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentifyData(pub [u8; 512]);

impl core::fmt::Debug for IdentifyData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("IdentifyData(512 bytes)")
    }
}

impl IdentifyData {
    /// A word by its number.
    #[must_use]
    pub fn word(&self, number: usize) -> u16 {
        let byte = |index: usize| self.0.get(index).copied().unwrap_or(0);
        let start = number.saturating_mul(2);
        u16::from_le_bytes([byte(start), byte(start.saturating_add(1))])
    }

    /// Whether the data can be believed: an ATA device, the integrity word's signature, and a sum of zero (3.2).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let sum = self.0.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        self.word(0) & 0x8000 == 0 && self.word(255) & 0xFF == 0xA5 && sum == 0
    }

    /// Features that the drive announces; words 83 and 84 count only with their own validity bits.
    #[must_use]
    pub fn announced(&self) -> Announced {
        let bit = |word: usize, bit: u32| self.word(word).checked_shr(bit).unwrap_or(0) & 1 != 0;
        let valid = |word: usize| self.word(word) >> 14 == 0b01;
        if !valid(83) {
            return Announced::default();
        }
        Announced {
            hpa: bit(82, 10),
            lba48: bit(83, 10),
            dco: bit(83, 11),
            gpl: valid(84) && bit(84, 5),
            smart: bit(82, 0),
            amax: bit(119, 8) && valid(119),
        }
    }

    /// Addressable blocks by IDENTIFY: words 100 to 103 with 48-bit addressing, otherwise 60 and 61.
    #[must_use]
    pub fn addressable(&self) -> u64 {
        let words = |first: usize, count: usize| {
            (0..count).rev().fold(0_u64, |value, index| {
                (value << 16) | u64::from(self.word(first.saturating_add(index)))
            })
        };
        if self.announced().lba48 {
            let extended = words(230, 4);
            let plain = words(100, 4);
            if plain == 0 { extended } else { plain }
        } else {
            words(60, 2)
        }
    }

    /// Bytes in a logical sector by word 106 and words 117, 118.
    #[must_use]
    pub fn logical_sector_bytes(&self) -> u32 {
        let word = self.word(106);
        if word >> 14 == 0b01 && word & 0x1000 != 0 {
            let words = (u32::from(self.word(118)) << 16) | u32::from(self.word(117));
            words.saturating_mul(2)
        } else {
            512
        }
    }
}

/// Features announced by IDENTIFY DEVICE that the policy asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Host protected area feature set.
    pub hpa: bool,
    /// 48-bit addresses.
    pub lba48: bool,
    /// Device configuration overlay.
    pub dco: bool,
    /// General purpose logging.
    pub gpl: bool,
    /// SMART.
    pub smart: bool,
    /// Accessible maximum address configuration.
    pub amax: bool,
}

/// What came of IDENTIFY DEVICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identify {
    /// Not asked.
    NotAsked(NotRun),
    /// Refused by the adapter or the drive.
    Failed(Code),
    /// Answered with data that cannot be believed; kept for the record, used for nothing.
    Invalid(IdentifyData),
    /// Answered.
    Valid(IdentifyData),
}

/// Vital product data pages as the drive gave them; `None` where page 00h does not list a page or reading it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vpd {
    /// Supported pages.
    pub supported: Option<Bytes<64>>,
    /// Unit serial number.
    pub serial: Option<Bytes<128>>,
    /// Device identification.
    pub identification: Option<Bytes<255>>,
    /// ATA information.
    pub ata: Option<Bytes<572>>,
    /// Block limits.
    pub limits: Option<Bytes<64>>,
    /// Block device characteristics.
    pub characteristics: Option<Bytes<64>>,
    /// Logical block provisioning.
    pub provisioning: Option<Bytes<64>>,
}

/// Everything the attach script learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// What the drive is.
    pub kind: Kind,
    /// Standard INQUIRY data.
    pub inquiry: Bytes<96>,
    /// Vital product data.
    pub vpd: Vpd,
    /// Visible size; `None` while the unit is not ready.
    pub geometry: Option<Geometry>,
    /// The whole answer to READ CAPACITY(16), where it was asked.
    pub capacity16: Option<[u8; 32]>,
    /// Answer to MODE SENSE(6), page 3Fh: the drive's real write protection and cache state.
    pub mode: Option<Bytes<192>>,
    /// Answer to IDENTIFY DEVICE.
    pub identify: Identify,
    /// Native maximum address plus one, in blocks.
    pub native_max: Asked<u64>,
    /// Maximum by the configuration overlay plus one, in blocks.
    pub dco_max: Asked<u64>,
    /// Page 00h of log 00h: for each log the number of its pages.
    pub log_directory: Asked<[u8; 512]>,
    /// Whether the adapter is on the list of those that pass FEATURES unchanged.
    pub listed_bridge: bool,
}

impl Capture {
    /// A capture before the first answer.
    #[must_use]
    pub fn empty(kind: Kind) -> Self {
        let not_ready = NotRun::NotReady;
        Self {
            kind,
            inquiry: Bytes::default(),
            vpd: Vpd::default(),
            geometry: None,
            capacity16: None,
            mode: None,
            identify: Identify::NotAsked(not_ready),
            native_max: Asked::NotAsked(not_ready),
            dco_max: Asked::NotAsked(not_ready),
            log_directory: Asked::NotAsked(not_ready),
            listed_bridge: false,
        }
    }

    /// Byte of the INQUIRY data, zero where there is none.
    fn inquiry_byte(&self, index: usize) -> u8 {
        self.inquiry.as_slice().get(index).copied().unwrap_or(0)
    }

    /// Peripheral device type.
    #[must_use]
    pub fn device_type(&self) -> u8 {
        self.inquiry_byte(0) & 0x1F
    }

    /// Whether the medium is removable.
    #[must_use]
    pub fn is_removable(&self) -> bool {
        self.inquiry_byte(1) & 0x80 != 0
    }

    /// The IDENTIFY data if they are valid.
    #[must_use]
    pub fn identify_data(&self) -> Option<&IdentifyData> {
        match &self.identify {
            Identify::Valid(data) => Some(data),
            Identify::NotAsked(_) | Identify::Failed(_) | Identify::Invalid(_) => None,
        }
    }

    /// Announced features; none without valid IDENTIFY data.
    #[must_use]
    pub fn announced(&self) -> Announced {
        self.identify_data().map(IdentifyData::announced).unwrap_or_default()
    }

    /// Number of pages of a log by the directory; zero where it was not asked or does not list the log. The directory itself has one.
    #[must_use]
    pub fn log_pages(&self, log: u8) -> u16 {
        let Asked::Value(directory) = &self.log_directory else { return 0 };
        if log == 0 {
            return 1;
        }
        let start = usize::from(log).saturating_mul(2);
        let byte = |index: usize| directory.get(index).copied().unwrap_or(0);
        u16::from_le_bytes([byte(start), byte(start.saturating_add(1))])
    }

    /// Whether two sources of the size disagree: READ CAPACITY, IDENTIFY, native maximum, overlay (4.4). What was not asked does not
    /// disagree.
    #[must_use]
    pub fn has_disagreement(&self) -> bool {
        let Some(geometry) = self.geometry else { return false };
        let identify = self.identify_data().is_some_and(|data| {
            let bytes = u128::from(data.addressable())
                .saturating_mul(u128::from(data.logical_sector_bytes()));
            bytes != geometry.bytes() || data.logical_sector_bytes() != geometry.block_bytes
        });
        let sector = self.identify_data().map_or(512, IdentifyData::logical_sector_bytes);
        let hidden = |maximum: &Asked<u64>| {
            maximum.value().is_some_and(|blocks| {
                u128::from(blocks).saturating_mul(u128::from(sector)) != geometry.bytes()
            })
        };
        identify || hidden(&self.native_max) || hidden(&self.dco_max)
    }
}
