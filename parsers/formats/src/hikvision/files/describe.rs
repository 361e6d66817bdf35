//! `daleel show` for indexes and media files: which structure holds an offset, and what each of its fields means.

use std::ops::Range;

use daleel_core::{CivilTime, Extent, FormatError, Source, Structure, TreeFile};

use crate::fields::table;
use daleel_media::ps::{UnitAt, find_pack, unit_at};

use super::{
    fields,
    index::{Copy, Held, Index},
    judged::Judged,
    layout::{FILE_ENTRY_BYTES, HEADER_BYTES, SLOT_BYTES, SLOT_COUNT, SLOTS_OFFSET},
    residual::Part,
};
use crate::hikvision::explain;

/// Length of a key-frame record.
const RUN_RECORD_BYTES: u64 = 56;
/// How far back the begin of a pack is searched.
const BACK_STEPS: [u64; 2] = [64 << 10, 1 << 20];
/// A unit of a program stream with its header fits into this.
const UNIT_BYTES: u64 = 66 << 10;

/// The structure of an index that holds `offset` of its source.
///
/// # Errors
/// When it cannot be read.
pub fn index(index: &Index, copy: &Copy, offset: u64) -> Result<Vec<Structure>, FormatError> {
    let Some(within) = offset.checked_sub(copy.extent.offset()) else { return Ok(Vec::new()) };
    let source = &*copy.source;
    let header = &index.header;
    if within < HEADER_BYTES {
        let at = copy.at(0, HEADER_BYTES);
        let mut found =
            vec![table(source, "index header", at, fields::HEADER_PURPOSE, fields::HEADER)?];
        let slot = within.checked_sub(SLOTS_OFFSET).map(|within| within / SLOT_BYTES);
        if let Some(slot) = slot.filter(|slot| *slot < SLOT_COUNT) {
            let start = SLOTS_OFFSET.saturating_add(slot.saturating_mul(SLOT_BYTES));
            let name = format!("active slot of channel {slot}");
            let at = copy.at(start, SLOT_BYTES);
            found.push(table(source, name, at, fields::SLOT_PURPOSE, fields::SLOT)?);
        }
        return Ok(found);
    }
    let records = index.shape.table_offset(header.files);
    if within < records {
        let file = within.saturating_sub(HEADER_BYTES) / FILE_ENTRY_BYTES;
        let start = HEADER_BYTES.saturating_add(file.saturating_mul(FILE_ENTRY_BYTES));
        let at = copy.at(start, FILE_ENTRY_BYTES);
        let name = format!("file table entry of file {file}");
        return Ok(vec![table(source, name, at, fields::FILE_PURPOSE, fields::FILE)?]);
    }
    if within >= index.shape.total_bytes(header.files) {
        return Ok(Vec::new());
    }
    let shape = index.shape;
    let number = within.saturating_sub(records).checked_div(shape.record_bytes).unwrap_or(0);
    let file = number.checked_div(shape.records_per_file).unwrap_or(0);
    let slot = number.checked_rem(shape.records_per_file).unwrap_or(0);
    let file = u32::try_from(file).unwrap_or(u32::MAX);
    let what = if shape.is_pictures { "picture" } else { "segment" };
    let at = index.record_at(copy, file, slot);
    let name = format!("{what} record {slot} of file {file}");
    let mut structure = table(source, name, at, fields::RECORD_PURPOSE, fields::RECORD)?;
    let (judged, _) = Judged::of(index, file);
    let part = judged.iter().find(|(held, _)| u64::from(held.slot) == slot);
    let stands_for = part.map_or("Never written.".to_owned(), |(held, part)| part_text(held, part));
    structure.purpose = format!("{} {stands_for}", structure.purpose);
    Ok(vec![structure])
}

