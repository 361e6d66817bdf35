//! REPORT SUPPORTED OPERATION CODES (section 3.7; SPC-4 6.35): the policy's own rows, and nothing of the drive.
//!
//! The host's question tells it which commands reach an answer. Commands that are refused are reported as not supported, which
//! keeps operating systems from trying them. Timeouts are never reported, so no descriptor has one, whatever RCTD asks.

use super::writer::Writer;
use crate::judge::OpcodeQuery;

/// A command that the policy forwards or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Operation code.
    pub opcode: u8,
    /// Service action, where the operation code has them.
    pub service_action: Option<u16>,
}

impl Offered {
    fn is_asked(self, query: OpcodeQuery) -> bool {
        match (query, self.service_action) {
            (OpcodeQuery::All, _) => true,
            (OpcodeQuery::Opcode(opcode), None) => opcode == self.opcode,
            (OpcodeQuery::ServiceAction(opcode, action), Some(own)) => {
                opcode == self.opcode && action == own
            }
            // Without service actions the field must be zero (SPC-4 6.35.1).
            (OpcodeQuery::Either(opcode, action), own) => {
                opcode == self.opcode && action == own.unwrap_or(0)
            }
            _ => false,
        }
    }
}

/// Supported as the standard says.
const SUPPORTED: u8 = 0b011;
/// Not supported.
const NOT_SUPPORTED: u8 = 0b001;

pub(super) fn put(
    query: OpcodeQuery,
    offered: impl Iterator<Item = Offered>,
    out: &mut Writer<'_>,
) {
    let mut asked = offered.filter(|command| command.is_asked(query));
    if query == OpcodeQuery::All {
        put_all(asked, out);
        return;
    }
    match asked.next() {
        Some(command) => put_one(command, out),
        None => out.bytes(&[0, NOT_SUPPORTED, 0, 0]),
    }
}

fn put_all(commands: impl Iterator<Item = Offered>, out: &mut Writer<'_>) {
    out.zeros(4);
    for Offered { opcode, service_action } in commands {
        let [high, low] = service_action.unwrap_or(0).to_be_bytes();
        let servactv = u8::from(service_action.is_some());
        out.bytes(&[opcode, 0, high, low, 0, servactv, 0, length(opcode)]);
    }
    let data = u32::try_from(out.length().saturating_sub(4)).unwrap_or(u32::MAX);
    out.patch(0, &data.to_be_bytes());
}

fn put_one(command: Offered, out: &mut Writer<'_>) {
    let length = length(command.opcode);
    out.bytes(&[0, SUPPORTED, 0, length, command.opcode]);
    let usage = usage(command.opcode);
    for index in 1..usize::from(length) {
        let evaluated = usage.get(index.saturating_sub(1)).copied().unwrap_or(0);
        let action = service_action_byte(command, index);
        out.byte(evaluated | action);
    }
}

/// The service action stands in its own field of the usage map (SPC-4 6.35.3).
fn service_action_byte(command: Offered, index: usize) -> u8 {
    match command.service_action {
        Some(action) if index == 1 => u8::try_from(action & 0x1F).unwrap_or(0),
        _ => 0,
    }
}

/// Length of a command by its group (SPC-4 4.2.5.1); 16 for groups without one, which is what fits a wrapper.
fn length(opcode: u8) -> u8 {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

/// The bits of bytes 1 and following that the blocker looks at. A bit that it drops (DPO, FUA, IMMED ...) is zero.
fn usage(opcode: u8) -> &'static [u8] {
    match opcode {
        0x03 => &[0x01, 0, 0, 0xFF],
        0x08 => &[0x1F, 0xFF, 0xFF, 0xFF, 0xFF],
        0x12 => &[0x01, 0xFF, 0xFF, 0xFF],
        0x1A => &[0x08, 0xFF, 0xFF, 0xFF],
        0x1B => &[0, 0, 0, 0xF3],
        0x23 => &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        0x28 => &[0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF],
        0x4D => &[0x03, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF],
        0x5A => &[0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF],
        0x85 => &[0xFF; 15],
        0x88 => {
            &[0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF]
        }
        0x95 => &[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBF],
        0x9E => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        0xA0 => &[0, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        0xA1 => &[0xFF; 11],
        0xA2 => &[0xFF, 0xFF, 0xFF, 0x80, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        0xA3 => &[0, 0x87, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        0xA8 => &[0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF],
        _ => &[],
    }
}
