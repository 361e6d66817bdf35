//! The tag area of a DHAV unit: identifiers with implicit lengths.
//!
//! Facts: `docs/formats/dahua.md` section 3.2. Lengths are not stored, so a tag that is not known makes the rest of the area
//! opaque; the payload is found by the header's tag length, never by the tags. Tag 84h is 4 bytes by one source
//! and 8 by another: the reading under which the rest of the area parses is taken.

use daleel_core::Evidence;
use nom::{
    IResult, Parser,
    bytes::complete::take,
    number::complete::{le_u16, u8 as byte},
};

/// A tag with its bytes, the identifier included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Offset in the tag area.
    pub offset: usize,
    /// Identifier.
    pub id: u8,
    /// All bytes of the tag.
    pub bytes: &'a [u8],
}

/// A parsed tag area.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a> {
    /// The tags in order.
    pub tags: Vec<Tag<'a>>,
    /// What could not be taken apart: a tag of unknown length and all that follows.
    pub opaque: Option<Tag<'a>>,
}

/// Total length of a tag, identifier included; `None` when it is not fixed or not known.
pub const fn tag_length(id: u8, long_84: bool) -> Option<usize> {
    match id {
        0x80 | 0x81 | 0x83 | 0x85 | 0x89 | 0x8B | 0x94 | 0x96 | 0x98 | 0xA0 | 0xB2 | 0xB4 => {
            Some(4)
        }
        0x82 | 0x88 | 0x8A | 0x8C | 0x90..=0x93 | 0x95 | 0x9A | 0x9B | 0xB3 => Some(8),
        0x84 if long_84 => Some(8),
        0x84 => Some(4),
        _ => None,
    }
}

impl<'a> Tags<'a> {
    /// Takes a tag area apart.
    pub fn parse(area: &'a [u8]) -> Self {
        let short = Self::parse_as(area, false);
        if short.opaque.is_some() && short.find(0x84).is_some() {
            let long = Self::parse_as(area, true);
            if long.opaque.is_none() {
                return long;
            }
        }
        short
    }

    fn parse_as(area: &'a [u8], long_84: bool) -> Self {
        let mut tags = Self::default();
        let mut rest = area;
        while let Some(&id) = rest.first() {
            let offset = area.len().saturating_sub(rest.len());
            let taken: Option<IResult<&[u8], &[u8]>> =
                tag_length(id, long_84).map(|length| take(length).parse(rest));
            match taken {
                Some(Ok((behind, bytes))) => {
                    tags.tags.push(Tag { offset, id, bytes });
                    rest = behind;
                }
                _ => {
                    tags.opaque = Some(Tag { offset, id, bytes: rest });
                    break;
                }
            }
        }
        tags
    }

    /// The first tag with an identifier.
    pub fn find(&self, id: u8) -> Option<&Tag<'a>> {
        self.tags.iter().find(|tag| tag.id == id)
    }

    /// Picture size: tag 82h in pixels, otherwise tag 80h in units of eight. Sizes outside 8 to 16384 are unset.
    pub fn size(&self) -> Option<(u16, u16)> {
        let large = self.find(0x82).and_then(|tag| fields(tag, (take(4usize), le_u16, le_u16)));
        let small = || {
            let (_, width, height) =
                self.find(0x80).and_then(|tag| fields(tag, (take(2usize), byte, byte)))?;
            Some((u16::from(width).checked_mul(8)?, u16::from(height).checked_mul(8)?))
        };
        let size = large.map(|(_, width, height)| (width, height)).or_else(small)?;
        let sane = |value: u16| (8..=16384).contains(&value);
        (sane(size.0) && sane(size.1)).then_some(size)
    }

    /// Tag 81h: `(key frame interval, codec number, frames per second)`; 0 means unknown in the first and last.
    pub fn playback(&self) -> Option<(u8, u8, u8)> {
        fields(self.find(0x81)?, (take(1usize), byte, byte, byte))
            .map(|(_, interval, codec, rate)| (interval, codec, rate))
    }

    /// Tags 83h and 8Ch: `(channels, codec number, sample rate index)`.
    pub fn audio(&self) -> Option<(u8, u8, u8)> {
        let plain = self.find(0x83).and_then(|tag| fields(tag, (take(1usize), byte, byte, byte)));
        let extended = || fields(self.find(0x8C)?, (take(2usize), byte, byte, byte));
        plain.or_else(extended).map(|(_, channels, codec, rate)| (channels, codec, rate))
    }

    /// The tag that says that payload is encrypted, if there is one (section 3.4).
    pub fn encryption(&self) -> Option<u8> {
        let ids = self.tags.iter().chain(&self.opaque).map(|tag| tag.id);
        ids.into_iter().find(|id| matches!(id, 0x89 | 0x95 | 0xB0 | 0xB3 | 0xB5))
    }
}

