use std::{boxed::Box, cell::RefCell, collections::VecDeque, rc::Rc, vec, vec::Vec};

use proptest::prelude::*;
use usb_device::{UsbDirection, endpoint::EndpointAddress};

use super::{packet::field, *};

/// Both directions of a line, and the time.
#[derive(Clone, Default)]
struct Line {
    to_peer: Rc<RefCell<VecDeque<u8>>>,
    from_peer: Rc<RefCell<Vec<u8>>>,
    now: Rc<RefCell<Micros>>,
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) {
        self.from_peer.borrow_mut().extend(bytes);
    }

    fn receive(&mut self) -> Option<u8> {
        self.to_peer.borrow_mut().pop_front()
    }

    fn now(&self) -> Micros {
        *self.now.borrow()
    }
}

const DEVICE: [u8; 18] = [18, 1, 0x10, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0, 0x10, 0, 1, 2, 3, 1];
const CONFIGURATION: [u8; 39] = [
    9, 2, 39, 0, 2, 1, 0, 0x80, 250, // configuration
    9, 4, 0, 0, 2, 8, 6, 0x50, 0, 7, 5, 0x81, 2, 0, 2, 0, 7, 5, 1, 2, 0, 2, 0,
    // and a second interface, cut off in its endpoint
    7, 4, 1, 0, 1, 0xFF, 0x44,
];

fn ep(address: u8) -> EndpointAddress {
    EndpointAddress::from(address)
}

fn leak(length: usize) -> &'static mut [u8] {
    Box::leak(vec![0; length].into_boxed_slice())
}

/// The peer, a device that answers requests by hand, and the host's end of the line.
struct Bench {
    line: Line,
    peer: Peer<Line>,
    /// Setup packets that the device saw.
    setups: Vec<[u8; 8]>,
    resets: usize,
    /// Header size of packets, by what was agreed.
    wide: bool,
}

impl Bench {
    fn new() -> Self {
        let line = Line::default();
        let rooms = Rooms { first_in: leak(4096), second_in: leak(64), out: leak(2048) };
        let mut peer = Peer::new(line.clone(), rooms);
        for (direction, address, size) in [
            (UsbDirection::In, Some(ep(0x80)), 64),
            (UsbDirection::Out, Some(ep(0x00)), 64),
            (UsbDirection::In, None, 512),
            (UsbDirection::Out, None, 512),
            (UsbDirection::In, None, 512),
        ] {
            peer.pipes.allocate(direction, address, size).unwrap();
        }
        peer.connect();
        Self { line, peer, setups: Vec::new(), resets: 0, wide: true }
    }

    /// After hello and announcement.
    fn connected() -> Self {
        let mut bench = Self::new();
        bench.hello(u32::MAX);
        bench.turns(20);
        bench.sent();
        bench
    }

    fn host(&self, kind: u32, id: u64, body: &[u8]) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        let id = id.to_le_bytes();
        bytes.extend(if self.wide && kind != 0 { &id[..] } else { &id[..4] });
        bytes.extend(body);
        self.line.to_peer.borrow_mut().extend(bytes);
    }

    fn hello(&mut self, capabilities: u32) {
        let mut body = vec![b'q'; 64];
        body.extend(capabilities.to_le_bytes());
        self.host(0, 0, &body);
        self.wide = capabilities & (1 << 5) != 0;
    }

    /// The device: descriptors, and everything else with two bytes or an empty packet; vendor requests are stalled.
    fn turn(&mut self) {
        self.peer.advance();
        if matches!(self.peer.pipes.poll(), PollResult::Reset) {
            self.peer.pipes.clear();
            self.resets += 1;
            return;
        }
        let mut room = [0; 64];
        // Only a setup packet is eight bytes long here.
        if let Ok(8) = self.peer.pipes.read(ep(0), &mut room) {
            let setup: [u8; 8] = room[..8].try_into().unwrap();
            self.setups.push(setup);
            let answer: &[u8] = match setup {
                [0x80, 6, _, 1, ..] => &DEVICE,
                [0x80, 6, _, 2, ..] => &CONFIGURATION,
                [kind, ..] if kind & 0x60 == 0x40 => {
                    self.peer.pipes.set_halted(ep(0x80), true);
                    self.peer.pipes.set_halted(ep(0x00), true);
                    return;
                }
                [kind, ..] if kind & 0x80 != 0 => &[7, 9],
                _ => &[],
            };
            self.peer.pipes.write(ep(0x80), answer).unwrap();
        }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn();
        }
    }

    /// Packets that the peer sent since the last call: type, id, body.
    fn sent(&self) -> Vec<(u32, u64, Vec<u8>)> {
        let bytes = std::mem::take(&mut *self.line.from_peer.borrow_mut());
        let mut packets = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let kind = u32::from_le_bytes(field(&bytes, at));
            let length = u32::from_le_bytes(field(&bytes, at + 4)) as usize;
            let (head, id) = if kind != 0 && self.wide {
                (16, u64::from_le_bytes(field(&bytes, at + 8)))
            } else {
                (12, u32::from_le_bytes(field(&bytes, at + 8)).into())
            };
            packets.push((kind, id, bytes[at + head..at + head + length].to_vec()));
            at += head + length;
        }
        packets
    }

    fn bulk_in(&self, id: u64, endpoint: u8, length: u32) {
        let [l0, l1, h0, h1] = length.to_le_bytes();
        self.host(101, id, &[endpoint, 0, l0, l1, 0, 0, 0, 0, h0, h1]);
    }

    fn bulk_out(&self, id: u64, data: &[u8]) {
        let [l0, l1, h0, h1] = u32::try_from(data.len()).unwrap().to_le_bytes();
        let mut body = vec![1, 0, l0, l1, 0, 0, 0, 0, h0, h1];
        body.extend(data);
        self.host(101, id, &body);
    }
}

