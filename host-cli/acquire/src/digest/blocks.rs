//! SHA-256 of every megabyte in the two-level text list that `sha256sum` reads.
//!
//! Layout (docs/schemas/image.md): `blocks/000123.sha256` has 1,024 lines `<64 hex>  block-0125952`, one for each MiB of one GiB of the
//! medium; `groups.sha256` has one line for each of those files, named as seen from the image's folder. Anyone checks one megabyte with
//! `dd` and `sha256sum`, and the digest of `groups.sha256` stands for the whole medium. The last block is as long as what is left.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{hex, unhex};

/// Bytes of the medium in one block.
pub const BLOCK_BYTES: u64 = 1 << 20;
/// Blocks in one file of the list.
pub const GROUP_BLOCKS: u64 = 1024;
/// The folder of the first level.
pub const FOLDER: &str = "blocks";
/// The file of the second level.
pub const GROUPS_FILE: &str = "groups.sha256";
/// Longest line that any list has.
const LINE_MAX: u64 = 128;

/// SHA-256 of a block.
pub type BlockDigest = [u8; 32];

/// Digest of a block's bytes.
pub fn block_digest(bytes: &[u8]) -> BlockDigest {
    Sha256::digest(bytes).into()
}

/// The name of a block in the list: `block-0000003`.
pub fn block_name(block: u64) -> String {
    format!("block-{block:07}")
}

/// The file of a group, from the image's folder: `blocks/000123.sha256`.
pub fn group_name(group: u64) -> String {
    format!("{FOLDER}/{group:06}.sha256")
}

/// Number of blocks of a medium.
pub const fn block_count(media_bytes: u64) -> u64 {
    media_bytes.div_ceil(BLOCK_BYTES)
}

fn line(digest: &BlockDigest, name: &str) -> String {
    format!("{}  {name}\n", hex(digest))
}

/// The list while it is written, in the order of the medium.
pub struct BlockWriter {
    folder: PathBuf,
    /// Blocks written.
    blocks: u64,
    /// The lines of the group in hand.
    group: Vec<u8>,
    /// How many of them are in its file.
    stored: usize,
    file: Option<File>,
    groups: File,
}

