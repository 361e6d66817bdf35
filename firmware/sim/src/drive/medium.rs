//! The medium of the model drive: a base pattern and, over it, what was written.
//!
//! Writes are kept as extents of one repeated block, so a fill of terabytes costs as much as a
//! write of one block.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bytes::{put, sha256, size};

/// What the medium holds before anything is written.
#[derive(Clone, Debug)]
pub enum Base {
    /// All zero.
    Zero,
    /// Every block differs: its address (8 bytes, big-endian), then pseudo-random bytes that depend
    /// on the seed and the address.
    Stamp(u64),
    /// These bytes from block 0, zero after them.
    Image(Image),
}

impl Base {
    /// These bytes from block 0, zero after them.
    pub fn image(bytes: Vec<u8>) -> Self {
        let digest = sha256(&[&bytes]);
        Self::Image(Image { bytes: bytes.into(), digest })
    }
}

/// Bytes of a medium, with their digest taken once.
#[derive(Clone, Debug)]
pub struct Image {
    bytes: Arc<[u8]>,
    digest: [u8; 32],
}

impl Hash for Base {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Zero => 0u8.hash(state),
            Self::Stamp(seed) => (1u8, seed).hash(state),
            Self::Image(image) => (2u8, image.digest).hash(state),
        }
    }
}

/// Blocks that hold the same content since they were written.
#[derive(Clone, Debug, Hash)]
struct Extent {
    blocks: u64,
    /// `None`: marked uncorrectable.
    content: Option<Arc<[u8]>>,
}

/// A block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Sparse medium.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Medium {
    block_bytes: usize,
    base: Base,
    /// Disjoint, by first block.
    written: BTreeMap<u64, Extent>,
}

impl Medium {
    pub(crate) fn new(block_bytes: u32, base: Base) -> Self {
        Self { block_bytes: size(block_bytes.into()), base, written: BTreeMap::new() }
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Content of one block.
    pub(crate) fn read(&self, lba: u64) -> Result<Vec<u8>, Unreadable> {
        match self.extent_of(lba) {
            Some(extent) => extent.content.as_ref().map(|c| c.to_vec()).ok_or(Unreadable),
            None => Ok(self.base_block(lba)),
        }
    }

    /// Writes one block; short data is padded with zeros.
    pub(crate) fn write(&mut self, lba: u64, data: &[u8]) {
        self.fill(lba, 1, data);
    }

    /// Fills blocks with one repeated content; short content is padded with zeros.
    pub(crate) fn fill(&mut self, lba: u64, blocks: u64, content: &[u8]) {
        let mut block = vec![0; self.block_bytes];
        put(&mut block, 0, content);
        self.set(lba, blocks, Some(block.into()));
    }

    /// Marks blocks so that reading them is a medium error.
    pub(crate) fn mark_uncorrectable(&mut self, lba: u64, blocks: u64) {
        self.set(lba, blocks, None);
    }

    /// SHA-256 of the content of a range; an unreadable block counts as its bytes FFh and a mark.
    pub(crate) fn digest(&self, range: Range<u64>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for lba in range {
            match self.read(lba) {
                Ok(block) => hash.update(&block),
                Err(Unreadable) => hash.update(b"uncorrectable"),
            }
        }
        hash.finalize().into()
    }

    fn set(&mut self, lba: u64, blocks: u64, content: Option<Arc<[u8]>>) {
        let end = lba.saturating_add(blocks);
        if end > lba {
            self.clear(lba, end);
            self.written.insert(lba, Extent { blocks: end.saturating_sub(lba), content });
        }
    }

    /// Cuts `lba..end` out of all extents.
    fn clear(&mut self, lba: u64, end: u64) {
        let first = self.written.range(..lba).next_back().map_or(lba, |(start, _)| *start);
        let touched: Vec<u64> = self.written.range(first..end).map(|(start, _)| *start).collect();
        for start in touched {
            let Some(old) = self.written.remove(&start) else { continue };
            let old_end = start.saturating_add(old.blocks);
            if start < lba {
                let blocks = old_end.min(lba).saturating_sub(start);
                self.written.insert(start, Extent { blocks, content: old.content.clone() });
            }
            if old_end > end {
                let from = start.max(end);
                let blocks = old_end.saturating_sub(from);
                self.written.insert(from, Extent { blocks, content: old.content });
            }
        }
    }

    fn extent_of(&self, lba: u64) -> Option<&Extent> {
        let (start, extent) = self.written.range(..=lba).next_back()?;
        (lba.saturating_sub(*start) < extent.blocks).then_some(extent)
    }

    fn base_block(&self, lba: u64) -> Vec<u8> {
        let mut block = vec![0; self.block_bytes];
        match &self.base {
            Base::Zero => {}
            Base::Stamp(seed) => stamp(&mut block, *seed, lba),
            Base::Image(image) => {
                let at = size(lba).saturating_mul(self.block_bytes);
                put(&mut block, 0, image.bytes.get(at..).unwrap_or_default());
            }
        }
        block
    }
}

fn stamp(block: &mut [u8], seed: u64, lba: u64) {
    let mut state = seed ^ lba.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for word in block.chunks_mut(8) {
        // One step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        put(word, 0, &(z ^ (z >> 31)).to_le_bytes());
    }
    put(block, 0, &lba.to_be_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Fill(u64, u64, u8),
        Bad(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0u64..40, 0u64..12, any::<u8>()).prop_map(|(a, n, v)| Op::Fill(a, n, v)),
            (0u64..40, 0u64..12).prop_map(|(a, n)| Op::Bad(a, n)),
        ]
    }

    proptest! {
        /// The sparse medium reads like a plain array under any order of overlapping writes.
        #[test]
        fn extents_equal_an_array(ops in proptest::collection::vec(op(), 0..60)) {
            let mut medium = Medium::new(512, Base::Stamp(3));
            let pristine = medium.clone();
            let mut plain: Vec<Result<Vec<u8>, Unreadable>> =
                (0..60).map(|lba| pristine.read(lba)).collect();
            for op in ops {
                let (lba, blocks, content) = match op {
                    Op::Fill(lba, blocks, value) => {
                        medium.fill(lba, blocks, &[value; 512]);
                        (lba, blocks, Ok(vec![value; 512]))
                    }
                    Op::Bad(lba, blocks) => {
                        medium.mark_uncorrectable(lba, blocks);
                        (lba, blocks, Err(Unreadable))
                    }
                };
                for at in lba..lba + blocks {
                    plain[usize::try_from(at).unwrap()] = content.clone();
                }
            }
            for (lba, expected) in (0u64..).zip(plain) {
                prop_assert_eq!(medium.read(lba), expected);
            }
        }
    }

    /// Fills beyond 2 TiB cost one extent, and neighbours keep their content (D-10).
    #[test]
    fn large_fills_are_one_extent() {
        let mut medium = Medium::new(512, Base::Stamp(1));
        let before = medium.read(9).unwrap();
        medium.fill(10, 1 << 40, &[7; 512]);
        assert_eq!(medium.written.len(), 1);
        assert_eq!(medium.read(9).unwrap(), before);
        assert_eq!(medium.read(10 + (1 << 40) - 1).unwrap(), vec![7; 512]);
        assert_eq!(medium.read(10 + (1 << 40)).unwrap()[..8], (10u64 + (1 << 40)).to_be_bytes());
    }
}
