//! Stand-alone `.dav` files, alone or in a folder: recordings without an index.
//!
//! Facts: `docs/formats/dahua.md` section 3.3 (forms of .dav). Forms whose layout is not known, and ordinary containers that carry the
//! name, are recognised and named, not read.

use std::sync::Arc;

use daleel_core::{
    Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Input, LogEvent,
    Reason, Recorder, Recording, RecordingState, Source, StoredValue, Stream, Structure, Verdict,
    Volume,
};
use memchr::memmem;

use super::{
    describe,
    layout::IndexHead,
    stream::{Bounds, DhavParser},
    time::decode_date,
    unit::{HEADER_BYTES, Header, TRAILER_BYTES, next_header, trailer_length},
};

/// Name of the family.
pub const FAMILY: &str = "dahua-stream";
/// Length of the `DAHUA` file header.
const FILE_HEADER_BYTES: u64 = 0x400;
/// How far a file is searched for its first frame when it begins inside one.
const HEAD_SEARCH_BYTES: u64 = 1 << 20;
/// How much of the end is searched for the last frame.
const TAIL_SEARCH_BYTES: u64 = 1 << 20;

/// How a file begins (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `DHAV` at 0.
    Plain,
    /// A 0x400-byte header that begins with `DAHUA`.
    FileHeader,
    /// A DHII index of this length.
    IndexFirst(u32),
    /// Begins inside a frame; the first whole one lies here.
    HeadCut(u64),
    /// The older start-code stream with `Dahua_ZH` text: layout not known well enough.
    OldMpeg,
    /// An ordinary container.
    Container(&'static str),
}

impl Form {
    /// What `identify` calls it.
    const fn layout(self) -> &'static str {
        match self {
            Self::Plain => "DHAV stream",
            Self::FileHeader => "DHAV stream behind a DAHUA file header",
            Self::IndexFirst(_) => "DHAV stream behind a DHII index",
            Self::HeadCut(_) => "DHAV stream, beginning inside a frame",
            Self::OldMpeg => "old Dahua start-code stream (named, not read)",
            Self::Container(name) => name,
        }
    }

    /// Where the first frame lies; `None` when the form is not read.
    fn first_frame(self) -> Option<u64> {
        match self {
            Self::Plain => Some(0),
            Self::FileHeader => Some(FILE_HEADER_BYTES),
            Self::IndexFirst(length) => Some(u64::from(length)),
            Self::HeadCut(at) => Some(at),
            Self::OldMpeg | Self::Container(_) => None,
        }
    }

    fn score(self) -> u8 {
        match self {
            Self::Plain | Self::IndexFirst(_) => 90,
            Self::FileHeader => 80,
            Self::HeadCut(_) => 40,
            Self::OldMpeg => 30,
            Self::Container(_) => 10,
        }
    }
}

/// Bytes at the start of an extent: as many as there are up to `length`, and up to the first hole.
fn head(source: &dyn Source, extent: Extent, length: u64) -> Vec<u8> {
    let wanted = Extent::new(extent.offset(), extent.len().min(length));
    let hole = source.holes(wanted).first().map(|(hole, _)| hole.offset());
    let end = hole.unwrap_or(wanted.end());
    let readable = Extent::new(extent.offset(), end.saturating_sub(extent.offset()));
    source.read(readable).unwrap_or_default()
}

/// Recognises the form of a file.
fn detect(shared: &Arc<dyn Source>, extent: Extent) -> Option<Form> {
    let source = &**shared;
    let start = head(source, extent, 4096);
    if Header::parse(&start).is_some_and(|header| header.is_valid()) {
        return Some(Form::Plain);
    }
    if start.starts_with(b"DAHUA") {
        return Some(Form::FileHeader);
    }
    if let Ok(index) = IndexHead::parse(&start, extent) {
        return Some(Form::IndexFirst(index.length));
    }
    let old_code = matches!(start.as_slice(), [0, 0, 1, 0xFA | 0xFB | 0xB6 | 0xB2, ..]);
    if old_code && memmem::find(&start, b"Dahua_ZH").is_some() {
        return Some(Form::OldMpeg);
    }
    if let Some(at) = first_unit(source, extent) {
        // The first frames of a disk's file system are no file.
        let disk = Input::Volume(Volume { source: shared.clone(), extent });
        return super::probe::probe(&disk).is_empty().then_some(Form::HeadCut(at));
    }
    container(&start).map(Form::Container)
}

/// The first whole unit in the first megabyte: a sure header whose trailer is where it should be.
fn first_unit(source: &dyn Source, extent: Extent) -> Option<u64> {
    let bytes = head(source, extent, HEAD_SEARCH_BYTES);
    let mut from = 0;
    while let Some(at) = next_header(&bytes, from) {
        let header = Header::parse(bytes.get(at..)?)?;
        let unit = extent.slice(at as u64, u64::from(header.length));
        let trailer = unit.and_then(|unit| {
            let start = unit.len().saturating_sub(TRAILER_BYTES as u64);
            source.read(unit.slice(start, TRAILER_BYTES as u64)?).ok()
        });
        if trailer.and_then(|bytes| trailer_length(&bytes)) == Some(header.length) {
            return Some(at as u64);
        }
        from = at.saturating_add(1);
    }
    None
}

