//! The bridge as a board runs it, in this process: the core, the class of `usb-device`, a software hash and a key in memory.
//!
//! It is a [`UsbDevice`], so a test, a scripted host or a real kernel behind [`crate::usbredir`] can use it. Its clock moves only when it is
//! asked for something, so a run is the same every time.

use usb_device::{bus::UsbBusAllocator, device::UsbDevice as Device};
use wb_attest::{
    digest::Software,
    key::{SeedMaker, key_id, usb_serial},
    statement::{Bounds, Protection, Signer},
};
use wb_bridge::{
    Micros,
    bridge::{Bridge, Config, Lights, Work},
    device::{Class, Endpoints, build},
    drive::Drive,
};
use wb_policy::{
    capture::Kind,
    judge::Profiles,
    tables::{POLICY, POLICY_DIGEST, Policy},
};

use crate::{
    bus::{Handshake, MemoryBus},
    usb::{InResult, OutResult, Speed, Stall, UsbDevice},
};

/// Log entries that wait for the host.
const RING: usize = 1024;
/// Room for a statement.
const STATEMENT: usize = 65_535;
/// Polls that a transfer waits for before it counts as not ready.
const PATIENCE: usize = 400;
/// How far the clock moves with each poll, in microseconds.
const STEP: Micros = 25;
/// How far it moves while nothing is asked, for what takes long: debounce, spin-up, time-outs.
const IDLE_STEP: Micros = 2_000;
/// Packet size of endpoint 0.
const CONTROL_PACKET: usize = 64;

/// How a simulated bridge is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The policy in force.
    pub policy: &'static Policy<'static>,
    /// Active profiles.
    pub profiles: Profiles,
    /// Seed of the device key; `None` for a bridge that was not provisioned.
    pub seed: Option<[u8; 32]>,
    /// What it has on its drive side.
    pub kind: Kind,
    /// Speed of the host's port.
    pub speed: Speed,
    /// Power-ups so far, this one included.
    pub boot_counter: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: &POLICY,
            profiles: Profiles::default(),
            seed: Some([7; 32]),
            kind: Kind::Usb,
            speed: Speed::High,
            boot_counter: 1,
        }
    }
}

/// A bridge in front of a drive.
pub struct SimBridge<D: Drive> {
    bus: MemoryBus,
    device: Device<'static, MemoryBus>,
    endpoints: Endpoints<'static, MemoryBus>,
    bridge: Box<Bridge<'static, D, Software, RING>>,
    signer: Option<Signer>,
    speed: Speed,
    now: Micros,
    reconnects: u32,
}

impl<D: Drive> SimBridge<D> {
    /// A bridge that has just been powered up.
    ///
    /// # Panics
    ///
    /// If the descriptors do not fit, which no setup changes.
    #[allow(clippy::expect_used)] // a test that cannot begin has to fail
    pub fn new(setup: &Setup, drive: D) -> Self {
        let bus = MemoryBus::default();
        let allocator = Box::leak(Box::new(UsbBusAllocator::new(bus.clone())));
        let signer = setup.seed.as_ref().map(Signer::new);
        let public_key = signer.as_ref().map(Signer::public_key);
        let packet = if setup.speed == Speed::High { 512 } else { 64 };
        let endpoints = Endpoints::new(allocator, packet);
        let serial = public_key.map_or([b'0'; 24], |key| usb_serial(&key_id(&key)));
        let serial = Box::leak(String::from_utf8_lossy(&serial).into_owned().into_boxed_str());
        let device = build(allocator, serial, 0x0010).expect("descriptors");
        let config = Config {
            policy: setup.policy,
            policy_digest: POLICY_DIGEST,
            profiles: setup.profiles,
            hardware: "simulator",
            build: env!("CARGO_PKG_VERSION"),
            firmware_digest: wb_attest::sha256(&[b"simulator"]),
            protection: Protection::PlainFlash,
            public_key,
            boot_counter: setup.boot_counter,
            kind: setup.kind,
            bounds: Bounds::LARGE,
        };
        let bridge = Box::new(Bridge::new(
            config,
            drive,
            Software::new(),
            Box::leak(vec![0; STATEMENT].into()),
        ));
        let speed = setup.speed;
        Self { bus, device, endpoints, bridge, signer, speed, now: 0, reconnects: 0 }
    }

    /// One round of the board's main loop, `step` microseconds later.
    pub fn poll(&mut self, step: Micros) {
        self.now = self.now.saturating_add(step);
        let mut class = Class { endpoints: &mut self.endpoints, bridge: &mut self.bridge };
        self.device.poll(&mut [&mut class]);
        self.endpoints.update(self.device.bus());
        self.bridge.poll(&mut self.endpoints, self.now);
        match self.bridge.take_work() {
            Some(Work::Provision(entropy)) => self.provision(&entropy),
            Some(Work::Sign) => self.sign(),
            Some(Work::Reconnect) => {
                self.reconnects = self.reconnects.saturating_add(1);
                // What the host does about it is the test's matter.
                let _ = self.device.force_reset();
            }
            None => {}
        }
    }

