//! `daleel bridge attest`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use wb_attest::{interface::Ending, statement::Kind};

use super::{PortArgs, answered, parse_nonce, random, say};
use crate::{
    args::{OutputArgs, ProgressArgs},
    bridge::{
        port::shown,
        session::{AttestJson, CHECKPOINT_ENTRIES, Pace, Seen, Session, Stored, openssl_commands},
        verify::offset_of,
    },
    exit::{Exit, Failure, classify},
    interrupt,
    output::{out, print_json},
    progress::Progress,
};

/// Have a bridge prove what it did: sessions and signed statements
///
/// A session begins with a nonce and ends with one; the bridge logs a digest of each megabyte that leaves it in between, and signs what it was asked, what it
/// refused, what it sent to the drive and what was read. Statements are verified before they are stored, and kept so that OpenSSL alone can check them.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  daleel bridge attest run --out case/bridge --every 10m\n  daleel bridge attest start --out case/bridge --nonce $(sha256sum acquire-start.json | cut -c-64)\n  daleel bridge attest checkpoint --out case/bridge\n  daleel bridge attest finish --out case/bridge --nonce $(sha256sum groups.sha256 | cut -c-64)"
)]
pub struct Attest {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    Run(Run),
    Start(Start),
    Checkpoint(Take),
    Finish(Finish),
}

impl Attest {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        match self.step {
            Step::Run(step) => step.run(),
            Step::Start(step) => step.run(),
            Step::Checkpoint(step) => step.run(Ending::Checkpoint),
            Step::Finish(step) => step.take.run(Ending::Final),
        }
    }
}

/// Where the evidence goes, and how to answer.
#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    port: PortArgs,
    /// Folder of this bridge's evidence; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Nonce of 64 hexadecimal digits, such as the SHA-256 of a custody event; random without. Each is used once
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<[u8; 32]>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Common {
    fn nonce(&self) -> Result<[u8; 32]> {
        self.nonce.map_or_else(random, Ok)
    }
}

/// Open a session
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  daleel bridge attest start --out case/bridge")]
struct Start {
    #[command(flatten)]
    common: Common,
    /// End a session that is open already; its log is gone then
    #[arg(long)]
    supersede: bool,
}

impl Start {
    fn run(self) -> Result<Exit> {
        let mut link = self.common.port.open()?;
        let nonce = self.common.nonce()?;
        let session = Session::start(&mut link, &self.common.out, nonce, self.supersede)?;
        print(&session.report(Vec::new()), 0, self.common.output.json)
    }
}

/// Take a statement of the session so far; it goes on
///
/// A power cut, a pulled cable or a drive that is detached loses what the bridge has not stated yet. `attest run` takes checkpoints by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  daleel bridge attest checkpoint --out case/bridge")]
struct Take {
    #[command(flatten)]
    common: Common,
}

/// Take the last statement and close the session
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  daleel bridge attest finish --out case/bridge")]
struct Finish {
    #[command(flatten)]
    take: Take,
}

impl Take {
    fn run(self, ending: Ending) -> Result<Exit> {
        let mut link = self.common.port.open()?;
        let mut session = Session::resume(&mut link, &self.common.out)?;
        let mut statements = Vec::new();
        statements.extend(session.waiting()?);
        // What an interrupted run had asked for may have been the last statement itself.
        if !statements.iter().any(|stored| stored.kind == Kind::Final) {
            statements.push(session.statement(ending, self.common.nonce()?)?);
        } else if self.common.nonce.is_some() {
            say(
                "the final statement that an earlier run had asked for was stored, with the nonce of that run",
            );
        }
        print(&session.report(statements), 0, self.common.output.json)
    }
}

