//! The index of a disk: block grid and entries, from the master sectors and both copies of the tree.
//!
//! Facts: `docs/formats/hikvision.md` sections 1 to 6, 12 and 17. Only index areas are read. Whatever is missing, damaged or contradictory is
//! said; nothing is left out for it.

pub mod bytes;
mod facts;
mod geometry;
mod merge;

use std::sync::Arc;

use daleel_core::{Extent, FindingKind, Findings, FormatError, Source, Volume};

pub use super::entry::{Entry, EntryState};
pub use geometry::Geometry;

use super::{
    log,
    master::{self, MASTER_BYTES, MASTER_OFFSET, Master, Masters},
    tree::{self, Slot, Tree},
};

/// The index of a disk.
#[derive(Clone, Debug)]
pub struct Index {
    /// The grid of blocks.
    pub geometry: Geometry,
    /// All entries but the never used, by start and block; reserved, damaged and no longer listed ones included.
    pub entries: Vec<Entry>,
    /// Blocks that were never used since the disk was initialised.
    pub unused_blocks: u64,
    /// The master sector that is believed.
    pub master: Option<Master>,
    /// The copies of the tree, by place.
    pub trees: Vec<Tree>,
    /// The structure for people.
    pub facts: Vec<(String, String)>,
    /// What was noticed.
    pub findings: Findings,
}

/// A tree that is stored in a file (section 9.3).
#[derive(Clone, Debug)]
pub struct TreeFile {
    /// The tree; its pointers count from the start of the file.
    pub tree: Tree,
    /// All entries but the never used; their block offsets are those of a disk that the recorder imagines.
    pub entries: Vec<Entry>,
    /// Blocks that were never used.
    pub unused_blocks: u64,
    /// The grid of the imagined disk: block number is (offset - base) / block size.
    pub geometry: Geometry,
    /// The structure for people.
    pub facts: Vec<(String, String)>,
    /// What was noticed.
    pub findings: Findings,
}

impl Index {
    /// Reads the index of a disk.
    ///
    /// # Errors
    /// When nothing at all leads to entries or to a block grid.
    pub fn read(volume: &Volume) -> Result<Self, FormatError> {
        let mut findings = Findings::default();
        let mut masters = Masters::read(volume, &mut findings);
        let mut located = tree::locate(volume, &known(&masters), &mut findings);
        let has_log = masters.best().is_some() || log::fixed_place(volume).is_some();
        if masters.best().is_none() && (has_log || !located.is_empty()) {
            masters = Masters::search(volume, &mut findings);
            if masters.best().is_some() {
                located = tree::locate(volume, &known(&masters), &mut findings);
            }
        }
        if masters.best().is_none() && located.is_empty() && !has_log {
            let at = volume.at(MASTER_OFFSET, MASTER_BYTES);
            let expected = "a master sector, or a HIKBTREE near the end of the disk";
            return Err(FormatError::field(
                master::STRUCTURE,
                at,
                "signature",
                "neither",
                expected,
            ));
        }
        note_master(&masters, volume, &mut findings);
        let copies = read_trees(volume, &located, &mut findings);
        let stated = copies.iter().find_map(|(tree, _)| tree.stated_entries()).map(u64::from);
        let slots: Vec<Slot> = copies.iter().flat_map(|(_, slots)| slots).copied().collect();
        let geometry = geometry::settle(volume, &known(&masters), &slots, stated, &mut findings)
            .ok_or_else(|| {
                let at = volume.at(MASTER_OFFSET, MASTER_BYTES);
                FormatError::field(master::STRUCTURE, at, "video area", "none", "a block grid")
            })?;
        let mut merged = merge::merge(&copies);
        for entry in &mut merged.entries {
            if let Some(why) = geometry.objection(entry.block) {
                entry.damage(why);
            }
        }
        let mut index = Self {
            geometry,
            entries: merged.entries,
            unused_blocks: merged.unused,
            master: masters.best().cloned(),
            trees: copies.into_iter().map(|(tree, _)| tree).collect(),
            facts: Vec::new(),
            findings,
        };
        note_entries(&index.entries, &mut index.findings);
        index.facts = facts::facts(&index, volume);
        Ok(index)
    }
}

