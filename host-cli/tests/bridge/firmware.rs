//! Firmware images: digests, UF2, Intel HEX, loaders.

use std::fs;

use daleel::{
    bridge::{
        boards::{copy_uf2, is_rp2040, one_volume},
        formats::{UF2_RP2040, intel_hex, uf2},
        image::Image,
    },
    exit::Exit,
};
use wb_attest::sha256;

use crate::{elf::Elf, rig::failed};

const FLASH: u32 = 0x1000_0000;

fn of(elf: &Elf) -> anyhow::Result<Image> {
    Image::from_elf(&elf.write())
}

/// 4.5: the digest is SHA-256 of the flash between the symbols, segments by physical address, gaps as zeros.
#[test]
fn the_digest_is_that_of_the_range() {
    let boot: Vec<u8> = (0..=255).collect();
    let code = [0x5A; 40];
    let elf = Elf::default()
        .segment(FLASH, &boot)
        .segment(FLASH + 0x104, &code)
        // RAM, and flash behind the end: not part of the image.
        .segment(0x2000_0000, &[1; 64])
        .segment(FLASH + 0x140, &[2; 64])
        .image(FLASH, FLASH + 0x130);
    let image = of(&elf).unwrap();
    let mut expected = boot.clone();
    expected.extend([0; 4]);
    expected.extend(code);
    expected.extend([0; 4]);
    assert_eq!((image.start, &image.bytes), (u64::from(FLASH), &expected));
    assert_eq!(image.digest(), sha256(&[&expected]));
    assert_eq!(image.range(), 0x1000_0000..0x1000_0130);
}

/// A segment may begin before the range and end behind it.
#[test]
fn the_range_may_lie_within_a_segment() {
    let bytes: Vec<u8> = (0..100).collect();
    let elf = Elf::default().segment(FLASH, &bytes).image(FLASH + 10, FLASH + 20);
    assert_eq!(of(&elf).unwrap().bytes, &bytes[10..20]);
}

/// D-09: a released .bin has the digest that `sha256sum` gives, and is what the ELF file's range is.
#[test]
fn a_bin_is_its_own_range() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fw.bin");
    fs::write(&path, b"firmware").unwrap();
    let image = Image::read(&path, Some(0x6000_0000)).unwrap();
    assert_eq!((image.start, image.digest()), (0x6000_0000, sha256(&[b"firmware"])));
    fs::write(&path, b"").unwrap();
    assert_eq!(failed(Image::read(&path, None)).0, Exit::Unsupported);
}

/// Files that are no image of a bridge are refused; no byte of a damaged one makes this program fail.
#[test]
fn what_is_no_image_is_refused() {
    let segment = || Elf::default().segment(FLASH, &[1; 32]);
    let wrong = [
        segment(),
        segment().image(FLASH + 8, FLASH + 8),
        segment().image(FLASH + 8, FLASH),
        segment().image(0, u32::MAX),
        segment().image(FLASH + 0x1000, FLASH + 0x2000),
        Elf::default().image(FLASH, FLASH + 32),
    ];
    for elf in wrong {
        assert_eq!(failed(of(&elf)).0, Exit::Unsupported);
    }
    let whole = segment().image(FLASH, FLASH + 32).write();
    assert!(Image::from_elf(&whole).is_ok());
    for at in 0..whole.len() {
        let _ = Image::from_elf(&whole[..at]);
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            if let Ok(image) = Image::from_elf(&changed) {
                assert!(image.bytes.len() <= 8 << 20);
            }
        }
    }
}

