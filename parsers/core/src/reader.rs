//! What a family can be offered, and what it gives back: recordings, their streams, log events, explanations.

use std::{borrow::Cow, sync::Arc};

use crate::{
    CivilTime, Extent, ExtentMap, Findings, FormatError, FrameParser, ReadError, Reason, Source,
    StoredValue, Structure, Verdict,
};

/// A part of a medium that may hold a recorder file system: the whole disk, or one partition.
///
/// Extents inside it are always given in offsets of the medium, so that everything a parser reports can be
/// found with `dd` on the image.
#[derive(Clone)]
pub struct Volume {
    /// The medium.
    pub source: Arc<dyn Source>,
    /// The bytes of the medium that this volume covers; may reach past the end of a truncated image.
    pub extent: Extent,
}

impl Volume {
    /// The whole medium.
    pub fn whole(source: Arc<dyn Source>) -> Self {
        let extent = Extent::new(0, source.len());
        Self { source, extent }
    }

    /// `length` bytes at `start` of the volume, in offsets of the medium; not clipped to the volume, since a
    /// truncated image is shorter than its file system.
    pub fn at(&self, start: u64, length: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(start), length)
    }

    /// Reads bytes of the volume.
    ///
    /// # Errors
    /// As [`Source::read_exact_at`].
    pub fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        self.source.read(self.at(start, length))
    }
}

/// One file of a tree.
#[derive(Clone)]
pub struct TreeFile {
    /// Path inside the tree, with `/`.
    pub path: String,
    /// Its bytes; extents of footage found in it count here.
    pub source: Arc<dyn Source>,
}

/// A tree of files offered to a family: a folder copied from a recorder, an SD card, a share.
#[derive(Clone, Default)]
pub struct FileTree {
    /// The files, sorted by path.
    pub files: Vec<TreeFile>,
}

/// What a family can be offered.
#[derive(Clone)]
pub enum Input {
    /// A disk, a partition, or a single file.
    Volume(Volume),
    /// A tree of files.
    Tree(FileTree),
}

/// How well a family's support is proven; the weakest evidence sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Described in a document only.
    Described,
    /// Checked on generated data.
    Generated,
    /// Checked on real data.
    RealData,
    /// Compared with the recorder's own export.
    MatchedExport,
}

impl Status {
    /// The words used in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Described => "described",
            Self::Generated => "generated data",
            Self::RealData => "real data",
            Self::MatchedExport => "matched with the recorder's export",
        }
    }
}

/// Opens an input that a probe of the same family gave a verdict for.
pub type OpenFn = fn(Input, &Verdict) -> Result<Box<dyn Recorder>, FormatError>;

/// One vendor family: how it is recognised and what it can open.
pub struct Family {
    /// Name used on the command line and in output.
    pub name: &'static str,
    /// What it reads, in a line.
    pub title: &'static str,
    /// Evidence status.
    pub status: Status,
    /// Looks at an input and says whether it is one of this family's, with reasons. Several layouts on one input
    /// (an older file system beneath a newer one) are several verdicts, best first.
    pub probe: fn(&Input) -> Vec<Verdict>,
    /// Opens an input as the layout of a verdict that `probe` gave for it.
    pub open: OpenFn,
}

/// How a recording or clip was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// The recorder lists it.
    Indexed,
    /// Listed, but copies of the index or the stream disagree.
    IndexConflict,
    /// Tail of a reused block: an older generation.
    Slack,
    /// Found by structure without the index.
    Unindexed,
    /// Found by signature alone.
    Carved,
}

impl Grade {
    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Indexed => "indexed",
            Self::IndexConflict => "index-conflict",
            Self::Slack => "slack",
            Self::Unindexed => "unindexed",
            Self::Carved => "carved",
        }
    }
}

/// State of a recording as the index shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordingState {
    /// Closed by the recorder.
    Closed,
    /// Not closed: being written when the power went, or the medium taken out.
    Open,
    /// The index entry contradicts itself or the stream; see the reasons.
    Conflict,
    /// An index entry of an earlier pass that the recorder no longer shows, still on the medium.
    Residual,
}