impl BlockWriter {
    /// Begins the list in an image's folder.
    ///
    /// # Errors
    /// When there is one already, or it cannot be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir(folder.join(FOLDER))?;
        let groups = File::create_new(folder.join(GROUPS_FILE))?;
        Ok(Self {
            folder: folder.to_owned(),
            blocks: 0,
            group: Vec::new(),
            stored: 0,
            file: None,
            groups,
        })
    }

    /// Goes on after the first `blocks` blocks; what a broken run wrote behind them is dropped.
    ///
    /// # Errors
    /// When less is there, or it is not the list of those blocks.
    pub fn resume(folder: &Path, blocks: u64) -> io::Result<Self> {
        let group_number = blocks.checked_div(GROUP_BLOCKS).unwrap_or(0);
        let in_group = blocks.checked_rem(GROUP_BLOCKS).unwrap_or(0);
        let mut groups =
            OpenOptions::new().read(true).write(true).open(folder.join(GROUPS_FILE))?;
        keep_lines(&mut groups, group_number, group_name)?;
        drop_groups_from(
            folder,
            if in_group == 0 { group_number } else { group_number.saturating_add(1) },
        )?;
        let mut writer = Self {
            folder: folder.to_owned(),
            blocks,
            group: Vec::new(),
            stored: 0,
            file: None,
            groups,
        };
        if in_group > 0 {
            let path = folder.join(group_name(group_number));
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            let first = group_number.saturating_mul(GROUP_BLOCKS);
            writer.group =
                keep_lines(&mut file, in_group, |at| block_name(first.saturating_add(at)))?;
            writer.stored = writer.group.len();
            writer.file = Some(file);
        }
        Ok(writer)
    }

    /// Blocks so far.
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Adds the next block.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn push(&mut self, digest: &BlockDigest) -> io::Result<()> {
        self.group.extend_from_slice(line(digest, &block_name(self.blocks)).as_bytes());
        self.blocks = self.blocks.saturating_add(1);
        if self.blocks.is_multiple_of(GROUP_BLOCKS) {
            self.close_group()?;
        }
        Ok(())
    }

    /// Writes what was pushed and gives the files that have to be synced before it is durable.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn store(&mut self) -> io::Result<Vec<File>> {
        self.write_group()?;
        [Some(&self.groups), self.file.as_ref()]
            .into_iter()
            .flatten()
            .map(File::try_clone)
            .collect()
    }

    fn write_group(&mut self) -> io::Result<()> {
        let new = self.group.get(self.stored..).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let group = self.blocks.saturating_sub(1).checked_div(GROUP_BLOCKS).unwrap_or(0);
            self.file = Some(File::create_new(self.folder.join(group_name(group)))?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(new)?;
        }
        self.stored = self.group.len();
        Ok(())
    }

    fn close_group(&mut self) -> io::Result<()> {
        self.write_group()?;
        if let Some(file) = self.file.take() {
            file.sync_data()?;
        }
        let group = self.blocks.saturating_sub(1).checked_div(GROUP_BLOCKS).unwrap_or(0);
        let digest = block_digest(&self.group);
        self.groups.write_all(line(&digest, &group_name(group)).as_bytes())?;
        self.group.clear();
        self.stored = 0;
        Ok(())
    }

    /// Ends the list and gives the SHA-256 of `groups.sha256`.
    ///
    /// # Errors
    /// When a file cannot be written or read back.
    pub fn finish(mut self) -> io::Result<BlockDigest> {
        if !self.group.is_empty() {
            self.close_group()?;
        }
        self.groups.sync_all()?;
        file_digest(&self.folder.join(GROUPS_FILE))
    }
}

/// SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(path: &Path) -> io::Result<BlockDigest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => hash.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Cuts a list after `count` lines whose names are as expected, and stands at its end. Gives the lines.
fn keep_lines(file: &mut File, count: u64, name: impl Fn(u64) -> String) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut kept = Vec::new();
    {
        let mut reader = BufReader::new(&mut *file);
        for number in 0..count {
            let from = kept.len();
            reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut kept)?;
            let read = kept.get(from..).unwrap_or_default();
            parse_line(read, &name(number)).ok_or_else(|| {
                let text = format!(
                    "line {} of the block list is not that of {}",
                    number.saturating_add(1),
                    name(number)
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
        }
    }
    let length = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(kept)
}

/// The digest of a line that has this name and nothing else.
fn parse_line(line: &[u8], name: &str) -> Option<BlockDigest> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (digits, found) = text.split_once("  ")?;
    (found == name).then(|| unhex(digits)?.try_into().ok())?
}

/// Removes files of groups that a broken run wrote and no checkpoint knows.
fn drop_groups_from(folder: &Path, group: u64) -> io::Result<()> {
    for number in group.. {
        match fs::remove_file(folder.join(group_name(number))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The last whole lines that are stored of an unfinished list, at most `count`.
///
/// # Errors
/// When its folder cannot be read.
pub fn last_stored(folder: &Path, count: u64) -> io::Result<Vec<(u64, BlockDigest)>> {
    let mut group = 0_u64;
    for entry in fs::read_dir(folder.join(FOLDER))? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".sha256")?.parse().ok());
        group = number.unwrap_or(0).max(group);
    }
    let first = group.saturating_mul(GROUP_BLOCKS);
    let text = match fs::read(folder.join(group_name(group))) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines = (first..).zip(text.split_inclusive(|byte| *byte == b'\n'));
    let found: Vec<_> = lines
        .map_while(|(block, line)| Some((block, parse_line(line, &block_name(block))?)))
        .collect();
    let skip = found.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(found.into_iter().skip(skip).collect())
}

