//! What shows that a program stream is the vendor's: descriptors in its maps, picture counters in its packs.
//!
//! Facts: `docs/formats/hikvision.md` sections 6 (accept a pack only where packets chain), 7.1 (picture counter), 7.2 (company mark) and 7.3 (form
//! of the packets).

use std::ops::Range;

use daleel_core::{Extent, Source, Verdict};
use daleel_media::ps::{UnitAt, UnitKind, find_pack, unit_at};

use super::descriptors::map_facts;

/// Places that look like a pack and are followed.
const TRIES: usize = 64;
/// Units that are followed from a pack.
const UNITS_MAX: usize = 4096;
/// Packs with a counter, and packets of the vendor's form, that are proof together.
const ENOUGH: u32 = 2;
/// First flags byte of the vendor's packets: priority and alignment are set.
const FLAGS: u8 = 0x8C;

/// Marks found in the first bytes of a stream. Offsets count from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Where the first pack of the chain begins.
    pub first: u64,
    /// The first map with the company's mark: where, and how long.
    pub map: Option<(u64, u64)>,
    /// Packs whose stuffing holds a picture counter.
    counters: u32,
    /// Packets of the vendor's form.
    packets: u32,
    /// Units that chain.
    units: u32,
}

impl Marks {
    /// Whether the stream is the vendor's.
    pub fn is_vendor(&self) -> bool {
        self.map.is_some() || (self.counters >= ENOUGH && self.packets >= ENOUGH)
    }

    /// Says what was found; the strongest mark raises the score by `weight`.
    pub fn argue(&self, extent: Extent, weight: u8, verdict: &mut Verdict) {
        let at = |(offset, length)| extent.slice(offset, length).unwrap_or(extent);
        let pack = at((self.first, 4));
        if let Some(map) = self.map {
            let text = "a program stream map with the vendor's descriptors";
            verdict.supports(weight, at(map), text);
        } else if self.is_vendor() {
            let text = format!(
                "{} packs with a picture counter in their stuffing, {} packets of the vendor's form; no map yet",
                self.counters, self.packets
            );
            verdict.supports(weight, pack, text);
        }
        let text = format!("{} units of a program stream follow one another", self.units);
        verdict.supports(0, pack, text);
    }
}

/// Bytes at the start of an extent: as many as there are up to `length`, and up to the first hole.
pub fn readable_head(source: &dyn Source, extent: Extent, length: u64) -> Vec<u8> {
    let wanted = Extent::new(extent.offset(), extent.len().min(length));
    let hole = source.holes(wanted).first().map(|(hole, _)| hole.offset());
    let end = hole.unwrap_or(wanted.end());
    let readable = Extent::new(extent.offset(), end.saturating_sub(extent.offset()));
    source.read(readable).unwrap_or_default()
}

/// The first chain of units that carries the vendor's marks.
pub fn find(bytes: &[u8]) -> Option<Marks> {
    chains(bytes).find(Marks::is_vendor)
}

/// The first chain of units, marks or not: behind a header that names the vendor none are needed.
pub fn any_pack(bytes: &[u8]) -> Option<Marks> {
    chains(bytes).find(|marks| marks.units > 1)
}

/// The chains of units in the bytes, each followed from its first pack.
fn chains(bytes: &[u8]) -> impl Iterator<Item = Marks> {
    let mut from = 0usize;
    std::iter::from_fn(move || {
        let start = from.checked_add(find_pack(bytes.get(from..)?)?)?;
        let (marks, end) = follow(bytes, start);
        from = end.max(start.checked_add(1)?);
        Some(marks)
    })
    .take(TRIES)
}

/// Follows the units from `start`; gives what they show and where they end.
fn follow(bytes: &[u8], start: usize) -> (Marks, usize) {
    let mut marks = Marks { first: start as u64, ..Marks::default() };
    let mut at = start;
    for _ in 0..UNITS_MAX {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let UnitAt::Unit(unit) = unit_at(rest, true) else { break };
        marks.units = marks.units.saturating_add(1);
        let byte_range = |range: Range<usize>| rest.get(range).unwrap_or(&[]);
        match &unit.kind {
            UnitKind::Pack(pack) => {
                let stuffing = byte_range(pack.stuffing.clone());
                // Plain stuffing is all ones.
                let counts = stuffing.len() == 6
                    && stuffing.starts_with(&[0xFF, 0xFF])
                    && stuffing != [0xFF; 6];
                marks.counters = marks.counters.saturating_add(u32::from(counts));
            }
            UnitKind::Pes(pes) => {
                let header = byte_range(6..pes.payload.start);
                let is_form =
                    header.first() == Some(&FLAGS) && matches!(header.last(), Some(0xFC | 0xFD));
                marks.packets = marks.packets.saturating_add(u32::from(is_form));
            }
            UnitKind::Map(map) if marks.map.is_none() && map_facts(map, rest).is_vendor => {
                marks.map = Some((at as u64, unit.length as u64));
            }
            _ => {}
        }
        at = at.saturating_add(unit.length);
    }
    (marks, at)
}