fn bulk_answer(id: u64, endpoint: u8, status: u8, length: u32, data: &[u8]) -> (u32, u64, Vec<u8>) {
    let [l0, l1, h0, h1] = length.to_le_bytes();
    let mut body = vec![endpoint, status, l0, l1, 0, 0, 0, 0, h0, h1];
    body.extend(data);
    (101, id, body)
}

/// usbredir 0.7: hello with name and capabilities; interfaces, endpoints and device once the other end has said hello.
#[test]
fn hello_and_announcement() {
    let mut bench = Bench::new();
    bench.hello(u32::MAX);
    bench.turns(20);
    let sent = bench.sent();
    let kinds: Vec<u32> = sent.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [0, 4, 5, 1]);
    assert_eq!(sent[0].2.len(), 68);
    assert_eq!(sent[0].2[64..], [0x72, 0, 0, 0]);
    let interfaces = &sent[1].2;
    assert_eq!(interfaces.len(), 132);
    assert_eq!((interfaces[0], interfaces[36], interfaces[68], interfaces[100]), (1, 8, 6, 0x50));
    let endpoints = &sent[2].2;
    assert_eq!(endpoints.len(), 160);
    assert_eq!((endpoints[0], endpoints[1], endpoints[2], endpoints[17]), (0, 2, 255, 2));
    assert_eq!(endpoints[96..100], [64, 0, 0, 2]);
    assert_eq!(sent[3].2, [2, 0, 0, 0, 0x09, 0x12, 0x01, 0, 0x10, 0]);
}

/// Without 64-bit ids and the other capabilities headers and packets are shorter.
#[test]
fn an_old_peer_gets_short_packets() {
    let mut bench = Bench::new();
    bench.hello(0);
    bench.turns(20);
    let sent = bench.sent();
    assert_eq!(sent.iter().map(|packet| packet.2.len()).collect::<Vec<_>>(), [68, 132, 96, 8]);
    bench.peer.pipes.write(ep(0x81), &[1, 2, 3]).unwrap();
    bench.host(101, 5, &[0x81, 0, 13, 0, 0, 0, 0, 0]);
    bench.turns(2);
    assert_eq!(bench.sent(), [(101, 5, vec![0x81, 0, 3, 0, 0, 0, 0, 0, 1, 2, 3])]);
}

/// A control read, a request that the device stalls, and SET_CONFIGURATION as a packet of its own.
#[test]
fn control_transfers() {
    let mut bench = Bench::connected();
    bench.host(100, 1, &[0x80, 6, 0x80, 0, 0, 1, 0, 0, 8, 0]);
    bench.host(100, 2, &[0x80, 1, 0xC1, 0, 0, 0, 1, 0, 64, 0]);
    bench.host(6, 3, &[1]);
    bench.turns(40);
    bench.host(7, 4, &[]);
    bench.host(9, 5, &[1, 0]);
    bench.turns(40);
    let mut first = vec![0x80, 6, 0x80, 0, 0, 1, 0, 0, 8, 0];
    first.extend(&DEVICE[..8]);
    assert_eq!(
        bench.sent(),
        [
            (100, 1, first),
            (100, 2, vec![0x80, 1, 0xC1, 4, 0, 0, 1, 0, 0, 0]),
            (8, 3, vec![0, 1]),
            (8, 4, vec![0, 7]),
            (11, 5, vec![0, 1, 0]),
        ]
    );
    let [.., configuration, _, interface] = bench.setups[..] else { panic!() };
    assert_eq!(configuration, [0, 9, 1, 0, 0, 0, 0, 0]);
    assert_eq!(interface, [1, 11, 0, 0, 1, 0, 0, 0]);
}

