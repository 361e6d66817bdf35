//! Pacing and time resolution against simulated recorders whose true time is known.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is the failure report"
)]

mod support;

use daleel_core::{CivilTime, Counter, CounterKind, StoredTime};
use daleel_timeline::{Pace, Pacing, TimeSource, resolve};
use proptest::prelude::*;
use support::{EPOCH, Recorder, SECOND, assert_counter_is_used, assert_seconds_hold, tell, worst};

const GAP_MS: u32 = 2000;
/// Clock and counter are stored without their parts of a millisecond, so that the distance of the two whole values changes by one
/// and by one more while they drift: what a frame's interval cannot know.
const WHOLE_MILLISECONDS: i64 = 0;

/// Waits between frames: `fps` with jitter, in microseconds.
fn waits(fps: i64, jitter: &[i64], count: usize, unit: i64) -> Vec<i64> {
    let usual = SECOND / fps;
    jitter
        .iter()
        .cycle()
        .take(count)
        .map(|by| (usual + by * usual / 100).div_euclid(unit) * unit)
        .collect()
}

fn steps(pacing: &[Pacing]) -> Vec<(usize, i64)> {
    pacing
        .iter()
        .enumerate()
        .filter_map(|(index, pacing)| match pacing {
            Pacing::Step { by_milliseconds, .. } => Some((index, *by_milliseconds)),
            _ => None,
        })
        .collect()
}

fn gaps(pacing: &[Pacing]) -> Vec<(usize, i64)> {
    pacing
        .iter()
        .enumerate()
        .filter_map(|(index, pacing)| match pacing {
            Pacing::Gap { milliseconds } => Some((index, *milliseconds)),
            _ => None,
        })
        .collect()
}

/// Cases without a file of failures beside the test: what fails is printed.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

prop_compose! {
    fn jitter()(values in prop::collection::vec(-40i64..40, 1..40)) -> Vec<i64> { values }
}

