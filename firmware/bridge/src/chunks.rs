//! Chunks of 1 MiB that leave for the host, hashed on their way, and the entries made of them.
//!
//! Facts: the published requirements, section 4.4. A chunk gives an entry only if all its bytes left in ascending order, without a
//! gap, in one pass; a few may be open at once, so that several readers do not spoil each other's.

use wb_attest::{
    digest::{HashEngine, Slot},
    log::CHUNK,
};

const CHUNK_BITS: u32 = CHUNK.trailing_zeros();
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;
const _: () = assert!(CHUNK.is_power_of_two());

/// A chunk all of whose bytes have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its number: byte offset divided by 1 MiB.
    pub chunk: u64,
    /// Its length; the last one of a medium may be short.
    pub length: u32,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
struct Open {
    chunk: u64,
    /// Bytes of the chunk that have left.
    done: u32,
    /// When it last grew: the one that waited longest gives way.
    used: u64,
}

/// The open chunks of a session.
#[derive(Debug)]
pub struct Chunks<E> {
    engine: E,
    open: [Option<Open>; Slot::COUNT],
    abandoned: u64,
    clock: u64,
    medium_bytes: u128,
}

impl<E: HashEngine> Chunks<E> {
    /// No chunk is open.
    pub fn new(engine: E) -> Self {
        Self { engine, open: [None; Slot::COUNT], abandoned: 0, clock: 0, medium_bytes: 0 }
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Begins a session over a medium of so many bytes.
    pub fn begin(&mut self, medium_bytes: u128) {
        self.open = [None; Slot::COUNT];
        self.abandoned = 0;
        self.medium_bytes = medium_bytes;
    }

    /// Chunks that were begun and gave no entry.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Takes note that `data` left for the host, which lie at byte `offset` of the medium; calls `done` for each chunk that is whole.
    pub fn left(&mut self, mut offset: u64, mut data: &[u8], done: &mut dyn FnMut(Whole)) {
        while !data.is_empty() {
            let chunk = offset >> CHUNK_BITS;
            let inside = u32::try_from(offset & CHUNK_MASK).unwrap_or(0);
            let room = usize::try_from(CHUNK.saturating_sub(inside)).unwrap_or(0);
            let (piece, rest) = data.split_at(data.len().min(room));
            if let Some(whole) = self.piece(chunk, inside, piece) {
                done(whole);
            }
            offset = offset.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            data = rest;
        }
    }

    fn piece(&mut self, chunk: u64, inside: u32, piece: &[u8]) -> Option<Whole> {
        let slot = self.slot_for(chunk, inside)?;
        self.engine.update(slot, piece);
        self.clock = self.clock.wrapping_add(1);
        let length = self.length_of(chunk);
        let open = self.open.get_mut(slot.index())?.as_mut()?;
        open.done = open.done.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        open.used = self.clock;
        if open.done < length {
            return None;
        }
        if let Some(place) = self.open.get_mut(slot.index()) {
            *place = None;
        }
        Some(Whole { chunk, length, digest: self.engine.finish(slot) })
    }

    /// The slot in which a piece goes on, or a new one if it begins its chunk.
    fn slot_for(&mut self, chunk: u64, inside: u32) -> Option<Slot> {
        let at = |open: &Option<Open>| open.is_some_and(|open| open.chunk == chunk);
        if let Some(slot) =
            Slot::ALL.into_iter().find(|slot| self.open.get(slot.index()).is_some_and(at))
        {
            let goes_on = self.open.get(slot.index()).copied().flatten()?.done == inside;
            if goes_on {
                return Some(slot);
            }
            self.abandon(slot);
            return (inside == 0).then(|| self.start(slot, chunk));
        }
        if inside != 0 {
            return None;
        }
        let slot = self.free_slot()?;
        Some(self.start(slot, chunk))
    }

    /// An empty slot, or that of the chunk which waited longest.
    fn free_slot(&mut self) -> Option<Slot> {
        let used =
            |slot: &Slot| self.open.get(slot.index()).copied().flatten().map(|open| open.used);
        let slot = Slot::ALL
            .into_iter()
            .min_by_key(|slot| used(slot).map_or(0, |used| used.saturating_add(1)))?;
        if used(&slot).is_some() {
            self.abandon(slot);
        }
        Some(slot)
    }

    fn start(&mut self, slot: Slot, chunk: u64) -> Slot {
        self.engine.start(slot);
        if let Some(place) = self.open.get_mut(slot.index()) {
            *place = Some(Open { chunk, done: 0, used: self.clock });
        }
        slot
    }

    fn abandon(&mut self, slot: Slot) {
        if let Some(place) = self.open.get_mut(slot.index()) {
            *place = None;
            self.abandoned = self.abandoned.saturating_add(1);
        }
    }

    /// An error lies in the chunk: what was begun of it gives no entry.
    pub fn failed(&mut self, offset: u64) {
        let chunk = offset >> CHUNK_BITS;
        for slot in Slot::ALL {
            let here = self.open.get(slot.index()).copied().flatten();
            if here.is_some_and(|open| open.chunk == chunk) {
                self.abandon(slot);
            }
        }
    }

    /// Length of a chunk on this medium.
    fn length_of(&self, chunk: u64) -> u32 {
        let start = u128::from(chunk).saturating_mul(u128::from(CHUNK));
        let left = self.medium_bytes.saturating_sub(start);
        u32::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use wb_attest::{digest::Software, sha256};

    use super::*;

    const MIB: usize = 1 << 20;

    fn medium(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| (n * 31 + n / 4096) as u8).collect()
    }

    fn reads(data: &[u8], reads: &[(usize, usize)]) -> (Vec<Whole>, u64) {
        let mut chunks = Chunks::new(Software::new());
        chunks.begin(data.len() as u128);
        let mut whole = Vec::new();
        for (offset, length) in reads {
            chunks.left(*offset as u64, &data[*offset..offset + length], &mut |w| whole.push(w));
        }
        (whole, chunks.abandoned())
    }

    /// 4.4: the digest is that of the bytes, however the reads were cut; the last chunk is short.
    #[test]
    fn chunks_are_hashed_over_any_cut() {
        let data = medium(2 * MIB + 512);
        for step in [512, 65_536, 100_352, MIB, 3 * MIB] {
            let cut: Vec<_> =
                (0..data.len()).step_by(step).map(|at| (at, step.min(data.len() - at))).collect();
            let (whole, abandoned) = reads(&data, &cut);
            assert_eq!((whole.len(), abandoned), (3, 0));
            for (n, part) in data.chunks(MIB).enumerate() {
                assert_eq!(whole[n].chunk, n as u64);
                assert_eq!(whole[n].length as usize, part.len());
                assert_eq!(whole[n].digest, sha256(&[part]));
            }
        }
    }

    /// 4.4: a gap, a jump back or an error gives no entry; a later whole pass does.
    #[test]
    fn gaps_and_jumps_abandon() {
        let data = medium(MIB);
        let half = MIB / 2;
        let (whole, abandoned) = reads(&data, &[(0, 512), (1024, 512), (0, half), (0, MIB)]);
        assert_eq!((whole.len(), abandoned), (1, 2));
        assert_eq!(reads(&data, &[(half, half)]), (Vec::new(), 0));
        let mut chunks = Chunks::new(Software::new());
        chunks.begin(MIB as u128);
        chunks.left(0, &data[..half], &mut |_| panic!("not whole"));
        chunks.failed(half as u64);
        chunks.left(half as u64, &data[half..], &mut |_| panic!("after an error"));
        assert_eq!(chunks.abandoned(), 1);
    }

    /// 4.4: four readers at once keep their chunks; a fifth takes the place of the one that waited longest.
    #[test]
    fn four_chunks_may_be_open() {
        let data = medium(5 * MIB);
        let half = MIB / 2;
        let firsts = |n: usize| (0..n).map(|c| (c * MIB, half)).collect::<Vec<_>>();
        let seconds = |n: usize| (0..n).map(|c| (c * MIB + half, half)).collect::<Vec<_>>();
        let (whole, abandoned) = reads(&data, &[firsts(4), seconds(4)].concat());
        assert_eq!((whole.len(), abandoned), (4, 0));
        let (whole, abandoned) = reads(&data, &[firsts(5), seconds(5)].concat());
        assert_eq!((whole.len(), abandoned), (4, 1));
        assert!(whole.iter().all(|w| w.chunk != 0));
    }
}
