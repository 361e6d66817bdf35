//! What a disk says of itself before and after it is read, in files of the image (A-8, CU-12).
//!
//! `device/before.json` and `device/after.json` hold the answers in words, each value reported, not asked, or not answered with the reason;
//! the raw answers stand beside them. HPA and DCO are reported only: nothing here can lift them.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::{JobError, at};
use crate::{
    devices::{Guard, SourceMedium, identity::Report},
    medium::MediumError,
};

/// The folder of the answers.
pub const FOLDER: &str = "device";

/// When a disk was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first read.
    Before,
    /// After the last one.
    After,
}

impl Moment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// Keeps a report and the answers behind it. What is there from an earlier attempt at the same moment is replaced.
pub fn keep(folder: &Path, moment: Moment, report: &Report) -> Result<(), JobError> {
    let inner = folder.join(FOLDER);
    fs::create_dir_all(&inner).map_err(at(&inner))?;
    let text =
        serde_json::to_vec_pretty(report).map_err(|error| JobError::Internal(error.to_string()))?;
    let name = moment.as_str();
    write(&inner.join(format!("{name}.json")), &text)?;
    for page in &report.pages {
        write(&inner.join(format!("{name}-{}", page.name)), &page.bytes)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let written = fs::File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(at(path))
}

/// Names of the kept files, from the image's folder.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(format!("{FOLDER}/{}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}

/// The report that was kept; null of a file, which has nothing to say.
pub fn kept(folder: &Path, moment: Moment) -> Value {
    let path = folder.join(FOLDER).join(format!("{}.json", moment.as_str()));
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The claim on a disk, which has to be renewed when the disk comes back.
#[derive(Clone, Default)]
pub struct SharedGuard(Arc<Mutex<Option<Guard>>>);

impl SharedGuard {
    /// Of a disk; none of a file.
    pub fn new(guard: Option<Guard>) -> Self {
        Self(Arc::new(Mutex::new(guard)))
    }

    /// Claims the disk again under whatever name it came back, and compares its read-only flags with those at the start.
    pub fn renew(&self, medium: &SourceMedium) -> Result<(), MediumError> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((guard, disk)) = guard.as_mut().zip(medium.disk()) else { return Ok(()) };
        guard.renew(&disk).map_err(|error| MediumError::Lost(error.to_string()))?;
        guard.check().map_err(MediumError::Lost)
    }

    /// Compares the read-only flags with those at the start.
    pub fn check(&self) -> Result<(), String> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref().map_or(Ok(()), Guard::check)
    }
}
