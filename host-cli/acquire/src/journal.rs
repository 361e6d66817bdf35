//! What an unfinished image knows of itself, in `.daleel-work/` of its folder.
//!
//! `start.json` is written once, before anything is read: what is chosen once (set identifier, times, texts, parameters, the source as it
//! was) and has to be the same when the run goes on, or the image would be another one. `checkpoint.json` says from where. It is
//! replaced as a whole: written beside, synced, renamed, the folder synced; a power cut leaves the old one or the new one. `events.jsonl`
//! has a line for each start, pause, loss and phase, which the record of the image tells in the end.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{pipeline::Checkpoint, raw::positioned::sync_folder};

/// The working folder inside an image's folder.
pub const WORK: &str = ".daleel-work";
const START: &str = "start.json";
const CHECKPOINT: &str = "checkpoint.json";
const EVENTS: &str = "events.jsonl";
const LOCK: &str = "lock";
/// Largest file of a journal that is read.
const FILE_MAX: u64 = 16 << 20;
/// Most lines of events that are read: one a second for two weeks.
const EVENTS_MAX: usize = 1 << 20;

/// How an image comes about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// The medium is read from front to back and written at once.
    Straight {
        /// From where it goes on; null at the begin.
        checkpoint: Option<Checkpoint>,
    },
    /// What the straight pass wrote as E01 is unpacked into the raw file, up to `until`.
    Unpack {
        /// Bytes of the medium that the finished groups hold.
        until: u64,
        /// The straight pass's last checkpoint.
        checkpoint: Checkpoint,
    },
    /// The medium is read in whatever order serves into a raw file with a map; the map says from where it goes on.
    Rescue,
    /// The raw file is hashed, and packed where another form is wanted.
    Pack {
        /// From where it goes on; null at the begin.
        checkpoint: Option<Checkpoint>,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began, or went on.
    Begin {
        /// When, UTC.
        when: String,
        /// Not the first.
        resumed: bool,
        /// What this run's computer and program are.
        host: crate::record::Host,
        /// State of the source, as far as a run looks at it: whether it is read-only, and since when.
        source: serde_json::Value,
    },
    /// A phase began.
    Phase {
        /// When.
        when: String,
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// A run paused or broke off and can go on.
    Pause {
        /// When.
        when: String,
        /// Bytes of the medium that are safe.
        position: u64,
        /// Why.
        why: String,
    },
    /// The device was gone and came back.
    Reconnect {
        /// When.
        when: String,
        /// Where the reading stood.
        position: u64,
        /// What had been lost, and what showed that it is the same.
        why: String,
    },
    /// A pass over a failing medium.
    Pass {
        /// When it ended.
        when: String,
        /// Which.
        name: String,
        /// Bytes that it got.
        gained: u64,
        /// Reads that failed.
        errors: u64,
    },
}

/// The journal of an unfinished image.
pub struct Journal {
    work: PathBuf,
    events: File,
    /// Held as long as a run is at work in the folder.
    lock: File,
}

/// Why a journal cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file of it.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file of it has not the form it was written in.
    #[error("{}: {error}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
}

impl Journal {
    /// Whether an image's folder has a journal.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(WORK).join(START).exists()
    }

    /// Begins the journal of an image with what is chosen once.
    ///
    /// # Errors
    /// When there is one, or it cannot be made.
    pub fn create<S: Serialize>(
        folder: &Path,
        start: &S,
        phase: &Phase,
    ) -> Result<Self, JournalError> {
        let work = folder.join(WORK);
        let in_work = |error| JournalError::Io { path: work.clone(), error };
        fs::create_dir_all(&work).map_err(in_work)?;
        let lock = lock(&work)?;
        let path = work.join(EVENTS);
        let events = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| JournalError::Io { path, error })?;
        replace(&work.join(CHECKPOINT), phase)?;
        // Last: a journal without it was never begun.
        replace(&work.join(START), start)?;
        Ok(Self { work, events, lock })
    }

    /// Takes up a journal: what was chosen once, and where it stands.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn open<S: DeserializeOwned>(folder: &Path) -> Result<(Self, S, Phase), JournalError> {
        let work = folder.join(WORK);
        let lock = lock(&work)?;
        let start = read_json(&work.join(START))?;
        let phase = read_json(&work.join(CHECKPOINT))?;
        let path = work.join(EVENTS);
        let events = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|error| JournalError::Io { path, error })?;
        Ok((Self { work, events, lock }, start, phase))
    }

    /// The working folder.
    pub fn folder(&self) -> &Path {
        &self.work
    }

    /// Makes a new place to go on from durable.
    ///
    /// # Errors
    /// When it cannot be written; then the old one holds.
    pub fn set(&self, phase: &Phase) -> Result<(), JournalError> {
        replace(&self.work.join(CHECKPOINT), phase)
    }

    /// A handle for another thread that only moves the checkpoint.
    pub fn mover(&self) -> impl Fn(&Phase) -> io::Result<()> + Send + use<> {
        let path = self.work.join(CHECKPOINT);
        move |phase| replace(&path, phase).map_err(io::Error::other)
    }

    /// Adds an event and makes it durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, event: &Event) -> Result<(), JournalError> {
        let path = self.work.join(EVENTS);
        let mut line = serde_json::to_vec(event)
            .map_err(|error| JournalError::Form { path: path.clone(), error })?;
        line.push(b'\n');
        let written = self.events.write_all(&line).and_then(|()| self.events.sync_data());
        written.map_err(|error| JournalError::Io { path, error })
    }

    /// All events so far. A last line that a power cut left unfinished is passed over.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, JournalError> {
        let path = self.work.join(EVENTS);
        let in_path = |error| JournalError::Io { path: path.clone(), error };
        let reader = BufReader::new(File::open(&path).map_err(in_path)?);
        let mut events = Vec::new();
        for line in reader.lines().take(EVENTS_MAX) {
            events.extend(serde_json::from_str::<Event>(&line.map_err(in_path)?));
        }
        Ok(events)
    }

    /// Removes the journal: the image is finished.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), JournalError> {
        let Self { work, events, lock } = self;
        drop((events, lock));
        fs::remove_dir_all(&work).map_err(|error| JournalError::Io { path: work, error })
    }
}

/// Keeps other runs out of the folder. The lock ends with the process, however that ends.
fn lock(work: &Path) -> Result<File, JournalError> {
    let path = work.join(LOCK);
    let locked = File::create(&path).and_then(|file| match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another run is at work in this folder"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    });
    locked.map_err(|error| JournalError::Io { path, error })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, JournalError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes))
        .map_err(|error| JournalError::Io { path: path.to_owned(), error })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| JournalError::Form { path: path.to_owned(), error })
}

/// Puts a new file in the place of an old one, so that one of the two is there whole at any time.
fn replace<T: Serialize>(path: &Path, value: &T) -> Result<(), JournalError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| JournalError::Form { path: path.to_owned(), error })?;
    replace_file(path, &bytes).map_err(|error| JournalError::Io { path: path.to_owned(), error })
}

/// Writes beside, syncs, renames, and syncs the folder.
///
/// # Errors
/// When any of it fails; the old file is then still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}
