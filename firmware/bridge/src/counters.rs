//! What became of every command of the host, and the first and last of the refused ones.
//!
//! Facts: the published requirements, section 4.3 (counters, refusals). Counters run from attach; a session notes their values when
//! it begins (5.3). A command for which the table has no row left is counted in one row for all such, so the sums hold.

use heapless::{Deque, Vec};
use wb_attest::statement::{Answers, Command, Counter, Layer, Refusal, RefusalKind, Refusals};
use wb_policy::{cbw::Cdb, sense};

use crate::Micros;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Regenerated and sent to the drive.
    Forwarded,
    /// Answered here.
    Answered,
    /// Refused.
    Refused(RefusalKind),
}

impl Fate {
    /// How a refusal is counted.
    #[must_use]
    pub fn of_refusal(refusal: sense::Refusal) -> Self {
        Self::Refused(match refusal {
            sense::Refusal::WriteProtected => RefusalKind::Wp,
            sense::Refusal::OpCode => RefusalKind::Op,
            sense::Refusal::Field { .. }
            | sense::Refusal::OutOfRange
            | sense::Refusal::SavingNotSupported => RefusalKind::Fld,
        })
    }
}

/// The table of counters with room for `N` commands.
#[derive(Clone, Debug, Default)]
pub struct Counters<const N: usize> {
    rows: Vec<Counter, N>,
    /// Distinct commands that found no row.
    other: Answers,
    other_at_start: Answers,
    total: Answers,
    total_at_start: Answers,
}

impl<const N: usize> Counters<N> {
    /// Counts a command.
    pub fn count(&mut self, command: Command, fate: Fate) {
        add(&mut self.total, fate);
        // One row is kept for all commands that find none.
        let has_room = self.rows.len() < N.saturating_sub(1);
        match self.rows.binary_search_by(|row| row.command.cmp(&command)) {
            Ok(at) => {
                if let Some(row) = self.rows.get_mut(at) {
                    add(&mut row.answers, fate);
                }
            }
            Err(at) if has_room => {
                let mut row =
                    Counter { command, answers: Answers::default(), at_start: Answers::default() };
                add(&mut row.answers, fate);
                if self.rows.insert(at, row).is_err() {
                    add(&mut self.other, fate);
                }
            }
            Err(_) => add(&mut self.other, fate),
        }
    }

    /// Notes the values at the beginning of a session.
    pub fn mark(&mut self) {
        for row in &mut self.rows {
            row.at_start = row.answers;
        }
        self.other_at_start = self.other;
        self.total_at_start = self.total;
    }

    /// The rows in ascending order, the one for all others last.
    pub fn rows(&self) -> impl Iterator<Item = Counter> + '_ {
        let other = Counter {
            command: Command { layer: Layer::Other, code: 0, sub: 0 },
            answers: self.other,
            at_start: self.other_at_start,
        };
        self.rows.iter().copied().chain((self.other.received > 0).then_some(other))
    }

    /// Totals since attach.
    #[must_use]
    pub fn total(&self) -> Answers {
        self.total
    }

    /// Totals when the session began.
    #[must_use]
    pub fn total_at_start(&self) -> Answers {
        self.total_at_start
    }

    /// Forgets everything: another drive.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn add(answers: &mut Answers, fate: Fate) {
    let up = |counter: &mut u64| *counter = counter.saturating_add(1);
    up(&mut answers.received);
    up(match fate {
        Fate::Forwarded => &mut answers.forwarded,
        Fate::Answered => &mut answers.synthesised,
        Fate::Refused(RefusalKind::Wp) => &mut answers.refused_wp,
        Fate::Refused(RefusalKind::Op) => &mut answers.refused_op,
        Fate::Refused(RefusalKind::Fld) => &mut answers.refused_fld,
    });
}

/// The first and the last refused commands.
#[derive(Clone, Debug, Default)]
pub struct RefusalLog {
    first: Vec<Refusal, { Refusals::KEPT }>,
    last: Deque<Refusal, { Refusals::KEPT }>,
    total: u64,
    modifying: u32,
}

impl RefusalLog {
    /// Notes a refused command.
    pub fn add(&mut self, now: Micros, cdb: &Cdb, kind: RefusalKind, modifying: bool) {
        self.total = self.total.saturating_add(1);
        self.modifying = self.modifying.saturating_add(u32::from(modifying));
        let mut bytes = [0; 16];
        for (own, byte) in bytes.iter_mut().zip(cdb.as_bytes()) {
            *own = *byte;
        }
        let refusal = Refusal { uptime_us: now, kind, cdb: bytes, cdb_len: cdb.len() };
        if self.first.push(refusal).is_err() {
            if self.last.is_full() {
                self.last.pop_front();
            }
            // There is room: one was taken out.
            let _ = self.last.push_back(refusal);
        }
    }

    /// The first refused commands.
    #[must_use]
    pub fn first(&self) -> &[Refusal] {
        &self.first
    }

    /// Puts the last ones in order of time, for [`RefusalLog::last`].
    pub fn sort(&mut self) {
        self.last.make_contiguous();
    }

    /// The last ones in order of time, none of them among the first.
    #[must_use]
    pub fn last(&self) -> &[Refusal] {
        self.last.as_slices().0
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those that would have changed the drive.
    #[must_use]
    pub fn modifying(&self) -> u32 {
        self.modifying
    }

    /// Forgets everything: another drive.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scsi(code: u8) -> Command {
        Command { layer: Layer::Scsi, code, sub: 0 }
    }

    /// no command is lost from the sums, whatever the table has room for.
    #[test]
    fn sums_hold_when_the_table_is_full() {
        let mut counters = Counters::<4>::default();
        for code in 0..=255 {
            counters.count(scsi(code), Fate::Refused(RefusalKind::Op));
            counters.count(scsi(code), Fate::Forwarded);
        }
        counters.mark();
        counters.count(scsi(7), Fate::Answered);
        let sum: u64 = counters.rows().map(|row| row.answers.received).sum();
        assert_eq!((sum, counters.total().received), (513, 513));
        assert!(counters.total().adds_up() && counters.rows().all(|row| row.answers.adds_up()));
        assert_eq!(counters.total_at_start().received, 512);
        assert_eq!(counters.rows().count(), 4);
    }

    #[test]
    fn first_and_last_refusals_are_kept() {
        let mut log = RefusalLog::default();
        for n in 0..100_u8 {
            let cdb = Cdb::new(&[0x2A, n]).unwrap();
            log.add(u64::from(n), &cdb, RefusalKind::Wp, n % 2 == 0);
        }
        log.sort();
        assert_eq!(log.first().len(), 32);
        assert_eq!(log.first()[31].cdb[1], 31);
        assert_eq!(log.last()[0].cdb[1], 68);
        assert_eq!(log.last()[31].cdb[1], 99);
        assert_eq!((log.total(), log.modifying()), (100, 50));
    }
}
