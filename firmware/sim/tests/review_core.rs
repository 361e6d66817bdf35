//! Review of issue 4: scenarios in which the core does not do what the published policy and requirements say. Each test states what should be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::collections::VecDeque;

use common::{bridge, controller, read10};
use wb_attest::{
    interface::{Ending, Info, Request, flag},
    verify::{Signed, Statement},
};
use wb_bridge::{
    Micros,
    drive::{
        CardIdentity, Completion, Drive, DriveEvent, Emitted, Fault, Identity, Report, Slot,
        Status, UsbIdentity,
    },
    usb::{Settings, UsbDrive},
};
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    down::DownCommand,
    geometry::Geometry,
    sense::Sense,
};
use wb_sim::{
    bridge::{Setup, SimBridge},
    controller::ModelController,
    drive::{DriveConfig, ModelDrive},
    host::{Host, Phase, wrapper},
    usb::{InResult, ModelUsbDrive, Stall, UsbDevice, UsbOptions},
};

const NONCE: [u8; 32] = [0x33; 32];

fn send<U: UsbDevice>(
    host: &mut Host<U>,
    request: &Request,
    data: &[u8],
) -> Result<Vec<u8>, Stall> {
    let setup = request.setup().unwrap();
    let [v0, v1] = setup.value.to_le_bytes();
    let [i0, i1] = setup.index.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    let bytes = [setup.request_type, setup.request, v0, v1, i0, i1, l0, l1];
    host.device_mut().control(bytes, data)
}

fn info<U: UsbDevice>(host: &mut Host<U>) -> Info {
    Info::parse(&send(host, &Request::Info, &[]).unwrap()).unwrap()
}

fn finish<D: Drive>(host: &mut Host<SimBridge<D>>, ending: Ending) -> Statement {
    send(host, &Request::Finish(ending), &NONCE).unwrap();
    host.device_mut().idle(10_000);
    let info = info(host);
    let mut bytes = Vec::new();
    while bytes.len() < info.statement as usize {
        let request = Request::Statement { offset: bytes.len() as u32, room: info.answer };
        bytes.extend(send(host, &request, &[]).unwrap());
    }
    Signed::parse(&bytes).unwrap().verify(&info.public_key).unwrap().clone()
}

/// A drive whose events and completions the test decides.
struct Fake {
    report: Option<Report>,
    events: VecDeque<DriveEvent>,
    answers: VecDeque<Completion>,
    slots: [Vec<u8>; 2],
    started: Vec<DownCommand>,
    emitted: Emitted,
}

impl Drive for Fake {
    fn slot_bytes(&self) -> usize {
        32 << 10
    }
    fn poll(&mut self, _now: Micros) -> Option<DriveEvent> {
        self.events.pop_front()
    }
    fn start(&mut self, command: &DownCommand, slot: Slot, _now: Micros) -> bool {
        self.started.push(*command);
        let length = match command {
            DownCommand::Read(range) => range.blocks() * 512,
            _ => 0,
        };
        self.slots[usize::from(slot == Slot::B)] = vec![0xA5; length as usize];
        let good = Completion { status: Status::Good, delivered: length };
        let answer = self.answers.pop_front().unwrap_or(good);
        self.events.push_back(DriveEvent::Done(answer));
        true
    }
    fn data(&self, slot: Slot) -> &[u8] {
        &self.slots[usize::from(slot == Slot::B)]
    }
    fn abandon(&mut self, _now: Micros) {
        self.events.retain(|event| !matches!(event, DriveEvent::Done(_)));
    }
    fn is_vacant(&self) -> bool {
        self.report.is_none()
    }
    fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }
    fn emitted(&self) -> &Emitted {
        &self.emitted
    }
}

