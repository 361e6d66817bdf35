//! An image in memory of which only the written pages exist.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::Error;

const PAGE: u64 = 4096;

/// Bytes of a medium; what was never written reads as zero and takes no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pages: BTreeMap<u64, Vec<u8>>,
    bytes: u64,
}

impl Image {
    /// An image of `bytes` zeros.
    pub fn new(bytes: u64) -> Image {
        Image { pages: BTreeMap::new(), bytes }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// True for an image without bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes `data` at `offset`; what would pass the end is a mistake in a plan.
    ///
    /// # Errors
    /// [`Error::Plan`] when the data do not fit.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let end = offset + data.len() as u64;
        if end > self.bytes {
            return Err(Error::Plan(format!("bytes {offset}..{end} pass the end {}", self.bytes)));
        }
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let (head, tail) = rest.split_at(rest.len().min(PAGE as usize - within));
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[within..within + head.len()].copy_from_slice(head);
            at += head.len() as u64;
            rest = tail;
        }
        Ok(())
    }

    /// Reads `length` bytes at `offset`.
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let at = offset + out.len() as u64;
            let within = (at % PAGE) as usize;
            let count = (length - out.len()).min(PAGE as usize - within);
            match self.pages.get(&(at / PAGE)) {
                Some(page) => out.extend(&page[within..within + count]),
                None => out.resize(out.len() + count, 0),
            }
        }
        out
    }

    /// Appends zeros up to `bytes`; a shorter length than it has changes nothing.
    pub fn extend(&mut self, bytes: u64) {
        self.bytes = self.bytes.max(bytes);
    }

    /// Makes a range zero without taking room for it.
    ///
    /// # Errors
    /// [`Error::Plan`] when the range passes the end.
    pub fn clear(&mut self, offset: u64, length: u64) -> Result<(), Error> {
        let (first, end) = (offset.next_multiple_of(PAGE), (offset + length) / PAGE * PAGE);
        if first >= end {
            return self.write(offset, &vec![0; length as usize]);
        }
        self.pages.retain(|page, _| !(first..end).contains(&(page * PAGE)));
        self.write(offset, &vec![0; (first - offset) as usize])?;
        self.write(end, &vec![0; (offset + length - end) as usize])
    }

    /// Cuts the image off at `bytes`; a longer length than it has changes nothing.
    pub fn truncate(&mut self, bytes: u64) {
        self.bytes = self.bytes.min(bytes);
        self.pages.retain(|page, _| page * PAGE < bytes);
    }

    /// Writes the image to a new sparse file.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::io("write", path, source);
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        file.set_len(self.bytes).map_err(failed)?;
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (&page, data) in &self.pages {
            if page * PAGE != start + run.len() as u64 {
                write_run(&mut file, start, &run).map_err(failed)?;
                run.clear();
                start = page * PAGE;
            }
            run.extend(&data[..data.len().min((self.bytes - page * PAGE) as usize)]);
        }
        write_run(&mut file, start, &run).map_err(failed)
    }
}

/// What a scenario puts beside its truth file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// One file: a disk or a stream.
    Image(Image),
    /// A folder: files by their path within it, parts joined by `/`.
    Folder(BTreeMap<String, Image>),
}

impl Medium {
    /// Writes the file, or the folder with its files, at `path`.
    ///
    /// # Errors
    /// A file or the folder exists already or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        match self {
            Medium::Image(image) => image.save(path),
            Medium::Folder(files) => {
                fs::create_dir(path).map_err(|source| Error::io("make", path, source))?;
                files.iter().try_for_each(|(name, image)| {
                    let file =
                        name.split('/').fold(path.to_path_buf(), |path, part| path.join(part));
                    let parent = file.parent().unwrap_or(path);
                    fs::create_dir_all(parent)
                        .map_err(|source| Error::io("make", parent, source))?;
                    image.save(&file)
                })
            }
        }
    }
}

fn write_run(file: &mut std::fs::File, start: u64, run: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.write_all(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_across_pages_read_back_and_holes_are_zero() {
        let mut image = Image::new(20_000);
        image.write(4090, b"across the page").unwrap();
        assert_eq!(image.read(4088, 19), b"\0\0across the page\0\0");
        assert!(image.write(19_999, b"xy").is_err());
    }

    #[test]
    fn the_file_has_the_length_and_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let mut image = Image::new(10_001);
        image.write(9_999, b"zz").unwrap();
        image.write(3, b"a").unwrap();
        image.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), image.read(0, 10_001));
        assert!(image.save(&path).is_err(), "an existing file is never replaced");
    }
}
