//! INQUIRY, vital product data and the small answers, byte for byte.

use hex_literal::hex;
use wb_policy::{
    capture::{Capture, Kind},
    judge::Answer,
    present::{self, State},
    sense::{self, AtaRegisters, Refusal, Sense},
};

use crate::{captures, edits, inquiry, shown, shown_in, vpd};

/// HWB-AM-03: the identity of the exhibit is its own; queueing and the version descriptors are not offered.
#[test]
fn inquiry_of_a_sata_disk() {
    let mut expected = hex!(
        "00 00 06 12 35 00 00 00"
        "57 44 43 20 57 44 31 30 45 5A 45 58 2D 30 38 57 4E 34 41 30 20 20 20 20 30 31 31 32"
    )
    .to_vec();
    expected.resize(58, 0);
    assert_eq!(inquiry(&captures::sata()), expected);
}

/// HWB-AM-03: bits outside the closed list stay as the stick gave them, meaningless as they are.
#[test]
fn inquiry_of_a_stick() {
    let expected = [&hex!("00 80 06 02 1F 02 2D 69")[..], b"SanDisk Ultra           1.00"].concat();
    assert_eq!(inquiry(&captures::stick()), expected);
    let edits = edits(&captures::stick());
    let cleared = ["INQUIRY ACC", "INQUIRY TPGS", "INQUIRY PROTECT", "INQUIRY EncServ"];
    assert_eq!(edits[..4], cleared);
}

/// A card arrives in the form of 7.4 and leaves unchanged.
#[test]
fn a_card_is_shown_as_its_driver_made_it() {
    let card = captures::card();
    assert_eq!(inquiry(&card), card.inquiry.as_slice());
    assert_eq!(vpd(0x00, &card), hex!("00 00 00 06 00 80 83 B0 B1 B2"));
    assert_eq!(vpd(0x80, &card), card.vpd.serial.unwrap().as_slice());
    assert_eq!(vpd(0x83, &card), card.vpd.identification.unwrap().as_slice());
    assert_eq!(vpd(0xB0, &card), card.vpd.limits.unwrap().as_slice());
    assert_eq!(vpd(0xB1, &card), card.vpd.characteristics.unwrap().as_slice());
    assert_eq!(vpd(0xB2, &card), card.vpd.provisioning.unwrap().as_slice());
    assert_eq!(edits(&card), ["MODE SENSE pages made by the blocker"]);
}

/// 5.2: page 00h lists exactly what is offered, not what the drive has.
#[test]
fn the_list_of_pages_is_rewritten() {
    let disk = captures::sata();
    assert_eq!(vpd(0x00, &disk), hex!("00 00 00 07 00 80 83 89 B0 B1 B2"));
    assert_eq!(vpd(0x00, &captures::stick()), hex!("00 00 00 01 00"));
    assert_eq!(vpd(0x00, &captures::big()), hex!("00 00 00 03 00 80 B1"));
    let sense = Sense::new(sense::NO_SENSE);
    let registers = AtaRegisters::default();
    let core = State { capture: &disk, sense: &sense, registers: &registers, ident: false };
    let list = Answer::Vpd { page: 0x00, allocation: 255 };
    assert_eq!(shown_in(list, &core), hex!("00 00 00 06 00 80 83 B0 B1 B2"));
}

/// 5.2: serial number, identification, rotation and ATA information are the drive's own bytes.
#[test]
fn identity_pages_are_the_drives_own() {
    let disk = captures::sata();
    assert_eq!(vpd(0x80, &disk), [&hex!("00 80 00 14")[..], b"     WD-WCC6Y1234567"].concat());
    assert_eq!(vpd(0x83, &disk), captures::sata_identification());
    assert_eq!(vpd(0x89, &disk), captures::ata_page());
    assert_eq!(vpd(0xB1, &disk), disk.vpd.characteristics.unwrap().as_slice());
}

