//! A USB device as the bus sees it, without a host controller.
//!
//! [`UsbDevice`] is what a host can do to a device: control requests on endpoint 0, bulk transfers,
//! bus reset. The model drive implements it ([`ModelUsbDrive`]), the bridge does through an adapter,
//! and [`crate::usbredir`] carries it to a real kernel.
//!
//! Facts: USB 2.0 chapters 5, 8 and 9.

mod bot;
mod descriptors;
mod options;

pub use bot::{BulkOutTransfer, ControlRequest, ModelUsbDrive};
pub use options::{FaultKind, ShortEnd, Trigger, UsbFault, UsbOptions};

/// The device refused the request with a STALL handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;

/// Signalling rate of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speed {
    /// 12 Mbit/s, bulk packets of 64 bytes.
    Full,
    /// 480 Mbit/s, bulk packets of 512 bytes.
    High,
}

impl Speed {
    /// Largest bulk packet in bytes (USB 2.0, 5.8.3).
    pub fn bulk_packet_bytes(self) -> usize {
        match self {
            Self::Full => 64,
            Self::High => 512,
        }
    }
}

/// Answer to a bulk-OUT transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutResult {
    /// So many bytes were taken. Fewer than offered: offer the rest again.
    Ack(usize),
    /// The endpoint is halted.
    Stall,
    /// Nothing was taken now; try again.
    Nak,
}

/// Answer to a bulk-IN transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InResult {
    /// One or more whole packets, at most the bytes asked for. A length that is not a multiple of the
    /// packet size, zero included, ends the transfer.
    Data(Vec<u8>),
    /// The endpoint is halted.
    Stall,
    /// Nothing to send now; try again.
    Nak,
}

/// What a host can do to a USB device.
pub trait UsbDevice {
    /// Control request on endpoint 0 (USB 2.0, 9.3): the eight bytes of the SETUP packet and, for a
    /// request towards the device, its data stage. Returns the data stage towards the host, at most
    /// wLength bytes. SET_ADDRESS is the host controller's affair and need not be answered.
    ///
    /// # Errors
    /// [`Stall`] for a request that the device does not carry out.
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall>;

    /// Bulk-OUT transfer to endpoint number `endpoint` (1-15, without the direction bit).
    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult;

    /// Bulk-IN transfer of at most `max` bytes from endpoint number `endpoint` (1-15, without the
    /// direction bit).
    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult;

    /// Bus reset.
    fn reset(&mut self);

    /// Signalling rate.
    fn speed(&self) -> Speed;

    /// The device is still there. Once it is not, nothing is answered any more.
    fn connected(&self) -> bool {
        true
    }

    /// Called between transfers, so that a device without a thread of its own gets time to work. It does
    /// all that can be done now: the next call may be milliseconds away.
    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests;
