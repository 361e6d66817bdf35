//! What the host is shown: the answers that the blocker makes itself.
//!
//! Facts: the published policy, sections 5.2 to 5.5 and 7.4, 3.7 for REPORT SUPPORTED OPERATION CODES, 4.1 for the return of response information.
//! An answer shows the drive's own bytes as they were captured, save for a closed list of fields ([`changes`]); a card's
//! driver supplies a capture of the same form, so there is one way for both.
//!
//! Everything here is a pure function of the capture into a buffer of the caller's. A capture is hostile input: whatever it
//! holds, an answer is never longer than its allocation length, and the lengths stated in it are those of what stands there.

mod capacity;
mod edits;
mod fields;
mod inquiry;
mod lists;
mod mode;
mod opcodes;
mod vpd;
mod writer;

pub use capacity::{
    CAPACITY10_BYTES, CAPACITY16_BYTES, Comparison, compare_capacity10, compare_capacity16,
    read_capacity10, read_capacity16,
};
pub use edits::{Change, EDITS_MAX, changes, edits};
pub use opcodes::Offered;

use crate::{
    capture::Capture,
    judge::Answer,
    sense::{AtaRegisters, Refusal, Sense},
};
use writer::Writer;

/// Room for every answer under the published policy: the longest is VPD page 89h with 572 bytes, and the list of commands has
/// 8 for each of about 25.
pub const ANSWER_BYTES: usize = 1024;

/// Offset of the page code in INQUIRY.
const PAGE_CODE: u8 = 2;
/// Header of sense data in descriptor format.
const SENSE_HEADER: usize = 8;
/// Length of the ATA status return descriptor with its header.
const REGISTERS_SENSE: usize = 22;

/// What answers are made of.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// What the drive said when it was attached.
    pub capture: &'a Capture,
    /// What REQUEST SENSE answers.
    pub sense: &'a Sense,
    /// The registers of the last ATA command that returned them.
    pub registers: &'a AtaRegisters,
    /// Whether profile `ident` is active: page 89h of the vital product data belongs to it.
    pub ident: bool,
}

/// Why there is no such answer for this drive: a page of the vital product data that it does not have (5.2). The policy's
/// tables do not know the drive, so this is asked after them.
#[must_use]
pub fn refusal(answer: &Answer, capture: &Capture, ident: bool) -> Option<Refusal> {
    match answer {
        Answer::Vpd { page, .. } if !vpd::is_offered(capture, *page, ident) => {
            Some(Refusal::Field { byte: PAGE_CODE })
        }
        _ => None,
    }
}

/// Puts an answer into `out`, cut to its allocation length, and returns how many bytes were put. `offered` are the
/// commands that the policy allows; only REPORT SUPPORTED OPERATION CODES takes them.
pub fn answer(
    answer: &Answer,
    state: &State<'_>,
    offered: impl Iterator<Item = Offered>,
    out: &mut [u8],
) -> usize {
    let allocation = usize::try_from(answer.allocation()).unwrap_or(usize::MAX).min(out.len());
    let mut writer = Writer::new(out.get_mut(..allocation).unwrap_or_default());
    put(answer, state, offered, &mut writer);
    writer.kept()
}

/// Bytes that the blocker means to send for an answer: the device's side of the thirteen cases (6.2).
pub fn length(answer: &Answer, state: &State<'_>, offered: impl Iterator<Item = Offered>) -> u32 {
    let mut writer = Writer::new(&mut []);
    put(answer, state, offered, &mut writer);
    u32::try_from(writer.length()).unwrap_or(u32::MAX).min(answer.allocation())
}

fn put(
    answer: &Answer,
    state: &State<'_>,
    offered: impl Iterator<Item = Offered>,
    out: &mut Writer<'_>,
) {
    let State { capture, sense, registers, ident } = *state;
    match *answer {
        Answer::Inquiry { .. } => inquiry::put(capture, out),
        Answer::Vpd { page, .. } => vpd::put(capture, page, ident, out),
        Answer::ModeSense6 { page, dbd, .. } => {
            mode::put(capture, mode::Form::Six, page, dbd, out);
        }
        Answer::ModeSense10 { page, dbd, llbaa, .. } => {
            mode::put(capture, mode::Form::Ten { long: llbaa }, page, dbd, out);
        }
        Answer::RequestSense { descriptor, .. } => put_sense(sense, descriptor, out),
        Answer::ReportLuns { select, .. } => lists::put_luns(select, out),
        Answer::ReadFormatCapacities { .. } => capacity::put_format_capacities(capture, out),
        Answer::SupportedOpcodes { query, .. } => opcodes::put(query, offered, out),
        Answer::SupportedTmfs { extended, .. } => lists::put_task_management(extended, out),
        Answer::AtaIdentify => {
            if let Some(data) = capture.identify_data() {
                out.bytes(&data.0);
            }
        }
        Answer::AtaRegisters => put_registers(registers, out),
    }
}

fn put_sense(sense: &Sense, descriptor: bool, out: &mut Writer<'_>) {
    let mut bytes = [0; crate::sense::SENSE_BYTES];
    let length = sense.render(descriptor, &mut bytes);
    out.bytes(bytes.get(..length).unwrap_or(&bytes));
}

/// The status return descriptor alone, without the sense header around it.
fn put_registers(registers: &AtaRegisters, out: &mut Writer<'_>) {
    let mut bytes = [0; REGISTERS_SENSE];
    Sense::registers(*registers).render(true, &mut bytes);
    out.bytes(bytes.get(SENSE_HEADER..).unwrap_or(&[]));
}
