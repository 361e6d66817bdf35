//! The sections of one segment file, from the first to the last.
//!
//! Facts: `docs/formats/ewf.md` sections 1.2, 2 and 9. The descriptors are a chain of forward offsets. A descriptor that
//! contradicts itself is reported: bytes that one field passes over and the other does not can hold a second image.

use daleel_core::{Extent, Source};

use super::{
    finding::{EwfFinding, Notebook, shown},
    records::{DESCRIPTOR_BYTES, Descriptor, FILE_HEADER_BYTES, Kind, type_fields},
};
use crate::holes::between;

/// Most sections kept of a segment; a 16 TB image in one file has about 100,000.
const SECTIONS_LIMIT: usize = 1 << 20;
/// Bytes read at first in a search for a lost descriptor; then twice as many each time.
const SEARCH_BYTES: u64 = 4096;
/// Most bytes read at a time in such a search.
const SEARCH_LIMIT: u64 = 1 << 20;

/// One section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    /// Its bytes in the file, the descriptor included.
    pub(super) extent: Extent,
}

impl Section {
    /// The bytes behind the descriptor.
    pub(super) fn payload(&self) -> Extent {
        between(self.extent.offset().saturating_add(DESCRIPTOR_BYTES), self.extent.end())
    }
}

/// How the chain of a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainEnd {
    /// With `next`: another segment follows.
    Next,
    /// With `done`: the last segment.
    Done,
    /// Without either.
    Cut,
}

/// The sections of a segment.
pub(super) struct Chain {
    pub(super) sections: Vec<Section>,
    pub(super) end: ChainEnd,
}

/// Walks the chain of a file and notes what is wrong with it.
pub(super) struct Walker<'a> {
    file: &'a dyn Source,
    name: &'a str,
    notes: &'a Notebook,
}

impl<'a> Walker<'a> {
    pub(super) fn new(file: &'a dyn Source, name: &'a str, notes: &'a Notebook) -> Self {
        Self { file, name, notes }
    }

    fn note(&self, at: Extent, found: impl Into<String>, expected: impl Into<String>) {
        self.notes.add(EwfFinding {
            segment: self.name.to_owned(),
            at,
            structure: "section descriptor",
            found: found.into(),
            expected: expected.into(),
        });
    }

    /// The sections from the first one on.
    pub(super) fn walk(&self) -> Chain {
        let mut sections = Vec::new();
        let mut at = FILE_HEADER_BYTES;
        loop {
            if sections.len() >= SECTIONS_LIMIT {
                let found = format!("more than {SECTIONS_LIMIT} sections");
                self.note(Extent::new(at, DESCRIPTOR_BYTES), found, "fewer");
                return Chain { sections, end: ChainEnd::Cut };
            }
            let (section, step) = self.section(at);
            sections.extend(section);
            match step {
                Step::To(next) => at = next,
                Step::End(end) => return Chain { sections, end },
            }
        }
    }

    fn section(&self, at: u64) -> (Option<Section>, Step) {
        let place = Extent::new(at, DESCRIPTOR_BYTES);
        let Some(descriptor) = self.descriptor(at) else {
            let left = self.file.len().saturating_sub(at);
            self.note(place, format!("the file ends, {left} bytes left"), "`next` or `done`");
            return (self.lost(at, self.file.len()), Step::End(ChainEnd::Cut));
        };
        if !self.is_usable(at, &descriptor) {
            return self.search(at);
        }
        if descriptor.is_last() {
            return self.last(at, &descriptor);
        }
        let Some(end) = self.end_of(at, &descriptor) else { return self.search(at) };
        let kind = descriptor.kind.unwrap_or_else(|| {
            let found = format!("type `{}`", shown(&descriptor.name));
            self.note(place, found, "a known type; the section is passed over");
            Kind::Lost
        });
        let section = Section { kind, extent: between(at, end.section.min(self.file.len())) };
        if end.next > self.file.len() {
            let found = format!("the section goes on to {}", end.next);
            self.note(place, found, format!("at most {}, the size of the file", self.file.len()));
            return (Some(section), Step::End(ChainEnd::Cut));
        }
        (Some(section), Step::To(end.next))
    }

    fn descriptor(&self, at: u64) -> Option<Descriptor> {
        let bytes = self.file.read_array::<76>(at).ok()?;
        Some(Descriptor::parse(&bytes))
    }

    /// A descriptor is used when its checksum is right; or, with a note, when all else about it is: a known type, and
    /// fields that agree and lead to a right descriptor.
    fn is_usable(&self, at: u64, descriptor: &Descriptor) -> bool {
        if descriptor.sums {
            return true;
        }
        let agrees = at.checked_add(descriptor.size) == Some(descriptor.next)
            && descriptor.size >= DESCRIPTOR_BYTES
            && self.descriptor(descriptor.next).is_some_and(|next| next.sums);
        let is_end = descriptor.is_last() && descriptor.next == at;
        let usable = descriptor.kind.is_some() && (agrees || is_end);
        let what = if usable {
            "right; it is used, as its fields agree"
        } else {
            "right; the next one is searched for"
        };
        self.note(Extent::new(at, DESCRIPTOR_BYTES), "a wrong checksum", what);
        usable
    }

