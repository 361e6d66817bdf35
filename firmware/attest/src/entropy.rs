//! Health tests of an entropy source: repetition count and adaptive proportion.
//!
//! NIST SP 800-90B, sections 4.4.1 and 4.4.2, with a false alarm of 2^-20 a sample or window. The
//! device key is made from samples only when both stayed silent over all of them (published
//! requirements, section 4.5). They notice a source that sticks or leans, not one that is
//! predictable; therefore the host's bytes are mixed in as well.

/// Where the tests give alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Equal samples in a row that give alarm.
    pub repetition: u32,
    /// Samples of a window.
    pub window: u32,
    /// Samples in a window equal to its first, itself included, that give alarm.
    pub proportion: u32,
}

impl Cutoffs {
    /// Samples of one bit (0 or 1) with at least half a bit of entropy: a ring oscillator.
    pub const HALF_BIT: Self = Self { repetition: 41, window: 1024, proportion: 793 };
    /// Samples of a byte with at least one bit of entropy each.
    pub const BIT_PER_BYTE: Self = Self { repetition: 21, window: 512, proportion: 311 };
    /// Samples of a byte with at least four bits of entropy each: a true random number generator
    /// behind its own whitening.
    pub const HALF_PER_BYTE: Self = Self { repetition: 6, window: 512, proportion: 62 };
}

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The same sample too often in a row.
    Repetition,
    /// One sample too often in a window.
    Proportion,
}

/// Both tests over a stream of samples. An alarm stays.
#[derive(Debug, Clone)]
pub struct Health {
    cutoffs: Cutoffs,
    last: Option<u8>,
    run: u32,
    reference: u8,
    seen: u32,
    matches: u32,
    samples: u64,
    alarm: Option<Alarm>,
}

impl Health {
    /// Tests that have seen nothing.
    #[must_use]
    pub const fn new(cutoffs: Cutoffs) -> Self {
        Self {
            cutoffs,
            last: None,
            run: 0,
            reference: 0,
            seen: 0,
            matches: 0,
            samples: 0,
            alarm: None,
        }
    }

    /// Takes samples, one in each byte.
    pub fn feed(&mut self, samples: &[u8]) {
        for sample in samples {
            self.samples = self.samples.saturating_add(1);
            self.repetition(*sample);
            self.proportion(*sample);
        }
    }

    /// Samples taken so far.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// The first alarm.
    #[must_use]
    pub const fn alarm(&self) -> Option<Alarm> {
        self.alarm
    }

    /// Whether at least `samples` were taken, a whole window among them, without an alarm.
    #[must_use]
    pub fn passed(&self, samples: u64) -> bool {
        self.alarm.is_none() && self.samples >= samples.max(self.cutoffs.window.into())
    }

    fn repetition(&mut self, sample: u8) {
        self.run = if self.last == Some(sample) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(sample);
        if self.run >= self.cutoffs.repetition {
            self.alarm.get_or_insert(Alarm::Repetition);
        }
    }

    fn proportion(&mut self, sample: u8) {
        if self.seen == 0 {
            self.reference = sample;
            self.matches = 0;
        }
        self.matches = self.matches.saturating_add(u32::from(sample == self.reference));
        self.seen = self.seen.saturating_add(1);
        if self.matches >= self.cutoffs.proportion {
            self.alarm.get_or_insert(Alarm::Proportion);
        }
        if self.seen >= self.cutoffs.window {
            self.seen = 0;
        }
    }
}
