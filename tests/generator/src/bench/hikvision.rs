//! Hikvision disks and streams for measuring.
//!
//! Facts: `docs/formats/hikvision.md`; the bytes are those of the writer of small disks.

use std::path::Path;

use super::long::{BLOCK_BYTES, FRAME_MS, GROUP, LongStream};
use super::{BenchFacts, Sink};
use crate::Error;
use crate::civil::Moment;
use crate::footage::{Footage, VideoCodec};
use crate::hikvision::disk::{Geometry, LOG_AREAS, MASTER_AT, Variants};
use crate::hikvision::{
    KeyRecord, LeafEntry, LogEvent, LogLine, MapFacts, RECORD_BYTES, StreamPlan, StreamUnit, build,
    imkh, log_area, video_pack, write_tree,
};
use crate::truth::EntryState;

/// Bytes of a data block.
const DATA_BLOCK: u64 = 1 << 30;
/// Bits a second of the stream on a long disk.
const DISK_BITRATE: u64 = 4_000_000;
const TICKS_PER_FRAME: u64 = FRAME_MS as u64 * 90;
const FIRST_COUNTER: u32 = 0x0012_D687;
/// Frames at the start of a closed block of the sparse disk.
const CLOSED_FRAMES: usize = 2;
/// Frames of an open block of the sparse disk.
const OPEN_FRAMES: usize = 1500;
/// Channels that take turns on the sparse disk.
const CHANNELS: u32 = 16;
/// Footage of a closed block.
const CLOSED_MS: i64 = 36 * 60_000;
const INITIALISED: Moment = Moment::at((2023, 1, 1), (0, 0, 0));

/// Writes an IMKH file of at most `bytes` bytes, but at least one second, at about `bitrate` bits a
/// second, with the pictures of [`super::long_dav`].
///
/// # Errors
/// The file exists already or cannot be written.
pub fn hikvision_long_stream(path: &Path, bytes: u64, bitrate: u64) -> Result<BenchFacts, Error> {
    let mut sink = Sink::create(path, 0)?;
    let mut packs = Packs::new(bitrate);
    let head = imkh(VideoCodec::H264, None);
    sink.write(0, &head)?;
    let start = head.len() as u64;
    let length = packs.write_run(&mut sink, start, bytes.saturating_sub(start), &mut Vec::new())?;
    Ok(packs.stream.facts(path, start + length, 1))
}

/// Writes a disk with one recording of about `bytes` bytes at 4 Mbit/s, which goes on from one block
/// of 1 GiB to the next; the last block is closed as well.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn hikvision_long_disk(path: &Path, bytes: u64) -> Result<BenchFacts, Error> {
    let room = DATA_BLOCK - index_room(DATA_BLOCK);
    let blocks = bytes.div_ceil(room).max(1) as u32;
    let disk = SparseDisk::create(path, blocks)?;
    let SparseDisk { mut sink, geometry } = disk;
    let mut packs = Packs::new(DISK_BITRATE);
    let (mut entries, mut left) = (Vec::new(), bytes);
    for block in 0..blocks {
        let at = geometry.block(block);
        let mut keys = Vec::new();
        let from = packs.stream.clock();
        let used = packs.write_run(&mut sink, at, left.min(room), &mut keys)?;
        left -= used.min(left);
        write_tail(&mut sink, at + DATA_BLOCK, &keys)?;
        let end = packs.stream.clock().plus_ms(-FRAME_MS);
        entries.push(closed(1, from, end, at));
    }
    SparseDisk { sink, geometry }.finish(&entries)?;
    Ok(packs.stream.facts(path, geometry.capacity, u64::from(blocks)))
}