proptest! {
    #![proptest_config(cases(200))]

    /// T-6: clock and counter that run evenly in whole milliseconds: the interval holds the truth, is no wider than the frames are
    /// apart, and times never go back.
    #[test]
    fn even_clock_and_counter(
        start in 0i64..86_400_000, phase in 0i64..65_536, fps in 1i64..31, jitter in jitter(), count in 2usize..2500,
    ) {
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.shoot();
        recorder.run(waits(fps, &jitter, count, 1000));
        let told = tell(&recorder.shots, 4000, Some(fps as u8), false);
        prop_assert_eq!(&told.clips, &[0]);
        prop_assert_eq!(worst(&recorder.shots, &told.times).0, 0);
        assert_seconds_hold(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        for pair in told.times.windows(2) {
            prop_assert!(pair[0].time < pair[1].time);
        }
        for (stamp, shot) in told.stamps.iter().zip(&recorder.shots) {
            prop_assert_eq!(stamp.ticks, (shot.clock - recorder.shots[0].clock) / 1000);
        }
    }

    /// T-6: the same with a clock and a counter that do not tick together, drift apart by up to one part in 8192, and a counter that
    /// wraps at 65535 or 65536.
    #[test]
    fn uneven_clock_and_counter(
        start in 0i64..86_400_000_000, phase in 0i64..65_536_000, fps in 1i64..31, jitter in jitter(),
        drift_ppm in -120i64..121, short in any::<bool>(), count in 2usize..5000,
    ) {
        let mut recorder = Recorder::new(EPOCH + start, phase);
        recorder.drift_ppm = drift_ppm;
        recorder.modulus = if short { 65_535 } else { 65_536 };
        recorder.shoot();
        recorder.run(waits(fps, &jitter, count, 1));
        let told = tell(&recorder.shots, 4000, Some(fps as u8), false);
        prop_assert_eq!(&told.clips, &[0]);
        let (by, at) = worst(&recorder.shots, &told.times);
        prop_assert!(by <= WHOLE_MILLISECONDS, "frame {}: {} ms outside of {:?}", at, by, told.times[at]);
        assert_seconds_hold(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        for pair in told.times.windows(2) {
            prop_assert!(pair[0].time <= pair[1].time);
        }
    }

    /// T-4, T-6: a clock moved by any amount in settled footage: whatever is reported, the interval holds the truth. A step that no
    /// jump of a whole-second stamp can hide is reported at its frame, once.
    #[test]
    fn moved_clock(
        start in 0i64..86_400_000, phase in 0i64..65_536, fps in 12i64..31, jitter in jitter(),
        size in prop_oneof![300i64..1000, 1000i64..1300, 1300i64..5000, 5000i64..200_000, 3_500_000i64..3_700_000],
        backwards in any::<bool>(), before in 0i64..1500, after in 0i64..1500, through in any::<bool>(),
    ) {
        let by = if backwards { -size } else { size };
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.shoot();
        recorder.run(waits(fps, &jitter, (fps * 4 + fps * before / 1000) as usize, 1000));
        let moved = recorder.shots.len();
        recorder.step(by * 1000);
        recorder.run(waits(fps, &jitter, (fps * 4 + fps * after / 1000) as usize, 1000));
        let told = tell(&recorder.shots, GAP_MS, Some(fps as u8), through);
        let (out, at) = worst(&recorder.shots, &told.times);
        prop_assert!(out <= 0, "step {} at {}: frame {} is {} ms outside of {:?}", by, moved, at, out, told.times[at]);
        assert_seconds_hold(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        prop_assert!(gaps(&told.pacing).is_empty());
        let reported = steps(&told.pacing);
        prop_assert!(reported.len() <= 1, "{:?}", reported);
        // A step of about a second can look like a late frame at first; then it is told when the next seconds have been seen.
        if size >= 1000 {
            let [(index, told_by)] = reported[..] else {
                panic!("step {by} at {moved} is not reported: {reported:?}")
            };
            prop_assert!(index == moved || (size < 1400 && index > moved), "{} for {}", index, moved);
            prop_assert!((told_by - by).abs() < 1000 + 2 * SECOND / fps / 1000, "{} for {}", told_by, by);
        }
    }

    /// T-4, T-6: a clock that is set again and again, by as little as the frames are apart and as much as hours.
    #[test]
    fn clock_moved_many_times(
        start in 0i64..86_400_000, phase in 0i64..65_536, jitter in jitter(), through in any::<bool>(),
        moves in prop::collection::vec(
            (prop_oneof![150i64..300, 300i64..1000, 1000i64..5000, 60_000i64..70_000, 3_590_000i64..3_610_000], any::<bool>(), 75usize..200),
            1..8,
        ),
    ) {
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.shoot();
        recorder.run(waits(25, &jitter, 100, 1000));
        for (size, backwards, count) in moves {
            recorder.step(if backwards { -size * 1000 } else { size * 1000 });
            recorder.run(waits(25, &jitter, count, 1000));
        }
        let told = tell(&recorder.shots, GAP_MS, Some(25), through);
        let (out, at) = worst(&recorder.shots, &told.times);
        prop_assert!(out <= 0, "frame {} is {} ms outside of {:?}", at, out, told.times[at]);
        assert_seconds_hold(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        prop_assert!(gaps(&told.pacing).is_empty());
    }

    /// G-2: footage that is missing is reported at its frame with its length, by the counter to the millisecond where it ran on, and
    /// by the clock where the recorder was started anew.
    #[test]
    fn missing_footage(
        start in 0i64..86_400_000, phase in 0i64..65_536, fps in 12i64..31, jitter in jitter(),
        pauses in prop::collection::vec(
            (prop_oneof![3100i64..10_000, 10_000i64..200_000, 3_600_000i64..200_000_000], any::<bool>(), 0i64..65_536, 40usize..120),
            1..6,
        ),
    ) {
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.shoot();
        recorder.run(waits(fps, &jitter, 100, 1000));
        let mut expected = Vec::new();
        for (length, restarts, phase, count) in pauses {
            recorder.now += length * 1000;
            if restarts {
                recorder.phase = phase * 1000;
            }
            // Frames were coded and not kept, or numbered anew.
            recorder.skip_numbers(if restarts { 100_000 } else { (length / 40) as u32 });
            expected.push((recorder.shots.len(), length, restarts));
            recorder.shoot();
            recorder.run(waits(fps, &jitter, count, 1000));
        }
        let told = tell(&recorder.shots, GAP_MS, Some(fps as u8), false);
        let (out, at) = worst(&recorder.shots, &told.times);
        prop_assert!(out <= 0, "frame {} is {} ms outside of {:?}", at, out, told.times[at]);
        prop_assert!(steps(&told.pacing).is_empty());
        let reported = gaps(&told.pacing);
        prop_assert_eq!(reported.len(), expected.len());
        for ((at, told), (index, length, restarts)) in reported.into_iter().zip(expected) {
            prop_assert_eq!(at, index);
            prop_assert!((told - length).abs() <= if restarts { 2000 } else { 0 }, "{} for {}", told, length);
        }
    }

    /// Frames that are missing for less than a gap leave their distance and nothing else.
    #[test]
    fn short_pauses_keep_the_clip(
        start in 0i64..86_400_000, phase in 0i64..65_536, jitter in jitter(),
        pauses in prop::collection::vec((100i64..1900, 1usize..60), 1..30),
    ) {
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.shoot();
        for (pause, count) in pauses {
            recorder.run([pause * 1000]);
            recorder.run(waits(25, &jitter, count, 1000));
        }
        let told = tell(&recorder.shots, GAP_MS, Some(25), false);
        prop_assert_eq!(&told.clips, &[0]);
        prop_assert_eq!(worst(&recorder.shots, &told.times).0, 0);
        for (stamp, shot) in told.stamps.iter().zip(&recorder.shots) {
            prop_assert_eq!(stamp.ticks, (shot.clock - recorder.shots[0].clock) / 1000);
        }
    }

    /// T-5: frames with an impossible date between dated ones are timed by the counter, and say so.
    #[test]
    fn undated_frames_take_the_counter(
        start in 0i64..86_400_000, phase in 0i64..65_536, fps in 12i64..31, jitter in jitter(),
        dated in prop::collection::vec(any::<bool>(), 20..600),
    ) {
        let mut recorder = Recorder::new(EPOCH + start * 1000, phase * 1000);
        recorder.run(waits(fps, &jitter, dated.len(), 1000));
        for (shot, dated) in recorder.shots.iter_mut().zip(&dated) {
            shot.dated = *dated;
        }
        prop_assume!(dated.iter().any(|dated| *dated));
        let told = tell(&recorder.shots, GAP_MS, Some(fps as u8), false);
        prop_assert_eq!(&told.clips, &[0]);
        let (out, at) = worst(&recorder.shots, &told.times);
        prop_assert!(out <= 0, "frame {} is {} ms outside of {:?}", at, out, told.times[at]);
        assert_seconds_hold(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        assert_counter_is_used(&recorder.shots, &told.times);
        for (time, dated) in told.times.iter().zip(&dated) {
            prop_assert_eq!(time.source == TimeSource::Counter, !*dated);
        }
    }

    /// T-6: a counter that says nothing does not make times wrong, whatever it holds.
    #[test]
    fn a_useless_counter_leaves_the_second(
        start in 0i64..86_400_000_000, jitter in jitter(), counters in prop::collection::vec(0u64..65_536, 1..500),
        rate in prop::option::of(Just(25u8)), count in 100usize..2000,
    ) {
        let mut recorder = Recorder::new(EPOCH + start, 0);
        recorder.run(waits(25, &jitter, count, 1));
        for (shot, counter) in recorder.shots.iter_mut().zip(counters.iter().cycle()) {
            shot.counter = *counter;
        }
        let told = tell(&recorder.shots, GAP_MS, rate, false);
        assert_seconds_hold(&recorder.shots, &told.times);
        prop_assert!(told.times.iter().all(|time| time.uncertainty_ms <= 502));
    }
}

/// T-6: a counter that stands still cuts nothing: the frames follow each other by their seconds.
#[test]
fn a_counter_that_stands_still_cuts_nothing() {
    for (counter, rate) in [(0, Some(25)), (777, Some(25)), (777, None), (65_535, None)] {
        let mut recorder = Recorder::new(EPOCH + 123_456, 0);
        recorder.run(waits(25, &[0, 5, -3], 3000, 1));
        recorder.shots.iter_mut().for_each(|shot| shot.counter = counter);
        let told = tell(&recorder.shots, GAP_MS, rate, false);
        assert_eq!(told.clips, [0]);
        assert_eq!(worst(&recorder.shots, &told.times).0, 0);
        assert_seconds_hold(&recorder.shots, &told.times);
    }
}

/// A counter of random values cuts next to nothing: chance alone makes it agree with the clock now and then.
#[test]
fn a_random_counter_cuts_next_to_nothing() {
    let mut recorder = Recorder::new(EPOCH + 123_456, 0);
    recorder.run(waits(25, &[0, 5, -3], 25 * 600, 1));
    let mut state = 1u64;
    for shot in &mut recorder.shots {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        shot.counter = state >> 48;
    }
    let told = tell(&recorder.shots, GAP_MS, Some(25), false);
    assert!(told.clips.len() < 60, "{} clips in ten minutes", told.clips.len());
    assert_seconds_hold(&recorder.shots, &told.times);
}

/// T-6: hours of footage, resolved piece by piece: as narrow and as steady as a short clip.
#[test]
fn a_long_clip_is_resolved_like_a_short_one() {
    let mut recorder = Recorder::new(EPOCH + 123_000, 60_000_000);
    recorder.drift_ppm = 40;
    recorder.modulus = 65_535;
    recorder.run(waits(25, &[0, 5, -3, 11], 40_000, 1));
    let told = tell(&recorder.shots, GAP_MS, Some(25), false);
    assert_eq!(told.clips, [0]);
    assert!(worst(&recorder.shots, &told.times).0 <= WHOLE_MILLISECONDS);
    assert_seconds_hold(&recorder.shots, &told.times);
    assert_counter_is_used(&recorder.shots, &told.times);
    assert!(told.times.iter().all(|time| time.uncertainty_ms <= 60));
    assert!(told.times.windows(2).all(|pair| pair[0].time < pair[1].time));
}

/// Frames that are stored in the order of decoding, not of time.
#[test]
fn frames_out_of_order_stay_in_one_clip() {
    let mut recorder = Recorder::new(EPOCH + 123_000, 60_000_000);
    recorder.run(waits(25, &[0, 5, -3], 3000, 1000));
    for pair in recorder.shots.chunks_mut(3) {
        pair[1..].reverse();
    }
    for (number, shot) in (0..).zip(&mut recorder.shots) {
        shot.number = number;
    }
    let told = tell(&recorder.shots, GAP_MS, Some(25), false);
    assert_eq!(told.clips, [0]);
    assert_eq!(worst(&recorder.shots, &told.times).0, 0);
    assert_seconds_hold(&recorder.shots, &told.times);
    assert_counter_is_used(&recorder.shots, &told.times);
    for (stamp, shot) in told.stamps.iter().zip(&recorder.shots) {
        assert_eq!(stamp.ticks, (shot.clock - recorder.shots[0].clock) / 1000);
    }
}

/// T-9: the hour that comes twice is a step back by an hour, reported at its frame; within each hour times rise.
#[test]
fn the_hour_that_comes_twice() {
    for through in [false, true] {
        let mut recorder = Recorder::new(EPOCH + 7_199_013_000, 55_000_000);
        recorder.run(waits(25, &[0, 7, -9, 3], 25 * 90, 1000));
        let moved = recorder.shots.len();
        recorder.step(-3600 * SECOND);
        recorder.run(waits(25, &[0, 7, -9, 3], 25 * 90, 1000));
        let told = tell(&recorder.shots, GAP_MS, Some(25), through);
        let reported = steps(&told.pacing);
        assert_eq!(reported.len(), 1);
        assert_eq!(reported[0].0, moved);
        assert!((reported[0].1 + 3_600_000).abs() <= 1000);
        assert_eq!(worst(&recorder.shots, &told.times).0, 0);
        for (index, pair) in told.times.windows(2).enumerate() {
            assert_eq!(pair[0].time < pair[1].time, index + 1 != moved, "frame {index}");
        }
        if through {
            let last = told.stamps.last().unwrap().ticks;
            assert_eq!(last, (recorder.now - 40_000) / 1000);
        }
    }
}

/// T-5: without any date there is no time, and the footage is paced by the counter.
#[test]
fn an_undated_clip_has_no_time() {
    let mut recorder = Recorder::new(EPOCH, 65_000_000);
    recorder.run(vec![40_000; 100]);
    recorder.shots.iter_mut().for_each(|shot| shot.dated = false);
    let told = tell(&recorder.shots, GAP_MS, Some(25), false);
    assert_eq!(told.clips, [0]);
    assert!(told.times.iter().all(|time| (time.time, time.source) == (None, TimeSource::None)));
    assert_eq!(told.stamps[99].ticks, 99 * 40);
}

/// Milliseconds that are stored apart give the time to the millisecond.
#[test]
fn stored_milliseconds_are_exact() {
    let mut recorder = Recorder::new(EPOCH + 987_654_000, 12_345_000);
    recorder.run(waits(20, &[0, 10, -10], 300, 1000));
    let mut pace = Pace::new(1000, GAP_MS, false);
    let stamps: Vec<_> = recorder
        .shots
        .iter()
        .map(|shot| {
            let millisecond = Some((shot.clock / 1000).rem_euclid(1000) as u16);
            let (pacing, stamp) = pace.next(
                &StoredTime { millisecond, ..shot.stored() },
                Some(shot.number),
                Some(20),
            );
            assert!(matches!(pacing, Pacing::First | Pacing::Continues { .. }));
            stamp
        })
        .collect();
    for (shot, time) in recorder.shots.iter().zip(resolve(&stamps, 1000, None)) {
        assert_eq!(time.time, Some(CivilTime::from_millis(shot.clock / 1000)));
        assert_eq!((time.uncertainty_ms, time.source), (1, TimeSource::OwnStamp));
    }
}

/// A counter of 90 kHz, as presentation times have, is as good.
#[test]
fn other_counters_have_other_ticks() {
    let mut pace = Pace::new(90_000, GAP_MS, false);
    let start = 1_704_067_200_000i64;
    let clock = |frame: i64| start + 417 + frame * 40;
    let stamps: Vec<_> = (0..200)
        .map(|frame| {
            let time = StoredTime {
                second: Some(CivilTime::from_millis(clock(frame) / 1000 * 1000)),
                counter: Some(Counter {
                    kind: CounterKind::Own,
                    // Wraps on the way.
                    value: ((1u64 << 33) - 90_000 + frame as u64 * 3600) % (1 << 33),
                    modulus: 1 << 33,
                    ticks_per_second: 90_000,
                }),
                ..StoredTime::default()
            };
            let (pacing, stamp) = pace.next(&time, None, None);
            assert!(matches!(pacing, Pacing::First | Pacing::Continues { .. }));
            assert_eq!(stamp.ticks, frame * 3600);
            stamp
        })
        .collect();
    for (frame, time) in (0i64..).zip(resolve(&stamps, 90_000, None)) {
        let off = (time.time.unwrap().millis() - clock(frame)).unsigned_abs();
        assert!(off <= time.uncertainty_ms && time.uncertainty_ms <= 23, "{off} {time:?}");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    /// nothing that can be stored makes pacing or resolving panic, and each frame gets an answer.
    #[test]
    fn anything_is_answered(
        frames in prop::collection::vec(
            (any::<Option<i64>>(), prop::option::of((any::<u64>(), any::<u64>())), any::<Option<u16>>(), any::<Option<u32>>(), any::<Option<u8>>()),
            0..60,
        ),
        tps in prop_oneof![Just(0u32), Just(1), Just(1000), Just(90_000), any::<u32>()],
        gap in any::<u32>(), through in any::<bool>(),
    ) {
        let mut pace = Pace::new(tps, gap, through);
        let mut stamps = Vec::new();
        for (second, counter, millisecond, number, rate) in frames {
            let counter = counter.map(|(value, modulus)| Counter { kind: CounterKind::Own, value, modulus, ticks_per_second: tps });
            let second = second.map(|ms| CivilTime::from_millis(ms).whole_second());
            let time = StoredTime { second, counter, millisecond, ..StoredTime::default() };
            stamps.push(pace.next(&time, number, rate).1);
        }
        let times = resolve(&stamps, pace.ticks_per_second(), stamps.first().copied());
        prop_assert_eq!(times.len(), stamps.len());
    }
}
