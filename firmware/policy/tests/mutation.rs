//! Changed tables: every DENY row turned into an allowing one and every guard left out is seen by the classifier, and no such
//! row makes it send anything (policy 9.6, D-08, B1 to B6).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use oracle::Session;
use wb_policy::{
    capture::Capture,
    cbw::{Cbw, Cdb, Direction},
    judge::{Action, Facts, Judgement, classify_ata, judge},
    tables::{Condition, Decision, Field, Guard, POLICY, Policy, SubLayer, SubRow},
};

/// A command block that a row selects and its guards let through, as far as one row's terms can be met.
fn base(row: &SubRow<'_>, long: bool) -> Vec<u8> {
    let mut bytes = match row.layer {
        SubLayer::Ata => pass_through(row, long),
        _ => scsi(row.code),
    };
    for term in row.select {
        if let Condition::Among { field, set } = term {
            put(&mut bytes, row.layer, *field, set.0[0].first);
        }
    }
    bytes
}

fn scsi(code: u8) -> Vec<u8> {
    let mut bytes = vec![0; oracle::right_length(code)];
    bytes[0] = code;
    match code {
        0x08 => bytes[4] = 1,
        0x28 => bytes[8] = 1,
        0xA8 => bytes[9] = 1,
        0x88 => bytes[13] = 1,
        0x4D => bytes[2] = 0x40,
        _ => {}
    }
    bytes
}

fn pass_through(row: &SubRow<'_>, long: bool) -> Vec<u8> {
    let (protocol, extend, data) = match row.code {
        0x27 | 0x78 | 0xEA => (3, 1, false),
        0xF8 | 0xE5 | 0xE7 => (3, 0, false),
        0x2F => (4, 1, true),
        0x47 | 0x4A => (6, 1, true),
        0x5D | 0xEE => (6, 0, true),
        _ => (4, 0, true),
    };
    let mut bytes = if long {
        vec![0x85, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, row.code, 0]
    } else {
        vec![0xA1, 0, 0, 0, 0, 0, 0, 0, 0x40, row.code, 0, 0]
    };
    bytes[1] = protocol << 1 | extend;
    bytes[2] = if data { 0x0E } else { 0x20 };
    bytes[if long { 6 } else { 4 }] = u8::from(data);
    if row.code == 0xB0 {
        let (mid, high) = if long { (10, 12) } else { (6, 7) };
        (bytes[mid], bytes[high]) = (0x4F, 0xC2);
    }
    bytes
}

fn put(bytes: &mut [u8], layer: SubLayer, field: Field, value: u16) {
    let [high, low] = value.to_be_bytes();
    let long = bytes[0] == 0x85;
    match (layer, field) {
        (SubLayer::Ata, Field::Features | Field::Protocol | Field::Action) if long => {
            (bytes[3], bytes[4]) = (high, low);
        }
        (SubLayer::Ata, Field::Features | Field::Protocol | Field::Action) => bytes[3] = low,
        (SubLayer::Ata, Field::Log) => bytes[if long { 8 } else { 5 }] = low,
        (SubLayer::Ata, Field::ProtocolSpecific) => {
            let (mid, top) = if long { (10, 12) } else { (6, 7) };
            (bytes[mid], bytes[top]) = (low, high);
        }
        (_, Field::ServiceAction | Field::EnableVpd | Field::SaveParameters | Field::Protocol) => {
            bytes[1] |= low;
        }
        (_, Field::AtaProtocol) => bytes[1] = low << 1,
        (_, Field::Page) => bytes[2] |= low,
        (_, Field::PageControl) => bytes[2] |= low << 6,
        (_, Field::Subpage) => bytes[3] = low,
        (_, Field::ProtocolSpecific) => (bytes[2], bytes[3]) = (high, low),
        (_, Field::Length) => {
            for place in [7, 8, 9, 12, 13] {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = 0;
                }
            }
        }
        (_, Field::Start) => bytes[4] |= low,
        (_, Field::LoadEject) => bytes[4] |= low << 1,
        (_, Field::PowerCondition) => bytes[4] |= low << 4,
        other => panic!("selector {other:?}"),
    }
}

