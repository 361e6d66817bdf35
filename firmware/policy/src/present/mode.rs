//! MODE SENSE(6) and (10) (section 5.3; SPC-4 7.5, SBC-3 6.4).
//!
//! Nothing of it comes from the drive but the size. The bit that makes operating systems leave a disk alone is WP in the
//! device-specific parameter; without it hosts try to write metadata when they mount. Every value in the pages is zero, hence current,
//! default and changeable values (an all-zero mask: nothing can be changed) are the same bytes.

use super::writer::Writer;
use crate::{capture::Capture, geometry::Geometry};

/// Write protection in the device-specific parameter (SBC-3 6.4.1).
pub(super) const WP: u8 = 0x80;
/// DPO and FUA in the device-specific parameter.
pub(super) const DPOFUA: u8 = 0x10;
/// Caching.
pub(super) const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0A;
const INFORMATIONAL_EXCEPTIONS: u8 = 0x1C;
/// All pages.
pub(super) const ALL: u8 = 0x3F;
/// Offset of the device-specific parameter in the answer to MODE SENSE(6).
pub(super) const PARAMETER: usize = 2;
/// Codes of the pages and the lengths that they state.
const PAGES: [(u8, u8); 3] = [(CACHING, 18), (CONTROL, 10), (INFORMATIONAL_EXCEPTIONS, 10)];

/// Header of the answer.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// MODE SENSE(6).
    Six,
    /// MODE SENSE(10), with the block descriptor of 64 bits if `long`.
    Ten { long: bool },
}

pub(super) fn put(capture: &Capture, form: Form, page: u8, dbd: bool, out: &mut Writer<'_>) {
    let geometry = capture.geometry.filter(|_| !dbd);
    let descriptor: u8 = match (geometry, form) {
        (None, _) => 0,
        (Some(_), Form::Ten { long: true }) => 16,
        (Some(_), _) => 8,
    };
    let length = pages(page)
        .map(|(_, length)| length.saturating_add(2))
        .fold(descriptor, u8::saturating_add);
    match form {
        Form::Six => out.bytes(&[length.saturating_add(3), 0, WP, descriptor]),
        Form::Ten { .. } => {
            let long = u8::from(descriptor == 16);
            out.bytes(&[0, length.saturating_add(6), 0, WP, long, 0, 0, descriptor]);
        }
    }
    if let Some(geometry) = geometry {
        block_descriptor(geometry, descriptor == 16, out);
    }
    for (code, length) in pages(page) {
        out.bytes(&[code, length]);
        out.zeros(usize::from(length));
    }
}

fn pages(page: u8) -> impl Iterator<Item = (u8, u8)> {
    PAGES.into_iter().filter(move |(code, _)| page == ALL || page == *code)
}

/// Short or long LBA mode parameter block descriptor (SBC-3 6.4.2.2, 6.4.2.3).
fn block_descriptor(geometry: Geometry, long: bool, out: &mut Writer<'_>) {
    if long {
        out.bytes(&geometry.blocks.to_be_bytes());
        out.zeros(4);
        out.bytes(&geometry.block_bytes.to_be_bytes());
        return;
    }
    let blocks = u32::try_from(geometry.blocks).unwrap_or(u32::MAX);
    out.bytes(&blocks.to_be_bytes());
    // The length has 24 bits here; no drive has longer blocks.
    out.bytes(&geometry.block_bytes.min(0x00FF_FFFF).to_be_bytes());
}

/// Offset and value of byte 2 of the caching page, WCE and RCD, in a drive's own answer to MODE SENSE(6).
pub(super) fn caching_of_drive(answer: &[u8]) -> Option<(usize, u8)> {
    let stated = usize::from(*answer.first()?).saturating_add(1);
    let answer = answer.get(..stated).unwrap_or(answer);
    let mut start = usize::from(*answer.get(3)?).checked_add(4)?;
    while let [code, length, ..] = *answer.get(start..)? {
        // Bit 6 marks a subpage, which has a length of two bytes (SPC-4 7.5.7).
        if code & 0x40 != 0 {
            let [_, _, high, low, ..] = *answer.get(start..)? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low]));
            start = start.checked_add(4)?.checked_add(length)?;
            continue;
        }
        let values = start.checked_add(2)?;
        if code & 0x3F == CACHING && length > 0 {
            return Some((values, *answer.get(values)?));
        }
        start = values.checked_add(usize::from(length))?;
    }
    None
}
