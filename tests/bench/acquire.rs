//! Imaging against ewfacquire, dc3dd and dd, as ratios from one run. Prints a table; asserts nothing, so it is no test.
//!
//! `cargo bench -p daleel-tests --bench acquire`, on an idle machine with root, `ewf-tools`, `dc3dd`, `nbdkit` and `libnbd-bin`. Files go to
//! `DALEEL_BENCH_DIR`, else to a temporary folder, on a disk that is written to past the page cache where the program can; `DALEEL_BENCH_MIB`
//! sets the size of the medium (2048). Each figure is the median of three runs; the runs of two programs alternate. Processor time is
//! that of the process and all its threads, in user space and in the kernel.

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
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");
const RUNS: usize = 3;

/// Seconds.
#[derive(Clone, Copy, Debug)]
struct Run {
    wall: f64,
    user: f64,
    kernel: f64,
}

impl Run {
    fn processor(&self) -> f64 {
        self.user + self.kernel
    }
}

/// Runs a command in a shell that times it.
fn run(folder: &Path, command: &str) -> Run {
    Command::new("sync").status().unwrap();
    let script = format!("TIMEFORMAT='%R %U %S'; time {command} >/dev/null 2>err.txt");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = fs::read_to_string(folder.join("err.txt")).unwrap_or_default();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{command}: {told}");
    let text = String::from_utf8(output.stderr).unwrap();
    let last = text.lines().last().unwrap();
    let seconds: Vec<f64> = last.split_whitespace().map(|field| field.parse().unwrap()).collect();
    Run { wall: seconds[0], user: seconds[1], kernel: seconds[2] }
}

/// Medians of runs that alternate.
fn compare(folder: &Path, commands: &[(&str, String)], clean: &dyn Fn()) -> Vec<Run> {
    let mut runs: Vec<Vec<Run>> = commands.iter().map(|_| Vec::new()).collect();
    for _ in 0..RUNS {
        for ((_, command), runs) in commands.iter().zip(&mut runs) {
            clean();
            runs.push(run(folder, command));
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let of = |runs: &[Run], part: fn(&Run) -> f64| median(runs.iter().map(part).collect());
    runs.iter()
        .map(|runs| Run {
            wall: of(runs, |run| run.wall),
            user: of(runs, |run| run.user),
            kernel: of(runs, |run| run.kernel),
        })
        .collect()
}

fn table(bytes: u64, commands: &[(&str, String)], runs: &[Run]) {
    for ((name, command), run) in commands.iter().zip(runs) {
        println!(
            "  {name:<28} {:>6.2} s  {:>6.0} MB/s  {:>5.2} s user {:>5.2} s kernel  {:>6.0} MB per CPU second",
            run.wall,
            bytes as f64 / 1e6 / run.wall,
            run.user,
            run.kernel,
            bytes as f64 / 1e6 / run.processor()
        );
        println!("    {command}");
    }
}

/// Footage as no compressor makes it smaller.
fn noise(file: &mut fs::File, length: u64) {
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut source = std::io::Read::take(&mut random, length);
    std::io::copy(&mut source, file).unwrap();
}

fn size_of(folder: &Path, stem: &str) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with(stem))
        .map(|file| file.metadata().unwrap().len())
        .sum()
}

fn clean(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with("mount") {
            fs::remove_dir_all(&path).unwrap();
        } else if name.starts_with("other") {
            fs::remove_file(&path).unwrap();
        }
    }
}

/// E01 of what cannot be compressed, and of a disk that is half empty.
fn e01(folder: &Path, bytes: u64, half_empty: bool) {
    let mut file = fs::File::create(folder.join("disk.dd")).unwrap();
    noise(&mut file, if half_empty { bytes / 2 } else { bytes });
    file.set_len(bytes).unwrap();
    let what = if half_empty { "half empty" } else { "incompressible" };
    let daleel = format!("{DALEEL} image disk.dd --out e --hash md5,sha256 --no-read-back");
    let commands = [
        ("daleel, adaptive", daleel),
        ("ewfacquire -c fast", "ewfacquire -q -u -c fast -d sha256 -t other disk.dd".to_owned()),
        ("ewfacquire -c none", "ewfacquire -q -u -c none -d sha256 -t other disk.dd".to_owned()),
    ];
    let runs = compare(folder, &commands, &|| clean(folder));
    println!("E01, {what}, {bytes} bytes, MD5 and SHA-256 (ours with the block list besides):");
    table(bytes, &commands, &runs);
    println!(
        "  per CPU second {:.2} times fast; wall {:.2} times fast, {:.2} times none",
        runs[1].processor() / runs[0].processor(),
        runs[1].wall / runs[0].wall,
        runs[2].wall / runs[0].wall
    );
    clean(folder);
    run(folder, &commands[0].1);
    let own = size_of(&folder.join("e"), "image.E");
    run(folder, &commands[1].1);
    let other = size_of(folder, "other.E");
    println!(
        "  size {own} against {other} of fast: {:+.3} %",
        (own as f64 / other as f64 - 1.0) * 100.0
    );
    clean(folder);
}

