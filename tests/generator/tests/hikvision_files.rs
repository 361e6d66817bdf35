//! The truth about every card and network drive holds on its files.
// Tests assert on bytes of their own making; a panic is the report of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use daleel_generator::footage::Footage;
use daleel_generator::hikvision::files::{FileRole, RecordState, Survival};
use daleel_generator::image::{Image, Medium};
use daleel_generator::truth::{Extent, Frame, FrameKind, Recording, Truth};
use daleel_generator::{Scenario, Shape, dhav, read_picture_mark, scenarios, write_scenario};

type Files = BTreeMap<String, Image>;

const ALL: [&str; 15] = [
    "hik-sd-card",
    "hik-sd-v3",
    "hik-sd-mirror-differs",
    "hik-sd-index-damaged",
    "hik-sd-index-gone",
    "hik-sd-headers-gone",
    "hik-sd-formatted",
    "hik-sd-open",
    "hik-sd-pictures",
    "hik-sd-audio",
    "hik-sd-media-missing",
    "hik-sd-truncated-media",
    "hik-camera-sqlite",
    "hik-nas",
    "hik-nas-btree",
];

fn folders() -> impl Iterator<Item = &'static Scenario> {
    scenarios().iter().filter(|scenario| scenario.shape() == Shape::Folder)
}

fn build(name: &str) -> (Files, Truth) {
    let scenario = scenarios().iter().find(|scenario| scenario.name == name).unwrap();
    match scenario.build_medium(1).unwrap() {
        (Medium::Folder(files), truth) => (files, truth),
        (Medium::Image(_), _) => panic!("{name} is not a folder"),
    }
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Seconds and microseconds as ISO 8601 to the millisecond, read here by arithmetic of its own.
fn civil(bytes: &[u8]) -> String {
    let (mut days, second) = (le(&bytes[..4]) / 86_400, le(&bytes[..4]) % 86_400);
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let ms = le(&bytes[4..8]) / 1000;
    format!(
        "{year}-{:02}-{:02}T{hour:02}:{minute:02}:{:02}.{ms:03}",
        month + 1,
        days + 1,
        second % 60
    )
}

fn file<'a>(files: &'a Files, recording: &Recording) -> Option<&'a Image> {
    files.get(recording.file.as_ref().unwrap())
}

fn joined(image: &Image, extents: &[Extent]) -> Vec<u8> {
    extents.iter().flat_map(|[offset, length]| image.read(*offset, *length as usize)).collect()
}

fn for_every_frame(check: impl Fn(&str, Option<&Image>, &Recording, &Frame)) {
    for name in ALL {
        let (files, truth) = build(name);
        for recording in &truth.recordings {
            for frame in &recording.frames {
                check(name, file(&files, recording), recording, frame);
            }
        }
    }
}

