//! The drive side over USB: a disk, or a disk behind an adapter, on the bridge's own host controller.
//!
//! ```text
//!  port -> reset -> enumeration -> attach script -> ready <-> command (+ sense)
//!             ^                                       |
//!             +--- reset recovery failed -------------+      medium exchanged: script again
//! ```
//!
//! Facts: the published policy, sections 3.2 (attach script), 5.5 (medium change) and 6.3 (transport downstream); USB 2.0, section 7.1.7 (100 ms
//! of debounce, 10 ms after a reset); requirement B23 (whoever comes back is captured anew).
//!
//! Nothing is sent outside the script, the host's commands, and the sense and recovery that belong to them.

mod command;
pub mod descriptors;
mod enumerate;
mod script;
mod steps;
mod transport;
mod wire;

use heapless::{Deque, Vec};
use wb_attest::statement::{Command, Layer, Step, StepOutcome};
use wb_policy::{
    capture::{Capture, Kind},
    down::DownCommand,
    judge::Profiles,
    sense::{MEDIUM_CHANGED, POWER_ON},
};

use crate::{
    Micros,
    drive::{
        Completion, Drive, DriveEvent, Emitted, Fault, Identity, Refused, Report, Slot, Status,
        UsbIdentity,
    },
    host::{HostController, Into, Port, Speed},
};

use self::{
    command::{Ended, Notice, Running, UNIT_ATTENTION},
    enumerate::{Enumeration, Failure},
    script::{Next, Script},
    transport::{Link, Transport},
    wire::Wire,
};

const DEBOUNCE: Micros = 100_000;
/// Longest time from the beginning of a port reset to an enabled port.
const RESET_LIMIT: Micros = 1_000_000;
/// Recovery of a device after a reset: the standard asks for 10 ms, slow disks like more.
const RESET_SETTLES: Micros = 50_000;
/// Port resets for one enumeration.
const ATTEMPTS: u8 = 3;
/// Block length until a capacity is known; no command before that has blocks.
const NO_BLOCKS: u32 = 512;
const EVENTS: usize = 4;
/// How often a refused device whose port moves is met again before one was seen to go.
const MEETINGS: u8 = 3;

/// Who came back after a drive had gone, or had to be enumerated again (B23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The same descriptors and serial number as before. A clone may say the same.
    Same,
    /// Another device.
    Other,
}

/// What the bridge is set up to ask.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Active profiles.
    pub profiles: Profiles,
    /// Whether an adapter (vendor, product, release) passes FEATURES unchanged: [`wb_policy::sat::is_listed`].
    pub is_listed: fn(u16, u16, u16) -> bool,
}

enum State {
    Empty,
    Debounce(Micros),
    Resetting(Micros),
    Settling(Speed, Micros),
    Enumerating,
    Script(Option<Running>),
    Ready,
    Busy(Running),
    Abandoning(Running),
    /// Not served; how the port stood then.
    Refused(Port),
}

/// A drive behind a USB host controller.
pub struct UsbDrive<H> {
    wire: Wire<H>,
    settings: Settings,
    state: State,
    enumeration: Enumeration,
    transport: Option<Transport>,
    script: Script,
    script_slot: Slot,
    report: Report,
    /// The report is complete.
    is_shown: bool,
    /// [`DriveEvent::Attached`] was given and not taken back.
    is_attached: bool,
    previous: Option<UsbIdentity>,
    returned: Option<Return>,
    controls_before: u32,
    attempts: u8,
    meetings: u8,
    /// A reset recovery of the bridge's own, which the drive may report as "power on".
    expects_power_on: bool,
    /// What stood there before a capture that only compares; it is shown until that is over, and commands wait.
    compared: Option<Report>,
    /// The drive told of an exchange during a capture that only compares.
    is_exchanged: bool,
    /// The medium of the captured unit can be exchanged.
    watches_medium: bool,
    events: Deque<DriveEvent, EVENTS>,
}

