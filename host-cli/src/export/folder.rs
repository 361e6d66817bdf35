//! Where a recording's files go, what they are called, and the copying of stream bytes into them.

use std::{
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use daleel_core::{CivilTime, Finding, FindingKind, Recording, Stream};
use sha2::{Digest, Sha256};

use super::{
    hashed::{Digested, HashedFile, hex},
    journal::WORK,
    records::{FileJson, FrameJson},
};

/// Bytes copied at a time.
const COPY_BYTES: u64 = 4 << 20;
/// How finely a failing read is narrowed down.
const FAILING_STEP_BYTES: u64 = 512;

/// The files of one recording below the output folder.
pub struct Folder<'a> {
    /// The output folder.
    pub out: &'a Path,
    /// The recording.
    pub recording: &'a Recording,
    /// File name extension of the recording's own stream, without the dot.
    pub native_extension: &'static str,
}

impl Folder<'_> {
    /// An unfinished file of a clip (`mp4`, `frames`); renamed when it is whole.
    pub fn part(&self, id: &str, what: &str) -> PathBuf {
        self.out.join(WORK).join(format!("{}.{what}.part", file_safe(id)))
    }

    /// Gives a finished part its name.
    ///
    /// # Errors
    /// When a file of that name exists, or the part cannot be moved.
    pub fn place(&self, id: &str, what: &str, relative: &str) -> Result<()> {
        let path = absolute(self.out, relative);
        if path.exists() {
            bail!("{} exists already", path.display());
        }
        fs::rename(self.part(id, what), &path).with_context(|| path.display().to_string())
    }

    /// Relative path without extension of a clip's files.
    pub fn stem(&self, id: &str, channel: Option<u32>, start: Option<CivilTime>) -> String {
        let channel = channel.map_or("chxx".to_owned(), |channel| format!("ch{channel:02}"));
        let time = start.map_or("undated".to_owned(), |start| {
            start.to_string().replace([':', '-'], "").replace('T', "_")
        });
        format!("clips/{channel}_{time}_{}", file_safe(id))
    }

    /// Relative path of a native file.
    pub fn native(&self, stem: &str) -> String {
        format!("{stem}.{}", self.native_extension)
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    pub fn create(&self, relative: &str) -> Result<HashedFile> {
        let path = absolute(self.out, relative);
        HashedFile::create(&path).with_context(|| path.display().to_string())
    }

    /// Removes the files of an abandoned recording.
    pub fn remove(&self, files: &[FileJson]) {
        for file in files {
            // What cannot be removed is refused by the next run.
            let _ = fs::remove_file(absolute(self.out, &file.path));
        }
        let Ok(entries) = fs::read_dir(self.out.join(WORK)) else { return };
        for entry in entries.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "part") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Copies logical ranges of a stream, in order. Gives what could not be read: nothing stands in for it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn copy(
        &self,
        stream: &Stream,
        relative: &str,
        ranges: &[Range<u64>],
    ) -> Result<(Digested, Vec<Finding>)> {
        let mut out = self.create(relative)?;
        let mut findings = Vec::new();
        for whole in ranges.iter().flat_map(|range| stream.map.map(range.clone())) {
            let (mut done, mut limit) = (0, COPY_BYTES);
            while let Some(piece) = whole
                .slice(done, whole.len().saturating_sub(done).min(limit))
                .filter(|piece| !piece.is_empty())
            {
                match stream.source.read(piece) {
                    Ok(bytes) => out.write_all(&bytes)?,
                    // In small steps, so that only what cannot be read is lost.
                    Err(_) if piece.len() > FAILING_STEP_BYTES => {
                        limit = FAILING_STEP_BYTES;
                        continue;
                    }
                    Err(error) => findings.push(Finding::at(
                        FindingKind::Hole,
                        piece,
                        format!("{relative}: {} bytes are left out: {error}", piece.len()),
                    )),
                }
                done = done.saturating_add(piece.len());
            }
        }
        Ok((out.finish()?, findings))
    }

    /// Writes a frames file.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn frames_file(
        &self,
        relative: &str,
        frames: impl Iterator<Item = FrameJson>,
    ) -> Result<FileJson> {
        let mut out = self.create(relative)?;
        for frame in frames {
            serde_json::to_writer(&mut out, &frame)?;
            out.write_all(b"\n")?;
        }
        Ok(file(relative, out.finish()?))
    }
}

/// The record of a written file.
pub fn file(relative: &str, digest: Digested) -> FileJson {
    FileJson { path: relative.to_owned(), sha256: digest.sha256, bytes: digest.bytes }
}

/// A relative path of a record as a path of this system.
pub fn absolute(out: &Path, relative: &str) -> PathBuf {
    relative.split('/').fold(out.to_owned(), |path, part| path.join(part))
}

/// An id as a part of a file name: odd characters replaced, and made unique again where that happened.
fn file_safe(id: &str) -> String {
    const LENGTH_MAX: usize = 100;
    let safe: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '_' })
        .take(LENGTH_MAX)
        .collect();
    if safe == id {
        return safe;
    }
    let digest = hex(&Sha256::digest(id.as_bytes()));
    format!("{safe}-{}", digest.get(..12).unwrap_or(&digest))
}
