//! The recordings of an SQLite index: one for each row, and one for the pictures of each store file.
//!
//! Facts: `docs/formats/hikvision.md` section 9.2 (names single source beyond those of the columns). A row has no place in the file that could be
//! named without the library's own page walk, so recordings name table and row instead of bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    wal,
};
use crate::hikvision::{
    generation::Window,
    stream::{Bounds, HikParser},
};

const ROW: &str = "row of the SQLite index";
/// Longest database read into memory; indexes of recorders are a few megabytes long.
const DATABASE_MAX: u64 = 512 << 20;
/// Handles of pictures begin here.
const PICTURES: u64 = 1 << 40;

/// A row that lists a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its table.
    pub table: Arc<str>,
    /// Its row number.
    pub number: i64,
    /// Media file.
    pub file: Option<u32>,
    /// What made the recorder record; 0 for a row that is not in use.
    pub kind: i64,
    /// Begin, seconds.
    pub start: u32,
    /// End, seconds.
    pub end: u32,
    /// Microseconds of the begin, where the table has them.
    pub start_microseconds: Option<u32>,
    /// Microseconds of the end, where the table has them.
    pub end_microseconds: Option<u32>,
    /// First byte in the media file.
    pub start_offset: Option<u64>,
    /// One past the last byte.
    pub end_offset: Option<u64>,
    /// Channel, where the table has one.
    pub channel: Option<u32>,
    /// False for the tables of events, whose media are pictures.
    pub is_video: bool,
}

impl Row {
    fn is_open(&self) -> bool {
        self.kind != 0 && self.start != 0 && self.end == 0
    }

    /// The rule of section 9.2.
    fn is_listed(&self) -> bool {
        self.file.is_some() && self.kind != 0 && (self.end > self.start || self.is_open())
    }

    fn start_stamp(&self) -> Stamp {
        Stamp { seconds: self.start, microseconds: self.start_microseconds.unwrap_or(0) }
    }

    fn end_stamp(&self) -> Stamp {
        Stamp { seconds: self.end, microseconds: self.end_microseconds.unwrap_or(0) }
    }

    fn range(&self) -> Option<std::ops::Range<u64>> {
        let (start, end) = (self.start_offset?, self.end_offset?);
        (start < end).then_some(start..end)
    }

    fn key(&self) -> (Option<u32>, u32, Option<u64>) {
        (self.file, self.start, self.start_offset)
    }
}

/// A row that lists a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureRow {
    /// Store file.
    pub file: u32,
    /// First byte in it.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Time, seconds.
    pub seconds: u32,
    /// Microseconds, where the table has them.
    pub microseconds: u32,
}

/// What a database lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Names of its tables.
    pub tables: Vec<String>,
    /// Rows of segments, used or not.
    pub segments: Vec<Row>,
    /// Rows of pictures.
    pub pictures: Vec<PictureRow>,
    /// What could not be read.
    pub notes: Vec<String>,
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

/// Bytes of a database as the recorder had them, its log applied.
fn load(copy: &Copy, tree: &FileTree, findings: &mut Findings) -> Option<Vec<u8>> {
    let name = copy.name();
    let at = copy.at(0, copy.extent.len());
    if copy.extent.len() > DATABASE_MAX {
        let text = format!("{name}: {} bytes are more than an index has; not read", copy.extent.len());
        findings.note(FindingKind::DamagedIndex, at, text);
        return None;
    }
    let mut database = match copy.read(0, copy.extent.len()) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("{name} cannot be read: {error}");
            findings.note(FindingKind::Hole, error.at(), text);
            return None;
        }
    };
    let beside = |suffix: &str| {
        let path = format!("{}{suffix}", copy.path.as_ref()?);
        tree.files.iter().find(|file| file.path == path && !file.source.is_empty())
    };
    if let Some(log) = beside("-wal") {
        apply_log(&mut database, log, findings);
    }
    if let Some(journal) = beside("-journal") {
        let text = format!(
            "{}: a rollback journal stands beside the database: a change may not be finished; the journal is not applied",
            journal.path
        );
        let extent = Extent::new(0, journal.source.len());
        findings.note(FindingKind::Interpretation, extent, text);
    }
    let free = wal::free_pages(&database);
    if free > 0 {
        let text = format!(
            "{name}: {free} pages of the database are free; rows that were deleted may still be in them: finding those is recovery, they are not \
             listed here"
        );
        findings.note(FindingKind::NotListed, at, text);
    }
    wal::leave_wal_mode(&mut database);
    Some(database)
}

fn apply_log(database: &mut Vec<u8>, log: &daleel_core::TreeFile, findings: &mut Findings) {
    let at = Extent::new(0, log.source.len());
    let name = &log.path;
    if log.source.len() > DATABASE_MAX {
        let text = format!("{name}: longer than any log of an index; not applied");
        findings.note(FindingKind::DamagedIndex, at, text);
        return;
    }
    let bytes = match log.source.read(at) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("{name} cannot be read, so it is not applied: {error}");
            findings.note(FindingKind::Hole, error.at(), text);
            return;
        }
    };
    match wal::apply(database, &bytes) {
        Ok(applied) => {
            let text = format!(
                "{name}: {} pages of the write-ahead log are applied to a copy of the database in memory; {} frames behind them were never \
                 committed, {} are of earlier rounds of the log: these are not applied, rows in them are for recovery",
                applied.pages, applied.uncommitted, applied.stale
            );
            findings.note(FindingKind::Interpretation, at, text);
        }
        Err(error) => {
            let text = format!("{name} is not applied: {error}");
            findings.note(FindingKind::DamagedIndex, at, text);
        }
    }
}

