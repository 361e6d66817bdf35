//! Whole images in other clothes: split, sparse, inside a partition, folders of files. What lies where must not change.

use std::{
    collections::BTreeSet,
    fs,
    io::{Cursor, Seek, SeekFrom, Write},
    path::Path,
};

use daleel::export::records::FrameJson;
use daleel_generator::{Truth, scenarios};
use daleel_tests::judge::{Allow, Extracted, compare};

use crate::run::{Evidence, run, sums_of_clips};

/// any piece of a split image opens the whole, and gives what the whole gives.
#[test]
fn any_piece_opens_the_whole_image() {
    let evidence = Evidence::new("dahua-intact");
    evidence.extract(evidence.image(), "whole", &["--native"]);
    let whole = sums_of_clips(&evidence.path().join("whole"));
    for (n, (first, digits, bytes)) in
        [(1, 3, 3_000_000), (0, 3, 5 << 20), (0, 2, 700_001)].into_iter().enumerate()
    {
        let folder = format!("split-{n}");
        fs::create_dir(evidence.path().join(&folder)).unwrap();
        let mut pieces = Vec::new();
        for (k, piece) in evidence.bytes().chunks(bytes).enumerate() {
            let name = format!("{folder}/disk.dd.{:0digits$}", k + first);
            fs::write(evidence.path().join(&name), piece).unwrap();
            pieces.push(name);
        }
        for (k, piece) in [&pieces[0], pieces.last().unwrap()].into_iter().enumerate() {
            let out = format!("out-{n}-{k}");
            let extracted = evidence.extract(piece, &out, &["--native"]);
            compare(&evidence.truth, &extracted, Allow::default());
            assert_eq!(sums_of_clips(&evidence.path().join(&out)), whole, "{piece}");
            assert_eq!(extracted.summary["source"]["missing_pieces"], serde_json::json!([]));
        }
    }
}

/// Holes in a sparse file are zeros of the medium: the file without them gives the same.
#[test]
fn a_sparse_file_gives_the_same_as_a_full_one() {
    let evidence = Evidence::new("dahua-intact");
    fs::write(evidence.path().join("full.img"), evidence.bytes()).unwrap();
    let sparse = evidence.extract(evidence.image(), "sparse", &["--native"]);
    let full = evidence.extract("full.img", "full", &["--native"]);
    let sums = ["sparse", "full"].map(|out| sums_of_clips(&evidence.path().join(out)));
    assert_eq!(sums[0], sums[1]);
    for extracted in [sparse, full] {
        compare(&evidence.truth, &extracted, Allow::default());
    }
}

/// The truth about the same disk further back on a larger medium.
fn moved(truth: &Truth, by: u64) -> Truth {
    let mut truth = truth.clone();
    for frame in truth.recordings.iter_mut().flat_map(|recording| &mut recording.frames) {
        for extent in frame.payload.iter_mut().chain(&mut frame.extents) {
            extent[0] += by;
        }
    }
    truth
}

/// First byte of the partition.
const START: u64 = 1 << 20;

/// A partition table for one partition at [`START`].
type WriteTable = fn(medium: &mut [u8], partition_bytes: u64);

