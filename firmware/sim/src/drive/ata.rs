//! ATA commands: which function executes what, reading, and power conditions.
//!
//! Facts: ACS-4 chapter 7; obsolete commands from ATA-1 to ATA/ATAPI-7.

use super::bytes::{low8, low16, size};
use super::judge::AtaFields;
use super::passthrough::Task;
use super::sense::Registers;
use super::{ModelDrive, judge};

/// Registers and data that a command leaves.
pub(crate) type AtaResult = (Registers, Vec<u8>);

impl ModelDrive {
    /// Executes an ATA command.
    pub(super) fn ata(&mut self, task: &Task, data: &[u8]) -> AtaResult {
        if judge::ata(task.fields).modifying {
            return self.ata_modify(task, data);
        }
        let good = Registers::good(task.extend);
        let f = task.fields;
        match f.command {
            0x20..=0x26 | 0x29..=0x2B | 0x60 | 0xC4 | 0xC7..=0xC9 => self.ata_read(task),
            0x40..=0x42 => (self.ata_read(task).0, Vec::new()),
            0x27 | 0xF8 | 0x78 => (self.native_max(task), Vec::new()),
            0x2F | 0x47 => (good, self.read_log(low8(f.lba), f.lba, f.count)),
            0x65 => (good, self.read_log(low8(f.lba), f.lba, f.features)),
            0x4A => (good, self.ata_zone_report(f)),
            0x5C | 0x5D => {
                (good, self.security_information(low8(f.features.into()), f.lba >> 8 & 0xFFFF))
            }
            0xB0 => self.smart_read(task),
            0xB1 => (good, self.dco_identify()),
            0xB4 => (self.sanitize_status(task), Vec::new()),
            0xEC | 0xEE => (good, self.identify()),
            0xE5 => (Registers { count: self.power_mode.into(), ..good }, Vec::new()),
            0xE4 => (good, vec![0; 512]),
            0xE0 | 0xE2 | 0xE6 | 0x94 | 0x99 => (self.power(0x00, good), Vec::new()),
            0xE1 | 0xE3 | 0x95 | 0x97 => (self.power(0xFF, good), Vec::new()),
            // Signature of an ATA device, which is no packet device.
            0xA1 => (Registers { lba: 1, count: 1, ..Registers::aborted(task.extend) }, Vec::new()),
            0x90 => (Registers { error: 0x01, lba: 1, count: 1, ..good }, Vec::new()),
            _ => (good, Vec::new()),
        }
    }

    fn power(&mut self, mode: u8, registers: Registers) -> Registers {
        self.power_mode = mode;
        registers
    }

    /// Blocks that COUNT asks for: zero means 256, or 65536 in the 48-bit form.
    pub(super) fn ata_blocks(task: &Task) -> u64 {
        // The queued forms have the count in FEATURES.
        let queued = matches!(task.fields.command, 0x26 | 0x36 | 0x3E | 0x60 | 0x61 | 0xC7 | 0xCC);
        let count = if queued { task.fields.features } else { task.fields.count };
        match (task.extend, count) {
            (true, 0) => 65_536,
            (true, count) => count.into(),
            (false, count) => match low8(count.into()) {
                0 => 256,
                blocks => blocks.into(),
            },
        }
    }

    fn ata_read(&mut self, task: &Task) -> AtaResult {
        let range = (task.fields.lba, Self::ata_blocks(task));
        match self.read(range) {
            Ok(data) => (Registers::good(task.extend), data),
            Err(failure) => {
                let uncorrectable = failure.sense.key == 0x03;
                let registers = Registers {
                    // UNC, IDNF or ABRT.
                    error: if uncorrectable { 0x40 } else { 0x10 },
                    lba: failure.sense.information.unwrap_or(task.fields.lba),
                    ..Registers::aborted(task.extend)
                };
                (registers, failure.data)
            }
        }
    }

    /// READ NATIVE MAX ADDRESS (EXT) and GET NATIVE MAX ADDRESS EXT.
    fn native_max(&self, task: &Task) -> Registers {
        let blocks = match task.fields.command {
            0x78 => self.state.capacity.real,
            _ => self.state.capacity.native,
        };
        let last = blocks.saturating_sub(1);
        let good = Registers::good(task.extend || task.fields.command != 0xF8);
        if task.fields.command == 0xF8 {
            let last = last.min(0x0FFF_FFFF);
            Registers { lba: last & 0xFF_FFFF, device: 0x40 | low8(last >> 24), ..good }
        } else {
            Registers { lba: last, ..good }
        }
    }

    fn ata_zone_report(&self, fields: AtaFields) -> Vec<u8> {
        let mut data = self.zone_report(fields.lba, true);
        data.resize(size(u64::from(fields.count).saturating_mul(512)), 0);
        data
    }

    fn sanitize_status(&self, task: &Task) -> Registers {
        let s = &self.state.sanitize;
        let flag = |set: bool, mask: u16| if set { mask } else { 0 };
        let count = 0x8000 | flag(s.frozen, 0x2000) | flag(s.antifreeze, 0x1000);
        Registers { count, lba: 0xFFFF, ..Registers::good(task.extend) }
    }

    /// SMART READ DATA, READ THRESHOLDS, READ LOG, RETURN STATUS.
    fn smart_read(&mut self, task: &Task) -> AtaResult {
        let good = Registers::good(task.extend);
        let sub = low8(task.fields.features.into());
        if self.config.faults.smart_read_saves && matches!(sub, 0xD0 | 0xDA) {
            let saves = &mut self.state.smart.attribute_saves;
            *saves = saves.saturating_add(1);
        }
        let log = low8(task.fields.lba);
        match sub {
            0xD0 => (good, self.smart_data()),
            0xD1 => (good, self.smart_thresholds()),
            0xD5 => {
                (good, self.read_log(log, log.into(), low16(low8(task.fields.count.into()).into())))
            }
            _ => (Registers { lba: 0xC2_4F00, ..good }, Vec::new()),
        }
    }
}