/// Writes a sparse disk of `blocks` blocks of 1 GiB, all of them in the tree: `open` of them open,
/// with a minute of footage and its key-frame index, the others closed, with their first frames and
/// one record of the key-frame index. 9,313 blocks make a disk of 10 TB.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn hikvision_sparse_disk(path: &Path, blocks: u32, open: u32) -> Result<BenchFacts, Error> {
    let SparseDisk { mut sink, geometry } = SparseDisk::create(path, blocks)?;
    let (mut entries, mut frames, mut key_frames) = (Vec::new(), 0, 0);
    let first_open = blocks.saturating_sub(open);
    for block in 0..blocks {
        let channel = (block % CHANNELS + 1) as u8;
        let begin = INITIALISED.plus_ms(i64::from(block / CHANNELS) * CLOSED_MS + 250);
        let is_open = block >= first_open;
        let count = if is_open { OPEN_FRAMES } else { CLOSED_FRAMES };
        let at = geometry.block(block);
        let units = build(&StreamPlan::new(camera(channel), begin, count, 1)).units;
        let keys = write_units(&mut sink, at, channel, &units)?;
        write_tail(&mut sink, at + DATA_BLOCK, &keys)?;
        frames += units.len() as u64;
        key_frames += keys.len() as u64;
        let mut entry = closed(channel, begin, begin.plus_ms(CLOSED_MS), at);
        if is_open {
            entry = LeafEntry { state: EntryState::Open, start: None, end: None, ..entry };
        }
        entries.push(entry);
    }
    let disk = SparseDisk { sink, geometry };
    disk.finish(&entries)?;
    Ok(BenchFacts {
        path: path.to_path_buf(),
        bytes: geometry.capacity,
        recordings: u64::from(blocks),
        frames,
        key_frames,
        milliseconds: frames * FRAME_MS as u64,
    })
}

fn camera(channel: u8) -> Footage {
    if channel.is_multiple_of(2) { Footage::Cam6 } else { Footage::Cam5 }
}

fn closed(channel: u8, start: Moment, end: Moment, block_offset: u64) -> LeafEntry {
    LeafEntry {
        state: EntryState::Closed,
        channel,
        start: Some(start),
        end: Some(end),
        block_offset,
    }
}

/// Bytes for the key-frame index of a block: a record a second, and some more.
fn index_room(block: u64) -> u64 {
    (block * 8 / DISK_BITRATE * 5 / 4 + 64) * RECORD_BYTES as u64
}

fn write_units(
    sink: &mut Sink,
    at: u64,
    channel: u8,
    units: &[StreamUnit],
) -> Result<Vec<KeyRecord>, Error> {
    let (mut bytes, mut keys) = (Vec::new(), Vec::new());
    for unit in units {
        if unit.key {
            keys.push(KeyRecord {
                number: unit.counter,
                channel,
                time: unit.clock,
                pts: unit.pts,
                offset: bytes.len() as u32,
                length: unit.bytes.len() as u32,
            });
        }
        bytes.extend(&unit.bytes);
    }
    sink.write(at, &bytes)?;
    Ok(keys)
}

/// Writes the key-frame index of a block that ends at `end`, from there downwards.
fn write_tail(sink: &mut Sink, end: u64, keys: &[KeyRecord]) -> Result<(), Error> {
    let bytes: Vec<u8> = keys.iter().rev().flat_map(|key| key.encode(false)).collect();
    sink.write(end - bytes.len() as u64, &bytes)
}

/// A disk of 1-GiB blocks that is written block by block.
struct SparseDisk {
    sink: Sink,
    geometry: Geometry,
}

impl SparseDisk {
    /// A disk whose tree has one entry for every block.
    fn create(path: &Path, blocks: u32) -> Result<SparseDisk, Error> {
        let variants = Variants::FIRST;
        let sample = vec![closed(1, INITIALISED, INITIALISED, 0); blocks as usize];
        let tree = write_tree(&variants.tree, 0, blocks, INITIALISED, &sample);
        let geometry = Geometry::new(DATA_BLOCK, blocks, &variants, tree.stated_bytes);
        Ok(SparseDisk { sink: Sink::create(path, geometry.capacity)?, geometry })
    }

