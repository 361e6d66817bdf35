//! The recorder's own order: index first, the hours that are asked for, and what is lost in camera time (A-10).

use std::{fs, path::Path};

use daleel_generator::write_scenario;
use serde_json::Value;

use super::parts::{Disk, bad_sectors, daleel, daleel_ends, json, record};

fn listed(folder: &Path, image: &str) -> Vec<Value> {
    let output = daleel(folder, &["list", image, "--json"]);
    json(&output)["recordings"].as_array().unwrap().clone()
}

/// Bytes that the map says are from the medium.
fn acquired(map: &Path) -> u64 {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let text = fs::read_to_string(map).unwrap();
    let lines = text.lines().filter(|line| line.ends_with("  +"));
    lines.map(|line| number(line.split_whitespace().nth(1).unwrap())).sum()
}

/// A sparse disk of 500 GB that begins with a recorder's file system: the whole index and the hour that is asked for are there before 2 % of
/// the disk is read. What `--only` reads is what `--first` reads first.
#[test]
fn of_five_hundred_gigabytes_the_index_and_an_hour_come_first() {
    const DISK_BYTES: u64 = 500_000_000_000;
    for scenario in ["dahua-intact", "hikvision-intact"] {
        let folder = tempfile::tempdir().unwrap();
        let truth = write_scenario(scenario, folder.path(), 7).unwrap();
        let image = folder.path().join(&truth.image);
        fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(DISK_BYTES).unwrap();
        let whole = listed(folder.path(), &truth.image);
        let one = &whole[0];
        let (from, to) = (one["start"].as_str().unwrap(), one["end"].as_str().unwrap());
        let wish = format!("CH{} {from}..{to}", one["channel"]);
        let arguments = ["image", &truth.image, "--out", "r", "--format", "raw", "--no-read-back"];
        let mut arguments = arguments.to_vec();
        arguments.extend(["--only", "index", "--only", &wish]);
        daleel_ends(folder.path(), &arguments, 1);
        let read = acquired(&folder.path().join("r/image.map"));
        assert!(read > 0 && read < DISK_BYTES / 50, "{read}");
        println!("{scenario}: {read} of {DISK_BYTES} bytes");
        assert_eq!(listed(folder.path(), "r/image.raw").len(), whole.len());
        let time = &record(&folder.path().join("r"))["acquisition"]["camera_time"];
        let touched = time["recordings"].as_array().unwrap();
        assert!(touched.iter().all(|recording| recording["id"] != one["id"]), "{time:#}");
    }
}

/// `--only index`: every recording is listed from the partial image, the rest is a hole that is said, and no digest claims to be of the disk.
#[test]
fn the_index_alone_lists_everything() {
    for scenario in ["dahua-intact", "hikvision-intact"] {
        let folder = tempfile::tempdir().unwrap();
        let truth = write_scenario(scenario, folder.path(), 7).unwrap();
        let size = fs::metadata(folder.path().join(&truth.image)).unwrap().len();
        daleel_ends(folder.path(), &["image", &truth.image, "--out", "e", "--only", "index"], 1);
        let out = folder.path().join("e");
        let of_index = listed(folder.path(), "e/image.E01");
        let whole = listed(folder.path(), &truth.image);
        assert_eq!(of_index.len(), whole.len());
        for (found, expected) in of_index.iter().zip(&whole) {
            for key in ["id", "channel", "start", "end", "bytes", "first_byte"] {
                assert_eq!(found[key], expected[key], "{scenario} {key}");
            }
        }
        let share = acquired(&out.join("image.map")) * 100 / size;
        println!("{scenario}: the index is {share} % of a disk of {size} bytes");
        let record = record(&out);
        // A-5: a digest of a part would only be mistaken for one of the disk.
        assert_eq!(record["digests"].as_array().unwrap().len(), 0);
        assert!(record["acquisition"]["holes"]["not_acquired_bytes"].as_u64().unwrap() > 0);
        assert!(
            record["acquisition"]["camera_time"]["touched"].as_u64().unwrap() > 0,
            "{record:#}"
        );
        let verified = daleel_ends(folder.path(), &["verify", "e"], 1);
        assert!(String::from_utf8_lossy(&verified.stdout).contains("not from the medium"));
        let identified = daleel(folder.path(), &["identify", "e/image.E01"]);
        assert!(
            String::from_utf8_lossy(&identified.stdout).contains("not acquired"),
            "{identified:?}"
        );
    }
}

/// What was asked for is whole in a partial image: the clips are those of the whole disk, byte for byte.
#[test]
fn what_is_asked_for_can_be_extracted_from_a_partial_image() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-intact", folder.path(), 7).unwrap();
    let whole = listed(folder.path(), &truth.image);
    let one = &whole[whole.len() / 2];
    let (from, to) = (one["start"].as_str().unwrap(), one["end"].as_str().unwrap());
    let channel = one["channel"].to_string();
    let wish = format!("CH{channel} {from}..{to}");
    daleel_ends(folder.path(), &["image", &truth.image, "--out", "e", "--only", &wish], 1);
    for (source, out) in [(truth.image.as_str(), "x"), ("e/image.E01", "y")] {
        let arguments =
            ["extract", source, "--out", out, "--channel", &channel, "--from", from, "--to", to];
        let code = daleel(folder.path(), &arguments).status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
    }
    let sums = |out: &str| fs::read_to_string(folder.path().join(out).join("SHA256SUMS")).unwrap();
    let clips = |text: String| {
        text.lines().filter(|line| line.contains("clips/")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!clips(sums("x")).is_empty());
    assert_eq!(clips(sums("x")), clips(sums("y")));
}

/// `--first`: the whole disk is there in the end, the order is in the record, and what could not be read is told in camera time.
#[test]
fn what_is_unreadable_is_told_in_camera_time() {
    let Some(()) = Disk::possible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-intact", folder.path(), 7).unwrap();
    let image = folder.path().join(&truth.image);
    let length = fs::metadata(&image).unwrap().len();
    let whole = listed(folder.path(), &truth.image);
    let one = &whole[0];
    let sector = one["first_byte"].as_u64().unwrap() / 512 + 40;
    let map = bad_sectors(folder.path(), length, &[(sector, 8)]);
    let disk = Disk::of(
        &image,
        &["--filter=ddrescue".into()],
        &[format!("ddrescue-mapfile={}", map.display())],
    );
    let wish = format!("CH{}", one["channel"]);
    daleel_ends(
        folder.path(),
        &["image", &disk.device, "--out", "e", "--first", "index", "--first", &wish],
        1,
    );
    let record = record(&folder.path().join("e"));
    let time = &record["acquisition"]["camera_time"];
    assert_eq!(time["touched"], 1, "{time:#}");
    assert_eq!(time["recordings"][0]["id"], one["id"]);
    assert_eq!(time["recordings"][0]["unreadable_bytes"], 8 * 512);
    assert!(time["recordings"][0]["unreadable_ms"].as_i64().unwrap() > 0);
    assert_eq!(record["acquisition"]["holes"]["not_acquired_bytes"], 0);
    assert_eq!(listed(folder.path(), "e/image.E01").len(), whole.len());
}
