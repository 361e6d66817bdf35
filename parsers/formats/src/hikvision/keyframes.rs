//! The key frames of a block, as its tail index and the stream show them: where each begins, and when.
//!
//! Facts: `docs/formats/hikvision.md` sections 4.1 and 7. A record of the tail index is only believed where the pack it points at begins with a
//! program stream map of the same date; without the index the maps themselves are looked for.

use std::collections::BTreeMap;

use daleel_core::{CivilTime, Extent, Volume};
use daleel_media::ps::{UnitAt, UnitKind, unit_at};
use memchr::memmem;

use super::{
    descriptors::map_facts,
    generation::{Mark, PTS_MODULUS},
    header::{self, HEADER_BYTES},
    index::bytes::Patched,
    tail::{Tail, TailRecord},
};

/// Bytes of a key frame's pack that hold its header, its map and the first packet header.
const PACK_HEAD_BYTES: u64 = 2048;
const PACK_HEAD: usize = 2048;
/// Key frames of a block, at most: as many as records of a tail index (section 12).
const KEYS_MAX: usize = 300_000;
/// Tag, length and company mark of the descriptor that holds the date.
const DATE_MARK: &[u8] = b"\x40\x0eHK";
/// How far a record's date may be off the stream's, in milliseconds.
const DATED_MS: u64 = 2000;
/// Bytes read at a time when the stream itself is searched.
const SEARCH_BYTES: u64 = 4 << 20;
/// How far the pack header lies before the date at most.
const BEFORE_DATE: usize = 512;
/// Longest distance between key frames of one recording that its time stamps are followed over, in milliseconds.
const APART_MAX_MS: i64 = 600_000;

/// A key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrame {
    /// Where its pack begins, in the block.
    pub offset: u64,
    /// Its date, with milliseconds.
    pub time: CivilTime,
    /// Its time stamp (PTS), where it has one.
    pub pts: Option<u64>,
    /// Camera that a record of the tail index names for it.
    pub channel: Option<u32>,
}

impl KeyFrame {
    /// True when the time stamps run on from an earlier key frame to this one.
    pub fn follows(&self, earlier: &Self) -> bool {
        self.step_ms(earlier).is_some_and(|step| step > 0 && step <= APART_MAX_MS)
    }

    /// Milliseconds from an earlier key frame to this one, by their time stamps.
    pub fn step_ms(&self, earlier: &Self) -> Option<i64> {
        let (now, before) = self.pts.zip(earlier.pts)?;
        let step = now.wrapping_sub(before).rem_euclid(PTS_MODULUS);
        i64::try_from(step / 90).ok()
    }
}

/// The key frame whose pack begins at `offset` of a block, if one does.
pub fn at(volume: &Volume, block: Extent, offset: u64) -> Option<KeyFrame> {
    let length = block.len().checked_sub(offset)?.min(PACK_HEAD_BYTES);
    let bytes = volume.source.read(block.slice(offset, length)?).ok()?;
    let at_pack = read(&bytes);
    let behind_header = || {
        let rest = bytes.get(HEADER_BYTES..).filter(|_| bytes.starts_with(header::MAGIC))?;
        read(rest)
    };
    let (time, pts) = at_pack.or_else(behind_header)?;
    Some(KeyFrame { offset, time, pts, channel: None })
}

/// Date and time stamp of the pack that `bytes` begin with.
fn read(bytes: &[u8]) -> Option<(CivilTime, Option<u64>)> {
    let mut rest = bytes.get(..PACK_HEAD).unwrap_or(bytes);
    let mut time = None;
    let mut packs = 0u8;
    while let UnitAt::Unit(unit) = unit_at(rest, true) {
        match &unit.kind {
            UnitKind::Map(map) => {
                let (second, milliseconds, _) = map_facts(map, rest).time?;
                time = Some(second.plus_millis(i64::from(milliseconds)));
            }
            UnitKind::Pes(pes) => return Some((time?, pes.pts.as_ref().map(|pts| pts.ticks))),
            UnitKind::Pack(_) if packs > 0 => break,
            UnitKind::Pack(_) => packs = 1,
            UnitKind::SystemHeader => {}
            UnitKind::ProgramEnd => break,
        }
        rest = rest.get(unit.length..).unwrap_or(&[]);
    }
    time.map(|time| (time, None))
}

