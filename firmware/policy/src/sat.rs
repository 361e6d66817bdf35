//! ATA commands inside the pass-through commands 85h and A1h.
//!
//! A host's request is compared with the constants of the published policy, section 4.1b, field by field; what agrees becomes a
//! [`DownCommand`], which has its own encoding, so that nothing else of the request survives.
//! Facts: SAT-3, section 12.2.2 (layout of the pass-through commands); ACS-3 (fields of the ATA commands); ZAC (REPORT ZONES
//! EXT); the published policy, section 4.1.

use crate::{
    cbw::{Cdb, Direction},
    down::{AtaLog, DownCommand, LogPages, SecurityPage, SmartLog, TrustedPages, ZoneOptions},
    judge::scsi::Spot,
    tables::Field,
};

/// Adapters of which a bus trace showed that the FEATURES register reaches the drive unchanged: vendor, product, bcdDevice
/// (3.2). Without an entry nothing is asked whose meaning turns on FEATURES alone.
pub const LISTED_BRIDGES: [(u16, u16, u16); 0] = [];

/// Whether an adapter is on the list.
#[must_use]
pub fn is_listed(vendor: u16, product: u16, device: u16) -> bool {
    LISTED_BRIDGES.contains(&(vendor, product, device))
}

const PIO_IN: u8 = 4;
const NON_DATA: u8 = 3;
const DMA: u8 = 6;

/// Direction and length of the data phase that the host's wrapper announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrapper {
    pub(crate) direction: Direction,
    pub(crate) transfer: u32,
}

/// An ATA command as the host asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The 16-byte form, which has room for 48-bit commands.
    pub long: bool,
    /// PROTOCOL.
    pub protocol: u8,
    /// EXTEND; a reserved bit in the 12-byte form.
    pub extend: bool,
    /// `CK_COND`: the host wants to see the registers.
    pub check_condition: bool,
    /// `T_TYPE`.
    pub transfer_type: bool,
    /// `T_DIR`: from the device.
    pub from_device: bool,
    /// `BYT_BLOK`.
    pub in_blocks: bool,
    /// `T_LENGTH`.
    pub transfer_length: u8,
    /// FEATURES, 8 bits in the 12-byte form.
    pub features: u16,
    /// COUNT, 8 bits in the 12-byte form.
    pub count: u16,
    /// LBA, 24 bits in the 12-byte form.
    pub lba: u64,
    /// COMMAND.
    pub command: u8,
}

impl Request {
    /// The request in a pass-through command, `None` for other operation codes.
    #[must_use]
    pub fn parse(cdb: &Cdb) -> Option<Self> {
        let b = |index| cdb.get(index);
        let wide = |bytes: [u8; 6]| {
            let [l5, l4, l3, l2, l1, l0] = bytes;
            u64::from_be_bytes([0, 0, l5, l4, l3, l2, l1, l0])
        };
        let (long, features, count, lba, command) = match cdb.opcode() {
            0x85 => {
                (true, cdb.u16(3), cdb.u16(5), wide([b(11), b(9), b(7), b(12), b(10), b(8)]), b(14))
            }
            0xA1 => {
                (false, u16::from(b(3)), u16::from(b(4)), wide([0, 0, 0, b(7), b(6), b(5)]), b(9))
            }
            _ => return None,
        };
        let flags = b(2);
        Some(Self {
            long,
            protocol: (b(1) >> 1) & 0x0F,
            extend: b(1) & 0x01 != 0,
            check_condition: flags & 0x20 != 0,
            transfer_type: flags & 0x10 != 0,
            from_device: flags & 0x08 != 0,
            in_blocks: flags & 0x04 != 0,
            transfer_length: flags & 0x03,
            features,
            count,
            lba,
            command,
        })
    }

    /// Whether the request stands for the ATA command it holds: a reset, and the return of response information, need none (SAT-3
    /// 12.2.2.2, protocols 0, 1 and 15).
    #[must_use]
    pub const fn carries_command(&self) -> bool {
        !matches!(self.protocol, 0 | 1 | 15)
    }

