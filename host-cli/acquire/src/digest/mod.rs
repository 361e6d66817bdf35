//! Digests of a whole medium, made as it goes by, with states that outlive the process.
//!
//! Facts: RFC 1321 (MD5), FIPS 180-4 (SHA-1, SHA-256), the BLAKE3 paper; SHA-1 and SHA-256 are those of RustCrypto, BLAKE3
//! that of its authors' crate. MD5 and SHA-1 are there because containers and courts ask for them and never stand alone (CU-11). A digest over less
//! than the whole medium is never reported as that of the medium: there is no way to end one early and get a value with that name.

mod blake;
pub mod blocks;
mod md5;

use sha2::digest::{
    Digest,
    common::hazmat::{SerializableState, SerializedState},
};

use blake::TreeHash;
use md5::Md5;

/// A hash function for the whole medium.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// MD5, RFC 1321.
    Md5,
    /// SHA-1, FIPS 180-4.
    Sha1,
    /// SHA-256, FIPS 180-4.
    Sha256,
    /// BLAKE3, 256 bits.
    Blake3,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Blake3];

    /// The name in records, in lower case and without a hyphen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    /// The standard program that gives the same value.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Md5 => "md5sum",
            Self::Sha1 => "sha1sum",
            Self::Sha256 => "sha256sum",
            Self::Blake3 => "b3sum",
        }
    }
}

/// A state that was kept is none of this function.
#[derive(Debug, thiserror::Error)]
#[error("the kept state of {} is damaged", algorithm.as_str())]
pub struct StateError {
    /// The function.
    pub algorithm: Algorithm,
}

/// One function at work on a medium.
#[derive(Clone)]
pub struct WholeHash {
    algorithm: Algorithm,
    state: State,
}

#[derive(Clone)]
enum State {
    Md5(Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Blake3(Box<TreeHash>),
}

impl WholeHash {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Md5 => State::Md5(Md5::default()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        };
        Self { algorithm, state }
    }

    /// Which function.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Hashes the next bytes of the medium.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Md5(hash) => hash.update(bytes),
            State::Sha1(hash) => hash.update(bytes),
            State::Sha256(hash) => hash.update(bytes),
            State::Blake3(hash) => hash.update(bytes),
        }
    }

    /// What is needed to go on later, in hexadecimal digits. Taken where the medium has been hashed up to a multiple of one MiB.
    pub fn keep(&self) -> String {
        match &self.state {
            State::Md5(hash) => hash.keep(),
            State::Sha1(hash) => hex(&hash.serialize()),
            State::Sha256(hash) => hex(&hash.serialize()),
            State::Blake3(hash) => hash.keep(),
        }
    }

    /// Goes on from what [`WholeHash::keep`] gave.
    ///
    /// # Errors
    /// When the text is no such state.
    pub fn resume(algorithm: Algorithm, kept: &str) -> Result<Self, StateError> {
        let damaged = || StateError { algorithm };
        let state = match algorithm {
            Algorithm::Md5 => State::Md5(Md5::resume(kept).ok_or_else(damaged)?),
            Algorithm::Sha1 => State::Sha1(taken_up(kept).ok_or_else(damaged)?),
            Algorithm::Sha256 => State::Sha256(taken_up(kept).ok_or_else(damaged)?),
            Algorithm::Blake3 => {
                State::Blake3(Box::new(TreeHash::resume(kept).ok_or_else(damaged)?))
            }
        };
        Ok(Self { algorithm, state })
    }

    /// The digest, after the last byte of the medium.
    pub fn finish(self) -> Vec<u8> {
        match self.state {
            State::Md5(hash) => hash.finish().to_vec(),
            State::Sha1(hash) => hash.finalize().to_vec(),
            State::Sha256(hash) => hash.finalize().to_vec(),
            State::Blake3(hash) => hash.finish().to_vec(),
        }
    }
}

fn taken_up<H: SerializableState>(kept: &str) -> Option<H> {
    let bytes = unhex(kept)?;
    let state = SerializedState::<H>::try_from(bytes.as_slice()).ok()?;
    H::deserialize(&state).ok()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from hexadecimal digits; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)?.checked_shl(4)? | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1321 A.5, FIPS 180-4 examples, and the empty input of the BLAKE3 test vectors.
    #[test]
    fn known_answers() {
        for (algorithm, input, digest) in [
            (Algorithm::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Blake3,
                "",
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
        ] {
            let mut hash = WholeHash::new(algorithm);
            hash.update(input.as_bytes());
            assert_eq!(hex(&hash.finish()), digest);
        }
    }

    /// a digest that was kept and taken up is that of the bytes in one go, wherever it was cut.
    #[test]
    fn kept_states_go_on() {
        const MIB: usize = 1 << 20;
        let bytes: Vec<u8> = (0..9 * MIB + 4321)
            .map(|at| (at as u32).wrapping_mul(0x9e37_79b1).to_le_bytes()[3])
            .collect();
        for algorithm in Algorithm::ALL {
            let mut whole = WholeHash::new(algorithm);
            whole.update(&bytes);
            let whole = hex(&whole.finish());
            for cut in 1..=9 {
                let mut first = WholeHash::new(algorithm);
                for piece in bytes[..cut * MIB].chunks(700_001) {
                    first.update(piece);
                }
                let mut second = WholeHash::resume(algorithm, &first.keep()).unwrap();
                second.update(&bytes[cut * MIB..]);
                assert_eq!(hex(&second.finish()), whole, "{algorithm:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn damaged_states_are_refused() {
        for algorithm in Algorithm::ALL {
            for kept in ["", "00", "zz", "ä", "0", &"f".repeat(3000)] {
                assert!(WholeHash::resume(algorithm, kept).is_err(), "{algorithm:?} {kept}");
            }
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_and_back(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }

        /// The tree is that of the BLAKE3 crate for every length and cut of the input.
        #[test]
        fn the_tree_hash_is_blake3(megabytes in 0usize..20, rest in 0usize..3, piece in 1usize..3_000_000) {
            let bytes = vec![0x5a; (megabytes << 20) + rest];
            let mut hash = WholeHash::new(Algorithm::Blake3);
            for piece in bytes.chunks(piece) {
                hash.update(piece);
            }
            let expected = blake3::hash(&bytes);
            prop_assert_eq!(hash.finish(), expected.as_bytes().to_vec());
        }
    }
}
