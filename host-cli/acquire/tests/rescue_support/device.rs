//! A failing disk as a real block device: nbdkit's ddrescue filter behind FUSE and a loop device that reads past the page cache.
//!
//! Facts: nbdkit-ddrescue-filter(1) (reads that touch a block other than `+` fail), nbdfuse(1), losetup(8). Without direct I/O and
//! sectors of 512 bytes the page cache would answer and one bad sector would fail a page.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::Bad;

/// A block device that fails where it is told to. Nothing of it is left when it goes out of scope.
pub struct Device {
    pub path: PathBuf,
    mount: PathBuf,
    server: Child,
    _folder: tempfile::TempDir,
}

impl Device {
    /// `Err` says what is missing on this system.
    pub fn new(len: u64, bad: &Bad) -> Result<Self, String> {
        for program in ["nbdkit", "nbdfuse", "losetup", "umount"] {
            needs(program)?;
        }
        let folder = tempfile::tempdir().unwrap();
        let (disk, map) = (folder.path().join("disk"), folder.path().join("bad.map"));
        File::create(&disk).unwrap().set_len(len).unwrap();
        fs::write(&map, map_text(len, bad)).unwrap();
        let mount = folder.path().join("mount");
        fs::create_dir(&mount).unwrap();
        let node = mount.join("nbd");
        let server = Command::new("nbdfuse")
            .arg(&node)
            .args(["--command", "nbdkit", "-s", "--exit-with-parent", "--filter=ddrescue", "file"])
            .arg(&disk)
            .arg(format!("ddrescue-mapfile={}", map.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("nbdfuse does not start: {error}"))?;
        let mut device = Self { path: PathBuf::new(), mount, server, _folder: folder };
        for _ in 0..100 {
            if node.exists() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let looped = Command::new("losetup")
            .args(["-r", "--direct-io=on", "--sector-size", "512", "-f", "--show"])
            .arg(&node)
            .output()
            .map_err(|error| format!("losetup does not start: {error}"))?;
        let path = String::from_utf8_lossy(&looped.stdout).trim().to_owned();
        if !looped.status.success() || path.is_empty() {
            let why = String::from_utf8_lossy(&looped.stderr).trim().to_owned();
            return Err(format!("no loop device can be made here: {why}"));
        }
        device.path = PathBuf::from(path);
        Ok(device)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
        }
        let _ = Command::new("umount").arg(&self.mount).stderr(Stdio::null()).status();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `Err` with the program's name when it is not installed.
pub fn needs(program: &str) -> Result<(), String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |folder: PathBuf| folder.join(program).is_file();
    let found = std::env::split_paths(&folders).any(is_there)
        || ["/usr/sbin", "/sbin"].iter().any(|folder| is_there(PathBuf::from(folder)));
    if found { Ok(()) } else { Err(format!("{program} is not installed")) }
}

fn map_text(len: u64, bad: &Bad) -> String {
    let mut text = "0x0 + 1\n".to_owned();
    let mut at = 0;
    let mut line = |from: u64, to: u64, state: char| {
        if from < to {
            text.push_str(&format!("0x{from:X} 0x{:X} {state}\n", to - from));
        }
    };
    for run in bad.runs() {
        line(at, run.offset(), '+');
        line(run.offset(), run.end(), '-');
        at = run.end();
    }
    line(at, len, '+');
    text
}

/// The reads of the device in a trace of `openat`, `lseek`, `read` and `pread64`.
pub fn reads_of(trace: &str, device: &Path) -> Vec<super::Traced> {
    let (mut descriptor, mut position) = (None, 0u64);
    let mut reads = Vec::new();
    for line in trace.lines() {
        // `read(3, ""..., 65536)     = -1 EIO (Input/output error) <0.000123>`
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        let Some((call, arguments)) = call.trim_end().trim_end_matches(')').split_once('(') else {
            continue;
        };
        let result = result.split(' ').next().unwrap_or_default();
        let arguments: Vec<&str> = arguments.split(", ").collect();
        if call == "openat"
            && arguments.get(1) == Some(&format!("\"{}\"", device.display()).as_str())
        {
            descriptor = Some(result.to_owned());
            position = 0;
        }
        if descriptor.as_deref() != arguments.first().copied() {
            continue;
        }
        let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
        let (at, length) = match call {
            "lseek" => {
                position = result.parse().unwrap_or(position);
                continue;
            }
            "read" => (position, number(2)),
            "pread64" => (number(3).unwrap(), number(2)),
            _ => continue,
        };
        match result.parse::<u64>() {
            Ok(0) => {}
            Ok(came) => {
                reads.push((daleel_core::Extent::new(at, came), true));
                position = if call == "read" { position + came } else { position };
            }
            Err(_) => reads.push((daleel_core::Extent::new(at, length.unwrap()), false)),
        }
    }
    reads
}
