//! One copy of the HIKBTREE: header, page lists, leaves.
//!
//! Facts: `docs/formats/hikvision.md` sections 3, 12 and 17. Leaves are collected three ways (page list, chain of leaves, scan of the area), and
//! where the three disagree that is said. What a node's type field holds differs between readings, so nothing rests on it.

mod header;
mod leaves;
mod locate;
mod node;
mod pages;

use daleel_core::{Extent, FindingKind, Findings, Volume};

pub use header::TreeHeader;
pub use locate::{FoundBy, Located, find_by_signature, has_signature, locate, of_file};
pub use node::{NODE_BYTES, NodeView};
pub use pages::find_pages;

use super::{
    entry::{ENTRY_BYTES, RawEntry},
    index::bytes::Patched,
};
use leaves::Reach;

/// Name of the structure in findings and output.
pub const STRUCTURE: &str = "HIKBTREE";
/// Stands 10h bytes into the header.
pub const SIGNATURE: &[u8; 8] = b"HIKBTREE";
/// Where it stands in the header.
pub const SIGNATURE_SHIFT: u64 = 0x10;
/// Smallest and largest tree (section 12).
pub const TREE_BYTES_RANGE: std::ops::RangeInclusive<u64> = 0x3000..=(64 << 20);

/// A leaf page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its bytes.
    pub at: Extent,
    /// Entries in use.
    pub count: u32,
    /// Node type as stored: 2 by one reading, 0 by the other.
    pub node_type: u32,
    /// A page list leads to it.
    pub by_root: bool,
    /// The chain of leaves leads to it.
    pub by_chain: bool,
    /// False where page list and chain are whole and neither leads to it.
    pub listed: bool,
    /// Smallest and largest start of its entries as stored, where all of them could be read and are entries.
    pub starts: Option<(u32, u32)>,
}

/// An entry of a leaf as stored.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its bytes.
    pub at: Extent,
    /// What it holds.
    pub raw: RawEntry,
    /// False behind the entry count of its page, and on pages that nothing leads to.
    pub listed: bool,
}

/// One copy of the tree, as it was understood.
#[derive(Clone, Debug)]
pub struct Tree {
    /// From its header to the end of its area.
    pub at: Extent,
    /// How it was found.
    pub found_by: FoundBy,
    /// Its size by the master sector, where a pointer leads to it.
    pub stated_bytes: Option<u64>,
    /// Its header, if that is usable.
    pub header: Option<TreeHeader>,
    /// What its pointers count from: an offset of the medium. `None` when they lead nowhere.
    pub pointer_base: Option<u64>,
    /// Page lists: the root, and what lies between it and the leaves on large disks.
    pub lists: Vec<Extent>,
    /// Leaves in ascending order.
    pub leaves: Vec<Leaf>,
    /// The footer, if it is where the header says.
    pub footer: Option<Extent>,
    /// True when header, page lists, chain and leaves agree and every byte of them could be read.
    pub whole: bool,
}

impl Tree {
    /// Entries the header counts.
    pub fn stated_entries(&self) -> Option<u32> {
        self.header.as_ref().map(|header| header.entries)
    }

    /// True when an entry with this stored start would be on a page of this copy that is readable: its absence there means something.
    pub fn covers(&self, raw_start: u32) -> bool {
        self.whole
            || self.leaves.iter().any(|leaf| {
                leaf.listed
                    && leaf.starts.is_some_and(|(low, high)| low <= raw_start && raw_start <= high)
            })
    }
}

/// Reads a tree: its pages, and the entries on them.
pub fn read(volume: &Volume, located: &Located, findings: &mut Findings) -> (Tree, Vec<Slot>) {
    let bytes = Patched::read(&*volume.source, volume.at(located.offset, located.length));
    let at = bytes.at;
    // Where pages were found by their shape, nothing says where their header was.
    let is_headed = located.found_by != FoundBy::Pages;
    let header = is_headed.then(|| TreeHeader::read(&bytes, findings)).flatten();
    let pointer_base = header.as_ref().and_then(|header| {
        // Counted from the start of the disk, or of the file or part of a disk that holds the tree.
        [volume.extent.offset(), at.offset(), 0]
            .into_iter()
            .find(|base| header.leads_inside(*base, at))
    });
    let mut reach = Reach::new(&bytes, pointer_base);
    reach.collect(header.as_ref());
    let mut tree = Tree {
        at,
        found_by: located.found_by,
        stated_bytes: located.stated_bytes,
        pointer_base,
        lists: reach.lists(),
        footer: footer(volume, header.as_ref(), pointer_base, at),
        leaves: Vec::new(),
        whole: true,
        header,
    };
    if tree.header.is_some() && pointer_base.is_none() {
        tree.whole = false;
        let text =
            "the pointers of this tree lead nowhere; its pages are taken from a scan of its area";
        findings.note(FindingKind::DamagedIndex, at, text);
    }
    tree.whole &= reach.report(findings);
    let mut slots = Vec::new();
    for found in reach.leaves() {
        let (leaf, is_sound) = read_leaf(&bytes, &found, &mut slots, findings);
        tree.whole &= is_sound;
        tree.leaves.push(leaf);
    }
    tree.whole &= count_entries(&tree, &slots, findings);
    (tree, slots)
}

