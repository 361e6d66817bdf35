//! What the blocker answers out of its own data: the SYN rows with the parameters of the host's command.
//!
//! Facts: SPC-4 (INQUIRY 6.6, MODE SENSE 6.13 and 6.14, REPORT LUNS 6.33, REPORT SUPPORTED OPERATION CODES 6.35, REPORT
//! SUPPORTED TASK MANAGEMENT FUNCTIONS 6.36, REQUEST SENSE 6.39); MMC-6 6.24 (READ FORMAT CAPACITIES); SAT-3 12.2.2
//! (pass-through); the published policy, sections 2, 3 and 5.

use super::scsi;
use crate::{cbw::Cdb, sense::Refusal};

/// Length of the answer to a return of response information (SAT-3 12.2.2.6).
pub const REGISTERS_BYTES: u32 = 14;
/// Length of IDENTIFY DEVICE data.
pub const IDENTIFY_BYTES: u32 = 512;

/// An answer that needs nothing from the drive. `allocation` is the number of bytes the host takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Standard INQUIRY data.
    Inquiry {
        /// Bytes at most.
        allocation: u32,
    },
    /// A vital product data page.
    Vpd {
        /// Page code: 00h, 80h, 83h, 89h, B0h, B1h or B2h.
        page: u8,
        /// Bytes at most.
        allocation: u32,
    },
    /// MODE SENSE(6).
    ModeSense6 {
        /// Page code: 08h, 0Ah, 1Ch, or 3Fh for all.
        page: u8,
        /// Page control: 0 current, 1 changeable, 2 default values.
        pc: u8,
        /// No block descriptor.
        dbd: bool,
        /// Bytes at most.
        allocation: u32,
    },
    /// MODE SENSE(10).
    ModeSense10 {
        /// Page code: 08h, 0Ah, 1Ch, or 3Fh for all.
        page: u8,
        /// Page control: 0 current, 1 changeable, 2 default values.
        pc: u8,
        /// No block descriptor.
        dbd: bool,
        /// The host takes the block descriptor with 64 bits.
        llbaa: bool,
        /// Bytes at most.
        allocation: u32,
    },
    /// REQUEST SENSE.
    RequestSense {
        /// Descriptor format.
        descriptor: bool,
        /// Bytes at most.
        allocation: u32,
    },
    /// REPORT LUNS.
    ReportLuns {
        /// SELECT REPORT: 00h to 02h, 10h to 12h.
        select: u8,
        /// Bytes at most.
        allocation: u32,
    },
    /// READ FORMAT CAPACITIES.
    ReadFormatCapacities {
        /// Bytes at most.
        allocation: u32,
    },
    /// REPORT SUPPORTED OPERATION CODES; its contents are [`super::opcodes::offered`].
    SupportedOpcodes {
        /// What is asked.
        query: OpcodeQuery,
        /// Bytes at most.
        allocation: u32,
    },
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
    SupportedTmfs {
        /// The 16-byte form (REPD).
        extended: bool,
        /// Bytes at most.
        allocation: u32,
    },
    /// IDENTIFY DEVICE as captured.
    AtaIdentify,
    /// The registers saved last, as the ATA status return descriptor.
    AtaRegisters,
}

/// A question of REPORT SUPPORTED OPERATION CODES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpcodeQuery {
    /// All commands.
    All,
    /// One operation code that has no service actions (reporting options 001b).
    Opcode(u8),
    /// One operation code with a service action (010b).
    ServiceAction(u8, u16),
    /// Either (011b): an operation code without service actions goes with service action zero.
    Either(u8, u16),
}

impl Answer {
    /// Bytes the host takes at most. What is answered may be shorter.
    #[must_use]
    pub const fn allocation(&self) -> u32 {
        match self {
            Self::Inquiry { allocation }
            | Self::Vpd { allocation, .. }
            | Self::ModeSense6 { allocation, .. }
            | Self::ModeSense10 { allocation, .. }
            | Self::RequestSense { allocation, .. }
            | Self::ReportLuns { allocation, .. }
            | Self::ReadFormatCapacities { allocation }
            | Self::SupportedOpcodes { allocation, .. }
            | Self::SupportedTmfs { allocation, .. } => *allocation,
            Self::AtaIdentify => IDENTIFY_BYTES,
            Self::AtaRegisters => REGISTERS_BYTES,
        }
    }

