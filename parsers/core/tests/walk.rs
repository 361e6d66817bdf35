//! [`Walk`] over a toy format: windows, extents, holes, failing reads, held frames.
//!
//! A toy unit is a magic byte, its length (u32), its number (u32), a body without magic bytes, and an end byte. The format is
//! of this test alone, so that nothing here depends on a recorder family.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    reason = "a panic is the failure report"
)]

use std::{
    borrow::Cow,
    io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use daleel_core::{
    Codec, Extent, ExtentMap, Frame, FrameKind, FrameParser, FrameState, Hole, Ranges, ReadError,
    SkipKind, Source, Step, StoredTime, Stream, Walk, WalkItem,
};
use proptest::prelude::*;

/// A unit that is a frame by itself.
const WHOLE: u8 = 0xA5;
/// The first half of a frame.
const FIRST: u8 = 0xA6;
/// The second half of a frame.
const SECOND: u8 = 0xA7;
const END: u8 = 0x5A;
const HEAD_BYTES: usize = 9;
const MIN_BYTES: usize = HEAD_BYTES + 1;

const WINDOW_BYTES: u64 = 4 << 20;
const FAILING_STEP_BYTES: u64 = 4096;

fn unit(magic: u8, number: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![magic];
    bytes.extend((length as u32).to_le_bytes());
    // Bytes of lengths and numbers stay below the magic bytes, so that the only magic is at the start.
    bytes.extend(number_bytes(number));
    bytes.resize(length - 1, (number % 97) as u8);
    bytes.push(END);
    bytes
}

/// Seven bits a byte.
fn number_bytes(number: u32) -> [u8; 4] {
    [0, 7, 14, 21].map(|shift| (number >> shift) as u8 & 0x7F)
}

fn number_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 7) | u32::from(*byte))
}

/// Lengths whose bytes are not magic either.
fn sane(length: usize) -> usize {
    let is_sane = |length: &usize| {
        (*length as u32).to_le_bytes().iter().all(|byte| !(WHOLE..=SECOND).contains(byte))
    };
    (length..).find(is_sane).unwrap()
}

#[derive(Default)]
struct Toy {
    held: Option<Box<Frame>>,
    steps: Arc<AtomicUsize>,
    /// Every `last` window's end, to check what the walk promises.
    ends: Arc<Mutex<Vec<u64>>>,
}

fn frame(number: u32, range: Range<u64>) -> Box<Frame> {
    let body = range.start + HEAD_BYTES as u64..range.end - 1;
    Box::new(Frame {
        kind: FrameKind::Video,
        codec: Codec::H264,
        units: Ranges::from_iter([range]),
        payload: Ranges::from_iter([body]),
        time: StoredTime::default(),
        number: Some(number),
        stream_channel: None,
        key: false,
        size: None,
        rate: None,
        audio: None,
        encrypted: None,
        state: FrameState::Complete,
        check: None,
        interpretation: None,
    })
}

impl Toy {
    fn skip(window: &[u8]) -> Step {
        let next = window.iter().skip(1).position(|byte| (WHOLE..=SECOND).contains(byte));
        let used = next.map_or(window.len(), |at| at + 1);
        Step::Skip { used, kind: SkipKind::Damage, why: Cow::Borrowed("no unit") }
    }
}

impl FrameParser for Toy {
    fn step(&mut self, offset: u64, window: &[u8], last: bool) -> Step {
        assert!(!window.is_empty(), "a window always holds a byte");
        self.steps.fetch_add(1, Ordering::Relaxed);
        if last {
            self.ends.lock().unwrap().push(offset + window.len() as u64);
        }
        if !(WHOLE..=SECOND).contains(&window[0]) {
            return Self::skip(window);
        }
        let need = |at_least| if last { Self::skip(window) } else { Step::NeedMore { at_least } };
        if window.len() < MIN_BYTES {
            return need(MIN_BYTES);
        }
        let length = u32::from_le_bytes(window[1..5].try_into().unwrap()) as usize;
        if length < MIN_BYTES {
            return Self::skip(window);
        }
        if window.len() < length {
            return need(length);
        }
        if window[length - 1] != END {
            return Self::skip(window);
        }
        let number = number_of(&window[5..9]);
        let mut new = frame(number, offset..offset + length as u64);
        match (window[0], self.held.take()) {
            (FIRST, None) => {
                self.held = Some(new);
                Step::Held { used: length }
            }
            (SECOND, Some(mut first)) if first.number == Some(number) => {
                first.units.append(&mut new.units);
                first.payload.append(&mut new.payload);
                Step::Frame { frame: first, used: length }
            }
            (_, Some(mut first)) => {
                first.state = FrameState::Damaged("second half is missing".to_owned());
                Step::Frame { frame: first, used: 0 }
            }
            (_, None) => Step::Frame { frame: new, used: length },
        }
    }

