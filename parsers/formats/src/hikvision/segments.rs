//! Which bytes of a block belong to which index entry.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.4, 4 and 5. An entry names a block and two times, no bytes; several entries can name one block
//! (recording paused, or the channel switched). The rule, with its evidence as reasons of each recording:
//!
//! 1. An entry begins with the key picture that is dated as its start says, to two seconds; the tail index tells where that is and the stream map
//!    there proves it. Where the tail index does not, the maps of the whole block are looked at.
//! 2. An entry that was not closed begins with the first key picture behind the end of the others.
//! 3. It ends where the next entry of the block begins. The last one ends where older footage begins (`generation`) or the tail index does.
//! 4. What comes first in the block belongs to the first entry, also where its date does not fit, if the time stamps run on to the key picture of
//!    rule 1: then the recorder's clock was moved.

use std::ops::Range;

use daleel_core::{CivilTime, Extent, Reason, Volume};

use super::{
    generation::Window,
    index::{Entry, EntryState},
    keyframes::{self, KeyFrame},
    tail::{Tail, TailLayout, read_tail},
};

/// A directory begins so far before the end of its block (section 4.2).
const DIRECTORY_BYTES: u64 = 0x10_0000;
/// Dates of index entries are whole seconds.
const START_SLACK_MS: u64 = 2000;

/// The part of a block that is one entry's.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Bytes of the block.
    pub range: Range<u64>,
    /// Times the footage has to have where nothing else tells.
    pub window: Window,
    /// Why these bytes.
    pub reasons: Vec<Reason>,
}

/// A block with what its tail says.
pub struct Block<'a> {
    volume: &'a Volume,
    extent: Extent,
    tail: Tail,
    /// First byte behind the footage.
    end: u64,
}

impl<'a> Block<'a> {
    /// Reads a block's tail.
    pub fn read(volume: &'a Volume, extent: Extent) -> Self {
        let tail = read_tail(volume, extent);
        let own = tail.records.iter().filter(|record| record.generation == 0);
        let lowest = own.map(|record| record.at.offset().saturating_sub(extent.offset())).min();
        // Records that do not stand at the end may be remains of another pass; the parser passes over them.
        let end = match tail.layout {
            TailLayout::None | TailLayout::FoundBelow => None,
            TailLayout::FromEnd => lowest,
            TailLayout::Directory => {
                let directory = extent.len().saturating_sub(DIRECTORY_BYTES);
                Some(lowest.map_or(directory, |lowest| lowest.min(directory)))
            }
        };
        Self { volume, extent, end: end.unwrap_or(extent.len()).min(extent.len()), tail }
    }

    /// Begin and end of a recording that was not closed, by the key pictures that the tail index lists behind the other entries.
    pub fn open_times(&self, others: &[&Entry]) -> (Option<CivilTime>, Option<CivilTime>) {
        let listed = keyframes::by_tail(self.volume, self.extent, &self.tail);
        let after = last_end(others);
        let mut own = listed.iter().filter(|key| after.is_none_or(|end| key.time > end));
        let first = own.next().map(|key| key.time);
        let last = own.last().map(|key| key.time).or(first);
        let at_front = || keyframes::at(self.volume, self.extent, 0).map(|key| key.time);
        let start = first.or_else(|| at_front().filter(|_| others.is_empty()));
        (start, last.or(start))
    }

    /// The segments of the entries of this block, in the order given.
    pub fn segments(&self, entries: &[&Entry]) -> Vec<Segment> {
        let mut begins: Vec<Begin> = self.begins(entries);
        self.reach_back(entries, &mut begins);
        let starts: Vec<u64> = begins.iter().filter_map(|begin| begin.offset).collect();
        entries
            .iter()
            .zip(begins)
            .map(|(entry, begin)| {
                let next = begin.offset.and_then(|own| {
                    starts.iter().copied().filter(|start| *start > own).min()
                });
                let range = match begin.offset {
                    Some(start) => start..next.unwrap_or(self.end).max(start),
                    None => 0..0,
                };
                let mut reasons = begin.reasons;
                reasons.extend(next.map(|next| {
                    let text = "the next entry of the same block begins here";
                    Reason::supporting(text, self.at(next))
                }));
                let window = Window {
                    start: entry.start.or(begin.time),
                    end: entry.end.filter(|_| matches!(entry.state, EntryState::Closed)),
                };
                Segment { range, window, reasons }
            })
            .collect()
    }

