//! A recorder that writes to a share: its HIKBTREE in a file, and one media file for each block of a disk it imagines.
//!
//! Facts: `docs/formats/hikvision.md` section 9.3 (block to file: single source). The tree itself is read in
//! [`index`](crate::hikvision::index); which bytes of a file belong to an entry is decided as on a disk, in
//! [`segments`](crate::hikvision::segments).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use daleel_core::{
    CivilTime, Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Reason,
    Recording, RecordingState, StoredValue, Stream, Structure, TreeFile, Volume,
};

use super::{
    describe,
    index::Copy,
    media::{Kind, Media},
    recorder::Listing,
    segment::some_of,
};
use crate::hikvision::{
    describe as explain_disk,
    index::{Entry, EntryState, Geometry, read_tree_file},
    segments::{Block, Segment},
    stream::{Bounds, HikParser},
    tree::Tree,
};

const ENTRY: &str = "HIKBTREE entry";
/// Where an entry has its two times.
const TIMES_OFFSET: u64 = 0x18;

/// An entry that lists footage.
struct Listed {
    entry: Entry,
    /// Media file; `None` where the block is none of the imagined disk.
    file: Option<u32>,
    /// Name of the copy it was taken from.
    copy: Arc<str>,
    /// True where only one of two copies has it.
    is_alone: bool,
    /// Begin and end: the index's, or those of the file's key frames where it was not closed.
    times: (Option<CivilTime>, Option<CivilTime>),
}

/// A tree on a share with its folder.
pub struct Share {
    copy: Copy,
    /// The trees of both copies, for explaining them.
    trees: Vec<(Copy, Tree)>,
    media: Media,
    prefix: String,
    listed: Vec<Listed>,
    /// Entries of each media file that are still listed; positions in `listed`.
    files: BTreeMap<u32, Vec<usize>>,
    /// The file divided last.
    divided: Mutex<Option<(u32, Arc<Vec<Segment>>)>>,
    facts: Vec<(String, String)>,
    findings: Findings,
}

/// Number of the media file that holds a block.
fn file_of(entry: &Entry, geometry: &Geometry) -> Option<u32> {
    let within = entry.block.checked_sub(geometry.video_base)?;
    u32::try_from(within.checked_div(geometry.block_bytes)?).ok()
}

/// True for an entry that is still listed and whose footage is in its block.
fn is_live(entry: &Entry) -> bool {
    !entry.stale && matches!(entry.state, EntryState::Closed | EntryState::Open)
}

fn key(entry: &Entry) -> (Option<u32>, u32, u32, u64) {
    (entry.channel, entry.raw_start, entry.raw_end, entry.block)
}

impl Share {
    /// Reads the first copy that can be read, and takes from the other what only it has.
    ///
    /// # Errors
    /// When no copy can be read.
    pub fn new(copies: Vec<Copy>, media: Media, prefix: String) -> Result<Self, FormatError> {
        let mut findings = Findings::default();
        let mut read = Vec::new();
        let mut failed = None;
        for copy in copies {
            match read_tree_file(&copy.source) {
                Ok(tree) => read.push((copy, tree)),
                Err(error) => {
                    let text = format!("{}: {error}", copy.name());
                    findings.note(FindingKind::DamagedIndex, error.at, text);
                    failed.get_or_insert(error);
                }
            }
        }
        let mut read = read.into_iter();
        let Some((copy, tree)) = read.next() else {
            let none =
                || FormatError::field("HIKBTREE", Extent::new(0, 0), "tree", "none", "a tree");
            return Err(failed.unwrap_or_else(none));
        };
        findings.extend(&tree.findings);
        let mut own = Self {
            trees: vec![(copy.clone(), tree.tree)],
            copy,
            media,
            prefix,
            listed: Vec::new(),
            files: BTreeMap::new(),
            divided: Mutex::default(),
            facts: tree.facts,
            findings,
        };
        own.facts.extend(
            tree.geometry.reasons.iter().map(|reason| ("blocks".to_owned(), reason.text.clone())),
        );
        let keys: BTreeSet<_> = tree.entries.iter().map(key).collect();
        let name: Arc<str> = own.copy.name().into();
        let mut reserved = 0usize;
        for entry in tree.entries {
            reserved = reserved.saturating_add(own.take(entry, &tree.geometry, &name, false));
        }
        if let Some((copy, tree)) = read.next() {
            let name: Arc<str> = copy.name().into();
            let others: BTreeSet<_> = tree.entries.iter().map(key).collect();
            for listed in &mut own.listed {
                listed.is_alone = !others.contains(&key(&listed.entry));
            }
            for entry in tree.entries.into_iter().filter(|entry| !keys.contains(&key(entry))) {
                own.take(entry, &tree.geometry, &name, true);
            }
            own.note_alone(&copy);
            own.trees.push((copy, tree.tree));
        }
        own.note(reserved, tree.unused_blocks);
        for (n, listed) in own.listed.iter().enumerate() {
            if let Some(file) = listed.file.filter(|_| is_live(&listed.entry)) {
                own.files.entry(file).or_default().push(n);
            }
        }
        own.date_open();
        Ok(own)
    }

