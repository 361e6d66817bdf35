//! D-07, HWB-RM-01: whatever host, drive, cable and power do, the drive is untouched, only wrappers reach it, data under GOOD are the
//! drive's, the counters add up, what is signed verifies, and after recovery the bridge reads on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // lengths of test data are small

mod attempt;
mod chaos;
mod common;
mod oracle;

use attempt::{info, verified};
use chaos::{HostEvent, host_event};
use common::{Bridge, SLOT_BYTES, bridge, controller, model, read10};
use proptest::prelude::*;
use wb_attest::interface::{Ending, flag};
use wb_bridge::{
    card::{Card, DetectLow},
    drive::Drive,
    usb::{Settings, UsbDrive},
};
use wb_policy::{capture::Kind, judge::Profiles};
use wb_sim::{
    bridge::{Setup, SimBridge},
    card::{self, CardConfig, Family, Flip, ModelCard, ModelCs, ModelDetect, ModelSpi, PowerLoss},
    controller::{Injected, ModelController},
    drive::{DriveConfig, ModelDrive},
    host::{Host, Phase, wrapper},
    usb::{
        FaultKind, InResult, ModelUsbDrive, OutResult, Trigger, UsbDevice, UsbFault, UsbOptions,
    },
};

/// Bulk-Only Transport 5.3.4: after reset recovery the next data are those of the next command. Where a packet of the command before still
/// waits in the endpoint, the next command breaks, and the bridge leaves the bus and returns; nothing stale ever comes with GOOD.
#[test]
fn reset_recovery_leaves_no_stale_packet() {
    for taken in 0..=17 {
        let mut host = bridge(DriveConfig::default());
        let before = host.device().reconnects();
        let read = [0x28, 0, 0, 0, 0, 9, 0, 0, 16, 0];
        assert_eq!(host.raw(&wrapper(1, 16 * 512, 0x80, &read)), OutResult::Ack(31));
        host.device_mut().idle(100_000);
        for _ in 0..taken {
            assert!(matches!(host.device_mut().bulk_in(1, 512), InResult::Data(_)));
        }
        host.device_mut().idle(100_000);
        assert!(host.recover());
        let first = host.command(&[0x28, 0, 0, 0, 0, 40, 0, 0, 2, 0], Phase::In(1024));
        let has_left = host.device().reconnects() > before;
        if let Ok(outcome) = first
            && !has_left
        {
            assert_eq!((outcome.status, outcome.residue), (0, 0), "{taken} packets taken");
            assert_eq!(outcome.data, model(&host).peek(40, 2), "{taken} packets taken");
            continue;
        }
        // 16 packets of data and one of status: with all of them taken there is nothing stale.
        assert!(has_left && taken < 17, "{taken} packets taken");
        assert!(host.enumerate());
        assert_eq!(host.command(&[0; 6], Phase::None).unwrap().status, 1, "unit attention");
        let outcome = read10(&mut host, 40, 2);
        assert_eq!(outcome.data, model(&host).peek(40, 2), "{taken} packets taken");
        assert_eq!((outcome.status, outcome.residue), (0, 0));
    }
}

/// The same after a bus reset in mid-data.
#[test]
fn a_bus_reset_leaves_no_stale_packet() {
    for taken in 0..6 {
        let mut host = bridge(DriveConfig::default());
        let read = [0x28, 0, 0, 0, 0, 9, 0, 0, 16, 0];
        assert_eq!(host.raw(&wrapper(1, 16 * 512, 0x80, &read)), OutResult::Ack(31));
        host.device_mut().idle(100_000);
        for _ in 0..taken {
            assert!(matches!(host.device_mut().bulk_in(1, 512), InResult::Data(_)));
        }
        host.device_mut().idle(100_000);
        assert!(host.enumerate());
        assert_eq!(host.command(&[0; 6], Phase::None).unwrap().status, 1, "unit attention");
        let outcome = read10(&mut host, 40, 2);
        assert_eq!(outcome.data, model(&host).peek(40, 2), "{taken} packets taken");
    }
}

