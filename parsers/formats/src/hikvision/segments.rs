//! Which bytes of a block belong to which index entry.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.4, 4 and 5. An entry names a block and two times, no bytes; several entries can name one block
//! (recording paused, or the channel switched). The rule, with its evidence as reasons of each recording:
//!
//! 1. An entry begins with the key frame that fits its start best: in the same second, else up to five seconds from it, else inside its times. Of
//!    several, one for which the tail index names no other camera, that begins a run of footage, and whose run ends as the entry says; then back
//!    to the run's start, if that is near. No two entries begin with the same key frame. One entry: the block's front, or what the tail index
//!    gives and the stream map there proves; otherwise, and always for several entries, the maps of the whole block are looked at.
//! 2. An entry without a start begins with the first key frame that begins a run behind the times of the others.
//! 3. It ends where the next entry of the block begins. The last one ends where older footage begins (`generation`) or the tail index does.
//! 4. What comes first in the block belongs to the entry that begins first, also where its date does not fit, if no other key frame stands in it or
//!    the time stamps run on to that of rule 1: then the recorder's clock was moved.
//! 5. Where no key frame fits a block's only entry, two cameras' entries claim the same footage, or the block of an entry without a start names
//!    another camera, the footage has no channel.

use std::{ops::Range, sync::Arc};

use daleel_core::{CivilTime, Extent, Reason, Volume};

use super::{
    generation::{Mark, Marks, Window},
    index::{Entry, EntryState},
    keyframes::{self, KeyFrame},
    tail::{DIRECTORY_BYTES, Tail, TailLayout, TailRecord, read_tail_within},
};

/// Dates of index entries are whole seconds, and some recorders write a block's first picture before its entry.
const START_SLACK_MS: u64 = 5000;
/// Key frames that are compared with an entry, and how many of them are kept.
const OFFERS_MAX: usize = 300_000;
const OFFERS_MIN: usize = 64;
/// Records of the tail index that are looked up for the camera they name.
const PROVEN_MARKS: usize = 8;
/// How far time stamps and dates of one run may be apart.
const RUN_SLACK_MS: u64 = 2000;

