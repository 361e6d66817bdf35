//! The bypasses B12 to B27 of the published requirements, section 3: what the chain around the commands can do. B1 to B11 are in `bypass.rs`.
//!
//! Not here, because no program can show it: B13 (DMA of one controller pointed at the other's buffers: silicon and board crates), B17 (what a
//! drive does to itself without a command), B22 (a drive connected without the bridge: procedure), B27 (power: hardware). Of B12 a program can
//! show the second list; the rest is the compiler's. B26a is `card_faults.rs`, flip by flip, and `property.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail

mod attempt;
mod common;
mod oracle;

use attempt::{
    Answer::{Counted, Refused},
    ata16, bridge_refuses, hex, info, model_obeys, open_bridge, start, statement, usb,
    with_options,
};
use common::{Bridge, attached, bridge, bridge_with, controller, model, read10};
use oracle::Seen::{Fld, Op, Wp};
use proptest::prelude::*;
use wb_attest::{
    interface::{Ending, flag},
    verify::{Expected, Signed},
};
use wb_policy::{cbw::Cdb, down::emission_is_allowed, judge::Profiles};
use wb_sim::{
    bridge::Setup,
    drive::{
        AtaFields, BadBlocks, BadKind, DriveConfig, Faults, FeaturesQuirk, judge_ata, judge_scsi,
    },
    host::{Phase, wrapper},
    usb::{UsbDevice, UsbOptions},
};

