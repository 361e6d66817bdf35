//! Presentation edits: where what the host is shown differs from what the drive said (section 5.2, and HWB-RM-03).
//!
//! A statement lists them. An edit is listed when it was made, not when it could have been: a field that was zero already is
//! no edit. The tables of [`super::fields`] that clear the bits also name them here.

use super::{
    fields::{CAPACITY16, Cleared, INQUIRY, VPD_QUALIFIER, of_page, shown},
    inquiry, mode, vpd,
    writer::Writer,
};
use crate::capture::Capture;

/// At most this many edits can be made to one drive.
pub const EDITS_MAX: usize = 45;
/// Room for the bytes presented by one edit: the longest is the whole answer to MODE SENSE(6).
const PRESENTED: usize = 64;

/// Operation code, and what tells the answers to it apart.
#[derive(Clone, Copy)]
struct Answer(u8, u16);

const STANDARD: Answer = Answer(0x12, 0);
const MODE_SENSE: Answer = Answer(0x1A, 0x3F);
const READ_CAPACITY16: Answer = Answer(0x9E, 0x10);

/// Bytes 1 and 2 of an INQUIRY: EVPD and the page code.
fn page_answer(page: u8) -> Answer {
    Answer(0x12, 0x0100 | u16::from(page))
}

/// One edit, as a statement lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// What was edited.
    pub name: &'static str,
    /// Operation code of the command that shows it: 12h, 1Ah or 9Eh.
    pub opcode: u8,
    /// What tells the answers to the operation code apart: 0 for standard INQUIRY data, 01pph for page pp of the vital product
    /// data, the page of MODE SENSE, the service action of READ CAPACITY(16).
    pub sub: u16,
    /// Offset in the drive's answer, in bytes.
    pub offset: u16,
    /// The drive's bytes; empty where it had none.
    pub original: &'a [u8],
    presented: [u8; PRESENTED],
    length: u8,
}

impl<'a> Change<'a> {
    fn new(name: &'static str, answer: Answer, offset: usize, original: &'a [u8]) -> Self {
        let Answer(opcode, sub) = answer;
        let offset = u16::try_from(offset).unwrap_or(u16::MAX);
        Self { name, opcode, sub, offset, original, presented: [0; PRESENTED], length: 0 }
    }

    fn showing(mut self, fill: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut out = Writer::new(&mut self.presented);
        fill(&mut out);
        self.length = u8::try_from(out.kept()).unwrap_or(0);
        self
    }

    /// The bytes in their place as the host sees them; empty where they were left out.
    #[must_use]
    pub fn presented(&self) -> &[u8] {
        self.presented.get(..usize::from(self.length)).unwrap_or(&self.presented)
    }
}

/// The edits made to what the host sees of a drive, in the order of the commands that show them. `ident` is the profile that VPD
/// page 89h belongs to.
pub fn changes(capture: &Capture, ident: bool) -> impl Iterator<Item = Change<'_>> + '_ {
    of_inquiry(capture)
        .chain(of_list(capture, ident))
        .chain(of_pages(capture, ident))
        .chain(of_mode(capture))
        .chain(of_capacity(capture))
}

/// The names of the edits, in the same order.
pub fn edits(capture: &Capture, ident: bool) -> impl Iterator<Item = &'static str> + '_ {
    changes(capture, ident).map(|change| change.name)
}

/// The fields that an answer has and that are shown as zero.
fn cleared<'a>(
    fields: &'static [Cleared],
    answer: Answer,
    bytes: &'a [u8],
) -> impl Iterator<Item = Change<'a>> {
    fields.iter().filter(move |field| field.is_set_in(bytes)).map(move |field| {
        let end = field.last.saturating_add(1).min(bytes.len());
        let original = bytes.get(field.first..end).unwrap_or(&[]);
        Change::new(field.name, answer, field.first, original).showing(|out| {
            for (index, byte) in (field.first..).zip(original) {
                out.byte(shown(fields, index, *byte));
            }
        })
    })
}

