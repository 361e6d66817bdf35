//! The first fields of slice headers, and of the picture parameter sets they refer to: enough to tell a slice from bytes that only look like
//! one. ITU-T H.264 clauses 7.3.2.2, 7.3.3 and 7.4.3; H.265 clauses 7.3.2.3.1, 7.3.6.1 and 7.4.7.1.

use crate::{bits::BitReader, h264, h265};

/// What a slice may be predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceKind {
    /// One picture.
    P,
    /// Two pictures.
    B,
    /// Its own picture only.
    I,
    /// Switching slices of H.264's extended profile.
    Switching,
}

/// The beginning of a slice header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHead {
    /// Whether it is the first slice of its picture.
    pub begins_picture: bool,
    /// Number of the picture parameter set it refers to.
    pub picture_set: u16,
    /// What it may be predicted from. `None` in H.265 when the set is not known, or the slice is not the first of its picture.
    pub kind: Option<SliceKind>,
    /// The first four bits of H.264's `frame_num`, which has at least as many: 0 in instantaneous refresh pictures. `None` in H.265, and where the
    /// bytes end before them. Streams with separately coded colour planes, of which no recorder is known, have two other bits first.
    pub frame_number_head: Option<u8>,
}

impl SliceHead {
    /// Reads an H.264 slice NAL unit, header byte first; `None` when it is another NAL unit, ends too early, or has an impossible value.
    pub fn h264(nal: &[u8]) -> Option<Self> {
        h264::is_slice(nal).then_some(())?;
        let mut r = BitReader::rbsp(nal.get(1..)?);
        let first_macroblock = r.ue_max(139_263)?;
        let kind = match r.ue_max(9)?.checked_rem(5)? {
            0 => SliceKind::P,
            1 => SliceKind::B,
            2 => SliceKind::I,
            _ => SliceKind::Switching,
        };
        let picture_set = u16::try_from(r.ue_max(255)?).ok()?;
        Some(Self {
            begins_picture: first_macroblock == 0,
            picture_set,
            kind: Some(kind),
            frame_number_head: r.byte(4),
        })
    }

    /// Reads an H.265 slice NAL unit, two header bytes first; `extra_bits` gives [`PictureSet::extra_slice_bits`] of a set by its number.
    /// `None` as for H.264.
    pub fn h265(nal: &[u8], extra_bits: impl FnOnce(u16) -> Option<u8>) -> Option<Self> {
        h265::is_slice(nal).then_some(())?;
        let mut r = BitReader::rbsp(nal.get(h265::HEADER_BYTES..)?);
        let begins_picture = r.flag()?;
        if h265::is_irap(nal) {
            r.flag()?; // no_output_of_prior_pics_flag
        }
        let picture_set = u16::try_from(r.ue_max(63)?).ok()?;
        let Some(extra) = extra_bits(picture_set).filter(|_| begins_picture) else {
            return Some(Self { begins_picture, picture_set, kind: None, frame_number_head: None });
        };
        r.skip(u32::from(extra))?;
        let kind = match r.ue_max(2)? {
            0 => SliceKind::B,
            1 => SliceKind::P,
            _ => SliceKind::I,
        };
        Some(Self { begins_picture, picture_set, kind: Some(kind), frame_number_head: None })
    }
}

/// The first fields of a picture parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSet {
    /// Its number.
    pub id: u16,
    /// Number of the sequence parameter set it refers to.
    pub sequence_set: u16,
    /// `num_extra_slice_header_bits` of H.265; 0 in H.264.
    pub extra_slice_bits: u8,
}

impl PictureSet {
    /// Reads an H.264 picture parameter set NAL unit; `None` when it is another one, or its numbers are impossible.
    pub fn h264(nal: &[u8]) -> Option<Self> {
        (h264::nal_unit_type(nal)? == h264::PPS).then_some(())?;
        let mut r = BitReader::rbsp(nal.get(1..)?);
        let id = u16::try_from(r.ue_max(255)?).ok()?;
        let sequence_set = u16::try_from(r.ue_max(31)?).ok()?;
        Some(Self { id, sequence_set, extra_slice_bits: 0 })
    }

    /// Reads an H.265 picture parameter set NAL unit; `None` as for H.264.
    pub fn h265(nal: &[u8]) -> Option<Self> {
        (h265::nal_unit_type(nal)? == h265::PPS).then_some(())?;
        let mut r = BitReader::rbsp(nal.get(h265::HEADER_BYTES..)?);
        let id = u16::try_from(r.ue_max(63)?).ok()?;
        let sequence_set = u16::try_from(r.ue_max(15)?).ok()?;
        r.skip(2)?; // dependent slices, output flag
        Some(Self { id, sequence_set, extra_slice_bits: r.byte(3)? })
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// The first slice of a real H.265 camera stream, and its picture parameter set.
    #[test]
    fn a_real_h265_slice() {
        let set = PictureSet::h265(&hex!("4401c0f2c68d03b240")).unwrap();
        assert_eq!((set.id, set.sequence_set, set.extra_slice_bits), (0, 0, 0));
        let slice = SliceHead::h265(&hex!("2601af25e0f9853e39"), |_| Some(0)).unwrap();
        let expected = SliceHead {
            begins_picture: true,
            picture_set: 0,
            kind: Some(SliceKind::I),
            frame_number_head: None,
        };
        assert_eq!(slice, expected);
        let unknown = SliceHead::h265(&hex!("2601af25e0f9853e39"), |_| None).unwrap();
        assert_eq!(unknown.kind, None);
    }

    /// Bits written out: macroblock 0, slice type 7 (I), set 0; macroblock 1, type 0 (P), set 2.
    #[test]
    fn h264_slices_by_hand() {
        // 1 0001000 1...
        let first = SliceHead::h264(&[0x65, 0b1000_1000, 0b1000_0000, 0]).unwrap();
        assert_eq!(first.kind, Some(SliceKind::I));
        assert!(first.begins_picture && first.picture_set == 0);
        assert_eq!(first.frame_number_head, Some(0));
        // 010 1 011 0
        let second = SliceHead::h264(&[0x41, 0b0101_0110]).unwrap();
        assert_eq!((second.begins_picture, second.picture_set), (false, 2));
        assert_eq!(second.kind, Some(SliceKind::P));
        // 1 0001011: type 10 does not exist.
        assert_eq!(SliceHead::h264(&[0x41, 0b1000_1011, 0xFF]), None);
        assert_eq!(SliceHead::h264(&[0x67, 0x88, 0x80]), None);
        let set = PictureSet::h264(&[0x68, 0b1010_0000]).unwrap();
        assert_eq!((set.id, set.sequence_set), (0, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(nal in prop::collection::vec(any::<u8>(), 0..24), extra in 0u8..8) {
            let _ = SliceHead::h264(&nal);
            let _ = SliceHead::h265(&nal, |_| Some(extra));
            let _ = (PictureSet::h264(&nal), PictureSet::h265(&nal));
        }
    }
}
