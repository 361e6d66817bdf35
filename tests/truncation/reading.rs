//! A damaged image and what reading it gives.

use std::{collections::BTreeSet, sync::Arc};

use daleel_core::{
    Extent, Finding, FindingKind, FrameKind, FrameState, Hole, Input, ReadError, Source, Volume,
    Walk, WalkItem,
};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// An image of which something is missing.
#[derive(Clone)]
pub struct Damaged {
    bytes: Arc<Vec<u8>>,
    length: u64,
    zeroed: Vec<Extent>,
}

impl Damaged {
    /// An image as it is.
    pub fn new(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { bytes: Arc::new(bytes), length, zeroed: Vec::new() }
    }

    /// Its first bytes.
    pub fn cut(&self, length: u64) -> Self {
        Self { length, ..self.clone() }
    }

    /// The same with zeros at `[offset, length]`.
    pub fn zeroed(&self, at: &[[u64; 2]]) -> Self {
        let zeroed = at.iter().map(|[offset, length]| Extent::new(*offset, *length)).collect();
        Self { zeroed, ..self.clone() }
    }
}

impl Source for Damaged {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some((at, hole)) = self.holes(at).first() {
            return Err(ReadError::Hole { at: *at, hole: *hole });
        }
        buf.copy_from_slice(&self.bytes[offset as usize..offset as usize + buf.len()]);
        for lost in self.zeroed.iter().filter_map(|zeroed| zeroed.intersection(at)) {
            buf[(lost.offset() - offset) as usize..][..lost.len() as usize].fill(0);
        }
        Ok(())
    }
}

/// What reading a damaged image gave.
pub struct Reading {
    /// First payload byte of every complete picture.
    pub frames: BTreeSet<u64>,
    /// True when a missing tail was mentioned: by the file system or in a stream.
    pub says_what_is_missing: bool,
    /// What was found on opening.
    pub findings: Vec<Finding>,
    /// Entries of the log.
    pub events: usize,
}

/// Reads everything the index of an image leads to; `None` where nothing is recognised.
pub fn read(image: &Damaged) -> Option<Reading> {
    let source: Arc<dyn Source> = Arc::new(image.clone());
    let input = Input::Volume(Volume::whole(source));
    let (family, verdict) = daleel_formats::identify(&input).into_iter().next()?;
    let recorder = (family.open)(input, &verdict).ok()?;
    let findings: Vec<Finding> = recorder.findings().iter().cloned().collect();
    let mut reading = Reading {
        frames: BTreeSet::new(),
        says_what_is_missing: findings.iter().any(|finding| finding.kind == FindingKind::Hole),
        findings,
        events: recorder.events().count(),
    };
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
    Some(reading)
}
