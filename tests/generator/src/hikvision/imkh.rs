//! The media-info header of exported files.
//!
//! Facts: `docs/formats/hikvision.md`, section 8.1.

use super::sound::SoundCodec;
use crate::footage::VideoCodec;

/// Bytes of the header.
pub const IMKH_BYTES: usize = 40;
/// The second half is 00 02: MPEG program stream.
const SYSTEM_PROGRAM_STREAM: u16 = 2;

/// The 40 bytes before the first pack, in the version of 2022.
pub fn imkh(codec: VideoCodec, sound: Option<SoundCodec>) -> Vec<u8> {
    let video: u16 = match codec {
        VideoCodec::H264 => 1,
        VideoCodec::Mpeg4 => 3,
        VideoCodec::Mjpeg => 4,
        VideoCodec::H265 => 5,
    };
    let mut bytes = b"IMKH\x01\x02\0\0".to_vec();
    bytes.extend(SYSTEM_PROGRAM_STREAM.to_le_bytes());
    bytes.extend(video.to_le_bytes());
    bytes.extend(sound.map_or(0, SoundCodec::media_info_code).to_le_bytes());
    bytes.extend(if sound.is_some() { [1, 16] } else { [0, 0] });
    bytes.extend(sound.map_or(0, SoundCodec::sample_rate).to_le_bytes());
    bytes.extend(sound.map_or(0, SoundCodec::bit_rate).to_le_bytes());
    bytes.extend([0x81, 0, 0, 0]);
    bytes.resize(IMKH_BYTES, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn the_header_is_that_of_the_real_sample() {
        let expected = hex!(
            "494d4b480102000002000500000000000000000000000000"
            "81000000000000000000000000000000"
        );
        assert_eq!(imkh(VideoCodec::H265, None), expected);
    }
}
