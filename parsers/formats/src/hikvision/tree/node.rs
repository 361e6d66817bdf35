//! A node of the tree: its head, and its entries as far as the medium gives them.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.2 and 3.3.

use daleel_core::Extent;

use crate::hikvision::{
    entry::{ENTRY_BYTES, NOTHING, RawEntry},
    index::bytes::{Patched, u32_at, u64_at},
};

/// Bytes of a node.
pub const NODE_BYTES: u64 = 0x1000;
/// Entries begin behind the head.
pub const HEAD_BYTES: u64 = 0x60;
/// As many entries as fit a node.
pub const ENTRIES_MAX: u32 = 83;

/// A node inside the bytes of its tree.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    bytes: &'a Patched,
    /// From the start of the tree.
    offset: u64,
}

impl<'a> NodeView<'a> {
    /// The node `offset` bytes into the tree.
    pub fn at(bytes: &'a Patched, offset: u64) -> Self {
        Self { bytes, offset }
    }

    /// Its bytes on the medium.
    pub fn extent(&self) -> Extent {
        Extent::new(self.bytes.at.offset().saturating_add(self.offset), NODE_BYTES)
    }

    fn head(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.offset, HEAD_BYTES)
    }

    /// Type as stored.
    pub fn node_type(&self) -> Option<u32> {
        u32_at(self.head()?, 0)
    }

    /// True when its head can be read.
    pub fn is_readable(&self) -> bool {
        self.head().is_some()
    }

    /// First pointer of a page list: the left-most child.
    pub fn left_most(&self) -> Option<u64> {
        u64_at(self.head()?, 0x18)
    }

    /// The next leaf, or page list; `None` at the end of the chain and where none is stored.
    pub fn next(&self) -> Option<u64> {
        u64_at(self.head()?, 0x20)
    }

    /// Where an entry lies, from the start of the tree.
    pub fn entry_offset(&self, number: u32) -> u64 {
        u64::from(number)
            .saturating_mul(ENTRY_BYTES)
            .saturating_add(HEAD_BYTES)
            .saturating_add(self.offset)
    }

    /// An entry, if it could be read.
    pub fn entry(&self, number: u32) -> Option<RawEntry> {
        RawEntry::parse(self.bytes.get(self.entry_offset(number), ENTRY_BYTES)?)
    }

    /// A leaf is known by its first entry, which has no child. An entry without a block is none: such a page was erased.
    pub fn is_leaf(&self) -> bool {
        let is_entry =
            |entry: RawEntry| entry.link.get() == NOTHING && entry.block.get() != NOTHING;
        self.is_readable() && self.entry(0).is_some_and(is_entry)
    }

    /// True for a leaf that nothing speaks against: its count is one, and all its entries are entries of blocks.
    pub fn is_sound_leaf(&self) -> bool {
        // Most sectors are none: this first.
        if !self.is_leaf() {
            return false;
        }
        let (count, odd) = self.entry_count();
        let is_entry = |number: u32| {
            self.entry(number).is_some_and(|entry| {
                let block = entry.block.get();
                !entry.is_broken() && block != 0 && block % 512 == 0
            })
        };
        odd.is_none() && count > 0 && (0..count).all(is_entry)
    }

    /// True for a page of zeros: even an empty page says where the next one is.
    pub fn is_zeroed(&self) -> bool {
        self.bytes
            .get(self.offset, NODE_BYTES)
            .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// How many entries are in use, and what is wrong with the count if something is. A count that cannot be one is replaced by the one
    /// that follows from the number of used bytes, or else by the entries that have the shape of one.
    pub fn entry_count(&self) -> (u32, Option<String>) {
        let Some(head) = self.head() else { return (0, None) };
        let count = u32_at(head, 0x10).unwrap_or(0);
        let used = u32_at(head, 0x14).unwrap_or(0);
        let by_used = used
            .checked_sub(0x60)
            .filter(|bytes| bytes % 48 == 0)
            .map(|bytes| bytes / 48)
            .filter(|count| *count <= ENTRIES_MAX);
        match by_used {
            Some(other) if count > ENTRIES_MAX || (count == 0 && other > 0) => {
                let why = format!("entry count is {count}; {other} by the bytes in use");
                (other, Some(why))
            }
            _ if count > ENTRIES_MAX => {
                let shaped = (0..ENTRIES_MAX)
                    .take_while(|number| {
                        self.entry(*number).is_none_or(|entry| entry.link.get() == NOTHING)
                    })
                    .count();
                let shaped = u32::try_from(shaped).unwrap_or(ENTRIES_MAX);
                let why = format!(
                    "entry count is {count}, at most {ENTRIES_MAX} fit; {shaped} by their shape"
                );
                (shaped, Some(why))
            }
            Some(other) if other != count && used != 0 => (
                count,
                Some(format!("entry count is {count}, but the bytes in use are those of {other}")),
            ),
            _ => (count, None),
        }
    }
}
