//! A recorder's disk: the recordings that its two index trees list, and where their streams lie.
//!
//! Facts: `docs/formats/hikvision.md` part A. The trees are read in [`index`](super::index); which bytes of a block belong to an entry is decided in
//! [`segments`](super::segments).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use daleel_core::{
    CivilTime, Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Input,
    LogEvent, Reason, Recorder, Recording, RecordingState, StoredValue, Stream, Structure, Verdict,
    Volume,
};

use super::{
    describe,
    index::{Entry, EntryState, Index},
    log,
    segments::{Block, Segment},
    stream::{Bounds, HikParser},
};

/// Name of an index entry in the format document.
const ENTRY: &str = "HIKBTREE entry";
/// Recordings that are not closed, on a disk that was taken out of a recorder.
const OPEN_USUAL: usize = 64;
/// Bytes of a block's end that are searched for its tail index where there are more.
const OPEN_SEARCH_BYTES: u64 = 64 << 10;
/// Blocks whose division among their entries is remembered.
const REMEMBERED: usize = 4;

/// Opens a recorder's disk.
///
/// # Errors
/// When nothing on it leads to recordings or to the geometry.
pub fn open(input: Input, verdict: &Verdict) -> Result<Box<dyn Recorder>, FormatError> {
    let Input::Volume(volume) = input else {
        let nowhere = Extent::new(0, 0);
        let found = "a tree of files";
        return Err(FormatError::field("disk", nowhere, "input", found, "a disk or image"));
    };
    let volume = Volume { source: volume.source, extent: verdict.extent };
    let index = Index::read(&volume)?;
    Ok(Box::new(Disk::new(verdict.clone(), volume, index)))
}

/// An opened disk.
struct Disk {
    verdict: Verdict,
    volume: Volume,
    index: Index,
    findings: Findings,
    /// Entries of each block that hold footage, by the block's offset; positions in the index.
    blocks: BTreeMap<u64, Vec<usize>>,
    /// Begin and end of recordings that were not closed, by position in the index.
    open_times: BTreeMap<usize, (Option<CivilTime>, Option<CivilTime>)>,
    /// Blocks divided last.
    divided: Mutex<VecDeque<(u64, Arc<Vec<Segment>>)>>,
}

impl Disk {
    fn new(verdict: Verdict, volume: Volume, index: Index) -> Self {
        let mut findings = Findings::default();
        findings.extend(&index.findings);
        let mut blocks: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (n, entry) in index.entries.iter().enumerate() {
            if matches!(entry.state, EntryState::Closed | EntryState::Open) && !entry.stale {
                blocks.entry(entry.block).or_default().push(n);
            }
        }
        let divided = Mutex::default();
        let open_times = BTreeMap::new();
        let mut disk = Self { verdict, volume, index, findings, blocks, open_times, divided };
        disk.date_open();
        disk.note_logs();
        disk.note_unlisted();
        disk
    }

