//! `image.log`: what happened, in plain lines, beside the image.
//!
//! Each line has the time in UTC and the time since this run began by a clock that nobody sets (U-9). Lines are only ever added. The
//! operator's words do not get here.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
    time::Instant,
};

use crate::record::now;

/// Its file in an image's folder.
pub const FILE: &str = "image.log";

/// An open log; threads share it.
pub struct Log {
    file: Mutex<File>,
    began: Instant,
}

impl Log {
    /// Begins a log, or goes on with the one that is there.
    ///
    /// # Errors
    /// When it cannot be written, or is there and `resume` is not set.
    pub fn open(folder: &Path, resume: bool) -> io::Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().append(true).create_new(!resume).open(path)?;
        Ok(Self { file: Mutex::new(file), began: Instant::now() })
    }

    /// Adds a line. Line breaks and control characters in it are escaped.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&self, text: &str) -> io::Result<()> {
        let since = self.began.elapsed();
        let text: String = text
            .chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default());
                let plain = (!c.is_control()).then_some(c);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect();
        let line = format!("{} +{}.{:03}s {text}\n", now(), since.as_secs(), since.subsec_millis());
        match self.file.lock() {
            Ok(mut file) => file.write_all(line.as_bytes()),
            Err(_) => Err(io::Error::other("another thread failed while it wrote to the log")),
        }
    }
}
