//! The claims, as the bridge fills them in.
//!
//! One struct for each row of the claim table (published requirements, section 4.3). Counters run
//! from attach; a session notes their values when it starts (5.3), and a statement carries both,
//! so that the session's own figures are the difference.

use super::drive::{Drive, Skip};
use super::list::List;
use crate::Digest;
use crate::digest::Engine;

/// Everything a statement says.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// Nonce that came with START.
    pub start_nonce: Digest,
    /// Nonce that came with FINISH.
    pub end_nonce: Digest,
    /// Power-ups of the bridge so far.
    pub boot_counter: u32,
    /// The bridge.
    pub device: Device<'a>,
    /// What runs on it.
    pub firmware: Firmware<'a>,
    /// Which session, which statement of it.
    pub session: Session,
    /// The drive as it described itself.
    pub drive: Drive<'a>,
    /// Commands the bridge sent on its own.
    pub originated: Originated<'a>,
    /// Commands of the host and what became of them.
    pub counters: Counters<'a>,
    /// Commands sent to the drive.
    pub emitted: Emitted<'a>,
    /// Refused commands.
    pub refusals: Refusals<'a>,
    /// What was read and what failed.
    pub coverage: Coverage<'a>,
    /// The digest log.
    pub log: LogState<'a>,
    /// Fields the host was shown otherwise than the drive gave them.
    pub edits: List<'a, Edit<'a>>,
    /// Head of the audit ring.
    pub audit: Audit,
}

/// How the device key is kept (published requirements, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Protection {
    /// In flash that whoever holds the board can read.
    PlainFlash,
    /// Behind secure boot and a debug lock.
    Locked,
}

impl Protection {
    /// The number used in the statement and in `INFO`.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::PlainFlash => 1,
            Self::Locked => 2,
        }
    }

    /// The protection of a number used in the statement.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::PlainFlash),
            2 => Some(Self::Locked),
            _ => None,
        }
    }

    /// Its name in the published requirements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlainFlash => "plain-flash",
            Self::Locked => "locked",
        }
    }
}

/// The bridge.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// SHA-256 of the public key.
    pub key_id: Digest,
    /// How the key is kept.
    pub protection: Protection,
    /// Board and hardware revision, for example `teensy41`.
    pub hardware: &'a str,
    /// What was seen, one bit each: bit 0, a later answer contradicted the captured capacity; the others are tamper inputs, 0 on boards
    /// without any.
    pub tamper: u32,
}

/// Bits of [`Firmware::profiles`] (published policy, section 1.2).
pub mod profile {
    /// Identity and hidden-area queries to the drive.
    pub const IDENT: u32 = 1;
    /// SMART queries to the drive.
    pub const SMART: u32 = 1 << 1;
}

/// What runs on the bridge, as it reports itself.
#[derive(Debug, Clone, Copy)]
pub struct Firmware<'a> {
    /// SHA-256 of the image range in flash.
    pub digest: Digest,
    /// SHA-256 of the policy tables joined.
    pub policy: Digest,
    /// Active profiles, bits of [`profile`].
    pub profiles: u32,
    /// Name of the build, for example version and commit.
    pub build: &'a str,
    /// The hash engine that ran.
    pub engine: Engine,
}

/// Whether the session goes on after the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Kind {
    /// The session goes on.
    Checkpoint,
    /// The session is closed.
    Final,
}

impl Kind {
    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Checkpoint => 0,
            Self::Final => 1,
        }
    }

    /// The kind of a number used in the statement.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Checkpoint),
            1 => Some(Self::Final),
            _ => None,
        }
    }
}

/// How a session ended (published requirements, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum EndReason {
    /// It goes on: the reason in a checkpoint.
    Open,
    /// The host asked for a final statement.
    Finished,
    /// A new START came.
    Superseded,
    /// The drive was detached.
    Detached,
    /// The medium was changed, or its capacity.
    MediumChanged,
}

impl EndReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Finished, Self::Superseded, Self::Detached, Self::MediumChanged];

    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Finished => 1,
            Self::Superseded => 2,
            Self::Detached => 3,
            Self::MediumChanged => 4,
        }
    }

    /// The reason of a number used in the statement.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }
}

/// Which session of the bridge, and which statement of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Session {
    /// Whether the session goes on.
    pub kind: Kind,
    /// Sessions since power-up, this one included.
    pub number: u32,
    /// Statements of this session before this one.
    pub checkpoint: u32,
    /// Uptime at START, in microseconds.
    pub start_us: u64,
    /// Uptime at FINISH, in microseconds.
    pub end_us: u64,
    /// [`EndReason::Open`] in a checkpoint, [`EndReason::Finished`] in a final statement.
    pub reason: EndReason,
    /// How the session before this one ended; `None` for the first since power-up.
    pub previous: Option<EndReason>,
}

