//! One chunk: its bytes, proven by its checksum, or why there are none.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
};

use daleel_core::{Hole, ReadError, Source};
use flate2::Decompress;

use super::{
    inflate::inflate,
    records::{adler32, u32_at},
    tables::{Place, packed_limit},
};

/// Most engines and buffers kept for later chunks.
const SPARES: usize = 16;

/// Why a chunk gives no bytes.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// It lies in a segment that is missing, or behind the end of one that was cut.
    #[error("lies in a part of the image that is missing")]
    Missing,
    /// The stored bytes do not have the checksum behind them.
    #[error("its checksum is {stored:08x}, that of its bytes {computed:08x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// Of the bytes that are there.
        computed: u32,
    },
    /// The zlib stream is damaged, or its checksum is wrong.
    #[error("does not inflate: {0}")]
    Inflate(String),
    /// No table says where it lies, or the place it says is impossible.
    #[error("no usable table entry says where it lies")]
    Table,
    /// The operating system failed.
    #[error("{0}")]
    Io(io::Error),
}

impl ChunkError {
    /// The kind of hole that this is; `None` when nothing is said about the bytes.
    pub fn hole(&self) -> Option<Hole> {
        match self {
            Self::Missing => Some(Hole::MissingPiece),
            Self::Checksum { .. } | Self::Inflate(_) | Self::Table => Some(Hole::Damaged),
            Self::Io(_) => None,
        }
    }
}

impl From<ReadError> for ChunkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Hole { .. } => Self::Missing,
            ReadError::Io { error, .. } => Self::Io(error),
        }
    }
}

/// What inflating needs, used again from chunk to chunk by any thread.
#[derive(Default)]
pub(super) struct Engines {
    spares: Mutex<Vec<Engine>>,
}

struct Engine {
    inflater: Decompress,
    packed: Vec<u8>,
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engines")
    }
}

impl Engines {
    fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> T {
        let spare = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let fresh = || Engine { inflater: Decompress::new(true), packed: Vec::new() };
        let mut engine = spare.unwrap_or_else(fresh);
        let result = work(&mut engine);
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES {
            spares.push(engine);
        }
        result
    }
}

/// Where and how long a chunk is.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) place: Place,
    /// Bytes of the medium in it.
    pub(super) length: usize,
    /// Bytes of all chunks but the last.
    pub(super) chunk_bytes: usize,
}

/// Reads a chunk into the front of `buf`, whose rest may be overwritten. Gives what the chunk holds behind its part of
/// the medium: nothing, but for a last chunk that is longer than the stated size of the medium.
pub(super) fn read(
    engines: &Engines,
    file: &dyn Source,
    wanted: Wanted,
    buf: &mut [u8],
) -> Result<Vec<u8>, ChunkError> {
    let Wanted { place, .. } = wanted;
    if place.packed {
        return packed(engines, file, wanted, buf);
    }
    match stored(file, wanted, buf) {
        Err(ChunkError::Checksum { .. } | ChunkError::Table) if place.either => {
            packed(engines, file, wanted, buf)
        }
        result => result,
    }
}

fn stored(file: &dyn Source, wanted: Wanted, buf: &mut [u8]) -> Result<Vec<u8>, ChunkError> {
    let Wanted { place, length, chunk_bytes } = wanted;
    let with_sum = length.saturating_add(4);
    if place.room < with_sum as u64 {
        let is_cut = place.at.saturating_add(place.room) >= file.len();
        return Err(if is_cut { ChunkError::Missing } else { ChunkError::Table });
    }
    if place.exact && place.room != with_sum as u64 && length == chunk_bytes {
        return Err(ChunkError::Table);
    }
    let sum = match buf.get_mut(..with_sum) {
        // The checksum lands where the next chunk will: one read, no copy.
        Some(target) => {
            file.read_exact_at(place.at, target)?;
            u32_at(target, length)
        }
        None => {
            let target = buf.get_mut(..length).ok_or_else(short_buffer)?;
            file.read_exact_at(place.at, target)?;
            let sum = file.read_array::<4>(place.at.saturating_add(length as u64))?;
            Some(u32::from_le_bytes(sum))
        }
    };
    let stored = sum.unwrap_or(0);
    let computed = adler32(buf.get(..length).unwrap_or_default());
    if stored == computed {
        return Ok(Vec::new());
    }
    longer(file, wanted, buf).ok_or(ChunkError::Checksum { stored, computed })
}

/// A last chunk that goes on behind the stated end of the medium, to the end of its place or to the size of the others.
fn longer(file: &dyn Source, wanted: Wanted, buf: &mut [u8]) -> Option<Vec<u8>> {
    let Wanted { place, length, chunk_bytes } = wanted;
    let room = usize::try_from(place.room).unwrap_or(usize::MAX).checked_sub(4)?;
    let whole = room.min(chunk_bytes);
    if length >= whole {
        return None;
    }
    let mut bytes = vec![0; whole.checked_add(4)?];
    file.read_exact_at(place.at, &mut bytes).ok()?;
    let is_right = u32_at(&bytes, whole) == bytes.get(..whole).map(adler32);
    bytes.resize(whole, 0);
    buf.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
    is_right.then(|| bytes.split_off(length))
}

fn packed(
    engines: &Engines,
    file: &dyn Source,
    wanted: Wanted,
    buf: &mut [u8],
) -> Result<Vec<u8>, ChunkError> {
    let Wanted { place, length, chunk_bytes } = wanted;
    let most = packed_limit(chunk_bytes);
    let take = usize::try_from(place.room).unwrap_or(most).min(most);
    let target = buf.get_mut(..length).ok_or_else(short_buffer)?;
    engines.with(|engine| {
        if engine.packed.len() < take {
            engine.packed.resize(take, 0);
        }
        let packed = engine.packed.get_mut(..take).unwrap_or_default();
        file.read_exact_at(place.at, packed)?;
        let mut inflated = inflate(&mut engine.inflater, packed, target);
        let mut surplus = Vec::new();
        if inflated.is_err() && length < chunk_bytes {
            let mut whole = vec![0; chunk_bytes];
            inflated = inflate(&mut engine.inflater, packed, &mut whole);
            target.copy_from_slice(whole.get(..length).unwrap_or_default());
            let produced = inflated.as_ref().map_or(0, |inflated| inflated.produced);
            surplus = whole.get(length..produced).unwrap_or_default().to_vec();
        }
        let is_cut = place.at.saturating_add(place.room) >= file.len();
        match inflated {
            Err(_) if is_cut => Err(ChunkError::Missing),
            Err(error) => Err(ChunkError::Inflate(error)),
            Ok(inflated) if inflated.produced < length => {
                let text = format!("the stream gives {} bytes, not {length}", inflated.produced);
                Err(ChunkError::Inflate(text))
            }
            Ok(inflated) if place.exact && inflated.consumed as u64 != place.room => {
                Err(ChunkError::Table)
            }
            Ok(_) => Ok(surplus),
        }
    })
}

fn short_buffer() -> ChunkError {
    ChunkError::Io(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the buffer is shorter than the chunk",
    ))
}
