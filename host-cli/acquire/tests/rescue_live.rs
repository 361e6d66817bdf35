//! A disk that a parser reads before it is imaged, and an order that is kept.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

mod rescue_support;

use std::{ops::ControlFlow, sync::Arc};

use daleel_acquire::{
    medium::Medium,
    rescue::{Event, LiveSource, Map, Outcome, Phase, Settings, State},
};
use daleel_core::{Extent, Hole, ReadError, Source};
use proptest::prelude::*;
use rescue_support::{Bad, Disk, Image, Loss, Nowhere, Numbers, fill, go_on, run};

const MIB: u64 = 1 << 20;

fn live(disk: &Arc<Disk>) -> (LiveSource, Image) {
    let image = Image::new(disk.len);
    let medium: Arc<dyn Medium> = disk.clone();
    (LiveSource::new(medium, Box::new(image.clone()), Map::new(disk.len)), image)
}

fn expected(offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill(offset, &mut bytes);
    bytes
}

/// what is read is acquired once, around the read, and is not read from the medium again.
#[test]
fn what_a_parser_touches_is_acquired_once() {
    let disk = Arc::new(Disk::new(8 * MIB, 512, Bad::default()));
    let (source, image) = live(&disk);
    for _ in 0..3 {
        let read = (&source as &dyn Source).read(Extent::new(100_000, 70_000)).unwrap();
        assert_eq!(read, expected(100_000, 70_000));
    }
    assert_eq!(disk.reads(), 2);
    assert_eq!(source.bytes_read(), 2 * 65536);
    assert_eq!(image.bytes()[65536..3 * 65536], expected(65536, 2 * 65536));
    let (_, map) = source.into_parts();
    assert_eq!(map.bytes_of(State::Finished), 2 * 65536);
}

/// a bad sector is a hole and never zeros; its neighbours are had, and the rescue finishes what is left.
#[test]
fn a_bad_sector_is_a_hole_and_its_neighbours_are_read() {
    let disk = Arc::new(Disk::new(MIB, 512, Bad::of_sectors([300], 512)));
    let (source, mut image) = live(&disk);
    let read = |at, length| (&source as &dyn Source).read(Extent::new(at, length));
    assert_eq!(read(299 * 512, 512).unwrap(), expected(299 * 512, 512));
    let error = read(299 * 512 + 100, 1024).unwrap_err();
    assert!(matches!(error, ReadError::Hole { hole: Hole::Unreadable, .. }), "{error}");
    assert_eq!(error.at(), Extent::new(300 * 512, 512));
    assert_eq!(
        source.holes(Extent::new(0, 2 * MIB)),
        [(Extent::new(300 * 512, 512), Hole::Unreadable), (Extent::new(MIB, MIB), Hole::BeyondEnd),]
    );
    let reads = disk.reads();
    read(300 * 512, 1).unwrap_err();
    assert_eq!(disk.reads(), reads, "a sector known to be bad is not read again");
    assert_eq!(read(301 * 512, 512).unwrap(), expected(301 * 512, 512));

    let (_, map) = source.into_parts();
    let (result, _, map) = run(&disk, &mut image, map, &Settings::default(), &mut go_on);
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(map.bytes_of(State::BadSector), 512);
    assert_eq!(map.bytes_of(State::Finished), MIB - 512);
}

