//! A session with a bridge, from START to the stored statements.
//!
//! Facts: published requirements, sections 4.3 (nonces, checkpoints, files), 4.4 (streaming), 5.3 (transport). A statement is verified
//! before it is stored: form, signature, key, both nonces, session, digests of firmware and policy, the root over the streamed
//! entries, and the sums of its figures. What is no statement of this session is kept apart under another name and never takes the
//! place of one; a statement of this session whose figures do not fit is stored, and what does not fit is named.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;
use wb_attest::{
    Digest, KEY_COPY_NOTICE,
    interface::{Info, flag},
    key::key_id,
    log::{CHUNK, Entry, Frontier},
    sha256,
    statement::Kind,
    verify::{Expected, Finding, LogVerdict, Signed, Statement},
};

pub use wb_attest::interface::Ending;

use super::{
    judge,
    link::{Link, LinkError},
    port::Port,
    record::{Folder, JOURNAL_SCHEMA, Journal, KEY_FILE, Line, LogFile, now, read_key},
};
use crate::{
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// Log entries after which a checkpoint is due: 64 GiB.
pub const CHECKPOINT_ENTRIES: u64 = (64 << 30) / CHUNK as u64;
/// Answers taken in one go, so that a reader faster than the link does not keep everything else waiting.
const ANSWERS_MAX: usize = 4096;
/// How often the rest of a log is gone for after its statement: more than the largest ring, and an end to a bridge that makes none.
const DRAINS_MAX: u32 = 64;
/// Pause when the bridge has no entry for us.
const IDLE: Duration = Duration::from_millis(250);

/// A request that failed, as a failure with its exit code.
pub fn failure(error: LinkError) -> anyhow::Error {
    let exit = if error.is_gone() { Exit::SourceLost } else { Exit::Input };
    let mut failure = Failure::new(exit, error.to_string());
    if let LinkError::Answer { .. } = error {
        failure = failure.hint("this daleel speaks layout 1 of the bridge's interface");
    }
    failure.into()
}

/// What the bridge had shown before a statement was asked for: a statement that tells of less is contradicted by its own bridge. Nothing is
/// known of what an earlier run asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    refused: u64,
    entries: u64,
}

/// The entries as they come in, and the root over those without a gap.
#[derive(Debug, Default)]
struct Chain {
    /// The log as far as the last statement whose root it made.
    proven: Frontier,
    /// What follows it without a gap.
    pending: Vec<Entry>,
    /// Number of the next entry to ask for.
    next: u64,
}

impl Chain {
    fn add(&mut self, entry: &Entry) {
        let length = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        if self.proven.size().checked_add(length) == Some(entry.seq) {
            self.pending.push(*entry);
        }
        self.next = self.next.max(entry.seq.saturating_add(1));
    }

    /// Whether the entries make the root of a statement. Where they do, what came before is settled.
    fn check(&mut self, size: u64, root: &Digest) -> LogVerdict {
        let mut log = self.proven.clone();
        let mut taken = 0_usize;
        for entry in &self.pending {
            if log.size() >= size || log.append(entry).is_err() {
                break;
            }
            taken = taken.saturating_add(1);
        }
        if log.size() < size {
            return LogVerdict::Missing { have: log.size() };
        }
        if log.size() > size || log.root() != *root {
            return LogVerdict::Differs;
        }
        self.pending.drain(..taken);
        self.proven = log;
        LogVerdict::Agrees
    }
}

/// A statement that was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Name of its files, without the endings.
    pub name: String,
    /// `checkpoint` or `final`.
    pub kind: Kind,
    /// SHA-256 of the `.cbor`.
    pub sha256: String,
    /// Log entries it covers.
    pub entries: u64,
    /// Root over them.
    pub root: String,
    /// What the streamed entries say of the root: `agrees`, `missing` or `differs`.
    pub log: &'static str,
    /// Refused commands that would have changed the drive, since attach.
    pub refused_modifying: u64,
    /// What does not fit, and what is missing.
    pub findings: Vec<String>,
    /// Something is wrong, not only missing.
    #[serde(skip)]
    pub is_wrong: bool,
}

impl Stored {
    /// How the program ends with this statement.
    pub fn exit(&self) -> Exit {
        match (self.is_wrong, self.findings.is_empty()) {
            (true, _) => Exit::Verification,
            (false, false) => Exit::Findings,
            (false, true) => Exit::Success,
        }
    }
}