#[test]
fn every_folder_is_tested_here() {
    let names: Vec<&str> = folders().map(|scenario| scenario.name).collect();
    assert_eq!(names, ALL);
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_seed_others() {
    for scenario in folders() {
        let first = scenario.build_medium(3).unwrap();
        assert!(first == scenario.build_medium(3).unwrap(), "{}", scenario.name);
        assert!(first.0 != scenario.build_medium(4).unwrap().0, "{}", scenario.name);
    }
}

#[test]
fn the_list_of_files_is_that_of_the_folder() {
    for name in ALL {
        let (files, truth) = build(name);
        let listed: BTreeMap<_, _> =
            truth.files.iter().filter_map(|f| Some((f.name.clone(), f.bytes?))).collect();
        let there: BTreeMap<_, _> = files.iter().map(|(name, i)| (name.clone(), i.len())).collect();
        assert_eq!(listed, there, "{name}");
        assert_eq!(truth.bytes, there.values().sum::<u64>(), "{name}");
        let ids: BTreeSet<_> = truth.recordings.iter().map(|recording| &recording.id).collect();
        assert_eq!(ids.len(), truth.recordings.len(), "{name}: ids differ");
    }
}

#[test]
fn intact_frames_are_the_access_units_of_the_footage_at_their_places() {
    for_every_frame(|scenario, image, recording, frame| {
        let name = (scenario, &recording.id, frame.number);
        for [offset, length] in &frame.payload {
            let inside = |[from, size]: &Extent| from <= offset && offset + length <= from + size;
            assert!(*length > 0 && frame.extents.iter().any(inside), "{name:?}");
        }
        if !frame.intact {
            assert!(frame.reason.is_some(), "{name:?}");
            return;
        }
        let image = image.unwrap_or_else(|| panic!("{name:?} lies in no file"));
        assert!(frame.extents.iter().all(|[at, length]| at + length <= image.len()), "{name:?}");
        let payload = joined(image, &frame.payload);
        assert_eq!(dhav::crc32(&payload), frame.payload_crc32, "{name:?}");
        if let Some(mark) = frame.mark {
            let unit = Footage::ALL[usize::from(mark.camera) - 1].units()[usize::from(mark.number)];
            assert!(payload == unit.bytes, "{name:?}");
            assert_eq!(frame.key, unit.key, "{name:?}");
        }
    });
}

#[test]
fn intact_frames_never_share_bytes() {
    for name in ALL {
        let (_, truth) = build(name);
        let mut ends = BTreeMap::new();
        for recording in &truth.recordings {
            for frame in recording.frames.iter().filter(|frame| frame.intact) {
                for [offset, length] in &frame.extents {
                    let key = (recording.file.clone(), *offset);
                    assert!(ends.insert(key, offset + length).is_none(), "{name}");
                }
            }
        }
        for (((file, _), end), ((other, next), _)) in ends.iter().zip(ends.iter().skip(1)) {
            assert!(file != other || end <= next, "{name}: {end} > {next}");
        }
    }
}

/// Reads the calendar of descriptor 0x40 by shifts of its own.
#[test]
fn times_in_the_stream_are_those_of_the_truth() {
    let mut count = 0;
    for name in ALL {
        let (files, truth) = build(name);
        for recording in &truth.recordings {
            for frame in recording.frames.iter().filter(|frame| frame.intact) {
                let Some(at) = frame.stored.as_ref().and_then(|stored| stored.time_at) else {
                    continue;
                };
                let bytes = file(&files, recording).unwrap().read(at, 16);
                assert_eq!(bytes[..4], *b"\x40\x0EHK");
                let packed = bytes[7..11].iter().fold(0_u32, |v, byte| v << 8 | u32::from(*byte));
                let ms = (packed & 0x1F) << 5 | u32::from(bytes[11] >> 3);
                let time = format!(
                    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}",
                    2000 + u32::from(bytes[6]),
                    packed >> 28,
                    packed >> 23 & 31,
                    packed >> 18 & 31,
                    packed >> 12 & 63,
                    packed >> 6 & 63,
                );
                assert_eq!(time, frame.true_time, "{name} {}", recording.id);
                count += 1;
            }
        }
    }
    assert!(count > 500);
}

/// What an index says, read with plain offsets: file, start, end, first byte, end; the end is empty
/// while a segment is being written.
type Listed = BTreeSet<(u16, String, String, u64, u64)>;

fn read_index(image: &Image, slots: u64, stride: u64) -> Listed {
    let files = le(&image.read(12, 4));
    let mut listed = Listed::new();
    for file in 0..files {
        let entry = image.read(0x500 + 32 * file, 32);
        assert_eq!(le(&entry[..4]), file);
        let mut last = le(&entry[6..8]);
        for channel in 1..49 {
            let slot = image.read(0x18 + 24 * channel, 24);
            if le(&slot[..2]) == file {
                last = le(&slot[2..4]);
            }
        }
        let count = if last == 0xFFFF { 0 } else { last + 1 };
        for segment in 0..count {
            let at = 0x500 + 32 * files + (slots * file + segment) * stride;
            let record = image.read(at, stride as usize);
            if le(&record[8..12]) == 0 {
                continue;
            }
            let is_open = le(&record[0x10..0x14]) == 0;
            let end = if is_open { String::new() } else { civil(&record[0x10..]) };
            let (from, to) = (le(&record[0x28..0x2C]), le(&record[0x2C..0x30]));
            listed.insert((file as u16, civil(&record[8..]), end, from, to));
        }
    }
    listed
}

fn listed_in_truth(truth: &Truth, folder: &str, media: &str) -> Listed {
    let own = |recording: &&Recording| {
        let file = recording.file.as_ref().unwrap();
        recording.listed && file.starts_with(folder) && file.ends_with(media)
    };
    let line = |recording: &Recording| {
        let facts = recording.segment.as_ref().unwrap();
        let [offset, length] = facts.extent;
        let begin =
            &recording.frames.iter().find(|f| f.kind != FrameKind::Audio).unwrap().true_time;
        let last = recording.frames.iter().rev().find(|f| f.kind != FrameKind::Audio).unwrap();
        if recording.descriptor_end.is_none() {
            (facts.file, format!("{}.000", &begin[..19]), String::new(), offset, 0)
        } else {
            (facts.file, begin.clone(), last.true_time.clone(), offset, offset + length)
        }
    };
    truth.recordings.iter().filter(own).map(line).collect()
}