/// The part of a block that is one entry's.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Bytes of the block.
    pub range: Range<u64>,
    /// Times the footage has to have where nothing else tells.
    pub window: Window,
    /// Why these bytes.
    pub reasons: Vec<Reason>,
    /// Why the footage may not be the entry's at all; then it has no channel.
    pub conflict: Option<Reason>,
    /// Cameras that the tail index names, by place in the segment.
    pub marks: Marks,
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
        Self::read_within(volume, extent, u64::MAX)
    }

    /// Reads a block's tail, looking at no more than its last `most` bytes where nothing stands there.
    pub fn read_within(volume: &'a Volume, extent: Extent, most: u64) -> Self {
        let tail = read_tail_within(volume, extent, most);
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

    /// Begin and end of a recording that was not closed, by the key frames that the tail index lists behind the other entries.
    pub fn open_times(&self, others: &[&Entry]) -> (Option<CivilTime>, Option<CivilTime>) {
        let listed = keyframes::by_tail(self.volume, self.extent, &self.tail);
        let after = last_end(others);
        let mut own = listed.iter().filter(|key| after.is_none_or(|end| key.time > end));
        let first = own.next().map(|key| key.time);
        let last = own.next_back().map(|key| key.time).or(first);
        let at_front = || keyframes::at(self.volume, self.extent, 0).map(|key| key.time);
        let start = first.or_else(|| at_front().filter(|_| others.is_empty()));
        (start, last.or(start))
    }

    /// The segments of the entries of this block, in the order given.
    pub fn segments(&self, entries: &[&Entry]) -> Vec<Segment> {
        let mut begins: Vec<Begin> = self.begins(entries);
        self.reach_back(entries, &mut begins);
        let starts: Vec<u64> = begins.iter().filter_map(|begin| begin.offset).collect();
        let marks = keyframes::marks(&self.tail);
        entries
            .iter()
            .zip(begins)
            .map(|(entry, begin)| self.segment(entry, begin, &starts, &marks))
            .collect()
    }

    fn segment(&self, entry: &Entry, begin: Begin, starts: &[u64], marks: &[Mark]) -> Segment {
        let next =
            begin.offset.and_then(|own| starts.iter().copied().filter(|start| *start > own).min());
        let range = match begin.offset {
            Some(start) => start..next.unwrap_or(self.end).max(start),
            None => 0..0,
        };
        let mut reasons = begin.reasons;
        reasons.extend(next.map(|next| {
            Reason::supporting("the next entry of the same block begins here", self.at(next))
        }));
        let is_closed = matches!(entry.state, EntryState::Closed);
        // A clock that was set back leaves an entry that ends before it starts.
        let (start, end) = match (entry.start.or(begin.time), entry.end.filter(|_| is_closed)) {
            (Some(start), Some(end)) => (Some(start.min(end)), Some(start.max(end))),
            times => times,
        };
        let own = marks.iter().filter(|mark| range.contains(&mark.offset));
        let marks =
            own.map(|mark| Mark { offset: mark.offset.saturating_sub(range.start), ..*mark });
        let marks: Marks = Arc::new(marks.collect());
        let other = self.other_camera(entry, &range, &marks, (start, end));
        // An open entry is named before its block is rewritten: then the footage is still another camera's.
        let is_doubted = matches!(entry.state, EntryState::Open) && entry.start.is_none();
        let conflict = begin.conflict.or_else(|| other.clone().filter(|_| is_doubted));
        reasons.extend(other.filter(|_| !is_doubted));
        Segment { range, window: Window { start, end }, reasons, conflict, marks }
    }

    /// The tail index names another camera for the first key frame of an entry, and for none that of the entry: a contradiction, though the
    /// tail's byte is no proof alone.
    fn other_camera(
        &self,
        entry: &Entry,
        range: &Range<u64>,
        marks: &Marks,
        (start, end): (Option<CivilTime>, Option<CivilTime>),
    ) -> Option<Reason> {
        let own = entry.channel?;
        // Records of what lies behind the recording, of whatever pass, say nothing of it.
        let is_its_time = |mark: &&Mark| {
            start.is_none_or(|start| mark.time >= start.plus_millis(-2000))
                && end.is_none_or(|end| mark.time <= end.plus_millis(2000))
        };
        let dated = marks.iter().filter(is_its_time).take(PROVEN_MARKS.saturating_mul(8));
        let proven = dated
            .filter(|mark| {
                let place = range.start.saturating_add(mark.offset);
                let key = keyframes::at(self.volume, self.extent, place);
                key.is_some_and(|key| keyframes::is_dated(key.time, mark.time))
            })
            .take(PROVEN_MARKS);
        let named: Vec<&Mark> = proven.collect();
        let first = named.first()?;
        named.iter().all(|mark| mark.channel != own).then(|| {
            let text = format!(
                "the tail index of the block names channel {} for this footage, the entry {own}",
                first.channel
            );
            Reason::against(text, self.at(range.start.saturating_add(first.offset)))
        })
    }

    fn at(&self, offset: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(offset), 1)
    }

    fn begins(&self, entries: &[&Entry]) -> Vec<Begin> {
        // Nearly every block: one entry, and its footage begins with the block.
        if let [entry] = entries {
            let front = keyframes::at(self.volume, self.extent, 0);
            if let Some(front) = front.filter(|front| self.is_start(entry, front)) {
                let text = format!("the block begins with a key frame dated {}", front.time);
                let reasons = vec![Reason::supporting(text, self.at(0))];
                return vec![Begin {
                    offset: Some(0),
                    time: Some(front.time),
                    reasons,
                    conflict: None,
                }];
            }
        }
        // Where a block is divided, a record that the tail index lost must not move the border.
        if entries.len() == 1 {
            let listed = keyframes::by_tail(self.volume, self.extent, &self.tail);
            let placed = place(entries, &listed);
            if placed.found.iter().all(Option::is_some) {
                return self.begins_at(
                    entries,
                    &placed,
                    "by the tail index, and the stream map it points at",
                );
            }
        }
        let mut searched = keyframes::by_search_and_tail(self.volume, self.extent, &self.tail);
        let placed = place(entries, &searched.keys);
        let mut begins = self.begins_at(entries, &placed, "by the stream maps of the block");
        // Where a key frame could not be read, that may be why an entry has none.
        for begin in begins.iter_mut().filter(|begin| begin.time.is_none()) {
            begin.reasons.extend(searched.lost.pop().map(|lost| {
                let text =
                    "bytes of the block cannot be read: the entry's first key frame may lie there";
                Reason::against(text, lost)
            }));
        }
        begins
    }

    fn begins_at(&self, entries: &[&Entry], placed: &Placed, why: &str) -> Vec<Begin> {
        entries
            .iter()
            .enumerate()
            .map(|(n, entry)| match placed.found.get(n).copied().flatten() {
                Some(key) => {
                    let text = format!("its footage begins with a key frame dated {}, {why}", key.time);
                    let reasons = vec![Reason::supporting(text, self.at(key.offset))];
                    let rival = placed.rivals.iter().find(|(winner, _)| *winner == n);
                    let rival = rival.and_then(|(_, loser)| entries.get(*loser));
                    let conflict = rival
                        .filter(|rival| rival.channel != entry.channel && key.channel != entry.channel)
                        .map(|rival| {
                            let text = format!("another entry names the same footage: {}", rival.summary());
                            Reason::against(text, rival.at)
                        });
                    Begin { offset: Some(key.offset), time: Some(key.time), reasons, conflict }
                }
                // The only entry of a block: the block is what it names, but nothing shows that it is still the entry's.
                None if entries.len() == 1 => {
                    let text = "no key frame of the block is dated as the entry says: its footage may be of an earlier pass, of whatever camera";
                    let conflict = (entry.start.is_some() && placed.has_keys)
                        .then(|| Reason::against(text, entry.at));
                    Begin { offset: Some(0), time: None, reasons: Vec::new(), conflict }
                }
                None => {
                    let text = "no key frame of the block is dated as the entry says, or another entry names the same: which bytes are its own is not known";
                    let reasons = vec![Reason::against(text, entry.at)];
                    Begin { offset: None, time: None, reasons, conflict: None }
                }
            })
            .collect()
    }

    /// True when the block's first key frame is dated in the second of the entry's start, and its record names no other camera.
    fn is_start(&self, entry: &Entry, key: &KeyFrame) -> bool {
        let record = self.tail.records.iter().find(|record| {
            record.offset == key.offset
                && record.time.is_some_and(|time| keyframes::is_dated(key.time, time))
        });
        let named = record.and_then(TailRecord::channel);
        let is_other = named.zip(entry.channel).is_some_and(|(named, own)| named != own);
        entry.start.is_none_or(|start| key.time.whole_second() == start) && !is_other
    }

    /// Rule 4.
    fn reach_back(&self, entries: &[&Entry], begins: &mut [Begin]) {
        let Some(first) = begins
            .iter_mut()
            .filter(|begin| begin.offset.is_some())
            .min_by_key(|begin| begin.offset)
        else {
            return;
        };
        let Some(start) = first.offset.filter(|start| *start > 0) else { return };
        let front = keyframes::by_search(self.volume, self.extent, start).keys;
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
                let text = format!(
                    "{start} bytes of footage before it in the block are not what {which} name"
                );
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
    conflict: Option<Reason>,
}