    /// Ends of a section by its two fields.
    fn end_of(&self, at: u64, descriptor: &Descriptor) -> Option<Ends> {
        let place = Extent::new(at, DESCRIPTOR_BYTES);
        let least = at.checked_add(DESCRIPTOR_BYTES)?;
        let by_size = at.checked_add(descriptor.size).filter(|end| *end >= least);
        let next = Some(descriptor.next).filter(|next| *next >= least);
        match (next, by_size) {
            (Some(next), Some(size)) if next == size => Some(Ends { section: size, next }),
            // Files of the time of EnCase 1 state no sizes.
            (Some(next), None) if descriptor.size == 0 => Some(Ends { section: next, next }),
            (Some(next), size) => {
                let found = format!("size {}, next section at {next}", descriptor.size);
                let expected = "fields that agree; the chain is followed, what it passes over is not looked at";
                self.note(place, found, expected);
                Some(Ends { section: size.unwrap_or(next).min(next), next })
            }
            (None, Some(size)) => {
                let found = format!("next section at {}", descriptor.next);
                self.note(place, found, format!("{size}, as the size of the section says"));
                Some(Ends { section: size, next: size })
            }
            (None, None) => {
                let found =
                    format!("size {}, next section at {}", descriptor.size, descriptor.next);
                self.note(place, found, "a section that goes forward");
                None
            }
        }
    }

    fn last(&self, at: u64, descriptor: &Descriptor) -> (Option<Section>, Step) {
        let end = if descriptor.kind == Some(Kind::Done) { ChainEnd::Done } else { ChainEnd::Next };
        let place = Extent::new(at, DESCRIPTOR_BYTES);
        // EnCase lets it point to itself; the original format, and old FTK, behind it.
        if descriptor.next != at && descriptor.next != place.end() {
            let found = format!("`{}` with a next section at {}", descriptor.name, descriptor.next);
            self.note(place, found, format!("{at}; what lies there is not looked at"));
        }
        if place.end() < self.file.len() {
            let left = self.file.len().saturating_sub(place.end());
            let found = format!("{left} bytes behind `{}`", descriptor.name);
            self.note(between(place.end(), self.file.len()), found, "the end of the file");
        }
        (None, Step::End(end))
    }

    fn lost(&self, from: u64, to: u64) -> Option<Section> {
        let extent = between(from, to);
        (!extent.is_empty()).then_some(Section { kind: Kind::Lost, extent })
    }

    /// Looks behind `at` for a descriptor that is right in every respect.
    fn search(&self, at: u64) -> (Option<Section>, Step) {
        let found = self.find_behind(at);
        let end = found.unwrap_or(self.file.len());
        match found {
            Some(next) => {
                let text = format!("no section at {at}");
                self.note(between(at, next), text, format!("one; the next is at {next}"));
                (self.lost(at, end), Step::To(next))
            }
            None => {
                let text = format!("no section at {at} and none behind it");
                self.note(between(at, end), text, "`next` or `done`");
                (self.lost(at, end), Step::End(ChainEnd::Cut))
            }
        }
    }

    fn find_behind(&self, at: u64) -> Option<u64> {
        let finders: Vec<_> =
            type_fields().map(|field| memchr::memmem::Finder::new(&field).into_owned()).collect();
        let mut from = at.checked_add(1)?;
        let mut step = SEARCH_BYTES;
        while from < self.file.len() {
            // Descriptors that begin in this step may end behind it.
            let wanted = step.saturating_add(DESCRIPTOR_BYTES);
            let window = Extent::new(from, wanted.min(self.file.len().saturating_sub(from)));
            if let Ok(bytes) = self.file.read(window) {
                let hits = finders.iter().flat_map(|finder| finder.find_iter(&bytes));
                let mut hits: Vec<u64> = hits.map(|hit| from.saturating_add(hit as u64)).collect();
                hits.sort_unstable();
                if let Some(found) = hits.into_iter().find(|hit| self.is_right(*hit)) {
                    return Some(found);
                }
            }
            from = from.saturating_add(step);
            step = step.saturating_mul(2).min(SEARCH_LIMIT);
        }
        None
    }

    /// A segment file stored on the imaged medium has descriptors too, but their offsets count in that file.
    fn is_right(&self, at: u64) -> bool {
        self.descriptor(at).is_some_and(|found| {
            let by_size = at.checked_add(found.size).is_some_and(|end| found.next == end);
            found.sums && (by_size && found.size > 0 || found.is_last() && found.next == at)
        })
    }
}

enum Step {
    To(u64),
    End(ChainEnd),
}

struct Ends {
    section: u64,
    next: u64,
}
