//! What the fuzz targets of `tests/fuzz` run: hostile bytes go in, and everything a reader says about them must hold.
//!
//! nothing panics, loops for ever or allocates by a number read from input.: what is reported lies in
//! the input and is counted once. Each body returns how much it reached (frames, units, partitions, holes), so
//! that the replay can tell a seed that tests something from one that is turned away at the door.

mod annexb;
mod checks;
mod dahua;
mod framing;
mod image;
pub mod mend;
pub mod sectors;

pub use annexb::annexb;
pub use dahua::{dahua_disk, dav_stream};
pub use framing::{CONTROL_BYTES, dhav_framing, hik_framing};
pub use image::{partitions, rescue_map};

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
    Target { name: "dahua_disk", run: dahua_disk },
    Target { name: "dav_stream", run: dav_stream },
    Target { name: "dhav_framing", run: dhav_framing },
    Target { name: "partitions", run: partitions },
    Target { name: "rescue_map", run: rescue_map },
];
