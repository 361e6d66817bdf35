//! Sets of every shape, read by programs that share no code with ours: libewf's tools and Sleuth Kit.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod ewf_support;

use daleel_acquire::ewf::{Compression, EwfWriter, Plan, SegmentSize};
use ewf_support::*;

const ALL: [Compression; 3] = [Compression::Never, Compression::Adaptive, Compression::Best];

fn check(plan: &Plan, media: &[u8], compression: Compression) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (finished, _) = write(folder.path(), plan, media, compression, 3, &[]);
    check_with_oracles(&finished, &padded(plan, media));
    let sizes = finished.files.iter().map(|path| path.metadata().unwrap().len());
    assert_eq!(sizes.clone().sum::<u64>(), finished.bytes);
    assert!(sizes.max().unwrap() <= plan.segment_bytes());
    assert!(finished.bytes <= plan.worst_case_bytes());
    let name = |path: &std::path::PathBuf| path.extension().unwrap().to_str().unwrap().to_owned();
    finished.files.iter().map(name).collect()
}

/// one sector, one sector around a chunk, and a stored partial chunk at the end; sectors of 512 and 4096 bytes.
#[test]
fn sizes_around_a_chunk() {
    for sector in [512u32, 4096] {
        let chunk = 32_768 / sector;
        for sectors in [1, chunk - 1, chunk, chunk + 1, 3 * chunk + 5] {
            let media = noise((sectors * sector) as usize, u64::from(sectors));
            let plan = Plan::new(media.len() as u64, sector, SegmentSize::Auto, None).unwrap();
            check(&plan, &media, Compression::Adaptive);
        }
    }
}

/// what can be compressed, what cannot, and nothing but zeros, in each way of storing.
#[test]
fn every_way_of_storing() {
    let bytes = 40 * 32_768 + 7 * 512;
    for compression in ALL {
        for media in [mixed(bytes, 1), noise(bytes, 2), vec![0; bytes]] {
            let plan = Plan::new(bytes as u64, 512, SegmentSize::Auto, None).unwrap();
            check(&plan, &media, compression);
        }
    }
}

/// a file that ends within a sector is kept whole; the set holds zeros up to the sector's end.
#[test]
fn a_medium_that_ends_within_a_sector() {
    let media = mixed(100_001, 3);
    let plan = Plan::new(100_001, 512, SegmentSize::Auto, None).unwrap();
    assert_eq!((plan.sectors(), plan.padded_bytes()), (196, 100_352));
    check(&plan, &media, Compression::Adaptive);
}

/// as many chunks as the oldest readers take in one table, and one more.
#[test]
fn a_full_table_and_one_more_chunk() {
    for chunks in [16_375usize, 16_376] {
        let media = mixed(chunks * 2048, 5);
        let plan = small_plan(media.len() as u64, 512, SegmentSize::Auto, 4, u32::MAX);
        let folder = tempfile::tempdir().unwrap();
        let (finished, _) =
            write(folder.path(), &plan, &media, Compression::Adaptive, usize::MAX, &[]);
        check_with_oracles(&finished, &media);
        let file = std::fs::read(&finished.files[0]).unwrap();
        let tables = file.windows(16).filter(|name| *name == b"table2\0\0\0\0\0\0\0\0\0\0").count();
        assert_eq!(tables, chunks - 16_374, "{chunks}");
    }
}

/// segments end within a batch and within a group, and go on past `.E99`.
#[test]
fn segments_past_the_numbers() {
    let media = noise(110 * 150_000, 6);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(180_000), 64, 7);
    let names = check(&plan, &media, Compression::Adaptive);
    assert!(names.len() > 100, "{}", names.len());
    assert_eq!(
        (names[98].as_str(), names[99].as_str(), names[100].as_str()),
        ("E99", "EAA", "EAB")
    );
}

/// each size of chunk that is written, with tables that count from their section as in large files.
#[test]
fn larger_chunks_and_relative_tables() {
    for sectors in [64, 128, 256] {
        let media = mixed(5_000_192, u64::from(sectors));
        let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(1 << 32), sectors, 9);
        assert!(!plan.absolute_offsets());
        check(&plan, &media, Compression::Adaptive);
    }
}

