//! The truth about Hikvision disks and streams holds on their images, read here with shifts and
//! offsets of the format document that the writer does not share.
// Tests assert on bytes of their own making; a panic is the report of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{decode_gray, ffmpeg_is_here, joined, probe_packets};
use daleel_generator::civil::Moment;
use daleel_generator::image::Image;
use daleel_generator::truth::{EntryState, Frame, FrameKind, Recording, Truth};
use daleel_generator::{Scenario, Shape, read_picture_mark, scenarios};

const VIDEO_OFFSET: u64 = 0x4C5_E000;

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn build(name: &str) -> (Image, Truth) {
    scenarios().iter().find(|scenario| scenario.name == name).unwrap().build(1).unwrap()
}

fn all(shape: Shape) -> impl Iterator<Item = &'static Scenario> {
    scenarios().iter().filter(move |s| s.family() == "hikvision" && s.shape() == shape)
}

fn disks() -> impl Iterator<Item = (&'static str, Image, Truth)> {
    all(Shape::Disk).map(|scenario| {
        let (image, truth) = scenario.build(1).unwrap();
        (scenario.name, image, truth)
    })
}

/// Seconds since 1970 as the truth writes them.
fn second(value: u64) -> String {
    let epoch = Moment::at((1970, 1, 1), (0, 0, 0));
    epoch.plus_ms(value as i64 * 1000).second_text()
}

/// The 33 bits of a time stamp of five bytes.
fn stamp(bytes: &[u8]) -> u64 {
    let value = be(&bytes[..5]);
    (value >> 3 & 7 << 30) | (value >> 2 & 0x7FFF << 15) | (value >> 1 & 0x7FFF)
}

/// Descriptor 0x40 as ISO 8601.
fn basic_time(descriptor: &[u8]) -> String {
    assert_eq!(descriptor[..4], *b"\x40\x0EHK");
    let v = be(&descriptor[7..11]);
    let ms = u64::from(descriptor[10] & 0x1F) << 5 | u64::from(descriptor[11] >> 3);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}",
        2000 + u64::from(descriptor[6]),
        v >> 28,
        v >> 23 & 31,
        v >> 18 & 31,
        v >> 12 & 63,
        v >> 6 & 63
    )
}

/// What the packets of a frame say.
struct Read {
    counter: Option<u32>,
    pts: u64,
    time: Option<String>,
    payload: Vec<(usize, usize)>,
}

/// Reads the pack header, if any, and the packets of one frame to its last byte.
fn read_packets(bytes: &[u8]) -> Read {
    let mut read = Read { counter: None, pts: u64::MAX, time: None, payload: Vec::new() };
    let mut at = 0;
    while at < bytes.len() {
        assert_eq!(bytes[at..at + 3], [0, 0, 1]);
        let length = be(&bytes[at + 4..at + 6]) as usize;
        match bytes[at + 3] {
            0xBA => {
                assert_eq!(bytes[at + 4] & 0xC4, 0x44);
                assert_eq!(bytes[at + 13] & 7, 6);
                assert_eq!(bytes[at + 14..at + 16], [0xFF, 0xFF]);
                read.counter = Some(be(&bytes[at + 16..at + 20]) as u32);
                at += 20;
                continue;
            }
            0xBB => {}
            0xBC => read.time = Some(basic_time(&bytes[at + 10..at + 26])),
            0xE0 | 0xC0 | 0xBD => {
                assert_eq!((length + 6) % 4, 0);
                let header = 9 + usize::from(bytes[at + 8]);
                if bytes[at + 7] & 0x80 != 0 {
                    assert!(read.payload.is_empty(), "only the first packet has a time stamp");
                    read.pts = stamp(&bytes[at + 9..at + 14]);
                }
                read.payload.push((at + header, 6 + length - header));
            }
            other => panic!("start code {other:#x}"),
        }
        at += 6 + length;
    }
    assert_eq!(at, bytes.len());
    read
}

