//! Case text and facts of a set: the `header2` and `header` sections.
//!
//! Facts: Expert Witness Compression Format (libyal), "header2 section", EnCase 6 shape; the identifiers and their order are those
//! of `ewfacquire` 20140813, and another list makes libewf say "unknown" for the format. Times are UTC in both sections, and the
//! notes say so: the 8-bit header has no zone. EnCase 7 takes 2,999 characters of text, 11 of a version, 23 of a system.

use jiff::{Timestamp, tz::Offset};
use libdeflater::{CompressionLvl, Compressor};
use serde::{Deserialize, Serialize};

use super::chunk::Compression;

/// Most UTF-16 units of a free text.
pub const TEXT_MAX: usize = 2_999;
const VERSION_MAX: usize = 11;
const SYSTEM_MAX: usize = 23;
/// Kept in every set, at the end of the notes.
const ZONE_NOTE: &str = "times are UTC";

/// What the operator wants to be read in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseText {
    /// One line about the medium.
    pub description: String,
    /// The case.
    pub case_number: String,
    /// The piece of evidence.
    pub evidence_number: String,
    /// Who examines.
    pub examiner: String,
    /// Anything else.
    pub notes: String,
}

impl CaseText {
    /// Names of the fields that are too long and will be cut in the container.
    pub fn too_long(&self) -> Vec<&'static str> {
        [
            ("description", &self.description, TEXT_MAX),
            ("case number", &self.case_number, TEXT_MAX),
            ("evidence number", &self.evidence_number, TEXT_MAX),
            ("examiner", &self.examiner, TEXT_MAX),
            ("notes", &self.notes, notes_max()),
        ]
        .into_iter()
        .filter(|(_, text, max)| text.encode_utf16().count() > *max)
        .map(|(name, ..)| name)
        .collect()
    }
}

/// What is chosen or found once for a set, and kept in the journal: a resumed set has the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFacts {
    /// Identifier of the set, random (UUID version 4).
    pub guid: [u8; 16],
    /// Start of the acquisition, POSIX seconds.
    pub acquired: i64,
    /// The clock of this computer then, POSIX seconds.
    pub system: i64,
    /// Model of the drive.
    pub model: String,
    /// Serial number of the drive.
    pub serial: String,
    /// Version of this program; 11 characters are kept.
    pub software: String,
    /// Operating system; 23 characters are kept.
    pub os: String,
    /// How chunks are stored.
    pub compression: Compression,
}

/// The fields of one set, cleaned.
struct Fields {
    description: String,
    case_number: String,
    evidence_number: String,
    examiner: String,
    notes: String,
    model: String,
    serial: String,
    software: String,
    os: String,
}

impl Fields {
    fn new(text: &CaseText, facts: &SetFacts) -> Self {
        Self {
            description: clean(&text.description, TEXT_MAX),
            case_number: clean(&text.case_number, TEXT_MAX),
            evidence_number: clean(&text.evidence_number, TEXT_MAX),
            examiner: clean(&text.examiner, TEXT_MAX),
            notes: notes(&text.notes),
            model: clean(&facts.model, TEXT_MAX),
            serial: clean(&facts.serial, TEXT_MAX),
            software: clean(&facts.software, VERSION_MAX),
            os: clean(&facts.os, SYSTEM_MAX),
        }
    }
}

