//! BOS and MS OS 2.0 descriptors (published requirements, section 5.1).
//!
//! USB 3.2, section 9.6.2 (BOS); Microsoft OS 2.0 Descriptors Specification (the platform
//! capability and the descriptor set, all fields little-endian). They make Windows bind WinUSB to
//! interface 1 without a driver; interface 0 keeps the class driver.

use super::BRIDGE_INTERFACE;

/// bcdUSB: 2.10, the first that has a BOS.
pub const BCD_USB: u16 = 0x0210;
/// bRequest of the request for the descriptor set.
pub const MS_VENDOR_CODE: u8 = 0x20;
/// bmRequestType of that request: vendor, recipient device, data to the host.
pub const MS_REQUEST_TYPE: u8 = 0xC0;
/// wIndex of that request.
pub const MS_DESCRIPTOR_INDEX: u16 = 7;
/// The lowest Windows version the set is for: 8.1.
pub const WINDOWS_VERSION: u32 = 0x0603_0000;
/// The interface class GUID under which Windows programs find interface 1.
pub const INTERFACE_GUID: &str = "{8C1E4B7A-52D6-4F39-9E0B-6A7D31F5C2E8}";
/// wMaxDescriptorSetTotalLength and size of [`MS_OS_20`].
pub const MS_OS_20_LEN: usize = 178;

const PROPERTY_NAME: &str = "DeviceInterfaceGUIDs";
/// {D8DD60DF-4589-4CC7-9CD2-659D9E648A9F} in the mixed byte order of GUIDs.
const PLATFORM_UUID: [u8; 16] = [
    0xDF, 0x60, 0xDD, 0xD8, 0x89, 0x45, 0xC7, 0x4C, 0x9C, 0xD2, 0x65, 0x9D, 0x9E, 0x64, 0x8A, 0x9F,
];
/// bDevCapabilityType of a platform capability.
pub const PLATFORM_CAPABILITY_TYPE: u8 = 0x05;
/// The platform capability behind its three bytes of length and types, for device stacks that
/// write these and the BOS header themselves.
pub const PLATFORM_CAPABILITY: [u8; 25] = platform_capability();
/// The BOS with this capability alone.
pub const BOS: [u8; 33] = bos();
/// The MS OS 2.0 descriptor set.
pub const MS_OS_20: [u8; MS_OS_20_LEN] = ms_os_20();

/// Bytes written one behind the other at compile time; a size that does not come out right fails
/// the build.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated at compile time only
impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    const fn put(mut self, bytes: &[u8]) -> Self {
        let mut i = 0;
        while i < bytes.len() {
            self.bytes[self.at] = bytes[i];
            self.at += 1;
            i += 1;
        }
        self
    }

    const fn le16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// ASCII as UTF-16LE, with a closing zero.
    const fn wide(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self = self.put(&[bytes[i], 0]);
            i += 1;
        }
        self.put(&[0, 0])
    }

    const fn finish(self) -> [u8; N] {
        assert!(self.at == N, "a descriptor does not have the length it states");
        self.bytes
    }
}

const fn platform_capability() -> [u8; 25] {
    Writer::new()
        .put(&[0])
        .put(&PLATFORM_UUID)
        .put(&WINDOWS_VERSION.to_le_bytes())
        .le16(178)
        .put(&[MS_VENDOR_CODE, 0])
        .finish()
}

const fn bos() -> [u8; 33] {
    Writer::new()
        .put(&[5, 0x0F])
        .le16(33)
        .put(&[1])
        .put(&[28, 0x10, PLATFORM_CAPABILITY_TYPE])
        .put(&PLATFORM_CAPABILITY)
        .finish()
}

const fn ms_os_20() -> [u8; MS_OS_20_LEN] {
    Writer::new()
        // Set header: wDescriptorType 0.
        .le16(10)
        .le16(0)
        .put(&WINDOWS_VERSION.to_le_bytes())
        .le16(178)
        // Configuration subset 1, configuration index 0.
        .le16(8)
        .le16(1)
        .put(&[0, 0])
        .le16(168)
        // Function subset 2.
        .le16(8)
        .le16(2)
        .put(&[BRIDGE_INTERFACE, 0])
        .le16(160)
        // Compatible id 3.
        .le16(20)
        .le16(3)
        .put(b"WINUSB\0\0")
        .put(&[0; 8])
        // Registry property 4, REG_MULTI_SZ 7.
        .le16(132)
        .le16(4)
        .le16(7)
        .le16(42)
        .wide(PROPERTY_NAME)
        .le16(80)
        .wide(INTERFACE_GUID)
        .put(&[0, 0])
        .finish()
}
