//! Changed tables (policy 9.6, D-08, B1 to B6): every row with any other decision, and every guard left out, makes the classifier
//! disagree with what was written down independently of it; and no row that is opened makes it send anything.
//!
//! Two judges look at each change, each alone. [`expect`] was written by hand from the standards' command names and uses no table at all.
//! [`oracle`] reads the published text anew, in more sessions; the changed copy is handed to the classifier only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "../../sim/tests/oracle/expect.rs"]
mod expect;
#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/session.rs"]
mod session;

use std::collections::BTreeSet;

use expect::{Data, Expected, Seen};
use oracle::{Oracle, Session, Verdict};
use wb_policy::{
    capture::Capture,
    cbw::{Cbw, Cdb, Direction},
    down::DownCommand,
    geometry::BlockRange,
    judge::{Action, Facts, Judgement, classify_ata, judge},
    sense::Refusal,
    tables::{Class, Condition, Decision, Field, Guard, POLICY, Policy, SubLayer, SubRow},
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

/// Every decision that the tables' type has.
const DECISIONS: [Decision; 9] = [
    Decision::Forward,
    Decision::Synthesise,
    Decision::Local,
    Decision::Sub,
    Decision::Ata,
    Decision::Deny,
    Decision::Emit,
    Decision::Guard,
    Decision::Never,
];

/// Places of the rows of `policy-sub.csv` that are about a host's commands. Those about cards are turned in the simulation's tests.
fn host_rows() -> impl Iterator<Item = usize> {
    let is_host =
        |place: &usize| matches!(POLICY.sub[*place].layer, SubLayer::Scsi | SubLayer::Ata);
    (0..POLICY.sub.len()).filter(is_host)
}

/// A changed row, by its table, its code and its place in that table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Scsi(u8),
    Ata(u8),
    Sub(usize),
}

impl Place {
    fn all() -> impl Iterator<Item = Self> {
        let sub = host_rows().map(Self::Sub);
        (0..=u8::MAX).map(Self::Scsi).chain((0..=u8::MAX).map(Self::Ata)).chain(sub)
    }

    fn decision(self) -> Decision {
        match self {
            Self::Scsi(code) => POLICY.scsi[usize::from(code)].decision,
            Self::Ata(code) => POLICY.ata[usize::from(code)].decision,
            Self::Sub(place) => POLICY.sub[place].decision,
        }
    }

    /// Its line in the published text.
    fn line(self) -> &'static str {
        let (file, place) = match self {
            Self::Scsi(code) => (0, code.into()),
            Self::Ata(code) => (1, code.into()),
            Self::Sub(place) => (4, place),
        };
        oracle::FILES[file].lines().nth(place + 1).unwrap()
    }

    /// Hands over the policy with another decision in this row.
    fn with<T>(self, decision: Decision, look: impl FnOnce(&Policy<'_>) -> T) -> T {
        match self {
            Self::Scsi(code) => {
                let mut rows = POLICY.scsi.to_vec();
                rows[usize::from(code)].decision = decision;
                look(&Policy { scsi: &rows, ..POLICY })
            }
            Self::Ata(code) => {
                let mut rows = POLICY.ata.to_vec();
                rows[usize::from(code)].decision = decision;
                look(&Policy { ata: &rows, ..POLICY })
            }
            Self::Sub(place) => {
                let mut rows = POLICY.sub.to_vec();
                rows[place].decision = decision;
                look(&Policy { sub: &rows, ..POLICY })
            }
        }
    }

    /// The telling command blocks of the row's code: what the rows of that code select, and for a row of a main table all service actions or
    /// all FEATURES. A row is looked at for its own code only.
    fn telling(self) -> Vec<Vec<u8>> {
        let (layer, code) = match self {
            Self::Scsi(code) => (SubLayer::Scsi, code),
            Self::Ata(code) => (SubLayer::Ata, code),
            Self::Sub(place) => return bases(&POLICY.sub[place]),
        };
        let rows = POLICY.sub.iter().filter(|row| row.layer == layer && row.code == code);
        let more = if layer == SubLayer::Ata { features(code) } else { service_actions(code) };
        rows.flat_map(bases).chain(more).collect()
    }

    /// Those, and with one byte changed to any value.
    fn corpus(self) -> Vec<Vec<u8>> {
        let mut all = self.telling();
        match self {
            Self::Sub(place) => all.extend(corpus(&POLICY.sub[place])),
            Self::Scsi(code) if self.decision() != Decision::Deny => {
                all.extend(neighbours(&scsi(code)))
            }
            Self::Scsi(_) | Self::Ata(_) => {}
        }
        all
    }
}

