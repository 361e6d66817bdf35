//! Records of the system log and the areas that hold them.
//!
//! Facts: `docs/formats/hikvision.md`, sections 10.1 (areas), 10.2 (records) and 10.3 (codes). An area
//! is a ring of chunks of 64,000 bytes behind a header with one slot of two times a chunk; a record
//! does not cross a chunk.

use crate::civil::Moment;
use crate::truth::LogRecord;

/// Bytes of a chunk.
pub const CHUNK_BYTES: u64 = 64_000;
/// First slot in the header of an area.
const SLOTS_AT: usize = 32;
/// Bytes of a record before its info.
const RECORD_HEAD: usize = 0x44;

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The recorder's clock; only its whole second is stored.
    pub time: Moment,
    /// Chunk of the area, from 0.
    pub chunk: u32,
    /// What happened.
    pub event: LogEvent,
    /// True for the older record type 1.
    pub old: bool,
}

/// What a record reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// An operation of a user at the recorder.
    Local {
        /// Minor code.
        minor: u16,
        /// User name, at most 16 bytes.
        user: &'static str,
    },
    /// An operation over the network.
    Remote {
        /// Minor code.
        minor: u16,
        /// User name, at most 16 bytes.
        user: &'static str,
        /// Address it came from.
        address: [u8; 4],
    },
    /// A login that was refused.
    IllegalLogin {
        /// User name, at most 16 bytes.
        user: &'static str,
        /// Address it came from.
        address: [u8; 4],
    },
    /// The recorder was switched on.
    PowerOn,
    /// A recording began.
    RecordStart {
        /// Channel, from 1.
        channel: u8,
    },
    /// A recording ended.
    RecordStop {
        /// Channel, from 1.
        channel: u8,
    },
    /// Motion on a channel: minor 3 begins, 4 ends.
    Motion {
        /// Minor code.
        minor: u16,
        /// Channel, from 1.
        channel: u8,
    },
    /// Facts about the disk.
    DiskInfo,
    /// S.M.A.R.T. values of the disk.
    Smart,
    /// A record without user and info.
    Plain {
        /// Major code.
        major: u16,
        /// Minor code.
        minor: u16,
    },
}

const DISK_SERIAL: &str = "WD-WXA1EB7H0DAL";
const DISK_FIRMWARE: &str = "82.00A82";
const DISK_MODEL: &str = "WDC WD10PURX-64E5EY0";
const DEVICE_MODEL: &str = "DS-7208HQHI-K1";
const DEVICE_SERIAL: &str = "DS-7208HQHI-K10820230912CCWRE1234567";

impl LogLine {
    /// A record of the current type in the first chunk.
    pub fn new(time: Moment, event: LogEvent) -> LogLine {
        LogLine { time, chunk: 0, event, old: false }
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let (major, minor) = self.event.codes();
        let length = self.event.record_bytes();
        let mut bytes = vec![0; length];
        put(&mut bytes, 0x00, b"RATS");
        put(&mut bytes, 0x04, &u32::to_le_bytes(if self.old { 0x01 } else { 0x14 }));
        put(&mut bytes, 0x08, &self.time.unix_seconds().to_le_bytes());
        put(&mut bytes, 0x0C, &major.to_le_bytes());
        put(&mut bytes, 0x0E, &minor.to_le_bytes());
        put(&mut bytes, 0x40, &((length - RECORD_HEAD) as u32).to_le_bytes());
        self.event.fill(&mut bytes);
        bytes
    }

    /// The truth about the record in log area `area` at byte `offset`.
    pub fn fact_at(&self, area: u8, offset: u64) -> LogRecord {
        let (major, minor) = self.event.codes();
        let (user, address) = self.event.actor();
        LogRecord {
            area,
            time: self.time.second_text(),
            major,
            minor,
            user: user.map(str::to_owned),
            address: address.map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
            channel: self.event.channel().map(u32::from),
            text: self.event.text(),
            extent: [offset, self.event.record_bytes() as u64],
            file: None,
            intact: true,
        }
    }
}

impl LogEvent {
    /// Major and minor code.
    pub fn codes(&self) -> (u16, u16) {
        match *self {
            LogEvent::Local { minor, .. } | LogEvent::Remote { minor, .. } => (3, minor),
            LogEvent::IllegalLogin { .. } => (2, 0x22),
            LogEvent::PowerOn => (3, 0x41),
            LogEvent::RecordStart { .. } => (4, 0xA3),
            LogEvent::RecordStop { .. } => (4, 0xA4),
            LogEvent::Motion { minor, .. } => (1, minor),
            LogEvent::DiskInfo => (4, 0xA1),
            LogEvent::Smart => (4, 0xA2),
            LogEvent::Plain { major, minor } => (major, minor),
        }
    }

