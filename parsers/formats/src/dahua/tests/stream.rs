//! The stream parser over units written by an encoder of these tests: windows, damage, filler, hostile lengths.

use daleel_core::{Codec, Frame, FrameKind, FrameState};
use proptest::prelude::*;

use super::units::{Parsed, Unit, date, join, parse, parse_whole};
use crate::dahua::stream::Bounds;

fn complete(frame: &Frame) -> bool {
    frame.state == FrameState::Complete
}

/// Start, number and whether it is complete.
fn told(parsed: &Parsed) -> Vec<(u64, u32, bool)> {
    parsed.frames.iter().map(|f| (f.start(), f.number.unwrap(), complete(f))).collect()
}

fn numbers(parsed: &Parsed) -> Vec<u32> {
    parsed.frames.iter().filter(|f| complete(f)).filter_map(|f| f.number).collect()
}

/// A tag area of known tags that says nothing of encryption.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        any::<[u8; 3]>().prop_map(|v| [&[0x80][..], &v].concat()),
        any::<[u8; 3]>().prop_map(|v| [&[0x81][..], &v].concat()),
        any::<[u8; 7]>().prop_map(|v| [&[0x82][..], &v].concat()),
        any::<[u8; 3]>().prop_map(|v| [&[0x83][..], &v].concat()),
        any::<[u8; 7]>().prop_map(|v| [&[0x88][..], &v].concat()),
        any::<[u8; 3]>().prop_map(|v| [&[0x94][..], &v].concat()),
        any::<[u8; 3]>().prop_map(|v| [&[0xA0][..], &v].concat()),
        any::<[u8; 5]>().prop_map(|v| [&[0x7F][..], &v].concat()),
    ];
    prop::collection::vec(known, 0..6).prop_map(|tags| tags.concat())
}

fn unit() -> impl Strategy<Value = Unit> {
    (
        prop::sample::select(&[0xF0u8, 0xF1, 0xFB, 0xFC, 0xFD, 0xFE][..]),
        any::<u8>(),
        0u8..4,
        any::<u32>(),
        (1u32..29, 0u32..24, 0u32..60, 0u32..60),
        any::<u16>(),
        tags(),
        prop::collection::vec(any::<u8>(), 0..400),
    )
        .prop_map(
            |(kind, subtype, channel, number, (d, h, m, s), milliseconds, tags, payload)| {
                let date = date(d, h, m, s);
                let sub_frame = 0;
                Unit {
                    kind,
                    subtype,
                    channel,
                    sub_frame,
                    number,
                    date,
                    milliseconds,
                    tags,
                    payload,
                }
            },
        )
}

/// Units with filler between them: the bytes, and where each unit lies.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<(Unit, usize)>)> {
    let filler = prop_oneof![
        3 => Just(Vec::new()),
        1 => (0usize..200).prop_map(|n| vec![0xFF; n]),
        1 => (0usize..200).prop_map(|n| vec![0; n]),
    ];
    prop::collection::vec((filler, unit()), 1..25).prop_map(|parts| {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for (filler, unit) in parts {
            bytes.extend(filler);
            places.push((unit.clone(), bytes.len()));
            bytes.extend(unit.bytes());
        }
        (bytes, places)
    })
}

fn windows() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(1usize..64, 1..10),
        prop::collection::vec(1usize..3000, 1..10),
    ]
}

/// What is done to a stream.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Cut(usize, usize),
    Insert(usize, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), 1u8..).prop_map(|(at, by)| Damage::Flip(at, by)),
        (any::<usize>(), 1usize..300).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..300))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (
            any::<usize>(),
            prop::sample::select(vec![&b"DHAV"[..], b"dhav", b"DHAVDHAV\xfd\0\0\0", b"DHA"])
        )
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes.to_vec())),
    ]
}

/// A byte with the place in the undamaged stream that it comes from.
type Traced = (u8, Option<usize>);

