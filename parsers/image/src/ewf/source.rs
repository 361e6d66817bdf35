//! The medium in a set, as a source of bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use daleel_core::{Extent, Hole, ReadError, Source};

use super::{
    chunk::ChunkError,
    set::{EwfSet, in_order},
};
use crate::{device::plausible_sector_bytes, files::beyond_end, holes::between};

/// Bytes of chunks kept for reads of less than a chunk.
const CACHE_BYTES: usize = 8 << 20;
/// Most damaged chunks that are remembered.
const DAMAGED_LIMIT: usize = 1 << 20;

/// An E01 set as a medium.
///
/// Chunks that are damaged show as [`Hole::Damaged`] once they were read; before that nobody knows.
pub struct EwfSource {
    set: Arc<EwfSet>,
    /// Least recently used first.
    cache: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
    damaged: Mutex<BTreeMap<u64, Hole>>,
}

impl EwfSource {
    /// The medium in `set`.
    pub fn new(set: Arc<EwfSet>) -> Self {
        Self { set, cache: Mutex::default(), damaged: Mutex::default() }
    }

    /// The set.
    pub fn set(&self) -> &Arc<EwfSet> {
        &self.set
    }

    fn cached(&self, index: u64) -> Option<Arc<[u8]>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cache.iter().rposition(|(own, _)| *own == index)?;
        let entry = cache.remove(at)?;
        let chunk = Arc::clone(&entry.1);
        cache.push_back(entry);
        Some(chunk)
    }

    fn keep(&self, index: u64, chunk: Arc<[u8]>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = CACHE_BYTES.checked_div(self.set.chunk_bytes()).unwrap_or(0).max(1);
        while cache.len() >= limit {
            cache.pop_front();
        }
        cache.push_back((index, chunk));
    }

    /// The chunk with this number, from the cache or read into it.
    fn chunk(&self, index: u64) -> Result<Arc<[u8]>, ChunkError> {
        if let Some(chunk) = self.cached(index) {
            return Ok(chunk);
        }
        let mut bytes = vec![0; self.set.chunk_bytes()];
        let length = self.set.read_chunk(index, &mut bytes)?;
        bytes.resize(length, 0);
        let chunk: Arc<[u8]> = bytes.into();
        self.keep(index, Arc::clone(&chunk));
        Ok(chunk)
    }

    /// Reads the part `part` of a chunk to the front of `rest`.
    fn read_part(&self, index: u64, part: Extent, rest: &mut [u8]) -> Result<(), ChunkError> {
        let whole = self.set.chunk_extent(index);
        if part == whole {
            return self.set.read_chunk(index, rest).map(|_| ());
        }
        let chunk = self.chunk(index)?;
        let start =
            usize::try_from(part.offset().saturating_sub(whole.offset())).unwrap_or(usize::MAX);
        let length = usize::try_from(part.len()).unwrap_or(usize::MAX);
        let bytes = start.checked_add(length).and_then(|end| chunk.get(start..end));
        let (Some(bytes), Some(target)) = (bytes, rest.get_mut(..length)) else {
            return Err(ChunkError::Missing);
        };
        target.copy_from_slice(bytes);
        Ok(())
    }

    /// The error of a chunk that could not be read; it is a hole from now on.
    fn failed(&self, index: u64, part: Extent, error: ChunkError) -> ReadError {
        match (error.hole(), error) {
            (Some(hole), _) => {
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                if damaged.len() < DAMAGED_LIMIT {
                    damaged.insert(index, hole);
                }
                ReadError::Hole { at: part, hole }
            }
            (None, ChunkError::Io(error)) => ReadError::Io { at: part, error },
            (None, error) => ReadError::Io { at: part, error: std::io::Error::other(error) },
        }
    }

    /// Holes inside the medium, in order.
    fn own_holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let mut all: Vec<_> = self.set.holes().within(within).collect();
        let unit = self.set.chunk_bytes() as u64;
        let first = within.offset().checked_div(unit).unwrap_or(0);
        let last = within.end().div_ceil(unit);
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.is_empty() || first >= last {
            return all;
        }
        let found = damaged.range(first..last).filter_map(|(index, hole)| {
            Some((self.set.chunk_extent(*index).intersection(within)?, *hole))
        });
        all.extend(found);
        in_order(all).into_vec()
    }
}

impl Source for EwfSource {
    fn len(&self) -> u64 {
        self.set.media_bytes()
    }

    /// As stated, where disks have such sectors; else 512.
    fn sector_bytes(&self) -> u32 {
        let stated = self.set.sector_bytes();
        if plausible_sector_bytes(stated) { stated } else { 512 }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some((at, hole)) = self.own_holes(at).into_iter().next() {
            return Err(ReadError::Hole { at, hole });
        }
        if let Some(error) = beyond_end(self, at) {
            return Err(error);
        }
        let unit = self.set.chunk_bytes() as u64;
        let mut index = offset.checked_div(unit).unwrap_or(0);
        let mut rest = buf;
        while !rest.is_empty() {
            let Some(part) = self.set.chunk_extent(index).intersection(at) else { break };
            self.read_part(index, part, rest).map_err(|error| self.failed(index, part, error))?;
            // Not longer than the buffer it is a part of.
            let length = usize::try_from(part.len()).unwrap_or(usize::MAX);
            rest = rest.get_mut(length..).unwrap_or_default();
            index = index.saturating_add(1);
        }
        Ok(())
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let mut holes = self.own_holes(within);
        let beyond = between(within.offset().max(self.len()), within.end());
        if !beyond.is_empty() {
            holes.push((beyond, Hole::BeyondEnd));
        }
        holes
    }
}
