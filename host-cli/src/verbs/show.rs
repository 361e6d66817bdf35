//! `daleel show`.

use std::io::Write;

use anyhow::Result;
use daleel_core::Structure;
use serde::Serialize;

use crate::{
    args::{OutputArgs, SourceArgs},
    exit::{Exit, Failure},
    output::{extent, out, print_json, printable},
    session,
};

/// Explain the structure at an offset, field by field
///
/// Shows which structures hold the byte, outermost first, with the offset, bytes, value and meaning of every field and how well that meaning is
/// known (confirmed, single source, inferred, unknown).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel show disk.dd --at 0\n  daleel show disk.dd --at 0x1f43c00\n  daleel show folder --file 2024/001.dav --at 0 --json"
)]
pub struct Show {
    #[command(flatten)]
    source: SourceArgs,
    /// Byte offset in the image, decimal or 0x hexadecimal
    #[arg(long, value_name = "OFFSET", value_parser = parse_offset)]
    at: u64,
    /// Where the source is a folder: the file the offset counts in
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Reads an offset in decimal or, with 0x, in hexadecimal.
fn parse_offset(text: &str) -> Result<u64, String> {
    let clean = text.replace('_', "");
    // `parse` would take a sign.
    let clean = if clean.contains('+') { String::new() } else { clean };
    let parsed = match clean.strip_prefix("0x").or_else(|| clean.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => clean.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no offset; write 65536 or 0x10000"))
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    source: String,
    offset: u64,
    structures: Vec<StructureJson>,
}

#[derive(Serialize)]
struct StructureJson {
    name: String,
    extent: [u64; 2],
    purpose: String,
    fields: Vec<FieldJson>,
}

#[derive(Serialize)]
struct FieldJson {
    name: &'static str,
    extent: [u64; 2],
    hex: String,
    value: String,
    meaning: String,
    evidence: &'static str,
}

impl From<&Structure> for StructureJson {
    fn from(structure: &Structure) -> Self {
        let field = |field: &daleel_core::Field| FieldJson {
            name: field.name,
            extent: extent(field.at),
            hex: field.raw.iter().map(|byte| format!("{byte:02x}")).collect(),
            value: field.value.clone(),
            meaning: field.meaning.clone(),
            evidence: field.evidence.as_str(),
        };
        Self {
            name: structure.name.clone(),
            extent: extent(structure.at),
            purpose: structure.purpose.clone(),
            fields: structure.fields.iter().map(field).collect(),
        }
    }
}

impl Show {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the source cannot be opened, or the offset lies outside it or in nothing that is known.
    pub fn run(self) -> Result<Exit> {
        let (session, recorder) = session::open(&self.source)?;
        if self.file.is_none() && self.at >= session.opened.size {
            let text = format!(
                "offset {} is behind the end of the source ({} bytes)",
                self.at, session.opened.size
            );
            return Err(Failure::new(Exit::Usage, text).into());
        }
        let structures = recorder.describe(self.at, self.file.as_deref())?;
        if structures.is_empty() {
            let text = format!(
                "nothing known lies at offset {} of this {}",
                self.at,
                recorder.verdict().layout
            );
            return Err(Failure::new(Exit::Unsupported, text).into());
        }
        let structures: Vec<_> = structures.iter().map(StructureJson::from).collect();
        let source = self.source.source.display().to_string();
        let answer = Answer { schema: "daleel.show/1", source, offset: self.at, structures };
        if self.output.json {
            print_json(&answer)?;
        } else {
            print_text(&answer)?;
        }
        Ok(Exit::Success)
    }
}

/// Longest run of bytes shown in a line.
const HEX_SHOWN: usize = 32;

fn print_text(answer: &Answer) -> Result<()> {
    let mut out = out();
    writeln!(out, "offset 0x{:x} ({})", answer.offset, answer.offset)?;
    for structure in &answer.structures {
        let [offset, length] = structure.extent;
        writeln!(
            out,
            "\n{} at 0x{offset:x} ({offset}), {length} bytes",
            printable(&structure.name)
        )?;
        writeln!(out, "  {}", printable(&structure.purpose))?;
        for field in &structure.fields {
            let [at, length] = field.extent;
            let here = answer.offset >= at && answer.offset < at.saturating_add(length);
            let hex = field.hex.get(..HEX_SHOWN).map_or(field.hex.clone(), |start| {
                if field.hex.len() > HEX_SHOWN { format!("{start}...") } else { start.to_owned() }
            });
            writeln!(
                out,
                "{} 0x{at:x}  {:<18} {hex:<20} {}",
                if here { ">" } else { " " },
                field.name,
                printable(&field.value)
            )?;
            writeln!(out, "        {} [{}]", printable(&field.meaning), field.evidence)?;
        }
    }
    out.flush()?;
    Ok(())
}
