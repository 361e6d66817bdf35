//! What the bridge can prove about a session, and how the host checks it.
//!
//! The same code runs on the board and on the host: the digest log of the data read (published
//! requirements, section 4.4), the signed session statement (4.3), the device key (4.5) and the
//! byte layouts of the bridge's own USB interface (5). Time, randomness and the hash engine come in
//! as arguments; nothing here allocates unless the feature `std` is on, which adds [`verify`] for
//! the host.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod digest;
pub mod entropy;
pub mod interface;
pub mod key;
pub mod log;
pub mod proof;
pub mod statement;
#[cfg(feature = "std")]
pub mod verify;

/// What every report prints beside a statement (published requirements, section 4.5).
pub const KEY_COPY_NOTICE: &str = "A person who held the bridge could copy this key; firmware and \
     drive identity are self-reported.";

/// A SHA-256 value.
pub type Digest = [u8; 32];

/// SHA-256 of `parts` joined.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
