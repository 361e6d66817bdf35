//! DHAV units: the fixed header, the trailer, and what bounds a unit when one of the two is damaged.
//!
//! Facts: `docs/formats/dahua.md` sections 3.1 and 3.4. The header checksum and the trailer's length are the two cheap validity tests. A unit
//! needs both to be whole; with one of them it is a damaged unit, with none it is not there.

use std::borrow::Cow;

use daleel_core::{SkipKind, Step};
use memchr::memmem::Finder;

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the trailer: `dhav` and the unit's length again.
pub const TRAILER_BYTES: usize = 8;
/// Shortest unit: header and trailer.
pub const UNIT_MIN: u32 = 32;
/// Longest unit a parser accepts (section 7).
pub const UNIT_MAX: u32 = 16 << 20;

/// The first bytes of a unit.
pub const MAGIC: &[u8; 4] = b"DHAV";
const TRAILER_MAGIC: &[u8; 4] = b"dhav";

/// The fixed header of a DHAV unit (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 04  FD key frame, FC P, FE B, FB JPEG, F0 audio, F1 auxiliary.
    pub kind: u8,
    /// 05  Subtype of auxiliary units.
    pub subtype: u8,
    /// 06  Channel from 0, relative to the stream only.
    pub channel: u8,
    /// 07  Sub-frame index, counts down to 0.
    pub sub_frame: u8,
    /// 08  Frame number, one counter per kind.
    pub number: u32,
    /// 0C  Total length of the unit.
    pub length: u32,
    /// 10  Date.
    pub date: u32,
    /// 14  Millisecond counter.
    pub milliseconds: u16,
    /// 16  Length of the tag area.
    pub tag_length: u8,
    /// 17  Sum of the 23 bytes before it.
    pub checksum: u8,
    /// What the sum is.
    pub computed_checksum: u8,
}

impl Header {
    /// Reads the 24 bytes at the start of `bytes` if they begin with `DHAV`; values are not judged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [m0, m1, m2, m3, kind, subtype, channel, sub_frame, rest @ ..] = *header;
        let [n0, n1, n2, n3, l0, l1, l2, l3, d0, d1, d2, d3, ms0, ms1, tag_length, checksum] = rest;
        (&[m0, m1, m2, m3] == MAGIC).then(|| Self {
            kind,
            subtype,
            channel,
            sub_frame,
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            date: u32::from_le_bytes([d0, d1, d2, d3]),
            milliseconds: u16::from_le_bytes([ms0, ms1]),
            tag_length,
            checksum,
            computed_checksum: header
                .iter()
                .take(23)
                .fold(0u8, |sum, byte| sum.wrapping_add(*byte)),
        })
    }

    /// True when the checksum holds.
    pub const fn checksum_holds(&self) -> bool {
        self.checksum == self.computed_checksum
    }

    /// True when type, length and tag length are possible.
    pub fn is_plausible(&self) -> bool {
        let room = self.length.saturating_sub(UNIT_MIN);
        matches!(self.kind, 0xF0 | 0xF1 | 0xFB..=0xFE)
            && (UNIT_MIN..=UNIT_MAX).contains(&self.length)
            && u32::from(self.tag_length) <= room
    }

    /// True when this is surely a header: possible values and the checksum holds.
    pub fn is_valid(&self) -> bool {
        self.checksum_holds() && self.is_plausible()
    }

    /// Name of the unit type.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            0xFD => "key frame",
            0xFC => "P frame",
            0xFE => "B frame",
            0xFB => "still picture",
            0xF0 => "audio",
            0xF1 => "auxiliary",
            _ => "unknown",
        }
    }
}

