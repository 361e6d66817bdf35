//! The bridge towards its host: reads, refused writes, the transport's rules.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail

mod common;

use common::{Bridge, bridge, read10};
use wb_sim::{drive::DriveConfig, host::Phase, usb::OutResult};

/// HWB-RM-02, HWB-AM-02: what is read is what the drive holds, whatever the size of the request.
#[test]
fn reads_bring_what_the_drive_holds() {
    let mut host = bridge(DriveConfig::default());
    for (lba, blocks) in [(0, 1), (7, 3), (100, 64), (1000, 256), (4096, 2048), (65_535, 1)] {
        let outcome = read10(&mut host, lba, blocks);
        assert_eq!((outcome.status, outcome.residue), (0, 0), "{lba} {blocks}");
        assert_eq!(outcome.data, held(&host, u64::from(lba), u64::from(blocks)));
    }
}

/// D-05, D-06: a refused write is drained to its last byte, then fails with DATA PROTECT; the drive sees nothing.
#[test]
fn a_refused_write_is_drained_and_fails() {
    let mut host = bridge(DriveConfig::default());
    let before = state(&host);
    let sent = wrappers(&host);
    for blocks in [0_u32, 1, 127, 128, 4096] {
        let [n1, n0] = u16::try_from(blocks).unwrap().to_be_bytes();
        let cdb = [0x2A, 0, 0, 0, 0, 0, 0, n1, n0, 0];
        let outcome = host.command(&cdb, Phase::Zeros(blocks * 512)).unwrap();
        assert_eq!(outcome.status, 1);
        assert_eq!(outcome.residue, blocks * 512);
        assert_eq!(outcome.taken, (blocks * 512) as usize);
        let (code, bytes) = host.sense().unwrap();
        assert_eq!(code, [0x07, 0x27, 0x00]);
        assert_eq!(
            bytes,
            hex_literal::hex!("70 00 07 00 00 00 00 0A 00 00 00 00 27 00 57 00 00 00")
        );
    }
    assert_eq!(wrappers(&host), sent);
    assert_eq!(state(&host), before);
}

/// Policy 9.5: data-out of any length; beyond 16 MiB the endpoint is halted instead.
#[test]
fn drains_of_any_length_end_with_a_status() {
    let mut host = bridge(DriveConfig::default());
    for (length, is_drained) in [
        (0, true),
        (1, true),
        (511, true),
        (512, true),
        (65_536, true),
        (16 << 20, true),
        ((16 << 20) + 1, false),
        (u32::MAX, false),
    ] {
        let outcome =
            host.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(length)).unwrap();
        assert_eq!((outcome.status, outcome.residue), (1, length), "{length}");
        assert_eq!(outcome.stalled, !is_drained, "{length}");
        assert_eq!(outcome.taken == length as usize, is_drained, "{length}");
    }
    assert_eq!(read10(&mut host, 3, 1).status, 0);
}

/// Policy 6.1: what is no command wrapper halts both endpoints until reset recovery.
#[test]
fn an_invalid_wrapper_needs_reset_recovery() {
    let mut host = bridge(DriveConfig::default());
    for bytes in [&b"USBC"[..], &[0; 31], &[0xFF; 31], &[0; 512], &[]] {
        assert_eq!(host.raw(bytes), OutResult::Ack(bytes.len()));
        host.device_mut().idle(1000);
        host.clear_halt(0x81);
        host.clear_halt(0x01);
        host.device_mut().idle(1000);
        assert_eq!(host.raw(&[0; 31]), OutResult::Stall);
        assert!(host.recover());
        assert_eq!(read10(&mut host, 9, 2).status, 0);
    }
}

/// D-02, HWB-AM-04: a READ over a bad block brings the blocks before it and its number, whether the drive names it or not.
#[test]
fn the_failing_block_is_named_and_those_before_it_are_delivered() {
    use wb_sim::drive::{BadBlocks, BadKind};
    for kind in [BadKind::Medium, BadKind::MediumNoInformation, BadKind::MediumZeroFilled] {
        let mut config = DriveConfig::default();
        config.faults.bad = vec![BadBlocks { blocks: 300..301, kind }];
        let mut host = bridge(config);
        for (lba, blocks) in [(300, 1), (299, 2), (290, 64), (0, 1024), (256, 300)] {
            let outcome = read10(&mut host, lba, blocks);
            let good = 300 - u64::from(lba);
            assert_eq!(outcome.status, 1, "{kind:?} {lba} {blocks}");
            assert_eq!(outcome.data, held(&host, u64::from(lba), good), "{kind:?} {lba} {blocks}");
            assert_eq!(u64::from(outcome.residue), (u64::from(blocks) - good) * 512);
            let (code, bytes) = host.sense().unwrap();
            assert_eq!(code, [0x03, 0x11, 0x00]);
            assert_eq!(bytes[0] & 0x80, 0x80, "VALID");
            assert_eq!(bytes[3..7], 300_u32.to_be_bytes());
            assert_ne!(bytes[14], 0x57, "not a refusal");
        }
        assert_eq!(read10(&mut host, 301, 10).status, 0);
    }
}

