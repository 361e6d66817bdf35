//! The model drive behind the usbredir peer, used by a real Linux kernel.
//!
//! The guest is made by `firmware/guest/prepare.sh` (default place `target/guest`; another one in `DALEEL_GUEST`). Without QEMU or the
//! guest the test says that it was skipped, or fails if `DALEEL_REQUIRE_ORACLES` is set.

#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wb_sim::drive::{BadBlocks, BadKind, DriveConfig, Faults, ModelDrive};
use wb_sim::guest::{Guest, Run};
use wb_sim::usb::{ModelUsbDrive, ShortEnd, Speed, UsbDevice, UsbOptions};
use wb_sim::usbredir::{Options, Server, Trace};

const LIMIT: Duration = Duration::from_secs(500);

/// The guest, if it can be run here.
fn guest() -> Option<Guest> {
    let found = Guest::find();
    if let Err(why) = &found {
        assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
        println!("SKIPPED: {why}");
    }
    found.ok()
}

/// Runs the guest on the device; its console and what the peer carried.
fn run(guest: &Guest, device: &Arc<Mutex<ModelUsbDrive>>, words: &str) -> (Run, Trace) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("usb");
    let server = Server::start(Arc::clone(device), &socket, Options::default()).unwrap();
    let arguments = [
        "-chardev".to_owned(),
        format!("socket,id=ur,path={}", socket.display()),
        "-device".to_owned(),
        "usb-redir,chardev=ur".to_owned(),
    ];
    let run = guest.run(words, &arguments, LIMIT, |line| println!("{}", line.text)).unwrap();
    assert!(run.is_whole(), "the guest did not end by itself");
    for script in run.all("END") {
        assert_eq!(script.field("exit"), "0", "{}", script.text);
    }
    (run, server.stop().unwrap())
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
    let Some(guest) = guest() else { return };
    for (speed, short_end) in [(Speed::High, ShortEnd::Stall), (Speed::Full, ShortEnd::Packet)] {
        let bad = vec![BadBlocks { blocks: 40_000..40_001, kind: BadKind::Medium }];
        let faults = Faults { bad, ..Faults::default() };
        let drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
        let state = drive.state_digest();
        let expected = sha256(&drive.peek(0, 4 * 2048));
        let options = UsbOptions { speed, short_end, ..UsbOptions::default() };
        let device = Arc::new(Mutex::new(ModelUsbDrive::new(drive, options)));
        let (run, trace) = run(
            &guest,
            &device,
            "daleel.run=read daleel.read_mib=4 daleel.sweep=40000 daleel.span=3",
        );
        assert_eq!(run.all("DISK").next().unwrap().field("sectors"), "65536");
        for name in ["dd_direct", "dd_buffered"] {
            assert_eq!(run.named("READ", name).unwrap().field("sha256"), expected, "{name}");
        }
        for by in ["sg", "dd"] {
            let mut swept = run.all("SWEPT").filter(|line| line.field("by") == by);
            assert_eq!(swept.next().unwrap().field("failed"), "40000", "{by}");
        }
        check_session(&device, &trace, state);
    }
}

/// HWB-AM-01, HWB-04: a real kernel that writes is seen: in the content, the digest, the drive's log and
/// the record of the bus.
#[test]
fn linux_writes_are_seen() {
    let Some(guest) = guest() else { return };
    let drive = ModelDrive::new(DriveConfig::default());
    let state = drive.state_digest();
    let device = Arc::new(Mutex::new(ModelUsbDrive::new(drive, UsbOptions::default())));
    let (run, trace) = run(
        &guest,
        &device,
        "daleel.run=identity,attack daleel.phases=tools daleel.attack_limit=60",
    );
    // hdparm checks both sums, so it agrees that these are an ATA drive's answers.
    assert!(run.text("hdparm_identify").contains("Checksum: correct"), "IDENTIFY");
    assert!(run.text("hdparm_dco_identify").contains("DCO Checksum verified"), "DCO IDENTIFY");
    assert_eq!(run.all("CHANGED").count(), 1, "no write arrived");
    let device = device.lock().unwrap();
    let drive = device.drive(0).unwrap();
    assert_ne!(drive.state_digest(), state);
    assert!(drive.violations().any(|entry| entry.name.starts_with("WRITE")));
    assert!(!device.only_cbws());
    assert!(trace.counters.bytes_out > 0);
}
