//! The parameter sets of one stream: what a decoder must know before the first picture.
//!
//! H.264: sequence and picture parameter sets. H.265: video, sequence and picture parameter sets. MPEG-4 part 2:
//! the headers before the first picture. JPEG: the frame header, which states the picture size.

use std::{collections::BTreeMap, ops::Range};

use daleel_core::Codec;

use crate::{annexb, h264, h265, jpeg, mpeg4};

/// Most sets that are kept; a stream uses a handful.
pub const MAX_SETS: usize = 64;
/// Longest set that is kept, in bytes.
pub const MAX_SET_BYTES: usize = 16 * 1024;

/// What an access unit or a NAL unit does to the parameter sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Nothing: no parameter set, or one that is known already.
    None,
    /// A set whose number was not there before.
    New,
    /// A set with other bytes than the one of the same number before it.
    Replaced,
}

/// Size of a picture in luma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureSize {
    /// Width that is shown: cropped.
    pub width: u32,
    /// Height that is shown: cropped.
    pub height: u32,
    /// Width that is coded: whole blocks.
    pub coded_width: u32,
    /// Height that is coded: whole blocks.
    pub coded_height: u32,
}

impl PictureSize {
    /// `crop` is left, right, top, bottom in `units` of luma samples. `None` when nothing is left, or more than a
    /// sample entry can say (65 535).
    pub(crate) fn cropped(coded: (u32, u32), crop: [u32; 4], units: (u32, u32)) -> Option<Self> {
        let [left, right, top, bottom] = crop;
        let across = left.checked_add(right)?.checked_mul(units.0)?;
        let down = top.checked_add(bottom)?.checked_mul(units.1)?;
        let width = coded.0.checked_sub(across)?;
        let height = coded.1.checked_sub(down)?;
        let fits = |side: u32| (1..=u32::from(u16::MAX)).contains(&side);
        (fits(width) && fits(height)).then_some(Self {
            width,
            height,
            coded_width: coded.0,
            coded_height: coded.1,
        })
    }

    const fn whole((width, height): (u32, u32)) -> Self {
        Self { width, height, coded_width: width, coded_height: height }
    }
}

/// The parameter sets of one stream, the newest of each number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    codec: Codec,
    sets: BTreeMap<SetKey, Vec<u8>>,
    /// The set that gave the size.
    size_from: Option<SetKey>,
    size: Option<PictureSize>,
    replaced: bool,
}

/// `nal_unit_type` and the set's own number; (0, 0) for codecs with one configuration.
type SetKey = (u8, u16);

const CONFIGURATION: SetKey = (0, 0);

impl ParameterSets {
    /// None yet, for a stream of `codec`. Codecs without parameter sets never have any.
    pub const fn new(codec: Codec) -> Self {
        Self { codec, sets: BTreeMap::new(), size_from: None, size: None, replaced: false }
    }

    /// Coding of the stream.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// What [`observe`](Self::observe) would give, without taking the set in.
    pub fn check(&self, unit: &[u8]) -> Change {
        set_in(self.codec, unit).map_or(Change::None, |(key, bytes)| self.change(key, bytes))
    }

    /// Takes in one NAL unit (H.264, H.265) or one whole payload (MPEG-4, JPEG). Sets beyond [`MAX_SETS`], longer than
    /// [`MAX_SET_BYTES`] or without a readable number are not taken in and give [`Change::None`].
    pub fn observe(&mut self, unit: &[u8]) -> Change {
        let Some((key, bytes)) = set_in(self.codec, unit) else { return Change::None };
        let change = self.change(key, bytes);
        if change == Change::None {
            return change;
        }
        if let Some(size) = size_of(self.codec, key, bytes) {
            self.size = Some(size);
            self.size_from = Some(key);
        } else if self.size_from == Some(key) {
            self.size = None;
            self.size_from = None;
        }
        self.replaced |= change == Change::Replaced;
        self.sets.insert(key, bytes.to_vec());
        change
    }

    /// What [`observe_unit`](Self::observe_unit) would give, without taking the sets in.
    pub fn check_unit(&self, payload: &[u8]) -> Change {
        units(self.codec, payload).map(|unit| self.check(unit)).max().unwrap_or(Change::None)
    }

    /// Takes in the parameter sets of a whole access unit: the NAL units before its first slice, or the payload of
    /// MPEG-4 and JPEG. The strongest change counts.
    pub fn observe_unit(&mut self, payload: &[u8]) -> Change {
        let changes = units(self.codec, payload).map(|unit| self.observe(unit));
        changes.max().unwrap_or(Change::None)
    }

    /// Whether a decoder can be set up: all kinds of sets are there and the picture size is known.
    pub fn is_complete(&self) -> bool {
        let kinds: &[u8] = match self.codec {
            Codec::H264 => &[h264::SPS, h264::PPS],
            Codec::H265 => &[h265::VPS, h265::SPS, h265::PPS],
            Codec::Mpeg4 | Codec::Mjpeg => &[CONFIGURATION.0],
            _ => return false,
        };
        self.size.is_some() && kinds.iter().all(|&kind| self.of_kind(kind).next().is_some())
    }

