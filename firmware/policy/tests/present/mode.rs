//! MODE SENSE, byte for byte (section 5.3).

use hex_literal::hex;
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    judge::Answer,
};

use crate::{captures, edits, shown};

const CACHING: [u8; 20] = hex!("08 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
const CONTROL: [u8; 12] = hex!("0A 0A 00 00 00 00 00 00 00 00 00 00");
const EXCEPTIONS: [u8; 12] = hex!("1C 0A 00 00 00 00 00 00 00 00 00 00");

fn six(page: u8, dbd: bool, capture: &Capture) -> Vec<u8> {
    shown(Answer::ModeSense6 { page, pc: 0, dbd, allocation: 255 }, capture)
}

fn ten(page: u8, llbaa: bool, dbd: bool, capture: &Capture) -> Vec<u8> {
    shown(Answer::ModeSense10 { page, pc: 0, dbd, llbaa, allocation: 4096 }, capture)
}

/// 5.3: write protected, no DPO or FUA, write cache off; the four requests of a Linux disk driver.
#[test]
fn mode_sense_6() {
    let disk = captures::sata();
    let descriptor = hex!("74 70 6D B0 00 00 02 00");
    let all = [&hex!("37 00 80 08")[..], &descriptor, &CACHING, &CONTROL, &EXCEPTIONS].concat();
    assert_eq!(six(0x3F, false, &disk), all);
    assert_eq!(six(0x08, false, &disk), [&hex!("1F 00 80 08")[..], &descriptor, &CACHING].concat());
    assert_eq!(six(0x0A, true, &disk), [&hex!("0F 00 80 00")[..], &CONTROL].concat());
    assert_eq!(six(0x1C, true, &disk), [&hex!("0F 00 80 00")[..], &EXCEPTIONS].concat());
}

/// 5.3 and D-10: the long block descriptor on request, the short one saturated above 2^32 blocks.
#[test]
fn mode_sense_10() {
    let big = captures::big();
    let long = hex!("00 00 00 01 23 0C 00 00 00 00 00 00 00 00 10 00");
    assert_eq!(u64::from_be_bytes(*long.first_chunk().unwrap()), captures::BIG_BLOCKS);
    let header = hex!("00 2A 00 80 01 00 00 10");
    assert_eq!(ten(0x08, true, false, &big), [&header[..], &long, &CACHING].concat());
    let short = hex!("FF FF FF FF 00 00 10 00");
    let header = hex!("00 22 00 80 00 00 00 08");
    assert_eq!(ten(0x08, false, false, &big), [&header[..], &short, &CACHING].concat());
    let header = hex!("00 1A 00 80 00 00 00 00");
    assert_eq!(ten(0x08, true, true, &big), [&header[..], &CACHING].concat());
}

/// 5.3: current, changeable and default values are the same bytes; nothing can be changed.
#[test]
fn all_page_controls_give_the_same() {
    let disk = captures::sata();
    for page in [0x08, 0x0A, 0x1C, 0x3F] {
        for pc in 0..3 {
            let answer = Answer::ModeSense6 { page, pc, dbd: false, allocation: 255 };
            assert_eq!(shown(answer, &disk), six(page, false, &disk), "{page:02X} {pc}");
        }
    }
}

/// While the size is not known there is no block descriptor, and the disk is write protected all the same.
#[test]
fn without_a_size_there_is_no_block_descriptor() {
    let capture = Capture::empty(Kind::Card);
    assert_eq!(six(0x0A, false, &capture), [&hex!("0F 00 80 00")[..], &CONTROL].concat());
}

/// 5.3: what the drive itself says of its protection and cache is in the list of edits, when it says otherwise.
#[test]
fn edits_follow_the_drives_own_mode_pages() {
    let mut disk = captures::sata();
    let has = |disk: &Capture, name| edits(disk).contains(&name);
    assert!(has(&disk, "MODE SENSE WP") && has(&disk, "MODE SENSE WCE"));
    assert!(!has(&disk, "MODE SENSE RCD"));
    let mut protected = captures::SATA_MODE;
    protected[2] = 0x80;
    protected[14] = 0x01;
    disk.mode = Some(Bytes::new(&protected));
    assert!(!has(&disk, "MODE SENSE WP") && !has(&disk, "MODE SENSE WCE"));
    assert!(has(&disk, "MODE SENSE RCD"));
    disk.mode = None;
    assert!(!has(&disk, "MODE SENSE WP"));
}
