//! The public key as OpenSSL reads it: `key.pem`.
//!
//! SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4) in PEM (RFC 7468, section 13). There is
//! one encoding of a key, so reading means comparing.

use std::format;
use std::string::String;
use std::vec::Vec;

/// Sequence of algorithm 1.3.101.112 and a bit string of 32 bytes.
const DER_PREFIX: [u8; 12] =
    [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text is not the PEM form of an Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PemError;

impl std::fmt::Display for PemError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not the PEM form of an Ed25519 public key")
    }
}

impl std::error::Error for PemError {}

/// The public key as PEM text.
#[must_use]
pub fn pem(public_key: &[u8; 32]) -> String {
    let mut der = DER_PREFIX.to_vec();
    der.extend_from_slice(public_key);
    format!("{BEGIN}\n{}\n{END}\n", base64(&der))
}

/// Reads what [`pem`] writes, also with other line ends and white space around it.
///
/// # Errors
/// [`PemError`].
pub fn public_key_from_pem(text: &str) -> Result<[u8; 32], PemError> {
    let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let der = decode(body.ok_or(PemError)?.trim()).ok_or(PemError)?;
    let key = der.strip_prefix(&DER_PREFIX).ok_or(PemError)?;
    key.try_into().map_err(|_| PemError)
}

/// Base64 of a multiple of three bytes less one, as the 44 bytes of a key are: padding is one `=`.
fn base64(der: &[u8]) -> String {
    let mut out = String::new();
    for triple in der.chunks(3) {
        let bits = triple.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        let missing = 3_usize.saturating_sub(triple.len());
        let bits = bits.wrapping_shl(u32::try_from(missing.wrapping_mul(8)).unwrap_or(0));
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from((bits >> shift) & 63).ok();
            let digit = digit.and_then(|digit| ALPHABET.get(digit)).copied().unwrap_or(b'=');
            let padding = place > 3_usize.saturating_sub(missing);
            out.push(if padding { '=' } else { char::from(digit) });
        }
    }
    out
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for four in text.strip_suffix('=')?.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in four {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            bits = (bits << 6) | u32::try_from(value).ok()?;
        }
        let [_, a, b, c] = (bits << (if four.len() == 3 { 6 } else { 0 })).to_be_bytes();
        match four.len() {
            4 => out.extend([a, b, c]),
            3 if c == 0 => out.extend([a, b]),
            _ => return None,
        }
    }
    Some(out)
}
