//! Known answers: each canonical ATA command, READ at its edges, field pointers, what the host takes of an answer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use oracle::Session;
use proptest::prelude::*;
use wb_policy::{
    capture::{Asked, Capture, Identify, Kind, NotRun},
    cbw::{Cbw, Cdb, Direction},
    down::{CbwOut, DownCommand},
    geometry::Geometry,
    judge::{
        Action, Answer, Basis, Facts, Judgement, Layer, LocalEffect, classify, judge, local_effect,
    },
    sat::LISTED_BRIDGES,
    sense::Refusal,
    tables::{Class, Decision, POLICY, Response},
};

fn bytes(text: &str) -> Vec<u8> {
    text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn in_session(s: &Session, text: &str) -> Judgement {
    let capture = session::capture(s);
    classify(&POLICY, &session::facts(s, &capture), &Cdb::new(&bytes(text)).unwrap())
}

fn judged(text: &str) -> Judgement {
    in_session(&session::generous(), text)
}

fn field(byte: u8) -> Action {
    Action::Refuse(Refusal::Field { byte })
}

/// What goes to the drive for a host's command.
fn emitted(text: &str) -> (Vec<u8>, u32) {
    let Action::Send(command) = judged(text).action else {
        panic!("{text} is not sent: {:?}", judged(text))
    };
    let out = CbwOut::new(7, 0, &command, 512).unwrap();
    let length = usize::from(out.as_bytes()[14]);
    (out.as_bytes()[15..15 + length].to_vec(), out.data_in())
}

/// 4.1b: host's request, command to the drive, bytes in.
const TUPLES: [(&str, &str, u32); 16] = [
    (
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        0,
    ),
    (
        "85 06 20 00 00 00 00 00 00 00 00 00 00 00 F8 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00",
        0,
    ),
    ("A1 06 20 00 00 00 00 00 E0 F8 00 00", "85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00", 0),
    (
        "85 07 20 00 00 00 00 00 AA 00 BB 00 CC EF 78 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00",
        0,
    ),
    (
        "85 08 2E 00 C2 00 01 00 00 00 00 00 00 A0 B1 00",
        "85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00",
        512,
    ),
    (
        "85 06 00 00 00 00 00 00 00 00 00 00 00 00 E5 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00",
        0,
    ),
    (
        "85 09 0E 00 00 00 10 00 30 00 08 00 00 40 2F 00",
        "85 09 0E 00 00 00 10 00 30 00 08 00 00 40 2F 00",
        8192,
    ),
    (
        "85 0D 0E 00 01 00 02 00 9F 01 01 00 77 40 47 00",
        "85 09 0E 00 00 00 02 00 9F 01 01 00 00 40 2F 00",
        1024,
    ),
    (
        "85 08 0E 00 01 00 08 00 00 00 01 00 00 40 5C 00",
        "85 08 0E 00 01 00 08 00 00 00 01 00 00 40 5C 00",
        4096,
    ),
    (
        "85 0C 0E 00 EF 00 01 00 00 00 00 00 00 40 5D 00",
        "85 08 0E 00 EF 00 01 00 00 00 00 00 00 40 5C 00",
        512,
    ),
    (
        "A1 08 0E 00 02 00 02 00 40 5C 00 00",
        "85 08 0E 00 00 00 02 00 00 00 02 00 00 40 5C 00",
        1024,
    ),
    (
        "85 0D 0E BF 00 00 10 00 56 00 34 00 12 40 4A 00",
        "85 0D 0E BF 00 00 10 00 56 00 34 00 12 40 4A 00",
        8192,
    ),
    (
        "85 08 0E 00 D0 00 01 00 FF 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D0 00 01 00 00 00 4F 00 C2 40 B0 00",
        512,
    ),
    ("A1 08 0E D1 01 00 4F C2 40 B0 00 00", "85 08 0E 00 D1 00 01 00 00 00 4F 00 C2 40 B0 00", 512),
    (
        "85 08 0E 00 D5 00 01 00 E0 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D5 00 01 00 E0 00 4F 00 C2 40 B0 00",
        512,
    ),
    (
        "85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00",
        "85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00",
        0,
    ),
];

/// B4, 4.1b: nothing of the host's request survives but what the tuple has room for.
#[test]
fn each_canonical_ata_command_is_sent_byte_for_byte() {
    for (host, drive, data_in) in TUPLES {
        assert_eq!(emitted(host), (bytes(drive), data_in), "{host}");
        assert_eq!(judged(host).expected_in(512), u64::from(data_in), "{host}");
        assert_eq!(judged(host).key.layer, Layer::Ata);
    }
}

/// 4.1: `CK_COND` is remembered and never sent on.
#[test]
fn the_hosts_wish_to_see_registers_is_remembered() {
    for (host, ..) in TUPLES {
        let registers = judged(host).registers.unwrap();
        assert_eq!(registers.check_condition, bytes(host)[2] & 0x20 != 0, "{host}");
    }
    assert_eq!(judged("28 00 00 00 00 00 00 00 01 00").registers, None);
    assert_eq!(judged("85 0A 02 00 00 00 01 00 00 00 00 00 00 40 30 00").registers, None);
}

/// Section 2 ATA, ECh and EEh: IDENTIFY comes from the capture, protocol 15 from the saved registers, a flush is GOOD.
#[test]
fn what_the_blocker_knows_is_not_asked_again() {
    let identify = Action::Answer(Answer::AtaIdentify);
    assert_eq!(judged("85 08 2E 00 00 00 01 00 00 00 00 00 00 40 EC 00").action, identify);
    assert_eq!(judged("85 0C 0E 00 00 00 01 00 00 00 00 00 00 40 EE 00").action, identify);
    assert_eq!(judged("A1 08 2E 00 01 00 00 00 00 EC 00 00").action, identify);
    let registers = judged("A1 1E 00 00 00 00 00 00 00 00 00 00");
    assert_eq!(registers.action, Action::Answer(Answer::AtaRegisters));
    assert_eq!(registers.expected_in(512), 14);
    assert_eq!(judged("85 06 20 00 00 00 00 00 00 00 00 00 00 40 E7 00").action, Action::Good);
    assert_eq!(judged("85 07 20 00 00 00 00 00 00 00 00 00 00 40 EA 00").action, Action::Good);
}

/// 4.1: where a request goes wrong, the field pointer says.
#[test]
fn a_refused_pass_through_points_to_the_offending_byte() {
    let cases = [
        ("85 07 20 00 00 00 00 00 00 00 00 00 00 40 F8 00", 1),
        ("85 26 20 00 00 00 00 00 00 00 00 00 00 40 F8 00", 1),
        ("85 08 20 00 00 00 00 00 00 00 00 00 00 40 F8 00", 1),
        ("85 06 E0 00 00 00 00 00 00 00 00 00 00 40 F8 00", 2),
        ("85 08 06 00 00 00 01 00 00 00 00 00 00 40 EC 00", 2),
        ("85 08 0A 00 00 00 01 00 00 00 00 00 00 40 EC 00", 2),
        ("85 08 1E 00 00 00 01 00 00 00 00 00 00 40 EC 00", 2),
        ("85 06 21 00 00 00 00 00 00 00 00 00 00 40 F8 00", 2),
        ("85 06 20 00 00 00 01 00 00 00 00 00 00 40 F8 00", 6),
        ("85 06 20 01 00 00 00 00 00 00 00 00 00 40 F8 00", 3),
        ("85 06 20 00 00 01 00 00 00 00 00 00 00 40 F8 00", 5),
        ("85 06 20 00 00 00 00 01 00 00 00 00 00 40 F8 00", 7),
        ("85 06 20 00 00 00 00 00 00 01 00 00 00 40 F8 00", 9),
        ("85 06 20 00 00 00 00 00 00 00 00 01 00 40 F8 00", 11),
        ("85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 04", 15),
        ("85 09 0E 00 00 00 11 00 30 00 00 00 00 40 2F 00", 6),
        ("85 09 0E 00 00 00 01 00 30 00 09 00 00 40 2F 00", 10),
        ("85 09 0E 00 01 00 01 00 11 00 00 00 00 40 2F 00", 4),
        ("85 09 0E 00 00 00 01 00 10 00 00 00 00 40 2F 00", 14),
        ("85 0A 06 00 00 00 01 00 00 00 00 00 00 40 EC 00", 1),
        ("85 0A 06 00 00 00 01 00 00 00 00 00 00 40 EF 00", 14),
        ("85 08 0E 00 C4 00 01 00 00 00 00 00 00 40 B1 00", 14),
        ("85 06 20 00 D8 00 00 00 00 00 4F 00 C2 40 B0 00", 14),
        ("85 06 20 00 DA 00 00 00 00 00 4E 00 C2 40 B0 00", 10),
        ("A1 06 20 00 00 00 00 00 40 E0 00 00", 9),
        ("A1 07 20 00 00 00 00 00 40 27 00 00", 1),
        ("A1 06 20 00 01 00 00 00 40 F8 00 00", 4),
        ("A1 06 20 00 00 00 00 00 40 F8 00 01", 11),
    ];
    for (text, byte) in cases {
        assert_eq!(judged(text).action, field(byte), "{text}");
    }
}

/// SAT-3 12.2.2.2: without data `T_DIR`, `BYT_BLOK` and `T_TYPE` mean nothing, and hosts set them; nothing of them is sent on.
#[test]
fn bits_that_mean_nothing_without_data_are_not_looked_at() {
    for bits in 0..8_u8 {
        let flags = 0x20 | bits << 2;
        let text = format!("85 06 {flags:02X} 00 00 00 00 00 00 00 00 00 00 40 E5 00");
        let sent = bytes("85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00");
        assert_eq!(emitted(&text), (sent, 0), "{text}");
    }
}

/// D-05: an ATA command that modifies counts as such, and is answered as the ATA table says, whatever else is wrong with the request
/// around it; where no pass-through is offered the answer stays OP.
#[test]
fn an_attempt_to_write_cannot_hide_behind_a_bad_request() {
    let all = session::generous();
    let sessions = [
        (all, true),
        (Session { rmb: true, ..all }, true),
        (Session { pdt: 0x14, ..all }, true),
        (Session { ident: false, smart: false, ..all }, false),
        (Session { card: true, rmb: true, ..all }, false),
    ];
    let requests = [
        // WRITE SECTOR(S) as PIO data-out, DMA, ultra DMA out; with CONTROL, MULTIPLE_COUNT, OFF_LINE set; with a reserved protocol.
        ("85 0A 06 00 00 00 01 00 00 00 00 00 00 40 30 00", Refusal::WriteProtected),
        ("85 0C 06 00 00 00 01 00 00 00 00 00 00 40 30 00", Refusal::WriteProtected),
        ("A1 16 06 00 01 00 00 00 40 CA 00 00", Refusal::WriteProtected),
        ("85 0C 06 00 00 00 01 00 00 00 00 00 00 40 35 04", Refusal::WriteProtected),
        ("85 EC 06 00 00 00 01 00 00 00 00 00 00 40 35 00", Refusal::WriteProtected),
        ("85 0C C6 00 00 00 01 00 00 00 00 00 00 40 35 00", Refusal::WriteProtected),
        ("85 1A 06 00 00 00 01 00 00 00 00 00 00 40 35 00", Refusal::WriteProtected),
        // SANITIZE, SET MAX ADDRESS EXT, DCO RESTORE without data; SET FEATURES is answered FLD.
        ("85 06 00 00 12 00 00 00 00 00 00 00 00 40 B4 00", Refusal::WriteProtected),
        ("85 07 00 00 00 00 00 00 00 00 00 00 00 40 37 00", Refusal::WriteProtected),
        ("85 06 00 00 C0 00 00 00 00 00 00 00 00 40 B1 00", Refusal::WriteProtected),
        ("85 06 00 00 02 00 00 00 00 00 00 00 00 40 EF 00", Refusal::Field { byte: 14 }),
    ];
    for (s, is_offered) in sessions {
        for (text, refusal) in requests {
            let judged = in_session(&s, text);
            let expected = if is_offered { refusal } else { Refusal::OpCode };
            assert_eq!(judged.action, Action::Refuse(expected), "{text} in {s:?}");
            assert_eq!(judged.class, Class::Modifying, "{text} in {s:?}");
        }
        // Resets carry no command.
        let reset = in_session(&s, "85 00 00 00 00 00 00 00 00 00 00 00 00 00 30 00");
        assert_eq!(reset.class, Class::Unknown);
    }
}

/// 3.2: what the script may not send, the host cannot ask for; the refusal names the guard.
#[test]
fn the_attach_conditions_hold_for_the_host_too() {
    let all = session::generous();
    let dco = "85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00";
    let amax = "85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00";
    let power = "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00";
    for text in [dco, amax] {
        assert_eq!(in_session(&Session { listed: false, ..all }, text).action, field(14));
    }
    for text in [dco, amax, power] {
        assert_eq!(in_session(&Session { identify: false, ..all }, text).action, field(14));
        assert_eq!(in_session(&Session { rmb: true, ..all }, text).action, field(14));
        let core = in_session(&Session { ident: false, ..all }, text);
        assert_eq!(core.action, Action::Refuse(Refusal::OpCode));
        let card = in_session(&Session { card: true, ..all }, text);
        assert_eq!(card.action, Action::Refuse(Refusal::OpCode));
    }
    assert!(LISTED_BRIDGES.is_empty(), "an adapter needs a bus trace first (3.2)");
}

/// B5: "IDENTIFY" with a data-out protocol.
#[test]
fn a_query_with_a_data_out_protocol_is_refused() {
    assert_eq!(judged("85 0A 06 00 00 00 01 00 00 00 00 00 00 40 EC 00").action, field(1));
    assert_eq!(judged("85 08 06 00 00 00 01 00 00 00 00 00 00 40 EC 00").action, field(2));
    let cdb = Cdb::new(&bytes("85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00")).unwrap();
    let s = session::generous();
    let capture = session::capture(&s);
    for (direction, transfer, action) in [
        (Direction::In, 512, Action::Answer(Answer::AtaIdentify)),
        (Direction::Out, 512, field(2)),
        (Direction::In, 511, field(2)),
        (Direction::In, 0, field(2)),
    ] {
        let cbw = Cbw { tag: 1, transfer, direction, lun: 0, cdb };
        assert_eq!(judge(&POLICY, &session::facts(&s, &capture), &cbw).action, action);
    }
}

fn drive(blocks: u64) -> Capture {
    let mut capture = Capture::empty(Kind::Usb);
    capture.geometry = Some(Geometry { blocks, block_bytes: 512 });
    capture
}

fn read(blocks: u64, text: &str) -> Action {
    let capture = drive(blocks);
    let facts = Facts { profiles: Default::default(), capture: &capture, last_sense: None };
    classify(&POLICY, &facts, &Cdb::new(&bytes(text)).unwrap()).action
}

fn range(blocks: u64, text: &str) -> (u64, u32) {
    match read(blocks, text) {
        Action::Read(Some(range)) => (range.lba(), range.blocks()),
        other => panic!("{text}: {other:?}"),
    }
}

/// HWB-AM-02, 3.1: the blocks that are asked for, and no others.
#[test]
fn read_asks_for_exactly_the_blocks_of_the_command() {
    assert_eq!(range(1 << 21, "08 00 00 00 00 00"), (0, 256));
    assert_eq!(range(1 << 21, "08 FF FF FF 01 00"), (0x1F_FFFF, 1));
    assert_eq!(range(1 << 33, "28 1A FF FF FF FF 1F FF FF 00"), (0xFFFF_FFFF, 0xFFFF));
    assert_eq!(range(1 << 33, "A8 00 FF FF FF FF 00 01 00 00 00 00"), (0xFFFF_FFFF, 0x1_0000));
    assert_eq!(
        range(1 << 48, "88 1B 00 00 FF FF FF FF FF FE 00 00 00 02 FF 00"),
        (0xFFFF_FFFF_FFFE, 2)
    );
    assert_eq!(
        range(u64::MAX, "88 00 FF FF FF FF FF FF FF FE 00 00 00 01 00 00"),
        (u64::MAX - 1, 1)
    );
}

/// 3.1: no block, no command, but the fields are looked at.
#[test]
fn read_of_no_block_is_good_without_the_drive() {
    for text in [
        "28 00 FF FF FF FF 00 00 00 00",
        "A8 00 FF FF FF FF 00 00 00 00 00 00",
        "88 00 FF FF FF FF FF FF FF FF 00 00 00 00 00 00",
    ] {
        assert_eq!(read(1, text), Action::Read(None), "{text}");
        assert_eq!(judged(text).expected_in(512), 0);
    }
    assert_eq!(read(1, "28 20 00 00 00 00 00 00 00 00"), field(1));
    assert_eq!(read(1, "28 00 00 00 00 00 00 00 00 04"), field(9));
}

/// 3.1, D-10: the range is checked with 64 bits; nothing wraps around.
#[test]
fn read_beyond_the_drive_is_refused_here() {
    let out = Action::Refuse(Refusal::OutOfRange);
    for (blocks, text) in [
        (0, "28 00 00 00 00 00 00 00 01 00"),
        (1, "28 00 00 00 00 01 00 00 01 00"),
        (1, "28 00 00 00 00 00 00 00 02 00"),
        (255, "08 00 00 00 00 00"),
        (0xFFFF_FFFF, "28 00 FF FF FF FF 00 00 01 00"),
        (0xFFFF_FFFF, "A8 00 00 00 00 01 FF FF FF FF 00 00"),
        (u64::MAX, "88 00 FF FF FF FF FF FF FF FF 00 00 00 01 00 00"),
        (u64::MAX, "88 00 FF FF FF FF FF FF FF FE 00 00 00 02 00 00"),
        (u64::MAX, "88 00 FF FF FF FF FF FF FF 00 FF FF FF FF 00 00"),
        (1 << 33, "95 00 00 00 00 02 00 00 00 00 00 00 02 00 00 00"),
    ] {
        assert_eq!(read(blocks, text), out, "{text}");
    }
    let mut unknown = drive(0);
    unknown.geometry = None;
    let facts = Facts { profiles: Default::default(), capture: &unknown, last_sense: None };
    let cdb = Cdb::new(&bytes("28 00 00 00 00 00 00 00 01 00")).unwrap();
    assert_eq!(classify(&POLICY, &facts, &cdb).action, out);
}

/// 3.1: protection information and CONTROL are not offered; DPO, FUA, RARC, group and DLD are dropped.
#[test]
fn read_looks_at_its_flags() {
    for (text, byte) in [
        ("28 20 00 00 00 00 00 00 01 00", 1),
        ("A8 E0 00 00 00 00 00 00 00 01 00 00", 1),
        ("88 80 00 00 00 00 00 00 00 00 00 00 00 01 00 00", 1),
        ("08 00 00 00 01 04", 5),
        ("28 00 00 00 00 00 00 00 01 01", 9),
        ("A8 00 00 00 00 00 00 00 00 01 00 80", 11),
        ("88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 04", 15),
    ] {
        assert_eq!(read(10, text), field(byte), "{text}");
    }
}

/// B10, 6.1: the first byte that is missing or too many.
#[test]
fn a_command_of_the_wrong_length_is_refused() {
    for (text, byte) in [
        ("28 00 00 00 00 00 00 00 01", 9),
        ("28 00 00 00 00 00 00 00 01 00 00 00", 10),
        ("12", 1),
        ("85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC", 15),
    ] {
        let judgement = judged(text);
        assert_eq!((judgement.action, judgement.basis), (field(byte), Basis::Length), "{text}");
    }
    assert_eq!(judged("2A 00").action, Action::Refuse(Refusal::WriteProtected));
    assert_eq!(
        judged("7F 00 00 00 00 00 00 18 00 09 00 00").action,
        Action::Refuse(Refusal::OpCode)
    );
}

/// 3.3: only a spin-up that the drive asked for reaches it.
#[test]
fn only_a_spin_up_that_the_drive_asked_for_is_sent() {
    let waiting = Session { needs_start: true, ..session::generous() };
    for flags in 0..=u8::MAX {
        let text = format!("1B 00 00 00 {flags:02X} 00");
        let start = flags & 0xF3 == 1;
        let expected = if start { Action::Send(DownCommand::StartUnit) } else { Action::Good };
        assert_eq!(in_session(&waiting, &text).action, expected, "{text}");
        assert_eq!(judged(&text).action, Action::Good, "{text}");
    }
    let effect = |text| local_effect(&Cdb::new(&bytes(text)).unwrap());
    assert_eq!(effect("1B 00 00 00 02 00"), LocalEffect::Eject);
    assert_eq!(effect("1B 00 00 00 03 00"), LocalEffect::Load);
    assert_eq!(effect("1B 00 00 00 32 00"), LocalEffect::None);
    assert_eq!(effect("1E 00 00 00 01 00"), LocalEffect::Lock(true));
    assert_eq!(effect("35 00 00 00 00 00 00 00 00 00"), LocalEffect::None);
}

/// B2: modifying commands under an IN operation code.
#[test]
fn modifying_service_actions_under_an_in_code_are_refused() {
    let protected = Action::Refuse(Refusal::WriteProtected);
    for action in ["18", "19", "1A"] {
        assert_eq!(
            judged(&format!("9E {action} 00 00 00 00 00 00 00 00 00 00 00 00 00 00")).action,
            protected
        );
    }
    for action in ["14", "15"] {
        assert_eq!(
            judged(&format!("9E {action} 00 00 00 00 00 00 00 00 00 00 00 00 00 00")).action,
            field(1)
        );
    }
    assert_eq!(judged("95 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00").action, protected);
    assert_eq!(judged("4D 01 40 00 00 00 00 00 40 00").action, field(1));
    assert_eq!(judged("3C 1C 00 00 00 00 00 00 40 00").action, Action::Refuse(Refusal::OpCode));
}

/// 1.1: "everything left over" points to what keeps it from being allowed.
#[test]
fn a_refused_field_is_pointed_to() {
    for (text, byte) in [
        ("12 01 C0 00 FF 00", 2),
        ("12 00 80 00 FF 00", 2),
        ("1A 00 01 00 FF 00", 2),
        ("1A 00 08 01 FF 00", 3),
        ("5A 00 02 00 00 00 00 00 FF 00", 2),
        ("4D 00 41 00 00 00 00 00 40 00", 2),
        ("4D 00 42 01 00 00 00 00 40 00", 3),
        ("4D 00 02 00 00 00 00 00 40 00", 2),
        ("4D 02 42 00 00 00 00 00 40 00", 1),
        ("95 00 00 00 00 00 00 00 00 00 00 00 02 00 08 00", 14),
        ("A2 07 00 00 00 00 00 00 02 00 00 00", 1),
        ("A2 01 00 02 00 00 00 00 02 00 00 00", 2),
        ("A2 00 00 00 80 00 00 00 00 09 00 00", 6),
        ("A2 00 00 00 00 00 00 00 10 01 00 00", 6),
        ("A3 05 00 00 00 00 00 00 02 00 00 00", 1),
        ("A3 0C 04 00 00 00 00 00 02 00 00 00", 2),
        ("A0 00 03 00 00 00 00 00 02 00 00 00", 2),
    ] {
        assert_eq!(judged(text).action, field(byte), "{text}");
    }
    let saved = Action::Refuse(Refusal::SavingNotSupported);
    assert_eq!(judged("1A 00 C8 00 FF 00").action, saved);
    assert_eq!(judged("5A 00 FF FF 00 00 00 00 FF 00").action, saved);
}

/// Rule 2, 3.4 to 3.7: information commands are made anew, and their answers bounded.
#[test]
fn information_commands_are_regenerated() {
    for (host, drive, data_in, limit) in [
        ("00 FF FF FF FF 00", "00 00 00 00 00 00", 0, 0),
        ("25 01 FF FF FF FF 00 00 01 00", "25 00 00 00 00 00 00 00 00 00", 8, 8),
        (
            "9E 10 FF FF FF FF FF FF FF FF 00 00 00 0C 01 00",
            "9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
            32,
            12,
        ),
        ("4D 00 6F 00 00 12 34 02 00 00", "4D 00 6F 00 00 00 00 02 00 00", 512, 512),
        ("4D 00 40 FF 00 00 00 FF FF 00", "4D 00 40 FF 00 00 00 20 00 00", 8192, 8192),
        ("4D 00 40 00 00 00 00 00 00 00", "4D 00 40 00 00 00 00 00 40 00", 64, 0),
        (
            "95 00 00 00 00 01 23 45 67 89 00 00 10 00 BF 00",
            "95 00 00 00 00 01 23 45 67 89 00 00 10 00 BF 00",
            4096,
            4096,
        ),
        ("A2 01 00 01 80 00 00 00 00 08 00 00", "A2 01 00 01 80 00 00 00 00 08 00 00", 4096, 4096),
        ("A2 EF 00 00 00 00 00 00 02 00 00 00", "A2 EF 00 00 00 00 00 00 02 00 00 00", 512, 512),
    ] {
        assert_eq!(emitted(host), (bytes(drive), data_in), "{host}");
        assert_eq!(judged(host).expected_in(512), limit, "{host}");
    }
}

/// 5.2 and its row's note: a page that the drive does not have is not made up.
#[test]
fn a_page_that_the_drive_does_not_have_is_refused() {
    let s = session::generous();
    let mut capture = session::capture(&s);
    let cdb = Cdb::new(&bytes("12 01 89 02 3C 00")).unwrap();
    let action = |capture: &Capture| classify(&POLICY, &session::facts(&s, capture), &cdb).action;
    assert_eq!(action(&capture), Action::Answer(Answer::Vpd { page: 0x89, allocation: 0x23C }));
    capture.vpd.ata = None;
    assert_eq!(action(&capture), field(2));
    assert_eq!(in_session(&Session { ident: false, ..s }, "12 01 89 02 3C 00").action, field(2));
}

/// 1.3: what is in no active profile is not offered.
#[test]
fn a_code_whose_rows_are_inactive_is_not_offered() {
    let core = Session { ident: false, smart: false, ..session::generous() };
    for text in [
        "4D 00 40 00 00 00 00 00 40 00",
        "95 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00",
        "A2 00 00 00 00 00 00 00 02 00 00 00",
        "A3 0C 00 00 00 00 00 00 02 00 00 00",
        "85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00",
    ] {
        let judgement = in_session(&core, text);
        assert_eq!(judgement.action, Action::Refuse(Refusal::OpCode), "{text}");
    }
    let quiet = Session { smart: false, ..session::generous() };
    let smart = in_session(&quiet, "85 08 0E 00 D0 00 01 00 00 00 4F 00 C2 40 B0 00");
    assert_eq!((smart.action, smart.basis), (field(14), Basis::Profile));
    assert_eq!((smart.decision, smart.response), (Decision::Deny, Response::Field));
}

/// 7.4: a card answers what the mapping lists, and has no ATA layer.
#[test]
fn a_card_is_not_asked_for_what_it_has_no_command_for() {
    let card = Session { card: true, rmb: true, ..session::generous() };
    for text in [
        "85 1E 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "A1 08 0E 00 01 00 00 00 40 EC 00 00",
        "4D 00 40 00 00 00 00 00 40 00",
        "95 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00",
        "A2 00 00 00 00 00 00 00 02 00 00 00",
    ] {
        let judgement = in_session(&card, text);
        assert_eq!(judgement.action, Action::Refuse(Refusal::OpCode), "{text}");
    }
    assert!(matches!(
        in_session(&card, "28 00 00 00 00 00 00 00 01 00").action,
        Action::Read(Some(_))
    ));
    assert!(matches!(
        in_session(&card, "A3 0C 00 00 00 00 00 00 02 00 00 00").action,
        Action::Answer(_)
    ));
    assert_eq!(in_session(&card, "12 01 89 02 3C 00").action, field(2));
}

/// 3.2: IDENTIFY that was not asked for, or failed, announces nothing.
#[test]
fn without_identify_data_no_ata_command_passes() {
    let s = session::generous();
    let mut capture = session::capture(&s);
    for identify in
        [Identify::NotAsked(NotRun::Removable), Identify::Failed(wb_policy::sense::TARGET_FAILURE)]
    {
        capture.identify = identify;
        for (host, ..) in TUPLES {
            let cdb = Cdb::new(&bytes(host)).unwrap();
            let action = classify(&POLICY, &session::facts(&s, &capture), &cdb).action;
            assert!(matches!(action, Action::Refuse(Refusal::Field { .. })), "{host}");
        }
    }
}

/// 4.6: without a captured directory no page of any log is known.
#[test]
fn without_a_log_directory_no_log_is_read() {
    let s = session::generous();
    let mut capture = session::capture(&s);
    capture.log_directory = Asked::Failed(wb_policy::sense::TARGET_FAILURE);
    let cdb = Cdb::new(&bytes("85 09 0E 00 00 00 01 00 30 00 00 00 00 40 2F 00")).unwrap();
    assert_eq!(classify(&POLICY, &session::facts(&s, &capture), &cdb).action, field(10));
}

proptest! {
    /// HWB-RM-02: for any READ, what is sent lies within the drive and is what was asked for.
    #[test]
    fn any_read_is_exact_or_refused(
        blocks in any::<u64>(),
        lba in any::<u64>(),
        count in any::<u32>(),
        near in 0..4_u64,
        close in any::<bool>(),
    ) {
        let lba = if close { blocks.wrapping_sub(near) } else { lba };
        let count = if close { count & 3 } else { count };
        let mut cdb = vec![0x88, 0];
        cdb.extend(lba.to_be_bytes());
        cdb.extend(count.to_be_bytes());
        cdb.extend([0, 0]);
        let text: Vec<String> = cdb.iter().map(|byte| format!("{byte:02X}")).collect();
        let fits = u128::from(lba) + u128::from(count) <= u128::from(blocks);
        match read(blocks, &text.join(" ")) {
            Action::Read(None) => prop_assert_eq!(count, 0),
            Action::Read(Some(range)) => {
                prop_assert!(fits);
                prop_assert_eq!((range.lba(), range.blocks()), (lba, count));
            }
            other => {
                prop_assert!(!fits && count > 0);
                prop_assert_eq!(other, Action::Refuse(Refusal::OutOfRange));
            }
        }
    }
}
