//! A raw image in numbered pieces (`.001 .002`, `.000`, `.aa .ab`).
//!
//! Assumption, true of every splitting tool looked at: all pieces but the last have one size. It gives the place of
//! every piece, so a missing piece is a hole of that size, and a piece that is too short (a copy that broke off) has
//! a hole at its end; the offsets behind it do not shift. The size is the largest one present. What cannot be known:
//! whether pieces are missing behind the last one, and whether a set without `.000` began with it.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{Extent, Hole, ReadError, Source};

use crate::{
    device::Identity,
    files::{FilePool, PooledFile, beyond_end},
    holes::Holes,
    split_names::Counting,
};

/// Most pieces, present and missing, that a set may have.
const PIECES_LIMIT: u64 = 100_000;
/// Most file names of a folder that are looked at.
const NAMES_LIMIT: usize = 2_000_000;

/// A split raw image. Pieces are opened when they are read, few at a time.
pub struct SplitSource {
    /// The pieces that are there, ascending by start.
    pieces: Vec<(Extent, PooledFile)>,
    holes: Holes,
    missing: Vec<String>,
    notes: Vec<String>,
    length: u64,
}

/// What a path turned out to be.
pub enum SplitLookup {
    /// A piece of a set; the whole set.
    Set(SplitSource),
    /// Not a piece, or a piece without others: a file of its own. The note says so where the name looks like a piece.
    Single(Option<String>),
}

impl SplitSource {
    /// Looks for the set that `path` is a piece of.
    ///
    /// Files count as a set when there are at least two of them and either the first is there or at least as many are
    /// there as are missing; `camera.264` beside `camera.265` is not a set with 263 missing pieces.
    ///
    /// # Errors
    /// When the folder cannot be read, or pieces cannot be looked at, or their sizes do not add up.
    pub fn find(path: &Path) -> io::Result<SplitLookup> {
        let Some((stem, suffix)) = stem_and_suffix(path) else {
            return Ok(SplitLookup::Single(None));
        };
        if Counting::find(suffix, &[suffix]).is_none() {
            return Ok(SplitLookup::Single(None));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let suffixes = match sibling_suffixes(folder, stem) {
            Ok(suffixes) => suffixes,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let text = "its folder may not be listed, so other pieces were not looked for";
                return Ok(SplitLookup::Single(Some(text.to_owned())));
            }
            Err(error) => return Err(error),
        };
        let siblings: Vec<&str> = suffixes.iter().map(String::as_str).collect();
        let Some(counting) = Counting::find(suffix, &siblings) else {
            return Ok(SplitLookup::Single(None));
        };
        let mut numbers: Vec<u64> = siblings.iter().filter_map(|s| counting.number(s)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if let Err(note) = check_set(&counting, suffix, &numbers) {
            return Ok(SplitLookup::Single(note));
        }
        let pool = Arc::new(FilePool::default());
        let mut found = Vec::new();
        for number in &numbers {
            let path = folder.join(format!("{stem}.{}", counting.suffix(*number)));
            let metadata = fs::metadata(&path)?;
            if metadata.is_file() {
                // A link is resolved once, so that a later read meets the same file.
                let path = if path.is_symlink() { path.canonicalize()? } else { path };
                found.push((*number, PooledFile::new(&pool, path, &metadata)));
            }
        }
        Self::lay_out(stem, &counting, found).map(SplitLookup::Set)
    }

    fn lay_out(stem: &str, counting: &Counting, found: Vec<(u64, PooledFile)>) -> io::Result<Self> {
        let piece_bytes = found.iter().map(|(_, file)| file.len()).max().unwrap_or(0);
        let last = found.last().map_or(counting.first, |(number, _)| *number);
        let mut source = Self {
            pieces: Vec::new(),
            holes: Holes::default(),
            missing: Vec::new(),
            notes: Vec::new(),
            length: 0,
        };
        let mut files = found.into_iter().peekable();
        for number in counting.first..=last {
            let name = format!("{stem}.{}", counting.suffix(number));
            let place = source.place(piece_bytes)?;
            match files.next_if(|(found, _)| *found == number) {
                Some((_, file)) => source.add_piece(&name, file, place, number == last),
                None => {
                    source.holes.push(place, Hole::MissingPiece);
                    source.length = place.end();
                    source.missing.push(name);
                }
            }
        }
        source.add_missing_note(piece_bytes);
        Ok(source)
    }

    /// The next `piece_bytes` of the image.
    fn place(&self, piece_bytes: u64) -> io::Result<Extent> {
        self.length
            .checked_add(piece_bytes)
            .filter(|end| *end < u64::MAX)
            .map(|_| Extent::new(self.length, piece_bytes))
            .ok_or_else(|| io::Error::other("the pieces add up to more bytes than can be counted"))
    }

    fn add_piece(&mut self, name: &str, file: PooledFile, place: Extent, is_last: bool) {
        let own = Extent::new(place.offset(), file.len());
        let short = place.len().saturating_sub(own.len());
        let others = place.len();
        if is_last {
            self.length = own.end();
            if short == 0 {
                self.notes.push(format!(
                    "the last piece, {name}, is as large as the others: further pieces may be missing"
                ));
            }
        } else {
            self.length = place.end();
            if short > 0 {
                let at = Extent::new(own.end(), short);
                self.holes.push(at, Hole::MissingPiece);
                self.notes.push(format!(
                    "piece {name} has {} bytes, {short} less than the {others} of the largest; its end is taken to be missing: {at}",
                    own.len()
                ));
            }
        }
        self.pieces.push((own, file));
    }

    fn add_missing_note(&mut self, piece_bytes: u64) {
        let Some(first) = self.missing.first() else { return };
        let names = match self.missing.len() {
            0..=8 => self.missing.join(", "),
            more => format!("{more} pieces from {first}"),
        };
        self.notes.push(format!(
            "missing: {names}; each is taken to have {piece_bytes} bytes, since all pieces but the last have one size"
        ));
    }

    /// What a person has to know about the set: missing pieces and the assumption made for them, odd sizes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// File names of the missing pieces.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The files of the pieces that are there, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> + '_ {
        self.pieces.iter().map(|(_, file)| file.path())
    }

