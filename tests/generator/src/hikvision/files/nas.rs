//! A recorder that writes to a network drive: its tree in `index00.bin`, media files as data blocks.
//!
//! Facts: `docs/formats/hikvision.md`, sections 9.3 (pointers count in the file, entries name offsets of a
//! virtual disk) and 4.2 (key-frame records from the end of the block down, without a gap).

use super::card_facts::{Entry, recording};
use super::facts::FileRole;
use super::folder::Folder;
use super::item::{Ending, Item, SegmentPlan};
use super::store::Written;
use crate::Error;
use crate::civil::Moment;
use crate::hikvision::{KeyRecord, LeafEntry, RECORD_BYTES, TreeShape, WrittenTree, write_tree};
use crate::image::Image;
use crate::truth::{
    EntryCopy, EntryFacts, EntryState, Extent, HikvisionFacts, Recording, StructureFact, TreeFacts,
};

/// First byte of block 0 on the virtual disk.
const VIDEO_OFFSET: u64 = 0x4C5_E000;
/// Bytes of a block and of a media file.
const BLOCK_BYTES: u64 = 1 << 30;

/// The plan of such a folder.
#[derive(Debug, Clone)]
pub struct TreePlan {
    /// Folder of the files, with a `/` at its end.
    pub folder: String,
    /// Number of media files.
    pub files: u16,
    /// What was written, in the order of writing: file, whether it was begun anew, segment.
    pub entries: Vec<(u16, Begin, SegmentPlan)>,
    /// Files whose entry is reserved: channel 255.
    pub reserved: Vec<u16>,
    /// When the tree was made.
    pub created: Moment,
}

/// Where an entry begins in its media file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the front: what was there before is older.
    Front,
    /// Behind the entry before it.
    Behind,
}

/// A folder with a tree in memory.
pub(super) struct TreeFolder<'a> {
    plan: &'a TreePlan,
    media: Vec<Image>,
    written: Vec<Written>,
    /// Number of each entry in the tree; none for what is no longer in it.
    places: Vec<Option<usize>>,
    entries: Vec<LeafEntry>,
    tree: WrittenTree,
    image: Image,
}

impl<'a> TreeFolder<'a> {
    pub fn new(plan: &'a TreePlan) -> Result<Self, Error> {
        let mut media = vec![Image::new(BLOCK_BYTES); usize::from(plan.files)];
        let written = write_blocks(plan, &mut media)?;
        let (entries, places) = entries(plan, &written);
        let blocks = u32::from(plan.files);
        let shape = TreeShape { leaf_fill: 4, ..TreeShape::FIRST };
        let tree = write_tree(&shape, 0, blocks, plan.created, &entries);
        let mut image = Image::new(tree.bytes.len() as u64);
        image.write(0, &tree.bytes)?;
        Ok(TreeFolder { plan, media, written, places, entries, tree, image })
    }

    pub fn put_into(&self, folder: &mut Folder) {
        for (number, image) in (0..).zip(&self.media) {
            folder.insert(self.media_name(number), FileRole::Media, image.clone());
        }
        for name in self.tree_names() {
            folder.insert(name, FileRole::Tree, self.image.clone());
        }
    }

    fn media_name(&self, number: u16) -> String {
        format!("{}hiv{number:05}.mp4", self.plan.folder)
    }

    fn tree_names(&self) -> [String; 2] {
        ["index00.bin", "index01.bin"].map(|name| format!("{}{name}", self.plan.folder))
    }

    /// The truth about every entry that there ever was, as the folder is now.
    pub fn recordings(&self, folder: &Folder) -> Vec<Recording> {
        let prefix = format!("{}b", self.plan.folder.replace('/', "-"));
        let recording = |(written, place): (&Written, &Option<usize>)| {
            let media = self.media_name(written.file);
            let mut entry: Entry = recording(written, folder, &media, &prefix);
            entry.list_entry(place.map(|number| self.entry_facts(number, folder)));
            entry.finish()
        };
        self.written.iter().zip(&self.places).map(recording).collect()
    }

    fn entry_facts(&self, number: usize, folder: &Folder) -> EntryFacts {
        let entry = &self.entries[number];
        let place = &self.tree.entries[number];
        let extent = [place.start as u64, place.len() as u64];
        let copy = |(tree, name): (u8, String)| EntryCopy {
            tree,
            extent,
            state: entry.state,
            channel: entry.channel,
            start: entry.start.map(Moment::second_text),
            end: entry.end.map(Moment::second_text),
            intact: self.holds(folder, &name, extent),
        };
        EntryFacts {
            block: ((entry.block_offset - VIDEO_OFFSET) / BLOCK_BYTES) as u32,
            block_offset: entry.block_offset,
            copies: (1..).zip(self.tree_names()).map(copy).collect(),
        }
    }

