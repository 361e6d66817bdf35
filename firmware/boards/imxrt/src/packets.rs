//! SHA-256 in work packets of the data co-processor (DCP): what is said to the unit, without saying how it is reached.
//!
//! Facts: i.MX RT1060 reference manual, chapter "Data Co-Processor" (work packets, control fields, channels and the context
//! switching buffer). Four channels, one for each message that may be open; the unit keeps each channel's state in the
//! context buffer and pads the last packet of a message by itself. Two things follow from how it does so:
//!
//! - Every packet but the last of a message is a number of whole blocks of 64 bytes.
//! - The last packet, where HASH_TERM is set, cannot be empty. So at least one byte is always held back; up to 64 are, which also keeps
//!   what follows aligned as the caller's data are. The empty message never reaches the unit.
//!
//! The digest comes back last byte first.

use wb_attest::{
    Digest,
    digest::{Engine, HashEngine, Slot},
    sha256,
};

/// Block of SHA-256.
pub const BLOCK: usize = 64;
/// Context of one channel: 16 bytes of a cipher, which is not used here, and 36 of the hash (eight words and the length).
pub const CHANNEL_CONTEXT: usize = 16 + 36;
/// The context switching buffer: all channels, the last channel first. Only the unit reads and writes it.
pub const CONTEXT: usize = CHANNEL_CONTEXT * Slot::COUNT;
const _: () = assert!(CONTEXT == 208);

/// Words of a work packet.
pub const WORDS: usize = 8;

/// Control 0: the channel's semaphore goes down when the packet is done.
const DECREMENT_SEMAPHORE: u32 = 1 << 1;
/// Control 0: the packet is hashed.
const ENABLE_HASH: u32 = 1 << 6;
/// Control 0: first packet of a message.
const HASH_INIT: u32 = 1 << 12;
/// Control 0: last packet of a message.
const HASH_TERM: u32 = 1 << 13;
/// Control 1: HASH_SELECT, SHA-256.
const SELECT_SHA256: u32 = 2 << 16;

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The bytes.
    pub source: &'a [u8],
    /// It is the message's first.
    pub first: bool,
    /// It is the message's last.
    pub last: bool,
}

impl Packet<'_> {
    /// The eight words of the work packet: next command, control 0, control 1, source, destination, size, payload, status. The digest goes to
    /// the payload.
    #[must_use]
    pub fn words(&self, source: u32, payload: u32) -> [u32; WORDS] {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let control = DECREMENT_SEMAPHORE
            | ENABLE_HASH
            | flag(self.first, HASH_INIT)
            | flag(self.last, HASH_TERM);
        let size = u32::try_from(self.source.len()).unwrap_or(0);
        [0, control, SELECT_SHA256, source, 0, size, payload, 0]
    }
}

/// The unit did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What carries packets out, one at a time.
pub trait Unit {
    /// Gives a packet to the channel of a slot. Its bytes stay as they are until [`Unit::wait`] has come back.
    fn begin(&mut self, channel: Slot, packet: &Packet<'_>);

    /// Waits for the end of the packet on that channel.
    ///
    /// # Errors
    /// [`Failed`] after an error, or no end in time.
    fn wait(&mut self, channel: Slot) -> Result<(), Failed>;

    /// Payload of the channel's last packet, as the unit wrote it.
    fn payload(&self, channel: Slot) -> [u8; 32];
}

/// One open message.
#[derive(Clone, Copy, Debug)]
struct Message {
    /// What was held back, 64 bytes at most.
    held: [u8; BLOCK],
    length: usize,
    /// The unit has had its first packet.
    begun: bool,
}

impl Message {
    const EMPTY: Self = Self { held: [0; BLOCK], length: 0, begun: false };

    /// Takes as many bytes as there is room for; the rest.
    fn hold<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let room = BLOCK.saturating_sub(self.length);
        let (taken, rest) = data.split_at_checked(room).unwrap_or((data, &[]));
        let free = self.held.iter_mut().skip(self.length);
        for (to, from) in free.zip(taken) {
            *to = *from;
        }
        self.length = self.length.saturating_add(taken.len());
        rest
    }
}

/// SHA-256 of four messages at once on a [`Unit`].
///
/// A packet runs while the processor goes on; the next one waits for it.
///
/// The trait knows no errors, and a unit that fails has lost its messages, so every digest after that is zero and [`Dcp::has_failed`] says
/// so: the board has to look before anything of it can leave, and starts anew.
#[derive(Debug)]
pub struct Dcp<U> {
    unit: U,
    open: [Message; Slot::COUNT],
    /// Channel that has a packet.
    busy: Option<Slot>,
    failed: bool,
}

