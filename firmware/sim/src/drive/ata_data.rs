//! Data structures an ATA drive returns: IDENTIFY, DCO, SMART, logs.
//!
//! Facts: ACS-4 7.13 (IDENTIFY DEVICE), 9 (logs); ATA/ATAPI-7 6.13 (DCO, SMART data).

use super::bytes::{low8, low16, padded, put, put_word, size};
use super::config::Integrity;
use super::{BadKind, ModelDrive};

/// Largest log transfer in blocks of 512 bytes.
const MAX_LOG_BLOCKS: u16 = 256;

/// Stores text with the two characters of each word swapped.
fn put_text(data: &mut [u8], word: usize, text: &str, len: usize) {
    let mut bytes = padded(text, len);
    for pair in bytes.chunks_exact_mut(2) {
        pair.reverse();
    }
    put(data, word.saturating_mul(2), &bytes);
}

/// Sets the last byte so that all 512 sum to zero.
fn set_checksum(data: &mut [u8]) {
    put(data, 511, &[0]);
    let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    put(data, 511, &[sum.wrapping_neg()]);
}

impl ModelDrive {
    /// The 512 bytes of IDENTIFY DEVICE.
    pub(super) fn identify(&self) -> Vec<u8> {
        let mut data = vec![0; 512];
        let identity = &self.config.identity;
        put_word(&mut data, 0, if self.config.announced.packet_device { 0x8580 } else { 0x0040 });
        put_text(&mut data, 10, &identity.serial, 20);
        put_text(&mut data, 23, &identity.firmware, 8);
        put_text(&mut data, 27, &identity.model, 40);
        put_word(&mut data, 47, 0x8010);
        put_word(&mut data, 49, 0x2F00);
        put_word(&mut data, 50, 0x4000);
        put_word(&mut data, 53, 0x0006);
        put_word(&mut data, 63, 0x0007);
        put_word(&mut data, 64, 0x0003);
        put_word(&mut data, 76, 0x0006);
        put_word(&mut data, 80, 0x07F0);
        put_word(&mut data, 88, 0x007F);
        put_word(&mut data, 217, 7200);
        put(&mut data, 216, &self.wwn_words());
        self.put_capacity_words(&mut data);
        self.put_feature_words(&mut data);
        self.put_state_words(&mut data);
        self.put_integrity(&mut data);
        data
    }

    fn wwn_words(&self) -> Vec<u8> {
        let wwn = self.config.identity.wwn.to_be_bytes();
        wwn.chunks_exact(2).flat_map(|pair| pair.iter().rev().copied()).collect()
    }

    fn put_capacity_words(&self, data: &mut [u8]) {
        let visible = self.state.capacity.visible;
        let short = visible.min(0x0FFF_FFFF).to_le_bytes();
        put(data, 120, short.get(..4).unwrap_or_default());
        if self.config.announced.lba48 {
            put(data, 200, &visible.to_le_bytes());
            put_word(data, 69, 0x0008);
            put(data, 460, &visible.to_le_bytes());
        }
        if self.config.block_bytes == 512 {
            put_word(data, 106, 0x6003);
        } else {
            put_word(data, 106, 0x5000);
            put(data, 234, &(self.config.block_bytes >> 1).to_le_bytes());
        }
    }

    fn put_feature_words(&self, data: &mut [u8]) {
        let a = self.config.announced;
        let flag = |set: bool, mask: u16| if set { mask } else { 0 };
        let valid = flag(a.words_valid, 0x4000);
        let w82 = 0x706A | flag(a.smart, 0x0001) | flag(a.hpa, 0x0400);
        let w83 = 0x3108 | valid | flag(a.lba48, 0x0400) | flag(a.dco, 0x0800);
        let w84 = 0x0103 | valid | flag(a.gpl, 0x0020);
        let w119 = 0x0004 | valid | flag(a.amax, 0x0100);
        for (index, value) in [
            (82, w82),
            (83, w83),
            (84, w84),
            (85, w82),
            (86, w83 & 0x3FFF),
            (87, w84),
            (119, w119),
            (120, w119),
        ] {
            put_word(data, index, value);
        }
        put_word(data, 206, 0x003D);
        put_word(data, 169, 0x0001);
    }

    fn put_state_words(&self, data: &mut [u8]) {
        let s = &self.state.security;
        let flag = |set: bool, mask: u16| if set { mask } else { 0 };
        let status = 0x0001
            | flag(s.user.is_some(), 0x0002)
            | flag(s.locked, 0x0004)
            | flag(s.frozen, 0x0008)
            | flag(s.attempts_left == 0, 0x0010);
        put_word(data, 128, status);
        put_word(data, 59, 0x1000);
    }

