//! ATA commands that change the drive.
//!
//! Facts: ACS-4 chapter 7, ZAC-2, SCT of ACS-4 chapter 8; ATA/ATAPI-6 and -7 for SET MAX and DCO.
//! The drive obeys where the standard would let it abort: a frozen or locked feature set, a wrong
//! password, a missing READ NATIVE MAX ADDRESS before SET MAX do not protect it.

use super::ata::AtaResult;
use super::bytes::{le, low8, low16, sha256, u8_at};
use super::judge::AtaFields;
use super::passthrough::Task;
use super::sense::Registers;
use super::{ModelDrive, judge};

/// ERASE and SANITIZE fill patterns: what the medium reads like afterwards.
const ERASED: u8 = 0x00;
const SCRAMBLED: u8 = 0xC5;

impl ModelDrive {
    /// Executes an ATA command that the judge calls modifying.
    pub(super) fn ata_modify(&mut self, task: &Task, data: &[u8]) -> AtaResult {
        let f = task.fields;
        let verdict = judge::ata(f);
        let feature = low8(f.features.into());
        match f.command {
            0x06 => self.trim(data, 8),
            0x07 => self.trim(data, 16),
            0x30..=0x36 | 0x38..=0x3E | 0x50 | 0x61 | 0xC5 | 0xCA..=0xCE => {
                return self.ata_write(task, data);
            }
            0x37 => self.set_max(f.lba, f.count),
            0x3F | 0x57 => self.write_log(f.lba, data),
            0x44 | 0xC0 | 0xE9 => self.state.fill(f.lba, Self::ata_blocks(task), &[]),
            0x45 => self.write_uncorrectable(task),
            0x4A => self.zone_management(0x08, f.lba, false),
            0x78 => self.accessible_max(f.features, f.lba),
            0x7C => self.depopulate(0x18, f.lba),
            0x7D => self.depopulate(0x19, 0),
            0x7E | 0x96 => self.depopulate(0x1A, 0),
            0x92 | 0x93 => self.download_microcode(feature, data),
            0x9F => self.zone_management(feature & 0x1F, f.lba, f.features >> 8 & 1 != 0),
            0xB0 => self.smart_change(task, data),
            0xB1 => self.overlay(feature, data),
            0xB4 => self.sanitize_device(f.features, f.count),
            0xEF => self.set_feature(feature, f),
            0xF1..=0xF6 => self.security(f.command, data),
            0xF9 => self.set_max_family(task, feature, data),
            0x63 | 0x64 => self.queued(task, data),
            0xE8 | 0xEB => self.state.firmware.buffer = Some(sha256(&[data])),
            _ => self.state.set(verdict.name, &[&registers_as_bytes(f), data]),
        }
        (Registers::good(task.extend), Vec::new())
    }

    /// WRITE: what data there is, at most COUNT blocks.
    fn ata_write(&mut self, task: &Task, data: &[u8]) -> AtaResult {
        match self.write_blocks((task.fields.lba, Self::ata_blocks(task)), data) {
            Ok(_) => (Registers::good(task.extend), Vec::new()),
            Err(_) => (Registers { error: 0x10, ..Registers::aborted(task.extend) }, Vec::new()),
        }
    }

    /// DATA SET MANAGEMENT: entries of 48-bit address and 16-bit count; XL has 64-bit counts.
    fn trim(&mut self, data: &[u8], width: usize) {
        for entry in data.chunks_exact(width) {
            let (lba, blocks) = if width == 8 {
                (le(entry, 0, 6), le(entry, 6, 2))
            } else {
                (le(entry, 0, 8), le(entry, 8, 8))
            };
            self.state.fill(lba, blocks, &[]);
        }
    }

    fn write_uncorrectable(&mut self, task: &Task) {
        let real = self.state.capacity.real;
        let blocks = Self::ata_blocks(task).min(real.saturating_sub(task.fields.lba));
        self.state.medium.mark_uncorrectable(task.fields.lba, blocks);
        self.state.blocks_written = self.state.blocks_written.saturating_add(blocks);
    }