/// Which key frames entries begin with.
struct Placed {
    found: Vec<Option<KeyFrame>>,
    /// Entries that got a picture, and such that named the same and got none.
    rivals: Vec<(usize, usize)>,
    has_keys: bool,
}

fn last_end(others: &[&Entry]) -> Option<CivilTime> {
    others.iter().filter_map(|entry| entry.end.max(entry.start)).max()
}

/// The key frame each entry begins with; no two entries begin with the same.
fn place(entries: &[&Entry], keys: &[KeyFrame]) -> Placed {
    let names = names_are_these(entries, keys);
    let run_ends = run_ends(keys);
    let mut offers: Vec<Offer> = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let block = Placing { entries, keys, run_ends: &run_ends, names };
        let fits = (0..keys.len())
            .filter_map(|k| Some(Offer { misfit: block.misfit(entry, k)?, entry: n, key: k }));
        // Hostile dates fit everywhere: the best of some are taken.
        let mut fits: Vec<Offer> = fits.take(OFFERS_MAX).collect();
        fits.sort();
        fits.truncate(entries.len().saturating_mul(2).max(OFFERS_MIN));
        offers.extend(fits);
    }
    offers.sort();
    let mut found: Vec<Option<usize>> = vec![None; entries.len()];
    let mut owners: Vec<Option<usize>> = vec![None; keys.len()];
    let mut rivals: Vec<(usize, usize)> = Vec::new();
    for Offer { misfit, entry: n, key: k } in offers {
        let (Some(slot), Some(owner)) = (found.get_mut(n), owners.get_mut(k)) else { continue };
        let has_lost = rivals.iter().any(|(_, loser)| *loser == n);
        match (*slot, *owner) {
            (Some(_), _) => {}
            // An entry without times that has nothing of its own here contradicts nobody.
            (None, Some(_))
                if misfit.is_far && entries.get(n).is_some_and(|entry| entry.start.is_none()) => {}
            (None, Some(owner)) if !has_lost => rivals.push((owner, n)),
            // Footage that runs on from what another entry has is that entry's.
            (None, None) if !(has_lost && misfit.runs_on) => {
                *slot = Some(k);
                *owner = Some(n);
            }
            (None, _) => {}
        }
    }
    rivals.retain(|(_, loser)| found.get(*loser).is_some_and(Option::is_none));
    walk_back(entries, keys, &mut found);
    let key = |k: Option<usize>| k.and_then(|k| keys.get(k)).copied();
    Placed { found: found.into_iter().map(key).collect(), rivals, has_keys: !keys.is_empty() }
}

