//! The index of whole disks: both readings of the format, and what damage costs.

use std::{sync::Arc, time::Instant};

use daleel_core::{Extent, FindingKind, Source, Volume};
use proptest::prelude::*;

use super::disk::{BASE, GIB, Item, Plan, Sparse};
use crate::hikvision::{
    describe,
    index::{Entry, EntryState, Index, read_tree_file},
};

fn read(disk: &Sparse) -> Index {
    Index::read(&disk.volume()).unwrap()
}

fn count(index: &Index, kind: FindingKind) -> u64 {
    index.findings.counts().get(&kind).copied().unwrap_or(0)
}

fn fact<'a>(index: &'a Index, name: &str) -> &'a str {
    index.facts.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn live(index: &Index) -> Vec<&Entry> {
    index.entries.iter().filter(|entry| !entry.stale).collect()
}

/// I-2: both readings of the format give the same index, without a complaint, and the reading met is stated.
#[test]
fn both_readings_give_the_same_index() {
    for (second_reading, gap) in [(false, 0), (true, 0), (true, 0x3200), (false, 0x1000)] {
        let mut plan = Plan::new(148, 100);
        plan.second_reading = second_reading;
        plan.gap = gap;
        let index = read(&plan.write().0);
        assert!(index.findings.is_empty(), "{:?}", index.findings);
        assert_eq!(index.entries.len(), 101);
        assert_eq!(index.unused_blocks, 47);
        let geometry = &index.geometry;
        assert_eq!((geometry.video_base, geometry.block_bytes, geometry.blocks), (BASE, GIB, 148));
        for entry in &index.entries {
            assert_eq!(entry.copies.len(), 2);
            assert!(!entry.conflict && !entry.stale && entry.reasons.is_empty(), "{entry:?}");
        }
        assert_eq!(index.entries.last().unwrap().state, EntryState::Open);
        assert_eq!(
            fact(&index, "tree 1, node type of leaves"),
            if second_reading { "[0]" } else { "[2]" }
        );
        let zero = fact(&index, "master fields +70h and +80h").starts_with("zero");
        assert_eq!(zero, second_reading);
        assert!(index.trees.iter().all(|tree| tree.whole && tree.footer.is_some()));
    }
}

/// I-5: without any master sector the grid follows from the entries, and the trees from the end of the disk.
#[test]
fn without_masters_trees_and_grid_are_found() {
    let (mut disk, _) = Plan::new(30, 10).write();
    disk.put(0x200, &[0; 256]);
    disk.put(0x4C5_6000, &[0; 256]);
    let index = read(&disk);
    assert!(index.master.is_none());
    assert_eq!((index.entries.len(), index.unused_blocks, index.trees.len()), (11, 19, 2));
    let geometry = &index.geometry;
    assert_eq!((geometry.video_base, geometry.block_bytes, geometry.blocks), (BASE, GIB, 30));
    assert!(geometry.reasons[0].text.contains("30 of 30"), "{:?}", geometry.reasons);
    assert!(count(&index, FindingKind::Inferred) >= 2);
}

/// I-5: a master that is gone costs a finding, nothing else; one that lies is caught by its own checks.
#[test]
fn one_master_is_enough() {
    let (disk, _) = Plan::new(30, 10).write();
    for at in [0x200, 0x4C5_6000] {
        let mut disk = disk.clone();
        disk.put(at, &[0; 256]);
        let index = read(&disk);
        assert_eq!((index.entries.len(), count(&index, FindingKind::CopyMismatch)), (11, 1));
        let mut disk = disk.clone();
        disk.holes.push(Extent::new(at, 512));
        assert_eq!(read(&disk).entries.len(), 11);
    }
    for (field, value) in [(0x78, 0x1234_5600), (0x98, 0x1000), (0x88, 0), (0x90, 1 << 40)] {
        let mut disk = disk.clone();
        disk.put_u64(0x200 + field, value);
        let index = read(&disk);
        assert_eq!(index.entries.len(), 11, "{field:x}");
        assert_eq!(index.geometry.video_base, BASE);
        assert!(live(&index).iter().all(|e| !matches!(e.state, EntryState::Damaged(_))));
        assert!(count(&index, FindingKind::CopyMismatch) > 0);
    }
}

