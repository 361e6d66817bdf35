//! Captures of a drive that lies about everything: no panic, no length that does not hold.

use hex_literal::hex;
use proptest::{collection::vec, option, prelude::*};
use wb_policy::{
    capture::{Bytes, Capture, Identify, IdentifyData, Kind, Vpd},
    geometry::Geometry,
    judge::{Answer, OpcodeQuery},
    present::{self, EDITS_MAX, Offered, State},
    sense::{AtaRegisters, Sense},
};

use crate::{ROOM, captures, edits, inquiry, shown, vpd};

/// A page cut short by the allocation length ends with its last whole designator, and says so.
#[test]
fn a_long_identification_page_ends_with_a_whole_designator() {
    let mut page = hex!("00 83 02 00").to_vec();
    for number in 0..32_u8 {
        page.extend_from_slice(&hex!("01 03 00 10 60 00 00 00 00 00 00 00 00 00 00 00 00 00 00"));
        page.push(number);
    }
    let mut disk = captures::sata();
    disk.vpd.identification = Some(Bytes::new(&page[..255]));
    let shown = vpd(0x83, &disk);
    assert_eq!(shown[..4], hex!("00 83 00 F0"));
    assert_eq!(shown.len(), 4 + 12 * 20);
    assert_eq!(shown[4..], page[4..4 + 240]);
    assert!(edits(&disk).contains(&"VPD page length"));
}

/// A device that answers every INQUIRY with standard data has no vital product data.
#[test]
fn standard_data_in_place_of_a_page_is_no_page() {
    let standard = captures::stick();
    let mut capture = captures::stick();
    capture.vpd = Vpd {
        supported: Some(Bytes::new(standard.inquiry.as_slice())),
        serial: Some(Bytes::new(standard.inquiry.as_slice())),
        identification: Some(Bytes::new(standard.inquiry.as_slice())),
        limits: Some(Bytes::new(standard.inquiry.as_slice())),
        ..Vpd::default()
    };
    assert_eq!(vpd(0x00, &capture), hex!("00 00 00 01 00"));
    for page in [0x80, 0x83, 0xB0] {
        assert!(vpd(page, &capture).is_empty(), "{page:02X}");
    }
}

/// INQUIRY data that break off are filled up to the shortest length of the standard.
#[test]
fn short_inquiry_is_padded() {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(&hex!("00 80 02 02 05 00 00 00 41 42"));
    let expected = [&hex!("00 80 02 02 1F 00 00 00")[..], b"AB                          "].concat();
    assert_eq!(inquiry(&capture), expected);
    assert!(edits(&capture).contains(&"INQUIRY padded to 36 bytes"));
}

/// The most edits that one drive can cause fit the bound.
#[test]
fn the_bound_on_edits_holds() {
    let mut capture = captures::sata();
    capture.inquiry = Bytes::new(&[0xFF; 96]);
    let long = |page: u8| [0xFF, page, 0xFF, 0xFF];
    let fill = |page: u8, length: usize| {
        let mut bytes = vec![0xFF; length];
        bytes[..4].copy_from_slice(&long(page));
        bytes
    };
    capture.vpd.serial = Some(Bytes::new(&fill(0x80, 128)));
    capture.vpd.identification = Some(Bytes::new(&fill(0x83, 255)));
    capture.vpd.ata = Some(Bytes::new(&fill(0x89, 572)));
    capture.vpd.limits = Some(Bytes::new(&fill(0xB0, 64)));
    capture.vpd.characteristics = Some(Bytes::new(&fill(0xB1, 64)));
    capture.vpd.provisioning = Some(Bytes::new(&fill(0xB2, 64)));
    capture.capacity16 = Some([0xFF; 32]);
    let mut mode = captures::SATA_MODE;
    mode[14] = 0xFF;
    capture.mode = Some(Bytes::new(&mode));
    capture.vpd.supported = Some(Bytes::new(&hex!("FF 00 00 02 00 01")));
    let all: Vec<_> = present::changes(&capture, true).collect();
    assert_eq!(all.len(), EDITS_MAX);
    let mut places: Vec<_> = all.iter().map(|edit| (edit.opcode, edit.sub, edit.name)).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), all.len());
}

fn bytes<const N: usize>() -> impl Strategy<Value = Bytes<N>> {
    vec(any::<u8>(), 0..=N).prop_map(|bytes| Bytes::new(&bytes))
}

