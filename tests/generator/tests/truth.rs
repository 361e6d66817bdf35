//! The truth about every scenario holds on its image.
// Tests assert on bytes of their own making; a panic is the report of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeMap;

use common::joined;
use daleel_generator::footage::Footage;
use daleel_generator::image::Image;
use daleel_generator::truth::{Frame, FrameKind, Recording, Truth};
use daleel_generator::{Scenario, Shape, dhav, scenarios, write_scenario};

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn build(name: &str) -> (Image, Truth) {
    scenarios().iter().find(|scenario| scenario.name == name).unwrap().build(1).unwrap()
}

/// Folders have tests of their own.
fn single_images() -> impl Iterator<Item = &'static Scenario> {
    scenarios().iter().filter(|scenario| scenario.shape() != Shape::Folder)
}

fn for_every_frame(check: impl Fn(&Scenario, &Image, &Recording, &Frame)) {
    for scenario in single_images() {
        let (image, truth) = scenario.build(1).unwrap();
        for recording in &truth.recordings {
            for frame in &recording.frames {
                check(scenario, &image, recording, frame);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for scenario in scenarios() {
        let first = scenario.build_medium(3).unwrap();
        assert!(first == scenario.build_medium(3).unwrap(), "{}", scenario.name);
        if scenario.name != "dav-old-mpeg" {
            assert!(first.0 != scenario.build_medium(4).unwrap().0, "{}", scenario.name);
        }
    }
}

#[test]
fn extents_lie_inside_the_image_and_payloads_inside_their_frame() {
    for_every_frame(|scenario, image, recording, frame| {
        let name = (scenario.name, &recording.id, frame.number);
        for [offset, length] in frame.extents.iter().chain(&frame.payload) {
            assert!(*length > 0 && offset + length <= image.len(), "{name:?}");
        }
        for [offset, length] in &frame.payload {
            let inside = |[from, size]: &[u64; 2]| from <= offset && offset + length <= from + size;
            assert!(frame.extents.iter().any(inside), "{name:?}");
        }
    });
}

#[test]
fn intact_frames_hold_their_payload_and_lost_ones_say_why() {
    for_every_frame(|scenario, image, recording, frame| {
        let name = (scenario.name, &recording.id, frame.number);
        let crc = dhav::crc32(&joined(image, &frame.payload));
        if frame.intact {
            assert_eq!(crc, frame.payload_crc32, "{name:?}");
        } else {
            assert!(frame.reason.is_some(), "{name:?}");
        }
    });
}

/// The mark leads to the access unit in the committed footage, on a way that the writer did not
/// take: joined payload extents must be that unit byte for byte.
#[test]
fn payload_extents_are_the_access_units_of_the_footage() {
    for_every_frame(|scenario, image, recording, frame| {
        let Some(mark) = frame.mark.filter(|_| frame.intact && !frame.encrypted) else { return };
        let footage = Footage::ALL[usize::from(mark.camera) - 1];
        let unit = footage.units()[usize::from(mark.number)];
        let name = (scenario.name, &recording.id, frame.number);
        assert!(joined(image, &frame.payload) == unit.bytes, "{name:?}");
        assert_eq!(frame.key, unit.key, "{name:?}");
        assert_eq!(frame.codec.as_deref(), Some(footage.codec().name()), "{name:?}");
        assert_eq!(frame.size, Some(footage.size()), "{name:?}");
    });
}

#[test]
fn headers_and_trailers_say_what_the_truth_says() {
    for_every_frame(|scenario, image, recording, frame| {
        if !frame.intact || scenario.family() != "dahua" {
            return;
        }
        let name = (scenario.name, &recording.id, frame.number);
        let bytes = joined(image, &frame.extents);
        let (mut rest, mut left) = (bytes.as_slice(), frame.pieces);
        while left > 0 {
            left -= 1;
            assert_eq!(rest[..4], *b"DHAV", "{name:?}");
            let length = le(&rest[12..16]) as usize;
            assert_eq!(Some(rest[6]), frame.dhav_channel, "{name:?}");
            assert_eq!(u32::from(rest[7]), left, "{name:?}: pieces that follow");
            assert_eq!(le(&rest[8..12]), u64::from(frame.number), "{name:?}");
            assert_eq!(civil(le(&rest[16..20])), frame.stored_second, "{name:?}");
            assert_eq!(le(&rest[20..22]), u64::from(frame.counter_ms.unwrap()), "{name:?}");
            let sum = rest[..23].iter().map(|byte| u32::from(*byte)).sum::<u32>();
            assert_eq!(sum & 0xFF, u32::from(rest[23]), "{name:?}");
            assert_eq!(rest[length - 8..length - 4], *b"dhav", "{name:?}");
            assert_eq!(le(&rest[length - 4..length]) as usize, length, "{name:?}");
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "{name:?}");
        assert!(frame.true_time.starts_with(&frame.stored_second), "{name:?}");
    });
}

/// The packed date as ISO 8601, read here by shifts of its own.
fn civil(date: u64) -> String {
    let field = |shift: u32, bits: u32| date >> shift & ((1 << bits) - 1);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        2000 + field(26, 6),
        field(22, 4),
        field(17, 5),
        field(12, 5),
        field(6, 6),
        field(0, 6)
    )
}

/// The counter follows the time that passed, not the clock that was set.
#[test]
fn the_counter_runs_on_while_the_clock_steps() {
    for_every_frame(|scenario, _, recording, frame| {
        if scenario.family() != "dahua" {
            return;
        }
        let first = &recording.frames[0];
        let passed = frame.elapsed_ms - first.elapsed_ms;
        let expected = (i64::from(first.counter_ms.unwrap()) + passed).rem_euclid(65_536);
        assert_eq!(
            i64::from(frame.counter_ms.unwrap()),
            expected,
            "{} {}",
            scenario.name,
            recording.id
        );
    });
    let (_, truth) = build("dahua-clock-jump");
    let steps = truth.recordings.iter().flat_map(|r| &r.frames).flat_map(|f| &f.discontinuity);
    assert_eq!(steps.count(), 6);
}

#[test]
fn intact_frames_never_share_bytes() {
    for scenario in single_images() {
        let (_, truth) = scenario.build(1).unwrap();
        let mut ends = BTreeMap::new();
        for frame in truth.recordings.iter().flat_map(|r| &r.frames).filter(|f| f.intact) {
            for [offset, length] in &frame.extents {
                assert!(ends.insert(*offset, offset + length).is_none(), "{}", scenario.name);
            }
        }
        let pairs = ends.iter().zip(ends.iter().skip(1));
        for ((_, end), (next, _)) in pairs {
            assert!(end <= next, "{}: {end} > {next}", scenario.name);
        }
    }
}

/// Follows the descriptors of a healthy disk with plain reads, and joins the clusters.
fn read_chain(image: &Image, truth: &Truth, recording: &Recording) -> (Vec<u32>, Vec<u8>) {
    let partition = &truth.partitions[recording.partition.unwrap() as usize];
    let (mut chain, mut bytes) = (Vec::new(), Vec::new());
    let mut cluster = u64::from(recording.head_cluster.unwrap());
    while cluster != 0 {
        let descriptor = image.read(partition.descriptors + cluster * 32, 32);
        assert_eq!(u32::from(descriptor[0]), if chain.is_empty() { 1 } else { 2 });
        assert_eq!(le(&descriptor[24..28]), u64::from(recording.head_cluster.unwrap()));
        assert_eq!(le(&descriptor[20..24]), chain.last().copied().map_or(0, u64::from));
        let at = partition.data_start + cluster * partition.cluster_bytes;
        bytes.extend(image.read(at, partition.cluster_bytes as usize));
        chain.push(cluster as u32);
        cluster = le(&descriptor[12..16]);
    }
    (chain, bytes)
}

const HEALTHY: [&str; 9] = [
    "dahua-intact",
    "dahua-four-partitions",
    "dahua-one-partition",
    "dahua-interleaved",
    "dahua-both-codecs",
    "dahua-nvr",
    "dahua-dhii-12",
    "dahua-stills",
    "dahua-full-cluster",
];

#[test]
fn descriptors_of_healthy_disks_lead_through_the_chains() {
    for name in HEALTHY {
        let (image, truth) = build(name);
        for recording in truth.listed() {
            let (chain, _) = read_chain(&image, &truth, recording);
            assert_eq!(chain, recording.chain, "{name} {}", recording.id);
            let partition = &truth.partitions[recording.partition.unwrap() as usize];
            let head = u64::from(chain[0]);
            let descriptor = image.read(partition.descriptors + head * 32, 32);
            assert_eq!(le(&descriptor[2..4]) as usize, chain.len() - 1);
            assert_eq!(u32::from(descriptor[1] & 0xF), recording.channel.unwrap() - 1);
            assert_eq!(Some(civil(le(&descriptor[4..8]))), recording.descriptor_begin);
            let tail = le(&descriptor[16..20]);
            assert!(tail >= 1 && tail * 512 <= partition.cluster_bytes);
        }
    }
}

#[test]
fn index_entries_hit_the_key_frames_of_the_joined_chain() {
    for name in HEALTHY {
        let (image, truth) = build(name);
        let stride = if name == "dahua-dhii-12" { 12 } else { 84 };
        for recording in truth.listed() {
            let (_, bytes) = read_chain(&image, &truth, recording);
            assert_eq!(bytes[..4], *b"DHII");
            let first = le(&bytes[4..8]) as usize;
            assert_eq!(bytes[first..first + 4], *b"DHAV", "the first frame follows the index");
            let (array, length) = (le(&bytes[16..20]) as usize, le(&bytes[20..24]) as usize);
            let mut hits = 0;
            for entry in bytes[array..array + length].chunks(stride) {
                let offset = le(&entry[..4]) as usize;
                if offset == 0xFFFF_FFFF {
                    continue;
                }
                assert_eq!(bytes[offset..offset + 5], *b"DHAV\xFD", "{name}");
                assert_eq!(bytes[offset + 12..offset + 20], entry[4..12], "{name}");
                hits += 1;
            }
            assert_eq!(hits, recording.video().filter(|frame| frame.key).count(), "{name}");
        }
    }
}

#[test]
fn log_lines_lie_where_the_truth_says() {
    let (image, truth) = build("dahua-four-partitions");
    assert!(truth.events.len() >= 8);
    for event in &truth.events {
        let line = String::from_utf8(joined(&image, &[event.extent])).unwrap();
        assert!(line.starts_with("[HDDLOG][") && line.ends_with(&event.text), "{line}");
    }
}

#[test]
fn the_ring_leaves_remains_that_are_not_listed() {
    for name in ["dahua-overwritten", "dahua-nvr"] {
        let (image, truth) = build(name);
        let remains: Vec<_> = truth.recordings.iter().filter(|r| !r.listed).collect();
        assert!(remains.iter().any(|r| r.frames.iter().any(|f| f.intact)), "{name}");
        assert!(remains.iter().all(|r| r.reason.is_some()), "{name}");
        // At least one continuation still names a head that is no longer its own.
        let partition = &truth.partitions[0];
        let dirty = remains.iter().filter(|recording| {
            let head = u64::from(recording.head_cluster.unwrap());
            recording.chain.iter().any(|cluster| {
                let at = partition.descriptors + u64::from(*cluster) * 32;
                let descriptor = image.read(at, 32);
                descriptor[0] == 2
                    && le(&descriptor[24..28]) == head
                    && civil(le(&descriptor[4..8])) >= *recording.descriptor_begin.as_ref().unwrap()
                    && civil(le(&descriptor[4..8])) <= *recording.descriptor_end.as_ref().unwrap()
            })
        });
        assert!(dirty.count() > 0, "{name}");
    }
}

#[test]
fn damage_is_on_the_image() {
    let (image, _) = build("dahua-missing-superblock");
    assert_eq!(image.read(0, 512), [0; 512]);
    let (image, truth) = build("dahua-base-shift");
    let partition = &truth.partitions[0];
    let stored = le(&image.read(partition.start + 34 * 512 + 0x48, 4));
    assert_eq!(stored, u64::from(partition.stored_data_start_sector));
    assert_eq!(partition.start + (stored - 16) * 512, partition.data_start);
    let (_, truth) = build("dahua-damaged-frames");
    let lost = truth.recordings.iter().flat_map(|r| &r.frames).filter(|f| !f.intact).count();
    assert_eq!(lost, 11);
    let (_, truth) = build("dahua-damaged-descriptors");
    assert_eq!(truth.listed().count(), truth.recordings.len() - 1);
}

#[test]
fn a_written_scenario_loads_again_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-audio", dir.path(), 5).unwrap();
    assert_eq!(Truth::load(dir.path()).unwrap(), truth);
    let length = std::fs::metadata(truth.image_path(dir.path())).unwrap().len();
    assert_eq!(length, truth.bytes);
    assert!(write_scenario("dahua-audio", dir.path(), 5).is_err());
    assert!(write_scenario("no-such-thing", dir.path(), 5).is_err());
}

#[test]
fn the_demo_disk_is_small_and_has_four_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let truth = daleel_generator::demo_disk(dir.path()).unwrap();
    assert!(truth.bytes <= 16 << 20);
    assert_eq!(truth.partitions.len(), 4);
    assert!(truth.recordings.iter().all(|recording| recording.listed));
    assert!(truth.recordings.iter().flat_map(|r| &r.frames).all(|frame| frame.intact));
    let codecs: std::collections::BTreeSet<_> =
        truth.recordings.iter().map(|recording| recording.codec.clone()).collect();
    assert_eq!(codecs.len(), 2);
}

#[test]
fn every_kind_of_frame_and_sound_is_somewhere() {
    let (_, truth) = build("dahua-stills");
    for kind in [FrameKind::Still, FrameKind::Auxiliary, FrameKind::Video] {
        assert!(truth.recordings[0].frames.iter().any(|frame| frame.kind == kind));
    }
    let (_, truth) = build("dahua-audio");
    let sounds: Vec<_> = truth.listed().map(|r| r.audio.clone().unwrap().codec).collect();
    assert_eq!(sounds, ["alaw", "ulaw", "aac", "pcm16"]);
    let (_, truth) = build("dahua-long-frames-first-tags");
    assert!(truth.recordings[0].video().any(|frame| frame.pieces == 5));
}
