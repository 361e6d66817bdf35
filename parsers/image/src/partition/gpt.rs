//! GUID partition table: header, its copy at the end of the medium, and the entries.
//!
//! Facts: UEFI Specification 2.10 §5.3 (header of 92 bytes or more, CRC-32 over it and over the entries, entries of
//! 128 × 2ⁿ bytes, the copy in the last sector). Checked against tables written by `sfdisk` and by the crate
//! `gptman`. The copy is used when the first table is damaged, and a table with one of its two checksums wrong is
//! still read when neither is whole; what was found wrong is a finding.

use std::io::Cursor;

use binrw::BinRead;
use crc::{CRC_32_ISO_HDLC, Crc};
use daleel_core::{Extent, FindingKind, Findings, FormatError, Source};

use super::{Partition, Scheme, kinds::gpt_kind_name, read_structure, sectors};

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const SIGNATURE: [u8; 8] = *b"EFI PART";
const HEADER_BYTES: u32 = 92;
const ENTRY_BYTES: u32 = 128;
/// Largest entry size taken; the specification names no limit, tools write 128.
const ENTRY_BYTES_LIMIT: u32 = 4096;
/// Largest entry array taken: 32 768 entries, 256 times what tools write.
const ENTRIES_BYTES_LIMIT: u64 = 4 << 20;

/// The header in the sector behind the MBR, and again in the last sector.
#[derive(BinRead, Clone, Debug)]
#[br(little)]
struct Header {
    signature: [u8; 8],     // 00
    _revision: u32,         // 08  00010000h
    header_bytes: u32,      // 0C
    header_crc: u32,        // 10  taken over the header with this field zero
    _reserved: u32,         // 14
    own_lba: u64,           // 18
    other_lba: u64,         // 20  where the other copy is
    _first_usable_lba: u64, // 28
    _last_usable_lba: u64,  // 30
    _disk_guid: [u8; 16],   // 38
    entries_lba: u64,       // 48
    entry_count: u32,       // 50
    entry_bytes: u32,       // 54
    entries_crc: u32,       // 58
}

/// One entry of the array; larger entries have reserved bytes behind.
#[derive(BinRead, Clone, Debug)]
#[br(little)]
struct Entry {
    kind: [u8; 16],   // 00
    _guid: [u8; 16],  // 10
    first_lba: u64,   // 20
    last_lba: u64,    // 28  the last sector that belongs to it
    _attributes: u64, // 30
    name: [u16; 36],  // 38  UTF-16, filled up with zeros
}

/// A table found at one of its two places.
struct Copy {
    at: Extent,
    header: Header,
    header_is_whole: bool,
    entries: Vec<u8>,
    entries_at: Extent,
    entries_are_whole: bool,
    sector_bytes: u32,
}

impl Copy {
    fn is_whole(&self) -> bool {
        self.header_is_whole && self.entries_are_whole
    }

    /// One checksum that holds proves the fields it rests on; with none, the bytes could be anything.
    fn is_usable(&self) -> bool {
        self.header_is_whole || self.entries_are_whole
    }
}

/// Reads the table of a medium; `None` when it has none or no copy is usable. `expected` when the MBR announces one.
pub(super) fn read(
    source: &dyn Source,
    sector_bytes: u32,
    expected: bool,
    findings: &mut Findings,
) -> Option<Vec<Partition>> {
    let mut sizes = vec![sector_bytes];
    sizes.extend([512, 4096].into_iter().filter(|size| *size != sector_bytes));
    let mut primary = None;
    for size in &sizes {
        primary = primary.or_else(|| read_copy(source, 1, *size, findings));
    }
    let backup = match &primary {
        Some(copy) if copy.header_is_whole => read_announced_backup(source, copy, findings),
        _ => None,
    };
    let backup = backup.or_else(|| {
        sizes.iter().find_map(|size| {
            let last = source.len().checked_div(u64::from(*size))?.checked_sub(1)?;
            (last > 1).then(|| read_copy(source, last, *size, findings)).flatten()
        })
    });
    choose(primary, backup, expected, findings).map(|copy| partitions(&copy, findings))
}

