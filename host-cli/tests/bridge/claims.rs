//! Statements whose signature is right and whose claims are not: each lie by itself, told by a bridge that has the enrolled key.

use std::{fs, path::Path};

use daleel::{
    bridge::{
        session::Session,
        verify::{VerifyJson, verify},
    },
    exit::Exit,
};
use wb_attest::interface::Ending;
use wb_sim::{bridge::Setup as SimSetup, host::Phase};

use crate::{
    forge::{Cbor, forged, numbers, replace},
    rig::{Bridge, END, START, bridge, bridge_with, place, read_megabyte, write},
};

const SESSION: &str = "boot00001-session0001";
const CHECKPOINT: &str = "boot00001-session0001.checkpoint0000";
// Keys of the claims.
const DEVICE: i128 = -65_538;
const FIRMWARE: i128 = -65_539;
const TIMES: i128 = -65_540;
const DRIVE: i128 = -65_541;
const OWN: i128 = -65_542;
const COUNTERS: i128 = -65_543;
const EMITTED: i128 = -65_544;
const REFUSALS: i128 = -65_545;
const COVERAGE: i128 = -65_546;
const LOG: i128 = -65_547;
const AUDIT: i128 = -65_549;
/// Layer SCSI.
const SCSI: i128 = 0;
/// WRITE(10).
const WRITE: i128 = 0x2A;

/// Two megabytes, a checkpoint, a refused write, a final statement.
fn record(folder: &Path) -> [u8; 32] {
    let mut bridge = bridge();
    session(&mut bridge, folder);
    bridge.info().unwrap().public_key
}

fn session(bridge: &mut Bridge, folder: &Path) {
    Session::start(bridge, folder, START, false).unwrap();
    read_megabyte(bridge, 0);
    let mut session = Session::resume(bridge, folder).unwrap();
    session.statement(Ending::Checkpoint, [0x33; 32]).unwrap();
    drop(session);
    read_megabyte(bridge, 5);
    write(bridge);
    let mut session = Session::resume(bridge, folder).unwrap();
    session.statement(Ending::Final, END).unwrap();
}

/// What is said of evidence in which one statement tells a lie.
fn judged(name: &str, lie: impl FnOnce(&mut Cbor)) -> VerifyJson {
    let (_keep, folder) = place();
    let key = record(&folder);
    replace(&folder, name, lie);
    let report = verify(&folder, &key).unwrap().report;
    assert!(report.statements.iter().all(|one| one.verified), "all signatures fit: {report:#?}");
    report
}

fn texts(report: &VerifyJson) -> Vec<&String> {
    let own = report.statements.iter().flat_map(|one| &one.failures);
    own.chain(&report.failures).collect()
}

#[track_caller]
fn is_caught(report: &VerifyJson, text: &str) {
    assert!(!report.verified, "{report:#?}");
    assert_eq!(report.exit(), Exit::Verification);
    let texts = texts(report);
    assert!(texts.iter().any(|failure| failure.contains(text)), "{text}: {texts:#?}");
}

/// The evidence as it is: nothing is wrong with it, so what the others find is the lie.
#[test]
fn the_truth_is_believed() {
    let report = judged(SESSION, |_| {});
    assert!(report.verified && texts(&report).is_empty(), "{report:#?}");
}

/// HWB-AM-01: a bridge that signs that it sent a write is no proof that nothing was written.
#[test]
fn a_statement_that_tells_of_a_write_to_the_drive_is_no_good_one() {
    let report = judged(SESSION, |claims| {
        // Layer, code, service action, how often, how often up to START.
        claims.push(&[EMITTED, 2, 1], numbers(&[SCSI, WRITE, 0, 1, 0]));
        claims.add(&[EMITTED, 2, 0], 1);
        claims.add(&[EMITTED, 0], 1);
        claims.add(&[EMITTED, 1], 31);
    });
    is_caught(&report, "was sent to the drive: Scsi 2Ah/0000h, 1 times");
}

/// HWB-AM-01: the same of the commands of its own.
#[test]
fn a_write_among_the_bridges_own_steps_is_no_good() {
    let report = judged(SESSION, |claims| {
        // Row of the script, the command, how often, no answer.
        let mut step = numbers(&[1, SCSI, WRITE, 0, 1]);
        step.push(&[], Cbor::Simple(0xF6));
        claims.push(&[OWN, 1, 1], step);
        claims.add(&[OWN, 1, 0], 1);
        claims.add(&[OWN, 0], 1);
    });
    is_caught(&report, "is a step of its own: Scsi 2Ah");
}

