//! The index at the end of a block: one record for every key frame, and on some firmware a directory of segments.
//!
//! Facts: `docs/formats/hikvision.md` sections 4.1, 4.2, 12 and 17. Which firmware writes which layout is not known, so records are found by their
//! signature, from the end of the block upwards, and the layout met is stated.

mod directory;
mod order;

use std::collections::BTreeMap;

use daleel_core::{CivilTime, Extent, Volume};
use memchr::memmem::Finder;

pub use directory::{DIRECTORY_BYTES, DirectorySegment, read as read_directory};

use super::{
    entry,
    index::bytes::{Patched, u32_at},
};

/// Bytes of a record.
pub const RECORD_BYTES: u64 = 56;
/// Signature and stated size of a record.
pub const RECORD_MAGIC: &[u8; 8] = b"OFNI\x38\0\0\0";
/// Bytes read first; each further step reads four times as much.
const FIRST_STEP: u64 = 64 << 10;
/// Bytes read at most.
const SEARCH_BYTES: u64 = 16 << 20;
/// Most records of a block (section 12).
const RECORDS_MAX: usize = 300_000;

/// One record: a key frame of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRecord {
    /// Its bytes.
    pub at: Extent,
    /// Frame number, or number of the record.
    pub number: u32,
    /// Bytes +10h and +11h: the channel by one reading is the first, by the other the second.
    pub channel_bytes: [u8; 2],
    /// Time of the key frame.
    pub time: Option<CivilTime>,
    /// Time as stored.
    pub raw_time: u32,
    /// Where its pack begins, from the start of the block.
    pub offset: u64,
    /// 0 for the records of the last pass; higher ones are older.
    pub generation: u32,
}

impl TailRecord {
    /// The record in these bytes, unless it points outside its block.
    pub fn parse(bytes: &[u8], at: Extent, block_bytes: u64) -> Option<Self> {
        bytes.starts_with(RECORD_MAGIC).then_some(())?;
        let raw_time = u32_at(bytes, 0x18)?;
        let offset = u64::from(u32_at(bytes, 0x24)?);
        (offset < block_bytes && bytes.len() as u64 >= RECORD_BYTES).then_some(())?;
        Some(Self {
            at,
            number: u32_at(bytes, 0x0C)?,
            channel_bytes: bytes.get(0x10..)?.first_chunk().copied()?,
            time: entry::time(raw_time),
            raw_time,
            offset,
            generation: 0,
        })
    }

    /// Camera that the record names, by whichever reading of section 17 fits: one byte, or two of which the first is 0. Never proof alone.
    pub fn channel(&self) -> Option<u32> {
        let [first, second] = self.channel_bytes;
        let channel = if first == 0 { second } else { first };
        (1..u8::MAX).contains(&channel).then_some(u32::from(channel))
    }
}

/// Where the records of a block were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailLayout {
    /// From the end of the block downwards.
    FromEnd,
    /// A directory of segments 1 MiB before the end of the block.
    Directory,
    /// By their signature only, below the end of the block.
    FoundBelow,
    /// None found.
    None,
}

impl TailLayout {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FromEnd => "records from the end of the block downwards",
            Self::Directory => "a directory 1 MiB before the end of the block",
            Self::FoundBelow => "records below the end of the block",
            Self::None => "no records",
        }
    }
}

/// The tail index of a block.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The records, in the order in which they were written; the last pass first.
    pub records: Vec<TailRecord>,
    /// Where they were.
    pub layout: TailLayout,
    /// Segments of the directory, if there is one.
    pub segments: Vec<DirectorySegment>,
    /// Start of the lowest record, or of the directory, from the start of the block: no footage of the last pass lies above it.
    pub low: Option<u64>,
}

/// Reads the tail index of a block.
pub fn read_tail(volume: &Volume, block: Extent) -> Tail {
    read_tail_within(volume, block, SEARCH_BYTES)
}

