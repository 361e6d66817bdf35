//! What is counted.

use cortex_m::singleton;
use cortex_m_semihosting::hprintln;
use usb_device::bus::UsbBusAllocator;
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
    bridge.poll(&mut pipes, 2);
    for _ in 0..4 {
        bridge.poll(&mut pipes, 3);
    }
    let mut number = 0;
    let mut failed = 0_u32;
    let instructions = counter.count(READS, || {
        pipes.command = Some(read(number));
        pipes.sent = 0;
        let mut polls = 0_u32;
        while pipes.sent < SLOT.wrapping_add(CSW_BYTES) && polls < 10_000 {
            bridge.poll(&mut pipes, 4);
            polls = polls.wrapping_add(1);
        }
        failed = failed.wrapping_add(u32::from(polls >= 10_000));
        number = number.wrapping_add(1);
    });
    (failed == 0).then_some(instructions)
}

/// The same with `usb-device` and its class on a bus that takes a packet at a time, as the main loop of a board runs it.
fn device(counter: &Counter) -> Option<()> {
    let allocator = singleton!(: UsbBusAllocator<NullBus> = UsbBusAllocator::new(NullBus::new()))?;
    let mut endpoints = Endpoints::new(allocator, 512);
    let mut device = build(allocator, "000000000000000000000000", 0x0010)?;
    let statement = singleton!(: [u8; STATEMENT] = [0; STATEMENT])?;
    let mut bridge: Bridge<'_, _, _, RING> =
        Bridge::new(config(), NullDrive::new(), NullEngine, statement);
    let mut round = || {
        let mut class = Class { endpoints: &mut endpoints, bridge: &mut bridge };
        device.poll(&mut [&mut class]);
        endpoints.update(device.bus());
        bridge.poll(&mut endpoints, 5);
        device.bus().sent()
    };
    for _ in 0..8 {
        round();
    }
    let idle = counter.count(16, || {
        round();
    });
    hprintln!("main loop, one round with nothing to do: {} instructions", idle);
    device_reads(counter)
}

/// READs through the endpoints.
fn device_reads(counter: &Counter) -> Option<()> {
    let allocator = singleton!(: UsbBusAllocator<NullBus> = UsbBusAllocator::new(NullBus::new()))?;
    let mut endpoints = Endpoints::new(allocator, 512);
    let mut device = build(allocator, "000000000000000000000000", 0x0010)?;
    let statement = singleton!(: [u8; STATEMENT] = [0; STATEMENT])?;
    let mut bridge: Bridge<'_, _, _, RING> =
        Bridge::new(config(), NullDrive::new(), NullEngine, statement);
    let mut started = false;
    let mut failed = 0_u32;
    let mut rounds = 0_u32;
    let mut one = |number: u32, bytes: usize| {
        device.bus().put(read(number));
        for _ in 0..1_000 {
            let mut class = Class { endpoints: &mut endpoints, bridge: &mut bridge };
            device.poll(&mut [&mut class]);
            endpoints.update(device.bus());
            bridge.poll(&mut endpoints, 5);
            rounds = rounds.wrapping_add(1);
            if device.bus().sent() >= bytes {
                return;
            }
        }
        failed = failed.wrapping_add(1);
        let _ = &mut started;
    };
    // The unit attention.
    one(0, CSW_BYTES);
    let mut number = 0;
    let instructions = counter.count(READS, || {
        one(number, SLOT.wrapping_add(CSW_BYTES));
        number = number.wrapping_add(1);
    });
    (failed == 0).then_some(())?;
    hprintln!(
        "main loop, READ of 64 KiB, a packet a round, no hash: {} instructions",
        instructions
    );
    hprintln!("    that is {} for each packet of 512 bytes", instructions.checked_div(129)?);
    Some(())
}
