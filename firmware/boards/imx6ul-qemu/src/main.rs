//! The write blocker on the emulated board.
//!
//! Words given by semihosting (`arg=`) stand for the straps and the key page of a real board: `ident`, `smart`, `seed=` with 64 hex digits.
//! `out=` names a pipe that everything for the host goes to instead of the serial line, which only takes then.
//! A key that is made at run time lives in memory only and does not change the serial number: the emulated board has no flash, and nobody
//! should trust what it signs. Events and lights are printed, one line each.
#![no_std]
#![no_main]

use imx6ul_qemu::{
    clock::Clock,
    drive_port::{self, DrivePort, SLOT_BYTES},
    entry, image,
    redir::{Peer, RedirBus, Rooms},
    say, semihosting,
    uart::Uart,
};
use static_cell::{ConstStaticCell, StaticCell};
use usb_device::bus::UsbBusAllocator;
use usb_device::device::UsbDevice;
use wb_attest::{
    digest::Software,
    key::{SeedMaker, key_id, usb_serial},
    statement::{Bounds, Protection, Signer},
};
use wb_bridge::{
    bridge::{Bridge, Config, Lights, Work},
    device::{Class, Endpoints, build},
    usb::{Settings, UsbDrive},
};
use wb_policy::{
    capture::Kind,
    judge::Profiles,
    sat,
    tables::{POLICY, POLICY_DIGEST},
};

/// Log entries that wait for the host.
const RING: usize = 4096;
const STATEMENT_BYTES: usize = 65_535;
/// Largest transfer that the host may ask for at once.
const TRANSFER_BYTES: usize = 1024 * 1024;
const LOG_BYTES: usize = 64 * 1024;
/// bcdDevice: version 0.1.
const RELEASE: u16 = 0x0010;
const PACKET: u16 = 512;

type Bus = RedirBus<Uart>;
type Drive = UsbDrive<chipidea::Ehci<DrivePort, SLOT_BYTES>>;

static FIRST_IN: ConstStaticCell<[u8; TRANSFER_BYTES]> = ConstStaticCell::new([0; TRANSFER_BYTES]);
static SECOND_IN: ConstStaticCell<[u8; LOG_BYTES]> = ConstStaticCell::new([0; LOG_BYTES]);
static OUT: ConstStaticCell<[u8; TRANSFER_BYTES]> = ConstStaticCell::new([0; TRANSFER_BYTES]);
static STATEMENT: ConstStaticCell<[u8; STATEMENT_BYTES]> =
    ConstStaticCell::new([0; STATEMENT_BYTES]);
static ALLOCATOR: StaticCell<UsbBusAllocator<Bus>> = StaticCell::new();
static BRIDGE: StaticCell<Bridge<'static, Drive, Software, RING>> = StaticCell::new();
static SERIAL: StaticCell<[u8; 24]> = StaticCell::new();

entry!(main);

fn main() -> ! {
    let firmware_digest = image::digest();
    let mut words = [0; 256];
    let words = semihosting::command_line(&mut words);
    let has = |wanted: &str| words.split_ascii_whitespace().any(|word| word == wanted);
    let profiles = Profiles { ident: has("ident"), smart: has("smart") };
    let value =
        |name: &str| words.split_ascii_whitespace().find_map(|word| word.strip_prefix(name));
    let seed = value("seed=").and_then(parse_seed);
    let pipe = value("out=").and_then(semihosting::File::open);
    Board::new(firmware_digest, profiles, seed.as_ref(), pipe).run()
}

/// 64 hex digits.
fn parse_seed(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != seed.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(seed)
}

/// Everything together.
struct Board {
    clock: Clock,
    device: UsbDevice<'static, Bus>,
    endpoints: Endpoints<'static, Bus>,
    bridge: &'static mut Bridge<'static, Drive, Software, RING>,
    signer: Option<Signer>,
    lights: Lights,
}