    /// Width and height that are shown, from the sequence parameter set taken in last.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.size.map(|size| (size.width, size.height))
    }

    /// Shown and coded picture size.
    pub const fn picture_size(&self) -> Option<PictureSize> {
        self.size
    }

    /// A new clip begins with the sets as they are: forgets that some were replaced.
    pub const fn begin_clip(&mut self) {
        self.replaced = false;
    }

    /// True once a set was replaced by another one of the same number, since the start or
    /// [`begin_clip`](Self::begin_clip).
    pub const fn was_replaced(&self) -> bool {
        self.replaced
    }

    /// Bytes that are equal exactly when the sets are: kind, number, length and bytes of each, in order.
    pub fn identity(&self) -> Vec<u8> {
        let mut identity = self.codec.as_str().as_bytes().to_vec();
        for ((kind, number), bytes) in &self.sets {
            identity.push(*kind);
            identity.extend_from_slice(&number.to_be_bytes());
            identity
                .extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            identity.extend_from_slice(bytes);
        }
        identity
    }

    /// The sets of a NAL unit type, by number.
    pub fn of_kind(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        let all: Range<SetKey> = (kind, 0)..(kind.saturating_add(1), 0);
        self.sets.range(all).map(|(_, bytes)| bytes.as_slice())
    }

    /// The one configuration of MPEG-4 (headers) and JPEG (frame header).
    pub fn configuration(&self) -> Option<&[u8]> {
        self.sets.get(&CONFIGURATION).map(Vec::as_slice)
    }

    /// The sequence parameter set that gave the size.
    pub fn active_sequence(&self) -> Option<&[u8]> {
        self.sets.get(&self.size_from?).map(Vec::as_slice)
    }

    fn change(&self, key: SetKey, bytes: &[u8]) -> Change {
        match self.sets.get(&key) {
            Some(known) if known == bytes => Change::None,
            _ if bytes.len() > MAX_SET_BYTES => Change::None,
            Some(_) => Change::Replaced,
            None if self.sets.len() >= MAX_SETS => Change::None,
            None => Change::New,
        }
    }
}

/// Whether decoding can start at this access unit: IDR (H.264), intra random access point (H.265), intra picture
/// (MPEG-4), every JPEG picture. `None` when it holds no picture of the codec.
pub fn is_key(codec: Codec, payload: &[u8]) -> Option<bool> {
    let first_slice = |is_slice: fn(&[u8]) -> bool| {
        let mut nals = annexb::nal_units(payload);
        while let Some(rest) = nals.peek() {
            if is_slice(rest) {
                return Some(rest);
            }
            nals.next()?;
        }
        None
    };
    match codec {
        Codec::H264 => first_slice(h264::is_slice).map(h264::is_idr),
        Codec::H265 => first_slice(h265::is_slice).map(h265::is_irap),
        Codec::Mpeg4 => mpeg4::is_intra(payload),
        Codec::Mjpeg => jpeg::frame_header(payload).map(|_| true),
        _ => None,
    }
}

/// The NAL units before the first slice, or the whole payload once.
fn units(codec: Codec, payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_slice: fn(&[u8]) -> bool = match codec {
        Codec::H264 => h264::is_slice,
        _ => h265::is_slice,
    };
    let by_nal = matches!(codec, Codec::H264 | Codec::H265);
    let mut nals = annexb::nal_units(if by_nal { payload } else { &[] });
    let before_slice = std::iter::from_fn(move || {
        // The end of the slice is not looked for: it is most of the payload.
        nals.peek().filter(|rest| !is_slice(rest))?;
        nals.next_unit()
    });
    before_slice.chain((!by_nal).then_some(payload))
}

fn set_in(codec: Codec, unit: &[u8]) -> Option<(SetKey, &[u8])> {
    match codec {
        Codec::H264 => Some(((h264::nal_unit_type(unit)?, h264::parameter_set_id(unit)?), unit)),
        Codec::H265 => Some(((h265::nal_unit_type(unit)?, h265::parameter_set_id(unit)?), unit)),
        Codec::Mpeg4 => Some((CONFIGURATION, mpeg4::configuration(unit)?)),
        Codec::Mjpeg => Some((CONFIGURATION, jpeg::frame_header(unit)?)),
        _ => None,
    }
}

fn size_of(codec: Codec, key: SetKey, bytes: &[u8]) -> Option<PictureSize> {
    match (codec, key.0) {
        (Codec::H264, h264::SPS) => h264::Sps::parse(bytes).map(|sps| sps.size),
        (Codec::H265, h265::SPS) => h265::Sps::parse(bytes).map(|sps| sps.size),
        (Codec::Mpeg4, _) => mpeg4::size(bytes).map(PictureSize::whole),
        (Codec::Mjpeg, _) => jpeg::size(bytes).map(PictureSize::whole),
        _ => None,
    }
}
