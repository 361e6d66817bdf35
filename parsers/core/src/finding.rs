//! What a parser noticed and did not let stop it: findings are results, not log lines.

use std::{collections::BTreeMap, fmt};

use crate::{Extent, FormatError};

/// Classes of findings; the text form is part of the published output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// Copies of one structure disagree, or one of them is unusable.
    CopyMismatch,
    /// An index structure is damaged; what it listed may be incomplete.
    DamagedIndex,
    /// A structure was found or computed another way than the format's own pointer to it.
    Inferred,
    /// Stream bytes that are not frames and not padding.
    UnparsedBytes,
    /// A frame that is not as its own header says.
    DamagedFrame,
    /// Bytes that are not from the medium: unreadable, not acquired, beyond the end.
    Hole,
    /// The recorder's clock moved against its own counter, or stands on a default.
    ClockStep,
    /// Footage is encrypted.
    Encrypted,
    /// Footage or a structure exists that the recorder's index does not list.
    NotListed,
    /// Something was recognised but is not carried or not decoded.
    NotCarried,
    /// A value the specification leaves open; how it was taken is stated.
    Interpretation,
}

impl FindingKind {
    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CopyMismatch => "copy-mismatch",
            Self::DamagedIndex => "damaged-index",
            Self::Inferred => "inferred",
            Self::UnparsedBytes => "unparsed-bytes",
            Self::DamagedFrame => "damaged-frame",
            Self::Hole => "hole",
            Self::ClockStep => "clock-step",
            Self::Encrypted => "encrypted",
            Self::NotListed => "not-listed",
            Self::NotCarried => "not-carried",
            Self::Interpretation => "interpretation",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing noticed, with the bytes it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its class.
    pub kind: FindingKind,
    /// One sentence for a person.
    pub text: String,
    /// The bytes, where there are any.
    pub at: Option<Extent>,
}

impl Finding {
    /// A finding about bytes.
    pub fn at(kind: FindingKind, at: Extent, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), at: Some(at) }
    }
}

impl From<FormatError> for Finding {
    fn from(error: FormatError) -> Self {
        let kind = match error.kind {
            crate::FormatErrorKind::Read(_) => FindingKind::Hole,
            crate::FormatErrorKind::Field { .. } => FindingKind::DamagedIndex,
        };
        Self { kind, at: Some(error.at), text: error.to_string() }
    }
}

/// Findings in the order they were made. Only the first [`Findings::KEPT_PER_KIND`] of a kind are kept in full:
/// a disk that is damaged everywhere must not fill the memory with sentences about it. All are counted.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<FindingKind, u64>,
}

impl Findings {
    /// How many findings of one kind are kept in full.
    pub const KEPT_PER_KIND: u64 = 1000;

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.kind).or_insert(0);
        *count = count.saturating_add(1);
        if *count <= Self::KEPT_PER_KIND {
            self.kept.push(finding);
        }
    }

    /// Adds a finding about bytes.
    pub fn note(&mut self, kind: FindingKind, at: Extent, text: impl Into<String>) {
        self.add(Finding::at(kind, at, text));
    }

    /// Adds all of another list, its uncounted rest included.
    pub fn extend(&mut self, other: &Self) {
        for finding in &other.kept {
            self.add(finding.clone());
        }
        for (kind, count) in &other.counts {
            let dropped = count.saturating_sub(Self::KEPT_PER_KIND);
            if dropped > 0 {
                let own = self.counts.entry(*kind).or_insert(0);
                *own = own.saturating_add(dropped);
            }
        }
    }

    /// The findings kept in full.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter()
    }

    /// How many there were of each kind, kept or not.
    pub fn counts(&self) -> &BTreeMap<FindingKind, u64> {
        &self.counts
    }

    /// True when nothing was noticed.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}