    fn at(&self, offset: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(offset), 1)
    }

    fn begins(&self, entries: &[&Entry]) -> Vec<Begin> {
        // Nearly every block: one entry, and its footage begins with the block.
        if let [entry] = entries {
            let front = keyframes::at(self.volume, self.extent, 0);
            if let Some(front) = front.filter(|front| is_start(entry, front)) {
                let text = format!("the block begins with a key picture dated {}", front.time);
                let reasons = vec![Reason::supporting(text, self.at(0))];
                return vec![Begin { offset: Some(0), time: Some(front.time), reasons }];
            }
        }
        let listed = keyframes::by_tail(self.volume, self.extent, &self.tail);
        let found = place(entries, &listed);
        if found.iter().all(Option::is_some) {
            let why = "by the tail index, and the stream map it points at";
            return self.begins_at(entries, &found, why);
        }
        let searched = keyframes::by_search(self.volume, self.extent);
        let found = place(entries, &searched);
        self.begins_at(entries, &found, "by the stream maps of the block")
    }

    fn begins_at(&self, entries: &[&Entry], found: &[Option<KeyFrame>], why: &str) -> Vec<Begin> {
        entries
            .iter()
            .zip(found)
            .map(|(entry, key)| match key {
                Some(key) => {
                    let text = format!("its footage begins with a key picture dated {}, {why}", key.time);
                    let reasons = vec![Reason::supporting(text, self.at(key.offset))];
                    Begin { offset: Some(key.offset), time: Some(key.time), reasons }
                }
                // The only entry of a block: whatever its dates say, the block is what it names.
                None if entries.len() == 1 => {
                    let text = "no key picture of the block is dated as the entry's start says: the whole block is taken";
                    let reasons = vec![Reason::against(text, entry.at)];
                    Begin { offset: Some(0), time: None, reasons }
                }
                None => {
                    let text = "no key picture of the block is dated as the entry says: which bytes are its own is not known";
                    let reasons = vec![Reason::against(text, entry.at)];
                    Begin { offset: None, time: None, reasons }
                }
            })
            .collect()
    }

    /// Rule 4.
    fn reach_back(&self, entries: &[&Entry], begins: &mut [Begin]) {
        let Some(first) = begins.iter_mut().filter(|begin| begin.offset.is_some()).min_by_key(|begin| begin.offset)
        else {
            return;
        };
        let Some(start) = first.offset.filter(|start| *start > 0) else { return };
        let front = keyframes::by_search_until(self.volume, self.extent, start);
        let own = keyframes::at(self.volume, self.extent, start);
        let runs_on = |pair: &[KeyFrame]| matches!(pair, [a, b] if b.follows(a));
        let mut all = front;
        all.extend(own);
        match all.as_slice() {
            // Nothing but the end of a group of pictures, or nothing at all, stands before it.
            [_] => first.offset = Some(0),
            keys if keys.windows(2).all(runs_on) => {
                first.offset = Some(0);
                let text = "the time stamps run on from the front of the block: it belongs to this entry, the recorder's clock was moved";
                first.reasons.push(Reason::supporting(text, self.at(0)));
            }
            _ => {
                let at = Extent::new(self.extent.offset(), start);
                let which = if entries.len() > 1 { "its entries" } else { "its entry" };
                let text = format!("{start} bytes of footage before it in the block are not what {which} name");
                first.reasons.push(Reason::against(text, at));
            }
        }
    }
}

/// Where an entry's footage begins.
struct Begin {
    offset: Option<u64>,
    time: Option<CivilTime>,
    reasons: Vec<Reason>,
}

fn is_start(entry: &Entry, key: &KeyFrame) -> bool {
    match entry.start {
        Some(start) => key.time.millis().abs_diff(start.millis()) <= START_SLACK_MS,
        None => true,
    }
}

fn last_end(others: &[&Entry]) -> Option<CivilTime> {
    others.iter().filter_map(|entry| entry.end.max(entry.start)).max()
}

/// The key picture each entry begins with.
fn place(entries: &[&Entry], keys: &[KeyFrame]) -> Vec<Option<KeyFrame>> {
    entries
        .iter()
        .map(|entry| match (entry.start, entry.end) {
            (Some(start), end) => nearest(start, keys).or_else(|| {
                let inside = |key: &&KeyFrame| key.time >= start && Some(key.time) <= end;
                keys.iter().find(inside).copied()
            }),
            (None, _) => {
                let others: Vec<&Entry> =
                    entries.iter().copied().filter(|other| other.start.is_some()).collect();
                let after = last_end(&others).map(|end| end.plus_millis(999));
                keys.iter().find(|key| after.is_none_or(|end| key.time > end)).copied()
            }
        })
        .collect()
}

/// The key picture dated nearest to a start, the first of equals.
fn nearest(start: CivilTime, keys: &[KeyFrame]) -> Option<KeyFrame> {
    let apart = |key: &KeyFrame| key.time.millis().abs_diff(start.millis());
    keys.iter().filter(|key| apart(key) <= START_SLACK_MS).min_by_key(|key| apart(key)).copied()
}
