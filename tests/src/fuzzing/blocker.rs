//! The write blocker: hostile hosts, hostile commands, hostile drives, hostile statements.
//!
//! HWB-AM-01, D-07: whatever comes, the model drive behind the bridge, which obeys everything, is untouched, and nothing but command wrappers
//! reaches it. B12, B16: nothing panics, on either side.

use std::collections::VecDeque;

use wb_attest::{
    digest::Software,
    interface::Setup,
    statement::{Bounds, Protection, Signer},
    verify::{Expected, Signed},
};
use wb_bridge::{
    bridge::{Bridge, Config, Work},
    drive::Drive as _,
    pipes::Pipes,
    usb::{Settings, UsbDrive},
};
use wb_policy::{
    capture::{Bytes, Capture, Identify, IdentifyData, Kind},
    cbw::{Cbw, Cdb, Direction},
    down::CbwOut,
    geometry::Geometry,
    judge::{Action, Facts, Profiles, classify, classify_ata, judge},
    present,
    sense::{self, AtaRegisters, Sense},
    tables::{POLICY, POLICY_DIGEST},
};
use wb_sim::{
    controller::ModelController,
    drive::{AtaFields, DriveConfig, ModelDrive, judge_ata, judge_scsi},
    host::wrapper,
    usb::{FaultKind, ModelUsbDrive, Trigger, UsbFault, UsbOptions},
};

/// Packets of the bulk endpoints.
const PACKET: usize = 512;
/// Room for a statement.
const STATEMENT: usize = 32 << 10;
/// Log entries that wait.
const RING: usize = 16;
/// Events of one input.
const EVENTS: usize = 200;
/// Polls that an event is waited for: an attach with its time-outs takes more than a command.
const ATTACH_POLLS: usize = 40_000;
const EVENT_POLLS: usize = 300;
/// How far the clock moves with each.
const STEP: u64 = 5_000;

/// Both endpoints, as a controller with one buffer each has them.
#[derive(Default)]
struct Wires {
    to_bridge: VecDeque<Vec<u8>>,
    to_host: Option<Vec<u8>>,
    in_halted: bool,
    out_halted: bool,
}

impl Pipes for Wires {
    fn max_packet(&self) -> usize {
        PACKET
    }

    fn read(&mut self, packet: &mut [u8]) -> Option<usize> {
        let bytes = self.to_bridge.pop_front()?;
        packet[..bytes.len()].copy_from_slice(&bytes);
        Some(bytes.len())
    }

    fn write(&mut self, data: &[u8]) -> Option<usize> {
        if self.to_host.is_some() || self.in_halted {
            return None;
        }
        let packet = &data[..data.len().min(PACKET)];
        self.to_host = Some(packet.to_vec());
        Some(packet.len())
    }

    fn is_flushed(&mut self) -> bool {
        self.to_host.is_none()
    }

    fn stall_in(&mut self) {
        self.in_halted = true;
    }

    fn stall_out(&mut self) {
        self.out_halted = true;
    }

    fn is_in_stalled(&self) -> bool {
        self.in_halted
    }

    fn is_out_stalled(&self) -> bool {
        self.out_halted
    }
}

type Side = UsbDrive<ModelController<ModelUsbDrive>>;

/// A bridge in front of the model drive, without a USB device around it.
struct Bench<'b> {
    bridge: Bridge<'b, Side, Software, RING>,
    wires: Wires,
    signer: Signer,
    digest: [u8; 32],
    now: u64,
    statuses: u64,
}

impl<'b> Bench<'b> {
    fn new(config: DriveConfig, options: UsbOptions, statement: &'b mut [u8]) -> Self {
        let drive = ModelDrive::new(config);
        let digest = drive.state_digest();
        let controller = ModelController::new(ModelUsbDrive::new(drive, options), 8192);
        let profiles = Profiles { ident: true, smart: true };
        let settings = Settings { profiles, is_listed: |_, _, _| true };
        let signer = Signer::new(&[7; 32]);
        let config = Config {
            policy: &POLICY,
            policy_digest: POLICY_DIGEST,
            profiles,
            hardware: "fuzz",
            build: "fuzz",
            firmware_digest: [9; 32],
            protection: Protection::PlainFlash,
            public_key: Some(signer.public_key()),
            boot_counter: 1,
            kind: Kind::Usb,
            bounds: Bounds::LARGE,
        };
        let side = UsbDrive::new(controller, settings);
        let bridge = Bridge::new(config, side, Software::new(), statement);
        Self { bridge, wires: Wires::default(), signer, digest, now: 0, statuses: 0 }
    }