/// The copy is also found where no constant says.
#[test]
fn a_copy_of_the_master_anywhere_behind_the_logs_is_found() {
    let mut plan = Plan::new(30, 10);
    plan.with_backup = false;
    let (mut disk, _) = plan.write();
    let master = disk.volume().read(0x200, 256).unwrap();
    disk.put(0x4C5_5E00 + 0x2400, &master);
    disk.put(0x200, &[0; 256]);
    assert_eq!(read(&disk).master.unwrap().at.offset(), 0x4C5_8200);
}

/// I-5: one lost copy of the tree is one finding, not one for each entry.
#[test]
fn one_tree_is_enough() {
    for lost in [0, 1] {
        let (mut disk, layout) = Plan::new(148, 100).write();
        disk.put(layout.trees[lost], &vec![0; layout.tree_bytes as usize]);
        let index = read(&disk);
        assert_eq!((index.entries.len(), index.unused_blocks), (101, 47));
        assert!(index.entries.iter().all(|entry| !entry.conflict && entry.reasons.is_empty()));
        assert_eq!(count(&index, FindingKind::CopyMismatch), 1, "{:?}", index.findings);
    }
}

/// I-5: where pointers are gone, the search at the end of the disk finds the trees.
#[test]
fn trees_are_found_without_pointers() {
    let (mut disk, _) = Plan::new(30, 10).write();
    for at in [0x200, 0x4C5_6000] {
        disk.put_u64(at + 0x98, 0);
        disk.put_u64(at + 0xA8, u64::MAX - 5);
    }
    let index = read(&disk);
    assert_eq!((index.trees.len(), index.entries.len()), (2, 11));
    assert_eq!(index.entries[0].copies.len(), 2);
}

/// I-5: a page that cannot be read costs itself in that copy; the other copy has its entries, and nobody calls that a conflict.
#[test]
fn an_unreadable_page_is_no_conflict() {
    let (mut disk, layout) = Plan::new(148, 100).write();
    disk.holes.push(Extent::new(layout.leaves[0][1], 4096));
    let index = read(&disk);
    assert_eq!((index.entries.len(), index.unused_blocks), (101, 47));
    assert!(index.entries.iter().all(|entry| !entry.conflict));
    let single = index.entries.iter().filter(|entry| entry.copies.len() == 1).count();
    assert_eq!(single, 42);
    assert!(
        index.findings.iter().any(|f| f.text.contains("42 are missing")),
        "{:?}",
        index.findings
    );
    assert!(count(&index, FindingKind::Hole) > 0);
    // The same page in both copies: those entries are gone, the others stay.
    disk.holes.push(Extent::new(layout.leaves[1][1], 4096));
    let index = read(&disk);
    assert_eq!(index.entries.len(), 101 - 42);
    assert!(index.entries.iter().all(|entry| entry.copies.len() == 2));
}

/// A bad sector inside a page costs the entries on it.
#[test]
fn a_bad_sector_of_a_page_costs_its_entries_only() {
    let (mut disk, layout) = Plan::new(148, 100).write();
    for leaves in &layout.leaves {
        disk.holes.push(Extent::new(leaves[0] + 1024, 512));
    }
    let index = read(&disk);
    assert!(index.entries.len() >= 101 - 12 && index.entries.len() < 101);
    assert!(index.findings.iter().any(|f| f.text.contains("of its 42 entries could not be read")));
}

