//! Identification, logs, tails and `show` on whole disks, and known answers from real bytes.
//!
//! The start of a real disk is the one printed in the README of the project HikVision_HDD_recovery (MIT); zeros are left out and put back.

use std::time::Instant;

use daleel_core::{Extent, Input, Verdict};
use hex_literal::hex;

use super::disk::{BASE, GIB, Item, Plan, Sparse};
use crate::hikvision::{
    describe::describe,
    index::Index,
    log,
    master::Master,
    probe::probe,
    tail::{TailLayout, read_tail},
};

/// Bytes 0x200 to 0x23f of a real disk.
const REAL_MASTER: [u8; 0x40] = hex!(
    "b4220000000000000000000000000000 48494b564953494f4e4048414e475a48"
    "4f550000000000000000000000000000 48494b2e323031312e30332e30380000"
);

fn verdicts(disk: &Sparse) -> Vec<Verdict> {
    probe(&Input::Volume(disk.volume()))
}

/// G-3: the start of a real master sector; what is not known of it is zero here, and its checks say so.
#[test]
fn the_start_of_a_real_master_is_understood() {
    let mut bytes = REAL_MASTER.to_vec();
    bytes.resize(256, 0);
    let master = Master::parse(&bytes, Extent::new(0x200, 256)).unwrap();
    assert_eq!((master.unknown_00, master.version_text().as_str()), (0x22B4, "HIK.2011.03.08"));
    assert!(master.impossible_geometry().is_some());
    assert!(Master::parse(&bytes[..0xF2], Extent::new(0x200, 0xF2)).is_none());
    bytes[0x10] = b'h';
    assert!(Master::parse(&bytes, Extent::new(0x200, 256)).is_none());
}

