//! Control requests: what the mass storage class asks, and the bridge's own interface.
//!
//! Facts: Bulk-Only Transport, section 3; the published requirements, section 5.2. None of them causes a transfer to the drive, save that a
//! reset gives up one that is under way.

use wb_attest::{
    digest::{Engine, HashEngine},
    interface::{
        Ending, Info, MIN_ANSWER, Request, STORAGE_INTERFACE, Setup, descriptors, encode_leaves,
        flag, resolve_seq,
    },
    statement::{Command, Kind, Layer, RefusalKind},
};

use super::{Bridge, Event};
use crate::{counters::Fate, drive::Drive};

/// Largest answer of LEAVES and STATEMENT: fits the control buffer of `usb-device` with room for a header.
pub const ANSWER: u16 = 192;
const _: () = assert!(ANSWER >= MIN_ANSWER && ANSWER.is_multiple_of(64));

/// GET MAX LUN: class, interface, to the host.
const GET_MAX_LUN: (u8, u8) = (0xA1, 0xFE);
/// Bulk-Only Mass Storage Reset: class, interface, to the device.
const RESET: (u8, u8) = (0x21, 0xFF);

impl<D: Drive, E: HashEngine, const RING: usize> Bridge<'_, D, E, RING> {
    /// Answers a control request to the host into `out`, and gives the length; `None` to stall it.
    pub fn control_in(&mut self, setup: &Setup, out: &mut [u8]) -> Option<usize> {
        let answer = self.answer_control(setup, out);
        if answer.is_none() {
            self.count_stalled();
        }
        answer
    }

    fn answer_control(&mut self, setup: &Setup, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..usize::from(setup.length).min(out.len()))?;
        if setup.request_type == descriptors::MS_REQUEST_TYPE
            && setup.request == descriptors::MS_VENDOR_CODE
        {
            let is_set = setup.index == descriptors::MS_DESCRIPTOR_INDEX && setup.value == 0;
            return is_set.then(|| put(out, &descriptors::MS_OS_20));
        }
        if (setup.request_type, setup.request) == GET_MAX_LUN {
            let is_right = is_storage(setup) && setup.length == 1;
            return is_right.then(|| put(out, &[0]));
        }
        match Request::parse(setup)? {
            Request::Info => Some(put(out, &self.info().to_bytes())),
            Request::Leaves { first, room } => self.leaves(first, room, out),
            Request::Statement { offset, room } => {
                let ready = self.statement.ready(self.statement_bytes)?;
                let from = usize::try_from(offset).ok()?;
                let room = usize::from(room.min(ANSWER));
                let rest = ready.get(from..).unwrap_or_default();
                Some(put(out, rest.get(..room).unwrap_or(rest)))
            }
            Request::Start | Request::Finish(_) | Request::Provision => None,
        }
    }

    /// Takes a control request with its data; `false` to stall it.
    pub fn control_out(&mut self, setup: &Setup, data: &[u8]) -> bool {
        let is_done = self.take_control(setup, data).is_some();
        if !is_done {
            self.count_stalled();
        }
        is_done
    }

    fn take_control(&mut self, setup: &Setup, data: &[u8]) -> Option<()> {
        if (setup.request_type, setup.request) == RESET {
            let is_right = is_storage(setup) && setup.length == 0;
            return is_right.then(|| self.transport_reset());
        }
        let request = Request::parse(setup)?;
        let nonce: [u8; 32] = data.try_into().ok()?;
        match request {
            Request::Start => self.start_session(nonce),
            Request::Finish(ending) => self.finish(ending, nonce),
            Request::Provision => {
                let may = self.config.public_key.is_none()
                    && self.drive.is_vacant()
                    && self.provision.is_none();
                may.then(|| self.provision = Some(nonce))
            }
            Request::Info | Request::Leaves { .. } | Request::Statement { .. } => None,
        }
    }

    /// A stalled request is counted like a refused command (5.2), all in one row: no host can fill the table with them.
    fn count_stalled(&mut self) {
        let command = Command { layer: Layer::Interface, code: 0, sub: 0 };
        self.counters.count(command, Fate::Refused(RefusalKind::Fld));
    }

    /// Opens a session; refused without a key or without a drive.
    fn start_session(&mut self, nonce: [u8; 32]) -> Option<()> {
        self.config.public_key?;
        let geometry = self.served()?.capture.geometry?;
        if self.session.open.is_some() {
            self.note(Event::SessionEnded(self.session.number));
        }
        self.session.begin(nonce, self.now, geometry, self.drive.emitted());
        self.counters.mark();
        self.statement.clear();
        self.note(Event::SessionBegan(self.session.number));
        Some(())
    }

    fn finish(&mut self, ending: Ending, nonce: [u8; 32]) -> Option<()> {
        if self.session.open.is_none() || self.statement.is_in_the_making() {
            return None;
        }
        let kind = match ending {
            Ending::Final => Kind::Final,
            Ending::Checkpoint => Kind::Checkpoint,
        };
        self.make_statement(kind, nonce)
    }

    fn leaves(&mut self, first: u16, room: u16, out: &mut [u8]) -> Option<usize> {
        if self.session.number == 0 {
            return None;
        }
        let next = self.session.log.size();
        let oldest = self.session.ring.oldest(next);
        // What was dropped cannot be given: the answer begins with the oldest entry there is, and says so.
        let seq = resolve_seq(first, oldest, next).unwrap_or(oldest);
        self.session.ring.release(seq);
        let room = usize::from(room.min(ANSWER)).min(out.len());
        let lost = u32::try_from(self.session.ring.lost()).unwrap_or(u32::MAX);
        encode_leaves(seq, lost, self.session.ring.entries(), out.get_mut(..room)?)
    }

    fn info(&self) -> Info {
        let report = self.drive.report();
        let capture = report.map(|report| &report.capture);
        let geometry = capture.and_then(|capture| capture.geometry);
        let hides = capture.is_some_and(wb_policy::capture::Capture::has_disagreement);
        let skipped = report.is_some_and(|report| !report.not_run.is_empty());
        let statement = self.statement.ready(self.statement_bytes).map_or(0, <[u8]>::len);
        let lost = self.session.open.is_some() && self.session.ring.lost() > 0;
        let is_hardware = self.session.chunks.engine().engine() != Engine::Software;
        let flags = [
            (self.config.public_key.is_some(), flag::KEY),
            (report.is_some(), flag::DRIVE),
            (self.session.open.is_some(), flag::SESSION),
            (statement > 0, flag::STATEMENT),
            (lost, flag::LOST),
            (self.config.profiles.ident, flag::IDENT),
            (self.config.profiles.smart, flag::SMART),
            (self.refusals.modifying() > 0, flag::REFUSED),
            (self.capacity_changed, flag::TAMPER),
            (hides, flag::HIDDEN),
            (true, flag::PROTOTYPE_PID),
            (is_hardware, flag::HASH_ENGINE),
            (skipped, flag::NOT_RUN),
        ];
        Info {
            flags: flags.iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, bit)| all | bit),
            answer: ANSWER,
            protection: self.config.public_key.map(|_| self.config.protection),
            boot_counter: self.config.boot_counter,
            session: self.session.number,
            statement: u32::try_from(statement).unwrap_or(0),
            entries: self.session.log.size(),
            capacity: geometry.map_or(0, |geometry| geometry.blocks),
            block_size: geometry.map_or(0, |geometry| geometry.block_bytes),
            refused: self.refusals.modifying(),
            native_max: capture.and_then(|capture| capture.native_max.value()).unwrap_or(0),
            public_key: self.config.public_key.unwrap_or_default(),
            firmware: self.config.firmware_digest,
            policy: self.config.policy_digest,
        }
    }
}

fn is_storage(setup: &Setup) -> bool {
    setup.index == u16::from(STORAGE_INTERFACE) && setup.value == 0
}

fn put(out: &mut [u8], bytes: &[u8]) -> usize {
    for (own, byte) in out.iter_mut().zip(bytes) {
        *own = *byte;
    }
    out.len().min(bytes.len())
}
