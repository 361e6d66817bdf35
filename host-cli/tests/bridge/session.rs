//! Sessions from START to stored statements, whole and broken.

use std::{fs, time::Duration};

use daleel::{
    bridge::{
        record::{Folder, Journal, Line},
        session::{Pace, Seen, Session},
        verify::verify,
    },
    exit::Exit,
};
use wb_attest::{
    interface::Ending,
    sha256,
    verify::{Signed, pem},
};
use wb_sim::bridge::Setup as SimSetup;

use crate::rig::{
    END, START, Tricks, bridge, bridge_with, failed, names, place, read, read_megabyte, replug,
    write,
};

const SESSION: &str = "boot00001-session0001";

/// start, read, finish: the statement is verified before it is stored, and the log holds the digests of what was read.
#[test]
fn a_session_is_stored_with_all_its_files() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let data = [read_megabyte(&mut bridge, 0), read_megabyte(&mut bridge, 5)];
    write(&mut bridge);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_eq!((stored.name.as_str(), stored.log, stored.entries), (SESSION, "agrees", 2));
    assert_eq!((stored.refused_modifying, stored.findings.len()), (1, 0));
    assert_eq!(stored.exit(), Exit::Success);
    let mut expected: Vec<_> = ["cbor", "json", "log", "session.jsonl", "sig", "tbs"]
        .iter()
        .map(|ending| format!("{SESSION}.{ending}"))
        .collect();
    expected.push("key.pem".to_owned());
    assert_eq!(names(&folder), expected);
    let cbor = fs::read(folder.join(format!("{SESSION}.cbor"))).unwrap();
    let tbs = fs::read(folder.join(format!("{SESSION}.tbs"))).unwrap();
    let sig = fs::read(folder.join(format!("{SESSION}.sig"))).unwrap();
    let signed = Signed::from_files(&cbor, &tbs, &sig).unwrap();
    assert_eq!(signed.unverified().end_nonce, END);
    let log = fs::read_to_string(folder.join(format!("{SESSION}.log"))).unwrap();
    for (line, (chunk, bytes)) in log.lines().zip([0, 5].iter().zip(&data)) {
        let digest = daleel::export::hashed::hex(&sha256(&[bytes]));
        assert!(line.ends_with(&format!(" {chunk} 1048576 {digest}")), "{line}");
    }
    let journal = Journal::load(&Folder::open(&folder).unwrap(), SESSION).unwrap();
    assert!(journal.is_ended());
    assert_eq!(journal.nonces(SESSION), Some((START, END)));
}

/// 5.3: start, checkpoint and finish are processes of their own; the log goes on where it was, also after a line was cut short by a crash.
#[test]
fn steps_of_a_session_are_separate_processes() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let first = session.statement(Ending::Checkpoint, [1; 32]).unwrap();
    drop(session);
    let log = folder.join(format!("{SESSION}.log"));
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{whole}1 1 10485")).unwrap();
    read_megabyte(&mut bridge, 1);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let second = session.statement(Ending::Checkpoint, [2; 32]).unwrap();
    drop(session);
    read_megabyte(&mut bridge, 2);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let last = session.statement(Ending::Final, [3; 32]).unwrap();
    assert_eq!(first.name, format!("{SESSION}.checkpoint0000"));
    assert_eq!(second.name, format!("{SESSION}.checkpoint0001"));
    assert_eq!([first.entries, second.entries, last.entries], [1, 2, 3]);
    assert!([&first, &second, &last].iter().all(|one| one.log == "agrees"));
    let outcome = verify(&folder, &bridge.info().unwrap().public_key).unwrap();
    assert!(outcome.report.verified, "{:#?}", outcome.report);
    assert_eq!(outcome.report.statements.len(), 3);
    assert_eq!(outcome.report.coverage.unwrap().covered, 3);
    assert_eq!(failed(Session::resume(&mut bridge, &folder)).0, Exit::Input, "it is closed");
}

/// 4.3: `run` takes a checkpoint after so many entries and ends with a final statement.
#[test]
fn a_kept_session_takes_checkpoints_by_itself() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    (0..5).for_each(|megabyte| drop(read_megabyte(&mut bridge, megabyte)));
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let pace = Pace { every: Duration::from_secs(3600), entries: 4 };
    let (mut rounds, mut number) = (0, 0_u8);
    let mut kinds = Vec::new();
    let mut nonce = || {
        number += 1;
        Ok([number; 32])
    };
    let mut stop = || {
        rounds += 1;
        rounds > 3
    };
    session
        .run(pace, &mut nonce, &mut stop, &mut |seen| {
            if let Seen::Stored(stored) = seen {
                kinds.push((stored.kind, stored.entries));
            }
            Ok(())
        })
        .unwrap();
    use wb_attest::statement::Kind::{Checkpoint, Final};
    assert_eq!(kinds, [(Checkpoint, 5), (Final, 5)]);
    assert!(verify(&folder, &bridge.info().unwrap().public_key).unwrap().report.verified);
}