/// Reads the tail index of a block, looking at no more than its last `most` bytes where there are no records.
pub fn read_tail_within(volume: &Volume, block: Extent, most: u64) -> Tail {
    let most = most.min(SEARCH_BYTES);
    let mut search = Search { volume, block, found: BTreeMap::new() };
    let directory = directory::read(volume, block);
    let mut below = block.len();
    let mut step = FIRST_STEP.min(most);
    while below > 0 && block.len().saturating_sub(below) < most {
        let from = block.len().saturating_sub(step);
        let added = search.take(from, below);
        // The records of a directory begin below it: an empty step above it does not end the search.
        let waits = directory.as_ref().is_some_and(|found| from >= found.start);
        if (added == 0 && !search.found.is_empty() && !waits) || search.found.len() >= RECORDS_MAX {
            break;
        }
        below = from;
        step = step.saturating_mul(4).min(most);
    }
    for (from, to) in directory.iter().flat_map(|found| found.tables(block.len())) {
        search.take(from, to);
    }
    let records: Vec<TailRecord> = search.found.into_values().rev().collect();
    let at_end = records.first().is_some_and(|record| record.at.end() == block.end());
    let layout = match (&directory, records.is_empty()) {
        (Some(_), _) => TailLayout::Directory,
        (None, true) => TailLayout::None,
        (None, false) if at_end => TailLayout::FromEnd,
        (None, false) => TailLayout::FoundBelow,
    };
    let lowest = records.last().map(|record| record.at.offset().saturating_sub(block.offset()));
    let low = lowest.into_iter().chain(directory.as_ref().map(|found| found.start)).min();
    Tail {
        records: order::settle(records),
        layout,
        segments: directory.map_or_else(Vec::new, |found| found.segments),
        low,
    }
}

struct Search<'a> {
    volume: &'a Volume,
    block: Extent,
    /// By offset on the medium.
    found: BTreeMap<u64, TailRecord>,
}

