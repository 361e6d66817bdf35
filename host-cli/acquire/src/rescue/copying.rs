//! The copying phase: everything not tried yet, the most bytes for the fewest failures first.
//!
//! A failed read costs as much time as hundreds of megabytes of good ones, so the passes differ in how likely their reads fail.
//! 1: forwards, skipping ahead behind every failure, further while failures are close together. 2: what was skipped, from the
//! side where good bytes lie. 3: the largest stretches between failures, from their middles (bisection), and from each good
//! find to both sides. 4: the rest in order. Facts: GNU ddrescue manual 1.27, chapter "Algorithm".

use std::collections::BinaryHeap;

use daleel_core::Extent;

use super::{
    engine::Phase,
    map::{State, between},
    reader::{Got, Reader, Stop, align_down},
};

/// Farthest skip: a part of the medium, and at most this.
const SKIP_PART: u64 = 32;
const SKIP_LIMIT: u64 = 4 << 30;
/// Clusters below which a stretch between failures is no longer bisected.
const BISECT_CLUSTERS: u64 = 16;
/// Going backwards, a seek is paid for every stretch that is read at once; it grows with the good bytes found so far.
const STRETCH_PART: u64 = 64;
const STRETCH_CLUSTERS: u64 = 16;

/// Copies what was not tried in `domain`.
pub(super) fn copy(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    let begins = resume_at(reader, domain);
    let passes: [fn(&mut Reader<'_>, Extent, u64) -> Result<(), Stop>; 4] =
        [skip_ahead, from_good_sides, largest_first, rest];
    for (pass, number) in passes.into_iter().zip(1u32..) {
        if reader.map().next(State::NonTried, 0, domain).is_some() {
            reader.begin(Phase::Copying, number, domain)?;
            pass(reader, domain, begins)?;
        }
    }
    Ok(())
}

/// Where the first pass goes on: what lies before the position of an interrupted first pass was skipped on purpose.
fn resume_at(reader: &Reader<'_>, domain: Extent) -> u64 {
    let status = reader.map().status;
    let resumes = status.status == Phase::Copying.symbol() && status.pass <= 1;
    if resumes && domain.contains(status.position) {
        align_down(status.position, reader.pace.cluster()).max(domain.offset())
    } else {
        domain.offset()
    }
}

/// One read of the copying phase, with what it teaches about the pace.
fn read(reader: &mut Reader<'_>, extent: Extent) -> Result<Got, Stop> {
    let got = reader.read(extent, State::NonTrimmed)?;
    match got {
        Got::Good | Got::Slow => reader.pace.good(extent.len()),
        Got::Bad => reader.pace.bad(),
        Got::TooLarge => {}
    }
    Ok(got)
}

/// The first read of `gap`: it ends at a multiple of the pace's unit.
fn first_piece(reader: &Reader<'_>, gap: Extent) -> Extent {
    let unit = reader.pace.unit();
    let end = align_down(gap.offset(), unit).saturating_add(unit);
    between(gap.offset(), end.min(gap.end()))
}

/// How far the first pass jumps behind a failure.
struct Skip {
    now: u64,
    good: u64,
    least: u64,
    most: u64,
}

impl Skip {
    fn new(cluster: u64, medium: u64) -> Self {
        let most = align_down((medium / SKIP_PART).min(SKIP_LIMIT), cluster);
        Self { now: 0, good: 0, least: cluster, most: most.max(cluster) }
    }

    fn good(&mut self, length: u64) {
        self.good = self.good.saturating_add(length);
    }

    /// Failures far apart are single ones; close together they are a damaged stretch, to be left quickly.
    fn failed(&mut self) -> u64 {
        if self.good >= self.now.saturating_mul(16) {
            self.now = self.least;
        } else if self.good < self.now.saturating_mul(2) {
            self.now = self.now.saturating_mul(4).min(self.most);
        }
        self.good = 0;
        self.now
    }
}

fn skip_ahead(reader: &mut Reader<'_>, domain: Extent, begins: u64) -> Result<(), Stop> {
    let mut skip = Skip::new(reader.pace.cluster(), reader.map().len());
    let mut at = begins;
    while let Some(gap) = reader.map().next(State::NonTried, at, domain) {
        if reader.pass_is_over() {
            break;
        }
        let piece = first_piece(reader, gap);
        at = match read(reader, piece)? {
            Got::Good => {
                skip.good(piece.len());
                piece.end()
            }
            Got::Slow | Got::Bad => piece.end().saturating_add(skip.failed()),
            Got::TooLarge => piece.offset(),
        };
    }
    Ok(())
}

fn is_good(reader: &Reader<'_>, offset: u64) -> bool {
    reader.map().at(offset).is_some_and(|(_, state)| state == State::Finished)
}

fn from_good_sides(reader: &mut Reader<'_>, domain: Extent, _: u64) -> Result<(), Stop> {
    let mut before = domain.end();
    while let Some(gap) = reader.map().previous(State::NonTried, before, domain) {
        if reader.pass_is_over() {
            break;
        }
        before = gap.offset();
        let above = gap.end() >= domain.end() || is_good(reader, gap.end());
        let left = if above { backwards(reader, gap)? } else { gap };
        let below = gap.offset().checked_sub(1).is_some_and(|last| is_good(reader, last));
        if below && !left.is_empty() {
            forwards(reader, left)?;
        }
    }
    Ok(())
}

/// Reads from the start of `gap` until a read fails; gives what is left behind the failure.
fn forwards(reader: &mut Reader<'_>, gap: Extent) -> Result<Extent, Stop> {
    let mut gap = gap;
    while !gap.is_empty() && !reader.pass_is_over() {
        let piece = first_piece(reader, gap);
        let got = read(reader, piece)?;
        if got != Got::TooLarge {
            gap = between(piece.end(), gap.end());
        }
        if got == Got::Bad {
            break;
        }
    }
    Ok(gap)
}

/// Reads from the end of `gap` until a read fails; gives what is left before the failure.
///
/// What is read at once is read forwards, so that it costs one seek. When a read of it fails, what lies behind the failure still
/// has a good side, and is read in halves.
fn backwards(reader: &mut Reader<'_>, gap: Extent) -> Result<Extent, Stop> {
    let mut gap = gap;
    let mut found: u64 = 0;
    while !gap.is_empty() && !reader.pass_is_over() {
        let stretch = last_stretch(reader, gap, found);
        let left = forwards(reader, stretch)?;
        found = found.saturating_add(stretch.len());
        let is_done = left.is_empty() && is_good(reader, stretch.end().saturating_sub(1));
        if !is_done {
            halves(reader, left)?;
            return Ok(between(gap.offset(), stretch.offset()));
        }
        gap = between(gap.offset(), stretch.offset());
    }
    Ok(gap)
}

fn last_stretch(reader: &Reader<'_>, gap: Extent, found: u64) -> Extent {
    let (unit, cluster) = (reader.pace.unit(), reader.pace.cluster());
    let most = cluster.saturating_mul(STRETCH_CLUSTERS);
    let length = (found / STRETCH_PART).clamp(unit, most.max(unit));
    let start =
        align_down(gap.end().saturating_sub(1), unit).saturating_sub(length.saturating_sub(unit));
    between(align_down(start, unit).max(gap.offset()), gap.end())
}

/// Reads the upper half of what lies between a failure and good bytes, and so on towards whichever side holds.
fn halves(reader: &mut Reader<'_>, gap: Extent) -> Result<(), Stop> {
    let mut gap = gap;
    while !gap.is_empty() && !reader.pass_is_over() {
        let unit = reader.pace.unit();
        let middle = align_down(gap.offset().saturating_add(gap.len() / 2), unit);
        let upper = between(middle.max(gap.offset()), gap.end());
        let left = forwards(reader, upper)?;
        gap = if left.is_empty() && is_good(reader, upper.end().saturating_sub(1)) {
            between(gap.offset(), upper.offset())
        } else {
            left
        };
    }
    Ok(())
}

fn largest_first(reader: &mut Reader<'_>, domain: Extent, _: u64) -> Result<(), Stop> {
    let least = reader.pace.cluster().saturating_mul(BISECT_CLUSTERS);
    let mut gaps = BinaryHeap::new();
    let push = |gaps: &mut BinaryHeap<(u64, u64)>, reader: &Reader<'_>, within: Extent| {
        let open = reader.map().within(within).filter(|(_, state)| *state == State::NonTried);
        gaps.extend(
            open.filter(|(gap, _)| gap.len() >= least).map(|(gap, _)| (gap.len(), gap.offset())),
        );
    };
    push(&mut gaps, reader, domain);
    while let Some((length, offset)) = gaps.pop() {
        if reader.pass_is_over() {
            break;
        }
        let gap = Extent::new(offset, length);
        let middle = align_down(offset.saturating_add(length / 2), reader.pace.cluster());
        let upper = between(middle.max(offset), gap.end());
        forwards(reader, upper)?;
        if is_good(reader, upper.offset()) {
            backwards(reader, between(offset, upper.offset()))?;
        }
        push(&mut gaps, reader, gap);
    }
    Ok(())
}

fn rest(reader: &mut Reader<'_>, domain: Extent, _: u64) -> Result<(), Stop> {
    let mut at = domain.offset();
    while let Some(gap) = reader.map().next(State::NonTried, at, domain) {
        if reader.pass_is_over() {
            break;
        }
        at = forwards(reader, gap)?.offset();
    }
    Ok(())
}
