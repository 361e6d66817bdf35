//! The recordings of a binary video index: one for each segment record, current and residual.
//!
//! Facts: `docs/formats/hikvision.md` section 9.1. What is left of residual segments is judged in [`residual`](super::residual).

use std::{collections::BTreeSet, ops::Range};

use daleel_core::{
    CivilTime, Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Reason,
    Recording, RecordingState, StoredValue, Stream, Structure,
};

use super::{
    describe,
    index::{Copy, Held, Index},
    layout::{HEADER_BYTES, Record},
    media::{Kind, Media},
    recorder::Listing,
    residual::{Front, Part, Remains, judge},
};
use crate::hikvision::{
    generation::Window,
    stream::{Bounds, HikParser},
};

/// Name of a record in errors.
pub const RECORD: &str = "segment record";

/// What an index holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are there.
    pub records: u64,
    /// Of these, records of earlier passes.
    pub residual: u64,
    /// Residual records that neither the footage nor the key-frame runs of the current pass touch.
    pub beyond_pass: u64,
    /// Residual segments of which no record of a later pass covers a byte.
    pub whole: u64,
    /// Residual segments of which the last bytes are left.
    pub tails: u64,
    /// Residual segments written over.
    pub overwritten: u64,
    /// Residual records that make no sense: not listed.
    pub faulty: u64,
    /// Segments being written.
    pub open: u64,
    /// Residual records dated before such recorders existed.
    pub early: u64,
}

/// The records of one media file, judged.
pub struct Judged {
    pub(super) held: Vec<Held>,
    pub(super) parts: Vec<Part>,
    pub(super) front: Front,
    pub(super) last: Option<u16>,
}

impl Judged {
    /// The records of a media file of an index.
    pub fn of(index: &Index, file: u32) -> (Self, Vec<daleel_core::Finding>) {
        let records = index.records(file);
        let (last, _) = index.last_current(file);
        let parts = judge(&records.held, last);
        let front = Front::of(&records.held, last);
        (Self { held: records.held, parts, front, last }, records.findings)
    }

    /// Records and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&Held, Part)> {
        self.held.iter().zip(self.parts.iter().copied())
    }

    fn get(&self, slot: u16) -> Option<(&Held, Part)> {
        self.iter().find(|(held, _)| held.slot == slot)
    }

    /// Adds what this file holds.
    pub fn count(&self, counts: &mut Counts) {
        let add = |to: &mut u64, is: bool| *to = to.saturating_add(u64::from(is));
        for (held, part) in self.iter() {
            add(&mut counts.records, true);
            let Part::Residual(remains) = part else {
                add(&mut counts.open, held.record.is_open());
                continue;
            };
            add(&mut counts.residual, true);
            add(&mut counts.beyond_pass, remains.is_beyond_current_pass());
            add(&mut counts.faulty, remains.has_fault);
            add(&mut counts.early, held.record.is_before_cameras());
            let whole = remains.is_whole(&held.record);
            add(&mut counts.whole, whole);
            add(&mut counts.tails, !remains.has_fault && !whole && remains.bytes > 0);
            add(&mut counts.overwritten, !remains.has_fault && remains.bytes == 0);
        }
    }
}

/// A binary video index with its folder.
pub struct Segments {
    index: Index,
    media: Media,
    /// Put before every id where several indexes are read.
    prefix: String,
    counts: Counts,
    /// What was noticed.
    findings: Findings,
    only_channel: Option<u16>,
}

impl Segments {
    /// Takes an index and looks through its records once.
    pub fn new(index: Index, media: Media, prefix: String) -> Self {
        let only_channel = index.only_channel();
        let findings = index.findings.clone();
        let counts = Counts::default();
        let mut own = Self { index, media, prefix, counts, findings, only_channel };
        own.look_through();
        own
    }

