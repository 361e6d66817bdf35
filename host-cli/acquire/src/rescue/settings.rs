//! What a rescue may do and for how long.

use std::time::{Duration, Instant};

use daleel_core::Extent;

/// Where the rescue takes its time from. A simulation gives its own, so that its runs are the same every time.
pub trait Clock {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock, from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// When a pass ends early; what it leaves open is tried by the passes behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassLimits {
    /// Reads that failed.
    pub errors: Option<u64>,
    /// Bytes asked for.
    pub bytes: Option<u64>,
    /// Time.
    pub time: Option<Duration>,
}

/// What a rescue may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes read at a time while the medium shows no error.
    pub large_bytes: u32,
    /// Bytes read at a time in the copying phase of a medium that has shown errors. A read that fails costs seconds and says
    /// only that one sector of it is bad, so larger reads cost more there than they save.
    pub cluster_bytes: u32,
    /// The medium is known to fail (its health report, an earlier run, the operator): never begin with large reads.
    pub suspect: bool,
    /// After this many bytes without an error large reads are tried again.
    pub sound_bytes: u64,
    /// A read slower than this many bytes per second makes the first pass skip ahead as an error does; the bytes are kept.
    pub min_rate: Option<u64>,
    /// Read sector by sector from both edges of what failed.
    pub trim: bool,
    /// Then every other sector of what failed.
    pub scrape: bool,
    /// Then every bad sector again, so many times, forwards and backwards in turn.
    pub retries: u32,
    /// When each pass ends early.
    pub limits: PassLimits,
    /// The whole run ends after this time.
    pub deadline: Option<Duration>,
    /// The run ends when more bytes than this were tried in vain.
    pub max_unreadable: Option<u64>,
    /// What is read first, in this order. These are copied and trimmed before anything else is read.
    pub order: Vec<Extent>,
    /// Nothing but `order` is read; the rest stays untried.
    pub only_order: bool,
    /// The map is saved when this many bytes were read since the last time.
    pub save_bytes: u64,
    /// The map is saved when this much time went by since the last time.
    pub save_time: Duration,
    /// After this many failed reads in a row bytes that were read before are read again, to tell a bad medium from a lost device.
    pub errors_in_a_row: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            large_bytes: 1 << 20,
            cluster_bytes: 64 << 10,
            suspect: false,
            sound_bytes: 16 << 30,
            min_rate: None,
            trim: true,
            scrape: true,
            retries: 0,
            limits: PassLimits::default(),
            deadline: None,
            max_unreadable: None,
            order: Vec::new(),
            only_order: false,
            save_bytes: 64 << 20,
            save_time: Duration::from_secs(30),
            errors_in_a_row: 16,
        }
    }
}