fn container(start: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, bytes: &[u8]| {
        start.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
    };
    if at(4, b"ftyp") {
        Some("MP4 container, not a DHAV stream")
    } else if at(0, b"RIFF") && at(8, b"AVI ") {
        Some("AVI container, not a DHAV stream")
    } else if at(0, &[0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11]) {
        Some("ASF container, not a DHAV stream")
    } else if at(0, &[0, 0, 1, 0xBA]) {
        Some("MPEG program stream, not a DHAV stream")
    } else if at(0, &[0x47]) && at(188, &[0x47]) && at(376, &[0x47]) {
        Some("MPEG transport stream, not a DHAV stream")
    } else {
        None
    }
}

/// Looks for DHAV streams: a file, or the files of a folder.
pub fn probe(input: &Input) -> Vec<Verdict> {
    match input {
        Input::Volume(volume) => {
            let Some(form) = detect(&volume.source, volume.extent) else { return Vec::new() };
            let mut verdict = Verdict::new(FAMILY, form.layout(), volume.extent);
            explain(form, volume.extent, &mut verdict);
            verdict.conclude().into_iter().collect()
        }
        Input::Tree(tree) => {
            let all = Extent::new(0, 0);
            let count = tree
                .files
                .iter()
                .filter(|file| {
                    let extent = Extent::new(0, file.source.len());
                    detect(&file.source, extent).is_some_and(|form| form.first_frame().is_some())
                })
                .count();
            let mut verdict = Verdict::new(FAMILY, "folder with DHAV streams", all);
            if count > 0 {
                let text = format!("{count} of {} files hold a DHAV stream", tree.files.len());
                verdict.score = 80;
                verdict.reasons.push(Reason { supports: true, text, at: None });
            }
            verdict.conclude().into_iter().collect()
        }
    }
}

fn explain(form: Form, extent: Extent, verdict: &mut Verdict) {
    let bytes = |offset, length| extent.slice(offset, length).unwrap_or(extent);
    match form {
        Form::Plain => verdict.supports(
            form.score(),
            bytes(0, HEADER_BYTES as u64),
            "a DHAV header whose checksum holds at the start",
        ),
        Form::FileHeader => verdict.supports(
            form.score(),
            bytes(0, 5),
            "`DAHUA` at the start; frames after 1024 bytes",
        ),
        Form::IndexFirst(length) => verdict.supports(
            form.score(),
            bytes(0, 12),
            format!("a DHII index of {length} bytes at the start: cut from a recorder's disk"),
        ),
        Form::HeadCut(at) => {
            verdict.supports(
                form.score(),
                bytes(at, HEADER_BYTES as u64),
                format!("the first whole DHAV unit, with checksum and trailer, lies {at} bytes into the file"),
            );
            verdict.contradicts(0, bytes(0, at), "the bytes before it are no whole unit");
        }
        Form::OldMpeg => {
            verdict.supports(
                form.score(),
                bytes(0, 4),
                "start codes and `Dahua_ZH` text of the old stream (single source)",
            );
        }
        Form::Container(name) => {
            verdict.supports(
                form.score(),
                bytes(0, 16),
                format!("{name}; recorder exports are often renamed .dav"),
            );
            verdict.contradicts(
                0,
                bytes(0, 16),
                "an ordinary player reads it; it carries no DHAV frames",
            );
        }
    }
}

/// Opens a file or a folder of files.
///
/// # Errors
/// Never: files that are not read are findings.
pub fn open(input: Input, verdict: &Verdict) -> Result<Box<dyn Recorder>, FormatError> {
    let mut dav =
        Dav { verdict: verdict.clone(), files: Vec::new(), findings: Findings::default() };
    match input {
        Input::Volume(volume) => dav.add(None, volume.source, verdict.extent),
        Input::Tree(tree) => {
            for file in tree.files {
                let extent = Extent::new(0, file.source.len());
                dav.add(Some(file.path), file.source, extent);
            }
        }
    }
    Ok(Box::new(dav))
}

struct DavFile {
    path: Option<String>,
    source: Arc<dyn Source>,
    extent: Extent,
    form: Form,
    first_frame: u64,
}

struct Dav {
    verdict: Verdict,
    files: Vec<DavFile>,
    findings: Findings,
}

impl Dav {
    fn add(&mut self, path: Option<String>, source: Arc<dyn Source>, extent: Extent) {
        let Some(form) = detect(&source, extent) else { return };
        if let Form::HeadCut(at) = form {
            let name = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
            let text = format!("{name}the first {at} bytes are no whole unit");
            self.findings.note(
                FindingKind::UnparsedBytes,
                extent.slice(0, at).unwrap_or(extent),
                text,
            );
        }
        match form.first_frame() {
            Some(first_frame) => {
                self.files.push(DavFile { path, source, extent, form, first_frame })
            }
            None => {
                let name = path.map(|path| format!("{path}: ")).unwrap_or_default();
                self.findings.note(
                    FindingKind::NotCarried,
                    extent,
                    format!("{name}{}", form.layout()),
                );
            }
        }
    }