    /// Dates the recordings that were not closed, from their blocks' tails.
    fn date_open(&mut self) {
        let open = |entry: &Entry| matches!(entry.state, EntryState::Open);
        let count = self.index.entries.iter().filter(|entry| open(entry)).count();
        // One for each camera; more is damage, and must not cost more.
        let search_bytes = if count <= OPEN_USUAL { u64::MAX } else { OPEN_SEARCH_BYTES };
        let times: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|(offset, members)| members.iter().map(move |n| (*offset, *n, members)))
            .filter_map(|(offset, n, members)| {
                let entry = self.index.entries.get(n).filter(|entry| open(entry))?;
                let others = members.iter().filter(|other| **other != n);
                let others: Vec<&Entry> =
                    others.filter_map(|other| self.index.entries.get(*other)).collect();
                let block =
                    Block::read_within(&self.volume, self.block_extent(offset), search_bytes);
                let (start, end) = block.open_times(&others);
                Some((n, (start.or(entry.start), end)))
            })
            .collect();
        self.open_times = times.into_iter().collect();
    }

    fn note_logs(&mut self) {
        let areas = log::areas(&self.index, &self.volume);
        if let Some(first) = areas.first().filter(|_| log::are_empty(&self.volume, &areas)) {
            let text = "neither log area begins with a record: the log was cleared, is gone, or was never written";
            self.findings.note(FindingKind::DamagedIndex, *first, text);
        }
    }

    fn note_unlisted(&mut self) {
        let stale = self.index.entries.iter().filter(|entry| entry.stale);
        let first = stale.clone().next().map(|entry| entry.at);
        if let Some(at) = first {
            let text = format!(
                "{} entries stand behind the used part of index pages: the recorder no longer shows them; they are listed as residual",
                stale.count()
            );
            self.findings.note(FindingKind::NotListed, at, text);
        }
    }

    fn block_extent(&self, offset: u64) -> Extent {
        self.volume.at(offset, self.index.geometry.block_bytes)
    }

    /// A block's number, where it lies on the grid.
    fn block_number(&self, offset: u64) -> Option<u64> {
        let geometry = &self.index.geometry;
        let behind = offset.checked_sub(geometry.video_base)?;
        (behind.checked_rem(geometry.block_bytes)? == 0)
            .then(|| behind.checked_div(geometry.block_bytes))?
    }

    fn id(&self, n: usize, entry: &Entry) -> String {
        let block = match self.block_number(entry.block) {
            Some(number) => format!("hik-b{number}"),
            None => format!("hik-x{:x}", entry.block),
        };
        let members = self.blocks.get(&entry.block).map_or(&[][..], Vec::as_slice);
        if entry.stale {
            // Its place in the page tells it from others of the same block.
            return format!("{block}-stale-{:x}", entry.at.offset());
        }
        if members.len() < 2 {
            return block;
        }
        let same = |other: &&usize| {
            self.index.entries.get(**other).is_some_and(|other| other.raw_start == entry.raw_start)
        };
        let begin = if entry.start.is_some() {
            format!("{:08x}", entry.raw_start)
        } else {
            "open".to_owned()
        };
        if members.iter().filter(same).count() < 2 {
            format!("{block}-{begin}")
        } else {
            format!("{block}-{begin}-{n}")
        }
    }

    fn recording(&self, n: usize, entry: &Entry) -> Recording {
        let at = entry.at;
        let place = |relative: u64| at.offset().saturating_add(relative);
        let block = self.block_extent(entry.block);
        let (start, end) = self.open_times.get(&n).copied().unwrap_or((entry.start, entry.end));
        let members = self.blocks.get(&entry.block).map_or(0, Vec::len);
        let mut reasons = vec![self.entry_reason(entry)];
        reasons.extend(entry.reasons.iter().cloned());
        if members > 1 && !entry.stale {
            let text = format!(
                "{members} entries name this block: its bytes are divided among them by their times"
            );
            reasons.push(Reason::supporting(text, at));
        }
        let (state, grade) = match &entry.state {
            _ if entry.stale => {
                reasons.push(self.stale_reason(entry));
                (RecordingState::Residual, Grade::Slack)
            }
            _ if entry.conflict || entry.self_conflict => {
                (RecordingState::Conflict, Grade::IndexConflict)
            }
            EntryState::Open => {
                reasons.push(open_reason(at, start));
                (RecordingState::Open, Grade::Indexed)
            }
            _ => (RecordingState::Closed, Grade::Indexed),
        };
        Recording {
            id: self.id(n, entry),
            channel: entry.channel,
            stream: 0,
            start,
            end,
            stored: vec![
                StoredValue::new("start", place(0x18), &entry.raw_start.to_le_bytes()),
                StoredValue::new("end", place(0x1C), &entry.raw_end.to_le_bytes()),
            ],
            kind: None,
            bytes: block.len(),
            state,
            grade,
            reasons,
            index_entry: Some(at),
            first_byte: (members < 2 || entry.stale).then(|| block.offset()),
            file: None,
            index_file: None,
            handle: n as u64,
        }
    }

    fn entry_reason(&self, entry: &Entry) -> Reason {
        let copies = match entry.copies.len() {
            0 | 1 => "in one copy of the index",
            _ => "in both copies of the index",
        };
        let channel = match entry.channel {
            Some(channel) => format!("its channel byte says {channel}"),
            None => "it names no channel".to_owned(),
        };
        let at = entry.at.slice(0x10, 2).unwrap_or(entry.at);
        Reason::supporting(format!("index entry {copies}; {channel}"), at)
    }

    fn stale_reason(&self, entry: &Entry) -> Reason {
        let text = if self.blocks.contains_key(&entry.block) {
            "no longer listed; its block belongs to another entry now"
        } else {
            "no longer listed; no other entry names its block"
        };
        Reason::against(text, entry.at)
    }

    fn resolve(&self, recording: &Recording) -> Result<(usize, &Entry), FormatError> {
        let n = usize::try_from(recording.handle).ok();
        let entry = n.and_then(|n| Some((n, self.index.entries.get(n)?)));
        entry.ok_or_else(|| {
            let at = recording.index_entry.unwrap_or(self.volume.extent);
            FormatError::field(ENTRY, at, "recording", &recording.id, "an entry of this disk")
        })
    }

    /// The division of a block among its entries, in the order of `blocks`.
    fn divide(&self, offset: u64) -> Arc<Vec<Segment>> {
        let remembered = || self.divided.lock().ok();
        if let Some(divided) = remembered()
            && let Some((_, segments)) = divided.iter().find(|(own, _)| *own == offset)
        {
            return segments.clone();
        }
        let members = self.blocks.get(&offset).map_or(&[][..], Vec::as_slice);
        let entries: Vec<&Entry> =
            members.iter().filter_map(|n| self.index.entries.get(*n)).collect();
        let block = Block::read(&self.volume, self.block_extent(offset));
        let segments = Arc::new(block.segments(&entries));
        if let Some(mut divided) = remembered() {
            divided.push_back((offset, segments.clone()));
            if divided.len() > REMEMBERED {
                divided.pop_front();
            }
        }
        segments
    }

    /// An entry's part of its block.
    fn segment(&self, n: usize, entry: &Entry) -> Result<Segment, FormatError> {
        if entry.stale {
            return match self.blocks.contains_key(&entry.block) {
                true => Err(FormatError::field(
                    ENTRY,
                    entry.at,
                    "block",
                    "given to another recording since",
                    "a block that is still this recording's",
                )),
                false => Block::read(&self.volume, self.block_extent(entry.block))
                    .segments(&[entry])
                    .into_iter()
                    .next()
                    .ok_or_else(|| self.no_bytes(entry)),
            };
        }
        let members = self.blocks.get(&entry.block).map_or(&[][..], Vec::as_slice);
        let position = members.iter().position(|member| *member == n);
        let segment = position.and_then(|position| self.divide(entry.block).get(position).cloned());
        segment
            .filter(|segment| segment.range.end > segment.range.start)
            .ok_or_else(|| self.no_bytes(entry))
    }

    fn no_bytes(&self, entry: &Entry) -> FormatError {
        FormatError::field(
            ENTRY,
            entry.at,
            "block",
            format!("0x{:x}, where no footage is dated as the entry says", entry.block),
            "footage of the entry's times",
        )
    }
}

