//! PES packet headers: ISO/IEC 13818-1 clause 2.4.3.6, and the packet header of ISO/IEC 11172-1 clause 2.4.3.3.

use std::ops::Range;

use super::{Header, LENGTH_END, PADDING, PRIVATE_2, clock33, range_within, stated_length};

/// Start code, length, two bytes of flags and the length of the rest of the header.
const FIXED_BYTES: usize = 9;
/// Bytes of a time stamp.
const TIME_BYTES: usize = 5;
/// Most stuffing bytes of the older packet header.
const MPEG1_STUFFING: usize = 16;

/// Header of a PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PesHeader {
    /// Stream id.
    pub stream_id: u8,
    /// Presentation time stamp; `None` when there is none, or one without its marker bits.
    pub pts: Option<PesTime>,
    /// Decoding time stamp, where it stands beside the other.
    pub dts: Option<PesTime>,
    /// `PES_scrambling_control`: 0 not scrambled.
    pub scrambling: u8,
    /// Payload as the lengths state it, relative to the start of the unit.
    pub payload: Range<usize>,
}

/// A time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PesTime {
    /// 33 bits, 90 kHz.
    pub ticks: u64,
    /// Where its five bytes begin, relative to the start of the unit.
    pub at: usize,
}

/// Whether packets of a stream have payload right after their length (table 2-21): padding, private stream 2, ECM, EMM, DSM-CC,
/// H.222.1 type E and the program stream directory.
const fn is_bare(stream_id: u8) -> bool {
    matches!(stream_id, PADDING | PRIVATE_2 | 0xF0..=0xF2 | 0xF8 | 0xFF)
}

/// Reads the header of a packet; the start code is known to be there.
pub(super) fn read(window: &[u8], stream_id: u8) -> Header<PesHeader> {
    let Some(end) = stated_length(window) else { return Header::Short(LENGTH_END) };
    if end == LENGTH_END {
        return Header::Bad;
    }
    let bare =
        PesHeader { stream_id, pts: None, dts: None, scrambling: 0, payload: LENGTH_END..end };
    if is_bare(stream_id) {
        return Header::Read(bare, end);
    }
    match window.get(LENGTH_END) {
        None => Header::Short(FIXED_BYTES.min(end)),
        Some(flags) if flags & 0xC0 == 0x80 => read_mpeg2(window, bare, end),
        Some(_) => read_mpeg1(window, bare, end),
    }
}

fn read_mpeg2(window: &[u8], bare: PesHeader, end: usize) -> Header<PesHeader> {
    if end < FIXED_BYTES {
        return Header::Bad;
    }
    let Some(&[first, second, rest]) =
        window.get(LENGTH_END..FIXED_BYTES).and_then(|bytes| bytes.first_chunk())
    else {
        return Header::Short(FIXED_BYTES);
    };
    let times = second >> 6;
    let Some(fields) = range_within(FIXED_BYTES, usize::from(rest), end) else {
        return Header::Bad;
    };
    // The standard forbids a decoding time stamp alone.
    if times == 1 {
        return Header::Bad;
    }
    if window.len() < fields.end {
        return Header::Short(fields.end);
    }
    let pts = (times >= 2).then(|| time(window, fields.clone(), 0, times)).flatten();
    let dts = (times == 3).then(|| time(window, fields.clone(), TIME_BYTES, 1)).flatten();
    let scrambling = (first >> 4) & 3;
    Header::Read(PesHeader { pts, dts, scrambling, payload: fields.end..end, ..bare }, end)
}

/// The time stamp `skip` bytes into the header's fields, if it is introduced by the four bits `prefix`.
fn time(window: &[u8], fields: Range<usize>, skip: usize, prefix: u8) -> Option<PesTime> {
    let at = range_within(fields.start.checked_add(skip)?, TIME_BYTES, fields.end)?;
    let bytes = window.get(at.clone())?;
    (bytes.first()? >> 4 == prefix).then_some(())?;
    Some(PesTime { ticks: clock33(bytes)?, at: at.start })
}

fn read_mpeg1(window: &[u8], bare: PesHeader, end: usize) -> Header<PesHeader> {
    let longest = LENGTH_END.saturating_add(MPEG1_STUFFING).saturating_add(2);
    let there = window.get(..end.min(window.len())).unwrap_or(window);
    let stuffing = there.iter().skip(LENGTH_END).take_while(|byte| **byte == 0xFF).count();
    if stuffing > MPEG1_STUFFING {
        return Header::Bad;
    }
    let mut at = LENGTH_END.saturating_add(stuffing);
    let more = || {
        let known_end = there.len() == end;
        if known_end {
            Header::Bad
        } else {
            Header::Short(longest.max(window.len().saturating_add(1)).min(end))
        }
    };
    let Some(mut introducer) = there.get(at) else { return more() };
    if introducer & 0xC0 == 0x40 {
        // Buffer size of the decoder.
        at = at.saturating_add(2);
        match there.get(at) {
            Some(next) => introducer = next,
            None => return more(),
        }
    }
    let count = match introducer {
        0x0F => {
            let payload = at.saturating_add(1)..end;
            return Header::Read(PesHeader { payload, ..bare }, end);
        }
        0x20..=0x2F => 1usize,
        0x30..=0x3F => 2,
        _ => return Header::Bad,
    };
    let Some(fields) = range_within(at, count.saturating_mul(TIME_BYTES), end) else {
        return Header::Bad;
    };
    if window.len() < fields.end {
        return Header::Short(fields.end);
    }
    let pts = time(window, fields.clone(), 0, introducer >> 4);
    let dts = (count == 2).then(|| time(window, fields.clone(), TIME_BYTES, 1)).flatten();
    Header::Read(PesHeader { pts, dts, payload: fields.end..end, ..bare }, end)
}
