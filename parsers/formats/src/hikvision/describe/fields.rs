//! The field tables of `docs/formats/hikvision.md` for the structures of a disk: offset, size, meaning and evidence of every field.

use Evidence::{Confirmed as C, Inferred as I, SingleSource as S, Unknown as U};
use daleel_core::Evidence;

pub use crate::fields::Spec;
use crate::{
    fields::{
        Show,
        Show::{Bytes, Number, Text},
        number, row,
    },
    hikvision::entry,
};

/// Seconds of the recorder's clock; the values that mean "no time" are said to.
const TIME: Show = Show::With(|raw| {
    let seconds = u32::try_from(number(raw)).unwrap_or(u32::MAX);
    entry::time(seconds).map_or_else(
        || format!("no time (0x{seconds:x})"),
        |time| format!("{} (recorder time)", time.to_seconds_text()),
    )
});

/// Section 2.
pub const MASTER_PURPOSE: &str = "Points at everything else on the disk: logs, video area, and the two copies of the index tree. A copy stands between the logs and the video area.";
/// Section 2.
#[rustfmt::skip]
pub const MASTER: &[Spec] = &[
    row(0x00, 4, "unknown_00", Bytes, U, "possibly a checksum"),
    row(0x10, 18, "signature", Text, C, "HIKVISION@HANGZHOU on the disks of all brands"),
    row(0x30, 16, "version", Text, C, "of the file system; only HIK.2011.03.08 was ever published"),
    row(0x40, 8, "unknown_40", Bytes, S, "zero on the disks seen"),
    row(0x48, 8, "capacity", Number, C, "bytes of the disk"),
    row(0x50, 8, "log area 1", Number, C, "offset"),
    row(0x58, 8, "log area 1, size", Number, C, "bytes"),
    row(0x60, 8, "log area 2", Number, C, "offset; the end of area 1"),
    row(0x68, 8, "log area 2, size", Number, C, "bytes"),
    row(0x70, 8, "unknown_70", Number, S, "1 by one reading (the number of data areas?), 0 by the other"),
    row(0x78, 8, "video area", Number, C, "offset of the first block"),
    row(0x80, 8, "video area, size", Number, C, "blocks times block size; 0 by the second reading"),
    row(0x88, 8, "block size", Number, C, "bytes; 1 GiB on the disks seen"),
    row(0x90, 4, "blocks", Number, C, "how many"),
    row(0x94, 4, "unknown_94", Bytes, U, "the upper half of the number, if it has one"),
    row(0x98, 8, "tree 1", Number, C, "offset of the first copy of the index"),
    row(0xA0, 4, "tree 1, size", Number, C, "bytes"),
    row(0xA4, 4, "unknown_a4", Bytes, U, "the upper half of the size, if it has one"),
    row(0xA8, 8, "tree 2", Number, C, "offset of the second copy of the index"),
    row(0xB0, 4, "tree 2, size", Number, C, "bytes"),
    row(0xB4, 4, "unknown_b4", Bytes, U, "the upper half of the size, if it has one"),
    row(0xB8, 0x38, "unknown_b8", Bytes, U, "further pointers near the end of the disk"),
    row(0xF0, 4, "initialised", TIME, C, "last initialisation; footage with earlier times proves that there was one. Whether it is local time is not settled"),
    row(0xF4, 12, "unknown_f4", Bytes, S, "zero on the disks seen"),
];

