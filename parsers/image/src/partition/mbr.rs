//! Master boot record, its four entries, and the chain of extended boot records.
//!
//! Facts: UEFI Specification 2.10 §5.2.1 for the record; the chain of extended boot records as Linux
//! (`block/partitions/msdos.c`) and util-linux read and write it. Checked against tables written by `sfdisk`.
//! Recorders of several vendors write an MBR whose only entry covers the data area and whose type byte is unassigned,
//! so the type is reported and never used to reject an entry. A boot sector of FAT, NTFS or exFAT ends in the same
//! two bytes and holds program text where the entries would be.

use std::{collections::BTreeSet, io::Cursor};

use binrw::BinRead;
use daleel_core::{Extent, FindingKind, Findings, FormatError, Source};

use super::{Partition, Scheme, kinds::mbr_kind_name, read_structure, sectors};

/// How [`Partition::kind`] writes the type of the entry that protects a GPT.
pub(super) const PROTECTIVE_KIND: &str = "0xee";
const RECORD_BYTES: u64 = 512;
const ENTRIES_OFFSET: u64 = 446;
const ENTRY_BYTES: u64 = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Most extended boot records followed; Linux numbers partitions up to 255.
const CHAIN_LIMIT: usize = 256;

/// One of the four entries at offset 446 of a boot record.
#[derive(BinRead, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[br(little)]
struct Entry {
    /// 00: 80h marks the boot partition, 00h any other.
    status: u8,
    /// 01: cylinder, head and sector; cannot express disks above 8 GB.
    _first_chs: [u8; 3],
    /// 04: type.
    kind: u8,
    /// 05: see `_first_chs`.
    _last_chs: [u8; 3],
    /// 08: first sector, counted from the record's base.
    first_lba: u32,
    /// 0C: number of sectors.
    sectors: u32,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.sectors != 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    /// A boot record's entries have no other status; program text nearly always has.
    fn has_valid_status(&self) -> bool {
        matches!(self.status, 0x00 | 0x80)
    }
}

/// A boot record at the start of the medium or of an extended partition.
struct Record {
    at: Extent,
    bytes: Vec<u8>,
    entries: [Entry; 4],
}

impl Record {
    /// Reads the record at a byte offset; `None` when it cannot be read or has no signature.
    fn read(
        source: &dyn Source,
        structure: &'static str,
        offset: u64,
        findings: &mut Findings,
    ) -> Option<Self> {
        let at = Extent::new(offset, RECORD_BYTES);
        let bytes = read_structure(source, structure, at, findings)?;
        Self::parse(at, bytes)
    }

    fn parse(at: Extent, bytes: Vec<u8>) -> Option<Self> {
        if bytes.get(510..512)? != SIGNATURE {
            return None;
        }
        let mut reader = Cursor::new(bytes.get(446..510)?);
        let entries = <[Entry; 4]>::read(&mut reader).ok()?;
        Some(Self { at, bytes, entries })
    }

    /// Place of an entry on the medium, by slot from 0.
    fn entry_at(&self, slot: u64) -> Extent {
        let start = ENTRIES_OFFSET.saturating_add(slot.saturating_mul(ENTRY_BYTES));
        Extent::new(self.at.offset().saturating_add(start), ENTRY_BYTES)
    }

