//! The text log inside each partition: HDDLOG lines as events.
//!
//! Facts: `docs/formats/dahua.md` section 1.7. Whether the stored length counts the two header sectors is unresolved, so the text is
//! read to its first NUL. Lines that do not have the known shape are events too: nothing is dropped.

use daleel_core::{CivilTime, Extent, FormatError, LogEvent};
use nom::{
    IResult, Parser,
    bytes::complete::{tag, take_until},
    character::complete::{char, u8 as number, u32 as sequence},
    combinator::{opt, rest},
    sequence::{delimited, preceded, terminated},
};

use super::{
    layout::{MARKER, SECTOR_BYTES},
    partition::Partition,
};

const STRUCTURE: &str = "HDDLOG";
/// The text begins behind the header sector and its copy.
pub const TEXT_OFFSET: u64 = 1024;
/// Longest log text read; the log area of the disks seen is 10 MiB.
const TEXT_MAX: u64 = 64 << 20;
/// Longest line kept whole.
const LINE_MAX: usize = 4096;

/// The bytes of a partition's log area, if its boot sector names one.
pub fn area(partition: &Partition) -> Option<Extent> {
    let (boot, _) = partition.boot.as_ref()?;
    let start = partition
        .place
        .start
        .saturating_add(u64::from(boot.log_sector))
        .saturating_mul(SECTOR_BYTES);
    let length = u64::from(boot.log_sectors).saturating_mul(SECTOR_BYTES);
    (boot.log_sector != 0).then(|| partition.volume().at(start, length))
}

/// The events of a partition's log, in stored order.
pub fn events(partition: &Partition) -> Vec<Result<LogEvent, FormatError>> {
    let Some(area) = area(partition) else { return Vec::new() };
    match read_text(partition, area) {
        Ok(Some(text)) => {
            let events = lines(&text.bytes).map(|(from, line)| Ok(event(text.offset, from, line)));
            events.chain(text.cut.map(Err)).collect()
        }
        Ok(None) => Vec::new(),
        Err(error) => vec![Err(error)],
    }
}

/// Log text as far as it could be read.
struct Text {
    /// Where it begins on the medium.
    offset: u64,
    bytes: Vec<u8>,
    /// Why it ends before its end.
    cut: Option<FormatError>,
}

/// Reads the text up to its first NUL, as far as the medium gives it. `None` when no log was ever written.
fn read_text(partition: &Partition, area: Extent) -> Result<Option<Text>, FormatError> {
    const STEP: u64 = 64 << 10;
    let source = &partition.volume().source;
    let header_at = Extent::new(area.offset(), SECTOR_BYTES);
    // An identical copy follows the header.
    let copy_at = Extent::new(header_at.end(), SECTOR_BYTES);
    let headers = [header_at, copy_at]
        .map(|at| source.read(at).map_err(|error| FormatError::read(STRUCTURE, error)));
    let is_header = |header: &[u8]| header.get(0x1FC..0x200) == Some(&MARKER);
    if !headers.iter().flatten().any(|header| is_header(header)) {
        let [header, _] = headers;
        let header = header?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let marker = header.get(0x1FC..0x200);
        let at = header_at.slice(0x1FC, 4).unwrap_or(header_at);
        return Err(FormatError::field(
            STRUCTURE,
            at,
            "marker",
            format!("{marker:02x?}"),
            "AA 55 AA 55",
        ));
    }
    let room = area.len().max(TEXT_OFFSET).saturating_sub(TEXT_OFFSET).min(TEXT_MAX);
    let at = Extent::new(area.offset().saturating_add(TEXT_OFFSET), room);
    let mut text = Text { offset: at.offset(), bytes: Vec::new(), cut: None };
    let mut limit = STEP;
    loop {
        let done = text.bytes.len() as u64;
        let Some(step) = at.slice(done, room.saturating_sub(done).min(limit)) else { break };
        let bytes = match source.read(step) {
            Ok(bytes) => bytes,
            // A sector at a time, as far as it goes.
            Err(_) if step.len() > SECTOR_BYTES => {
                limit = SECTOR_BYTES;
                continue;
            }
            Err(error) => {
                text.cut = Some(FormatError::read(STRUCTURE, error));
                break;
            }
        };
        let nul = bytes.iter().position(|byte| *byte == 0);
        text.bytes.extend_from_slice(bytes.get(..nul.unwrap_or(bytes.len())).unwrap_or(&bytes));
        if nul.is_some() || bytes.is_empty() {
            break;
        }
    }
    Ok(Some(text))
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0usize;
    text.split(|byte| *byte == b'\n').filter_map(move |line| {
        let start = from;
        from = from.saturating_add(line.len()).saturating_add(1);
        (!line.is_empty()).then_some((start, line))
    })
}

/// One line as an event. Offsets count on the medium.
fn event(text_offset: u64, from: usize, line: &[u8]) -> LogEvent {
    let at = Extent::new(text_offset.saturating_add(from as u64), line.len() as u64);
    let shown = |bytes: &[u8]| {
        let cut = bytes.get(..bytes.len().min(LINE_MAX)).unwrap_or(bytes);
        String::from_utf8_lossy(cut).chars().flat_map(escape).collect::<String>()
    };
    match parse(line) {
        Ok((_, (time, level, place, message))) => LogEvent {
            time,
            log: "hddlog".into(),
            level: shown(level).into(),
            text: format!("[{}] {}", shown(place), shown(message)),
            at,
            ..LogEvent::default()
        },
        Err(_) => LogEvent {
            log: "hddlog".into(),
            level: "unknown".into(),
            text: shown(line),
            at,
            ..LogEvent::default()
        },
    }
}

/// Control characters never reach a terminal.
fn escape(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

type Line<'a> = (Option<CivilTime>, &'a [u8], &'a [u8], &'a [u8]);

/// `[HDDLOG][seq][yy-m-d h:m:s][level][disk-partition] message`; fields are not padded, years have two digits.
fn parse(line: &[u8]) -> IResult<&[u8], Line<'_>> {
    let bracketed = || delimited(char('['), take_until("]"), char(']'));
    let date = (
        terminated(number, char('-')),
        terminated(number, char('-')),
        terminated(number, char(' ')),
        terminated(number, char(':')),
        terminated(number, char(':')),
        number,
    );
    (
        tag("[HDDLOG]"),
        delimited(char('['), sequence, char(']')),
        delimited(char('['), date, char(']')),
        bracketed(),
        bracketed(),
        preceded(opt(char(' ')), rest),
    )
        .map(|(_, _, (year, month, day, hour, minute, second), level, place, message)| {
            let year = i16::from(year).saturating_add(2000);
            (CivilTime::from_parts(year, month, day, hour, minute, second), level, place, message)
        })
        .parse(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G-3: lines of a real disk.
    #[test]
    fn real_lines_become_events() {
        let line =
            b"[HDDLOG][3][18-6-7 4:10:47][Info][0-0] ChangePart from [0-0] to [0-1] resean 0";
        let event = event(1000, 24, line);
        assert_eq!(event.time.unwrap().to_string(), "2018-06-07T04:10:47.000");
        assert_eq!((&*event.level, event.at), ("Info", Extent::new(1024, line.len() as u64)));
        assert_eq!(event.text, "[0-0] ChangePart from [0-0] to [0-1] resean 0");
    }

    #[test]
    fn unknown_lines_are_kept_and_control_characters_escaped() {
        let event = event(0, 0, b"\x1b[31mnonsense\x07");
        assert_eq!((event.time, event.text.as_str()), (None, "\\u{1b}[31mnonsense\\u{7}"));
    }
}
