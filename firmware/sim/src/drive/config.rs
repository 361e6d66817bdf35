//! What kind of drive the model is: identity, geometry, announced features, faults.

use std::ops::Range;

use super::medium::Base;
use super::sense::RegisterFormat;

/// Names and numbers of the drive.
#[derive(Clone, Debug)]
pub struct Identity {
    /// INQUIRY vendor, at most 8 characters.
    pub vendor: String,
    /// INQUIRY product, at most 16 characters.
    pub product: String,
    /// INQUIRY revision, at most 4 characters.
    pub revision: String,
    /// Serial number of VPD page 80h and IDENTIFY words 10-19, at most 20 characters.
    pub serial: String,
    /// IDENTIFY words 27-46, at most 40 characters.
    pub model: String,
    /// IDENTIFY words 23-26, at most 8 characters.
    pub firmware: String,
    /// World wide name, NAA 5.
    pub wwn: u64,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            vendor: "DALEEL".into(),
            product: "MODEL DRIVE".into(),
            revision: "0001".into(),
            serial: "MODEL0000001".into(),
            model: "DALEEL MODEL DRIVE".into(),
            firmware: "FW000001".into(),
            wwn: 0x5000_C500_1234_5678,
        }
    }
}

/// Integrity word (255) of the IDENTIFY data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Signature A5h and a checksum that makes the 512 bytes sum to zero.
    Valid,
    /// Word 255 is zero.
    NoWord,
    /// Signature A5h, wrong checksum.
    WrongChecksum,
}

/// What IDENTIFY announces. The drive obeys all of these commands, announced or not.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    /// Word 82 bit 10.
    pub hpa: bool,
    /// Word 83 bit 10.
    pub lba48: bool,
    /// Word 83 bit 11.
    pub dco: bool,
    /// Word 84 bit 5.
    pub gpl: bool,
    /// Word 82 bit 0.
    pub smart: bool,
    /// Word 119 bit 8.
    pub amax: bool,
    /// Bits 15:14 of words 83, 84, 119 are 01b; without them the words mean nothing.
    pub words_valid: bool,
    /// Word 0 says packet device (bit 15).
    pub packet_device: bool,
    /// Word 255.
    pub integrity: Integrity,
}

impl Default for Announced {
    fn default() -> Self {
        Self {
            hpa: true,
            lba48: true,
            dco: true,
            gpl: true,
            smart: true,
            amax: true,
            words_valid: true,
            packet_device: false,
            integrity: Integrity::Valid,
        }
    }
}

/// Which pass-through opcodes the bridge takes; the others end with 05h/20h/00h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sat {
    /// 85h and A1h.
    Both,
    /// A1h only.
    Only12,
    /// Neither.
    None,
}

/// What the bridge does to the FEATURES register of a pass-through command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeaturesQuirk {
    /// Passes it on.
    None,
    /// Sends this value instead.
    Force(u16),
    /// Sends the value of the pass-through command before.
    Stale,
}

/// How a block fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKind {
    /// Good blocks before it, then 03h/11h/00h with INFORMATION.
    Medium,
    /// The same without INFORMATION.
    MediumNoInformation,
    /// All bytes asked for, zeros from the failing block on, then 03h/11h/00h with INFORMATION.
    MediumZeroFilled,
    /// All data, then 01h/17h/01h RECOVERED DATA WITH RETRIES with INFORMATION.
    Recovered,
}

/// Blocks that fail in the same way.
#[derive(Clone, Debug)]
pub struct BadBlocks {
    /// Addresses.
    pub blocks: Range<u64>,
    /// Kind of failure.
    pub kind: BadKind,
}

/// Whether the medium can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// 02h/04h/02h until START STOP UNIT with START=1.
    NeedsStart,
    /// 02h/04h/01h for so many more TEST UNIT READY.
    Becoming(u32),
    /// 02h/3Ah/00h.
    NoMedium,
}

/// Faults of drive and bridge above the transport; those of the transport are
/// [`crate::usb::UsbFault`].
#[derive(Clone, Debug)]
pub struct Faults {
    /// Blocks that fail.
    pub bad: Vec<BadBlocks>,
    /// State at power-up.
    pub readiness: Readiness,
    /// Unit attentions at power-up as (ASC, ASCQ), reported one a command.
    pub unit_attentions: Vec<(u8, u8)>,
    /// What becomes of FEATURES.
    pub features: FeaturesQuirk,
    /// READ CAPACITY gives this many blocks, whatever the medium has.
    pub capacity_lie: Option<u64>,
    /// From the command with this number (from 0) on, READ CAPACITY gives this many blocks.
    pub capacity_change: Option<(u64, u64)>,
    /// READ returns GOOD with so many bytes too few (no residue is declared).
    pub silent_short_read: Option<usize>,
    /// SMART READ DATA and RETURN STATUS save the attributes (some drive manuals say so).
    pub smart_read_saves: bool,
    /// Operation codes that end with 05h/20h/00h. A modifying command among them counts all the same.
    pub refused: Vec<u8>,
    /// A command whose CDB starts with these bytes is executed and returns these data, for drives that
    /// answer nonsense. The first match counts.
    pub replies: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            bad: Vec::new(),
            readiness: Readiness::Ready,
            unit_attentions: Vec::new(),
            features: FeaturesQuirk::None,
            capacity_lie: None,
            capacity_change: None,
            silent_short_read: None,
            smart_read_saves: false,
            refused: Vec::new(),
            replies: Vec::new(),
        }
    }
}

/// Everything that describes a model drive at power-up.
#[derive(Clone, Debug)]
pub struct DriveConfig {
    /// Bytes a logical block, 512 or 4096.
    pub block_bytes: u32,
    /// Blocks the host sees.
    pub blocks: u64,
    /// Blocks up to the native maximum (above `blocks`: an HPA). 0 = as `blocks`.
    pub native_blocks: u64,
    /// Blocks without DCO (above `native_blocks`: an overlay). 0 = as `native_blocks`.
    pub dco_blocks: u64,
    /// Content at the start.
    pub base: Base,
    /// Names.
    pub identity: Identity,
    /// Peripheral device type; 00h, 0Eh, 14h are disks.
    pub device_type: u8,
    /// Removable medium bit.
    pub removable: bool,
    /// INQUIRY version.
    pub version: u8,
    /// IDENTIFY bits.
    pub announced: Announced,
    /// Pass-through opcodes.
    pub sat: Sat,
    /// Format of returned registers.
    pub registers: RegisterFormat,
    /// Blocks a zone of a host-managed drive; `None`: no zones.
    pub zone_blocks: Option<u64>,
    /// A user password is set and the drive is locked at power-up.
    pub locked: bool,
    /// Faults.
    pub faults: Faults,
}

impl Default for DriveConfig {
    /// 32 MiB of 512-byte blocks, each different, without hidden areas or faults.
    fn default() -> Self {
        Self {
            block_bytes: 512,
            blocks: 65_536,
            native_blocks: 0,
            dco_blocks: 0,
            base: Base::Stamp(1),
            identity: Identity::default(),
            device_type: 0x00,
            removable: false,
            version: 0x06,
            announced: Announced::default(),
            sat: Sat::Both,
            registers: RegisterFormat::Descriptor,
            zone_blocks: None,
            locked: false,
            faults: Faults::default(),
        }
    }
}
