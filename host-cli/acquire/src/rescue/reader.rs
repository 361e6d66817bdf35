//! One read at a time: into the store and the map, or an error that is put down to the medium or to the device.
//!
//! A failed read is put down to the medium only while the device proves that it still reads: it is asked for its presence
//! after every error, and before a map with fresh failures is saved, or after many of them in a row, bytes that were read before
//! are read again. When that fails, the failures since the last good read are taken back out of the map.

use std::{io, ops::ControlFlow, time::Duration};

use daleel_core::Extent;

use super::{
    engine::{Event, Outcome, Phase, RescueError, Store},
    map::{Map, State, between},
    pace::Pace,
    settings::{Clock, Settings},
};
use crate::medium::{Buffer, Medium, MediumError};

/// Failures in a row after which the proof is asked for at the latest, however often it was given.
const IN_A_ROW_LIMIT: usize = 256;
/// Marks remembered until something vouches for them: two for each failure.
const DOUBTFUL_LIMIT: usize = 2 * IN_A_ROW_LIMIT;

/// Why the phases end early.
#[derive(Debug)]
pub(super) enum Stop {
    Paused,
    Deadline,
    TooMuchUnreadable,
    Lost { extent: Extent, reason: String },
    Store(io::Error),
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// The bytes, as fast as they should come.
    Good,
    /// The bytes, slower than the settings' rate.
    Slow,
    /// An error; the map has the new state.
    Bad,
    /// A large read failed: nothing is known but that large reads are over.
    TooLarge,
}

/// The pass that is going on.
#[derive(Clone, Copy, Debug)]
struct Pass {
    phase: Phase,
    errors: u64,
    bytes: u64,
    since: Duration,
}

