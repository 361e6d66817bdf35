//! Where the fields of SCSI commands lie.
//!
//! Facts: SPC-4 (CONTROL byte 4.2.5, INQUIRY, LOG SENSE, MODE SENSE, SECURITY PROTOCOL IN, service actions), SBC-3 (READ,
//! START STOP UNIT), ZBC (REPORT ZONES), SAT-3 12.2.2 (pass-through).

use crate::{cbw::Cdb, tables::Field};

/// A field's value and the offset of its first byte in the command block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) value: u32,
    pub(crate) byte: u8,
}

impl Spot {
    const fn new(value: u32, byte: u8) -> Self {
        Self { value, byte }
    }
}

/// Length of a command by the group of its operation code (SPC-4 4.2.5.1), `None` for groups without a fixed one.
pub(crate) const fn group_length(opcode: u8) -> Option<u8> {
    match opcode >> 5 {
        0 => Some(6),
        1 | 2 => Some(10),
        4 => Some(16),
        5 => Some(12),
        _ => None,
    }
}

/// Whether the operation code is shared by service actions in bits 4:0 of byte 1 (SPC-4 4.2.5.2, SBC-3, ZBC).
pub(crate) const fn has_service_actions(opcode: u8) -> bool {
    matches!(
        opcode,
        0x48 | 0x5E | 0x5F | 0x83 | 0x84 | 0x86 | 0x87 | 0x94 | 0x95 | 0x9D
            ..=0x9F | 0xA3 | 0xA4 | 0xA9 | 0xAB
    ) || matches!(opcode, 0xBA..=0xBF)
}

/// The service action for counters and logs; zero for operation codes without.
pub(crate) fn service_action(cdb: &Cdb) -> u16 {
    if has_service_actions(cdb.opcode()) { u16::from(cdb.get(1) & 0x1F) } else { 0 }
}

/// Address and number of blocks of a READ; `None` for other commands. A READ(6) of 0 blocks means 256 (SBC-3 5.10).
pub(crate) fn blocks(cdb: &Cdb) -> Option<(u64, u32)> {
    Some(match cdb.opcode() {
        0x08 => {
            let lba = u64::from(cdb.u32(0) & 0x001F_FFFF);
            (lba, if cdb.get(4) == 0 { 256 } else { u32::from(cdb.get(4)) })
        }
        0x28 => (u64::from(cdb.u32(2)), u32::from(cdb.u16(7))),
        0xA8 => (u64::from(cdb.u32(2)), cdb.u32(6)),
        0x88 => (cdb.u64(2), cdb.u32(10)),
        _ => return None,
    })
}

/// First block named by a command: of a READ, or the zone start of REPORT ZONES.
pub(crate) fn first_block(cdb: &Cdb) -> Option<u64> {
    match cdb.opcode() {
        0x95 => Some(cdb.u64(2)),
        _ => blocks(cdb).map(|(lba, _)| lba),
    }
}

/// Allocation length in bytes and its offset. SECURITY PROTOCOL IN may count in 512 bytes (INC_512, SPC-4 6.40).
pub(crate) fn allocation(cdb: &Cdb) -> Option<Spot> {
    Some(match cdb.opcode() {
        0x4D => Spot::new(u32::from(cdb.u16(7)), 7),
        0x95 | 0x9E => Spot::new(cdb.u32(10), 10),
        0xA2 if cdb.get(4) & 0x80 != 0 => Spot::new(cdb.u32(6).saturating_mul(512), 6),
        0xA2 => Spot::new(cdb.u32(6), 6),
        _ => return None,
    })
}

/// A field of a command, `None` where the command has no such field.
pub(crate) fn field(cdb: &Cdb, field: Field) -> Option<Spot> {
    let opcode = cdb.opcode();
    let bits = |byte: u8, shift: u8, mask: u8| {
        let value = cdb.get(usize::from(byte)).checked_shr(u32::from(shift)).unwrap_or(0) & mask;
        Some(Spot::new(u32::from(value), byte))
    };
    match (field, opcode) {
        (Field::ServiceAction, _) if has_service_actions(opcode) => bits(1, 0, 0x1F),
        (Field::EnableVpd, 0x12) => bits(1, 0, 0x01),
        (Field::Page, 0x12) => bits(2, 0, 0xFF),
        (Field::Page, 0x1A | 0x5A | 0x4D) => bits(2, 0, 0x3F),
        (Field::PageControl, 0x1A | 0x5A | 0x4D) => bits(2, 6, 0x03),
        (Field::Subpage, 0x1A | 0x5A | 0x4D) => bits(3, 0, 0xFF),
        (Field::SaveParameters, 0x4D) => bits(1, 0, 0x01),
        (Field::ParameterPointerControl, 0x4D) => bits(1, 1, 0x01),
        (Field::ReadProtect, 0x28 | 0x88 | 0xA8) => bits(1, 5, 0x07),
        (Field::Control, _) => {
            let last = group_length(opcode)?.checked_sub(1)?;
            bits(last, 0, 0xFF)
        }
        (Field::Length, _) => {
            let byte = match opcode {
                0x08 => 4,
                0x28 => 7,
                0xA8 => 6,
                _ => 10,
            };
            blocks(cdb).map(|(_, length)| Spot::new(length, byte))
        }
        (Field::Start, 0x1B) => bits(4, 0, 0x01),
        (Field::LoadEject, 0x1B) => bits(4, 1, 0x01),
        (Field::PowerCondition, 0x1B) => bits(4, 4, 0x0F),
        (Field::Options, 0x95) => bits(14, 0, 0x3F),
        (Field::Protocol, 0xA2) => bits(1, 0, 0xFF),
        (Field::ProtocolSpecific, 0xA2) => Some(Spot::new(u32::from(cdb.u16(2)), 2)),
        (Field::Allocation, _) => allocation(cdb),
        (Field::AtaProtocol, 0x85 | 0xA1) => bits(1, 1, 0x0F),
        (Field::MultipleCount, 0x85 | 0xA1) => bits(1, 5, 0x07),
        (Field::OffLine, 0x85 | 0xA1) => bits(2, 6, 0x03),
        _ => None,
    }
}