/// Why a block list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A file of it cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is not what it has to be.
    #[error("{} line {line}: found {found:?}, expected a digest and `{expected}`", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// The line.
        found: String,
        /// The name it has to have.
        expected: String,
    },
}

/// A list that is read back in the order of the medium, a group at a time: a list of 16 TB has half a gigabyte of digests.
#[derive(Debug)]
pub struct ListReader {
    folder: PathBuf,
    /// Blocks of the medium.
    count: u64,
    /// Digests of the groups' files, by `groups.sha256`.
    groups: Vec<BlockDigest>,
    root: BlockDigest,
    /// The group in hand.
    loaded: Option<(u64, Vec<BlockDigest>)>,
    changed: Vec<String>,
}

impl ListReader {
    /// Opens the list of a medium of `media_bytes`.
    ///
    /// # Errors
    /// When `groups.sha256` is missing or has other lines than the medium has groups.
    pub fn open(folder: &Path, media_bytes: u64) -> Result<Self, ListError> {
        let count = block_count(media_bytes);
        let path = folder.join(GROUPS_FILE);
        let groups = read_lines(&path, count.div_ceil(GROUP_BLOCKS), group_name)?;
        let root = file_digest(&path).map_err(|error| ListError::Io { path, error })?;
        let folder = folder.to_owned();
        Ok(Self { folder, count, groups, root, loaded: None, changed: Vec::new() })
    }

    /// Blocks that it lists.
    pub const fn blocks(&self) -> u64 {
        self.count
    }

    /// SHA-256 of `groups.sha256`.
    pub const fn root(&self) -> &BlockDigest {
        &self.root
    }

    /// Files of groups, of those that were read so far, whose digest is not the one that `groups.sha256` has. Their digests are given as
    /// they are.
    pub fn changed(&self) -> &[String] {
        &self.changed
    }

    /// The digest of a block.
    ///
    /// # Errors
    /// When its group's file is missing or has other lines than there are blocks.
    pub fn digest(&mut self, block: u64) -> Result<Option<BlockDigest>, ListError> {
        if block >= self.count {
            return Ok(None);
        }
        let group = block.checked_div(GROUP_BLOCKS).unwrap_or(0);
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != group) {
            self.load(group)?;
        }
        let index = usize::try_from(block.checked_rem(GROUP_BLOCKS).unwrap_or(0)).unwrap_or(0);
        Ok(self.loaded.as_ref().and_then(|(_, digests)| digests.get(index)).copied())
    }

    fn load(&mut self, group: u64) -> Result<(), ListError> {
        let path = self.folder.join(group_name(group));
        let first = group.saturating_mul(GROUP_BLOCKS);
        let here = self.count.saturating_sub(first).min(GROUP_BLOCKS);
        let digests = read_lines(&path, here, |at| block_name(first.saturating_add(at)))?;
        let found = file_digest(&path).map_err(|error| ListError::Io { path, error })?;
        let expected = usize::try_from(group).ok().and_then(|index| self.groups.get(index));
        if expected != Some(&found) {
            self.changed.push(group_name(group));
        }
        self.loaded = Some((group, digests));
        Ok(())
    }
}

