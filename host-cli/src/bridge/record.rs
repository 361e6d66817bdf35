//! The folder of a bridge's statements: new files only, and a journal for each session.
//!
//! Facts: published requirements, sections 4.3 and 4.4 (which files), 5.3 (a statement stays in the bridge until the next START). The
//! journal's lines are written and synced before what they announce is done, so a run that broke off anywhere goes on in another
//! process.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use wb_attest::{
    Digest,
    log::Entry,
    verify::{Statement, pem, public_key_from_pem},
};

use crate::{
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// Name and version of the journal's lines.
pub const JOURNAL_SCHEMA: &str = "daleel.bridge-session/1";
/// What a journal's file name ends with.
pub const JOURNAL_ENDING: &str = ".session.jsonl";
/// File name of the public key.
pub const KEY_FILE: &str = "key.pem";
/// Longest line of a log: two numbers of 20 digits, one of 10, a digest, three spaces.
const LOG_LINE_MAX: u64 = 128;
/// Longest line of a journal, and longest key file.
const TEXT_MAX: u64 = 1 << 16;
/// Most lines of a journal: two for each checkpoint, one every ten seconds for a month.
const LINES_MAX: usize = 1 << 20;
/// Most entries of a session: 64 TiB.
pub const ENTRIES_MAX: u64 = 1 << 26;

/// A line of a session's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Line {
    /// A session is about to be opened.
    Start {
        /// Name and version of these lines.
        schema: String,
        /// When, by this computer's clock, UTC.
        when: String,
        /// Power-ups of the bridge.
        boot_counter: u32,
        /// Number that the session will have.
        session: u32,
        /// Start nonce.
        nonce: String,
        /// SHA-256 of the public key.
        key_id: String,
        /// Digest that the firmware reports.
        firmware: String,
        /// Policy digest that it reports.
        policy: String,
        /// Capacity in blocks.
        blocks: u64,
        /// Bytes of a block.
        block_size: u32,
    },
    /// A statement is about to be asked for.
    Finish {
        /// When.
        when: String,
        /// Name of its files.
        name: String,
        /// It ends the session.
        last: bool,
        /// End nonce.
        nonce: String,
    },
    /// It was fetched, verified and stored.
    Statement {
        /// When.
        when: String,
        /// Name of its files.
        name: String,
        /// SHA-256 of the `.cbor`.
        sha256: String,
        /// Log entries it covers.
        entries: u64,
    },
    /// The bridge refused to make it.
    Refused {
        /// When.
        when: String,
        /// Name its files would have had.
        name: String,
    },
    /// What was fetched is no statement of this session; it is kept apart.
    Rejected {
        /// When.
        when: String,
        /// Name its files would have had.
        name: String,
        /// Why.
        why: String,
    },
    /// The session broke off: its last checkpoint is its statement.
    Broken {
        /// When.
        when: String,
        /// Why.
        why: String,
    },
}

/// Now, in UTC, to the second.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// An existing folder, or a new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned() })
    }

    /// An existing folder that is only read.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new file, whole and synced or not at all.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_new(&self.file(name), bytes)
    }

    /// Writes a file that an interrupted run may have written already: the same bytes are left as they are.
    ///
    /// # Errors
    /// When it holds other bytes or cannot be written.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let is_there = fs::read(self.file(name)).is_ok_and(|held| held == bytes);
        if is_there { Ok(()) } else { self.write(name, bytes) }
    }

    /// Whether there is room for files of `bytes` bytes and the right to write them.
    ///
    /// # Errors
    /// When there is not.
    pub fn check_room(&self, bytes: usize) -> Result<()> {
        let probe = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(&vec![0; bytes])?;
            file.as_file().sync_all()
        };
        probe().with_context(|| format!("{} cannot be written to", self.path.display()))
    }

    /// Stores the public key, or checks that the folder is of this key already.
    ///
    /// # Errors
    /// When it is of another key.
    pub fn keep_key(&self, public_key: &[u8; 32]) -> Result<()> {
        let path = self.file(KEY_FILE);
        match read_key(&path) {
            Ok(known) if known == *public_key => Ok(()),
            Ok(_) => {
                let text = format!("{} is the key of another bridge", path.display());
                Err(Failure::new(Exit::Input, text).hint("one folder for each bridge").into())
            }
            Err(_) if !path.exists() => self.write(KEY_FILE, pem(public_key).as_bytes()),
            Err(error) => Err(error),
        }
    }

    /// Names of the sessions, in ascending order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sessions(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).with_context(|| self.path.display().to_string())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(JOURNAL_ENDING).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The journal of a session that has not ended, if there is one.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn unfinished(&self) -> Result<Option<Journal>> {
        for name in self.sessions()?.into_iter().rev() {
            let journal = Journal::load(self, &name)?;
            if !journal.is_ended() {
                return Ok(Some(journal));
            }
        }
        Ok(None)
    }
}

