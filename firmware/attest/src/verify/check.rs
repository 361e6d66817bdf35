//! Do the claims fit each other, the host's nonces and the streamed entries?
//!
//! A signed statement whose figures contradict each other is still a signed statement: it is kept,
//! and what does not fit is named. Published requirements, sections 4.3 and 4.4.

use super::statement::{Counters, Emitted, Listed, Statement};
use crate::Digest;
use crate::log::{Entry, Frontier, empty_root};
use crate::statement::{Answers, Command, EndReason, Extent, Kind, Layer, Refusals};
use std::fmt;
use std::vec::Vec;

/// Bytes of a command block wrapper (USB Mass Storage Bulk-Only Transport 1.0, section 5.1).
const CBW: u64 = 31;

/// What the host knows and the statement has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Nonce that the host sent with START.
    pub start_nonce: Digest,
    /// Nonce that the host sent with FINISH.
    pub end_nonce: Digest,
    /// The released image's digest, where the host has it.
    pub firmware: Option<Digest>,
    /// The published policy's digest, where the host has it.
    pub policy: Option<Digest>,
}

/// Something that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Finding {
    /// The start nonce is another one.
    StartNonce,
    /// The end nonce is another one.
    EndNonce,
    /// The firmware reports another digest than the released image has.
    Firmware,
    /// The firmware reports another policy than the published one.
    Policy,
    /// Kind of statement and end reason do not fit, or the session ends before it starts.
    Session,
    /// A row's answers do not add up to the commands received.
    CounterSum(Command),
    /// A row was higher when the session started than now.
    CounterStart(Command),
    /// Rows are out of order or twice.
    CounterOrder(Command),
    /// The totals do not add up, or are not those of the rows.
    CounterTotal,
    /// Bytes written to the drive's bulk-OUT endpoint are not 31 for each command block.
    BulkOut,
    /// The emitted commands do not add up to the command blocks.
    EmittedSum,
    /// The refused commands do not fit the counters, or not the number of those kept.
    RefusalCount,
    /// The commands of the attach script are more than the bridge sent on its own.
    Originated,
    /// Extents are empty, out of order, behind the capacity, or not as many blocks as stated.
    Coverage,
    /// Lost entries do not add up, or an empty log has a root.
    Log,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::StartNonce => "the start nonce is not the one that was sent",
            Self::EndNonce => "the end nonce is not the one that was sent",
            Self::Firmware => "the firmware reports another digest than the released image has",
            Self::Policy => "the firmware reports another policy than the published one",
            Self::Session => "kind, end reason and times of the session do not fit",
            Self::CounterSum(_) => "the answers to a command do not add up",
            Self::CounterStart(_) => "a counter was higher when the session started",
            Self::CounterOrder(_) => "counters are out of order or twice",
            Self::CounterTotal => "the totals of the counters do not add up",
            Self::BulkOut => "bytes sent to the drive are not 31 for each command block",
            Self::EmittedSum => "the emitted commands do not add up to the command blocks",
            Self::RefusalCount => "the refused commands do not fit the counters",
            Self::Originated => "the attach script is longer than what the bridge sent on its own",
            Self::Coverage => "the extents read do not fit the drive or their sum",
            Self::Log => "the figures of the digest log do not fit",
        };
        f.write_str(text)?;
        match self {
            Self::CounterSum(at) | Self::CounterStart(at) | Self::CounterOrder(at) => {
                write!(f, " ({:?} {:02X}h/{:04X}h)", at.layer, at.code, at.sub)
            }
            _ => Ok(()),
        }
    }
}

impl Statement {
    /// What does not fit: nothing in an honest statement of this session.
    #[must_use]
    pub fn findings(&self, expected: &Expected) -> Vec<Finding> {
        let differs = |wanted: Option<Digest>, stated: Digest| wanted.is_some_and(|d| d != stated);
        let mut findings = Vec::new();
        let mut note = |wrong: bool, finding: Finding| {
            if wrong {
                findings.push(finding);
            }
        };
        note(self.start_nonce != expected.start_nonce, Finding::StartNonce);
        note(self.end_nonce != expected.end_nonce, Finding::EndNonce);
        note(differs(expected.firmware, self.firmware.digest), Finding::Firmware);
        note(differs(expected.policy, self.firmware.policy), Finding::Policy);
        findings.extend(self.contradictions());
        findings
    }