/// All lines of a list; there have to be `count`, with these names.
fn read_lines(
    path: &Path,
    count: u64,
    name: impl Fn(u64) -> String,
) -> Result<Vec<BlockDigest>, ListError> {
    let io_error = |error| ListError::Io { path: path.to_owned(), error };
    let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
    let mut digests = Vec::new();
    for number in 0..count.saturating_add(1) {
        let mut line = Vec::new();
        reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(io_error)?;
        let expected = if number < count { name(number) } else { "the end of the list".to_owned() };
        if number == count && line.is_empty() {
            break;
        }
        let digest = parse_line(&line, &expected).ok_or_else(|| ListError::Line {
            path: path.to_owned(),
            line: number.saturating_add(1),
            found: String::from_utf8_lossy(&line).into_owned(),
            expected,
        })?;
        digests.push(digest);
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn digest(number: u64) -> BlockDigest {
        block_digest(&number.to_le_bytes())
    }

    fn write(folder: &Path, count: u64) -> BlockDigest {
        let mut writer = BlockWriter::create(folder).unwrap();
        for number in 0..count {
            writer.push(&digest(number)).unwrap();
        }
        writer.finish().unwrap()
    }

    /// C-3: the list of two levels is as published, and reads back.
    #[test]
    fn a_list_reads_back() {
        for count in [0, 1, 1023, 1024, 1025, 2049] {
            let folder = tempfile::tempdir().unwrap();
            let root = write(folder.path(), count);
            let mut list = ListReader::open(folder.path(), count * BLOCK_BYTES).unwrap();
            assert_eq!((list.root(), list.blocks()), (&root, count));
            for block in 0..count {
                assert_eq!(list.digest(block).unwrap(), Some(digest(block)));
            }
            assert_eq!(list.digest(count).unwrap(), None);
            assert!(list.changed().is_empty());
        }
    }

    #[test]
    fn lines_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1030);
        let first = fs::read_to_string(folder.path().join("blocks/000000.sha256")).unwrap();
        assert_eq!(first.lines().count(), 1024);
        assert_eq!(first.lines().nth(3), Some(&*format!("{}  block-0000003", hex(&digest(3)))));
        let second = fs::read_to_string(folder.path().join("blocks/000001.sha256")).unwrap();
        assert_eq!(second.lines().next(), Some(&*format!("{}  block-0001024", hex(&digest(1024)))));
        // The judge is coreutils, where it is.
        match Command::new("sha256sum")
            .args(["-c", "--quiet", GROUPS_FILE])
            .current_dir(&folder)
            .status()
        {
            Ok(status) => assert!(status.success()),
            Err(_) => println!("SKIPPED: sha256sum is not here"),
        }
    }

    /// a list taken up at any block is the list of an undisturbed run, whatever was written behind the checkpoint.
    #[test]
    fn a_resumed_list_is_the_same() {
        let whole = tempfile::tempdir().unwrap();
        let root = write(whole.path(), 2100);
        for cut in [0, 1, 64, 1023, 1024, 1025, 1088, 2048, 2099] {
            for more in [0, 1, 70, 1030] {
                let folder = tempfile::tempdir().unwrap();
                let mut writer = BlockWriter::create(folder.path()).unwrap();
                for number in 0..cut {
                    writer.push(&digest(number)).unwrap();
                }
                writer.store().unwrap();
                for number in 0..more {
                    writer.push(&digest(number + 7777)).unwrap();
                }
                writer.store().unwrap();
                drop(writer);
                let mut writer = BlockWriter::resume(folder.path(), cut).unwrap();
                for number in cut..2100 {
                    writer.push(&digest(number)).unwrap();
                }
                assert_eq!(writer.finish().unwrap(), root, "cut at {cut}, {more} more");
                assert!(!folder.path().join(group_name(3)).exists());
            }
        }
    }

    #[test]
    fn a_changed_list_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1030);
        let path = folder.path().join("blocks/000001.sha256");
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' };
        fs::write(&path, &bytes).unwrap();
        let mut list = ListReader::open(folder.path(), 1030 * BLOCK_BYTES).unwrap();
        assert!(list.digest(1025).unwrap().is_some());
        assert_eq!(list.changed(), ["blocks/000001.sha256"]);
        bytes[70] = b'x';
        fs::write(&path, &bytes).unwrap();
        let mut list = ListReader::open(folder.path(), 1030 * BLOCK_BYTES).unwrap();
        assert!(list.digest(3).unwrap().is_some());
        let error = list.digest(1025).unwrap_err().to_string();
        assert!(error.contains("line 1: found") && error.contains("block-0001024"), "{error}");
        for blocks in [1029, 1031] {
            let mut list = ListReader::open(folder.path(), blocks * BLOCK_BYTES).unwrap();
            assert!(list.digest(1024).is_err(), "{blocks}");
        }
    }
}