fn mbr(medium: &mut [u8], partition_bytes: u64) {
    // Status, first sector as CHS, type, last sector as CHS, first sector, sectors: the first entry, at 446.
    let mut entry = [0, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
    entry[8..12].copy_from_slice(&u32::try_from(START / 512).unwrap().to_le_bytes());
    entry[12..].copy_from_slice(&u32::try_from(partition_bytes / 512).unwrap().to_le_bytes());
    medium[446..462].copy_from_slice(&entry);
    medium[510..512].copy_from_slice(&[0x55, 0xAA]);
}

fn gpt(medium: &mut [u8], partition_bytes: u64) {
    let mut disk = Cursor::new(medium);
    gptman::GPT::write_protective_mbr_into(&mut disk, 512).unwrap();
    let mut table = gptman::GPT::new_from(&mut disk, 512, [7; 16]).unwrap();
    table[1] = gptman::GPTPartitionEntry {
        partition_type_guid: [0xEB; 16],
        unique_partition_guid: [9; 16],
        starting_lba: START / 512,
        ending_lba: (START + partition_bytes) / 512 - 1,
        attribute_bits: 0,
        partition_name: "video".into(),
    };
    table.write_into(&mut disk).unwrap();
}

/// I-1: a recorder disk inside a partition is found, and its offsets count on the whole medium.
#[test]
fn a_disk_inside_a_partition_keeps_offsets_on_the_medium() {
    for (name, scheme, write_table) in
        [("mbr.dd", "MBR", mbr as WriteTable), ("gpt.dd", "GPT", gpt as WriteTable)]
    {
        let evidence = Evidence::new("dahua-four-partitions");
        let disk = evidence.bytes();
        let mut medium = vec![0; START as usize];
        medium.extend(&disk);
        medium.resize(medium.len() + (1 << 20), 0);
        write_table(&mut medium, disk.len() as u64);
        fs::write(evidence.path().join(name), &medium).unwrap();

        let identify = evidence.run(&["identify", name, "--json"]).ends_with_any_of(&[0, 1]).json();
        assert!(identify["partitions"].as_array().unwrap().iter().any(|partition| {
            partition["scheme"].as_str().unwrap().eq_ignore_ascii_case(scheme)
                && partition["extent"] == serde_json::json!([START, disk.len()])
        }));
        let layer = &identify["layers"][0];
        assert_eq!(layer["family"], "dahua-disk", "{name}");
        assert_eq!(layer["extent"][0], START, "{name}");

        let extracted = evidence.extract(name, "out", &[]);
        extracted.check_contract();
        let truth = moved(&evidence.truth, START);
        compare(&truth, &extracted, Allow::default());
        for frame in extracted.found.iter().flat_map(|found| &found.frames) {
            for stored in &frame.stored {
                let at = stored.offset as usize;
                let bytes: String = medium[at..at + stored.hex.len() / 2]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(
                    bytes, stored.hex,
                    "{name}: {} is not where it is said to be",
                    stored.field
                );
            }
        }
        // The same place by `show`, `list` and `logs`.
        let first = truth.recordings[0].frames[0].extents[0][0];
        let shown =
            evidence.run(&["show", name, "--at", &first.to_string(), "--json"]).is(0).json();
        let structures = shown["structures"].as_array().unwrap();
        assert_eq!(structures.last().unwrap()["extent"][0], first, "{name}");
        let events = evidence.run(&["logs", name, "--json"]).is(0).json()["events"].clone();
        assert_eq!(events[0]["offset"], truth.events[0].extent[0] + START, "{name}");
        let list = evidence.run(&["list", name, "--json"]).ends_with_any_of(&[0, 1]).json();
        let first = truth.recordings[0].index.unwrap()[0] + START;
        let recordings = list["recordings"].as_array().unwrap();
        assert!(recordings.iter().any(|recording| recording["first_byte"] == first), "{name}");
    }
}

/// A folder with stream files in folders below, two of the same name, and files of other kinds.
fn folder_of_davs(folder: &Path) -> Vec<(String, Truth, Vec<u8>)> {
    let mut files = Vec::new();
    for (path, scenario) in [
        ("2024/cam 1/a.dav", "dav-plain-h264"),
        ("2024/cam 2/a.dav", "dav-plain-h265"),
        ("2024/cam 2/sound.dav", "dav-audio-alaw"),
        ("head.dav", "dav-dahua-header"),
    ] {
        let scenario = scenarios().iter().find(|known| known.name == scenario).unwrap();
        let (image, truth) = scenario.build(7).unwrap();
        let bytes = image.read(0, image.len() as usize);
        let full = folder.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, &bytes).unwrap();
        files.push((path.to_owned(), truth, bytes));
    }
    fs::write(folder.join("2024/readme.txt"), "exported by the recorder").unwrap();
    fs::write(folder.join("2024/empty.dav"), "").unwrap();
    files
}

/// I-2: a folder of stream files is one source: every file by its path, no channel where nothing names one, offsets in the file.
#[test]
fn a_folder_of_streams_names_the_file_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder_of_davs(&folder.path().join("card"));
    let list = run(folder.path(), &["list", "card", "--json"]).ends_with_any_of(&[0, 1]).json();
    let recordings = list["recordings"].as_array().unwrap();
    let listed: BTreeSet<&str> =
        recordings.iter().map(|recording| recording["source_file"].as_str().unwrap()).collect();
    assert_eq!(listed, files.iter().map(|(path, ..)| path.as_str()).collect());
    assert!(recordings.iter().all(|recording| recording["channel"].is_null()));

    run(folder.path(), &["extract", "card", "--out", "out", "--native"]).ends_with_any_of(&[0, 1]);
    let extracted = Extracted::read(&folder.path().join("out"));
    extracted.check_contract();
    assert!(extracted.clips.iter().all(|clip| clip.channel.is_none()));
    for (path, truth, bytes) in &files {
        let mut expected = Vec::new();
        for frame in truth.recordings.iter().flat_map(|recording| recording.video()) {
            expected.push(frame.payload.clone());
        }
        let mut got = Vec::new();
        for clip in extracted.clips.iter().filter(|clip| clip.source_file.as_ref() == Some(path)) {
            let found = extracted.found.iter().find(|found| found.id == clip.id).unwrap();
            for frame in &found.frames {
                got.push(frame.extents.clone());
                assert!(frame.extents.iter().all(|[at, length]| at + length <= bytes.len() as u64));
            }
        }
        assert_eq!(got, expected, "{path}");

        let first = truth.recordings[0].frames[0].extents[0][0].to_string();
        let arguments = ["show", "card", "--file", path, "--at", &first, "--json"];
        let shown = run(folder.path(), &arguments).is(0).json();
        assert_eq!(
            shown["structures"].as_array().unwrap().last().unwrap()["extent"][0].to_string(),
            first
        );
    }
    // Two files of one name do not end in one clip.
    let clips: BTreeSet<_> = extracted.clips.iter().map(|clip| &clip.file).collect();
    assert_eq!(clips.len(), extracted.clips.len());
}