    /// Offset of the ATA command in the command block: where every refused ATA command points (4.1).
    #[must_use]
    pub const fn command_byte(&self) -> u8 {
        if self.long { 14 } else { 9 }
    }

    /// FEATURES as wide as the command reads it: 28-bit commands know the lower byte (ACS-3).
    #[must_use]
    pub fn feature(&self) -> u16 {
        match self.command {
            0x5B..=0x5F | 0x92 | 0x93 | 0xB0 | 0xB1 | 0xB6 | 0xEF | 0xF9 => self.features & 0xFF,
            _ => self.features,
        }
    }

    /// FEATURES where it tells commands of one code apart, otherwise zero: for counters and logs.
    #[must_use]
    pub fn distinguishing_feature(&self) -> u16 {
        match self.command {
            0x4A => u16::from(self.action()),
            0x78 | 0x92 | 0x93 | 0xB0 | 0xB1 | 0xB4 | 0xB6 | 0xEF | 0xF9 => self.feature(),
            _ => 0,
        }
    }

    /// `ZM_ACTION`, FEATURES(4:0) (ZAC).
    fn action(&self) -> u8 {
        let [_, low] = self.features.to_be_bytes();
        low & 0x1F
    }

    /// LBA(8n+7:8n).
    fn lba_byte(&self, number: usize) -> u8 {
        self.lba.to_le_bytes().get(number).copied().unwrap_or(0)
    }

    /// Number of 512-byte blocks. TRUSTED RECEIVE has the upper byte of its length in LBA(7:0) (ACS-3 7.60).
    fn blocks(&self) -> u16 {
        match self.command {
            0x5C | 0x5D => u16::from_be_bytes([self.lba_byte(0), self.low_count()]),
            0x2F | 0x47 | 0x4A => self.count,
            _ => u16::from(self.low_count()),
        }
    }

    fn low_count(&self) -> u8 {
        let [_, low] = self.count.to_be_bytes();
        low
    }

    /// Page of a log: LBA(15:8), and its upper byte in LBA(39:32) (ACS-3 7.24).
    fn page(&self) -> u16 {
        u16::from_be_bytes([self.lba_byte(4), self.lba_byte(1)])
    }

    /// Protocol in FEATURES, specific field in LBA(23:8) (ACS-3 7.60).
    fn security_page(&self) -> u32 {
        let [_, protocol] = self.features.to_be_bytes();
        u32::from_be_bytes([0, protocol, self.lba_byte(2), self.lba_byte(1)])
    }

    fn lba_mid_high(&self) -> u16 {
        u16::from_be_bytes([self.lba_byte(2), self.lba_byte(1)])
    }

    /// Reporting options and PARTIAL, FEATURES(15:8) (ZAC).
    fn options(&self) -> u8 {
        let [high, _] = self.features.to_be_bytes();
        high
    }

    /// Offset of a field's low byte: in the 16-byte form, in the 12-byte form.
    fn at(&self, long: u8, short: u8) -> u8 {
        if self.long { long } else { short }
    }

    /// A field of the ATA command.
    pub(crate) fn field(&self, field: Field) -> Option<Spot> {
        let (value, byte) = match (field, self.command) {
            (Field::Features, _) => (u32::from(self.feature()), self.at(4, 3)),
            (Field::Count, _) => (u32::from(self.blocks()), self.at(6, 4)),
            (Field::Log, 0x2F | 0x47 | 0xB0) => (u32::from(self.lba_byte(0)), self.at(8, 5)),
            (Field::Page, 0x2F | 0x47) => (u32::from(self.page()), self.at(10, 6)),
            (Field::Action, 0x4A) => (u32::from(self.action()), self.at(4, 3)),
            (Field::Options, 0x4A) => (u32::from(self.options() & 0x3F), self.at(3, 3)),
            (Field::Protocol, 0x5C | 0x5D) => (self.security_page() >> 16, self.at(4, 3)),
            (Field::ProtocolSpecific, 0x5C | 0x5D) => {
                (self.security_page() & 0xFFFF, self.at(10, 6))
            }
            (Field::LbaMidHigh, 0xB0) => (u32::from(self.lba_mid_high()), self.at(10, 6)),
            _ => return None,
        };
        Some(Spot { value, byte })
    }

