//! Sums put right after a mutation, so that the readers behind them are reached as well.
//!
//! The checksum of a DHAV header and the CRC of a GPT turn away nearly every mutation; half of the inputs are mended
//! by the mutators of the targets. What is stored as a seed or a crash is always the plain input.

use crc::{CRC_32_ISO_HDLC, Crc};

use super::sectors::{RECORD_BYTES, SECTOR_BYTES};

/// Puts the checksum of every DHAV header right, and the trailer where its length says.
pub fn dhav(bytes: &mut [u8]) {
    let starts: Vec<usize> = bytes
        .windows(24)
        .enumerate()
        .filter(|(_, window)| window.starts_with(b"DHAV"))
        .map(|(at, _)| at)
        .collect();
    for at in starts {
        let header = &mut bytes[at..at + 24];
        header[23] = header[..23].iter().fold(0, |sum, byte| sum.wrapping_add(*byte));
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let end = at.saturating_add(length as usize);
        if length >= 32
            && let Some(trailer) = bytes.get_mut(end - 8..end)
        {
            trailer[..4].copy_from_slice(b"dhav");
            trailer[4..].copy_from_slice(&length.to_le_bytes());
        }
    }
}

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Puts the two sums of every GPT header right whose entries lie in the bytes.
pub fn gpt(bytes: &mut [u8]) {
    for (at, sector) in (0..bytes.len()).step_by(512).flat_map(|at| [(at, 512), (at, 4096)]) {
        let Some(header) = bytes.get(at..at + 92).filter(|header| header.starts_with(b"EFI PART"))
        else {
            continue;
        };
        let word =
            |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().unwrap()) as usize;
        let start = word(72).saturating_mul(sector);
        let end = start.saturating_add(word(80).saturating_mul(word(84)));
        let length = word(12);
        let Some(entries) = bytes.get(start..end).map(|bytes| CRC.checksum(bytes)) else {
            continue;
        };
        bytes[at + 88..at + 92].copy_from_slice(&entries.to_le_bytes());
        bytes[at + 16..at + 20].fill(0);
        if let Some(sum) = bytes.get(at..at.saturating_add(length)).map(|bytes| CRC.checksum(bytes))
        {
            bytes[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
        }
        return;
    }
}

/// Puts the length of every packet of a program stream where the next start code says.
pub fn packets(bytes: &mut [u8]) {
    let is_start = |window: &[u8]| matches!(window, [0, 0, 1, 0xBA..=0xEF]);
    let windows = bytes.windows(4).enumerate();
    let starts: Vec<usize> =
        windows.filter(|(_, window)| is_start(window)).map(|(at, _)| at).collect();
    for pair in starts.windows(2) {
        let [at, next] = [pair[0], pair[1]];
        // A pack header states no length.
        if bytes[at + 3] != 0xBA
            && let Some(Ok(length)) = next.checked_sub(at + 6).map(u16::try_from)
        {
            bytes[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// Mutates a list of sectors: three times in four inside one sector, so that the others stay where they are; half of these
/// times in every sector of the same bytes, so that copies of an index still agree.
///
/// `mutate` changes the first `size` bytes of a buffer and gives their new number, as the fuzzer's own mutator does;
/// `mend` puts sums in a sector right, and is called half of the time.
pub fn sectors(
    data: &mut [u8],
    size: usize,
    seed: u32,
    mutate: impl FnOnce(&mut [u8], usize) -> usize,
    mend: fn(&mut [u8]),
) -> usize {
    let records = size / RECORD_BYTES;
    let seed = seed as usize;
    let size = if records == 0 || seed.is_multiple_of(4) {
        mutate(data, size)
    } else {
        let from = seed / 8 % records * RECORD_BYTES + 2;
        let before = data[from..from + SECTOR_BYTES].to_vec();
        mutate(&mut data[from..from + SECTOR_BYTES], SECTOR_BYTES);
        if seed >> 16 & 1 == 0 {
            let after = data[from..from + SECTOR_BYTES].to_vec();
            replace(&mut data[..size], &before, &after);
        }
        size
    };
    if seed & 4 == 0 {
        data[..size]
            .chunks_mut(RECORD_BYTES)
            .filter_map(|record| record.get_mut(2..))
            .for_each(mend);
    }
    size
}

/// Replaces every sector of the same bytes, unless they are one value only.
fn replace(records: &mut [u8], before: &[u8], after: &[u8]) {
    if before.iter().all(|byte| *byte == before[0]) {
        return;
    }
    for record in records.chunks_exact_mut(RECORD_BYTES).filter(|record| record[2..] == *before) {
        record[2..].copy_from_slice(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_header_has_its_sum_and_its_trailer() {
        let mut bytes = vec![0; 60];
        bytes[3..7].copy_from_slice(b"DHAV");
        bytes[7] = 0xFD;
        bytes[15] = 40;
        dhav(&mut bytes);
        let sum = b"DHAV".iter().fold(0xFDu8.wrapping_add(40), |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(bytes[26], sum);
        assert_eq!(bytes[35..43], *b"dhav\x28\0\0\0");
    }

    #[test]
    fn a_mutation_inside_a_sector_moves_no_other() {
        let mut data = vec![7; 3 * RECORD_BYTES];
        let size = data.len();
        let fill = |sector: &mut [u8], length: usize| {
            sector[..length].fill(1);
            length / 2
        };
        assert_eq!(sectors(&mut data, size, 9, fill, |_| ()), size);
        assert_eq!(data.iter().filter(|byte| **byte == 1).count(), SECTOR_BYTES);
        assert_eq!(data[RECORD_BYTES + 2..2 * RECORD_BYTES], [1; SECTOR_BYTES]);
    }

    #[test]
    fn copies_of_a_sector_are_mutated_together() {
        let mut data = vec![7; 3 * RECORD_BYTES];
        for record in [0, 2] {
            data[record * RECORD_BYTES + 9] = 8;
        }
        let size = data.len();
        let fill = |sector: &mut [u8], length: usize| {
            sector[..length].fill(1);
            length
        };
        sectors(&mut data, size, 1, fill, |_| ());
        assert_eq!(data.iter().filter(|byte| **byte == 1).count(), 2 * SECTOR_BYTES);
    }

    #[test]
    fn a_mended_packet_ends_where_the_next_begins() {
        let mut bytes =
            [&[0, 0, 1, 0xE0, 0xFF, 0xFF][..], &[5; 300], &[0, 0, 1, 0xBA, 9, 9]].concat();
        packets(&mut bytes);
        assert_eq!((bytes[4], bytes[5]), (1, 44));
        assert_eq!(bytes[306..], [0, 0, 1, 0xBA, 9, 9]);
    }
}
