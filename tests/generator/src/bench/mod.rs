//! Large disks and files for measuring speed and memory.
//!
//! They are written straight to sparse files and have no frame-by-frame truth, only counts.

mod hikvision;
mod long;
mod sparse;

pub use hikvision::{hikvision_long_disk, hikvision_long_stream, hikvision_sparse_disk};
pub use long::{long_dav, long_disk};
pub use sparse::sparse_disk;

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::civil::Moment;
use crate::dhfs::{
    BOOT_COPY, BOOT_SECTOR, BootValues, DESCRIPTOR_SECTOR, Generation, Layout, LogLine, RESERVED,
    SECTOR, Span, TABLE_SECTORS, boot_sector, log_area, partition_table, superblock,
};

/// What a benchmark file holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BenchFacts {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Recordings: index entries on a disk, 1 in a stream file.
    pub recordings: u64,
    /// Video frames.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Milliseconds of footage.
    pub milliseconds: u64,
}

/// A new file that is written at any offset.
struct Sink {
    file: File,
    path: PathBuf,
}

impl Sink {
    fn create(path: &Path, bytes: u64) -> Result<Sink, Error> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| Error::io("write", path, source))?;
        let sink = Sink { file, path: path.to_path_buf() };
        sink.set_len(bytes)?;
        Ok(sink)
    }

    fn set_len(&self, bytes: u64) -> Result<(), Error> {
        self.file.set_len(bytes).map_err(|source| Error::io("write", &self.path, source))
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(|source| Error::io("write", &self.path, source))
    }

    /// Superblock and partition tables.
    fn write_disk_head(&mut self, spans: &[Span]) -> Result<(), Error> {
        self.write(0, &superblock(&Generation::Early))?;
        TABLE_SECTORS
            .into_iter()
            .try_for_each(|sector| self.write(sector * SECTOR as u64, &partition_table(spans)))
    }

    /// Boot sectors, log, and the descriptor table from its first reserved entry on.
    fn write_partition_head(
        &mut self,
        span: Span,
        layout: &Layout,
        dates: Option<(Moment, Moment)>,
        descriptors: &[u8],
    ) -> Result<(), Error> {
        let used = descriptors.len() / RESERVED.len();
        let formatted = Moment::at((2018, 6, 6), (16, 0, 34));
        let values = BootValues {
            restarts: 1,
            earliest: dates.map(|dates| dates.0),
            latest: dates.map(|dates| dates.1),
            last_written: (layout.reserved as usize + used).saturating_sub(1) as u32,
            formatted,
            data_start_shift: 0,
        };
        let at = |sector: u32| (span.start + u64::from(sector)) * SECTOR as u64;
        for sector in [BOOT_SECTOR, BOOT_COPY] {
            self.write(at(sector), &boot_sector(layout, &values))?;
        }
        let (log, _) = log_area(&[LogLine::operation(formatted, "format")]);
        self.write(at(layout.log().0), &log)?;
        let mut table = RESERVED.repeat(layout.reserved as usize);
        table.extend(descriptors);
        self.write(at(DESCRIPTOR_SECTOR), &table)
    }
}

/// First byte of a cluster.
fn cluster_offset(span: Span, layout: &Layout, cluster: u32) -> u64 {
    let spc = u64::from(layout.sectors_per_cluster);
    (span.start + u64::from(layout.data_start) + u64::from(cluster) * spc) * SECTOR as u64
}