impl Board {
    fn new(
        firmware_digest: [u8; 32],
        profiles: Profiles,
        seed: Option<&[u8; 32]>,
        pipe: Option<semihosting::File>,
    ) -> Self {
        let clock = Clock::new();
        let signer = seed.map(Signer::new);
        let public_key = signer.as_ref().map(Signer::public_key);
        let config = Config {
            policy: &POLICY,
            policy_digest: POLICY_DIGEST,
            profiles,
            hardware: "imx6ul-qemu",
            build: env!("CARGO_PKG_VERSION"),
            firmware_digest,
            protection: Protection::PlainFlash,
            public_key,
            boot_counter: 1,
            kind: Kind::Usb,
            bounds: Bounds::LARGE,
        };
        let host = drive_port::open(drive_port::CONFIG, clock.now());
        let drive = UsbDrive::new(host, Settings { profiles, is_listed: sat::is_listed });
        let bridge = BRIDGE.init(Bridge::new(config, drive, Software::new(), STATEMENT.take()));
        let serial = public_key.map_or([b'0'; 24], |key| usb_serial(&key_id(&key)));
        let (device, endpoints) = device(clock, pipe, SERIAL.init(serial));
        Self { clock, device, endpoints, bridge, signer, lights: Lights::default() }
    }

    fn run(mut self) -> ! {
        loop {
            let mut class = Class { endpoints: &mut self.endpoints, bridge: self.bridge };
            self.device.poll(&mut [&mut class]);
            self.endpoints.update(self.device.bus());
            self.bridge.poll(&mut self.endpoints, self.clock.now());
            match self.bridge.take_work() {
                Some(Work::Provision(entropy)) => self.provision(&entropy),
                Some(Work::Sign) => self.sign(),
                Some(Work::Reconnect) => {
                    say!("RECONNECT");
                    // This bus always can.
                    let _ = self.device.force_reset();
                }
                None => {}
            }
            self.tell();
        }
    }

    /// The only entropy of its own that an emulated board has is the time at which it is asked.
    fn provision(&mut self, entropy: &[u8; 32]) {
        let mut maker = SeedMaker::new();
        maker.device(&self.clock.now().to_le_bytes());
        let signer = Signer::new(&maker.finish(entropy, b"imx6ul-qemu"));
        self.bridge.provisioned(signer.public_key());
        self.signer = Some(signer);
    }

    fn sign(&mut self) {
        let Some(signer) = &self.signer else { return };
        let bridge = &*self.bridge;
        let signature = signer.sign_in_chunks(|take| {
            let mut from = 0;
            while let Some(next) = bridge.to_sign(from, take) {
                from = next;
            }
        });
        if let Ok(signature) = signature {
            self.bridge.signed(&signature);
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.bridge.next_event() {
            say!("EVENT {event:?}");
        }
        // The light for reading would flicker with every command.
        let lights = Lights { reading: false, ..self.bridge.lights() };
        if lights != self.lights {
            say!("LIGHTS {lights:?}");
            self.lights = lights;
        }
    }
}

/// The device side.
fn device(
    clock: Clock,
    pipe: Option<semihosting::File>,
    serial: &'static [u8; 24],
) -> (UsbDevice<'static, Bus>, Endpoints<'static, Bus>) {
    // SAFETY: this is the only place that opens UART1, and it is reached once.
    let wire = unsafe { Uart::new(clock, pipe) };
    let rooms = Rooms { first_in: FIRST_IN.take(), second_in: SECOND_IN.take(), out: OUT.take() };
    let allocator = ALLOCATOR.init(UsbBusAllocator::new(RedirBus::new(Peer::new(wire, rooms))));
    let endpoints = Endpoints::new(allocator, PACKET);
    match build(allocator, core::str::from_utf8(serial).unwrap_or(""), RELEASE) {
        Some(device) => (device, endpoints),
        None => {
            say!("the descriptors do not fit");
            semihosting::exit(1)
        }
    }
}