/// Everything one run works with.
pub(super) struct Reader<'a> {
    map: &'a mut Map,
    settings: &'a Settings,
    medium: &'a dyn Medium,
    store: &'a mut dyn Store,
    clock: &'a dyn Clock,
    observer: &'a mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    buffer: Buffer,
    sector: u64,
    pub(super) pace: Pace,
    pass: Pass,
    begun: Duration,
    saved_at: Duration,
    unsaved_bytes: u64,
    changed: bool,
    /// Failures that nothing has vouched for yet, with the state from before.
    doubtful: Vec<(Extent, State)>,
    in_a_row: usize,
    proof_due: usize,
    /// The last sector that was read well, for the proof.
    witness: Option<(u64, Vec<u8>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        map: &'a mut Map,
        settings: &'a Settings,
        medium: &'a dyn Medium,
        store: &'a mut dyn Store,
        clock: &'a dyn Clock,
        observer: &'a mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Self {
        let sector = u64::from(medium.sector_bytes().max(1));
        let pace = Pace::new(settings, sector, map.failed_bytes() > 0);
        let now = clock.now();
        let pass = Pass { phase: Phase::Copying, errors: 0, bytes: 0, since: now };
        Self {
            buffer: Buffer::new(usize::try_from(pace.largest()).unwrap_or(0)),
            map,
            settings,
            medium,
            store,
            clock,
            observer,
            sector,
            pace,
            pass,
            begun: now,
            saved_at: now,
            unsaved_bytes: 0,
            changed: false,
            doubtful: Vec::new(),
            in_a_row: 0,
            proof_due: usize::try_from(settings.errors_in_a_row.max(1)).unwrap_or(IN_A_ROW_LIMIT),
            witness: None,
        }
    }

    pub(super) fn map(&self) -> &Map {
        self.map
    }

    /// Bytes per logical sector.
    pub(super) fn sector(&self) -> u64 {
        self.sector
    }

    /// `extent`, widened to whole sectors.
    pub(super) fn whole_sectors(&self, extent: Extent) -> Extent {
        let end = extent.end().checked_next_multiple_of(self.sector).unwrap_or(u64::MAX);
        between(align_down(extent.offset(), self.sector), end.min(self.map.len()))
    }

    /// A pass begins; its limits count from here.
    pub(super) fn begin(&mut self, phase: Phase, pass: u32, domain: Extent) -> Result<(), Stop> {
        self.pass = Pass { phase, errors: 0, bytes: 0, since: self.clock.now() };
        self.map.status.status = phase.symbol();
        self.map.status.pass = pass;
        self.tell(&Event::Pass { phase, pass, domain })
    }

    /// True when the pass has used up what it may.
    pub(super) fn pass_is_over(&self) -> bool {
        let limits = self.settings.limits;
        let spent = self.clock.now().saturating_sub(self.pass.since);
        limits.errors.is_some_and(|limit| self.pass.errors >= limit)
            || limits.bytes.is_some_and(|limit| self.pass.bytes >= limit)
            || limits.time.is_some_and(|limit| spent >= limit)
    }

    /// Every phase was gone through.
    pub(super) fn finished(&mut self) {
        self.map.status.status = '+';
        self.changed = true;
    }

    /// Reads `extent`, which lies in one stretch of the map and is not longer than the buffer. When it fails it gets `failed`.
    pub(super) fn read(&mut self, extent: Extent, failed: State) -> Result<Got, Stop> {
        self.map.status.position = extent.offset();
        self.pass.bytes = self.pass.bytes.saturating_add(extent.len());
        let length = usize::try_from(extent.len()).unwrap_or(usize::MAX);
        let before = self.clock.now();
        let result = match self.buffer.get_mut(..length) {
            Some(bytes) => self.medium.read_at(extent.offset(), bytes),
            None => Err(MediumError::Unreadable(io::ErrorKind::InvalidInput.into())),
        };
        let got = match result {
            Ok(()) => self.keep(extent, length, before)?,
            Err(MediumError::Lost(reason)) => return Err(Stop::Lost { extent, reason }),
            Err(MediumError::Unreadable(error)) => self.fail(extent, failed, &error)?,
        };
        self.save_when_due()?;
        self.check_end()?;
        Ok(got)
    }

    fn keep(&mut self, extent: Extent, length: usize, before: Duration) -> Result<Got, Stop> {
        let bytes = self.buffer.get(..length).unwrap_or_default();
        self.store.write_at(extent.offset(), bytes).map_err(Stop::Store)?;
        let sector = usize::try_from(self.sector).unwrap_or(length);
        let witness = bytes.get(..sector).unwrap_or(bytes).to_vec();
        self.witness = Some((extent.offset(), witness));
        self.map.mark(extent, State::Finished);
        self.pace.good(extent.len());
        self.unsaved_bytes = self.unsaved_bytes.saturating_add(extent.len());
        self.changed = true;
        self.vouch();
        self.proof_due = usize::try_from(self.settings.errors_in_a_row.max(1)).unwrap_or(1);
        let spent = self.clock.now().saturating_sub(before);
        self.tell_read(extent)?;
        Ok(if self.is_slow(extent.len(), spent) { Got::Slow } else { Got::Good })
    }

    fn is_slow(&self, length: u64, spent: Duration) -> bool {
        self.settings.min_rate.is_some_and(|rate| {
            let allowed = u128::from(length).saturating_mul(1_000_000_000);
            spent.as_nanos().saturating_mul(u128::from(rate)) > allowed
        })
    }

    fn fail(&mut self, extent: Extent, failed: State, error: &io::Error) -> Result<Got, Stop> {
        if let Err(gone) = self.medium.check_presence() {
            return Err(Stop::Lost { extent, reason: gone.to_string() });
        }
        let too_large = self.pace.is_large(extent.len());
        self.pass.errors = self.pass.errors.saturating_add(1);
        let text = error.to_string();
        self.map.reasons.add(&text);
        self.changed = true;
        self.pace.bad();
        if !too_large {
            self.mark_failed(extent, failed)?;
        }
        let phase = self.pass.phase;
        self.tell(&Event::Failed { extent, error: &text, phase })?;
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row >= self.proof_due {
            self.proof_due = self.proof_due.saturating_mul(2).min(IN_A_ROW_LIMIT);
            self.in_a_row = 0;
            self.prove(extent)?;
        }
        Ok(if too_large { Got::TooLarge } else { Got::Bad })
    }

    fn mark_failed(&mut self, extent: Extent, failed: State) -> Result<(), Stop> {
        self.doubt(extent);
        if failed == State::BadSector {
            // The documented pattern for unreadable sectors, whatever the store held there.
            let length = usize::try_from(extent.len()).unwrap_or(0);
            if let Some(bytes) = self.buffer.get_mut(..length) {
                bytes.fill(0);
                self.store.write_at(extent.offset(), bytes).map_err(Stop::Store)?;
            }
        }
        self.map.mark(extent, failed);
        Ok(())
    }

    /// Remembers the state of one stretch, for the case that nothing vouches for what is marked now.
    fn doubt(&mut self, extent: Extent) {
        if let Some((_, before)) = self.map.at(extent.offset()) {
            // A device that never gave a byte cannot prove anything; its failures are not kept for ever.
            if self.doubtful.len() >= DOUBTFUL_LIMIT {
                self.doubtful.remove(0);
            }
            self.doubtful.push((extent, before));
        }
    }

    /// The rest of a cluster, of which a sector failed, was not tried but is left to trimming as if the whole cluster had failed.
    pub(super) fn leave_to_trimming(&mut self, rest: Extent) {
        if !rest.is_empty() {
            self.doubt(rest);
            self.map.mark(rest, State::NonTrimmed);
        }
    }

    /// The edges of `area` were found: what of it was not trimmed is to be scraped.
    pub(super) fn leave_to_scraping(&mut self, area: Extent) {
        let open: Vec<Extent> = self
            .map
            .within(area)
            .filter(|(_, state)| *state == State::NonTrimmed)
            .map(|(extent, _)| extent)
            .collect();
        for extent in open {
            self.map.mark(extent, State::NonScraped);
        }
        self.changed = true;
    }

    /// Something was read: what failed before did so on a working device.
    fn vouch(&mut self) {
        self.doubtful.clear();
        self.in_a_row = 0;
    }

    /// Reads again what was read before; when none of it can be had, the device is lost.
    fn prove(&mut self, at: Extent) -> Result<(), Stop> {
        let known = self.known_good();
        let mut reason = None;
        for (extent, expected) in known {
            let length = usize::try_from(extent.len()).unwrap_or(0);
            let Some(bytes) = self.buffer.get_mut(..length) else { continue };
            match self.medium.read_at(extent.offset(), bytes) {
                Ok(()) if expected.is_none_or(|expected| expected == *bytes) => {
                    self.vouch();
                    return Ok(());
                }
                Ok(()) => {
                    let reason = format!("{extent} now reads as other bytes than before");
                    return Err(Stop::Lost { extent: at, reason });
                }
                Err(MediumError::Lost(reason)) => return Err(Stop::Lost { extent: at, reason }),
                Err(MediumError::Unreadable(error)) => {
                    if let Err(gone) = self.medium.check_presence() {
                        return Err(Stop::Lost { extent: at, reason: gone.to_string() });
                    }
                    reason = Some(format!("{extent} was read before and now fails: {error}"));
                }
            }
        }
        match reason {
            Some(reason) => Err(Stop::Lost { extent: at, reason }),
            None => Ok(()),
        }
    }

    /// Sectors that were read well: the last one, the first one of the medium, and one in between.
    fn known_good(&self) -> Vec<(Extent, Option<Vec<u8>>)> {
        let mut known = Vec::new();
        if let Some((offset, bytes)) = &self.witness {
            known.push((Extent::new(*offset, bytes.len() as u64), Some(bytes.clone())));
        }
        let all = Extent::new(0, self.map.len());
        for from in [0, self.map.len() / 2] {
            if let Some(extent) = self.map.next(State::Finished, from, all)
                && let Some(start) = extent.offset().checked_next_multiple_of(self.sector)
                && let Some(sector) = Extent::new(start, self.sector).intersection(extent)
            {
                known.push((sector, None));
            }
        }
        known
    }

    fn save_when_due(&mut self) -> Result<(), Stop> {
        let waited = self.clock.now().saturating_sub(self.saved_at);
        // The proof that a map with fresh failures needs comes for free with the next good read, which is waited for a while.
        let time = self.settings.save_time;
        let time = if self.doubtful.is_empty() { time } else { time.saturating_mul(2) };
        let due = self.unsaved_bytes >= self.settings.save_bytes || waited >= time;
        if due && self.changed { self.save() } else { Ok(()) }
    }

    /// Makes what the map claims durable and gives the map out to be kept.
    pub(super) fn save(&mut self) -> Result<(), Stop> {
        self.prove_doubtful()?;
        self.store.sync().map_err(Stop::Store)?;
        self.saved_at = self.clock.now();
        self.unsaved_bytes = 0;
        self.changed = false;
        match (self.observer)(&Event::Save { map: self.map }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Paused),
        }
    }

    fn check_end(&self) -> Result<(), Stop> {
        let spent = self.clock.now().saturating_sub(self.begun);
        if self.settings.deadline.is_some_and(|limit| spent >= limit) {
            return Err(Stop::Deadline);
        }
        match self.settings.max_unreadable {
            Some(limit) if self.map.failed_bytes() > limit => Err(Stop::TooMuchUnreadable),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, event: &Event<'_>) -> Result<(), Stop> {
        match (self.observer)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Paused),
        }
    }

    fn tell_read(&mut self, extent: Extent) -> Result<(), Stop> {
        match (self.observer)(&Event::Read { extent, map: self.map }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Paused),
        }
    }

    /// When failures have not been vouched for, asks for the proof.
    pub(super) fn prove_doubtful(&mut self) -> Result<(), Stop> {
        match self.doubtful.last() {
            Some((extent, _)) => self.prove(*extent),
            None => Ok(()),
        }
    }

    /// Takes failures that nothing vouches for back out of the map: they say nothing about the medium.
    pub(super) fn take_back(&mut self) {
        while let Some((extent, before)) = self.doubtful.pop() {
            self.map.mark(extent, before);
        }
    }

    /// Ends the run: a lost device takes its unproved failures with it, and the last map is given out.
    pub(super) fn close(mut self, stop: Stop) -> Result<Outcome, RescueError> {
        let mut stop = stop;
        if !matches!(stop, Stop::Lost { .. } | Stop::Store(_))
            && let Err(lost) = self.prove_doubtful()
        {
            stop = lost;
        }
        if matches!(stop, Stop::Lost { .. }) {
            self.take_back();
        }
        if let Stop::Store(error) = stop {
            return Err(error.into());
        }
        // Whether the observer could keep it no longer changes how the run ends.
        self.doubtful.clear();
        if let Err(Stop::Store(error)) = self.save() {
            return Err(error.into());
        }
        match stop {
            Stop::Paused => Ok(Outcome::Paused),
            Stop::Deadline => Ok(Outcome::Deadline),
            Stop::TooMuchUnreadable => Ok(Outcome::TooMuchUnreadable),
            Stop::Lost { extent, reason } => Err(RescueError::Lost { extent, reason }),
            Stop::Store(error) => Err(error.into()),
        }
    }
}

/// The multiple of `unit` at or before `offset`.
pub(super) fn align_down(offset: u64, unit: u64) -> u64 {
    offset.saturating_sub(offset.checked_rem(unit).unwrap_or(0))
}