/// Page lists and chain may be damaged: what leads to the leaves otherwise still does, and the disagreement is stated.
#[test]
fn leaves_are_found_three_ways() {
    let (disk, layout) = Plan::new(148, 100).write();
    type Damage<'a> = &'a dyn Fn(&mut Sparse, u64, &[u64]);
    let damages: [Damage<'_>; 4] = [
        &|disk, tree, _| disk.put(tree + 4096, &[0; 4096]),
        &|disk, _, leaves| disk.put_u64(leaves[1] + 0x20, 0xDEAD_BEEF),
        &|disk, tree, leaves| {
            disk.put(tree + 4096, &[0xFF; 4096]);
            disk.put_u64(leaves[1] + 0x20, leaves[0]);
        },
        &|disk, tree, _| disk.put(tree + 0x40, &[0xEE; 0x20]),
    ];
    for damage in damages {
        let mut disk = disk.clone();
        for (tree, leaves) in layout.trees.iter().zip(&layout.leaves) {
            damage(&mut disk, *tree, leaves);
        }
        let index = read(&disk);
        assert_eq!((live(&index).len(), index.unused_blocks), (101, 47), "{:?}", index.findings);
        assert!(count(&index, FindingKind::DamagedIndex) >= 2);
        assert!(index.trees.iter().all(|tree| !tree.whole));
    }
}

/// I-5: an entry that one copy holds as open and the other as closed is one entry in conflict, the closed version counting.
#[test]
fn two_versions_are_one_entry() {
    let mut plan = Plan::new(30, 10);
    plan.copies[1][9] = Item::open(BASE + 9 * GIB, plan.copies[0][9].channel);
    plan.copies[1][4].end += 50;
    let index = read(&plan.write().0);
    assert_eq!(index.entries.len(), 11);
    let conflicts: Vec<&Entry> = index.entries.iter().filter(|entry| entry.conflict).collect();
    let [later, closed] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!((closed.state.clone(), closed.block), (EntryState::Closed, BASE + 9 * GIB));
    assert!(closed.reasons[0].text.contains("not closed"), "{:?}", closed.reasons);
    assert_eq!(later.raw_end - later.raw_start, 650);
    assert_eq!((later.copies.len(), later.at), (2, later.copies[0]));
    assert!(index.entries.iter().filter(|entry| !entry.conflict).all(|e| e.copies.len() == 2));
}

/// I-5: an entry in one whole copy only is in conflict; several entries in one block are not.
#[test]
fn an_entry_in_one_copy_only_is_in_conflict() {
    let mut plan = Plan::new(30, 10);
    let second = Item::closed(BASE + 3 * GIB, 2, 1_700_000_000 + 3 * 700 + 610);
    for items in &mut plan.copies {
        items.insert(4, second);
    }
    plan.copies[0][10] = Item::closed(BASE + 9 * GIB, 3, 1_700_000_000 + 9 * 700 + 5);
    let index = read(&plan.write().0);
    let block: Vec<&Entry> = index.entries.iter().filter(|e| e.block == BASE + 3 * GIB).collect();
    assert_eq!(block.len(), 2);
    assert!(block.iter().all(|entry| !entry.conflict));
    let disputed: Vec<&Entry> = index.entries.iter().filter(|entry| entry.conflict).collect();
    assert_eq!(disputed.len(), 2);
    assert!(disputed.iter().all(|entry| entry.copies.len() == 1 && entry.block == BASE + 9 * GIB));
}

/// An entry that was written over in one copy is whole in the other: damage, and no conflict.
#[test]
fn an_entry_written_over_in_one_copy_is_no_conflict() {
    let (mut disk, layout) = Plan::new(30, 10).write();
    disk.put(layout.leaves[1][0] + 0x60 + 48 * 3, &[0x47; 48]);
    let index = read(&disk);
    assert_eq!(index.entries.len(), 12);
    assert!(index.entries.iter().all(|entry| !entry.conflict), "{:?}", index.findings);
    let single: Vec<&Entry> = index.entries.iter().filter(|e| e.copies.len() == 1).collect();
    assert_eq!(single.len(), 2);
    assert!(single.iter().all(|entry| !entry.reasons.is_empty()));
}

