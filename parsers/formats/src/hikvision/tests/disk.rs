//! A writer of the index structures of a disk, for tests. The disk is sparse: only what was written takes memory.

use std::{collections::BTreeMap, sync::Arc};

use daleel_core::{Extent, Hole, ReadError, Source, Volume};

pub const BASE: u64 = 0x4C5_E000;
pub const GIB: u64 = 1 << 30;
const PIECE: u64 = 4096;

/// A disk of any size; unwritten bytes are zero.
#[derive(Clone, Default)]
pub struct Sparse {
    pieces: BTreeMap<u64, Vec<u8>>,
    pub len: u64,
    pub holes: Vec<Extent>,
}

impl Sparse {
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let piece = self.pieces.entry(at / PIECE).or_insert_with(|| vec![0; PIECE as usize]);
            piece[(at % PIECE) as usize] = *byte;
        }
    }

    pub fn put_u32(&mut self, offset: u64, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    pub fn put_u64(&mut self, offset: u64, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }

    pub fn volume(&self) -> Volume {
        Volume::whole(Arc::new(self.clone()))
    }
}

impl Source for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let wanted = Extent::new(offset, buf.len() as u64);
        if wanted.end() > self.len {
            let at = Extent::new(offset.max(self.len), wanted.end() - offset.max(self.len));
            return Err(ReadError::Hole { at, hole: Hole::BeyondEnd });
        }
        if let Some(at) = self.holes.iter().find_map(|hole| hole.intersection(wanted)) {
            return Err(ReadError::Hole { at, hole: Hole::Unreadable });
        }
        buf.fill(0);
        let first = offset / PIECE;
        for (number, piece) in self.pieces.range(first..=wanted.end() / PIECE) {
            let piece_at = Extent::new(number * PIECE, PIECE);
            let Some(part) = piece_at.intersection(wanted) else { continue };
            let from = (part.offset() - piece_at.offset()) as usize;
            let to = (part.offset() - offset) as usize;
            let length = part.len() as usize;
            buf[to..to + length].copy_from_slice(&piece[from..from + length]);
        }
        Ok(())
    }
}

/// An entry to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub state: u64,
    pub channel: u8,
    pub start: u32,
    pub end: u32,
    pub block: u64,
}

impl Item {
    pub fn closed(block: u64, channel: u8, start: u32) -> Self {
        Self { state: 0, channel, start, end: start + 600, block }
    }
    pub fn open(block: u64, channel: u8) -> Self {
        Self { state: 0, channel, start: 0x7FFF_FFFF, end: 0, block }
    }
    pub fn unused(block: u64) -> Self {
        Self { state: u64::MAX, channel: 0xFF, start: 0x7FFF_FFFF, end: 0, block }
    }
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0xFF; 8];
        bytes.extend(self.state.to_le_bytes());
        bytes.extend(if self.state == 0 { [0, self.channel] } else { [0xFF, self.channel] });
        bytes.extend(if self.state == 0 { [0; 6] } else { [0xFF; 6] });
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.end.to_le_bytes());
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(0x10u32.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes
    }
}

/// How a disk is laid out, where the readings of the format differ.
#[derive(Clone, Debug)]
pub struct Plan {
    pub blocks: u64,
    pub block_bytes: u64,
    pub base: u64,
    /// Entries of the two copies.
    pub copies: [Vec<Item>; 2],
    pub per_leaf: usize,
    /// Room between the copies.
    pub gap: u64,
    /// The second reading: footer behind the stated size, node types 0, master +70h and +80h zero.
    pub second_reading: bool,
    pub with_backup: bool,
    /// Created, by the tree headers.
    pub created: u32,
}

/// Where things were put.
#[derive(Clone, Debug)]
pub struct Layout {
    pub trees: [u64; 2],
    pub tree_bytes: u64,
    /// Offsets of the leaves of each copy.
    pub leaves: [Vec<u64>; 2],
}

impl Plan {
    /// `used` closed blocks, one open, the rest never used; the same in both copies.
    pub fn new(blocks: u64, used: u64) -> Self {
        let mut items: Vec<Item> = (0..used)
            .map(|n| {
                let channel = (n % 4 + 1) as u8;
                Item::closed(BASE + n * GIB, channel, 1_700_000_000 + n as u32 * 700)
            })
            .collect();
        items.push(Item::open(BASE + used * GIB, 1));
        items.extend((used + 1..blocks).map(|n| Item::unused(BASE + n * GIB)));
        Self {
            blocks,
            block_bytes: GIB,
            base: BASE,
            copies: [items.clone(), items],
            per_leaf: 42,
            gap: 0,
            second_reading: false,
            with_backup: true,
            created: 0x5477_2240,
        }
    }

