//! The large disks have the structure they promise.
#![cfg(unix)]
// reads at offsets and counts allocated blocks
// Tests assert on bytes of their own making; a panic is the report of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use daleel_generator::bench;

fn read(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Clusters of head descriptors in one partition, and the address of cluster 0.
fn heads(path: &Path, start: u64) -> (Vec<u64>, u64) {
    let boot = read(path, start + 34 * 512, 512);
    let (data_start, count) = (le(&boot[0x48..0x4C]), le(&boot[0x4C..0x50]) as usize);
    let table = read(path, start + 187 * 512, count * 32);
    let heads = table.chunks(32).zip(0..).filter(|(d, _)| d[0] == 1).map(|(_, n)| n).collect();
    (heads, start + data_start * 512)
}

#[test]
fn a_disk_of_four_terabytes_is_sparse_and_every_head_has_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.img");
    let facts = bench::sparse_disk(&path, 4_000_787_030_016, 403).unwrap();
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(file.len(), 4_000_787_030_016);
    assert!(file.blocks() * 512 < 64 << 20, "{} bytes on disk", file.blocks() * 512);
    let table = read(&path, 30 * 512, 512);
    let mut found = 0;
    for k in 0..4 {
        let start = le(&table[0x64 + 64 * k..0x6C + 64 * k]) * 512;
        let (heads, data) = heads(&path, start);
        for head in &heads {
            let at = data + head * (2 << 20);
            let index = read(&path, at, 0x50);
            assert_eq!(index[..4], *b"DHII");
            assert_eq!(read(&path, at + le(&index[0x40..0x44]), 5), *b"DHAV\xFD");
        }
        found += heads.len() as u64;
    }
    assert_eq!((found, facts.recordings), (403, 403));
}

#[test]
fn a_long_disk_holds_the_stream_of_the_long_file() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, dav) = (dir.path().join("long.img"), dir.path().join("long.dav"));
    let bytes = 6_000_000;
    let on_disk = bench::long_disk(&disk, bytes).unwrap();
    let in_file = bench::long_dav(&dav, bytes, 4_000_000).unwrap();
    assert_eq!((on_disk.frames, on_disk.recordings), (in_file.frames, 1));
    let (heads, data) = heads(&disk, 0);
    assert_eq!(heads.len(), 1);
    let at = data + heads[0] * (2 << 20);
    let index = read(&disk, at, 0x50);
    let first = le(&index[4..8]);
    assert_eq!(le(&index[0x40..0x44]), first);
    let mut stream = Vec::new();
    File::open(&dav).unwrap().read_to_end(&mut stream).unwrap();
    assert!(read(&disk, at + first, stream.len()) == stream);
}

#[test]
fn a_sparse_hikvision_disk_of_ten_terabytes_lists_every_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.img");
    let facts = bench::hikvision_sparse_disk(&path, 9_313, 16).unwrap();
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!((file.len(), facts.recordings), (facts.bytes, 9_313));
    assert!(facts.bytes > 9_990_000_000_000);
    assert!(file.blocks() * 512 < 256 << 20, "{} bytes on disk", file.blocks() * 512);
    let master = read(&path, 0x200, 256);
    let tree = le(&master[0x98..0xA0]);
    let mut leaf = le(&read(&path, tree + 0x58, 8));
    let (mut entries, mut open) = (0, 0);
    while leaf != u64::MAX {
        let node = read(&path, leaf, 4096);
        let count = le(&node[0x10..0x14]) as usize;
        for entry in node[0x60..0x60 + 48 * count].chunks(48) {
            let block = le(&entry[0x20..0x28]);
            assert_eq!(read(&path, block, 4), [0, 0, 1, 0xBA]);
            let record = read(&path, block + (1 << 30) - 56, 56);
            assert_eq!(record[..5], *b"OFNI8");
            assert_eq!(le(&record[0x24..0x28]), 0);
            open += u64::from(le(&entry[0x1C..0x20]) == 0);
        }
        entries += count;
        leaf = le(&node[0x20..0x28]);
    }
    assert_eq!((entries, open), (9_313, 16));
}

#[test]
fn a_long_hikvision_disk_holds_the_stream_of_the_long_file() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, file) = (dir.path().join("long.img"), dir.path().join("long.mp4"));
    let bytes = 6_000_000;
    let on_disk = bench::hikvision_long_disk(&disk, bytes).unwrap();
    let in_file = bench::hikvision_long_stream(&file, bytes, 4_000_000).unwrap();
    assert_eq!((on_disk.frames, on_disk.recordings), (in_file.frames, 1));
    let mut stream = Vec::new();
    File::open(&file).unwrap().read_to_end(&mut stream).unwrap();
    assert_eq!(stream[..4], *b"IMKH");
    assert!(read(&disk, 0x4C5_E000, stream.len() - 40) == stream[40..]);
    for n in 0..on_disk.key_frames {
        let record = read(&disk, 0x4C5_E000 + (1 << 30) - 56 * (n + 1), 56);
        assert_eq!(record[..5], *b"OFNI8");
        let target = 0x4C5_E000 + le(&record[0x24..0x28]);
        assert_eq!(read(&disk, target + 44, 4), [0, 0, 1, 0xBC]);
    }
}
