//! The stream explained for `daleel show`: pack headers, maps with their descriptors, packets, file headers, field by field.
//!
//! Facts: `docs/formats/hikvision.md` sections 7 and 8; ISO/IEC 13818-1 for what is not the vendor's. The values shown are those the readers use.

mod head;
mod map;

use std::ops::Range;

use daleel_core::{Evidence, Extent, Field, Source, Structure};
use daleel_media::ps::{PackHeader, PesHeader, Unit, UnitAt, UnitKind, unit_at};
use memchr::memmem;

use super::{descriptors, header};

/// Longest unit: start code, length and what 16 bits can say.
const UNIT_MAX: u64 = 65_541;
/// How far back the pack that a byte belongs to is searched: a pack holds one picture.
const BACK_STEPS: [u64; 3] = [64 << 10, 1 << 20, 8 << 20];
/// Places that look like the pack searched for, and are tried.
const TRIES: usize = 64;
/// Units followed from such a place.
const STEPS: usize = 100_000;
/// Bytes of a payload that are shown.
const SHOWN: usize = 16;
/// Streams of a system header that are shown; a recorder has a handful.
const STREAMS_SHOWN: usize = 64;

/// The structures of the stream that begin at `bytes[0]`, which lies at `at` of the medium: a unit, and what is inside it; outermost
/// first. Empty when no unit begins there. `bytes` may end inside the unit.
pub fn stream_unit(bytes: &[u8], at: u64) -> Vec<Structure> {
    if header::parse(bytes).is_some() || header::is_old(bytes) {
        return vec![head::structure(bytes, at)];
    }
    let UnitAt::Unit(unit) = unit_at(bytes, true) else { return Vec::new() };
    let own = bytes.get(..unit.length).unwrap_or(bytes);
    let mut shown = Shown { bytes: own, at, fields: Vec::new() };
    match &unit.kind {
        UnitKind::Pack(pack) => vec![shown.pack(pack, &unit)],
        UnitKind::SystemHeader => vec![shown.system_header(&unit)],
        UnitKind::Map(map) => map::structures(shown, map, &unit),
        UnitKind::Pes(pes) => vec![shown.packet(pes, &unit)],
        UnitKind::ProgramEnd => {
            shown.start_code();
            vec![shown.finish("end code", &unit, "The end of a program stream.")]
        }
    }
}

/// The structures of a stream inside `within` that hold `offset`, outermost first: the unit is reached from a pack header before it.
pub fn stream_at(source: &dyn Source, within: Extent, offset: u64) -> Vec<Structure> {
    let end = offset.saturating_add(UNIT_MAX).min(within.end()).min(source.len());
    for back in BACK_STEPS {
        let start = offset.saturating_sub(back).max(within.offset());
        let Some(start) = behind_holes(source, start, offset) else { return Vec::new() };
        let readable = before_holes(source, offset, end);
        let Ok(bytes) = source.read(Extent::new(start, readable.saturating_sub(start))) else {
            return Vec::new();
        };
        let target = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        if let Some(unit) = unit_holding(&bytes, target) {
            let at = start.saturating_add(unit.start as u64);
            let mut found = stream_unit(bytes.get(unit).unwrap_or(&[]), at);
            found.retain(|structure| structure.at.contains(offset));
            return found;
        }
    }
    Vec::new()
}

/// Start of the readable bytes that end behind `offset`; `None` when the byte itself cannot be read.
fn behind_holes(source: &dyn Source, start: u64, offset: u64) -> Option<u64> {
    let length = offset.checked_add(1)?.checked_sub(start)?;
    let holes = source.holes(Extent::new(start, length));
    let behind = holes.iter().map(|(hole, _)| hole.end()).max().unwrap_or(start);
    (behind <= offset).then_some(behind)
}

fn before_holes(source: &dyn Source, offset: u64, end: u64) -> u64 {
    let holes = source.holes(Extent::new(offset, end.saturating_sub(offset)));
    holes.iter().map(|(hole, _)| hole.offset()).min().unwrap_or(end)
}

