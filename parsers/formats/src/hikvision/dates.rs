//! The first and the last date in a stream, read near its ends.
//!
//! Facts: `docs/formats/hikvision.md` sections 6 (a map with the company's mark, one for every key frame) and 7.2 (date).

use daleel_core::{CivilTime, Extent, Source, StoredValue};
use daleel_media::ps::{UnitAt, UnitKind, unit_at};
use memchr::memmem;

use super::{descriptors::map_facts, marks::readable_head};

/// How far from each end a date is searched: key frames can be minutes apart.
const SEARCH_BYTES: u64 = 4 << 20;
/// Start code of a map.
const MAP: &[u8] = &[0, 0, 1, 0xBC];

/// A date of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The recorder's clock, to the millisecond.
    pub time: CivilTime,
    /// Its six bytes.
    pub bytes: Vec<u8>,
    /// Where they lie.
    pub at: Extent,
}

impl Dated {
    /// The date as a stored value.
    pub fn stored(&self, name: &'static str) -> StoredValue {
        StoredValue::new(name, self.at.offset(), &self.bytes)
    }
}

/// The first date in `extent`, if it is in its first 4 MiB.
pub fn first(source: &dyn Source, extent: Extent) -> Option<Dated> {
    let bytes = readable_head(source, extent, SEARCH_BYTES);
    memmem::find_iter(&bytes, MAP).find_map(|at| date_at(&bytes, at, extent.offset()))
}

/// The last date in `extent`, if it is in its last 4 MiB and behind the last hole there.
pub fn last(source: &dyn Source, extent: Extent) -> Option<Dated> {
    let end = extent.end().min(source.len());
    let searched = end.saturating_sub(SEARCH_BYTES).max(extent.offset());
    let holes = source.holes(Extent::new(searched, end.saturating_sub(searched)));
    let from = holes.iter().map(|(hole, _)| hole.end()).max().unwrap_or(searched).min(end);
    let bytes = source.read(Extent::new(from, end.saturating_sub(from))).ok()?;
    memmem::rfind_iter(&bytes, MAP).find_map(|at| date_at(&bytes, at, from))
}

/// The date of the map at `at` of `bytes`, whose first byte lies at `base`.
fn date_at(bytes: &[u8], at: usize, base: u64) -> Option<Dated> {
    let rest = bytes.get(at..)?;
    let UnitAt::Unit(unit) = unit_at(rest, true) else { return None };
    let UnitKind::Map(map) = unit.kind else { return None };
    let (second, millisecond, range) = map_facts(&map, rest).time?;
    let place = base.checked_add(at as u64)?.checked_add(range.start as u64)?;
    Some(Dated {
        time: second.plus_millis(millisecond.into()),
        bytes: rest.get(range.clone())?.to_vec(),
        at: Extent::new(place, range.len() as u64),
    })
}
