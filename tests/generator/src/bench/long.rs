//! Streams of any length, as a file and on a disk.

use std::path::Path;

use super::{BenchFacts, Sink, cluster_offset};
use crate::Error;
use crate::civil::Moment;
use crate::dhav::{self, FrameType, HEADER_BYTES, Header, TRAILER_BYTES};
use crate::dhfs::{Descriptor, IndexEntry, IndexStyle, Layout, SECTOR, Span, build_index};
use crate::footage::{Footage, Unit};
use crate::rng::Rng;

const SECTORS_PER_CLUSTER: u32 = 4096;
const CLUSTER_BYTES: u64 = SECTORS_PER_CLUSTER as u64 * SECTOR as u64;
const RESERVED_CLUSTERS: u32 = 16;
/// Bits a second of the stream on a long disk.
const DISK_BITRATE: u64 = 4_000_000;
/// A recording of this many bytes is closed and a new one begun: index offsets have 32 bits.
const RECORDING_LIMIT: u64 = 4 * 1024 * 1024 * 1024 - 64 * CLUSTER_BYTES;
pub(super) const FRAME_MS: i64 = 40;
pub(super) const GROUP: usize = 25;
/// Written in one go.
pub(super) const BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// Bytes to fill pictures with; taken from a moving place, so that they do not repeat soon.
const POOL_BYTES: usize = 1024 * 1024;

/// Writes a `.dav` file of at most `bytes` bytes, but at least one second, at about `bitrate` bits
/// a second: H.264 at 25 frames a second, one key frame a second.
///
/// Predicted pictures are filled up to the rate with a user-data SEI message of random bytes, so
/// the stream decodes, and cannot be skipped faster than a real one.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn long_dav(path: &Path, bytes: u64, bitrate: u64) -> Result<BenchFacts, Error> {
    let mut sink = Sink::create(path, 0)?;
    let mut stream = LongStream::new(bitrate);
    let length = stream.write_run(&mut sink, 0, bytes, |_, _| {})?;
    Ok(stream.facts(path, length, 1))
}

/// Writes a disk whose recordings hold a stream of at most `bytes` bytes at 4 Mbit/s, the same as
/// that of [`long_dav`]: one recording up to nearly 4 GiB, then the next. One partition, 2 MiB
/// clusters.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn long_disk(path: &Path, bytes: u64) -> Result<BenchFacts, Error> {
    let limit = bytes.min(RECORDING_LIMIT);
    let index_bytes = index_length(limit);
    let recordings = bytes.div_ceil(RECORDING_LIMIT).max(1);
    let chain_room = (limit + u64::from(index_bytes)).div_ceil(CLUSTER_BYTES) + 1;
    let clusters = u64::from(RESERVED_CLUSTERS) + recordings * chain_room;
    let sectors = (clusters + 1) * u64::from(SECTORS_PER_CLUSTER) + clusters / 16 + 1024;
    let span = Span { start: 0, length: sectors as u32 };
    let layout = Layout::new(span.length, SECTORS_PER_CLUSTER, RESERVED_CLUSTERS);

    let mut sink = Sink::create(path, sectors * SECTOR as u64)?;
    sink.write_disk_head(&[span])?;
    let mut stream = LongStream::new(DISK_BITRATE);
    let begin = stream.clock();
    let (mut descriptors, mut left) = (Vec::new(), bytes);
    for _ in 0..recordings {
        let head = RESERVED_CLUSTERS + (descriptors.len() / 32) as u32;
        let at = cluster_offset(span, &layout, head);
        let part = left.min(limit);
        let from = stream.clock();
        let mut keys = Vec::new();
        let used =
            stream.write_run(&mut sink, at + u64::from(index_bytes), part, |offset, key| {
                keys.push(IndexEntry { offset: index_bytes + offset as u32, ..key });
            })?;
        left -= part;
        let style = IndexStyle { length: index_bytes, written: index_bytes, stride: 84, spare: 0 };
        sink.write(at, &build_index(&style, &keys, &[])?)?;
        let run = u64::from(index_bytes) + used;
        descriptors.extend(chain(head, run, from, stream.clock().plus_ms(-FRAME_MS)));
    }
    let end = stream.clock().plus_ms(-FRAME_MS);
    sink.write_partition_head(span, &layout, Some((begin, end)), &descriptors)?;
    Ok(stream.facts(path, sectors * SECTOR as u64, recordings))
}

/// Room for one key frame a second, but not less than on Disk A.
fn index_length(run: u64) -> u32 {
    let seconds = run * 8 / DISK_BITRATE * 5 / 4 + 64;
    (64 + 84 * seconds).max(0x60000).next_multiple_of(SECTOR as u64) as u32
}

/// Descriptors of a recording of `run` bytes in neighbouring clusters.
fn chain(head: u32, run: u64, begin: Moment, end: Moment) -> Vec<u8> {
    let count = run.div_ceil(CLUSTER_BYTES) as u32;
    let span_ms = end.millis() - begin.millis();
    let part = |k: u32| begin.plus_ms(span_ms * i64::from(k) / i64::from(count));
    let tail = (run - u64::from(count - 1) * CLUSTER_BYTES).div_ceil(SECTOR as u64) as u32;
    let descriptor = |k: u32| Descriptor {
        head: k == 0,
        channel: 1,
        nibble: 2,
        extended: false,
        count: if k == 0 { count - 1 } else { k } as u16,
        begin: part(k).packed(),
        end: if k == 0 { end } else { part(k + 1) }.packed(),
        next: if k + 1 == count { 0 } else { head + k + 1 },
        tail_sectors: if k == 0 { tail } else { 0 },
        previous: if k == 0 { 0 } else { head + k - 1 },
        own: head,
    };
    (0..count).flat_map(|k| descriptor(k).encode()).collect()
}

