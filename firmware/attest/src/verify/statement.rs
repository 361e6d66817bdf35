//! The claims as the host holds them, and the signed message around them.

use super::{Reject, decode};
use crate::Digest;
use crate::digest::Engine;
use crate::key::key_id;
use crate::statement::{
    Answers, Asked, Audit, Counter, Emission, ErrorExtent, Extent, NotRun, Protection, Refusal,
    Session, Step, Unsigned,
};
use ed25519_dalek::{Signature, VerifyingKey};
use std::string::String;
use std::vec::Vec;

/// A statement that has the right form, with its claims. Its signature is checked by
/// [`Signed::verify`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    cose: Vec<u8>,
    layout: Unsigned,
    key_id: Digest,
    signature: [u8; 64],
    statement: Statement,
}

impl Signed {
    /// Reads a `COSE_Sign1` as a bridge writes it; nothing else is taken.
    ///
    /// # Errors
    /// [`Reject`].
    pub fn parse(cose: &[u8]) -> Result<Self, Reject> {
        let (layout, key_id, signature) = Unsigned::read(cose)?;
        let statement = decode::statement(layout.payload(cose))?;
        if statement.device.key_id != key_id {
            return Err(Reject::KeyId);
        }
        Ok(Self { cose: cose.to_vec(), layout, key_id, signature, statement })
    }

    /// Checks key and signature, and gives the claims: the only way from signed bytes to claims
    /// that somebody answers for.
    ///
    /// # Errors
    /// [`Reject`].
    pub fn verify(&self, public_key: &[u8; 32]) -> Result<&Statement, Reject> {
        if key_id(public_key) != self.key_id {
            return Err(Reject::KeyId);
        }
        let key = VerifyingKey::from_bytes(public_key).map_err(|_| Reject::PublicKey)?;
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&self.tbs(), &signature).map_err(|_| Reject::Signature)?;
        Ok(&self.statement)
    }

    /// The three files kept for a statement, checked to be the same statement: the signed bytes and
    /// the signature of `cbor` are exactly `tbs` and `sig`.
    ///
    /// # Errors
    /// [`Reject`].
    pub fn from_files(cbor: &[u8], tbs: &[u8], sig: &[u8]) -> Result<Self, Reject> {
        let signed = Self::parse(cbor)?;
        if signed.tbs() == tbs && signed.signature == *sig {
            Ok(signed)
        } else {
            Err(Reject::Files)
        }
    }

    /// The whole message: `NAME.cbor`.
    #[must_use]
    pub fn cbor(&self) -> &[u8] {
        &self.cose
    }

    /// The bytes that were signed (`Sig_structure`): `NAME.tbs`.
    #[must_use]
    pub fn tbs(&self) -> Vec<u8> {
        self.layout.parts(&self.cose).concat()
    }

    /// The signature: `NAME.sig`.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The key the statement names.
    #[must_use]
    pub const fn key_id(&self) -> &Digest {
        &self.key_id
    }

    /// The claims, whoever made them. For rendering; conclusions need [`Signed::verify`].
    #[must_use]
    pub const fn unverified(&self) -> &Statement {
        &self.statement
    }
}

/// The claims of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Statement {
    /// Nonce that came with START.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub start_nonce: Digest,
    /// Nonce that came with FINISH.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub end_nonce: Digest,
    /// Power-ups of the bridge so far.
    pub boot_counter: u32,
    /// The bridge.
    pub device: Device,
    /// What runs on it, as it reports itself.
    pub firmware: Firmware,
    /// Which session, which statement of it.
    pub session: Session,
    /// The drive as it described itself.
    pub drive: Drive,
    /// Commands the bridge sent on its own.
    pub originated: Originated,
    /// Commands of the host and what became of them.
    pub counters: Counters,
    /// Commands sent to the drive.
    pub emitted: Emitted,
    /// Refused commands.
    pub refusals: Refusals,
    /// What was read and what failed.
    pub coverage: Coverage,
    /// The digest log.
    pub log: Log,
    /// Fields the host was shown otherwise than the drive gave them.
    pub edits: Listed<Edit>,
    /// Head of the audit ring.
    pub audit: Audit,
}

/// A list that may have been cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Listed<T> {
    /// Entries there were.
    pub count: u64,
    /// The first of them.
    pub first: Vec<T>,
    /// SHA-256 of the deterministic encoding of all that the device held; only when cut.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex_option"))]
    pub digest: Option<Digest>,
    /// Entries the device had no room for.
    pub unrecorded: u64,
}

impl<T> Listed<T> {
    /// Whether every entry there was is in the statement.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.digest.is_none() && self.unrecorded == 0
    }
}

/// Bytes from outside, cut when they were long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes {
    /// Bytes there were.
    pub len: u64,
    /// The first of them.
    pub first: Vec<u8>,
    /// SHA-256 of all of them; only when cut.
    pub digest: Option<Digest>,
}

/// The bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Device {
    /// SHA-256 of the public key.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub key_id: Digest,
    /// How the key is kept.
    pub key_protection: Protection,
    /// Board and hardware revision.
    pub hardware: String,
    /// Tamper inputs that were seen active.
    pub tamper: u32,
}

