//! Selector and guard terms applied to a command and to what is known about the session.
//!
//! Facts: the published policy, section 1.3 (meaning of the terms), 3.1 (range check), 3.2 (valid, announced, listed).

use super::{Facts, scsi};
use crate::{
    capture::Capture,
    cbw::Cdb,
    sat::Request,
    tables::{Condition, Feature, Field, Profile, SubRow},
};

/// What a term is applied to: a SCSI command, or the ATA command inside a pass-through.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) cdb: &'a Cdb,
    pub(super) request: Option<&'a Request>,
}

impl<'a> Subject<'a> {
    fn capture(&self) -> &'a Capture {
        self.facts.capture
    }

    /// Value of a field and its offset.
    fn field(&self, field: Field) -> Option<scsi::Spot> {
        let fact = match field {
            Field::Removable => u32::from(self.capture().is_removable()),
            Field::DeviceType => u32::from(self.capture().device_type()),
            _ => {
                return match self.request {
                    Some(request) => request.field(field),
                    None => scsi::field(self.cdb, field),
                };
            }
        };
        Some(scsi::Spot { value: fact, byte: self.command_byte() })
    }

    /// Where a refusal points that is about the command as a whole.
    pub(super) fn command_byte(&self) -> u8 {
        match self.cdb.opcode() {
            0x85 => 14,
            0xA1 => 9,
            _ => 0,
        }
    }

    fn first_block(&self) -> Option<u64> {
        match self.request {
            Some(request) => request.first_block().map(|spot| spot.value),
            None => scsi::first_block(self.cdb),
        }
    }

    /// Blocks of the drive; none while its size is not known.
    fn capacity(&self) -> u64 {
        self.capture().geometry.map_or(0, |geometry| geometry.blocks)
    }

    /// Whether a term holds. A field that the command does not have, and a term of another layer, do not.
    pub(super) fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Among { field, set } => {
                self.field(*field).is_some_and(|spot| set.contains(spot.value))
            }
            Condition::LbaWithinCapacity => {
                self.first_block().is_some_and(|lba| lba < self.capacity())
            }
            Condition::LengthWithinCapacity => {
                scsi::blocks(self.cdb).is_some_and(|(lba, blocks)| {
                    self.capacity().checked_sub(lba).is_none_or(|room| u64::from(blocks) <= room)
                })
            }
            Condition::PageWithinLog => self.page_is_in_log(),
            Condition::IdentifyValid => self.capture().identify_data().is_some(),
            Condition::Announced(feature) => announced(self.capture(), *feature),
            Condition::BridgeListed => self.capture().listed_bridge,
            Condition::LastSense(code) => self.facts.last_sense == Some(*code),
            Condition::Tuple(_)
            | Condition::Argument { .. }
            | Condition::ArgumentKeepsPartition { .. }
            | Condition::Bus(_)
            | Condition::Card(_)
            | Condition::Previous(_)
            | Condition::NextIsApplication
            | Condition::CrcOn => false,
        }
    }

    fn page_is_in_log(&self) -> bool {
        let (Some(log), Some(page)) = (self.field(Field::Log), self.field(Field::Page)) else {
            return false;
        };
        u8::try_from(log.value)
            .is_ok_and(|log| page.value < u32::from(self.capture().log_pages(log)))
    }

    /// Offset of the field that a term is about.
    pub(super) fn byte_of(&self, condition: &Condition) -> u8 {
        let spot = match condition {
            Condition::Among { field, .. } => self.field(*field).map(|spot| spot.byte),
            Condition::PageWithinLog => self.field(Field::Page).map(|spot| spot.byte),
            Condition::LbaWithinCapacity => match self.request {
                Some(request) => request.first_block().map(|spot| spot.byte),
                None => Some(2),
            },
            _ => None,
        };
        spot.unwrap_or(self.command_byte())
    }

    pub(super) fn matches(&self, row: &SubRow<'_>) -> bool {
        row.select.iter().all(|term| self.holds(term))
    }

    /// Offset of the field that keeps a command from the nearest row that would allow it: where "everything left over" points.
    pub(super) fn nearest_obstacle(&self, rows: &[SubRow<'_>]) -> u8 {
        let mut nearest = None;
        for row in rows.iter().filter(|row| row.decision.allows() && self.is_active(row)) {
            let fit = row.select.iter().take_while(|term| self.holds(term)).count();
            let Some(term) = row.select.get(fit) else { continue };
            if nearest.is_none_or(|(best, _)| fit > best) {
                nearest = Some((fit, self.byte_of(term)));
            }
        }
        nearest.map_or(self.command_byte(), |(_, byte)| byte)
    }

    /// Whether the profile of a row is active. A memory card has no ATA layer, and the bridge has no card command for what the
    /// other rows of the profile ask for (7.4): of those only the questions about the bridge itself remain.
    pub(super) fn is_active(&self, row: &SubRow<'_>) -> bool {
        let profiles = self.facts.profiles;
        let card = self.capture().kind == crate::capture::Kind::Card;
        let about_the_bridge = row.code == 0xA3;
        match row.profile {
            Profile::Core => true,
            Profile::Ident => profiles.ident && (!card || about_the_bridge),
            Profile::Smart => profiles.smart && !card,
        }
    }
}

fn announced(capture: &Capture, feature: Feature) -> bool {
    let announced = capture.announced();
    match feature {
        Feature::Hpa => announced.hpa,
        Feature::Lba48 => announced.lba48,
        Feature::Gpl => announced.gpl,
        Feature::Smart => announced.smart,
        Feature::Amax => announced.amax,
        Feature::Dco => announced.dco,
    }
}
