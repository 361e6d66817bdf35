//! Recorder format families: file systems, streams, logs and times of CCTV recorders.
//!
//! One folder per family. [`FAMILIES`] is the one ordered list of them; identification, help texts and
//! status columns come from it.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod dahua;
mod fields;
pub mod hikvision;

use daleel_core::{Family, Input, Verdict};

/// All families, in the order in which they are asked. The order does not decide: the best verdict does.
pub static FAMILIES: &[Family] =
    &[dahua::DISK, dahua::STREAM, hikvision::DISK, hikvision::FILES, hikvision::STREAM];

/// Asks every family about an input. Best verdict first; equal scores keep the order of [`FAMILIES`], and both are returned.
pub fn identify(input: &Input) -> Vec<(&'static Family, Verdict)> {
    let mut verdicts: Vec<_> = FAMILIES
        .iter()
        .flat_map(|family| (family.probe)(input).into_iter().map(move |verdict| (family, verdict)))
        .collect();
    verdicts.sort_by_key(|(_, verdict)| std::cmp::Reverse(verdict.score));
    verdicts
}
