//! The master sector: version, capacity, and pointers to logs, blocks and the two trees.
//!
//! Facts: `docs/formats/hikvision.md` sections 1, 2, 6, 12 and 17. The constants are those of every disk seen; they are used where no pointer
//! survives, and to find the copy.

use std::io::Cursor;

use binrw::{BinRead, binread};
use daleel_core::{CivilTime, Extent, FindingKind, Findings, FormatError, Reason, Volume};

use super::{
    entry,
    index::bytes::{find_in_sectors, text},
};

/// Name of the structure in findings and output.
pub const STRUCTURE: &str = "master sector";
/// Where the master sector stands in the volume.
pub const MASTER_OFFSET: u64 = 0x200;
/// Where its copy stands on the disks seen.
pub const BACKUP_OFFSET: u64 = 0x4C5_6000;
/// Bytes in use.
pub const MASTER_BYTES: u64 = 0x100;
/// Stands 10h bytes into the sector.
pub const SIGNATURE: &[u8; 18] = b"HIKVISION@HANGZHOU";
const SIGNATURE_SHIFT: u64 = 0x10;
/// Start of the video area on the disks seen.
pub const VIDEO_BASE: u64 = 0x4C5_E000;
/// Block size of the disks seen.
pub const BLOCK_BYTES: u64 = 1 << 30;
/// The two log areas of the disks seen.
pub const LOG_AREAS: [Area; 2] =
    [Area { offset: 0x8200, size: 0x3D0_B000 }, Area { offset: 0x3D1_3200, size: 0xF4_2C00 }];
/// Lead area in front of log and video; the copy of the master stands 200h bytes into the second one.
const LEAD_BYTES: u64 = 0x8200;
/// Searched for a master at most, where none stands at its places.
const SEARCH_BYTES: u64 = 256 << 20;
/// Room between logs and video that is searched for the copy.
const GAP_MAX: u64 = 16 << 20;
/// Most blocks of a disk (section 12).
pub const BLOCKS_MAX: u64 = 65_536;
/// Smallest and largest block (section 12).
pub const BLOCK_BYTES_RANGE: std::ops::RangeInclusive<u64> = (64 << 10)..=(4 << 30);

/// An area of the volume as the master states it.
#[derive(BinRead, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[br(little)]
pub struct Area {
    /// Offset in the volume.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

impl Area {
    /// One past its last byte, if that is a number.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }
}

/// Offset and size of a tree; the upper half of its size is not known to be one.
#[derive(BinRead, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[br(little)]
pub struct TreeArea {
    /// Offset in the volume.
    pub offset: u64,
    /// Bytes.
    #[br(pad_after = 4)]
    pub size: u32,
}

/// A master sector (section 2).
#[binread]
#[derive(Clone, Debug, PartialEq, Eq)]
#[br(little, import(at: Extent))]
pub struct Master {
    /// Where it stands.
    #[br(calc = at)]
    pub at: Extent,
    /// 00  Not understood.
    pub unknown_00: u32,
    /// 30  Version text.
    #[br(pad_before = 0x2C)]
    pub version: [u8; 16],
    /// 48  Capacity of the disk in bytes.
    #[br(pad_before = 8)]
    pub capacity: u64,
    /// 50, 60  Log areas.
    pub logs: [Area; 2],
    /// 70  1 on disks seen; 0 by the second reading.
    pub unknown_70: u64,
    /// 78  Start of the video area.
    pub video_base: u64,
    /// 80  Bytes of the video area; 0 by the second reading.
    pub video_bytes: u64,
    /// 88  Bytes of a block.
    pub block_bytes: u64,
    /// 90  Number of blocks.
    #[br(pad_after = 4)]
    pub blocks: u32,
    /// 98, A8  Trees.
    pub trees: [TreeArea; 2],
    /// F0  Last initialisation, seconds.
    #[br(pad_before = 0x38)]
    pub initialised: u32,
}

impl Master {
    /// Reads the master at an offset of the volume, if its signature stands there.
    ///
    /// # Errors
    /// When the sector cannot be read.
    pub fn read(volume: &Volume, offset: u64) -> Result<Option<Self>, FormatError> {
        let at = volume.at(offset, MASTER_BYTES);
        let bytes = volume.source.read(at).map_err(|error| FormatError::read(STRUCTURE, error))?;
        Ok(Self::parse(&bytes, at))
    }

