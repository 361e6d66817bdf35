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
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use daleel_core::{Extent, Hole, Input, ReadError, Source, Volume};
use daleel_generator::{
    bench::{
        BenchFacts, hikvision_long_disk, hikvision_long_stream, hikvision_sparse_disk, long_dav,
        long_disk, sparse_disk,
    },
    hikvision::disk::VIDEO_OFFSET,
};
use daleel_image::RawSource;

const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");
const RUNS: usize = 3;
/// Bytes of a data block of a large Hikvision disk.
const HIKVISION_BLOCK: u64 = 1 << 30;

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

/// Notes what is read through it.
struct Counting {
    inner: RawSource,
    read: Arc<Mutex<Vec<Extent>>>,
}

impl Source for Counting {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read.lock().unwrap().push(Extent::new(offset, buf.len() as u64));
        self.inner.read_exact_at(offset, buf)
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        self.inner.holes(within)
    }
}

fn megabytes_per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Lists a large sparse disk. `part` names the part of it that a byte lies in.
fn listing(image: &Path, facts: &BenchFacts, part: &dyn Fn(u64) -> &'static str) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let source = Counting { inner: RawSource::open(image).unwrap(), read: read.clone() };
    let input = Input::Volume(Volume::whole(Arc::new(source)));
    let (family, verdict) = daleel_formats::identify(&input).into_iter().next().unwrap();
    let recorder = (family.open)(input, &verdict).unwrap();
    let listed = recorder.recordings().flatten().count();
    assert_eq!(listed as u64, facts.recordings);
    let best = (0..RUNS)
        .map(|_| run(Command::new(DALEEL).args(["list", "--jsonl"]).arg(image)))
        .min_by_key(|run| run.time)
        .unwrap();
    let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
    for extent in read.lock().unwrap().iter() {
        *parts.entry(part(extent.offset())).or_default() += extent.len();
    }
    let read: u64 = parts.values().sum();
    println!("list, sparse {} of {} bytes, {listed} recordings:", family.name, facts.bytes);
    println!("  read {read} bytes, {:.4} % of the disk", read as f64 * 100.0 / facts.bytes as f64);
    for (part, bytes) in parts {
        println!("    {bytes:>12} in {part}");
    }
    println!("  {:.2} s, peak memory {} MiB", best.time.as_secs_f64(), best.memory >> 20);
    fs::remove_file(image).unwrap();
}

fn dahua_listing(folder: &Path) {
    let image = folder.join("sparse.img");
    let facts = sparse_disk(&image, 4_000_000_000_000, 8000).unwrap();
    listing(&image, &facts, &|_| "all of it");
}

/// A disk of 10 TB, whose last sixteen blocks are still being written.
fn hikvision_listing(folder: &Path) {
    const BLOCKS: u32 = 9313;
    const OPEN: u32 = 16;
    let image = folder.join("sparse.img");
    let facts = hikvision_sparse_disk(&image, BLOCKS, OPEN).unwrap();
    let blocks = VIDEO_OFFSET..VIDEO_OFFSET + u64::from(BLOCKS) * HIKVISION_BLOCK;
    let first_open = blocks.end - u64::from(OPEN) * HIKVISION_BLOCK;
    listing(&image, &facts, &|offset| match offset {
        _ if !blocks.contains(&offset) => "masters, logs and trees",
        _ if offset < first_open => "closed blocks",
        _ => "open blocks",
    });
}

/// Footage in a file and on a disk, and how FFmpeg is told to read it.
struct Footage {
    facts: BenchFacts,
    file: PathBuf,
    disk: PathBuf,
    format: &'static str,
    /// What FFmpeg reads: name and input.
    inputs: Vec<(&'static str, String)>,
}

fn dahua_footage(folder: &Path, bytes: u64) -> Footage {
    let (file, disk) = (folder.join("long.dav"), folder.join("long.img"));
    let facts = long_dav(&file, bytes, 4_000_000).unwrap();
    long_disk(&disk, bytes).unwrap();
    let inputs = vec![("ffmpeg -c copy, file", file.display().to_string())];
    Footage { facts, file, disk, format: "dhav", inputs }
}

fn hikvision_footage(folder: &Path, bytes: u64) -> Footage {
    let (file, disk) = (folder.join("long.mp4"), folder.join("long.img"));
    let facts = hikvision_long_stream(&file, bytes, 4_000_000).unwrap();
    let on_disk = hikvision_long_disk(&disk, bytes).unwrap();
    let block = |number: u64| {
        let start = VIDEO_OFFSET + number * HIKVISION_BLOCK;
        let end = start + HIKVISION_BLOCK;
        format!("subfile,,start,{start},end,{end},,:{}", disk.display())
    };
    let blocks: Vec<String> = (0..on_disk.recordings).map(block).collect();
    let inputs = vec![
        ("ffmpeg -c copy, file", file.display().to_string()),
        ("ffmpeg -c copy, blocks", format!("concat:{}", blocks.join("|"))),
    ];
    Footage { facts, file, disk, format: "mpeg", inputs }
}

/// The best of several runs of everything, taken in turn.
fn extraction(folder: &Path, footage: &Footage) {
    let facts = &footage.facts;
    println!(
        "extract, {}, {} bytes of stream, {} frames; best of {RUNS}, runs taken in turn:",
        footage.format, facts.bytes, facts.frames
    );
    let (out, copy) = (folder.join("out"), folder.join("copy.mp4"));
    let extract = |image: &Path| {
        let mut command = Command::new(DALEEL);
        command.args(["extract", "--progress", "none"]).arg(image).arg("--out").arg(&out);
        let run = run(&mut command);
        fs::remove_dir_all(&out).unwrap();
        run
    };
    let ffmpeg = |input: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-f", footage.format, "-i", input, "-c", "copy"]);
        let run = run(command.arg(&copy));
        fs::remove_file(&copy).unwrap();
        run
    };
    let has_ffmpeg = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut best: BTreeMap<&str, Run> = BTreeMap::new();
    let mut keep = |name, run: Run| {
        if best.get(name).is_none_or(|best| run.time < best.time) {
            best.insert(name, run);
        }
    };
    for _ in 0..RUNS {
        keep("daleel, file", extract(&footage.file));
        keep("daleel, disk", extract(&footage.disk));
        for (name, input) in footage.inputs.iter().filter(|_| has_ffmpeg) {
            keep(name, ffmpeg(input));
        }
    }
    for (name, run) in &best {
        println!(
            "  {name:<22} {:>6.2} s {:>6.0} MB/s, peak memory {} MiB",
            run.time.as_secs_f64(),
            megabytes_per_second(facts.bytes, run.time),
            run.memory >> 20
        );
    }
    if !has_ffmpeg {
        println!("  ffmpeg                 SKIPPED: ffmpeg not found");
    }
    for ours in ["daleel, file", "daleel, disk"] {
        for (theirs, _) in &footage.inputs {
            if let (Some(our), Some(their)) = (best.get(ours), best.get(theirs)) {
                let ratio = our.time.as_secs_f64() / their.time.as_secs_f64();
                println!("  time of {ours} / time of {theirs}: {ratio:.2}");
            }
        }
    }
    fs::remove_file(&footage.file).unwrap();
    fs::remove_file(&footage.disk).unwrap();
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
    dahua_listing(folder.path());
    hikvision_listing(folder.path());
    for footage in [dahua_footage, hikvision_footage] {
        extraction(folder.path(), &footage(folder.path(), mebibytes << 20));
    }
}
