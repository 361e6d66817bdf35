//! REPORT SUPPORTED OPERATION CODES in its two formats (section 3.7; SPC-4 6.35).

use hex_literal::hex;
use wb_policy::{
    capture::Capture,
    judge::{Answer, Facts, OpcodeQuery, Profiles, opcodes},
    present::{self, Offered},
    tables::POLICY,
};

use crate::{ROOM, captures, with_state};

const COMMANDS: [Offered; 5] = [
    Offered { opcode: 0x00, service_action: None },
    Offered { opcode: 0x28, service_action: None },
    Offered { opcode: 0x88, service_action: None },
    Offered { opcode: 0x9E, service_action: Some(0x10) },
    Offered { opcode: 0xA3, service_action: Some(0x0C) },
];

fn report(query: OpcodeQuery) -> Vec<u8> {
    with_state(&captures::sata(), |state| {
        let answer = Answer::SupportedOpcodes { query, allocation: 8192 };
        let mut out = [0xEE; ROOM];
        let length = present::answer(&answer, state, COMMANDS.into_iter(), &mut out);
        out[..length].to_vec()
    })
}

/// Eight bytes for each command, no timeouts.
#[test]
fn all_commands() {
    let expected = hex!(
        "00 00 00 28"
        "00 00 00 00 00 00 00 06"
        "28 00 00 00 00 00 00 0A"
        "88 00 00 00 00 00 00 10"
        "9E 00 00 10 00 01 00 10"
        "A3 00 00 0C 00 01 00 0C"
    );
    assert_eq!(report(OpcodeQuery::All), expected);
}

/// The usage map shows the operation code, the service action, and the bits that the blocker looks at.
#[test]
fn one_command() {
    let read10 = hex!("00 03 00 0A 28 E0 FF FF FF FF 00 FF FF FF");
    assert_eq!(report(OpcodeQuery::Opcode(0x28)), read10);
    assert_eq!(report(OpcodeQuery::Either(0x28, 0)), read10);
    let capacity = hex!("00 03 00 10 9E 10 00 00 00 00 00 00 00 00 FF FF FF FF 00 00");
    assert_eq!(report(OpcodeQuery::ServiceAction(0x9E, 0x10)), capacity);
    assert_eq!(report(OpcodeQuery::Either(0x9E, 0x10)), capacity);
    let codes = hex!("00 03 00 0C A3 0C 87 FF FF FF FF FF FF FF 00 00");
    assert_eq!(report(OpcodeQuery::ServiceAction(0xA3, 0x0C)), codes);
}

/// What is not offered is not supported: 001b, and no usage map. Writing and unmapping among it.
#[test]
fn the_rest_is_not_supported() {
    for query in [
        OpcodeQuery::Opcode(0x2A),
        OpcodeQuery::Opcode(0x42),
        OpcodeQuery::Opcode(0x9E),
        OpcodeQuery::Either(0x93, 0),
        OpcodeQuery::Either(0x28, 1),
        OpcodeQuery::Either(0x9E, 0),
        OpcodeQuery::ServiceAction(0x28, 0),
        OpcodeQuery::ServiceAction(0x9E, 0x14),
        OpcodeQuery::ServiceAction(0x9E, 0x110),
    ] {
        assert_eq!(report(query), hex!("00 01 00 00"), "{query:?}");
    }
}

/// A list longer than the allocation length states its whole length (SPC-4 4.2.5.6).
#[test]
fn a_cut_list_states_its_whole_length() {
    with_state(&captures::sata(), |state| {
        let answer = Answer::SupportedOpcodes { query: OpcodeQuery::All, allocation: 12 };
        let mut out = [0; 64];
        assert_eq!(present::answer(&answer, state, COMMANDS.into_iter(), &mut out), 12);
        assert_eq!(out[..12], hex!("00 00 00 28 00 00 00 00 00 00 00 06"));
        assert_eq!(present::length(&answer, state, COMMANDS.into_iter()), 12);
    });
}

/// 3.7: the list of the published policy itself, for a disk and for a stick, which has no pass-through.
#[test]
fn the_published_policy_lists_what_it_answers() {
    let listed = |capture: &Capture, profiles| {
        let facts = Facts { profiles, capture, last_sense: None };
        let answer = Answer::SupportedOpcodes { query: OpcodeQuery::All, allocation: 8192 };
        let mut out = [0; ROOM];
        let length = with_state(capture, |state| {
            present::answer(&answer, state, opcodes::offered(&POLICY, &facts), &mut out)
        });
        let descriptors = out[4..length].chunks(8);
        descriptors.map(|own| (own[0], own[3], own[7])).collect::<Vec<_>>()
    };
    let core = vec![
        (0x00, 0, 6),
        (0x03, 0, 6),
        (0x08, 0, 6),
        (0x12, 0, 6),
        (0x1A, 0, 6),
        (0x1B, 0, 6),
        (0x1E, 0, 6),
        (0x23, 0, 10),
        (0x25, 0, 10),
        (0x28, 0, 10),
        (0x35, 0, 10),
        (0x5A, 0, 10),
        (0x88, 0, 16),
        (0x91, 0, 16),
        (0x9E, 0x10, 16),
        (0xA0, 0, 12),
        (0xA8, 0, 12),
    ];
    let ident =
        [(0x4D, 0, 10), (0x95, 0x00, 16), (0xA2, 0, 12), (0xA3, 0x0C, 12), (0xA3, 0x0D, 12)];
    let (off, on) = (Profiles { ident: false, smart: false }, Profiles::default());
    assert_eq!(listed(&captures::sata(), off), core);
    let mut stick = core.clone();
    stick.extend(ident);
    stick.sort_unstable();
    assert_eq!(listed(&captures::stick(), on), stick);
    let mut disk = stick;
    disk.extend([(0x85, 0, 16), (0xA1, 0, 12)]);
    disk.sort_unstable();
    assert_eq!(listed(&captures::sata(), on), disk);
}
