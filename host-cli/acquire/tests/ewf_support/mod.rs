//! What the E01 tests share: media of known bytes, sets of them, and the independent programs that read the sets.

#![allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use daleel_acquire::ewf::{
    Batch, CaseText, Checkpoint, Compression, Encoder, EwfWriter, Finished, Plan, SegmentSize,
    SetFacts, Shape,
};
use md5::Md5;
use sha1::{Digest, Sha1};

/// Bytes that look random, from a seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A mixture: stretches of noise, zeros and text, each of some KiB.
pub fn mixed(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = noise(len, seed);
    for (index, stretch) in bytes.chunks_mut(11_000).enumerate() {
        match (index as u64 + seed) % 4 {
            0 => stretch.fill(0),
            1 => {
                stretch.iter_mut().enumerate().for_each(|(at, byte)| *byte = b"camera 3, "[at % 10])
            }
            _ => {}
        }
    }
    bytes
}

pub fn facts(compression: Compression) -> SetFacts {
    SetFacts {
        guid: *b"\x01\x02\x03\x04\x05\x06\x47\x08\x89\x0A\x0B\x0C\x0D\x0E\x0F\x10",
        acquired: 1_733_601_600,
        system: 1_733_601_601,
        model: "WDC WD40PURX-64GVNY0".into(),
        serial: "WD-WCC4E0123456".into(),
        software: "daleel 0.1".into(),
        os: "Linux".into(),
        compression,
    }
}

pub fn text() -> CaseText {
    CaseText {
        description: "disk of recorder 7".into(),
        case_number: "12/2026".into(),
        evidence_number: "EV-7".into(),
        examiner: "A. Examiner".into(),
        notes: "bay 2".into(),
    }
}

/// A small plan: few bytes in a chunk, few chunks in a group, small files.
pub fn small_plan(
    media_bytes: u64,
    sector: u32,
    segment: SegmentSize,
    chunk_sectors: u32,
    group: u32,
) -> Plan {
    let shape = Shape { chunk_sectors, group_entries: group };
    Plan::shaped(media_bytes, sector, segment, None, shape).unwrap()
}

pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

/// The medium as the set holds it: whole sectors.
pub fn padded(plan: &Plan, media: &[u8]) -> Vec<u8> {
    let mut bytes = media.to_vec();
    bytes.resize(plan.padded_bytes() as usize, 0);
    bytes
}

/// Slabs of a few chunks each, as a pipeline would hand them over.
pub fn batches(
    plan: &Plan,
    media: &[u8],
    compression: Compression,
    slab_chunks: usize,
) -> Vec<Batch> {
    let mut encoder = Encoder::new(compression, plan);
    let slabs = media.chunks(plan.chunk_bytes() as usize * slab_chunks);
    slabs
        .map(|slab| {
            let mut batch = Batch::default();
            encoder.encode(slab, &mut batch);
            batch
        })
        .collect()
}

/// Writes the set of `media` with a checkpoint after every `every` slabs.
pub fn write(
    folder: &Path,
    plan: &Plan,
    media: &[u8],
    compression: Compression,
    every: usize,
    errors: &[(u64, u64)],
) -> (Finished, Vec<Checkpoint>) {
    let media = padded(plan, media);
    let mut writer =
        EwfWriter::create(folder, "image", plan, &text(), &facts(compression)).unwrap();
    let mut checkpoints = vec![writer.end_group().unwrap()];
    for (index, batch) in batches(plan, &media, compression, 5).iter().enumerate() {
        writer.push(batch).unwrap();
        if (index + 1) % every == 0 {
            checkpoints.push(writer.end_group().unwrap());
        }
    }
    let finished = writer.finish(errors, Some(md5(&media)), Some(sha1(&media))).unwrap();
    (finished, checkpoints)
}

/// Runs a program that other people wrote; `None`, visibly, where it is not installed.
pub fn oracle(program: &str, arguments: &[&str]) -> Option<Output> {
    let run =
        Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output();
    match run {
        Ok(output) => Some(output),
        Err(error) => {
            let why = format!("{program} cannot be run: {error}");
            assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "{why}");
            println!("SKIPPED: {why}");
            None
        }
    }
}

/// What a program printed; it must have succeeded.
pub fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = oracle(program, arguments)?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(said)
}

pub fn first(finished: &Finished) -> &str {
    finished.files[0].to_str().unwrap()
}

/// libewf and Sleuth Kit find the medium's bytes in the set.
pub fn check_with_oracles(finished: &Finished, media: &[u8]) {
    let image = first(finished);
    if let Some(said) = said("ewfverify", &["-q", "-d", "sha1", image]) {
        assert!(said.contains("SUCCESS"), "{said}");
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        for digest in [hex(&md5(media)), hex(&sha1(media))] {
            // Stored in the file, and calculated over the data.
            assert_eq!(said.matches(&digest).count(), 2, "{said}");
        }
    }
    if let Some(said) = said("ewfinfo", &[image]) {
        assert!(said.contains("File format:\t\tEnCase 6\n"), "{said}");
        assert!(said.contains(&format!("({} bytes)", media.len())), "{said}");
    }
    let exported = tempfile::tempdir().unwrap();
    let target = exported.path().join("export");
    let target = target.to_str().unwrap();
    if said("ewfexport", &["-q", "-u", "-f", "raw", "-t", target, image]).is_some() {
        let bytes = std::fs::read(format!("{target}.raw")).unwrap();
        assert!(bytes == media, "ewfexport gives other bytes for {image}");
    }
    if let Some(said) = said("img_stat", &[image]) {
        assert!(said.contains(&format!("Size of data in bytes:\t{}", media.len())), "{said}");
    }
    if let Some(output) = oracle("img_cat", &[image]) {
        assert!(output.stdout == media, "img_cat gives other bytes for {image}");
    }
}

/// All files of a folder with their bytes, by name.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}
