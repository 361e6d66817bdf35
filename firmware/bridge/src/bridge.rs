//! The bridge: commands in from the host, judged, answered here or regenerated for the drive, and everything counted.
//!
//! Facts: the published policy, sections 5.5 (sense and unit attention) and 6.1 (transport towards the host). A board calls [`Bridge::poll`] as
//! often as it can, hands control requests to [`Bridge::control_in`] and [`Bridge::control_out`], and does what [`Bridge::take_work`] asks for.

mod command;
mod data;
pub mod identity;
mod interface;
mod statement;

use heapless::Deque;
use wb_attest::{
    Digest,
    digest::HashEngine,
    statement::{Bounds, EndReason, Protection},
};
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    cbw::CSW_BYTES,
    judge::Profiles,
    sense::{self, AtaRegisters, Code, Sense},
    tables::Policy,
};

use crate::{
    Micros,
    audit::{Audit, Event},
    bridge::{data::State, statement::Statement},
    counters::{Counters, RefusalLog},
    drive::{Drive, DriveEvent, Report},
    pipes::Pipes,
    session::Session,
};

/// Rows of the table of counters.
pub const COMMANDS: usize = 96;
/// Room for an answer that is made here.
pub const REPLY_BYTES: usize = wb_policy::present::ANSWER_BYTES;
/// Events that wait for the board's log.
const EVENTS: usize = 16;
/// Steps of the state machine in one call: enough to fill the endpoint's buffers, few enough to return soon.
const STEPS_A_POLL: usize = 64;
/// How long a light stays on after its cause.
const LIGHT: Micros = 200_000;

/// What a board knows about itself.
#[derive(Clone, Copy, Debug)]
pub struct Config<'p> {
    /// The policy in force.
    pub policy: &'p Policy<'p>,
    /// Its digest.
    pub policy_digest: Digest,
    /// Active profiles, read from the strap before the host could see the bridge.
    pub profiles: Profiles,
    /// Board and revision, for example `teensy41`.
    pub hardware: &'static str,
    /// Version and commit of the firmware.
    pub build: &'static str,
    /// SHA-256 of the flash range of the image.
    pub firmware_digest: Digest,
    /// How the key is kept.
    pub protection: Protection,
    /// Public key, if the bridge was provisioned.
    pub public_key: Option<[u8; 32]>,
    /// Power-ups so far.
    pub boot_counter: u32,
    /// What the bridge has on its drive side: a slot for cards shows an empty unit where a USB port shows none.
    pub kind: Kind,
    /// How long the lists of a statement may be.
    pub bounds: Bounds,
}

/// Lights and their meaning (published requirements, 4.7). The green one follows reads only, the red one refusals only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lights {
    /// A drive is attached and served.
    pub ready: bool,
    /// Data are leaving for the host.
    pub reading: bool,
    /// A command was refused a moment ago.
    pub refused: bool,
    /// What is attached is not served, or its size changed or hides something.
    pub fault: bool,
}

/// Something that only the board can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Make and store a key from this entropy of the host, then call [`Bridge::provisioned`].
    Provision([u8; 32]),
    /// Sign the statement ([`Bridge::to_sign`]), then call [`Bridge::signed`].
    Sign,
    /// Leave the host's bus and come back, so that it looks anew.
    Reconnect,
}

/// The bridge between a host and a drive.
///
/// `RING` is the number of log entries that wait for the host.
#[derive(Debug)]
pub struct Bridge<'p, D, E, const RING: usize> {
    config: Config<'p>,
    drive: D,
    session: Session<E, RING>,
    counters: Counters<COMMANDS>,
    refusals: RefusalLog,
    audit: Audit,
    events: Deque<Event, EVENTS>,
    state: State,
    reply: [u8; REPLY_BYTES],
    /// What REQUEST SENSE answers.
    sense: Sense,
    /// A condition that the next command is told, once.
    attention: Option<Code>,
    /// The drive's own last sense: decides whether a spin-up may be sent.
    drive_sense: Option<Code>,
    registers: AtaRegisters,
    /// Captured data of an empty drive side.
    vacant: Capture,
    /// A later answer contradicted the captured capacity.
    capacity_changed: bool,
    /// The host ejected the unit; it plays empty until it is loaded again (3.3).
    ejected: bool,
    statement: Statement,
    statement_bytes: &'p mut [u8],
    provision: Option<[u8; 32]>,
    reconnect: bool,
    /// The host gave up a command by a Bulk-Only Reset, and the endpoints have not been looked at since.
    was_reset: bool,
    /// A packet of a command that was given up may still wait for the host.
    may_be_stale: bool,
    last_read: Option<Micros>,
    last_refusal: Option<Micros>,
    now: Micros,
}