/// All service actions, with the other fields all zero and all ones.
fn service_actions(code: u8) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for action in 0..32 {
        for fill in [0x00, 0xFF] {
            let mut bytes = vec![fill; expect::right_length(code)];
            (bytes[0], bytes[1]) = (code, (fill & 0xE0) | action);
            all.push(bytes);
        }
    }
    all
}

/// All FEATURES with the protocols that carry a command to a disk.
fn features(code: u8) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for [first, second] in
        [[0x06, 0x20], [0x07, 0x20], [0x08, 0x0E], [0x09, 0x0E], [0x0C, 0x0E], [0x0D, 0x0E]]
    {
        for feature in 0..=u8::MAX {
            let count = u8::from(second == 0x0E);
            all.push(vec![
                0x85, first, second, 0, feature, 0, count, 0, 0, 0, 0x4F, 0, 0xC2, 0x40, code, 0,
            ]);
        }
    }
    all
}

/// Whether the decision that a judgement names goes with what it does: what is sent is FWD, what is answered SYN, what is GOOD LOC, and a
/// command that is not offered or is write protected DENY. Other refusals are those of a DENY row, or of a guard of another.
fn is_recorded_rightly(judged: &Judgement) -> bool {
    let decision = judged.decision;
    match judged.action {
        Action::Read(Some(_)) | Action::Send(_) => decision == Decision::Forward,
        Action::Answer(_) => decision == Decision::Synthesise,
        Action::Good | Action::Read(None) => decision == Decision::Local,
        Action::Refuse(Refusal::WriteProtected | Refusal::OpCode) => decision == Decision::Deny,
        Action::Refuse(_) => decision == Decision::Deny || decision.allows(),
    }
}

/// A judge that knows nothing of the crate's tables.
trait Independent {
    /// The first command about which a policy and the judge disagree.
    fn objects(&self, policy: &Policy<'_>, corpus: &[Vec<u8>]) -> Option<String>;
}

/// The expectations written by hand, with the sessions that make their worlds.
struct ByHand(Vec<(expect::World, Session, Capture)>);

impl ByHand {
    fn new() -> Self {
        let mut pages = [0; 256];
        for log in 0..=u8::MAX {
            pages[usize::from(log)] = expect::pages_of_log(log);
        }
        let world = |ident, smart, listed, needs_start| {
            let world = expect::World { ident, smart, listed, needs_start };
            let all = session::generous();
            let s =
                Session { ident, smart, listed, needs_start, cap: expect::BLOCKS, pages, ..all };
            (world, s, session::capture(&s))
        };
        Self(vec![
            world(true, false, false, false),
            world(true, true, true, false),
            world(true, false, false, true),
            world(false, false, false, false),
            world(false, true, true, true),
        ])
    }
}

impl Independent for ByHand {
    fn objects(&self, policy: &Policy<'_>, corpus: &[Vec<u8>]) -> Option<String> {
        let phases = [Data::In(512), Data::None, Data::Out(512)];
        for bytes in corpus {
            for (world, s, capture) in &self.0 {
                let facts = session::facts(s, capture);
                for data in phases {
                    let expected = expect::expect_in(*world, bytes, data);
                    // Which of two data phases is right is the transport's business.
                    if expected.seen == Seen::Phase {
                        continue;
                    }
                    let judged = judge(policy, &facts, &wrapper(bytes, data));
                    if done(&judged) != expected || !is_recorded_rightly(&judged) {
                        return Some(format!("{bytes:02X?} {data:?} {world:?}: {judged:?}"));
                    }
                }
            }
        }
        None
    }
}

fn wrapper(bytes: &[u8], data: Data) -> Cbw {
    let direction = if matches!(data, Data::Out(_)) { Direction::Out } else { Direction::In };
    let cdb = Cdb::new(bytes).unwrap();
    Cbw { tag: 0, transfer: data.length(), direction, lun: 0, cdb }
}

/// What a judgement comes to, in the words of the expectations.
fn done(judged: &Judgement) -> Expected {
    let down = match judged.action {
        Action::Read(Some(range)) => pieces(range),
        Action::Send(command) => vec![sent(command)],
        _ => Vec::new(),
    };
    let seen = match judged.action {
        Action::Refuse(Refusal::WriteProtected) => Seen::Wp,
        Action::Refuse(Refusal::OpCode) => Seen::Op,
        Action::Refuse(Refusal::Field { .. }) => Seen::Fld,
        Action::Refuse(Refusal::OutOfRange) => Seen::Lba,
        Action::Refuse(Refusal::SavingNotSupported) => Seen::Spns,
        _ if judged.registers.is_some_and(|registers| registers.check_condition) => Seen::Registers,
        Action::Read(Some(_)) | Action::Send(_) => Seen::Drive,
        Action::Read(None) | Action::Good | Action::Answer(_) => Seen::Good,
    };
    Expected { down, seen }
}

fn sent(command: DownCommand) -> Vec<u8> {
    command.encode(512).cdb.as_bytes().to_vec()
}

fn pieces(range: BlockRange) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut rest = Some(range);
    while let Some(range) = rest {
        let (first, behind) = range.split(64);
        all.push(sent(DownCommand::Read(first)));
        rest = behind;
    }
    all
}

