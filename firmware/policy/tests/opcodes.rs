//! REPORT SUPPORTED OPERATION CODES names exactly the FWD, SYN and LOC rows (3.7).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use oracle::{Oracle, Session};
use wb_policy::{
    judge::{Answer, OpcodeQuery, opcodes::offered},
    present::{State, answer},
    sense::{AtaRegisters, NO_SENSE, Sense},
    tables::POLICY,
};

fn named(s: &Session) -> Vec<(u8, Option<u16>)> {
    let capture = session::capture(s);
    let facts = session::facts(s, &capture);
    offered(&POLICY, &facts).map(|command| (command.opcode, command.service_action)).collect()
}

const CORE: [u8; 16] = [
    0x00, 0x03, 0x08, 0x12, 0x1A, 0x1B, 0x1E, 0x23, 0x25, 0x28, 0x35, 0x5A, 0x88, 0x91, 0xA0, 0xA8,
];

/// 3.7, by hand.
#[test]
fn the_offered_commands_are_named_and_no_others() {
    let all = session::generous();
    let mut core: Vec<_> = CORE.into_iter().map(|opcode| (opcode, None)).collect();
    core.push((0x9E, Some(0x10)));
    core.sort_unstable();
    assert_eq!(named(&Session { ident: false, ..all }), core);

    let mut ident = core.clone();
    ident.extend([(0x4D, None), (0xA2, None)]);
    ident.extend([(0x95, Some(0)), (0xA3, Some(0x0C)), (0xA3, Some(0x0D))]);
    ident.sort_unstable();
    assert_eq!(named(&Session { rmb: true, ..all }), ident);

    ident.extend([(0x85, None), (0xA1, None)]);
    ident.sort_unstable();
    assert_eq!(named(&all), ident);

    core.extend([(0xA3, Some(0x0C)), (0xA3, Some(0x0D))]);
    core.sort_unstable();
    assert_eq!(named(&Session { card: true, rmb: true, ..all }), core);
}

/// 3.7, from the CSV text: a code is named if its row or one of its refinements is FWD, SYN or LOC.
#[test]
fn the_named_commands_are_the_rows_of_the_tables() {
    let oracle = Oracle::read();
    let words = ["FWD", "SYN", "LOC"];
    let mut expected = Vec::new();
    for (code, main) in (0..=u8::MAX).zip(&oracle.scsi) {
        let refined = oracle.sub.iter().filter(|row| row.layer == "scsi" && row.code == code);
        let refined: Vec<_> = refined.collect();
        let own = words.contains(&main.decision.as_str());
        if own || refined.iter().any(|row| words.contains(&row.decision.as_str())) {
            expected.push(code);
        }
    }
    let mut codes: Vec<u8> = named(&session::generous()).iter().map(|(code, _)| *code).collect();
    codes.dedup();
    assert_eq!(codes, expected);
}

/// 3.7, SPC-4 6.35: what the host sees of it.
#[test]
fn the_answer_is_made_of_the_offered_commands() {
    let s = session::generous();
    let capture = session::capture(&s);
    let facts = session::facts(&s, &capture);
    let (sense, registers) = (Sense::new(NO_SENSE), AtaRegisters::default());
    let state = State { capture: &capture, sense: &sense, registers: &registers, ident: true };
    let ask = |query| {
        let mut out = [0; 512];
        let question = Answer::SupportedOpcodes { query, allocation: 512 };
        let length = answer(&question, &state, offered(&POLICY, &facts), &mut out);
        out[..length].to_vec()
    };
    let all = ask(OpcodeQuery::All);
    assert_eq!(all.len(), 4 + 8 * named(&s).len());
    assert_eq!(all[..12], [0, 0, 0, 192, 0x00, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(ask(OpcodeQuery::Opcode(0x42)), [0, 1, 0, 0]);
    assert_eq!(ask(OpcodeQuery::ServiceAction(0x9E, 0x12)), [0, 1, 0, 0]);
    assert_eq!(ask(OpcodeQuery::ServiceAction(0x9E, 0x10))[..6], [0, 3, 0, 16, 0x9E, 0x10]);
    assert_eq!(ask(OpcodeQuery::Opcode(0x28))[..5], [0, 3, 0, 10, 0x28]);
}
