//! The hash engine: SHA-256 of several messages at once, in hardware or in software.
//!
//! Published requirements, section 4.4: chunks of the drive are hashed while they pass, at least
//! four may be open at once, and a hardware engine is taken only after [`known_answer_test`] at
//! power-on. SHA-256 is FIPS 180-4.

use crate::Digest;
use sha2::{Digest as _, Sha256};

/// Which engine ran, as the statement and `INFO` say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Engine {
    /// The software implementation of this module.
    #[default]
    Software,
    /// The data co-processor of the i.MX RT family.
    Dcp,
}

impl Engine {
    /// The number used in the statement.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Software => 0,
            Self::Dcp => 1,
        }
    }

    /// The engine of a number used in the statement.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Software),
            1 => Some(Self::Dcp),
            _ => None,
        }
    }
}

/// One of the messages that may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
    /// The third.
    C,
    /// The fourth.
    D,
}

impl Slot {
    /// How many messages may be open at once.
    pub const COUNT: usize = 4;
    /// All slots.
    pub const ALL: [Self; Self::COUNT] = [Self::A, Self::B, Self::C, Self::D];

    /// Position in [`Slot::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
            Self::C => 2,
            Self::D => 3,
        }
    }
}

/// SHA-256 over up to [`Slot::COUNT`] messages at once.
///
/// A slot holds one message. `start` throws away whatever the slot held; `finish` gives the digest
/// and leaves the slot empty, so that `finish` without `start` is the digest of the bytes fed since
/// the last `finish`.
pub trait HashEngine {
    /// Which engine this is.
    fn engine(&self) -> Engine;
    /// Opens an empty message.
    fn start(&mut self, slot: Slot);
    /// Appends bytes to the message. Pieces may have any length, also zero. An engine beside the
    /// processor may come back before it has read them: the bytes stay as they are until
    /// [`HashEngine::settle`] or `finish` has come back.
    fn update(&mut self, slot: Slot, data: &[u8]);
    /// Comes back when all bytes that were appended have been read.
    fn settle(&mut self);
    /// Closes the message and gives its digest.
    fn finish(&mut self, slot: Slot) -> Digest;
    /// Whether it works beside the processor, and so would have all bytes at once.
    fn is_beside(&self) -> bool;
}

impl<H: HashEngine + ?Sized> HashEngine for &mut H {
    fn engine(&self) -> Engine {
        (**self).engine()
    }

    fn start(&mut self, slot: Slot) {
        (**self).start(slot);
    }

    fn update(&mut self, slot: Slot, data: &[u8]) {
        (**self).update(slot, data);
    }

    fn settle(&mut self) {
        (**self).settle();
    }

    fn finish(&mut self, slot: Slot) -> Digest {
        (**self).finish(slot)
    }

    fn is_beside(&self) -> bool {
        (**self).is_beside()
    }
}

/// SHA-256 in software.
#[derive(Debug, Clone, Default)]
pub struct Software {
    open: [Sha256; Slot::COUNT],
}

impl Software {
    /// An engine with all slots empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn slot(&mut self, slot: Slot) -> &mut Sha256 {
        let [a, b, c, d] = &mut self.open;
        match slot {
            Slot::A => a,
            Slot::B => b,
            Slot::C => c,
            Slot::D => d,
        }
    }
}

impl HashEngine for Software {
    fn engine(&self) -> Engine {
        Engine::Software
    }

    fn start(&mut self, slot: Slot) {
        self.slot(slot).reset();
    }

    fn update(&mut self, slot: Slot, data: &[u8]) {
        self.slot(slot).update(data);
    }

    fn settle(&mut self) {}

    fn is_beside(&self) -> bool {
        false
    }

    fn finish(&mut self, slot: Slot) -> Digest {
        self.slot(slot).finalize_reset().into()
    }
}

