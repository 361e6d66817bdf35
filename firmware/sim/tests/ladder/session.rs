//! The sessions that the link carried: who asked for what on interface 1, and what came.
//!
//! Facts: the published requirements, section 5.2. Which program asked does not matter: the harness's own requests and those of a program
//! in the guest stand in the record alike.

use wb_attest::{interface::Leaves, log::Entry};
use wb_sim::usbredir::{Event, Trace};

/// A session, from its START on.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Nonce of START.
    pub start: [u8; 32],
    /// Where START stands in the record.
    pub at: usize,
    /// FINISH, each with its statement.
    pub asked: Vec<Asked>,
    /// The entries of the log that went to the host, each once.
    pub entries: Vec<Entry>,
}

/// A statement that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The last one of its session.
    pub is_last: bool,
    /// Nonce of FINISH.
    pub nonce: [u8; 32],
    /// Where FINISH stands in the record.
    pub at: usize,
    /// No command was under way: what the statement counts is what came before.
    pub is_exact: bool,
    /// The statement as it went to the host.
    pub bytes: Vec<u8>,
}

/// The sessions of a record. Requests that the bridge refused are none.
pub fn sessions(trace: &Trace) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut is_in_command = false;
    for (at, event) in trace.events.iter().enumerate() {
        match event {
            Event::Cbw(_) => is_in_command = true,
            Event::Csw(_) | Event::Reset => is_in_command = false,
            _ => {}
        }
        let Event::Control { setup, data_out, answer: Ok(answer) } = event else { continue };
        let [kind, request, v0, v1, 1, 0, ..] = *setup else { continue };
        let value = u16::from_le_bytes([v0, v1]);
        let nonce = || data_out.as_slice().try_into().unwrap();
        match (kind, request) {
            (0x41, 0x02) => sessions.push(Session { start: nonce(), at, ..Session::default() }),
            (0x41, 0x04) => sessions.last_mut().unwrap().asked.push(Asked {
                is_last: value == 0,
                nonce: nonce(),
                at,
                is_exact: !is_in_command,
                bytes: Vec::new(),
            }),
            (0xC1, 0x03) => sessions.last_mut().unwrap().take_leaves(answer),
            (0xC1, 0x05) => sessions.last_mut().unwrap().take_statement(value, answer),
            _ => {}
        }
    }
    sessions
}

impl Session {
    fn take_leaves(&mut self, answer: &[u8]) {
        let leaves = Leaves::parse(answer).unwrap();
        assert_eq!(leaves.lost, 0, "entries were lost");
        // An entry may be asked for again, and is the same then.
        for entry in leaves.entries() {
            match self.entries.get(entry.seq as usize) {
                Some(held) => assert_eq!(*held, entry),
                None => {
                    assert_eq!(entry.seq, self.entries.len() as u64, "an entry is missing");
                    self.entries.push(entry);
                }
            }
        }
    }

    fn take_statement(&mut self, value: u16, answer: &[u8]) {
        let bytes = &mut self.asked.last_mut().unwrap().bytes;
        let offset = usize::from(value) * 64;
        assert!(offset <= bytes.len(), "a piece of the statement is missing");
        bytes.truncate(offset);
        bytes.extend(answer);
    }
}
