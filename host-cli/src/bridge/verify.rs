//! Checking stored statements and logs, offline.
//!
//! Facts: published requirements, sections 4.3 (files, what OpenSSL cannot check), 4.4 (coverage, differing digests, `uncovered.txt`),
//! 5.5 (what a statement claims). The files are as hostile as any input: sizes are bounded and nothing is taken from a name but
//! which files belong together.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;
use wb_attest::{
    KEY_COPY_NOTICE,
    key::key_id,
    log::CHUNK,
    sha256,
    statement::Kind,
    verify::{Image, Signed, Statement},
};

use super::{
    coverage::{self, CoverageJson, Uncovered},
    judge,
    record::{KEY_FILE, open_file, read_key},
    sessions,
};
use crate::{
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// Largest file of a statement: more than the protocol can carry, times three for its rendering.
const FILE_MAX: u64 = 16 << 20;
/// Most statements of a folder: a checkpoint every ten minutes for a year.
const STATEMENTS_MAX: usize = 1 << 16;

/// A statement as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedJson {
    /// File, relative to what was given.
    pub file: String,
    /// SHA-256 of the `.cbor`.
    pub sha256: String,
    /// Form, key and signature are right, and the files beside it are its own.
    pub verified: bool,
    /// `checkpoint` or `final`; null when it is not verified, as everything below.
    pub kind: Option<Kind>,
    /// Power-ups of the bridge.
    pub boot_counter: Option<u32>,
    /// Session number.
    pub session: Option<u32>,
    /// Statements of the session before it.
    pub checkpoint: Option<u32>,
    /// Log entries it covers.
    pub entries: Option<u64>,
    /// Root over them.
    pub root: Option<String>,
    /// What the kept entries say of the root; null when there are none.
    pub log: Option<&'static str>,
    /// Whether both nonces are those of the journal; null without a journal.
    pub nonces: Option<bool>,
    /// Digest that the firmware reported of itself.
    pub firmware: Option<String>,
    /// Refused commands that would have changed the drive.
    pub refused_modifying: Option<u64>,
    /// What is wrong.
    pub failures: Vec<String>,
    /// What is missing or worth a look.
    pub findings: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// What was checked.
    pub path: String,
    /// SHA-256 of the public key.
    pub key_id: String,
    /// Everything that could be checked is right.
    pub verified: bool,
    /// The statements by power-up, session and number; those that are not verified first.
    pub statements: Vec<CheckedJson>,
    /// What of the medium has a bridge digest; null when no statement is right.
    pub coverage: Option<CoverageJson>,
    /// What is wrong beyond single statements.
    pub failures: Vec<String>,
    /// What is worth a look beyond single statements.
    pub findings: Vec<String>,
    /// What every report says.
    pub notice: &'static str,
}

impl VerifyJson {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        let is_noted = !self.findings.is_empty()
            || self.statements.iter().any(|one| !one.findings.is_empty())
            || self.coverage.as_ref().is_some_and(|coverage| coverage.has_findings());
        match (self.verified, is_noted) {
            (false, _) => Exit::Verification,
            (true, true) => Exit::Findings,
            (true, false) => Exit::Success,
        }
    }
}

/// What came of it, and what goes into `uncovered.txt`.
pub struct Outcome {
    /// For people and programs.
    pub report: VerifyJson,
    /// Chunks without a bridge digest.
    pub uncovered: Vec<Uncovered>,
    /// The chunks of the medium; none when no statement is right.
    pub image: Option<Image>,
}

/// A statement whose signature is right.
pub struct Verified {
    /// Its place in the report.
    pub index: usize,
    /// What it says.
    pub statement: Statement,
}

/// How far a check is, for who waits for it: in log entries, each of which is read and then put into its tree.
pub struct Tell<'t> {
    done: u64,
    hear: &'t mut dyn FnMut(u64),
}

/// Entries between two words.
const TELL_EVERY: u64 = 1 << 14;

impl Tell<'_> {
    /// An entry was read, or put into the tree.
    pub fn entry(&mut self) {
        self.done = self.done.saturating_add(1);
        if self.done.is_multiple_of(TELL_EVERY) {
            (self.hear)(self.done);
        }
    }
}

/// About how much [`verify_telling`] will tell of: the log entries that the files have room for, twice.
pub fn work(path: &Path) -> u64 {
    const LINE_BYTES: u64 = 90;
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    let logs = entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "log"));
    let bytes = logs.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    bytes.fold(0, u64::saturating_add).div_ceil(LINE_BYTES).saturating_mul(2)
}

/// Checks one statement or all of a folder. Nothing is written.
///
/// # Errors
/// When nothing can be read; what is wrong with a statement is in the outcome.
pub fn verify(path: &Path, key: &[u8; 32]) -> Result<Outcome> {
    verify_telling(path, key, &mut |_| {})
}

