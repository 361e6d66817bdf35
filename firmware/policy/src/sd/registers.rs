//! What a host sees of a card: names from the CID, size from the CSD, and a capture like that of any other drive. Nothing here
//! comes from the card's content.
//!
//! Facts: the published policy, section 7.4; SD Physical Layer Simplified Specification, 5.2 (CID) and 5.3 (CSD); JESD84-B51, 7.2
//! (CID) and 7.4.31 (SEC_COUNT); SPC-4, 6.6 (INQUIRY) and 7.8 (vital product data).

use crate::{
    capture::{Asked, Bytes, Capture, Identify, Kind, NotRun, Vpd},
    geometry::Geometry,
};

/// Logical block length of every card in bytes (7.4).
pub const CARD_BLOCK_BYTES: u32 = 512;

/// Text that the host sees as a card's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardNames {
    /// T10 vendor identification.
    pub vendor: [u8; 8],
    /// Product identification.
    pub product: [u8; 16],
    /// Product revision level.
    pub revision: [u8; 4],
    /// Serial number in hexadecimal.
    pub serial: [u8; 8],
}

/// Names of an SD card.
#[must_use]
pub fn sd_names(cid: &[u8; 16]) -> CardNames {
    let [manufacturer, o1, o0, p0, p1, p2, p3, p4, revision, s3, s2, s1, s0, ..] = *cid;
    let [m1, m0] = hex(manufacturer);
    let mut product = [b' '; 16];
    put(&mut product, [p0, p1, p2, p3, p4].map(printable));
    CardNames {
        vendor: [b'S', b'D', m1, m0, b' ', printable(o1), printable(o0), b' '],
        product,
        revision: revision_text(revision),
        serial: serial_text([s3, s2, s1, s0]),
    }
}

/// Names of an eMMC.
#[must_use]
pub fn emmc_names(cid: &[u8; 16]) -> CardNames {
    let [manufacturer, _, oem, p0, p1, p2, p3, p4, p5, revision, s3, s2, s1, s0, ..] = *cid;
    let [m1, m0] = hex(manufacturer);
    let [o1, o0] = hex(oem);
    let mut product = [b' '; 16];
    put(&mut product, [p0, p1, p2, p3, p4, p5].map(printable));
    CardNames {
        vendor: [b'M', b'M', m1, m0, b' ', o1, o0, b' '],
        product,
        revision: revision_text(revision),
        serial: serial_text([s3, s2, s1, s0]),
    }
}

/// Layout of the CSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsdVersion {
    /// Standard capacity, up to 2 GB, byte addresses.
    V1,
    /// High and extended capacity, up to 2 TB, block addresses.
    V2,
    /// Ultra capacity, above 2 TB.
    V3,
}

/// Layout and number of 512-byte blocks of an SD card, or `None` for a CSD that is not of the standard.
#[must_use]
pub fn csd_size(csd: &[u8; 16]) -> Option<(CsdVersion, u64)> {
    let bits = |high, low| field(csd, high, low);
    match bits(127, 126) {
        0 => {
            let read_length = u32::try_from(bits(83, 80)).ok().filter(|n| (9..=11).contains(n))?;
            let exponent =
                u32::try_from(bits(49, 47)).ok()?.checked_add(2)?.checked_add(read_length)?;
            let bytes = bits(73, 62).checked_add(1)?.checked_shl(exponent)?;
            Some((CsdVersion::V1, bytes.checked_div(u64::from(CARD_BLOCK_BYTES))?))
        }
        1 => Some((CsdVersion::V2, bits(69, 48).checked_add(1)?.checked_mul(1024)?)),
        2 => Some((CsdVersion::V3, bits(75, 48).checked_add(1)?.checked_mul(1024)?)),
        _ => None,
    }
}