/// Which family a command code belongs to. A command counts in one row only: a pass-through whose
/// ATA command could be read counts under [`Layer::Ata`], any other under [`Layer::Scsi`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Layer {
    /// SCSI operation code; `sub` is the service action, mode or page, 0 without one.
    Scsi,
    /// ATA command code inside a pass-through; `sub` is the FEATURES field.
    Ata,
    /// SD or MMC command index; `sub` is 0.
    Sd,
    /// SD application command index; `sub` is 0.
    SdApplication,
    /// USB control request; the code is bRequest, `sub` is bmRequestType.
    UsbControl,
    /// Request to interface 1 of the bridge; `sub` is bmRequestType.
    Interface,
    /// Command blocks that were no valid command at all; `code` and `sub` are 0.
    Invalid,
    /// Commands for which the counter table had no row left; `code` and `sub` are 0.
    Other,
}

impl Layer {
    /// All layers, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Scsi,
        Self::Ata,
        Self::Sd,
        Self::SdApplication,
        Self::UsbControl,
        Self::Interface,
        Self::Invalid,
        Self::Other,
    ];

    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Scsi => 0,
            Self::Ata => 1,
            Self::Sd => 2,
            Self::SdApplication => 3,
            Self::UsbControl => 4,
            Self::Interface => 5,
            Self::Invalid => 6,
            Self::Other => 7,
        }
    }

    /// The layer of a number used in the statement.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| u64::from(layer.code()) == code)
    }
}

/// A command by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Command {
    /// The family.
    pub layer: Layer,
    /// Operation code, command code or index.
    pub code: u8,
    /// Service action, FEATURES or page: see [`Layer`].
    pub sub: u16,
}

/// Commands the bridge sent on its own (published policy, sections 3.2 and 7.3).
#[derive(Debug, Clone, Copy)]
pub struct Originated<'a> {
    /// Commands the bridge sent on its own since attach: the script with its repetitions, and sense
    /// after a failed read. Control requests of the USB part are not among them.
    pub total: u64,
    /// The steps that were run, in their order.
    pub steps: List<'a, Step>,
    /// The steps that were not run.
    pub not_run: List<'a, NotRun>,
}

/// A step of the attach script that was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Step {
    /// Row of the script: policy 3.2 rows 1 to 12, with 50 for row 5a and 0 for the USB part; for
    /// cards the position in 7.3 from 101.
    pub step: u8,
    /// The command.
    pub command: Command,
    /// How often it was sent.
    pub times: u32,
    /// What the last of them brought.
    pub outcome: StepOutcome,
}

/// What a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum StepOutcome {
    /// Done; SHA-256 of the data, of nothing when there is none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::verify::render::hex"))]
    Good(Digest),
    /// The drive gave an error; SHA-256 of the sense data or the card's response.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::verify::render::hex"))]
    Sense(Digest),
    /// No answer in time, or a transport error.
    Failed,
}

/// A step of the attach script that was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NotRun {
    /// Row of the script, as in [`Step`].
    pub step: u8,
    /// Which page or log of that row: the VPD page or log address, 0 where a row is one command.
    pub sub: u8,
    /// Why not.
    pub reason: Skip,
}

/// What became of received commands.
///
/// `received` is always the sum of the others: a command that was cut off by a reset counts where
/// it had got to, and one that the bridge answers itself (no medium, unit attention, GOOD without
/// effect) counts as synthesised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Answers {
    /// Commands that came.
    pub received: u64,
    /// Answered by the drive through a regenerated command.
    pub forwarded: u64,
    /// Answered by the bridge from what it knows.
    pub synthesised: u64,
    /// Refused with DATA PROTECT, WRITE PROTECTED.
    pub refused_wp: u64,
    /// Refused with INVALID COMMAND OPERATION CODE.
    pub refused_op: u64,
    /// Refused with INVALID FIELD IN CDB, or not a valid command block.
    pub refused_fld: u64,
}

impl Answers {
    /// Whether `received` is the sum of the others.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.forwarded
            .checked_add(self.synthesised)
            .and_then(|sum| sum.checked_add(self.refused_wp))
            .and_then(|sum| sum.checked_add(self.refused_op))
            .and_then(|sum| sum.checked_add(self.refused_fld))
            == Some(self.received)
    }

    /// The figures in the order they are encoded.
    #[must_use]
    pub const fn to_array(self) -> [u64; 6] {
        [
            self.received,
            self.forwarded,
            self.synthesised,
            self.refused_wp,
            self.refused_op,
            self.refused_fld,
        ]
    }

    /// The inverse of [`Answers::to_array`].
    #[must_use]
    pub const fn from_array(figures: [u64; 6]) -> Self {
        let [received, forwarded, synthesised, refused_wp, refused_op, refused_fld] = figures;
        Self { received, forwarded, synthesised, refused_wp, refused_op, refused_fld }
    }
}