/// `NAME.json`: a statement to read.
#[derive(Serialize)]
pub struct Rendering<'a> {
    schema: &'static str,
    notice: &'static str,
    name: &'a str,
    sha256: String,
    findings: &'a [String],
    log: &'a str,
    statement: &'a Statement,
}

/// A session and the statements that were just stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttestJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// The folder.
    pub folder: String,
    /// Name of the session's files.
    pub session: String,
    /// Log entries fetched in this session.
    pub entries: u64,
    /// The statements that this run stored.
    pub statements: Vec<Stored>,
    /// What every report says.
    pub notice: &'static str,
}

/// What a kept session has to tell while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// So many log entries were fetched so far.
    Entries(u64),
    /// The bridge has refused so many modifying commands since attach: more than before.
    Refused(u32),
    /// A statement was stored.
    Stored(&'a Stored),
}

/// When checkpoints are due.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After so much time.
    pub every: Duration,
    /// After so many entries, whichever comes first.
    pub entries: u64,
}

/// An open session.
pub struct Session<'l, P> {
    link: &'l mut Link<P>,
    folder: Folder,
    journal: Journal,
    log: LogFile,
    chain: Chain,
    key: [u8; 32],
    /// What the bridge reported of itself when the session began.
    firmware: Digest,
    policy: Digest,
    /// Refused modifying commands when the bridge was last asked.
    refused: u32,
}

/// Name of a session's files: power-ups and session number tell it from all others of this bridge.
pub fn session_name(boot_counter: u32, session: u32) -> String {
    format!("boot{boot_counter:05}-session{session:04}")
}

impl<'l, P: Port> Session<'l, P> {
    /// Opens a session and its journal. An open session of somebody else is ended only when `supersede` says so.
    ///
    /// # Errors
    /// Without a key or a drive, when a session is open, or when the folder is of another bridge.
    pub fn start(
        link: &'l mut Link<P>,
        path: &Path,
        nonce: Digest,
        supersede: bool,
    ) -> Result<Self> {
        let info = link.info().map_err(failure)?;
        check_ready(&info, supersede)?;
        let folder = Folder::open(path)?;
        // Before anything is written: the folder may be of another bridge whose session is open.
        folder.keep_key(&info.public_key)?;
        if let Some(mut journal) = folder.unfinished()? {
            let is_open = info.has(flag::SESSION)
                && journal.session() == Some((info.boot_counter, info.session));
            if is_open && !supersede {
                let text = format!("{} holds the open session {}", path.display(), journal.name());
                let hint = "take its statement with `attest finish`";
                return Err(Failure::new(Exit::Input, text).hint(hint).into());
            }
            let why = if is_open {
                "given up: the next one was started in its place"
            } else {
                "it was not there any more when the next one was started"
            };
            journal.add(Line::Broken { when: now(), why: why.to_owned() })?;
        }
        let number = info.session.saturating_add(1);
        let name = session_name(info.boot_counter, number);
        let start = start_line(&info, number, &nonce);
        let mut journal = Journal::create(&folder, &name, start)?;
        if let Err(error) = link.start(&nonce) {
            journal.add(Line::Broken { when: now(), why: format!("not opened: {error}") })?;
            return Err(failure(error));
        }
        let opened = link.info().map_err(failure)?;
        if !opened.has(flag::SESSION) || opened.session != number {
            journal.add(Line::Broken { when: now(), why: "not opened as asked".to_owned() })?;
            return Err(lost("the bridge did not open the session", None));
        }
        Self::with(link, folder, journal, &info)
    }

