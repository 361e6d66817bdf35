//! H.265 NAL units and parameter sets: ITU-T H.265 clauses 7.3.1, 7.3.2 and annex E.
//!
//! The fields up to the bit depths are needed for a sample entry. What follows in the sequence parameter set is
//! read only for `min_spatial_segmentation_idc`; a set that breaks off there still counts.

mod sps;
mod tail;

pub use sps::{ProfileTierLevel, Sps};

use crate::bits::BitReader;

/// `nal_unit_type` of a video parameter set.
pub const VPS: u8 = 32;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 33;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 34;
/// `nal_unit_type` of an access unit delimiter.
pub const AUD: u8 = 35;

/// Bytes of a NAL unit header.
pub const HEADER_BYTES: usize = 2;

/// `nal_unit_type` from the first byte of a NAL unit; `None` without a byte.
pub fn nal_unit_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| (header >> 1) & 0x3f)
}

/// Whether the NAL unit carries slice data (types 0 to 31).
pub fn is_slice(nal: &[u8]) -> bool {
    nal_unit_type(nal).is_some_and(|kind| kind < 32)
}

/// Whether the NAL unit is a slice of an intra random access point picture (types 16 to 23).
pub fn is_irap(nal: &[u8]) -> bool {
    nal_unit_type(nal).is_some_and(|kind| (16..=23).contains(&kind))
}

/// Whether the NAL unit is a video, sequence or picture parameter set.
pub fn is_parameter_set(nal: &[u8]) -> bool {
    nal_unit_type(nal).is_some_and(|kind| (VPS..=PPS).contains(&kind))
}

/// The set's own number: up to 15 for video and sequence, 63 for picture parameter sets. `None` for other NAL units
/// and for impossible numbers.
pub fn parameter_set_id(nal: &[u8]) -> Option<u16> {
    let body = nal.get(HEADER_BYTES..)?;
    match nal_unit_type(nal)? {
        VPS => Some(u16::from(body.first()? >> 4)),
        SPS => Sps::parse_id(nal).map(u16::from),
        PPS => u16::try_from(BitReader::rbsp(body).ue_max(63)?).ok(),
        _ => None,
    }
}

/// How pictures that refer to a picture parameter set can be decoded in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallelism {
    /// `tiles_enabled_flag`.
    pub tiles: bool,
    /// `entropy_coding_sync_enabled_flag`.
    pub wavefronts: bool,
}

impl Parallelism {
    /// Reads a picture parameter set NAL unit (clause 7.3.2.3.1); `None` when it is another one or too short.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal_unit_type(nal)? != PPS {
            return None;
        }
        let mut r = BitReader::rbsp(nal.get(HEADER_BYTES..)?);
        r.ue_max(63)?;
        r.ue_max(15)?;
        r.skip(7)?; // dependent slices, output flag, extra slice header bits, sign hiding, CABAC init
        r.ue()?;
        r.ue()?; // default reference indices
        r.se()?; // init_qp_minus26
        r.skip(2)?; // constrained intra, transform skip
        if r.flag()? {
            r.ue()?; // diff_cu_qp_delta_depth
        }
        r.se()?;
        r.se()?; // chroma QP offsets
        r.skip(4)?; // slice chroma offsets, weighted prediction (two), transquant bypass
        Some(Self { tiles: r.flag()?, wavefronts: r.flag()? })
    }

    /// `parallelismType` of the decoder configuration record (ISO/IEC 14496-15 clause 8.3.3.1.3).
    pub const fn code(self) -> u8 {
        match (self.tiles, self.wavefronts) {
            (true, true) => 0,
            (false, true) => 3,
            (true, false) => 2,
            (false, false) => 1,
        }
    }
}
