//! BLAKE3 with a state that can be kept: the tree over subtrees of one MiB.
//!
//! Facts: the BLAKE3 paper, section 2.1 (the left subtree of every parent holds the largest power of two of chunks that leaves some for
//! the right), and the `hazmat` module of the `blake3` crate, which gives the values of subtrees. One MiB is 1024 chunks, so every whole
//! megabyte is a subtree, and megabytes are joined like the digits of a binary counter. The last one stays apart until another follows:
//! which join is the root is known at the end only.

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::{hex, unhex};

/// Bytes of a subtree.
const LEAF_BYTES: u64 = 1 << 20;
/// Bytes of a chaining value.
const VALUE_BYTES: usize = 32;

/// BLAKE3 at work.
#[derive(Clone, Default)]
pub struct TreeHash {
    /// Values of the joined subtrees, from the left.
    stack: Vec<ChainingValue>,
    /// Whole megabytes in the stack.
    leaves: u64,
    /// The megabyte in hand.
    leaf: Hasher,
}

impl TreeHash {
    /// Hashes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.leaf.count() == LEAF_BYTES {
                self.close_leaf();
            }
            let room = LEAF_BYTES.saturating_sub(self.leaf.count());
            let take = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.leaf.update(now);
            bytes = later;
        }
    }

    /// Puts the megabyte in hand on the stack and begins the next one.
    fn close_leaf(&mut self) {
        let value = self.leaf.finalize_non_root();
        self.push(value);
        self.leaf = Hasher::new();
        self.leaf.set_input_offset(self.leaves.saturating_mul(LEAF_BYTES));
    }

    fn push(&mut self, value: ChainingValue) {
        // As many subtrees as the number of megabytes has binary ones: what is more can be joined, now that another follows.
        let wanted = usize::try_from(self.leaves.count_ones()).unwrap_or(0);
        while self.stack.len() > wanted {
            let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) else { break };
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.stack.push(value);
        self.leaves = self.leaves.saturating_add(1);
    }

    /// `<megabytes>:<values>`, with the megabyte in hand closed. More has to follow: the value of a single megabyte that is the whole input is
    /// another one.
    pub fn keep(&self) -> String {
        let mut whole =
            Self { stack: self.stack.clone(), leaves: self.leaves, leaf: Hasher::new() };
        if self.leaf.count() == LEAF_BYTES {
            whole.push(self.leaf.finalize_non_root());
        }
        format!("{}:{}", whole.leaves, hex(whole.stack.as_flattened()))
    }

    /// Takes up what [`TreeHash::keep`] gave.
    pub fn resume(kept: &str) -> Option<Self> {
        let (leaves, values) = kept.split_once(':')?;
        let leaves: u64 = leaves.parse().ok()?;
        let values = unhex(values)?;
        let (stack, rest) = values.as_chunks::<VALUE_BYTES>();
        let before = leaves.saturating_sub(1).count_ones();
        let expected =
            if leaves == 0 { 0 } else { usize::try_from(before).ok()?.checked_add(1)? };
        // A single megabyte could be the whole input, whose value is another one than that of a subtree.
        if !rest.is_empty() || stack.len() != expected || leaves == 0 {
            return None;
        }
        let mut leaf = Hasher::new();
        leaf.set_input_offset(leaves.checked_mul(LEAF_BYTES)?);
        Some(Self { stack: stack.to_vec(), leaves, leaf })
    }

    /// The digest.
    pub fn finish(mut self) -> [u8; VALUE_BYTES] {
        if self.stack.is_empty() {
            return *self.leaf.finalize().as_bytes();
        }
        if self.leaf.count() > 0 {
            self.push(self.leaf.finalize_non_root());
        }
        let mut stack = self.stack;
        let mut right = stack.pop().unwrap_or_default();
        while let Some(left) = stack.pop() {
            if stack.is_empty() {
                return *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes();
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        right
    }
}
