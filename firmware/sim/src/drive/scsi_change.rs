//! SCSI commands that change the drive without writing blocks, and everything unknown.
//!
//! Facts: SPC-5 chapter 6, SBC-4 chapter 5, ZBC-2 chapter 5.

use super::bytes::{be, bit, sha256, size, u8_at};
use super::judge::{AtaFields, UNKNOWN, service_action};
use super::passthrough::Task;
use super::{ModelDrive, Outcome, Request, done, judge};

impl ModelDrive {
    /// Executes a command that the judge calls modifying.
    pub(super) fn modify(&mut self, request: &Request<'_>, task: Option<Task>) -> Outcome {
        if let Some(outcome) = self.write_family(request) {
            return outcome;
        }
        let (cdb, data) = (request.cdb, request.data_out);
        let verdict = judge::scsi(cdb, self.config.device_type);
        if verdict.name == UNKNOWN {
            return self.vendor(request, task);
        }
        match (u8_at(cdb, 0), service_action(cdb)) {
            (0x15 | 0x55, _) => self.mode_select(cdb, data),
            (0x1D, _) => self.state.smart.self_tests.push(u8_at(cdb, 1)),
            (0x3B | 0x96, mode) => self.write_buffer(mode, cdb, data),
            (0x94, action) => self.zone_action(action, cdb),
            (0x95, _) => self.zone_action(0x08, cdb),
            (0x9E, 0x18..=0x1A) => self.depopulate(service_action(cdb), be(cdb, 2, 8)),
            (0x9F, 0x14) => self.zone_action(0x04, cdb),
            (0xA1, _) => return self.erase_everything(0),
            (0xB5, _) if u8_at(cdb, 1) == 0xEF => self.ata_security(be(cdb, 2, 2), data),
            _ => self.state.set(verdict.name, &[cdb, data]),
        }
        done()
    }

    /// MODE SELECT: stores every page of the list.
    fn mode_select(&mut self, cdb: &[u8], data: &[u8]) {
        self.state.set("MODE SELECT", &[cdb, data]);
        let (header, descriptors) = if u8_at(cdb, 0) == 0x55 {
            (8, size(be(data, 6, 2)))
        } else {
            (4, usize::from(u8_at(data, 3)))
        };
        let mut rest = data.get(descriptors.saturating_add(header)..).unwrap_or_default();
        while !rest.is_empty() {
            let sub_page = bit(rest, 0, 0x40);
            let key = (u8_at(rest, 0) & 0x3F, if sub_page { u8_at(rest, 1) } else { 0 });
            let length = match sub_page {
                true => size(be(rest, 2, 2)).saturating_add(4),
                false => usize::from(u8_at(rest, 1)).saturating_add(2),
            };
            let (page, after) = rest.split_at(length.min(rest.len()));
            self.state.mode_pages.insert(key, page.to_vec());
            rest = after;
        }
    }

    /// WRITE BUFFER: microcode modes 04h-07h and 0Dh-0Fh, everything else is a buffer.
    fn write_buffer(&mut self, mode: u8, cdb: &[u8], data: &[u8]) {
        let digest = sha256(&[cdb, data]);
        let firmware = &mut self.state.firmware;
        match mode {
            0x04..=0x07 => firmware.active = Some(digest),
            0x0D | 0x0E => firmware.staged = Some(digest),
            0x0F => firmware.active = Some(firmware.staged.take().unwrap_or(digest)),
            _ => firmware.buffer = Some(digest),
        }
    }

    /// Element depopulation (SBC-4 5.34): 18h gives up capacity, 19h restores it, 1Ah takes zones away;
    /// all lose the content.
    pub(super) fn depopulate(&mut self, action: u8, requested: u64) {
        let real = self.state.capacity.real;
        let blocks = match (action, requested) {
            (0x18, 0) => real.saturating_sub(real >> 3),
            (0x18, requested) => requested.min(real),
            _ => real,
        };
        self.state.erase_all(0);
        self.state.zones.clear();
        self.state.capacity.visible = blocks;
        self.state.capacity.persistent = blocks;
        self.state.capacity.native = blocks;
        self.state.set("element depopulation", &[&[action], &requested.to_be_bytes()]);
    }

    /// SECURITY PROTOCOL OUT, protocol EFh: ATA security as a SCSI command (SPC-5 7.6).
    fn ata_security(&mut self, specific: u64, data: &[u8]) {
        let command = match specific {
            0x0001 => 0xF1,
            0x0002 => 0xF2,
            0x0003 => 0xF3,
            0x0004 => 0xF4,
            0x0005 => 0xF5,
            0x0006 => 0xF6,
            _ => return self.state.set("SECURITY PROTOCOL OUT", &[&specific.to_be_bytes(), data]),
        };
        let fields = AtaFields { command, features: 0, count: 1, lba: 0 };
        self.ata(&Task { fields, ..Task::default() }, data);
    }
}
