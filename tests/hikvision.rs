//! Hikvision disks, cards and exported files of the generator through `extract`: 100 % of the listed frames, in order, in the right channel,
//! every extent right, dates to the millisecond and every true time inside the stated interval (I-2, I-5, X-4, T-6, R-5).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use daleel_generator::{Scenario, Truth, scenarios};
use daleel_tests::judge::{Allow, Extracted, compare, extract};

const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");

/// What a scenario's frames may state of their uncertainty, in milliseconds.
fn uncertain_ms(name: &str) -> u64 {
    match name {
        // Milliseconds that are always 0 may not be filled in.
        "hikvision-zero-ms" => 1010,
        // The frames between two key pictures, between which the clock was moved.
        "hikvision-clock-change" => 4_000_000,
        _ => 10,
    }
}

fn family(prefix: &str) -> impl Iterator<Item = &'static Scenario> {
    let own = scenarios().iter().filter(|scenario| scenario.family() == "hikvision");
    own.filter(move |scenario| scenario.name.starts_with(prefix))
        // The old form of file is recognised and named, not read.
        .filter(|scenario| scenario.name != "hik-4hkh")
}

fn extracted(scenario: &Scenario, folder: &std::path::Path) -> (Truth, Extracted) {
    let truth = scenario.write(folder, 7).unwrap();
    let out = folder.join("out");
    let extracted = extract(DALEEL, &truth.image_path(folder), &out, &["--native"]);
    (truth, extracted)
}

fn check(scenario: &Scenario) {
    let folder = tempfile::tempdir().unwrap();
    let (truth, extracted) = extracted(scenario, folder.path());
    extracted.check_contract();
    let allow = Allow { uncertain_ms: uncertain_ms(scenario.name), ..Allow::default() };
    compare(&truth, &extracted, allow);
}

/// Checks scenarios; tells of all that fail, and why.
fn check_all(prefix: &str, at_least: usize) {
    let mut count = 0;
    let mut failed = Vec::new();
    for scenario in family(prefix) {
        count += 1;
        if std::panic::catch_unwind(|| check(scenario)).is_err() {
            failed.push(scenario.name);
        }
    }
    assert!(failed.is_empty() && count >= at_least, "{count} scenarios, failed: {failed:?}");
}

#[test]
fn every_disk() {
    check_all("hikvision-", 40);
}

#[test]
fn every_file_and_folder() {
    check_all("hik-", 20);
}