/// I-5: headers of both copies, master sectors and a page are gone: what pages are left are found by their shape.
#[test]
fn pages_alone_are_found_by_their_shape() {
    let (mut disk, layout) = Plan::new(148, 100).write();
    for at in [0x200, 0x4C5_6000] {
        disk.put(at, &[0; 256]);
    }
    disk.put(layout.trees[0], &vec![0; layout.tree_bytes as usize]);
    disk.put(layout.trees[1], &[0; 0x2000]);
    disk.put(layout.leaves[1][1], &[0; 4096]);
    let index = read(&disk);
    assert_eq!(live(&index).len(), 101 - 42);
    assert!(index.entries.iter().all(|entry| entry.reasons.is_empty()));
    assert_eq!((index.geometry.video_base, index.geometry.block_bytes), (BASE, GIB));
    assert!(index.findings.iter().any(|f| f.text.contains("by their shape")));
}

/// slots behind the entry count are no longer listed; those that repeat a listed entry are not told again.
#[test]
fn slots_behind_the_count_are_stale() {
    let (mut disk, layout) = Plan::new(30, 10).write();
    let old = Item::closed(BASE + 5 * GIB, 3, 1_600_000_000);
    let repeated = Plan::new(30, 10).copies[0][2];
    for leaves in &layout.leaves {
        disk.put(leaves[0] + 0x60 + 48 * 30, &old.bytes());
        disk.put(leaves[0] + 0x60 + 48 * 31, &repeated.bytes());
        disk.put(leaves[0] + 0x60 + 48 * 32, &Item::unused(BASE).bytes());
        disk.put(leaves[0] + 0x60 + 48 * 33, &[0x55; 48]);
    }
    let index = read(&disk);
    let stale: Vec<&Entry> = index.entries.iter().filter(|entry| entry.stale).collect();
    let [entry] = stale.as_slice() else { panic!("{stale:?}") };
    assert_eq!((entry.raw_start, entry.copies.len(), entry.conflict), (1_600_000_000, 2, false));
    assert_eq!((live(&index).len(), count(&index, FindingKind::NotListed)), (11, 1));
}

/// Entries that contradict the disk are damaged, never dropped.
#[test]
fn entries_outside_the_grid_are_damaged_and_kept() {
    let mut plan = Plan::new(30, 10);
    for items in &mut plan.copies {
        items[2].block = 0x1000;
        items[3].block += 512;
        items[5].end = items[5].start - 1;
        items[6].state = 3;
    }
    let index = read(&plan.write().0);
    assert_eq!(index.entries.len(), 11);
    let damaged =
        index.entries.iter().filter(|e| matches!(e.state, EntryState::Damaged(_))).count();
    assert_eq!(damaged, 2);
    assert!(index.entries.iter().all(|entry| entry.channel.is_some()));
    let conflicts = index.entries.iter().filter(|entry| entry.self_conflict).count();
    assert_eq!(conflicts, 2, "what only contradicts itself is delivered");
}

/// An image that lost its end says so; the grid is still known.
#[test]
fn a_truncated_image_says_what_is_missing() {
    let (mut disk, _) = Plan::new(30, 10).write();
    disk.len = BASE + 20 * GIB;
    let index = read(&disk);
    assert_eq!((index.entries.len(), index.trees.len(), index.geometry.blocks), (0, 0, 30));
    let text = "the copies of the index lie at the end";
    assert!(index.findings.iter().any(|f| f.kind == FindingKind::Hole && f.text.contains(text)));
}

/// An older tree near the end of the disk is not mixed with the one in use.
#[test]
fn a_tree_of_an_earlier_initialisation_is_told_apart() {
    let (mut disk, layout) = Plan::new(30, 10).write();
    let old = disk.volume().read(layout.trees[0], layout.tree_bytes).unwrap();
    let place = disk.len - 0x8000;
    disk.put(place, &old);
    disk.put_u32(place + 0x3C, 0x5000_0000);
    for at in [0x200, 0x4C5_6000] {
        disk.put(at, &[0; 256]);
    }
    let index = read(&disk);
    assert_eq!((index.trees.len(), index.entries.len()), (2, 11));
    assert_eq!(count(&index, FindingKind::NotListed), 1, "{:?}", index.findings);
}