/// B12, the part that a program can show: whatever reaches the constructor of a wrapper, no command that the model's judge calls
/// modifying passes the second list. So a fault in the encoder, or memory corruption before it, still finds a closed door.
#[test]
fn b12_the_second_list_knows_no_modifying_command() {
    let canonical = [
        "00 00 00 00 00 00",
        "03 00 00 00 12 00",
        "12 00 00 00 24 00",
        "12 01 80 00 FF 00",
        "1A 00 3F 00 C0 00",
        "1B 00 00 00 01 00",
        "25 00 00000000 00 0000 00",
        "28 00 00000000 00 0001 00",
        "4D 00 40 00 00 00 00 00 FF 00",
        "88 00 0000000100000000 00000001 00 00",
        "95 00 0000000000000000 00000200 00 00",
        "9E 10 0000000000000000 00000020 00 00",
        "A1 08 0E 00 01 00 00 00 40 EC 00 00",
        "A2 00 0000 00 00 00000200 00 00",
        "A2 01 0001 00 00 00000200 00 00",
        "85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00",
        "85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00",
        "85 09 0E 00 00 00 01 00 30 00 00 00 00 40 2F 00",
        "85 08 0E 00 01 00 01 00 00 00 01 00 00 40 5C 00",
        "85 0D 0E 00 00 00 01 00 00 00 00 00 00 40 4A 00",
        "85 08 0E 00 D0 00 01 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D5 00 01 00 06 00 4F 00 C2 40 B0 00",
        "85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00",
    ];
    for text in canonical {
        let base = hex(text);
        assert!(emission_is_allowed(&Cdb::new(&base).unwrap()), "{text}");
        for place in 0..base.len() {
            for value in 0..=u8::MAX {
                for second in 0..base.len() {
                    for flipped in [0x00, 0x01, 0x08, 0x80, 0xFF] {
                        let mut cdb = base.clone();
                        cdb[place] = value;
                        cdb[second] ^= flipped;
                        assert_second_list(&cdb);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// B12: the same for anything.
    #[test]
    fn b12_the_second_list_and_random_commands(
        opcode in prop::sample::select(vec![0x00_u8, 0x03, 0x12, 0x1A, 0x1B, 0x25, 0x28, 0x4D, 0x85, 0x88, 0x95, 0x9E, 0xA1, 0xA2]),
        rest in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 15),
    ) {
        let mut cdb = vec![opcode];
        cdb.extend(rest);
        cdb.truncate(oracle::right_length(opcode));
        assert_second_list(&cdb);
    }
}

fn assert_second_list(cdb: &[u8]) {
    let Some(block) = Cdb::new(cdb) else { return };
    if !emission_is_allowed(&block) {
        return;
    }
    let verdict = if matches!(cdb[0], 0x85 | 0xA1) {
        let (features, count, lba, command) = if cdb[0] == 0x85 {
            let word = |at: usize| u16::from_be_bytes([cdb[at], cdb[at + 1]]);
            let lba = [0, 0, cdb[11], cdb[9], cdb[7], cdb[12], cdb[10], cdb[8]];
            (word(3), word(5), u64::from_be_bytes(lba), cdb[14])
        } else {
            let lba = [0, 0, 0, 0, 0, cdb[7], cdb[6], cdb[5]];
            (cdb[3].into(), cdb[4].into(), u64::from_be_bytes(lba), cdb[9])
        };
        judge_ata(AtaFields { command, features, count, lba })
    } else {
        judge_scsi(cdb, 0)
    };
    assert!(!verdict.modifying, "{cdb:02X?} is {} and would be sent", verdict.name);
}

/// B12: the crates that hold the parser, the state machines and the statement contain no unsafe code, and say so to the compiler.
#[test]
fn b12_no_unsafe_code_above_the_boards() {
    for (name, source) in [
        ("policy", include_str!("../../policy/src/lib.rs")),
        ("bridge", include_str!("../../bridge/src/lib.rs")),
        ("attest", include_str!("../../attest/src/lib.rs")),
    ] {
        assert!(source.contains("#![forbid(unsafe_code)]"), "{name}");
        assert!(source.contains("no_std"), "{name}");
    }
}

/// B14: no request leads into a loader: DFU, the magic rates of CDC, and all other class and vendor requests are stalled, and nothing
/// but the bridge's own requests is answered.
#[test]
fn b14_no_request_leads_into_a_loader() {
    let mut host = bridge(DriveConfig::default());
    let mut answered = Vec::new();
    for kind in [0x20, 0x21, 0x22, 0x23, 0x40, 0x42, 0x43, 0x60, 0xA0, 0xA1, 0xA2, 0xC0, 0xC2, 0xE1]
    {
        for request in 0..=u8::MAX {
            for (value, index, length) in
                [(0, 0, 0), (0, 0, 7), (1000, 0, 0), (0, 1, 0), (0, 7, 1), (0, 2, 64)]
            {
                let [v0, v1] = u16::to_le_bytes(value);
                let data = if kind & 0x80 == 0 { vec![0; usize::from(length)] } else { Vec::new() };
                let setup = [kind, request, v0, v1, index, 0, length, 0];
                if host.device_mut().control(setup, &data).is_ok() {
                    answered.push((kind, request, index));
                }
            }
        }
    }
    answered.dedup();
    // Bulk-Only Reset, the Microsoft descriptors.
    assert_eq!(answered, [(0x21, 0xFF, 0), (0xC0, 0x20, 7)]);
    assert_eq!(host.device().reconnects(), 1, "the bridge stays on the bus");
}

/// B15: what a drive says of itself reaches the host as block data and in fixed formats; the bridge's own descriptors do not change, so no
/// drive turns the bridge into a keyboard.
#[test]
fn b15_a_drive_cannot_change_what_the_bridge_is() {
    let look = |host: &mut Bridge| {
        let device = host.device_mut().control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]).unwrap();
        let configuration = host.device_mut().control([0x80, 6, 0, 2, 0, 0, 255, 0], &[]).unwrap();
        let strings: Vec<_> = (1..=3)
            .map(|index| host.device_mut().control([0x80, 6, index, 3, 9, 4, 255, 0], &[]).unwrap())
            .collect();
        (device, configuration, strings)
    };
    let plain = look(&mut bridge(DriveConfig::default()));
    for seed in 0..16_u8 {
        let mut config = DriveConfig::default();
        config.identity.product = "KEYBOARD".into();
        let noise: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_mul(31) ^ seed).collect();
        config.faults.replies = vec![(vec![0x12], noise)];
        let mut host = with_options(UsbOptions::default(), config);
        assert_eq!(look(&mut host), plain);
        // INQUIRY: a direct access device or none at all.
        let inquiry = host.command(&[0x12, 0, 0, 0, 96, 0], Phase::In(96)).unwrap().data;
        assert!(
            matches!(inquiry[0], 0x00 | 0x0E | 0x14 | 0x20 | 0x3F | 0x7F),
            "{:02X}",
            inquiry[0]
        );
    }
}

/// B16: a drive that answers nonsense to everything neither hangs the bridge nor gets a command that it should not.
#[test]
fn b16_a_hostile_drive() {
    for fill in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
        for length in [0, 1, 4, 7, 8, 13, 31, 36, 255, 512, 70_000] {
            let mut config = DriveConfig::default();
            for opcode in [0x12, 0x25, 0x9E, 0x1A, 0x85, 0xA1] {
                config.faults.replies.push((vec![opcode], vec![fill; length]));
            }
            let mut host = with_options(UsbOptions::default(), config);
            for cdb in [
                "12 00 00 00 60 00",
                "12 01 83 00 FF 00",
                "1A 00 3F 00 C0 00",
                "A0 00 00 00 00 00 00 00 00 10 00 00",
            ] {
                host.command(&hex(cdb), Phase::In(4096)).unwrap();
            }
            for cdb in [
                "25 00 00000000 00 0000 00",
                "28 00 00000000 00 0001 00",
                "9E 10 0000000000000000 00000020 00 00",
            ] {
                host.command(&hex(cdb), Phase::In(512)).unwrap();
            }
            assert_eq!(model(&host).violations().count(), 0);
            assert!(controller(&host).device().only_cbws());
            assert_eq!(controller(&host).violations(), Vec::<String>::new());
        }
    }
}

