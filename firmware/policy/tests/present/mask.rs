//! HWB-RM-03: what is shown differs from what the drive said in the closed list of fields, and nowhere else.
//!
//! The masks are written here from section 5.2 of the published policy, not taken from the code under test.

use proptest::{collection::vec, prelude::*};
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    present::read_capacity16,
};

use crate::{captures, edits, inquiry, vpd};

/// Bits of standard INQUIRY data that may differ, by byte: peripheral qualifier; NormACA; additional length; SCCS, ACC, TPGS, 3PC
/// and PROTECT; EncServ and MultiP; CmdQue.
const INQUIRY: [u8; 8] = [0xE0, 0, 0, 0x20, 0xFF, 0xF9, 0x50, 0x02];

/// The same of VPD page B0h: WSNZ; COMPARE AND WRITE; UNMAP counts; WRITE SAME length; atomic writes.
fn limits_mask(index: usize) -> u8 {
    match index {
        0 => 0xE0,
        4 => 0x01,
        5 | 20..=27 | 36..=63 => 0xFF,
        _ => 0,
    }
}

/// The same of VPD page B2h: LBPU, LBPWS, LBPWS10; provisioning type.
fn provisioning_mask(index: usize) -> u8 {
    match index {
        0 => 0xE0,
        5 => 0xE0,
        6 => 0x07,
        _ => 0,
    }
}

/// Only bits of the mask differ, and all of them are zero in what is shown, unless they state a length.
fn differs_only_in(shown: &[u8], own: &[u8], mask: impl Fn(usize) -> u8) {
    for (index, (shown, own)) in shown.iter().zip(own).enumerate() {
        assert_eq!((shown ^ own) & !mask(index), 0, "byte {index}");
    }
}

fn with_page(page: u8, content: &[u8]) -> Capture {
    let mut bytes = vec![content.first().copied().unwrap_or(0), page, 0, content.len() as u8];
    bytes.extend_from_slice(content);
    let mut capture = Capture::empty(Kind::Usb);
    match page {
        0x80 => capture.vpd.serial = Some(Bytes::new(&bytes)),
        0x83 => capture.vpd.identification = Some(Bytes::new(&bytes)),
        0x89 => capture.vpd.ata = Some(Bytes::new(&bytes)),
        0xB0 => capture.vpd.limits = Some(Bytes::new(&bytes)),
        0xB1 => capture.vpd.characteristics = Some(Bytes::new(&bytes)),
        _ => capture.vpd.provisioning = Some(Bytes::new(&bytes)),
    }
    capture
}

fn own_page(capture: &Capture, page: u8) -> Vec<u8> {
    let vpd = &capture.vpd;
    match page {
        0x80 => vpd.serial.map(|page| page.as_slice().to_vec()),
        0x83 => vpd.identification.map(|page| page.as_slice().to_vec()),
        0x89 => vpd.ata.map(|page| page.as_slice().to_vec()),
        0xB0 => vpd.limits.map(|page| page.as_slice().to_vec()),
        0xB1 => vpd.characteristics.map(|page| page.as_slice().to_vec()),
        _ => vpd.provisioning.map(|page| page.as_slice().to_vec()),
    }
    .unwrap()
}

fn page_mask(page: u8, index: usize) -> u8 {
    match (page, index) {
        (0xB0, _) => limits_mask(index),
        (0xB2, _) => provisioning_mask(index),
        (_, 0) => 0xE0,
        _ => 0,
    }
}

/// HWB-RM-03 on the typical exhibits.
#[test]
fn typical_exhibits_differ_only_in_the_closed_list() {
    for (name, capture) in captures::all() {
        let shown = inquiry(&capture);
        let own = capture.inquiry.as_slice();
        assert_eq!(shown.len(), own.len().min(58), "{name}");
        differs_only_in(&shown, own, |index| INQUIRY.get(index).copied().unwrap_or(0));
        for page in [0x80, 0x83, 0x89, 0xB0, 0xB1, 0xB2] {
            let shown = vpd(page, &capture);
            if !shown.is_empty() {
                let own = own_page(&capture, page);
                assert_eq!(shown.len(), own.len(), "{name} {page:02X}");
                differs_only_in(&shown, &own, |index| page_mask(page, index));
            }
        }
    }
}