/// An SQLite index with its folder.
pub struct Database {
    copy: Copy,
    media: Media,
    prefix: String,
    /// Rows that list something, and whether only the other copy has them.
    rows: Vec<(Row, bool)>,
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
            let Some(bytes) = load(&copy, tree, &mut findings) else { continue };
            match read_rows(&bytes) {
                Ok(contents) => read.push((copy, contents)),
                Err(error) => {
                    let text = format!("{}: the SQLite index cannot be read: {error}", copy.name());
                    let at = copy.at(0, copy.extent.len());
                    findings.note(FindingKind::DamagedIndex, at, text);
                }
            }
        }
        let mut read = read.into_iter();
        let (copy, contents) = read.next().unwrap_or((first, Contents::default()));
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
            own.take(row, false);
        }
        for picture in contents.pictures {
            own.pictures.entry(picture.file).or_default().push(picture);
        }
        for (copy, contents) in read {
            own.note_all(&contents.notes);
            own.compare(&copy, contents);
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

    fn take(&mut self, row: Row, is_from_mirror: bool) {
        if !row.is_listed() {
            self.unused = self.unused.saturating_add(1);
        } else if row.is_video {
            self.rows.push((row, is_from_mirror));
        } else if let (Some(file), Some(range)) = (row.file, row.range()) {
            let (seconds, microseconds) = (row.start, row.start_microseconds.unwrap_or(0));
            let length = range.end.saturating_sub(range.start);
            let picture = PictureRow { file, offset: range.start, length, seconds, microseconds };
            self.pictures.entry(file).or_default().push(picture);
        }
    }

    /// Takes what only the other copy lists.
    fn compare(&mut self, copy: &Copy, contents: Contents) {
        let own: BTreeSet<_> = self.rows.iter().map(|(row, _)| row.key()).collect();
        let other: BTreeSet<_> =
            contents.segments.iter().filter(|row| row.is_listed()).map(Row::key).collect();
        let (more, fewer) = (other.difference(&own).count(), own.difference(&other).count());
        if more == 0 && fewer == 0 {
            return;
        }
        let text = format!(
            "{} lists {fewer} segments that {} does not, and lacks {more} of its own: all are listed",
            self.copy.name(),
            copy.name()
        );
        self.findings.note(FindingKind::CopyMismatch, copy.at(0, copy.extent.len()), text);
        for row in contents.segments {
            if row.is_listed() && row.is_video && !own.contains(&row.key()) {
                self.take(row, true);
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

    fn segment(&self, number: usize, row: &Row, is_from_mirror: bool) -> Recording {
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
        if is_from_mirror {
            let text = "only one of the two copies of the index has this row";
            reasons.push(Reason::against(text, at));
        }
        if row.is_open() {
            let text = "was being written: the row has no end; older footage may follow in the media file (inferred)";
            reasons.push(Reason::against(text, at));
        } else if row.range().is_none() {
            reasons.push(Reason::against("its offsets are no range of bytes", at));
        }
        let stated = row.range();
        let cut = stated.as_ref().is_some_and(|stated| stated.end > range.end);
        if self.media.get(Kind::Video, file).is_none() {
            let text = format!("{} is not here", self.media.path(Kind::Video, file));
            reasons.push(Reason::against(text, at));
        } else if cut {
            let path = self.media.path(Kind::Video, file);
            reasons.push(Reason::against(format!("{path} ends before the row says"), at));
        }
        Recording {
            id: format!("{}hiv{file:05}-db{}", self.prefix, row.number),
            channel: row.channel,
            stream: 0,
            start: row.start_stamp().civil(),
            end: row.end_stamp().civil(),
            stored: Vec::new(),
            kind: Some(if row.kind == 3 { "motion".into() } else { format!("type {:02x}", row.kind).into() }),
            bytes: range.end.saturating_sub(range.start),
            state: match (row.is_open(), stated) {
                (true, _) => RecordingState::Open,
                (false, Some(_)) => RecordingState::Closed,
                (false, None) => RecordingState::Conflict,
            },
            grade: if is_from_mirror { Grade::IndexConflict } else { Grade::Indexed },
            reasons,
            index_entry: None,
            first_byte: (!range.is_empty()).then_some(range.start),
            file: self.media.is_there().then(|| self.media.path(Kind::Video, file)),
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
        let text = format!("{} rows of {} list pictures of file {file}", pictures.len(), self.copy.name());
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
        let segments = segments.map(|(n, (row, mirror))| Ok(self.segment(n, row, *mirror)));
        let pictures = self.pictures.keys();
        Box::new(segments.chain(pictures.filter_map(|file| self.picture_recording(*file).map(Ok))))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let at = self.copy.at(0, 0);
        if let Some(file) = picture_file(recording) {
            let media = self.media.need(Kind::Pictures, file, ROW, at)?;
            let map = self.picture_stream(file).0;
            return Ok(Stream { source: media.source.clone(), map, reasons: Vec::new() });
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
        Ok(Stream { source: media.source.clone(), map, reasons: Vec::new() })
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
                Box::new(HikParser::new(Bounds { window }))
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
