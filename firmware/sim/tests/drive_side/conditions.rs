//! Conditions of the attach script (the published policy, sections 3.2 and 9, test 8): exactly the allowed steps reach the drive, and its
//! hidden-area settings never change.

use wb_attest::statement::{Skip, StepOutcome};
use wb_bridge::{
    drive::{Drive, DriveEvent, Refused},
    usb::Settings,
};
use wb_policy::{
    capture::{Asked, Identify, NotRun},
    judge::Profiles,
};
use wb_sim::{
    drive::{
        Announced, DriveConfig, FeaturesQuirk, Integrity, ModelDrive, Readiness, RegisterFormat,
        Sat,
    },
    usb::{FaultKind, ModelUsbDrive, Trigger, UsbFault, UsbOptions},
};

use super::rig::{Rig, SECOND, device, settings};

const HIDDEN: u64 = 70_000;
const OVERLAID: u64 = 80_000;

/// A drive with a host protected area and an overlay, so that a change of either shows.
fn hiding() -> DriveConfig {
    DriveConfig { native_blocks: HIDDEN, dco_blocks: OVERLAID, ..DriveConfig::default() }
}

fn listed() -> Settings {
    Settings { is_listed: |_, _, _| true, ..settings() }
}

/// Attaches and checks what holds for every drive; gives the ATA commands that arrived.
fn attach(config: DriveConfig, settings: Settings) -> (Rig, Vec<(u8, u16)>) {
    let mut rig = Rig::new(device(config), settings);
    let (before, capacity) = (rig.digest(), rig.model().capacity());
    rig.attach();
    assert_eq!(rig.digest(), before);
    assert_eq!(rig.model().capacity(), capacity);
    rig.assert_clean();
    let ata = rig.ata_log();
    (rig, ata)
}

fn skips(rig: &Rig) -> Vec<(u8, Skip)> {
    rig.report().not_run.iter().map(|entry| (entry.step, entry.reason)).collect()
}

fn rows(rig: &Rig) -> Vec<u8> {
    rig.report().steps.iter().map(|step| step.step).collect()
}

/// Everything announced, no listed bridge: steps 1 to 11 byte for byte, and no overlay query.
#[test]
fn the_whole_script_in_its_order() {
    let (mut rig, _) = attach(hiding(), settings());
    let full = rig.log().get(1).and_then(|cdb| cdb.get(4).copied()).expect("step 2");
    assert!(full > 36);
    let zero = |length: usize| {
        move |head: &[u8]| {
            let mut cdb = head.to_vec();
            cdb.resize(length, 0);
            cdb
        }
    };
    let (six, ten) = (zero(6), zero(10));
    let mut expected = vec![
        six(&[0x12, 0, 0, 0, 0x24]),
        six(&[0x12, 0, 0, 0, full]),
        six(&[0x12, 1, 0, 0, 0xFF]),
        six(&[0x12, 1, 0x80, 0, 0xFF]),
        six(&[0x12, 1, 0x83, 0, 0xFF]),
        six(&[0x12, 1, 0xB0, 0, 0xFF]),
        six(&[0x12, 1, 0xB1, 0, 0xFF]),
        six(&[0x12, 1, 0xB2, 0, 0xFF]),
        six(&[0x12, 1, 0x89, 2, 0x3C]),
        six(&[0]),
        ten(&[0x25]),
        vec![0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0],
        six(&[0x1A, 0, 0x3F, 0, 0xC0]),
        vec![0x85, 0x08, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0xEC, 0],
        vec![0x85, 0x07, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x27, 0],
        six(&[0x03, 0, 0, 0, 0x20]),
        vec![0x85, 0x09, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0x2F, 0],
    ];
    let lists_identify = rig.capture().log_pages(0x30) > 0;
    if lists_identify {
        expected.push(vec![0x85, 0x09, 0x0E, 0, 0, 0, 1, 0, 0x30, 0, 0, 0, 0, 0x40, 0x2F, 0]);
    }
    assert_eq!(rig.log(), expected);
    let tail: &[u8] = if lists_identify { &[11, 11] } else { &[11] };
    let all = [&[0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 7, 8, 9, 10], tail].concat();
    assert_eq!(rows(&rig), all);
    assert_eq!(skips(&rig), [(12, Skip::BridgeNotListed)]);
    assert_eq!(rig.capture().native_max, Asked::Value(HIDDEN));
    assert_eq!(rig.capture().dco_max, Asked::NotAsked(NotRun::BridgeNotListed));
    assert!(rig.capture().has_disagreement());
    assert!(matches!(rig.capture().log_directory, Asked::Value(_)));
    let geometry = rig.capture().geometry.expect("a size");
    assert_eq!((geometry.blocks, geometry.block_bytes), (65_536, 512));
    assert_eq!(usize::try_from(rig.side.emitted().own).expect("fits"), expected.len());
}

