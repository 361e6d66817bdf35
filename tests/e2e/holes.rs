//! Bytes that are not there: missing pieces, sectors that could not be read, images that end early. What is missing is named and is never
//! filled.

use std::{collections::BTreeMap, fs};

use daleel::export::records::FrameJson;
use daleel_generator::truth::{Frame, FrameKind};
use daleel_tests::judge::Extracted;
use serde_json::Value;

use crate::run::{Evidence, overlap, touches};

/// What an imaging tool left where it could not read; no camera writes this.
const FILL: &[u8] = b"<<THIS SECTOR WAS NOT READ>>";

fn filled(length: u64) -> Vec<u8> {
    FILL.iter().copied().cycle().take(length as usize).collect()
}

/// Every delivered frame by the first byte of its payload.
fn delivered(extracted: &Extracted) -> BTreeMap<u64, &FrameJson> {
    let frames = extracted.found.iter().flat_map(|found| &found.frames);
    frames.map(|frame| (frame.extents[0][0], frame)).collect()
}

/// Listed pictures of the truth.
fn pictures(evidence: &Evidence) -> impl Iterator<Item = &Frame> {
    let frames = evidence.truth.listed().flat_map(|recording| &recording.frames);
    frames.filter(|frame| matches!(frame.kind, FrameKind::Video | FrameKind::Still))
}

/// Compares what was delivered with the truth, given what is missing of the medium. Returns how many pictures were lost.
fn check(evidence: &Evidence, extracted: &Extracted, missing: &[[u64; 2]]) -> usize {
    extracted.check_contract();
    let delivered = delivered(extracted);
    let mut lost = 0;
    for frame in pictures(evidence) {
        let found = delivered.get(&frame.payload[0][0]);
        if touches(frame, missing) {
            lost += 1;
            let state = found.map_or("not delivered", |found| &found.state);
            assert_ne!(state, "complete", "a frame with missing bytes: {frame:?}");
        } else {
            let found =
                found.unwrap_or_else(|| panic!("a whole frame is not delivered: {frame:?}"));
            assert_eq!(found.extents, frame.payload);
            assert!(found.state != "damaged", "{found:?}");
        }
    }
    for frame in delivered.values() {
        let touched = |extent: &[u64; 2]| missing.iter().any(|hole| overlap(*extent, *hole));
        assert!(
            !frame.extents.iter().any(touched),
            "bytes are said to come from a hole: {frame:?}"
        );
    }
    check_nothing_is_filled(extracted);
    lost
}

/// No file holds what the imaging tool filled in, and native streams hold no zeros in its place.
fn check_nothing_is_filled(extracted: &Extracted) {
    for entry in fs::read_dir(extracted.folder.join("clips")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(FILL.len()).position(|window| window == FILL);
        assert_eq!(found, None, "{}: the filling is exported", path.display());
        if path.extension().is_some_and(|ending| ending == "dav") {
            let zeros = [0; 256];
            let found = bytes.windows(zeros.len()).position(|window| window == zeros);
            assert_eq!(found, None, "{}: zeros are exported", path.display());
        }
    }
}

/// The findings of a kind, as `[offset, length]`.
fn findings(extracted: &Extracted, kind: &str) -> Vec<[u64; 2]> {
    let findings = extracted.summary["findings"].as_array().unwrap();
    let of_kind = findings.iter().filter(|finding| finding["kind"] == kind);
    of_kind
        .filter_map(|finding| Some([finding["offset"].as_u64()?, finding["length"].as_u64()?]))
        .collect()
}

/// Every hole that takes something from a listed recording is reported with its place.
fn check_reported(evidence: &Evidence, extracted: &Extracted, missing: &[[u64; 2]]) {
    let reported = findings(extracted, "hole");
    for hole in missing {
        let takes = pictures(evidence).any(|frame| touches(frame, &[*hole]));
        let said = reported.iter().any(|reported| overlap(*reported, *hole));
        assert!(!takes || said, "the hole {hole:?} is not reported: {reported:?}");
    }
    assert!(extracted.summary["finding_counts"]["hole"].as_u64().unwrap() > 0);
}

