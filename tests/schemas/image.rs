//! What `image` and `verify` print and write, of generated disks in every form of an image.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use super::{DALEEL, Judge, definitions, read_json, schemas, write_scenario};

const DISK: &str = "disk.img";
/// Bytes behind a generated disk that no compressor makes smaller.
const NOISE: u32 = 3_000_123;

/// A folder with a small disk in it: a generated recorder's, and behind it what no compressor makes smaller and a part of a sector.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(scenario(folder.path(), "dahua-one-partition")).unwrap();
    bytes.extend((0..NOISE).map(|at| at.wrapping_mul(0x9E37_79B1).to_le_bytes()[3]));
    fs::write(folder.path().join(DISK), bytes).unwrap();
    folder
}

/// The disk of a scenario in a folder.
fn scenario(folder: &Path, name: &str) -> PathBuf {
    write_scenario(name, folder).image_path(folder)
}

fn ran(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(DALEEL).args(arguments).current_dir(folder).output().unwrap()
}

/// What the program prints, valid, and its exit code.
fn printed(folder: &Path, schema: &str, arguments: &[&str]) -> (Value, i32) {
    let output = ran(folder, arguments);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    Judge::new().check(schema, &document, &arguments.join(" "));
    (document, output.status.code().unwrap())
}

/// Images the disk; gives the record, which is the same in the answer and in the folder.
fn image(folder: &Path, out: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["image", DISK, "--out", out, "--json"];
    arguments.extend(more);
    let (document, code) = printed(folder, "image-answer", &arguments);
    assert_eq!((code, document["images"][0]["state"].as_str()), (0, Some("finished")));
    let record = read_json(&folder.join(out).join("image.json"));
    Judge::new().check("image", &record, out);
    assert_eq!(document["images"][0]["record"], record);
    record
}

fn verify(folder: &Path, image: &str, code: i32) -> Value {
    let quick = printed(folder, "verify", &["verify", image, "--quick", "--json"]);
    let whole = printed(folder, "verify", &["verify", image, "--json"]);
    assert_eq!((quick.1, whole.1), (code, code), "{image}");
    whole.0
}

/// Changes a byte of a file.
fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The record in an answer is described as the record in a folder is.
#[test]
fn a_record_is_one_form_wherever_it_stands() {
    let all = schemas();
    let inner = &definitions(&all["image-answer"])["image"];
    for part in ["type", "properties", "required", "additionalProperties"] {
        assert_eq!(all["image"][part], inner[part], "{part}");
    }
}

#[test]
fn images_of_every_form_and_their_check() {
    let folder = place();
    let folder = folder.path();
    let forms: [(&str, &str, &[&str]); 3] = [
        ("e01", "image.E01", &["--evidence-number", "7", "--write-blocker", "Maker X, serial 1"]),
        ("raw", "image.raw", &["--format", "raw", "--hash", "sha256,blake3"]),
        ("split-raw", "image.001", &["--format", "raw", "--split", "3MiB", "--also", "copy"]),
    ];
    for (form, file, arguments) in forms {
        let record = image(folder, form, arguments);
        assert_eq!((&record["format"], &record["files"][0]["name"]), (&form.into(), &file.into()));
        assert!(verify(folder, form, 0)["claims"].as_array().unwrap().len() > 4, "{form}");
    }
    assert_eq!(
        read_json(&folder.join("split-raw/image.json")),
        read_json(&folder.join("copy/image.json"))
    );
    // CU-2: what an operator says is no part of the record, but for a write blocker that is marked as given.
    let record = read_json(&folder.join("e01/image.json"));
    assert_eq!(record["write_blocker"]["kind"], "given");
    let line = record["tool"]["command_line"].to_string();
    assert!(!line.contains("Maker X") && line.contains("(the operator's words)"), "{line}");
}