/// Takes the entries of a leaf, those behind its count included where they have the shape of one.
fn read_leaf(
    bytes: &Patched,
    found: &leaves::Found,
    slots: &mut Vec<Slot>,
    findings: &mut Findings,
) -> (Leaf, bool) {
    let view = NodeView::at(bytes, found.offset);
    let mut leaf = Leaf {
        at: view.extent(),
        count: 0,
        node_type: view.node_type().unwrap_or(0),
        by_root: found.by_root,
        by_chain: found.by_chain,
        listed: found.listed,
        starts: None,
    };
    let (count, odd) = view.entry_count();
    leaf.count = count;
    if let Some(odd) = &odd {
        findings.note(FindingKind::DamagedIndex, leaf.at, format!("leaf page: {odd}"));
    }
    let mut lost = 0u32;
    let mut is_broken = false;
    for number in 0..node::ENTRIES_MAX {
        let in_count = number < count;
        let Some(raw) = view.entry(number) else {
            lost = lost.saturating_add(u32::from(in_count));
            continue;
        };
        if !in_count && !raw.is_in_use() {
            continue;
        }
        is_broken |= in_count && raw.is_broken();
        let listed = in_count && leaf.listed;
        let from = view.entry_offset(number);
        let at = bytes.at.slice(from, ENTRY_BYTES).unwrap_or(leaf.at);
        slots.push(Slot { at, raw, listed });
        if listed {
            let start = raw.start.get();
            let (low, high) = leaf.starts.unwrap_or((start, start));
            leaf.starts = Some((low.min(start), high.max(start)));
        }
    }
    if lost > 0 || is_broken {
        leaf.starts = None;
    }
    if lost > 0 {
        let text = format!("leaf page: {lost} of its {count} entries could not be read");
        findings.note(FindingKind::Hole, leaf.at, text);
    }
    (leaf, odd.is_none() && lost == 0 && !is_broken)
}

/// Compares what was found with what the header counts. More entries than blocks are not damage: a block may hold several recordings.
fn count_entries(tree: &Tree, slots: &[Slot], findings: &mut Findings) -> bool {
    let found = slots.iter().filter(|slot| slot.listed).count() as u64;
    let Some(stated) = tree.stated_entries().map(u64::from) else { return false };
    let missing = stated.saturating_sub(found);
    if missing > 0 {
        let text = format!(
            "the header of this tree counts {stated} entries, {found} were found: {missing} are missing"
        );
        findings.note(FindingKind::DamagedIndex, tree.at, text);
    }
    missing == 0
}

/// The footer, which holds the last leaf and all bits set (section 3.5); it may stand right behind the area.
fn footer(
    volume: &Volume,
    header: Option<&TreeHeader>,
    pointer_base: Option<u64>,
    at: Extent,
) -> Option<Extent> {
    let place = pointer_base?.checked_add(header?.footer)?;
    (place > at.offset() && place <= at.end()).then_some(())?;
    let extent = Extent::new(place, NODE_BYTES);
    let bytes = volume.source.read_array::<0x20>(place).ok()?;
    let is_pair = |start: usize| {
        let half = |from: usize| bytes.get(from..)?.first_chunk().map(|b| u64::from_le_bytes(*b));
        let leaf = half(start).and_then(|pointer| pointer.checked_add(pointer_base?));
        leaf.is_some_and(|leaf| at.contains(leaf))
            && half(start.saturating_add(8)) == Some(u64::MAX)
    };
    (is_pair(0) || is_pair(0x10)).then_some(extent)
}
