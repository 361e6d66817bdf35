//! The field tables of `docs/formats/dahua.md`, for `daleel show`: offset, size, meaning and evidence of every field.

use Evidence::{Confirmed as C, Inferred as I, SingleSource as S, Unknown as U};
use daleel_core::Evidence;

pub use crate::fields::Spec;
use crate::fields::{
    Show,
    Show::{Bytes, Number, Text},
    number, row,
};

use super::describe::date_text;

/// 32-bit date.
const DATE: Show = Show::With(|raw| date_text(u32::try_from(number(raw)).unwrap_or(0)));

/// Section 1.1.
pub const SUPERBLOCK_PURPOSE: &str = "Names the file system. It holds no sizes: those are in the partition table and the boot sectors.";
/// Section 1.1.
#[rustfmt::skip]
pub const SUPERBLOCK: &[Spec] = &[
    row(0x00, 8, "signature", Text, C, "DHFS4.1; any other text here is another layout"),
    row(0x20, 43, "uuid", Text, C, "newer firmware; empty on earlier"),
    row(0x1F4, 4, "marker", Bytes, C, "AA 55 AA 55 on newer firmware; zero on earlier"),
];

/// Section 1.2.
pub const TABLE_PURPOSE: &str =
    "Lists the partitions. It stands at sector 30 with a copy at sector 62.";
/// Section 1.2.
#[rustfmt::skip]
pub const TABLE: &[Spec] = &[
    row(0x28, 4, "unknown_28", Number, U, "last partition index, or count - 1"),
    row(0x2C, 4, "unknown_2c", Number, U, "1 on the disk seen"),
    row(0x30, 4, "unknown_30", Number, U, "3 on the disk seen"),
    row(0x130, 4, "generation", Number, S, "0 or 1; shares its bytes with the fourth entry"),
    row(0x134, 4, "marker", Bytes, C, "AA 55 AA 55 behind the fourth entry"),
];
/// Section 1.2.
pub const TABLE_ENTRY_PURPOSE: &str = "One partition.";
/// Section 1.2.
#[rustfmt::skip]
pub const TABLE_ENTRY: &[Spec] = &[
    row(0x08, 4, "boot sector", Number, C, "relative to the partition start"),
    row(0x1C, 4, "unknown_1c", Number, U, "1 on the disk seen"),
    row(0x24, 8, "start", Number, C, "absolute sector; 0 is legitimate for the first partition"),
    row(0x2C, 4, "length", Number, C, "sectors"),
    row(0x30, 4, "length, high half", Number, I, "zero so far; believed only where the partition then fits the disk"),
];

/// Section 1.3.
pub const BOOT_PURPOSE: &str = "States the partition's sizes: everything else is computed from it. Sector numbers count from the partition start.";
/// Section 1.3.
#[rustfmt::skip]
pub const BOOT: &[Spec] = &[
    row(0x08, 4, "restarts", Number, I, "probably how often the ring entered this partition"),
    row(0x0C, 4, "unknown_0c", Number, U, "85 on the disks seen"),
    row(0x10, 4, "earliest recording", DATE, C, "begin of the earliest head descriptor"),
    row(0x14, 4, "latest recording", DATE, C, "within two seconds of the latest end"),
    row(0x18, 4, "last cluster", Number, C, "highest or last written cluster"),
    row(0x2C, 4, "bytes per sector", Number, C, "512; other values are refused"),
    row(0x30, 4, "sectors per cluster", Number, C, "4096 (2 MiB) on the disks seen"),
    row(0x38, 4, "reserved clusters", Number, C, "the first cluster that can hold video"),
    row(0x3C, 4, "unknown_3c", Number, U, "a little before the data area"),
    row(0x40, 4, "own sector", Number, I, "the number of this sector"),
    row(0x44, 4, "descriptor table", Number, C, "first sector of 32-byte descriptors, one a cluster"),
    row(0x48, 4, "data area", Number, C, "first sector of cluster 0; verified with the DHII indexes before use"),
    row(0x4C, 4, "clusters", Number, C, "and descriptors"),
    row(0x54, 4, "drive type", Number, I, "equals the log line SetDriverType"),
    row(0x58, 4, "reserved area 1, start", Number, I, "sectors"),
    row(0x5C, 4, "reserved area 1, slots", Number, I, "how many"),
    row(0x60, 4, "reserved area 1, slot size", Number, I, "bytes"),
    row(0x64, 4, "unknown_64", Number, U, "not understood"),
    row(0x68, 4, "unknown_68", Number, U, "not understood"),
    row(0x70, 4, "unknown_70", Number, U, "equals the last cluster on one disk"),
    row(0x74, 4, "unknown_74", Number, U, "equals the last cluster on one disk"),
    row(0x78, 8, "stale pointers", Bytes, I, "memory addresses of the recorder, no meaning on disk"),
    row(0x88, 4, "unknown_88", Number, U, "not understood"),
    row(0x90, 4, "reserved area 2, start", Number, I, "not understood"),
    row(0x94, 4, "reserved area 2, sectors", Number, I, "not understood"),
    row(0x9C, 4, "unknown structure", Number, I, "its sector"),
    row(0xA8, 8, "stale pointers", Bytes, I, "as above"),
    row(0xB8, 4, "reserved area 3, start", Number, I, "not understood"),
    row(0xBC, 4, "reserved area 3, sectors", Number, I, "not understood"),
    row(0xEC, 4, "unknown date", DATE, U, "not the begin of the log"),
    row(0xF0, 4, "boot sector copy", Number, C, "66 on the disks seen"),
    row(0xF4, 4, "unknown structure, copy", Number, I, "its sector"),
    row(0xF8, 4, "log area", Number, C, "first sector of the text log"),
    row(0xFC, 4, "log area, sectors", Number, I, "not understood"),
    row(0x100, 4, "reserved area 4, start", Number, I, "not understood"),
    row(0x104, 4, "reserved area 4, sectors", Number, I, "not understood"),
    row(0x10C, 4, "reserved area 5, start", Number, I, "not understood"),
    row(0x110, 4, "reserved area 5, sectors", Number, I, "not understood"),
    row(0x114, 4, "large reserved area, start", Number, I, "not understood"),
    row(0x118, 4, "large reserved area, sectors", Number, I, "8 GiB up to the first video cluster on one disk"),
    row(0x11C, 4, "unknown_11c", Number, U, "not understood"),
    row(0x148, 4, "marker", Bytes, C, "AA 55 AA 55"),
];