/// The key frames that the run at the block's end lists and the stream proves, in the order of their place.
pub fn by_tail(volume: &Volume, block: Extent, tail: &Tail) -> Vec<KeyFrame> {
    let mut out: Vec<KeyFrame> = tail
        .records
        .iter()
        .filter(|record| record.generation == 0)
        .filter_map(|record| proven(volume, block, record))
        .collect();
    out.sort_by_key(|key| key.offset);
    out.dedup_by_key(|key| key.offset);
    out
}

/// The key frame a record points at, if its date is the record's.
pub fn proven(volume: &Volume, block: Extent, record: &TailRecord) -> Option<KeyFrame> {
    let key = at(volume, block, record.offset)?;
    is_dated(key.time, record.time?).then(|| KeyFrame { channel: record.channel(), ..key })
}

/// What the tail index says of key frames, by their place in the block, ascending. Records of all passes: one of an earlier pass tells of what
/// is still there of it, and its date shows which.
pub fn marks(tail: &Tail) -> Vec<Mark> {
    let mut marks: BTreeMap<u64, Mark> = BTreeMap::new();
    // The last pass wins where two name the same place.
    for record in tail.records.iter().rev() {
        if let (Some(channel), Some(time)) = (record.channel(), record.time) {
            marks.insert(record.offset, Mark { offset: record.offset, channel, time });
        }
    }
    marks.into_values().collect()
}

/// What reading a block for its key frames gave.
#[derive(Debug, Default)]
pub struct Found {
    /// The key frames, in the order of their place.
    pub keys: Vec<KeyFrame>,
    /// Bytes that could not be read.
    pub lost: Vec<Extent>,
}

/// The key frames found by reading the first `end` bytes of a block.
pub fn by_search(volume: &Volume, block: Extent, end: u64) -> Found {
    let finder = memmem::Finder::new(DATE_MARK);
    let mut found = Found::default();
    let mut from = 0;
    let end = end.min(block.len());
    while from < end && found.keys.len() < KEYS_MAX {
        let length = SEARCH_BYTES.saturating_add(PACK_HEAD_BYTES).min(end.saturating_sub(from));
        let Some(at) = block.slice(from, length) else { break };
        let patched = Patched::read(&*volume.source, at);
        found.take(&finder, from, patched.all());
        for lost in patched.lost {
            if found.lost.last().is_none_or(|last| last.end() < lost.end()) {
                found.lost.push(lost);
            }
        }
        from = from.saturating_add(SEARCH_BYTES);
    }
    found
}

impl Found {
    /// Takes the key frames of a window that begins at `from` of the block.
    fn take(&mut self, finder: &memmem::Finder<'_>, from: u64, bytes: &[u8]) {
        for mark in finder.find_iter(bytes) {
            let start = mark.saturating_sub(BEFORE_DATE);
            let before = bytes.get(start..mark).unwrap_or(&[]);
            let Some(pack) = memmem::rfind(before, b"\0\0\x01\xba") else { continue };
            let pack = start.saturating_add(pack);
            let Some((time, pts)) = bytes.get(pack..).and_then(read) else { continue };
            let offset = from.saturating_add(pack as u64);
            let is_new = self.keys.last().is_none_or(|last| last.offset < offset);
            if is_new && self.keys.len() < KEYS_MAX {
                self.keys.push(KeyFrame { offset, time, pts, channel: None });
            }
        }
    }
}

/// The same over the whole block, with the cameras that the tail index names.
pub fn by_search_and_tail(volume: &Volume, block: Extent, tail: &Tail) -> Found {
    let mut found = by_search(volume, block, block.len());
    for record in &tail.records {
        let place = found.keys.binary_search_by_key(&record.offset, |key| key.offset);
        let key = place.ok().and_then(|at| found.keys.get_mut(at));
        let fits = |key: &&mut KeyFrame| record.time.is_some_and(|time| is_dated(key.time, time));
        if let Some(key) = key.filter(fits) {
            key.channel = key.channel.or(record.channel());
        }
    }
    found
}

/// True when a key frame's date is that of a record, whose dates are whole seconds.
pub fn is_dated(own: CivilTime, record: CivilTime) -> bool {
    own.millis().abs_diff(record.millis()) < DATED_MS
}