impl<H: HostController> UsbDrive<H> {
    /// A drive side with nothing attached.
    pub fn new(host: H, settings: Settings) -> Self {
        Self {
            wire: Wire::new(host),
            settings,
            state: State::Empty,
            enumeration: Enumeration::new(Speed::Full),
            transport: None,
            script: Script::new(settings.profiles.ident),
            script_slot: Slot::A,
            report: Report {
                capture: Capture::empty(Kind::Usb),
                identity: Identity::Usb(enumerate::nobody()),
                steps: Vec::new(),
                not_run: Vec::new(),
                refused: None,
                own_before: 0,
            },
            is_shown: false,
            is_attached: false,
            previous: None,
            returned: None,
            controls_before: 0,
            attempts: 0,
            meetings: 0,
            expects_power_on: false,
            compared: None,
            is_exchanged: false,
            watches_medium: false,
            events: Deque::new(),
        }
    }

    /// The host controller.
    pub fn host(&self) -> &H {
        &self.wire.host
    }

    /// The host controller, for its interrupt.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.wire.host
    }

    /// How the attached drive compares with the one before it; `None` for the first since power-up.
    pub fn returned(&self) -> Option<Return> {
        self.returned
    }

    /// At most three events come of one poll, and none is made before they were fetched. A completion is the first of them and leaves with the
    /// poll that made it, so an abandoned command leaves none behind.
    fn tell(&mut self, event: DriveEvent) {
        let _ = self.events.push_back(event);
    }

    fn watch_port(&mut self, port: Port, now: Micros) {
        match (&self.state, port) {
            (State::Empty, Port::Empty) => {}
            (State::Refused(then), _) if *then == port => {}
            (_, Port::Empty) => {
                self.meetings = 0;
                self.lose();
            }
            (_, Port::Fault) => {
                self.lose();
                self.refuse(Refused::Enumeration, port);
            }
            (State::Empty, _) => self.state = State::Debounce(now.saturating_add(DEBOUNCE)),
            // It was another device's port a moment ago.
            (State::Refused(_), _) if self.meetings < MEETINGS => {
                self.meetings = self.meetings.saturating_add(1);
                self.meet_again(now);
            }
            (State::Refused(_), _) => self.state = State::Refused(port),
            (State::Debounce(_) | State::Resetting(_), _) | (_, Port::Enabled(_)) => {}
            (_, Port::Connected | Port::Resetting) => self.meet_again(now),
        }
    }

    /// The device went and one came between two looks at the port.
    fn meet_again(&mut self, now: Micros) {
        self.lose();
        self.state = State::Debounce(now.saturating_add(DEBOUNCE));
    }

    /// The device has gone.
    fn lose(&mut self) {
        self.wire.host.cancel();
        if matches!(self.state, State::Busy(_)) {
            let status = Status::Fault(Fault::Gone);
            self.tell(DriveEvent::Done(Completion { status, delivered: 0 }));
        }
        self.detach();
        self.script.forget_device();
        self.attempts = 0;
        self.state = State::Empty;
    }

    fn detach(&mut self) {
        self.transport = None;
        self.is_shown = false;
        self.compared = None;
        self.expects_power_on = false;
        if core::mem::take(&mut self.is_attached) {
            self.tell(DriveEvent::Detached);
        }
    }

    /// What is attached is reported and left alone.
    fn refuse(&mut self, refused: Refused, port: Port) {
        self.report.refused = Some(refused);
        self.state = State::Refused(port);
        self.show();
    }

    fn show(&mut self) {
        self.is_shown = true;
        self.compared = None;
        let again = core::mem::replace(&mut self.is_attached, true);
        self.tell(if again { DriveEvent::Changed } else { DriveEvent::Attached });
    }

    fn reset_port(&mut self, now: Micros) {
        if self.attempts > 0 {
            self.wire.count_recovery();
        }
        self.attempts = self.attempts.saturating_add(1);
        self.transport = None;
        self.clear_report(enumerate::nobody());
        self.wire.host.reset_port(now);
        self.state = State::Resetting(now.saturating_add(RESET_LIMIT));
    }

    fn clear_report(&mut self, identity: UsbIdentity) {
        self.report.capture = Capture::empty(Kind::Usb);
        self.report.identity = Identity::Usb(identity);
        self.report.steps.clear();
        self.report.not_run.clear();
        self.report.refused = None;
    }

    /// An enumeration failed in a way that may be worth another try.
    fn attempt_failed(&mut self, port: Port, now: Micros) {
        if self.attempts < ATTEMPTS {
            self.reset_port(now);
        } else {
            self.refuse(Refused::Enumeration, port);
        }
    }

    fn advance(&mut self, port: Port, now: Micros) {
        match self.state {
            State::Debounce(until) if now >= until => self.reset_port(now),
            State::Resetting(_) if matches!(port, Port::Enabled(_)) => {
                if let Port::Enabled(speed) = port {
                    self.state = State::Settling(speed, now.saturating_add(RESET_SETTLES));
                }
            }
            State::Resetting(until) if now >= until => self.attempt_failed(port, now),
            State::Settling(speed, until) if now >= until => {
                self.controls_before = self.wire.emitted.controls;
                self.enumeration = Enumeration::new(speed);
                self.state = State::Enumerating;
            }
            State::Enumerating => self.enumerate(port, now),
            State::Script(None) => self.next_step(port, now),
            State::Script(Some(_)) => self.poll_step(port, now),
            State::Busy(_) => self.poll_command(now),
            State::Abandoning(_) => self.poll_abandoned(now),
            State::Empty
            | State::Debounce(_)
            | State::Resetting(_)
            | State::Settling(..)
            | State::Ready
            | State::Refused(_) => {}
        }
    }

    fn enumerate(&mut self, port: Port, now: Micros) {
        let Some(outcome) = self.enumeration.poll(&mut self.wire, now) else { return };
        let identity = self.enumeration.identity();
        match outcome {
            Ok(link) => self.enumerated(link, identity),
            Err(Failure::Again) => {
                self.clear_report(identity);
                self.attempt_failed(port, now);
            }
            Err(Failure::Refused(refused)) => {
                self.clear_report(identity);
                self.refuse(refused, port);
            }
        }
    }

    fn enumerated(&mut self, link: Link, identity: UsbIdentity) {
        self.attempts = 0;
        self.transport = Some(Transport::new(link));
        self.clear_report(identity);
        self.note_identity();
        self.begin_script(Slot::A);
    }

    /// Row 0 of the script, and whether the drive that came is the one that went (B23). The unit is not compared: the script finds it.
    fn note_identity(&mut self) {
        let Identity::Usb(identity) = &self.report.identity else { return };
        let same = |before: &UsbIdentity| UsbIdentity { unit: 0, ..before.clone() } == *identity;
        self.returned = self
            .previous
            .as_ref()
            .map(|before| if same(before) { Return::Same } else { Return::Other });
        let step = Step {
            step: 0,
            command: Command { layer: Layer::UsbControl, code: 6, sub: 0x80 },
            times: self.wire.emitted.controls.saturating_sub(self.controls_before),
            outcome: StepOutcome::Good(identity.descriptors),
        };
        let _ = self.report.steps.push(step);
    }

    fn begin_script(&mut self, slot: Slot) {
        let Identity::Usb(identity) = &self.report.identity else { return };
        let (vendor, product, release) = (identity.vendor, identity.product, identity.release);
        let listed = (self.settings.is_listed)(vendor, product, release);
        let units = identity.units;
        let limit = u32::try_from(self.wire.host.slot_bytes()).unwrap_or(u32::MAX);
        self.script_slot = slot;
        self.report.own_before = self.wire.emitted.own;
        self.script.begin(&mut self.report, units, listed, limit);
        self.state = State::Script(None);
    }

    fn next_step(&mut self, port: Port, now: Micros) {
        let command = match self.script.next(&mut self.report, now) {
            Next::Wait => return,
            Next::Finished(refused) => return self.script_ended(refused, port),
            Next::Send(command) => command,
        };
        let target = (self.script.unit, NO_BLOCKS);
        let Some(transport) = self.transport.as_mut() else { return };
        let slot = self.script_slot;
        let begun = Running::begin(&mut self.wire, transport, command, slot, target, now);
        match begun {
            Some(running) => {
                self.wire.count_own();
                let compares = self.compared.is_some() && self.watches_medium;
                let watched = compares || self.report.capture.is_removable();
                self.state = State::Script(Some(running.watching_medium(watched)));
            }
            None => self.refuse(Refused::Enumeration, port),
        }
    }

    fn poll_step(&mut self, port: Port, now: Micros) {
        let State::Script(Some(running)) = &mut self.state else { return };
        let Some(transport) = self.transport.as_mut() else { return };
        let Some(ended) = running.poll(&mut self.wire, transport, now) else { return };
        self.state = State::Script(None);
        if let (true, Status::Fault(fault)) = (ended.broken, ended.completion.status) {
            return self.step_broke(fault, port, now);
        }
        self.is_exchanged |= says_exchanged(&ended);
        let data = self.wire.host.data(Into::Slot(self.script_slot));
        if self.script.take(&mut self.report, &ended, data, now) {
            self.script_ended(Some(Refused::DeviceType), port);
        }
    }

    /// A step after which only a port reset helps is not sent to this device again.
    fn step_broke(&mut self, fault: Fault, port: Port, now: Micros) {
        if !self.script.remember_broken(fault) {
            return self.refuse(Refused::Enumeration, port);
        }
        self.detach();
        self.attempts = 0;
        self.wire.count_recovery();
        self.reset_port(now);
    }

    fn script_ended(&mut self, refused: Option<Refused>, port: Port) {
        if let Identity::Usb(identity) = &mut self.report.identity {
            identity.unit = self.script.unit;
            self.previous = Some(identity.clone());
        }
        match refused {
            Some(refused) => self.refuse(refused, port),
            None => {
                self.state = State::Ready;
                self.watches_medium = self.report.capture.is_removable();
                self.show_if_other();
            }
        }
    }

    /// After a capture that only compares nothing is told if everything is as it was.
    fn show_if_other(&mut self) {
        let now = &self.report.capture;
        let is_same = self.compared.as_ref().is_some_and(|report| {
            let before = &report.capture;
            (&before.inquiry, &before.vpd) == (&now.inquiry, &now.vpd)
                && (&before.identify, before.geometry) == (&now.identify, now.geometry)
        });
        if is_same && !self.is_exchanged {
            if let Some(before) = self.compared.take() {
                self.report.own_before = before.own_before;
            }
            self.is_shown = true;
        } else {
            self.show();
        }
    }

    fn poll_command(&mut self, now: Micros) {
        let State::Busy(running) = &mut self.state else { return };
        let Some(transport) = self.transport.as_mut() else { return };
        let Some(ended) = running.poll(&mut self.wire, transport, now) else { return };
        let (command, slot) = (*running.command(), running.slot());
        self.command_ended(&command, slot, ended, now);
    }

    fn command_ended(&mut self, command: &DownCommand, slot: Slot, ended: Ended, now: Micros) {
        let mut completion = ended.completion;
        let medium = self.medium_after(command, &ended);
        self.expects_power_on = match completion.status {
            Status::Fault(_) => self.expects_power_on || ended.recovered,
            Status::Good | Status::Check(_) => ended.recovered,
        };
        if medium == Medium::Exchanged {
            // A command that ends in a unit attention was not carried out.
            completion.delivered = 0;
        }
        self.state = State::Ready;
        self.tell(DriveEvent::Done(completion));
        if ended.broken {
            self.start_over(now);
        } else {
            self.take_medium(medium, slot);
        }
    }

    fn take_medium(&mut self, medium: Medium, slot: Slot) {
        match medium {
            Medium::Same => {}
            Medium::Doubtful => self.compare(slot),
            Medium::Exchanged | Medium::Removed | Medium::Arrived => self.capture_again(slot),
        }
    }

    /// Reset recovery failed: the drive goes, and comes back through a port reset (B23).
    fn start_over(&mut self, now: Micros) {
        self.detach();
        self.attempts = 0;
        self.wire.count_recovery();
        self.reset_port(now);
    }

    /// Captures anew, and tells of it only if something differs. Out of line for its copy of the report.
    #[inline(never)]
    fn compare(&mut self, slot: Slot) {
        let before = self.report.clone();
        self.capture_again(slot);
        self.compared = Some(before);
    }

    fn capture_again(&mut self, slot: Slot) {
        self.is_shown = false;
        self.compared = None;
        self.is_exchanged = false;
        self.script.forget_medium();
        // The USB part is not run again.
        self.report.steps.truncate(1);
        self.report.not_run.clear();
        self.report.refused = None;
        self.begin_script(slot);
    }

    /// What a command says about the medium (5.5) and the drive (B23). Without data, so that its slot is free for the script.
    fn medium_after(&self, command: &DownCommand, ended: &Ended) -> Medium {
        if says_exchanged(ended) {
            return Medium::Exchanged;
        }
        if ended.notice == Notice::Attention {
            return Medium::Doubtful;
        }
        match &ended.completion.status {
            Status::Good if *command == DownCommand::TestUnitReady && !self.script.is_ready() => {
                Medium::Arrived
            }
            Status::Check(sense) => {
                let code = sense.code();
                let captured = self.script.is_ready() && ended.completion.delivered == 0;
                match (code.key, code.asc) {
                    (0x2, 0x3A) if captured => Medium::Removed,
                    (UNIT_ATTENTION, asc) if self.asks_again(asc) => Medium::Doubtful,
                    _ => Medium::Same,
                }
            }
            Status::Good | Status::Fault(_) => Medium::Same,
        }
    }

    /// Unit attentions after which another drive may stand there: a reset that was none of the bridge's own, changed parameters, changed
    /// operating conditions.
    fn asks_again(&self, asc: u8) -> bool {
        match asc {
            asc if asc == POWER_ON.asc => !self.expects_power_on,
            PARAMETERS_CHANGED | CONDITIONS_CHANGED => true,
            _ => false,
        }
    }

    fn poll_abandoned(&mut self, now: Micros) {
        let State::Abandoning(running) = &mut self.state else { return };
        let Some(transport) = self.transport.as_mut() else { return };
        let Some(ended) = running.poll(&mut self.wire, transport, now) else { return };
        let (command, slot) = (*running.command(), running.slot());
        if ended.broken {
            return self.start_over(now);
        }
        self.state = State::Ready;
        let medium = self.medium_after(&command, &ended);
        self.expects_power_on |= ended.recovered;
        self.take_medium(medium, slot);
    }

    /// Whether a command may go to the drive as it is captured now.
    fn accepts(&self, command: &DownCommand) -> bool {
        let block_bytes = self.block_bytes();
        let length = usize::try_from(command.encode(block_bytes).data_in).unwrap_or(usize::MAX);
        let inside = match command {
            DownCommand::Read(range) => self
                .report
                .capture
                .geometry
                .is_some_and(|geometry| geometry.range(range.lba(), range.blocks()).is_some()),
            _ => true,
        };
        inside && length <= self.wire.host.slot_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.report.capture.geometry.map_or(NO_BLOCKS, |geometry| geometry.block_bytes)
    }
}

