//! Media files of one kind and their index, filled in the order of recording time.
//!
//! Facts: `docs/formats/hikvision.md`, section 9.1: segments start on multiples of 0x4000, runs of
//! key-frame records end on multiples of 512 and are counted down from the end of the file, a file in progress
//! has a slot and a stale entry in the file table.

use std::collections::BTreeMap;

use super::index::{FileEntry, Index, Record, Shape, Slot};
use super::item::{Ending, Item};
use crate::Error;
use crate::civil::Moment;
use crate::hikvision::{KeyRecord, RECORD_BYTES};
use crate::image::Image;

/// Alignment of segments.
const SEGMENT_ALIGN: u64 = 0x4000;
/// Alignment of runs of key-frame records, and of pictures.
const SECTOR: u64 = 512;

/// An item with its place.
pub(super) struct Written {
    pub item: Item,
    pub file: u16,
    pub segment: u16,
    /// How often the file had been begun before.
    pub pass: u32,
    /// True when the card was initialised after it was written.
    pub formatted: bool,
    /// First byte in the media file.
    pub offset: u64,
    /// First byte of each key-frame record.
    pub key_places: Vec<u64>,
}

/// A file in progress.
struct Active {
    file: u16,
    count: u16,
    end: u64,
    low: u64,
    first_start: Option<Moment>,
    last_end: Option<Moment>,
    last: Option<Record>,
}

/// Media files and their index.
pub(super) struct Store {
    pub shape: Shape,
    pub media: Vec<Image>,
    pub index: Index,
    /// The index after each update.
    pub history: Vec<Index>,
    pub written: Vec<Written>,
    /// How often each file has been begun.
    pub passes: Vec<u32>,
    active: BTreeMap<u16, Active>,
}

impl Store {
    pub fn new(index: Index, media_bytes: u64) -> Store {
        let files = index.files.len();
        Store {
            shape: index.shape,
            media: vec![Image::new(media_bytes); files],
            index,
            history: Vec::new(),
            written: Vec::new(),
            passes: vec![0; files],
            active: BTreeMap::new(),
        }
    }

    /// Writes an item behind the others of its channel, in a new file where it does not fit.
    pub fn add(&mut self, item: Item) -> Result<(), Error> {
        let channel = item.channel;
        let mut active = match self.active.remove(&channel) {
            Some(active) => active,
            None => self.begin(channel)?,
        };
        if !self.fits(&active, &item) {
            self.close(channel, active);
            active = self.begin(channel)?;
            if !self.fits(&active, &item) {
                return Err(Error::Plan("a segment is larger than a media file".into()));
            }
        }
        let ending = item.ending;
        self.write(&mut active, item)?;
        match ending {
            Ending::ClosesFile => self.close(channel, active),
            Ending::Closed | Ending::PowerLost => drop(self.active.insert(channel, active)),
        }
        Ok(())
    }

    /// Begins the index anew; the media stay as they are.
    pub fn format(&mut self) {
        let (files, counter) = (self.index.files.len(), self.index.counter);
        self.index = Index::new(self.shape, self.index.version, files, counter % 100);
        self.active.clear();
        self.history.clear();
        self.written.iter_mut().for_each(|written| written.formatted = true);
    }

    fn align(&self) -> u64 {
        if self.shape == Shape::Video { SEGMENT_ALIGN } else { SECTOR }
    }

    fn fits(&self, active: &Active, item: &Item) -> bool {
        let end = active.end.next_multiple_of(self.align()) + item.bytes.len() as u64;
        let room = u64::from(active.count) < self.shape.slots();
        room && end + item.run_bytes() <= active.low / SECTOR * SECTOR
    }

    /// Takes the next file that no channel writes to.
    fn begin(&mut self, channel: u16) -> Result<Active, Error> {
        let count = self.media.len() as u32;
        let busy = |file: u32| self.active.values().any(|active| u32::from(active.file) == file);
        let file = (0..count)
            .map(|n| (self.index.next_file + n) % count)
            .find(|file| !busy(*file))
            .ok_or_else(|| Error::Plan(format!("no file is left for channel {channel}")))?;
        self.index.current_file = file;
        self.index.next_file = (file + 1) % count;
        self.passes[file as usize] += 1;
        Ok(Active {
            file: file as u16,
            count: 0,
            end: 0,
            low: self.media[file as usize].len(),
            first_start: None,
            last_end: None,
            last: None,
        })
    }

    /// Enters a file into the file table and frees its channel.
    fn close(&mut self, channel: u16, active: Active) {
        self.index.slots.remove(&channel);
        if let (Some(start), Some(end)) = (active.first_start, active.last_end) {
            self.index.files[usize::from(active.file)] = Some(FileEntry {
                channel,
                last_segment: active.count - 1,
                start,
                end,
                status: if self.shape == Shape::Video { 0 } else { 2 },
            });
        }
        self.update();
    }

