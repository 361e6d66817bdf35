//! Going on at a checkpoint gives the files of an undisturbed run, byte for byte, and damaged files are not gone on with.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod ewf_support;

use std::{fs, path::Path, process::Command};

use daleel_acquire::ewf::{Checkpoint, Compression, EwfError, EwfWriter, Plan, SegmentSize};
use ewf_support::*;
use proptest::prelude::*;

fn resume(folder: &Path, plan: &Plan, checkpoint: &Checkpoint) -> Result<EwfWriter, EwfError> {
    let facts = facts(Compression::Adaptive);
    EwfWriter::resume(folder, "image", plan, &text(), &facts, checkpoint)
}

/// Writes what is missing after `checkpoint`, with the checkpoints of an undisturbed run.
fn go_on(mut writer: EwfWriter, plan: &Plan, media: &[u8], every: usize) {
    let media = padded(plan, media);
    let done = writer.chunks() as usize;
    for (index, batch) in batches(plan, &media, Compression::Adaptive, 5).iter().enumerate() {
        if index * 5 >= done {
            writer.push(batch).unwrap();
            if (index + 1) % every == 0 {
                writer.end_group().unwrap();
            }
        }
    }
    writer.finish(&[(3, 1)], Some(md5(&media)), Some(sha1(&media))).unwrap();
}

/// Files as a killed run may leave them: everything up to the checkpoint, and of the rest as much as reached the disk.
fn killed(
    whole: &[(std::path::PathBuf, Vec<u8>)],
    folder: &Path,
    checkpoint: &Checkpoint,
    rest: u64,
) {
    let mut left = rest;
    for (index, (path, bytes)) in whole.iter().enumerate() {
        let number = index as u32 + 1;
        let certain = match number.cmp(&checkpoint.segment) {
            std::cmp::Ordering::Less => bytes.len() as u64,
            std::cmp::Ordering::Equal => checkpoint.length,
            std::cmp::Ordering::Greater => 0,
        };
        let more = left.min(bytes.len() as u64 - certain);
        if certain + more > 0 {
            let kept = &bytes[..(certain + more) as usize];
            fs::write(folder.join(path.file_name().unwrap()), kept).unwrap();
        }
        left -= more;
    }
}

fn names(files: &[(std::path::PathBuf, Vec<u8>)]) -> Vec<(String, &[u8])> {
    files
        .iter()
        .map(|(p, b)| (p.file_name().unwrap().to_str().unwrap().to_owned(), &b[..]))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// at every checkpoint, whatever of the rest had reached the disk.
    #[test]
    fn every_checkpoint_leads_to_the_same_files(
        chunks in 1usize..90, tail in 0usize..2_000, seed in 0u64..1_000, every in 1usize..4,
        segment in 140_000u64..300_000, group in 2u32..40, rest in 0u64..400_000, sector in 0u32..2,
    ) {
        let media = mixed(chunks * 4096 + tail + 1, seed);
        let sector = 512 << (3 * sector);
        let plan = small_plan(media.len() as u64, sector, SegmentSize::Bytes(segment), 4096 / sector, group);
        let folder = tempfile::tempdir().unwrap();
        let (_, checkpoints) = write(folder.path(), &plan, &media, Compression::Adaptive, every, &[(3, 1)]);
        let whole = files(folder.path());
        for checkpoint in &checkpoints {
            let other = tempfile::tempdir().unwrap();
            killed(&whole, other.path(), checkpoint, rest);
            let kept: Checkpoint = serde_json::from_str(&serde_json::to_string(checkpoint).unwrap()).unwrap();
            let writer = resume(other.path(), &plan, &kept).unwrap();
            prop_assert_eq!(writer.chunks(), checkpoint.chunks);
            go_on(writer, &plan, &media, every);
            prop_assert!(names(&files(other.path())) == names(&whole));
        }
    }
}

/// A set of three segments with its last checkpoint, cut as by a kill.
fn interrupted() -> (tempfile::TempDir, Plan, Vec<u8>, Checkpoint) {
    let media = mixed(600_064, 4);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(180_000), 8, 30);
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoints) = write(folder.path(), &plan, &media, Compression::Adaptive, 2, &[(3, 1)]);
    let checkpoint = checkpoints.into_iter().rev().find(|c| c.segment == 2).unwrap();
    (folder, plan, media, checkpoint)
}