fn report(kind: Kind, blocks: Option<u64>) -> Report {
    let mut capture = Capture::empty(kind);
    let removable = if kind == Kind::Card { 0x80 } else { 0 };
    let mut inquiry = vec![0, removable, 5, 2, 31, 0, 0, 0];
    inquiry.resize(36, b' ');
    capture.inquiry = Bytes::new(&inquiry);
    capture.geometry = blocks.map(|blocks| Geometry { blocks, block_bytes: 512 });
    let identity = match kind {
        Kind::Card => Identity::Card(CardIdentity {
            cid: [1; 16],
            csd: [2; 16],
            scr: None,
            status: None,
            crc_checked: true,
        }),
        Kind::Usb => Identity::Usb(UsbIdentity {
            vendor: 1,
            product: 2,
            release: 3,
            serial: Bytes::default(),
            descriptors: [0; 32],
            units: 1,
            unit: 0,
        }),
    };
    Report {
        capture,
        identity,
        steps: Default::default(),
        not_run: Default::default(),
        refused: None,
        own_before: 0,
    }
}

fn fake(kind: Kind, blocks: Option<u64>) -> Host<SimBridge<Fake>> {
    let drive = Fake {
        report: Some(report(kind, blocks)),
        events: [DriveEvent::Attached].into(),
        answers: VecDeque::new(),
        slots: [Vec::new(), Vec::new()],
        started: Vec::new(),
        emitted: Emitted::default(),
    };
    let setup = Setup { kind, ..Setup::default() };
    let mut host = Host::new(SimBridge::new(&setup, drive));
    host.device_mut().idle(10_000);
    assert!(host.enumerate());
    assert_eq!(host.command(&[0; 6], Phase::None).unwrap().status, 1);
    host.sense().unwrap();
    host
}

/// Requirements 5.3: a final statement closes the session and stays until the next START or power-off.
#[test]
fn a_final_statement_outlives_the_drive() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &NONCE).unwrap();
    read10(&mut host, 0, 2048);
    send(&mut host, &Request::Finish(Ending::Final), &NONCE).unwrap();
    host.device_mut().idle(10_000);
    assert!(info(&mut host).has(flag::STATEMENT));
    host.device_mut().drive_mut().host_mut().unplug();
    host.device_mut().idle(1_000_000);
    host.enumerate();
    assert!(info(&mut host).has(flag::STATEMENT), "the signed final statement is gone");
}

/// Requirements 4.5, 5.2: PROVISION only while no drive is attached.
#[test]
fn no_provisioning_while_a_drive_is_being_captured() {
    let setup = Setup { seed: None, ..Setup::default() };
    let drive = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), UsbOptions::default());
    let settings = Settings { profiles: setup.profiles, is_listed: |_, _, _| false };
    let drive = UsbDrive::new(ModelController::new(drive, common::SLOT_BYTES), settings);
    let mut host = Host::new(SimBridge::new(&setup, drive));
    // Long enough for the debounce and the reset: the drive is on its port, and is being asked who it is.
    host.device_mut().idle(230_000);
    assert!(host.enumerate());
    assert!(!controller(&host).requests().is_empty(), "the drive has been talked to");
    assert!(host.device().core().drive().report().is_none(), "the capture is not over");
    assert!(
        send(&mut host, &Request::Provision, &NONCE).is_err(),
        "provisioned with a drive attached"
    );
}

/// Policy 5.5, 7.4: an exchange of the medium is told by 06h/28h; a reset of the bus does not swallow it.
#[test]
fn a_bus_reset_does_not_swallow_the_medium_change() {
    let mut host = fake(Kind::Card, Some(1000));
    host.device_mut().drive_mut().report = Some(report(Kind::Card, Some(5000)));
    host.device_mut().drive_mut().events.push_back(DriveEvent::Changed);
    host.device_mut().idle(10_000);
    assert!(host.enumerate());
    let mut told = Vec::new();
    for _ in 0..3 {
        if host.command(&[0; 6], Phase::None).unwrap().status == 1 {
            told.push(host.sense().unwrap().0);
        }
    }
    assert!(told.contains(&[0x06, 0x28, 0x00]), "told {told:02X?}, then served another medium");
}

/// Requirements 4.4: an entry is made when all bytes of a chunk have left for the host.
#[test]
fn no_entry_for_bytes_that_never_left() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &NONCE).unwrap();
    host.raw(&wrapper(0x99, 1 << 20, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0]));
    let mut got = 0;
    while got < (1 << 20) - 512 {
        if let InResult::Data(bytes) = host.device_mut().bulk_in(1, 512) {
            got += bytes.len();
        }
    }
    // The host never takes the last packet.
    assert!(host.enumerate());
    assert_eq!(got, (1 << 20) - 512);
    assert_eq!(info(&mut host).entries, 0, "an entry for a chunk that the host never got");
}

