//! The recordings of a binary picture index: one for the pictures of each store file, and one for those it no longer shows.
//!
//! Facts: `docs/formats/hikvision.md` section 9.1. Nothing in a store frames its pictures, so the records' ranges are the stream.

use std::{collections::BTreeSet, ops::Range};

use daleel_core::{
    Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Reason, Recording,
    RecordingState, StoredValue, Stream, Structure,
};

use super::{
    describe,
    index::{Held, Index},
    judged::{Counts, Judged},
    layout::{HEADER_BYTES, Shape},
    media::{Kind, Media},
    picture::{PICTURE_MAX, Picture, PictureParser},
    recorder::Listing,
    residual::Part,
    segment::{gone, of_handle, some_of, version_text},
};

const RECORD: &str = "picture record";

/// Pictures of one store file that belong together, in the order of their records.
struct Group {
    held: Vec<Held>,
    /// Their bytes in the store.
    ranges: Vec<Range<u64>>,
}

impl Group {
    /// The logical stream: the pictures' bytes one after the other.
    fn stream(&self) -> (ExtentMap, Vec<Picture>) {
        let mut map = ExtentMap::default();
        let mut pictures = Vec::new();
        for (held, range) in self.held.iter().zip(&self.ranges) {
            let start = map.len();
            map.push(Extent::new(range.start, range.end.saturating_sub(range.start)));
            pictures.push(Picture { range: start..map.len(), time: held.record.start.civil() });
        }
        (map, pictures)
    }
}

/// A binary picture index with its folder.
pub struct Gallery {
    index: Index,
    media: Media,
    prefix: String,
    counts: Counts,
    findings: Findings,
}

impl Gallery {
    /// Takes an index and looks through its records once.
    pub fn new(index: Index, media: Media, prefix: String) -> Self {
        let findings = index.findings.clone();
        let mut own = Self { index, media, prefix, counts: Counts::default(), findings };
        own.look_through();
        own
    }

    fn look_through(&mut self) {
        let mut missing = BTreeSet::new();
        for file in 0..self.index.header.files {
            let (judged, found) = Judged::of(&self.index, file);
            for finding in found {
                self.findings.add(finding);
            }
            judged.count(&mut self.counts);
            if !judged.held.is_empty() && self.media.get(Kind::Pictures, file).is_none() {
                missing.insert(file);
            }
        }
        let at = self.index.copy.at(HEADER_BYTES, 0);
        let name = self.index.copy.name();
        if self.counts.residual > 0 {
            let counts = self.counts;
            let text = format!(
                "{name}: {} picture records, {} of them residual (of earlier passes), {} of those with bytes that no later record covers",
                counts.records,
                counts.residual,
                counts.whole.saturating_add(counts.tails)
            );
            self.findings.note(FindingKind::NotListed, at, text);
        }
        if self.index.shape == Shape::SHORT_PICTURES {
            let text = format!(
                "{name}: its picture records are read as 80 bytes long; 96 are usual and give records that make no sense here"
            );
            self.findings.note(FindingKind::Interpretation, at, text);
        }
        if !missing.is_empty() {
            let text = if self.media.is_there() {
                let names =
                    some_of(missing.iter().map(|file| self.media.path(Kind::Pictures, *file)));
                format!(
                    "{} picture files that {name} has pictures of are not in the folder: {names}",
                    missing.len()
                )
            } else {
                "only the picture index was given: what it lists is shown, the pictures are not here".to_owned()
            };
            self.findings.note(FindingKind::NotCarried, at, text);
        }
    }

    fn group(&self, file: u32, residual: bool) -> Group {
        let (judged, _) = Judged::of(&self.index, file);
        let mut group = Group { held: Vec::new(), ranges: Vec::new() };
        for (held, part) in judged.iter() {
            let record = &held.record;
            let (start, end) = (u64::from(record.start_offset), u64::from(record.end_offset));
            let range = match part {
                Part::Current if !residual => start..end,
                // What is left of a picture whose begin is gone is no picture.
                Part::Residual(remains) if residual && remains.is_whole(record) => start..end,
                _ => continue,
            };
            let length = range.end.saturating_sub(range.start);
            if record.end_offset <= record.start_offset || length > PICTURE_MAX {
                continue;
            }
            let range = self.media.clip(Kind::Pictures, file, range);
            if !range.is_empty() {
                group.ranges.push(range);
                group.held.push(held.clone());
            }
        }
        group
    }

