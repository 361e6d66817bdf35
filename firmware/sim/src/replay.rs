//! Command traces: what a host's programs send, written as text, and replayed against a device.
//!
//! One line is one event; `#` begins a comment. A command has three parts with `|` between them: its bytes in hexadecimal, its data phase
//! (`none`, `in N`, `out N`), and how it must end:
//!
//! | word | end |
//! |---|---|
//! | `good` | GOOD |
//! | `regs` | CHECK CONDITION that returns ATA registers, 01h/00h/1Dh |
//! | `wp` | DATA PROTECT, 07h/27h/00h |
//! | `op` | INVALID COMMAND OPERATION CODE, 05h/20h/00h |
//! | `fld` | INVALID FIELD IN CDB, 05h/24h/00h |
//! | `lba` | LBA OUT OF RANGE, 05h/21h/00h |
//! | `kk/aa/qq` | CHECK CONDITION with this key, code and qualifier |
//! | `any` | anything that the transport allows |
//!
//! The lines `reset` (the bus is reset and the device configured) and `recover` (reset recovery of the bulk-only transport) stand
//! alone. Data-out are zeros: nobody looks at them.

use std::fmt;

use crate::{
    host::{Broken, Host, Outcome, Phase},
    usb::UsbDevice,
};

/// Longest command block.
const LONGEST: usize = 16;
/// Room for sense data: fixed format, or descriptors with the registers of an ATA command.
const SENSE: u8 = 32;
/// Most data of one command.
const MOST: u32 = 16 << 20;

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its events in order.
    pub events: Vec<Event>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1.
    pub line: usize,
    /// What the host does.
    pub action: Action,
}

/// What the host does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends a command.
    Command {
        /// The command block.
        cdb: Vec<u8>,
        /// Its data phase.
        data: Data,
        /// How it must end.
        end: End,
    },
    /// Resets the bus and configures the device.
    Reset,
    /// Reset recovery.
    Recover,
}

/// A data phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// None.
    None,
    /// So many bytes to the host.
    In(u32),
    /// So many bytes to the device.
    Out(u32),
}

/// How a command must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// GOOD.
    Good,
    /// CHECK CONDITION with this key, code and qualifier.
    Check([u8; 3]),
    /// Anything.
    Any,
}

/// Why a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTrace {
    /// Number of the line.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for NoTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for NoTrace {}

/// A command of a trace, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Number of its line.
    pub line: usize,
    /// The command block.
    pub cdb: Vec<u8>,
    /// Status, residue and data.
    pub outcome: Outcome,
    /// Sense data after a CHECK CONDITION.
    pub sense: Vec<u8>,
}

/// Where a device did something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The transport broke.
    Broken(usize, Broken),
    /// The device did not answer a reset.
    NoReset(usize),
    /// A command ended otherwise.
    End {
        /// Number of the line.
        line: usize,
        /// As it should.
        expected: End,
        /// As it did.
        found: Box<Replayed>,
    },
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// [`NoTrace`] for the first line that is none.
    pub fn parse(text: &str) -> Result<Self, NoTrace> {
        let mut events = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            let action = match text {
                "" => continue,
                "reset" => Action::Reset,
                "recover" => Action::Recover,
                _ => command(text).map_err(|reason| NoTrace { line, reason })?,
            };
            events.push(Event { line, action });
        }
        Ok(Self { events })
    }

    /// Sends everything to a device, in order, and compares.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] at the first event that ends otherwise.
    pub fn replay<U: UsbDevice>(&self, host: &mut Host<U>) -> Result<Vec<Replayed>, Mismatch> {
        let mut all = Vec::new();
        for Event { line, action } in &self.events {
            match action {
                Action::Command { cdb, data, end } => {
                    let broken = |broken| Mismatch::Broken(*line, broken);
                    let replayed = send(host, *line, cdb, *data).map_err(broken)?;
                    if !is_met(*end, &replayed) {
                        let found = Box::new(replayed);
                        return Err(Mismatch::End { line: *line, expected: *end, found });
                    }
                    all.push(replayed);
                }
                Action::Reset if host.enumerate() => {}
                Action::Recover if host.recover() => {}
                Action::Reset | Action::Recover => return Err(Mismatch::NoReset(*line)),
            }
        }
        Ok(all)
    }
}