/// what the last group's checksums do not bear out is not gone on with, and nothing is cut or removed then.
#[test]
fn damage_up_to_the_checkpoint_is_found() {
    let (folder, plan, _, checkpoint) = interrupted();
    let group = checkpoint.group.unwrap();
    let whole = files(folder.path());
    let path = folder.path().join("image.E02");
    let tables = checkpoint.length - 2 * (104 + 4 * u64::from(group.entries));
    let places =
        [0, 9, 100, 1140, group.start, group.start + 80, tables - 1, tables + 80, tables + 100];
    for at in places.into_iter().chain([checkpoint.length - 1]) {
        let mut bytes = whole[1].1.clone();
        bytes[at as usize] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let error = resume(folder.path(), &plan, &checkpoint).map(|_| ()).unwrap_err();
        assert!(matches!(error, EwfError::Resume { .. }), "{at}: {error}");
        assert!(error.to_string().contains("image.E02"), "{at}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::write(&path, &whole[1].1[..checkpoint.length as usize - 1]).unwrap();
    assert!(matches!(resume(folder.path(), &plan, &checkpoint), Err(EwfError::Resume { .. })));
    assert_eq!(files(folder.path()).len(), whole.len());
}

/// an earlier segment that is not whole, and headers of another acquisition.
#[test]
fn another_set_is_not_gone_on_with() {
    let (folder, plan, _, checkpoint) = interrupted();
    let other = daleel_acquire::ewf::SetFacts { guid: [9; 16], ..facts(Compression::Adaptive) };
    let error = EwfWriter::resume(folder.path(), "image", &plan, &text(), &other, &checkpoint);
    assert!(matches!(error, Err(EwfError::Resume { .. })));
    let first = folder.path().join("image.E01");
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(resume(folder.path(), &plan, &checkpoint), Err(EwfError::Resume { .. })));
}

/// A-9, CU-1: a later segment of this set is removed, even one of zeros or cut short; a foreign file is not.
#[test]
fn only_files_of_this_set_are_removed() {
    let (folder, plan, media, checkpoint) = interrupted();
    let whole = files(folder.path());
    fs::write(folder.path().join("image.E05"), [0; 5000]).unwrap();
    fs::write(folder.path().join("image.E06"), b"EVF\t\r\n\xFF\0\x01\x06").unwrap();
    fs::write(folder.path().join("image.EAA"), b"").unwrap();
    fs::write(folder.path().join("other.E07"), b"other").unwrap();
    fs::write(folder.path().join("image.E08"), b"notes of the examiner").unwrap();
    let before = files(folder.path());
    let error = resume(folder.path(), &plan, &checkpoint).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("image.E08"), "{error}");
    assert!(files(folder.path()) == before);
    fs::remove_file(folder.path().join("image.E08")).unwrap();
    go_on(resume(folder.path(), &plan, &checkpoint).unwrap(), &plan, &media, 2);
    fs::remove_file(folder.path().join("other.E07")).unwrap();
    assert!(files(folder.path()) == whole);
}

/// checkpoints that no run of ours makes are refused, not believed.
#[test]
fn invented_checkpoints_are_refused() {
    let (folder, plan, _, good) = interrupted();
    let group = good.group.unwrap();
    let with = |entries, start| Some(daleel_acquire::ewf::Group { entries, start });
    let cases = [
        Checkpoint { segment: 0, ..good.clone() },
        Checkpoint { segment: 20_000, ..good.clone() },
        Checkpoint { length: u64::MAX, ..good.clone() },
        Checkpoint { length: 5, ..good.clone() },
        Checkpoint { chunks: 0, ..good.clone() },
        Checkpoint { chunks: u64::MAX, ..good.clone() },
        Checkpoint { group: None, ..good.clone() },
        Checkpoint { group: with(u32::MAX, group.start), ..good.clone() },
        Checkpoint { group: with(0, group.start), ..good.clone() },
        Checkpoint { group: with(group.entries, u64::MAX), ..good.clone() },
        Checkpoint { group: with(group.entries, group.start + 1), ..good.clone() },
    ];
    for case in cases {
        assert!(resume(folder.path(), &plan, &case).is_err(), "{case:?}");
    }
    assert!(resume(folder.path(), &plan, &good).is_ok());
}

/// after an error nothing more is written, and the last checkpoint still leads to the whole set.
#[test]
fn a_file_in_the_way_stops_the_writer_and_not_the_set() {
    let media = noise(600_064, 4);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(180_000), 8, 30);
    let expected = tempfile::tempdir().unwrap();
    write(expected.path(), &plan, &media, Compression::Adaptive, 2, &[(3, 1)]);
    let folder = tempfile::tempdir().unwrap();
    let facts = facts(Compression::Adaptive);
    let in_the_way = folder.path().join("image.E02");
    fs::write(&in_the_way, b"x").unwrap();
    let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
    let mut checkpoint = writer.end_group().unwrap();
    let batches = batches(&plan, &media, Compression::Adaptive, 5);
    let error = batches.iter().enumerate().find_map(|(index, batch)| {
        let pushed = writer.push(batch);
        if pushed.is_ok() && (index + 1) % 2 == 0 {
            checkpoint = writer.end_group().unwrap();
        }
        pushed.err()
    });
    assert!(error.unwrap().to_string().contains("image.E02"));
    assert!(matches!(writer.push(&batches[0]), Err(EwfError::Stopped)));
    assert!(matches!(writer.end_group(), Err(EwfError::Stopped)));
    assert_eq!(fs::read(&in_the_way).unwrap(), b"x");
    fs::remove_file(&in_the_way).unwrap();
    go_on(resume(folder.path(), &plan, &checkpoint).unwrap(), &plan, &media, 2);
    assert!(names(&files(folder.path())) == names(&files(expected.path())));
}