    fn provision(&mut self, entropy: &[u8; 32]) {
        let mut maker = SeedMaker::new();
        maker.device(b"simulator: not a random source");
        let signer = Signer::new(&maker.finish(entropy, b"simulator"));
        self.bridge.provisioned(signer.public_key());
        self.signer = Some(signer);
    }

    fn sign(&mut self) {
        let Some(signer) = &self.signer else { return };
        let bridge = &self.bridge;
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

    /// Lets time pass without a request of the host: so many microseconds.
    pub fn idle(&mut self, time: Micros) {
        let end = self.now.saturating_add(time);
        while self.now < end {
            self.poll(IDLE_STEP.min(end.saturating_sub(self.now)));
        }
    }

    /// Lets time pass until `done`, at most `time` microseconds; whether it came to that.
    pub fn idle_until(&mut self, time: Micros, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now.saturating_add(time);
        while self.now < end && !done(self) {
            self.poll(IDLE_STEP);
        }
        done(self)
    }

    /// Waits until a drive is attached, served or refused; a minute at most.
    pub fn attach(&mut self) -> bool {
        self.idle_until(60_000_000, |bridge| bridge.bridge.drive().report().is_some())
    }

    /// The core.
    pub fn core(&self) -> &Bridge<'static, D, Software, RING> {
        &self.bridge
    }

    /// The drive side.
    pub fn drive_mut(&mut self) -> &mut D {
        self.bridge.drive_mut()
    }

    /// What the lights show.
    pub fn lights(&self) -> Lights {
        self.bridge.lights()
    }

    /// How often the bridge asked to be enumerated anew.
    pub fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// Microseconds since power-up.
    pub fn now(&self) -> Micros {
        self.now
    }

    fn patiently<T>(
        &mut self,
        mut attempt: impl FnMut(&MemoryBus) -> Handshake<T>,
    ) -> Handshake<T> {
        for _ in 0..PATIENCE {
            match attempt(&self.bus) {
                Handshake::Nak => self.poll(STEP),
                done => return done,
            }
        }
        Handshake::Nak
    }

    fn data_in(&mut self, endpoint: u8, max: usize, packet_bytes: usize) -> Handshake<Vec<u8>> {
        let mut data = Vec::new();
        while data.len() < max {
            match self.patiently(|bus| bus.host_in(endpoint)) {
                Handshake::Ack(packet) => {
                    let is_short = packet.len() < packet_bytes;
                    data.extend(packet);
                    // The device learns that the packet has left.
                    self.poll(STEP);
                    if is_short {
                        break;
                    }
                }
                Handshake::Nak if !data.is_empty() => break,
                Handshake::Stall if !data.is_empty() => break,
                other => return other,
            }
        }
        Handshake::Ack(data)
    }
}

impl<D: Drive> UsbDevice for SimBridge<D> {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        let [kind, .., low, high] = setup;
        let length = usize::from(u16::from_le_bytes([low, high]));
        self.bus.host_setup(setup);
        self.poll(STEP);
        let mut data = Vec::new();
        if kind & 0x80 != 0 {
            if length > 0 {
                match self.data_in(0, length, CONTROL_PACKET) {
                    Handshake::Ack(bytes) => data = bytes,
                    Handshake::Nak | Handshake::Stall => return Err(Stall),
                }
            }
            match self.patiently(|bus| bus.host_out(0, &[])) {
                Handshake::Ack(()) => self.poll(STEP),
                Handshake::Nak | Handshake::Stall => return Err(Stall),
            }
            return Ok(data);
        }
        for packet in data_out.chunks(CONTROL_PACKET) {
            match self.patiently(|bus| bus.host_out(0, packet)) {
                Handshake::Ack(()) => self.poll(STEP),
                Handshake::Nak | Handshake::Stall => return Err(Stall),
            }
        }
        match self.patiently(|bus| bus.host_in(0)) {
            Handshake::Ack(_) => {
                self.poll(STEP);
                Ok(data)
            }
            Handshake::Nak | Handshake::Stall => Err(Stall),
        }
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        let size = self.speed.bulk_packet_bytes();
        let mut taken = 0_usize;
        let packets: Vec<&[u8]> =
            if data.is_empty() { vec![data] } else { data.chunks(size).collect() };
        for packet in packets {
            match self.patiently(|bus| bus.host_out(endpoint, packet)) {
                Handshake::Ack(()) => {
                    taken = taken.saturating_add(packet.len());
                    self.poll(STEP);
                }
                Handshake::Stall if taken == 0 => return OutResult::Stall,
                Handshake::Nak if taken == 0 => return OutResult::Nak,
                Handshake::Stall | Handshake::Nak => break,
            }
        }
        OutResult::Ack(taken)
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        let size = self.speed.bulk_packet_bytes();
        match self.data_in(endpoint, max, size) {
            Handshake::Ack(data) => InResult::Data(data),
            Handshake::Stall => InResult::Stall,
            Handshake::Nak => InResult::Nak,
        }
    }

    fn reset(&mut self) {
        self.bus.host_reset();
        self.poll(STEP);
    }

    fn speed(&self) -> Speed {
        self.speed
    }

    fn tick(&mut self) {
        self.poll(STEP);
    }
}
