//! Everything the bridge is able to ask of a drive. There is no variant that writes, and none that changes a drive's state.
//!
//! Facts: the published policy, sections 1 (regenerate, never filter), 3.1 to 3.7 and 4.1b (canonical pass-through); SPC-4, SBC-3, SAT-3, ZBC.
//! Parameters that come from the host are of types that hold nothing outside the policy's constant sets.

use crate::{
    cbw::{CBW_BYTES, CDB_BYTES, Cdb},
    geometry::BlockRange,
};

/// One value of a closed set; it can only be made by `new`, which knows the set.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident($kind:ty): $($allowed:pat_param)|+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name($kind);

        impl $name {
            /// The value, or `None` outside the set.
            #[must_use]
            pub fn new(value: $kind) -> Option<Self> {
                matches!(value, $($allowed)|+).then_some(Self(value))
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> $kind {
                self.0
            }
        }
    };
}

closed_set! {
    /// A vital product data page that the attach script reads (3.2, steps 3 and 4).
    VpdPage(u8): 0x00 | 0x80 | 0x83 | 0x89 | 0xB0 | 0xB1 | 0xB2
}
closed_set! {
    /// A log page that may be read with LOG SENSE (3.4).
    LogPage(u8): 0x00 | 0x02 | 0x03 | 0x05 | 0x06 | 0x0D | 0x0E | 0x10 | 0x11 | 0x15 | 0x18 | 0x19
        | 0x1A | 0x2F
}
closed_set! {
    /// Reporting options of REPORT ZONES without the PARTIAL bit (3.6).
    ZoneOptions(u8): 0x00..=0x07 | 0x10 | 0x11 | 0x3F
}
closed_set! {
    /// Security protocol and its specific field, protocol in the upper 16 bits (3.7).
    SecurityPage(u32): 0x00_0000 | 0x00_0001 | 0x00_0002 | 0x01_0001 | 0xEF_0000
}
closed_set! {
    /// A general purpose log that may be read (4.6).
    AtaLog(u8): 0x00 | 0x03 | 0x04 | 0x06 | 0x07 | 0x08 | 0x0C | 0x11 | 0x30 | 0x80..=0x9F
}
closed_set! {
    /// A SMART log that may be read in profile `smart` (4.2).
    SmartLog(u8): 0x00 | 0x01 | 0x02 | 0x03 | 0x06 | 0x07 | 0x09 | 0xE0
}
closed_set! {
    /// Number of 512-byte pages in one log transfer (4.1b).
    LogPages(u8): 1..=16
}
closed_set! {
    /// Number of 512-byte pages in one TRUSTED RECEIVE (4.1b).
    TrustedPages(u8): 1..=8
}
closed_set! {
    /// Allocation length of SECURITY PROTOCOL IN, REPORT ZONES and LOG SENSE in bytes.
    Allocation(u16): 1..=8192
}
closed_set! {
    /// Length of a standard INQUIRY: 36 bytes first, then what the drive has (3.2, steps 1 and 2).
    InquiryBytes(u8): 36..=255
}

