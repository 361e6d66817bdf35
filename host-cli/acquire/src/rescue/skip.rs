//! How far the first pass jumps behind a failure, and when it leaves a damaged stretch for later.
//!
//! The jumps are those of ddrescue (GNU ddrescue manual 1.27, `--skip-size`): one cluster, doubled by every failure that follows
//! directly, one cluster again after a good read, at most a hundredth of the medium. In a widely damaged stretch that lands on
//! good clusters between bad ones all the time, and pays a failure for each. So when failures crowd, a place farther on is
//! looked at: when it is sound, reading goes on there and the damaged stretch is read afterwards; when it is not, reading
//! goes back, and the next look waits longer and goes farther. Damage everywhere thus costs a few looks only, and none where
//! nothing sound was seen before.

use daleel_core::Extent;

use super::{map::between, reader::align_down};

/// Farthest jump: a part of the medium, and at most so many bytes.
const MOST_PART: u64 = 100;
const MOST: u64 = 1 << 30;
/// Failures with fewer good clusters than this since the one before crowd.
const CLOSE_CLUSTERS: u64 = 8;
/// So many of the last sixteen failures have to crowd before another place is looked at.
const CROWD: u32 = 14;
/// And so many of them with good clusters in between.
const MIXED: u32 = 4;
/// Failures before the second look; the wait doubles from look to look.
const LOOK_WAIT: u32 = 8;
/// Failures before the first look where no sound place was seen yet: there may be none.
const UNSEEN_WAIT: u32 = 64;
/// The first look goes as many lengths of the damage so far beyond it, and each other one so much farther than the one before.
const LOOK_FARTHER: u64 = 4;
/// Farthest look as a part of the medium.
const LOOK_FARTHEST_PART: u64 = 8;
/// Good bytes in a row that show a place to be sound.
const SOUND: u64 = 4 << 20;

/// A look at another place.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Where reading goes on when the place is not sound.
    back: u64,
    /// Where the look began.
    begin: u64,
}

/// The jumps of one pass.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    cluster: u64,
    most: u64,
    jump: u64,
    /// Good bytes since the last failure.
    good: u64,
    /// Which of the last failures were close to the one before, newest in bit 0.
    close: u16,
    /// Which of them had good clusters before them all the same.
    mixed: u16,
    /// Bytes passed since the failures began to crowd.
    damage: u64,
    look: Option<Look>,
    /// Distance of the next look; 0 before the first.
    distance: u64,
    farthest: u64,
    /// Failures to wait before the next look, and how many are left.
    wait: u32,
    left: u32,
    looks: bool,
    /// What was left for later, ascending.
    later: Vec<Extent>,
}

impl Skip {
    /// For a medium of `medium` bytes; `looks` is false where what is left for later would be all there is.
    pub(super) fn new(cluster: u64, medium: u64, looks: bool) -> Self {
        let clusters = |bytes: u64| align_down(bytes, cluster).max(cluster);
        Self {
            cluster,
            most: clusters((medium / MOST_PART).min(MOST)),
            jump: 0,
            good: 0,
            close: 0,
            mixed: 0,
            damage: 0,
            look: None,
            distance: 0,
            farthest: clusters(medium / LOOK_FARTHEST_PART),
            wait: LOOK_WAIT,
            left: UNSEEN_WAIT,
            looks,
            later: Vec::new(),
        }
    }

    /// A read gave its bytes.
    pub(super) fn good(&mut self, length: u64) {
        self.good = self.good.saturating_add(length);
        if self.good >= SOUND && self.looks {
            self.later.extend(self.look.take().map(|look| between(look.back, look.begin)));
            self.left = 0;
            self.wait = LOOK_WAIT;
            self.distance = 0;
        }
    }

