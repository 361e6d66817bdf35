//! The time of every frame of a clip, with its uncertainty.
//!
//! A frame stamped with second `s` and counter `m` says that the phase `c = clock - m` lies in `[s, s + 1 s) - m`. The phase is the same for
//! all frames as long as clock and counter run evenly, so the statements of neighbours narrow each other down: from the frames before
//! and from the frames behind. The bounds are let out a little with time (clock and counter drift) and at every counter wrap
//! (a modulus of 65535 has been seen where 65536 is documented). Where the statements before and behind a frame exclude
//! each other the clock was moved a little somewhere near, and the frame's interval covers both.

use daleel_core::{CivilTime, CounterKind};

use crate::pace::Stamp;

/// Clock and counter may drift apart by this much: one part in 4096.
const DRIFT_SHIFT: u32 = 12;

/// Clock and counter are cut to whole milliseconds apart from each other, and drift is counted in whole ticks.
const TRUNCATION_MS: i64 = 2;

/// Where a frame's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The frame's own stamp with its milliseconds.
    OwnStamp,
    /// The frame's own whole-second stamp, narrowed down by the counter.
    OwnStampAndCounter,
    /// The frame's own whole-second stamp; the counter is of no use here and the frame is placed by the usual distance.
    OwnStampAndRate,
    /// The counter, from the nearest frames that have a stamp.
    Counter,
    /// The frame's own whole-second stamp, narrowed down by the presentation time stamps.
    OwnStampAndPts,
    /// The presentation time stamp, from the nearest frames that have a date.
    Pts,
    /// Nothing tells.
    None,
}

impl TimeSource {
    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnStamp => "own-stamp",
            Self::OwnStampAndCounter => "own-stamp+counter",
            Self::OwnStampAndRate => "own-stamp+frame-rate",
            Self::Counter => "counter",
            Self::OwnStampAndPts => "own-stamp+pts",
            Self::Pts => "pts",
            Self::None => "none",
        }
    }
}

/// A frame's time on the recorder's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The middle of the interval; `None` for an undated clip.
    pub time: Option<CivilTime>,
    /// The true reading of the recorder's clock lies within this many milliseconds of `time`.
    pub uncertainty_ms: u64,
    /// Where it comes from.
    pub source: TimeSource,
}

/// From this width on an interval is the whole second of a stamp and no more.
const DOUBTFUL_WIDTH_MS: i64 = 900;

type Bounds = Option<(i64, i64)>;

/// Frames given out at a time.
const BLOCK_FRAMES: usize = 4096;
/// Frames behind a block that may still narrow it down: well over one turn of a 16-bit millisecond counter at 25 frames a second.
const AHEAD_FRAMES: usize = 4096;

/// Resolves the stamps of a clip as they come, holding a bounded number of them.
#[derive(Clone, Debug)]
pub struct Resolver {
    ticks_per_second: i64,
    held: Vec<Stamp>,
    /// What the frames given out say of the phase, with the last of them.
    forward: Option<(Stamp, Bounds)>,
}

impl Resolver {
    /// A resolver for stamps of a clock with so many ticks a second.
    pub const fn new(ticks_per_second: i64) -> Self {
        Self { ticks_per_second, held: Vec::new(), forward: None }
    }

    /// Takes in the next stamp. Gives the times of earlier ones once enough is known, in order.
    pub fn push(&mut self, stamp: Stamp) -> Vec<Resolved> {
        self.held.push(stamp);
        if self.held.len() < BLOCK_FRAMES.saturating_add(AHEAD_FRAMES) {
            return Vec::new();
        }
        self.give(BLOCK_FRAMES, None)
    }

    /// Gives the times of all stamps that are left. `after` is the stamp of a frame behind the clip whose counter ran on while the clock
    /// moved: it tells which of the last frames may already have been stamped by the moved clock.
    pub fn finish(mut self, after: Option<Stamp>) -> Vec<Resolved> {
        let left = self.held.len();
        self.give(left, after)
    }

    fn give(&mut self, count: usize, after: Option<Stamp>) -> Vec<Resolved> {
        let backward = self.backward(after);
        let mut out = Vec::with_capacity(count);
        let given: Vec<Stamp> = self.held.drain(..count.min(self.held.len())).collect();
        for (stamp, back) in given.iter().zip(backward) {
            let carried = match &self.forward {
                Some((last, bounds)) if !stamp.restarted => loosen(*bounds, last, stamp),
                Some(_) => None,
                None => stamp.carried,
            };
            let bounds = meet(carried, stamp.phase(self.ticks_per_second));
            out.push(interval(stamp, bounds, back, self.ticks_per_second));
            self.forward = Some((*stamp, bounds));
        }
        out
    }

    /// What each held stamp and those behind it say of the phase.
    fn backward(&self, after: Option<Stamp>) -> Vec<Bounds> {
        let mut out = vec![None; self.held.len()];
        let mut bounds: Bounds = after.and_then(|stamp| stamp.phase(self.ticks_per_second));
        let mut behind: Option<&Stamp> = after.as_ref();
        for (stamp, slot) in self.held.iter().zip(out.iter_mut()).rev() {
            let carried = match behind {
                Some(next) if !next.restarted => loosen(bounds, stamp, next),
                _ => None,
            };
            bounds = meet(carried, stamp.phase(self.ticks_per_second));
            *slot = bounds;
            behind = Some(stamp);
        }
        out
    }
}

