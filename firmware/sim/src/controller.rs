//! A host controller over a model device: what the bridge's drive side runs on in tests.
//!
//! It keeps a log of every byte given to a bulk-OUT endpoint, injects faults at the level of single transfers, and writes
//! down whatever its user does against the rules of [`HostController`] or of USB 2.0 (5.8.5: toggles after a cleared halt).

use std::collections::{BTreeMap, BTreeSet};

use wb_bridge::{
    Micros,
    drive::Slot,
    host::{Endpoints, HostController, Into, PipeFault, Port, Request, Speed},
};
use wb_policy::down::CbwOut;

use crate::usb::{self, InResult, OutResult, UsbDevice};

/// Duration of a port reset.
const RESET: Micros = 60_000;
/// Room of the status buffer.
const STATUS_ROOM: usize = 64;

/// What happens to one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injected {
    /// The controller reports a STALL; the device sees nothing.
    Stall,
    /// The controller reports a time-out; the device sees nothing.
    TimedOut,
    /// Three bus errors; the device sees nothing.
    Error,
    /// The device does its part, and its answer is lost in bus errors.
    AnswerLost,
    /// The device sends more than was asked for, which ends as an error with the buffer full.
    Babble,
    /// The device answers NAK for ever.
    Hang,
    /// The device goes before the transfer.
    GoneBefore,
    /// The device goes after it has done its part.
    GoneAfter,
}

