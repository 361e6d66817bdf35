//! `COSE_Sign1` and the bytes that are signed (RFC 9052, sections 4.2 and 4.4).
//!
//! Tag 18; protected header `{1: -8, 4: key id}` (algorithm EdDSA, and the key id there too, so
//! that it is signed); unprotected header empty; external data empty. Protected header and payload
//! stand in the message and in the `Sig_structure` as the same byte strings, so nothing is stored
//! twice: the bytes to be signed are four pieces, two of them constant.

use crate::Digest;

/// The largest statement in bytes, signature included: below 64 KiB (published requirements, 4.3).
pub const MAX_STATEMENT: usize = 65_535;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE: usize = 64;

/// Tag 18, array of four.
const OPENING: [u8; 2] = [0xD2, 0x84];
/// Byte string of 38 bytes: map of two, alg (1) = EdDSA (-8), kid (4) = byte string of 32 bytes.
const PROTECTED: [u8; 8] = [0x58, 38, 0xA2, 0x01, 0x27, 0x04, 0x58, 32];
/// Bytes of the protected header as a byte string.
const PROTECTED_LEN: usize = PROTECTED.len() + 32;
/// Bytes before the payload's byte string; the last is the empty unprotected header.
const PREFIX: usize = OPENING.len() + PROTECTED_LEN + 1;
const UNPROTECTED: u8 = 0xA0;
/// Byte string of 64 bytes.
const SIGNATURE_HEAD: [u8; 2] = [0x58, 64];
const TRAILER: usize = SIGNATURE_HEAD.len() + SIGNATURE;
/// Array of four, text of ten: the start of every `Sig_structure` of a `COSE_Sign1`.
const CONTEXT: &[u8] = b"\x84\x6ASignature1";
/// The empty external data.
const EXTERNAL: &[u8] = &[0x40];

/// Where the parts of an encoded statement lie in its buffer. Holds no reference, so that it can
/// be kept beside the buffer in a state of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsigned {
    /// Offset of the payload behind its head.
    payload_at: usize,
    payload_len: usize,
}

impl Unsigned {
    /// The layout for a payload of `payload_len` bytes; `None` when the statement would be too
    /// long.
    pub(super) fn new(payload_len: usize) -> Option<Self> {
        let head = match payload_len {
            0..=23 => 1,
            24..=0xFF => 2,
            _ => 3,
        };
        let payload_at = PREFIX.checked_add(head)?;
        let whole = payload_at.checked_add(payload_len)?.checked_add(TRAILER)?;
        (whole <= MAX_STATEMENT).then_some(Self { payload_at, payload_len })
    }

    /// The layout of a whole statement, its key id and its signature; only the one form that
    /// [`encode`](super::encode) writes is taken, to the last byte.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn read(statement: &[u8]) -> Result<(Self, Digest, [u8; SIGNATURE]), FormError> {
        if statement.len() > MAX_STATEMENT {
            return Err(FormError::Length);
        }
        let rest = statement.strip_prefix(&OPENING).ok_or(FormError::Opening)?;
        let rest = rest.strip_prefix(&PROTECTED).ok_or_else(|| FormError::of_header(rest))?;
        let (key_id, rest) = rest.split_first_chunk::<32>().ok_or(FormError::Length)?;
        let rest = rest.strip_prefix(&[UNPROTECTED]).ok_or(FormError::Unprotected)?;
        let payload_len = match *rest {
            [0x59, high, low, ..] if high > 0 => usize::from(u16::from_be_bytes([high, low])),
            [0x58, low, ..] if low > 23 => usize::from(low),
            [head @ 0x40..=0x57, ..] => usize::from(head & 0x1F),
            _ => return Err(FormError::Payload),
        };
        let unsigned = Self::new(payload_len).ok_or(FormError::Length)?;
        let trailer = statement.get(unsigned.payload_end()..).ok_or(FormError::Length)?;
        let signature = trailer.strip_prefix(&SIGNATURE_HEAD).ok_or(FormError::Signature)?;
        let signature = signature.try_into().map_err(|_| FormError::Length)?;
        Ok((unsigned, *key_id, signature))
    }

    const fn payload_end(&self) -> usize {
        self.payload_at.saturating_add(self.payload_len)
    }

    /// Bytes of the signed statement.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub const fn len(&self) -> usize {
        self.payload_end().saturating_add(TRAILER)
    }

    /// Writes everything but payload and signature (which is zero until it is attached), and gives
    /// the place of the payload.
    pub(super) fn frame<'b>(&self, key_id: &Digest, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (head, rest) = buffer.get_mut(..self.len())?.split_at_mut_checked(self.payload_at)?;
        let (payload, trailer) = rest.split_at_mut_checked(self.payload_len)?;
        let [_, _, high @ .., low] = u64::try_from(self.payload_len).ok()?.to_be_bytes();
        let [.., high] = high;
        let length: &[u8] = match self.payload_len {
            0..=23 => &[0x40 | low],
            24..=0xFF => &[0x58, low],
            _ => &[0x59, high, low],
        };
        let bytes = OPENING.iter().chain(&PROTECTED).chain(key_id).chain([&UNPROTECTED]);
        for (to, from) in head.iter_mut().zip(bytes.chain(length)) {
            *to = *from;
        }
        for (to, from) in trailer.iter_mut().zip(SIGNATURE_HEAD.iter().chain(&[0; SIGNATURE])) {
            *to = *from;
        }
        Some(payload)
    }

    /// The bytes to be signed (`Sig_structure`), in four pieces. `buffer` is the one that
    /// [`encode`](super::encode) filled; another one gives other or empty pieces.
    #[must_use]
    pub fn parts<'b>(&self, buffer: &'b [u8]) -> [&'b [u8]; 4] {
        let piece = |from: usize, to: usize| buffer.get(from..to).unwrap_or_default();
        [
            CONTEXT,
            piece(OPENING.len(), OPENING.len().saturating_add(PROTECTED_LEN)),
            EXTERNAL,
            piece(PREFIX, self.payload_end()),
        ]
    }

    /// The payload, that is the claims.
    #[must_use]
    pub fn payload<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        buffer.get(self.payload_at..self.payload_end()).unwrap_or_default()
    }

    /// Puts the signature into its place and gives the whole statement; `None` when the buffer is
    /// not the one that was encoded into.
    pub fn attach<'b>(
        &self,
        buffer: &'b mut [u8],
        signature: &[u8; SIGNATURE],
    ) -> Option<&'b [u8]> {
        let whole = buffer.get_mut(..self.len())?;
        *whole.last_chunk_mut::<SIGNATURE>()? = *signature;
        Some(whole)
    }
}

/// Why bytes have not the form of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormError {
    /// Cut short, bytes behind the end, or 64 KiB or more.
    Length,
    /// Not tag 18 with an array of four.
    Opening,
    /// The protected header names another algorithm than EdDSA.
    Algorithm,
    /// The protected header is not `{1: -8, 4: key id}` in deterministic encoding.
    Protected,
    /// The unprotected header is not empty.
    Unprotected,
    /// The payload is not a byte string with the shortest head.
    Payload,
    /// The signature is not a byte string of 64 bytes.
    Signature,
}

impl FormError {
    /// Tells a wrong algorithm from a wrong header.
    fn of_header(header: &[u8]) -> Self {
        match header {
            [0x58, 38, 0xA2, 0x01, algorithm, 0x04, ..] if *algorithm != 0x27 => Self::Algorithm,
            _ => Self::Protected,
        }
    }
}