/// A tree as recorders write it to a share: pointers count from the start of the file.
#[test]
fn a_tree_in_a_file_is_read() {
    let (disk, layout) = Plan::new(30, 10).write();
    let tree = layout.trees[0];
    let mut bytes = disk.volume().read(tree, layout.tree_bytes).unwrap();
    let mut shift = |at: u64| {
        let place = &mut bytes[at as usize..at as usize + 8];
        let value = u64::from_le_bytes(place.try_into().unwrap());
        place.copy_from_slice(&value.wrapping_sub(tree).to_le_bytes());
    };
    for at in [0x40, 0x48, 0x50, 0x58, 0x1018] {
        shift(at);
    }
    let source: Arc<dyn Source> = Arc::new(bytes);
    let file = read_tree_file(&source).unwrap();
    assert_eq!((file.entries.len(), file.unused_blocks), (11, 19));
    assert!(file.findings.is_empty() && file.tree.whole, "{:?}", file.findings);
    assert_eq!((file.geometry.video_base, file.geometry.blocks), (BASE, 30));
    let shown = describe::tree_file(&file.tree, &source, 0x2060).unwrap();
    assert_eq!((shown.len(), shown[1].name.as_str()), (2, "index entry 0"));
    let not: Arc<dyn Source> = Arc::new(vec![0u8; 100]);
    assert!(read_tree_file(&not).is_err());
}

/// A partition or an image with something in front: all extents count on the medium.
#[test]
fn a_shifted_volume_reports_offsets_of_the_medium() {
    let (disk, layout) = Plan::new(30, 10).write();
    const SHIFT: u64 = 1 << 20;
    struct Shifted(Sparse);
    impl Source for Shifted {
        fn len(&self) -> u64 {
            self.0.len + SHIFT
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), daleel_core::ReadError> {
            self.0.read_exact_at(offset.saturating_sub(SHIFT), buf)
        }
    }
    let extent = Extent::new(SHIFT, disk.len);
    let volume = Volume { source: Arc::new(Shifted(disk)), extent };
    let index = Index::read(&volume).unwrap();
    assert_eq!(index.entries.len(), 11);
    assert_eq!(index.entries[0].at.offset(), layout.leaves[0][0] + 0x60 + SHIFT);
    assert_eq!(index.entries[0].block, BASE);
}

#[test]
fn nothing_leads_to_nothing() {
    let mut disk = Sparse::default();
    disk.len = 1 << 40;
    assert!(Index::read(&disk.volume()).is_err());
}

/// I-3: a listing reads index pages only, however large the disk is.
#[test]
fn the_index_of_a_large_disk_is_read_quickly() {
    for (blocks, used) in [(10_000, 9_990), (65_536, 65_000)] {
        let disk = Plan::new(blocks, used).write().0;
        let volume = disk.volume();
        let started = Instant::now();
        let index = Index::read(&volume).unwrap();
        let took = started.elapsed();
        assert_eq!(index.entries.len() as u64, used + 1);
        assert!(index.findings.is_empty(), "{:?}", index.findings);
        println!("{blocks} blocks: {took:?}");
        assert!(took.as_millis() < 1500, "{took:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// no damage to the index areas makes reading fail, loop, or place an entry outside the disk.
    #[test]
    fn any_damage_is_survived(
        damages in prop::collection::vec((0u64..0x9000, prop::collection::vec(any::<u8>(), 1..64)), 1..12),
        master in prop::collection::vec((0x40u64..0x100, any::<u64>()), 0..4),
        hole in 0u64..0x9000,
    ) {
        let (mut disk, layout) = Plan::new(148, 100).write();
        for (at, bytes) in damages {
            disk.put(layout.trees[0] + at, &bytes);
        }
        for (at, value) in master {
            disk.put_u64(0x200 + at, value);
        }
        disk.holes.push(Extent::new(layout.trees[1] + hole, 700));
        if let Ok(index) = Index::read(&disk.volume()) {
            for entry in &index.entries {
                prop_assert!(entry.at.end() <= disk.len);
                prop_assert!(entry.copies.contains(&entry.at));
            }
        }
    }
}
