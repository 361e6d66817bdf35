//! The assertions and test cases of the published requirements: HWB-AM-01 to 05, HWB-01 to 09 (NIST CFTT, 1.1) and D-01 to D-10 (1.2).
//!
//! HWB-04 and HWB-07 are here in the form of replayed traces; with the kernel itself they are in the guest's ladder. D-09 (a build that others
//! can repeat) is no matter of this process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // numbers of blocks are small here

mod attempt;
mod common;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use attempt::{hex, info, start, verified};
use common::{Bridge, CORE, attached, bridge, bridge_with, controller, model, read10};
use oracle::{Data, Seen, expect, judge, right_length};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use wb_attest::interface::{Ending, flag};
use wb_bridge::drive::Drive as _;
use wb_policy::{
    judge::Profiles,
    tables::{Decision, POLICY, POLICY_DIGEST, Policy},
};
use wb_sim::{
    bridge::Setup,
    drive::{BadBlocks, BadKind, Base, DriveConfig, Readiness},
    host::Phase,
    replay::Trace,
};

/// The five files of the published policy.
const FILES: [&str; 5] = [
    include_str!("../../policy/tables/policy-scsi.csv"),
    include_str!("../../policy/tables/policy-ata.csv"),
    include_str!("../../policy/tables/policy-sdmmc.csv"),
    include_str!("../../policy/tables/policy-acmd.csv"),
    include_str!("../../policy/tables/policy-sub.csv"),
];

/// Traces of programs that read.
const READERS: [(&str, &str); 3] = [
    ("imager", include_str!("traces/imager.txt")),
    ("linux", include_str!("traces/linux.txt")),
    ("smartctl", include_str!("traces/smartctl.txt")),
];
/// Traces of programs and systems that try to modify.
const MODIFIERS: [(&str, &str); 4] = [
    ("windows", include_str!("traces/windows.txt")),
    ("macos", include_str!("traces/macos.txt")),
    ("hdparm", include_str!("traces/hdparm.txt")),
    ("wiper", include_str!("traces/wiper.txt")),
];
const DIRTY: &str = include_str!("traces/linux_dirty.txt");
const DDRESCUE: &str = include_str!("traces/ddrescue.txt");

/// A fresh bridge whose unit attention nobody has taken yet: the traces begin with it.
fn fresh(config: DriveConfig) -> Bridge {
    attached(&Setup::default(), config, |_, _, _| false)
}

/// Replays a trace; the bridge afterwards, and the digest before.
fn replayed(
    name: &str,
    text: &str,
    config: DriveConfig,
) -> (Bridge, [u8; 32], Vec<wb_sim::replay::Replayed>) {
    let mut host = fresh(config);
    let digest = model(&host).state_digest();
    let trace = Trace::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
    let steps = trace.replay(&mut host).unwrap_or_else(|why| panic!("{name}: {why:?}"));
    (host, digest, steps)
}

fn untouched(host: &Bridge, digest: [u8; 32], what: &str) {
    let names: Vec<_> = model(host).violations().map(|entry| entry.name).collect();
    assert_eq!(names, Vec::<&str>::new(), "{what}");
    assert_eq!(model(host).state_digest(), digest, "{what}");
    assert!(controller(host).device().only_cbws(), "{what}");
    assert_eq!(controller(host).violations(), Vec::<String>::new(), "{what}");
}

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

