//! Log files of a card: `logCurFile.bin`, `logMainFile.bin`.
//!
//! Facts: `docs/formats/hikvision.md` section 10. Their records are those of a disk's log areas and are read by the same code.

use daleel_core::{Extent, FileTree, FormatError, LogEvent, Structure, TreeFile, Volume};
use memchr::memmem;

use super::media::split;
use crate::hikvision::log;

/// Start of a record.
const RECORD_MARK: &[u8] = b"RATS";
/// A record stands in the first so many bytes of a log: headers are at most 8 KiB long.
const HEAD_BYTES: u64 = 64 << 10;

/// A log file.
pub struct LogFile {
    path: String,
    volume: Volume,
}

impl LogFile {
    /// The log files of a tree: named as logs, with a record near the start.
    pub fn all(tree: &FileTree) -> Vec<Self> {
        tree.files.iter().filter(|file| is_log(file)).map(Self::of).collect()
    }

    fn of(file: &TreeFile) -> Self {
        Self { path: file.path.clone(), volume: Volume::whole(file.source.clone()) }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its records, in stored order.
    pub fn events(&self) -> impl Iterator<Item = Result<LogEvent, FormatError>> + '_ {
        let name = split(&self.path).1;
        log::events(&self.volume, vec![self.volume.extent]).map(move |event| {
            event.map(|event| LogEvent {
                log: name.to_owned().into(),
                file: Some(self.path.clone()),
                ..event
            })
        })
    }

    /// The record that holds a byte of the file.
    pub fn describe(&self, offset: u64) -> Option<Structure> {
        let (event, _) = log::record_at(&self.volume, self.volume.extent, offset)?;
        let time = event.time.map_or("no time".to_owned(), |time| time.to_seconds_text());
        let code = event.code.unwrap_or_default();
        Some(Structure {
            name: format!("{} of {}", log::STRUCTURE, split(&self.path).1),
            at: event.at,
            purpose: format!("{time} (recorder time), {} {code}: {}", event.level, event.text),
            fields: Vec::new(),
        })
    }
}

fn is_log(file: &TreeFile) -> bool {
    let name = split(&file.path).1.to_ascii_lowercase();
    let head = Extent::new(0, file.source.len().min(HEAD_BYTES));
    name.starts_with("log")
        && name.ends_with(".bin")
        && file.source.read(head).is_ok_and(|head| memmem::find(&head, RECORD_MARK).is_some())
}