/// sectors that a ddrescue map calls unreadable or untried are holes, whatever the image holds there.
#[test]
fn what_the_map_calls_unread_is_never_footage() {
    let evidence = Evidence::new("dahua-intact");
    let recordings: Vec<_> = evidence.truth.listed().collect();
    let sector = |at: u64| at / 512 * 512;
    let video = |recording: usize, n: usize| recordings[recording].video().nth(n).unwrap();
    let cluster = evidence.truth.partitions[0].data_start + 64 * 1024 * 16;
    let missing = [
        // One sector inside a picture; the sector with a frame's header; a run over several frames; a whole cluster.
        [sector(video(0, 50).payload[0][0] + 600), 512],
        [sector(video(1, 100).extents[0][0]), 512],
        [sector(video(4, 30).payload[0][0]), 512 * 9],
        [cluster, 64 * 1024],
    ];
    let mut sorted = missing;
    sorted.sort();
    let mut bytes = evidence.bytes();
    let mut map = String::from("# Mapfile. Created by a test\n0x0 + 1\n");
    let mut from = 0;
    for (n, [at, length]) in sorted.into_iter().enumerate() {
        bytes[at as usize..(at + length) as usize].copy_from_slice(&filled(length));
        let status = ["-", "?", "*", "/"][n % 4];
        map.push_str(&format!("0x{from:X} 0x{:X} +\n0x{at:X} 0x{length:X} {status}\n", at - from));
        from = at + length;
    }
    map.push_str(&format!("0x{from:X} 0x{:X} +\n", bytes.len() as u64 - from));
    fs::write(evidence.path().join("rescued.dd"), &bytes).unwrap();
    fs::write(evidence.path().join("rescued.map"), map).unwrap();

    evidence
        .run(&["extract", "rescued.dd", "--map", "rescued.map", "--out", "out", "--native"])
        .is(1);
    let extracted = Extracted::read(&evidence.path().join("out"));
    let lost = check(&evidence, &extracted, &missing);
    assert!((12..120).contains(&lost), "{lost} pictures are lost");
    check_reported(&evidence, &extracted, &missing);
    // Pictures that refer to lost ones say so, up to the next key frame.
    let states: Vec<&str> = extracted
        .found
        .iter()
        .flat_map(|found| &found.frames)
        .map(|frame| frame.state.as_ref())
        .collect();
    assert!(states.contains(&"reference-missing"));
    let source = &extracted.summary["source"];
    let total: u64 = missing.iter().map(|[_, length]| length).sum();
    assert!(source["notes"].to_string().contains("bytes unreadable"), "{source}");
    assert!(total > 0 && source["description"].to_string().contains("map"));

    // A map that lies beside the image and covers it is used without being asked for, unless it is refused; then identify points at it.
    let identify = evidence.run(&["identify", "rescued.dd"]).ends_with_any_of(&[0, 1]);
    assert!(
        identify.stdout.contains("rescued.map lies beside the image and covers it: it is used")
    );
    assert!(identify.stdout.contains("bytes unreadable"));
    let identify = evidence.run(&["identify", "rescued.dd", "--no-map"]).ends_with_any_of(&[0, 1]);
    assert!(identify.stdout.contains("rescued.map looks like the map of this image"));
}

/// holes in the recorder's own structures do not end the program: where a copy or a rule stands in, nothing is lost; what is lost is
/// reported.
#[test]
fn unread_sectors_of_the_structures_are_reported() {
    let evidence = Evidence::new("dahua-intact");
    let partition = &evidence.truth.partitions[0];
    let size = evidence.truth.bytes;
    let all = pictures(&evidence).count();
    let (table, boot, index) = (30 * 512, 34 * 512, evidence.truth.recordings[0].index.unwrap()[0]);
    for (n, (at, length, costs_footage)) in [
        (0, 512, false),
        (table, 512, false),
        // Both tables and the first boot sector.
        (table, 33 * 512, false),
        (boot, 512, false),
        (0, 64 * 1024, false),
        (index, 512, false),
        (partition.descriptors, 512, true),
        (partition.descriptors + 512, 512, true),
    ]
    .into_iter()
    .enumerate()
    {
        let (map, out) = (format!("{n}.map"), format!("out-{n}"));
        let behind = at + length;
        let mut text = String::from("0x0 + 1\n");
        if at > 0 {
            text.push_str(&format!("0 {at} +\n"));
        }
        text.push_str(&format!("{at} {length} -\n{behind} {} +\n", size - behind));
        fs::write(evidence.path().join(&map), text).unwrap();
        for verb in ["identify", "list", "logs"] {
            evidence.run(&[verb, evidence.image(), "--map", &map]).ends_with_any_of(&[0, 1]);
        }
        evidence.run(&["extract", evidence.image(), "--map", &map, "--out", &out]).is(1);
        let extracted = Extracted::read(&evidence.path().join(&out));
        extracted.check_contract();
        let complete = delivered(&extracted).values().filter(|f| f.state == "complete").count();
        assert_eq!(complete < all, costs_footage, "hole at {at}: {complete} of {all}");
        let findings = extracted.summary["findings"].as_array().unwrap();
        let near = findings.iter().any(|finding| {
            let extent = finding["offset"].as_u64().zip(finding["length"].as_u64());
            extent.is_some_and(|(offset, bytes)| overlap([offset, bytes], [at, length]))
        });
        assert!(near, "the hole at {at} is not reported: {findings:?}");
    }
}

