//! The records of a binary index: header, active slots, file table, segment records.
//!
//! Facts: `docs/formats/hikvision.md` section 9.1, checked against a real index of 55 files. All integers are little-endian.

use daleel_core::{CivilTime, Extent, FormatError};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Length of the header.
pub const HEADER_BYTES: u64 = 0x500;
/// Where the active slots stand in the header.
pub const SLOTS_OFFSET: u64 = 0x18;
/// How many there are: position 0 is not used by the devices seen, so the position is the channel.
pub const SLOT_COUNT: u64 = 49;
/// Length of a slot.
pub const SLOT_BYTES: u64 = 24;
/// Length of an entry of the file table.
pub const FILE_ENTRY_BYTES: u64 = 32;
/// Most media files an index is believed to have (section 12).
pub const FILES_MAX: u32 = 100_000;
/// A number that names nothing.
const NONE: u16 = u16::MAX;
/// 2015-01-01: records before it are a clock that was never set, or no records at all (section 9.1).
const EARLIEST_SECONDS: u32 = 1_420_070_400;

/// Name of the header in errors.
pub const HEADER: &str = "index header";

/// How the segment table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes from record to record.
    pub record_bytes: u64,
    /// Records each media file has room for.
    pub records_per_file: u64,
    /// True for an index of pictures.
    pub is_pictures: bool,
}

impl Shape {
    /// Index of video segments.
    pub const VIDEO: Self = Self { record_bytes: 80, records_per_file: 256, is_pictures: false };
    /// Index of pictures.
    pub const PICTURES: Self = Self { record_bytes: 96, records_per_file: 4096, is_pictures: true };
    /// Index of pictures as one published reader takes it.
    pub const SHORT_PICTURES: Self =
        Self { record_bytes: 80, records_per_file: 4096, is_pictures: true };

    /// Bytes of the records of one media file.
    pub const fn file_bytes(self) -> u64 {
        self.record_bytes.saturating_mul(self.records_per_file)
    }

    /// Where the segment table begins in an index of `files` files.
    pub const fn table_offset(self, files: u32) -> u64 {
        HEADER_BYTES.saturating_add(FILE_ENTRY_BYTES.saturating_mul(files as u64))
    }

    /// Where the records of a file begin.
    pub const fn file_offset(self, files: u32, file: u32) -> u64 {
        self.table_offset(files).saturating_add(self.file_bytes().saturating_mul(file as u64))
    }

    /// Length of a whole index of `files` files.
    pub const fn total_bytes(self, files: u32) -> u64 {
        self.file_offset(files, files)
    }
}

/// The first fields of an index.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    counter: U64, // 00  grows with every change
    version: U32, // 08
    files: U32,   // 0C
    next: U32,    // 10  file that is used next
    current: U32, // 14  file being written, or written last
}

/// One active slot.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSlot {
    file: U16,            // 00  FFFF when idle
    segment: U16,         // 02  record being written
    start: U32,           // 04  begin of the file's first segment
    end: U32,             // 08  end of the last closed segment
    unknown_0c: [u8; 12], // 0C  0, 1, 0
}

/// One entry of the file table.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFile {
    number: U32,         // 00
    channel: U16,        // 04  FFFF when never used
    last: U16,           // 06  last valid record, FFFF when none
    start: U32,          // 08
    end: U32,            // 0C
    status: u8,          // 10
    unknown_11: u8,      // 11
    locked: U16,         // 12
    unknown_14: [u8; 4], // 14
    info_types: [u8; 8], // 18
}

/// One segment record; a picture index has 16 more bytes behind it, of unknown meaning.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    kind: u8,                    // 00
    status: u8,                  // 01
    unknown_02: [u8; 2],         // 02
    resolution: U32,             // 04
    start: U32,                  // 08
    start_microseconds: U32,     // 0C
    end: U32,                    // 10
    end_microseconds: U32,       // 14
    first_key: U32,              // 18
    first_key_microseconds: U32, // 1C
    first_stamp: U32,            // 20  45 kHz
    last_stamp: U32,             // 24  45 kHz
    start_offset: U32,           // 28
    end_offset: U32,             // 2C  exclusive
    unknown_30: [u8; 4],         // 30
    unknown_34: [u8; 4],         // 34
    info_types: [u8; 8],         // 38
    info_start: U32,             // 40
    info_end: U32,               // 44
    run_upper: U32,              // 48  key-frame records lie below this byte of the media file ...
    run_lower: U32,              // 4C  ... down to this one
}