    /// Dates the recordings that were not closed, from the key frames of their files.
    fn date_open(&mut self) {
        let mut dated = Vec::new();
        for (file, members) in &self.files {
            let Some(media) = self.media.get(Kind::Video, *file) else { continue };
            let entries = |except: usize| {
                let others = members.iter().filter(move |n| **n != except);
                others.filter_map(|n| self.listed.get(*n)).map(|listed| &listed.entry)
            };
            for n in members {
                let Some(listed) = self.listed.get(*n) else { continue };
                if listed.entry.state == EntryState::Open {
                    let volume = Volume::whole(media.source.clone());
                    let others: Vec<&Entry> = entries(*n).collect();
                    let (start, end) = Block::read(&volume, volume.extent).open_times(&others);
                    dated.push((*n, (start.or(listed.entry.start), end)));
                }
            }
        }
        for (n, times) in dated {
            if let Some(listed) = self.listed.get_mut(n) {
                listed.times = times;
            }
        }
    }

    /// The part of its media file that is an entry's.
    fn segment(&self, n: usize, listed: &Listed, file: u32, media: &TreeFile) -> Option<Segment> {
        let volume = Volume::whole(media.source.clone());
        let read = |entries: &[&Entry]| Block::read(&volume, volume.extent).segments(entries);
        let Some(members) = self.files.get(&file) else {
            // No longer listed, and nothing else is in its file.
            return read(&[&listed.entry]).into_iter().next();
        };
        let position = members.iter().position(|member| *member == n)?;
        if let Ok(divided) = self.divided.lock()
            && let Some((own, segments)) = &*divided
            && *own == file
        {
            return segments.get(position).cloned();
        }
        let entries = members.iter().filter_map(|n| self.listed.get(*n));
        let segments = Arc::new(read(&entries.map(|listed| &listed.entry).collect::<Vec<_>>()));
        if let Ok(mut divided) = self.divided.lock() {
            *divided = Some((file, segments.clone()));
        }
        segments.get(position).cloned()
    }

    fn of_handle(&self, recording: &Recording) -> Option<(usize, &Listed)> {
        let n = usize::try_from(recording.handle).ok()?;
        Some((n, self.listed.get(n)?))
    }

    /// Lists an entry; gives 1 for a reserved one, which lists no footage.
    fn take(
        &mut self,
        entry: Entry,
        geometry: &Geometry,
        copy: &Arc<str>,
        is_alone: bool,
    ) -> usize {
        if matches!(entry.state, EntryState::Reserved | EntryState::Unused) {
            return 1;
        }
        let file = file_of(&entry, geometry);
        let times = (entry.start, entry.end);
        self.listed.push(Listed { entry, file, copy: copy.clone(), is_alone, times });
        0
    }

    fn note_alone(&mut self, other: &Copy) {
        let alone = self.listed.iter().filter(|listed| listed.is_alone).count();
        if alone > 0 {
            let text = format!(
                "{alone} entries stand in only one of {} and {}: all are listed",
                self.copy.name(),
                other.name()
            );
            self.findings.note(FindingKind::CopyMismatch, other.at(0, 0), text);
        }
    }

