//! Pack header, system header, program stream map and PES packets.
//!
//! Facts: `docs/formats/hikvision.md`, sections 7.1 (pack header), 7.2 (descriptors), 7.3 (stream types)
//! and 17 (stuffing); ISO/IEC 13818-1, clauses 2.5.3.3 (pack), 2.5.3.5 (system header), 2.5.4.1
//! (program stream map) and 2.4.3.6 (PES). What the sources leave open is as in the one real head of
//! a stream that is known byte by byte.

use std::ops::Range;

use crc::{CRC_32_MPEG_2, Crc};

use super::sound::SoundCodec;
use crate::civil::Moment;
use crate::footage::VideoCodec;

/// Largest payload of a PES packet, as in the real sample.
pub const PAYLOAD_LIMIT: usize = 65_472;
/// Stream id of video.
pub const PES_VIDEO: u8 = 0xE0;
/// Stream id of sound.
pub const PES_AUDIO: u8 = 0xC0;
/// Stream id of private data.
pub const PES_PRIVATE: u8 = 0xBD;

/// Units of 50 bytes a second, as in the real sample.
const MUX_RATE: u32 = 0xEB34;
/// Streams E0, C0, BD and BF.
const SYSTEM_HEADER: [u8; 24] = [
    0x00, 0x00, 0x01, 0xBB, 0x00, 0x12, 0x81, 0xD6, 0x69, 0x04, 0xE1, 0x7F, 0xE0, 0xE0, 0x80, 0xC0,
    0xC0, 0x08, 0xBD, 0xE0, 0x80, 0xBF, 0xE0, 0x80,
];
const PSM_CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
const COMPANY: &[u8; 2] = b"HK";
const TICKS_PER_SECOND: u32 = 90_000;

/// Bytes of a pack header with its stuffing.
pub(super) const PACK_HEADER_BYTES: usize = 20;

/// Pack header with six stuffing bytes: FF FF and the picture counter.
pub fn pack_header(scr: u64, picture: u32) -> Vec<u8> {
    let part = |shift: u32, mask: u64| scr >> shift & mask;
    let clock = 0b01 << 46
        | part(30, 7) << 43
        | 1 << 42
        | part(15, 0x7FFF) << 27
        | 1 << 26
        | part(0, 0x7FFF) << 11
        | 1 << 10
        | 1;
    let mut bytes = vec![0, 0, 1, 0xBA];
    bytes.extend(&clock.to_be_bytes()[2..]);
    bytes.extend(&(MUX_RATE << 2 | 3).to_be_bytes()[1..]);
    bytes.extend([0xFE, 0xFF, 0xFF]);
    bytes.extend(picture.to_be_bytes());
    bytes
}

/// System header, always the same.
pub fn system_header() -> Vec<u8> {
    SYSTEM_HEADER.to_vec()
}

/// A PES packet and the place of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pes {
    /// The packet with its header.
    pub bytes: Vec<u8>,
    /// The payload within it.
    pub payload: Range<usize>,
}

impl Pes {
    /// One packet of at most [`PAYLOAD_LIMIT`] payload bytes.
    ///
    /// Two to five stuffing bytes bring the packet to a multiple of 4; the last of them is FC, or FD
    /// where the unit goes on in the next packet.
    pub fn new(id: u8, pts: Option<u64>, payload: &[u8], goes_on: bool) -> Pes {
        const FIXED: usize = 9;
        let stamp = pts.map(encode_pts);
        let stamp = stamp.as_ref().map_or(&[][..], |stamp| &stamp[..]);
        let bare = FIXED + stamp.len() + payload.len();
        let stuffing = 2 + (6 - bare % 4) % 4;
        let mut bytes = vec![0, 0, 1, id];
        bytes.extend(((bare + stuffing - 6) as u16).to_be_bytes());
        let flags = if pts.is_some() { 0x80 } else { 0 };
        bytes.extend([0x8C, flags, (stamp.len() + stuffing) as u8]);
        bytes.extend(stamp);
        bytes.resize(bytes.len() + stuffing - 1, 0xFF);
        bytes.push(if goes_on { 0xFD } else { 0xFC });
        let from = bytes.len();
        bytes.extend(payload);
        Pes { payload: from..bytes.len(), bytes }
    }