    fn poll(&mut self) {
        self.now += STEP;
        self.bridge.poll(&mut self.wires, self.now);
        match self.bridge.take_work() {
            Some(Work::Sign) => self.sign(),
            Some(Work::Provision(_)) => unreachable!("there is a key"),
            // The host enumerates anew.
            Some(Work::Reconnect) => self.bus_reset(),
            None => {}
        }
    }

    fn bus_reset(&mut self) {
        self.wires = Wires::default();
        self.bridge.bus_reset();
    }

    fn sign(&mut self) {
        let bridge = &self.bridge;
        let signature = self.signer.sign_in_chunks(|take| {
            let mut from = 0;
            while let Some(next) = bridge.to_sign(from, take) {
                from = next;
            }
        });
        if let Ok(signature) = signature {
            self.bridge.signed(&signature);
        }
    }

    fn attach(&mut self) {
        for _ in 0..ATTACH_POLLS {
            if self.bridge.drive().report().is_some() {
                break;
            }
            self.poll();
        }
        // The bridge leaves the bus and returns.
        self.poll();
    }

    /// A packet to the bulk-OUT endpoint, if it is not halted.
    fn send(&mut self, packet: &[u8]) {
        if !self.wires.out_halted && self.wires.to_bridge.len() < 4 {
            self.wires.to_bridge.push_back(packet.to_vec());
        }
        self.poll();
    }

    /// A packet from the bulk-IN endpoint; a halt is cleared.
    fn take(&mut self) -> Option<Vec<u8>> {
        for _ in 0..EVENT_POLLS {
            if let Some(packet) = self.wires.to_host.take() {
                self.statuses += u64::from(packet.len() == 13 && packet.starts_with(b"USBS"));
                self.poll();
                return Some(packet);
            }
            if self.wires.in_halted {
                self.wires.in_halted = false;
                self.poll();
            }
            self.poll();
        }
        None
    }

    /// A command with its data phase up to its status.
    fn command(&mut self, cdb: &[u8], length: u32, flags: u8) {
        self.send(&wrapper(1, length, flags, cdb));
        if flags == 0 {
            for _ in 0..length.div_ceil(512).min(8) {
                self.send(&[0; PACKET]);
            }
        }
        for _ in 0..40 {
            match self.take() {
                Some(packet) if packet.starts_with(b"USBS") => break,
                Some(_) => {}
                None => break,
            }
        }
    }

    fn control(&mut self, bytes: [u8; 8], data: &[u8]) -> Option<Vec<u8>> {
        let [request_type, request, v0, v1, i0, i1, l0, l1] = bytes;
        let setup = Setup {
            request_type,
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        };
        let answer = if request_type & 0x80 != 0 {
            let mut out = [0; 256];
            let length = self.bridge.control_in(&setup, &mut out);
            length.map(|length| out[..length].to_vec())
        } else {
            self.bridge.control_out(&setup, data).then(Vec::new)
        };
        self.poll();
        answer
    }

    /// A statement in the making is signed at the next polls; it has to verify.
    fn statement(&mut self) {
        let start = self.control([0x41, 2, 0, 0, 1, 0, 32, 0], &[1; 32]);
        let finish = self.control([0x41, 4, 0, 0, 1, 0, 32, 0], &[2; 32]);
        if start.is_none() || finish.is_none() {
            // No drive, or it went in between, which ends the session.
            assert!(finish.is_none() && !self.has_session());
            return;
        }
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..STATEMENT / 64 {
            let [o0, o1] = u16::try_from(bytes.len() / 64).expect("small").to_le_bytes();
            let Some(more) = self.control([0xC1, 5, o0, o1, 1, 0, 192, 0], &[]) else { break };
            bytes.extend(&more);
            if more.len() < 192 {
                break;
            }
        }
        assert!(!bytes.is_empty(), "a statement that was asked for is there");
        let signed = Signed::parse(&bytes).expect("our own statement");
        let statement = signed.verify(&self.signer.public_key()).expect("our own key");
        assert!(statement.counters.total.adds_up());
        self.statuses += 1;
    }

