//! What the protocol says of a device, from the device's own descriptors (USB 2.0, 9.6).

use super::packet::{EP_INFO_BYTES, EP_INFO_LONG_BYTES, INTERFACE_INFO_BYTES, field};

const DESCRIPTOR_INTERFACE: u8 = 4;
const DESCRIPTOR_ENDPOINT: u8 = 5;
/// Packet size of endpoint 0 at high speed.
const CONTROL_PACKET: u16 = 64;
/// An endpoint that is not there.
const NO_ENDPOINT: u8 = 255;
const HIGH_SPEED: u8 = 2;
const PLACES: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Interface {
    number: u8,
    class: u8,
    subclass: u8,
    protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct Endpoint {
    kind: u8,
    interval: u8,
    interface: u8,
    packet: u16,
}

const ABSENT: Endpoint = Endpoint { kind: NO_ENDPOINT, interval: 0, interface: 0, packet: 0 };

/// The device.
#[derive(Debug)]
pub struct Layout {
    /// Class, subclass, protocol.
    class: [u8; 3],
    /// Vendor, product, release.
    numbers: [u8; 6],
    interfaces: heapless::Vec<Interface, PLACES>,
    endpoints: [Endpoint; PLACES],
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            class: [0; 3],
            numbers: [0; 6],
            interfaces: heapless::Vec::new(),
            endpoints: [ABSENT; PLACES],
        }
    }
}

impl Layout {
    /// Takes the device descriptor.
    pub fn device(&mut self, descriptor: &[u8]) {
        self.class = field(descriptor, 4);
        self.numbers = field(descriptor, 8);
    }

    /// Takes the configuration.
    pub fn configuration(&mut self, descriptors: &[u8]) {
        self.interfaces.clear();
        self.endpoints = [ABSENT; PLACES];
        let control = Endpoint { kind: 0, packet: CONTROL_PACKET, ..ABSENT };
        for address in [0x00, 0x80] {
            self.put(address, control);
        }
        let mut rest = descriptors;
        while let Some((one, after)) =
            rest.first().and_then(|length| rest.split_at_checked(usize::from(*length).max(2)))
        {
            rest = after;
            self.descriptor(one);
        }
    }

    fn descriptor(&mut self, one: &[u8]) {
        match *one {
            [_, DESCRIPTOR_INTERFACE, number, 0, _, class, subclass, protocol, ..] => {
                let interface = Interface { number, class, subclass, protocol };
                // The protocol has no room for more.
                let _ = self.interfaces.push(interface);
            }
            [_, DESCRIPTOR_ENDPOINT, address, attributes, low, high, interval, ..] => {
                let interface = self.interfaces.last().map_or(0, |interface| interface.number);
                let packet = u16::from_le_bytes([low, high]);
                self.put(address, Endpoint { kind: attributes & 3, interval, interface, packet });
            }
            _ => {}
        }
    }

    /// Place of an endpoint: the OUT endpoints first.
    fn put(&mut self, address: u8, endpoint: Endpoint) {
        let place = usize::from((address & 0x80) >> 3 | (address & 0x0F));
        if let Some(to) = self.endpoints.get_mut(place) {
            *to = endpoint;
        }
    }

    /// The packet `interface_info`.
    pub fn interface_info(&self) -> [u8; INTERFACE_INFO_BYTES] {
        let count = u32::try_from(self.interfaces.len()).unwrap_or(0);
        let column = |value: fn(&Interface) -> u8| {
            self.interfaces.iter().map(value).chain([0; PLACES]).take(PLACES)
        };
        let columns = column(|one| one.number)
            .chain(column(|one| one.class))
            .chain(column(|one| one.subclass))
            .chain(column(|one| one.protocol));
        collect(count.to_le_bytes().into_iter().chain(columns))
    }

    /// The packet `ep_info`, and how many bytes of it count.
    pub fn ep_info(&self, with_packets: bool) -> ([u8; EP_INFO_LONG_BYTES], usize) {
        let ends = self.endpoints.iter();
        let bytes = ends
            .clone()
            .map(|end| end.kind)
            .chain(ends.clone().map(|end| end.interval))
            .chain(ends.clone().map(|end| end.interface))
            .chain(ends.flat_map(|end| end.packet.to_le_bytes()));
        (collect(bytes), if with_packets { EP_INFO_LONG_BYTES } else { EP_INFO_BYTES })
    }

    /// The packet `device_connect`, and how many bytes of it count.
    pub fn device_connect(&self, with_release: bool) -> ([u8; 10], usize) {
        let bytes = [HIGH_SPEED].into_iter().chain(self.class).chain(self.numbers);
        (collect(bytes), if with_release { 10 } else { 8 })
    }
}

/// The first bytes; zeros where there are fewer.
fn collect<const N: usize>(bytes: impl Iterator<Item = u8>) -> [u8; N] {
    let mut whole = [0; N];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = from;
    }
    whole
}

/// The fixed part of a control packet with its result and the length of the data stage.
pub fn control_echo(echo: [u8; 10], result: u8, moved: usize) -> [u8; 10] {
    let [endpoint, request, request_type, _, v0, v1, i0, i1, _, _] = echo;
    let [l0, l1] = u16::try_from(moved).unwrap_or(u16::MAX).to_le_bytes();
    [endpoint, request, request_type, result, v0, v1, i0, i1, l0, l1]
}
