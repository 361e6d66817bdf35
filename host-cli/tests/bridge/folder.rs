//! The folder of evidence as a whole: what is missing, what was moved, and that looking at it changes nothing.

use std::{collections::BTreeMap, fs, path::Path};

use daleel::{
    bridge::{
        enrol::{Given, provision},
        link::Link,
        port::{Identity, shown},
        record::{Folder, Journal, Line},
        session::Session,
        sim::SimPort,
        verify::{VerifyJson, verify},
    },
    exit::Exit,
};
use wb_attest::{interface::Ending, verify::pem};
use wb_sim::bridge::Setup as SimSetup;

use crate::rig::{END, START, bridge, bridge_with, failed, names, place, read_megabyte, replug};

const SESSION: &str = "boot00001-session0001";
const CHECKPOINT: &str = "boot00001-session0001.checkpoint0000";
const FILES: [&str; 4] = ["cbor", "tbs", "sig", "json"];

/// A session with two checkpoints and a final statement.
fn record(folder: &Path) -> [u8; 32] {
    let mut bridge = bridge();
    Session::start(&mut bridge, folder, START, false).unwrap();
    for (number, ending) in [(0, Ending::Checkpoint), (1, Ending::Checkpoint), (2, Ending::Final)] {
        read_megabyte(&mut bridge, number);
        let mut session = Session::resume(&mut bridge, folder).unwrap();
        session.statement(ending, [number as u8 + 0x40; 32]).unwrap();
    }
    bridge.info().unwrap().public_key
}

fn check(folder: &Path, key: &[u8; 32]) -> VerifyJson {
    verify(folder, key).unwrap().report
}

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    names(folder)
        .into_iter()
        .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

fn remove(folder: &Path, name: &str) {
    for ending in FILES {
        fs::remove_file(folder.join(format!("{name}.{ending}"))).unwrap();
    }
}

#[track_caller]
fn has(texts: &[String], text: &str) {
    assert!(texts.iter().any(|one| one.contains(text)), "{text}: {texts:#?}");
}

/// A-1, C-9: checking evidence writes nothing, not even where a crash left half a line.
#[test]
fn checking_changes_nothing() {
    let (_keep, folder) = place();
    let key = record(&folder);
    for ending in ["session.jsonl", "log"] {
        let path = folder.join(format!("{SESSION}.{ending}"));
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(b"{\"eve");
        fs::write(&path, bytes).unwrap();
    }
    let before = content(&folder);
    assert!(check(&folder, &key).verified);
    assert_eq!(content(&folder), before);
    let gone = folder.join("not-here").join("x.cbor");
    assert!(!check(&gone, &key).verified && !folder.join("not-here").exists());
}

/// A-3, C-1: a statement that was taken away is missed, by the journal, and without it by the numbers.
#[test]
fn a_statement_that_was_taken_away_is_missed() {
    for name in [SESSION, CHECKPOINT] {
        let (_keep, folder) = place();
        let key = record(&folder);
        remove(&folder, name);
        let report = check(&folder, &key);
        assert!(!report.verified, "{name}");
        has(
            &report.failures,
            &format!("{name}.cbor was stored, says the journal, and is not here"),
        );
        fs::remove_file(folder.join(format!("{SESSION}.session.jsonl"))).unwrap();
        let report = check(&folder, &key);
        assert_eq!(report.exit(), Exit::Findings, "{name}");
        let text = if name == SESSION {
            "has no final statement"
        } else {
            "1 statements before boot00001-session0001.checkpoint0001.cbor are not here"
        };
        has(&report.findings, text);
    }
}

/// the next session says how the one before it ended: a final statement that was taken away with its journal is missed.
#[test]
fn a_final_statement_that_the_next_session_knows_of_is_missed() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    for nonce in [0x50, 0x60] {
        Session::start(&mut bridge, &folder, [nonce; 32], false).unwrap();
        read_megabyte(&mut bridge, 0);
        for (number, ending) in [(1, Ending::Checkpoint), (2, Ending::Final)] {
            let mut session = Session::resume(&mut bridge, &folder).unwrap();
            session.statement(ending, [nonce + number; 32]).unwrap();
        }
    }
    let key = bridge.info().unwrap().public_key;
    assert!(check(&folder, &key).verified);
    remove(&folder, SESSION);
    fs::remove_file(folder.join(format!("{SESSION}.session.jsonl"))).unwrap();
    let report = check(&folder, &key);
    assert!(!report.verified);
    has(&report.failures, "the final statement of boot00001-session0001 is not here");
}

