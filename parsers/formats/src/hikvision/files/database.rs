//! The recordings of an SQLite index: one for each row, and one for the pictures of each store file.
//!
//! Facts: `docs/formats/hikvision.md` section 9.2 (names single source beyond those of the columns). A row has no place in the file that could be
//! named without the library's own page walk, so recordings name table and row instead of bytes.

mod load;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use daleel_core::{
    Extent, ExtentMap, FileTree, FindingKind, Findings, FormatError, FrameParser, Grade, Reason,
    Recording, RecordingState, Stream, Structure,
};

use super::{
    describe,
    index::Copy,
    layout::Stamp,
    media::{Kind, Media},
    picture::{PICTURE_MAX, Picture, PictureParser},
    recorder::Listing,
    segment::some_of,
};
use crate::hikvision::{
    generation::Window,
    stream::{Bounds, HikParser},
};

pub use rows::{Contents, PictureRow, Row};

const ROW: &str = "row of the SQLite index";
/// Handles of pictures begin here.
const PICTURES: u64 = 1 << 40;

/// Which copy of the index a row is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The copy in use.
    First,
    /// Only the other copy has it.
    Mirror,
    /// Only the other copy has it, and that one is older.
    OlderMirror,
}

/// Reads the rows of a copy.
#[cfg(feature = "sqlite")]
fn read_rows(database: &[u8]) -> Result<Contents, String> {
    super::sqlite::read(database)
}

/// Without the library nothing is read.
#[cfg(not(feature = "sqlite"))]
fn read_rows(_database: &[u8]) -> Result<Contents, String> {
    Err("this build reads no SQLite indexes".to_owned())
}

/// An SQLite index with its folder.
pub struct Database {
    copy: Copy,
    media: Media,
    prefix: String,
    /// Rows that list something, and which copy they are from.
    rows: Vec<(Row, Origin)>,
    /// Pictures by store file.
    pictures: BTreeMap<u32, Vec<PictureRow>>,
    tables: Vec<String>,
    unused: usize,
    findings: Findings,
}

impl Database {
    /// Reads the first copy that can be read, and compares the others with it.
    pub fn new(copies: Vec<Copy>, tree: &FileTree, media: Media, prefix: String) -> Option<Self> {
        let mut findings = Findings::default();
        let first = copies.first()?.clone();
        let mut read = Vec::new();
        for copy in copies {
            let Some(bytes) = load::load(&copy, tree, &mut findings) else { continue };
            match read_rows(&bytes) {
                Ok(contents) => read.push((copy, contents)),
                Err(error) => {
                    let text = format!("{}: the SQLite index cannot be read: {error}", copy.name());
                    let at = copy.at(0, copy.extent.len());
                    findings.note(FindingKind::DamagedIndex, at, text);
                }
            }
        }
        // The copy with the latest segment; of equal ones the first.
        let latest = read.iter().map(|(_, contents): &(Copy, Contents)| contents.latest()).max();
        if let Some(place) = read.iter().position(|(_, contents)| Some(contents.latest()) == latest)
        {
            read.swap(0, place);
        }
        let mut read = read.into_iter();
        let (copy, contents) = read.next().unwrap_or((first, Contents::default()));
        let own_latest = contents.latest();
        let mut own = Self {
            copy,
            media,
            prefix,
            rows: Vec::new(),
            pictures: BTreeMap::new(),
            tables: contents.tables,
            unused: 0,
            findings,
        };
        own.note_all(&contents.notes);
        for row in contents.segments {
            own.take(row, Origin::First);
        }
        for picture in contents.pictures {
            own.pictures.entry(picture.file).or_default().push(picture);
        }
        for (copy, contents) in read {
            own.note_all(&contents.notes);
            let origin =
                if contents.latest() < own_latest { Origin::OlderMirror } else { Origin::Mirror };
            own.compare(&copy, contents, origin);
        }
        own.note_media();
        Some(own)
    }

    fn note_all(&mut self, notes: &[String]) {
        let at = self.copy.at(0, self.copy.extent.len());
        for note in notes {
            let text = format!("{}: {note}", self.copy.name());
            self.findings.note(FindingKind::DamagedIndex, at, text);
        }
    }

