//! SMART attributes.
//!
//! Facts: the 512-byte structure is that of SFF-8035i (attributes of 12 bytes from byte 2: number, flags, value, worst, raw; thresholds of
//! 12 bytes from byte 2: number, threshold); its sum is zero. What a raw value counts is the maker's; the names are those commonly used.

use serde::Serialize;

const ATTRIBUTES: usize = 30;
const ATTRIBUTE_BYTES: usize = 12;

/// Health as the disk tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Smart {
    /// The attributes that the disk has.
    pub attributes: Vec<Attribute>,
    /// Numbers of those that are at or below their threshold.
    pub failing: Vec<u8>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// Number.
    pub id: u8,
    /// What it is commonly called.
    pub name: Option<&'static str>,
    /// Normalised value; the higher, the better.
    pub value: u8,
    /// Lowest value so far.
    pub worst: u8,
    /// The disk is failing at or below this.
    pub threshold: Option<u8>,
    /// Raw value, 48 bits.
    pub raw: u64,
}

/// Attributes with their thresholds; `None` when the data have not their sum.
pub(crate) fn parse(data: &[u8], thresholds: &[u8]) -> Option<Smart> {
    if data.len() != 512 || data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
        return None;
    }
    let threshold = |id: u8| {
        let entry = entries(thresholds).find(|entry| entry.first() == Some(&id))?;
        entry.get(1).copied()
    };
    let attributes: Vec<Attribute> =
        entries(data).filter_map(|entry| parse_attribute(entry, threshold)).collect();
    let is_failing = |one: &&Attribute| one.threshold.is_some_and(|at| at > 0 && one.value <= at);
    let failing = attributes.iter().filter(is_failing).map(|one| one.id).collect();
    Some(Smart { attributes, failing })
}

fn entries(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    page.get(2..).unwrap_or_default().chunks_exact(ATTRIBUTE_BYTES).take(ATTRIBUTES)
}

fn parse_attribute(entry: &[u8], threshold: impl Fn(u8) -> Option<u8>) -> Option<Attribute> {
    let [id, _, _, value, worst, raw @ .., _] = entry else { return None };
    let raw = raw.iter().rev().fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
    let one = Attribute {
        id: *id,
        name: name(*id),
        value: *value,
        worst: *worst,
        threshold: threshold(*id),
        raw,
    };
    (*id != 0).then_some(one)
}

fn name(id: u8) -> Option<&'static str> {
    Some(match id {
        1 => "raw read error rate",
        3 => "spin-up time",
        4 => "start and stop count",
        5 => "reallocated sectors",
        7 => "seek error rate",
        9 => "power-on hours",
        10 => "spin retries",
        12 => "power cycles",
        187 => "reported uncorrectable errors",
        188 => "command timeouts",
        190 | 194 => "temperature",
        192 => "emergency retracts",
        193 => "load cycles",
        196 => "reallocation events",
        197 => "pending sectors",
        198 => "uncorrectable sectors",
        199 => "interface CRC errors",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// attributes by number, raw values of 48 bits, thresholds by number and not by place.
    #[test]
    fn attributes_and_thresholds() {
        let mut data = [0_u8; 512];
        data[2..14].copy_from_slice(&[5, 0x33, 0, 100, 99, 1, 2, 0, 0, 0, 3, 0]);
        data[14..26].copy_from_slice(&[197, 0x12, 0, 10, 10, 8, 0, 0, 0, 0, 0, 0]);
        let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        data[511] = 0_u8.wrapping_sub(sum);
        let mut thresholds = [0_u8; 512];
        thresholds[2..4].copy_from_slice(&[197, 10]);
        thresholds[14..16].copy_from_slice(&[5, 36]);
        let smart = parse(&data, &thresholds).unwrap();
        let [first, second] = smart.attributes.as_slice() else { panic!() };
        assert_eq!((first.id, first.value, first.worst, first.threshold), (5, 100, 99, Some(36)));
        assert_eq!(first.raw, 0x0300_0000_0201);
        assert_eq!((second.name, second.raw), (Some("pending sectors"), 8));
        assert_eq!(smart.failing, [197]);
        assert_eq!(parse(&data[..511], &thresholds), None);
        data[100] ^= 1;
        assert_eq!(parse(&data, &thresholds), None);
    }
}