/// Open a session and keep it: fetch the log, take checkpoints, finish at Ctrl-C
///
/// Run it beside the program that reads the disk. A checkpoint is taken after --every and after 64 GiB, whichever comes first; refused commands
/// are shown as they come. Ctrl-C takes the last statement and ends; a second run with --resume goes on with a session that an interrupted run left open.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge attest run --out case/bridge\n  daleel bridge attest run --out case/bridge --every 5m --resume"
)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// Longest time between two checkpoints (90s, 10m, 1h)
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    every: Duration,
    /// End a session that is open already; its log is gone then
    #[arg(long, conflicts_with = "resume")]
    supersede: bool,
    /// Go on with the session that is open in this folder
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl Run {
    fn run(self) -> Result<Exit> {
        if self.resume && self.common.nonce.is_some() {
            let text = "--nonce begins a session, and --resume goes on with one that has begun";
            return Err(Failure::new(Exit::Usage, text).into());
        }
        let mut link = self.common.port.open()?;
        let info = link.info().map_err(crate::bridge::session::failure)?;
        let total = info.capacity.saturating_mul(info.block_size.into());
        interrupt::watch();
        let mut session = if self.resume {
            Session::resume(&mut link, &self.common.out)?
        } else {
            Session::start(&mut link, &self.common.out, self.common.nonce()?, self.supersede)?
        };
        let as_json = self.common.output.json;
        let mut statements = Vec::new();
        statements.extend(session.waiting()?);
        if statements.iter().any(|stored| stored.kind == Kind::Final) {
            return print(&session.report(statements), 0, as_json);
        }
        let mut progress = Progress::new(self.progress.progress, "attest", total);
        let pace = Pace { every: self.every, entries: CHECKPOINT_ENTRIES };
        let mut findings = 0_u64;
        for stored in &statements {
            show(stored, as_json);
        }
        let ran = session.run(pace, &mut random, &mut is_over(), &mut |seen| {
            match seen {
                Seen::Entries(entries) => progress.at(offset_of(entries).min(total), findings),
                Seen::Refused(count) => show_refused(count, as_json),
                Seen::Stored(stored) => {
                    let more = u64::try_from(stored.findings.len()).unwrap_or(u64::MAX);
                    findings = findings.saturating_add(more);
                    if stored.kind == Kind::Checkpoint {
                        show(stored, as_json);
                    }
                    statements.push(stored.clone());
                }
            }
            Ok(())
        });
        ran.map_err(|error| how_to_go_on(error, &self.common.out))?;
        drop(progress);
        let shown = statements.len().saturating_sub(1);
        print(&session.report(statements), shown, as_json)
    }
}

/// A disk that is full or a folder that is gone ends the run and not the session: says how to go on (U-5).
fn how_to_go_on(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    match classify(&error) {
        (Exit::Input, None) => Failure::new(Exit::Input, format!("{error:#}"))
            .hint(format!(
                "the session is open on the bridge still, and reading may go on: remove what was in the way, then `daleel bridge attest run --out {} --resume`",
                folder.display()
            ))
            .into(),
        _ => error,
    }
}

/// Whether an interrupt arrived; says what happens then.
fn is_over() -> impl FnMut() -> bool {
    let mut is_said = false;
    move || {
        let is_over = interrupt::arrived();
        if is_over && !std::mem::replace(&mut is_said, true) {
            say("interrupted: taking the last statement");
        }
        is_over
    }
}

/// A line for a statement while the session goes on. That nobody reads it any more is no reason to give up a session: the statement is stored.
fn show(stored: &Stored, as_json: bool) {
    if !as_json {
        let _ = print_stored(stored);
    }
}

/// The same for refused commands, on standard error where standard output is for a program.
fn show_refused(count: u32, as_json: bool) {
    let text = format!("REFUSED: {count} modifying commands since the drive was attached");
    if as_json {
        say(&text);
    } else {
        let mut out = out();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number with s, m or h, such as 10m".to_owned();
    let (number, unit) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => (number, 1),
        Some((number, "m")) => (number, 60),
        Some((number, "h")) => (number, 3600),
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Prints the report; `told` of its statements were shown as they came.
fn print(report: &AttestJson, told: usize, as_json: bool) -> Result<Exit> {
    let exits = report.statements.iter().map(Stored::exit);
    let exit = exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Success);
    let printed = if as_json { print_json(report) } else { print_text(report, told) };
    answered(printed, exit)
}

fn print_text(report: &AttestJson, told: usize) -> Result<()> {
    let folder = &report.folder;
    let Some(last) = report.statements.last() else {
        let mut out = out();
        writeln!(out, "session {} is open; its evidence goes to {folder}", report.session)?;
        writeln!(out, "read the disk now; then: daleel bridge attest finish --out {folder}")?;
        writeln!(out, "\n{}", report.notice)?;
        out.flush()?;
        return Ok(());
    };
    report.statements.iter().skip(told).try_for_each(print_stored)?;
    let mut out = out();
    writeln!(out, "\nTo check it without daleel, in {folder}:")?;
    for command in openssl_commands(&last.name, &last.root) {
        writeln!(out, "  {command}")?;
    }
    writeln!(out, "\n{}", report.notice)?;
    out.flush()?;
    Ok(())
}

fn print_stored(stored: &Stored) -> Result<()> {
    let kind = match stored.kind {
        Kind::Checkpoint => "checkpoint",
        Kind::Final => "final statement",
    };
    let mut out = out();
    writeln!(
        out,
        "{kind} {}: verified and stored, {} log entries ({}), {} modifying commands refused",
        stored.name,
        stored.entries,
        match stored.log {
            "agrees" => "their root agrees",
            "missing" => "some were lost",
            _ => "their root DIFFERS",
        },
        stored.refused_modifying
    )?;
    for finding in &stored.findings {
        writeln!(out, "  finding: {}", shown(finding))?;
    }
    out.flush()?;
    Ok(())
}
