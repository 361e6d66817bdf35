//! The DHII index at the start of a recording.
//!
//! Facts: `docs/formats/dahua.md`, section 1.6.

use super::put_u32;
use crate::Error;
use crate::civil::Moment;

/// Type of an index header for key frames.
const KEY_FRAMES: u32 = 1;
/// Type of an index header for JPEG frames.
const STILLS: u32 = 3;
/// Offset of the first entry array.
const ARRAYS: usize = 0x40;

/// Shape of the index of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStyle {
    /// Bytes from the start of the recording to its first frame.
    pub length: u32,
    /// Bytes that are written; the rest up to `length` keeps what the cluster held before.
    pub written: u32,
    /// Bytes of an entry: 84 or 12.
    pub stride: usize,
    /// Empty entries behind the used ones.
    pub spare: usize,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of the frame from the start of the defragmented recording.
    pub offset: u32,
    /// DHAV length of the frame, of its first piece where it is split.
    pub length: u32,
    /// Date of the frame.
    pub clock: Moment,
}

/// Builds the first `style.written` bytes of a recording.
///
/// # Errors
/// [`Error::Plan`] when the entries do not fit.
pub fn build(
    style: &IndexStyle,
    keys: &[IndexEntry],
    stills: &[IndexEntry],
) -> Result<Vec<u8>, Error> {
    let mut index = vec![0; style.written as usize];
    let lists: &[(u32, &[IndexEntry])] = if stills.is_empty() {
        &[(KEY_FRAMES, keys)]
    } else {
        &[(KEY_FRAMES, keys), (STILLS, stills)]
    };
    let needed: usize = ARRAYS
        + lists.iter().map(|(_, list)| (list.len() + style.spare) * style.stride).sum::<usize>();
    if needed > index.len() {
        return Err(Error::Plan(format!("index needs {needed} bytes, has {}", index.len())));
    }
    index[..4].copy_from_slice(b"DHII");
    put_u32(&mut index, 4, style.length);
    put_u32(&mut index, 8, lists.len() as u32);
    let mut array = ARRAYS;
    for (i, (kind, list)) in lists.iter().enumerate() {
        let bytes = (list.len() + style.spare) * style.stride;
        put_u32(&mut index, 12 + 12 * i, *kind);
        put_u32(&mut index, 16 + 12 * i, array as u32);
        put_u32(&mut index, 20 + 12 * i, bytes as u32);
        for (n, entry) in list.iter().enumerate() {
            let at = array + n * style.stride;
            put_u32(&mut index, at, entry.offset);
            put_u32(&mut index, at + 4, entry.length);
            put_u32(&mut index, at + 8, entry.clock.packed());
        }
        for n in list.len()..list.len() + style.spare {
            put_u32(&mut index, array + n * style.stride, u32::MAX);
        }
        array += bytes;
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn the_index_head_of_disk_a_is_byte_exact() {
        let style = IndexStyle { length: 0x60000, written: 0x60000, stride: 84, spare: 2922 - 2 };
        let second = |s| Moment::at((2020, 4, 14), (22, 9, s));
        let keys = [
            IndexEntry { offset: 0x60880, length: 0xB44, clock: second(21) },
            IndexEntry { offset: 0x61BD3, length: 0xB8F, clock: second(22) },
        ];
        let index = build(&style, &keys, &[]).unwrap();
        assert_eq!(index.len(), 0x60000);
        assert_eq!(
            index[..0x50],
            hex!(
                "44484949 00000600 01000000 01000000 40000000 c8be0300 0000000000000000"
                "00000000000000000000000000000000 00000000000000000000000000000000"
                "80080600440b000055621d5100000000"
            )
        );
        assert_eq!(index[0x94..0xA4], hex!("d31b06008f0b000056621d5100000000"));
        assert_eq!(index[0xE8..0xEC], hex!("ffffffff"), "an empty entry");
    }

    #[test]
    fn stills_get_a_header_of_their_own() {
        let style = IndexStyle { length: 4096, written: 4096, stride: 12, spare: 0 };
        let entry =
            IndexEntry { offset: 4096, length: 99, clock: Moment::at((2024, 1, 1), (0, 0, 0)) };
        let index = build(&style, &[entry, entry], &[entry]).unwrap();
        assert_eq!(
            index[8..36],
            hex!("02000000 01000000 40000000 18000000 03000000 58000000 0c000000")
        );
        let small = IndexStyle { written: 64, ..style };
        assert!(build(&small, &[entry], &[]).is_err());
    }
}
