//! Program stream map and its descriptors: ISO/IEC 13818-1 clauses 2.5.4 and 2.6.

use std::ops::Range;

use crc::{CRC_32_MPEG_2, Crc};

use super::{Header, LENGTH_END, be16, range_within, stated_length};

/// Longest map the standard allows (clause 2.5.4.2).
const MAX_BYTES: usize = 1024;
/// Start code, length, version and marker bytes, length of the program's descriptors.
const INFO_START: usize = 10;
/// The shortest map: no descriptor and no stream.
const MIN_BYTES: usize = INFO_START.saturating_add(2).saturating_add(CRC_BYTES);
const CRC_BYTES: usize = 4;
/// Stream type, stream id and length of the descriptors.
const STREAM_BYTES: usize = 4;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);

/// A program stream map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramMap {
    /// `program_stream_map_version`, five bits.
    pub version: u8,
    /// Descriptors of the program, relative to the start of the unit.
    pub info: Range<usize>,
    /// The elementary streams; those that do not fit the map are left out.
    pub streams: Vec<MapStream>,
    /// How the check sum stands.
    pub crc: MapCrc,
}

/// An elementary stream of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapStream {
    /// `stream_type`.
    pub stream_type: u8,
    /// `elementary_stream_id`.
    pub stream_id: u8,
    /// Its descriptors, relative to the start of the unit.
    pub info: Range<usize>,
}

/// The check sum of a map against its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapCrc {
    /// It holds.
    Holds,
    /// It holds when its four bytes are read in the reverse order.
    HoldsReversed,
    /// It is zero and does not hold.
    Zero,
    /// It does not hold.
    Differs,
}

/// A descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// `descriptor_tag`.
    pub tag: u8,
    /// The bytes after its length, relative to the bytes that were searched.
    pub body: Range<usize>,
}

/// The descriptors in `within` of `bytes`, in order; ends at one that does not fit.
pub fn descriptors(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = Descriptor> {
    let end = within.end.min(bytes.len());
    let mut at = within.start;
    std::iter::from_fn(move || {
        let head = bytes.get(range_within(at, 2, end)?)?;
        let [tag, length] = <[u8; 2]>::try_from(head).ok()?;
        let body = range_within(at.checked_add(2)?, usize::from(length), end)?;
        at = body.end;
        Some(Descriptor { tag, body })
    })
}

/// Reads a map; the start code is known to be there.
pub(super) fn read(window: &[u8]) -> Header<ProgramMap> {
    let Some(length) = stated_length(window) else { return Header::Short(LENGTH_END) };
    if !(MIN_BYTES..=MAX_BYTES).contains(&length) {
        return Header::Bad;
    }
    let Some(map) = window.get(..length) else { return Header::Short(length) };
    parse(map).map_or(Header::Bad, |parsed| Header::Read(parsed, length))
}

fn parse(map: &[u8]) -> Option<ProgramMap> {
    let version = map.get(LENGTH_END)? & 0x1F;
    let marker = map.get(LENGTH_END.saturating_add(1))? & 1;
    (marker == 1).then_some(())?;
    let crc_at = map.len().checked_sub(CRC_BYTES)?;
    let info_length = usize::from(be16(map, INFO_START.checked_sub(2)?)?);
    let info = range_within(INFO_START, info_length, crc_at)?;
    let list_start = info.end.checked_add(2).filter(|start| *start <= crc_at)?;
    let list_length = usize::from(be16(map, info.end)?);
    let list_end = list_start.saturating_add(list_length).min(crc_at);
    Some(ProgramMap {
        version,
        info,
        streams: streams(map, list_start..list_end),
        crc: check(map)?,
    })
}

fn streams(map: &[u8], list: Range<usize>) -> Vec<MapStream> {
    let mut at = list.start;
    std::iter::from_fn(|| {
        let head = map.get(range_within(at, STREAM_BYTES, list.end)?)?;
        let [stream_type, stream_id, high, low] = <[u8; 4]>::try_from(head).ok()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let info = range_within(at.checked_add(STREAM_BYTES)?, length, list.end)?;
        at = info.end;
        Some(MapStream { stream_type, stream_id, info })
    })
    .collect()
}

fn check(map: &[u8]) -> Option<MapCrc> {
    let (covered, stored) = map.split_last_chunk::<CRC_BYTES>()?;
    let computed = CRC.checksum(covered);
    let stored = u32::from_be_bytes(*stored);
    Some(if stored == computed {
        MapCrc::Holds
    } else if stored.swap_bytes() == computed {
        MapCrc::HoldsReversed
    } else if stored == 0 {
        MapCrc::Zero
    } else {
        MapCrc::Differs
    })
}