fn part_text(held: &Held, part: Part) -> String {
    let record = &held.record;
    let fault = record.fault().map(|fault| format!(" It contradicts itself: {fault}."));
    let fault = fault.unwrap_or_default();
    match part {
        Part::Current if record.is_open() => {
            format!("Current, and being written: it has no end yet.{fault}")
        }
        Part::Current => format!("Current: the recorder shows it.{fault}"),
        Part::Residual(remains) => format!(
            "Residual: of an earlier pass; {} bytes of its footage are left from byte {} on.{fault}",
            remains.bytes, remains.from
        ),
    }
}

/// The segment that a byte of a media file belongs to.
///
/// # Errors
/// When its record cannot be read.
pub fn segment(
    index: &Index,
    held: &Held,
    file: u32,
    part: Part,
    range: Range<u64>,
    offset: u64,
) -> Result<Structure, FormatError> {
    let time = |stamp: super::layout::Stamp| {
        stamp.civil().map_or("no time".to_owned(), CivilTime::to_seconds_text)
    };
    let record = &held.record;
    Ok(Structure {
        name: format!(
            "{} {} of file {file}",
            if index.shape.is_pictures { "picture" } else { "segment" },
            held.slot
        ),
        at: Extent::new(range.start, range.end.saturating_sub(range.start)),
        purpose: format!(
            "byte {} of {}; {} to {} (recorder time), listed in {} at byte {}. {}",
            offset.saturating_sub(range.start),
            range.end.saturating_sub(range.start),
            time(record.start),
            time(record.end),
            held.copy,
            held.at.offset(),
            part_text(held, part)
        ),
        fields: Vec::new(),
    })
}

/// The key-frame record of a media file that holds `offset`, by the runs that the index states.
///
/// # Errors
/// When it cannot be read.
pub fn run(
    media: &TreeFile,
    judged: &Judged,
    offset: u64,
) -> Result<Option<Structure>, FormatError> {
    let of_run = judged.iter().find_map(|(held, _)| {
        let (low, high) = (u64::from(held.record.run_lower), u64::from(held.record.run_upper));
        let back = high.checked_sub(offset)?.checked_sub(1)?;
        (low <= offset).then_some((held, high, back / RUN_RECORD_BYTES))
    });
    let Some((held, high, number)) = of_run else { return Ok(None) };
    let end = high.saturating_sub(number.saturating_mul(RUN_RECORD_BYTES));
    let at = Extent::new(end.saturating_sub(RUN_RECORD_BYTES), RUN_RECORD_BYTES);
    let name = format!("key-frame record {number} of segment {}", held.slot);
    table(&*media.source, name, at, fields::RUN_PURPOSE, fields::RUN).map(Some)
}

/// The unit of the program stream that holds `offset`: from the nearest pack before it on, unit by unit.
pub fn stream(source: &dyn Source, offset: u64) -> Vec<Structure> {
    BACK_STEPS.iter().find_map(|back| stream_from(source, offset, *back)).unwrap_or_default()
}

fn stream_from(source: &dyn Source, offset: u64, back: u64) -> Option<Vec<Structure>> {
    let start = offset.saturating_sub(back);
    let end = offset.saturating_add(UNIT_BYTES).min(source.len());
    let bytes = source.read(Extent::new(start, end.checked_sub(start)?)).ok()?;
    let target = usize::try_from(offset.saturating_sub(start)).ok()?;
    // The last pack that begins at or before the offset; its mark may lie across it.
    let mut pack = None;
    let mut from = 0usize;
    while let Some(found) = bytes.get(from..).and_then(find_pack) {
        let at = from.saturating_add(found);
        if at > target {
            break;
        }
        pack = Some(at);
        from = at.saturating_add(1);
    }
    let mut at = pack?;
    while let Some(rest) = bytes.get(at..) {
        let UnitAt::Unit(unit) = unit_at(rest, true) else { return None };
        let next = at.saturating_add(unit.length.max(1));
        if target < next {
            let length = unit.length.min(rest.len());
            let shown = explain::stream_unit(rest.get(..length)?, start.saturating_add(at as u64));
            return Some(shown).filter(|shown| !shown.is_empty());
        }
        at = next;
    }
    None
}