    /// Takes up the session that is open in a folder.
    ///
    /// # Errors
    /// When there is none, or it is gone from the bridge ([`Exit::SourceLost`]; the journal says so from then on).
    pub fn resume(link: &'l mut Link<P>, path: &Path) -> Result<Self> {
        let nothing = || {
            let text = format!("{} holds no open session", path.display());
            Failure::new(Exit::Input, text).hint("open one with `daleel bridge attest start`")
        };
        if !path.is_dir() {
            return Err(nothing().into());
        }
        let folder = Folder::open(path)?;
        let mut journal = folder.unfinished()?.ok_or_else(nothing)?;
        let info = link.info().map_err(failure)?;
        let key = read_key(&folder.file(KEY_FILE))?;
        if key != info.public_key {
            let text = format!("{} is of another bridge", path.display());
            return Err(Failure::new(Exit::Input, text)
                .hint("give the right one with --bridge")
                .into());
        }
        let is_same = journal.session() == Some((info.boot_counter, info.session));
        let is_waiting = journal.pending().is_some() && info.has(flag::STATEMENT);
        if !is_same || !(info.has(flag::SESSION) || is_waiting) {
            let why =
                "power-off, a detached drive, an exchanged medium or a newer session ended it";
            journal.add(Line::Broken { when: now(), why: why.to_owned() })?;
            return Err(lost("the session is gone from the bridge", Some(&journal)));
        }
        Self::with(link, folder, journal, &info)
    }

    fn with(link: &'l mut Link<P>, folder: Folder, journal: Journal, info: &Info) -> Result<Self> {
        let mut chain = Chain::default();
        let log = LogFile::open(&folder.file(&format!("{}.log", journal.name())), |entry| {
            chain.add(&entry);
        })?;
        let digest = |of_info: Digest, key: &str| match journal.lines().first() {
            Some(Line::Start { firmware, policy, .. }) => {
                let text = if key == "firmware" { firmware } else { policy };
                super::record::parse_digest(text).unwrap_or(of_info)
            }
            _ => of_info,
        };
        let (firmware, policy) = (digest(info.firmware, "firmware"), digest(info.policy, "policy"));
        let key = info.public_key;
        let refused = info.refused;
        Ok(Self { link, folder, journal, log, chain, key, firmware, policy, refused })
    }

    /// Name of the session's files.
    pub fn name(&self) -> &str {
        self.journal.name()
    }

    /// The session with statements that were stored.
    pub fn report(&self, statements: Vec<Stored>) -> AttestJson {
        AttestJson {
            schema: "daleel.bridge-attest/1",
            folder: self.folder.path().display().to_string(),
            session: self.name().to_owned(),
            entries: self.chain.next,
            statements,
            notice: KEY_COPY_NOTICE,
        }
    }

    /// Fetches and keeps the entries that the bridge holds; how many numbers further that is, with those that it dropped.
    ///
    /// # Errors
    /// When the bridge is gone, answers wrongly, or the log cannot be written.
    pub fn drain(&mut self) -> Result<u64> {
        let from = self.chain.next;
        let info = self.link.info().map_err(failure)?;
        self.refused = info.refused;
        for _ in 0..ANSWERS_MAX {
            let batch = self.link.leaves(self.chain.next, info.answer).map_err(failure)?;
            // What lies before the first it still holds was dropped.
            self.chain.next = self.chain.next.max(batch.first);
            if batch.entries.is_empty() {
                break;
            }
            self.log.add(&batch.entries)?;
            batch.entries.iter().for_each(|entry| self.chain.add(entry));
        }
        Ok(self.chain.next.saturating_sub(from))
    }

    /// Asks for a statement, verifies and stores it.
    ///
    /// # Errors
    /// [`Exit::SourceLost`] when the session is gone, [`Exit::Verification`] when what comes is no statement of this session.
    pub fn statement(&mut self, ending: Ending, nonce: Digest) -> Result<Stored> {
        self.journal.check_fresh(&nonce)?;
        self.drain()?;
        let shown = Shown { refused: self.refused.into(), entries: self.chain.next };
        let last = ending == Ending::Final;
        let name = match ending {
            Ending::Final => self.journal.name().to_owned(),
            Ending::Checkpoint => {
                format!("{}.checkpoint{:04}", self.journal.name(), self.journal.asked())
            }
        };
        let line = Line::Finish { when: now(), name: name.clone(), last, nonce: hex(&nonce) };
        self.journal.add(line)?;
        if let Err(error) = self.link.finish(ending, &nonce) {
            if error.is_refused() {
                self.journal.add(Line::Refused { when: now(), name })?;
                return Err(self.gone_or(error));
            }
            return Err(failure(error));
        }
        self.fetch(&name, last, nonce, shown)
    }