    fn holds(&self, folder: &Folder, name: &str, [offset, length]: Extent) -> bool {
        folder.read(name, [offset, length]) == Some(self.image.read(offset, length as usize))
    }

    /// Facts about the trees; extents count in `index00.bin` and `index01.bin`.
    pub fn facts(&self, folder: &Folder) -> HikvisionFacts {
        let tree = |(tree, name): (u8, String)| TreeFacts {
            tree,
            extent: [0, self.tree.stated_bytes],
            nodes: self
                .tree
                .nodes
                .iter()
                .map(|node| [node.start as u64, node.len() as u64])
                .map(|extent| StructureFact { extent, intact: self.holds(folder, &name, extent) })
                .collect(),
        };
        let idle = |number: &usize| !self.places.contains(&Some(*number));
        HikvisionFacts {
            video_offset: VIDEO_OFFSET,
            block_bytes: BLOCK_BYTES,
            blocks: self.plan.files.into(),
            initialised: self.plan.created.second_text(),
            trees: (1..).zip(self.tree_names()).map(tree).collect(),
            idle_entries: (0..self.entries.len())
                .filter(idle)
                .map(|number| self.entry_facts(number, folder))
                .collect(),
            ..HikvisionFacts::default()
        }
    }
}

fn write_blocks(plan: &TreePlan, media: &mut [Image]) -> Result<Vec<Written>, Error> {
    let mut written: Vec<Written> = Vec::new();
    let mut state = vec![(0_u64, BLOCK_BYTES, 0_u32, 0_u16); media.len()];
    for (file, begin, segment) in &plan.entries {
        let item = Item::segment(segment);
        let (end, low, passes, count) = &mut state[usize::from(*file)];
        if *begin == Begin::Front {
            (*end, *low, *count) = (0, BLOCK_BYTES, 0);
            *passes += 1;
        }
        let offset = *end;
        let image = &mut media[usize::from(*file)];
        image.write(offset, &item.bytes)?;
        let mut key_places = Vec::with_capacity(item.keys.len());
        for key in &item.keys {
            *low -= RECORD_BYTES as u64;
            let placed = KeyRecord { offset: offset as u32 + key.offset, ..*key };
            image.write(*low, &placed.encode(false))?;
            key_places.push(*low);
        }
        *end += item.bytes.len() as u64;
        let (segment, pass) = (*count, passes.saturating_sub(1));
        *count += 1;
        let (file, formatted) = (*file, false);
        written.push(Written { item, file, segment, pass, formatted, offset, key_places });
    }
    Ok(written)
}

/// Entries in the order of the tree, and the place of each item among them.
fn entries(plan: &TreePlan, written: &[Written]) -> (Vec<LeafEntry>, Vec<Option<usize>>) {
    let offset = |file: u16| VIDEO_OFFSET + u64::from(file) * BLOCK_BYTES;
    let last_pass = |file: u16| written.iter().filter(|w| w.file == file).map(|w| w.pass).max();
    let mut all: Vec<(LeafEntry, Option<usize>)> = Vec::new();
    for (number, one) in written.iter().enumerate() {
        if last_pass(one.file) != Some(one.pass) {
            continue;
        }
        let open = one.item.ending == Ending::PowerLost;
        let entry = LeafEntry {
            state: if open { EntryState::Open } else { EntryState::Closed },
            channel: one.item.channel as u8,
            start: (!open).then_some(one.item.start),
            end: (!open).then_some(one.item.end),
            block_offset: offset(one.file),
        };
        all.push((entry, Some(number)));
    }
    for file in (0..plan.files).filter(|file| last_pass(*file).is_none()) {
        let reserved = plan.reserved.contains(&file);
        let entry = LeafEntry {
            state: if reserved { EntryState::Reserved } else { EntryState::Unused },
            channel: 0xFF,
            start: None,
            end: None,
            block_offset: offset(file),
        };
        all.push((entry, None));
    }
    all.sort_by_key(|(entry, _)| (entry.start.is_none(), entry.start, entry.block_offset));
    let place = |number: usize| all.iter().position(|(_, own)| *own == Some(number));
    let places = (0..written.len()).map(place).collect();
    (all.into_iter().map(|(entry, _)| entry).collect(), places)
}
