//! The protocol with a scripted guest: bytes in, bytes out.

#![allow(clippy::arithmetic_side_effects)]

use super::packet::{self, Packet, capability, kind};
use super::*;
use crate::drive::{DriveConfig, ModelDrive};
use crate::usb::{ModelUsbDrive, Speed, UsbOptions};
use proptest::prelude::*;

const TEST_UNIT_READY: [u8; 31] =
    *b"USBC\x01\0\0\0\0\0\0\0\x80\0\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn read_cbw(blocks: u8) -> Vec<u8> {
    let mut cbw = TEST_UNIT_READY.to_vec();
    cbw[8..12].copy_from_slice(&(u32::from(blocks) * 512).to_le_bytes());
    cbw[14] = 10;
    cbw[15] = 0x28;
    cbw[23] = blocks;
    cbw
}

/// A guest with its own device and session.
struct Guest {
    device: ModelUsbDrive,
    session: Session,
    trace: Trace,
    wide: bool,
    received: Vec<u8>,
}

impl Guest {
    fn new(options: UsbOptions, capabilities: u32) -> Self {
        let device = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
        let mut guest = Self {
            device,
            session: Session::new(),
            trace: Trace::new(Options::default()),
            wide: false,
            received: Vec::new(),
        };
        let hello = guest.next();
        assert_eq!((hello.kind, hello.body.len()), (kind::HELLO, 68));
        let mut body = vec![0; 64];
        body.extend(capabilities.to_le_bytes());
        guest.send(kind::HELLO, 0, &body);
        guest.wide = capabilities & capability::IDS_64_BITS != 0;
        guest
    }

    fn send(&mut self, kind: u32, id: u64, body: &[u8]) {
        let mut bytes = Vec::new();
        packet::append(&mut bytes, kind, id, body, self.wide);
        // In pieces, as a socket may give them.
        for piece in bytes.chunks(7) {
            self.session.feed(&mut self.device, piece, &mut self.trace).unwrap();
        }
        while self.session.poll(&mut self.device, &mut self.trace) {}
    }

    fn try_next(&mut self) -> Option<Packet> {
        self.received.extend(self.session.take_output());
        packet::take(&mut self.received, self.wide).unwrap()
    }

    fn next(&mut self) -> Packet {
        self.try_next().expect("a packet")
    }

    fn bulk(&mut self, id: u64, endpoint: u8, length: u32, data: &[u8]) {
        let [l0, l1, h0, h1] = length.to_le_bytes();
        let mut body = vec![endpoint, 0, l0, l1, 0, 0, 0, 0, h0, h1];
        body.extend(data);
        self.send(kind::BULK_PACKET, id, &body);
    }

    /// Reply to a bulk transfer: id, status, length, data.
    fn bulk_reply(&mut self) -> (u64, u8, u32, Vec<u8>) {
        let reply = self.next();
        assert_eq!(reply.kind, kind::BULK_PACKET);
        let b = &reply.body;
        let length = u32::from_le_bytes([b[2], b[3], b[8], b[9]]);
        (reply.id, b[1], length, b[10..].to_vec())
    }
}

fn connected(options: UsbOptions) -> Guest {
    let mut guest = Guest::new(options, capability::OURS);
    for expected in [kind::INTERFACE_INFO, kind::EP_INFO, kind::DEVICE_CONNECT] {
        assert_eq!(guest.next().kind, expected);
    }
    guest.send(kind::SET_CONFIGURATION, 1, &[1]);
    for expected in [kind::INTERFACE_INFO, kind::EP_INFO] {
        assert_eq!(guest.next().kind, expected);
    }
    assert_eq!(guest.next(), Packet { kind: kind::CONFIGURATION_STATUS, id: 1, body: vec![0, 1] });
    guest
}

/// The announcement, byte for byte: layout, packet sizes, identity, at both speeds.
#[test]
fn announces_the_device() {
    for (speed, code, packet_bytes) in [(Speed::Full, 1, 64u16), (Speed::High, 2, 512)] {
        let mut guest = Guest::new(UsbOptions { speed, ..UsbOptions::default() }, capability::OURS);
        let interfaces = guest.next().body;
        assert_eq!((interfaces.len(), interfaces[0], interfaces[4]), (132, 1, 0));
        assert_eq!((interfaces[36], interfaces[68], interfaces[100]), (8, 6, 0x50));
        let endpoints = guest.next().body;
        assert_eq!(endpoints.len(), 160);
        let rows: Vec<usize> = (0..32).filter(|slot| endpoints[*slot] != 0xFF).collect();
        assert_eq!(rows, [0, 2, 16, 17]);
        assert_eq!((endpoints[2], endpoints[17]), (2, 2));
        assert_eq!(endpoints[96 + 4..96 + 6], packet_bytes.to_le_bytes());
        assert_eq!(endpoints[96 + 34..96 + 36], packet_bytes.to_le_bytes());
        assert_eq!(guest.next().body, [code, 0, 0, 0, 0x09, 0x12, 0x02, 0x00, 0x00, 0x01]);
    }
}

