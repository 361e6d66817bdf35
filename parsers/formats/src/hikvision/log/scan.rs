//! Records in an area, found and delimited, in windows.
//!
//! Facts: `docs/formats/hikvision.md` sections 10.1, 10.2 and 12. A record ends where its own length field, or the table of known lengths, says, if another
//! record, the end of a chunk or nothing but zeros stands there; else where the next believable record begins.

use daleel_core::{Extent, FormatError, Hole, LogEvent, ReadError, Volume};
use memchr::memmem::Finder;

use super::{
    STRUCTURE, area,
    record::{self, HEAD_BYTES, Head, LEAST_BYTES, MAGIC, RECORD_MAX},
};
use crate::hikvision::index::bytes::Patched;

/// Bytes of a window.
const WINDOW_BYTES: u64 = 1 << 20;
/// Zeros that show that nothing follows.
const SILENCE: [u8; 16] = [0; 16];

/// Iterates over the events of an area.
pub struct Scan<'a> {
    volume: &'a Volume,
    log: &'static str,
    area: Extent,
    /// What is read of it.
    part: Extent,
    /// Where the next window begins, from the start of the part.
    next: u64,
    window: Option<Window>,
    finder: Finder<'static>,
    head_bytes: Option<u64>,
}

/// A piece of the area, and how far it is done with.
struct Window {
    bytes: Patched,
    done: u64,
    /// Lost ranges that were not reported yet, as indexes.
    reported: usize,
    /// Records that begin behind this belong to the next window.
    own: u64,
}

impl<'a> Scan<'a> {
    /// The events of a whole area.
    pub fn new(volume: &'a Volume, area: Extent, log: &'static str) -> Self {
        Self::within(volume, area, area, log)
    }

    /// The events of a part of an area.
    pub fn within(volume: &'a Volume, area: Extent, part: Extent, log: &'static str) -> Self {
        let finder = Finder::new(MAGIC);
        let head_bytes = area::head_bytes(area);
        Self { volume, log, area, part, next: 0, window: None, finder, head_bytes }
    }

    /// Reads the next window, with what a record at its end may need behind it.
    fn fill(&mut self) -> Option<()> {
        // An area behind the end of the image is one hole, not many.
        let room = self.volume.source.len().saturating_sub(self.part.offset());
        let length = if self.next >= room { self.part.len() } else { WINDOW_BYTES };
        let own = self.part.len().checked_sub(self.next)?.min(length);
        if own == 0 {
            return None;
        }
        let wanted = own.saturating_add(RECORD_MAX).min(self.part.len().saturating_sub(self.next));
        let at = self.part.slice(self.next, wanted)?;
        let bytes = Patched::read(&*self.volume.source, at);
        let done = self.window.as_ref().map_or(0, Window::overhang);
        self.window = Some(Window { bytes, done, reported: 0, own });
        self.next = self.next.saturating_add(own);
        Some(())
    }

    /// The next event, or hole, of the window in hand.
    fn next_of_window(&mut self) -> Option<Result<LogEvent, FormatError>> {
        let window = self.window.as_mut()?;
        loop {
            let done = usize::try_from(window.done).ok()?;
            let found = window.bytes.all().get(done..).and_then(|rest| self.finder.find(rest));
            let start = found.map(|at| window.done.saturating_add(at as u64));
            let start = start.filter(|start| *start < window.own);
            if let Some(at) = window.hole_before(start.unwrap_or(window.own)) {
                let hole = self.volume.source.holes(at).first().map(|(_, hole)| *hole);
                let hole = hole.unwrap_or(Hole::Unreadable);
                return Some(Err(FormatError::read(STRUCTURE, ReadError::Hole { at, hole })));
            }
            let Some(start) = start else {
                window.done = window.done.max(window.own);
                return None;
            };
            let head = window.bytes.get(start, LEAST_BYTES).and_then(Head::parse);
            let Some(head) = head else {
                // The four letters in some text.
                window.done = start.saturating_add(MAGIC.len() as u64);
                continue;
            };
            let limits = Limits {
                bytes: &window.bytes,
                chunk: chunk_end(self.area, self.head_bytes, window.bytes.at, start),
                finder: &self.finder,
            };
            let (length, is_cut) = limits.length(start, head);
            window.done = start.saturating_add(length);
            let at = window.bytes.at.slice(start, length)?;
            let bytes = window.bytes.padded(start, length)?;
            return Some(record::event(bytes, at, self.log, is_cut));
        }
    }
}

