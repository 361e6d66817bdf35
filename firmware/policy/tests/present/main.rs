//! What the host is shown of a drive: golden answers, the mask of allowed differences, hostile captures, independent decoders.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

mod capacity;
mod captures;
mod golden;
mod hostile;
mod mask;
mod mode;
mod opcodes;
mod oracle;
mod published;

use wb_policy::{
    capture::Capture,
    judge::Answer,
    present::{self, Offered, State},
    sense::{self, AtaRegisters, Sense},
};

/// Room for every answer.
const ROOM: usize = present::ANSWER_BYTES;

/// Profile `ident` active, nothing to report.
fn with_state<T>(capture: &Capture, run: impl FnOnce(&State<'_>) -> T) -> T {
    let sense = Sense::new(sense::NO_SENSE);
    run(&State { capture, sense: &sense, registers: &AtaRegisters::default(), ident: true })
}

/// An answer as the host gets it.
fn shown(answer: Answer, capture: &Capture) -> Vec<u8> {
    with_state(capture, |state| shown_in(answer, state))
}

fn shown_in(answer: Answer, state: &State<'_>) -> Vec<u8> {
    let mut out = [0xEE; ROOM];
    let length = present::answer(&answer, state, core::iter::empty::<Offered>(), &mut out);
    out[..length].to_vec()
}

fn inquiry(capture: &Capture) -> Vec<u8> {
    shown(Answer::Inquiry { allocation: 255 }, capture)
}

fn vpd(page: u8, capture: &Capture) -> Vec<u8> {
    shown(Answer::Vpd { page, allocation: 0xFFFF }, capture)
}

fn edits(capture: &Capture) -> Vec<&'static str> {
    present::edits(capture, true).collect()
}