/// 5.2: nothing in the block limits or the provisioning page invites a host to unmap, write the same, or write atomically.
#[test]
fn limits_and_provisioning_offer_no_write() {
    let disk = captures::sata();
    let limits = hex!(
        "00 B0 00 3C 00 00 0008 00400000 00010000 00000020"
        "00000000 00000000 00000010 80000004 0000000000000000"
        "00000000 00000000 00000000 00000000 00000000"
    );
    assert_eq!(vpd(0xB0, &disk), limits);
    assert_eq!(vpd(0xB2, &disk), hex!("00 B2 00 04 14 06 08 00"));
}

/// The short block limits page of older drives keeps its length.
#[test]
fn short_block_limits_page() {
    let mut disk = captures::sata();
    let short = hex!("00 B0 00 0C 01 FF 00 08 00 40 00 00 00 01 00 00");
    disk.vpd.limits = Some(wb_policy::capture::Bytes::new(&short));
    assert_eq!(vpd(0xB0, &disk), hex!("00 B0 00 0C 00 00 00 08 00 40 00 00 00 01 00 00"));
}

/// 5.2: a page that the drive does not have is an invalid field in byte 2; page 00h is always there.
#[test]
fn absent_pages_are_refused() {
    let (disk, stick) = (captures::sata(), captures::stick());
    for page in [0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2] {
        let answer = Answer::Vpd { page, allocation: 255 };
        let refused = present::refusal(&answer, &stick, true);
        assert_eq!(refused, Some(Refusal::Field { byte: 2 }), "{page:02X}");
        assert_eq!(present::refusal(&answer, &disk, true), None, "{page:02X}");
        assert_eq!(present::refusal(&answer, &disk, false).is_some(), page == 0x89);
    }
    let list = Answer::Vpd { page: 0x00, allocation: 255 };
    assert_eq!(present::refusal(&list, &stick, false), None);
}

/// Every list of edits that a SATA disk with all its features causes.
#[test]
fn edits_of_a_sata_disk() {
    let expected = [
        "INQUIRY CmdQue",
        "INQUIRY additional length",
        "INQUIRY version descriptors",
        "VPD 00h list of pages",
        "VPD B0h WSNZ",
        "VPD B0h maximum COMPARE AND WRITE length",
        "VPD B0h maximum UNMAP LBA count",
        "VPD B0h maximum UNMAP block descriptor count",
        "VPD B0h maximum WRITE SAME length",
        "VPD B0h atomic write fields",
        "VPD B2h LBPU",
        "VPD B2h LBPWS",
        "VPD B2h LBPWS10",
        "VPD B2h provisioning type",
        "MODE SENSE pages made by the blocker",
        "MODE SENSE WP",
        "MODE SENSE DPOFUA",
        "MODE SENSE WCE",
        "READ CAPACITY(16) P_TYPE",
        "READ CAPACITY(16) PROT_EN",
        "READ CAPACITY(16) LBPME",
        "READ CAPACITY(16) LBPRZ",
    ];
    assert_eq!(edits(&captures::sata()), expected);
}

/// 5.2: an edit quotes the drive's bytes and those presented, with their place.
#[test]
fn an_edit_quotes_both_sides() {
    let disk = captures::sata();
    let find = |name| present::changes(&disk, true).find(|edit| edit.name == name).unwrap();
    let queue = find("INQUIRY CmdQue");
    assert_eq!((queue.opcode, queue.sub, queue.offset), (0x12, 0x0000, 7));
    assert_eq!((queue.original, queue.presented()), (&[0x02][..], &[0x00][..]));
    let unmap = find("VPD B0h maximum UNMAP LBA count");
    assert_eq!((unmap.opcode, unmap.sub, unmap.offset), (0x12, 0x01B0, 20));
    assert_eq!((unmap.original, unmap.presented()), (&hex!("00400000")[..], &[0; 4][..]));
    let list = find("VPD 00h list of pages");
    assert_eq!((list.opcode, list.sub, list.offset), (0x12, 0x0100, 4));
    assert_eq!(list.original, hex!("00 80 83 86 89 B0 B1 B2 C0"));
    assert_eq!(list.presented(), hex!("00 80 83 89 B0 B1 B2"));
    let versions = find("INQUIRY version descriptors");
    assert_eq!((versions.offset, versions.original.len()), (58, 38));
    assert!(versions.presented().is_empty());
    let wce = find("MODE SENSE WCE");
    assert_eq!((wce.opcode, wce.sub, wce.offset), (0x1A, 0x3F, 14));
    assert_eq!((wce.original, wce.presented()), (&[0x04][..], &[0x00][..]));
    let provisioning = find("READ CAPACITY(16) LBPME");
    assert_eq!((provisioning.opcode, provisioning.sub, provisioning.offset), (0x9E, 0x10, 14));
    assert_eq!((provisioning.original, provisioning.presented()), (&[0xC0][..], &[0x00][..]));
}

