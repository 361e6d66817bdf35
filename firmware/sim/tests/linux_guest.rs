//! The model drive behind the usbredir peer, used by a real Linux kernel.
//!
//! The guest is made by `firmware/guest/prepare.sh` (default place `target/guest`; another one in
//! `DALEEL_GUEST`). Its own `read` script does the work. Without QEMU or the guest the test says that
//! it was skipped, or fails if `DALEEL_REQUIRE_ORACLES` is set.

#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use wb_sim::drive::{BadBlocks, BadKind, DriveConfig, Faults, ModelDrive};
use wb_sim::usb::{ModelUsbDrive, ShortEnd, Speed, UsbDevice, UsbOptions};
use wb_sim::usbredir::{Options, Server, Trace};

const GUEST_SECONDS: &str = "300";

fn skip(why: &str) -> bool {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    println!("SKIPPED: {why}");
    true
}

/// Folder of the prepared guest.
fn guest() -> PathBuf {
    std::env::var_os("DALEEL_GUEST").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest"),
        PathBuf::from,
    )
}

fn not_available() -> bool {
    let qemu = Command::new("qemu-system-x86_64")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !qemu.is_ok_and(|status| status.success()) {
        return skip("no qemu-system-x86_64");
    }
    if !guest().join("vmlinuz").exists() || !guest().join("initramfs.gz").exists() {
        return skip("no Linux guest: firmware/guest/prepare.sh makes it");
    }
    false
}

/// Runs the guest on the device; its console and what the peer carried.
fn run(device: &Arc<Mutex<ModelUsbDrive>>, words: &str) -> (String, Trace) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("usb");
    let server = Server::start(Arc::clone(device), &socket, Options::default()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/run.sh");
    let output = Command::new(script)
        .arg(guest())
        .arg(words)
        .args(["-chardev", &format!("socket,id=ur,path={}", socket.display())])
        .args(["-device", "usb-redir,chardev=ur"])
        .env("GUEST_SECONDS", GUEST_SECONDS)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{console}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the guest did not end by itself");
    (console, server.stop().unwrap())
}

/// A field of the line that starts with `line`.
fn field<'a>(console: &'a str, line: &str, name: &str) -> &'a str {
    let line = console.lines().find(|text| text.starts_with(line)).unwrap_or_else(|| {
        panic!("no line {line}");
    });
    line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"))
}

fn sha256(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must hold after any guest that only read: counters agree, and the device still answers the test.
fn check_session(device: &Arc<Mutex<ModelUsbDrive>>, trace: &Trace, state: [u8; 32]) {
    let mut device = device.lock().unwrap();
    let drive = device.drive(0).unwrap();
    assert_eq!(drive.state_digest(), state, "{:?}", drive.violations().next());
    assert_eq!(trace.counters.cbws, device.commands(), "commands carried and executed");
    assert_eq!(trace.cbws().count(), usize::try_from(device.commands()).unwrap());
    assert_eq!(trace.counters.csws, trace.counters.cbws, "every command has its status");
    let carried = trace.by_opcode();
    assert!(carried.contains_key(&0x12) && carried.contains_key(&0x28), "{carried:?}");
    device.control([0x80, 0x06, 0, 1, 0, 0, 18, 0], &[]).unwrap();
}

/// HWB-RM-02, HWB-RM-04, D-02: Linux reads the model over both speeds bit for bit and finds exactly the
/// block that cannot be read; reading changes nothing.
#[test]
fn linux_reads_the_model_drive() {
    if not_available() {
        return;
    }
    for (speed, short_end) in [(Speed::High, ShortEnd::Stall), (Speed::Full, ShortEnd::Packet)] {
        let bad = vec![BadBlocks { blocks: 40_000..40_001, kind: BadKind::Medium }];
        let faults = Faults { bad, ..Faults::default() };
        let drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
        let state = drive.state_digest();
        let expected = sha256(&drive.peek(0, 4 * 2048));
        let options = UsbOptions { speed, short_end, ..UsbOptions::default() };
        let device = Arc::new(Mutex::new(ModelUsbDrive::new(drive, options)));
        let (console, trace) =
            run(&device, "daleel.run=read daleel.read_mib=4 daleel.sweep=40000 daleel.span=3");
        assert_eq!(field(&console, "DISK ", "sectors="), "65536");
        assert_eq!(field(&console, "READ name=dd_direct", "sha256="), expected);
        assert_eq!(field(&console, "READ name=dd_buffered", "sha256="), expected);
        assert_eq!(field(&console, "SWEPT by=sg", "failed="), "40000");
        check_session(&device, &trace, state);
    }
}

/// HWB-AM-01, HWB-04: a real kernel that writes is seen: in the content, the digest, the drive's log and
/// the record of the bus.
#[test]
fn linux_writes_are_seen() {
    if not_available() {
        return;
    }
    let drive = ModelDrive::new(DriveConfig::default());
    let state = drive.state_digest();
    let device = Arc::new(Mutex::new(ModelUsbDrive::new(drive, UsbOptions::default())));
    let (console, trace) =
        run(&device, "daleel.run=identity,attack daleel.phases=tools daleel.attack_limit=60");
    // hdparm checks both sums, so it agrees that these are an ATA drive's answers.
    assert!(console.contains("Checksum: correct"), "IDENTIFY");
    assert!(console.contains("DCO Checksum verified"), "DCO IDENTIFY");
    assert!(console.lines().any(|line| line.starts_with("CHANGED ")), "no write arrived");
    let device = device.lock().unwrap();
    let drive = device.drive(0).unwrap();
    assert_ne!(drive.state_digest(), state);
    assert!(drive.violations().any(|entry| entry.name.starts_with("WRITE")));
    assert!(!device.only_cbws());
    assert!(trace.counters.bytes_out > 0);
}
