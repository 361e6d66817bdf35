//! Which chunks of the medium a group has.
//!
//! No structure numbers the chunks: a group begins where the one before it ends. Behind a missing segment only the end
//! of the medium tells where a group lies, and only while nothing else is unknown up to it.

use std::ops::Range;

use daleel_core::Hole;

use super::{finding::Notebook, groups::Item, set::about_set, tables::Group};

/// Groups at their places, and ranges of chunks that no group has.
pub(super) struct Layout {
    /// Ascending, without overlaps.
    pub(super) groups: Vec<Group>,
    /// Ascending ranges of chunk numbers.
    pub(super) holes: Vec<(Range<u64>, Hole)>,
}

/// Places the groups of a medium of `chunks` chunks. `is_ended` says that the last item is the end of the medium.
pub(super) fn place(mut items: Vec<Item>, chunks: u64, is_ended: bool, notes: &Notebook) -> Layout {
    let known = items.iter().fold(0u64, |sum, item| match item {
        Item::Known(group) => sum.saturating_add(group.chunks),
        Item::Unknown(_) => sum,
    });
    if known == chunks {
        // All are there, so nothing is missing where something could be.
        items.retain(|item| matches!(item, Item::Known(_)));
    }
    let first_gap = items.iter().position(|item| matches!(item, Item::Unknown(_)));
    let behind = items.split_off(first_gap.unwrap_or(items.len()));
    let mut layout = Layout { groups: Vec::new(), holes: Vec::new() };
    let mut at = layout.line_up(0, items, chunks);
    if known > chunks {
        let found = format!("tables of {known} chunks");
        notes.add(about_set("tables", found, format!("{chunks}, as the size of the medium says")));
    }
    let mut kind = if is_ended { Hole::Damaged } else { Hole::MissingPiece };
    if first_gap.is_some() {
        let is_missing = behind.iter().any(|item| matches!(item, Item::Unknown(true)));
        kind = if is_missing || !is_ended { Hole::MissingPiece } else { Hole::Damaged };
        at = layout.line_up_behind(at, behind, chunks, (kind, is_ended), notes);
    }
    if at < chunks {
        if first_gap.is_none() {
            let found = format!("tables of {known} chunks");
            notes.add(about_set(
                "tables",
                found,
                format!("{chunks}, as the size of the medium says"),
            ));
        }
        layout.holes.push((at..chunks, kind));
    }
    layout
}

impl Layout {
    /// Places groups one behind the other from chunk `at` on; gives where the last one ends.
    fn line_up(&mut self, mut at: u64, items: Vec<Item>, chunks: u64) -> u64 {
        for item in items {
            let Item::Known(mut group) = item else { continue };
            group.first = at;
            group.chunks = group.chunks.min(chunks.saturating_sub(at));
            at = at.saturating_add(group.chunks);
            if group.chunks > 0 {
                self.groups.push(group);
            }
        }
        at
    }

    /// Places what stands behind the first gap: what follows the last gap ends with the medium, what stands between
    /// gaps has no known place.
    fn line_up_behind(
        &mut self,
        at: u64,
        mut items: Vec<Item>,
        chunks: u64,
        (kind, is_ended): (Hole, bool),
        notes: &Notebook,
    ) -> u64 {
        let last_gap = items.iter().rposition(|item| matches!(item, Item::Unknown(_)));
        let tail = items.split_off(last_gap.map_or(0, |last| last.saturating_add(1)));
        let count = |items: &[Item]| {
            items.iter().fold(0u64, |sum, item| match item {
                Item::Known(group) => sum.saturating_add(group.chunks),
                Item::Unknown(_) => sum,
            })
        };
        let start = chunks.checked_sub(count(&tail)).filter(|start| is_ended && *start >= at);
        let unplaced = count(&items).saturating_add(if start.is_none() { count(&tail) } else { 0 });
        if unplaced > 0 {
            let found = format!("{unplaced} chunks behind a gap of unknown length");
            notes.add(about_set("tables", found, "a set without gaps; these chunks are not used"));
        }
        let Some(start) = start else { return at };
        if start > at {
            self.holes.push((at..start, kind));
        }
        self.line_up(start, tail, chunks)
    }
}