/// Additional sense codes of unit attentions (SPC-4, annex F).
const PARAMETERS_CHANGED: u8 = 0x2A;
const CONDITIONS_CHANGED: u8 = 0x3F;

/// Whether the drive told of an exchange of its medium, or may have, in words that were lost.
fn says_exchanged(ended: &Ended) -> bool {
    let told = match &ended.completion.status {
        Status::Check(sense) => {
            let code = sense.code();
            (code.key, code.asc) == (MEDIUM_CHANGED.key, MEDIUM_CHANGED.asc)
        }
        Status::Good | Status::Fault(_) => false,
    };
    told || ended.notice == Notice::Unheard
}

/// How the medium stands after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    Same,
    /// The drive may be another one: it is captured, and compared.
    Doubtful,
    Exchanged,
    Removed,
    /// There was none when the drive was captured.
    Arrived,
}

impl<H: HostController> Drive for UsbDrive<H> {
    fn slot_bytes(&self) -> usize {
        self.wire.host.slot_bytes()
    }

    fn poll(&mut self, now: Micros) -> Option<DriveEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let port = self.wire.host.poll_port(now);
        self.watch_port(port, now);
        self.advance(port, now);
        self.events.pop_front()
    }

    fn start(&mut self, command: &DownCommand, slot: Slot, now: Micros) -> bool {
        if !(matches!(self.state, State::Ready) && self.accepts(command)) {
            return false;
        }
        let target = (self.script.unit, self.block_bytes());
        let Some(transport) = self.transport.as_mut() else { return false };
        let begun = Running::begin(&mut self.wire, transport, *command, slot, target, now);
        match begun {
            Some(running) => {
                self.state = State::Busy(running.watching_medium(self.watches_medium));
                true
            }
            None => false,
        }
    }

    fn data(&self, slot: Slot) -> &[u8] {
        self.wire.host.data(Into::Slot(slot))
    }

    fn abandon(&mut self, now: Micros) {
        if let (State::Busy(running), Some(transport)) = (&self.state, self.transport.as_mut()) {
            let running = *running;
            running.abandon(&mut self.wire, transport, now);
            self.state = State::Abandoning(running);
        }
    }

    fn is_vacant(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    fn report(&self) -> Option<&Report> {
        self.compared.as_ref().or_else(|| self.is_shown.then_some(&self.report))
    }

    fn emitted(&self) -> &Emitted {
        &self.wire.emitted
    }
}