    /// What the operating system calls the pieces that are there.
    pub fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        self.pieces.iter().filter_map(|(_, file)| file.identity())
    }
}

/// The file name in front of the last dot and what follows it.
fn stem_and_suffix(path: &Path) -> Option<(&str, &str)> {
    let (stem, suffix) = path.file_name().and_then(OsStr::to_str)?.rsplit_once('.')?;
    (!stem.is_empty()).then_some((stem, suffix))
}

/// What follows `stem.` in the names of a folder.
fn sibling_suffixes(folder: &Path, stem: &str) -> io::Result<Vec<String>> {
    let mut suffixes = Vec::new();
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder)?.take(NAMES_LIMIT) {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        let path = PathBuf::from(entry.file_name());
        if let Some((other, suffix)) = stem_and_suffix(&path)
            && other == stem
        {
            suffixes.push(suffix.to_owned());
        }
    }
    Ok(suffixes)
}

/// Fails when the pieces found are no set, with a note where the name suggests one.
fn check_set(counting: &Counting, suffix: &str, numbers: &[u64]) -> Result<(), Option<String>> {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Err(None) };
    let present = numbers.len() as u64;
    let all = last.saturating_sub(counting.first).saturating_add(1);
    let missing = all.saturating_sub(present);
    if present < 2 {
        let numbered = suffix.starts_with('0') && *first > counting.first;
        return Err(numbered.then(|| {
            format!(
                "the name says piece {first} of a split image; no other piece is beside it, so it is read as a file of its own"
            )
        }));
    }
    if (*first != counting.first && missing > present) || all > PIECES_LIMIT {
        return Err(Some(format!(
            "{present} files beside each other are numbered {first} to {last}; {missing} numbers are missing, so they are not joined as one image"
        )));
    }
    Ok(())
}