/// A host that gives up a write in mid-data: what it still had in the endpoint is no command.
#[test]
fn reset_recovery_leaves_no_stale_data_out() {
    for sent in 0..4 {
        let mut host = bridge(DriveConfig::default());
        let write = [0x2A, 0, 0, 0, 0, 9, 0, 0, 16, 0];
        assert_eq!(host.raw(&wrapper(1, 16 * 512, 0, &write)), OutResult::Ack(31));
        for _ in 0..sent {
            host.device_mut().bulk_out(1, &[0xEE; 512]);
        }
        assert!(host.recover());
        let outcome = read10(&mut host, 40, 2);
        assert_eq!(outcome.data, model(&host).peek(40, 2), "{sent} packets sent");
    }
}

/// What happens on the drive's side.
#[derive(Clone, Debug)]
enum DriveEvent {
    /// A fault of its transport with one of the next commands.
    Fault(u8, FaultKind),
    /// A fault of the controller with one of the next transfers.
    Inject(u8, Injected),
    /// Pulled, and plugged in with its power back.
    Unplug,
    Plug,
    /// Its power goes and comes, the plug stays.
    PowerCycle,
    /// It says that something happened.
    Attention(u8),
    /// The bridge loses its power, and the drive with it.
    BridgePower,
}

#[derive(Clone, Debug)]
enum Event {
    Host(HostEvent),
    Drive(DriveEvent),
}

fn fault_kind() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (1..600_usize).prop_map(FaultKind::ShortData),
        Just(FaultKind::WrongTag),
        Just(FaultKind::WrongSignature),
        Just(FaultKind::ResidueTooLarge),
        Just(FaultKind::PhaseError),
        (3..=255_u8).prop_map(FaultKind::ReservedStatus),
        Just(FaultKind::ShortCsw),
        Just(FaultKind::StallData),
        Just(FaultKind::StallCsw),
        Just(FaultKind::Hang),
        Just(FaultKind::Disconnect),
    ]
}

