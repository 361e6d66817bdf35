//! Units of an MPEG program stream: pack headers, system headers, program stream maps and PES packets.
//!
//! Facts: ISO/IEC 13818-1 (ITU-T H.222.0) clauses 2.4.3.6 (PES), 2.5.3 (pack, system header) and 2.5.4 (program stream map); ISO/IEC
//! 11172-1 clause 2.4.3 for the older form of the pack and the packet. A unit is told by its start code and its marker bits; its length stands
//! in it, so nothing has to be searched for. A PES packet of length 0, which the standard allows in transport streams only, is no unit.

mod find;
mod map;
mod pack;
mod pes;

use std::ops::Range;

pub use find::find_pack;
pub use map::{Descriptor, MapCrc, MapStream, ProgramMap, descriptors};
pub use pack::PackHeader;
pub use pes::{PesHeader, PesTime};

/// Start code value of the end of a program stream.
pub const PROGRAM_END: u8 = 0xB9;
/// Start code value of a pack header.
pub const PACK: u8 = 0xBA;
/// Start code value of a system header.
pub const SYSTEM_HEADER: u8 = 0xBB;
/// Stream id of a program stream map.
pub const MAP: u8 = 0xBC;
/// Stream id of private stream 1.
pub const PRIVATE_1: u8 = 0xBD;
/// Stream id of padding.
pub const PADDING: u8 = 0xBE;
/// Stream id of private stream 2.
pub const PRIVATE_2: u8 = 0xBF;

/// Bytes of a start code.
const START_CODE_BYTES: usize = 4;
/// Start code and 16-bit length.
const LENGTH_END: usize = 6;

/// What stands at the start of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitAt {
    /// The window is too short to tell; it has to be this long. Never given when the window is the last one.
    NeedMore(usize),
    /// No start code of a program stream, or a header that contradicts itself.
    None,
    /// A unit.
    Unit(Unit),
}

/// One unit of a program stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// Bytes of the unit with its header, at least 4; reaches past the window when it is not `whole`.
    pub length: usize,
    /// False when the window, said to be the last one, ends inside the unit. Its header is there even then.
    pub whole: bool,
}

/// Kinds of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Pack header.
    Pack(PackHeader),
    /// System header.
    SystemHeader,
    /// Program stream map.
    Map(ProgramMap),
    /// PES packet.
    Pes(PesHeader),
    /// End code of the program stream.
    ProgramEnd,
}

/// A header read from bytes that may end too early.
enum Header<T> {
    /// So many bytes are needed.
    Short(usize),
    /// Contradicts itself.
    Bad,
    /// Its values, and the length of the unit.
    Read(T, usize),
}

/// Looks for a unit at the start of `window`; `last` says that no byte follows it.
///
/// A window is never asked to be longer than the unit (65 541 bytes at most), and only where that is needed to tell: a broken
/// header is told by as few bytes as show it.
pub fn unit_at(window: &[u8], last: bool) -> UnitAt {
    let Some(code) = start_code(window) else {
        let may_come = !last && window.len() < START_CODE_BYTES && prefix_fits(window);
        return if may_come { UnitAt::NeedMore(START_CODE_BYTES) } else { UnitAt::None };
    };
    let header = match code {
        PROGRAM_END => Header::Read(UnitKind::ProgramEnd, START_CODE_BYTES),
        PACK => pack::read(window).map(UnitKind::Pack),
        SYSTEM_HEADER => pack::read_system_header(window).map(|()| UnitKind::SystemHeader),
        MAP => map::read(window).map(UnitKind::Map),
        _ => pes::read(window, code).map(UnitKind::Pes),
    };
    match header {
        Header::Bad => UnitAt::None,
        Header::Short(_) if last => UnitAt::None,
        Header::Short(needed) => UnitAt::NeedMore(needed),
        Header::Read(_, length) if window.len() < length && !last => UnitAt::NeedMore(length),
        Header::Read(kind, length) => {
            UnitAt::Unit(Unit { kind, length, whole: length <= window.len() })
        }
    }
}

/// Whether the bytes begin with a start code of a program stream: `00 00 01` and B9 or above.
pub fn is_start_code(bytes: &[u8]) -> bool {
    start_code(bytes).is_some()
}

fn start_code(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [0, 0, 1, code @ PROGRAM_END..=0xFF, ..] => Some(*code),
        _ => None,
    }
}

/// Whether a window of fewer than four bytes may be the start of a start code.
fn prefix_fits(window: &[u8]) -> bool {
    [0, 0, 1].starts_with(window)
}

/// Total length by the 16-bit length field after the start code; `None` when the window ends before it.
fn stated_length(window: &[u8]) -> Option<usize> {
    be16(window, START_CODE_BYTES).map(|length| usize::from(length).saturating_add(LENGTH_END))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    <[u8; 2]>::try_from(field).ok().map(u16::from_be_bytes)
}

/// `start..start + length` if that ends at or before `limit`.
fn range_within(start: usize, length: usize, limit: usize) -> Option<Range<usize>> {
    let end = start.checked_add(length)?;
    (end <= limit).then_some(start..end)
}

/// The 33 bits of a clock in five bytes: three bits, marker, 15 bits, marker, 15 bits, marker. `None` when a marker is not set.
fn clock33(field: &[u8]) -> Option<u64> {
    let bytes = <[u8; 5]>::try_from(field).ok()?;
    let bits = bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    const MARKERS: u64 = (1 << 32) | (1 << 16) | 1;
    (bits & MARKERS == MARKERS).then_some(
        ((bits >> 33) & 7) << 30 | ((bits >> 17) & 0x7FFF) << 15 | ((bits >> 1) & 0x7FFF),
    )
}

impl<T> Header<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Header<U> {
        match self {
            Self::Short(needed) => Header::Short(needed),
            Self::Bad => Header::Bad,
            Self::Read(value, length) => Header::Read(f(value), length),
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)] // A panic is the failure report.
mod tests;
