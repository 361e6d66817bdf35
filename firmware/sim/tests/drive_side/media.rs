//! Sizes, read errors and exchanged media.

use wb_bridge::{
    drive::{Completion, Drive, DriveEvent, Slot, Status},
    usb::Return,
};
use wb_policy::{down::DownCommand, sense::Sense};
use wb_sim::{
    controller::Injected,
    drive::{BadBlocks, BadKind, Base, DriveConfig, Readiness},
    usb::UsbOptions,
};

use super::rig::{Rig, SECOND, is_good, settings};

fn sense(completion: &Completion) -> Sense {
    match completion.status {
        Status::Check(sense) => sense,
        other => panic!("{other:?}"),
    }
}

fn bad(kind: BadKind) -> Rig {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 205..207, kind }];
    Rig::attached(config)
}

/// HWB-AM-02, D-10: every READ gives the bytes of its blocks, at both block sizes and both speeds, up to the last block of 48 bits.
#[test]
fn reads_give_the_medium() {
    let sizes = [65_536, (1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 36, 1 << 48];
    for block_bytes in [512, 4096] {
        for blocks in sizes {
            for speed in [wb_sim::usb::Speed::High, wb_sim::usb::Speed::Full] {
                let config = DriveConfig {
                    blocks,
                    block_bytes,
                    base: Base::Stamp(blocks),
                    ..DriveConfig::default()
                };
                let options = UsbOptions { speed, ..UsbOptions::default() };
                let drive = wb_sim::usb::ModelUsbDrive::new(
                    wb_sim::drive::ModelDrive::new(config),
                    options,
                );
                let mut rig = Rig::new(drive, settings());
                rig.attach();
                let geometry = rig.capture().geometry.expect("a size");
                assert_eq!((geometry.blocks, geometry.block_bytes), (blocks, block_bytes));
                let most = 65_536 / block_bytes;
                for (lba, count) in [
                    (0, 1),
                    (0, most),
                    (blocks - 1, 1),
                    (blocks - 3, 3),
                    (blocks - u64::from(most), most),
                    (blocks / 2, 2),
                ] {
                    let completion = rig.read(lba, count);
                    assert!(is_good(&completion));
                    let expected = rig.model().peek(lba, count.into());
                    assert_eq!(rig.delivered(&completion), expected, "{lba} of {blocks}");
                }
                rig.assert_clean();
            }
        }
    }
}

/// D-02, HWB-AM-04: the good blocks before the failing one, then the drive's own sense with its address.
#[test]
fn a_read_error_keeps_the_good_blocks_and_the_address() {
    let mut rig = bad(BadKind::Medium);
    let completion = rig.read(200, 16);
    assert_eq!(completion.delivered, 5 * 512);
    let peeked = rig.model().peek(200, 5);
    assert_eq!(rig.delivered(&completion), peeked);
    let found = sense(&completion);
    assert_eq!((found.code().key, found.code().asc), (3, 0x11));
    assert_eq!(found.information(), Some(205));
    assert!(found.is_from_drive() && !found.is_refusal());
    assert!(is_good(&rig.read(207, 8)));
    rig.assert_clean();
}

/// The drive's sense is not changed here: without an address, or with zeros in place of data.
#[test]
fn other_kinds_of_read_errors_are_passed_on() {
    let mut rig = bad(BadKind::MediumNoInformation);
    let completion = rig.read(200, 16);
    assert_eq!((completion.delivered, sense(&completion).information()), (5 * 512, None));
    let mut rig = bad(BadKind::MediumZeroFilled);
    let completion = rig.read(200, 16);
    assert_eq!(sense(&completion).information(), Some(205));
    let mut rig = bad(BadKind::Recovered);
    let completion = rig.read(200, 16);
    assert_eq!(sense(&completion).code().key, 1);
    assert_eq!(completion.delivered, 16 * 512);
}

/// D-02: block by block, the unreadable set is the drive's own.
#[test]
fn the_unreadable_set_is_the_drives_own() {
    let mut rig = bad(BadKind::Medium);
    let failed: Vec<u64> = (195..215).filter(|lba| !is_good(&rig.read(*lba, 1))).collect();
    assert_eq!(failed, [205, 206]);
}

/// READ CAPACITY(16) decides where (10) says "more than fits", and is asked of old drives only then.
#[test]
fn old_drives_are_asked_for_the_long_capacity_only_when_needed() {
    for (blocks, asked) in [(65_536, false), (1 << 33, true)] {
        let config = DriveConfig { blocks, version: 0x04, ..DriveConfig::default() };
        let mut rig = Rig::attached(config);
        assert_eq!(rig.log().iter().any(|cdb| cdb.first() == Some(&0x9E)), asked);
        assert_eq!(rig.capture().geometry.map(|geometry| geometry.blocks), Some(blocks));
        assert_eq!(rig.capture().capacity16.is_some(), asked);
    }
}

/// 5.4: a capacity that changes later reaches the bridge core as it is; the captured range still bounds every READ.
#[test]
fn a_changed_capacity_does_not_move_the_bounds() {
    let mut rig = Rig::attached(DriveConfig::default());
    let geometry = rig.capture().geometry.expect("a size");
    rig.model().faults_mut().capacity_lie = Some(1 << 20);
    let completion = rig.run(DownCommand::ReadCapacity10);
    assert!(is_good(&completion));
    assert_eq!(rig.delivered(&completion), [0, 0x0F, 0xFF, 0xFF, 0, 0, 2, 0]);
    assert_eq!(rig.capture().geometry, Some(geometry));
    let beyond = wb_policy::geometry::Geometry { blocks: 1 << 20, block_bytes: 512 };
    let read = DownCommand::Read(beyond.range(geometry.blocks, 1).expect("inside the lie"));
    assert!(!rig.side.start(&read, Slot::A, rig.now));
    rig.assert_clean();
}

/// 5.5, B23: 06h/28h is passed on, then the script runs again and the new medium counts.
#[test]
fn an_exchanged_medium_is_captured_anew() {
    let mut rig = Rig::attached(DriveConfig { removable: true, ..DriveConfig::default() });
    let old = rig.capture().geometry.expect("a size");
    let next = DriveConfig {
        removable: true,
        blocks: 1000,
        base: Base::Stamp(9),
        ..DriveConfig::default()
    };
    rig.model().exchange_medium(next);
    let digest = rig.digest();
    let completion = rig.read(0, 8);
    assert_eq!(completion.delivered, 0);
    let code = sense(&completion).code();
    assert_eq!((code.key, code.asc), (6, 0x28));
    assert!(rig.side.report().is_none());
    assert!(!rig.side.start(&DownCommand::TestUnitReady, Slot::A, rig.now));
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
    assert_eq!(rig.capture().geometry.map(|geometry| geometry.blocks), Some(1000));
    let stale = DownCommand::Read(old.range(1000, 1).expect("inside the old one"));
    assert!(!rig.side.start(&stale, Slot::A, rig.now));
    let completion = rig.read(999, 1);
    let expected = rig.model().peek(999, 1);
    assert_eq!(rig.delivered(&completion), expected);
    assert_eq!(rig.digest(), digest);
    let rows: Vec<u8> = rig.report().steps.iter().map(|step| step.step).collect();
    assert_eq!(rows.get(..2), Some(&[0, 1][..]));
    rig.assert_clean();
}

/// A card reader: empty at attach, filled, emptied without a unit attention, filled with another card.
#[test]
fn a_card_reader_is_followed() {
    let empty = |readiness| {
        let mut config = DriveConfig { removable: true, ..DriveConfig::default() };
        config.faults.readiness = readiness;
        config
    };
    let mut rig = Rig::attached(empty(Readiness::NoMedium));
    assert!(rig.capture().geometry.is_none());
    let code = sense(&rig.run(DownCommand::TestUnitReady)).code();
    assert_eq!((code.key, code.asc), (2, 0x3A));
    assert!(rig.side.report().is_some(), "still empty is no change");
    rig.model().exchange_medium(empty(Readiness::Ready));
    assert_eq!(sense(&rig.run(DownCommand::TestUnitReady)).code().asc, 0x28);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
    assert!(rig.capture().geometry.is_some());
    rig.model().faults_mut().readiness = Readiness::NoMedium;
    rig.model().power_cycle();
    assert_eq!(sense(&rig.read(0, 1)).code().asc, 0x3A);
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
    assert!(rig.capture().geometry.is_none());
    rig.model().faults_mut().readiness = Readiness::Ready;
    rig.model().power_cycle();
    assert!(is_good(&rig.run(DownCommand::TestUnitReady)));
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
    assert!(rig.capture().geometry.is_some());
    assert_eq!(rig.side.returned(), None::<Return>);
    rig.assert_clean();
}

/// A medium exchanged while the script runs: the script begins anew, a bounded number of times.
#[test]
fn a_medium_exchanged_during_the_script_is_captured_whole() {
    let mut clean = Rig::of(DriveConfig { removable: true, ..DriveConfig::default() });
    let mut polls = 1;
    while clean.step().is_none() {
        polls += 1;
    }
    for at in 0..polls + 2 {
        let mut rig = Rig::of(DriveConfig { removable: true, ..DriveConfig::default() });
        for _ in 0..at {
            if rig.step().is_some() {
                break;
            }
        }
        let next = DriveConfig { removable: true, blocks: 1000, ..DriveConfig::default() };
        rig.model().exchange_medium(next);
        rig.event(SECOND);
        let completion = rig.run(DownCommand::TestUnitReady);
        if !is_good(&completion) {
            assert_eq!(sense(&completion).code().asc, 0x28);
            assert_eq!(rig.event(SECOND), Some(DriveEvent::Changed));
        }
        assert_eq!(rig.capture().geometry.map(|geometry| geometry.blocks), Some(1000), "at {at}");
        rig.assert_clean();
    }
}

/// The same while the drive's answers get lost: its word of the exchange may be among them.
#[test]
fn a_medium_exchanged_during_the_script_is_noticed_although_an_answer_is_lost() {
    let removable = || DriveConfig { removable: true, ..DriveConfig::default() };
    let mut clean = Rig::of(removable());
    let mut polls = 1;
    while clean.step().is_none() {
        polls += 1;
    }
    for kind in [Injected::AnswerLost, Injected::Babble] {
        for (at, offset) in (0..polls).flat_map(|at| (0..8).map(move |offset| (at, offset))) {
            let mut rig = Rig::of(removable());
            if (0..at).any(|_| rig.step().is_some()) {
                continue;
            }
            rig.model().exchange_medium(DriveConfig { blocks: 1000, ..removable() });
            let lost = rig.side.host().transfers() + offset;
            rig.side.host_mut().inject(lost, kind);
            rig.event(40 * SECOND);
            for _ in 0..3 {
                rig.run(DownCommand::TestUnitReady);
                rig.event(SECOND);
            }
            let blocks = rig.capture().geometry.map(|geometry| geometry.blocks);
            assert_eq!(blocks, Some(1000), "{kind:?} at {at}, {offset} later");
            rig.assert_clean();
        }
    }
}

/// Register commands: the answer is the sense with the registers, also from an adapter that ends them with good status.
#[test]
fn register_commands_answer_with_registers() {
    let mut rig = Rig::attached(DriveConfig::default());
    let completion = rig.run(DownCommand::CheckPowerMode);
    let registers = sense(&completion).ata_registers().expect("registers");
    assert_eq!(registers.count & 0xFF, 0xFF);
    rig.assert_clean();
}
