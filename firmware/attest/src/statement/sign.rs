//! Ed25519 (RFC 8032) over a message in pieces.
//!
//! The device signs while it serves reads, so the message is fed piece by piece and the feeder may
//! do other work in between. Ed25519 reads the message twice. If the two readings differed, two
//! signatures could share a nonce and disclose the key, so both are compared by SHA-256 and nothing
//! is given out when they differ.

use crate::Digest;
use core::cell::RefCell;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign_byupdate};
use ed25519_dalek::{SignatureError, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};

/// The message was not the same at its second reading; there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed;

/// The device key, expanded: made once, so that a signature costs one multiplication on the curve.
#[derive(Debug)]
pub struct Signer {
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl Signer {
    /// Expands a seed. The public key is computed, not taken from storage: signing with a public
    /// key that does not belong to the seed would disclose the key.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let secret = ExpandedSecretKey::from(seed);
        let public = VerifyingKey::from(&secret);
        Self { secret, public }
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Signs what `feed` hands to its argument, piece by piece. `feed` is called twice and must
    /// hand out the same bytes.
    ///
    /// # Errors
    /// [`Changed`].
    pub fn sign_in_chunks(
        &self,
        feed: impl FnMut(&mut dyn FnMut(&[u8])),
    ) -> Result<[u8; 64], Changed> {
        let state = RefCell::new((feed, None::<Digest>));
        let read = |hash: &mut Sha512| {
            let (feed, before) = &mut *state.try_borrow_mut().map_err(|_| SignatureError::new())?;
            let mut control = Sha256::new();
            feed(&mut |piece| {
                hash.update(piece);
                control.update(piece);
            });
            let now: Digest = control.finalize().into();
            match before.replace(now) {
                Some(before) if before != now => Err(SignatureError::new()),
                _ => Ok(()),
            }
        };
        raw_sign_byupdate::<Sha512, _>(&self.secret, read, &self.public)
            .map(|signature| signature.to_bytes())
            .map_err(|_| Changed)
    }
}

/// [`Signer::sign_in_chunks`] with a key that is expanded on the way.
///
/// # Errors
/// [`Changed`].
pub fn sign_in_chunks(
    seed: &[u8; 32],
    feed: impl FnMut(&mut dyn FnMut(&[u8])),
) -> Result<[u8; 64], Changed> {
    Signer::new(seed).sign_in_chunks(feed)
}

/// The public key of a seed.
#[must_use]
pub fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    Signer::new(seed).public_key()
}
