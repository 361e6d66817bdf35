//! `daleel identify`.

use std::io::Write;

use anyhow::Result;
use daleel_core::Recorder;
use serde::Serialize;

use crate::{
    args::{OutputArgs, SourceArgs},
    exit::{Exit, Failure},
    output::{FactJson, FindingJson, VerdictJson, facts, findings, out, print_json, printable},
    session::{Session, check_family},
};

/// Say what wrote this, and why
///
/// Names the layout of a disk, image, file or folder with the facts for and against it and the bytes each fact rests on. Several layouts on one
/// medium are several answers. A layout is not a brand: many brands share one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel identify disk.dd\n  daleel identify disk.001 --json\n  daleel identify clip.dav"
)]
pub struct Identify {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    source: String,
    description: String,
    size: u64,
    notes: Vec<String>,
    map_beside: Option<String>,
    partitions: Vec<PartitionJson>,
    layers: Vec<LayerJson>,
    findings: Vec<FindingJson>,
}

#[derive(Serialize)]
struct PartitionJson {
    scheme: &'static str,
    number: u32,
    name: String,
    kind: String,
    kind_name: Option<&'static str>,
    extent: [u64; 2],
    notes: Vec<String>,
}

#[derive(Serialize)]
struct LayerJson {
    #[serde(flatten)]
    verdict: VerdictJson,
    /// How well reading this family is proven.
    status: &'static str,
    facts: Vec<FactJson>,
    findings: Vec<FindingJson>,
    /// Why the layer cannot be opened although it is recognised.
    error: Option<String>,
}

impl Identify {
    /// The verb with text output.
    pub const fn new(source: SourceArgs) -> Self {
        Self { source, output: OutputArgs { json: false } }
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// When the source cannot be opened, or nothing on it is recognised.
    pub fn run(self) -> Result<Exit> {
        check_family(self.source.family.as_deref())?;
        let session = Session::open(&self.source)?;
        let wanted = |name: &str| self.source.family.as_deref().is_none_or(|family| family == name);
        let layers = session
            .layers
            .iter()
            .filter(|layer| wanted(layer.family.name))
            .map(|layer| {
                let opened = (layer.family.open)(layer.input.clone(), &layer.verdict);
                layer_json(
                    layer,
                    opened.as_ref().map(|recorder| &**recorder).map_err(ToString::to_string),
                )
            })
            .collect::<Vec<_>>();
        let used = session.opened.description.contains("map");
        let beside = daleel_image::map_beside(&self.source.source).filter(|_| !used);
        let answer = Answer {
            schema: "daleel.identify/1",
            source: self.source.source.display().to_string(),
            description: session.opened.description.clone(),
            size: session.opened.size,
            notes: session.opened.notes.clone(),
            map_beside: beside.map(|path| path.display().to_string()),
            partitions: session.partitions.iter().map(partition_json).collect(),
            findings: findings(&session.findings),
            layers,
        };
        if self.output.json {
            print_json(&answer)?;
        } else {
            print_text(&answer)?;
        }
        if answer.layers.is_empty() {
            return Err(Failure::new(
                Exit::Unsupported,
                "nothing in this source is of a known format",
            )
            .into());
        }
        let has_findings = !answer.findings.is_empty()
            || answer
                .layers
                .iter()
                .any(|layer| !layer.findings.is_empty() || layer.error.is_some());
        Ok(if has_findings { Exit::Findings } else { Exit::Success })
    }
}

fn layer_json(layer: &crate::session::Layer, recorder: Result<&dyn Recorder, String>) -> LayerJson {
    LayerJson {
        verdict: VerdictJson::from(&layer.verdict),
        status: layer.family.status.as_str(),
        facts: recorder.as_ref().map(|recorder| facts(*recorder)).unwrap_or_default(),
        findings: recorder
            .as_ref()
            .map(|recorder| findings(recorder.findings()))
            .unwrap_or_default(),
        error: recorder.err(),
    }
}

fn partition_json(partition: &daleel_image::Partition) -> PartitionJson {
    PartitionJson {
        scheme: partition.scheme.as_str(),
        number: partition.index,
        name: partition.name.clone(),
        kind: partition.kind.clone(),
        kind_name: partition.kind_name,
        extent: crate::output::extent(partition.extent),
        notes: partition.notes.clone(),
    }
}

fn print_text(answer: &Answer) -> Result<()> {
    let mut out = out();
    writeln!(out, "{}: {}, {} bytes", answer.source, answer.description, answer.size)?;
    for note in &answer.notes {
        writeln!(out, "note: {note}")?;
    }
    if let Some(map) = &answer.map_beside {
        writeln!(
            out,
            "note: {map} looks like the map of this image; give it with --map to treat unreadable bytes as holes"
        )?;
    }
    for partition in &answer.partitions {
        let [offset, length] = partition.extent;
        writeln!(
            out,
            "partition {} ({}): type {}{}, 0x{offset:x} ({offset}), {length} bytes {}",
            partition.number,
            partition.scheme,
            partition.kind,
            partition.kind_name.map(|name| format!(" ({name})")).unwrap_or_default(),
            printable(&partition.name)
        )?;
    }
    for finding in &answer.findings {
        writeln!(out, "finding: {}", printable(&finding.text))?;
    }
    for layer in &answer.layers {
        let verdict = &layer.verdict;
        writeln!(
            out,
            "\n{} (family {}, score {} of 100; support proven on: {})",
            verdict.layout, verdict.family, verdict.score, layer.status
        )?;
        for reason in &verdict.reasons {
            let sign = if reason.supports { "for    " } else { "against" };
            let at = reason.offset.map(|offset| format!("0x{offset:x}")).unwrap_or_default();
            writeln!(out, "  {sign} {at:>12}  {}", printable(&reason.text))?;
        }
        for fact in &layer.facts {
            writeln!(out, "  {}: {}", printable(&fact.name), printable(&fact.value))?;
        }
        for finding in &layer.findings {
            writeln!(out, "  finding ({}): {}", finding.kind, printable(&finding.text))?;
        }
        if let Some(error) = &layer.error {
            writeln!(out, "  cannot be opened: {}", printable(error))?;
        }
    }
    out.flush()?;
    Ok(())
}
