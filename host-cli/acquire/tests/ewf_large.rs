//! What only large files and large media have: offsets past 2 GiB, sector numbers past 32 bits.
//!
//! Batches are encoded once and pushed many times, so that these take seconds.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod ewf_support;

use daleel_acquire::ewf::{Batch, Compression, Encoder, EwfWriter, Plan, SegmentSize, Shape};
use ewf_support::*;
use md5::Md5;
use sha1::Digest;

const MIB: u64 = 1 << 20;

fn encode(plan: &Plan, bytes: &[u8]) -> Batch {
    let mut batch = Batch::default();
    Encoder::new(Compression::Adaptive, plan).encode(bytes, &mut batch);
    batch
}

/// one file past 2 GiB, whose tables count from their sections, is read whole by libewf and at its end by Sleuth Kit.
#[test]
fn a_segment_past_two_gib() {
    let slab = noise(64 << 20, 1);
    let tail = noise(777 * 512, 2);
    let slabs = 33;
    let bytes = slabs * slab.len() as u64 + tail.len() as u64;
    let plan = Plan::new(bytes, 512, SegmentSize::Single, None).unwrap();
    assert!(!plan.absolute_offsets());
    let folder = tempfile::tempdir().unwrap();
    let facts = facts(Compression::Adaptive);
    let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
    let batch = encode(&plan, &slab);
    let mut md5 = Md5::new();
    for _ in 0..slabs {
        writer.push(&batch).unwrap();
        md5.update(&slab);
    }
    writer.push(&encode(&plan, &tail)).unwrap();
    md5.update(&tail);
    let finished = writer.finish(&[], Some(md5.finalize().into()), None).unwrap();
    assert_eq!(finished.files.len(), 1);
    assert!(finished.bytes > 2048 * MIB);
    if let Some(said) = said("ewfverify", &["-q", first(&finished)]) {
        assert!(said.contains("SUCCESS"), "{said}");
    }
    let from = (bytes - tail.len() as u64 - 512) / 512;
    if let Some(output) = oracle("img_cat", &["-s", &from.to_string(), first(&finished)]) {
        assert!(output.stdout == [&slab[slab.len() - 512..], &tail].concat());
    }
}

/// a medium past 2 TiB, its sector numbers past 32 bits, read around that border and at its end.
#[test]
fn a_medium_past_two_tib() {
    let border = 1u64 << 41;
    let tail = 5 * MIB + 512 * 3;
    let shape = Shape { chunk_sectors: 2048, group_entries: 16_375 };
    let plan = Plan::shaped(border + tail, 512, SegmentSize::Single, None, shape).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let facts = facts(Compression::Adaptive);
    let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
    // All zeros but for a stretch on both sides of the border and the end.
    let zeros = encode(&plan, &vec![0; 64 * MIB as usize]);
    let around = noise((2 * MIB + tail) as usize, 3);
    for _ in 0..border / (64 * MIB) - 1 {
        writer.push(&zeros).unwrap();
    }
    writer.push(&encode(&plan, &vec![0; 62 * MIB as usize])).unwrap();
    writer.push(&encode(&plan, &around)).unwrap();
    let errors = [((1 << 32) + 1, 2), (7, 1)];
    let finished = writer.finish(&errors, None, None).unwrap();
    assert_eq!(finished.errors_left_out, [errors[0]]);
    let image = first(&finished);
    if let Some(said) = said("img_stat", &[image]) {
        assert!(said.contains(&format!("Size of data in bytes:\t{}", border + tail)), "{said}");
    }
    let sector = |bytes: u64| (bytes / 512).to_string();
    let (from, to) = (border - 3 * MIB, border + tail - 512);
    if let Some(output) = oracle("img_cat", &["-s", &sector(from), "-e", &sector(to), image]) {
        let expected = [&vec![0; MIB as usize], &around[..]].concat();
        assert!(output.stdout == expected, "{} bytes", output.stdout.len());
    }
    if let Some(said) = said("ewfinfo", &[image]) {
        assert!(said.contains(&format!("Number of sectors:\t{}", (border + tail) / 512)), "{said}");
    }
}
