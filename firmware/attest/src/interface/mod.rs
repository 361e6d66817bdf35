//! The bridge's own USB interface: what goes over it, byte by byte, for both sides.
//!
//! Published requirements, section 5. [`descriptors`]: what the device says of itself at
//! enumeration (5.1). [`Request`]: the control requests, parsed on the device and built on the host
//! (5.2). [`Info`] and [`Leaves`]: the answers. Integers are big-endian in the requests' data and
//! little-endian in USB's own structures.

pub mod descriptors;
mod info;
mod leaves;
mod request;

pub use info::{Info, InfoError, flag};
pub use leaves::{Leaves, LeavesError, encode_leaves, resolve_seq};
pub use request::{Ending, Request, Setup};

/// idVendor: pid.codes, which gives out product ids to open projects.
pub const VENDOR_ID: u16 = 0x1209;
/// idProduct: a shared id for tests, marked by [`PRODUCT`] and [`flag::PROTOTYPE_PID`].
pub const PRODUCT_ID: u16 = 0x0001;
/// Manufacturer string.
pub const MANUFACTURER: &str = "Daleel";
/// Product string.
pub const PRODUCT: &str = "Daleel write blocker (prototype)";
/// Serial string while there is no key.
pub const NO_KEY_SERIAL: &str = "000000000000000000000000";

/// Interface number of mass storage.
pub const STORAGE_INTERFACE: u8 = 0;
/// Class, subclass and protocol of mass storage: SCSI transparent, bulk-only.
pub const STORAGE_CLASS: [u8; 3] = [0x08, 0x06, 0x50];
/// Interface number of the bridge's own functions.
pub const BRIDGE_INTERFACE: u8 = 1;
/// Class, subclass and protocol of the bridge's own functions; the protocol is the layout version.
pub const BRIDGE_CLASS: [u8; 3] = [0xFF, 0x44, LAYOUT];
/// Version of the layouts in this module.
pub const LAYOUT: u8 = 1;

/// The largest answer of LEAVES and STATEMENT is a multiple of this, and so is STATEMENT's offset.
pub const GRAIN: u16 = 64;
/// The smallest value allowed for the largest answer.
pub const MIN_ANSWER: u16 = 128;
/// Bytes of a nonce and of the host's entropy.
pub const NONCE: usize = 32;
/// Most entries the ring of a bridge may hold.
pub const MAX_RING: u64 = 65_535;
