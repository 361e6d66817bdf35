//! The judge can see: each modifying command changes the digest, reads and queries do not.
//!
//! The tables are written by hand from the standards; they are not the policy's CSV files.

#![allow(clippy::arithmetic_side_effects)]

mod tables;

use super::*;
use proptest::prelude::*;
use tables::{ata_harmless_rows, ata_rows, blocks, harmless_rows, hex, pass, scsi_rows};

fn model() -> ModelDrive {
    ModelDrive::new(DriveConfig {
        blocks: 60_000,
        native_blocks: 62_000,
        dco_blocks: 65_536,
        ..DriveConfig::default()
    })
}

fn run(drive: &mut ModelDrive, cdb: &[u8], data: &[u8]) -> Reply {
    let direction = if data.is_empty() { Direction::In } else { Direction::Out };
    drive.execute(&Request { cdb, direction, data_out: data })
}

/// HWB-RM-01, B1, B2, B3, B7, B8: each modifying SCSI command changes the drive's state, and the judge
/// says so.
#[test]
fn every_modifying_scsi_command_is_seen() {
    for (what, cdb, data, content) in scsi_rows() {
        let mut drive = model();
        let (state, effects) = (drive.state_digest(), drive.effects_digest());
        let medium = drive.medium_digest(0..512);
        run(&mut drive, &hex(cdb), &data);
        assert!(drive.log()[0].modifying, "{what}: judged harmless");
        assert_ne!(drive.state_digest(), state, "{what}: digest unchanged");
        assert_ne!(drive.effects_digest(), effects, "{what}: no effect");
        assert_eq!(drive.medium_digest(0..512) != medium, content, "{what}: content");
        assert_eq!(drive.violations().count(), 1);
    }
}

/// HWB-RM-01, B4, B6, B26: the same for ATA commands in a pass-through, in 85h and, where the registers
/// have room, in A1h and the bridges' tunnels.
#[test]
fn every_modifying_ata_command_is_seen() {
    for (what, cdb, data) in ata_rows() {
        let mut drive = model();
        let (state, effects) = (drive.state_digest(), drive.effects_digest());
        run(&mut drive, &cdb, &data);
        assert!(drive.log()[0].modifying, "{what} {cdb:02X?}: judged harmless");
        assert_eq!(drive.log()[0].ata.unwrap().0, cdb[14]);
        assert_ne!(drive.state_digest(), state, "{what}: digest unchanged");
        assert_ne!(drive.effects_digest(), effects, "{what}: no effect");
    }
}

/// B4: A1h and the tunnels carry the same command to the drive.
#[test]
fn tunnels_reach_the_drive() {
    let freeze = |cdb: &str| {
        let mut drive = model();
        run(&mut drive, &hex(cdb), &[]);
        assert_eq!(drive.log()[0].ata, Some((0xF5, 0)), "{cdb}");
        assert!(drive.state.security.frozen, "{cdb}");
    };
    freeze("A1 06 20 00 00 00 00 00 40 F5 00 00");
    freeze("24 24 00 BF 00 00 00 00 00 00 00 40 F5");
    freeze("D8 15 00 00 06 7B 00000000 00 00 00 00 A0 F5");
    freeze("DF 10 00 0000 00 00 00 00 00 A0 F5");
    freeze("F8 00 22 00 00 00 00 00 00 00 40 F5");

    let mut drive = model();
    run(&mut drive, &hex("F8 00 23 00 00 00 00 00 00 00 00 00"), &[]);
    run(&mut drive, &hex("F8 00 23 00 00 00 00 01 00 00 00 00"), &[]);
    run(&mut drive, &hex("F8 00 22 00 00 00 00 FF 0F 00 40 37"), &[]);
    assert_eq!(drive.capacity().visible, 65_536, "SET MAX EXT beyond the medium stops at its end");
}

/// HWB-RM-02, HWB-RM-03: reads and queries leave the digest as it is.
#[test]
fn harmless_commands_leave_the_digest() {
    for cdb in harmless_rows().into_iter().chain(ata_harmless_rows()) {
        for config in [
            DriveConfig::default(),
            DriveConfig {
                device_type: 0x14,
                zone_blocks: Some(4096),
                block_bytes: 4096,
                ..DriveConfig::default()
            },
        ] {
            let mut drive = ModelDrive::new(config);
            let state = drive.state_digest();
            run(&mut drive, &cdb, &[]);
            assert!(!drive.log()[0].modifying, "{cdb:02X?}: judged modifying");
            assert_eq!(drive.state_digest(), state, "{cdb:02X?}: digest changed");
        }
    }
}

