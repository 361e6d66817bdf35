//! Positioned, read-only access to evidence.

use std::{fmt, io};

use crate::Extent;

/// Why a range of an image is not from the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hole {
    /// The acquisition tried to read it and failed (ddrescue states `-`, `*`, `/`).
    Unreadable,
    /// The acquisition never tried (ddrescue state `?`).
    NotAcquired,
    /// A piece of a split image is missing.
    MissingPiece,
    /// The image holds it, and its checksum there says that it is not what was read from the medium.
    Damaged,
    /// The image ends before the medium (or the file system on it) does.
    BeyondEnd,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable on the medium",
            Self::NotAcquired => "not acquired",
            Self::MissingPiece => "in a missing piece of the image",
            Self::Damaged => "damaged in the image",
            Self::BeyondEnd => "beyond the end of the image",
        })
    }
}

/// Why bytes could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The range touches bytes that are not from the medium; `at` is the first hole met.
    #[error("{at}: {hole}")]
    Hole {
        /// The hole, clipped to the range asked for.
        at: Extent,
        /// What kind of hole.
        hole: Hole,
    },
    /// The operating system refused; the bytes are unknown.
    #[error("{at}: {error}")]
    Io {
        /// The range asked for.
        at: Extent,
        /// The system's answer.
        error: io::Error,
    },
}

impl ReadError {
    /// The bytes that could not be had.
    pub fn at(&self) -> Extent {
        match self {
            Self::Hole { at, .. } | Self::Io { at, .. } => *at,
        }
    }
}

/// Anything that gives bytes by offset: a device, a raw image, a split image.
///
/// Offsets count from byte 0 of the medium. Implementations open what they read for reading only.
pub trait Source: Send + Sync {
    /// Size in bytes, as far as the image states it (missing pieces included).
    fn len(&self) -> u64;

    /// True when there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes per logical sector, where the source knows it.
    fn sector_bytes(&self) -> u32 {
        512
    }

    /// Fills `buf`, or says why not. Nothing is ever padded: a range that touches a hole or the end is an
    /// error that names the hole.
    ///
    /// # Errors
    /// [`ReadError::Hole`] with [`Hole::BeyondEnd`] past the end, other holes where the image has them,
    /// [`ReadError::Io`] when the operating system fails.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Ranges inside `within` that are not from the medium, ascending, clipped to `within`; the part
    /// past the end of the source counts as [`Hole::BeyondEnd`].
    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let end = self.len();
        if within.end() <= end {
            return Vec::new();
        }
        let from = within.offset().max(end);
        vec![(Extent::new(from, within.end().saturating_sub(from)), Hole::BeyondEnd)]
    }
}

impl dyn Source + '_ {
    /// The bytes of `extent`.
    ///
    /// # Errors
    /// As [`Source::read_exact_at`]. Extents longer than the source fail before memory is taken.
    pub fn read(&self, extent: Extent) -> Result<Vec<u8>, ReadError> {
        let beyond = || ReadError::Hole {
            at: Extent::new(self.len().max(extent.offset()), extent.len()),
            hole: Hole::BeyondEnd,
        };
        if extent.end() > self.len() {
            return Err(beyond());
        }
        let length = usize::try_from(extent.len()).map_err(|_| beyond())?;
        let mut bytes = vec![0; length];
        self.read_exact_at(extent.offset(), &mut bytes)?;
        Ok(bytes)
    }

    /// `N` bytes at `offset`.
    ///
    /// # Errors
    /// As [`Source::read_exact_at`].
    pub fn read_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.read_exact_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// Bytes in memory are a source too: what was read from a medium before, or made for a test.
impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buf.len())?))
            .ok_or_else(|| ReadError::Hole {
                at: self.holes(at).first().map_or(at, |(hole, _)| *hole),
                hole: Hole::BeyondEnd,
            })?;
        buf.copy_from_slice(found);
        Ok(())
    }
}