/// Reads a tree that is stored in a file, as recorders write it on a share.
///
/// # Errors
/// When the file does not begin with a tree.
pub fn read_tree_file(source: &Arc<dyn Source>) -> Result<TreeFile, FormatError> {
    let volume = Volume::whole(source.clone());
    if !tree::has_signature(&volume, 0) {
        let at = volume.at(0, 0x70);
        let error = volume.source.read(at).err().map_or_else(
            || FormatError::field(tree::STRUCTURE, at, "signature", "another text", "HIKBTREE"),
            |error| FormatError::read(tree::STRUCTURE, error),
        );
        return Err(error);
    }
    let mut findings = Findings::default();
    let copies = vec![tree::read(&volume, &tree::of_file(&volume), &mut findings)];
    let stated = copies.iter().find_map(|(tree, _)| tree.stated_entries()).map(u64::from);
    let offsets: Vec<u64> =
        copies.iter().flat_map(|(_, slots)| slots).map(|slot| slot.raw.block.get()).collect();
    let geometry = Geometry::of_entries(&offsets, stated, volume.extent)
        .unwrap_or_else(|| Geometry::imagined(stated.unwrap_or(0), volume.extent));
    let mut merged = merge::merge(&copies);
    for entry in &mut merged.entries {
        if let Some(why) = geometry.objection(entry.block) {
            entry.damage(why);
        }
    }
    note_entries(&merged.entries, &mut findings);
    let tree = copies.into_iter().map(|(tree, _)| tree).next().ok_or_else(|| {
        FormatError::field(tree::STRUCTURE, volume.extent, "signature", "none", "HIKBTREE")
    })?;
    let facts = facts::of_file(&tree, &volume);
    let Merged { entries, unused: unused_blocks } = merged;
    Ok(TreeFile { tree, entries, unused_blocks, geometry, facts, findings })
}

use merge::Merged;

fn known(masters: &Masters) -> Vec<&Master> {
    masters.best().into_iter().chain(masters.other()).collect()
}

fn read_trees(
    volume: &Volume,
    located: &[tree::Located],
    findings: &mut Findings,
) -> Vec<(Tree, Vec<Slot>)> {
    let copies: Vec<(Tree, Vec<Slot>)> =
        located.iter().map(|place| tree::read(volume, place, findings)).collect();
    match copies.as_slice() {
        [] => {
            let at = volume.at(volume.extent.len(), 0);
            let text = "no copy of the index tree at the pointers of the master sector or in the last 64 MiB of the disk; a search of the whole disk is left to recovery";
            findings.note(FindingKind::DamagedIndex, at, text);
        }
        [(one, _)] => {
            let text = "only one copy of the index tree was found; its entries cannot be compared";
            findings.note(FindingKind::CopyMismatch, one.at, text);
        }
        _ => {}
    }
    copies
}

/// What the master's own checks and the size of the image say.
fn note_master(masters: &Masters, volume: &Volume, findings: &mut Findings) {
    let Some(master) = masters.best() else {
        let text = "no usable master sector: neither at its place nor as a copy";
        findings.note(FindingKind::DamagedIndex, volume.at(MASTER_OFFSET, MASTER_BYTES), text);
        return;
    };
    for check in master.checks().into_iter().filter(|check| !check.supports) {
        let at = check.at.unwrap_or(master.at);
        findings.note(FindingKind::DamagedIndex, at, format!("master sector: {}", check.text));
    }
    let length = volume.source.len().saturating_sub(volume.extent.offset());
    let at = master.at.slice(0x48, 8).unwrap_or(master.at);
    if master.capacity > length {
        let missing = master.capacity.saturating_sub(length);
        let text = format!(
            "the master sector states {} bytes, the image has {length}: the last {missing} bytes are missing, and the copies of the index lie at the end",
            master.capacity
        );
        let beyond = Extent::new(volume.source.len(), missing);
        findings.note(FindingKind::Hole, beyond, text);
    } else if master.capacity < 512 {
        let text = format!("the master sector states a capacity of {} bytes", master.capacity);
        findings.note(FindingKind::DamagedIndex, at, text);
    }
}

/// One finding for what concerns many entries.
fn note_entries(entries: &[Entry], findings: &mut Findings) {
    let first = |wanted: &dyn Fn(&Entry) -> bool| {
        let count = entries.iter().filter(|entry| wanted(entry)).count();
        entries.iter().find(|entry| wanted(entry)).map(|entry| (count, entry.at))
    };
    if let Some((count, at)) = first(&|entry| entry.conflict) {
        let text = format!(
            "the two copies of the index disagree about {count} entries; the first is here"
        );
        findings.note(FindingKind::CopyMismatch, at, text);
    }
    if let Some((count, at)) = first(&|entry| matches!(entry.state, EntryState::Damaged(_))) {
        let text = format!("{count} entries of the index are damaged; the first is here");
        findings.note(FindingKind::DamagedIndex, at, text);
    }
    if let Some((count, at)) = first(&|entry| entry.stale) {
        let text = format!(
            "{count} entries left behind in pages of the index are no longer listed; the first is here"
        );
        findings.note(FindingKind::NotListed, at, text);
    }
}
