//! How a set is cut: chunks, groups of chunks, segment files.
//!
//! Facts: Expert Witness Compression Format (libyal): 31-bit offsets in a table, 16,375 entries for the oldest readers. EnCase 7
//! takes 64, 128, 256 or 1024 sectors per chunk; X-Ways fails above 256 KiB; older libewf fails near 2^28 chunks. X-Ways before
//! 14.9 and EnCase before 6 want files below 2047 MB. Sizes are planned for the worst case, in which nothing can be compressed.

use serde::{Deserialize, Serialize};

use super::{names::SEGMENTS_MAX, section};

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Size of a segment file that every reader takes.
pub const LEGACY_SEGMENT_BYTES: u64 = 2000 << 20;
/// Segment files that are named by a number.
const NUMBERED_SEGMENTS: u64 = 99;
/// Offsets in a table are below this; so is the size of a sectors section, and of a file whose tables count from its start.
pub const OFFSETS_END: u64 = 1 << 31;
/// Most chunks in a group: what FTK 1 and EnCase up to 5 read.
pub const GROUP_ENTRIES_MAX: u32 = 16_375;
/// Most entries of the error list that room is kept for.
const ERROR_ENTRIES_MAX: u64 = 16_384;
/// Chunks of a group that the worst case counts with: groups end early at checkpoints.
const SHORT_GROUP: u64 = 512;
/// Smallest and largest sector that is taken.
const SECTOR_BYTES: std::ops::RangeInclusive<u32> = 512..=32_768;

/// What the operator says about the size of segment files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentSize {
    /// 2000 MiB while 99 files hold the medium; otherwise the next whole GiB with which they do.
    #[default]
    Auto,
    /// 2000 MiB, however many files that takes.
    Legacy,
    /// One file.
    Single,
    /// This many bytes at most.
    Bytes(u64),
}

/// Why no set can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to keep.
    #[error("the medium is empty")]
    Empty,
    /// Chunks are made of whole sectors.
    #[error("E01 with sectors of {0} bytes is not written (512 to 32768, a power of two)")]
    SectorBytes(u32),
    /// The chunk count has 32 bits.
    #[error("the medium has {0} bytes, more than E01 can count")]
    TooLarge(u64),
    /// A segment must hold at least the metadata and one chunk.
    #[error("segment files of {given} bytes are too small, {least} is the least")]
    SegmentTooSmall {
        /// Asked for, in bytes.
        given: u64,
        /// The least that works, in bytes.
        least: u64,
    },
    /// More files than there are names.
    #[error(
        "segment files of {segment_bytes} bytes would be {segments}, and E01 has names for {SEGMENTS_MAX}"
    )]
    TooManySegments {
        /// Size of one, in bytes.
        segment_bytes: u64,
        /// How many in the worst case.
        segments: u64,
    },
    /// The file system at the destination holds smaller files only.
    #[error("the destination takes files of {limit} bytes at most, {needed} may be needed")]
    FileSystem {
        /// Largest file there, in bytes.
        limit: u64,
        /// Largest file planned, in bytes.
        needed: u64,
    },
}

/// Sizes below the segment: of a chunk and of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sectors in a chunk.
    pub chunk_sectors: u32,
    /// Most chunks in a group.
    pub group_entries: u32,
}

impl Shape {
    /// The shape that is written for a medium of this size: chunks of 32 KiB up to 4 TiB, 64 KiB up to 8 TiB, 128 KiB above.
    pub fn of(media_bytes: u64, sector_bytes: u32) -> Self {
        let chunk_bytes = match media_bytes {
            bytes if bytes <= 4 * TIB => 32 * KIB,
            bytes if bytes <= 8 * TIB => 64 * KIB,
            _ => 128 * KIB,
        };
        let sectors = chunk_bytes.checked_div(u64::from(sector_bytes)).unwrap_or(0);
        let chunk_sectors = u32::try_from(sectors).unwrap_or(0).max(1);
        Self { chunk_sectors, group_entries: GROUP_ENTRIES_MAX }
    }
}

/// How the set of one medium is cut. Kept in the journal: a resumed set must be cut in the same places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept")]
pub struct Plan {
    media_bytes: u64,
    sector_bytes: u32,
    chunk_sectors: u32,
    chunks: u32,
    group_entries: u32,
    segment_bytes: u64,
    error_entries: u32,
}

/// A plan as it was kept, which a damaged disk may have changed.
#[derive(Deserialize)]
struct Kept {
    media_bytes: u64,
    sector_bytes: u32,
    chunk_sectors: u32,
    chunks: u32,
    group_entries: u32,
    segment_bytes: u64,
    error_entries: u32,
}

impl TryFrom<Kept> for Plan {
    type Error = String;

