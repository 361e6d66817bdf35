//! Where a recording ends inside a block whose index states times and not bytes: older footage behind the write position.
//!
//! Facts: `docs/formats/hikvision.md` section 5. A block is rewritten from its start, so behind the last frame of a recording lie the remains of
//! what was there before. Footage is older where **both** its date lies outside the recording's window **and** neither its time stamp (PTS)
//! nor its picture counter goes on from the frame before. A date outside the window with stamps that go on is a moved clock; stamps that start
//! anew with a date inside the window are a recorder that was started again.

use daleel_core::{CivilTime, Frame};

/// Time stamps count 90,000 a second and wrap at this value.
pub const PTS_MODULUS: u64 = 1 << 33;
const PTS_PER_SECOND: u64 = 90_000;
/// Dates of the index are whole seconds and written beside the frames.
const WINDOW_SLACK_MS: i64 = 10_000;
/// Farthest step of the picture counter over frames that were lost.
const LOST_FRAMES_MAX: u32 = 1000;
/// Farthest step of the time stamp between neighbours.
const STEP_MAX: u64 = 2 * PTS_PER_SECOND;
/// How far a time stamp may go back where pictures are stored out of order.
const REORDER_MAX: u64 = PTS_PER_SECOND / 2;
/// Undated frames that wait for a date to tell whose they are.
const DOUBTED_MAX: usize = 20_000;

/// The times a recording has by the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its begin, where the index or the block's tail states one.
    pub start: Option<CivilTime>,
    /// Its end; `None` for a recording that was not closed.
    pub end: Option<CivilTime>,
}

/// What a frame says of its place in the stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    pts: Option<u64>,
    counter: Option<u32>,
    /// Milliseconds of the recorder's clock: stated, or carried on by the time stamps.
    clock: Option<i64>,
}

/// What becomes of a frame.
#[derive(Debug)]
pub enum Judged {
    /// These frames are the recording's, in order.
    Own(Vec<Box<Frame>>),
    /// Not known yet: the frame is held.
    Doubted,
    /// The recording ended before these frames.
    Older(Vec<Box<Frame>>),
}

/// Follows the frames of one recording in its block.
#[derive(Debug, Default)]
pub struct Generation {
    window: Option<Window>,
    last: Option<Place>,
    /// Frames behind a break that have no date.
    doubted: Vec<Box<Frame>>,
}

impl Generation {
    /// Follows a recording with these times; without them, everything is the recording's.
    pub const fn new(window: Option<Window>) -> Self {
        Self { window, last: None, doubted: Vec::new() }
    }

    /// Judges a picture. `counter` is its picture counter, where the stream has one.
    pub fn judge(&mut self, frame: Box<Frame>, counter: Option<u32>) -> Judged {
        let Some(window) = self.window else { return Judged::Own(vec![frame]) };
        let stated = stated(&frame);
        let mut place = Place { pts: pts(&frame), counter, clock: stated };
        let Some(last) = self.last else {
            self.last = Some(place);
            return Judged::Own(vec![frame]);
        };
        if last.goes_on(&place) {
            place.clock = stated.or_else(|| last.carried(&place));
            return self.own(place, frame);
        }
        let Some(time) = stated else {
            self.doubted.push(frame);
            return if self.doubted.len() < DOUBTED_MAX {
                Judged::Doubted
            } else {
                Judged::Older(self.undecided())
            };
        };
        if window.holds(time, last.clock) {
            return self.own(place, frame);
        }
        self.doubted.push(frame);
        Judged::Older(self.undecided())
    }

    /// Judges sound and the vendor's own data: what does not fit the picture before it waits for the next one.
    pub fn judge_beside(&mut self, frame: Box<Frame>) -> Judged {
        let place = Place { pts: pts(&frame), counter: None, clock: None };
        let is_near = self.window.is_none()
            || self.last.is_none_or(|last| place.pts.is_none() || last.is_near(&place));
        if self.doubted.is_empty() && is_near {
            return Judged::Own(vec![frame]);
        }
        self.doubted.push(frame);
        if self.doubted.len() < DOUBTED_MAX {
            Judged::Doubted
        } else {
            Judged::Older(self.undecided())
        }
    }

    /// Takes a frame in, and with it those that stand between it and the recording's frame before.
    fn own(&mut self, place: Place, frame: Box<Frame>) -> Judged {
        self.last = Some(place);
        let mut own = std::mem::take(&mut self.doubted);
        own.push(frame);
        Judged::Own(own)
    }

    /// Frames whose date never came. They follow a break, and nothing says whose they are.
    pub fn undecided(&mut self) -> Vec<Box<Frame>> {
        std::mem::take(&mut self.doubted)
    }
}

impl Window {
    /// True when a date is one that the recording can have behind a frame at `last`.
    fn holds(&self, time: i64, last: Option<i64>) -> bool {
        let after = |start: i64| time >= start.saturating_sub(WINDOW_SLACK_MS);
        let started = self.start.is_none_or(|start| after(start.millis()));
        match self.end {
            Some(end) => started && time <= end.millis().saturating_add(WINDOW_SLACK_MS),
            // Nothing says when it ended: only the order of time is left.
            None => started && last.is_none_or(after),
        }
    }
}