    fn finish(&mut self) -> Option<Box<Frame>> {
        let mut frame = self.held.take()?;
        frame.state = FrameState::Damaged("second half is missing".to_owned());
        Some(frame)
    }
}

/// Bytes with holes, and with sectors that the system fails to read although no map lists them.
#[derive(Default)]
struct Medium {
    bytes: Vec<u8>,
    holes: Vec<(Extent, Hole)>,
    bad: Vec<Extent>,
    /// From the second read on, nothing can be read.
    dies: bool,
    reads: AtomicUsize,
}

impl Source for Medium {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some((hole_at, hole)) = self.holes(at).into_iter().next() {
            return Err(ReadError::Hole { at: hole_at, hole });
        }
        if self.bad.iter().any(|bad| bad.intersection(at).is_some()) || (self.dies && reads > 0) {
            return Err(ReadError::Io { at, error: io::Error::other("medium error") });
        }
        self.bytes.read_exact_at(offset, buf)
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let own =
            self.holes.iter().filter_map(|(at, hole)| Some((at.intersection(within)?, *hole)));
        own.chain(self.bytes.holes(within)).collect()
    }
}

struct Walked {
    items: Vec<WalkItem>,
    steps: usize,
}

impl Walked {
    fn frames(&self) -> Vec<(u32, Range<u64>)> {
        self.items
            .iter()
            .filter_map(|item| match item {
                WalkItem::Frame(frame) => Some((frame.number?, frame.start()..frame.end())),
                _ => None,
            })
            .collect()
    }

    fn holes(&self) -> Vec<(Range<u64>, Hole)> {
        self.items
            .iter()
            .filter_map(|item| match item {
                WalkItem::Hole { range, hole } => Some((range.clone(), *hole)),
                _ => None,
            })
            .collect()
    }

    fn failed(&self) -> Vec<Range<u64>> {
        self.items
            .iter()
            .filter_map(|item| match item {
                WalkItem::Failed { range, .. } => Some(range.clone()),
                _ => None,
            })
            .collect()
    }

    /// Every byte of `range` is in exactly one item, and items come in stream order. For streams without held frames.
    fn assert_tiles(&self, range: Range<u64>) {
        let mut at = range.start;
        for item in &self.items {
            let own = match item {
                WalkItem::Frame(frame) => frame.start()..frame.end(),
                WalkItem::Skipped { range, .. }
                | WalkItem::Hole { range, .. }
                | WalkItem::Failed { range, .. } => range.clone(),
            };
            assert_eq!(own.start, at, "{item:?}");
            assert!(own.end > own.start, "{item:?}");
            at = own.end;
        }
        assert_eq!(at, range.end);
    }
}

fn walk(source: Arc<dyn Source>, map: ExtentMap, range: Range<u64>) -> Walked {
    let stream = Stream { source, map, reasons: Vec::new(), conflict: None };
    let toy = Toy::default();
    let (steps, ends) = (toy.steps.clone(), toy.ends.clone());
    // Each item takes at least one byte, or is a held frame: more items than this is a loop.
    let bound = stream.map.len() as usize * 2 + 16;
    let items: Vec<_> = Walk::new(&stream, Box::new(toy), range.clone()).take(bound + 1).collect();
    assert!(items.len() <= bound, "the walk does not end");
    // `last` is promised only where nothing follows: the end, a hole, or bytes that cannot be read.
    for end in ends.lock().unwrap().iter() {
        let stops = items.iter().any(|item| match item {
            WalkItem::Hole { range, .. } | WalkItem::Failed { range, .. } => range.start == *end,
            _ => false,
        });
        assert!(stops || *end == range.end.min(stream.map.len()), "`last` at {end}");
    }
    Walked { items, steps: steps.load(Ordering::Relaxed) }
}