    fn take(&mut self, row: Row, origin: Origin) {
        if !row.is_listed() {
            self.unused = self.unused.saturating_add(1);
        } else if row.is_video {
            self.rows.push((row, origin));
        } else if let (Some(file), Some(range)) = (row.file, row.range()) {
            let (seconds, microseconds) = (row.start, row.start_microseconds.unwrap_or(0));
            let length = range.end.saturating_sub(range.start);
            let picture = PictureRow { file, offset: range.start, length, seconds, microseconds };
            self.pictures.entry(file).or_default().push(picture);
        }
    }

    /// Takes what only the other copy lists.
    fn compare(&mut self, copy: &Copy, contents: Contents, origin: Origin) {
        let own: BTreeSet<_> = self.rows.iter().map(|(row, _)| row.key()).collect();
        let other: BTreeSet<_> =
            contents.segments.iter().filter(|row| row.is_listed()).map(Row::key).collect();
        let (more, fewer) = (other.difference(&own).count(), own.difference(&other).count());
        if more == 0 && fewer == 0 {
            return;
        }
        let older = match origin {
            Origin::OlderMirror => "those only the latter has are residual: it is older",
            Origin::First | Origin::Mirror => "all are listed",
        };
        let text = format!(
            "{} lists {fewer} segments that {} does not, and lacks {more} that it has: {older}",
            self.copy.name(),
            copy.name()
        );
        self.findings.note(FindingKind::CopyMismatch, copy.at(0, copy.extent.len()), text);
        for row in contents.segments {
            if row.is_listed() && row.is_video && !own.contains(&row.key()) {
                self.take(row, origin);
            }
        }
    }

    fn note_media(&mut self) {
        let at = self.copy.at(0, self.copy.extent.len());
        if !self.media.is_there() {
            let text = "only the index was given: its recordings are listed, the media files with their footage are not here";
            self.findings.note(FindingKind::NotCarried, at, text);
            return;
        }
        let listed: BTreeSet<u32> = self.rows.iter().filter_map(|(row, _)| row.file).collect();
        let paths = |files: Vec<u32>| {
            some_of(files.into_iter().map(|file| self.media.path(Kind::Video, file)))
        };
        let has = |file: &u32| self.media.get(Kind::Video, *file).is_some();
        let missing: Vec<_> = listed.iter().copied().filter(|file| !has(file)).collect();
        let unlisted: Vec<_> =
            self.media.numbers(Kind::Video).filter(|file| !listed.contains(file)).collect();
        let mut texts = Vec::new();
        if !missing.is_empty() {
            let text = format!(
                "{} media files that {} has segments of are not in the folder: ",
                missing.len(),
                self.copy.name()
            );
            texts.push((FindingKind::NotCarried, text + &paths(missing)));
        }
        if !unlisted.is_empty() {
            let text = format!(
                "{} has no segment of {} media files in its folder (as streams without an index they are read by the family hikvision-stream): ",
                self.copy.name(),
                unlisted.len()
            );
            texts.push((FindingKind::NotListed, text + &paths(unlisted)));
        }
        for (kind, text) in texts {
            self.findings.note(kind, at, text);
        }
    }

    fn range(&self, row: &Row) -> std::ops::Range<u64> {
        let file = row.file.unwrap_or(u32::MAX);
        let range = match (row.range(), row.start_offset) {
            (Some(range), _) => range,
            (None, Some(start)) if row.is_open() => {
                let media = self.media.get(Kind::Video, file);
                start..media.map_or(start, |media| media.source.len()).max(start)
            }
            _ => 0..0,
        };
        self.media.clip(Kind::Video, file, range)
    }

