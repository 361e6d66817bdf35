//! `daleel doctor`.

use std::{io::Write, path::PathBuf};

use anyhow::Result;
use daleel_acquire::devices::{
    Roots,
    host::{Check, Verdict, checks},
};
use serde::Serialize;

use crate::{
    args::OutputArgs,
    exit::Exit,
    output::{out, print_json, printable},
};

/// Check whether this computer is fit to take an image
///
/// Looks at what could write to a disk, at what could stop a job of many hours, and at what the record will state: write protection of the attached
/// disks, automounters, sleep, privileges, space and file system of the destination, clock and time zone, memory, processor, USB links.
/// Changes nothing; each finding comes with what helps.
///
/// The exit code is 1 when a check ends with a warning or a problem. A problem means that an image should not be taken like this.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel doctor\n  daleel doctor --out /mnt/evidence\n  daleel doctor --json"
)]
pub struct Doctor {
    /// Where an image is to be written: its free space and its file system are checked
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    verdict: Verdict,
    checks: Vec<Check>,
}

impl Doctor {
    /// Runs the verb.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(self) -> Result<Exit> {
        let checks = checks(&Roots::default(), self.out.as_deref());
        let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        let answer = Answer { schema: "daleel.doctor/1", verdict, checks };
        if self.output.json {
            print_json(&answer)?;
        } else {
            print_text(&answer)?;
        }
        Ok(if verdict == Verdict::Ok { Exit::Success } else { Exit::Findings })
    }
}

fn print_text(answer: &Answer) -> Result<()> {
    let mut out = out();
    for check in &answer.checks {
        let (verdict, name) = (check.verdict.as_str(), check.name);
        writeln!(out, "{verdict:<8} {name:<12} {}", printable(&check.text))?;
        if let Some(hint) = &check.hint {
            writeln!(out, "{:<21} hint: {}", "", printable(hint))?;
        }
    }
    out.flush()?;
    Ok(())
}
