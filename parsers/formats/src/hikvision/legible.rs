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
    /// It is nothing known: ciphertext, or a vendor's own way of coding.
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

/// What the NAL units of an access unit showed.
#[derive(Default)]
struct Look {
    /// Slices whose headers were read, and such that could not be.
    slices: bool,
    bad_slices: bool,
    /// Parameter sets that were read, and such that could not be.
    sets: bool,
    bad_sets: bool,
    /// A NAL unit header that no recorder writes.
    bad_headers: bool,
    /// A NAL unit of a type that access units are made of.
    usual: bool,
}

impl Look {
    fn set(&mut self, readable: bool) {
        self.sets |= readable;
        self.bad_sets |= !readable;
    }

    /// A slice that reads well outweighs units that are merely unusual: recorders write some odd ones.
    fn conclude(&self, knows_sets: bool) -> Seen {
        match self {
            Self { bad_slices: true, bad_sets: false, .. } => Seen::Unreadable(BAD_SLICE),
            Self { slices: true, bad_slices: false, bad_sets: false, .. } if knows_sets => {
                Seen::Readable { with_sets: self.sets }
            }
            // The two contradict each other: a slice that passes by chance, or an odd set.
            Self { slices: true, bad_slices: false, bad_sets: true, .. } => Seen::Foreign(BAD_SET),
            Self { bad_sets: true, .. } => Seen::Unreadable(BAD_SET),
            Self { bad_headers: true, .. } => Seen::Unreadable(BAD_NAL),
            Self { usual: false, .. } => Seen::Foreign(FOREIGN),
            _ => Seen::Nothing,
        }
    }
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
            Codec::Mjpeg | Codec::Unknown => Seen::Foreign(BAD_PICTURE),
            _ => Seen::Nothing,
        }
    }

    fn nal_units(&mut self, codec: Codec, pieces: &[&[u8]]) -> Seen {
        let mut look = Look::default();
        for piece in pieces {
            let mut units = annexb::nal_units(piece);
            while let Some(unit) = units.next_unit() {
                match codec {
                    Codec::H264 => self.h264(unit, &mut look),
                    _ => self.h265(unit, &mut look),
                }
            }
        }
        look.conclude(!self.sets.is_empty())
    }

    fn h264(&mut self, unit: &[u8], look: &mut Look) {
        let Some(&header) = unit.first() else { return };
        let kind = header & 0x1F;
        let has_reference = header & 0x60 != 0;
        let is_odd = match kind {
            h264::IDR_SLICE | h264::SPS | h264::PPS => !has_reference,
            2..=4 | 16..=18 | 22 | 23 => true,
            // Delimiters and ends hold a byte or none.
            h264::AUD..=11 => unit.len() >= SLICE_MIN,
            _ => false,
        };
        if header & 0x80 != 0 || is_odd {
            look.bad_headers = true;
            return;
        }
        look.usual |= matches!(kind, h264::SLICE | h264::IDR_SLICE..=12);
        match kind {
            h264::SLICE | h264::IDR_SLICE if unit.len() >= SLICE_MIN => {
                self.slice(SliceHead::h264(unit), kind == h264::IDR_SLICE, look);
            }
            h264::SPS => look.set(is_h264_sequence(unit)),
            h264::PPS => self.picture_set(PictureSet::h264(unit), look),
            _ => {}
        }
    }

    fn h265(&mut self, unit: &[u8], look: &mut Look) {
        let &[first, second, ..] = unit else { return };
        let kind = first >> 1;
        // Base layer only; temporal ids are stored plus 1. Types 22 to 31 and 41 to 47 are reserved.
        let is_base = first & 0x81 == 0 && second & 0xF8 == 0 && second != 0;
        if !is_base || matches!(kind, 22..=31 | 41..=47) {
            look.bad_headers = true;
            return;
        }
        look.usual |= kind <= 40;
        match kind {
            0..=21 if unit.len() >= SLICE_MIN => {
                let slice = SliceHead::h265(unit, |id| self.sets.get(&id).copied());
                self.slice(slice, h265::is_irap(unit), look);
            }
            // Sixteen bits that are always set.
            h265::VPS => look.set(unit.get(4..6) == Some(&[0xFF, 0xFF])),
            h265::SPS => look.set(is_h265_sequence(unit)),
            h265::PPS => self.picture_set(PictureSet::h265(unit), look),
            _ => {}
        }
    }

    fn slice(&self, slice: Option<SliceHead>, intra: bool, look: &mut Look) {
        let is_first = !look.slices && !look.bad_slices;
        let fits = slice.is_some_and(|slice| {
            let known = self.sets.is_empty() || self.sets.contains_key(&slice.picture_set);
            let kind = match slice.kind {
                Some(SliceKind::I) | None => true,
                Some(SliceKind::P | SliceKind::B) => !intra,
                Some(SliceKind::Switching) => false,
            };
            let number = !intra || slice.frame_number_head.is_none_or(|head| head == 0);
            known && kind && number && (slice.begins_picture || !is_first)
        });
        look.slices |= fits;
        look.bad_slices |= !fits;
    }

    fn picture_set(&mut self, set: Option<PictureSet>, look: &mut Look) {
        look.bad_sets |= set.is_none();
        if let Some(set) = set
            && self.sets.len() < SETS_MAX
        {
            self.sets.insert(set.id, set.extra_slice_bits);
        }
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
    if begins { Seen::Readable { with_sets: false } } else { Seen::Foreign(BAD_PICTURE) }
}
