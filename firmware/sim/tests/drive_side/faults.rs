//! Faults of the transport: every one ends in an error, never in wrong data, and the drive is served again afterwards (6.3).

use wb_attest::statement::StepOutcome;
use wb_bridge::{
    drive::{Drive, DriveEvent, Fault, Refused, Slot, Status},
    host::Request,
    usb::Return,
};
use wb_policy::{capture::Identify, down::DownCommand};
use wb_sim::{
    controller::Injected,
    drive::{BadBlocks, BadKind, DriveConfig, ModelDrive, Readiness},
    usb::{
        FaultKind, InResult, ModelUsbDrive, OutResult, ShortEnd, Speed, Stall, Trigger, UsbDevice,
        UsbFault, UsbOptions,
    },
};

use super::rig::{Rig, SECOND, is_good, settings};

fn with_fault(opcode: u8, kind: FaultKind) -> Rig {
    let options = UsbOptions {
        faults: vec![UsbFault { trigger: Trigger::Opcode(opcode), kind }],
        ..UsbOptions::default()
    };
    Rig::new(ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options), settings())
}

/// A drive whose bulk-only reset fails, or is followed by a unit attention; that calls the end of its data padding; or that gives
/// always the same sense.
struct Stubborn {
    inner: ModelUsbDrive,
    refuses_reset: bool,
    padding: u32,
    sense: Option<[u8; 3]>,
}

impl UsbDevice for Stubborn {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        if setup.starts_with(&[0x21, 0xFF]) {
            if self.refuses_reset {
                return Err(Stall);
            }
            self.inner.drive_mut(0).expect("unit 0").raise_unit_attention(0x29, 0x03);
        }
        self.inner.control(setup, data_out)
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        self.inner.bulk_out(endpoint, data)
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        let mut answer = self.inner.bulk_in(endpoint, max);
        if let InResult::Data(bytes) = &mut answer
            && bytes.len() == 13
            && bytes.starts_with(b"USBS")
            && self.padding > 0
        {
            bytes.splice(8..12, self.padding.to_le_bytes());
        }
        if let (Some([key, asc, ascq]), InResult::Data(bytes)) = (self.sense, &mut answer)
            && max == 18
        {
            *bytes = vec![0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0];
        }
        answer
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn speed(&self) -> Speed {
        self.inner.speed()
    }
}

fn stubborn(opcode: u8, refuses_reset: bool) -> Rig<Stubborn> {
    let options = UsbOptions {
        faults: vec![UsbFault { trigger: Trigger::Opcode(opcode), kind: FaultKind::Hang }],
        ..UsbOptions::default()
    };
    let inner = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
    Rig::new(Stubborn { inner, refuses_reset, padding: 0, sense: None }, settings())
}

/// A drive that explains every failure with the same three numbers.
fn monotonous(config: DriveConfig, sense: [u8; 3]) -> Rig<Stubborn> {
    let inner = ModelUsbDrive::new(ModelDrive::new(config), UsbOptions::default());
    Rig::new(Stubborn { inner, refuses_reset: false, padding: 0, sense: Some(sense) }, settings())
}

