//! What can go wrong while a set is written.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::raw::FileError;

/// Why a set could not be written or continued.
#[derive(Debug, thiserror::Error)]
pub enum EwfError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// An earlier write failed; the set can be continued from its last checkpoint.
    #[error("writing stopped at an earlier error; the set can be resumed from its last checkpoint")]
    Stopped,
    /// There is no name for another segment.
    #[error("segment {0} has no name in E01")]
    Segments(u32),
    /// What was handed over does not fit the plan.
    #[error("{0}")]
    Plan(String),
    /// The files are not those of the checkpoint.
    #[error("cannot continue {}: {why}", path.display())]
    Resume {
        /// The file.
        path: PathBuf,
        /// What is not as the checkpoint says.
        why: String,
    },
}

impl EwfError {
    /// True when the destination has no room left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_full())
    }

    pub(super) fn resume(path: &Path, why: impl Into<String>) -> Self {
        Self::Resume { path: path.to_owned(), why: why.into() }
    }
}

impl From<EwfError> for io::Error {
    fn from(error: EwfError) -> Self {
        match error {
            EwfError::File(error) => error.into(),
            other => Self::other(other),
        }
    }
}
