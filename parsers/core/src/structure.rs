//! A structure explained field by field, for `daleel show`.

use crate::Extent;

/// How well a fact of a format is known; the marks of the format documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two independent sources, or checked against real bytes.
    Confirmed,
    /// One source.
    SingleSource,
    /// Reasoned from the bytes; the reasoning is in the format document.
    Inferred,
    /// Seen, meaning unknown.
    Unknown,
}

impl Evidence {
    /// The word used in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::SingleSource => "single source",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
        }
    }
}

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the format document.
    pub name: &'static str,
    /// Where the field lies on the medium.
    pub at: Extent,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// The value as a person reads it.
    pub value: String,
    /// What it means and what follows from it.
    pub meaning: String,
    /// How well that is known.
    pub evidence: Evidence,
}

/// A structure at a place, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Name in the format document.
    pub name: String,
    /// The bytes it occupies.
    pub at: Extent,
    /// What it is for, in a sentence or two.
    pub purpose: String,
    /// Its fields in the order of the bytes.
    pub fields: Vec<Field>,
}
