//! Healthy sets.

use daleel_core::{Extent, Hole, ReadError, Source};
use proptest::prelude::*;

use super::{
    check_chunks, media, open_files, present, source_of,
    writer::{Plan, write},
};

#[test]
fn a_set_says_what_was_written_into_it() {
    let plan = Plan { errors: vec![(3, 2)], ..Plan::default() };
    let media = media(14 * 1024 + 512);
    let set = open_files(&present(&write(&plan, &media))).unwrap();
    assert_eq!((set.media_bytes(), set.sector_bytes()), (media.len() as u64, 512));
    assert_eq!((set.chunk_bytes(), set.chunk_count()), (1024, 15));
    assert_eq!(set.segments().iter().map(|s| s.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(set.set_identifier().as_ref(), Some(b"sixteen of a set"));
    assert_eq!((set.md5(), set.sha1()), (Some([1; 16]), Some([2; 20])));
    assert_eq!(set.form(), "EnCase 6");
    let header = set.header();
    assert_eq!(header.case_number.as_deref(), Some("7/24"));
    assert_eq!(header.model.as_deref(), Some("WD10"));
    assert_eq!(header.acquired.as_ref().unwrap().posix, Some(1_733_616_000));
    assert_eq!(set.error_ranges(), [Extent::new(1536, 1024)]);
    assert!(set.missing().is_empty() && !set.is_end_missing());
    assert_eq!(set.findings(), (Vec::new(), 0));
    assert_eq!(check_chunks(&set, &media, "healthy"), 15);
    assert!(set.surplus().unwrap().is_empty());
}

/// a sector that the acquisition could not read is a hole, while the chunk gives the zeros that were hashed.
#[test]
fn the_error_list_becomes_holes() {
    let plan = Plan { errors: vec![(3, 2)], ..Plan::default() };
    let mut media = media(6 * 1024);
    media[1536..2560].fill(0);
    let source = source_of(open_files(&present(&write(&plan, &media))).unwrap());
    assert_eq!(
        source.holes(Extent::new(0, 7000)),
        [(Extent::new(1536, 1024), Hole::Unreadable), (Extent::new(6144, 856), Hole::BeyondEnd)]
    );
    let error = source.read_exact_at(1000, &mut [0; 1000]).unwrap_err();
    let ReadError::Hole { at, hole: Hole::Unreadable } = error else { panic!("{error}") };
    assert_eq!(at, Extent::new(1536, 464));
    source.read_exact_at(0, &mut [0; 1536]).unwrap();
    assert_eq!(check_chunks(source.set(), &media, "errors"), 6);
}

/// Every size around the borders of sectors, chunks, groups and segments, stored and packed, with both kinds of base.
#[test]
fn every_size_reads_back() {
    for sectors in 1..40 {
        for (has_base, packed_every) in [(true, 0), (false, 1), (true, 2), (false, 3)] {
            let plan = Plan { has_base, packed_every, ..Plan::default() };
            let media = media(sectors * 512);
            let set = open_files(&present(&write(&plan, &media))).unwrap();
            let what = format!("{sectors} {plan:?}");
            assert_eq!(set.findings().0, [], "{what}");
            assert_eq!(check_chunks(&set, &media, &what), sectors.div_ceil(2) as u64, "{what}");
        }
    }
}

/// Several threads read one set at a time.
#[test]
fn threads_share_a_set() {
    let media = media(300 * 1024);
    let plan = Plan { per_group: 40, ..Plan::default() };
    let source = source_of(open_files(&present(&write(&plan, &media))).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (source, media) = (&source, &media);
            scope.spawn(move || {
                let mut buf = vec![0; 5000];
                for step in 0..200 {
                    let at = (step * 7919 + thread * 331) % (media.len() - buf.len());
                    source.read_exact_at(at as u64, &mut buf).unwrap();
                    assert_eq!(buf, media[at..at + 5000]);
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// any range of any set is the range of the medium.
    #[test]
    fn any_range_of_any_set_is_the_mediums(
        sectors in 1usize..120,
        per_chunk in 1u32..9,
        per_group in 1usize..9,
        groups_per_segment in 1usize..4,
        packed_every in 0usize..4,
        has_base: bool,
        sector_bytes in prop::sample::select(vec![512u32, 2048, 4096]),
        ranges in prop::collection::vec((0u64..500_000, 0usize..20_000), 1..20),
    ) {
        let plan = Plan {
            sector_bytes, sectors_per_chunk: per_chunk, per_group, groups_per_segment, packed_every, has_base,
            errors: Vec::new(),
        };
        let media = media(sectors * sector_bytes as usize);
        let source = source_of(open_files(&present(&write(&plan, &media))).unwrap());
        prop_assert_eq!(source.len(), media.len() as u64);
        for (offset, length) in ranges {
            let mut buf = vec![0; length];
            let read = source.read_exact_at(offset, &mut buf);
            match media.get(offset as usize..offset as usize + length) {
                Some(expected) => {
                    prop_assert!(read.is_ok(), "{:?}", read);
                    prop_assert_eq!(&buf, expected);
                }
                None => prop_assert!(read.is_err() || length == 0),
            }
        }
    }
}