/// Policy 9.1: over all opcodes and service actions, with and without data, the judge and the digest
/// agree. A command that the judge calls harmless never has an effect.
#[test]
fn judge_and_digest_agree_on_all_opcodes() {
    for opcode in 0..=0xFFu8 {
        for action in 0..=0x1Fu8 {
            for fill in [0x00u8, 0xFF] {
                let mut cdb = vec![fill; 16];
                cdb[0] = opcode;
                cdb[1] = (fill & 0xE0) | action;
                agree(&cdb);
            }
        }
    }
}

/// Policy 9.2: the same for all ATA commands and sub-commands.
#[test]
fn judge_and_digest_agree_on_all_ata_commands() {
    for command in 0..=0xFFu8 {
        for feature in 0..=0xFFu16 {
            agree(&pass(0x07, feature, 1, 0xC2_4F00, command));
        }
        for log in 0..=0xFFu64 {
            agree(&pass(0x09, 0, 1, log, command));
        }
    }
}

fn agree(cdb: &[u8]) {
    let mut drive = ModelDrive::new(DriveConfig { blocks: 64, ..DriveConfig::default() });
    let (state, effects) = (drive.state_digest(), drive.effects_digest());
    run(&mut drive, cdb, &[]);
    let modifying = drive.log()[0].modifying;
    assert_eq!(drive.state_digest() != state, modifying, "{cdb:02X?} {}", drive.log()[0].name);
    assert!(modifying || drive.effects_digest() == effects, "{cdb:02X?}: effect without a verdict");
}

proptest! {
    /// Any command of any length with any data: no panic, and effects only with a verdict.
    #[test]
    fn arbitrary_commands_are_judged(
        cdb in proptest::collection::vec(any::<u8>(), 0..33),
        data in proptest::collection::vec(any::<u8>(), 0..2048),
    ) {
        let mut drive = model();
        let effects = drive.effects_digest();
        run(&mut drive, &cdb, &data);
        prop_assert!(drive.log()[0].modifying || drive.effects_digest() == effects);
    }
}

/// Policy 4.4: what the three queries show of HPA, DCO and AMAX, and what the commands against them do.
#[test]
fn hidden_areas_are_shown_and_can_be_lost() {
    let mut drive = model();
    let registers = |drive: &mut ModelDrive, cdb: &[u8]| {
        run(drive, cdb, &[]).sense.unwrap().registers.unwrap().0
    };
    assert_eq!(registers(&mut drive, &pass(0x07, 0, 0, 0, 0x27)).lba, 61_999);
    assert_eq!(registers(&mut drive, &pass(0x07, 0, 0, 0, 0x78)).lba, 65_535);
    let f8 = registers(&mut drive, &pass(0x06, 0, 0, 0, 0xF8));
    assert_eq!((f8.lba, f8.device), (61_999, 0x40));
    let dco = run(&mut drive, &hex("85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00"), &[]);
    assert_eq!(dco.data_in[6..14], 65_535u64.to_le_bytes());

    run(&mut drive, &pass(0x07, 0, 0, 61_999, 0x37), &[]);
    assert_eq!(drive.capacity().visible, 62_000);
    drive.power_cycle();
    assert_eq!(drive.capacity().visible, 60_000, "a volatile SET MAX is forgotten");
    run(&mut drive, &pass(0x07, 0, 1, 61_999, 0x37), &[]);
    drive.power_cycle();
    assert_eq!(drive.capacity().visible, 62_000, "a persistent one is not");
    run(&mut drive, &pass(0x06, 0xC0, 0, 0, 0xB1), &[]);
    assert_eq!(drive.capacity().native, 65_536);
}

/// B20a: a bridge that mangles FEATURES turns DCO IDENTIFY into RESTORE, FREEZE LOCK, or a stale value.
#[test]
fn mangled_features_reach_the_drive() {
    let identify = pass(0x08, 0xC2, 1, 0, 0xB1);
    for (quirk, features) in
        [(FeaturesQuirk::Force(0xC0), 0xC0), (FeaturesQuirk::Force(0xC1), 0xC1)]
    {
        let mut drive = model();
        drive.faults_mut().features = quirk;
        let state = drive.effects_digest();
        run(&mut drive, &identify, &[]);
        assert_eq!(drive.log()[0].ata, Some((0xB1, features)));
        assert!(drive.log()[0].modifying);
        assert_ne!(drive.effects_digest(), state);
    }
    let mut drive = model();
    drive.faults_mut().features = FeaturesQuirk::Force(0x0001);
    run(&mut drive, &pass(0x07, 0, 0, 0, 0x78), &[]);
    assert!(drive.log()[0].modifying, "GET NATIVE MAX became SET");
    let mut drive = model();
    drive.faults_mut().features = FeaturesQuirk::Stale;
    run(&mut drive, &identify, &[]);
    assert_eq!(drive.log()[0].ata, Some((0xB1, 0)));
    run(&mut drive, &identify, &[]);
    assert_eq!(drive.log()[1].ata, Some((0xB1, 0xC2)));
}

