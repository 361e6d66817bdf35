//! What `truth.json` says about the files of a card beyond what it says about every medium.

use serde::{Deserialize, Serialize};

use crate::truth::{Damage, Extent};

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Path within the folder, with `/` between the parts.
    pub name: String,
    /// Length in bytes; null where an index names the file and it is not there.
    pub bytes: Option<u64>,
    /// What it is.
    pub role: FileRole,
    /// What was damaged on purpose after writing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// `info.bin`.
    Info,
    /// A binary index or its mirror.
    Index,
    /// A SQLite database or its mirror.
    Database,
    /// The write-ahead log of a database.
    DatabaseLog,
    /// A picture index or its mirror.
    PictureIndex,
    /// A tree in a file.
    Tree,
    /// Media: program streams, and key-frame records from the end.
    Media,
    /// JPEG pictures.
    Pictures,
    /// A log of the system.
    Log,
}

/// A recording on a card: one entry of its index, or one that there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFacts {
    /// Number of the media file.
    pub file: u16,
    /// Number of the entry within the file; null in a database or a tree.
    pub segment: Option<u16>,
    /// How often the media file had been begun before.
    pub pass: u32,
    /// Bytes of the stream or the picture in the media file as they were written.
    pub extent: Extent,
    /// Its key-frame records in the media file; null where it has none.
    pub run: Option<Extent>,
    /// Places of its entry in the index files.
    pub copies: Vec<RecordCopy>,
    /// What is left of it; null while it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<Residual>,
}

/// An entry in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCopy {
    /// The index file.
    pub file: String,
    /// The record; of a row of a database the values without the header of the row.
    pub extent: Extent,
    /// How it counts there.
    pub state: RecordState,
    /// Start in it, to the millisecond.
    pub start: String,
    /// End in it, to the millisecond; null while it is being written.
    pub end: Option<String>,
    /// True where the record is there as it was written.
    pub intact: bool,
}

/// How an entry counts in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordState {
    /// Listed, with start and end.
    Valid,
    /// Listed, being written: without an end.
    Open,
    /// Behind the last valid entry of its file: of an earlier pass.
    Stale,
    /// A row that was deleted; its values are still there.
    Deleted,
    /// A row whose type says that it is not valid.
    Cleared,
    /// A row in a page that the log replaces.
    Superseded,
}

/// What is left of footage that no index lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residual {
    /// Its frames.
    pub media: Survival,
    /// Its key-frame records; null where it has none.
    pub run: Option<Survival>,
    /// Video frames or pictures as written.
    pub frames: u32,
    /// How many of them are whole.
    pub intact_frames: u32,
    /// First byte of the first whole frame, and the first byte behind the last one.
    pub intact_range: Option<[u64; 2]>,
}

/// How much of something is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// All of it.
    Intact,
    /// A part.
    Partial,
    /// Nothing.
    Gone,
}

impl Survival {
    /// From the number of parts that are whole.
    pub fn of(intact: usize, all: usize) -> Survival {
        match intact {
            0 => Survival::Gone,
            n if n == all => Survival::Intact,
            _ => Survival::Partial,
        }
    }
}