/// Number of 512-byte blocks of an eMMC above 2 GB: `EXT_CSD[215:212]`.
#[must_use]
pub fn emmc_blocks(ext_csd: &[u8; 512]) -> u64 {
    let byte = |index: usize| ext_csd.get(index).copied().unwrap_or(0);
    u64::from(u32::from_le_bytes([byte(212), byte(213), byte(214), byte(215)]))
}

/// Bits `high` to `low` of a 128-bit register whose first byte holds bit 127.
fn field(register: &[u8; 16], high: u32, low: u32) -> u64 {
    let value = u128::from_be_bytes(*register) >> low;
    let width = high.saturating_sub(low).saturating_add(1);
    let mask = 1_u128.checked_shl(width).unwrap_or(0).wrapping_sub(1);
    u64::try_from(value & mask).unwrap_or(u64::MAX)
}

/// The capture of a card with `blocks` blocks: what a disk would have said, so that the presentation needs no case for cards.
#[must_use]
pub fn capture(names: &CardNames, cid: &[u8; 16], blocks: u64) -> Capture {
    let geometry = Geometry { blocks, block_bytes: CARD_BLOCK_BYTES };
    Capture {
        inquiry: Bytes::new(&inquiry(names)),
        vpd: Vpd {
            supported: Some(Bytes::new(&[0, 0, 0, 6, 0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2])),
            serial: Some(Bytes::new(&serial_page(names))),
            identification: Some(Bytes::new(&identification_page(names, cid))),
            ata: None,
            limits: Some(Bytes::new(&page::<64>(0xB0))),
            characteristics: Some(Bytes::new(&characteristics_page())),
            provisioning: Some(Bytes::new(&page::<8>(0xB2))),
        },
        geometry: Some(geometry),
        capacity16: Some(capacity(&geometry)),
        identify: Identify::NotAsked(NotRun::Removable),
        native_max: Asked::NotAsked(NotRun::Removable),
        dco_max: Asked::NotAsked(NotRun::Removable),
        log_directory: Asked::NotAsked(NotRun::Removable),
        ..Capture::empty(Kind::Card)
    }
}

/// Direct access, removable, SPC-3, response format 2, 36 bytes.
fn inquiry(names: &CardNames) -> [u8; 36] {
    let mut answer = [0; 36];
    put(&mut answer, [0x00, 0x80, 0x05, 0x02, 31, 0, 0, 0]);
    put_at(&mut answer, 8, &names.vendor);
    put_at(&mut answer, 16, &names.product);
    put_at(&mut answer, 32, &names.revision);
    answer
}

fn serial_page(names: &CardNames) -> [u8; 12] {
    let mut page = page::<12>(0x80);
    put_at(&mut page, 4, &names.serial);
    page
}

/// One designator: ASCII, T10 vendor identification based, of the logical unit.
fn identification_page(names: &CardNames, cid: &[u8; 16]) -> [u8; 48] {
    let mut page = page::<48>(0x83);
    put_at(&mut page, 4, &[0x02, 0x01, 0x00, 40]);
    put_at(&mut page, 8, &names.vendor);
    for (pair, byte) in page.iter_mut().skip(16).zip(cid.iter().flat_map(|byte| hex(*byte))) {
        *pair = byte;
    }
    page
}

/// Rotation rate 0001h: not a rotating medium.
fn characteristics_page() -> [u8; 64] {
    let mut page = page::<64>(0xB1);
    put_at(&mut page, 4, &[0x00, 0x01]);
    page
}

/// An all-zero page of `N` bytes with its header.
fn page<const N: usize>(code: u8) -> [u8; N] {
    let mut page = [0; N];
    let [high, low] = u16::try_from(N.saturating_sub(4)).unwrap_or(0).to_be_bytes();
    put(&mut page, [0x00, code, high, low]);
    page
}

fn capacity(geometry: &Geometry) -> [u8; 32] {
    let mut answer = [0; 32];
    put(&mut answer, geometry.blocks.saturating_sub(1).to_be_bytes());
    put_at(&mut answer, 8, &geometry.block_bytes.to_be_bytes());
    answer
}