/// SHA-256 of nothing.
const EMPTY: Digest = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
/// SHA-256 of `abc`, the one-block example of FIPS 180.
const ABC: Digest = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];
/// SHA-256 of [`Pattern`] 0, 1 MiB of it (made with `sha256sum`).
const MEBIBYTE: Digest = [
    0xca, 0x60, 0x73, 0x39, 0x2e, 0xe7, 0x1d, 0xbd, 0x1a, 0x2d, 0x35, 0x6c, 0x3c, 0xaa, 0x23, 0x3f,
    0x8f, 0x82, 0x8a, 0xe1, 0x7f, 0x8f, 0x8b, 0xa8, 0x57, 0x0e, 0xe3, 0x49, 0x1b, 0xe1, 0x28, 0xab,
];
/// SHA-256 of [`Pattern`] 1, 5000 bytes of it (made with `sha256sum`).
const FIRST: Digest = [
    0x27, 0x30, 0xc7, 0xb0, 0x72, 0xd8, 0x05, 0xc7, 0xf5, 0xc3, 0x46, 0x40, 0x6d, 0x50, 0x52, 0x34,
    0x9c, 0x4b, 0xe2, 0xfb, 0x57, 0xb1, 0x09, 0x63, 0x53, 0x29, 0xbd, 0x10, 0xa7, 0xd8, 0xa9, 0x4b,
];
/// SHA-256 of [`Pattern`] 2, 7001 bytes of it (made with `sha256sum`).
const SECOND: Digest = [
    0xca, 0xb5, 0x9c, 0xbe, 0x03, 0x03, 0x03, 0x85, 0xe5, 0x0b, 0x22, 0x7c, 0x77, 0xa7, 0x1a, 0xa0,
    0xf1, 0x0a, 0x9d, 0xdb, 0x22, 0x01, 0xd0, 0xd9, 0xaa, 0x3c, 0xf8, 0x77, 0x7f, 0x7b, 0x60, 0x04,
];

/// A test message that no two positions of a block share: byte i is the top byte of
/// (i + start) x 2654435761 modulo 2^32.
struct Pattern {
    at: u32,
    left: usize,
}

impl Pattern {
    const fn new(start: u32, len: usize) -> Self {
        Self { at: start, left: len }
    }

    /// Feeds the next piece, at most `size` bytes; false when the message was over already.
    fn feed(&mut self, engine: &mut impl HashEngine, slot: Slot, size: usize) -> bool {
        let mut buffer = [0_u8; 1024];
        let size = size.min(self.left).min(buffer.len());
        let piece = buffer.get_mut(..size).unwrap_or_default();
        for byte in piece.iter_mut() {
            let [top, ..] = self.at.wrapping_mul(2_654_435_761).to_be_bytes();
            *byte = top;
            self.at = self.at.wrapping_add(1);
        }
        engine.update(slot, piece);
        // The buffer goes.
        engine.settle();
        self.left = self.left.saturating_sub(size);
        size > 0
    }
}

/// Piece sizes around the block size of the hash, the packet sizes of USB and the size of a sector.
const PIECES: [usize; 10] = [1, 63, 64, 65, 512, 511, 1000, 3, 1024, 128];

/// Whether the engine computes SHA-256 of nothing, of one block, of 1 MiB in uneven pieces, and of
/// two messages interleaved, the latter in every slot (published requirements, section 4.4). A
/// board takes its hardware engine only when this says so. All slots are empty afterwards.
pub fn known_answer_test<H: HashEngine>(engine: &mut H) -> bool {
    whole(engine, &[], &EMPTY)
        && whole(engine, b"abc", &ABC)
        && uneven(engine)
        && interleaved(engine, Slot::A, Slot::B)
        && interleaved(engine, Slot::C, Slot::D)
        && whole(engine, b"abc", &ABC)
}

fn whole(engine: &mut impl HashEngine, message: &[u8], expected: &Digest) -> bool {
    engine.start(Slot::A);
    engine.update(Slot::A, message);
    engine.finish(Slot::A) == *expected
}

fn uneven(engine: &mut impl HashEngine) -> bool {
    engine.start(Slot::B);
    let mut message = Pattern::new(0, 1 << 20);
    for size in PIECES.into_iter().cycle() {
        if !message.feed(engine, Slot::B, size) {
            break;
        }
    }
    engine.finish(Slot::B) == MEBIBYTE
}

fn interleaved(engine: &mut impl HashEngine, left: Slot, right: Slot) -> bool {
    engine.start(left);
    engine.start(right);
    let (mut first, mut second) = (Pattern::new(1, 5000), Pattern::new(2, 7001));
    for size in PIECES.into_iter().cycle() {
        let fed = first.feed(engine, left, size);
        if !second.feed(engine, right, size) && !fed {
            break;
        }
    }
    engine.finish(right) == SECOND && engine.finish(left) == FIRST
}