/// Section 3.1.
pub const TREE_PURPOSE: &str = "Header of one of the two copies of the index: where its page list, its leaves and its footer are. Pointers count from the start of the disk, or of the file.";
/// Section 3.1.
#[rustfmt::skip]
pub const TREE: &[Spec] = &[
    row(0x00, 4, "node type", Number, S, "1"),
    row(0x04, 4, "unknown_04", Number, U, "a sequence number or a checksum"),
    row(0x08, 4, "free blocks", Number, I, "probably"),
    row(0x10, 8, "signature", Text, C, "HIKBTREE"),
    row(0x20, 16, "version", Text, C, "of the tree; another one than the disk's"),
    row(0x34, 4, "node size", Number, C, "bytes"),
    row(0x38, 4, "unknown_38", Number, S, "2: the depth, or the number of copies"),
    row(0x3C, 4, "created", TIME, C, "a few seconds behind the initialisation of the disk"),
    row(0x40, 8, "footer", Number, C, "offset"),
    row(0x48, 8, "unknown_48", Number, U, "the same value as the footer's offset on the disks seen"),
    row(0x50, 8, "page list", Number, C, "offset of the root"),
    row(0x58, 8, "first leaf", Number, C, "offset"),
    row(0x60, 4, "nodes", Number, I, "of the tree, header, page list and footer included"),
    row(0x68, 4, "entries", Number, C, "one for each block"),
];

/// Section 3.2.
pub const LIST_PURPOSE: &str = "Page list: leads to the leaves. Its first leaf has no entry of its own, so it lists one leaf more than it has entries.";
/// Section 3.2.
pub const LEAF_PURPOSE: &str =
    "Leaf page: one entry of 48 bytes for each block, in the order of their start times.";
/// Section 3.2.
#[rustfmt::skip]
pub const NODE: &[Spec] = &[
    row(0x00, 4, "node type", Number, S, "of a leaf 2 by one reading, 0 by the other"),
    row(0x10, 4, "entries", Number, C, "in use; further ones may be left over from earlier"),
    row(0x14, 4, "bytes in use", Number, I, "96 + 48 for each entry"),
    row(0x18, 8, "left-most leaf", Number, C, "of a page list; not understood in a leaf"),
    row(0x20, 8, "next leaf", Number, C, "all bits set in the last one"),
    row(0x28, 0x38, "unknown_28", Bytes, U, "not understood"),
];

/// Section 3.3.
pub const LIST_ENTRY_PURPOSE: &str = "Entry of a page list: a leaf, and its first entry repeated.";
/// Section 3.4.
pub const ENTRY_PURPOSE: &str = "Index entry: what one block holds.";
/// Section 3.4.
#[rustfmt::skip]
pub const ENTRY: &[Spec] = &[
    row(0x00, 8, "child", Bytes, C, "all bits set in a leaf; the offset of a leaf in a page list"),
    row(0x08, 8, "state", Bytes, C, "0 in use, all bits set never used since initialisation"),
    row(0x10, 1, "channel, high byte", Number, S, "0; two readers take both bytes for one number"),
    row(0x11, 1, "channel", Number, C, "from 1; 255 belongs to no camera"),
    row(0x12, 1, "unknown_12", Number, U, "not understood"),
    row(0x13, 1, "record type", Number, S, "coding unknown"),
    row(0x14, 4, "unknown_14", Bytes, U, "not understood"),
    row(0x18, 4, "start", TIME, C, "local time of the recorder; no time while the block is being recorded"),
    row(0x1C, 4, "end", TIME, C, "as start"),
    row(0x20, 8, "block", Number, C, "offset of the block"),
    row(0x28, 4, "unknown_28", Number, U, "16 and 32 seen"),
    row(0x2C, 4, "unknown_2c", Number, U, "a small counter"),
];

/// Section 3.5.
pub const FOOTER_PURPOSE: &str =
    "Footer of the tree. A prefix of sixteen bytes may stand before its two fields.";
/// Section 3.5.
#[rustfmt::skip]
pub const FOOTER: &[Spec] = &[
    row(0x00, 8, "last leaf", Number, C, "offset, unless the prefix stands here"),
    row(0x08, 8, "end", Bytes, C, "all bits set, unless the prefix stands here"),
    row(0x10, 8, "last leaf, behind a prefix", Number, I, "if a prefix stands before it"),
    row(0x18, 8, "end, behind a prefix", Bytes, I, "if a prefix stands before it"),
];