/// UF2, byte by byte: two blocks, the second one short.
#[test]
fn uf2_known_answer() {
    let image = Image { start: FLASH.into(), bytes: (0..300_u32).map(|at| at as u8).collect() };
    let file = uf2(&image, UF2_RP2040).unwrap();
    assert_eq!(file.len(), 1024);
    let head = "55463 20a 57515d9e 00200000 00010010 00010000 01000000 02000000 56ff8be4";
    let head: Vec<u8> = hex(&head.replace(' ', ""));
    assert_eq!(&file[512..544], head);
    assert_eq!(
        &file[..32],
        hex("5546320a57515d9e00200000000000100001000000000000020000005 6ff8be4")
    );
    assert_eq!(&file[32..288], &image.bytes[..256]);
    assert_eq!(&file[288..508], [0; 220]);
    assert_eq!(&file[508..512], hex("306fb10a"));
    assert_eq!(&file[544..588], &image.bytes[256..]);
    assert_eq!(&file[588..800], [0xFF; 212], "the rest of the page stays erased");
    assert_eq!(uf2(&Image { start: 0x1000_0010, bytes: vec![1] }, 1), None);
    assert_eq!(uf2(&Image { start: 1 << 32, bytes: vec![1] }, 1), None);
}

/// Intel HEX, record by record, over a boundary of 64 KiB; the bytes of each record add up to zero.
#[test]
fn hex_known_answer() {
    let image = Image { start: 0x6000_FFF8, bytes: (1..=20).collect() };
    let expected = ":020000046000 9A\n:08FFF8000102030405060708DD\n:0200000460 0199\n:0C000000090A0B0C0D0E0F101112131446\n:00000001FF\n";
    let text = intel_hex(&image).unwrap();
    assert_eq!(text, expected.replace(' ', ""));
    for line in text.lines() {
        assert_eq!(hex(&line[1..]).iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    }
    let last = Image { start: 0xFFFF_FFFF, bytes: vec![1] };
    assert!(intel_hex(&last).unwrap().contains(":01FFFF0001"));
    assert_eq!(intel_hex(&Image { start: 0xFFFF_FFFF, bytes: vec![1, 2] }), None);
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b' ').collect();
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

/// The boot ROM's volume is known by its INFO_UF2.TXT, and nothing else is written to.
#[test]
fn the_volume_of_a_pico_is_known_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("RPI-RP2");
    fs::create_dir(&volume).unwrap();
    assert!(!is_rp2040(&volume));
    let info = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n";
    fs::write(volume.join("INFO_UF2.TXT"), info.replace("RPI-RP2\r", "OTHER\r")).unwrap();
    assert!(!is_rp2040(&volume));
    fs::write(volume.join("INFO_UF2.TXT"), info).unwrap();
    assert!(is_rp2040(&volume));
    copy_uf2(&volume, b"blocks").unwrap();
    assert_eq!(fs::read(volume.join("DALEEL.UF2")).unwrap(), b"blocks");
    assert_eq!(failed(copy_uf2(&volume, b"blocks")).0, Exit::Input);
    assert_eq!(one_volume(vec![volume.clone()]).unwrap(), volume);
    assert_eq!(one_volume(Vec::new()).unwrap_err().exit, Exit::Input);
    assert_eq!(one_volume(vec![volume.clone(), volume]).unwrap_err().exit, Exit::Input);
}

/// The chips of the boards are in probe-rs's database, and an image has to lie in their flash.
#[cfg(feature = "probe")]
#[test]
fn an_image_for_another_chip_is_refused_before_a_probe_is_touched() {
    use daleel::bridge::{boards::Board, probe::stage};
    for board in [Board::Pico, Board::Mimxrt1060Evk] {
        let good = Image { start: board.flash_base(), bytes: vec![0x11; 4096] };
        let staged = stage(board, &good).unwrap();
        assert!(staged.has_data_for_address(board.flash_base()));
        let bad = Image { start: 0x4000_0000, bytes: vec![0x11; 4096] };
        assert_eq!(failed(stage(board, &bad)).0, Exit::Unsupported);
    }
    let image = Image { start: 0x6000_0000, bytes: vec![0] };
    assert_eq!(failed(stage(Board::Teensy41, &image)).0, Exit::Unsupported);
}
