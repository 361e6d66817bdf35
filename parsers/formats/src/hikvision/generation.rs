//! Where a recording ends inside a block whose index states times and not bytes: older footage behind the write position.
//!
//! Facts: `docs/formats/hikvision.md` section 5. A block is rewritten from its start, so behind the last frame of a recording lie the remains of
//! what was there before, or another recording that the index has lost. A picture goes on from the one before it when its time stamp (PTS) and
//! its picture counter do; counters of two recordings are often near each other, so behind bytes that are no packets both have to agree on how
//! many pictures are missing. Where pictures do not go on, the next date decides:
//!
//! - it is what the time stamps say it should be: pictures are missing, the recording goes on;
//! - it lies in the recording's time, and where the recording has no stated end the first picture behind the break is a key frame: the recorder was started again;
//! - it lies elsewhere, but the pictures follow each other without a byte between and one of stamp and counter goes on exactly: the clock was moved;
//! - otherwise, or when the tail index names another camera there than at the recording's own pictures, the footage is not the recording's.

use std::{collections::VecDeque, sync::Arc};

use daleel_core::{CivilTime, Frame};

use super::{header::HEADER_BYTES, keyframes::is_dated};

/// Time stamps count 90,000 a second and wrap at this value.
pub const PTS_MODULUS: u64 = 1 << 33;
const PTS_PER_SECOND: u64 = 90_000;
/// Dates of the index are whole seconds.
const SECOND_MS: i64 = 1000;
/// How far a date may be off what the time stamps say.
const DRIFT_MS: u64 = 2000;
/// Farthest step of the time stamp between neighbours.
const STEP_MAX: u64 = 2 * PTS_PER_SECOND;
/// Longest time without a picture that is bridged by time stamps.
const BRIDGED_MAX: u64 = 3600 * PTS_PER_SECOND;
/// How far a time stamp may go back where pictures are stored out of order.
const REORDER_MAX: u64 = PTS_PER_SECOND / 2;
/// Most pictures that are taken to be lost between two that go on.
const LOST_MAX: u32 = 1000;
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

/// What a record of the tail index says of a key frame. One byte names the camera, and is no proof alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the picture's pack begins, or a file header in front of it.
    pub offset: u64,
    /// Camera.
    pub channel: u32,
    /// Date, to the second.
    pub time: CivilTime,
}

/// What the tail index says of the key frames of a stream, by their place, ascending.
pub type Marks = Arc<Vec<Mark>>;

/// What a frame says of its place in the stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    pts: Option<u64>,
    counter: Option<u32>,
    raw: Option<u32>,
    /// Milliseconds of the recorder's clock: stated, or carried on by the time stamps.
    clock: Option<i64>,
}

/// How a picture stands to the one before it.
#[derive(Clone, Copy, Debug)]
struct Relation {
    /// Steps of the time stamp and of the counter, where both pictures have them; the counter only where it is believed.
    pts: Option<u64>,
    counter: Option<u32>,
    /// The same of the counter, believed or not.
    raw: Option<u32>,
    /// True when no byte lies between the two that is not a packet.
    is_adjacent: bool,
    /// Usual step of the time stamp, 0 when not known.
    usual: u64,
}

/// Frames behind a break.
#[derive(Debug)]
struct Doubt {
    frames: Frames,
    /// The break; `None` while only sound has come.
    relation: Option<Relation>,
    begins_with_key: bool,
}

/// Frames in the order of the stream.
pub type Frames = VecDeque<Box<Frame>>;

/// The picture counter of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// As it is stored.
    pub stored: Option<u32>,
    /// The same, once the counter has shown that it counts pictures.
    pub believed: Option<u32>,
}

/// What becomes of a frame.
#[derive(Debug)]
pub enum Judged {
    /// These frames are the recording's, in order.
    Own(Frames),
    /// Not known yet: the frame is held.
    Doubted,
    /// The recording ended before these frames.
    Older(Frames),
}

/// Follows the frames of one recording in its block.
#[derive(Debug, Default)]
pub struct Generation {
    window: Option<Window>,
    marks: Marks,
    last: Option<Place>,
    /// Camera of the recording's own key frames, by the tail index.
    channel: Option<u32>,
    /// End of the packets seen so far.
    end: u64,
    usual: u64,
    doubt: Option<Doubt>,
}