#[derive(Clone, Debug)]
enum Transfer {
    Control { address: u8, request: Request },
    Wrapper(Vec<u8>),
    In { into: Into, length: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Unplugged,
    Connected,
    Resetting(Micros),
    Enabled,
}

/// A root port with one model device.
pub struct ModelController<D> {
    device: D,
    slot_bytes: usize,
    line: Line,
    /// The plug was pulled or put in, and the driver has not asked how the port stands since.
    is_unnoticed: bool,
    over_current: bool,
    failing_resets: u32,
    address: u8,
    endpoints: Option<Endpoints>,
    transfer: Option<Transfer>,
    injected: BTreeMap<u64, Injected>,
    started: u64,
    slots: [Vec<u8>; 2],
    status: Vec<u8>,
    control: Vec<u8>,
    uncleared: BTreeSet<u8>,
    resets: u32,
    bulk_out: Vec<Vec<u8>>,
    requests: Vec<Request>,
    violations: Vec<String>,
}

impl<D: UsbDevice> ModelController<D> {
    /// A controller with `device` plugged in and slots of `slot_bytes`.
    pub fn new(device: D, slot_bytes: usize) -> Self {
        Self {
            device,
            slot_bytes,
            line: Line::Connected,
            is_unnoticed: false,
            over_current: false,
            failing_resets: 0,
            address: 0,
            endpoints: None,
            transfer: None,
            injected: BTreeMap::new(),
            started: 0,
            slots: [Vec::new(), Vec::new()],
            status: Vec::new(),
            control: Vec::new(),
            uncleared: BTreeSet::new(),
            resets: 0,
            bulk_out: Vec::new(),
            requests: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, to be changed while it runs.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Injects a fault into the transfer with this number, counted from 0 over the life of the controller.
    pub fn inject(&mut self, transfer: u64, fault: Injected) {
        self.injected.insert(transfer, fault);
    }

    /// The next port resets, so many, do not enable the port.
    pub fn fail_resets(&mut self, count: u32) {
        self.failing_resets = count;
    }

    /// Over-current, or its end.
    pub fn set_over_current(&mut self, is_over: bool) {
        self.over_current = is_over;
        self.line = Line::Connected;
    }

    /// Takes the device off the port.
    pub fn unplug(&mut self) {
        self.line = Line::Unplugged;
        self.address = 0;
    }

    /// Plugs it in.
    pub fn plug(&mut self) {
        self.is_unnoticed = true;
        self.line = Line::Connected;
        self.address = 0;
    }

    /// Transfers begun so far.
    pub fn transfers(&self) -> u64 {
        self.started
    }

    /// Port resets so far.
    pub fn resets(&self) -> u32 {
        self.resets
    }

    /// Everything that was given to a bulk-OUT endpoint, transfer by transfer.
    pub fn bulk_out(&self) -> &[Vec<u8>] {
        &self.bulk_out
    }

    /// Every control request.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// What was done against the rules.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    fn begin(&mut self, transfer: Transfer) {
        if let Some(running) = &self.transfer {
            self.violations.push(format!("{transfer:?} during {running:?}"));
        }
        if self.line != Line::Enabled && self.is_present() && !self.is_unnoticed {
            self.violations.push(format!("{transfer:?} on a port that is not enabled"));
        }
        self.transfer = Some(transfer);
        self.started = self.started.saturating_add(1);
    }

    fn is_present(&self) -> bool {
        self.line != Line::Unplugged && self.device.connected()
    }

    fn perform(&mut self, transfer: &Transfer) -> Option<Result<usize, PipeFault>> {
        if !self.is_present() {
            return Some(Err(PipeFault::Gone));
        }
        self.device.tick();
        match transfer {
            Transfer::Control { address, request } => Some(self.perform_control(*address, request)),
            Transfer::Wrapper(bytes) => self.perform_wrapper(bytes),
            Transfer::In { into, length } => self.perform_in(*into, *length),
        }
    }

    fn perform_control(&mut self, address: u8, request: &Request) -> Result<usize, PipeFault> {
        self.control.clear();
        if address != self.address {
            return Err(PipeFault::TimedOut);
        }
        if let Request::SetAddress(new) = request {
            self.address = *new;
            return Ok(0);
        }
        let limit = usize::from(request.data_in());
        let answer =
            self.device.control(request.setup(), &[]).map_err(|usb::Stall| PipeFault::Stall)?;
        if answer.len() > limit {
            return Err(PipeFault::Error);
        }
        match request {
            Request::ClearHalt { endpoint } => {
                self.uncleared.insert(*endpoint);
            }
            Request::SetConfiguration(_) | Request::SetInterface { .. } => self.uncleared.clear(),
            _ => {}
        }
        self.control = answer;
        Ok(self.control.len())
    }

    fn perform_wrapper(&mut self, bytes: &[u8]) -> Option<Result<usize, PipeFault>> {
        let endpoint = self.endpoints?.bulk_out;
        match self.device.bulk_out(endpoint, bytes) {
            OutResult::Ack(taken) => Some(Ok(taken)),
            OutResult::Stall => Some(Err(PipeFault::Stall)),
            OutResult::Nak => None,
        }
    }

    /// Packets until the transfer is full or one is short.
    fn perform_in(&mut self, into: Into, length: usize) -> Option<Result<usize, PipeFault>> {
        let endpoints = self.endpoints?;
        let packet = usize::from(endpoints.max_packet_in).max(1);
        loop {
            let have = self.place(into).len();
            let left = length.saturating_sub(have);
            if left == 0 {
                return Some(Ok(have));
            }
            match self.device.bulk_in(endpoints.bulk_in, left) {
                InResult::Nak => return None,
                InResult::Stall => return Some(Err(PipeFault::Stall)),
                InResult::Data(part) if part.len() > left => {
                    self.place(into).extend(part.iter().take(left));
                    return Some(Err(PipeFault::Error));
                }
                InResult::Data(part) => {
                    self.place(into).extend(&part);
                    if part.is_empty() || part.len().checked_rem(packet) != Some(0) {
                        return Some(Ok(self.place(into).len()));
                    }
                }
            }
        }
    }

    fn place(&mut self, into: Into) -> &mut Vec<u8> {
        let [a, b] = &mut self.slots;
        match into {
            Into::Slot(Slot::A) => a,
            Into::Slot(Slot::B) => b,
            Into::Status => &mut self.status,
        }
    }

    fn fill(&mut self, transfer: &Transfer) {
        if let Transfer::In { into, length } = *transfer {
            self.place(into).resize(length, 0xBA);
        }
    }

    fn spoil(&mut self, fault: Injected, transfer: &Transfer) -> Option<Result<usize, PipeFault>> {
        match fault {
            Injected::Stall => Some(Err(PipeFault::Stall)),
            Injected::TimedOut => Some(Err(PipeFault::TimedOut)),
            Injected::Error => Some(Err(PipeFault::Error)),
            Injected::Hang => None,
            Injected::AnswerLost => self.perform(transfer).map(|_| Err(PipeFault::Error)),
            Injected::Babble => self.perform(transfer).map(|_| {
                self.fill(transfer);
                Err(PipeFault::Error)
            }),
            Injected::GoneBefore => {
                self.unplug();
                Some(Err(PipeFault::Gone))
            }
            Injected::GoneAfter => self.perform(transfer).map(|_| {
                self.unplug();
                Err(PipeFault::Gone)
            }),
        }
    }
}

impl<D: UsbDevice> HostController for ModelController<D> {
    fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    fn poll_port(&mut self, now: Micros) -> Port {
        self.is_unnoticed = false;
        if !self.device.connected() {
            self.line = Line::Unplugged;
        }
        if let Line::Resetting(until) = self.line
            && now >= until
        {
            let fails = self.failing_resets > 0;
            self.failing_resets = self.failing_resets.saturating_sub(1);
            self.line = if fails { Line::Connected } else { Line::Enabled };
        }
        match self.line {
            Line::Unplugged => Port::Empty,
            _ if self.over_current => Port::Fault,
            Line::Connected => Port::Connected,
            Line::Resetting(_) => Port::Resetting,
            Line::Enabled => Port::Enabled(match self.device.speed() {
                usb::Speed::Full => Speed::Full,
                usb::Speed::High => Speed::High,
            }),
        }
    }