/// A page whose header is right or wrong.
fn page<const N: usize>(code: u8) -> impl Strategy<Value = Option<Bytes<N>>> {
    let plausible = (vec(any::<u8>(), 0..=N), 0..8_u8).prop_map(move |(mut bytes, twist)| {
        let length = bytes.len().saturating_sub(4) + usize::from(twist == 1);
        for (own, byte) in bytes.iter_mut().skip(1).zip([code, (length >> 8) as u8, length as u8]) {
            *own = byte;
        }
        Bytes::new(&bytes)
    });
    option::of(prop_oneof![3 => plausible, 1 => bytes::<N>()])
}

prop_compose! {
    fn hostile()(
        inquiry in bytes::<96>(),
        supported in page::<64>(0x00),
        serial in page::<128>(0x80),
        identification in page::<255>(0x83),
        ata in page::<572>(0x89),
        limits in page::<64>(0xB0),
        characteristics in page::<64>(0xB1),
        provisioning in page::<64>(0xB2),
        size in option::of(any::<(u64, u32)>()),
        capacity16 in option::of(vec(any::<u8>(), 32)),
        mode in option::of(bytes::<192>()),
        identify in vec(any::<u8>(), 512),
    ) -> Capture {
        let mut capture = Capture::empty(Kind::Usb);
        capture.inquiry = inquiry;
        capture.vpd =
            Vpd { supported, serial, identification, ata, limits, characteristics, provisioning };
        capture.geometry = size.map(|(blocks, block_bytes)| Geometry { blocks, block_bytes });
        capture.capacity16 = capacity16.map(|bytes| bytes.try_into().unwrap());
        capture.mode = mode;
        capture.identify = Identify::Valid(IdentifyData(identify.try_into().unwrap()));
        capture
    }
}

fn own_page(capture: &Capture, page: u8) -> Vec<u8> {
    let vpd = &capture.vpd;
    match page {
        0x00 => vpd.supported.map(|page| page.as_slice().to_vec()),
        0x80 => vpd.serial.map(|page| page.as_slice().to_vec()),
        0x83 => vpd.identification.map(|page| page.as_slice().to_vec()),
        0x89 => vpd.ata.map(|page| page.as_slice().to_vec()),
        0xB0 => vpd.limits.map(|page| page.as_slice().to_vec()),
        0xB1 => vpd.characteristics.map(|page| page.as_slice().to_vec()),
        _ => vpd.provisioning.map(|page| page.as_slice().to_vec()),
    }
    .unwrap_or_default()
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let allocation = prop_oneof![0..64_u32, any::<u32>()];
    (0..11_u8, any::<(u8, u8, bool, bool, u16)>(), allocation).prop_map(
        |(kind, (a, b, c, d, e), allocation)| match kind {
            0 => Answer::Inquiry { allocation },
            1 => Answer::Vpd { page: a, allocation },
            2 => {
                let page = [0x00, 0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2][usize::from(a % 7)];
                Answer::Vpd { page, allocation }
            }
            3 => Answer::ModeSense6 { page: a, pc: b & 3, dbd: c, allocation },
            4 => Answer::ModeSense10 { page: 0x3F, pc: b & 3, dbd: c, llbaa: d, allocation },
            5 => Answer::RequestSense { descriptor: c, allocation },
            6 => Answer::ReportLuns { select: a, allocation },
            7 => Answer::ReadFormatCapacities { allocation },
            8 => {
                let query = match b & 3 {
                    0 => OpcodeQuery::All,
                    1 => OpcodeQuery::Opcode(a),
                    2 => OpcodeQuery::ServiceAction(a, e),
                    _ => OpcodeQuery::Either(a, e),
                };
                Answer::SupportedOpcodes { query, allocation }
            }
            9 => Answer::SupportedTmfs { extended: c, allocation },
            _ if d => Answer::AtaIdentify,
            _ => Answer::AtaRegisters,
        },
    )
}

/// The length that an answer states of itself, where its whole is there.
fn stated(answer: &Answer, bytes: &[u8]) -> Option<usize> {
    let be = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
    Some(match answer {
        Answer::Inquiry { .. } => usize::from(*bytes.get(4)?) + 5,
        Answer::Vpd { .. } => be(bytes.get(2..4)?) + 4,
        Answer::ModeSense6 { .. } => usize::from(*bytes.first()?) + 1,
        Answer::ModeSense10 { .. } => be(bytes.get(..2)?) + 2,
        Answer::ReportLuns { .. } => be(bytes.get(..4)?) + 8,
        Answer::ReadFormatCapacities { .. } => usize::from(*bytes.get(3)?) + 4,
        Answer::SupportedOpcodes { query: OpcodeQuery::All, .. } => be(bytes.get(..4)?) + 4,
        Answer::SupportedOpcodes { .. } => be(bytes.get(2..4)?) + 4,
        Answer::SupportedTmfs { .. } => usize::from(*bytes.get(3)?) + 4,
        Answer::RequestSense { .. } | Answer::AtaIdentify | Answer::AtaRegisters => return None,
    })
}