/// The base, and the base with one byte changed to any value.
fn neighbours(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (1..bytes.len()).flat_map(move |place| {
        (0..=u8::MAX).map(move |value| {
            let mut changed = bytes.to_vec();
            changed[place] = value;
            changed
        })
    })
}

struct World(Vec<(Session, Capture)>);

impl World {
    fn new() -> Self {
        Self(session::sessions().into_iter().map(|s| (s, session::capture(&s))).collect())
    }

    /// Everything active, no SMART, no `ident`, neither: a flipped row must not open what a profile closes.
    fn by_profile() -> Self {
        let mut all = Self::new();
        all.0.truncate(4);
        all
    }

    fn facts(&self) -> impl Iterator<Item = Facts<'_>> {
        self.0.iter().map(|(s, capture)| session::facts(s, capture))
    }
}

fn wrapped(policy: &Policy<'_>, facts: &Facts<'_>, bytes: &[u8]) -> Vec<Judgement> {
    let cdb = Cdb::new(bytes).unwrap();
    let wrappers =
        [(Direction::In, 512), (Direction::In, 0), (Direction::In, 1024), (Direction::Out, 512)];
    let mut all: Vec<_> = wrappers
        .into_iter()
        .map(|(direction, transfer)| {
            judge(policy, facts, &Cbw { tag: 0, transfer, direction, lun: 0, cdb })
        })
        .collect();
    all.extend(classify_ata(policy, facts, &cdb));
    all
}

/// Command blocks that a row selects.
fn bases(row: &SubRow<'_>) -> Vec<Vec<u8>> {
    match row.layer {
        SubLayer::Ata => vec![base(row, true), base(row, false)],
        // The pass-through's own row: seen through the commands it lets through.
        _ if row.decision == Decision::Ata => {
            let inner = POLICY.sub.iter().filter(|own| own.layer == SubLayer::Ata);
            inner.map(|own| base(own, row.code == 0x85)).collect()
        }
        _ => vec![base(row, true)],
    }
}

/// Command blocks that a row could decide about: those, and with one byte changed.
fn corpus(row: &SubRow<'_>) -> Vec<Vec<u8>> {
    let bases = bases(row);
    bases.iter().flat_map(|base| neighbours(base)).collect()
}

fn differs(mutant: &Policy<'_>, facts: &Facts<'_>, corpus: &[Vec<u8>]) -> bool {
    corpus.iter().any(|bytes| wrapped(mutant, facts, bytes) != wrapped(&POLICY, facts, bytes))
}

fn is_seen(world: &World, mutant: &Policy<'_>, corpus: &[Vec<u8>]) -> bool {
    world.facts().any(|facts| differs(mutant, &facts, corpus))
}

/// Terms that can never fail: LOG SENSE with SP is refused by its own row, whatever the rows after it say, and the 12-byte
/// pass-through has no room for high order bytes.
fn never_fails(row: &SubRow<'_>, condition: &Condition) -> bool {
    match condition {
        Condition::Among { field: Field::SaveParameters, .. } => row.code == 0x4D,
        Condition::Tuple(Field::HighOrder) => row.code == 0xA1,
        _ => false,
    }
}

/// Policy 9.6: dropping any guard term changes a judgement.
#[test]
fn every_guard_matters() {
    let world = World::new();
    let mut exceptions = 0;
    for (place, row) in POLICY.sub.iter().enumerate() {
        if !matches!(row.layer, SubLayer::Scsi | SubLayer::Ata) {
            continue;
        }
        let (bases, corpus) = (bases(row), corpus(row));
        for left_out in 0..row.guards.len() {
            let guards: Vec<Guard> = (0..row.guards.len())
                .filter(|own| *own != left_out)
                .map(|own| row.guards[own])
                .collect();
            let mut sub = POLICY.sub.to_vec();
            sub[place].guards = &guards;
            let mutant = Policy { sub: &sub, ..POLICY };
            // The few commands in every session first: most terms about the session show there.
            let seen = is_seen(&world, &mutant, &bases) || is_seen(&world, &mutant, &corpus);
            let dropped = row.guards[left_out].condition;
            let idle = never_fails(row, &dropped);
            assert_eq!(seen, !idle, "{dropped:?} of row {place}, {row:?}");
            exceptions += u32::from(idle);
        }
    }
    assert_eq!(exceptions, 3);
}

