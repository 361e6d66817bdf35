//! The system log of a card: `logCurFile.bin` and `logMainFile.bin`.
//!
//! Facts: `docs/formats/hikvision.md`, sections 10.1 (sizes of files, headers and chunks) and 10.2 (records).

use super::facts::FileRole;
use super::folder::Folder;
use crate::Error;
use crate::hikvision::log::{CHUNK_BYTES, LogLine, log_area};
use crate::image::Image;
use crate::truth::LogRecord;

/// The log files of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardLogs {
    /// Folder of the files, with a `/` at its end; empty for the root.
    pub folder: String,
    /// Records of the log in use.
    pub current: Vec<LogLine>,
    /// Records of the log that keeps what matters.
    pub main: Vec<LogLine>,
}

/// One of the two files.
struct LogFile {
    name: &'static str,
    /// Number of the log area that it stands for.
    area: u8,
    header: usize,
    chunks: u32,
}

const CURRENT: LogFile = LogFile { name: "logCurFile.bin", area: 2, header: 0x800, chunks: 250 };
const MAIN: LogFile = LogFile { name: "logMainFile.bin", area: 1, header: 0x1060, chunks: 500 };

impl CardLogs {
    /// Adds both files.
    ///
    /// # Errors
    /// [`Error::Plan`] when the records do not fit.
    pub(super) fn put_into(&self, folder: &mut Folder) -> Result<(), Error> {
        for (file, lines) in self.files() {
            let mut image = Image::new(file.header as u64 + u64::from(file.chunks) * CHUNK_BYTES);
            for (offset, bytes) in log_area(file.header, file.chunks, lines, true) {
                image.write(offset, &bytes)?;
            }
            folder.insert(self.path(&file), FileRole::Log, image);
        }
        Ok(())
    }

    fn files(&self) -> [(LogFile, &[LogLine]); 2] {
        [(CURRENT, &self.current), (MAIN, &self.main)]
    }

    fn path(&self, file: &LogFile) -> String {
        format!("{}{}", self.folder, file.name)
    }

    /// The truth about every record, as the folder is now.
    pub(super) fn facts(&self, folder: &Folder) -> Vec<LogRecord> {
        let mut facts = Vec::new();
        for (file, lines) in self.files() {
            let path = self.path(&file);
            let parts = log_area(file.header, file.chunks, lines, false);
            facts.extend(lines.iter().zip(parts).map(|(line, (offset, bytes))| LogRecord {
                file: Some(path.clone()),
                intact: folder.read(&path, [offset, bytes.len() as u64]) == Some(bytes),
                ..line.fact_at(file.area, offset)
            }));
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_the_sizes_of_a_real_card() {
        let mut folder = Folder::default();
        CardLogs::default().put_into(&mut folder).unwrap();
        assert_eq!(folder.get("logCurFile.bin").unwrap().len(), 16_002_048);
        assert_eq!(folder.get("logMainFile.bin").unwrap().len(), 32_004_192);
    }
}
