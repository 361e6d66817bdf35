//! What lies in the flash: the image, the boot counter and the key page.
//!
//! Facts: the published requirements, section 4.5; `memory.x` for the addresses.
//!
//! | Sector | Content |
//! |---|---|
//! | last but one | boot counter: page 0 how often the sector was full (the number and its complement), pages 1 to 15 one bit for each power-up, cleared from the first bit on |
//! | last | page 0 the key page, written once |
//!
//! A power-up programs one page, in which it clears one bit; only a full sector is erased, every 30,720 power-ups.

use wb_attest::key::{KeyPage, KeyPageError};

use crate::flash::{Flash, PAGE, SECTOR};

// SAFETY: `memory.x` defines all four. They are marks in the flash, and only their addresses are taken.
unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __boot_counter: u8;
    static __key_page: u8;
}

/// Power-ups that one filling of the sector counts.
const PER_SECTOR: u32 = ((SECTOR - PAGE) * 8) as u32;
const ERASED: u8 = 0xFF;

fn address(symbol: *const u8) -> u32 {
    symbol.addr() as u32
}

/// The flash range whose SHA-256 is the firmware digest.
pub fn image() -> &'static [u8] {
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    let length = end.addr().wrapping_sub(start.addr());
    // SAFETY: the linker script gives both ends of one piece of flash, which nobody writes.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// Reads bytes of the two sectors, which change while the program runs.
fn read<const N: usize>(from: *const u8, skip: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (number, own) in bytes.iter_mut().enumerate() {
        // SAFETY: all callers stay within the sector that begins at `from`.
        *own = unsafe { core::ptr::read_volatile(from.wrapping_add(skip).wrapping_add(number)) };
    }
    bytes
}

/// The key page.
pub fn key_page() -> Result<KeyPage, KeyPageError> {
    KeyPage::parse(&read(&raw const __key_page, 0))
}

/// Writes the key page, if there is none: whether it can be read back afterwards.
pub fn write_key_page(flash: Flash, page: &KeyPage) -> bool {
    let is_blank = read::<SECTOR>(&raw const __key_page, 0).iter().all(|byte| *byte == ERASED);
    if is_blank {
        flash.program(address(&raw const __key_page), &page.to_bytes());
    }
    is_blank && key_page().is_ok_and(|written| written == *page)
}

/// How often the counter's sector was full.
fn fillings() -> u32 {
    let [a, b, c, d, rest @ ..] = read::<8>(&raw const __boot_counter, 0);
    let (number, complement) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(rest));
    if number == !complement { number } else { 0 }
}

fn header(fillings: u32) -> [u8; PAGE] {
    let mut page = [ERASED; PAGE];
    let fields = fillings.to_le_bytes().into_iter().chain((!fillings).to_le_bytes());
    for (own, byte) in page.iter_mut().zip(fields) {
        *own = byte;
    }
    page
}

/// The bits: how many are cleared, and the first byte that has one left.
fn bits() -> (u32, Option<(usize, u8)>) {
    let (mut cleared, mut next) = (0_u32, None);
    for place in PAGE..SECTOR {
        let [byte] = read(&raw const __boot_counter, place);
        cleared = cleared.wrapping_add(byte.count_zeros());
        if byte != 0 && next.is_none() {
            next = Some((place, byte));
        }
    }
    (cleared, next)
}

/// Power-ups counted so far.
pub fn power_ups() -> u32 {
    fillings().saturating_mul(PER_SECTOR).saturating_add(bits().0)
}

/// Counts a power-up: whether the flash shows it afterwards.
pub fn count_power_up(flash: Flash) -> bool {
    let before = power_ups();
    let start = address(&raw const __boot_counter);
    let (place, byte) = match bits() {
        (_, Some(next)) => next,
        (_, None) => {
            let next = fillings().wrapping_add(1);
            flash.erase(start);
            flash.program(start, &header(next));
            (PAGE, ERASED)
        }
    };
    let mut page = [ERASED; PAGE];
    if let Some(own) = page.get_mut(place % PAGE) {
        *own = byte & byte.wrapping_sub(1);
    }
    let of_page = place.wrapping_sub(place % PAGE) as u32;
    flash.program(start.wrapping_add(of_page), &page);
    power_ups() == before.wrapping_add(1)
}