    /// Bit 2 of the flags of INFO.
    fn has_session(&mut self) -> bool {
        let info =
            self.control([0xC1, 1, 0, 0, 1, 0, 160, 0], &[]).expect("INFO is always answered");
        info[7] & 4 != 0
    }

    /// Rule 3 of the policy's section 1, and HWB-AM-01.
    fn check(&self) {
        let controller = self.bridge.drive().host();
        let device = controller.device();
        let drive = device.drive(0).expect("unit 0");
        assert_eq!(drive.violations().map(|entry| entry.name).next(), None);
        assert_eq!(drive.state_digest(), self.digest);
        assert!(device.only_cbws());
        for transfer in controller.bulk_out() {
            assert!(transfer.len() == 31 && transfer.starts_with(b"USBC"));
            assert!(transfer[8..12] == [0; 4] || transfer[12] == 0x80, "{transfer:02X?}");
        }
        assert_eq!(controller.violations(), Vec::<String>::new());
        let emitted = self.bridge.drive().emitted();
        assert_eq!(emitted.bytes, 31 * emitted.wrappers);
    }
}

/// Bytes of an input, taken from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut own = [0; N];
        for (own, byte) in own.iter_mut().zip(self.bytes(N)) {
            *own = *byte;
        }
        own
    }
}

/// A stream of what a host does: packets, wrappers, control requests, resets, halts, time; and a cable that is pulled. Gives the number
/// of commands that were answered.
pub fn wb_host(bytes: &[u8]) -> u64 {
    let mut statement = vec![0; STATEMENT];
    let mut bench = Bench::new(DriveConfig::default(), UsbOptions::default(), &mut statement);
    bench.attach();
    let mut input = Cursor(bytes);
    for _ in 0..EVENTS {
        let Some(event) = input.byte() else { break };
        host_event(&mut bench, event, &mut input);
    }
    bench.check();
    // Whatever was done to it, it answers a host that begins anew, once the drive that was plugged in has been noticed.
    bench.bridge.drive_mut().host_mut().plug();
    for _ in 0..EVENT_POLLS {
        bench.poll();
    }
    bench.attach();
    bench.bus_reset();
    let before = bench.statuses;
    bench.command(&[0; 6], 0, 0);
    assert!(bench.statuses > before, "the bridge does not answer any more");
    bench.check();
    bench.statuses - 1
}

fn host_event(bench: &mut Bench<'_>, event: u8, input: &mut Cursor<'_>) {
    match event % 12 {
        0 => {
            let length = usize::from(input.byte().unwrap_or(31)) % 65;
            let packet = input.bytes(length);
            bench.send(packet);
        }
        1..=3 => {
            let [n0, n1, flags, length] = input.array();
            let cdb = input.bytes(usize::from(length % 17));
            let flags = flags & 0x80;
            bench.command(cdb, u32::from(u16::from_le_bytes([n0, n1])), flags);
        }
        // A wrapper, and then nothing of its data phase.
        4 => {
            let [n0, n1, n2, flags, length] = input.array();
            let cdb = input.bytes(usize::from(length % 17));
            let length = u32::from_le_bytes([n0, n1, n2, 0]);
            bench.send(&wrapper(2, length, flags & 0x80, cdb));
        }
        5 => drop(bench.take()),
        6 => bench.send(&[event; PACKET]),
        7 => {
            let setup = input.array();
            let data = input.bytes(usize::from(setup[6].min(64)));
            drop(bench.control(setup, data));
        }
        8 => drop(bench.control([0x21, 0xFF, 0, 0, 0, 0, 0, 0], &[])),
        9 => {
            bench.wires.in_halted = false;
            bench.wires.out_halted = false;
            bench.poll();
        }
        10 => match input.byte().unwrap_or(0) % 4 {
            0 => bench.bus_reset(),
            1 => bench.bridge.drive_mut().host_mut().unplug(),
            2 => bench.bridge.drive_mut().host_mut().plug(),
            _ => bench.statement(),
        },
        _ => {
            for _ in 0..input.byte().unwrap_or(0) {
                bench.poll();
            }
        }
    }
}

