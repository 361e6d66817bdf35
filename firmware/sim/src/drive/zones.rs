//! Zones of a host-managed drive.
//!
//! Facts: ZBC-2 4.5 and 5, ZAC-2. A model without zones remembers the zone commands it gets.

use super::bytes::{be, bit, low8, put, size};
use super::state::Zone;
use super::{ModelDrive, Outcome};

/// ZONE CONDITION codes (ZBC-2, table 20).
const EMPTY: u8 = 1;
const IMPLICITLY_OPEN: u8 = 2;
const EXPLICITLY_OPEN: u8 = 3;
const CLOSED: u8 = 4;
const FULL: u8 = 14;

/// Largest number of zones in one answer.
const MAX_REPORTED: u64 = 4096;

impl ModelDrive {
    fn zone_at(&self, lba: u64) -> Option<(u64, u64)> {
        let zone_blocks = self.config.zone_blocks?;
        Some((lba.checked_div(zone_blocks)?, zone_blocks))
    }

    fn zone_count(&self) -> u64 {
        let per_zone = self.config.zone_blocks.unwrap_or(u64::MAX);
        self.state.capacity.visible.checked_div(per_zone).unwrap_or(0)
    }

    /// Close (01h), finish (02h), open (03h), reset write pointer (04h), sequentialize (10h), activate.
    pub(super) fn zone_action(&mut self, action: u8, cdb: &[u8]) {
        self.zone_management(action, be(cdb, 2, 8), bit(cdb, 14, 0x01));
    }

    /// The same for ZAC MANAGEMENT OUT.
    pub(super) fn zone_management(&mut self, action: u8, lba: u64, all: bool) {
        let fields = [&[action, u8::from(all)][..], &lba.to_be_bytes()];
        self.state.set("zone management", &fields);
        let Some((number, zone_blocks)) = self.zone_at(lba) else { return };
        if all && action == 0x04 {
            self.state.zones.clear();
            self.state.fill(0, self.state.capacity.visible, &[]);
            return;
        }
        let pointer = self.state.zones.get(&number).map_or(0, |zone| zone.write_pointer);
        let zone = match action {
            0x01 => Zone { condition: CLOSED, write_pointer: pointer },
            0x02 => Zone { condition: FULL, write_pointer: zone_blocks },
            0x03 => Zone { condition: EXPLICITLY_OPEN, write_pointer: pointer },
            0x04 => {
                self.state.fill(number.saturating_mul(zone_blocks), zone_blocks, &[]);
                Zone { condition: EMPTY, write_pointer: 0 }
            }
            _ => return,
        };
        self.state.zones.insert(number, zone);
    }

    /// A write moves the zone's write pointer.
    pub(super) fn advance_write_pointer(&mut self, lba: u64, end: u64) {
        let Some((number, zone_blocks)) = self.zone_at(lba) else { return };
        if end > lba {
            let write_pointer = end.saturating_sub(number.saturating_mul(zone_blocks));
            let condition = if write_pointer >= zone_blocks { FULL } else { IMPLICITLY_OPEN };
            let write_pointer = write_pointer.min(zone_blocks);
            self.state.zones.insert(number, Zone { condition, write_pointer });
        }
    }

    /// REPORT ZONES: header of 64 bytes and 64 bytes a zone.
    pub(super) fn report_zones(&self, cdb: &[u8]) -> Outcome {
        let mut data = self.zone_report(be(cdb, 2, 8), false);
        data.truncate(size(be(cdb, 10, 4)));
        Ok(data)
    }

    /// The report from the zone with `lba` on; ZAC has the same layout with little-endian numbers.
    pub(super) fn zone_report(&self, lba: u64, little_endian: bool) -> Vec<u8> {
        let number = |value: u64| match little_endian {
            true => value.to_le_bytes(),
            false => value.to_be_bytes(),
        };
        let (first, zone_blocks) = self.zone_at(lba).unwrap_or((0, 0));
        let last = self.zone_count().min(first.saturating_add(MAX_REPORTED));
        let mut data = vec![0; 64];
        put(&mut data, 8, &number(self.state.capacity.visible.saturating_sub(1)));
        for zone in first..last {
            let start = zone.saturating_mul(zone_blocks);
            let state = self.state.zones.get(&zone);
            let condition = state.map_or(EMPTY, |zone| zone.condition);
            let pointer = state.map_or(0, |zone| zone.write_pointer);
            let mut one = vec![0; 64];
            put(&mut one, 0, &[0x02, low8(u64::from(condition) << 4)]);
            put(&mut one, 8, &number(zone_blocks));
            put(&mut one, 16, &number(start));
            put(&mut one, 24, &number(start.saturating_add(pointer)));
            data.extend(one);
        }
        let listed = u64::try_from(data.len().saturating_sub(64)).unwrap_or(0);
        let [a, b, c, d, e, f, g, h] = number(listed);
        let length = if little_endian { [a, b, c, d] } else { [e, f, g, h] };
        put(&mut data, 0, &length);
        data
    }
}
