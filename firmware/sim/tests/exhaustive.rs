//! Every command through the whole bridge in front of a drive that would obey it (policy 9.1 and 9.2, HWB-01, HWB-02, HWB-AM-01, D-06).
//!
//! What arrives at the drive and what the host sees is judged by [`oracle`], which was written by hand from the standards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // numbers of commands are small

mod common;
mod oracle;

use common::{Bridge, bridge, bridge_with, controller, model};
use oracle::{Data, Seen, expect, judge, right_length};
use wb_policy::judge::Profiles;
use wb_sim::{bridge::Setup, drive::DriveConfig};

/// A bridge under test, and what its drive was like before.
struct Bench {
    host: Bridge,
    digest: [u8; 32],
    smart: bool,
    commands: u64,
    refused: u64,
}

impl Bench {
    fn new() -> Self {
        Self::of(bridge(DriveConfig::default()), false)
    }

    fn smart() -> Self {
        let profiles = Profiles { ident: true, smart: true };
        let setup = Setup { profiles, ..Setup::default() };
        Self::of(bridge_with(&setup, DriveConfig::default()), true)
    }

    fn of(host: Bridge, smart: bool) -> Self {
        let digest = model(&host).state_digest();
        Self { host, digest, smart, commands: 0, refused: 0 }
    }

    fn run(&mut self, cdb: &[u8], data: Data) {
        judge(&mut self.host, cdb, data, self.smart);
        self.commands += 1;
        self.refused += u64::from(expect(cdb, data, self.smart).seen.is_refusal());
        if self.commands.is_multiple_of(64) {
            self.assert_untouched(&format!("after {cdb:02X?}"));
            // The log would grow without end.
            self.host
                .device_mut()
                .drive_mut()
                .host_mut()
                .device_mut()
                .drive_mut(0)
                .unwrap()
                .clear_log();
        }
    }

    /// HWB-AM-01: nothing modifying arrived, and the drive is as it was.
    fn assert_untouched(&self, when: &str) {
        let names: Vec<_> = model(&self.host).violations().map(|entry| entry.name).collect();
        assert_eq!(names, Vec::<&str>::new(), "{when}");
        assert_eq!(model(&self.host).state_digest(), self.digest, "{when}");
    }

    fn finish(&self) -> (u64, u64) {
        self.assert_untouched("at the end");
        assert_eq!(controller(&self.host).violations(), Vec::<String>::new());
        assert!(controller(&self.host).device().only_cbws());
        for transfer in controller(&self.host).bulk_out() {
            assert_eq!(transfer.len(), 31);
            assert_eq!(transfer[..4], *b"USBC");
            assert!(transfer[8..12] == [0; 4] || transfer[12] == 0x80, "{transfer:02X?}");
        }
        (self.commands, self.refused)
    }
}

/// 512 bytes of data-out for every operation code: enough for a block of a WRITE.
const DIRECTIONS: [Data; 4] = [Data::None, Data::In(512), Data::In(131_072), Data::Out(512)];

/// Policy 9.1, B1, B2, B3, B8: 256 operation codes x 32 service actions x three directions x {0, all ones}, at the length of the group.
#[test]
fn every_operation_code_service_action_and_direction() {
    let mut bench = Bench::new();
    for opcode in 0..=u8::MAX {
        for action in 0..32 {
            for fill in [0x00, 0xFF] {
                let mut cdb = vec![fill; right_length(opcode)];
                (cdb[0], cdb[1]) = (opcode, (fill & 0xE0) | action);
                for data in DIRECTIONS {
                    bench.run(&cdb, data);
                }
            }
        }
    }
    let (commands, refused) = bench.finish();
    assert_eq!(commands, 256 * 32 * 2 * 4);
    assert!(refused > 60_000, "{refused}");
}

/// Policy 9.1, B10: every command length from 1 to 16 for every operation code, fields zero and all ones, with and without data.
#[test]
fn every_length_of_every_operation_code() {
    let mut bench = Bench::new();
    for opcode in 0..=u8::MAX {
        for length in 1..=16_usize {
            for fill in [0x00, 0xFF] {
                let mut cdb = vec![fill; length];
                cdb[0] = opcode;
                for data in [Data::None, Data::In(512), Data::Out(512)] {
                    bench.run(&cdb, data);
                }
            }
        }
    }
    assert_eq!(bench.finish().0, 256 * 16 * 2 * 3);
}

/// Policy 9.1: one byte at a time takes every value, for each operation code that is offered.
#[test]
fn every_value_of_every_byte_of_what_is_offered() {
    let mut bench = Bench::smart();
    let bases = [
        "00 00 00 00 00 00",
        "03 00 00 00 12 00",
        "08 00 00 10 02 00",
        "12 00 00 00 60 00",
        "12 01 80 00 60 00",
        "1A 00 3F 00 C0 00",
        "1E 00 00 00 01 00",
        "23 00 00 00 00 00 00 00 0C 00",
        "25 00 00 00 00 00 00 00 00 00",
        "28 00 00 00 00 10 00 00 02 00",
        "35 00 00 00 00 00 00 00 00 00",
        "4D 00 40 00 00 00 00 00 80 00",
        "4D 00 6F 00 00 00 00 00 80 00",
        "5A 00 3F 00 00 00 00 00 C0 00",
        "88 00 00 00 00 00 00 00 00 10 00 00 00 02 00 00",
        "91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "95 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00",
        "9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
        "A0 00 00 00 00 00 00 00 00 10 00 00",
        "A2 00 00 00 00 00 00 00 02 00 00 00",
        "A2 01 00 01 80 00 00 00 00 01 00 00",
        "A2 EF 00 00 00 00 00 00 02 00 00 00",
        "A3 0D 00 00 00 00 00 00 00 10 00 00",
        "A8 00 00 00 00 10 00 00 00 02 00 00",
    ];
    for base in bases {
        let base = bytes(base);
        for place in 1..base.len() {
            for value in 0..=u8::MAX {
                let mut cdb = base.clone();
                cdb[place] = value;
                // What is beyond the drive's end, or larger than the host takes, belongs to other tests.
                if matches!(expect(&cdb, Data::In(65_536), true).seen, Seen::Phase) {
                    continue;
                }
                bench.run(&cdb, Data::In(65_536));
            }
        }
    }
    assert!(bench.finish().0 > 50_000);
}