fn check_frame(name: &str, image: &Image, frame: &Frame) {
    let [offset, length] = frame.extents[0];
    let read = read_packets(&image.read(offset, length as usize));
    let stored = frame.stored.as_ref().unwrap();
    assert_eq!((read.counter, read.pts), (stored.counter, stored.pts), "{name}");
    assert_eq!(read.time, stored.time, "{name}");
    assert_eq!(read.time.is_some(), frame.kind == FrameKind::Video && frame.key, "{name}");
    let payload: Vec<_> =
        read.payload.iter().map(|(at, size)| [offset + *at as u64, *size as u64]).collect();
    assert_eq!(payload, frame.payload, "{name}");
    assert_eq!(frame.pieces as usize, payload.len(), "{name}");
    if let Some(at) = stored.time_at {
        assert_eq!(Some(basic_time(&image.read(at, 16))), stored.time, "{name}");
    }
}

#[test]
fn packs_say_what_the_truth_says() {
    for scenario in all(Shape::Disk).chain(all(Shape::Stream)) {
        let (image, truth) = scenario.build(1).unwrap();
        let frames = truth.recordings.iter().flat_map(|r| &r.frames).filter(|f| f.intact);
        frames.for_each(|frame| check_frame(scenario.name, &image, frame));
    }
}

/// Time follows stream time: stored dates and stream time agree wherever nothing happened.
#[test]
fn true_times_follow_stream_time_but_for_what_the_truth_notes() {
    for (name, _, truth) in disks() {
        for recording in &truth.recordings {
            let video: Vec<&Frame> = recording.video().collect();
            for pair in video.windows(2) {
                let passed = pair[1].elapsed_ms - pair[0].elapsed_ms;
                let pts = |frame: &Frame| frame.stored.as_ref().unwrap().pts;
                let ticks = pts(pair[1]).wrapping_sub(pts(pair[0])) & ((1 << 33) - 1);
                let restarted = pair[1]
                    .discontinuity
                    .iter()
                    .any(|d| matches!(d, daleel_generator::truth::Discontinuity::Restart { .. }));
                assert_eq!(ticks == passed as u64 * 90, !restarted, "{name} {}", recording.id);
            }
        }
    }
}

#[test]
fn masters_point_at_what_is_there() {
    for (name, image, truth) in disks() {
        let facts = truth.hikvision.as_ref().unwrap();
        let Some(master) = facts.masters.iter().find(|master| master.intact) else { continue };
        let bytes = image.read(master.extent[0], 256);
        assert_eq!(bytes[0x10..0x22], *b"HIKVISION@HANGZHOU", "{name}");
        assert_eq!(bytes[0x30..0x3E], *b"HIK.2011.03.08", "{name}");
        let value = |at: usize| le(&bytes[at..at + 8]);
        assert_eq!(value(0x48), facts.capacity, "{name}");
        assert_eq!((value(0x78), facts.video_offset), (VIDEO_OFFSET, VIDEO_OFFSET), "{name}");
        assert_eq!((value(0x88), value(0x90)), (facts.block_bytes, u64::from(facts.blocks)));
        assert!(VIDEO_OFFSET + value(0x88) * value(0x90) <= value(0x98), "{name}");
        assert!(value(0xA8) >= value(0x98) + value(0xA0), "{name}");
        assert!(value(0xA8) + value(0xB0) <= facts.capacity, "{name}");
        assert_eq!(second(value(0xF0) & 0xFFFF_FFFF), facts.initialised, "{name}");
        for (at, tree) in [(0x98, &facts.trees[0]), (0xA8, &facts.trees[1])] {
            assert_eq!([value(at), value(at + 8)], tree.extent, "{name}");
            if tree.nodes[0].intact {
                assert_eq!(image.read(value(at) + 0x10, 8), b"HIKBTREE", "{name}");
            }
        }
    }
}

