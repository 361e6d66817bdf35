//! The directory of segments that some firmware keeps 1 MiB before the end of a block.
//!
//! Facts: `docs/formats/hikvision.md` section 4.2, variant B: a single source, which did not finish it.

use daleel_core::{CivilTime, Extent, Volume};

use crate::hikvision::{
    entry,
    index::bytes::{Patched, u32_at, u64_at},
};

/// Where the directory begins, from the end of the block.
/// A directory begins so far before the end of its block.
pub const DIRECTORY_BYTES: u64 = 0x10_0000;
const PAGE_BYTES: u64 = 512;
/// Longest table of records that is believed.
const TABLE_MAX: u64 = 16 << 20;

/// A page of the directory: one segment of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySegment {
    /// Its bytes.
    pub at: Extent,
    /// Camera from 1.
    pub channel: Option<u32>,
    /// Start, where one is stored.
    pub start: Option<CivilTime>,
    /// End, where one is stored.
    pub end: Option<CivilTime>,
    /// Start and end as stored.
    pub raw_times: [u32; 2],
    /// Two offsets from the start of the block, to tables of records.
    pub tables: [u32; 2],
}

/// A directory.
pub struct Directory {
    /// From the start of the block.
    pub start: u64,
    /// Its segments.
    pub segments: Vec<DirectorySegment>,
}

impl Directory {
    /// Where tables of records may lie, from the start of the block.
    pub fn tables(&self, block_bytes: u64) -> Vec<(u64, u64)> {
        let ranges = self.segments.iter().filter_map(|segment| {
            let [one, two] = segment.tables.map(u64::from);
            let (from, to) = (one.min(two), one.max(two));
            let is_possible = to < block_bytes && from != 0 && to.saturating_sub(from) <= TABLE_MAX;
            // Whether the second is the end of the table or another one is not known.
            is_possible.then(|| (from, to.saturating_add(PAGE_BYTES).min(block_bytes)))
        });
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }
}

/// Reads the directory of a block, if one is there: its head names the block.
pub fn read(volume: &Volume, block: Extent) -> Option<Directory> {
    let start = block.len().checked_sub(DIRECTORY_BYTES)?;
    let head_at = block.slice(start, PAGE_BYTES)?;
    let head = volume.source.read(head_at).ok()?;
    let named = u64_at(&head, 0x18)?;
    let relative = block.offset().saturating_sub(volume.extent.offset());
    let channel = *head.get(0x0D)?;
    let names_block = named == relative || named == block.offset();
    (names_block && named != 0 && !matches!(channel, 0 | 0xFF)).then_some(())?;
    let pages_at = block.slice(start.saturating_add(PAGE_BYTES), DIRECTORY_BYTES - PAGE_BYTES)?;
    let pages = Patched::read(&*volume.source, pages_at);
    let mut segments = Vec::new();
    for number in 0..pages_at.len() / PAGE_BYTES {
        let from = number.saturating_mul(PAGE_BYTES);
        // An unreadable page says nothing about the next one.
        let Some(page) = pages.get(from, PAGE_BYTES) else { continue };
        if page.iter().all(|byte| *byte == 0) {
            break;
        }
        if let Some(at) = pages_at.slice(from, PAGE_BYTES) {
            segments.extend(segment(page, at));
        }
    }
    Some(Directory { start, segments })
}

fn segment(page: &[u8], at: Extent) -> Option<DirectorySegment> {
    let channel = *page.get(0x0D)?;
    let (start, end) = (u32_at(page, 0x28)?, u32_at(page, 0x30)?);
    let is_segment = !matches!(channel, 0 | 0xFF) && (end == 0 || start <= end);
    is_segment.then(|| DirectorySegment {
        at,
        channel: Some(u32::from(channel)),
        start: entry::time(start),
        end: entry::time(end),
        raw_times: [start, end],
        tables: [u32_at(page, 0x6C).unwrap_or(0), u32_at(page, 0x70).unwrap_or(0)],
    })
}