    fn look_through(&mut self) {
        let mut missing = BTreeSet::new();
        let mut listed = BTreeSet::new();
        let mut short = Vec::new();
        for file in 0..self.index.header.files {
            let (judged, found) = Judged::of(&self.index, file);
            for finding in found {
                self.findings.add(finding);
            }
            judged.count(&mut self.counts);
            if judged.held.is_empty() {
                continue;
            }
            listed.insert(file);
            let Some(media) = self.media.get(Kind::Video, file) else {
                missing.insert(file);
                continue;
            };
            let reaches = judged.iter().filter(|(held, part)| {
                *part == Part::Current && u64::from(held.record.end_offset) > media.source.len()
            });
            let count = reaches.count();
            if count > 0 {
                short.push((media.path.clone(), media.source.len(), count));
            }
        }
        self.note_counts();
        self.note_missing(&missing);
        for (path, length, count) in short {
            let at = Extent::new(length, 0);
            let text = format!(
                "{path} ends at byte {length}: {count} current segments reach past its end"
            );
            self.findings.note(FindingKind::Hole, at, text);
        }
        self.note_unlisted(&listed);
    }

    fn note_counts(&mut self) {
        let counts = self.counts;
        if counts.residual == 0 {
            return;
        }
        let mut text = format!(
            "{}: {} segment records, {} of them residual (of earlier passes, no longer shown by the recorder), {} of those intact by the index: they \
             begin behind what the current pass has written and their key-frame runs lie below its own. By the order of the records (inferred) {} \
             residual segments are whole, {} have their last bytes left, {} are written over",
            self.index.copy.name(),
            counts.records,
            counts.residual,
            counts.beyond_pass,
            counts.whole,
            counts.tails,
            counts.overwritten
        );
        if counts.faulty > 0 {
            text.push_str(&format!(", {} make no sense and are not listed", counts.faulty));
        }
        if counts.early > 0 {
            text.push_str(&format!("; {} are dated before 2015", counts.early));
        }
        let start = self.index.shape.table_offset(self.index.header.files);
        let length = self.index.shape.total_bytes(self.index.header.files).saturating_sub(start);
        self.findings.note(FindingKind::NotListed, self.index.copy.at(start, length), text);
    }

    fn note_missing(&mut self, missing: &BTreeSet<u32>) {
        if missing.is_empty() {
            return;
        }
        let at = self.index.copy.at(HEADER_BYTES, 0);
        if !self.media.is_there() {
            let text = "only the index was given: its recordings are listed, the media files with their footage are not here";
            self.findings.note(FindingKind::NotCarried, at, text);
            return;
        }
        let names = some_of(missing.iter().map(|file| self.media.path(Kind::Video, *file)));
        let text = format!(
            "{} media files that {} has segments of are not in the folder: {names}",
            missing.len(),
            self.index.copy.name()
        );
        self.findings.note(FindingKind::NotCarried, at, text);
    }

    fn note_unlisted(&mut self, listed: &BTreeSet<u32>) {
        let unlisted: Vec<_> =
            self.media.numbers(Kind::Video).filter(|file| !listed.contains(file)).collect();
        if unlisted.is_empty() {
            return;
        }
        let names = some_of(unlisted.iter().map(|file| self.media.path(Kind::Video, *file)));
        let text = format!(
            "{} has no segment of {} media files in its folder: {names}; what they hold is not listed (as streams without an index they are read by \
             the family hikvision-stream)",
            self.index.copy.name(),
            unlisted.len()
        );
        self.findings.note(FindingKind::NotListed, self.index.copy.at(HEADER_BYTES, 0), text);
    }

    /// The bytes of a segment in its media file.
    fn range(&self, file: u32, held: &Held, part: Part, front: &Front) -> Range<u64> {
        let record = &held.record;
        let (start, end) = (u64::from(record.start_offset), u64::from(record.end_offset));
        let range = match part {
            Part::Residual(remains) => remains.from..remains.from.saturating_add(remains.bytes),
            Part::Current if record.fault().is_some() => start..start,
            Part::Current if record.is_open() => start..self.open_limit(file, front).max(start),
            Part::Current => start..end,
        };
        self.media.clip(Kind::Video, file, range)
    }

    /// Where a segment without an end can reach at most: its file's lowest key-frame run, or the end of the file.
    fn open_limit(&self, file: u32, front: &Front) -> u64 {
        let length = self.media.get(Kind::Video, file).map_or(0, |media| media.source.len());
        front.lowest_run.unwrap_or(length).min(length)
    }