    fn put_integrity(&self, data: &mut [u8]) {
        match self.config.announced.integrity {
            Integrity::NoWord => {}
            Integrity::Valid => {
                put(data, 510, &[0xA5]);
                set_checksum(data);
            }
            Integrity::WrongChecksum => {
                put(data, 510, &[0xA5]);
                set_checksum(data);
                let sum = data.last().copied().unwrap_or(0);
                put(data, 511, &[sum.wrapping_add(1)]);
            }
        }
    }

    /// DEVICE CONFIGURATION IDENTIFY: words 3-6 hold the last address without an overlay.
    pub(super) fn dco_identify(&self) -> Vec<u8> {
        let mut data = vec![0; 512];
        put_word(&mut data, 0, 0x0002);
        put_word(&mut data, 1, 0x0007);
        put_word(&mut data, 2, 0x007F);
        put(&mut data, 6, &self.state.capacity.real.saturating_sub(1).to_le_bytes());
        put_word(&mut data, 7, 0xFFFF);
        put(&mut data, 510, &[0xA5]);
        set_checksum(&mut data);
        data
    }

    /// SMART attributes: reallocated and pending sectors, start/stop count.
    pub(super) fn smart_data(&self) -> Vec<u8> {
        let mut data = vec![0; 512];
        put_word(&mut data, 0, 0x0010);
        let unreadable = |bad: &&super::BadBlocks| bad.kind != BadKind::Recovered;
        let pending: u64 = self.config.faults.bad.iter().filter(unreadable).fold(0, |sum, bad| {
            sum.saturating_add(bad.blocks.end.saturating_sub(bad.blocks.start))
        });
        for (slot, (id, raw)) in
            [(4, 12), (5, 0), (9, 4321), (12, 77), (197, pending)].iter().enumerate()
        {
            let at = slot.saturating_mul(12).saturating_add(2);
            put(&mut data, at, &[*id, 0x32, 0, 100, 100]);
            put(&mut data, at.saturating_add(5), raw.to_le_bytes().get(..6).unwrap_or_default());
        }
        put(&mut data, 363, &[low8(u64::from(self.state.smart.auto_offline))]);
        set_checksum(&mut data);
        data
    }

    pub(super) fn smart_thresholds(&self) -> Vec<u8> {
        let mut data = vec![0; 512];
        put_word(&mut data, 0, 0x0010);
        for (slot, id) in [4u8, 5, 9, 12, 197].iter().enumerate() {
            put(&mut data, slot.saturating_mul(12).saturating_add(2), &[*id, 10]);
        }
        set_checksum(&mut data);
        data
    }

    /// Pages of a log from the page in LBA bits 39:32 and 15:8 on.
    pub(super) fn read_log(&self, log: u8, lba: u64, count: u16) -> Vec<u8> {
        let first = low16((lba >> 32 & 0xFF) << 8 | lba >> 8 & 0xFF);
        let last = first.saturating_add(count.clamp(1, MAX_LOG_BLOCKS));
        (first..last).flat_map(|page| self.log_page(log, page)).collect()
    }

    fn log_page(&self, log: u8, page: u16) -> Vec<u8> {
        if let Some(written) = self.state.logs.get(&(log, page)) {
            return written.clone();
        }
        let mut data = vec![0; 512];
        match (log, page) {
            (0x00, 0) => self.put_directory(&mut data),
            (0x30, 0) => put(&mut data, 0, &[1, 0, 0, 0, 0, 0, 0x30, 0, 2, 0x00, 0x01]),
            (0x30, 1) => data = self.identify(),
            (0x04, 0) => put(&mut data, 0, &[1, 0, 0, 0, 0, 0, 0x04, 0, 2, 0x00, 0x01]),
            (0x04, 1) => self.put_general_statistics(&mut data),
            (0xE0, 0) => put(&mut data, 0, &[3, 0]),
            _ => {}
        }
        data
    }

    /// GENERAL PURPOSE LOG DIRECTORY: version 1, then the page count of each log.
    fn put_directory(&self, data: &mut [u8]) {
        put_word(data, 0, 0x0001);
        for (log, pages) in [
            (0x03, 1),
            (0x04, 8),
            (0x06, 1),
            (0x07, 1),
            (0x08, 2),
            (0x09, 1),
            (0x0C, 16),
            (0x10, 1),
            (0x11, 1),
            (0x30, 9),
            (0xE0, 1),
            (0xE1, 1),
        ] {
            put_word(data, log, pages);
        }
        for log in 0x80..=0x9F {
            put_word(data, log, 16);
        }
    }

    /// Device statistics, page 01h: logical sectors written with the flags "supported, valid".
    fn put_general_statistics(&self, data: &mut [u8]) {
        put(data, 0, &[1, 0, 1, 0, 0, 0, 0, 0]);
        let supported = 0xC0u64 << 56;
        put(data, 24, &(supported | self.state.blocks_written).to_le_bytes());
        put(data, size(8), &(supported | 77).to_le_bytes());
    }
}