/// Packed from a raw file, in small segments, and not read back.
#[test]
fn an_image_by_way_of_a_raw_file() {
    let folder = place();
    let arguments = ["--rescue", "--segment-size", "3MiB", "--compress", "best", "--no-read-back"];
    let record = image(folder.path(), "out", &arguments);
    let events = record["acquisition"]["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["event"] == "pass"), "{events:#?}");
    assert_eq!(record["read_back"], Value::Array(Vec::new()));
    assert!(record["files"].as_array().unwrap().iter().any(|file| file["sha256"].is_null()));
    verify(folder.path(), "out", 0);
}

#[test]
fn plans() {
    let folder = place();
    for more in [&[][..], &["--format", "raw", "--first", "index"], &["--only", "CH1"]] {
        let mut arguments = vec!["image", DISK, "--out", "out", "--dry-run", "--json"];
        arguments.extend(more);
        let (document, code) = printed(folder.path(), "image-plan", &arguments);
        assert_eq!((code, document["plans"].as_array().unwrap().len()), (0, 1));
    }
    assert!(!folder.path().join("out").exists());
}

/// Several sources, of which one has a folder that is in use.
#[test]
fn an_answer_on_several_sources() {
    let folder = place();
    fs::write(folder.path().join("second.img"), "a source of a few bytes").unwrap();
    fs::create_dir_all(folder.path().join("all/second.img")).unwrap();
    fs::write(folder.path().join("all/second.img/theirs"), "x").unwrap();
    let arguments = ["image", DISK, "second.img", "--out", "all", "--json"];
    let (document, code) = printed(folder.path(), "image-answer", &arguments);
    assert_eq!(code, 4);
    assert_eq!(document["images"][0]["state"], "finished");
    assert_eq!(document["images"][1]["state"], "failed");
}

/// What is not acquired is said in the record, in camera time and by the check; no digest claims to be of the disk.
#[test]
fn the_index_alone() {
    for name in ["dahua-intact", "hikvision-intact"] {
        let folder = tempfile::tempdir().unwrap();
        let disk = scenario(folder.path(), name);
        let disk = disk.to_str().unwrap();
        let arguments = ["image", disk, "--out", "out", "--only", "index", "--json"];
        let (document, code) = printed(folder.path(), "image-answer", &arguments);
        let record = &document["images"][0]["record"];
        assert_eq!((code, &record["digests"]), (1, &Value::Array(Vec::new())), "{name}");
        assert!(record["acquisition"]["camera_time"]["touched"].as_u64() > Some(0), "{name}");
        let report = verify(folder.path(), "out", 1);
        assert_eq!(
            report["holes_bytes"], record["acquisition"]["holes"]["not_acquired_bytes"],
            "{name}"
        );
    }
}

/// A changed byte is told as a megabyte, and where footage lies there, as recordings.
#[test]
fn changed_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let disk = write_scenario("dahua-intact", folder);
    let [at, _] = disk.recordings[0].frames[3].payload[0];
    fs::copy(disk.image_path(folder), folder.join(DISK)).unwrap();
    image(folder, "raw", &["--format", "raw"]);
    change(&folder.join("raw/image.raw"), usize::try_from(at).unwrap());
    let report = verify(folder, "raw", 5);
    assert_eq!(report["differing_blocks"], 1);
    assert!(!report["recordings"].as_array().unwrap().is_empty());
    let place = place();
    image(place.path(), "e01", &["--compress", "never"]);
    let file = place.path().join("e01/image.E01");
    // Well within the noise: a damaged chunk counts as zeros, and one of zeros would not differ.
    let length = fs::metadata(&file).unwrap().len();
    change(&file, usize::try_from(length - u64::from(NOISE) / 2).unwrap());
    let report = verify(place.path(), "e01", 5);
    assert_eq!(
        (&report["differing_blocks"], report["damage"][0]["length"].as_u64()),
        (&1.into(), Some(32_768))
    );
}

/// Nothing is written down about a raw file: its digests are made, and nothing is compared.
#[test]
fn an_image_without_a_record() {
    let folder = place();
    let report = printed(folder.path(), "verify", &["verify", DISK, "--json"]);
    assert_eq!((report.1, &report.0["claims"]), (1, &Value::Array(Vec::new())));
    let digest = report.0["digests"][1]["value"].as_str().unwrap();
    let arguments = ["verify", DISK, "--sha256", digest, "--json"];
    assert_eq!(printed(folder.path(), "verify", &arguments).1, 0);
}
