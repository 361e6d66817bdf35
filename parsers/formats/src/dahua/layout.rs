//! On-disk records of DHFS 4.1: partition table, boot sector, descriptor, DHII header.
//!
//! Facts: `docs/formats/dahua.md` sections 1.1 to 1.6; offsets in the margin are those of its tables. All integers are little-endian;
//! sector numbers count 512-byte sectors from the start of the partition.

use std::io::Cursor;

use binrw::{BinRead, binread};
use daleel_core::{Extent, FormatError};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

/// The only sector size seen; all pointers count these (section 2).
pub const SECTOR_BYTES: u64 = 512;
/// Start of the superblock.
pub const SUPERBLOCK_SIGNATURE: &[u8; 7] = b"DHFS4.1";
/// End marker of the system structures: the bytes AA 55 AA 55.
pub const MARKER: [u8; 4] = [0xAA, 0x55, 0xAA, 0x55];
/// Sectors of the partition table and its copies (section 1).
pub const TABLE_SECTORS: [u64; 3] = [30, 62, 31];
/// Boot sector and its copy, where nothing says otherwise.
pub const BOOT_SECTORS: [u32; 2] = [34, 66];
/// Bytes of a table with the most entries it may have; one with up to seven fits in its first sector.
pub const TABLE_BYTES: u64 = 1536;
/// Most partitions a table may list (section 7).
pub const PARTITIONS_MAX: usize = 16;
/// Most clusters a partition may have (section 7).
pub const CLUSTERS_MAX: u32 = 8 << 20;

/// An entry of the partition table (section 1.2).
#[derive(BinRead, Clone, Copy, Debug, PartialEq, Eq)]
#[br(little)]
pub struct TableEntry {
    /// 08  Boot sector, relative to the partition.
    #[br(pad_before = 8)]
    pub boot_sector: u32,
    /// 1C  1 on the disks seen.
    #[br(pad_before = 16)]
    pub unknown_1c: u32,
    /// 24  Partition start, absolute sector.
    #[br(pad_before = 4)]
    pub start: u64,
    /// 2C  Partition length in sectors.
    pub length: u32,
    /// 30  Perhaps the high half of the length; zero so far.
    #[br(pad_after = 12)]
    pub length_high: u32,
}

impl TableEntry {
    /// Bytes of an entry.
    pub const BYTES: usize = 64;

    /// Length in sectors, the possible high half included.
    pub fn sectors(&self) -> u64 {
        (u64::from(self.length_high) << 32) | u64::from(self.length)
    }
}

/// Reads the entries of a partition table. Entries stop at the marker, at an empty one or at sixteen; there are none when no marker
/// stands where an entry could end: then these bytes may be anything.
pub fn parse_table(table: &[u8]) -> Vec<(usize, TableEntry)> {
    let offset = |index: usize| index.saturating_mul(TableEntry::BYTES).saturating_add(0x40);
    let is_marker = |index: usize| {
        let at = offset(index).saturating_sub(0x0C);
        table.get(at..at.saturating_add(4)) == Some(&MARKER)
    };
    let Some(count) = (0..=PARTITIONS_MAX).find(|index| is_marker(*index)) else {
        return Vec::new();
    };
    (0..count)
        .map_while(|index| {
            let at = offset(index);
            let bytes = table.get(at..at.checked_add(TableEntry::BYTES)?)?;
            let entry = TableEntry::read(&mut Cursor::new(bytes)).ok()?;
            (entry.sectors() != 0 && entry.boot_sector != 0).then_some((at, entry))
        })
        .collect()
}

/// The boot sector of a partition (section 1.3); fields that nothing here uses are explained by `show` only.
#[binread]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[br(little)]
pub struct Boot {
    /// 10  Date of the earliest recording.
    #[br(pad_before = 0x10)]
    pub earliest: u32,
    /// 14  Date of the latest recording.
    pub latest: u32,
    /// 18  Highest or last written cluster.
    pub last_cluster: u32,
    /// 2C  Bytes per sector.
    #[br(pad_before = 0x10)]
    pub sector_bytes: u32,
    /// 30  Sectors per cluster.
    pub cluster_sectors: u32,
    /// 38  Reserved clusters: the first one that can hold video.
    #[br(pad_before = 4)]
    pub reserved_clusters: u32,
    /// 40  Own sector number.
    #[br(pad_before = 4)]
    pub own_sector: u32,
    /// 44  Descriptor table, first sector.
    pub table_sector: u32,
    /// 48  Data area, first sector: cluster 0.
    pub data_sector: u32,
    /// 4C  Clusters, and descriptors.
    pub cluster_count: u32,
    /// F0  Copy of this sector.
    #[br(pad_before = 0xA0)]
    pub copy_sector: u32,
    /// F8  Log area, first sector.
    #[br(pad_before = 4)]
    pub log_sector: u32,
    /// FC  Log area, sectors.
    pub log_sectors: u32,
    /// 148  AA 55 AA 55.
    #[br(pad_before = 0x48)]
    pub marker: [u8; 4],
}