    /// As many packets as `payload` needs; the time stamp stands in the first.
    pub fn split(id: u8, pts: Option<u64>, payload: &[u8]) -> Vec<Pes> {
        let count = payload.len().div_ceil(PAYLOAD_LIMIT);
        payload
            .chunks(PAYLOAD_LIMIT)
            .enumerate()
            .map(|(n, part)| Pes::new(id, pts.filter(|_| n == 0), part, n + 1 < count))
            .collect()
    }
}

fn encode_pts(pts: u64) -> [u8; 5] {
    [
        (0x21 | pts >> 29 & 0xE) as u8,
        (pts >> 22) as u8,
        (pts >> 14 | 1) as u8,
        (pts >> 7) as u8,
        (pts << 1 | 1) as u8,
    ]
}

/// What a program stream map says.
#[derive(Debug, Clone, Copy)]
pub struct MapFacts {
    /// Time in descriptor 0x40.
    pub clock: Moment,
    /// Encryption type, the last three bits of that time.
    pub encryption: u8,
    /// True where descriptor 0x80 (encryption) follows.
    pub encryption_descriptor: bool,
    /// Coding of stream E0.
    pub codec: VideoCodec,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Frames a second.
    pub fps: u32,
    /// Coding of stream C0.
    pub sound: Option<SoundCodec>,
    /// True where stream BD is declared.
    pub private: bool,
}

