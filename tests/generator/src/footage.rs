//! The committed elementary streams and their access units.
//!
//! `footage/README.md` says how they were made. Splitting needs only start codes and the first
//! bits of a slice: ITU-T H.264 clause 7.4.1.2.3 and H.265 clause 7.4.2.4.4 (order of NAL units),
//! ISO/IEC 14496-2 clause 6.2 (start codes), ITU-T T.81 annex B (SOI).

use std::ops::Range;
use std::sync::OnceLock;

/// A coding of video or of stills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264, Annex B.
    H264,
    /// H.265, Annex B.
    H265,
    /// Motion JPEG: one JPEG a frame.
    Mjpeg,
    /// MPEG-4 part 2.
    Mpeg4,
}

impl VideoCodec {
    /// The name in `truth.json`.
    pub fn name(self) -> &'static str {
        match self {
            VideoCodec::H264 => "h264",
            VideoCodec::H265 => "h265",
            VideoCodec::Mjpeg => "mjpeg",
            VideoCodec::Mpeg4 => "mpeg4",
        }
    }
}

/// One access unit: everything that belongs to one picture, start codes and parameter sets included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The bytes, as in the elementary stream.
    pub bytes: &'static [u8],
    /// True where decoding can start.
    pub key: bool,
}

/// One committed stream. Every one is a whole number of groups of pictures, so it can be looped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footage {
    /// Cameras 1 to 4: H.264, 352 x 288, identical parameter sets.
    Cam1,
    /// See [`Footage::Cam1`].
    Cam2,
    /// See [`Footage::Cam1`].
    Cam3,
    /// See [`Footage::Cam1`].
    Cam4,
    /// Cameras 5 and 6: H.265, 352 x 288.
    Cam5,
    /// See [`Footage::Cam5`].
    Cam6,
    /// Camera 7: H.264, 640 x 360.
    Cam7,
    /// Camera 8: H.264, 640 x 480, key frames above 64 KiB.
    Large,
    /// Camera 9: JPEG stills, 352 x 288.
    Stills,
    /// Camera 10: MPEG-4 part 2, 352 x 288.
    Mpeg4,
    /// Camera 11: H.264, 352 x 288, key frames 40 to 170 pictures apart.
    Smart,
    /// Camera 12: H.264, 1280 x 720, key frames above 200 KiB.
    Huge,
}

impl Footage {
    /// All streams.
    pub const ALL: [Footage; 12] = [
        Footage::Cam1,
        Footage::Cam2,
        Footage::Cam3,
        Footage::Cam4,
        Footage::Cam5,
        Footage::Cam6,
        Footage::Cam7,
        Footage::Large,
        Footage::Stills,
        Footage::Mpeg4,
        Footage::Smart,
        Footage::Huge,
    ];

    /// The camera number in the picture mark.
    pub fn camera(self) -> u8 {
        self as u8 + 1
    }

    /// The coding.
    pub fn codec(self) -> VideoCodec {
        match self {
            Footage::Cam5 | Footage::Cam6 => VideoCodec::H265,
            Footage::Stills => VideoCodec::Mjpeg,
            Footage::Mpeg4 => VideoCodec::Mpeg4,
            _ => VideoCodec::H264,
        }
    }

    /// Width and height in pixels.
    pub fn size(self) -> [u32; 2] {
        match self {
            Footage::Cam7 => [640, 360],
            Footage::Large => [640, 480],
            Footage::Huge => [1280, 720],
            _ => [352, 288],
        }
    }

    /// The whole elementary stream.
    pub fn stream(self) -> &'static [u8] {
        match self {
            Footage::Cam1 => include_bytes!("../footage/cam1.h264"),
            Footage::Cam2 => include_bytes!("../footage/cam2.h264"),
            Footage::Cam3 => include_bytes!("../footage/cam3.h264"),
            Footage::Cam4 => include_bytes!("../footage/cam4.h264"),
            Footage::Cam5 => include_bytes!("../footage/cam5.h265"),
            Footage::Cam6 => include_bytes!("../footage/cam6.h265"),
            Footage::Cam7 => include_bytes!("../footage/cam7-640x360.h264"),
            Footage::Large => include_bytes!("../footage/cam8-large.h264"),
            Footage::Stills => include_bytes!("../footage/cam9.mjpeg"),
            Footage::Mpeg4 => include_bytes!("../footage/cam10.m4v"),
            Footage::Smart => include_bytes!("../footage/cam11-smart.h264"),
            Footage::Huge => include_bytes!("../footage/cam12-huge.h264"),
        }
    }

    /// The access units in decoding order, which is also the order of display.
    pub fn units(self) -> &'static [Unit] {
        static UNITS: [OnceLock<Vec<Unit>>; 12] = [const { OnceLock::new() }; 12];
        UNITS[self as usize].get_or_init(|| split(self.codec(), self.stream()))
    }

    /// Index of the first key frame at or after unit `from`, looping round.
    pub fn next_key(self, from: usize) -> usize {
        let units = self.units();
        (from..from + units.len()).map(|n| n % units.len()).find(|&n| units[n].key).unwrap_or(0)
    }
}