/// Applies a sequence of parsers to a tag's bytes.
fn fields<'a, P, O>(tag: &Tag<'a>, mut parser: P) -> Option<O>
where
    P: Parser<&'a [u8], Output = O, Error = nom::error::Error<&'a [u8]>>,
{
    parser.parse(tag.bytes).ok().map(|(_, out)| out)
}

/// What a tag is called.
pub const fn tag_name(id: u8) -> &'static str {
    match id {
        0x80 => "picture size / 8",
        0x81 => "playback: key frame interval, codec, frame rate",
        0x82 => "picture size",
        0x83 => "audio: channels, codec, sample rate",
        0x84 => "smart extension",
        0x85 => "correction",
        0x88 => "payload check (watermark)",
        0x89 => "data encryption",
        0x8A => "fractional frame rate",
        0x8B => "rotation",
        0x8C => "extended audio",
        0x90 => "metadata sub-frame length",
        0x91 => "image optimisation",
        0x92 => "stream manufacturer",
        0x93 => "defog flag",
        0x94 => "temporal layers (SVC-T)",
        0x95 => "frame encryption",
        0x96 => "audio channel",
        0x97 => "picture regrouping",
        0x98 => "data alignment",
        0x99 => "mosaic",
        0x9A => "fisheye",
        0x9B => "aspect ratio",
        0x9C => "digital signature",
        0xA0 => "absolute milliseconds",
        0xA1 => "network transport flag",
        0xB0 => "recording encryption",
        0xB1 => "overlay text",
        0xB2 => "decode reference offset",
        0xB3 => "encryption key check",
        0xB4 => "multi-sensor stitching",
        0xB5 => "stream encryption",
        _ => "unknown tag",
    }
}

/// How well a tag's length and meaning are known (section 3.2).
pub const fn tag_evidence(id: u8) -> Evidence {
    match id {
        0x80..=0x83 | 0x85 | 0x88 | 0x8B | 0x8C | 0x91..=0x96 | 0x9A | 0x9B | 0xB2..=0xB4 => {
            Evidence::Confirmed
        }
        0x89 | 0x8A | 0x90 | 0x97..=0x99 | 0x9C | 0xA0 | 0xA1 | 0xB0 | 0xB1 | 0xB5 => {
            Evidence::SingleSource
        }
        // 84h: two sources give two lengths.
        _ => Evidence::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// Tags of a real key frame (a 250 GB disk formatted 2018).
    #[test]
    fn real_key_frame_tags() {
        let area = hex!("80007448 811a0819 88df66e63b000000 94020000");
        let tags = Tags::parse(&area);
        assert_eq!(tags.opaque, None);
        assert_eq!(tags.size(), Some((928, 576)));
        assert_eq!(tags.playback(), Some((0x1a, 8, 25)));
        assert_eq!(tags.encryption(), None);
    }

    #[test]
    fn tag_84_is_read_in_the_length_that_fits() {
        let short = Tags::parse(&hex!("84010203 81191904"));
        assert_eq!((short.tags.len(), short.opaque), (2, None));
        let long = Tags::parse(&hex!("8401020304050607 81190419"));
        assert_eq!((long.tags.len(), long.opaque), (2, None));
        assert_eq!(long.playback(), Some((0x19, 4, 25)));
    }

    #[test]
    fn an_unknown_tag_makes_the_rest_opaque() {
        let tags = Tags::parse(&hex!("81190419 7f010203 83010e02"));
        assert_eq!(tags.tags.len(), 1);
        assert_eq!(tags.opaque.unwrap().offset, 4);
        assert_eq!(tags.audio(), None);
    }

    proptest! {
        #[test]
        fn any_area_is_covered_once(area in prop::collection::vec(any::<u8>(), 0..255)) {
            let tags = Tags::parse(&area);
            let bytes = tags.tags.iter().chain(&tags.opaque).map(|t| t.bytes.len()).sum::<usize>();
            prop_assert_eq!(bytes, area.len());
            let _ = (tags.size(), tags.playback(), tags.audio(), tags.encryption());
        }
    }
}
