//! Where the two copies of the tree lie.
//!
//! Facts: `docs/formats/hikvision.md` sections 2, 3, 6 and 17. Pointers first, then what follows a tree, then a search of the end of the disk.
//! The rest of the disk is not searched here: that is the work of recovery.

use daleel_core::{Extent, FindingKind, Findings, Volume};

use super::{SIGNATURE, SIGNATURE_SHIFT, TREE_BYTES_RANGE, header::TreeHeader, node::NODE_BYTES};
use crate::hikvision::{index::bytes::find_in_sectors, master::Master};

/// How much of the end of a disk is searched.
const SEARCH_BYTES: u64 = 64 << 20;

/// How a tree was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Pointer of the master, 0 or 1.
    Pointer(usize),
    /// Right behind the other copy.
    Behind,
    /// By its signature near the end of the disk.
    Signature,
    /// The start of a file.
    File,
}

impl FoundBy {
    /// In words.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Pointer(0) => "pointer of the master sector to tree 1",
            Self::Pointer(_) => "pointer of the master sector to tree 2",
            Self::Behind => "directly behind the other copy",
            Self::Signature => "signature near the end of the disk",
            Self::File => "start of the file",
        }
    }
}

/// A tree to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Offset in the volume.
    pub offset: u64,
    /// Bytes of its area.
    pub length: u64,
    /// How it was found.
    pub found_by: FoundBy,
    /// True when its signature could be read; a tree whose header is damaged may still be read by its pages.
    pub is_signed: bool,
}

fn header_at(volume: &Volume, offset: u64) -> Option<TreeHeader> {
    TreeHeader::parse(&volume.source.read_array::<0x70>(volume.at(offset, 0).offset()).ok()?)
}

/// True when a tree header stands at an offset of the volume.
pub fn has_signature(volume: &Volume, offset: u64) -> bool {
    header_at(volume, offset).is_some()
}

/// Offsets of tree headers in a range of the volume, ascending.
pub fn find_by_signature(volume: &Volume, start: u64, length: u64) -> Vec<u64> {
    let mut found = find_in_sectors(volume, start, length, SIGNATURE, SIGNATURE_SHIFT);
    // Text that merely contains the word has no version behind it.
    found.retain(|offset| {
        header_at(volume, *offset).is_some_and(|header| header.version.starts_with(b"HIK"))
    });
    found
}

/// Finds the two copies, best evidence first.
pub fn locate(volume: &Volume, masters: &[&Master], findings: &mut Findings) -> Vec<Located> {
    let mut found: Vec<Located> = Vec::new();
    for master in masters {
        for (number, pointer) in master.trees.iter().enumerate() {
            let is_known = found
                .iter()
                .any(|tree| tree.offset == pointer.offset || tree.found_by == FoundBy::Pointer(number));
            if is_known || pointer.offset == 0 || found.len() == 2 {
                continue;
            }
            if has_signature(volume, pointer.offset) {
                let by = FoundBy::Pointer(number);
                found.push(measure(volume, pointer.offset, Some(pointer.size.into()), by));
            }
        }
    }
    if found.len() == 1 {
        found.extend(behind(volume, &found));
    }
    if found.len() < 2 {
        search(volume, masters, &mut found, findings);
    }
    if found.len() < 2 {
        found.extend(unsigned(volume, masters, &found));
    }
    found.sort_by_key(|tree| tree.offset);
    clip(&mut found);
    found
}

/// The length of a tree: stated by the master, by itself, or open to the end of what may be read.
fn measure(volume: &Volume, offset: u64, stated: Option<u64>, found_by: FoundBy) -> Located {
    let header = header_at(volume, offset);
    let stated = stated.filter(|size| TREE_BYTES_RANGE.contains(size));
    let own = header.as_ref().and_then(|header| header.area_bytes(offset));
    let room = volume.extent.len().saturating_sub(offset).min(*TREE_BYTES_RANGE.end());
    let length = match (stated, own) {
        (Some(stated), Some(own)) => stated.max(own),
        (stated, own) => stated.or(own).unwrap_or(room),
    };
    Located { offset, length, found_by, is_signed: header.is_some() }
}