fn send<U: UsbDevice>(
    host: &mut Host<U>,
    line: usize,
    cdb: &[u8],
    data: Data,
) -> Result<Replayed, Broken> {
    let phase = match data {
        Data::None => Phase::None,
        Data::In(length) => Phase::In(length),
        Data::Out(length) => Phase::Zeros(length),
    };
    let outcome = host.command(cdb, phase)?;
    let sense = if outcome.status == 1 {
        host.command(&[0x03, 0, 0, 0, SENSE, 0], Phase::In(SENSE.into()))?.data
    } else {
        Vec::new()
    };
    Ok(Replayed { line, cdb: cdb.to_vec(), outcome, sense })
}

fn is_met(end: End, replayed: &Replayed) -> bool {
    let byte = |at: usize| replayed.sense.get(at).copied().unwrap_or(0);
    match end {
        End::Good => replayed.outcome.status == 0,
        End::Check(code) => {
            let found = match byte(0) & 0x7F {
                0x72 => [byte(1) & 0x0F, byte(2), byte(3)],
                _ => [byte(2) & 0x0F, byte(12), byte(13)],
            };
            replayed.outcome.status == 1 && found == code
        }
        End::Any => true,
    }
}

fn command(text: &str) -> Result<Action, &'static str> {
    let mut parts = text.split('|').map(str::trim);
    let (Some(cdb), Some(data), Some(end), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a command has three parts");
    };
    let cdb: Option<Vec<u8>> = cdb.split_whitespace().map(byte).collect();
    let cdb = cdb.filter(|cdb| (1..=LONGEST).contains(&cdb.len()));
    Ok(Action::Command {
        cdb: cdb.ok_or("a command block has 1 to 16 bytes in hexadecimal")?,
        data: data_phase(data).ok_or("a data phase is none, in N or out N, 16 MiB at most")?,
        end: ending(end).ok_or("unknown end")?,
    })
}

fn byte(text: &str) -> Option<u8> {
    (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

fn data_phase(text: &str) -> Option<Data> {
    let length = |text: &str| text.trim().parse().ok().filter(|length| *length <= MOST);
    match text.split_once(' ') {
        None => (text == "none").then_some(Data::None),
        Some(("in", number)) => length(number).map(Data::In),
        Some(("out", number)) => length(number).map(Data::Out),
        Some(_) => None,
    }
}

fn ending(text: &str) -> Option<End> {
    Some(match text {
        "good" => End::Good,
        "regs" => End::Check([0x01, 0x00, 0x1D]),
        "wp" => End::Check([0x07, 0x27, 0x00]),
        "op" => End::Check([0x05, 0x20, 0x00]),
        "fld" => End::Check([0x05, 0x24, 0x00]),
        "lba" => End::Check([0x05, 0x21, 0x00]),
        "any" => End::Any,
        _ => {
            let code: Option<Vec<u8>> = text.split('/').map(byte).collect();
            End::Check(code?.try_into().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "# a host\n\n00 00 00 00 00 00 | none | good # ready?\n2a 00 | out 512 | wp\n28 01 | in 7 | 03/11/00\nreset\n recover\n";
        let trace = Trace::parse(text).unwrap();
        let command = |cdb: &[u8], data, end| Action::Command { cdb: cdb.to_vec(), data, end };
        let events = [
            (3, command(&[0; 6], Data::None, End::Good)),
            (4, command(&[0x2A, 0], Data::Out(512), End::Check([7, 0x27, 0]))),
            (5, command(&[0x28, 1], Data::In(7), End::Check([3, 0x11, 0]))),
            (6, Action::Reset),
            (7, Action::Recover),
        ];
        assert_eq!(trace.events, events.map(|(line, action)| Event { line, action }));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "00 | none",
            "00 | none | good | more",
            " | none | good",
            "0 | none | good",
            "zz | none | good",
            "00 | in | good",
            "00 | in 16777217 | good",
            "00 | in -1 | good",
            "00 | up 1 | good",
            "00 | none | fine",
            "00 | none | 1/2/3",
            "00 | none | 01/02/03/04",
            "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 | none | good",
            "restart",
        ] {
            let refused = Trace::parse(&format!("# one\n{text}\n")).map_err(|why| why.line);
            assert_eq!(refused, Err(2), "{text}");
        }
    }
}
