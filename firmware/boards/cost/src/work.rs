//! What is counted.

use cortex_m::singleton;
use cortex_m_semihosting::hprintln;
use usb_device::{bus::UsbBusAllocator, device::UsbDevice};
use wb_attest::{
    digest::{HashEngine, Slot, Software},
    interface::Setup,
    statement::{Bounds, Protection, Signer},
};
use wb_bridge::{
    bridge::{Bridge, Config},
    device::{Class, Endpoints, build},
};
use wb_policy::{
    capture::Kind,
    cbw::CBW_BYTES,
    judge::Profiles,
    tables::{POLICY, POLICY_DIGEST},
};

use crate::{
    count::Counter,
    rig::{NullBus, NullDrive, NullEngine, NullPipes, SLOT},
};

const RING: usize = 64;
const STATEMENT: usize = 65_535;
const CSW_BYTES: usize = 13;
/// READs of one measurement: a chunk of 1 MiB, and an entry of the log with it.
const READS: u32 = 16;
/// Packet size of the boards with this core: high speed, or full speed on the Cortex-M0+, which has no compare and swap.
const PACKET: u16 = if cfg!(target_has_atomic = "32") { 512 } else { 64 };
/// Polls after which a READ is given up.
const POLLS: u32 = 10_000;

/// Counts everything and prints it; `None` where something did not go as it has to.
pub fn run(counter: &Counter) -> Option<()> {
    hash(counter)?;
    sign(counter)?;
    let nothing = reads(counter, NullEngine, singleton!(: [u8; STATEMENT] = [0; STATEMENT])?, 512)?;
    hprintln!("bridge core, READ of 64 KiB, 512-byte packets, no hash: {} instructions", nothing);
    let small = reads(counter, NullEngine, singleton!(: [u8; STATEMENT] = [0; STATEMENT])?, 64)?;
    hprintln!("bridge core, READ of 64 KiB, 64-byte packets, no hash: {} instructions", small);
    let hashed =
        reads(counter, Software::new(), singleton!(: [u8; STATEMENT] = [0; STATEMENT])?, 512)?;
    hprintln!("bridge core, READ of 64 KiB, 512-byte packets, SHA-256 in software: {}", hashed);
    device(counter)
}

fn hash(counter: &Counter) -> Option<()> {
    let data = singleton!(: [u8; SLOT] = [0xA5; SLOT])?;
    let mut engine = Software::new();
    engine.start(Slot::A);
    let instructions = counter.count(4, || engine.update(Slot::A, data));
    let hundredths = instructions.checked_mul(100)?.checked_div(u64::try_from(SLOT).ok()?)?;
    hprintln!(
        "SHA-256 in software, 64 KiB: {} instructions, {}.{:02} a byte",
        instructions,
        hundredths / 100,
        hundredths % 100
    );
    (engine.finish(Slot::A) != [0; 32]).then_some(())
}

fn sign(counter: &Counter) -> Option<()> {
    let mut signer = None;
    let expand = counter.count(1, || signer = Some(Signer::new(&[7; 32])));
    let signer = signer?;
    hprintln!("Ed25519, expanding a seed (once, at power-up): {} instructions", expand);
    let message = singleton!(: [u8; 32_768] = [3; 32_768])?;
    for length in [0, 8192, 32_768] {
        let message = message.get(..length)?;
        let mut signature = None;
        let instructions = counter.count(1, || {
            signature = signer.sign_in_chunks(|take| message.chunks(256).for_each(&mut *take)).ok();
        });
        signature?;
        hprintln!("Ed25519, a signature over {} bytes: {} instructions", length, instructions);
    }
    Some(())
}

fn config() -> Config<'static> {
    Config {
        policy: &POLICY,
        policy_digest: POLICY_DIGEST,
        profiles: Profiles::default(),
        hardware: "cost",
        build: env!("CARGO_PKG_VERSION"),
        firmware_digest: [0; 32],
        protection: Protection::PlainFlash,
        public_key: Some([1; 32]),
        boot_counter: 1,
        kind: Kind::Usb,
        bounds: Bounds::LARGE,
    }
}

/// START, so that what is read is hashed and logged.
fn start<E: HashEngine>(bridge: &mut Bridge<'_, NullDrive, E, RING>) -> bool {
    let setup = Setup { request_type: 0x41, request: 2, value: 0, index: 1, length: 32 };
    bridge.control_out(&setup, &[9; 32])
}

