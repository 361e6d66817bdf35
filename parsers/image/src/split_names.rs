//! How splitting tools number the pieces of an image.
//!
//! Facts: `dcfldd`, FTK Imager, Guymager and X-Ways write `.000`/`.001` upward with leading zeros; GNU `split` writes
//! `.aa`, `.ab` upward or, with `-d`, `.00` upward, and when it may choose the length it widens before the two-symbol
//! names run out (`.yz` is followed by `.zaaa`, `.89` by `.9000`; coreutils manual, "split invocation", `-a`).

/// Shortest and longest numeric suffix taken for a piece number; one digit is the mark of rotated logs.
const DIGITS: std::ops::RangeInclusive<usize> = 2..=6;
/// Shortest and longest alphabetic suffix.
const LETTERS: std::ops::RangeInclusive<usize> = 2..=4;

/// Endings of files that lie beside an image, or are one: no numbers.
const ENDINGS: [&str; 14] = [
    "bin", "csv", "dav", "db", "dd", "idx", "img", "iso", "json", "log", "map", "raw", "txt", "xml",
];

/// Symbols a suffix is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbols {
    Digits,
    Letters,
}

impl Symbols {
    fn of(suffix: &str) -> Option<Self> {
        let bytes = suffix.as_bytes();
        if bytes.iter().all(u8::is_ascii_digit) && DIGITS.contains(&bytes.len()) {
            return Some(Self::Digits);
        }
        let letters = bytes.iter().all(u8::is_ascii_lowercase)
            && LETTERS.contains(&bytes.len())
            && !ENDINGS.contains(&suffix);
        letters.then_some(Self::Letters)
    }

    const fn base(self) -> u64 {
        match self {
            Self::Digits => 10,
            Self::Letters => 26,
        }
    }

    const fn zero(self) -> u8 {
        match self {
            Self::Digits => b'0',
            Self::Letters => b'a',
        }
    }

    /// The symbol of the highest value.
    const fn last(self) -> char {
        match self {
            Self::Digits => '9',
            Self::Letters => 'z',
        }
    }

    /// The number that symbols of this kind write; `None` for an empty or foreign text.
    fn value(self, text: &str) -> Option<u64> {
        if Self::of(text) != Some(self) && !text.bytes().all(|byte| self.digit(byte).is_some()) {
            return None;
        }
        text.bytes().try_fold(0u64, |value, byte| {
            value.checked_mul(self.base())?.checked_add(self.digit(byte)?)
        })
    }

    fn digit(self, byte: u8) -> Option<u64> {
        let value = u64::from(byte.checked_sub(self.zero())?);
        (value < self.base()).then_some(value)
    }

    /// `value` in at least `width` symbols.
    fn text(self, mut value: u64, width: usize) -> String {
        let mut symbols = Vec::new();
        while value > 0 || symbols.len() < width {
            // Less than the base, which is 26 at most.
            let digit = u8::try_from(value.checked_rem(self.base()).unwrap_or(0)).unwrap_or(0);
            symbols.push(char::from(self.zero().saturating_add(digit)));
            value = value.checked_div(self.base()).unwrap_or(0);
        }
        symbols.iter().rev().collect()
    }
}

/// One way of counting pieces, found from the suffixes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counting {
    symbols: Symbols,
    width: usize,
    /// GNU `split` chose the length and widens by two symbols before the last symbol would lead.
    widening: bool,
    /// Number of the first piece.
    pub(crate) first: u64,
}

impl Counting {
    /// The counting that `given` belongs to, among the suffixes of all files with the same stem; `None` when it is
    /// no piece suffix.
    pub(crate) fn find(given: &str, siblings: &[&str]) -> Option<Self> {
        let symbols = Symbols::of(given)?;
        let same: Vec<&str> =
            siblings.iter().copied().filter(|s| Symbols::of(s) == Some(symbols)).collect();
        let two_wide = same.iter().filter(|s| s.len() == 2);
        let widening = two_wide.clone().next().is_some()
            && two_wide.clone().all(|s| !s.starts_with(symbols.last()))
            && same.iter().any(|s| s.len() == 4 && s.starts_with(symbols.last()))
            && same.iter().all(|s| s.len() != 3);
        let width = if widening { 2 } else { width(given, symbols, &same) };
        let mut counting = Self { symbols, width, widening, first: 0 };
        counting.number(given)?;
        let from_zero = same.iter().any(|s| counting.number(s) == Some(0));
        // Most endings are letters too: without one of the first pieces they are no numbers.
        if symbols == Symbols::Letters
            && !same.iter().any(|s| counting.number(s).is_some_and(|number| number < 4))
        {
            return None;
        }
        // Without piece 0, numbers are taken to start at 1; letters always start at `aa`.
        counting.first = u64::from(symbols == Symbols::Digits && !from_zero);
        Some(counting)
    }

