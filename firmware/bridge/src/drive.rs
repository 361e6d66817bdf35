//! The protected drive as the bridge core sees it: attached or not, and one command at a time.
//!
//! A command's data are stored before they go on: they are valid only once its status is known, so a failing
//! block never reaches the host as data (the published policy, section 3.1).

use heapless::Vec;
use wb_attest::statement::{Command, Emission, Layer};
pub use wb_attest::statement::{NotRun, Step, StepOutcome};
use wb_policy::{
    capture::{Bytes, Capture},
    down::DownCommand,
    sense::Sense,
};

use crate::Micros;

/// One of two buffers, so that one can be filled by the drive while the other leaves for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A drive, with everything below it. Every call returns soon: the longest takes one block of a card.
pub trait Drive {
    /// Room of one slot in bytes; no command asks for more.
    fn slot_bytes(&self) -> usize;

    /// Advances attach, detach and the command in progress; at most one event a call.
    fn poll(&mut self, now: Micros) -> Option<DriveEvent>;

    /// Starts a command whose data go to `slot`; `false` if nothing is attached or a command is in progress.
    fn start(&mut self, command: &DownCommand, slot: Slot, now: Micros) -> bool;

    /// Data of the last command that filled the slot.
    fn data(&self, slot: Slot) -> &[u8];

    /// Gives up the command in progress; the driver brings itself and the drive back in step (6.1).
    fn abandon(&mut self, now: Micros);

    /// Whether nothing is connected. `false` from the first sign of a drive on, long before [`Drive::report`] has one to show.
    fn is_vacant(&self) -> bool;

    /// What is attached, or why what is attached is refused.
    fn report(&self) -> Option<&Report>;

    /// What was sent since power-up, everything included.
    fn emitted(&self) -> &Emitted;
}

/// Something happened on the drive side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveEvent {
    /// A drive is attached and captured, or refused: see [`Drive::report`].
    Attached,
    /// The drive has gone.
    Detached,
    /// The medium was exchanged and captured anew.
    Changed,
    /// The command in progress ended.
    Done(Completion),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Its status.
    pub status: Status,
    /// Bytes that came, less what the drive called not relevant.
    pub delivered: u32,
}

/// Status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Good,
    /// The drive said no, and why.
    Check(Sense),
    /// The drive broke the rules of its transport, or did not answer.
    Fault(Fault),
}

/// What went wrong below the level of sense data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time.
    TimedOut,
    /// Success was reported with fewer bytes than asked for: an error, never padding (6.3, A-7).
    ShortData,
    /// The status wrapper is not valid, or answers another command.
    BadStatus,
    /// The drive reported a phase error.
    Phase,
    /// Bus errors.
    Bus,
    /// The drive has gone.
    Gone,
}

/// Who the drive says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A USB device.
    Usb(UsbIdentity),
    /// A memory card.
    Card(CardIdentity),
}

/// A USB device's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbIdentity {
    /// Vendor id.
    pub vendor: u16,
    /// Product id.
    pub product: u16,
    /// Device release in BCD.
    pub release: u16,
    /// Serial number string, UTF-16LE as it came.
    pub serial: Bytes<126>,
    /// SHA-256 of the device descriptor, the configuration descriptor and the serial string descriptor, one after the other.
    pub descriptors: [u8; 32],
    /// Logical units announced; the first that is a disk is served.
    pub units: u8,
    /// The logical unit that is served.
    pub unit: u8,
}

/// A card's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardIdentity {
    /// Card identification register.
    pub cid: [u8; 16],
    /// Card specific data register.
    pub csd: [u8; 16],
    /// SD configuration register, where the card gave it.
    pub scr: Option<[u8; 8]>,
    /// SD status, where the card gave it.
    pub status: Option<[u8; 64]>,
    /// Whether the card proved that it checks the CRC of commands (7.2).
    pub crc_checked: bool,
}

/// Why what is attached is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A hub, or a device behind one.
    Hub,
    /// More than one interface.
    Composite,
    /// No interface with bulk-only transport.
    NoBulkOnly,
    /// No logical unit of a disk type.
    DeviceType,
    /// The device did not answer as the standard asks.
    Enumeration,
    /// A card without memory.
    NoMemory,
    /// A locked card.
    Locked,
    /// A card that does not check CRCs.
    NoCrc,
    /// A card of a kind that cannot be read over SPI.
    CardKind,
}

