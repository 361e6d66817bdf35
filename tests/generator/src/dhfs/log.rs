//! The text log of a partition.
//!
//! Facts: `docs/formats/dahua.md`, section 1.7: a header sector, an identical copy, then text.

use super::{MARKER, SECTOR, put_u32};
use crate::civil::Moment;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The clock when it was written.
    pub at: Moment,
    /// `Info` or `Operation`.
    pub level: &'static str,
    /// The message.
    pub text: String,
}

impl LogLine {
    /// A line of level `Info`.
    pub fn info(at: Moment, text: impl Into<String>) -> LogLine {
        LogLine { at, level: "Info", text: text.into() }
    }

    /// A line of level `Operation`.
    pub fn operation(at: Moment, text: impl Into<String>) -> LogLine {
        LogLine { at, level: "Operation", text: text.into() }
    }

    /// The line as written, without its line feed; year with two digits, fields not padded.
    pub fn format(&self, sequence: usize) -> String {
        let f = self.at.fields();
        format!(
            "[HDDLOG][{sequence}][{}-{}-{} {}:{}:{}][{}][0-0] {}",
            f.year % 100,
            f.month,
            f.day,
            f.hour,
            f.minute,
            f.second,
            self.level,
            self.text
        )
    }
}

/// The log area, and where each line lies in it.
pub fn log_area(lines: &[LogLine]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut text = Vec::new();
    let mut places = Vec::new();
    for (sequence, line) in lines.iter().enumerate() {
        let line = line.format(sequence);
        places.push((2 * SECTOR + text.len(), line.len()));
        text.extend(line.as_bytes());
        text.push(b'\n');
    }
    let mut header = [0; SECTOR];
    put_u32(&mut header, 0, text.len() as u32);
    put_u32(&mut header, 8, lines.len() as u32);
    header[0x1FC..].copy_from_slice(&MARKER);
    ([&header[..], &header[..], &text].concat(), places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_disk_a() {
        let first = LogLine::operation(Moment::at((2018, 6, 6), (16, 0, 34)), "format");
        assert_eq!(first.format(0), "[HDDLOG][0][18-6-6 16:0:34][Operation][0-0] format");
        let switch = "ChangePart from [0-0] to [0-1] resean 0";
        let line = LogLine::info(Moment::at((2018, 6, 7), (4, 10, 47)), switch);
        assert_eq!(line.format(3), format!("[HDDLOG][3][18-6-7 4:10:47][Info][0-0] {switch}"));
        let (area, places) = log_area(&[first, line]);
        assert_eq!(area[8], 2);
        assert_eq!(area[..512], area[512..1024]);
        assert_eq!(places[0], (1024, 50));
        assert_eq!(area[places[1].0..][..8], *b"[HDDLOG]");
    }
}