impl Boot {
    /// Structure name in errors.
    pub const NAME: &'static str = "DHFS boot sector";

    /// Reads and checks a boot sector against the bounds of section 7.
    ///
    /// # Errors
    /// The first field that the format does not allow.
    pub fn parse(sector: &[u8], at: Extent) -> Result<Self, FormatError> {
        let boot = Self::read(&mut Cursor::new(sector)).map_err(|error| {
            FormatError::field(
                Self::NAME,
                at,
                "length",
                sector.len(),
                format!("512 bytes ({error})"),
            )
        })?;
        let field = |offset, length| at.slice(offset, length).unwrap_or(at);
        let wrong = |offset, name, found: u32, expected: &str| {
            Err(FormatError::field(Self::NAME, field(offset, 4), name, found, expected))
        };
        if boot.marker != MARKER {
            let found = boot.marker.map(|byte| format!("{byte:02X}")).join(" ");
            return Err(FormatError::field(
                Self::NAME,
                field(0x148, 4),
                "marker",
                found,
                "AA 55 AA 55",
            ));
        }
        if boot.sector_bytes != 512 {
            return wrong(0x2C, "bytes per sector", boot.sector_bytes, "512");
        }
        let spc = boot.cluster_sectors;
        if !spc.is_power_of_two() || !(128..=65536).contains(&spc) {
            return wrong(0x30, "sectors per cluster", spc, "a power of two from 128 to 65536");
        }
        if boot.cluster_count == 0 || boot.cluster_count > CLUSTERS_MAX {
            return wrong(0x4C, "clusters", boot.cluster_count, "1 to 8388608");
        }
        if boot.reserved_clusters > boot.cluster_count {
            return wrong(
                0x38,
                "reserved clusters",
                boot.reserved_clusters,
                "at most the cluster count",
            );
        }
        let table_sectors =
            u64::from(boot.cluster_count).div_ceil(SECTOR_BYTES / Descriptor::BYTES);
        let table_end = u64::from(boot.table_sector).saturating_add(table_sectors);
        if boot.table_sector == 0 || table_end > u64::from(boot.data_sector) {
            let expected = "a sector whose table ends before the data area";
            return wrong(0x44, "descriptor table", boot.table_sector, expected);
        }
        Ok(boot)
    }
}

/// Type byte of a descriptor (section 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorType {
    /// 00: free; FE may mean it too (section 12).
    Free,
    /// 01, or 03: first cluster of a recording.
    Head,
    /// 02: a further cluster.
    Continuation,
    /// FE: reserved for the file system.
    Reserved,
    /// Anything else.
    Other(u8),
}

/// One cluster's descriptor.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Descriptor {
    /// 00  Type.
    pub kind: u8,
    /// 01  Channel from 0 in the low nibble; the high nibble is not understood.
    pub channel: u8,
    /// 02  Head: continuations. Continuation: its place, from 1.
    pub count: U16,
    /// 04  Begin date.
    pub begin: U32,
    /// 08  End date.
    pub end: U32,
    /// 0C  Next cluster; 0 or FFFFFFFF ends the chain.
    pub next: U32,
    /// 10  Sectors used in the last cluster.
    pub last_sectors: U32,
    /// 14  Previous cluster.
    pub previous: U32,
    /// 18  Head: own number. Continuation: number of the head.
    pub head: U32,
    /// 1C
    pub unknown_1c: u8,
    /// 1D  Bit 0: the extended channel is valid (single source).
    pub flags: u8,
    /// 1E
    pub unknown_1e: u8,
    /// 1F  Extended channel from 1 in the low five bits (single source).
    pub extended_channel: u8,
}

impl Descriptor {
    /// Bytes of a descriptor.
    pub const BYTES: u64 = 32;
    /// Structure name in errors.
    pub const NAME: &'static str = "DHFS descriptor";

    /// Its type.
    pub const fn descriptor_type(&self) -> DescriptorType {
        match self.kind {
            0x00 => DescriptorType::Free,
            0x01 | 0x03 => DescriptorType::Head,
            0x02 => DescriptorType::Continuation,
            0xFE => DescriptorType::Reserved,
            other => DescriptorType::Other(other),
        }
    }

