//! The write blocker's verb as far as it goes without one: texts, exit codes, files that are not overwritten.

use std::{fs, path::Path};

use daleel::bridge::{
    link::Link,
    session::{Ending, Session},
    sim::SimPort,
};

use crate::{
    run::{content, run},
    texts::golden,
};

/// Blocks of a megabyte.
const MEGABYTE: u16 = 2048;

/// Evidence of a session over two megabytes, in `bridge`; the key beside it.
pub fn evidence(folder: &Path) {
    let mut link = Link::new(SimPort::usual().unwrap());
    let out = folder.join("bridge");
    Session::start(&mut link, &out, [0x11; 32], false).unwrap();
    for megabyte in [0, 5] {
        link.port_mut().read(megabyte * u32::from(MEGABYTE), MEGABYTE).unwrap();
    }
    assert!(link.port_mut().is_write_refused());
    let mut session = Session::resume(&mut link, &out).unwrap();
    session.statement(Ending::Checkpoint, [0x22; 32]).unwrap();
    session.statement(Ending::Final, [0x33; 32]).unwrap();
    fs::copy(out.join("key.pem"), folder.join("key.pem")).unwrap();
}

/// Begins as the boot ROM of an RP2040 wants it: 252 bytes and their CRC.
pub fn pico_firmware() -> Vec<u8> {
    let mut bytes = vec![0x5A; 1000];
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(&bytes[..252]);
    bytes[252..256].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Begins as the boot ROM of an i.MX RT1060 wants it: a configuration block, and an image vector table.
pub fn teensy_firmware() -> Vec<u8> {
    let mut bytes = vec![0x5A; 5000];
    bytes[..4].copy_from_slice(b"FCFB");
    bytes[0x1000..0x1004].copy_from_slice(&[0xD1, 0, 0x20, 0x40]);
    bytes
}

const VERIFY: [&str; 5] = ["bridge", "verify", "bridge", "--key", "key.pem"];

/// U-8: the help of every action, with examples.
#[test]
fn help() {
    let actions =
        ["list", "info", "log", "attest", "verify", "flash", "digest", "provision", "self-test"];
    for action in actions {
        let ran = run(Path::new("."), &["bridge", action, "--help"]).is(0);
        assert!(ran.stdout.contains("Example"), "{action} shows no example");
        golden(&format!("help-bridge-{action}"), &ran);
    }
    for step in ["run", "start", "checkpoint", "finish"] {
        let ran = run(Path::new("."), &["bridge", "attest", step, "--help"]).is(0);
        assert!(ran.stdout.contains("Example"), "{step} shows no example");
        golden(&format!("help-bridge-attest-{step}"), &ran);
    }
}

/// the self-test's table.
#[test]
fn self_test() {
    golden("bridge-self-test", &run(Path::new("."), &["bridge", "self-test"]).is(0));
}

/// evidence is checked offline; findings are 1, what is proven wrong is 5.
#[test]
fn verify() {
    let folder = tempfile::tempdir().unwrap();
    evidence(folder.path());
    let mut ran = run(folder.path(), &VERIFY).is(1);
    // The signed bytes hold the digest of the policy, which changes with every release.
    for line in ran.stdout.clone().lines().filter(|line| line.contains("grep -c")) {
        let root = line.rsplit(' ').next().unwrap();
        ran.stdout = ran.stdout.replace(root, "[root]");
    }
    golden("bridge-verify", &ran);
    let ran = run(folder.path(), &[&VERIFY[..], &["--uncovered", "uncovered.txt"]].concat()).is(1);
    assert_eq!(ran.stderr, "");
    let uncovered = fs::read_to_string(folder.path().join("uncovered.txt")).unwrap();
    assert_eq!(
        (uncovered.lines().count(), uncovered.lines().next()),
        (30, Some("block-0000001 not-read"))
    );
    let before = content(folder.path());
    run(folder.path(), &[&VERIFY[..], &["--uncovered", "uncovered.txt"]].concat()).is(4);
    assert!(content(folder.path()) == before);
    let log = folder.path().join("bridge/boot00001-session0001.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace(" 1048576 ", " 1048575 ")).unwrap();
    golden("bridge-verify-changed-log", &run(folder.path(), &VERIFY).is(5));
    fs::write(&log, text).unwrap();
    let cbor = folder.path().join("bridge/boot00001-session0001.cbor");
    let mut bytes = fs::read(&cbor).unwrap();
    bytes[100] ^= 1;
    fs::write(&cbor, bytes).unwrap();
    run(folder.path(), &VERIFY).is(5);
}

/// What cannot be done is said in one sentence, with what helps.
#[test]
fn errors() {
    let folder = tempfile::tempdir().unwrap();
    evidence(folder.path());
    let path = folder.path();
    fs::write(path.join("fw.bin"), teensy_firmware()).unwrap();
    fs::write(path.join("evk.bin"), [&teensy_firmware()[..], b"mimxrt1060-evk"].concat()).unwrap();
    fs::write(path.join("noise.bin"), [0x5A; 5000]).unwrap();
    fs::write(path.join("noise.pem"), "no key").unwrap();
    fs::write(path.join("fw.hex"), "mine").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    let cases: [(&str, &[&str], i32); 12] = [
        ("noise", &["bridge", "flash", "--board", "pico", "noise.bin", "--uf2", "f"], 3),
        ("other-board", &["bridge", "flash", "--board", "teensy41", "evk.bin", "--hex", "f"], 3),
        (
            "hex-exists-plan",
            &["bridge", "flash", "--board", "teensy41", "fw.bin", "--hex", "fw.hex", "--dry-run"],
            4,
        ),
        ("nonce", &["bridge", "attest", "start", "--out", "o", "--nonce", "12"], 2),
        ("every", &["bridge", "attest", "run", "--out", "o", "--every", "10"], 2),
        ("no-key", &["bridge", "verify", "bridge", "--key", "noise.pem"], 4),
        ("no-statement", &["bridge", "verify", "empty", "--key", "key.pem"], 4),
        (
            "uf2-for-a-teensy",
            &["bridge", "flash", "--board", "teensy41", "fw.bin", "--uf2", "f"],
            2,
        ),
        ("probe-for-a-teensy", &["bridge", "flash", "--board", "teensy41", "fw.bin", "--probe"], 2),
        ("hex-exists", &["bridge", "flash", "--board", "teensy41", "fw.bin", "--hex", "fw.hex"], 4),
        ("no-elf", &["bridge", "log", "--elf", "fw.bin"], 3),
        ("no-firmware", &["bridge", "digest", "gone.elf"], 4),
    ];
    for (name, arguments, code) in cases {
        let ran = run(path, arguments).is(code);
        assert!(!ran.stderr.is_empty(), "{name} says nothing");
        golden(&format!("error-bridge-{name}"), &ran);
    }
    assert_eq!(fs::read(path.join("fw.hex")).unwrap(), b"mine");
    assert!(!path.join("o").exists() && !path.join("f").exists());
}

/// 4.5: loading says which digest the bridge has to report, and how a Teensy is loaded.
#[test]
fn flash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("fw.bin"), pico_firmware()).unwrap();
    fs::write(path.join("teensy.bin"), teensy_firmware()).unwrap();
    let teensy = ["bridge", "flash", "--board", "teensy41", "teensy.bin"];
    golden("bridge-flash-teensy", &run(path, &teensy).is(0));
    let ran = run(path, &[&teensy[..], &["--hex", "fw.hex"]].concat()).is(0);
    golden("bridge-flash-teensy-hex", &ran);
    assert!(fs::read_to_string(path.join("fw.hex")).unwrap().ends_with(":00000001FF\n"));
    let pico = ["bridge", "flash", "--board", "pico", "fw.bin", "--uf2", "fw.uf2"];
    golden("bridge-flash-pico-plan", &run(path, &[&pico[..], &["--dry-run"]].concat()).is(0));
    assert!(!path.join("fw.uf2").exists());
    golden("bridge-flash-pico", &run(path, &pico).is(0));
    assert_eq!(fs::metadata(path.join("fw.uf2")).unwrap().len(), 4 * 512);
    let ran = run(path, &["bridge", "digest", "fw.bin", "--bin", "again.bin"]).is(0);
    let digest = ran.stdout.split(' ').next().unwrap();
    assert!(run(path, &pico).is(4).stderr.contains("exists already"));
    // Without --dry-run this would load a Pico that happens to be in its boot loader.
    let plan = run(path, &[&pico[..5], &["--dry-run"]].concat()).is(0);
    assert!(plan.stdout.contains(digest) && plan.stdout.contains("nothing was written"));
    assert_eq!(fs::read(path.join("again.bin")).unwrap(), pico_firmware());
    // A serial number is given with =, so that what follows is the image.
    let probe = ["bridge", "flash", "--board", "pico", "--probe", "fw.bin", "--dry-run"];
    assert!(run(path, &probe).is(0).stdout.contains("for a debug probe; nothing was written"));
}
