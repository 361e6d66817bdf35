//! Finding the partitions of a DHFS disk: superblock, partition table and its copies, the geometry rule, a scan.
//!
//! Facts: `docs/formats/dahua.md` sections 1.1, 1.2 and 6. The geometry rule (equal quarters, starts rounded up) is inferred and exact on
//! the two disks it was derived from; so a place it gives counts only where a boot sector stands.

use daleel_core::{Extent, FindingKind, Findings, Volume};

use super::{
    layout::{
        BOOT_SECTORS, Boot, MARKER, PARTITIONS_MAX, SECTOR_BYTES, SUPERBLOCK_SIGNATURE,
        TABLE_BYTES, TABLE_SECTORS, TableEntry, parse_table,
    },
    partition::Place,
};

/// Alignments of partition starts seen: 32 MiB and 1 MiB, in sectors.
const ALIGNMENTS: [u64; 2] = [0x10000, 0x800];
/// The scan looks at every MiB; this many is a 16 TiB disk.
const SCAN_STEPS_MAX: u64 = 16 << 20;
/// Where nothing else speaks for this layout the scan ends here: a disk of another kind must not be read from end to end.
const SCAN_STEPS_BLIND: u64 = 1024;
/// Sectors in a step of the scan.
const SCAN_STEP_SECTORS: u64 = 0x800;

/// How the partitions were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The partition table at this sector.
    Table(u64),
    /// The geometry rule with this alignment in sectors.
    Geometry(u64),
    /// Boot sectors on a 1 MiB grid.
    Scan,
}

/// Partitions and how they were found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The places, in table or disk order.
    pub places: Vec<Place>,
    /// How.
    pub by: FoundBy,
}

/// Where the superblock signature stands: at sector 0, or up to eight sectors later.
pub fn superblock(volume: &Volume) -> Option<Extent> {
    (0..8).find_map(|sector: u64| {
        let at = volume.at(sector.saturating_mul(SECTOR_BYTES), SUPERBLOCK_SIGNATURE.len() as u64);
        let bytes = volume.source.read(at).ok()?;
        (bytes == SUPERBLOCK_SIGNATURE).then_some(at)
    })
}

/// The bytes of a table sector.
pub fn table_extent(volume: &Volume, sector: u64) -> Extent {
    volume.at(sector.saturating_mul(SECTOR_BYTES), SECTOR_BYTES)
}

/// The tables that can be read and have entries, in the order in which they are believed.
fn tables(volume: &Volume) -> Vec<(u64, Vec<(usize, TableEntry)>)> {
    TABLE_SECTORS
        .iter()
        .filter_map(|sector| {
            let sector_at = table_extent(volume, *sector);
            let whole = Extent::new(sector_at.offset(), TABLE_BYTES);
            let bytes =
                volume.source.read(whole).or_else(|_| volume.source.read(sector_at)).ok()?;
            let entries = parse_table(&bytes);
            (!entries.is_empty()).then_some((*sector, entries))
        })
        .collect()
}

/// Places a table names. The high half of a length is believed only where the partition then still lies on the disk: the last entry
/// shares those bytes with another field.
fn places(volume: &Volume, entries: &[(usize, TableEntry)]) -> Vec<Place> {
    let disk = volume.extent.len() / SECTOR_BYTES;
    entries
        .iter()
        .enumerate()
        .map(|(index, (_, entry))| {
            let whole = entry.sectors();
            let fits = entry.start.saturating_add(whole) <= disk;
            let sectors = if fits { whole } else { u64::from(entry.length) };
            Place { index, start: entry.start, sectors, boot_sector: entry.boot_sector }
        })
        .collect()
}

/// Finds the partitions: by the table, by a copy of it, by the geometry rule, by a scan.
pub fn find(volume: &Volume, findings: &mut Findings) -> Option<Found> {
    let tables = tables(volume);
    if let Some((sector, entries)) = tables.first() {
        note_copies(volume, &tables, findings);
        return Some(Found { places: places(volume, entries), by: FoundBy::Table(*sector) });
    }
    let found = by_geometry(volume).or_else(|| by_scan(volume))?;
    let how = match found.by {
        FoundBy::Geometry(alignment) => {
            format!("by the geometry rule (starts rounded up to {alignment} sectors)")
        }
        _ => "by their boot sectors on the 1 MiB grid".to_owned(),
    };
    let [first, second, _] = TABLE_SECTORS;
    findings.note(
        FindingKind::Inferred,
        table_extent(volume, first),
        format!(
            "no usable partition table at sectors {first} and {second}; {} partitions found {how}",
            found.places.len()
        ),
    );
    Some(found)
}

