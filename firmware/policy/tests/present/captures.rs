//! Captures of four typical exhibits, byte for byte as such devices answer.

use hex_literal::hex;
use wb_policy::{
    capture::{Bytes, Capture, Identify, IdentifyData, Kind},
    geometry::Geometry,
};

/// Blocks of the SATA disk: 1 TB.
pub const SATA_BLOCKS: u64 = 1_953_525_168;
/// Blocks of the 4Kn disk: 20 TB, more than READ CAPACITY(10) can say.
pub const BIG_BLOCKS: u64 = 4_882_956_288;

/// INQUIRY of a USB-SATA adapter with a full set of version descriptors, command queueing and HiSup.
pub const SATA_INQUIRY: [u8; 96] = hex!(
    "00 00 06 12 5B 00 00 02"
    "57 44 43 20 57 44 31 30 45 5A 45 58 2D 30 38 57 4E 34 41 30 20 20 20 20 30 31 31 32"
    "0000000000000000000000000000000000000000 0000"
    "00A0 04C0 0460 1EC0 1747 0000 0000 0000"
    "00000000000000000000000000000000000000000000"
);

/// Block limits with every field set that a host could act on.
pub const LIMITS: [u8; 64] = hex!(
    "00 B0 00 3C 01 FF 0008 00400000 00010000 00000020"
    "00 40 00 00 00 00 00 01 00000010 80000004 0000000000400000"
    "00000100 00000200 00000300 00000400 00000500"
);

/// Logical block provisioning of a drive that can unmap.
pub const PROVISIONING: [u8; 8] = hex!("00 B2 00 04 14 E6 0A 00");

/// Valid IDENTIFY DEVICE data of a disk with `blocks` sectors of 512 bytes.
pub fn identify(blocks: u64) -> [u8; 512] {
    let mut data = [0_u8; 512];
    let mut set = |word: usize, value: u16| {
        data[word * 2..word * 2 + 2].copy_from_slice(&value.to_le_bytes());
    };
    set(0, 0x0040);
    set(49, 0x2F00);
    set(60, 0xFFFF);
    set(61, 0x0FFF);
    set(82, 0x746B);
    set(83, 0x7D61);
    set(84, 0x6123);
    set(85, 0x7469);
    set(86, 0xBC41);
    set(87, 0x6123);
    for index in 0..4 {
        set(100 + index, (blocks >> (16 * index)) as u16);
    }
    set(106, 0x6003);
    let text = |data: &mut [u8; 512], word: usize, text: &[u8]| {
        for (index, pair) in text.chunks(2).enumerate() {
            data[(word + index) * 2] = pair[1];
            data[(word + index) * 2 + 1] = pair[0];
        }
    };
    text(&mut data, 10, b"     WD-WCC6Y1234567");
    text(&mut data, 23, b"01.01A01");
    text(&mut data, 27, b"WDC WD10EZEX-08WN4A0                    ");
    data[510] = 0xA5;
    let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    data[511] = 0_u8.wrapping_sub(sum);
    data
}

/// VPD page 89h with IDENTIFY data in it.
pub fn ata_page() -> [u8; 572] {
    let mut page = [0_u8; 572];
    page[..4].copy_from_slice(&hex!("00 89 02 38"));
    page[8..36].copy_from_slice(b"JMicron USB to ATA    0101  ");
    page[36..56]
        .copy_from_slice(&hex!("34 40 50 01 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"));
    page[56] = 0xEC;
    page[60..].copy_from_slice(&identify(SATA_BLOCKS));
    page
}

/// READ CAPACITY(16) answer; the last four defined bytes are given.
pub fn capacity16(blocks: u64, block_bytes: u32, rest: [u8; 4]) -> [u8; 32] {
    let mut answer = [0_u8; 32];
    answer[..8].copy_from_slice(&(blocks - 1).to_be_bytes());
    answer[8..12].copy_from_slice(&block_bytes.to_be_bytes());
    answer[12..16].copy_from_slice(&rest);
    answer
}

/// MODE SENSE(6) page 3Fh of a disk that is not protected and has its write cache on.
pub const SATA_MODE: [u8; 44] = hex!(
    "2B 00 10 08 00 00 00 00 00 00 02 00"
    "08 12 04 00 FF FF 00 00 FF FF FF FF 80 10 00 00 00 00 00 00"
    "0A 0A 02 00 00 00 00 00 00 1E 02 58"
);