/// An active slot that names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its position, which is the channel.
    pub channel: u16,
    /// File being written.
    pub file: u32,
    /// Record being written.
    pub segment: u16,
    /// Begin of the file's first segment, seconds.
    pub start: u32,
    /// End of the last closed segment, seconds.
    pub end: u32,
}

/// The header of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of changes.
    pub counter: u64,
    /// 2 or 3.
    pub version: u32,
    /// Media files.
    pub files: u32,
    /// File that is used next.
    pub next: u32,
    /// File being written, or written last.
    pub current: u32,
    /// Slots that are not idle.
    pub slots: Vec<Slot>,
}

impl Header {
    /// The header in its bytes, which lie at `at`.
    ///
    /// # Errors
    /// When version or number of files are none an index has.
    pub fn parse(bytes: &[u8], at: Extent) -> Result<Self, FormatError> {
        let part = |start, length| at.slice(start, length).unwrap_or(at);
        let short = || FormatError::field(HEADER, at, "length", bytes.len(), HEADER_BYTES);
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| short())?;
        let version = raw.version.get();
        if !(2..=3).contains(&version) {
            return Err(FormatError::field(HEADER, part(8, 4), "version", version, "2 or 3"));
        }
        let files = raw.files.get();
        if files == 0 || files > FILES_MAX {
            let allowed = format!("1 to {FILES_MAX}");
            return Err(FormatError::field(HEADER, part(12, 4), "number of files", files, allowed));
        }
        Ok(Self {
            counter: raw.counter.get(),
            version,
            files,
            next: raw.next.get(),
            current: raw.current.get(),
            slots: parse_slots(bytes),
        })
    }

    /// The slot that writes a file.
    pub fn slot_of(&self, file: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.file == file)
    }
}

fn parse_slots(header: &[u8]) -> Vec<Slot> {
    let from = usize::try_from(SLOTS_OFFSET).unwrap_or(usize::MAX);
    let length = usize::try_from(SLOT_BYTES).unwrap_or(usize::MAX);
    let slots = header.get(from..).unwrap_or(&[]).chunks_exact(length);
    (0u16..)
        .zip(slots.take(usize::try_from(SLOT_COUNT).unwrap_or(0)))
        .filter_map(|(channel, bytes)| {
            let (raw, _) = RawSlot::ref_from_prefix(bytes).ok()?;
            let idle = raw.file.get() == NONE || bytes.iter().all(|byte| *byte == 0);
            (!idle).then(|| Slot {
                channel,
                file: u32::from(raw.file.get()),
                segment: raw.segment.get(),
                start: raw.start.get(),
                end: raw.end.get(),
            })
        })
        .collect()
}

/// An entry of the file table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// File number; its position in the table.
    pub number: u32,
    /// Channel as stored; `None` for a file that was never used.
    pub channel: Option<u16>,
    /// Last valid record; `None` when there is none.
    pub last: Option<u16>,
    /// Begin of the first segment, seconds.
    pub start: u32,
    /// End of the last segment, seconds.
    pub end: u32,
    /// 0 normal, 1 protected (single source).
    pub status: u8,
}

impl FileEntry {
    /// An entry in its 32 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (raw, _) = RawFile::ref_from_prefix(bytes).ok()?;
        let some = |value: U16| Some(value.get()).filter(|value| *value != NONE);
        Some(Self {
            number: raw.number.get(),
            channel: some(raw.channel),
            last: some(raw.last),
            start: raw.start.get(),
            end: raw.end.get(),
            status: raw.status,
        })
    }
}

/// A second and a microsecond as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds of the recorder's clock.
    pub seconds: u32,
    /// Microseconds within it.
    pub microseconds: u32,
}

impl Stamp {
    /// The time, to the millisecond; `None` for zero and for microseconds that are none.
    pub fn civil(self) -> Option<CivilTime> {
        let milliseconds = i64::from(self.seconds).checked_mul(1000)?;
        let part = i64::from(self.microseconds / 1000);
        (self.seconds != 0 && self.microseconds < 1_000_000)
            .then(|| CivilTime::from_millis(milliseconds.saturating_add(part)))
    }
}

