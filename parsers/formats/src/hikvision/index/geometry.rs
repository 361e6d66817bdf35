//! Where the blocks lie: by the master sector, or by a vote of the index entries, or by the values every disk seen has.
//!
//! Facts: `docs/formats/hikvision.md` sections 1, 6 and 12.

use std::collections::BTreeMap;

use daleel_core::{Extent, FindingKind, Findings, Reason, Volume};

use crate::hikvision::{
    master::{BLOCK_BYTES, BLOCK_BYTES_RANGE, BLOCKS_MAX, Master, VIDEO_BASE},
    tree::Slot,
};

/// The grid of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Start of the first block, offset in the volume.
    pub video_base: u64,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// What each of these rests on.
    pub reasons: Vec<Reason>,
}

impl Geometry {
    /// The grid that a master states.
    pub fn of_master(master: &Master) -> Option<Self> {
        if master.impossible_geometry().is_some() {
            return None;
        }
        let at = master.at.slice(0x78, 0x1C).unwrap_or(master.at);
        Some(Self {
            video_base: master.video_base,
            block_bytes: master.block_bytes,
            blocks: u64::from(master.blocks),
            reasons: vec![Reason::supporting(
                "block grid by the pointers of the master sector",
                at,
            )],
        })
    }

    /// The grid that the block offsets of the entries agree on.
    pub fn of_entries(offsets: &[u64], stated: Option<u64>, at: Extent) -> Option<Self> {
        let mut sorted: Vec<u64> =
            offsets.iter().copied().filter(|offset| *offset != 0 && *offset % 512 == 0).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let block_bytes = block_bytes(&sorted);
        let (residue, votes) = residue_vote(&sorted, block_bytes)?;
        let fits = |offset: u64| offset.checked_rem(block_bytes) == Some(residue);
        let mut agreeing = sorted.iter().filter(|offset| fits(**offset));
        let lowest = *agreeing.next()?;
        let highest = agreeing.next_back().copied().unwrap_or(lowest);
        let usual = fits(VIDEO_BASE) && VIDEO_BASE <= lowest;
        let video_base = if usual { VIDEO_BASE } else { lowest };
        let counted =
            highest.saturating_sub(video_base).checked_div(block_bytes)?.saturating_add(1);
        let blocks = counted.max(stated.unwrap_or(0).min(BLOCKS_MAX)).min(BLOCKS_MAX);
        let text = format!(
            "no usable master sector: {votes} of {} block offsets in the entries are 0x{residue:x} modulo {block_bytes} bytes; {}",
            sorted.len(),
            match usual {
                true => "the first block is where every disk seen has it",
                false => "the first block is the lowest that an entry names",
            }
        );
        let reasons = vec![Reason::supporting(text, at)];
        Some(Self { video_base, block_bytes, blocks, reasons })
    }

    /// The grid of the disks seen.
    pub fn by_constants(volume: &Volume) -> Option<Self> {
        let room = volume.extent.len().checked_sub(VIDEO_BASE)?;
        let at = volume.at(VIDEO_BASE, room);
        let text = "no usable master sector and no index entry: the block grid is the one every disk seen has";
        Some(Self {
            video_base: VIDEO_BASE,
            block_bytes: BLOCK_BYTES,
            blocks: room.checked_div(BLOCK_BYTES)?.clamp(1, BLOCKS_MAX),
            reasons: vec![Reason::against(text, at)],
        })
    }

    /// The grid of a tree in a file that names no block: the values of the disks seen.
    pub fn imagined(blocks: u64, at: Extent) -> Self {
        let text = "no entry names a block: the grid is the one every disk seen has";
        let reasons = vec![Reason::against(text, at)];
        let blocks = blocks.min(BLOCKS_MAX);
        Self { video_base: VIDEO_BASE, block_bytes: BLOCK_BYTES, blocks, reasons }
    }

    /// Bytes of the grid, offset in the volume.
    pub fn extent(&self) -> Extent {
        Extent::new(self.video_base, self.blocks.saturating_mul(self.block_bytes))
    }

    /// Why a block offset is none of this grid's, if so.
    pub fn objection(&self, block: u64) -> Option<String> {
        if !self.extent().contains(block) {
            return Some(format!("block 0x{block:x} is outside the video area"));
        }
        let within = block.saturating_sub(self.video_base).checked_rem(self.block_bytes)?;
        (within != 0).then(|| format!("block 0x{block:x} is not at the start of a block"))
    }
}

