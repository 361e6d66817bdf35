//! Dahua and recorders that run its firmware under other names: DHFS 4.1 disks and DHAV streams.
//!
//! Facts: `docs/formats/dahua.md`. Nothing on a disk names the brand. The stream parser is shared by both families of this folder: a
//! disk's joined clusters and a stand-alone `.dav` hold the same units.

mod base;
mod chain;
mod describe;
mod encryption;
mod fields;
mod file;
mod layout;
mod log;
mod partition;
mod payload;
mod probe;
mod split;
mod stream;
mod table;
mod tags;
mod time;
mod unit;
mod volume;

use daleel_core::{Family, Status};

pub use stream::{Bounds, DhavParser};
pub use tags::{Tag, Tags, tag_name};
pub use time::decode_date;

/// DHFS 4.1 disks.
pub const DISK: Family = Family {
    name: volume::FAMILY,
    title: "DHFS 4.1 disks of Dahua recorders and rebrands",
    status: Status::Generated,
    probe: probe::probe,
    open: volume::open,
};

/// Stand-alone DHAV streams.
pub const STREAM: Family = Family {
    name: file::FAMILY,
    title: "DHAV streams: .dav files, alone or in a folder",
    status: Status::Generated,
    probe: file::probe,
    open: file::open,
};

#[cfg(test)]
mod tests;