/// READ(10) of 128 blocks.
fn read(number: u32) -> [u8; CBW_BYTES] {
    let mut cbw = [0; CBW_BYTES];
    let lba = number.wrapping_mul(128).to_be_bytes();
    let fields =
        b"USBC\0\0\0\x01\0\0\x01\0\x80\0\x0A\x28\0".iter().chain(&lba).chain(&[0, 0, 128, 0]);
    for (own, byte) in cbw.iter_mut().zip(fields) {
        *own = *byte;
    }
    cbw
}

fn reads<E: HashEngine>(
    counter: &Counter,
    engine: E,
    statement: &mut [u8],
    max_packet: usize,
) -> Option<u64> {
    let mut bridge: Bridge<'_, _, _, RING> =
        Bridge::new(config(), NullDrive::new(), engine, statement);
    let mut pipes = NullPipes { max_packet, command: None, sent: 0 };
    bridge.poll(&mut pipes, 1);
    start(&mut bridge).then_some(())?;
    // The first command is told of the unit attention.
    pipes.command = Some(read(0));
    for _ in 0..4 {
        bridge.poll(&mut pipes, 2);
    }
    let (mut number, mut done) = (0_u32, 0_u32);
    let instructions = counter.count(READS, || {
        pipes.command = Some(read(number));
        pipes.sent = 0;
        let is_done = (0..POLLS).any(|_| {
            bridge.poll(&mut pipes, 3);
            pipes.sent >= SLOT.wrapping_add(CSW_BYTES)
        });
        done = done.wrapping_add(is_done.into());
        number = number.wrapping_add(1);
    });
    (done == READS).then_some(instructions)
}

/// The bridge with `usb-device` and its class, on a bus that takes a packet at a time: the main loop of a board.
struct Board<'a> {
    device: UsbDevice<'a, NullBus>,
    endpoints: Endpoints<'a, NullBus>,
    bridge: Bridge<'a, NullDrive, NullEngine, RING>,
}

impl Board<'_> {
    fn round(&mut self) {
        let mut class = Class { endpoints: &mut self.endpoints, bridge: &mut self.bridge };
        self.device.poll(&mut [&mut class]);
        self.endpoints.update(self.device.bus());
        self.bridge.poll(&mut self.endpoints, 5);
    }

    /// A READ, until so many bytes have been sent; whether they were.
    fn read(&mut self, number: u32, bytes: usize) -> bool {
        self.device.bus().put(read(number));
        (0..POLLS).any(|_| {
            self.round();
            self.device.bus().sent() >= bytes
        })
    }
}

fn device(counter: &Counter) -> Option<()> {
    let allocator = singleton!(: UsbBusAllocator<NullBus> = UsbBusAllocator::new(NullBus::new()))?;
    let statement = singleton!(: [u8; STATEMENT] = [0; STATEMENT])?;
    let endpoints = Endpoints::new(allocator, PACKET);
    let device = build(allocator, "000000000000000000000000", 0x0010)?;
    let bridge = Bridge::new(config(), NullDrive::new(), NullEngine, statement);
    let mut board = Board { device, endpoints, bridge };
    for _ in 0..8 {
        board.round();
    }
    let idle = counter.count(16, || board.round());
    hprintln!("main loop, one round with nothing to do: {} instructions", idle);
    start(&mut board.bridge).then_some(())?;
    // The first command is told of the unit attention.
    board.read(0, CSW_BYTES).then_some(())?;
    let (mut number, mut done) = (0_u32, 0_u32);
    let instructions = counter.count(READS, || {
        done = done.wrapping_add(board.read(number, SLOT.wrapping_add(CSW_BYTES)).into());
        number = number.wrapping_add(1);
    });
    (done == READS).then_some(())?;
    let packets = u64::try_from(SLOT).ok()?.checked_div(PACKET.into())?.checked_add(1)?;
    let a_packet = instructions.checked_div(packets)?;
    hprintln!(
        "main loop, READ of 64 KiB, a packet a round, no hash: {} instructions",
        instructions
    );
    hprintln!("    that is {} for each packet of {} bytes", a_packet, PACKET);
    Some(())
}