/// HWB-RM-03: the words a blocker looks at, for each quirk of the announcement.
#[test]
fn identify_announces_what_is_configured() {
    let identify = |announced| {
        let mut drive = ModelDrive::new(DriveConfig { announced, ..DriveConfig::default() });
        run(&mut drive, &hex("85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00"), &[]).data_in
    };
    let word =
        |data: &[u8], index: usize| u16::from_le_bytes([data[2 * index], data[2 * index + 1]]);
    let sum = |data: &[u8]| data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let all = identify(Announced::default());
    assert_eq!((all.len(), all[510], sum(&all)), (512, 0xA5, 0));
    assert_eq!(word(&all, 0) & 0x8000, 0);
    assert_eq!((word(&all, 83) >> 14, word(&all, 84) >> 14), (1, 1));
    let bits = |data: &[u8]| {
        [(82, 10), (83, 10), (83, 11), (84, 5), (82, 0), (119, 8)]
            .map(|(index, bit)| word(data, index) >> bit & 1)
    };
    assert_eq!(bits(&all), [1; 6]);
    assert_eq!(all[200..208], 65_536u64.to_le_bytes());
    let nothing = identify(Announced {
        hpa: false,
        lba48: false,
        dco: false,
        gpl: false,
        smart: false,
        amax: false,
        words_valid: false,
        packet_device: true,
        integrity: Integrity::NoWord,
    });
    assert_eq!((bits(&nothing), nothing[510], word(&nothing, 83) >> 14), ([0; 6], 0, 0));
    assert_eq!(word(&nothing, 0) >> 15, 1);
    let wrong = identify(Announced { integrity: Integrity::WrongChecksum, ..Announced::default() });
    assert_eq!((wrong[510], sum(&wrong)), (0xA5, 1));
}

/// HWB-RM-04, D-02: each kind of bad block.
#[test]
fn bad_blocks_fail_as_configured() {
    let read = |kind| {
        let faults = Faults { bad: vec![BadBlocks { blocks: 18..19, kind }], ..Faults::default() };
        let mut drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
        run(&mut drive, &hex("28 00 00000010 00 0008 00"), &[])
    };
    let reply = read(BadKind::Medium);
    assert_eq!((reply.data_in.len(), reply.sense), (1024, Some(Sense::new(3, 0x11, 0).at(18))));
    let reply = read(BadKind::MediumNoInformation);
    assert_eq!((reply.data_in.len(), reply.sense), (1024, Some(Sense::new(3, 0x11, 0))));
    let reply = read(BadKind::MediumZeroFilled);
    assert_eq!((reply.data_in.len(), reply.data_in[1024..].iter().max()), (4096, Some(&0)));
    let reply = read(BadKind::Recovered);
    assert_eq!((reply.data_in.len(), reply.sense), (4096, Some(Sense::new(1, 0x17, 1).at(18))));
}

/// D-10: reads and capacity beyond 2 TiB, in 512- and 4096-byte blocks.
#[test]
fn large_media() {
    for block_bytes in [512u32, 4096] {
        let blocks = 3 << 32;
        let mut drive =
            ModelDrive::new(DriveConfig { block_bytes, blocks, ..DriveConfig::default() });
        let ten = run(&mut drive, &hex("25 00 00 00 00 00 00 00 00 00"), &[]).data_in;
        assert_eq!(ten[..4], [0xFF; 4]);
        let sixteen = run(&mut drive, &hex("9E 10 0000000000000000 00000020 00 00"), &[]).data_in;
        assert_eq!(sixteen[..8], (blocks - 1).to_be_bytes());
        let data = run(&mut drive, &hex("88 00 00000002FFFFFFFF 00000001 00 00"), &[]).data_in;
        assert_eq!(data.len(), usize::try_from(block_bytes).unwrap());
        assert_eq!(data[..8], (blocks - 1).to_be_bytes());
        let beyond = run(&mut drive, &hex("88 00 0000000300000000 00000001 00 00"), &[]);
        assert_eq!(beyond.sense, Some(Sense::OUT_OF_RANGE));
    }
}

/// Policy 3.2 steps 5 and 5a: readiness and unit attention.
#[test]
fn readiness_and_attention() {
    let faults = Faults {
        readiness: Readiness::NeedsStart,
        unit_attentions: vec![(0x29, 0x00)],
        ..Faults::default()
    };
    let mut drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
    let state = drive.state_digest();
    let ready = hex("00 00 00 00 00 00");
    assert_eq!(run(&mut drive, &ready, &[]).sense, Some(Sense::new(6, 0x29, 0)));
    assert_eq!(run(&mut drive, &ready, &[]).sense, Some(Sense::new(2, 4, 2)));
    let sense = run(&mut drive, &hex("03 00 00 00 12 00"), &[]).data_in;
    assert_eq!(Sense::decode(&sense), Some(Sense::new(2, 4, 2)));
    assert_eq!(run(&mut drive, &hex("1B 00 00 00 01 00"), &[]).status, Status::Good);
    assert_eq!(run(&mut drive, &ready, &[]).status, Status::Good);
    assert_eq!(drive.state_digest(), state, "a spin-up changes nothing");

    let faults = Faults { readiness: Readiness::Becoming(2), ..Faults::default() };
    let mut drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
    let becoming = Some(Sense::new(2, 4, 1));
    assert_eq!(run(&mut drive, &ready, &[]).sense, becoming);
    assert_eq!(run(&mut drive, &ready, &[]).sense, becoming);
    assert_eq!(run(&mut drive, &ready, &[]).status, Status::Good);
}

