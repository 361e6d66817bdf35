//! What was noticed about a set, and why a set cannot be read at all.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use daleel_core::Extent;

/// How many findings are kept; a set that is damaged everywhere must not fill the memory with sentences about it.
const KEPT: usize = 1000;
/// Longest quotation of foreign text in a finding, in characters.
const QUOTED: usize = 60;

/// Something in a segment file that is not as the format has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EwfFinding {
    /// File name of the segment; empty where it is about the set.
    pub segment: String,
    /// The bytes in that file.
    pub at: Extent,
    /// The structure.
    pub structure: &'static str,
    /// What was found.
    pub found: String,
    /// What the format has there.
    pub expected: String,
}

impl fmt::Display for EwfFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.segment.is_empty() {
            write!(f, "{}: ", self.segment)?;
        }
        f.write_str(self.structure)?;
        if !self.at.is_empty() {
            write!(f, " at {}", self.at)?;
        }
        write!(f, ": {}, expected {}", self.found, self.expected)
    }
}

/// Why a set cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EwfError {
    /// A file or its folder cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no EWF file.
    #[error("{}: not an EWF segment file", path.display())]
    NotEwf {
        /// The path.
        path: PathBuf,
    },
    /// It is a kind of EWF that is not read.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The path.
        path: PathBuf,
        /// Which kind, and what can be done.
        what: String,
    },
    /// No file of the set says how large the medium is, or what is said is impossible.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Findings of a set, those that are made while it is read included.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    kept: Mutex<(Vec<EwfFinding>, u64)>,
}

impl Notebook {
    /// Adds a finding; one that is there already is not added again.
    pub(super) fn add(&self, finding: EwfFinding) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.len() >= KEPT {
            kept.1 = kept.1.saturating_add(1);
        } else if !kept.0.contains(&finding) {
            kept.0.push(finding);
        }
    }

    /// All findings, and how many more there were.
    pub(super) fn all(&self) -> (Vec<EwfFinding>, u64) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A piece of foreign text without control characters and not longer than a line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(QUOTED).flat_map(char::escape_debug).collect()
}
