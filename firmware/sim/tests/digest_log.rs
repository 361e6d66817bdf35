//! The digest log at its edges (published requirements, sections 4.4 and 5.2): when bytes are hashed, and what LEAVES gives when entries were dropped.
//!
//! An engine that hashes beside the processor (the RT1062's DCP) reads a slot while that slot leaves, so the drive must not fill it before the engine
//! is done, and what never left must not be in the log.
//!
//! The engine here keeps account of the memory it was given until it is told to settle; the drive looks at that account before it fills a slot.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // numbers of blocks are small

use std::{cell::RefCell, ops::Range, rc::Rc};

use wb_attest::{
    Digest,
    digest::{Engine, HashEngine, Slot as HashSlot, Software},
    interface::{Leaves, Request},
    log::Entry,
    sha256,
    statement::{Bounds, Protection},
};
use wb_bridge::{
    Micros,
    bridge::{Bridge, Config},
    drive::{Completion, Drive, DriveEvent, Emitted, Identity, Report, Slot, Status, UsbIdentity},
    pipes::Pipes,
};
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    down::DownCommand,
    geometry::Geometry,
    judge::Profiles,
    tables::{POLICY, POLICY_DIGEST},
};

const SLOT: usize = 64 << 10;
const MIB: usize = 1 << 20;
const PACKET: usize = 512;
/// Log entries that wait for the host.
const RING: usize = 64;

/// Memory that the engine may still be reading: addresses.
type Account = Rc<RefCell<Vec<Range<usize>>>>;

fn place(data: &[u8]) -> Range<usize> {
    let start = data.as_ptr().addr();
    start..start + data.len()
}

struct Beside {
    inner: Software,
    reading: Account,
    pieces: Rc<RefCell<Vec<usize>>>,
}

impl HashEngine for Beside {
    fn engine(&self) -> Engine {
        Engine::Dcp
    }

    fn start(&mut self, slot: HashSlot) {
        self.inner.start(slot);
    }

    fn update(&mut self, slot: HashSlot, data: &[u8]) {
        self.settle();
        self.reading.borrow_mut().push(place(data));
        self.pieces.borrow_mut().push(data.len());
        self.inner.update(slot, data);
    }

    fn settle(&mut self) {
        self.reading.borrow_mut().clear();
    }

    fn finish(&mut self, slot: HashSlot) -> Digest {
        self.settle();
        self.inner.finish(slot)
    }

    fn is_beside(&self) -> bool {
        true
    }
}

/// Every byte of a block says which block it is.
fn byte(lba: u64) -> u8 {
    (lba.wrapping_mul(167) >> 3) as u8
}

struct Disk {
    report: Report,
    emitted: Emitted,
    slots: [Vec<u8>; 2],
    attached: bool,
    done: Option<u32>,
    reading: Account,
}

impl Drive for Disk {
    fn slot_bytes(&self) -> usize {
        SLOT
    }

    fn poll(&mut self, _now: Micros) -> Option<DriveEvent> {
        if !std::mem::replace(&mut self.attached, true) {
            return Some(DriveEvent::Attached);
        }
        let delivered = self.done.take()?;
        Some(DriveEvent::Done(Completion { status: Status::Good, delivered }))
    }

    fn start(&mut self, command: &DownCommand, slot: Slot, _now: Micros) -> bool {
        let DownCommand::Read(range) = command else { panic!("{command:?}") };
        let index = usize::from(slot == Slot::B);
        let here = place(&self.slots[index]);
        let overlaps = |busy: &Range<usize>| busy.start < here.end && here.start < busy.end;
        assert!(!self.reading.borrow().iter().any(overlaps), "filled while it is hashed");
        let bytes = range.blocks() as usize * 512;
        for (n, own) in self.slots[index][..bytes].iter_mut().enumerate() {
            *own = byte(range.lba() + n as u64 / 512);
        }
        self.done = Some(bytes as u32);
        true
    }

    fn data(&self, slot: Slot) -> &[u8] {
        &self.slots[usize::from(slot == Slot::B)]
    }

    fn abandon(&mut self, _now: Micros) {
        self.done = None;
    }

    fn is_vacant(&self) -> bool {
        !self.attached
    }

