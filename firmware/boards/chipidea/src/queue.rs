//! The three queue heads: what the driver knows of each.

use crate::descriptor::Endpoint;

/// Number of queue heads besides the head of the list.
pub const QUEUES: usize = 3;

/// A queue head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Endpoint 0.
    Control,
    /// Bulk-IN.
    In,
    /// Bulk-OUT: commands.
    Out,
}

impl Queue {
    /// All, in their order in memory and in the list.
    pub const ALL: [Self; QUEUES] = [Self::Control, Self::In, Self::Out];

    /// Place in that order.
    pub fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::In => 1,
            Self::Out => 2,
        }
    }
}

/// What the driver knows of a queue head.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueState {
    /// In the list.
    pub linked: bool,
    /// What it is to be. `None` until the endpoint is known.
    pub wanted: Option<Endpoint>,
    /// What stands in memory.
    pub written: Option<Endpoint>,
    /// Data toggle while it is not in the list.
    pub toggle: bool,
    /// The toggle is to be 0, whatever the queue head says.
    pub restart: bool,
}

impl QueueState {
    /// Whether it has to leave the list and be written before it can get work.
    pub fn is_stale(&self) -> bool {
        self.restart || self.written != self.wanted
    }
}

/// All three.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueStates([QueueState; QUEUES]);

impl QueueStates {
    /// One of them.
    pub fn get(&mut self, queue: Queue) -> &mut QueueState {
        let [control, bulk_in, bulk_out] = &mut self.0;
        match queue {
            Queue::Control => control,
            Queue::In => bulk_in,
            Queue::Out => bulk_out,
        }
    }

    /// Which are in the list.
    pub fn linked(&self) -> [bool; QUEUES] {
        self.0.map(|queue| queue.linked)
    }
}
