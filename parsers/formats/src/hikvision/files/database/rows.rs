//! What a row of an SQLite index says.

use std::{ops::Range, sync::Arc};

use crate::hikvision::files::layout::Stamp;

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
    pub(super) fn is_open(&self) -> bool {
        self.kind != 0 && self.start != 0 && self.end == 0
    }

    /// The rule of section 9.2.
    pub(super) fn is_listed(&self) -> bool {
        self.file.is_some() && self.kind != 0 && (self.end > self.start || self.is_open())
    }

    pub(super) fn start_stamp(&self) -> Stamp {
        Stamp { seconds: self.start, microseconds: self.start_microseconds.unwrap_or(0) }
    }

    pub(super) fn end_stamp(&self) -> Stamp {
        Stamp { seconds: self.end, microseconds: self.end_microseconds.unwrap_or(0) }
    }

    pub(super) fn range(&self) -> Option<Range<u64>> {
        let (start, end) = (self.start_offset?, self.end_offset?);
        (start < end).then_some(start..end)
    }

    pub(super) fn key(&self) -> (Option<u32>, u32, Option<u64>) {
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

impl Contents {
    /// Begin of the latest segment in use.
    pub(super) fn latest(&self) -> u32 {
        let listed = self.segments.iter().filter(|row| row.is_listed());
        listed.map(|row| row.start).max().unwrap_or(0)
    }
}