/// Follows the chain of leaves of a copy of the tree.
fn leaf_entries(image: &Image, tree: u64) -> Vec<(u64, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut leaf = le(&image.read(tree + 0x58, 8));
    while leaf != u64::MAX {
        let count = le(&image.read(leaf + 0x10, 4));
        entries.extend((0..count).map(|n| {
            let at = leaf + 0x60 + 48 * n;
            (at, image.read(at, 48))
        }));
        leaf = le(&image.read(leaf + 0x20, 8));
    }
    entries
}

/// Every entry on a healthy disk is in the truth, and the other way round.
#[test]
fn the_chain_of_leaves_holds_the_entries_of_the_truth() {
    for (name, image, truth) in disks() {
        let facts = truth.hikvision.as_ref().unwrap();
        for tree in facts.trees.iter().filter(|tree| tree.nodes.iter().all(|node| node.intact)) {
            let found = leaf_entries(&image, tree.extent[0]);
            let entries = truth.recordings.iter().filter_map(|r| r.entry.as_ref());
            let entries = entries.chain(&facts.idle_entries);
            let copies: Vec<_> = entries
                .flat_map(|entry| entry.copies.iter().map(move |copy| (entry, copy)))
                .filter(|(_, copy)| copy.tree == tree.tree)
                .collect();
            assert_eq!(found.len(), copies.len(), "{name}");
            for (entry, copy) in copies {
                let bytes = &found.iter().find(|(at, _)| *at == copy.extent[0]).unwrap().1;
                assert_eq!(bytes[..8], [0xFF; 8], "{name}");
                let state = if copy.state == EntryState::Unused { u64::MAX } else { 0 };
                assert_eq!(le(&bytes[8..16]), state, "{name}");
                assert_eq!(bytes[0x11], copy.channel, "{name}");
                let start = le(&bytes[0x18..0x1C]);
                assert_eq!((start != 0x7FFF_FFFF).then(|| second(start)), copy.start, "{name}");
                let end = le(&bytes[0x1C..0x20]);
                assert_eq!((end != 0).then(|| second(end)), copy.end, "{name}");
                assert_eq!(copy.start.is_some(), copy.state == EntryState::Closed, "{name}");
                assert!(copy.start <= copy.end, "{name}");
                let block = VIDEO_OFFSET + u64::from(entry.block) * facts.block_bytes;
                assert_eq!((le(&bytes[0x20..0x28]), block), (entry.block_offset, block), "{name}");
            }
        }
    }
}

#[test]
fn key_index_records_lead_to_packs_with_a_map() {
    for (name, image, truth) in disks() {
        let facts = truth.hikvision.as_ref().unwrap();
        for recording in &truth.recordings {
            for key in recording.key_index.iter().filter(|key| key.intact) {
                let bytes = image.read(key.extent[0], 56);
                assert_eq!(bytes[..8], *b"OFNI8\0\0\0", "{name}");
                assert_eq!(le(&bytes[0x0C..0x10]), u64::from(key.number), "{name}");
                assert!(bytes[0x10..0x12].contains(&key.channel), "{name}");
                assert_eq!(second(le(&bytes[0x18..0x1C])), key.time, "{name}");
                let block = (key.extent[0] - VIDEO_OFFSET) / facts.block_bytes;
                let start = VIDEO_OFFSET + block * facts.block_bytes;
                assert_eq!(start + le(&bytes[0x24..0x28]), key.target, "{name}");
                if key.target_intact {
                    let head = image.read(key.target, 128);
                    let skip = if head.starts_with(b"IMKH") { 40 } else { 0 };
                    assert_eq!(head[skip..skip + 4], [0, 0, 1, 0xBA], "{name}");
                    assert_eq!(head[skip + 44..skip + 48], [0, 0, 1, 0xBC], "{name}");
                }
            }
        }
    }
}

