//! The leaves of a tree, collected by its page lists, by the chain of leaves, and by a scan of its area.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.2, 3.3, 3.6 and 12.

use std::collections::{BTreeMap, BTreeSet};

use daleel_core::{Extent, FindingKind, Findings};

use super::{
    SIGNATURE,
    header::TreeHeader,
    node::{ENTRIES_MAX, NODE_BYTES, NodeView},
};
use crate::hikvision::{entry::NOTHING, index::bytes::Patched};

/// Most nodes that are followed (section 12).
const NODES_MAX: usize = 16_384;
/// Deepest page list followed; the trees seen have one level of them.
const DEPTH_MAX: u32 = 8;
const UNREADABLE: &str = "could not be read";
const ZEROED: &str = "holds zeros only";

/// A leaf and what leads to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// From the start of the tree.
    pub offset: u64,
    /// A page list leads to it.
    pub by_root: bool,
    /// The chain leads to it.
    pub by_chain: bool,
    /// False where both are whole and neither leads to it.
    pub listed: bool,
}

/// The search for leaves.
pub struct Reach<'a> {
    bytes: &'a Patched,
    base: Option<u64>,
    by_root: BTreeSet<u64>,
    by_chain: BTreeSet<u64>,
    by_scan: BTreeSet<u64>,
    lists: BTreeSet<u64>,
    /// Nodes that a pointer leads to and that cannot be read, or are none.
    lost: BTreeMap<u64, &'static str>,
    root_is_whole: bool,
    chain_is_whole: bool,
}

impl<'a> Reach<'a> {
    /// A search in the bytes of a tree whose pointers count from `base`.
    pub fn new(bytes: &'a Patched, base: Option<u64>) -> Self {
        Self {
            bytes,
            base,
            by_root: BTreeSet::new(),
            by_chain: BTreeSet::new(),
            by_scan: BTreeSet::new(),
            lists: BTreeSet::new(),
            lost: BTreeMap::new(),
            root_is_whole: false,
            chain_is_whole: false,
        }
    }

    /// Collects leaves in all three ways.
    pub fn collect(&mut self, header: Option<&TreeHeader>) {
        if let Some(header) = header {
            self.root_is_whole = self.follow_lists(header.root);
            self.chain_is_whole = self.follow_chain(header.first_leaf);
        }
        self.scan();
    }