/// Opens a file for reading; anything else of that name, such as a pipe that would never end, is refused.
///
/// # Errors
/// When it is no file or cannot be opened.
pub fn open_file(path: &Path) -> std::io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(std::io::Error::new(ErrorKind::InvalidInput, "not a file"))
    }
}

/// Reads a public key.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn read_key(path: &Path) -> Result<[u8; 32]> {
    let mut bytes = Vec::new();
    let file = open_file(path).with_context(|| path.display().to_string())?;
    file.take(TEXT_MAX).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    public_key_from_pem(&text)
        .map_err(|error| Failure::new(Exit::Input, format!("{}: {error}", path.display())).into())
}

/// Writes a new file, whole and synced; what a failure leaves is removed.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let text = format!("{} exists already", path.display());
            anyhow::Error::new(Failure::new(Exit::Input, text).hint("nothing is overwritten"))
        }
        _ => anyhow::Error::new(error).context(path.display().to_string()),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(file);
        // The first error is the one that matters.
        let _ = fs::remove_file(path);
        return Err(anyhow::Error::new(error).context(path.display().to_string()));
    }
    sync_names(path);
    Ok(())
}

/// A new file outlives a power cut for sure only when its folder was synced too. Not every system and file system can do that.
fn sync_names(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
}

/// Adds bytes to a file and syncs them, or leaves it as it was: what comes next must not follow half a line.
fn append(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    let whole = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // The first error is the one that matters; what stays of the line is cut off when the file is opened again.
        let _ = file.set_len(whole);
    }
    written
}

/// The journal of a session.
#[derive(Debug)]
pub struct Journal {
    name: String,
    path: PathBuf,
    lines: Vec<Line>,
}

impl Journal {
    /// Begins the journal of a new session.
    ///
    /// # Errors
    /// When there is one of that name.
    pub fn create(folder: &Folder, name: &str, start: Line) -> Result<Self> {
        let path = folder.file(&format!("{name}{JOURNAL_ENDING}"));
        let mut text = serde_json::to_vec(&start)?;
        text.push(b'\n');
        write_new(&path, &text)?;
        Ok(Self { name: name.to_owned(), path, lines: vec![start] })
    }

