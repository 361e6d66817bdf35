//! Writer of exported stream files.
//!
//! Facts: `docs/formats/hikvision.md`, section 8 (file headers). Nothing in a stream names the camera, so
//! the recordings of these files have no channel.

use super::plan::StreamPlan;
use super::stream::build;
use crate::Error;
use crate::civil::Moment;
use crate::image::Image;
use crate::rng::Rng;
use crate::truth::{Recording, Truth};

/// Bytes of the header of the old form.
const LEGACY_HEADER_BYTES: usize = 40;
/// Bytes of a group header of the old form, and of a block header.
const GROUP_HEADER_BYTES: usize = 0x30;
const BLOCK_HEADER_BYTES: usize = 0x14;
/// Code of 352 x 288 in the old form.
const CIF: u16 = 0x1001;

/// The plan of an exported file.
#[derive(Debug, Clone)]
pub enum ExportPlan {
    /// A program stream, with or without IMKH header.
    Stream(Box<StreamPlan>),
    /// The old form that starts with `4HKH`: only its headers are known, the rest is random.
    Legacy {
        /// Clock at the first group.
        start: Moment,
        /// Seed of the random bytes.
        seed: u64,
    },
}

/// Writes an exported file; scenario, summary, seed and image name of the truth are still empty.
///
/// # Errors
/// None in practice; the signature is that of the other writers.
pub fn write_export(plan: &ExportPlan) -> Result<(Image, Truth), Error> {
    let (bytes, recordings) = match plan {
        ExportPlan::Stream(plan) => stream(plan),
        ExportPlan::Legacy { start, seed } => (legacy(*start, *seed), Vec::new()),
    };
    let mut image = Image::new(bytes.len() as u64);
    image.write(0, &bytes)?;
    let truth = Truth { recordings, ..Truth::empty("hikvision-stream", image.len()) };
    Ok((image, truth))
}

fn stream(plan: &StreamPlan) -> (Vec<u8>, Vec<Recording>) {
    let stream = build(plan);
    let mut offset = stream.head.len() as u64;
    let mut frames = Vec::with_capacity(stream.units.len());
    for unit in &stream.units {
        frames.push(unit.fact_at(offset));
        offset += unit.bytes.len() as u64;
    }
    let recording = Recording {
        codec: Some(plan.footage.codec().name().into()),
        size: Some(plan.footage.size()),
        audio: plan.audio_facts(),
        header: plan.imkh.then_some([0, stream.head.len() as u64]),
        frames,
        ..Recording::new("s0".into())
    };
    (stream.bytes(), vec![recording])
}

/// A file header, then groups of a header with the packed date and one block of random bytes.
fn legacy(start: Moment, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed, 4);
    let mut bytes = b"4HKH".to_vec();
    bytes.resize(LEGACY_HEADER_BYTES, 0);
    bytes[0x1C..0x1E].copy_from_slice(&CIF.to_le_bytes());
    bytes[0x1E..0x20].copy_from_slice(&288_u16.to_le_bytes());
    for group in 0..250 {
        let mut header = [0; GROUP_HEADER_BYTES];
        header[0x2C..].copy_from_slice(&start.plus_ms(group * 40).packed().to_le_bytes());
        bytes.extend(header);
        bytes.extend([0; BLOCK_HEADER_BYTES]);
        let size = 400 + rng.below(1200) as usize;
        bytes.extend(rng.bytes(size));
    }
    bytes
}