/// The published text read a second time.
struct ByText(Oracle, World);

impl ByText {
    /// By profile, and with a drive that waits for a spin-up.
    fn new() -> Self {
        let mut world = World::new();
        world.0.retain(|(s, _)| is_usual(s));
        Self(Oracle::read(), world)
    }
}

fn is_usual(s: &Session) -> bool {
    let all = session::generous();
    let usual = (s.card, s.rmb, s.pdt, s.identify, s.announced, s.listed, s.cap);
    usual == (all.card, all.rmb, all.pdt, all.identify, all.announced, all.listed, all.cap)
        && s.pages == all.pages
}

impl Independent for ByText {
    fn objects(&self, policy: &Policy<'_>, corpus: &[Vec<u8>]) -> Option<String> {
        for bytes in corpus {
            for (s, capture) in &self.1.0 {
                let facts = session::facts(s, capture);
                for data in [Data::In(512), Data::None, Data::Out(512)] {
                    let transfer = (!matches!(data, Data::Out(_)), data.length());
                    let expected = self.0.scsi(s, bytes, Some(transfer));
                    let judged = judge(policy, &facts, &wrapper(bytes, data));
                    if verdict(&judged) != expected || !is_recorded_rightly(&judged) {
                        return Some(format!("{bytes:02X?} {data:?} {s:?}: {judged:?}"));
                    }
                }
            }
        }
        None
    }
}

fn verdict(judged: &Judgement) -> Verdict {
    let class = match judged.class {
        Class::Read => "READ",
        Class::Info => "INFO",
        Class::Other => "OTHER",
        Class::Modifying => "MOD",
        Class::Unknown => "UNK",
    };
    let outcome = match judged.action {
        Action::Read(Some(_)) | Action::Send(_) => "FWD",
        Action::Answer(_) => "SYN",
        Action::Good | Action::Read(None) => "LOC",
        Action::Refuse(Refusal::WriteProtected) => "WP",
        Action::Refuse(Refusal::OpCode) => "OP",
        Action::Refuse(Refusal::Field { .. }) => "FLD",
        Action::Refuse(Refusal::OutOfRange) => "LBA",
        Action::Refuse(Refusal::SavingNotSupported) => "SPNS",
    };
    Verdict { class: class.into(), outcome: outcome.into() }
}

/// Operation codes whose rows in `policy-sub.csv` end with one for all that is left (`*`). Of their own row only DENY is ever looked at, as
/// one of those rows decides: START STOP UNIT, LOG SENSE, pass-throughs, ZBC IN, SERVICE ACTION IN and OUT, SECURITY PROTOCOL IN,
/// MAINTENANCE IN by SUB; the READs by FWD; INQUIRY and the MODE SENSEs by SYN.
const REFINED_CODES: [u8; 16] = [
    0x08, 0x12, 0x1A, 0x1B, 0x28, 0x4D, 0x5A, 0x85, 0x88, 0x95, 0x9E, 0x9F, 0xA1, 0xA2, 0xA3, 0xA8,
];

/// ATA commands of the same kind.
const REFINED_ATA: [u8; 14] =
    [0x27, 0x2F, 0x47, 0x4A, 0x5C, 0x5D, 0x78, 0xB0, 0xB1, 0xB4, 0xE5, 0xEC, 0xEE, 0xF8];

/// Rows that are reached only where nothing of their code is offered. Then the profile refuses (1.3), in the words of this row, before
/// the row itself is looked at; what counts is only that the row does not allow anything.
const NOT_OFFERED: [&str; 2] = [
    "scsi,0x85,*,ATA PASS-THROUGH(16),UNK,DENY,OP,core,",
    "scsi,0xa1,*,ATA PASS-THROUGH(12),UNK,DENY,OP,core,",
];

