//! The HIKBTREE: header, root, leaves and footer in nodes of 4,096 bytes.
//!
//! Facts: `docs/formats/hikvision.md`, section 3. Leaves are about half full because entries come in
//! ascending order of time; when a leaf is split, the moved entries may stay behind its count. A root
//! has room for 84 leaves; how a recorder goes on beyond that is not published, here pages of the
//! same shape come between root and leaves.

use std::ops::Range;

use crate::civil::Moment;
use crate::truth::EntryState;

/// Bytes of a node.
pub const NODE_BYTES: usize = 0x1000;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 48;
/// Entries that fit into a node.
pub const NODE_CAPACITY: usize = 83;

/// First entry of a node.
const ENTRIES_AT: usize = 0x60;
/// Start time of an entry that has none.
const NO_START: u32 = 0x7FFF_FFFF;

/// An entry of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafEntry {
    /// State.
    pub state: EntryState,
    /// Channel, from 1; 255 where none is assigned.
    pub channel: u8,
    /// Start; none in open, reserved and unused entries.
    pub start: Option<Moment>,
    /// End; none where there is no start.
    pub end: Option<Moment>,
    /// Offset of the data block.
    pub block_offset: u64,
}

/// Where the footer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footer {
    /// The last node of the stated size.
    Inside,
    /// The node behind the stated size; its fields stand behind 16 bytes.
    Behind,
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeShape {
    /// Entries in a leaf, at most [`NODE_CAPACITY`].
    pub leaf_fill: usize,
    /// Type in the header of root and leaves.
    pub node_type: u32,
    /// Footer.
    pub footer: Footer,
    /// True where unused entries are FF up to byte 0x17, false where they are up to byte 0xF.
    pub long_unused: bool,
    /// True where slots behind the count of a leaf keep the entries that a split moved on.
    pub stale_slots: bool,
}

impl TreeShape {
    /// The first reading.
    pub const FIRST: TreeShape = TreeShape {
        leaf_fill: 42,
        node_type: 2,
        footer: Footer::Inside,
        long_unused: true,
        stale_slots: false,
    };
    /// The second reading.
    pub const SECOND: TreeShape =
        TreeShape { node_type: 0, footer: Footer::Behind, long_unused: false, ..TreeShape::FIRST };
}

/// A tree and the places within it.
#[derive(Debug, Clone)]
pub struct WrittenTree {
    /// All nodes.
    pub bytes: Vec<u8>,
    /// Size that the master states.
    pub stated_bytes: u64,
    /// Header, root, pages below the root if any, leaves, footer.
    pub nodes: Vec<Range<usize>>,
    /// The entries, in the order in which they were given.
    pub entries: Vec<Range<usize>>,
}

/// Writes a tree whose pointers count from `origin`; entries must be in ascending order of start.
pub fn write_tree(
    shape: &TreeShape,
    origin: u64,
    blocks: u32,
    created: Moment,
    entries: &[LeafEntry],
) -> WrittenTree {
    let leaves: Vec<&[LeafEntry]> = match entries {
        [] => vec![entries],
        _ => entries.chunks(shape.leaf_fill).collect(),
    };
    let pages =
        if leaves.len() > NODE_CAPACITY + 1 { leaves.len().div_ceil(NODE_CAPACITY + 1) } else { 0 };
    let first_leaf = 2 + pages;
    let footer = first_leaf + leaves.len();
    let writer = Writer { shape, origin, first_leaf, leaves: &leaves };
    let mut bytes = writer.header(blocks, created, footer, entries);
    writer.upper_nodes(pages).iter().for_each(|node| bytes.extend(node));
    let mut places = Vec::with_capacity(entries.len());
    for (index, leaf) in leaves.iter().enumerate() {
        let first = bytes.len() + ENTRIES_AT;
        places.extend((0..leaf.len()).map(|n| {
            let at = first + n * ENTRY_BYTES;
            at..at + ENTRY_BYTES
        }));
        bytes.extend(writer.leaf(index));
    }
    bytes.extend(writer.footer(footer - 1));
    let stated = match shape.footer {
        Footer::Inside => footer + 1,
        Footer::Behind => footer,
    };
    WrittenTree {
        bytes,
        stated_bytes: (stated * NODE_BYTES) as u64,
        nodes: (0..=footer).map(|n| n * NODE_BYTES..(n + 1) * NODE_BYTES).collect(),
        entries: places,
    }
}

