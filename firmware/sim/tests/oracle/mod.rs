//! Every command is sent through the whole bridge and judged by [`expect`], which was written by hand from the standards.
#![allow(dead_code)] // each test binary takes what it needs

mod expect;

use super::common::Bridge;
pub use expect::*;
use wb_sim::host::{Outcome, Phase};

/// Fixed format sense of a refusal; `None` where the field pointer may vary.
fn refusal_bytes(seen: Seen) -> Option<[u8; 18]> {
    let fixed = |key, asc, pointer| {
        let mut bytes = [0; 18];
        bytes[0] = 0x70;
        bytes[2] = key;
        bytes[7] = 0x0A;
        bytes[12] = asc;
        bytes[14] = 0x57;
        bytes[15] = pointer;
        bytes
    };
    match seen {
        Seen::Wp => Some(fixed(7, 0x27, 0)),
        Seen::Op => Some(fixed(5, 0x20, 0xC0)),
        Seen::Lba => Some(fixed(5, 0x21, 0)),
        _ => None,
    }
}

/// REQUEST SENSE in fixed format.
pub fn sense(host: &mut Bridge) -> Vec<u8> {
    host.command(&[0x03, 0, 0, 0, 18, 0], Phase::In(18)).expect("sense").data
}

/// Sends a command and judges everything that came of it.
pub fn judge(host: &mut Bridge, cdb: &[u8], data: Data, smart: bool) -> Outcome {
    let expected = expect(cdb, data, smart);
    let before = super::common::model(host).log().len();
    let phase = match data {
        Data::None => Phase::None,
        Data::In(length) => Phase::In(length),
        Data::Out(length) => Phase::Zeros(length),
    };
    let outcome = host.command(cdb, phase);
    let ends = outcome.as_ref().map(|o| (o.status, o.residue, o.data.len(), o.stalled));
    let what = || format!("{cdb:02X?} {data:?}: {expected:?}, {ends:?}");
    let outcome = outcome.clone().unwrap_or_else(|_| panic!("{}", what()));
    let arrived: Vec<&[u8]> =
        super::common::model(host).log()[before..].iter().map(|entry| &entry.cdb[..]).collect();
    assert_arrived(&arrived, &expected.down, &what);
    let (status, taken) = (outcome.status, outcome.taken);
    if let Data::Out(length) = data {
        assert_eq!(taken, length as usize, "not drained: {}", what());
    }
    match expected.seen {
        Seen::Good => assert_eq!(status, 0, "{}", what()),
        Seen::Phase => assert_eq!(status, 2, "{}", what()),
        Seen::Drive if status == 0 => {}
        seen => {
            assert_eq!(status, 1, "{}", what());
            let bytes = sense(host);
            let exact = if seen == Seen::Fld { pointer(cdb) } else { None };
            // The first missing byte of a command that is too short lies behind it.
            let end = exact.map_or(cdb.len(), |byte| usize::from(byte) + 1);
            assert_sense(&bytes, seen, end, &what);
            if let Some(byte) = exact {
                assert_eq!(bytes[15..18], [0xC0, 0, byte], "field pointer: {}", what());
            }
        }
    }
    if expected.seen.is_refusal() {
        assert!(outcome.data.is_empty(), "data with a refusal: {}", what());
        assert_eq!(outcome.residue, data.length(), "{}", what());
    }
    outcome
}

/// The expected commands in order, each followed by a question for its sense at most.
fn assert_arrived(arrived: &[&[u8]], expected: &[Vec<u8>], what: &dyn Fn() -> String) {
    let is_sense = |cdb: &[u8]| matches!(cdb, [0x03, 0, 0, 0, 0x12 | 0x20, 0]);
    assert!(arrived.first().is_none_or(|first| !is_sense(first)), "unasked: {}", what());
    let mut last_was_sense = false;
    for cdb in arrived {
        assert!(!(last_was_sense && is_sense(cdb)), "sense twice: {}", what());
        last_was_sense = is_sense(cdb);
    }
    let commands: Vec<&[u8]> = arrived.iter().copied().filter(|cdb| !is_sense(cdb)).collect();
    assert_eq!(commands, expected, "at the drive: {}", what());
}

/// A refusal byte for byte, with FRU 57h, and a field pointer before `end`; whatever comes from the drive without it.
pub fn assert_sense(bytes: &[u8], seen: Seen, end: usize, what: &dyn Fn() -> String) {
    if !seen.is_refusal() {
        assert_ne!(bytes[14], 0x57, "FRU of a refusal: {}", what());
        return;
    }
    match refusal_bytes(seen) {
        Some(expected) => assert_eq!(bytes, expected, "{}", what()),
        None => {
            let asc = if seen == Seen::Spns { 0x39 } else { 0x24 };
            assert_eq!(bytes[..12], [0x70, 0, 5, 0, 0, 0, 0, 0x0A, 0, 0, 0, 0], "{}", what());
            assert_eq!(bytes[12..15], [asc, 0, 0x57], "{}", what());
            if seen == Seen::Fld {
                assert_eq!(bytes[15..17], [0xC0, 0], "{}", what());
                assert!(usize::from(bytes[17]) < end, "{}", what());
            }
        }
    }
}
