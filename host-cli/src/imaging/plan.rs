//! `--dry-run`: what an image would take.

use std::io::Write;

use anyhow::Result;
use daleel_acquire::{
    ewf::plan::Plan,
    job::settings::{Format, Request},
    space,
};
use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    output::{out, print_json},
};

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    plans: Vec<PlanJson>,
}

#[derive(Serialize)]
struct PlanJson {
    source: String,
    folder: String,
    media_bytes: u64,
    sector_bytes: u32,
    format: &'static str,
    /// `straight`, or `raw file and map first`.
    way: &'static str,
    /// Bytes of a chunk; null for raw forms.
    chunk_bytes: Option<u64>,
    /// Largest segment file; null for raw forms.
    segment_bytes: Option<u64>,
    /// Bytes that may be needed in the worst case.
    needed_bytes: u64,
    /// Bytes that are free there.
    free_bytes: u64,
}

/// Shows what would be done; nothing is written and no source is claimed.
///
/// # Errors
/// When a source cannot be looked at, or an image cannot be planned.
pub fn show(requests: &[Request], json: bool) -> Result<Exit> {
    let plans = requests.iter().map(plan).collect::<Result<Vec<_>>>()?;
    if json {
        print_json(&Answer { schema: "daleel.image-plan/1", plans })?;
        return Ok(Exit::Success);
    }
    let mut out = out();
    for plan in &plans {
        writeln!(out, "{} -> {}", plan.source, plan.folder)?;
        writeln!(out, "  {} bytes, sectors of {}", plan.media_bytes, plan.sector_bytes)?;
        writeln!(out, "  form: {}, {}", plan.format, plan.way)?;
        if let (Some(chunk), Some(segment)) = (plan.chunk_bytes, plan.segment_bytes) {
            writeln!(out, "  chunks of {chunk} bytes, segment files of at most {segment}")?;
        }
        writeln!(out, "  needs at most {} bytes, {} are free", plan.needed_bytes, plan.free_bytes)?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn plan(request: &Request) -> Result<PlanJson> {
    use daleel_core::Source as _;
    let source = daleel_image::RawSource::open(&request.source)?;
    let (media_bytes, sector_bytes) = (source.len(), source.sector_bytes());
    let settings = &request.settings;
    let limit = space::largest_file(&request.out)?;
    let set = match settings.format {
        Format::E01 { segment, .. } => {
            let plan = Plan::new(media_bytes, sector_bytes, segment, limit);
            Some(plan.map_err(|error| Failure::new(Exit::Input, error.to_string()))?)
        }
        Format::Raw | Format::SplitRaw { .. } => None,
    };
    let is_out_of_order = settings.order.is_out_of_order();
    let packed = set.as_ref().map_or(media_bytes, Plan::worst_case_bytes);
    let both = is_out_of_order && settings.format != Format::Raw;
    Ok(PlanJson {
        source: request.source.display().to_string(),
        folder: request.out.display().to_string(),
        media_bytes,
        sector_bytes,
        format: settings.format.as_str(),
        way: if is_out_of_order { "raw file and map first" } else { "straight" },
        chunk_bytes: set.as_ref().map(Plan::chunk_bytes),
        segment_bytes: set.as_ref().map(Plan::segment_bytes),
        needed_bytes: if both { packed.saturating_add(media_bytes) } else { packed },
        free_bytes: space::free(&request.out)?,
    })
}
