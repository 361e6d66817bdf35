//! Where the two copies of the tree lie.
//!
//! Facts: `docs/formats/hikvision.md` sections 2, 3, 6 and 17. Pointers first, then what follows a tree, then a search of the end of the disk.
//! The rest of the disk is not searched here: that is the work of recovery.

use daleel_core::{Extent, FindingKind, Findings, Volume};

use super::{
    SIGNATURE, SIGNATURE_SHIFT, TREE_BYTES_RANGE,
    header::TreeHeader,
    node::NODE_BYTES,
    pages::{find_pages, groups},
};
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
    /// By the shape of its pages near the end of the disk; its header is gone.
    Pages,
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
            Self::Pages => "shape of its pages near the end of the disk",
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
    /// Its size by the master sector, where a pointer leads to it.
    pub stated_bytes: Option<u64>,
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
            let is_known = found.iter().any(|tree| {
                tree.offset == pointer.offset || tree.found_by == FoundBy::Pointer(number)
            });
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
        unsigned(volume, masters, &mut found, findings);
    }
    if found.len() < 2 {
        by_pages(volume, masters, &mut found, findings);
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
    Located { offset, length, found_by, stated_bytes: stated }
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

/// The end of the stated capacity, and of the image where that is another: start and length.
fn ends(volume: &Volume, masters: &[&Master]) -> Vec<(u64, u64)> {
    let image = volume.source.len().saturating_sub(volume.extent.offset()).min(volume.extent.len());
    let mut ends: Vec<u64> =
        masters.iter().map(|master| master.capacity).filter(|end| *end <= image).collect();
    ends.push(image);
    ends.sort_unstable();
    ends.dedup();
    let mut from = 0;
    let mut out = Vec::new();
    for end in ends {
        let start = end.saturating_sub(SEARCH_BYTES).max(from);
        out.push((start, end.saturating_sub(start)));
        from = end;
    }
    out
}

/// Searches the end of the disk for the signature.
fn search(volume: &Volume, masters: &[&Master], found: &mut Vec<Located>, findings: &mut Findings) {
    let mut hits: Vec<u64> = ends(volume, masters)
        .into_iter()
        .flat_map(|(start, length)| find_by_signature(volume, start, length))
        .collect();
    hits.retain(|hit| !found.iter().any(|tree| tree.offset == *hit));
    hits.sort_unstable();
    hits.dedup();
    let headers: Vec<_> = hits
        .iter()
        .filter_map(|hit| header_at(volume, *hit).map(|header| (*hit, header)))
        .collect();
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
            let created = header
                .created_time()
                .map_or("an unknown time".to_owned(), |time| time.to_seconds_text());
            let text = format!(
                "another tree, created at {created}, is no copy of the one in use; its entries are not read"
            );
            findings.note(FindingKind::NotListed, at, text);
        }
    }
}

/// Pointers to trees whose header is gone: pages of them may still be there.
fn unsigned(
    volume: &Volume,
    masters: &[&Master],
    found: &mut Vec<Located>,
    findings: &mut Findings,
) {
    let mut places: Vec<(usize, u64, u64)> = Vec::new();
    for master in masters {
        for (number, pointer) in master.trees.iter().enumerate() {
            let known = places.iter().any(|(_, offset, _)| *offset == pointer.offset);
            let overlaps = found.iter().any(|tree| tree.meets(pointer.offset, pointer.size.into()));
            if pointer.offset != 0 && !known && !overlaps {
                places.push((number, pointer.offset, pointer.size.into()));
            }
        }
    }
    for (number, offset, size) in places {
        let length = size.clamp(*TREE_BYTES_RANGE.start(), *TREE_BYTES_RANGE.end());
        let is_usable = TREE_BYTES_RANGE.contains(&size) && offset % 512 == 0 && found.len() < 2;
        let at = volume.at(offset, length);
        if is_usable && !find_pages(volume, offset, length).is_empty() {
            let found_by = FoundBy::Pointer(number);
            found.push(Located { offset, length, found_by, stated_bytes: Some(size) });
        } else {
            let name = number.saturating_add(1);
            let text = format!("no tree where the master sector points for tree {name}");
            let is_beyond = at.offset() >= volume.source.len();
            let kind = if is_beyond { FindingKind::Hole } else { FindingKind::DamagedIndex };
            let why = if is_beyond { ": behind the end of the image" } else { "" };
            findings.note(kind, at, format!("{text}{why}"));
        }
    }
}

/// Pages near the end of the disk that no pointer or header leads to.
fn by_pages(
    volume: &Volume,
    masters: &[&Master],
    found: &mut Vec<Located>,
    findings: &mut Findings,
) {
    let mut pages: Vec<u64> = ends(volume, masters)
        .into_iter()
        .flat_map(|(start, length)| find_pages(volume, start, length))
        .collect();
    pages.retain(|page| !found.iter().any(|tree| tree.meets(*page, NODE_BYTES)));
    // Where a tree with a header is known, stray pages may be those of an older one.
    for (offset, length) in groups(&pages) {
        let at = volume.at(offset, length);
        if found.len() < 2 && found.iter().all(|tree| tree.found_by == FoundBy::Pages) {
            found.push(Located { offset, length, found_by: FoundBy::Pages, stated_bytes: None });
            let text =
                "pages of a tree found by their shape near the end of the disk; its header is gone";
            findings.note(FindingKind::Inferred, at, text);
        } else {
            let text = "pages of a tree, by their shape, that neither a header nor a pointer leads to; their entries are not read";
            findings.note(FindingKind::NotListed, at, text);
        }
    }
}

impl Located {
    /// True when it shares bytes with a range of the volume.
    fn meets(&self, offset: u64, length: u64) -> bool {
        let own = Extent::new(self.offset, self.length);
        own.intersection(Extent::new(offset, length.max(1))).is_some()
    }
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
