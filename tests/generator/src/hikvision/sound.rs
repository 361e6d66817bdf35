//! Codings of sound in a program stream.
//!
//! Facts: `docs/formats/hikvision.md`, sections 7.3 (stream types) and 8.1 (codes of the file header).

use crate::audio::AudioCodec;
use crate::rng::Rng;

/// A coding of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundCodec {
    /// G.711 A-law, 8 kHz.
    ALaw,
    /// G.711 mu-law, 8 kHz.
    MuLaw,
    /// AAC in ADTS, mono, 16 kHz.
    Aac,
    /// G.722.1 at 16 kbit/s; the bytes are random, only their number is right.
    G7221,
    /// G.726 at 32 kbit/s; the bytes are random, only their number is right.
    G726,
}

/// Sound of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Coding.
    pub codec: SoundCodec,
    /// Start of the sound minus start of the video, in milliseconds.
    pub offset_ms: i64,
    /// True where every sound packet has a pack header of its own.
    pub own_packs: bool,
}

impl SoundCodec {
    /// The name in `truth.json`.
    pub fn name(self) -> &'static str {
        match self {
            SoundCodec::ALaw => "alaw",
            SoundCodec::MuLaw => "ulaw",
            SoundCodec::Aac => "aac",
            SoundCodec::G7221 => "g722.1",
            SoundCodec::G726 => "g726",
        }
    }

    /// Stream type in the program stream map.
    pub fn stream_type(self) -> u8 {
        match self {
            SoundCodec::ALaw => 0x90,
            SoundCodec::MuLaw => 0x91,
            SoundCodec::Aac => 0x0F,
            SoundCodec::G7221 => 0x92,
            SoundCodec::G726 => 0x96,
        }
    }

    /// Code in the IMKH header.
    pub fn media_info_code(self) -> u16 {
        match self {
            SoundCodec::ALaw => 0x7111,
            SoundCodec::MuLaw => 0x7110,
            SoundCodec::Aac => 0x2001,
            SoundCodec::G7221 => 0x7221,
            SoundCodec::G726 => 0x7261,
        }
    }

    /// Samples a second.
    pub fn sample_rate(self) -> u32 {
        match self {
            SoundCodec::Aac | SoundCodec::G7221 => 16_000,
            _ => 8000,
        }
    }

    /// Bits a second.
    pub fn bit_rate(self) -> u32 {
        match self {
            SoundCodec::ALaw | SoundCodec::MuLaw => 64_000,
            SoundCodec::Aac => 24_000,
            SoundCodec::G7221 => 16_000,
            SoundCodec::G726 => 32_000,
        }
    }

    /// Milliseconds in one packet.
    pub fn frame_ms(self) -> i64 {
        match self {
            SoundCodec::G7221 | SoundCodec::G726 => 40,
            _ => 64,
        }
    }

    /// The payload of packet `number`.
    pub fn frame(self, number: usize) -> Vec<u8> {
        match self {
            SoundCodec::ALaw => AudioCodec::ALaw.frame(number),
            SoundCodec::MuLaw => AudioCodec::MuLaw.frame(number),
            SoundCodec::Aac => AudioCodec::Aac.frame(number),
            SoundCodec::G7221 | SoundCodec::G726 => {
                let bytes = i64::from(self.bit_rate()) / 8 * self.frame_ms() / 1000;
                Rng::new(number as u64, u64::from(self.stream_type())).bytes(bytes as usize)
            }
        }
    }
}
