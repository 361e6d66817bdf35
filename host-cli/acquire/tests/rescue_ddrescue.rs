//! Against GNU ddrescue on the same failing block device: its reads and ours, replayed through one cost model.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

#[path = "rescue_support/device.rs"]
mod device;
mod rescue_support;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use daleel_acquire::{
    medium::{Medium, MediumError},
    rescue::{Clock, Map, Outcome, Rescue, Settings, State},
};
use daleel_core::Extent;
use device::{Device, needs, reads_of};
use rescue_support::{Bad, COST, Curve, Head, Image, Nowhere, Numbers, Traced, go_on, skipped};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;

/// The device as a medium, read past the page cache; its time is the cost model's.
struct Direct<'a> {
    file: File,
    len: u64,
    bad: &'a Bad,
    head: Mutex<Head>,
    trace: Mutex<Vec<Traced>>,
}

impl<'a> Direct<'a> {
    fn open(path: &Path, len: u64, bad: &'a Bad) -> Self {
        let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
        let file = OpenOptions::new().read(true).custom_flags(direct).open(path).unwrap();
        Self { file, len, bad, head: Mutex::new(Head::new(COST)), trace: Mutex::default() }
    }
}

impl Medium for Direct<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn sector_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let extent = Extent::new(offset, buf.len() as u64);
        let result = self.file.read_exact_at(buf, offset);
        self.head.lock().unwrap().read(extent, self.bad.first_in(extent));
        self.trace.lock().unwrap().push((extent, result.is_ok()));
        result.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => MediumError::Lost("the device ended early".into()),
            _ => MediumError::Unreadable(error),
        })
    }

    fn check_presence(&self) -> Result<(), MediumError> {
        Ok(())
    }
}

impl Clock for Direct<'_> {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.head.lock().unwrap().nanoseconds)
    }
}

/// Reads and map of `ddrescue -d -r0 -b512`.
fn theirs(device: &Device) -> (Vec<Traced>, String) {
    let folder = tempfile::tempdir().unwrap();
    let [trace, image, map] = ["trace", "image", "map"].map(|name| folder.path().join(name));
    let status = Command::new("strace")
        .args(["-s", "0", "-T", "-e", "trace=openat,pread64,read,lseek", "-o"])
        .arg(&trace)
        .args(["ddrescue", "-q", "-d", "-r0", "-b512"])
        .args([&device.path, &image, &map])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "ddrescue: {status}");
    let text = fs::read_to_string(&trace).unwrap();
    (reads_of(&text, &device.path), fs::read_to_string(&map).unwrap())
}

fn ours(device: &Device, len: u64, bad: &Bad) -> (Vec<Traced>, Map) {
    let medium = Direct::open(&device.path, len, bad);
    let settings = Settings { suspect: true, ..Settings::default() };
    let mut rescue = Rescue::new(Map::new(len), settings);
    let outcome = rescue.run(&medium, &mut Nowhere, &medium, &mut go_on).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    (medium.trace.into_inner().unwrap(), rescue.into_map())
}

/// How many reads it takes until every byte was tried: the copying phase.
fn copying_reads(trace: &[Traced], len: u64) -> usize {
    let mut tried = Map::new(len);
    let mut reads = trace.iter().zip(1..);
    let last = reads.find(|((extent, _), _)| {
        tried.mark(*extent, State::Finished);
        tried.areas_of(State::NonTried) == 0
    });
    last.unwrap().1
}

/// The map as ddrescuelog writes it, without comments and the status line.
fn normalised(map: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    fs::write(&path, map).unwrap();
    // Two inversions give the map back, read and written by ddrescuelog.
    let mut text = map.to_owned();
    for _ in 0..2 {
        fs::write(&path, &text).unwrap();
        let output =
            Command::new("ddrescuelog").arg("--invert-mapfile").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text = String::from_utf8(output.stdout).unwrap();
    }
    text.lines().filter(|line| !line.starts_with('#')).skip(1).map(str::to_owned).collect()
}

/// Both on one device: at every tenth of ddrescue's copying phase at least as many good bytes, and the same map in the end.
fn compare(name: &str, len: u64, sectors: impl IntoIterator<Item = u64>) {
    let bad = Bad::of_sectors(sectors, SECTOR);
    let programs = ["ddrescue", "ddrescuelog", "strace"].into_iter().try_for_each(needs);
    let device = match programs.and_then(|()| Device::new(len, &bad)) {
        Ok(device) => device,
        Err(why) => return skipped(&format!("{name}: {why}")),
    };
    let (their_trace, their_map) = theirs(&device);
    let (our_trace, our_map) = ours(&device, len, &bad);

    let copying = copying_reads(&their_trace, len);
    let duration = Curve::replay(&their_trace[..copying], &bad, len, COST).end();
    let their_curve = Curve::replay(&their_trace, &bad, len, COST);
    let our_curve = Curve::replay(&our_trace, &bad, len, COST);
    let good = len - bad.bytes();
    eprintln!(
        "{name}: {} MiB, {} bad sectors in {} places",
        len / MIB,
        bad.bytes() / SECTOR,
        bad.runs().count()
    );
    let seconds = |nanoseconds: u64| nanoseconds / 1_000_000_000;
    eprintln!(
        "  ddrescue copies in {} s and ends after {} s; ours ends after {} s; failed reads {} and {}",
        seconds(duration),
        seconds(their_curve.end()),
        seconds(our_curve.end()),
        their_trace.iter().filter(|(_, came)| !came).count(),
        our_trace.iter().filter(|(_, came)| !came).count(),
    );
    let mut behind = Vec::new();
    for tenth in 1..=10 {
        let time = duration / 10 * tenth;
        let (their_bytes, our_bytes) = (their_curve.at(time), our_curve.at(time));
        let percent =
            |bytes: u64| format!("{}.{:03} %", bytes * 100 / good, bytes * 100_000 / good % 1000);
        eprintln!(
            "  {tenth:>2}/10  ddrescue {:>10}  ours {:>10}",
            percent(their_bytes),
            percent(our_bytes)
        );
        if our_bytes < their_bytes {
            behind.push((tenth, their_bytes - our_bytes));
        }
    }
    let mut text = Vec::new();
    our_map.write(&mut text).unwrap();
    let our_map = String::from_utf8(text).unwrap();
    assert_eq!(normalised(&our_map), normalised(&their_map), "{name}: the maps differ");
    assert!(behind.is_empty(), "{name}: behind at (tenth, bytes) {behind:?}");
    assert!(our_curve.end() <= their_curve.end(), "{name}: it takes longer than ddrescue");
}

