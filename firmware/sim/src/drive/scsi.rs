//! SCSI commands: which function executes what, and reading.
//!
//! Facts: SPC-5, SBC-4.

use super::bytes::{be, bit, size, u8_at};
use super::config::BadKind;
use super::judge::service_action;
use super::passthrough::Task;
use super::sense::Sense;
use super::{Failure, ModelDrive, Outcome, Readiness, Request, done, judge};

/// Largest read in bytes; the BLOCK LIMITS page gives it in blocks.
pub(crate) const MAX_TRANSFER_BYTES: u64 = 64 << 20;

/// Address and length of a command of group 0, 1, 5 or 4, by opcode.
pub(crate) fn range(cdb: &[u8]) -> (u64, u64) {
    match u8_at(cdb, 0) >> 5 {
        0 => match u8_at(cdb, 4) {
            0 => (be(cdb, 1, 3) & 0x1F_FFFF, 256),
            blocks => (be(cdb, 1, 3) & 0x1F_FFFF, blocks.into()),
        },
        1 | 2 => (be(cdb, 2, 4), be(cdb, 7, 2)),
        5 => (be(cdb, 2, 4), be(cdb, 6, 4)),
        _ => (be(cdb, 2, 8), be(cdb, 10, 4)),
    }
}

impl ModelDrive {
    /// Executes a command that was admitted.
    pub(super) fn dispatch(&mut self, request: &Request<'_>, task: Option<Task>) -> Outcome {
        let cdb = request.cdb;
        let optical = self.config.device_type == 0x05;
        match (u8_at(cdb, 0), service_action(cdb)) {
            (0x03, _) => self.request_sense(cdb),
            (0x08 | 0x28 | 0x88 | 0xA8, _) => self.read(range(cdb)),
            (0x12, _) => self.inquiry(cdb),
            (0x1A | 0x5A, _) => self.mode_sense(cdb),
            (0x1B, _) => self.start_stop(cdb),
            (0x23, _) => self.read_format_capacities(cdb),
            (0x25, _) => self.read_capacity_10(),
            (0x2F | 0x8F | 0xAF, _) => self.read(range(cdb)).map(|_| Vec::new()),
            (0x3C | 0x9B, _) => self.read_buffer(cdb),
            (0x42, _) if optical => Ok(vec![0; 4]),
            (0x4D, _) => self.log_sense(cdb),
            (0x85 | 0xA1, _) if !optical => self.pass_through(request, task),
            (0x95, 0x00) => self.report_zones(cdb),
            (0x9E, 0x10) => self.read_capacity_16(cdb),
            (0xA0, _) => self.report_luns(cdb),
            (0xA2, _) => self.security_protocol_in(cdb),
            _ if !judge::scsi(cdb, self.config.device_type).modifying => Self::other_harmless(cdb),
            _ => self.modify(request, task),
        }
    }

    /// Harmless commands whose answer nobody judges: accepted, 64 zero bytes where data is due.
    fn other_harmless(cdb: &[u8]) -> Outcome {
        match u8_at(cdb, 0) {
            0x00
            | 0x01
            | 0x0B
            | 0x16
            | 0x17
            | 0x1E
            | 0x2B
            | 0x30..=0x32
            | 0x34..=0x36
            | 0x39
            | 0x56
            | 0x57
            | 0x90..=0x92
            | 0xB0..=0xB2 => done(),
            0xA3 => Err(Sense::INVALID_FIELD.into()),
            _ => Ok(vec![0; 64]),
        }
    }

    /// READ and the medium part of VERIFY.
    pub(super) fn read(&mut self, (lba, blocks): (u64, u64)) -> Outcome {
        self.check_range(lba, blocks)?;
        if self.state.security.locked {
            return Err(Sense::new(0x07, 0x20, 0x02).into());
        }
        let bytes = size(blocks).saturating_mul(self.state.medium.block_bytes());
        let mut data = Vec::with_capacity(bytes);
        let mut recovered = None;
        for at in lba..lba.saturating_add(blocks) {
            match self.read_one(at, &mut data) {
                Ok(None) => {}
                Ok(Some(sense)) => recovered = recovered.or(Some(sense)),
                Err((sense, true)) => {
                    data.resize(bytes, 0);
                    return Err(Failure { sense, data });
                }
                Err((sense, false)) => return Err(Failure { sense, data }),
            }
        }
        if let Some(missing) = self.config.faults.silent_short_read {
            data.truncate(bytes.saturating_sub(missing));
        }
        recovered.map_or(Ok(data.clone()), |sense| Err(Failure { sense, data }))
    }