/// G-3: the published values of a 160 GB disk (Han, Jeong, Lee 2015) hold every check.
#[test]
fn the_published_values_of_a_disk_hold_the_checks() {
    let mut bytes = REAL_MASTER.to_vec();
    bytes.resize(256, 0);
    let pairs: [(usize, u64); 14] = [
        (0x48, 0x25_433D_6000),
        (0x50, 0x8200),
        (0x58, 0x3D0_B000),
        (0x60, 0x3D1_3200),
        (0x68, 0xF4_2C00),
        (0x70, 1),
        (0x78, 0x4C5_E000),
        (0x80, 0x25_0000_0000),
        (0x88, 0x4000_0000),
        (0x90, 0x94),
        (0x98, 0x25_433B_DC00),
        (0xA0, 0x6000),
        (0xA8, 0x25_433C_3C00),
        (0xB0, 0x6000),
    ];
    for (at, value) in pairs {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[0xF0..0xF4].copy_from_slice(&0x5477_2237u32.to_le_bytes());
    let master = Master::parse(&bytes, Extent::new(0x200, 256)).unwrap();
    assert!(master.checks().iter().all(|check| check.supports), "{:?}", master.checks());
    assert_eq!(master.initialised_time().unwrap().to_string(), "2014-11-27T13:08:07.000");
}

/// I-1: a disk is recognised by what is left of it, with a score that says how much that is.
#[test]
fn disks_are_recognised_by_what_is_left() {
    let (whole, layout) = Plan::new(148, 100).write();
    let score = |disk: &Sparse| verdicts(disk).first().map_or(0, |verdict| verdict.score);
    let full = score(&whole);
    assert_eq!(full, 100);
    let verdict = &verdicts(&whole)[0];
    assert_eq!(
        (verdict.family, verdict.layout.as_str()),
        ("hikvision-disk", "HIK.2011.03.08 (raw disk)")
    );
    assert_eq!(verdict.extent, Extent::new(0, whole.len));
    let mut no_primary = whole.clone();
    no_primary.put(0x200, &[0; 256]);
    let mut no_master = no_primary.clone();
    no_master.put(0x4C5_6000, &[0; 256]);
    let (backup, trees) = (score(&no_primary), score(&no_master));
    assert!(full > backup && backup > 0 && trees >= 40 && trees < full, "{full} {backup} {trees}");
    assert!(Index::read(&no_master.volume()).is_ok());
    for tree in layout.trees {
        no_master.put(tree, &[0; 0x2000]);
    }
    assert!((1..trees).contains(&score(&no_master)));
    for tree in layout.trees {
        no_master.put(tree, &vec![0; layout.tree_bytes as usize]);
    }
    assert_eq!(score(&no_master), 0);
    no_master.put(0xA200, &record(1_700_000_000));
    assert!((1..40).contains(&score(&no_master)));
    let index = Index::read(&no_master.volume()).unwrap();
    assert_eq!((index.geometry.video_base, index.entries.len()), (BASE, 0));
}

/// The trees of a large disk are longer than the part of its end that is always looked at.
#[test]
fn a_large_disk_without_masters_is_recognised_by_its_pages() {
    let mut plan = Plan::new(20_000, 19_000);
    plan.with_backup = false;
    let (mut disk, layout) = plan.write();
    disk.put(0x200, &[0; 256]);
    assert!(layout.tree_bytes > 1 << 20);
    assert!(verdicts(&disk)[0].score >= 40);
    assert_eq!(Index::read(&disk.volume()).unwrap().entries.len(), 19_001);
}

/// I-3: little is read of a large disk that is another's.
#[test]
fn a_foreign_disk_is_put_aside_quickly() {
    let mut disk = Sparse::default();
    disk.len = 4 << 40;
    let started = Instant::now();
    assert!(verdicts(&disk).is_empty());
    assert!(started.elapsed().as_millis() < 50, "{:?}", started.elapsed());
}

fn record(time: u32) -> Vec<u8> {
    let mut bytes = b"RATS\x14\0\0\0".to_vec();
    bytes.extend(time.to_le_bytes());
    bytes.extend([3, 0, 0x5C, 0]);
    bytes.extend(b"admin");
    bytes.resize(0x44, 0);
    bytes
}

/// G-3: both log areas are read, by pointers and without them; a hole costs one item, and the records around it stay.
#[test]
fn both_log_areas_are_read() {
    let (mut disk, _) = Plan::new(30, 10).write();
    for n in 0..1000u32 {
        disk.put(0xA200 + u64::from(n) * 0x44, &record(1_700_000_000 + n));
    }
    disk.put(0x3D1_3A00, &record(1_600_000_000));
    let index = Index::read(&disk.volume()).unwrap();
    let volume = disk.volume();
    let started = Instant::now();
    let events: Vec<_> =
        log::events(&volume, log::areas(&index, &volume)).map(Result::unwrap).collect();
    assert!(started.elapsed().as_millis() < 2000, "{:?}", started.elapsed());
    assert_eq!(events.len(), 1001);
    assert_eq!((events[0].log.as_ref(), events[1000].log.as_ref()), ("log area 1", "log area 2"));
    assert_eq!(events[0].text, "local hard disk initialisation");
    assert!(events.iter().all(|event| event.at.len() == 0x44));
    disk.holes.push(Extent::new(0xA200 + 0x44 * 100 + 10, 512));
    let volume = disk.volume();
    let items: Vec<_> = log::events(&volume, log::areas(&index, &volume)).collect();
    let holes = items.iter().filter(|item| item.is_err()).count();
    assert_eq!(holes, 1);
    let events = items.iter().flatten().count();
    assert!((991..=993).contains(&events), "{events}");
    for at in [0x200, 0x4C5_6000] {
        disk.put(at, &[0; 256]);
    }
    let volume = disk.volume();
    let index = Index::read(&volume).unwrap();
    assert_eq!(log::events(&volume, log::areas(&index, &volume)).flatten().count(), events);
}

/// Every structure of a disk is explained at its bytes, outermost first.
#[test]
fn structures_are_shown() {
    let (mut disk, layout) = Plan::new(30, 10).write();
    disk.put(0xA200, &record(1_700_000_000));
    let block = BASE + 3 * GIB;
    let mut tail = b"OFNI\x38\0\0\0".to_vec();
    tail.resize(56, 0);
    disk.put(block + GIB - 56, &tail);
    disk.put(layout.leaves[0][0] + 0x60 + 48 * 40, &Item::closed(block, 2, 5).bytes());
    let volume = disk.volume();
    let index = Index::read(&volume).unwrap();
    let names = |offset: u64| -> Vec<String> {
        let found = describe(&index, &volume, offset).unwrap();
        assert!(found.iter().all(
            |structure| structure.at.contains(offset) || structure.name.starts_with("log area")
        ));
        found.into_iter().map(|structure| structure.name).collect()
    };
    assert_eq!(names(0x278), ["master sector"]);
    assert_eq!(names(0x4C5_6010), ["master sector"]);
    assert_eq!(names(layout.trees[0] + 0x3C), ["tree 1, header"]);
    assert_eq!(names(layout.trees[1] + 0x1010), ["tree 2, page list"]);
    assert_eq!(names(layout.leaves[0][0] + 0x70), ["tree 1, leaf", "index entry 0"]);
    assert_eq!(names(layout.trees[0] + layout.tree_bytes - 0x1000), ["tree 1, footer"]);
    assert_eq!(names(0xA210), ["log area 1", "log record"]);
    assert_eq!(names(block + GIB - 20), ["block 3", "block index record"]);
    assert!(names(0).is_empty());
    let entry = describe(&index, &volume, layout.leaves[0][0] + 0x60).unwrap().pop().unwrap();
    assert!(entry.purpose.contains("channel 1, 2023-11-14 22:13:20"), "{}", entry.purpose);
    assert_eq!(entry.fields.iter().map(|field| field.raw.len()).sum::<usize>(), 48);
    let stale = describe(&index, &volume, layout.leaves[0][0] + 0x60 + 48 * 40).unwrap().pop();
    assert!(stale.unwrap().purpose.contains("no longer listed"));
    let shown = describe(&index, &volume, block).unwrap();
    assert!(shown[0].purpose.contains("channel 4, 2023-11-14"), "{}", shown[0].purpose);
    assert_eq!(read_tail(&volume, volume.at(block, GIB)).layout, TailLayout::FromEnd);
}