/// An endless H.264 stream of a given rate.
pub(super) struct LongStream {
    units: &'static [Unit],
    pub(super) footage: Footage,
    /// Payload bytes of a predicted picture.
    predicted_bytes: usize,
    pool: Vec<u8>,
    /// Pictures so far.
    pub(super) frame: usize,
    /// Key pictures among them.
    pub(super) keys: u64,
    base_number: u32,
}

impl LongStream {
    pub(super) fn new(bitrate: u64) -> LongStream {
        let group = (bitrate / 8) as usize;
        let fits = |footage: &Footage| footage.units()[0].bytes.len() * 2 < group;
        let footage = Some(Footage::Large).filter(fits).unwrap_or(Footage::Cam1);
        let units = footage.units();
        let predicted_bytes = group.saturating_sub(units[0].bytes.len()) / (GROUP - 1);
        let mut rng = Rng::new(7, 7);
        // No zero bytes: an SEI message may not imitate a start code.
        let pool = (0..POOL_BYTES).map(|_| (rng.next_u64() % 255 + 1) as u8).collect();
        LongStream {
            units,
            footage,
            predicted_bytes,
            pool,
            frame: 0,
            keys: 0,
            base_number: 0x0004_A286,
        }
    }

    /// The clock at the next frame.
    pub(super) fn clock(&self) -> Moment {
        Moment::at((2024, 3, 1), (0, 0, 0)).plus_ms(self.frame as i64 * FRAME_MS)
    }

    pub(super) fn facts(&self, path: &Path, bytes: u64, recordings: u64) -> BenchFacts {
        BenchFacts {
            path: path.to_path_buf(),
            bytes,
            recordings,
            frames: self.frame as u64,
            key_frames: self.keys,
            milliseconds: self.frame as u64 * FRAME_MS as u64,
        }
    }

    /// Writes whole groups of pictures up to `bytes` bytes at `offset`, and returns their length.
    fn write_run(
        &mut self,
        sink: &mut Sink,
        offset: u64,
        bytes: u64,
        mut on_key: impl FnMut(u64, IndexEntry),
    ) -> Result<u64, Error> {
        let (mut written, mut block) = (0, Vec::with_capacity(BLOCK_BYTES * 2));
        loop {
            let mut group = Vec::new();
            let clock = self.clock();
            let key_bytes = self.group(&mut group);
            let at = written + block.len() as u64;
            if at > 0 && at + group.len() as u64 > bytes {
                self.frame -= GROUP;
                break;
            }
            self.keys += 1;
            on_key(at, IndexEntry { offset: 0, length: key_bytes as u32, clock });
            block.extend(group);
            if block.len() >= BLOCK_BYTES {
                sink.write(offset + written, &block)?;
                written += block.len() as u64;
                block.clear();
            }
        }
        sink.write(offset + written, &block)?;
        Ok(written + block.len() as u64)
    }

    /// Appends one group of pictures; returns the length of its key frame.
    fn group(&mut self, out: &mut Vec<u8>) -> usize {
        let mut key_bytes = 0;
        for n in 0..GROUP {
            let (key, payload) = self.picture();
            let frame = self.encode(key, &payload);
            if n == 0 {
                key_bytes = frame.len();
            }
            out.extend(frame);
            self.frame += 1;
        }
        key_bytes
    }

    /// The next picture, and whether it is a key picture; the caller counts it.
    pub(super) fn picture(&self) -> (bool, Vec<u8>) {
        let unit = self.units[self.frame % self.units.len()];
        let key = self.frame.is_multiple_of(GROUP);
        (unit.key, if key { unit.bytes.to_vec() } else { self.fill(unit.bytes) })
    }

    fn encode(&self, key: bool, payload: &[u8]) -> Vec<u8> {
        let mut tags = dhav::tag_80_size(self.footage.size());
        tags.extend(dhav::tag_81_playback(GROUP as u8, 8, 25));
        tags.extend(dhav::tag_94_layers(key));
        let clock = self.clock();
        let header = Header {
            kind: if key { FrameType::Key } else { FrameType::Predicted },
            subtype: 0,
            channel: 0,
            pieces_left: 0,
            number: self.base_number.wrapping_add(self.frame as u32),
            clock,
            counter: (clock.millis() + 11_717).rem_euclid(65_536) as u16,
        };
        dhav::encode(&header, &tags, payload)
    }

    /// A predicted picture with a user-data SEI message (H.264, D.1.7) before its slice.
    fn fill(&self, unit: &[u8]) -> Vec<u8> {
        const UUID: &[u8; 16] = b"daleel-generator";
        let overhead = unit.len() + HEADER_BYTES + TRAILER_BYTES + 64;
        let Some(size) = self.predicted_bytes.checked_sub(overhead) else { return unit.to_vec() };
        let from = self.frame * 4099 % (POOL_BYTES / 2);
        let random = &self.pool[from..from + size.min(POOL_BYTES / 2)];
        let size = UUID.len() + random.len();
        let mut filled = vec![0, 0, 0, 1, 0x06, 0x05];
        filled.resize(filled.len() + size / 255, 0xFF);
        filled.push((size % 255) as u8);
        filled.extend(UUID);
        filled.extend(random);
        filled.push(0x80);
        filled.extend(unit);
        filled
    }
}
