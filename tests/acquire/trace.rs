//! A whole run under `strace`: no system call writes to the source.

use std::{collections::HashMap, fs, path::Path, process::Command};

use super::parts::{DALEEL, Disk, need, which, write_disk};

/// Requests to a device that change nothing on it. BLKROSET sets the read-only flag of its node in this computer.
const HARMLESS_IOCTLS: [&str; 8] = [
    "BLKROGET",
    "BLKROSET, [1]",
    "BLKGETSIZE64",
    "BLKSSZGET",
    "BLKPBSZGET",
    "SG_IO",
    "FICLONE",
    "TCGETS",
];

/// Operation codes that a traced SG_IO may carry: TEST UNIT READY, REQUEST SENSE, INQUIRY, MODE SENSE(6), READ CAPACITY(10), LOG SENSE,
/// ATA PASS-THROUGH(16) and (12) for IDENTIFY and the like, READ CAPACITY(16). The policy's own tests show that no other can be made.
const HARMLESS_CDBS: [u8; 9] = [0x00, 0x03, 0x12, 0x1a, 0x25, 0x4d, 0x85, 0xa1, 0x9e];

fn traced(folder: &Path, device: &str) -> String {
    let status = Command::new(which("strace").unwrap())
        .args(["-f", "-y", "-v", "-s", "64", "-o", "trace.txt", "-e", "trace=all", DALEEL])
        .args(["image", device, "--out", "e", "--threads", "2"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let trace = fs::read_to_string(folder.join("trace.txt")).unwrap();
    fs::remove_dir_all(folder.join("e")).unwrap();
    whole_calls(&trace)
}

/// A call that another thread's comes between stands in two lines; they are put together.
fn whole_calls(trace: &str) -> String {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut whole = String::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let start = begun.remove(thread).unwrap_or_default();
            whole.push_str(&format!("{thread} {start}{end}\n"));
        } else {
            whole.push_str(&format!("{line}\n"));
        }
    }
    for (thread, start) in begun {
        whole.push_str(&format!("{thread} {start}\n"));
    }
    whole
}

/// Lines that have to do with the source: its name, or a descriptor of it.
fn about<'t>(trace: &'t str, source: &str) -> Vec<&'t str> {
    let (quoted, descriptor) = (format!("\"{source}\""), format!("<{source}"));
    trace.lines().filter(|line| line.contains(&quoted) || line.contains(&descriptor)).collect()
}

fn call(line: &str) -> &str {
    let from = line.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
    let name = &line[from..];
    name.split(['(', ' ']).next().unwrap_or_default()
}

fn check(line: &str) {
    let name = call(line);
    let reading = [
        "read",
        "pread64",
        "preadv",
        "lseek",
        "fstat",
        "newfstatat",
        "statx",
        "stat",
        "lstat",
        "readlink",
        "readlinkat",
        "close",
        "fadvise64",
        "statfs",
        "fstatfs",
        "access",
        "faccessat2",
        "dup",
        "fcntl",
        "execve",
        "mmap",
        "getdents64",
    ];
    match name {
        "open" | "openat" => {
            assert!(line.contains("O_RDONLY"), "opened for more than reading: {line}");
            assert!(
                !line.contains("O_RDWR") && !line.contains("O_WRONLY") && !line.contains("O_TRUNC"),
                "{line}"
            );
        }
        "ioctl" => {
            assert!(HARMLESS_IOCTLS.iter().any(|request| line.contains(request)), "{line}");
            if line.contains("SG_IO") {
                let cdb = line.split("cmdp=\"").nth(1).unwrap_or_default();
                let code = cdb
                    .strip_prefix("\\x")
                    .and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
                assert!(code.is_some_and(|code| HARMLESS_CDBS.contains(&code)), "{line}");
                assert!(
                    line.contains("SG_DXFER_FROM_DEV") || line.contains("SG_DXFER_NONE"),
                    "{line}"
                );
            }
        }
        other => assert!(reading.contains(&other), "{other}: {line}"),
    }
}

/// a file as source.
#[test]
fn a_run_on_a_file_only_reads_it() {
    let Some(()) = need(&["strace"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("disk.dd");
    write_disk(&path, 70_000_000, 31);
    let before = fs::read(&path).unwrap();
    let trace = traced(folder.path(), path.to_str().unwrap());
    let lines = about(&trace, path.to_str().unwrap());
    assert!(lines.iter().filter(|line| call(line) == "pread64").count() >= 16, "{lines:#?}");
    lines.into_iter().for_each(check);
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// a block device as source, with everything that is asked of the device itself.
#[test]
fn a_run_on_a_device_only_reads_it() {
    let Some(()) = Disk::possible() else { return };
    let Some(()) = need(&["strace"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    write_disk(&image, 70_000_000 / 512 * 512, 32);
    let disk = Disk::writable(&image);
    let before = fs::read(&image).unwrap();
    let trace = traced(folder.path(), &disk.device);
    let lines = about(&trace, &disk.device);
    assert!(lines.iter().any(|line| line.contains("O_EXCL")), "claimed: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("BLKROSET")), "set read-only: {lines:#?}");
    assert!(lines.iter().filter(|line| call(line) == "pread64").count() >= 16);
    lines.into_iter().for_each(check);
    assert!(fs::read(&image).unwrap() == before);
}