    fn report(&self) -> Option<&Report> {
        Some(&self.report)
    }

    fn emitted(&self) -> &Emitted {
        &self.emitted
    }
}

/// A controller with room for one packet, which leaves when the host lets it.
#[derive(Default)]
struct Endpoint {
    command: Option<[u8; 31]>,
    is_full: bool,
    left: Vec<u8>,
}

impl Pipes for Endpoint {
    fn max_packet(&self) -> usize {
        PACKET
    }

    fn read(&mut self, packet: &mut [u8]) -> Option<usize> {
        packet[..31].copy_from_slice(&self.command.take()?);
        Some(31)
    }

    fn write(&mut self, data: &[u8]) -> Option<usize> {
        if std::mem::replace(&mut self.is_full, true) {
            return None;
        }
        let taken = data.len().min(PACKET);
        self.left.extend(&data[..taken]);
        Some(taken)
    }

    fn is_flushed(&mut self) -> bool {
        !self.is_full
    }

    fn stall_in(&mut self) {}

    fn stall_out(&mut self) {}

    fn is_in_stalled(&self) -> bool {
        false
    }

    fn is_out_stalled(&self) -> bool {
        false
    }
}

fn report() -> Report {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(&[0; 36]);
    capture.geometry = Some(Geometry { blocks: 65_536, block_bytes: 512 });
    let identity = UsbIdentity {
        vendor: 0,
        product: 0,
        release: 0,
        serial: Bytes::new(&[]),
        descriptors: [0; 32],
        units: 1,
        unit: 0,
    };
    Report {
        capture,
        identity: Identity::Usb(identity),
        steps: Default::default(),
        not_run: Default::default(),
        refused: None,
        own_before: 0,
    }
}

struct Rig {
    bridge: Bridge<'static, Disk, Beside, RING>,
    endpoint: Endpoint,
    reading: Account,
    pieces: Rc<RefCell<Vec<usize>>>,
    tag: u32,
}

impl Rig {
    fn new() -> Self {
        let (reading, pieces) = (Account::default(), Rc::default());
        let engine =
            Beside { inner: Software::new(), reading: reading.clone(), pieces: Rc::clone(&pieces) };
        let drive = Disk {
            report: report(),
            emitted: Emitted::default(),
            slots: [vec![0; SLOT], vec![0; SLOT]],
            attached: false,
            done: None,
            reading: reading.clone(),
        };
        let config = Config {
            policy: &POLICY,
            policy_digest: POLICY_DIGEST,
            profiles: Profiles::default(),
            hardware: "test",
            build: "test",
            firmware_digest: [0; 32],
            protection: Protection::PlainFlash,
            public_key: Some([0; 32]),
            boot_counter: 0,
            kind: Kind::Usb,
            bounds: Bounds::LARGE,
        };
        let statement = Box::leak(vec![0; 4096].into());
        let bridge = Bridge::new(config, drive, engine, statement);
        let mut rig = Self { bridge, endpoint: Endpoint::default(), reading, pieces, tag: 0 };
        rig.round();
        // The first command is told of the attach.
        rig.read(0, 1);
        rig.start();
        rig
    }

    fn start(&mut self) {
        assert!(self.bridge.control_out(&Request::Start.setup().unwrap(), &[1; 32]));
    }

    fn round(&mut self) {
        self.bridge.poll(&mut self.endpoint, u64::from(self.tag));
    }

    fn command(&mut self, lba: u32, blocks: u16) {
        self.tag += 1;
        let mut wrapper = [0; 31];
        wrapper[..4].copy_from_slice(b"USBC");
        wrapper[4..8].copy_from_slice(&self.tag.to_le_bytes());
        wrapper[8..12].copy_from_slice(&(u32::from(blocks) * 512).to_le_bytes());
        wrapper[12..16].copy_from_slice(&[0x80, 0, 10, 0x28]);
        wrapper[17..21].copy_from_slice(&lba.to_be_bytes());
        wrapper[22..24].copy_from_slice(&blocks.to_be_bytes());
        self.endpoint.command = Some(wrapper);
        self.endpoint.left.clear();
    }

