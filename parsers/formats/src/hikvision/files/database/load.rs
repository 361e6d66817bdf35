//! The bytes of a database as the recorder left them: a copy in memory, with the write-ahead log beside it applied.

use daleel_core::{Extent, FileTree, FindingKind, Findings, TreeFile};

use crate::hikvision::files::{index::Copy, wal};

/// Longest database or log read into memory; indexes of recorders are a few megabytes long.
const DATABASE_MAX: u64 = 512 << 20;

/// Bytes of a database as the recorder had them, its log applied.
pub(super) fn load(copy: &Copy, tree: &FileTree, findings: &mut Findings) -> Option<Vec<u8>> {
    let name = copy.name();
    let at = copy.at(0, copy.extent.len());
    if copy.extent.len() > DATABASE_MAX {
        let text =
            format!("{name}: {} bytes are more than an index has; not read", copy.extent.len());
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

fn apply_log(database: &mut Vec<u8>, log: &TreeFile, findings: &mut Findings) {
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