impl<U: Unit> Dcp<U> {
    /// An engine with all slots empty.
    pub const fn new(unit: U) -> Self {
        Self { unit, open: [Message::EMPTY; Slot::COUNT], busy: None, failed: false }
    }

    /// Whether the unit has failed once.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    fn message(&mut self, slot: Slot) -> &mut Message {
        let [a, b, c, d] = &mut self.open;
        match slot {
            Slot::A => a,
            Slot::B => b,
            Slot::C => c,
            Slot::D => d,
        }
    }

    fn begin(&mut self, slot: Slot, source: &[u8], last: bool) {
        self.settle();
        let first = !core::mem::replace(&mut self.message(slot).begun, true);
        if !self.failed {
            self.unit.begin(slot, &Packet { source, first, last });
            self.busy = Some(slot);
        }
    }

    /// Hands over the block that was held back, to its end.
    fn run_held(&mut self, slot: Slot, last: bool) {
        let message = self.message(slot);
        let held = message.held;
        let length = core::mem::take(&mut message.length);
        self.begin(slot, held.get(..length).unwrap_or_default(), last);
        self.settle();
    }
}

impl<U: Unit> HashEngine for Dcp<U> {
    fn engine(&self) -> Engine {
        Engine::Dcp
    }

    fn start(&mut self, slot: Slot) {
        *self.message(slot) = Message::EMPTY;
    }

    fn update(&mut self, slot: Slot, data: &[u8]) {
        let rest = self.message(slot).hold(data);
        if rest.is_empty() {
            return;
        }
        self.run_held(slot, false);
        // What is held back is between 1 and 64 bytes.
        let blocks = rest.len().saturating_sub(1) / BLOCK;
        let (now, later) =
            rest.split_at_checked(blocks.saturating_mul(BLOCK)).unwrap_or((&[], rest));
        if !now.is_empty() {
            self.begin(slot, now, false);
        }
        self.message(slot).hold(later);
    }

    fn settle(&mut self) {
        if let Some(slot) = self.busy.take()
            && self.unit.wait(slot).is_err()
        {
            self.failed = true;
        }
    }

    fn is_beside(&self) -> bool {
        true
    }

    fn finish(&mut self, slot: Slot) -> Digest {
        let message = *self.message(slot);
        if message.length == 0 {
            // Nothing was ever fed: as soon as one byte is, one is held back.
            return sha256(&[]);
        }
        self.run_held(slot, true);
        *self.message(slot) = Message::EMPTY;
        if self.failed {
            return [0; 32];
        }
        let mut digest = self.unit.payload(slot);
        digest.reverse();
        digest
    }
}

/// The engine that a board runs: hardware that passed its test, or software.
// There is one, and it stays where it is.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Chosen<U> {
    /// The unit.
    Hardware(Dcp<U>),
    /// The processor.
    Software(wb_attest::digest::Software),
}

impl<U: Unit> Chosen<U> {
    /// Takes the unit if it answers the known-answer test right, and software otherwise.
    pub fn by_test(unit: U) -> Self {
        let mut hardware = Dcp::new(unit);
        if wb_attest::digest::known_answer_test(&mut hardware) && !hardware.has_failed() {
            Self::Hardware(hardware)
        } else {
            Self::Software(wb_attest::digest::Software::new())
        }
    }
}

impl<U: Unit> HashEngine for Chosen<U> {
    fn engine(&self) -> Engine {
        match self {
            Self::Hardware(engine) => engine.engine(),
            Self::Software(engine) => engine.engine(),
        }
    }

    fn start(&mut self, slot: Slot) {
        match self {
            Self::Hardware(engine) => engine.start(slot),
            Self::Software(engine) => engine.start(slot),
        }
    }

    fn update(&mut self, slot: Slot, data: &[u8]) {
        match self {
            Self::Hardware(engine) => engine.update(slot, data),
            Self::Software(engine) => engine.update(slot, data),
        }
    }

    fn settle(&mut self) {
        match self {
            Self::Hardware(engine) => engine.settle(),
            Self::Software(engine) => engine.settle(),
        }
    }

    fn is_beside(&self) -> bool {
        match self {
            Self::Hardware(engine) => engine.is_beside(),
            Self::Software(engine) => engine.is_beside(),
        }
    }

    fn finish(&mut self, slot: Slot) -> Digest {
        match self {
            Self::Hardware(engine) => engine.finish(slot),
            Self::Software(engine) => engine.finish(slot),
        }
    }
}

#[cfg(test)]
mod tests;