/// 6.3: what each broken answer to a READ is called, whether reset recovery was needed, and that the next READ is right.
#[test]
fn each_fault_of_a_read_has_its_name() {
    let cases = [
        (FaultKind::ShortData(512), Some(Fault::ShortData), 0),
        (FaultKind::ShortData(4096), Some(Fault::ShortData), 0),
        (FaultKind::StallData, Some(Fault::ShortData), 0),
        (FaultKind::StallCsw, None, 0),
        (FaultKind::WrongTag, Some(Fault::BadStatus), 1),
        (FaultKind::WrongSignature, Some(Fault::BadStatus), 1),
        (FaultKind::ResidueTooLarge, Some(Fault::BadStatus), 1),
        (FaultKind::ReservedStatus(3), Some(Fault::BadStatus), 1),
        (FaultKind::ReservedStatus(0xFF), Some(Fault::BadStatus), 1),
        (FaultKind::ShortCsw, Some(Fault::BadStatus), 1),
        (FaultKind::PhaseError, Some(Fault::Phase), 1),
        (FaultKind::Hang, Some(Fault::TimedOut), 1),
    ];
    for (kind, fault, recoveries) in cases {
        let mut rig = with_fault(0x28, kind);
        rig.attach();
        let begun = rig.now;
        let completion = rig.read(100, 8);
        let expected = fault.map_or(Status::Good, Status::Fault);
        assert_eq!(completion.status, expected, "{kind:?}");
        assert_eq!(rig.side.emitted().recoveries, recoveries, "{kind:?}");
        if kind == FaultKind::Hang {
            assert!((60 * SECOND..62 * SECOND).contains(&(rig.now - begun)));
        }
        rig.usb().options_mut().faults.clear();
        let again = rig.read(100, 8);
        assert!(is_good(&again), "{kind:?}");
        let peeked = rig.model().peek(100, 8);
        assert_eq!(rig.delivered(&again), peeked);
        rig.assert_clean();
    }
}

/// 6.3: data that the drive itself calls padding are not data, however many bytes came.
#[test]
fn padding_is_not_data() {
    let mut rig = stubborn(0xFF, false);
    rig.attach();
    rig.side.host_mut().device_mut().padding = 1024;
    let completion = rig.read(100, 8);
    assert_eq!(completion.status, Status::Fault(Fault::ShortData));
    assert_eq!(completion.delivered, 6 * 512);
    rig.side.host_mut().device_mut().padding = 0;
    assert!(is_good(&rig.read(100, 8)));
    rig.assert_rules();
}

/// 3.2, step 5a: a drive that goes on asking for a spin-up gets one, and is given up after 30 s.
#[test]
fn a_drive_that_never_spins_up_gets_one_start() {
    let mut config = DriveConfig::default();
    config.faults.readiness = Readiness::Becoming(1_000_000);
    let mut rig = monotonous(config, [2, 4, 2]);
    rig.attach();
    let sent = rig.side.host().bulk_out();
    assert_eq!(sent.iter().filter(|cbw| cbw.get(15) == Some(&0x1B)).count(), 1);
    assert!((30 * SECOND..40 * SECOND).contains(&rig.now), "{}", rig.now);
    assert!(rig.capture().geometry.is_none());
}

/// 5.5: a medium change with data counts without them: the script needs the slot they lie in.
#[test]
fn data_that_come_with_a_medium_change_do_not_count() {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 205..206, kind: BadKind::Medium }];
    let mut rig = monotonous(config, [6, 0x28, 0]);
    rig.attach();
    let completion = rig.read(200, 16);
    assert!(matches!(completion.status, Status::Check(sense) if sense.code().asc == 0x28));
    assert_eq!(completion.delivered, 0);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
}

/// A removal told with data leaves them valid; the next command without data begins the script.
#[test]
fn data_that_come_with_a_removal_count() {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 205..206, kind: BadKind::Medium }];
    let mut rig = monotonous(config, [2, 0x3A, 0]);
    rig.attach();
    let completion = rig.read(200, 16);
    assert_eq!(completion.delivered, 5 * 512);
    let drive = rig.side.host().device().inner.drive(0).expect("unit 0");
    assert_eq!(rig.delivered(&completion), drive.peek(200, 5));
    assert_eq!(rig.event(SECOND), None);
    assert_eq!(rig.read(205, 1).delivered, 0);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
}

