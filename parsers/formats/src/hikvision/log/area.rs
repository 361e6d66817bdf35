//! The two log areas of a disk, and the head of each.
//!
//! Facts: `docs/formats/hikvision.md` sections 1, 10.1 and 17. All but the sizes in 10.1 is inferred: it is shown where it makes sense, and nothing
//! is read by it.

use daleel_core::{Extent, Volume};

use crate::hikvision::{
    entry,
    index::{
        Index,
        bytes::{u32_at, u64_at},
    },
    master::{Area, LOG_AREAS},
};

/// Largest area (section 12).
const AREA_MAX: u64 = 256 << 20;
/// Bytes of a chunk.
pub const CHUNK_BYTES: u64 = 64_000;
/// Total size and head of the areas and files known.
const SIZES: [(u64, u64); 3] = [(64_008_192, 0x2000), (16_002_048, 0x800), (32_004_192, 0x1060)];
/// First records of the two areas on the disks seen, and of area 1 by the second reading.
const FIRST_RECORDS: [u64; 3] = [0xA200, 0x3D1_3A00, 0x8A00];

/// Both areas of a disk: by the pointers of its master sector, by the usual places where it has none or names one area only.
pub fn areas(index: &Index, volume: &Volume) -> Vec<Extent> {
    let stated = index.master.as_ref().map_or(LOG_AREAS, |master| master.logs);
    let place = |area: Area, usual: Area| {
        let is_possible = area.size <= AREA_MAX
            && area.end().is_some_and(|end| end <= index.geometry.video_base.max(AREA_MAX));
        let area = if is_possible && area.offset != 0 { area } else { usual };
        volume.at(area.offset, area.size)
    };
    stated.into_iter().zip(LOG_AREAS).map(|(area, usual)| place(area, usual)).collect()
}

/// Where a record stands as the first one of an area does on the disks seen, in offsets of the volume.
pub fn fixed_place(volume: &Volume) -> Option<u64> {
    FIRST_RECORDS.iter().copied().find(|offset| record_stands_at(volume, *offset))
}

/// Where the first record of an area stands, from the start of the area; `None` when none stands at a usual place.
fn first_record(volume: &Volume, area: Extent) -> Option<u64> {
    [0x2000u64, 0x800, 0x1060].into_iter().find(|shift| {
        let at = area.offset().saturating_sub(volume.extent.offset()).saturating_add(*shift);
        record_stands_at(volume, at)
    })
}

/// True when no area begins with a record: the logs were cleared, are gone, or were never written.
pub fn are_empty(volume: &Volume, areas: &[Extent]) -> bool {
    areas.iter().all(|area| first_record(volume, *area).is_none())
}

/// True when a record begins at an offset of the volume.
fn record_stands_at(volume: &Volume, offset: u64) -> bool {
    let head = volume.source.read_array::<16>(volume.at(offset, 0).offset());
    head.is_ok_and(|head| super::record::Head::parse(&head).is_some_and(|head| head.is_plausible()))
}

/// Bytes before the first record of an area, where its size is a known one.
pub fn head_bytes(area: Extent) -> Option<u64> {
    SIZES.iter().find(|(total, _)| *total == area.len()).map(|(_, head)| *head)
}

/// What the heads of the areas say, where that makes sense.
pub fn facts(volume: &Volume, areas: &[Extent]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (number, area) in areas.iter().enumerate().filter(|(_, area)| !area.is_empty()) {
        let name = format!("log area {}", number.saturating_add(1));
        let begins = match first_record(volume, *area) {
            Some(shift) => format!("0x{shift:x} bytes into the area"),
            None => "none at a usual place".to_owned(),
        };
        out.push((format!("{name}, first record"), begins));
        out.extend(ring(volume, *area).map(|ring| (format!("{name}, ring (inferred)"), ring)));
    }
    out
}

/// Current and oldest chunk of the ring, if the head can be read as one.
fn ring(volume: &Volume, area: Extent) -> Option<String> {
    let head_bytes = head_bytes(area)?;
    let head = volume.source.read(area.slice(0, head_bytes)?).ok()?;
    let chunks = area.len().checked_sub(head_bytes)? / CHUNK_BYTES;
    let latest = entry::time(u32_at(&head, 0)?)?;
    let (current, oldest) = (u32_at(&head, 0x10)?, u32_at(&head, 0x14)?);
    let is_possible = u64::from(current) < chunks
        && u64::from(oldest) < chunks
        && u64_at(&head, 0).map(|pair| pair >> 32) == Some(0);
    is_possible.then(|| {
        format!(
            "chunk {current} is being written, {oldest} is the oldest of {chunks}; latest event {} by the recorder's clock",
            latest.to_seconds_text()
        )
    })
}
