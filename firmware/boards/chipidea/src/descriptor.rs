//! Bits of queue heads and queue element transfer descriptors.
//!
//! This is the only module with an OUT token. Two functions use it: [`Descriptor::command`] for the 31 bytes of a
//! [`CbwOut`], and [`Descriptor::status_out`] for the empty packet that ends a control read. Neither takes a length, and no
//! other module can make a [`Descriptor`].
//!
//! Facts: EHCI 1.0 sections 3.5 (transfer descriptor) and 3.6 (queue head).

use wb_bridge::host::{Request, Speed};
use wb_policy::{cbw::CBW_BYTES, down::CbwOut};

/// Link that ends a list (T bit).
pub const END: u32 = 1;
/// Link to a queue head (Typ 01b).
pub const TO_QUEUE_HEAD: u32 = 1 << 1;

const PAGE_BYTES: u32 = 4096;

const PID_OUT: u32 = 0 << 8;
const PID_IN: u32 = 1 << 8;
const PID_SETUP: u32 = 2 << 8;

const ACTIVE: u32 = 1 << 7;
const HALTED: u32 = 1 << 6;
const BABBLE: u32 = 1 << 4;
/// Missed micro-frame, behind a transaction translator.
const MISSED: u32 = 1 << 2;
/// Three tries for a transaction that fails on the bus.
const THREE_TRIES: u32 = 3 << 10;
const TRIES_LEFT: u32 = 3 << 10;
const TOGGLE: u32 = 1 << 31;

/// Most bytes in one descriptor: five pages hold that many from any byte of the first page on, and it is a multiple of every
/// bulk packet size, so that only the last descriptor of a transfer ends in the middle of a packet.
pub const CHUNK_BYTES: u32 = 4 * PAGE_BYTES;

/// Contents of a transfer descriptor, without the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Status, token, bytes.
    pub token: u32,
    /// Buffer pages.
    pub pages: [u32; 5],
}

impl Descriptor {
    /// Not active and halted: where a transfer that ends early comes to a stop.
    pub const STOP: Self = Self { token: HALTED, pages: [0; 5] };

    /// The setup stage of a request, with the eight bytes for the memory at `address`.
    pub fn setup(request: &Request, address: u32) -> ([u8; 8], Self) {
        let bytes = request.setup();
        (bytes, Self::new(PID_SETUP, 8, address))
    }

    /// The data stage of a request.
    pub fn control_in(length: u16, address: u32) -> Self {
        let whole = Self::new(PID_IN, u32::from(length), address);
        Self { token: whole.token | TOGGLE, ..whole }
    }

    /// The status stage of a request with a data stage: a packet without bytes.
    pub fn status_out() -> Self {
        let whole = Self::new(PID_OUT, 0, 0);
        Self { token: whole.token | TOGGLE, ..whole }
    }

    /// The status stage of a request without a data stage.
    pub fn status_in() -> Self {
        let whole = Self::new(PID_IN, 0, 0);
        Self { token: whole.token | TOGGLE, ..whole }
    }

    /// Bulk data from the device: at most [`CHUNK_BYTES`].
    pub fn bulk_in(length: u32, address: u32) -> Self {
        Self::new(PID_IN, length.min(CHUNK_BYTES), address)
    }

    /// A command for the drive, with its bytes for the memory at `address`: the one and only OUT transfer to a bulk endpoint.
    pub fn command(cbw: &CbwOut, address: u32) -> ([u8; CBW_BYTES], Self) {
        (*cbw.as_bytes(), Self::new(PID_OUT, 31, address))
    }

    fn new(pid: u32, length: u32, address: u32) -> Self {
        Self { token: ACTIVE | pid | THREE_TRIES | (length << 16), pages: pages(address) }
    }
}

/// The buffer pointers of a buffer that begins anywhere: the first with the offset in its page, the others the pages after it.
fn pages(address: u32) -> [u32; 5] {
    let page = address & !(PAGE_BYTES.wrapping_sub(1));
    let after = |pages: u32| page.wrapping_add(pages.wrapping_mul(PAGE_BYTES));
    [address, after(1), after(2), after(3), after(4)]
}

