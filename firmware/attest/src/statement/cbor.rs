//! Deterministic CBOR out (RFC 8949, section 4.2.1), to be measured, hashed or written.
//!
//! Integers, lengths and heads come from `minicbor`, which writes the shortest form and definite
//! lengths. The order of map keys is the caller's: all maps are written by hand in ascending order
//! of their encoded keys, and the reader on the host rejects any other order.

use crate::Digest;
use minicbor::Encoder;
use minicbor::encode::Write;
use sha2::Digest as _;

/// Where encoded bytes go.
pub(super) trait Sink {
    /// Takes the bytes; false when there is no room.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

/// Counts bytes.
#[derive(Default)]
pub(super) struct Count(pub usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.0 = self.0.saturating_add(bytes.len());
        true
    }
}

/// Hashes bytes.
#[derive(Default)]
pub(super) struct Hash(pub sha2::Sha256);

impl Sink for Hash {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.0.update(bytes);
        true
    }
}

/// Writes bytes to a buffer, one behind the other.
pub(super) struct Fill<'b> {
    rest: &'b mut [u8],
}

impl<'b> Fill<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        Self { rest: buffer }
    }

    /// Whether the buffer was filled to its end.
    pub(super) const fn is_full(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Sink for Fill<'_> {
    fn put(&mut self, bytes: &[u8]) -> bool {
        let rest = core::mem::take(&mut self.rest);
        match rest.split_at_mut_checked(bytes.len()) {
            Some((to, rest)) => {
                to.copy_from_slice(bytes);
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// A [`Sink`] as `minicbor` wants it.
struct Port<'s>(&'s mut dyn Sink);

/// The sink had no room.
struct Full;

impl Write for Port<'_> {
    type Error = Full;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if self.0.put(bytes) { Ok(()) } else { Err(Full) }
    }
}

/// An encoder that remembers whether anything went wrong, so that a claim is written in one chain.
pub struct Cbor<'s> {
    encoder: Encoder<Port<'s>>,
    intact: bool,
}

impl<'s> Cbor<'s> {
    pub(super) fn new(sink: &'s mut dyn Sink) -> Self {
        Self { encoder: Encoder::new(Port(sink)), intact: true }
    }

    /// Whether everything was written.
    pub(super) const fn intact(&self) -> bool {
        self.intact
    }

    /// Marks the output as worthless.
    pub(super) const fn spoil(&mut self) {
        self.intact = false;
    }

    fn note(&mut self, written: bool) -> &mut Self {
        self.intact &= written;
        self
    }

    pub(super) fn map(&mut self, pairs: u64) -> &mut Self {
        let written = self.encoder.map(pairs).is_ok();
        self.note(written)
    }

    pub(super) fn array(&mut self, items: u64) -> &mut Self {
        let written = self.encoder.array(items).is_ok();
        self.note(written)
    }

    pub(super) fn key(&mut self, key: i64) -> &mut Self {
        let written = self.encoder.i64(key).is_ok();
        self.note(written)
    }

    pub(super) fn uint(&mut self, value: u64) -> &mut Self {
        let written = self.encoder.u64(value).is_ok();
        self.note(written)
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let written = self.encoder.bytes(value).is_ok();
        self.note(written)
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        let written = self.encoder.str(value).is_ok();
        self.note(written)
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        let written = self.encoder.bool(value).is_ok();
        self.note(written)
    }

    pub(super) fn null(&mut self) -> &mut Self {
        let written = self.encoder.null().is_ok();
        self.note(written)
    }

    /// Bytes that came from outside: up to `limit` as they are, more as
    /// `[length, first bytes, SHA-256 of all]`.
    pub(super) fn outside(&mut self, value: &[u8], limit: usize) -> &mut Self {
        match value.get(..limit) {
            Some(first) if value.len() > limit => {
                let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
                self.array(3).uint(length).bytes(first).bytes(&crate::sha256(&[value]))
            }
            _ => self.bytes(value),
        }
    }
}

/// SHA-256 of what `write` encodes.
pub(super) fn digest_of(write: impl FnOnce(&mut Cbor<'_>)) -> Digest {
    let mut hash = Hash::default();
    write(&mut Cbor::new(&mut hash));
    hash.0.finalize().into()
}
