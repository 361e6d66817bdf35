//! Firmware images: digests, UF2, Intel HEX, loaders.

use std::{fs, path::Path};

use daleel::{
    bridge::{
        boards::{Board, copy_uf2, is_rp2040, one_volume},
        formats::{UF2_RP2040, intel_hex, read_uf2, uf2},
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

/// 4.5: the digest is SHA-256 of the flash between the symbols, segments by physical address, gaps as erased flash: what a loader that writes
/// segments alone leaves, and what the released .bin has.
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
    expected.extend([0xFF; 4]);
    expected.extend(code);
    expected.extend([0xFF; 4]);
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

/// D-09, 4.5: what `cargo xtask firmware` released as `.bin` is what this program reads from the ELF file beside it.
#[test]
fn the_released_images_have_one_digest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/firmware");
    for board in ["pico", "teensy41", "mimxrt1060-evk"] {
        let [elf, bin] = ["elf", "bin"].map(|kind| folder.join(format!("{board}.{kind}")));
        if !elf.exists() {
            let why = format!("no {}: `cargo xtask firmware` makes it", elf.display());
            assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "{why}");
            eprintln!("SKIPPED: {why}");
            continue;
        }
        assert!(Image::read(&elf, None).unwrap().bytes == fs::read(bin).unwrap(), "{board}");
    }
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

/// What is written as UF2 reads back as the image; a file with any fault in its frame, or of another chip, does not.
#[test]
fn uf2_reads_back_and_faults_are_found() {
    let image = Image { start: FLASH.into(), bytes: (0..1000_u32).map(|at| at as u8).collect() };
    let file = uf2(&image, UF2_RP2040).unwrap();
    let read = read_uf2(&file, UF2_RP2040).unwrap();
    assert_eq!((read.start, &read.bytes[..1000]), (image.start, &image.bytes[..]));
    assert!(read.bytes[1000..].iter().all(|byte| *byte == 0xFF) && read.bytes.len() == 1024);
    assert_eq!(read_uf2(&file, 0xE48B_FF59), Err("UF2 of another family of chips"));
    assert!(read_uf2(&file[..file.len() - 1], UF2_RP2040).is_err());
    assert!(read_uf2(&[], UF2_RP2040).is_err());
    assert!(read_uf2(&file[512..], UF2_RP2040).is_err(), "its first block is missing");
    for block in 0..4 {
        for at in (0..32).chain(508..512) {
            let mut changed = file.clone();
            changed[block * 512 + at] ^= 1;
            let is_start = (12..16).contains(&at);
            let is_found = read_uf2(&changed, UF2_RP2040).is_err();
            assert!(is_found || is_start && block == 0, "block {block}, byte {at}");
        }
    }
}

/// The beginning of a firmware of a board, as its boot ROM looks for it, and its name.
fn bootable(board: Board, length: usize) -> Image {
    let mut bytes = vec![0x5A; length];
    match board {
        Board::Pico => {
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(&bytes[..252]);
            bytes[252..256].copy_from_slice(&crc.to_le_bytes());
        }
        Board::Teensy41 | Board::Mimxrt1060Evk => {
            bytes[..4].copy_from_slice(b"FCFB");
            bytes[0x1000..0x1004].copy_from_slice(&[0xD1, 0, 0x20, 0x40]);
        }
    }
    let name = board.name().as_bytes();
    bytes[0x1800..0x1800 + name.len()].copy_from_slice(name);
    Image { start: board.flash_base(), bytes }
}

/// What is no firmware of a board is not loaded onto it: for another place or board, without a boot block, or so long that it would lie over
/// the key.
#[test]
fn an_image_of_another_board_is_refused() {
    let boards = [Board::Pico, Board::Teensy41, Board::Mimxrt1060Evk];
    for board in boards {
        let good = bootable(board, 0x2000);
        board.check(&good).unwrap();
        for other in boards.into_iter().filter(|other| *other != board) {
            let failure = other.check(&good).unwrap_err();
            assert_eq!(failure.exit, Exit::Unsupported);
            let moved = Image { start: other.flash_base(), ..good.clone() };
            assert!(other.check(&moved).is_err(), "{board:?} on {other:?}");
        }
        let noise = Image { bytes: vec![0x5A; 0x2000], ..good.clone() };
        assert!(board.check(&noise).unwrap_err().text.contains("does not begin as a firmware"));
        assert!(board.check(&Image { bytes: vec![1], ..good.clone() }).is_err());
        let room = board.room() as usize;
        board.check(&bootable(board, room)).unwrap();
        let long = board.check(&bootable(board, room + 1)).unwrap_err();
        assert!(long.text.contains("the key page lies behind"), "{}", long.text);
    }
}

/// A file for a loader is no image: taken for a .bin it would be loaded as it stands.
#[test]
fn a_loaders_file_is_not_taken_for_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fw");
    let image = bootable(Board::Pico, 0x2000);
    for bytes in
        [uf2(&image, UF2_RP2040).unwrap(), intel_hex(&image).unwrap().replace('\n', "\r\n").into()]
    {
        fs::write(&path, bytes).unwrap();
        let (exit, text) = failed(Image::read(&path, None));
        assert_eq!(exit, Exit::Unsupported);
        assert!(text.contains("holds an image in pieces"), "{text}");
    }
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
    let file = uf2(&Image { start: FLASH.into(), bytes: vec![7; 1000] }, UF2_RP2040).unwrap();
    assert_eq!(failed(copy_uf2(folder.path(), &file)).0, Exit::Input, "no such volume");
    assert_eq!(failed(copy_uf2(&volume, b"blocks")).0, Exit::Internal, "no UF2");
    let other = uf2(&Image { start: FLASH.into(), bytes: vec![7; 1000] }, 0xE48B_FF59).unwrap();
    assert_eq!(failed(copy_uf2(&volume, &other)).0, Exit::Internal, "of another chip");
    assert!(!volume.join("DALEEL.UF2").exists() && !folder.path().join("DALEEL.UF2").exists());
    copy_uf2(&volume, &file).unwrap();
    assert_eq!(fs::read(volume.join("DALEEL.UF2")).unwrap(), file);
    assert_eq!(failed(copy_uf2(&volume, &file)).0, Exit::Input);
    assert_eq!(one_volume(vec![volume.clone()]).unwrap(), volume);
    assert_eq!(one_volume(Vec::new()).unwrap_err().exit, Exit::Input);
    assert_eq!(one_volume(vec![volume.clone(), volume]).unwrap_err().exit, Exit::Input);
}

/// The chips of the boards are in probe-rs's database, and an image has to lie in their flash.
#[cfg(feature = "probe")]
#[test]
fn an_image_for_another_chip_is_refused_before_a_probe_is_touched() {
    use daleel::bridge::probe::stage;
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
