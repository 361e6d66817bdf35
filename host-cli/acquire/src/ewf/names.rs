//! File names of a set: `.E01` to `.E99`, then `.EAA` to `.ZZZ`.
//!
//! Facts: Expert Witness Compression Format (libyal), "Segment files"; a set of 154 files read by five programs.

/// Most files that the naming can tell apart: 99 numbers and 22 first letters of 26 by 26.
pub const SEGMENTS_MAX: u32 = 14_971;
/// The last number that is written in digits.
const DIGITS_LAST: u32 = 99;

/// The extension of segment `number`, from 1; `None` when there is no standard name.
pub fn extension(number: u32) -> Option<String> {
    if number == 0 || number > SEGMENTS_MAX {
        return None;
    }
    let Some(past) = number.checked_sub(DIGITS_LAST.saturating_add(1)) else {
        return Some(format!("E{number:02}"));
    };
    let letters = [letter('E', past / 676)?, letter('A', past / 26 % 26)?, letter('A', past % 26)?];
    Some(letters.iter().collect())
}

/// The number that an extension in upper case stands for.
pub fn number(extension: &str) -> Option<u32> {
    let rest = extension.strip_prefix('E').filter(|rest| rest.len() == 2);
    if let Some(digits) = rest.filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())) {
        return digits.parse().ok().filter(|n| *n > 0);
    }
    let &[first, second, third] = extension.as_bytes() else { return None };
    if ![first, second, third].iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let value = |byte: u8, from: u8| byte.checked_sub(from).map(u32::from);
    let high = value(first, b'E')?.checked_mul(676)?;
    let low = value(second, b'A')?.checked_mul(26)?.checked_add(value(third, b'A')?)?;
    high.checked_add(low)?.checked_add(DIGITS_LAST)?.checked_add(1)
}

/// The letter `steps` after `from`.
fn letter(from: char, steps: u32) -> Option<char> {
    char::from_u32(u32::from(from).checked_add(steps)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// the names that other programs look for.
    #[test]
    fn names_are_those_of_the_format() {
        let cases =
            [(1, "E01"), (99, "E99"), (100, "EAA"), (125, "EAZ"), (126, "EBA"), (775, "EZZ")];
        for (n, name) in cases.into_iter().chain([(776, "FAA"), (SEGMENTS_MAX, "ZZZ")]) {
            assert_eq!(extension(n).as_deref(), Some(name));
        }
        assert_eq!((extension(0), extension(SEGMENTS_MAX + 1)), (None, None));
    }

    #[test]
    fn every_name_has_one_number() {
        for n in 1..=SEGMENTS_MAX {
            assert_eq!(number(&extension(n).unwrap()), Some(n));
        }
        for other in ["E00", "e01", "E1", "E001", "DAA", "EA1", "", "L01", "É1"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