    /// True when the extended channel field counts (single source).
    pub const fn has_extended_channel(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Channel as the recorder shows it, from 1; `None` when the extended field counts and names none.
    pub fn channel_number(&self) -> Option<u32> {
        if self.has_extended_channel() {
            return Some(u32::from(self.extended_channel & 0x1F)).filter(|channel| *channel > 0);
        }
        Some(u32::from(self.channel & 0x0F).saturating_add(1))
    }

    /// Next cluster of the chain, if it goes on.
    pub fn next_cluster(&self) -> Option<u32> {
        Some(self.next.get()).filter(|next| !matches!(*next, 0 | u32::MAX))
    }
}

/// The head of a DHII index (section 1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexHead {
    /// 04  Length of the index: the first frame's offset in the recording.
    pub length: u32,
    /// 08  The index headers: `(type, offset of the first entry, bytes of entries)`.
    pub arrays: Vec<(u32, u32, u32)>,
}

impl IndexHead {
    /// Structure name in errors.
    pub const NAME: &'static str = "DHII index";
    /// `DHII`.
    pub const MAGIC: &'static [u8; 4] = b"DHII";
    /// Longest index (section 7).
    pub const LENGTH_MAX: u32 = 16 << 20;

    /// Reads the head at the start of `bytes`, which must hold at least its headers.
    ///
    /// # Errors
    /// The first field outside the bounds of section 7.
    pub fn parse(bytes: &[u8], at: Extent) -> Result<Self, FormatError> {
        #[derive(BinRead)]
        #[br(little)]
        struct Fixed {
            magic: [u8; 4],
            length: u32,
            count: u32,
        }
        let field = |offset, length| at.slice(offset, length).unwrap_or(at);
        let mut cursor = Cursor::new(bytes);
        let fixed = Fixed::read(&mut cursor).map_err(|_| {
            FormatError::field(Self::NAME, at, "length", bytes.len(), "at least 12 bytes")
        })?;
        if &fixed.magic != Self::MAGIC {
            let found = String::from_utf8_lossy(&fixed.magic).escape_default().to_string();
            return Err(FormatError::field(Self::NAME, field(0, 4), "magic", found, "DHII"));
        }
        if !(64..=Self::LENGTH_MAX).contains(&fixed.length) {
            return Err(FormatError::field(
                Self::NAME,
                field(4, 4),
                "index length",
                fixed.length,
                "64 to 16777216",
            ));
        }
        if fixed.count > 16 {
            return Err(FormatError::field(
                Self::NAME,
                field(8, 4),
                "headers",
                fixed.count,
                "at most 16",
            ));
        }
        let mut arrays = Vec::new();
        for _ in 0..fixed.count {
            let Ok(array) = <(u32, u32, u32)>::read_le(&mut cursor) else { break };
            arrays.push(array);
        }
        Ok(Self { length: fixed.length, arrays })
    }

    /// Where the key-frame entries lie in the recording: `(offset, bytes)`, if inside the index.
    pub fn key_frames(&self) -> Option<(u32, u32)> {
        let (_, offset, length) = *self.arrays.iter().find(|(kind, _, _)| *kind == 1)?;
        let end = offset.checked_add(length)?;
        (offset >= 12 && end <= self.length).then_some((offset, length))
    }
}

/// An entry of the key-frame index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// 00  Offset of the frame in the recording.
    pub offset: u32,
    /// 04  Length of the frame.
    pub length: u32,
    /// 08  Date of the frame.
    pub date: u32,
}

/// Reads the used key-frame entries. The entry size is the one of 84 and 12 bytes under which offsets strictly increase and
/// lengths are those of frames; ties go to the one with more entries.
pub fn parse_index_entries(bytes: &[u8]) -> (usize, Vec<IndexEntry>) {
    let read = |stride: usize| -> (usize, Vec<IndexEntry>) {
        let mut entries: Vec<IndexEntry> = Vec::new();
        for record in bytes.chunks_exact(stride) {
            let Ok((offset, length, date)) = <(u32, u32, u32)>::read_le(&mut Cursor::new(record))
            else {
                break;
            };
            let rises = entries.last().is_none_or(|before| offset > before.offset);
            if offset == u32::MAX || !rises || !(32..=16 << 20).contains(&length) {
                break;
            }
            entries.push(IndexEntry { offset, length, date });
        }
        (stride, entries)
    };
    let (long, short) = (read(84), read(12));
    if short.1.len() > long.1.len() { short } else { long }
}
