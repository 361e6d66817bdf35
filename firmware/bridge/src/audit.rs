//! The chain over what happened since power-up: each record contains the hash of the one before it.
//!
//! Facts: the published requirements, section 4.6. The statement carries the head and the number of the newest record, so that no
//! record can be taken out afterwards. The records themselves leave the bridge as log frames; the chain lives in memory and begins anew
//! with each power-up, which is its own first record.

use wb_attest::{Digest, sha256};

use crate::Micros;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// The bridge began to run, with its boot counter.
    PowerUp(u32),
    /// A key exists from now on.
    Provisioned,
    /// A drive is attached and served.
    Attached,
    /// What is attached is refused.
    NotServed,
    /// The drive has gone.
    Detached,
    /// The medium was exchanged.
    MediumChanged,
    /// A later answer gives another capacity than the capture.
    CapacityChanged,
    /// A command was refused: its operation code, and whether it would have changed the drive.
    Refused {
        /// Operation code.
        opcode: u8,
        /// It would have changed the drive.
        modifying: bool,
    },
    /// A block could not be read.
    ReadError {
        /// The block.
        lba: u64,
        /// Sense key.
        key: u8,
    },
    /// The drive broke the rules of its transport.
    DriveFault,
    /// The host reset the bridge.
    HostReset,
    /// A transfer that is no command wrapper came.
    InvalidCommand,
    /// A session began, with its number.
    SessionBegan(u32),
    /// A session ended, with its number.
    SessionEnded(u32),
    /// A statement was signed, with its length.
    StatementSigned(u32),
}

impl Event {
    /// Number of the kind, and up to eight bytes that go with it.
    fn encode(self) -> (u8, u64) {
        match self {
            Self::PowerUp(count) => (0, count.into()),
            Self::Provisioned => (1, 0),
            Self::Attached => (2, 0),
            Self::NotServed => (3, 0),
            Self::Detached => (4, 0),
            Self::MediumChanged => (5, 0),
            Self::CapacityChanged => (6, 0),
            Self::Refused { opcode, modifying } => {
                (7, u64::from(opcode) | (u64::from(modifying) << 8))
            }
            // The key of the sense goes into the upper byte: no medium has 2^56 blocks.
            Self::ReadError { lba, key } => {
                (8, (lba & 0x00FF_FFFF_FFFF_FFFF) | (u64::from(key) << 56))
            }
            Self::DriveFault => (9, 0),
            Self::HostReset => (10, 0),
            Self::InvalidCommand => (11, 0),
            Self::SessionBegan(number) => (12, number.into()),
            Self::SessionEnded(number) => (13, number.into()),
            Self::StatementSigned(length) => (14, length.into()),
        }
    }
}

/// Length of a record: number, uptime, kind, seven zero bytes, detail, hash of the record before.
pub const RECORD_BYTES: usize = 64;

/// The chain's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    head: Digest,
    next: u64,
}

impl Audit {
    /// Appends an event and gives its record.
    pub fn append(&mut self, now: Micros, event: Event) -> [u8; RECORD_BYTES] {
        let (kind, detail) = event.encode();
        let mut record = [0; RECORD_BYTES];
        let parts: [&[u8]; 5] = [
            &self.next.to_be_bytes(),
            &now.to_be_bytes(),
            &[kind, 0, 0, 0, 0, 0, 0, 0],
            &detail.to_be_bytes(),
            &self.head,
        ];
        let bytes = parts.into_iter().flatten();
        for (own, byte) in record.iter_mut().zip(bytes) {
            *own = *byte;
        }
        self.head = sha256(&[&record]);
        self.next = self.next.saturating_add(1);
        record
    }

    /// SHA-256 of the newest record, zero before the first.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B24: a chain of which a record is changed or left out has another head.
    #[test]
    fn the_head_depends_on_every_record() {
        let events =
            [Event::PowerUp(1), Event::Attached, Event::Refused { opcode: 0x2A, modifying: true }];
        let head = |events: &[Event]| {
            let mut audit = Audit::default();
            events.iter().for_each(|event| {
                audit.append(7, *event);
            });
            audit.head()
        };
        let whole = head(&events);
        assert_ne!(whole, head(&events[1..]));
        assert_ne!(whole, head(&[events[0], events[2], events[1]]));
        let mut audit = Audit::default();
        let first = audit.append(7, events[0]);
        let second = audit.append(7, events[1]);
        assert_eq!(second[32..], sha256(&[&first]));
        assert_eq!(audit.records(), 2);
    }
}
