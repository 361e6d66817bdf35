//! A recorder's clock and the counter beside it, simulated in microseconds; and the clips that come of its frames.

use daleel_core::{CivilTime, Counter, CounterKind, StoredTime};
use daleel_timeline::{Pace, Pacing, Resolved, Stamp, TimeSource, resolve};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// 2024-01-01 00:00:00, in microseconds since 1970.
pub const EPOCH: i64 = 1_704_067_200 * SECOND;

/// One frame: what it stores, and what the recorder's clock truly showed.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Reading of the recorder's clock in microseconds.
    pub clock: i64,
    /// Whether the whole second is stored.
    pub dated: bool,
    /// Stored counter.
    pub counter: u64,
    /// Frame number.
    pub number: u32,
}

/// The recorder.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Microseconds since power-up.
    pub now: i64,
    /// Clock minus `now`.
    pub offset: i64,
    /// Counter at power-up, in microseconds.
    pub phase: i64,
    /// By how many millionths the counter is fast.
    pub drift_ppm: i64,
    /// Where the counter really wraps.
    pub modulus: i64,
    number: u32,
    /// What it recorded.
    pub shots: Vec<Shot>,
}

impl Recorder {
    pub fn new(start: i64, phase: i64) -> Self {
        Self {
            now: 0,
            offset: start,
            phase,
            drift_ppm: 0,
            modulus: 65_536,
            number: 0,
            shots: Vec::new(),
        }
    }

    /// Records a frame now.
    pub fn shoot(&mut self) {
        let ran = self.now + self.now * self.drift_ppm / 1_000_000 + self.phase;
        let counter = ran.div_euclid(1000).rem_euclid(self.modulus) as u64;
        let clock = self.now + self.offset;
        self.shots.push(Shot { clock, dated: true, counter, number: self.number });
        self.number += 1;
    }

    /// Records one frame after each of the waits.
    pub fn run(&mut self, waits: impl IntoIterator<Item = i64>) {
        for wait in waits {
            self.now += wait;
            self.shoot();
        }
    }

    /// Leaves frame numbers out.
    pub fn skip_numbers(&mut self, count: u32) {
        self.number += count;
    }

    /// Moves the clock.
    pub fn step(&mut self, by: i64) {
        self.offset += by;
    }
}

impl Shot {
    pub fn stored(&self) -> StoredTime {
        StoredTime {
            second: self
                .dated
                .then(|| CivilTime::from_millis(self.clock.div_euclid(SECOND) * 1000)),
            counter: Some(Counter {
                kind: CounterKind::Own,
                value: self.counter,
                modulus: 65_536,
                ticks_per_second: 1000,
            }),
            ..StoredTime::default()
        }
    }
}

/// What pacing and resolving made of the frames.
pub struct Told {
    /// Each frame's pacing.
    pub pacing: Vec<Pacing>,
    /// Each frame's stamp.
    pub stamps: Vec<Stamp>,
    /// Each frame's time, resolved within its clip.
    pub times: Vec<Resolved>,
    /// Indices of the frames that begin a clip.
    pub clips: Vec<usize>,
}

/// How a caller uses the crate: a clip ends at a gap, and at a step unless steps are passed through.
pub fn tell(shots: &[Shot], gap_ms: u32, rate: Option<u8>, through_steps: bool) -> Told {
    let mut pace = Pace::new(1000, gap_ms, through_steps);
    let mut told =
        Told { pacing: Vec::new(), stamps: Vec::new(), times: Vec::new(), clips: vec![0] };
    let mut clip: Vec<Stamp> = Vec::new();
    for (index, shot) in shots.iter().enumerate() {
        let (pacing, stamp) = pace.next(&shot.stored(), Some(shot.number), rate);
        let cut = match pacing {
            Pacing::Gap { .. } => true,
            Pacing::Step { .. } => !through_steps,
            _ => false,
        };
        if cut {
            let after = match (pacing, clip.last()) {
                (Pacing::Step { delta: Some(delta), .. }, Some(last)) => {
                    Some(Stamp { ticks: last.ticks + delta, ..stamp })
                }
                _ => None,
            };
            told.times.extend(resolve(&clip, 1000, after));
            told.clips.push(index);
            clip.clear();
        }
        clip.push(stamp);
        told.pacing.push(pacing);
        told.stamps.push(stamp);
    }
    told.times.extend(resolve(&clip, 1000, None));
    told
}

/// How many milliseconds the truth lies outside of the stated interval; 0 inside. The truth in whole milliseconds, as the
/// resolved time is.
pub fn outside_ms(shot: &Shot, time: &Resolved) -> i64 {
    let Some(middle) = time.time else { return i64::MAX };
    let truth = shot.clock.div_euclid(1000);
    ((truth - middle.millis()).abs() - time.uncertainty_ms as i64).max(0)
}

/// The worst frame: how far outside, and which.
pub fn worst(shots: &[Shot], times: &[Resolved]) -> (i64, usize) {
    assert_eq!(shots.len(), times.len());
    shots
        .iter()
        .zip(times)
        .enumerate()
        .map(|(index, (shot, time))| (outside_ms(shot, time), index))
        .max()
        .unwrap_or((0, 0))
}

/// Every dated frame's time lies in the second it stores, and says that it rests on it.
pub fn assert_seconds_hold(shots: &[Shot], times: &[Resolved]) {
    for (shot, time) in shots.iter().zip(times).filter(|(shot, _)| shot.dated) {
        let middle = time.time.expect("a dated frame has a time");
        assert_eq!(middle.millis().div_euclid(1000), shot.clock.div_euclid(SECOND));
        let own = [TimeSource::OwnStampAndCounter, TimeSource::OwnStampAndRate];
        assert!(own.contains(&time.source), "{time:?}");
    }
}

/// Every dated frame's time rests on its counter too.
pub fn assert_counter_is_used(shots: &[Shot], times: &[Resolved]) {
    for (_, time) in shots.iter().zip(times).filter(|(shot, _)| shot.dated) {
        assert_eq!(time.source, TimeSource::OwnStampAndCounter);
    }
}
