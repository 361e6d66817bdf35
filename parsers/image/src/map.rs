//! ddrescue map files: which bytes of an image are from the medium.
//!
//! Facts: GNU ddrescue manual 1.28, chapter "Mapfile structure": comments from `#`, one status line, then
//! `position size status` in the integer notation of C++ (decimal, `0x` hexadecimal, leading-zero octal). `+` is
//! rescued; `*`, `/` and `-` failed when they were tried (not trimmed, not scraped, bad sector); `?` was not tried.
//! Blocks must be contiguous there; maps edited by hand may leave gaps, which count as not acquired here, as does
//! everything behind the last block.

use std::{
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{Extent, Hole, ReadError, Source};

use crate::{
    files::open_read_only,
    holes::{Holes, between},
};

/// Largest map file read: over a million blocks, more than a dying disk of 20 TB gives.
const MAP_BYTES_LIMIT: u64 = 64 << 20;

/// Why a map file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is larger than any real map.
    #[error("has more than {MAP_BYTES_LIMIT} bytes, expected a text of rescue blocks")]
    TooLarge,
    /// A line does not follow the format.
    #[error("line {line}: {what}")]
    Line {
        /// Line number from 1.
        line: usize,
        /// What was found and what was expected.
        what: String,
    },
}

/// What a rescue knows about a block, in the order in which a rescue works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockState {
    /// `?`: not tried.
    NonTried,
    /// `*`: a large read failed; the edges were not looked for.
    NonTrimmed,
    /// `/`: between failed edges; not every sector was tried.
    NonScraped,
    /// `-`: each sector failed when it was read alone.
    BadSector,
    /// `+`: the bytes are from the medium.
    Finished,
}

impl BlockState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::NonTried, Self::NonTrimmed, Self::NonScraped, Self::BadSector, Self::Finished];

    /// The character of the state in a map file.
    pub const fn symbol(self) -> char {
        match self {
            Self::NonTried => '?',
            Self::NonTrimmed => '*',
            Self::NonScraped => '/',
            Self::BadSector => '-',
            Self::Finished => '+',
        }
    }

    /// The hole it leaves in an image; `None` for rescued bytes.
    pub const fn hole(self) -> Option<Hole> {
        match self {
            Self::NonTried => Some(Hole::NotAcquired),
            Self::NonTrimmed | Self::NonScraped | Self::BadSector => Some(Hole::Unreadable),
            Self::Finished => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut symbols = text.chars();
        let symbol = symbols.next()?;
        let state = Self::ALL.into_iter().find(|state| state.symbol() == symbol);
        state.filter(|_| symbols.next().is_none())
    }
}

/// The status line of a map: where the program that wrote it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapStatus {
    /// Position on the medium, in bytes.
    pub position: u64,
    /// `?` copying, `*` trimming, `/` scraping, `-` retrying, `F` filling, `G` generating, `+` finished.
    pub status: char,
    /// Pass of that phase, from 1; older maps leave it out.
    pub pass: u32,
}

/// A parsed map: the blocks of an acquisition, and the holes they leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescueMap {
    blocks: Vec<(Extent, BlockState)>,
    holes: Holes,
    length: u64,
    status: MapStatus,
}

impl RescueMap {
    /// Reads a map file.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or a line does not follow the format; blocks that overlap or go
    /// backward are such lines.
    pub fn read(path: &Path) -> Result<Self, MapError> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("is not a regular file").into());
        }
        let mut bytes = Vec::new();
        open_read_only(path)?.take(MAP_BYTES_LIMIT.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAP_BYTES_LIMIT {
            return Err(MapError::TooLarge);
        }
        // Comments hold the command line, in whatever encoding the file names have.
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Parses the text of a map file.
    ///
    /// # Errors
    /// See [`RescueMap::read`].
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let mut lines = text
            .lines()
            .zip(1usize..)
            .map(|(line, number)| (without_comment(line), number))
            .filter(|(line, _)| !line.is_empty());
        let end = text.lines().count().max(1);
        let (status, line) =
            lines.next().ok_or_else(|| at_line(end, "the status line is missing".to_owned()))?;
        let status = parse_status(status).map_err(|what| at_line(line, what))?;
        let mut map = Self { blocks: Vec::new(), holes: Holes::default(), length: 0, status };
        for (text, line) in lines {
            let (block, state) = parse_block(text).map_err(|what| at_line(line, what))?;
            map.add(block, state).map_err(|what| at_line(line, what))?;
        }
        Ok(map)
    }

    fn add(&mut self, block: Extent, state: BlockState) -> Result<(), String> {
        if block.offset() < self.length {
            return Err(format!(
                "block at 0x{:x} starts before the end of the block above it, 0x{:x}",
                block.offset(),
                self.length
            ));
        }
        self.holes.push(between(self.length, block.offset()), Hole::NotAcquired);
        if let Some(hole) = state.hole() {
            self.holes.push(block, hole);
        }
        self.length = block.end();
        match self.blocks.last_mut() {
            Some((last, of)) if *of == state && last.end() == block.offset() => {
                *last = between(last.offset(), block.end());
            }
            _ if block.is_empty() => {}
            _ => self.blocks.push((block, state)),
        }
        Ok(())
    }

    /// The blocks that the map names, ascending; neighbours of one state are one block.
    pub fn blocks(&self) -> &[(Extent, BlockState)] {
        &self.blocks
    }

    /// Where the program that wrote the map was.
    pub fn status(&self) -> MapStatus {
        self.status
    }

    /// Size of the medium as far as the map speaks of it, in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// True when the map has no block.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// True when ddrescue noted that it had finished.
    pub fn is_finished(&self) -> bool {
        self.status.status == '+'
    }

    /// The holes, ascending.
    pub fn holes(&self) -> &[(Extent, Hole)] {
        self.holes.as_slice()
    }

    /// Bytes in holes of one kind.
    pub fn bytes_of(&self, kind: Hole) -> u64 {
        let of_kind = self.holes().iter().filter(|(_, hole)| *hole == kind);
        of_kind.fold(0, |sum, (extent, _)| sum.saturating_add(extent.len()))
    }
}

