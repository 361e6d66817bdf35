//! `daleel logs`.

use std::io::Write;

use anyhow::Result;
use daleel_core::{Findings, LogEvent};
use serde::Serialize;

use crate::{
    args::SourceArgs,
    exit::Exit,
    output::{FindingJson, findings, out, print_json, printable, report_findings},
    session,
};

/// Print the recorder's own log
///
/// Formats, power-ups, partition switches and what else the recorder wrote about itself, in stored order, each with its offset. Lines that are not
/// understood are printed as they are. Times are the recorder's own clock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  daleel logs disk.dd\n  daleel logs disk.dd --jsonl")]
pub struct Logs {
    #[command(flatten)]
    source: SourceArgs,
    /// One JSON document
    #[arg(long, group = "format")]
    json: bool,
    /// One JSON object a line and event
    #[arg(long, group = "format")]
    jsonl: bool,
}

#[derive(Serialize)]
struct EventJson {
    time: Option<String>,
    log: &'static str,
    level: String,
    text: String,
    offset: u64,
    length: u64,
}

impl From<&LogEvent> for EventJson {
    fn from(event: &LogEvent) -> Self {
        Self {
            time: event.time.map(|time| time.to_string()),
            log: event.log,
            level: event.level.clone(),
            text: event.text.clone(),
            offset: event.at.offset(),
            length: event.at.len(),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    source: String,
    events: Vec<EventJson>,
    findings: Vec<FindingJson>,
}

impl Logs {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the source cannot be opened or is not recognised.
    pub fn run(self) -> Result<Exit> {
        let (_, recorder) = session::open(&self.source)?;
        let mut noticed = Findings::default();
        let mut events = Vec::new();
        for item in recorder.events() {
            match item {
                Ok(event) => events.push(EventJson::from(&event)),
                Err(error) => noticed.add(error.into()),
            }
        }
        let mut out = out();
        if self.json {
            let source = self.source.source.display().to_string();
            drop(out);
            print_json(&Answer {
                schema: "daleel.logs/1",
                source,
                events,
                findings: findings(&noticed),
            })?;
        } else {
            for event in &events {
                if self.jsonl {
                    serde_json::to_writer(&mut out, event)?;
                    writeln!(out)?;
                } else {
                    let time = event.time.as_deref().unwrap_or("no time");
                    writeln!(
                        out,
                        "{time:<23}  0x{:x}  {:<9}  {}",
                        event.offset,
                        event.level,
                        printable(&event.text)
                    )?;
                }
            }
            for finding in noticed.iter().filter(|_| !self.jsonl) {
                writeln!(out, "finding ({}): {}", finding.kind, printable(&finding.text))?;
            }
            out.flush()?;
            if self.jsonl {
                report_findings(&noticed)?;
            }
        }
        Ok(if noticed.is_empty() { Exit::Success } else { Exit::Findings })
    }
}
