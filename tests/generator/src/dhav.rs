//! One DHAV frame: header, tags, payload, trailer.
//!
//! Facts: `docs/formats/dahua.md`, sections 3.1 (header and trailer), 3.2 (tags) and 3.4 (checks).

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::audio::AudioCodec;
use crate::civil::Moment;
use crate::footage::VideoCodec;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 8;

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Frame type, byte 4 of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// A picture that decoding can start at.
    Key = 0xFD,
    /// A predicted picture.
    Predicted = 0xFC,
    /// A JPEG still.
    Still = 0xFB,
    /// Sound.
    Audio = 0xF0,
    /// Auxiliary data.
    Auxiliary = 0xF1,
}

/// What a frame says about itself.
#[derive(Debug, Clone)]
pub struct Header {
    /// Frame type.
    pub kind: FrameType,
    /// Subtype, used by auxiliary frames.
    pub subtype: u8,
    /// Channel within the stream, from 0.
    pub channel: u8,
    /// Pieces of the same frame that still follow.
    pub pieces_left: u8,
    /// Frame number.
    pub number: u32,
    /// Reading of the clock; only its whole second is stored.
    pub clock: Moment,
    /// Millisecond counter.
    pub counter: u16,
}

/// Writes one frame. `tags` must be at most 255 bytes.
pub fn encode(header: &Header, tags: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + tags.len() + payload.len() + TRAILER_BYTES) as u32;
    let mut frame = Vec::with_capacity(length as usize);
    frame.extend(b"DHAV");
    frame.extend([header.kind as u8, header.subtype, header.channel, header.pieces_left]);
    frame.extend(header.number.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend(header.clock.packed().to_le_bytes());
    frame.extend(header.counter.to_le_bytes());
    frame.push(tags.len() as u8);
    frame.push(header_checksum(&frame));
    frame.extend(tags);
    frame.extend(payload);
    frame.extend(b"dhav");
    frame.extend(length.to_le_bytes());
    frame
}