/// The unit that holds byte `target`: units are followed from the pack headers before it, the nearest first.
fn unit_holding(bytes: &[u8], target: usize) -> Option<Range<usize>> {
    const PACK: &[u8] = &[0, 0, 1, 0xBA];
    let before = bytes.get(..target.saturating_add(PACK.len()).min(bytes.len()))?;
    let packs = memmem::rfind_iter(before, PACK).take(TRIES);
    let headers = header::parse(bytes).map(|_| 0);
    packs.chain(headers).find_map(|pack| {
        let mut at = pack;
        for _ in 0..STEPS {
            let rest = bytes.get(at..)?;
            let length = match (unit_at(rest, true), header::parse(rest)) {
                (UnitAt::Unit(unit), _) => unit.length,
                (_, Some(header)) => header.length,
                _ => return None,
            };
            let end = at.checked_add(length)?;
            if (at..end).contains(&target) {
                return Some(at..end.min(bytes.len()));
            }
            at = end;
        }
        None
    })
}

/// Fields of a structure being explained.
struct Shown<'a> {
    bytes: &'a [u8],
    at: u64,
    fields: Vec<Field>,
}

impl Shown<'_> {
    /// Adds a field; one that the bytes do not hold is left out, one without a value shows its bytes.
    fn add(
        &mut self,
        range: Range<usize>,
        name: &'static str,
        value: impl Into<String>,
        meaning: impl Into<String>,
        evidence: Evidence,
    ) {
        let Some(raw) = self.bytes.get(range.clone()).filter(|raw| !raw.is_empty()) else { return };
        let value: String = match value.into() {
            empty if empty.is_empty() => {
                raw.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
            }
            value => value,
        };
        self.fields.push(Field {
            name,
            at: Extent::new(self.at.saturating_add(range.start as u64), raw.len() as u64),
            raw: raw.to_vec(),
            value,
            meaning: meaning.into(),
            evidence,
        });
    }

    fn start_code(&mut self) {
        let code = self.bytes.get(3).copied().unwrap_or(0);
        self.add(0..4, "start code", format!("{code:02X}h"), "", Evidence::Confirmed);
    }

    fn length(&mut self) {
        let stated = self.bytes.get(4..6).and_then(|field| field.try_into().ok());
        let stated = stated.map_or(0, u16::from_be_bytes);
        self.add(4..6, "length", stated.to_string(), "bytes that follow", Evidence::Confirmed);
    }

    fn finish(self, name: impl Into<String>, unit: &Unit, purpose: &str) -> Structure {
        let cut = if unit.whole { "" } else { " The bytes end inside it." };
        Structure {
            name: name.into(),
            at: Extent::new(self.at, self.bytes.len() as u64),
            purpose: format!("{purpose}{cut}"),
            fields: self.fields,
        }
    }

    fn pack(mut self, pack: &PackHeader, unit: &Unit) -> Structure {
        self.start_code();
        let (clock, rate) = if pack.is_mpeg1 { (4..9, 9..12) } else { (4..10, 10..13) };
        let scr = format!("{} + {}/300", pack.scr, pack.scr_extension);
        let meaning = format!(
            "system clock, 90 kHz: {} s; equals the time stamp of the picture in the streams seen",
            seconds(pack.scr)
        );
        self.add(clock, "SCR", scr, meaning, Evidence::Confirmed);
        let mux = pack.mux_rate.to_string();
        self.add(rate, "mux rate", mux, "units of 50 bytes a second", Evidence::Confirmed);
        if !pack.is_mpeg1 {
            let length = pack.stuffing.len().to_string();
            self.add(13..14, "stuffing length", length, "low three bits", Evidence::Confirmed);
        }
        let stuffing = self.bytes.get(pack.stuffing.clone()).unwrap_or(&[]);
        match *stuffing {
            [0xFF, 0xFF, a, b, c, d] => {
                let counter = u32::from_be_bytes([a, b, c, d]).to_string();
                let start = pack.stuffing.start;
                self.add(
                    start..start.saturating_add(2),
                    "stuffing",
                    "FF FF",
                    "",
                    Evidence::Confirmed,
                );
                let meaning = "counts the pictures: a break in it shows missing ones";
                let counter_at = start.saturating_add(2)..pack.stuffing.end;
                self.add(counter_at, "picture counter", counter, meaning, Evidence::Inferred);
            }
            _ => self.add(pack.stuffing.clone(), "stuffing", "", "", Evidence::Confirmed),
        }
        self.finish("pack header", unit, "Begins a pack: one picture with what belongs to it.")
    }

    fn system_header(mut self, unit: &Unit) -> Structure {
        self.start_code();
        self.length();
        let ids: Vec<String> = self
            .bytes
            .get(12..)
            .unwrap_or(&[])
            .chunks_exact(3)
            .take(STREAMS_SHOWN)
            .filter_map(|entry| entry.first().map(|id| format!("{id:02X}h")))
            .collect();
        self.add(6..12, "bounds", "", "rates and numbers of streams", Evidence::Confirmed);
        let shown = self.bytes.len().min(STREAMS_SHOWN.saturating_mul(3).saturating_add(12));
        self.add(12..shown, "streams", ids.join(", "), "", Evidence::Confirmed);
        self.finish("system header", unit, "Lists the streams that packs may hold.")
    }

    fn packet(mut self, pes: &PesHeader, unit: &Unit) -> Structure {
        self.start_code();
        self.length();
        if pes.payload.start > 6 {
            self.packet_header(pes);
        }
        let shown = pes.payload.start..pes.payload.end.min(pes.payload.start.saturating_add(SHOWN));
        let payload = self.bytes.get(pes.payload.clone()).unwrap_or(&[]);
        let meaning = match descriptors::private_kind(payload).filter(|_| pes.stream_id == 0xBD) {
            Some(kind) => format!("private data: {kind}"),
            None => "coded picture or sound, or a part of it; the first bytes are shown".to_owned(),
        };
        self.add(
            shown,
            "payload",
            format!("{} bytes", pes.payload.len()),
            meaning,
            Evidence::Confirmed,
        );
        let name = format!("PES packet, {}", stream_name(pes.stream_id));
        self.finish(name, unit, "A piece of one stream; a large picture takes several.")
    }

    fn packet_header(&mut self, pes: &PesHeader) {
        let flags = self.bytes.get(6..9).map_or(0, |flags| flags.first().copied().unwrap_or(0));
        let scrambling = pes.scrambling.to_string();
        if flags & 0xC0 == 0x80 {
            self.add(
                6..7,
                "flags",
                format!("{flags:02X}h"),
                format!("scrambling {scrambling}"),
                Evidence::Confirmed,
            );
            self.add(7..8, "fields", "", "which fields follow", Evidence::Confirmed);
            self.add(8..9, "header length", "", "bytes up to the payload", Evidence::Confirmed);
        }
        for (name, time) in [("PTS", &pes.pts), ("DTS", &pes.dts)] {
            let Some(time) = time else { continue };
            let range = time.at..time.at.saturating_add(5);
            let meaning = format!("90 kHz, 33 bits: {} s", seconds(time.ticks));
            self.add(range, name, time.ticks.to_string(), meaning, Evidence::Confirmed);
        }
        let last = pes.payload.start.saturating_sub(1)..pes.payload.start;
        let meaning = match self.bytes.get(last.clone()) {
            Some([0xFC]) => "the picture's or unit's last packet",
            Some([0xFD]) => "the unit goes on in another packet",
            _ => return,
        };
        self.add(last, "last stuffing byte", "", meaning, Evidence::Inferred);
    }
}

/// Seconds of a 90 kHz clock, with milliseconds.
fn seconds(ticks: u64) -> String {
    let milliseconds = ticks / 90;
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn stream_name(stream_id: u8) -> String {
    match stream_id {
        0xE0..=0xEF => format!("video {}", stream_id & 0x0F),
        0xC0..=0xDF => format!("sound {}", stream_id & 0x1F),
        0xBD => "private stream 1".to_owned(),
        0xBE => "padding".to_owned(),
        0xBF => "private stream 2".to_owned(),
        id => format!("stream {id:02X}h"),
    }
}
