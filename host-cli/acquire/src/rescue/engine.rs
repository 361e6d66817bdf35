//! Runs a rescue: the phases in their order, over what is wanted first and then over the rest.
//!
//! Facts: GNU ddrescue manual 1.27, chapter "Algorithm" (copying, trimming, scraping, retrying); ISO/IEC 27037 (every accessible
//! sector is read, the others are logged). docs/rescue.md says how the passes work and how they compare.

use std::{io, ops::ControlFlow};

use daleel_core::Extent;

use super::{
    copying,
    map::{Map, State},
    reader::{Reader, Stop},
    sectors,
    settings::{Clock, Settings},
};
use crate::medium::Medium;

/// The raw file that a rescue fills. It has the size of the medium and holds zeros where nothing was written.
pub trait Store {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the file system.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written survives a loss of power.
    ///
    /// # Errors
    /// As the file system.
    fn sync(&mut self) -> io::Result<()>;
}

/// A phase of a rescue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// What was not tried, in large reads.
    Copying,
    /// Sector by sector from both edges of what failed.
    Trimming,
    /// Every other sector of what failed.
    Scraping,
    /// Bad sectors again.
    Retrying,
}

impl Phase {
    /// The character of the phase in a map's status line.
    pub const fn symbol(self) -> char {
        match self {
            Self::Copying => '?',
            Self::Trimming => '*',
            Self::Scraping => '/',
            Self::Retrying => '-',
        }
    }
}

/// What happens during a rescue.
#[derive(Debug)]
pub enum Event<'a> {
    /// A pass begins.
    Pass {
        /// Its phase.
        phase: Phase,
        /// Pass of that phase, from 1.
        pass: u32,
        /// What it works on.
        domain: Extent,
    },
    /// Bytes were read and are in the store.
    Read {
        /// The bytes.
        extent: Extent,
        /// Where the rescue stands.
        map: &'a Map,
    },
    /// A read failed and the device was still there.
    Failed {
        /// The bytes asked for; at least one sector of them is bad.
        extent: Extent,
        /// The system's text.
        error: &'a str,
        /// The phase that asked.
        phase: Phase,
    },
    /// The store is synced and this map is true: keep it now. [`ControlFlow::Break`] says that it could not be kept.
    Save {
        /// The map.
        map: &'a Map,
    },
}

/// How a run ended. The last map was given to [`Event::Save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every phase that the settings ask for was gone through.
    Finished,
    /// The observer asked for it.
    Paused,
    /// The settings' time is over.
    Deadline,
    /// More bytes failed than the settings allow.
    TooMuchUnreadable,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// The device is gone or another one; what it did not give is not marked bad, and the run can be resumed.
    #[error("the device was lost at {extent}: {reason}")]
    Lost {
        /// The read that did not come back.
        extent: Extent,
        /// What was found.
        reason: String,
    },
    /// The store refused; the last map given to [`Event::Save`] is true.
    #[error("the image cannot be written: {0}")]
    Store(#[from] io::Error),
    /// The map is of a medium of another size.
    #[error("the medium has {medium} bytes, the map {map}")]
    OtherSize {
        /// Size of the medium, in bytes.
        medium: u64,
        /// Size that the map speaks of, in bytes.
        map: u64,
    },
}

/// A rescue: what is known so far and what may be done.
#[derive(Clone, Debug)]
pub struct Rescue {
    map: Map,
    settings: Settings,
}

impl Rescue {
    /// Begins with nothing, or goes on from a map that was saved.
    pub fn new(map: Map, settings: Settings) -> Self {
        Self { map, settings }
    }

    /// What is known.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Gives the map back.
    pub fn into_map(self) -> Map {
        self.map
    }

    /// Reads until everything was tried, the settings end it, or the observer breaks.
    ///
    /// # Errors
    /// [`RescueError::Lost`] when the device is gone, [`RescueError::Store`] when the image cannot be written.
    pub fn run(
        &mut self,
        medium: &dyn Medium,
        store: &mut dyn Store,
        clock: &dyn Clock,
        observer: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, RescueError> {
        if medium.len() != self.map.len() {
            return Err(RescueError::OtherSize { medium: medium.len(), map: self.map.len() });
        }
        let mut reader = Reader::new(&mut self.map, &self.settings, medium, store, clock, observer);
        let stop = phases(&mut reader, &self.settings).and_then(|()| reader.save()).err();
        match stop {
            None => Ok(Outcome::Finished),
            Some(stop) => reader.close(stop),
        }
    }
}

/// Every phase, over the wanted extents and then over the medium.
fn phases(reader: &mut Reader<'_>, settings: &Settings) -> Result<(), Stop> {
    let all = Extent::new(0, reader.map().len());
    let first: Vec<Extent> = settings
        .order
        .iter()
        .filter_map(|extent| reader.whole_sectors(*extent).intersection(all))
        .collect();
    for domain in &first {
        copying::copy(reader, *domain)?;
    }
    if settings.trim {
        for domain in &first {
            sectors::trim(reader, *domain)?;
        }
    }
    let rest = (!settings.only_order).then_some(all);
    if let Some(rest) = rest {
        copying::copy(reader, rest)?;
        if settings.trim {
            sectors::trim(reader, rest)?;
        }
    }
    if settings.scrape {
        for domain in first.iter().chain(&rest) {
            sectors::scrape(reader, *domain)?;
        }
    }
    for pass in 1..=settings.retries {
        for domain in first.iter().chain(&rest) {
            sectors::retry(reader, *domain, pass)?;
        }
    }
    reader.finished();
    Ok(())
}

impl Map {
    /// True when every byte is rescued or was tried as a single sector.
    pub fn is_settled(&self) -> bool {
        [State::NonTried, State::NonTrimmed, State::NonScraped]
            .into_iter()
            .all(|state| self.areas_of(state) == 0)
    }
}
