//! The field tables of section 9 of `docs/formats/hikvision.md`, for `daleel show`: offset, size, meaning and evidence of every field.

use Evidence::{Confirmed as C, Inferred as I, SingleSource as S, Unknown as U};
use daleel_core::{CivilTime, Evidence};

pub use crate::fields::Spec;
use crate::fields::{
    Show,
    Show::{Bytes, Number, Text},
    number, row,
};

/// Seconds of the recorder's clock.
const SECONDS: Show = Show::With(|raw| time_text(number(raw), 0));
/// Seconds and microseconds, 4 bytes each.
const STAMP: Show = Show::With(|raw| {
    let (seconds, rest) = raw.split_at_checked(4).unwrap_or((raw, &[]));
    time_text(number(seconds), number(rest))
});

fn time_text(seconds: u64, microseconds: u64) -> String {
    if seconds == 0 {
        return "none (0)".to_owned();
    }
    let milliseconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let part = i64::try_from(microseconds / 1000).unwrap_or(0);
    format!(
        "{} recorder time ({seconds} s, {microseconds} us)",
        CivilTime::from_millis(milliseconds.saturating_add(part))
    )
}

/// Section 9.1.
pub const HEADER_PURPOSE: &str =
    "Opens a binary index: how many media files it speaks of and which are being written.";
/// Section 9.1.
#[rustfmt::skip]
pub const HEADER: &[Spec] = &[
    row(0x000, 8, "modification counter", Number, C, "grows with every change of the index"),
    row(0x008, 4, "version", Number, C, "2 or 3"),
    row(0x00C, 4, "files", Number, C, "number of preallocated media files"),
    row(0x010, 4, "next file", Number, C, "the file that is used next"),
    row(0x014, 4, "current file", Number, C, "the file being written, or written last"),
    row(0x4FC, 4, "checksum", Bytes, U, "algorithm not known; not checked"),
];

/// Section 9.1.
pub const SLOT_PURPOSE: &str = "What one channel is writing. Its position is the channel; it replaces the entry of the file table, which is of the earlier pass until the file is closed.";
/// Section 9.1.
#[rustfmt::skip]
pub const SLOT: &[Spec] = &[
    row(0x00, 2, "file", Number, C, "FFFF when the channel is idle"),
    row(0x02, 2, "segment", Number, C, "record being written"),
    row(0x04, 4, "start", SECONDS, C, "begin of the file's first segment"),
    row(0x08, 4, "end", SECONDS, C, "end of the last closed segment"),
    row(0x0C, 12, "unknown_0c", Bytes, U, "0, 1, 0 on the card seen"),
];

/// Section 9.1.
pub const FILE_PURPOSE: &str =
    "One media file. Records behind the last valid one are of earlier passes.";
/// Section 9.1.
#[rustfmt::skip]
pub const FILE: &[Spec] = &[
    row(0x00, 4, "number", Number, C, "equal to its position"),
    row(0x04, 2, "channel", Number, C, "FFFF when never used"),
    row(0x06, 2, "last segment", Number, C, "last valid record, so one less than their number; FFFF for none"),
    row(0x08, 4, "start", SECONDS, C, "begin of the first segment"),
    row(0x0C, 4, "end", SECONDS, C, "end of the last segment"),
    row(0x10, 1, "status", Number, S, "0 normal, 1 protected (dash cams), 2 picture"),
    row(0x11, 1, "unknown_11", Number, U, "0 on the card seen"),
    row(0x12, 2, "locked segments", Number, S, "how many are protected"),
    row(0x14, 4, "unknown_14", Bytes, U, "mostly 0"),
    row(0x18, 8, "info types", Bytes, S, "bitmap; 01 on the card seen"),
];

/// Section 9.1.
pub const RECORD_PURPOSE: &str = "One segment of a media file: its times, its bytes, and where its key-frame records (OFNI) lie at the end of the file.";
/// Section 9.1.
#[rustfmt::skip]
pub const RECORD: &[Spec] = &[
    row(0x00, 1, "type", Number, S, "why it was recorded; 03 motion, 0D on the card seen"),
    row(0x01, 1, "status", Number, S, ""),
    row(0x02, 2, "unknown_02", Bytes, U, "85 01 on the card seen"),
    row(0x04, 4, "resolution", Number, U, "code of picture size and coding; 62h on the card seen"),
    row(0x08, 8, "start", STAMP, C, "seconds and microseconds"),
    row(0x10, 8, "end", STAMP, C, "zero while the segment is being written"),
    row(0x18, 8, "first key frame", STAMP, C, "its time"),
    row(0x20, 4, "first stamp", Number, C, "stream time of the first key frame, 45 kHz: half its PTS"),
    row(0x24, 4, "last stamp", Number, C, "stream time of the last frame, 45 kHz"),
    row(0x28, 4, "start offset", Number, C, "first byte in the media file, a multiple of 4000h"),
    row(0x2C, 4, "end offset", Number, C, "one past the last byte"),
    row(0x30, 4, "unknown_30", Bytes, S, "the second byte is the frame rate on dash cams"),
    row(0x34, 4, "unknown_34", Bytes, S, "0, or OFNI with some firmware"),
    row(0x38, 8, "info types", Bytes, S, ""),
    row(0x40, 4, "info start", SECONDS, C, "equal to the start"),
    row(0x44, 4, "info end", SECONDS, C, "equal to the end"),
    row(0x48, 4, "key-frame run, upper", Number, C, "one past the run; runs go downwards from the end of the file"),
    row(0x4C, 4, "key-frame run, lower", Number, C, "its first byte; (upper - lower) / 56 key frames"),
    row(0x50, 16, "unknown_50", Bytes, U, "picture indexes only"),
];

/// Section 4.1.
pub const RUN_PURPOSE: &str = "A key-frame record at the end of the media file.";
/// Section 4.1.
#[rustfmt::skip]
pub const RUN: &[Spec] = &[
    row(0x00, 4, "signature", Text, C, "OFNI"),
    row(0x04, 4, "length", Number, C, "56"),
    row(0x08, 4, "unknown_08", Bytes, U, ""),
    row(0x0C, 4, "frame number", Number, C, ""),
    row(0x10, 2, "channel", Bytes, S, "one byte at 10h, or both big-endian: the sources differ"),
    row(0x12, 2, "unknown_12", Bytes, U, ""),
    row(0x14, 4, "unknown_14", Number, S, "an offset, or a 45 kHz stamp"),
    row(0x18, 4, "time", SECONDS, C, "of the key frame"),
    row(0x1C, 4, "unknown_1c", Number, I, "probably microseconds"),
    row(0x20, 4, "unknown_20", Number, U, ""),
    row(0x24, 4, "offset", Number, C, "of the key frame's pack in the media file"),
    row(0x28, 4, "unknown_28", Number, U, "perhaps the frame's length or end"),
    row(0x2C, 12, "unknown_2c", Bytes, U, ""),
];

/// Section 9.0.
pub const INFO_PURPOSE: &str =
    "Names the camera that writes to a share, and how many data folders it has.";
/// Section 9.0.
#[rustfmt::skip]
pub const INFO: &[Spec] = &[
    row(0x00, 48, "serial", Text, C, "of the camera"),
    row(0x30, 6, "MAC address", Bytes, C, ""),
    row(0x36, 2, "reserved", Bytes, C, ""),
    row(0x38, 4, "block size", Number, C, "of the share's file system"),
    row(0x3C, 4, "blocks", Number, C, "of the share's file system"),
    row(0x40, 4, "data folders", Number, C, "datadir0, datadir1, ..."),
];