    fn of_file(&self, file: u32) -> Vec<Result<Recording, FormatError>> {
        let (judged, _) = Judged::of(&self.index, file);
        let is_listed =
            |part: Part| !matches!(part, Part::Residual(remains) if remains.has_fault);
        judged
            .iter()
            .filter(|(_, part)| is_listed(*part))
            .map(|(held, part)| Ok(self.recording(file, held, part, &judged)))
            .collect()
    }

    fn recording(&self, file: u32, held: &Held, part: Part, judged: &Judged) -> Recording {
        let record = &held.record;
        let range = self.range(file, held, part, &judged.front);
        let is_residual = part != Part::Current;
        let (channel, channel_reason) = self.channel(file, is_residual);
        let mut reasons = vec![Reason::supporting(
            format!(
                "{RECORD} {} of file {file} in {}; `index_entry`, `stored` and the offsets of these reasons count there",
                held.slot, held.copy
            ),
            held.at,
        )];
        reasons.push(channel_reason);
        reasons.extend(held.other.as_ref().map(|other| {
            Reason::against(format!("the two copies of the index differ here: {other}"), held.at)
        }));
        match part {
            Part::Current => self.explain_current(file, held, judged, &mut reasons),
            Part::Residual(remains) => explain_residual(held, &remains, &judged.front, &mut reasons),
        }
        self.explain_media(file, record, &mut reasons, held.at);
        Recording {
            id: format!(
                "{}hiv{file:05}-s{}{}",
                self.prefix,
                held.slot,
                if is_residual { "-r" } else { "" }
            ),
            channel: channel.map(u32::from),
            stream: 0,
            start: record.start.civil(),
            end: record.end.civil(),
            stored: held
                .times
                .iter()
                .map(|(name, at, bytes)| StoredValue::new(name, *at, bytes))
                .collect(),
            kind: Some(record.kind_name()),
            bytes: range.end.saturating_sub(range.start),
            state: state_of(record, is_residual),
            grade: grade_of(held, is_residual),
            reasons,
            index_entry: Some(held.at),
            first_byte: (!range.is_empty()).then_some(range.start),
            file: self.media.is_there().then(|| self.media.path(Kind::Video, file)),
            handle: handle_of(file, held.slot),
        }
    }

    /// The channel of a record, and why. A record names none itself.
    fn channel(&self, file: u32, is_residual: bool) -> (Option<u16>, Reason) {
        let entry_at = HEADER_BYTES.saturating_add(
            super::layout::FILE_ENTRY_BYTES.saturating_mul(u64::from(file)),
        );
        let at = self.index.copy.at(entry_at, super::layout::FILE_ENTRY_BYTES);
        if is_residual {
            return match self.only_channel {
                Some(channel) => {
                    let text = format!("channel {channel}: the index names no other for any file");
                    (Some(channel), Reason::supporting(text, at))
                }
                None => {
                    let text = "channel unknown: the file's entry speaks of the current pass, a record names no channel";
                    (None, Reason::against(text, at))
                }
            };
        }
        match (self.index.header.slot_of(file), self.index.channel_of(file)) {
            (Some(slot), _) => {
                let start = super::layout::SLOTS_OFFSET.saturating_add(
                    u64::from(slot.channel).saturating_mul(super::layout::SLOT_BYTES),
                );
                let at = self.index.copy.at(start, super::layout::SLOT_BYTES);
                let text = format!(
                    "channel {}: its active slot names this file as being written; the file table still has the earlier pass",
                    slot.channel
                );
                (Some(slot.channel), Reason::supporting(text, at))
            }
            (None, Some(channel)) => {
                let text = format!("channel {channel} by the file table");
                (Some(channel), Reason::supporting(text, at))
            }
            (None, None) => {
                (None, Reason::against("the file table names no channel for this file", at))
            }
        }
    }

