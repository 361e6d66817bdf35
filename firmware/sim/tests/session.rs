//! A session from START to the verified statement, through the requests of interface 1.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // lengths of statements are small

mod common;

use common::{Bridge, bridge, bridge_with, controller, model, read10};
use wb_attest::{
    interface::{Info, Leaves, Request, flag},
    log::Entry,
    sha256,
    statement::{EndReason, Kind},
    verify::{Expected, LogVerdict, Signed, Statement, log_agrees},
};
use wb_bridge::drive::Drive as _;
use wb_policy::tables::POLICY_DIGEST;
use wb_sim::{
    bridge::Setup,
    drive::{BadBlocks, BadKind, DriveConfig},
    host::Phase,
    usb::{InResult, Stall, UsbDevice},
};

const START: [u8; 32] = [0x11; 32];
const END: [u8; 32] = [0x22; 32];

/// entries, root, counters and coverage of a signed statement are those of what was read, and the drive's digest is the host's.
#[test]
fn a_session_is_stated_and_verified() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &START).unwrap();
    let before = controller(&host).bulk_out().len();
    let mut data = Vec::new();
    for lba in (0..65_536).step_by(256) {
        data.extend(read10(&mut host, lba, 256).data);
    }
    assert_eq!(
        host.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512)).unwrap().status,
        1
    );
    let sent = (controller(&host).bulk_out().len() - before) as u64;
    let entries = leaves(&mut host);
    assert_eq!(entries.len(), 32);
    for (number, entry) in entries.iter().enumerate() {
        let chunk = &data[number << 20..(number + 1) << 20];
        assert_eq!((entry.seq, entry.chunk, entry.len), (number as u64, number as u64, 1 << 20));
        assert_eq!(entry.digest, sha256(&[chunk]));
    }
    let statement = finish(&mut host, 0);
    assert_eq!(log_agrees(&statement, &entries), LogVerdict::Agrees);
    assert_eq!(statement.session.kind, Kind::Final);
    assert_eq!(statement.drive.capacity, 65_536);
    assert_eq!(statement.coverage.blocks, 65_536);
    assert_eq!(statement.coverage.extents.first.len(), 1);
    assert_eq!(statement.emitted.cbws, controller(&host).bulk_out().len() as u64);
    let rows = &statement.emitted.commands.first;
    let in_session: u64 = rows.iter().map(|row| row.count - row.at_start).sum();
    assert_eq!(in_session, sent);
    assert_eq!(statement.counters.total.received - statement.counters.total_at_start.received, 257);
    assert_eq!(statement.refusals.modifying, 1);
    assert_eq!(statement.refusals.first[0].cdb[0], 0x2A);
    assert!(send(&mut host, &finish_request(0), &END).is_err(), "the session is closed");
}

/// 5.3: a checkpoint leaves the session open, and so does a reset of the bus; a drive that goes ends it without a statement.
#[test]
fn checkpoints_and_resets() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &START).unwrap();
    read10(&mut host, 0, 2048);
    let first = finish(&mut host, 1);
    assert_eq!((first.session.kind, first.session.checkpoint), (Kind::Checkpoint, 0));
    assert_eq!(first.session.reason, EndReason::Open);
    read10(&mut host, 2048, 2048);
    let second = finish(&mut host, 1);
    assert_eq!((second.log.entries, second.session.checkpoint), (2, 1));
    host.enumerate();
    assert!(info(&mut host).has(flag::SESSION));
    assert_eq!(finish(&mut host, 1).log.entries, 2);
    host.device_mut().drive_mut().host_mut().unplug();
    host.device_mut().idle(1_000_000);
    host.device_mut().drive_mut().host_mut().plug();
    assert!(host.device_mut().attach());
    host.enumerate();
    assert!(!info(&mut host).has(flag::SESSION));
    assert!(send(&mut host, &finish_request(1), &END).is_err());
    assert!(info(&mut host).has(flag::STATEMENT), "what was stated stays");
    send(&mut host, &Request::Start, &START).unwrap();
    let third = finish(&mut host, 0);
    assert_eq!(third.session.number, 2);
    assert_eq!(third.session.previous, Some(EndReason::Detached));
    assert_eq!(third.log.entries, 0);
}