/// Units one behind the other, and where each lies.
fn units(lengths: &[usize]) -> (Vec<u8>, Vec<(u32, Range<u64>)>) {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for (number, length) in (0u32..).zip(lengths) {
        let start = bytes.len() as u64;
        bytes.extend(unit(WHOLE, number, sane(*length)));
        places.push((number, start..bytes.len() as u64));
    }
    (bytes, places)
}

/// Lays a logical stream out on a medium in pieces that end at `cuts`, the last piece first, with room between them.
fn scatter(logical: &[u8], cuts: &[u64]) -> (Vec<u8>, ExtentMap) {
    let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut % (logical.len() as u64 + 1)).collect();
    cuts.extend([0, logical.len() as u64]);
    cuts.sort_unstable();
    let mut medium = vec![0xEE; 100];
    let mut extents = Vec::new();
    for pair in cuts.windows(2).rev() {
        extents.push(Extent::new(medium.len() as u64, pair[1] - pair[0]));
        medium.extend(&logical[pair[0] as usize..pair[1] as usize]);
        medium.extend([0xEE; 7]);
    }
    let mut map = ExtentMap::default();
    extents.iter().rev().for_each(|extent| map.push(*extent));
    (medium, map)
}

fn whole(bytes: &[u8]) -> ExtentMap {
    ExtentMap::of(Extent::new(0, bytes.len() as u64))
}

/// units of 64 bytes over 9 MiB: window ends fall inside units, and none is lost or seen twice.
#[test]
fn fixed_size_units_are_found_whatever_the_window_boundaries() {
    for length in [64, 61, 4093] {
        let (bytes, places) = units(&vec![length; (9 << 20) / length]);
        let (medium, map) = scatter(&bytes, &[]);
        let walked = walk(Arc::new(medium), map, 0..u64::MAX);
        assert_eq!(walked.frames(), places);
        walked.assert_tiles(0..bytes.len() as u64);
    }
}

/// a unit that crosses one extent, and one that crosses many, are units like others.
#[test]
fn units_that_cross_extents_are_whole() {
    let (bytes, places) = units(&[50, 50, 500, 50]);
    let (medium, map) = scatter(&bytes, &[75, 120, 121, 122, 300, 599]);
    assert_eq!(map.extents().count(), 7);
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    assert_eq!(walked.frames(), places);
}

#[test]
fn a_unit_longer_than_the_window_is_found() {
    for long in [WINDOW_BYTES as usize + 1, (16 << 20) + 3, 33 << 20] {
        let (bytes, places) = units(&[100, long, 100, 100]);
        let (medium, map) = scatter(&bytes, &[5 << 20, 5000]);
        let walked = walk(Arc::new(medium), map, 0..u64::MAX);
        assert_eq!(walked.frames(), places);
    }
}

/// A stream longer than the stretch in which holes are looked for at a time (64 MiB), with a hole behind it.
#[test]
fn holes_far_behind_are_seen() {
    let (bytes, places) = units(&[1 << 20; 80]);
    let hole = Extent::new(70 << 20, 100);
    let medium = Medium { bytes, holes: vec![(hole, Hole::NotAcquired)], ..Medium::default() };
    let map = whole(&medium.bytes);
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    assert_eq!(walked.holes(), [((70 << 20)..(70 << 20) + 100, Hole::NotAcquired)]);
    let lost: Vec<_> = places.iter().filter(|place| !walked.frames().contains(place)).collect();
    assert_eq!(lost.len(), 1, "the hole lies in one unit");
}

/// a hole costs the unit it lies in, is reported with its kind, and every other unit is found.
#[test]
fn a_hole_in_the_middle_costs_its_unit_only() {
    let (bytes, places) = units(&[100; 10]);
    let hole = (Extent::new(250, 10), Hole::Unreadable);
    let medium = Medium { bytes, holes: vec![hole], ..Medium::default() };
    let map = whole(&medium.bytes);
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    let left: Vec<_> = places.into_iter().filter(|(number, _)| *number != 2).collect();
    assert_eq!(walked.frames(), left);
    assert_eq!(walked.holes(), [(250..260, Hole::Unreadable)]);
    walked.assert_tiles(0..1000);
}