/// What runs on the bridge, as it reports itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Firmware {
    /// SHA-256 of the image range in flash.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub digest: Digest,
    /// SHA-256 of the policy tables joined.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub policy: Digest,
    /// Bits of [`profile`](crate::statement::profile).
    pub profiles: u32,
    /// Name of the build.
    pub build: String,
    /// The hash engine that ran.
    pub hash_engine: Engine,
}

/// The drive as it described itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Drive {
    /// The unit that was presented.
    pub lun: u8,
    /// Capacity in blocks.
    pub capacity: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Native max + 1 in blocks.
    pub native_max: Asked,
    /// DCO max + 1 in blocks.
    pub dco_max: Asked,
    /// AMAX native value + 1 in blocks.
    pub amax: Asked,
    /// The bridge saw figures disagree.
    pub disagreement: bool,
    /// How it is attached.
    pub medium: Medium,
}

/// The identity, by the way the drive is attached.
#[allow(clippy::large_enum_variant)] // one in a statement
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Medium {
    /// A USB disk, or a disk behind a USB adapter.
    Usb {
        /// The USB device.
        usb: Usb,
        /// The SCSI unit.
        scsi: Scsi,
        /// The ATA device behind it.
        ata: Option<Ata>,
    },
    /// An SD or MMC card.
    Card(Card),
}

/// The USB device in front of the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Usb {
    /// SHA-256 of device, configuration and string descriptors.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub descriptors: Digest,
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
    /// The serial string descriptor's UTF-16LE bytes.
    pub serial: Bytes,
    /// Whether it is one of the checked adapters.
    pub listed: bool,
}

/// The SCSI unit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Scsi {
    /// Standard INQUIRY data.
    pub inquiry: Bytes,
    /// VPD page 80h.
    pub vpd80: Option<Bytes>,
    /// VPD page 83h.
    pub vpd83: Option<Bytes>,
}

/// IDENTIFY DEVICE.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Ata {
    /// Words 27 to 46.
    pub model: Bytes,
    /// Words 10 to 19.
    pub serial: Bytes,
    /// Words 23 to 26.
    pub firmware: Bytes,
    /// Words 108 to 111.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex_option"))]
    pub wwn: Option<[u8; 8]>,
    /// SHA-256 of all 512 bytes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub identify: Digest,
    /// Whether integrity word and checksum are right.
    pub valid: bool,
}

/// An SD or MMC card.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Card {
    /// Register CID.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub cid: [u8; 16],
    /// Register CSD.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub csd: [u8; 16],
    /// Register SCR.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex_option"))]
    pub scr: Option<[u8; 8]>,
    /// SD_STATUS.
    pub sd_status: Option<Bytes>,
    /// CRC checking on the card was on.
    pub spi_crc: bool,
}

/// Commands the bridge sent on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Originated {
    /// All of them, repetitions included.
    pub total: u64,
    /// Steps that were run.
    pub steps: Listed<Step>,
    /// Steps that were not run.
    pub not_run: Listed<NotRun>,
}

/// Commands of the host and what became of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counters {
    /// Since attach.
    pub total: Answers,
    /// Up to START.
    pub total_at_start: Answers,
    /// The rows.
    pub rows: Listed<Counter>,
}

/// Commands sent to the drive side since the bridge was powered up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Emitted {
    /// Command blocks written to the drive's bulk-OUT endpoint.
    pub cbws: u64,
    /// Bytes written to it.
    pub bulk_out_bytes: u64,
    /// The commands.
    pub commands: Listed<Emission>,
}

/// Refused SCSI and ATA commands since attach.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Refusals {
    /// All of them.
    pub total: u64,
    /// The ones that would have changed the drive.
    pub modifying: u64,
    /// The first 32.
    pub first: Vec<Refusal>,
    /// The last 32, none of them in `first`.
    pub last: Vec<Refusal>,
}

/// What was read and what failed in the session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Coverage {
    /// Blocks read at least once.
    pub blocks: u64,
    /// Where they lie.
    pub extents: Listed<Extent>,
    /// Where reads failed.
    pub errors: Listed<ErrorExtent>,
}

/// The digest log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Log {
    /// Entries.
    pub entries: u64,
    /// Root over them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::render::hex"))]
    pub root: Digest,
    /// Entries dropped before the host fetched them.
    pub lost: u64,
    /// Chunks that did not become an entry.
    pub abandoned: u64,
    /// Ranges of seq of the dropped entries.
    pub lost_ranges: Listed<Extent>,
}

/// A field that the host was shown otherwise than the drive gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Edit {
    /// The answer it lies in.
    pub command: crate::statement::Command,
    /// Byte offset in that answer.
    pub offset: u16,
    /// The drive's bytes.
    pub original: Bytes,
    /// The bytes presented.
    pub presented: Bytes,
}

/// As hex digits and as printable text.
#[cfg(feature = "serde")]
impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut out = serializer.serialize_struct("Bytes", 4)?;
        out.serialize_field("len", &self.len)?;
        out.serialize_field("hex", &super::render::hex_digits(&self.first))?;
        out.serialize_field("text", &super::render::printable(&self.first))?;
        out.serialize_field("sha256", &self.digest.map(|d| super::render::hex_digits(&d)))?;
        out.end()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut out = serializer.serialize_struct("Refusal", 3)?;
        out.serialize_field("uptime_us", &self.uptime_us)?;
        out.serialize_field("kind", &self.kind)?;
        out.serialize_field("cdb", &super::render::hex_digits(self.command_block()))?;
        out.end()
    }
}