/// A command of the bridge to a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCommand {
    /// Is the unit ready?
    TestUnitReady,
    /// Why did the last command fail? 18 bytes in fixed format.
    RequestSense,
    /// The same with room for the ATA status return descriptor.
    RequestSenseRegisters,
    /// Standard INQUIRY data.
    Inquiry(InquiryBytes),
    /// A vital product data page.
    Vpd(VpdPage),
    /// Spin up: only after the drive said that it needs an initializing command.
    StartUnit,
    /// Size, 32 bits.
    ReadCapacity10,
    /// Size, 64 bits.
    ReadCapacity16,
    /// The drive's own write protection and cache state.
    ModeSense,
    /// User data.
    Read(BlockRange),
    /// A log page, cumulative values.
    LogSense(LogPage, Allocation),
    /// The list of log pages with their subpages.
    LogSenseSubpages(Allocation),
    /// Zones of a host-managed drive from a zone's first block.
    ReportZones {
        /// First block of the first zone to report.
        start: u64,
        /// Which zones.
        options: ZoneOptions,
        /// Only those that fit.
        partial: bool,
        /// Bytes to answer at most.
        allocation: Allocation,
    },
    /// A security protocol's information page.
    SecurityProtocolIn {
        /// Which page.
        page: SecurityPage,
        /// Allocation counted in 512 bytes (INC_512), as the host asked.
        increments: bool,
        /// Allocation in bytes.
        allocation: Allocation,
    },
    /// IDENTIFY DEVICE through the 16-byte pass-through.
    AtaIdentify16,
    /// IDENTIFY DEVICE through the 12-byte pass-through.
    AtaIdentify12,
    /// READ NATIVE MAX ADDRESS EXT.
    ReadNativeMaxExt,
    /// READ NATIVE MAX ADDRESS.
    ReadNativeMax,
    /// GET NATIVE MAX ADDRESS EXT; listed adapters only.
    GetNativeMaxExt,
    /// DEVICE CONFIGURATION IDENTIFY; listed adapters only.
    DcoIdentify,
    /// CHECK POWER MODE.
    CheckPowerMode,
    /// READ LOG EXT.
    ReadLogExt {
        /// Log address.
        log: AtaLog,
        /// First page.
        page: u16,
        /// Number of pages.
        pages: LogPages,
    },
    /// TRUSTED RECEIVE.
    TrustedReceive {
        /// Which page.
        page: SecurityPage,
        /// Number of 512-byte pages.
        pages: TrustedPages,
    },
    /// REPORT ZONES EXT.
    ReportZonesExt {
        /// First block of the first zone to report.
        start: u64,
        /// Which zones.
        options: ZoneOptions,
        /// Only those that fit.
        partial: bool,
        /// Number of 512-byte pages.
        pages: LogPages,
    },
    /// SMART READ DATA; profile `smart`.
    SmartReadData,
    /// SMART READ THRESHOLDS; profile `smart`.
    SmartReadThresholds,
    /// SMART READ LOG, one page; profile `smart`.
    SmartReadLog(SmartLog),
    /// SMART RETURN STATUS; profile `smart`.
    SmartReturnStatus,
}

/// A command as it goes to the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The command block.
    pub cdb: Cdb,
    /// Bytes of the data-in phase; there is no other data phase.
    pub data_in: u32,
}

impl DownCommand {
    /// Number of kinds of command.
    pub const COUNT: usize = 29;
    /// Names of the kinds, by [`DownCommand::index`].
    pub const NAMES: [&'static str; Self::COUNT] = [
        "TEST UNIT READY",
        "REQUEST SENSE",
        "REQUEST SENSE (registers)",
        "INQUIRY",
        "INQUIRY (vital product data)",
        "START UNIT",
        "READ CAPACITY(10)",
        "READ CAPACITY(16)",
        "MODE SENSE(6)",
        "READ(10)",
        "READ(16)",
        "LOG SENSE",
        "LOG SENSE (subpages)",
        "REPORT ZONES",
        "SECURITY PROTOCOL IN",
        "IDENTIFY DEVICE",
        "IDENTIFY DEVICE (12)",
        "READ NATIVE MAX ADDRESS EXT",
        "READ NATIVE MAX ADDRESS",
        "GET NATIVE MAX ADDRESS EXT",
        "DEVICE CONFIGURATION IDENTIFY",
        "CHECK POWER MODE",
        "READ LOG EXT",
        "TRUSTED RECEIVE",
        "REPORT ZONES EXT",
        "SMART READ DATA",
        "SMART READ THRESHOLDS",
        "SMART READ LOG",
        "SMART RETURN STATUS",
    ];