    /// The statement that an earlier run asked for and did not get to store; `None` when there is none. Whether that run's FINISH arrived
    /// is not known: when what is ready does not carry its nonce, it is asked for again.
    ///
    /// # Errors
    /// As [`Self::statement`].
    pub fn waiting(&mut self) -> Result<Option<Stored>> {
        let Some((name, last, nonce)) = self.journal.pending() else { return Ok(None) };
        let info = self.link.info().map_err(failure)?;
        if info.has(flag::STATEMENT) {
            let bytes = self.link.statement().map_err(failure)?;
            if let Ok(signed) = self.check(&bytes, last, nonce) {
                return self.store(&name, &signed, Shown::default()).map(Some);
            }
        }
        if info.has(flag::SESSION) {
            let ending = if last { Ending::Final } else { Ending::Checkpoint };
            match self.link.finish(ending, &nonce) {
                // Refused while the statement is being made.
                Err(error) if !error.is_refused() => return Err(failure(error)),
                _ => {}
            }
        }
        self.fetch(&name, last, nonce, Shown::default()).map(Some)
    }

    /// Why FINISH was refused: the session is gone, or the bridge is busy.
    fn gone_or(&mut self, error: LinkError) -> anyhow::Error {
        match self.link.info() {
            Ok(info) if !info.has(flag::SESSION) => {
                let why = "the bridge ended it: drive detached or medium exchanged";
                // That it is gone is the failure to report.
                let _ = self.journal.add(Line::Broken { when: now(), why: why.to_owned() });
                lost(why, Some(&self.journal))
            }
            _ => failure(error),
        }
    }

    fn fetch(&mut self, name: &str, last: bool, nonce: Digest, shown: Shown) -> Result<Stored> {
        let bytes = self.link.statement().map_err(failure)?;
        match self.check(&bytes, last, nonce) {
            Ok(signed) => self.store(name, &signed, shown),
            Err(why) => {
                self.folder.keep(&format!("{name}.rejected"), &bytes)?;
                let line = Line::Rejected { when: now(), name: name.to_owned(), why: why.clone() };
                self.journal.add(line)?;
                let text = format!("what the bridge gave is no statement of this session: {why}");
                let hint = format!("it is kept as {name}.rejected");
                Err(Failure::new(Exit::Verification, text).hint(hint).into())
            }
        }
    }

    /// Form, key, signature, nonces, session, digests: whether it is the statement that was asked for.
    fn check(&self, bytes: &[u8], last: bool, nonce: Digest) -> Result<Signed, String> {
        let signed = Signed::parse(bytes).map_err(|reject| reject.to_string())?;
        let statement = signed.verify(&self.key).map_err(|reject| reject.to_string())?;
        let start_nonce =
            self.journal.start_nonce().ok_or("the journal has no start nonce to compare with")?;
        let expected = Expected {
            start_nonce,
            end_nonce: nonce,
            firmware: Some(self.firmware),
            policy: Some(self.policy),
        };
        let kind = if last { Kind::Final } else { Kind::Checkpoint };
        if statement.session.kind != kind {
            return Err("it is of the other kind".to_owned());
        }
        if self.journal.session() != Some((statement.boot_counter, statement.session.number)) {
            return Err("it is of another session".to_owned());
        }
        let fatal = statement.findings(&expected).into_iter().find(|finding| {
            use Finding::{EndNonce, Firmware, Policy, StartNonce};
            matches!(finding, StartNonce | EndNonce | Firmware | Policy)
        });
        fatal.map_or(Ok(signed), |finding| Err(finding.to_string()))
    }

    /// What does not fit: in itself, to what the bridge showed before, and to its statement before this one.
    fn contradictions(&self, statement: &Statement, shown: Shown) -> Vec<String> {
        let mut wrong = judge::failures(statement);
        if statement.refusals.modifying < shown.refused {
            wrong.push(format!(
                "it tells of {} refused modifying commands; the bridge itself had shown {}",
                statement.refusals.modifying, shown.refused
            ));
        }
        if statement.log.entries < shown.entries {
            wrong.push(format!(
                "it covers {} log entries; the bridge itself had handed out {}",
                statement.log.entries, shown.entries
            ));
        }
        wrong.extend(self.journal.medium_fault(statement));
        if let Some(before) = self.before() {
            let text = |what| format!("against the statement before it: {what}");
            wrong.extend(judge::succession(&before, statement).into_iter().map(text));
        }
        wrong
    }

