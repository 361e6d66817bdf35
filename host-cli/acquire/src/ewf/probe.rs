//! Is a chunk worth compressing? A guess from a sample of its bytes that costs a small part of storing it.
//!
//! Facts: the sum over byte values of (count - expected)^2 / expected is 255 ± 23 for random bytes (chi-square, 255 degrees of
//! freedom); its excess tells how many bits per byte a code for single bytes can save. H.264 and H.265 come near to random;
//! deflating them costs ten times the time of storing and saves less than one percent.

/// Bytes taken from each place.
const SPOT: usize = 32;
/// Most places in a chunk.
const SPOTS: usize = 64;
/// Bytes a sample must have, so that counts mean something.
const SAMPLE_MIN: u32 = 1024;
/// Below this, bytes are more even than chance makes them: a counter or a ramp, which compress well.
const EVEN: u64 = 160;
/// Above this, a code for single bytes saves about half a percent.
const UNEVEN: u64 = 380;

/// True when every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<256>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// True when compressing `chunk` would very probably save next to nothing.
pub fn is_incompressible(chunk: &[u8]) -> bool {
    let stride = chunk.len().checked_div(SPOTS).unwrap_or(0).max(SPOT);
    let mut counts = [0u32; 256];
    let mut heads = [0u32; SPOTS];
    for ((index, place), head) in chunk.chunks(stride).enumerate().zip(&mut heads) {
        count(spot(place, index), &mut counts);
        *head = leading(place);
    }
    is_flat(&counts) && all_differ(&heads)
}

/// A part of `place`, at another distance from its start each time: what repeats with the sector must not hide.
fn spot(place: &[u8], index: usize) -> &[u8] {
    let room = (place.len() / SPOT).max(1);
    let start = index.wrapping_mul(5).checked_rem(room).unwrap_or(0).saturating_mul(SPOT);
    place.get(start..start.saturating_add(SPOT)).unwrap_or_default()
}

fn count(bytes: &[u8], counts: &mut [u32; 256]) {
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.wrapping_add(1);
        }
    }
}

/// The first four bytes as a number.
fn leading(place: &[u8]) -> u32 {
    place.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// True when the counts are those of bytes that look random.
fn is_flat(counts: &[u32; 256]) -> bool {
    // The sample has 2,048 bytes at most, so that the squares stay below 2^22.
    let total = counts.iter().fold(0u32, |sum, count| sum.wrapping_add(*count));
    let squares =
        counts.iter().fold(0u32, |sum, count| sum.wrapping_add(count.wrapping_mul(*count)));
    let scaled = u64::from(squares).saturating_mul(256).checked_div(u64::from(total));
    let chi = scaled.unwrap_or(0).saturating_sub(u64::from(total));
    total >= SAMPLE_MIN && (EVEN..UNEVEN).contains(&chi)
}

/// True when no two places begin alike: repeated blocks compress however random each of them is.
fn all_differ(heads: &[u32; SPOTS]) -> bool {
    // Every pair is compared, which the compiler does many at a time; sorting takes longer.
    heads.iter().all(|head| {
        let equal = |sum: u32, other: &u32| sum.wrapping_add(u32::from(head == other));
        heads.iter().fold(0, equal) == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    #[test]
    fn noise_is_stored() {
        let flat =
            (0..500).filter(|seed| is_incompressible(&noise(32_768, seed * 977 + 5))).count();
        assert!(flat >= 498, "{flat}");
        assert!(is_incompressible(&noise(131_072, 3)));
    }

    #[test]
    fn what_compresses_is_not_stored() {
        let text: Vec<u8> = (0..9_000).flat_map(|n: u32| n.to_string().into_bytes()).collect();
        let ramp: Vec<u8> = (0..32_768u32).map(|n| n as u8).collect();
        let counter: Vec<u8> = (0..8_192u32).flat_map(|n| n.to_le_bytes()).collect();
        let block = noise(4_096, 9);
        let repeated: Vec<u8> = block.iter().copied().cycle().take(32_768).collect();
        let mut half = noise(32_768, 4);
        half[..16_384].fill(0);
        let mut tenth = noise(32_768, 4);
        tenth[20_000..23_000].fill(0);
        for (name, bytes) in [
            ("text", &text[..32_768]),
            ("ramp", &ramp),
            ("counter", &counter),
            ("repeated", &repeated),
            ("half", &half),
            ("tenth", &tenth),
        ] {
            assert!(!is_incompressible(bytes), "{name}");
        }
    }

    #[test]
    fn short_chunks_are_tried() {
        for len in [0, 1, 63, 64, 512, 1_000] {
            assert!(!is_incompressible(&noise(len, 5)), "{len}");
        }
    }

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        for len in [1, 255, 256, 257, 1000] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{len} {at}");
                bytes[at] = 0;
            }
        }
        assert!(is_zero(&[]));
    }
}
