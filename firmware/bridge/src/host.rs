//! What the bridge needs from a USB host controller. A board implements it over its EHCI core, the simulator over a
//! model drive.
//!
//! The only data a controller can be given for a bulk-OUT endpoint is a [`CbwOut`], which only the policy can make (rule 3 of the
//! published policy, section 1). Control requests are a closed list (section 6.3).

use wb_policy::down::CbwOut;

use crate::{Micros, drive::Slot};

/// Speed of the attached device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
}

/// State of the root port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nothing is attached.
    Empty,
    /// Something is attached and has not been reset.
    Connected,
    /// A reset is being driven.
    Resetting,
    /// The device can be talked to at address 0, or at the one it was given.
    Enabled(Speed),
    /// Over-current, or a device slower than full speed.
    Fault,
}

/// The control requests that a drive ever gets (6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// GET_DESCRIPTOR(device).
    DeviceDescriptor {
        /// Bytes asked for.
        length: u16,
    },
    /// GET_DESCRIPTOR(configuration 0).
    ConfigurationDescriptor {
        /// Bytes asked for.
        length: u16,
    },
    /// GET_DESCRIPTOR(string), 255 bytes.
    StringDescriptor {
        /// Number of the string.
        index: u8,
        /// Language; 0 for the list of languages, which is string 0.
        language: u16,
    },
    /// SET_ADDRESS.
    SetAddress(u8),
    /// SET_CONFIGURATION.
    SetConfiguration(u8),
    /// SET_INTERFACE, alternate setting 0 or that of bulk-only transport.
    SetInterface {
        /// Interface.
        interface: u8,
        /// Alternate setting.
        alternate: u8,
    },
    /// CLEAR_FEATURE(ENDPOINT_HALT).
    ClearHalt {
        /// Endpoint address with its direction bit.
        endpoint: u8,
    },
    /// GET MAX LUN.
    GetMaxLun {
        /// Interface.
        interface: u8,
    },
    /// Bulk-Only Mass Storage Reset.
    BulkOnlyReset {
        /// Interface.
        interface: u8,
    },
}

impl Request {
    /// The setup packet (USB 2.0, section 9.3; Bulk-Only Transport, section 3).
    #[must_use]
    pub fn setup(&self) -> [u8; 8] {
        match *self {
            Self::DeviceDescriptor { length } => {
                let [low, high] = length.to_le_bytes();
                [0x80, 6, 0, 1, 0, 0, low, high]
            }
            Self::ConfigurationDescriptor { length } => {
                let [low, high] = length.to_le_bytes();
                [0x80, 6, 0, 2, 0, 0, low, high]
            }
            Self::StringDescriptor { index, language } => {
                let [low, high] = language.to_le_bytes();
                [0x80, 6, index, 3, low, high, 255, 0]
            }
            Self::SetAddress(address) => [0x00, 5, address, 0, 0, 0, 0, 0],
            Self::SetConfiguration(value) => [0x00, 9, value, 0, 0, 0, 0, 0],
            Self::SetInterface { interface, alternate } => {
                [0x01, 11, alternate, 0, interface, 0, 0, 0]
            }
            Self::ClearHalt { endpoint } => [0x02, 1, 0, 0, endpoint, 0, 0, 0],
            Self::GetMaxLun { interface } => [0xA1, 0xFE, 0, 0, interface, 0, 1, 0],
            Self::BulkOnlyReset { interface } => [0x21, 0xFF, 0, 0, interface, 0, 0, 0],
        }
    }

    /// Bytes of the data-in phase asked for; no request has a data-out phase.
    #[must_use]
    pub fn data_in(&self) -> u16 {
        let [.., low, high] = self.setup();
        u16::from_le_bytes([low, high])
    }
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeFault {
    /// The endpoint answered STALL.
    Stall,
    /// No answer in time.
    TimedOut,
    /// Bus errors on three tries, or more data than asked for.
    Error,
    /// The device has gone.
    Gone,
}

/// Where the data of a bulk-IN transfer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// A slot's buffer.
    Slot(Slot),
    /// The buffer for a status wrapper and for sense data: at least 32 bytes, so that it shows when a device sends more.
    Status,
}

/// Bulk endpoints of the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Device address.
    pub address: u8,
    /// Number of the bulk-IN endpoint, without the direction bit.
    pub bulk_in: u8,
    /// Number of the bulk-OUT endpoint.
    pub bulk_out: u8,
    /// Packet size of the bulk-IN endpoint.
    pub max_packet_in: u16,
    /// Packet size of the bulk-OUT endpoint.
    pub max_packet_out: u16,
}

/// A host controller with one root port and one device on it. One transfer is in progress at a time; every call returns
/// at once.
pub trait HostController {
    /// Room of one slot in bytes.
    fn slot_bytes(&self) -> usize;

    /// Advances the port and says how it stands. A controller enables a port only after [`HostController::reset_port`].
    fn poll_port(&mut self, now: Micros) -> Port;

    /// Begins a port reset of at least 50 ms; afterwards the device has address 0.
    fn reset_port(&mut self, now: Micros);

    /// Begins a control transfer to endpoint 0 of `address`, whose packets have `max_packet` bytes.
    fn start_control(&mut self, address: u8, max_packet: u8, request: &Request, now: Micros);

    /// What the last control transfer brought.
    fn control_data(&self) -> &[u8];

    /// Uses these bulk endpoints from now on, both with data toggle 0.
    fn set_endpoints(&mut self, endpoints: Endpoints);

    /// Data toggle 0 after a halt was cleared; endpoint address with its direction bit.
    fn clear_toggle(&mut self, endpoint: u8);

    /// Begins to send a command. There is no other function that sends data to a bulk endpoint.
    fn start_cbw(&mut self, cbw: &CbwOut, now: Micros);

    /// Begins a bulk-IN transfer of at most `length` bytes.
    fn start_in(&mut self, into: Into, length: usize, now: Micros);

    /// Advances the transfer in progress: bytes moved, or why it failed; `None` while it is under way or when there is none.
    fn poll_transfer(&mut self, now: Micros) -> Option<Result<usize, PipeFault>>;

    /// Takes the transfer in progress off the bus.
    fn cancel(&mut self);

    /// What the last bulk-IN transfer into a place brought, also what came before a stall ended it.
    fn data(&self, from: Into) -> &[u8];
}
