//! Where everything lies, and the master sector that says so.
//!
//! Facts: `docs/formats/hikvision.md`, sections 1 (geometry) and 2 (master sector). The front of the disk
//! is that of the published disks, byte for byte in its offsets; the trees follow the last block.

use super::Variants;
use crate::civil::Moment;
use crate::hikvision::{Footer, NODE_BYTES};

/// First byte of the video data area.
pub const VIDEO_OFFSET: u64 = 0x4C5_E000;
/// First byte of the primary master sector.
pub const MASTER_AT: u64 = 0x200;
/// First byte of the backup master sector.
const BACKUP_AT: u64 = 0x4C5_6000;
/// Another place of it, between logs and video as well.
const BACKUP_ELSEWHERE_AT: u64 = 0x4C5_A200;
/// Bytes of a master sector.
pub(super) const MASTER_BYTES: usize = 0x100;
/// From the last block to the first tree, as on the published disk of 160 GB modulo 4096.
const TREE_SLACK: u64 = 0x1_BC00;
/// Behind the second tree, as on that disk.
const END_SLACK: u64 = 0xC400;
/// First four bytes of the master, of unknown meaning; one of the two values that were seen.
const MASTER_MARK: u32 = 0x22B4;

/// A log area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogArea {
    /// Number, 1 or 2.
    pub number: u8,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Bytes before the first record.
    pub header: usize,
    /// Chunks.
    pub chunks: u32,
}

/// Log areas 1 and 2.
pub const LOG_AREAS: [LogArea; 2] = [
    LogArea { number: 1, offset: 0x8200, length: 0x3D0_B000, header: 0x2000, chunks: 1000 },
    LogArea { number: 2, offset: 0x3D1_3200, length: 0xF4_2C00, header: 0x800, chunks: 250 },
];

/// Offsets on one disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a data block.
    pub block_bytes: u64,
    /// Number of data blocks.
    pub blocks: u32,
    /// Size of a tree as the master states it.
    pub tree_bytes: u64,
    /// First byte of each tree.
    pub trees: [u64; 2],
    /// Length of the disk.
    pub capacity: u64,
    /// First byte of the backup master.
    pub backup: u64,
}

impl Geometry {
    /// The offsets of a disk whose trees have `tree_bytes` bytes.
    pub fn new(block_bytes: u64, blocks: u32, variants: &Variants, tree_bytes: u64) -> Geometry {
        let footer = if variants.tree.footer == Footer::Behind { NODE_BYTES as u64 } else { 0 };
        let first = VIDEO_OFFSET + u64::from(blocks) * block_bytes + TREE_SLACK;
        let second = first + tree_bytes + footer + variants.tree_gap;
        Geometry {
            block_bytes,
            blocks,
            tree_bytes,
            trees: [first, second],
            capacity: second + tree_bytes + footer + END_SLACK,
            backup: if variants.backup_elsewhere { BACKUP_ELSEWHERE_AT } else { BACKUP_AT },
        }
    }

    /// First byte of a block.
    pub fn block(&self, number: u32) -> u64 {
        VIDEO_OFFSET + u64::from(number) * self.block_bytes
    }

    /// The used part of the master sector.
    pub fn master(&self, variants: &Variants, initialised: Moment) -> Vec<u8> {
        let mut bytes = vec![0; MASTER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0x00, &MASTER_MARK.to_le_bytes());
        put(0x10, b"HIKVISION@HANGZHOU");
        put(0x30, b"HIK.2011.03.08");
        let [area1, area2] = LOG_AREAS;
        let unless = |skip: bool, value: u64| if skip { 0 } else { value };
        let video_bytes = u64::from(self.blocks) * self.block_bytes;
        for (at, value) in [
            (0x48, self.capacity),
            (0x50, unless(variants.one_log_area, area1.offset)),
            (0x58, unless(variants.one_log_area, area1.length)),
            (0x60, area2.offset),
            (0x68, area2.length),
            (0x70, unless(variants.zero_master_fields, 1)),
            (0x78, VIDEO_OFFSET),
            (0x80, unless(variants.zero_master_fields, video_bytes)),
            (0x88, self.block_bytes),
            (0x90, u64::from(self.blocks)),
            (0x98, self.trees[0]),
            (0xA0, self.tree_bytes),
            (0xA8, self.trees[1]),
            (0xB0, self.tree_bytes),
        ] {
            put(at, &value.to_le_bytes());
        }
        put(0xF0, &initialised.unix_seconds().to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published values of a disk of 160 GB: 148 blocks of 1 GiB, trees of 0x6000 bytes.
    #[test]
    fn the_front_and_the_residue_of_the_trees_are_those_of_the_published_disk() {
        let geometry = Geometry::new(1 << 30, 148, &Variants::FIRST, 0x6000);
        let initialised = Moment::at((2014, 11, 27), (13, 8, 7));
        let master = geometry.master(&Variants::FIRST, initialised);
        let le = |at: usize| {
            master[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        assert_eq!((le(0x60), le(0x68)), (0x3D1_3200, 0xF4_2C00));
        assert_eq!((le(0x78), le(0x80)), (0x4C5_E000, 0x25_0000_0000));
        assert_eq!((le(0x88), le(0x90)), (0x4000_0000, 0x94));
        assert_eq!(le(0x98) % 4096, 0x25_433B_DC00 % 4096);
        assert_eq!(le(0xA8), le(0x98) + 0x6000);
        assert_eq!(le(0x48), le(0xA8) + 0x6000 + END_SLACK);
        assert_eq!(le(0xF0) as u32, 0x5477_2237);
        assert_eq!(le(0x50) + le(0x58), le(0x60));
        assert_eq!(le(0x60) + le(0x68) + 0x8200, le(0x78));
        assert_eq!(0x25_433D_6000 - (0x25_433C_3C00 + 0x6000), END_SLACK);
    }
}
