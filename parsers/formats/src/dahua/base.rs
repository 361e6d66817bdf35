//! Where cluster 0 lies: the boot sector's value, verified; searched when it does not hold.
//!
//! Facts: `docs/formats/dahua.md` section 1.5. A base that is a few sectors off reads as a disk that loses a frame at every cluster
//! and shows other cameras' frames, so the base is proven before anything is extracted: head clusters begin with `DHII`.

use std::collections::BTreeMap;

use daleel_core::{CivilTime, Extent, FindingKind, Findings, Volume};
use memchr::memmem::Finder;

use super::{
    layout::{
        CLUSTERS_MAX, Descriptor, DescriptorType, IndexHead, SECTOR_BYTES, parse_index_entries,
    },
    partition::{Geometry, Partition, Place},
    time::decode_date,
};

/// Head clusters looked at.
const SAMPLES: usize = 48;
/// How far around the stated base the search goes, in sectors (32 MiB each way).
const SEARCH_SECTORS: u64 = 65536;
/// Base offsets another reader adds to the stated one (section 1.5); tried like any other.
const KNOWN_SHIFTS: [u64; 2] = [65536, 131_072];
/// Sectors in a cluster on every disk reported so far.
pub const USUAL_CLUSTER_SECTORS: u32 = 4096;
/// The descriptor table of every disk seen.
const TABLE_SECTOR: u32 = 187;

/// What the sampled head clusters say under a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Begin with a DHII index whose first entry is dated within a minute of the recording's begin. On recorders that store a camera's clock
    /// none may be.
    dated: usize,
    /// Begin with a DHII index.
    hits: usize,
    /// Could be read.
    readable: usize,
}

impl Score {
    const fn most(self) -> bool {
        self.hits.saturating_mul(2) > self.readable
    }

    /// Section 1.5: nearly all must.
    const fn nearly_all(self) -> bool {
        self.hits.saturating_mul(10) >= self.readable.saturating_mul(9)
    }
}

/// Proves the stated base, or replaces it by one that can be proven.
pub fn verify(partition: &mut Partition, findings: &mut Findings) {
    let stated = partition.geometry.data_sector;
    let samples = samples(partition);
    let score = score(partition, stated, &samples);
    let at = partition.extent();
    let index = partition.place.index;
    if score.readable == 0 {
        if !samples.is_empty() {
            let text = format!(
                "partition {index}: no head cluster can be read, the start of the data area is not proven"
            );
            findings.note(FindingKind::Interpretation, at, text);
        }
        return;
    }
    if score.nearly_all() {
        return;
    }
    match search(partition) {
        Some(found) if found != stated && self::score(partition, found, &samples) > score => {
            partition.geometry.data_sector = found;
            findings.note(
                FindingKind::Inferred,
                at,
                format!(
                    "partition {index}: the boot sector says the data area starts at sector {stated}, where {} of {} head clusters begin \
                     with a DHII index; at sector {found} {} do, and that is used",
                    score.hits,
                    score.readable,
                    self::score(partition, found, &samples).hits
                ),
            );
        }
        _ => findings.note(
            FindingKind::DamagedIndex,
            at,
            format!(
                "partition {index}: {} of {} head clusters looked at begin with a DHII index, and no other start of the data area \
                 fits better; the stated one is kept",
                score.hits, score.readable
            ),
        ),
    }
}

/// Head clusters spread over the partition, with their begin dates.
fn samples(partition: &Partition) -> Vec<(u32, Option<CivilTime>)> {
    let count = partition.heads().count();
    let step = count.div_ceil(SAMPLES).max(1);
    partition
        .heads()
        .step_by(step)
        .map(|(cluster, descriptor)| (cluster, decode_date(descriptor.begin.get())))
        .collect()
}

fn cluster_sector(partition: &Partition, base: u64, cluster: u32) -> u64 {
    let within = u64::from(cluster).saturating_mul(u64::from(partition.geometry.cluster_sectors));
    partition.place.start.saturating_add(base).saturating_add(within)
}

