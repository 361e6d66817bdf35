//! What can go wrong while writing.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the generator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A truth file could not be read or written.
    #[error("{path} is not a truth file: {source}")]
    Truth {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A plan contradicts itself or does not fit.
    #[error("the plan cannot be written: {0}")]
    Plan(String),
    /// There is no scenario of this name.
    #[error("there is no scenario `{0}`; `daleel-generator list` shows all")]
    UnknownScenario(String),
}

impl Error {
    /// An input or output error with its file.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { action, path: path.to_path_buf(), source }
    }
}
