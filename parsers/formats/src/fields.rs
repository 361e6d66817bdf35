//! Field tables of the format documents, for `daleel show`: offset, size, meaning and evidence of every field, the same for all families.

use daleel_core::{Evidence, Extent, Field, FormatError, Source, Structure};

/// How a field's bytes are shown.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// Little-endian number in decimal and hexadecimal; up to 8 bytes.
    Number,
    /// Text up to the first zero byte.
    Text,
    /// Bytes only.
    Bytes,
    /// As the family says: dates above all.
    With(fn(&[u8]) -> String),
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    offset: usize,
    length: usize,
    name: &'static str,
    show: Show,
    evidence: Evidence,
    meaning: &'static str,
}

/// A row: where the field lies in its structure, its name in the format document, how it is shown, how well it is known, and what it means.
pub const fn row(
    offset: usize,
    length: usize,
    name: &'static str,
    show: Show,
    evidence: Evidence,
    meaning: &'static str,
) -> Spec {
    Spec { offset, length, name, show, evidence, meaning }
}

impl Spec {
    /// The field in the bytes of its structure, which lies at `at`.
    pub fn read(&self, bytes: &[u8], at: Extent) -> Option<Field> {
        let raw = bytes.get(self.offset..self.offset.checked_add(self.length)?)?;
        Some(Field {
            name: self.name,
            at: at.slice(self.offset as u64, self.length as u64)?,
            raw: raw.to_vec(),
            value: self.value(raw),
            meaning: self.meaning.to_owned(),
            evidence: self.evidence,
        })
    }

    fn value(&self, raw: &[u8]) -> String {
        match self.show {
            Show::Number => format!("{0} (0x{0:x})", number(raw)),
            Show::Text => raw
                .iter()
                .take_while(|byte| **byte != 0)
                .flat_map(|byte| std::ascii::escape_default(*byte))
                .map(char::from)
                .collect(),
            Show::Bytes => {
                raw.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
            }
            Show::With(show) => show(raw),
        }
    }
}

/// A little-endian number of up to eight bytes.
pub fn number(raw: &[u8]) -> u64 {
    raw.iter().rev().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Explains the bytes of a structure by its table.
pub fn explained(
    name: impl Into<String>,
    at: Extent,
    purpose: impl Into<String>,
    specs: &[Spec],
    bytes: &[u8],
) -> Structure {
    let fields = specs.iter().filter_map(|spec| spec.read(bytes, at)).collect();
    Structure { name: name.into(), at, purpose: purpose.into(), fields }
}

/// Reads a structure and explains it by its table.
///
/// # Errors
/// When its bytes cannot be read.
pub fn table(
    source: &dyn Source,
    name: impl Into<String>,
    at: Extent,
    purpose: impl Into<String>,
    specs: &[Spec],
) -> Result<Structure, FormatError> {
    let bytes = source.read(at).map_err(|error| FormatError::read("structure", error))?;
    Ok(explained(name, at, purpose, specs, &bytes))
}
