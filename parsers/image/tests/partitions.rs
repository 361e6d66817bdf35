//! Partition tables written by programs that share no code with this crate: `sfdisk` of util-linux, `gptman` and
//! `mbrman`; and hostile ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::{
    fs::File,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use daleel_core::{Extent, FindingKind, Source};
use daleel_image::{Partition, RawSource, Scheme, read_partitions, read_partitions_with, volumes};
use proptest::prelude::*;

/// `(number, start, size)` in sectors, and the type.
type Row = (u32, u64, u64, String);

fn rows(partitions: &[Partition]) -> Vec<Row> {
    let in_sectors = |bytes: u64, p: &Partition| bytes / u64::from(p.sector_bytes);
    let row = |p: &Partition| {
        let (start, size) = (in_sectors(p.extent.offset(), p), in_sectors(p.extent.len(), p));
        (p.index, start, size, p.kind.clone())
    };
    partitions.iter().map(row).collect()
}

mod sfdisk {
    use super::*;

    /// The program, or `None` with a visible line. Debian keeps it in a folder that is not everyone's path.
    pub(super) fn find() -> Option<PathBuf> {
        let known = ["sfdisk", "/usr/sbin/sfdisk", "/sbin/sfdisk"];
        let runs = |name: &&str| {
            Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success())
        };
        let found = known.iter().find(|name| runs(name)).map(PathBuf::from);
        if found.is_none() {
            let needed = std::env::var_os("DALEEL_REQUIRE_ORACLES").is_some();
            assert!(!needed, "sfdisk (util-linux) is not installed");
            eprintln!("SKIPPED: sfdisk (util-linux) is not installed");
        }
        found
    }

    /// An image of 64 MiB with the table that a script describes, and the rows that sfdisk itself reads back.
    pub(super) fn image(program: &Path, folder: &Path, script: &str) -> (PathBuf, Vec<Row>) {
        let path = folder.join("disk.img");
        File::create(&path).unwrap().set_len(64 << 20).unwrap();
        let mut child = Command::new(program)
            .args(["--quiet", "--no-reread", "--no-tell-kernel"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let dump = Command::new(program).arg("--dump").arg(&path).output().unwrap();
        let dump = String::from_utf8(dump.stdout).unwrap();
        (path.clone(), dump.lines().filter_map(|line| row(line, &path)).collect())
    }

    /// `disk.img1 : start=  2048, size= 2048, type=83`
    fn row(line: &str, path: &Path) -> Option<Row> {
        let (number, fields) = line.strip_prefix(path.to_str().unwrap())?.split_once(':')?;
        let field = |name: &str| {
            let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name));
            found.unwrap().trim().to_owned()
        };
        let kind = field("type=");
        let kind = if kind.len() <= 2 { format!("0x{:0>2}", kind.to_lowercase()) } else { kind };
        let number_of = |name| field(name).parse().unwrap();
        Some((number.trim().parse().unwrap(), number_of("start="), number_of("size="), kind))
    }
}

/// Reads what sfdisk wrote and compares it with what sfdisk reads.
fn agrees_with_sfdisk(script: &str, scheme: Scheme, count: usize) {
    let Some(program) = sfdisk::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, expected) = sfdisk::image(&program, folder.path(), script);
    let (partitions, findings) = read_partitions(&RawSource::open(&path).unwrap());
    assert_eq!(expected.len(), count);
    assert_eq!(rows(&partitions), expected);
    assert_eq!(partitions[0].scheme, scheme);
    assert!(findings.is_empty(), "{findings:?}");
    assert!(partitions.iter().all(|p| p.notes.is_empty()), "{partitions:?}");
}

#[test]
fn four_primary_partitions_agree_with_sfdisk() {
    let script = "label: dos\n2048,4096,83\n8192,4096,7,*\n16384,8192,c\n32768,,2d\n";
    agrees_with_sfdisk(script, Scheme::Mbr, 4);
}

#[test]
fn logical_partitions_agree_with_sfdisk() {
    let script = "label: dos\n2048,4096,83\n8192,,f\n10240,4096,83\n20480,8192,82\n40960,8192,7\n";
    agrees_with_sfdisk(script, Scheme::Mbr, 5);
}

#[test]
fn a_guid_table_agrees_with_sfdisk() {
    let script = "label: gpt\nstart=2048,size=4096,type=L,name=\"video\"\n8192,8192,U\n16384,,S\n";
    agrees_with_sfdisk(script, Scheme::Gpt, 3);
}

/// The backup at the end of the disk serves when the first table is overwritten.
#[test]
fn a_destroyed_guid_table_is_read_from_its_backup() {
    let Some(program) = sfdisk::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "label: gpt\n2048,4096,L\n8192,8192,L\n";
    let (path, expected) = sfdisk::image(&program, folder.path(), script);
    let mut disk = std::fs::read(path).unwrap();
    disk[512..34 * 512].fill(0);
    let (partitions, findings) = read_partitions(&disk);
    assert_eq!(rows(&partitions), expected);
    assert_eq!(findings.counts()[&FindingKind::CopyMismatch], 1);
    assert!(partitions[0].entry.offset() > 63 << 20);
}

