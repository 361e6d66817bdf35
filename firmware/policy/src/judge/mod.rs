//! The classifier: what becomes of a host's command under the policy's tables.
//!
//! [`judge`] interprets the tables it is given. It never passes bytes on: a command that may reach the drive becomes a
//! [`DownCommand`], one that is answered here an [`Answer`], and a row that allows something no such value exists for is refused.
//! Facts: the published policy, sections 1.1 to 1.3, 2, 3 and 4; SPC-4, SBC-3, ZBC and SAT-3 for the fields.

mod answer;
mod condition;
pub mod opcodes;
mod request;
pub(crate) mod scsi;

pub use answer::{Answer, OpcodeQuery};
pub use request::{LocalEffect, local_effect};

use crate::{
    capture::Capture,
    cbw::{Cbw, Cdb},
    down::DownCommand,
    geometry::BlockRange,
    sat::{Registers, Request, Wrapper},
    sense::{Code, Refusal},
    tables::{Class, Condition, Decision, Guard, Policy, Response, SubLayer, SubRow},
};
use condition::Subject;

/// Optional sets of rows (1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// Identification and information commands. On unless the build says otherwise.
    pub ident: bool,
    /// SMART: off unless the strap is set.
    pub smart: bool,
}

impl Default for Profiles {
    fn default() -> Self {
        Self { ident: true, smart: false }
    }
}

/// What is known about the session.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Active profiles.
    pub profiles: Profiles,
    /// What the attach script learned. Without a captured size every READ is out of range: the bridge says first that the
    /// unit is not ready.
    pub capture: &'a Capture,
    /// The drive's last sense (3.3).
    pub last_sense: Option<Code>,
}

/// Command set that a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// SCSI.
    Scsi,
    /// ATA, inside a pass-through.
    Ata,
}

/// A command as counters and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandKey {
    /// Command set.
    pub layer: Layer,
    /// Operation code or ATA command.
    pub code: u8,
    /// Service action, or FEATURES where it tells ATA commands apart, otherwise 0.
    pub sub: u16,
}

/// What in the tables decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The row of the code in its main table.
    Code,
    /// The command is longer or shorter than its operation code says (6.1).
    Length,
    /// No active row allows the code; the profile is off (1.3).
    Profile,
    /// A row of `policy-sub.csv`, by its place.
    Row(u16),
    /// The first guard of such a row that fails.
    Guard(u16, Condition),
}

/// What the bridge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reads blocks; `None` where the host asks for no block, which is GOOD at once.
    Read(Option<BlockRange>),
    /// Asks the drive.
    Send(DownCommand),
    /// Answers itself.
    Answer(Answer),
    /// GOOD; nothing is sent.
    Good,
    /// Refuses; nothing is sent.
    Refuse(Refusal),
}

/// The classifier's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The command.
    pub key: CommandKey,
    /// Its class.
    pub class: Class,
    /// Decision of the row that decided.
    pub decision: Decision,
    /// Response of that row, or of the guard that failed. Where a row allows what no request exists for, the action alone says so.
    pub response: Response,
    /// Which row or guard that was.
    pub basis: Basis,
    /// What to do.
    pub action: Action,
    /// Set for ATA commands that were accepted.
    pub registers: Option<Registers>,
    /// Bytes the host takes of the answer at most; 0 for READ and for commands without data.
    pub limit: u32,
}

impl Judgement {
    /// Bytes that the bridge means to send: the device's side of the thirteen cases. For an [`Answer`] this is an upper bound; the
    /// answer itself may be shorter.
    #[must_use]
    pub fn expected_in(&self, block_bytes: u32) -> u64 {
        match &self.action {
            Action::Read(Some(range)) => {
                u64::from(range.blocks()).saturating_mul(u64::from(block_bytes))
            }
            Action::Send(_) | Action::Answer(_) => u64::from(self.limit),
            Action::Read(None) | Action::Good | Action::Refuse(_) => 0,
        }
    }

