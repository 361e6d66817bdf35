//! What a READ of 64 KiB costs the bridge core, for `tests/cost.rs` to count under callgrind.
//!
//! Everything around the core costs next to nothing: the drive answers at once out of a constant buffer, the endpoint takes one packet of
//! 512 bytes in each round of the main loop as a controller with one buffer does, and nothing is hashed. Their functions are kept out of
//! line (`stand_in`), so that what is left is the core: bulk-only transport, the judge, the counters, the read, the session's maps.
//!
//! `cost READS` reads the same 64 KiB so often; two runs with different numbers give the cost of one.
#![allow(missing_docs, clippy::print_stdout)]

use wb_attest::{
    Digest,
    digest::{Engine, HashEngine, Slot as HashSlot},
    interface::Setup,
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

const PACKET: usize = 512;
const SLOT: usize = 32 << 10;
const READ: u32 = 64 << 10;

mod stand_in {
    use super::*;

    pub struct Ready {
        pub report: Report,
        pub emitted: Emitted,
        pub data: Vec<u8>,
        pub attached: bool,
        pub bytes: Option<u32>,
        pub commands: u64,
    }

    impl Drive for Ready {
        #[inline(never)]
        fn slot_bytes(&self) -> usize {
            SLOT
        }

        #[inline(never)]
        fn poll(&mut self, _now: Micros) -> Option<DriveEvent> {
            if !self.attached {
                self.attached = true;
                return Some(DriveEvent::Attached);
            }
            let delivered = self.bytes.take()?;
            Some(DriveEvent::Done(Completion { status: Status::Good, delivered }))
        }

        #[inline(never)]
        fn start(&mut self, command: &DownCommand, _slot: Slot, _now: Micros) -> bool {
            self.commands = self.commands.wrapping_add(1);
            self.bytes = Some(match command {
                DownCommand::Read(range) => range.blocks().wrapping_mul(512),
                _ => 0,
            });
            true
        }

        #[inline(never)]
        fn data(&self, _slot: Slot) -> &[u8] {
            &self.data
        }

        #[inline(never)]
        fn abandon(&mut self, _now: Micros) {}

        #[inline(never)]
        fn is_vacant(&self) -> bool {
            !self.attached
        }

        #[inline(never)]
        fn report(&self) -> Option<&Report> {
            Some(&self.report)
        }

        #[inline(never)]
        fn emitted(&self) -> &Emitted {
            &self.emitted
        }
    }

    pub struct Endpoint {
        pub command: Option<[u8; 31]>,
        pub is_free: bool,
        pub taken: usize,
        pub status: Option<u8>,
    }

    impl Pipes for Endpoint {
        #[inline(never)]
        fn max_packet(&self) -> usize {
            PACKET
        }

        #[inline(never)]
        fn read(&mut self, packet: &mut [u8]) -> Option<usize> {
            let command = self.command.take()?;
            packet.get_mut(..31)?.copy_from_slice(&command);
            Some(31)
        }

        #[inline(never)]
        fn write(&mut self, data: &[u8]) -> Option<usize> {
            if !std::mem::take(&mut self.is_free) {
                return None;
            }
            if data.len() == 13 {
                self.status = data.last().copied();
                return Some(13);
            }
            let taken = data.len().min(PACKET);
            self.taken = self.taken.wrapping_add(taken);
            Some(taken)
        }

        #[inline(never)]
        fn is_flushed(&mut self) -> bool {
            true
        }

        #[inline(never)]
        fn stall_in(&mut self) {}

        #[inline(never)]
        fn stall_out(&mut self) {}

        #[inline(never)]
        fn is_in_stalled(&self) -> bool {
            false
        }

        #[inline(never)]
        fn is_out_stalled(&self) -> bool {
            false
        }
    }

    pub struct NoHash;

    impl HashEngine for NoHash {
        #[inline(never)]
        fn engine(&self) -> Engine {
            Engine::Software
        }

        #[inline(never)]
        fn start(&mut self, _slot: HashSlot) {}

        #[inline(never)]
        fn update(&mut self, _slot: HashSlot, data: &[u8]) {
            std::hint::black_box(data.len());
        }

        #[inline(never)]
        fn settle(&mut self) {}

        #[inline(never)]
        fn is_beside(&self) -> bool {
            false
        }

        #[inline(never)]
        fn finish(&mut self, _slot: HashSlot) -> Digest {
            [0; 32]
        }
    }
}

fn report() -> Report {
    let mut capture = Capture::empty(Kind::Usb);
    let mut inquiry = [0; 36];
    if let Some(version) = inquiry.get_mut(2) {
        *version = 6;
    }
    capture.inquiry = Bytes::new(&inquiry);
    capture.geometry = Some(Geometry { blocks: 1 << 33, block_bytes: 512 });
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

fn read_command(tag: u32) -> [u8; 31] {
    let lba = tag.wrapping_mul(128).to_be_bytes();
    let mut wrapper = [0; 31];
    let head = b"USBC"
        .iter()
        .copied()
        .chain(tag.to_le_bytes())
        .chain(READ.to_le_bytes())
        .chain([0x80, 0, 10, 0x28, 0])
        .chain(lba)
        .chain([0, 0, 128, 0]);
    for (own, byte) in wrapper.iter_mut().zip(head) {
        *own = byte;
    }
    wrapper
}

/// One round of the main loop: counted, so it stays a function of its own.
#[inline(never)]
fn round<D: Drive, E: HashEngine>(
    bridge: &mut Bridge<'_, D, E, 64>,
    endpoint: &mut stand_in::Endpoint,
    now: Micros,
) {
    bridge.poll(endpoint, now);
}

#[inline(never)]
fn run(reads: u32) -> (u64, usize) {
    let drive = stand_in::Ready {
        report: report(),
        emitted: Emitted::default(),
        data: vec![0xA5; SLOT],
        attached: false,
        bytes: None,
        commands: 0,
    };
    let config = Config {
        policy: &POLICY,
        policy_digest: POLICY_DIGEST,
        profiles: Profiles::default(),
        hardware: "cost",
        build: "cost",
        firmware_digest: [0; 32],
        protection: Protection::PlainFlash,
        public_key: Some([0; 32]),
        boot_counter: 0,
        kind: Kind::Usb,
        bounds: Bounds::LARGE,
    };
    let mut statement = vec![0; 1024];
    let mut bridge: Bridge<'_, _, _, 64> =
        Bridge::new(config, drive, stand_in::NoHash, &mut statement);
    let mut endpoint = stand_in::Endpoint { command: None, is_free: true, taken: 0, status: None };
    bridge.poll(&mut endpoint, 0);
    let start = Setup { request_type: 0x41, request: 2, value: 0, index: 1, length: 32 };
    assert!(bridge.control_out(&start, &[0; 32]), "a session is open");
    let mut done = 0_u32;
    // The first command is told of the attach.
    for tag in 0..=reads {
        endpoint.command = Some(read_command(tag));
        endpoint.status = None;
        while endpoint.status.is_none() {
            endpoint.is_free = true;
            round(&mut bridge, &mut endpoint, u64::from(tag));
        }
        done = done.wrapping_add(u32::from(endpoint.status == Some(0)));
    }
    assert_eq!(done, reads);
    (bridge.drive().commands, endpoint.taken)
}

fn main() {
    let reads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let (commands, bytes) = run(reads);
    println!("{reads} reads, {commands} commands to the drive, {bytes} bytes to the host");
}