impl Source for SplitSource {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some((at, hole)) = self.holes.within(at).next() {
            return Err(ReadError::Hole { at, hole });
        }
        if let Some(error) = beyond_end(self, at) {
            return Err(error);
        }
        let first = self.pieces.partition_point(|(extent, _)| extent.end() <= offset);
        let mut rest = buf;
        for (extent, file) in self.pieces.iter().skip(first) {
            let Some(part) = extent.intersection(at) else { break };
            // Not longer than the buffer it is a part of.
            let length = usize::try_from(part.len()).unwrap_or(usize::MAX);
            let Some((target, behind)) = rest.split_at_mut_checked(length) else { break };
            file.read_exact_at(part.offset().saturating_sub(extent.offset()), target)
                .map_err(|error| in_image(error, part))?;
            rest = behind;
        }
        Ok(())
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let mut holes: Vec<_> = self.holes.within(within).collect();
        let end = self.length.max(within.offset());
        if within.end() > end {
            let beyond = Extent::new(end, within.end().saturating_sub(end));
            holes.push((beyond, Hole::BeyondEnd));
        }
        holes
    }
}

/// An error of a piece, in offsets of the image.
fn in_image(error: ReadError, at: Extent) -> ReadError {
    match error {
        ReadError::Io { error, .. } => ReadError::Io { at, error },
        ReadError::Hole { hole, .. } => ReadError::Hole { at, hole },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder_of(pieces: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in pieces {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn set(folder: &tempfile::TempDir, name: &str) -> SplitSource {
        match SplitSource::find(&folder.path().join(name)).unwrap() {
            SplitLookup::Set(set) => set,
            SplitLookup::Single(note) => panic!("{name} is no set: {note:?}"),
        }
    }

    fn single(folder: &tempfile::TempDir, name: &str) -> Option<String> {
        match SplitSource::find(&folder.path().join(name)).unwrap() {
            SplitLookup::Set(set) => {
                panic!("{name} is a set: {:?}", set.paths().collect::<Vec<_>>())
            }
            SplitLookup::Single(note) => note,
        }
    }

    #[test]
    fn any_piece_finds_the_whole_set() {
        for names in [
            ["i.001", "i.002", "i.003"],
            ["i.dd.000", "i.dd.001", "i.dd.002"],
            ["i.raw.01", "i.raw.02", "i.raw.03"],
            ["i.aa", "i.ab", "i.ac"],
        ] {
            let folder = folder_of(&[(names[0], b"abcd"), (names[1], b"efgh"), (names[2], b"ij")]);
            for name in names {
                let set = set(&folder, name);
                let bytes = (&set as &dyn Source).read(Extent::new(0, set.len())).unwrap();
                assert_eq!(bytes, b"abcdefghij");
                assert!(set.missing().is_empty() && set.notes().is_empty(), "{:?}", set.notes());
            }
        }
    }

    #[test]
    fn a_missing_piece_in_the_middle_is_a_hole_of_its_size_and_is_named() {
        let folder = folder_of(&[("i.001", b"abcd"), ("i.003", b"ij")]);
        let set = set(&folder, "i.003");
        assert_eq!(set.len(), 10);
        assert_eq!(set.missing(), ["i.002"]);
        assert!(set.notes()[0].contains("i.002") && set.notes()[0].contains("4 bytes"));
        let holes = set.holes(Extent::new(0, 20));
        let expected =
            [(Extent::new(4, 4), Hole::MissingPiece), (Extent::new(10, 10), Hole::BeyondEnd)];
        assert_eq!(holes, expected);
        assert_eq!((&set as &dyn Source).read_array::<2>(8).unwrap(), *b"ij");
        let error = (&set as &dyn Source).read_array::<4>(2).unwrap_err();
        assert_eq!(error.at(), Extent::new(4, 2));
    }

    #[test]
    fn a_missing_first_piece_keeps_the_offsets() {
        let folder = folder_of(&[("i.002", b"efgh"), ("i.003", b"ij")]);
        let set = set(&folder, "i.002");
        assert_eq!((set.len(), set.missing()), (10, &["i.001".to_owned()][..]));
        assert_eq!((&set as &dyn Source).read_array::<6>(4).unwrap(), *b"efghij");
    }

    /// a piece that was not copied whole does not shift what follows.
    #[test]
    fn a_short_piece_has_a_hole_at_its_end_and_is_reported() {
        let folder = folder_of(&[("i.001", b"abcd"), ("i.002", b"e"), ("i.003", b"ij")]);
        let set = set(&folder, "i.001");
        assert_eq!(set.holes(Extent::new(0, 10)), [(Extent::new(5, 3), Hole::MissingPiece)]);
        assert_eq!((&set as &dyn Source).read_array::<2>(8).unwrap(), *b"ij");
        assert!(set.notes()[0].contains("i.002"), "{:?}", set.notes());
    }

    /// a piece that lost bytes after it was opened is an error in offsets of the image, with the piece's name.
    #[test]
    fn a_piece_that_became_shorter_is_named() {
        let folder = folder_of(&[("i.001", b"abcd"), ("i.002", b"efgh"), ("i.003", b"ij")]);
        let set = set(&folder, "i.001");
        fs::write(folder.path().join("i.002"), b"ef").unwrap();
        let error = (&set as &dyn Source).read_array::<6>(2).unwrap_err();
        assert_eq!(error.at(), Extent::new(4, 4));
        let text = error.to_string();
        assert!(text.contains("i.002") && text.contains("shorter than the 4 bytes"), "{text}");
    }

    #[test]
    fn a_full_last_piece_may_not_be_the_last() {
        let folder = folder_of(&[("i.001", b"abcd"), ("i.002", b"efgh")]);
        assert!(set(&folder, "i.001").notes()[0].contains("further pieces may be missing"));
    }

    #[test]
    fn files_that_only_look_like_pieces_stay_alone() {
        let folder = folder_of(&[
            ("a.001", b"x"),
            ("b.007", b"x"),
            ("c.264", b"x"),
            ("c.265", b"x"),
            ("d.dd", b"x"),
            ("d.db", b"x"),
            ("e", b"x"),
            (".001", b"x"),
        ]);
        assert_eq!(single(&folder, "a.001"), None);
        assert!(single(&folder, "b.007").unwrap().contains("piece 7"));
        assert!(single(&folder, "c.264").unwrap().contains("not joined"));
        assert_eq!(single(&folder, "d.dd"), None);
        assert_eq!(single(&folder, "e"), None);
        assert_eq!(single(&folder, ".001"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// any range of a split set equals the joined file, or fails at exactly the hole.
        #[test]
        fn a_range_equals_the_joined_file_or_fails_at_the_hole(
            bytes in prop::collection::vec(any::<u8>(), 20..400),
            piece in 7usize..60,
            removed in prop::collection::btree_set(0usize..8, 0..3),
            ranges in prop::collection::vec((0u64..500, 0usize..200), 1..20),
        ) {
            let count = bytes.len().div_ceil(piece);
            // The last piece stays, since nothing else tells the length; the first, so that the set is a set.
            let removed: Vec<usize> = removed.into_iter().filter(|i| *i > 0 && i + 1 < count).collect();
            prop_assume!(count - removed.len() >= 2);
            let folder = tempfile::tempdir().unwrap();
            for (i, chunk) in bytes.chunks(piece).enumerate() {
                if !removed.contains(&i) {
                    fs::write(folder.path().join(format!("i.{:03}", i + 1)), chunk).unwrap();
                }
            }
            let set = set(&folder, "i.001");
            prop_assert_eq!(set.len(), bytes.len() as u64);
            prop_assert_eq!(set.missing().len(), removed.len());
            let is_hole = |at: u64| at >= set.len() || removed.contains(&(at as usize / piece));
            for (offset, length) in ranges {
                let mut buf = vec![0; length];
                let first_hole = (offset..offset + length as u64).find(|at| is_hole(*at));
                match (set.read_exact_at(offset, &mut buf), first_hole) {
                    (Ok(()), None) => {
                        prop_assert!(length == 0 || buf == bytes[offset as usize..][..length]);
                    }
                    (Err(error), Some(first)) => {
                        prop_assert_eq!(error.at().offset(), first);
                        prop_assert!(error.at().end() <= offset + length as u64);
                    }
                    (result, hole) => prop_assert!(false, "{result:?} against hole {hole:?}"),
                }
            }
        }
    }
}
