//! MPEG-4 part 2 headers: ISO/IEC 14496-2 clauses 6.2.2 to 6.2.5.

use crate::{annexb, bits::BitReader};

const VISUAL_OBJECT_SEQUENCE: u8 = 0xb0;
const GROUP_OF_VOP: u8 = 0xb3;
const VISUAL_OBJECT: u8 = 0xb5;
const VOP: u8 = 0xb6;

/// The configuration headers at the start of a payload: from the first sequence, object or layer header to the
/// first group or picture header. `None` when no video object layer is among them.
pub fn configuration(payload: &[u8]) -> Option<&[u8]> {
    let mut start = None;
    let mut layer = false;
    let mut search = 0usize;
    let end = loop {
        let Some(at) = annexb::find_prefix(payload, search) else { break payload.len() };
        search = at.checked_add(3)?;
        match payload.get(search).copied() {
            Some(VOP | GROUP_OF_VOP) => break at,
            Some(code @ (VISUAL_OBJECT_SEQUENCE | VISUAL_OBJECT | 0x00..=0x2f)) => {
                layer |= (0x20..=0x2f).contains(&code);
                start = start.or(Some(at));
            }
            _ => {}
        }
    };
    layer.then(|| payload.get(start?..end)).flatten()
}

/// Width and height in pixels from a [`configuration`]; `None` for other than rectangular layers.
pub fn size(configuration: &[u8]) -> Option<(u32, u32)> {
    let mut search = 0usize;
    loop {
        let at = annexb::find_prefix(configuration, search)?;
        search = at.checked_add(3)?;
        if matches!(configuration.get(search), Some(0x20..=0x2f)) {
            return layer_size(configuration.get(search.checked_add(1)?..)?);
        }
    }
}

/// Clause 6.2.3, from after the start code.
fn layer_size(layer: &[u8]) -> Option<(u32, u32)> {
    const EXTENDED_ASPECT: u32 = 15;
    const VBV_BITS: u32 = 79;
    let mut r = BitReader::plain(layer);
    r.skip(9)?; // random_accessible_vol, video_object_type_indication
    if r.flag()? {
        r.skip(7)?; // version and priority
    }
    if r.bits(4)? == EXTENDED_ASPECT {
        r.skip(16)?;
    }
    if r.flag()? {
        r.skip(3)?; // chroma_format, low_delay
        if r.flag()? {
            r.skip(VBV_BITS)?;
        }
    }
    if r.bits(2)? != 0 {
        return None; // video_object_layer_shape other than rectangular
    }
    r.flag()?;
    let resolution = r.bits(16)?;
    r.flag()?;
    if r.flag()? {
        let bits = u32::BITS.checked_sub(resolution.saturating_sub(1).leading_zeros())?;
        r.skip(bits.max(1))?; // fixed_vop_time_increment
    }
    r.flag()?;
    let width = r.bits(13)?;
    r.flag()?;
    let height = r.bits(13)?;
    (width > 0 && height > 0).then_some((width, height))
}

/// Whether the first picture of the payload is intra coded (`vop_coding_type` 0); `None` without a picture.
pub fn is_intra(payload: &[u8]) -> Option<bool> {
    let mut search = 0usize;
    loop {
        let at = annexb::find_prefix(payload, search)?;
        search = at.checked_add(3)?;
        if payload.get(search) == Some(&VOP) {
            return payload.get(search.checked_add(1)?).map(|byte| byte >> 6 == 0);
        }
    }
}
