//! The real driver of the ChipIdea host core, in QEMU's `mcimx6ul-evk`, in front of QEMU's own USB disk.
//!
//! Builds `ehci_check` of `firmware/boards/imx6ul-qemu` and runs its scenarios. Without `qemu-system-arm` or a toolchain with the
//! board's target (`firmware/toolchain.sh` prepares one) the test says that it was skipped, or fails if `DALEEL_REQUIRE_ORACLES`
//! is set.

#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

const TARGET: &str = "armv7a-none-eabi";
const QEMU: &str = "qemu-system-arm";
/// Longest run of one scenario, on a machine that does much else.
const SECONDS: u64 = 240;
const BLOCK: usize = 512;
const BLOCKS: usize = 4096;

fn skip(why: &str) {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    println!("SKIPPED: {why}");
}

/// A cargo that can build for the board, with the arguments that choose its toolchain. Nothing is installed for it.
fn toolchain() -> Option<(PathBuf, Vec<String>)> {
    let named = std::env::var("FW_TOOLCHAIN").ok().filter(|name| !name.is_empty());
    let candidates = [
        ("rustc", "cargo", named.map(|name| format!("+{name}"))),
        ("rustc", "cargo", None),
        ("rustc", "cargo", Some("+debian".into())),
        ("/usr/bin/rustc", "/usr/bin/cargo", None),
    ];
    candidates.into_iter().find_map(|(rustc, cargo, name)| {
        let output = Command::new(rustc)
            .args(&name)
            .args(["--print", "target-libdir", "--target", TARGET])
            .env("RUSTUP_AUTO_INSTALL", "0")
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        let has_core = fs::read_dir(folder.trim())
            .ok()?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
        has_core.then(|| (PathBuf::from(cargo), name.into_iter().collect()))
    })
}

fn is_there(program: &str) -> bool {
    let status =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The program, built once; `None` if something is missing.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if !is_there(QEMU) {
        skip("no qemu-system-arm");
        return None;
    }
    let Some((cargo, name)) = toolchain() else {
        skip("no toolchain for armv7a-none-eabi: firmware/toolchain.sh makes one");
        return None;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boards");
    let status = Command::new(cargo)
        .args(name)
        .args(["build", "--release", "--target", TARGET, "--package", "imx6ul-qemu"])
        .args(["--bin", "ehci_check", "--target-dir"])
        .arg(&folder)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        // What cargo set for this test is not meant for the board.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env("CARGO_INCREMENTAL", "0")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "ehci_check does not build");
    Some(folder.join(TARGET).join("release/ehci_check"))
}

/// QEMU with the program, ended when dropped.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    fn start(program: &Path, scenario: &str, more: &[&str]) -> Self {
        let child = Command::new(QEMU)
            .args(["-M", "mcimx6ul-evk", "-m", "128M", "-display", "none", "-serial", "none"])
            // Without a character device of its own the text would wait in a buffer.
            .args(["-chardev", "stdio,id=text,signal=off", "-semihosting-config"])
            .arg(format!("enable=on,target=native,chardev=text,arg={scenario}"))
            .arg("-kernel")
            .arg(program)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits for the end; the exit code.
    fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(SECONDS) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

/// Runs a scenario to its end: the lines it printed.
fn run(program: &Path, scenario: &str, more: &[&str]) -> Vec<String> {
    let mut machine = Machine::start(program, scenario, &[&["-monitor", "none"], more].concat());
    let mut output = machine.0.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    });
    let code = machine.wait();
    drop(machine);
    let text = reader.join().unwrap();
    println!("{text}");
    assert_eq!(code, Some(0), "scenario {scenario}");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.last(), Some(&format!("END {scenario}")));
    lines
}

/// What follows a word at the beginning of a line.
fn after<'a>(lines: &'a [String], word: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
}