/// Data for the device that are not as long as the request says never reach it.
#[test]
fn control_data_of_the_wrong_length_are_stalled() {
    let mut bench = Bench::connected();
    let seen = bench.setups.len();
    let mut body = vec![0, 2, 0x41, 0, 0, 0, 1, 0, 32, 0];
    body.extend([0; 31]);
    bench.host(100, 1, &body);
    body.extend([0; 2000]);
    bench.host(100, 2, &body);
    bench.turns(20);
    let stalled = vec![0, 2, 0x41, 4, 0, 0, 1, 0, 0, 0];
    assert_eq!(bench.sent(), [(100, 1, stalled.clone()), (100, 2, stalled)]);
    assert_eq!(bench.setups.len(), seen);
}

/// A transfer ends with its last byte or with a short packet; two wait in their order.
#[test]
fn bulk_in() {
    let mut bench = Bench::connected();
    bench.bulk_in(1, 0x81, 1024);
    bench.bulk_in(2, 0x81, 1024);
    bench.bulk_in(3, 0x82, 64);
    let packet = [0xA5; 512];
    for _ in 0..3 {
        bench.turn();
        bench.peer.pipes.write(ep(0x81), &packet).unwrap();
    }
    bench.turn();
    bench.peer.pipes.write(ep(0x81), &[]).unwrap();
    bench.peer.pipes.write(ep(0x82), &[9]).unwrap();
    bench.turns(2);
    let whole = [0xA5; 1024];
    assert_eq!(
        bench.sent(),
        [
            bulk_answer(1, 0x81, 0, 1024, &whole),
            bulk_answer(2, 0x81, 0, 512, &packet),
            bulk_answer(3, 0x82, 0, 1, &[9]),
        ]
    );
}

/// A packet that is longer than what is left is babble; a halt comes after the packet that was queued before it.
#[test]
fn babble_and_stall() {
    let mut bench = Bench::connected();
    bench.bulk_in(1, 0x81, 100);
    bench.peer.pipes.write(ep(0x81), &[1; 512]).unwrap();
    bench.turns(2);
    assert_eq!(bench.sent(), [bulk_answer(1, 0x81, 6, 100, &[1; 100])]);
    bench.bulk_in(2, 0x81, 1024);
    bench.peer.pipes.write(ep(0x81), &[2; 512]).unwrap();
    bench.peer.pipes.set_halted(ep(0x81), true);
    bench.turns(3);
    assert_eq!(bench.sent(), [bulk_answer(2, 0x81, 4, 512, &[2; 512])]);
}

/// Data reach the device packet by packet; a halt drops the rest of the transfer and nothing of the next one.
#[test]
fn bulk_out() {
    let mut bench = Bench::connected();
    let data: Vec<u8> = (0..1500_u32).map(|at| at as u8).collect();
    bench.bulk_out(1, &data);
    bench.bulk_out(2, &data[..31]);
    let mut got = Vec::new();
    let mut room = [0; 512];
    for _ in 0..20 {
        bench.turn();
        if let Ok(length) = bench.peer.pipes.read(ep(1), &mut room) {
            got.push(room[..length].to_vec());
        }
    }
    assert_eq!(got, [&data[..512], &data[512..1024], &data[1024..], &data[..31]]);
    let answers = [bulk_answer(1, 1, 0, 1500, &[]), bulk_answer(2, 1, 0, 31, &[])];
    assert_eq!(bench.sent(), answers);
    bench.peer.pipes.set_halted(ep(1), true);
    bench.bulk_out(3, &data);
    bench.turns(3);
    bench.peer.pipes.set_halted(ep(1), false);
    bench.bulk_out(4, &data[..31]);
    bench.turns(3);
    assert_eq!(bench.sent(), [bulk_answer(3, 1, 4, 0, &[]), bulk_answer(4, 1, 0, 31, &[])]);
    assert_eq!(bench.peer.pipes.read(ep(1), &mut room), Ok(31));
}

