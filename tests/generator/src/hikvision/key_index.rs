//! Records of the key-frame index (OFNI) and the block directory of tail variant B.
//!
//! Facts: `docs/formats/hikvision.md`, sections 4.1, 4.2 and 17.

use crate::civil::Moment;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 56;
/// Bytes of the directory at the end of a block in tail variant B.
pub const DIRECTORY_BYTES: u64 = 0x10_0000;
/// Bytes of the header and of every page of the directory.
pub const DIRECTORY_PAGE: usize = 512;

/// A record of the key-frame index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRecord {
    /// Picture counter.
    pub number: u32,
    /// Channel, from 1.
    pub channel: u8,
    /// Time; whole seconds and microseconds.
    pub time: Moment,
    /// Presentation time in units of 1/90000 s; stored in units of 1/45000 s.
    pub pts: u64,
    /// First byte of the pack, from the start of the block or file.
    pub offset: u32,
    /// Bytes of the frame with its pack header.
    pub length: u32,
}

impl KeyRecord {
    /// The 56 bytes; `wide_channel` stores the channel as big-endian 16 bits.
    pub fn encode(&self, wide_channel: bool) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(b"OFNI");
        let micros = self.time.fields().millisecond * 1000;
        bytes[0x10 + usize::from(wide_channel)] = self.channel;
        for (at, value) in [
            (0x04, RECORD_BYTES as u32),
            (0x0C, self.number),
            (0x14, (self.pts >> 1) as u32),
            (0x18, self.time.unix_seconds()),
            (0x1C, micros),
            (0x24, self.offset),
            (0x28, self.length),
        ] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

/// Header of a block directory.
pub fn directory_header(
    channel: u8,
    block_offset: u64,
    times: (Moment, Moment),
) -> [u8; DIRECTORY_PAGE] {
    let mut bytes = [0; DIRECTORY_PAGE];
    bytes[0x0D] = channel;
    bytes[0x18..0x20].copy_from_slice(&block_offset.to_le_bytes());
    bytes[0x20..0x24].copy_from_slice(&times.0.unix_seconds().to_le_bytes());
    bytes[0x24..0x28].copy_from_slice(&times.1.unix_seconds().to_le_bytes());
    bytes
}

/// Page of a segment in a block directory; `records` are the bounds of its key-frame index, from
/// the start of the block.
pub fn directory_page(
    channel: u8,
    times: (Moment, Moment),
    records: (u32, u32),
) -> [u8; DIRECTORY_PAGE] {
    let mut bytes = [0; DIRECTORY_PAGE];
    bytes[0x0D] = channel;
    bytes[0x28..0x2C].copy_from_slice(&times.0.unix_seconds().to_le_bytes());
    bytes[0x30..0x34].copy_from_slice(&times.1.unix_seconds().to_le_bytes());
    bytes[0x6C..0x70].copy_from_slice(&records.0.to_le_bytes());
    bytes[0x70..0x74].copy_from_slice(&records.1.to_le_bytes());
    bytes
}