    fn segment(&self, number: usize, row: &Row, origin: Origin) -> Recording {
        let file = row.file.unwrap_or(u32::MAX);
        let range = self.range(row);
        let at = self.copy.at(0, 0);
        let mut reasons = vec![Reason::supporting(
            format!(
                "row {} of table {} in {}: file {file}, type {}, {} s {} us to {} s {} us, bytes {} to {}",
                row.number,
                row.table,
                self.copy.name(),
                row.kind,
                row.start,
                shown(row.start_microseconds),
                row.end,
                shown(row.end_microseconds),
                shown(row.start_offset),
                shown(row.end_offset)
            ),
            at,
        )];
        if row.channel.is_none() {
            reasons.push(Reason::against("channel unknown: the table has no column for it", at));
        }
        match origin {
            Origin::First => {}
            Origin::Mirror => {
                let text = "only the other copy of the index has this row";
                reasons.push(Reason::against(text, at));
            }
            Origin::OlderMirror => {
                let text = "only the other copy of the index has this row, and its latest segment is older: the recorder no longer lists it, its bytes may be written over";
                reasons.push(Reason::against(text, at));
            }
        }
        if row.is_open() {
            let text = "was being written: the row has no end; older footage may follow in the media file (inferred)";
            reasons.push(Reason::against(text, at));
        } else if row.range().is_none() {
            reasons.push(Reason::against("its offsets are no range of bytes", at));
        }
        let stated = row.range();
        let cut = stated.as_ref().is_some_and(|stated| stated.end > range.end);
        if self.media.is_there() && self.media.get(Kind::Video, file).is_none() {
            let text = format!("{} is not in the folder", self.media.path(Kind::Video, file));
            reasons.push(Reason::against(text, at));
        } else if cut {
            let path = self.media.path(Kind::Video, file);
            reasons.push(Reason::against(format!("{path} ends before the row says"), at));
        }
        Recording {
            id: format!(
                "{}hiv{file:05}-db{}{}",
                self.prefix,
                row.number,
                match origin {
                    Origin::First => "",
                    Origin::Mirror => "-m",
                    Origin::OlderMirror => "-r",
                }
            ),
            channel: row.channel,
            stream: 0,
            start: row.start_stamp().civil(),
            end: row.end_stamp().civil(),
            stored: Vec::new(),
            kind: Some(if row.kind == 3 {
                "motion".into()
            } else {
                format!("type {:02x}", row.kind).into()
            }),
            bytes: range.end.saturating_sub(range.start),
            state: match (origin, row.is_open(), stated) {
                (Origin::OlderMirror, ..) => RecordingState::Residual,
                (_, true, _) => RecordingState::Open,
                (_, false, Some(_)) => RecordingState::Closed,
                (_, false, None) => RecordingState::Conflict,
            },
            grade: match origin {
                Origin::First => Grade::Indexed,
                Origin::Mirror => Grade::IndexConflict,
                Origin::OlderMirror => Grade::Slack,
            },
            reasons,
            index_entry: None,
            first_byte: (!range.is_empty()).then_some(range.start),
            file: self.media.is_there().then(|| self.media.path(Kind::Video, file)),
            index_file: None,
            handle: number as u64,
        }
    }

    /// Pictures of a store file, as a stream.
    fn picture_stream(&self, file: u32) -> (ExtentMap, Vec<Picture>) {
        let mut map = ExtentMap::default();
        let mut pictures = Vec::new();
        for row in self.pictures.get(&file).into_iter().flatten() {
            let range = row.offset..row.offset.saturating_add(row.length);
            let range = self.media.clip(Kind::Pictures, file, range);
            let length = range.end.saturating_sub(range.start);
            if length == 0 || length > PICTURE_MAX {
                continue;
            }
            let start = map.len();
            map.push(Extent::new(range.start, length));
            let stamp = Stamp { seconds: row.seconds, microseconds: row.microseconds };
            pictures.push(Picture { range: start..map.len(), time: stamp.civil() });
        }
        (map, pictures)
    }

    fn picture_recording(&self, file: u32) -> Option<Recording> {
        let (map, pictures) = self.picture_stream(file);
        let times = || pictures.iter().filter_map(|picture| picture.time);
        let at = self.copy.at(0, 0);
        let text =
            format!("{} rows of {} list pictures of file {file}", pictures.len(), self.copy.name());
        let first = map.extents().next()?;
        Some(Recording {
            id: format!("{}hiv{file:05}-dbpic", self.prefix),
            channel: None,
            stream: 0,
            start: times().min(),
            end: times().max(),
            stored: Vec::new(),
            kind: Some("picture".into()),
            bytes: map.len(),
            state: RecordingState::Closed,
            grade: Grade::Indexed,
            reasons: vec![Reason::supporting(text, at)],
            index_entry: None,
            first_byte: Some(first.offset()),
            file: self.media.is_there().then(|| self.media.path(Kind::Pictures, file)),
            index_file: None,
            handle: PICTURES | u64::from(file),
        })
    }