    /// Takes up a journal to go on with it. A last line that was cut short was never acted on and is cut off.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(folder: &Folder, name: &str) -> Result<Self> {
        let (journal, whole, is_cut) = Self::parse(folder, name)?;
        if is_cut {
            OpenOptions::new().write(true).open(&journal.path)?.set_len(whole)?;
        }
        Ok(journal)
    }

    /// Reads a journal and changes nothing. A last line that was cut short is passed over.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(folder: &Folder, name: &str) -> Result<Self> {
        Self::parse(folder, name).map(|(journal, ..)| journal)
    }

    /// The journal, the length of its whole lines, and whether something follows them.
    fn parse(folder: &Folder, name: &str) -> Result<(Self, u64, bool)> {
        let path = folder.file(&format!("{name}{JOURNAL_ENDING}"));
        let damaged = |line: usize| {
            let text = format!(
                "{}, line {}: no line of a journal",
                path.display(),
                line.saturating_add(1)
            );
            anyhow::Error::new(Failure::new(Exit::Input, text))
        };
        let mut reader =
            BufReader::new(open_file(&path).with_context(|| path.display().to_string())?);
        let mut lines: Vec<Line> = Vec::new();
        let mut text = Vec::new();
        let mut whole = 0_u64;
        while reader.by_ref().take(TEXT_MAX).read_until(b'\n', &mut text)? > 0 {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            let Some(line) = text.strip_suffix(b"\n") else {
                if length >= TEXT_MAX {
                    return Err(damaged(lines.len()));
                }
                break;
            };
            let line = serde_json::from_slice(line).map_err(|_| damaged(lines.len()))?;
            whole = whole.saturating_add(length);
            lines.push(line);
            text.clear();
            if lines.len() > LINES_MAX {
                return Err(damaged(lines.len()));
            }
        }
        if !matches!(lines.first(), Some(Line::Start { .. })) {
            let text = format!("{} is no journal of a session", path.display());
            return Err(Failure::new(Exit::Input, text).into());
        }
        Ok((Self { name: name.to_owned(), path, lines }, whole, !text.is_empty()))
    }

    /// Adds a line and syncs it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, line: Line) -> Result<()> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        let said = || self.path.display().to_string();
        let mut file = OpenOptions::new().append(true).open(&self.path).with_context(said)?;
        append(&mut file, &text).with_context(said)?;
        self.lines.push(line);
        Ok(())
    }

    /// Name of the session.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The statement that was asked for and not stored yet: name, whether it is the last one, nonce.
    pub fn pending(&self) -> Option<(String, bool, Digest)> {
        match self.lines.last() {
            Some(Line::Finish { name, last, nonce, .. }) => {
                Some((name.clone(), *last, parse_digest(nonce)?))
            }
            _ => None,
        }
    }

    /// Whether the session is over: a final statement was stored or rejected, or it broke off.
    pub fn is_ended(&self) -> bool {
        let mut is_last = false;
        for line in &self.lines {
            match line {
                Line::Finish { last, .. } => is_last = *last,
                Line::Statement { .. } | Line::Rejected { .. } if is_last => return true,
                Line::Broken { .. } => return true,
                _ => {}
            }
        }
        false
    }

    /// Nonces of the statements by name: start and end.
    pub fn nonces(&self, statement: &str) -> Option<(Digest, Digest)> {
        let end = self.lines.iter().rev().find_map(|line| match line {
            Line::Finish { name, nonce, .. } if name == statement => parse_digest(nonce),
            _ => None,
        });
        Some((self.start_nonce()?, end?))
    }

    /// Start nonce.
    pub fn start_nonce(&self) -> Option<Digest> {
        match self.lines.first() {
            Some(Line::Start { nonce, .. }) => parse_digest(nonce),
            _ => None,
        }
    }

    /// Refuses a nonce that a statement of this session answers already: what was signed then would be taken for an answer now.
    ///
    /// # Errors
    /// When it was sent before and not refused by the bridge.
    pub fn check_fresh(&self, nonce: &Digest) -> Result<()> {
        let is_same = |text: &str| parse_digest(text) == Some(*nonce);
        let pairs = self.lines.iter().zip(self.lines.iter().skip(1).map(Some).chain([None]));
        let is_used = pairs.into_iter().any(|(line, next)| match line {
            Line::Start { nonce, .. } => is_same(nonce),
            Line::Finish { nonce, .. } => {
                is_same(nonce) && !matches!(next, Some(Line::Refused { .. }))
            }
            _ => false,
        });
        if !is_used {
            return Ok(());
        }
        let text = format!("this nonce was sent before in session {}", self.name);
        let hint = "a nonce proves nothing the second time; without --nonce a random one is made";
        Err(Failure::new(Exit::Input, text).hint(hint).into())
    }

    /// Whether a statement speaks of another medium than the bridge did when the session began.
    pub fn medium_fault(&self, statement: &Statement) -> Option<String> {
        let Some(Line::Start { blocks, block_size, .. }) = self.lines.first() else { return None };
        let drive = &statement.drive;
        ((drive.capacity, drive.block_size) != (*blocks, *block_size)).then(|| {
            format!(
                "it is of a medium of {} blocks of {} bytes; the session began with {blocks} of {block_size}",
                drive.capacity, drive.block_size
            )
        })
    }

    /// Power-ups and session number.
    pub fn session(&self) -> Option<(u32, u32)> {
        match self.lines.first() {
            Some(Line::Start { boot_counter, session, .. }) => Some((*boot_counter, *session)),
            _ => None,
        }
    }

    /// Statements asked for so far.
    pub fn asked(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line, Line::Finish { .. })).count()
    }

    /// Name of the last statement that was stored.
    pub fn last_stored(&self) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Statement { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Entries that the last stored statement covers.
    pub fn covered(&self) -> u64 {
        let last = self.lines.iter().rev().find_map(|line| match line {
            Line::Statement { entries, .. } => Some(*entries),
            _ => None,
        });
        last.unwrap_or(0)
    }
}