impl Generation {
    /// Follows a recording with these times; without them, everything is the recording's.
    /// `channel` is the camera that the index names: it counts where the tail index names it too.
    pub fn new(window: Option<Window>, marks: Marks, channel: Option<u32>) -> Self {
        let is_named = |channel: &u32| marks.iter().any(|mark| mark.channel == *channel);
        let channel = channel.filter(is_named);
        Self { window, marks, channel, ..Self::default() }
    }

    /// Judges a picture.
    pub fn judge(&mut self, frame: Box<Frame>, counter: Count) -> Judged {
        let Some(window) = self.window else { return Judged::Own([frame].into()) };
        let is_adjacent = frame.start() <= self.end;
        self.end = self.end.max(frame.end());
        let Count { believed, stored } = counter;
        let clock = stated(&frame);
        let place = Place { pts: pts(&frame), counter: believed, raw: stored, clock };
        let Some(last) = self.last else { return self.own(place, frame) };
        let relation = last.relation(&place, is_adjacent, self.usual);
        let is_foreign = self.is_foreign(&frame);
        if is_foreign && clock.is_some_and(|time| window.is_over(time)) {
            return self.older(frame);
        }
        if self.doubt.as_ref().is_none_or(|doubt| doubt.relation.is_none()) && relation.goes_on() {
            let is_own = place.clock.is_none_or(|time| {
                last.predicts(&place, time) || window.holds(time, None) || relation.is_exact()
            });
            if is_own {
                return self.own(place, frame);
            }
        }
        let doubt = self.doubt.get_or_insert_with(|| Doubt {
            frames: Frames::new(),
            relation: None,
            begins_with_key: frame.key,
        });
        if doubt.relation.is_none() {
            doubt.relation = Some(relation);
            doubt.begins_with_key = frame.key;
        }
        let (first, begins_with_key) = (doubt.relation.unwrap_or(relation), doubt.begins_with_key);
        let Some(time) = place.clock else { return self.hold(frame) };
        let named = self.named(&frame);
        let is_named = named.is_some() && named == self.channel;
        let is_restart = window.holds(time, last.clock.filter(|_| window.end.is_none()))
            && (begins_with_key || is_named || window.end.is_some());
        // The stamps go on without a byte between: the clock was moved.
        let is_moved = first.is_adjacent && first.pts_is_exact();
        if last.predicts(&place, time) || is_moved || (is_restart && !is_foreign) {
            return self.own(place, frame);
        }
        self.older(frame)
    }

    /// The recording ended before the frames in doubt, and before this one.
    fn older(&mut self, frame: Box<Frame>) -> Judged {
        let mut older = self.undecided();
        older.push_back(frame);
        Judged::Older(older)
    }

    /// Judges sound and the vendor's own data: what does not fit the picture before it waits for the next one.
    pub fn judge_beside(&mut self, frame: Box<Frame>) -> Judged {
        if self.window.is_none() {
            return Judged::Own([frame].into());
        }
        let is_adjacent = frame.start() <= self.end;
        self.end = self.end.max(frame.end());
        let is_near = match (self.last.and_then(|last| last.pts), pts(&frame)) {
            (Some(last), Some(own)) => is_near(last, own),
            _ => is_adjacent,
        };
        if self.last.is_none() || (self.doubt.is_none() && is_near) {
            return Judged::Own([frame].into());
        }
        self.doubt.get_or_insert_with(|| Doubt {
            frames: Frames::new(),
            relation: None,
            begins_with_key: false,
        });
        self.hold(frame)
    }

    /// Frames whose date never came. They follow a break, and nothing says whose they are.
    pub fn undecided(&mut self) -> Frames {
        self.doubt.take().map(|doubt| doubt.frames).unwrap_or_default()
    }

    fn hold(&mut self, frame: Box<Frame>) -> Judged {
        let Some(doubt) = &mut self.doubt else { return Judged::Own([frame].into()) };
        doubt.frames.push_back(frame);
        if doubt.frames.len() < DOUBTED_MAX {
            Judged::Doubted
        } else {
            Judged::Older(self.undecided())
        }
    }

    /// Takes a frame in, and with it those that stand between it and the recording's frame before.
    fn own(&mut self, mut place: Place, frame: Box<Frame>) -> Judged {
        if let Some(last) = self.last {
            place.clock = place.clock.or_else(|| last.carried(&place));
            // A pause is no usual step, unless the stream is that slow.
            let most = if self.usual == 0 { BRIDGED_MAX } else { STEP_MAX.max(self.usual) };
            if let Some(step) = last.step(&place).filter(|step| (1..=most).contains(step)) {
                self.usual = step;
            }
        }
        self.channel = self.channel.or_else(|| self.named(&frame));
        self.last = Some(place);
        let mut own = self.undecided();
        own.push_back(frame);
        Judged::Own(own)
    }