    /// Claims that contradict each other, whatever the host knows.
    #[must_use]
    pub fn contradictions(&self) -> Vec<Finding> {
        let mut findings = self.counters.contradictions();
        let mut note = |right: bool, finding: Finding| {
            if !right {
                findings.push(finding);
            }
        };
        note(self.session_fits(), Finding::Session);
        note(self.emitted.bytes_fit(), Finding::BulkOut);
        note(self.emitted.adds_up(), Finding::EmittedSum);
        note(self.refusals_fit(), Finding::RefusalCount);
        note(self.originated_fits(), Finding::Originated);
        note(self.coverage_fits(), Finding::Coverage);
        note(self.log_fits(), Finding::Log);
        findings
    }

    fn session_fits(&self) -> bool {
        let session = &self.session;
        let reason = match session.kind {
            Kind::Checkpoint => EndReason::Open,
            Kind::Final => EndReason::Finished,
        };
        session.reason == reason && session.number > 0 && session.start_us <= session.end_us
    }

    /// The kept ones are as many as they have to be, and the rows have counted at least them.
    fn refusals_fit(&self) -> bool {
        let refusals = &self.refusals;
        let kept = u64::try_from(Refusals::KEPT).unwrap_or(u64::MAX);
        let length = |list: &[_]| u64::try_from(list.len()).unwrap_or(u64::MAX);
        let first = refusals.total.min(kept);
        let last = refusals.total.saturating_sub(first).min(kept);
        let refused = |layers: &[Layer]| {
            let rows = self.counters.rows.first.iter();
            rows.filter(|row| layers.contains(&row.command.layer))
                .map(|row| row.answers.refused())
                .fold(0, u64::saturating_add)
        };
        let counted = if self.counters.rows.is_whole() {
            let least = refused(&[Layer::Scsi, Layer::Ata]);
            let most = least.saturating_add(refused(&[Layer::Other]));
            (least..=most).contains(&refusals.total)
        } else {
            refusals.total <= self.counters.total.refused()
        };
        counted
            && refusals.modifying <= refusals.total
            && length(&refusals.first) == first
            && length(&refusals.last) == last
    }

    /// The commands of the script are among those the bridge sent on its own; sense after a failed
    /// read is not in the script, and control requests are no commands.
    fn originated_fits(&self) -> bool {
        let steps = self.originated.steps.first.iter();
        let commands = steps.filter(|step| step.command.layer != Layer::UsbControl);
        let sum = commands.map(|step| u64::from(step.times)).fold(0, u64::saturating_add);
        sum <= self.originated.total
    }

    fn coverage_fits(&self) -> bool {
        let (coverage, capacity) = (&self.coverage, self.drive.capacity);
        let mut end = None;
        for extent in &coverage.extents.first {
            let apart = end.is_none_or(|end| end < extent.lba);
            end = within(extent.lba, extent.blocks, capacity);
            if !apart || end.is_none() {
                return false;
            }
        }
        let sum = blocks(&coverage.extents.first);
        let inside = |e: &crate::statement::ErrorExtent| within(e.lba, e.blocks, capacity);
        at_least(&coverage.extents, coverage.blocks, sum)
            && coverage.blocks <= capacity
            && coverage.errors.first.iter().all(|error| inside(error).is_some())
    }

    fn log_fits(&self) -> bool {
        let log = &self.log;
        let ranges = &log.lost_ranges.first;
        let inside = |range: &Extent| within(range.lba, range.blocks, log.entries).is_some();
        (log.entries > 0 || log.root == empty_root())
            && log.lost <= log.entries
            && ranges.iter().all(inside)
            && at_least(&log.lost_ranges, log.lost, blocks(ranges))
    }
}

/// The end of a run of at least one block that lies within `limit`.
fn within(first: u64, count: u64, limit: u64) -> Option<u64> {
    first.checked_add(count).filter(|end| count > 0 && *end <= limit)
}

fn blocks(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.blocks).fold(0, u64::saturating_add)
}