/// Requirements 4.2, 4.4: what left before START is not in its log.
#[test]
fn what_left_before_start_is_in_no_entry() {
    let mut host = bridge(DriveConfig::default());
    host.raw(&wrapper(0x99, 1 << 20, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0]));
    let mut got = 0;
    let mut take = |host: &mut common::Bridge, until: usize| {
        while got < until {
            if let InResult::Data(bytes) = host.device_mut().bulk_in(1, 512) {
                got += bytes.len();
            }
        }
    };
    take(&mut host, 16 << 10);
    send(&mut host, &Request::Start, &NONCE).unwrap();
    take(&mut host, 1 << 20);
    host.device_mut().idle(1_000);
    assert_eq!(info(&mut host).entries, 0, "16 KiB of this chunk left before START");
}

/// Requirements 4.3: a command counted as forwarded went to the drive.
#[test]
fn a_phase_error_is_not_counted_as_forwarded() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &NONCE).unwrap();
    let sent = controller(&host).bulk_out().len();
    let outcome = host.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::None).unwrap();
    assert_eq!((outcome.status, controller(&host).bulk_out().len()), (2, sent));
    let statement = finish(&mut host, Ending::Final);
    let counters = &statement.counters;
    assert_eq!(counters.total.forwarded - counters.total_at_start.forwarded, 0);
}

/// Policy 5.5: another medium is another segment: what was refused for the one before is not in its statement.
#[test]
fn refusals_do_not_follow_to_the_next_medium() {
    let mut host = fake(Kind::Card, Some(1000));
    host.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512)).unwrap();
    assert_eq!(info(&mut host).refused, 1);
    host.device_mut().drive_mut().events.push_back(DriveEvent::Changed);
    host.device_mut().idle(10_000);
    send(&mut host, &Request::Start, &NONCE).unwrap();
    let statement = finish(&mut host, Ending::Final);
    assert_eq!(statement.refusals.modifying, 0, "a write to the medium before");
}

/// Policy 3.6: REPORT ZONES is forwarded or fails; GOOD without data is neither.
#[test]
fn report_zones_without_a_size_is_not_good() {
    let mut host = fake(Kind::Usb, None);
    let cdb = [0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0];
    let outcome = host.command(&cdb, Phase::In(64)).unwrap();
    assert_eq!(host.device_mut().drive_mut().started.len(), 0);
    assert_eq!(outcome.status, 1, "GOOD without asking the drive, {} bytes", outcome.data.len());
}

/// Policy 3.1: INFORMATION is the failing block, or VALID is 0. Fixed format has no room for a block above 32 bits.
#[test]
fn no_wrong_failing_block_above_two_tebibytes() {
    let mut host = fake(Kind::Usb, Some(1 << 33));
    // A bridge that cuts the address: block 1_0000_0005h is told as 5.
    let mut bytes = [0; 18];
    bytes[..8].copy_from_slice(&[0xF0, 0, 3, 0, 0, 0, 5, 10]);
    bytes[12] = 0x11;
    let check = Completion { status: Status::Check(Sense::of_drive(&bytes)), delivered: 0 };
    host.device_mut().drive_mut().answers.push_back(check);
    let cdb = [0x88, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0];
    assert_eq!(host.command(&cdb, Phase::In(512)).unwrap().status, 1);
    let sense = host.sense().unwrap().1;
    assert_eq!(sense[0] & 0x80, 0, "VALID with block {:02X?}", &sense[3..7]);
}