/// holes that end and begin at unit boundaries cost nothing but themselves; neighbours stay apart.
#[test]
fn holes_between_units_cost_no_unit() {
    let (mut bytes, _) = units(&[100; 10]);
    bytes[300..400].fill(0);
    let holes =
        vec![(Extent::new(300, 50), Hole::Unreadable), (Extent::new(350, 50), Hole::MissingPiece)];
    let medium = Medium { bytes, holes, ..Medium::default() };
    let map = whole(&medium.bytes);
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    assert_eq!(walked.frames().len(), 9);
    assert_eq!(walked.holes(), [(300..350, Hole::Unreadable), (350..400, Hole::MissingPiece)]);
    walked.assert_tiles(0..1000);
}

/// the part of a stream past the end of a truncated image is a hole of its own kind.
#[test]
fn a_truncated_image_ends_in_a_hole() {
    let (bytes, places) = units(&[100; 10]);
    let map = whole(&bytes);
    let walked = walk(Arc::new(bytes[..555].to_vec()), map, 0..u64::MAX);
    assert_eq!(walked.frames(), places[..5]);
    assert_eq!(walked.holes(), [(555..1000, Hole::BeyondEnd)]);
    walked.assert_tiles(0..1000);
}

/// a read that fails without a hole on the map costs the 4 KiB around it at most.
#[test]
fn a_failing_sector_costs_its_step_only() {
    let (bytes, places) = units(&vec![60; 2000]);
    let bad = Extent::new(51_200, 512);
    let length = bytes.len() as u64;
    let map = whole(&bytes);
    let medium = Medium { bytes, bad: vec![bad], ..Medium::default() };
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    let [failed] = walked.failed().try_into().unwrap();
    assert!(failed.end - failed.start <= FAILING_STEP_BYTES);
    assert!(failed.start <= bad.offset() && bad.end() <= failed.end);
    let whole = |place: &Range<u64>| place.end <= failed.start || place.start >= failed.end;
    let left: Vec<_> = places.into_iter().filter(|(_, place)| whole(place)).collect();
    assert_eq!(walked.frames(), left);
    walked.assert_tiles(0..length);
}

/// a device that is pulled out ends the walk in failures, not in a loop.
#[test]
fn a_device_that_dies_is_reported_to_the_end() {
    let (bytes, _) = units(&[1000; 100]);
    let length = bytes.len() as u64;
    let map = whole(&bytes);
    let cuts = [40_000];
    let (bytes, scattered) = scatter(&bytes, &cuts);
    assert_eq!(map.len(), scattered.len());
    let medium = Medium { bytes, dies: true, ..Medium::default() };
    let walked = walk(Arc::new(medium), scattered, 0..u64::MAX);
    assert!(!walked.frames().is_empty(), "what was read before is parsed");
    assert!(walked.failed().iter().all(|range| range.end - range.start <= FAILING_STEP_BYTES));
    walked.assert_tiles(0..length);
}

/// A parser that asks for more at the end of the bytes is not asked for ever.
#[test]
fn need_more_at_the_end_becomes_a_skip() {
    struct Greedy;
    impl FrameParser for Greedy {
        fn step(&mut self, _: u64, window: &[u8], _: bool) -> Step {
            Step::NeedMore { at_least: window.len() + 1 }
        }
        fn finish(&mut self) -> Option<Box<Frame>> {
            None
        }
    }
    for length in [1, 100, WINDOW_BYTES + 5, 50 << 20] {
        let bytes = vec![0u8; length as usize];
        let stream = Stream {
            map: whole(&bytes),
            source: Arc::new(bytes),
            reasons: Vec::new(),
            conflict: None,
        };
        let mut at = 0;
        for item in Walk::new(&stream, Box::new(Greedy), 0..u64::MAX).take(100) {
            let WalkItem::Skipped { range, kind, .. } = item else { panic!("{item:?}") };
            assert_eq!((range.start, kind), (at, SkipKind::Damage));
            at = range.end;
        }
        assert_eq!(at, length);
    }
}

/// The last unit is cut: its bytes are said to be damage.
#[test]
fn a_unit_cut_by_the_end_is_damage() {
    let (bytes, places) = units(&[100; 3]);
    let cut = bytes[..290].to_vec();
    let map = whole(&cut);
    let walked = walk(Arc::new(cut), map, 0..u64::MAX);
    assert_eq!(walked.frames(), places[..2]);
    assert!(matches!(
        walked.items.last(),
        Some(WalkItem::Skipped { range, kind: SkipKind::Damage, .. }) if *range == (200..290)
    ));
}