    /// The master in `bytes`, which lie at `at`, if its signature stands there.
    pub fn parse(bytes: &[u8], at: Extent) -> Option<Self> {
        let start = usize::try_from(SIGNATURE_SHIFT).ok()?;
        bytes.get(start..)?.starts_with(SIGNATURE).then_some(())?;
        Self::read_args(&mut Cursor::new(bytes), (at,)).ok()
    }

    fn read_args(reader: &mut Cursor<&[u8]>, args: (Extent,)) -> binrw::BinResult<Self> {
        <Self as BinRead>::read_le_args(reader, args)
    }

    /// Version as text.
    pub fn version_text(&self) -> String {
        text(&self.version)
    }

    /// Time of the last initialisation; whether it is local time is not settled.
    pub fn initialised_time(&self) -> Option<CivilTime> {
        entry::time(self.initialised)
    }

    /// Bytes of the video area, stated or computed.
    pub fn video_size(&self) -> Option<u64> {
        let computed = u64::from(self.blocks).checked_mul(self.block_bytes)?;
        Some(if self.video_bytes == 0 { computed } else { self.video_bytes })
    }

    /// Why its sizes cannot be those of a disk, if so.
    pub fn impossible_geometry(&self) -> Option<String> {
        let blocks = u64::from(self.blocks);
        if !BLOCK_BYTES_RANGE.contains(&self.block_bytes) || !self.block_bytes.is_multiple_of(512) {
            return Some(format!("block size {} bytes", self.block_bytes));
        }
        if blocks == 0 || blocks > BLOCKS_MAX {
            return Some(format!("{blocks} blocks"));
        }
        if self.video_base == 0 || !self.video_base.is_multiple_of(512) {
            return Some(format!("video area at 0x{:x}", self.video_base));
        }
        let end = blocks.checked_mul(self.block_bytes).and_then(|n| n.checked_add(self.video_base));
        match end {
            Some(_) => None,
            None => Some("a video area without end".to_owned()),
        }
    }

    /// The checks a master allows on itself (section 2), each with its outcome. Fields that one of the two readings leaves at zero are not
    /// held against it.
    pub fn checks(&self) -> Vec<Reason> {
        let [log1, log2] = self.logs;
        let [tree1, tree2] = self.trees;
        let tree_end = |tree: TreeArea| tree.offset.checked_add(u64::from(tree.size));
        let video_end = self.video_size().and_then(|size| self.video_base.checked_add(size));
        let mut out = Vec::new();
        let mut check = |from: u64, length: u64, holds: bool, text: &str| {
            let at = self.at.slice(from, length).unwrap_or(self.at);
            out.push(match holds {
                true => Reason::supporting(text, at),
                false => Reason::against(format!("does not hold: {text}"), at),
            });
        };
        if log1.size != 0 {
            let joined = log1.end() == Some(log2.offset);
            check(0x50, 0x20, joined, "log area 1 ends where log area 2 begins");
        }
        let lead = log2.end().and_then(|end| end.checked_add(LEAD_BYTES));
        let fits = lead == Some(self.video_base);
        check(0x60, 0x20, fits, "the video area begins 8200h bytes behind the logs");
        if self.video_bytes != 0 {
            let product = u64::from(self.blocks).checked_mul(self.block_bytes);
            let equal = product == Some(self.video_bytes);
            check(0x80, 0x14, equal, "blocks times block size is the size of the video area");
        }
        let before = video_end.is_some_and(|end| end <= tree1.offset);
        check(0x78, 0x28, before, "the video area ends before tree 1");
        let order = tree_end(tree1).is_some_and(|end| end <= tree2.offset);
        check(0x98, 0x20, order, "tree 2 follows tree 1");
        let inside = tree_end(tree2).is_some_and(|end| end <= self.capacity);
        check(0x48, 0x70, inside, "tree 2 ends inside the stated capacity");
        let possible = self.impossible_geometry();
        let text = possible.clone().map_or("the sizes are those of a disk".to_owned(), |why| {
            format!("the sizes are those of a disk ({why})")
        });
        check(0x78, 0x1C, possible.is_none(), &text);
        out
    }

    /// How many of its checks hold.
    pub fn score(&self) -> usize {
        self.checks().iter().filter(|check| check.supports).count()
    }
}

/// The masters of a disk.
#[derive(Default)]
pub struct Masters {
    /// At its place.
    pub primary: Option<Master>,
    /// The copy between logs and video area, or one found by its signature.
    pub backup: Option<Master>,
}

impl Masters {
    /// Reads both, and says what is wrong with them.
    pub fn read(volume: &Volume, findings: &mut Findings) -> Self {
        let primary = at_place(volume, MASTER_OFFSET, findings);
        let backup = backup(volume, primary.as_ref(), findings);
        let masters = Self { primary, backup };
        masters.report(volume, findings);
        masters
    }