/// B18: the bridge never sends a command that sets something, not even to make a drive behave: no SET FEATURES, no timers, no power
/// management, no MODE SELECT, in the attach script or later.
#[test]
fn b18_the_bridge_sets_nothing_on_its_own() {
    let mut host = open_bridge();
    host.device_mut().idle(3_600_000_000);
    for entry in model(&host).log() {
        let opcode = entry.cdb[0];
        assert!(
            matches!(opcode, 0x00 | 0x03 | 0x12 | 0x1A | 0x25 | 0x85 | 0x9E),
            "{:02X?}",
            entry.cdb
        );
        if let Some((command, _)) = entry.ata {
            assert!(matches!(command, 0xEC | 0x27 | 0x2F), "ATA {command:02X}");
        }
    }
}

/// B19: SMART READ DATA, which makes some drives write their service area, is not known without the profile.
#[test]
fn b19_smart_is_off_by_default() {
    let config = || DriveConfig {
        faults: Faults { smart_read_saves: true, ..Faults::default() },
        ..DriveConfig::default()
    };
    let read_data = ata16(4, 0xB0, 0xD0, 1, 0xC2_4F00, false);
    let mut host = bridge(config());
    bridge_refuses(&mut host, &read_data, Phase::In(512), Refused(Fld));
    let return_status = ata16(3, 0xB0, 0xDA, 0, 0xC2_4F00, false);
    bridge_refuses(&mut host, &return_status, Phase::None, Refused(Fld));
    // With the profile it goes, and on such a drive it leaves its mark: that is why it is off and why the statement names it.
    let profiles = Profiles { ident: true, smart: true };
    let mut host = bridge_with(&Setup { profiles, ..Setup::default() }, config());
    let before = model(&host).state_digest();
    assert_eq!(host.command(&read_data, Phase::In(512)).unwrap().status, 0);
    assert_ne!(model(&host).state_digest(), before);
    assert!(info(&mut host).has(flag::SMART));
}

/// B20: a hidden area is reported and never lifted.
#[test]
fn b20_hidden_areas_are_reported_and_stay() {
    let config =
        DriveConfig { native_blocks: 70_000, dco_blocks: 80_000, ..DriveConfig::default() };
    let mut host = bridge(config);
    let seen = info(&mut host);
    assert_eq!((seen.capacity, seen.native_max), (65_536, 70_000));
    assert!(seen.has(flag::HIDDEN) && host.device().lights().fault);
    let past = host.command(&hex("28 00 00010000 00 0001 00"), Phase::In(512)).unwrap();
    assert_eq!((past.status, host.sense().unwrap().0), (1, [5, 0x21, 0]));
    for cdb in [
        ata16(3, 0x37, 0, 0, 69_999, true),
        ata16(3, 0x37, 0, 1, 69_999, true),
        ata16(3, 0xF9, 0, 0, 69_999, false),
        ata16(3, 0xB1, 0xC0, 0, 0, false),
    ] {
        bridge_refuses(&mut host, &cdb, Phase::None, Counted(Wp));
    }
    let capacity = model(&host).capacity();
    assert_eq!(capacity.visible, 65_536);
}