/// A command and what is known about the session. What is judged harmless must be so in the eyes of the model, inside the drive, and
/// what is answered must fit the room for it. Gives 1 for a command that is not refused.
pub fn wb_cdb(bytes: &[u8]) -> u64 {
    let mut input = Cursor(bytes);
    let [flags, announced, pdt, direction, t0, t1, t2, t3] = input.array();
    let blocks = u64::from_le_bytes(input.array()) >> (flags % 48);
    let pages: [u8; 4] = input.array();
    let Some(cdb) = Cdb::new(input.bytes(16)) else { return 0 };
    let capture = capture(flags, announced, pdt, blocks, pages);
    let facts = Facts {
        profiles: Profiles { ident: flags & 1 != 0, smart: flags & 2 != 0 },
        capture: &capture,
        last_sense: (flags & 0x80 != 0).then_some(sense::NEEDS_START),
    };
    let direction = if direction & 1 == 0 { Direction::Out } else { Direction::In };
    let transfer = u32::from_le_bytes([t0, t1, t2, t3]);
    let cbw = Cbw { tag: 0, transfer, direction, lun: 0, cdb };
    let judged = [judge(&POLICY, &facts, &cbw), classify(&POLICY, &facts, &cdb)];
    for judgement in judged.iter().chain(&classify_ata(&POLICY, &facts, &cdb)) {
        check_action(&judgement.action, &facts, blocks, pdt);
    }
    u64::from(!matches!(judged[1].action, Action::Refuse(_)))
}

fn capture(flags: u8, announced: u8, pdt: u8, blocks: u64, pages: [u8; 4]) -> Capture {
    let mut capture = Capture::empty(if flags & 4 == 0 { Kind::Usb } else { Kind::Card });
    let mut inquiry = [0; 36];
    inquiry[0] = pdt;
    inquiry[1] = flags & 8;
    capture.inquiry = Bytes::new(&inquiry);
    capture.geometry = (blocks > 0).then_some(Geometry { blocks, block_bytes: 512 });
    capture.listed_bridge = flags & 0x10 != 0;
    let mut data = [0; 512];
    data[164] = announced & 1;
    data[165] = announced & 4;
    data[167] = 0x40 | announced & 0x0C;
    data[168] = announced & 0x20;
    data[169] = 0x40;
    data[239] = 0x40 | announced & 1;
    data[510] = 0xA5;
    data[511] = data.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    capture.identify = Identify::Valid(IdentifyData(data));
    let mut directory = [0; 512];
    for log in 0..256 {
        directory[log * 2] = pages[log % 4];
    }
    capture.log_directory = wb_policy::capture::Asked::Value(directory);
    capture
}

fn check_action(action: &Action, facts: &Facts<'_>, blocks: u64, pdt: u8) {
    match action {
        Action::Read(Some(range)) => {
            assert!(u128::from(range.lba()) + u128::from(range.blocks()) <= u128::from(blocks));
        }
        Action::Send(command) => {
            let out = CbwOut::new(3, 0, command, 512).expect("the second list knows it");
            let bytes = out.as_bytes();
            let cdb = &bytes[15..15 + usize::from(bytes[14])];
            assert!(bytes[8..12] == [0; 4] || bytes[12] == 0x80);
            assert!(!is_modifying(cdb, pdt), "{cdb:02X?} would be sent");
        }
        Action::Answer(answer) => {
            let sense = Sense::new(sense::NO_SENSE);
            let registers = AtaRegisters::default();
            let ident = facts.profiles.ident;
            let state = present::State {
                capture: facts.capture,
                sense: &sense,
                registers: &registers,
                ident,
            };
            let offered = wb_policy::judge::opcodes::offered(&POLICY, facts);
            let mut out = [0; present::ANSWER_BYTES];
            let length = present::answer(answer, &state, offered, &mut out);
            assert!(length <= out.len() && length as u64 <= u64::from(answer.allocation()));
        }
        Action::Read(None) | Action::Good | Action::Refuse(_) => {}
    }
}