    fn note(&mut self, reserved: usize, unused: u64) {
        let at = self.copy.at(0, self.copy.extent.len());
        let name = self.copy.name();
        if reserved > 0 || unused > 0 {
            let text = format!(
                "{name}: {reserved} blocks are reserved and {unused} unused since the share was initialised; what their files hold is not listed"
            );
            self.findings.note(FindingKind::NotListed, at, text);
        }
        if !self.media.is_there() {
            let text = "only the index was given: its recordings are listed, the media files with their footage are not here";
            self.findings.note(FindingKind::NotCarried, at, text);
            return;
        }
        let files: BTreeSet<u32> = self.listed.iter().filter_map(|listed| listed.file).collect();
        let path = |file: &u32| self.media.path(Kind::Video, *file);
        let missing: Vec<_> = files
            .iter()
            .filter(|file| self.media.get(Kind::Video, **file).is_none())
            .map(path)
            .collect();
        let unlisted: Vec<_> = self
            .media
            .numbers(Kind::Video)
            .filter(|file| !files.contains(file))
            .map(|file| path(&file))
            .collect();
        if !missing.is_empty() {
            let count = missing.len();
            let names = some_of(missing.into_iter());
            let text =
                format!("{count} media files that {name} names are not in the folder: {names}");
            self.findings.note(FindingKind::NotCarried, at, text);
        }
        if !unlisted.is_empty() {
            let count = unlisted.len();
            let names = some_of(unlisted.into_iter());
            let text = format!(
                "{name} lists nothing of {count} media files in its folder (as streams without an index they are read by the family \
                 hikvision-stream): {names}"
            );
            self.findings.note(FindingKind::NotListed, at, text);
        }
    }

    fn recording(&self, number: usize, listed: &Listed) -> Recording {
        let entry = &listed.entry;
        let media = listed.file.and_then(|file| self.media.get(Kind::Video, file));
        let mut reasons = vec![Reason::supporting(
            format!(
                "{ENTRY} in {}; `index_entry`, `stored` and the offsets of these reasons count there",
                listed.copy
            ),
            entry.at,
        )];
        reasons.extend(entry.reasons.iter().cloned());
        let block = entry.at.slice(0x20, 8).unwrap_or(entry.at);
        reasons.push(match listed.file {
            Some(file) => Reason::supporting(
                format!(
                    "block 0x{:x} of the imagined disk is file {file} (single source); entries that name one block divide it among them by their times",
                    entry.block
                ),
                block,
            ),
            None => Reason::against("its block is none of the imagined disk", block),
        });
        if entry.state == EntryState::Open {
            let text = "the entry was not closed: its times are those of the key frames in its media file, where there are any";
            reasons.push(Reason::against(text, entry.at));
        }
        if media.is_none() {
            reasons.push(Reason::against("its media file is not here", entry.at));
        }
        if listed.is_alone {
            let text = "only one of the two copies of the index has this entry";
            reasons.push(Reason::against(text, entry.at));
        }
        let times = entry.at.offset().saturating_add(TIMES_OFFSET);
        let name = listed.file.map_or("none".to_owned(), |file| format!("{file:05}"));
        Recording {
            id: format!("{}hiv{name}-e{:x}", self.prefix, entry.at.offset()),
            channel: entry.channel,
            stream: 0,
            start: listed.times.0,
            end: listed.times.1,
            stored: vec![
                StoredValue::new("start time", times, &entry.raw_start.to_le_bytes()),
                StoredValue::new("end time", times.saturating_add(4), &entry.raw_end.to_le_bytes()),
            ],
            kind: None,
            bytes: media.map_or(0, |media| media.source.len()),
            state: match &entry.state {
                _ if entry.stale => RecordingState::Residual,
                EntryState::Closed => RecordingState::Closed,
                EntryState::Open => RecordingState::Open,
                _ => RecordingState::Conflict,
            },
            grade: match (entry.stale, entry.conflict || entry.self_conflict || listed.is_alone) {
                (true, _) => Grade::Slack,
                (false, true) => Grade::IndexConflict,
                (false, false) => Grade::Indexed,
            },
            reasons,
            index_entry: Some(entry.at),
            first_byte: media.map(|_| 0),
            file: listed
                .file
                .filter(|_| self.media.is_there())
                .map(|file| self.media.path(Kind::Video, file)),
            index_file: self.copy.path.is_some().then(|| listed.copy.to_string()),
            handle: number as u64,
        }
    }
}

