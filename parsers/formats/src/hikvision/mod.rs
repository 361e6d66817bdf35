//! Hikvision and the many brands that sell its recorders and cameras: raw recorder disks, SD cards, NAS shares, exported files.
//!
//! Facts: `docs/formats/hikvision.md`. Nothing on a medium names the brand. All three families of this folder share one stream parser: a block of a
//! disk, a segment of a card's file and an exported `.mp4` hold the same program stream with the vendor's descriptors.

mod assemble;
mod codecs;
mod codes;
mod dates;
mod describe;
mod descriptors;
mod encryption;
mod entry;
mod explain;
mod file;
mod files;
mod generation;
mod header;
mod index;
mod keyframes;
mod legible;
mod log;
mod marks;
mod master;
mod numbers;
mod pictures;
mod probe;
mod segments;
mod stream;
mod tail;
mod tree;
mod volume;

use daleel_core::{Family, Status};

pub use generation::Window;
pub use stream::{Bounds, HikParser};

/// Raw disks of recorders.
pub const DISK: Family = Family {
    name: probe::FAMILY,
    title: "raw disks of Hikvision recorders and rebrands (HIK.2011.03.08)",
    status: Status::Generated,
    probe: probe::probe,
    open: volume::open,
};

/// SD cards, cameras and network shares.
pub const FILES: Family = Family {
    name: files::FAMILY,
    title: "files of Hikvision SD cards, cameras and network shares (index00.bin, hivNNNNN.mp4)",
    status: Status::Generated,
    probe: files::probe,
    open: files::open,
};

/// Exported files and program streams.
pub const STREAM: Family = Family {
    name: file::FAMILY,
    title: "exported files and program streams of Hikvision recorders (IMKH), alone or in a folder",
    status: Status::Generated,
    probe: file::probe,
    open: file::open,
};

#[cfg(test)]
mod tests;
