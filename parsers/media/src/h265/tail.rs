//! The sequence parameter set after its bit depths: ITU-T H.265 clauses 7.3.2.2.1, 7.3.4, 7.3.7 and annex E.2,
//! read only to reach `min_spatial_segmentation_idc`.

use crate::bits::BitReader;

/// `min_spatial_segmentation_idc`; `None` when the VUI does not state it or the syntax breaks off before it.
/// Reading starts at `log2_max_pic_order_cnt_lsb_minus4`.
pub(super) fn min_spatial_segmentation(
    r: &mut BitReader<'_>,
    layers_minus1: u8,
    chroma_format_idc: u8,
) -> Option<u16> {
    let order_bits = r.ue_max(12)?.checked_add(4)?;
    let all_layers = r.flag()?;
    for _ in if all_layers { 0 } else { layers_minus1 }..=layers_minus1 {
        ue_times(r, 3)?;
    }
    ue_times(r, 6)?; // block sizes and transform depths
    if r.flag()? && r.flag()? {
        skip_scaling_lists(r, chroma_format_idc)?;
    }
    r.skip(2)?; // asymmetric partitions, sample adaptive offset
    if r.flag()? {
        r.skip(8)?;
        ue_times(r, 2)?;
        r.flag()?; // PCM
    }
    skip_reference_sets(r)?;
    if r.flag()? {
        for _ in 0..r.ue_max(32)? {
            r.skip(order_bits.checked_add(1)?)?;
        }
    }
    r.skip(2)?; // temporal motion vectors, strong intra smoothing
    if !r.flag()? {
        return None;
    }
    segmentation_in_vui(r, layers_minus1)
}

fn ue_times(r: &mut BitReader<'_>, times: u32) -> Option<()> {
    for _ in 0..times {
        r.ue()?;
    }
    Some(())
}

/// Clause 7.3.4.
fn skip_scaling_lists(r: &mut BitReader<'_>, chroma_format_idc: u8) -> Option<()> {
    for size in 0u32..4 {
        let entries = 64.min(16u32.checked_shl(size.checked_mul(2)?)?);
        let step = if size == 3 && chroma_format_idc != 3 { 3 } else { 1 };
        for _ in (0..6u8).step_by(step) {
            if !r.flag()? {
                r.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..entries {
                r.se()?;
            }
        }
    }
    Some(())
}

/// Clause 7.3.7, all short-term reference picture sets. The sets must be followed because a predicted set has as many
/// flags as the set before it has pictures.
fn skip_reference_sets(r: &mut BitReader<'_>) -> Option<()> {
    let count = r.ue_max(64)?;
    let mut previous: Vec<i32> = Vec::new();
    for index in 0..count {
        previous =
            if index > 0 && r.flag()? { predicted_set(r, &previous)? } else { explicit_set(r)? };
    }
    Some(())
}

/// Picture order differences of a set written out, negative ones first, each kind by growing distance.
fn explicit_set(r: &mut BitReader<'_>) -> Option<Vec<i32>> {
    let (negative, positive) = (r.ue_max(16)?, r.ue_max(16)?);
    let mut set = Vec::with_capacity(32);
    for (count, sign) in [(negative, -1i32), (positive, 1)] {
        let mut at = 0i32;
        for _ in 0..count {
            let step = i32::try_from(r.ue_max(32_767)?).ok()?.checked_add(1)?;
            at = at.checked_add(step.checked_mul(sign)?)?;
            set.push(at);
            r.flag()?;
        }
    }
    Some(set)
}

/// Equations 7-61 and 7-62.
fn predicted_set(r: &mut BitReader<'_>, reference: &[i32]) -> Option<Vec<i32>> {
    let negative = r.flag()?;
    let distance = i32::try_from(r.ue_max(32_767)?).ok()?.checked_add(1)?;
    let shift = if negative { distance.checked_neg()? } else { distance };
    let mut set = Vec::with_capacity(32);
    for base in reference.iter().copied().chain([0]) {
        let used = r.flag()?;
        if used || r.flag()? {
            let difference = base.checked_add(shift)?;
            if difference != 0 {
                set.push(difference);
            }
        }
    }
    if set.len() > 32 {
        return None;
    }
    set.sort_by_key(|&difference| (difference > 0, difference.unsigned_abs()));
    Some(set)
}

/// Clause E.2.1.
fn segmentation_in_vui(r: &mut BitReader<'_>, layers_minus1: u8) -> Option<u16> {
    const EXTENDED_ASPECT: u32 = 255;
    if r.flag()? && r.bits(8)? == EXTENDED_ASPECT {
        r.skip(32)?;
    }
    if r.flag()? {
        r.flag()?; // overscan_appropriate_flag
    }
    if r.flag()? {
        r.skip(4)?; // video_format, full range
        if r.flag()? {
            r.skip(24)?; // colour description
        }
    }
    if r.flag()? {
        ue_times(r, 2)?; // chroma sample location
    }
    r.skip(3)?; // neutral chroma, field sequence, frame and field information
    if r.flag()? {
        ue_times(r, 4)?; // default display window
    }
    if r.flag()? {
        r.skip(64)?; // clock
        if r.flag()? {
            r.ue()?;
        }
        if r.flag()? {
            skip_hypothetical_decoder(r, layers_minus1)?;
        }
    }
    if !r.flag()? {
        return None;
    }
    r.skip(3)?;
    u16::try_from(r.ue_max(4095)?).ok()
}

/// Clause E.2.2 with `commonInfPresentFlag` 1.
fn skip_hypothetical_decoder(r: &mut BitReader<'_>, layers_minus1: u8) -> Option<()> {
    let (nal, vcl) = (r.flag()?, r.flag()?);
    let mut sub_pictures = false;
    if nal || vcl {
        sub_pictures = r.flag()?;
        r.skip(if sub_pictures { 19 } else { 0 })?;
        r.skip(8)?;
        r.skip(if sub_pictures { 4 } else { 0 })?;
        r.skip(15)?;
    }
    for _ in 0..=layers_minus1 {
        let fixed = r.flag()? || r.flag()?;
        let mut low_delay = false;
        if fixed {
            r.ue()?;
        } else {
            low_delay = r.flag()?;
        }
        let buffers = if low_delay { 1 } else { r.ue_max(31)?.checked_add(1)? };
        for _ in 0..[nal, vcl].iter().filter(|&&present| present).count() {
            for _ in 0..buffers {
                ue_times(r, if sub_pictures { 4 } else { 2 })?;
                r.flag()?;
            }
        }
    }
    Some(())
}