/// READ(6), (10), (12), (16); the shorter ones within the first 32,768 blocks, which every medium has.
fn read_cdb(form: usize, lba: u64, blocks: u32) -> Vec<u8> {
    let lba = if form < 3 { lba & 0x7FFF } else { lba };
    let [a7, a6, a5, a4, a3, a2, a1, a0] = lba.to_be_bytes();
    let [n3, n2, n1, n0] = blocks.to_be_bytes();
    match form {
        0 => vec![0x08, 0, a1, a0, if blocks == 256 { 0 } else { n0 }, 0],
        1 => vec![0x28, 0, 0, 0, a1, a0, 0, n1, n0, 0],
        2 => vec![0xA8, 0, 0, 0, a1, a0, n3, n2, n1, n0, 0, 0],
        _ => vec![0x88, 0, a7, a6, a5, a4, a3, a2, a1, a0, n3, n2, n1, n0, 0, 0],
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

/// D-01: nothing is sent unasked outside the attach script, for two hours; and the statement tells how much the bridge sent of its own.
#[test]
fn d_01_no_unsolicited_commands() {
    let mut host = bridge(DriveConfig::default());
    let script = model(&host).log().len();
    let controls = controller(&host).requests().len();
    host.device_mut().idle(2 * 3_600_000_000);
    // The one command since the attach is the TEST UNIT READY of the host.
    assert_eq!(model(&host).log().len(), script);
    assert_eq!(controller(&host).requests().len(), controls);
    start(&mut host);
    read10(&mut host, 0, 64);
    read10(&mut host, 64, 64);
    let statement = verified(&mut host, Ending::Final);
    let own = u64::from(host.device().core().drive().emitted().own);
    assert_eq!(statement.originated.total, own);
    let all = controller(&host).bulk_out().len() as u64;
    assert_eq!(own, all - 2, "all but the two READs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// D-02: the set of blocks that the host cannot read is the drive's, whatever the size of its reads and whatever the drive says of them.
    #[test]
    fn d_02_errors_keep_their_place(
        bad in prop::collection::btree_set(0..300_u64, 0..12),
        kinds in prop::collection::vec(0..3_usize, 12),
        step in 1..130_u16,
    ) {
        let kind = [BadKind::Medium, BadKind::MediumNoInformation, BadKind::MediumZeroFilled];
        let mut config = DriveConfig { blocks: 300, ..DriveConfig::default() };
        config.faults.bad = bad
            .iter()
            .zip(&kinds)
            .map(|(at, which)| BadBlocks { blocks: *at..at + 1, kind: kind[*which] })
            .collect();
        let mut host = bridge(config);
        let mut seen = BTreeSet::new();
        let mut lba = 0_u32;
        while lba < 300 {
            let outcome = read10(&mut host, lba, step.min(300 - lba as u16));
            let good = (outcome.data.len() / 512) as u32;
            prop_assert!(outcome.data == model(&host).peek(lba.into(), good.into()));
            lba += good;
            if outcome.status != 0 {
                let sense = oracle::sense(&mut host);
                prop_assert_eq!(sense[0], 0xF0);
                prop_assert_eq!(&sense[3..7], &lba.to_be_bytes()[..]);
                seen.insert(u64::from(lba));
                lba += 1;
            }
        }
        prop_assert_eq!(seen, bad);
    }
}

/// D-03: the content is not parsed. Whatever stands on the drive, the same requests make the same commands.
#[test]
fn d_03_content_is_not_parsed() {
    let commands = |base: Base| {
        let (host, ..) =
            replayed("linux", READERS[1].1, DriveConfig { base, ..DriveConfig::default() });
        model(&host).log().iter().map(|entry| entry.cdb.clone()).collect::<Vec<_>>()
    };
    let mut disk = vec![0; 1 << 20];
    // A partition table, GPT, NTFS, ext4 with an unclean journal, RAID and LVM labels.
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk[446..462].copy_from_slice(&hex("80 00 0200 07 000000 00080000 00F00000"));
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xEF]);
    disk[4096..4100].copy_from_slice(&0xA92B_4EFC_u32.to_le_bytes());
    disk[512 + 24..512 + 32].copy_from_slice(b"LABELONE");
    let plain = commands(Base::Zero);
    assert_eq!(commands(Base::image(disk)), plain);
    assert_eq!(commands(Base::Stamp(5)), plain);
}

/// D-04: there is no read-write mode: no profile and no kind of port lets a write through.
#[test]
fn d_04_no_read_write_mode() {
    for ident in [false, true] {
        for smart in [false, true] {
            let profiles = Profiles { ident, smart };
            let mut host =
                bridge_with(&Setup { profiles, ..Setup::default() }, DriveConfig::default());
            let digest = model(&host).state_digest();
            for cdb in [
                "2A 00 00000000 00 0001 00",
                "8A 00 0000000000000000 00000001 00 00",
                "AA 00 00000000 00000001 00 00",
            ] {
                let outcome = host.command(&hex(cdb), Phase::Zeros(512)).unwrap();
                assert_eq!((outcome.status, outcome.residue), (1, 512));
            }
            // MODE SENSE says so, and no MODE SELECT changes it.
            let sense = host.command(&hex("1A 00 3F 00 C0 00"), Phase::In(192)).unwrap().data;
            assert_eq!(sense[2] & 0x90, 0x80, "WP=1, DPOFUA=0");
            assert_eq!(
                host.command(&hex("15 10 00 00 0C 00"), Phase::Zeros(12)).unwrap().status,
                1
            );
            let sense =
                host.command(&hex("5A 00 3F 00 00 00 00 00 C0 00"), Phase::In(192)).unwrap().data;
            assert_eq!(sense[3] & 0x90, 0x80);
            untouched(&host, digest, "no mode");
        }
    }
}

/// D-05: a refused modifying command shows: light, flag and counter, list in the statement.
#[test]
fn d_05_refusals_are_visible() {
    let mut host = bridge(DriveConfig::default());
    start(&mut host);
    host.device_mut().idle(1_000_000);
    assert!(!host.device().lights().refused && !info(&mut host).has(flag::REFUSED));
    let attempts = [
        "2A 00 00000000 00 0001 00",
        "48 03 00 00 00 00 00 00 00 00",
        "85 07 20 00 00 00 00 00 0F 00 27 00 00 40 37 00",
    ];
    for (number, cdb) in (1..).zip(attempts) {
        let phase = if cdb.starts_with("2A") { Phase::Zeros(512) } else { Phase::None };
        host.command(&hex(cdb), phase).unwrap();
        assert!(host.device().lights().refused, "red");
        assert_eq!(info(&mut host).refused, number);
        assert!(info(&mut host).has(flag::REFUSED));
        host.device_mut().idle(1_000_000);
        assert!(!host.device().lights().refused, "and off again");
    }
    let statement = verified(&mut host, Ending::Final);
    assert_eq!((statement.refusals.total, statement.refusals.modifying), (3, 3));
    let listed: Vec<Vec<u8>> = statement
        .refusals
        .first
        .iter()
        .map(|refusal| refusal.cdb[..usize::from(refusal.cdb_len)].to_vec())
        .collect();
    assert_eq!(listed, attempts.map(hex));
}

/// D-06: no discarded write is called a success: every write by name, with data of every length around the packets'.
#[test]
fn d_06_no_success_for_a_discarded_write() {
    let mut host = bridge(DriveConfig::default());
    for opcode in [
        0x0A, 0x2A, 0xAA, 0x8A, 0x2E, 0x8E, 0xAE, 0x41, 0x93, 0x42, 0x3F, 0x89, 0x8B, 0x9A, 0x9C,
        0x9F, 0x15, 0x55, 0x3B, 0x4C, 0x1D, 0xB5,
    ] {
        let mut cdb = vec![0; right_length(opcode)];
        cdb[0] = opcode;
        if opcode == 0x9F {
            cdb[1] = 0x12;
        }
        for length in [0, 1, 24, 511, 512, 513, 4096, 65_535, 65_536] {
            let outcome = host.command(&cdb, Phase::Zeros(length)).unwrap();
            assert_eq!((outcome.status, outcome.residue), (1, length), "{opcode:02X} {length}");
            assert_eq!(outcome.taken, length as usize);
            let sense = oracle::sense(&mut host);
            assert!(matches!(sense[12], 0x27 | 0x20) && sense[14] == 0x57, "{opcode:02X}");
        }
    }
}

/// D-07, a short form: reset storms and hot-unplugs on both sides in the middle of everything. The long one is `property.rs`.
#[test]
fn d_07_storms_leave_the_drive_untouched() {
    let mut host = bridge(DriveConfig::default());
    let digest = model(&host).state_digest();
    for round in 0..60_u32 {
        host.raw(&wb_sim::host::wrapper(round, 131_072, 0x80, &hex("28 00 00000000 00 0100 00")));
        host.device_mut().idle(u64::from(round) * 137);
        match round % 3 {
            0 => assert!(host.enumerate()),
            1 => host.device_mut().drive_mut().host_mut().unplug(),
            _ => {
                host.device_mut().drive_mut().host_mut().plug();
                host.device_mut().idle(2_000_000);
            }
        }
    }
    host.device_mut().drive_mut().host_mut().plug();
    host.device_mut().idle(5_000_000);
    assert!(host.device_mut().attach());
    assert!(host.enumerate() && host.recover() && host.enumerate());
    let _ = host.command(&[0; 6], Phase::None).unwrap();
    assert_eq!(read10(&mut host, 1, 9).data, model(&host).peek(1, 9));
    untouched(&host, digest, "storm");
}

/// D-08: the tables are data. A bridge that is given other tables answers otherwise, so they are what decides; and no row turned around
/// opens a way to the drive, because there is no command behind it.
#[test]
fn d_08_the_tables_decide_and_open_nothing() {
    for (opcode, length) in [(0x2A, 10), (0x8A, 16), (0x04, 6), (0x48, 10), (0xE5, 12), (0x3B, 10)]
    {
        for decision in [Decision::Forward, Decision::Local, Decision::Synthesise] {
            let mut rows = POLICY.scsi.to_vec();
            rows[opcode].decision = decision;
            let policy: &'static Policy<'static> =
                Box::leak(Box::new(Policy { scsi: Box::leak(rows.into_boxed_slice()), ..POLICY }));
            let setup = Setup { policy, ..Setup::default() };
            let mut host = bridge_with(&setup, DriveConfig::default());
            let digest = model(&host).state_digest();
            let mut cdb = vec![0; length];
            cdb[0] = opcode as u8;
            let outcome = host.command(&cdb, Phase::Zeros(512)).unwrap();
            assert_eq!(outcome.status, 1, "{opcode:02X} {decision:?}");
            untouched(&host, digest, "a changed table");
        }
    }
    // A row that forwards, refused: the bridge obeys the table.
    let mut rows = POLICY.scsi.to_vec();
    rows[0x28].decision = Decision::Deny;
    let policy: &'static Policy<'static> =
        Box::leak(Box::new(Policy { scsi: Box::leak(rows.into_boxed_slice()), ..POLICY }));
    let mut host = bridge_with(&Setup { policy, ..Setup::default() }, DriveConfig::default());
    assert_eq!(read10(&mut host, 0, 1).status, 1);
}

/// D-10: beyond 2 TiB, beyond 32 bits, with blocks of 4096 bytes, to the last block that 48 bits can name.
#[test]
fn d_10_large_media() {
    for (block_bytes, blocks) in
        [(512, 1_u64 << 33), (4096, 1 << 33), (512, (1 << 48) - 1), (4096, (1 << 48) - 1)]
    {
        let mut host = bridge(DriveConfig { block_bytes, blocks, ..DriveConfig::default() });
        for lba in [0, (1 << 32) - 3, (1 << 32) - 1, 1 << 32, blocks - 5] {
            let outcome = host.command(&read_cdb(3, lba, 5), Phase::In(5 * block_bytes)).unwrap();
            assert_eq!((outcome.status, outcome.residue), (0, 0), "{lba}");
            assert_eq!(outcome.data, model(&host).peek(lba, 5), "{lba}");
        }
        let past = host.command(&read_cdb(3, blocks - 4, 5), Phase::In(5 * block_bytes)).unwrap();
        assert_eq!((past.status, host.sense().unwrap().0), (1, [5, 0x21, 0]));
        for lba in [blocks, u64::MAX, u64::MAX - 4] {
            let past = host.command(&read_cdb(3, lba, 1), Phase::In(block_bytes)).unwrap();
            assert_eq!((past.status, host.sense().unwrap().0), (1, [5, 0x21, 0]), "{lba}");
        }
        assert_eq!(info(&mut host).capacity, blocks);
    }
}

fn usb(host: &mut Bridge) -> &mut wb_sim::usb::ModelUsbDrive {
    host.device_mut().drive_mut().host_mut().device_mut()
}