/// The control requests of 6.3, in the order of 3.2.
#[test]
fn the_usb_part_of_the_script() {
    use wb_bridge::host::Request as R;
    let mut rig = Rig::of(DriveConfig::default());
    rig.attach();
    let serial = R::StringDescriptor { index: 3, language: 0x0409 };
    let configuration = rig.side.host().requests().get(4).copied().expect("the configuration");
    let R::ConfigurationDescriptor { length } = configuration else { panic!("{configuration:?}") };
    let (enumeration, rest) = rig.side.host().requests().split_at(9);
    assert!(rest.iter().all(|request| *request == R::ClearHalt { endpoint: 0x81 }), "{rest:?}");
    assert_eq!(
        enumeration,
        [
            R::DeviceDescriptor { length: 8 },
            R::SetAddress(1),
            R::DeviceDescriptor { length: 18 },
            R::ConfigurationDescriptor { length: 9 },
            R::ConfigurationDescriptor { length },
            R::StringDescriptor { index: 0, language: 0 },
            serial,
            R::SetConfiguration(1),
            R::GetMaxLun { interface: 0 },
        ]
    );
    let text: Vec<u8> = "MODEL0000001".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(rig.identity().serial.as_slice(), text);
    assert_eq!((rig.identity().vendor, rig.identity().product), (0x1209, 0x0002));
    assert_eq!((rig.identity().units, rig.identity().unit), (1, 0));
    let first = rig.report().steps.first().copied().expect("row 0");
    assert_eq!((first.step, first.times), (0, 9));
    assert_eq!(first.outcome, StepOutcome::Good(rig.identity().descriptors));
}

/// UAS drives are set to bulk-only transport; GET MAX LUN may be stalled.
#[test]
fn a_drive_with_both_transports_is_set_to_bulk_only() {
    use wb_bridge::host::Request as R;
    let options = UsbOptions { uas: true, max_lun_stalls: true, ..UsbOptions::default() };
    let drive = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
    let mut rig = Rig::new(drive, settings());
    rig.attach();
    assert!(rig.report().refused.is_none());
    assert!(rig.side.host().requests().contains(&R::SetInterface { interface: 0, alternate: 0 }));
    assert_eq!(rig.identity().units, 1);
    rig.assert_clean();
}

/// RMB=1: no pass-through at all.
#[test]
fn a_removable_medium_gets_no_pass_through() {
    let (rig, ata) = attach(DriveConfig { removable: true, ..hiding() }, listed());
    assert_eq!(ata, []);
    let removable = Skip::Removable;
    assert_eq!(skips(&rig), [(9, removable), (10, removable), (11, removable), (12, removable)]);
    assert_eq!(rig.capture().identify, Identify::NotAsked(NotRun::Removable));
    assert_eq!(rig.capture().native_max, Asked::NotAsked(NotRun::Removable));
}

/// Profile `ident` off: no pass-through, and the reason is the profile.
#[test]
fn without_the_profile_nothing_is_asked() {
    let off = Settings { profiles: Profiles { ident: false, smart: true }, ..listed() };
    let (rig, ata) = attach(hiding(), off);
    assert_eq!(ata, []);
    assert!(skips(&rig).iter().all(|(_, reason)| *reason == Skip::Profile));
    assert_eq!(skips(&rig).len(), 4);
}

/// A reduced block device has no pass-through.
#[test]
fn other_disk_types_get_no_pass_through_or_one_form() {
    let (rig, ata) = attach(DriveConfig { device_type: 0x0E, ..hiding() }, listed());
    assert_eq!(ata, []);
    assert_eq!(rig.capture().identify, Identify::NotAsked(NotRun::NotAnnounced));
    let zoned = DriveConfig { device_type: 0x14, sat: Sat::Only12, ..hiding() };
    let (mut rig, ata) = attach(zoned, listed());
    assert_eq!(ata, []);
    assert!(matches!(rig.capture().identify, Identify::Failed(code) if code.key == 5));
    assert!(!rig.log().iter().any(|cdb| cdb.first() == Some(&0xA1)));
}

