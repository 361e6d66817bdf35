//! The assertions and test cases of the published requirements, 1.1: HWB-AM-01 to 05 and HWB-01 to 09 (NIST CFTT). What the method leaves open,
//! D-01 to D-10, is in `cftt_gaps.rs`.
//!
//! HWB-04 and HWB-07 are here in the form of replayed traces; with the kernel itself they are in the guest's ladder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // numbers of blocks are small here

mod attempt;
mod common;
mod oracle;
mod replayed;

use std::collections::{BTreeMap, BTreeSet};

use attempt::{hex, info, start, usb, verified};
use common::{Bridge, CORE, bridge, bridge_with, model, read10};
use oracle::{Data, Seen, expect, judge, right_length};
use proptest::prelude::*;
use replayed::{DDRESCUE, DIRTY, MODIFIERS, READERS, fresh, read_cdb, replayed, untouched};
use sha2::{Digest as _, Sha256};
use wb_attest::interface::Ending;
use wb_policy::tables::POLICY_DIGEST;
use wb_sim::{
    bridge::Setup,
    drive::{BadBlocks, BadKind, DriveConfig, Readiness},
    host::Phase,
};

/// The five files of the published policy.
const FILES: [&str; 5] = [
    include_str!("../../policy/tables/policy-scsi.csv"),
    include_str!("../../policy/tables/policy-ata.csv"),
    include_str!("../../policy/tables/policy-sdmmc.csv"),
    include_str!("../../policy/tables/policy-acmd.csv"),
    include_str!("../../policy/tables/policy-sub.csv"),
];