/// A-2, D-05: a refused command shows while the session is kept, and in its statement.
#[test]
fn refused_commands_show_as_they_come() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    bridge.port_mut().tricks.writes = 2;
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let pace = Pace { every: Duration::from_secs(3600), entries: 4 };
    let (mut rounds, mut seen) = (0, Vec::new());
    let mut stop = || {
        rounds += 1;
        rounds > 4
    };
    session
        .run(pace, &mut || Ok(END), &mut stop, &mut |event| {
            match event {
                Seen::Refused(count) => seen.push(u64::from(count)),
                Seen::Stored(stored) => seen.push(stored.refused_modifying),
                Seen::Entries(_) => {}
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [1, 2, 2]);
}

/// a statement of another session, replayed, is refused, kept apart, and takes nobody's place.
#[test]
fn a_replayed_statement_is_refused() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
    let old = fs::read(folder.join(format!("{SESSION}.cbor"))).unwrap();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    bridge.port_mut().tricks = Tricks { replay: Some(old.clone()), ..Tricks::default() };
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let (exit, text) = failed(session.statement(Ending::Final, END));
    assert_eq!(exit, Exit::Verification);
    assert!(text.contains("of another session"), "{text}");
    let second = "boot00001-session0002";
    assert_eq!(fs::read(folder.join(format!("{second}.rejected"))).unwrap(), old);
    assert!(!folder.join(format!("{second}.cbor")).exists());
    assert!(verify(&folder, &bridge.info().unwrap().public_key).unwrap().report.verified);
}

/// a statement with another nonce than the one that was sent is refused, be it ever so well signed.
#[test]
fn a_statement_with_another_nonce_is_refused() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    bridge.port_mut().tricks = Tricks { nonce: Some([0x99; 32]), ..Tricks::default() };
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let (exit, text) = failed(session.statement(Ending::Final, END));
    assert_eq!(exit, Exit::Verification);
    assert!(text.contains("end nonce"), "{text}");
    assert!(folder.join(format!("{SESSION}.rejected")).exists());
    assert!(!folder.join(format!("{SESSION}.cbor")).exists());
}

/// truncated, and with one bit changed anywhere.
#[test]
fn a_damaged_statement_is_refused() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
    let whole = fs::read(folder.join(format!("{SESSION}.cbor"))).unwrap();
    let mut damaged = vec![whole[..whole.len() - 1].to_vec(), whole[..64].to_vec()];
    for at in [0, 20, 100, whole.len() / 2, whole.len() - 64, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 0x04;
        damaged.push(changed);
    }
    for bytes in damaged {
        let (_keep, folder) = place();
        bridge.port_mut().tricks = Tricks::default();
        Session::start(&mut bridge, &folder, START, false).unwrap();
        bridge.port_mut().tricks.replay = Some(bytes);
        let mut session = Session::resume(&mut bridge, &folder).unwrap();
        assert_eq!(failed(session.statement(Ending::Final, END)).0, Exit::Verification);
        assert!(names(&folder).iter().all(|name| !name.ends_with(".cbor")));
        drop(session);
        replug(&mut bridge);
    }
}

/// entries that were changed on the way do not make the signed root. The statement is kept and the difference named.
#[test]
fn a_log_that_differs_is_named() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    bridge.port_mut().tricks.flip_leaves = true;
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_eq!((stored.log, stored.exit()), ("differs", Exit::Verification));
    let report = verify(&folder, &bridge.info().unwrap().public_key).unwrap().report;
    assert!(!report.verified);
    assert_eq!(report.coverage.unwrap().covered, 0, "nothing is proven");
}

/// 5.3: a drive that is detached ends the session without a statement. The journal says so, and a new session can begin.
#[test]
fn a_session_that_broke_off_is_said_to_be() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Checkpoint, END).unwrap();
    drop(session);
    replug(&mut bridge);
    let (exit, text) = failed(Session::resume(&mut bridge, &folder));
    assert_eq!(exit, Exit::SourceLost);
    assert!(text.contains("broke off"), "{text}");
    let journal = Journal::load(&Folder::open(&folder).unwrap(), SESSION).unwrap();
    assert!(matches!(journal.lines().last(), Some(Line::Broken { .. })));
    assert_eq!(failed(Session::resume(&mut bridge, &folder)).0, Exit::Input);
    replug(&mut bridge);
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let report = verify(&folder, &bridge.info().unwrap().public_key).unwrap().report;
    assert!(report.verified, "the checkpoint stands");
    assert_eq!(report.coverage.unwrap().covered, 1);
}