impl Search<'_> {
    /// Takes the records that begin in `from..to` of the block; gives how many were new.
    fn take(&mut self, from: u64, to: u64) -> usize {
        // A record that begins before `to` may end behind it.
        let end = to.saturating_add(RECORD_BYTES).min(self.block.len());
        let Some(at) = self.block.slice(from, end.saturating_sub(from)) else { return 0 };
        let bytes = Patched::read(&*self.volume.source, at);
        let before = self.found.len();
        for start in Finder::new(RECORD_MAGIC).find_iter(bytes.all()) {
            let start = start as u64;
            if from.saturating_add(start) >= to || self.found.len() >= RECORDS_MAX {
                break;
            }
            let Some(place) = at.slice(start, RECORD_BYTES) else { continue };
            let record = bytes
                .get(start, RECORD_BYTES)
                .and_then(|stored| TailRecord::parse(stored, place, self.block.len()));
            if let Some(record) = record {
                self.found.insert(place.offset(), record);
            }
        }
        self.found.len().saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const BLOCK: u64 = 4 << 20;
    /// The block does not begin at the start of the medium.
    const START: u64 = 0x5200;

    fn record(number: u32, time: u32, offset: u32) -> Vec<u8> {
        let mut bytes = vec![0; 56];
        bytes[..8].copy_from_slice(RECORD_MAGIC);
        bytes[0x0C..0x10].copy_from_slice(&number.to_le_bytes());
        bytes[0x11] = 4;
        bytes[0x18..0x1C].copy_from_slice(&time.to_le_bytes());
        bytes[0x24..0x28].copy_from_slice(&offset.to_le_bytes());
        bytes
    }

    struct Disk(Vec<u8>);

    impl Disk {
        fn new() -> Self {
            Self(vec![0; (START + BLOCK) as usize])
        }
        fn put(&mut self, block_relative: u64, bytes: &[u8]) {
            let at = (START + block_relative) as usize;
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
        fn tail(self) -> Tail {
            let volume = Volume::whole(Arc::new(self.0));
            read_tail(&volume, Extent::new(START, BLOCK))
        }
    }

    /// the records of an older pass below those of the last one are told apart.
    #[test]
    fn an_older_pass_below_the_last_one_is_another_generation() {
        let mut disk = Disk::new();
        for i in 0..100u32 {
            let at = BLOCK - 56 * u64::from(i + 1);
            disk.put(
                at,
                &match i {
                    0..60 => record(i * 25, 1_700_000_000 + i, i * 20_000),
                    _ => record(9000 + i * 25, 1_600_000_000 + i, i * 25_000),
                },
            );
        }
        let tail = disk.tail();
        assert_eq!((tail.layout, tail.records.len()), (TailLayout::FromEnd, 100));
        assert_eq!(tail.low, Some(BLOCK - 5600));
        let generations: Vec<u32> = tail.records.iter().map(|record| record.generation).collect();
        assert_eq!(generations.iter().filter(|generation| **generation == 0).count(), 60);
        assert_eq!(generations.last(), Some(&1));
        assert_eq!(tail.records[0].channel_bytes, [0, 4]);
    }

    /// A clock that was set back inside a recording does not begin another generation: numbers and offsets go on.
    #[test]
    fn a_clock_set_back_is_no_generation() {
        for (first, back, generations) in [(70_000, 400_000, 1), (0, 3600, 1), (0, 400_000, 2)] {
            let mut disk = Disk::new();
            for i in 0..50u32 {
                let time = 1_700_000_000 + i - if i < 25 { 0 } else { back };
                let at = BLOCK - 56 * u64::from(i + 1);
                disk.put(at, &record(first + i * 25, time, i * 20_000));
            }
            let last = disk.tail().records.last().unwrap().generation;
            assert_eq!(last + 1, generations, "{first} {back}");
        }
    }

    /// A damaged record ends no pass.
    #[test]
    fn a_damaged_record_ends_no_pass() {
        for (place, time, offset) in [
            (20, None, Some(3)),
            (20, None, Some(3_900_000)),
            (20, Some(1_900_000_000), None),
            (0, None, Some(3_000_000)),
            (48, None, Some(9)),
        ] {
            let mut disk = Disk::new();
            for i in 0..50u32 {
                let mut stamp = 1_700_000_000 + i;
                let mut target = i * 20_000;
                if i == place {
                    stamp = time.unwrap_or(stamp);
                    target = offset.unwrap_or(target);
                }
                let at = BLOCK - 56 * u64::from(i + 1);
                disk.put(at, &record(i * 25, stamp, target));
            }
            let tail = disk.tail();
            let generations: Vec<u32> = tail.records.iter().map(|r| r.generation).collect();
            assert_eq!(generations, [0; 50], "{place} {time:?} {offset:?}");
        }
    }

    #[test]
    fn a_directory_leads_to_records_below_it() {
        let mut disk = Disk::new();
        let start = BLOCK - 0x10_0000;
        let mut header = [0; 512];
        header[0x0D] = 3;
        header[0x18..0x20].copy_from_slice(&START.to_le_bytes());
        header[0x20..0x24].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        header[0x24..0x28].copy_from_slice(&1_700_000_100u32.to_le_bytes());
        disk.put(start, &header);
        let mut page = [0; 512];
        page[0x0D] = 3;
        page[0x28..0x2C].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        page[0x30..0x34].copy_from_slice(&1_700_000_100u32.to_le_bytes());
        page[0x6C..0x70].copy_from_slice(&0x20_0000u32.to_le_bytes());
        page[0x70..0x74].copy_from_slice(&(0x20_0000u32 + 56 * 20).to_le_bytes());
        disk.put(start + 512, &page);
        // Written upwards.
        for i in 0..20u32 {
            disk.put(0x20_0000 + 56 * u64::from(i), &record(i, 1_700_000_000 + i, 1000 * i));
        }
        let tail = disk.tail();
        assert_eq!((tail.layout, tail.segments.len()), (TailLayout::Directory, 1));
        assert_eq!((tail.segments[0].channel, tail.records.len()), (Some(3), 20));
        assert_eq!(tail.records[0].number, 0);
        assert!(tail.records.iter().all(|record| record.generation == 0));
        assert_eq!(tail.low, Some(0x20_0000));
    }

    #[test]
    fn an_empty_block_has_no_tail() {
        let tail = Disk::new().tail();
        assert_eq!((tail.layout, tail.low, tail.records.len()), (TailLayout::None, None, 0));
    }

    #[test]
    fn a_record_across_two_steps_is_found_once() {
        let mut disk = Disk::new();
        disk.put(BLOCK - FIRST_STEP - 20, &record(1, 1_700_000_000, 5));
        disk.put(BLOCK - 56, &record(0, 1_600_000_000, 3));
        let tail = disk.tail();
        assert_eq!(tail.records.len(), 2);
    }

    proptest! {
        /// nothing in a block makes the search fail or point outside the block.
        #[test]
        fn any_bytes_are_survived(
            seed in prop::collection::vec(any::<u8>(), 0..2000), shift in 0u64..3000,
        ) {
            let mut disk = Disk::new();
            let mut bytes = RECORD_MAGIC.to_vec();
            bytes.extend(&seed);
            disk.put(BLOCK - 4096 - shift, &bytes);
            disk.put(BLOCK - 0x10_0000, &seed);
            for record in disk.tail().records {
                prop_assert!(record.offset < BLOCK && record.at.end() <= START + BLOCK);
            }
        }
    }
}