/// HWB-AM-01: no modifying command is sent to the drive: on no host's request, and at no other time.
#[test]
fn am_01_no_modifying_command_reaches_the_drive() {
    for (name, text) in READERS.iter().chain(&MODIFIERS).chain(&[("dirty", DIRTY)]) {
        let (mut host, digest, _) = replayed(name, text, DriveConfig::default());
        host.device_mut().idle(10_000_000);
        host.device_mut().drive_mut().host_mut().unplug();
        host.device_mut().idle(2_000_000);
        host.device_mut().drive_mut().host_mut().plug();
        assert!(host.device_mut().attach(), "{name}");
        untouched(&host, digest, name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// HWB-AM-02, HWB-RM-02, D-10: a READ brings the blocks it names, in any form, on media of both block sizes and of any size.
    #[test]
    fn am_02_a_read_brings_what_was_asked_for(
        big in any::<bool>(),
        size in prop_oneof![Just(65_536_u64), Just(1 << 33), Just((1 << 48) - 1)],
        reads in prop::collection::vec((any::<u64>(), 1..700_u32, 0..4_usize), 1..12),
    ) {
        let block_bytes = if big { 4096 } else { 512 };
        let mut host = bridge(DriveConfig { block_bytes, blocks: size, ..DriveConfig::default() });
        for (at, blocks, form) in reads {
            let lba = at % (size - 700);
            let blocks = if form == 0 { blocks.clamp(1, 256) } else { blocks };
            let cdb = read_cdb(form, lba, blocks);
            let bytes = blocks * block_bytes;
            let outcome = host.command(&cdb, Phase::In(bytes)).unwrap();
            prop_assert_eq!((outcome.status, outcome.residue), (0, 0));
            let first = first_block(&cdb);
            prop_assert!(outcome.data == model(&host).peek(first, u64::from(blocks)), "{:02X?}", cdb);
        }
        prop_assert_eq!(model(&host).violations().count(), 0);
    }
}

fn first_block(cdb: &[u8]) -> u64 {
    let range = match cdb[0] {
        0x08 => 1..4,
        0x88 => 2..10,
        _ => 2..6,
    };
    cdb[range].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Shows the host's and the drive's answer to the same question.
fn both(host: &mut Bridge, cdb: &[u8], length: u32) -> (Vec<u8>, Vec<u8>) {
    let shown = host.command(cdb, Phase::In(length)).unwrap();
    assert_eq!(shown.status, 0, "{cdb:02X?}");
    let mut drive = model(host).clone();
    let own = drive.execute(&wb_sim::drive::Request::new(cdb)).data_in;
    (shown.data, own)
}

/// HWB-AM-03, HWB-08, HWB-RM-03: size, block size, identity: bit for bit the drive's, save a closed list of bits.
fn access_significant_information(config: DriveConfig) {
    let mut host = bridge(config);
    // Nothing of these is edited.
    for (cdb, length) in [
        ("12 01 80 00 FF 00", 255),
        ("12 01 83 00 FF 00", 255),
        ("12 01 89 02 3C 00", 572),
        ("12 01 B1 00 FF 00", 255),
        ("25 00 00 00 00 00 00 00 00 00", 8),
        ("85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00", 512),
    ] {
        let (shown, own) = both(&mut host, &hex(cdb), length);
        assert_eq!(shown, own, "{cdb}");
    }
    // READ CAPACITY(16): PROT_EN, P_TYPE, LBPME and LBPRZ are cleared.
    let (shown, own) = both(&mut host, &hex("9E 10 0000000000000000 00000020 00 00"), 32);
    let edited = |at: usize| match at {
        12 => 0x0F,
        14 => 0xC0,
        _ => 0,
    };
    equal_but_for(&shown, &own, edited);
    // Standard INQUIRY: NormACA; SCCS to PROTECT; EncServ, MultiP; CmdQue; the length with what it cuts off.
    let (shown, own) = both(&mut host, &hex("12 00 00 00 60 00"), 96);
    let edited = |at: usize| match at {
        0 => 0xE0,
        3 => 0x20,
        4 => 0xFF,
        5 => 0xF9,
        6 => 0x50,
        7 => 0x02,
        _ => 0,
    };
    equal_but_for(&shown[..36], &own[..36], edited);
    // B0h and B2h: what would invite a host to discard.
    let (shown, own) = both(&mut host, &hex("12 01 B0 00 FF 00"), 255);
    equal_but_for(&shown, &own, |at| {
        u8::from(at == 4) | if matches!(at, 5 | 20..=27 | 36..=63) { 0xFF } else { 0 }
    });
    let (shown, own) = both(&mut host, &hex("12 01 B2 00 FF 00"), 255);
    equal_but_for(&shown, &own, |at| match at {
        5 => 0xE0,
        6 => 0x07,
        _ => 0,
    });
}

fn equal_but_for(shown: &[u8], own: &[u8], edited: impl Fn(usize) -> u8) {
    assert_eq!(shown.len(), own.len());
    for (at, (shown, own)) in shown.iter().zip(own).enumerate() {
        assert_eq!((shown ^ own) & !edited(at), 0, "byte {at}: {shown:02X} for {own:02X}");
    }
}

fn kinds_of_drive() -> [DriveConfig; 4] {
    let mut named = DriveConfig::default();
    named.identity.vendor = "ATA     ".into();
    named.identity.product = "WDC WD40PURZ-85A".into();
    named.identity.serial = "WD-WCC7K0123456".into();
    [
        DriveConfig::default(),
        named,
        DriveConfig { block_bytes: 4096, blocks: 1 << 30, ..DriveConfig::default() },
        DriveConfig {
            blocks: 7_814_037_168,
            native_blocks: 7_814_037_168,
            ..DriveConfig::default()
        },
    ]
}

/// HWB-AM-03.
#[test]
fn am_03_information_is_unmodified() {
    for config in kinds_of_drive() {
        access_significant_information(config);
    }
}

/// HWB-AM-04: an error that the drive does not resolve is an error for the host: medium, readiness, size, transport.
#[test]
fn am_04_an_error_of_the_drive_is_an_error_for_the_host() {
    for kind in [
        BadKind::Medium,
        BadKind::MediumNoInformation,
        BadKind::MediumZeroFilled,
        BadKind::Recovered,
    ] {
        let mut config = DriveConfig::default();
        config.faults.bad = vec![BadBlocks { blocks: 77..78, kind }];
        let mut host = bridge(config);
        assert_eq!(read10(&mut host, 70, 20).status, 1, "{kind:?}");
        assert_ne!(oracle::sense(&mut host)[14], 0x57, "{kind:?}");
    }
    for (asc, ascq) in [(0x29, 0x00), (0x2A, 0x01), (0x3F, 0x0E)] {
        let mut host = bridge(DriveConfig::default());
        usb(&mut host).drive_mut(0).unwrap().raise_unit_attention(asc, ascq);
        assert_eq!(read10(&mut host, 0, 1).status, 1);
        let sense = oracle::sense(&mut host);
        assert_eq!((sense[2], sense[12], sense[13]), (6, asc, ascq));
        assert_ne!(sense[14], 0x57);
    }
    let mut config = DriveConfig::default();
    config.faults.silent_short_read = Some(1);
    let mut host = bridge(config);
    assert_eq!(read10(&mut host, 0, 8).status, 1, "short data under GOOD is an error");
    let mut config = DriveConfig::default();
    config.faults.readiness = Readiness::NoMedium;
    let mut host = fresh(config);
    assert_eq!(host.command(&[0; 6], Phase::None).unwrap().status, 1);
    assert_eq!(host.command(&[0; 6], Phase::None).unwrap().status, 1);
    assert_eq!(host.sense().unwrap().0, [2, 0x3A, 0]);
}

/// HWB-AM-05: what happens to all other commands is published: the five files, whose digest the bridge shows and signs.
#[test]
fn am_05_the_policy_is_published_and_its_digest_shown() {
    let mut sum = Sha256::new();
    for file in FILES {
        assert!(!file.contains('\r'));
        sum.update(file.as_bytes());
    }
    let digest: [u8; 32] = sum.finalize().into();
    let mut host = bridge(DriveConfig::default());
    assert_eq!(info(&mut host).policy, digest);
    assert_eq!(POLICY_DIGEST, digest);
    start(&mut host);
    assert_eq!(verified(&mut host, Ending::Final).firmware.policy, digest);
    // And every code is in it.
    for file in &FILES[..2] {
        assert_eq!(file.lines().count(), 257);
    }
    for file in &FILES[2..4] {
        assert_eq!(file.lines().count(), 65);
    }
}

/// What a command generator in front and an analyser behind the bridge see: the operation codes and ATA commands that come through.
fn through() -> (BTreeSet<u8>, BTreeSet<u8>) {
    let mut host = bridge(DriveConfig::default());
    let before = model(&host).log().len();
    for opcode in 0..=u8::MAX {
        for action in 0..32 {
            for length in [0_u32, 512] {
                let mut cdb = vec![0; right_length(opcode)];
                (cdb[0], cdb[1]) = (opcode, action);
                // A READ of one block, a page of LOG SENSE.
                match opcode {
                    0x28 => cdb[8] = 1,
                    0x88 => cdb[13] = 1,
                    0xA8 => cdb[9] = 1,
                    0x08 => cdb[4] = 1,
                    0x4D => cdb[2] = 0x40,
                    _ => {}
                }
                judge(
                    &mut host,
                    &cdb,
                    if length == 0 { Data::None } else { Data::In(length) },
                    false,
                );
            }
        }
    }
    for command in 0..=u8::MAX {
        for (protocol, extend) in [(3, false), (3, true), (4, false), (4, true), (6, true)] {
            let cdb = attempt::ata16(protocol, command, 0, u16::from(protocol != 3), 0, extend);
            let data = if protocol == 3 { Data::None } else { Data::In(512) };
            judge(&mut host, &cdb, data, false);
        }
    }
    let log = &model(&host).log()[before..];
    let scsi = log.iter().filter(|entry| entry.ata.is_none()).map(|entry| entry.cdb[0]).collect();
    let ata = log.iter().filter_map(|entry| entry.ata).map(|(command, _)| command).collect();
    (scsi, ata)
}

/// HWB-01: the list of all commands that are not blocked; all others are.
#[test]
fn hwb_01_commands_that_are_blocked() {
    let (scsi, ata) = through();
    // TEST UNIT READY, REQUEST SENSE, READ CAPACITY(10), READ(10), LOG SENSE, REPORT ZONES, READ CAPACITY(16), SECURITY PROTOCOL IN.
    assert_eq!(scsi, BTreeSet::from([0x00, 0x03, 0x25, 0x28, 0x4D, 0x95, 0x9E, 0xA2]));
    // READ NATIVE MAX [EXT], READ LOG EXT, REPORT ZONES EXT, TRUSTED RECEIVE, CHECK POWER MODE.
    assert_eq!(ata, BTreeSet::from([0x27, 0x2F, 0x4A, 0x5C, 0xE5, 0xF8]));
}

/// HWB-02: every command that the published policy calls modifying is blocked, whatever its service action.
#[test]
fn hwb_02_modifying_commands_are_blocked() {
    let mut host = bridge(DriveConfig::default());
    let digest = model(&host).state_digest();
    let (mut scsi, mut ata) = (0, 0);
    for line in FILES[0].lines().skip(1) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let is_modifying = fields.contains(&"MOD");
        if is_modifying {
            let opcode = u8::from_str_radix(fields[0].trim_start_matches("0x"), 16).unwrap();
            for action in 0..32 {
                let mut cdb = vec![0; right_length(opcode)];
                (cdb[0], cdb[1]) = (opcode, action);
                for data in [Data::None, Data::Out(512)] {
                    let seen = expect(&cdb, data, false).seen;
                    assert!(matches!(seen, Seen::Wp | Seen::Op), "{opcode:02X}");
                    judge(&mut host, &cdb, data, false);
                }
            }
            scsi += 1;
        }
    }
    for line in FILES[1].lines().skip(1) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        if fields.contains(&"MOD") {
            let command = u8::from_str_radix(fields[0].trim_start_matches("0x"), 16).unwrap();
            for (protocol, data) in [(3, Data::None), (5, Data::Out(512)), (6, Data::In(512))] {
                for extend in [false, true] {
                    judge(
                        &mut host,
                        &attempt::ata16(protocol, command, 0, 1, 0, extend),
                        data,
                        false,
                    );
                }
                judge(&mut host, &attempt::ata12(protocol, command, 0, 1, 0), data, false);
            }
            ata += 1;
        }
    }
    assert!(scsi > 40 && ata > 40, "{scsi} {ata}");
    untouched(&host, digest, "modifying");
}

/// HWB-03: commands of tools that try to modify: hdparm, a wiper.
#[test]
fn hwb_03_tools_that_try_to_modify() {
    for (name, text) in &MODIFIERS[2..] {
        let (mut host, digest, steps) = replayed(name, text, DriveConfig::default());
        untouched(&host, digest, name);
        let refused = steps.iter().filter(|step| step.outcome.status == 1).count();
        assert!(refused > 25, "{name}: {refused}");
        assert!(info(&mut host).refused >= 14, "{name}: {}", info(&mut host).refused);
    }
}

/// HWB-04: operating systems that try to modify: a dirty journal, a new partition table, a format, hidden files.
#[test]
fn hwb_04_operating_systems_that_try_to_modify() {
    for (name, text) in MODIFIERS[..2].iter().chain(&[("dirty", DIRTY)]) {
        let (mut host, digest, steps) = replayed(name, text, DriveConfig::default());
        untouched(&host, digest, name);
        let writes = steps.iter().filter(|step| step.sense.get(12) == Some(&0x27)).count();
        assert!(writes >= 3, "{name}");
        assert!(info(&mut host).refused as usize >= writes);
    }
}

/// HWB-05: the read commands, each in all its forms.
#[test]
fn hwb_05_read_commands_are_allowed() {
    let mut host = bridge(DriveConfig::default());
    for cdb in [
        "08 00 10 00 03 00",
        "28 00 00001000 00 0003 00",
        "A8 00 00001000 00000003 00 00",
        "88 00 0000000000001000 00000003 00 00",
    ] {
        let outcome = host.command(&hex(cdb), Phase::In(1536)).unwrap();
        assert_eq!((outcome.status, outcome.data), (0, model(&host).peek(0x1000, 3)), "{cdb}");
    }
    // DPO, FUA, RARC and the group number are dropped, and the blocks come.
    for flags in [0x08, 0x10, 0x18, 0x04] {
        let mut cdb = hex("28 00 00001000 00 0003 00");
        (cdb[1], cdb[6]) = (flags, 0x1F);
        let before = model(&host).log().len();
        assert_eq!(host.command(&cdb, Phase::In(1536)).unwrap().status, 0);
        assert_eq!(model(&host).log()[before].cdb, hex("28 00 00001000 00 0003 00"));
    }
}

/// HWB-06: what readers and information tools send, and what of it comes through: the allow log.
#[test]
fn hwb_06_tools_that_read_and_ask() {
    let mut arrived: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, text) in READERS {
        let (host, digest, _) = replayed(name, text, DriveConfig::default());
        untouched(&host, digest, name);
        for entry in model(&host).log() {
            *arrived.entry(entry.name).or_default() += 1;
        }
    }
    let names: Vec<_> = arrived.keys().copied().collect();
    assert_eq!(
        names,
        [
            "CHECK POWER MODE",
            "IDENTIFY DEVICE",
            "INQUIRY",
            "LOG SENSE",
            "MODE SENSE(6)",
            "READ CAPACITY(10)",
            "READ CAPACITY(16)",
            "READ LOG EXT",
            "READ NATIVE MAX ADDRESS EXT",
            "READ(10)",
            "REQUEST SENSE",
            "TEST UNIT READY",
        ]
    );
}

