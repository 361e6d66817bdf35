//! `daleel show` for the structures of a disk: which one holds an offset, and what each of its fields means.
//!
//! The tables are those of `docs/formats/hikvision.md`. What lies in a block is explained by the stream reader.

mod fields;

use std::sync::Arc;

use daleel_core::{CivilTime, Extent, FormatError, Source, Structure, Volume};

use crate::fields::{explained, table};
use memchr::memmem;

use super::{
    entry::{ENTRY_BYTES, RawEntry},
    explain,
    index::{Entry, Index, bytes::Patched},
    log,
    master::{self, BACKUP_OFFSET, MASTER_OFFSET, Master},
    tail::{RECORD_BYTES, RECORD_MAGIC, TailRecord, read_directory, read_tail},
    tree::{NODE_BYTES, Tree},
};

/// Entries of a node begin here.
const NODE_HEAD_BYTES: u64 = 0x60;
/// Entries of a block that are named; a block rarely has more than one.
const NAMED_ENTRIES: usize = 8;

/// The structures of a disk that hold `offset`, outermost first.
///
/// # Errors
/// When a structure is known to be there and cannot be read.
pub fn describe(
    index: &Index,
    volume: &Volume,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let mut found = masters(index, volume, offset)?;
    for (number, tree) in index.trees.iter().enumerate() {
        found.extend(in_tree(volume, tree, number.saturating_add(1), offset)?);
    }
    for (number, area) in log::areas(index, volume).into_iter().enumerate() {
        if area.contains(offset) {
            found.extend(in_log(volume, area, number.saturating_add(1), offset)?);
        }
    }
    if let Some(block) = block_at(index, volume, offset) {
        found.extend(in_block(index, volume, block, offset)?);
    }
    Ok(found)
}

/// The structures of a tree in a file that hold `offset` of the file, outermost first.
///
/// # Errors
/// When a structure is known to be there and cannot be read.
pub fn tree_file(
    tree: &Tree,
    source: &Arc<dyn Source>,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    in_tree(&Volume::whole(source.clone()), tree, 1, offset)
}

fn masters(index: &Index, volume: &Volume, offset: u64) -> Result<Vec<Structure>, FormatError> {
    let elsewhere = index
        .master
        .as_ref()
        .map(|master| master.at.offset().saturating_sub(volume.extent.offset()));
    let mut places = vec![MASTER_OFFSET, BACKUP_OFFSET];
    places.extend(elsewhere.filter(|place| ![MASTER_OFFSET, BACKUP_OFFSET].contains(place)));
    let mut found = Vec::new();
    for place in places {
        let at = volume.at(place, master::MASTER_BYTES);
        if !at.contains(offset) {
            continue;
        }
        if let Some(stands) = Master::read(volume, place)? {
            let failed = stands.checks().iter().filter(|check| !check.supports).count();
            let checks = match failed {
                0 => "Its checks on itself hold.".to_owned(),
                _ => format!("{failed} of its checks on itself do not hold."),
            };
            let purpose = format!("{} {checks}", fields::MASTER_PURPOSE);
            found.push(table(&*volume.source, master::STRUCTURE, at, purpose, fields::MASTER)?);
        }
    }
    Ok(found)
}

fn in_tree(
    volume: &Volume,
    tree: &Tree,
    number: usize,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let node = |at: Extent| Extent::new(at.offset(), NODE_BYTES);
    let mut found = Vec::new();
    let header = node(tree.at);
    if header.contains(offset) && tree.header.is_some() {
        let name = format!("tree {number}, header");
        found.push(table(&*volume.source, name, header, fields::TREE_PURPOSE, fields::TREE)?);
    }
    if let Some(list) = tree.lists.iter().find(|list| list.contains(offset)) {
        let name = format!("tree {number}, page list");
        found.push(table(&*volume.source, name, *list, fields::LIST_PURPOSE, fields::NODE)?);
        found.extend(entry(volume, *list, offset, None)?);
    }
    if let Some(leaf) = tree.leaves.iter().find(|leaf| leaf.at.contains(offset)) {
        let name = format!("tree {number}, leaf");
        let listed = if leaf.listed { "" } else { " Nothing leads to this page any longer." };
        let purpose = format!("{}{listed}", fields::LEAF_PURPOSE);
        found.push(table(&*volume.source, name, leaf.at, purpose, fields::NODE)?);
        found.extend(entry(volume, leaf.at, offset, Some(leaf.count))?);
    }
    if let Some(footer) = tree.footer.filter(|footer| footer.contains(offset)) {
        let name = format!("tree {number}, footer");
        found.push(table(&*volume.source, name, footer, fields::FOOTER_PURPOSE, fields::FOOTER)?);
    }
    Ok(found)
}

/// The entry of a node that holds `offset`; `count` entries of a leaf are in use.
fn entry(
    volume: &Volume,
    node: Extent,
    offset: u64,
    count: Option<u32>,
) -> Result<Option<Structure>, FormatError> {
    let within = offset.saturating_sub(node.offset()).checked_sub(NODE_HEAD_BYTES);
    let Some(number) = within.map(|within| within / ENTRY_BYTES) else { return Ok(None) };
    let from = number.saturating_mul(ENTRY_BYTES).saturating_add(NODE_HEAD_BYTES);
    let Some(at) = node.slice(from, ENTRY_BYTES) else { return Ok(None) };
    let Some(count) = count else {
        let name = format!("page list entry {number}");
        return table(&*volume.source, name, at, fields::LIST_ENTRY_PURPOSE, fields::ENTRY)
            .map(Some);
    };
    let name = format!("index entry {number}");
    let mut shown = table(&*volume.source, name, at, fields::ENTRY_PURPOSE, fields::ENTRY)?;
    let stored = volume.source.read(at).map_err(|error| FormatError::read("structure", error))?;
    if let Some(raw) = RawEntry::parse(&stored) {
        shown.purpose = format!("{} This one: {}.", shown.purpose, raw.decode(at).summary());
    }
    if number >= u64::from(count) {
        shown.purpose.push_str(" It stands behind the entries in use: no longer listed.");
    }
    Ok(Some(shown))
}

