//! Names of the files of a set, and the search for the files beside one of them.
//!
//! Facts: Expert Witness Compression Format (libyal), "Segment file"; `docs/formats/ewf.md` section 1. `.E01` to `.E99`,
//! then three letters from `.EAA` to `.ZZZ`; Guymager goes on with `.E14972`. SMART counts alike from `.s01`. Copies
//! change the case of names, so case does not count.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// First number that is written in letters.
const FIRST_LETTERED: u32 = 100;
/// Names that two letters give behind each first letter.
const LETTERS_SQUARED: u32 = 26 * 26;
/// Most file names of a folder that are looked at.
const NAMES_LIMIT: usize = 2_000_000;

/// How the files of a set are named: the letter they begin to count at, and the case it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    letter: u8,
    lower: bool,
}

impl Naming {
    /// The naming and the number that an extension (without its dot) states.
    pub(super) fn parse(extension: &str) -> Option<(Self, u32)> {
        let mut bytes = extension.bytes();
        let first = bytes.next()?;
        let digits = extension.get(1..).filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        let lower = first.is_ascii_lowercase();
        let letter = first.to_ascii_uppercase();
        if let Some(digits) = digits {
            let is_known = matches!(letter, b'E' | b'S' | b'L') && digits.len() >= 2;
            let number = digits.parse().ok().filter(|number| is_known && *number > 0)?;
            return Some((Self { letter, lower }, number));
        }
        // `FAA` does not say whether its set began at `E01`; that is the only one that is common.
        let three = <[u8; 3]>::try_from(extension.to_ascii_uppercase().as_bytes()).ok()?;
        (three.iter().all(u8::is_ascii_uppercase) && letter >= b'E')
            .then_some(Self { letter: b'E', lower })
            .and_then(|naming| Some((naming, naming.lettered(three)?)))
    }

    /// The number that an extension has in this naming.
    pub(super) fn number(self, extension: &str) -> Option<u32> {
        match extension.get(1..).filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())) {
            Some(digits) if digits.len() >= 2 => {
                let same = extension.bytes().next()?.to_ascii_uppercase() == self.letter;
                digits.parse().ok().filter(|number| same && *number > 0)
            }
            Some(_) => None,
            None => self.lettered(extension.to_ascii_uppercase().as_bytes().try_into().ok()?),
        }
    }

    fn lettered(self, letters: [u8; 3]) -> Option<u32> {
        let value = |byte: u8, from: u8| {
            byte.is_ascii_uppercase().then(|| byte.checked_sub(from)).flatten().map(u32::from)
        };
        let [first, second, third] = letters;
        let count = value(first, self.letter)?
            .checked_mul(LETTERS_SQUARED)?
            .checked_add(value(second, b'A')?.checked_mul(26)?)?
            .checked_add(value(third, b'A')?)?;
        count.checked_add(FIRST_LETTERED)
    }

    /// The extension of a number, without its dot.
    pub(super) fn extension(self, number: u32) -> String {
        let letter = char::from(self.letter);
        let text = match number.checked_sub(FIRST_LETTERED) {
            None => format!("{letter}{number:02}"),
            Some(behind) => self.letters(behind).unwrap_or_else(|| format!("{letter}{number}")),
        };
        if self.lower { text.to_ascii_lowercase() } else { text }
    }

    fn letters(self, behind: u32) -> Option<String> {
        let symbol = |value: u32, from: u8| {
            let byte = u8::try_from(value).ok().and_then(|value| from.checked_add(value))?;
            byte.is_ascii_uppercase().then(|| char::from(byte))
        };
        let first = symbol(behind.checked_div(LETTERS_SQUARED)?, self.letter)?;
        let second = symbol(behind.checked_div(26)?.checked_rem(26)?, b'A')?;
        let third = symbol(behind.checked_rem(26)?, b'A')?;
        Some([first, second, third].iter().collect())
    }
}

/// The files beside `path` that are named as pieces of its set.
pub(super) struct Siblings {
    /// Number by name, and path; ascending.
    pub(super) files: Vec<(u32, PathBuf)>,
    /// How they are named; `None` when the name of `path` is none of a set.
    pub(super) naming: Option<Naming>,
    /// File name in front of the extension.
    pub(super) stem: String,
    /// What could not be looked at, or is there twice.
    pub(super) notes: Vec<String>,
}

