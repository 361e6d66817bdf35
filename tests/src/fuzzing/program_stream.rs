//! Units of a program stream: what stands at a place must not depend on how many bytes are seen at once.

use std::ops::Range;

use daleel_media::ps::{
    PesTime, Unit, UnitAt, UnitKind, descriptors, find_pack, is_start_code, unit_at,
};

/// Bytes in front of the stream: lengths of windows.
pub const LENGTHS: usize = 8;
/// The longest unit: its length is 16 bits behind six bytes.
const UNIT_MAX: usize = 6 + 0xFFFF;

/// The bytes are [`LENGTHS`] window lengths, then a stream.
pub fn program_stream(bytes: &[u8]) -> u64 {
    let Some((lengths, stream)) = bytes.split_first_chunk::<LENGTHS>() else { return 0 };
    let mut reached = 0;
    let mut packs = Vec::new();
    for at in 0..stream.len() {
        let rest = &stream[at..];
        let whole = unit_at(rest, true);
        let first = usize::from(lengths[at % LENGTHS]) * 2;
        assert_eq!(whole, in_windows(rest, first), "at {at}: depends on the window");
        let UnitAt::Unit(unit) = whole else {
            assert_eq!(whole, UnitAt::None, "asks for more than there is");
            continue;
        };
        check_unit(&unit, rest);
        reached += 1;
        if let UnitKind::Pack(_) = unit.kind {
            packs.push(at);
        }
    }
    check_search(stream, &packs);
    reached
}

/// Looks with a window that grows as it is asked to; gives what is seen when the window is enough.
fn in_windows(rest: &[u8], first: usize) -> UnitAt {
    let mut length = first;
    loop {
        let window = &rest[..rest.len().min(length)];
        let last = window.len() == rest.len();
        match unit_at(window, last) {
            UnitAt::NeedMore(needed) => {
                assert!(!last && needed > window.len() && needed <= UNIT_MAX, "{needed}");
                length = needed;
            }
            seen => return seen,
        }
    }
}

fn check_unit(unit: &Unit, rest: &[u8]) {
    assert!(is_start_code(rest) && (4..=UNIT_MAX).contains(&unit.length), "{unit:?}");
    assert_eq!(unit.whole, unit.length <= rest.len(), "{unit:?}");
    let inside = |range: &Range<usize>| range.start <= range.end && range.end <= unit.length;
    let is_time = |time: &PesTime| time.ticks < 1 << 33 && time.at + 5 <= unit.length;
    match &unit.kind {
        UnitKind::Pack(pack) => {
            assert!(inside(&pack.stuffing) && pack.scr < 1 << 33 && pack.scr_extension < 512);
        }
        UnitKind::Map(map) => {
            assert!(unit.whole, "a map is read as a whole: {unit:?}");
            let infos = map.streams.iter().map(|stream| &stream.info);
            for info in infos.chain([&map.info]) {
                assert!(inside(info), "{unit:?}");
                let mut at = info.start;
                for descriptor in descriptors(rest, info.clone()) {
                    assert!(at + 2 == descriptor.body.start && descriptor.body.end <= info.end);
                    at = descriptor.body.end;
                }
            }
        }
        UnitKind::Pes(pes) => {
            assert!(inside(&pes.payload) && pes.scrambling < 4, "{unit:?}");
            assert!(pes.pts.iter().chain(&pes.dts).all(is_time), "{unit:?}");
        }
        UnitKind::SystemHeader | UnitKind::ProgramEnd => {}
    }
}

/// The search finds the first pack, and stops before it at most where the end of the bytes hides that there is none.
fn check_search(stream: &[u8], packs: &[usize]) {
    let mut from = 0;
    for pack in packs {
        while let Some(at) = find_pack(&stream[from..]).map(|at| at + from) {
            assert!(at <= *pack, "the pack at {pack} is passed over");
            from = at + 1;
            if at == *pack {
                break;
            }
            assert!(!matches!(unit_at(&stream[at..], false), UnitAt::None), "no pack at {at}");
        }
        assert!(from > *pack, "the pack at {pack} is not found");
    }
}