    /// Searches the start of the volume by the signature: for disks on which something else is known to be this file system's.
    pub fn search(volume: &Volume, findings: &mut Findings) -> Self {
        let length = volume.extent.len().min(SEARCH_BYTES);
        let found: Vec<_> = find_in_sectors(volume, 0, length, SIGNATURE, SIGNATURE_SHIFT)
            .into_iter()
            .filter_map(|offset| Master::read(volume, offset).ok().flatten())
            .collect();
        let best = found.into_iter().max_by_key(Master::score);
        if let Some(master) = &best {
            let text = "master sector found by its signature, not at its place";
            findings.note(FindingKind::Inferred, master.at, text);
        }
        Self { primary: None, backup: best }
    }

    /// The one to be believed: more of its checks hold; the first where they are equal.
    pub fn best(&self) -> Option<&Master> {
        match (&self.primary, &self.backup) {
            (Some(primary), Some(backup)) if backup.score() > primary.score() => Some(backup),
            (Some(primary), _) => Some(primary),
            (None, backup) => backup.as_ref(),
        }
    }

    /// The other one, where there are two.
    pub fn other(&self) -> Option<&Master> {
        let best = self.best()?.at;
        [&self.primary, &self.backup].into_iter().flatten().find(|master| master.at != best)
    }

    fn report(&self, volume: &Volume, findings: &mut Findings) {
        let (Some(primary), Some(backup)) = (&self.primary, &self.backup) else {
            if let Some(one) = self.best() {
                let missing =
                    if self.primary.is_some() { "its copy" } else { "the one at its place" };
                let text = format!("only one master sector is there; {missing} is missing");
                findings.note(FindingKind::CopyMismatch, one.at, text);
            }
            return;
        };
        let same = match (volume.source.read(primary.at), volume.source.read(backup.at)) {
            (Ok(one), Ok(two)) => one == two,
            _ => true,
        };
        if !same {
            let used = self.best().map_or(0, |master| master.at.offset());
            let text = format!(
                "the two master sectors differ{}; the one at 0x{used:x} is used",
                differences(primary, backup)
            );
            findings.note(FindingKind::CopyMismatch, backup.at, text);
        }
    }
}

fn differences(one: &Master, two: &Master) -> String {
    let fields = |master: &Master| {
        let [log1, log2] = master.logs;
        let [tree1, tree2] = master.trees;
        [
            ("capacity", master.capacity),
            ("log area 1", log1.offset),
            ("log area 2", log2.offset),
            ("video area", master.video_base),
            ("block size", master.block_bytes),
            ("blocks", u64::from(master.blocks)),
            ("tree 1", tree1.offset),
            ("tree 2", tree2.offset),
            ("initialised", u64::from(master.initialised)),
        ]
    };
    let mut out = String::new();
    for ((name, a), (_, b)) in fields(one).into_iter().zip(fields(two)) {
        if a != b {
            out.push_str(&format!("; {name}: 0x{a:x} and 0x{b:x}"));
        }
    }
    out
}

fn at_place(volume: &Volume, offset: u64, findings: &mut Findings) -> Option<Master> {
    Master::read(volume, offset).unwrap_or_else(|error| {
        findings.add(error.into());
        None
    })
}

fn backup(volume: &Volume, primary: Option<&Master>, findings: &mut Findings) -> Option<Master> {
    let pointed = primary.and_then(|master| master.video_base.checked_sub(LEAD_BYTES - 0x200));
    let mut places = vec![BACKUP_OFFSET];
    places.extend(pointed.filter(|place| *place != BACKUP_OFFSET));
    for place in places {
        if let Some(master) = at_place(volume, place, findings) {
            return Some(master);
        }
    }
    let stated = primary.and_then(|master| {
        let start = master.logs.last()?.end()?;
        let length = master.video_base.checked_sub(start)?;
        (length <= GAP_MAX).then_some((start, length))
    });
    let (start, length) = stated.unwrap_or((VIDEO_BASE - LEAD_BYTES, LEAD_BYTES));
    find_in_sectors(volume, start, length, SIGNATURE, SIGNATURE_SHIFT)
        .into_iter()
        .find_map(|offset| Master::read(volume, offset).ok().flatten())
}