impl Damage {
    fn apply(&self, bytes: &mut Vec<Traced>) {
        match self {
            Self::Flip(at, by) => {
                let at = at % bytes.len();
                bytes[at] = (bytes[at].0 ^ by, None);
            }
            Self::Cut(at, length) => {
                let at = at % bytes.len();
                let end = (at + length).min(bytes.len());
                if end - at < bytes.len() {
                    bytes.drain(at..end);
                }
            }
            Self::Insert(at, new) => {
                let at = at % bytes.len();
                bytes.splice(at..at, new.iter().map(|byte| (*byte, None)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// every unit written is one frame with the values written, and nothing else is found.
    #[test]
    fn what_was_written_is_read((bytes, places) in stream()) {
        let parsed = parse_whole(&bytes);
        prop_assert_eq!(parsed.frames.len(), places.len());
        for (frame, (unit, at)) in parsed.frames.iter().zip(&places) {
            let start = *at as u64;
            let payload = start + 24 + unit.tags.len() as u64;
            prop_assert!(complete(frame), "{:?}", frame.state);
            prop_assert_eq!((frame.start(), frame.end()), (start, start + unit.len() as u64));
            prop_assert_eq!(&frame.payload[0], &(payload..payload + unit.payload.len() as u64));
            prop_assert_eq!((frame.units.len(), frame.payload.len()), (1, 1));
            prop_assert_eq!(frame.number, Some(unit.number));
            prop_assert_eq!(frame.stream_channel, Some(u32::from(unit.channel)));
            prop_assert_eq!(frame.time.counter.unwrap().value, u64::from(unit.milliseconds));
            prop_assert_eq!(frame.time.second, crate::dahua::decode_date(unit.date));
            let [stored, ..] = &frame.time.stored[..] else { panic!("the date is stored") };
            prop_assert_eq!((stored.offset, &stored.bytes[..4]), (start + 0x10, &unit.date.to_le_bytes()[..]));
            let kind = match unit.kind {
                0xF0 => FrameKind::Audio,
                0xF1 => FrameKind::Auxiliary,
                _ if frame.kind == FrameKind::Still => FrameKind::Still,
                _ => FrameKind::Video,
            };
            prop_assert_eq!(frame.kind, kind);
        }
        let inside: usize = places.iter().map(|(unit, _)| unit.len()).sum();
        prop_assert_eq!(parsed.skipped, [bytes.len() - inside, 0, 0]);
    }

    /// the windows in which a stream arrives make no difference to what is found.
    #[test]
    fn windows_make_no_difference((bytes, _) in stream(), windows in windows()) {
        let whole = parse_whole(&bytes);
        let split = parse(&bytes, &windows, Bounds::default());
        prop_assert_eq!(&whole.frames, &split.frames);
        prop_assert_eq!(whole.skipped, split.skipped);
    }

    /// bytes changed, cut out and put in: every unit that is whole is found, in any windows, and nothing panics or loops.
    #[test]
    fn damage_costs_what_it_touches(
        (bytes, places) in stream(), damages in prop::collection::vec(damage(), 1..8), windows in windows(),
    ) {
        let mut traced: Vec<Traced> = bytes.iter().copied().zip((0..).map(Some)).collect();
        for damage in &damages {
            damage.apply(&mut traced);
        }
        let damaged: Vec<u8> = traced.iter().map(|(byte, _)| *byte).collect();
        let parsed = parse(&damaged, &windows, Bounds::default());
        let whole: std::collections::BTreeSet<(u64, u32)> =
            parsed.frames.iter().filter(|f| complete(f)).map(|f| (f.start(), f.number.unwrap())).collect();
        for (unit, at) in &places {
            let Some(start) = traced.iter().position(|(_, from)| *from == Some(*at)) else { continue };
            let is_whole = traced.get(start..start + unit.len()).is_some_and(|run| {
                run.iter().zip(*at..).all(|((_, from), place)| *from == Some(place))
            });
            if is_whole {
                prop_assert!(whole.contains(&(start as u64, unit.number)), "unit at {} is lost", start);
            }
        }
        for frame in &parsed.frames {
            prop_assert!(frame.end() <= damaged.len() as u64);
            prop_assert!(frame.payload.iter().all(|r| r.start <= r.end && r.end <= frame.end()));
        }
        prop_assert_eq!(parse_whole(&damaged).frames, parsed.frames);
    }

    /// any bytes, with a header here and there.
    #[test]
    fn any_bytes_are_walked_through(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..100),
                any::<[u8; 20]>().prop_map(|rest| {
                    let mut header = [b"DHAV", &rest[..]].concat();
                    header[4] |= 0xF0;
                    header[14] &= 0;
                    header[15] = 0;
                    header[23] = header[..23].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
                    header
                }),
            ],
            0..30,
        ),
        windows in windows(),
    ) {
        let bytes = parts.concat();
        let parsed = parse(&bytes, &windows, Bounds { first_frame: 0, open_end_from: Some(bytes.len() as u64 / 2), ..Bounds::default() });
        for frame in &parsed.frames {
            prop_assert!(frame.end() <= bytes.len() as u64);
        }
    }
}

/// Section 7: lengths from hell in headers whose checksum holds.
#[test]
fn lengths_from_hell() {
    for length in [0, 31, 33, (16 << 20) + 1, 0x7FFF_FFFF, u32::MAX, 16 << 20, 5000] {
        let mut hell = Unit::p(1).bytes();
        hell[12..16].copy_from_slice(&u32::to_le_bytes(length));
        hell[23] = hell[..23].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        let start = hell.len() as u64;
        let bytes = [hell, join(&[Unit::key(2), Unit::p(3)])].concat();
        for windows in [&[][..], &[1], &[77]] {
            let parsed = parse(&bytes, windows, Bounds::default());
            let found = told(&parsed);
            let behind = [(start, 2, true), (start + Unit::key(2).len() as u64, 3, true)];
            assert!(found.ends_with(&behind), "length {length}: {found:?}");
            assert!(found.len() <= 3 && found.iter().filter(|f| f.2).count() == 2);
        }
    }
}

/// A tag length that reaches past the unit.
#[test]
fn tag_lengths_from_hell() {
    let mut hell = Unit::p(1).bytes();
    hell[22] = 255;
    hell[23] = hell[..23].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    let bytes = [hell, Unit::key(2).bytes()].concat();
    assert_eq!(numbers(&parse_whole(&bytes)), [2]);
}

/// Payload that holds whole units is payload.
#[test]
fn units_in_a_payload_are_payload() {
    let inner = join(&[Unit::p(900), Unit::p(901)]);
    let outer =
        Unit { payload: [&[0, 0, 0, 1, 0x67][..], &inner, b"DHAV"].concat(), ..Unit::key(1) };
    let bytes = join(&[outer.clone(), Unit::p(2)]);
    for windows in [&[][..], &[1], &[50]] {
        let parsed = parse(&bytes, windows, Bounds::default());
        assert_eq!(told(&parsed), [(0, 1, true), (outer.len() as u64, 2, true)]);
        assert_eq!(parsed.skipped, [0, 0, 0]);
    }
}

/// a unit with a damaged trailer, header checksum or length is a frame, and said to be damaged.
#[test]
fn damaged_units_say_so() {
    let units = [Unit::key(1), Unit::p(2), Unit::p(3)];
    let (first, second) = (units[0].len(), units[1].len());
    let damaged_at = |at: usize| {
        let mut bytes = join(&units);
        bytes[first + at] ^= 0x40;
        let parsed = parse_whole(&bytes);
        let frames: Vec<_> = parsed.frames.iter().map(|f| (f.number, complete(f))).collect();
        // The fields of a header whose checksum fails are not believed.
        let number = (at >= 0x18).then_some(2);
        assert_eq!(frames, [(Some(1), true), (number, false), (Some(3), true)], "byte {at}");
        assert_eq!(parsed.frames[1].units[0], first as u64..(first + second) as u64);
    };
    // The checksum itself, the date, the trailer's magic, the trailer's length.
    for at in [0x17, 0x10, second - 8, second - 1] {
        damaged_at(at);
    }
}

/// The last unit is cut: what is there is a damaged frame.
#[test]
fn a_cut_last_unit() {
    let bytes = join(&[Unit::key(1), Unit::p(2)]);
    for cut in 1..Unit::p(2).len() {
        let parsed = parse_whole(&bytes[..bytes.len() - cut]);
        assert_eq!(told(&parsed)[0], (0, 1, true));
        assert_eq!(numbers(&parsed), [1]);
        assert!(parsed.frames.iter().all(|frame| frame.end() <= (bytes.len() - cut) as u64));
    }
}

/// Section 1.6: bytes in front of the first frame are no frames, whatever they look like.
#[test]
fn the_index_is_passed_over() {
    let bytes = join(&[Unit::key(1), Unit::p(2), Unit::p(3)]);
    let first_frame = Unit::key(1).len() as u64;
    for windows in [&[][..], &[1], &[20]] {
        let parsed = parse(
            &bytes,
            windows,
            Bounds { first_frame, open_end_from: None, ..Bounds::default() },
        );
        assert_eq!(numbers(&parsed), [2, 3]);
        assert_eq!(parsed.skipped, [first_frame as usize, 0, 0]);
    }
    let parsed = parse(
        &bytes,
        &[],
        Bounds { first_frame: u64::MAX, open_end_from: None, ..Bounds::default() },
    );
    assert!(parsed.frames.is_empty());
}

/// Footage of two generations: numbers, dates and counters as given for the second.
fn generations(number: u32, older: u32, milliseconds: u16) -> (Vec<u8>, Bounds) {
    let unit = |n: u32, date: u32, milliseconds: u16| Unit {
        date,
        milliseconds,
        ..if n.is_multiple_of(25) { Unit::key(n) } else { Unit::p(n) }
    };
    let mut bytes = Vec::new();
    for n in 0..50u32 {
        bytes.extend(unit(n, date(5, 10, 0, n / 25), (n * 40) as u16).bytes());
    }
    let bounds =
        Bounds { first_frame: 0, open_end_from: Some(bytes.len() as u64 / 2), ..Bounds::default() };
    for n in 0..50u32 {
        let milliseconds = milliseconds.wrapping_add((n * 40) as u16);
        bytes.extend(unit(number + n, older + n / 25, milliseconds).bytes());
    }
    (bytes, bounds)
}

/// R-2, section 1.4: behind an open end, footage of an older generation ends the recording and is called so.
#[test]
fn an_older_generation_ends_an_open_recording() {
    let (bytes, bounds) = generations(7000, date(4, 9, 0, 0), 30_000);
    for windows in [&[][..], &[1], &[333]] {
        let parsed = parse(&bytes, windows, bounds);
        assert_eq!(numbers(&parsed), (0..50).collect::<Vec<_>>());
        assert!(parsed.skipped[1] > 0);
        assert_eq!(parsed.skipped[2], 0);
    }
}

/// T-4, T-9: a clock set back leaves the counter running: the recording goes on.
#[test]
fn a_clock_set_back_ends_nothing() {
    // The hour that comes twice; the counter runs on, frame numbers too.
    let (bytes, bounds) = generations(50, date(5, 9, 0, 2), 2000);
    assert_eq!(numbers(&parse(&bytes, &[], bounds)).len(), 100);
    // With a frame lost at the same moment.
    let (bytes, bounds) = generations(53, date(5, 9, 0, 2), 2120);
    assert_eq!(numbers(&parse(&bytes, &[], bounds)).len(), 100);
    // The number goes on although the counter was set.
    let (bytes, bounds) = generations(50, date(5, 9, 0, 2), 50_000);
    assert_eq!(numbers(&parse(&bytes, &[], bounds)).len(), 100);
}

/// Newer footage, and a closed end, are never cut.
#[test]
fn only_older_footage_behind_an_open_end_is_cut() {
    let (bytes, bounds) = generations(7000, date(6, 9, 0, 0), 30_000);
    assert_eq!(numbers(&parse(&bytes, &[], bounds)).len(), 100);
    let (bytes, _) = generations(7000, date(4, 9, 0, 0), 30_000);
    assert_eq!(numbers(&parse_whole(&bytes)).len(), 100);
}

/// I-9: encryption of a key frame holds for the frames that refer to it, of its channel only, until the next key frame.
#[test]
fn encryption_lasts_to_the_next_key_frame() {
    let secret = Unit { payload: vec![0x77; 40], ..Unit::key(0) };
    let tagged = |mut unit: Unit| {
        unit.tags.extend([0x95, 0, 0, 0, 0, 0, 0, 0]);
        unit
    };
    let other = |unit: Unit| Unit { channel: 1, ..unit };
    let units = [
        (Unit::key(0), false),
        (Unit::p(1), false),
        // By its tag.
        (tagged(Unit::key(2)), true),
        (Unit::p(3), true),
        (other(Unit::key(0)), false),
        (other(Unit::p(1)), false),
        (Unit::new(0xF0, 0, vec![1, 2, 3]), false),
        (Unit::p(4), true),
        (Unit::key(5), false),
        (Unit::p(6), false),
        // By its payload.
        (Unit { number: 7, ..secret }, true),
        (Unit::p(8), true),
        (Unit::key(9), false),
        // A tag on a frame that is no key frame speaks of that frame.
        (tagged(Unit::p(10)), true),
        (Unit::p(11), false),
    ];
    let bytes = join(&units.clone().map(|(unit, _)| unit));
    let parsed = parse_whole(&bytes);
    let found: Vec<_> = parsed.frames.iter().map(|frame| frame.encrypted.is_some()).collect();
    assert_eq!(found, units.map(|(_, encrypted)| encrypted));
}

/// T-1: tag A0 is believed where its value keeps step with the counter, in either place, and not before.
#[test]
fn absolute_milliseconds_in_either_place() {
    for place in [1, 2] {
        let units: Vec<_> = (0..40u32)
            .map(|n| {
                let time = 300 + n * 40;
                let mut tag = [0xA0, 0, 0, 0];
                tag[place..place + 2].copy_from_slice(&((time % 1000) as u16).to_le_bytes());
                Unit {
                    tags: tag.to_vec(),
                    milliseconds: (9123 + n * 40) as u16,
                    date: date(5, 10, 0, time / 1000),
                    ..Unit::p(n)
                }
            })
            .collect();
        let parsed = parse_whole(&join(&units));
        let found: Vec<_> = parsed.frames.iter().map(|frame| frame.time.millisecond).collect();
        assert!(found[..8].iter().all(Option::is_none), "{found:?}");
        for (n, found) in (0u32..).zip(&found).skip(10) {
            assert_eq!(*found, Some(((300 + n * 40) % 1000) as u16), "place {place}, frame {n}");
        }
        let stored = parsed.frames[0].time.stored[2];
        assert_eq!((stored.name, stored.offset, stored.len), ("tag A0", 24, 4));
    }
}

/// Values that do not keep step with the counter, or stand still, are never taken for milliseconds.
#[test]
fn other_values_of_tag_a0_are_not_believed() {
    let never: [fn(u32) -> u16; 3] =
        [|_| 500, |n| (n * 37 % 1000) as u16, |n| (2000 + n * 40) as u16];
    for value in never {
        let units: Vec<_> = (0..60u32)
            .map(|n| {
                let [low, high] = value(n).to_le_bytes();
                Unit {
                    tags: vec![0xA0, low, high, 0xEE],
                    milliseconds: (n * 40) as u16,
                    ..Unit::p(n)
                }
            })
            .collect();
        let parsed = parse_whole(&join(&units));
        assert!(parsed.frames.iter().all(|frame| frame.time.millisecond.is_none()));
    }
}

/// Section 3.4: the payload check of kinds 0 and 2 is compared, others are not known, none fails a frame.
#[test]
fn payload_checks() {
    let payload: Vec<u8> = (0u8..=250).collect();
    // Section 3.4: sum over i of payload[i] << (8 * (i mod 4)), wrapping.
    let sum = payload
        .iter()
        .enumerate()
        .fold(0u32, |sum, (i, byte)| sum.wrapping_add(u32::from(*byte) << (8 * (i % 4))));
    // The check value of CRC-32, from its catalogue entry.
    let digits = b"123456789".to_vec();
    let cases: [(&[u8], u32, u8, Option<bool>); 6] = [
        (&payload, sum, 0, Some(true)),
        (&payload, sum ^ 1, 0, Some(false)),
        (&digits, 0xCBF4_3926, 2, Some(true)),
        (&digits, 0xCBF4_3927, 2, Some(false)),
        (&digits, 0, 1, None),
        (&[], 0, 0, Some(true)),
    ];
    for (payload, check, kind, expected) in cases {
        let mut tags = vec![0x88];
        tags.extend(check.to_le_bytes());
        tags.extend([0, 0, kind]);
        let unit = Unit { tags, ..Unit::new(0xF0, 1, payload.to_vec()) };
        let parsed = parse_whole(&unit.bytes());
        assert_eq!(parsed.frames[0].check, expected, "kind {kind}");
        assert!(complete(&parsed.frames[0]));
    }
    assert_eq!(parse_whole(&Unit::p(1).bytes()).frames[0].check, None);
}

/// A stated codec is overruled by what the payload shows; a frame without a tag has its channel's codec.
#[test]
fn codecs() {
    let picture = |codec: u8, payload: &[u8]| Unit {
        tags: vec![0x81, 50, codec, 25],
        ..Unit::new(0xFD, 0, payload.to_vec())
    };
    let cases = [
        (picture(8, &[0, 0, 0, 1, 0x67, 1]), Codec::H264),
        (picture(12, &[0, 0, 0, 1, 0x40, 1]), Codec::H265),
        (picture(4, &[0, 0, 1, 0x40, 1]), Codec::H265),
        (picture(5, &[0xFF, 0xD8, 0xFF]), Codec::Mjpeg),
        (picture(3, &[0, 0, 1, 0xB0]), Codec::Mpeg4),
        (picture(99, &[1, 2, 3]), Codec::Unknown),
    ];
    for (unit, codec) in cases {
        let bytes = join(&[unit, Unit::p(1)]);
        let frames = parse_whole(&bytes).frames;
        assert_eq!(frames[0].codec, codec);
        assert!(frames[0].key);
        assert_eq!(frames[1].codec, codec, "inherited");
    }
    let sound = |codec: u8, payload: &[u8]| Unit {
        tags: vec![0x83, 1, codec, 2],
        ..Unit::new(0xF0, 0, payload.to_vec())
    };
    for (unit, codec) in [
        (sound(14, &[0xD5; 9]), Codec::G711A),
        (sound(22, &[0xFF; 9]), Codec::G711U),
        (sound(16, &[0; 8]), Codec::Pcm16),
        (sound(26, &[0xFF, 0xF1, 0x50]), Codec::AacAdts),
        (sound(26, &[0xD5; 9]), Codec::Other("aac stated, payload is not ADTS")),
    ] {
        let frame = parse_whole(&unit.bytes()).frames.remove(0);
        assert_eq!(frame.codec, codec);
        let audio = frame.audio.unwrap();
        assert_eq!((audio.sample_rate, audio.channels), (Some(8000), 1));
    }
}
