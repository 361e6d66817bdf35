//! Exported and camera files: how they are recognised, what is said of them, and how their structures are explained.

use std::sync::Arc;

use daleel_core::{
    CivilTime, FileTree, FindingKind, Grade, Input, Recorder, Source, TreeFile, Volume,
};
use hex_literal::hex;
use proptest::prelude::*;

use super::{noon, units};
use crate::hikvision::file;

fn whole(bytes: Vec<u8>) -> Input {
    Input::Volume(Volume::whole(Arc::new(bytes)))
}

fn tree(files: &[(&str, Vec<u8>)]) -> Input {
    let file = |(path, bytes): &(&str, Vec<u8>)| TreeFile {
        path: (*path).to_owned(),
        source: Arc::new(bytes.clone()) as Arc<dyn Source>,
    };
    Input::Tree(FileTree { files: files.iter().map(file).collect() })
}

fn score(bytes: Vec<u8>) -> Option<u8> {
    file::probe(&whole(bytes)).first().map(|verdict| verdict.score)
}

fn open(input: Input) -> Box<dyn Recorder> {
    let verdicts = file::probe(&input);
    file::open(input, &verdicts[0]).unwrap()
}

/// An ordinary program stream: packs without counters, packets without the vendor's marks.
fn ordinary() -> Vec<u8> {
    (0..40u64)
        .flat_map(|number| {
            let mut bytes = units::plain_pack(number * 3600);
            bytes.extend([0, 0, 1, 0xE0, 0, 13, 0x81, 0, 0]);
            bytes.extend([0x11; 10]);
            bytes
        })
        .collect()
}

/// I-1, I-3: the vendor's files are told from ordinary program streams.
#[test]
fn files_are_recognised_by_what_they_hold() {
    let stream = units::stream(noon(0), 50);
    assert_eq!(score(stream.clone()), Some(85));
    assert_eq!(score([units::media_info(2), stream.clone()].concat()), Some(95));
    // From the middle of the first picture on, there are counters first and a map later.
    assert_eq!(score(stream[200..].to_vec()), Some(65));
    // Without any map: counters and the form of the packets.
    let key = units::pack(0, 0).len() + units::map(noon(0), 0).len();
    let short = units::stream(noon(0), 10);
    let after_map = [units::pack(900_000, 999), short[key..].to_vec()].concat();
    assert_eq!(score(after_map), Some(50));
    assert_eq!(score(ordinary()), None);
    assert_eq!(score(vec![0; 4096]), None);
    assert_eq!(score(Vec::new()), None);
    // A header alone is no recording; one in front of something else is named.
    assert_eq!(score(units::media_info(2)), None);
    assert_eq!(score([units::media_info(4), vec![0x80; 2000]].concat()), Some(30));
    // Behind the header an ordinary stream is read, too.
    assert_eq!(score([units::media_info(2), ordinary()].concat()), Some(90));
}

/// R-1, T-1: a recording of the file, from the first to the last date in it, milliseconds and bytes included.
#[test]
fn a_file_is_one_recording() {
    let header = units::media_info(2);
    let bytes = [header, units::stream(noon(0).plus_millis(250), 50)].concat();
    let recorder = open(whole(bytes.clone()));
    let recordings: Vec<_> = recorder.recordings().map(Result::unwrap).collect();
    let [recording] = recordings.as_slice() else { panic!("{recordings:?}") };
    assert_eq!(recording.start.unwrap().to_string(), "2024-03-14T12:00:00.250");
    assert_eq!(recording.end.unwrap().to_string(), "2024-03-14T12:00:02.170");
    assert_eq!((recording.channel, recording.grade), (None, Grade::Unindexed));
    assert_eq!((recording.first_byte, recording.bytes), (Some(40), bytes.len() as u64 - 40));
    for value in &recording.stored {
        let at = usize::try_from(value.offset).unwrap();
        assert_eq!(value.bytes[..6], bytes[at..at + 6], "{value:?}");
    }
    assert_eq!(recording.stored.len(), 2);
    assert_eq!(recorder.native_extension(recording), "mpg");
    let stream = recorder.stream(recording).unwrap();
    assert_eq!(stream.map.len(), bytes.len() as u64);
}

/// A folder of nothing but files that are not read is named all the same.
#[test]
fn a_folder_of_old_files_is_named() {
    let input = tree(&[("old.mp4", [b"4HKH".to_vec(), vec![0; 200]].concat())]);
    assert_eq!(file::probe(&input)[0].score, 20);
    assert_eq!(open(input).recordings().count(), 0);
}

/// T-3: dates that run backwards are shown as such, not as a range.
#[test]
fn dates_that_run_backwards_give_no_end() {
    let bytes = [units::stream(noon(0), 20), units::stream(noon(-5000), 20)].concat();
    let recorder = open(whole(bytes));
    let recording = recorder.recordings().next().unwrap().unwrap();
    assert_eq!((recording.start, recording.end), (Some(noon(0)), None));
    assert!(recording.reasons.iter().any(|reason| !reason.supports));
}

