//! Replays the seeds and the past crashes of every fuzz target.
//!
//! `fuzz/seeds/TARGET` holds the inputs a target starts from, `fuzz/crashes/TARGET` every input that once broke
//! something: fixed, they stay as tests.

#![allow(clippy::unwrap_used)] // a seed that cannot be read has to fail

use std::{
    fs,
    path::{Path, PathBuf},
};

use daleel_tests::fuzzing::{TARGETS, Target};

/// Most bytes that all seeds may take in the repository.
const SEED_BYTES: u64 = 2 << 20;

fn inputs(kind: &str, target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target.name);
    // A target that never broke has no folder of crashes.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A seed that is turned away at the door tests nothing.
#[test]
fn every_seed_is_read_and_reaches_something() {
    for target in TARGETS {
        let seeds = inputs("seeds", target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            let reached = (target.run)(&fs::read(&seed).unwrap());
            assert!(reached > 0, "{} reaches nothing", seed.display());
        }
    }
}

#[test]
fn what_once_broke_a_reader_breaks_none_now() {
    for target in TARGETS {
        for crash in inputs("crashes", target) {
            (target.run)(&fs::read(&crash).unwrap());
        }
    }
}

#[test]
fn every_target_survives_an_empty_input_and_a_few_plain_ones() {
    for target in TARGETS {
        for input in [&[][..], &[0], &[0xFF; 600], b"DHAV", b"DHFS4.1", b"# map\n0x0 +\n"] {
            (target.run)(input);
        }
    }
}

#[test]
fn the_seeds_stay_small() {
    let seeds = TARGETS.iter().flat_map(|target| inputs("seeds", target));
    let bytes: u64 = seeds.map(|seed| fs::metadata(seed).unwrap().len()).sum();
    assert!(bytes <= SEED_BYTES, "the seeds take {bytes} bytes");
}

/// The targets that run here are those that cargo-fuzz builds.
#[test]
fn the_list_of_targets_is_the_one_of_cargo_fuzz() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    let built: Vec<_> = text
        .split("[[bin]]")
        .skip(1)
        .map(|section| section.split('"').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(built, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