fn put<const N: usize>(target: &mut [u8], bytes: [u8; N]) {
    put_at(target, 0, &bytes);
}

fn put_at(target: &mut [u8], offset: usize, bytes: &[u8]) {
    for (own, byte) in target.iter_mut().skip(offset).zip(bytes) {
        *own = *byte;
    }
}

fn printable(byte: u8) -> u8 {
    if matches!(byte, 0x20..=0x7E) { byte } else { b'.' }
}

/// Two upper-case hexadecimal digits.
fn hex(byte: u8) -> [u8; 2] {
    [digit(byte >> 4), digit(byte & 0x0F)]
}

fn digit(nibble: u8) -> u8 {
    let first = if nibble < 10 { b'0' } else { b'A'.wrapping_sub(10) };
    first.wrapping_add(nibble)
}

/// `n.m` and a space; the digits are BCD, and one above 9 is shown in hexadecimal.
fn revision_text(byte: u8) -> [u8; 4] {
    let [major, minor] = hex(byte);
    [major, b'.', minor, b' ']
}

fn serial_text([s3, s2, s1, s0]: [u8; 4]) -> [u8; 8] {
    let ([a, b], [c, d], [e, f], [g, h]) = (hex(s3), hex(s2), hex(s1), hex(s0));
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const CID: [u8; 16] = hex!("03 5344 5355313647 80 12ABCD34 0163 5D");

    /// Policy 7.4, INQUIRY: `SD` + MID + OID, PNM, PRV, PSN.
    #[test]
    fn names_of_an_sd_card() {
        let names = sd_names(&CID);
        assert_eq!(&names.vendor, b"SD03 SD ");
        assert_eq!(&names.product, b"SU16G           ");
        assert_eq!(&names.revision, b"8.0 ");
        assert_eq!(&names.serial, b"12ABCD34");
    }

    /// Policy 7.4: bytes outside 20h-7Eh become `.`, for the vendor too.
    #[test]
    fn names_hold_no_control_bytes() {
        let names = sd_names(&hex!("AF 007F 00 1F 7E 80 FF BA 00000001 0000 01"));
        assert_eq!(&names.vendor, b"SDAF .. ");
        assert_eq!(&names.product, b"..~..           ");
        assert_eq!(&names.revision, b"B.A ");
        assert_eq!(&names.serial, b"00000001");
    }

    /// Policy 7.4: eMMC has a one-byte OID and six characters of product name.
    #[test]
    fn names_of_an_emmc() {
        let names = emmc_names(&hex!("15 01 00 424A4E423452 06 DEADBEEF 71 01"));
        assert_eq!(&names.vendor, b"MM15 00 ");
        assert_eq!(&names.product, b"BJNB4R          ");
        assert_eq!(&names.revision, b"0.6 ");
        assert_eq!(&names.serial, b"DEADBEEF");
    }

    /// CSD version 1: a 1 GB card, C_SIZE 3839, C_SIZE_MULT 7, READ_BL_LEN 9: 3840 x 512 blocks.
    #[test]
    fn size_by_csd_version_1() {
        let csd = hex!("00 26 00 32 5F 59 83 BF FE DB CF FF 92 40 40 45");
        assert_eq!(csd_size(&csd), Some((CsdVersion::V1, 3840 * 512)));
    }

    /// CSD version 1 with READ_BL_LEN 10 (2 GB): C_SIZE 4095, C_SIZE_MULT 7.
    #[test]
    fn size_by_csd_version_1_with_long_blocks() {
        let csd = hex!("00 2E 00 32 5B 5A A3 FF FF FF FF 80 0A 80 00 01");
        assert_eq!(csd_size(&csd), Some((CsdVersion::V1, 4096 * 1024)));
        let short = hex!("00 2E 00 32 5B 58 A3 FF FF FF FF 80 0A 80 00 01");
        assert_eq!(csd_size(&short), None);
    }

    /// CSD version 2: C_SIZE 7579h is a 15.9 GB card; the largest is 2 TiB.
    #[test]
    fn size_by_csd_version_2() {
        let csd = hex!("40 0E 00 32 5B 59 00 00 75 79 7F 80 0A 40 00 01");
        assert_eq!(csd_size(&csd), Some((CsdVersion::V2, 0x757A * 1024)));
        let largest = hex!("40 0E 00 32 5B 59 00 3F FF FF 7F 80 0A 40 00 01");
        assert_eq!(csd_size(&largest), Some((CsdVersion::V2, 1 << 32)));
    }

    /// CSD version 3: 28 bits of C_SIZE; structure 3 does not exist.
    #[test]
    fn size_by_csd_version_3() {
        let csd = hex!("80 0E 00 32 5B 59 0F FF FF FF 7F 80 0A 40 00 01");
        assert_eq!(csd_size(&csd), Some((CsdVersion::V3, 1 << 38)));
        let unknown = hex!("C0 0E 00 32 5B 59 0F FF FF FF 7F 80 0A 40 00 01");
        assert_eq!(csd_size(&unknown), None);
    }

    /// eMMC: SEC_COUNT, little-endian.
    #[test]
    fn size_of_an_emmc() {
        let mut ext_csd = [0; 512];
        put_at(&mut ext_csd, 212, &[0x00, 0x00, 0x47, 0x07]);
        assert_eq!(emmc_blocks(&ext_csd), 0x0747_0000);
    }

    /// Policy 7.4: INQUIRY byte for byte, removable, no flags of 5.2.
    #[test]
    fn inquiry_of_a_card() {
        let capture = capture(&sd_names(&CID), &CID, 2048);
        let mut expected = [0x00, 0x80, 0x05, 0x02, 31, 0, 0, 0].to_vec();
        expected.extend(b"SD03 SD SU16G           8.0 ");
        assert_eq!(capture.inquiry.as_slice(), expected);
        assert!(capture.is_removable());
        assert_eq!(capture.device_type(), 0);
        assert!(!capture.has_disagreement());
    }

    /// Policy 7.4: VPD pages byte for byte.
    #[test]
    fn vital_product_data_of_a_card() {
        let vpd = capture(&sd_names(&CID), &CID, 2048).vpd;
        let supported = vpd.supported.expect("page 00h");
        assert_eq!(supported.as_slice(), hex!("00 00 00 06 00 80 83 B0 B1 B2"));
        let serial = vpd.serial.expect("page 80h");
        assert_eq!(serial.as_slice(), b"\x00\x80\x00\x0812ABCD34");
        let identification = vpd.identification.expect("page 83h");
        let mut expected = hex!("00 83 00 2C 02 01 00 28").to_vec();
        expected.extend(b"SD03 SD 03534453553136478012ABCD3401635D");
        assert_eq!(identification.as_slice(), expected);
        let limits = vpd.limits.expect("page B0h");
        assert_eq!(limits.as_slice().len(), 64);
        assert_eq!(limits.as_slice().get(..4), Some(&hex!("00 B0 00 3C")[..]));
        assert!(limits.as_slice().iter().skip(4).all(|byte| *byte == 0));
        let characteristics = vpd.characteristics.expect("page B1h");
        assert_eq!(characteristics.as_slice().get(..6), Some(&hex!("00 B1 00 3C 00 01")[..]));
        let provisioning = vpd.provisioning.expect("page B2h");
        assert_eq!(provisioning.as_slice(), hex!("00 B2 00 04 00 00 00 00"));
        assert_eq!(vpd.ata, None);
    }

    /// Policy 7.4: last LBA = blocks - 1, block length 512, all else zero.
    #[test]
    fn capacity_of_a_card() {
        let capacity = capture(&sd_names(&CID), &CID, 2048).capacity16.expect("always");
        let mut expected = [0; 32];
        put_at(&mut expected, 0, &hex!("00000000 000007FF 00000200"));
        assert_eq!(capacity, expected);
    }
}
