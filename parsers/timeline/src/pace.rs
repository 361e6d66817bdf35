//! How one frame follows another: by the recorder's clock, by the counter beside it, and by both together.
//!
//! The two agree when some number of counter wraps makes the counter's step fit the step of the whole-second stamps to within a second.
//! Where they do not, the frame number and the usual distance between frames tell which of the two moved.

use daleel_core::{CounterKind, StoredTime};

use crate::resolve::narrowed;

/// How far a counter may be off the stamps before it is taken for a moved clock, in milliseconds. Below it the two drift
/// apart, or the clock is being slewed, and only the times' uncertainty grows.
const STEP_MIN_MS: i64 = 250;
/// Frames whose counter stands still before it is taken to be of no use.
const STILL_FRAMES: u32 = 3;
/// How far a stored counter may go back between frames that are merely out of order, in milliseconds.
const REORDER_MAX_MS: i64 = 500;
/// A counter that takes longer than this to wrap is followed between frames without a stamp, up to this distance, in milliseconds.
const LONG_COUNTER_MS: i64 = 3_600_000;

/// What a frame says about its time, with the counter made continuous over the clip. The input of [`resolve`](crate::resolve).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Continuous counter in ticks; starts at 0 with the clip.
    pub ticks: i64,
    /// Whole seconds since 1970 of the recorder's clock, where the frame has a valid stamp.
    pub second: Option<i64>,
    /// Milliseconds within the second, where stored apart.
    pub millisecond: Option<u16>,
    /// True where the milliseconds read 0 and nothing shows that the recorder fills them in.
    pub doubtful: bool,
    /// Which counter `ticks` follows.
    pub counter: CounterKind,
    /// Bounds of `clock - ticks` that the frames before allow, where the counter runs on from them: for the first frame of a clip, which has
    /// nothing else to go by.
    pub carried: Option<(i64, i64)>,
    /// True when `ticks` does not continue the stored counter here.
    pub restarted: bool,
    /// True when the stored counter wrapped since the frame before: its true modulus may be one tick less.
    pub wrapped: bool,
}