/// The first bytes of a folder's files decide; a folder never outscores the index beside it.
#[test]
fn a_folder_lists_its_streams_and_names_what_it_does_not_read() {
    let old = [b"4HKH".to_vec(), vec![0; 200]].concat();
    let input = tree(&[
        ("a/hiv00000.mp4", units::stream(noon(0), 20)),
        ("b/export.mp4", [units::media_info(2), units::stream(noon(60), 20)].concat()),
        ("b/notes.txt", b"nothing".to_vec()),
        ("c/old.mp4", old),
    ]);
    let verdicts = file::probe(&input);
    assert_eq!((verdicts.len(), verdicts[0].score), (1, 60));
    let recorder = open(input);
    let recordings: Vec<_> = recorder.recordings().map(Result::unwrap).collect();
    let files: Vec<_> = recordings.iter().map(|r| r.file.as_deref().unwrap()).collect();
    assert_eq!(files, ["a/hiv00000.mp4", "b/export.mp4"]);
    assert_eq!(recordings[1].start, Some(noon(60)));
    let findings: Vec<_> = recorder.findings().iter().collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].kind, FindingKind::NotCarried);
    assert!(findings[0].text.starts_with("c/old.mp4: 4HKH"), "{}", findings[0].text);
}

/// S-6: what is shown at any offset are the structures that hold it, outermost first, with the values the readers use.
#[test]
fn every_byte_of_a_file_is_explained() {
    let bytes = [units::media_info(2), units::stream(noon(0).plus_millis(7), 14)].concat();
    let recorder = open(whole(bytes.clone()));
    for offset in 0..bytes.len() as u64 {
        let found = recorder.describe(offset, None).unwrap();
        assert!(!found.is_empty(), "{offset}");
        for structure in &found {
            assert!(structure.at.contains(offset), "{offset}: {}", structure.name);
            for field in &structure.fields {
                let at = usize::try_from(field.at.offset()).unwrap();
                assert_eq!(bytes[at..at + field.raw.len()], field.raw, "{}", field.name);
                assert!(structure.at.slice(0, structure.at.len()).is_some());
            }
        }
    }
    let names = |offset: u64| -> Vec<String> {
        recorder.describe(offset, None).unwrap().into_iter().map(|found| found.name).collect()
    };
    assert_eq!(names(0), ["file header"]);
    assert_eq!(names(40), ["pack header"]);
    assert_eq!(names(60), ["program stream map"]);
    assert_eq!(names(72), ["program stream map", "descriptor 40h, basic"]);
    let basic = &recorder.describe(72, None).unwrap()[1];
    let date = basic.fields.iter().find(|field| field.name == "date").unwrap();
    assert_eq!(date.value, "2024-03-14T12:00:00.007 (recorder time)");
    assert_eq!((date.at.offset(), date.raw.len()), (76, 6));
}

/// The first units of a real camera's file.
#[test]
fn a_real_head_is_explained() {
    let real = hex!(
        "494d4b48010200000200050000000000000000000000000081000000000000000000000000000000"
        "000001ba5f8a5d19a40103acd3feffff002b5136"
        "000001bb001281d66904e17fe0e080c0c008bde080bfe080"
        "000001bc005af6ff0024400e484b010016ce046b749700ffffff4112484b000102030405060708090a0b0c0d"
        "0e0f002c24e00028420e071010ea0a2007981110c0002329440a0000800000000000ffff2a0a7fff000008ca"
        "1ffe44f3b18c5ff8"
        "000001e000268c800827e2974669fffffc0000000140010c01ffff016000000300b00000030000030099ac09"
    );
    assert_eq!(score(real.to_vec()), Some(95));
    let recorder = open(whole(real.to_vec()));
    let recording = recorder.recordings().next().unwrap().unwrap();
    let time: CivilTime = "2022-12-28T01:06:45.658".parse().unwrap();
    assert_eq!((recording.start, recording.end), (Some(time), Some(time)));
    let value = |offset: u64, name: &str| {
        let found = recorder.describe(offset, None).unwrap();
        let fields = found.into_iter().flat_map(|structure| structure.fields);
        fields.into_iter().find(|field| field.name == name).unwrap().value
    };
    assert_eq!(value(0, "version"), "0201h");
    assert_eq!(value(41, "picture counter"), "2838838");
    assert_eq!(value(60, "streams"), "E0h, C0h, BDh, BFh");
    assert_eq!(value(97, "date"), "2022-12-28T01:06:45.658 (recorder time)");
    assert_eq!(value(97, "encryption type"), "7");
    assert_eq!(value(140, "encoder date"), "2008-07-10");
    assert_eq!(value(140, "size"), "2592 x 1944");
    assert_eq!(value(90, "CRC-32"), "holds, its bytes reversed");
    assert_eq!(value(182, "PTS"), "4171604788");
}

proptest! {
    /// S-9: whatever a file holds, it is listed and explained without a panic.
    #[test]
    fn no_file_panics(
        cuts in prop::collection::vec((0usize..2000, 0usize..60, any::<u8>()), 0..6),
        header in any::<bool>(),
        offset in 0u64..4000,
    ) {
        let mut bytes = if header { units::media_info(2) } else { Vec::new() };
        bytes.extend(units::stream(noon(0), 3));
        for (at, length, value) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            if value < 128 {
                bytes.drain(at..end);
            } else {
                bytes[at..end].fill(value);
            }
        }
        let input = whole(bytes);
        for verdict in file::probe(&input) {
            let recorder = file::open(input.clone(), &verdict).unwrap();
            for recording in recorder.recordings() {
                let recording = recording.unwrap();
                let stream = recorder.stream(&recording).unwrap();
                let parser = recorder.parser(&recording);
                let end = stream.map.len();
                let _ = daleel_core::Walk::new(&stream, parser, 0..end).count();
            }
            let _ = recorder.describe(offset, None).unwrap();
        }
    }
}