/// 5.2, the other side of the mask: of a drive that sets every bit, all bits of the closed list are shown as zero.
#[test]
fn everything_in_the_closed_list_is_cleared() {
    let mut capture = Capture::empty(Kind::Usb);
    capture.inquiry = Bytes::new(&[0xFF; 58]);
    for (index, byte) in inquiry(&capture).into_iter().enumerate().filter(|(index, _)| *index != 4)
    {
        assert_eq!(byte, !INQUIRY.get(index).copied().unwrap_or(0), "byte {index}");
    }
    for page in [0xB0, 0xB2] {
        let shown = vpd(page, &with_page(page, &[0xFF; 60]));
        for (index, byte) in shown.into_iter().enumerate().filter(|(index, _)| *index > 3) {
            assert_eq!(byte, !page_mask(page, index), "{page:02X} byte {index}");
        }
    }
}

/// HWB-RM-03: one bit set in the drive's INQUIRY is either shown or named as an edit, for every bit.
#[test]
fn every_bit_of_inquiry_is_shown_or_listed() {
    let none = |capture: &Capture| {
        edits(capture).into_iter().filter(|edit| edit.starts_with("INQUIRY")).count()
    };
    for bit in (0..58 * 8).filter(|bit| bit / 8 != 4) {
        let mut own = [0_u8; 58];
        own[4] = 53;
        own[bit / 8] |= 1 << (bit % 8);
        let mut capture = Capture::empty(Kind::Usb);
        capture.inquiry = Bytes::new(&own);
        let is_shown = inquiry(&capture)[bit / 8] == own[bit / 8];
        assert_eq!(none(&capture), usize::from(!is_shown), "byte {} bit {}", bit / 8, bit % 8);
    }
}

/// HWB-RM-03: the same for every page of the vital product data and for READ CAPACITY(16).
#[test]
fn every_bit_of_vpd_and_capacity_is_shown_or_listed() {
    for page in [0x80, 0x83, 0xB0, 0xB1, 0xB2] {
        for bit in (0..64 * 8).filter(|bit| !(8..32).contains(bit)) {
            let mut content = [0_u8; 60];
            let first = if bit < 8 { 1 << bit } else { 0 };
            if bit >= 32 {
                content[bit / 8 - 4] |= 1 << (bit % 8);
            }
            let mut capture = with_page(page, &content);
            let mut own = own_page(&capture, page);
            own[0] = first;
            replace(&mut capture, page, &own);
            let shown = vpd(page, &capture);
            let made = edits(&capture)
                .into_iter()
                .filter(|edit| edit.starts_with("VPD") && !edit.starts_with("VPD 00h"))
                .count();
            assert_eq!(made, usize::from(shown != own), "{page:02X} bit {bit}");
        }
    }
    for bit in 0..32 * 8 {
        let mut own = [0_u8; 32];
        own[bit / 8] |= 1 << (bit % 8);
        let mut capture = Capture::empty(Kind::Usb);
        capture.capacity16 = Some(own);
        let made =
            edits(&capture).into_iter().filter(|edit| edit.starts_with("READ CAPACITY")).count();
        assert_eq!(made, usize::from(read_capacity16(&own) != own), "bit {bit}");
    }
}

fn replace(capture: &mut Capture, page: u8, bytes: &[u8]) {
    match page {
        0x80 => capture.vpd.serial = Some(Bytes::new(bytes)),
        0x83 => capture.vpd.identification = Some(Bytes::new(bytes)),
        0xB0 => capture.vpd.limits = Some(Bytes::new(bytes)),
        0xB1 => capture.vpd.characteristics = Some(Bytes::new(bytes)),
        _ => capture.vpd.provisioning = Some(Bytes::new(bytes)),
    }
}

proptest! {
    /// HWB-RM-03: whatever a drive says of itself, what is shown differs only in the closed list.
    #[test]
    fn any_inquiry_differs_only_in_the_closed_list(own in vec(any::<u8>(), 36..=96)) {
        let mut capture = Capture::empty(Kind::Usb);
        capture.inquiry = Bytes::new(&own);
        let shown = inquiry(&capture);
        prop_assert_eq!(shown.len(), own.len().min(58));
        differs_only_in(&shown, &own, |index| INQUIRY.get(index).copied().unwrap_or(0));
        prop_assert_eq!(usize::from(shown[4]), shown.len() - 5);
    }

    /// HWB-RM-03 for a page of any content.
    #[test]
    fn any_page_differs_only_in_the_closed_list(
        content in vec(any::<u8>(), 0..60),
        page in prop::sample::select(vec![0x80_u8, 0x83, 0x89, 0xB0, 0xB1, 0xB2]),
    ) {
        let capture = with_page(page, &content);
        let shown = vpd(page, &capture);
        let own = own_page(&capture, page);
        prop_assert_eq!(shown.len(), own.len());
        differs_only_in(&shown, &own, |index| page_mask(page, index));
    }
}
