//! From a path to bytes: raw, split raw and E01 images, block devices, folders, ddrescue maps, partition tables.
//!
//! [`open`] decides what a path is and gives a [`daleel_core::Input`]; [`volumes`] lists the places on a medium
//! where a recorder file system may begin. Every file is opened for reading only, and every read is positioned:
//! a failing disk under a memory map would deliver a signal instead of an error. What the image does not hold is a
//! hole with a reason, never zeros.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod device;
mod ewf;
mod files;
mod holes;
mod map;
mod open;
mod partition;
mod raw;
mod split;
mod split_names;
mod tree;

pub use device::Identity;
pub use ewf::{
    ChunkError, EwfError, EwfFinding, EwfSet, EwfSource, HeaderTime, HeaderValues, Segment,
    SegmentInput,
};
pub use map::{BlockState, MapError, MapStatus, MappedSource, RescueMap, map_beside};
pub use open::{OpenError, Opened, open, volumes};
pub use partition::{Partition, Scheme, read_partitions, read_partitions_with};
pub use raw::RawSource;
pub use split::{SplitLookup, SplitSource};
