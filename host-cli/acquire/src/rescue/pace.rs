//! How much is read at a time in the copying phase.
//!
//! Three sizes: large while the medium is sound; clusters once it has failed, since a failed read costs seconds however long it is
//! and leaves its whole length to be read again; and narrow reads in stretches so densely damaged that most clusters hold a bad
//! sector. Which of the two latter gives more bytes per failed read is measured, never assumed: in a stretch that is
//! wholly bad narrow reads give nothing either, and then they are given up, each time for longer.

use super::settings::Settings;

/// Sectors of a narrow read.
const NARROW_SECTORS: u64 = 8;
/// Failures over which a yield is measured.
const MEASURE: u64 = 16;
/// Failures that narrow reads have to show what they give.
const TRIAL: u64 = 4;
/// Good bytes in a row, in clusters, after which the stretch is no longer dense.
const SPARSE_CLUSTERS: u64 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Large,
    Cluster,
    Trial,
    Narrow,
}

/// Sizes of reads and what they gave lately.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    mode: Mode,
    large: u64,
    cluster: u64,
    narrow: u64,
    sound_bytes: u64,
    /// Good bytes and failures since the measuring began.
    good: u64,
    failures: u64,
    /// Good bytes since the last failure.
    run: u64,
    /// Bytes per failure that clusters gave when they were last measured.
    cluster_yield: u64,
    /// Failures of clusters before narrow reads are tried.
    patience: u64,
}

impl Pace {
    pub(super) fn new(settings: &Settings, sector: u64, has_failed: bool) -> Self {
        let whole =
            |bytes: u64| bytes.checked_next_multiple_of(sector).unwrap_or(sector).max(sector);
        let cluster = whole(settings.cluster_bytes.into());
        let large = whole(settings.large_bytes.into()).max(cluster);
        let suspect = settings.suspect || has_failed || large == cluster;
        Self {
            mode: if suspect { Mode::Cluster } else { Mode::Large },
            large,
            cluster,
            narrow: sector.saturating_mul(NARROW_SECTORS).min(cluster),
            sound_bytes: settings.sound_bytes,
            good: 0,
            failures: 0,
            run: 0,
            cluster_yield: 0,
            patience: MEASURE,
        }
    }

    /// Longest read.
    pub(super) fn largest(&self) -> u64 {
        self.large
    }

    /// Length of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        self.cluster
    }

    /// Length of the next read; it ends at a multiple of this.
    pub(super) fn unit(&self) -> u64 {
        match self.mode {
            Mode::Large => self.large,
            Mode::Cluster => self.cluster,
            Mode::Trial | Mode::Narrow => self.narrow,
        }
    }

    /// True for a read so long that its failure says too little to be noted.
    pub(super) fn is_large(&self, length: u64) -> bool {
        length > self.cluster
    }

    /// The medium fails: no more large reads.
    pub(super) fn distrust(&mut self) {
        if self.mode == Mode::Large {
            self.mode = Mode::Cluster;
        }
        self.run = 0;
    }

    /// A read of the copying phase gave its bytes.
    pub(super) fn good(&mut self, length: u64) {
        self.run = self.run.saturating_add(length);
        self.good = self.good.saturating_add(length);
        match self.mode {
            Mode::Trial if self.better() => self.enter(Mode::Narrow),
            Mode::Narrow if self.run >= self.cluster.saturating_mul(SPARSE_CLUSTERS) => {
                self.enter(Mode::Cluster);
            }
            Mode::Cluster if self.run >= self.sound_bytes => self.enter(Mode::Large),
            _ => {}
        }
    }

    /// A read of the copying phase failed.
    pub(super) fn bad(&mut self) {
        self.run = 0;
        self.failures = self.failures.saturating_add(1);
        match self.mode {
            Mode::Large => self.enter(Mode::Cluster),
            Mode::Cluster if self.failures >= self.patience => {
                self.cluster_yield = self.good.checked_div(self.failures).unwrap_or(0);
                let dense = self.cluster_yield < self.cluster.saturating_mul(4);
                self.enter(if dense && self.narrow < self.cluster {
                    Mode::Trial
                } else {
                    Mode::Cluster
                });
            }
            Mode::Trial if self.failures >= TRIAL => {
                if self.better() {
                    self.enter(Mode::Narrow);
                } else {
                    self.patience = self.patience.saturating_mul(4);
                    self.enter(Mode::Cluster);
                }
            }
            Mode::Narrow if self.failures >= MEASURE => {
                let mode = if self.better() { Mode::Narrow } else { Mode::Cluster };
                self.enter(mode);
            }
            _ => {}
        }
    }

    /// Narrow reads give at least a quarter more for each failure than clusters did, over as many failures as a trial has.
    fn better(&self) -> bool {
        let wanted = self.cluster_yield.saturating_add(self.cluster_yield / 4).max(self.narrow);
        self.good > wanted.saturating_mul(self.failures.max(TRIAL))
    }

    fn enter(&mut self, mode: Mode) {
        if mode == Mode::Narrow {
            self.patience = MEASURE;
        }
        self.mode = mode;
        self.good = 0;
        self.failures = 0;
    }
}