/// Program stream map with its descriptors and the byte-swapped check sum.
pub fn program_stream_map(facts: &MapFacts) -> Vec<u8> {
    let mut info = basic_descriptor(facts.clock, facts.encryption);
    info.extend(device_descriptor());
    if facts.encryption_descriptor {
        info.extend([0x80, 0x0A, 0x48, 0x4B, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    let mut streams = Vec::new();
    let mut video = video_descriptor(facts);
    video.extend([0x44, 0x0A, 0, 0, 0x80, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
    video.extend(timing_descriptor(facts));
    push_stream(&mut streams, stream_type(facts.codec), PES_VIDEO, &video);
    if let Some(sound) = facts.sound {
        push_stream(&mut streams, sound.stream_type(), PES_AUDIO, &audio_descriptor(sound));
    }
    if facts.private {
        push_stream(&mut streams, PES_PRIVATE, PES_PRIVATE, &[]);
    }
    let mut map = vec![0, 0, 1, 0xBC];
    put_be16(&mut map, 2 + 2 + info.len() + 2 + streams.len() + 4);
    map.extend([0xF6, 0xFF]);
    put_be16(&mut map, info.len());
    map.extend(info);
    put_be16(&mut map, streams.len());
    map.extend(streams);
    let check = PSM_CRC.checksum(&map);
    map.extend(check.to_le_bytes());
    map
}

/// Stream type in the map.
fn stream_type(codec: VideoCodec) -> u8 {
    match codec {
        VideoCodec::H264 => 0x1B,
        VideoCodec::H265 => 0x24,
        VideoCodec::Mpeg4 => 0x10,
        VideoCodec::Mjpeg => 0xB1,
    }
}

fn push_stream(streams: &mut Vec<u8>, kind: u8, id: u8, descriptors: &[u8]) {
    streams.extend([kind, id]);
    put_be16(streams, descriptors.len());
    streams.extend(descriptors);
}

/// Offset of descriptor 0x40 within the map.
pub(super) const BASIC_AT: usize = 10;

fn basic_descriptor(clock: Moment, encryption: u8) -> Vec<u8> {
    let f = clock.fields();
    let packed = f.month << 28
        | f.day << 23
        | f.hour << 18
        | f.minute << 12
        | f.second << 6
        | 1 << 5
        | f.millisecond >> 5;
    let mut bytes = vec![0x40, 0x0E];
    bytes.extend(COMPANY);
    bytes.extend([0x01, 0x00, (f.year - 2000) as u8]);
    bytes.extend(packed.to_be_bytes());
    bytes.push((f.millisecond << 3) as u8 | encryption & 7);
    bytes.extend([0x00, 0xFF, 0xFF, 0xFF]);
    bytes
}

fn device_descriptor() -> Vec<u8> {
    let mut bytes = vec![0x41, 0x12];
    bytes.extend(COMPANY);
    bytes.extend(0..16);
    bytes
}

fn video_descriptor(facts: &MapFacts) -> Vec<u8> {
    let mut bytes = vec![0x42, 0x0E, 0x07, 0x10, 0x10, 0xEA];
    put_be16(&mut bytes, facts.size[0] as usize);
    put_be16(&mut bytes, facts.size[1] as usize);
    bytes.extend([0x11, 0x10, 0xC0]);
    let interval = TICKS_PER_SECOND / facts.fps;
    bytes.extend(&(interval << 1 | 1).to_be_bytes()[1..]);
    bytes
}

fn timing_descriptor(facts: &MapFacts) -> Vec<u8> {
    let mut bytes = vec![0x2A, 0x0A, 0x7F, 0xFF];
    bytes.extend((TICKS_PER_SECOND / (2 * facts.fps)).to_be_bytes());
    bytes.extend([0x1F, 0xFE, (facts.size[0] >> 3) as u8, (facts.size[1] >> 3) as u8]);
    bytes
}

fn audio_descriptor(sound: SoundCodec) -> Vec<u8> {
    let rate = |value: u32| (value << 2 | 3).to_be_bytes();
    let mut bytes = vec![0x43, 0x0A];
    put_be16(&mut bytes, sound.frame(0).len());
    bytes.push(0xFE);
    bytes.extend(&rate(sound.sample_rate())[1..]);
    bytes.extend(&rate(sound.bit_rate())[1..]);
    bytes.push(0xFF);
    bytes
}

fn put_be16(bytes: &mut Vec<u8>, value: usize) {
    bytes.extend((value as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// The head of the real stream: 2592 x 1944 at 20 fps, 2022-12-28 01:06:45.658, no sound.
    fn sample() -> MapFacts {
        MapFacts {
            clock: Moment::at((2022, 12, 28), (1, 6, 45)).plus_ms(658),
            encryption: 7,
            encryption_descriptor: false,
            codec: VideoCodec::H265,
            size: [2592, 1944],
            fps: 20,
            sound: None,
            private: false,
        }
    }

    const SAMPLE_PTS: u64 = 3 << 30 | 0x714B << 15 | 0x2334;

    #[test]
    fn the_pack_header_is_that_of_the_real_sample() {
        let expected = hex!("000001ba5f8a5d19a40103acd3feffff002b5136");
        assert_eq!(pack_header(SAMPLE_PTS, 0x002B_5136), expected);
    }

    #[test]
    fn the_map_is_that_of_the_real_sample_with_its_swapped_check_sum() {
        let expected = hex!(
            "000001bc005af6ff0024400e484b010016ce046b749700ffffff4112484b000102030405060708090a0b0c0d"
            "0e0f002c24e00028420e071010ea0a2007981110c0002329440a0000800000000000ffff2a0a7fff000008ca"
            "1ffe44f3b18c5ff8"
        );
        assert_eq!(program_stream_map(&sample()), expected);
        assert_eq!(expected[BASIC_AT..BASIC_AT + 4], *b"\x40\x0EHK");
    }

    #[test]
    fn pes_headers_are_those_of_the_real_sample() {
        let first = Pes::new(PES_VIDEO, Some(SAMPLE_PTS), &[0; 27], false);
        assert_eq!(first.bytes[..17], hex!("000001e000268c800827e2974669fffffc"));
        let second = Pes::new(PES_VIDEO, None, &[0; 39], false);
        assert_eq!(second.bytes[..13], hex!("000001e0002e8c0004fffffffc"));
        let third = Pes::new(PES_VIDEO, None, &[0; 13], false);
        assert_eq!(third.bytes[..11], hex!("000001e000128c0002fffc"));
        let long = Pes::new(PES_VIDEO, None, &[0; PAYLOAD_LIMIT], true);
        assert_eq!(long.bytes[..12], hex!("000001e0ffc68c0003fffffd"));
        for pes in [first, second, third, long] {
            assert_eq!(pes.bytes.len() % 4, 0);
        }
    }

    #[test]
    fn audio_descriptors_hold_rates_of_22_bits() {
        let bytes = audio_descriptor(SoundCodec::ALaw);
        assert_eq!(bytes.len(), 12);
        let value = |at: usize| {
            u32::from(bytes[at]) << 14
                | u32::from(bytes[at + 1]) << 6
                | u32::from(bytes[at + 2]) >> 2
        };
        assert_eq!((value(5), value(8)), (8000, 64_000));
    }
}