/// Decision 0007: a reset of the bus by the host is no end of a session.
#[test]
fn a_session_outlives_a_reset_of_the_bus() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    bridge.port_mut().sim.host().enumerate();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    assert_eq!(session.statement(Ending::Final, END).unwrap().entries, 1);
}

/// 5.3: a kept session whose drive goes away ends with code 6 and with what the last checkpoint covers.
#[test]
fn a_kept_session_whose_drive_goes_away_says_so() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    bridge.port_mut().sim.host().device_mut().drive_mut().host_mut().unplug();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let pace = Pace { every: Duration::from_secs(3600), entries: 4 };
    let ran = session.run(pace, &mut || Ok(END), &mut || false, &mut |_| Ok(()));
    assert_eq!(failed(ran).0, Exit::SourceLost);
}

/// A statement that an interrupted run had asked for waits in the bridge and is stored by the next one, with its nonce.
#[test]
fn a_statement_left_in_the_bridge_is_fetched_later() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    bridge.port_mut().tricks.gone = 1;
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    assert_eq!(failed(session.statement(Ending::Final, END)).0, Exit::SourceLost);
    drop(session);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.waiting().unwrap().unwrap();
    assert_eq!((stored.name.as_str(), stored.log), (SESSION, "agrees"));
    assert_eq!(session.waiting().unwrap(), None);
    assert!(verify(&folder, &bridge.info().unwrap().public_key).unwrap().report.verified);
}

/// The same when the bridge never got to hear of it: what is ready from an earlier checkpoint is not taken for it.
#[test]
fn a_statement_that_never_was_asked_for_is_asked_for_again() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Checkpoint, [1; 32]).unwrap();
    drop(session);
    bridge.port_mut().tricks.deaf = 1;
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    assert_eq!(failed(session.statement(Ending::Final, END)).0, Exit::Input);
    drop(session);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.waiting().unwrap().unwrap();
    assert_eq!((stored.name.as_str(), stored.log), (SESSION, "agrees"));
    drop(session);
    assert!(verify(&folder, &bridge.info().unwrap().public_key).unwrap().report.verified);
}

/// 4.4: more entries than the bridge holds: the oldest are lost, which is said, and what follows is not covered.
#[test]
fn lost_entries_are_said_and_cover_nothing() {
    const RING: u32 = 1024;
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    for number in 0..RING + 6 {
        read_megabyte(&mut bridge, number % 32);
    }
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_eq!((stored.log, stored.exit()), ("missing", Exit::Findings));
    assert!(stored.findings[0].contains("dropped 6"), "{:?}", stored.findings);
    let report = verify(&folder, &bridge.info().unwrap().public_key).unwrap().report;
    assert!(report.verified);
    let coverage = report.coverage.unwrap();
    assert_eq!((coverage.covered, coverage.lost), (0, 32));
}

/// No key, no drive, a session of somebody else, a folder of another bridge: refused before anything is written.
#[test]
fn a_session_that_cannot_be_is_refused() {
    let (_keep, folder) = place();
    let keyless = SimSetup { seed: None, ..SimSetup::default() };
    let mut bridge = bridge_with(&keyless, Default::default());
    let (exit, text) = failed(Session::start(&mut bridge, &folder, START, false));
    assert_eq!((exit, text.as_str()), (Exit::Input, "the bridge has no key"));
    let mut bridge = crate::rig::bridge();
    bridge.port_mut().sim.host().device_mut().drive_mut().host_mut().unplug();
    bridge.port_mut().sim.host().device_mut().idle(100_000);
    let (exit, text) = failed(Session::start(&mut bridge, &folder, START, false));
    assert_eq!((exit, text.as_str()), (Exit::Input, "no drive is attached to the bridge"));
    assert!(!folder.exists());
    let mut bridge = crate::rig::bridge();
    bridge.start(&START).unwrap();
    let (exit, text) = failed(Session::start(&mut bridge, &folder, START, false));
    assert_eq!((exit, text.as_str()), (Exit::Input, "a session is open on this bridge"));
    Session::start(&mut bridge, &folder, START, true).unwrap();
    assert_eq!(
        names(&folder),
        ["boot00001-session0002.log", "boot00001-session0002.session.jsonl", "key.pem"]
    );
    fs::write(folder.join("key.pem"), pem(&[9; 32])).unwrap();
    replug(&mut bridge);
    let (exit, text) = failed(Session::start(&mut bridge, &folder, START, false));
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("another bridge"), "{text}");
}

/// U-6: a file that is there is not overwritten, not even by a statement.
#[test]
fn nothing_is_overwritten() {
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read(&mut bridge, 0, 8);
    let path = folder.join(format!("{SESSION}.sig"));
    fs::write(&path, "mine").unwrap();
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let (exit, text) = failed(session.statement(Ending::Final, END));
    assert_eq!(exit, Exit::Input);
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}
