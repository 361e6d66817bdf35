//! Memory does not grow with the medium.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::parts::{DALEEL, need};

/// What is promised.
const MOST_KIB: u64 = 256 << 10;
/// A disk of 16 TB.
const DISK_BYTES: u64 = 16_000_000_000_000;

/// Peak memory of a process that runs, in KiB.
fn peak_kib(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs for a while, interrupts, and gives the peak.
fn run_for(folder: &std::path::Path, arguments: &[&str], time: Duration) -> u64 {
    let mut child = Command::new(DALEEL)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + time;
    let mut peak = 0;
    let mut interrupted = false;
    while child.try_wait().unwrap().is_none() {
        peak = peak_kib(child.id()).unwrap_or(peak).max(peak);
        if Instant::now() > until && !interrupted {
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            interrupted = true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    peak
}

/// A stretch of a 16 TB disk, as E01 with every digest.
#[test]
fn a_stretch_of_sixteen_terabytes_takes_bounded_memory() {
    let Some(()) = need(&["kill"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = fs::File::create(folder.path().join("disk.dd")).unwrap();
    disk.set_len(DISK_BYTES).unwrap();
    let arguments = ["image", "disk.dd", "--out", "e", "--hash", "md5,sha1,sha256,blake3"];
    let peak = run_for(folder.path(), &arguments, Duration::from_secs(8));
    assert!(peak > 0 && peak < MOST_KIB, "{peak} KiB");
    let checkpoint =
        fs::read_to_string(folder.path().join("e/.daleel-work/checkpoint.json")).unwrap();
    assert!(checkpoint.contains("position"), "{checkpoint}");
    println!("16 TB, straight: {peak} KiB");
}

/// A 16 TB disk with a map of a million bad areas, gone on with.
#[test]
fn a_map_of_a_million_bad_areas_takes_bounded_memory() {
    let Some(()) = need(&["kill"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = fs::File::create(folder.path().join("disk.dd")).unwrap();
    disk.set_len(DISK_BYTES).unwrap();
    let arguments = ["image", "disk.dd", "--out", "e", "--format", "raw", "--rescue"];
    run_for(folder.path(), &arguments, Duration::from_secs(1));
    let path = folder.path().join("e/image.map");
    let own = fs::read_to_string(&path).unwrap();
    let mark = own.lines().next().unwrap();
    let mut map = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    writeln!(map, "{mark}\n0x00000000     ?               1").unwrap();
    let step = DISK_BYTES / 2 / 1_000_000 / 512 * 512;
    for area in 0..1_000_000 {
        let at = area * step;
        writeln!(map, "0x{at:08X}  0x00000200  -\n0x{:08X}  0x{:08X}  +", at + 512, step - 512)
            .unwrap();
    }
    let at = 1_000_000 * step;
    writeln!(map, "0x{at:08X}  0x{:08X}  ?", DISK_BYTES - at).unwrap();
    drop(map);
    let peak = run_for(
        folder.path(),
        &["image", "disk.dd", "--out", "e", "--resume"],
        Duration::from_secs(8),
    );
    assert!(peak > 0 && peak < MOST_KIB, "{peak} KiB");
    println!("16 TB, a million bad areas: {peak} KiB");
}