/// Some recorders write a picture or two before the entry: an entry begins where its run does, unless that is another entry's time.
fn walk_back(entries: &[&Entry], keys: &[KeyFrame], found: &mut [Option<usize>]) {
    for (n, entry) in entries.iter().enumerate() {
        let (Some(start), Some(mut k)) = (entry.start, found.get(n).copied().flatten()) else {
            continue;
        };
        while let Some(before) = k.checked_sub(1) {
            let (Some(earlier), Some(key)) = (keys.get(before), keys.get(k)) else { break };
            let covers = |(m, other): (usize, &&Entry)| {
                let from = other.start.is_some_and(|from| earlier.time >= from);
                m != n && from && other.end.is_some_and(|end| earlier.time < end.plus_millis(1000))
            };
            let is_near = earlier.time.millis().abs_diff(start.millis()) <= START_SLACK_MS;
            if !is_near
                || !is_one_run(earlier, key)
                || found.contains(&Some(before))
                || entries.iter().enumerate().any(covers)
            {
                break;
            }
            k = before;
        }
        if let Some(slot) = found.get_mut(n) {
            *slot = Some(k);
        }
    }
}

/// True when the cameras that the tail index names are those of the entries: each name belongs to one, and no entry begins with another's.
fn names_are_these(entries: &[&Entry], keys: &[KeyFrame]) -> bool {
    let known = |name: u32| entries.iter().any(|entry| entry.channel == Some(name));
    let begins = |entry: &&Entry| {
        let own = keys.iter().filter(|key| entry.start == Some(key.time.whole_second()));
        let mut names = own.filter_map(|key| key.channel).peekable();
        names.peek().is_none() || names.any(|name| entry.channel == Some(name))
    };
    keys.iter().filter_map(|key| key.channel).all(known) && entries.iter().all(begins)
}

/// How well a key frame fits an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    misfit: Misfit,
    entry: usize,
    key: usize,
}

/// How badly a key frame fits an entry, the heaviest fault first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Misfit {
    /// Its second is not the start's.
    other_second: bool,
    /// It lies only inside the entry's times.
    is_far: bool,
    /// The tail index names another camera for it.
    other_camera: bool,
    /// Footage runs on to it.
    runs_on: bool,
    /// How far its run ends from the entry's end, in milliseconds; for an entry without times, its place.
    end: u64,
    /// How far it is from the start, in milliseconds.
    apart: u64,
}