/// Policy 6.3: bytes that are missing are an error; RECOVERED ERROR and NO SENSE are none to a host.
#[test]
fn missing_bytes_are_not_recovered() {
    for key in [0, 1] {
        let mut host = fake(Kind::Usb, Some(1000));
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&[0x70, 0, key, 0, 0, 0, 0, 10]);
        let check = Completion { status: Status::Check(Sense::of_drive(&bytes)), delivered: 512 };
        host.device_mut().drive_mut().answers.push_back(check);
        let outcome = host.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0], Phase::In(2048)).unwrap();
        assert_eq!((outcome.status, outcome.data.len()), (1, 0));
        let code = host.sense().unwrap().0;
        assert!(code[0] > 1, "2048 bytes are missing, and the host is told {code:02X?}");
    }
}

/// Decision 0007, 1 and D-02: good blocks are never thrown away with a bad neighbour, whatever way the drive fails.
#[test]
fn good_blocks_survive_a_short_transfer() {
    let mut host = fake(Kind::Usb, Some(1000));
    let short = Completion { status: Status::Fault(Fault::ShortData), delivered: 20 * 512 };
    host.device_mut().drive_mut().answers.push_back(short);
    let outcome = host.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 64, 0], Phase::In(32 << 10)).unwrap();
    let asked = host.device_mut().drive_mut().started.len();
    assert!(outcome.data.len() >= 20 * 512, "{} bytes, {asked} commands", outcome.data.len());
}

fn removable(stamp: u64) -> DriveConfig {
    use wb_sim::drive::Base;
    DriveConfig { removable: true, base: Base::Stamp(stamp), ..DriveConfig::default() }
}

/// Reads block 0 until it is GOOD; what the host was told on the way.
fn read_until_good(host: &mut common::Bridge) -> (Vec<u8>, Vec<[u8; 3]>) {
    let mut told = Vec::new();
    for _ in 0..20 {
        let outcome = host.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::In(512)).unwrap();
        if outcome.status == 0 {
            return (outcome.data, told);
        }
        told.push(host.sense().unwrap().0);
        host.device_mut().idle(100_000);
    }
    (Vec::new(), told)
}

fn with_first_medium() -> (common::Bridge, Vec<u8>) {
    let mut host = bridge(removable(1));
    send(&mut host, &Request::Start, &NONCE).unwrap();
    let (first, _) = read_until_good(&mut host);
    let drive = host.device_mut().drive_mut().host_mut().device_mut().drive_mut(0).unwrap();
    drive.exchange_medium(removable(2));
    (host, first)
}

/// What must hold once the other medium's data came: the session ended, or the host was told.
fn judge_exchange(host: &mut common::Bridge, first: &[u8], what: &str) -> Option<String> {
    let (data, told) = read_until_good(host);
    let other = !data.is_empty() && data != first;
    let open = info(host).has(flag::SESSION);
    let silent = !told.contains(&[6, 0x28, 0]);
    (other && (open || silent)).then(|| format!("{what}: session open {open}, told {told:02X?}"))
}

