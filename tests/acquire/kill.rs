//! Killed runs go on: the image is the one of a run that nobody disturbed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::parts::{DALEEL, contents, copy_folder, daleel_ends, noise, record, write_disk};

/// Bytes of the disk: several groups of 64 MiB.
const DISK_BYTES: u64 = 300_000_000;
/// Points at which a run is killed, over all forms.
const KILLS: u64 = 50;
/// Files that tell of the runs and not of the medium.
const TELLING: [&str; 2] = ["image.json", "image.log"];

fn start(folder: &Path, arguments: &[&str]) -> std::process::Child {
    Command::new(DALEEL)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Begins an image and kills it as soon as its journal is there: identifiers and times are chosen, nothing else is done.
fn begin(folder: &Path, arguments: &[&str]) {
    let mut child = start(folder, arguments);
    let begun = folder.join("begun/.daleel-work/start.json");
    let until = Instant::now() + Duration::from_secs(30);
    while !begun.exists() {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// kill -9 at fifty points: what a run leaves is gone on with, and the files are those of an undisturbed run, byte for byte.
#[test]
fn killed_at_fifty_points_the_image_is_the_same() {
    let forms: [&[&str]; 3] =
        [&[], &["--format", "raw", "--split", "100MB"], &["--segment-size", "40MiB"]];
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), DISK_BYTES, 11);
    let mut killed = 0;
    for (number, form) in (0_u64..).zip(forms) {
        let begun = folder.path().join("begun");
        let mut arguments =
            vec!["image", "disk.dd", "--out", "begun", "--hash", "md5,sha1,sha256,blake3"];
        arguments.extend(form);
        begin(folder.path(), &arguments);
        copy_folder(&begun, &folder.path().join("whole"));
        let resume = |out| ["image", "disk.dd", "--out", out, "--resume", "--no-read-back"];
        let from = Instant::now();
        daleel_ends(folder.path(), &resume("whole"), 0);
        let length = from.elapsed();
        let expected = contents(&folder.path().join("whole"), &TELLING);
        let points = KILLS / forms.len() as u64 + u64::from(number < KILLS % forms.len() as u64);
        let random = noise(number + 1, points as usize * 2);
        let mut left = points;
        while left > 0 {
            copy_folder(&begun, &folder.path().join("killed"));
            // Up to three kills in the same image: a resumed run is killed, too.
            for _ in 0..3.min(left) {
                let byte = u64::from(random[left as usize]);
                let wait = length.mul_f64(byte as f64 / 256.0);
                let mut child = start(folder.path(), &resume("killed"));
                thread::sleep(wait);
                child.kill().unwrap();
                child.wait().unwrap();
                left -= 1;
                killed += 1;
                if !folder.path().join("killed/.daleel-work").exists() {
                    break;
                }
            }
            if folder.path().join("killed/.daleel-work").exists() {
                daleel_ends(folder.path(), &resume("killed"), 0);
            }
            let found = contents(&folder.path().join("killed"), &TELLING);
            let names = |all: &[(String, Vec<u8>)]| {
                all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(&found), names(&expected));
            for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                assert!(found == expected, "{name} differs after kills in {form:?}");
            }
            let [whole, other] = ["whole", "killed"].map(|name| record(&folder.path().join(name)));
            assert_eq!(
                (&whole["digests"], &whole["blocks"]),
                (&other["digests"], &other["blocks"])
            );
            fs::remove_dir_all(folder.path().join("killed")).unwrap();
        }
        fs::remove_dir_all(&begun).unwrap();
        fs::remove_dir_all(folder.path().join("whole")).unwrap();
    }
    assert_eq!(killed, KILLS);
}

/// Ctrl-C is a pause (U-5): exit 7, a hint how to go on, at most two groups are read again.
#[test]
fn an_interrupt_is_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), 2 * DISK_BYTES, 12);
    let child = Command::new(DALEEL)
        .args(["image", "disk.dd", "--out", "e"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoint = folder.path().join("e/.daleel-work/checkpoint.json");
    let until = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(&checkpoint).is_ok_and(|text| text.contains("position")) {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // On a fast machine the run may have been over by then.
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        assert!(stderr.contains("--resume"), "{stderr}");
        let text = fs::read_to_string(folder.path().join("e/image.log")).unwrap();
        assert!(text.contains("pauses at byte"), "{text}");
        daleel_ends(folder.path(), &["image", "disk.dd", "--out", "e", "--resume"], 0);
        let events = record(&folder.path().join("e"))["acquisition"]["events"].clone();
        let names: Vec<_> =
            events.as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
        assert!(names.contains(&"pause".into()), "{names:?}");
        assert_eq!(names.iter().filter(|name| *name == "begin").count(), 2);
    }
    daleel_ends(folder.path(), &["verify", "e"], 0);
}

/// An unfinished image of another disk is not gone on with.
#[test]
fn an_unfinished_image_wants_its_own_source() {
    let folder = tempfile::tempdir().unwrap();
    write_disk(&folder.path().join("disk.dd"), DISK_BYTES, 13);
    begin(folder.path(), &["image", "disk.dd", "--out", "begun"]);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for (name, change) in [("same-size.dd", 0), ("longer.dd", 512)] {
        write_disk(&other.join(name), DISK_BYTES + change, 14);
        let path = format!("other/{name}");
        daleel_ends(folder.path(), &["image", &path, "--out", "begun", "--resume"], 6);
    }
    daleel_ends(folder.path(), &["image", "disk.dd", "--out", "begun", "--resume"], 0);
}