/// Whether a total is the sum over a whole list, or at least the sum over a cut one.
fn at_least<T>(list: &Listed<T>, total: u64, sum: u64) -> bool {
    if list.is_whole() { total == sum } else { total >= sum }
}

impl Answers {
    /// Refused, one way or the other.
    const fn refused(&self) -> u64 {
        self.refused_wp.saturating_add(self.refused_op).saturating_add(self.refused_fld)
    }
}

impl Counters {
    fn contradictions(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut last: Option<Command> = None;
        let (mut now, mut start) = ([0_u64; 6], [0_u64; 6]);
        for row in &self.rows.first {
            let command = row.command;
            let rose = pairs(row.at_start, row.answers).all(|(before, after)| before <= after);
            if !row.answers.adds_up() || !row.at_start.adds_up() {
                findings.push(Finding::CounterSum(command));
            }
            if !rose {
                findings.push(Finding::CounterStart(command));
            }
            if last.is_some_and(|last| last >= command) {
                findings.push(Finding::CounterOrder(command));
            }
            last = Some(command);
            add(&mut now, row.answers);
            add(&mut start, row.at_start);
        }
        let whole = self.rows.is_whole();
        if !totals(self.total, now, whole) || !totals(self.total_at_start, start, whole) {
            findings.push(Finding::CounterTotal);
        }
        findings
    }
}

fn pairs(left: Answers, right: Answers) -> impl Iterator<Item = (u64, u64)> {
    left.to_array().into_iter().zip(right.to_array())
}

fn add(sums: &mut [u64; 6], answers: Answers) {
    for (sum, figure) in sums.iter_mut().zip(answers.to_array()) {
        *sum = sum.saturating_add(figure);
    }
}

fn totals(total: Answers, sums: [u64; 6], whole: bool) -> bool {
    let fits = |(total, sum): (u64, u64)| if whole { total == sum } else { total >= sum };
    total.adds_up() && pairs(total, Answers::from_array(sums)).all(fits)
}

impl Emitted {
    /// The only bytes a drive is ever sent are command blocks (published policy, section 1).
    fn bytes_fit(&self) -> bool {
        self.cbws.checked_mul(CBW) == Some(self.bulk_out_bytes)
    }

    fn adds_up(&self) -> bool {
        let commands = &self.commands.first;
        let blocks =
            commands.iter().filter(|row| matches!(row.command.layer, Layer::Scsi | Layer::Ata));
        let sum = blocks.map(|row| row.count).fold(0, u64::saturating_add);
        at_least(&self.commands, self.cbws, sum)
            && commands.iter().all(|row| row.at_start <= row.count)
    }
}

/// What the streamed entries say about a statement's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogVerdict {
    /// They make the root.
    Agrees,
    /// Entries are missing: only this many follow each other from the first on.
    Missing {
        /// Entries from the first on without a gap.
        have: u64,
    },
    /// They make another root.
    Differs,
}

/// Whether the entries of a session, which may be more than the statement covers, make its root.
/// Entries that the bridge lost and the host put back from its own record count like the others.
#[must_use]
pub fn log_agrees(statement: &Statement, entries: &[Entry]) -> LogVerdict {
    let mut log = Frontier::new();
    let mut entries = entries.iter();
    while log.size() < statement.log.entries {
        let appended = entries.next().is_some_and(|entry| log.append(entry).is_ok());
        if !appended {
            return LogVerdict::Missing { have: log.size() };
        }
    }
    if log.root() == statement.log.root { LogVerdict::Agrees } else { LogVerdict::Differs }
}

/// How many entries from the first on are proven by the statements of one session, checkpoints and
/// final: those up to the largest one whose root the entries make. What follows counts as not
/// covered.
#[must_use]
pub fn proven_entries<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    entries: &[Entry],
) -> u64 {
    let mut roots: Vec<(u64, Digest)> =
        statements.into_iter().map(|one| (one.log.entries, one.log.root)).collect();
    roots.sort_unstable();
    let (mut log, mut proven) = (Frontier::new(), 0);
    let mut entries = entries.iter();
    for (size, root) in roots {
        while log.size() < size {
            let appended = entries.next().is_some_and(|entry| log.append(entry).is_ok());
            if !appended {
                return proven;
            }
        }
        if log.root() == root {
            proven = size;
        }
    }
    proven
}
