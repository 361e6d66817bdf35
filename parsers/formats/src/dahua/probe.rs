//! Is this a DHFS disk? Facts for and against, with their bytes.
//!
//! Facts: `docs/formats/dahua.md` sections 1, 1.1, 1.2 and 2. A layout is named, never a brand: nothing on a disk names one.

use daleel_core::{Extent, Findings, Input, Verdict, Volume};

use super::{
    layout::{SECTOR_BYTES, TABLE_SECTORS},
    table::{self, FoundBy},
    volume::FAMILY,
};

/// Looks for a DHFS layout on a volume.
pub fn probe(input: &Input) -> Vec<Verdict> {
    let Input::Volume(volume) = input else { return Vec::new() };
    let signature = table::superblock(volume);
    let shift = signature.map_or(0, |at| at.offset().saturating_sub(volume.extent.offset()));
    let extent = Extent::new(
        volume.extent.offset().saturating_add(shift),
        volume.extent.len().saturating_sub(shift),
    );
    let shifted = Volume { source: volume.source.clone(), extent };
    let mut verdict = Verdict::new(FAMILY, "DHFS 4.1", extent);
    match signature {
        Some(at) => {
            verdict.supports(60, at, "superblock signature `DHFS4.1`");
            if shift > 0 {
                verdict.contradicts(
                    5,
                    at,
                    format!("the signature stands {shift} bytes into the volume, not at its start"),
                );
            }
            note_generation(&shifted, &mut verdict);
        }
        None => verdict.contradicts(
            0,
            shifted.at(0, SECTOR_BYTES),
            "no `DHFS4.1` at the start: wiped, or the layout called DHFS II",
        ),
    }
    judge_partitions(&shifted, &mut verdict);
    verdict.conclude().into_iter().collect()
}

fn note_generation(volume: &Volume, verdict: &mut Verdict) {
    let uuid = volume.at(0x20, 43);
    let Ok(bytes) = volume.source.read(uuid) else { return };
    if bytes.starts_with(b"uuid:{") {
        let text = String::from_utf8_lossy(&bytes).escape_default().to_string();
        verdict.supports(0, uuid, format!("newer firmware: the superblock carries `{text}`"));
    } else {
        verdict.supports(0, uuid, "earlier firmware: no uuid in the superblock");
    }
}

fn judge_partitions(volume: &Volume, verdict: &mut Verdict) {
    let mut findings = Findings::default();
    let [first, second, _] = TABLE_SECTORS;
    let Some(found) = table::find(volume, &mut findings) else {
        verdict.contradicts(
            30,
            table::table_extent(volume, first),
            "no partition table, no boot sectors",
        );
        return;
    };
    match found.by {
        FoundBy::Table(sector) => verdict.supports(
            20,
            table::table_extent(volume, sector),
            format!(
                "partition table at sector {sector} with {} entries and its end marker",
                found.places.len()
            ),
        ),
        FoundBy::Geometry(_) | FoundBy::Scan => verdict.contradicts(
            0,
            table::table_extent(volume, first),
            format!("no usable partition table at sectors {first} and {second}"),
        ),
    }
    for place in &found.places {
        let at = volume.at(
            place.start.saturating_add(u64::from(place.boot_sector)).saturating_mul(SECTOR_BYTES),
            SECTOR_BYTES,
        );
        if table::has_boot(volume, place.start, Some(place.boot_sector)) {
            verdict.supports(10, at, format!("boot sector of partition {}", place.index));
        } else {
            verdict.contradicts(
                2,
                at,
                format!("no usable boot sector in partition {}", place.index),
            );
        }
    }
}