    fn row(&self, recording: &Recording) -> Result<&Row, FormatError> {
        let row = usize::try_from(recording.handle).ok().and_then(|n| self.rows.get(n));
        let at = self.copy.at(0, 0);
        let gone = || FormatError::field(ROW, at, "recording", &recording.id, "one of this input");
        row.map(|(row, _)| row).ok_or_else(gone)
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// The store file of a handle, where it stands for pictures.
fn picture_file(recording: &Recording) -> Option<u32> {
    (recording.handle & PICTURES != 0)
        .then(|| u32::try_from(recording.handle & 0xFFFF_FFFF).unwrap_or(u32::MAX))
}

impl Listing for Database {
    fn facts(&self) -> Vec<(String, String)> {
        let text = format!(
            "SQLite index, tables {}; {} segments, {} rows not in use",
            self.tables.join(", "),
            self.rows.len(),
            self.unused
        );
        vec![(self.copy.name().to_owned(), text)]
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        let segments = self.rows.iter().enumerate();
        let segments = segments.map(|(n, (row, origin))| Ok(self.segment(n, row, *origin)));
        let pictures = self.pictures.keys();
        Box::new(segments.chain(pictures.filter_map(|file| self.picture_recording(*file).map(Ok))))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let at = self.copy.at(0, 0);
        if let Some(file) = picture_file(recording) {
            let media = self.media.need(Kind::Pictures, file, ROW, at)?;
            let map = self.picture_stream(file).0;
            return Ok(Stream {
                source: media.source.clone(),
                map,
                reasons: Vec::new(),
                conflict: None,
            });
        }
        let row = self.row(recording)?;
        let media = self.media.need(Kind::Video, row.file.unwrap_or(u32::MAX), ROW, at)?;
        let range = self.range(row);
        if range.is_empty() {
            let found = format!(
                "{} to {} in {} of {} bytes",
                shown(row.start_offset),
                shown(row.end_offset),
                media.path,
                media.source.len()
            );
            return Err(FormatError::field(ROW, at, "offsets", found, "bytes of the file"));
        }
        let extent = Extent::new(range.start, range.end.saturating_sub(range.start));
        let map = ExtentMap::of(extent);
        Ok(Stream { source: media.source.clone(), map, reasons: Vec::new(), conflict: None })
    }

    fn native_extension(&self) -> &'static str {
        "mpg"
    }

    fn extension_of(&self, recording: &Recording) -> &'static str {
        if picture_file(recording).is_some() { "pic" } else { self.native_extension() }
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        match picture_file(recording) {
            Some(file) => Box::new(PictureParser::new(self.picture_stream(file).1)),
            None => {
                // Where the row has no end, what follows its footage may be older.
                let is_open = recording.state == RecordingState::Open;
                let window = is_open.then_some(Window { start: recording.start, end: None });
                Box::new(HikParser::new(Bounds { window, ..Bounds::default() }))
            }
        }
    }

    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        let Some((kind, number, media)) = file.and_then(|path| self.media.by_path(path)) else {
            return Ok(Vec::new());
        };
        if kind == Kind::Pictures {
            return Ok(Vec::new());
        }
        let rows = self.rows.iter().map(|(row, _)| row);
        let mut found: Vec<_> = rows
            .filter(|row| row.file == Some(number) && self.range(row).contains(&offset))
            .map(|row| {
                let range = self.range(row);
                let at = Extent::new(range.start, range.end.saturating_sub(range.start));
                let purpose = format!(
                    "byte {} of {}; listed in row {} of table {} in {}",
                    offset.saturating_sub(range.start),
                    at.len(),
                    row.number,
                    row.table,
                    self.copy.name()
                );
                let name = format!("segment of file {number}");
                Structure { name, at, purpose, fields: Vec::new() }
            })
            .collect();
        found.extend(describe::stream(&*media.source, offset));
        Ok(found)
    }
}