/// I-2: a stream file gives the same pictures alone and in a folder.
#[test]
fn a_stream_file_alone_gives_the_same_pictures() {
    let folder = tempfile::tempdir().unwrap();
    folder_of_davs(&folder.path().join("card"));
    run(folder.path(), &["extract", "card", "--out", "out"]).ends_with_any_of(&[0, 1]);
    run(folder.path(), &["extract", "card/2024/cam 1/a.dav", "--out", "one"]).is(0);
    let all = Extracted::read(&folder.path().join("out"));
    let one = Extracted::read(&folder.path().join("one"));
    assert_eq!(one.clips.len(), 1);
    let of_file = |clip: &&daleel::export::records::ClipJson| {
        clip.source_file.as_deref() == Some("2024/cam 1/a.dav")
    };
    let same: Vec<_> = all.clips.iter().filter(of_file).collect();
    assert_eq!(same.len(), 1);
    assert_eq!(same[0].sha256, one.clips[0].sha256);
    assert_eq!((&same[0].start, &same[0].end), (&one.clips[0].start, &one.clips[0].end));
}

/// a native stream, of a whole recording or of a part, is a source of its own: the same pictures at the same times.
#[test]
fn a_native_stream_gives_the_pictures_of_its_clip() {
    for (scenario, more) in [
        ("dahua-audio", &["--native"][..]),
        ("dahua-gap", &["--native"]),
        (
            "dahua-intact",
            &["--native", "--from", "2024-03-14T08:00:02", "--to", "2024-03-14T09:00:05"],
        ),
    ] {
        let evidence = Evidence::new(scenario);
        let disk = evidence.bytes();
        let first = evidence.extract(evidence.image(), "first", more);
        assert!(!first.clips.is_empty());
        for (n, clip) in first.clips.iter().enumerate() {
            let native = format!("first/{}", clip.native.as_ref().unwrap());
            let stream = fs::read(evidence.path().join(&native)).unwrap();
            let again = evidence.extract(&native, &format!("again-{n}"), &[]);
            let before = first.found.iter().find(|found| found.id == clip.id && found.playable);
            let payloads = |bytes: &[u8], frames: &[FrameJson]| -> Vec<(Vec<u8>, Option<String>)> {
                let payload = |frame: &FrameJson| {
                    let extents = frame.extents.iter();
                    extents
                        .flat_map(|[at, length]| &bytes[*at as usize..][..*length as usize])
                        .copied()
                        .collect()
                };
                frames.iter().map(|frame| (payload(frame), frame.time.clone())).collect()
            };
            assert_eq!(again.found.len(), 1, "{scenario} {}", clip.id);
            let (before, after) = (&before.unwrap().frames, &again.found[0].frames);
            assert!(payloads(&disk, before) == payloads(&stream, after), "{scenario} {}", clip.id);
        }
    }
}

/// A path with spaces, other scripts and a leading dash is a path.
#[test]
fn odd_names_are_names() {
    let evidence = Evidence::new("dav-plain-h264");
    for name in ["disk 1 (copy).dav", "قرص.dav", "-disk.dav"] {
        fs::copy(evidence.path().join(evidence.image()), evidence.path().join(name)).unwrap();
        let out = format!("out {name}");
        evidence.run(&["extract", "--out", &out, "--", name]).is(0);
        Extracted::read(&evidence.path().join(&out)).check_contract();
        assert_eq!(evidence.run(&["list", "--json", "--", name]).is(0).json()["source"], name);
    }
}

/// A medium that is larger than its file system, as a disk with more sectors than the recorder used.
#[test]
fn bytes_behind_the_file_system_do_not_matter() {
    let evidence = Evidence::new("dahua-intact");
    let mut file =
        fs::File::options().write(true).open(evidence.path().join(evidence.image())).unwrap();
    file.seek(SeekFrom::End(5 << 20)).unwrap();
    file.write_all(b"DHAV, or what looks like it").unwrap();
    drop(file);
    let extracted = evidence.extract(evidence.image(), "out", &[]);
    compare(&evidence.truth, &extracted, Allow::default());
}