fn is_modifying(cdb: &[u8], pdt: u8) -> bool {
    match cdb[0] {
        0x85 => {
            let word = |at: usize| u16::from_be_bytes([cdb[at], cdb[at + 1]]);
            let lba = [0, 0, cdb[11], cdb[9], cdb[7], cdb[12], cdb[10], cdb[8]];
            judge_ata(AtaFields {
                command: cdb[14],
                features: word(3),
                count: word(5),
                lba: u64::from_be_bytes(lba),
            })
            .modifying
        }
        0xA1 => cdb[9] != 0xEC,
        _ => judge_scsi(cdb, pdt).modifying,
    }
}

/// A drive that answers with the input: replies to commands, descriptors, faults of its transport. The attach, some commands and a
/// statement have to go through or fail as they should. Gives the number of commands that were answered.
pub fn wb_drive(bytes: &[u8]) -> u64 {
    const OPCODES: [&[u8]; 12] = [
        &[0x12, 0],
        &[0x12, 1, 0x00],
        &[0x12, 1, 0x80],
        &[0x12, 1, 0x83],
        &[0x12, 1, 0x89],
        &[0x12, 1, 0xB0],
        &[0x12, 1],
        &[0x25],
        &[0x9E],
        &[0x1A],
        &[0x85],
        &[0x4D],
    ];
    let mut input = Cursor(bytes);
    let mut config = DriveConfig::default();
    let mut options = UsbOptions::default();
    for _ in 0..16 {
        let Some(kind) = input.byte() else { break };
        let [l0, l1] = input.array();
        match kind {
            0..=0x7F => {
                let reply = input.bytes(usize::from(u16::from_le_bytes([l0, l1 & 3])));
                let start = OPCODES[usize::from(kind) % OPCODES.len()];
                config.faults.replies.push((start.to_vec(), reply.to_vec()));
            }
            0x80..=0xBF => {
                let descriptor = input.bytes(usize::from(u16::from_le_bytes([l0, l1 & 1])));
                let which = [(1, 0), (2, 0), (3, 0), (3, 3)][usize::from(kind) % 4];
                options.descriptors.push((which, descriptor.to_vec()));
            }
            _ => options.faults.push(UsbFault {
                trigger: if l0 & 0x80 == 0 {
                    Trigger::Command((l0 & 0x3F).into())
                } else {
                    Trigger::Opcode([0x00, 0x12, 0x25, 0x28, 0x85][usize::from(l0) % 5])
                },
                kind: fault(kind, l1),
            }),
        }
    }
    let mut statement = vec![0; STATEMENT];
    let mut bench = Bench::new(config, options, &mut statement);
    bench.attach();
    bench.command(&[0; 6], 0, 0);
    bench.command(&[0x12, 0, 0, 0, 96, 0], 96, 0x80);
    bench.command(&[0x12, 1, 0x83, 0, 255, 0], 255, 0x80);
    bench.command(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 0x80);
    bench.command(&[0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32, 0x80);
    bench.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0], 2048, 0x80);
    bench.command(&[0x28, 0, 0, 0, 0xFF, 0xFF, 0, 0, 1, 0], 512, 0x80);
    bench.command(&[0x85, 8, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xEC, 0], 512, 0x80);
    bench.command(&[0x4D, 0, 0x40, 0, 0, 0, 0, 0, 64, 0], 64, 0x80);
    bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512, 0x00);
    bench.statement();
    bench.check();
    bench.statuses
}

fn fault(kind: u8, value: u8) -> FaultKind {
    match kind % 10 {
        0 => FaultKind::ShortData(value.into()),
        1 => FaultKind::WrongTag,
        2 => FaultKind::WrongSignature,
        3 => FaultKind::ResidueTooLarge,
        4 => FaultKind::PhaseError,
        5 => FaultKind::ReservedStatus(value.max(3)),
        6 => FaultKind::ShortCsw,
        7 => FaultKind::StallData,
        8 => FaultKind::StallCsw,
        _ => FaultKind::Hang,
    }
}