    fn recording(&self, file: u32, residual: bool) -> Option<Recording> {
        let group = self.group(file, residual);
        let (first, last) = (group.held.first()?, group.held.last()?);
        let times = || group.held.iter().filter_map(|held| held.record.start.civil());
        let (map, _) = group.stream();
        let channel =
            if residual { self.index.only_channel() } else { self.index.channel_of(file) };
        let mut reasons = vec![Reason::supporting(
            format!(
                "{} picture records of file {file} in {}; `index_entry`, `stored` and the offsets of these reasons count there",
                group.held.len(),
                first.copy
            ),
            first.at,
        )];
        if residual {
            let text = "they stand behind the last current record of the file: of an earlier pass; no later record covers their bytes (inferred)";
            reasons.push(Reason::supporting(text, first.at));
        }
        let differing = group.held.iter().filter(|held| held.other.is_some()).count();
        if differing > 0 {
            let text = format!("the two copies of the index differ in {differing} of the records");
            reasons.push(Reason::against(text, first.at));
        }
        if self.media.is_there() && self.media.get(Kind::Pictures, file).is_none() {
            let text = format!("{} is not in the folder", self.media.path(Kind::Pictures, file));
            reasons.push(Reason::against(text, first.at));
        }
        let stored = [first, last]
            .into_iter()
            .filter_map(|held| held.times.first())
            .map(|(name, at, bytes)| StoredValue::new(name, *at, bytes))
            .collect();
        Some(Recording {
            id: format!("{}hiv{file:05}-pic{}", self.prefix, if residual { "-r" } else { "" }),
            channel: channel.map(u32::from),
            stream: 0,
            start: times().min(),
            end: times().max(),
            stored,
            kind: Some("picture".into()),
            bytes: map.len(),
            state: if residual { RecordingState::Residual } else { RecordingState::Closed },
            grade: match (residual, differing) {
                (true, _) => Grade::Slack,
                (false, 0) => Grade::Indexed,
                (false, _) => Grade::IndexConflict,
            },
            reasons,
            index_entry: Some(first.at),
            first_byte: group.ranges.first().map(|range| range.start),
            file: self.media.is_there().then(|| self.media.path(Kind::Pictures, file)),
            index_file: self.index.copy.path.is_some().then(|| first.copy.to_string()),
            handle: (u64::from(file) << 16) | u64::from(residual),
        })
    }
}

impl Listing for Gallery {
    fn facts(&self) -> Vec<(String, String)> {
        let header = &self.index.header;
        let text = format!(
            "binary picture index, {}, {} files, {} records ({} residual)",
            version_text(header.version),
            header.files,
            self.counts.records,
            self.counts.residual
        );
        vec![(self.index.copy.name().to_owned(), text)]
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        let files = 0..self.index.header.files;
        let parts = files.flat_map(|file| [(file, false), (file, true)]);
        Box::new(parts.filter_map(|(file, residual)| self.recording(file, residual).map(Ok)))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let (file, residual) = of_handle(recording.handle);
        let at = self.index.record_at(&self.index.copy, file, 0);
        let group = self.group(file, residual == 1);
        let first = group.held.first().ok_or_else(|| gone(at, recording))?;
        let media = self.media.need(Kind::Pictures, file, RECORD, first.at)?;
        let map = group.stream().0;
        Ok(Stream { source: media.source.clone(), map, reasons: Vec::new(), conflict: None })
    }

    fn native_extension(&self) -> &'static str {
        "pic"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        let (file, residual) = of_handle(recording.handle);
        Box::new(PictureParser::new(self.group(file, residual == 1).stream().1))
    }

    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        let copy = std::iter::once(&self.index.copy)
            .chain(&self.index.mirror)
            .find(|copy| copy.path.as_deref() == file);
        if let Some(copy) = copy {
            return describe::index(&self.index, copy, offset);
        }
        let Some((Kind::Pictures, number, _)) = file.and_then(|path| self.media.by_path(path))
        else {
            return Ok(Vec::new());
        };
        let (judged, _) = Judged::of(&self.index, number);
        let mut found = Vec::new();
        for (held, part) in judged.iter() {
            let range = u64::from(held.record.start_offset)..u64::from(held.record.end_offset);
            if range.contains(&offset) {
                found.extend(describe::segment(&self.index, held, number, part, range, offset));
            }
        }
        Ok(found)
    }
}
