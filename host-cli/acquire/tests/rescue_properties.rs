//! What holds for every rescue: no sector is lost, none is called bad that is not, nothing shifts, and a rescue that was
//! interrupted ends as one that was not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

mod rescue_support;

use std::{ops::ControlFlow, time::Duration};

use daleel_acquire::rescue::{
    Event, Map, Outcome, PassLimits, Phase, RescueError, Settings, State,
};
use daleel_core::Extent;
use proptest::prelude::*;
use rescue_support::{Bad, Disk, Image, Loss, byte_at, go_on, run};

/// A small disk, damaged somehow; small reads so that every pass has work on it.
#[derive(Clone, Debug)]
struct Case {
    sectors: u64,
    tail: u64,
    sector: u32,
    bad: Vec<(u64, u64)>,
    settings: Settings,
}

impl Case {
    fn len(&self) -> u64 {
        self.sectors * u64::from(self.sector) + self.tail % u64::from(self.sector)
    }

    fn disk(&self) -> Disk {
        let all = self.len().div_ceil(self.sector.into());
        let sectors =
            self.bad.iter().flat_map(|(from, length)| *from..from + length).filter(|at| *at < all);
        Disk::new(self.len(), self.sector, Bad::of_sectors(sectors, self.sector.into()))
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let bad = prop_oneof![
        prop::collection::vec((0u64..1200, 1u64..4), 0..12),
        prop::collection::vec((0u64..1200, 1u64..200), 0..4),
        prop::collection::vec((0u64..1200, 1u64..2), 0..120),
    ];
    let order = prop::collection::vec((0u64..700_000, 0u64..200_000), 0..4);
    let sizes = (prop_oneof![Just(512u32), Just(4096)], 1u64..1200, 0u64..4096);
    let settings = (0u32..3, any::<bool>(), 3u32..7, 0u32..6, order, 1u64..200_000, 1u32..20);
    (sizes, bad, settings).prop_map(|((sector, sectors, tail), bad, settings)| {
        let (retries, suspect, cluster, larger, order, save_bytes, errors_in_a_row) = settings;
        let settings = Settings {
            large_bytes: 512 << (cluster + larger),
            cluster_bytes: 512 << cluster,
            suspect,
            sound_bytes: 100_000,
            retries,
            order: order.into_iter().map(|(at, length)| Extent::new(at, length)).collect(),
            save_bytes,
            errors_in_a_row,
            ..Settings::default()
        };
        Case { sectors, tail, sector, bad, settings }
    })
}

/// The map that every complete rescue must end with.
fn settled(disk: &Disk) -> Vec<(Extent, State)> {
    let mut map = Map::new(disk.len);
    map.mark(Extent::new(0, disk.len), State::Finished);
    disk.bad.runs().for_each(|run| map.mark(run, State::BadSector));
    map.iter().collect()
}

/// Every good byte has the right value at its own offset, every unreadable one is zero.
fn check_image(disk: &Disk, image: &Image) {
    let bytes = image.bytes();
    let mut expected = vec![0u8; bytes.len()];
    rescue_support::fill(0, &mut expected);
    for run in disk.bad.runs() {
        let end = run.end().min(disk.len) as usize;
        expected[run.offset() as usize..end].fill(0);
    }
    assert!(bytes == expected, "the image is not what the disk holds");
}

/// No byte that the disk gives is called bad, and what is called good is in the image.
fn check_truth(disk: &Disk, map: &Map, image: Option<&Image>) {
    let bytes = image.map(Image::bytes);
    for (extent, state) in map.iter() {
        match state {
            State::BadSector => {
                for at in (extent.offset()..extent.end()).step_by(disk.sector as usize) {
                    assert!(
                        disk.bad.first_in(Extent::new(at, 1)).is_some(),
                        "a good sector at {at} is called bad"
                    );
                }
            }
            State::NonTrimmed | State::NonScraped => {}
            State::Finished => {
                assert_eq!(
                    disk.bad.first_in(extent),
                    None,
                    "a bad sector in {extent} is called good"
                );
                if let Some(bytes) = &bytes {
                    let part = &bytes[extent.offset() as usize..extent.end() as usize];
                    assert!(
                        part.iter().zip(extent.offset()..).all(|(byte, at)| *byte == byte_at(at))
                    );
                }
            }
            State::NonTried => {}
        }
    }
    let covered: u64 = map.iter().map(|(extent, _)| extent.len()).sum();
    assert_eq!(covered, disk.len);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// every good sector is rescued, every bad one is in the map, is zero in the image, and nothing shifts.
    #[test]
    fn every_sector_ends_as_what_it_is(case in cases()) {
        let disk = case.disk();
        let mut image = Image::new(disk.len);
        let (result, saved, map) = run(&disk, &mut image, Map::new(disk.len), &case.settings, &mut go_on);
        prop_assert_eq!(result.unwrap(), Outcome::Finished);
        prop_assert_eq!(map.iter().collect::<Vec<_>>(), settled(&disk));
        prop_assert_eq!(saved, Some(map.clone()));
        prop_assert!(map.is_settled());
        check_image(&disk, &image);
    }

    /// power is lost after any read; from the last saved map the rescue ends as an undisturbed one.
    #[test]
    fn a_killed_rescue_resumes_to_the_same_result(case in cases(), kills in prop::collection::vec(1u64..300, 1..6)) {
        let disk = case.disk();
        let mut image = Image::new(disk.len);
        let watched = image.clone();
        let mut kept = Map::new(disk.len);
        for kill in kills {
            let (mut reads, mut saved) = (0u64, None);
            // The observer's break stands for the kill: nothing that the run saves behind it counts.
            let _ = run(&disk, &mut image, kept.clone(), &case.settings, &mut |event| {
                if let Event::Save { map } = event && reads < kill {
                    saved = Some((*map).clone());
                }
                if matches!(event, Event::Read { .. } | Event::Failed { .. }) {
                    reads += 1;
                    if reads == kill {
                        watched.lose_power();
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            if let Some(map) = saved {
                let mut text = Vec::new();
                map.write(&mut text).unwrap();
                kept = Map::parse(&String::from_utf8(text).unwrap(), disk.len).unwrap();
                prop_assert_eq!(kept.iter().collect::<Vec<_>>(), map.iter().collect::<Vec<_>>());
            }
            check_truth(&disk, &kept, Some(&image));
        }
        let (result, _, map) = run(&disk, &mut image, kept, &case.settings, &mut go_on);
        prop_assert_eq!(result.unwrap(), Outcome::Finished);
        prop_assert_eq!(map.iter().collect::<Vec<_>>(), settled(&disk));
        check_image(&disk, &image);
    }

    /// what a saved map claims survives a loss of power, since the store is synced before the map is given out.
    #[test]
    fn a_saved_map_claims_only_what_is_synced(case in cases(), at in 0usize..40) {
        let disk = case.disk();
        let mut image = Image::new(disk.len);
        let watched = image.clone();
        let mut maps = Vec::new();
        let _ = run(&disk, &mut image, Map::new(disk.len), &case.settings, &mut |event| {
            if let Event::Save { map } = event {
                maps.push((*map).clone());
                if maps.len() > at {
                    watched.lose_power();
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        check_truth(&disk, maps.last().unwrap(), Some(&watched));
    }

    /// a device that goes away at any read, in whatever manner, leaves no byte marked bad that is not, and the rescue goes on
    /// to the same result when it is back.
    #[test]
    fn a_lost_device_marks_nothing_bad(case in cases(), from in 0u64..400, manner in 0usize..3) {
        let mut disk = case.disk();
        disk.loss = [Loss::Honest(from), Loss::SeenWhenAsked(from), Loss::Silent(from)][manner];
        let mut image = Image::new(disk.len);
        let (result, saved, map) = run(&disk, &mut image, Map::new(disk.len), &case.settings, &mut go_on);
        let was_lost = match result {
            Ok(outcome) => {
                prop_assert_eq!(outcome, Outcome::Finished);
                false
            }
            Err(error) => {
                prop_assert!(matches!(error, RescueError::Lost { .. }), "{error}");
                true
            }
        };
        // Told that the device is gone, the rescue asks it for nothing more.
        prop_assert!(manner == 2 || disk.reads() <= from + 1);
        // A device that never gave a byte cannot prove that it works; it is told from a dead medium by its presence only.
        let never_read = disk.trace.lock().unwrap().iter().all(|(_, came)| !came);
        if !(never_read && manner == 2) {
            prop_assert!(was_lost || disk.reads() <= from);
            check_truth(&disk, &map, Some(&image));
            check_truth(&disk, &saved.unwrap(), Some(&image));
            disk.loss = Loss::Never;
            let (result, _, map) = run(&disk, &mut image, map, &case.settings, &mut go_on);
            prop_assert_eq!(result.unwrap(), Outcome::Finished);
            prop_assert_eq!(map.iter().collect::<Vec<_>>(), settled(&disk));
            check_image(&disk, &image);
        }
    }

    /// Whatever the limits, the map stays true, and a run without limits finishes the work.
    #[test]
    fn limits_end_passes_and_lose_nothing(
        case in cases(),
        errors in prop::option::of(0u64..10),
        bytes in prop::option::of(0u64..300_000),
        time in prop::option::of(0u64..20),
        deadline in prop::option::of(0u64..60),
        max_unreadable in prop::option::of(0u64..50_000),
        min_rate in prop::option::of(1u64..200_000_000),
    ) {
        let disk = case.disk();
        let mut image = Image::new(disk.len);
        let limits = PassLimits { errors, bytes, time: time.map(Duration::from_secs) };
        let deadline = deadline.map(Duration::from_secs);
        let limited = Settings { limits, deadline, max_unreadable, min_rate, ..case.settings.clone() };
        let (result, saved, map) = run(&disk, &mut image, Map::new(disk.len), &limited, &mut go_on);
        let outcome = result.unwrap();
        prop_assert!(outcome != Outcome::Paused);
        prop_assert!(deadline.is_some() || outcome != Outcome::Deadline);
        prop_assert_eq!(outcome == Outcome::TooMuchUnreadable, max_unreadable.is_some_and(|limit| map.failed_bytes() > limit) && outcome != Outcome::Deadline);
        check_truth(&disk, &map, Some(&image));
        prop_assert_eq!(saved.as_ref(), Some(&map));
        let (result, _, map) = run(&disk, &mut image, map, &case.settings, &mut go_on);
        prop_assert_eq!(result.unwrap(), Outcome::Finished);
        prop_assert_eq!(map.iter().collect::<Vec<_>>(), settled(&disk));
        check_image(&disk, &image);
    }
}

/// a disk of 2 GiB with a wide damaged band, a dead zone with a good island in it, and single errors, interrupted many
/// times: the parts of the engine that small disks do not reach.
#[test]
fn a_large_disk_ends_as_what_it_is() {
    let (len, mib) = (2u64 << 30, (1u64 << 20) / 512);
    let mut numbers = rescue_support::Numbers(5);
    let mut bad: Vec<u64> = (0..30).map(|_| numbers.below(len / 512)).collect();
    bad.extend((500 * mib..540 * mib).filter(|_| numbers.below(250) == 0));
    bad.extend((1200 * mib..1230 * mib).filter(|at| !(1219 * mib..1222 * mib).contains(at)));
    let disk = Disk::new(len, 512, Bad::of_sectors(bad, 512));
    let mut map = Map::new(len);
    let mut passes = Vec::new();
    for round in 0..200 {
        let mut failures = 0;
        let (result, _, after) =
            run(&disk, &mut rescue_support::Nowhere, map, &Settings::default(), &mut |event| {
                match event {
                    Event::Pass { phase, pass, .. } => passes.push((*phase, *pass)),
                    Event::Failed { .. } => failures += 1,
                    _ => {}
                }
                let is_over = failures > 20 + 20 * round * round;
                if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        map = after;
        check_truth(&disk, &map, None);
        if result.unwrap() == Outcome::Finished {
            break;
        }
    }
    assert_eq!(map.iter().collect::<Vec<_>>(), settled(&disk));
    for pass in [1, 2, 3] {
        assert!(passes.contains(&(Phase::Copying, pass)), "copying pass {pass} was not reached");
    }
}