/// A statement: what is read is what stands there, to the byte, in all its files; nobody else's key verifies it. Gives 1 for a statement.
pub fn wb_statement(bytes: &[u8]) -> u64 {
    let Ok(signed) = Signed::parse(bytes) else { return 0 };
    assert_eq!(signed.cbor(), bytes);
    let again = Signed::from_files(signed.cbor(), &signed.tbs(), signed.signature());
    assert_eq!(again.as_ref(), Ok(&signed));
    assert!(bytes.ends_with(signed.signature()));
    for key in [[0; 32], [7; 32], Signer::new(&[8; 32]).public_key()] {
        assert!(signed.verify(&key).is_err());
    }
    let expected = Expected {
        start_nonce: [1; 32],
        end_nonce: [2; 32],
        firmware: Some([3; 32]),
        policy: Some(POLICY_DIGEST),
    };
    drop(signed.unverified().findings(&expected));
    1
}

/// Seeds of the four targets, by target and name.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, cdb) in [
        ("read", &[0x28, 0, 0, 0, 0, 9, 0, 0, 4, 0][..]),
        ("write", &[0x2A, 0, 0, 0, 0, 9, 0, 0, 4, 0]),
        ("sanitize", &[0x48, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("identify", &[0x85, 8, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xEC, 0]),
        ("log", &[0x85, 9, 0x0E, 0, 0, 0, 1, 0, 0x30, 0, 1, 0, 0, 0x40, 0x2F, 0]),
        ("power", &[0x85, 6, 0x2C, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE5, 0]),
        ("inquiry", &[0x12, 0, 0, 0, 255, 0]),
        ("mode", &[0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255, 0]),
        ("opcodes", &[0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]),
        ("zones", &[0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]),
        ("security", &[0xA2, 1, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0]),
    ] {
        let (length, flags) = match cdb[0] {
            0x2A => (2048_u16, 0x00),
            0x48 => (0, 0),
            0x85 if cdb[14] == 0xE5 => (0, 0),
            0x28 => (2048, 0x80),
            _ => (512, 0x80),
        };
        let [n0, n1] = length.to_le_bytes();
        let mut host = Vec::new();
        // The unit attention is taken, the command sent, a session asked for, the bus reset.
        host.extend([1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0]);
        host.extend([1, n0, n1, flags, cdb.len() as u8]);
        host.extend(cdb);
        host.extend([10, 3, 8, 9, 4, n0, n1, 0, flags, cdb.len() as u8]);
        host.extend(cdb);
        host.extend([5, 10, 0, 11, 20]);
        all.push(("wb_host", name.to_owned(), host));
        let mut judged = vec![0x13, 0xFF, 0, u8::from(flags != 0), n0, n1, 0, 0];
        judged.extend(u64::MAX.to_le_bytes());
        judged.extend([9; 4]);
        judged.extend(cdb);
        if name != "write" && name != "sanitize" {
            all.push(("wb_cdb", name.to_owned(), judged));
        }
    }
    for (name, kind) in [
        ("silent", 0x00),
        ("inquiry", 0x01),
        ("capacity", 0x07),
        ("identify", 0x0A),
        ("descriptor", 0x81),
        ("tag", 0xC1),
    ] {
        let mut drive = vec![kind, 36, 0];
        drive.extend((0..36).map(|byte: u8| byte.wrapping_mul(7)));
        all.push(("wb_drive", name.to_owned(), drive));
    }
    let mut statement = vec![0; STATEMENT];
    let mut bench = Bench::new(DriveConfig::default(), UsbOptions::default(), &mut statement);
    bench.attach();
    bench.command(&[0; 6], 0, 0);
    bench.control([0x41, 2, 0, 0, 1, 0, 32, 0], &[1; 32]);
    for lba in (0..32_u8).step_by(8) {
        bench.command(&[0x28, 0, 0, 0, lba, 0, 0, 0, 16, 0], 8192, 0x80);
    }
    bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512, 0);
    bench.control([0x41, 4, 1, 0, 1, 0, 32, 0], &[2; 32]);
    bench.poll();
    let mut bytes: Vec<u8> = Vec::new();
    while let Some(more) = {
        let [o0, o1] = u16::try_from(bytes.len() / 64).expect("small").to_le_bytes();
        bench.control([0xC1, 5, o0, o1, 1, 0, 192, 0], &[])
    } {
        bytes.extend(&more);
        if more.len() < 192 {
            break;
        }
    }
    all.push(("wb_statement", "checkpoint".to_owned(), bytes));
    all
}
