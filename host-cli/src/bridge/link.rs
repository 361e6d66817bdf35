//! The requests of interface 1 with their answers taken apart (published requirements, section 5.2).
//!
//! The bridge is not trusted: lengths and numbers in its answers are checked here, and every loop has a bound.

use std::time::Duration;

use wb_attest::{
    interface::{Ending, Info, Leaves, Request, flag},
    log::Entry,
};

use super::{
    port::{Port, PortError},
    record::ENTRIES_MAX,
};

/// Longest statement that the protocol can carry: offsets are 16 bits in units of 64 bytes.
const STATEMENT_BYTES_MAX: u32 = 65_535 * 64;
/// Time between two looks whether a statement is ready.
const POLL: Duration = Duration::from_millis(100);
/// Looks before a statement counts as not coming: signing takes seconds on the slowest board.
const POLLS: u32 = 1200;
/// Looks after which a person is told what is waited for (U-3).
const QUIET_POLLS: u32 = 20;

/// Why a request brought nothing to go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was not carried out.
    #[error("{request}: {source}")]
    Port {
        /// Its name in the published requirements.
        request: &'static str,
        /// Why.
        source: PortError,
    },
    /// The answer is not one.
    #[error("{request}: the answer is not of the published form: {what}")]
    Answer {
        /// Its name in the published requirements.
        request: &'static str,
        /// What is wrong.
        what: String,
    },
}

impl LinkError {
    /// Whether the bridge stalled the request.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Port { source: PortError::Refused, .. })
    }

    /// Whether the bridge left the bus.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Port { source: PortError::Gone, .. })
    }

    fn answer(request: &'static str, what: impl Into<String>) -> Self {
        Self::Answer { request, what: what.into() }
    }
}

/// Entries that LEAVES brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the first.
    pub first: u64,
    /// Entries lost in this session so far.
    pub lost: u32,
    /// In ascending order without a gap.
    pub entries: Vec<Entry>,
}

/// A bridge behind a port.
#[derive(Debug)]
pub struct Link<P> {
    port: P,
    /// Hears what is waited for when a wait is long.
    say: fn(&str),
}

impl<P: Port> Link<P> {
    /// Talks over `port`.
    pub const fn new(port: P) -> Self {
        Self { port, say: |_| {} }
    }

    /// Talks over `port`, and tells what is waited for when a wait is long.
    pub const fn telling(port: P, say: fn(&str)) -> Self {
        Self { port, say }
    }

    /// Tells what is waited for.
    pub fn tell(&self, text: &str) {
        (self.say)(text);
    }

    /// The port.
    pub const fn port(&self) -> &P {
        &self.port
    }

    /// The port.
    pub const fn port_mut(&mut self) -> &mut P {
        &mut self.port
    }

    fn ask(&mut self, name: &'static str, request: &Request) -> Result<Vec<u8>, LinkError> {
        let setup =
            request.setup().ok_or_else(|| LinkError::answer(name, "an offset out of range"))?;
        let answer = self.port.control_in(&setup).map_err(|source| port(name, source))?;
        if answer.len() > usize::from(setup.length) {
            return Err(LinkError::answer(name, "longer than asked for"));
        }
        Ok(answer)
    }

    fn send(
        &mut self,
        name: &'static str,
        request: &Request,
        data: &[u8; 32],
    ) -> Result<(), LinkError> {
        let setup =
            request.setup().ok_or_else(|| LinkError::answer(name, "an offset out of range"))?;
        self.port.control_out(&setup, data).map_err(|source| port(name, source))
    }

    /// INFO.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn info(&mut self) -> Result<Info, LinkError> {
        let answer = self.ask("INFO", &Request::Info)?;
        Info::parse(&answer).map_err(|error| LinkError::answer("INFO", format!("{error:?}")))
    }

    /// START: opens a session.
    ///
    /// # Errors
    /// [`LinkError`]; refused without a key or a drive.
    pub fn start(&mut self, nonce: &[u8; 32]) -> Result<(), LinkError> {
        self.send("START", &Request::Start, nonce)
    }

    /// FINISH: asks for a statement.
    ///
    /// # Errors
    /// [`LinkError`]; refused without a session, or while a statement is being made.
    pub fn finish(&mut self, ending: Ending, nonce: &[u8; 32]) -> Result<(), LinkError> {
        self.send("FINISH", &Request::Finish(ending), nonce)
    }

    /// PROVISION: makes the bridge make its key.
    ///
    /// # Errors
    /// [`LinkError`]; refused when it has one, or a drive.
    pub fn provision(&mut self, entropy: &[u8; 32]) -> Result<(), LinkError> {
        self.send("PROVISION", &Request::Provision, entropy)
    }

    /// LEAVES: entries from `seq` on, or from the oldest that the bridge still holds. It lets go of everything before `seq`.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn leaves(&mut self, seq: u64, room: u16) -> Result<Batch, LinkError> {
        let [.., high, low] = seq.to_be_bytes();
        let request = Request::Leaves { first: u16::from_be_bytes([high, low]), room };
        let answer = self.ask("LEAVES", &request)?;
        let leaves = Leaves::parse(&answer)
            .map_err(|error| LinkError::answer("LEAVES", format!("{error:?}")))?;
        let (first, lost) = (leaves.first, leaves.lost);
        if first < seq {
            return Err(LinkError::answer("LEAVES", "entries from before those asked for"));
        }
        if first > ENTRIES_MAX {
            let what = format!("entry number {first}, more than any session makes");
            return Err(LinkError::answer("LEAVES", what));
        }
        Ok(Batch { first, lost, entries: leaves.entries().collect() })
    }

    /// Waits for the statement that FINISH asked for, and fetches it.
    ///
    /// # Errors
    /// [`LinkError`]; [`PortError::Silent`] when none becomes ready.
    pub fn statement(&mut self) -> Result<Vec<u8>, LinkError> {
        for poll in 0..POLLS {
            let info = self.info()?;
            if info.has(flag::STATEMENT) {
                return self.fetch(info.statement, info.answer);
            }
            if poll == QUIET_POLLS {
                self.tell("waiting for the bridge to sign its statement");
            }
            self.port.pause(POLL);
        }
        Err(port("STATEMENT", PortError::Silent))
    }

    fn fetch(&mut self, length: u32, room: u16) -> Result<Vec<u8>, LinkError> {
        const NAME: &str = "STATEMENT";
        if length == 0 || length > STATEMENT_BYTES_MAX {
            return Err(LinkError::answer(NAME, format!("a length of {length} bytes")));
        }
        let mut bytes = Vec::new();
        let mut offset = 0_u32;
        while offset < length {
            let answer = self.ask(NAME, &Request::Statement { offset, room })?;
            let taken = u32::try_from(answer.len()).unwrap_or(u32::MAX);
            bytes.extend(answer);
            offset = offset.saturating_add(taken);
            if taken < u32::from(room) {
                break;
            }
        }
        if offset != length {
            let what = format!("{offset} bytes, where INFO said {length}");
            return Err(LinkError::answer(NAME, what));
        }
        Ok(bytes)
    }
}

const fn port(request: &'static str, source: PortError) -> LinkError {
    LinkError::Port { request, source }
}