impl Siblings {
    /// `path` alone, as the segment of that number.
    pub(super) fn alone(path: &Path, number: u32) -> Self {
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { files: vec![(number, path.to_owned())], naming: None, stem, notes: Vec::new() }
    }

    /// Looks into the folder of `path`.
    ///
    /// # Errors
    /// When the folder cannot be listed, unless that is not permitted.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let named = split(path)
            .and_then(|(stem, extension)| Some((stem, extension, Naming::parse(extension)?)));
        let Some((stem, extension, (naming, number))) = named else {
            return Ok(Self::alone(path, 1));
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut notes = Vec::new();
        let names = match names_in(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                notes.push(
                    "its folder may not be listed, so other segments were not looked for"
                        .to_owned(),
                );
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let mut files = vec![(number, path.to_owned())];
        let mut others: Vec<_> = names
            .iter()
            .filter_map(|name| {
                let (other, other_extension) = split(Path::new(name))?;
                let is_own = other == stem && other_extension == extension;
                let number = naming.number(other_extension)?;
                let fits = other.eq_ignore_ascii_case(stem) && !is_own;
                fits.then(|| (number, other != stem, name))
            })
            .collect();
        others.sort();
        for (number, _, name) in others {
            if files.iter().any(|(taken, _)| *taken == number) {
                notes.push(format!("{name} is a second file for segment {number} and is not read"));
            } else {
                files.push((number, folder.join(name)));
            }
        }
        files.sort();
        Ok(Self { files, naming: Some(naming), stem: stem.to_owned(), notes })
    }

    /// The name that a missing segment should have.
    pub(super) fn name_of(&self, number: u32) -> String {
        match self.naming {
            Some(naming) => format!("{}.{}", self.stem, naming.extension(number)),
            None => format!("segment {number} of {}", self.stem),
        }
    }
}

/// The file name in front of the last dot and what follows it.
fn split(path: &Path) -> Option<(&str, &str)> {
    path.file_name()?.to_str()?.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)?.take(NAMES_LIMIT) {
        let entry = entry?;
        if !entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(extension: &str) -> Option<u32> {
        Naming::parse(extension).map(|(_, number)| number)
    }

    #[test]
    fn names_count_as_the_format_does() {
        for (name, expected) in [
            ("E01", 1),
            ("e09", 9),
            ("E99", 99),
            ("EAA", 100),
            ("EAZ", 125),
            ("EBA", 126),
            ("EZZ", 775),
            ("FAA", 776),
            ("ZZZ", 14_971),
            ("E14972", 14_972),
            ("s01", 1),
        ] {
            assert_eq!(number(name), Some(expected), "{name}");
            let (naming, _) = Naming::parse(name).unwrap();
            assert_eq!(naming.extension(expected), name);
            assert_eq!(naming.number(&name.to_ascii_lowercase()), Some(expected));
        }
        for name in ["", "E", "E1", "E00", "DAA", "E0A", "001", "rawx", "X01", "é01", "AAA"] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    /// Every number has one name, and the name that number.
    #[test]
    fn numbers_and_names_agree() {
        let (naming, _) = Naming::parse("E01").unwrap();
        for number in 1..20_000 {
            assert_eq!(naming.number(&naming.extension(number)), Some(number));
        }
    }

    #[test]
    fn siblings_are_found_in_any_case_and_the_opened_file_wins() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["Case.E01", "case.e02", "CASE.EAA", "case.E03", "Case.E03", "other.E04", "Case.txt"]
        {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = Siblings::find(&folder.path().join("Case.E01")).unwrap();
        // Whether `.txt` is a segment is told by its bytes.
        let names: Vec<_> = found
            .files
            .iter()
            .map(|(number, path)| (*number, path.file_name().unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [
                (1, "Case.E01"),
                (2, "case.e02"),
                (3, "Case.E03"),
                (100, "CASE.EAA"),
                (10_857, "Case.txt")
            ]
        );
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        assert_eq!(found.name_of(4), "Case.E04");
    }
}
