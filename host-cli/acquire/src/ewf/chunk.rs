//! Chunks: what a medium's bytes become in a sectors section.
//!
//! Facts: Expert Witness Compression Format (libyal), "chunk": stored bytes with their Adler-32, or one zlib stream; the last chunk of a
//! medium holds only what is left. A stream that is not smaller than the bytes is never written. The compressor (libdeflate) gives
//! the same stream for the same bytes whatever it did before, so encoders on several threads give what one gives.

use libdeflater::{CompressionLvl, Compressor};
use serde::{Deserialize, Serialize};

use super::{plan::Plan, probe, section};

/// How chunks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Every chunk as it is.
    Never,
    /// Zeros by a constant, what looks incompressible as it is, the rest deflated fast.
    #[default]
    Adaptive,
    /// Everything deflated as small as zlib's best: slow, and for recorder disks hardly smaller.
    Best,
}

/// Level for [`Compression::Adaptive`]: the fastest. Text and a file system's own areas come out 2 to 11 % smaller than zlib's level
/// 1 makes them, in a third of its time.
const FAST_LEVEL: i32 = 1;
/// Level for [`Compression::Best`], and for the chunk of zeros: a little smaller than zlib's level 9, in less than half its time.
/// Level 12 saves another one to two percent and takes six to nine times as long.
const BEST_LEVEL: i32 = 9;

/// One chunk of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes in the batch.
    pub len: u32,
    /// True for a zlib stream.
    pub compressed: bool,
}

/// Chunks in order, as they stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The bytes of all chunks, back to back.
    pub bytes: Vec<u8>,
    /// Where each ends and what it is.
    pub chunks: Vec<Chunk>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.chunks.clear();
    }

    fn add(&mut self, bytes: &[u8], compressed: bool) {
        self.bytes.extend_from_slice(bytes);
        self.note(bytes.len(), compressed);
    }

    /// Adds `chunk` as it is with its checksum `sum`.
    fn store(&mut self, chunk: &[u8], sum: u32) {
        self.bytes.extend_from_slice(chunk);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.note(chunk.len().saturating_add(4), false);
    }

    fn note(&mut self, len: usize, compressed: bool) {
        self.chunks.push(Chunk { len: u32::try_from(len).unwrap_or(u32::MAX), compressed });
    }
}

/// Makes chunks of bytes; one for each thread.
pub struct Encoder {
    compression: Compression,
    chunk_bytes: usize,
    compressor: Compressor,
    zero: Vec<u8>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("compression", &self.compression)
            .field("chunk_bytes", &self.chunk_bytes)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for the chunks of `plan`.
    pub fn new(compression: Compression, plan: &Plan) -> Self {
        let chunk_bytes = usize::try_from(plan.chunk_bytes()).unwrap_or(usize::MAX);
        let scratch = vec![0; chunk_bytes.saturating_sub(1)];
        let level = if compression == Compression::Best { BEST_LEVEL } else { FAST_LEVEL };
        let mut encoder = Self {
            compression,
            chunk_bytes,
            compressor: compressor(BEST_LEVEL),
            zero: Vec::new(),
            scratch,
        };
        let zeros = vec![0; chunk_bytes];
        encoder.zero = encoder.deflate(&zeros).map(<[u8]>::to_vec).unwrap_or_default();
        encoder.compressor = compressor(level);
        encoder
    }

    /// Puts the chunks of `slab` into `out` and nothing else. A slab has a whole number of chunks, except at the end of the medium.
    pub fn encode(&mut self, slab: &[u8], out: &mut Batch) {
        out.clear();
        out.bytes.reserve(slab.len().saturating_add(slab.len() / 1024));
        for chunk in slab.chunks(self.chunk_bytes.max(1)) {
            self.encode_chunk(chunk, out);
        }
    }