    fn write(&mut self, active: &mut Active, item: Item) -> Result<(), Error> {
        let offset = active.end.next_multiple_of(self.align());
        let upper = active.low / SECTOR * SECTOR;
        let place = (active.file, active.count);
        let opened = opened(&item, active.last.as_ref(), offset as u32, self.upper(upper));
        self.enter(active, &item, place, opened);
        let media = &mut self.media[usize::from(active.file)];
        media.write(offset, &item.bytes)?;
        let mut key_places = Vec::with_capacity(item.keys.len());
        for (n, key) in item.keys.iter().enumerate() {
            let at = upper - ((n + 1) * RECORD_BYTES) as u64;
            let placed = KeyRecord { offset: offset as u32 + key.offset, ..*key };
            media.write(at, &placed.encode(false))?;
            key_places.push(at);
        }
        let mut record = opened;
        if item.ending != Ending::PowerLost {
            record = Record {
                end: Some(item.end),
                key_time: item.keys.first().map_or(item.start, |key| key.time),
                first_ticks: item.ticks[0],
                last_ticks: item.ticks[1],
                end_offset: (offset + item.bytes.len() as u64) as u32,
                run_lower: self.upper(upper - item.run_bytes()),
                ..opened
            };
            active.last_end = Some(item.end);
            self.enter(active, &item, place, record);
        }
        active.count += 1;
        active.end = offset + item.bytes.len() as u64;
        active.low = upper - item.run_bytes();
        active.last = Some(record);
        self.written.push(Written {
            item,
            file: place.0,
            segment: place.1,
            pass: self.passes[usize::from(place.0)] - 1,
            formatted: false,
            offset,
            key_places,
        });
        Ok(())
    }

    /// A bound of a run as the record states it; pictures have none.
    fn upper(&self, bound: u64) -> u32 {
        if self.shape == Shape::Video { bound as u32 } else { 0 }
    }

    /// Writes a record and the slot of its channel.
    fn enter(&mut self, active: &mut Active, item: &Item, place: (u16, u16), record: Record) {
        let first_start = *active.first_start.get_or_insert(item.start);
        self.index.records.insert(place, record);
        let slot = Slot { file: place.0, segment: place.1, first_start, last_end: active.last_end };
        self.index.slots.insert(item.channel, slot);
        self.update();
    }

    fn update(&mut self) {
        self.index.counter += 1;
        self.history.push(self.index.clone());
    }
}

/// The record of an item that is being written: some fields still say what was before.
fn opened(item: &Item, before: Option<&Record>, offset: u32, run: u32) -> Record {
    Record {
        kind: item.kind,
        start: item.start,
        end: None,
        key_time: before.map_or(item.start, |record| record.key_time),
        first_ticks: before.map_or(0, |record| record.first_ticks),
        last_ticks: before.map_or(0, |record| record.last_ticks),
        start_offset: offset,
        end_offset: 0,
        run_upper: run,
        run_lower: run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footage::Footage;
    use crate::hikvision::StreamPlan;
    use crate::hikvision::files::SegmentPlan;

    fn segment(channel: u16, minute: i64, frames: usize, ending: Ending) -> Item {
        let start = Moment::at((2024, 3, 14), (9, minute, 0)).plus_ms(120);
        let footage = if channel == 1 { Footage::Cam1 } else { Footage::Cam2 };
        let stream = StreamPlan::new(footage, start, frames, 3);
        Item::segment(&SegmentPlan::new(channel, stream).ending(ending))
    }

    fn store(files: usize) -> Store {
        Store::new(Index::new(Shape::Video, 2, files, 1000), 4 << 20)
    }

    #[test]
    fn segments_and_runs_have_the_alignments_of_a_real_card() {
        let mut store = store(2);
        for minute in 0..4 {
            store.add(segment(1, minute, 60, Ending::Closed)).unwrap();
        }
        let records: Vec<&Record> = store.index.records.values().collect();
        assert_eq!(records[0].run_upper, 4 << 20);
        for pair in records.windows(2) {
            assert_eq!(pair[1].start_offset, pair[0].end_offset.next_multiple_of(0x4000));
            assert_eq!(pair[1].run_upper, pair[0].run_lower / 512 * 512);
            assert_eq!((pair[0].run_upper - pair[0].run_lower) % 56, 0);
        }
    }

    #[test]
    fn the_ring_leaves_stale_records_behind_the_last_valid_one() {
        let mut store = store(2);
        for minute in 0..3 {
            store.add(segment(1, minute, 30, Ending::Closed)).unwrap();
        }
        store.add(segment(1, 3, 30, Ending::ClosesFile)).unwrap();
        store.add(segment(1, 4, 30, Ending::ClosesFile)).unwrap();
        store.add(segment(1, 5, 30, Ending::Closed)).unwrap();
        store.add(segment(1, 6, 30, Ending::PowerLost)).unwrap();
        let index = &store.index;
        assert_eq!(index.valid_segments(0), 2, "by the slot");
        assert_eq!(index.files[0].unwrap().last_segment, 3, "the entry is stale");
        assert_eq!(index.valid_segments(1), 1);
        assert_eq!(index.records[&(0, 3)].start, store.written[3].item.start, "of the first pass");
        let open = index.records[&(0, 1)];
        assert_eq!((open.end, open.end_offset), (None, 0));
        assert_eq!(open.first_ticks, index.records[&(0, 0)].first_ticks);
        assert_eq!(store.passes, [2, 1]);
    }

    #[test]
    fn channels_write_to_files_of_their_own() {
        let mut store = store(2);
        store.add(segment(1, 0, 30, Ending::Closed)).unwrap();
        store.add(segment(2, 0, 30, Ending::Closed)).unwrap();
        assert_eq!(store.index.slots[&1].file, 0);
        assert_eq!(store.index.slots[&2].file, 1);
        assert!(store.add(segment(3, 0, 30, Ending::Closed)).is_err());
    }
}
