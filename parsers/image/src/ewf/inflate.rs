//! Inflating zlib streams into buffers of a known size.
//!
//! Facts: RFC 1950 and RFC 1951. The Tableau TD3 wrote stored blocks whose NLEN is 0 instead of the complement of LEN
//! (Expert Witness Compression Format, libyal); the checksum of the stream still proves such bytes.

use flate2::{Decompress, FlushDecompress, Status};

use super::records::adler32;

/// What a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inflated {
    /// Bytes of the stream.
    pub(super) consumed: usize,
    /// Bytes it gave.
    pub(super) produced: usize,
}

/// Inflates one zlib stream from the start of `packed`. Its checksum is right, and all it gives is in `out`.
///
/// # Errors
/// What is wrong with the stream; one that gives more than `out` takes is refused.
pub(super) fn inflate(
    engine: &mut Decompress,
    packed: &[u8],
    out: &mut [u8],
) -> Result<Inflated, String> {
    engine.reset(true);
    let error = match engine.decompress(packed, out, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) => {
            let consumed = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
            let produced = usize::try_from(engine.total_out()).unwrap_or(usize::MAX);
            return Ok(Inflated { consumed, produced });
        }
        Ok(_) if engine.total_out() == out.len() as u64 => {
            "the stream gives more than a chunk".to_owned()
        }
        Ok(_) => "the stream ends early".to_owned(),
        Err(error) => error.to_string(),
    };
    stored_blocks(packed, out).ok_or(error)
}

/// Reads a stream of stored blocks alone, with NLEN as it should be or 0.
fn stored_blocks(packed: &[u8], out: &mut [u8]) -> Option<Inflated> {
    let (&[method, flags], mut rest) = packed.split_first_chunk::<2>()?;
    if method & 0x0F != 8 || u16::from_be_bytes([method, flags]).checked_rem(31)? != 0 {
        return None;
    }
    let mut produced = 0usize;
    loop {
        let (&[kind, low, high, not_low, not_high], behind) = rest.split_first_chunk::<5>()?;
        let (length, inverse) =
            (u16::from_le_bytes([low, high]), u16::from_le_bytes([not_low, not_high]));
        if kind > 1 || (inverse != !length && inverse != 0) {
            return None;
        }
        let (block, behind) = behind.split_at_checked(length.into())?;
        let end = produced.checked_add(block.len())?;
        out.get_mut(produced..end)?.copy_from_slice(block);
        (produced, rest) = (end, behind);
        if kind == 1 {
            break;
        }
    }
    let (sum, behind) = rest.split_first_chunk::<4>()?;
    let is_right = u32::from_be_bytes(*sum) == adler32(out.get(..produced)?);
    let consumed = packed.len().saturating_sub(behind.len());
    is_right.then_some(Inflated { consumed, produced })
}

/// All of a stream, when it is right and gives at most `limit` bytes.
pub(super) fn inflate_bounded(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut engine = Decompress::new(true);
    let mut out = Vec::new();
    let mut size = packed.len().saturating_mul(4).clamp(256, limit);
    loop {
        out.resize(size, 0);
        if let Ok(inflated) = inflate(&mut engine, packed, &mut out) {
            out.resize(inflated.produced, 0);
            return Some(out);
        }
        if size >= limit || engine.total_out() < size as u64 {
            return None;
        }
        size = size.saturating_mul(4).min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored block whose complement is right, is 0, and is neither.
    #[test]
    fn stored_blocks_of_the_td3_are_read_and_checked() {
        let mut packed = vec![0x78, 0x01, 0x01, 5, 0, 0xFA, 0xFF];
        packed.extend_from_slice(b"media");
        packed.extend_from_slice(&adler32(b"media").to_be_bytes());
        let mut engine = Decompress::new(true);
        let expected = Inflated { consumed: packed.len(), produced: 5 };
        let mut out = [0; 5];
        assert_eq!(inflate(&mut engine, &packed, &mut out), Ok(expected));
        packed[5..7].fill(0);
        out.fill(0);
        assert_eq!(inflate(&mut engine, &packed, &mut out), Ok(expected));
        assert_eq!(&out, b"media");
        assert!(inflate(&mut engine, &packed, &mut [0; 4]).is_err());
        packed[9] ^= 1;
        assert!(inflate(&mut engine, &packed, &mut out).is_err());
        packed[9] ^= 1;
        packed[5] = 7;
        assert!(inflate(&mut engine, &packed, &mut out).is_err());
    }
}
