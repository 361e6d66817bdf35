//! Leaf pages by their shape alone, for trees whose header is gone.
//!
//! Facts: `docs/formats/hikvision.md` section 6, leaf entries. Pages may lie at any sector.

use std::collections::BTreeMap;

use daleel_core::Volume;

use super::{
    TREE_BYTES_RANGE,
    node::{NODE_BYTES, NodeView},
};
use crate::hikvision::index::bytes::Patched;

/// Bytes read at a time.
const STEP: u64 = 4 << 20;
const SECTOR_BYTES: u64 = 512;

/// Offsets of leaf pages in a range of the volume, ascending.
pub fn find_pages(volume: &Volume, start: u64, length: u64) -> Vec<u64> {
    let room = volume.source.len().saturating_sub(volume.extent.offset());
    let end = start.saturating_add(length).min(room);
    let Some(mut from) = start.checked_next_multiple_of(SECTOR_BYTES) else { return Vec::new() };
    let mut found: Vec<u64> = Vec::new();
    while from < end {
        // A page may begin near the end of a step.
        let take = end.saturating_sub(from).min(STEP.saturating_add(NODE_BYTES));
        let bytes = Patched::read(&*volume.source, volume.at(from, take));
        for sector in 0..take.min(STEP).div_ceil(SECTOR_BYTES) {
            let within = sector.saturating_mul(SECTOR_BYTES);
            let place = from.saturating_add(within);
            let is_behind =
                found.last().is_none_or(|last| last.saturating_add(NODE_BYTES) <= place);
            if is_behind && NodeView::at(&bytes, within).is_sound_leaf() {
                found.push(place);
            }
        }
        from = from.saturating_add(STEP);
    }
    found
}

/// Pages that may be of one tree, as offset and length: nodes of a tree lie a whole number of nodes apart. Most pages first.
pub fn groups(pages: &[u64]) -> Vec<(u64, u64)> {
    let mut phases: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for page in pages {
        phases.entry(page & 0xFFF).or_default().push(*page);
    }
    let mut groups: Vec<Vec<u64>> = phases.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let area = |group: Vec<u64>| {
        // A header stood before them, or another node: the scan of an area begins with its second node.
        let start = group.first()?.checked_sub(NODE_BYTES)?;
        let end = group.last()?.checked_add(NODE_BYTES)?;
        Some((start, end.checked_sub(start)?.min(*TREE_BYTES_RANGE.end())))
    };
    groups.into_iter().filter_map(area).collect()
}