/// a refused write, told as one that was passed on.
#[test]
fn a_write_of_the_host_that_was_passed_on_is_no_good() {
    let report = judged(SESSION, |claims| {
        let Cbor::Array(rows) = claims.at(&[COUNTERS, 2, 1]).clone() else { panic!() };
        let row = rows.iter().position(|row| row.clone().at(&[1]) == &Cbor::Int(WRITE));
        let row = row.unwrap() as i128;
        // Answers: received, forwarded, synthesised, refused for write protection ...
        for path in [vec![COUNTERS, 2, 1, row, 3], vec![COUNTERS, 0]] {
            claims.add(&[&path[..], &[1]].concat(), 1);
            claims.add(&[&path[..], &[3]].concat(), -1);
        }
        claims.add(&[REFUSALS, 0], -1);
        claims.add(&[REFUSALS, 1], -1);
        let Cbor::Array(first) = claims.at(&[REFUSALS, 2]) else { panic!() };
        first.pop();
    });
    is_caught(&report, "of the host was passed on: Scsi 2Ah/0000h, 1 times");
}

/// B24: time runs forwards, from checkpoint to checkpoint and within each.
#[test]
fn time_that_goes_backwards_is_no_good() {
    let report = judged(CHECKPOINT, |claims| claims.add(&[TIMES, 4], 3_600_000_000));
    is_caught(&report, "the bridge's clock went back");
    let report = judged(SESSION, |claims| claims.add(&[TIMES, 3], -1));
    is_caught(&report, "the session began at another time");
    let report = judged(SESSION, |claims| *claims.at(&[TIMES, 4]) = Cbor::Int(0));
    is_caught(&report, "kind, end reason and times");
}

/// B24: what only grows does not shrink from a checkpoint to the final statement.
#[test]
fn figures_that_shrink_are_no_good() {
    let report = judged(CHECKPOINT, |claims| {
        claims.add(&[EMITTED, 0], 1000);
        claims.add(&[EMITTED, 1], 31_000);
        claims.add(&[EMITTED, 2, 1, 0, 3], 1000);
    });
    is_caught(&report, "a counter of the commands sent to the drive went back");
    let report = judged(CHECKPOINT, |claims| {
        claims.add(&[COVERAGE, 0], 10_000);
        claims.add(&[COVERAGE, 1, 1, 0, 1], 10_000);
    });
    is_caught(&report, "fewer blocks were read than before");
    let report = judged(CHECKPOINT, |claims| claims.add(&[AUDIT, 1], 1000));
    is_caught(&report, "the audit ring is shorter");
    let report = judged(CHECKPOINT, |claims| claims.add(&[COUNTERS, 1, 0], 1));
    is_caught(&report, "a counter of the host's commands went back");
    let report = judged(CHECKPOINT, |claims| claims.add(&[LOG, 3], 1));
    is_caught(&report, "the digest log is shorter than before");
}

/// B23: one session is of one drive and of one firmware.
#[test]
fn another_drive_or_firmware_within_a_session_is_no_good() {
    let report = judged(CHECKPOINT, |claims| claims.add(&[DRIVE, 1], 8));
    is_caught(&report, "the drive is another one");
    is_caught(&report, "it is of a medium of 65544 blocks");
    let other = || Cbor::Bytes(vec![0xEE; 32]);
    let report = judged(CHECKPOINT, |claims| *claims.at(&[FIRMWARE, 0]) = other());
    is_caught(&report, "the firmware is another one");
    is_caught(&report, "the session began with another firmware");
}

/// a digest of what was not read, by the same statement.
#[test]
fn an_entry_for_what_was_not_read_is_no_good() {
    let report = judged(SESSION, |claims| {
        claims.add(&[COVERAGE, 0], -1);
        claims.add(&[COVERAGE, 1, 1, 1, 1], -1);
    });
    is_caught(
        &report,
        "log entry 1 is of megabyte 5, which by the same statement was not read whole",
    );
}

