//! From a command that a row allows to the typed request.
//!
//! Nothing here looks at a row's guards again, but a profile that is off keeps its commands, and the types of a request hold no value outside the policy's sets, and bits that
//! turn a query into something else (SP, another service action) have no place in them: a row that were wrong would be refused.
//! Facts: the published policy, sections 3.1 to 3.7 and 5; SPC-4, SBC-3, ZBC.

use super::{Action, Facts, answer::Answer, scsi};
use crate::{
    capture::Kind,
    cbw::Cdb,
    down::{Allocation, DownCommand, LogPage, SecurityPage, ZoneOptions},
    present,
    sense::Refusal,
    tables::Decision,
};

/// Bytes asked of the drive where the host takes none: the drive's status is what it wants to know.
const LEAST: u32 = 64;
/// Longest answer that is fetched from a drive in one piece, [`Allocation`]'s upper bound.
const MOST: u32 = 8192;

/// Action and the number of bytes the host takes.
type Typed = (Action, u32);

/// What a row with this decision means for the command.
///
/// # Errors
///
/// How the command is refused: a field for which there is no answer, an address beyond the drive, or no such request at all.
pub(super) fn action(decision: Decision, facts: &Facts<'_>, cdb: &Cdb) -> Result<Typed, Refusal> {
    match decision {
        Decision::Forward => forward(facts, cdb),
        Decision::Synthesise => synthesise(facts, cdb),
        Decision::Local => local(cdb).map(|action| (action, 0)).ok_or(Refusal::OpCode),
        Decision::Sub
        | Decision::Ata
        | Decision::Deny
        | Decision::Emit
        | Decision::Guard
        | Decision::Never => Err(Refusal::OpCode),
    }
}

fn forward(facts: &Facts<'_>, cdb: &Cdb) -> Result<Typed, Refusal> {
    let geometry = facts.capture.geometry;
    if let Some((lba, blocks)) = scsi::blocks(cdb) {
        let range = geometry.and_then(|geometry| geometry.range(lba, blocks));
        return Ok((Action::Read(Some(range.ok_or(Refusal::OpCode)?)), 0));
    }
    let (command, limit) = query(cdb).ok_or(Refusal::OpCode)?;
    if !may_send(facts, &command) {
        return Err(Refusal::OpCode);
    }
    // The table has no such guard for REPORT ZONES, but no address goes to a drive that was not compared (section 1, rule 2).
    if let DownCommand::ReportZones { start, .. } = command
        && geometry.is_none_or(|geometry| start >= geometry.blocks)
    {
        return Err(Refusal::OutOfRange);
    }
    Ok((Action::Send(command), limit))
}

/// Whether a command belongs to an active profile (1.2) and to the kind of drive (7.4), whatever the row says that led to it.
pub(super) fn may_send(facts: &Facts<'_>, command: &DownCommand) -> bool {
    let disk = facts.capture.kind == Kind::Usb;
    match command {
        DownCommand::TestUnitReady | DownCommand::ReadCapacity10 | DownCommand::ReadCapacity16 => {
            true
        }
        DownCommand::StartUnit => disk,
        DownCommand::SmartReadData
        | DownCommand::SmartReadThresholds
        | DownCommand::SmartReadLog(_)
        | DownCommand::SmartReturnStatus => disk && facts.profiles.smart,
        _ => disk && facts.profiles.ident,
    }
}

/// A command other than READ that is regenerated, and how much of its answer the host takes.
fn query(cdb: &Cdb) -> Option<(DownCommand, u32)> {
    Some(match (cdb.opcode(), cdb.get(1) & 0x1F) {
        (0x00, _) => (DownCommand::TestUnitReady, 0),
        (0x1B, _) if cdb.get(4) & 0xF3 == 0x01 => (DownCommand::StartUnit, 0),
        (0x25, _) => (DownCommand::ReadCapacity10, 8),
        (0x9E, 0x10) => (DownCommand::ReadCapacity16, cdb.u32(10).min(32)),
        (0x4D, _) => log_sense(cdb)?,
        (0x95, 0x00) => report_zones(cdb)?,
        (0xA2, _) => security_protocol(cdb)?,
        _ => return None,
    })
}