    /// Lets the host take `packets` packets.
    fn packets(&mut self, packets: usize) {
        for _ in 0..packets {
            self.round();
            self.endpoint.is_full = false;
        }
    }

    /// A READ to its end; its bytes with the status wrapper.
    fn read(&mut self, lba: u32, blocks: u16) -> Vec<u8> {
        self.command(lba, blocks);
        self.packets(usize::from(blocks) + 64);
        self.endpoint.left.clone()
    }

    /// Number of the first entry in the answer, entries lost so far, numbers of the entries.
    fn leaves(&mut self, first: u16) -> (u64, u32, Vec<Entry>) {
        let setup = Request::Leaves { first, room: 4096 }.setup().unwrap();
        let mut out = [0; 4096];
        let length = self.bridge.control_in(&setup, &mut out).unwrap();
        let leaves = Leaves::parse(&out[..length]).unwrap();
        (leaves.first, leaves.lost, leaves.entries().collect())
    }

    fn entries(&mut self) -> Vec<(u64, Digest)> {
        let (_, _, entries) = self.leaves(0);
        entries.iter().map(|entry| (entry.chunk, entry.digest)).collect()
    }
}

fn chunk(number: u64) -> Digest {
    let data: Vec<u8> = (0..MIB as u64).map(|at| byte(number * 2048 + at / 512)).collect();
    sha256(&[&data])
}

/// 4.4: slots are handed over whole when they begin to leave, settled before they are filled again, and the digests are those of the bytes.
#[test]
fn a_slot_is_hashed_while_it_leaves_and_not_while_it_is_filled() {
    let mut rig = Rig::new();
    for lba in (0..6144).step_by(1024) {
        let data = rig.read(lba, 1024);
        assert_eq!(data.len(), 1024 * 512 + 13);
        assert_eq!(data.last(), Some(&0));
    }
    assert!(rig.pieces.borrow().iter().all(|bytes| *bytes == SLOT), "not in place");
    assert_eq!(rig.entries(), [(0, chunk(0)), (1, chunk(1)), (2, chunk(2))]);
    assert!(rig.reading.borrow().is_empty());
}

/// 4.4: the host gives up in the midst of the slot that would end a chunk: the engine has all its bytes, and the log has no entry.
#[test]
fn what_was_hashed_and_never_left_is_not_logged() {
    let mut rig = Rig::new();
    rig.read(0, 1920);
    rig.command(1920, 128);
    rig.packets(60);
    assert_eq!(rig.pieces.borrow().iter().sum::<usize>(), MIB);
    rig.bridge.bus_reset();
    rig.endpoint.is_full = false;
    rig.round();
    assert!(rig.reading.borrow().is_empty());
    assert_eq!(rig.entries(), []);
    rig.read(0, 1);
    rig.read(0, 2048);
    assert_eq!(rig.entries(), [(0, chunk(0))]);
}

/// 4.4: a session covers what began to leave after its START.
#[test]
fn a_slot_that_was_leaving_at_start_is_not_hashed() {
    let mut rig = Rig::new();
    rig.command(0, 2048);
    rig.packets(20);
    rig.start();
    rig.packets(2100);
    assert_eq!(rig.endpoint.left.last(), Some(&0));
    assert_eq!(rig.entries(), []);
    rig.read(0, 2048);
    assert_eq!(rig.entries(), [(0, chunk(0))]);
}

/// 4.4, 5.2: a host that comes late gets what is still there, and is told how much is not.
#[test]
fn a_host_that_comes_late_gets_the_oldest_entry_there_is() {
    let mut rig = Rig::new();
    for _ in 0..RING + 6 {
        rig.read(0, 2048);
    }
    for first in [0, 3, 5] {
        let (number, lost, entries) = rig.leaves(first);
        assert_eq!((number, lost, entries.len()), (6, 6, 3), "{first}");
        assert!(entries.iter().zip(6..).all(|(entry, seq)| entry.seq == seq));
    }
    let (number, _, entries) = rig.leaves(RING as u16 + 5);
    assert_eq!((number, entries.len()), (RING as u64 + 5, 1));
    let (number, lost, entries) = rig.leaves(RING as u16 + 6);
    assert_eq!((number, lost, entries.len()), (RING as u64 + 6, 6, 0));
}