/// 6.3: after a recovery the requests are the three of Bulk-Only Transport 5.3.4 and no other.
#[test]
fn reset_recovery_is_reset_and_two_halts() {
    let mut rig = with_fault(0x28, FaultKind::PhaseError);
    rig.attach();
    let before = rig.side.host().requests().len();
    rig.read(0, 1);
    assert_eq!(
        rig.side.host().requests().get(before..),
        Some(
            &[
                Request::BulkOnlyReset { interface: 0 },
                Request::ClearHalt { endpoint: 0x81 },
                Request::ClearHalt { endpoint: 0x02 },
            ][..]
        )
    );
}

/// Short data may end in a STALL or in a short packet.
#[test]
fn short_answers_of_commands_with_an_allocation_length_are_no_error() {
    for short_end in [ShortEnd::Stall, ShortEnd::Packet] {
        let options = UsbOptions { short_end, ..UsbOptions::default() };
        let drive = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
        let mut rig = Rig::new(drive, settings());
        rig.attach();
        let failed = |outcome: &StepOutcome| !matches!(outcome, StepOutcome::Good(_));
        assert!(!rig.report().steps.iter().any(|step| failed(&step.outcome)), "{short_end:?}");
        assert!(rig.capture().mode.is_some());
        assert_eq!(rig.side.emitted().recoveries, 0);
        rig.assert_clean();
    }
}

/// 3.2: a stick that hangs on MODE SENSE costs one reset recovery, and the value is unknown.
#[test]
fn a_hang_on_mode_sense_does_not_block_imaging() {
    let mut rig = with_fault(0x1A, FaultKind::Hang);
    rig.attach();
    assert_eq!(rig.report().refused, None);
    assert!(rig.capture().mode.is_none());
    assert_eq!(rig.side.emitted().recoveries, 1);
    let mode = rig.report().steps.iter().find(|step| step.step == 8).copied().expect("row 8");
    assert_eq!((mode.times, mode.outcome), (1, StepOutcome::Failed));
    assert!(matches!(rig.capture().identify, Identify::Valid(_)));
    assert!(is_good(&rig.read(0, 1)));
    rig.assert_clean();
}

/// The unit attention of our own reset recovery is absorbed in the script, by the same step again.
#[test]
fn the_unit_attention_of_our_own_reset_is_absorbed_in_the_script() {
    let mut rig = stubborn(0x1A, false);
    rig.attach();
    assert!(matches!(rig.capture().identify, Identify::Valid(_)));
    let identify = rig.report().steps.iter().find(|step| step.step == 9).copied().expect("row 9");
    assert_eq!(identify.times, 2);
    rig.assert_rules();
}

/// A unit attention of the drive's own at any moment of the attach: the size is known all the same, and a step that the script
/// can do without is not asked again.
#[test]
fn a_unit_attention_at_any_moment_of_the_script_is_survived() {
    let mut clean = Rig::of(DriveConfig::default());
    let mut polls = 1;
    while clean.step().is_none() {
        polls += 1;
    }
    let mut lost = 0;
    for (asc, at) in [0x29, 0x2A].into_iter().flat_map(|asc| (0..polls).map(move |at| (asc, at))) {
        let mut rig = Rig::of(DriveConfig::default());
        for _ in 0..at {
            assert_eq!(rig.step(), None);
        }
        rig.model().raise_unit_attention(asc, 0x01);
        rig.attach();
        assert!(rig.capture().geometry.is_some(), "{asc:02X} at {at}");
        assert!(is_good(&rig.read(0, 8)) || is_good(&rig.read(0, 8)));
        let mode = rig.report().steps.iter().find(|step| step.step == 8).copied().expect("row 8");
        assert_eq!(mode.times, 1, "{asc:02X} at {at}");
        lost += u32::from(matches!(mode.outcome, StepOutcome::Sense(_)));
        rig.assert_clean();
    }
    assert!(lost > 0);
}

