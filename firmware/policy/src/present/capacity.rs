//! READ CAPACITY and READ FORMAT CAPACITIES (section 5.4; SBC-3 5.15, 5.16; MMC-6 6.24).
//!
//! The drive is asked anew each time; size and block length are shown as it gives them, and compared with what it said
//! when it was attached.

use super::{
    fields::{CAPACITY16, shown},
    writer::Writer,
};
use crate::capture::Capture;

/// Length of the answer to READ CAPACITY(10).
pub const CAPACITY10_BYTES: usize = 8;
/// Length of the answer to READ CAPACITY(16).
pub const CAPACITY16_BYTES: usize = 32;

/// A fresh answer beside the captured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Same,
    /// Another: without a reported change of medium no more reads are served, and the event is recorded as tampering (5.4).
    Changed,
    /// There is nothing to compare with; the unit was not ready when it was attached.
    NotCaptured,
}

/// What the host gets of READ CAPACITY(10): all of it.
#[must_use]
pub fn read_capacity10(drive: &[u8; CAPACITY10_BYTES]) -> [u8; CAPACITY10_BYTES] {
    *drive
}

/// What the host gets of READ CAPACITY(16): protection and provisioning cleared, so that no host tries to discard
/// blocks or to use protection information; all else as the drive gives it.
#[must_use]
pub fn read_capacity16(drive: &[u8; CAPACITY16_BYTES]) -> [u8; CAPACITY16_BYTES] {
    let mut own = *drive;
    for (index, byte) in own.iter_mut().enumerate() {
        *byte = shown(&CAPACITY16, index, *byte);
    }
    own
}

/// Compares a fresh answer to READ CAPACITY(10) with the captured size. FFFFFFFFh stands for every larger address.
#[must_use]
pub fn compare_capacity10(capture: &Capture, fresh: &[u8; CAPACITY10_BYTES]) -> Comparison {
    let Some(geometry) = capture.geometry else { return Comparison::NotCaptured };
    let [a, b, c, d, length @ ..] = *fresh;
    let last = u32::try_from(geometry.blocks.wrapping_sub(1)).unwrap_or(u32::MAX);
    let same = u32::from_be_bytes([a, b, c, d]) == last
        && u32::from_be_bytes(length) == geometry.block_bytes;
    if same { Comparison::Same } else { Comparison::Changed }
}

/// Compares a fresh answer to READ CAPACITY(16) with the captured size, and, where this command was asked at attach, with the
/// rest of what the standard defines of the answer, as shown to the host.
#[must_use]
pub fn compare_capacity16(capture: &Capture, fresh: &[u8; CAPACITY16_BYTES]) -> Comparison {
    let Some(geometry) = capture.geometry else { return Comparison::NotCaptured };
    let [a, b, c, d, e, f, g, h, l0, l1, l2, l3, ..] = *fresh;
    let size = u64::from_be_bytes([a, b, c, d, e, f, g, h]) == geometry.blocks.wrapping_sub(1)
        && u32::from_be_bytes([l0, l1, l2, l3]) == geometry.block_bytes;
    let defined = |answer: &[u8; CAPACITY16_BYTES]| {
        let [.., p, x, y, z] = *read_capacity16(answer).first_chunk::<16>()?;
        Some([p, x, y, z])
    };
    let rest = capture.capacity16.is_none_or(|captured| defined(&captured) == defined(fresh));
    if size && rest { Comparison::Same } else { Comparison::Changed }
}

/// READ FORMAT CAPACITIES: one descriptor, formatted media, or no media while there is no size.
pub(super) fn put_format_capacities(capture: &Capture, out: &mut Writer<'_>) {
    const FORMATTED: u8 = 0b10;
    const NO_MEDIA: u8 = 0b11;
    out.bytes(&[0, 0, 0, 8]);
    let (kind, blocks, block_bytes) = match capture.geometry {
        Some(geometry) => (FORMATTED, geometry.blocks, geometry.block_bytes),
        None => (NO_MEDIA, 0, 0),
    };
    out.bytes(&u32::try_from(blocks).unwrap_or(u32::MAX).to_be_bytes());
    let [_, high, middle, low] = block_bytes.min(0x00FF_FFFF).to_be_bytes();
    out.bytes(&[kind, high, middle, low]);
}