    pub fn write(&self) -> (Sparse, Layout) {
        let mut disk = Sparse::default();
        let leaves = self.copies.iter().map(|items| items.len().div_ceil(self.per_leaf)).max();
        let leaves = leaves.unwrap_or(0).max(1) as u64;
        // Lists of more than 83 children need a level between.
        let inner = if leaves > 84 { leaves.div_ceil(80) } else { 0 };
        let nodes = 2 + inner + leaves;
        let tree_bytes = (nodes + u64::from(!self.second_reading)) * 4096;
        let first = self.base + self.blocks * self.block_bytes + 0x3C00;
        // With the footer behind its stated size, a tree needs that room before the next.
        let room = tree_bytes + if self.second_reading { 4096 } else { 0 } + self.gap;
        let trees = [first, first + room];
        disk.len = trees[1] + room + 0x1_0000;
        let mut layout = Layout { trees, tree_bytes, leaves: [Vec::new(), Vec::new()] };
        for (number, at) in trees.into_iter().enumerate() {
            layout.leaves[number] =
                self.write_tree(&mut disk, at, &self.copies[number], nodes, inner);
        }
        self.write_master(&mut disk, 0x200, &layout);
        if self.with_backup {
            self.write_master(&mut disk, 0x4C5_6000, &layout);
        }
        (disk, layout)
    }

    fn write_master(&self, disk: &mut Sparse, at: u64, layout: &Layout) {
        disk.put_u32(at, 0x22B4);
        disk.put(at + 0x10, b"HIKVISION@HANGZHOU");
        disk.put(at + 0x30, b"HIK.2011.03.08");
        let pairs = [
            (0x48, disk.len),
            (0x50, 0x8200),
            (0x58, 0x3D0_B000),
            (0x60, 0x3D1_3200),
            (0x68, 0xF4_2C00),
            (0x78, self.base),
            (0x88, self.block_bytes),
            (0x90, self.blocks),
            (0x98, layout.trees[0]),
            (0xA0, layout.tree_bytes),
            (0xA8, layout.trees[1]),
            (0xB0, layout.tree_bytes),
        ];
        for (offset, value) in pairs {
            disk.put_u64(at + offset, value);
        }
        if !self.second_reading {
            disk.put_u64(at + 0x70, 1);
            disk.put_u64(at + 0x80, self.blocks * self.block_bytes);
        }
        disk.put_u32(at + 0xF0, 0x5477_2237);
    }

    fn write_tree(
        &self,
        disk: &mut Sparse,
        at: u64,
        items: &[Item],
        nodes: u64,
        inner: u64,
    ) -> Vec<u64> {
        let groups: Vec<&[Item]> = items.chunks(self.per_leaf).collect();
        let leaf = |n: usize| at + (2 + inner + n as u64) * 4096;
        let footer = at + nodes * 4096;
        disk.put_u32(at, 1);
        disk.put(at + 0x10, b"HIKBTREE");
        disk.put(at + 0x20, b"HIK.2010.11.09");
        disk.put_u32(at + 0x34, 4096);
        disk.put_u32(at + 0x38, 2);
        disk.put_u32(at + 0x3C, self.created);
        for (offset, value) in [
            (0x40, footer),
            (0x48, footer),
            (0x50, at + 4096),
            (0x58, leaf(0)),
            (0x60, nodes + 1),
            (0x68, items.len() as u64),
        ] {
            disk.put_u64(at + offset, value);
        }
        let list = |disk: &mut Sparse, node: u64, children: &[(u64, Item)]| {
            let count = children.len() as u32 - 1;
            disk.put_u32(node + 0x10, count);
            disk.put_u32(node + 0x14, 0x60 + 48 * count);
            disk.put_u64(node + 0x18, children[0].0);
            for (n, (child, item)) in children.iter().skip(1).enumerate() {
                let entry = node + 0x60 + 48 * n as u64;
                disk.put(entry, &item.bytes());
                disk.put_u64(entry, *child);
            }
        };
        let children: Vec<(u64, Item)> =
            groups.iter().enumerate().map(|(n, group)| (leaf(n), group[0])).collect();
        if inner > 0 {
            let mut upper = Vec::new();
            for (n, children) in children.chunks(80).enumerate() {
                let node = at + (2 + n as u64) * 4096;
                list(disk, node, children);
                upper.push((node, children[0].1));
            }
            list(disk, at + 4096, &upper);
        } else {
            list(disk, at + 4096, &children);
        }
        for (n, group) in groups.iter().enumerate() {
            let node = leaf(n);
            if !self.second_reading {
                disk.put_u32(node, 2);
            }
            disk.put_u32(node + 0x10, group.len() as u32);
            disk.put_u32(node + 0x14, 0x60 + 48 * group.len() as u32);
            disk.put_u64(node + 0x20, if n + 1 == groups.len() { u64::MAX } else { leaf(n + 1) });
            for (number, item) in group.iter().enumerate() {
                disk.put(node + 0x60 + 48 * number as u64, &item.bytes());
            }
        }
        disk.put_u64(footer, leaf(groups.len() - 1));
        disk.put_u64(footer + 8, u64::MAX);
        (0..groups.len()).map(leaf).collect()
    }
}