fn note_copies(
    volume: &Volume,
    tables: &[(u64, Vec<(usize, TableEntry)>)],
    findings: &mut Findings,
) {
    let [first, second, _] = TABLE_SECTORS;
    let get = |sector: u64| tables.iter().find(|(at, _)| *at == sector).map(|(_, entries)| entries);
    let (primary, copy) = (get(first), get(second));
    let text = match (primary, copy) {
        (Some(a), Some(b)) if a != b => {
            "the partition table and its copy differ; the first is used"
        }
        (None, Some(_)) => "the partition table is unusable; its copy is used",
        (Some(_), None) => "the copy of the partition table is unusable",
        (None, None) => {
            "the partition table and its copy are unusable; the one at sector 31 is used"
        }
        (Some(_), Some(_)) => return,
    };
    let at = if primary.is_none() { first } else { second };
    findings.note(FindingKind::CopyMismatch, table_extent(volume, at), text);
}

/// True when a usable boot sector, or its copy, stands in a partition that starts at sector `start`; `stated` is the sector its table entry
/// names.
pub fn has_boot(volume: &Volume, start: u64, stated: Option<u32>) -> bool {
    BOOT_SECTORS.iter().chain(&stated).any(|sector| {
        let at = start.saturating_add(u64::from(*sector)).saturating_mul(SECTOR_BYTES);
        let at = volume.at(at, SECTOR_BYTES);
        // Reading four bytes first keeps the scan of a large disk cheap.
        let marker = at.slice(0x148, 4).and_then(|marker| volume.source.read(marker).ok());
        marker.is_some_and(|marker| marker == MARKER)
            && volume.source.read(at).is_ok_and(|bytes| Boot::parse(&bytes, at).is_ok())
    })
}

/// Four equal quarters: `end(k) = floor((k+1) * T / 4)`, `start(k)` = `floor(k * T / 4)` rounded up to the alignment.
pub fn quarters(disk_sectors: u64, alignment: u64) -> Vec<Place> {
    let boundary = |k: u64| {
        let product = u128::from(disk_sectors).saturating_mul(u128::from(k));
        u64::try_from(product / 4).unwrap_or(u64::MAX)
    };
    let [boot_sector, _] = BOOT_SECTORS;
    (0u64..4)
        .filter_map(|k| {
            let start = boundary(k).checked_next_multiple_of(alignment)?;
            let sectors = boundary(k.saturating_add(1)).checked_sub(start)?;
            Some(Place { index: usize::try_from(k).ok()?, start, sectors, boot_sector })
        })
        .collect()
}

fn by_geometry(volume: &Volume) -> Option<Found> {
    let disk = volume.extent.len() / SECTOR_BYTES;
    ALIGNMENTS
        .iter()
        .map(|alignment| {
            let places = quarters(disk, *alignment);
            let boots = places.iter().filter(|place| has_boot(volume, place.start, None)).count();
            (boots, Found { places, by: FoundBy::Geometry(*alignment) })
        })
        // One partition may have lost both boot sectors; the first starts at 0 under every alignment.
        .filter(|(boots, _)| *boots >= 2)
        .max_by_key(|(boots, _)| *boots)
        .map(|(_, found)| found)
}

/// Boot sectors at every MiB. A partition reaches to the next one, the last to the end of the disk.
fn by_scan(volume: &Volume) -> Option<Found> {
    let disk = volume.source.len().min(volume.extent.end()).saturating_sub(volume.extent.offset())
        / SECTOR_BYTES;
    let is_likely = superblock(volume).is_some() || has_boot(volume, 0, None);
    let most = if is_likely { SCAN_STEPS_MAX } else { SCAN_STEPS_BLIND };
    let steps = disk.div_ceil(SCAN_STEP_SECTORS).min(most);
    let starts: Vec<u64> = (0..steps)
        .map(|step| step.saturating_mul(SCAN_STEP_SECTORS))
        .filter(|start| has_boot(volume, *start, None))
        .take(PARTITIONS_MAX)
        .collect();
    let [boot_sector, _] = BOOT_SECTORS;
    let places: Vec<_> = starts
        .iter()
        .enumerate()
        .map(|(index, start)| {
            let end = starts.get(index.saturating_add(1)).copied().unwrap_or(disk);
            Place { index, start: *start, sectors: end.saturating_sub(*start), boot_sector }
        })
        .collect();
    (!places.is_empty()).then_some(Found { places, by: FoundBy::Scan })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The geometry rule reproduces the partition starts and lengths of the two disks it was found on (section 1.2).
    #[test]
    fn quarters_of_the_reference_disks() {
        let disk_a = quarters(488_397_168, 0x10000);
        let starts: Vec<_> = disk_a.iter().map(|place| place.start).collect();
        let lengths: Vec<_> = disk_a.iter().map(|place| place.sectors).collect();
        assert_eq!(starts, [0, 122_159_104, 244_252_672, 366_346_240]);
        assert_eq!(lengths, [122_099_292, 122_039_480, 122_045_204, 122_050_928]);
        let disk_b = quarters(1_953_525_168, 0x800);
        let starts: Vec<_> = disk_b.iter().map(|place| place.start).collect();
        assert_eq!(starts, [0, 0x1D1C_2000, 0x3A38_3800, 0x5754_5800]);
    }
}