/// Sum of the first 23 bytes of a header, modulo 256.
pub fn header_checksum(header: &[u8]) -> u8 {
    header[..HEADER_BYTES - 1].iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// CRC-32 of ISO 3309, as used by tag 88 kind 2 and by the truth file.
pub fn crc32(bytes: &[u8]) -> u32 {
    CRC32.checksum(bytes)
}

/// The payload sum of tag 88 kind 0: every byte shifted left by 8 times its index modulo 4.
pub fn payload_sum(payload: &[u8]) -> u32 {
    payload
        .iter()
        .enumerate()
        .fold(0, |sum: u32, (i, byte)| sum.wrapping_add(u32::from(*byte) << (8 * (i % 4))))
}

/// Tag 80: picture size in units of eight pixels, progressive.
pub fn tag_80_size([width, height]: [u32; 2]) -> Vec<u8> {
    vec![0x80, 0, (width / 8) as u8, (height / 8) as u8]
}

/// Tag 82: picture size in pixels.
pub fn tag_82_large_size([width, height]: [u32; 2]) -> Vec<u8> {
    let mut tag = vec![0x82, 0, 0, 0];
    tag.extend((width as u16).to_le_bytes());
    tag.extend((height as u16).to_le_bytes());
    tag
}

/// Tag 81: interval of key frames, codec number, frames a second.
pub fn tag_81_playback(key_interval: u8, codec: u8, fps: u8) -> Vec<u8> {
    vec![0x81, key_interval, codec, fps]
}

/// Tag 83: one sound channel, codec and sample-rate index.
pub fn tag_83_audio(codec: AudioCodec) -> Vec<u8> {
    let (number, rate) = codec.tag_values();
    vec![0x83, 1, number, rate]
}

/// Tag 88: check of the payload; kind 0 is the payload sum, kind 2 is CRC-32.
pub fn tag_88_check(payload: &[u8], kind: u8) -> Vec<u8> {
    let check = if kind == 2 { crc32(payload) } else { payload_sum(payload) };
    let mut tag = vec![0x88];
    tag.extend(check.to_le_bytes());
    tag.extend([0, 0, kind]);
    tag
}

/// Tag 94: two temporal layers, of which key frames are layer 0.
pub fn tag_94_layers(key: bool) -> Vec<u8> {
    vec![0x94, 2, u8::from(!key), 0]
}

/// Tag 95: frame encryption. Its fields are not documented; they are filled with `seven` bytes.
pub fn tag_95_encryption(seven: [u8; 7]) -> Vec<u8> {
    [&[0x95][..], &seven].concat()
}

/// Tag A0: milliseconds of the second, 0 to 999. The specification gives four bytes and no
/// layout; here a zero byte and a little-endian u16 follow the id.
pub fn tag_a0_milliseconds(clock: Moment) -> Vec<u8> {
    let ms = (clock.fields().millisecond as u16).to_le_bytes();
    vec![0xA0, 0, ms[0], ms[1]]
}

/// Tag B5: stream encryption. Algorithm 1, offset into the payload, encrypted length, key id,
/// a CRC-16 over the key that nobody without the key can check, initialisation vector.
pub fn tag_b5_encryption(offset: u32, length: u32, key_id: &[u8; 16], iv: &[u8; 16]) -> Vec<u8> {
    let mut tag = vec![0xB5, 1];
    tag.extend(offset.to_le_bytes());
    tag.extend(length.to_le_bytes());
    tag.extend(key_id);
    tag.extend([0x5A, 0xC3]);
    tag.extend(iv);
    tag
}

/// Codec numbers that tag 81 may use for a coding, the usual one first.
pub fn codec_numbers(codec: VideoCodec) -> &'static [u8] {
    match codec {
        VideoCodec::H264 => &[8, 4, 2],
        VideoCodec::H265 => &[12],
        VideoCodec::Mjpeg => &[5],
        VideoCodec::Mpeg4 => &[1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// The header and tags of a real key frame of Disk A, with the payload cut to make its length.
    #[test]
    fn a_key_frame_header_is_the_one_of_disk_a() {
        let mut tags = tag_80_size([928, 576]);
        tags.extend(tag_81_playback(26, 8, 25));
        tags.extend(hex!("88 df66e63b 00 00 00"));
        tags.extend(tag_94_layers(true));
        let header = Header {
            kind: FrameType::Key,
            subtype: 0,
            channel: 2,
            pieces_left: 0,
            number: 0x0004_A286,
            clock: Moment::at((2020, 4, 14), (23, 0, 0)),
            counter: 0x11E5,
        };
        let frame = encode(&header, &tags, &vec![0; 0xBBE - 24 - 20 - 8]);
        assert_eq!(
            frame[..44],
            hex!(
                "44484156 fd000200 86a20400 be0b0000 00701d51 e511 14 ff"
                "80007448 811a0819 88df66e63b000000 94020000"
            )
        );
        assert_eq!(frame[frame.len() - 8..], hex!("64686176 be0b0000"));
    }

    #[test]
    fn a_predicted_frame_header_is_the_one_of_disk_a() {
        let tags = [tag_80_size([928, 576]), tag_81_playback(26, 8, 25), tag_94_layers(false)];
        let header = Header {
            kind: FrameType::Predicted,
            subtype: 0,
            channel: 2,
            pieces_left: 0,
            number: 0x0004_A287,
            clock: Moment::at((2020, 4, 14), (23, 0, 0)),
            counter: 0x1206,
        };
        let frame = encode(&header, &tags.concat(), &[0; 0xA7 - 24 - 12 - 8]);
        assert_eq!(
            frame[..36],
            hex!(
                "44484156 fc000200 87a20400 a7000000 00701d51 0612 0c f7 80007448 811a0819 94020100"
            )
        );
    }

    #[test]
    fn the_payload_sum_shifts_by_the_index_and_wraps() {
        assert_eq!(payload_sum(&[1, 2, 3, 4, 5]), 0x0403_0206);
        assert_eq!(payload_sum(&[0, 0, 0, 0xFF, 0, 0, 0, 2]), 0x0100_0000);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
