use hex_literal::hex;
use proptest::{collection::vec, prelude::*};

use super::*;

/// The first units of a real camera's file, behind its 40-byte file header: pack, system header, map, four packets.
const REAL: &[u8] = &hex!(
    "000001ba5f8a5d19a40103acd3feffff002b5136"
    "000001bb001281d66904e17fe0e080c0c008bde080bfe080"
    "000001bc005af6ff0024400e484b010016ce046b749700ffffff4112484b000102030405060708090a0b0c0d0e0f"
    "002c24e00028420e071010ea0a2007981110c0002329440a0000800000000000ffff2a0a7fff000008ca1ffe44f3"
    "b18c5ff8"
    "000001e000268c800827e2974669fffffc0000000140010c01ffff016000000300b00000030000030099ac09"
    "000001e0002e8c0004fffffffc000000014201010160000000300b0000003000000300"
);

fn unit(window: &[u8]) -> Unit {
    match unit_at(window, false) {
        UnitAt::Unit(unit) => unit,
        other => panic!("{other:?}"),
    }
}

fn kinds(mut bytes: &[u8]) -> Vec<(UnitKind, usize)> {
    let mut out = Vec::new();
    while let UnitAt::Unit(unit) = unit_at(bytes, true) {
        bytes = bytes.get(unit.length..).unwrap_or(&[]);
        out.push((unit.kind, unit.length));
    }
    out
}

/// S-4: values of a real stream, worked out by hand.
#[test]
fn the_units_of_a_real_stream() {
    let pack = unit(REAL);
    let UnitKind::Pack(header) = pack.kind else { panic!("{pack:?}") };
    assert_eq!(header.scr, 3 << 30 | 0x714B << 15 | 0x2334);
    assert_eq!((header.scr_extension, header.mux_rate), (0, 0xEB34));
    assert_eq!((header.stuffing, header.is_mpeg1, pack.length), (14..20, false, 20));

    let system = unit(&REAL[20..]);
    assert_eq!((system.kind, system.length), (UnitKind::SystemHeader, 24));

    let bytes = &REAL[44..];
    let map = unit(bytes);
    let UnitKind::Map(program) = map.kind else { panic!("{map:?}") };
    assert_eq!((map.length, program.version, program.info.clone()), (96, 22, 10..46));
    assert_eq!(program.crc, MapCrc::HoldsReversed);
    let video = MapStream { stream_type: 0x24, stream_id: 0xE0, info: 52..92 };
    assert_eq!(program.streams, [video]);
    let tags = |within| descriptors(bytes, within).map(|d| (d.tag, d.body)).collect::<Vec<_>>();
    assert_eq!(tags(program.info), [(0x40, 12..26), (0x41, 28..46)]);
    assert_eq!(tags(52..92), [(0x42, 54..68), (0x44, 70..80), (0x2A, 82..92)]);

    let packet = unit(&REAL[140..]);
    let UnitKind::Pes(pes) = packet.kind else { panic!("{packet:?}") };
    // The time stamp of the first packet is the clock of its pack.
    assert_eq!(pes.pts, Some(PesTime { ticks: header.scr, at: 9 }));
    assert_eq!((pes.stream_id, pes.dts, pes.scrambling), (0xE0, None, 0));
    assert_eq!((pes.payload, packet.length, packet.whole), (17..44, 44, true));

    // The next one is cut off by the end of the bytes.
    let rest = &REAL[184..];
    assert_eq!(unit_at(rest, false), UnitAt::NeedMore(52));
    let UnitAt::Unit(cut) = unit_at(rest, true) else { panic!() };
    assert_eq!((cut.length, cut.whole), (52, false));
}