    /// The answer that a SYN row stands for.
    ///
    /// # Errors
    ///
    /// The field that no answer exists for, or the operation code where it has none at all.
    pub(super) fn of(cdb: &Cdb) -> Result<Self, Refusal> {
        match cdb.opcode() {
            0x03 => Ok(Self::RequestSense {
                descriptor: cdb.get(1) & 1 != 0,
                allocation: u32::from(cdb.get(4)),
            }),
            0x12 => inquiry(cdb),
            0x1A | 0x5A => mode_sense(cdb),
            0x23 => Ok(Self::ReadFormatCapacities { allocation: u32::from(cdb.u16(7)) }),
            0xA0 => match cdb.get(2) {
                select @ (0x00..=0x02 | 0x10..=0x12) => {
                    Ok(Self::ReportLuns { select, allocation: cdb.u32(6) })
                }
                _ => Err(Refusal::Field { byte: 2 }),
            },
            0xA3 => maintenance_in(cdb),
            _ => Err(Refusal::OpCode),
        }
    }
}

fn inquiry(cdb: &Cdb) -> Result<Answer, Refusal> {
    let allocation = u32::from(cdb.u16(3));
    match (cdb.get(1) & 1, cdb.get(2)) {
        (0, 0) => Ok(Answer::Inquiry { allocation }),
        (1, page @ (0x00 | 0x80 | 0x83 | 0x89 | 0xB0 | 0xB1 | 0xB2)) => {
            Ok(Answer::Vpd { page, allocation })
        }
        _ => Err(Refusal::OpCode),
    }
}

fn mode_sense(cdb: &Cdb) -> Result<Answer, Refusal> {
    let (page, pc, dbd) = (cdb.get(2) & 0x3F, cdb.get(2) >> 6, cdb.get(1) & 0x08 != 0);
    if pc == 3 || !matches!(page, 0x08 | 0x0A | 0x1C | 0x3F) {
        return Err(Refusal::OpCode);
    }
    // No page here has subpages: 00h is the page itself, FFh asks for it with all subpages (SPC-4 6.13.1).
    if !matches!(cdb.get(3), 0x00 | 0xFF) {
        return Err(Refusal::Field { byte: 3 });
    }
    Ok(if cdb.opcode() == 0x1A {
        Answer::ModeSense6 { page, pc, dbd, allocation: u32::from(cdb.get(4)) }
    } else {
        let llbaa = cdb.get(1) & 0x10 != 0;
        Answer::ModeSense10 { page, pc, dbd, llbaa, allocation: u32::from(cdb.u16(7)) }
    })
}

fn maintenance_in(cdb: &Cdb) -> Result<Answer, Refusal> {
    let allocation = cdb.u32(6);
    let (opcode, action) = (cdb.get(3), cdb.u16(4));
    let query = match (cdb.get(1) & 0x1F, cdb.get(2) & 0x07) {
        (0x0D, _) => {
            let extended = cdb.get(2) & 0x80 != 0;
            return Ok(Answer::SupportedTmfs { extended, allocation });
        }
        (0x0C, 0) => OpcodeQuery::All,
        // The wrong form for an operation code is an invalid field (SPC-4 6.35.1).
        (0x0C, 1) if !scsi::has_service_actions(opcode) => OpcodeQuery::Opcode(opcode),
        (0x0C, 2) if scsi::has_service_actions(opcode) => {
            OpcodeQuery::ServiceAction(opcode, action)
        }
        (0x0C, 3) => OpcodeQuery::Either(opcode, action),
        (0x0C, _) => return Err(Refusal::Field { byte: 2 }),
        _ => return Err(Refusal::OpCode),
    };
    Ok(Answer::SupportedOpcodes { query, allocation })
}
