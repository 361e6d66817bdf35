//! The one place where transfers to a drive begin: each is counted, and none lasts beyond its deadline.
//!
//! Facts: the published policy, section 6.3 (closed list of control requests, 60 s for a command); USB 2.0, section 9.2.6.4 (5 s for a
//! control request).

use wb_policy::{
    cbw::CBW_BYTES,
    down::{CbwOut, DownCommand},
};

use crate::{
    Micros,
    drive::Emitted,
    host::{HostController, Into, PipeFault, Request},
};

const CONTROL_LIMIT: Micros = 5_000_000;

/// A host controller with the counts of what it was given.
pub(super) struct Wire<H> {
    pub(super) host: H,
    pub(super) emitted: Emitted,
    deadline: Micros,
}

impl<H: HostController> Wire<H> {
    pub(super) fn new(host: H) -> Self {
        Self { host, emitted: Emitted::default(), deadline: 0 }
    }

    /// Begins a control request to endpoint 0.
    pub(super) fn control(&mut self, address: u8, packet: u8, request: &Request, now: Micros) {
        self.deadline = now.saturating_add(CONTROL_LIMIT);
        self.emitted.controls = self.emitted.controls.saturating_add(1);
        self.host.start_control(address, packet, request, now);
    }

    /// Begins to send a command wrapper: nothing else goes to a bulk-OUT endpoint. All of the command ends by `deadline`.
    pub(super) fn wrapper(
        &mut self,
        cbw: &CbwOut,
        command: &DownCommand,
        now: Micros,
        deadline: Micros,
    ) {
        self.deadline = deadline;
        if let Some(count) = self.emitted.commands.get_mut(command.index()) {
            *count = count.saturating_add(1);
        }
        self.emitted.wrappers = self.emitted.wrappers.saturating_add(1);
        let bytes = u64::try_from(CBW_BYTES).unwrap_or(0);
        self.emitted.bytes = self.emitted.bytes.saturating_add(bytes);
        self.host.start_cbw(cbw, now);
    }

    /// Begins a bulk-IN transfer that ends by `deadline`.
    pub(super) fn receive(&mut self, into: Into, length: usize, now: Micros, deadline: Micros) {
        self.deadline = deadline;
        self.host.start_in(into, length, now);
    }

    /// Outcome of the transfer in progress; one that lasts too long is taken off the bus.
    pub(super) fn poll(&mut self, now: Micros) -> Option<Result<usize, PipeFault>> {
        let outcome = self.host.poll_transfer(now);
        if outcome.is_none() && now >= self.deadline {
            self.host.cancel();
            return Some(Err(PipeFault::TimedOut));
        }
        outcome
    }

    pub(super) fn count_own(&mut self) {
        self.emitted.own = self.emitted.own.saturating_add(1);
    }

    pub(super) fn count_recovery(&mut self) {
        self.emitted.recoveries = self.emitted.recoveries.saturating_add(1);
    }
}