impl Place {
    /// True when the next frame goes on from this one, by its counter or by its time stamp.
    fn goes_on(&self, next: &Self) -> bool {
        let by_counter = self.counter.zip(next.counter).map(|(a, b)| {
            let step = b.wrapping_sub(a);
            (1..=LOST_FRAMES_MAX).contains(&step)
        });
        let step = self.step(next);
        let by_pts = step.is_some_and(|step| {
            step <= STEP_MAX || step >= PTS_MODULUS.saturating_sub(REORDER_MAX)
        });
        by_pts || by_counter == Some(true)
    }

    /// True when the time stamps are near each other, in either direction.
    fn is_near(&self, other: &Self) -> bool {
        self.step(other)
            .is_none_or(|step| step <= STEP_MAX || step >= PTS_MODULUS.saturating_sub(STEP_MAX))
    }

    fn step(&self, next: &Self) -> Option<u64> {
        let (a, b) = self.pts.zip(next.pts)?;
        Some(b.wrapping_sub(a).rem_euclid(PTS_MODULUS))
    }

    /// The clock at the next frame, as the time stamps carry it on.
    fn carried(&self, next: &Self) -> Option<i64> {
        let step = self.step(next).filter(|step| *step <= STEP_MAX).unwrap_or(0);
        let milliseconds = step.saturating_mul(1000) / PTS_PER_SECOND;
        Some(self.clock?.saturating_add(i64::try_from(milliseconds).unwrap_or(0)))
    }
}

fn pts(frame: &Frame) -> Option<u64> {
    frame.time.counter.map(|counter| counter.value)
}

fn stated(frame: &Frame) -> Option<i64> {
    let second = frame.time.second?.millis();
    Some(second.saturating_add(i64::from(frame.time.millisecond.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hikvision::tests::{noon, picture};

    /// Follows `(time stamp, counter, seconds after noon where dated)`; gives how many frames were given out after each.
    fn follow(frames: &[(u64, u32, Option<i64>)]) -> Vec<Option<usize>> {
        let window = Window { start: Some(noon(0)), end: Some(noon(60)) };
        let mut generation = Generation::new(Some(window));
        frames
            .iter()
            .map(|(pts, counter, dated)| {
                let mut frame = picture(*pts);
                frame.time.second = dated.map(noon);
                match generation.judge(Box::new(frame), Some(*counter)) {
                    Judged::Own(own) => Some(own.len()),
                    Judged::Doubted => Some(0),
                    Judged::Older(_) => None,
                }
            })
            .collect()
    }

    /// older footage begins where date, time stamp and picture counter break; its undated head is not given out either.
    #[test]
    fn older_footage_ends_the_recording() {
        let frames = [
            (0, 100, Some(0)),
            (3600, 101, None),
            (5_000_000_000, 7, None),
            (5_000_003_600, 8, None),
            (5_000_007_200, 9, Some(-86_400)),
        ];
        assert_eq!(follow(&frames), [Some(1), Some(1), Some(0), Some(0), None]);
    }

    /// T-4: a clock that was moved is no older footage.
    #[test]
    fn a_moved_clock_does_not_end_the_recording() {
        let frames = [(0, 100, Some(0)), (3600, 101, None), (7200, 102, Some(-7200))];
        assert_eq!(follow(&frames), [Some(1); 3]);
        // Either of the two that goes on is enough.
        let frames = [(0, 100, Some(0)), (7200, 5, Some(90_000))];
        assert_eq!(follow(&frames), [Some(1); 2]);
        let frames = [(0, 100, Some(0)), (8_000_000_000, 101, Some(90_000))];
        assert_eq!(follow(&frames), [Some(1); 2]);
    }

    /// A recorder that was started again inside the recording's time.
    #[test]
    fn a_restart_does_not_end_the_recording() {
        let frames = [
            (900_000_000, 100_000, Some(0)),
            (3600, 1, Some(30)),
            (7200, 2, None),
        ];
        assert_eq!(follow(&frames), [Some(1); 3]);
        // Frames before its first date are its own too.
        let frames = [(900_000_000, 100_000, Some(0)), (3600, 1, None), (7200, 2, Some(30))];
        assert_eq!(follow(&frames), [Some(1), Some(0), Some(2)]);
    }

    /// A stray between two frames that follow each other belongs where it stands.
    #[test]
    fn what_stands_between_two_own_frames_is_own() {
        let frames = [(0, 100, Some(0)), (5_000_000_000, 7, None), (3600, 101, None)];
        assert_eq!(follow(&frames), [Some(1), Some(0), Some(2)]);
    }

    #[test]
    fn time_stamps_wrap() {
        let frames = [((1 << 33) - 3600, 100, Some(0)), (0, 0, None), (3600, 0, Some(90_000))];
        assert_eq!(follow(&frames), [Some(1); 3]);
    }

    /// A recording that was not closed has no end: footage that is dated before it is older.
    #[test]
    fn an_open_recording_is_held_to_the_order_of_time() {
        let mut generation = Generation::new(Some(Window { start: None, end: None }));
        let mut judge = |pts, counter, second| {
            let mut frame = picture(pts);
            frame.time.second = Some(noon(second));
            matches!(generation.judge(Box::new(frame), Some(counter)), Judged::Own(_))
        };
        assert!(judge(0, 100, 0) && judge(5_000_000_000, 7, 600));
        assert!(!judge(1_000_000_000, 900_000, -600));
    }
}