    /// Number of the kind, below [`DownCommand::COUNT`]: the place of its counter.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::TestUnitReady => 0,
            Self::RequestSense => 1,
            Self::RequestSenseRegisters => 2,
            Self::Inquiry(_) => 3,
            Self::Vpd(_) => 4,
            Self::StartUnit => 5,
            Self::ReadCapacity10 => 6,
            Self::ReadCapacity16 => 7,
            Self::ModeSense => 8,
            Self::Read(range) => {
                if needs_read16(range) {
                    10
                } else {
                    9
                }
            }
            Self::LogSense(..) => 11,
            Self::LogSenseSubpages(_) => 12,
            Self::ReportZones { .. } => 13,
            Self::SecurityProtocolIn { .. } => 14,
            Self::AtaIdentify16 => 15,
            Self::AtaIdentify12 => 16,
            Self::ReadNativeMaxExt => 17,
            Self::ReadNativeMax => 18,
            Self::GetNativeMaxExt => 19,
            Self::DcoIdentify => 20,
            Self::CheckPowerMode => 21,
            Self::ReadLogExt { .. } => 22,
            Self::TrustedReceive { .. } => 23,
            Self::ReportZonesExt { .. } => 24,
            Self::SmartReadData => 25,
            Self::SmartReadThresholds => 26,
            Self::SmartReadLog(_) => 27,
            Self::SmartReturnStatus => 28,
        }
    }

    /// Whether the answer lies in the registers, returned as sense data.
    #[must_use]
    pub fn answers_in_registers(&self) -> bool {
        matches!(
            self,
            Self::ReadNativeMaxExt
                | Self::ReadNativeMax
                | Self::GetNativeMaxExt
                | Self::CheckPowerMode
                | Self::SmartReturnStatus
        )
    }

    /// The bytes of the command for a drive with blocks of `block_bytes`, and the length of its data-in phase.
    #[must_use]
    pub fn encode(&self, block_bytes: u32) -> Encoded {
        let (cdb, data_in) = match self {
            Self::TestUnitReady => (six([0x00, 0, 0, 0, 0, 0]), 0),
            Self::RequestSense => (six([0x03, 0, 0, 0, 0x12, 0]), 0x12),
            Self::RequestSenseRegisters => (six([0x03, 0, 0, 0, 0x20, 0]), 0x20),
            Self::Inquiry(length) => (six([0x12, 0, 0, 0, length.0, 0]), u32::from(length.0)),
            Self::Vpd(VpdPage(0x89)) => (six([0x12, 1, 0x89, 0x02, 0x3C, 0]), 0x23C),
            Self::Vpd(page) => (six([0x12, 1, page.0, 0, 0xFF, 0]), 0xFF),
            Self::StartUnit => (six([0x1B, 0, 0, 0, 0x01, 0]), 0),
            Self::ReadCapacity10 => (ten([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 8),
            Self::ReadCapacity16 => {
                (sixteen([0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0]), 32)
            }
            Self::ModeSense => (six([0x1A, 0, 0x3F, 0, 0xC0, 0]), 0xC0),
            Self::Read(range) => (read(range), range.blocks().saturating_mul(block_bytes)),
            Self::LogSense(page, length) => log_sense(0x40 | page.0, 0, *length),
            Self::LogSenseSubpages(length) => log_sense(0x40, 0xFF, *length),
            Self::ReportZones { start, options, partial, allocation } => {
                report_zones(*start, *options, *partial, *allocation)
            }
            Self::SecurityProtocolIn { page, increments, allocation } => {
                security_in(*page, *increments, *allocation)
            }
            _ => self.encode_ata(),
        };
        Encoded { cdb, data_in }
    }

    /// The canonical pass-through commands (4.1b), byte for byte.
    fn encode_ata(&self) -> (Cdb, u32) {
        match self {
            Self::AtaIdentify12 => {
                (twelve([0xA1, 0x08, 0x0E, 0, 1, 0, 0, 0, 0x40, 0xEC, 0, 0]), 512)
            }
            Self::ReadNativeMaxExt => ata_registers(0x07, 0, 0, 0x27),
            Self::ReadNativeMax => ata_registers(0x06, 0, 0, 0xF8),
            Self::GetNativeMaxExt => ata_registers(0x07, 0, 0, 0x78),
            Self::CheckPowerMode => ata_registers(0x06, 0, 0, 0xE5),
            Self::SmartReturnStatus => ata_registers(0x06, 0xDA, 0xC2_4F00, 0xB0),
            Self::DcoIdentify => ata_in(0x08, 0xC2, 1, 0, 0xB1),
            Self::ReadLogExt { log, page, pages } => {
                let [high, low] = page.to_be_bytes();
                let lba = (u64::from(high) << 32) | (u64::from(low) << 8) | u64::from(log.0);
                ata_in(0x09, 0, pages.0, lba, 0x2F)
            }
            Self::TrustedReceive { page, pages } => {
                let [_, protocol, high, low] = page.0.to_be_bytes();
                let lba = (u64::from(high) << 16) | (u64::from(low) << 8);
                ata_in(0x08, protocol, pages.0, lba, 0x5C)
            }
            Self::ReportZonesExt { start, options, partial, pages } => {
                // FEATURES(15:8) carries the options, and the protocol is DMA (4.1b).
                let (mut bytes, data_in) = ata_bytes(0x0D, 0x0E, 0, pages.0, *start, 0x4A);
                if let Some(features) = bytes.get_mut(3) {
                    *features = options.0 | if *partial { 0x80 } else { 0 };
                }
                (sixteen(bytes), data_in)
            }
            Self::SmartReadData => ata_in(0x08, 0xD0, 1, 0xC2_4F00, 0xB0),
            Self::SmartReadThresholds => ata_in(0x08, 0xD1, 1, 0xC2_4F00, 0xB0),
            Self::SmartReadLog(log) => {
                // The table of 4.1b puts the log address where SAT has LBA(7:0), beside 4Fh and C2h in LBA(23:8).
                ata_in(0x08, 0xD5, 1, 0xC2_4F00 | u64::from(log.0), 0xB0)
            }
            // The rest is not ATA and has been encoded before; IDENTIFY is the one that asks least.
            _ => ata_in(0x08, 0, 1, 0, 0xEC),
        }
    }
}

fn six(bytes: [u8; 6]) -> Cdb {
    block(&bytes)
}

fn ten(bytes: [u8; 10]) -> Cdb {
    block(&bytes)
}

fn twelve(bytes: [u8; 12]) -> Cdb {
    block(&bytes)
}

fn sixteen(bytes: [u8; CDB_BYTES]) -> Cdb {
    block(&bytes)
}

fn block(bytes: &[u8]) -> Cdb {
    Cdb::of_encoder(bytes)
}

fn needs_read16(range: &BlockRange) -> bool {
    let end = range.lba().saturating_add(u64::from(range.blocks()));
    end > u64::from(u32::MAX) || range.blocks() > u32::from(u16::MAX)
}

/// READ(10) where address and length fit it, otherwise READ(16); no flag is ever set (3.1).
fn read(range: &BlockRange) -> Cdb {
    let [a7, a6, a5, a4, a3, a2, a1, a0] = range.lba().to_be_bytes();
    let [n3, n2, n1, n0] = range.blocks().to_be_bytes();
    if needs_read16(range) {
        sixteen([0x88, 0, a7, a6, a5, a4, a3, a2, a1, a0, n3, n2, n1, n0, 0, 0])
    } else {
        ten([0x28, 0, a3, a2, a1, a0, 0, n1, n0, 0])
    }
}

fn log_sense(control_and_page: u8, subpage: u8, length: Allocation) -> (Cdb, u32) {
    let [high, low] = length.0.to_be_bytes();
    (ten([0x4D, 0, control_and_page, subpage, 0, 0, 0, high, low, 0]), u32::from(length.0))
}

fn report_zones(start: u64, options: ZoneOptions, partial: bool, length: Allocation) -> (Cdb, u32) {
    let [a7, a6, a5, a4, a3, a2, a1, a0] = start.to_be_bytes();
    let [high, low] = length.0.to_be_bytes();
    let options = options.0 | if partial { 0x80 } else { 0 };
    let bytes = [0x95, 0, a7, a6, a5, a4, a3, a2, a1, a0, 0, 0, high, low, options, 0];
    (sixteen(bytes), u32::from(length.0))
}

fn security_in(page: SecurityPage, increments: bool, length: Allocation) -> (Cdb, u32) {
    let [_, protocol, high, low] = page.0.to_be_bytes();
    let count = if increments { length.0.div_ceil(512) } else { length.0 };
    let data_in = if increments { u32::from(count).saturating_mul(512) } else { u32::from(count) };
    let [c1, c0] = count.to_be_bytes();
    let flag = if increments { 0x80 } else { 0 };
    (twelve([0xA2, protocol, high, low, flag, 0, 0, 0, c1, c0, 0, 0]), data_in)
}

/// ATA PASS-THROUGH(16) with the layout of 4.1b.
fn ata_bytes(
    protocol: u8,
    transfer: u8,
    features: u8,
    count: u8,
    lba: u64,
    command: u8,
) -> ([u8; CDB_BYTES], u32) {
    let [_, _, l5, l4, l3, l2, l1, l0] = lba.to_be_bytes();
    let bytes =
        [0x85, protocol, transfer, 0, features, 0, count, l3, l0, l4, l1, l5, l2, 0x40, command, 0];
    (bytes, u32::from(count).saturating_mul(512))
}

/// A pass-through that brings `pages` times 512 bytes.
fn ata_in(protocol: u8, features: u8, pages: u8, lba: u64, command: u8) -> (Cdb, u32) {
    let (bytes, data_in) = ata_bytes(protocol, 0x0E, features, pages, lba, command);
    (sixteen(bytes), data_in)
}

/// A pass-through without data, whose registers come back as sense (CK_COND).
fn ata_registers(protocol: u8, features: u8, lba: u64, command: u8) -> (Cdb, u32) {
    let (bytes, _) = ata_bytes(protocol, 0x20, features, 0, lba, command);
    (sixteen(bytes), 0)
}

/// Second, independent list: may these bytes go to a drive? Written over bytes, not over [`DownCommand`], and asked by
/// the constructor of [`CbwOut`], so that a fault in the encoder cannot reach a drive.
#[must_use]
pub fn emission_is_allowed(cdb: &Cdb) -> bool {
    let byte = |index| cdb.get(index);
    match (byte(0), cdb.len()) {
        (0x00 | 0x03, 6) => byte(1) == 0,
        (0x12, 6) => byte(1) & 0xFE == 0,
        (0x1A, 6) => byte(2) & 0xC0 == 0,
        (0x1B, 6) => byte(4) == 0x01,
        (0x25 | 0x28, 10) => byte(1) == 0 && byte(9) == 0,
        (0x4D, 10) => byte(1) == 0 && byte(2) & 0xC0 == 0x40,
        (0x88, 16) => byte(1) == 0 && byte(14) == 0,
        (0x9E, 16) => byte(1) == 0x10,
        (0x95, 16) => byte(1) == 0x00,
        (0xA2, 12) => only_informs(byte(1), byte(2), byte(3)) && byte(10) == 0 && byte(11) == 0,
        (0x85, 16) => ata_is_allowed(cdb),
        (0xA1, 12) => byte(1) == 0x08 && byte(2) == 0x0E && byte(9) == 0xEC,
        _ => false,
    }
}

/// Security protocols that inform: protocol list, certificate, compliance, TCG level 0 discovery, ATA security status (3.7). Any other
/// moves a session on.
fn only_informs(protocol: u8, high: u8, low: u8) -> bool {
    matches!((protocol, high, low), (0x00, 0, 0..=2) | (0x01, 0, 1) | (0xEF, 0, 0))
}

fn ata_is_allowed(cdb: &Cdb) -> bool {
    let byte = |index| cdb.get(index);
    let (protocol, transfer, options, features) = (byte(1), byte(2), byte(3), byte(4));
    let pages = byte(6);
    let is_data_in = |most| transfer == 0x0E && (1..=most).contains(&pages);
    let no_data = transfer == 0x20 && pages == 0;
    let lba = [byte(11), byte(9), byte(7), byte(12), byte(10), byte(8)];
    let plain = features == 0 && options == 0;
    let is_framed = byte(5) == 0 && byte(13) == 0x40 && byte(15) == 0;
    let is_known = match (byte(14), protocol, lba) {
        (0xEC, 0x08, [0, 0, 0, 0, 0, 0]) => is_data_in(1) && plain,
        (0x27 | 0x78, 0x07, [0, 0, 0, 0, 0, 0]) | (0xF8 | 0xE5, 0x06, [0, 0, 0, 0, 0, 0]) => {
            no_data && plain
        }
        (0xB1, 0x08, [0, 0, 0, 0, 0, 0]) => is_data_in(1) && options == 0 && features == 0xC2,
        // 10h clears the queued error, 24h and 25h can capture a new status, A0h to BFh and E1h are the maker's (4.6).
        (0x2F, 0x09, [0, _, 0, 0, _, log]) => {
            let is_readable = matches!(
                log,
                0x00 | 0x03 | 0x04 | 0x06 | 0x07 | 0x08 | 0x0C | 0x11 | 0x30 | 0x80..=0x9F
            );
            is_data_in(16) && plain && is_readable
        }
        (0x5C, 0x08, [0, 0, 0, high, low, 0]) => {
            is_data_in(8) && options == 0 && only_informs(features, high, low)
        }
        // FEATURES(15:8) carries the zones to report, and PARTIAL; the action in FEATURES(7:0) is zero.
        (0x4A, 0x0D, _) => {
            let zones = options & 0x7F;
            let are_known = matches!(zones, 0x00..=0x07 | 0x10 | 0x11 | 0x3F);
            is_data_in(16) && features == 0 && are_known
        }
        (0xB0, 0x08, [0, 0, 0, 0xC2, 0x4F, log]) if features == 0xD5 => {
            let is_readable = matches!(log, 0x00..=0x03 | 0x06 | 0x07 | 0x09 | 0xE0);
            is_data_in(1) && options == 0 && is_readable
        }
        (0xB0, 0x08, [0, 0, 0, 0xC2, 0x4F, 0]) => {
            is_data_in(1) && options == 0 && matches!(features, 0xD0 | 0xD1)
        }
        (0xB0, 0x06, [0, 0, 0, 0xC2, 0x4F, 0]) => no_data && options == 0 && features == 0xDA,
        _ => false,
    };
    is_known && is_framed
}

/// A command block wrapper for a drive: the only bytes that ever go to a drive's bulk-OUT endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CbwOut {
    bytes: [u8; CBW_BYTES],
    data_in: u32,
}

