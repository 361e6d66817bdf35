//! The map as a file that ddrescue, ddrescuelog and this program read.
//!
//! Facts: GNU ddrescue manual 1.27, chapter "Mapfile structure": comment lines, a status line, then `position size status`,
//! contiguous from 0. A crash leaves the old file or the new one: the text goes to a file beside it, is synced, and takes the
//! name (`rename(2)`), and the folder is synced (`fsync(2)`, notes).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use daleel_image::{MapError, RescueMap};

use crate::raw::positioned::sync_folder;

use super::map::Map;

/// First words of a map written here.
const MARK: &str = "# Mapfile. Created by Daleel";
/// Comment lines looked through for reasons; ours stand in the first lines.
const COMMENT_LINES: usize = 64;

/// Why a map could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// Something that was not written here has the name.
    #[error("{0} exists and is not a map written by this program; it is not replaced")]
    Foreign(PathBuf),
}

impl Map {
    /// Reads the map of a medium of `len` bytes, with the reasons when it was written here.
    ///
    /// # Errors
    /// As [`RescueMap::read`].
    pub fn read(path: &Path, len: u64) -> Result<Self, MapError> {
        let mut map = Self::from_file(&RescueMap::read(path)?, len);
        // Comments of other programs hold file names in whatever encoding; a line that is not text is none of ours.
        for line in BufReader::new(File::open(path)?).lines().take(COMMENT_LINES) {
            let Ok(line) = line else { break };
            map.reasons.take_line(&line);
        }
        Ok(map)
    }

    /// Parses the text of a map of a medium of `len` bytes.
    ///
    /// # Errors
    /// As [`RescueMap::parse`].
    pub fn parse(text: &str, len: u64) -> Result<Self, MapError> {
        let mut map = Self::from_file(&RescueMap::parse(text)?, len);
        text.lines().take(COMMENT_LINES).for_each(|line| map.reasons.take_line(line));
        Ok(map)
    }

    /// Writes the text of the map file.
    ///
    /// # Errors
    /// As the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{MARK} {}, in the format of GNU ddrescue", env!("CARGO_PKG_VERSION"))?;
        for line in self.reasons.lines() {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "# current_pos  current_status  current_pass")?;
        let status = self.status;
        writeln!(
            out,
            "0x{:08X}     {}               {}",
            status.position, status.status, status.pass
        )?;
        writeln!(out, "#      pos        size  status")?;
        for (extent, state) in self.iter() {
            writeln!(out, "0x{:08X}  0x{:08X}  {}", extent.offset(), extent.len(), state.symbol())?;
        }
        Ok(())
    }

    /// Keeps the map at `path` so that a crash leaves the old map or the new one.
    ///
    /// # Errors
    /// [`SaveError::Foreign`] when something has the name that was not written here, [`SaveError::Io`] when the system refuses.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        refuse_foreign(path)?;
        let beside = beside(path);
        refuse_foreign(&beside)?;
        let of = |at: &Path| {
            let path = at.to_owned();
            move |error| SaveError::Io { path, error }
        };
        remove(&beside).map_err(of(&beside))?;
        self.write_new(&beside).map_err(of(&beside))?;
        fs::rename(&beside, path).map_err(of(path))?;
        sync_folder_of(path).map_err(of(path))
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut out = BufWriter::new(file);
        self.write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// The name under which the new map is written before it takes the old one's.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An interrupted write may have left any beginning of a map, also an empty file.
fn refuse_foreign(path: &Path) -> Result<(), SaveError> {
    let of = |error| SaveError::Io { path: path.to_owned(), error };
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(of(error)),
        Ok(metadata) => metadata.file_type(),
    };
    if !kind.is_file() {
        return Err(SaveError::Foreign(path.to_owned()));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(of)?;
    io::Read::read_to_end(&mut io::Read::take(file, MARK.len() as u64), &mut start).map_err(of)?;
    if MARK.as_bytes().starts_with(&start) {
        Ok(())
    } else {
        Err(SaveError::Foreign(path.to_owned()))
    }
}

/// A rename is on the disk when its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use daleel_core::Extent;

    use super::{super::map::State, *};

    fn sample() -> Map {
        let mut map = Map::new(1 << 20);
        map.mark(Extent::new(0, 1 << 18), State::Finished);
        map.mark(Extent::new(512, 512), State::BadSector);
        map.mark(Extent::new(65536, 65536), State::NonTrimmed);
        map.mark(Extent::new(69632, 4096), State::NonScraped);
        map.status.position = 0x40000;
        map.status.status = '*';
        map.status.pass = 2;
        map.reasons.add("unreadable: Input/output error (os error 5)");
        map
    }

    #[test]
    fn a_saved_map_is_read_back_and_replaces_only_its_own_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.map");
        let map = sample();
        map.save(&path).unwrap();
        assert_eq!(Map::read(&path, map.len()).unwrap(), map);
        // A crash while the next map was written.
        fs::write(beside(&path), &MARK[..10]).unwrap();
        let mut later = map.clone();
        later.mark(Extent::new(0, 1 << 20), State::Finished);
        later.save(&path).unwrap();
        assert_eq!(Map::read(&path, map.len()).unwrap(), later);
        assert!(!beside(&path).exists());

        for foreign in
            ["# Mapfile. Created by GNU ddrescue version 1.27\n0 ?\n", "holiday photographs"]
        {
            fs::write(&path, foreign).unwrap();
            assert!(matches!(map.save(&path), Err(SaveError::Foreign(_))));
            assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
        }
        fs::remove_file(&path).unwrap();
        fs::write(beside(&path), "holiday photographs").unwrap();
        assert!(matches!(map.save(&path), Err(SaveError::Foreign(_))));
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("image.map"), folder.path().join("elsewhere"));
        sample().save(&target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(sample().save(&path), Err(SaveError::Foreign(_))));
    }

    #[test]
    fn a_map_for_another_size_is_cut_or_filled_up() {
        let mut text = Vec::new();
        sample().write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let longer = Map::parse(&text, 2 << 20).unwrap();
        assert_eq!(longer.bytes_of(State::NonTried), (2 << 20) - (1 << 18));
        let shorter = Map::parse(&text, 1024).unwrap();
        assert_eq!(shorter.bytes_of(State::BadSector) + shorter.bytes_of(State::Finished), 1024);
    }
}
