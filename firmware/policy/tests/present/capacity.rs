//! READ CAPACITY: shown as the drive gives it, and compared (section 5.4).

use hex_literal::hex;
use wb_policy::{
    capture::{Capture, Kind},
    judge::Answer,
    present::{
        Comparison, compare_capacity10, compare_capacity16, read_capacity10, read_capacity16,
    },
};

use crate::{captures, shown};

/// HWB-AM-03: size and block length are access-significant and never altered; protection and provisioning are cleared.
#[test]
fn read_capacity_16_keeps_all_but_four_fields() {
    let every = hex!("FFFFFFFFFFFFFFFF FFFFFFFF FF FF FF FF FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
    let expected = hex!("FFFFFFFFFFFFFFFF FFFFFFFF F0 FF 3F FF FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
    assert_eq!(read_capacity16(&every), expected);
    assert_eq!(read_capacity10(&hex!("FFFFFFFF 00001000")), hex!("FFFFFFFF 00001000"));
}

/// 5.4: the same size again is the same, in both forms and above 2^32 blocks.
#[test]
fn the_same_size_compares_equal() {
    let (disk, big) = (captures::sata(), captures::big());
    let fresh = hex!("74 70 6D AF 00 00 02 00");
    assert_eq!(compare_capacity10(&disk, &fresh), Comparison::Same);
    assert_eq!(compare_capacity10(&big, &hex!("FFFFFFFF 00001000")), Comparison::Same);
    assert_eq!(compare_capacity16(&disk, &disk.capacity16.unwrap()), Comparison::Same);
    assert_eq!(compare_capacity16(&big, &big.capacity16.unwrap()), Comparison::Same);
}

/// 5.4: one block less, one block more, another block length: changed.
#[test]
fn another_size_is_noticed() {
    let disk = captures::sata();
    for fresh in [
        hex!("74 70 6D AE 00 00 02 00"),
        hex!("74 70 6D B0 00 00 02 00"),
        hex!("FF FF FF FF 00 00 02 00"),
        hex!("74 70 6D AF 00 00 10 00"),
    ] {
        assert_eq!(compare_capacity10(&disk, &fresh), Comparison::Changed);
    }
    for (blocks, block_bytes) in [
        (captures::SATA_BLOCKS - 1, 512),
        (captures::SATA_BLOCKS + (1 << 32), 512),
        (captures::SATA_BLOCKS, 4096),
    ] {
        let fresh = captures::capacity16(blocks, block_bytes, hex!("0F 03 C0 00"));
        assert_eq!(compare_capacity16(&disk, &fresh), Comparison::Changed);
    }
    let other_alignment = captures::capacity16(captures::SATA_BLOCKS, 512, hex!("0F 00 C0 00"));
    assert_eq!(compare_capacity16(&disk, &other_alignment), Comparison::Changed);
    let hidden_bits = captures::capacity16(captures::SATA_BLOCKS, 512, hex!("00 03 00 00"));
    assert_eq!(compare_capacity16(&disk, &hidden_bits), Comparison::Same);
}

/// A unit that was not ready when attached has no size to compare with.
#[test]
fn without_a_captured_size_nothing_is_compared() {
    let empty = Capture::empty(Kind::Usb);
    assert_eq!(compare_capacity10(&empty, &[0; 8]), Comparison::NotCaptured);
    assert_eq!(compare_capacity16(&empty, &[0; 32]), Comparison::NotCaptured);
}

/// Section 2: formatted media of the captured size; no media without one.
#[test]
fn read_format_capacities() {
    let ask = Answer::ReadFormatCapacities { allocation: 252 };
    assert_eq!(shown(ask, &captures::sata()), hex!("00 00 00 08 74 70 6D B0 02 00 02 00"));
    assert_eq!(shown(ask, &captures::big()), hex!("00 00 00 08 FF FF FF FF 02 00 10 00"));
    let empty = Capture::empty(Kind::Card);
    assert_eq!(shown(ask, &empty), hex!("00 00 00 08 00 00 00 00 03 00 00 00"));
}