/// unreadable sectors are in the error list, and what it cannot express is handed back.
#[test]
fn error_lists() {
    let media = mixed(3_000_320, 8);
    let many: Vec<(u64, u64)> = (0..2_000).map(|n| (n * 2, 1)).collect();
    let beyond = vec![(5, 2), ((1 << 32) - 3, 10), (1 << 32, 1), (1 << 40, u64::MAX)];
    let left = vec![(1 << 32, 7), (1 << 32, 1), (1 << 40, u64::MAX)];
    let cases = [
        (vec![], 0, vec![]),
        (vec![(100, 3)], 1, vec![]),
        (many, 2_000, vec![]),
        (beyond, 2, left),
    ];
    for (errors, listed, left_out) in cases {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(media.len() as u64, 512, SegmentSize::Auto, None).unwrap();
        let (finished, _) = write(folder.path(), &plan, &media, Compression::Adaptive, 4, &errors);
        assert_eq!(finished.errors_left_out, left_out);
        check_with_oracles(&finished, &media);
        let Some(said) = said("ewfinfo", &["-e", first(&finished)]) else { continue };
        let count = said.matches("at sector(s)").count();
        assert_eq!(count, listed, "{said}");
        assert!(listed != 1 || said.contains("at sector(s): 100 - 102 number: 3"), "{said}");
    }
}

/// an error list longer than its room is cut, and the rest handed back.
#[test]
fn an_error_list_without_end() {
    let media = noise(200_000, 9);
    let plan = small_plan(media.len() as u64, 512, SegmentSize::Bytes(260_000), 64, 100);
    let errors: Vec<(u64, u64)> = (0..100_000).map(|n| (n * 3, 2)).collect();
    let folder = tempfile::tempdir().unwrap();
    let (finished, _) = write(folder.path(), &plan, &media, Compression::Adaptive, 4, &errors);
    let most = plan.error_entries() as usize;
    assert_eq!(finished.errors_left_out, errors[most..]);
    assert!(finished.files.iter().all(|path| path.metadata().unwrap().len() <= 260_000));
    check_with_oracles(&finished, &padded(&plan, &media));
}

/// case text, model and serial are read back by libewf, Arabic and characters beyond 16 bits included.
#[test]
fn case_text_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(512, 512, SegmentSize::Auto, None).unwrap();
    let mut text = text();
    text.description = "قرص مسجّل 𐎀𐎁".into();
    text.notes = "bay 2\tleft\nseal 17".into();
    let facts = facts(Compression::Adaptive);
    let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text, &facts).unwrap();
    let media = noise(512, 1);
    for batch in batches(&plan, &media, Compression::Adaptive, 1) {
        writer.push(&batch).unwrap();
    }
    let finished = writer.finish(&[], Some(md5(&media)), Some(sha1(&media))).unwrap();
    let Some(said) = said("ewfinfo", &[first(&finished)]) else { return };
    for line in [
        "Case number:\t\t12/2026",
        "Description:\t\tقرص مسجّل 𐎀𐎁",
        "Examiner name:\t\tA. Examiner",
        "Evidence number:\tEV-7",
        "Notes:\t\t\tbay 2 left seal 17; times are UTC",
        "Acquisition date:\tSat Dec  7 20:00:00 2024",
        "System date:\t\tSat Dec  7 20:00:01 2024",
        "Operating system used:\tLinux",
        "Software version used:\tdaleel 0.1",
        "Model:\t\t\tWDC WD40PURX-64GVNY0",
        "Serial number:\t\tWD-WCC4E0123456",
        "File format:\t\tEnCase 6",
        "Sectors per chunk:\t64",
        "Error granularity:\t1",
        "Compression level:\tgood (fast) compression",
        "Set identifier:\t\t04030201-0605-0847-890a-0b0c0d0e0f10",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

/// MD5 alone, as where SHA-1 was not asked for, and no hash at all.
#[test]
fn fewer_hashes() {
    for with_md5 in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let media = noise(50_176, 1);
        let plan = Plan::new(media.len() as u64, 512, SegmentSize::Auto, None).unwrap();
        let facts = facts(Compression::Adaptive);
        let mut writer = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap();
        for batch in batches(&plan, &media, Compression::Adaptive, 1) {
            writer.push(&batch).unwrap();
        }
        let finished = writer.finish(&[], with_md5.then(|| md5(&media)), None).unwrap();
        let Some(said) = said("ewfinfo", &[first(&finished)]) else { return };
        assert_eq!(said.contains("MD5:"), with_md5, "{said}");
        assert!(!said.contains("SHA1:"), "{said}");
        if let Some(output) = oracle("img_cat", &[first(&finished)]) {
            assert!(output.stdout == media);
        }
    }
}

/// CU-1: an image that is there is never written over.
#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(512, 512, SegmentSize::Auto, None).unwrap();
    std::fs::write(folder.path().join("image.E01"), "evidence").unwrap();
    let facts = facts(Compression::Adaptive);
    let error = EwfWriter::create(folder.path(), "image", &plan, &text(), &facts).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
    assert!(error.to_string().contains("image.E01"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("image.E01")).unwrap(), b"evidence");
}