    fn explain_current(&self, file: u32, held: &Held, judged: &Judged, reasons: &mut Vec<Reason>) {
        let record = &held.record;
        if let Some(fault) = record.fault() {
            let text = format!("the record contradicts itself: {fault}");
            reasons.push(Reason::against(text, held.at));
        } else if record.is_open() {
            let limit = self.open_limit(file, &judged.front);
            let active = self.index.header.slot_of(file).map(|slot| slot.segment);
            let by = if active == Some(held.slot) { " and its active slot says so" } else { "" };
            let text = format!(
                "was being written: the record has no end{by}. Its end time is in the stream only; `bytes` is the room up to byte {limit} of the \
                 media file, where older footage may follow"
            );
            reasons.push(Reason::against(text, held.at));
        } else if record.is_before_cameras() {
            let text = "dated before 2015: the recorder's clock was not set, or the record is damaged";
            reasons.push(Reason::against(text, held.at));
        }
    }

    fn explain_media(&self, file: u32, record: &Record, reasons: &mut Vec<Reason>, at: Extent) {
        let path = self.media.path(Kind::Video, file);
        match self.media.get(Kind::Video, file) {
            Some(media) if u64::from(record.end_offset) > media.source.len() => {
                let text = format!(
                    "{path} ends at byte {}, the record says {}",
                    media.source.len(),
                    record.end_offset
                );
                reasons.push(Reason::against(text, at));
            }
            Some(_) => {}
            None => {
                let text = if self.media.is_there() {
                    format!("{path} is not in the folder")
                } else {
                    format!("{path} is not here: only the index was given")
                };
                reasons.push(Reason::against(text, at));
            }
        }
    }
}

fn explain_residual(held: &Held, remains: &Remains, front: &Front, reasons: &mut Vec<Reason>) {
    let record = &held.record;
    let at = held.at;
    reasons.push(Reason::supporting(
        "the record stands behind the last current one of its file: of an earlier pass, no longer shown by the recorder",
        at,
    ));
    let left = if remains.is_whole(record) {
        Reason::supporting(
            "intact: no record at an earlier place, which is of the same or a later pass, covers any of its bytes (inferred)",
            at,
        )
    } else if remains.bytes > 0 {
        let text = format!(
            "partly overwritten: a later pass has written up to byte {}; the last {} of {} bytes are left (inferred from the order of the records)",
            remains.from,
            remains.bytes,
            record.end_offset.saturating_sub(record.start_offset)
        );
        Reason::against(text, at)
    } else {
        Reason::against(
            "overwritten: records of later passes cover its last byte; that it existed is all that is left (inferred from the order of the records)",
            at,
        )
    };
    reasons.push(left);
    let front_text = format!(
        "begins {} the end of what the current pass has written (byte {}{})",
        if remains.is_beyond_current { "at or behind" } else { "before" },
        front.written,
        if front.is_open { ", where a segment without an end begins: it may reach further" } else { "" }
    );
    let run_text = match front.lowest_run {
        None => "its file has no key-frame run of the current pass".to_owned(),
        Some(low) if remains.is_run_kept => {
            format!("its key-frame run ends at or below the current pass' lowest (byte {low}): kept")
        }
        Some(low) => {
            format!("its key-frame run reaches above the current pass' lowest (byte {low}): written over")
        }
    };
    reasons.push(Reason { supports: remains.is_beyond_current, text: front_text, at: Some(at) });
    reasons.push(Reason { supports: remains.is_run_kept, text: run_text, at: Some(at) });
    if record.is_before_cameras() {
        let text = "dated before 2015: the recorder's clock was not set, or this is no record";
        reasons.push(Reason::against(text, at));
    }
}

fn state_of(record: &Record, is_residual: bool) -> RecordingState {
    if is_residual {
        RecordingState::Residual
    } else if record.fault().is_some() {
        RecordingState::Conflict
    } else if record.is_open() {
        RecordingState::Open
    } else {
        RecordingState::Closed
    }
}

fn grade_of(held: &Held, is_residual: bool) -> Grade {
    match (is_residual, &held.other) {
        (true, _) => Grade::Slack,
        (false, Some(_)) => Grade::IndexConflict,
        (false, None) => Grade::Indexed,
    }
}

/// The first few of many names.
pub fn some_of(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let mut names = names.peekable();
    let shown: Vec<_> = names.by_ref().take(SHOWN).collect();
    let rest = if names.peek().is_some() { ", ..." } else { "" };
    format!("{}{rest}", shown.join(", "))
}

fn handle_of(file: u32, slot: u16) -> u64 {
    (u64::from(file) << 16) | u64::from(slot)
}