    fn refuse(mut self, response: Response, byte: u8) -> Self {
        self.response = response;
        self.action = Action::Refuse(refusal(response, byte));
        self.limit = 0;
        self
    }

    /// A row allows it, but no request exists for it.
    fn refuse_unknown(mut self) -> Self {
        self.action = Action::Refuse(Refusal::OpCode);
        self
    }

    fn on(mut self, place: usize, row: &SubRow<'_>) -> Self {
        self.class = row.class;
        self.decision = row.decision;
        self.response = row.response;
        self.basis = Basis::Row(u16::try_from(place).unwrap_or(u16::MAX));
        self
    }

    fn guarded(mut self, place: usize, guard: &Guard, byte: u8) -> Self {
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        self.basis = Basis::Guard(place, guard.condition);
        self.refuse(guard.response, byte)
    }
}

/// A response that is no refusal means that nothing is offered.
fn refusal(response: Response, byte: u8) -> Refusal {
    match response {
        Response::WriteProtected => Refusal::WriteProtected,
        Response::Field => Refusal::Field { byte },
        Response::OutOfRange => Refusal::OutOfRange,
        Response::SavingNotSupported => Refusal::SavingNotSupported,
        Response::None
        | Response::Drive
        | Response::Registers
        | Response::Good
        | Response::OpCode
        | Response::Never => Refusal::OpCode,
    }
}

/// Judges a command as the host wraps it.
#[must_use]
pub fn judge(policy: &Policy<'_>, facts: &Facts<'_>, cbw: &Cbw) -> Judgement {
    let wrapper = Wrapper { direction: cbw.direction, transfer: cbw.transfer };
    Classifier { policy, facts, cdb: &cbw.cdb, wrapper: Some(wrapper) }.scsi()
}

/// Judges a command as if its wrapper announced exactly the data phase that it implies.
#[must_use]
pub fn classify(policy: &Policy<'_>, facts: &Facts<'_>, cdb: &Cdb) -> Judgement {
    Classifier { policy, facts, cdb, wrapper: None }.scsi()
}

/// Judges an ATA request by the ATA table alone, as [`judge`] does after the pass-through's own row. `None` where the command
/// block is no pass-through.
#[must_use]
pub fn classify_ata(policy: &Policy<'_>, facts: &Facts<'_>, cdb: &Cdb) -> Option<Judgement> {
    let request = Request::parse(cdb)?;
    Some(Classifier { policy, facts, cdb, wrapper: None }.ata(&request))
}

struct Classifier<'a> {
    policy: &'a Policy<'a>,
    facts: &'a Facts<'a>,
    cdb: &'a Cdb,
    wrapper: Option<Wrapper>,
}