/// HWB-07: the whole drive is read through the bridge; its hash is the drive's.
#[test]
fn hwb_07_the_drive_is_imaged() {
    for block_bytes in [512, 4096] {
        let blocks = (32 << 20) / block_bytes;
        let config = DriveConfig { block_bytes, blocks: blocks.into(), ..DriveConfig::default() };
        let (mut host, digest, _) =
            replayed("attach", "00 00 00 00 00 00 | none | 06/29/00", config);
        let mut sum = Sha256::new();
        for lba in (0..blocks).step_by(256) {
            let outcome = read10(&mut host, lba, 256.min(blocks - lba) as u16);
            assert_eq!(outcome.status, 0);
            sum.update(&outcome.data);
        }
        let image: [u8; 32] = sum.finalize().into();
        assert_eq!(image, model(&host).medium_digest(0..blocks.into()));
        untouched(&host, digest, "imaged");
    }
}

/// HWB-08: as HWB-AM-03, of drives that hide something, and of a large one behind a bridge without profiles.
#[test]
fn hwb_08_access_significant_information() {
    access_significant_information(DriveConfig {
        native_blocks: 70_000,
        dco_blocks: 80_000,
        ..DriveConfig::default()
    });
    let config = DriveConfig { blocks: 1 << 40, ..DriveConfig::default() };
    let mut host = bridge_with(&Setup { profiles: CORE, ..Setup::default() }, config);
    let (shown, own) = both(&mut host, &hex("25 00 00 00 00 00 00 00 00 00"), 8);
    assert_eq!((shown.clone(), &shown[..4]), (own, &[0xFF; 4][..]));
    let (shown, own) = both(&mut host, &hex("9E 10 0000000000000000 00000020 00 00"), 32);
    assert_eq!(shown[..12], own[..12]);
}

/// HWB-09: errors of the drive are returned to the host, with their place.
#[test]
fn hwb_09_errors_are_returned() {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 1000..1003, kind: BadKind::Medium }];
    let (host, digest, steps) = replayed("ddrescue", DDRESCUE, config);
    untouched(&host, digest, "ddrescue");
    let named: Vec<u32> = steps
        .iter()
        .filter(|step| step.sense.get(12) == Some(&0x11))
        .map(|step| u32::from_be_bytes(step.sense[3..7].try_into().unwrap()))
        .collect();
    assert_eq!(named, [1000, 1000, 1002, 1001, 1000, 1000]);
    assert!(
        steps
            .iter()
            .filter(|step| !step.sense.is_empty())
            .all(|step| step.sense[14] != 0x57 || step.sense[12] == 0x21)
    );
}