/// A segment record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What made the recorder record.
    pub kind: u8,
    /// Begin.
    pub start: Stamp,
    /// End; zero while the segment is being written.
    pub end: Stamp,
    /// First byte in the media file.
    pub start_offset: u32,
    /// One past the last byte.
    pub end_offset: u32,
    /// Upper bound of its key-frame records in the media file.
    pub run_upper: u32,
    /// Their lower bound.
    pub run_lower: u32,
}

impl Record {
    /// A record in its bytes; `None` for a place that was never written.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let empty = |value: u8| bytes.iter().all(|byte| *byte == value);
        if empty(0) || empty(0xFF) {
            return None;
        }
        let (raw, _) = RawRecord::ref_from_prefix(bytes).ok()?;
        let stamp = |seconds: U32, microseconds: U32| Stamp {
            seconds: seconds.get(),
            microseconds: microseconds.get(),
        };
        Some(Self {
            kind: raw.kind,
            start: stamp(raw.start, raw.start_microseconds),
            end: stamp(raw.end, raw.end_microseconds),
            start_offset: raw.start_offset.get(),
            end_offset: raw.end_offset.get(),
            run_upper: raw.run_upper.get(),
            run_lower: raw.run_lower.get(),
        })
    }

    /// True for a segment that was being written.
    pub fn is_open(&self) -> bool {
        self.end == Stamp::default() && self.end_offset == 0
    }

    /// Why this cannot be a segment, if so (section 9.1, known false positives).
    pub fn fault(&self) -> Option<&'static str> {
        let stamps = [self.start, self.end];
        if stamps.iter().any(|stamp| stamp.microseconds >= 1_000_000) {
            return Some("its microseconds are a million or more");
        }
        if self.is_open() {
            return (self.start.seconds == 0).then_some("it has no begin");
        }
        if self.end_offset == 0 {
            return Some("its end offset is 0");
        }
        if self.end_offset <= self.start_offset {
            return Some("its bytes end before they begin");
        }
        let key = |stamp: Stamp| (stamp.seconds, stamp.microseconds);
        (key(self.end) < key(self.start)).then_some("its time ends before it begins")
    }

    /// A date that a clock showed which was never set.
    pub fn is_before_cameras(&self) -> bool {
        self.start.seconds < EARLIEST_SECONDS
    }

    /// Name of the type.
    pub fn kind_name(&self) -> std::borrow::Cow<'static, str> {
        match self.kind {
            0x03 => "motion".into(),
            other => format!("type {other:02x}").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// Record 65 of file 42 of the real index: being written when the card was taken out.
    #[test]
    fn a_record_without_end_is_open() {
        let bytes = hex!(
            "0d008501 62000000 8fa03368 00000000 00000000 00000000 39a03368 38f00e00"
            "07f6972e ff5cc02e 00003a0b 00000000 05010104 00000000 01000000 00000000"
            "00000000 00000000 0034fe0f 0034fe0f"
        );
        let record = Record::parse(&bytes).unwrap();
        assert!(record.is_open());
        assert_eq!(record.fault(), None);
        assert_eq!(record.kind_name(), "type 0d");
    }

    #[test]
    fn places_never_written_are_no_records() {
        assert_eq!(Record::parse(&[0; 80]), None);
        assert_eq!(Record::parse(&[0xFF; 80]), None);
        assert_eq!(Record::parse(&[1; 20]), None);
    }

    /// Section 9.1: the known false positives.
    #[test]
    fn records_that_contradict_themselves_say_why() {
        let stamp = |seconds| Stamp { seconds, microseconds: 0 };
        let sound = Record {
            kind: 13,
            start: stamp(1_748_000_000),
            end: stamp(1_748_000_060),
            start_offset: 0x4000,
            end_offset: 0x8000,
            run_upper: 0x10_0000,
            run_lower: 0xF_F000,
        };
        assert_eq!(sound.fault(), None);
        assert!(!sound.is_before_cameras());
        let backwards = Record { end: stamp(1_747_999_999), ..sound };
        assert!(backwards.fault().unwrap().contains("time"));
        assert!(Record { end_offset: 0, ..sound }.fault().unwrap().contains("offset is 0"));
        assert!(Record { end_offset: 0x4000, ..sound }.fault().unwrap().contains("bytes"));
        assert!(Record { start: stamp(1000), ..sound }.is_before_cameras());
    }
}