fn at_line(line: usize, what: String) -> MapError {
    MapError::Line { line, what }
}

/// The line without its comment: `#` at its begin or after white space.
fn without_comment(line: &str) -> &str {
    let starts = line.match_indices('#').map(|(at, _)| at);
    let mut comments = starts.filter(|at| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    });
    comments.next().and_then(|at| line.get(..at)).unwrap_or(line).trim()
}

/// The status line: position, status, and in newer maps the pass.
fn parse_status(text: &str) -> Result<MapStatus, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().take(4).collect();
    let (position, status, pass) = match *fields.as_slice() {
        [position, status] => (position, status, 1),
        [position, status, pass] => {
            let number = pass.parse::<u32>();
            let pass = number.map_err(|_| format!("pass is {}, expected a number", shown(pass)))?;
            (position, status, pass)
        }
        _ => {
            return Err(format!(
                "{}, expected the status line `position status pass`",
                shown(text)
            ));
        }
    };
    let position = parse_number(position)?;
    match status.chars().next() {
        Some(symbol) if status.len() == 1 && "?*/-FG+".contains(symbol) => {
            Ok(MapStatus { position, status: symbol, pass })
        }
        _ => Err(format!("status is {}, expected one of ? * / - F G +", shown(status))),
    }
}

/// Parses `position size status`.
fn parse_block(text: &str) -> Result<(Extent, BlockState), String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().take(4).collect();
    let [position, size, status] = *fields.as_slice() else {
        return Err(format!("{}, expected `position size status`", shown(text)));
    };
    let (position, size) = (parse_number(position)?, parse_number(size)?);
    // Offsets are signed 64-bit numbers in ddrescue.
    if position.checked_add(size).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(format!("{size} bytes at {position} end beyond 2^63"));
    }
    let state = BlockState::parse(status)
        .ok_or_else(|| format!("status is {}, expected one of ? * / - +", shown(status)))?;
    Ok((Extent::new(position, size), state))
}

fn parse_number(text: &str) -> Result<u64, String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten();
    number.ok_or_else(|| format!("{}, expected a number", shown(text)))
}

/// A piece of foreign text, quoted, without control characters and not longer than a line.
fn shown(text: &str) -> String {
    let escaped: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    format!("`{escaped}`")
}

/// An image of which a map says what is from the medium.
pub struct MappedSource {
    inner: Arc<dyn Source>,
    map: RescueMap,
}

impl MappedSource {
    /// Joins an image with the map of its acquisition. Bytes behind the map's last block count as not acquired.
    ///
    /// Where both the map and the image have a hole, the map's is named: it speaks of the medium.
    pub fn new(inner: Arc<dyn Source>, mut map: RescueMap) -> Self {
        map.holes.push(between(map.length, inner.len()), Hole::NotAcquired);
        Self { inner, map }
    }

    /// The map, with what it leaves open filled in.
    pub fn map(&self) -> &RescueMap {
        &self.map
    }
}