/// File and record of a handle.
pub fn of_handle(handle: u64) -> (u32, u16) {
    let file = u32::try_from(handle >> 16).unwrap_or(u32::MAX);
    (file, u16::try_from(handle & 0xFFFF).unwrap_or(u16::MAX))
}

/// The error of a recording whose record is no longer found.
pub fn gone(at: Extent, recording: &Recording) -> FormatError {
    FormatError::field(RECORD, at, "recording", &recording.id, "a recording of this input")
}

impl Listing for Segments {
    fn facts(&self) -> Vec<(String, String)> {
        let header = &self.index.header;
        let counts = self.counts;
        let mut facts = vec![
            (
                self.index.copy.name().to_owned(),
                format!(
                    "binary video index, version {}, {} files, change {}, next file {}, current file {}",
                    header.version, header.files, header.counter, header.next, header.current
                ),
            ),
            (
                format!("{}segment records", self.prefix),
                format!(
                    "{} ({} current, {} residual)",
                    counts.records,
                    counts.records.saturating_sub(counts.residual),
                    counts.residual
                ),
            ),
        ];
        if let Some(mirror) = &self.index.mirror {
            facts.push((mirror.name().to_owned(), "mirror of the index".to_owned()));
        }
        facts.extend(header.slots.iter().map(|slot| {
            let since = i64::from(slot.start).saturating_mul(1000);
            let text = format!(
                "file {}, segment {}, since {}",
                slot.file,
                slot.segment,
                CivilTime::from_millis(since)
            );
            (format!("{}being written, channel {}", self.prefix, slot.channel), text)
        }));
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        Box::new((0..self.index.header.files).flat_map(|file| self.of_file(file)))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let (file, slot) = of_handle(recording.handle);
        let at = self.index.record_at(&self.index.copy, file, u64::from(slot));
        let (judged, _) = Judged::of(&self.index, file);
        let (held, part) = judged.get(slot).ok_or_else(|| gone(at, recording))?;
        if let Part::Residual(Remains { bytes: 0, .. }) = part {
            let found = "0: later passes have written over all of them";
            return Err(FormatError::field(RECORD, held.at, "bytes left", found, "1 or more"));
        }
        let media = self.media.need(Kind::Video, file, RECORD, held.at)?;
        let range = self.range(file, held, part, &judged.front);
        if range.is_empty() {
            let record = &held.record;
            let found = format!(
                "{} to {} in {} of {} bytes",
                record.start_offset,
                record.end_offset,
                media.path,
                media.source.len()
            );
            return Err(FormatError::field(RECORD, held.at, "offsets", found, "bytes of the file"));
        }
        let extent = Extent::new(range.start, range.end.saturating_sub(range.start));
        let map = ExtentMap::of(extent);
        Ok(Stream { source: media.source.clone(), map, reasons: Vec::new() })
    }

    fn native_extension(&self) -> &'static str {
        "mpg"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        // Where the record has no end, what follows it may be older.
        let is_open = recording.state == RecordingState::Open;
        let window = is_open.then_some(Window { start: recording.start, end: None });
        Box::new(HikParser::new(Bounds { window }))
    }

    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        if let Some(copy) = self.copy_at(file) {
            return describe::index(&self.index, copy, offset);
        }
        let Some((Kind::Video, number, media)) = file.and_then(|path| self.media.by_path(path))
        else {
            return Ok(Vec::new());
        };
        let (judged, _) = Judged::of(&self.index, number);
        let mut found = Vec::new();
        for (held, part) in judged.iter() {
            let range = self.range(number, held, part, &judged.front);
            if range.contains(&offset) {
                found.extend(describe::segment(&self.index, held, number, part, range, offset));
            }
        }
        found.extend(describe::run(media, &judged, offset)?);
        found.extend(describe::stream(&*media.source, offset));
        Ok(found)
    }
}

impl Segments {
    /// The copy of the index that a path names.
    fn copy_at(&self, file: Option<&str>) -> Option<&Copy> {
        std::iter::once(&self.index.copy)
            .chain(&self.index.mirror)
            .find(|copy| copy.path.as_deref() == file)
    }
}
