//! The thirteen cases: what host and device each mean to move, and what becomes of the data phase.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport, revision 1.0, section 6.7; the published policy, section 6.2.
//! One pure function, so that a test can go through all of them.

use wb_policy::cbw::CswStatus;

/// A data phase as one side means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// No data.
    None,
    /// This many bytes to the host.
    In(u32),
    /// This many bytes to the device.
    Out(u32),
}

impl Intent {
    /// The intent of a wrapper's length and direction; a length of zero has no direction.
    #[must_use]
    pub fn new(direction: wb_policy::cbw::Direction, length: u32) -> Self {
        match (length, direction) {
            (0, _) => Self::None,
            (length, wb_policy::cbw::Direction::In) => Self::In(length),
            (length, wb_policy::cbw::Direction::Out) => Self::Out(length),
        }
    }

    /// Bytes, in whatever direction.
    #[must_use]
    pub fn bytes(self) -> u32 {
        match self {
            Self::None => 0,
            Self::In(length) | Self::Out(length) => length,
        }
    }
}

/// What the device does with the data phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPhase {
    /// Nothing moves.
    None,
    /// Sends this many bytes; with `ended` false the host waits for more and the endpoint is halted after them, unless the last
    /// packet was short.
    Send {
        /// Bytes that leave.
        bytes: u32,
        /// Whether that is all the host waits for.
        ended: bool,
    },
    /// Takes this many bytes and looks at none of them.
    Drain(u32),
}

/// Outcome of comparing the two intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Number in table 6.1 of the transport's specification.
    pub number: u8,
    /// The data phase.
    pub data: DataPhase,
    /// Least status: a command that fails raises `Passed` to `Failed`, a phase error stays one.
    pub status: CswStatus,
    /// Bytes of the host's intent that are not relevant.
    pub residue: u32,
}

/// Decides the data phase of a command from what the host announced and what the device has to move.
///
/// A device that has no use for the host's data (every refused write) intends [`Intent::None`], which gives case 9: the data are
/// drained, and the status comes after them.
#[must_use]
pub fn decide(host: Intent, device: Intent) -> Case {
    use CswStatus::{Passed, PhaseError};
    let case = |number, data, status, residue| Case { number, data, status, residue };
    match (host, device) {
        (Intent::None, Intent::None) => case(1, DataPhase::None, Passed, 0),
        (Intent::None, Intent::In(_)) => case(2, DataPhase::None, PhaseError, 0),
        (Intent::None, Intent::Out(_)) => case(3, DataPhase::None, PhaseError, 0),
        (Intent::In(wanted), Intent::None) => {
            case(4, DataPhase::Send { bytes: 0, ended: false }, Passed, wanted)
        }
        (Intent::In(wanted), Intent::In(has)) if wanted > has => {
            let data = DataPhase::Send { bytes: has, ended: false };
            case(5, data, Passed, wanted.saturating_sub(has))
        }
        (Intent::In(wanted), Intent::In(has)) if wanted == has => {
            case(6, DataPhase::Send { bytes: has, ended: true }, Passed, 0)
        }
        (Intent::In(wanted), Intent::In(_)) => {
            case(7, DataPhase::Send { bytes: wanted, ended: true }, PhaseError, 0)
        }
        (Intent::In(wanted), Intent::Out(_)) => {
            case(8, DataPhase::Send { bytes: 0, ended: false }, PhaseError, wanted)
        }
        (Intent::Out(given), Intent::None) => case(9, DataPhase::Drain(given), Passed, given),
        (Intent::Out(given), Intent::In(_)) => case(10, DataPhase::Drain(given), PhaseError, given),
        (Intent::Out(given), Intent::Out(takes)) if given > takes => {
            case(11, DataPhase::Drain(given), Passed, given.saturating_sub(takes))
        }
        (Intent::Out(given), Intent::Out(takes)) if given == takes => {
            case(12, DataPhase::Drain(given), Passed, 0)
        }
        (Intent::Out(given), Intent::Out(_)) => case(13, DataPhase::Drain(given), PhaseError, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy 9.5: the table of the specification, row by row.
    #[test]
    fn the_thirteen_cases() {
        use CswStatus::{Passed, PhaseError};
        use Intent::{In, None, Out};
        let all = DataPhase::Send { bytes: 512, ended: true };
        let part = DataPhase::Send { bytes: 100, ended: false };
        let nothing = DataPhase::Send { bytes: 0, ended: false };
        let rows = [
            (None, None, 1, DataPhase::None, Passed, 0),
            (None, In(512), 2, DataPhase::None, PhaseError, 0),
            (None, Out(512), 3, DataPhase::None, PhaseError, 0),
            (In(512), None, 4, nothing, Passed, 512),
            (In(512), In(100), 5, part, Passed, 412),
            (In(512), In(512), 6, all, Passed, 0),
            (In(512), In(513), 7, all, PhaseError, 0),
            (In(512), Out(512), 8, nothing, PhaseError, 512),
            (Out(512), None, 9, DataPhase::Drain(512), Passed, 512),
            (Out(512), In(512), 10, DataPhase::Drain(512), PhaseError, 512),
            (Out(512), Out(100), 11, DataPhase::Drain(512), Passed, 412),
            (Out(512), Out(512), 12, DataPhase::Drain(512), Passed, 0),
            (Out(512), Out(513), 13, DataPhase::Drain(512), PhaseError, 0),
        ];
        for (host, device, number, data, status, residue) in rows {
            let found = decide(host, device);
            assert_eq!(found, Case { number, data, status, residue }, "{host:?} {device:?}");
        }
    }

    /// Whatever the two intend: no more bytes move than the host announced, and residue and bytes sent add up to them.
    #[test]
    fn bytes_and_residue_add_up() {
        let lengths = [1, 13, 31, 511, 512, 513, 65_536, 16 << 20, u32::MAX];
        let intents = || {
            lengths
                .iter()
                .flat_map(|length| [Intent::In(*length), Intent::Out(*length)])
                .chain([Intent::None])
        };
        for host in intents() {
            for device in intents() {
                let case = decide(host, device);
                match case.data {
                    DataPhase::None => assert_eq!(host, Intent::None),
                    DataPhase::Send { bytes, ended } => {
                        assert!(matches!(host, Intent::In(_)));
                        assert_eq!(u64::from(bytes) + u64::from(case.residue), host.bytes().into());
                        assert_eq!(ended, bytes == host.bytes());
                    }
                    DataPhase::Drain(bytes) => assert_eq!(Intent::Out(bytes), host),
                }
            }
        }
    }
}