/// The backup where the primary says it is.
fn read_announced_backup(
    source: &dyn Source,
    primary: &Copy,
    findings: &mut Findings,
) -> Option<Copy> {
    let lba = primary.header.other_lba;
    let at = sectors(lba, 1, primary.sector_bytes);
    if lba <= 1 || at.end() > source.len() {
        let text = "the GPT's backup header lies beyond the end of the image";
        findings.note(FindingKind::CopyMismatch, primary.at, text);
        return None;
    }
    read_copy(source, lba, primary.sector_bytes, findings)
}

fn choose(
    primary: Option<Copy>,
    backup: Option<Copy>,
    expected: bool,
    findings: &mut Findings,
) -> Option<Copy> {
    match (primary, backup) {
        (Some(primary), backup) if primary.is_whole() => {
            match &backup {
                Some(backup) if backup.entries != primary.entries => findings.note(
                    FindingKind::CopyMismatch,
                    backup.entries_at,
                    "the GPT's backup lists other partitions than its first copy, which is used",
                ),
                Some(_) => {}
                None => findings.note(
                    FindingKind::CopyMismatch,
                    primary.at,
                    "the GPT's backup copy is missing or damaged; the first copy is used",
                ),
            }
            Some(primary)
        }
        (primary, Some(backup)) if backup.is_whole() => {
            let at = primary.map_or(backup.at, |primary| primary.at);
            let text = "the GPT's first copy is missing or damaged; the backup at the end is used";
            findings.note(FindingKind::CopyMismatch, at, text);
            Some(backup)
        }
        (primary, backup) => {
            let damaged = [primary, backup].into_iter().flatten().find(Copy::is_usable);
            match &damaged {
                Some(copy) => findings.note(
                    FindingKind::DamagedIndex,
                    copy.at,
                    "no copy of the GPT is whole; this one is used although a check of it fails",
                ),
                None if expected => findings.note(
                    FindingKind::DamagedIndex,
                    Extent::new(0, 512),
                    "the MBR announces a GPT, but no usable copy of it was found",
                ),
                None => {}
            }
            damaged
        }
    }
}

/// Reads the copy whose header is in sector `lba`; `None` without a signature or with fields that cannot be.
fn read_copy(
    source: &dyn Source,
    lba: u64,
    sector_bytes: u32,
    findings: &mut Findings,
) -> Option<Copy> {
    let at = sectors(lba, 1, sector_bytes);
    if at.end() > source.len() {
        return None;
    }
    let sector = read_structure(source, "GPT header", at, findings)?;
    let header = Header::read(&mut Cursor::new(&sector)).ok()?;
    if header.signature != SIGNATURE {
        return None;
    }
    let header_is_whole = match check_header(&header, &sector, lba, at) {
        Ok(()) => true,
        Err(error) => {
            findings.add(error.into());
            false
        }
    };
    let entries_at = entries_extent(&header, at, sector_bytes)
        .map_err(|error| findings.add((*error).into()))
        .ok()?;
    let entries = read_structure(source, "GPT entries", entries_at, findings)?;
    let crc = CRC32.checksum(&entries);
    let entries_are_whole = crc == header.entries_crc;
    if !entries_are_whole {
        let found = format!("0x{crc:08x}");
        let stated = format!("0x{:08x}", header.entries_crc);
        findings.add(FormatError::field("GPT entries", entries_at, "CRC-32", found, stated).into());
    }
    Some(Copy { at, header, header_is_whole, entries, entries_at, entries_are_whole, sector_bytes })
}

/// Checks the header's size, its checksum, and that it stands where it says.
fn check_header(header: &Header, sector: &[u8], lba: u64, at: Extent) -> Result<(), FormatError> {
    let field = |name, found: String, expected: String| {
        Err(FormatError::field("GPT header", at, name, found, expected))
    };
    let size = header.header_bytes;
    let covered = usize::try_from(size).ok().and_then(|size| sector.get(..size));
    let (Some(covered), true) = (covered, size >= HEADER_BYTES) else {
        return field("header_bytes", size.to_string(), format!("92 to {}", sector.len()));
    };
    let mut digest = CRC32.digest();
    digest.update(covered.get(..16).unwrap_or_default());
    digest.update(&[0; 4]);
    digest.update(covered.get(20..).unwrap_or_default());
    let crc = digest.finalize();
    if crc != header.header_crc {
        let stated = format!("0x{:08x}", header.header_crc);
        return field("header_crc", stated, format!("0x{crc:08x}"));
    }
    if header.own_lba != lba {
        return field("own_lba", header.own_lba.to_string(), lba.to_string());
    }
    Ok(())
}

