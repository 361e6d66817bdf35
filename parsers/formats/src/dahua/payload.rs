//! What the payload of a DHAV unit is: codec numbers, sniffing, and the reading of tag A0h.
//!
//! Facts: `docs/formats/dahua.md` section 3.2 (codec numbers of the vendor SDK). Two of them are known to be wrong in the field:
//! 3 and 5 are used for JPEG and for others, 26 for AAC and for G.711; those are settled by the payload.

use daleel_core::Codec;

use super::{tags::Tags, unit::Header};

/// True when bytes begin with an Annex B start code, zero bytes in front of it included (clause B.1).
pub fn has_start_code(payload: &[u8]) -> bool {
    first_nal_byte(payload).is_some()
}

fn is_jpeg(payload: &[u8]) -> bool {
    payload.starts_with(&[0xFF, 0xD8])
}

/// The first byte behind a start code.
fn first_nal_byte(payload: &[u8]) -> Option<u8> {
    let zeros = payload.iter().take_while(|byte| **byte == 0).count();
    if zeros < 2 || payload.get(zeros) != Some(&1) {
        return None;
    }
    payload.get(zeros.checked_add(1)?).copied()
}

/// Codec of a video unit: what tag 81h says, unless the payload shows another; without a tag the payload, then the codec
/// that the channel had before.
pub fn video_codec(
    header: &Header,
    tags: &Tags<'_>,
    payload: &[u8],
    before: Option<&Codec>,
) -> Codec {
    let stated = tags.playback().map(|(_, codec, _)| match codec {
        1 => Codec::Mpeg4,
        2 | 4 | 8 => Codec::H264,
        3 | 5 if is_jpeg(payload) => Codec::Mjpeg,
        3 => Codec::Mpeg4,
        5 => Codec::Other("jpeg without a JPEG header"),
        6 => Codec::Other("jpeg2000"),
        7 => Codec::Other("avs"),
        9 => Codec::Other("mpeg2"),
        10 => Codec::Other("vnc"),
        11 => Codec::Other("svac"),
        12 => Codec::H265,
        _ => Codec::Unknown,
    });
    let shown = if is_jpeg(payload) {
        Some(Codec::Mjpeg)
    } else if header.kind == 0xFD {
        key_frame_codec(payload)
    } else {
        None
    };
    match (stated, shown) {
        (Some(Codec::Unknown) | None, shown) => shown.or(before.copied()).unwrap_or(Codec::Unknown),
        // A still picture may lie in a unit whose tag describes the video beside it.
        (Some(_), Some(Codec::Mjpeg)) => Codec::Mjpeg,
        (Some(Codec::H264 | Codec::H265), Some(shown)) => shown,
        // What the channel's key frame showed holds for the pictures that refer to it.
        (Some(Codec::H264 | Codec::H265), None) if header.kind != 0xFD => match before {
            Some(before @ (Codec::H264 | Codec::H265)) => *before,
            _ => stated.unwrap_or(Codec::Unknown),
        },
        (Some(stated), _) => stated,
    }
}

/// What the first NAL unit of a key frame shows: a sequence parameter set of H.264 (type 7, forbidden bit clear, reference
/// bits set) or a video parameter set of H.265 (40 01). Anything else says nothing.
fn key_frame_codec(payload: &[u8]) -> Option<Codec> {
    match first_nal_byte(payload)? {
        0x27 | 0x47 | 0x67 => Some(Codec::H264),
        0x40 => Some(Codec::H265),
        _ => None,
    }
}

/// Codec of an audio unit.
pub fn audio_codec(tags: &Tags<'_>, payload: &[u8]) -> Codec {
    let is_adts = matches!(payload, [0xFF, 0xF1 | 0xF9, ..]);
    let Some((_, codec, _)) = tags.audio() else {
        return if is_adts { Codec::AacAdts } else { Codec::Unknown };
    };
    match codec {
        7 => Codec::Pcm8,
        8 => Codec::Other("g729"),
        9 => Codec::Other("ima-adpcm"),
        10 | 22 => Codec::G711U,
        11 => Codec::Other("g721"),
        12 => Codec::Other("pcm8-vwis"),
        13 => Codec::Other("ms-adpcm"),
        14 => Codec::G711A,
        15 => Codec::Other("amr"),
        16 => Codec::Pcm16,
        25 => Codec::Other("g723"),
        26 if is_adts => Codec::AacAdts,
        26 => Codec::Other("aac stated, payload is not ADTS"),
        27..=30 => Codec::Other("g726"),
        31 => Codec::Other("mp2"),
        32 => Codec::Other("vorbis"),
        33 => Codec::Other("mp3"),
        34 => Codec::Other("g722.1"),
        38 => Codec::Other("opus"),
        _ => Codec::Unknown,
    }
}

