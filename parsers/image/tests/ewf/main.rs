//! E01 sets: healthy ones in every shape, and what damage of every kind does to them.
//!
//! The rule that all of this holds the reader to: a byte it gives is the byte of the medium. What it cannot prove is a hole
//! or an error, and nothing moves to another offset.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod damage;
mod files;
mod shapes;
mod writer;

use std::sync::Arc;

use daleel_core::Source;
use daleel_image::{EwfError, EwfSet, EwfSource, SegmentInput};

/// Bytes without a pattern that repeats.
pub fn media(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Opens files that are in memory; `None` is a missing one.
pub fn open_files(files: &[Option<Vec<u8>>]) -> Result<EwfSet, EwfError> {
    let inputs = files.iter().zip(1..).filter_map(|(file, number)| {
        let source: Arc<dyn Source> = Arc::new(file.clone()?);
        Some(SegmentInput::new(&format!("t.E{number:02}"), number, source))
    });
    EwfSet::from_segments(inputs.collect())
}

/// Files of which none is missing.
pub fn present(files: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    files.iter().cloned().map(Some).collect()
}

/// The medium in a set.
pub fn source_of(set: EwfSet) -> EwfSource {
    EwfSource::new(Arc::new(set))
}

/// Reads every chunk: gives how many were read, after checking that each is what the medium has there.
pub fn check_chunks(set: &EwfSet, media: &[u8], what: &str) -> u64 {
    let mut buf = vec![0; set.chunk_bytes() + 4];
    let mut read = 0;
    for index in 0..set.chunk_count() {
        let at = set.chunk_extent(index).offset() as usize;
        let Ok(length) = set.read_chunk(index, &mut buf) else { continue };
        let expected = media.get(at..at + length);
        assert!(Some(&buf[..length]) == expected, "{what}: chunk {index} is another one");
        read += 1;
    }
    read
}