/// B23, policy 5.5: the exchange of a medium is noticed also when the answer to REQUEST SENSE is lost on the drive's bus.
#[test]
fn an_exchange_is_noticed_although_its_sense_is_lost() {
    use wb_sim::controller::Injected;
    let mut found = Vec::new();
    for fault in [Injected::AnswerLost, Injected::Babble] {
        for offset in 0..12 {
            let (mut host, first) = with_first_medium();
            let next = controller(&host).transfers() + offset;
            host.device_mut().drive_mut().host_mut().inject(next, fault);
            found.extend(judge_exchange(&mut host, &first, &format!("{fault:?} {offset}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The same when the host resets its bus while the bridge asks for the sense.
#[test]
fn an_exchange_is_noticed_although_the_host_resets_its_bus() {
    let mut found = Vec::new();
    for ticks in 0..60 {
        let (mut host, first) = with_first_medium();
        host.raw(&wrapper(0x77, 512, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
        (0..ticks).for_each(|_| host.device_mut().tick());
        assert!(host.enumerate());
        found.extend(judge_exchange(&mut host, &first, &format!("{ticks} polls")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Bulk-Only Transport 5.3.4: after reset recovery the next command wrapper is taken, without a new enumeration.
#[test]
fn reset_recovery_alone_recovers() {
    let mut host = bridge(DriveConfig::default());
    let before = host.device().reconnects();
    host.raw(&wrapper(0x55, 65_536, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0, 128, 0]));
    assert!(matches!(host.device_mut().bulk_in(1, 512), InResult::Data(_)));
    assert!(host.recover());
    host.device_mut().idle(10_000);
    let left = host.device().reconnects() - before;
    let outcome = host.command(&[0; 6], Phase::None);
    assert_eq!(
        (left, outcome.map(|outcome| outcome.status)),
        (0, Ok(0)),
        "times it left the bus, and the answer"
    );
}

/// Requirements 4.3: extents with errors. A hundred unreadable blocks in a row, read one by one, are one extent.
#[test]
fn neighbouring_errors_are_one_extent() {
    use wb_sim::drive::{BadBlocks, BadKind};
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 1000..1100, kind: BadKind::Medium }];
    let mut host = bridge(config);
    send(&mut host, &Request::Start, &NONCE).unwrap();
    (1000..1100).for_each(|lba| assert_eq!(read10(&mut host, lba, 1).status, 1));
    let statement = finish(&mut host, Ending::Final);
    let errors = &statement.coverage.errors;
    assert_eq!((errors.first.len(), errors.unrecorded), (1, 0));
}

/// Requirements 4.2: complete counters. Stalled requests of the host must not push the commands of the drive out of the table.
#[test]
fn stalled_requests_do_not_hide_commands() {
    let mut host = bridge(DriveConfig::default());
    for request in 0..128 {
        let _ = host.device_mut().control([0xC1, request, 9, 9, 1, 0, 16, 0], &[]);
    }
    send(&mut host, &Request::Start, &NONCE).unwrap();
    host.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512)).unwrap();
    read10(&mut host, 0, 1);
    let statement = finish(&mut host, Ending::Final);
    let named = |code| {
        statement.counters.rows.first.iter().any(|row| {
            row.command.layer == wb_attest::statement::Layer::Scsi && row.command.code == code
        })
    };
    assert!(named(0x28) && named(0x2A), "READ {} and WRITE {}", named(0x28), named(0x2A));
}

/// Policy 7.4 and 5.5 in spirit: an empty reader says that there is no medium, not that it is becoming ready.
#[test]
fn an_empty_reader_has_no_medium() {
    use wb_sim::drive::Readiness;
    let mut config = removable(1);
    config.faults.readiness = Readiness::NoMedium;
    let mut host = common::attached(&Setup::default(), config, |_, _, _| false);
    host.command(&[0; 6], Phase::None).unwrap();
    host.sense().unwrap();
    assert_eq!(host.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::In(512)).unwrap().status, 1);
    assert_eq!(host.sense().unwrap().0, [2, 0x3A, 0]);
}

/// Policy 3.2, step 7: an answer of 12 bytes to READ CAPACITY(16) was good enough at attach, so it is for the host.
#[test]
fn a_short_capacity_answer_is_passed_on() {
    let mut config = DriveConfig::default();
    let mut reply = 65_535_u64.to_be_bytes().to_vec();
    reply.extend(512_u32.to_be_bytes());
    config.faults.replies = vec![(vec![0x9E, 0x10], reply)];
    let mut host = bridge(config);
    assert_eq!(info(&mut host).capacity, 65_536);
    let cdb = [0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let outcome = host.command(&cdb, Phase::In(32)).unwrap();
    assert_eq!((outcome.status, outcome.data.len()), (0, 12));
}

/// B23: identity is compared at a unit attention. A dock whose drive was exchanged says "power on", 06h/29h, as often as 28h.
#[test]
fn identity_is_asked_again_after_a_power_on_of_the_drive() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &NONCE).unwrap();
    let sent = controller(&host).bulk_out().len();
    let drive = host.device_mut().drive_mut().host_mut().device_mut().drive_mut(0).unwrap();
    drive.raise_unit_attention(0x29, 0);
    let (_, told) = read_until_good(&mut host);
    assert_eq!(told, [[6, 0x29, 0]]);
    let asked: Vec<u8> = controller(&host).bulk_out()[sent..].iter().map(|cbw| cbw[15]).collect();
    assert!(asked.contains(&0x12), "asked only {asked:02X?}; the session goes on");
}