/// The index read with plain offsets lists exactly what the truth calls listed.
#[test]
fn a_plain_reading_of_the_index_gives_the_listed_recordings() {
    const PLAIN: [(&str, &str); 9] = [
        ("hik-sd-card", ""),
        ("hik-sd-v3", ""),
        ("hik-sd-formatted", ""),
        ("hik-sd-open", ""),
        ("hik-sd-pictures", ""),
        ("hik-sd-audio", ""),
        ("hik-sd-media-missing", ""),
        ("hik-nas", "datadir0/"),
        ("hik-nas", "datadir1/"),
    ];
    for (name, folder) in PLAIN {
        let (files, truth) = build(name);
        for copy in ["index00.bin", "index01.bin"] {
            let index = &files[&format!("{folder}{copy}")];
            assert_eq!(
                read_index(index, 256, 80),
                listed_in_truth(&truth, folder, "mp4"),
                "{name}"
            );
        }
    }
    let (files, truth) = build("hik-sd-pictures");
    let pictures = read_index(&files["index00p.bin"], 4096, 96);
    assert_eq!(pictures, listed_in_truth(&truth, "", "pic"));
    assert!(pictures.len() > 20);
    let (files, truth) = build("hik-sd-index-damaged");
    assert_eq!(read_index(&files["index01.bin"], 256, 80), listed_in_truth(&truth, "", "mp4"));
    assert_ne!(le(&files["index00.bin"].read(8, 4)), 2, "the header is damaged");
}

#[test]
fn the_copies_of_an_index_differ_as_the_truth_says() {
    let (files, truth) = build("hik-sd-mirror-differs");
    let first = read_index(&files["index00.bin"], 256, 80);
    let second = read_index(&files["index01.bin"], 256, 80);
    let truly = listed_in_truth(&truth, "", "mp4");
    let starts = |listed: &Listed| -> BTreeSet<String> {
        listed.iter().map(|(_, start, ..)| start[..19].to_owned()).collect()
    };
    let both: BTreeSet<String> = starts(&first).union(&starts(&second)).cloned().collect();
    assert_eq!(both, starts(&truly));
    assert!(first != second && first.len() + 1 == truly.len());
    assert!(second.iter().any(|(_, _, end, ..)| end.is_empty()), "one has no end in the mirror");
}

#[test]
fn records_lie_where_the_truth_says() {
    for name in ALL {
        let (files, truth) = build(name);
        for recording in &truth.recordings {
            for copy in &recording.segment.as_ref().unwrap().copies {
                let Some(image) = files.get(&copy.file) else {
                    assert!(!copy.intact);
                    continue;
                };
                let bytes = joined(image, &[copy.extent]);
                if copy.file.contains("_db_") {
                    continue;
                }
                assert!(copy.intact, "{name}: no scenario damages a record");
                assert_eq!(civil(&bytes[8..]), copy.start, "{name} {}", recording.id);
                let end = (le(&bytes[16..20]) != 0).then(|| civil(&bytes[16..]));
                assert_eq!(end, copy.end, "{name} {}", recording.id);
                if copy.end.is_some() && copy.file.ends_with("0.bin") {
                    check_stream_fields(&bytes, recording);
                }
            }
        }
    }
}

/// Key-frame time, stream times of 45 kHz and bounds of the run in a record of a closed segment.
fn check_stream_fields(record: &[u8], recording: &Recording) {
    let word = |at: usize| le(&record[at..at + 4]);
    let ticks = |frame: &Frame| (frame.stored.as_ref().unwrap().pts >> 1) & 0xFFFF_FFFF;
    let key = recording.video().find(|frame| frame.key).unwrap();
    assert_eq!(civil(&record[0x18..]), key.true_time, "{}", recording.id);
    assert_eq!(word(0x20), ticks(key), "{}", recording.id);
    assert_eq!(word(0x24), ticks(recording.video().last().unwrap()), "{}", recording.id);
    let [lower, length] = recording.segment.as_ref().unwrap().run.unwrap();
    assert_eq!((word(0x4C), word(0x48)), (lower, lower + length), "{}", recording.id);
    assert_eq!(word(0x28) % 0x4000, 0, "{}", recording.id);
}

