//! Pack header and system header: ISO/IEC 13818-1 clauses 2.5.3.3 to 2.5.3.6, ISO/IEC 11172-1 clause 2.4.3.2.

use std::ops::Range;

use super::{Header, LENGTH_END, clock33, stated_length};

/// Bytes of a pack header before its stuffing.
const PACK_BYTES: usize = 14;
/// Bytes of the older pack header, which has no stuffing.
const MPEG1_PACK_BYTES: usize = 12;
/// Fields of a system header that every one has: rate and audio bounds, flags.
const SYSTEM_BYTES: usize = 6;

/// A pack header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// System clock reference: 33 bits, 90 kHz.
    pub scr: u64,
    /// Clock of 27 MHz within a tick of 90 kHz; nine bits as stored, of which 0 to 299 are valid.
    pub scr_extension: u16,
    /// Multiplex rate in units of 50 bytes a second.
    pub mux_rate: u32,
    /// Stuffing bytes, relative to the start of the unit.
    pub stuffing: Range<usize>,
    /// True for the form of ISO/IEC 11172-1.
    pub is_mpeg1: bool,
}

/// Reads a pack header; the start code is known to be there.
pub(super) fn read(window: &[u8]) -> Header<PackHeader> {
    let Some(first) = window.get(4) else { return Header::Short(PACK_BYTES) };
    let is_mpeg1 = first & 0xF0 == 0x20;
    if first & 0xC4 != 0x44 && !is_mpeg1 {
        return Header::Bad;
    }
    let length = if is_mpeg1 { MPEG1_PACK_BYTES } else { PACK_BYTES };
    let Some(header) = window.get(4..length) else { return Header::Short(length) };
    let read = if is_mpeg1 { read_mpeg1(header) } else { read_mpeg2(header) };
    read.map_or(Header::Bad, |pack| {
        let length = pack.stuffing.end;
        Header::Read(pack, length)
    })
}

/// Whether what there is of a pack header, cut off by the end of the bytes, may be one.
pub(super) fn may_be(window: &[u8]) -> bool {
    !matches!(read(window), Header::Bad)
}

fn read_mpeg2(header: &[u8]) -> Option<PackHeader> {
    let bytes = <[u8; 10]>::try_from(header).ok()?;
    let [a, b, c, d, e, f, rates @ ..] = bytes;
    let clock = [a, b, c, d, e, f].iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    const MARKERS: u64 = (1 << 42) | (1 << 26) | (1 << 10) | 1;
    if clock & MARKERS != MARKERS {
        return None;
    }
    let scr = ((clock >> 43) & 7) << 30 | ((clock >> 27) & 0x7FFF) << 15 | ((clock >> 11) & 0x7FFF);
    let scr_extension = u16::try_from((clock >> 1) & 0x1FF).ok()?;
    let [r0, r1, r2, stuffing] = rates;
    let rate = u32::from_be_bytes([0, r0, r1, r2]);
    if rate & 3 != 3 {
        return None;
    }
    let stuffing = PACK_BYTES..PACK_BYTES.checked_add(usize::from(stuffing & 7))?;
    Some(PackHeader { scr, scr_extension, mux_rate: rate >> 2, stuffing, is_mpeg1: false })
}

fn read_mpeg1(header: &[u8]) -> Option<PackHeader> {
    let (clock, rate) = header.split_at_checked(5)?;
    let scr = clock33(clock)?;
    let [r0, r1, r2] = <[u8; 3]>::try_from(rate).ok()?;
    let rate = u32::from_be_bytes([0, r0, r1, r2]);
    const MARKERS: u32 = (1 << 23) | 1;
    (rate & MARKERS == MARKERS).then_some(PackHeader {
        scr,
        scr_extension: 0,
        mux_rate: (rate >> 1) & 0x3F_FFFF,
        stuffing: MPEG1_PACK_BYTES..MPEG1_PACK_BYTES,
        is_mpeg1: true,
    })
}

/// Checks a system header; the start code is known to be there.
pub(super) fn read_system_header(window: &[u8]) -> Header<()> {
    const NEEDED: usize = LENGTH_END.saturating_add(SYSTEM_BYTES);
    let Some(length) = stated_length(window) else { return Header::Short(LENGTH_END) };
    if length < NEEDED {
        return Header::Bad;
    }
    match window.get(LENGTH_END..NEEDED) {
        // Marker bits around the rate bound, and after the lock flags.
        Some([first, _, third, _, fifth, _])
            if first & 0x80 == 0 || third & 1 == 0 || fifth & 0x20 == 0 =>
        {
            Header::Bad
        }
        Some(_) => Header::Read((), length),
        None => Header::Short(NEEDED),
    }
}