struct Writer<'a> {
    shape: &'a TreeShape,
    origin: u64,
    first_leaf: usize,
    leaves: &'a [&'a [LeafEntry]],
}

impl Writer<'_> {
    fn pointer(&self, node: usize) -> u64 {
        self.origin + (node * NODE_BYTES) as u64
    }

    fn header(
        &self,
        blocks: u32,
        created: Moment,
        footer: usize,
        entries: &[LeafEntry],
    ) -> Vec<u8> {
        let unused = entries.iter().filter(|entry| entry.state == EntryState::Unused).count();
        let levels = if self.first_leaf > 2 { 3 } else { 2 };
        let mut node = vec![0; NODE_BYTES];
        put(&mut node, 0x00, &1_u32.to_le_bytes());
        put(&mut node, 0x04, &1193_u32.to_le_bytes());
        put(&mut node, 0x08, &(unused as u32).to_le_bytes());
        put(&mut node, 0x10, b"HIKBTREE");
        put(&mut node, 0x20, b"HIK.2010.11.09");
        put(&mut node, 0x34, &(NODE_BYTES as u32).to_le_bytes());
        put(&mut node, 0x38, &u32::to_le_bytes(levels));
        put(&mut node, 0x3C, &created.unix_seconds().to_le_bytes());
        put(&mut node, 0x40, &self.pointer(footer).to_le_bytes());
        put(&mut node, 0x48, &self.pointer(footer).to_le_bytes());
        put(&mut node, 0x50, &self.pointer(1).to_le_bytes());
        put(&mut node, 0x58, &self.pointer(self.first_leaf).to_le_bytes());
        put(&mut node, 0x60, &(footer as u32 + 1).to_le_bytes());
        put(&mut node, 0x68, &blocks.to_le_bytes());
        node
    }

    /// The root, and the pages below it where it does not reach all leaves.
    fn upper_nodes(&self, pages: usize) -> Vec<Vec<u8>> {
        let leaf = |n: usize| (self.first_leaf + n, self.leaves[n].first());
        let all: Vec<_> = (0..self.leaves.len()).map(leaf).collect();
        if pages == 0 {
            return vec![self.page(&all)];
        }
        let groups: Vec<_> = all.chunks(NODE_CAPACITY + 1).collect();
        let upper: Vec<_> = groups.iter().enumerate().map(|(n, g)| (2 + n, g[0].1)).collect();
        std::iter::once(self.page(&upper)).chain(groups.iter().map(|g| self.page(g))).collect()
    }

    /// A node of pointers: the left-most child in its header, the others as entries.
    fn page(&self, children: &[(usize, Option<&LeafEntry>)]) -> Vec<u8> {
        let mut node = self.node(children.len() - 1);
        put(&mut node, 0x18, &self.pointer(children[0].0).to_le_bytes());
        put(&mut node, 0x20, &[0xFF; 8]);
        for (n, (child, first)) in children[1..].iter().enumerate() {
            let mut entry = first.map_or([0; ENTRY_BYTES], |first| self.entry(first));
            put(&mut entry, 0, &self.pointer(*child).to_le_bytes());
            put(&mut node, ENTRIES_AT + n * ENTRY_BYTES, &entry);
        }
        node
    }

    fn leaf(&self, index: usize) -> Vec<u8> {
        let entries = self.leaves[index];
        let mut node = self.node(entries.len());
        let last = index + 1 == self.leaves.len();
        let next = if last { u64::MAX } else { self.pointer(self.first_leaf + index + 1) };
        put(&mut node, 0x20, &next.to_le_bytes());
        let stale = if self.shape.stale_slots && !last { self.leaves[index + 1] } else { &[] };
        for (n, entry) in entries.iter().chain(stale).take(NODE_CAPACITY).enumerate() {
            put(&mut node, ENTRIES_AT + n * ENTRY_BYTES, &self.entry(entry));
        }
        node
    }

    fn node(&self, count: usize) -> Vec<u8> {
        let mut node = vec![0; NODE_BYTES];
        put(&mut node, 0x00, &self.shape.node_type.to_le_bytes());
        put(&mut node, 0x10, &(count as u32).to_le_bytes());
        put(&mut node, 0x14, &((ENTRIES_AT + count * ENTRY_BYTES) as u32).to_le_bytes());
        node
    }

    fn entry(&self, entry: &LeafEntry) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        put(&mut bytes, 0x00, &[0xFF; 8]);
        if entry.state == EntryState::Unused {
            let length = if self.shape.long_unused { 0x10 } else { 8 };
            put(&mut bytes, 0x08, &vec![0xFF; length]);
        }
        bytes[0x11] = entry.channel;
        let start = entry.start.map_or(NO_START, Moment::unix_seconds);
        put(&mut bytes, 0x18, &start.to_le_bytes());
        put(&mut bytes, 0x1C, &entry.end.map_or(0, Moment::unix_seconds).to_le_bytes());
        put(&mut bytes, 0x20, &entry.block_offset.to_le_bytes());
        put(&mut bytes, 0x28, &0x10_u32.to_le_bytes());
        bytes
    }

    fn footer(&self, last_leaf: usize) -> Vec<u8> {
        let mut node = vec![0; NODE_BYTES];
        let at = if self.shape.footer == Footer::Behind { 0x10 } else { 0 };
        put(&mut node, at, &self.pointer(last_leaf).to_le_bytes());
        put(&mut node, at + 8, &[0xFF; 8]);
        node
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x25_433B_DC00;

    fn tree(count: usize, shape: &TreeShape) -> WrittenTree {
        let created = Moment::at((2024, 2, 1), (9, 0, 0));
        let entries: Vec<_> = (0..count)
            .map(|n| LeafEntry {
                state: EntryState::Closed,
                channel: 1,
                start: Some(created.plus_ms(n as i64 * 60_000)),
                end: Some(created.plus_ms(n as i64 * 60_000 + 59_000)),
                block_offset: 0x4C5_E000 + n as u64 * 0x4000_0000,
            })
            .collect();
        write_tree(shape, BASE, count as u32, created, &entries)
    }

    fn le(bytes: &[u8], at: usize, size: usize) -> u64 {
        bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// The published tree of 148 blocks has 0x6000 bytes and three leaves with two root entries, and
    /// that of 457 blocks 14 nodes.
    #[test]
    fn sizes_are_those_of_the_published_trees() {
        let full = TreeShape { leaf_fill: 50, ..TreeShape::FIRST };
        let tree_148 = tree(148, &full);
        assert_eq!(tree_148.stated_bytes, 0x6000);
        assert_eq!(le(&tree_148.bytes, 0x1010, 4), 2);
        assert_eq!(le(&tree_148.bytes, 0x1014, 4), 0xC0);
        let tree_457 = tree(457, &TreeShape::FIRST);
        assert_eq!((tree_457.stated_bytes, le(&tree_457.bytes, 0x60, 4)), (0xE000, 14));
    }

    #[test]
    fn root_and_chain_lead_to_the_same_leaves() {
        for (count, shape) in [(457, TreeShape::FIRST), (457, TreeShape::SECOND)] {
            let tree = tree(count, &shape);
            let at = |pointer: u64| (pointer - BASE) as usize;
            let mut by_root = vec![le(&tree.bytes, 0x1018, 8)];
            let root_entries = le(&tree.bytes, 0x1010, 4) as usize;
            by_root.extend((0..root_entries).map(|n| le(&tree.bytes, 0x1060 + 48 * n, 8)));
            let (mut by_chain, mut next) = (Vec::new(), le(&tree.bytes, 0x58, 8));
            while next != u64::MAX {
                by_chain.push(next);
                next = le(&tree.bytes, at(next) + 0x20, 8);
            }
            assert_eq!(by_root, by_chain);
            let footer = at(le(&tree.bytes, 0x40, 8));
            let field = if shape.footer == Footer::Behind { 0x10 } else { 0 };
            assert_eq!(Some(&le(&tree.bytes, footer + field, 8)), by_chain.last());
            let found: usize =
                by_chain.iter().map(|l| le(&tree.bytes, at(*l) + 0x10, 4) as usize).sum();
            assert_eq!(found, count);
        }
    }

    #[test]
    fn beyond_84_leaves_pages_come_below_the_root_and_the_chain_is_whole() {
        let tree = tree(9_300, &TreeShape::FIRST);
        let mut next = le(&tree.bytes, 0x58, 8);
        let mut found = 0;
        while next != u64::MAX {
            let at = (next - BASE) as usize;
            found += le(&tree.bytes, at + 0x10, 4);
            next = le(&tree.bytes, at + 0x20, 8);
        }
        assert_eq!(found, 9_300);
        assert_eq!(tree.entries.len(), 9_300);
    }
}