/// The start of a file that is a tree.
pub fn of_file(volume: &Volume) -> Located {
    measure(volume, 0, None, FoundBy::File)
}

fn behind(volume: &Volume, found: &[Located]) -> Option<Located> {
    let tree = found.first()?;
    let place = tree.offset.checked_add(tree.length)?;
    [place, place.saturating_add(NODE_BYTES)]
        .into_iter()
        .find(|place| has_signature(volume, *place))
        .map(|place| measure(volume, place, None, FoundBy::Behind))
}

/// Searches the end of the stated capacity and of the image.
fn search(volume: &Volume, masters: &[&Master], found: &mut Vec<Located>, findings: &mut Findings) {
    let mut ends: Vec<u64> = masters
        .iter()
        .map(|master| master.capacity)
        .filter(|capacity| *capacity <= volume.extent.len())
        .collect();
    ends.push(volume.extent.len());
    ends.dedup();
    let mut hits: Vec<u64> = Vec::new();
    for end in ends {
        let start = end.saturating_sub(SEARCH_BYTES);
        hits.extend(find_by_signature(volume, start, end.saturating_sub(start)));
    }
    hits.retain(|hit| !found.iter().any(|tree| tree.offset == *hit));
    hits.sort_unstable();
    hits.dedup();
    let headers: Vec<_> =
        hits.iter().filter_map(|hit| header_at(volume, *hit).map(|header| (*hit, header))).collect();
    let known = found.first().and_then(|tree| header_at(volume, tree.offset));
    // The tree in use is the one made last, unless a pointer says otherwise.
    let model = known.or_else(|| {
        headers.iter().max_by_key(|(_, header)| header.created).map(|(_, header)| header.clone())
    });
    for (offset, header) in headers {
        let is_copy = model.as_ref().is_some_and(|model| header.is_copy_of(model));
        let at = volume.at(offset, NODE_BYTES);
        if is_copy && found.len() < 2 {
            found.push(measure(volume, offset, None, FoundBy::Signature));
            let text = "tree found by its signature near the end of the disk, not by a pointer";
            findings.note(FindingKind::Inferred, at, text);
        } else {
            let created = header.created_time().map_or("an unknown time".to_owned(), |time| {
                time.to_seconds_text()
            });
            let text = format!("another tree, created at {created}, is no copy of the one in use; its entries are not read");
            findings.note(FindingKind::NotListed, at, text);
        }
    }
}

/// A pointer to a tree whose header is damaged, where pages of it can be told.
fn unsigned(volume: &Volume, masters: &[&Master], found: &[Located]) -> Option<Located> {
    masters.iter().flat_map(|master| master.trees).enumerate().find_map(|(number, pointer)| {
        let size = u64::from(pointer.size);
        let overlaps = found.iter().any(|tree| {
            let at = Extent::new(tree.offset, tree.length);
            at.intersection(Extent::new(pointer.offset, size)).is_some()
        });
        let usable = TREE_BYTES_RANGE.contains(&size)
            && pointer.offset % 512 == 0
            && pointer.offset != 0
            && volume.at(pointer.offset, 0).offset() < volume.source.len();
        (usable && !overlaps).then_some(Located {
            offset: pointer.offset,
            length: size,
            found_by: FoundBy::Pointer(number % 2),
            is_signed: false,
        })
    })
}

/// No tree reaches into the one behind it.
fn clip(found: &mut [Located]) {
    let starts: Vec<u64> = found.iter().map(|tree| tree.offset).collect();
    for tree in found {
        if let Some(next) = starts.iter().find(|start| **start > tree.offset) {
            tree.length = tree.length.min(next.saturating_sub(tree.offset));
        }
    }
}