/// Records are written from the top of the tail downwards; those of the older pass stay below.
#[test]
fn reused_blocks_keep_older_footage_and_the_older_index_below_the_newer() {
    for name in ["hikvision-residual", "hikvision-residual-other-channel"] {
        let (_, truth) = build(name);
        let remains: Vec<&Recording> =
            truth.recordings.iter().filter(|recording| !recording.listed).collect();
        assert_eq!(remains.len(), 3, "{name}");
        for old in remains {
            assert!(old.reason.as_ref().unwrap().contains("a part of it is left"), "{name}");
            assert!(old.frames.iter().any(|frame| frame.intact), "{name}");
            assert!(old.frames.iter().any(|frame| !frame.intact), "{name}");
            let block = &old.id[..5];
            let new = truth.listed().find(|recording| recording.id.starts_with(block)).unwrap();
            assert_eq!(old.channel == new.channel, name == "hikvision-residual", "{name}");
            let last_new = new.key_index.iter().map(|key| key.extent[0]).min().unwrap();
            let left: Vec<_> = old.key_index.iter().filter(|key| key.intact).collect();
            assert!(!left.is_empty() && left.iter().all(|key| key.extent[0] < last_new), "{name}");
            let end = new.frames.iter().map(|f| f.extents[0][0] + f.extents[0][1]).max().unwrap();
            let cut = old.frames.iter().find(|f| f.intact).unwrap().extents[0][0];
            assert!(cut > end, "{name}: the first whole frame comes behind the rest of a cut one");
        }
    }
}

#[test]
fn open_reserved_and_unused_entries_are_there() {
    let (_, truth) = build("hikvision-open-block");
    let facts = truth.hikvision.unwrap();
    let states = |state| {
        let recorded = truth.recordings.iter().filter_map(|r| r.entry.as_ref());
        let entries = recorded.chain(&facts.idle_entries);
        entries.filter(|entry| entry.copies.iter().all(|copy| copy.state == state)).count()
    };
    assert_eq!(states(EntryState::Open), 2);
    assert_eq!(states(EntryState::Closed), 2);
    assert_eq!(states(EntryState::Reserved), 1);
    assert_eq!(states(EntryState::Unused), 3);
}

#[test]
fn trees_differ_as_the_truth_says() {
    let (_, truth) = build("hikvision-trees-differ");
    let copies: Vec<Vec<(u8, EntryState)>> = truth
        .recordings
        .iter()
        .map(|r| r.entry.as_ref().unwrap().copies.iter().map(|c| (c.tree, c.state)).collect())
        .collect();
    let closed = EntryState::Closed;
    assert_eq!(copies[0], [(1, closed), (2, closed)]);
    assert_eq!(copies[1], [(1, closed), (2, EntryState::Open)]);
    assert_eq!(copies[2], [(1, closed)]);
    assert_eq!(copies[3], [(2, closed)]);
}

#[test]
fn damage_leaves_listed_what_an_index_copy_still_holds() {
    let listed = |name| {
        let (_, truth) = build(name);
        (truth.listed().count(), truth.recordings.len())
    };
    for name in ["hikvision-both-masters-gone", "hikvision-tree1-gone", "hikvision-log-gone"] {
        let (listed, all) = listed(name);
        assert_eq!(listed, all, "{name}");
    }
    for name in ["hikvision-truncated", "hikvision-both-trees-gone", "hikvision-truncated-trees"] {
        assert_eq!(listed(name).0, 0, "{name}");
    }
    for name in ["hikvision-tree-page-gone", "hikvision-all-damage"] {
        let (listed, all) = listed(name);
        assert!(listed > 0 && listed < all, "{name}");
    }
}