    /// The camera that the tail index names for a picture, where its date is the picture's.
    fn named(&self, frame: &Frame) -> Option<u32> {
        let start = frame.start();
        let first = start.saturating_sub(HEADER_BYTES as u64);
        let from = self.marks.partition_point(|mark| mark.offset < first);
        let own = self.marks.get(from..)?.iter().take_while(|mark| mark.offset <= start);
        let own = own.filter(|mark| mark.offset == start || mark.offset == first);
        let dated = |mark: &&Mark| {
            stated(frame).is_some_and(|time| is_dated(CivilTime::from_millis(time), mark.time))
        };
        own.filter(dated).last().map(|mark| mark.channel)
    }

    /// True when the tail index names another camera for a frame, and the record behind it names the same: one byte can be wrong.
    fn is_foreign(&self, frame: &Frame) -> bool {
        let named = self.named(frame);
        let behind = self.marks.partition_point(|mark| mark.offset <= frame.start());
        let later = self.marks.get(behind..).unwrap_or(&[]);
        let is_alike = later.first().map(|mark| mark.channel) == named;
        let returns = later.iter().any(|mark| {
            let is_inside = self.window.is_some_and(|window| {
                window.end.is_some() && window.holds(mark.time.millis(), None)
            });
            Some(mark.channel) == self.channel && is_inside
        });
        named.is_some() && self.channel.is_some() && named != self.channel && is_alike && !returns
    }

    /// Frames whose date never came, where the stream ends: those that follow the recording without a byte between, with a stamp that goes on,
    /// are its own.
    pub fn end(&mut self) -> Judged {
        let follows =
            self.doubt.as_ref().and_then(|doubt| doubt.relation).is_some_and(|relation| {
                let is_ahead = relation.pts.is_some_and(|step| (1..=BRIDGED_MAX).contains(&step));
                relation.is_adjacent
                    && is_ahead
                    && matches!(relation.counter.or(relation.raw), None | Some(1..=LOST_MAX))
            });
        let frames = self.undecided();
        if follows { Judged::Own(frames) } else { Judged::Older(frames) }
    }
}

impl Window {
    /// True when a date lies outside the recording's times, or in the second they end in.
    fn is_over(&self, time: i64) -> bool {
        !self.holds(time, None) || self.end.is_some_and(|end| time >= end.millis())
    }

    /// True when a date is one that the recording can have, behind `after` where the order of time counts.
    fn holds(&self, time: i64, after: Option<i64>) -> bool {
        let from = |start: i64| time >= start.saturating_sub(2 * SECOND_MS);
        self.start.is_none_or(|start| from(start.millis()))
            && self.end.is_none_or(|end| time < end.millis().saturating_add(2 * SECOND_MS))
            && after.is_none_or(from)
    }
}

impl Relation {
    /// True when a picture goes on from the one before it.
    fn goes_on(&self) -> bool {
        let counts = self.counter.map(|step| (1..=LOST_MAX).contains(&step));
        match (self.pts, self.is_adjacent) {
            // A pause: the next picture, later.
            (Some(step), true) if self.raw == Some(1) && (1..=BRIDGED_MAX).contains(&step) => true,
            (_, true) => self.pts_goes_on() && counts != Some(false),
            // So many pictures are missing as the time stamp says.
            (Some(step), false) => counts == Some(true) && self.agrees(step),
            (None, false) => false,
        }
    }

    fn pts_goes_on(&self) -> bool {
        self.pts
            .is_none_or(|step| step <= STEP_MAX || step >= PTS_MODULUS.saturating_sub(REORDER_MAX))
    }

    fn agrees(&self, step: u64) -> bool {
        let pictures = u64::from(self.counter.unwrap_or(0)).saturating_mul(self.usual);
        self.usual > 0
            && step.abs_diff(pictures)
                <= (pictures / 4).saturating_add(self.usual.saturating_mul(2))
    }

    fn pts_is_exact(&self) -> bool {
        self.usual > 0
            && self
                .pts
                .is_some_and(|step| step > 0 && step <= self.usual.saturating_add(self.usual / 2))
    }

