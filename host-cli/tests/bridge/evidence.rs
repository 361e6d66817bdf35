//! Stored evidence, checked offline: good, changed, mixed up, and against an image.

use std::{fs, path::Path};

use daleel::{
    bridge::{
        coverage::{Uncovered, Why, compare, write_uncovered},
        session::Session,
        verify::{VerifyJson, verify},
    },
    exit::Exit,
};
use daleel_core::Input;
use wb_attest::interface::Ending;
use wb_sim::drive::{BadBlocks, BadKind, DriveConfig, Request};

use crate::rig::{
    Bridge, END, START, bridge, bridge_with, failed, names, place, read, read_megabyte, replug,
};

const SESSION: &str = "boot00001-session0001";

/// A finished session over some megabytes; the key.
fn record(folder: &Path, megabytes: &[u32]) -> [u8; 32] {
    let mut bridge = bridge();
    session(&mut bridge, folder, megabytes);
    bridge.info().unwrap().public_key
}

fn session(bridge: &mut Bridge, folder: &Path, megabytes: &[u32]) {
    Session::start(bridge, folder, START, false).unwrap();
    megabytes.iter().for_each(|megabyte| drop(read_megabyte(bridge, *megabyte)));
    let mut session = Session::resume(bridge, folder).unwrap();
    session.statement(Ending::Checkpoint, [0x33; 32]).unwrap();
    session.statement(Ending::Final, END).unwrap();
}

fn check(folder: &Path, key: &[u8; 32]) -> VerifyJson {
    verify(folder, key).unwrap().report
}

/// every file of a statement, every byte: one bit changed anywhere is noticed.
#[test]
fn one_changed_bit_is_noticed() {
    let (_keep, folder) = place();
    let key = record(&folder, &[0, 1]);
    assert!(check(&folder, &key).verified);
    for name in names(&folder).iter().filter(|name| !name.starts_with("key")) {
        let path = folder.join(name);
        let held = fs::read(&path).unwrap();
        let is_journal = name.ends_with(".session.jsonl");
        let step = if name.ends_with(".cbor") || name.ends_with(".sig") { 7 } else { 97 };
        // What a journal says of files is its own; what counts in it are the nonces.
        let places: Vec<usize> = if is_journal {
            let text = String::from_utf8(held.clone()).unwrap();
            text.match_indices("\"nonce\":\"").map(|(at, found)| at + found.len()).collect()
        } else {
            (0..held.len()).step_by(step).collect()
        };
        for at in places {
            let mut changed = held.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let is_space = name.ends_with(".json") && is_same_json(&held, &changed);
            assert!(is_space || !check(&folder, &key).verified, "{name}, byte {at}");
        }
        fs::write(&path, held).unwrap();
    }
    assert!(check(&folder, &key).verified);
}

/// Whether a change is beside the statement in a rendering: its name, its notice.
fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    let statement = |bytes: &[u8]| {
        let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
        value.and_then(|value| value.get("statement").cloned())
    };
    statement(other).is_some() && statement(one) == statement(other)
}

/// the key of another bridge verifies nothing.
#[test]
fn another_key_verifies_nothing() {
    let (_keep, folder) = place();
    record(&folder, &[0]);
    let report = check(&folder, &[7; 32]);
    assert!(!report.verified && report.coverage.is_none());
    assert_eq!(report.exit(), Exit::Verification);
    assert!(report.statements.iter().all(|one| !one.verified));
}

/// a missing file, a missing journal, a missing log: said, and judged for what they are.
#[test]
fn missing_files_are_said() {
    let (_keep, folder) = place();
    let key = record(&folder, &[0, 1, 2]);
    let gone = |ending: &str| {
        let path = folder.join(format!("{SESSION}.{ending}"));
        let held = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = check(&folder, &key);
        fs::write(&path, held).unwrap();
        report
    };
    assert!(!gone("sig").verified && !gone("tbs").verified && !gone("json").verified);
    let report = gone("session.jsonl");
    assert!(report.verified && report.findings[0].contains("no journal"), "{report:?}");
    assert_eq!(report.exit(), Exit::Findings);
    let report = gone("log");
    assert!(report.verified && report.findings[0].contains("not here"), "{report:?}");
    assert_eq!(report.coverage.unwrap().covered, 0);
}

/// A-3, B24: a statement under the name of another is a replay: its nonces are not those that were sent for that name.
#[test]
fn a_statement_under_another_name_is_a_replay() {
    let (_keep, folder) = place();
    let key = record(&folder, &[0]);
    for ending in ["cbor", "tbs", "sig", "json"] {
        let from = folder.join(format!("{SESSION}.checkpoint0000.{ending}"));
        fs::copy(from, folder.join(format!("{SESSION}.{ending}"))).unwrap();
    }
    let report = check(&folder, &key);
    assert!(!report.verified);
    let failures: Vec<_> = report.statements.iter().flat_map(|one| &one.failures).collect();
    let is_replay = failures.iter().any(|text| text.contains("not those that were sent"));
    assert!(is_replay, "{failures:?}");
    assert!(report.findings.iter().any(|finding| finding.contains("copies")), "{report:?}");
}

