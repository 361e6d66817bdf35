//! One DHFS partition: boot sector or its stand-in, descriptor table, and the verified start of the data area.
//!
//! Facts: `docs/formats/dahua.md` sections 1.3 to 1.5 and 6.

use std::sync::OnceLock;

use daleel_core::{Extent, FindingKind, Findings, FormatError, Volume};
use zerocopy::FromBytes;

use super::{
    base,
    layout::{BOOT_SECTORS, Boot, Descriptor, DescriptorType, SECTOR_BYTES},
};

/// Where a partition lies, by table or by other means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number in the table, from 0.
    pub index: usize,
    /// First sector, from the start of the volume.
    pub start: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// Boot sector as the table states it, relative to the partition.
    pub boot_sector: u32,
}

/// Sizes of a partition that everything else is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Sectors per cluster.
    pub cluster_sectors: u32,
    /// Clusters, and descriptors.
    pub cluster_count: u32,
    /// Reserved clusters at the start.
    pub reserved_clusters: u32,
    /// First sector of the descriptor table, relative.
    pub table_sector: u32,
    /// First sector of cluster 0, relative; after the probe of section 1.5.
    pub data_sector: u64,
}

/// An opened partition.
pub struct Partition {
    /// Where it lies.
    pub place: Place,
    /// Its sizes.
    pub geometry: Geometry,
    /// The boot sector, if one of its two copies is usable, with its bytes.
    pub boot: Option<(Boot, Extent)>,
    volume: Volume,
    table: Vec<u8>,
    /// Clusters whose descriptors could not be read, ascending.
    unread: Vec<(u32, u32)>,
    /// Continuations as `(head, place in chain, cluster)`, sorted; made when a chain needs mending.
    members: OnceLock<Vec<(u32, u16, u32)>>,
}

impl Partition {
    /// Opens a partition.
    ///
    /// # Errors
    /// When neither boot sector is usable and the descriptor table does not tell the sizes either.
    pub fn open(
        volume: &Volume,
        place: Place,
        cluster_hint: Option<u32>,
        findings: &mut Findings,
    ) -> Result<Self, FormatError> {
        match read_boot(volume, place, findings) {
            Ok((boot, at)) => {
                let geometry = Geometry {
                    cluster_sectors: boot.cluster_sectors,
                    cluster_count: bounded_count(place, &boot, at, findings),
                    reserved_clusters: boot.reserved_clusters,
                    table_sector: boot.table_sector,
                    data_sector: u64::from(boot.data_sector),
                };
                let mut partition = Self::with_table(volume, place, geometry, findings);
                partition.boot = Some((boot, at));
                base::verify(&mut partition, findings);
                Ok(partition)
            }
            Err(error) => Self::without_boot(volume, place, cluster_hint, error, findings),
        }
    }

    /// Both boot sectors are gone: the table stands where it always stands, its own numbers tell its length, and the DHII index
    /// of a head cluster tells where the clusters begin (section 6).
    fn without_boot(
        volume: &Volume,
        place: Place,
        cluster_hint: Option<u32>,
        error: FormatError,
        findings: &mut Findings,
    ) -> Result<Self, FormatError> {
        let Some(mut geometry) = base::table_without_boot(volume, place) else { return Err(error) };
        findings.add(error.into());
        let hints = cluster_hint.map_or_else(
            || {
                let all = (7..=16)
                    .map(|bit| 1 << bit)
                    .filter(|size| *size != base::USUAL_CLUSTER_SECTORS);
                std::iter::once(base::USUAL_CLUSTER_SECTORS).chain(all).collect()
            },
            |hint| vec![hint],
        );
        for cluster_sectors in hints {
            geometry.cluster_sectors = cluster_sectors;
            let mut partition = Self::with_table(volume, place, geometry, findings);
            if let Some(sector) = base::search_without_boot(&partition) {
                partition.geometry.data_sector = sector;
                findings.note(
                    FindingKind::Inferred,
                    partition.table_extent(),
                    format!(
                        "partition {}: no usable boot sector; {} clusters of {} sectors from sector {sector}, \
                         by the descriptor table and the DHII index of its head clusters",
                        place.index, geometry.cluster_count, cluster_sectors
                    ),
                );
                return Ok(partition);
            }
        }
        let at = volume.at(
            place.start.saturating_mul(SECTOR_BYTES),
            place.sectors.saturating_mul(SECTOR_BYTES),
        );
        Err(FormatError::field(
            Boot::NAME,
            at,
            "data area",
            "not found",
            "DHII indexes at the head clusters",
        ))
    }