impl<'a> Classifier<'a> {
    fn subject(&self, request: Option<&'a Request>) -> Subject<'a> {
        Subject { facts: self.facts, cdb: self.cdb, request }
    }

    fn judgement(
        key: CommandKey,
        class: Class,
        decision: Decision,
        response: Response,
    ) -> Judgement {
        let action = Action::Refuse(Refusal::OpCode);
        let basis = Basis::Code;
        Judgement { key, class, decision, response, basis, action, registers: None, limit: 0 }
    }

    fn scsi(&self) -> Judgement {
        let code = self.cdb.opcode();
        let key = CommandKey { layer: Layer::Scsi, code, sub: scsi::service_action(self.cdb) };
        let Some(main) = self.policy.scsi.get(usize::from(code)) else {
            return Self::judgement(key, Class::Unknown, Decision::Deny, Response::OpCode);
        };
        let base = Self::judgement(key, main.class, main.decision, main.response);
        if main.decision == Decision::Deny {
            return base.refuse(main.response, 0);
        }
        let (start, rows) = self.policy.rows(SubLayer::Scsi, code);
        let subject = self.subject(None);
        let chosen = rows.iter().position(|row| subject.is_active(row) && subject.matches(row));
        let base = match chosen.and_then(|place| Some((place, rows.get(place)?))) {
            Some((place, row)) => base.on(start.saturating_add(place), row),
            None => base,
        };
        let denied = self.denied_ata();
        if !is_offered(&subject, rows) {
            let class = denied.map_or(base.class, |denied| denied.class);
            return Judgement { class, decision: Decision::Deny, basis: Basis::Profile, ..base }
                .refuse(Response::OpCode, 0);
        }
        if let Some(byte) = self.wrong_length(rows) {
            return Judgement { decision: Decision::Deny, basis: Basis::Length, ..base }
                .refuse(Response::Field, byte);
        }
        if let Some(denied) = denied {
            return denied;
        }
        let base = Judgement { key: self.readable_ata().unwrap_or(base.key), ..base };
        match chosen.and_then(|place| Some((start.saturating_add(place), rows.get(place)?))) {
            Some((place, row)) if row.decision == Decision::Ata => {
                self.pass_through(base, place, row)
            }
            Some((place, row)) => self.scsi_row(base, place, row, rows),
            None => self.allowed(base),
        }
    }

    /// The first byte that is missing or too many, for commands that are offered at all.
    fn wrong_length(&self, rows: &[SubRow<'_>]) -> Option<u8> {
        let right = scsi::group_length(self.cdb.opcode())?;
        let offered = rows.is_empty() || rows.iter().any(|row| row.decision.allows());
        (offered && right != self.cdb.len()).then(|| right.min(self.cdb.len()))
    }

    fn scsi_row(
        &self,
        base: Judgement,
        place: usize,
        row: &SubRow<'_>,
        rows: &[SubRow<'_>],
    ) -> Judgement {
        let subject = self.subject(None);
        if !row.decision.allows() {
            let byte = match row.select.last() {
                Some(term) => subject.byte_of(term),
                None => subject.nearest_obstacle(rows),
            };
            return base.refuse(row.response, byte);
        }
        match failing(&subject, row) {
            Some(guard) => base.guarded(place, guard, subject.byte_of(&guard.condition)),
            None => self.allowed(base),
        }
    }

    /// The action of a SCSI row that allows the command.
    fn allowed(&self, mut base: Judgement) -> Judgement {
        match request::action(base.decision, self.facts, self.cdb) {
            Ok((action, limit)) => {
                base.action = action;
                base.limit = limit;
                base
            }
            Err(refusal) => Judgement { action: Action::Refuse(refusal), ..base },
        }
    }

    /// 85h and A1h with a command that the ATA table may allow: the pass-through's own guards, then that table, then what the matched
    /// constant lays down (4.1).
    fn pass_through(&self, base: Judgement, place: usize, row: &SubRow<'_>) -> Judgement {
        let Some(request) = Request::parse(self.cdb) else { return base.refuse_unknown() };
        let subject = self.subject(None);
        let base = Judgement { key: ata_key(&request), ..base };
        let own = |guard: &&Guard| !matches!(guard.condition, Condition::Tuple(_));
        let failed = row.guards.iter().filter(own).find(|guard| !subject.holds(&guard.condition));
        if let Some(guard) = failed {
            return base.guarded(place, guard, subject.byte_of(&guard.condition));
        }
        let judged = self.ata(&request);
        if matches!(judged.action, Action::Refuse(_)) {
            return judged;
        }
        let Some(tuple) = request.tuple() else { return judged.refuse_unknown() };
        for guard in row.guards {
            let Condition::Tuple(field) = guard.condition else { continue };
            if !request.agrees(&tuple, field, self.wrapper) {
                let byte = request.tuple_byte(field, tuple.high);
                let judged = Judgement { registers: None, ..judged };
                return judged.guarded(place, guard, byte);
            }
        }
        judged
    }

    /// An ATA command that the ATA table refuses whatever its pass-through says. It is answered and counted by its own row, so that an
    /// attempt to write cannot hide behind a field that is refused as well (4.1, D-05).
    fn denied_ata(&self) -> Option<Judgement> {
        let request = Request::parse(self.cdb).filter(Request::carries_command)?;
        Some(self.ata(&request)).filter(|judged| judged.decision == Decision::Deny)
    }

    /// Name of the ATA command in an offered pass-through, whatever protocol it comes with.
    fn readable_ata(&self) -> Option<CommandKey> {
        Request::parse(self.cdb).filter(Request::carries_command).map(|request| ata_key(&request))
    }

    /// The ATA table.
    fn ata(&self, request: &Request) -> Judgement {
        let key = ata_key(request);
        let Some(main) = self.policy.ata.get(usize::from(request.command)) else {
            return Self::judgement(key, Class::Unknown, Decision::Deny, Response::Field)
                .refuse(Response::Field, request.command_byte());
        };
        let base = Self::judgement(key, main.class, main.decision, main.response);
        if main.decision == Decision::Deny {
            return base.refuse(main.response, request.command_byte());
        }
        let (start, rows) = self.policy.rows(SubLayer::Ata, request.command);
        let subject = Subject { facts: self.facts, cdb: self.cdb, request: Some(request) };
        let chosen = rows.iter().position(|row| subject.is_active(row) && subject.matches(row));
        let Some((place, row)) = chosen.and_then(|place| Some((place, rows.get(place)?))) else {
            return if is_offered(&subject, rows) {
                ata_allowed(base, self.facts, request)
            } else {
                not_offered(base, request)
            };
        };
        let place = start.saturating_add(place);
        let base = base.on(place, row);
        if !is_offered(&subject, rows) {
            return not_offered(base, request);
        }
        if !row.decision.allows() {
            return base.refuse(row.response, request.command_byte());
        }
        match failing(&subject, row) {
            Some(guard) => base.guarded(place, guard, subject.byte_of(&guard.condition)),
            None => ata_allowed(base, self.facts, request),
        }
    }
}

fn ata_key(request: &Request) -> CommandKey {
    CommandKey { layer: Layer::Ata, code: request.command, sub: request.distinguishing_feature() }
}

fn failing<'a>(subject: &Subject<'_>, row: &SubRow<'a>) -> Option<&'a Guard> {
    row.guards.iter().find(|guard| !subject.holds(&guard.condition))
}

/// A code with rows that allow something is offered while one of them is active (1.3).
fn is_offered(subject: &Subject<'_>, rows: &[SubRow<'_>]) -> bool {
    let mut allowing = rows.iter().filter(|row| row.decision.allows()).peekable();
    allowing.peek().is_none() || allowing.any(|row| subject.is_active(row))
}

fn not_offered(base: Judgement, request: &Request) -> Judgement {
    Judgement { decision: Decision::Deny, basis: Basis::Profile, ..base }
        .refuse(Response::Field, request.command_byte())
}

/// The action of an ATA row that allows the command.
fn ata_allowed(mut base: Judgement, facts: &Facts<'_>, request: &Request) -> Judgement {
    let action = match (base.decision, request.command) {
        (Decision::Forward, _) => {
            request.command().filter(|command| request::may_send(facts, command)).map(Action::Send)
        }
        (Decision::Synthesise, 0xEC | 0xEE) => Some(Action::Answer(Answer::AtaIdentify)),
        (Decision::Local, 0xE7 | 0xEA) => Some(Action::Good),
        _ => None,
    };
    let (Some(action), Some(tuple)) = (action, request.tuple()) else {
        return base.refuse_unknown();
    };
    base.action = action;
    base.limit = request.bytes(&tuple);
    base.registers =
        Some(Registers { check_condition: request.check_condition, extend: tuple.extend });
    base
}