    /// Appends one block. A recovered error is `Ok(Some(..))`; the flag of an error says that the rest
    /// of the transfer is filled with zeros.
    fn read_one(&self, lba: u64, data: &mut Vec<u8>) -> Result<Option<Sense>, (Sense, bool)> {
        let bad = self.config.faults.bad.iter().find(|bad| bad.blocks.contains(&lba));
        let unrecovered = Sense::UNRECOVERED_READ;
        match bad.map(|bad| bad.kind) {
            Some(BadKind::Medium) => return Err((unrecovered.at(lba), false)),
            Some(BadKind::MediumNoInformation) => return Err((unrecovered, false)),
            Some(BadKind::MediumZeroFilled) => return Err((unrecovered.at(lba), true)),
            Some(BadKind::Recovered) | None => {}
        }
        let block = self.state.medium.read(lba).map_err(|_| (unrecovered.at(lba), false))?;
        data.extend(block);
        Ok(bad.map(|_| Sense::new(0x01, 0x17, 0x01).at(lba)))
    }

    /// The range lies on the visible medium and is not too long for one command.
    pub(super) fn check_range(&self, lba: u64, blocks: u64) -> Result<(), Sense> {
        let visible = self.state.capacity.visible;
        let block_bytes = u64::from(self.config.block_bytes);
        if lba > visible || blocks > visible.saturating_sub(lba) {
            return Err(Sense::OUT_OF_RANGE);
        }
        if blocks.saturating_mul(block_bytes) > MAX_TRANSFER_BYTES {
            return Err(Sense::INVALID_FIELD);
        }
        Ok(())
    }

    fn request_sense(&mut self, cdb: &[u8]) -> Outcome {
        let attention = match self.sense {
            None => self.attentions.pop_front(),
            Some(_) => None,
        };
        let pending = attention.map(|(asc, ascq)| Sense::new(0x06, asc, ascq));
        let sense = self.sense.take().or(pending).unwrap_or(Sense::new(0, 0, 0));
        let mut data = sense.encode(bit(cdb, 1, 0x01));
        data.truncate(u8_at(cdb, 4).into());
        Ok(data)
    }

    fn start_stop(&mut self, cdb: &[u8]) -> Outcome {
        let control = u8_at(cdb, 4);
        let (condition, eject, start) = (control & 0xF0, control & 0x02 != 0, control & 1 != 0);
        if condition != 0 || eject || !start {
            self.state.set("START STOP UNIT", &[cdb]);
        }
        self.readiness = match (condition, eject, start, self.readiness) {
            (0, true, false, _) => Readiness::NoMedium,
            (0, false, false, Readiness::Ready) => Readiness::NeedsStart,
            (0, true, true, _) | (0, false, true, Readiness::NeedsStart) => Readiness::Ready,
            (_, _, _, as_before) => as_before,
        };
        done()
    }

    /// READ BUFFER: descriptor and data modes; error history other than the directory is made or
    /// cleared by reading it.
    fn read_buffer(&mut self, cdb: &[u8]) -> Outcome {
        if judge::scsi(cdb, self.config.device_type).modifying {
            self.state.set("READ BUFFER", &[cdb]);
        }
        let mut data = vec![0; 512];
        let allocation = if u8_at(cdb, 0) == 0x3C { be(cdb, 6, 3) } else { be(cdb, 10, 4) };
        data.truncate(size(allocation));
        Ok(data)
    }

    fn security_protocol_in(&mut self, cdb: &[u8]) -> Outcome {
        let verdict = judge::security_protocol_in(u8_at(cdb, 1), be(cdb, 2, 2));
        if verdict.modifying {
            self.state.set("SECURITY PROTOCOL IN", &[cdb]);
        }
        let unit = if bit(cdb, 4, 0x80) { 512 } else { 1 };
        let mut data = self.security_information(u8_at(cdb, 1), be(cdb, 2, 2));
        data.truncate(size(be(cdb, 6, 4).saturating_mul(unit)));
        Ok(data)
    }
}