fn raw(folder: &Path, bytes: u64) {
    let mut file = fs::File::create(folder.join("disk.dd")).unwrap();
    noise(&mut file, bytes);
    let commands = [
        (
            "daleel, raw",
            format!("{DALEEL} image disk.dd --out e --format raw --hash md5,sha256 --no-read-back"),
        ),
        ("dc3dd", "dc3dd if=disk.dd of=other.raw hash=md5 hash=sha256".to_owned()),
    ];
    let runs = compare(folder, &commands, &|| clean(folder));
    println!(
        "raw, incompressible, {bytes} bytes, MD5 and SHA-256 (ours with the block list besides):"
    );
    table(bytes, &commands, &runs);
    println!(
        "  per CPU second {:.2} times dc3dd; wall {:.2} times",
        runs[1].processor() / runs[0].processor(),
        runs[1].wall / runs[0].wall
    );
    clean(folder);
}

/// A source that gives 250 MB/s and no more.
struct Slow {
    mount: PathBuf,
    fuse: Child,
}

impl Slow {
    fn new(folder: &Path, image: &Path) -> Self {
        let mount = folder.join("mount");
        fs::create_dir_all(&mount).unwrap();
        let node = mount.join("nbd");
        fs::write(&node, []).unwrap();
        let fuse = Command::new("nbdfuse")
            .arg(&node)
            // Bits a second.
            .args([
                "[",
                "nbdkit",
                "--filter=rate",
                "file",
                image.to_str().unwrap(),
                "rate=2000000000",
                "]",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let size = fs::metadata(image).unwrap().len();
        while !fs::metadata(&node).is_ok_and(|node| node.len() == size) {
            thread::sleep(Duration::from_millis(50));
        }
        Self { mount: node, fuse }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
        let _ = self.fuse.kill();
        let _ = self.fuse.wait();
    }
}

fn limited(folder: &Path, bytes: u64) {
    let image = folder.join("disk.dd");
    let mut file = fs::File::create(&image).unwrap();
    noise(&mut file, bytes);
    file.flush().unwrap();
    let slow = Slow::new(folder, &image);
    let node = slow.mount.display();
    let commands = [
        ("dd, direct", format!("dd if={node} of=/dev/null bs=4M iflag=direct")),
        ("daleel, E01", format!("{DALEEL} image {node} --out e --hash md5,sha256 --no-read-back")),
    ];
    let runs = compare(folder, &commands, &|| clean(folder));
    println!("a source of 250 MB/s, {bytes} bytes:");
    table(bytes, &commands, &runs);
    println!(
        "  {:+.2} % of dd's time, {:.2} cores",
        (runs[1].wall / runs[0].wall - 1.0) * 100.0,
        runs[1].processor() / runs[1].wall
    );
    drop(slow);
    clean(folder);
}

fn main() {
    let mib: u64 =
        env::var("DALEEL_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(2048);
    let bytes = mib << 20;
    let own = tempfile::tempdir().unwrap();
    let folder = env::var_os("DALEEL_BENCH_DIR").map_or(own.path().to_owned(), PathBuf::from);
    let folder = folder.canonicalize().unwrap();
    for part in env::args().skip(1).filter(|part| !part.starts_with('-')).collect::<Vec<_>>() {
        println!("only {part} was asked for");
    }
    let wanted = |name: &str| {
        let mut parts = env::args().skip(1).filter(|part| !part.starts_with('-')).peekable();
        parts.peek().is_none() || parts.any(|part| part == name)
    };
    if wanted("incompressible") {
        e01(&folder, bytes, false);
    }
    if wanted("half") {
        e01(&folder, bytes, true);
    }
    if wanted("raw") {
        raw(&folder, bytes);
    }
    if wanted("limited") {
        limited(&folder, bytes * 2);
    }
    let _ = fs::remove_file(folder.join("disk.dd"));
}