fn drive_event() -> impl Strategy<Value = DriveEvent> {
    let injected = prop::sample::select(vec![
        Injected::Stall,
        Injected::TimedOut,
        Injected::Error,
        Injected::AnswerLost,
        Injected::Babble,
        Injected::Hang,
        Injected::GoneBefore,
        Injected::GoneAfter,
    ]);
    prop_oneof![
        4 => (0..4_u8, fault_kind()).prop_map(|(ahead, kind)| DriveEvent::Fault(ahead, kind)),
        4 => (0..12_u8, injected).prop_map(|(ahead, fault)| DriveEvent::Inject(ahead, fault)),
        1 => Just(DriveEvent::Unplug),
        2 => Just(DriveEvent::Plug),
        1 => Just(DriveEvent::PowerCycle),
        1 => prop::sample::select(vec![0x28_u8, 0x29, 0x2A, 0x3F]).prop_map(DriveEvent::Attention),
        1 => Just(DriveEvent::BridgePower),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![3 => host_event().prop_map(Event::Host), 1 => drive_event().prop_map(Event::Drive)];
    prop::collection::vec(one, 1..40)
}

/// A bridge in front of a drive, under attack.
struct Siege {
    host: Bridge,
    in_step: bool,
    digest: [u8; 32],
    blocks: u64,
    block_bytes: u32,
}

fn power_up(drive: ModelUsbDrive) -> Bridge {
    let controller = ModelController::new(drive, SLOT_BYTES);
    let settings = Settings { profiles: Profiles::default(), is_listed: wb_policy::sat::is_listed };
    Host::new(SimBridge::new(&Setup::default(), UsbDrive::new(controller, settings)))
}

impl Siege {
    fn new(config: DriveConfig) -> Self {
        let (blocks, block_bytes) = (config.blocks, config.block_bytes);
        let drive = ModelUsbDrive::new(ModelDrive::new(config), UsbOptions::default());
        let host = power_up(drive);
        let digest = model(&host).state_digest();
        let mut siege = Self { host, in_step: true, digest, blocks, block_bytes };
        assert!(siege.host.device_mut().attach() && siege.host.enumerate());
        siege
    }

    fn controller(&mut self) -> &mut ModelController<ModelUsbDrive> {
        self.host.device_mut().drive_mut().host_mut()
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Host(event) => self.host(event),
            Event::Drive(event) => self.drive(event),
        }
        self.check(&format!("after {event:?}"));
    }

    fn host(&mut self, event: &HostEvent) {
        let (blocks, block_bytes) = (self.blocks, self.block_bytes);
        let data_of = |host: &Bridge, lba: u64, count: u16| model(host).peek(lba, count.into());
        host_acts(&mut self.host, event, &mut self.in_step, (blocks, block_bytes), &data_of);
    }

    fn drive(&mut self, event: &DriveEvent) {
        match event {
            DriveEvent::Fault(ahead, kind) => {
                let device = self.controller().device_mut();
                let trigger = Trigger::Command(device.commands() + u64::from(*ahead));
                device.options_mut().faults.push(UsbFault { trigger, kind: *kind });
            }
            DriveEvent::Inject(ahead, fault) => {
                let at = self.controller().transfers() + u64::from(*ahead);
                self.controller().inject(at, *fault);
            }
            DriveEvent::Unplug => self.controller().unplug(),
            DriveEvent::Plug => {
                self.controller().device_mut().reconnect();
                self.controller().plug();
            }
            DriveEvent::PowerCycle => {
                self.controller().device_mut().drive_mut(0).unwrap().power_cycle()
            }
            DriveEvent::Attention(asc) => {
                self.controller().device_mut().drive_mut(0).unwrap().raise_unit_attention(*asc, 0);
            }
            DriveEvent::BridgePower => {
                let mut drive = self.controller().device().clone();
                drive.reconnect();
                self.host = power_up(drive);
                self.in_step = false;
            }
        }
    }

    /// HWB-AM-01, rule 3.
    fn check(&self, when: &str) {
        assert_eq!(model(&self.host).state_digest(), self.digest, "{when}");
        assert_eq!(model(&self.host).violations().count(), 0, "{when}");
        let controller = controller(&self.host);
        assert!(controller.device().only_cbws(), "{when}");
        for transfer in controller.bulk_out() {
            assert!(
                transfer.len() == 31 && transfer.starts_with(b"USBC"),
                "{when}: {transfer:02X?}"
            );
            assert!(transfer[8..12] == [0; 4] || transfer[12] == 0x80, "{when}: {transfer:02X?}");
        }
        assert_eq!(controller.violations(), Vec::<String>::new(), "{when}");
    }

    /// The attack is over: with the drive plugged in anew and the host beginning from scratch, it reads, and its statement adds up.
    fn recover(&mut self) {
        let mut reads = false;
        // Faults of the controller that are still to come, a dozen at most, cost an attempt each.
        for _ in 0..24 {
            self.controller().device_mut().options_mut().faults.clear();
            self.controller().unplug();
            self.host.device_mut().idle(1_000_000);
            self.controller().device_mut().reconnect();
            self.controller().plug();
            self.host.device_mut().idle(3_000_000);
            self.host.device_mut().attach();
            reads = self.host.enumerate() && self.host.recover() && self.reads_well();
            if reads {
                break;
            }
        }
        assert!(reads, "the bridge does not read any more");
        self.check("after recovery");
        attempt::start(&mut self.host);
        let before = controller(&self.host).bulk_out().len() as u64;
        let statement = verified(&mut self.host, Ending::Final);
        assert!(statement.counters.total.adds_up());
        let rows = &statement.counters.rows.first;
        assert!(rows.iter().all(|row| row.answers.adds_up()));
        let sum: u64 = rows.iter().map(|row| row.answers.received).sum();
        assert_eq!(sum, statement.counters.total.received);
        assert_eq!(statement.emitted.cbws, before);
        assert_eq!(statement.emitted.bulk_out_bytes, 31 * before);
        let sent: u64 = statement.emitted.commands.first.iter().map(|row| row.count).sum();
        assert_eq!(sent, before);
    }

    fn reads_well(&mut self) -> bool {
        let last = self.blocks - 1;
        for lba in [0, last / 2, last] {
            let mut is_right = false;
            // Unit attentions, one a command.
            for _ in 0..6 {
                let cdb = read16(lba, 1);
                let Ok(outcome) = self.host.command(&cdb, Phase::In(self.block_bytes)) else {
                    return false;
                };
                if outcome.status == 0 {
                    assert_eq!(outcome.data, model(&self.host).peek(lba, 1));
                    is_right = true;
                    break;
                }
                if self.host.sense().is_err() {
                    return false;
                }
            }
            if !is_right {
                return false;
            }
        }
        true
    }
}

