//! Packets of the usbredir protocol; all integers little-endian.
//!
//! Facts: usb-redirection-protocol.txt 0.7.

/// Largest packet body that is accepted: a bulk transfer of 16 MiB and its header.
pub(super) const MAX_BODY_BYTES: u32 = (16 << 20) + 64;

/// Packet types.
pub(super) mod kind {
    pub(in super::super) const HELLO: u32 = 0;
    pub(in super::super) const DEVICE_CONNECT: u32 = 1;
    pub(in super::super) const DEVICE_DISCONNECT: u32 = 2;
    pub(in super::super) const RESET: u32 = 3;
    pub(in super::super) const INTERFACE_INFO: u32 = 4;
    pub(in super::super) const EP_INFO: u32 = 5;
    pub(in super::super) const SET_CONFIGURATION: u32 = 6;
    pub(in super::super) const GET_CONFIGURATION: u32 = 7;
    pub(in super::super) const CONFIGURATION_STATUS: u32 = 8;
    pub(in super::super) const SET_ALT_SETTING: u32 = 9;
    pub(in super::super) const GET_ALT_SETTING: u32 = 10;
    pub(in super::super) const ALT_SETTING_STATUS: u32 = 11;
    pub(in super::super) const START_INTERRUPT_RECEIVING: u32 = 15;
    pub(in super::super) const STOP_INTERRUPT_RECEIVING: u32 = 16;
    pub(in super::super) const INTERRUPT_RECEIVING_STATUS: u32 = 17;
    pub(in super::super) const CANCEL_DATA_PACKET: u32 = 21;
    pub(in super::super) const CONTROL_PACKET: u32 = 100;
    pub(in super::super) const BULK_PACKET: u32 = 101;
    pub(in super::super) const INTERRUPT_PACKET: u32 = 103;
}

/// Capability bits.
pub(super) mod capability {
    pub(in super::super) const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    pub(in super::super) const EP_INFO_MAX_PACKET_SIZE: u32 = 1 << 4;
    pub(in super::super) const IDS_64_BITS: u32 = 1 << 5;
    pub(in super::super) const BULK_LENGTH_32_BITS: u32 = 1 << 6;
    /// What this peer announces.
    pub(in super::super) const OURS: u32 =
        CONNECT_DEVICE_VERSION | EP_INFO_MAX_PACKET_SIZE | IDS_64_BITS | BULK_LENGTH_32_BITS;
}

/// Result of a transfer or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferStatus {
    Success,
    Cancelled,
    Invalid,
    IoError,
    Stall,
    Babble,
}

impl TransferStatus {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Cancelled => 1,
            Self::Invalid => 2,
            Self::IoError => 3,
            Self::Stall => 4,
            Self::Babble => 6,
        }
    }
}

/// One packet without its header's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: u32,
    pub(super) id: u64,
    pub(super) body: Vec<u8>,
}

/// The length field is above [`MAX_BODY_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) u32);

/// Integer of `N` bytes at `at`, zero beyond the end.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    for (to, from) in value.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    value
}

/// Takes one packet off the front of `buffer`, if it is complete. The header is 12 bytes, 16 with
/// 64-bit ids.
pub(super) fn take(buffer: &mut Vec<u8>, wide_ids: bool) -> Result<Option<Packet>, TooLong> {
    let header = if wide_ids { 16 } else { 12 };
    let length = u32::from_le_bytes(field(buffer, 4));
    if buffer.len() < header {
        return Ok(None);
    }
    if length > MAX_BODY_BYTES {
        return Err(TooLong(length));
    }
    let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(header);
    if buffer.len() < end {
        return Ok(None);
    }
    let kind = u32::from_le_bytes(field(buffer, 0));
    let id = if wide_ids {
        u64::from_le_bytes(field(buffer, 8))
    } else {
        u32::from_le_bytes(field(buffer, 8)).into()
    };
    let body = buffer.get(header..end).unwrap_or_default().to_vec();
    buffer.drain(..end);
    Ok(Some(Packet { kind, id, body }))
}

/// Appends one packet to `output`.
pub(super) fn append(output: &mut Vec<u8>, kind: u32, id: u64, body: &[u8], wide_ids: bool) {
    output.extend(kind.to_le_bytes());
    output.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    let id = id.to_le_bytes();
    output.extend(id.iter().take(if wide_ids { 8 } else { 4 }));
    output.extend(body);
}

/// An endpoint of the active configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: u8,
    pub(super) kind: u8,
    pub(super) interval: u8,
    pub(super) interface: u8,
    pub(super) packet_bytes: u16,
}

/// Interfaces and endpoints of a configuration descriptor, for chosen alternate settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) interfaces: Vec<[u8; 4]>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Layout {
    /// `alternate` says which alternate setting of an interface is active.
    pub(super) fn parse(configuration: &[u8], alternate: impl Fn(u8) -> u8) -> Self {
        let mut layout = Self::default();
        let mut rest = configuration;
        let mut active = None;
        while let Some((&length, _)) = rest.split_first() {
            let length = usize::from(length);
            let Some((descriptor, after)) = rest.split_at_checked(length).filter(|_| length >= 2)
            else {
                break;
            };
            rest = after;
            match descriptor {
                [_, 4, number, setting, _, class, sub_class, protocol, ..] => {
                    active = (*setting == alternate(*number)).then_some(*number);
                    if active.is_some() && layout.interfaces.len() < 32 {
                        layout.interfaces.push([*number, *class, *sub_class, *protocol]);
                    }
                }
                [_, 5, address, attributes, low, high, interval, ..] => {
                    layout.endpoints.extend(active.map(|interface| Endpoint {
                        address: *address,
                        kind: attributes & 0x03,
                        interval: *interval,
                        interface,
                        packet_bytes: u16::from_le_bytes([*low, *high]) & 0x07FF,
                    }));
                }
                _ => {}
            }
        }
        layout
    }

    /// Body of INTERFACE_INFO: count, then number, class, sub-class, protocol, 32 bytes each.
    pub(super) fn interface_info(&self) -> Vec<u8> {
        let mut body = u32::try_from(self.interfaces.len()).unwrap_or(0).to_le_bytes().to_vec();
        for column in 0..4 {
            let mut values: Vec<u8> =
                self.interfaces.iter().filter_map(|row| row.get(column).copied()).collect();
            values.resize(32, 0);
            body.extend(values);
        }
        body
    }

    /// Body of EP_INFO: type, interval, interface and packet size of the 32 endpoints, OUT first.
    pub(super) fn ep_info(&self, with_sizes: bool, control_bytes: u16) -> Vec<u8> {
        let mut rows = [(0xFFu8, 0u8, 0u8, 0u16); 32];
        for (slot, row) in rows.iter_mut().enumerate() {
            let number = slot & 0x0F;
            if number == 0 {
                *row = (0, 0, 0, control_bytes);
            }
            let address = u8::try_from(number).unwrap_or(0) | if slot < 16 { 0 } else { 0x80 };
            if let Some(found) = self.endpoints.iter().find(|e| e.address == address) {
                *row = (found.kind, found.interval, found.interface, found.packet_bytes);
            }
        }
        let mut body: Vec<u8> = rows.iter().map(|row| row.0).collect();
        body.extend(rows.iter().map(|row| row.1));
        body.extend(rows.iter().map(|row| row.2));
        if with_sizes {
            body.extend(rows.iter().flat_map(|row| row.3.to_le_bytes()));
        }
        body
    }
}
