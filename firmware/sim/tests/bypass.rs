//! The bypasses B1 to B11 of the published requirements, section 3: commands and transports that earlier devices let through. B12 to B27 are
//! in `bypass_chain.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail

mod attempt;
mod common;
mod oracle;

use attempt::{
    Answer::{Counted, Refused},
    ata12, ata16, bridge_refuses, hex, model_obeys, open_bridge, with_options,
};
use common::{bridge, controller, model, read10};
use oracle::Seen::{Fld, Op, Wp};
use wb_bridge::{
    drive::{Drive as _, Refused as NotServed},
    host::Request as Control,
};
use wb_sim::{
    drive::DriveConfig,
    host::{Phase, wrapper},
    usb::{InResult, OutResult, UsbDevice, UsbOptions},
};

/// B1: write commands that came late or are rare. A drive obeys each; the bridge drains the data and refuses.
#[test]
fn b01_new_and_rare_write_commands() {
    let block = [0xEE; 512];
    let mut scattered = vec![0; 512];
    scattered[32..40].copy_from_slice(&77_u64.to_be_bytes());
    scattered[40..44].copy_from_slice(&1_u32.to_be_bytes());
    scattered.extend(block);
    for (cdb, data) in [
        ("8A 00 0000000000000010 00000001 00 00", &block[..]),
        ("AA 00 00000010 00000001 00 00", &block),
        ("41 00 00000010 00 0100 00", &block),
        ("93 00 0000000000000010 00000100 00 00", &block),
        ("93 08 0000000000000010 00000100 00 00", &block),
        ("8B 00 0000000000000010 00000001 00 00", &block),
        ("89 00 0000000000000010 000000 01 00 00", &[0xEE; 1024]),
        ("8E 00 0000000000000010 00000001 00 00", &block),
        ("9A 00 0000000000000010 0001 0001 00 00", &block),
        ("9C 00 0000000000000010 0000 0001 00 00", &block),
        ("9F 12 0000 0001 0000 0001 00000002 00 00", &scattered),
        ("50 00 00000010 00 0001 00", &block),
        ("53 00 00000010 00 0001 00", &block),
        ("80 00 0000000000000010 00000001 00 00", &block),
    ] {
        attempt::data_out(cdb, data, Counted(Wp));
    }
    let unmap = hex("0016 0010 00000000 0000000000000020 00000008 00000000");
    attempt::data_out("42 00 00 00 00 00 00 00 18 00", &unmap, Counted(Wp));
}

/// B2: commands that modify under an operation code that reads, announced as the reads they pretend to be.
#[test]
fn b02_modifying_commands_under_in_opcodes() {
    for (cdb, answer) in [
        ("9E 14 0000000000000000 00000008 00 00", Counted(Fld)),
        ("9E 15 4000000000000000 00000000 00 00", Counted(Fld)),
        ("9E 18 0000000000001000 00000001 00 00", Counted(Wp)),
        ("9E 19 0000000000000000 00000000 00 00", Counted(Wp)),
        ("9E 1A 0000000000000000 00000001 00 00", Counted(Wp)),
        ("95 08 0000000000000000 00000000 00 00", Counted(Wp)),
        ("4D 01 4D 00 00 00 00 00 FF 00", Counted(Fld)),
        ("3C 1C FE 000000 000200 00", Refused(Op)),
        ("A2 01 0002 00 00 00000200 00 00", Refused(Fld)),
    ] {
        model_obeys(&hex(cdb), &[]);
        for length in [8, 255, 512] {
            bridge_refuses(&mut open_bridge(), &hex(cdb), Phase::In(length), answer);
        }
    }
    // The service actions that are read by the same codes go, and only they.
    let mut host = open_bridge();
    for action in 0..32_u8 {
        let mut cdb = hex("9E 00 0000000000000000 00000020 00 00");
        cdb[1] = action;
        let outcome = host.command(&cdb, Phase::In(32)).unwrap();
        assert_eq!(outcome.status == 0, action == 0x10, "9E/{action:02X}");
    }
    assert_eq!(model(&host).violations().count(), 0);
}

/// B3: direction is never a criterion. The same command with no data, data in and data out is refused alike.
#[test]
fn b03_direction_is_no_criterion() {
    let data = [0; 512];
    for (cdb, answer) in [
        ("48 03 00 00 00 00 00 00 00 00", Counted(Wp)),
        ("04 00 00 00 00 00", Counted(Wp)),
        ("93 01 0000000000000010 00000100 00 00", Counted(Wp)),
        ("85 07 20 00 00 00 00 00 0F 00 27 00 00 40 37 00", Counted(Wp)),
        ("85 06 20 00 C0 00 00 00 00 00 00 00 00 40 B1 00", Counted(Wp)),
        ("85 07 20 00 12 00 00 42 72 00 45 00 6B 40 B4 00", Counted(Wp)),
        ("A1 06 20 00 00 0F 27 00 40 F9 00 00", Counted(Wp)),
    ] {
        model_obeys(&hex(cdb), &[]);
        let mut host = open_bridge();
        for phase in [Phase::None, Phase::In(1), Phase::In(512), Phase::Out(&data)] {
            bridge_refuses(&mut host, &hex(cdb), phase, answer);
        }
    }
}

