//! Writer of DHFS 4.1 disks.
//!
//! Facts: `docs/formats/dahua.md`, section 1 (disk map) and section 12 (where readings differ). The
//! records of the disk are in one module each; [`DiskPlan`] says what a disk holds and
//! [`write_disk`] lays it out in the order of recording time, as a recorder does.

mod boot;
mod damage;
mod descriptor;
mod geometry;
mod index;
mod log;
mod plan;
mod recording;
mod write;

pub use boot::{BOOT_COPY, BootValues, DESCRIPTOR_SECTOR, Layout, boot_sector};
pub use damage::{Damage, DescriptorEdit, FrameEdit};
pub use descriptor::{DESCRIPTOR_BYTES, Descriptor, RESERVED};
pub use geometry::{
    BOOT_SECTOR, Generation, Span, TABLE_SECTORS, partition_spans, partition_table, superblock,
};
pub use index::{IndexEntry, IndexStyle, build as build_index};
pub use log::{LogLine, log_area};
pub use plan::{DiskPlan, Open, Padding, PartitionPlan, RecordingPlan};
pub use recording::index_entries;
pub use write::{WrittenDisk, write_disk};

/// Bytes in a sector.
pub const SECTOR: usize = 512;
/// The marker that ends several structures.
pub const MARKER: [u8; 4] = [0xAA, 0x55, 0xAA, 0x55];

/// Stores a little-endian u32.
fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