    fn reset_port(&mut self, now: Micros) {
        self.resets = self.resets.saturating_add(1);
        self.device.reset();
        self.transfer = None;
        self.address = 0;
        self.endpoints = None;
        self.uncleared.clear();
        if self.line != Line::Unplugged {
            self.line = Line::Resetting(now.saturating_add(RESET));
        }
    }

    fn start_control(&mut self, address: u8, _max_packet: u8, request: &Request, _now: Micros) {
        self.requests.push(*request);
        self.begin(Transfer::Control { address, request: *request });
    }

    fn control_data(&self) -> &[u8] {
        &self.control
    }

    fn set_endpoints(&mut self, endpoints: Endpoints) {
        self.endpoints = Some(endpoints);
    }

    fn clear_toggle(&mut self, endpoint: u8) {
        self.uncleared.remove(&endpoint);
    }

    fn start_cbw(&mut self, cbw: &CbwOut, _now: Micros) {
        let bytes = cbw.as_bytes().to_vec();
        match self.endpoints {
            Some(endpoints) if self.uncleared.contains(&endpoints.bulk_out) => {
                self.violations.push("bulk-OUT with a stale toggle".into());
            }
            Some(_) => {}
            None => self.violations.push("bulk-OUT without endpoints".into()),
        }
        self.bulk_out.push(bytes.clone());
        self.begin(Transfer::Wrapper(bytes));
    }

    fn start_in(&mut self, into: Into, length: usize, _now: Micros) {
        let room = if into == Into::Status { STATUS_ROOM } else { self.slot_bytes };
        if length == 0 || length > room {
            self.violations.push(format!("{length} bytes into {into:?}"));
        }
        match self.endpoints {
            Some(endpoints) if self.uncleared.contains(&(0x80 | endpoints.bulk_in)) => {
                self.violations.push("bulk-IN with a stale toggle".into());
            }
            Some(_) => {}
            None => self.violations.push("bulk-IN without endpoints".into()),
        }
        self.place(into).clear();
        self.begin(Transfer::In { into, length });
    }

    fn poll_transfer(&mut self, _now: Micros) -> Option<Result<usize, PipeFault>> {
        let transfer = self.transfer.clone()?;
        let number = self.started.saturating_sub(1);
        let outcome = match self.injected.get(&number).copied() {
            Some(fault) => self.spoil(fault, &transfer),
            None => self.perform(&transfer),
        };
        if outcome.is_some() {
            self.transfer = None;
        }
        outcome
    }

    fn cancel(&mut self) {
        self.transfer = None;
    }

    fn data(&self, from: Into) -> &[u8] {
        let [a, b] = &self.slots;
        match from {
            Into::Slot(Slot::A) => a,
            Into::Slot(Slot::B) => b,
            Into::Status => &self.status,
        }
    }
}