impl Source for MappedSource {
    fn len(&self) -> u64 {
        self.inner.len().max(self.map.length)
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if self.map.holes.within(at).next().is_some()
            && let Some((at, hole)) = self.holes(at).into_iter().next()
        {
            return Err(ReadError::Hole { at, hole });
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let mut merged = Holes::default();
        let mut from = within.offset();
        for (extent, hole) in self.map.holes.within(within) {
            self.add_inner_holes(&mut merged, between(from, extent.offset()));
            merged.push(extent, hole);
            from = extent.end();
        }
        self.add_inner_holes(&mut merged, between(from, within.end()));
        merged.into_vec()
    }
}

impl MappedSource {
    fn add_inner_holes(&self, merged: &mut Holes, within: Extent) {
        if !within.is_empty() {
            for (extent, hole) in self.inner.holes(within) {
                merged.push(extent, hole);
            }
        }
    }
}

/// A file beside an image that looks like its acquisition map: `image.dd.map`, `image.map`, `image.mapfile`, and
/// `image.log` when it reads as a map. It is returned to be mentioned; applying it is the user's decision.
pub fn map_beside(image: &Path) -> Option<PathBuf> {
    let whole = image.as_os_str().to_owned();
    // `image.dd.001` has its map beside it as `image.dd.map` or `image.map`.
    let stem = image.with_extension("").into_os_string();
    let short = Path::new(&stem).with_extension("").into_os_string();
    let candidate = |base: &OsString, extension: &str| {
        let mut name = base.clone();
        name.push(extension);
        PathBuf::from(name)
    };
    [".map", ".mapfile", ".log"]
        .into_iter()
        .flat_map(|extension| [&whole, &stem, &short].map(|base| candidate(base, extension)))
        .find(|path| path != image && path.is_file() && is_map(path))
}

/// Logs of other programs share the extension, so those are looked into.
fn is_map(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension != "log") || RescueMap::read(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "\
# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue /dev/sdb image.dd image.map
# current_pos  current_status  current_pass
0x00118200     ?               1
#      pos        size  status
0x00000000  0x00117000  +
0x00117000  0x00000200  -   # a comment behind a block
0x00117200  0x00001000  /
0x00118200  0x00007E00  *
0x00120000  0x00048000  ?
";

    #[test]
    fn the_manuals_states_become_holes() {
        let map = RescueMap::parse(SAMPLE).unwrap();
        assert_eq!(
            map.holes(),
            [
                (Extent::new(0x117000, 0x9000), Hole::Unreadable),
                (Extent::new(0x120000, 0x48000), Hole::NotAcquired),
            ]
        );
        assert_eq!((map.len(), map.is_finished()), (0x168000, false));
        let position = MapStatus { position: 0x118200, status: '?', pass: 1 };
        assert_eq!(map.status(), position);
        assert_eq!(
            map.blocks(),
            [
                (Extent::new(0, 0x117000), BlockState::Finished),
                (Extent::new(0x117000, 0x200), BlockState::BadSector),
                (Extent::new(0x117200, 0x1000), BlockState::NonScraped),
                (Extent::new(0x118200, 0x7E00), BlockState::NonTrimmed),
                (Extent::new(0x120000, 0x48000), BlockState::NonTried),
            ]
        );
        assert_eq!(map.bytes_of(Hole::Unreadable), 0x9000);
    }

    #[test]
    fn numbers_are_those_of_cpp_and_gaps_are_not_acquired() {
        let map = RescueMap::parse("0 +\n512 0x200 +\r\n\n02000 512 +\n1600 1 -\n").unwrap();
        assert_eq!(
            map.holes(),
            [
                (Extent::new(0, 512), Hole::NotAcquired),
                (Extent::new(1536, 64), Hole::NotAcquired),
                (Extent::new(1600, 1), Hole::Unreadable),
            ]
        );
        assert!(map.is_finished());
        let map = RescueMap::parse("0 ?\n0 5 +\n5 0 -\n5 7 +\n20 1 +\n").unwrap();
        let finished = |at, length| (Extent::new(at, length), BlockState::Finished);
        assert_eq!(map.blocks(), [finished(0, 12), finished(20, 1)]);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (text, line, word) in [
            ("", 1, "status line is missing"),
            ("# only\n# comments\n", 2, "status line is missing"),
            ("hello world\n", 1, "expected a number"),
            ("0 X 1\n", 1, "expected one of"),
            ("0 + x\n", 1, "pass"),
            ("0 + 1\n0 512\n", 2, "position size status"),
            ("0 + 1\n0 512 + +\n", 2, "position size status"),
            ("0 + 1\n0 512 !\n", 2, "status is `!`"),
            ("0 + 1\n0 0x +\n", 2, "expected a number"),
            ("0 + 1\n0 08 +\n", 2, "expected a number"),
            ("0 + 1\n0 -5 +\n", 2, "expected a number"),
            ("0 + 1\n0 +5 +\n", 2, "expected a number"),
            ("0 + 1\n\n0 512 +\n256 512 +\n", 4, "starts before the end"),
            ("0 + 1\n512 512 +\n0 512 +\n", 3, "starts before the end"),
            ("0 + 1\n0xffffffffffffffff 1 +\n", 2, "2^63"),
            ("0 + 1\n0x7fffffffffffffff 1 +\n", 2, "2^63"),
        ] {
            let error = RescueMap::parse(text).unwrap_err();
            let MapError::Line { line: found, what } = &error else { panic!("{error}") };
            assert_eq!(*found, line, "{text:?}: {error}");
            assert!(what.contains(word), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_map_of_a_larger_medium_lengthens_the_source() {
        let inner: Arc<dyn Source> = Arc::new(vec![7u8; 100]);
        let map = RescueMap::parse("0 +\n0 80 +\n80 10 -\n90 60 +\n150 50 ?\n").unwrap();
        let source = MappedSource::new(inner, map);
        assert_eq!(source.len(), 200);
        assert_eq!(
            source.holes(Extent::new(0, 300)),
            [
                (Extent::new(80, 10), Hole::Unreadable),
                (Extent::new(100, 50), Hole::BeyondEnd),
                (Extent::new(150, 50), Hole::NotAcquired),
                (Extent::new(200, 100), Hole::BeyondEnd),
            ]
        );
        let error = (&source as &dyn Source).read_array::<40>(70).unwrap_err();
        assert_eq!(error.at(), Extent::new(80, 10));
        let error = (&source as &dyn Source).read_array::<80>(95).unwrap_err();
        assert_eq!(error.at(), Extent::new(100, 50));
    }

    #[test]
    fn what_a_map_does_not_mention_is_not_acquired() {
        let inner: Arc<dyn Source> = Arc::new(vec![7u8; 100]);
        let source = MappedSource::new(inner, RescueMap::parse("0 +\n0 60 +\n").unwrap());
        assert_eq!(source.holes(Extent::new(0, 100)), [(Extent::new(60, 40), Hole::NotAcquired)]);
        assert_eq!(source.len(), 100);
    }

    #[test]
    fn a_map_beside_the_image_is_found_and_a_foreign_log_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image.dd.001");
        assert_eq!(map_beside(&image), None);
        let log = folder.path().join("image.log");
        fs::write(&log, "Acquisition started\n").unwrap();
        assert_eq!(map_beside(&image), None);
        fs::write(&log, SAMPLE).unwrap();
        assert_eq!(map_beside(&image), Some(log));
        let map = folder.path().join("image.dd.map");
        fs::write(&map, SAMPLE).unwrap();
        assert_eq!(map_beside(&image), Some(map.clone()));
        assert_eq!(map_beside(&folder.path().join("image.dd")), Some(map));
    }

    proptest! {
        /// No text makes the parser panic, and what it accepts is in order.
        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9a-fx?*/+#\\- \n-]{0,200}") {
            if let Ok(map) = RescueMap::parse(&format!("0 +\n{text}")) {
                for pair in map.holes().windows(2) {
                    prop_assert!(pair[0].0.end() <= pair[1].0.offset());
                }
            }
        }

        /// a read succeeds exactly when it touches no hole, and names the first one otherwise.
        #[test]
        fn a_read_succeeds_if_and_only_if_it_touches_no_hole(
            blocks in prop::collection::vec((0u64..40, 1u64..60, 0usize..5), 0..30),
            size in 1usize..900,
            ranges in prop::collection::vec((0u64..1200, 1usize..200), 1..30),
        ) {
            let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
            let mut states: Vec<char> = Vec::new();
            let mut text = "0 ?\n".to_owned();
            for (gap, length, state) in blocks {
                let state = ['+', '+', '-', '*', '?'][state];
                states.extend(std::iter::repeat_n('?', gap as usize));
                text.push_str(&format!("{} {length} {state}\n", states.len()));
                states.extend(std::iter::repeat_n(state, length as usize));
            }
            let source = MappedSource::new(Arc::new(bytes.clone()), RescueMap::parse(&text).unwrap());
            prop_assert_eq!(source.len(), states.len().max(size) as u64);
            let readable = |at: u64| states.get(at as usize) == Some(&'+') && at < size as u64;
            for (offset, length) in ranges {
                let mut buf = vec![0; length];
                let range = offset..offset + length as u64;
                match source.read_exact_at(offset, &mut buf) {
                    Ok(()) => {
                        prop_assert!(range.clone().all(readable));
                        prop_assert_eq!(&buf, &bytes[offset as usize..][..length]);
                    }
                    Err(error) => {
                        prop_assert_eq!(Some(error.at().offset()), range.clone().find(|at| !readable(*at)));
                    }
                }
                let holes = source.holes(Extent::new(offset, length as u64));
                for at in range {
                    prop_assert_eq!(holes.iter().any(|(extent, _)| extent.contains(at)), !readable(at));
                }
            }
        }
    }
}