/// B20a: an adapter that mangles FEATURES, or sends the one before. Nothing is asked whose meaning turns on it, by the script or for
/// the host, unless the adapter is on the list; DCO and AMAX stay as they are.
#[test]
fn b20a_adapters_that_mangle_features() {
    for quirk in [
        FeaturesQuirk::Force(0x00C0),
        FeaturesQuirk::Force(0x00C1),
        FeaturesQuirk::Force(0x0001),
        FeaturesQuirk::Force(0x0002),
        FeaturesQuirk::Stale,
    ] {
        let mut config =
            DriveConfig { native_blocks: 70_000, dco_blocks: 80_000, ..DriveConfig::default() };
        config.faults.features = quirk;
        let mut host = bridge(config);
        let digest = model(&host).state_digest();
        for (cdb, phase) in [
            (ata16(4, 0xB1, 0xC2, 1, 0, false), Phase::In(512)),
            (ata16(3, 0x78, 0, 0, 0, true), Phase::None),
        ] {
            bridge_refuses(&mut host, &cdb, phase, Refused(Fld));
        }
        for entry in model(&host).log() {
            assert!(!matches!(entry.ata, Some((0xB1 | 0x78, _))), "{quirk:?}: {:02X?}", entry.cdb);
        }
        assert_eq!(model(&host).state_digest(), digest);
        assert_eq!(model(&host).violations().count(), 0, "{quirk:?}");
    }
    // The guard is the list, not luck: with the adapter on it the same drive is asked.
    let host = attached(
        &Setup::default(),
        DriveConfig { dco_blocks: 80_000, ..DriveConfig::default() },
        |_, _, _| true,
    );
    assert!(model(&host).log().iter().any(|entry| entry.ata == Some((0xB1, 0xC2))));
    assert_eq!(model(&host).violations().count(), 0);
}

/// B21: no cache, no widening, no padding: every READ reaches the drive, within the blocks asked for; one bad block stays one.
#[test]
fn b21_bad_sectors_are_not_inflated() {
    let mut config = DriveConfig::default();
    config.faults.bad = vec![BadBlocks { blocks: 500..501, kind: BadKind::Medium }];
    let mut host = bridge(config);
    let mut unreadable = Vec::new();
    for lba in 480..520 {
        let before = model(&host).log().len();
        let outcome = read10(&mut host, lba, 1);
        if outcome.status != 0 {
            unreadable.push(lba);
            assert!(outcome.data.is_empty() && outcome.residue == 512);
        }
        let [a3, a2, a1, a0] = lba.to_be_bytes();
        assert_eq!(model(&host).log()[before].cdb, [0x28, 0, a3, a2, a1, a0, 0, 0, 1, 0]);
    }
    assert_eq!(unreadable, [500]);
    // Again, and again: nothing was kept.
    for _ in 0..3 {
        let before = model(&host).log().len();
        assert_eq!(read10(&mut host, 7, 64).status, 0);
        assert_eq!(model(&host).log().len(), before + 1);
    }
}

/// B23: another medium in the same drive: the session ends, the host is told once, and what it reads is the new one.
#[test]
fn b23_a_medium_exchanged_in_mid_session() {
    let mut host = bridge(DriveConfig { removable: true, ..DriveConfig::default() });
    start(&mut host);
    let first = read10(&mut host, 3, 1).data;
    assert!(info(&mut host).has(flag::SESSION));
    let other = DriveConfig {
        removable: true,
        blocks: 32_768,
        base: wb_sim::drive::Base::Stamp(99),
        ..DriveConfig::default()
    };
    usb(&mut host).drive_mut(0).unwrap().exchange_medium(other);
    assert_eq!(read10(&mut host, 3, 1).status, 1);
    assert_eq!(host.sense().unwrap().0, [6, 0x28, 0]);
    host.device_mut().idle(5_000_000);
    // The condition is told once; then the new medium is read, with its own size.
    while read10(&mut host, 3, 1).status != 0 {
        assert_eq!(host.sense().unwrap().0[0], 6);
    }
    let second = read10(&mut host, 3, 1).data;
    assert_eq!(second, model(&host).peek(3, 1));
    assert_ne!(first, second);
    assert_eq!(info(&mut host).capacity, 32_768);
    assert!(!info(&mut host).has(flag::SESSION), "the session ended with its medium");
}

