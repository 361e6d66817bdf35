//! Sound for the recordings: a tone computed here, and the committed AAC stream.
//!
//! Codec numbers and sample-rate indices: `docs/formats/dahua.md`, section 3.2. Companding: ITU-T G.711.

use crate::footage::aac_frames;

/// A coding of sound, with the sample rate that goes with it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// G.711 A-law, 8 kHz.
    ALaw,
    /// G.711 mu-law, 8 kHz.
    MuLaw,
    /// AAC in ADTS, mono, 16 kHz.
    Aac,
    /// Signed 16-bit little-endian PCM, 8 kHz.
    Pcm16,
}

impl AudioCodec {
    /// The name in `truth.json`.
    pub fn name(self) -> &'static str {
        match self {
            AudioCodec::ALaw => "alaw",
            AudioCodec::MuLaw => "ulaw",
            AudioCodec::Aac => "aac",
            AudioCodec::Pcm16 => "pcm16",
        }
    }

    /// Samples a second.
    pub fn sample_rate(self) -> u32 {
        if self == AudioCodec::Aac { 16_000 } else { 8000 }
    }

    /// Codec number and sample-rate index of tag 83.
    pub fn tag_values(self) -> (u8, u8) {
        match self {
            AudioCodec::ALaw => (14, 2),
            AudioCodec::MuLaw => (22, 2),
            AudioCodec::Aac => (26, 4),
            AudioCodec::Pcm16 => (16, 2),
        }
    }

    /// Milliseconds in one frame.
    pub fn frame_ms(self) -> i64 {
        if self == AudioCodec::Pcm16 { 40 } else { 64 }
    }

    /// The payload of frame `number`; the tone runs on from frame to frame.
    pub fn frame(self, number: usize) -> Vec<u8> {
        if self == AudioCodec::Aac {
            let frames = aac_frames();
            return frames[number % frames.len()].to_vec();
        }
        let count = (i64::from(self.sample_rate()) * self.frame_ms() / 1000) as usize;
        let samples = (number * count..(number + 1) * count).map(tone);
        match self {
            AudioCodec::ALaw => samples.map(a_law).collect(),
            AudioCodec::MuLaw => samples.map(mu_law).collect(),
            _ => samples.flat_map(i16::to_le_bytes).collect(),
        }
    }
}

/// A triangle of 400 Hz at 8000 samples a second.
fn tone(sample: usize) -> i16 {
    let phase = (sample % 20) as i16;
    let height = if phase < 10 { phase } else { 20 - phase };
    (height - 5) * 1500
}

/// G.711 A-law of one sample.
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, sample >> 3) } else { (0, !sample >> 3) };
    let exponent = (16 - (magnitude as u16 >> 5).leading_zeros()) as u8;
    let shift = if exponent > 1 { exponent } else { 1 };
    let mantissa = (magnitude >> shift & 0xF) as u8;
    (sign | exponent << 4 | mantissa) ^ 0x55
}

/// G.711 mu-law of one sample.
fn mu_law(sample: i16) -> u8 {
    const BIAS: i16 = 33;
    let negative = sample < 0;
    let magnitude = if negative { !sample >> 2 } else { sample >> 2 };
    let biased = (magnitude + BIAS).min(0x1FFF);
    let exponent = (10 - (biased as u16).leading_zeros().clamp(3, 10)) as u8;
    let mantissa = (biased >> (exponent + 1) & 0xF) as u8;
    !(u8::from(negative) << 7 | exponent << 4 | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companding_matches_the_values_of_g711() {
        assert_eq!([a_law(0), a_law(-1), a_law(32_767), a_law(-32_768)], [0xD5, 0x55, 0xAA, 0x2A]);
        assert_eq!([mu_law(0), mu_law(-1), mu_law(32_767)], [0xFF, 0x7F, 0x80]);
        assert_eq!(mu_law(-32_768), 0x00);
    }

    #[test]
    fn frames_last_what_they_say() {
        for codec in [AudioCodec::ALaw, AudioCodec::MuLaw, AudioCodec::Pcm16] {
            let bytes = codec.frame(3).len() as i64;
            let per_sample = if codec == AudioCodec::Pcm16 { 2 } else { 1 };
            assert_eq!(bytes / per_sample * 1000 / 8000, codec.frame_ms());
        }
    }
}