/// What became of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The controller has not finished it.
    Active,
    /// Finished; bytes that were left over.
    Done {
        /// Bytes not moved.
        left: u32,
    },
    /// The device answered STALL.
    Stalled {
        /// Bytes not moved.
        left: u32,
    },
    /// The bus failed three times, or the device sent more than was asked for.
    Failed {
        /// Bytes not moved.
        left: u32,
    },
}

/// Reads the token that the controller wrote back.
///
/// A STALL halts the queue with tries left and without babble or a missed micro-frame (EHCI 1.0, 3.5.3, 4.10.3.1 and table 4-13). Memory that is not fast enough never halts it: the
/// transaction is tried again without being counted, and its bit stays until the transfer ends, however that does (table 3-16).
pub fn progress(token: u32) -> Progress {
    let left = (token >> 16) & 0x7FFF;
    if token & HALTED != 0 {
        let stalled = token & (BABBLE | MISSED) == 0 && token & TRIES_LEFT != 0;
        if stalled { Progress::Stalled { left } } else { Progress::Failed { left } }
    } else if token & ACTIVE != 0 {
        Progress::Active
    } else {
        Progress::Done { left }
    }
}

/// Token of a queue head's overlay in which nothing is under way, with its data toggle.
pub fn idle_overlay(toggle: bool) -> u32 {
    if toggle { TOGGLE } else { 0 }
}

/// Data toggle in an overlay's token.
pub fn overlay_toggle(token: u32) -> bool {
    token & TOGGLE != 0
}

/// Endpoint characteristics and capabilities of a queue head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Second word of the queue head.
    pub characteristics: u32,
    /// Third word of the queue head.
    pub capabilities: u32,
}

const HEAD_OF_LIST: u32 = 1 << 15;
const TOGGLE_FROM_DESCRIPTOR: u32 = 1 << 14;
const CONTROL_ENDPOINT: u32 = 1 << 27;
const HIGH_SPEED: u32 = 2 << 12;
/// After four NAKs the endpoint waits for the next round of the schedule; high speed only.
const NAK_RELOAD: u32 = 4 << 28;
/// One transaction a visit.
const ONE_TRANSACTION: u32 = 1 << 30;
/// Port 1 of the root port's own transaction translator, whose hub address is 0.
const ROOT_PORT: u32 = 1 << 23;

impl Endpoint {
    /// The head of the reclamation list, which has no work of its own.
    pub const HEAD: Self =
        Self { characteristics: HEAD_OF_LIST | HIGH_SPEED, capabilities: ONE_TRANSACTION };

    /// Endpoint 0, whose toggles stand in its descriptors.
    pub fn control(address: u8, max_packet: u16, speed: Speed) -> Self {
        let whole = Self::new(address, 0, max_packet, speed);
        let flag = if speed == Speed::High { 0 } else { CONTROL_ENDPOINT };
        Self { characteristics: whole.characteristics | TOGGLE_FROM_DESCRIPTOR | flag, ..whole }
    }

    /// A bulk endpoint, whose toggle stands in the queue head.
    pub fn bulk(address: u8, number: u8, max_packet: u16, speed: Speed) -> Self {
        Self::new(address, number, max_packet, speed)
    }

    /// A full-speed device on the root port is addressed through the port's own transaction translator: hub address 0
    /// and the device's speed (reference manual, "Embedded Transaction Translator Function").
    fn new(address: u8, number: u8, max_packet: u16, speed: Speed) -> Self {
        let device = u32::from(address & 0x7F)
            | (u32::from(number & 0x0F) << 8)
            | (u32::from(max_packet & 0x7FF) << 16);
        match speed {
            Speed::High => Self {
                characteristics: device | HIGH_SPEED | NAK_RELOAD,
                capabilities: ONE_TRANSACTION,
            },
            Speed::Full => {
                Self { characteristics: device, capabilities: ONE_TRANSACTION | ROOT_PORT }
            }
        }
    }
}

/// Overlay of the list's head.
pub const HEAD_OVERLAY: u32 = HALTED;

#[cfg(test)]
mod tests;
