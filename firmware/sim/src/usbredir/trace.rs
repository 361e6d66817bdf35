//! What a session carried: every command, status and control request, and their numbers.

use super::Options;
use crate::usb::Stall;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Control request with its data stage and the answer. SET_CONFIGURATION and SET_INTERFACE come as
    /// [`Event::Configuration`] and [`Event::AlternateSetting`].
    Control {
        /// SETUP packet.
        setup: [u8; 8],
        /// Data stage towards the device.
        data_out: Vec<u8>,
        /// Data stage towards the host, or refused.
        answer: Result<Vec<u8>, Stall>,
    },
    /// Command block wrapper.
    Cbw([u8; 31]),
    /// Command status wrapper.
    Csw([u8; 13]),
    /// So many bytes towards the device that are no command.
    DataOut(usize),
    /// So many bytes towards the host that are no status.
    DataIn(usize),
    /// A bulk transfer ended with STALL; endpoint address.
    Stalled(u8),
    /// Bus reset.
    Reset,
    /// SET_CONFIGURATION.
    Configuration(u8),
    /// SET_INTERFACE: interface and alternate setting.
    AlternateSetting(u8, u8),
    /// The guest gave a transfer up; endpoint address.
    Cancelled(u8),
}

impl Event {
    /// A reset of the bus, or Bulk-Only Mass Storage Reset: the next transfer is a command.
    fn ends_command(&self) -> bool {
        matches!(self, Self::Reset | Self::Control { setup: [0x21, 0xFF, ..], .. })
    }
}

/// Numbers of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Control requests.
    pub control: u64,
    /// Command block wrappers.
    pub cbws: u64,
    /// Command status wrappers.
    pub csws: u64,
    /// Of them with a status other than 0.
    pub failed_csws: u64,
    /// Data bytes towards the device, commands not counted.
    pub bytes_out: u64,
    /// Data bytes towards the host, statuses not counted.
    pub bytes_in: u64,
    /// Transfers and requests that ended with STALL.
    pub stalls: u64,
    /// Bus resets.
    pub resets: u64,
    /// Transfers given up.
    pub cancelled: u64,
}

/// Record of all sessions of a peer.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Events in order, if recorded.
    pub events: Vec<Event>,
    /// Events beyond the bound.
    pub dropped: u64,
    /// Numbers; complete whatever the bound.
    pub counters: Counters,
    options: Options,
    /// Data bytes still to come after a CBW towards the device.
    data_due: u64,
    /// A status is still to come.
    status_due: bool,
}

fn add(counter: &mut u64, amount: usize) {
    *counter = counter.saturating_add(u64::try_from(amount).unwrap_or(u64::MAX));
}

impl Trace {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            events: Vec::new(),
            dropped: 0,
            counters: Counters::default(),
            options,
            data_due: 0,
            status_due: false,
        }
    }

    /// The command block wrappers in order.
    pub fn cbws(&self) -> impl Iterator<Item = &[u8; 31]> {
        self.events.iter().filter_map(|event| match event {
            Event::Cbw(cbw) => Some(cbw),
            _ => None,
        })
    }

    /// The command status wrappers in order.
    pub fn csws(&self) -> impl Iterator<Item = &[u8; 13]> {
        self.events.iter().filter_map(|event| match event {
            Event::Csw(csw) => Some(csw),
            _ => None,
        })
    }

    /// Commands by operation code.
    pub fn by_opcode(&self) -> std::collections::BTreeMap<u8, u64> {
        let mut counts = std::collections::BTreeMap::new();
        for [.., _length, opcode, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] in self.cbws() {
            let count: &mut u64 = counts.entry(*opcode).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// A command has begun whose status has not come.
    pub(crate) fn is_in_command(&self) -> bool {
        self.status_due
    }

    /// Nobody waits any more for the status of the command under way.
    pub(crate) fn give_up(&mut self) {
        self.data_due = 0;
        self.status_due = false;
    }

    pub(crate) fn note(&mut self, event: Event) {
        match &event {
            Event::Control { answer, .. } => {
                add(&mut self.counters.control, 1);
                add(&mut self.counters.stalls, usize::from(answer.is_err()));
            }
            Event::Cbw(_) => add(&mut self.counters.cbws, 1),
            Event::Csw([.., status]) => {
                add(&mut self.counters.csws, 1);
                add(&mut self.counters.failed_csws, usize::from(*status != 0));
            }
            Event::DataOut(bytes) => add(&mut self.counters.bytes_out, *bytes),
            Event::DataIn(bytes) => add(&mut self.counters.bytes_in, *bytes),
            Event::Stalled(_) => add(&mut self.counters.stalls, 1),
            Event::Reset => add(&mut self.counters.resets, 1),
            Event::Cancelled(_) => add(&mut self.counters.cancelled, 1),
            Event::Configuration(_) | Event::AlternateSetting(..) => {}
        }
        if event.ends_command() {
            self.give_up();
        }
        if !self.options.record {
            return;
        }
        if self.events.len() < self.options.max_events {
            self.events.push(event);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// A bulk-OUT transfer the device took.
    pub(crate) fn bulk_out(&mut self, bytes: &[u8]) {
        let cbw = <[u8; 31]>::try_from(bytes).ok().filter(|b| b.starts_with(b"USBC"));
        match cbw {
            Some(cbw) if self.data_due == 0 => {
                let [_, _, _, _, _, _, _, _, l0, l1, l2, l3, flags, ..] = cbw;
                let length = u32::from_le_bytes([l0, l1, l2, l3]);
                self.data_due = if flags & 0x80 == 0 { length.into() } else { 0 };
                self.status_due = true;
                self.note(Event::Cbw(cbw));
            }
            _ => {
                let taken = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.data_due = self.data_due.saturating_sub(taken);
                self.note(Event::DataOut(bytes.len()));
            }
        }
    }

    /// A bulk-IN transfer the guest got.
    pub(crate) fn bulk_in(&mut self, bytes: &[u8]) {
        let csw = <[u8; 13]>::try_from(bytes).ok().filter(|b| b.starts_with(b"USBS"));
        match csw {
            Some(csw) if self.status_due => {
                self.status_due = false;
                self.data_due = 0;
                self.note(Event::Csw(csw));
            }
            _ => self.note(Event::DataIn(bytes.len())),
        }
    }
}
