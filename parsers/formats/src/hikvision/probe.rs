//! Is this a disk of this file system? Facts for and against, with their bytes.
//!
//! Facts: `docs/formats/hikvision.md` sections 1, 2, 3 and 6. Recorders of many brands write this layout, so a layout is named, never a brand. Little is
//! read of a disk that is not one: two sectors, three places of the log, and the last MiB.

use daleel_core::{Input, Verdict, Volume};

use super::{
    entry::{NOTHING, RawEntry},
    index::bytes::Patched,
    log,
    master::{BACKUP_OFFSET, MASTER_BYTES, MASTER_OFFSET, Master, STRUCTURE},
    tree::{self, NODE_BYTES, TreeHeader},
};

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
    let primary = judge_master(volume, MASTER_OFFSET, 50, &mut verdict);
    let backup = judge_master(volume, BACKUP_OFFSET, 30, &mut verdict);
    judge_log(volume, &mut verdict);
    match primary.as_ref().or(backup.as_ref()) {
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
    weight: u8,
    verdict: &mut Verdict,
) -> Option<Master> {
    let at = volume.at(offset, MASTER_BYTES);
    let place = if offset == MASTER_OFFSET { "at its place" } else { "where its copy stands" };
    match Master::read(volume, offset) {
        Ok(Some(master)) => {
            let text = format!("{STRUCTURE} {place}: `HIKVISION@HANGZHOU`, version {}", master.version_text());
            verdict.supports(weight, at, text);
            Some(master)
        }
        Ok(None) => {
            verdict.contradicts(0, at, format!("no {STRUCTURE} {place}"));
            None
        }
        Err(error) => {
            verdict.contradicts(0, at, format!("no {STRUCTURE} {place}: {error}"));
            None
        }
    }
}

fn judge_log(volume: &Volume, verdict: &mut Verdict) {
    if log::stands_at_fixed_place(volume) {
        let at = volume.at(MASTER_OFFSET, 0);
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
            verdict.supports(5, at, format!("`HIKBTREE` where the {STRUCTURE} points for tree {name}"));
        } else {
            let text = format!("no `HIKBTREE` where the {STRUCTURE} points for tree {name}");
            verdict.contradicts(1, at, text);
        }
    }
}

/// Without a master: the trees at the end of the disk.
fn judge_end(volume: &Volume, verdict: &mut Verdict) {
    let length = volume.extent.len().min(
        volume.source.len().saturating_sub(volume.extent.offset()),
    );
    let near = length.saturating_sub(CHEAP_BYTES);
    let cheap = Patched::read(&*volume.source, volume.at(near, length.saturating_sub(near)));
    let is_speaking = verdict.score > 0 || has_pages(&cheap);
    let from = if is_speaking { length.saturating_sub(DEEP_BYTES) } else { near };
    let trees = tree::find_by_signature(volume, from, length.saturating_sub(from));
    let mut found = 0usize;
    // A tree at the very start is one that a recorder keeps in a file.
    for offset in trees.into_iter().filter(|offset| *offset != 0) {
        let at = volume.at(offset, NODE_BYTES);
        let Ok(stored) = volume.source.read_array::<0x70>(at.offset()) else { continue };
        let Some(header) = TreeHeader::parse(&stored) else { continue };
        let weight = if found == 0 { 40 } else { 15 };
        found = found.saturating_add(1);
        let text = format!("`HIKBTREE` near the end of the disk, version {}", header.version_text());
        verdict.supports(weight, at, text);
    }
    if found == 0 && verdict.score > 0 {
        let at = volume.at(from, length.saturating_sub(from));
        verdict.contradicts(0, at, "no `HIKBTREE` near the end of the disk");
    }
}

/// True when a sector of these bytes looks like the start of a leaf page.
fn has_pages(bytes: &Patched) -> bool {
    let all = bytes.all();
    (0..all.len()).step_by(512).any(|sector| {
        let Some(page) = all.get(sector.saturating_add(0x60)..) else { return false };
        let entry = RawEntry::parse(page);
        entry.is_some_and(|entry| {
            let state = entry.state.get();
            entry.link.get() == NOTHING
                && (state == 0 || state == NOTHING)
                && entry.block.get() != NOTHING
                && entry.block.get() != 0
                && entry.block.get() % 512 == 0
        })
    })
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
