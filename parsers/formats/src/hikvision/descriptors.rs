//! The vendor's descriptors in a program stream map, and the kinds of its private packets.
//!
//! Facts: `docs/formats/hikvision.md` sections 7.2 (descriptors), 7.4 (private packets) and 7.6 (encryption). A descriptor of another length than
//! the one known is not read. Only maps in front of key frames carry a date.

use std::ops::Range;

use daleel_core::{AudioFormat, CivilTime};
use daleel_media::ps::{Descriptor, ProgramMap, descriptors};

/// Tag of the basic descriptor.
pub const BASIC: u8 = 0x40;
/// Tag of the device descriptor.
pub const DEVICE: u8 = 0x41;
/// Tag of the video descriptor.
pub const VIDEO: u8 = 0x42;
/// Tag of the audio descriptor.
pub const AUDIO: u8 = 0x43;
/// Tag of the video clip descriptor.
pub const CLIP: u8 = 0x44;
/// Tag of the stream descriptor.
pub const STREAM: u8 = 0x45;
/// Tag of the encryption descriptor.
pub const ENCRYPTION: u8 = 0x80;
/// Tag of the timing descriptor of ISO/IEC 13818-1, with the vendor's additions.
pub const TIMING: u8 = 0x2A;

/// The vendor's mark in the basic and the device descriptor.
const COMPANY: &[u8] = b"HK";
const TICKS_PER_SECOND: u32 = 90_000;
/// Bytes of the date within the body of the basic descriptor.
const DATE: Range<usize> = 4..10;

/// 40h: date, definition version, encryption type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basic {
    /// Definition version: 0001h, 0100h and so on.
    pub version: u16,
    /// Whole second of the recorder's clock; `None` when the fields are no date.
    pub second: Option<CivilTime>,
    /// Milliseconds, 0 to 999.
    pub millisecond: u16,
    /// Encryption type, three bits.
    pub encryption: u8,
    /// 80h fisheye, 81h binocular.
    pub camera: u8,
}

/// 42h: encoder, size and rate of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// Version of the encoder.
    pub encoder: u16,
    /// Its date: year, month, day.
    pub built: (u16, u8, u8),
    /// Coded width and height.
    pub size: (u16, u16),
    /// Ticks of 90 kHz from picture to picture, 23 bits; 0 when not stated.
    pub interval: u32,
    /// Whether the rate is said to be fixed.
    pub fixed_rate: bool,
}

/// 43h: sampling of the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Bytes of a frame.
    pub frame_bytes: u16,
    /// 1 or 2.
    pub channels: u8,
    /// Samples a second.
    pub sample_rate: u32,
    /// Bits a second.
    pub bit_rate: u32,
}

/// 44h: the part of the picture that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Left and top.
    pub origin: (u16, u16),
    /// Width and height; 0 is no cropping.
    pub size: (u16, u16),
}

/// 45h: stream types again, and a frame number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Video stream type.
    pub video: u8,
    /// Audio stream type.
    pub audio: u8,
    /// Frame number.
    pub frame: u32,
}

/// 2Ah: duration of a tick and size / 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// 90 000 / (2 × frames a second).
    pub units_in_tick: u32,
    /// Low bytes of width / 8 and height / 8.
    pub size_eighths: (u8, u8),
}

/// A descriptor of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// 40h.
    Basic(Basic),
    /// 41h, opaque.
    Device,
    /// 42h.
    Video(Video),
    /// 43h.
    Audio(Audio),
    /// 44h.
    Clip(Clip),
    /// 45h.
    Stream(StreamInfo),
    /// 80h, content not known.
    Encryption,
    /// 2Ah.
    Timing(Timing),
}

/// Reads the body of a descriptor: the bytes after its length. `None` when it is not the vendor's, or not of the length known.
pub fn parse(tag: u8, body: &[u8]) -> Option<Parsed> {
    match tag {
        BASIC => basic(body).map(Parsed::Basic),
        DEVICE => (body.len() == 18 && body.starts_with(COMPANY)).then_some(Parsed::Device),
        VIDEO => video(body).map(Parsed::Video),
        AUDIO => audio(body).map(Parsed::Audio),
        CLIP => clip(body).map(Parsed::Clip),
        STREAM => stream(body).map(Parsed::Stream),
        // Its content is not documented: of whatever length, its presence is the statement.
        ENCRYPTION => Some(Parsed::Encryption),
        TIMING => timing(body).map(Parsed::Timing),
        _ => None,
    }
}