/// Section 4.1.
pub const TAIL_PURPOSE: &str = "Record of the block's own index: one key frame. It proves that footage began there, and when; whether it is still there, the pack at its offset tells.";
/// Section 4.1.
#[rustfmt::skip]
pub const TAIL: &[Spec] = &[
    row(0x00, 4, "signature", Text, C, "OFNI"),
    row(0x04, 4, "size", Number, C, "56"),
    row(0x08, 4, "unknown_08", Bytes, U, "not understood"),
    row(0x0C, 4, "number", Number, C, "of the frame, or of the record"),
    row(0x10, 2, "channel", Bytes, S, "the first byte by one reading, the second by the other"),
    row(0x12, 2, "unknown_12", Bytes, U, "not understood"),
    row(0x14, 4, "unknown_14", Number, S, "the offset of another record, or a stamp of 45 kHz"),
    row(0x18, 4, "time", TIME, C, "of the key frame, local time of the recorder"),
    row(0x1C, 4, "microseconds", Number, I, "probably"),
    row(0x20, 4, "unknown_20", Number, U, "not understood"),
    row(0x24, 4, "offset", Number, C, "of the key frame's pack, from the start of the block"),
    row(0x28, 4, "unknown_28", Number, U, "perhaps a length or an end"),
    row(0x2C, 12, "unknown_2c", Bytes, U, "not understood"),
];

/// Section 4.2.
pub const DIRECTORY_HEAD_PURPOSE: &str = "Head of the directory that some firmware keeps 1 MiB before the end of a block; pages of one segment each follow.";
/// Section 4.2.
#[rustfmt::skip]
pub const DIRECTORY_HEAD: &[Spec] = &[
    row(0x0D, 1, "channel", Number, S, ""),
    row(0x18, 8, "block", Number, S, "offset of the block"),
    row(0x20, 4, "start", TIME, S, "local time of the recorder"),
    row(0x24, 4, "end", TIME, S, "local time of the recorder"),
];
/// Section 4.2.
pub const DIRECTORY_PAGE_PURPOSE: &str = "Page of the directory: one segment of the block.";
/// Section 4.2.
#[rustfmt::skip]
pub const DIRECTORY_PAGE: &[Spec] = &[
    row(0x0D, 1, "channel", Number, S, ""),
    row(0x28, 4, "start", TIME, S, "local time of the recorder"),
    row(0x30, 4, "end", TIME, S, "local time of the recorder"),
    row(0x6C, 4, "table 1", Number, S, "offset of records, from the start of the block"),
    row(0x70, 4, "table 2", Number, S, "offset of records, from the start of the block"),
];

/// Section 10.1.
pub const LOG_PURPOSE: &str =
    "Head of a log area: the ring of its chunks of 64000 bytes. Inferred; nothing is read by it.";
/// Section 10.1.
#[rustfmt::skip]
pub const LOG: &[Spec] = &[
    row(0x00, 4, "latest", TIME, I, "time of the latest event"),
    row(0x08, 4, "latest, again", TIME, I, "as before"),
    row(0x10, 4, "current chunk", Number, I, "the one being written"),
    row(0x14, 4, "oldest chunk", Number, I, ""),
];

/// Section 10.2.
pub const RECORD_PURPOSE: &str = "Record of the recorder's own log.";
/// Section 10.2.
#[rustfmt::skip]
pub const RECORD: &[Spec] = &[
    row(0x00, 4, "signature", Text, C, "RATS"),
    row(0x04, 4, "unknown_04", Number, C, "20, in older firmware 1"),
    row(0x08, 4, "time", TIME, C, "local time of the recorder"),
    row(0x0C, 2, "major", Number, C, "1 alarm, 2 exception, 3 operation, 4 information, 5 event"),
    row(0x0E, 2, "minor", Number, C, "what happened, within the class"),
    row(0x10, 16, "user", Text, C, "of operations and refused logins; of motion alarms the first byte is the channel"),
    row(0x20, 4, "address", Bytes, C, "IPv4, of operations"),
    row(0x24, 4, "address of a refused login", Bytes, C, "IPv4"),
    row(0x34, 1, "unknown_34", Number, U, "not zero in remote logins"),
    row(0x3C, 1, "disk number", Number, C, "of hard disk information"),
    row(0x40, 4, "info length", Number, I, "probably the bytes that follow"),
];