const DATA: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];

/// A disk of 2000 sectors with two GPT partitions, written by `gptman`.
fn guid_disk(sector: u64) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 2000 * sector as usize]);
    let mut gpt = gptman::GPT::new_from(&mut disk, sector, [7; 16]).unwrap();
    for (index, first, last, name) in [(1, 100, 199, "video"), (4, 200, 1500, "Журнал")] {
        gpt[index] = gptman::GPTPartitionEntry {
            partition_type_guid: DATA,
            unique_partition_guid: [index as u8; 16],
            starting_lba: first,
            ending_lba: last,
            attribute_bits: 0,
            partition_name: name.into(),
        };
    }
    gpt.write_into(&mut disk).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, sector).unwrap();
    disk.into_inner()
}

/// A disk of 2000 sectors with one primary and two logical partitions, written by `mbrman`.
fn mbr_disk(sector: u32) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 2000 * sector as usize]);
    let mut mbr = mbrman::MBR::new_from(&mut disk, sector, [1, 2, 3, 4]).unwrap();
    let entry = |sys, starting_lba, sectors| mbrman::MBRPartitionEntry {
        boot: mbrman::BOOT_INACTIVE,
        first_chs: mbrman::CHS::empty(),
        sys,
        last_chs: mbrman::CHS::empty(),
        starting_lba,
        sectors,
    };
    mbr.align = 1;
    mbr[1] = entry(0x2d, 10, 90);
    mbr[2] = entry(0x05, 100, 1800);
    mbr.push(0x83, 100, 310).unwrap();
    mbr.push(0x07, 600, 700).unwrap();
    mbr.write_into(&mut disk).unwrap();
    disk.into_inner()
}

fn guid_rows() -> Vec<Row> {
    let kind = "0FC63DAF-8483-4772-8E79-3D69D8477DE4".to_owned();
    vec![(1, 100, 100, kind.clone()), (4, 200, 1301, kind)]
}

#[test]
fn guid_tables_of_gptman_are_read_with_both_sector_sizes() {
    for sector in [512u32, 4096] {
        // The size is found from the table, whatever the source states.
        let (partitions, findings) = read_partitions(&guid_disk(sector.into()));
        assert_eq!(rows(&partitions), guid_rows());
        assert_eq!(partitions[0].sector_bytes, sector);
        assert_eq!(partitions[1].name, "Журнал");
        assert_eq!(partitions[0].kind_name, Some("Linux"));
        let entry = Extent::new(2 * u64::from(sector) + 3 * 128, 128);
        assert_eq!(partitions[1].entry, entry);
        assert!(findings.is_empty(), "{findings:?}");
    }
}

#[test]
fn tables_of_mbrman_are_read_with_both_sector_sizes() {
    for sector in [512, 4096] {
        let (partitions, findings) = read_partitions_with(&mbr_disk(sector), sector);
        let expected = [
            (1, 10, 90, "0x2d".to_owned()),
            (2, 100, 1800, "0x05".to_owned()),
            (5, 101, 309, "0x83".to_owned()),
            (6, 601, 699, "0x07".to_owned()),
        ];
        assert_eq!(rows(&partitions), expected);
        assert_eq!(partitions[2].scheme, Scheme::MbrLogical);
        assert!(findings.is_empty(), "{findings:?}");
    }
}

#[test]
fn a_damaged_entry_array_is_replaced_by_the_backup() {
    let mut disk = guid_disk(512);
    disk[2 * 512 + 40] ^= 1;
    let (partitions, findings) = read_partitions(&disk);
    assert_eq!(rows(&partitions), guid_rows());
    let text: Vec<_> = findings.iter().map(|finding| finding.text.as_str()).collect();
    assert!(text[0].contains("CRC-32"), "{text:?}");
    assert!(text[1].contains("backup at the end is used"), "{text:?}");
}

#[test]
fn with_both_copies_damaged_what_can_be_checked_is_used_and_said() {
    let mut disk = guid_disk(512);
    disk[512 + 0x38] ^= 1;
    let last = disk.len() - 512;
    disk[last + 0x38] ^= 1;
    let (partitions, findings) = read_partitions(&disk);
    assert_eq!(rows(&partitions), guid_rows());
    assert!(partitions[0].notes[0].contains("fails a check"));
    assert!(findings.iter().any(|finding| finding.text.contains("no copy of the GPT is whole")));
}

