//! The log of a Hikvision disk: everything on the disk but its log areas is sound and small.

use std::sync::Arc;

use daleel_core::{Extent, Input, Recorder, Volume};
use daleel_formats::hikvision;

/// Bytes in front of the log: its distance from the begin of a sector, and where it is cut into two areas, both little-endian.
pub const CONTROL_BYTES: usize = 4;
/// Where the log begins at least.
const LOG_OFFSET: usize = 0x8200;
/// Log lines that are explained too.
const DESCRIBED: usize = 20;

/// The bytes are [`LOG_CONTROL_BYTES`](CONTROL_BYTES), then the records of both log areas.
pub fn hik_log(bytes: &[u8]) -> u64 {
    let Some((control, log)) = bytes.split_first_chunk::<CONTROL_BYTES>() else { return 0 };
    let [s0, s1, c0, c1] = *control;
    let start = LOG_OFFSET + usize::from(u16::from_le_bytes([s0, s1]) % 512);
    let cut = usize::from(u16::from_le_bytes([c0, c1])) % (log.len() + 1);
    let areas = [
        Extent::new(start as u64, cut as u64),
        Extent::new((start + cut) as u64, (log.len() - cut) as u64),
    ];
    let input = Input::Volume(Volume::whole(Arc::new(disk(log, start, &areas))));
    let [verdict] = (hikvision::DISK.probe)(&input).try_into().expect("the master is there");
    let recorder = (hikvision::DISK.open)(input, &verdict).expect("the master is there");
    check_events(&*recorder, &areas)
}

/// A disk of which nothing is there but the master sector and its log.
fn disk(log: &[u8], start: usize, areas: &[Extent; 2]) -> Vec<u8> {
    let mut disk = vec![0; (start + log.len()).next_multiple_of(512) + 0x8200];
    let length = disk.len() as u64;
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x210, b"HIKVISION@HANGZHOU");
    put(0x230, b"HIK.2011.03.08");
    let [one, two] = areas;
    for (at, value) in [
        (0x248, length),
        (0x250, one.offset()),
        (0x258, one.len()),
        (0x260, two.offset()),
        (0x268, two.len()),
        (0x278, length),
        (0x288, 1 << 20),
        (0x290, 1),
    ] {
        put(at, &value.to_le_bytes());
    }
    put(start, log);
    disk
}

/// Events lie in the areas, each byte of them in one at most, in their order.
fn check_events(recorder: &dyn Recorder, areas: &[Extent; 2]) -> u64 {
    let mut reached = 0;
    let mut from = 0;
    for event in recorder.events() {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                assert!(!error.to_string().contains(char::is_control), "{error}");
                continue;
            }
        };
        let inside =
            |area: &Extent| area.offset() <= event.at.offset() && event.at.end() <= area.end();
        assert!(areas.iter().any(inside), "outside the log: {event:?}");
        assert!(from <= event.at.offset() && !event.at.is_empty(), "counted twice: {event:?}");
        assert!(event.unknown.len() as u64 <= event.at.len(), "{event:?}");
        let texts = [Some(&event.text), event.user.as_ref(), event.address.as_ref()];
        for text in texts.into_iter().flatten() {
            assert!(!text.contains(char::is_control), "{event:?}");
        }
        from = event.at.end();
        reached += 1;
        if reached as usize <= DESCRIBED {
            let structures =
                recorder.describe(event.at.offset(), None).expect("it was read before");
            let is_same = structures.iter().any(|structure| structure.at == event.at);
            assert!(is_same, "explained as another record: {event:?}, {structures:?}");
        }
    }
    reached
}
