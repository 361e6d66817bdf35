//! Lists with a bound.
//!
//! Published requirements, section 4.3: a list beyond its bound is cut to a count, the first
//! entries, and SHA-256 of the deterministic encoding of the whole. So the encoder walks a list
//! more than once, and a list is something that can be walked again.

use core::fmt;

/// Something that gives the same entries in the same order each time it is asked.
pub trait Source<T> {
    /// Calls `visit` for each entry.
    fn each(&self, visit: &mut dyn FnMut(&T));
}

impl<T> Source<T> for &[T] {
    fn each(&self, visit: &mut dyn FnMut(&T)) {
        self.iter().for_each(visit);
    }
}

/// The entries of a [`List`].
#[derive(Clone, Copy)]
pub enum Items<'a, T> {
    /// Entries that lie in memory as they are.
    Slice(&'a [T]),
    /// Entries made when they are asked for.
    Source(&'a dyn Source<T>),
}

/// A list claim: entries and how many more there were than the device had room for.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    /// The entries the device holds.
    pub items: Items<'a, T>,
    /// Entries the device had no room for; they count, but neither they nor their digest are in
    /// the statement.
    pub unrecorded: u64,
}

impl<'a, T> List<'a, T> {
    /// A list without entries.
    #[must_use]
    pub const fn empty() -> Self {
        Self { items: Items::Slice(&[]), unrecorded: 0 }
    }

    /// The entries of a slice.
    #[must_use]
    pub const fn slice(items: &'a [T]) -> Self {
        Self { items: Items::Slice(items), unrecorded: 0 }
    }

    /// Entries made when they are asked for.
    #[must_use]
    pub const fn source(items: &'a dyn Source<T>) -> Self {
        Self { items: Items::Source(items), unrecorded: 0 }
    }

    /// The same list with `unrecorded` entries that the device had no room for.
    #[must_use]
    pub const fn with_unrecorded(mut self, unrecorded: u64) -> Self {
        self.unrecorded = unrecorded;
        self
    }

    /// Calls `visit` for each entry the device holds.
    pub fn each(&self, visit: &mut dyn FnMut(&T)) {
        match self.items {
            Items::Slice(slice) => slice.iter().for_each(visit),
            Items::Source(source) => source.each(visit),
        }
    }

    /// Entries the device holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        let mut count = 0_u64;
        self.each(&mut |_| count = count.saturating_add(1));
        count
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        self.each(&mut |item| {
            list.entry(item);
        });
        list.finish()
    }
}

/// How many entries of each list a statement may carry.
///
/// With [`Bounds::LARGE`] every statement stays below 64 KiB and with [`Bounds::SMALL`] below
/// 32 KiB, whatever the drive and the host did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Commands of the attach script.
    pub originated: u64,
    /// Steps of the attach script that were not run.
    pub not_run: u64,
    /// Rows of the counter table.
    pub counters: u64,
    /// Rows of the emitted commands.
    pub emitted: u64,
    /// Extents that were read.
    pub coverage: u64,
    /// Extents with errors.
    pub errors: u64,
    /// Ranges of log entries that were lost.
    pub lost: u64,
    /// Presentation edits.
    pub edits: u64,
}

impl Bounds {
    /// For boards with room for 64 KiB.
    pub const LARGE: Self = Self {
        originated: 64,
        not_run: 32,
        counters: 112,
        emitted: 64,
        coverage: 1024,
        errors: 256,
        lost: 64,
        edits: 48,
    };
    /// For boards with room for 32 KiB.
    pub const SMALL: Self = Self {
        originated: 32,
        not_run: 32,
        counters: 56,
        emitted: 32,
        coverage: 448,
        errors: 128,
        lost: 32,
        edits: 24,
    };
}
