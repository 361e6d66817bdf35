//! The published policy as constant data.
//!
//! The five CSV files in `tables/` are read by the build script, which refuses an incomplete table or an unknown word, and
//! computes the policy digest. The format is that of the published policy, sections 1.1 and 1.3. Selectors and guards are data that
//! [`crate::judge`] and [`crate::sd`] interpret, so a test can copy the rows, change one, and pass the copy.

use crate::sense::Code;

/// What kind of command a row is about (1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Returns user data from the medium.
    Read,
    /// Returns data about the device.
    Info,
    /// Other commands that change nothing.
    Other,
    /// Can change the medium, what is visible of it, or the drive's persistent state.
    Modifying,
    /// Reserved, vendor specific, tunnelling or ambiguous.
    Unknown,
}

/// What happens to a command (1.1, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Decision {
    /// A canonical command is regenerated and sent.
    Forward,
    /// Answered from captured and made data.
    Synthesise,
    /// Answered GOOD, nothing sent.
    Local,
    /// The rows of `policy-sub.csv` decide.
    Sub,
    /// The ATA table decides.
    Ata,
    /// Refused.
    Deny,
    /// A card command that the driver may send.
    Emit,
    /// A card command that the driver may send under the row's conditions.
    Guard,
    /// A card command that does not exist for the driver.
    Never,
}

impl Decision {
    /// Whether a SCSI or ATA row with this decision lets a command through or answers it.
    #[must_use]
    pub const fn allows(self) -> bool {
        matches!(self, Self::Forward | Self::Synthesise | Self::Local | Self::Ata)
    }
}

/// What the host sees (1.1, 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Response {
    /// Nothing is laid down: the answer is made, or another row decides.
    None,
    /// The drive's own status.
    Drive,
    /// The registers of the ATA device.
    Registers,
    /// GOOD.
    Good,
    /// 07h/27h/00h write protected.
    WriteProtected,
    /// 05h/20h/00h invalid operation code.
    OpCode,
    /// 05h/24h/00h invalid field.
    Field,
    /// 05h/21h/00h address out of range.
    OutOfRange,
    /// 05h/39h/00h saving parameters not supported.
    SavingNotSupported,
    /// The card command is not sent.
    Never,
}

/// Set of optional rows that a row belongs to (1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Profile {
    /// Always active.
    Core,
    /// Identification and information commands.
    Ident,
    /// SMART.
    Smart,
}

/// Table that a row of `policy-sub.csv` refines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SubLayer {
    /// `policy-scsi.csv`.
    Scsi,
    /// `policy-ata.csv`.
    Ata,
    /// `policy-sdmmc.csv`, SD cards.
    Sd,
    /// `policy-sdmmc.csv`, eMMC.
    Emmc,
    /// `policy-sdmmc.csv`, SPI mode.
    Spi,
    /// `policy-acmd.csv`.
    Acmd,
}

/// A field of a command, or a number known about the session (1.3). Where it lies is the reader's knowledge of the standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// Service action.
    ServiceAction,
    /// Page code, or page of an ATA log.
    Page,
    /// Subpage code.
    Subpage,
    /// Page control.
    PageControl,
    /// Save parameters.
    SaveParameters,
    /// Parameter pointer control (obsolete PPC bit).
    ParameterPointerControl,
    /// Enable vital product data.
    EnableVpd,
    /// Protection information.
    ReadProtect,
    /// CONTROL byte.
    Control,
    /// Number of blocks.
    Length,
    /// START.
    Start,
    /// LOEJ.
    LoadEject,
    /// POWER CONDITION.
    PowerCondition,
    /// Reporting options of REPORT ZONES.
    Options,
    /// Security protocol.
    Protocol,
    /// Security protocol specific.
    ProtocolSpecific,
    /// Allocation length in bytes.
    Allocation,
    /// PROTOCOL of an ATA pass-through.
    AtaProtocol,
    /// `MULTIPLE_COUNT`.
    MultipleCount,
    /// `OFF_LINE`.
    OffLine,
    /// `T_DIR`.
    TransferDirection,
    /// `T_LENGTH`.
    TransferLength,
    /// `BYT_BLOK`.
    ByteBlock,
    /// `T_TYPE`.
    TransferType,
    /// ATA COUNT.
    Count,
    /// EXTEND.
    Extend,
    /// The previous-content ("high order byte") registers.
    HighOrder,
    /// Direction of the wrapper around the command.
    WrapperDirection,
    /// Transfer length of the wrapper around the command.
    WrapperLength,
    /// ATA FEATURES.
    Features,
    /// ATA log address.
    Log,
    /// Action of ZAC MANAGEMENT IN.
    Action,
    /// ATA LBA(23:8).
    LbaMidHigh,
    /// Removable medium.
    Removable,
    /// Peripheral device type.
    DeviceType,
}

/// Consecutive values, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

/// Alternatives of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set(pub &'static [Span]);

impl Set {
    /// Whether `value` is one of them.
    #[must_use]
    pub fn contains(self, value: u32) -> bool {
        self.0.iter().any(|span| (u32::from(span.first)..=u32::from(span.last)).contains(&value))
    }
}

