//! Standard INQUIRY data as the host sees them (section 5.2; SPC-4 6.6.2).
//!
//! The drive's own bytes, so that an examiner recognises the exhibit, save for the fields of [`super::fields::INQUIRY`], the length, and
//! the version descriptors, which would promise features that the blocker does not offer. A card's driver
//! supplies bytes of the same form (7.4).

use super::{
    fields::{INQUIRY, shown},
    writer::Writer,
};
use crate::capture::Capture;

/// The shortest INQUIRY data of the standard.
pub(super) const SHORTEST: usize = 36;
/// Offset of the version descriptors.
pub(super) const VERSION_DESCRIPTORS: usize = 58;
const IDENTIFICATION: usize = 8;
/// Offset of ADDITIONAL LENGTH.
pub(super) const ADDITIONAL_LENGTH: usize = 4;

/// Bytes shown of INQUIRY data that are `captured` bytes long.
pub(super) fn shown_length(captured: usize) -> usize {
    captured.clamp(SHORTEST, VERSION_DESCRIPTORS)
}

/// ADDITIONAL LENGTH as shown.
pub(super) fn additional_length(captured: usize) -> u8 {
    u8::try_from(shown_length(captured).saturating_sub(ADDITIONAL_LENGTH).saturating_sub(1))
        .unwrap_or(u8::MAX)
}

/// A byte as shown. Where the drive gave none, the standard's filling stands: spaces in the identification.
pub(super) fn shown_byte(own: &[u8], index: usize) -> u8 {
    let fill = if index < IDENTIFICATION { 0 } else { b' ' };
    let byte = own.get(index).copied().unwrap_or(fill);
    match index {
        ADDITIONAL_LENGTH => additional_length(own.len()),
        _ => shown(&INQUIRY, index, byte),
    }
}

pub(super) fn put(capture: &Capture, out: &mut Writer<'_>) {
    let own = capture.inquiry.as_slice();
    (0..shown_length(own.len())).for_each(|index| out.byte(shown_byte(own, index)));
}