    /// The number of a piece; `None` for a suffix that this counting does not write.
    pub(crate) fn number(&self, suffix: &str) -> Option<u64> {
        let number = if self.widening {
            self.widened_number(suffix)?
        } else {
            self.symbols.value(suffix)?
        };
        (self.suffix(number) == suffix).then_some(number)
    }

    /// The suffix of a piece.
    pub(crate) fn suffix(&self, number: u64) -> String {
        if self.widening {
            self.widened_suffix(number)
        } else {
            self.symbols.text(number, self.width)
        }
    }

    /// How many names there are with `level` leading last symbols: `aa..yz`, then `zaaa..zyzz`, ...
    fn names_of_level(&self, level: u32) -> u64 {
        let base = self.symbols.base();
        base.saturating_sub(1).saturating_mul(base.saturating_pow(level.saturating_add(1)))
    }

    fn widened_number(&self, suffix: &str) -> Option<u64> {
        let level = suffix.len().checked_sub(2)?.checked_div(2)?;
        let (lead, rest) = suffix.split_at_checked(level)?;
        if lead.chars().any(|symbol| symbol != self.symbols.last()) {
            return None;
        }
        let before = (0..u32::try_from(level).ok()?)
            .fold(0u64, |sum, level| sum.saturating_add(self.names_of_level(level)));
        before.checked_add(self.symbols.value(rest)?)
    }

    fn widened_suffix(&self, mut number: u64) -> String {
        let mut level = 0u32;
        while number >= self.names_of_level(level) {
            number = number.saturating_sub(self.names_of_level(level));
            level = level.saturating_add(1);
        }
        let lead = usize::try_from(level).unwrap_or(0);
        let mut suffix = self.symbols.last().to_string().repeat(lead);
        suffix.push_str(&self.symbols.text(number, lead.saturating_add(2)));
        suffix
    }
}

/// The length that short numbers are filled up to: that of the names with a leading zero, else of the shortest.
fn width(given: &str, symbols: Symbols, same: &[&str]) -> usize {
    if symbols == Symbols::Letters || given.starts_with('0') {
        return given.len();
    }
    let filled = same.iter().filter(|s| s.starts_with('0')).map(|s| s.len()).min();
    let shortest = same.iter().map(|s| s.len()).min();
    filled.or(shortest).unwrap_or(given.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(given: &str, siblings: &[&str]) -> Vec<Option<u64>> {
        let counting = Counting::find(given, siblings).unwrap();
        siblings.iter().map(|s| counting.number(s)).collect()
    }

    #[test]
    fn counts_as_the_tools_do() {
        assert_eq!(numbers("001", &["001", "002", "010"]), [Some(1), Some(2), Some(10)]);
        assert_eq!(numbers("1000", &["999", "1000", "001"]), [Some(999), Some(1000), Some(1)]);
        assert_eq!(numbers("aa", &["aa", "ab", "ba"]), [Some(0), Some(1), Some(26)]);
        assert_eq!(numbers("89", &["89", "9000", "9001"]), [Some(89), Some(90), Some(91)]);
        assert_eq!(numbers("yz", &["aa", "yz", "zaaa"]), [Some(0), Some(649), Some(650)]);
        assert_eq!(numbers("zz", &["zz", "aa"]), [Some(675), Some(0)]);
    }

    #[test]
    fn the_first_number_is_zero_only_when_it_is_there() {
        assert_eq!(Counting::find("001", &["000", "001"]).unwrap().first, 0);
        assert_eq!(Counting::find("002", &["001", "002"]).unwrap().first, 1);
        assert_eq!(Counting::find("ab", &["ab", "ac"]).unwrap().first, 0);
    }

    #[test]
    fn other_widths_and_other_suffixes_do_not_belong() {
        assert_eq!(
            numbers("001", &["001", "01", "0001", "txt", "1"]),
            [Some(1), None, None, None, None]
        );
        // Endings of files are letters too.
        for suffix in ["img", "map", "out", "", "1", "E01", "AA", "a1", "1234567", "abcde", "é"] {
            assert_eq!(Counting::find(suffix, &[suffix]), None, "{suffix}");
        }
    }

    proptest! {
        /// Number to suffix and back, in every counting.
        #[test]
        fn suffixes_and_numbers_agree(number in 0u64..600, kind in 0..4) {
            let (given, siblings): (&str, &[&str]) = match kind {
                0 => ("001", &["001"]),
                1 => ("aa", &["aa"]),
                2 => ("00", &["00", "9000"]),
                _ => ("aa", &["aa", "zaaa"]),
            };
            let counting = Counting::find(given, siblings).unwrap();
            prop_assert_eq!(counting.number(&counting.suffix(number)), Some(number));
        }
    }
}
