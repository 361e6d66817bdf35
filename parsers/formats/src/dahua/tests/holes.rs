//! The stream parser behind a walk: units on a medium with holes and in scattered clusters.

use std::sync::Arc;

use daleel_core::{Extent, ExtentMap, FrameState, Hole, ReadError, Source, Stream, Walk, WalkItem};
use proptest::prelude::*;

use super::units::Unit;
use crate::dahua::stream::{Bounds, DhavParser};

const CLUSTER: usize = 4096;

/// Bytes with unreadable ranges.
pub struct Holey {
    pub bytes: Vec<u8>,
    pub holes: Vec<Extent>,
}

impl Source for Holey {
    fn len(&self) -> u64 {
        Source::len(&self.bytes)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        match self.holes(Extent::new(offset, buf.len() as u64)).first() {
            Some((at, hole)) => Err(ReadError::Hole { at: *at, hole: *hole }),
            None => self.bytes.read_exact_at(offset, buf),
        }
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let own = self.holes.iter().filter_map(|hole| hole.intersection(within));
        own.map(|at| (at, Hole::Unreadable)).chain(self.bytes.holes(within)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// units over clusters in any order, with unreadable sectors: each unit whose bytes can be read is found whole, none
    /// that lacks a byte is called whole.
    #[test]
    fn unreadable_sectors_cost_the_units_they_touch(
        payloads in prop::collection::vec(0usize..9000, 1..60),
        order in Just((0usize..140).collect::<Vec<_>>()).prop_shuffle(),
        sectors in prop::collection::btree_set(0u64..1120, 0..12),
    ) {
        let mut logical = Vec::new();
        let mut places = Vec::new();
        for (number, length) in (0u32..).zip(payloads) {
            let unit = Unit { payload: vec![(number % 50) as u8 + 1; length], ..Unit::p(number) };
            places.push((number, logical.len() as u64..(logical.len() + unit.len()) as u64));
            logical.extend(unit.bytes());
        }
        let mut bytes = vec![0xEE; 140 * CLUSTER];
        let mut map = ExtentMap::default();
        for (piece, cluster) in logical.chunks(CLUSTER).zip(order) {
            let at = cluster * CLUSTER;
            bytes[at..at + piece.len()].copy_from_slice(piece);
            map.push(Extent::new(at as u64, piece.len() as u64));
        }
        let holes: Vec<_> = sectors.into_iter().map(|sector| Extent::new(sector * 512, 512)).collect();
        let stream = Stream { source: Arc::new(Holey { bytes, holes: holes.clone() }), map, reasons: Vec::new(), conflict: None };
        let parser = Box::new(DhavParser::new(Bounds::default()));
        let walk = Walk::new(&stream, parser, 0..u64::MAX);
        let found: Vec<_> = walk
            .filter_map(|item| match item {
                WalkItem::Frame(frame) if frame.state == FrameState::Complete => {
                    Some((frame.number?, frame.start()..frame.end()))
                }
                _ => None,
            })
            .collect();
        let readable = |range: &std::ops::Range<u64>| {
            let extents = stream.map.map(range.clone());
            extents.iter().all(|extent| holes.iter().all(|hole| hole.intersection(*extent).is_none()))
        };
        let expected: Vec<_> = places.into_iter().filter(|(_, range)| readable(range)).collect();
        prop_assert_eq!(found, expected);
    }
}
