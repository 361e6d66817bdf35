//! Exported and camera files, alone or in a folder: recordings without an index.
//!
//! Facts: `docs/formats/hikvision.md` sections 7 and 8. A file is told by its header, or by what the vendor writes into a program stream; an
//! ordinary program stream is left to ordinary players. Where an index lists the same files, the family that reads it has the better score.

use std::sync::Arc;

use daleel_core::{
    Extent, ExtentMap, FileTree, FindingKind, Findings, FormatError, FrameParser, Grade, Input,
    LogEvent, Reason, Recorder, Recording, RecordingState, Source, Stream, Structure, Verdict,
};

use super::{
    dates::{self, Dated},
    explain, header,
    marks::{self, Marks, readable_head},
    stream::{Bounds, HikParser},
};

/// Name of the family.
pub const FAMILY: &str = "hikvision-stream";
/// How far a single file is searched for its first pack.
const HEAD_BYTES: u64 = 1 << 20;
/// How far each file of a folder is searched, where it does not begin with a pack or a header.
const TREE_HEAD_BYTES: u64 = 64 << 10;
/// Most a folder scores: an index beside the files is better evidence.
const TREE_SCORE: u8 = 60;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A media-info header, then the stream.
    MediaInfo(Marks),
    /// A media-info header in front of something else.
    OtherMedia(u16),
    /// The older header.
    Old,
    /// The stream alone, with the vendor's marks in it.
    Bare(Marks),
}

impl Form {
    /// What `identify` calls it.
    const fn layout(&self) -> &'static str {
        match self {
            Self::MediaInfo(_) => "program stream behind an IMKH header",
            Self::OtherMedia(_) => "IMKH file that holds no program stream (named, not read)",
            Self::Old => "4HKH file of an old recorder (named, not read)",
            Self::Bare(Marks { first: 0, .. }) => "program stream with the vendor's marks",
            Self::Bare(_) => "program stream with the vendor's marks, beginning inside a picture",
        }
    }

    /// The marks of the stream; `None` when it is not read.
    const fn marks(&self) -> Option<&Marks> {
        match self {
            Self::MediaInfo(marks) | Self::Bare(marks) => Some(marks),
            Self::OtherMedia(_) | Self::Old => None,
        }
    }

    fn detect(source: &dyn Source, extent: Extent, search: u64) -> Option<Self> {
        let start = readable_head(source, extent, header::HEADER_BYTES as u64);
        if header::is_old(&start) {
            return Some(Self::Old);
        }
        let begins = header::parse(&start).is_some() || start.starts_with(&[0, 0, 1, 0xBA]);
        let bytes = readable_head(source, extent, if begins { HEAD_BYTES } else { search });
        let found = marks::find(&bytes);
        match header::parse(&start) {
            Some(header) => match found.or_else(|| marks::any_pack(&bytes)) {
                Some(marks) => Some(Self::MediaInfo(marks)),
                None if header.is_program_stream() => None,
                None => Some(Self::OtherMedia(header.system)),
            },
            None => found.filter(Marks::is_vendor).map(Self::Bare),
        }
    }

    /// Says what speaks for the form.
    fn argue(&self, extent: Extent, verdict: &mut Verdict) {
        let at = |offset: u64, length: u64| extent.slice(offset, length).unwrap_or(extent);
        let header = at(0, header::HEADER_BYTES as u64);
        match self {
            Self::MediaInfo(marks) => {
                verdict.supports(90, header, "an IMKH media-info header at the start");
                marks.argue(extent, 5, verdict);
            }
            Self::OtherMedia(system) => {
                verdict.supports(30, header, "an IMKH media-info header at the start");
                let name = super::codecs::system_name(*system);
                let text = format!("it states system {system:04X}h ({name}), no pack follows it");
                verdict.contradicts(0, at(8, 2), text);
            }
            Self::Old => verdict.supports(30, header, "a 4HKH header at the start (single source)"),
            Self::Bare(marks) => {
                marks.argue(extent, if marks.map.is_some() { 85 } else { 50 }, verdict);
                if marks.first > 0 {
                    let text = format!(
                        "the bytes before the first pack, {}, are no whole unit",
                        marks.first
                    );
                    verdict.contradicts(20, at(0, marks.first), text);
                }
            }
        }
    }
}

/// Looks for streams of the vendor: a file, or the files of a folder.
pub fn probe(input: &Input) -> Vec<Verdict> {
    match input {
        Input::Volume(volume) => {
            let Some(form) = Form::detect(&*volume.source, volume.extent, HEAD_BYTES) else {
                return Vec::new();
            };
            let mut verdict = Verdict::new(FAMILY, form.layout(), volume.extent);
            form.argue(volume.extent, &mut verdict);
            verdict.conclude().into_iter().collect()
        }
        Input::Tree(tree) => probe_tree(tree).into_iter().collect(),
    }
}

fn probe_tree(tree: &FileTree) -> Option<Verdict> {
    let forms: Vec<Form> = tree
        .files
        .iter()
        .filter_map(|file| {
            let extent = Extent::new(0, file.source.len());
            Form::detect(&*file.source, extent, TREE_HEAD_BYTES)
        })
        .collect();
    let is_sure = |form: &Form| match form {
        Form::MediaInfo(_) => true,
        _ => form.marks().is_some_and(|marks| marks.map.is_some()),
    };
    let read = forms.iter().filter(|form| form.marks().is_some()).count();
    let layout = "folder with program streams of the vendor";
    let mut verdict = Verdict::new(FAMILY, layout, Extent::new(0, 0));
    verdict.score = match () {
        () if forms.iter().any(is_sure) => TREE_SCORE,
        () if read > 0 => 40,
        () if !forms.is_empty() => 20,
        () => 0,
    };
    let text = format!(
        "{read} of {} files hold a program stream with the vendor's marks, {} more are named and not read",
        tree.files.len(),
        forms.len().saturating_sub(read)
    );
    verdict.reasons.push(Reason { supports: true, text, at: None });
    verdict.conclude()
}