/// The grid of a disk: the master's, unless most entries say otherwise.
pub fn settle(
    volume: &Volume,
    masters: &[&Master],
    slots: &[Slot],
    stated: Option<u64>,
    findings: &mut Findings,
) -> Option<Geometry> {
    let offsets: Vec<u64> =
        slots.iter().filter(|slot| slot.listed).map(|slot| slot.raw.block.get()).collect();
    let at = slots.first().map_or(volume.at(0, 0), |slot| slot.at);
    let voted = || Geometry::of_entries(&offsets, stated, at);
    let agreeing = |geometry: &Geometry| {
        offsets.iter().filter(|offset| geometry.objection(**offset).is_none()).count()
    };
    // A master that its own entries contradict may be the damaged one of the two.
    let by_master = masters
        .iter()
        .filter_map(|master| Geometry::of_master(master))
        .map(|geometry| (agreeing(&geometry), geometry))
        .rev()
        .max_by_key(|(votes, _)| *votes);
    match by_master {
        Some((votes, geometry)) if votes.saturating_mul(2) >= offsets.len() => Some(geometry),
        Some((votes, geometry)) => {
            let mut voted = voted()?;
            let master = geometry.reasons.first().and_then(|reason| reason.at).unwrap_or(at);
            let text = format!(
                "the master sector states blocks of {} bytes from 0x{:x}, but only {votes} of {} entries fit them; blocks of {} bytes from 0x{:x} by the entries",
                geometry.block_bytes,
                geometry.video_base,
                offsets.len(),
                voted.block_bytes,
                voted.video_base
            );
            voted.reasons.push(Reason::against("the master sector states another grid", master));
            findings.note(FindingKind::DamagedIndex, master, text);
            Some(voted)
        }
        None => {
            let geometry = voted().or_else(|| Geometry::by_constants(volume))?;
            let text = geometry.reasons.first().map_or(String::new(), |reason| reason.text.clone());
            let place = geometry.reasons.first().and_then(|reason| reason.at).unwrap_or(at);
            findings.note(FindingKind::Inferred, place, text);
            Some(geometry)
        }
    }
}

/// Block size: what divides all distances between blocks, or most of them where an offset is damaged.
fn block_bytes(sorted: &[u64]) -> u64 {
    let distances =
        || sorted.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let is_size = |size: &u64| BLOCK_BYTES_RANGE.contains(size) && size.is_power_of_two();
    let common = distances().fold(0, gcd);
    // Where few entries survive, their blocks may lie several blocks apart.
    if common != 0 && common % BLOCK_BYTES == 0 {
        return BLOCK_BYTES;
    }
    if is_size(&common) {
        return common;
    }
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for distance in distances().filter(is_size) {
        let count = counts.entry(distance).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(BLOCK_BYTES, |(size, _)| size)
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// The most common remainder, and how many offsets have it.
fn residue_vote(sorted: &[u64], block_bytes: u64) -> Option<(u64, usize)> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for offset in sorted {
        let count = counts.entry(offset.checked_rem(block_bytes)?).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grid_follows_from_the_entries_alone() {
        let offsets: Vec<u64> = (0..20).map(|n| VIDEO_BASE + n * BLOCK_BYTES).collect();
        let grid = Geometry::of_entries(&offsets, Some(148), Extent::new(0, 1)).unwrap();
        assert_eq!(
            (grid.video_base, grid.block_bytes, grid.blocks),
            (VIDEO_BASE, BLOCK_BYTES, 148)
        );
        let small: Vec<u64> = (3..9).map(|n| 0x10_0200 + n * (1 << 20)).collect();
        let grid = Geometry::of_entries(&small, None, Extent::new(0, 1)).unwrap();
        assert_eq!((grid.video_base, grid.block_bytes, grid.blocks), (0x40_0200, 1 << 20, 6));
    }

    proptest! {
        /// Damaged offsets do not move the grid.
        #[test]
        fn a_few_damaged_offsets_do_not_move_it(
            damaged in prop::collection::vec(any::<u64>(), 0..5),
        ) {
            let mut offsets: Vec<u64> = (0..30).map(|n| VIDEO_BASE + n * BLOCK_BYTES).collect();
            offsets.extend(damaged);
            let grid = Geometry::of_entries(&offsets, None, Extent::new(0, 1)).unwrap();
            prop_assert_eq!((grid.video_base, grid.block_bytes), (VIDEO_BASE, BLOCK_BYTES));
            prop_assert!(grid.blocks >= 30 && grid.blocks <= BLOCKS_MAX);
        }
    }
}