fn basic(body: &[u8]) -> Option<Basic> {
    let [h, k, v0, v1, year, d0, d1, d2, d3, low, camera, ..] = *body.first_chunk::<14>()?;
    ([h, k] == *COMPANY && body.len() == 14).then_some(())?;
    let packed = u32::from_be_bytes([d0, d1, d2, d3]);
    let field = |shift: u32, mask: u32| u8::try_from((packed >> shift) & mask).ok();
    let millisecond = (packed & 31) << 5 | u32::from(low >> 3);
    let millisecond = u16::try_from(millisecond).ok().filter(|ms| *ms <= 999);
    let second = CivilTime::from_parts(
        i16::from(year).checked_add(2000)?,
        field(28, 15)?,
        field(23, 31)?,
        field(18, 31)?,
        field(12, 63)?,
        field(6, 63)?,
    );
    Some(Basic {
        version: u16::from_be_bytes([v0, v1]),
        second: second.filter(|_| millisecond.is_some()),
        millisecond: millisecond.unwrap_or(0),
        encryption: low & 7,
        camera,
    })
}

fn video(body: &[u8]) -> Option<Video> {
    let [e0, e1, d0, d1, w0, w1, h0, h1, _, _, _, i0, i1, i2] = <[u8; 14]>::try_from(body).ok()?;
    let built = u16::from_be_bytes([d0, d1]);
    let interval = u32::from_be_bytes([0, i0, i1, i2]);
    Some(Video {
        encoder: u16::from_be_bytes([e0, e1]),
        built: (
            (built >> 9).checked_add(2000)?,
            u8::try_from((built >> 5) & 15).ok()?,
            u8::try_from(built & 31).ok()?,
        ),
        size: (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])),
        interval: interval >> 1,
        fixed_rate: interval & 1 == 1,
    })
}

fn audio(body: &[u8]) -> Option<Audio> {
    let [f0, f1, flags, s0, s1, s2, b0, b1, b2, _] = <[u8; 10]>::try_from(body).ok()?;
    Some(Audio {
        frame_bytes: u16::from_be_bytes([f0, f1]),
        channels: (flags & 1).checked_add(1)?,
        sample_rate: u32::from_be_bytes([0, s0, s1, s2]) >> 2,
        bit_rate: u32::from_be_bytes([0, b0, b1, b2]) >> 2,
    })
}

fn clip(body: &[u8]) -> Option<Clip> {
    let [x0, x1, y0, y1, w0, w1, h0, h1, _, _] = <[u8; 10]>::try_from(body).ok()?;
    Some(Clip {
        origin: (u16::from_be_bytes([x0, x1]), u16::from_be_bytes([y0 & 0x7F, y1])),
        size: (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])),
    })
}

fn stream(body: &[u8]) -> Option<StreamInfo> {
    let [video, audio, n0, n1, n2, n3, ..] = <[u8; 10]>::try_from(body).ok()?;
    Some(StreamInfo { video, audio, frame: u32::from_be_bytes([n0, n1, n2, n3]) })
}

fn timing(body: &[u8]) -> Option<Timing> {
    let [_, _, u0, u1, u2, u3, _, _, width, height] = <[u8; 10]>::try_from(body).ok()?;
    let units_in_tick = u32::from_be_bytes([u0, u1, u2, u3]);
    Some(Timing { units_in_tick, size_eighths: (width, height) })
}

/// What a map says of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapFacts {
    /// Whole second of the recorder's clock, milliseconds, and the date's six bytes relative to the map.
    pub time: Option<(CivilTime, u16, Range<usize>)>,
    /// Encryption type of the basic descriptor, 0 without one.
    pub encryption: u8,
    /// Whether the encryption descriptor is there.
    pub has_encryption_descriptor: bool,
    /// Stream type of the first video stream.
    pub video: Option<u8>,
    /// Stream type of the first audio stream.
    pub audio: Option<u8>,
    /// Coded picture size.
    pub size: Option<(u16, u16)>,
    /// Frames a second, rounded.
    pub rate: Option<u8>,
    /// Sampling of the sound.
    pub audio_format: Option<AudioFormat>,
    /// Whether a descriptor is the vendor's beyond doubt: it carries the company's mark.
    pub is_vendor: bool,
}