impl RecordingState {
    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Conflict => "conflict",
            Self::Residual => "residual",
        }
    }
}

/// What the recorder's index lists as one item.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Stable name, derived from its place on the medium.
    pub id: String,
    /// Camera as the recorder shows it, from 1; `None` when nothing on the medium names it.
    pub channel: Option<u32>,
    /// 0 main stream, 1 sub stream.
    pub stream: u8,
    /// First and last time the index states; `None` when it states none, or an impossible one.
    pub start: Option<CivilTime>,
    /// See `start`.
    pub end: Option<CivilTime>,
    /// The index's time fields as stored; offsets count on the medium (or in `file`).
    pub stored: Vec<StoredValue>,
    /// What made the recorder record, where the index says so.
    pub kind: Option<Cow<'static, str>>,
    /// Bytes of its stream that the index claims.
    pub bytes: u64,
    /// State.
    pub state: RecordingState,
    /// `Indexed` or `IndexConflict` for listed footage.
    pub grade: Grade,
    /// Why this grade, channel and order.
    pub reasons: Vec<Reason>,
    /// The index entry, where there is one.
    pub index_entry: Option<Extent>,
    /// Where its first stream byte lies.
    pub first_byte: Option<u64>,
    /// The file of a tree that the offsets count in.
    pub file: Option<String>,
    /// The file of a tree that `index_entry`, `stored` and the offsets of `reasons` count in, where it is another one than `file`.
    pub index_file: Option<String>,
    /// The family's own handle.
    pub handle: u64,
}

/// The logical stream of a recording.
pub struct Stream {
    /// Where the bytes come from.
    pub source: Arc<dyn Source>,
    /// Logical offset to extents of `source`.
    pub map: ExtentMap,
    /// Why these bytes are the recording's, where the index does not name them itself.
    pub reasons: Vec<Reason>,
    /// Set where the bytes contradict the index about whose footage they are: then no channel is given.
    pub conflict: Option<Reason>,
}

/// One entry of a recorder's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEvent {
    /// Time as the recorder wrote it.
    pub time: Option<CivilTime>,
    /// The time field as stored, where it is a field of its own.
    pub stored: Option<StoredValue>,
    /// Which log.
    pub log: Cow<'static, str>,
    /// Class the recorder gave the entry.
    pub level: Cow<'static, str>,
    /// Its number in the vendor's list, where the format numbers its events.
    pub code: Option<String>,
    /// User the recorder names.
    pub user: Option<String>,
    /// Network address the recorder names.
    pub address: Option<String>,
    /// Camera, as the recorder shows it, from 1.
    pub channel: Option<u32>,
    /// Its text; what is not understood is kept as it is stored.
    pub text: String,
    /// Stored bytes of an entry, or of a part of it, whose meaning is not known.
    pub unknown: Vec<u8>,
    /// Its bytes.
    pub at: Extent,
    /// The file of a tree that `at` counts in.
    pub file: Option<String>,
}

/// An opened input: a recorder file system, or footage in files, read through its own index.
///
/// Problems that do not stop the reader are findings; a damaged entry is an `Err` item of the walk.
pub trait Recorder: Send + Sync {
    /// What this is and why.
    fn verdict(&self) -> &Verdict;

    /// Structure of the medium as the reader understood it, for people: `(name, value)` pairs.
    fn facts(&self) -> Vec<(String, String)>;

    /// What was noticed while opening.
    fn findings(&self) -> &Findings;

    /// The recordings the index lists, in the order of the index.
    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_>;

    /// Where a recording's stream lies.
    ///
    /// # Errors
    /// When the recording's index entries no longer lead to any stream byte.
    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError>;

    /// File name extension of a recording's own stream, without the dot.
    fn native_extension(&self, recording: &Recording) -> &'static str;

    /// A fresh parser for a recording's stream.
    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser>;

    /// The recorder's own log, in stored order.
    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_>;

    /// The structures that hold the byte at `offset` of the medium (or of `file`), outermost first.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError>;
}
