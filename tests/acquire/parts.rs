//! What the tests are made of: the program, images, judges, and disks that fail.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The program.
pub const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");

/// Runs a program that must be there, or says that the test is skipped. `None` is skipped.
pub fn need(programs: &[&str]) -> Option<()> {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|name| which(name).is_none()).collect();
    if missing.is_empty() {
        return Some(());
    }
    skip(&format!("not here: {}", missing.join(", ")))
}

/// Says that a test is skipped, and fails where that is not wanted.
pub fn skip(why: &str) -> Option<()> {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "SKIPPED is not allowed: {why}");
    println!("SKIPPED: {why}");
    None
}

/// Where a program is.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Whether this process may make loop devices.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

/// Root, or skipped.
pub fn need_root() -> Option<()> {
    if is_root() { Some(()) } else { skip("needs root") }
}

/// Runs the program in a folder.
pub fn daleel(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(DALEEL).args(arguments).current_dir(folder).output().unwrap()
}

/// Runs the program and asserts its exit code.
pub fn daleel_ends(folder: &Path, arguments: &[&str], code: i32) -> Output {
    let output = daleel(folder, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Standard output as one JSON document.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `image.json` of a folder.
pub fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("image.json")).unwrap()).unwrap()
}

/// Runs another program in a folder and gives its standard output; it has to succeed.
pub fn judge(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(which(program).unwrap()).args(arguments).current_dir(folder).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Bytes that no compressor makes smaller, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A disk image in which footage, text and nothing alternate, 8 MiB each, the last part cut to `length`.
pub fn write_disk(path: &Path, length: u64, seed: u64) {
    const PART: usize = 8 << 20;
    let mut file = fs::File::create(path).unwrap();
    let mut left = length;
    let mut number = 0_u64;
    while left > 0 {
        let size = usize::try_from(left).unwrap().min(PART);
        let bytes = match number % 4 {
            0 | 1 => noise(seed + number, size),
            2 => format!("line {number} of some text that repeats\n")
                .into_bytes()
                .into_iter()
                .cycle()
                .take(size)
                .collect(),
            _ => vec![0; size],
        };
        file.write_all(&bytes).unwrap();
        left -= bytes.len() as u64;
        number += 1;
    }
}

/// All files below a folder, with their bytes, except those whose names are given.
pub fn contents(folder: &Path, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut queue = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = queue.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                queue.push(path);
            } else if !except.contains(&name.as_str()) {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Copies a folder with everything below it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < until, "{what} did not come to be");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A block device that does what an nbdkit filter says: `nbdkit` behind `nbdfuse` behind a loop device.
pub struct Disk {
    folder: tempfile::TempDir,
    fuse: Child,
    /// The loop device, `/dev/loop3`.
    pub device: String,
}

impl Disk {
    /// What has to be here.
    pub fn possible() -> Option<()> {
        need(&["nbdkit", "nbdfuse", "losetup", "umount", "blockdev"])?;
        need_root()?;
        if Path::new("/dev/fuse").exists() { Some(()) } else { skip("there is no /dev/fuse") }
    }

    /// Makes one of an image file; `filter` are nbdkit's arguments before the plugin, `more` those after it.
    pub fn of(image: &Path, filter: &[String], more: &[String]) -> Self {
        Self::with(image, filter, more, &["-r"])
    }

    /// One that the kernel would let programs write to.
    pub fn writable(image: &Path) -> Self {
        Self::with(image, &[], &[], &[])
    }

    fn with(image: &Path, filter: &[String], more: &[String], loop_options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("nbd");
        fs::write(&node, []).unwrap();
        let mut arguments: Vec<String> =
            vec![node.display().to_string(), "[".into(), "nbdkit".into()];
        arguments.extend(filter.iter().cloned());
        arguments.extend(["file".to_owned(), image.display().to_string()]);
        arguments.extend(more.iter().cloned());
        arguments.push("]".into());
        let fuse = Command::new(which("nbdfuse").unwrap())
            .args(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let size = fs::metadata(image).unwrap().len();
        wait_until("the fuse file", || fs::metadata(&node).is_ok_and(|node| node.len() == size));
        let output = Command::new(which("losetup").unwrap())
            .args(loop_options)
            .args(["--direct-io=on", "--sector-size", "512", "--show", "-f"])
            .arg(&node)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { folder, fuse, device }
    }

    /// Takes the disk away: from now on every read fails.
    pub fn vanish(&mut self) {
        let _ = Command::new("pkill").args(["-P", &self.fuse.id().to_string()]).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The read-only flag of the node outlives the loop device.
        let _ = Command::new(which("blockdev").unwrap()).args(["--setrw", &self.device]).status();
        let _ = Command::new(which("losetup").unwrap()).args(["-d", &self.device]).status();
        let node = self.folder.path().join("nbd");
        for _ in 0..50 {
            let done =
                Command::new(which("umount").unwrap()).arg(&node).stderr(Stdio::null()).status();
            if done.is_ok_and(|status| status.success())
                || fs::metadata(&node).is_ok_and(|m| m.len() == 0)
            {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.fuse.kill();
        let _ = self.fuse.wait();
    }
}

/// A map for nbdkit's `ddrescue` filter in which these sectors are bad.
pub fn bad_sectors(folder: &Path, length: u64, bad: &[(u64, u64)]) -> PathBuf {
    let path = folder.join("bad.map");
    let mut text = String::from("# bad sectors\n0x00000000     +               1\n");
    let mut at = 0;
    for (first, count) in bad {
        let (from, to) = (first * 512, (first + count) * 512);
        text.push_str(&format!("0x{at:08X}  0x{:08X}  +\n", from - at));
        text.push_str(&format!("0x{from:08X}  0x{:08X}  -\n", to - from));
        at = to;
    }
    text.push_str(&format!("0x{at:08X}  0x{:08X}  +\n", length - at));
    fs::write(&path, text).unwrap();
    path
}
