//! The device key: how it comes to be, what it is called, how it lies in flash.
//!
//! Published requirements, section 4.5: Ed25519, made by the device from its own entropy mixed with
//! the host's, written once; the host never injects one and no request returns the secret part.

use crate::{Digest, sha256};
use sha2::{Digest as _, Sha256};

/// First bytes of the hash that makes a seed.
pub const SEED_LABEL: &[u8] = b"daleel-bridge-seed-1";

/// Makes a seed: SHA-256(label || device entropy || 32 bytes from the host || chip id).
#[derive(Debug, Clone)]
pub struct SeedMaker(Sha256);

impl Default for SeedMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl SeedMaker {
    /// Begins with the label.
    #[must_use]
    pub fn new() -> Self {
        Self(Sha256::new().chain_update(SEED_LABEL))
    }

    /// Adds device entropy, in pieces of any length. The samples must have passed the health tests
    /// of [`entropy`](crate::entropy).
    pub fn device(&mut self, samples: &[u8]) {
        self.0.update(samples);
    }

    /// Adds the host's bytes and the chip's id, and gives the seed.
    #[must_use]
    pub fn finish(self, host: &[u8; 32], chip_id: &[u8]) -> [u8; 32] {
        self.0.chain_update(host).chain_update(chip_id).finalize().into()
    }
}

/// The key id: SHA-256 of the public key.
#[must_use]
pub fn key_id(public_key: &[u8; 32]) -> Digest {
    sha256(&[public_key])
}

/// The USB serial: first 24 hex digits of the key id, upper case ASCII.
#[must_use]
pub fn usb_serial(key_id: &Digest) -> [u8; 24] {
    let mut serial = [b'0'; 24];
    for (pair, byte) in serial.as_chunks_mut::<2>().0.iter_mut().zip(key_id) {
        *pair = [hex(byte >> 4), hex(byte & 15)];
    }
    serial
}

const fn hex(digit: u8) -> u8 {
    match digit {
        0..=9 => b'0'.wrapping_add(digit),
        _ => b'A'.wrapping_sub(10).wrapping_add(digit),
    }
}

/// What the key page in flash holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyPage {
    /// The secret seed (RFC 8032, section 5.1.5).
    pub seed: [u8; 32],
    /// Its public key.
    pub public_key: [u8; 32],
}

impl core::fmt::Debug for KeyPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyPage").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

/// What is wrong with a key page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPageError {
    /// Erased flash: there is no key.
    Blank,
    /// Written, but not a key page of this version, or damaged. It must not be taken for a missing
    /// key: nothing may be written over it.
    Damaged,
}

impl KeyPage {
    /// Bytes of the page: what flash chips program at once.
    pub const SIZE: usize = 256;
    const MAGIC: [u8; 4] = *b"DLKY";
    const VERSION: [u8; 4] = [0, 0, 0, 1];
    const ERASED: u8 = 0xFF;

    /// The page of a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, public_key: crate::statement::public_key(&seed) }
    }

    /// Magic, version, seed, public key, SHA-256 of these 72 bytes; the rest stays erased.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let check = self.check();
        let mut page = [Self::ERASED; Self::SIZE];
        let fields = Self::MAGIC
            .iter()
            .chain(&Self::VERSION)
            .chain(&self.seed)
            .chain(&self.public_key)
            .chain(&check);
        for (to, from) in page.iter_mut().zip(fields) {
            *to = *from;
        }
        page
    }

    fn check(&self) -> Digest {
        sha256(&[&Self::MAGIC, &Self::VERSION, &self.seed, &self.public_key])
    }

    /// Reads a page. That the public key belongs to the seed is not computed here:
    /// [`Signer`](crate::statement::Signer) derives its own.
    ///
    /// # Errors
    /// [`KeyPageError`].
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, KeyPageError> {
        if bytes.iter().all(|byte| *byte == Self::ERASED) {
            return Err(KeyPageError::Blank);
        }
        let page = Self::fields(bytes).ok_or(KeyPageError::Damaged)?;
        if page.to_bytes() == *bytes { Ok(page) } else { Err(KeyPageError::Damaged) }
    }

    fn fields(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<8>()?;
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        Some(Self { seed: *seed, public_key: *rest.first_chunk()? })
    }
}