#[test]
fn the_check_sum_of_a_map_in_all_its_forms() {
    let map = REAL[44..140].to_vec();
    let with = |crc: [u8; 4]| {
        let mut map = map.clone();
        map[92..].copy_from_slice(&crc);
        match unit(&map).kind {
            UnitKind::Map(map) => map.crc,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with([0xF8, 0x5F, 0x8C, 0xB1]), MapCrc::Holds);
    assert_eq!(with([0xB1, 0x8C, 0x5F, 0xF8]), MapCrc::HoldsReversed);
    assert_eq!(with([0; 4]), MapCrc::Zero);
    assert_eq!(with([1, 2, 3, 4]), MapCrc::Differs);
}

#[test]
fn headers_that_contradict_themselves_are_no_units() {
    let none = |bytes: &[u8]| assert_eq!(unit_at(bytes, false), UnitAt::None, "{bytes:x?}");
    none(&hex!("000002ba"));
    none(&hex!("00000100"));
    none(&hex!("000001b8"));
    // Packs: neither form, a marker bit missing.
    none(&hex!("000001ba8f"));
    none(&hex!("000001ba5f8a5919a40103acd3fe"));
    none(&hex!("000001ba2100010001800000"));
    // Length 0 is for transport streams.
    none(&hex!("000001e00000"));
    // Header longer than the packet; decoding time stamp alone.
    none(&hex!("000001e0000480000200"));
    none(&hex!("000001e000088c400527"));
    // A map of 1025 bytes, and one too short.
    none(&hex!("000001bc03fb"));
    none(&hex!("000001bc0009"));
    none(&hex!("000001bb0005"));
}

#[test]
fn padding_and_private_stream_2_have_no_header() {
    for id in [0xBE, 0xBF] {
        let bytes = [0, 0, 1, id, 0, 3, 0x8C, 0x80, 0x05];
        let UnitKind::Pes(pes) = unit(&bytes).kind else { panic!() };
        assert_eq!((pes.payload, pes.pts), (6..9, None));
    }
    let private = hex!("000001bd00088c0002fffcaabbcc");
    let UnitKind::Pes(pes) = unit(&private).kind else { panic!() };
    assert_eq!(pes.payload, 11..14);
}

#[test]
fn the_end_code_is_four_bytes() {
    let end = unit(&hex!("000001b9000001ba"));
    assert_eq!((end.kind, end.length, end.whole), (UnitKind::ProgramEnd, 4, true));
}

/// A packet whose time stamp lacks its marker bits keeps its payload.
#[test]
fn a_broken_time_stamp_is_no_time_stamp() {
    let bytes = hex!("000001e0000a8080052600010001aabb");
    let UnitKind::Pes(pes) = unit(&bytes).kind else { panic!() };
    assert_eq!((pes.pts, pes.payload), (None, 14..16));
}

/// ISO/IEC 11172-1: stuffing, buffer size, both time stamps, or none of all.
#[test]
fn packets_of_the_older_form() {
    let pack = hex!("000001ba2100010001800001");
    let UnitKind::Pack(header) = unit(&pack).kind else { panic!() };
    assert_eq!((header.is_mpeg1, header.scr, unit(&pack).length), (true, 0, 12));
    let both = hex!("000001e0000fffff60 20 31000100031100010001aa");
    let UnitKind::Pes(pes) = unit(&both).kind else { panic!() };
    assert_eq!(pes.pts, Some(PesTime { ticks: 1, at: 10 }));
    assert_eq!((pes.dts, pes.payload), (Some(PesTime { ticks: 0, at: 15 }), 20..21));
    let bare = hex!("000001e000030f aabb");
    let UnitKind::Pes(pes) = unit(&bare).kind else { panic!() };
    assert_eq!((pes.pts, pes.payload), (None, 7..9));
}

#[test]
fn packs_are_found_where_they_are_and_where_they_may_be() {
    let mut bytes = vec![0xAA; 100];
    bytes.extend(hex!("000001ba8f000001"));
    bytes.extend(&REAL[..20]);
    assert_eq!(find_pack(&bytes), Some(108));
    assert_eq!(find_pack(&bytes[..111]), None);
    for cut in 4..20 {
        assert_eq!(find_pack(&bytes[..108 + cut]), Some(108), "{cut}");
    }
    assert!(is_start_code(&REAL[..4]) && !is_start_code(&REAL[..3]));
    assert!(!is_start_code(&[0, 0, 1, 0xB8]));
}

/// Bytes with many start codes and header beginnings among them.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..24),
        (0xB9u8..).prop_map(|code| vec![0, 0, 1, code]),
        (0xB9u8.., 0u8..64, prop::sample::select(vec![0x80u8, 0x8C, 0xFF, 0x21, 0x31, 0x0F, 0x40]))
            .prop_map(|(code, length, flags)| vec![0, 0, 1, code, 0, length, flags]),
        Just(REAL[..20].to_vec()),
        Just(REAL[44..140].to_vec()),
        Just(vec![0xFF; 6]),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// S-9: any bytes give a unit inside its own length, a longer window to ask for, or nothing.
    #[test]
    fn any_bytes_are_told(bytes in stream_bytes(), last in any::<bool>()) {
        match unit_at(&bytes, last) {
            UnitAt::NeedMore(needed) => {
                prop_assert!(!last && needed > bytes.len() && needed <= 65_541);
            }
            UnitAt::Unit(unit) => {
                prop_assert!(unit.length >= 4 && unit.length <= 65_541);
                prop_assert_eq!(unit.whole, unit.length <= bytes.len());
                prop_assert!(last || unit.whole);
                match &unit.kind {
                    UnitKind::Pes(pes) => {
                        prop_assert!(pes.payload.start <= pes.payload.end);
                        prop_assert_eq!(pes.payload.end, unit.length);
                        for time in pes.pts.iter().chain(&pes.dts) {
                            prop_assert!(time.at + 5 <= pes.payload.start && time.ticks < 1 << 33);
                        }
                    }
                    UnitKind::Map(map) => {
                        for stream in &map.streams {
                            prop_assert!(stream.info.end <= unit.length - 4);
                            let _ = descriptors(&bytes, stream.info.clone()).count();
                        }
                    }
                    _ => {}
                }
            }
            UnitAt::None => {}
        }
        let _ = (find_pack(&bytes), kinds(&bytes));
    }

    /// What a longer window shows is what a shorter one promised.
    #[test]
    fn asking_for_more_comes_to_an_end(bytes in stream_bytes()) {
        let mut window = 0;
        for _ in 0..8 {
            match unit_at(bytes.get(..window).unwrap_or(&bytes), false) {
                UnitAt::NeedMore(needed) if window < bytes.len() => window = needed,
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "asked eight times");
    }
}