/// A 512e SATA disk behind an adapter that passes ATA commands.
pub fn sata() -> Capture {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(&SATA_INQUIRY);
    capture.vpd.supported = Some(Bytes::new(&hex!("00 00 00 09 00 80 83 86 89 B0 B1 B2 C0")));
    capture.vpd.serial =
        Some(Bytes::new(&[&hex!("00 80 00 14")[..], b"     WD-WCC6Y1234567"].concat()));
    capture.vpd.identification = Some(Bytes::new(&sata_identification()));
    capture.vpd.ata = Some(Bytes::new(&ata_page()));
    capture.vpd.limits = Some(Bytes::new(&LIMITS));
    let mut rotation = [0_u8; 64];
    rotation[..8].copy_from_slice(&hex!("00 B1 00 3C 1C 20 00 02"));
    capture.vpd.characteristics = Some(Bytes::new(&rotation));
    capture.vpd.provisioning = Some(Bytes::new(&PROVISIONING));
    capture.geometry = Some(Geometry { blocks: SATA_BLOCKS, block_bytes: 512 });
    capture.capacity16 = Some(capacity16(SATA_BLOCKS, 512, hex!("0F 03 C0 00")));
    capture.mode = Some(Bytes::new(&SATA_MODE));
    capture.identify = Identify::Valid(IdentifyData(identify(SATA_BLOCKS)));
    capture
}

/// Device identification: T10 vendor name and NAA 5.
pub fn sata_identification() -> Vec<u8> {
    let mut page = hex!("00 83 00 54 02 01 00 44").to_vec();
    page.extend_from_slice(b"ATA     WDC WD10EZEX-08WN4A0                         WD-WCC6Y1234567");
    page.extend_from_slice(&hex!("01 03 00 08 50014EE2B1234567"));
    page
}

/// A stick: removable, INQUIRY flags that mean nothing, no vital product data.
pub fn stick() -> Capture {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(
        &[&hex!("00 80 06 02 1F 73 6D 69")[..], b"SanDisk Ultra           1.00"].concat(),
    );
    capture.geometry = Some(Geometry { blocks: 60_063_744, block_bytes: 512 });
    capture
}

/// A disk with blocks of 4096 bytes and more than 2^32 of them.
pub fn big() -> Capture {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(
        &[&hex!("00 00 07 02 1F 00 00 00")[..], b"ST20000NM007D-3DJ103    SN03"].concat(),
    );
    capture.vpd.supported = Some(Bytes::new(&hex!("00 00 00 03 00 80 B1")));
    capture.vpd.serial = Some(Bytes::new(&[&hex!("00 80 00 08")[..], b"ZVT1ABCD"].concat()));
    capture.vpd.characteristics = Some(Bytes::new(&hex!("00 B1 00 04 1C 20 00 02")));
    capture.geometry = Some(Geometry { blocks: BIG_BLOCKS, block_bytes: 4096 });
    capture.capacity16 = Some(capacity16(BIG_BLOCKS, 4096, [0; 4]));
    capture
}

/// An SD card in the form of section 7.4, as its driver makes it.
pub fn card() -> Capture {
    let mut capture = Capture::empty(Kind::Card);
    capture.inquiry = Bytes::new(
        &[&hex!("00 80 05 02 1F 00 00 00")[..], b"SD03 SD SU08G           8.0 "].concat(),
    );
    capture.vpd.supported = Some(Bytes::new(&hex!("00 00 00 06 00 80 83 B0 B1 B2")));
    capture.vpd.serial = Some(Bytes::new(&[&hex!("00 80 00 08")[..], b"1A2B3C4D"].concat()));
    capture.vpd.identification = Some(Bytes::new(
        &[&hex!("00 83 00 2C 02 01 00 28")[..], b"SD03 SD 0353445355303847801A2B3C4D00C7B5"]
            .concat(),
    ));
    capture.vpd.limits = Some(Bytes::new(&[&hex!("00 B0 00 3C")[..], &[0; 60]].concat()));
    capture.vpd.characteristics =
        Some(Bytes::new(&[&hex!("00 B1 00 3C 00 01")[..], &[0; 58]].concat()));
    capture.vpd.provisioning = Some(Bytes::new(&hex!("00 B2 00 04 00 00 00 00")));
    capture.geometry = Some(Geometry { blocks: 15_523_840, block_bytes: 512 });
    capture
}

/// All of them.
pub fn all() -> [(&'static str, Capture); 4] {
    [("disk", sata()), ("stick", stick()), ("4Kn disk", big()), ("card", card())]
}
