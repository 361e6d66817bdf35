//! What is wrong with a structure, where it lies, and what was expected there.

use crate::{Extent, ReadError};

/// A structure on the medium that cannot be used, with its bytes.
#[derive(Debug, thiserror::Error)]
#[error("{structure} at {at}: {kind}")]
pub struct FormatError {
    /// The structure's name in the format's specification.
    pub structure: &'static str,
    /// The bytes that are wrong.
    pub at: Extent,
    /// What is wrong with them.
    pub kind: FormatErrorKind,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FormatErrorKind {
    /// A field holds something the format does not allow.
    #[error("`{field}` is {found}, expected {expected}")]
    Field {
        /// Field name.
        field: &'static str,
        /// The value found, as text.
        found: String,
        /// What the format allows.
        expected: String,
    },
    /// The bytes could not be read.
    #[error("cannot be read: {0}")]
    Read(#[from] ReadError),
}

impl FormatError {
    /// A field with a value the format does not allow.
    pub fn field(
        structure: &'static str,
        at: Extent,
        field: &'static str,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        let kind = FormatErrorKind::Field {
            field,
            found: found.to_string(),
            expected: expected.to_string(),
        };
        Self { structure, at, kind }
    }

    /// A structure whose bytes could not be read.
    pub fn read(structure: &'static str, error: ReadError) -> Self {
        Self { structure, at: error.at(), kind: FormatErrorKind::Read(error) }
    }
}