/// a missing piece is named, the footage in the others is delivered, and nothing stands in for it.
#[test]
fn a_missing_piece_is_named_and_the_rest_delivered() {
    let evidence = Evidence::new("dahua-intact");
    const PIECE: u64 = 300_000;
    let bytes = evidence.bytes();
    // A piece in the middle of the footage of partition 0.
    let gone = evidence.truth.recordings[2].video().nth(80).unwrap().payload[0][0] / PIECE;
    for (n, piece) in bytes.chunks(PIECE as usize).enumerate() {
        if n as u64 != gone {
            fs::write(evidence.path().join(format!("disk.{:03}", n + 1)), piece).unwrap();
        }
    }
    let name = format!("disk.{:03}", gone + 1);
    let identify = evidence.run(&["identify", "disk.001"]).ends_with_any_of(&[0, 1]);
    assert!(identify.stdout.contains(&format!("missing: {name}")), "{}", identify.stdout);

    evidence.run(&["extract", "disk.001", "--out", "out", "--native"]).is(1);
    let extracted = Extracted::read(&evidence.path().join("out"));
    let missing = [[gone * PIECE, PIECE]];
    let lost = check(&evidence, &extracted, &missing);
    assert!(lost > 50, "{lost} pictures are lost");
    check_reported(&evidence, &extracted, &missing);
    assert_eq!(extracted.summary["source"]["missing_pieces"], serde_json::json!([name]));
    assert!(extracted.summary["source"]["notes"].to_string().contains(&name));
}

/// an image that ends early gives all that lies before its end, and says that the rest is missing.
#[test]
fn an_image_that_ends_early_gives_what_it_has() {
    let evidence = Evidence::new("dahua-four-partitions");
    let bytes = evidence.bytes();
    let partition = |n: usize| &evidence.truth.partitions[n];
    let last = evidence.truth.listed().last().unwrap().video().nth(60).unwrap();
    let cuts = [
        // Inside a picture of the last partition; at a sector and at no sector; in the last partition's index; between partitions; in
        // the first partition's footage.
        last.payload[0][0] + 100,
        last.payload[0][0] / 512 * 512,
        partition(3).descriptors + 700,
        partition(2).data_start + 17,
        partition(1).start,
        evidence.truth.recordings[0].video().nth(90).unwrap().payload[0][0] + 5,
    ];
    for (n, cut) in cuts.into_iter().enumerate() {
        let (name, out) = (format!("cut-{n}.dd"), format!("out-{n}"));
        fs::write(evidence.path().join(&name), &bytes[..cut as usize]).unwrap();
        let identify =
            evidence.run(&["identify", &name, "--json"]).ends_with_any_of(&[0, 1]).json();
        assert_eq!(identify["size"], cut);
        evidence.run(&["list", &name]).ends_with_any_of(&[0, 1]);
        evidence.run(&["logs", &name]).ends_with_any_of(&[0, 1]);
        evidence.run(&["extract", &name, "--out", &out, "--native"]).is(1);
        let extracted = Extracted::read(&evidence.path().join(&out));
        // Where the index itself is cut off, its recordings cannot be listed; where it is there, they are.
        let missing = [[cut, bytes.len() as u64 - cut]];
        let indexed = |partition: u32| {
            let partition = &evidence.truth.partitions[partition as usize];
            partition.descriptors + u64::from(partition.clusters) * 32 <= cut
        };
        let delivered = delivered(&extracted);
        for recording in evidence.truth.listed() {
            for frame in recording.video() {
                let found = delivered.get(&frame.payload[0][0]);
                if touches(frame, &missing) {
                    assert!(found.is_none_or(|found| found.state != "complete"), "cut {cut}");
                } else if indexed(recording.partition.unwrap()) {
                    let found = found.unwrap_or_else(|| panic!("cut {cut}: {frame:?} is lost"));
                    assert_eq!(found.extents, frame.payload);
                }
            }
        }
        check_nothing_is_filled(&extracted);
        extracted.check_contract();
        let hole = |finding: &Value| finding["kind"] == "hole";
        let findings = extracted.summary["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(hole),
            "cut {cut}: the missing end is not reported: {findings:?}"
        );
    }
}

/// however little there is of an image, the program ends with a documented code.
#[test]
fn the_shortest_images_end_with_a_documented_code() {
    let evidence = Evidence::new("dahua-intact");
    let bytes = evidence.bytes();
    for length in
        [0, 1, 7, 8, 511, 512, 513, 0x3C00, 0x3E00, 0x4400, 0x4600, 95_744, 262_144, 524_300]
    {
        fs::write(evidence.path().join("short.dd"), &bytes[..length]).unwrap();
        let out = format!("out-{length}");
        evidence.run(&["identify", "short.dd"]).ends_with_any_of(&[0, 1, 3]);
        evidence.run(&["list", "short.dd"]).ends_with_any_of(&[1, 3, 4]);
        evidence.run(&["logs", "short.dd"]).ends_with_any_of(&[0, 1, 3, 4]);
        evidence.run(&["extract", "short.dd", "--out", &out]).ends_with_any_of(&[1, 3, 4]);
    }
}
