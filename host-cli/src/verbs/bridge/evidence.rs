//! `daleel bridge verify`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use daleel_core::Input;
use serde::Serialize;

use super::{answered, say};
use crate::{
    args::{OutputArgs, ProgressArgs},
    bridge::{
        coverage::{ComparedJson, Uncovered, compare, write_uncovered},
        port::shown,
        record::read_key,
        session::openssl_commands,
        verify::{CheckedJson, Outcome, VerifyJson, verify_telling, work},
    },
    exit::{Exit, Failure},
    interrupt,
    output::{out, print_json},
    progress::Progress,
};

/// Check stored statements and logs, offline
///
/// Form, key, signature, nonces and sums of each statement; that the files beside it are its own; the root over the kept log; and which megabytes of the medium
/// have a digest of the bridge. With --image the covered megabytes of an image are compared with the bridge's digests.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge verify case/bridge --key enrolled/key.pem\n  daleel bridge verify case/bridge/boot00007-session0001.cbor --key enrolled/key.pem --json\n  daleel bridge verify case/bridge --key enrolled/key.pem --image case/image.raw --uncovered uncovered.txt"
)]
pub struct Verify {
    /// Folder of statements, or one of them
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Public key of the bridge, from its enrolment; the one beside the statements proves only that they belong together
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the megabytes without a bridge digest to this new file, one a line
    #[arg(long, value_name = "FILE")]
    uncovered: Option<PathBuf>,
    /// Compare this image with the bridge's digests
    #[arg(long, value_name = "IMAGE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// The outcome with the comparison.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a VerifyJson,
    image: Option<ComparedJson>,
}

impl Verify {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let key = read_key(&self.key)?;
        let mut outcome = self.check(&key)?;
        if is_beside(&self.key, &self.path) {
            let text = "the key is the one beside the statements: that they belong together is shown, not whose they are";
            outcome.report.findings.push(text.to_owned());
        }
        let image = self.compare(&outcome)?;
        match &self.uncovered {
            Some(path) if outcome.image.is_some() => write_list(path, &outcome.uncovered)?,
            // An empty list would read as a medium that is covered from end to end.
            Some(path) => {
                say(&format!("{} is not written: nothing is known to be covered", path.display()))
            }
            None => {}
        }
        let report = &outcome.report;
        let exit = match &image {
            Some(compared) if !compared.is_equal() => Exit::Verification,
            Some(compared) if compared.has_findings() => Exit::Findings,
            _ => Exit::Success,
        };
        let exit = if exit as u8 > report.exit() as u8 { exit } else { report.exit() };
        let printed = if self.output.json {
            print_json(&Answer { report, image: image.clone() })
        } else {
            print_text(report, image.as_ref())
        };
        answered(printed, exit)
    }

    /// The progress of what is read: a log of 4 TB has 3.8 million entries.
    fn check(&self, key: &[u8; 32]) -> Result<Outcome> {
        const ENTRY_BYTES: u64 = 45;
        let total = work(&self.path).saturating_mul(ENTRY_BYTES);
        let mut progress = Progress::new(self.progress.progress, "verify", total);
        verify_telling(&self.path, key, &mut |entries| {
            progress.at(entries.saturating_mul(ENTRY_BYTES).min(total), 0);
        })
    }

    fn compare(&self, outcome: &Outcome) -> Result<Option<ComparedJson>> {
        let Some(path) = &self.image else { return Ok(None) };
        let Some(covered) = &outcome.image else {
            return Err(Failure::new(Exit::Verification, "nothing to compare the image with")
                .hint("no statement could be verified")
                .into());
        };
        let map = daleel_image::map_beside(path);
        let opened =
            daleel_image::open(path, map.as_deref()).context("the image cannot be opened")?;
        let Input::Volume(volume) = &opened.input else {
            let text = format!("{} is no image of a medium", path.display());
            return Err(Failure::new(Exit::Input, text).into());
        };
        interrupt::watch();
        let source = volume.source.as_ref();
        let mut progress = Progress::new(self.progress.progress, "compare", source.len());
        let name = path.display().to_string();
        compare(covered, &name, source, &mut |done| {
            progress.at(done, 0);
            if interrupt::arrived() {
                let failure = Failure::new(Exit::Interrupted, "interrupted");
                return Err(failure.hint("nothing was written; run it again").into());
            }
            Ok(())
        })
        .map(Some)
    }
}

/// Whether a key lies in the folder of the statements.
fn is_beside(key: &Path, statements: &Path) -> bool {
    let folder = if statements.is_dir() { Some(statements) } else { statements.parent() };
    let real = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::canonicalize(path).ok()
    };
    let key = real(key);
    let of_key = key.as_deref().and_then(Path::parent);
    of_key.is_some() && of_key == folder.and_then(real).as_deref()
}