/// Steps of the attach script that a report holds.
pub const STEPS: usize = 32;
/// Steps not run that a report holds.
pub const NOT_RUN: usize = 24;

/// What stands on the drive side.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the attach script learned.
    pub capture: Capture,
    /// Who the drive says it is.
    pub identity: Identity,
    /// The script's steps that were run, in order (3.2, 7.3).
    pub steps: Vec<Step, STEPS>,
    /// Its steps that were not run, and why.
    pub not_run: Vec<NotRun, NOT_RUN>,
    /// Why it is not served.
    pub refused: Option<Refused>,
    /// [`Emitted::own`] before the first command of this capture.
    pub own_before: u64,
}

/// Counts of what was sent to the drive side since power-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Commands by [`DownCommand::index`].
    pub commands: [u64; DownCommand::COUNT],
    /// Commands that the bridge sent of its own: the attach script, and sense after a failure.
    pub own: u64,
    /// Command wrappers, or card command frames.
    pub wrappers: u64,
    /// Bytes given to the bulk-OUT endpoint, or driven on a card's MOSI line as command frames.
    pub bytes: u64,
    /// Control requests, or zero.
    pub controls: u32,
    /// Recoveries by bulk-only reset, port reset or card re-initialisation.
    pub recoveries: u32,
    /// Commands to a card by their index.
    pub card: [u64; 64],
    /// Application commands to a card by their index.
    pub card_application: [u64; 64],
}

/// What the commands of a drive are called in a statement, by [`DownCommand::index`]: layer, code, and service action, page or
/// FEATURES where they tell commands apart.
const NAMED: [(Layer, u8, u16); DownCommand::COUNT] = [
    (Layer::Scsi, 0x00, 0),
    (Layer::Scsi, 0x03, 0),
    (Layer::Scsi, 0x03, 1),
    (Layer::Scsi, 0x12, 0),
    (Layer::Scsi, 0x12, 1),
    (Layer::Scsi, 0x1B, 0),
    (Layer::Scsi, 0x25, 0),
    (Layer::Scsi, 0x9E, 0x10),
    (Layer::Scsi, 0x1A, 0x3F),
    (Layer::Scsi, 0x28, 0),
    (Layer::Scsi, 0x88, 0),
    (Layer::Scsi, 0x4D, 0),
    (Layer::Scsi, 0x4D, 0xFF),
    (Layer::Scsi, 0x95, 0),
    (Layer::Scsi, 0xA2, 0),
    (Layer::Ata, 0xEC, 0),
    (Layer::Ata, 0xEC, 12),
    (Layer::Ata, 0x27, 0),
    (Layer::Ata, 0xF8, 0),
    (Layer::Ata, 0x78, 0),
    (Layer::Ata, 0xB1, 0xC2),
    (Layer::Ata, 0xE5, 0),
    (Layer::Ata, 0x2F, 0),
    (Layer::Ata, 0x5C, 0),
    (Layer::Ata, 0x4A, 0),
    (Layer::Ata, 0xB0, 0xD0),
    (Layer::Ata, 0xB0, 0xD1),
    (Layer::Ata, 0xB0, 0xD5),
    (Layer::Ata, 0xB0, 0xDA),
];

impl Emitted {
    /// Calls `visit` for each command that was sent, with its count now and that in `before`.
    pub fn rows(&self, before: &Self, visit: &mut dyn FnMut(&Emission)) {
        let mut put = |layer, code, sub, count, at_start| {
            if count > 0 {
                let command = Command { layer, code, sub };
                visit(&Emission { command, count, at_start });
            }
        };
        let is_card = self.card.iter().any(|count| *count > 0);
        if !is_card {
            let counts = self.commands.iter().zip(&before.commands);
            for ((layer, code, sub), (count, at_start)) in NAMED.into_iter().zip(counts) {
                put(layer, code, sub, *count, *at_start);
            }
        }
        for (layer, now, then) in [
            (Layer::Sd, &self.card, &before.card),
            (Layer::SdApplication, &self.card_application, &before.card_application),
        ] {
            for (index, (count, at_start)) in (0..).zip(now.iter().zip(then)) {
                put(layer, index, 0, *count, *at_start);
            }
        }
    }
}

impl Default for Emitted {
    fn default() -> Self {
        Self {
            commands: [0; DownCommand::COUNT],
            own: 0,
            wrappers: 0,
            bytes: 0,
            controls: 0,
            recoveries: 0,
            card: [0; 64],
            card_application: [0; 64],
        }
    }
}
