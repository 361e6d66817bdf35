//! The commands that REPORT SUPPORTED OPERATION CODES names: exactly the FWD, SYN and LOC rows that are active.
//!
//! Facts: the published policy, section 3.7; SPC-4 6.35.

use super::{Facts, condition::Subject, scsi};
use crate::{
    cbw::Cdb,
    present::Offered,
    tables::{Condition, Decision, Field, Policy, SubLayer, SubRow},
};

/// Commands that the policy forwards or answers, ascending. A pass-through that is refused because of what the drive is (removable,
/// device type) is not among them.
pub fn offered<'a>(
    policy: &'a Policy<'a>,
    facts: &'a Facts<'a>,
) -> impl Iterator<Item = Offered> + 'a {
    (0..=u8::MAX).flat_map(move |opcode| {
        let rows = Rows::of(policy, facts, opcode);
        let shared = scsi::has_service_actions(opcode);
        let actions = if shared { 0..32_u16 } else { 0..1 };
        actions
            .filter(move |action| rows.allow(shared.then_some(*action)))
            .map(move |action| Offered { opcode, service_action: shared.then_some(action) })
    })
}

/// The rows of one operation code.
#[derive(Clone, Copy)]
struct Rows<'a> {
    facts: &'a Facts<'a>,
    opcode: u8,
    main: Decision,
    rows: &'a [SubRow<'a>],
}

impl<'a> Rows<'a> {
    fn of(policy: &'a Policy<'a>, facts: &'a Facts<'a>, opcode: u8) -> Self {
        let main = policy.scsi.get(usize::from(opcode)).map_or(Decision::Deny, |row| row.decision);
        let (_, rows) = policy.rows(SubLayer::Scsi, opcode);
        Self { facts, opcode, main, rows }
    }

    fn allow(&self, action: Option<u16>) -> bool {
        if self.main == Decision::Deny {
            return false;
        }
        if self.rows.is_empty() {
            return self.main.allows();
        }
        self.rows.iter().any(|row| self.row_allows(row, action))
    }

    fn row_allows(&self, row: &SubRow<'_>, action: Option<u16>) -> bool {
        let Some(cdb) = Cdb::new(&[self.opcode]) else { return false };
        let subject = Subject { facts: self.facts, cdb: &cdb, request: None };
        let named =
            matches!(row.decision, Decision::Forward | Decision::Synthesise | Decision::Local);
        let right_action = row.select.iter().all(|term| match (term, action) {
            (Condition::Among { field: Field::ServiceAction, set }, Some(action)) => {
                set.contains(u32::from(action))
            }
            _ => true,
        });
        let possible = row.guards.iter().all(|guard| match guard.condition {
            Condition::Among { field: Field::Removable | Field::DeviceType, .. } => {
                subject.holds(&guard.condition)
            }
            _ => true,
        });
        named && right_action && possible && subject.is_active(row)
    }
}
