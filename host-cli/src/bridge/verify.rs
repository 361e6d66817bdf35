//! Checking stored statements and logs, offline.
//!
//! Facts: published requirements, sections 4.3 (files, what OpenSSL cannot check), 4.4 (coverage, differing digests, `uncovered.txt`),
//! 5.5 (what a statement claims). The files are as hostile as any input: sizes are bounded and nothing is taken from a name but
//! which files belong together.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;
use wb_attest::{
    KEY_COPY_NOTICE,
    key::key_id,
    log::{CHUNK, Entry},
    proof::Nodes as _,
    sha256,
    statement::{Extent, Kind},
    verify::{Image, LogVerdict, Signed, Statement, Tree},
};
use wb_policy::tables::POLICY_DIGEST;

use super::{
    coverage::{self, CoverageJson, Uncovered},
    record::{Folder, Journal, read_log},
    session::{log_finding, session_name, verdict_word},
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

/// A statement with its session's log.
struct Verified {
    index: usize,
    statement: Statement,
}

/// Checks one statement or all of a folder.
///
/// # Errors
/// When nothing can be read; what is wrong with a statement is in the outcome.
pub fn verify(path: &Path, key: &[u8; 32]) -> Result<Outcome> {
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
    twins(&right, &mut report);
    let logs = check_sessions(&folder, &right, &mut report)?;
    let (image, uncovered) = coverage::of(&right_statements(&right), &logs, &mut report.failures);
    report.coverage = image.as_ref().map(|image| coverage::json(image, &uncovered));
    let all_right = report.statements.iter().all(|one| one.verified && one.failures.is_empty());
    report.statements.sort_by(|one, other| place(one).cmp(&place(other)));
    report.verified = all_right && report.failures.is_empty() && !report.statements.is_empty();
    Ok(Outcome { report, uncovered, image })
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
    let file = File::open(path).map_err(said)?;
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
    checked.failures.extend(statement.contradictions().iter().map(ToString::to_string));
    checked.failures.extend(rendering_fault(&path.with_extension("json"), &statement));
    if statement.firmware.policy != POLICY_DIGEST {
        checked.findings.push("the policy is not the one of this release of daleel".to_owned());
    }
    (checked, Some(statement))
}

fn read_signed(path: &Path, key: &[u8; 32], digest: &mut String) -> Result<Statement, String> {
    let cbor = read(path)?;
    *digest = hex(&sha256(&[&cbor]));
    let (tbs, sig) = (read(&path.with_extension("tbs"))?, read(&path.with_extension("sig"))?);
    let signed = Signed::from_files(&cbor, &tbs, &sig).map_err(|reject| reject.to_string())?;
    signed.verify(key).cloned().map_err(|reject| reject.to_string())
}

/// Whether the rendering says what the statement does.
fn rendering_fault(path: &Path, statement: &Statement) -> Option<String> {
    let name = file_name(path);
    let held = match read(path) {
        Ok(held) => held,
        Err(why) => return Some(why),
    };
    let rendered: Option<serde_json::Value> = serde_json::from_slice(&held).ok();
    let is_same = rendered.as_ref().and_then(|held| held.get("statement"))
        == serde_json::to_value(statement).ok().as_ref();
    (!is_same).then(|| format!("{name} does not say what the statement says"))
}

/// The same place in the same session twice: a copy, or two statements where the bridge makes one.
fn twins(right: &[Verified], report: &mut VerifyJson) {
    for pair in right.windows(2) {
        let [one, other] = pair else { continue };
        let place = |of: &Verified| {
            let session = &of.statement.session;
            (of.statement.boot_counter, session.number, session.checkpoint)
        };
        if place(one) != place(other) {
            continue;
        }
        let file = |of: &Verified| {
            report.statements.get(of.index).map(|found| found.file.clone()).unwrap_or_default()
        };
        let text =
            format!("{} and {} are for the same place in one session", file(one), file(other));
        if one.statement == other.statement {
            report.findings.push(format!("{text}: copies"));
        } else {
            report.failures.push(format!("{text}, and they differ"));
        }
    }
}

/// The proven entries of each session, in the order of the sessions.
pub type SessionLogs = Vec<(u32, Vec<Entry>)>;

/// Nonces and logs, session by session.
fn check_sessions(
    folder: &Path,
    right: &[Verified],
    report: &mut VerifyJson,
) -> Result<SessionLogs> {
    let mut sessions: BTreeMap<(u32, u32), Vec<&Verified>> = BTreeMap::new();
    for one in right {
        let place = (one.statement.boot_counter, one.statement.session.number);
        sessions.entry(place).or_default().push(one);
    }
    let mut logs = Vec::new();
    for (number, ((boot, session), statements)) in sessions.into_iter().enumerate() {
        let name = session_name(boot, session);
        check_nonces(folder, &name, &statements, report);
        let log = folder.join(format!("{name}.log"));
        let mut entries = Vec::new();
        if log.exists() {
            if let Err(error) = read_log(&log, |entry| entries.push(entry)) {
                report.failures.push(format!("{error:#}"));
            }
        } else if statements.iter().any(|one| one.statement.log.entries > 0) {
            report
                .findings
                .push(format!("{name}.log is not here: nothing is covered by this session"));
        }
        let tree = contiguous(&entries);
        let mut proven = 0;
        for one in &statements {
            let verdict = log_verdict(&tree, &one.statement);
            if verdict == LogVerdict::Agrees {
                proven = proven.max(one.statement.log.entries);
            }
            let Some(checked) = report.statements.get_mut(one.index) else { continue };
            if !log.exists() {
                continue;
            }
            checked.log = Some(verdict_word(verdict));
            let finding = log_finding(&one.statement, verdict);
            if is_explained(&one.statement, verdict) {
                checked.findings.extend(finding);
            } else {
                checked.failures.extend(finding);
            }
        }
        entries.truncate(usize::try_from(proven).unwrap_or(usize::MAX));
        logs.push((u32::try_from(number).unwrap_or(u32::MAX), entries));
    }
    Ok(logs)
}

/// The log over the entries as far as they follow each other from the first on. Its roots serve all statements of the session.
fn contiguous(entries: &[Entry]) -> Tree {
    let mut tree = Tree::default();
    for entry in entries {
        if tree.append(entry).is_err() {
            break;
        }
    }
    tree
}

/// What the kept entries say of a statement's root.
fn log_verdict(tree: &Tree, statement: &Statement) -> LogVerdict {
    match tree.root_at(statement.log.entries) {
        Some(root) if root == statement.log.root => LogVerdict::Agrees,
        Some(_) => LogVerdict::Differs,
        None => LogVerdict::Missing { have: tree.size() },
    }
}

/// Whether what the log lacks is what the bridge says that it dropped. A bridge names so many ranges and no more.
fn is_explained(statement: &Statement, verdict: LogVerdict) -> bool {
    let ranges = &statement.log.lost_ranges;
    match verdict {
        LogVerdict::Agrees => true,
        LogVerdict::Differs => false,
        LogVerdict::Missing { have } => {
            let is_in = |range: &Extent| {
                have.checked_sub(range.lba).is_some_and(|into| into < range.blocks)
            };
            statement.log.lost > 0 && (ranges.first.iter().any(is_in) || !ranges.is_whole())
        }
    }
}

fn check_nonces(folder: &Path, name: &str, statements: &[&Verified], report: &mut VerifyJson) {
    let starts: Vec<_> = statements.iter().map(|one| one.statement.start_nonce).collect();
    if starts.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
        report
            .failures
            .push(format!("{name}: statements of one session name different start nonces"));
    }
    let held = Folder::open(folder).and_then(|folder| Journal::load(&folder, name));
    let Ok(journal) = held else {
        report.findings.push(format!(
            "{name}: no journal here, so the nonces have to be compared with what they were made from"
        ));
        return;
    };
    for one in statements {
        let Some(checked) = report.statements.get_mut(one.index) else { continue };
        let stated = (one.statement.start_nonce, one.statement.end_nonce);
        let stem = checked.file.strip_suffix(".cbor").unwrap_or(&checked.file);
        let is_ours = journal.nonces(stem) == Some(stated);
        checked.nonces = Some(is_ours);
        if !is_ours {
            let text = "its nonces are not those that were sent: a statement of another time or for another name";
            checked.failures.push(text.to_owned());
        }
    }
}

/// How many bytes of a medium a chunk has in front of it.
pub fn offset_of(chunk: u64) -> u64 {
    chunk.saturating_mul(CHUNK.into())
}
