//! From bytes to packets, one byte at a time; data are handed on as they come.

use super::packet::{Agreed, MAX_FIXED_BYTES, field, kind};

/// What a byte completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The part of a packet that is not data; `data` bytes of data follow.
    Packet(Packet),
    /// A byte of the data of the last packet.
    Data(u8),
}

/// The part of a packet that is not data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Type.
    pub kind: u32,
    /// Number that the answer carries too.
    pub id: u64,
    /// The fixed part; zeros where the packet was shorter.
    pub fixed: [u8; MAX_FIXED_BYTES],
    /// Length of what follows.
    pub data: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Fixed { kind: u32, id: u64, left: usize, data: u32 },
    Data { left: u32 },
}

/// The parser.
#[derive(Debug)]
pub struct Parser {
    state: State,
    bytes: [u8; MAX_FIXED_BYTES],
    filled: usize,
}

impl Parser {
    /// At the beginning of a packet.
    pub fn new() -> Self {
        Self { state: State::Header, bytes: [0; MAX_FIXED_BYTES], filled: 0 }
    }

    /// Whether a packet has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.filled > 0 || !matches!(self.state, State::Header)
    }

    /// Takes a byte.
    pub fn feed(&mut self, byte: u8, agreed: Agreed) -> Option<Event> {
        match self.state {
            State::Header => {
                self.store(byte);
                let kind = u32::from_le_bytes(field(&self.bytes, 0));
                if self.filled < 8 || self.filled < agreed.header_bytes(kind) {
                    return None;
                }
                self.header(kind, agreed)
            }
            State::Fixed { kind, id, left, data } => {
                self.store(byte);
                let left = left.saturating_sub(1);
                self.state = State::Fixed { kind, id, left, data };
                (left == 0).then(|| self.packet(kind, id, data))
            }
            State::Data { left } => {
                let left = left.saturating_sub(1);
                self.state = if left == 0 { State::Header } else { State::Data { left } };
                Some(Event::Data(byte))
            }
        }
    }

    fn store(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.filled) {
            *place = byte;
            self.filled = self.filled.saturating_add(1);
        }
    }

    fn header(&mut self, kind: u32, agreed: Agreed) -> Option<Event> {
        let length = u32::from_le_bytes(field(&self.bytes, 4));
        let id = if agreed.header_bytes(kind) == 16 {
            u64::from_le_bytes(field(&self.bytes, 8))
        } else {
            u64::from(u32::from_le_bytes(field(&self.bytes, 8)))
        };
        let fixed = match kind {
            kind::HELLO => MAX_FIXED_BYTES,
            kind::CONTROL_PACKET => 10,
            kind::BULK_PACKET => agreed.bulk_bytes(),
            // The others have no data; what they are longer than two bytes does not count here.
            _ => 2,
        };
        let fixed = u32::try_from(fixed).unwrap_or(0).min(length);
        let data = length.saturating_sub(fixed);
        self.bytes = [0; MAX_FIXED_BYTES];
        self.filled = 0;
        if fixed == 0 {
            return Some(self.packet(kind, id, data));
        }
        let left = usize::try_from(fixed).unwrap_or(0);
        self.state = State::Fixed { kind, id, left, data };
        None
    }

    fn packet(&mut self, kind: u32, id: u64, data: u32) -> Event {
        self.state = if data == 0 { State::Header } else { State::Data { left: data } };
        let fixed = self.bytes;
        self.bytes = [0; MAX_FIXED_BYTES];
        self.filled = 0;
        Event::Packet(Packet { kind, id, fixed, data })
    }
}