/// The same for a program with somebody in front of it: `hear` is told how many entries are done, see [`work`].
///
/// # Errors
/// As [`verify`].
pub fn verify_telling(path: &Path, key: &[u8; 32], hear: &mut dyn FnMut(u64)) -> Result<Outcome> {
    let mut tell = Tell { done: 0, hear };
    let (folder, files) = statement_files(path)?;
    let mut report = VerifyJson {
        schema: "daleel.bridge-verify/1",
        path: path.display().to_string(),
        key_id: hex(&key_id(key)),
        verified: false,
        statements: Vec::new(),
        coverage: None,
        failures: Vec::new(),
        findings: Vec::new(),
        notice: KEY_COPY_NOTICE,
    };
    let mut right: Vec<Verified> = Vec::new();
    for file in files {
        let (checked, statement) = check_files(&file, key);
        let index = report.statements.len();
        report.statements.push(checked);
        right.extend(statement.map(|statement| Verified { index, statement }));
    }
    right.sort_by_key(|one| {
        (one.statement.boot_counter, one.statement.session.number, one.statement.session.checkpoint)
    });
    report.failures.extend(key_fault(&folder, key));
    let is_folder = path.is_dir();
    let logs = sessions::check(&folder, &right, &mut report, is_folder, &mut tell)?;
    let (image, uncovered) = coverage::of(&right_statements(&right), &logs, &mut report.failures);
    report.coverage = image.as_ref().map(|image| coverage::json(image, &uncovered));
    let all_right = report.statements.iter().all(|one| one.verified && one.failures.is_empty());
    report.statements.sort_by(|one, other| place(one).cmp(&place(other)));
    report.verified = all_right && report.failures.is_empty() && !report.statements.is_empty();
    Ok(Outcome { report, uncovered, image })
}

/// The key beside the statements is the one that the commands for OpenSSL name.
fn key_fault(folder: &Path, key: &[u8; 32]) -> Option<String> {
    let path = folder.join(KEY_FILE);
    let is_another = path.exists() && !read_key(&path).is_ok_and(|held| held == *key);
    is_another
        .then(|| format!("the {KEY_FILE} beside the statements is not the key that was given"))
}

/// By power-up, session and number; what is not verified comes first.
fn place(one: &CheckedJson) -> (Option<u32>, Option<u32>, Option<u32>, &str) {
    (one.boot_counter, one.session, one.checkpoint, &one.file)
}

fn right_statements(right: &[Verified]) -> Vec<&Statement> {
    right.iter().map(|one| &one.statement).collect()
}

/// The `.cbor` files: the one given, or all of a folder in the order of their names.
fn statement_files(path: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    if !path.is_dir() {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        return Ok((folder, vec![path.with_extension("cbor")]));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "cbor") {
            files.push(file);
        }
        if files.len() > STATEMENTS_MAX {
            let text = format!("{} holds more than {STATEMENTS_MAX} statements", path.display());
            return Err(Failure::new(Exit::Input, text).into());
        }
    }
    files.sort();
    if files.is_empty() {
        let text = format!("{} holds no statement", path.display());
        return Err(Failure::new(Exit::Input, text)
            .hint("statements are files that end with .cbor")
            .into());
    }
    Ok((path.to_owned(), files))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", file_name(path));
    let mut bytes = Vec::new();
    let file = open_file(path).map_err(said)?;
    file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(said)?;
    let is_long = u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_MAX);
    if is_long { Err(format!("{} is far too long", file_name(path))) } else { Ok(bytes) }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// One statement by itself: its files, form, key, signature, and the sums of its figures.
fn check_files(path: &Path, key: &[u8; 32]) -> (CheckedJson, Option<Statement>) {
    let mut checked = CheckedJson {
        file: file_name(path),
        sha256: String::new(),
        verified: false,
        kind: None,
        boot_counter: None,
        session: None,
        checkpoint: None,
        entries: None,
        root: None,
        log: None,
        nonces: None,
        firmware: None,
        refused_modifying: None,
        failures: Vec::new(),
        findings: Vec::new(),
    };
    let statement = match read_signed(path, key, &mut checked.sha256) {
        Ok(statement) => statement,
        Err(why) => {
            checked.failures.push(why);
            return (checked, None);
        }
    };
    checked.verified = true;
    checked.kind = Some(statement.session.kind);
    checked.boot_counter = Some(statement.boot_counter);
    checked.session = Some(statement.session.number);
    checked.checkpoint = Some(statement.session.checkpoint);
    checked.entries = Some(statement.log.entries);
    checked.root = Some(hex(&statement.log.root));
    checked.firmware = Some(hex(&statement.firmware.digest));
    checked.refused_modifying = Some(statement.refusals.modifying);
    checked.failures.extend(judge::failures(&statement));
    checked.failures.extend(rendering_fault(path, &statement, &checked.sha256));
    checked.findings.extend(judge::findings(&statement));
    (checked, Some(statement))
}

fn read_signed(path: &Path, key: &[u8; 32], digest: &mut String) -> Result<Statement, String> {
    let cbor = read(path)?;
    *digest = hex(&sha256(&[&cbor]));
    let (tbs, sig) = (read(&path.with_extension("tbs"))?, read(&path.with_extension("sig"))?);
    let signed = Signed::from_files(&cbor, &tbs, &sig).map_err(|reject| reject.to_string())?;
    signed.verify(key).cloned().map_err(|reject| reject.to_string())
}

/// Whether the rendering says what the statement does, under its name, with its digest and the sentence that every report has. What it says
/// of the log is of the time when it was stored.
fn rendering_fault(cbor: &Path, statement: &Statement, sha256: &str) -> Option<String> {
    let path = cbor.with_extension("json");
    let name = file_name(&path);
    let held = match read(&path) {
        Ok(held) => held,
        Err(why) => return Some(why),
    };
    let rendered: Option<serde_json::Value> = serde_json::from_slice(&held).ok();
    let text = |key: &str| rendered.as_ref()?.get(key)?.as_str();
    let stem = name.strip_suffix(".json");
    let is_same = rendered.as_ref().and_then(|held| held.get("statement"))
        == serde_json::to_value(statement).ok().as_ref()
        && text("sha256") == Some(sha256)
        && text("name") == stem
        && text("notice") == Some(KEY_COPY_NOTICE);
    (!is_same).then(|| format!("{name} does not say what the statement says"))
}

/// How many bytes of a medium a chunk has in front of it.
pub fn offset_of(chunk: u64) -> u64 {
    chunk.saturating_mul(CHUNK.into())
}