impl Listing for Share {
    fn facts(&self) -> Vec<(String, String)> {
        let text = format!("HIKBTREE on a share, {} entries with footage", self.listed.len());
        let mut facts = vec![(self.copy.name().to_owned(), text)];
        facts.extend(
            self.facts
                .iter()
                .map(|(name, value)| (format!("{}{name}", self.prefix), value.clone())),
        );
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        let listed = self.listed.iter().enumerate();
        Box::new(listed.map(|(number, listed)| match &listed.entry.state {
            EntryState::Damaged(what) => {
                let expected = "an entry as the format describes it";
                Err(FormatError::field(ENTRY, listed.entry.at, "entry", what, expected))
            }
            _ => Ok(self.recording(number, listed)),
        }))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let at = self.copy.at(0, 0);
        let gone =
            || FormatError::field(ENTRY, at, "recording", &recording.id, "one of this input");
        let (n, listed) = self.of_handle(recording).ok_or_else(gone)?;
        let at = listed.entry.at;
        let block = at.slice(0x20, 8).unwrap_or(at);
        let wrong =
            |found: String, expected| FormatError::field(ENTRY, block, "block", found, expected);
        let none = || wrong(format!("0x{:x}", listed.entry.block), "a block of the imagined disk");
        let file = listed.file.ok_or_else(none)?;
        if listed.entry.stale && self.files.contains_key(&file) {
            let found = "given to another recording since".to_owned();
            return Err(wrong(found, "a block that is still this recording's"));
        }
        let media = self.media.need(Kind::Video, file, ENTRY, at)?;
        let segment = self.segment(n, listed, file, media);
        let segment = segment.filter(|segment| segment.range.end > segment.range.start);
        let Segment { range, reasons, conflict, .. } = segment.ok_or_else(|| {
            let found = format!("{}, where no footage is dated as the entry says", media.path);
            wrong(found, "footage of the entry's times")
        })?;
        let extent = Extent::new(range.start, range.end.saturating_sub(range.start));
        Ok(Stream { source: media.source.clone(), map: ExtentMap::of(extent), reasons, conflict })
    }

    fn native_extension(&self) -> &'static str {
        "mpg"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        let segment = self.of_handle(recording).and_then(|(n, listed)| {
            let file = listed.file?;
            self.segment(n, listed, file, self.media.get(Kind::Video, file)?)
        });
        let bounds = segment.map(|segment| Bounds {
            window: Some(segment.window),
            channel: recording.channel,
            marks: segment.marks,
        });
        Box::new(HikParser::new(bounds.unwrap_or_default()))
    }

    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        if let Some((copy, tree)) = self.trees.iter().find(|(copy, _)| copy.path.as_deref() == file)
        {
            return explain_disk::tree_file(tree, &copy.source, offset);
        }
        let media = file.and_then(|path| self.media.by_path(path));
        let Some((Kind::Video, number, media)) = media else { return Ok(Vec::new()) };
        let whole = Extent::new(0, media.source.len());
        let mut found: Vec<_> = self
            .listed
            .iter()
            .filter(|listed| listed.file == Some(number))
            .map(|listed| Structure {
                name: format!("block of file {number}"),
                at: whole,
                purpose: format!(
                    "{}; entry at byte {} of {}",
                    listed.entry.summary(),
                    listed.entry.at.offset(),
                    listed.copy
                ),
                fields: Vec::new(),
            })
            .collect();
        found.extend(describe::stream(&*media.source, offset));
        Ok(found)
    }
}
