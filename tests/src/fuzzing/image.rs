//! Partition tables and rescue maps.

use std::sync::Arc;

use daleel_core::{Extent, Hole, Source};
use daleel_image::{MappedSource, RescueMap, read_partitions_with, volumes};

/// The bytes are the start of a medium, with sectors of 512 and of 4096 bytes.
pub fn partitions(bytes: &[u8]) -> u64 {
    let source: Arc<dyn Source> = Arc::new(bytes.to_vec());
    let length = source.len();
    let mut reached = 0;
    for sector_bytes in [512, 4096] {
        let (partitions, findings) = read_partitions_with(&*source, sector_bytes);
        for partition in &partitions {
            assert!(partition.entry.end() <= length, "{partition:?}");
            assert!(partition.index > 0 && !partition.kind.is_empty(), "{partition:?}");
            assert!(!partition.name.contains(char::is_control), "{partition:?}");
        }
        for finding in findings.iter() {
            assert!(!finding.text.contains(char::is_control), "{finding:?}");
        }
        reached += partitions.len() as u64;
    }
    let (found, partitions, _) = volumes(Arc::clone(&source));
    assert!((1..=partitions.len() + 1).contains(&found.len()));
    assert_eq!(found[0].extent, Extent::new(0, length));
    for volume in &found[1..] {
        assert!(volume.extent.offset() < length && !volume.extent.is_empty());
    }
    reached
}

/// The bytes are the text of a map; the image it belongs to is shorter than most.
pub fn rescue_map(bytes: &[u8]) -> u64 {
    let Ok(map) = RescueMap::parse(&String::from_utf8_lossy(bytes)) else { return 0 };
    let mut at = 0;
    for (hole, _) in map.holes() {
        assert!(at <= hole.offset() && !hole.is_empty() && hole.end() <= map.len(), "{map:?}");
        at = hole.end();
    }
    let bad = map.bytes_of(Hole::Unreadable) + map.bytes_of(Hole::NotAcquired);
    assert!(bad <= map.len());
    let reached = map.holes().len() as u64 + 1;
    check_mapped(bytes, map);
    reached
}

/// A read succeeds where there is no hole, and fails where there is one, with the first of them.
fn check_mapped(bytes: &[u8], map: RescueMap) {
    let image = vec![0xA5; 3000];
    let length = map.len().max(image.len() as u64);
    let borders: Vec<u64> =
        map.holes().iter().flat_map(|(hole, _)| [hole.offset(), hole.end()]).take(64).collect();
    let source = MappedSource::new(Arc::new(image), map);
    assert_eq!(source.len(), length);
    let anywhere = bytes.chunks(8).take(16).map(|bytes| u64::from(bytes[0]) * 13);
    for offset in borders.into_iter().chain(anywhere) {
        let within = Extent::new(offset.saturating_sub(7), 20);
        let holes = source.holes(within);
        let mut buffer = [0; 20];
        let read = source.read_exact_at(within.offset(), &mut buffer);
        assert_eq!(read.is_ok(), holes.is_empty(), "{within:?}: {holes:?}, {read:?}");
        if let (Err(error), Some((first, _))) = (read, holes.first()) {
            assert_eq!(error.at(), *first);
        }
        let mut from = within.offset();
        for (hole, _) in &holes {
            assert!(from <= hole.offset() && !hole.is_empty() && hole.end() <= within.end());
            from = hole.end();
        }
    }
}