/// 4.3: what is odd and not wrong is a finding, never silent.
#[test]
fn odd_claims_are_findings() {
    let odd = |lie: &dyn Fn(&mut Cbor), text: &str| {
        let report = judged(SESSION, |claims| lie(claims));
        assert!(report.verified, "{report:#?}");
        let findings: Vec<_> = report.statements.iter().flat_map(|one| &one.findings).collect();
        assert!(findings.iter().any(|finding| finding.contains(text)), "{text}: {findings:?}");
    };
    odd(&|claims| *claims.at(&[DEVICE, 3]) = Cbor::Int(1), "capacity changed");
    odd(&|claims| *claims.at(&[DEVICE, 3]) = Cbor::Int(6), "tamper inputs were active (0x6)");
    odd(&|claims| *claims.at(&[DRIVE, 6]) = Cbor::Simple(0xF5), "hidden area or disagreeing");
}

/// a statement that tells of less than the bridge had shown before is stored, and what it leaves out is named.
#[test]
fn a_statement_that_tells_less_than_the_bridge_had_shown_is_named() {
    let (_keep, folder) = place();
    record(&folder);
    let honest = fs::read(folder.join(format!("{SESSION}.cbor"))).unwrap();
    let quiet = forged(&honest, |claims| claims.add(&[REFUSALS, 1], -1));
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Checkpoint, [0x33; 32]).unwrap();
    drop(session);
    read_megabyte(&mut bridge, 5);
    write(&mut bridge);
    bridge.port_mut().tricks.replay = Some(quiet);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_eq!(stored.exit(), Exit::Verification);
    assert!(
        stored.findings[0].contains("0 refused modifying commands; the bridge itself had shown 1"),
        "{:?}",
        stored.findings
    );
}

/// what comes after a checkpoint is held against it when it is stored, not only when it is checked.
#[test]
fn a_statement_that_does_not_follow_the_one_before_is_named() {
    let (_keep, folder) = place();
    record(&folder);
    let honest = fs::read(folder.join(format!("{SESSION}.cbor"))).unwrap();
    let early = forged(&honest, |claims| {
        let Cbor::Int(start) = claims.at(&[TIMES, 3]).clone() else { panic!() };
        *claims.at(&[TIMES, 4]) = Cbor::Int(start);
    });
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    read_megabyte(&mut bridge, 0);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    session.statement(Ending::Checkpoint, [0x33; 32]).unwrap();
    drop(session);
    read_megabyte(&mut bridge, 5);
    bridge.port_mut().tricks.replay = Some(early);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_eq!(stored.exit(), Exit::Verification);
    assert!(stored.findings.iter().any(|text| text.contains("clock went back")), "{stored:?}");
}

/// HWB-AM-05: an honest bridge that was asked for everything there is, under every profile, is never called a liar.
#[test]
fn an_honest_bridge_that_was_asked_for_everything_is_believed() {
    let (_keep, folder) = place();
    let mut setup = SimSetup::default();
    setup.profiles.ident = true;
    setup.profiles.smart = true;
    let mut bridge = bridge_with(&setup, Default::default());
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let mut ask = |cdb: &[u8], phase: Phase<'_>| {
        let host = bridge.port_mut().sim.host();
        if host.command(cdb, phase).is_err() {
            host.recover();
        }
    };
    for opcode in 0..=255_u8 {
        let length = [6, 10, 10, 16, 16, 12, 16, 16][usize::from(opcode >> 5)];
        for action in 0..32 {
            let mut cdb = vec![0; length];
            (cdb[0], cdb[1]) = (opcode, action);
            ask(&cdb, Phase::None);
            cdb[length - 2] = 1;
            ask(&cdb, Phase::In(512));
        }
    }
    for command in 0..=255 {
        for features in [0x00, 0x01, 0x02, 0xC2, 0xD0, 0xD1, 0xD5, 0xDA] {
            for (protocol, flags, phase) in
                [(3, 0x20, Phase::None), (4, 0x0E, Phase::In(512)), (4, 0x2E, Phase::In(512))]
            {
                let smart = if command == 0xB0 { (0x4F, 0xC2) } else { (0, 0) };
                let head = protocol << 1;
                let (mid, high) = smart;
                ask(
                    &[0x85, head, flags, 0, features, 0, 1, 0, 0, 0, mid, 0, high, 0, command, 0],
                    phase,
                );
            }
        }
    }
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    assert_ne!(stored.exit(), Exit::Verification, "{stored:#?}");
    assert!(stored.refused_modifying > 1_000);
    let report = verify(&folder, &bridge.info().unwrap().public_key).unwrap().report;
    assert!(report.verified, "{report:#?}");
}