/// 32 bytes from 64 hex digits.
pub fn parse_digest(text: &str) -> Option<Digest> {
    let digits = text.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from((high? << 4) | low?).ok()?;
    }
    Some(digest)
}

/// The entries of a session as text: `<seq> <chunk> <len> <64 hex digits>`, a line each.
#[derive(Debug)]
pub struct LogFile {
    file: File,
}

impl LogFile {
    /// Opens the log of a session for more entries, and gives those it has to `take`. What a crash left of a last line is cut off.
    ///
    /// # Errors
    /// When it cannot be read, or a line is no entry.
    pub fn open(path: &Path, take: impl FnMut(Entry)) -> Result<Self> {
        let mut whole = 0;
        if path.exists() {
            whole = read_log(path, take)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        file.set_len(whole)?;
        Ok(Self { file })
    }

    /// Adds entries and syncs them: the bridge lets go of them with the next request.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, entries: &[Entry]) -> Result<()> {
        let mut text = BufWriter::new(Vec::new());
        for entry in entries {
            writeln!(text, "{}", log_line(entry))?;
        }
        append(&mut self.file, &text.into_inner().map_err(|error| error.into_error())?)
            .context("the log cannot be written")
    }
}

/// An entry as a line of a log.
pub fn log_line(entry: &Entry) -> String {
    format!("{} {} {} {}", entry.seq, entry.chunk, entry.len, hex(&entry.digest))
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let entry = Entry {
        seq: words.next()?.parse().ok()?,
        chunk: words.next()?.parse().ok()?,
        len: words.next()?.parse().ok()?,
        digest: parse_digest(words.next()?)?,
    };
    // One form only: what is written is what is read.
    (log_line(&entry) == line).then_some(entry)
}

/// Reads a log; gives the length of its whole lines.
///
/// # Errors
/// When it cannot be read, or a whole line is no entry.
pub fn read_log(path: &Path, mut take: impl FnMut(Entry)) -> Result<u64> {
    let mut reader = BufReader::new(open_file(path).with_context(|| path.display().to_string())?);
    let mut line = String::new();
    let (mut whole, mut number) = (0_u64, 0_u64);
    while read_text(&mut reader, &mut line).with_context(|| path.display().to_string())? > 0 {
        number = number.saturating_add(1);
        let Some(text) = line.strip_suffix('\n') else {
            let is_cut = u64::try_from(line.len()).is_ok_and(|length| length < LOG_LINE_MAX);
            if is_cut {
                break;
            }
            return Err(no_entry(path, number));
        };
        if number > ENTRIES_MAX {
            let text = format!("{} holds more entries than any session makes", path.display());
            return Err(Failure::new(Exit::Verification, text).into());
        }
        take(parse_line(text).ok_or_else(|| no_entry(path, number))?);
        whole = whole.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        line.clear();
    }
    Ok(whole)
}

fn read_text(reader: &mut BufReader<File>, line: &mut String) -> std::io::Result<usize> {
    reader.take(LOG_LINE_MAX).read_line(line)
}

fn no_entry(path: &Path, line: u64) -> anyhow::Error {
    Failure::new(Exit::Verification, format!("{}, line {line}: no log entry", path.display()))
        .into()
}
