//! What the drive says about itself: INQUIRY, vital product data, mode and log pages, capacity.
//!
//! Facts: SPC-5 6.7, 7.7; SBC-4 6.5, 6.6; USB bridges answer READ FORMAT CAPACITIES as MMC-6 6.23.

use super::bytes::{be, bit, low32, padded, put, size, u8_at};
use super::scsi::MAX_TRANSFER_BYTES;
use super::sense::Sense;
use super::{ModelDrive, Outcome, Sat};

/// Cuts an answer to the allocation length of the CDB.
fn allocated(cdb: &[u8], at: usize, len: usize, mut data: Vec<u8>) -> Outcome {
    data.truncate(size(be(cdb, at, len)));
    Ok(data)
}

/// A vital product data page: header and content.
fn vpd_page(device_type: u8, page: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut data = vec![device_type, page];
    data.extend(length);
    data.extend(content);
    data
}

impl ModelDrive {
    pub(super) fn inquiry(&self, cdb: &[u8]) -> Outcome {
        let page = u8_at(cdb, 2);
        if !bit(cdb, 1, 0x01) {
            return if page == 0 {
                allocated(cdb, 3, 2, self.standard_inquiry())
            } else {
                Err(Sense::INVALID_FIELD.into())
            };
        }
        let content = match page {
            0x00 => self.vpd_pages(),
            0x80 => padded(&self.config.identity.serial, 20),
            0x83 => self.designators(),
            0x89 if self.config.sat != Sat::None => self.ata_information(),
            0xB0 => self.block_limits(),
            0xB1 => self.characteristics(),
            0xB2 => vec![0x00, 0xE4, 0x02, 0x00],
            _ => return Err(Sense::INVALID_FIELD.into()),
        };
        allocated(cdb, 3, 2, vpd_page(self.config.device_type, page, &content))
    }

    fn standard_inquiry(&self) -> Vec<u8> {
        let c = &self.config;
        let removable = if c.removable { 0x80 } else { 0 };
        // ADDITIONAL LENGTH 5Bh: 96 bytes. Byte 7: CMDQUE.
        let mut data = vec![c.device_type, removable, c.version, 0x12, 0x5B, 0x08, 0x00, 0x02];
        data.extend(padded(&c.identity.vendor, 8));
        data.extend(padded(&c.identity.product, 16));
        data.extend(padded(&c.identity.revision, 4));
        data.resize(96, 0);
        // Version descriptors: SAM-5, SPC-4, SBC-3.
        put(&mut data, 58, &[0x00, 0xA0, 0x04, 0x60, 0x04, 0xC0]);
        data
    }

    fn vpd_pages(&self) -> Vec<u8> {
        let mut pages = vec![0x00, 0x80, 0x83];
        if self.config.sat != Sat::None {
            pages.push(0x89);
        }
        pages.extend([0xB0, 0xB1, 0xB2]);
        pages
    }

    fn designators(&self) -> Vec<u8> {
        let identity = &self.config.identity;
        let mut data = vec![0x01, 0x03, 0x00, 0x08];
        data.extend(identity.wwn.to_be_bytes());
        data.extend([0x02, 0x01, 0x00, 68]);
        data.extend(padded(&identity.vendor, 8));
        data.extend(padded(&identity.model, 40));
        data.extend(padded(&identity.serial, 20));
        data
    }

    fn ata_information(&self) -> Vec<u8> {
        let mut data = vec![0; 568];
        put(&mut data, 4, &padded("DALEEL", 8));
        put(&mut data, 12, &padded("MODEL BRIDGE", 16));
        put(&mut data, 28, &padded("0001", 4));
        // Device signature of an ATA device in its register FIS: STATUS, LBA 1, COUNT 1.
        put(&mut data, 32, &[0x34, 0x00, 0x50, 0x01, 0x01]);
        put(&mut data, 44, &[0x01]);
        put(&mut data, 52, &[0xEC]);
        put(&mut data, 56, &self.identify());
        data
    }

    fn block_limits(&self) -> Vec<u8> {
        let mut data = vec![0; 60];
        let most = MAX_TRANSFER_BYTES.checked_div(u64::from(self.config.block_bytes)).unwrap_or(0);
        put(&mut data, 1, &[1]);
        put(&mut data, 4, &low32(most).to_be_bytes());
        put(&mut data, 16, &[0xFF; 8]);
        put(&mut data, 32, &[0xFF; 8]);
        data
    }

    fn characteristics(&self) -> Vec<u8> {
        let mut data = vec![0; 60];
        put(&mut data, 0, &[0x1C, 0x20, 0x00, 0x02]);
        data
    }

    pub(super) fn read_capacity_10(&self) -> Outcome {
        let last = self.reported_blocks().saturating_sub(1);
        let mut data = u32::try_from(last).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        data.extend(self.config.block_bytes.to_be_bytes());
        Ok(data)
    }

    pub(super) fn read_capacity_16(&self, cdb: &[u8]) -> Outcome {
        let mut data = self.reported_blocks().saturating_sub(1).to_be_bytes().to_vec();
        data.extend(self.config.block_bytes.to_be_bytes());
        data.resize(32, 0);
        // Physical blocks of 4096 bytes; LBPME and LBPRZ: the drive trims.
        put(&mut data, 13, &[if self.config.block_bytes == 512 { 3 } else { 0 }, 0xC0]);
        allocated(cdb, 10, 4, data)
    }

