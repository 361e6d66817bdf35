//! SCSI commands that write to the medium.
//!
//! Facts: SBC-4 chapter 5; the obsolete forms from SBC-2 and MMC.

use super::bytes::{be, bit, put, size, u8_at};
use super::judge::service_action;
use super::scsi::range;
use super::sense::Sense;
use super::{ModelDrive, Outcome, Request, done};

impl ModelDrive {
    /// Commands of the WRITE family; `None` for all others.
    pub(super) fn write_family(&mut self, request: &Request<'_>) -> Option<Outcome> {
        let (cdb, data) = (request.cdb, request.data_out);
        Some(match (u8_at(cdb, 0), service_action(cdb)) {
            (0x0A | 0x2A | 0x2E | 0x3D | 0x50 | 0x80 | 0x8A | 0x8E | 0xAA | 0xAE, _) => {
                self.write_blocks(range(cdb), data)
            }
            (0x9A | 0x9C, _) => self.write_blocks((be(cdb, 2, 8), be(cdb, 12, 2)), data),
            (0x51 | 0x53, _) => self.combine(range(cdb), data, |old, new| old ^ new),
            (0x8B, _) => self.combine(range(cdb), data, |old, new| old | new),
            (0x89, _) => self.compare_and_write(cdb, data),
            (0x41, _) => self.write_same(range(cdb), data, false),
            (0x93, _) => self.write_same(range(cdb), data, bit(cdb, 1, 0x01)),
            (0x42, _) => self.unmap(data),
            (0x04 | 0x38 | 0x19 | 0x5B, _) => self.erase_everything(0),
            (0x2C | 0xAC, _) => self.write_same(range(cdb), &[], true),
            (0x3F, _) => self.write_long(be(cdb, 2, 4), cdb, data),
            (0x9F, 0x11) => self.write_long(be(cdb, 2, 8), cdb, data),
            (0x9F, 0x12) => self.write_scattered(cdb, data),
            (0x48, action) => self.sanitize(action, data),
            (0x18 | 0x3A | 0x83, _) => self.copy(cdb, data),
            (0x07, _) => self.reassign(cdb, data),
            (0x81 | 0x82, _) => self.write_same(range(cdb), &[], true),
            _ => return None,
        })
    }

    /// Writes what data there is, at most `blocks`; a part of a block is padded with zeros.
    pub(super) fn write_blocks(&mut self, (lba, blocks): (u64, u64), data: &[u8]) -> Outcome {
        self.check_range(lba, blocks)?;
        let block_bytes = self.state.medium.block_bytes();
        let mut end = lba;
        for (at, block) in (lba..lba.saturating_add(blocks)).zip(data.chunks(block_bytes)) {
            self.state.write_block(at, block);
            end = at.saturating_add(1);
        }
        self.advance_write_pointer(lba, end);
        done()
    }

    fn combine(
        &mut self,
        (lba, blocks): (u64, u64),
        data: &[u8],
        join: impl Fn(u8, u8) -> u8,
    ) -> Outcome {
        self.check_range(lba, blocks)?;
        let old = self.peek(lba, blocks);
        let joined: Vec<u8> = old.iter().zip(data).map(|(old, new)| join(*old, *new)).collect();
        self.write_blocks((lba, blocks), &joined)
    }

    fn compare_and_write(&mut self, cdb: &[u8], data: &[u8]) -> Outcome {
        let (lba, blocks) = (be(cdb, 2, 8), u64::from(u8_at(cdb, 13)));
        self.check_range(lba, blocks)?;
        let half = size(blocks).saturating_mul(self.state.medium.block_bytes());
        let (verify, write) = data.split_at_checked(half).unwrap_or((data, &[]));
        if self.peek(lba, blocks) != verify {
            return Err(Sense::new(0x0E, 0x1D, 0x00).into());
        }
        self.write_blocks((lba, blocks), write)
    }

