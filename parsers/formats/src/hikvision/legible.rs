//! Whether the beginning of an access unit reads as the codec's syntax.
//!
//! Facts: ITU-T H.264 clauses 7.3.1, 7.4.1 and 7.4.3, H.265 clauses 7.3.1.2, 7.3.2.1 and 7.4.2.2, ISO/IEC 14496-2 table 6-3. Ciphers of recorders
//! leave start codes clear, and NAL unit headers mostly (`docs/formats/hikvision.md` section 7.6): what follows a header tells. Sizes of numbers in
//! real footage are known, so random bytes rarely pass.

use std::collections::BTreeMap;

use daleel_core::Codec;
use daleel_media::{
    annexb, h264, h265,
    slice::{PictureSet, SliceHead, SliceKind},
};

/// Shortest slice whose header can be asked for.
const SLICE_MIN: usize = 8;
/// Picture parameter sets that are kept.
const SETS_MAX: usize = 64;

const NO_START_CODE: &str = "a picture does not begin with a start code";
const BAD_NAL: &str = "NAL unit headers are not readable";
const FOREIGN: &str = "no NAL unit is of a type that pictures have";
const BAD_SET: &str = "parameter sets are not readable";
const BAD_SLICE: &str = "slice headers are not readable";
const BAD_PICTURE: &str = "picture headers are not readable";

/// What a look at an access unit gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that could be judged.
    Nothing,
    /// It reads as it should.
    Readable {
        /// Parameter sets were among it.
        with_sets: bool,
    },
    /// Not one NAL unit is of a type that pictures have; a vendor's own units could be that too.
    Foreign(&'static str),
    /// It does not read so.
    Unreadable(&'static str),
}

/// Remembers what later pictures refer to.
#[derive(Debug, Default)]
pub struct Legible {
    codec: Option<Codec>,
    /// Number of a picture parameter set, and H.265's extra bits of slice headers that refer to it.
    sets: BTreeMap<u16, u8>,
}

/// The state of one look.
#[derive(Default)]
struct Look {
    sets: bool,
    slices: bool,
    /// A NAL unit of a type that access units are made of was seen.
    usual: bool,
}

impl Legible {
    /// Looks at the beginnings of an access unit's packets.
    pub fn look(&mut self, codec: Codec, pieces: &[&[u8]]) -> Seen {
        if self.codec != Some(codec) {
            self.codec = Some(codec);
            self.sets.clear();
        }
        let Some(first) = pieces.iter().find(|piece| !piece.is_empty()) else {
            return Seen::Nothing;
        };
        match codec {
            Codec::H264 | Codec::H265 if annexb::starts_with_start_code(first) => {
                self.nal_units(codec, pieces)
            }
            Codec::H264 | Codec::H265 => Seen::Unreadable(NO_START_CODE),
            Codec::Mpeg4 => visual(first),
            Codec::Mjpeg if first.starts_with(&[0xFF, 0xD8, 0xFF]) => {
                Seen::Readable { with_sets: true }
            }
            Codec::Mjpeg => Seen::Unreadable(BAD_PICTURE),
            Codec::Unknown => Seen::Unreadable(BAD_PICTURE),
            _ => Seen::Nothing,
        }
    }

    fn nal_units(&mut self, codec: Codec, pieces: &[&[u8]]) -> Seen {
        let mut look = Look::default();
        for piece in pieces {
            let mut units = annexb::nal_units(piece);
            while let Some(unit) = units.next_unit() {
                let bad = match codec {
                    Codec::H264 => self.h264(unit, &mut look),
                    _ => self.h265(unit, &mut look),
                };
                if let Some(why) = bad {
                    return Seen::Unreadable(why);
                }
            }
        }
        match look {
            Look { slices: true, sets, .. } if !self.sets.is_empty() => {
                Seen::Readable { with_sets: sets }
            }
            Look { slices: false, usual: false, .. } => Seen::Foreign(FOREIGN),
            _ => Seen::Nothing,
        }
    }

    fn h264(&mut self, unit: &[u8], look: &mut Look) -> Option<&'static str> {
        let header = *unit.first()?;
        let kind = header & 0x1F;
        let is_reference = header & 0x60 != 0;
        let fits = match kind {
            h264::IDR_SLICE | h264::SPS | h264::PPS => is_reference,
            h264::SEI | h264::AUD..=12 => !is_reference,
            2..=4 | 16..=18 | 22 | 23 => false,
            _ => true,
        };
        if header & 0x80 != 0 || !fits {
            return Some(BAD_NAL);
        }
        look.usual |= matches!(kind, h264::SLICE | h264::IDR_SLICE..=12);
        match kind {
            h264::SLICE | h264::IDR_SLICE if unit.len() >= SLICE_MIN => {
                let slice = SliceHead::h264(unit);
                let kinds: &[SliceKind] = if kind == h264::IDR_SLICE {
                    &[SliceKind::I]
                } else {
                    &[SliceKind::I, SliceKind::P, SliceKind::B]
                };
                self.slice(slice, kinds, look)
            }
            h264::SPS => self.sequence_set(is_h264_sequence(unit), look),
            h264::PPS => self.picture_set(PictureSet::h264(unit)),
            _ => None,
        }
    }

    fn h265(&mut self, unit: &[u8], look: &mut Look) -> Option<&'static str> {
        let &[first, second, ..] = unit else { return None };
        let kind = first >> 1;
        // Base layer only; temporal ids are stored plus 1. Types 22 to 31 and 41 to 47 are reserved.
        if first & 0x81 != 0 || second & 0xF8 != 0 || second == 0 || matches!(kind, 22..=31 | 41..=47)
        {
            return Some(BAD_NAL);
        }
        look.usual |= kind <= 40;
        match kind {
            0..=21 if unit.len() >= SLICE_MIN => {
                let slice = SliceHead::h265(unit, |id| self.sets.get(&id).copied());
                let kinds: &[SliceKind] = if h265::is_irap(unit) {
                    &[SliceKind::I]
                } else {
                    &[SliceKind::I, SliceKind::P, SliceKind::B]
                };
                self.slice(slice, kinds, look)
            }
            // Sixteen bits that are always set.
            h265::VPS => (unit.get(4..6)? != [0xFF, 0xFF]).then_some(BAD_SET),
            h265::SPS => self.sequence_set(is_h265_sequence(unit), look),
            h265::PPS => self.picture_set(PictureSet::h265(unit)),
            _ => None,
        }
    }

    fn slice(
        &self,
        slice: Option<SliceHead>,
        kinds: &[SliceKind],
        look: &mut Look,
    ) -> Option<&'static str> {
        let Some(slice) = slice else { return Some(BAD_SLICE) };
        let is_first = !std::mem::replace(&mut look.slices, true);
        let known = self.sets.is_empty() || self.sets.contains_key(&slice.picture_set);
        let fits = slice.kind.is_none_or(|kind| kinds.contains(&kind));
        (!fits || !known || (is_first && !slice.begins_picture)).then_some(BAD_SLICE)
    }

    fn sequence_set(&mut self, readable: bool, look: &mut Look) -> Option<&'static str> {
        look.sets |= readable;
        (!readable).then_some(BAD_SET)
    }

    /// Sets behind a sequence set that is not readable are not come to: they may be ciphertext too.
    fn picture_set(&mut self, set: Option<PictureSet>) -> Option<&'static str> {
        let Some(set) = set else { return Some(BAD_SET) };
        if self.sets.len() < SETS_MAX {
            self.sets.insert(set.id, set.extra_slice_bits);
        }
        None
    }
}

