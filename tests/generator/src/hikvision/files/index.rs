//! The index of a card: `index00.bin` and its mirror, and the picture index of the same shape.
//!
//! Facts: `docs/formats/hikvision.md`, section 9.1: header of 0x500 bytes with a slot a channel, file table,
//! segment table; the record of a segment that is being written keeps the key-frame time and the
//! stream times of the segment before it, as seen on a real card.

use std::collections::BTreeMap;

use crate::Error;
use crate::civil::Moment;
use crate::image::Image;

/// Bytes of the header.
pub const HEADER_BYTES: u64 = 0x500;
/// Bytes of an entry of the file table.
pub const FILE_BYTES: u64 = 32;
/// First byte of the slots.
pub const SLOTS: u64 = 0x18;
/// Bytes of a slot.
pub const SLOT_BYTES: u64 = 24;
/// Slots in the header; slot 0 is never used.
pub const SLOT_COUNT: u64 = 49;
/// Length of the index of a real card: 55 files take about a megabyte, the rest is zero.
pub const INDEX_BYTES: u64 = 16 << 20;
/// The file number of an idle slot, the channel and the last segment of a file never used.
pub const NONE: u16 = 0xFFFF;

/// The two shapes of the segment table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 256 segments of 80 bytes a file.
    Video,
    /// 4096 pictures of 96 bytes a file.
    Pictures,
}

impl Shape {
    /// Records a file.
    pub fn slots(self) -> u64 {
        if self == Shape::Video { 256 } else { 4096 }
    }

    /// Bytes of a record.
    pub fn record_bytes(self) -> u64 {
        if self == Shape::Video { 80 } else { 96 }
    }
}

/// The slot of a channel that has a file in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The file.
    pub file: u16,
    /// The segment that is being written, or was written last.
    pub segment: u16,
    /// Start of the first segment in the file.
    pub first_start: Moment,
    /// End of the last closed segment; none before the first one ends.
    pub last_end: Option<Moment>,
}

/// An entry of the file table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Channel from 1.
    pub channel: u16,
    /// Index of the last valid segment.
    pub last_segment: u16,
    /// Start of the first segment.
    pub start: Moment,
    /// End of the last one.
    pub end: Moment,
    /// 0 for a normal file, 1 for a protected one, 2 for pictures.
    pub status: u8,
}

/// A record of the segment table, or of the picture table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Type byte.
    pub kind: u8,
    /// First frame. The microseconds of a segment that is being written are zero.
    pub start: Moment,
    /// Last frame; none while it is being written.
    pub end: Option<Moment>,
    /// Time of the first key frame.
    pub key_time: Moment,
    /// Stream time of the first key frame in units of 45 kHz.
    pub first_ticks: u32,
    /// Stream time of the last frame in units of 45 kHz.
    pub last_ticks: u32,
    /// First byte in the media file.
    pub start_offset: u32,
    /// First byte behind it; 0 while it is being written.
    pub end_offset: u32,
    /// Upper bound of the OFNI run, exclusive.
    pub run_upper: u32,
    /// Lower bound of the OFNI run.
    pub run_lower: u32,
}

/// One copy of an index as a model. A clone keeps the state of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Shape of the segment table.
    pub shape: Shape,
    /// Version, 2 or 3.
    pub version: u32,
    /// Updates so far.
    pub counter: u64,
    /// The file that is taken next.
    pub next_file: u32,
    /// The file that was taken last.
    pub current_file: u32,
    /// Slots by channel.
    pub slots: BTreeMap<u16, Slot>,
    /// File table; none for a file never used.
    pub files: Vec<Option<FileEntry>>,
    /// Records by file and segment.
    pub records: BTreeMap<(u16, u16), Record>,
}

impl Index {
    /// The index of a card that was just initialised.
    pub fn new(shape: Shape, version: u32, files: usize, counter: u64) -> Index {
        Index {
            shape,
            version,
            counter,
            next_file: 0,
            current_file: 0,
            slots: BTreeMap::new(),
            files: vec![None; files],
            records: BTreeMap::new(),
        }
    }