    fn try_from(kept: Kept) -> Result<Self, String> {
        let shape = Shape { chunk_sectors: kept.chunk_sectors, group_entries: kept.group_entries };
        let size = SegmentSize::Bytes(kept.segment_bytes);
        let plan = Self::shaped(kept.media_bytes, kept.sector_bytes, size, None, shape)
            .map_err(|error| error.to_string())?;
        let shape_now = (plan.chunk_sectors, plan.chunks, plan.group_entries, plan.error_entries);
        let shape_kept = (kept.chunk_sectors, kept.chunks, kept.group_entries, kept.error_entries);
        if shape_now == shape_kept { Ok(plan) } else { Err("the plan contradicts itself".into()) }
    }
}

impl Plan {
    /// Plans the set of a medium of `media_bytes`. `limit` is the largest file that the destination takes, in bytes.
    ///
    /// # Errors
    /// When the medium or the wish cannot be expressed.
    pub fn new(
        media_bytes: u64,
        sector_bytes: u32,
        size: SegmentSize,
        limit: Option<u64>,
    ) -> Result<Self, PlanError> {
        Self::shaped(media_bytes, sector_bytes, size, limit, Shape::of(media_bytes, sector_bytes))
    }

    /// As [`Plan::new`] with chunks and groups of other sizes, so that every boundary can be met with little data.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn shaped(
        media_bytes: u64,
        sector_bytes: u32,
        size: SegmentSize,
        limit: Option<u64>,
        shape: Shape,
    ) -> Result<Self, PlanError> {
        if media_bytes == 0 {
            return Err(PlanError::Empty);
        }
        if !SECTOR_BYTES.contains(&sector_bytes) || !sector_bytes.is_power_of_two() {
            return Err(PlanError::SectorBytes(sector_bytes));
        }
        let chunk_sectors = shape.chunk_sectors.clamp(1, 1 << 15);
        let sectors = media_bytes.div_ceil(u64::from(sector_bytes));
        let chunks = u32::try_from(sectors.div_ceil(u64::from(chunk_sectors)))
            .map_err(|_| PlanError::TooLarge(media_bytes))?;
        let group_entries = shape.group_entries.clamp(1, GROUP_ENTRIES_MAX);
        let plan = Self {
            media_bytes,
            sector_bytes,
            chunk_sectors,
            chunks,
            group_entries,
            segment_bytes: 0,
            error_entries: 0,
        };
        plan.sized(size, limit)
    }

    /// Size of the medium as given, in bytes.
    pub const fn media_bytes(&self) -> u64 {
        self.media_bytes
    }

    /// Bytes per sector.
    pub const fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    /// Sectors of the medium, a last part of one counted as one.
    pub const fn sectors(&self) -> u64 {
        self.media_bytes.div_ceil(self.sector_bytes as u64)
    }

    /// Bytes that the set holds: whole sectors. The hashes in the set are over these.
    pub const fn padded_bytes(&self) -> u64 {
        self.sectors().saturating_mul(self.sector_bytes as u64)
    }

    /// Sectors per chunk.
    pub const fn chunk_sectors(&self) -> u32 {
        self.chunk_sectors
    }

    /// Bytes of the medium in a chunk, but for the last.
    pub const fn chunk_bytes(&self) -> u64 {
        (self.chunk_sectors as u64).saturating_mul(self.sector_bytes as u64)
    }

    /// Bytes of the medium in chunk `index`; 0 past the end.
    pub fn chunk_len(&self, index: u64) -> u64 {
        let start = index.saturating_mul(self.chunk_bytes());
        self.padded_bytes().saturating_sub(start).min(self.chunk_bytes())
    }

    /// Chunks of the whole set.
    pub const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Most chunks in a group.
    pub const fn group_entries(&self) -> u32 {
        self.group_entries
    }

    /// Most bytes of a segment file.
    pub const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Most entries of the error list; room for them is kept in every segment.
    pub const fn error_entries(&self) -> u32 {
        self.error_entries
    }

    /// True when tables count from the start of the file, which readers understand that ignore the base; false when they count from
    /// their sectors section, which larger files need.
    pub const fn absolute_offsets(&self) -> bool {
        self.segment_bytes < OFFSETS_END
    }

    /// Bytes kept free at the end of a segment for the sections that may follow the last group.
    pub const fn tail_reserve(&self) -> u64 {
        section::tail_bytes(self.error_entries)
    }

    /// Files in the worst case: every chunk stored.
    pub fn worst_case_segments(&self) -> u64 {
        let chunks = u64::from(self.chunks);
        let first = self.capacity(section::FIRST_START_MAX);
        let rest = chunks.saturating_sub(first);
        let each = self.capacity(section::LATER_START).max(1);
        rest.div_ceil(each).saturating_add(1)
    }

    /// Bytes of all files together in the worst case.
    pub fn worst_case_bytes(&self) -> u64 {
        let each = section::LATER_START.saturating_add(self.tail_reserve());
        self.bytes_of(u64::from(self.chunks))
            .saturating_add(section::FIRST_START_MAX)
            .saturating_add(each.saturating_mul(self.worst_case_segments()))
    }

    /// Chooses the size of segment files.
    fn sized(self, size: SegmentSize, limit: Option<u64>) -> Result<Self, PlanError> {
        let most = limit.unwrap_or(u64::MAX);
        match size {
            SegmentSize::Legacy => self.limited(LEGACY_SEGMENT_BYTES.min(most)),
            SegmentSize::Bytes(bytes) if bytes > most => {
                Err(PlanError::FileSystem { limit: most, needed: bytes })
            }
            SegmentSize::Bytes(bytes) => self.limited(bytes),
            SegmentSize::Single => self.single(most),
            SegmentSize::Auto => {
                let bytes = self.automatic().min(most);
                self.limited(bytes)
            }
        }
    }

    /// With segment files of `bytes` at most.
    fn limited(mut self, bytes: u64) -> Result<Self, PlanError> {
        self.set_segment_bytes(bytes);
        let least = section::FIRST_START_MAX
            .saturating_add(self.bytes_of(1))
            .saturating_add(self.tail_reserve());
        if bytes < least {
            return Err(PlanError::SegmentTooSmall { given: bytes, least });
        }
        let segments = self.worst_case_segments();
        if segments > u64::from(SEGMENTS_MAX) {
            return Err(PlanError::TooManySegments { segment_bytes: bytes, segments });
        }
        Ok(self)
    }

    /// With one file; a small one counts from its start.
    fn single(mut self, most: u64) -> Result<Self, PlanError> {
        self.set_segment_bytes(OFFSETS_END.saturating_sub(1));
        if self.worst_case_segments() > 1 {
            self.set_segment_bytes(u64::MAX >> 1);
        }
        let needed = self.worst_case_bytes();
        if needed > most {
            return Err(PlanError::FileSystem { limit: most, needed });
        }
        Ok(self)
    }

    /// The size of [`SegmentSize::Auto`].
    fn automatic(&self) -> u64 {
        let mut tried = self.clone();
        tried.set_segment_bytes(LEGACY_SEGMENT_BYTES);
        let mut gib = tried.worst_case_bytes().div_ceil(NUMBERED_SEGMENTS.saturating_mul(GIB));
        while tried.worst_case_segments() > NUMBERED_SEGMENTS {
            tried.set_segment_bytes(gib.max(2).saturating_mul(GIB));
            gib = gib.saturating_add(1);
        }
        tried.segment_bytes
    }

    fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
        let entries = (bytes / 128).clamp(1, ERROR_ENTRIES_MAX);
        self.error_entries = u32::try_from(entries).unwrap_or(1);
    }

    /// Bytes of `chunks` stored chunks with their tables.
    fn bytes_of(&self, chunks: u64) -> u64 {
        let groups = chunks.div_ceil(self.counted_group());
        let data = chunks.saturating_mul(self.stored_bytes());
        data.saturating_add(groups.saturating_mul(section::GROUP_BYTES))
    }

    /// Stored chunks that a segment holds whose first group begins at `start`.
    fn capacity(&self, start: u64) -> u64 {
        let room = self.segment_bytes.saturating_sub(start).saturating_sub(self.tail_reserve());
        let group = self.counted_group();
        let whole = room.checked_div(self.bytes_of(group)).unwrap_or(0);
        let left = room.saturating_sub(whole.saturating_mul(self.bytes_of(group)));
        let last = left.saturating_sub(section::GROUP_BYTES).checked_div(self.stored_bytes());
        whole.saturating_mul(group).saturating_add(last.unwrap_or(0))
    }

    /// A stored chunk: its bytes, their checksum, and its entry in both tables.
    const fn stored_bytes(&self) -> u64 {
        self.chunk_bytes().saturating_add(12)
    }

    fn counted_group(&self) -> u64 {
        u64::from(self.group_entries).min(SHORT_GROUP)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn auto(media_bytes: u64) -> Plan {
        Plan::new(media_bytes, 512, SegmentSize::Auto, None).unwrap()
    }

    /// chunks grow with the medium, alike for 512-byte and 4096-byte sectors.
    #[test]
    fn chunk_size_follows_the_medium() {
        for (bytes, kib) in
            [(1, 32), (4 * TIB, 32), (4 * TIB + 1, 64), (8 * TIB + 1, 128), (16 * TIB, 128)]
        {
            for sector in [512, 4096] {
                let plan = Plan::new(bytes, sector, SegmentSize::Auto, None).unwrap();
                assert_eq!(plan.chunk_bytes(), kib * 1024, "{bytes} {sector}");
            }
        }
    }

    #[test]
    fn a_full_group_of_the_largest_chunks_is_below_two_gib() {
        let plan = auto(16 * TIB);
        let bytes = u64::from(plan.group_entries()) * (plan.chunk_bytes() + 4) + 76;
        assert_eq!(bytes, 2_146_369_576);
        assert!(bytes < OFFSETS_END);
    }

    /// numbered names as long as that is possible.
    #[test]
    fn automatic_segments_stay_below_a_hundred() {
        assert_eq!(auto(100_000_000_000).segment_bytes(), LEGACY_SEGMENT_BYTES);
        assert!(auto(100_000_000_000).absolute_offsets());
        let four = auto(4_000_787_030_016);
        assert_eq!((four.segment_bytes(), four.absolute_offsets()), (38 * GIB, false));
        for tib in [1, 2, 3, 8, 16, 22, 100] {
            let plan = auto(tib * TIB);
            assert!(plan.worst_case_segments() <= 99, "{tib} TiB: {}", plan.worst_case_segments());
            assert!(plan.worst_case_segments() > 49, "{tib} TiB: {}", plan.worst_case_segments());
        }
    }

    #[test]
    fn a_small_file_system_makes_more_files() {
        let limit = 4 * GIB - 1;
        let plan = Plan::new(4 * TIB, 512, SegmentSize::Auto, Some(limit)).unwrap();
        assert_eq!(plan.segment_bytes(), limit);
        assert_eq!(plan.worst_case_segments(), 1025);
        let single = Plan::new(4 * TIB, 512, SegmentSize::Single, Some(limit)).unwrap_err();
        assert!(matches!(single, PlanError::FileSystem { .. }), "{single}");
        let bytes = Plan::new(TIB, 512, SegmentSize::Bytes(limit + 1), Some(limit)).unwrap_err();
        assert_eq!(bytes, PlanError::FileSystem { limit, needed: limit + 1 });
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let plan = |bytes, sector, size| Plan::new(bytes, sector, size, None).unwrap_err();
        assert_eq!(plan(0, 512, SegmentSize::Auto), PlanError::Empty);
        for sector in [0, 1, 511, 520, 65_536] {
            assert_eq!(plan(TIB, sector, SegmentSize::Auto), PlanError::SectorBytes(sector));
        }
        assert_eq!(plan(u64::MAX, 512, SegmentSize::Auto), PlanError::TooLarge(u64::MAX));
        let small = plan(TIB, 512, SegmentSize::Bytes(100_000));
        assert!(matches!(small, PlanError::SegmentTooSmall { given: 100_000, .. }), "{small}");
        let many = plan(100 * TIB, 512, SegmentSize::Legacy);
        assert!(matches!(many, PlanError::TooManySegments { segments: 50_000.., .. }), "{many}");
    }

    #[test]
    fn one_file_counts_from_its_start_while_it_can() {
        let single = |bytes| Plan::new(bytes, 512, SegmentSize::Single, None).unwrap();
        assert!(single(GIB).absolute_offsets());
        assert!(!single(2 * GIB).absolute_offsets());
        assert_eq!(single(16 * TIB).worst_case_segments(), 1);
    }

    /// a plan comes back from the journal as it was, and one that a damaged disk changed does not.
    #[test]
    fn a_kept_plan_is_checked() {
        let sizes = [SegmentSize::Auto, SegmentSize::Legacy, SegmentSize::Single];
        for (size, bytes) in sizes.into_iter().flat_map(|size| [(size, 1), (size, TIB)]) {
            let plan = Plan::new(bytes, 4096, size, None).unwrap();
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
            let kept: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&text).unwrap();
            for field in kept.keys().filter(|field| *field != "media_bytes") {
                let mut changed = kept.clone();
                changed[field] = 0.into();
                assert!(serde_json::from_value::<Plan>(changed.into()).is_err(), "{field}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_last_chunk_has_what_is_left(bytes in 1u64..10_000_000, power in 9u32..13) {
            let plan = Plan::new(bytes, 1 << power, SegmentSize::Auto, None).unwrap();
            let chunks = u64::from(plan.chunks());
            let sum: u64 = (0..chunks).map(|index| plan.chunk_len(index)).sum();
            prop_assert_eq!(sum, plan.padded_bytes());
            prop_assert!(plan.padded_bytes() - bytes < u64::from(plan.sector_bytes()));
            prop_assert!(plan.chunk_len(chunks - 1) > 0);
            prop_assert_eq!(plan.chunk_len(chunks), 0);
        }
    }
}
