//! ATA commands inside SCSI commands: ATA PASS-THROUGH(12) and (16), and the tunnels of USB bridges.
//!
//! Facts: SAT-4 12.2 for 85h and A1h. Vendor tunnels as smartmontools (lib/scsiata.cpp) uses them:
//! 24h/24h Cypress ATACB, D8h and DFh Prolific, DFh JMicron, F8h SunplusIT. The model is a chimera that
//! obeys all of them.
//!
//! The bridge modelled here is lenient: PROTOCOL, T_DIR and lengths need not fit the command, because a
//! blocker must not rely on a strict bridge.

use super::bytes::{be, bit, low8, low16, u8_at};
use super::config::{FeaturesQuirk, Sat};
use super::judge::AtaFields;
use super::sense::{RegisterFormat, Registers, Sense};
use super::{Failure, ModelDrive, Outcome, Request};

/// An ATA command as the drive gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Registers that say what to do.
    pub(crate) fields: AtaFields,
    /// DEVICE register.
    pub(crate) device: u8,
    /// 48-bit form.
    pub(crate) extend: bool,
    /// Registers are to be returned.
    pub(crate) check_condition: bool,
    /// PROTOCOL of SAT; 15 = return response information.
    pub(crate) protocol: u8,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            fields: AtaFields { command: 0, features: 0, count: 0, lba: 0 },
            device: 0,
            extend: false,
            check_condition: false,
            protocol: 0,
        }
    }
}

/// Registers of a 28-bit tunnel: FEATURES, COUNT, LBA low, mid, high, DEVICE, COMMAND from `at` on.
fn registers_at(cdb: &[u8], at: usize) -> Task {
    let byte = |i: usize| u8_at(cdb, at.saturating_add(i));
    let (low, mid, high) = (byte(2), byte(3), byte(4));
    let device = byte(5);
    Task {
        fields: AtaFields {
            command: byte(6),
            features: byte(0).into(),
            count: byte(1).into(),
            lba: be(&[device & 0x0F, high, mid, low], 0, 4),
        },
        device,
        ..Task::default()
    }
}

fn pass_through_16(cdb: &[u8]) -> Task {
    let byte = |i: usize| u8_at(cdb, i);
    let extend = bit(cdb, 1, 0x01);
    let device = byte(13);
    let (features, count, lba) = if extend {
        let lba = [byte(11), byte(9), byte(7), byte(12), byte(10), byte(8)];
        (be(cdb, 3, 2), be(cdb, 5, 2), be(&lba, 0, 6))
    } else {
        let lba = [device & 0x0F, byte(12), byte(10), byte(8)];
        (byte(4).into(), byte(6).into(), be(&lba, 0, 4))
    };
    Task {
        fields: AtaFields {
            command: byte(14),
            features: low16(features),
            count: low16(count),
            lba,
        },
        device,
        extend,
        check_condition: bit(cdb, 2, 0x20),
        protocol: byte(1) >> 1 & 0x0F,
    }
}

fn pass_through_12(cdb: &[u8]) -> Task {
    Task {
        check_condition: bit(cdb, 2, 0x20),
        protocol: u8_at(cdb, 1) >> 1 & 0x0F,
        ..registers_at(cdb, 3)
    }
}

impl ModelDrive {
    /// The ATA command that a CDB carries to the drive, if any.
    pub(super) fn carried(&mut self, cdb: &[u8]) -> Option<Task> {
        let byte = |i: usize| u8_at(cdb, i);
        let task = match (byte(0), byte(1), byte(2)) {
            (0x85, ..) if self.config.sat == Sat::Both => pass_through_16(cdb),
            (0xA1, ..) if self.config.sat != Sat::None && self.config.device_type != 5 => {
                pass_through_12(cdb)
            }
            (0x24, 0x24, action) if action & 1 == 0 => registers_at(cdb, 6),
            (0xD8, ..) => Task {
                fields: AtaFields { features: byte(3).into(), ..registers_at(cdb, 9).fields },
                ..registers_at(cdb, 9)
            },
            // FDh reads a bridge register, it is no ATA command.
            (0xDF, ..) if byte(11) != 0xFD => registers_at(cdb, 5),
            (0xF8, _, 0x22) => self.with_preset(registers_at(cdb, 5)),
            _ => return None,
        };
        if task.protocol == 15 {
            return None;
        }
        Some(self.through_quirks(task))
    }

    /// F8h/23h sets the upper halves for the F8h/22h that follows.
    fn with_preset(&mut self, task: Task) -> Task {
        let upper = std::mem::take(&mut self.preset);
        if upper == Task::default() {
            return task;
        }
        let join = |upper: u64, lower: u64, shift: u32| upper << shift | lower;
        let fields = AtaFields {
            command: task.fields.command,
            features: low16(join(upper.fields.features.into(), task.fields.features.into(), 8)),
            count: low16(join(upper.fields.count.into(), task.fields.count.into(), 8)),
            lba: join(upper.fields.lba & 0xFF_FFFF, task.fields.lba & 0xFF_FFFF, 24),
        };
        Task { fields, extend: true, ..task }
    }

    fn through_quirks(&mut self, mut task: Task) -> Task {
        let asked = task.fields.features;
        task.fields.features = match self.config.faults.features {
            FeaturesQuirk::None => asked,
            FeaturesQuirk::Force(value) => value,
            FeaturesQuirk::Stale => self.stale_features,
        };
        self.stale_features = asked;
        task
    }

    /// 85h and A1h: executes what they carry.
    pub(super) fn pass_through(&mut self, request: &Request<'_>, task: Option<Task>) -> Outcome {
        let Some(task) = task else { return self.without_command(request.cdb) };
        let (registers, data) = self.ata(&task, request.data_out);
        self.registers = registers;
        if registers.failed() {
            let sense = Sense { registers: self.returned(), ..Sense::new(0x0B, 0x00, 0x00) };
            return Err(Failure { sense, data });
        }
        if task.check_condition {
            let sense = Sense { registers: self.returned(), ..Sense::new(0x01, 0x00, 0x1D) };
            return Err(Failure { sense, data });
        }
        Ok(data)
    }

    /// Opcode refused by this bridge, or PROTOCOL 15, which returns the registers as data.
    fn without_command(&self, cdb: &[u8]) -> Outcome {
        let taken = match u8_at(cdb, 0) {
            0x85 => self.config.sat == Sat::Both,
            _ => self.config.sat != Sat::None,
        };
        if taken {
            Ok(self.registers.descriptor().to_vec())
        } else {
            Err(Sense::INVALID_OPCODE.into())
        }
    }

    fn returned(&self) -> Option<(Registers, RegisterFormat)> {
        Some((self.registers, self.config.registers))
    }

    /// Opcodes C0h-FFh and 24h: fire the carried command or poke the bridge.
    pub(super) fn vendor(&mut self, request: &Request<'_>, task: Option<Task>) -> Outcome {
        let cdb = request.cdb;
        let byte = |i: usize| u8_at(cdb, i);
        if let Some(task) = task {
            let (registers, data) = self.ata(&task, request.data_out);
            self.registers = registers;
            return Ok(data);
        }
        self.state.poke_bridge(&[cdb, request.data_out]);
        match (byte(0), byte(1), byte(2)) {
            (0xF8, _, 0x23) => self.preset = registers_at(cdb, 5),
            // ASMedia NVMe admin: Format NVM and Sanitize.
            (0xE6, 0x80 | 0x84, _) => self.state.erase_all(0),
            _ => {}
        }
        Ok(vec![low8(u64::from(byte(0))); 64])
    }
}