impl CbwOut {
    /// Wraps a command, or `None` if the second list does not know its bytes.
    #[must_use]
    pub fn new(tag: u32, lun: u8, command: &DownCommand, block_bytes: u32) -> Option<Self> {
        let Encoded { cdb, data_in } = command.encode(block_bytes);
        if !emission_is_allowed(&cdb) {
            return None;
        }
        let mut bytes = [0; CBW_BYTES];
        let head = bytes.get_mut(..15)?;
        let [t0, t1, t2, t3] = tag.to_le_bytes();
        let [n0, n1, n2, n3] = data_in.to_le_bytes();
        let direction = if data_in == 0 { 0x00 } else { 0x80 };
        head.copy_from_slice(&[
            b'U',
            b'S',
            b'B',
            b'C',
            t0,
            t1,
            t2,
            t3,
            n0,
            n1,
            n2,
            n3,
            direction,
            lun & 0x0F,
            cdb.len(),
        ]);
        bytes
            .get_mut(15..15_usize.checked_add(cdb.as_bytes().len())?)?
            .copy_from_slice(cdb.as_bytes());
        Some(Self { bytes, data_in })
    }

    /// The wrapper's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; CBW_BYTES] {
        &self.bytes
    }

    /// Bytes of the data-in phase.
    #[must_use]
    pub fn data_in(&self) -> u32 {
        self.data_in
    }
}
