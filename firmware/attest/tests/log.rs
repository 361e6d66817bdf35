//! The digest log against RFC 6962 written down as it stands there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

use hex_literal::hex;
use proptest::prelude::*;
use wb_attest::log::{Entry, Frontier, LogError, empty_root, node, root};
use wb_attest::proof::{check_consistency, check_inclusion, consistency, inclusion, root_at};
use wb_attest::verify::Tree;
use wb_attest::{Digest, sha256};

/// MTH of RFC 6962, 2.1, by its recursive definition.
fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            sha256(&[&[1], &mth(&leaves[..k]), &mth(&leaves[k..])])
        }
    }
}

/// PATH of RFC 6962, 2.1.1.
fn path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut below, sibling) = if m < k {
        (path(m, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (path(m - k, &leaves[k..]), mth(&leaves[..k]))
    };
    below.push(sibling);
    below
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn subproof(m: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if whole { vec![] } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut below, sibling) = if m <= k {
        (subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    below.push(sibling);
    below
}

fn entry(seq: u64) -> Entry {
    Entry { seq, chunk: seq ^ 0x55, len: 1 << 20, digest: sha256(&[&seq.to_le_bytes()]) }
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|seq| entry(seq).leaf()).collect()
}

/// 4.4: the 52 bytes of an entry and its leaf, byte for byte.
#[test]
fn entry_has_the_published_layout() {
    let entry = Entry {
        seq: 0x0102_0304_0506_0708,
        chunk: 0x1112_1314_1516_1718,
        len: 0x2122_2324,
        digest: [0xEE; 32],
    };
    let bytes = hex!(
        "0102030405060708 1112131415161718 21222324
         eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
    );
    assert_eq!(entry.to_bytes(), bytes);
    assert_eq!(Entry::from_bytes(&bytes), entry);
    assert_eq!(entry.leaf(), sha256(&[&[0], &bytes]));
    assert_eq!(
        entry.leaf(),
        hex!("663181d31dba83416c50c471c15e359305c658551b2789c13bf53f12e3d3053e")
    );
}

/// 4.4: the empty log is SHA-256 of nothing, one entry is its leaf, two are their node.
#[test]
fn small_roots_are_as_published() {
    let empty = hex!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(empty_root(), empty);
    assert_eq!(Frontier::new().root(), empty);
    assert_eq!(root(&[entry(0)]), Some(entry(0).leaf()));
    assert_eq!(root(&[entry(0), entry(1)]), Some(node(&entry(0).leaf(), &entry(1).leaf())));
    assert_eq!(root(&[entry(1)]), None);
}

/// 4.4: the device's right edge gives the root of RFC 6962 for every size up to 300.
#[test]
fn frontier_is_rfc_6962() {
    let all = leaves(300);
    let mut log = Frontier::new();
    for size in 0..300 {
        assert_eq!(log.size(), size as u64);
        assert_eq!(log.root(), mth(&all[..size]), "size {size}");
        assert_eq!(log.append(&entry(size as u64 + 1)), Err(LogError::OutOfOrder));
        log.append(&entry(size as u64)).unwrap();
    }
}

/// 4.4: both provers give the proofs of RFC 6962, and the checkers take them, for every pair of
/// sizes and every leaf up to 40.
#[test]
fn proofs_are_rfc_6962() {
    let entries: Vec<Entry> = (0..40).map(entry).collect();
    let (all, tree) = (leaves(40), Tree::of(&entries).unwrap());
    for size in 0..=40_u64 {
        let part = &all[..size as usize];
        let root = mth(part);
        assert_eq!(root_at(all.as_slice(), size), Some(root));
        assert_eq!(tree.root_at(size), Some(root));
        for index in 0..size {
            let proof = inclusion(all.as_slice(), index, size).unwrap();
            assert_eq!(proof.as_slice(), path(index as usize, part), "{index} in {size}");
            assert_eq!(tree.inclusion(index, size).unwrap(), proof);
            assert!(check_inclusion(&part[index as usize], index, size, &proof, &root));
        }
        assert_eq!(inclusion(all.as_slice(), size, size), None);
        for old in 0..=size {
            let proof = consistency(all.as_slice(), old, size).unwrap();
            let old_root = mth(&all[..old as usize]);
            if old > 0 {
                assert_eq!(proof.as_slice(), subproof(old as usize, part, true), "{old} {size}");
            }
            assert_eq!(tree.consistency(old, size).unwrap(), proof);
            assert!(check_consistency(old, &old_root, size, &root, &proof), "{old} {size}");
        }
        assert_eq!(consistency(all.as_slice(), size + 1, size), None);
    }
    assert_eq!(tree.root_at(41), None);
    assert_eq!(tree.consistency(3, 41), None);
    assert_eq!(tree.inclusion(3, 41), None);
    assert_eq!(Tree::of(&entries[1..]).err(), Some(LogError::OutOfOrder));
}

/// No checker panics or takes a proof at the ends of the range of sizes.
#[test]
fn extreme_sizes_are_refused() {
    let (leaf, proof) = ([1; 32], [[2; 32]; 70]);
    for size in [0, 1, 2, u64::MAX - 1, u64::MAX] {
        for index in [0, 1, u64::MAX - 1, u64::MAX] {
            for count in [0, 1, 63, 64, 65, 70] {
                let proof = &proof[..count];
                let fits = size == 1 && index == 0 && count == 0;
                assert_eq!(check_inclusion(&leaf, index, size, proof, &leaf), fits);
                let equal = index == size && index > 0 && count == 0;
                assert_eq!(check_consistency(index, &leaf, size, &leaf, proof), equal);
            }
        }
    }
}

/// An inclusion proof does not hold for another position.
#[test]
fn a_proof_is_bound_to_its_index_and_size() {
    let all = leaves(23);
    let root = mth(&all);
    for index in 0..23_u64 {
        let proof = inclusion(all.as_slice(), index, 23).unwrap();
        for other in (0..24).filter(|other| *other != index) {
            assert!(!check_inclusion(&all[index as usize], other, 23, &proof, &root));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any leaf of any log is proven; any changed bit, missing or added node, other root is not.
    #[test]
    fn inclusion_holds_and_nothing_else_does(
        size in 1_u64..2000, pick in any::<u64>(), bit in any::<usize>(), extra in any::<[u8; 32]>()
    ) {
        let all = leaves(size);
        let index = pick % size;
        let (leaf, root) = (all[index as usize], mth(&all));
        let proof = inclusion(all.as_slice(), index, size).unwrap();
        prop_assert!(check_inclusion(&leaf, index, size, &proof, &root));
        let mut wrong = leaf;
        wrong[bit % 32] ^= 1 << (bit % 8);
        prop_assert!(!check_inclusion(&wrong, index, size, &proof, &root));
        for at in 0..proof.len() {
            let mut wrong = proof.to_vec();
            wrong[at][bit % 32] ^= 1 << (bit % 8);
            prop_assert!(!check_inclusion(&leaf, index, size, &wrong, &root));
            let mut short = proof.to_vec();
            short.remove(at);
            prop_assert!(!check_inclusion(&leaf, index, size, &short, &root));
        }
        let mut long = proof.to_vec();
        long.push(extra);
        prop_assert!(!check_inclusion(&leaf, index, size, &long, &root));
        prop_assert!(!check_inclusion(&leaf, index, size, &proof, &extra));
    }

    /// Any checkpoint is proven to be the beginning of any later one, and a changed history is not.
    #[test]
    fn consistency_holds_and_nothing_else_does(
        new in 2_u64..1200, pick in any::<u64>(), bit in any::<usize>(), changed in any::<u64>()
    ) {
        let all = leaves(new);
        let old = 1 + pick % (new - 1);
        let (old_root, new_root) = (mth(&all[..old as usize]), mth(&all));
        let proof = consistency(all.as_slice(), old, new).unwrap();
        prop_assert!(check_consistency(old, &old_root, new, &new_root, &proof));
        for at in 0..proof.len() {
            let mut wrong = proof.to_vec();
            wrong[at][bit % 32] ^= 1 << (bit % 8);
            prop_assert!(!check_consistency(old, &old_root, new, &new_root, &wrong));
            let mut short = proof.to_vec();
            short.remove(at);
            prop_assert!(!check_consistency(old, &old_root, new, &new_root, &short));
        }
        let mut history = all.clone();
        history[(changed % old) as usize][0] ^= 1;
        let forged = consistency(history.as_slice(), old, new).unwrap();
        let forged_root = mth(&history);
        prop_assert!(!check_consistency(old, &old_root, new, &forged_root, &forged));
    }
}
