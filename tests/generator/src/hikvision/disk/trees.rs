//! The two copies of the tree, and which of them holds which entry.

use super::blocks::Fragment;
use super::geometry::Geometry;
use super::{DiskPlan, TreeChange};
use crate::Error;
use crate::civil::Moment;
use crate::hikvision::{ENTRY_BYTES, LeafEntry, WrittenTree, write_tree};
use crate::image::Image;
use crate::truth::{EntryCopy, EntryFacts, EntryState, Extent, StructureFact, TreeFacts};

/// From the initialisation to the time in the header of the trees.
const CREATED_AFTER_MS: i64 = 4000;

/// Whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A part of a recording.
    Fragment(usize),
    /// A block without one.
    Block(u32),
}

/// One copy of the tree as it was written.
pub(super) struct TreeCopy {
    number: u8,
    /// First byte.
    pub origin: u64,
    /// The nodes and entries within it.
    pub tree: WrittenTree,
    owners: Vec<(Owner, LeafEntry)>,
}

/// The entries of both copies in the order of their leaves, still without offsets.
pub(super) fn plan_entries(
    plan: &DiskPlan,
    geometry: &Geometry,
    fragments: &[Fragment],
) -> [Vec<(Owner, LeafEntry)>; 2] {
    [1, 2].map(|tree| entries_of(plan, geometry, fragments, tree))
}

fn entries_of(
    plan: &DiskPlan,
    geometry: &Geometry,
    fragments: &[Fragment],
    tree: u8,
) -> Vec<(Owner, LeafEntry)> {
    let change = |number: usize| {
        let recording = fragments[number].recording;
        let last = fragments.iter().rposition(|fragment| fragment.recording == recording);
        let edits = plan.tree_edits.iter();
        edits
            .filter(|edit| edit.tree == tree && edit.recording == recording)
            .find(|_| last == Some(number))
            .map(|edit| edit.change)
    };
    let mut entries = Vec::new();
    for (number, fragment) in fragments.iter().enumerate().filter(|(_, f)| f.live) {
        let change = change(number);
        if change == Some(TreeChange::Absent) {
            continue;
        }
        let open = fragment.open || change == Some(TreeChange::Open);
        let (start, end) = fragment.times();
        let entry = LeafEntry {
            state: if open { EntryState::Open } else { EntryState::Closed },
            channel: fragment.channel,
            start: Some(start).filter(|_| !open),
            end: Some(end).filter(|_| !open),
            block_offset: geometry.block(fragment.block),
        };
        entries.push((Owner::Fragment(number), fragment.block, entry));
    }
    for block in 0..plan.blocks {
        if entries.iter().any(|(_, used, _)| *used == block) {
            continue;
        }
        let reserved = plan.reserved.contains(&block);
        let entry = LeafEntry {
            state: if reserved { EntryState::Reserved } else { EntryState::Unused },
            channel: 0xFF,
            start: None,
            end: None,
            block_offset: geometry.block(block),
        };
        entries.push((Owner::Block(block), block, entry));
    }
    entries.sort_by_key(|(_, block, entry)| (entry.start.is_none(), entry.start, *block));
    entries.into_iter().map(|(owner, _, entry)| (owner, entry)).collect()
}

/// Size that both trees get.
pub(super) fn tree_bytes(plan: &DiskPlan, entries: &[Vec<(Owner, LeafEntry)>; 2]) -> u64 {
    let size = |entries: &Vec<(Owner, LeafEntry)>| {
        let entries: Vec<LeafEntry> = entries.iter().map(|(_, entry)| *entry).collect();
        write_tree(&plan.variants.tree, 0, plan.blocks, plan.initialised, &entries).stated_bytes
    };
    size(&entries[0]).max(size(&entries[1]))
}

/// Writes both copies.
pub(super) fn write_trees(
    plan: &DiskPlan,
    geometry: &Geometry,
    entries: [Vec<(Owner, LeafEntry)>; 2],
    image: &mut Image,
) -> Result<Vec<TreeCopy>, Error> {
    let created = plan.initialised.plus_ms(CREATED_AFTER_MS);
    let mut copies = Vec::with_capacity(2);
    for (n, owners) in entries.into_iter().enumerate() {
        let origin = geometry.trees[n];
        let leaf: Vec<LeafEntry> = owners.iter().map(|(_, entry)| *entry).collect();
        let tree = write_tree(&plan.variants.tree, origin, plan.blocks, created, &leaf);
        image.write(origin, &tree.bytes)?;
        copies.push(TreeCopy { number: n as u8 + 1, origin, tree, owners });
    }
    Ok(copies)
}

impl TreeCopy {
    fn is_on(&self, image: &Image, range: &std::ops::Range<usize>) -> bool {
        let at = self.origin + range.start as u64;
        at + range.len() as u64 <= image.len()
            && image.read(at, range.len()) == self.tree.bytes[range.clone()]
    }

    fn extent(&self, range: &std::ops::Range<usize>) -> Extent {
        [self.origin + range.start as u64, range.len() as u64]
    }

    /// The truth about its nodes.
    pub fn facts(&self, image: &Image) -> TreeFacts {
        let node = |range: &std::ops::Range<usize>| StructureFact {
            extent: self.extent(range),
            intact: self.is_on(image, range),
        };
        TreeFacts {
            tree: self.number,
            extent: [self.origin, self.tree.stated_bytes],
            nodes: self.tree.nodes.iter().map(node).collect(),
        }
    }

    /// The entry of `owner`, if this copy has one.
    fn entry(&self, owner: Owner, image: &Image) -> Option<EntryCopy> {
        let place = self.owners.iter().position(|(found, _)| *found == owner)?;
        let (entry, range) = (self.owners[place].1, &self.tree.entries[place]);
        debug_assert_eq!(range.len(), ENTRY_BYTES);
        Some(EntryCopy {
            tree: self.number,
            extent: self.extent(range),
            state: entry.state,
            channel: entry.channel,
            start: entry.start.map(Moment::second_text),
            end: entry.end.map(Moment::second_text),
            intact: self.is_on(image, range),
        })
    }
}

/// The entry of `owner` in all copies that have it.
pub(super) fn entry_facts(
    copies: &[TreeCopy],
    geometry: &Geometry,
    owner: Owner,
    block: u32,
    image: &Image,
) -> EntryFacts {
    EntryFacts {
        block,
        block_offset: geometry.block(block),
        copies: copies.iter().filter_map(|copy| copy.entry(owner, image)).collect(),
    }
}