fn read_head(partition: &Partition, base: u64, cluster: u32) -> Option<Vec<u8>> {
    let start = cluster_sector(partition, base, cluster).checked_mul(SECTOR_BYTES)?;
    partition.volume().read(start, SECTOR_BYTES).ok()
}

/// Whether a DHII index begins the sector, and whether it can be this recording's by the date of its first entry.
fn index_of(sector: &[u8], begin: Option<CivilTime>) -> Option<bool> {
    let head = IndexHead::parse(sector, Extent::new(0, sector.len() as u64)).ok()?;
    let first = head.key_frames().and_then(|(offset, length)| {
        let from = usize::try_from(offset).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?.min(sector.len());
        let (_, entries) = parse_index_entries(sector.get(from..to)?);
        decode_date(entries.first()?.date)
    });
    Some(match (first, begin) {
        (Some(first), Some(begin)) => first.millis().abs_diff(begin.millis()) <= 60_000,
        _ => true,
    })
}

fn score(partition: &Partition, base: u64, samples: &[(u32, Option<CivilTime>)]) -> Score {
    let mut score = Score { dated: 0, hits: 0, readable: 0 };
    for (cluster, begin) in samples {
        let Some(sector) = read_head(partition, base, *cluster) else { continue };
        score.readable = score.readable.saturating_add(1);
        if let Some(is_dated) = index_of(&sector, *begin) {
            score.hits = score.hits.saturating_add(1);
            score.dated = score.dated.saturating_add(usize::from(is_dated));
        }
    }
    score
}

/// Searches the base in sector steps for the value that puts `DHII` on most head clusters; more than half of those that can be read must
/// agree.
pub fn search(partition: &Partition) -> Option<u64> {
    let samples = samples(partition);
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for (cluster, _) in samples.iter().take(6) {
        for base in candidates(partition, *cluster) {
            let count = votes.entry(base).or_insert(0);
            *count = count.saturating_add(1);
        }
    }
    let stated = partition.geometry.data_sector;
    let mut ranked: Vec<_> = votes.into_iter().collect();
    ranked.sort_by_key(|(base, votes)| (std::cmp::Reverse(*votes), base.abs_diff(stated)));
    let known = KNOWN_SHIFTS.iter().map(|shift| stated.saturating_add(*shift));
    ranked
        .iter()
        .map(|(base, _)| *base)
        .take(64)
        .chain(known)
        .map(|base| (score(partition, base, &samples), base))
        .filter(|(score, _)| score.most())
        .max_by_key(|(score, base)| (*score, std::cmp::Reverse(base.abs_diff(stated))))
        .map(|(_, base)| base)
}

/// Searches the base of a partition that has no boot sector: the DHII indexes must be the heads' own by their dates, and all clusters in use must lie
/// in the partition. A single head proves nothing but the usual cluster size.
pub fn search_without_boot(partition: &Partition) -> Option<u64> {
    let samples = samples(partition);
    let base = search(partition)?;
    let geometry = &partition.geometry;
    let last = u64::from(geometry.cluster_count.saturating_sub(1));
    let end = last.saturating_mul(u64::from(geometry.cluster_sectors)).saturating_add(base);
    let score = score(partition, base, &samples);
    let enough = score.dated >= 2 || geometry.cluster_sectors == USUAL_CLUSTER_SECTORS;
    (end <= partition.place.sectors && enough && score.dated.saturating_mul(2) > score.readable)
        .then_some(base)
}

