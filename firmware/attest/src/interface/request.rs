//! Requests on endpoint 0 (published requirements, section 5.2).

use super::{BRIDGE_INTERFACE, GRAIN, Info, Leaves, NONCE};

/// Vendor, recipient interface, data to the host.
const TO_HOST: u8 = 0xC1;
/// Vendor, recipient interface, data to the device.
const TO_DEVICE: u8 = 0x41;

/// The eight bytes of a control request (USB 2.0, section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Direction, type and recipient.
    pub request_type: u8,
    /// The request.
    pub request: u8,
    /// Its value.
    pub value: u16,
    /// The interface.
    pub index: u16,
    /// Bytes of data: to the host at most, to the device exactly.
    pub length: u16,
}

/// What FINISH asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The last statement; it closes the session.
    Final,
    /// A statement on the way.
    Checkpoint,
}

/// A request to interface 1 of the right form. Whether it is allowed in the present state is for
/// the bridge to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Who the bridge is and how it stands.
    Info,
    /// Opens a session; 32 bytes of start nonce follow.
    Start,
    /// Entries of the log.
    Leaves {
        /// Low 16 bits of the first seq wanted: see [`resolve_seq`](super::resolve_seq).
        first: u16,
        /// Most bytes the host takes.
        room: u16,
    },
    /// Makes a statement; 32 bytes of end nonce follow.
    Finish(Ending),
    /// Bytes of the ready statement.
    Statement {
        /// Offset in bytes, a multiple of 64.
        offset: u32,
        /// Most bytes the host takes.
        room: u16,
    },
    /// Makes the device key; 32 bytes of entropy follow.
    Provision,
}

impl Request {
    /// Reads a request that is meant for interface 1; `None` when it has to be stalled.
    #[must_use]
    pub fn parse(setup: &Setup) -> Option<Self> {
        let bare = setup.value == 0;
        let nonce = usize::from(setup.length) == NONCE;
        let request = match (setup.request_type, setup.request) {
            _ if setup.index != u16::from(BRIDGE_INTERFACE) => None,
            (TO_HOST, 0x01) => {
                (bare && usize::from(setup.length) == Info::SIZE).then_some(Self::Info)
            }
            (TO_DEVICE, 0x02) => (bare && nonce).then_some(Self::Start),
            (TO_HOST, 0x03) => Some(Self::Leaves { first: setup.value, room: setup.length }),
            (TO_DEVICE, 0x04) => match setup.value {
                _ if !nonce => None,
                0 => Some(Self::Finish(Ending::Final)),
                1 => Some(Self::Finish(Ending::Checkpoint)),
                _ => None,
            },
            (TO_HOST, 0x05) => Some(Self::Statement {
                offset: u32::from(setup.value).wrapping_mul(GRAIN.into()),
                room: setup.length,
            }),
            (TO_DEVICE, 0x06) => (bare && nonce).then_some(Self::Provision),
            _ => None,
        };
        request.filter(|request| request.has_room())
    }

    /// An answer to LEAVES needs room for its header and one entry, or the host would never get on.
    fn has_room(&self) -> bool {
        match self {
            Self::Leaves { room, .. } => usize::from(*room) >= Leaves::size(1),
            Self::Statement { room, .. } => *room > 0,
            _ => true,
        }
    }

    /// The request as the host sends it; `None` when a statement's offset is no multiple of 64 or
    /// beyond 65,535 times 64.
    #[must_use]
    pub fn setup(&self) -> Option<Setup> {
        let nonce = u16::try_from(NONCE).ok()?;
        let (request_type, request, value, length) = match *self {
            Self::Info => (TO_HOST, 0x01, 0, u16::try_from(Info::SIZE).ok()?),
            Self::Start => (TO_DEVICE, 0x02, 0, nonce),
            Self::Leaves { first, room } => (TO_HOST, 0x03, first, room),
            Self::Finish(Ending::Final) => (TO_DEVICE, 0x04, 0, nonce),
            Self::Finish(Ending::Checkpoint) => (TO_DEVICE, 0x04, 1, nonce),
            Self::Statement { offset, room } => {
                let grain = u32::from(GRAIN);
                let units = offset.checked_div(grain)?;
                if offset.checked_rem(grain)? != 0 {
                    return None;
                }
                (TO_HOST, 0x05, u16::try_from(units).ok()?, room)
            }
            Self::Provision => (TO_DEVICE, 0x06, 0, nonce),
        };
        Some(Setup { request_type, request, value, index: BRIDGE_INTERFACE.into(), length })
    }
}
