//! ATA commands through both pass-through commands against the CSV text (policy 9.2, B4, B5, B6).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use oracle::{Ata, Oracle, Session};
use wb_policy::{
    cbw::{Cbw, Cdb, Direction},
    judge::{Action, Facts, classify, classify_ata, judge},
    sense::Refusal,
    tables::POLICY,
};

fn outcome(action: &Action) -> &'static str {
    match action {
        Action::Read(_) => "READ",
        Action::Send(_) => "FWD",
        Action::Answer(_) => "SYN",
        Action::Good => "LOC",
        Action::Refuse(Refusal::WriteProtected) => "WP",
        Action::Refuse(Refusal::OpCode) => "OP",
        Action::Refuse(Refusal::Field { .. }) => "FLD",
        Action::Refuse(_) => "?",
    }
}

fn compare(oracle: &Oracle, s: &Session, facts: &Facts<'_>, bytes: &[u8]) {
    let cdb = Cdb::new(bytes).unwrap();
    let judged = classify(&POLICY, facts, &cdb);
    let expected = oracle.scsi(s, bytes, None);
    assert_eq!(outcome(&judged.action), expected.outcome, "{cdb:?} in {s:?}: {judged:?}");
    let alone = classify_ata(&POLICY, facts, &cdb).unwrap();
    let expected = oracle.ata(s, &Ata::of(bytes));
    assert_eq!(outcome(&alone.action), expected.outcome, "{cdb:?} in {s:?}: {alone:?}");
}

/// A pass-through with the flags that go with its protocol and fields that most rows let through.
fn request(long: bool, command: u8, feature: u8, protocol: u8, count: u8) -> Vec<u8> {
    let first = protocol << 1;
    let second = if protocol == 3 { 0x20 } else { 0x0E };
    if long {
        vec![0x85, first, second, 0, feature, 0, count, 0, 0, 0, 0x4F, 0, 0xC2, 0x40, command, 0]
    } else {
        vec![0xA1, first, second, feature, count, 0, 0x4F, 0xC2, 0x40, command, 0, 0]
    }
}

/// Policy 9.2: 256 commands x 256 FEATURES x 16 protocols x both operation codes x EXTEND.
#[test]
fn every_ata_command_is_judged_as_the_tables_say() {
    let oracle = Oracle::read();
    let all = session::generous();
    for s in [all, Session { smart: false, listed: false, ..all }] {
        let capture = session::capture(&s);
        let facts = session::facts(&s, &capture);
        for long in [true, false] {
            for command in 0..=u8::MAX {
                for protocol in 0..16 {
                    for feature in 0..=u8::MAX {
                        let count = u8::from(protocol != 3);
                        let mut bytes = request(long, command, feature, protocol, count);
                        compare(&oracle, &s, &facts, &bytes);
                        if matches!(protocol, 3 | 4 | 6) {
                            bytes[1] |= 1;
                            compare(&oracle, &s, &facts, &bytes);
                        }
                    }
                }
            }
        }
    }
}

/// Every command that passes, as the policy writes it (4.1b): bytes and the length of the data phase.
fn canonical() -> Vec<Vec<u8>> {
    let lines = [
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00",
        "85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00",
        "85 09 0E 00 00 00 03 00 30 00 02 00 00 40 2F 00",
        "85 0D 0E 00 00 00 03 00 80 01 01 00 00 40 47 00",
        "85 08 0E 00 01 00 02 00 00 00 01 00 00 40 5C 00",
        "85 0C 0E 00 EF 00 08 00 00 00 00 00 00 40 5D 00",
        "85 0D 0E 11 00 00 10 01 56 00 34 00 12 40 4A 00",
        "85 08 0E 00 D0 00 01 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D1 00 01 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D5 00 01 00 E0 00 4F 00 C2 40 B0 00",
        "85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 0C 0E 00 00 00 01 00 00 00 00 00 00 40 EE 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E7 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 EA 00",
        "A1 08 0E 00 01 00 00 00 40 EC 00 00",
        "A1 06 20 00 00 00 00 00 40 F8 00 00",
        "A1 06 20 DA 00 00 4F C2 40 B0 00 00",
        "A1 08 0E D5 01 09 4F C2 40 B0 00 00",
        "A1 08 0E 01 02 00 01 00 40 5C 00 00",
        "85 1E 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
    ];
    let byte = |text| u8::from_str_radix(text, 16).unwrap();
    lines.iter().map(|line| line.split(' ').map(byte).collect()).collect()
}

/// B5: a command that passes, with any one byte changed to any value: the classifier sees every change that the tables see.
#[test]
fn one_changed_byte_is_judged_as_the_tables_say() {
    let oracle = Oracle::read();
    for s in session::sessions() {
        let capture = session::capture(&s);
        let facts = session::facts(&s, &capture);
        for bytes in canonical() {
            for place in 1..bytes.len() {
                for value in 0..=u8::MAX {
                    let mut changed = bytes.clone();
                    changed[place] = value;
                    compare(&oracle, &s, &facts, &changed);
                }
            }
        }
    }
}

/// B10: direction and length of the wrapper must agree with the command.
#[test]
fn a_wrapper_that_disagrees_with_the_command_is_refused() {
    let oracle = Oracle::read();
    let s = session::generous();
    let capture = session::capture(&s);
    let facts = session::facts(&s, &capture);
    for bytes in canonical() {
        for transfer in [0, 1, 511, 512, 513, 1024, 1536, 4096, 8192, u32::MAX] {
            for to_host in [false, true] {
                let direction = if to_host { Direction::In } else { Direction::Out };
                let cdb = Cdb::new(&bytes).unwrap();
                let cbw = Cbw { tag: 0, transfer, direction, lun: 0, cdb };
                let judged = judge(&POLICY, &facts, &cbw);
                let expected = oracle.scsi(&s, &bytes, Some((to_host, transfer)));
                assert_eq!(outcome(&judged.action), expected.outcome, "{cbw:?}: {judged:?}");
            }
        }
    }
}

/// 4.1: a refused ATA command points to its command byte, wherever the wrapper around it may err.
#[test]
fn a_refused_ata_command_points_to_its_code() {
    let s = session::generous();
    let capture = session::capture(&s);
    let facts = session::facts(&s, &capture);
    for (long, byte) in [(true, 14), (false, 9)] {
        let cdb = Cdb::new(&request(long, 0xE6, 0, 3, 0)).unwrap();
        let judged = classify(&POLICY, &facts, &cdb);
        assert_eq!(judged.action, Action::Refuse(Refusal::Field { byte }));
    }
}
