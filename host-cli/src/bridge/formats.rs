//! Files that boot loaders take: UF2 for the Pico, Intel HEX for the Teensy.
//!
//! Facts: "USB Flashing Format (UF2)" of Microsoft (block layout, flags, family ids); RP2040 data sheet, section 2.8.5 (blocks of 256 bytes, aligned);
//! Intel Hexadecimal Object File Format, revision A (records 00h, 01h, 04h).

use super::image::{ERASED, Image};

/// Bytes of a UF2 block.
pub const UF2_BLOCK: usize = 512;
/// Bytes of flash in a block: a page.
const PAGE: usize = 256;
/// Bytes in front of a block's data.
const UF2_HEAD: usize = 32;
/// Bytes of a block's data field.
const UF2_DATA: usize = 476;
const UF2_START: [u32; 2] = [0x0A32_4655, 0x9E5D_5157];
const UF2_END: u32 = 0x0AB1_6F30;
/// The file size field holds a family id.
const UF2_HAS_FAMILY: u32 = 0x2000;
/// Family id of the RP2040.
pub const UF2_RP2040: u32 = 0xE48B_FF56;
/// Data bytes of a HEX record.
const HEX_DATA: usize = 16;

/// The image as UF2; `None` when it does not begin on a page, or lies beyond 32 bits.
pub fn uf2(image: &Image, family: u32) -> Option<Vec<u8>> {
    let pages = image.bytes.chunks(PAGE);
    let count = u32::try_from(pages.len()).ok()?;
    let start = u32::try_from(image.start).ok()?;
    if start.checked_rem(u32::try_from(PAGE).ok()?)? != 0 {
        return None;
    }
    let mut file = Vec::new();
    for (number, page) in (0_u32..).zip(pages) {
        let payload = u32::try_from(PAGE).ok()?;
        let address = start.checked_add(number.checked_mul(payload)?)?;
        let [magic0, magic1] = UF2_START;
        let head = [magic0, magic1, UF2_HAS_FAMILY, address, payload, number, count, family];
        let block_end = file.len().checked_add(UF2_BLOCK)?;
        file.extend(head.into_iter().flat_map(u32::to_le_bytes));
        let data_end = file.len().checked_add(UF2_DATA)?;
        file.extend(page);
        // A short last page: the rest of it stays erased.
        file.extend(std::iter::repeat_n(ERASED, PAGE.checked_sub(page.len())?));
        file.resize(data_end, 0);
        file.extend(UF2_END.to_le_bytes());
        debug_assert_eq!(file.len(), block_end, "a block is 512 bytes");
    }
    Some(file)
}

/// Reads a UF2 file of whole pages one behind the other, as [`uf2`] writes them: the flash as it will be, erased bytes at its end included.
///
/// # Errors
/// What is wrong with it.
pub fn read_uf2(file: &[u8], family: u32) -> Result<Image, &'static str> {
    let (blocks, rest) = file.as_chunks::<UF2_BLOCK>();
    if blocks.is_empty() || !rest.is_empty() {
        return Err("not whole UF2 blocks");
    }
    let count = u32::try_from(blocks.len()).map_err(|_| "too many UF2 blocks")?;
    let mut image = Image { start: 0, bytes: Vec::new() };
    for (number, block) in (0_u32..).zip(blocks) {
        let (words, _) = block.as_chunks::<4>();
        let word = |place: usize| words.get(place).map(|bytes| u32::from_le_bytes(*bytes));
        let [magic0, magic1] = UF2_START;
        if (word(0), word(1), word(127)) != (Some(magic0), Some(magic1), Some(UF2_END)) {
            return Err("a UF2 block without its marks");
        }
        if word(2) != Some(UF2_HAS_FAMILY) || word(7) != Some(family) {
            return Err("UF2 of another family of chips");
        }
        if word(4) != u32::try_from(PAGE).ok() || (word(5), word(6)) != (Some(number), Some(count))
        {
            return Err("UF2 blocks that do not follow each other");
        }
        let address = u64::from(word(3).unwrap_or(0));
        if number == 0 {
            image.start = address;
        } else if image.range().end != address {
            return Err("a gap between UF2 blocks");
        }
        image.bytes.extend(block.iter().skip(UF2_HEAD).take(PAGE));
    }
    Ok(image)
}

/// The image as Intel HEX; `None` when it lies beyond 32 bits.
pub fn intel_hex(image: &Image) -> Option<String> {
    let mut text = String::new();
    let mut high = None;
    let mut rest = image.bytes.as_slice();
    let mut address = u32::try_from(image.start).ok()?;
    while !rest.is_empty() {
        let [a3, a2, a1, a0] = address.to_be_bytes();
        if high != Some([a3, a2]) {
            text.push_str(&record(0, 4, &[a3, a2]));
            high = Some([a3, a2]);
        }
        // No record crosses a boundary of 64 KiB, where the upper half changes.
        let room = 0x1_0000_usize.checked_sub(usize::from(u16::from_be_bytes([a1, a0])))?;
        let (data, behind) = rest.split_at(HEX_DATA.min(room).min(rest.len()));
        text.push_str(&record(u16::from_be_bytes([a1, a0]), 0, data));
        rest = behind;
        address = match address.checked_add(u32::try_from(data.len()).ok()?) {
            Some(address) => address,
            None if rest.is_empty() => break,
            None => return None,
        };
    }
    text.push_str(&record(0, 1, &[]));
    Some(text)
}

/// `:LLAAAATT…CC`; all bytes of a record add up to zero.
fn record(address: u16, kind: u8, data: &[u8]) -> String {
    let length = u8::try_from(data.len()).unwrap_or(0);
    let [high, low] = address.to_be_bytes();
    let bytes = [length, high, low, kind].into_iter().chain(data.iter().copied());
    let sum = bytes.clone().fold(0_u8, u8::wrapping_add);
    let digits = bytes.chain([sum.wrapping_neg()]).map(|byte| format!("{byte:02X}"));
    format!(":{}\n", digits.collect::<String>())
}