/// B4: ATA writes inside both pass-through commands, whatever protocol they claim; the 32-byte form does not exist.
#[test]
fn b04_ata_pass_through() {
    let block = [0xEE; 512];
    for (command, extend) in [
        (0x30, false),
        (0xCA, false),
        (0xC5, false),
        (0x34, true),
        (0x35, true),
        (0x39, true),
        (0x3D, true),
        (0x61, true),
        (0x06, true),
    ] {
        model_obeys(&ata16(5, command, 1, 1, 16, extend), &block);
        let mut host = open_bridge();
        for protocol in [3, 4, 5, 6, 7, 10, 11, 12] {
            let long = ata16(protocol, command, 1, 1, 16, extend);
            bridge_refuses(&mut host, &long, Phase::Out(&block), Counted(Wp));
            bridge_refuses(&mut host, &long, Phase::In(512), Counted(Wp));
            let short = ata12(protocol, command, 1, 1, 16);
            bridge_refuses(&mut host, &short, Phase::Out(&block), Counted(Wp));
        }
    }
    // ATA PASS-THROUGH(32), cut to what a wrapper holds.
    let mut host = open_bridge();
    let cut = hex("7F 00 00 00 00 00 00 18 1FF0 0000 00000000");
    bridge_refuses(&mut host, &cut, Phase::None, Refused(Op));
    bridge_refuses(&mut host, &cut, Phase::Out(&block), Refused(Op));
}

/// B5: requests whose parts contradict each other: a harmless command with the protocol, the registers or the length of another one.
#[test]
fn b05_contradictions_inside_the_pass_through() {
    let mut host = open_bridge();
    let sent = controller(&host).bulk_out().len();
    let contradictions = [
        // IDENTIFY as PIO data-out, as non-data, with EXTEND, with T_DIR out, with T_LENGTH in FEATURES, in bytes.
        "85 0A 06 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 EC 00",
        "85 09 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 08 06 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 08 0D 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "85 08 0A 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        // CHECK POWER MODE with a count, and with upper register bytes that EXTEND=0 hides.
        "85 06 20 00 00 00 01 00 00 00 00 00 00 40 E5 00",
        "85 06 20 01 00 00 00 00 00 00 00 00 00 40 E5 00",
        "85 06 20 00 00 00 00 37 00 00 00 00 00 40 E5 00",
        "85 06 20 00 00 00 00 00 00 00 00 37 00 40 E5 00",
        // READ NATIVE MAX EXT without EXTEND, READ NATIVE MAX with it.
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 F8 00",
        // READ LOG EXT of two pages announced as one, and with the bit that resets counters.
        "85 09 0E 00 00 00 02 00 30 00 00 00 00 40 2F 00",
        "85 09 0E 00 01 00 01 00 11 00 00 00 00 40 2F 00",
        // A hard reset, a soft reset, a device reset, diagnostics.
        "85 00 00 00 00 00 00 00 00 00 00 00 00 40 EC 00",
        "85 02 00 00 00 00 00 00 00 00 00 00 00 40 EC 00",
        "85 12 00 00 00 00 00 00 00 00 00 00 00 40 08 00",
        "85 10 00 00 00 00 00 00 00 00 00 00 00 40 90 00",
    ];
    for cdb in contradictions {
        let outcome = host.command(&hex(cdb), Phase::In(512)).unwrap();
        assert_eq!(outcome.status, 1, "{cdb}");
        assert_eq!(host.sense().unwrap().0, [5, 0x24, 0], "{cdb}");
    }
    assert_eq!(controller(&host).bulk_out().len(), sent);
}

/// B6: SCT travels in writes to log E0h; every way to write a log is refused, and there is no data-out path to carry one.
#[test]
fn b06_sct_by_writing_a_log() {
    let mut sct = vec![0; 512];
    // Action 2, WRITE SAME, function 1: repeats a pattern over the medium.
    sct[..8].copy_from_slice(&hex("0200 0100 10000000"));
    for cdb in [
        ata16(5, 0xB0, 0xD6, 1, 0xC2_4FE0, false),
        ata16(5, 0x3F, 0, 1, 0xE0, true),
        ata16(5, 0x57, 0, 1, 0xE0, true),
        ata12(5, 0xB0, 0xD6, 1, 0xC2_4FE0),
    ] {
        model_obeys(&cdb, &sct);
        bridge_refuses(&mut open_bridge(), &cdb, Phase::Out(&sct), Counted(Wp));
    }
    // Without the profile no SMART command is known, and the attempt counts all the same.
    let mut host = bridge(attempt::config());
    let cdb = ata16(5, 0xB0, 0xD6, 1, 0xC2_4FE0, false);
    bridge_refuses(&mut host, &cdb, Phase::Out(&sct), Counted(Fld));
}