/// 4.4: a chunk with an unreadable block gives no entry, and the error is in the statement with its block.
#[test]
fn an_unreadable_block_leaves_its_chunk_uncovered() {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 3000..3002, kind: BadKind::MediumNoInformation }];
    let mut host = bridge(config);
    send(&mut host, &Request::Start, &START).unwrap();
    read10(&mut host, 0, 2048);
    assert_eq!(read10(&mut host, 2048, 2048).status, 1);
    assert_eq!(read10(&mut host, 3001, 1).status, 1);
    read10(&mut host, 3002, 1094);
    read10(&mut host, 4096, 2048);
    let chunks: Vec<u64> = leaves(&mut host).iter().map(|entry| entry.chunk).collect();
    assert_eq!(chunks, [0, 2]);
    let statement = finish(&mut host, 0);
    let errors = &statement.coverage.errors.first;
    assert_eq!((errors[0].lba, errors[0].blocks, errors[0].sense), (3000, 2, [3, 0x11, 0]));
    assert_eq!(errors.len(), 1);
    assert_eq!(statement.log.abandoned, 1);
    assert_eq!(statement.coverage.blocks, 6144 - 2);
}

/// 5.2: what is stalled when; a stalled request changes nothing and reaches no drive.
#[test]
fn requests_out_of_place_are_stalled() {
    let mut host = bridge(DriveConfig::default());
    let sent = controller(&host).bulk_out().len();
    assert!(send(&mut host, &finish_request(0), &END).is_err(), "no session");
    assert!(send(&mut host, &Request::Provision, &START).is_err(), "a key exists");
    assert!(ask(&mut host, &Request::Leaves { first: 0, room: 192 }).is_err(), "no session");
    assert!(ask(&mut host, &Request::Statement { offset: 0, room: 64 }).is_err(), "none ready");
    for request_type in [0xC1, 0x41, 0xC0, 0x40, 0xA1, 0x21, 0xC2] {
        for request in 0..=255 {
            let known = matches!((request_type, request), (0xC1 | 0x41, 1..=6) | (0xC0, 0x20));
            let class = matches!((request_type, request), (0xA1, 0xFE) | (0x21, 0xFF));
            for index in [0, 1, 2] {
                let setup = [request_type, request, 1, 0, index, 0, 16, 0];
                let data = if request_type & 0x80 == 0 { &[0; 16][..] } else { &[] };
                let answer = host.device_mut().control(setup, data);
                assert!(answer.is_err() || known || class, "{setup:02X?}");
            }
        }
    }
    assert_eq!(controller(&host).bulk_out().len(), sent);
    assert_eq!(read10(&mut host, 5, 1).status, 0);
    let unprovisioned = Setup { seed: None, ..Setup::default() };
    let mut host = bridge_with(&unprovisioned, DriveConfig::default());
    assert!(send(&mut host, &Request::Start, &START).is_err(), "no key");
    assert!(send(&mut host, &Request::Provision, &START).is_err(), "a drive is attached");
}

/// INFO says who the bridge is, what is attached, and that something was refused.
#[test]
fn info_tells_the_state() {
    let mut host = bridge(DriveConfig::default());
    let before = info(&mut host);
    assert!(before.has(flag::KEY) && before.has(flag::DRIVE) && before.has(flag::IDENT));
    assert!(before.has(flag::PROTOTYPE_PID) && before.has(flag::NOT_RUN));
    assert!(!before.has(flag::REFUSED) && !before.has(flag::SESSION) && !before.has(flag::SMART));
    assert_eq!((before.capacity, before.block_size), (65_536, 512));
    assert_eq!(before.policy, POLICY_DIGEST);
    host.command(&[0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0], Phase::None).unwrap();
    let after = info(&mut host);
    assert!(after.has(flag::REFUSED));
    assert_eq!(after.refused, 1);
}

/// Of several readers at once each brings whole chunks; the log is in order of completion.
#[test]
fn interleaved_readers_are_logged_in_order_of_completion() {
    let mut host = bridge(DriveConfig::default());
    send(&mut host, &Request::Start, &START).unwrap();
    for part in 0..8 {
        for chunk in [9_u32, 2, 5] {
            read10(&mut host, chunk * 2048 + part * 256, 256);
        }
    }
    let entries = leaves(&mut host);
    assert_eq!(entries.iter().map(|entry| entry.chunk).collect::<Vec<_>>(), [9, 2, 5]);
    for entry in &entries {
        let held = model(&host).peek(entry.chunk * 2048, 2048);
        assert_eq!(entry.digest, sha256(&[&held]));
    }
    assert_eq!(log_agrees(&finish(&mut host, 1), &entries), LogVerdict::Agrees);
}

