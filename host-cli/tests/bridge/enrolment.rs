//! Giving a bridge its key.

use std::fs;

use daleel::{
    bridge::{
        enrol::{Given, provision},
        link::Link,
        record::read_key,
        sim::SimPort,
    },
    exit::Exit,
};
use wb_sim::bridge::Setup as SimSetup;

use crate::rig::{bridge_with, failed, names, place};

fn keyless() -> SimSetup {
    SimSetup { seed: None, ..SimSetup::default() }
}

fn given() -> Given {
    Given {
        board: Some("teensy41".to_owned()),
        seal: Some("A-1027".to_owned()),
        operator: Some("bench 2".to_owned()),
    }
}

/// 5.4: a bridge without key and drive makes its key; the public key and a record for the laboratory are kept.
#[test]
fn a_new_bridge_gets_its_key_once() {
    let (keep, folder) = place();
    let mut link = Link::new(SimPort::without_drive(&keyless()).unwrap());
    let enrolment = provision(&mut link, &folder, given(), &[0x42; 32]).unwrap();
    assert_eq!(names(&folder), ["enrolment.json", "key.pem"]);
    let key = read_key(&folder.join("key.pem")).unwrap();
    assert_eq!(key, link.info().unwrap().public_key);
    assert_eq!(enrolment.key_id, daleel::export::hashed::hex(&wb_attest::sha256(&[&key])));
    assert_eq!(enrolment.serial, enrolment.key_id[..24].to_uppercase());
    let held: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("enrolment.json")).unwrap()).unwrap();
    assert_eq!(held, serde_json::to_value(&enrolment).unwrap());
    assert_eq!((&held["seal"], &held["operator"]), (&"A-1027".into(), &"bench 2".into()));
    let other = keep.path().join("other");
    let (exit, text) = failed(provision(&mut link, &other, given(), &[0; 32]));
    assert_eq!((exit, text.as_str()), (Exit::Input, "the bridge has a key already"));
    assert!(!other.exists());
}

/// 4.5: the host's bytes alone do not decide the key, and other bytes make another one.
#[test]
fn the_hosts_bytes_are_mixed_in() {
    let key = |entropy: u8| {
        let (_keep, folder) = place();
        let mut link = Link::new(SimPort::without_drive(&keyless()).unwrap());
        provision(&mut link, &folder, Given::default(), &[entropy; 32]).unwrap().public_key
    };
    assert_eq!(key(1), key(1), "the simulator has no entropy of its own");
    assert_ne!(key(1), key(2));
}

/// 4.5: not while a drive is attached, and not over files that are there.
#[test]
fn a_drive_or_a_file_in_the_way_is_refused() {
    let (_keep, folder) = place();
    let mut bridge = bridge_with(&keyless(), Default::default());
    let (exit, text) = failed(provision(&mut bridge, &folder, given(), &[0; 32]));
    assert_eq!((exit, text.as_str()), (Exit::Input, "a drive is attached to the bridge"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("enrolment.json"), "mine").unwrap();
    let mut link = Link::new(SimPort::without_drive(&keyless()).unwrap());
    let (exit, text) = failed(provision(&mut link, &folder, given(), &[0; 32]));
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(link.info().unwrap().public_key, [0; 32], "no key was made");
    assert_eq!(names(&folder), ["enrolment.json"]);
}
