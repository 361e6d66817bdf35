//! What `bridge` prints and writes, from the bridge of the simulator and from the program itself.

use std::{fs, path::Path};

use daleel::bridge::{
    describe::{InfoJson, ListJson, ListedJson, PortJson},
    enrol::{Given, provision},
    frames::{FrameJson, LogJson},
    link::Link,
    port::Port as _,
    session::{Ending, Session},
    sim::SimPort,
};
use daleel_tests::judge::daleel;
use serde::Serialize;
use serde_json::Value;

use super::{DALEEL, Judge};

const NAME: &str = "boot00001-session0001";
/// Blocks of a megabyte.
const MEGABYTE: u16 = 2048;

fn check(schema: &str, document: &impl Serialize) {
    Judge::new().check(schema, &serde_json::to_value(document).unwrap(), schema);
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What the program prints, and its exit code.
fn printed(arguments: &[&str]) -> (Value, i32) {
    let output = daleel(DALEEL, arguments);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (document, output.status.code().unwrap())
}

#[test]
fn info_with_and_without_a_drive() {
    for port in [SimPort::usual().unwrap(), SimPort::unprovisioned().unwrap()] {
        let mut link = Link::new(port);
        let info = link.info().unwrap();
        check("bridge-info", &InfoJson::new(link.port().identity(), &info));
    }
    let mut link = Link::new(SimPort::usual().unwrap());
    link.start(&[1; 32]).unwrap();
    let info = link.info().unwrap();
    check("bridge-info", &InfoJson::new(link.port().identity(), &info));
}

#[test]
fn a_list_of_bridges() {
    let port = SimPort::usual().unwrap();
    let listed = |is_asked: bool| ListedJson {
        port: PortJson::from(port.identity()),
        key: is_asked.then_some(true),
        drive: is_asked.then_some(true),
        session: is_asked.then_some(false),
        prototype_pid: is_asked.then_some(true),
        error: (!is_asked).then(|| "the bridge is gone".to_owned()),
    };
    let bridges = vec![listed(true), listed(false)];
    check("bridge-list", &ListJson { schema: "daleel.bridge-list/1", bridges });
    let (document, _) = printed(&["bridge", "list", "--json"]);
    check("bridge-list", &document);
}

#[test]
fn log_frames() {
    let whole = FrameJson {
        uptime: Some("0.001234".to_owned()),
        level: Some("info"),
        text: "up".to_owned(),
        file: Some("src/main.rs".to_owned()),
        line: Some(19),
        module: Some("pico".to_owned()),
    };
    let bare = FrameJson {
        uptime: None,
        level: None,
        file: None,
        line: None,
        module: None,
        ..whole.clone()
    };
    let frames = vec![whole, bare];
    check("bridge-log", &LogJson { schema: "daleel.bridge-log/1", frames, dropped: 2 });
}

#[test]
fn an_enrolment() {
    let folder = tempfile::tempdir().unwrap();
    let given = |is_given: bool| Given {
        board: is_given.then(|| "teensy41".to_owned()),
        seal: is_given.then(|| "A-1027".to_owned()),
        operator: is_given.then(|| "bench 2".to_owned()),
    };
    for (name, is_given) in [("with", true), ("without", false)] {
        let out = folder.path().join(name);
        let mut link = Link::new(SimPort::unprovisioned().unwrap());
        let enrolment = provision(&mut link, &out, given(is_given), &[3; 32]).unwrap();
        check("bridge-enrolment", &enrolment);
        check("bridge-enrolment", &read(&out.join("enrolment.json")));
    }
}

/// A session from its journal to the check of its files by the program.
#[test]
fn a_session_and_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bridge");
    let mut link = Link::new(SimPort::usual().unwrap());
    let session = Session::start(&mut link, &out, [1; 32], false).unwrap();
    check("bridge-attest", &session.report(Vec::new()));
    drop(session);
    for megabyte in 0..3 {
        link.port_mut().read(megabyte * u32::from(MEGABYTE), MEGABYTE).unwrap();
    }
    assert!(link.port_mut().is_write_refused());
    let mut session = Session::resume(&mut link, &out).unwrap();
    let statements = vec![
        session.statement(Ending::Checkpoint, [2; 32]).unwrap(),
        session.statement(Ending::Final, [3; 32]).unwrap(),
    ];
    check("bridge-attest", &session.report(statements));
    check("bridge-statement", &read(&out.join(format!("{NAME}.json"))));
    let journal = fs::read_to_string(out.join(format!("{NAME}.session.jsonl"))).unwrap();
    let lines = Judge::new().check_lines("bridge-session", &journal, "the journal");
    assert_eq!(lines.len(), 5);
    let image = folder.path().join("disk.raw");
    fs::write(&image, link.port_mut().drive().unwrap().peek(0, 65_536)).unwrap();
    let (path, key) = (out.to_str().unwrap(), out.join("key.pem"));
    let mut arguments = vec!["bridge", "verify", path, "--key", key.to_str().unwrap(), "--json"];
    let (document, code) = printed(&arguments);
    assert_eq!((code, document["verified"].as_bool()), (1, Some(true)));
    check("bridge-verify", &document);
    arguments.extend(["--image", image.to_str().unwrap()]);
    let (document, code) = printed(&arguments);
    assert_eq!((code, document["image"]["equal"].as_u64()), (1, Some(3)));
    check("bridge-verify", &document);
    let mut changed = fs::read(out.join(format!("{NAME}.cbor"))).unwrap();
    changed[200] ^= 1;
    fs::write(out.join(format!("{NAME}.cbor")), changed).unwrap();
    let (document, code) = printed(&arguments);
    assert_eq!((code, document["verified"].as_bool()), (5, Some(false)));
    check("bridge-verify", &document);
}

#[test]
fn firmware_and_self_test() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("fw.bin");
    // A configuration block and an image vector table, as the boot ROM of a Teensy wants them.
    let mut bytes = vec![0x5A; 5000];
    bytes[..4].copy_from_slice(b"FCFB");
    bytes[0x1000..0x1004].copy_from_slice(&[0xD1, 0, 0x20, 0x40]);
    fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    let (document, code) = printed(&["bridge", "digest", image, "--json"]);
    assert_eq!(code, 0);
    check("bridge-firmware", &document);
    let hex = folder.path().join("fw.hex");
    let arguments =
        ["bridge", "flash", "--board", "teensy41", image, "--hex", hex.to_str().unwrap(), "--json"];
    let (document, code) = printed(&arguments);
    assert_eq!(code, 0);
    check("bridge-firmware", &document);
    let (document, code) = printed(&["bridge", "self-test", "--json"]);
    assert_eq!((code, document["passed"].as_bool()), (0, Some(true)));
    check("bridge-self-test", &document);
}
