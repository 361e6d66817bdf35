//! How much is read at a time in the copying phase: large reads while the medium is sound, clusters once it has failed.
//!
//! A failed read costs seconds however long it is, and leaves its whole length to be read again: on a medium with errors the
//! fewest failures are paid for with clusters, on a sound one large reads save commands. A single large read that fails is the
//! price of finding out; after a long stretch without errors it is risked again.

use super::settings::Settings;

/// Failures over which the yield is averaged.
const YIELD_WEIGHT: u64 = 8;
/// A failure takes about eighty times as long as a cluster sector by sector (2 s and 25 ms), half of which is gained.
const ONCE_WORTH: u64 = 40;

/// Clusters for which a good run counts in the average at most.
const RUN_CLUSTERS: u64 = 64;

/// Good clusters before a failure, on average, below which damage is dense.
const DENSE_CLUSTERS: u64 = 3;

/// The two sizes, and which is used now.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    is_large: bool,
    large: u64,
    cluster: u64,
    /// Good bytes without an error after which large reads are tried again.
    sound_bytes: u64,
    /// Good bytes since the last failure.
    run: u64,
    /// Good bytes before each failure, on average over the last few.
    yielded: u64,
    failures: u64,
    /// Which of the last clusters close to a failure failed, newest in bit 0.
    landings: u16,
}

impl Pace {
    pub(super) fn new(settings: &Settings, sector: u64, has_failed: bool) -> Self {
        let whole = |bytes: u32| {
            u64::from(bytes).checked_next_multiple_of(sector).unwrap_or(sector).max(sector)
        };
        let cluster = whole(settings.cluster_bytes);
        Self {
            is_large: !settings.suspect && !has_failed,
            large: whole(settings.large_bytes).max(cluster),
            cluster,
            sound_bytes: settings.sound_bytes,
            run: 0,
            yielded: u64::MAX,
            failures: 0,
            landings: 0,
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
        if self.is_large { self.large } else { self.cluster }
    }

    /// True for a read so long that its failure says too little to be noted.
    pub(super) fn is_large(&self, length: u64) -> bool {
        length > self.cluster
    }

    /// A read gave its bytes.
    pub(super) fn good(&mut self, length: u64) {
        self.run = self.run.saturating_add(length);
        self.is_large |= self.run >= self.sound_bytes;
    }

    /// The cluster next to a failure was read, where damage is expected.
    pub(super) fn landed(&mut self, is_good: bool) {
        self.landings = self.landings.wrapping_shl(1) | u16::from(!is_good);
    }

    /// True where the damage is so dense that few good clusters lie between two failures.
    pub(super) fn is_dense(&self) -> bool {
        self.yielded < self.cluster.saturating_mul(DENSE_CLUSTERS)
    }

    /// Whether a cluster with `near` good ones between it and a failure is to be read at once. Sector by sector it takes time in
    /// which more could be had elsewhere, and gives half of itself when it fails. How likely that is is known from the last
    /// clusters next to failures, and the farther from a failure the less likely.
    pub(super) fn expects_good(&self, near: u64) -> bool {
        let failed = u64::from(self.landings.count_ones()).saturating_add(1);
        let of = u64::from(u16::BITS).saturating_add(2);
        let yielded = self.yielded.max(self.run);
        let elsewhere = yielded.saturating_mul(near.saturating_add(1)).saturating_mul(of);
        self.failures < YIELD_WEIGHT
            || elsewhere > self.cluster.saturating_mul(ONCE_WORTH).saturating_mul(failed)
    }

    /// A read failed.
    pub(super) fn bad(&mut self) {
        self.failures = self.failures.saturating_add(1).min(YIELD_WEIGHT);
        let before = self.yielded.saturating_mul(self.failures.saturating_sub(1));
        // One long good run says little about the damage behind it.
        let run = self.run.min(self.cluster.saturating_mul(RUN_CLUSTERS));
        self.yielded = before.saturating_add(run).checked_div(self.failures).unwrap_or(0);
        self.run = 0;
        self.is_large = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reads_end_with_an_error_and_come_back_after_a_long_sound_stretch() {
        let settings = Settings { sound_bytes: 3 << 20, ..Settings::default() };
        let mut pace = Pace::new(&settings, 512, false);
        assert_eq!(pace.unit(), 1 << 20);
        pace.good(1 << 20);
        pace.bad();
        assert_eq!(pace.unit(), 64 << 10);
        pace.good(2 << 20);
        assert_eq!(pace.unit(), 64 << 10);
        pace.good(1 << 20);
        assert_eq!(pace.unit(), 1 << 20);
        assert_eq!(Pace::new(&settings, 512, true).unit(), 64 << 10);
    }

    #[test]
    fn sizes_are_whole_sectors() {
        let settings = Settings { large_bytes: 1, cluster_bytes: 5000, ..Settings::default() };
        let pace = Pace::new(&settings, 4096, false);
        assert_eq!((pace.cluster(), pace.largest()), (8192, 8192));
    }
}
