//! `daleel bridge self-test`.

use std::io::Write;

use anyhow::Result;

use super::answered;
use crate::{
    args::{OutputArgs, ProgressArgs},
    bridge::selftest::{SelfTestJson, run},
    exit::Exit,
    output::{out, print_json},
    progress::Progress,
};

/// Try every kind of modifying command on the bridge's code in front of a model drive that would obey
///
/// Runs the code that the boards share, in this program, without hardware: modifying SCSI and ATA commands by the thousand, reading, a block that cannot be
/// read, a session with its statement, and changed statement files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  daleel bridge self-test\n  daleel bridge self-test --json")]
pub struct SelfTest {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// Steps that the progress counts.
const STEPS: u64 = 4;

impl SelfTest {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let mut progress = Progress::new(self.progress.progress, "self-test", STEPS);
        let mut done = 0_u64;
        let found = run(&mut |_| {
            progress.at(done, 0);
            done = done.saturating_add(1);
        })?;
        drop(progress);
        let exit = if found.passed { Exit::Success } else { Exit::Verification };
        answered(if self.output.json { print_json(&found) } else { print_text(&found) }, exit)
    }
}

fn print_text(found: &SelfTestJson) -> Result<()> {
    let mut out = out();
    for check in &found.checks {
        let word = if check.passed { "ok    " } else { "FAILED" };
        writeln!(
            out,
            "{word} {:<40} {:>6} of {:<6} {}",
            check.name, check.right, check.tried, check.expected
        )?;
    }
    writeln!(
        out,
        "refused modifying commands, by the signed statement: {}",
        found.refused_modifying
    )?;
    writeln!(out, "note: {}", found.notice)?;
    out.flush()?;
    Ok(())
}