    /// The first block that the command names.
    pub(crate) fn first_block(&self) -> Option<Spot64> {
        (self.command == 0x4A).then_some(Spot64 { value: self.lba, byte: self.at(8, 5) })
    }

    /// Offset of a field that the tuple lays down.
    pub(crate) fn tuple_byte(&self, field: Field, high: High) -> u8 {
        match field {
            Field::AtaProtocol | Field::Extend => 1,
            Field::Count => self.at(6, 4),
            Field::HighOrder => self.foreign_high_byte(high).unwrap_or(self.command_byte()),
            _ => 2,
        }
    }

    /// Offset of the first "high order" byte that is set and has no meaning for the tuple.
    fn foreign_high_byte(&self, high: High) -> Option<u8> {
        let [features, _] = self.features.to_be_bytes();
        let [count, _] = self.count.to_be_bytes();
        let zone = high == High::Zone;
        let page = high == High::Page;
        [
            (3, features, zone),
            (5, count, false),
            (7, self.lba_byte(3), zone),
            (9, self.lba_byte(4), zone || page),
            (11, self.lba_byte(5), zone),
        ]
        .into_iter()
        .find(|(_, value, free)| *value != 0 && !free)
        .map(|(byte, ..)| byte)
    }

    /// What the policy's constant for this command lays down; `None` for commands without one.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        let tuple = |protocol, extend, data, high| Some(Tuple { protocol, extend, data, high });
        let zero = High::Zero;
        match (self.command, self.feature()) {
            (0xEC, _) | (0xB1, 0xC2) => tuple(PIO_IN, false, Data::One, zero),
            (0xEE, _) => tuple(DMA, false, Data::One, zero),
            (0x27 | 0x78 | 0xEA, _) => tuple(NON_DATA, true, Data::None, zero),
            (0xF8 | 0xE5 | 0xE7, _) => tuple(NON_DATA, false, Data::None, zero),
            (0x2F, _) => tuple(PIO_IN, true, Data::Asked, High::Page),
            (0x47, _) => tuple(DMA, true, Data::Asked, High::Page),
            (0x5C, _) => tuple(PIO_IN, false, Data::Asked, zero),
            (0x5D, _) => tuple(DMA, false, Data::Asked, zero),
            (0x4A, _) => tuple(DMA, true, Data::Asked, High::Zone),
            (0xB0, 0xD0 | 0xD1 | 0xD5) => tuple(PIO_IN, false, Data::One, zero),
            (0xB0, 0xDA) => tuple(NON_DATA, false, Data::None, zero),
            _ => None,
        }
    }

    /// Whether a field, or the wrapper, is as the tuple lays down. With data `T_DIR`, `BYT_BLOK`, `T_LENGTH` and COUNT are 1, 1, 2
    /// (length in COUNT) and the number of 512-byte blocks; without data the latter two are zero, and `T_DIR`, `BYT_BLOK` and
    /// `T_TYPE` mean nothing (SAT-3 12.2.2.2).
    pub(crate) fn agrees(&self, tuple: &Tuple, field: Field, wrapper: Option<Wrapper>) -> bool {
        let data = tuple.data != Data::None;
        match field {
            Field::AtaProtocol => self.protocol == tuple.protocol,
            Field::TransferDirection => self.from_device || !data,
            Field::TransferLength => self.transfer_length == if data { 2 } else { 0 },
            Field::ByteBlock => self.in_blocks || !data,
            Field::TransferType => !self.transfer_type || !data,
            Field::Count => match tuple.data {
                Data::None => self.blocks() == 0,
                Data::One => self.blocks() == 1,
                Data::Asked => true,
            },
            // The 12-byte form cannot carry a 48-bit command (SAT-3 12.2.2.2).
            Field::Extend => self.extend == tuple.extend && (self.long || !tuple.extend),
            Field::HighOrder => self.foreign_high_byte(tuple.high).is_none(),
            Field::WrapperDirection => {
                wrapper.is_none_or(|w| !data || w.direction == Direction::In)
            }
            Field::WrapperLength => wrapper.is_none_or(|w| w.transfer == self.bytes(tuple)),
            _ => false,
        }
    }

    /// Bytes of the data phase.
    pub(crate) fn bytes(&self, tuple: &Tuple) -> u32 {
        match tuple.data {
            Data::None => 0,
            Data::One => 512,
            Data::Asked => u32::from(self.blocks()).saturating_mul(512),
        }
    }

    /// The command that is sent for this request; `None` where the bridge has none. READ LOG DMA EXT and TRUSTED RECEIVE DMA
    /// are sent in their PIO form.
    pub(crate) fn command(&self) -> Option<DownCommand> {
        let pages = u8::try_from(self.blocks()).ok();
        Some(match (self.command, self.feature()) {
            (0x27, _) => DownCommand::ReadNativeMaxExt,
            (0xF8, _) => DownCommand::ReadNativeMax,
            (0x78, 0x0000) => DownCommand::GetNativeMaxExt,
            (0xE5, _) => DownCommand::CheckPowerMode,
            (0xB1, 0xC2) => DownCommand::DcoIdentify,
            (0x2F | 0x47, _) => DownCommand::ReadLogExt {
                log: AtaLog::new(self.lba_byte(0))?,
                page: self.page(),
                pages: LogPages::new(pages?)?,
            },
            (0x5C | 0x5D, _) => DownCommand::TrustedReceive {
                page: SecurityPage::new(self.security_page())?,
                pages: TrustedPages::new(pages?)?,
            },
            (0x4A, _) if self.action() == 0 => DownCommand::ReportZonesExt {
                start: self.lba,
                options: ZoneOptions::new(self.options() & 0x3F)?,
                partial: self.options() & 0x80 != 0,
                pages: LogPages::new(pages?)?,
            },
            (0xB0, _) if self.lba_mid_high() == 0xC24F => self.smart()?,
            _ => return None,
        })
    }

    fn smart(&self) -> Option<DownCommand> {
        Some(match self.feature() {
            0xD0 => DownCommand::SmartReadData,
            0xD1 => DownCommand::SmartReadThresholds,
            0xD5 if self.blocks() == 1 => {
                DownCommand::SmartReadLog(SmartLog::new(self.lba_byte(0))?)
            }
            0xDA => DownCommand::SmartReturnStatus,
            _ => return None,
        })
    }
}

/// A 64-bit field and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot64 {
    pub(crate) value: u64,
    pub(crate) byte: u8,
}

/// Data phase of a canonical command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// None; the answer lies in the registers.
    None,
    /// One block in.
    One,
    /// As many blocks in as COUNT says; the row of the table bounds them.
    Asked,
}

/// Meaning of the "high order" bytes of a canonical command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum High {
    /// All zero.
    Zero,
    /// LBA(39:32) is the upper byte of a page number.
    Page,
    /// FEATURES(15:8) are options, LBA(47:24) belongs to an address.
    Zone,
}

/// What a constant of section 4.1b lays down besides the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) protocol: u8,
    pub(crate) extend: bool,
    pub(crate) data: Data,
    pub(crate) high: High,
}

/// How the host wants the registers of an ATA command that was accepted (SAT-3 12.2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// `CK_COND`: end with CHECK CONDITION and the ATA status return descriptor, even without an error.
    pub check_condition: bool,
    /// EXTEND of the descriptor.
    pub extend: bool,
}