/// Gathers what a map says; `bytes` are the map's, from its start code on.
pub fn map_facts(map: &ProgramMap, bytes: &[u8]) -> MapFacts {
    let mut facts = MapFacts::default();
    let first = |ids: std::ops::RangeInclusive<u8>| {
        map.streams.iter().find(|stream| ids.contains(&stream.stream_id))
    };
    facts.video = first(0xE0..=0xEF).map(|stream| stream.stream_type);
    facts.audio = first(0xC0..=0xDF).map(|stream| stream.stream_type);
    let ranges = map.streams.iter().map(|stream| stream.info.clone());
    for range in std::iter::once(map.info.clone()).chain(ranges) {
        for descriptor in descriptors(bytes, range) {
            let body = bytes.get(descriptor.body.clone()).unwrap_or(&[]);
            if let Some(parsed) = parse(descriptor.tag, body) {
                facts.take(parsed, &descriptor);
            }
        }
    }
    facts
}

impl MapFacts {
    /// Takes in a descriptor; of several of a kind, the first one that says something counts.
    fn take(&mut self, parsed: Parsed, descriptor: &Descriptor) {
        match parsed {
            Parsed::Basic(basic) => {
                if !self.is_vendor {
                    self.encryption = basic.encryption;
                }
                self.is_vendor = true;
                let start = descriptor.body.start;
                let date = start.saturating_add(DATE.start)..start.saturating_add(DATE.end);
                let time = basic.second.map(|second| (second, basic.millisecond, date));
                self.time = self.time.take().or(time);
            }
            Parsed::Device => self.is_vendor = true,
            Parsed::Video(video) => {
                let (width, height) = video.size;
                let sane = |side: &u16| (16..=16_384).contains(side);
                let size = (sane(&width) && sane(&height)).then_some(video.size);
                self.size = self.size.or(size);
                self.rate = frames_a_second(video.interval).or(self.rate);
            }
            Parsed::Audio(audio) => {
                let sample_rate =
                    Some(audio.sample_rate).filter(|rate| (4000..=192_000).contains(rate));
                let format = AudioFormat { sample_rate, channels: audio.channels };
                self.audio_format.get_or_insert(format);
            }
            Parsed::Stream(stream) => {
                self.video = self.video.or(Some(stream.video).filter(|kind| *kind != 0));
                self.audio = self.audio.or(Some(stream.audio).filter(|kind| *kind != 0));
            }
            Parsed::Timing(timing) => {
                let interval = timing.units_in_tick.saturating_mul(2);
                self.rate = self.rate.or_else(|| frames_a_second(interval));
            }
            Parsed::Encryption => self.has_encryption_descriptor = true,
            Parsed::Clip(_) => {}
        }
    }
}

/// Frames a second of a 90 kHz interval, rounded; `None` when that is no rate of a camera.
pub fn frames_a_second(interval: u32) -> Option<u8> {
    let rate = TICKS_PER_SECOND.checked_add(interval / 2)?.checked_div(interval)?;
    u8::try_from(rate).ok().filter(|rate| (1..=240).contains(rate))
}