#[test]
fn segments_of_version_3_begin_with_a_header_and_the_records_point_behind_it() {
    let (files, truth) = build("hik-sd-v3");
    for recording in &truth.recordings {
        let header = recording.header.unwrap();
        let [offset, _] = recording.segment.as_ref().unwrap().extent;
        assert_eq!(header, [offset, 40]);
        assert_eq!(file(&files, recording).unwrap().read(offset, 4), b"IMKH");
        assert_eq!(recording.key_index[0].target, offset + 40);
    }
    let (_, truth) = build("hik-sd-card");
    assert!(truth.recordings.iter().all(|recording| recording.header.is_none()));
}

/// Every pack that lies in a media file belongs to a frame of the truth.
#[test]
fn no_pack_is_hidden_from_the_truth() {
    for name in ALL {
        let (files, truth) = build(name);
        let mut known = BTreeSet::new();
        for recording in &truth.recordings {
            for frame in &recording.frames {
                known.insert((recording.file.clone().unwrap(), frame.extents[0][0]));
            }
        }
        for file in truth.files.iter().filter(|file| file.role == FileRole::Media) {
            let Some(image) = files.get(&file.name) else { continue };
            // Streams fill the front of a file; the rest holds key-frame records.
            let bytes = image.read(0, image.len().min(4 << 20) as usize);
            let packs = bytes
                .windows(5)
                .enumerate()
                .filter(|(_, window)| window.starts_with(&[0, 0, 1, 0xBA]) && window[4] >> 6 == 1);
            for (at, _) in packs {
                let pack = (file.name.clone(), at as u64);
                assert!(known.contains(&pack), "{name}: {pack:?} is in no frame");
            }
        }
    }
}

#[test]
fn key_frame_records_point_at_the_packs_of_key_frames() {
    let mut intact = 0;
    for name in ALL {
        let (files, truth) = build(name);
        for recording in &truth.recordings {
            let Some(image) = file(&files, recording) else { continue };
            for key in recording.key_index.iter().filter(|key| key.intact) {
                let record = joined(image, &[key.extent]);
                assert_eq!(record[..8], *b"OFNI\x38\0\0\0", "{name}");
                assert_eq!(le(&record[0x24..0x28]), key.target, "{name}");
                assert_eq!(civil(&record[0x18..])[..19], key.time, "{name}");
                if key.target_intact {
                    assert_eq!(image.read(key.target, 4), [0, 0, 1, 0xBA], "{name}");
                    intact += 1;
                }
            }
            let keys = recording.video().filter(|frame| frame.key).count();
            let open = recording.reason.as_deref() == Some("it was never closed");
            assert_eq!(recording.key_index.len() + usize::from(open), keys, "{name}");
        }
    }
    assert!(intact > 500);
}

#[test]
fn remains_of_every_kind_are_on_the_card() {
    let (files, truth) = build("hik-sd-card");
    let remains: Vec<_> = truth.recordings.iter().filter(|r| !r.listed).collect();
    let of = |survival: Survival, stale: bool| {
        let counts = |r: &&&Recording| {
            let facts = r.segment.as_ref().unwrap();
            let is_stale = facts.copies.iter().any(|copy| copy.state == RecordState::Stale);
            facts.residual.as_ref().unwrap().media == survival && is_stale == stale
        };
        remains.iter().filter(counts).count()
    };
    assert!(of(Survival::Intact, true) > 0, "a stale record whose footage is whole");
    assert!(of(Survival::Partial, true) > 0, "a stale record whose footage is cut into");
    assert!(of(Survival::Partial, false) > 0, "footage without a record");
    assert!(of(Survival::Gone, false) > 0, "nothing left");
    // The entry of a file in progress is of the earlier pass.
    let index = &files["index00.bin"];
    let file = le(&index.read(0x18 + 24, 2));
    let slot_start = le(&index.read(0x18 + 24 + 4, 4));
    let entry_end = le(&index.read(0x500 + 32 * file + 12, 4));
    assert!(entry_end < slot_start);
    for recording in remains {
        let residual = recording.segment.as_ref().unwrap().residual.as_ref().unwrap();
        let intact = recording.video().filter(|frame| frame.intact).count();
        assert_eq!(
            (residual.intact_frames as usize, residual.frames as usize),
            (intact, recording.video().count())
        );
    }
}

