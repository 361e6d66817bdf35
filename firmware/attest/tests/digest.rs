//! The hash engine and the test that decides whether a board takes a hardware one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

use proptest::prelude::*;
use wb_attest::digest::{Engine, HashEngine, Slot, Software, known_answer_test};
use wb_attest::{Digest, sha256};

/// The faults a hardware engine or its driver may have.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `finish` does not empty the slot.
    Stale,
    /// The state is not saved when another message comes in between.
    Shared,
    /// The last bytes of a piece that are no whole block are dropped.
    Partial,
    /// Lengths are kept in 16 bits.
    Length,
    /// One slot is wired to another.
    Alias(Slot, Slot),
    /// Pieces of nothing are taken for one byte.
    Nothing,
    /// Bytes of a word are swapped in the result.
    Swapped,
}

struct Faulty {
    inner: Software,
    fault: Fault,
    fed: [usize; 4],
    last: Option<Slot>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { inner: Software::new(), fault, fed: [0; 4], last: None }
    }

    fn wired(&self, slot: Slot) -> Slot {
        match self.fault {
            Fault::Alias(from, to) if from == slot => to,
            _ => slot,
        }
    }
}

impl HashEngine for Faulty {
    fn engine(&self) -> Engine {
        Engine::Dcp
    }

    fn start(&mut self, slot: Slot) {
        let slot = self.wired(slot);
        self.fed[slot.index()] = 0;
        if !matches!(self.fault, Fault::Stale) {
            self.inner.start(slot);
        }
    }

    fn update(&mut self, slot: Slot, data: &[u8]) {
        let slot = self.wired(slot);
        if matches!(self.fault, Fault::Shared) && self.last.is_some_and(|last| last != slot) {
            self.inner.start(slot);
        }
        self.last = Some(slot);
        let data = match self.fault {
            Fault::Partial => &data[..data.len() / 64 * 64],
            Fault::Length if self.fed[slot.index()] + data.len() > 65_535 => &[],
            Fault::Nothing if data.is_empty() => &[0],
            _ => data,
        };
        self.fed[slot.index()] += data.len();
        self.inner.update(slot, data);
    }

    fn settle(&mut self) {}

    fn is_beside(&self) -> bool {
        false
    }

    fn finish(&mut self, slot: Slot) -> Digest {
        let slot = self.wired(slot);
        let mut digest = self.inner.finish(slot);
        match self.fault {
            Fault::Stale => self.inner.update(slot, b"left over"),
            Fault::Swapped => digest.swap(0, 3),
            _ => {}
        }
        digest
    }
}

/// 4.4: the software engine passes the known-answer test, twice in a row.
#[test]
fn software_passes_the_known_answer_test() {
    let mut engine = Software::new();
    assert!(known_answer_test(&mut engine));
    assert!(known_answer_test(&mut engine));
    assert_eq!(engine.engine(), Engine::Software);
    for slot in Slot::ALL {
        assert_eq!(engine.finish(slot), sha256(&[]));
    }
}

/// 4.4: an engine with any of these faults is not taken.
#[test]
fn a_faulty_engine_fails_the_known_answer_test() {
    let mut faults = vec![
        Fault::Stale,
        Fault::Shared,
        Fault::Partial,
        Fault::Length,
        Fault::Nothing,
        Fault::Swapped,
    ];
    faults.extend([
        Fault::Alias(Slot::B, Slot::A),
        Fault::Alias(Slot::A, Slot::B),
        Fault::Alias(Slot::D, Slot::C),
        Fault::Alias(Slot::C, Slot::D),
    ]);
    for fault in faults {
        assert!(!known_answer_test(&mut Faulty::new(fault)), "{fault:?}");
    }
}

proptest! {
    /// Messages in four slots at once do not touch each other, however they are cut.
    #[test]
    fn four_messages_at_once(
        pieces in proptest::collection::vec((0..4_usize, proptest::collection::vec(any::<u8>(), 0..200)), 0..40)
    ) {
        let mut engine = Software::new();
        let mut messages = [const { Vec::new() }; 4];
        for slot in Slot::ALL {
            engine.start(slot);
        }
        for (slot, piece) in &pieces {
            engine.update(Slot::ALL[*slot], piece);
            messages[*slot].extend_from_slice(piece);
        }
        for (slot, message) in Slot::ALL.into_iter().zip(&messages) {
            prop_assert_eq!(engine.finish(slot), sha256(&[message]));
        }
    }
}