    fn encode_chunk(&mut self, chunk: &[u8], out: &mut Batch) {
        let may_deflate = self.compression != Compression::Never;
        let is_whole = chunk.len() == self.chunk_bytes && !self.zero.is_empty();
        if may_deflate && is_whole && probe::is_zero(chunk) {
            return out.add(&self.zero, true);
        }
        // First of all: it reads the chunk in order, and the probe, which does not, then finds it in the cache.
        let sum = section::adler(chunk);
        let is_worth_it = match self.compression {
            Compression::Never => false,
            Compression::Adaptive => !probe::is_incompressible(chunk),
            Compression::Best => true,
        };
        match is_worth_it.then(|| self.deflate(chunk)).flatten() {
            Some(stream) => out.add(stream, true),
            None => out.store(chunk, sum),
        }
    }

    /// `chunk` as a zlib stream; `None` unless that is smaller.
    fn deflate(&mut self, chunk: &[u8]) -> Option<&[u8]> {
        let room = self.scratch.get_mut(..chunk.len().saturating_sub(1))?;
        let len = self.compressor.zlib_compress(chunk, room).ok()?;
        self.scratch.get(..len)
    }
}

fn compressor(level: i32) -> Compressor {
    Compressor::new(CompressionLvl::new(level).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ewf::SegmentSize;

    fn plan(bytes: u64) -> Plan {
        Plan::new(bytes, 512, SegmentSize::Auto, None).unwrap()
    }

    fn encoded(compression: Compression, slab: &[u8]) -> Batch {
        let mut batch = Batch::default();
        Encoder::new(compression, &plan(1 << 30)).encode(slab, &mut batch);
        batch
    }

    /// The medium's bytes again, every checksum checked.
    fn decoded(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = &batch.bytes[..];
        for chunk in &batch.chunks {
            let (bytes, after) = rest.split_at(chunk.len as usize);
            rest = after;
            if chunk.compressed {
                let mut plain = vec![0; 32_768];
                let len =
                    libdeflater::Decompressor::new().zlib_decompress(bytes, &mut plain).unwrap();
                assert!(bytes.len() < len);
                out.extend_from_slice(&plain[..len]);
            } else {
                let (plain, sum) = bytes.split_at(bytes.len() - 4);
                assert_eq!(section::adler(plain).to_le_bytes(), sum);
                out.extend_from_slice(plain);
            }
        }
        assert!(rest.is_empty());
        out
    }

    /// the Adler-32 of `Wikipedia` is the published 11E60398h.
    #[test]
    fn a_stored_chunk_ends_with_its_checksum() {
        let batch = encoded(Compression::Never, b"Wikipedia");
        assert_eq!(batch.bytes, b"Wikipedia\x98\x03\xE6\x11");
        assert_eq!(batch.chunks, [Chunk { len: 13, compressed: false }]);
    }

    #[test]
    fn zeros_take_a_constant_and_are_stored_where_nothing_is_compressed() {
        let zeros = vec![0; 65_536];
        let batch = encoded(Compression::Adaptive, &zeros);
        assert_eq!(batch.chunks.len(), 2);
        assert!(batch.bytes.len() < 130, "{}", batch.bytes.len());
        assert_eq!(batch.chunks[0], batch.chunks[1]);
        assert_eq!(encoded(Compression::Never, &zeros).bytes.len(), 65_536 + 8);
    }

    #[test]
    fn one_byte_is_stored() {
        for compression in [Compression::Adaptive, Compression::Best] {
            assert_eq!(encoded(compression, &[0]).chunks, [Chunk { len: 5, compressed: false }]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// whatever is put in comes out, and no chunk is larger than its bytes and a checksum.
        #[test]
        fn what_goes_in_comes_out(
            parts in prop::collection::vec((0u8..4, 1usize..40_000, any::<u64>()), 1..6),
            which in 0usize..3,
        ) {
            let compression = [Compression::Never, Compression::Adaptive, Compression::Best][which];
            let mut state = 1u64;
            let slab: Vec<u8> = parts.iter().flat_map(|(kind, len, seed)| {
                state ^= seed | 1;
                (0..*len).map(|n| match kind {
                    0 => 0,
                    1 => n as u8,
                    2 => b"recorder "[n % 9],
                    _ => { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (state >> 40) as u8 }
                }).collect::<Vec<u8>>()
            }).collect();
            let batch = encoded(compression, &slab);
            prop_assert_eq!(decoded(&batch), slab);
            prop_assert!(batch.chunks.iter().all(|c| c.len <= 32_772));
        }
    }
}
