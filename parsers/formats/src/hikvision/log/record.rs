//! One log record: its head, what is known of its info, and the event it becomes.
//!
//! Facts: `docs/formats/hikvision.md` section 10.2. Offsets in the margin are those of its tables, from the `R` of `RATS`.

use std::net::Ipv4Addr;

use daleel_core::{Extent, FormatError, LogEvent, StoredValue};

use super::STRUCTURE;
use crate::hikvision::{
    codes, entry,
    index::bytes::{text, u32_at},
};

/// What every record begins with.
pub const MAGIC: &[u8; 4] = b"RATS";
/// Head of a record; the info follows.
pub const HEAD_BYTES: u64 = 0x44;
/// Longest record (section 12).
pub const RECORD_MAX: u64 = 8 << 10;
/// 2000-01-01: recorders of this family are younger.
const EARLIEST: u32 = 946_684_800;
/// Bytes without which there is no record: up to the minor number.
pub const LEAST_BYTES: u64 = 0x10;

/// The first sixteen bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// 08  Time, seconds.
    pub time: u32,
    /// 0C  Class.
    pub major: u16,
    /// 0E  Kind within the class.
    pub minor: u16,
}

impl Head {
    /// The head at the start of `bytes`, if one of the two signatures stands there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let signature = bytes.first_chunk::<8>()?;
        (signature == b"RATS\x14\0\0\0" || signature == b"RATS\x01\0\0\0").then_some(())?;
        let kind = u32_at(bytes, 0x0C)?.to_le_bytes();
        let [major_low, major_high, minor_low, minor_high] = kind;
        Some(Self {
            time: u32_at(bytes, 8)?,
            major: u16::from_le_bytes([major_low, major_high]),
            minor: u16::from_le_bytes([minor_low, minor_high]),
        })
    }

    /// True when it may begin a record inside the bytes of another one.
    pub fn is_plausible(&self) -> bool {
        self.is_dated() && (1..=5).contains(&self.major)
    }

    /// True for a time that a recorder of this family may have shown.
    pub fn is_dated(&self) -> bool {
        self.time >= EARLIEST && self.time < entry::NO_START
    }

    /// Length of a record of this kind, where it is known.
    pub const fn known_length(&self) -> Option<u64> {
        match (self.major, self.minor) {
            (4, 0xA3 | 0xA4) => Some(0x74),
            (4, 0xA1) => Some(0x90),
            (4, 0xA2) => Some(0x490),
            (3, 0x41) => Some(0xE8),
            _ => None,
        }
    }
}

/// Length of a record by the field that probably states that of its info.
pub fn stated_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from(u32_at(bytes, 0x40)?).checked_add(HEAD_BYTES)?;
    (length <= RECORD_MAX).then_some(length)
}

/// Fields of a record that were understood, and the rest of it.
struct Reading<'a> {
    bytes: &'a [u8],
    /// True for every byte that was taken.
    taken: Vec<bool>,
    details: Vec<String>,
    channel: Option<u32>,
}