/// Bases under which `cluster` would begin with a DHII index.
fn candidates(partition: &Partition, cluster: u32) -> Vec<u64> {
    const STEP_SECTORS: u64 = 2048;
    let table_sectors = partition.table_extent().len().div_ceil(SECTOR_BYTES);
    let floor = u64::from(partition.geometry.table_sector).saturating_add(table_sectors);
    let stated = partition.geometry.data_sector;
    let to = stated.saturating_add(SEARCH_SECTORS);
    let mut from = floor.max(stated.saturating_sub(SEARCH_SECTORS));
    let mut found = Vec::new();
    let finder = Finder::new(IndexHead::MAGIC);
    while from < to {
        let start = cluster_sector(partition, from, cluster).saturating_mul(SECTOR_BYTES);
        let room = partition
            .volume()
            .source
            .len()
            .saturating_sub(partition.volume().at(start, 0).offset());
        let length = STEP_SECTORS.saturating_mul(SECTOR_BYTES).min(room);
        let Ok(bytes) = partition.volume().read(start, length) else {
            from = from.saturating_add(STEP_SECTORS);
            continue;
        };
        if bytes.is_empty() {
            break;
        }
        for at in finder.find_iter(&bytes).filter(|at| at % 512 == 0) {
            let sector = bytes.get(at..at.saturating_add(512).min(bytes.len())).unwrap_or(&[]);
            if index_of(sector, None).is_some() {
                found.push(from.saturating_add(at as u64 / SECTOR_BYTES));
            }
        }
        from = from.saturating_add(STEP_SECTORS);
    }
    found
}

/// The sizes a descriptor table tells by itself: it starts where every table seen starts, and each head and continuation of it is
/// plausible. The cluster size and the base are left to the caller.
pub fn table_without_boot(volume: &Volume, place: Place) -> Option<Geometry> {
    let start = place.start.saturating_add(u64::from(TABLE_SECTOR)).saturating_mul(SECTOR_BYTES);
    let mut count = 0u32;
    let mut reserved = 0u32;
    let mut in_use = 0u32;
    'table: while count < CLUSTERS_MAX {
        let offset = start.saturating_add(u64::from(count).saturating_mul(Descriptor::BYTES));
        if volume.at(offset, SECTOR_BYTES).end() > volume.source.len() {
            break;
        }
        let Ok(sector) = volume.read(offset, SECTOR_BYTES) else {
            // The table goes on behind a sector that cannot be read.
            count = count.saturating_add(16);
            continue;
        };
        for record in sector.chunks_exact(32) {
            let Ok(descriptor) = <Descriptor as zerocopy::FromBytes>::read_from_bytes(record)
            else {
                break 'table;
            };
            if !is_plausible(&descriptor, count) {
                break 'table;
            }
            match descriptor.descriptor_type() {
                DescriptorType::Reserved if reserved == count => {
                    reserved = reserved.saturating_add(1)
                }
                DescriptorType::Head | DescriptorType::Continuation => {
                    in_use = count.saturating_add(1)
                }
                _ => {}
            }
            count = count.saturating_add(1);
        }
    }
    // Free descriptors are zeros, and so is what follows the table: only clusters in use are certain.
    (in_use > 0).then_some(Geometry {
        cluster_sectors: USUAL_CLUSTER_SECTORS,
        cluster_count: in_use,
        reserved_clusters: reserved,
        table_sector: TABLE_SECTOR,
        data_sector: u64::from(TABLE_SECTOR).saturating_add(
            u64::from(in_use).saturating_mul(Descriptor::BYTES).div_ceil(SECTOR_BYTES),
        ),
    })
}

fn is_plausible(descriptor: &Descriptor, number: u32) -> bool {
    match descriptor.descriptor_type() {
        DescriptorType::Free => {
            descriptor.begin.get() == 0 || decode_date(descriptor.begin.get()).is_some()
        }
        DescriptorType::Reserved => true,
        DescriptorType::Head => {
            descriptor.head.get() == number || decode_date(descriptor.begin.get()).is_some()
        }
        DescriptorType::Continuation => decode_date(descriptor.begin.get()).is_some(),
        DescriptorType::Other(_) => false,
    }
}