    /// SET MAX ADDRESS (EXT): COUNT bit 0 makes it last over power-up.
    fn set_max(&mut self, last: u64, count: u16) {
        let blocks = last.saturating_add(1).min(self.state.capacity.real);
        self.state.capacity.visible = blocks;
        if count & 1 != 0 {
            self.state.capacity.persistent = blocks;
        }
    }

    /// F9h: address, password, lock, unlock, freeze, and the DMA forms of password and unlock.
    fn set_max_family(&mut self, task: &Task, feature: u8, data: &[u8]) {
        let state = &mut self.state.set_max;
        match feature {
            0x01 | 0x05 => state.password = Some(sha256(&[data])),
            0x02 => state.locked = true,
            0x03 | 0x06 => state.locked = false,
            0x04 => state.frozen = true,
            _ => self.set_max(task.fields.lba & 0x0FFF_FFFF, task.fields.count),
        }
    }

    /// 78h: SET ACCESSIBLE MAX ADDRESS EXT lasts over power-up; FREEZE until then.
    fn accessible_max(&mut self, feature: u16, last: u64) {
        if feature == 0x0001 {
            self.set_max(last, 1);
        } else {
            self.state.set_max.amax_frozen = true;
        }
    }

    /// B1h: restore, freeze, set.
    fn overlay(&mut self, feature: u8, data: &[u8]) {
        match feature {
            0xC0 => {
                self.state.dco.overlay = None;
                let real = self.state.capacity.real;
                self.state.capacity.native = real;
                self.state.capacity.visible = real;
                self.state.capacity.persistent = real;
                self.state.set("DCO restored", &[]);
            }
            0xC1 => self.state.dco.frozen = true,
            0xC3 | 0xC5 => {
                self.state.dco.overlay = Some(data.to_vec());
                let last = le(data, 6, 8);
                if last != 0 {
                    let blocks = last.saturating_add(1).min(self.state.capacity.real);
                    self.state.capacity.native = blocks;
                    self.state.capacity.visible = self.state.capacity.visible.min(blocks);
                    self.state.capacity.persistent = self.state.capacity.persistent.min(blocks);
                }
            }
            other => self.state.set("DEVICE CONFIGURATION OVERLAY", &[&[other], data]),
        }
    }

    /// Security feature set. The data block has the identifier in word 0, the password in words 1-16.
    pub(super) fn security(&mut self, command: u8, data: &[u8]) {
        let password = sha256(&[data.get(2..34).unwrap_or_default()]);
        let master = u8_at(data, 0) & 1 != 0;
        let s = &mut self.state.security;
        match command {
            0xF1 if master => s.master = password,
            0xF1 => s.user = Some(password),
            0xF2 => {
                let right = s.user == Some(password) || (master && s.master == password);
                if right {
                    s.locked = false;
                } else {
                    s.attempts_left = s.attempts_left.saturating_sub(1);
                }
            }
            0xF3 => s.erase_prepared = true,
            0xF4 => {
                s.user = None;
                s.locked = false;
                s.erase_prepared = false;
                self.state.erase_all(ERASED);
            }
            0xF5 => s.frozen = true,
            _ => {
                s.user = None;
                s.locked = false;
                self.state.set("SECURITY DISABLE PASSWORD", &[&password]);
            }
        }
    }

    fn sanitize_device(&mut self, feature: u16, count: u16) {
        match feature {
            0x0011 => self.state.erase_all(SCRAMBLED),
            0x0012 | 0x0014 => self.state.erase_all(ERASED),
            0x0020 => self.state.sanitize.frozen = true,
            0x0040 => self.state.sanitize.antifreeze = true,
            0x0000 => self.state.sanitize.failure_cleared = true,
            _ => self.state.set("SANITIZE DEVICE", &[&feature.to_be_bytes(), &count.to_be_bytes()]),
        }
    }

