//! Partitions whose boot sectors, table or data start are damaged.

use daleel_core::{Extent, FindingKind, Findings};

use super::{
    disk::{CLUSTER_SECTORS, Disk, TABLE_SECTOR, open_partition},
    holes::Holey,
    units::date,
};
use crate::dahua::{chain::Chain, partition::Partition};

/// The start of a recording's first cluster: an index whose first entry has the recording's date.
fn index(begin: u32) -> Vec<u8> {
    let mut index = b"DHII".to_vec();
    for word in [4096u32, 1, 1, 0x40, 84] {
        index.extend(word.to_le_bytes());
    }
    index.resize(0x40, 0);
    for word in [4096u32, 100, begin] {
        index.extend(word.to_le_bytes());
    }
    index.resize(4096, 0);
    index
}

fn disk() -> Disk {
    let mut disk = Disk::new(64, 4);
    let recordings: [&[u32]; 4] = [&[5, 7, 8], &[6, 9], &[20, 21, 22], &[31]];
    for (number, clusters) in (0u32..).zip(recordings) {
        let begin = date(3, 10 + number, 0, 0);
        disk.record(0, begin, clusters, 60);
        disk.clusters.push((clusters[0], index(begin)));
    }
    disk
}

fn kinds(findings: &Findings) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

fn assert_reads(partition: &Partition, disk: &Disk) {
    assert_eq!(partition.geometry.data_sector, disk.data_sector() as u64);
    assert_eq!(partition.geometry.cluster_sectors, CLUSTER_SECTORS);
    assert_eq!(partition.heads().map(|(head, _)| head).collect::<Vec<_>>(), [5, 6, 20, 31]);
    let chain = Chain::follow(partition, 5, partition.descriptor(5).unwrap());
    assert_eq!(chain.clusters, [5, 7, 8]);
}

#[test]
fn a_sound_partition_has_no_findings() {
    let (partition, findings) = open_partition(disk().bytes());
    assert_reads(&partition.unwrap(), &disk());
    assert!(findings.is_empty(), "{findings:?}");
}

/// I-5: one boot sector is enough, and the loss of the other is said; two that disagree are reported.
#[test]
fn one_boot_sector_is_enough() {
    for sector in [34, 66] {
        for damage in [0x148, 0x2C, 0x31, 0x4F] {
            let mut bytes = disk().bytes();
            bytes[sector * 512 + damage] ^= 0xFF;
            let (partition, findings) = open_partition(bytes);
            assert_reads(&partition.unwrap(), &disk());
            assert_eq!(kinds(&findings), [FindingKind::CopyMismatch], "{sector}, {damage:x}");
        }
    }
    let mut bytes = disk().bytes();
    bytes[66 * 512 + 0x38] = 3;
    let (partition, findings) = open_partition(bytes);
    assert_reads(&partition.unwrap(), &disk());
    assert_eq!(kinds(&findings), [FindingKind::CopyMismatch]);
}

/// R-1, section 6: without any boot sector the table and the indexes give the sizes.
#[test]
fn no_boot_sector_at_all() {
    let mut bytes = disk().bytes();
    bytes[34 * 512..35 * 512].fill(0);
    bytes[66 * 512..67 * 512].fill(0);
    let (partition, findings) = open_partition(bytes);
    assert_reads(&partition.unwrap(), &disk());
    assert!(kinds(&findings).contains(&FindingKind::Inferred));
}

/// Section 1.5: a data start that is off by some sectors is found out by the indexes, corrected and reported.
#[test]
fn a_wrong_data_start_is_corrected() {
    for off in [-4i64, 1, 3, 16, 100] {
        let disk = disk();
        let mut bytes = disk.bytes();
        let stated = (disk.data_sector() as i64 + off) as u32;
        for sector in [34, 66] {
            bytes[sector * 512 + 0x48..sector * 512 + 0x4C].copy_from_slice(&stated.to_le_bytes());
        }
        let (partition, findings) = open_partition(bytes);
        assert_reads(&partition.unwrap(), &disk);
        assert_eq!(kinds(&findings), [FindingKind::Inferred], "off by {off}");
    }
}

/// Without indexes nothing contradicts the boot sector; that nothing proves it is said.
#[test]
fn an_unproven_data_start_is_kept() {
    let disk = Disk { clusters: Vec::new(), ..disk() };
    let (partition, findings) = open_partition(disk.bytes());
    assert_reads(&partition.unwrap(), &disk);
    assert_eq!(kinds(&findings), [FindingKind::DamagedIndex]);
}

/// an unreadable sector of the table costs its sixteen descriptors; clusters of a chain that lie there are bridged, and
/// others are numbered as before.
#[test]
fn an_unreadable_table_sector() {
    let disk = disk();
    // Descriptors 16 to 31: the heads 20 and 31.
    let hole = Extent::new((TABLE_SECTOR as u64 + 1) * 512, 512);
    let (partition, findings) = open_partition(Holey { bytes: disk.bytes(), holes: vec![hole] });
    let partition = partition.unwrap();
    assert_eq!(kinds(&findings), [FindingKind::Hole]);
    assert_eq!(partition.heads().map(|(head, _)| head).collect::<Vec<_>>(), [5, 6]);
    for cluster in 16..32 {
        assert!(partition.descriptor(cluster).is_none());
    }
    assert!(partition.descriptor(32).is_some() && partition.descriptor(64).is_none());
    let chain = Chain::follow(&partition, 5, partition.descriptor(5).unwrap());
    assert_eq!(chain.clusters, [5, 7, 8]);

    // One cluster of a chain lies in the hole.
    let mut disk = disk;
    disk.record(1, date(4, 10, 0, 0), &[40, 17, 41, 42], 9);
    let (partition, _) = open_partition(Holey { bytes: disk.bytes(), holes: vec![hole] });
    let partition = partition.unwrap();
    let chain = Chain::follow(&partition, 40, partition.descriptor(40).unwrap());
    assert_eq!((chain.clusters.as_slice(), chain.last_sectors), (&[40, 17, 41, 42][..], Some(9)));
}

/// the table can be read, the data cannot: the partition is opened, and that its data start is not proven is said.
#[test]
fn a_partition_without_its_data() {
    let disk = disk();
    let bytes = disk.bytes();
    let data = disk.data_sector() as u64 * 512;
    let holes = vec![Extent::new(data, bytes.len() as u64 - data)];
    let (partition, findings) = open_partition(Holey { bytes, holes });
    assert_reads(&partition.unwrap(), &disk);
    assert_eq!(kinds(&findings), [FindingKind::Interpretation]);
}

/// Cluster numbers and places on the medium are the same thing, both ways.
#[test]
fn clusters_and_offsets() {
    let partition = disk().partition();
    for cluster in [0, 1, 5, 63] {
        let extent = partition.cluster_extent(cluster);
        assert_eq!(partition.cluster_at(extent.offset()), Some(cluster));
        assert_eq!(partition.cluster_at(extent.end() - 1), Some(cluster));
    }
    assert_eq!(partition.cluster_at(partition.cluster_extent(0).offset() - 1), None);
    assert_eq!(partition.cluster_at(partition.cluster_extent(63).end()), None);
}
