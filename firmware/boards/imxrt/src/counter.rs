//! The boot counter as it lies in flash: two sectors, of which one is written and the other is erased when the first is full.
//!
//! A sector begins with a header (magic, the count at its first mark less one, its complement) and goes on with one byte for
//! each power-up, erased until it is its turn. A power-up costs one programmed byte; an erase comes once in 4,080 of them. Flash can only
//! clear bits without an erase, and the power may go at any moment, so: a header that is damaged makes its sector a free one, and the
//! full sector stays until the other one has a whole header.

/// Bytes of a sector.
pub const SECTOR: usize = 4096;
/// Bytes of a header.
pub const HEADER: usize = 16;
/// Power-ups that a sector counts.
pub const MARKS: u32 = 4080;
const MAGIC: [u8; 4] = *b"DLBC";
const ERASED: u8 = 0xFF;
const MARKED: u8 = 0x00;

/// Which sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sector {
    /// The first.
    First,
    /// The second.
    Second,
}

impl Sector {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What makes this power-up count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Program the byte at an offset to zero.
    Mark(Sector, usize),
    /// Erase the sector, program the header, then the first mark.
    Begin(Sector, [u8; HEADER]),
}

/// This power-up's number, and how to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Power-ups including this one.
    pub count: u32,
    /// What to do.
    pub step: Step,
}

/// Value of a byte that counts.
pub const MARK: [u8; 1] = [MARKED];

/// What a sector says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    base: u32,
    marks: u32,
}

impl Reading {
    fn of(sector: &[u8]) -> Option<Self> {
        let (header, marks) = sector.split_first_chunk::<HEADER>()?;
        let (magic, rest) = header.split_first_chunk::<4>()?;
        let (base, rest) = rest.split_first_chunk::<4>()?;
        let complement = rest.first_chunk::<4>()?;
        let base_value = u32::from_le_bytes(*base);
        let is_whole = *magic == MAGIC && u32::from_le_bytes(*complement) == !base_value;
        // A byte that was being programmed when the power went counts: it is not to be programmed again.
        let used = marks.iter().position(|byte| *byte == ERASED).unwrap_or(marks.len());
        let marks = u32::try_from(used).unwrap_or(MARKS);
        is_whole.then_some(Self { base: base_value, marks })
    }

    fn count(self) -> u32 {
        self.base.saturating_add(self.marks)
    }

    fn is_full(self) -> bool {
        self.marks >= MARKS
    }
}

/// Plans this power-up from both sectors.
#[must_use]
pub fn plan(first: &[u8], second: &[u8]) -> Plan {
    let readings = [(Sector::First, Reading::of(first)), (Sector::Second, Reading::of(second))];
    let newest = readings
        .into_iter()
        .filter_map(|(sector, reading)| reading.map(|reading| (sector, reading)))
        .max_by_key(|(_, reading)| reading.count());
    let Some((sector, reading)) = newest else {
        return Plan { count: 1, step: Step::Begin(Sector::First, header(0)) };
    };
    let count = reading.count().saturating_add(1);
    if reading.is_full() {
        return Plan { count, step: Step::Begin(sector.other(), header(reading.count())) };
    }
    let offset = usize::try_from(reading.marks).unwrap_or(0).saturating_add(HEADER);
    Plan { count, step: Step::Mark(sector, offset) }
}

fn header(base: u32) -> [u8; HEADER] {
    let mut header = [ERASED; HEADER];
    let fields = MAGIC.into_iter().chain(base.to_le_bytes()).chain((!base).to_le_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HEADER, MARK, MARKS, Plan, SECTOR, Sector, Step, plan};

    /// Two sectors of flash in which the power may go.
    #[derive(Clone)]
    struct Flash([[u8; SECTOR]; 2]);

    impl Flash {
        fn erased() -> Self {
            Self([[0xFF; SECTOR]; 2])
        }

        fn sector(&mut self, sector: Sector) -> &mut [u8; SECTOR] {
            &mut self.0[usize::from(sector == Sector::Second)]
        }

        fn program(&mut self, sector: Sector, offset: usize, bytes: &[u8]) {
            for (own, byte) in self.sector(sector)[offset..].iter_mut().zip(bytes) {
                *own &= byte;
            }
        }

        /// Carries a plan out, as far as `bytes` of what it has to erase and program.
        fn carry_out(&mut self, plan: Plan, bytes: usize) {
            match plan.step {
                Step::Mark(sector, offset) => {
                    if bytes > 0 {
                        self.program(sector, offset, &MARK);
                    }
                }
                Step::Begin(sector, header) => {
                    let erased = bytes.min(SECTOR);
                    self.sector(sector)[..erased].fill(0xFF);
                    let left = bytes - erased;
                    self.program(sector, 0, &header[..left.min(HEADER)]);
                    if left > HEADER {
                        self.program(sector, HEADER, &MARK);
                    }
                }
            }
        }

        fn plan(&self) -> Plan {
            plan(&self.0[0], &self.0[1])
        }
    }

    #[test]
    fn power_ups_are_counted_over_both_sectors() {
        let mut flash = Flash::erased();
        for expected in 1..=3 * MARKS {
            let plan = flash.plan();
            assert_eq!(plan.count, expected);
            flash.carry_out(plan, usize::MAX);
        }
    }

    #[test]
    fn foreign_bytes_are_a_free_sector() {
        let flash = Flash([[0x5A; SECTOR], [0; SECTOR]]);
        assert_eq!(flash.plan().count, 1);
        assert!(matches!(flash.plan().step, Step::Begin(Sector::First, _)));
    }

    #[test]
    fn what_is_not_a_sector_is_a_free_one() {
        assert_eq!(plan(&[], &[0xFF; 3]).count, 1);
    }

    proptest! {
        /// D-07: whenever the power goes, the count never falls, and a power-up that was kept is never counted twice.
        #[test]
        fn a_power_cut_loses_one_count_at_most(
            start in 0..2 * MARKS,
            cuts in prop::collection::vec(prop_oneof![0..SECTOR + HEADER + 2, Just(usize::MAX)], 1..12),
        ) {
            let mut flash = Flash::erased();
            for _ in 0..start {
                let plan = flash.plan();
                flash.carry_out(plan, usize::MAX);
            }
            for cut in cuts {
                let before = flash.plan();
                flash.carry_out(before, cut);
                let after = flash.plan();
                prop_assert!(after.count == before.count || after.count == before.count + 1);
            }
        }
    }
}
