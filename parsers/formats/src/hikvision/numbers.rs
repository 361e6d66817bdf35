//! The picture counter in the stuffing of pack headers: believed only where it counts the pictures.
//!
//! Facts: `docs/formats/hikvision.md` section 7.1 (inferred). It shows missing frames independently of all times, if it is what it seems; a
//! counter that does not go up by one from picture to picture says nothing.

use daleel_core::Frame;

/// Steps by one in a row before the counter is believed.
const PROVEN_STEPS: u32 = 8;

/// Follows the counter of a stream.
#[derive(Debug, Default)]
pub struct Numbers {
    last: Option<(u32, Option<u64>)>,
    /// Ticks of the time stamp between the last neighbours.
    usual: u64,
    proven: u32,
}

impl Numbers {
    /// True once the counter has shown that it counts pictures.
    pub const fn is_proven(&self) -> bool {
        self.proven >= PROVEN_STEPS
    }

    /// The frame number of a picture, if the counter is believed here.
    pub fn follow(&mut self, counter: Option<u32>, frame: &Frame) -> Option<u32> {
        let pts = frame.time.counter.map(|counter| counter.value);
        let Some(counter) = counter else {
            self.last = None;
            self.proven = 0;
            return None;
        };
        let before = self.last.replace((counter, pts));
        let (last, last_pts) = before?;
        let step = pts.zip(last_pts).and_then(|(now, before)| now.checked_sub(before));
        if counter == last.wrapping_add(1) {
            self.proven = self.proven.saturating_add(1);
            self.usual = step.unwrap_or(self.usual);
        } else if step.is_some_and(|step| step <= self.usual.saturating_add(self.usual / 2)) {
            // The pictures follow each other as ever and the counter does not: it counts something else.
            self.proven = 0;
        }
        self.is_proven().then_some(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hikvision::tests::picture;

    fn numbers(counters: &[(u32, u64)]) -> Vec<Option<u32>> {
        let mut numbers = Numbers::default();
        counters
            .iter()
            .map(|(counter, pts)| numbers.follow(Some(*counter), &picture(*pts)))
            .collect()
    }

    /// a frame number is only given where the counter has shown that it counts frames.
    #[test]
    fn a_counter_is_believed_once_it_counted_eight_pictures() {
        let steady: Vec<_> = (0..20).map(|n| (7 + n, 3600 * u64::from(n))).collect();
        let given = numbers(&steady);
        assert!(given.iter().take(8).all(Option::is_none));
        assert_eq!(given.last(), Some(&Some(26)));
    }

    #[test]
    fn a_counter_that_jumps_while_pictures_do_not_is_not_believed() {
        let mut steady: Vec<_> = (0..20).map(|n| (7 + n, 3600 * u64::from(n))).collect();
        steady.push((900, 3600 * 20));
        assert_eq!(numbers(&steady).last(), Some(&None));
        steady.pop();
        steady.push((30, 3600 * 23));
        assert_eq!(numbers(&steady).last(), Some(&Some(30)));
    }
}
