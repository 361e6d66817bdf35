//! Bit reader for the header syntax of ITU-T H.264, H.265 and ISO/IEC 14496-2.
//!
//! Exp-Golomb codes: H.264 clause 9.1, H.265 clause 9.2. Emulation prevention bytes: clause 7.4.1 (H.264),
//! 7.4.2 (H.265).

/// Reads bits, most significant first. Every reader gives `None` at the end of the bytes.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    next: usize,
    current: u8,
    left: u8,
    zeros: u8,
    emulation: bool,
}

impl<'a> BitReader<'a> {
    /// Over the payload of a NAL unit (header bytes already taken off): emulation prevention bytes are skipped.
    pub(crate) const fn rbsp(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, current: 0, left: 0, zeros: 0, emulation: true }
    }

    /// Over bytes without emulation prevention.
    pub(crate) const fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, current: 0, left: 0, zeros: 0, emulation: false }
    }

    fn load(&mut self) -> Option<()> {
        let mut byte = *self.bytes.get(self.next)?;
        self.next = self.next.checked_add(1)?;
        if self.emulation && self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.bytes.get(self.next)?;
            self.next = self.next.checked_add(1)?;
        }
        self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
        self.current = byte;
        self.left = 8;
        Some(())
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.load()?;
        }
        self.left = self.left.checked_sub(1)?;
        Some((self.current >> self.left) & 1 == 1)
    }

    /// Up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count.min(32) {
            value = (value << 1) | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Up to 8 bits.
    pub(crate) fn byte(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.bits(count.min(8))?).ok()
    }

    /// Passes over bits.
    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        for _ in 0..count {
            self.flag()?;
        }
        Some(())
    }

    /// `ue(v)`: unsigned Exp-Golomb, at most 32 bits.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0u32;
        while !self.flag()? {
            zeros = zeros.checked_add(1)?;
            if zeros > 31 {
                return None;
            }
        }
        let base = 1u32.checked_shl(zeros)?.checked_sub(1)?;
        base.checked_add(self.bits(zeros)?)
    }

    /// `ue(v)` not above `limit`; `None` otherwise.
    pub(crate) fn ue_max(&mut self, limit: u32) -> Option<u32> {
        self.ue().filter(|&value| value <= limit)
    }

    /// `se(v)`: signed Exp-Golomb.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = code.checked_add(1)? / 2;
        i32::try_from(if code % 2 == 1 { magnitude } else { magnitude.checked_neg()? }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::BitReader;

    /// Table 9-2 of H.264: code numbers 0 to 4 and their signed values.
    #[test]
    fn exp_golomb_codes_match_the_standard() {
        // 1 010 011 00100 00101 -> 0 1 2 3 4
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut r = BitReader::plain(&bytes);
        assert_eq!((0..5).map(|_| r.ue().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let mut r = BitReader::plain(&bytes);
        assert_eq!((0..5).map(|_| r.se().unwrap()).collect::<Vec<_>>(), [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_bytes_are_not_read() {
        let mut r = BitReader::rbsp(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 2]);
        let read: Vec<_> = (0..8).map_while(|_| r.bits(8)).collect();
        assert_eq!(read, [0, 0, 1, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn an_endless_run_of_zero_bits_is_no_code() {
        assert_eq!(BitReader::plain(&[0; 64]).ue(), None);
        assert_eq!(BitReader::plain(&[]).flag(), None);
    }
}