#[test]
fn a_part_of_a_stream_is_walked_alone() {
    let (bytes, places) = units(&[100; 10]);
    let map = whole(&bytes);
    let source: Arc<dyn Source> = Arc::new(bytes);
    let walked = walk(source.clone(), map.clone(), 200..500);
    assert_eq!(walked.frames(), places[2..5]);
    walked.assert_tiles(200..500);
    let backwards = Range { start: 500, end: 200 };
    for empty in [1000..2000, backwards, u64::MAX..u64::MAX] {
        assert!(walk(source.clone(), map.clone(), empty).items.is_empty());
    }
    assert!(walk(source, ExtentMap::default(), 0..u64::MAX).items.is_empty());
}

/// A frame of two units is one frame; without its second half it is given out at the hole, and at the end.
#[test]
fn finish_gives_held_frames_at_holes_and_at_the_end() {
    let mut bytes = Vec::new();
    for (magic, number) in
        [(FIRST, 1), (SECOND, 1), (FIRST, 2), (SECOND, 2), (WHOLE, 3), (FIRST, 4)]
    {
        bytes.extend(unit(magic, number, 100));
    }
    let map = whole(&bytes);
    let holes = vec![(Extent::new(310, 10), Hole::Unreadable)];
    let medium = Medium { bytes, holes, ..Medium::default() };
    let walked = walk(Arc::new(medium), map, 0..u64::MAX);
    let told: Vec<_> = walked
        .items
        .iter()
        .filter(|item| !matches!(item, WalkItem::Skipped { .. }))
        .map(|item| match item {
            WalkItem::Frame(frame) => {
                (frame.number, frame.units.len(), frame.state == FrameState::Complete)
            }
            _ => (None, 0, false),
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(1), 2, true),
            // The hole, then the frame that it broke.
            (None, 0, false),
            (Some(2), 1, false),
            (Some(3), 1, true),
            (Some(4), 1, false),
        ]
    );
}

/// Payloads are borrowed while the window holds them, and read again when it has moved on.
#[test]
fn bytes_are_borrowed_or_read_again() {
    let (bytes, _) = units(&vec![100_000; 120]);
    let (medium, map) = scatter(&bytes, &[1_234_567, 7_654_321]);
    let stream = Stream { source: Arc::new(medium), map, reasons: Vec::new(), conflict: None };
    let mut walk = Walk::new(&stream, Box::new(Toy::default()), 0..u64::MAX);
    let mut first: Option<Ranges> = None;
    while let Some(item) = walk.next() {
        let WalkItem::Frame(frame) = item else { panic!("{item:?}") };
        let expected =
            |range: &Range<u64>| bytes[range.start as usize..range.end as usize].to_vec();
        let payload = walk.bytes(&frame.payload).unwrap();
        assert!(matches!(payload, Cow::Borrowed(_)), "the window holds the frame just given");
        assert_eq!(*payload, expected(&frame.payload[0]));
        let first = first.get_or_insert_with(|| frame.payload.clone());
        let mut both = first.clone();
        both.push(frame.payload[0].clone());
        let joined = walk.bytes(&both).unwrap();
        assert_eq!(*joined, [expected(&both[0]), expected(&both[1])].concat());
    }
    assert!(matches!(walk.bytes(&first.unwrap()).unwrap(), Cow::Owned(_)));
}

#[test]
fn bytes_in_a_hole_are_an_error() {
    let (bytes, _) = units(&[100; 10]);
    let map = whole(&bytes);
    let holes = vec![(Extent::new(250, 10), Hole::Unreadable)];
    let stream = Stream {
        source: Arc::new(Medium { bytes, holes, ..Medium::default() }),
        map,
        reasons: Vec::new(),
        conflict: None,
    };
    let walk = Walk::new(&stream, Box::new(Toy::default()), 0..u64::MAX);
    let error = walk.bytes(&Ranges::from_iter([200..300])).unwrap_err();
    assert_eq!(error.at(), Extent::new(250, 10));
}