    /// Bytes of the whole record.
    fn record_bytes(&self) -> usize {
        match self {
            LogEvent::RecordStart { .. } | LogEvent::RecordStop { .. } => 0x74,
            LogEvent::DiskInfo => 0x90,
            LogEvent::Smart => 0x490,
            LogEvent::PowerOn => 0xE8,
            _ => RECORD_HEAD,
        }
    }

    fn actor(&self) -> (Option<&'static str>, Option<[u8; 4]>) {
        match *self {
            LogEvent::Local { user, .. } => (Some(user), None),
            LogEvent::Remote { user, address, .. } | LogEvent::IllegalLogin { user, address } => {
                (Some(user), Some(address))
            }
            _ => (None, None),
        }
    }

    fn channel(&self) -> Option<u8> {
        match *self {
            LogEvent::RecordStart { channel }
            | LogEvent::RecordStop { channel }
            | LogEvent::Motion { channel, .. } => Some(channel),
            _ => None,
        }
    }

    /// Fields besides codes, time and length.
    fn fill(&self, bytes: &mut [u8]) {
        if let (Some(user), address) = self.actor() {
            put(bytes, 0x10, user.as_bytes());
            let at = if matches!(self, LogEvent::IllegalLogin { .. }) { 0x24 } else { 0x20 };
            put(bytes, at, &address.unwrap_or_default());
        }
        match self {
            LogEvent::RecordStart { channel } | LogEvent::RecordStop { channel } => {
                bytes[0x44] = *channel;
                bytes[0x4C] = 1;
            }
            LogEvent::Motion { channel, .. } => bytes[0x10] = *channel,
            LogEvent::DiskInfo => {
                bytes[0x3C] = 1;
                put(bytes, 0x48, DISK_SERIAL.as_bytes());
                put(bytes, 0x5C, DISK_FIRMWARE.as_bytes());
                put(bytes, 0x68, DISK_MODEL.as_bytes());
            }
            LogEvent::Smart => {
                bytes[0x3C] = 1;
                (0..30).for_each(|n| bytes[RECORD_HEAD + n * 12] = n as u8 + 1);
                put(bytes, 0x448, DISK_FIRMWARE.as_bytes());
                put(bytes, 0x450, DISK_MODEL.as_bytes());
                put(bytes, 0x47A, DISK_SERIAL.as_bytes());
            }
            LogEvent::PowerOn => {
                put(bytes, 0x60, DEVICE_MODEL.as_bytes());
                put(bytes, 0xA0, &DEVICE_SERIAL.as_bytes()[..32]);
                put(
                    bytes,
                    0xD0,
                    &[220, 0, 30, 4, 14, 3, 0xE4, 0x07, 0, 0, 5, 0, 28, 2, 0xE4, 0x07],
                );
            }
            _ => {}
        }
    }

    /// The meaning in plain words.
    pub fn text(&self) -> String {
        let words = match self.codes() {
            (1, 0x03) => "motion started",
            (1, 0x04) => "motion stopped",
            (2, 0x21) => "video loss",
            (2, 0x22) => "illegal login",
            (3, 0x41) => "power on",
            (3, 0x42) => "shutdown",
            (3, 0x43) => "abnormal shutdown",
            (3, 0x50) => "local login",
            (3, 0x51) => "local logout",
            (3, 0x59) => "local time change",
            (3, 0x5B) => "local record export",
            (3, 0x5C) => "local HDD format",
            (3, 0x70) => "remote login",
            (3, 0x71) => "remote logout",
            (3, 0x80) => "remote playback or download by time",
            (3, 0x88) => "remote record export",
            (3, 0x9F) => "local delete file",
            (3, 0x405) => "NTP time set",
            (4, 0xA0) => "time sync",
            (4, 0xA1) => "HDD information",
            (4, 0xA2) => "S.M.A.R.T. information",
            (4, 0xA3) => "recording started",
            (4, 0xA4) => "recording stopped",
            (4, 0xA5) => "expired record deleted",
            (4, 0xCB) => "auto time correction",
            (4, 0xD8) => "HDD format started",
            (4, 0xD9) => "HDD format ended",
            _ => "other",
        };
        words.to_owned()
    }
}

/// The written parts of a log area: offset from its start, bytes.
pub type AreaParts = Vec<(u64, Vec<u8>)>;

