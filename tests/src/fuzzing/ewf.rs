//! E01 sets: the segment files of a set, one behind the other.

use std::sync::Arc;

use daleel_core::{Extent, Source};
use daleel_image::{EwfSet, EwfSource, SegmentInput};

/// First bytes of a segment file.
const SIGNATURE: &[u8] = b"EVF\x09\x0d\x0a\xff\x00";
/// Bytes of a section descriptor.
const DESCRIPTOR_BYTES: usize = 76;
/// Chunks above this size are not read here: a set of few bytes may state 128 MiB.
const CHUNK_LIMIT: usize = 1 << 20;
/// Chunks of a set that are read.
const CHUNKS: u64 = 48;

/// Where segment files begin in the bytes.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(SIGNATURE.len()).enumerate();
    windows.filter(|(_, window)| *window == SIGNATURE).map(|(at, _)| at).collect()
}

/// The bytes are segment files, split where a signature stands. Gives the number of chunks that were read.
pub fn ewf(bytes: &[u8]) -> u64 {
    let mut borders = starts(bytes);
    borders.push(bytes.len());
    let inputs = borders.windows(2).zip(1..).map(|(two, number)| {
        let source: Arc<dyn Source> = Arc::new(bytes[two[0]..two[1]].to_vec());
        SegmentInput::new(&format!("f.E{number:02}"), number, source)
    });
    let Ok(set) = EwfSet::from_segments(inputs.collect()) else { return 0 };
    assert!(set.media_bytes() > 0 && set.chunk_bytes() > 0);
    let chunk = set.chunk_bytes() as u64;
    assert_eq!(set.chunk_count(), set.media_bytes().div_ceil(chunk));
    for finding in set.findings().0 {
        assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
    }
    if set.chunk_bytes() > CHUNK_LIMIT {
        return 1;
    }
    let source = EwfSource::new(Arc::new(set));
    let count = source.set().chunk_count();
    let tail = count.saturating_sub(2).max(CHUNKS)..count;
    1 + (0..count.min(CHUNKS)).chain(tail).filter(|index| check_chunk(&source, *index)).count()
        as u64
}

/// A chunk reads the same way by all ways, or fails by all and is a hole then.
fn check_chunk(source: &EwfSource, index: u64) -> bool {
    let set = source.set();
    let extent = set.chunk_extent(index);
    let (mut exact, mut roomy) = (vec![1; set.chunk_bytes()], vec![2; set.chunk_bytes() + 4]);
    let (first, second) = (set.read_chunk(index, &mut exact), set.read_chunk(index, &mut roomy));
    let length = first.as_ref().ok().copied();
    assert_eq!(length, second.ok());
    let mut part = vec![0; 1 + extent.len() as usize / 2];
    let read = source.read_exact_at(extent.offset(), &mut part);
    if let Some(length) = length {
        assert_eq!(length as u64, extent.len());
        assert_eq!(exact[..length], roomy[..length]);
        if read.is_ok() {
            assert_eq!(part, exact[..part.len()]);
        }
    }
    let holes = source.holes(Extent::new(extent.offset(), part.len() as u64));
    assert_eq!(read.is_err(), !holes.is_empty(), "{read:?} {holes:?}");
    let mut from = extent.offset();
    for (hole, _) in holes {
        assert!(from <= hole.offset() && !hole.is_empty());
        from = hole.end();
    }
    length.is_some()
}

fn adler(bytes: &[u8]) -> [u8; 4] {
    let (mut low, mut high) = (1u32, 0u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    (high << 16 | low).to_le_bytes()
}

fn put_sum(file: &mut [u8], from: usize, at: usize) {
    let Some(sum) = file.get(from..at).map(adler) else { return };
    if let Some(target) = file.get_mut(at..at.saturating_add(4)) {
        target.copy_from_slice(&sum);
    }
}

/// Puts the checksums of descriptors, geometries, tables, error lists and digests right.
pub fn mend_ewf(bytes: &mut [u8]) {
    let mut borders = starts(bytes);
    borders.push(bytes.len());
    for two in borders.windows(2) {
        mend_file(&mut bytes[two[0]..two[1]]);
    }
}

fn mend_file(file: &mut [u8]) {
    let mut at = 13usize;
    for _ in 0..256 {
        let Some(descriptor) = file.get(at..at.saturating_add(DESCRIPTOR_BYTES)) else { return };
        let name = descriptor[..16].to_vec();
        let next = u64::from_le_bytes(descriptor[16..24].try_into().unwrap());
        put_sum(file, at, at + 72);
        let body = at + DESCRIPTOR_BYTES;
        let count = file
            .get(body..body + 4)
            .map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()) as usize);
        match name.split(|byte| *byte == 0).next().unwrap_or_default() {
            b"volume" | b"disk" | b"data" if next > (body + 1000) as u64 => {
                put_sum(file, body, body + 1048);
            }
            b"volume" => put_sum(file, body, body + 90),
            b"table" | b"table2" => {
                put_sum(file, body, body + 20);
                put_sum(file, body + 24, (body + 24).saturating_add(count.saturating_mul(4)));
            }
            b"error2" => {
                put_sum(file, body, body + 516);
                put_sum(file, body + 520, (body + 520).saturating_add(count.saturating_mul(8)));
            }
            b"hash" => put_sum(file, body, body + 32),
            b"digest" => put_sum(file, body, body + 76),
            _ => {}
        }
        match usize::try_from(next) {
            Ok(next) if next >= body => at = next,
            _ => return,
        }
    }
}
