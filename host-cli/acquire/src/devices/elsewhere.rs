//! Sources whose bytes come from elsewhere than their path: a program of the tests reads them through a bridge of the simulator.
//!
//! The product registers nothing and has no switch for it: evidence never comes from a model.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, OnceLock},
};

/// What is read in place of a file.
pub trait Elsewhere: Send + Sync {
    /// Bytes.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf`.
    ///
    /// # Errors
    /// When not all of it can be had, as a device says it.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl fmt::Debug for dyn Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from elsewhere", self.len())
    }
}

/// Says what is read for a path; nothing for a path that stands for itself.
pub type Finder = fn(&Path) -> Option<Arc<dyn Elsewhere>>;

static FINDER: OnceLock<Finder> = OnceLock::new();

/// Sources from elsewhere for the rest of this process; whether nobody was faster.
pub fn read_with(finder: Finder) -> bool {
    FINDER.set(finder).is_ok()
}

pub(crate) fn find(path: &Path) -> Option<Arc<dyn Elsewhere>> {
    FINDER.get().and_then(|finder| finder(path))
}