/// Section 2: one logical unit, and every selection of the standard.
#[test]
fn report_luns() {
    let one = hex!("00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00");
    for (select, expected) in [
        (0x00, &one[..]),
        (0x01, &hex!("00 00 00 00 00 00 00 00")[..]),
        (0x02, &one[..]),
        (0x10, &[0; 8][..]),
        (0x11, &one[..]),
        (0x12, &[0; 8][..]),
    ] {
        let answer = Answer::ReportLuns { select, allocation: 4096 };
        assert_eq!(shown(answer, &captures::sata()), expected, "{select:02X}");
    }
}

/// 3.7: no task management function exists on this transport.
#[test]
fn report_supported_task_management_functions() {
    let answer = |extended| Answer::SupportedTmfs { extended, allocation: 255 };
    assert_eq!(shown(answer(false), &captures::sata()), [0; 4]);
    let mut long = [0; 16];
    long[3] = 0x0C;
    assert_eq!(shown(answer(true), &captures::sata()), long);
}

/// 4.1a: IDENTIFY DEVICE is the capture, byte for byte.
#[test]
fn identify_device_is_byte_identical() {
    let data = captures::identify(captures::SATA_BLOCKS);
    assert_eq!(shown(Answer::AtaIdentify, &captures::sata()), data);
    assert_eq!(shown(Answer::AtaIdentify, &captures::stick()), []);
}

/// 4.1, protocol 15: the descriptor alone, 14 bytes.
#[test]
fn return_response_information() {
    let registers = AtaRegisters {
        extend: true,
        error: 0x04,
        count: 0x1234,
        lba: 0x0000_A1A2_A3A4_A5A6,
        device: 0x40,
        status: 0x51,
    };
    let capture = Capture::empty(Kind::Usb);
    let sense = Sense::new(sense::NO_SENSE);
    let state = State { capture: &capture, sense: &sense, registers: &registers, ident: true };
    let expected = hex!("09 0C 01 04 12 34 A3 A6 A2 A5 A1 A4 40 51");
    assert_eq!(shown_in(Answer::AtaRegisters, &state), expected);
}

/// 1.1 and 5.5: a refusal in both formats, cut to what the host asked for.
#[test]
fn request_sense() {
    let capture = captures::stick();
    let sense = Sense::refusal(Refusal::Field { byte: 2 });
    let registers = AtaRegisters::default();
    let state = State { capture: &capture, sense: &sense, registers: &registers, ident: true };
    let fixed = hex!("70 00 05 00 00 00 00 0A 00 00 00 00 24 00 57 C0 00 02");
    let ask = |descriptor, allocation| Answer::RequestSense { descriptor, allocation };
    assert_eq!(shown_in(ask(false, 252), &state), fixed);
    assert_eq!(shown_in(ask(false, 8), &state), fixed[..8]);
    let described = hex!("72 05 24 00 00 00 00 0C 02 06 00 00 C0 00 02 00 03 02 00 57");
    assert_eq!(shown_in(ask(true, 252), &state), described);
}
