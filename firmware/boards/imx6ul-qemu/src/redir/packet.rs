//! Packets of the usbredir protocol. All integers are little-endian.
//!
//! Facts: usb-redirection-protocol.txt 0.7.

/// Packet types.
pub mod kind {
    pub const HELLO: u32 = 0;
    pub const DEVICE_CONNECT: u32 = 1;
    pub const DEVICE_DISCONNECT: u32 = 2;
    pub const RESET: u32 = 3;
    pub const INTERFACE_INFO: u32 = 4;
    pub const EP_INFO: u32 = 5;
    pub const SET_CONFIGURATION: u32 = 6;
    pub const GET_CONFIGURATION: u32 = 7;
    pub const CONFIGURATION_STATUS: u32 = 8;
    pub const SET_ALT_SETTING: u32 = 9;
    pub const GET_ALT_SETTING: u32 = 10;
    pub const ALT_SETTING_STATUS: u32 = 11;
    pub const CANCEL_DATA_PACKET: u32 = 21;
    pub const CONTROL_PACKET: u32 = 100;
    pub const BULK_PACKET: u32 = 101;
}

/// Capabilities.
pub mod capability {
    pub const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    pub const EP_INFO_MAX_PACKET_SIZE: u32 = 1 << 4;
    pub const IDS_64_BITS: u32 = 1 << 5;
    pub const BULK_LENGTH_32_BITS: u32 = 1 << 6;
    pub const OURS: u32 =
        CONNECT_DEVICE_VERSION | EP_INFO_MAX_PACKET_SIZE | IDS_64_BITS | BULK_LENGTH_32_BITS;
}

/// Results.
pub mod status {
    pub const SUCCESS: u8 = 0;
    pub const CANCELLED: u8 = 1;
    pub const INVALID: u8 = 2;
    pub const STALL: u8 = 4;
    pub const BABBLE: u8 = 6;
}

/// Bytes of a hello: a name of 64 bytes and the capabilities.
pub const HELLO_BYTES: usize = 68;
/// Largest part of a packet that is not data.
pub const MAX_FIXED_BYTES: usize = HELLO_BYTES;
/// Bytes of an `interface_info`: a count and four times 32 values.
pub const INTERFACE_INFO_BYTES: usize = 4 + 4 * 32;
/// Bytes of an `ep_info` without and with packet sizes.
pub const EP_INFO_BYTES: usize = 3 * 32;
/// Bytes of an `ep_info` with packet sizes.
pub const EP_INFO_LONG_BYTES: usize = EP_INFO_BYTES + 2 * 32;

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed(u32);

impl Agreed {
    /// Capabilities of the other end that are ours too.
    pub fn with(theirs: u32) -> Self {
        Self(theirs & capability::OURS)
    }

    /// Whether both have it.
    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Bytes of a header of this type. A hello always has the short one.
    pub fn header_bytes(self, kind: u32) -> usize {
        if kind != kind::HELLO && self.has(capability::IDS_64_BITS) { 16 } else { 12 }
    }

    /// Bytes of the part of a bulk packet that is not data.
    pub fn bulk_bytes(self) -> usize {
        if self.has(capability::BULK_LENGTH_32_BITS) { 10 } else { 8 }
    }

    /// A header, and how many bytes of it count.
    pub fn header(self, kind: u32, length: usize, id: u64) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let fields = kind.to_le_bytes().into_iter().chain(length.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields.chain(id.to_le_bytes())) {
            *to = from;
        }
        (bytes, self.header_bytes(kind))
    }
}

/// `N` bytes from `at` on; zeros beyond the end.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    for (to, from) in value.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    value
}
