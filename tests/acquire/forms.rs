//! Every form of image, judged by programs that share no code with us.

use std::{fs, path::Path};

use super::parts::{
    contents, daleel, daleel_ends, json, judge, need, noise, record, which, write_disk,
};

/// MD5 of a file by coreutils.
fn md5(path: &Path) -> String {
    let text = judge(Path::new("."), "md5sum", &[path.to_str().unwrap()]);
    String::from_utf8(text).unwrap()[..32].to_owned()
}

fn digest<'r>(record: &'r serde_json::Value, algorithm: &str) -> &'r str {
    let digests = record["digests"].as_array().unwrap();
    digests.iter().find(|one| one["algorithm"] == algorithm).unwrap()["value"].as_str().unwrap()
}

/// A-5, CU-11: E01 of media of awkward sizes: `ewfverify` and sleuthkit read what was there, and the digests are those of coreutils.
#[test]
fn e01_of_awkward_sizes_is_read_by_others() {
    let Some(()) = need(&["ewfverify", "img_cat", "md5sum", "sha256sum"]) else { return };
    for size in [1, 511, 512, 513, 32_768, 32_769, 1 << 20, (1 << 20) + 5, 5_000_000, 70_000_001] {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.dd");
        fs::write(&disk, noise(size as u64, size)).unwrap();
        daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e"], 0);
        judge(folder.path(), "ewfverify", &["-q", "e/image.E01"]);
        let bytes = judge(folder.path(), "img_cat", &["e/image.E01"]);
        let original = fs::read(&disk).unwrap();
        assert_eq!(bytes[..size], original, "{size}");
        // E01 counts whole sectors: what is behind the end of the medium is zeros.
        assert!(bytes[size..].iter().all(|byte| *byte == 0) && bytes.len() - size < 512, "{size}");
        let record = record(&folder.path().join("e"));
        assert_eq!(digest(&record, "md5"), md5(&disk), "{size}");
        assert_eq!(record["digests"][0]["scope"], "medium");
        assert_eq!(record["medium"]["bytes"], size as u64);
        judge(&folder.path().join("e"), "sha256sum", &["-c", "--quiet", "groups.sha256"]);
        daleel_ends(folder.path(), &["verify", "e"], 0);
    }
}

/// Custody section 4: anyone checks one megabyte of a raw image with `dd`, `grep` and `sha256sum`.
#[test]
fn one_megabyte_is_checked_with_coreutils_alone() {
    let Some(()) = need(&["sh", "dd", "grep", "sha256sum"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 40_000_000, 3);
    daleel_ends(folder.path(), &["image", "disk.dd", "--out", "r", "--format", "raw"], 0);
    let out = folder.path().join("r");
    for block in [0, 3, 38] {
        let name = format!("block-{block:07}");
        let script = format!(
            "dd if=image.raw bs=1M skip={block} count=1 of={name} && grep {name} blocks/000000.sha256 | sha256sum -c && rm {name}"
        );
        judge(&out, "sh", &["-ec", &script]);
    }
    assert_eq!(
        fs::read(out.join("image.raw")).unwrap(),
        fs::read(folder.path().join("disk.dd")).unwrap()
    );
    let groups = judge(&out, "sha256sum", &["groups.sha256"]);
    let root = record(&out)["blocks"]["groups_sha256"].as_str().unwrap().to_owned();
    assert_eq!(String::from_utf8(groups).unwrap()[..64], root);
}

/// The same medium in every form has the same digests and block list; pieces join to the medium; compression changes nothing that is read.
#[test]
fn all_forms_hold_the_same_medium() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.dd");
    write_disk(&disk, 150_000_000, 5);
    let forms: [(&str, &[&str]); 6] = [
        ("adaptive", &[]),
        ("never", &["--compress", "never"]),
        ("best", &["--compress", "best"]),
        ("small", &["--segment-size", "3MiB"]),
        ("raw", &["--format", "raw"]),
        ("split", &["--format", "raw", "--split", "64MB"]),
    ];
    let mut roots = Vec::new();
    for (name, more) in forms {
        let mut arguments =
            vec!["image", "disk.dd", "--out", name, "--hash", "md5,sha1,sha256,blake3"];
        arguments.extend(more);
        daleel_ends(folder.path(), &arguments, 0);
        let out = folder.path().join(name);
        let record = record(&out);
        roots.push((record["digests"].clone(), record["blocks"].clone()));
        assert!(record["read_back"][0]["equal"].as_bool().unwrap(), "{name}");
        for file in record["files"].as_array().unwrap() {
            let path = out.join(file["name"].as_str().unwrap());
            assert_eq!(fs::metadata(&path).unwrap().len(), file["bytes"].as_u64().unwrap());
            let sum = judge(&out, "sha256sum", &[file["name"].as_str().unwrap()]);
            assert_eq!(String::from_utf8(sum).unwrap()[..64], *file["sha256"].as_str().unwrap());
        }
        if out.join("image.E01").exists() && which("ewfverify").is_some() {
            judge(&out, "ewfverify", &["-q", "image.E01"]);
        }
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    let pieces: Vec<u8> = (1..=3)
        .flat_map(|piece| fs::read(folder.path().join(format!("split/image.{piece:03}"))).unwrap())
        .collect();
    assert_eq!(pieces, fs::read(&disk).unwrap());
    // A-5: the tree hash is that of the published program, where it is.
    if which("b3sum").is_some() {
        let sum = judge(folder.path(), "b3sum", &["disk.dd"]);
        assert_eq!(
            String::from_utf8(sum).unwrap()[..64],
            *digest(&record(&folder.path().join("raw")), "blake3")
        );
    }
}

/// A-13: both folders of one pass hold the same, and both were read back.
#[test]
fn two_destinations_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 90_000_000, 8);
    for (one, other, more) in [("a", "b", vec![]), ("c", "d", vec!["--format", "raw"])] {
        let mut arguments = vec!["image", "disk.dd", "--out", one, "--also", other];
        arguments.extend(more);
        daleel_ends(folder.path(), &arguments, 0);
        let [first, second] =
            [one, other].map(|name| contents(&folder.path().join(name), &["image.log"]));
        assert_eq!(first, second);
        let record = record(&folder.path().join(one));
        assert_eq!(record["read_back"].as_array().unwrap().len(), 2);
        daleel_ends(folder.path(), &["verify", other], 0);
    }
}

