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
    /// Bytes that the engine has.
    fed: u32,
    /// Bytes that have left.
    done: u32,
    /// Bytes of the chunk.
    length: u32,
    /// When it last grew: the one that waited longest gives way.
    used: u64,
}

/// Where the bytes that are leaving go.
#[derive(Clone, Copy, Debug)]
struct Run {
    chunk: u64,
    /// Message of the chunk; `None` where its beginning did not leave.
    slot: Option<Slot>,
    /// Bytes that are still to come of it.
    room: usize,
}

impl Run {
    /// Nothing is leaving, or nothing of interest.
    const NONE: Self = Self { chunk: 0, slot: None, room: usize::MAX };
}

/// The open chunks of a session.
///
/// Bytes are hashed while they leave (`leaving`, then `feed`), which is before it is known that they will: they count when they have left
/// (`commit`), and a chunk with bytes that never did gives no entry (`revoke`).
#[derive(Debug)]
pub struct Chunks<E> {
    engine: E,
    open: [Option<Open>; Slot::COUNT],
    run: Run,
    abandoned: u64,
    clock: u64,
    medium_bytes: u128,
}

impl<E: HashEngine> Chunks<E> {
    /// No chunk is open.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            open: [None; Slot::COUNT],
            run: Run::NONE,
            abandoned: 0,
            clock: 0,
            medium_bytes: 0,
        }
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Begins a session over a medium of so many bytes.
    pub fn begin(&mut self, medium_bytes: u128) {
        self.engine.settle();
        self.open = [None; Slot::COUNT];
        self.run = Run::NONE;
        self.abandoned = 0;
        self.medium_bytes = medium_bytes;
    }

    /// Chunks that were begun and gave no entry.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// What is fed next lies at byte `offset` of the medium.
    pub fn leaving(&mut self, offset: u64) {
        self.end_run();
        let chunk = offset >> CHUNK_BITS;
        let inside = u32::try_from(offset & CHUNK_MASK).unwrap_or(0);
        let slot = self.slot_for(chunk, inside);
        let room = usize::try_from(CHUNK.saturating_sub(inside)).unwrap_or(0);
        self.run = Run { chunk, slot, room };
    }

    /// Hashes the next bytes that are leaving; nothing where no session was open when the first of them left. An engine beside the
    /// processor may read them until [`Chunks::commit`] or [`Chunks::revoke`] has come back.
    #[inline]
    pub fn feed(&mut self, data: &[u8]) {
        let Some(room) = self.run.room.checked_sub(data.len()) else { return self.cross(data) };
        self.run.room = room;
        if let Some(slot) = self.run.slot {
            self.engine.update(slot, data);
        }
    }

    /// Bytes that go on into the next chunk.
    #[inline(never)]
    fn cross(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let Run { chunk, room, .. } = self.run;
            if room == 0 {
                self.leaving(chunk.saturating_add(1) << CHUNK_BITS);
            }
            let (piece, rest) = data.split_at(data.len().min(self.run.room));
            self.feed(piece);
            data = rest;
        }
    }

    /// Writes down how far the engine is in the chunk whose bytes were leaving.
    fn end_run(&mut self) {
        let run = core::mem::replace(&mut self.run, Run::NONE);
        self.clock = self.clock.wrapping_add(1);
        let open = run.slot.and_then(|slot| self.open.get_mut(slot.index()));
        if let Some(open) = open.and_then(Option::as_mut) {
            open.fed = CHUNK.saturating_sub(u32::try_from(run.room).unwrap_or(CHUNK));
            open.used = self.clock;
        }
    }

    /// All that was fed has left; calls `done` for each chunk that is whole, in ascending order.
    pub fn commit(&mut self, done: &mut dyn FnMut(Whole)) {
        self.end_run();
        self.engine.settle();
        for open in self.open.iter_mut().flatten() {
            open.done = open.fed;
        }
        while let Some((slot, chunk, length)) = self.first_whole() {
            if let Some(place) = self.open.get_mut(slot.index()) {
                *place = None;
            }
            done(Whole { chunk, length, digest: self.engine.finish(slot) });
        }
    }

    fn first_whole(&self) -> Option<(Slot, u64, u32)> {
        let slots = Slot::ALL.into_iter().zip(&self.open);
        let open = slots.filter_map(|(slot, open)| open.map(|open| (slot, open)));
        let whole = open.filter(|(_, open)| open.done >= open.length);
        let first = whole.min_by_key(|(_, open)| open.chunk);
        first.map(|(slot, open)| (slot, open.chunk, open.length))
    }

    /// What was fed and has not been committed does not leave.
    pub fn revoke(&mut self) {
        self.end_run();
        self.engine.settle();
        for slot in Slot::ALL {
            let here = self.open.get(slot.index()).copied().flatten();
            if here.is_some_and(|open| open.fed != open.done) {
                self.abandon(slot);
            }
        }
    }

    /// The slot in which a piece goes on, or a new one if it begins its chunk.
    fn slot_for(&mut self, chunk: u64, inside: u32) -> Option<Slot> {
        let at = |open: &Option<Open>| open.is_some_and(|open| open.chunk == chunk);
        if let Some(slot) =
            Slot::ALL.into_iter().find(|slot| self.open.get(slot.index()).is_some_and(at))
        {
            let goes_on = self.open.get(slot.index()).copied().flatten()?.fed == inside;
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
        let (length, used) = (self.length_of(chunk), self.clock);
        if let Some(place) = self.open.get_mut(slot.index()) {
            *place = Some(Open { chunk, fed: 0, done: 0, length, used });
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
        self.end_run();
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
            chunks.leaving(*offset as u64);
            data[*offset..offset + length].chunks(512).for_each(|packet| chunks.feed(packet));
            chunks.commit(&mut |w| whole.push(w));
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
        chunks.leaving(0);
        chunks.feed(&data[..half]);
        chunks.commit(&mut |_| panic!("not whole"));
        chunks.failed(half as u64);
        chunks.leaving(half as u64);
        chunks.feed(&data[half..]);
        chunks.commit(&mut |_| panic!("after an error"));
        assert_eq!(chunks.abandoned(), 1);
    }

    /// 4.4: bytes that were hashed and never left give no entry, and do not spoil what had left before of other chunks.
    #[test]
    fn what_never_left_gives_no_entry() {
        let data = medium(2 * MIB);
        let half = MIB / 2;
        let mut chunks = Chunks::new(Software::new());
        chunks.begin(data.len() as u128);
        chunks.leaving(0);
        chunks.feed(&data[..half]);
        chunks.commit(&mut |_| panic!("not whole"));
        // The last byte of the second chunk was hashed, and the host gave up.
        chunks.leaving(MIB as u64);
        chunks.feed(&data[MIB..]);
        chunks.revoke();
        chunks.commit(&mut |_| panic!("it never left"));
        assert_eq!(chunks.abandoned(), 1);
        let mut whole = Vec::new();
        chunks.leaving(half as u64);
        chunks.feed(&data[half..MIB]);
        chunks.commit(&mut |w| whole.push(w));
        chunks.leaving(MIB as u64);
        chunks.feed(&data[MIB..]);
        chunks.commit(&mut |w| whole.push(w));
        assert_eq!(whole.iter().map(|w| w.chunk).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(
            (whole[0].digest, whole[1].digest),
            (sha256(&[&data[..MIB]]), sha256(&[&data[MIB..]]))
        );
        assert_eq!(chunks.abandoned(), 1);
    }

    /// 4.4: one piece may end a chunk and hold the whole next one; their entries come in order.
    #[test]
    fn chunks_that_end_together_come_in_order() {
        let data = medium(MIB + 512);
        let (whole, _) = reads(&data, &[(0, MIB - 512), (MIB - 512, 1024)]);
        assert_eq!(whole.iter().map(|w| w.chunk).collect::<Vec<_>>(), [0, 1]);
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
