//! What the first bytes of an access unit's packets tell: codec, key frame, parameter sets. Nothing is decoded.
//!
//! Facts: ITU-T H.264 clause 7.3.1 and H.265 clause 7.3.1 (NAL unit headers), ISO/IEC 14496-2 clause 6.2.

use daleel_core::Codec;
use daleel_media::{annexb, h264, h265, mpeg4, slice::SliceHead};

/// Bytes of each packet that are kept for judging encryption.
const HEAD_BYTES: usize = 256;
/// Bytes of the first slice that are.
const SLICE_BYTES: usize = 64;
/// Packets of an access unit that are looked at for that.
const PIECES_MAX: usize = 8;

/// The first bytes of an access unit's packets.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    /// Keeps the head of a packet's payload, and that of the picture's first slice (`slice_at` is the start code) where it lies further behind.
    pub fn add(&mut self, payload: &[u8], slice_at: Option<usize>) {
        if self.ends.len() < PIECES_MAX {
            self.keep(payload.get(..HEAD_BYTES).unwrap_or(payload));
        }
        let behind = slice_at.filter(|at| at.saturating_add(SLICE_BYTES) > HEAD_BYTES);
        if let Some(slice) = behind.and_then(|at| payload.get(at..)) {
            self.keep(slice.get(..SLICE_BYTES).unwrap_or(slice));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// The heads, in order.
    pub fn as_slices(&self) -> Vec<&[u8]> {
        let mut from = 0;
        let mut out = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            out.push(self.bytes.get(from..*end).unwrap_or(&[]));
            from = *end;
        }
        out
    }
}

/// A start code without its leading zero byte.
const START_CODE_BYTES: usize = 3;

/// True when a picture begins with this payload: for packets that carry no time stamp to tell.
pub fn begins(codec: Codec, payload: &[u8]) -> bool {
    let starts = annexb::starts_with_start_code(payload);
    let first = || annexb::nal_units(payload).peek();
    match codec {
        Codec::H264 => starts && first().is_some_and(begins_h264),
        Codec::H265 => starts && first().is_some_and(begins_h265),
        Codec::Mpeg4 => mpeg4::is_intra(payload).is_some(),
        Codec::Mjpeg => payload.starts_with(&[0xFF, 0xD8, 0xFF]),
        _ => false,
    }
}

/// ITU-T H.264 clause 7.4.1.2.3: what stands before the first slice of a picture, or that slice.
fn begins_h264(unit: &[u8]) -> bool {
    matches!(h264::nal_unit_type(unit), Some(h264::SEI..=h264::AUD | 14..=18))
        || SliceHead::h264(unit).is_some_and(|slice| slice.begins_picture)
}

/// ITU-T H.265 clause 7.4.2.4.4.
fn begins_h265(unit: &[u8]) -> bool {
    matches!(h265::nal_unit_type(unit), Some(h265::VPS..=35 | 39))
        || SliceHead::h265(unit, |_| None).is_some_and(|slice| slice.begins_picture)
}

/// What a packet shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Where picture data begin in it: the start code.
    pub slice_at: Option<usize>,
    /// The picture can be decoded by itself.
    pub is_key: bool,
    /// Parameter sets stand before it.
    pub has_sets: bool,
}

/// Looks at a packet's payload up to its first slice.
pub fn look(codec: Codec, payload: &[u8]) -> Seen {
    match codec {
        Codec::H264 => nal_units(payload, h264::is_slice, h264::is_idr, h264::is_parameter_set),
        Codec::H265 => nal_units(payload, h265::is_slice, h265::is_irap, h265::is_parameter_set),
        Codec::Mpeg4 => {
            let intra = mpeg4::is_intra(payload);
            Seen {
                slice_at: intra.is_some().then_some(0),
                is_key: intra == Some(true),
                has_sets: false,
            }
        }
        _ => Seen { slice_at: Some(0), is_key: codec == Codec::Mjpeg, has_sets: false },
    }
}

fn nal_units(
    payload: &[u8],
    is_slice: fn(&[u8]) -> bool,
    is_key: fn(&[u8]) -> bool,
    is_set: fn(&[u8]) -> bool,
) -> Seen {
    let mut seen = Seen::default();
    let mut units = annexb::nal_units(payload);
    // A slice is long: its end is not looked for.
    while let Some(unit) = units.peek() {
        if is_slice(unit) {
            let at = payload.len().saturating_sub(unit.len()).saturating_sub(START_CODE_BYTES);
            return Seen { slice_at: Some(at), is_key: is_key(unit), ..seen };
        }
        seen.has_sets |= is_set(unit);
        if units.next().is_none() {
            break;
        }
    }
    seen
}

/// The codec of a stream that does not name it, by the first NAL unit of a picture.
pub fn guess_codec(payload: &[u8]) -> Option<Codec> {
    let unit = annexb::nal_units(payload).peek()?;
    let (first, second) = (*unit.first()?, *unit.get(1)?);
    // H.265: layer 0, temporal layer 0, and a type a recorder writes; H.264: a type it writes with reference bits that fit.
    let is_h265 =
        second == 1 && matches!(first >> 1, 0..=1 | 16..=21 | 32..=35 | 39) && first & 0x81 == 0;
    let is_h264 = first & 0x80 == 0
        && matches!((first & 0x1F, first >> 5), (1, _) | (5..=8, 1..) | (6 | 9, 0));
    match (is_h265, is_h264) {
        (true, _) => Some(Codec::H265),
        (false, true) => Some(Codec::H264),
        (false, false) if payload.starts_with(&[0xFF, 0xD8, 0xFF]) => Some(Codec::Mjpeg),
        (false, false) => None,
    }
}
