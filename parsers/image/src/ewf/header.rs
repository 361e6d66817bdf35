//! Case data: the texts of `header2` and `header`.
//!
//! Facts: `docs/formats/ewf.md` section 3. One zlib stream of lines; identifiers in one line, values in the next, both
//! separated by tabs. `header2` is UTF-16 with a byte order mark and POSIX times, `header` 8 bits a character with local
//! times that name no zone; linen writes POSIX times in `header` too.

use super::inflate::inflate_bounded;

/// Most bytes of a text.
const TEXT_LIMIT: usize = 1 << 20;
/// Longest value kept, in characters; EnCase 7 allows 2,999.
const VALUE_LIMIT: usize = 4096;

/// A time of the case data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderTime {
    /// As stored.
    pub stored: String,
    /// Seconds since 1970-01-01 UTC, where it is stored so; the other form names no zone.
    pub posix: Option<i64>,
}

/// Who acquired what, as the writing program put it down. Texts have no control characters; empty ones are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderValues {
    /// `a` description.
    pub description: Option<String>,
    /// `c` case number.
    pub case_number: Option<String>,
    /// `n` evidence number.
    pub evidence_number: Option<String>,
    /// `e` examiner.
    pub examiner: Option<String>,
    /// `t` notes.
    pub notes: Option<String>,
    /// `md` model of the drive.
    pub model: Option<String>,
    /// `sn` serial number of the drive.
    pub serial: Option<String>,
    /// `l` label of the drive.
    pub label: Option<String>,
    /// `av` version of the acquiring program.
    pub software: Option<String>,
    /// `ov` operating system it ran on.
    pub system: Option<String>,
    /// `m` time of the acquisition.
    pub acquired: Option<HeaderTime>,
    /// `u` clock of the acquiring system.
    pub system_time: Option<HeaderTime>,
}

/// What the shape of the texts tells about the writing program.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// First line: `1` or `3`.
    pub(super) version: String,
    /// Identifiers of the values.
    pub(super) identifiers: Vec<String>,
    /// Lines end in CR LF.
    pub(super) has_cr: bool,
}

impl Shape {
    pub(super) fn has(&self, identifier: &str) -> bool {
        self.identifiers.iter().any(|own| own == identifier)
    }
}

/// Parses the payload of a `header` or `header2` section.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse(payload: &[u8]) -> Result<(HeaderValues, Shape), &'static str> {
    let bytes = inflate_bounded(payload, TEXT_LIMIT).ok_or("a stream that does not inflate")?;
    let text = decode_text(&bytes);
    let has_cr = text.contains("\r\n");
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default().to_owned();
    if lines.next() != Some("main") {
        return Err("no line `main`");
    }
    let identifiers: Vec<String> =
        lines.next().unwrap_or_default().split('\t').take(64).map(clean).collect();
    let mut values = HeaderValues::default();
    for (identifier, value) in identifiers.iter().zip(lines.next().unwrap_or_default().split('\t'))
    {
        values.set(identifier, clean(value));
    }
    Ok((values, Shape { version, identifiers, has_cr }))
}

impl HeaderValues {
    fn set(&mut self, identifier: &str, value: String) {
        if value.is_empty() {
            return;
        }
        let target = match identifier {
            "a" => &mut self.description,
            "c" => &mut self.case_number,
            "n" => &mut self.evidence_number,
            "e" => &mut self.examiner,
            "t" => &mut self.notes,
            "md" => &mut self.model,
            "sn" => &mut self.serial,
            "l" => &mut self.label,
            "av" => &mut self.software,
            "ov" => &mut self.system,
            "m" => return self.acquired = Some(time(value)),
            "u" => return self.system_time = Some(time(value)),
            _ => return,
        };
        *target = Some(value);
    }

    /// Takes from `other` what is not known yet.
    pub(super) fn fill(&mut self, other: Self) {
        let fill = |own: &mut Option<String>, other: Option<String>| {
            if own.is_none() {
                *own = other;
            }
        };
        fill(&mut self.description, other.description);
        fill(&mut self.case_number, other.case_number);
        fill(&mut self.evidence_number, other.evidence_number);
        fill(&mut self.examiner, other.examiner);
        fill(&mut self.notes, other.notes);
        fill(&mut self.model, other.model);
        fill(&mut self.serial, other.serial);
        fill(&mut self.label, other.label);
        fill(&mut self.software, other.software);
        fill(&mut self.system, other.system);
        self.acquired = self.acquired.take().or(other.acquired);
        self.system_time = self.system_time.take().or(other.system_time);
    }
}

fn time(stored: String) -> HeaderTime {
    HeaderTime { posix: stored.parse().ok(), stored }
}

fn clean(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(VALUE_LIMIT).collect();
    text.trim().to_owned()
}

/// UTF-16 with a byte order mark, else UTF-8, else one character a byte: code pages are not named in the file.
fn decode_text(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).filter_map(|two| two.try_into().ok()).map(unit);
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xFF, 0xFE, text @ ..] => wide(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => wide(text, u16::from_be_bytes),
        text => match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => text.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn utf_16_texts_with_surrogates_and_a_posix_time() {
        let text = "3\nmain\na\tc\te\tm\tzz\nديسك 𝄞\t7/24\t \t1795549683\tx\n\nsrce\n";
        let mut bytes = vec![0xFF, 0xFE];
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let (values, shape) = parse(&deflated(&bytes)).unwrap();
        assert_eq!(values.description.as_deref(), Some("ديسك 𝄞"));
        assert_eq!(values.case_number.as_deref(), Some("7/24"));
        assert_eq!(values.examiner, None);
        assert_eq!(values.acquired.unwrap().posix, Some(1_795_549_683));
        assert!(shape.has("zz") && !shape.has_cr && shape.version == "3");
    }

    #[test]
    fn eight_bit_texts_in_an_unknown_code_page() {
        let text = b"1\r\nmain\r\nc\tn\tm\r\nM\xfcller\x07\t\t2026 11 24 19 48 3\r\n\r\n";
        let (values, shape) = parse(&deflated(text)).unwrap();
        assert_eq!(values.case_number.as_deref(), Some("Müller"));
        let time = HeaderTime { stored: "2026 11 24 19 48 3".to_owned(), posix: None };
        assert_eq!((values.acquired, shape.has_cr), (Some(time), true));
    }

    #[test]
    fn a_text_that_inflates_without_end_is_refused() {
        let bomb = deflated(&vec![b'a'; TEXT_LIMIT + 1]);
        assert!(parse(&bomb).is_err());
        assert!(parse(b"no zlib").is_err());
    }
}