/// What there is no room or no endpoint for is answered at once and its data are passed over.
#[test]
fn transfers_without_room() {
    let mut bench = Bench::connected();
    bench.bulk_out(1, &[0; 2049]);
    bench.bulk_in(2, 0x81, 4097);
    bench.bulk_in(3, 0x83, 1);
    bench.bulk_in(4, 0x81, 4096);
    bench.host(21, 4, &[]);
    bench.turns(5);
    assert_eq!(
        bench.sent(),
        [
            bulk_answer(1, 1, 2, 0, &[]),
            bulk_answer(2, 0x81, 2, 0, &[]),
            bulk_answer(3, 0x83, 2, 0, &[]),
            bulk_answer(4, 0x81, 1, 0, &[]),
        ]
    );
}

/// A cancelled OUT transfer is answered, and its data do not reach the device.
#[test]
fn cancelling() {
    let mut bench = Bench::connected();
    bench.bulk_out(1, &[1; 600]);
    bench.bulk_out(2, &[2; 600]);
    bench.bulk_out(3, &[3; 10]);
    bench.turn();
    bench.host(21, 2, &[]);
    let mut room = [0; 512];
    let mut got = Vec::new();
    for _ in 0..20 {
        bench.turn();
        if let Ok(length) = bench.peer.pipes.read(ep(1), &mut room) {
            got.push((length, room[0]));
        }
    }
    assert_eq!(got, [(512, 1), (88, 1), (10, 3)]);
    let ends: Vec<_> = bench.sent().iter().map(|(_, id, body)| (*id, body[1])).collect();
    assert_eq!(ends, [(2, 1), (1, 0), (3, 0)]);
}

/// A bus reset reaches the device, and what was under way is gone.
#[test]
fn reset() {
    let mut bench = Bench::connected();
    let resets = bench.resets;
    bench.bulk_in(1, 0x81, 512);
    bench.turn();
    bench.host(3, 0, &[]);
    bench.turns(3);
    assert_eq!(bench.resets, resets + 1);
    bench.peer.pipes.write(ep(0x81), &[1]).unwrap();
    bench.turns(3);
    assert_eq!(bench.sent(), []);
}

/// A device that wants to be looked at anew is away for half a second.
#[test]
fn reconnecting() {
    let mut bench = Bench::connected();
    bench.peer.reconnect();
    bench.turns(20);
    assert_eq!(bench.sent(), [(2, 0, vec![])]);
    *bench.line.now.borrow_mut() = 500_000;
    bench.turns(20);
    let kinds: Vec<u32> = bench.sent().iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [4, 5, 1]);
}

/// Another guest on the same line says hello anew, and is answered.
#[test]
fn a_second_guest() {
    let mut bench = Bench::connected();
    bench.hello(u32::MAX);
    bench.turns(20);
    let kinds: Vec<u32> = bench.sent().iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [0, 4, 5, 1]);
}

proptest! {
    /// Bytes of any kind do no harm, and the next guest is served.
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut bench = Bench::connected();
        bench.line.to_peer.borrow_mut().extend(&bytes);
        bench.turns(50);
    }

    /// Packets of known types with bodies of any kind do no harm, and the peer goes on answering.
    #[test]
    fn any_packets_do_no_harm(
        packets in proptest::collection::vec(
            (
                prop_oneof![Just(3), 6..22_u32, Just(100), Just(101), Just(103)],
                any::<u64>(),
                proptest::collection::vec(any::<u8>(), 0..80),
            ),
            0..40,
        ),
    ) {
        let mut bench = Bench::connected();
        for (kind, id, body) in &packets {
            bench.host(*kind, *id, body);
        }
        let mut room = [0; 512];
        for _ in 0..300 {
            bench.turn();
            // A device that takes everything and has always something to say.
            let _ = bench.peer.pipes.read(ep(1), &mut room);
            let _ = bench.peer.pipes.write(ep(0x81), &[1]);
        }
        bench.sent();
        bench.host(3, 0, &[]);
        bench.host(100, u64::MAX, &[0x80, 6, 0x80, 0, 0, 1, 0, 0, 8, 0]);
        bench.turns(20);
        prop_assert!(bench.sent().iter().any(|(kind, id, _)| *kind == 100 && *id == u64::MAX));
    }
}