/// all statements of a session were taken away, and its journal is still there.
#[test]
fn a_session_without_statements_is_said() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
    Session::start(&mut bridge, &folder, [0x51; 32], false).unwrap();
    replug(&mut bridge);
    assert_eq!(failed(Session::resume(&mut bridge, &folder)).0, Exit::SourceLost);
    let report = check(&folder, &bridge.info().unwrap().public_key);
    assert_eq!(report.exit(), Exit::Findings, "{report:#?}");
    has(&report.findings, "boot00001-session0002 broke off");
    has(&report.findings, "boot00001-session0002 has a journal and no statement");
}

/// checkpoints that changed places are not those that their journal names.
#[test]
fn checkpoints_that_changed_places_are_noticed() {
    let (_keep, folder) = place();
    let key = record(&folder);
    let other = "boot00001-session0001.checkpoint0001";
    for ending in FILES {
        let path = |name: &str| folder.join(format!("{name}.{ending}"));
        fs::rename(path(CHECKPOINT), folder.join("between")).unwrap();
        fs::rename(path(other), path(CHECKPOINT)).unwrap();
        fs::rename(folder.join("between"), path(other)).unwrap();
    }
    let report = check(&folder, &key);
    assert!(!report.verified);
    has(&report.failures, "is not the one that was stored");
    let failures: Vec<_> = report.statements.iter().flat_map(|one| one.failures.clone()).collect();
    has(&failures, "its nonces are not those that were sent");
}

/// a journal that is damaged is no missing journal.
#[test]
fn a_damaged_journal_is_a_failure() {
    let (_keep, folder) = place();
    let key = record(&folder);
    let path = folder.join(format!("{SESSION}.session.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [
        text.replacen("\"finish\"", "\"finis\"", 1),
        "{}\n".to_owned(),
        "a".repeat(100_000),
        String::new(),
    ] {
        fs::write(&path, damaged).unwrap();
        let report = check(&folder, &key);
        assert!(!report.verified, "{report:#?}");
        assert!(!report.failures.is_empty());
    }
    // Nor is it a fault of this program to one who goes on.
    fs::write(&path, text.replacen("\"finish\"", "\"finis\"", 1)).unwrap();
    let (exit, said) = failed(Session::resume(&mut bridge(), &folder));
    assert_eq!(exit, Exit::Input);
    assert!(said.contains("line 2: no line of a journal"), "{said}");
}

/// A line that never ends is not cut off a journal as if a crash had left it.
#[test]
fn a_journal_is_not_cut_where_it_is_only_strange() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let path = folder.join(format!("{SESSION}.session.jsonl"));
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(vec![b'x'; 100_000]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(failed(Session::resume(&mut bridge, &folder)).0, Exit::Input);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// name, digest and notice of a rendering are what a person reads: they are checked with what it renders.
#[test]
fn a_rendering_under_another_name_or_digest_is_noticed() {
    let (_keep, folder) = place();
    let key = record(&folder);
    let path = folder.join(format!("{SESSION}.json"));
    let held: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for field in ["name", "sha256", "notice"] {
        let mut changed = held.clone();
        changed[field] = "other".into();
        fs::write(&path, serde_json::to_vec(&changed).unwrap()).unwrap();
        assert!(!check(&folder, &key).verified, "{field}");
    }
}

/// entries behind those of the final statement were never made by the bridge.
#[test]
fn entries_behind_the_final_statement_are_noticed() {
    let (_keep, folder) = place();
    let key = record(&folder);
    let path = folder.join(format!("{SESSION}.log"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}3 9 1048576 {}\n", "ab".repeat(32))).unwrap();
    let report = check(&folder, &key);
    assert!(!report.verified);
    has(&report.failures, "no entry is made after it");
    assert_eq!(report.coverage.unwrap().covered, 3);
}

/// statements of two bridges in one folder: the other's verify nothing, and so does the other's key.pem beside them.
#[test]
fn statements_of_two_bridges_are_told_apart() {
    let (_keep, folder) = place();
    let key = record(&folder);
    let (_keep, other) = place();
    let mut bridge =
        bridge_with(&SimSetup { seed: Some([9; 32]), ..SimSetup::default() }, Default::default());
    Session::start(&mut bridge, &other, START, false).unwrap();
    let mut session = Session::resume(&mut bridge, &other).unwrap();
    session.statement(Ending::Final, END).unwrap();
    drop(session);
    for ending in FILES {
        let from = other.join(format!("{SESSION}.{ending}"));
        fs::copy(from, folder.join(format!("boot00001-session0009.{ending}"))).unwrap();
    }
    let report = check(&folder, &key);
    assert!(!report.verified);
    let bad: Vec<_> = report.statements.iter().filter(|one| !one.verified).collect();
    assert_eq!((bad.len(), bad[0].file.as_str()), (1, "boot00001-session0009.cbor"));
    assert!(bad[0].failures[0].contains("another key"), "{bad:?}");
    for ending in FILES {
        fs::remove_file(folder.join(format!("boot00001-session0009.{ending}"))).unwrap();
    }
    assert!(check(&folder, &key).verified);
    fs::write(folder.join("key.pem"), pem(&bridge.info().unwrap().public_key)).unwrap();
    has(&check(&folder, &key).failures, "is not the key that was given");
}

/// U-6: beginning a session in the folder of another bridge leaves that bridge's open session as it is.
#[test]
fn the_open_session_of_another_bridge_is_left_alone() {
    let (_keep, folder) = place();
    let mut one = bridge();
    Session::start(&mut one, &folder, START, false).unwrap();
    let before = content(&folder);
    let mut other =
        bridge_with(&SimSetup { seed: Some([9; 32]), ..SimSetup::default() }, Default::default());
    let (exit, text) = failed(Session::start(&mut other, &folder, [0x77; 32], false));
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("another bridge"), "{text}");
    assert_eq!(content(&folder), before);
    let mut session = Session::resume(&mut one, &folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
}

/// a nonce that was answered once is not sent again in the same session: the old answer would be a good one.
#[test]
fn a_nonce_is_used_once() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Checkpoint, [0x33; 32]).unwrap();
    for nonce in [START, [0x33; 32]] {
        let (exit, text) = failed(session.statement(Ending::Checkpoint, nonce));
        assert_eq!(exit, Exit::Input);
        assert!(text.contains("this nonce was sent before"), "{text}");
    }
    session.statement(Ending::Final, END).unwrap();
}

/// That a session was given up is said as it was.
#[test]
fn a_session_that_was_given_up_is_said_to_be() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    Session::start(&mut bridge, &folder, [0x51; 32], true).unwrap();
    let journal = Journal::read(&Folder::at(&folder), SESSION).unwrap();
    let Some(Line::Broken { why, .. }) = journal.lines().last() else { panic!() };
    assert!(why.contains("given up"), "{why}");
}