/// A-11: several disks at once, each in a folder of its own.
#[test]
fn several_disks_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seed) in [("sda.dd", 1), ("sdb.dd", 2), ("sdc.dd", 3)] {
        write_disk(&folder.path().join(name), 30_000_000 + seed * 512, seed);
    }
    let output = daleel_ends(
        folder.path(),
        &["image", "sda.dd", "sdb.dd", "sdc.dd", "--out", "case", "--json"],
        0,
    );
    let answer = json(&output);
    assert_eq!(answer["images"].as_array().unwrap().len(), 3);
    for name in ["sda.dd", "sdb.dd", "sdc.dd"] {
        daleel_ends(folder.path(), &["verify", &format!("case/{name}")], 0);
    }
}

/// U-6: nothing is overwritten, and nothing is written beside or on the source by mistake.
#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 2_000_000, 1);
    fs::create_dir(folder.path().join("used")).unwrap();
    fs::write(folder.path().join("used/notes.txt"), "mine").unwrap();
    let before = contents(folder.path(), &[]);
    for arguments in [
        &["image", "disk.dd", "--out", "used"][..],
        &["image", "disk.dd", "--out", "new", "--also", "used"],
        &["image", "disk.dd", "--out", "disk.dd"],
        &["image", "missing.dd", "--out", "new"],
    ] {
        let output = daleel(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
    }
    assert_eq!(contents(folder.path(), &[]), before);
    daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e"], 0);
    let made = contents(folder.path(), &[]);
    assert_eq!(daleel(folder.path(), &["image", "disk.dd", "--out", "e"]).status.code(), Some(4));
    assert_eq!(contents(folder.path(), &[]), made);
}

/// The operator's words are in the container, in any script, and not in the tool's own record.
#[test]
fn the_operators_words_go_into_the_container_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 2_000_000, 1);
    let words = ["قضية ١٢", "EV-7\u{1f4f7}", "خالد\tof Lab", "disk of the\nback office", "محضر"];
    let arguments = [
        "image",
        "disk.dd",
        "--out",
        "e",
        "--case-number",
        words[0],
        "--evidence-number",
        words[1],
        "--examiner",
        words[2],
        "--description",
        words[3],
        "--notes",
        words[4],
        "--write-blocker",
        "Tableau T35u, serial 000ECC",
    ];
    daleel_ends(folder.path(), &arguments, 0);
    let text = fs::read_to_string(folder.path().join("e/image.json")).unwrap();
    let log = fs::read_to_string(folder.path().join("e/image.log")).unwrap();
    for word in words {
        assert!(!text.contains(word) && !log.contains(word), "{word}");
    }
    assert_eq!(
        record(&folder.path().join("e"))["write_blocker"]["given"],
        "Tableau T35u, serial 000ECC"
    );
    assert!(record(&folder.path().join("e"))["custody"].is_null());
    let Some(()) = need(&["ewfinfo"]) else { return };
    let info = String::from_utf8(judge(folder.path(), "ewfinfo", &["e/image.E01"])).unwrap();
    for word in [words[0], words[1], "خالد of Lab", "disk of the back office", words[4]] {
        assert!(info.contains(word), "{word}\n{info}");
    }
    assert!(info.contains("EnCase 6"), "{info}");
}

/// A dry run writes nothing and says what is needed.
#[test]
fn a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 2_000_000, 1);
    let output =
        daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e", "--dry-run", "--json"], 0);
    let plan = &json(&output)["plans"][0];
    assert_eq!(
        (plan["media_bytes"].as_u64(), plan["chunk_bytes"].as_u64()),
        (Some(2_000_000), Some(32_768))
    );
    assert!(!folder.path().join("e").exists());
}
