//! MD5, a quarter faster than the `md-5` crate: of everything that is done with a medium in one pass it takes longest.
//!
//! Facts: RFC 1321. Every step waits for the one before, so what counts is the number of additions after its result is there. Compilers move the
//! constant of a step to the end of the sum, where it costs a cycle in each of 64 steps; constants that come from a table that the
//! compiler cannot see through stay in front. In the second round the two halves of the choice are added one by one, so that only one of
//! them waits. The `md-5` crate is the judge in the tests (docs/decisions/0008-acquisition.md).

use std::hint::black_box;

use super::{hex, unhex};

/// Bytes of a block.
const BLOCK: usize = 64;
/// RFC 1321, 3.3.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// RFC 1321, 3.4: the whole part of 2^32 times the absolute sine of 1 to 64 radians.
static SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// MD5 at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Md5 {
    state: [u32; 4],
    /// Bytes of whole blocks in the state.
    hashed: u64,
    /// Bytes behind them, fewer than a block.
    rest: Vec<u8>,
}

impl Default for Md5 {
    fn default() -> Self {
        Self { state: START, hashed: 0, rest: Vec::with_capacity(BLOCK) }
    }
}

impl Md5 {
    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let missing = BLOCK.saturating_sub(self.rest.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() < BLOCK {
                return;
            }
            let block = std::mem::take(&mut self.rest);
            self.blocks(block.as_chunks().0);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.blocks(blocks);
        self.rest.extend_from_slice(rest);
    }

    fn blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        compress(&mut self.state, blocks, black_box(&SINES));
        let bytes = u64::try_from(blocks.len()).unwrap_or(u64::MAX).wrapping_mul(BLOCK as u64);
        self.hashed = self.hashed.wrapping_add(bytes);
    }

    /// State, length and the bytes of no whole block, in hexadecimal digits.
    pub fn keep(&self) -> String {
        let state = self.state.map(u32::to_le_bytes);
        format!(
            "{}{}{}",
            hex(state.as_flattened()),
            hex(&self.hashed.to_le_bytes()),
            hex(&self.rest)
        )
    }

    /// Takes up what [`Md5::keep`] gave.
    pub fn resume(kept: &str) -> Option<Self> {
        let bytes = unhex(kept)?;
        let (state, bytes) = bytes.split_first_chunk::<16>()?;
        let (hashed, rest) = bytes.split_first_chunk::<8>()?;
        let (words, _) = state.as_chunks::<4>();
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let hashed = u64::from_le_bytes(*hashed);
        let is_whole = hashed.is_multiple_of(BLOCK as u64) && rest.len() < BLOCK;
        is_whole.then_some(())?;
        Some(Self { state: words.try_into().ok()?, hashed, rest: rest.to_vec() })
    }

    /// The digest.
    pub fn finish(mut self) -> [u8; 16] {
        let length = self.hashed.wrapping_add(self.rest.len() as u64).wrapping_mul(8);
        // RFC 1321, 3.1 and 3.2: a one, zeros up to 56 bytes of a block, the length in bits.
        let mut end = std::mem::take(&mut self.rest);
        end.push(0x80);
        let whole = end.len().saturating_add(8).next_multiple_of(BLOCK);
        end.resize(whole.saturating_sub(8), 0);
        end.extend_from_slice(&length.to_le_bytes());
        self.blocks(end.as_chunks().0);
        let mut digest = [0; 16];
        digest.copy_from_slice(self.state.map(u32::to_le_bytes).as_flattened());
        digest
    }
}

/// One step: `a` takes the place of what it was.
macro_rules! step {
    (f $a:ident $b:ident $c:ident $d:ident $in:expr, $shift:literal) => {
        $a = $a
            .wrapping_add($in)
            .wrapping_add((($c ^ $d) & $b) ^ $d)
            .rotate_left($shift)
            .wrapping_add($b);
    };
    (g $a:ident $b:ident $c:ident $d:ident $in:expr, $shift:literal) => {
        $a = $a
            .wrapping_add($in)
            .wrapping_add(!$d & $c)
            .wrapping_add($d & $b)
            .rotate_left($shift)
            .wrapping_add($b);
    };
    (h $a:ident $b:ident $c:ident $d:ident $in:expr, $shift:literal) => {
        $a = $a.wrapping_add($in).wrapping_add($b ^ ($c ^ $d)).rotate_left($shift).wrapping_add($b);
    };
    (i $a:ident $b:ident $c:ident $d:ident $in:expr, $shift:literal) => {
        $a =
            $a.wrapping_add($in).wrapping_add($c ^ ($b | !$d)).rotate_left($shift).wrapping_add($b);
    };
}

