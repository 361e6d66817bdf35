//! Writer of `.dav` files.
//!
//! Facts: `docs/formats/dahua.md`, section 3.3 (forms of the file).

use crate::Error;
use crate::civil::Moment;
use crate::dhfs::{IndexStyle, build_index, index_entries};
use crate::footage::Footage;
use crate::image::Image;
use crate::stream::{StreamFrame, build};
use crate::take::Take;
use crate::truth::{AudioFacts, Extent, Frame, Recording, Truth};

/// Length of the header that starts with `DAHUA`.
const DAHUA_HEADER_BYTES: usize = 0x400;

/// The plan of a `.dav` file.
#[derive(Debug, Clone)]
pub struct DavPlan {
    /// What stands before the first frame.
    pub prefix: Prefix,
    /// Streams; frames of several ones are interleaved by time.
    pub takes: Vec<Take>,
    /// Bytes cut off the beginning of the file.
    pub cut: usize,
}

/// What stands before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing.
    None,
    /// 0x400 bytes that start with `DAHUA`.
    Dahua,
    /// The index of a recording, left in front of its frames.
    Index(IndexStyle),
}

/// Writes a `.dav` file; scenario, summary, seed and image name of the truth are still empty.
///
/// # Errors
/// [`Error::Plan`] when the index is too small.
pub fn write_dav(plan: &DavPlan) -> Result<(Image, Truth), Error> {
    let mut frames: Vec<(usize, StreamFrame)> = Vec::new();
    for (number, take) in plan.takes.iter().enumerate() {
        frames.extend(build(take).into_iter().map(|frame| (number, frame)));
    }
    let start = |number: usize| plan.takes[number].start.millis();
    frames.sort_by_key(|(number, frame)| start(*number) + frame.elapsed);

    let mut bytes = vec![0; prefix_bytes(plan.prefix)];
    let mut offsets = Vec::with_capacity(frames.len());
    for (_, frame) in &frames {
        bytes.extend(&frame.lead);
        offsets.push(bytes.len());
        bytes.extend(&frame.bytes);
    }
    write_prefix(plan.prefix, &frames, &offsets, &mut bytes)?;
    bytes.drain(..plan.cut);

    let mut recordings: Vec<Recording> =
        plan.takes.iter().enumerate().map(|(n, take)| recording(n, take)).collect();
    for ((number, frame), offset) in frames.iter().zip(offsets) {
        recordings[*number].frames.extend(place(frame, offset, plan.cut));
    }
    let mut image = Image::new(bytes.len() as u64);
    image.write(0, &bytes)?;
    let truth = Truth { recordings, ..Truth::empty("dav", image.len()) };
    Ok((image, truth))
}

fn prefix_bytes(prefix: Prefix) -> usize {
    match prefix {
        Prefix::None => 0,
        Prefix::Dahua => DAHUA_HEADER_BYTES,
        Prefix::Index(style) => style.length as usize,
    }
}

fn write_prefix(
    prefix: Prefix,
    frames: &[(usize, StreamFrame)],
    offsets: &[usize],
    bytes: &mut [u8],
) -> Result<(), Error> {
    match prefix {
        Prefix::None => {}
        Prefix::Dahua => bytes[..5].copy_from_slice(b"DAHUA"),
        Prefix::Index(style) => {
            let frames: Vec<_> = frames.iter().map(|(_, frame)| frame.clone()).collect();
            let (keys, stills) = index_entries(&frames, offsets);
            let index = build_index(&style, &keys, &stills)?;
            bytes[..index.len()].copy_from_slice(&index);
        }
    }
    Ok(())
}

fn recording(number: usize, take: &Take) -> Recording {
    Recording {
        codec: Some(take.footage.codec().name().into()),
        size: Some(take.footage.size()),
        audio: take.audio.map(AudioFacts::from),
        ..Recording::new(format!("s{number}"))
    }
}

/// The truth about a frame; `None` where the whole frame was cut off.
fn place(frame: &StreamFrame, offset: usize, cut: usize) -> Option<Frame> {
    let extent = |from: usize, to: usize| -> Option<Extent> {
        let from = from.max(cut);
        (from < to).then(|| [(from - cut) as u64, (to - from) as u64])
    };
    let mut fact = frame.fact.clone();
    fact.extents = vec![extent(offset, offset + frame.bytes.len())?];
    fact.payload = frame
        .payloads
        .iter()
        .filter_map(|part| extent(offset + part.start, offset + part.end))
        .collect();
    if offset < cut {
        fact.intact = false;
        fact.reason = Some("the file begins in the middle of it".into());
    }
    Some(fact)
}

/// Writes a file of the old start-code form, of which only the start codes are known: FB with the
/// picture size before key pictures, FA before the others, B2 with `Dahua_ZH`, F0 for sound. A
/// reader can recognise it; the truth lists no recordings.
///
/// # Errors
/// None in practice; the signature is that of the other writers.
pub fn write_old_mpeg(start: Moment) -> Result<(Image, Truth), Error> {
    let mut bytes = Vec::new();
    let [width, height] = Footage::Mpeg4.size();
    for (n, unit) in Footage::Mpeg4.units().iter().enumerate() {
        let date = start.plus_ms(n as i64 * 40).packed().to_le_bytes();
        let code = if unit.key { 0xFB } else { 0xFA };
        bytes.extend([0, 0, 1, code, 0, 0, (width / 8) as u8, (height / 8) as u8]);
        bytes.extend(date);
        bytes.extend([0, 0, 1, 0xB2]);
        bytes.extend(b"Dahua_ZH");
        bytes.extend(unit.bytes);
        if n % 8 == 0 {
            bytes.extend([0, 0, 1, 0xF0]);
            bytes.extend(crate::audio::AudioCodec::ALaw.frame(n / 8));
        }
    }
    let mut image = Image::new(bytes.len() as u64);
    image.write(0, &bytes)?;
    let truth = Truth::empty("old-mpeg", image.len());
    Ok((image, truth))
}