/// The host's allocation length as far as an answer is fetched, and what is asked of the drive.
fn allocation(cdb: &Cdb) -> Option<(u32, Allocation)> {
    let wanted = scsi::allocation(cdb)?.value.min(MOST);
    let asked = if wanted == 0 { LEAST } else { wanted };
    Some((wanted, Allocation::new(u16::try_from(asked).ok()?)?))
}

/// SP and PPC zero, cumulative values (3.4).
fn log_sense(cdb: &Cdb) -> Option<(DownCommand, u32)> {
    let (limit, length) = allocation(cdb)?;
    if cdb.get(1) & 0x03 != 0 || cdb.get(2) >> 6 != 1 {
        return None;
    }
    let command = match (cdb.get(2) & 0x3F, cdb.get(3)) {
        (page, 0x00) => DownCommand::LogSense(LogPage::new(page)?, length),
        (0x00, 0xFF) => DownCommand::LogSenseSubpages(length),
        _ => return None,
    };
    Some((command, limit))
}

fn report_zones(cdb: &Cdb) -> Option<(DownCommand, u32)> {
    let (limit, length) = allocation(cdb)?;
    let command = DownCommand::ReportZones {
        start: cdb.u64(2),
        options: ZoneOptions::new(cdb.get(14) & 0x3F)?,
        partial: cdb.get(14) & 0x80 != 0,
        allocation: length,
    };
    Some((command, limit))
}

fn security_protocol(cdb: &Cdb) -> Option<(DownCommand, u32)> {
    if scsi::allocation(cdb)?.value > 4096 {
        return None;
    }
    let (limit, allocation) = allocation(cdb)?;
    let page = SecurityPage::new(cdb.u32(0) & 0x00FF_FFFF)?;
    let increments = cdb.get(4) & 0x80 != 0;
    Some((DownCommand::SecurityProtocolIn { page, increments, allocation }, limit))
}

fn synthesise(facts: &Facts<'_>, cdb: &Cdb) -> Result<Typed, Refusal> {
    let disk = facts.capture.kind == Kind::Usb;
    let ident = facts.profiles.ident;
    let answer = match cdb.opcode() {
        0x85 | 0xA1 if cdb.get(1) & 0x1E == 0x1E && disk => Answer::AtaRegisters,
        _ => Answer::of(cdb)?,
    };
    let is_ident = matches!(
        answer,
        Answer::AtaRegisters | Answer::SupportedOpcodes { .. } | Answer::SupportedTmfs { .. }
    );
    if is_ident && !ident {
        return Err(Refusal::OpCode);
    }
    match present::refusal(&answer, facts.capture, ident && disk) {
        Some(refusal) => Err(refusal),
        None => Ok((Action::Answer(answer), answer.allocation())),
    }
}

/// Commands whose GOOD means nothing for the medium; a READ of no block is one of them (3.1).
fn local(cdb: &Cdb) -> Option<Action> {
    match cdb.opcode() {
        0x1B | 0x1E | 0x35 | 0x91 => Some(Action::Good),
        0x28 | 0x88 | 0xA8 if scsi::blocks(cdb).is_some_and(|(_, blocks)| blocks == 0) => {
            Some(Action::Read(None))
        }
        _ => None,
    }
}

/// State that a command answered GOOD changes in the blocker, not in the drive (3.3 and section 2, 1Eh).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalEffect {
    /// None.
    None,
    /// The unit plays ejected.
    Eject,
    /// The unit plays loaded again.
    Load,
    /// The host wants to keep the medium (PREVENT ALLOW MEDIUM REMOVAL).
    Lock(bool),
}

/// What the blocker keeps in mind of a command that was answered [`Action::Good`].
#[must_use]
pub fn local_effect(cdb: &Cdb) -> LocalEffect {
    match (cdb.opcode(), cdb.get(4)) {
        (0x1B, flags) if flags & 0xF2 == 0x02 => {
            if flags & 0x01 == 0 {
                LocalEffect::Eject
            } else {
                LocalEffect::Load
            }
        }
        (0x1E, flags) => LocalEffect::Lock(flags & 0x01 != 0),
        _ => LocalEffect::None,
    }
}