/// The length a trailer at the end of `bytes` states.
pub fn trailer_length(bytes: &[u8]) -> Option<u32> {
    let (_, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
    let [t0, t1, t2, t3, l0, l1, l2, l3] = *trailer;
    (&[t0, t1, t2, t3] == TRAILER_MAGIC).then(|| u32::from_le_bytes([l0, l1, l2, l3]))
}

/// Offset of the next sure header in `bytes`, from `from` on.
pub fn next_header(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    Finder::new(MAGIC)
        .find_iter(tail)
        .map(|at| from.saturating_add(at))
        .find(|at| bytes.get(*at..).and_then(Header::parse).is_some_and(|h| h.is_valid()))
}

/// What a look at the start of a window gave.
pub enum Unit {
    /// A unit of `length` bytes whose payload ends at `payload_end`.
    Whole {
        /// Bytes of the unit.
        length: usize,
        /// End of its payload.
        payload_end: usize,
        /// What is damaged.
        damage: Option<String>,
    },
    /// So many bytes are needed to decide.
    NeedMore(usize),
    /// No unit here.
    None,
}

impl Unit {
    /// Looks for a unit at the start of `window`; `last` says that no byte follows it. Where `needs_trailer`, a unit whose trailer is not in
    /// its place is none.
    pub fn at(window: &[u8], last: bool, needs_trailer: bool) -> Self {
        let Some(header) = Header::parse(window).filter(Header::is_plausible) else {
            return Self::None;
        };
        let length = header.length as usize;
        if let Some(bytes) = window.get(..length)
            && trailer_length(bytes) == Some(header.length)
        {
            let damage = (!header.checksum_holds()).then(|| {
                format!(
                    "header checksum is {:02x}, computed {:02x}",
                    header.checksum, header.computed_checksum
                )
            });
            let payload_end = length.saturating_sub(TRAILER_BYTES);
            return Self::Whole { length, payload_end, damage };
        }
        // The start of the next header tells whether this one's length can be trusted.
        let wanted = length.saturating_add(HEADER_BYTES);
        if window.len() < wanted && !last {
            return Self::NeedMore(wanted);
        }
        if !header.checksum_holds() || needs_trailer {
            return Self::None;
        }
        Self::without_trailer(&header, window)
    }

    /// A sure header whose trailer is not where its length says.
    fn without_trailer(header: &Header, window: &[u8]) -> Self {
        let stated = header.length as usize;
        let reach = stated.min(window.len());
        let floor = HEADER_BYTES.saturating_add(usize::from(header.tag_length));
        if let Some(next) = next_header(window.get(..reach).unwrap_or(window), HEADER_BYTES) {
            let bytes = window.get(..next).unwrap_or(&[]);
            let trailer = trailer_length(bytes).map(|length| length as usize);
            let payload_end =
                if trailer.is_some() { next.saturating_sub(TRAILER_BYTES) } else { next };
            let damage = if trailer == Some(next) {
                format!("header says {stated} bytes, the trailer {next}")
            } else {
                format!("header says {stated} bytes, the next unit starts after {next}")
            };
            if payload_end < floor {
                return Self::None;
            }
            return Self::Whole { length: next, payload_end, damage: Some(damage) };
        }
        if window.len() < stated {
            let damage = format!("only {} of {stated} bytes are there", window.len());
            let payload_end = window.len().max(floor);
            return Self::Whole { length: payload_end, payload_end, damage: Some(damage) };
        }
        // Nothing else bounds this unit, so something must begin where it is said to end.
        let behind = window.get(stated..).unwrap_or(&[]);
        let follows = behind.is_empty()
            || Header::parse(behind).is_some_and(|next| next.is_plausible())
            || behind.iter().take(4).all(|byte| matches!(byte, 0x00 | 0xFF));
        if !follows {
            return Self::None;
        }
        let damage = "the trailer is damaged".to_owned();
        let payload_end = stated.saturating_sub(TRAILER_BYTES);
        Self::Whole { length: stated, payload_end, damage: Some(damage) }
    }
}

/// Bytes that are no unit: filler, or damage up to the next header.
pub fn skip(window: &[u8], last: bool) -> Step {
    let filler = window.iter().take_while(|byte| matches!(byte, 0x00 | 0xFF)).count();
    let behind = window.get(filler..).unwrap_or(&[]);
    // A few such bytes in front of something else than a unit are part of that.
    if behind.is_empty() || filler >= 4 || (filler > 0 && behind.starts_with(MAGIC)) {
        let why = Cow::Borrowed("filler");
        return Step::Skip { used: filler.max(1), kind: SkipKind::Expected, why };
    }
    let next = Finder::new(MAGIC).find(window.get(1..).unwrap_or(&[]));
    let used = match next {
        Some(at) => at.saturating_add(1),
        None if last => window.len(),
        // The magic may begin in the last three bytes.
        None => window.len().saturating_sub(3).max(1),
    };
    Step::Skip { used, kind: SkipKind::Damage, why: Cow::Borrowed("no DHAV unit") }
}