/// Outside the script it is the host's to know, and the bridge looks who stands there now (B23): the same drive is served on without a word.
#[test]
fn a_unit_attention_outside_the_script_is_passed_on() {
    for asc in [0x29, 0x2A, 0x3F] {
        let mut rig = Rig::attached(DriveConfig::default());
        rig.model().raise_unit_attention(asc, 0x00);
        let completion = rig.run(DownCommand::TestUnitReady);
        let Status::Check(sense) = completion.status else { panic!("{completion:?}") };
        assert_eq!((sense.code().key, sense.code().asc), (6, asc));
        assert!(sense.is_from_drive());
        assert!(rig.side.report().is_some());
        let before = rig.log().len();
        assert!(is_good(&rig.run(DownCommand::TestUnitReady)));
        let asked = rig.log();
        let inquiries = asked.iter().skip(before).filter(|cdb| cdb.first() == Some(&0x12)).count();
        assert!(inquiries > 1, "{asc:02X}");
        rig.assert_clean();
    }
}

/// B23: another drive behind the same adapter, which says "power on" and no more, is told of.
#[test]
fn another_drive_after_a_power_on_is_told_of() {
    let mut rig = Rig::attached(DriveConfig::default());
    let mut other = DriveConfig::default();
    other.identity.product = "OTHER DRIVE".into();
    *rig.model() = ModelDrive::new(other);
    rig.model().raise_unit_attention(0x29, 0x00);
    assert!(!is_good(&rig.read(0, 1)));
    assert_eq!(rig.event(60 * SECOND), Some(DriveEvent::Changed));
    assert!(is_good(&rig.read(0, 1)));
    rig.assert_clean();
}

/// A reset of the bridge's own is no reason to ask anew: its "power on" is passed on, and nothing else is sent.
#[test]
fn the_power_on_of_our_own_reset_asks_nothing() {
    let mut rig = Rig::attached(DriveConfig::default());
    let lost = rig.side.host().transfers();
    rig.side.host_mut().inject(lost, Injected::Babble);
    assert!(!is_good(&rig.read(0, 1)));
    rig.model().raise_unit_attention(0x29, 0x00);
    let before = rig.log().len();
    assert!(!is_good(&rig.read(0, 1)));
    assert!(is_good(&rig.read(0, 1)));
    let asked: Vec<u8> = rig.log().iter().skip(before).map(|cdb| cdb[0]).collect();
    assert!(!asked.contains(&0x12), "{asked:02X?}");
}

/// A step that breaks the transport for good is not sent again after the port reset; one without which nothing can be imaged has a
/// second try.
#[test]
fn a_step_that_needs_a_port_reset_is_not_sent_again() {
    for (opcode, row, tries) in [(0x1A, 8, 1), (0x85, 9, 1), (0x9E, 7, 2), (0x25, 6, 2)] {
        let mut rig = stubborn(opcode, true);
        rig.attach();
        assert_eq!(rig.report().refused, None, "{opcode:02X}");
        let step = rig.report().steps.iter().find(|step| step.step == row).copied().expect("row");
        assert_eq!(step.outcome, StepOutcome::Failed);
        let drive = rig.side.host().device().inner.drive(0).expect("unit 0");
        let sent = rig.side.host().bulk_out();
        let of_opcode = sent.iter().filter(|cbw| cbw.get(15) == Some(&opcode)).count();
        assert_eq!(of_opcode, tries, "{opcode:02X}");
        assert_eq!(drive.violations().count(), 0);
        assert!(rig.side.emitted().recoveries > 0);
        rig.assert_rules();
    }
}

/// A device that hangs on everything is given up after a bounded number of resets.
#[test]
fn a_device_that_never_answers_is_given_up() {
    let mut rig = stubborn(0x12, true);
    rig.attach();
    assert_eq!(rig.report().refused, Some(Refused::DeviceType));
    assert_eq!(rig.side.host().resets(), 3);
    let sent = rig.side.host().transfers();
    assert_eq!(rig.event(3600 * SECOND), None);
    assert_eq!(rig.side.host().transfers(), sent);
}