    fn smart_change(&mut self, task: &Task, data: &[u8]) {
        let log = low8(task.fields.lba);
        let count = low8(task.fields.count.into());
        let s = &mut self.state.smart;
        match low8(task.fields.features.into()) {
            0xD2 => s.autosave = count != 0,
            0xD3 => s.attribute_saves = s.attribute_saves.saturating_add(1),
            0xD4 => s.self_tests.push(log),
            0xD6 => self.write_log(log.into(), data),
            0xD7 => s.thresholds = Some(sha256(&[data])),
            0xD8 => {
                s.enabled = true;
                self.state.set("SMART enabled by command", &[]);
            }
            0xD9 => s.enabled = false,
            0xDB => s.auto_offline = count,
            _ => self.state.set("SMART", &[&registers_as_bytes(task.fields), data]),
        }
    }

    /// WRITE LOG; logs E0h and E1h carry SCT commands.
    fn write_log(&mut self, lba: u64, data: &[u8]) {
        let first = low16((lba >> 32 & 0xFF) << 8 | lba >> 8 & 0xFF);
        let log = low8(lba);
        if log == 0xE0 {
            self.sct(data);
        }
        let mut page = data.to_vec();
        page.resize(data.len().max(512), 0);
        for (number, content) in (first..=u16::MAX).zip(page.chunks(512)) {
            self.state.logs.insert((log, number), content.to_vec());
        }
    }

    /// SCT by action code in word 0: 0002h WRITE SAME with address and count in words 2-9, the pattern
    /// in words 10-11.
    fn sct(&mut self, data: &[u8]) {
        if le(data, 0, 2) == 0x0002 {
            let blocks = match le(data, 12, 8) {
                0 => self.state.capacity.visible,
                blocks => blocks,
            };
            let pattern = data.get(20..24).unwrap_or_default().repeat(128);
            self.state.fill(le(data, 4, 8), blocks, &pattern);
        } else {
            self.state.set("SCT", &[data]);
        }
    }

    fn set_feature(&mut self, feature: u8, fields: AtaFields) {
        self.state.features.insert(feature, (low8(fields.count.into()), fields.lba));
    }

    /// Sub-function in FEATURES: activate, or download with or without activation.
    fn download_microcode(&mut self, feature: u8, data: &[u8]) {
        let digest = sha256(&[data]);
        let firmware = &mut self.state.firmware;
        match feature {
            0x0E => firmware.staged = Some(digest),
            0x0F => firmware.active = Some(firmware.staged.take().unwrap_or(digest)),
            _ => firmware.active = Some(digest),
        }
    }

    /// NCQ NON-DATA (sub-command in FEATURES bits 3:0) and SEND FPDMA QUEUED (COUNT bits 12:8).
    fn queued(&mut self, task: &Task, data: &[u8]) {
        let f = task.fields;
        let name = judge::ata(f).name;
        self.state.set(name, &[&registers_as_bytes(f), data]);
        match (f.command, low8(f.features.into()) & 0x0F, low8(u64::from(f.count) >> 8) & 0x1F) {
            (0x63, 0x05, _) => self.set_feature(low8(u64::from(f.features) >> 8), f),
            (0x63, 0x06, _) => self.state.fill(f.lba, Self::ata_blocks(task), &[]),
            (0x63, 0x07, _) => self.zone_management(0x04, f.lba, false),
            (0x64, _, 0x00) => self.trim(data, 8),
            (0x64, _, 0x02) => self.write_log(f.lba, data),
            _ => {}
        }
    }
}

fn registers_as_bytes(f: AtaFields) -> [u8; 13] {
    let [a, b] = f.features.to_be_bytes();
    let [c, d] = f.count.to_be_bytes();
    let [l0, l1, l2, l3, l4, l5, l6, l7] = f.lba.to_be_bytes();
    [f.command, a, b, c, d, l0, l1, l2, l3, l4, l5, l6, l7]
}