/// A guest without the newer capabilities gets the older layouts.
#[test]
fn older_guests() {
    let mut guest = Guest::new(UsbOptions::default(), 0);
    assert_eq!(guest.next().body.len(), 132);
    assert_eq!(guest.next().body.len(), 96);
    assert_eq!(guest.next().body.len(), 8);
}

/// Control requests: descriptors come back with their length, refusals as STALL, and are recorded.
#[test]
fn control_requests() {
    let mut guest = connected(UsbOptions::default());
    guest.send(kind::CONTROL_PACKET, 5, &[0x80, 0x06, 0x80, 0, 0, 1, 0, 0, 18, 0]);
    let reply = guest.next();
    assert_eq!((reply.id, &reply.body[..10]), (5, &[0x80, 6, 0x80, 0, 0, 1, 0, 0, 18, 0][..]));
    assert_eq!(reply.body[10..12], [18, 1]);
    guest.send(kind::CONTROL_PACKET, 6, &[0x80, 0x01, 0xC0, 0, 0, 0, 0, 0, 4, 0]);
    let reply = guest.next();
    assert_eq!((reply.body[3], reply.body.len()), (4, 10));
    assert_eq!(guest.trace.counters.control, 2);
    assert!(matches!(guest.trace.events.last(), Some(Event::Control { answer: Err(_), .. })));
}

/// A read: command, data in one transfer, status; the record has all three.
#[test]
fn a_read_is_carried_and_recorded() {
    let mut guest = connected(UsbOptions::default());
    let cbw = read_cbw(200);
    guest.bulk(10, 0x02, 31, &cbw);
    assert_eq!(guest.bulk_reply(), (10, 0, 31, vec![]));
    guest.bulk(11, 0x81, 200 * 512, &[]);
    let (id, status, length, data) = guest.bulk_reply();
    assert_eq!((id, status, length), (11, 0, 200 * 512));
    assert_eq!(data, guest.device.drive(0).unwrap().peek(0, 200));
    guest.bulk(12, 0x81, 13, &[]);
    assert_eq!(guest.bulk_reply().3[12], 0);
    let counters = guest.trace.counters;
    assert_eq!((counters.cbws, counters.csws, counters.bytes_in), (1, 1, 200 * 512));
    assert_eq!(guest.trace.by_opcode(), [(0x28, 1)].into());
    assert_eq!(guest.trace.cbws().next().unwrap()[..], cbw[..]);
    assert_eq!(guest.trace.csws().count(), 1);
}

/// Short data: the transfer ends short, the status first stalls, and goes on after CLEAR_FEATURE.
#[test]
fn stalls_reach_the_guest() {
    let mut guest = connected(UsbOptions::default());
    let mut cbw = read_cbw(0);
    cbw[8..12].copy_from_slice(&255u32.to_le_bytes());
    cbw[14..17].copy_from_slice(&[6, 0x12, 0]);
    cbw[19] = 0xFF;
    guest.bulk(1, 0x02, 31, &cbw);
    guest.bulk_reply();
    guest.bulk(2, 0x81, 255, &[]);
    assert_eq!(guest.bulk_reply().2, 96);
    guest.bulk(3, 0x81, 13, &[]);
    assert_eq!(guest.bulk_reply().1, 4);
    guest.send(kind::CONTROL_PACKET, 4, &[0, 0x01, 0x02, 0, 0, 0, 0x81, 0, 0, 0]);
    assert_eq!(guest.next().body[3], 0);
    guest.bulk(5, 0x81, 13, &[]);
    assert_eq!(guest.bulk_reply().2, 13);
    assert_eq!(guest.trace.counters.stalls, 1);
}

/// A transfer that waits can be given up; its id comes back as cancelled, and others go on.
#[test]
fn transfers_can_be_cancelled() {
    let mut guest = connected(UsbOptions::default());
    guest.bulk(20, 0x81, 13, &[]);
    assert_eq!(guest.try_next(), None);
    assert_eq!(guest.session.pending(), 1);
    guest.send(kind::CANCEL_DATA_PACKET, 20, &[]);
    assert_eq!(guest.bulk_reply(), (20, 1, 0, vec![]));
    guest.send(kind::CANCEL_DATA_PACKET, 99, &[]);
    assert_eq!(guest.try_next(), None);
    guest.bulk(21, 0x02, 31, &TEST_UNIT_READY);
    guest.bulk_reply();
    guest.bulk(22, 0x81, 13, &[]);
    assert_eq!(guest.bulk_reply().0, 22);
    assert_eq!(guest.trace.counters.cancelled, 1);
}

/// Transfers of one endpoint are answered in order, even queued ahead of their command.
#[test]
fn queued_transfers_keep_their_order() {
    let mut guest = connected(UsbOptions::default());
    guest.bulk(1, 0x81, 512, &[]);
    guest.bulk(2, 0x81, 13, &[]);
    guest.bulk(3, 0x02, 31, &read_cbw(1));
    let ids: Vec<u64> = (0..3).map(|_| guest.bulk_reply().0).collect();
    assert_eq!(ids, [3, 1, 2]);
}

