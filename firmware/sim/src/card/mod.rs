//! A model memory card in SPI mode that obeys every write whenever its own rules let it, so that a hole in the driver shows.
//!
//! Facts: SD Physical Layer Simplified Specification, 4.3 (commands), 4.6.2 (timing), 4.10 to 4.11 (registers, lock), 5 (registers),
//! 6.4.1 (power-up) and 7 (SPI mode). What makes it strict or dangerous:
//!
//! - it checks CRCs only after CMD59 with argument 1 (CMD0 in its native mode and CMD8 always), and takes write tokens FCh and FEh
//!   whenever a write command is open, even across chip select;
//! - an answer is lost when chip select rises before it was sent; a command cut off by chip select is forgotten; a read of several
//!   blocks goes on until CMD12, across chip select too;
//! - it listens while it sends, and answers what it takes for a damaged command in the middle of a block;
//! - before it is initialised it answers on a slow clock only, and after power-up only once it had 74 clocks with chip select high;
//! - after CMD55 a damaged command leaves it waiting for the application command;
//! - everything that it does is counted, and a digest covers what a write can change.

mod bus;
mod execute;
mod registers;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use bus::{ModelCs, ModelDetect, ModelSpi};
pub use state::Counts;

use state::Core;

/// What the card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// SD memory of up to 2 GB, byte addresses, CSD version 1.
    Standard,
    /// The same of specification version 1, which does not know CMD8.
    StandardVersion1,
    /// SD memory of up to 2 TB, block addresses, CSD version 2.
    HighCapacity,
    /// SD memory above 2 TB, CSD version 3.
    UltraCapacity,
    /// I/O functions, no memory.
    SdioOnly,
    /// MultiMediaCard.
    Mmc,
}

/// What the card does with CMD59.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrcBehaviour {
    /// Checks CRCs from then on.
    Honest,
    /// Illegal command.
    Rejects,
    /// Accepts and checks nothing.
    AcceptsWithoutEffect,
}

/// What happens where a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// This data error token instead of data.
    Token(u8),
    /// Nothing instead of data; the status says that the error correction failed.
    NoTokenEccFailed,
    /// Nothing instead of data.
    NoToken,
    /// Data with a wrong CRC16.
    WrongCrc,
    /// No answer to this command or to any other one, until the supply has been off.
    Silence,
}

/// A card before it is inserted.
#[derive(Clone, Debug)]
pub struct CardConfig {
    /// What it is.
    pub family: Family,
    /// Number of 512-byte blocks: a multiple of 1024, or what CSD version 1 can say (see [`CardConfig::new`]).
    pub blocks: u64,
    /// Card identification register.
    pub cid: [u8; 16],
    /// Behaviour with CMD59.
    pub crc: CrcBehaviour,
    /// Locked by a password.
    pub locked: bool,
    /// ACMD41 before the card is ready.
    pub slow_start: u32,
    /// Answers ACMD51 and ACMD13 with illegal command.
    pub without_status: bool,
    /// Bytes of busy after CMD12.
    pub busy_after_stop: u32,
    /// Idle bytes between a response and its data.
    pub access_bytes: u32,
    /// Blocks that cannot be read.
    pub damage: BTreeMap<u64, Damage>,
}

impl CardConfig {
    /// A sound card. A standard card has at most 4096 x 512 blocks here.
    #[must_use]
    pub fn new(family: Family, blocks: u64) -> Self {
        Self {
            family,
            blocks,
            cid: registers::CID,
            crc: CrcBehaviour::Honest,
            locked: false,
            slow_start: 3,
            without_status: false,
            busy_after_stop: 5,
            access_bytes: 4,
            damage: BTreeMap::new(),
        }
    }
}

/// A bit that changes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flip {
    /// Number of the byte since the model was made, on a bus that carries one byte each way at a time.
    pub byte: u64,
    /// Bits that change.
    pub mask: u8,
}

/// A supply that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PowerLoss {
    /// Before this byte, numbered as in [`Flip`].
    pub byte: u64,
    /// For so many bytes.
    pub bytes: u64,
}

/// Disturbances of the wires.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// On the way to the card.
    pub to_card: Vec<Flip>,
    /// On the way from the card.
    pub from_card: Vec<Flip>,
    /// Of the supply.
    pub power: Vec<PowerLoss>,
}

/// The slot with a card in it, shared by the bus, the chip select line and the test.
#[derive(Clone)]
pub struct ModelCard(Arc<Mutex<Core>>);

impl ModelCard {
    /// A slot with this card.
    #[must_use]
    pub fn new(config: CardConfig) -> Self {
        Self(Arc::new(Mutex::new(Core::new(Some(config)))))
    }

    /// A slot without a card.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new(Mutex::new(Core::new(None))))
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bus of the slot.
    #[must_use]
    pub fn spi(&self) -> ModelSpi {
        ModelSpi(self.clone())
    }

    /// The chip select line of the slot.
    #[must_use]
    pub fn cs(&self) -> ModelCs {
        ModelCs(self.clone())
    }

    /// The detect switch of the slot: low while a card is inserted.
    #[must_use]
    pub fn detect(&self) -> ModelDetect {
        ModelDetect(self.clone())
    }

    /// Disturbances from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.core().faults = faults;
    }

    /// Puts another card into the slot, or none. Counts go on.
    pub fn exchange(&self, config: Option<CardConfig>) {
        self.core().exchange(config);
    }

    /// Locks the card that is inserted, as another host might have.
    pub fn lock(&self) {
        self.core().set_locked();
    }

    /// Bytes carried since the model was made.
    #[must_use]
    pub fn bytes_carried(&self) -> u64 {
        self.core().carried
    }

    /// What the card took and did.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core().counts.clone()
    }

    /// SHA-256 over everything that a write, an erase or a lock command can change.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.core().digest()
    }

    /// Bytes from now on are kept: those to the card, with chip select (low: `true`).
    pub fn record(&self) {
        self.core().log = Some(Vec::new());
    }

    /// The bytes kept since [`ModelCard::record`].
    #[must_use]
    pub fn recorded(&self) -> Vec<(bool, u8)> {
        self.core().log.clone().unwrap_or_default()
    }
}

/// Content of a block before anything is written: for one in eight blocks each, all FFh, all 00h, and tokens and command bytes;
/// otherwise pseudo-random, different for each block.
#[must_use]
pub fn content(lba: u64) -> [u8; 512] {
    let mut seed = lba.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes().first().copied().unwrap_or(0)
    };
    let tricky = [0xFE, 0xFC, 0xFD, 0x51, 0x59, 0x58, 0x4C, 0x61, 0xFF, 0x00];
    let mut block = [0; 512];
    for byte in &mut block {
        *byte = match lba & 7 {
            1 => 0xFF,
            2 => 0x00,
            3 => tricky.get(usize::from(next()) & 15).copied().unwrap_or(0xFF),
            _ => next(),
        };
    }
    block
}