#[test]
fn log_records_lie_where_the_truth_says() {
    let (image, truth) = build("hikvision-logs");
    for record in &truth.log {
        let [offset, length] = record.extent;
        let bytes = image.read(offset, length as usize);
        assert_eq!(bytes[..4], *b"RATS");
        assert!([0x14, 0x01].contains(&le(&bytes[4..8])));
        assert_eq!(second(le(&bytes[8..12])), record.time);
        assert_eq!(le(&bytes[12..14]), u64::from(record.major));
        assert_eq!(le(&bytes[14..16]), u64::from(record.minor));
        assert_eq!(0x44 + le(&bytes[0x40..0x44]), length);
        if let Some(user) = &record.user {
            assert!(bytes[0x10..].starts_with(user.as_bytes()));
        }
        if (record.major, record.minor) == (4, 0xA3) {
            assert_eq!(Some(u32::from(bytes[0x44])), record.channel);
        }
        let area = [0x8200 + 0x2000, 0x3D1_3200 + 0x800][usize::from(record.area) - 1];
        assert_eq!((offset - area) / 64_000, (offset + length - 1 - area) / 64_000, "one chunk");
    }
    let chunks: BTreeSet<u64> = truth
        .log
        .iter()
        .filter(|record| record.area == 2)
        .map(|record| (record.extent[0] - 0x3D1_3A00) / 64_000)
        .collect();
    assert!(chunks.contains(&0) && chunks.contains(&248) && chunks.contains(&249), "{chunks:?}");
    let areas: BTreeSet<u8> = truth.log.iter().map(|record| record.area).collect();
    assert_eq!(areas.len(), 2);
}

#[test]
fn the_second_reading_differs_on_every_point() {
    let (image, truth) = build("hikvision-second-reading");
    let facts = truth.hikvision.as_ref().unwrap();
    assert_eq!(facts.variants.len(), 8, "{:?}", facts.variants);
    let master = image.read(0x200, 256);
    assert!([0x50, 0x58, 0x70, 0x80].iter().all(|at| le(&master[*at..at + 8]) == 0));
    assert_eq!(truth.log[0].extent[0], 0x3D1_3200 + 0x800);
    assert!(truth.log.iter().all(|record| record.area == 2));
    let (first, second) = (facts.trees[0].extent, facts.trees[1].extent);
    assert!(first[0] + first[1] + 0x1000 < second[0], "footer and gap between the copies");
    let footer = facts.trees[0].nodes.last().unwrap().extent[0];
    assert_eq!(footer, first[0] + first[1]);
    for recording in &truth.recordings {
        assert_eq!(image.read(recording.key_index[0].target, 4), b"IMKH");
    }
}

#[test]
fn a_directory_names_every_segment_of_its_block() {
    for (name, at_end) in [("hikvision-layout-b", false), ("hikvision-layout-b-end", true)] {
        let (image, truth) = build(name);
        let facts = truth.hikvision.as_ref().unwrap();
        assert_eq!(facts.directories.len(), 3);
        for directory in &facts.directories {
            let at = directory.extent[0];
            let start = at + 0x10_0000 - facts.block_bytes;
            assert_eq!(le(&image.read(at + 0x18, 8)), start);
            let block = (start - VIDEO_OFFSET) / facts.block_bytes;
            let inside: Vec<_> = truth
                .recordings
                .iter()
                .filter(|r| u64::from(r.entry.as_ref().unwrap().block) == block)
                .collect();
            for (n, recording) in inside.iter().enumerate() {
                let page = image.read(at + 512 * (n as u64 + 1), 512);
                assert_eq!(Some(u32::from(page[0x0D])), recording.channel);
                let copy = &recording.entry.as_ref().unwrap().copies[0];
                assert_eq!(Some(second(le(&page[0x28..0x2C]))), copy.start);
                assert_eq!(Some(second(le(&page[0x30..0x34]))), copy.end);
                let places: Vec<u64> = recording.key_index.iter().map(|k| k.extent[0]).collect();
                assert_eq!(start + le(&page[0x6C..0x70]), *places.iter().min().unwrap());
                assert_eq!(start + le(&page[0x70..0x74]), places.iter().max().unwrap() + 56);
                assert!(places.iter().all(|place| (*place > at) == at_end));
            }
            assert_eq!(image.read(at + 512 * (inside.len() as u64 + 1), 512), [0; 512]);
        }
    }
}