/// Kind of a private packet (stream BDh) by the type in its header; `None` when it has no such header.
pub fn private_kind(payload: &[u8]) -> Option<&'static str> {
    let [t0, t1, l0, l1, ..] = *payload.first_chunk::<12>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1])).checked_mul(4)?.checked_add(4)?;
    (length <= payload.len()).then_some(())?;
    Some(match u16::from_be_bytes([t0, t1]) {
        0x0001 => "basic info",
        0x0002 => "codec info",
        0x0003 => "video analysis",
        0x0005 => "alarm input",
        0x0007 => "overlay text",
        0x0008 => "motion detection",
        0x0009 => "data of type 0009",
        0x0802 => "vehicle data",
        0x1002 => "smart-search index",
        0x4000 => "encryption info",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use daleel_media::ps::{UnitAt, UnitKind, unit_at};
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// The map of a real camera, 2022.
    const REAL: [u8; 96] = hex!(
        "000001bc005af6ff0024400e484b010016ce046b749700ffffff4112484b000102030405060708090a0b0c0d"
        "0e0f002c24e00028420e071010ea0a2007981110c0002329440a0000800000000000ffff2a0a7fff000008ca"
        "1ffe44f3b18c5ff8"
    );

    fn facts_of(bytes: &[u8]) -> MapFacts {
        let UnitAt::Unit(unit) = unit_at(bytes, true) else { panic!("no unit") };
        let UnitKind::Map(map) = unit.kind else { panic!("no map") };
        map_facts(&map, bytes)
    }

    /// T-1: the date of a real stream, milliseconds included, and where its bytes are.
    #[test]
    fn facts_of_a_real_map() {
        let second = CivilTime::from_parts(2022, 12, 28, 1, 6, 45).unwrap();
        let expected = MapFacts {
            time: Some((second, 658, 16..22)),
            encryption: 7,
            has_encryption_descriptor: false,
            video: Some(0x24),
            audio: None,
            size: Some((2592, 1944)),
            rate: Some(20),
            audio_format: None,
            is_vendor: true,
        };
        assert_eq!(facts_of(&REAL), expected);
        assert_eq!(REAL[16..22], hex!("16ce046b7497"));
    }

    #[test]
    fn descriptors_of_a_real_map() {
        let Some(Parsed::Video(video)) = parse(VIDEO, &REAL[54..68]) else { panic!() };
        assert_eq!((video.encoder, video.built), (0x0710, (2008, 7, 10)));
        assert_eq!((video.interval, video.fixed_rate), (4500, true));
        let Some(Parsed::Timing(timing)) = parse(TIMING, &REAL[82..92]) else { panic!() };
        assert_eq!((timing.units_in_tick, timing.size_eighths), (2250, (0x44, 0xF3)));
        let clip = Clip { origin: (0, 0), size: (0, 0) };
        assert_eq!(parse(CLIP, &REAL[70..80]), Some(Parsed::Clip(clip)));
        assert_eq!(parse(DEVICE, &REAL[28..46]), Some(Parsed::Device));
        let Some(Parsed::Basic(basic)) = parse(BASIC, &REAL[12..26]) else { panic!() };
        assert_eq!((basic.version, basic.camera), (0x0100, 0));
    }

    /// Rates of 22 bits over three bytes.
    #[test]
    fn sampling_of_sound() {
        let body = hex!("0140 fe 007d03 03e803 ff");
        let expected = Audio { frame_bytes: 320, channels: 1, sample_rate: 8000, bit_rate: 64_000 };
        assert_eq!(parse(AUDIO, &body), Some(Parsed::Audio(expected)));
    }

    /// T-3: an impossible date is none; the encryption type beside it is still read.
    #[test]
    fn an_impossible_date_is_none() {
        let mut map = REAL;
        map[17] = 0xDE; // month 13
        let facts = facts_of(&map);
        assert_eq!((facts.time, facts.encryption), (None, 7));
        let mut map = REAL;
        map[20] |= 0x1F; // more than 999 ms
        assert_eq!(facts_of(&map).time, None);
    }

    #[test]
    fn rates_are_rounded() {
        assert_eq!(frames_a_second(3003), Some(30));
        assert_eq!(frames_a_second(3600), Some(25));
        assert_eq!((frames_a_second(0), frames_a_second(1)), (None, None));
    }

    #[test]
    fn private_packets_have_their_names() {
        let packet = hex!("4000 0002 0001 810000ff0000");
        assert_eq!(private_kind(&packet), Some("encryption info"));
        assert_eq!(private_kind(&packet[..11]), None);
        assert_eq!(private_kind(&hex!("4000 0003 0001 810000ff0000")), None);
        assert_eq!(private_kind(&hex!("5555 0002 0001 810000ff0000")), None);
    }

    proptest! {
        /// S-9.
        #[test]
        fn no_body_panics(tag in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(tag, &body);
            let _ = private_kind(&body);
        }

        #[test]
        fn no_map_panics(at in 6usize..96, value in any::<u8>()) {
            let mut map = REAL;
            map[at] = value;
            if let UnitAt::Unit(unit) = unit_at(&map, true)
                && let UnitKind::Map(parsed) = unit.kind
            {
                let facts = map_facts(&parsed, &map);
                prop_assert!(facts.time.is_none_or(|(_, ms, at)| ms < 1000 && at.end <= 96));
            }
        }
    }
}