/// 85h refused with 05h: A1h for type 00h.
#[test]
fn identify_falls_back_to_twelve_bytes() {
    let (mut rig, _) = attach(DriveConfig { sat: Sat::Only12, ..hiding() }, settings());
    assert!(matches!(rig.capture().identify, Identify::Valid(_)));
    let twelve = vec![0xA1, 0x08, 0x0E, 0, 1, 0, 0, 0, 0x40, 0xEC, 0, 0];
    assert_eq!(rig.log().iter().filter(|cdb| **cdb == twelve).count(), 1);
    let (rig, ata) = attach(DriveConfig { sat: Sat::None, ..hiding() }, listed());
    assert_eq!(ata, []);
    assert!(matches!(rig.capture().identify, Identify::Failed(_)));
    let invalid = Skip::IdentifyInvalid;
    assert_eq!(skips(&rig), [(10, invalid), (11, invalid), (12, invalid)]);
}

/// No integrity word, or a wrong checksum: the data are kept and used for nothing.
#[test]
fn identify_data_without_integrity_count_for_nothing() {
    for integrity in [Integrity::NoWord, Integrity::WrongChecksum] {
        let announced = Announced { integrity, ..Announced::default() };
        let (rig, ata) = attach(DriveConfig { announced, ..hiding() }, listed());
        assert_eq!(ata, [(0xEC, 0)], "{integrity:?}");
        assert!(matches!(rig.capture().identify, Identify::Invalid(_)));
        let invalid = Skip::IdentifyInvalid;
        assert_eq!(skips(&rig), [(10, invalid), (11, invalid), (12, invalid)]);
        assert_eq!(rig.capture().native_max, Asked::NotAsked(NotRun::IdentifyInvalid));
    }
}

/// Each feature is asked for only where it is announced; unannounced words and words without validity bits count as nothing.
#[test]
fn what_is_not_announced_is_not_asked() {
    let whole = Announced::default();
    let cases = [
        (Announced { hpa: false, ..whole }, vec![0xEC, 0x2F, 0x2F, 0xB1]),
        (Announced { lba48: false, ..whole }, vec![0xEC, 0xF8, 0xB1]),
        (Announced { gpl: false, ..whole }, vec![0xEC, 0x27, 0xB1]),
        (Announced { dco: false, ..whole }, vec![0xEC, 0x27, 0x2F, 0x2F]),
        (Announced { words_valid: false, ..whole }, vec![0xEC]),
    ];
    for (announced, expected) in cases {
        let (rig, ata) = attach(DriveConfig { announced, ..hiding() }, listed());
        let codes: Vec<u8> = ata.iter().map(|(code, _)| *code).collect();
        let lists_identify = rig.capture().log_pages(0x30) > 0;
        let mut expected = expected;
        if !lists_identify && expected.contains(&0x2F) {
            expected.dedup();
        }
        assert_eq!(codes, expected, "{announced:?}");
        assert!(!skips(&rig).is_empty());
        assert!(skips(&rig).iter().all(|(_, reason)| *reason == Skip::NotAnnounced));
    }
}

/// 28-bit drives: the maximum is in LBA(23:0) and DEVICE.
#[test]
fn native_maximum_in_28_bits() {
    let blocks = 0x0234_5678;
    let announced = Announced { lba48: false, ..Announced::default() };
    let config = DriveConfig { announced, native_blocks: blocks, ..DriveConfig::default() };
    let (rig, _) = attach(config, settings());
    assert_eq!(rig.capture().native_max, Asked::Value(blocks));
}

/// D-10: 48 bits.
#[test]
fn native_maximum_in_48_bits() {
    let blocks = 0x1234_5678_9ABC;
    let config =
        DriveConfig { blocks: blocks - 1, native_blocks: blocks, ..DriveConfig::default() };
    let (rig, _) = attach(config, settings());
    assert_eq!(rig.capture().native_max, Asked::Value(blocks));
    assert_eq!(rig.capture().geometry.map(|geometry| geometry.blocks), Some(blocks - 1));
}

/// Registers in fixed format have no room for 48 bits: the value counts as failed, never as a wrong number.
#[test]
fn registers_in_fixed_format_give_no_wrong_number() {
    let config = DriveConfig { registers: RegisterFormat::Fixed, ..hiding() };
    let (rig, _) = attach(config, settings());
    assert!(matches!(rig.capture().native_max, Asked::Failed(_)), "{:?}", rig.capture().native_max);
}