/// errors far from each other.
#[test]
fn single_sectors() {
    let mut numbers = Numbers(1);
    let len = 512 * MIB;
    compare(
        "single sectors",
        len,
        (0..40).map(|_| numbers.below(len / SECTOR)).collect::<Vec<_>>(),
    );
}

/// a few damaged places, each with several runs of bad sectors.
#[test]
fn clusters() {
    let mut numbers = Numbers(2);
    let len = 512 * MIB;
    let mut sectors = Vec::new();
    for _ in 0..12 {
        let place = numbers.below(len / SECTOR - 4096);
        for _ in 0..4 {
            let run = place + numbers.below(4096);
            sectors.extend(run..run + 1 + numbers.below(60));
        }
    }
    compare("clusters", len, sectors.into_iter().filter(|at| *at < len / SECTOR));
}

/// a head touched the surface: a band in which every other stretch is damaged.
#[test]
fn a_band_of_scratches() {
    let mut numbers = Numbers(3);
    let (len, band) = (512 * MIB, 200 * MIB / SECTOR..240 * MIB / SECTOR);
    let mut sectors = Vec::new();
    let mut at = band.start;
    while at < band.end {
        sectors.extend(at..at + 1 + numbers.below(24));
        at += 100 + numbers.below(500);
    }
    compare("a band of scratches", len, sectors);
}

/// one head of four is dead: every fourth zone is bad throughout.
#[test]
fn a_dead_head() {
    let (len, zone) = (192 * MIB, 3 * MIB / SECTOR);
    let zones = (0..len / SECTOR / zone).filter(|number| number % 4 == 2);
    compare("a dead head", len, zones.flat_map(|number| number * zone..(number + 1) * zone));
}

/// the first and the last sectors.
#[test]
fn both_ends() {
    let len = 256 * MIB;
    let last = len / SECTOR;
    compare(
        "both ends",
        len,
        (0..9).chain(300..310).chain(last - 700..last - 690).chain(last - 3..last),
    );
}

/// one sector in a hundred, anywhere.
#[test]
fn one_in_a_hundred() {
    let mut numbers = Numbers(4);
    let len = 64 * MIB;
    let count = len / SECTOR / 100;
    compare(
        "one sector in a hundred",
        len,
        (0..count).map(|_| numbers.below(len / SECTOR)).collect::<Vec<_>>(),
    );
}

/// The map is one of ddrescue's: it reads it, tests it and goes on with it.
#[test]
fn ddrescue_goes_on_with_our_map() {
    for program in ["ddrescue", "ddrescuelog"] {
        if let Err(why) = needs(program) {
            return skipped(&why);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let [disk, image, path] = ["disk", "image", "map"].map(|name| folder.path().join(name));
    let len = 8 * MIB;
    let mut bytes = vec![0; len as usize];
    rescue_support::fill(0, &mut bytes);
    fs::write(&disk, &bytes).unwrap();
    let bad = Bad::of_sectors([7, 1000, 1001, 9000], SECTOR);
    let sim = rescue_support::Disk::new(len, 512, bad.clone());
    let mut memory = Image::new(len);
    let done = |args: &[&str]| Command::new("ddrescuelog").args(args).arg(&path).output().unwrap();

    // Stopped in the middle: not finished by ddrescuelog's count, and ddrescue completes it from a sound copy of the disk.
    let settings = Settings {
        scrape: false,
        limits: daleel_acquire::rescue::PassLimits { bytes: Some(6 * MIB), ..Default::default() },
        ..Settings::default()
    };
    let (_, saved, _) =
        rescue_support::run(&sim, &mut memory, Map::new(len), &settings, &mut go_on);
    saved.unwrap().save(&path).unwrap();
    fs::write(&image, memory.bytes()).unwrap();
    assert!(!done(&["-D"]).status.success());
    let shown = done(&["-t"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let status =
        Command::new("ddrescue").args(["-q", "-r1"]).args([&disk, &image, &path]).status().unwrap();
    assert!(status.success());
    assert!(done(&["-D"]).status.success());
    assert_eq!(fs::read(&image).unwrap(), bytes);

    // And the other way round: what ddrescue wrote is taken up, but its file is not replaced.
    let map = Map::read(&path, len).unwrap();
    assert_eq!(map.bytes_of(State::Finished), len);
    map.save(&path).unwrap_err();
}
