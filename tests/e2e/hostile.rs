//! Disks whose structures state what cannot be: no memory is taken and no footage multiplied for it.

use std::{collections::BTreeSet, fs};

use daleel_generator::{civil::Moment, dhfs::Descriptor};

use crate::run::{DALEEL, Evidence, Ran};

const SECTOR: u64 = 512;
/// Sectors of the partition tables of a Dahua disk.
const TABLES: [u64; 2] = [30, 62];
/// The boot sector of a partition and its copy, from the start of the partition.
const BOOT_SECTORS: [u64; 2] = [34, 66];
/// The descriptor table of a partition, from its start.
const TABLE_SECTOR: u32 = 187;

fn put(bytes: &mut [u8], at: u64, value: u32) {
    bytes[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
}

/// a partition states a descriptor table of 256 MiB, the most that is believed, on an image of 15 MB that ends in it. The program lists
/// and extracts what is there within less memory than the table would take, and says what is not there.
#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_table_behind_the_end_of_the_image_takes_no_memory() {
    const CLUSTERS: u32 = 8 << 20;
    /// Address space that the program gets, in KiB.
    const LIMIT_KIB: u32 = 192 << 10;
    let evidence = Evidence::new("dahua-intact");
    let whole = evidence.run(&["list", evidence.image(), "--jsonl"]).is(0);
    let last = evidence.truth.partitions.last().unwrap();
    let mut bytes = evidence.bytes();
    bytes.truncate((last.descriptors + u64::from(last.clusters) * 32) as usize);
    for table in TABLES {
        put(&mut bytes, table * SECTOR + 0x40 + 64 * u64::from(last.index) + 0x2C, u32::MAX);
    }
    for boot in BOOT_SECTORS {
        let at = last.start + boot * SECTOR;
        put(&mut bytes, at + 0x48, TABLE_SECTOR + CLUSTERS / 16);
        put(&mut bytes, at + 0x4C, CLUSTERS);
    }
    fs::write(evidence.path().join("vast.img"), bytes).unwrap();
    for verb in ["list --jsonl", "extract --out out --progress none"] {
        let script = format!("ulimit -v {LIMIT_KIB} && exec '{DALEEL}' {verb} vast.img");
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(evidence.path()).output().unwrap();
        let ran = Ran::new(script, output).is(1);
        if verb.starts_with("list") {
            assert_eq!(ran.stdout, whole.stdout);
        }
    }
    let list = evidence.run(&["list", "vast.img", "--json"]).is(1).json();
    let findings = list["findings"].as_array().unwrap();
    let said: Vec<&str> = findings.iter().filter_map(|finding| finding["text"].as_str()).collect();
    let is_of_the_table = |text: &&str| text.contains("descriptor table goes on behind the end");
    assert!(said.iter().any(is_of_the_table), "{said:#?}");
}

/// a head that states another number than its own is followed over answered links only. Twenty heads under one foreign number do not
/// each get the clusters that name it: no cluster is in two recordings.
#[test]
fn heads_under_a_foreign_number_do_not_share_a_chain() {
    const HEADS: u32 = 20;
    const SHARED: u32 = 16;
    const FOREIGN: u32 = 60;
    let evidence = Evidence::new("dahua-intact");
    let partition = &evidence.truth.partitions[0];
    let begin = Moment::at((2024, 3, 14), (8, 0, 0)).packed();
    let end = Moment::at((2024, 3, 14), (8, 0, 7)).packed();
    let first = partition.reserved;
    assert!(first + 2 * HEADS + SHARED <= FOREIGN && FOREIGN < partition.clusters);
    let common = Descriptor {
        head: false,
        channel: 1,
        nibble: 2,
        extended: false,
        count: 1,
        begin,
        end,
        next: 0,
        tail_sectors: 0,
        previous: 0,
        own: FOREIGN,
    };
    let mut bytes = evidence.bytes();
    let mut set = |cluster: u32, descriptor: Descriptor| {
        let at = (partition.descriptors + u64::from(cluster) * 32) as usize;
        bytes[at..at + 32].copy_from_slice(&descriptor.encode());
    };
    for n in 0..HEADS {
        let (head, second) = (first + 2 * n, first + 2 * n + 1);
        let count = SHARED as u16 + 1;
        set(head, Descriptor { head: true, count, next: second, tail_sectors: 128, ..common });
        // The answered link that shows that the foreign number is meant.
        set(second, Descriptor { previous: head, ..common });
    }
    for n in 0..SHARED {
        set(first + 2 * HEADS + n, Descriptor { count: n as u16 + 2, ..common });
    }
    fs::write(evidence.path().join("shared.img"), bytes).unwrap();

    let list = evidence.run(&["list", "shared.img", "--json"]).is(1).json();
    let recordings = list["recordings"].as_array().unwrap();
    assert_eq!(recordings.len(), HEADS as usize);
    let claimed: u64 = recordings.iter().map(|one| one["bytes"].as_u64().unwrap()).sum();
    let room = u64::from(partition.clusters) * partition.cluster_bytes;
    assert!(claimed <= room, "{claimed} bytes claimed, the partition has {room}");
    let extracted = evidence.extract("shared.img", "out", &[]);
    let mut seen = BTreeSet::new();
    for frame in extracted.found.iter().flat_map(|found| &found.frames) {
        assert!(seen.insert(frame.extents[0][0]), "{:?} is in two clips", frame.extents);
    }
}
