//! The log areas of a disk.

use super::blocks::Fragment;
use super::geometry::{LOG_AREAS, LogArea};
use super::{DiskPlan, Variants};
use crate::Error;
use crate::hikvision::{LogEvent, LogLine, log_area};
use crate::image::Image;
use crate::truth::LogRecord;

/// Records as they were written, with their bytes.
pub(super) type WrittenLog = Vec<(LogRecord, Vec<u8>)>;

/// Writes both areas, or the second alone where the master knows no other.
pub(super) fn write_logs(
    plan: &DiskPlan,
    fragments: &[Fragment],
    image: &mut Image,
) -> Result<WrittenLog, Error> {
    let mut second = plan.log[1].clone();
    second.extend(recording_lines(plan, fragments));
    let mut lines = [plan.log[0].clone(), second];
    if plan.variants.one_log_area {
        let first = std::mem::take(&mut lines[0]);
        lines[1].splice(0..0, first);
    }
    lines[1].sort_by_key(|line| line.time);
    let mut written = Vec::new();
    for (area, lines) in log_areas(&plan.variants).iter().zip(&lines[2 - areas(&plan.variants)..]) {
        let parts = log_area(area.header, area.chunks, lines, !lines.is_empty());
        for (offset, bytes) in &parts {
            image.write(area.offset + offset, bytes)?;
        }
        written.extend(lines.iter().zip(parts).map(|(line, (offset, bytes))| {
            (line.fact_at(area.number, area.offset + offset), bytes)
        }));
    }
    Ok(written)
}

fn areas(variants: &Variants) -> usize {
    if variants.one_log_area { 1 } else { 2 }
}

/// The areas that a disk has.
pub(super) fn log_areas(variants: &Variants) -> &'static [LogArea] {
    &LOG_AREAS[2 - areas(variants)..]
}

/// Start and stop of every fragment since the initialisation; an open one has no stop.
fn recording_lines(plan: &DiskPlan, fragments: &[Fragment]) -> Vec<LogLine> {
    let logged = fragments.iter().filter(|f| !plan.recordings[f.recording].before_format);
    logged
        .flat_map(|fragment| {
            let (start, end) = fragment.times();
            let channel = fragment.channel;
            let stop = LogLine::new(end, LogEvent::RecordStop { channel });
            [Some(LogLine::new(start, LogEvent::RecordStart { channel })), Some(stop)]
                .into_iter()
                .take(if fragment.open { 1 } else { 2 })
                .flatten()
        })
        .collect()
}
