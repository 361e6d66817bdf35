//! The real index of a camera's card: some of its bytes as known answers, and all of it where a copy of the samples is at hand.
//!
//! From `examples/exampleV2.zip` of the public repository yrambler2001/hikvision-ezviz-sdcard-video-extractor (MIT): an `index00.bin` of version
//! 2 with 55 files.

use std::{io::Write, path::Path, sync::Arc};

use daleel_core::{FindingKind, Input, Recorder, Recording, RecordingState, Volume};
use hex_literal::hex;

use super::files::Index;
use crate::hikvision::files::{open, probe};

/// Offset 0: header and the first two active slots.
const HEADER: [u8; 72] = hex!(
    "3b5d07000000000002000000370000002b0000002a000000ffff0000000000000000000000000000"
    "00000000000000002a0041001c46336874a03368000000000100000000000000"
);
/// Offset 0x500 + 41 * 32: entries of file 41, closed, and of file 42, being written.
const FILES_41_42: [u8; 64] = hex!(
    "2900000001002f00f1013368f4453368000000000000000001000000000000002a00000001001300"
    "83430b68b6270c6800000000000000000100000000000000"
);
/// Records of file 42.
const RECORDS: [(usize, [u8; 80]); 6] = [
    // The last closed segment, and the one being written.
    (
        64,
        hex!(
            "0d0085016200000039a0336838f00e0074a03368387f0c0039a0336838f00e0007f6972eff5cc02e0080f40a0ce3390b0501010400000000010000000000000039a0336874a03368003cfe0f5834fe0f"
        ),
    ),
    (
        65,
        hex!(
            "0d008501620000008fa0336800000000000000000000000039a0336838f00e0007f6972eff5cc02e00003a0b000000000501010400000000010000000000000000000000000000000034fe0f0034fe0f"
        ),
    ),
    // Of the pass before: its key-frame run is written over; that of the next is kept.
    (
        66,
        hex!(
            "0d008501620000003bdebc65888a01004cdebc65c80807003bdebc65888a0100d88fce10687bda1000c0e40dc437f40d050101040000000001000000000000003bdebc654cdebc650064fe0f6061fe0f"
        ),
    ),
    (
        74,
        hex!(
            "0d0085016200000071f5bc65f0c602007ef5bc65e0690b0071f5bc65f0c6020018aabe20b0f9c72000406c0f0080830f0501010400000000010000000000000071f5bc657ef5bc65002afe0fd027fe0f"
        ),
    ),
    // Of the pass before that, written over by the one before.
    (
        78,
        hex!(
            "0d00850162000000da53556510f10800de535565c0030f00da53556510f108006db6593cddbb5c3c0040700f00407f0f05010104000000000100000000000000da535565de5355650034fe0fe832fe0f"
        ),
    ),
    // Of an even older one; it reaches a little further.
    (
        97,
        hex!(
            "0d0085016200000084c4146250fe0b0090c41462b805010084c4146250fe0b0023de079cf39c0f9c0040730f0080890f0501010400000000010000000000000084c4146290c4146200e6fd0f08e4fd0f"
        ),
    ),
];

fn opened(bytes: Vec<u8>) -> Box<dyn Recorder> {
    let input = Input::Volume(Volume::whole(Arc::new(bytes)));
    let verdicts = probe(&input);
    assert!(verdicts.len() == 1 && verdicts[0].score >= 60, "{verdicts:?}");
    open(input, &verdicts[0]).unwrap()
}

fn list(recorder: &dyn Recorder) -> Vec<Recording> {
    recorder.recordings().map(Result::unwrap).collect()
}

