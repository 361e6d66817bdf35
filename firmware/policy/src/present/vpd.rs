//! Vital product data pages as the host sees them (section 5.2; SPC-4 7.8, SBC-3 6.5, SAT-3 12.4).
//!
//! A page is offered only if the drive has it: a page that says nothing tells the host no more than none, and a made-up one would be a
//! statement about the exhibit that the exhibit did not make. The exception is page 00h, which the blocker
//! always has, since it lists what the blocker offers. For cards the card driver makes the pages of 7.4, and they pass here like a
//! drive's.

use super::{
    fields::{self, VPD_QUALIFIER},
    writer::Writer,
};
use crate::capture::{Bytes, Capture};

/// Supported VPD pages.
pub(super) const SUPPORTED: u8 = 0x00;
/// Unit serial number.
pub(super) const SERIAL: u8 = 0x80;
/// Device identification.
pub(super) const IDENTIFICATION: u8 = 0x83;
/// ATA information.
pub(super) const ATA: u8 = 0x89;
/// Block limits.
pub(super) const BLOCK_LIMITS: u8 = 0xB0;
/// Block device characteristics.
pub(super) const CHARACTERISTICS: u8 = 0xB1;
/// Logical block provisioning.
pub(super) const PROVISIONING: u8 = 0xB2;
/// Pages that can be offered besides the list itself, ascending.
pub(super) const PAGES: [u8; 6] =
    [SERIAL, IDENTIFICATION, ATA, BLOCK_LIMITS, CHARACTERISTICS, PROVISIONING];

/// Length of a page's header.
pub(super) const HEADER: usize = 4;
/// Allocation length of the attach script for pages below its room in the capture (3.2).
const ASKED: usize = 255;

/// A page of the drive that can be believed.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    /// Header and contents, at most as many as the page says.
    pub(super) bytes: &'a [u8],
    /// Whether the page says that it is longer.
    pub(super) is_cut: bool,
}

/// The drive's page, if it has one, its code is right, and it is as long as it says. Shorter is believed only where the
/// script asked for no more.
pub(super) fn of_drive(capture: &Capture, page: u8) -> Option<Page<'_>> {
    let vpd = &capture.vpd;
    match page {
        SUPPORTED => believed(vpd.supported.as_ref(), page),
        SERIAL => believed(vpd.serial.as_ref(), page),
        IDENTIFICATION => believed(vpd.identification.as_ref(), page),
        ATA => believed(vpd.ata.as_ref(), page),
        BLOCK_LIMITS => believed(vpd.limits.as_ref(), page),
        CHARACTERISTICS => believed(vpd.characteristics.as_ref(), page),
        PROVISIONING => believed(vpd.provisioning.as_ref(), page),
        _ => None,
    }
}

fn believed<const N: usize>(captured: Option<&Bytes<N>>, page: u8) -> Option<Page<'_>> {
    let bytes = captured?.as_slice();
    let [_, code, high, low, ..] = *bytes else { return None };
    let claimed = usize::from(u16::from_be_bytes([high, low])).checked_add(HEADER)?;
    let is_cut = claimed > bytes.len();
    if code != page || (is_cut && bytes.len() < N.min(ASKED)) {
        return None;
    }
    Some(Page { bytes: bytes.get(..claimed).unwrap_or(bytes), is_cut })
}

/// Whether the host can ask for a page. `ident` is the profile that page 89h belongs to.
pub(super) fn is_offered(capture: &Capture, page: u8, ident: bool) -> bool {
    page == SUPPORTED || ((page != ATA || ident) && of_drive(capture, page).is_some())
}

/// The codes that page 00h lists.
pub(super) fn offered(capture: &Capture, ident: bool) -> impl Iterator<Item = u8> + '_ {
    core::iter::once(SUPPORTED)
        .chain(PAGES.into_iter().filter(move |page| is_offered(capture, *page, ident)))
}

/// Contents as shown: a page cut short ends with its last whole designator.
fn contents(page: u8, own: Page<'_>) -> &[u8] {
    let all = own.bytes.get(HEADER..).unwrap_or(&[]);
    let length =
        if page == IDENTIFICATION && own.is_cut { whole_designators(all) } else { all.len() };
    all.get(..length).unwrap_or(all)
}

/// Length of the designators that are there as a whole (SPC-4 7.8.6.1).
fn whole_designators(bytes: &[u8]) -> usize {
    let mut end = 0_usize;
    while let Some(length) = bytes.get(end.saturating_add(3)) {
        let next = end.saturating_add(HEADER).saturating_add(usize::from(*length));
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

/// PAGE LENGTH as shown.
pub(super) fn shown_length(page: u8, own: Page<'_>) -> u16 {
    u16::try_from(contents(page, own).len()).unwrap_or(u16::MAX)
}

pub(super) fn put(capture: &Capture, page: u8, ident: bool, out: &mut Writer<'_>) {
    if !is_offered(capture, page, ident) {
        return;
    }
    if page == SUPPORTED {
        let count = u8::try_from(offered(capture, ident).count()).unwrap_or(u8::MAX);
        let own = of_drive(capture, page).and_then(|own| own.bytes.first().copied());
        let first = own.map_or(capture.device_type(), |own| fields::shown(&VPD_QUALIFIER, 0, own));
        out.bytes(&[first, page, 0, count]);
        offered(capture, ident).for_each(|page| out.byte(page));
        return;
    }
    let Some(own) = of_drive(capture, page) else { return };
    let contents = contents(page, own);
    let [high, low] = shown_length(page, own).to_be_bytes();
    let first = own.bytes.first().copied().unwrap_or(0);
    let table = fields::of_page(page);
    out.bytes(&[fields::shown(&VPD_QUALIFIER, 0, first), page, high, low]);
    for (index, byte) in contents.iter().enumerate() {
        out.byte(fields::shown(table, index.saturating_add(HEADER), *byte));
    }
}
