//! Superblock, partition table and the rule by which a disk is divided.
//!
//! Facts: `docs/formats/dahua.md`, sections 1.1 and 1.2; the geometry rule reproduces Disks A and B.

use super::{MARKER, SECTOR, put_u32};

/// Sectors of the two partition tables.
pub const TABLE_SECTORS: [u64; 2] = [30, 62];
/// Boot sector of a partition, relative to its start.
pub const BOOT_SECTOR: u32 = 34;

/// Which generation of recorder formatted the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generation {
    /// Nothing but the signature in sector 0.
    Early,
    /// A uuid text and a marker in sector 0.
    Later {
        /// The uuid without braces.
        uuid: String,
    },
}

/// Start and length of a partition in sectors of 512 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First sector.
    pub start: u64,
    /// Number of sectors.
    pub length: u32,
}

/// Divides `sectors` into `count` equal parts; starts are rounded up to `alignment` sectors.
pub fn partition_spans(sectors: u64, count: u32, alignment: u32) -> Vec<Span> {
    let (count, alignment) = (u64::from(count), u64::from(alignment));
    (0..count)
        .map(|k| {
            let start = (k * sectors / count).next_multiple_of(alignment);
            Span { start, length: ((k + 1) * sectors / count - start) as u32 }
        })
        .collect()
}

/// Sector 0.
pub fn superblock(generation: &Generation) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    sector[..7].copy_from_slice(b"DHFS4.1");
    if let Generation::Later { uuid } = generation {
        let text = format!("uuid:{{{uuid}}}");
        sector[0x20..0x20 + text.len()].copy_from_slice(text.as_bytes());
        sector[0x1F4..0x1F8].copy_from_slice(&MARKER);
    }
    sector
}

/// The partition table; the marker follows the last entry.
pub fn partition_table(spans: &[Span]) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let last = spans.len() as u32 - 1;
    put_u32(&mut sector, 0x28, last);
    put_u32(&mut sector, 0x2C, 1);
    put_u32(&mut sector, 0x30, last);
    for (k, span) in spans.iter().enumerate() {
        let entry = 0x40 + 64 * k;
        put_u32(&mut sector, entry + 0x08, BOOT_SECTOR);
        put_u32(&mut sector, entry + 0x1C, 1);
        sector[entry + 0x24..entry + 0x2C].copy_from_slice(&span.start.to_le_bytes());
        put_u32(&mut sector, entry + 0x2C, span.length);
    }
    let marker = 0x34 + 64 * spans.len();
    sector[marker..marker + 4].copy_from_slice(&MARKER);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const DISK_A: u64 = 488_397_168;
    const DISK_B: u64 = 1_953_525_168;

    #[test]
    fn the_rule_gives_the_partitions_of_disks_a_and_b() {
        let a = partition_spans(DISK_A, 4, 0x10000);
        assert_eq!(
            a.iter().map(|span| span.start).collect::<Vec<_>>(),
            [0, 122_159_104, 244_252_672, 366_346_240]
        );
        assert_eq!(
            a.iter().map(|span| span.length).collect::<Vec<_>>(),
            [122_099_292, 122_039_480, 122_045_204, 122_050_928]
        );
        let b = partition_spans(DISK_B, 4, 0x800);
        assert_eq!(
            b.iter().map(|span| span.start).collect::<Vec<_>>(),
            [0, 0x1D1C_2000, 0x3A38_3800, 0x5754_5800]
        );
    }

    #[test]
    fn the_table_of_disk_a_is_byte_exact() {
        let table = partition_table(&partition_spans(DISK_A, 4, 0x10000));
        let mut expected = [0; SECTOR];
        expected[0x28..0x34].copy_from_slice(&hex!("03000000 01000000 03000000"));
        let entries = [
            hex!("00000000 00000000 5c164707"),
            hex!("00004807 00000000 b82c4607"),
            hex!("00008f0e 00000000 14434607"),
            hex!("0000d615 00000000 70594607"),
        ];
        for (k, entry) in entries.iter().enumerate() {
            expected[0x48 + 64 * k] = 0x22;
            expected[0x5C + 64 * k] = 1;
            expected[0x64 + 64 * k..0x70 + 64 * k].copy_from_slice(entry);
        }
        expected[0x134..0x138].copy_from_slice(&hex!("aa55aa55"));
        assert_eq!(table, expected);
    }

    #[test]
    fn sector_zero_has_two_generations() {
        assert_eq!(superblock(&Generation::Early)[..9], *b"DHFS4.1\0\0");
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let later = superblock(&Generation::Later { uuid: uuid.into() });
        assert_eq!(later[0x20..0x20 + 43], *format!("uuid:{{{uuid}}}").as_bytes());
        assert_eq!(later[0x1F4..0x1F8], MARKER);
    }
}