/// Q-4: real header, file table and records in their places.
#[test]
fn the_file_being_written() {
    let mut index = Index::video(2, 55);
    index.bytes[..HEADER.len()].copy_from_slice(&HEADER);
    let at = 0x500 + 41 * 32;
    index.bytes[at..at + 64].copy_from_slice(&FILES_41_42);
    for (slot, record) in RECORDS {
        let at = index.place(42, slot);
        index.bytes[at..at + 80].copy_from_slice(&record);
    }
    let recorder = opened(index.bytes);
    let facts: Vec<_> = recorder.facts().into_iter().map(|(_, value)| value).collect();
    assert!(facts[0].contains("version 2, 55 files, change 482619, next file 43, current file 42"));
    assert!(
        facts.contains(&"file 42, segment 65, since 2025-05-25T16:32:28.000".to_owned()),
        "{facts:?}"
    );
    let found = list(&*recorder);
    let shown: Vec<_> = found
        .iter()
        .map(|r| {
            let time = |time: Option<daleel_core::CivilTime>| {
                time.map_or("-".to_owned(), |time| time.to_string())
            };
            (r.id.as_str(), r.channel, time(r.start), time(r.end), r.first_byte, r.bytes)
        })
        .collect();
    let row = |id, start: &str, end: &str, first, bytes| {
        (id, Some(1), start.to_owned(), end.to_owned(), first, bytes)
    };
    assert_eq!(
        shown,
        [
            row(
                "hiv00042-s64",
                "2025-05-25T22:56:57.979",
                "2025-05-25T22:57:56.819",
                Some(183_795_712),
                4_547_340
            ),
            row("hiv00042-s65", "2025-05-25T22:58:23.000", "-", None, 0),
            row(
                "hiv00042-s66-r",
                "2024-02-02T12:21:15.101",
                "2024-02-02T12:21:32.461",
                Some(233_095_168),
                1_013_700
            ),
            row(
                "hiv00042-s74-r",
                "2024-02-02T14:00:17.182",
                "2024-02-02T14:00:30.748",
                Some(258_752_512),
                1_523_712
            ),
            row("hiv00042-s78-r", "2023-11-15T23:27:22.586", "2023-11-15T23:27:26.984", None, 0),
            row(
                "hiv00042-s97-r",
                "2022-02-22T11:09:56.786",
                "2022-02-22T11:10:08.067",
                Some(260_276_224),
                393_216
            ),
        ]
    );
    assert_eq!(found[1].state, RecordingState::Open);
    let says =
        |n: usize, text: &str| found[n].reasons.iter().any(|reason| reason.text.contains(text));
    assert!(says(2, "intact") && says(2, "written over"));
    assert!(says(3, "intact") && says(3, "kept"));
    assert!(says(4, "overwritten") && says(5, "the last 393216 of 1458176 bytes are left"));
}

/// The whole index, from a folder of samples that the repository does not hold.
#[test]
fn all_segments_of_the_real_index() {
    let Some(folder) = std::env::var_os("DALEEL_SAMPLES") else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: DALEEL_SAMPLES names no folder of samples");
        return;
    };
    let path = Path::new(&folder).join("hikvision/sdcard_index00_v2_head.bin");
    let mut bytes = std::fs::read(path).unwrap();
    // The file was preallocated; all that follows is zero.
    bytes.resize(16 << 20, 0);
    let recorder = opened(bytes);
    let found = list(&*recorder);
    let count = |state| found.iter().filter(|r| r.state == state).count();
    assert_eq!(found.len(), 5493);
    assert_eq!(
        (
            count(RecordingState::Closed),
            count(RecordingState::Open),
            count(RecordingState::Residual)
        ),
        (2131, 1, 3361)
    );
    assert!(found.iter().all(|r| r.channel == Some(1)));
    let text: Vec<_> = recorder
        .findings()
        .iter()
        .filter(|finding| finding.kind == FindingKind::NotListed)
        .map(|finding| finding.text.clone())
        .collect();
    assert!(text[0].contains("5493 segment records, 3361 of them residual"), "{text:?}");
    assert!(text[0].contains("23 of those satisfy the index"), "{text:?}");
    assert!(
        text[0].contains(
            "9 residual segments are whole, 52 have their last bytes left, 3300 are written over"
        ),
        "{text:?}"
    );
    // By the rule of the index all intact ones are in the file being written.
    let beyond = found.iter().filter(|r| {
        let both = ["begins at or behind the end of what", ": kept"];
        r.state == RecordingState::Residual
            && both.iter().all(|text| {
                r.reasons.iter().any(|reason| reason.supports && reason.text.contains(text))
            })
    });
    let beyond: Vec<_> = beyond.collect();
    assert_eq!(beyond.len(), 23);
    assert!(beyond.iter().all(|r| r.id.starts_with("hiv00042-")));
    let whole =
        found.iter().filter(|r| r.reasons.iter().any(|reason| reason.text.starts_with("intact")));
    assert!(whole.clone().count() == 9 && whole.into_iter().all(|r| r.id.starts_with("hiv00042-")));
}