/// Number of the case, command, what the host announces; then the data, the status and the residue it gets.
type Case<'a> = (u8, &'a [u8], Phase<'a>, &'a [u8], u8, u32);

/// Policy 6.2, 9.5: the thirteen cases of the transport (BOT 1.0, 6.7), as far as the bridge can meet them, each with its data, status and
/// residue.
///
/// In cases 3, 8, 11, 12 and 13 the device means to take data (Do). No command that is offered has data-out: whatever brings some is
/// refused, or has no use for it, and then the device means to move nothing (cases 4 and 9) or to send (cases 7 and 10).
///
/// The status of a phase error is 02h in 6.7.1 (case 2), 6.7.2 (case 7) and 6.7.3 (case 10). The residue is what the host announced less
/// what was relevant of it: all that was not sent (cases 4 and 5), all that was taken and not looked at (cases 9 and 10), nothing where the
/// host got as much as it announced (cases 6 and 7).
#[test]
fn the_cases_of_the_transport_that_can_arise() {
    let mut host = bridge(DriveConfig::default());
    let ready = [0; 6];
    let read = |blocks: u8| [0x28, 0, 0, 0, 0, 7, 0, 0, blocks, 0];
    let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let write = [0x2A, 0, 0, 0, 0, 7, 0, 0, 1, 0];
    let lock = [0x1E, 0, 0, 0, 1, 0];
    let blocks = common::model(&host).peek(7, 2);
    // 65,536 blocks of 512 bytes.
    let size = [0, 0, 0xFF, 0xFF, 0, 0, 2, 0];
    let nothing: &[u8] = &[];
    let cases: [Case<'_>; 19] = [
        (1, &ready, Phase::None, nothing, 0, 0),
        (1, &lock, Phase::None, nothing, 0, 0),
        (1, &write, Phase::None, nothing, 1, 0),
        (2, &read(1), Phase::None, nothing, 2, 0),
        (2, &capacity, Phase::None, nothing, 2, 0),
        (4, &ready, Phase::In(512), nothing, 0, 512),
        (4, &lock, Phase::In(13), nothing, 0, 13),
        (4, &write, Phase::In(512), nothing, 1, 512),
        (5, &capacity, Phase::In(64), &size, 0, 56),
        (5, &read(1), Phase::In(1024), &blocks[..512], 0, 512),
        (5, &read(2), Phase::In(1500), &blocks, 0, 476),
        (6, &capacity, Phase::In(8), &size, 0, 0),
        (6, &read(2), Phase::In(1024), &blocks, 0, 0),
        (7, &capacity, Phase::In(5), &size[..5], 2, 0),
        (7, &read(2), Phase::In(512), &blocks[..512], 2, 0),
        (9, &ready, Phase::Zeros(512), nothing, 0, 512),
        (9, &write, Phase::Zeros(512), nothing, 1, 512),
        (10, &read(1), Phase::Zeros(512), nothing, 2, 512),
        (10, &capacity, Phase::Zeros(13), nothing, 2, 13),
    ];
    for (number, cdb, phase, data, status, residue) in cases {
        let outcome = host.command(cdb, phase).unwrap();
        let what = format!("case {number}: {cdb:02X?} {phase:?}");
        assert_eq!(outcome.data.len(), data.len(), "{what}");
        assert_eq!(outcome.data, data, "{what}");
        assert_eq!((outcome.status, outcome.residue), (status, residue), "{what}");
        // All data-out is drained (D-05); a data-in phase that stays short at the end of a packet ends with a halt (6.7.2).
        let given = if let Phase::Zeros(length) = phase { length as usize } else { 0 };
        assert_eq!(outcome.taken, given, "{what}");
        let is_short =
            matches!(phase, Phase::In(_)) && residue > 0 && data.len().is_multiple_of(64);
        assert_eq!(outcome.stalled, is_short, "{what}");
        // Without reset recovery, whatever the status was.
        let next = read10(&mut host, 3, 1);
        assert_eq!((next.status, next.residue), (0, 0), "after {what}");
        assert_eq!(next.data, held(&host, 3, 1), "after {what}");
    }
}

fn held(host: &Bridge, lba: u64, blocks: u64) -> Vec<u8> {
    common::model(host).peek(lba, blocks)
}

fn state(host: &Bridge) -> [u8; 32] {
    common::model(host).state_digest()
}

fn wrappers(host: &Bridge) -> usize {
    common::controller(host).bulk_out().len()
}