/// Date of the last key frame of the run that each key frame is in.
fn run_ends(keys: &[KeyFrame]) -> Vec<CivilTime> {
    let mut ends: Vec<CivilTime> = keys.iter().map(|key| key.time).collect();
    for k in (1..keys.len()).rev() {
        let before = k.saturating_sub(1);
        let is_joined =
            matches!((keys.get(before), keys.get(k)), (Some(a), Some(b)) if is_one_run(a, b));
        let end = ends.get(k).copied();
        if let (true, Some(end), Some(slot)) = (is_joined, end, ends.get_mut(before)) {
            *slot = end;
        }
    }
    ends
}

/// The entries and key frames of a block.
struct Placing<'a> {
    entries: &'a [&'a Entry],
    keys: &'a [KeyFrame],
    run_ends: &'a [CivilTime],
    /// True where the cameras that the tail index names count.
    names: bool,
}

impl Placing<'_> {
    /// How badly a key frame fits an entry; `None` when it does not fit at all.
    fn misfit(&self, entry: &Entry, k: usize) -> Option<Misfit> {
        let key = self.keys.get(k)?;
        let before = k.checked_sub(1).and_then(|before| self.keys.get(before));
        let runs_on = before.is_some_and(|before| is_one_run(before, key));
        let differs = key.channel.zip(entry.channel).is_some_and(|(named, own)| named != own);
        let other_camera = self.names && differs;
        let Some(start) = entry.start else {
            // What was not closed states no start. It follows the others, if the clock was not set back, and begins a run, if its stamps do not go on.
            let others: Vec<&Entry> =
                self.entries.iter().copied().filter(|other| !std::ptr::eq(*other, entry)).collect();
            let end = last_end(&others);
            let is_behind = |key: &KeyFrame| end.is_none_or(|end| key.time > end.plus_millis(999));
            let is_in_last_second = end.is_none_or(|end| key.time.whole_second() >= end);
            let begins_behind = is_behind(key) || (!runs_on && is_in_last_second);
            let is_first_behind = is_behind(key) && before.is_none_or(|before| !is_behind(before));
            let is_named = |key: &KeyFrame| key.channel.is_some() && key.channel == entry.channel;
            let is_earlier =
                |before: &KeyFrame| end.is_some_and(|end| before.time.whole_second() < end);
            let is_switch = is_named(key)
                && before.is_none_or(|before| !is_named(before) || is_earlier(before))
                && is_in_last_second;
            let is_its_time = entry.end.is_none_or(|own| key.time <= own.plus_millis(999));
            let fits = !runs_on || is_first_behind || is_switch;
            return (fits && is_its_time).then_some(Misfit {
                other_second: true,
                is_far: other_camera || !(begins_behind || is_switch),
                other_camera,
                runs_on: false,
                end: k as u64,
                apart: 0,
            });
        };
        let (start, end) =
            entry.end.map_or((start, None), |end| (start.min(end), Some(start.max(end))));
        let apart = key.time.millis().abs_diff(start.millis());
        let is_inside = key.time >= start && Some(key.time) <= end;
        let is_near = apart <= START_SLACK_MS;
        (is_near || is_inside).then_some(())?;
        let run_end = self.run_ends.get(k)?.millis();
        Some(Misfit {
            other_second: Some(key.time.whole_second()) != entry.start,
            is_far: !is_near,
            other_camera,
            runs_on,
            end: end.map_or(0, |end| end.millis().abs_diff(run_end)),
            apart,
        })
    }
}