    /// First byte of the file table entry of `file`.
    pub fn file_offset(&self, file: u16) -> u64 {
        HEADER_BYTES + FILE_BYTES * u64::from(file)
    }

    /// First byte of the record of a segment.
    pub fn record_offset(&self, (file, segment): (u16, u16)) -> u64 {
        let table = HEADER_BYTES + FILE_BYTES * self.files.len() as u64;
        let number = self.shape.slots() * u64::from(file) + u64::from(segment);
        table + number * self.shape.record_bytes()
    }

    /// Number of valid segments of a file: of the slot where it is in progress, of the file table
    /// otherwise.
    pub fn valid_segments(&self, file: u16) -> u16 {
        let slot = self.slots.values().find(|slot| slot.file == file);
        let entry = self.files[usize::from(file)].as_ref();
        slot.map(|slot| slot.segment + 1).or(entry.map(|entry| entry.last_segment + 1)).unwrap_or(0)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Plan`] when the tables do not fit.
    pub fn encode(&self) -> Result<Image, Error> {
        let need = self.record_offset((self.files.len() as u16, 0));
        let mut image = Image::new(INDEX_BYTES.max(need.next_multiple_of(1 << 20)));
        image.write(0, &self.header())?;
        for (file, entry) in self.files.iter().enumerate() {
            image.write(self.file_offset(file as u16), &self.file_entry(file, entry.as_ref()))?;
        }
        for (&place, record) in &self.records {
            if u64::from(place.1) >= self.shape.slots() {
                return Err(Error::Plan(format!("segment {} of file {}", place.1, place.0)));
            }
            image.write(self.record_offset(place), &self.record(record))?;
        }
        Ok(image)
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.counter.to_le_bytes());
        let words = [self.version, self.files.len() as u32, self.next_file, self.current_file];
        for (n, word) in words.into_iter().enumerate() {
            put(&mut bytes, 8 + 4 * n, word);
        }
        for channel in 0..SLOT_COUNT {
            let at = (SLOTS + SLOT_BYTES * channel) as usize;
            bytes[at..at + 2].copy_from_slice(&NONE.to_le_bytes());
            if let Some(slot) = self.slots.get(&(channel as u16)) {
                bytes[at..at + 2].copy_from_slice(&slot.file.to_le_bytes());
                bytes[at + 2..at + 4].copy_from_slice(&slot.segment.to_le_bytes());
                put(&mut bytes, at + 4, slot.first_start.unix_seconds());
                put(&mut bytes, at + 8, slot.last_end.map_or(0, Moment::unix_seconds));
                put(&mut bytes, at + 16, 1);
            }
        }
        // The sum of the one known card follows no known rule; a value that changes is enough.
        let sum = (self.counter as u32).wrapping_mul(0x9E37_79B1) & 0xFFFF;
        put(&mut bytes, 0x4FC, sum);
        bytes
    }

    fn file_entry(&self, number: usize, entry: Option<&FileEntry>) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES as usize];
        put(&mut bytes, 0, number as u32);
        let (channel, last) =
            entry.map_or((NONE, NONE), |entry| (entry.channel, entry.last_segment));
        bytes[4..6].copy_from_slice(&channel.to_le_bytes());
        bytes[6..8].copy_from_slice(&last.to_le_bytes());
        if let Some(entry) = entry {
            put(&mut bytes, 8, entry.start.unix_seconds());
            put(&mut bytes, 12, entry.end.unix_seconds());
            bytes[16] = entry.status;
            bytes[0x18] = 1;
        }
        bytes
    }

    fn record(&self, record: &Record) -> Vec<u8> {
        let mut bytes = vec![0; self.shape.record_bytes() as usize];
        bytes[..8].copy_from_slice(&[record.kind, 0, 0x85, 1, 0x62, 0, 0, 0]);
        let whole = record.start.millis().rem_euclid(1000);
        let open = record.end.is_none();
        let start = if open { record.start.plus_ms(-whole) } else { record.start };
        put_time(&mut bytes, 0x08, Some(start));
        put_time(&mut bytes, 0x10, record.end);
        put_time(&mut bytes, 0x18, Some(record.key_time));
        put(&mut bytes, 0x20, record.first_ticks);
        put(&mut bytes, 0x24, record.last_ticks);
        put(&mut bytes, 0x28, record.start_offset);
        put(&mut bytes, 0x2C, record.end_offset);
        bytes[0x30..0x34].copy_from_slice(&[5, 1, 1, 4]);
        if self.version == 3 && self.shape == Shape::Video {
            bytes[0x34..0x38].copy_from_slice(b"OFNI");
        }
        bytes[0x38] = 1;
        put(&mut bytes, 0x40, if open { 0 } else { record.start.unix_seconds() });
        put(&mut bytes, 0x44, record.end.map_or(0, Moment::unix_seconds));
        put(&mut bytes, 0x48, record.run_upper);
        put(&mut bytes, 0x4C, record.run_lower);
        bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Seconds and microseconds.
fn put_time(bytes: &mut [u8], at: usize, time: Option<Moment>) {
    let Some(time) = time else { return };
    put(bytes, at, time.unix_seconds());
    put(bytes, at + 4, time.millis().rem_euclid(1000) as u32 * 1000);
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn moment(seconds: i64, ms: i64) -> Moment {
        Moment::at((1970, 1, 1), (0, 0, 0)).plus_ms(seconds * 1000 + ms)
    }

    fn closed() -> Record {
        Record {
            kind: 0x0D,
            start: moment(1_745_856_378, 91),
            end: Some(moment(1_745_856_392, 931)),
            key_time: moment(1_745_856_378, 91),
            first_ticks: 2_070_051_055,
            last_ticks: 2_070_718_855,
            start_offset: 0,
            end_offset: 2_881_484,
            run_upper: 0x1000_0000,
            run_lower: 0x0FFF_FD98,
        }
    }

    /// The first record of the card that the layout is known from.
    #[test]
    fn a_closed_segment_is_the_record_of_a_real_card() {
        let index = Index::new(Shape::Video, 2, 55, 482_619);
        assert_eq!(
            index.record(&closed()),
            hex!(
                "0d008501 62000000 7aa70f68 78630100 88a70f68 b8340e00 7aa70f68 78630100 ef78627b"
                "87a96c7b 00000000 ccf72b00 05010104 00000000 01000000 00000000 7aa70f68 88a70f68"
                "00000010 98fdff0f"
            )
        );
    }

    /// The segment that the same card was writing: values of the segment before it stay.
    #[test]
    fn an_open_segment_is_the_record_of_a_real_card() {
        let index = Index::new(Shape::Video, 2, 55, 482_619);
        let record = Record {
            kind: 0x0D,
            start: moment(1_748_213_903, 412),
            end: None,
            key_time: moment(1_748_213_817, 979),
            first_ticks: 0x2E97_F607,
            last_ticks: 0x2EC0_5CFF,
            start_offset: 0x0B3A_0000,
            end_offset: 0,
            run_upper: 0x0FFE_3400,
            run_lower: 0x0FFE_3400,
        };
        assert_eq!(
            index.record(&record),
            hex!(
                "0d008501 62000000 8fa03368 00000000 00000000 00000000 39a03368 38f00e00 07f6972e"
                "ff5cc02e 00003a0b 00000000 05010104 00000000 01000000 00000000 00000000 00000000"
                "0034fe0f 0034fe0f"
            )
        );
    }

    #[test]
    fn a_file_entry_is_the_entry_of_a_real_card() {
        let index = Index::new(Shape::Video, 2, 55, 482_619);
        let entry = FileEntry {
            channel: 1,
            last_segment: 0x12,
            start: moment(1_745_856_378, 91),
            end: moment(1_745_864_503, 0),
            status: 0,
        };
        assert_eq!(
            index.file_entry(0, Some(&entry)),
            hex!("00000000 01001200 7aa70f68 37c70f68 00000000 00000000 01000000 00000000")
        );
        assert_eq!(index.record_offset((1, 0)), 0x500 + 55 * 32 + 256 * 80);
    }
}