/// The bytes of the entry array, within bounds.
fn entries_extent(
    header: &Header,
    at: Extent,
    sector_bytes: u32,
) -> Result<Extent, Box<FormatError>> {
    let field = |name, found: u64, expected: String| {
        Err(Box::new(FormatError::field("GPT header", at, name, found, expected)))
    };
    let size = header.entry_bytes;
    if !(ENTRY_BYTES..=ENTRY_BYTES_LIMIT).contains(&size) || !size.is_power_of_two() {
        return field("entry_bytes", size.into(), "128, 256, ... 4096".to_owned());
    }
    let bytes = u64::from(header.entry_count).saturating_mul(size.into());
    if bytes > ENTRIES_BYTES_LIMIT {
        let count = header.entry_count.into();
        return field(
            "entry_count",
            count,
            format!("at most {ENTRIES_BYTES_LIMIT} bytes of entries"),
        );
    }
    Ok(Extent::new(sectors(header.entries_lba, 0, sector_bytes).offset(), bytes))
}

fn partitions(copy: &Copy, findings: &mut Findings) -> Vec<Partition> {
    // Between 128 and 4096, as checked above.
    let size = usize::try_from(copy.header.entry_bytes).unwrap_or(1);
    let mut found = Vec::new();
    let mut start = 0u64;
    for (index, bytes) in (1u32..).zip(copy.entries.chunks_exact(size)) {
        let at = copy.entries_at.slice(start, bytes.len() as u64).unwrap_or(copy.entries_at);
        start = start.saturating_add(bytes.len() as u64);
        let Ok(entry) = Entry::read(&mut Cursor::new(bytes)) else { continue };
        if entry.kind != [0; 16] {
            found.push(partition(copy, &entry, index, at, findings));
        }
    }
    found
}

fn partition(
    copy: &Copy,
    entry: &Entry,
    index: u32,
    at: Extent,
    findings: &mut Findings,
) -> Partition {
    let mut notes = Vec::new();
    if entry.last_lba < entry.first_lba {
        notes.push("ends before it starts; it is taken to be empty".to_owned());
        let expected = format!("{} or more", entry.first_lba);
        findings
            .add(FormatError::field("GPT entry", at, "last_lba", entry.last_lba, expected).into());
    }
    if !copy.is_whole() {
        notes.push("from a table that fails a check".to_owned());
    }
    let count = entry.last_lba.saturating_add(1).saturating_sub(entry.first_lba);
    let kind = guid_text(&entry.kind);
    Partition {
        scheme: Scheme::Gpt,
        index,
        name: name_text(&entry.name),
        kind_name: gpt_kind_name(&kind),
        kind,
        extent: sectors(entry.first_lba, count, copy.sector_bytes),
        entry: at,
        is_container: false,
        sector_bytes: copy.sector_bytes,
        notes,
    }
}

/// A name up to its first zero, with control characters escaped.
fn name_text(units: &[u16; 36]) -> String {
    let used = units.iter().take_while(|unit| **unit != 0).copied();
    let mut text = String::new();
    for found in char::decode_utf16(used) {
        match found {
            Ok(symbol) if symbol.is_control() => text.extend(symbol.escape_default()),
            Ok(symbol) => text.push(symbol),
            Err(_) => text.push(char::REPLACEMENT_CHARACTER),
        }
    }
    text
}

/// The usual text of a GUID: its first three numbers are stored little-endian, the rest byte by byte.
fn guid_text(bytes: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
    let first = u32::from_le_bytes([a, b, c, d]);
    let (second, third) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let [i, j, node @ ..] = rest;
    let node: String = node.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("{first:08X}-{second:04X}-{third:04X}-{i:02X}{j:02X}-{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_written_as_everywhere() {
        let bytes: [u8; 16] = [
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
            0xc9, 0x3b,
        ];
        assert_eq!(guid_text(&bytes), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
        assert_eq!(gpt_kind_name(&guid_text(&bytes)), Some("EFI system"));
    }

    #[test]
    fn names_are_safe_to_print() {
        let mut units = [0u16; 36];
        for (unit, symbol) in units.iter_mut().zip("Daten\u{1b}[2J é".encode_utf16()) {
            *unit = symbol;
        }
        units[11] = 0xd800;
        assert_eq!(name_text(&units), "Daten\\u{1b}[2J é\u{fffd}");
    }
}
