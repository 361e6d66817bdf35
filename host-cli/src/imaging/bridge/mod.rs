//! Imaging from our own write blocker: a session of the bridge from before the first read until the block list is whole.
//!
//! Facts: published requirements of the write blocker, section 4.3 (nonces and their order, checkpoints, what a break means), 4.4 (which
//! megabytes are covered, A-4). `keeper` keeps the session in a thread of its own while the pass runs; `conclude` checks everything
//! offline at the end, as `bridge verify` does, and compares it with the block list. Whose key it is is not said here: that takes an
//! enrolled key.

mod conclude;
mod keeper;

use std::{
    io::{Write as _, stderr},
    path::{Path, PathBuf},
};

use anyhow::Result;
use daleel_acquire::{
    devices::{Disk, Roots},
    digest::blocks::BlockDigest,
    job::{Blocker, Stated, settings::Request},
    record::CustodyJson,
    rescue::Map,
};
use wb_attest::{
    Digest,
    interface::{Info, flag},
    key::{key_id, usb_serial},
};

use crate::{
    bridge::{
        attached::{Attached, find},
        link::Link,
        port::Port,
        record::{Folder, KEY_FILE, parse_digest},
        session::{check_ready, failure},
    },
    exit::{Exit, Failure, classify},
};
use keeper::Keeper;

/// Folder of a bridge's evidence in an image's folder.
pub const FOLDER: &str = "bridge";

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Serial of the bridge, or its beginning; without one, the bridge that the source is behind.
    pub serial: Option<String>,
    /// End a session that is open on it already.
    pub supersede: bool,
}

/// A source and the bridge that it is behind.
#[derive(Clone, Debug)]
struct Place {
    source: PathBuf,
    wanted: Wanted,
}

impl Place {
    /// The bridge, open; it is the one that the source is behind, its serial is that of its key, and its drive is as long as the source.
    fn open(&self) -> Result<(Link<Box<dyn Port>>, Info)> {
        let disk = disk_of(&self.source);
        let one = self.choose(disk.as_ref())?;
        let serial = one.identity().serial;
        let port = one.open().map_err(|error| {
            Failure::new(Exit::Input, format!("bridge {}: {error}", one.identity().line()))
        })?;
        let mut link = Link::telling(port, say);
        let info = link.info().map_err(failure)?;
        if info.has(flag::KEY) {
            check_serial(&serial, &info.public_key)?;
        }
        if let Some(disk) = disk.filter(|_| info.has(flag::DRIVE)) {
            check_size(&disk, &info)?;
        }
        Ok((link, info))
    }

    fn choose(&self, disk: Option<&Disk>) -> Result<Box<dyn Attached>, Failure> {
        let found = find().map_err(|error| Failure::new(Exit::Input, error.to_string()))?;
        let serial = self.wanted.serial.as_deref().unwrap_or_default().to_ascii_uppercase();
        let lines: Vec<_> = found.iter().map(|one| one.identity().line()).collect();
        let is_asked = |one: &dyn Attached| one.identity().serial.starts_with(&serial);
        let (mut asked, _): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| is_asked(one.as_ref()));
        if asked.is_empty() {
            let failure = Failure::new(Exit::Input, "this bridge is not connected");
            return Err(match lines.as_slice() {
                [] => Failure::new(Exit::Input, "no bridge is connected")
                    .hint("`daleel bridge list` shows those that are"),
                all => failure.hint(all.join("; ")),
            });
        }
        asked.retain(|one| one.carries(&self.source, disk));
        match asked.pop() {
            Some(one) if asked.is_empty() => Ok(one),
            Some(_) => Err(Failure::new(Exit::Input, "several bridges have the same serial")),
            None => Err(self.not_behind(disk, &lines)),
        }
    }

    fn not_behind(&self, disk: Option<&Disk>, bridges: &[String]) -> Failure {
        let what = match disk.map(|disk| disk.usb.as_ref()) {
            None => "it is no whole disk of this computer".to_owned(),
            Some(None) => "it is not connected by USB".to_owned(),
            Some(Some(usb)) => format!(
                "it is behind USB device {}:{} with serial {}",
                usb.vendor_id,
                usb.product_id,
                usb.serial.as_deref().unwrap_or("none")
            ),
        };
        let text = format!("{} is not read through this bridge: {what}", self.source.display());
        Failure::new(Exit::Input, text).hint(format!("connected: {}", bridges.join("; ")))
    }
}