/// True when two key frames are of one run: time stamps and dates go on alike.
fn is_one_run(a: &KeyFrame, b: &KeyFrame) -> bool {
    let by_date = b.time.millis().saturating_sub(a.time.millis());
    b.follows(a) && b.step_ms(a).is_some_and(|step| step.abs_diff(by_date) <= RUN_SLACK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hikvision::tests::noon;

    fn entry(channel: u32, start: Option<i64>, end: Option<i64>) -> Entry {
        let at = Extent::new(0, 48);
        Entry {
            at,
            copies: vec![at],
            channel: Some(channel),
            start: start.map(noon),
            end: end.map(noon),
            raw_start: 0,
            raw_end: 0,
            block: 0,
            state: if start.is_some() { EntryState::Closed } else { EntryState::Open },
            stale: false,
            conflict: false,
            self_conflict: false,
            reasons: Vec::new(),
        }
    }

    /// A key frame every second from `first` ms after noon, time stamps from `pts` ms, without names.
    fn run(offset: u64, first: i64, count: u64, pts: u64) -> Vec<KeyFrame> {
        (0..count)
            .map(|n| KeyFrame {
                offset: offset + n * 1000,
                time: noon(0).plus_millis(first + n as i64 * 1000),
                pts: Some((pts + n * 1000) * 90),
                channel: None,
            })
            .collect()
    }

    fn places(entries: &[&Entry], keys: &[KeyFrame]) -> Vec<Option<u64>> {
        place(entries, keys).found.iter().map(|key| key.map(|key| key.offset)).collect()
    }

    /// the last key frame of one camera may be dated nearer to the next one's start than that one's own first.
    #[test]
    fn abutting_cameras_are_divided_where_the_run_begins() {
        let (a, b) = (entry(3, Some(0), Some(5)), entry(5, Some(5), Some(9)));
        let keys = [run(0, 50, 6, 0), run(6000, 5800, 4, 900_000)].concat();
        assert_eq!(places(&[&a, &b], &keys), [Some(0), Some(6000)]);
    }

    /// Two entries that start in the same second are told apart by where their runs end.
    #[test]
    fn equal_starts_are_divided_by_their_ends() {
        let (a, b) = (entry(2, Some(0), Some(9)), entry(3, Some(0), Some(4)));
        let keys = [run(0, 300, 9, 0), run(9000, 700, 4, 900_000)].concat();
        assert_eq!(places(&[&a, &b], &keys), [Some(0), Some(9000)]);
        assert_eq!(places(&[&b, &a], &keys), [Some(9000), Some(0)]);
    }

    /// One run that two cameras claim is given once, and the other entry is its rival.
    #[test]
    fn footage_claimed_twice_is_given_once() {
        let (a, b) = (entry(1, Some(0), Some(5)), entry(9, Some(0), Some(5)));
        let placed = place(&[&a, &b], &run(0, 0, 6, 0));
        assert_eq!(placed.found.iter().flatten().count(), 1);
        assert_eq!(placed.rivals.len(), 1);
    }

    /// What was not closed follows the others, also where the time stamps run on.
    #[test]
    fn an_open_entry_follows_the_closed_one() {
        let (closed, open) = (entry(3, Some(0), Some(5)), entry(5, None, None));
        let keys = [run(0, 0, 6, 0), run(6000, 65_000, 4, 65_000)].concat();
        assert_eq!(places(&[&closed, &open], &keys), [Some(0), Some(6000)]);
    }

    /// A record of the tail index that is lost or wrong does not move a border that the dates show.
    #[test]
    fn a_wrong_name_does_not_move_a_border() {
        let (a, b) = (entry(3, Some(0), Some(5)), entry(5, Some(30), Some(33)));
        let mut keys = [run(0, 0, 6, 0), run(6000, 30_000, 4, 900_000)].concat();
        keys[6].channel = Some(3);
        keys[7].channel = Some(5);
        assert_eq!(places(&[&a, &b], &keys), [Some(0), Some(6000)]);
    }

    /// An entry written some key frames after its first begins with its run.
    #[test]
    fn an_entry_goes_back_to_the_start_of_its_run() {
        let (a, b) = (entry(3, Some(0), Some(5)), entry(5, Some(32), Some(36)));
        let keys = [run(0, 0, 6, 0), run(6000, 30_000, 7, 900_000)].concat();
        assert_eq!(places(&[&a, &b], &keys), [Some(0), Some(6000)]);
    }
}
