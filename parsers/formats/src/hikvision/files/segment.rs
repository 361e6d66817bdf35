//! The recordings of a binary video index: one for each segment record, current and residual.
//!
//! Facts: `docs/formats/hikvision.md` section 9.1. What is left of residual segments is judged in [`residual`](super::residual).

mod reasons;

use std::{collections::BTreeSet, ops::Range};

use daleel_core::{
    CivilTime, Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Reason,
    Recording, RecordingState, StoredValue, Stream, Structure,
};

use super::{
    describe,
    index::{Copy, Held, Index},
    judged::{Counts, Judged},
    layout::{HEADER_BYTES, Record},
    media::{Kind, Media},
    recorder::Listing,
    residual::{Front, Part, Remains},
};
use crate::hikvision::{
    generation::Window,
    stream::{Bounds, HikParser},
};

use reasons::{behind_open, explain_residual};

/// Name of a record in errors.
pub const RECORD: &str = "segment record";

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
            "{}: {} segment records, {} of them residual (of earlier passes, no longer shown by the recorder), {} of those satisfy the index's own two rules: they \
             begin behind what the current pass has written and their key-frame runs lie below its own. By the order of the records (inferred) only {} \
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

    /// The copy of the index that a path names.
    fn copy_at(&self, file: Option<&str>) -> Option<&Copy> {
        std::iter::once(&self.index.copy)
            .chain(&self.index.mirror)
            .find(|copy| copy.path.as_deref() == file)
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
        let is_listed = |part: Part| !matches!(part, Part::Residual(remains) if remains.has_fault);
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
        if self.index.is_rebuilt {
            let text = "the header of the index is damaged: the number of files is that of the file table, and what was being written is not known";
            reasons.push(Reason::against(text, self.index.copy.at(0, HEADER_BYTES)));
        }
        match part {
            Part::Current => self.explain_current(file, held, judged, &mut reasons),
            Part::Residual(remains) => {
                explain_residual(held, &remains, &judged.front, &mut reasons)
            }
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
            grade: grade_of(held, is_residual, self.index.is_rebuilt),
            reasons,
            index_entry: Some(held.at),
            first_byte: (!range.is_empty()).then_some(range.start),
            file: self.media.is_there().then(|| self.media.path(Kind::Video, file)),
            index_file: self.index.copy.path.is_some().then(|| held.copy.to_string()),
            handle: handle_of(file, held.slot),
        }
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

fn grade_of(held: &Held, is_residual: bool, is_rebuilt: bool) -> Grade {
    match (is_residual, is_rebuilt || held.other.is_some()) {
        (true, _) => Grade::Slack,
        (false, true) => Grade::IndexConflict,
        (false, false) => Grade::Indexed,
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

/// A version for people; 0 stands for a header that was made up.
pub fn version_text(version: u32) -> String {
    match version {
        0 => "version unknown (header damaged)".to_owned(),
        version => format!("version {version}"),
    }
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
                    "binary video index, {}, {} files, change {}, next file {}, current file {}",
                    version_text(header.version),
                    header.files,
                    header.counter,
                    header.next,
                    header.current
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
        let mut range = self.range(file, held, part, &judged.front);
        let mut reasons = Vec::new();
        // A segment without an end began before this one: how far it came only the stream can tell.
        if part != Part::Current && judged.front.is_open && range.start >= judged.front.written {
            range = behind_open(media, held, range, &mut reasons)?;
        }
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
        Ok(Stream {
            source: media.source.clone(),
            map: ExtentMap::of(extent),
            reasons,
            conflict: None,
        })
    }

    fn native_extension(&self) -> &'static str {
        "mpg"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        // Where the record has no end, what follows it may be older.
        let is_open = recording.state == RecordingState::Open;
        let window = is_open.then_some(Window { start: recording.start, end: None });
        Box::new(HikParser::new(Bounds { window, ..Bounds::default() }))
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