/// ATA PASS-THROUGH with the flags that go with its protocol, registers that most rows let through, and a matching data phase.
fn pass_through(long: bool, command: u8, feature: u8, protocol: u8) -> (Vec<u8>, Data) {
    let (flags, data) = match protocol {
        3 => (0x20, Data::None),
        5 | 11 => (0x06, Data::Out(512)),
        0 | 1 | 8 | 9 => (0x00, Data::None),
        _ => (0x0E, Data::In(512)),
    };
    let extend = u8::from(matches!(command, 0x27 | 0x2F | 0x47 | 0x4A | 0x78 | 0xEA));
    let first = protocol << 1 | extend;
    let count = u8::from(matches!(data, Data::In(_) | Data::Out(_)));
    let cdb = if long {
        // LBA(23:8) of SMART; of TRUSTED RECEIVE and logs where they have no other meaning.
        let (mid, high) = if command == 0xB0 { (0x4F, 0xC2) } else { (0, 0) };
        vec![0x85, first, flags, 0, feature, 0, count, 0, 0, 0, mid, 0, high, 0x40, command, 0]
    } else {
        let (mid, high) = if command == 0xB0 { (0x4F, 0xC2) } else { (0, 0) };
        vec![0xA1, first, flags, feature, count, 0, mid, high, 0x40, command, 0, 0]
    };
    (cdb, data)
}

/// Policy 9.2, B4, B5: all 256 ATA commands x all FEATURES low bytes x all 16 protocols, through 85h.
#[test]
fn every_ata_command_feature_and_protocol_through_the_long_pass_through() {
    let mut bench = Bench::new();
    every_ata_command(&mut bench, true);
}

/// The same through A1h, with profile `smart`.
#[test]
fn every_ata_command_feature_and_protocol_through_the_short_pass_through() {
    let mut bench = Bench::smart();
    every_ata_command(&mut bench, false);
}

fn every_ata_command(bench: &mut Bench, long: bool) {
    for command in 0..=u8::MAX {
        for feature in 0..=u8::MAX {
            for protocol in 0..16 {
                let (cdb, data) = pass_through(long, command, feature, protocol);
                bench.run(&cdb, data);
            }
        }
    }
    assert_eq!(bench.commands, 256 * 256 * 16);
    // What is left: IDENTIFY, native maximum, power mode, log directory, flush, registers.
    assert!(bench.refused > 256 * 256 * 14, "{}", bench.refused);
    bench.finish();
}

/// B5, B10: what may pass, with any one byte changed to any value, and with every length and direction of its data phase.
#[test]
fn one_changed_byte_of_what_may_pass() {
    let rows = [
        ("85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00", 0),
        ("85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00", 0),
        ("85 06 2C 00 00 00 00 00 00 00 00 00 00 40 E5 00", 0),
        ("85 06 00 00 00 00 00 00 00 00 00 00 00 00 E7 00", 0),
        ("85 09 0E 00 00 00 03 00 30 00 02 00 00 40 2F 00", 3),
        ("85 0D 0E 00 00 00 01 00 11 00 00 00 00 40 47 00", 1),
        ("85 08 0E 00 01 00 02 00 00 00 01 00 00 40 5C 00", 2),
        ("85 0D 0E 11 00 00 02 00 00 00 34 00 00 40 4A 00", 2),
        ("85 08 0E 00 D5 00 01 00 06 00 4F 00 C2 40 B0 00", 1),
        ("85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00", 0),
        ("85 08 2E 00 00 00 01 00 00 00 00 00 00 40 EC 00", 1),
        ("85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00", 1),
        ("85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00", 0),
        ("A1 06 20 00 00 00 00 00 40 F8 00 00", 0),
        ("A1 08 0E D0 01 00 4F C2 40 B0 00 00", 1),
        ("A1 08 0E 00 01 00 02 00 40 5C 00 00", 1),
    ];
    let mut bench = Bench::smart();
    for (base, blocks) in rows {
        let base = bytes(base);
        let data = if blocks == 0 { Data::None } else { Data::In(blocks * 512) };
        for place in 1..base.len() {
            for value in 0..=u8::MAX {
                let mut cdb = base.clone();
                cdb[place] = value;
                bench.run(&cdb, data);
            }
        }
        for length in [1, 511, 512, 513, 1024, 1536, 8192] {
            bench.run(&base, Data::In(length));
            bench.run(&base, Data::Out(length));
        }
        bench.run(&base, Data::None);
    }
    bench.finish();
}

fn bytes(text: &str) -> Vec<u8> {
    text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
