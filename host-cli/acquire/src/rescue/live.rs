//! A source on a disk that is not imaged yet: what a parser touches is acquired first.
//!
//! A recorder's file system is opened on it, and its index and the requested hours are then in the store and in the map before
//! the rest of the disk is read. Nothing is read twice, and nothing is made up: a sector that cannot be read is a hole.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use daleel_core::{Extent, Hole, ReadError, Source};

use super::{
    engine::{Event, Store},
    map::{Map, State, between},
    reader::{Got, Reader, Stop, align_down},
    settings::{Settings, SystemClock},
};
use crate::medium::Medium;

/// Bytes acquired around a read, so that an index that is walked piece by piece is not read sector by sector.
const AROUND: u32 = 64 << 10;

/// A store whose bytes can be read again.
pub trait ReadBack: Store + Send {
    /// Fills `buf` with the bytes at `offset`, which were written before.
    ///
    /// # Errors
    /// As the file system; when the store ends early too.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// A medium, the store that it is acquired into, and the map of what is there.
pub struct LiveSource {
    len: u64,
    sector_bytes: u32,
    inner: Mutex<Inner>,
}

struct Inner {
    medium: Arc<dyn Medium>,
    store: Box<dyn ReadBack>,
    map: Map,
    settings: Settings,
    bytes_read: u64,
    failed_reads: u64,
    lost: Option<String>,
}

impl LiveSource {
    /// Joins a medium with what is acquired of it so far. The map has the size of the medium.
    pub fn new(medium: Arc<dyn Medium>, store: Box<dyn ReadBack>, map: Map) -> Self {
        let settings = Settings {
            large_bytes: AROUND,
            cluster_bytes: AROUND,
            save_bytes: u64::MAX,
            save_time: Duration::MAX,
            ..Settings::default()
        };
        Self {
            len: medium.len().min(map.len()),
            sector_bytes: medium.sector_bytes(),
            inner: Mutex::new(Inner {
                medium,
                store,
                map,
                settings,
                bytes_read: 0,
                failed_reads: 0,
                lost: None,
            }),
        }
    }

    /// Bytes acquired through this source.
    pub fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// Reads of the medium that failed.
    pub fn failed_reads(&self) -> u64 {
        self.lock().failed_reads
    }

    /// Why nothing more is read from the medium, when the device was lost.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Gives the store and the map back, to go on with the rescue. The store is not synced: the rescue does that before it
    /// gives out a map.
    pub fn into_parts(self) -> (Box<dyn ReadBack>, Map) {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        (inner.store, inner.map)
    }

    // A reader that panicked leaves the map as true as it was: marks follow writes.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for LiveSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if at.end() > self.len || at.len() != buf.len() as u64 {
            let from = self.len.max(offset);
            return Err(ReadError::Hole { at: between(from, at.end()), hole: Hole::BeyondEnd });
        }
        let mut inner = self.lock();
        inner.acquire(at).map_err(|error| ReadError::Io { at, error })?;
        if let Some(at) = inner.first_missing(at) {
            return Err(ReadError::Hole { at, hole: Hole::Unreadable });
        }
        inner.store.read_at(offset, buf).map_err(|error| ReadError::Io { at, error })
    }

    /// What failed so far; what was not tried yet is no hole, since reading it acquires it.
    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let inner = self.lock();
        let bad = inner.map.within(within).filter(|(_, state)| *state == State::BadSector);
        let mut holes: Vec<_> = bad.map(|(extent, _)| (extent, Hole::Unreadable)).collect();
        let beyond = between(self.len.max(within.offset()), within.end());
        if !beyond.is_empty() {
            holes.push((beyond, Hole::BeyondEnd));
        }
        holes
    }
}

impl Inner {
    fn first_missing(&self, wanted: Extent) -> Option<Extent> {
        let mut parts = self.map.within(wanted);
        parts.find(|(_, state)| *state != State::Finished).map(|(extent, _)| extent)
    }

    /// Brings `wanted` into the store as far as the medium gives it.
    fn acquire(&mut self, wanted: Extent) -> io::Result<()> {
        let is_open = |state| !matches!(state, State::Finished | State::BadSector);
        if !self.map.within(wanted).any(|(_, state)| is_open(state)) {
            return Ok(());
        }
        if let Some(reason) = &self.lost {
            return Err(io::Error::other(format!("the device was lost: {reason}")));
        }
        let status = self.map.status;
        let result = self.read_medium(wanted);
        // The position is that of the rescue, which goes on there.
        self.map.status = status;
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Lost { extent, reason }) => {
                let text = format!("{extent}: {reason}");
                self.lost = Some(text.clone());
                Err(io::Error::other(format!("the device was lost at {text}")))
            }
            Err(other) => Err(io::Error::other(format!("reading ended early: {other:?}"))),
        }
    }

    fn read_medium(&mut self, wanted: Extent) -> Result<(), Stop> {
        let (mut good, mut failed) = (0u64, 0u64);
        let mut observer = |event: &Event<'_>| {
            match event {
                Event::Read { extent, .. } => good = good.saturating_add(extent.len()),
                Event::Failed { .. } => failed = failed.saturating_add(1),
                Event::Pass { .. } | Event::Save { .. } => {}
            }
            ControlFlow::Continue(())
        };
        let clock = SystemClock::default();
        let mut reader = Reader::new(
            &mut self.map,
            &self.settings,
            &*self.medium,
            &mut *self.store,
            &clock,
            &mut observer,
        );
        let result = acquire(&mut reader, wanted).and_then(|()| reader.prove_doubtful());
        if result.is_err() {
            reader.take_back();
        }
        self.bytes_read = self.bytes_read.saturating_add(good);
        self.failed_reads = self.failed_reads.saturating_add(failed);
        result
    }
}

/// Reads what is open around `wanted` in clusters, and where that fails the wanted sectors one by one.
fn acquire(reader: &mut Reader<'_>, wanted: Extent) -> Result<(), Stop> {
    let cluster = reader.pace.cluster();
    let end = wanted.end().checked_next_multiple_of(cluster).unwrap_or(u64::MAX);
    let around = between(align_down(wanted.offset(), cluster), end);
    let mut at = around.offset();
    while let Some(gap) = reader.map().next(State::NonTried, at, around) {
        let end = align_down(gap.offset(), cluster).saturating_add(cluster).min(gap.end());
        at = end;
        reader.read(between(gap.offset(), end), State::NonTrimmed)?;
    }
    let wanted = reader.whole_sectors(wanted);
    for state in [State::NonTrimmed, State::NonScraped] {
        let mut at = wanted.offset();
        while let Some(area) = reader.map().next(state, at, wanted) {
            let end = align_down(area.offset(), reader.sector()).saturating_add(reader.sector());
            let sector = between(area.offset(), end.min(area.end()));
            at = sector.end();
            if reader.read(sector, State::BadSector)? == Got::Bad {
                // One bad sector is enough to refuse the read; the rest is left to the rescue.
                return Ok(());
            }
        }
    }
    Ok(())
}