/// Four steps: the words and constants that they take, by number.
macro_rules! four {
    ($round:ident $a:ident $b:ident $c:ident $d:ident, $w:ident $k:ident,
     $w0:literal $w1:literal $w2:literal $w3:literal, $k0:literal $k1:literal $k2:literal $k3:literal,
     $s0:literal $s1:literal $s2:literal $s3:literal) => {
        step!($round $a $b $c $d $w[$w0].wrapping_add($k[$k0]), $s0);
        step!($round $d $a $b $c $w[$w1].wrapping_add($k[$k1]), $s1);
        step!($round $c $d $a $b $w[$w2].wrapping_add($k[$k2]), $s2);
        step!($round $b $c $d $a $w[$w3].wrapping_add($k[$k3]), $s3);
    };
}

/// RFC 1321, 3.4.
#[inline(never)]
fn compress(state: &mut [u32; 4], blocks: &[[u8; BLOCK]], k: &[u32; 64]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for block in blocks {
        let mut w = [0; 16];
        for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let before = [a, b, c, d];
        four!(f a b c d, w k, 0 1 2 3, 0 1 2 3, 7 12 17 22);
        four!(f a b c d, w k, 4 5 6 7, 4 5 6 7, 7 12 17 22);
        four!(f a b c d, w k, 8 9 10 11, 8 9 10 11, 7 12 17 22);
        four!(f a b c d, w k, 12 13 14 15, 12 13 14 15, 7 12 17 22);
        four!(g a b c d, w k, 1 6 11 0, 16 17 18 19, 5 9 14 20);
        four!(g a b c d, w k, 5 10 15 4, 20 21 22 23, 5 9 14 20);
        four!(g a b c d, w k, 9 14 3 8, 24 25 26 27, 5 9 14 20);
        four!(g a b c d, w k, 13 2 7 12, 28 29 30 31, 5 9 14 20);
        four!(h a b c d, w k, 5 8 11 14, 32 33 34 35, 4 11 16 23);
        four!(h a b c d, w k, 1 4 7 10, 36 37 38 39, 4 11 16 23);
        four!(h a b c d, w k, 13 0 3 6, 40 41 42 43, 4 11 16 23);
        four!(h a b c d, w k, 9 12 15 2, 44 45 46 47, 4 11 16 23);
        four!(i a b c d, w k, 0 7 14 5, 48 49 50 51, 6 10 15 21);
        four!(i a b c d, w k, 12 3 10 1, 52 53 54 55, 6 10 15 21);
        four!(i a b c d, w k, 8 15 6 13, 56 57 58 59, 6 10 15 21);
        four!(i a b c d, w k, 4 11 2 9, 60 61 62 63, 6 10 15 21);
        let [a0, b0, c0, d0] = before;
        a = a.wrapping_add(a0);
        b = b.wrapping_add(b0);
        c = c.wrapping_add(c0);
        d = d.wrapping_add(d0);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use ::md5::Digest as _;
    use proptest::prelude::*;

    use super::*;

    /// RFC 1321, A.5.
    #[test]
    fn the_test_suite_of_the_rfc() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "d174ab98d277d9f5a5611c2c9f419d9f",
            ),
            (&"1234567890".repeat(8), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            let mut hash = Md5::default();
            hash.update(text.as_bytes());
            assert_eq!(hex(&hash.finish()), digest, "{text}");
        }
    }

    #[test]
    fn every_length_around_a_block_is_that_of_the_crate() {
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        for length in 0..=bytes.len() {
            let mut hash = Md5::default();
            hash.update(&bytes[..length]);
            assert_eq!(
                hash.finish(),
                <[u8; 16]>::from(::md5::Md5::digest(&bytes[..length])),
                "{length}"
            );
        }
    }

    proptest! {
        /// Whatever the pieces, and wherever it was kept and taken up.
        #[test]
        fn pieces_and_kept_states_are_those_of_the_crate(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        ) {
            let mut own = Md5::default();
            let mut other = ::md5::Md5::new();
            for piece in &pieces {
                own.update(piece);
                other.update(piece);
                own = Md5::resume(&own.keep()).unwrap();
            }
            prop_assert_eq!(own.finish(), <[u8; 16]>::from(other.finalize()));
        }
    }
}