    pub(super) fn read_format_capacities(&self, cdb: &[u8]) -> Outcome {
        let blocks = u32::try_from(self.reported_blocks()).unwrap_or(u32::MAX);
        let [_, a, b, c] = self.config.block_bytes.to_be_bytes();
        let mut data = vec![0, 0, 0, 8];
        data.extend(blocks.to_be_bytes());
        data.extend([0x02, a, b, c]);
        allocated(cdb, 7, 2, data)
    }

    pub(super) fn report_luns(&self, cdb: &[u8]) -> Outcome {
        let mut data = vec![0, 0, 0, 8];
        data.resize(16, 0);
        allocated(cdb, 6, 4, data)
    }

    /// MODE SENSE(6) and (10): the drive is writable and its write cache is on.
    pub(super) fn mode_sense(&self, cdb: &[u8]) -> Outcome {
        let ten = u8_at(cdb, 0) == 0x5A;
        let (page, control) = (u8_at(cdb, 2) & 0x3F, u8_at(cdb, 2) >> 6);
        if control == 3 {
            return Err(Sense::new(0x05, 0x39, 0x00).into());
        }
        let pages = self.mode_pages(page, control == 1);
        if pages.is_empty() {
            return Err(Sense::INVALID_FIELD.into());
        }
        let descriptor = if bit(cdb, 1, 0x08) { Vec::new() } else { self.block_descriptor() };
        let body = descriptor.len().saturating_add(pages.len());
        let dpofua = 0x10;
        let mut data = Vec::new();
        if ten {
            data.extend(u16::try_from(body.saturating_add(6)).unwrap_or(u16::MAX).to_be_bytes());
            data.extend([0, dpofua, 0, 0, 0, u8::try_from(descriptor.len()).unwrap_or(0)]);
        } else {
            let length = u8::try_from(body.saturating_add(3)).unwrap_or(u8::MAX);
            data.extend([length, 0, dpofua, u8::try_from(descriptor.len()).unwrap_or(0)]);
        }
        data.extend(descriptor);
        data.extend(pages);
        if ten { allocated(cdb, 7, 2, data) } else { allocated(cdb, 4, 1, data) }
    }

    fn block_descriptor(&self) -> Vec<u8> {
        let blocks = u32::try_from(self.state.capacity.visible).unwrap_or(u32::MAX);
        let [_, a, b, c] = self.config.block_bytes.to_be_bytes();
        let mut data = blocks.to_be_bytes().to_vec();
        data.extend([0, a, b, c]);
        data
    }

    fn mode_pages(&self, page: u8, changeable: bool) -> Vec<u8> {
        const SIZES: [(u8, usize); 4] = [(0x01, 12), (0x08, 20), (0x0A, 12), (0x1C, 12)];
        let mut data = Vec::new();
        for (code, bytes) in SIZES.into_iter().filter(|(code, _)| page == 0x3F || page == *code) {
            let mut one = vec![0; bytes];
            // WCE=1.
            if code == 0x08 {
                put(&mut one, 2, &[0x04]);
            }
            if let Some(set) = self.state.mode_pages.get(&(code, 0)).filter(|_| !changeable) {
                put(&mut one, 0, set);
            }
            put(&mut one, 0, &[code, u8::try_from(bytes.saturating_sub(2)).unwrap_or(0)]);
            data.extend(one);
        }
        data
    }

    /// LOG SENSE; SP=1 saves the parameters.
    pub(super) fn log_sense(&mut self, cdb: &[u8]) -> Outcome {
        const PAGES: [u8; 14] =
            [0x00, 0x02, 0x03, 0x05, 0x06, 0x0D, 0x0E, 0x10, 0x11, 0x15, 0x18, 0x19, 0x1A, 0x2F];
        if bit(cdb, 1, 0x01) {
            self.state.set("LOG SENSE with SP", &[cdb]);
        }
        let page = u8_at(cdb, 2) & 0x3F;
        let content = match page {
            0x00 => PAGES.to_vec(),
            // Temperature 30 degrees Celsius, reference 60.
            0x0D => vec![0, 0, 3, 2, 0, 30, 0, 1, 3, 2, 0, 60],
            0x2F => vec![0, 0, 3, 4, 0, 0, 30, 60],
            _ if PAGES.contains(&page) => vec![0, 0, 3, 4, 0, 0, 0, 0],
            _ => return Err(Sense::INVALID_FIELD.into()),
        };
        allocated(cdb, 7, 2, vpd_page(page, u8_at(cdb, 3), &content))
    }

    /// Information that SECURITY PROTOCOL IN and TRUSTED RECEIVE give: the list of protocols, the TCG
    /// level 0 header without features, the ATA security state.
    pub(super) fn security_information(&self, protocol: u8, specific: u64) -> Vec<u8> {
        let mut data = vec![0; 512];
        match (protocol, specific) {
            (0x00, 0x0000) => put(&mut data, 6, &[0, 3, 0x00, 0x01, 0xEF]),
            (0x01, 0x0001) => put(&mut data, 0, &[0, 0, 0, 44, 0, 0, 0, 1]),
            (0xEF, 0x0000) => {
                let s = &self.state.security;
                let flag = |set: bool, mask: u8| if set { mask } else { 0 };
                let bits = 0x01 | flag(s.user.is_some(), 0x02) | flag(s.locked, 0x04);
                put(&mut data, 0, &[0, 0x0E]);
                put(&mut data, 9, &[bits | flag(s.frozen, 0x08)]);
            }
            _ => {}
        }
        data
    }
}