/// A listed bridge is asked for the overlay, with FEATURES C2h.
#[test]
fn a_listed_bridge_is_asked_for_the_overlay() {
    let (rig, ata) = attach(hiding(), listed());
    assert_eq!(ata.last(), Some(&(0xB1, 0xC2)));
    assert_eq!(rig.capture().dco_max, Asked::Value(OVERLAID));
    assert!(rig.capture().listed_bridge);
    assert_eq!(skips(&rig), []);
    let narrow = Settings {
        is_listed: |vendor, product, release| (vendor, product, release) == (0x1209, 2, 0x100),
        ..settings()
    };
    let (_, ata) = attach(hiding(), narrow);
    assert_eq!(ata.last(), Some(&(0xB1, 0xC2)));
    let other = Settings { is_listed: |_, _, release| release == 0x101, ..settings() };
    let (_, ata) = attach(hiding(), other);
    assert_ne!(ata.last(), Some(&(0xB1, 0xC2)));
}

/// B20a: bridges that mangle FEATURES, or keep an old value. Unlisted, the drive keeps its settings whatever they send.
#[test]
fn mangled_features_change_nothing_on_an_unlisted_bridge() {
    let quirks = [
        FeaturesQuirk::Force(0xC0),
        FeaturesQuirk::Force(0xC1),
        FeaturesQuirk::Force(0x0001),
        FeaturesQuirk::Force(0xC3),
        FeaturesQuirk::Stale,
    ];
    for features in quirks {
        let mut config = hiding();
        config.faults.features = features;
        let (rig, ata) = attach(config, settings());
        assert!(ata.iter().all(|(code, _)| !matches!(code, 0xB1 | 0x78)), "{features:?}");
        assert!(skips(&rig).contains(&(12, Skip::BridgeNotListed)));
    }
}

/// The test above has teeth: with the list lifted, the same bridge makes the overlay query a RESTORE.
#[test]
fn the_list_of_bridges_is_what_protects_the_overlay() {
    let mut config = hiding();
    config.faults.features = FeaturesQuirk::Force(0xC0);
    let mut rig = Rig::new(device(config), listed());
    let before = rig.digest();
    rig.attach();
    assert_ne!(rig.digest(), before);
}

/// Step 5: becoming ready, no medium, never ready.
#[test]
fn readiness_is_waited_for() {
    let with = |readiness| {
        let mut config = DriveConfig::default();
        config.faults.readiness = readiness;
        attach(config, settings())
    };
    let (rig, _) = with(Readiness::Becoming(20));
    assert!(rig.capture().geometry.is_some());
    let ready = rig.report().steps.iter().find(|step| step.step == 5).copied().expect("row 5");
    assert_eq!(ready.times, 21);
    let (rig, ata) = with(Readiness::NoMedium);
    assert!(rig.capture().geometry.is_none());
    assert_eq!(
        skips(&rig).get(..3),
        Some(&[(6, Skip::NotReady), (7, Skip::NotReady), (8, Skip::NotReady)][..])
    );
    assert!(!ata.is_empty(), "IDENTIFY does not need a medium");
    let (rig, _) = with(Readiness::Becoming(1_000_000));
    assert!((30 * SECOND..40 * SECOND).contains(&rig.now), "{}", rig.now);
    assert!(rig.capture().geometry.is_none());
}

/// Step 5a: START UNIT once, only after 02h/04h/02h.
#[test]
fn a_spin_up_is_sent_once() {
    let mut config = DriveConfig::default();
    config.faults.readiness = Readiness::NeedsStart;
    let (mut rig, _) = attach(config.clone(), settings());
    let start = vec![0x1B, 0, 0, 0, 1, 0];
    assert_eq!(rig.log().iter().filter(|cdb| **cdb == start).count(), 1);
    assert!(rig.capture().geometry.is_some());
    assert!(rows(&rig).contains(&50));
    let options = UsbOptions {
        faults: vec![UsbFault { trigger: Trigger::Opcode(0x1B), kind: FaultKind::StallCsw }],
        ..UsbOptions::default()
    };
    let mut rig = Rig::new(ModelUsbDrive::new(ModelDrive::new(config), options), settings());
    rig.attach();
    assert_eq!(rig.log().iter().filter(|cdb| **cdb == start).count(), 1);
    let (mut rig, _) = attach(DriveConfig::default(), settings());
    assert!(!rig.log().contains(&start));
}