    fn node(&self, offset: u64) -> NodeView<'a> {
        NodeView::at(self.bytes, offset)
    }

    /// A pointer as an offset from the start of the tree, if it leads to a node of it.
    fn place(&self, pointer: u64) -> Option<u64> {
        let place = self.base?.checked_add(pointer)?.checked_sub(self.bytes.at.offset())?;
        let is_inside = self.bytes.at.slice(place, NODE_BYTES).is_some();
        (is_inside && place >= NODE_BYTES && place % 512 == 0).then_some(place)
    }

    /// Follows the page lists to their leaves; false when a part of them is missing.
    fn follow_lists(&mut self, root: u64) -> bool {
        let mut is_whole = true;
        let mut open = vec![(Some(root), 0u32)];
        while let Some((pointer, depth)) = open.pop() {
            let Some(offset) = pointer.and_then(|pointer| self.place(pointer)) else {
                is_whole = false;
                continue;
            };
            let node = self.node(offset);
            if !node.is_readable() {
                self.lost.insert(offset, UNREADABLE);
                is_whole = false;
                continue;
            }
            if node.is_zeroed() {
                self.lost.insert(offset, ZEROED);
                is_whole = false;
                continue;
            }
            let (count, odd) = node.entry_count();
            if node.is_leaf() || (depth > 0 && count == 0) {
                self.by_root.insert(offset);
                continue;
            }
            let left_most = node.left_most();
            if depth > 0 && left_most.and_then(|pointer| self.place(pointer)).is_none() {
                self.lost.insert(offset, "is no node");
                is_whole = false;
                continue;
            }
            if depth >= DEPTH_MAX || self.lists.len() >= NODES_MAX || !self.lists.insert(offset) {
                is_whole = false;
                continue;
            }
            is_whole &= odd.is_none();
            let below = depth.saturating_add(1);
            open.push((left_most, below));
            open.extend((0..count.min(ENTRIES_MAX)).map(|number| {
                let child = node.entry(number).map(|entry| entry.link.get());
                (child, below)
            }));
            // A list too long for one page may go on in a further one.
            let next = node.next().filter(|pointer| self.place(*pointer).is_some());
            open.extend(next.map(|next| (Some(next), depth)));
        }
        is_whole
    }

    /// Follows the chain; false when it breaks.
    fn follow_chain(&mut self, first: u64) -> bool {
        let mut pointer = first;
        while let Some(offset) = self.place(pointer) {
            let node = self.node(offset);
            if !node.is_readable() {
                self.lost.insert(offset, UNREADABLE);
                return false;
            }
            if node.is_zeroed() {
                self.lost.insert(offset, ZEROED);
                return false;
            }
            if !node.is_leaf() && node.entry_count().0 != 0 {
                self.lost.insert(offset, "is no leaf");
                return false;
            }
            if self.by_chain.len() >= NODES_MAX || !self.by_chain.insert(offset) {
                return false;
            }
            match node.next() {
                Some(NOTHING) => return true,
                Some(next) => pointer = next,
                None => return false,
            }
        }
        false
    }

    /// Looks at every node of the area; stops at another tree.
    fn scan(&mut self) {
        let nodes = self.bytes.at.len() / NODE_BYTES;
        for number in 1..nodes {
            let offset = number.saturating_mul(NODE_BYTES);
            if self.bytes.get(offset, 0x18).and_then(|head| head.get(0x10..)) == Some(SIGNATURE) {
                return;
            }
            if self.node(offset).is_leaf() && !self.lists.contains(&offset) {
                self.by_scan.insert(offset);
            }
        }
    }

    /// True when page lists and chain are whole and lead to the same leaves.
    fn is_settled(&self) -> bool {
        self.root_is_whole && self.chain_is_whole && self.by_root == self.by_chain
    }

    /// Page lists, ascending.
    pub fn lists(&self) -> Vec<Extent> {
        self.lists.iter().map(|offset| self.node(*offset).extent()).collect()
    }

    /// All leaves, ascending.
    pub fn leaves(&self) -> Vec<Found> {
        let all: BTreeSet<u64> =
            self.by_root.iter().chain(&self.by_chain).chain(&self.by_scan).copied().collect();
        let is_settled = self.is_settled();
        all.into_iter()
            .map(|offset| {
                let by_root = self.by_root.contains(&offset);
                let by_chain = self.by_chain.contains(&offset);
                let listed = by_root || by_chain || !is_settled;
                Found { offset, by_root, by_chain, listed }
            })
            .collect()
    }

    /// Says where the three ways disagree and which nodes are lost; true when nothing is wrong.
    pub fn report(&self, findings: &mut Findings) -> bool {
        for (offset, why) in &self.lost {
            let at = self.node(*offset).extent();
            let kind = match *why {
                UNREADABLE => FindingKind::Hole,
                _ => FindingKind::DamagedIndex,
            };
            findings.note(kind, at, format!("a node of this tree that a pointer leads to {why}"));
        }
        let only_scan = self
            .by_scan
            .iter()
            .filter(|offset| !self.by_root.contains(offset) && !self.by_chain.contains(offset))
            .count();
        let is_bare =
            self.by_root.is_empty() && self.by_chain.is_empty() && self.by_scan.is_empty();
        if is_bare && !self.lost.is_empty() {
            return false;
        }
        if self.is_settled() && only_scan == 0 {
            return self.lost.is_empty();
        }
        let how = |is_whole: bool| if is_whole { "" } else { " (broken off)" };
        let text = format!(
            "leaf pages by the page list: {}{}, by the chain of leaves: {}{}, by a scan of the area: {}, {only_scan} of them by nothing else{}",
            self.by_root.len(),
            how(self.root_is_whole),
            self.by_chain.len(),
            how(self.chain_is_whole),
            self.by_scan.len(),
            if only_scan > 0 && self.is_settled() { "; those are no longer listed" } else { "" },
        );
        findings.note(FindingKind::DamagedIndex, self.bytes.at, text);
        self.is_settled() && self.lost.is_empty()
    }
}
