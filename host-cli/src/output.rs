//! Shapes shared by the verbs' answers: JSON records of reasons, findings, verdicts and recordings, and stdout.
//!
//! The JSON is published in `docs/schemas/`; a change of meaning changes the schema's version.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{BufWriter, StdoutLock, Write, stderr, stdout},
};

use anyhow::Result;
use daleel_core::{
    Extent, Finding, FindingKind, Findings, Reason, Recorder, Recording, RecordingState,
    StoredValue, Verdict,
};
use serde::{Deserialize, Serialize};

/// `[offset, length]` in bytes.
pub type ExtentJson = [u64; 2];

/// An extent as `[offset, length]`.
pub const fn extent(extent: Extent) -> ExtentJson {
    [extent.offset(), extent.len()]
}

/// A fact for or against something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonJson {
    /// The fact.
    pub text: String,
    /// True when it supports, false when it speaks against.
    pub supports: bool,
    /// Where it was seen; null when it is about nothing on the medium.
    pub offset: Option<u64>,
    /// How many bytes.
    pub length: Option<u64>,
}

impl From<&Reason> for ReasonJson {
    fn from(reason: &Reason) -> Self {
        Self {
            text: reason.text.clone(),
            supports: reason.supports,
            offset: reason.at.map(Extent::offset),
            length: reason.at.map(Extent::len),
        }
    }
}

/// Something noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingJson {
    /// Class.
    pub kind: String,
    /// One sentence.
    pub text: String,
    /// Where.
    pub offset: Option<u64>,
    /// How many bytes.
    pub length: Option<u64>,
}

impl From<&Finding> for FindingJson {
    fn from(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.as_str().to_owned(),
            text: finding.text.clone(),
            offset: finding.at.map(Extent::offset),
            length: finding.at.map(Extent::len),
        }
    }
}

/// All findings kept in full.
pub fn findings(findings: &Findings) -> Vec<FindingJson> {
    findings.iter().map(FindingJson::from).collect()
}

/// Something a reader understood about the structure of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactJson {
    /// What.
    pub name: String,
    /// How it is.
    pub value: String,
}

/// The facts of an opened source.
pub fn facts(recorder: &dyn Recorder) -> Vec<FactJson> {
    recorder.facts().into_iter().map(|(name, value)| FactJson { name, value }).collect()
}

/// What a family says of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerdictJson {
    /// Family.
    pub family: String,
    /// Layout and version.
    pub layout: String,
    /// 0 to 100.
    pub score: u8,
    /// The bytes it speaks of.
    pub extent: ExtentJson,
    /// Facts for and against.
    pub reasons: Vec<ReasonJson>,
}

impl From<&Verdict> for VerdictJson {
    fn from(verdict: &Verdict) -> Self {
        Self {
            family: verdict.family.to_owned(),
            layout: verdict.layout.clone(),
            score: verdict.score,
            extent: extent(verdict.extent),
            reasons: verdict.reasons.iter().map(ReasonJson::from).collect(),
        }
    }
}

/// A stored value with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJson {
    /// Field name.
    pub field: Cow<'static, str>,
    /// Bytes as stored, in hexadecimal.
    pub hex: String,
    /// Where they lie.
    pub offset: u64,
}

impl StoredJson {
    /// A stored value that lies at `offset` of the medium.
    pub fn new(value: &StoredValue, offset: u64) -> Self {
        Self { field: value.name.into(), hex: value.hex(), offset }
    }
}

/// A recording of the recorder's index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordingJson {
    /// Stable name.
    pub id: String,
    /// Channel from 1, or null.
    pub channel: Option<u32>,
    /// 0 main, 1 sub.
    pub stream: u8,
    /// Begin by the index; recorder time.
    pub start: Option<String>,
    /// End by the index; recorder time.
    pub end: Option<String>,
    /// Milliseconds from begin to end; null when either is missing or the end is before the begin.
    pub duration_ms: Option<i64>,
    /// What made the recorder record, where the index says so.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Bytes of its stream.
    pub bytes: u64,
    /// `closed`, `open` or `conflict`.
    pub state: String,
    /// `indexed` or `index-conflict`.
    pub grade: String,
    /// The index entry, `[offset, length]`.
    pub index_entry: Option<ExtentJson>,
    /// Where its first byte lies.
    pub first_byte: Option<u64>,
    /// The time fields as stored.
    pub stored: Vec<StoredJson>,
    /// The file of a folder that the offsets count in.
    pub source_file: Option<String>,
    /// File of a folder that the entry, its stored values and the reasons count in, where it is another one.
    pub index_file: Option<String>,
    /// Why.
    pub reasons: Vec<ReasonJson>,
}

impl From<&Recording> for RecordingJson {
    fn from(recording: &Recording) -> Self {
        Self {
            id: recording.id.clone(),
            channel: recording.channel,
            stream: recording.stream,
            start: recording.start.map(|time| time.to_string()),
            end: recording.end.map(|time| time.to_string()),
            duration_ms: duration_ms(recording),
            kind: recording.kind.as_ref().map(ToString::to_string),
            bytes: recording.bytes,
            state: recording.state.as_str().to_owned(),
            grade: recording.grade.as_str().to_owned(),
            index_entry: recording.index_entry.map(extent),
            first_byte: recording.first_byte,
            stored: recording
                .stored
                .iter()
                .map(|value| StoredJson::new(value, value.offset))
                .collect(),
            source_file: recording.file.clone(),
            index_file: recording.index_file.clone(),
            reasons: recording.reasons.iter().map(ReasonJson::from).collect(),
        }
    }
}

/// Milliseconds from begin to end, where the index states both in order.
pub fn duration_ms(recording: &Recording) -> Option<i64> {
    let length = recording.end?.millis().checked_sub(recording.start?.millis())?;
    (length >= 0).then_some(length)
}

/// What speaks against a recording's index entry, as findings.
pub fn index_findings(recording: &Recording) -> impl Iterator<Item = Finding> + '_ {
    let kind = match recording.state {
        RecordingState::Conflict => FindingKind::DamagedIndex,
        _ => FindingKind::Interpretation,
    };
    // What a residual entry says of itself is no problem of the index; how many there are is one finding of the reader.
    let is_listed = recording.state != RecordingState::Residual;
    let against = recording.reasons.iter().filter(move |reason| is_listed && !reason.supports);
    against.map(move |reason| Finding {
        kind,
        text: format!("{}: {}", recording.id, reason.text),
        at: reason.at,
    })
}

/// Standard output, buffered.
pub fn out() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(stdout().lock())
}

/// Prints one JSON document.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = out();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// `1:02:03` from milliseconds.
pub fn duration_text(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Text from a medium for a terminal: control characters escaped.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// Prints findings on stderr, where stdout holds lines for a program.
///
/// # Errors
/// When stderr cannot be written.
pub fn report_findings(noticed: &Findings) -> Result<()> {
    write_findings(&mut stderr().lock(), noticed)
}

/// Prints findings for people, a line each, and how many were not kept.
pub fn write_findings(out: &mut impl Write, noticed: &Findings) -> Result<()> {
    for finding in noticed.iter() {
        writeln!(out, "finding ({}): {}", finding.kind, printable(&finding.text))?;
    }
    for (kind, count) in noticed.counts() {
        if let more @ 1.. = count.saturating_sub(Findings::KEPT_PER_KIND) {
            writeln!(out, "and {more} more of kind {kind}")?;
        }
    }
    Ok(())
}

/// Findings by kind, kept in full or not.
pub fn counts(findings: &Findings) -> BTreeMap<String, u64> {
    findings.counts().iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
}