impl<'p, D: Drive, E: HashEngine, const RING: usize> Bridge<'p, D, E, RING> {
    /// A bridge that has just been powered up. `statement_bytes` is the room for a statement.
    pub fn new(config: Config<'p>, drive: D, engine: E, statement_bytes: &'p mut [u8]) -> Self {
        let mut bridge = Self {
            config,
            drive,
            session: Session::new(engine),
            counters: Counters::default(),
            refusals: RefusalLog::default(),
            audit: Audit::default(),
            events: Deque::new(),
            state: State::Idle,
            reply: [0; REPLY_BYTES],
            sense: Sense::new(sense::NO_SENSE),
            attention: Some(sense::POWER_ON),
            drive_sense: None,
            registers: AtaRegisters::default(),
            vacant: vacant(config.kind),
            capacity_changed: false,
            ejected: false,
            statement: Statement::None,
            statement_bytes,
            provision: None,
            reconnect: false,
            was_reset: false,
            may_be_stale: false,
            last_read: None,
            last_refusal: None,
            now: 0,
        };
        bridge.note(Event::PowerUp(config.boot_counter));
        bridge
    }

    /// Advances both sides.
    pub fn poll(&mut self, pipes: &mut impl Pipes, now: Micros) {
        self.now = now;
        if let Some(event) = self.drive.poll(now) {
            self.on_drive(event);
        }
        if core::mem::take(&mut self.was_reset) {
            self.clear_pipes(pipes);
        }
        for _ in 0..STEPS_A_POLL {
            let is_reading = matches!(self.state, State::Reading(_));
            let moved = if is_reading { self.read_on(pipes) } else { self.step(pipes) };
            if !moved {
                break;
            }
        }
    }

    /// The host reset the bus: what was under way is given up. An open session goes on, since a host resets its bus after every time-out,
    /// and a failing disk gives it many (decision 0007); what ends a session without a statement is the loss of the bridge's memory.
    pub fn bus_reset(&mut self) {
        self.give_up();
        self.sense = Sense::new(sense::NO_SENSE);
        // An exchanged medium has to be told, whatever the host does in between.
        if self.attention != Some(sense::MEDIUM_CHANGED) {
            self.attention = Some(sense::POWER_ON);
        }
        self.note(Event::HostReset);
    }

    /// Bulk-Only Mass Storage Reset: the next transfer is a command wrapper.
    fn transport_reset(&mut self) {
        self.give_up();
        self.was_reset = true;
        self.note(Event::HostReset);
    }

    /// Nothing of the command that was given up may be taken for a part of the next one (Bulk-Only Transport, 5.3.4). What the host had
    /// sent is dropped. A packet that waits for the host cannot be taken back through `usb-device`; a controller drops it when the host
    /// clears the halt, which reset recovery makes it do. Where it still waits at the next command, the bridge leaves the bus and
    /// returns, which empties the endpoint.
    fn clear_pipes(&mut self, pipes: &mut impl Pipes) {
        let mut packet = [0; data::PACKET_BYTES];
        for _ in 0..STEPS_A_POLL {
            if pipes.read(&mut packet).is_none() {
                break;
            }
        }
        self.may_be_stale = !pipes.is_flushed();
    }

    /// What waited in the bulk-IN endpoint never reaches the host, who asked for that: it is not in the log (4.4).
    pub fn packets_dropped(&mut self) {
        self.session.chunks.revoke();
        if let State::Reading(job) = &mut self.state {
            job.uncover();
        }
    }

    fn give_up(&mut self) {
        if self.state.is_at_the_drive() {
            self.drive.abandon(self.now);
        }
        self.session.chunks.revoke();
        self.state = State::Idle;
    }

    #[inline(never)]
    fn on_drive(&mut self, event: DriveEvent) {
        match event {
            DriveEvent::Attached => self.on_attached(),
            DriveEvent::Detached => self.on_detached(),
            DriveEvent::Changed => {
                self.end_session(EndReason::MediumChanged);
                self.lose_command();
                self.counters.clear();
                self.refusals.clear();
                self.capacity_changed = false;
                self.ejected = false;
                self.drive_sense = None;
                self.attention = Some(sense::MEDIUM_CHANGED);
                self.note(Event::MediumChanged);
            }
            DriveEvent::Done(completion) => self.on_done(&completion),
        }
    }