    /// True for the parameter block of a FAT, NTFS or exFAT volume: jump instruction, then a sector size at 0B
    /// (zero throughout in exFAT, which has its name at 03).
    fn has_volume_parameters(&self) -> bool {
        let jump = matches!(self.bytes.as_slice(), [0xeb, _, 0x90, ..] | [0xe9, ..]);
        let sector = match self.bytes.get(11..13) {
            Some([low, high]) => u16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        let exfat = self.bytes.get(3..11) == Some(b"EXFAT   ");
        jump && (exfat || matches!(sector, 512 | 1024 | 2048 | 4096))
    }
}

/// What sector 0 holds.
#[derive(Default)]
pub(super) struct Table {
    /// The partitions, containers included.
    pub(super) partitions: Vec<Partition>,
}

impl Table {
    /// True when an entry protects a GPT.
    pub(super) fn has_protective(&self) -> bool {
        self.partitions.iter().any(|partition| partition.kind == PROTECTIVE_KIND)
    }
}

/// Reads the MBR and the logical partitions; an empty table when sector 0 holds none.
pub(super) fn read(source: &dyn Source, sector_bytes: u32, findings: &mut Findings) -> Table {
    if source.len() < RECORD_BYTES {
        return Table::default();
    }
    let Some(record) = Record::read(source, "MBR", 0, findings) else { return Table::default() };
    let is_text = record.entries.iter().any(|entry| !entry.has_valid_status());
    if is_text && record.has_volume_parameters() {
        findings.note(
            FindingKind::Interpretation,
            record.at,
            "sector 0 ends in 55 AA, but is the boot sector of a volume, not a partition table",
        );
        return Table::default();
    }
    let mut table = Table::default();
    for (slot, entry) in (0u32..).zip(record.entries) {
        add_primary(source, &record, slot, entry, sector_bytes, &mut table, findings);
    }
    for container in containers(&table) {
        add_logical(source, container, sector_bytes, &mut table, findings);
    }
    note_other_sector_size(source, sector_bytes, &table, findings);
    table
}

fn add_primary(
    source: &dyn Source,
    record: &Record,
    slot: u32,
    entry: Entry,
    sector_bytes: u32,
    table: &mut Table,
    findings: &mut Findings,
) {
    let at = record.entry_at(slot.into());
    if !entry.has_valid_status() {
        if entry != Entry::default() {
            let status = format!("0x{:02x}", entry.status);
            let error = FormatError::field("MBR entry", at, "status", status, "0x00 or 0x80");
            findings.add(error.into());
        }
        return;
    }
    if !entry.is_used() {
        return;
    }
    let extent = sectors(entry.first_lba.into(), entry.sectors.into(), sector_bytes);
    let mut partition =
        partition(Scheme::Mbr, slot.saturating_add(1), entry, extent, at, sector_bytes);
    if entry.first_lba == 0 {
        partition.notes.push("starts at sector 0 and covers the table itself".to_owned());
    }
    if entry.is_extended() && extent.offset() < source.len() {
        // Without a record of its own it holds no chain, and may be data under an odd type.
        partition.is_container =
            Record::read(source, "extended boot record", extent.offset(), findings).is_some();
        if !partition.is_container {
            let text = "its type says extended, but no extended boot record is at its start";
            partition.notes.push(text.to_owned());
        }
    }
    table.partitions.push(partition);
}

fn partition(
    scheme: Scheme,
    index: u32,
    entry: Entry,
    extent: Extent,
    at: Extent,
    sector_bytes: u32,
) -> Partition {
    Partition {
        scheme,
        index,
        name: String::new(),
        kind: format!("0x{:02x}", entry.kind),
        kind_name: mbr_kind_name(entry.kind),
        extent,
        entry: at,
        is_container: false,
        sector_bytes,
        notes: Vec::new(),
    }
}

fn containers(table: &Table) -> Vec<Extent> {
    table.partitions.iter().filter(|p| p.is_container).map(|p| p.extent).collect()
}

/// Follows the chain of extended boot records of one container.
fn add_logical(
    source: &dyn Source,
    container: Extent,
    sector_bytes: u32,
    table: &mut Table,
    findings: &mut Findings,
) {
    let mut index = table.partitions.iter().map(|p| p.index).max().unwrap_or(0).max(4);
    let mut seen = BTreeSet::new();
    let mut next = Some(container.offset());
    while let Some(offset) = next.take() {
        let at = Extent::new(offset, RECORD_BYTES);
        if !seen.insert(offset) {
            findings.note(
                FindingKind::DamagedIndex,
                at,
                "the chain of extended boot records runs in a circle; it is followed once",
            );
            return;
        }
        if seen.len() > CHAIN_LIMIT {
            let text =
                format!("more than {CHAIN_LIMIT} extended boot records; the rest is left out");
            findings.note(FindingKind::DamagedIndex, at, text);
            return;
        }
        let Some(record) = Record::read(source, "extended boot record", offset, findings) else {
            let text = "no extended boot record where the chain leads; the chain ends here";
            findings.note(FindingKind::DamagedIndex, at, text);
            return;
        };
        // The first two entries are defined; the data partition counts from this record, the link from the container.
        for (slot, entry) in (0u64..).zip(record.entries).take(2) {
            if !entry.is_used() {
                continue;
            }
            let base = if entry.is_extended() { container.offset() } else { offset };
            let relative = sectors(entry.first_lba.into(), entry.sectors.into(), sector_bytes);
            let extent = Extent::new(base.saturating_add(relative.offset()), relative.len());
            if entry.is_extended() {
                next = Some(extent.offset());
                continue;
            }
            index = index.saturating_add(1);
            let at = record.entry_at(slot);
            let mut logical = partition(Scheme::MbrLogical, index, entry, extent, at, sector_bytes);
            if container.intersection(extent) != Some(extent) {
                logical.notes.push("reaches out of its extended partition".to_owned());
            }
            table.partitions.push(logical);
        }
    }
}

/// An MBR does not state its sector size, and an image file does not either. A table that would fill the medium
/// exactly with the other size is worth a look.
fn note_other_sector_size(
    source: &dyn Source,
    sector_bytes: u32,
    table: &Table,
    findings: &mut Findings,
) {
    if sector_bytes != 512 || table.has_protective() {
        return;
    }
    let end = table.partitions.iter().map(|p| p.extent.end()).max().unwrap_or(0).saturating_mul(8);
    let almost_all = source.len().saturating_sub(source.len() / 20);
    if (almost_all..=source.len()).contains(&end) && end > 0 {
        findings.note(
            FindingKind::Interpretation,
            Extent::new(ENTRIES_OFFSET, 64),
            "sectors are taken to have 512 bytes; with 4096 bytes the table would fill the medium",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn entry(status: u8, kind: u8, first: u32, count: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0] = status;
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&first.to_le_bytes());
        bytes[12..].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    fn put_record(disk: &mut [u8], offset: usize, entries: &[[u8; 16]]) {
        for (slot, entry) in entries.iter().enumerate() {
            disk[offset + 446 + slot * 16..][..16].copy_from_slice(entry);
        }
        disk[offset + 510..offset + 512].copy_from_slice(&SIGNATURE);
    }

    fn read_disk(disk: Vec<u8>, sector_bytes: u32) -> (Vec<Partition>, Findings) {
        super::super::read_partitions_with(&disk, sector_bytes)
    }

    /// I-1: an odd type byte is reported, not refused.
    #[test]
    fn a_recorders_odd_table_is_read_with_its_type() {
        let mut disk = vec![0; MIB as usize];
        put_record(&mut disk, 0, &[entry(0, 0x2d, 63, 1985), entry(0x80, 0x00, 1000, 100)]);
        let (partitions, _) = read_disk(disk, 512);
        assert_eq!(partitions.len(), 2);
        assert_eq!((partitions[0].kind.as_str(), partitions[0].kind_name), ("0x2d", None));
        assert_eq!(partitions[0].extent, Extent::new(63 * 512, 1985 * 512));
        assert_eq!(partitions[0].entry, Extent::new(446, 16));
        assert_eq!(partitions[1].notes, ["shares bytes with partition 1"]);
    }

    #[test]
    fn a_medium_without_a_table_has_no_partitions_and_no_findings() {
        let mut dhfs = vec![0; MIB as usize];
        dhfs[..9].copy_from_slice(b"DHFS4.1\0\0");
        for disk in [dhfs, vec![0; 4096], vec![0; 100], Vec::new()] {
            let (partitions, findings) = read_disk(disk, 512);
            assert!(partitions.is_empty() && findings.is_empty());
        }
    }

    #[test]
    fn a_volumes_boot_sector_is_no_table() {
        let mut disk = vec![0; MIB as usize];
        disk[..13].copy_from_slice(b"\xeb\x58\x90MSDOS5.0\x00\x02");
        disk[446..470].copy_from_slice(b"Remove disks or other me");
        disk[510..512].copy_from_slice(&SIGNATURE);
        let (partitions, findings) = read_disk(disk, 512);
        assert!(partitions.is_empty());
        assert_eq!(findings.counts()[&FindingKind::Interpretation], 1);
    }

    #[test]
    fn an_entry_with_a_broken_status_is_a_finding_and_the_others_stay() {
        let mut disk = vec![0; MIB as usize];
        put_record(&mut disk, 0, &[entry(0x41, 0x83, 1, 2), entry(0, 0x83, 100, 200)]);
        let (partitions, findings) = read_disk(disk, 512);
        assert_eq!(partitions.iter().map(|p| p.index).collect::<Vec<_>>(), [2]);
        let finding = findings.iter().next().unwrap();
        assert!(finding.text.contains("`status` is 0x41"), "{}", finding.text);
        assert_eq!(finding.at, Some(Extent::new(446, 16)));
    }

    #[test]
    fn logical_partitions_count_from_their_record_and_links_from_the_container() {
        for sector in [512u32, 4096] {
            let at = |lba: u32| (lba * sector) as usize;
            let mut disk = vec![0; at(2000)];
            put_record(&mut disk, 0, &[entry(0, 0x83, 10, 90), entry(0, 0x05, 100, 1900)]);
            put_record(&mut disk, at(100), &[entry(0, 0x83, 10, 500), entry(0, 0x05, 900, 600)]);
            put_record(&mut disk, at(1000), &[entry(0, 0x07, 20, 580)]);
            let (partitions, findings) = read_disk(disk, sector);
            let found: Vec<_> =
                partitions.iter().map(|p| (p.index, p.is_container, p.extent)).collect();
            let extent = |first, count| sectors(first, count, sector);
            let expected = [
                (1, false, extent(10, 90)),
                (2, true, extent(100, 1900)),
                (5, false, extent(110, 500)),
                (6, false, extent(1020, 580)),
            ];
            assert_eq!(found, expected);
            assert!(findings.is_empty());
        }
    }

    /// a chain that points at itself ends.
    #[test]
    fn a_chain_in_a_circle_is_followed_once() {
        let mut disk = vec![0; 512 * 2000];
        put_record(&mut disk, 0, &[entry(0, 0x05, 100, 1000)]);
        put_record(&mut disk, 100 * 512, &[entry(0, 0x83, 1, 10), entry(0, 0x05, 50, 50)]);
        put_record(&mut disk, 150 * 512, &[entry(0, 0x83, 1, 10), entry(0, 0x05, 0, 50)]);
        let (partitions, findings) = read_disk(disk, 512);
        assert_eq!(partitions.len(), 3);
        assert!(findings.iter().any(|f| f.text.contains("circle")));
    }

    #[test]
    fn a_long_chain_is_cut() {
        let mut disk = vec![0; 512 * 2000];
        put_record(&mut disk, 0, &[entry(0, 0x05, 100, 1000)]);
        for i in 0..600u32 {
            let entries = [entry(0, 0x83, 1, 1), entry(0, 0x05, i + 1, 1)];
            put_record(&mut disk, (100 + i as usize) * 512, &entries);
        }
        let (partitions, findings) = read_disk(disk, 512);
        assert_eq!(partitions.len(), CHAIN_LIMIT + 1);
        assert!(findings.iter().any(|f| f.text.contains("more than 256")));
    }

    #[test]
    fn an_extended_type_without_a_chain_is_data() {
        let mut disk = vec![0; MIB as usize];
        put_record(&mut disk, 0, &[entry(0, 0x0f, 63, 1900)]);
        let (partitions, _) = read_disk(disk, 512);
        assert_eq!(partitions.len(), 1);
        assert!(!partitions[0].is_container);
        assert!(partitions[0].notes[0].contains("no extended boot record"));
    }

    #[test]
    fn a_table_that_would_fit_larger_sectors_is_pointed_out() {
        let mut disk = vec![0; 4096 * 1000];
        put_record(&mut disk, 0, &[entry(0, 0x07, 10, 985)]);
        let (_, findings) = read_disk(disk.clone(), 512);
        assert!(findings.iter().any(|f| f.text.contains("4096")));
        let (partitions, findings) = read_disk(disk, 4096);
        assert!(findings.is_empty());
        assert_eq!(partitions[0].extent, Extent::new(40960, 985 * 4096));
    }
}