/// How a frame follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// The first frame.
    First,
    /// It follows after this many ticks.
    Continues {
        /// Ticks since the frame before.
        delta: i64,
    },
    /// Footage is missing between the two, or none was recorded.
    Gap {
        /// Milliseconds without footage.
        milliseconds: i64,
    },
    /// The counter starts anew at a frame without a stamp: nothing tells how long nothing was recorded.
    Break,
    /// The recorder's clock was moved between the two; the counter, or the frame numbers, ran on.
    Step {
        /// By how much the clock moved against the footage, in milliseconds; negative is backwards.
        by_milliseconds: i64,
        /// Ticks since the frame before by the counter, where it ran on.
        delta: Option<i64>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Last {
    /// The clock in ticks, as far as the frame states it, or as the counter carries it on from the frames that do.
    clock: Option<i64>,
    counter: Option<u64>,
    number: Option<u32>,
    ticks: i64,
}

/// Follows the frames of one channel.
#[derive(Clone, Debug)]
pub struct Pace {
    gap_ms: i64,
    ticks_per_second: i64,
    through_steps: bool,
    /// The last frame that said something about its time.
    last: Option<Last>,
    /// Ticks of the last frame, whether it said something or not.
    at: i64,
    /// Bounds of `clock - ticks`, in ticks, that all frames since the last break allow.
    phase: Option<(i64, i64)>,
    /// The bounds before the last contradiction that was too small to be called a step: it may turn out to be one when the new bounds
    /// have become narrow.
    suspect: Option<(i64, i64)>,
    /// Frames in a row whose counter did not move.
    still: u32,
    /// Ticks between frames, from the stream's frame rate or from what came before.
    usual: i64,
}

impl Pace {
    /// Follows frames whose counter has `ticks_per_second`; a distance of more than `gap_ms` milliseconds is a gap. With
    /// `through_steps` the ticks go on where the recorder's clock was moved, otherwise they start anew.
    pub const fn new(ticks_per_second: u32, gap_ms: u32, through_steps: bool) -> Self {
        Self {
            gap_ms: gap_ms as i64,
            ticks_per_second: if ticks_per_second == 0 { 1000 } else { ticks_per_second as i64 },
            through_steps,
            last: None,
            at: 0,
            phase: None,
            suspect: None,
            still: 0,
            usual: 0,
        }
    }

    /// Ticks in a second.
    pub const fn ticks_per_second(&self) -> i64 {
        self.ticks_per_second
    }

    /// Takes in the next frame. After [`Pacing::Gap`], and after [`Pacing::Step`] unless steps are passed through, the stamp's ticks start
    /// at 0 again: a clip ends there. So do they after [`Pacing::Break`].
    pub fn next(
        &mut self,
        time: &StoredTime,
        number: Option<u32>,
        rate: Option<u8>,
    ) -> (Pacing, Stamp) {
        let second = time.second.map(|time| time.millis().div_euclid(1000));
        let counter = time.counter.map(|counter| counter.value);
        if let Some(rate) = rate {
            self.usual = self.ticks_per_second.checked_div(i64::from(rate)).unwrap_or(self.usual);
        }
        let before = self.phase.map(|phase| (phase, self.at));
        let (pacing, mut stamp) = match self.last {
            None => (Pacing::First, Stamp::at(0, second)),
            Some(last) => {
                let modulus = time.counter.map_or(0, |counter| counter.modulus);
                let stated = self.stated(time);
                self.follow(last, second, stated, counter, modulus, number)
            }
        };
        match (pacing, self.last) {
            (Pacing::Step { delta, .. }, Some(last)) if self.through_steps => {
                let ticks = last.ticks.saturating_add(delta.unwrap_or(self.usual).max(1));
                stamp =
                    Stamp { restarted: delta.is_none(), wrapped: true, ..Stamp::at(ticks, second) };
                self.phase = None;
                self.suspect = None;
            }
            (Pacing::Gap { .. } | Pacing::Break | Pacing::Step { .. }, _) => {
                stamp = Stamp::at(0, second);
                self.phase = None;
                self.suspect = None;
            }
            _ => {}
        }
        if second.is_none() {
            stamp.carried = self.carried(before, pacing, &stamp, counter, time);
            if matches!(pacing, Pacing::Gap { .. }) {
                self.phase = stamp.carried;
            }
        }
        stamp.millisecond = time.millisecond;
        stamp.doubtful = time.millisecond_doubtful;
        stamp.counter = time.counter.map_or(CounterKind::Own, |counter| counter.kind);
        self.narrow(&stamp);
        self.at = stamp.ticks;
        self.last = Some(match self.last {
            // A frame that says nothing leaves the one before it to compare with.
            Some(last) if second.is_none() && counter.is_none() => Last { number, ..last },
            _ => {
                let carried = self.phase.map(|(low, _)| low.saturating_add(stamp.ticks));
                let clock = self.stated(time).or(carried);
                Last { clock, counter, number, ticks: stamp.ticks }
            }
        });
        (pacing, stamp)
    }

    /// The phase at an undated frame, as the counter carries it on from the frames before.
    fn carried(
        &self,
        before: Option<((i64, i64), i64)>,
        pacing: Pacing,
        stamp: &Stamp,
        counter: Option<u64>,
        time: &StoredTime,
    ) -> Option<(i64, i64)> {
        let ((low, high), at) = before?;
        let last = self.last?;
        let moved = match pacing {
            Pacing::Continues { .. } if !stamp.restarted => 0,
            Pacing::Gap { .. } => {
                let modulus = i64::try_from(time.counter?.modulus).ok()?;
                let (a, b) = last.counter.zip(counter)?;
                let ran = i64::try_from(b).ok()?.checked_sub(i64::try_from(a).ok()?)?;
                let delta = self.long_run(ran.checked_rem_euclid(modulus)?, modulus)?;
                at.max(last.ticks).saturating_add(delta)
            }
            _ => return None,
        };
        // Clock and counter drift apart over the pause.
        let drift = moved.saturating_sub(at).max(0) >> 12;
        let (low, high) = (low.saturating_add(moved), high.saturating_add(moved));
        Some((low.saturating_sub(drift), high.saturating_add(drift)))
    }

    /// The clock in ticks as a frame states it.
    fn stated(&self, time: &StoredTime) -> Option<i64> {
        let second = time.second?.millis().div_euclid(1000);
        let milliseconds = i64::from(time.millisecond.unwrap_or(0));
        let within = self.ticks(milliseconds);
        Some(second.saturating_mul(self.ticks_per_second).saturating_add(within))
    }

    fn follow(
        &mut self,
        last: Last,
        second: Option<i64>,
        stated: Option<i64>,
        counter: Option<u64>,
        modulus: u64,
        number: Option<u32>,
    ) -> (Pacing, Stamp) {
        let clock = last.clock.zip(stated).map(|(a, b)| b.saturating_sub(a));
        let modulus = i64::try_from(modulus).unwrap_or(0);
        let ran = last.counter.zip(counter).filter(|_| modulus > 0).map(|(a, b)| {
            let (a, b) = (i64::try_from(a).unwrap_or(0), i64::try_from(b).unwrap_or(0));
            b.saturating_sub(a).rem_euclid(modulus)
        });
        let consecutive = match last.number.zip(number) {
            Some((a, b)) => b == a.wrapping_add(1) || b == a,
            None => true,
        };
        match (clock, ran) {
            (Some(clock), Some(ran)) => match self.agree(clock, ran, modulus) {
                // A clock set forward by some wraps of the counter looks like a gap; the footage itself runs on.
                Some(delta) if delta > ran && consecutive && self.is_usual(ran) => {
                    self.step(clock, Some(ran))
                }
                Some(delta) => {
                    self.continues(last, second, delta, delta > ran || wraps(last, counter))
                }
                None => self.disagree(last, second, clock, ran, consecutive),
            },
            (None, Some(ran)) if self.is_usual(ran) => {
                self.continues(last, second, ran, wraps(last, counter))
            }
            (None, Some(ran)) => match self.long_run(ran, modulus) {
                Some(delta) => self.continues(last, second, delta, wraps(last, counter)),
                None if second.is_none() && self.is_long(modulus) => {
                    (Pacing::Break, Stamp::at(0, second))
                }
                None => self.restarts(last, second),
            },
            (Some(clock), None) if clock >= 0 => self.continues(last, second, clock, false),
            (Some(clock), None) => self.step(clock, None),
            _ => self.restarts(last, second),
        }
    }

    /// The counter's step with the number of wraps that fits the clock's, if one does.
    fn agree(&self, clock: i64, ran: i64, modulus: i64) -> Option<i64> {
        let wraps = clock
            .saturating_sub(ran)
            .saturating_add(modulus.div_euclid(2))
            .checked_div_euclid(modulus)?;
        [wraps, wraps.saturating_sub(1), wraps.saturating_add(1)]
            .into_iter()
            .map(|wraps| ran.saturating_add(wraps.saturating_mul(modulus)))
            .find(|delta| clock.saturating_sub(*delta).saturating_abs() < self.ticks_per_second)
            .filter(|delta| *delta > self.ticks(REORDER_MAX_MS).saturating_neg())
    }

    /// The step of a counter that wraps so seldom that it tells the distance by itself: forwards, or a little backwards where frames
    /// are out of order.
    fn long_run(&self, ran: i64, modulus: i64) -> Option<i64> {
        let back = ran.saturating_sub(modulus);
        let delta = if back > self.ticks(REORDER_MAX_MS).saturating_neg() { back } else { ran };
        (self.is_long(modulus) && delta <= self.ticks(LONG_COUNTER_MS)).then_some(delta)
    }

    fn is_long(&self, modulus: i64) -> bool {
        modulus > self.ticks(LONG_COUNTER_MS)
    }

    fn ticks(&self, milliseconds: i64) -> i64 {
        milliseconds.saturating_mul(self.ticks_per_second).div_euclid(1000)
    }

    fn milliseconds(&self, ticks: i64) -> i64 {
        ticks.saturating_mul(1000).checked_div(self.ticks_per_second).unwrap_or(0)
    }

    /// True when a distance is one that frames of this stream have.
    fn is_usual(&self, ticks: i64) -> bool {
        ticks > 0 && ticks <= self.usual.saturating_mul(4).max(self.ticks(500))
    }

    fn continues(
        &mut self,
        last: Last,
        second: Option<i64>,
        delta: i64,
        wrapped: bool,
    ) -> (Pacing, Stamp) {
        if self.milliseconds(delta) > self.gap_ms {
            return (Pacing::Gap { milliseconds: self.milliseconds(delta) }, Stamp::at(0, second));
        }
        let stamp = Stamp { wrapped, ..Stamp::at(last.ticks.saturating_add(delta), second) };
        if let Some(by) = self.off_phase(&stamp)
            && by.saturating_abs() > self.ticks(STEP_MIN_MS)
        {
            return self.step(by.saturating_add(delta), Some(delta));
        }
        if let Some(by) = self.late_step(&stamp) {
            return self.step(by.saturating_add(delta), Some(delta));
        }
        self.still = if delta == 0 { self.still.saturating_add(1) } else { 0 };
        if self.still >= STILL_FRAMES {
            return self.restarts(last, second);
        }
        if delta > 0 {
            self.usual = delta;
        }
        (Pacing::Continues { delta }, stamp)
    }

    fn disagree(
        &mut self,
        last: Last,
        second: Option<i64>,
        clock: i64,
        ran: i64,
        consecutive: bool,
    ) -> (Pacing, Stamp) {
        if consecutive && self.is_usual(ran) {
            return self.step(clock, Some(ran));
        }
        if (0..=self.ticks_per_second).contains(&clock) {
            return self.restarts(last, second);
        }
        if clock > 0 && self.milliseconds(clock) > self.gap_ms {
            return (Pacing::Gap { milliseconds: self.milliseconds(clock) }, Stamp::at(0, second));
        }
        if clock > 0 {
            return self.restarts_after(last, second, clock);
        }
        self.step(clock, None)
    }

    /// The clock moved by `clock` ticks while the footage moved by `delta`.
    fn step(&self, clock: i64, delta: Option<i64>) -> (Pacing, Stamp) {
        let by = clock.saturating_sub(delta.unwrap_or(self.usual));
        (Pacing::Step { by_milliseconds: self.milliseconds(by), delta }, Stamp::at(0, None))
    }

    /// The counter is of no use here; the frame is taken to follow at the usual distance.
    fn restarts(&mut self, last: Last, second: Option<i64>) -> (Pacing, Stamp) {
        let usual = if self.usual > 0 { self.usual } else { self.ticks(40) };
        self.restarts_after(last, second, usual)
    }

    fn restarts_after(&mut self, last: Last, second: Option<i64>, delta: i64) -> (Pacing, Stamp) {
        self.phase = None;
        let ticks = self.at.max(last.ticks).saturating_add(delta);
        let stamp = Stamp { restarted: true, ..Stamp::at(ticks, second) };
        (Pacing::Continues { delta }, stamp)
    }

    /// By how many ticks the clock is off what the frames so far allow; `None` when it is not.
    fn off_phase(&self, stamp: &Stamp) -> Option<i64> {
        distance(self.phase?, stamp.phase(self.ticks_per_second)?)
    }

    /// A step that a contradiction some frames ago turns out to have been, in ticks.
    fn late_step(&self, stamp: &Stamp) -> Option<i64> {
        let now = narrowed(self.phase?, stamp.phase(self.ticks_per_second)?)?;
        let by = distance(self.suspect?, now)?;
        (by.saturating_abs() > self.ticks(STEP_MIN_MS)).then_some(by)
    }

    fn narrow(&mut self, stamp: &Stamp) {
        let Some(own) = stamp.phase(self.ticks_per_second) else { return };
        let narrower =
            self.phase.filter(|_| !stamp.restarted).and_then(|phase| narrowed(phase, own));
        if narrower.is_none() && !stamp.restarted {
            self.suspect = self.phase;
        }
        let phase = narrower.unwrap_or(own);
        // As narrow as this, the new bounds would have shown a step.
        let (low, high) = phase;
        if stamp.restarted || high.saturating_sub(low) < self.ticks(STEP_MIN_MS) / 4 {
            self.suspect = None;
        }
        self.phase = Some(phase);
    }
}

/// How far the second interval lies from the first; `None` when they meet.
fn distance((low, high): (i64, i64), (other_low, other_high): (i64, i64)) -> Option<i64> {
    if other_low > high {
        Some(other_low.saturating_sub(high))
    } else if other_high < low {
        Some(other_high.saturating_sub(low))
    } else {
        None
    }
}

/// True when the stored value went down: the counter passed its modulus.
fn wraps(last: Last, counter: Option<u64>) -> bool {
    last.counter.zip(counter).is_some_and(|(a, b)| b < a)
}

impl Stamp {
    const fn at(ticks: i64, second: Option<i64>) -> Self {
        Self {
            ticks,
            second,
            millisecond: None,
            doubtful: false,
            counter: CounterKind::Own,
            carried: None,
            restarted: false,
            wrapped: false,
        }
    }

    /// The milliseconds within the second, where they are known to be filled in.
    pub(crate) fn exact_millisecond(&self) -> Option<u16> {
        self.millisecond.filter(|_| !self.doubtful)
    }

    /// Bounds of `clock - ticks` that this stamp alone allows, both included.
    pub(crate) fn phase(&self, ticks_per_second: i64) -> Option<(i64, i64)> {
        let start = self.second?.checked_mul(ticks_per_second)?.checked_sub(self.ticks)?;
        Some(match self.exact_millisecond() {
            Some(ms) => {
                let within = i64::from(ms).checked_mul(ticks_per_second)?.div_euclid(1000);
                let at = start.checked_add(within)?;
                (at, at.checked_add(ticks_per_second.div_euclid(1000).saturating_sub(1).max(0))?)
            }
            None => (start, start.checked_add(ticks_per_second.saturating_sub(1))?),
        })
    }
}