    fn file(&self, recording: &Recording) -> Result<&DavFile, FormatError> {
        usize::try_from(recording.handle).ok().and_then(|index| self.files.get(index)).ok_or_else(
            || {
                let at = self.verdict.extent;
                FormatError::field(
                    "DHAV file",
                    at,
                    "recording",
                    &recording.id,
                    "a file of this input",
                )
            },
        )
    }
}

impl DavFile {
    fn at(&self, offset: u64, length: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(offset), length)
    }

    fn header_at(&self, offset: u64) -> Option<(u64, Header)> {
        let bytes = self.source.read(self.at(offset, HEADER_BYTES as u64)).ok()?;
        Header::parse(&bytes).filter(Header::is_valid).map(|header| (offset, header))
    }

    /// The header of the last unit, by its trailer.
    fn last_unit(&self) -> Option<(u64, Header)> {
        let end = self.extent.len().min(self.source.len().saturating_sub(self.extent.offset()));
        let searched = end.saturating_sub(TAIL_SEARCH_BYTES);
        let holes = self.source.holes(self.at(searched, end.saturating_sub(searched)));
        let behind = holes.last().map(|(hole, _)| hole.end().saturating_sub(self.extent.offset()));
        let from = behind.unwrap_or(searched).min(end);
        let tail = self.source.read(self.at(from, end.saturating_sub(from))).ok()?;
        memmem::rfind_iter(&tail, b"dhav").find_map(|at| {
            let stop = at.checked_add(TRAILER_BYTES)?;
            let length = trailer_length(tail.get(..stop)?)?;
            let unit_end = from.checked_add(stop as u64)?;
            self.header_at(unit_end.checked_sub(u64::from(length))?)
                .filter(|(_, header)| header.length == length)
        })
    }

    fn recording(&self, index: usize) -> Recording {
        let first = self.header_at(self.first_frame);
        let last = self.last_unit();
        let date =
            |unit: &Option<(u64, Header)>| unit.and_then(|(_, header)| decode_date(header.date));
        let mut reasons = vec![Reason::supporting(
            format!("{}: times of the first and the last unit, no index", self.form.layout()),
            self.at(self.first_frame, HEADER_BYTES as u64),
        )];
        if let Some((offset, header)) = first {
            reasons.push(Reason::supporting(
                format!(
                    "channel unknown: byte {:02x} of the DHAV header counts within the stream only",
                    header.channel
                ),
                self.at(offset.saturating_add(6), 1),
            ));
        }
        let stored = [("first date", &first), ("last date", &last)]
            .into_iter()
            .filter_map(|(name, unit)| {
                let (offset, header) = (*unit)?;
                let at = self.at(offset, 0).offset().saturating_add(0x10);
                Some(StoredValue::new(name, at, &header.date.to_le_bytes()))
            })
            .collect();
        Recording {
            id: self.path.as_ref().map_or_else(
                || format!("dav-{:x}", self.extent.offset()),
                |path| format!("dav-{path}"),
            ),
            channel: None,
            stream: 0,
            start: date(&first),
            end: date(&last),
            stored,
            kind: None,
            bytes: self.extent.len().saturating_sub(self.first_frame),
            state: RecordingState::Closed,
            // No recorder's index lists it: the file is all there is.
            grade: Grade::Unindexed,
            reasons,
            index_entry: None,
            first_byte: Some(self.at(self.first_frame, 0).offset()),
            file: self.path.clone(),
            index_file: None,
            handle: index as u64,
        }
    }
}

impl Recorder for Dav {
    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![("files".to_owned(), self.files.len().to_string())];
        facts.extend(self.files.iter().filter_map(|file| {
            let path = file.path.clone()?;
            Some((path, file.form.layout().to_owned()))
        }));
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        Box::new(self.files.iter().enumerate().map(|(index, file)| Ok(file.recording(index))))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let file = self.file(recording)?;
        Ok(Stream {
            source: file.source.clone(),
            map: ExtentMap::of(file.extent),
            reasons: Vec::new(),
            conflict: None,
        })
    }

    fn native_extension(&self, _recording: &Recording) -> &'static str {
        "dav"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        let first_frame = self.file(recording).map_or(0, |file| file.first_frame);
        Box::new(DhavParser::new(Bounds { first_frame, ..Bounds::default() }))
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_> {
        Box::new(std::iter::empty())
    }

    fn describe(&self, offset: u64, path: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        let file = self.files.iter().find(|file| file.path.as_deref() == path);
        let Some(file) = file.filter(|file| file.extent.contains(offset)) else {
            return Ok(Vec::new());
        };
        let map = ExtentMap::of(file.extent);
        let logical = offset.saturating_sub(file.extent.offset());
        Ok(describe::stream(&*file.source, &map, logical))
    }
}
