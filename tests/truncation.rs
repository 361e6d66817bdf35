//! A disk image cut at every sector: nothing panics, no listed frame that lies wholly before the cut with its index is lost, and what is
//! missing is said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::{collections::BTreeSet, sync::Arc};

use daleel_core::{
    Extent, FindingKind, FrameKind, FrameState, Hole, Input, ReadError, Source, Volume, Walk,
    WalkItem,
};
use daleel_generator::{scenarios, truth::Truth};

const SECTOR: u64 = 512;

/// The first bytes of an image.
struct Cut {
    bytes: Arc<Vec<u8>>,
    length: u64,
}

impl Source for Cut {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some((at, hole)) = self.holes(at).first() {
            return Err(ReadError::Hole { at: *at, hole: *hole });
        }
        buf.copy_from_slice(&self.bytes[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }
}

/// What reading a cut image gave.
struct Reading {
    /// First payload byte of every complete frame.
    frames: BTreeSet<u64>,
    /// True when the missing tail was mentioned: by the file system or in a stream.
    says_what_is_missing: bool,
}

fn read(bytes: &Arc<Vec<u8>>, length: u64) -> Option<Reading> {
    let source: Arc<dyn Source> = Arc::new(Cut { bytes: bytes.clone(), length });
    let input = Input::Volume(Volume::whole(source));
    let (family, verdict) = daleel_formats::identify(&input).into_iter().next()?;
    let recorder = (family.open)(input, &verdict).ok()?;
    let mut reading = Reading { frames: BTreeSet::new(), says_what_is_missing: false };
    reading.says_what_is_missing = recorder.findings().counts().contains_key(&FindingKind::Hole);
    for recording in recorder.recordings().flatten() {
        let Ok(stream) = recorder.stream(&recording) else { continue };
        for item in Walk::new(&stream, recorder.parser(&recording), 0..u64::MAX) {
            match item {
                WalkItem::Frame(frame) => {
                    let is_picture = matches!(frame.kind, FrameKind::Video | FrameKind::Still);
                    if is_picture && frame.state == FrameState::Complete {
                        let extents = stream.map.map(frame.payload[0].clone());
                        reading.frames.insert(extents[0].offset());
                    }
                }
                WalkItem::Hole { hole, .. } => {
                    reading.says_what_is_missing |= hole == Hole::BeyondEnd
                }
                WalkItem::Skipped { .. } | WalkItem::Failed { .. } => {}
            }
        }
    }
    recorder.events().for_each(drop);
    Some(reading)
}

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
            let is_picture = matches!(frame.kind, daleel_generator::truth::FrameKind::Video);
            let is_before = frame.extents.iter().all(|[offset, bytes]| offset + bytes <= length);
            if is_picture && is_before {
                frames.insert(frame.payload[0][0]);
            }
        }
    }
    frames
}

#[test]
fn a_disk_cut_at_every_sector_loses_no_frame_before_the_cut() {
    let scenario = scenarios().iter().find(|scenario| scenario.name == "dahua-intact").unwrap();
    let (image, truth) = scenario.build(1).unwrap();
    let bytes = Arc::new(image.read(0, image.len() as usize));
    let sectors = bytes.len() as u64 / SECTOR;
    let last_stated =
        truth.partitions.iter().map(|partition| partition.start + partition.length).max().unwrap();
    let mut most = 0;
    for cut in 0..sectors {
        let length = cut * SECTOR;
        let expected = expected(&truth, length);
        let Some(reading) = read(&bytes, length) else {
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