/// Opens a file or a folder of files.
///
/// # Errors
/// Never: files that are not read are findings.
pub fn open(input: Input, verdict: &Verdict) -> Result<Box<dyn Recorder>, FormatError> {
    let mut streams =
        Streams { verdict: verdict.clone(), files: Vec::new(), findings: Findings::default() };
    match input {
        Input::Volume(volume) => streams.add(None, volume.source, verdict.extent, HEAD_BYTES),
        Input::Tree(tree) => {
            for file in tree.files {
                let extent = Extent::new(0, file.source.len());
                streams.add(Some(file.path), file.source, extent, TREE_HEAD_BYTES);
            }
        }
    }
    Ok(Box::new(streams))
}

struct StreamFile {
    path: Option<String>,
    source: Arc<dyn Source>,
    extent: Extent,
    form: Form,
}

struct Streams {
    verdict: Verdict,
    files: Vec<StreamFile>,
    findings: Findings,
}

impl Streams {
    fn add(&mut self, path: Option<String>, source: Arc<dyn Source>, extent: Extent, search: u64) {
        let Some(form) = Form::detect(&*source, extent, search) else { return };
        let name = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        match form {
            Form::Bare(Marks { first, .. }) if first > 0 => {
                let text = format!("{name}the first {first} bytes are no whole unit of the stream");
                let at = extent.slice(0, first).unwrap_or(extent);
                self.findings.note(FindingKind::UnparsedBytes, at, text);
            }
            Form::Old | Form::OtherMedia(_) => {
                let text = format!("{name}{}: recognised, not read here", form.layout());
                self.findings.note(FindingKind::NotCarried, extent, text);
            }
            _ => {}
        }
        self.files.push(StreamFile { path, source, extent, form });
    }

    fn file(&self, recording: &Recording) -> Result<&StreamFile, FormatError> {
        let found = usize::try_from(recording.handle).ok().and_then(|index| self.files.get(index));
        found.ok_or_else(|| {
            let at = self.verdict.extent;
            FormatError::field(
                "stream file",
                at,
                "recording",
                &recording.id,
                "a file of this input",
            )
        })
    }
}

impl StreamFile {
    fn at(&self, offset: u64, length: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(offset), length)
    }

    fn recording(&self, index: usize, marks: &Marks) -> Recording {
        let first = dates::first(&*self.source, self.extent);
        let last = dates::last(&*self.source, self.extent);
        let text = "times of the first and the last date in the stream, no index";
        let mut reasons = vec![Reason::supporting(
            format!("{}: {text}", self.form.layout()),
            self.at(marks.first, 4),
        )];
        reasons.push(Reason {
            supports: true,
            text: "channel unknown: nothing in the stream names the camera".to_owned(),
            at: None,
        });
        let reversed =
            matches!((&first, &last), (Some(first), Some(last)) if last.time < first.time);
        if let Some(last) = last.as_ref().filter(|_| reversed) {
            let text = "the last date is earlier than the first: the clock was set, or older footage follows";
            reasons.push(Reason::against(text, last.at));
        }
        let stored = [("first 0x40 time", &first), ("last 0x40 time", &last)]
            .into_iter()
            .filter_map(|(name, dated)| dated.as_ref().map(|dated| dated.stored(name)))
            .collect();
        let time = |dated: &Option<Dated>| dated.as_ref().map(|dated| dated.time);
        Recording {
            id: self.path.as_ref().map_or_else(
                || format!("ps-{:x}", self.extent.offset()),
                |path| format!("ps-{path}"),
            ),
            channel: None,
            stream: 0,
            start: time(&first),
            end: time(&last).filter(|_| !reversed),
            stored,
            kind: None,
            bytes: self.extent.len().saturating_sub(marks.first),
            state: RecordingState::Closed,
            // No recorder's index lists it: the file is all there is.
            grade: Grade::Unindexed,
            reasons,
            index_entry: None,
            first_byte: Some(self.at(marks.first, 0).offset()),
            file: self.path.clone(),
            index_file: None,
            handle: index as u64,
        }
    }
}

impl Recorder for Streams {
    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![("files".to_owned(), self.files.len().to_string())];
        facts.extend(self.files.iter().map(|file| {
            let path = file.path.clone().unwrap_or_else(|| "stream".to_owned());
            (path, file.form.layout().to_owned())
        }));
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        Box::new(self.files.iter().enumerate().filter_map(|(index, file)| {
            file.form.marks().map(|marks| Ok(file.recording(index, marks)))
        }))
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
        "mpg"
    }

    fn parser(&self, _recording: &Recording) -> Box<dyn FrameParser> {
        Box::new(HikParser::new(Bounds::default()))
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_> {
        Box::new(std::iter::empty())
    }

    fn describe(&self, offset: u64, path: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        let file = self.files.iter().find(|file| file.path.as_deref() == path);
        let Some(file) = file.filter(|file| file.extent.contains(offset)) else {
            return Ok(Vec::new());
        };
        Ok(explain::stream_at(&*file.source, file.extent, offset))
    }
}
