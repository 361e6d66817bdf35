//! The classifier against the CSV text: all operation codes, service actions, field patterns and lengths (policy 9.1, HWB-01).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use std::sync::LazyLock;

use oracle::{Oracle, Session, Verdict};
use proptest::prelude::*;
use wb_policy::{
    cbw::{Cbw, Cdb, Direction},
    judge::{Action, Facts, Judgement, classify, judge},
    sense::Refusal,
    tables::{Class, POLICY},
};

static ORACLE: LazyLock<Oracle> = LazyLock::new(Oracle::read);

fn class_of(class: Class) -> &'static str {
    match class {
        Class::Read => "READ",
        Class::Info => "INFO",
        Class::Other => "OTHER",
        Class::Modifying => "MOD",
        Class::Unknown => "UNK",
    }
}

fn seen(judgement: &Judgement) -> Verdict {
    let outcome = match judgement.action {
        Action::Read(Some(_)) | Action::Send(_) => "FWD",
        Action::Answer(_) => "SYN",
        Action::Good | Action::Read(None) => "LOC",
        Action::Refuse(Refusal::WriteProtected) => "WP",
        Action::Refuse(Refusal::OpCode) => "OP",
        Action::Refuse(Refusal::Field { .. }) => "FLD",
        Action::Refuse(Refusal::OutOfRange) => "LBA",
        Action::Refuse(Refusal::SavingNotSupported) => "SPNS",
    };
    Verdict { class: class_of(judgement.class).into(), outcome: outcome.into() }
}

fn compare(oracle: &Oracle, s: &Session, facts: &Facts<'_>, bytes: &[u8]) {
    let cdb = Cdb::new(bytes).unwrap();
    let judged = classify(&POLICY, facts, &cdb);
    assert_eq!(seen(&judged), oracle.scsi(s, bytes, None), "{cdb:?} in {s:?}: {judged:?}");
    if let Action::Refuse(Refusal::Field { byte }) = judged.action {
        assert!(byte < 16, "{cdb:?} points to byte {byte}");
    }
}

fn natural_length(opcode: u8) -> usize {
    if matches!(opcode >> 5, 3 | 6 | 7) { 16 } else { oracle::right_length(opcode) }
}

/// Policy 9.1: 256 operation codes x 32 service actions x {0, all ones}, in every session.
#[test]
fn every_operation_code_and_service_action_is_judged_as_the_tables_say() {
    let oracle = &ORACLE;
    for s in session::sessions() {
        let capture = session::capture(&s);
        let facts = session::facts(&s, &capture);
        for opcode in 0..=u8::MAX {
            for action in 0..32 {
                for fill in [0x00, 0xFF] {
                    let mut bytes = vec![fill; natural_length(opcode)];
                    bytes[0] = opcode;
                    bytes[1] = (fill & 0xE0) | action;
                    compare(oracle, &s, &facts, &bytes);
                }
            }
        }
    }
}

/// Policy 9.1, B10: every length 0 to 31. No command block of 0 or more than 16 bytes exists; others are judged, and what is
/// offered is refused unless its length is the right one.
#[test]
fn every_length_is_judged_and_none_panics() {
    let oracle = &ORACLE;
    let s = session::generous();
    let capture = session::capture(&s);
    let facts = session::facts(&s, &capture);
    for opcode in 0..=u8::MAX {
        for length in 0..32_usize {
            for action in 0..32 {
                for fill in [0x00, 0xFF] {
                    let mut bytes = vec![fill; length];
                    if let Some(first) = bytes.first_mut() {
                        *first = opcode;
                    }
                    if let Some(second) = bytes.get_mut(1) {
                        *second = (fill & 0xE0) | action;
                    }
                    if (1..=16).contains(&length) {
                        compare(oracle, &s, &facts, &bytes);
                    } else {
                        assert!(Cdb::new(&bytes).is_none());
                    }
                }
            }
        }
    }
}

/// Policy 9.1: every value of every byte alone, the others zero, and the others all ones.
#[test]
fn every_value_of_every_byte_is_judged_as_the_tables_say() {
    let oracle = &ORACLE;
    for s in [session::generous(), Session { cap: 1000, smart: false, ..session::generous() }] {
        let capture = session::capture(&s);
        let facts = session::facts(&s, &capture);
        for opcode in 0..=u8::MAX {
            let length = natural_length(opcode);
            for place in 1..length {
                for value in 0..=u8::MAX {
                    for fill in [0x00, 0xFF] {
                        let mut bytes = vec![fill; length];
                        bytes[0] = opcode;
                        bytes[place] = value;
                        compare(oracle, &s, &facts, &bytes);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Random command blocks in random sessions, with a bias towards offered codes.
    #[test]
    fn random_commands_are_judged_as_the_tables_say(
        place in 0..19_usize,
        opcode in prop_oneof![
            any::<u8>(),
            prop::sample::select(vec![
                0x00_u8, 0x08, 0x12, 0x1A, 0x1B, 0x28, 0x4D, 0x5A, 0x85, 0x88, 0x95, 0x9E, 0xA0, 0xA1,
                0xA2, 0xA3, 0xA8,
            ]),
        ],
        mut bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 2 => any::<u8>()], 16),
    ) {
        let s = session::sessions()[place];
        let capture = session::capture(&s);
        bytes[0] = opcode;
        bytes.truncate(natural_length(opcode));
        compare(&ORACLE, &s, &session::facts(&s, &capture), &bytes);
    }

    /// Whole wrappers: direction and length change nothing but for ATA commands, and nothing panics.
    #[test]
    fn random_wrappers_are_judged_as_the_tables_say(
        bytes in prop::collection::vec(any::<u8>(), 1..=16_usize),
        transfer in any::<u32>(),
        to_host in any::<bool>(),
    ) {
        let s = session::generous();
        let capture = session::capture(&s);
        let direction = if to_host { Direction::In } else { Direction::Out };
        let cbw = Cbw { tag: 1, transfer, direction, lun: 0, cdb: Cdb::new(&bytes).unwrap() };
        let judged = judge(&POLICY, &session::facts(&s, &capture), &cbw);
        let expected = ORACLE.scsi(&s, &bytes, Some((to_host, transfer)));
        prop_assert_eq!(seen(&judged), expected);
        let _ = judged.expected_in(512);
    }
}
