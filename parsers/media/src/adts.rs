//! AAC in ADTS frames: ISO/IEC 14496-3 clause 1.A.2.

/// Samples of one raw data block.
pub const SAMPLES_PER_BLOCK: u32 = 1024;

const HEADER_BYTES: usize = 7;
const CRC_BYTES: usize = 2;

/// Samples per second by `sampling_frequency_index` (ISO/IEC 14496-3 table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The fixed and variable header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader {
    /// `profile_ObjectType` plus 1: the audio object type (2 is AAC LC).
    pub object_type: u8,
    /// `sampling_frequency_index`.
    pub rate_index: u8,
    /// `channel_configuration`; 0 when the stream itself says.
    pub channels: u8,
    /// Bytes of the header with its check sum.
    pub header_bytes: usize,
    /// Bytes of the whole frame.
    pub frame_bytes: usize,
    /// Raw data blocks in the frame, 1 to 4.
    pub blocks: u8,
}

impl AdtsHeader {
    /// Parses the header at the start of `bytes`; `None` without sync word, with a reserved rate, or when the frame
    /// would be shorter than its header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [b0, b1, b2, b3, b4, b5, b6] = *bytes.first_chunk::<HEADER_BYTES>()?;
        if b0 != 0xff || b1 & 0xf6 != 0xf0 {
            return None;
        }
        let checked = b1 & 1 == 0;
        let header_bytes =
            if checked { HEADER_BYTES.checked_add(CRC_BYTES)? } else { HEADER_BYTES };
        let length = (u32::from(b3 & 3) << 11) | (u32::from(b4) << 3) | u32::from(b5 >> 5);
        let header = Self {
            object_type: (b2 >> 6).checked_add(1)?,
            rate_index: (b2 >> 2) & 15,
            channels: ((b2 & 1) << 2) | (b3 >> 6),
            header_bytes,
            frame_bytes: usize::try_from(length).ok()?,
            blocks: (b6 & 3).checked_add(1)?,
        };
        (header.frame_bytes > header_bytes && header.sample_rate().is_some()).then_some(header)
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> Option<u32> {
        SAMPLE_RATES.get(usize::from(self.rate_index)).copied()
    }

    /// The two bytes of `AudioSpecificConfig` (ISO/IEC 14496-3 clause 1.6.2.1).
    pub fn audio_specific_config(&self) -> [u8; 2] {
        let bits = (u16::from(self.object_type) << 11)
            | (u16::from(self.rate_index) << 7)
            | (u16::from(self.channels) << 3);
        bits.to_be_bytes()
    }

    /// Whether frames with the other header belong to the same stream.
    pub const fn same_stream(&self, other: &Self) -> bool {
        self.object_type == other.object_type
            && self.rate_index == other.rate_index
            && self.channels == other.channels
    }
}

/// Whether the bytes begin as MPEG-4 (`FF F1`) or MPEG-2 (`FF F9`) ADTS without check sum do, with a possible header.
pub fn sniff(bytes: &[u8]) -> bool {
    matches!(bytes.get(..2), Some([0xff, 0xf1 | 0xf9])) && AdtsHeader::parse(bytes).is_some()
}

/// The whole frames at the start of a payload; the iterator stops at the first bytes that are none.
pub const fn frames(payload: &[u8]) -> Frames<'_> {
    Frames { rest: payload }
}

/// Iterator over headers and the bytes after them; see [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// The bytes no frame was found in.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = (AdtsHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = AdtsHeader::parse(self.rest)?;
        let (frame, rest) = self.rest.split_at_checked(header.frame_bytes)?;
        self.rest = rest;
        Some((header, frame.get(header.header_bytes..)?))
    }
}
