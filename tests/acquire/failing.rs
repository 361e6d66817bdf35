//! Disks that fail, as block devices of a real kernel.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::parts::{
    DALEEL, Disk, bad_sectors, daleel_ends, judge, need, noise, record, wait_until, which,
    write_disk,
};

const DISK_BYTES: u64 = 200 << 20;

/// The filter that fails these sectors.
fn failing(folder: &Path, image: &Path, bad: &[(u64, u64)]) -> Disk {
    let map = bad_sectors(folder, DISK_BYTES, bad);
    Disk::of(image, &["--filter=ddrescue".into()], &[format!("ddrescue-mapfile={}", map.display())])
}

/// The medium with zeros in place of bad sectors.
fn filled(image: &Path, bad: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = fs::read(image).unwrap();
    for (first, count) in bad {
        bytes[*first as usize * 512..(first + count) as usize * 512].fill(0);
    }
    bytes
}

/// Extents of the map that are bad, as first sector and count.
fn bad_of(map: &Path) -> Vec<(u64, u64)> {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let text = fs::read_to_string(map).unwrap();
    let lines = text.lines().filter(|line| line.ends_with("  -"));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (number(fields[0]) / 512, number(fields[1]) / 512)
        })
        .collect()
}

/// a disk that starts to fail in mid-run: what was packed is kept, the rest goes into a raw file with a map, the bad sectors are in the
/// map, the E01 error list and nowhere else, and no offset shifts.
#[test]
fn a_disk_that_fails_in_mid_run_loses_only_its_bad_sectors() {
    let Some(()) = Disk::possible() else { return };
    let Some(()) = need(&["ewfverify", "ewfinfo", "img_cat", "ddrescuelog"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    write_disk(&image, DISK_BYTES, 21);
    // One at the begin of a read, some in the middle, a run over the edge of a megabyte, the last sector.
    let bad = [(180_224, 1), (200_001, 3), (262_140, 9), (409_599, 1)];
    for form in [&[][..], &["--format", "raw"], &["--format", "raw", "--split", "64MiB"]] {
        let disk = failing(folder.path(), &image, &bad);
        let mut arguments = vec!["image", &disk.device, "--out", "e"];
        arguments.extend(form);
        daleel_ends(folder.path(), &arguments, 1);
        let out = folder.path().join("e");
        assert_eq!(bad_of(&out.join("image.map")), bad, "{form:?}");
        let expected = filled(&image, &bad);
        let record = record(&out);
        assert_eq!(record["acquisition"]["holes"]["unreadable_sectors"], 14);
        assert_eq!(record["digests"][0]["scope"], "filled");
        assert!(record["limitations"].to_string().contains("14 sectors were unreadable"));
        assert_eq!(fs::read(out.join("image.raw")).unwrap(), expected, "{form:?}");
        // ddrescue's own reader of maps takes ours.
        let listed = judge(&out, "ddrescuelog", &["-b512", "--list-blocks=-", "image.map"]);
        let sectors: Vec<u64> =
            bad.iter().flat_map(|(first, count)| *first..first + count).collect();
        let text = String::from_utf8(listed).unwrap();
        assert_eq!(
            text.lines().map(|line| line.parse::<u64>().unwrap()).collect::<Vec<_>>(),
            sectors
        );
        if form.is_empty() {
            judge(&out, "ewfverify", &["-q", "image.E01"]);
            assert_eq!(judge(&out, "img_cat", &["image.E01"]), expected);
            let info = String::from_utf8(judge(&out, "ewfinfo", &["image.E01"])).unwrap();
            assert!(info.contains("200001 - 200003") || info.contains("200001 - 200004"), "{info}");
        }
        daleel_ends(folder.path(), &["verify", "e"], 1);
        drop(disk);
        fs::remove_dir_all(&out).unwrap();
    }
}

/// runs on a failing disk are killed at random points, while it is still read straight, unpacked, rescued and packed: the image is
/// the same in the end.
#[test]
fn killed_while_it_fails_the_image_is_the_same() {
    let Some(()) = Disk::possible() else { return };
    let Some(()) = need(&["img_cat"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    write_disk(&image, DISK_BYTES, 24);
    let bad: Vec<(u64, u64)> =
        (0..30).map(|number| (280_000 + number * 4001, number % 3 + 1)).collect();
    let expected = filled(&image, &bad);
    let disk = failing(folder.path(), &image, &bad);
    let out = folder.path().join("e");
    for (number, form) in [&[][..], &["--format", "raw"], &["--also", "f"]].into_iter().enumerate()
    {
        let mut arguments = vec!["image", &disk.device, "--out", "e", "--no-read-back"];
        arguments.extend(form);
        let mut resumed = arguments.clone();
        resumed.push("--resume");
        for (kill, byte) in noise(number as u64 + 7, 12).into_iter().enumerate() {
            let begun = out.join(".daleel-work/start.json").exists();
            if out.exists() && !begun {
                break;
            }
            let mut child = Command::new(DALEEL)
                .args(if begun { &resumed } else { &arguments })
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            wait_until("the begin", || out.join(".daleel-work/start.json").exists());
            thread::sleep(Duration::from_millis(100 + u64::from(byte) * 3 + kill as u64 * 30));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if out.join(".daleel-work").exists() {
            daleel_ends(folder.path(), &resumed, 1);
        }
        assert_eq!(bad_of(&out.join("image.map")), bad, "{form:?}");
        assert!(fs::read(out.join("image.raw")).unwrap() == expected, "{form:?}");
        if !form.contains(&"raw") {
            assert!(judge(&out, "img_cat", &["image.E01"]) == expected, "{form:?}");
        }
        if form.contains(&"--also") {
            assert!(judge(&folder.path().join("f"), "img_cat", &["image.E01"]) == expected);
            daleel_ends(folder.path(), &["verify", "f"], 1);
            fs::remove_dir_all(folder.path().join("f")).unwrap();
        }
        daleel_ends(folder.path(), &["verify", "e"], 1);
        fs::remove_dir_all(&out).unwrap();
    }
}

/// The map of a whole rescue is the one that ddrescue makes of the same disk.
#[test]
fn the_map_is_the_one_of_ddrescue() {
    let Some(()) = Disk::possible() else { return };
    let Some(()) = need(&["ddrescue", "ddrescuelog"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    write_disk(&image, DISK_BYTES, 22);
    let bad: Vec<(u64, u64)> = (0..40).map(|number| (number * 9001 + 13, number % 5 + 1)).collect();
    let disk = failing(folder.path(), &image, &bad);
    daleel_ends(
        folder.path(),
        &["image", &disk.device, "--out", "e", "--rescue", "--format", "raw"],
        1,
    );
    let status = Command::new(which("ddrescue").unwrap())
        .args(["-q", "-d", "-r0", "-b512", &disk.device, "other.raw", "other.map"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    judge(folder.path(), "cmp", &["e/image.raw", "other.raw"]);
    assert_eq!(bad_of(&folder.path().join("e/image.map")), bad);
    assert_eq!(bad_of(&folder.path().join("other.map")), bad);
}

/// a device that goes away is no bad sector: exit 6, nothing is marked bad, and with the device the image is gone on with.
#[test]
fn a_lost_device_is_no_bad_sector() {
    let Some(()) = Disk::possible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    write_disk(&image, DISK_BYTES, 23);
    for more in [&[][..], &["--rescue"]] {
        let slow = ["--filter=rate".to_owned()];
        let mut disk = Disk::of(&image, &slow, &["rate=400M".into()]);
        let mut arguments = vec!["image", &disk.device, "--out", "e", "--reconnect", "1"];
        arguments.extend(more);
        let mut child = Command::new(DALEEL)
            .args(&arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let work = folder.path().join("e/.daleel-work/start.json");
        wait_until("the begin", || work.exists());
        thread::sleep(Duration::from_millis(700));
        disk.vanish();
        let code = child.wait().unwrap().code();
        drop(disk);
        assert_eq!(code, Some(6), "{more:?}");
        let map = folder.path().join("e/image.map");
        assert!(!map.exists() || bad_of(&map).is_empty());
        // Not the same disk any more, under whatever name: refused.
        let other = folder.path().join("other.dd");
        write_disk(&other, DISK_BYTES, 99);
        let wrong = Disk::of(&other, &[], &[]);
        daleel_ends(folder.path(), &["image", &wrong.device, "--out", "e", "--resume"], 6);
        drop(wrong);
        let disk = Disk::of(&image, &[], &[]);
        daleel_ends(folder.path(), &["image", &disk.device, "--out", "e", "--resume"], 0);
        daleel_ends(folder.path(), &["verify", "e"], 0);
        assert_eq!(record(&folder.path().join("e"))["digests"][0]["scope"], "medium");
        fs::remove_dir_all(folder.path().join("e")).unwrap();
    }
}

/// A disk that is mounted is refused, whatever is mounted of it.
#[test]
fn a_mounted_disk_is_refused() {
    let Some(()) = Disk::possible() else { return };
    let Some(()) = need(&["mkfs.ext4", "mount", "umount"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    judge(folder.path(), "mkfs.ext4", &["-q", "-F", "disk.dd"]);
    let disk = Disk::of(&image, &[], &[]);
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let mounted = Command::new(which("mount").unwrap())
        .args(["-o", "ro,noload", &disk.device])
        .arg(&at)
        .status()
        .unwrap();
    assert!(mounted.success());
    let output = super::parts::daleel(folder.path(), &["image", &disk.device, "--out", "e"]);
    judge(folder.path(), "umount", &["mnt"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mount"), "{output:?}");
    assert!(!folder.path().join("e").exists());
}
