//! Frames that are split into several units (section 3.1, sub-frame index).

use daleel_core::FrameState;
use proptest::prelude::*;

use super::units::{Parsed, Unit, join, parse, parse_whole};
use crate::dahua::stream::Bounds;

/// A frame in `pieces` units.
fn pieces(kind: u8, number: u32, pieces: u8) -> Vec<Unit> {
    (0..pieces)
        .rev()
        .map(|sub_frame| Unit {
            sub_frame,
            payload: vec![sub_frame + 1; 20 + usize::from(sub_frame)],
            ..Unit::new(kind, number, Vec::new())
        })
        .collect()
}

fn audio(number: u32) -> Unit {
    Unit::new(0xF0, number, vec![0xD5; 30])
}

/// The payload bytes of each frame, by number.
fn payloads(parsed: &Parsed, bytes: &[u8]) -> Vec<(u32, bool, Vec<u8>)> {
    parsed
        .frames
        .iter()
        .map(|frame| {
            let payload = frame
                .payload
                .iter()
                .flat_map(|range| bytes[range.start as usize..range.end as usize].iter().copied());
            let complete = frame.state == FrameState::Complete;
            (frame.number.unwrap(), complete, payload.collect())
        })
        .collect()
}

fn joined(units: &[Unit]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.payload.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Frames of one to five units, with sound between the units of one: each is one frame with its payload in order.
    #[test]
    fn pieces_are_joined_around_sound(
        counts in prop::collection::vec((1u8..6, 0usize..4), 1..12),
        windows in prop::collection::vec(1usize..200, 1..5),
    ) {
        let mut units = Vec::new();
        let mut pictures = Vec::new();
        let mut sounds = 0;
        for ((number, (count, sound)), kind) in (0u32..).zip(counts).zip([0xFD, 0xFC, 0xFC].into_iter().cycle()) {
            let mut frame = pieces(kind, number, count);
            pictures.push((number, true, joined(&frame)));
            if sound < frame.len() {
                frame.insert(sound, audio(sounds));
                sounds += 1;
            }
            units.extend(frame);
        }
        let bytes = join(&units);
        let parsed = parse(&bytes, &windows, Bounds::default());
        let (sound, video): (Vec<_>, Vec<_>) =
            payloads(&parsed, &bytes).into_iter().partition(|(_, _, payload)| payload[0] == 0xD5);
        prop_assert_eq!(video, pictures);
        prop_assert_eq!(sound.len(), sounds as usize);
        prop_assert_eq!(parsed.skipped, [0, 0, 0]);
        prop_assert_eq!(parse_whole(&bytes).frames, parsed.frames);
    }
}

/// Neighbouring units are one range; sound in between splits it.
#[test]
fn ranges_of_a_split_frame() {
    let [first, second, third] = pieces(0xFC, 1, 3).try_into().unwrap();
    let bytes = join(&[first.clone(), second.clone(), audio(1), third.clone()]);
    let parsed = parse_whole(&bytes);
    let frame = parsed.frames.iter().find(|frame| frame.units.len() > 1).unwrap();
    let lengths: Vec<_> = frame.units.iter().map(|range| range.end - range.start).collect();
    assert_eq!(lengths, [(first.len() + second.len()) as u64, third.len() as u64]);
    assert!(frame.interpretation.is_some(), "that the order is a single source's word is said");
}

/// The last unit is missing: what is there is given out as a damaged frame, before the next of its kind, and at the end.
#[test]
fn a_missing_last_piece() {
    let mut cut = pieces(0xFC, 1, 3);
    cut.pop();
    let at_end = join(&cut);
    let parsed = parse_whole(&at_end);
    assert_eq!(payloads(&parsed, &at_end), [(1, false, joined(&cut))]);

    let followed = join(&[cut.clone(), vec![Unit::p(2), Unit::p(3)]].concat());
    let found = payloads(&parse_whole(&followed), &followed);
    let numbers: Vec<_> = found.iter().map(|(number, complete, _)| (*number, *complete)).collect();
    assert_eq!(numbers, [(1, false), (2, true), (3, true)]);

    let split = join(&[cut, pieces(0xFC, 2, 3)].concat());
    let found = payloads(&parse_whole(&split), &split);
    let numbers: Vec<_> = found.iter().map(|(number, complete, _)| (*number, *complete)).collect();
    assert_eq!(numbers, [(1, false), (2, true)]);
}

/// A unit in the middle is missing: what comes behind it is no part of the frame in front of it.
#[test]
fn a_missing_middle_piece() {
    let mut cut = pieces(0xFC, 1, 5);
    cut.remove(2);
    let bytes = join(&[cut, vec![Unit::p(2)]].concat());
    let parsed = parse_whole(&bytes);
    let broken = &parsed.frames[0];
    assert!(matches!(&broken.state, FrameState::Damaged(why) if why.contains("missing")));
    assert_eq!(broken.units[0].start, 0);
    assert_eq!(parsed.frames.last().unwrap().number, Some(2));
    assert_eq!(parsed.frames.last().unwrap().state, FrameState::Complete);
    let covered: u64 = parsed.frames.iter().flat_map(|f| &f.units).map(|r| r.end - r.start).sum();
    assert_eq!(covered, bytes.len() as u64, "no unit is dropped");
}

/// Frames of two channels and two kinds are joined apart.
#[test]
fn channels_and_kinds_are_joined_apart() {
    let a = pieces(0xFC, 7, 2);
    let b: Vec<_> =
        pieces(0xFC, 7, 2).into_iter().map(|unit| Unit { channel: 1, ..unit }).collect();
    let c = pieces(0xF1, 7, 2);
    let units = [&a[0], &b[0], &c[0], &a[1], &c[1], &b[1]].into_iter().cloned().collect::<Vec<_>>();
    let bytes = join(&units);
    let parsed = parse_whole(&bytes);
    assert_eq!(parsed.frames.len(), 3);
    assert!(
        payloads(&parsed, &bytes)
            .iter()
            .all(|(_, complete, payload)| { *complete && *payload == joined(&a) })
    );
}

/// A damaged unit makes its frame damaged.
#[test]
fn damage_in_one_piece_is_the_frames() {
    for damaged in 0..3 {
        let units = pieces(0xFD, 1, 3);
        let mut bytes = join(&units);
        let start: usize = units[..damaged].iter().map(Unit::len).sum();
        bytes[start + 0x17] ^= 1;
        let parsed = parse_whole(&bytes);
        // A first unit whose header is damaged may be no split frame's at all: it stands alone, and so does the rest.
        assert_eq!(parsed.frames.len(), if damaged == 0 { 2 } else { 1 });
        assert!(parsed.frames.iter().all(|frame| matches!(frame.state, FrameState::Damaged(_))));
    }
}

/// A key frame in pieces is encrypted or not by its first piece; the others have no start code of their own.
#[test]
fn later_pieces_of_a_key_frame_are_not_taken_for_encrypted() {
    let mut units = pieces(0xFD, 1, 3);
    units[0].tags = vec![0x81, 50, 8, 25];
    units[0].payload = vec![0, 0, 0, 1, 0x67, 1];
    let bytes = join(&[units, vec![Unit::p(2)]].concat());
    let parsed = parse_whole(&bytes);
    assert_eq!(parsed.frames.len(), 2);
    assert!(parsed.frames.iter().all(|frame| frame.encrypted.is_none()));
}