impl<'a> Reading<'a> {
    fn take(&mut self, at: usize, length: usize) -> &'a [u8] {
        let end = at.saturating_add(length).min(self.bytes.len());
        let range = at.min(end)..end;
        if let Some(taken) = self.taken.get_mut(range.clone()) {
            taken.fill(true);
        }
        self.bytes.get(range).unwrap_or(&[])
    }

    fn byte(&mut self, at: usize) -> u8 {
        self.take(at, 1).first().copied().unwrap_or(0)
    }

    /// Adds a text field, if it holds text.
    fn text(&mut self, name: &str, at: usize, length: usize) {
        let Some(stored) = self.bytes.get(at..at.saturating_add(length)) else { return };
        let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ' || *byte == 0;
        let shown = text(stored);
        let shown = shown.trim();
        if stored.iter().all(is_text) && !shown.is_empty() {
            self.take(at, length);
            self.details.push(format!("{name} {shown}"));
        }
    }

    /// Bytes that were not taken; runs that are zero throughout say nothing.
    fn unknown(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0usize;
        for run in self.taken.chunk_by(|a, b| a == b) {
            let bytes = self.bytes.get(at..at.saturating_add(run.len())).unwrap_or(&[]);
            at = at.saturating_add(run.len());
            if run.first() == Some(&false) && bytes.iter().any(|byte| *byte != 0) {
                out.extend_from_slice(bytes);
            }
        }
        out
    }

    fn info(&mut self, head: Head) {
        match (head.major, head.minor) {
            (4, 0xA3 | 0xA4) => self.recording(),
            (4, 0xA1) => {
                let number = self.byte(0x3C);
                if number != 0 {
                    let shown = if number.is_ascii_graphic() { char::from(number) } else { ' ' };
                    self.details.push(match shown {
                        ' ' => format!("disk {number}"),
                        digit => format!("disk {digit}"),
                    });
                }
                self.text("serial number", 0x48, 20);
                self.text("firmware", 0x5C, 12);
                self.text("model", 0x68, 40);
            }
            (4, 0xA2) => {
                self.text("serial number", 0x47A, 22);
                self.text("firmware", 0x448, 8);
                self.text("model", 0x450, 42);
            }
            (3, 0x41) => self.power_on(),
            (1, 3..=6) => {
                let channel = self.byte(0x10);
                self.channel = (channel != 0).then_some(u32::from(channel));
            }
            _ => {}
        }
    }

    fn recording(&mut self) {
        if self.bytes.len() < 0x54 {
            return;
        }
        let channel = self.byte(0x44);
        self.channel = (!matches!(channel, 0 | 0xFF)).then_some(u32::from(channel));
        let stream = match self.byte(0x50) {
            0 => "main stream".to_owned(),
            1 => "sub stream".to_owned(),
            other => format!("stream {other}"),
        };
        self.details.push(stream);
        let kind = match self.byte(0x4E) {
            0 => "continuous recording".to_owned(),
            9 => "event recording".to_owned(),
            other => format!("recording type {other}"),
        };
        self.details.push(kind);
        let enabled = self.byte(0x4C);
        self.details.push(match enabled {
            0 => "recording not enabled".to_owned(),
            _ => "recording enabled".to_owned(),
        });
        let motion = self.byte(0x54);
        if motion != 0 {
            self.details.push(format!("motion at camera {motion}"));
        }
    }

    /// Two layouts of the record of a start, by firmware; the one that holds text is the one met.
    fn power_on(&mut self) {
        let before = self.details.len();
        self.text("model", 0x60, 32);
        self.text("serial number", 0xA0, 32);
        if self.details.len() == before {
            self.text("model", 0x44, 32);
            self.text("serial number", 0x84, 32);
        }
        if self.bytes.len() < 0xE0 {
            return;
        }
        let version = |at: usize| {
            let date = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
            date.map(|[day, month, low, high]| (*day, *month, u16::from_le_bytes([*low, *high])))
                .filter(|(day, month, year)| {
                    (1..=31).contains(day)
                        && (1..=12).contains(month)
                        && (1990..2100).contains(year)
                })
        };
        let (firmware, encoder) = (version(0xD4), version(0xDC));
        if let Some((day, month, year)) = firmware {
            let stored = self.take(0xD0, 8);
            // Devices print it the other way round than it is stored: V4.30.220.
            if let [low, high, minor, major, ..] = stored {
                let patch = u16::from_le_bytes([*low, *high]);
                self.details.push(format!(
                    "firmware {major}.{minor}.{patch} of {year:04}-{month:02}-{day:02}"
                ));
            }
        }
        if let Some((day, month, year)) = encoder {
            let stored = self.take(0xD8, 8);
            if let [low, high, major, ..] = stored {
                let minor = u16::from_le_bytes([*low, *high]);
                self.details
                    .push(format!("encoder {major}.{minor} of {year:04}-{month:02}-{day:02}"));
            }
        }
    }
}

/// A record as an event. `bytes` are all of it that could be read.
///
/// # Errors
/// When its class is none of the format's: such bytes are no record.
pub fn event(
    bytes: &[u8],
    at: Extent,
    log: &'static str,
    is_cut: bool,
) -> Result<LogEvent, FormatError> {
    let head = Head::parse(bytes).ok_or_else(|| {
        FormatError::field(STRUCTURE, at, "signature", "another text", "RATS and 0x14 or 0x01")
    })?;
    if !(1..=5).contains(&head.major) {
        let place = at.slice(0x0C, 2).unwrap_or(at);
        return Err(FormatError::field(STRUCTURE, place, "major", head.major, "1 to 5"));
    }
    let mut reading =
        Reading { bytes, taken: vec![false; bytes.len()], details: Vec::new(), channel: None };
    reading.take(0, 0x10);
    if stated_length(bytes) == Some(at.len()) {
        reading.take(0x40, 4);
    }
    let (user, address) = who(&mut reading, head);
    reading.info(head);
    let name = codes::name(head.major, head.minor);
    let mut shown = name.map_or_else(
        || format!("{} not in the list", codes::code(head.major, head.minor)),
        str::to_owned,
    );
    for detail in &reading.details {
        shown.push_str("; ");
        shown.push_str(detail);
    }
    if !head.is_dated() {
        shown.push_str("; the stored time is before 2000 or no time");
    }
    if is_cut {
        shown.push_str("; cut: the bytes behind it could not be read");
    }
    Ok(LogEvent {
        time: head.is_dated().then(|| entry::time(head.time)).flatten(),
        stored: bytes
            .get(8..0x0C)
            .map(|stored| StoredValue::new("time", at.offset().saturating_add(8), stored)),
        log: log.into(),
        level: codes::level(head.major).into(),
        code: Some(codes::code(head.major, head.minor)),
        user,
        address,
        channel: reading.channel,
        text: shown,
        unknown: reading.unknown(),
        at,
        file: None,
    })
}

/// User and address: of operations, and of a login that was refused.
fn who(reading: &mut Reading<'_>, head: Head) -> (Option<String>, Option<String>) {
    let place = match (head.major, head.minor) {
        (3, _) => 0x20,
        (2, 0x22) => 0x24,
        _ => return (None, None),
    };
    let stored = reading.bytes.get(0x10..0x20).unwrap_or(&[]);
    let name = stored.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let user = match str::from_utf8(name) {
        Ok(name) if !name.is_empty() && !name.chars().any(char::is_control) => {
            reading.take(0x10, 16);
            Some(name.to_owned())
        }
        _ => None,
    };
    let address = reading.bytes.get(place..).and_then(|bytes| bytes.first_chunk::<4>()).copied();
    let address = address.filter(|four| *four != [0; 4]).map(|four| {
        reading.take(place, 4);
        Ipv4Addr::from(four).to_string()
    });
    (user, address)
}