    fn with_table(
        volume: &Volume,
        place: Place,
        geometry: Geometry,
        findings: &mut Findings,
    ) -> Self {
        let mut partition = Self {
            place,
            geometry,
            boot: None,
            volume: volume.clone(),
            table: Vec::new(),
            unread: Vec::new(),
            members: OnceLock::new(),
        };
        partition.read_table(findings);
        partition
    }

    /// Reads the table, sector by sector where it cannot be read whole. Its length was checked against the data area.
    fn read_table(&mut self, findings: &mut Findings) {
        const STEP: u64 = 1 << 20;
        let extent = self.table_extent();
        let mut done = 0;
        while let Some(step) = extent
            .slice(done, extent.len().saturating_sub(done).min(STEP))
            .filter(|s| !s.is_empty())
        {
            // What lies behind the end of the image has no descriptors and takes no memory.
            if step.offset() >= self.volume.source.len() {
                let text = format!(
                    "partition {}: the descriptor table goes on behind the end of the image",
                    self.place.index
                );
                findings.note(FindingKind::Hole, step, text);
                break;
            }
            match self.volume.source.read(step) {
                Ok(bytes) => self.table.extend_from_slice(&bytes),
                Err(_) => self.read_table_sectors(step, findings),
            }
            done = done.saturating_add(step.len());
        }
    }

    fn read_table_sectors(&mut self, extent: Extent, findings: &mut Findings) {
        let mut done = 0;
        while let Some(sector) = extent
            .slice(done, extent.len().saturating_sub(done).min(SECTOR_BYTES))
            .filter(|s| !s.is_empty())
        {
            match self.volume.source.read(sector) {
                Ok(bytes) => self.table.extend_from_slice(&bytes),
                Err(error) => {
                    let first = u32::try_from(self.table.len() as u64 / Descriptor::BYTES)
                        .unwrap_or(u32::MAX);
                    let count = u32::try_from(sector.len() / Descriptor::BYTES).unwrap_or(0);
                    match self.unread.last_mut() {
                        Some((_, end)) if *end == first => *end = first.saturating_add(count),
                        _ => {
                            findings.add(FormatError::read(Descriptor::NAME, error).into());
                            self.unread.push((first, first.saturating_add(count)));
                        }
                    }
                    // Keeps the numbering; `descriptor` never shows these bytes.
                    self.table
                        .extend(std::iter::repeat_n(0, usize::try_from(sector.len()).unwrap_or(0)));
                }
            }
            done = done.saturating_add(sector.len());
        }
    }

    /// The bytes of the descriptor table.
    pub fn table_extent(&self) -> Extent {
        let start = self.place.start.saturating_add(u64::from(self.geometry.table_sector));
        let length = u64::from(self.geometry.cluster_count).saturating_mul(Descriptor::BYTES);
        self.volume.at(start.saturating_mul(SECTOR_BYTES), length)
    }

    /// The volume this partition lies on.
    pub const fn volume(&self) -> &Volume {
        &self.volume
    }

    /// The whole partition, as stated.
    pub fn extent(&self) -> Extent {
        self.volume.at(
            self.place.start.saturating_mul(SECTOR_BYTES),
            self.place.sectors.saturating_mul(SECTOR_BYTES),
        )
    }