    /// True when nothing can lie between the two pictures.
    fn is_exact(&self) -> bool {
        self.is_adjacent
            && matches!(self.counter, None | Some(1))
            && (self.pts.is_none() || self.pts_is_exact())
            && (self.pts.is_some() || self.counter.is_some())
    }
}

impl Place {
    fn relation(&self, next: &Self, is_adjacent: bool, usual: u64) -> Relation {
        let step = |a: Option<u32>, b: Option<u32>| a.zip(b).map(|(a, b)| b.wrapping_sub(a));
        let counter = step(self.counter, next.counter);
        let raw = step(self.raw, next.raw);
        Relation { pts: self.step(next), counter, raw, is_adjacent, usual }
    }

    fn step(&self, next: &Self) -> Option<u64> {
        let (a, b) = self.pts.zip(next.pts)?;
        Some(b.wrapping_sub(a).rem_euclid(PTS_MODULUS))
    }

    /// True when a date is what the time stamps carry this picture's clock to.
    fn predicts(&self, next: &Self, time: i64) -> bool {
        let Some(clock) = self.clock else { return false };
        let bridged = self.step(next).filter(|step| (1..=BRIDGED_MAX).contains(step));
        bridged.is_some_and(|step| {
            let milliseconds = i64::try_from(step / 90).unwrap_or(i64::MAX);
            time.abs_diff(clock.saturating_add(milliseconds)) <= DRIFT_MS
        })
    }

    /// The clock at the next frame, as the time stamps carry it on.
    fn carried(&self, next: &Self) -> Option<i64> {
        let step = self.step(next).filter(|step| *step <= STEP_MAX).unwrap_or(0);
        Some(self.clock?.saturating_add(i64::try_from(step / 90).unwrap_or(0)))
    }
}

