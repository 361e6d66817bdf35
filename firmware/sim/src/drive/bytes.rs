//! Byte access without panics: what lies beyond the end reads as zero, as an unset field of a short
//! CDB does, and a write beyond the end is dropped.

use sha2::{Digest, Sha256};

/// The byte at `at`, zero beyond the end.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Bits `mask` of the byte at `at` are not all zero.
pub(crate) fn bit(bytes: &[u8], at: usize, mask: u8) -> bool {
    u8_at(bytes, at) & mask != 0
}

/// Big-endian integer of `len` bytes (at most eight) from `at`.
pub(crate) fn be(bytes: &[u8], at: usize, len: usize) -> u64 {
    (0..len.min(8)).fold(0, |value, i| (value << 8) | u64::from(u8_at(bytes, at.saturating_add(i))))
}

/// Little-endian integer of `len` bytes (at most eight) from `at`.
pub(crate) fn le(bytes: &[u8], at: usize, len: usize) -> u64 {
    (0..len.min(8))
        .rev()
        .fold(0, |value, i| (value << 8) | u64::from(u8_at(bytes, at.saturating_add(i))))
}

/// Copies `value` to `at`; what does not fit is dropped.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(tail) = bytes.get_mut(at..) {
        for (to, from) in tail.iter_mut().zip(value) {
            *to = *from;
        }
    }
}

/// Stores word `index` of an ATA data structure, little-endian.
pub(crate) fn put_word(bytes: &mut [u8], index: usize, value: u16) {
    put(bytes, index.saturating_mul(2), &value.to_le_bytes());
}

/// Bits 7:0.
pub(crate) fn low8(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Bits 15:0.
pub(crate) fn low16(value: u64) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Bits 31:0.
pub(crate) fn low32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// As an address in memory; a value that does not fit becomes the largest one.
pub(crate) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Left-justified text of `len` bytes, padded with spaces.
pub(crate) fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().take(len).collect();
    bytes.resize(len, b' ');
    bytes
}

/// SHA-256 of the parts, each with its length in front, so that a shifted border shows.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