/// Decodes a program stream with FFmpeg; gives the gray pictures and what was said.
fn decode_program_stream(path: &Path) -> (Vec<u8>, String) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "mpeg", "-i"])
        .arg(path)
        .args(["-map", "0:v", "-vsync", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn marks(recording: &Recording) -> Vec<Option<(u8, u16)>> {
    recording.video().map(|f| f.mark.map(|mark| (mark.camera, mark.number))).collect()
}

fn seen(gray: &[u8], size: [u32; 2]) -> Vec<Option<(u8, u16)>> {
    let [width, height] = size.map(|side| side as usize);
    gray.chunks(width * height).map(|frame| read_picture_mark(frame, width, height)).collect()
}

/// FFmpeg decodes what the extents of a recording hold, and sees the pictures that the truth names.
#[test]
fn ffmpeg_decodes_the_recordings_of_clean_disks() {
    if !ffmpeg_is_here("Hikvision recordings decode") {
        return;
    }
    for name in [
        "hikvision-intact",
        "hikvision-audio",
        "hikvision-private-data",
        "hikvision-smart-gop",
        "hikvision-large-frames",
        "hikvision-mpeg4-mjpeg",
        "hikvision-several-entries",
        "hikvision-reboot",
        "hikvision-clock-change",
        "hikvision-pts-wrap",
        "hikvision-odd-encryption-flag",
        "hikvision-second-reading",
    ] {
        let (image, truth) = build(name);
        for recording in truth.listed() {
            let size = recording.size.unwrap();
            let gray = if recording.codec.as_deref() == Some("mjpeg") {
                // FFmpeg knows no Motion JPEG in program streams.
                let payload = recording.video().flat_map(|f| joined(&image, &f.payload));
                decode_gray("mjpeg", &payload.collect::<Vec<u8>>())
            } else {
                let frames = recording.frames.iter();
                let stream: Vec<u8> = frames.flat_map(|f| joined(&image, &f.extents)).collect();
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("stream");
                std::fs::write(&path, stream).unwrap();
                let (gray, errors) = decode_program_stream(&path);
                assert_eq!(errors, "", "{name} {}", recording.id);
                gray
            };
            assert_eq!(seen(&gray, size), marks(recording), "{name} {}", recording.id);
        }
    }
}

#[test]
fn ffmpeg_reads_the_exported_files() {
    if !ffmpeg_is_here("Hikvision exports decode") {
        return;
    }
    let cases: [(&str, &[(&str, usize)]); 5] = [
        ("hik-imkh-h264", &[("h264", 200)]),
        ("hik-imkh-h265", &[("hevc", 200), ("pcm_mulaw", 122)]),
        ("hik-bare-ps", &[("h264", 200)]),
        ("hik-gap", &[("h264", 200)]),
        ("hik-mid-gop", &[("hevc", 200)]),
    ];
    for (name, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let truth = daleel_generator::write_scenario(name, dir.path(), 1).unwrap();
        let path = truth.image_path(dir.path());
        let expected: Vec<_> = expected.iter().map(|(codec, n)| (codec.to_string(), *n)).collect();
        assert_eq!(probe_packets("mpeg", &path), expected, "{name}");
        let recording = &truth.recordings[0];
        let (gray, errors) = decode_program_stream(&path);
        if name == "hik-mid-gop" {
            assert!(!errors.is_empty(), "the first pictures have no reference");
            continue;
        }
        assert_eq!(errors, "", "{name}");
        let found = seen(&gray, recording.size.unwrap());
        if name == "hik-gap" {
            // The decoder drops pictures whose reference is missing.
            assert!(found.len() > 190);
        } else {
            assert_eq!(found, marks(recording), "{name}");
        }
    }
}

#[test]
fn a_long_stream_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.mp4");
    let facts =
        daleel_generator::bench::hikvision_long_stream(&path, 3_000_000, 4_000_000).unwrap();
    assert!(facts.bytes <= 3_000_000 && facts.bytes > 2_400_000, "{facts:?}");
    if !ffmpeg_is_here("long Hikvision stream") {
        return;
    }
    assert_eq!(probe_packets("mpeg", &path), [("h264".to_owned(), facts.frames as usize)]);
    assert_eq!(decode_program_stream(&path).1, "");
}