/// Resolves the stamps of one clip at once; see [`Resolver`].
pub fn resolve(stamps: &[Stamp], ticks_per_second: i64, after: Option<Stamp>) -> Vec<Resolved> {
    let mut resolver = Resolver::new(ticks_per_second);
    let mut out: Vec<Resolved> = stamps.iter().flat_map(|stamp| resolver.push(*stamp)).collect();
    out.extend(resolver.finish(after));
    out
}

/// Bounds carried from one frame to its neighbour.
fn loosen(bounds: Bounds, first: &Stamp, second: &Stamp) -> Bounds {
    let (low, high) = bounds?;
    let apart = second.ticks.saturating_sub(first.ticks).saturating_abs();
    // Whole drift steps only: one tick at a boundary of 4096 ticks.
    let drift =
        (second.ticks >> DRIFT_SHIFT).saturating_sub(first.ticks >> DRIFT_SHIFT).saturating_abs();
    let wraps = if second.wrapped { (apart >> 16).saturating_add(1) } else { 0 };
    let slack = drift.saturating_add(wraps);
    Some((low.saturating_sub(slack), high.saturating_add(slack)))
}

/// What both allow; the frame's own statement alone where they exclude each other.
fn meet(carried: Bounds, own: Bounds) -> Bounds {
    match (carried, own) {
        (Some(carried), Some(own)) => Some(narrowed(carried, own).unwrap_or(own)),
        (carried, None) => carried,
        (None, own) => own,
    }
}

/// What both intervals allow. Two that only just touch, where each has room, exclude each other: that is how a clock looks that was moved by
/// the width of what was known.
pub(crate) fn narrowed(
    (low, high): (i64, i64),
    (own_low, own_high): (i64, i64),
) -> Option<(i64, i64)> {
    const TOUCH_TICKS: i64 = 5;
    const ROOM_TICKS: i64 = 100;
    let both = (low.max(own_low), high.min(own_high));
    let left = both.1.saturating_sub(both.0);
    let room = high.saturating_sub(low).min(own_high.saturating_sub(own_low));
    let touch = left <= TOUCH_TICKS && room >= ROOM_TICKS;
    (left >= 0 && !touch).then_some(both)
}

fn interval(stamp: &Stamp, forward: Bounds, backward: Bounds, ticks_per_second: i64) -> Resolved {
    let both = match (forward, backward) {
        (Some(a), Some(b)) => Some(narrowed(a, b).unwrap_or((a.0.min(b.0), a.1.max(b.1)))),
        (one, None) | (None, one) => one,
    };
    // A frame that says nothing and whose place among those before it is only assumed has the time that those behind it give.
    let is_placed = !stamp.restarted || stamp.second.is_some() || backward.is_some();
    let both = both.filter(|_| is_placed);
    let Some((low, high)) = both else {
        return Resolved { time: None, uncertainty_ms: 0, source: TimeSource::None };
    };
    let clock = |phase: i64| stamp.ticks.saturating_add(phase);
    let millis = |ticks: i64| {
        let wide =
            i128::from(ticks).saturating_mul(1000).div_euclid(i128::from(ticks_per_second.max(1)));
        i64::try_from(wide).unwrap_or(i64::MAX)
    };
    let (from, to) = (millis(clock(low)), millis(clock(high)));
    let shown = match forward {
        // Nothing but a second whose milliseconds read 0: it is shown as it is stored.
        _ if stamp.doubtful && to.saturating_sub(from) >= DOUBTFUL_WIDTH_MS => from,
        // The clock was moved somewhere before the next stamp: the frame is shown by the one before, and may be off by the whole move.
        Some((low, high)) if stamp.second.is_none() && Some((low, high)) != both => {
            middle(millis(clock(low)), millis(clock(high))).clamp(from, to)
        }
        _ => middle(from, to),
    };
    // What the frame says by itself holds as it is; what its neighbours say was cut to whole milliseconds.
    let by_neighbours =
        stamp.exact_millisecond().is_none() && both != stamp.phase(ticks_per_second);
    let slack = if by_neighbours { TRUNCATION_MS } else { 0 };
    let reach = to.saturating_sub(shown).max(shown.saturating_sub(from)).max(1);
    let uncertainty_ms = reach.saturating_add(slack).unsigned_abs();
    let is_pts = stamp.counter == CounterKind::Pts;
    let source = match (stamp.second, stamp.exact_millisecond()) {
        (Some(_), Some(_)) => TimeSource::OwnStamp,
        // Nothing narrowed it down.
        (Some(_), None) if stamp.doubtful && !by_neighbours => TimeSource::OwnStamp,
        (Some(_), None) if stamp.restarted => TimeSource::OwnStampAndRate,
        (Some(_), None) if is_pts => TimeSource::OwnStampAndPts,
        (Some(_), None) => TimeSource::OwnStampAndCounter,
        (None, _) if is_pts => TimeSource::Pts,
        (None, _) => TimeSource::Counter,
    };
    Resolved { time: Some(CivilTime::from_millis(shown)), uncertainty_ms, source }
}

fn middle(from: i64, to: i64) -> i64 {
    from.saturating_add(to.saturating_sub(from).div_euclid(2))
}