/// B24: a statement answers the nonces of its own session and nobody else's, and no changed byte verifies.
#[test]
fn b24_old_or_changed_statements() {
    let mut host = bridge(DriveConfig::default());
    start(&mut host);
    read10(&mut host, 0, 256);
    let bytes = statement(&mut host, Ending::Final);
    let key = info(&mut host).public_key;
    let signed = Signed::parse(&bytes).unwrap();
    let statement = signed.verify(&key).unwrap();
    let right = Expected { start_nonce: [1; 32], end_nonce: [2; 32], firmware: None, policy: None };
    assert_eq!(statement.findings(&right), []);
    for wrong in [
        Expected { start_nonce: [9; 32], ..right },
        Expected { end_nonce: [9; 32], ..right },
        Expected { policy: Some([9; 32]), ..right },
        Expected { firmware: Some([9; 32]), ..right },
    ] {
        assert_ne!(statement.findings(&wrong), []);
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let is_accepted = Signed::parse(&changed).is_ok_and(|signed| signed.verify(&key).is_ok());
        assert!(!is_accepted, "byte {at}");
    }
}

/// B25: endless data and storms of resets cost time and nothing else.
#[test]
fn b25_denial_of_service() {
    let mut host = bridge(DriveConfig::default());
    let digest = model(&host).state_digest();
    let outcome = host.command(&hex("2A 00 00000000 00 0001 00"), Phase::Zeros(u32::MAX)).unwrap();
    assert!(outcome.stalled && outcome.taken <= 16 << 20);
    for round in 0..500 {
        match round % 4 {
            0 => assert!(host.enumerate()),
            1 => assert!(host.recover()),
            2 => drop(host.raw(&wrapper(round, 65_536, 0x80, &hex("28 00 00000000 00 0080 00")))),
            _ => host.device_mut().reset(),
        }
        host.device_mut().idle(u64::from(round % 7) * 100);
    }
    assert!(host.enumerate());
    assert!(host.recover());
    let _ = host.command(&[0; 6], Phase::None).unwrap();
    assert_eq!(read10(&mut host, 5, 200).data, model(&host).peek(5, 200));
    assert_eq!(model(&host).state_digest(), digest);
    assert_eq!(model(&host).violations().count(), 0);
}

/// B26: password attempts, which a drive counts, never reach it.
#[test]
fn b26_security_attempts() {
    let mut password = vec![0; 512];
    password[2..10].copy_from_slice(b"password");
    for command in [0xF1, 0xF2, 0xF4, 0xF6] {
        for protocol in [5, 6, 11] {
            let cdb = ata16(protocol, command, 0, 1, 0, false);
            model_obeys(&cdb, &password);
            bridge_refuses(&mut open_bridge(), &cdb, Phase::Out(&password), Counted(Wp));
        }
    }
    let out = hex("B5 EF 0001 00 00 00000024 00 00");
    model_obeys(&out, &password[..36]);
    bridge_refuses(&mut open_bridge(), &out, Phase::Out(&password[..36]), Counted(Op));
    // TCG sessions: the same code reads them, under a ComID that is not on the list.
    let tcg = hex("A2 01 0400 00 00 00000200 00 00");
    model_obeys(&tcg, &[]);
    bridge_refuses(&mut open_bridge(), &tcg, Phase::In(512), Refused(Fld));
    // A locked drive stays locked.
    let host = bridge(DriveConfig { locked: true, ..DriveConfig::default() });
    assert_eq!(model(&host).violations().count(), 0);
}