fn read16(lba: u64, blocks: u16) -> Vec<u8> {
    let [n1, n0] = blocks.to_be_bytes();
    let mut cdb = vec![0x88, 0];
    cdb.extend(lba.to_be_bytes());
    cdb.extend([0, 0, n1, n0, 0, 0]);
    cdb
}

/// What so many blocks from an address on hold.
type DataOf<'a, D> = dyn Fn(&Host<SimBridge<D>>, u64, u16) -> Vec<u8> + 'a;

/// One event of a host. Whatever breaks is for the next event to mend. While host and bridge are in step, that is since the host
/// kept to the transport or recovered from not having done so, whatever data are delivered have to be the drive's.
fn host_acts<D: Drive>(
    host: &mut Host<SimBridge<D>>,
    event: &HostEvent,
    in_step: &mut bool,
    (blocks, block_bytes): (u64, u32),
    data_of: &DataOf<'_, D>,
) {
    match event {
        HostEvent::Command(cdb, data) => {
            let before = host.device().reconnects();
            let is_ok = host.command(cdb, data.phase()).is_ok();
            *in_step &= is_ok && host.device().reconnects() == before;
        }
        HostEvent::Read(at, count) => {
            let lba = at % blocks.saturating_sub(u64::from(*count)).max(1);
            let bytes = u32::from(*count) * block_bytes;
            let before = host.device().reconnects();
            let outcome = host.command(&read16(lba, *count), Phase::In(bytes));
            // A bridge that leaves the bus has to be enumerated anew.
            *in_step &= outcome.is_ok() && host.device().reconnects() == before;
            if let Ok(outcome) = outcome.as_ref()
                && *in_step
            {
                let good = outcome.data.len() / block_bytes as usize;
                assert_eq!(outcome.data.len() as u32 + outcome.residue, bytes);
                assert!(outcome.status != 0 || good == usize::from(*count));
                // Every whole block that was delivered, also before an error.
                let expected = data_of(host, lba, good as u16);
                assert!(outcome.data == expected, "wrong data from block {lba} on");
            }
        }
        HostEvent::Packet(bytes) => {
            *in_step = false;
            let _ = host.device_mut().bulk_out(1, bytes);
        }
        HostEvent::Abandoned(cdb, data, taken) => {
            *in_step = false;
            let _ = host.device_mut().bulk_out(1, &data.wrapper(77, cdb));
            for _ in 0..*taken {
                match data {
                    chaos::Announced::Out(_) => drop(host.device_mut().bulk_out(1, &[0xEE; 512])),
                    _ => drop(host.device_mut().bulk_in(1, 512)),
                }
            }
        }
        HostEvent::Enumerate => *in_step = host.enumerate(),
        HostEvent::Reset => {
            *in_step = false;
            host.device_mut().reset();
        }
        HostEvent::Recover => {
            let before = host.device().reconnects();
            *in_step = host.recover() && host.device().reconnects() == before;
        }
        HostEvent::BulkReset => {
            *in_step = false;
            let _ = host.device_mut().control([0x21, 0xFF, 0, 0, 0, 0, 0, 0], &[]);
        }
        HostEvent::ClearHalt(endpoint) => host.clear_halt(*endpoint),
        HostEvent::Control(setup, fill) => {
            // A Bulk-Only Reset or a halt may be among them.
            *in_step &= setup[0] & 0x80 != 0;
            let length = if setup[0] & 0x80 == 0 { setup[6].min(64) } else { 0 };
            let _ = host.device_mut().control(*setup, &vec![*fill; usize::from(length)]);
        }
        HostEvent::Start => {
            let _ = host.device_mut().control([0x41, 2, 0, 0, 1, 0, 32, 0], &[1; 32]);
        }
        HostEvent::Finish(is_checkpoint) => {
            let ending = u8::from(*is_checkpoint);
            let setup = [0x41, 4, ending, 0, 1, 0, 32, 0];
            let is_taken = host.device_mut().control(setup, &[2; 32]).is_ok();
            host.device_mut().idle(10_000);
            if is_taken && info(host).has(flag::STATEMENT) {
                // A second one of the same session, which has to verify as the first.
                if *is_checkpoint {
                    verified(host, Ending::Checkpoint);
                }
            }
        }
        HostEvent::Wait(milliseconds) => host.device_mut().idle(u64::from(*milliseconds) * 1000),
    }
}

