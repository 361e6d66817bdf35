//! Before a disk is read: nobody may use it, nobody can begin to, and the kernel refuses writes to it.
//!
//! Facts: `open(2)` (O_EXCL on a block device claims it; EBUSY while it is mounted, swap, or part of another device), Linux
//! `block/bdev.c` (a claim of the whole disk excludes claims of its partitions), BLKROSET (`ioctl`). The read-only flag is left set: a
//! disk that was read as evidence stays protected until it is unplugged, or until somebody clears the flag on purpose.

use std::{fs::File, io::ErrorKind, path::PathBuf};

use serde::Serialize;

use super::{
    reader::{open_cached, open_claiming},
    sysfs::{Disk, Roots},
};
use crate::ioctl;

/// Why a disk is not imaged.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is in use; one sentence for each use.
    #[error("{node} is in use: {}", reasons.join("; "))]
    InUse {
        /// The disk.
        node: PathBuf,
        /// What uses it.
        reasons: Vec<String>,
    },
    /// It cannot be opened.
    #[error("{node}: {source}")]
    System {
        /// The disk.
        node: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The read-only flag of a disk or a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Kernel name.
    pub name: String,
    /// As it was found.
    pub was_read_only: bool,
    /// As it is after it was to be set.
    #[serde(rename = "read_only")]
    pub is_read_only: bool,
    /// Why it could not be set; null when it was set, or was set already.
    pub error: Option<String>,
}

/// A disk that nobody else can use while this exists.
#[derive(Debug)]
pub struct Guard {
    roots: Roots,
    disk: String,
    states: Vec<NodeState>,
    /// Open for as long as the claim is to hold.
    claim: Option<File>,
}

impl Guard {
    /// Claims a disk and has the kernel refuse writes to it and its partitions. Where this process may not set that, the states say so.
    ///
    /// # Errors
    /// When anything uses the disk, a partition of it or what stands on them, or it cannot be opened.
    pub fn take(roots: &Roots, disk: &Disk) -> Result<Self, Refused> {
        let claim = claim(roots, disk)?;
        let parts = disk.partitions.iter();
        let parts = parts.map(|part| (part.name.clone(), roots.path("dev").join(&part.name)));
        let nodes = [(disk.name.clone(), disk.node.clone())].into_iter().chain(parts);
        let states = nodes.map(|(name, node)| protect(name, &node)).collect();
        Ok(Self { roots: roots.clone(), disk: disk.name.clone(), states, claim })
    }

    /// Claims the same disk again after it went away and was found, under whatever name. Sets nothing: a disk that comes back writable
    /// is not the disk that was protected, and [`Guard::check`] says so.
    ///
    /// # Errors
    /// As [`Guard::take`].
    pub fn renew(&mut self, disk: &Disk) -> Result<(), Refused> {
        // The claim on the device that went away ends with its descriptor; where the device is the same after all, it has to end first.
        self.claim = None;
        self.claim = claim(&self.roots, disk)?;
        let own = self.disk.clone();
        for state in &mut self.states {
            if let Some(part) = state.name.strip_prefix(&own) {
                state.name = format!("{}{part}", disk.name);
            }
        }
        self.disk.clone_from(&disk.name);
        Ok(())
    }

    /// The read-only flags, the disk's first, before and after.
    pub fn states(&self) -> &[NodeState] {
        &self.states
    }

    /// Whether the claim holds; it does not after a renewal that failed.
    pub const fn is_claimed(&self) -> bool {
        self.claim.is_some()
    }

    /// Whether the kernel refuses writes to the disk and to each of its partitions.
    pub fn is_read_only(&self) -> bool {
        self.states.iter().all(|state| state.is_read_only)
    }

    /// The disk's flag as it is now, and those of its partitions; `None` when it is gone.
    pub fn state_now(&self) -> Option<Vec<(String, bool)>> {
        let disk = self.roots.disk(&self.disk)?;
        let parts = disk.partitions.into_iter().map(|part| (part.name, part.is_read_only));
        Some([(disk.name, disk.is_read_only)].into_iter().chain(parts).collect())
    }

    /// Compares the flags with those at the start.
    ///
    /// # Errors
    /// What differs: the job has to stop.
    pub fn check(&self) -> Result<(), String> {
        let now = self.state_now().ok_or_else(|| format!("{} is not attached", self.disk))?;
        let is_expected = |name: &str| {
            let known = self.states.iter().find(|state| state.name == name);
            known.map_or_else(|| self.is_read_only(), |state| state.is_read_only)
        };
        match now.iter().find(|(name, is_read_only)| is_expected(name) != *is_read_only) {
            None => Ok(()),
            Some((name, true)) => Err(format!("{name} was writable and is read-only now")),
            Some((name, false)) => Err(format!("{name} was read-only and is writable now")),
        }
    }
}

/// Opens a disk that nothing uses, so that nobody else can.
fn claim(roots: &Roots, disk: &Disk) -> Result<Option<File>, Refused> {
    let node = disk.node.clone();
    let mut reasons: Vec<String> = roots.uses(disk).iter().map(super::uses::Use::text).collect();
    match open_claiming(&node) {
        Ok(claim) if reasons.is_empty() => Ok(Some(claim)),
        Ok(_) => Err(Refused::InUse { node, reasons }),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            if reasons.is_empty() {
                let text = "another program, or a file system mounted elsewhere, has claimed it";
                reasons.push(text.to_owned());
            }
            Err(Refused::InUse { node, reasons })
        }
        Err(_) if !reasons.is_empty() => Err(Refused::InUse { node, reasons }),
        Err(source) => Err(Refused::System { node, source }),
    }
}

fn protect(name: String, node: &std::path::Path) -> NodeState {
    let unknown = |name: String, error: std::io::Error| NodeState {
        name,
        was_read_only: false,
        is_read_only: false,
        error: Some(error.to_string()),
    };
    let file = match open_cached(node) {
        Ok(file) => file,
        Err(error) => return unknown(name, error),
    };
    let was_read_only = match ioctl::is_read_only(&file) {
        Ok(flag) => flag,
        Err(error) => return unknown(name, error),
    };
    let done = if was_read_only { Ok(()) } else { ioctl::set_read_only(&file) };
    let is_read_only = ioctl::is_read_only(&file).unwrap_or(was_read_only);
    NodeState {
        name,
        was_read_only,
        is_read_only,
        error: done.err().map(|error| error.to_string()),
    }
}