/// Cases without a file of failures beside the test: what fails is printed.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Sorted, disjoint extents inside `length` bytes.
fn spans(length: u64, seeds: &[(u64, u64)]) -> Vec<Extent> {
    let mut found: Vec<Extent> = Vec::new();
    let mut seeds: Vec<_> = seeds.iter().map(|(at, size)| (at % length, *size)).collect();
    seeds.sort_unstable();
    for (at, size) in seeds {
        let from = found.last().map_or(at, |last| last.end().max(at));
        if from < length {
            found.push(Extent::new(from, size.min(length - from)));
        }
    }
    found
}

proptest! {
    #![proptest_config(cases(300))]

    /// whatever the extents, the holes and the failing sectors, a unit whose bytes could all be read is found once, one with
    /// a byte missing never is, every byte is accounted for, and the work is bounded.
    #[test]
    fn no_readable_unit_is_lost(
        lengths in prop::collection::vec(MIN_BYTES..9000, 1..60),
        cuts in prop::collection::vec(any::<u64>(), 0..12),
        holes in prop::collection::vec((any::<u64>(), 1u64..3000), 0..6),
        bad in prop::collection::vec((any::<u64>(), 1u64..1500), 0..4),
        gaps in prop::collection::vec(0usize..40, 60),
    ) {
        let mut logical = Vec::new();
        let mut places = Vec::new();
        for ((number, length), gap) in (0u32..).zip(&lengths).zip(&gaps) {
            logical.resize(logical.len() + gap, 0);
            let start = logical.len() as u64;
            logical.extend(unit(WHOLE, number, sane(*length)));
            places.push((number, start..logical.len() as u64));
        }
        let (bytes, map) = scatter(&logical, &cuts);
        let size = bytes.len() as u64;
        let holes: Vec<_> = spans(size, &holes).into_iter().map(|at| (at, Hole::Unreadable)).collect();
        let bad = spans(size, &bad);
        let medium = Medium { bytes, holes: holes.clone(), bad: bad.clone(), ..Medium::default() };
        let walked = walk(Arc::new(medium), map.clone(), 0..u64::MAX);
        walked.assert_tiles(0..logical.len() as u64);

        let failed = walked.failed();
        for range in &failed {
            prop_assert!(range.end - range.start <= FAILING_STEP_BYTES);
            let extents = map.map(range.clone());
            let touches = extents.iter().any(|e| bad.iter().any(|b| b.intersection(*e).is_some()));
            prop_assert!(touches, "nothing is wrong with {:?}", range);
        }
        let readable = |range: &Range<u64>| {
            let on_medium = map.map(range.clone()).iter().all(|extent| {
                holes.iter().all(|(hole, _)| hole.intersection(*extent).is_none())
            });
            on_medium && failed.iter().all(|lost| lost.end <= range.start || range.end <= lost.start)
        };
        let expected: Vec<_> = places.into_iter().filter(|(_, range)| readable(range)).collect();
        prop_assert_eq!(walked.frames(), expected);
        prop_assert!(walked.steps <= 4 * (walked.items.len() + 16), "{} steps", walked.steps);
    }
}

proptest! {
    #![proptest_config(cases(12))]

    /// The same over several windows.
    #[test]
    fn no_readable_unit_is_lost_over_windows(
        lengths in prop::collection::vec(MIN_BYTES..1_500_000, 8..30),
        cuts in prop::collection::vec(any::<u64>(), 0..12),
        holes in prop::collection::vec((any::<u64>(), 1u64..3000), 0..6),
    ) {
        let (logical, places) = units(&lengths);
        let (bytes, map) = scatter(&logical, &cuts);
        let size = bytes.len() as u64;
        let holes: Vec<_> = spans(size, &holes).into_iter().map(|at| (at, Hole::Unreadable)).collect();
        let medium = Medium { bytes, holes: holes.clone(), ..Medium::default() };
        let walked = walk(Arc::new(medium), map.clone(), 0..u64::MAX);
        walked.assert_tiles(0..logical.len() as u64);
        let readable = |range: &Range<u64>| map.map(range.clone()).iter().all(|extent| {
            holes.iter().all(|(hole, _)| hole.intersection(*extent).is_none())
        });
        let expected: Vec<_> = places.into_iter().filter(|(_, range)| readable(range)).collect();
        prop_assert_eq!(walked.frames(), expected);
    }
}
