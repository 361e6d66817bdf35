//! One control transfer on endpoint 0, stage by stage (USB 2.0, 8.5.3), as the host's controller would run it.

use super::pipes::{Handshake, Pipes};

/// Room for the data stage: more than the control buffer of the device's stack.
pub const DATA_BYTES: usize = 512;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A control packet; its fixed part is sent back with the answer.
    Host { id: u64, echo: [u8; 10] },
    /// SET_CONFIGURATION as a packet of its own.
    SetConfiguration { id: u64, value: u8 },
    /// GET_CONFIGURATION.
    GetConfiguration { id: u64 },
    /// SET_INTERFACE.
    SetAlternate { id: u64, interface: u8, setting: u8 },
    /// The peer itself: the device descriptor.
    Device,
    /// The peer itself: the configuration.
    Configuration,
}

impl Origin {
    /// Number of the packet, if the host may cancel it.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Host { id, .. }
            | Self::SetConfiguration { id, .. }
            | Self::GetConfiguration { id }
            | Self::SetAlternate { id, .. } => Some(*id),
            Self::Device | Self::Configuration => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Setup,
    DataIn,
    DataOut,
    StatusIn,
    StatusOut,
}

/// The transfer.
#[derive(Debug)]
pub struct Control {
    /// Who wants to know.
    pub origin: Origin,
    setup: [u8; 8],
    stage: Stage,
    data: [u8; DATA_BYTES],
    filled: usize,
    sent: usize,
}

impl Control {
    /// A transfer whose data, if they go to the device, are still to come.
    pub fn new(origin: Origin, setup: [u8; 8]) -> Self {
        Self { origin, setup, stage: Stage::Setup, data: [0; DATA_BYTES], filled: 0, sent: 0 }
    }

    fn is_in(&self) -> bool {
        let [kind, ..] = self.setup;
        kind & 0x80 != 0
    }

    fn length(&self) -> usize {
        let [.., low, high] = self.setup;
        usize::from(u16::from_le_bytes([low, high]))
    }

    /// A byte for the device; what does not fit is lost, and `is_whole` says so.
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.data.get_mut(self.filled) {
            *place = byte;
            self.filled = self.filled.saturating_add(1);
        }
    }

    /// Whether the data for the device are as long as the request says.
    pub fn is_whole(&self) -> bool {
        self.is_in() || self.filled == self.length()
    }

    /// What came from the device.
    pub fn answer(&self) -> &[u8] {
        if self.is_in() { self.data.get(..self.filled).unwrap_or_default() } else { &[] }
    }

    /// Bytes of the data stage that were moved.
    pub fn moved(&self) -> usize {
        if self.is_in() { self.filled } else { self.sent }
    }

    /// Goes as far as the device lets it; whether it succeeded, once it has ended.
    pub fn advance(&mut self, pipes: &mut Pipes) -> Option<bool> {
        match self.stage {
            Stage::Setup => {
                pipes.host_setup(self.setup);
                self.stage = match (self.is_in(), self.length()) {
                    (_, 0) => Stage::StatusIn,
                    (true, _) => Stage::DataIn,
                    (false, _) => Stage::DataOut,
                };
                None
            }
            Stage::DataIn => self.data_in(pipes),
            Stage::DataOut => self.data_out(pipes),
            Stage::StatusIn => match pipes.host_in(0, &mut []) {
                Handshake::Ack(_) => Some(true),
                Handshake::Nak => None,
                Handshake::Stall => Some(false),
            },
            Stage::StatusOut => match pipes.host_room(0) {
                Handshake::Ack(_) => {
                    pipes.host_out(0, &[]);
                    Some(true)
                }
                Handshake::Nak => None,
                Handshake::Stall => Some(false),
            },
        }
    }

    fn data_in(&mut self, pipes: &mut Pipes) -> Option<bool> {
        let room = self.data.get_mut(self.filled..).unwrap_or_default();
        let space = room.len();
        match pipes.host_in(0, room) {
            Handshake::Ack(length) => {
                self.filled = self.filled.saturating_add(length.min(space));
                if length < pipes.in_packet(0) || self.filled >= self.length().min(DATA_BYTES) {
                    self.filled = self.filled.min(self.length());
                    self.stage = Stage::StatusOut;
                }
                None
            }
            Handshake::Nak => None,
            Handshake::Stall => Some(false),
        }
    }

    fn data_out(&mut self, pipes: &mut Pipes) -> Option<bool> {
        match pipes.host_room(0) {
            Handshake::Ack(size) => {
                let end = self.filled.min(self.sent.saturating_add(size));
                pipes.host_out(0, self.data.get(self.sent..end).unwrap_or_default());
                self.sent = end;
                if self.sent >= self.filled {
                    self.stage = Stage::StatusIn;
                }
                None
            }
            Handshake::Nak => None,
            Handshake::Stall => Some(false),
        }
    }
}