/// True when two time stamps are near each other, in either direction.
fn is_near(a: u64, b: u64) -> bool {
    let step = b.wrapping_sub(a).rem_euclid(PTS_MODULUS);
    step <= STEP_MAX || step >= PTS_MODULUS.saturating_sub(STEP_MAX)
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

    /// One picture: where it begins (a gap before it when that is not where the last one ended), time stamp, counter, date.
    struct Shot(u64, u64, u32, Option<i64>);

    fn generation(window: Window, marks: &[(u64, u32, i64)]) -> Generation {
        let mark = |(offset, channel, second): &(u64, u32, i64)| Mark {
            offset: *offset,
            channel: *channel,
            time: noon(*second),
        };
        Generation::new(Some(window), Arc::new(marks.iter().map(mark).collect()), None)
    }

    /// Follows pictures of 10 bytes; gives how many were given out after each. Dates are seconds after noon, and dated pictures are key frames.
    fn follow_in(mut generation: Generation, shots: &[Shot]) -> Vec<Option<usize>> {
        let judge = |Shot(at, pts, counter, dated): &Shot| {
            let mut frame = picture(*pts);
            frame.units = std::iter::once(*at..*at + 10).collect();
            frame.time.second = dated.map(noon);
            frame.key = dated.is_some();
            let count = Count { stored: Some(*counter), believed: Some(*counter) };
            match generation.judge(Box::new(frame), count) {
                Judged::Own(own) => Some(own.len()),
                Judged::Doubted => Some(0),
                Judged::Older(_) => None,
            }
        };
        shots.iter().map(judge).collect()
    }

    fn follow(shots: &[Shot]) -> Vec<Option<usize>> {
        let window = Window { start: Some(noon(0)), end: Some(noon(60)) };
        follow_in(generation(window, &[]), shots)
    }

    /// older footage begins where date, time stamp and picture counter break; its undated head is not given out either.
    #[test]
    fn older_footage_ends_the_recording() {
        let shots = [
            Shot(0, 0, 100, Some(0)),
            Shot(10, 3600, 101, None),
            Shot(25, 5_000_000_000, 7, None),
            Shot(35, 5_000_003_600, 8, None),
            Shot(45, 5_000_007_200, 9, Some(-86_400)),
        ];
        assert_eq!(follow(&shots), [Some(1), Some(1), Some(0), Some(0), None]);
    }

    /// Counters of two recordings are near each other where a recorder begins them anew: behind bytes that are no packets, that proves nothing.
    #[test]
    fn stamps_that_happen_to_be_near_do_not_join_recordings() {
        for (pts, counter) in [(7200, 5), (90_000, 109), (5_000_000_000, 102)] {
            let shots = [
                Shot(0, 0, 100, Some(0)),
                Shot(10, 3600, 101, None),
                Shot(25, pts, counter, None),
                Shot(35, pts + 3600, counter + 1, None),
                // Here it passes the place where the recording ended.
                Shot(45, 7200, counter + 2, None),
                Shot(55, 10_800, counter + 3, Some(-86_400)),
            ];
            assert_eq!(follow(&shots)[2..], [Some(0), Some(0), Some(0), None], "{pts} {counter}");
        }
    }

    /// T-4: a clock that was moved is no older footage.
    #[test]
    fn a_moved_clock_does_not_end_the_recording() {
        let shots =
            [Shot(0, 0, 100, Some(0)), Shot(10, 3600, 101, None), Shot(20, 7200, 102, Some(-7200))];
        assert_eq!(follow(&shots), [Some(1); 3]);
        // The stamps are enough, where nothing lies between.
        let last = Shot(20, 7200, 5, Some(90_000));
        let shots = [Shot(0, 0, 100, Some(0)), Shot(10, 3600, 101, None), last];
        assert_eq!(follow(&shots), [Some(1); 3]);
    }

    /// A recorder that was started again inside the recording's time.
    #[test]
    fn a_restart_does_not_end_the_recording() {
        let first = || Shot(0, 900_000_000, 100_000, Some(0));
        assert_eq!(
            follow(&[first(), Shot(10, 3600, 1, Some(30)), Shot(20, 7200, 2, None)]),
            [Some(1); 3]
        );
        // Frames before its first date are its own too.
        let shots = [first(), Shot(10, 3600, 1, None), Shot(20, 7200, 2, Some(30))];
        assert_eq!(follow(&shots), [Some(1), Some(0), Some(2)]);
    }

    /// Pictures that are missing do not end a recording either: the date is what the time stamps say.
    #[test]
    fn lost_pictures_do_not_end_the_recording() {
        let shots = [
            Shot(0, 0, 100, Some(0)),
            Shot(10, 3600, 101, None),
            Shot(500, 900_000, 350, None),
            Shot(510, 903_600, 351, Some(10)),
        ];
        assert_eq!(follow(&shots), [Some(1), Some(1), Some(1), Some(1)]);
    }

    /// what the tail index gives to another camera is not taken in, even inside the recording's time.
    #[test]
    fn another_camera_ends_the_recording() {
        let window = Window { start: Some(noon(0)), end: Some(noon(60)) };
        let shots = [Shot(0, 0, 100, Some(0)), Shot(10, 5_000_000_000, 7, Some(30))];
        let judged = |marks| follow_in(generation(window, marks), &shots);
        assert_eq!(judged(&[(0, 3, 0), (10, 4, 30), (30, 4, 31)]), [Some(1), None]);
        assert_eq!(judged(&[(0, 3, 0), (10, 3, 30)]), [Some(1), Some(1)]);
        // One record alone, one of another date, one that points into a picture, and one that the next takes back say nothing.
        assert_eq!(judged(&[(0, 3, 0), (10, 4, 30)]), [Some(1), Some(1)]);
        assert_eq!(judged(&[(0, 3, 0), (10, 4, -9000), (30, 4, 31)]), [Some(1), Some(1)]);
        assert_eq!(judged(&[(0, 3, 0), (14, 4, 30), (30, 4, 31)]), [Some(1), Some(1)]);
        assert_eq!(judged(&[(0, 3, 0), (10, 4, 30), (30, 3, 31)]), [Some(1), Some(1)]);
    }

    #[test]
    fn time_stamps_wrap() {
        let shots = [
            Shot(0, (1 << 33) - 3600, 100, Some(0)),
            Shot(10, 0, 101, None),
            Shot(20, 3600, 102, Some(90_000)),
        ];
        assert_eq!(follow(&shots), [Some(1); 3]);
    }

    /// A recording that was not closed has no end: footage that is dated before it is older.
    #[test]
    fn an_open_recording_is_held_to_the_order_of_time() {
        let shots = [
            Shot(0, 0, 100, Some(0)),
            Shot(10, 5_000_000_000, 7, Some(600)),
            Shot(25, 1_000_000_000, 900_000, Some(-600)),
        ];
        let window = Window { start: None, end: None };
        assert_eq!(follow_in(generation(window, &[]), &shots), [Some(1), Some(1), None]);
    }
}