/// a lost device is an error of the system, not a hole; what is acquired stays readable.
#[test]
fn a_lost_device_is_no_hole() {
    for loss in [Loss::Honest(2), Loss::SeenWhenAsked(2), Loss::Silent(2)] {
        let mut disk = Disk::new(MIB, 512, Bad::default());
        disk.loss = loss;
        let disk = Arc::new(disk);
        let (source, _) = live(&disk);
        let read = |at| (&source as &dyn Source).read(Extent::new(at, 1000));
        read(0).unwrap();
        read(65536).unwrap();
        for _ in 0..2 {
            let error = read(200_000).unwrap_err();
            assert!(matches!(error, ReadError::Io { .. }), "{loss:?}: {error}");
            assert!(error.to_string().contains("the device was lost"), "{error}");
        }
        assert!(source.lost().is_some());
        assert_eq!(read(70_000).unwrap(), expected(70_000, 1000));
        let (_, map) = source.into_parts();
        assert_eq!(map.failed_bytes(), 0, "{loss:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// reads through the source give the medium's bytes or a hole at a bad sector, on both sector sizes and up to a short end.
    #[test]
    fn a_read_gives_the_medium_or_names_the_bad_sector(
        is_4k in any::<bool>(),
        tail in 0u64..512,
        bad in prop::collection::btree_set(0u64..600, 0..40),
        reads in prop::collection::vec((0u64..330_000, 1u64..100_000), 1..30),
    ) {
        let sector = if is_4k { 4096 } else { 512 };
        let len = 300_000 / sector * sector + tail;
        let bad = Bad::of_sectors(bad.into_iter().filter(|at| at * sector < len), sector);
        let disk = Arc::new(Disk::new(len, sector as u32, bad));
        let (source, mut image) = live(&disk);
        for (offset, length) in reads {
            let at = Extent::new(offset, length);
            match (&source as &dyn Source).read(at) {
                Ok(bytes) => {
                    prop_assert_eq!(disk.bad.first_in(at), None);
                    prop_assert_eq!(bytes, expected(offset, length as usize));
                }
                Err(error) if at.end() > len => {
                    let is_beyond = matches!(error, ReadError::Hole { hole: Hole::BeyondEnd, .. });
                    prop_assert!(is_beyond);
                }
                Err(error) => prop_assert_eq!(Some(error.at().offset()), disk.bad.first_in(at)),
            }
        }
        let (_, map) = source.into_parts();
        let (result, _, map) = run(&disk, &mut image, map, &Settings::default(), &mut go_on);
        prop_assert_eq!(result.unwrap(), Outcome::Finished);
        let bad: u64 = disk.bad.runs().map(|run| run.end().min(len) - run.offset()).sum();
        prop_assert_eq!(map.bytes_of(State::BadSector), bad);
        prop_assert_eq!(map.bytes_of(State::Finished), len - bad);
    }
}

/// what is asked for first is had, up to its bad sectors, before anything else of a 500 GB disk is read, in the order
/// in which it is asked for.
#[test]
fn wanted_extents_come_first() {
    let mut numbers = Numbers(9);
    let len = 500_000_000_000 / 512 * 512;
    let order = vec![
        Extent::new(len / 2, 64 * MIB),
        Extent::new(1000, 3 * MIB),
        Extent::new(len - 2 * MIB, 10 * MIB),
    ];
    // Single bad sectors in the wanted parts and around them.
    let mut bad: Vec<u64> = (0..200).map(|_| numbers.below(len / 512)).collect();
    bad.extend((0..20).map(|_| len / 2 / 512 + numbers.below(64 * MIB / 512)));
    let disk = Disk::new(len, 512, Bad::of_sectors(bad, 512));
    let settings = Settings { order: order.clone(), ..Settings::default() };
    let mut first_elsewhere = None;
    let mut begun = Vec::new();
    let wanted = |extent: Extent| {
        order.iter().any(|wanted| {
            extent.offset() + 512 > wanted.offset() && extent.end() <= wanted.end() + 512
        })
    };
    let (result, ..) = run(&disk, &mut Nowhere, Map::new(len), &settings, &mut |event| {
        match event {
            Event::Read { extent, map } if !wanted(*extent) => {
                first_elsewhere = Some((*map).clone());
                return ControlFlow::Break(());
            }
            Event::Pass { phase: Phase::Copying, pass: 1, domain } => begun.push(domain.offset()),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert_eq!(result.unwrap(), Outcome::Paused);
    assert_eq!(begun, [len / 2, 512, len - 2 * MIB, 0]);
    let map = first_elsewhere.unwrap();
    for extent in &order {
        let bad: u64 =
            disk.bad.runs().filter_map(|run| run.intersection(*extent)).map(Extent::len).sum();
        let within = extent.intersection(Extent::new(0, len)).unwrap();
        let had: u64 = map
            .within(within)
            .filter(|(_, state)| *state == State::Finished)
            .map(|(part, _)| part.len())
            .sum();
        assert_eq!(had, within.len() - bad, "{extent}");
    }
    let read: u64 = disk.trace.lock().unwrap().iter().map(|(extent, _)| extent.len()).sum();
    assert!(read < len / 50, "{read} bytes were read before all that was wanted was there");
}

/// A sound medium is read in large pieces, once each; the first error costs one more failure and no byte.
#[test]
fn a_sound_medium_is_read_in_large_pieces() {
    let sound = Disk::new(64 * MIB + 512, 512, Bad::default());
    run(&sound, &mut Nowhere, Map::new(sound.len), &Settings::default(), &mut go_on).0.unwrap();
    assert_eq!(sound.reads(), 65);
    let failing = Disk::new(64 * MIB, 512, Bad::of_sectors([40_000], 512));
    let (result, _, map) =
        run(&failing, &mut Nowhere, Map::new(failing.len), &Settings::default(), &mut go_on);
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(map.bytes_of(State::BadSector), 512);
    let failures = failing.trace.lock().unwrap().iter().filter(|(_, came)| !came).count();
    assert_eq!(failures, 3, "one large read, one cluster, one sector");
}