/// Number of cases: as the environment says, for a longer siege, or so many.
fn cases(otherwise: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn config() -> impl Strategy<Value = DriveConfig> {
    let shape = prop::sample::select(vec![
        (512_u32, 65_536_u64),
        (4096, 65_536),
        (512, 1 << 33),
        (4096, (1 << 40) + 7),
    ]);
    (shape, any::<bool>()).prop_map(|((block_bytes, blocks), removable)| DriveConfig {
        block_bytes,
        blocks,
        removable,
        ..DriveConfig::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(64), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Policy 9.3, D-07, HWB-RM-01.
    #[test]
    fn nothing_that_happens_changes_the_drive(config in config(), events in events()) {
        let mut siege = Siege::new(config);
        for event in &events {
            siege.apply(event);
        }
        siege.recover();
    }
}

/// What happens to a card.
#[derive(Clone, Debug)]
enum CardEvent {
    /// Bits change on the wires, so many bytes ahead.
    Flip {
        ahead: u16,
        mask: u8,
        to_card: bool,
    },
    /// Its supply fails for so many bytes.
    PowerLoss {
        ahead: u16,
        bytes: u16,
    },
    /// It is pulled, or another or the same one is inserted.
    Pull,
    Insert,
    /// Somebody locked it.
    Lock,
}

fn card_event() -> impl Strategy<Value = CardEvent> {
    let bit = (0..8_u32).prop_map(|bit| 1 << bit);
    prop_oneof![
        6 => (any::<u16>(), bit, any::<bool>()).prop_map(|(ahead, mask, to_card)| CardEvent::Flip { ahead, mask, to_card }),
        2 => (any::<u16>(), 1..2000_u16).prop_map(|(ahead, bytes)| CardEvent::PowerLoss { ahead, bytes }),
        1 => Just(CardEvent::Pull),
        2 => Just(CardEvent::Insert),
        1 => Just(CardEvent::Lock),
    ]
}

#[derive(Clone, Debug)]
enum SlotEvent {
    Host(HostEvent),
    Card(CardEvent),
}

const CARD_SLOT: usize = 8192;
type CardSide = Card<ModelSpi, ModelCs, DetectLow<ModelDetect>, CARD_SLOT>;

/// A bridge with a slot.
struct Slot {
    host: Host<SimBridge<CardSide>>,
    in_step: bool,
    card: ModelCard,
    config: CardConfig,
    faults: card::Faults,
}

impl Slot {
    fn new(config: CardConfig) -> Self {
        let card = ModelCard::new(config.clone());
        let side = Card::new(card.spi(), card.cs(), DetectLow(card.detect()), ModelSpi::set_clock);
        let setup = Setup { kind: Kind::Card, ..Setup::default() };
        let mut host = Host::new(SimBridge::new(&setup, side));
        assert!(host.device_mut().attach() && host.enumerate());
        Self { host, in_step: true, card, config, faults: card::Faults::default() }
    }

    fn apply(&mut self, event: &SlotEvent) {
        match event {
            SlotEvent::Host(event) => {
                let data_of = |_: &Host<SimBridge<CardSide>>, lba: u64, count: u16| {
                    (lba..lba + u64::from(count)).flat_map(card::content).collect()
                };
                host_acts(
                    &mut self.host,
                    event,
                    &mut self.in_step,
                    (self.config.blocks, 512),
                    &data_of,
                );
            }
            SlotEvent::Card(event) => self.card(event),
        }
        self.check(&format!("after {event:?}"));
    }

    fn card(&mut self, event: &CardEvent) {
        let now = self.card.bytes_carried();
        match event {
            CardEvent::Flip { ahead, mask, to_card } => {
                let flip = Flip { byte: now + u64::from(*ahead), mask: *mask };
                if *to_card {
                    self.faults.to_card.push(flip);
                } else {
                    self.faults.from_card.push(flip);
                }
            }
            CardEvent::PowerLoss { ahead, bytes } => self
                .faults
                .power
                .push(PowerLoss { byte: now + u64::from(*ahead), bytes: u64::from(*bytes) }),
            CardEvent::Pull => self.card.exchange(None),
            CardEvent::Insert => self.card.exchange(Some(self.config.clone())),
            CardEvent::Lock => self.card.lock(),
        }
        self.card.set_faults(self.faults.clone());
    }

    /// B26a: no write token was obeyed, nothing changed, and no command beyond the script's was carried out.
    fn check(&self, when: &str) {
        let counts = self.card.counts();
        assert_eq!((counts.changes, counts.write_tokens), (0, 0), "{when}");
        for (index, count) in counts.commands.iter().enumerate() {
            let known = matches!(index, 0 | 8 | 9 | 10 | 12 | 13 | 16 | 17 | 18 | 55 | 58 | 59);
            assert!(*count == 0 || known, "CMD{index} {when}");
        }
        for (index, count) in counts.applications.iter().enumerate() {
            assert!(*count == 0 || matches!(index, 13 | 41 | 51), "ACMD{index} {when}");
        }
    }

    fn recover(&mut self) {
        self.card.set_faults(card::Faults::default());
        self.card.exchange(None);
        self.host.device_mut().idle(2_000_000);
        self.card.exchange(Some(self.config.clone()));
        self.host.device_mut().idle(5_000_000);
        assert!(self.host.device_mut().attach());
        assert!(self.host.enumerate() && self.host.recover());
        // A reset with a packet in flight makes the bridge leave and return.
        assert!(self.host.enumerate());
        let last = self.config.blocks - 1;
        for lba in [0, last] {
            let mut data = Vec::new();
            for _ in 0..4 {
                let outcome = self.host.command(&read16(lba, 1), Phase::In(512)).unwrap();
                if outcome.status == 0 {
                    data = outcome.data;
                    break;
                }
                self.host.sense().unwrap();
            }
            assert!(data == card::content(lba), "block {lba}");
        }
        attempt::start(&mut self.host);
        let statement = verified(&mut self.host, Ending::Final);
        assert!(statement.counters.total.adds_up());
        // A card gets frames, not wrappers.
        assert_eq!((statement.emitted.cbws, statement.emitted.bulk_out_bytes), (0, 0));
        let emitted = self.host.device().core().drive().emitted();
        let frames: u64 = emitted.card.iter().chain(&emitted.card_application).sum();
        let listed: u64 = statement.emitted.commands.first.iter().map(|row| row.count).sum();
        assert_eq!(listed, frames);
        assert_eq!(emitted.wrappers, frames);
        self.check("after recovery");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// B26a, D-07: the same in front of a card, with bits changing on its wires.
    #[test]
    fn nothing_that_happens_changes_the_card(
        is_large in any::<bool>(),
        events in prop::collection::vec(
            prop_oneof![
                2 => host_event().prop_map(SlotEvent::Host),
                1 => card_event().prop_map(SlotEvent::Card),
            ],
            1..30,
        ),
    ) {
        let config = if is_large {
            CardConfig::new(Family::HighCapacity, 1 << 26)
        } else {
            CardConfig::new(Family::Standard, 2_097_152)
        };
        let mut slot = Slot::new(config);
        for event in &events {
            slot.apply(event);
        }
        slot.recover();
    }
}