/// B7: all vendor operation codes, with every second byte and every data phase: none has a meaning here.
#[test]
fn b07_vendor_commands_of_adapters() {
    let mut host = open_bridge();
    let (sent, digest) = (controller(&host).bulk_out().len(), model(&host).state_digest());
    let data = [0; 64];
    for opcode in (0xC0..=0xFF_u8).chain([0x24]) {
        for second in [0x00, 0x01, 0x08, 0x10, 0x15, 0x24, 0x50, 0x80, 0xC0, 0xFF] {
            for length in [6, 10, 12, 16] {
                let mut cdb = vec![0; length];
                (cdb[0], cdb[1], cdb[2]) = (opcode, second, 0x22);
                for phase in [Phase::None, Phase::In(512), Phase::Out(&data)] {
                    let outcome = host.command(&cdb, phase).unwrap();
                    assert_eq!(outcome.status, 1, "{cdb:02X?}");
                    assert_eq!(oracle::sense(&mut host)[12], 0x20, "{cdb:02X?}");
                }
            }
        }
    }
    assert_eq!(controller(&host).bulk_out().len(), sent);
    assert_eq!(model(&host).state_digest(), digest);
}

/// B8: NVMe tunnels: Realtek E4h, ASMedia E6h, and JMicron's A1h with its 512 bytes of data-out.
#[test]
fn b08_nvme_tunnels() {
    let mut host = open_bridge();
    for opcode in 0..=u8::MAX {
        let asmedia = [0xE6, opcode, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut realtek = [0; 16];
        (realtek[0], realtek[1], realtek[2], realtek[3]) = (0xE4, 0, 0x10, opcode);
        for phase in [Phase::None, Phase::In(512)] {
            bridge_refuses(&mut host, &asmedia, phase, Refused(Op));
            bridge_refuses(&mut host, &realtek, phase, Refused(Op));
        }
    }
    // Set NVM command, then data in, data out, no data, and the result (smartmontools, scsinvme.cpp).
    let mut command = vec![0; 512];
    command[..4].copy_from_slice(&0x454D_564E_u32.to_le_bytes());
    command[8] = 0x80;
    for step in [0x80, 0x81, 0x82, 0x83, 0x8F] {
        let cdb = [0xA1, step, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        bridge_refuses(&mut host, &cdb, Phase::Out(&command), Refused(Fld));
        bridge_refuses(&mut host, &cdb, Phase::In(512), Refused(Fld));
    }
}

/// B9: bulk-only transport on both sides: no UAS is offered upstream or chosen downstream; a repeated tag is only a tag.
#[test]
fn b09_one_transport_only() {
    let mut host = bridge(DriveConfig::default());
    let configuration = host.device_mut().control([0x80, 6, 0, 2, 0, 0, 0xFF, 0], &[]).unwrap();
    let interfaces: Vec<_> = descriptors(&configuration)
        .filter(|d| d[1] == 4)
        .map(|d| (d[2], d[3], d[5], d[6], d[7]))
        .collect();
    assert_eq!(interfaces, [(0, 0, 0x08, 0x06, 0x50), (1, 0, 0xFF, 0x44, 0x01)]);
    for tag in [0, 0, 7, 7, 7, u32::MAX] {
        assert_eq!(host.raw(&wrapper(tag, 0, 0, &[0; 6])), OutResult::Ack(31));
        host.device_mut().idle(50_000);
        let InResult::Data(status) = host.device_mut().bulk_in(1, 13) else { panic!("no status") };
        assert_eq!(status[4..8], tag.to_le_bytes());
    }
    // A drive with a UAS setting is used with its other one.
    let options = UsbOptions { uas: true, ..UsbOptions::default() };
    let mut host = with_options(options, DriveConfig::default());
    assert_eq!(controller(&host).device().alternate_setting(), 0);
    assert_eq!(read10(&mut host, 0, 1).status, 0);
}

/// B10: wrappers that lie about their command, carry more than they declare, or speak to other units.
#[test]
fn b10_wrappers_that_lie() {
    let mut host = bridge(DriveConfig::default());
    let (sent, digest) = (controller(&host).bulk_out().len(), model(&host).state_digest());
    let write = hex("2A 00 00000000 00 0001 00");
    // A TEST UNIT READY of six bytes with a WRITE behind it in the wrapper: the rest is not looked at.
    let mut bytes = wrapper(1, 0, 0, &[0; 6]);
    bytes[21..31].copy_from_slice(&write);
    assert_eq!(host.raw(&bytes), OutResult::Ack(31));
    host.device_mut().idle(50_000);
    assert!(matches!(host.device_mut().bulk_in(1, 13), InResult::Data(status) if status[12] == 0));
    let asked = &model(&host).log().last().unwrap().cdb;
    assert_eq!(asked[..], [0; 6]);
    let sent_now = sent + 1;
    // A WRITE that says it is shorter or longer, or reads.
    for length in 1..=16 {
        let mut cdb = write.clone();
        cdb.resize(16, 0);
        for phase in [Phase::None, Phase::In(512), Phase::Zeros(512)] {
            let outcome = host.command(&cdb[..length], phase).unwrap();
            assert_eq!(outcome.status, 1);
            assert_eq!(host.sense().unwrap().0, [7, 0x27, 0]);
        }
    }
    // Other units, reserved bits, other lengths, no signature.
    let valid = wrapper(9, 0, 0, &[0; 6]);
    let mut bad: Vec<Vec<u8>> = Vec::new();
    for unit in 1..=0xFF {
        let mut bytes = valid.clone();
        bytes[13] = unit;
        bad.push(bytes);
    }
    for flags in 1..0x80 {
        let mut bytes = valid.clone();
        bytes[12] = flags;
        bad.push(bytes);
    }
    for length in [0, 17, 31, 32, 0x46, 0x86, 0xFF] {
        let mut bytes = valid.clone();
        bytes[14] = length;
        bad.push(bytes);
    }
    bad.extend((0..31).map(|length| valid[..length].to_vec()));
    bad.extend([32, 63, 64, 512].map(|length| {
        let mut bytes = valid.clone();
        bytes.resize(length, 0);
        bytes
    }));
    bad.push([b"USBS", &valid[4..]].concat());
    for bytes in bad {
        host.raw(&bytes);
        host.device_mut().idle(1000);
        assert_eq!(host.raw(&valid), OutResult::Stall, "{bytes:02X?}");
        assert!(host.recover());
    }
    assert_eq!(controller(&host).bulk_out().len(), sent_now);
    assert_eq!(model(&host).state_digest(), digest);
    assert_eq!(read10(&mut host, 1, 1).status, 0);
}

/// B11: the host's control requests end in the bridge; those to the drive are a closed list; hubs and composite devices are not served.
#[test]
fn b11_control_requests() {
    let mut host = bridge(DriveConfig::default());
    let before = controller(&host).requests().len();
    let seen = controller(&host).device().control_log().len();
    for kind in [0x20, 0x21, 0x22, 0x40, 0x41, 0x42, 0xA1, 0xC0, 0xC1, 0xC2, 0x00, 0x02] {
        for request in 0..=u8::MAX {
            // SET ADDRESS, SET CONFIGURATION and halts are the host's own business with the bridge.
            if kind & 0x60 == 0 && matches!(request, 1 | 3 | 5 | 9) {
                continue;
            }
            let data = if kind & 0x80 == 0 { &[0xFF; 32][..] } else { &[] };
            for index in [0, 1] {
                let _ = host.device_mut().control([kind, request, 0, 0, index, 0, 32, 0], data);
            }
        }
    }
    assert_eq!(controller(&host).requests().len(), before);
    assert_eq!(controller(&host).device().control_log().len(), seen);
    assert!(host.enumerate());
    let is_listed = |request: &Control| {
        matches!(
            request,
            Control::DeviceDescriptor { .. }
                | Control::ConfigurationDescriptor { .. }
                | Control::StringDescriptor { .. }
                | Control::SetAddress(_)
                | Control::SetConfiguration(_)
                | Control::SetInterface { .. }
                | Control::ClearHalt { .. }
                | Control::GetMaxLun { .. }
                | Control::BulkOnlyReset { .. }
        ) && (request.setup()[0] & 0x80 != 0 || request.setup()[6..] == [0, 0])
    };
    assert!(controller(&host).requests().iter().all(is_listed));

    for (options, reason) in [
        (UsbOptions { hub: true, ..UsbOptions::default() }, NotServed::Hub),
        (UsbOptions { composite: true, ..UsbOptions::default() }, NotServed::Composite),
    ] {
        let host = with_options(options, DriveConfig::default());
        let drive = host.device().core().drive();
        assert_eq!(drive.report().unwrap().refused, Some(reason));
        assert_eq!(controller(&host).bulk_out().len(), 0);
        assert!(host.device().lights().fault && !host.device().lights().ready);
    }
}

fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (one, rest) = bytes.split_at_checked(usize::from(*bytes.first()?))?;
        bytes = rest;
        Some(one)
    })
}