/// The payload of `header2`: UTF-16 with its mark, lines ended by LF.
pub fn header2(text: &CaseText, facts: &SetFacts) -> Vec<u8> {
    let text = header2_text(&Fields::new(text, facts), facts);
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    deflated(&units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
}

/// The payload of `header`: ASCII, lines ended by CR LF.
pub fn header(text: &CaseText, facts: &SetFacts) -> Vec<u8> {
    deflated(&ascii(&header_text(&Fields::new(text, facts), facts)))
}

fn header2_text(fields: &Fields, facts: &SetFacts) -> String {
    let (acquired, system) = (facts.acquired.to_string(), facts.system.to_string());
    let values = [
        fields.description.as_str(),
        &fields.case_number,
        &fields.evidence_number,
        &fields.examiner,
        &fields.notes,
        &fields.model,
        &fields.serial,
        &fields.software,
        &fields.os,
        &acquired,
        &system,
        "0",
        "",
    ];
    [
        "3",
        "main",
        "a\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc",
        &values.join("\t"),
        "",
        "srce",
        "0\t1",
        "p\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq",
        "0\t0",
        "\t\t\t\t\t-1\t-1\t\t\t",
        "",
        "sub",
        "0\t1",
        "p\tn\tid\tnu\tco\tgu",
        "0\t0",
        "\t\t\t\t1\t",
        "",
        "",
    ]
    .join("\n")
}

fn header_text(fields: &Fields, facts: &SetFacts) -> String {
    let (acquired, system) = (civil(facts.acquired), civil(facts.system));
    let values = [
        fields.case_number.as_str(),
        &fields.evidence_number,
        &fields.description,
        &fields.examiner,
        &fields.notes,
        &fields.software,
        &fields.os,
        &acquired,
        &system,
        "0",
    ];
    ["1", "main", "c\tn\ta\te\tt\tav\tov\tm\tu\tp", &values.join("\t"), "", ""].join("\r\n")
}

/// `seconds` as `YYYY M D h m s` in UTC; empty when no calendar has it.
fn civil(seconds: i64) -> String {
    let Ok(instant) = Timestamp::from_second(seconds) else { return String::new() };
    let time = Offset::UTC.to_datetime(instant);
    let (year, month, day) = (time.year(), time.month(), time.day());
    format!("{year} {month} {day} {} {} {}", time.hour(), time.minute(), time.second())
}

/// The operator's notes and the zone.
fn notes(text: &str) -> String {
    match clean(text, notes_max()) {
        text if text.is_empty() => ZONE_NOTE.to_owned(),
        text => format!("{text}; {ZONE_NOTE}"),
    }
}

const fn notes_max() -> usize {
    TEXT_MAX.saturating_sub(ZONE_NOTE.len()).saturating_sub(2)
}

/// `text` on one line, without what separates or ends a value, cut to `max` UTF-16 units.
fn clean(text: &str, max: usize) -> String {
    let mut units = 0usize;
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take_while(|c| {
            units = units.saturating_add(c.len_utf16());
            units <= max
        })
        .collect()
}

/// `text` in ASCII, `?` for what that has not.
fn ascii(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect()
}

/// One zlib stream.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut out = vec![0; compressor.zlib_compress_bound(bytes.len())];
    // Cannot fail: the bound is what the compressor says it needs.
    let len = compressor.zlib_compress(bytes, &mut out).unwrap_or(0);
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> SetFacts {
        SetFacts {
            guid: [7; 16],
            acquired: 1_795_549_641,
            system: 1_795_549_642,
            model: "WDC WD40PURX".into(),
            serial: "WD-1".into(),
            software: "daleel 0.1.0-long".into(),
            os: "Linux 6.12".into(),
            compression: Compression::Adaptive,
        }
    }

    fn inflated(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 1 << 20];
        let len = libdeflater::Decompressor::new().zlib_decompress(payload, &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn wide(payload: &[u8]) -> String {
        let bytes = inflated(payload);
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    /// the text is line for line that of EnCase 6.
    #[test]
    fn header2_has_the_lines_of_encase_6() {
        let text = CaseText {
            description: "وصف 𐎀".into(),
            notes: "one\ttwo\r\nthree\0".into(),
            ..CaseText::default()
        };
        assert_eq!(
            wide(&header2(&text, &facts())),
            "\u{feff}3\nmain\na\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc\n\
             وصف 𐎀\t\t\t\tone two  three ; times are UTC\tWDC WD40PURX\tWD-1\tdaleel 0.1.\tLinux 6.12\t\
             1795549641\t1795549642\t0\t\n\nsrce\n0\t1\np\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq\n0\t0\n\
             \t\t\t\t\t-1\t-1\t\t\t\n\nsub\n0\t1\np\tn\tid\tnu\tco\tgu\n0\t0\n\t\t\t\t1\t\n\n"
        );
    }

    /// 8-bit text with UTC times, and a question mark for each character that it cannot hold.
    #[test]
    fn header_is_ascii_with_utc_times() {
        let text = CaseText { case_number: "قضية 1".into(), ..CaseText::default() };
        assert_eq!(
            String::from_utf8(inflated(&header(&text, &facts()))).unwrap(),
            "1\r\nmain\r\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\r\n???? 1\t\t\t\ttimes are UTC\tdaleel 0.1.\tLinux 6.12\t\
             2026 11 24 19 47 21\t2026 11 24 19 47 22\t0\r\n\r\n"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters_and_told() {
        let long = CaseText { notes: "𐎀".repeat(2_000), ..CaseText::default() };
        assert_eq!(long.too_long(), ["notes"]);
        assert_eq!(clean(&long.notes, TEXT_MAX).encode_utf16().count(), TEXT_MAX - 1);
        assert!(notes(&long.notes).ends_with("𐎀; times are UTC"));
        assert!(notes(&long.notes).encode_utf16().count() <= TEXT_MAX);
        assert!(CaseText::default().too_long().is_empty());
    }

    #[test]
    fn the_longest_texts_stay_in_the_room_kept_for_them() {
        // Characters that no compressor can do much about.
        let mut state = 1u32;
        let mut noise = || {
            let chars = (0..TEXT_MAX).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from_u32(0x4E00 + (state >> 16) % 20_000).unwrap()
            });
            chars.collect::<String>()
        };
        let text = CaseText {
            description: noise(),
            case_number: noise(),
            evidence_number: noise(),
            examiner: noise(),
            notes: noise(),
        };
        let mut facts = facts();
        (facts.model, facts.serial) = (noise(), noise());
        let bytes = 2 * header2(&text, &facts).len() + header(&text, &facts).len() + 3 * 76;
        let room = super::super::section::FIRST_START_MAX - super::super::section::LATER_START;
        assert!(bytes as u64 <= room, "{bytes} of {room}");
    }

    #[test]
    fn a_time_outside_the_calendar_is_left_empty() {
        assert_eq!(civil(i64::MAX), "");
        assert_eq!(civil(0), "1970 1 1 0 0 0");
    }
}
