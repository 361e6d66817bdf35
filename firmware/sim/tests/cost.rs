//! Cost of the bridge core, counted in instructions: a READ of 64 KiB in 512-byte packets takes fewer than 20,000 besides hashing and
//! copying (callgrind over `examples/cost.rs`, whose stand-ins for drive, endpoint and hash are left out of the count).
//!
//! x86-64 instructions, not those of a Cortex-M: a bound on the work, not a time. Without valgrind the test says that it was skipped.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout
)] // a check that cannot be made has to fail

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the core may take.
const BOUND: u64 = 20_000;

fn skip(why: &str) {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    println!("SKIPPED: {why}");
}

/// The example, built for release in the target directory of this test.
fn example() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", "wb-sim", "--example", "cost", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    target.join("release/examples/cost")
}

/// Instructions that each function took itself, in a run of so many reads.
fn count(example: &Path, reads: u32) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(example)
        .arg(reads.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    own_costs(&std::fs::read_to_string(out).unwrap())
}

/// Callgrind's format: `fn=(number) name` opens a function, a line of two numbers is its own cost; the line after `calls=` is what a callee
/// took, which is counted there.
fn own_costs(text: &str) -> BTreeMap<String, u64> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut costs: BTreeMap<String, u64> = BTreeMap::new();
    let mut name_of = |entry: &str| {
        let (number, name) = entry.split_once(' ').unwrap_or((entry, ""));
        if !name.is_empty() {
            names.insert(number.into(), name.into());
        }
        names.get(number).cloned().unwrap_or_default()
    };
    let mut function = String::new();
    let mut is_callee = false;
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix("fn=") {
            function = name_of(entry);
        } else if let Some(entry) = line.strip_prefix("cfn=") {
            name_of(entry);
        } else if line.starts_with("calls=") {
            is_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            if !std::mem::take(&mut is_callee) {
                *costs.entry(function.clone()).or_default() += cost;
            }
        }
    }
    costs
}

/// Stand-ins of the example, and the library's copying.
fn is_left_out(function: &str) -> bool {
    ["stand_in", "memcpy", "memmove", "memset", "cost::run", "cost::read_command", "cost::main"]
        .iter()
        .any(|part| function.contains(part))
}

#[test]
fn a_read_of_64_kib_costs_the_core_less_than_20_000_instructions() {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        return skip("no valgrind");
    }
    const FEW: u32 = 16;
    const MANY: u32 = 272;
    let example = example();
    let (few, many) = (count(&example, FEW), count(&example, MANY));
    let mut each: Vec<(u64, &str)> = many
        .iter()
        .map(|(name, cost)| {
            (
                (cost - few.get(name).copied().unwrap_or(0).min(*cost)) / u64::from(MANY - FEW),
                &name[..],
            )
        })
        .filter(|(cost, _)| *cost > 0)
        .collect();
    each.sort_unstable_by(|a, b| b.cmp(a));
    for (cost, name) in &each {
        let mark = if is_left_out(name) { " (left out)" } else { "" };
        println!("{cost:>8} {name}{mark}");
    }
    let core: u64 = each.iter().filter(|(_, name)| !is_left_out(name)).map(|(cost, _)| cost).sum();
    println!("core: {core} instructions for a READ of 64 KiB");
    assert!(core > 1000, "the core was not found in the count");
    assert!(core < BOUND, "{core}");
}