/// The whole disk that a path is the node of.
fn disk_of(source: &Path) -> Option<Disk> {
    let node = source.canonicalize().ok()?;
    let disk = Roots::default().disk(&node.file_name()?.to_string_lossy())?;
    (disk.node == node).then_some(disk)
}

fn check_serial(serial: &str, key: &[u8; 32]) -> Result<(), Failure> {
    let of_key = usb_serial(&key_id(key));
    let is_same = serial.as_bytes() == of_key;
    let text = "the bridge's serial is not that of its key: it is not what it calls itself";
    is_same.then_some(()).ok_or_else(|| Failure::new(Exit::Verification, text))
}

fn check_size(disk: &Disk, info: &Info) -> Result<(), Failure> {
    let bytes = info.capacity.saturating_mul(info.block_size.into());
    let text = format!(
        "the drive behind the bridge has {bytes} bytes, and {} has {}",
        disk.node.display(),
        disk.size
    );
    (bytes == disk.size).then_some(()).ok_or_else(|| Failure::new(Exit::Input, text))
}

/// Tells on standard error what happens while the pass runs.
fn say(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(stderr(), "{text}");
}

/// 32 bytes from the system's random source.
fn random() -> Result<Digest> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Internal, format!("the system gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}

/// A bridge as the write blocker of an imaging job.
pub struct Bridge {
    place: Place,
    also: Option<PathBuf>,
    keeper: Option<Keeper>,
    /// The bridge, or its session, is gone; the job can be gone on with.
    is_lost: bool,
}

impl Bridge {
    /// The bridge of a request, where one is asked for or the unfinished image was begun with one. It is looked at and not told anything.
    ///
    /// # Errors
    /// When the source is not behind it, or it cannot open a session.
    pub fn of(request: &Request, wanted: Option<&Wanted>) -> Result<Option<Self>> {
        let evidence = request.out.join(FOLDER);
        let was_begun = request.resume && evidence.join(KEY_FILE).exists();
        let wanted = match wanted {
            Some(wanted) => wanted.clone(),
            None if was_begun => Wanted::default(),
            None => return Ok(None),
        };
        let place = Place { source: request.source.clone(), wanted };
        let (_, info) = place.open()?;
        // What is open may be the session that this image is to go on with.
        let is_ours = was_begun && Folder::at(&evidence).unfinished()?.is_some();
        check_ready(&info, place.wanted.supersede || is_ours)?;
        Ok(Some(Self { place, also: request.also.clone(), keeper: None, is_lost: false }))
    }

    /// Leaves a session that the job did not get to end: its statement is a checkpoint, and the session stays open.
    pub fn leave(&mut self) {
        let Some(keeper) = self.keeper.take() else { return };
        if let Err(error) = keeper.leave() {
            say(&format!("bridge: no statement at the pause: {error:#}"));
        }
    }

    /// Whether the last error was that the bridge or its session is gone.
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    fn in_words(&mut self, error: anyhow::Error) -> String {
        let (exit, hint) = classify(&error);
        self.is_lost = exit == Exit::SourceLost;
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{error:#}{hint}")
    }
}

impl Blocker for Bridge {
    fn begin(&mut self, folder: &Path, custody: Option<&CustodyJson>) -> Result<(), String> {
        let custody = custody
            .map(|event| parse_digest(&event.sha256).ok_or("the custody event has no digest"))
            .transpose()?;
        let keeper = Keeper::start(self.place.clone(), folder, custody);
        self.keeper = Some(keeper.map_err(|error| self.in_words(error))?);
        Ok(())
    }

    fn end(&mut self, folder: &Path, groups: &BlockDigest, map: &Map) -> Result<Stated, String> {
        let keeper = self.keeper.take().ok_or("the session was not begun")?;
        let stated = keeper
            .end(*groups)
            .and_then(|key| conclude::conclude(folder, &key, groups, map))
            .and_then(|stated| self.copy(folder).map(|()| stated));
        stated.map_err(|error| self.in_words(error))
    }
}

impl Bridge {
    /// The evidence for the second folder.
    fn copy(&self, folder: &Path) -> Result<()> {
        match &self.also {
            Some(also) => conclude::copy(&folder.join(FOLDER), &also.join(FOLDER)),
            None => Ok(()),
        }
    }
}