/// Rule 6: only disks; of several units the first disk.
#[test]
fn the_gate_of_device_types() {
    for device_type in 0..=0x1F {
        let mut rig = Rig::of(DriveConfig { device_type, ..DriveConfig::default() });
        rig.attach();
        let is_disk = matches!(device_type, 0x00 | 0x0E | 0x14);
        assert_eq!(rig.report().refused, (!is_disk).then_some(Refused::DeviceType));
        if !is_disk {
            assert_eq!(rig.log(), [[0x12, 0, 0, 0, 0x24, 0]], "type {device_type:02X}");
        }
    }
    let optical = ModelDrive::new(DriveConfig { device_type: 5, ..DriveConfig::default() });
    let disk = ModelDrive::new(DriveConfig { blocks: 4096, ..DriveConfig::default() });
    let units = vec![optical, disk.clone(), disk];
    let mut rig = Rig::new(ModelUsbDrive::with_units(units, UsbOptions::default()), settings());
    rig.attach();
    assert_eq!((rig.identity().units, rig.identity().unit), (3, 1));
    assert_eq!(rig.capture().geometry.map(|geometry| geometry.blocks), Some(4096));
    let first = rig.report().steps.get(1).copied().expect("row 1");
    assert_eq!((first.step, first.times), (1, 2));
    let completion = rig.read(4095, 1);
    let expected = rig.usb().drive(1).expect("unit 1").peek(4095, 1);
    assert_eq!(rig.delivered(&completion), expected);
    assert_eq!(rig.usb().drive(2).expect("unit 2").log(), []);
    rig.assert_rules();
}

/// Rule 6 with sixteen units: all are asked for their type, and the report holds them.
#[test]
fn sixteen_units_fit_the_report() {
    let of = |device_type| ModelDrive::new(DriveConfig { device_type, ..hiding() });
    let mut units: Vec<_> = (0..15).map(|_| of(0x1E)).collect();
    units.push(of(0));
    let mut rig = Rig::new(ModelUsbDrive::with_units(units, UsbOptions::default()), listed());
    rig.attach();
    assert_eq!((rig.identity().units, rig.identity().unit), (16, 15));
    assert!(rows(&rig).contains(&12));
}

/// D-01: nothing is sent while nobody asks, for hours; every command that was sent is counted.
#[test]
fn an_idle_bridge_sends_nothing() {
    let mut rig = Rig::attached(hiding());
    let (sent, digest) = (rig.side.host().transfers(), rig.digest());
    for _ in 0..8 * 3600 {
        rig.now += SECOND;
        assert_eq!(rig.side.poll(rig.now), None);
    }
    assert_eq!(rig.side.host().transfers(), sent);
    assert_eq!(rig.digest(), digest);
    let own = rig.side.emitted().own;
    assert_eq!(own, rig.side.emitted().wrappers);
    let completion = rig.read(0, 8);
    assert!(super::rig::is_good(&completion));
    assert_eq!(rig.side.emitted().own, own);
    assert_eq!(rig.side.emitted().wrappers, own + 1);
}

/// B11: hubs and composite devices are told so and left unconfigured, for good.
#[test]
fn hubs_and_composite_devices_are_refused() {
    use wb_bridge::host::Request as R;
    let hub = UsbOptions { hub: true, ..UsbOptions::default() };
    let composite = UsbOptions { composite: true, ..UsbOptions::default() };
    for (options, refused) in [(hub, Refused::Hub), (composite, Refused::Composite)] {
        let drive = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
        let mut rig = Rig::new(drive, settings());
        rig.attach();
        assert_eq!(rig.report().refused, Some(refused));
        assert_eq!(rig.event(3600 * SECOND), None);
        let asked = rig.side.host().requests();
        assert!(!asked.iter().any(|request| matches!(request, R::SetConfiguration(_))));
        assert_eq!(rig.side.host().bulk_out(), Vec::<Vec<u8>>::new());
        rig.unplug();
        assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    }
}

/// The statement's digest of who the drive says it is can be made again from the descriptors.
#[test]
fn the_identity_is_the_digest_of_the_descriptors() {
    use sha2::{Digest, Sha256};
    use wb_sim::usb::UsbDevice;
    let mut rig = Rig::attached(DriveConfig::default());
    let mut whole = Sha256::new();
    for setup in [
        [0x80, 6, 0, 1, 0, 0, 18, 0],
        [0x80, 6, 0, 2, 0, 0, 255, 0],
        [0x80, 6, 3, 3, 0x09, 0x04, 255, 0],
    ] {
        whole.update(rig.usb().control(setup, &[]).expect("a descriptor"));
    }
    let digest: [u8; 32] = whole.finalize().into();
    assert_eq!(rig.identity().descriptors, digest);
}