    /// A read of `length` bytes that ends at `end` failed: where the next one begins, of a pass that ends at `limit`.
    pub(super) fn failed(&mut self, length: u64, end: u64, limit: u64) -> u64 {
        if let Some(look) = self.look.take() {
            self.good = 0;
            self.distance = self.distance.saturating_mul(LOOK_FARTHER);
            self.left = self.wait;
            self.wait = self.wait.saturating_mul(2);
            return look.back;
        }
        self.jump = if self.good == 0 { self.jump.saturating_mul(2) } else { 0 };
        self.jump = self.jump.clamp(self.cluster, self.most);
        let next = end.saturating_add(self.jump);
        self.note(length);
        if self.looks && self.left == 0 && self.is_crowded() {
            let first = self.damage.saturating_mul(LOOK_FARTHER);
            self.distance = self.distance.max(first).min(self.farthest);
            let begin = next.saturating_add(align_down(self.distance, self.cluster));
            if begin < limit {
                self.look = Some(Look { back: next, begin });
                return begin;
            }
        }
        next
    }

    /// True where most failures are close to the one before, with good clusters between them: behind failures that follow each other
    /// directly the jumps grow anyway.
    pub(super) fn is_crowded(&self) -> bool {
        self.close.count_ones() >= CROWD && self.mixed.count_ones() >= MIXED
    }

    /// Takes a failure into account in what is known of the damage here.
    fn note(&mut self, length: u64) {
        let is_close = self.good < self.cluster.saturating_mul(CLOSE_CLUSTERS);
        self.close = self.close.wrapping_shl(1) | u16::from(is_close);
        self.mixed = self.mixed.wrapping_shl(1) | u16::from(is_close && self.good > 0);
        let failed = length.saturating_add(self.jump);
        let before = if is_close { self.damage.saturating_add(self.good) } else { 0 };
        self.damage = before.saturating_add(failed);
        self.good = 0;
        self.left = self.left.saturating_sub(1);
    }

    /// The pass came to its end: what was left for later. A look that was not decided is one of a sound end.
    pub(super) fn into_later(self) -> Vec<Extent> {
        let mut later = self.later;
        later.extend(self.look.map(|look| between(look.back, look.begin)));
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: u64 = 65536;

    #[test]
    fn the_jumps_are_ddrescues() {
        let mut skip = Skip::new(CLUSTER, 1 << 30, true);
        let mut jump = |good: u64| {
            skip.good(good);
            skip.failed(CLUSTER, 0, u64::MAX) / CLUSTER
        };
        assert_eq!([jump(CLUSTER), jump(0), jump(0), jump(0)], [1, 2, 4, 8]);
        assert_eq!([jump(CLUSTER), jump(0)], [1, 2]);
        let mut skip = Skip::new(CLUSTER, 1 << 30, false);
        let longest = (0..100).map(|_| skip.failed(CLUSTER, 0, u64::MAX)).max();
        assert_eq!(longest, Some(163 * CLUSTER));
        assert_eq!(Skip::new(CLUSTER, 1000, true).failed(1000, 0, u64::MAX), CLUSTER);
    }

    #[test]
    fn single_errors_never_make_it_look_elsewhere() {
        let mut skip = Skip::new(CLUSTER, 1 << 30, true);
        for _ in 0..100 {
            skip.good(CLUSTER * CLOSE_CLUSTERS);
            assert_eq!(skip.failed(CLUSTER, 0, u64::MAX), CLUSTER);
        }
        assert_eq!(skip.into_later(), []);
    }

    #[test]
    fn a_sound_place_is_kept_and_a_damaged_one_is_left_again() {
        let mut skip = Skip::new(CLUSTER, 1 << 30, true);
        skip.good(SOUND);
        skip.failed(CLUSTER, 0, 1 << 30);
        let mut at = 0;
        let mut crowd = |skip: &mut Skip, failures: u32| {
            for _ in 0..failures {
                skip.good(CLUSTER);
                at = skip.failed(CLUSTER, at + 2 * CLUSTER, 1 << 30);
            }
            at
        };
        let begin = crowd(&mut skip, CROWD);
        let passed = u64::from(CROWD) * 3 * CLUSTER;
        let damage = passed + 2 * CLUSTER;
        assert_eq!(begin, passed + 4 * damage);
        // Damaged there too: back, and the next look waits and goes farther.
        let back = crowd(&mut skip, 1);
        assert_eq!(back, passed);
        let begin = crowd(&mut skip, LOOK_WAIT);
        let later = back + u64::from(LOOK_WAIT) * 3 * CLUSTER;
        assert_eq!(begin, later + 16 * damage);
        skip.good(SOUND);
        assert_eq!(skip.into_later(), [between(later, begin)]);
    }
}