#[cfg(unix)]
const CHILD: &str = "DALEEL_TEST_FULL_DISK";

/// a disk that is full (here a limit on the size of a file) is told apart, and the set goes on when there is room again.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_a_set_that_can_be_resumed() {
    let media = noise(2_000_384, 4);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Single, 8, 30);
    if let Some(folder) = std::env::var_os(CHILD) {
        return until_full(Path::new(&folder), &plan, &media);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("sh");
    // Without the signal the write fails with EFBIG.
    child.arg("-c").arg("trap '' XFSZ; ulimit -f 2000; exec \"$0\" --exact \"$1\" --nocapture");
    child.arg(std::env::current_exe().unwrap()).arg("a_full_disk_leaves_a_set_that_can_be_resumed");
    child.env(CHILD, folder.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let kept = fs::read(folder.path().join("checkpoint")).unwrap();
    fs::remove_file(folder.path().join("checkpoint")).unwrap();
    let checkpoint: Checkpoint = serde_json::from_slice(&kept).unwrap();
    assert!(checkpoint.chunks > 100, "{checkpoint:?}");
    go_on(resume(folder.path(), &plan, &checkpoint).unwrap(), &plan, &media, 2);
    let expected = tempfile::tempdir().unwrap();
    write(expected.path(), &plan, &media, Compression::Adaptive, 2, &[(3, 1)]);
    assert!(names(&files(folder.path())) == names(&files(expected.path())));
}

#[cfg(unix)]
fn until_full(folder: &Path, plan: &Plan, media: &[u8]) {
    let facts = facts(Compression::Adaptive);
    let mut writer = EwfWriter::create(folder, "image", plan, &text(), &facts).unwrap();
    for (index, batch) in batches(plan, media, Compression::Adaptive, 5).iter().enumerate() {
        if let Err(error) = writer.push(batch) {
            assert!(error.is_full(), "{error}");
            return;
        }
        if (index + 1) % 2 == 0 {
            let Ok(checkpoint) = writer.end_group() else { return };
            let text = serde_json::to_vec(&checkpoint).unwrap();
            fs::write(folder.join("checkpoint"), text).unwrap();
        }
    }
    panic!("the disk was never full");
}

/// What does not fit the plan is refused before any of it is written.
#[test]
fn batches_that_do_not_fit_are_refused() {
    let media = noise(81_920, 4);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Single, 8, 30);
    let good = batches(&plan, &media, Compression::Adaptive, 100).remove(0);
    let mut short = good.clone();
    short.bytes.pop();
    let mut long = good.clone();
    long.bytes.extend_from_slice(&[0; 5]);
    long.chunks[0].len += 5;
    let mut many = good.clone();
    many.bytes.push(0);
    many.chunks.push(daleel_acquire::ewf::Chunk { len: 1, compressed: true });
    for batch in [short, long, many] {
        let folder = tempfile::tempdir().unwrap();
        let facts = facts(Compression::Adaptive);
        let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
        let before = files(folder.path());
        assert!(matches!(writer.push(&batch), Err(EwfError::Plan(_))));
        assert!(files(folder.path()) == before);
    }
    let folder = tempfile::tempdir().unwrap();
    let facts = facts(Compression::Adaptive);
    let writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
    let error = writer.finish(&[], None, None).unwrap_err();
    assert!(error.to_string().contains("0 of 20 chunks"), "{error}");
}

/// past the page cache or through it, and changing from one to the other at a checkpoint, the set is the same.
#[test]
fn the_way_of_writing_is_not_seen_in_the_files() {
    let media = mixed(23_000_064, 11);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(9_000_000), 64, 150);
    let expected = tempfile::tempdir().unwrap();
    let (_, checkpoints) =
        write(expected.path(), &plan, &media, Compression::Adaptive, 3, &[(3, 1)]);
    let whole = files(expected.path());
    for checkpoint in [&checkpoints[0], &checkpoints[checkpoints.len() / 2]] {
        let folder = tempfile::tempdir().unwrap();
        killed(&whole, folder.path(), checkpoint, 3_000_000);
        let writer = resume(folder.path(), &plan, checkpoint).unwrap().through_cache().unwrap();
        go_on(writer, &plan, &media, 3);
        assert!(names(&files(folder.path())) == names(&whole));
    }
}