/// What a changed table makes of a command that the published one refuses.
fn stays_refused(world: &World, mutant: &Policy<'_>, corpus: &[Vec<u8>]) {
    for facts in world.facts() {
        for bytes in corpus {
            let (before, after) = (wrapped(&POLICY, &facts, bytes), wrapped(mutant, &facts, bytes));
            for (before, after) in before.iter().zip(&after) {
                if matches!(before.action, Action::Refuse(_)) {
                    assert!(matches!(after.action, Action::Refuse(_)), "{bytes:02X?}: {after:?}");
                }
            }
        }
    }
}

/// Policy 9.6, HWB-AM-01, D-06: a DENY row turned into FWD, SYN or LOC is seen, and still nothing is sent, answered or
/// called GOOD, because no request exists for it.
#[test]
fn a_flipped_refinement_is_seen_and_sends_nothing() {
    let world = World::by_profile();
    for (place, row) in POLICY.sub.iter().enumerate() {
        let host = matches!(row.layer, SubLayer::Scsi | SubLayer::Ata);
        if !host || row.decision != Decision::Deny {
            continue;
        }
        let corpus = corpus(row);
        for decision in [Decision::Forward, Decision::Synthesise, Decision::Local] {
            let mut sub = POLICY.sub.to_vec();
            sub[place].decision = decision;
            let mutant = Policy { sub: &sub, ..POLICY };
            assert!(is_seen(&world, &mutant, &corpus), "{row:?}");
            stays_refused(&world, &mutant, &corpus);
        }
    }
}

/// The same for the 256 operation codes and the 256 ATA commands.
#[test]
fn a_flipped_code_is_seen_and_sends_nothing() {
    let world = World::by_profile();
    for code in 0..=u8::MAX {
        for decision in [Decision::Forward, Decision::Synthesise, Decision::Local] {
            flip_operation_code(&world, code, decision);
            flip_ata_command(&world, code, decision);
        }
    }
}

fn flip_operation_code(world: &World, code: u8, decision: Decision) {
    let place = usize::from(code);
    if POLICY.scsi[place].decision != Decision::Deny {
        return;
    }
    let mut rows = POLICY.scsi.to_vec();
    rows[place].decision = decision;
    let mutant = Policy { scsi: &rows, ..POLICY };
    let length = if matches!(code >> 5, 3 | 6 | 7) { 16 } else { oracle::right_length(code) };
    let mut corpus = Vec::new();
    for action in 0..32 {
        for fill in [0x00, 0xFF] {
            let mut bytes = vec![fill; length];
            (bytes[0], bytes[1]) = (code, (fill & 0xE0) | action);
            corpus.push(bytes);
        }
    }
    assert!(is_seen(world, &mutant, &corpus), "{code:02X}");
    stays_refused(world, &mutant, &corpus);
}

fn flip_ata_command(world: &World, code: u8, decision: Decision) {
    let place = usize::from(code);
    if POLICY.ata[place].decision != Decision::Deny {
        return;
    }
    let mut rows = POLICY.ata.to_vec();
    rows[place].decision = decision;
    let mutant = Policy { ata: &rows, ..POLICY };
    let mut corpus = Vec::new();
    for flags in
        [[0x06, 0x20], [0x07, 0x20], [0x08, 0x0E], [0x09, 0x0E], [0x0C, 0x0E], [0x0D, 0x0E]]
    {
        for feature in 0..=u8::MAX {
            let [first, second] = flags;
            let count = u8::from(second == 0x0E);
            corpus.push(vec![
                0x85, first, second, 0, feature, 0, count, 0, 0, 0, 0x4F, 0, 0xC2, 0x40, code, 0,
            ]);
        }
    }
    assert!(is_seen(world, &mutant, &corpus), "{code:02X}");
    stays_refused(world, &mutant, &corpus);
}