proptest! {
    /// Whatever a drive said and a host asks: no panic, never more than asked for, stated lengths hold, and a small buffer gets the
    /// beginning of what a large one gets.
    #[test]
    fn lengths_hold(
        capture in hostile(),
        answer in any_answer(),
        sense in vec(any::<u8>(), 0..40),
        opcodes in vec(any::<(u8, Option<u16>)>(), 0..300),
        room in 0..ROOM,
        ident in any::<bool>(),
    ) {
        let sense = Sense::of_drive(&sense);
        let registers = AtaRegisters::default();
        let state = State { capture: &capture, sense: &sense, registers: &registers, ident };
        let offered = || {
            opcodes.iter().map(|(opcode, service_action)| Offered {
                opcode: *opcode,
                service_action: *service_action,
            })
        };
        let mut whole = [0_u8; 4096];
        let length = present::answer(&answer, &state, offered(), &mut whole);
        let asked = usize::try_from(answer.allocation()).unwrap();
        prop_assert!(length <= asked);
        prop_assert_eq!(length, usize::try_from(present::length(&answer, &state, offered())).unwrap());
        if length < asked
            && length > 0
            && let Some(stated) = stated(&answer, &whole[..length])
        {
            prop_assert_eq!(stated, length);
        }
        let mut small = vec![0xEE_u8; room];
        let kept = present::answer(&answer, &state, offered(), &mut small);
        prop_assert_eq!(kept, length.min(room));
        prop_assert_eq!(&small[..kept], &whole[..kept]);
        prop_assert!(small[kept..].iter().all(|byte| *byte == 0xEE));
        prop_assert!(present::edits(&capture, ident).count() <= EDITS_MAX);
    }

    /// An edit says the truth: its bytes are those of the drive's answer and of what the host gets, at its offset.
    #[test]
    fn edits_quote_both_sides(capture in hostile()) {
        for edit in present::changes(&capture, true) {
            let (own, shown) = match (edit.opcode, edit.sub) {
                (0x12, 0) => (capture.inquiry.as_slice().to_vec(), inquiry(&capture)),
                (0x12, page) => {
                    let page = page as u8;
                    (own_page(&capture, page), vpd(page, &capture))
                }
                (0x1A, _) => {
                    let ask = Answer::ModeSense6 { page: 0x3F, pc: 0, dbd: false, allocation: 255 };
                    (capture.mode.map_or(vec![], |own| own.as_slice().to_vec()), shown(ask, &capture))
                }
                _ => {
                    let own = capture.capacity16.unwrap();
                    (own.to_vec(), present::read_capacity16(&own).to_vec())
                }
            };
            let offset = usize::from(edit.offset);
            let quoted = own.get(offset..).unwrap_or(&[]);
            prop_assert!(quoted.starts_with(edit.original), "{edit:?}");
            // The blocker's caching page lies elsewhere than the drive's.
            if !matches!(edit.name, "MODE SENSE WCE" | "MODE SENSE RCD") {
                let quoted = shown.get(offset..).unwrap_or(&[]);
                prop_assert!(quoted.starts_with(edit.presented()), "{edit:?} {shown:02X?}");
            }
            prop_assert!(edit.original != edit.presented() || edit.original.is_empty(), "{edit:?}");
        }
    }

    /// Page 00h lists, ascending and once, exactly the pages that are answered.
    #[test]
    fn the_list_of_pages_is_the_truth(capture in hostile()) {
        let list = vpd(0x00, &capture);
        prop_assert!(list[4..].windows(2).all(|pair| pair[0] < pair[1]));
        for page in 0..=0xFF_u8 {
            let listed = list[4..].contains(&page);
            prop_assert_eq!(listed, !vpd(page, &capture).is_empty());
            let answer = Answer::Vpd { page, allocation: 255 };
            prop_assert_eq!(listed, present::refusal(&answer, &capture, true).is_none());
        }
    }
}
