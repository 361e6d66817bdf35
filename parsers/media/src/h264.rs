//! H.264 NAL units and sequence parameter sets: ITU-T H.264 clauses 7.3.1, 7.3.2.1.1 and 7.4.2.1.1.
//!
//! The sequence parameter set is read here, and not by the `h264-reader` crate, because recorders store sets
//! whose level does not allow their picture size or whose VUI is cut short; a strict reader refuses those,
//! players do not. Only the fields before the VUI are needed. `h264-reader` is the oracle in the tests.

use crate::{bits::BitReader, params::PictureSize};

/// `nal_unit_type` of a slice of a non-IDR picture.
pub const SLICE: u8 = 1;
/// `nal_unit_type` of a slice of an IDR picture.
pub const IDR_SLICE: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information.
pub const SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const AUD: u8 = 9;

/// `nal_unit_type` from the first byte of a NAL unit; `None` without a byte.
pub fn nal_unit_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| header & 0x1f)
}

/// Whether the NAL unit carries slice data (types 1 to 5).
pub fn is_slice(nal: &[u8]) -> bool {
    nal_unit_type(nal).is_some_and(|kind| (SLICE..=IDR_SLICE).contains(&kind))
}

/// Whether the NAL unit is a slice of an IDR picture.
pub fn is_idr(nal: &[u8]) -> bool {
    nal_unit_type(nal) == Some(IDR_SLICE)
}

/// Whether the NAL unit is a sequence or picture parameter set.
pub fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(nal_unit_type(nal), Some(SPS | PPS))
}

/// The set's own number: up to 31 for sequence, 255 for picture parameter sets. `None` for other NAL units and
/// for impossible numbers.
pub fn parameter_set_id(nal: &[u8]) -> Option<u16> {
    let body = nal.get(1..)?;
    let id = match nal_unit_type(nal)? {
        SPS => BitReader::rbsp(body.get(3..)?).ue_max(31)?,
        PPS => BitReader::rbsp(body).ue_max(255)?,
        _ => return None,
    };
    u16::try_from(id).ok()
}

/// The fields of a sequence parameter set that a sample entry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// `constraint_set0_flag` … and the reserved bits, as the byte stands.
    pub constraint_flags: u8,
    /// `level_idc`.
    pub level_idc: u8,
    /// `seq_parameter_set_id`.
    pub id: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// `frame_mbs_only_flag`: false when fields or interlaced macroblocks may occur.
    pub frames_only: bool,
    /// Picture size.
    pub size: PictureSize,
}

impl Sps {
    /// Parses a sequence parameter set NAL unit (header byte first, without start code). `None` when it is another
    /// NAL unit, too short, or has an impossible field before the VUI.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal_unit_type(nal)? != SPS {
            return None;
        }
        let mut r = BitReader::rbsp(nal.get(1..)?);
        let profile_idc = r.byte(8)?;
        let constraint_flags = r.byte(8)?;
        let level_idc = r.byte(8)?;
        let id = u8::try_from(r.ue_max(31)?).ok()?;
        let chroma = Chroma::read(&mut r, profile_idc)?;
        skip_order_fields(&mut r)?;
        let (size, frames_only) = read_size(&mut r, &chroma)?;
        Some(Self {
            profile_idc,
            constraint_flags,
            level_idc,
            id,
            chroma_format_idc: chroma.format_idc,
            bit_depth_luma: chroma.luma_bits,
            bit_depth_chroma: chroma.chroma_bits,
            frames_only,
            size,
        })
    }
}

/// Profiles whose parameter sets state the chroma format (clause 7.3.2.1.1).
pub(crate) const fn has_chroma_fields(profile_idc: u8) -> bool {
    matches!(profile_idc, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244)
}

struct Chroma {
    format_idc: u8,
    separate_planes: bool,
    luma_bits: u8,
    chroma_bits: u8,
}

impl Chroma {
    fn read(r: &mut BitReader<'_>, profile_idc: u8) -> Option<Self> {
        if !has_chroma_fields(profile_idc) {
            return Some(Self {
                format_idc: 1,
                separate_planes: false,
                luma_bits: 8,
                chroma_bits: 8,
            });
        }
        let format_idc = u8::try_from(r.ue_max(3)?).ok()?;
        let separate_planes = format_idc == 3 && r.flag()?;
        let luma_bits = u8::try_from(r.ue_max(6)?.checked_add(8)?).ok()?;
        let chroma_bits = u8::try_from(r.ue_max(6)?.checked_add(8)?).ok()?;
        r.flag()?; // qpprime_y_zero_transform_bypass_flag
        if r.flag()? {
            for list in 0..if format_idc == 3 { 12 } else { 8 } {
                if r.flag()? {
                    skip_scaling_list(r, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(Self { format_idc, separate_planes, luma_bits, chroma_bits })
    }

    /// Luma samples in one cropping unit, across and down (equations 7-19 to 7-22).
    const fn crop_units(&self, frames_only: bool) -> (u32, u32) {
        let fields = if frames_only { 1 } else { 2 };
        match (self.separate_planes, self.format_idc) {
            (false, 1) => (2, if frames_only { 2 } else { 4 }),
            (false, 2) => (2, fields),
            _ => (1, fields),
        }
    }
}

/// Clause 7.3.2.1.1.1.
fn skip_scaling_list(r: &mut BitReader<'_>, entries: u32) -> Option<()> {
    let mut last = 8i32;
    for _ in 0..entries {
        let next = last.checked_add(r.se()?)?.rem_euclid(256);
        if next == 0 {
            return Some(());
        }
        last = next;
    }
    Some(())
}

/// From `log2_max_frame_num_minus4` to `gaps_in_frame_num_value_allowed_flag`.
fn skip_order_fields(r: &mut BitReader<'_>) -> Option<()> {
    r.ue_max(12)?;
    match r.ue_max(2)? {
        0 => {
            r.ue_max(12)?;
        }
        1 => {
            r.flag()?;
            r.se()?;
            r.se()?;
            for _ in 0..r.ue_max(255)? {
                r.se()?;
            }
        }
        _ => {}
    }
    r.ue()?; // max_num_ref_frames
    r.flag()?;
    Some(())
}

fn read_size(r: &mut BitReader<'_>, chroma: &Chroma) -> Option<(PictureSize, bool)> {
    const MAX_MACROBLOCKS: u32 = 65_536 / 16;
    let width = r.ue_max(MAX_MACROBLOCKS)?.checked_add(1)?.checked_mul(16)?;
    let map_units = r.ue_max(MAX_MACROBLOCKS)?.checked_add(1)?.checked_mul(16)?;
    let frames_only = r.flag()?;
    let height = map_units.checked_mul(if frames_only { 1 } else { 2 })?;
    if !frames_only {
        r.flag()?; // mb_adaptive_frame_field_flag
    }
    r.flag()?; // direct_8x8_inference_flag
    let mut crop = [0u32; 4];
    if r.flag()? {
        for side in &mut crop {
            *side = r.ue()?;
        }
    }
    let (across, down) = chroma.crop_units(frames_only);
    Some((PictureSize::cropped((width, height), crop, (across, down))?, frames_only))
}
