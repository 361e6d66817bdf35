//! Is this a disk of this file system? Facts for and against, with their bytes.
//!
//! Facts: `docs/formats/hikvision.md` sections 1, 2, 3 and 6. Recorders of many brands write this layout, so a layout is named, never a brand. Little is
//! read of a disk that is not one: two sectors, three places of the log, and the last MiB.

use daleel_core::{Extent, Findings, Input, Verdict, Volume};

use super::{
    log,
    master::{BACKUP_OFFSET, MASTER_BYTES, MASTER_OFFSET, Master, Masters, STRUCTURE},
    tree::{self, NODE_BYTES, TreeHeader},
};

/// Where the signature stands in a master sector.
const SIGNATURE_AT: usize = 0x10;
/// Name of the family.
pub const FAMILY: &str = "hikvision-disk";
/// Searched at the end of any disk.
const CHEAP_BYTES: u64 = 1 << 20;
/// Searched at the end where something speaks for this file system.
const DEEP_BYTES: u64 = 64 << 20;
/// Layout of a disk on which no version can be read.
const USUAL_VERSION: &str = "HIK.2011.03.08";

/// Looks for the file system on a volume.
pub fn probe(input: &Input) -> Vec<Verdict> {
    let Input::Volume(volume) = input else { return Vec::new() };
    let mut verdict = Verdict::new(FAMILY, layout(USUAL_VERSION), volume.extent);
    let masters = Masters::read(volume, &mut Findings::default());
    judge_master(volume, MASTER_OFFSET, masters.primary.as_ref(), 50, &mut verdict);
    judge_master(volume, BACKUP_OFFSET, masters.backup.as_ref(), 30, &mut verdict);
    judge_log(volume, &mut verdict);
    match masters.best() {
        Some(master) => {
            verdict.layout = layout(&master.version_text());
            judge_pointers(volume, master, &mut verdict);
        }
        None => judge_end(volume, &mut verdict),
    }
    verdict.conclude().into_iter().collect()
}

fn layout(version: &str) -> String {
    format!("{version} (raw disk)")
}

fn judge_master(
    volume: &Volume,
    offset: u64,
    found: Option<&Master>,
    weight: u8,
    verdict: &mut Verdict,
) {
    let at = volume.at(offset, MASTER_BYTES);
    let place = if offset == MASTER_OFFSET { "at its place" } else { "as its copy" };
    match found {
        Some(master) => {
            let version = master.version_text();
            let text = format!("{STRUCTURE} {place}: `HIKVISION@HANGZHOU`, version {version}");
            verdict.supports(weight, master.at, text);
        }
        None => match volume.source.read(at) {
            Ok(_) => verdict.contradicts(0, at, format!("no {STRUCTURE} {place}")),
            Err(_) if stands_cut(volume, at) => {
                let text =
                    format!("{STRUCTURE} {place}: `HIKVISION@HANGZHOU`; the image ends inside it");
                verdict.supports(weight, at, text);
            }
            Err(error) => verdict.contradicts(0, at, format!("no {STRUCTURE} {place}: {error}")),
        },
    }
}

/// True when the signature stands in a sector that the image ends in.
fn stands_cut(volume: &Volume, at: Extent) -> bool {
    let end = at.end().min(volume.source.len());
    let bytes = volume.source.read(Extent::new(at.offset(), end.saturating_sub(at.offset())));
    bytes.is_ok_and(|bytes| {
        bytes.get(SIGNATURE_AT..).is_some_and(|rest| rest.starts_with(b"HIKVISION@HANGZHOU"))
    })
}

fn judge_log(volume: &Volume, verdict: &mut Verdict) {
    if let Some(offset) = log::fixed_place(volume) {
        let at = volume.at(offset, 16);
        verdict.supports(10, at, "a `RATS` log record where the first one of a log area stands");
    }
}

/// The master's own checks, and what stands where it points.
fn judge_pointers(volume: &Volume, master: &Master, verdict: &mut Verdict) {
    let checks = master.checks();
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.supports).map(|check| check.text.as_str()).collect();
    let holding = checks.len().saturating_sub(failed.len());
    let text = format!("{holding} of {} checks of the {STRUCTURE} on itself hold", checks.len());
    verdict.supports(if failed.is_empty() { 10 } else { 0 }, master.at, text);
    for text in failed {
        verdict.contradicts(1, master.at, text);
    }
    for (number, pointer) in master.trees.iter().enumerate() {
        let at = volume.at(pointer.offset, NODE_BYTES);
        let name = number.saturating_add(1);
        if tree::has_signature(volume, pointer.offset) {
            verdict.supports(
                5,
                at,
                format!("`HIKBTREE` where the {STRUCTURE} points for tree {name}"),
            );
        } else {
            let text = format!("no `HIKBTREE` where the {STRUCTURE} points for tree {name}");
            verdict.contradicts(1, at, text);
        }
    }
}

/// Without a master: the trees at the end of the disk.
fn judge_end(volume: &Volume, verdict: &mut Verdict) {
    // A tree at the very start is one that a recorder keeps in a file: this is no disk.
    if tree::has_signature(volume, 0) {
        return;
    }
    let length =
        volume.extent.len().min(volume.source.len().saturating_sub(volume.extent.offset()));
    let near = length.saturating_sub(CHEAP_BYTES);
    let is_speaking = verdict.score > 0 || !tree::find_pages(volume, near, CHEAP_BYTES).is_empty();
    let from = if is_speaking { length.saturating_sub(DEEP_BYTES) } else { near };
    let trees = tree::find_by_signature(volume, from, length.saturating_sub(from));
    let mut found = 0usize;
    for offset in trees {
        let at = volume.at(offset, NODE_BYTES);
        let Ok(stored) = volume.source.read_array::<0x70>(at.offset()) else { continue };
        let Some(header) = TreeHeader::parse(&stored) else { continue };
        let weight = if found == 0 { 40 } else { 15 };
        found = found.saturating_add(1);
        let text =
            format!("`HIKBTREE` near the end of the disk, version {}", header.version_text());
        verdict.supports(weight, at, text);
    }
    if found == 0 && is_speaking {
        judge_pages(volume, from, length, verdict);
    }
}

/// Pages of a tree whose header is gone.
fn judge_pages(volume: &Volume, from: u64, length: u64, verdict: &mut Verdict) {
    let at = volume.at(from, length.saturating_sub(from));
    verdict.contradicts(0, at, "no `HIKBTREE` near the end of the disk");
    let pages = tree::find_pages(volume, from, length.saturating_sub(from));
    if let Some(first) = pages.first() {
        let at = volume.at(*first, NODE_BYTES);
        let text = format!("{} leaf pages of an index tree near the end of the disk", pages.len());
        verdict.supports(30, at, text);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::*;

    #[test]
    fn foreign_bytes_give_no_verdict() {
        for bytes in [vec![0; 3 << 20], vec![0xFF; 3 << 20], Vec::new()] {
            assert!(probe(&Input::Volume(Volume::whole(Arc::new(bytes)))).is_empty());
        }
        let mut words = vec![0; 3 << 20];
        words[0x10..0x18].copy_from_slice(b"HIKBTREE");
        words[0x10_0003..0x10_000B].copy_from_slice(b"HIKBTREE");
        let started = Instant::now();
        assert!(probe(&Input::Volume(Volume::whole(Arc::new(words)))).is_empty());
        assert!(started.elapsed().as_millis() < 500);
    }
}
