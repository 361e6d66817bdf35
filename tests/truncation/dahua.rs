//! A Dahua disk cut at every sector.

use std::collections::BTreeSet;

use daleel_generator::{
    scenarios,
    truth::{FrameKind, Truth},
};

use crate::reading::{Damaged, SECTOR, read};

/// Frames that must be found when only the first `length` bytes are there.
fn expected(truth: &Truth, length: u64) -> BTreeSet<u64> {
    let mut frames = BTreeSet::new();
    for recording in truth.listed() {
        let partition = &truth.partitions[recording.partition.unwrap() as usize];
        let index_end = partition.descriptors + u64::from(partition.clusters) * 32;
        if index_end > length {
            continue;
        }
        for frame in recording.frames.iter().filter(|frame| frame.intact) {
            let is_picture = matches!(frame.kind, FrameKind::Video);
            let is_before = frame.extents.iter().all(|[offset, bytes]| offset + bytes <= length);
            if is_picture && is_before {
                frames.insert(frame.payload[0][0]);
            }
        }
    }
    frames
}

/// no listed frame that lies wholly before the cut with its index is lost.
#[test]
fn a_disk_cut_at_every_sector_loses_no_frame_before_the_cut() {
    let scenario = scenarios().iter().find(|scenario| scenario.name == "dahua-intact").unwrap();
    let (image, truth) = scenario.build(1).unwrap();
    let image = Damaged::new(image.read(0, image.len() as usize));
    let sectors = truth.bytes / SECTOR;
    let last_stated =
        truth.partitions.iter().map(|partition| partition.start + partition.length).max().unwrap();
    let mut most = 0;
    for cut in 0..sectors {
        let length = cut * SECTOR;
        let expected = expected(&truth, length);
        let Some(reading) = read(&image.cut(length)) else {
            assert!(expected.is_empty(), "cut at sector {cut}: nothing was recognised");
            continue;
        };
        let missing: Vec<_> = expected.difference(&reading.frames).collect();
        assert!(missing.is_empty(), "cut at sector {cut}: lost {missing:?}");
        assert!(
            reading.says_what_is_missing || length >= last_stated,
            "cut at sector {cut}: nothing said"
        );
        most = most.max(expected.len());
    }
    assert!(most > 200, "{most}");
}
