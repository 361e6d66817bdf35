//! NAL units in the byte stream format: Annex B of ITU-T H.264 and H.265, clause B.1.
//!
//! A NAL unit runs from the byte after a start code prefix `00 00 01` to the next prefix or the end, without the
//! zero bytes before that (`zero_byte` of a four-byte start code, `trailing_zero_8bits`). Its own last byte is
//! never zero (clause 7.4.1), so nothing of a sound NAL unit is cut off.

use std::{ops::Range, sync::LazyLock};

use memchr::memmem::Finder;

static PREFIX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0, 0, 1]));

const PREFIX_BYTES: usize = 3;

/// Whether the bytes begin with a three- or four-byte start code.
pub fn starts_with_start_code(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// The NAL units of `payload`, in order. Units without a byte (two start codes in a row) are passed over.
pub fn nal_units(payload: &[u8]) -> NalUnits<'_> {
    NalUnits::new(payload)
}

/// Iterator over the ranges of the NAL units of a byte string; see [`nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    payload: &'a [u8],
    /// First byte of the next NAL unit, after its start code.
    next: Option<usize>,
    stray: usize,
}

impl<'a> NalUnits<'a> {
    fn new(payload: &'a [u8]) -> Self {
        let first = PREFIX.find(payload);
        let before = payload.get(..first.unwrap_or(payload.len())).unwrap_or_default();
        Self {
            payload,
            next: first.and_then(|at| at.checked_add(PREFIX_BYTES)),
            stray: without_trailing_zeros(before),
        }
    }

    /// Bytes before the first start code that are not zero: they belong to no NAL unit of this payload.
    pub const fn stray_bytes(&self) -> usize {
        self.stray
    }

    /// The bytes from the first byte of the next NAL unit on, its end not yet looked for.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.payload.get(self.next?..)
    }

    /// The next NAL unit as bytes.
    pub fn next_unit(&mut self) -> Option<&'a [u8]> {
        let payload = self.payload;
        self.next().and_then(|range| payload.get(range))
    }
}

impl Iterator for NalUnits<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let start = self.next?;
            let rest = self.payload.get(start..)?;
            let end = PREFIX.find(rest);
            self.next = end.and_then(|at| start.checked_add(at)?.checked_add(PREFIX_BYTES));
            let len = without_trailing_zeros(rest.get(..end.unwrap_or(rest.len()))?);
            if len > 0 {
                return Some(start..start.checked_add(len)?);
            }
        }
    }
}

/// Offset of the next prefix `00 00 01` at or after `from`.
pub(crate) fn find_prefix(bytes: &[u8], from: usize) -> Option<usize> {
    from.checked_add(PREFIX.find(bytes.get(from..)?)?)
}

fn without_trailing_zeros(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1))
}