/// Three port resets, not more.
#[test]
fn enumeration_is_tried_three_times() {
    for failing in 0..5 {
        let mut rig = Rig::of(DriveConfig::default());
        rig.side.host_mut().fail_resets(failing);
        rig.attach();
        let expected = (failing >= 3).then_some(Refused::Enumeration);
        assert_eq!(rig.report().refused, expected, "{failing}");
        assert_eq!(rig.side.host().resets(), (failing + 1).min(3));
        assert_eq!(rig.side.emitted().recoveries, failing.min(2));
        assert!(!rig.side.start(&DownCommand::TestUnitReady, Slot::A, rig.now) || failing < 3);
    }
}

/// Over-current, or a device slower than full speed.
#[test]
fn a_fault_of_the_port_is_reported() {
    let mut rig = Rig::attached(DriveConfig::default());
    rig.side.host_mut().set_over_current(true);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Attached));
    assert_eq!(rig.report().refused, Some(Refused::Enumeration));
    rig.side.host_mut().set_over_current(false);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    rig.attach();
    assert_eq!(rig.report().refused, None);
}

/// Fails a READ so that reset recovery fails as well.
fn break_a_read(rig: &mut Rig) -> Status {
    let next = rig.side.host().transfers();
    rig.side.host_mut().inject(next + 1, Injected::Error);
    rig.side.host_mut().inject(next + 2, Injected::Stall);
    rig.read(0, 8).status
}

/// B23: a port reset in mid-session breaks the session, and the identity is compared.
#[test]
fn a_port_reset_detaches_and_attaches() {
    let mut rig = Rig::attached(DriveConfig::default());
    assert_eq!(rig.side.returned(), None);
    assert_eq!(break_a_read(&mut rig), Status::Fault(Fault::Bus));
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    assert!(rig.side.report().is_none());
    rig.attach();
    assert_eq!(rig.side.returned(), Some(Return::Same));
    assert!(is_good(&rig.read(0, 8)));
    break_a_read(&mut rig);
    rig.usb().options_mut().serial = Some("ANOTHER".into());
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    rig.attach();
    assert_eq!(rig.side.returned(), Some(Return::Other));
    rig.assert_clean();
}

/// 6.1: a host reset in mid-command leaves no stale status: at every transfer of a READ.
#[test]
fn an_abandoned_command_leaves_nothing_behind() {
    for polls in 0..8 {
        let mut rig = Rig::attached(DriveConfig::default());
        let geometry = rig.capture().geometry.expect("a size");
        let first = DownCommand::Read(geometry.range(0, 64).expect("inside"));
        assert!(rig.side.start(&first, Slot::A, rig.now));
        let mut ended = false;
        for _ in 0..polls {
            ended |= rig.step().is_some();
        }
        let recoveries = rig.side.emitted().recoveries;
        rig.side.abandon(rig.now);
        assert_eq!(rig.event(SECOND), None, "after {polls} polls");
        assert_eq!(rig.side.emitted().recoveries - recoveries, u32::from(!ended));
        let completion = rig.read(5000, 16);
        assert!(is_good(&completion));
        let peeked = rig.model().peek(5000, 16);
        assert_eq!(rig.delivered(&completion), peeked);
        rig.assert_clean();
    }
}

/// 6.1: what is abandoned while the drive hangs does not have to wait for the time-out.
#[test]
fn a_hanging_command_can_be_abandoned() {
    let mut rig = with_fault(0x28, FaultKind::Hang);
    rig.attach();
    let geometry = rig.capture().geometry.expect("a size");
    let read = DownCommand::Read(geometry.range(0, 64).expect("inside"));
    assert!(rig.side.start(&read, Slot::A, rig.now));
    assert_eq!(rig.event(SECOND), None);
    rig.side.abandon(rig.now);
    assert!(!rig.side.start(&read, Slot::A, rig.now));
    assert_eq!(rig.event(SECOND), None);
    rig.usb().options_mut().faults.clear();
    assert!(is_good(&rig.read(0, 64)));
}