    /// Masters, trees, and start and stop of every entry in the second log area.
    fn finish(mut self, entries: &[LeafEntry]) -> Result<(), Error> {
        let variants = Variants::FIRST;
        let master = self.geometry.master(&variants, INITIALISED);
        self.sink.write(MASTER_AT, &master)?;
        self.sink.write(self.geometry.backup, &master)?;
        for origin in self.geometry.trees {
            let blocks = self.geometry.blocks;
            let tree = write_tree(&variants.tree, origin, blocks, INITIALISED, entries);
            self.sink.write(origin, &tree.bytes)?;
        }
        let area = LOG_AREAS[1];
        for (offset, bytes) in log_area(area.header, area.chunks, &log_lines(entries), true) {
            self.sink.write(area.offset + offset, &bytes)?;
        }
        Ok(())
    }
}

fn log_lines(entries: &[LeafEntry]) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = entries
        .iter()
        .flat_map(|entry| {
            let channel = entry.channel;
            let start = entry.start.map(|t| LogLine::new(t, LogEvent::RecordStart { channel }));
            let stop = entry.end.map(|t| LogLine::new(t, LogEvent::RecordStop { channel }));
            [start, stop].into_iter().flatten()
        })
        .collect();
    lines.sort_by_key(|line| line.time);
    lines
}

/// The endless stream of [`LongStream`] as packs.
struct Packs {
    stream: LongStream,
}

impl Packs {
    fn new(bitrate: u64) -> Packs {
        Packs { stream: LongStream::new(bitrate) }
    }

    /// Writes whole groups of pictures up to `bytes` bytes at `offset`; returns their length.
    fn write_run(
        &mut self,
        sink: &mut Sink,
        offset: u64,
        bytes: u64,
        keys: &mut Vec<KeyRecord>,
    ) -> Result<u64, Error> {
        let (mut written, mut pending) = (0, Vec::with_capacity(BLOCK_BYTES * 2));
        loop {
            let at = written + pending.len() as u64;
            let mut group = Vec::new();
            let key = self.group(&mut group);
            if at > 0 && at + group.len() as u64 > bytes {
                self.stream.frame -= GROUP;
                break;
            }
            self.stream.keys += 1;
            keys.push(KeyRecord { offset: at as u32, ..key });
            pending.extend(group);
            if pending.len() >= BLOCK_BYTES {
                sink.write(offset + written, &pending)?;
                written += pending.len() as u64;
                pending.clear();
            }
        }
        sink.write(offset + written, &pending)?;
        Ok(written + pending.len() as u64)
    }

    /// Appends one group of pictures; returns the record of its key frame, still without offset.
    fn group(&mut self, out: &mut Vec<u8>) -> KeyRecord {
        let mut key = KeyRecord {
            number: self.counter(),
            channel: 1,
            time: self.stream.clock(),
            pts: self.pts(),
            offset: 0,
            length: 0,
        };
        for n in 0..GROUP {
            let (is_key, picture) = self.stream.picture();
            let map = is_key.then(|| self.map());
            out.extend(video_pack(
                VideoCodec::H264,
                &picture,
                self.pts(),
                self.counter(),
                map.as_ref(),
            ));
            if n == 0 {
                key.length = out.len() as u32;
            }
            self.stream.frame += 1;
        }
        key
    }

    fn counter(&self) -> u32 {
        FIRST_COUNTER.wrapping_add(self.stream.frame as u32)
    }

    fn pts(&self) -> u64 {
        (self.stream.frame as u64 * TICKS_PER_FRAME) & ((1 << 33) - 1)
    }

    fn map(&self) -> MapFacts {
        MapFacts {
            clock: self.stream.clock(),
            encryption: 0,
            encryption_descriptor: false,
            codec: VideoCodec::H264,
            size: self.stream.footage.size(),
            fps: GROUP as u32,
            sound: None,
            private: false,
        }
    }
}
