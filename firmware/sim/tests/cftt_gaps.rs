//! D-01 to D-10 of the published requirements, 1.2: what the CFTT method leaves open. D-09 (a build that others can repeat) is
//! no matter of this process: `cargo xtask firmware --reproduce` builds each image at two places and compares, in every CI run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // numbers of blocks are small here

mod attempt;
mod common;
mod oracle;
mod replayed;

use std::collections::BTreeSet;

use attempt::{hex, info, start, verified};
use common::{bridge, bridge_with, controller, model, read10};
use oracle::right_length;
use proptest::prelude::*;
use replayed::{READERS, read_cdb, replayed, untouched};
use wb_attest::interface::{Ending, flag};
use wb_bridge::drive::Drive as _;
use wb_policy::{
    judge::Profiles,
    tables::{Decision, POLICY, Policy},
};
use wb_sim::{
    bridge::Setup,
    drive::{BadBlocks, BadKind, Base, DriveConfig},
    host::Phase,
};

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
    let own = host.device().core().drive().emitted().own;
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