/// Changes that change nothing, and no others: where another row always decides, or the word stands for a refusal like DENY.
fn is_idle(place: Place, decision: Decision) -> bool {
    match place {
        Place::Scsi(code) => REFINED_CODES.contains(&code) && decision != Decision::Deny,
        Place::Ata(code) => REFINED_ATA.contains(&code) && decision != Decision::Deny,
        Place::Sub(_) => {
            let line = place.line();
            NOT_OFFERED.iter().any(|own| line.starts_with(own)) && !decision.allows()
        }
    }
}

/// Every row with every other decision, idle changes only where they are wanted, and whether a judge has objected, who must have nothing to
/// say about the published policy.
fn flips(judge: &impl Independent, with_idle: bool, mut look: impl FnMut(Place, Decision, bool)) {
    for place in Place::all() {
        let (telling, corpus) = (place.telling(), place.corpus());
        assert_eq!(judge.objects(&POLICY, &telling), None, "unchanged: {}", place.line());
        for decision in DECISIONS {
            if decision == place.decision() || (!with_idle && is_idle(place, decision)) {
                continue;
            }
            let is_seen = place.with(decision, |policy| {
                judge.objects(policy, &telling).or_else(|| judge.objects(policy, &corpus)).is_some()
            });
            look(place, decision, is_seen);
        }
    }
}

/// Policy 9.6, HWB-AM-01: any decision of any row that becomes any other is contradicted by the expectations written by hand, but for
/// the idle ones, which are exactly those that are listed.
#[test]
fn every_flipped_decision_contradicts_what_was_written_by_hand() {
    let judge = ByHand::new();
    let (mut wrong, mut all, mut idle) = (Vec::new(), 0, 0);
    flips(&judge, true, |place, decision, is_seen| {
        if is_seen == is_idle(place, decision) {
            wrong.push(format!("{decision:?}, seen: {is_seen}: {}", place.line()));
        }
        all += 1;
        idle += usize::from(!is_seen);
    });
    assert!(wrong.is_empty(), "{} of {all}: {wrong:#?}", wrong.len());
    let rows = 256 + 256 + host_rows().count();
    assert_eq!((all, idle), (rows * 8, (16 + 14) * 7 + 2 * 4));
}

/// Policy 9.6: what was written by hand agrees with the published policy wherever a change was looked for.
#[test]
fn the_published_policy_is_what_was_written_by_hand() {
    let all: BTreeSet<_> = Place::all().flat_map(Place::corpus).collect();
    let all: Vec<_> = all.into_iter().collect();
    assert_eq!(ByHand::new().objects(&POLICY, &all), None);
}

/// Policy 9.6: the same changes by the published text as it is read a second time, which looks at classes as well.
#[test]
fn every_flipped_decision_contradicts_the_published_text() {
    let mut missed = Vec::new();
    flips(&ByText::new(), false, |place, decision, is_seen| {
        if !is_seen {
            missed.push(format!("{decision:?}: {}", place.line()));
        }
    });
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Policy 9.6, HWB-AM-01, D-06: a DENY row turned into FWD, SYN or LOC still sends, answers and calls GOOD nothing of what is refused, because
/// no request exists for it.
#[test]
fn a_row_that_is_opened_sends_nothing() {
    let world = World::by_profile();
    for place in Place::all().filter(|place| place.decision() == Decision::Deny) {
        let corpus = place.corpus();
        let refused = refused(&world, &corpus);
        for decision in [Decision::Forward, Decision::Synthesise, Decision::Local] {
            place.with(decision, |mutant| {
                for (facts, bytes, before) in &refused {
                    let after = wrapped(mutant, facts, bytes);
                    let opened = before.iter().zip(&after).find(|(before, after)| {
                        **before && !matches!(after.action, Action::Refuse(_))
                    });
                    assert_eq!(opened, None, "{bytes:02X?}: {decision:?}, {}", place.line());
                }
            });
        }
    }
}

/// Command blocks that the published policy refuses in some wrapper, and in which.
fn refused<'a>(world: &'a World, corpus: &'a [Vec<u8>]) -> Vec<(Facts<'a>, &'a [u8], Vec<bool>)> {
    let mut all = Vec::new();
    for facts in world.facts() {
        for bytes in corpus {
            let judged = wrapped(&POLICY, &facts, bytes);
            let before: Vec<_> =
                judged.iter().map(|own| matches!(own.action, Action::Refuse(_))).collect();
            if before.contains(&true) {
                all.push((facts, &bytes[..], before));
            }
        }
    }
    all
}