#[test]
fn damaged_media_are_said_to_be_damaged() {
    let (files, truth) = build("hik-sd-media-missing");
    assert!(!files.contains_key("hiv00001.mp4"));
    let missing = truth.files.iter().filter(|file| file.bytes.is_none()).count();
    assert_eq!(missing, 2);
    let lost = |recording: &&Recording| recording.frames.iter().all(|frame| !frame.intact);
    assert_eq!(truth.listed().filter(lost).count(), 5);
    let (files, truth) = build("hik-sd-truncated-media");
    assert_eq!(files["hiv00000.mp4"].len(), 0x5_4321);
    let partly = |recording: &&Recording| {
        let intact = recording.frames.iter().filter(|frame| frame.intact).count();
        intact > 0 && intact < recording.frames.len()
    };
    assert_eq!(truth.listed().filter(partly).count(), 2);
}

#[test]
fn segments_that_were_being_written_are_open() {
    let (_, truth) = build("hik-sd-open");
    let open: Vec<_> = truth.listed().filter(|r| r.descriptor_end.is_none()).collect();
    assert_eq!(open.len(), 2);
    let segments: BTreeSet<_> = open.iter().map(|r| r.segment.as_ref().unwrap().segment).collect();
    assert_eq!(segments, [Some(0), Some(2)].into(), "the first of a file and a later one");
    for recording in open {
        let cut = recording.frames.iter().filter(|frame| !frame.intact).count();
        assert_eq!(cut, 1);
        assert!(!recording.frames.last().unwrap().intact);
    }
}

#[test]
fn every_channel_of_the_audio_card_has_its_sound() {
    let (_, truth) = build("hik-sd-audio");
    let sounds: BTreeSet<_> =
        truth.listed().map(|r| (r.channel.unwrap(), r.audio.clone().unwrap().codec)).collect();
    let expected = [(1, "alaw"), (2, "ulaw"), (3, "aac"), (4, "g726")];
    assert_eq!(sounds, expected.map(|(channel, codec)| (channel, codec.to_owned())).into());
}

#[test]
fn log_records_lie_where_the_truth_says() {
    let (files, truth) = build("hik-sd-card");
    assert!(truth.log.len() > 40);
    for record in &truth.log {
        let bytes = joined(&files[record.file.as_ref().unwrap()], &[record.extent]);
        assert_eq!(bytes[..4], *b"RATS");
        assert_eq!(civil(&[&bytes[8..12], &[0; 4][..]].concat())[..19], record.time);
        assert_eq!(le(&bytes[12..14]), u64::from(record.major));
        assert_eq!(le(&bytes[14..16]), u64::from(record.minor));
    }
}

/// SQLite is the judge of the database: with its log it lists what the truth lists.
#[test]
fn the_valid_rows_of_the_database_are_the_listed_recordings() {
    const VALID: &str = "SELECT file_no, start_time_tv_sec, start_offset, end_offset \
        FROM record_segment_idx_tb WHERE record_type<>0 AND end_time_tv_sec>start_time_tv_sec";
    let dir = tempfile::tempdir().unwrap();
    let truth = write_scenario("hik-camera-sqlite", dir.path(), 1).unwrap();
    let path = truth.image_path(dir.path());
    let rows = |name: &str| -> BTreeSet<(u64, u64, u64, u64)> {
        let connection = rusqlite::Connection::open(path.join(name)).unwrap();
        let check: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let mut statement = connection.prepare(VALID).unwrap();
        let number = |row: &rusqlite::Row<'_>, n| row.get::<_, i64>(n).map(|n| n as u64);
        let line = |row: &rusqlite::Row<'_>| {
            Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?, number(row, 3)?))
        };
        statement.query_map([], line).unwrap().map(Result::unwrap).collect()
    };
    let (all, older) = (rows("record_db_index00"), rows("record_db_index01"));
    let listed: BTreeSet<_> = listed_in_truth(&truth, "", "mp4");
    assert_eq!(all.len(), listed.len());
    for (file, second, from, to) in &all {
        let bytes = [&(*second as u32).to_le_bytes()[..], &[0; 4]].concat();
        let start = civil(&bytes)[..19].to_owned();
        let same = |line: &&(u16, String, String, u64, u64)| {
            u64::from(line.0) == *file && line.1[..19] == start && (line.3, line.4) == (*from, *to)
        };
        assert_eq!(listed.iter().filter(same).count(), 1, "{start}");
    }
    assert!(older != all, "the mirror lacks the log");
    let states: BTreeSet<String> = truth
        .recordings
        .iter()
        .flat_map(|recording| &recording.segment.as_ref().unwrap().copies)
        .map(|copy| format!("{:?}", copy.state))
        .collect();
    for state in ["Valid", "Deleted", "Cleared", "Superseded"] {
        assert!(states.contains(state), "{state}");
    }
}