/// Policy 5.4: a drive whose capacity answer changes, or lies.
#[test]
fn capacity_faults() {
    let faults = Faults { capacity_change: Some((1, 100)), ..Faults::default() };
    let mut drive = ModelDrive::new(DriveConfig { faults, ..DriveConfig::default() });
    let cdb = hex("25 00 00 00 00 00 00 00 00 00");
    assert_eq!(run(&mut drive, &cdb, &[]).data_in[..4], 65_535u32.to_be_bytes());
    assert_eq!(run(&mut drive, &cdb, &[]).data_in[..4], 99u32.to_be_bytes());
    drive.faults_mut().capacity_change = None;
    drive.faults_mut().capacity_lie = Some(7);
    assert_eq!(run(&mut drive, &cdb, &[]).data_in[..4], 6u32.to_be_bytes());
}

/// B16: refused opcodes, and answers that no honest drive gives; a refused write is still seen.
#[test]
fn invented_answers_and_refusals() {
    let mut drive = model();
    drive.faults_mut().replies = vec![(hex("12 01 00"), vec![0xFF; 300])];
    drive.faults_mut().refused = vec![0x9E, 0x2A];
    assert_eq!(run(&mut drive, &hex("12 01 00 00 FF 00"), &[]).data_in, vec![0xFF; 300]);
    assert_eq!(run(&mut drive, &hex("12 00 00 00 24 00"), &[]).data_in.len(), 36);
    let capacity = run(&mut drive, &hex("9E 10 0000000000000000 00000020 00 00"), &[]);
    assert_eq!(capacity.sense, Some(Sense::INVALID_OPCODE));
    let (state, effects) = (drive.state_digest(), drive.effects_digest());
    run(&mut drive, &hex("2A 00 00000010 00 0001 00"), &blocks(1));
    assert_eq!(drive.effects_digest(), effects);
    assert_ne!(drive.state_digest(), state);
}

/// B19: a drive that saves attributes when SMART data is read shows it.
#[test]
fn smart_read_can_save() {
    let mut drive = model();
    drive.faults_mut().smart_read_saves = true;
    let effects = drive.effects_digest();
    run(&mut drive, &pass(0x08, 0xD0, 1, 0xC2_4F00, 0xB0), &[]);
    assert_ne!(drive.effects_digest(), effects);
}

/// SAT quirks: which opcodes the bridge takes, and the two formats of returned registers.
#[test]
fn bridges_differ() {
    let with =
        |sat, registers| ModelDrive::new(DriveConfig { sat, registers, ..DriveConfig::default() });
    let identify16 = hex("85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00");
    let identify12 = hex("A1 08 0E 00 01 00 00 00 40 EC 00 00");
    let power = pass(0x06, 0, 0, 0, 0xE5);
    let mut none = with(Sat::None, RegisterFormat::Descriptor);
    assert_eq!(run(&mut none, &identify16, &[]).sense, Some(Sense::INVALID_OPCODE));
    assert_eq!(run(&mut none, &identify12, &[]).sense, Some(Sense::INVALID_OPCODE));
    let mut only12 = with(Sat::Only12, RegisterFormat::Descriptor);
    assert_eq!(run(&mut only12, &identify16, &[]).sense, Some(Sense::INVALID_OPCODE));
    assert_eq!(run(&mut only12, &identify12, &[]).data_in.len(), 512);
    let mut fixed = with(Sat::Both, RegisterFormat::Fixed);
    run(&mut fixed, &power, &[]);
    let sense = run(&mut fixed, &hex("03 00 00 00 12 00"), &[]).data_in;
    assert_eq!(sense[..12], hex("70 00 01 00 50 40 FF 0A 00 00 00 00")[..]);
    let mut both = with(Sat::Both, RegisterFormat::Descriptor);
    run(&mut both, &power, &[]);
    let sense = run(&mut both, &hex("03 00 00 00 FC 00"), &[]).data_in;
    assert_eq!(sense, hex("72 01 00 1D 00 00 00 0E 09 0C 00 00 00 FF 00 00 00 00 00 00 40 50"));
}
