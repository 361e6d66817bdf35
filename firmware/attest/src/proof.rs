//! Inclusion and consistency proofs over the log (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! A proof is made from anything that knows the roots of its complete subtrees ([`Nodes`]): a slice
//! of leaf hashes, which hashes them each time, or on the host a
//! [`Tree`](crate::verify::Tree) that keeps them. Checking needs nothing but the proof.

use crate::Digest;
use crate::log::{empty_root, node};
use heapless::Vec;

/// An inclusion proof: the sibling of each node on the way up, lowest first.
pub type Path = Vec<Digest, 64>;
/// A consistency proof.
pub type Consistency = Vec<Digest, 65>;

/// The complete subtrees of a log.
pub trait Nodes {
    /// Leaves in the log.
    fn size(&self) -> u64;
    /// The root of the leaves from `index` x 2^`level` to before (`index` + 1) x 2^`level`; `None`
    /// when not all of them are there.
    fn complete(&self, level: u32, index: u64) -> Option<Digest>;
}

impl Nodes for [Digest] {
    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn complete(&self, level: u32, index: u64) -> Option<Digest> {
        let width = 1_u64.checked_shl(level)?;
        let from = usize::try_from(index.checked_mul(width)?).ok()?;
        let to = from.checked_add(usize::try_from(width).ok()?)?;
        let mut log = crate::log::Frontier::new();
        for leaf in self.get(from..to)? {
            log.append_leaf(*leaf).ok()?;
        }
        Some(log.root())
    }
}

/// The root over the first `size` leaves; `None` when there are fewer.
#[must_use]
pub fn root_at<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Option<Digest> {
    if size == 0 { Some(empty_root()) } else { subtree(nodes, 0, size) }
}

/// The proof that leaf `index` is in the log of the first `size` leaves (PATH of RFC 6962); `None`
/// when it is not there.
#[must_use]
pub fn inclusion<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Option<Path> {
    if index >= size {
        return None;
    }
    let mut path = Path::new();
    // From the top down to the leaf; RFC 6962 lists the siblings from the leaf up.
    let (mut from, mut count) = (0_u64, size);
    while count > 1 {
        let left = split(count);
        let middle = from.checked_add(left)?;
        let right = count.checked_sub(left)?;
        let sibling = if index < middle {
            count = left;
            subtree(nodes, middle, right)?
        } else {
            let sibling = subtree(nodes, from, left)?;
            (from, count) = (middle, right);
            sibling
        };
        path.push(sibling).ok()?;
    }
    path.reverse();
    Some(path)
}

/// The proof that the log of the first `new` leaves begins with that of the first `old` (PROOF of
/// RFC 6962). It is empty for an empty or an equal log; `None` when `old` is beyond `new` or `new`
/// beyond the log.
#[must_use]
pub fn consistency<N: Nodes + ?Sized>(nodes: &N, old: u64, new: u64) -> Option<Consistency> {
    let mut proof = Consistency::new();
    if old > new || new > nodes.size() {
        return None;
    }
    if old == 0 || old == new {
        return Some(proof);
    }
    // SUBPROOF: follow the right edge of the old log down; `whole` as long as that edge is a
    // subtree from the first leaf on, whose root the checker has as the old root.
    let (mut from, mut count, mut whole) = (0_u64, new, true);
    loop {
        let edge = old.checked_sub(from)?;
        if edge == count {
            break;
        }
        let left = split(count);
        let middle = from.checked_add(left)?;
        let right = count.checked_sub(left)?;
        let sibling = if edge <= left {
            count = left;
            subtree(nodes, middle, right)?
        } else {
            let sibling = subtree(nodes, from, left)?;
            (from, count, whole) = (middle, right, false);
            sibling
        };
        proof.push(sibling).ok()?;
    }
    if !whole {
        proof.push(subtree(nodes, from, count)?).ok()?;
    }
    proof.reverse();
    Some(proof)
}

/// Whether `path` leads from `leaf` at `index` to `root` over `size` leaves.
#[must_use]
pub fn check_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> bool {
    let Some(last) = size.checked_sub(1).filter(|last| index <= *last) else {
        return false;
    };
    let (mut at, mut edge, mut hash) = (index, last, *leaf);
    let mut path = path.iter();
    while edge > 0 {
        // A left child at the end of its row has no sibling and goes up as it is.
        if at & 1 == 1 || at < edge {
            let Some(sibling) = path.next() else { return false };
            hash = if at & 1 == 1 { node(sibling, &hash) } else { node(&hash, sibling) };
        }
        at >>= 1;
        edge >>= 1;
    }
    path.next().is_none() && hash == *root
}

/// Whether `proof` shows that the log of `new` leaves with `new_root` begins with that of `old`
/// leaves with `old_root`.
#[must_use]
pub fn check_consistency(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> bool {
    if old > new {
        return false;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    recompute(old, old_root, new, proof) == Some((*old_root, *new_root))
}

/// Both roots as the proof makes them.
fn recompute(old: u64, old_root: &Digest, new: u64, proof: &[Digest]) -> Option<(Digest, Digest)> {
    let mut proof = proof.iter();
    let skipped = old.trailing_zeros();
    let mut at = old.checked_sub(1)?.checked_shr(skipped)?;
    let mut edge = new.checked_sub(1)?.checked_shr(skipped)?;
    // When the old log is one complete subtree, its root is the start; else the proof gives the
    // lowest complete subtree of its right edge.
    let start = if at == 0 { *old_root } else { *proof.next()? };
    let (mut before, mut after) = (start, start);
    while edge > 0 {
        if at & 1 == 1 {
            let sibling = proof.next()?;
            before = node(sibling, &before);
            after = node(sibling, &after);
        } else if at < edge {
            after = node(&after, proof.next()?);
        }
        at >>= 1;
        edge >>= 1;
    }
    proof.next().is_none().then_some((before, after))
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    match count.saturating_sub(1).checked_ilog2() {
        Some(power) => 1_u64.wrapping_shl(power),
        None => 0,
    }
}

/// The root over `count` leaves from `from` on, which is a multiple of the largest power of two not
/// above `count` (as all subtrees of a log are).
fn subtree<N: Nodes + ?Sized>(nodes: &N, from: u64, count: u64) -> Option<Digest> {
    let (mut at, mut left) = (from, count);
    let mut parts: Vec<Digest, 64> = Vec::new();
    while let Some(level) = left.checked_ilog2() {
        let width = 1_u64.checked_shl(level)?;
        parts.push(nodes.complete(level, at.checked_shr(level)?)?).ok()?;
        at = at.checked_add(width)?;
        left = left.checked_sub(width)?;
    }
    let mut root = parts.pop()?;
    while let Some(part) = parts.pop() {
        root = node(&part, &root);
    }
    Some(root)
}
