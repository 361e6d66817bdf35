//! Sequence parameter set, ITU-T H.265 clause 7.3.2.2.1, and profile, tier and level, clause 7.3.3.

use super::{HEADER_BYTES, SPS, nal_unit_type, tail};
use crate::{bits::BitReader, params::PictureSize};

/// The general part of `profile_tier_level()`, byte-aligned in every parameter set and carried as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// `general_profile_space`.
    pub profile_space: u8,
    /// `general_tier_flag`: true for the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile_idc: u8,
    /// `general_profile_compatibility_flag[0]` in the most significant bit.
    pub compatibility: [u8; 4],
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`: 30 times the level.
    pub level_idc: u8,
}

/// The fields of a sequence parameter set that a sample entry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub id: u8,
    /// `sps_max_sub_layers_minus1` plus 1.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// Profile, tier and level.
    pub profile: ProfileTierLevel,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Picture size.
    pub size: PictureSize,
    /// `min_spatial_segmentation_idc` of the VUI, 0 when it is not stated or cannot be read.
    pub min_spatial_segmentation_idc: u16,
}

impl Sps {
    /// Parses a sequence parameter set NAL unit (two header bytes first, without start code). `None` when it is
    /// another NAL unit, too short, or has an impossible field up to the bit depths.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let (mut r, head) = Head::read(nal)?;
        let chroma_format_idc = u8::try_from(r.ue_max(3)?).ok()?;
        let separate_planes = chroma_format_idc == 3 && r.flag()?;
        let coded = (r.ue_max(65_535)?, r.ue_max(65_535)?);
        let mut crop = [0u32; 4];
        if r.flag()? {
            for side in &mut crop {
                *side = r.ue()?;
            }
        }
        let size = PictureSize::cropped(coded, crop, units(chroma_format_idc, separate_planes))?;
        let bit_depth_luma = u8::try_from(r.ue_max(8)?.checked_add(8)?).ok()?;
        let bit_depth_chroma = u8::try_from(r.ue_max(8)?.checked_add(8)?).ok()?;
        let segmentation =
            tail::min_spatial_segmentation(&mut r, head.layers_minus1, chroma_format_idc);
        Some(Self {
            id: head.id,
            temporal_layers: head.layers_minus1.checked_add(1)?,
            temporal_id_nested: head.nested,
            profile: head.profile,
            chroma_format_idc,
            bit_depth_luma,
            bit_depth_chroma,
            size,
            min_spatial_segmentation_idc: segmentation.unwrap_or(0),
        })
    }

    /// `sps_seq_parameter_set_id` alone.
    pub(super) fn parse_id(nal: &[u8]) -> Option<u8> {
        Head::read(nal).map(|(_, head)| head.id)
    }
}

/// Luma samples in one unit of the conformance window, across and down (table 6-1).
const fn units(chroma_format_idc: u8, separate_planes: bool) -> (u32, u32) {
    match (separate_planes, chroma_format_idc) {
        (false, 1) => (2, 2),
        (false, 2) => (2, 1),
        _ => (1, 1),
    }
}

/// The fields up to the set's number.
struct Head {
    layers_minus1: u8,
    nested: bool,
    profile: ProfileTierLevel,
    id: u8,
}

impl Head {
    fn read(nal: &[u8]) -> Option<(BitReader<'_>, Self)> {
        if nal_unit_type(nal)? != SPS {
            return None;
        }
        let mut r = BitReader::rbsp(nal.get(HEADER_BYTES..)?);
        r.skip(4)?; // sps_video_parameter_set_id
        let layers_minus1 = r.byte(3).filter(|&layers| layers <= 6)?;
        let nested = r.flag()?;
        let profile = ProfileTierLevel::read(&mut r, layers_minus1)?;
        let id = u8::try_from(r.ue_max(15)?).ok()?;
        Some((r, Self { layers_minus1, nested, profile, id }))
    }
}

impl ProfileTierLevel {
    /// Clause 7.3.3 with `profilePresentFlag` 1; sub-layers are passed over.
    fn read(r: &mut BitReader<'_>, layers_minus1: u8) -> Option<Self> {
        let profile = Self {
            profile_space: r.byte(2)?,
            high_tier: r.flag()?,
            profile_idc: r.byte(5)?,
            compatibility: read_bytes(r)?,
            constraints: read_bytes(r)?,
            level_idc: r.byte(8)?,
        };
        let mut present = [(false, false); 8];
        let layers = usize::from(layers_minus1);
        for layer in present.iter_mut().take(layers) {
            *layer = (r.flag()?, r.flag()?);
        }
        if layers > 0 {
            r.skip(u32::try_from(8usize.checked_sub(layers)?.checked_mul(2)?).ok()?)?;
        }
        for (has_profile, has_level) in present.iter().take(layers) {
            r.skip(if *has_profile { 88 } else { 0 })?;
            r.skip(if *has_level { 8 } else { 0 })?;
        }
        Some(profile)
    }
}

fn read_bytes<const N: usize>(r: &mut BitReader<'_>) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for byte in &mut bytes {
        *byte = r.byte(8)?;
    }
    Some(bytes)
}