fn of_inquiry(capture: &Capture) -> impl Iterator<Item = Change<'_>> + '_ {
    let own = capture.inquiry.as_slice();
    let length = inquiry::additional_length(own.len());
    let stated = own.get(inquiry::ADDITIONAL_LENGTH..).unwrap_or(&[]);
    let stated = stated.get(..1).unwrap_or(&[]);
    let length_edit = (stated != [length]).then(|| {
        Change::new("INQUIRY additional length", STANDARD, inquiry::ADDITIONAL_LENGTH, stated)
            .showing(|out| out.byte(length))
    });
    let descriptors = own.get(inquiry::VERSION_DESCRIPTORS..).filter(|rest| !rest.is_empty());
    let descriptors_edit = descriptors.map(|rest| {
        Change::new("INQUIRY version descriptors", STANDARD, inquiry::VERSION_DESCRIPTORS, rest)
    });
    let padded = (own.len() < inquiry::SHORTEST).then(|| {
        Change::new("INQUIRY padded to 36 bytes", STANDARD, own.len(), &[]).showing(|out| {
            (own.len()..inquiry::SHORTEST).for_each(|at| out.byte(inquiry::shown_byte(own, at)))
        })
    });
    cleared(&INQUIRY, STANDARD, own).chain(length_edit).chain(descriptors_edit).chain(padded)
}

/// Page 00h.
fn of_list(capture: &Capture, ident: bool) -> impl Iterator<Item = Change<'_>> + '_ {
    let answer = page_answer(vpd::SUPPORTED);
    let own = vpd::of_drive(capture, vpd::SUPPORTED);
    let made = own.is_none().then(|| {
        Change::new("VPD 00h made by the blocker", answer, 0, &[])
            .showing(|out| vpd::put(capture, vpd::SUPPORTED, ident, out))
    });
    let listed = own.map_or(&[][..], |own| own.bytes.get(vpd::HEADER..).unwrap_or(&[]));
    let differs = own.is_some() && !listed.iter().copied().eq(vpd::offered(capture, ident));
    let rewritten = differs.then(|| {
        Change::new("VPD 00h list of pages", answer, vpd::HEADER, listed)
            .showing(|out| vpd::offered(capture, ident).for_each(|page| out.byte(page)))
    });
    let qualifier = own.into_iter().flat_map(move |own| cleared(&VPD_QUALIFIER, answer, own.bytes));
    qualifier.chain(made).chain(rewritten)
}

/// The other pages.
fn of_pages(capture: &Capture, ident: bool) -> impl Iterator<Item = Change<'_>> + '_ {
    vpd::PAGES
        .into_iter()
        .filter(move |page| vpd::is_offered(capture, *page, ident))
        .filter_map(|page| Some((page, vpd::of_drive(capture, page)?)))
        .flat_map(|(page, own)| {
            let answer = page_answer(page);
            let stated = own.bytes.get(2..vpd::HEADER).unwrap_or(&[]);
            let length = own.is_cut.then(|| {
                Change::new("VPD page length", answer, 2, stated)
                    .showing(|out| out.bytes(&vpd::shown_length(page, own).to_be_bytes()))
            });
            cleared(&VPD_QUALIFIER, answer, own.bytes).chain(length).chain(cleared(
                of_page(page),
                answer,
                own.bytes,
            ))
        })
}

fn of_mode(capture: &Capture) -> impl Iterator<Item = Change<'_>> + '_ {
    let own = capture.mode.as_ref().map_or(&[][..], |answer| answer.as_slice());
    let byte = |name, offset: usize, presented| {
        let original = own.get(offset..).and_then(|rest| rest.get(..1)).unwrap_or(&[]);
        Change::new(name, MODE_SENSE, offset, original).showing(|out| out.byte(presented))
    };
    let parameter = own.get(mode::PARAMETER).copied();
    let caching = mode::caching_of_drive(own);
    let at_parameter = |name, made: fn(u8) -> bool| {
        parameter.filter(|own| made(*own)).map(|_| byte(name, mode::PARAMETER, mode::WP))
    };
    let at_caching = |name, bit: u8| {
        caching.filter(|(_, own)| own & bit != 0).map(|(offset, _)| byte(name, offset, 0))
    };
    let pages = Change::new("MODE SENSE pages made by the blocker", MODE_SENSE, 0, own)
        .showing(|out| mode::put(capture, mode::Form::Six, mode::ALL, false, out));
    [
        Some(pages),
        at_parameter("MODE SENSE WP", |own| own & mode::WP == 0),
        at_parameter("MODE SENSE DPOFUA", |own| own & mode::DPOFUA != 0),
        at_caching("MODE SENSE WCE", 0x04),
        at_caching("MODE SENSE RCD", 0x01),
    ]
    .into_iter()
    .flatten()
}

fn of_capacity(capture: &Capture) -> impl Iterator<Item = Change<'_>> + '_ {
    capture.capacity16.iter().flat_map(|answer| cleared(&CAPACITY16, READ_CAPACITY16, answer))
}