impl Window {
    /// How far the last record reaches into the next window.
    fn overhang(&self) -> u64 {
        self.done.saturating_sub(self.own)
    }

    /// A lost range in front of `limit` that was not reported yet.
    fn hole_before(&mut self, limit: u64) -> Option<Extent> {
        let lost = *self.bytes.lost.get(self.reported)?;
        let begins = lost.offset().saturating_sub(self.bytes.at.offset());
        (begins < limit).then_some(())?;
        self.reported = self.reported.saturating_add(1);
        Some(lost)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<LogEvent, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.next_of_window() {
                return Some(item);
            }
            self.fill()?;
        }
    }
}

/// End of the chunk that holds a byte of the window, from the start of the window.
fn chunk_end(area: Extent, head_bytes: Option<u64>, window: Extent, start: u64) -> Option<u64> {
    let data = area.offset().saturating_add(head_bytes?);
    let within = window.offset().saturating_add(start).checked_sub(data)?;
    let chunk = (within / area::CHUNK_BYTES).saturating_add(1).saturating_mul(area::CHUNK_BYTES);
    data.saturating_add(chunk).checked_sub(window.offset())
}

/// What bounds a record.
struct Limits<'a> {
    bytes: &'a Patched,
    /// End of its chunk, from the start of the window.
    chunk: Option<u64>,
    finder: &'a Finder<'static>,
}

impl Limits<'_> {
    /// Length of the record at `start`, and whether lost bytes cut it.
    fn length(&self, start: u64, head: Head) -> (u64, bool) {
        let room = (self.bytes.all().len() as u64).saturating_sub(start).min(RECORD_MAX);
        let lost = self.bytes.lost.iter().find_map(|lost| {
            let at = lost.offset().checked_sub(self.bytes.at.offset())?.checked_sub(start)?;
            (at < room).then_some(at)
        });
        let room = lost.unwrap_or(room);
        let stored = self.bytes.padded(start, room).unwrap_or(&[]);
        let lengths = [record::stated_length(stored), head.known_length()];
        let lengths: Vec<u64> =
            lengths.into_iter().flatten().filter(|length| *length <= room).collect();
        let next = self.next_record(start, room);
        // A record, or the end of a chunk, exactly where a length says: what lies between is its own.
        let sure = lengths.iter().find(|length| {
            let end = start.saturating_add(**length);
            self.head_at(end).is_some() || Some(end) == self.chunk
        });
        if let Some(sure) = sure {
            return (*sure, false);
        }
        let chunk = self.chunk.and_then(|end| end.checked_sub(start)).unwrap_or(room);
        let limit = next.unwrap_or(room).min(chunk).min(room);
        let likely = lengths
            .iter()
            .find(|length| **length <= limit && self.is_silent(start, **length, limit));
        if let Some(likely) = likely {
            return (*likely, false);
        }
        let is_cut = lost == Some(limit);
        let used = stored.get(..usize::try_from(limit).unwrap_or(0)).unwrap_or(stored);
        let used = used.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64);
        (used.saturating_add(1).max(HEAD_BYTES).min(limit).max(1), is_cut)
    }

    fn head_at(&self, at: u64) -> Option<Head> {
        self.bytes.get(at, LEAST_BYTES).and_then(Head::parse)
    }

    /// The next believable record behind `start`, within `room` of it.
    fn next_record(&self, start: u64, room: u64) -> Option<u64> {
        let first = start.saturating_add(LEAST_BYTES);
        let rest = self.bytes.padded(first, room.checked_sub(LEAST_BYTES)?)?;
        self.finder
            .find_iter(rest)
            .map(|at| first.saturating_add(at as u64))
            .find(|at| self.head_at(*at).is_some_and(|head| head.is_plausible()))
            .map(|at| at.saturating_sub(start))
    }

    /// True when nothing follows a record of this length: zeros, or the end of what there is.
    fn is_silent(&self, start: u64, length: u64, limit: u64) -> bool {
        let rest = limit.saturating_sub(length).min(SILENCE.len() as u64);
        self.bytes
            .padded(start.saturating_add(length), rest)
            .is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0))
    }
}
