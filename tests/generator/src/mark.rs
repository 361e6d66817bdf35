//! The mark that every frame of the footage carries in its picture.
//!
//! Two rows of sixteen blocks of 16 x 16 pixels in the top left corner, white for 1, the most
//! significant bit on the left:
//!
//! | row | bits | content |
//! |---|---|---|
//! | 0 | 4 | `1010` |
//! | 0 | 8 | camera number |
//! | 0 | 4 | check: sum of the six hexadecimal digits of camera and frame number, modulo 16 |
//! | 1 | 16 | frame number, from 0 |
//!
//! A block is one macroblock, so the mark survives strong quantisation, and it does not depend on
//! the size of the picture. The same numbers stand in plain text at the bottom of the picture.

use serde::{Deserialize, Serialize};

const BLOCK: usize = 16;
const COLUMNS: usize = 16;
const SYNC: u32 = 0b1010;

/// Smallest picture width that holds a mark, in pixels.
pub const MARK_WIDTH: usize = BLOCK * COLUMNS;
/// Smallest picture height that holds a mark, in pixels.
pub const MARK_HEIGHT: usize = BLOCK * 2;

/// Camera and frame number as shown in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Camera number of the footage.
    pub camera: u8,
    /// Number of the frame within its footage, from 0.
    pub number: u16,
}

/// Reads the mark of a decoded picture.
///
/// `gray` holds `width * height` luma samples, row by row (`-pix_fmt gray` of FFmpeg). Returns
/// `None` where the picture is too small, a block is neither dark nor bright, or the check digit
/// differs.
pub fn read_picture_mark(gray: &[u8], width: usize, height: usize) -> Option<(u8, u16)> {
    if width < MARK_WIDTH || height < MARK_HEIGHT || gray.len() < width.checked_mul(height)? {
        return None;
    }
    let head = read_row(gray, width, 0)?;
    let number = read_row(gray, width, 1)?;
    let camera = head >> 4 & 0xFF;
    (head >> 12 == SYNC && head & 0xF == check_digit(camera, number))
        .then_some((camera as u8, number as u16))
}

fn read_row(gray: &[u8], width: usize, row: usize) -> Option<u32> {
    (0..COLUMNS).try_fold(0, |bits, column| {
        Some(bits << 1 | u32::from(read_block(gray, width, row, column)?))
    })
}

/// Averages the inner pixels of a block: the rim suffers from deblocking.
fn read_block(gray: &[u8], width: usize, row: usize, column: usize) -> Option<bool> {
    let inner = 4..BLOCK - 4;
    let count = (inner.len() * inner.len()) as u32;
    let sum: u32 = inner
        .clone()
        .flat_map(|y| {
            let from = (row * BLOCK + y) * width + column * BLOCK;
            gray[from + inner.start..from + inner.end].iter().copied().map(u32::from)
        })
        .sum();
    match sum / count {
        0..=90 => Some(false),
        160.. => Some(true),
        _ => None,
    }
}

fn check_digit(camera: u32, number: u32) -> u32 {
    let digits = camera << 16 | number;
    (0..6).map(|digit| digits >> (4 * digit) & 0xF).sum::<u32>() & 0xF
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(camera: u32, number: u32, width: usize, height: usize) -> Vec<u8> {
        let rows = [SYNC << 12 | camera << 4 | check_digit(camera, number), number];
        let mut gray = vec![120; width * height];
        for (row, bits) in rows.iter().enumerate() {
            for y in row * BLOCK..(row + 1) * BLOCK {
                for x in 0..MARK_WIDTH {
                    let bit = bits >> (15 - x / BLOCK) & 1;
                    gray[y * width + x] = if bit == 1 { 235 } else { 16 };
                }
            }
        }
        gray
    }

    #[test]
    fn a_drawn_mark_reads_back() {
        let gray = draw(200, 51_234, 352, 288);
        assert_eq!(read_picture_mark(&gray, 352, 288), Some((200, 51_234)));
    }

    #[test]
    fn a_wrong_block_a_gray_block_and_a_small_picture_give_nothing() {
        let mut gray = draw(1, 77, 352, 288);
        for y in 16..32 {
            gray[y * 352..y * 352 + 16].fill(235);
        }
        assert_eq!(read_picture_mark(&gray, 352, 288), None, "check digit");
        assert_eq!(read_picture_mark(&vec![120; 352 * 288], 352, 288), None, "gray");
        assert_eq!(read_picture_mark(&gray, 128, 96), None, "too small");
    }
}