/// Follows the leaves of the tree in the file, and maps the virtual offsets to files.
#[test]
fn the_tree_of_a_recorder_lists_the_blocks_of_its_files() {
    let (files, truth) = build("hik-nas-btree");
    let image = &files["datadir0/index00.bin"];
    assert_eq!(image.read(0x10, 8), b"HIKBTREE");
    let (mut leaf, mut found, mut idle) = (le(&image.read(0x58, 8)), BTreeSet::new(), 0);
    while leaf != u64::MAX {
        for n in 0..le(&image.read(leaf + 0x10, 4)) {
            let entry = image.read(leaf + 0x60 + 48 * n, 48);
            let channel = entry[0x11];
            let block = (le(&entry[0x20..0x28]) - 0x4C5_E000) >> 30;
            let open = le(&entry[0x18..0x1C]) == 0x7FFF_FFFF;
            let start = if open {
                String::new()
            } else {
                civil(&[&entry[0x18..0x1C], &[0; 4]].concat())[..19].into()
            };
            if channel == 0xFF {
                idle += 1;
            } else {
                found.insert((block as u16, u32::from(channel), start));
            }
        }
        leaf = le(&image.read(leaf + 0x20, 8));
    }
    let listed: BTreeSet<_> = truth
        .listed()
        .map(|recording| {
            let block = recording.entry.as_ref().unwrap().block as u16;
            assert_eq!(recording.file, Some(format!("datadir0/hiv{block:05}.mp4")));
            (
                block,
                recording.channel.unwrap(),
                recording.descriptor_begin.clone().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(found, listed);
    assert_eq!((idle, truth.hikvision.unwrap().idle_entries.len()), (2, 2));
    assert!(truth.recordings.iter().any(|recording| !recording.listed));
}

#[test]
fn a_written_folder_loads_again_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let truth = write_scenario("hik-nas", dir.path(), 5).unwrap();
    assert_eq!(Truth::load(dir.path()).unwrap(), truth);
    for file in &truth.files {
        let path = truth.image_path(dir.path()).join(&file.name);
        assert_eq!(Some(std::fs::metadata(path).unwrap().len()), file.bytes);
    }
    assert!(write_scenario("hik-nas", dir.path(), 5).is_err());
}

/// FFmpeg decodes segments that are whole, each alone, and shows the pictures that the truth names.
///
/// Without an IMKH header it takes the other codings of sound for MPEG audio and complains.
#[test]
fn ffmpeg_decodes_whole_segments_and_pictures() {
    if !common::ffmpeg_is_here("ffmpeg_decodes_whole_segments_and_pictures") {
        return;
    }
    for name in ["hik-sd-card", "hik-sd-v3", "hik-sd-audio", "hik-nas-btree"] {
        let (files, truth) = build(name);
        let readable = |r: &&Recording| {
            let known = r.audio.as_ref().is_none_or(|audio| audio.codec == "aac");
            known && r.frames.iter().all(|frame| frame.intact)
        };
        for recording in truth.recordings.iter().filter(readable).step_by(2) {
            let extent = recording.segment.as_ref().unwrap().extent;
            let bytes = joined(file(&files, recording).unwrap(), &[extent]);
            check_marks("mpeg", &bytes, recording);
        }
    }
    let (files, truth) = build("hik-sd-pictures");
    for recording in truth.recordings.iter().filter(|r| r.file.as_ref().unwrap().ends_with("pic")) {
        if recording.frames[0].intact {
            let bytes = joined(file(&files, recording).unwrap(), &recording.frames[0].payload);
            check_marks("mjpeg", &bytes, recording);
        }
    }
}

fn check_marks(format: &str, bytes: &[u8], recording: &Recording) {
    let gray = common::decode_gray(format, bytes);
    let [width, height] = recording.size.unwrap().map(|side| side as usize);
    let marks: Vec<_> = gray
        .chunks(width * height)
        .map(|picture| read_picture_mark(picture, width, height).unwrap())
        .collect();
    let expected: Vec<_> = recording
        .frames
        .iter()
        .filter_map(|frame| frame.mark)
        .map(|mark| (mark.camera, mark.number))
        .collect();
    assert_eq!(marks, expected, "{}", recording.id);
}