/// Blocks that differ from each other.
fn image(folder: &Path, name: &str, seed: u64) -> (PathBuf, Vec<u8>) {
    let mut state = seed;
    let bytes: Vec<u8> = (0..BLOCKS * BLOCK)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    let path = folder.join(name);
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

/// The line that the program prints for these bytes.
fn digest_line(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {}", bytes.len() / BLOCK, hex.concat())
}

fn raw(path: &Path, options: &str) -> String {
    format!("if=none,id=d,format=raw,file={}{options}", path.display())
}

const DISK: [&str; 2] = ["-device", "usb-storage,drive=d,bus=usb-bus.0"];

/// HWB-RM-02: every block arrives unchanged, in pieces of many lengths and through both slots; a request that is stalled and a
/// chain that is cut by a short packet do no harm. HWB-RM-01: the image is what it was.
#[test]
fn reads_everything_and_changes_nothing() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = image(folder.path(), "disk", 1);
    let drive = raw(&path, "");
    let lines = run(program, "read", &[&["-drive", &drive], &DISK[..]].concat());
    assert_eq!(after(&lines, "DIGEST"), [digest_line(&bytes)]);
    assert_eq!(after(&lines, "CAPACITY"), [format!("{BLOCKS} {BLOCK}")]);
    assert_eq!(after(&lines, "STALL"), ["request"]);
    assert!(after(&lines, "INQUIRY")[0].starts_with("36 status=0 "));
    let micros: u64 = after(&lines, "RESET")[0].parse().unwrap();
    assert!(micros >= 60_000, "50 ms of reset and 10 ms of recovery: {micros}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// D-02, HWB-RM-04: exactly the block that cannot be read is missing, with the disk's own sense.
#[test]
fn a_medium_error_is_that_of_one_block() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, mut bytes) = image(folder.path(), "disk", 2);
    let bad = 1234;
    let node = format!(
        "{{\"driver\":\"blkdebug\",\"node-name\":\"d\",\"image\":{{\"driver\":\"file\",\"filename\":\"{}\"}},\
         \"inject-error\":[{{\"event\":\"none\",\"sector\":{bad},\"errno\":5,\"once\":false}}]}}",
        path.display()
    );
    let lines = run(program, "errors", &[&["-blockdev", &node], &DISK[..]].concat());
    assert_eq!(after(&lines, "UNREADABLE"), [bad.to_string()]);
    let errors = after(&lines, "ERROR");
    assert_eq!(errors.len(), 2, "the piece and the block");
    // QEMU's words for an input/output error: ABORTED COMMAND, I/O process terminated.
    assert!(errors.iter().all(|line| line.contains("sense=[70, 00, 0b,")));
    bytes[bad * BLOCK..(bad + 1) * BLOCK].fill(0);
    assert_eq!(after(&lines, "DIGEST"), [digest_line(&bytes)]);
}

/// Nothing attached: the port stays empty and no transfer is begun.
#[test]
fn an_empty_port() {
    let Some(program) = program() else { return };
    run(program, "empty", &[]);
}

/// A read is cancelled by the doorbell, another runs into the time-out; after reset recovery the data are right.
#[test]
fn cancel_and_time_out() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = image(folder.path(), "disk", 3);
    let drive = raw(&path, ",throttling.bps-read=65536,throttling.bps-read-max=65536");
    let lines = run(program, "slow", &[&["-drive", &drive], &DISK[..]].concat());
    assert!(after(&lines, "FAULT").contains(&"TimedOut"));
    assert_eq!(after(&lines, "CANCELLED"), ["0"]);
    assert_eq!(after(&lines, "DIGEST"), [digest_line(&bytes[..64 * BLOCK])]);
}

/// D-07: the disk is taken away in the middle of reading, another one comes, and that one is read.
#[test]
fn unplugged_and_plugged_in_again() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = image(folder.path(), "first", 4);
    let (second, bytes) = image(folder.path(), "second", 5);
    let socket = folder.path().join("monitor");
    let node = |name: &str, path: &Path| {
        format!("driver=raw,node-name={name},file.driver=file,file.filename={}", path.display())
    };
    let mut machine = Machine::start(
        program,
        "replug",
        &[
            "-monitor",
            &format!("unix:{},server=on,wait=off", socket.display()),
            "-blockdev",
            &node("first", &first),
            "-blockdev",
            &node("second", &second),
            "-device",
            "usb-storage,id=stick,drive=first,bus=usb-bus.0",
        ],
    );
    let output = BufReader::new(machine.0.stdout.take().unwrap());
    let mut monitor = UnixStream::connect(&socket).unwrap_or_else(|_| {
        thread::sleep(Duration::from_secs(2));
        UnixStream::connect(&socket).unwrap()
    });
    let mut lines = Vec::new();
    for line in output.lines() {
        let line = line.unwrap();
        println!("{line}");
        if line.starts_with("PULL") {
            monitor.write_all(b"device_del stick\n").unwrap();
        } else if line.starts_with("GONE") {
            let again = b"device_add usb-storage,id=other,drive=second,bus=usb-bus.0\n";
            monitor.write_all(again).unwrap();
        }
        lines.push(line);
    }
    assert_eq!(machine.wait(), Some(0));
    assert_eq!(after(&lines, "GONE"), ["Pipe(Gone) Empty"]);
    assert_eq!(after(&lines, "DIGEST"), [digest_line(&bytes)]);
}
