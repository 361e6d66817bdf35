//! Raw images of every shape, whole and split, in order and out of it.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::medium::Buffer;

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(step).collect()
}

/// Noise with stretches of zeros at block borders and beside them.
fn medium(len: usize) -> Vec<u8> {
    let mut bytes = noise(len);
    for (from, to) in [(65_536, 262_144), (300_000, 500_000), (len.saturating_sub(150_000), len)] {
        if let Some(part) = bytes.get_mut(from..to) {
            part.fill(0);
        }
    }
    bytes
}

fn layout(folder: &Path, bytes: u64, piece: Option<u64>) -> Layout {
    Layout::new(folder, "image", bytes, piece).unwrap()
}

fn joined(layout: &Layout) -> Vec<u8> {
    layout.files().iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

/// Pushes `bytes` from where the writer stands, in slabs of aligned memory.
fn push(writer: &mut RawWriter, bytes: &[u8], slab: usize, until: usize) {
    while (writer.position() as usize) < until.min(bytes.len()) {
        let rest = &bytes[writer.position() as usize..];
        let part = &rest[..slab.min(rest.len())];
        let mut buffer = Buffer::new(part.len());
        buffer.copy_from_slice(part);
        writer.push(&buffer).unwrap();
    }
}

const WAYS: [Storing; 4] = [
    Storing { sparse: false, direct: false },
    Storing { sparse: false, direct: true },
    Storing { sparse: true, direct: false },
    Storing { sparse: true, direct: true },
];

/// every byte at its place, whole or split, whether zeros are left out or not, past the page cache or not.
#[test]
fn every_way_of_storing_gives_the_same_bytes() {
    let bytes = medium(1_234_567);
    for storing in WAYS {
        for piece in [None, Some(400_000), Some(262_144), Some(1_234_567)] {
            for slab in [262_144, 100_000] {
                let folder = tempfile::tempdir().unwrap();
                let layout = layout(folder.path(), bytes.len() as u64, piece);
                let mut writer = RawWriter::create(layout.clone(), storing).unwrap();
                push(&mut writer, &bytes, slab, usize::MAX);
                assert_eq!(writer.finish().unwrap(), layout.files());
                assert!(joined(&layout) == bytes, "{storing:?} {piece:?} {slab}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count() as u64, layout.pieces());
            }
        }
    }
}

/// A half-empty medium takes half the room.
#[cfg(target_os = "linux")]
#[test]
fn zeros_take_no_room() {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = vec![0; 16 << 20];
    bytes[4 << 20..8 << 20].copy_from_slice(&noise(4 << 20));
    for direct in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path(), bytes.len() as u64, None);
        let mut writer =
            RawWriter::create(layout.clone(), Storing { sparse: true, direct }).unwrap();
        push(&mut writer, &bytes, 4 << 20, usize::MAX);
        writer.finish().unwrap();
        let found = fs::metadata(&layout.files()[0]).unwrap();
        assert_eq!(found.len(), bytes.len() as u64);
        assert!(found.blocks() * 512 < 5 << 20, "{}", found.blocks());
        assert!(joined(&layout) == bytes);
    }
}

/// CU-1: no file of an image is written over, the last piece as little as the first.
#[test]
fn nothing_is_overwritten() {
    for name in ["image.001", "image.003"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "evidence").unwrap();
        let layout = layout(folder.path(), 1_000_000, Some(400_000));
        let errors = [
            RawWriter::create(layout.clone(), Storing::default()).map(|_| ()).unwrap_err(),
            RawCanvas::create(layout).map(|_| ()).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn more_than_the_medium_or_less_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path(), 10_000, None);
    let mut writer = RawWriter::create(layout, Storing::default()).unwrap();
    writer.push(&[1; 9_999]).unwrap();
    assert!(writer.push(&[1; 2]).unwrap_err().to_string().contains("past the end"));
    assert!(writer.finish().unwrap_err().to_string().contains("not whole"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// from any checkpoint, with any rubbish after it, the image is that of an undisturbed run.
    #[test]
    fn every_checkpoint_leads_to_the_same_image(
        stop in 0usize..1_234_567, further in 0usize..600_000, piece in 4096u64..1_500_000, way in 0usize..4,
    ) {
        let piece = Some(piece.max(20_000));
        let bytes = medium(1_234_567);
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path(), bytes.len() as u64, piece);
        let mut writer = RawWriter::create(layout.clone(), WAYS[way]).unwrap();
        push(&mut writer, &bytes, 65_536, stop);
        let checkpoint = writer.checkpoint().unwrap();
        writer.sync_handle().unwrap().sync_data().unwrap();
        // Written after the checkpoint and not what the medium gives the second time.
        push(&mut writer, &noise(1_234_567), 65_536, stop + further);
        drop(writer);
        let mut writer = RawWriter::resume(layout.clone(), WAYS[3 - way], checkpoint).unwrap();
        prop_assert_eq!(writer.position(), checkpoint.position);
        push(&mut writer, &bytes, 65_536, usize::MAX);
        writer.finish().unwrap();
        prop_assert!(joined(&layout) == bytes);
    }

    /// offsets never shift, whatever the order.
    #[test]
    fn a_canvas_takes_any_order(
        writes in prop::collection::vec((0usize..200_000, 1usize..50_000), 1..30), piece in 4096u64..300_000, split in any::<bool>(),
    ) {
        let source = noise(200_000);
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path(), 200_000, split.then_some(piece));
        let canvas = RawCanvas::create(layout.clone()).unwrap();
        let mut expected = vec![0; 200_000];
        let mut open = canvas;
        for (number, (offset, len)) in writes.into_iter().enumerate() {
            let end = (offset + len).min(200_000);
            open.write_at(offset as u64, &source[offset..end]).unwrap();
            expected[offset..end].copy_from_slice(&source[offset..end]);
            if number % 7 == 6 {
                open.sync().unwrap();
                open = RawCanvas::open(layout.clone()).unwrap();
            }
        }
        let mut found = vec![1; 200_000];
        open.read_at(0, &mut found).unwrap();
        prop_assert!(found == expected);
        open.sync().unwrap();
        prop_assert!(joined(&layout) == expected);
        prop_assert!(open.write_at(199_999, &[1, 2]).is_err());
        prop_assert!(open.write_at(u64::MAX, &[1]).is_err());
    }
}

/// files that are shorter than the checkpoint says are not gone on with, and nothing is cut.
#[test]
fn a_short_file_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path(), 1_000_000, Some(400_000));
    fs::write(folder.path().join("image.001"), vec![7; 400_000]).unwrap();
    fs::write(folder.path().join("image.002"), vec![7; 99_999]).unwrap();
    let checkpoint = RawCheckpoint { position: 500_000 };
    let error = RawWriter::resume(layout.clone(), Storing::default(), checkpoint).unwrap_err();
    assert!(error.to_string().contains("image.002"), "{error}");
    assert_eq!(joined_len(folder.path()), 499_999);
    assert!(RawCanvas::open(layout).is_err());
}

fn joined_len(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}