    fn on_attached(&mut self) {
        self.lose_command();
        self.end_session(EndReason::Detached);
        self.counters.clear();
        self.refusals.clear();
        self.capacity_changed = false;
        self.ejected = false;
        self.drive_sense = None;
        self.registers = AtaRegisters::default();
        self.sense = Sense::new(sense::NO_SENSE);
        let is_served = self.served().is_some();
        self.note(if is_served { Event::Attached } else { Event::NotServed });
        match self.config.kind {
            // A card came into a slot that the host knows already.
            Kind::Card => self.attention = Some(sense::MEDIUM_CHANGED),
            Kind::Usb => {
                self.attention = Some(sense::POWER_ON);
                self.reconnect = true;
            }
        }
    }

    fn on_detached(&mut self) {
        self.end_session(EndReason::Detached);
        self.lose_command();
        self.drive_sense = None;
        self.note(Event::Detached);
        self.reconnect = self.reconnect || self.config.kind == Kind::Usb;
    }

    /// A statement that was made stays: it says what it covers (5.3).
    fn end_session(&mut self, reason: EndReason) {
        if self.session.end(reason) {
            self.note(Event::SessionEnded(self.session.number));
        }
    }

    /// What is attached and served.
    fn served(&self) -> Option<&Report> {
        self.drive.report().filter(|report| report.refused.is_none())
    }

    /// The capture that commands are judged by: the drive's, or that of an empty drive side.
    fn capture(&self) -> &Capture {
        self.served().map_or(&self.vacant, |report| &report.capture)
    }

    fn note(&mut self, event: Event) {
        self.audit.append(self.now, event);
        if self.events.is_full() {
            self.events.pop_front();
        }
        // There is room: one was taken out.
        let _ = self.events.push_back(event);
    }

    /// The oldest event that the board has not logged; the oldest are lost where it does not ask.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What only the board can do.
    pub fn take_work(&mut self) -> Option<Work> {
        // A drive that came in between has the same say as one that was there (4.5).
        if let Some(entropy) = self.provision.take().filter(|_| self.drive.is_vacant()) {
            return Some(Work::Provision(entropy));
        }
        if self.statement.begin_signing() {
            return Some(Work::Sign);
        }
        core::mem::take(&mut self.reconnect).then_some(Work::Reconnect)
    }

    /// A key was made and stored.
    pub fn provisioned(&mut self, public_key: [u8; 32]) {
        self.config.public_key = Some(public_key);
        self.reconnect = true;
        self.note(Event::Provisioned);
    }

    /// Public key, if there is one.
    #[must_use]
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.config.public_key
    }

    /// What the lights show.
    #[must_use]
    pub fn lights(&self) -> Lights {
        let recent = |at: Option<Micros>| at.is_some_and(|at| self.now.saturating_sub(at) < LIGHT);
        let report = self.drive.report();
        let is_refused = report.is_some_and(|report| report.refused.is_some());
        let hides = report.is_some_and(|report| report.capture.has_disagreement());
        Lights {
            ready: self.served().is_some_and(|report| report.capture.geometry.is_some()),
            reading: recent(self.last_read),
            refused: recent(self.last_refusal),
            fault: is_refused || hides || self.capacity_changed,
        }
    }

    /// The drive side, for a board that has to look after its port.
    pub fn drive_mut(&mut self) -> &mut D {
        &mut self.drive
    }

    /// The drive side.
    pub fn drive(&self) -> &D {
        &self.drive
    }
}

/// Length of standard INQUIRY data without vendor specific parts.
const INQUIRY_BYTES: usize = 36;

/// What an empty drive side says of itself: a USB port has no unit (qualifier 001b), a slot has one with a removable medium.
fn vacant(kind: Kind) -> Capture {
    let mut capture = Capture::empty(kind);
    let mut inquiry = [b' '; INQUIRY_BYTES];
    let removable = if kind == Kind::Card { 0x80 } else { 0x00 };
    let head = [0x00, removable, 0x05, 0x02, 31, 0, 0, 0];
    let texts = head.iter().chain(b"Daleel  ").chain(b"write blocker   ").chain(b"0001");
    for (own, byte) in inquiry.iter_mut().zip(texts) {
        *own = *byte;
    }
    capture.inquiry = Bytes::new(&inquiry);
    capture
}

/// A finished status wrapper.
type Csw = [u8; CSW_BYTES];
