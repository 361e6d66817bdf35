//! `devices` and `doctor` on this computer, with a loop device as the evidence (U-14, A-1, A-8).

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::run::{DALEEL, Evidence, Ran, run};

/// Says that a test did not run, or fails where everything has to be there.
fn skipped(why: &str) {
    assert!(env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    eprintln!("SKIPPED: {why}");
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A file shown as a disk, taken down whatever happens.
struct Loop(PathBuf);

impl Loop {
    fn of(file: &Path) -> Option<Self> {
        let base = ["--find", "--show", "--direct-io=on", "--sector-size", "512"];
        let arguments: Vec<_> = base.into_iter().chain([file.to_str().unwrap()]).collect();
        Some(Self(output("losetup", &arguments)?.into()))
    }

    fn node(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = output("blockdev", &["--setrw", self.node()]);
        let _ = output("losetup", &["--detach", self.node()]);
    }
}

/// A recorder's disk on a loop device.
fn recorder() -> Option<(Evidence, Loop)> {
    let evidence = Evidence::new("dahua-intact");
    let device = Loop::of(&evidence.path().join(evidence.image()))?;
    Some((evidence, device))
}

/// what is attached, which recorder wrote it, and that something could write to it; read-only, there is nothing to warn of.
#[test]
fn a_recorder_disk_is_named_and_warned_of() {
    let Some((evidence, device)) = recorder() else { return skipped("no loop devices") };
    let ran = evidence.run(&["devices", device.node()]).is(1);
    let name = device.0.file_name().unwrap().to_str().unwrap();
    for text in [
        "RECORDER",
        "possible",
        "recorder: ",
        "(family dahua-disk, score ",
        &format!("warning: the system lets programs write to {name}"),
        "HPA, DCO, AMAX, security, SMART: not asked: a loop device is a file",
    ] {
        let found = ran.stdout.contains(text);
        assert!(found, "{text:?} is not in:\n{}", ran.stdout);
    }
    output("blockdev", &["--setro", device.node()]).unwrap();
    let by_name = evidence.run(&["devices", name]).is(0);
    assert!(by_name.stdout.contains("refused") && !by_name.stdout.contains("warning:"));
}

/// A device that is not there: what is attached is named.
#[test]
#[cfg(target_os = "linux")]
fn a_device_that_is_not_there() {
    let ran = run(Path::new("."), &["devices", "/dev/no-such-disk"]).is(4);
    assert!(ran.stderr.contains("/dev/no-such-disk is not among the disks"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

/// looking at a disk opens it for reading only, sets nothing and sends a loop device no command.
#[test]
fn looking_changes_nothing() {
    let Some((evidence, device)) = recorder() else { return skipped("no loop devices") };
    let trace = evidence.path().join("trace");
    let wanted = "trace=open,openat,openat2,ioctl,write,pwrite64,pwritev,pwritev2";
    let traced = Command::new("strace")
        .args(["-f", "-y", "-e", wanted, "-o", trace.to_str().unwrap(), DALEEL, "devices"])
        .arg(device.node())
        .output();
    if traced.is_err() {
        return skipped("no strace");
    }
    let text = std::fs::read_to_string(&trace).unwrap();
    let of_device: Vec<_> = text.lines().filter(|line| line.contains(device.node())).collect();
    assert!(of_device.iter().any(|line| line.contains("O_RDONLY")), "it was not opened");
    for line in of_device {
        for word in ["O_RDWR", "O_WRONLY", "BLKROSET", "SG_IO", "pwrite"] {
            assert!(!line.contains(word), "{line}");
        }
        assert!(!line.contains("write(") || line.contains("write(1<"), "{line}");
    }
}

/// Without the rights of root: what could not be asked or read is said, and it is no error.
#[test]
fn without_rights_it_says_what_it_cannot_know() {
    let Some((_evidence, device)) = recorder() else { return skipped("no loop devices") };
    let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let command =
        Command::new("setpriv").args(user).arg(DALEEL).arg("devices").arg(device.node()).output();
    let Ok(done) = command else { return skipped("no setpriv") };
    if done.status.code() == Some(127) || done.stdout.is_empty() {
        return skipped("the program cannot be run by another user here");
    }
    let ran = Ran::new("devices".to_owned(), done).is(1);
    assert!(ran.stdout.contains("recorder: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("Permission denied"), "{}", ran.stdout);
    let doctor = Command::new("setpriv").args(user).arg(DALEEL).arg("doctor").output().unwrap();
    let doctor = Ran::new("doctor".to_owned(), doctor).is(1);
    assert!(doctor.stdout.contains("not root"), "{}", doctor.stdout);
}

/// U-14: every check has a verdict, and every one that is not `ok` a hint.
#[test]
fn the_self_check_says_what_helps() {
    let ran = run(Path::new("."), &["doctor", "--out", "."]);
    let ran = ran.ends_with_any_of(&[0, 1]);
    let hints = ran.stdout.matches("hint: ").count();
    let is_check =
        |line: &&str| ["ok ", "warning ", "problem "].iter().any(|v| line.starts_with(v));
    let checks: Vec<_> = ran.stdout.lines().filter(is_check).collect();
    let bad = checks.iter().filter(|line| !line.starts_with("ok ")).count();
    assert_eq!(hints, bad, "{}", ran.stdout);
    assert_eq!(ran.code, Some(i32::from(bad > 0)));
    for name in ["privileges", "automount", "sleep", "free space", "file system", "clock", "memory"]
    {
        assert!(checks.iter().any(|line| line.contains(name)), "no check of {name}");
    }
}