/// The AAC stream: mono, 16 kHz, ADTS.
pub const AAC_STREAM: &[u8] = include_bytes!("../footage/tone-16k.aac");

/// The ADTS frames of [`AAC_STREAM`], 1024 samples each (ISO/IEC 14496-3, 1.A.2.2).
pub fn aac_frames() -> Vec<&'static [u8]> {
    let mut frames = Vec::new();
    let mut rest = AAC_STREAM;
    while let [0xFF, _, _, b3, b4, b5, ..] = rest {
        let length = usize::from(b3 & 3) << 11 | usize::from(*b4) << 3 | usize::from(b5 >> 5);
        let (frame, tail) = rest.split_at(length.clamp(7, rest.len()));
        frames.push(frame);
        rest = tail;
    }
    frames
}

fn split(codec: VideoCodec, stream: &'static [u8]) -> Vec<Unit> {
    match codec {
        VideoCodec::Mjpeg => split_jpegs(stream),
        _ => split_start_codes(codec, stream),
    }
}

fn split_jpegs(stream: &'static [u8]) -> Vec<Unit> {
    let mut starts: Vec<usize> =
        (0..stream.len()).filter(|&at| stream[at..].starts_with(&[0xFF, 0xD8, 0xFF])).collect();
    starts.push(stream.len());
    starts.windows(2).map(|w| Unit { bytes: &stream[w[0]..w[1]], key: true }).collect()
}

/// What a unit behind a start code means for the bounds of a picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Parameter sets and other units that come before a picture.
    Prefix,
    /// First slice of a picture; true when it is a key picture.
    First(bool),
    /// Anything that continues a picture.
    Rest,
}

fn split_start_codes(codec: VideoCodec, stream: &'static [u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    let (mut start, mut picture) = (0, None);
    for code in start_codes(stream) {
        let role = role(codec, &stream[code.end..]);
        if role != Role::Rest && picture.is_some() {
            units.push((start..code.start, picture.take() == Some(true)));
            start = code.start;
        }
        if let Role::First(key) = role {
            picture = Some(key);
        }
    }
    units.push((start..stream.len(), picture == Some(true)));
    units.into_iter().map(|(range, key)| Unit { bytes: &stream[range], key }).collect()
}

/// Ranges of `00 00 01`, with the zero byte before it where there is one.
fn start_codes(stream: &[u8]) -> Vec<Range<usize>> {
    (0..stream.len().saturating_sub(3))
        .filter(|&at| stream[at..].starts_with(&[0, 0, 1]))
        .map(|at| if at > 0 && stream[at - 1] == 0 { at - 1..at + 3 } else { at..at + 3 })
        .collect()
}

fn role(codec: VideoCodec, unit: &[u8]) -> Role {
    match codec {
        VideoCodec::H264 => match unit[0] & 0x1F {
            kind @ (1 | 5) if unit[1] & 0x80 != 0 => Role::First(kind == 5),
            6..=9 => Role::Prefix,
            _ => Role::Rest,
        },
        VideoCodec::H265 => match unit[0] >> 1 & 0x3F {
            kind @ 0..=31 if unit[2] & 0x80 != 0 => Role::First(kind >= 16),
            32..=35 | 39 => Role::Prefix,
            _ => Role::Rest,
        },
        // B0 opens the headers that stand before an I-VOP; the two bits behind B6 are its kind.
        VideoCodec::Mpeg4 => match unit[0] {
            0xB6 => Role::First(unit[1] >> 6 == 0),
            0xB0 | 0xB3 => Role::Prefix,
            _ => Role::Rest,
        },
        VideoCodec::Mjpeg => Role::First(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_cover_their_stream_and_start_with_a_key_frame() {
        for footage in Footage::ALL {
            let units = footage.units();
            assert!(units[0].key, "{footage:?}");
            let joined: usize = units.iter().map(|unit| unit.bytes.len()).sum();
            assert_eq!(joined, footage.stream().len(), "{footage:?}");
        }
    }

    #[test]
    fn the_counts_are_those_of_the_commands_in_the_readme() {
        let counts = Footage::ALL.map(|footage| footage.units().len());
        assert_eq!(counts, [200, 200, 200, 200, 150, 150, 50, 50, 6, 48, 400, 20]);
        let keys =
            Footage::ALL.map(|footage| footage.units().iter().filter(|unit| unit.key).count());
        assert_eq!(keys, [8, 8, 8, 8, 6, 6, 2, 2, 6, 4, 4, 2]);
    }

    #[test]
    fn large_key_frames_pass_64_kib_and_carry_parameter_sets() {
        for unit in Footage::Large.units().iter().filter(|unit| unit.key) {
            assert!(unit.bytes.len() > 65_536);
            assert_eq!(unit.bytes[..5], [0, 0, 0, 1, 0x67]);
        }
    }

    #[test]
    fn aac_frames_cover_the_stream() {
        let frames = aac_frames();
        assert_eq!(frames.iter().map(|frame| frame.len()).sum::<usize>(), AAC_STREAM.len());
        assert!(frames.len() > 100);
    }
}