    /// Bytes in a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        u64::from(self.geometry.cluster_sectors).saturating_mul(SECTOR_BYTES)
    }

    /// The bytes of a cluster.
    pub fn cluster_extent(&self, cluster: u32) -> Extent {
        let data =
            self.place.start.saturating_add(self.geometry.data_sector).saturating_mul(SECTOR_BYTES);
        let offset = u64::from(cluster).saturating_mul(self.cluster_bytes());
        self.volume.at(data.saturating_add(offset), self.cluster_bytes())
    }

    /// The cluster that holds a byte of the medium.
    pub fn cluster_at(&self, offset: u64) -> Option<u32> {
        let first = self.cluster_extent(0).offset();
        let cluster = offset.checked_sub(first)?.checked_div(self.cluster_bytes())?;
        u32::try_from(cluster).ok().filter(|cluster| *cluster < self.geometry.cluster_count)
    }

    /// A cluster's descriptor; `None` past the table and where it could not be read.
    pub fn descriptor(&self, cluster: u32) -> Option<&Descriptor> {
        let behind = self.unread.partition_point(|(_, to)| *to <= cluster);
        if self.unread.get(behind).is_some_and(|(from, _)| *from <= cluster) {
            return None;
        }
        let start = usize::try_from(u64::from(cluster).checked_mul(Descriptor::BYTES)?).ok()?;
        let bytes = self.table.get(start..)?;
        Descriptor::ref_from_prefix(bytes).ok().map(|(descriptor, _)| descriptor)
    }

    /// The bytes of a cluster's descriptor.
    pub fn descriptor_extent(&self, cluster: u32) -> Extent {
        let table = self.table_extent();
        let offset = u64::from(cluster).saturating_mul(Descriptor::BYTES);
        Extent::new(table.offset().saturating_add(offset), Descriptor::BYTES)
    }

    /// Clusters that begin a recording, ascending.
    pub fn heads(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        (0..self.geometry.cluster_count).filter_map(|cluster| {
            let descriptor = self.descriptor(cluster)?;
            (descriptor.descriptor_type() == DescriptorType::Head).then_some((cluster, descriptor))
        })
    }

    /// Continuations that name `head` with a place in its chain from `place` on, ascending by place.
    pub fn members(&self, head: u32, place: u16) -> impl Iterator<Item = (u16, u32)> {
        let members = self.members.get_or_init(|| {
            let mut all: Vec<_> = (0..self.geometry.cluster_count)
                .filter_map(|cluster| {
                    let descriptor = self.descriptor(cluster)?;
                    (descriptor.descriptor_type() == DescriptorType::Continuation)
                        .then(|| (descriptor.head.get(), descriptor.count.get(), cluster))
                })
                .collect();
            all.sort_unstable();
            all
        });
        let first = members.partition_point(|(id, at, _)| (*id, *at) < (head, place));
        members
            .iter()
            .skip(first)
            .take_while(move |(id, _, _)| *id == head)
            .map(|(_, place, cluster)| (*place, *cluster))
    }
}

/// Reads the boot sector: the one the table names, then its copy; both are compared.
fn read_boot(
    volume: &Volume,
    place: Place,
    findings: &mut Findings,
) -> Result<(Boot, Extent), FormatError> {
    let [_, copy_default] = BOOT_SECTORS;
    let read = |sector: u32| -> Result<(Boot, Extent, Vec<u8>), FormatError> {
        let start = place.start.saturating_add(u64::from(sector)).saturating_mul(SECTOR_BYTES);
        let at = volume.at(start, SECTOR_BYTES);
        let bytes = volume.source.read(at).map_err(|error| FormatError::read(Boot::NAME, error))?;
        let boot = Boot::parse(&bytes, at)?;
        Ok((boot, at, bytes))
    };
    match read(place.boot_sector) {
        Ok((boot, at, bytes)) => {
            let copy_sector = if boot.copy_sector == 0 { copy_default } else { boot.copy_sector };
            match read(copy_sector) {
                Ok((_, copy_at, copy)) if !same_geometry(&bytes, &copy) => findings.note(
                    FindingKind::CopyMismatch,
                    copy_at,
                    format!(
                        "partition {}: the boot sector copy states other sizes than the boot sector at {at}, which is used",
                        place.index
                    ),
                ),
                Ok(_) => {}
                Err(error) => findings.note(
                    FindingKind::CopyMismatch,
                    error.at,
                    format!("partition {}: the boot sector copy is unusable: {error}", place.index),
                ),
            }
            Ok((boot, at))
        }
        Err(error) => match read(copy_default) {
            Ok((boot, at, _)) => {
                findings.note(
                    FindingKind::CopyMismatch,
                    error.at,
                    format!(
                        "partition {}: the boot sector is unusable, its copy is used: {error}",
                        place.index
                    ),
                );
                Ok((boot, at))
            }
            Err(_) => Err(error),
        },
    }
}

/// Clusters of a partition: as many as the boot sector counts, at most one more than there is room for (section 7).
fn bounded_count(place: Place, boot: &Boot, at: Extent, findings: &mut Findings) -> u32 {
    let data = place.sectors.saturating_sub(u64::from(boot.data_sector));
    let room = data.checked_div(u64::from(boot.cluster_sectors)).unwrap_or(0).saturating_add(1);
    if u64::from(boot.cluster_count) <= room {
        return boot.cluster_count;
    }
    findings.note(
        FindingKind::DamagedIndex,
        at.slice(0x4C, 4).unwrap_or(at),
        format!(
            "partition {}: the boot sector counts {} clusters, the partition has room for {room}; the rest is not looked at",
            place.index, boot.cluster_count
        ),
    );
    u32::try_from(room).unwrap_or(boot.cluster_count)
}

/// Compares sizes and places. Dates and write positions of the copy lag behind on a live disk, and what the copy states as its own sector
/// (40) is not known.
fn same_geometry(a: &[u8], b: &[u8]) -> bool {
    a.get(0x2C..0x3C) == b.get(0x2C..0x3C) && a.get(0x44..0x50) == b.get(0x44..0x50)
}