/// Reset, configuration and alternate setting reach the device.
#[test]
fn reset_and_settings() {
    let mut guest = connected(UsbOptions { uas: true, ..UsbOptions::default() });
    assert_eq!(guest.device.configuration_value(), 1);
    guest.send(kind::SET_ALT_SETTING, 3, &[0, 1]);
    let interfaces = guest.next().body;
    assert_eq!((interfaces[0], interfaces[100]), (1, 0x62));
    let endpoints = guest.next().body;
    assert_eq!((0..32).filter(|slot| endpoints[*slot] == 2).count(), 4);
    assert_eq!(guest.next().body, [0, 0, 1]);
    assert_eq!(guest.device.alternate_setting(), 1);
    guest.send(kind::GET_ALT_SETTING, 4, &[0]);
    assert_eq!(guest.next().body, [0, 0, 1]);
    guest.send(kind::SET_ALT_SETTING, 5, &[3, 0]);
    assert_eq!(guest.next().body[0], 4);
    guest.send(kind::RESET, 0, &[]);
    assert_eq!(guest.device.configuration_value(), 0);
    guest.send(kind::GET_CONFIGURATION, 6, &[]);
    assert_eq!(guest.next().body, [0, 0]);
    assert_eq!(guest.trace.counters.resets, 1);
}

/// A device that leaves the bus is reported once.
#[test]
fn disconnect_is_reported() {
    let mut guest = connected(UsbOptions::default());
    guest.device.disconnect();
    guest.session.poll(&mut guest.device, &mut guest.trace);
    guest.session.poll(&mut guest.device, &mut guest.trace);
    assert_eq!(guest.next().kind, kind::DEVICE_DISCONNECT);
    assert_eq!(guest.try_next(), None);
}

/// B16: what is out of turn or too long ends the connection.
#[test]
fn broken_guests_are_refused() {
    let mut guest = connected(UsbOptions::default());
    let mut bytes = Vec::new();
    packet::append(&mut bytes, kind::HELLO, 0, &[0; 68], true);
    let refused = guest.session.feed(&mut guest.device, &bytes, &mut guest.trace);
    assert_eq!(refused, Err(ProtocolError::Unexpected(kind::HELLO)));
    let mut guest = connected(UsbOptions::default());
    let long = [&[101, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F][..], &[0; 8]].concat();
    let refused = guest.session.feed(&mut guest.device, &long, &mut guest.trace);
    assert_eq!(refused, Err(ProtocolError::TooLong(0x7FFF_FFFF)));
}

proptest! {
    /// Any bytes after the hello: no panic.
    #[test]
    fn arbitrary_packets(packets in proptest::collection::vec(
        (0u32..110, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..40)
    ) {
        let mut guest = connected(UsbOptions::default());
        for (kind, id, body) in packets {
            let mut bytes = Vec::new();
            packet::append(&mut bytes, kind, id, &body, true);
            if guest.session.feed(&mut guest.device, &bytes, &mut guest.trace).is_err() {
                break;
            }
            for _ in 0..100 {
                guest.session.poll(&mut guest.device, &mut guest.trace);
            }
        }
    }
}

/// Over a real socket: a guest comes, reads, goes; afterwards the device is still there for the test.
#[test]
fn serves_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("usb");
    let drive = ModelDrive::new(DriveConfig::default());
    let device = Arc::new(Mutex::new(ModelUsbDrive::new(drive, UsbOptions::default())));
    let server = Server::start(Arc::clone(&device), &socket, Options::default()).unwrap();
    let mut stream = UnixStream::connect(&socket).unwrap();
    let mut bytes = Vec::new();
    let hello = [&[0; 64][..], &capability::OURS.to_le_bytes()].concat();
    packet::append(&mut bytes, kind::HELLO, 0, &hello, false);
    packet::append(&mut bytes, kind::SET_CONFIGURATION, 1, &[1], true);
    for (id, endpoint, length, data) in
        [(2, 0x02, 31u8, &TEST_UNIT_READY[..]), (3, 0x81, 13, &[][..])]
    {
        let body = [&[endpoint, 0, length, 0, 0, 0, 0, 0, 0, 0][..], data].concat();
        packet::append(&mut bytes, kind::BULK_PACKET, id, &body, true);
    }
    stream.write_all(&bytes).unwrap();
    let mut received = Vec::<u8>::new();
    let mut buffer = [0; 4096];
    while !received.windows(4).any(|window| window == b"USBS") {
        let length = stream.read(&mut buffer).unwrap();
        assert_ne!(length, 0);
        received.extend(&buffer[..length]);
    }
    drop(stream);
    while server.connections().1 == 0 {
        thread::sleep(IDLE);
    }
    let trace = server.stop().unwrap();
    assert_eq!((trace.counters.cbws, trace.counters.csws), (1, 1));
    assert!(!socket.exists());
    let mut device = device.lock().unwrap();
    assert_eq!(device.control([0x80, 0x08, 0, 0, 0, 0, 1, 0], &[]), Ok(vec![1]));
}