fn open_reason(at: Extent, start: Option<CivilTime>) -> Reason {
    let times = match start {
        Some(_) => "its times are those of the block's tail index and key frames",
        None => "nothing in its block dates it",
    };
    let at = at.slice(0x18, 8).unwrap_or(at);
    Reason::against(format!("the entry was not closed (start or end is the sentinel): {times}"), at)
}

impl Recorder for Disk {
    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = self.index.facts.clone();
        let unused = format!("{} (what they held before is not listed)", self.index.unused_blocks);
        facts.push(("blocks unused since the last initialisation".to_owned(), unused));
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        let entries = self.index.entries.iter().enumerate();
        Box::new(entries.filter_map(|(n, entry)| match &entry.state {
            EntryState::Closed | EntryState::Open => Some(Ok(self.recording(n, entry))),
            EntryState::Damaged(what) => {
                let expected = "an entry as the format describes it";
                Some(Err(FormatError::field(ENTRY, entry.at, "entry", what, expected)))
            }
            EntryState::Reserved | EntryState::Unused => None,
        }))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let (n, entry) = self.resolve(recording)?;
        let Segment { range, reasons, conflict, .. } = self.segment(n, entry)?;
        let block = self.block_extent(entry.block);
        let length = range.end.saturating_sub(range.start);
        let part = block.slice(range.start, length).ok_or_else(|| self.no_bytes(entry))?;
        Ok(Stream {
            source: self.volume.source.clone(),
            map: ExtentMap::of(part),
            reasons,
            conflict,
        })
    }

    fn native_extension(&self, _recording: &Recording) -> &'static str {
        "mpg"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        let segment = self.resolve(recording).and_then(|(n, entry)| self.segment(n, entry));
        let bounds = segment.map(|segment| Bounds {
            window: Some(segment.window),
            channel: recording.channel,
            marks: segment.marks,
        });
        Box::new(HikParser::new(bounds.unwrap_or_default()))
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_> {
        log::events(&self.volume, log::areas(&self.index, &self.volume))
    }

    fn describe(&self, offset: u64, _file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        describe::describe(&self.index, &self.volume, offset)
    }
}