/// Profiles and levels that exist, and a size.
fn is_h264_sequence(unit: &[u8]) -> bool {
    h264::Sps::parse(unit).is_some_and(|set| {
        matches!(set.profile_idc, 44 | 66 | 77 | 83 | 86 | 88 | 100 | 110 | 118 | 122 | 128 | 244)
            && set.constraint_flags & 3 == 0
            && matches!(set.level_idc, 9..=13 | 20..=22 | 30..=32 | 40..=42 | 50..=52 | 60..=62)
    })
}

/// Profile space 0, a profile that exists, a level in steps of a tenth, and a size.
fn is_h265_sequence(unit: &[u8]) -> bool {
    h265::Sps::parse(unit).is_some_and(|set| {
        set.profile.profile_space == 0
            && (1..=11).contains(&set.profile.profile_idc)
            && set.profile.level_idc % 3 == 0
            && (30..=186).contains(&set.profile.level_idc)
    })
}

/// MPEG-4 part 2: what a picture may begin with. Visual object sequence, visual object, video object, its layer, group of pictures, picture.
fn visual(first: &[u8]) -> Seen {
    let begins = match first {
        [0, 0, 1, 0xB0, _, 0, 0, 1, ..] | [0, 0, 1, 0xB3 | 0xB5, ..] => true,
        [0, 0, 1, 0x00..=0x1F, 0, 0, 1, ..] => true,
        // One bit, then the type of the object: one of some twenty.
        [0, 0, 1, 0x20..=0x2F, a, b, ..] => (1..=20).contains(&((a & 0x7F) << 1 | b >> 7)),
        // Intra or predicted.
        [0, 0, 1, 0xB6, coding, ..] => coding >> 6 <= 1,
        _ => false,
    };
    if begins { Seen::Readable { with_sets: false } } else { Seen::Unreadable(BAD_PICTURE) }
}