/// One command at a time, none that does not fit a slot, none before anything is attached.
#[test]
fn what_cannot_be_started_is_not_taken() {
    let mut rig = Rig::of(DriveConfig::default());
    assert!(!rig.side.start(&DownCommand::TestUnitReady, Slot::A, 0));
    rig.attach();
    let geometry = rig.capture().geometry.expect("a size");
    let large = DownCommand::Read(geometry.range(0, 129).expect("inside"));
    assert!(!rig.side.start(&large, Slot::A, rig.now));
    let whole = DownCommand::Read(geometry.range(0, 128).expect("inside"));
    assert!(rig.side.start(&whole, Slot::B, rig.now));
    assert!(!rig.side.start(&whole, Slot::A, rig.now));
    assert!(matches!(rig.event(SECOND), Some(DriveEvent::Done(_))));
    let peeked = rig.model().peek(0, 128);
    assert_eq!(rig.side.data(Slot::B), peeked);
}

/// HWB-AM-04: a command that fails and gives no sense is an error all the same.
#[test]
fn a_failure_without_sense_is_still_a_failure() {
    let mut rig = Rig::attached(DriveConfig::default());
    rig.model().raise_unit_attention(0x2A, 0x01);
    rig.usb().options_mut().faults =
        vec![UsbFault { trigger: Trigger::Opcode(0x03), kind: FaultKind::Hang }];
    let completion = rig.run(DownCommand::TestUnitReady);
    let Status::Check(sense) = completion.status else { panic!("{completion:?}") };
    assert_ne!(sense.code().key, 0);
    assert!(!sense.is_from_drive());
}

/// Every kind of transfer fault at every transfer of an attach and of a read session: the drive is untouched, no data are
/// wrong, and it is served in the end.
#[test]
fn every_fault_at_every_transfer_is_survived() {
    let mut clean = Rig::attached(DriveConfig::default());
    let attach = clean.side.host().transfers();
    clean.read(7, 8);
    let session = clean.side.host().transfers();
    let kinds = [
        Injected::Stall,
        Injected::TimedOut,
        Injected::Error,
        Injected::AnswerLost,
        Injected::Babble,
    ];
    for kind in kinds {
        for transfer in 0..session {
            let mut rig = Rig::of(DriveConfig::default());
            let digest = rig.digest();
            rig.side.host_mut().inject(transfer, kind);
            rig.attach();
            assert_eq!(rig.report().refused, None, "{kind:?} at {transfer} of {attach}");
            let completion = rig.read(7, 8);
            let expected = rig.model().peek(7, 8);
            if is_good(&completion) {
                assert_eq!(rig.delivered(&completion), expected, "{kind:?} at {transfer}");
            }
            let again = rig.read(7, 8);
            assert!(is_good(&again), "{kind:?} at {transfer}: {again:?}");
            assert_eq!(rig.delivered(&again), expected);
            assert_eq!(rig.digest(), digest);
            rig.assert_clean();
        }
    }
}

/// The same with a device that never answers one transfer: five seconds for a control request, a minute for a command.
#[test]
fn a_hang_at_every_transfer_is_survived() {
    let mut clean = Rig::attached(DriveConfig::default());
    clean.read(7, 8);
    for transfer in 0..clean.side.host().transfers() {
        let mut rig = Rig::of(DriveConfig::default());
        let digest = rig.digest();
        rig.side.host_mut().inject(transfer, Injected::Hang);
        rig.attach();
        assert_eq!(rig.report().refused, None, "at {transfer}");
        assert!(rig.now < 70 * SECOND, "at {transfer}: {}", rig.now);
        rig.read(7, 8);
        assert!(is_good(&rig.read(7, 8)), "at {transfer}");
        assert_eq!(rig.digest(), digest);
        rig.assert_clean();
    }
}
