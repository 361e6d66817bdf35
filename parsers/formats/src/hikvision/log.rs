//! The recorder's own log: `RATS` records as events.
//!
//! Facts: `docs/formats/hikvision.md` sections 10 and 17. Both areas are always read, since recorders differ in which one they use. Nothing states
//! the length of a record beyond doubt; how one is delimited is in [`scan`].

mod area;
mod record;
mod scan;

use daleel_core::{Extent, FormatError, LogEvent, Volume};

pub use area::{are_empty, areas, facts, fixed_place};
pub use record::RECORD_MAX;

use super::index::bytes::Patched;
use scan::Scan;

/// Name of the structure in findings and output.
pub const STRUCTURE: &str = "log record";

/// The events of log areas, or of a log file, in stored order. Areas are read in windows; an empty one stands for an area that the disk does
/// not have.
pub fn events<'a>(
    volume: &'a Volume,
    areas: Vec<Extent>,
) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + 'a> {
    let numbered = areas.into_iter().enumerate();
    Box::new(numbered.flat_map(|(number, area)| {
        let name = match number {
            0 => "log area 1",
            _ => "log area 2",
        };
        Scan::new(volume, area, name)
    }))
}

/// The record that holds an offset of the medium, with its bytes.
pub fn record_at(volume: &Volume, area: Extent, offset: u64) -> Option<(LogEvent, Vec<u8>)> {
    area.contains(offset).then_some(())?;
    // A record begins at most its own length before one of its bytes; one more lets the scan see where it begins.
    let back = offset.saturating_sub(area.offset()).min(RECORD_MAX.saturating_mul(2));
    let from = offset.saturating_sub(area.offset()).saturating_sub(back);
    let length = back.saturating_add(RECORD_MAX.saturating_mul(2));
    let near = area.slice(from, length.min(area.len().saturating_sub(from)))?;
    let event =
        Scan::within(volume, area, near, "").flatten().find(|event| event.at.contains(offset))?;
    let bytes = Patched::read(&*volume.source, event.at);
    Some((event, bytes.all().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const FIRST: usize = 0x2000;

    fn record(time: u32, major: u16, minor: u16, user: &str, info: &[u8]) -> Vec<u8> {
        let mut bytes = b"RATS\x14\0\0\0".to_vec();
        bytes.extend(time.to_le_bytes());
        bytes.extend(major.to_le_bytes());
        bytes.extend(minor.to_le_bytes());
        bytes.extend(user.as_bytes());
        bytes.resize(0x20, 0);
        bytes.extend([192, 168, 1, 20]);
        bytes.resize(0x40, 0);
        bytes.extend((info.len() as u32).to_le_bytes());
        bytes.extend(info);
        bytes
    }

    fn volume(log: &[u8]) -> (Volume, Extent) {
        let mut bytes = vec![0; 0x20_0000];
        bytes[FIRST..FIRST + log.len()].copy_from_slice(log);
        (Volume::whole(Arc::new(bytes)), Extent::new(0, 0x20_0000))
    }

    fn read(log: &[u8]) -> Vec<LogEvent> {
        let (volume, area) = volume(log);
        events(&volume, vec![area]).collect::<Result<_, _>>().unwrap()
    }

    /// G-3: an event has its time, code, user and address, each from its own bytes.
    #[test]
    fn records_become_events() {
        let mut log = record(1_733_638_350, 3, 0x5B, "admin", &[]);
        log.extend(record(1_733_638_351, 3, 0x123, "boss", &[1, 2, 3, 4]));
        log.extend(record(1_733_638_352, 7, 1, "", &[]));
        let (volume, area) = volume(&log);
        let events: Vec<_> = events(&volume, vec![area]).collect();
        let [Ok(first), Ok(second), Err(third)] = events.as_slice() else { panic!("{events:?}") };
        assert!(third.to_string().contains("`major` is 7"), "{third}");
        assert_eq!(first.time.unwrap().to_string(), "2024-12-08T06:12:30.000");
        assert_eq!((first.log.as_ref(), first.level.as_ref()), ("log area 1", "operation"));
        assert_eq!(first.code.as_deref(), Some("3:5b"));
        assert_eq!(
            (first.user.as_deref(), first.address.as_deref()),
            (Some("admin"), Some("192.168.1.20"))
        );
        assert_eq!((first.text.as_str(), first.at.len()), ("local record export", 0x44));
        assert!(first.unknown.is_empty());
        let stored = first.stored.unwrap();
        assert_eq!((stored.hex(), stored.offset), ("ce385567".to_owned(), first.at.offset() + 8));
        assert_eq!(
            (second.code.as_deref(), second.unknown.as_slice()),
            (Some("3:123"), &[1, 2, 3, 4][..])
        );
        assert_eq!(second.at.offset(), FIRST as u64 + 0x44);
    }

    /// Payload text that holds the signature does not split a record.
    #[test]
    fn the_signature_inside_a_payload_splits_nothing() {
        let mut hostile = b"RATS in a name; RATS\x14\0\0\0".to_vec();
        hostile.extend([1; 24]);
        let mut believable = record(1_700_000_000, 3, 0x50, "nobody", &[]);
        believable.truncate(0x30);
        for info in [hostile, believable] {
            let mut log = record(1_733_638_350, 3, 0x77, "admin", &info);
            log.extend(record(1_733_638_351, 3, 0x51, "admin", &[]));
            let events = read(&log);
            assert_eq!(events.len(), 2, "{events:?}");
            assert_eq!(events[1].text, "local logout");
        }
    }

    /// Lengths are not believed where the next record contradicts them.
    #[test]
    fn a_false_length_swallows_no_record() {
        let mut first = record(1_733_638_350, 3, 0x77, "admin", &[5; 20]);
        first[0x40..0x44].copy_from_slice(&4000u32.to_le_bytes());
        first.extend(record(1_733_638_351, 3, 0x51, "admin", &[]));
        let events = read(&first);
        assert_eq!((events.len(), events[0].at.len()), (2, 0x58));
    }

    #[test]
    fn a_time_before_2000_is_no_time_and_an_old_signature_is_read() {
        let mut log = record(5, 3, 0x41, "", &[]);
        log.extend(record(1_733_638_351, 3, 0x42, "", &[]));
        log[0x44 + 4] = 1;
        let events = read(&log);
        assert_eq!((events.len(), events[0].time), (2, None));
        assert!(events[0].text.contains("before 2000"), "{}", events[0].text);
    }

    #[test]
    fn record_starts_and_disks_are_read() {
        let mut info = vec![0; 0x30];
        info[0] = 3;
        info[8] = 1;
        info[0x0A] = 9;
        info[0x0C] = 1;
        let mut log = record(1_733_638_350, 4, 0xA3, "", &info);
        let mut disk = vec![0; 0x4C];
        disk[4..12].copy_from_slice(b"WD-12345");
        disk[0x18..0x20].copy_from_slice(b"80.00A80");
        disk[0x24..0x2F].copy_from_slice(b"WDC WD10PUR");
        log.extend(record(1_733_638_351, 4, 0xA1, "", &disk));
        let mut motion = record(1_733_638_352, 1, 3, "", &[]);
        motion[0x10] = 7;
        log.extend(motion);
        let events = read(&log);
        assert_eq!(events[0].channel, Some(3));
        assert_eq!(
            events[0].text,
            "recording started; sub stream; event recording; recording enabled"
        );
        assert_eq!(
            events[1].text,
            "hard disk information; serial number WD-12345; firmware 80.00A80; model WDC WD10PUR"
        );
        assert_eq!(
            (events[2].channel, events[2].text.as_str()),
            (Some(7), "motion detection started")
        );
    }

    /// Records that cross the windows in which an area is read are whole.
    #[test]
    fn windows_do_not_cut_records() {
        let mut log = Vec::new();
        let mut count = 0u32;
        while log.len() < 0x18_0000 {
            log.extend(record(1_733_638_350 + count, 3, 0x77, "admin", &[1; 217]));
            count += 1;
        }
        let events = read(&log);
        assert_eq!(events.len() as u32, count);
        assert!(events.iter().all(|event| event.at.len() == 0x44 + 217));
        let (volume, area) = volume(&log);
        let place = events[4000].at;
        let (found, bytes) = record_at(&volume, area, place.offset() + 100).unwrap();
        assert_eq!((found.at, bytes.len()), (place, 0x44 + 217));
    }

    proptest! {
        /// any bytes give events inside the area, in ascending order.
        #[test]
        fn any_bytes_are_survived(pieces in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..90), any::<bool>(), 0u16..7), 0..40,
        )) {
            let mut log = Vec::new();
            for (bytes, is_old, major) in pieces {
                log.extend(if is_old { b"RATS\x01\0\0\0" } else { b"RATS\x14\0\0\0" });
                log.extend(1_700_000_000u32.to_le_bytes());
                log.extend(major.to_le_bytes());
                log.extend(bytes);
            }
            let (volume, area) = volume(&log);
            let mut last = 0;
            for event in events(&volume, vec![area]).flatten() {
                prop_assert!(event.at.offset() >= last && event.at.end() <= area.end());
                last = event.at.end();
            }
        }
    }
}