/// Sample rates by index (section 3.2).
pub const fn sample_rate(index: u8) -> Option<u32> {
    Some(match index {
        0 | 2 => 8000,
        1 => 4000,
        3 => 11025,
        4 => 16000,
        5 => 20000,
        6 => 22050,
        7 => 32000,
        8 => 44100,
        9 => 48000,
        10 => 96000,
        11 => 192_000,
        12 => 64000,
        _ => return None,
    })
}

/// Tag 88h against its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// 0 weighted sum, 2 CRC-32.
    pub kind: u8,
    /// As stored.
    pub stored: u32,
    /// Over the payload.
    pub computed: u32,
}

impl Check {
    /// True when both are the same. Neither proves anything by itself: the algorithms are known from one source.
    pub const fn holds(&self) -> bool {
        self.stored == self.computed
    }
}

/// The payload check of a unit; `None` without tag 88h or with a kind whose algorithm is not known (section 3.4).
pub fn check(tags: &Tags<'_>, payload: &[u8]) -> Option<Check> {
    let [_, s0, s1, s2, s3, _, _, kind] = *tags.find(0x88)?.bytes.first_chunk::<8>()?;
    let computed = match kind {
        0 => weighted_sum(payload),
        2 => CRC.checksum(payload),
        _ => return None,
    };
    Some(Check { kind, stored: u32::from_le_bytes([s0, s1, s2, s3]), computed })
}

static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Sum of the bytes as little-endian 32-bit words, wrapping; a last word is filled up with zeros.
fn weighted_sum(payload: &[u8]) -> u32 {
    let (words, rest) = payload.as_chunks::<4>();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    words
        .iter()
        .chain(std::iter::once(&last))
        .fold(0u32, |sum, word| sum.wrapping_add(u32::from_le_bytes(*word)))
}

/// Tag A0h: milliseconds within the second. Its three value bytes are not described; the two places a 16-bit value can have are
/// both followed, and the one that keeps step with the millisecond counter is used. Until one has, nothing is.
#[derive(Debug, Default)]
pub struct AbsoluteMilliseconds {
    places: [Place; 2],
}

#[derive(Debug, Default, Clone, Copy)]
struct Place {
    /// Value minus counter, modulo 1000.
    phase: Option<u16>,
    agreed: u32,
    changed: bool,
    last: u16,
}

impl AbsoluteMilliseconds {
    /// How many frames must agree before a place is believed.
    const AGREEMENTS: u32 = 8;

    /// The milliseconds of a unit, if a place of the value is proven.
    pub fn read(&mut self, tag: &[u8], header: &Header) -> Option<u16> {
        let [_, b1, b2, b3] = *tag.first_chunk::<4>()?;
        let values = [u16::from_le_bytes([b1, b2]), u16::from_le_bytes([b2, b3])];
        let mut found = None;
        for (place, value) in self.places.iter_mut().zip(values) {
            place.follow(value, header.milliseconds);
            if found.is_none() && place.is_proven() {
                found = Some(value);
            }
        }
        found
    }
}

impl Place {
    fn follow(&mut self, value: u16, counter: u16) {
        if value >= 1000 {
            self.agreed = 0;
            return;
        }
        // 65536 is no multiple of 1000: the phase moves by 536 at every wrap of the counter, so that a break starts anew.
        let phase =
            value.wrapping_add(1000).wrapping_sub(counter.wrapping_rem(1000)).wrapping_rem(1000);
        let near = |a: u16, b: u16| {
            let apart = a.abs_diff(b);
            apart.min(1000u16.saturating_sub(apart)) <= 1
        };
        match self.phase {
            Some(before) if near(before, phase) => self.agreed = self.agreed.saturating_add(1),
            _ => self.agreed = 0,
        }
        self.changed |= self.phase.is_some() && value != self.last;
        self.phase = Some(phase);
        self.last = value;
    }

    const fn is_proven(&self) -> bool {
        self.changed && self.agreed >= AbsoluteMilliseconds::AGREEMENTS
    }
}