fn in_log(
    volume: &Volume,
    area: Extent,
    number: usize,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let head = Extent::new(area.offset(), area.len().min(0x20));
    let mut found = vec![table(
        &*volume.source,
        format!("log area {number}"),
        head,
        format!("{} The area has {} bytes.", fields::LOG_PURPOSE, area.len()),
        fields::LOG,
    )?];
    if let Some((event, bytes)) = log::record_at(volume, area, offset) {
        let time = event.time.map_or("no time".to_owned(), CivilTime::to_seconds_text);
        let purpose = format!(
            "{} This one: {time} (recorder time), {}, {}.",
            fields::RECORD_PURPOSE,
            event.level,
            event.text
        );
        found.push(explained("log record", event.at, purpose, fields::RECORD, &bytes));
    }
    Ok(found)
}

/// The block that holds an offset of the medium.
fn block_at(index: &Index, volume: &Volume, offset: u64) -> Option<Extent> {
    let geometry = &index.geometry;
    let within = offset.checked_sub(volume.at(geometry.video_base, 0).offset())?;
    let number = within.checked_div(geometry.block_bytes)?;
    (number < geometry.blocks).then(|| {
        let start = number.saturating_mul(geometry.block_bytes).saturating_add(geometry.video_base);
        volume.at(start, geometry.block_bytes)
    })
}

fn in_block(
    index: &Index,
    volume: &Volume,
    block: Extent,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let mut found = vec![block_structure(index, volume, block, offset)];
    if let Some((record, bytes)) = tail_record(volume, block, offset) {
        let purpose = fields::TAIL_PURPOSE;
        found.push(explained("block index record", record.at, purpose, fields::TAIL, &bytes));
        return Ok(found);
    }
    if let Some(page) = directory_page(volume, block, offset)? {
        found.push(page);
        return Ok(found);
    }
    found.extend(explain::stream_at(&*volume.source, block, offset));
    Ok(found)
}

fn block_structure(index: &Index, volume: &Volume, block: Extent, offset: u64) -> Structure {
    let start = block.offset().saturating_sub(volume.extent.offset());
    let geometry = &index.geometry;
    let number = start
        .saturating_sub(geometry.video_base)
        .checked_div(geometry.block_bytes)
        .unwrap_or_default();
    let entries: Vec<&Entry> = index.entries.iter().filter(|entry| entry.block == start).collect();
    let mut says: Vec<String> = entries
        .iter()
        .take(NAMED_ENTRIES)
        .map(|entry| {
            let stale = if entry.stale { " (no longer listed)" } else { "" };
            format!("{}{stale}", entry.summary())
        })
        .collect();
    if entries.len() > NAMED_ENTRIES {
        says.push(format!("and {} more", entries.len().saturating_sub(NAMED_ENTRIES)));
    }
    if says.is_empty() {
        says.push("nothing: never used since initialisation, or its entry is lost".to_owned());
    }
    let tail = read_tail(volume, block);
    let mut own = format!("{}; {} records read", tail.layout.as_str(), tail.records.len());
    if !tail.segments.is_empty() {
        own.push_str(&format!(", {} segments", tail.segments.len()));
    }
    if let Some(low) = tail.low {
        own.push_str(&format!(", the lowest {low} bytes into the block"));
    }
    Structure {
        name: format!("block {number}"),
        at: block,
        purpose: format!(
            "Footage from the front, its own index at the end. The offset lies {} bytes into it. The index says of it: {}. Its own index: {own}.",
            offset.saturating_sub(block.offset()),
            says.join("; ")
        ),
        fields: Vec::new(),
    }
}

/// The record of the block's own index that holds `offset`.
fn tail_record(volume: &Volume, block: Extent, offset: u64) -> Option<(TailRecord, Vec<u8>)> {
    let within = offset.saturating_sub(block.offset());
    let from = within.saturating_sub(RECORD_BYTES.saturating_sub(1));
    let to = within.saturating_add(RECORD_BYTES).min(block.len());
    let at = block.slice(from, to.saturating_sub(from))?;
    let near = Patched::read(&*volume.source, at);
    memmem::find_iter(near.all(), RECORD_MAGIC).find_map(|start| {
        let place = at.slice(start as u64, RECORD_BYTES).filter(|place| place.contains(offset))?;
        let bytes = near.get(start as u64, RECORD_BYTES)?;
        Some((TailRecord::parse(bytes, place, block.len())?, bytes.to_vec()))
    })
}

fn directory_page(
    volume: &Volume,
    block: Extent,
    offset: u64,
) -> Result<Option<Structure>, FormatError> {
    let within = offset.saturating_sub(block.offset());
    let Some(directory) = read_directory(volume, block).filter(|found| found.start <= within)
    else {
        return Ok(None);
    };
    let head = Extent::new(block.offset().saturating_add(directory.start), 512);
    if head.contains(offset) {
        let purpose = fields::DIRECTORY_HEAD_PURPOSE;
        return table(&*volume.source, "block directory", head, purpose, fields::DIRECTORY_HEAD)
            .map(Some);
    }
    let page = directory.segments.iter().find(|segment| segment.at.contains(offset));
    page.map(|segment| {
        let purpose = fields::DIRECTORY_PAGE_PURPOSE;
        table(&*volume.source, "block directory page", segment.at, purpose, fields::DIRECTORY_PAGE)
    })
    .transpose()
}