    /// WRITE SAME and ERASE; zero blocks mean all to the end of the medium.
    fn write_same(&mut self, (lba, blocks): (u64, u64), data: &[u8], no_data: bool) -> Outcome {
        let visible = self.state.capacity.visible;
        if lba > visible || blocks > visible.saturating_sub(lba) {
            return Err(Sense::OUT_OF_RANGE.into());
        }
        let blocks = if blocks == 0 { visible.saturating_sub(lba) } else { blocks };
        self.state.fill(lba, blocks, if no_data { &[] } else { data });
        done()
    }

    fn unmap(&mut self, data: &[u8]) -> Outcome {
        for descriptor in data.get(8..).unwrap_or_default().chunks_exact(16) {
            self.state.fill(be(descriptor, 0, 8), be(descriptor, 8, 4), &[]);
        }
        done()
    }

    pub(super) fn erase_everything(&mut self, content: u8) -> Outcome {
        self.state.erase_all(content);
        self.state.zones.clear();
        done()
    }

    /// WRITE LONG: WR_UNCOR marks the block, otherwise the bytes are written.
    fn write_long(&mut self, lba: u64, cdb: &[u8], data: &[u8]) -> Outcome {
        self.check_range(lba, 1)?;
        if bit(cdb, 1, 0xC0) {
            self.state.medium.mark_uncorrectable(lba, 1);
            self.state.blocks_written = self.state.blocks_written.saturating_add(1);
        } else if !data.is_empty() {
            self.state.write_block(lba, data);
        }
        done()
    }

    /// SBC-4 5.51: a list of ranges, then the data for all of them.
    fn write_scattered(&mut self, cdb: &[u8], data: &[u8]) -> Outcome {
        let block_bytes = self.state.medium.block_bytes();
        let mut at = size(be(cdb, 4, 2)).saturating_mul(block_bytes);
        let ranges = data.get(32..).unwrap_or_default().chunks_exact(32).take(size(be(cdb, 8, 2)));
        for descriptor in ranges {
            let blocks = be(descriptor, 8, 4);
            let bytes = size(blocks).saturating_mul(block_bytes);
            let source = data.get(at..).unwrap_or_default();
            self.write_blocks((be(descriptor, 0, 8), blocks), source)?;
            at = at.saturating_add(bytes);
        }
        done()
    }

    /// SANITIZE: overwrite, block erase, cryptographic erase, exit failure mode.
    fn sanitize(&mut self, action: u8, data: &[u8]) -> Outcome {
        match action {
            0x01 => {
                let mut block = vec![0; self.state.medium.block_bytes()];
                put(&mut block, 0, data.get(4..).unwrap_or_default());
                self.state.fill(0, self.state.capacity.real, &block);
            }
            0x02 => self.state.erase_all(0x00),
            0x03 => self.state.erase_all(0xC5),
            _ => self.state.sanitize.failure_cleared = true,
        }
        done()
    }

    /// EXTENDED COPY and the older COPY commands: block-to-block segments (descriptor type 02h) are
    /// copied; whatever the list says is remembered.
    fn copy(&mut self, cdb: &[u8], data: &[u8]) -> Outcome {
        self.state.set("COPY", &[cdb, data]);
        let targets = size(be(data, 2, 2));
        let segments = data.get(targets.saturating_add(16)..).unwrap_or_default();
        for segment in segments.chunks_exact(28).filter(|segment| u8_at(segment, 0) == 0x02) {
            let (blocks, from) = (be(segment, 10, 2), be(segment, 12, 8));
            self.check_range(from, blocks)?;
            let content = self.peek(from, blocks);
            self.write_blocks((be(segment, 20, 8), blocks), &content)?;
        }
        done()
    }

    /// REASSIGN BLOCKS: the spare block has no content.
    fn reassign(&mut self, cdb: &[u8], data: &[u8]) -> Outcome {
        self.state.set("REASSIGN BLOCKS", &[cdb, data]);
        let width = if bit(cdb, 1, 0x02) { 8 } else { 4 };
        for address in data.get(4..).unwrap_or_default().chunks_exact(width) {
            self.state.fill(be(address, 0, width), 1, &[]);
        }
        done()
    }
}