/// Section 1.4.
pub const DESCRIPTOR_PURPOSE: &str = "Says what one cluster holds and where its recording goes on.";
/// Section 1.4.
#[rustfmt::skip]
pub const DESCRIPTOR: &[Spec] = &[
    row(0x00, 1, "type", Number, C, "0 free, 1 head, 2 continuation, 3 also a head (single source), 254 reserved"),
    row(0x01, 1, "channel", Bytes, C, "low half: channel from 0; the high half is not understood"),
    row(0x02, 2, "count", Number, C, "head: number of continuations; continuation: its place from 1"),
    row(0x04, 4, "begin", DATE, C, "head: of the recording; continuation: of the cluster, or of the recording"),
    row(0x08, 4, "end", DATE, C, "as begin; not after it when the recording was not closed"),
    row(0x0C, 4, "next cluster", Number, C, "0 or 4294967295 ends the chain"),
    row(0x10, 4, "sectors used in the last cluster", Number, C, "bytes behind them belong to an older recording"),
    row(0x14, 4, "previous cluster", Number, C, "0 in a head"),
    row(0x18, 4, "head", Number, C, "head: own number; continuation: number of its head"),
    row(0x1C, 1, "unknown_1c", Number, U, "not understood"),
    row(0x1D, 1, "flags", Bytes, S, "bit 0: the extended channel is valid"),
    row(0x1E, 1, "unknown_1e", Number, U, "not understood"),
    row(0x1F, 1, "extended channel", Number, S, "low five bits: channel from 1"),
];

/// Section 1.7.
pub const LOG_PURPOSE: &str =
    "Header of the recorder's text log; the text follows 1024 bytes later.";
/// Section 1.7.
#[rustfmt::skip]
pub const LOG: &[Spec] = &[
    row(0x00, 4, "text length", Number, C, "bytes; whether the headers count is unresolved"),
    row(0x08, 4, "lines", Number, S, ""),
    row(0x1FC, 4, "marker", Bytes, C, "AA 55 AA 55"),
];

/// Section 1.6.
pub const INDEX_PURPOSE: &str =
    "Begins a recording: a list of its key frames. The first frame follows at the index length.";
/// Section 1.6.
#[rustfmt::skip]
pub const INDEX: &[Spec] = &[
    row(0x00, 4, "magic", Text, C, "DHII"),
    row(0x04, 4, "index length", Number, C, "bytes; the first frame of the recording follows (inferred)"),
    row(0x08, 4, "headers", Number, C, "how many follow"),
    row(0x0C, 4, "header 0, type", Number, S, "1 key frames (confirmed), 3 JPEG, 4 JSON, 6 unknown"),
    row(0x10, 4, "header 0, offset", Number, C, "of the first entry"),
    row(0x14, 4, "header 0, bytes", Number, C, "of the entries"),
];
/// Section 1.6.
pub const INDEX_ENTRY_PURPOSE: &str = "One key frame of the recording.";
/// Section 1.6.
#[rustfmt::skip]
pub const INDEX_ENTRY: &[Spec] = &[
    row(0x00, 4, "offset", Number, C, "of the frame in the joined recording; 4294967295 is empty"),
    row(0x04, 4, "length", Number, C, "equals the length in the frame's header"),
    row(0x08, 4, "date", DATE, C, ""),
];

/// Section 3.1.
pub const DHAV_PURPOSE: &str =
    "One frame, or a part of a very long one: header, tags, payload, trailer.";
/// Section 3.1.
#[rustfmt::skip]
pub const DHAV: &[Spec] = &[
    row(0x00, 4, "magic", Text, C, "DHAV"),
    row(0x04, 1, "type", Bytes, C, "FD key frame, FC P, F0 audio, F1 auxiliary; FE B and FB JPEG by a single source"),
    row(0x05, 1, "subtype", Number, S, "of auxiliary units"),
    row(0x06, 1, "channel", Number, C, "from 0, within the stream only: the recorder's channel is in the descriptor"),
    row(0x07, 1, "sub-frame", Number, S, "parts of a very long frame count down to 0"),
    row(0x08, 4, "frame number", Number, C, "one counter per kind"),
    row(0x0C, 4, "length", Number, C, "of the whole unit"),
    row(0x10, 4, "date", DATE, C, "whole seconds of the recorder's, or the camera's, clock"),
    row(0x14, 2, "milliseconds", Number, C, "a counter that wraps at 65536; not aligned to the second"),
    row(0x16, 1, "tag length", Number, C, "bytes of tags between header and payload"),
    row(0x17, 1, "checksum", Bytes, C, "sum of the 23 bytes before it"),
];
