//! The 32-bit date of DHFS and DHAV.
//!
//! Facts: `docs/formats/dahua.md` section 4 (bit layout confirmed; the vendor SDK calls it `USER_TIME`). Recorder-local wall
//! clock without zone or daylight-saving flag.

use daleel_core::CivilTime;

/// Decodes a date; `None` for zero (which means "no date") and for dates that do not exist.
///
/// Bits 31-26 year since 2000, 25-22 month, 21-17 day, 16-12 hour, 11-6 minute, 5-0 second.
pub fn decode_date(raw: u32) -> Option<CivilTime> {
    let field = |shift: u32, bits: u32| {
        let mask = 1u32.checked_shl(bits)?.checked_sub(1)?;
        u8::try_from(raw.checked_shr(shift)? & mask).ok()
    };
    let year = i16::from(field(26, 6)?).checked_add(2000)?;
    CivilTime::from_parts(
        year,
        field(22, 4)?,
        field(17, 5)?,
        field(12, 5)?,
        field(6, 6)?,
        field(0, 6)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of section 4, from a real disk.
    #[test]
    fn decodes_the_published_check_values() {
        assert_eq!(decode_date(0x511D_60B9).unwrap().to_string(), "2020-04-14T22:02:57.000");
        assert_eq!(decode_date(0x5118_A376).unwrap().to_string(), "2020-04-12T10:13:54.000");
    }

    /// T-5: impossible dates are no dates.
    #[test]
    fn zero_and_impossible_dates_are_none() {
        assert_eq!(decode_date(0), None);
        assert_eq!(decode_date(u32::MAX), None);
        // 30 February 2020.
        assert_eq!(decode_date((20 << 26) | (2 << 22) | (30 << 17)), None);
    }
}