/// 4.5: the key is made once, so it is not made where its record could not be written.
#[cfg(target_os = "linux")]
#[test]
fn no_key_is_made_where_it_cannot_be_kept() {
    let keyless = SimSetup { seed: None, ..SimSetup::default() };
    let mut link = Link::new(SimPort::without_drive(&keyless).unwrap());
    // A folder in which nobody makes files.
    let done = provision(&mut link, Path::new("/proc/self"), Given::default(), &[1; 32]);
    let (exit, text) = failed(done);
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("cannot be written to"), "{text}");
    assert_eq!(link.info().unwrap().public_key, [0; 32]);
}

/// A serial string with escape sequences is text and moves no cursor; nor does one that turns the line around.
#[test]
fn what_a_device_calls_itself_is_escaped() {
    let identity = Identity {
        bus: "1\u{7}".to_owned(),
        address: 5,
        product: String::new(),
        serial: "FE81\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\n".to_owned(),
        release: 0x10,
        speed: None,
    };
    let line = identity.line();
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    assert!(line.chars().all(is_plain), "{line:?}");
    assert!(line.starts_with("FE81\\u{1b}[2J"), "{line}");
    assert_eq!(shown("Größe ١٢ 中"), "Größe ١٢ 中");
}

/// A bridge that hands out entries without end costs an error, not the disk.
#[test]
fn entries_that_no_session_makes_are_refused() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    bridge.port_mut().tricks.first_leaf = Some(u64::MAX - 3);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let (exit, text) = failed(session.drain());
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("more than any session makes"), "{text}");
    assert_eq!(fs::read(folder.join(format!("{SESSION}.log"))).unwrap(), b"");
}