/// 4.4: a megabyte that was delivered with different contents is reported with both entries, never hidden.
#[test]
fn differing_digests_are_reported() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    session(&mut bridge, &folder, &[4]);
    let model = bridge.port_mut().sim.host().device_mut().drive_mut().host_mut().device_mut();
    let write = [0x2A, 0, 0, 0, 0x20, 0x08, 0, 0, 1, 0];
    model.drive_mut(0).unwrap().execute(&Request::out(&write, &[0xAB; 512]));
    replug(&mut bridge);
    session(&mut bridge, &folder, &[4]);
    let report = check(&folder, &bridge.info().unwrap().public_key);
    assert!(report.verified, "{report:#?}");
    assert_eq!(report.exit(), Exit::Findings);
    let coverage = report.coverage.unwrap();
    assert_eq!((coverage.covered, coverage.unstable_count), (1, 1));
    let unstable = &coverage.unstable[0];
    assert_eq!((unstable.chunk, unstable.offset), (4, 4 << 20));
    assert_eq!((unstable.first.session, unstable.later.session), (0, 1));
    assert_ne!(unstable.first.digest, unstable.later.digest);
}

/// 4.4: what is not covered is listed megabyte by megabyte with its reason.
#[test]
fn uncovered_megabytes_have_their_reason() {
    let (_keep, folder) = place();
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 3 * 2048..3 * 2048 + 1, kind: BadKind::Medium }];
    let mut bridge = bridge_with(&Default::default(), config);
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    // Two: from the middle on; three: all but the block that fails; four: backwards.
    read(&mut bridge, 2 * 2048 + 1000, 1048);
    read(&mut bridge, 3 * 2048 + 1, 2047);
    read(&mut bridge, 4 * 2048 + 1024, 1024);
    read(&mut bridge, 4 * 2048, 1024);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
    let outcome = verify(&folder, &bridge.info().unwrap().public_key).unwrap();
    let mut text = Vec::new();
    write_uncovered(&mut text, &outcome.uncovered).unwrap();
    let text = String::from_utf8(text).unwrap();
    let first: Vec<_> = text.lines().take(5).collect();
    let words = ["1 not-read", "2 partial", "3 partial", "4 partial", "5 not-read"];
    assert_eq!(first, words.map(|word| format!("block-000000{word}")));
    assert_eq!(text.lines().count(), 31);
    let coverage = outcome.report.coverage.unwrap();
    assert_eq!((coverage.covered, coverage.not_read, coverage.partial), (1, 28, 3));
}

/// A bridge that states a capacity that no drive has costs neither memory nor time.
#[test]
fn a_list_that_would_never_end_is_refused() {
    let all = [Uncovered { chunks: 0..u64::MAX / 3, why: Why::NotRead }];
    assert_eq!(failed(write_uncovered(&mut Vec::new(), &all)).0, Exit::Verification);
}

/// the bridge's digests against an image: equal where it is what the bridge delivered, and named where not.
#[test]
fn an_image_is_compared_with_the_digests() {
    let (keep, folder) = place();
    let mut bridge = bridge();
    session(&mut bridge, &folder, &[0, 1, 9]);
    let outcome = verify(&folder, &bridge.info().unwrap().public_key).unwrap();
    let covered = outcome.image.unwrap();
    let path = keep.path().join("disk.raw");
    let mut bytes = bridge.port_mut().sim.drive().unwrap().peek(0, 65_536);
    let compared = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let opened = daleel_image::open(&path, None).unwrap();
        let Input::Volume(volume) = &opened.input else { panic!("no medium") };
        compare(&covered, "disk.raw", volume.source.as_ref(), &mut |_| Ok(())).unwrap()
    };
    let good = compared(&bytes);
    assert_eq!((good.compared, good.equal, good.is_equal()), (3, 3, true));
    // A byte of an uncovered megabyte is none of the bridge's business; one of a covered is.
    bytes[5 << 20] ^= 1;
    assert!(compared(&bytes).is_equal());
    bytes[(9 << 20) + 12_345] ^= 1;
    let bad = compared(&bytes);
    assert_eq!((bad.equal, &bad.differing), (2, &vec![9]));
    let short = compared(&bytes[..9 << 20]);
    assert_eq!((short.equal, &short.unreadable), (2, &vec![9]));
}

/// A folder without statements, a path that is not there.
#[test]
fn nothing_to_check_is_an_error() {
    let (keep, folder) = place();
    assert_eq!(failed(verify(keep.path(), &[0; 32])).0, Exit::Input);
    let report = check(&folder.join("gone.cbor"), &[0; 32]);
    assert!(!report.verified && !report.statements[0].failures.is_empty());
}
