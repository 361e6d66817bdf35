//! The examiner's side of the emulated board: a USB device controller made of a serial line and the usbredir protocol, whose
//! other end is QEMU's `usb-redir` device in the examiner's (virtual) computer.
//!
//! Everything above it is what the product runs: the stack of the `usb-device` crate and the bridge's class. This module only moves
//! packets between the stack's endpoints and transfers of the protocol, as a controller does.
//!
//! ```text
//!  serial line -- parser -- peer -- pipes -- UsbBus -- usb-device stack
//! ```
//!
//! Facts: usb-redirection-protocol.txt 0.7 (SPICE project); what QEMU needs in practice: the capabilities for packet sizes and 64-bit
//! ids (xHCI), and no SET_ADDRESS, which it answers itself.
//!
//! The other end is not trusted: every length is compared with the room there is, a type that is not known is passed over, and nothing waits.

mod control;
mod layout;
mod packet;
mod parser;
mod peer;
mod pipes;
mod ring;

pub use peer::{Peer, Rooms};

use core::cell::{RefCell, RefMut};

use usb_device::{
    UsbDirection,
    bus::{PollResult, UsbBus},
    endpoint::{EndpointAddress, EndpointType},
};
use wb_bridge::Micros;

/// A line that carries bytes.
pub trait Wire {
    /// Sends all of it; may wait.
    fn send(&mut self, bytes: &[u8]);

    /// The next byte, if it has come.
    fn receive(&mut self) -> Option<u8>;

    /// Microseconds since power-up.
    fn now(&self) -> Micros;
}

/// The controller, as the `usb-device` stack knows it.
pub struct RedirBus<W: Wire>(RefCell<Peer<W>>);

// SAFETY: the board has one core in use and no interrupt or exception handler that touches the bus, so there is one thread of execution.
unsafe impl<W: Wire> Sync for RedirBus<W> {}

impl<W: Wire> RedirBus<W> {
    /// A bus on this peer.
    pub fn new(peer: Peer<W>) -> Self {
        Self(RefCell::new(peer))
    }

    /// No call of the peer comes back to the bus, so the borrow is free.
    fn peer(&self) -> RefMut<'_, Peer<W>> {
        self.0.borrow_mut()
    }
}

impl<W: Wire> UsbBus for RedirBus<W> {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        _kind: EndpointType,
        max_packet: u16,
        _interval: u8,
    ) -> usb_device::Result<EndpointAddress> {
        self.peer().pipes.allocate(direction, address, max_packet)
    }

    fn enable(&mut self) {
        self.peer().connect();
    }

    fn reset(&self) {
        self.peer().pipes.clear();
    }

    // The other end keeps addresses to itself.
    fn set_device_address(&self, _address: u8) {}

    fn write(&self, address: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        self.peer().pipes.write(address, packet)
    }

    fn read(&self, address: EndpointAddress, room: &mut [u8]) -> usb_device::Result<usize> {
        self.peer().pipes.read(address, room)
    }

    fn set_stalled(&self, address: EndpointAddress, is_halted: bool) {
        self.peer().pipes.set_halted(address, is_halted);
    }

    fn is_stalled(&self, address: EndpointAddress) -> bool {
        self.peer().pipes.is_halted(address)
    }

    fn suspend(&self) {}

    fn resume(&self) {}

    fn poll(&self) -> PollResult {
        let mut peer = self.peer();
        peer.advance();
        peer.pipes.poll()
    }

    fn force_reset(&self) -> usb_device::Result<()> {
        self.peer().reconnect();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
