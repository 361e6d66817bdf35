//! `daleel verify` on images that are right, changed, cut, or of other programs.

use std::{fs, os::unix::fs::FileExt, path::Path, process::Command};

use daleel_generator::write_scenario;

use super::parts::{daleel, daleel_ends, json, judge, need, which, write_disk};

/// Changes one byte of a file.
fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn failed_claims(report: &serde_json::Value) -> Vec<String> {
    let claims = report["claims"].as_array().unwrap().iter();
    claims
        .filter(|claim| claim["ok"] == false)
        .map(|claim| claim["claim"].as_str().unwrap().to_owned())
        .collect()
}

/// CU-5: a changed byte of a raw image is found, its megabyte named, and the recording that lies there.
#[test]
fn a_changed_byte_is_found_and_what_lies_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-intact", folder.path(), 7).unwrap();
    daleel_ends(folder.path(), &["image", &truth.image, "--out", "r", "--format", "raw"], 0);
    let listed = json(&daleel_ends(folder.path(), &["list", "r/image.raw", "--json"], 0));
    let recording = &listed["recordings"][0];
    let at = recording["first_byte"].as_u64().unwrap() + 1000;
    flip(&folder.path().join("r/image.raw"), at);
    let output = daleel_ends(folder.path(), &["verify", "r", "--json"], 5);
    let report = json(&output);
    assert_eq!(report["differing_blocks"], 1);
    let range = &report["differing"][0];
    let offset = range["offset"].as_u64().unwrap();
    assert!(offset <= at && at < offset + range["length"].as_u64().unwrap());
    let ids: Vec<_> =
        report["recordings"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert!(ids.contains(&recording["id"]), "{ids:?} {recording}");
    // The command that is printed beside the claim shows the same.
    let claims = report["claims"].as_array().unwrap();
    let claim =
        claims.iter().find(|claim| claim["claim"].as_str().unwrap().contains("megabyte")).unwrap();
    let command = claim["command"].as_str().unwrap();
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder.path().join("r"))
        .status()
        .unwrap();
    assert!(!status.success(), "{command}");
}

/// Every byte class of an image: whatever is changed, something fails.
#[test]
fn every_file_of_an_image_is_covered() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 40_000_000, 4);
    daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e"], 0);
    let out = folder.path().join("e");
    daleel_ends(folder.path(), &["verify", "e"], 0);
    let size = fs::metadata(out.join("image.E01")).unwrap().len();
    let places = [
        ("image.E01", size / 2),
        ("image.E01", size - 100),
        ("image.E01", 20),
        ("blocks/000000.sha256", 10),
        ("groups.sha256", 10),
        ("image.map", 100),
    ];
    for (file, offset) in places {
        flip(&out.join(file), offset);
        let output = daleel(folder.path(), &["verify", "e", "--json"]);
        assert_eq!(
            output.status.code(),
            Some(5),
            "{file} at {offset}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        flip(&out.join(file), offset);
    }
    daleel_ends(folder.path(), &["verify", "e"], 0);
    // The record itself is named by a signed event, so only its form is looked at here; its digest is shown.
    let report = json(&daleel_ends(folder.path(), &["verify", "e", "--json"], 0));
    let sum = judge(&out, "sha256sum", &["image.json"]);
    assert_eq!(String::from_utf8(sum).unwrap()[..64], *report["record_sha256"].as_str().unwrap());
}

/// E01 of other programs: checked against the digests in the container, and every damaged chunk named.
#[test]
fn sets_of_other_programs_are_checked() {
    let Some(()) = need(&["ewfacquire"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 20_000_256, 6);
    for (name, compression) in [("none", "none"), ("fast", "fast"), ("empty", "empty-block")] {
        let status = Command::new(which("ewfacquire").unwrap())
            .args(["-q", "-u", "-c", compression, "-t", name, "-d", "sha1", "disk.dd"])
            .current_dir(&folder)
            .status()
            .unwrap();
        assert!(status.success());
        let file = format!("{name}.E01");
        let report = json(&daleel_ends(folder.path(), &["verify", &file, "--json"], 0));
        assert_eq!(report["claims"].as_array().unwrap().len(), 2, "{report}");
        let size = fs::metadata(folder.path().join(&file)).unwrap().len();
        flip(&folder.path().join(&file), size / 3);
        let report = json(&daleel_ends(folder.path(), &["verify", &file, "--json"], 5));
        assert_eq!(report["damage"].as_array().unwrap().len(), 1, "{report}");
        assert!(!failed_claims(&report).is_empty());
    }
}

/// A raw image without any record: digests are made, compared with what is given, and nothing is claimed otherwise.
#[test]
fn an_image_without_a_record_is_not_called_right() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 3_000_000, 6);
    let report = json(&daleel_ends(folder.path(), &["verify", "disk.dd", "--json"], 1));
    let sum = String::from_utf8(judge(folder.path(), "sha256sum", &["disk.dd"])).unwrap();
    assert!(report["digests"].as_array().unwrap().iter().any(|one| one["value"] == sum[..64]));
    daleel_ends(folder.path(), &["verify", "disk.dd", "--sha256", &sum[..64]], 0);
    let other = sum[..64].chars().rev().collect::<String>();
    daleel_ends(folder.path(), &["verify", "disk.dd", "--sha256", &other], 5);
    daleel_ends(folder.path(), &["verify", "disk.dd", "--sha256", "12"], 2);
}

/// A set with a missing segment is not right, and what is missing is named.
#[test]
fn a_missing_segment_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 30_000_000, 6);
    daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e", "--segment-size", "4MiB"], 0);
    fs::remove_file(folder.path().join("e/image.E03")).unwrap();
    let report = json(&daleel_ends(folder.path(), &["verify", "e", "--json"], 5));
    assert!(report["notes"].to_string().contains("image.E03"), "{report}");
    assert!(report["differing_blocks"].as_u64().unwrap() > 0);
}
