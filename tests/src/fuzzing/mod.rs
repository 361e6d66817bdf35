//! What the fuzz targets of `tests/fuzz` run: hostile bytes go in, and everything a reader says about them must hold.
//!
//! nothing panics, loops for ever or allocates by a number read from input.: what is reported lies in
//! the input and is counted once. Each body returns how much it reached (frames, units, partitions, holes, answered commands), so
//! that the replay can tell a seed that tests something from one that is turned away at the door.

mod annexb;
pub mod blocker;
mod checks;
mod ewf;
mod families;
mod framing;
mod image;
mod log;
pub mod mend;
mod program_stream;
pub mod sectors;

pub use annexb::annexb;
pub use blocker::{wb_cdb, wb_drive, wb_host, wb_statement};
pub use ewf::{ewf, mend_ewf};
pub use families::{dav_stream, disk, hikvision_files, hikvision_stream};
pub use framing::{CONTROL_BYTES, dhav_framing, hik_framing};
pub use image::{partitions, rescue_map};
pub use log::{CONTROL_BYTES as LOG_CONTROL_BYTES, hik_log};
pub use program_stream::{LENGTHS, program_stream};

/// A fuzz target: its name, which is also that of its folders of seeds and crashes, and its body.
pub struct Target {
    /// Name.
    pub name: &'static str,
    /// Body; panics where something does not hold, and gives a count of what was reached.
    pub run: fn(&[u8]) -> u64,
}

/// All targets; `tests/fuzz/Cargo.toml` lists the same.
pub const TARGETS: &[Target] = &[
    Target { name: "annexb", run: annexb },
    Target { name: "dahua_disk", run: disk },
    Target { name: "dav_stream", run: dav_stream },
    Target { name: "dhav_framing", run: dhav_framing },
    Target { name: "ewf", run: ewf },
    Target { name: "hik_framing", run: hik_framing },
    Target { name: "hik_log", run: hik_log },
    Target { name: "hikvision_disk", run: disk },
    Target { name: "hikvision_files", run: hikvision_files },
    Target { name: "hikvision_stream", run: hikvision_stream },
    Target { name: "partitions", run: partitions },
    Target { name: "program_stream", run: program_stream },
    Target { name: "rescue_map", run: rescue_map },
    Target { name: "wb_cdb", run: wb_cdb },
    Target { name: "wb_drive", run: wb_drive },
    Target { name: "wb_host", run: wb_host },
    Target { name: "wb_statement", run: wb_statement },
];