/// One row of the counter table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counter {
    /// Which command.
    pub command: Command,
    /// Since attach, up to this statement.
    pub answers: Answers,
    /// Since attach, up to START.
    pub at_start: Answers,
}

/// Commands of the host and what became of them.
#[derive(Debug, Clone, Copy)]
pub struct Counters<'a> {
    /// Totals of all rows, since attach.
    pub total: Answers,
    /// Totals of all rows when the session started.
    pub total_at_start: Answers,
    /// The rows, in ascending order of their commands.
    pub rows: List<'a, Counter>,
}

/// One row of the emitted commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Emission {
    /// The command, one row for each variant of the command set the bridge can emit.
    pub command: Command,
    /// How often since the bridge was powered up.
    pub count: u64,
    /// How often up to START.
    pub at_start: u64,
}

/// Commands sent to the drive side since the bridge was powered up.
#[derive(Debug, Clone, Copy)]
pub struct Emitted<'a> {
    /// Command blocks (CBW) written to the drive's bulk-OUT endpoint; 0 for cards.
    pub cbws: u64,
    /// Bytes written to the drive's bulk-OUT endpoint: 31 for each CBW; 0 for cards.
    pub bulk_out_bytes: u64,
    /// The commands. Those of the layers SCSI and ATA add up to `cbws`.
    pub commands: List<'a, Emission>,
}

/// How a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum RefusalKind {
    /// DATA PROTECT, WRITE PROTECTED.
    Wp,
    /// INVALID COMMAND OPERATION CODE.
    Op,
    /// INVALID FIELD IN CDB.
    Fld,
}

impl RefusalKind {
    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Wp => 0,
            Self::Op => 1,
            Self::Fld => 2,
        }
    }

    /// The refusal of a number used in the statement.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Wp),
            1 => Some(Self::Op),
            2 => Some(Self::Fld),
            _ => None,
        }
    }
}

/// A refused command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Uptime in microseconds.
    pub uptime_us: u64,
    /// How it was refused.
    pub kind: RefusalKind,
    /// The command block, `cdb_len` bytes of it.
    pub cdb: [u8; 16],
    /// Bytes of it; more than 16 counts as 16.
    pub cdb_len: u8,
}

impl Refusal {
    /// The command block.
    #[must_use]
    pub fn command_block(&self) -> &[u8] {
        self.cdb.get(..self.cdb_len.into()).unwrap_or(&self.cdb)
    }
}

/// Refused SCSI and ATA commands since attach.
#[derive(Debug, Clone, Copy)]
pub struct Refusals<'a> {
    /// All of them.
    pub total: u64,
    /// Of these, the ones that would have changed the drive (class MOD).
    pub modifying: u64,
    /// The first of them, [`Refusals::KEPT`] if there are as many.
    pub first: &'a [Refusal],
    /// The last of them in order of time, [`Refusals::KEPT`] if there are as many besides `first`.
    pub last: &'a [Refusal],
}

impl Refusals<'_> {
    /// How many are kept at each end.
    pub const KEPT: usize = 32;
}

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Extent {
    /// First block.
    pub lba: u64,
    /// Number of blocks, at least 1.
    pub blocks: u64,
}

/// A run of blocks that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ErrorExtent {
    /// First block.
    pub lba: u64,
    /// Number of blocks, at least 1.
    pub blocks: u64,
    /// Sense key, additional sense code, qualifier.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::verify::render::hex"))]
    pub sense: [u8; 3],
}

/// What was read and what failed in this session.
#[derive(Debug, Clone, Copy)]
pub struct Coverage<'a> {
    /// Blocks read at least once, as far as the device could note them.
    pub blocks: u64,
    /// Where they lie: ascending, disjoint, not touching.
    pub extents: List<'a, Extent>,
    /// Where reads failed, in order of time.
    pub errors: List<'a, ErrorExtent>,
}

/// The digest log.
#[derive(Debug, Clone, Copy)]
pub struct LogState<'a> {
    /// Entries.
    pub entries: u64,
    /// Root over them.
    pub root: Digest,
    /// Entries dropped from the ring before the host fetched them.
    pub lost: u64,
    /// Chunks that were begun and did not become an entry.
    pub abandoned: u64,
    /// Where the dropped entries lie: ranges of seq, `lba` is the first and `blocks` the count.
    pub lost_ranges: List<'a, Extent>,
}

/// A field that the host was shown otherwise than the drive gave it (published policy, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The answer it lies in; `sub` is the VPD page for INQUIRY.
    pub command: Command,
    /// Byte offset in that answer.
    pub offset: u16,
    /// The drive's bytes.
    pub original: &'a [u8],
    /// The bytes presented; empty when the field was left out.
    pub presented: &'a [u8],
}

/// Head of the audit ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Audit {
    /// Hash of the newest record.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::verify::render::hex"))]
    pub head: Digest,
    /// Its sequence number.
    pub seq: u64,
}