/// Writes the list whole, or not at all.
fn write_list(path: &Path, uncovered: &[Uncovered]) -> Result<()> {
    let file = File::create_new(path).map_err(|error| {
        Failure::new(Exit::Input, format!("{}: {error}", path.display()))
            .hint("nothing is overwritten")
    })?;
    let mut file = BufWriter::new(file);
    let written = write_uncovered(&mut file, uncovered)
        .and_then(|()| Ok(file.flush()?))
        .and_then(|()| Ok(file.get_ref().sync_all()?));
    if written.is_err() {
        // Part of a list says that the rest is covered. The first error is the one that matters.
        let _ = fs::remove_file(path);
    }
    written.with_context(|| path.display().to_string())
}

/// Whether a name may stand in a command that is printed to be copied.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.chars().all(is_plain) && !name.starts_with('-')
}

fn print_text(report: &VerifyJson, image: Option<&ComparedJson>) -> Result<()> {
    let mut out = out();
    writeln!(out, "key {}", report.key_id)?;
    for one in &report.statements {
        write_statement(&mut out, one)?;
    }
    for failure in &report.failures {
        writeln!(out, "FAILED: {}", shown(failure))?;
    }
    for finding in &report.findings {
        writeln!(out, "finding: {}", shown(finding))?;
    }
    if let Some(coverage) = &report.coverage {
        writeln!(
            out,
            "\ncovered by the bridge's digests: {} of {} megabytes ({} bytes); not read: {}, partly or out of order: {}, entries lost: {}",
            coverage.covered,
            coverage.chunks,
            coverage.covered_bytes,
            coverage.not_read,
            coverage.partial,
            coverage.lost
        )?;
        for one in &coverage.unstable {
            writeln!(
                out,
                "finding: megabyte {} (0x{:x}) was delivered with different contents: entry {} of session {}: {}, entry {} of session {}: {}",
                one.chunk,
                one.offset,
                one.first.seq,
                one.first.session,
                one.first.digest,
                one.later.seq,
                one.later.session,
                one.later.digest
            )?;
        }
    }
    if let Some(compared) = image {
        write_compared(&mut out, compared)?;
    }
    if let (true, Some(last)) = (report.verified, report.statements.last())
        && let (Some(name), Some(root)) = (last.file.strip_suffix(".cbor"), &last.root)
        && is_plain(name)
    {
        writeln!(out, "\nThe same with OpenSSL, for the last of them:")?;
        for command in openssl_commands(name, root) {
            writeln!(out, "  {command}")?;
        }
    }
    let verdict = if report.verified { "verified" } else { "VERIFICATION FAILED" };
    writeln!(out, "\n{verdict}. {}", report.notice)?;
    out.flush()?;
    Ok(())
}

fn write_statement(out: &mut impl Write, one: &CheckedJson) -> Result<()> {
    let word = if one.failures.is_empty() { "ok    " } else { "FAILED" };
    write!(out, "{word} {}", shown(&one.file))?;
    if let (Some(boot), Some(session), Some(entries)) = (one.boot_counter, one.session, one.entries)
    {
        write!(
            out,
            ": power-up {boot}, session {session}, {entries} log entries ({}), nonces {}, {} modifying commands refused",
            one.log.map_or("no log kept", |log| match log {
                "agrees" => "root agrees",
                "missing" => "some missing",
                _ => "root DIFFERS",
            }),
            match one.nonces {
                Some(true) => "as sent",
                Some(false) => "NOT as sent",
                None => "not compared",
            },
            one.refused_modifying.unwrap_or(0)
        )?;
    }
    writeln!(out)?;
    for failure in &one.failures {
        writeln!(out, "       {}", shown(failure))?;
    }
    for finding in &one.findings {
        writeln!(out, "       finding: {}", shown(finding))?;
    }
    Ok(())
}

fn write_compared(out: &mut impl Write, compared: &ComparedJson) -> Result<()> {
    const SHOWN: usize = 20;
    writeln!(
        out,
        "image {}: {} of {} compared megabytes have the bridge's digest",
        shown(&compared.image),
        compared.equal,
        compared.compared
    )?;
    if let Some(text) = compared.size_finding() {
        writeln!(out, "finding: {text}")?;
    }
    let list = |chunks: &[u64]| {
        let names: Vec<_> = chunks.iter().take(SHOWN).map(u64::to_string).collect();
        let more = chunks.len().saturating_sub(SHOWN);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{rest}", names.join(", "))
    };
    if !compared.differing.is_empty() {
        let text = "UNTRUSTED: the image is not what the bridge delivered in megabytes";
        writeln!(out, "{text} {}", list(&compared.differing))?;
    }
    if !compared.unreadable.is_empty() {
        let text = "finding: the image does not hold what the bridge delivered in megabytes";
        writeln!(out, "{text} {}", list(&compared.unreadable))?;
    }
    Ok(())
}