/// Lays records out in an area of `chunks` chunks behind a header of `header_bytes`.
///
/// A record goes into its own chunk or, where that is full, into the next one. Returns the header and
/// the records with their offsets, in the order of `lines`. `header` false leaves the header zero.
pub fn log_area(header_bytes: usize, chunks: u32, lines: &[LogLine], header: bool) -> AreaParts {
    let mut used = vec![0_u64; chunks as usize];
    let mut slots = vec![None::<(Moment, Moment)>; chunks as usize];
    let mut parts = Vec::with_capacity(lines.len() + 1);
    let mut current = 0;
    for line in lines {
        let bytes = line.encode();
        let mut chunk = line.chunk as usize % used.len();
        while used[chunk] + bytes.len() as u64 > CHUNK_BYTES {
            chunk = (chunk + 1) % used.len();
        }
        let at = header_bytes as u64 + chunk as u64 * CHUNK_BYTES + used[chunk];
        used[chunk] += bytes.len() as u64;
        let first = slots[chunk].map_or(line.time, |(first, _)| first);
        slots[chunk] = Some((first, line.time));
        current = chunk;
        parts.push((at, bytes));
    }
    if header {
        parts.push((0, area_header(header_bytes, &slots, current)));
    }
    parts
}

/// Latest time twice, current and oldest slot, then a slot for every chunk; the current one is open.
fn area_header(length: usize, slots: &[Option<(Moment, Moment)>], current: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let latest = slots[current].map_or(0, |(_, last)| last.unix_seconds());
    let oldest = (1..=slots.len())
        .map(|step| (current + step) % slots.len())
        .find(|slot| slots[*slot].is_some())
        .unwrap_or(current);
    put(&mut bytes, 0x00, &latest.to_le_bytes());
    put(&mut bytes, 0x08, &latest.to_le_bytes());
    put(&mut bytes, 0x10, &(current as u32).to_le_bytes());
    put(&mut bytes, 0x14, &(oldest as u32).to_le_bytes());
    for (n, slot) in slots.iter().enumerate() {
        let Some((first, last)) = slot else { continue };
        let end = if n == current { 0 } else { last.unix_seconds() };
        put(&mut bytes, SLOTS_AT + n * 8, &first.unix_seconds().to_le_bytes());
        put(&mut bytes, SLOTS_AT + n * 8 + 4, &end.to_le_bytes());
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_lengths_of_the_specification() {
        let time = Moment::at((2024, 3, 14), (8, 0, 0));
        let length = |event| LogLine::new(time, event).encode().len();
        assert_eq!(length(LogEvent::RecordStart { channel: 3 }), 0x74);
        assert_eq!(length(LogEvent::DiskInfo), 0x90);
        assert_eq!(length(LogEvent::Smart), 0x490);
        assert_eq!(length(LogEvent::PowerOn), 0xE8);
    }

    #[test]
    fn a_remote_login_names_user_and_address() {
        let time = Moment::at((2024, 3, 14), (8, 0, 0));
        let event = LogEvent::Remote { minor: 0x70, user: "admin", address: [192, 168, 1, 64] };
        let line = LogLine::new(time, event);
        let bytes = line.encode();
        assert_eq!(bytes[..8], *b"RATS\x14\0\0\0");
        assert_eq!(bytes[0x0C..0x16], *b"\x03\0\x70\0admin\0");
        assert_eq!(bytes[0x20..0x24], [192, 168, 1, 64]);
        assert_eq!(line.fact_at(1, 0).address.as_deref(), Some("192.168.1.64"));
    }

    #[test]
    fn a_full_chunk_goes_on_in_the_next_one_round_the_ring() {
        let time = Moment::at((2024, 3, 14), (8, 0, 0));
        let line = |n: i64| {
            let event = LogEvent::RecordStart { channel: 1 };
            LogLine { chunk: 249, ..LogLine::new(time.plus_ms(n * 1000), event) }
        };
        let lines: Vec<_> = (0..600).map(line).collect();
        let parts = log_area(0x800, 250, &lines, true);
        let per_chunk = (CHUNK_BYTES / 0x74) as usize;
        assert_eq!(parts[0].0, 0x800 + 249 * CHUNK_BYTES);
        assert_eq!(parts[per_chunk].0, 0x800);
        let header = &parts[600].1;
        assert_eq!(header[0x10..0x18], [0, 0, 0, 0, 249, 0, 0, 0]);
        assert_eq!(header[SLOTS_AT + 4..SLOTS_AT + 8], [0; 4], "the current slot is open");
    }
}