#[test]
fn a_truncated_image_keeps_the_stated_extents() {
    let mut disk = guid_disk(512);
    disk.truncate(1000 * 512);
    let (partitions, findings) = read_partitions(&disk);
    assert_eq!(rows(&partitions), guid_rows());
    assert!(partitions[1].notes[0].contains("past the end of the image"));
    assert!(findings.iter().any(|finding| finding.text.contains("beyond the end")));
}

#[test]
fn an_mbr_without_the_protective_entry_stands_before_an_old_guid_table() {
    let mut disk = guid_disk(512);
    disk[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 63, 0, 0, 0, 0, 4, 0, 0]);
    let (partitions, findings) = read_partitions(&disk);
    assert_eq!(rows(&partitions), [(1, 63, 1024, "0x83".to_owned())]);
    assert_eq!(findings.counts()[&FindingKind::NotListed], 1);
}

#[test]
fn entries_of_a_hybrid_table_are_listed_when_they_say_more() {
    let mut disk = guid_disk(512);
    // Slot 2 repeats the first GPT partition, slot 3 names bytes the GPT does not list.
    disk[462..478].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 100, 0, 0, 0, 100, 0, 0, 0]);
    disk[478..494].copy_from_slice(&[0, 0, 0, 0, 0x2d, 0, 0, 0, 64, 6, 0, 0, 100, 0, 0, 0]);
    let (partitions, _) = read_partitions(&disk);
    let mut expected = guid_rows();
    expected.push((3, 1600, 100, "0x2d".to_owned()));
    assert_eq!(rows(&partitions), expected);
    assert!(partitions[2].notes[0].contains("beside the GPT"));
}

#[test]
fn volumes_are_the_medium_and_what_lies_on_it() {
    let source: Arc<dyn Source> = Arc::new(mbr_disk(512));
    let (volumes, partitions, _) = volumes(Arc::clone(&source));
    let extents: Vec<_> = volumes.iter().map(|volume| volume.extent).collect();
    assert_eq!(extents[0], Extent::new(0, source.len()));
    assert_eq!(extents[1..], [partitions[0].extent, partitions[2].extent, partitions[3].extent]);
}

/// What must hold for any medium: no panic, bounded results, entries inside the medium.
fn check_invariants(disk: &Vec<u8>) {
    for sector in [512, 4096] {
        let (partitions, findings) = read_partitions_with(disk, sector);
        assert!(partitions.len() <= 32_768 + 4 * 257 * 2);
        assert!(findings.iter().count() <= 10_000);
        for partition in partitions {
            assert!(partition.entry.end() <= disk.len() as u64, "{partition:?}");
        }
    }
}

/// One change: at a byte of an interesting sector, a value that looks like a number.
fn change() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    let value = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<u32>().prop_map(|number| number.to_le_bytes().to_vec()),
        (0u32..2100).prop_map(|number| number.to_le_bytes().to_vec()),
        any::<u64>().prop_map(|number| number.to_le_bytes().to_vec()),
        Just(vec![0xff; 8]),
        Just(vec![0; 16]),
    ];
    (0usize..6, 0usize..512, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// changed tables never panic or grow without bound.
    #[test]
    fn hostile_mbr_tables_are_survived(changes in prop::collection::vec(change(), 1..12)) {
        let mut disk = mbr_disk(512);
        for (place, at, value) in changes {
            let sector = [0, 100, 599, 600, 0, 100][place] * 512;
            let end = (sector + at + value.len()).min(disk.len());
            let count = end - (sector + at);
            disk[sector + at..end].copy_from_slice(&value[..count]);
        }
        check_invariants(&disk);
    }

    /// Q-6, with checksums made right again, so that hostile fields are looked at.
    #[test]
    fn hostile_guid_tables_are_survived(
        changes in prop::collection::vec(change(), 1..8), repair in any::<bool>(),
    ) {
        let mut disk = guid_disk(512);
        for (place, at, value) in changes {
            let sector = [0, 1, 2, 1999, 1, 1967][place] * 512;
            // Half of the changes meet the fields of the header.
            let at = if place % 2 == 1 { at % 92 } else { at };
            let end = (sector + at + value.len()).min(disk.len());
            let count = end - (sector + at);
            disk[sector + at..end].copy_from_slice(&value[..count]);
        }
        if repair {
            for header in [512, disk.len() - 512] {
                disk[header..header + 8].copy_from_slice(b"EFI PART");
                disk[header + 12..header + 16].copy_from_slice(&92u32.to_le_bytes());
                disk[header + 16..header + 20].fill(0);
                let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
                let sum = crc.checksum(&disk[header..header + 92]);
                disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
            }
        }
        check_invariants(&disk);
    }

    /// random sectors with the signatures in place.
    #[test]
    fn random_sectors_are_survived(mut disk in prop::collection::vec(any::<u8>(), 0..3000)) {
        if disk.len() >= 520 {
            disk[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        }
        check_invariants(&disk);
    }
}