    /// The statement that was stored last, where it is still what it was.
    fn before(&self) -> Option<Statement> {
        let name = self.journal.last_stored()?;
        let bytes = std::fs::read(self.folder.file(&format!("{name}.cbor"))).ok()?;
        Signed::parse(&bytes).ok()?.verify(&self.key).ok().cloned()
    }

    fn store(&mut self, name: &str, signed: &Signed, shown: Shown) -> Result<Stored> {
        let statement = signed.unverified();
        let wrong = self.contradictions(statement, shown);
        // After a final statement a bridge may refuse the last entries; the verdict on the log says what that costs.
        for _ in 0..DRAINS_MAX {
            if self.chain.next >= statement.log.entries || !matches!(self.drain(), Ok(1..)) {
                break;
            }
        }
        let verdict = self.chain.check(statement.log.entries, &statement.log.root);
        let is_wrong = !wrong.is_empty() || verdict == LogVerdict::Differs;
        let mut findings = wrong;
        findings.extend(log_finding(statement, verdict));
        findings.extend(judge::findings(statement));
        let stored = Stored {
            name: name.to_owned(),
            kind: statement.session.kind,
            sha256: hex(&sha256(&[signed.cbor()])),
            entries: statement.log.entries,
            root: hex(&statement.log.root),
            log: verdict_word(verdict),
            refused_modifying: statement.refusals.modifying,
            is_wrong,
            findings,
        };
        self.keep_files(&stored, signed)?;
        self.journal.add(Line::Statement {
            when: now(),
            name: stored.name.clone(),
            sha256: stored.sha256.clone(),
            entries: stored.entries,
        })?;
        Ok(stored)
    }

    /// The four files. Those that an interrupted run wrote already are the same bytes, or the statement is another one.
    fn keep_files(&self, stored: &Stored, signed: &Signed) -> Result<()> {
        let rendering = Rendering {
            schema: "daleel.bridge-statement/1",
            notice: KEY_COPY_NOTICE,
            name: &stored.name,
            sha256: stored.sha256.clone(),
            findings: &stored.findings,
            log: stored.log,
            statement: signed.unverified(),
        };
        let mut json = serde_json::to_vec_pretty(&rendering)?;
        json.push(b'\n');
        let tbs = signed.tbs();
        let files: [(&str, &[u8]); 4] =
            [("cbor", signed.cbor()), ("tbs", &tbs), ("sig", signed.signature()), ("json", &json)];
        for (ending, bytes) in files {
            self.folder.keep(&format!("{}.{ending}", stored.name), bytes)?;
        }
        Ok(())
    }