/// 4.4: a packet that the host had its endpoint throw away has not left, so what it belongs to is not in the log.
#[test]
fn a_packet_that_was_thrown_away_is_not_logged() {
    const CLEAR_HALT: [u8; 8] = [0x02, 1, 0, 0, 0x81, 0, 0, 0];
    const SET_CONFIGURATION: [u8; 8] = [0x00, 9, 1, 0, 0, 0, 0, 0];
    const SET_INTERFACE: [u8; 8] = [0x01, 11, 0, 0, 0, 0, 0, 0];
    for request in [CLEAR_HALT, SET_CONFIGURATION, SET_INTERFACE] {
        let mut host = bridge(DriveConfig::default());
        send(&mut host, &Request::Start, &START).unwrap();
        read10(&mut host, 0, 1920);
        let mut wrapper = b"USBC\x55\0\0\0\0\0\x01\0\x80\0\x0A\x28\0\0\0\x07\x80\0\0\x80".to_vec();
        wrapper.resize(31, 0);
        host.raw(&wrapper);
        let first = host.device_mut().bulk_in(1, 60 * 512);
        assert!(matches!(first, InResult::Data(data) if data.len() == 60 * 512));
        host.device_mut().idle(1_000);
        let _ = host.device_mut().control(request, &[]);
        while let InResult::Data(_) = host.device_mut().bulk_in(1, 65_536) {}
        host.enumerate();
        assert_eq!(leaves(&mut host), [], "{request:02X?}");
        // The first command after a reset is told of it.
        read10(&mut host, 0, 1);
        assert_eq!(read10(&mut host, 0, 2048).status, 0);
        assert_eq!(leaves(&mut host).len(), 1);
    }
}

fn finish_request(value: u8) -> Request {
    use wb_attest::interface::Ending;
    Request::Finish(if value == 0 { Ending::Final } else { Ending::Checkpoint })
}

fn setup(request: &Request) -> [u8; 8] {
    let setup = request.setup().unwrap();
    let [v0, v1] = setup.value.to_le_bytes();
    let [i0, i1] = setup.index.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    [setup.request_type, setup.request, v0, v1, i0, i1, l0, l1]
}

fn send(host: &mut Bridge, request: &Request, data: &[u8]) -> Result<Vec<u8>, Stall> {
    host.device_mut().control(setup(request), data)
}

fn ask(host: &mut Bridge, request: &Request) -> Result<Vec<u8>, Stall> {
    host.device_mut().control(setup(request), &[])
}

fn info(host: &mut Bridge) -> Info {
    Info::parse(&ask(host, &Request::Info).unwrap()).unwrap()
}

fn leaves(host: &mut Bridge) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let next = entries.last().map_or(0, |entry| entry.seq + 1);
        let request = Request::Leaves {
            first: u16::try_from(next & 0xFFFF).unwrap(),
            room: info(host).answer,
        };
        let answer = ask(host, &request).unwrap();
        let leaves = Leaves::parse(&answer).unwrap();
        assert_eq!((leaves.first, leaves.lost), (next, 0));
        if leaves.is_empty() {
            return entries;
        }
        entries.extend(leaves.entries());
    }
}

/// Fetches the statement and verifies it against the key and both nonces.
fn finish(host: &mut Bridge, value: u8) -> Statement {
    send(host, &finish_request(value), &END).unwrap();
    host.device_mut().idle(10_000);
    let info = info(host);
    assert!(info.has(flag::STATEMENT));
    let mut bytes = Vec::new();
    while bytes.len() < info.statement as usize {
        let request =
            Request::Statement { offset: u32::try_from(bytes.len()).unwrap(), room: info.answer };
        bytes.extend(ask(host, &request).unwrap());
    }
    let signed = Signed::parse(&bytes).unwrap();
    let statement = signed.verify(&info.public_key).unwrap().clone();
    let expected = Expected {
        start_nonce: START,
        end_nonce: END,
        firmware: Some(info.firmware),
        policy: Some(POLICY_DIGEST),
    };
    assert_eq!(statement.findings(&expected), []);
    assert_eq!(host.device().core().drive().emitted().bytes, statement.emitted.bulk_out_bytes);
    statement
}