/// A feature that IDENTIFY DEVICE announces (3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Feature {
    /// Host protected area.
    Hpa,
    /// 48-bit addresses.
    Lba48,
    /// General purpose logging.
    Gpl,
    /// SMART.
    Smart,
    /// Accessible maximum address configuration.
    Amax,
    /// Device configuration overlay.
    Dco,
}

/// Wiring of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CardBus {
    /// SD mode.
    Sd,
    /// SPI mode.
    Spi,
}

/// Kind of card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CardKind {
    /// Ultra High Speed.
    Uhs,
    /// Ultra capacity.
    Sduc,
}

/// One term of a selector or a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `field=a|b-c`, also `field<=n`.
    Among {
        /// Field.
        field: Field,
        /// Its values.
        set: Set,
    },
    /// `lba<cap`: the first block exists.
    LbaWithinCapacity,
    /// `len<=cap-lba`: so do the others. Says nothing where the first one does not.
    LengthWithinCapacity,
    /// `page<pages(log)`: the log directory lists the page.
    PageWithinLog,
    /// `field=tuple`: the field is as in the matched canonical pass-through command (4.1b).
    Tuple(Field),
    /// `identify=valid`.
    IdentifyValid,
    /// `announced=feature`.
    Announced(Feature),
    /// `bridge=listed`.
    BridgeListed,
    /// `last_sense=key/asc/ascq`.
    LastSense(Code),
    /// `arg=n`, `arg[a:b]=n`: bits of a card command's argument.
    Argument {
        /// Highest bit.
        high: u8,
        /// Lowest bit.
        low: u8,
        /// Values.
        set: Set,
    },
    /// `arg[a:b]=extcsd179[c:d]`: bits of the argument are as the card has them in PARTITION_CONFIG.
    ArgumentKeepsPartition {
        /// Highest bit of the argument.
        high: u8,
        /// Lowest bit of the argument.
        low: u8,
        /// Lowest bit of the register.
        from: u8,
    },
    /// `bus=`.
    Bus(CardBus),
    /// `card=`.
    Card(CardKind),
    /// `previous=n`: the command before.
    Previous(u8),
    /// `next=acmd`: an application command follows at once.
    NextIsApplication,
    /// `crc=on`: the card checks CRCs.
    CrcOn,
}

/// A condition that must hold, and what the host sees where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Condition.
    pub condition: Condition,
    /// Answer where it fails.
    pub response: Response,
}

/// A SCSI operation code; its number is the row's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScsiRow {
    /// Class.
    pub class: Class,
    /// Decision.
    pub decision: Decision,
    /// What the host sees.
    pub response: Response,
}

/// An ATA command; its code is the row's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtaRow {
    /// Class.
    pub class: Class,
    /// Decision.
    pub decision: Decision,
    /// What the host sees.
    pub response: Response,
}

/// A card command or application command; its index is the row's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardRow {
    /// Class.
    pub class: Class,
    /// Decision.
    pub decision: Decision,
}

/// A row of `policy-sub.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubRow<'a> {
    /// Table it refines.
    pub layer: SubLayer,
    /// Operation code, ATA command or card command.
    pub code: u8,
    /// Terms that must all hold; none is `*`.
    pub select: &'a [Condition],
    /// Class.
    pub class: Class,
    /// Decision.
    pub decision: Decision,
    /// What the host sees.
    pub response: Response,
    /// Profile without which the row is absent.
    pub profile: Profile,
    /// Conditions in the order in which they are looked at.
    pub guards: &'a [Guard],
}

/// The whole policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// 256 SCSI operation codes.
    pub scsi: &'a [ScsiRow],
    /// 256 ATA commands.
    pub ata: &'a [AtaRow],
    /// 64 card commands.
    pub sd: &'a [CardRow],
    /// 64 application commands.
    pub acmd: &'a [CardRow],
    /// Refinements; the rows of one code stand together.
    pub sub: &'a [SubRow<'a>],
}

impl<'a> Policy<'a> {
    /// The rows that refine a code, and the place of the first of them in [`Policy::sub`].
    #[must_use]
    pub fn rows(&self, layer: SubLayer, code: u8) -> (usize, &'a [SubRow<'a>]) {
        let same = |row: &SubRow<'_>| row.layer == layer && row.code == code;
        let Some(start) = self.sub.iter().position(same) else { return (0, &[]) };
        let rest = self.sub.get(start..).unwrap_or(&[]);
        let count = rest.iter().take_while(|row| same(row)).count();
        (start, rest.get(..count).unwrap_or(&[]))
    }
}

/// Names of the rows, for people.
#[cfg(feature = "names")]
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// By SCSI operation code.
    pub scsi: &'static [&'static str],
    /// By ATA command.
    pub ata: &'static [&'static str],
    /// By card command, of SD cards.
    pub sd: &'static [&'static str],
    /// By card command, of eMMC.
    pub emmc: &'static [&'static str],
    /// By application command.
    pub acmd: &'static [&'static str],
    /// By the place in [`Policy::sub`].
    pub sub: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