    /// Keeps fetching entries and takes a checkpoint whenever one is due, until `stop`; then the final statement.
    /// `nonce` makes end nonces, `report` hears what happens.
    ///
    /// # Errors
    /// As [`Self::statement`]; what was stored before stays.
    pub fn run(
        &mut self,
        pace: Pace,
        nonce: &mut dyn FnMut() -> Result<Digest>,
        stop: &mut dyn FnMut() -> bool,
        report: &mut dyn FnMut(Seen<'_>) -> Result<()>,
    ) -> Result<()> {
        self.keep(pace, nonce, stop, report)?;
        let stored = self.statement(Ending::Final, nonce()?)?;
        report(Seen::Stored(&stored))
    }

    /// The same without the final statement: the session stays open.
    ///
    /// # Errors
    /// As [`Self::statement`]; what was stored before stays.
    pub fn keep(
        &mut self,
        pace: Pace,
        nonce: &mut dyn FnMut() -> Result<Digest>,
        stop: &mut dyn FnMut() -> bool,
        report: &mut dyn FnMut(Seen<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut last = Instant::now();
        let mut covered = self.journal.covered();
        let mut refused = self.refused;
        while !stop() {
            let is_new = self.drain().map_err(|error| self.broken(error))? > 0;
            report(Seen::Entries(self.chain.next))?;
            if self.refused > refused {
                report(Seen::Refused(self.refused))?;
            }
            refused = self.refused;
            let grown = self.chain.next.saturating_sub(covered);
            if grown >= pace.entries || last.elapsed() >= pace.every {
                let stored = self.statement(Ending::Checkpoint, nonce()?);
                let stored = stored.map_err(|error| self.broken(error))?;
                report(Seen::Stored(&stored))?;
                (last, covered) = (Instant::now(), self.chain.next);
            }
            if !is_new {
                self.link.port_mut().pause(IDLE);
                self.check_open()?;
            }
        }
        Ok(())
    }

    fn check_open(&mut self) -> Result<()> {
        let info = self.link.info().map_err(failure).map_err(|error| self.broken(error))?;
        let is_same = self.journal.session() == Some((info.boot_counter, info.session));
        if is_same && info.has(flag::SESSION) {
            return Ok(());
        }
        let why = "drive detached, medium exchanged, or another session";
        self.journal.add(Line::Broken { when: now(), why: why.to_owned() })?;
        Err(lost(why, Some(&self.journal)))
    }

    /// Notes in the journal that the bridge went away, where that is the error.
    fn broken(&mut self, error: anyhow::Error) -> anyhow::Error {
        let (exit, _) = crate::exit::classify(&error);
        if exit != Exit::SourceLost || self.journal.is_ended() {
            return error;
        }
        let why = format!("{error:#}");
        match self.journal.add(Line::Broken { when: now(), why: why.clone() }) {
            Ok(()) => lost(&why, Some(&self.journal)),
            Err(_) => error,
        }
    }
}

/// The session is over without a final statement.
fn lost(why: &str, journal: Option<&Journal>) -> anyhow::Error {
    let failure = Failure::new(Exit::SourceLost, format!("the session broke off: {why}"));
    let Some(journal) = journal else { return failure.into() };
    let held = journal.covered();
    failure
        .hint(format!(
            "its last checkpoint is its statement and covers {held} log entries; what was read after it has no bridge digest"
        ))
        .into()
}

/// Whether a bridge can open a session: key, drive, and no session of somebody else, unless `supersede` ends that.
///
/// # Errors
/// [`Exit::Input`] when it cannot.
pub fn check_ready(info: &Info, supersede: bool) -> Result<()> {
    let refused = |text: &str, hint: &str| -> Result<()> {
        Err(Failure::new(Exit::Input, text).hint(hint).into())
    };
    if !info.has(flag::KEY) {
        return refused("the bridge has no key", "make one with `daleel bridge provision`");
    }
    if !info.has(flag::DRIVE) {
        return refused("no drive is attached to the bridge", "look with `daleel bridge info`");
    }
    if info.has(flag::SESSION) && !supersede {
        return refused(
            "a session is open on this bridge",
            "take its statement with `attest finish`, or give it up with --supersede: its log is gone then",
        );
    }
    Ok(())
}

fn start_line(info: &Info, session: u32, nonce: &Digest) -> Line {
    Line::Start {
        schema: JOURNAL_SCHEMA.to_owned(),
        when: now(),
        boot_counter: info.boot_counter,
        session,
        nonce: hex(nonce),
        key_id: hex(&key_id(&info.public_key)),
        firmware: hex(&info.firmware),
        policy: hex(&info.policy),
        blocks: info.capacity,
        block_size: info.block_size,
    }
}

/// The verdict on a log as one word.
pub const fn verdict_word(verdict: LogVerdict) -> &'static str {
    match verdict {
        LogVerdict::Agrees => "agrees",
        LogVerdict::Missing { .. } => "missing",
        LogVerdict::Differs => "differs",
    }
}

/// What is to be said of a statement's log.
pub fn log_finding(statement: &Statement, verdict: LogVerdict) -> Option<String> {
    let entries = statement.log.entries;
    match verdict {
        LogVerdict::Agrees => None,
        LogVerdict::Missing { have } => Some(format!(
            "of {entries} log entries only the first {have} were fetched without a gap (the bridge dropped {}): what follows \
             the last statement whose root agrees counts as not covered",
            statement.log.lost
        )),
        LogVerdict::Differs => {
            Some(format!("the {entries} fetched log entries do not make the signed root"))
        }
    }
}

/// The commands that check a statement with OpenSSL and coreutils alone (published requirements, section 4.3).
pub fn openssl_commands(name: &str, root: &str) -> [String; 4] {
    [
        format!(
            "openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in {name}.tbs -sigfile {name}.sig"
        ),
        "openssl pkey -pubin -in key.pem -outform DER | tail -c 32 | sha256sum".to_owned(),
        format!("tail -c 64 {name}.cbor | cmp - {name}.sig"),
        format!("od -An -v -tx1 {name}.tbs | tr -d ' \\n' | grep -c {root}"),
    ]
}
