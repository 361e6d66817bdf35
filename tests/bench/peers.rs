//! Throughput and memory against named peers, as ratios from one run. Prints a table; asserts nothing, so it is no test.
//!
//! `cargo bench -p daleel-tests --bench peers`. Files go to `DALEEL_BENCH_DIR`, else to the shared memory of the machine, else to a temporary
//! folder; `DALEEL_BENCH_MIB` sets the length of the stream (2048).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::float_arithmetic
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use daleel_core::{Extent, Hole, Input, ReadError, Source, Volume};
use daleel_generator::bench::{long_dav, long_disk, sparse_disk};
use daleel_image::RawSource;

const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");
const RUNS: usize = 3;

/// A run of a program: wall time and the most memory it held, in bytes.
struct Run {
    time: Duration,
    memory: u64,
}

/// Runs a program and watches its memory.
fn run(command: &mut Command) -> Run {
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut memory = 0;
    let end = loop {
        if let Some(end) = child.try_wait().unwrap() {
            break end;
        }
        memory = memory.max(peak_memory(&status).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = started.elapsed();
    assert!(matches!(end.code(), Some(0 | 1)), "{command:?}: {end}");
    Run { time, memory }
}

fn peak_memory(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Counts what is read through it.
struct Counting {
    inner: RawSource,
    read: Arc<AtomicU64>,
}

impl Source for Counting {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.inner.read_exact_at(offset, buf)
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        self.inner.holes(within)
    }
}

fn megabytes_per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

fn listing(folder: &Path) {
    let image = folder.join("sparse.img");
    let facts = sparse_disk(&image, 4_000_000_000_000, 8000).unwrap();
    let read = Arc::new(AtomicU64::new(0));
    let source = Counting { inner: RawSource::open(&image).unwrap(), read: read.clone() };
    let input = Input::Volume(Volume::whole(Arc::new(source)));
    let (family, verdict) = daleel_formats::identify(&input).into_iter().next().unwrap();
    let recorder = (family.open)(input, &verdict).unwrap();
    let listed = recorder.recordings().flatten().count();
    assert_eq!(listed as u64, facts.recordings);
    let best = (0..RUNS)
        .map(|_| run(Command::new(DALEEL).args(["list", "--jsonl"]).arg(&image)))
        .min_by_key(|run| run.time)
        .unwrap();
    let read = read.load(Ordering::Relaxed);
    println!("list, sparse disk of {} bytes, {listed} recordings:", facts.bytes);
    println!("  read {read} bytes, {:.4} % of the disk", read as f64 * 100.0 / facts.bytes as f64);
    println!("  {:.2} s, peak memory {} MiB", best.time.as_secs_f64(), best.memory >> 20);
    fs::remove_file(image).unwrap();
}

fn extraction(folder: &Path, bytes: u64) {
    let dav = folder.join("long.dav");
    let disk = folder.join("long.img");
    let facts = long_dav(&dav, bytes, 4_000_000).unwrap();
    long_disk(&disk, bytes).unwrap();
    println!(
        "extract, {} bytes of stream, {} frames; best of {RUNS}, runs taken in turn:",
        facts.bytes, facts.frames
    );
    let out = folder.join("out");
    let copy = folder.join("copy.mp4");
    let extract = |image: &Path| {
        let run = run(Command::new(DALEEL)
            .args(["extract", "--progress", "none"])
            .arg(image)
            .arg("--out")
            .arg(&out));
        fs::remove_dir_all(&out).unwrap();
        run
    };
    let ffmpeg = || {
        let run = run(Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "dhav", "-i"])
            .arg(&dav)
            .args(["-c", "copy"])
            .arg(&copy));
        fs::remove_file(&copy).unwrap();
        run
    };
    let has_ffmpeg = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut best: [Option<Run>; 3] = [None, None, None];
    let mut keep = |slot: usize, run: Run| {
        if best[slot].as_ref().is_none_or(|best| run.time < best.time) {
            best[slot] = Some(run);
        }
    };
    for _ in 0..RUNS {
        keep(0, extract(&dav));
        keep(1, extract(&disk));
        if has_ffmpeg {
            keep(2, ffmpeg());
        }
    }
    let [from_file, from_disk, peer] = best;
    for (name, run) in [
        ("daleel, .dav", &from_file),
        ("daleel, disk", &from_disk),
        ("ffmpeg -c copy, .dav", &peer),
    ] {
        match run {
            Some(run) => println!(
                "  {name:<22} {:>6.2} s {:>6.0} MB/s, peak memory {} MiB",
                run.time.as_secs_f64(),
                megabytes_per_second(facts.bytes, run.time),
                run.memory >> 20
            ),
            None => println!("  {name:<22} SKIPPED: ffmpeg not found"),
        }
    }
    if let (Some(ours), Some(peer)) = (from_file, peer) {
        println!(
            "  time of daleel / time of ffmpeg: {:.2}",
            ours.time.as_secs_f64() / peer.time.as_secs_f64()
        );
    }
}

fn main() {
    // `cargo test --benches` asks every bench for its tests; there are none.
    if env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let memory = PathBuf::from("/dev/shm");
    let base = env::var_os("DALEEL_BENCH_DIR")
        .map_or_else(|| if memory.is_dir() { memory } else { env::temp_dir() }, PathBuf::from);
    let folder = tempfile::tempdir_in(base).unwrap();
    let mebibytes: u64 =
        env::var("DALEEL_BENCH_MIB").ok().and_then(|value| value.parse().ok()).unwrap_or(2048);
    listing(folder.path());
    extraction(folder.path(), mebibytes << 20);
}
