//! From sections to groups of chunks, in the order of the medium.

use std::sync::Arc;

use daleel_core::Extent;

use super::{
    chain::{Chain, ChainEnd, Section},
    finding::{EwfFinding, Notebook},
    records::{Kind, TABLE_HEADER_BYTES, TableHeader},
    segments::Segment,
    tables::{ENTRIES_LIMIT, Group, Origin, Table, TableCopy, Walk},
};
use crate::holes::between;

/// What follows what in a set.
#[derive(Debug)]
pub(super) enum Item {
    /// A group whose number of chunks is known.
    Known(Group),
    /// Chunks may lie here, and how many is not known. True where a segment is missing.
    Unknown(bool),
}

/// Lists the groups of all segments.
pub(super) fn collect(
    segments: &[Segment],
    chains: &[Chain],
    missing: &[u32],
    sizes: Sizes,
    notes: &Notebook,
    items: &mut Vec<Item>,
) {
    let mut missing = missing.iter().peekable();
    for (file, (segment, chain)) in segments.iter().zip(chains).enumerate() {
        if missing.next_if(|number| **number < segment.number).is_some() {
            items.push(Item::Unknown(true));
            while missing.next_if(|number| **number < segment.number).is_some() {}
        }
        let mut builder = Builder {
            file,
            segment,
            sizes,
            notes,
            items,
            data: None,
            copies: Vec::new(),
            is_behind_head: segment.number > 1,
        };
        for section in &chain.sections {
            builder.add(section);
        }
        builder.close();
        let is_last = file.saturating_add(1) == segments.len();
        if chain.end == ChainEnd::Cut && !is_last {
            items.push(Item::Unknown(false));
        }
    }
}

/// Bytes of a chunk, and of the last one where it is shorter than the others, else 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) chunk: usize,
    pub(super) tail: usize,
}

struct Builder<'a> {
    file: usize,
    segment: &'a Segment,
    sizes: Sizes,
    notes: &'a Notebook,
    items: &'a mut Vec<Item>,
    /// Where the chunks of the group in hand lie.
    data: Option<Extent>,
    copies: Vec<TableCopy>,
    /// The case data of a first segment are streams too; no chunk stands before `volume`.
    is_behind_head: bool,
}

impl Builder<'_> {
    fn add(&mut self, section: &Section) {
        self.is_behind_head |= matches!(section.kind, Kind::Volume | Kind::Sectors | Kind::Table);
        match section.kind {
            Kind::Sectors => {
                self.close();
                self.data = Some(section.payload());
            }
            Kind::Table => {
                // Without new chunks it is a table of its own: the original format has no `sectors`.
                if !self.copies.is_empty() {
                    self.close();
                }
                self.add_copy(section);
            }
            Kind::Table2 => self.add_copy(section),
            Kind::Lost => self.add_lost(section),
            _ => {}
        }
    }

    /// Where a section was expected and no descriptor is right: a table stands there, or chunks.
    fn add_lost(&mut self, section: &Section) {
        if self.header(section).is_some_and(|header| header.sums) {
            self.add_copy(section);
        } else if self.is_behind_head && (self.data.is_none() || !self.copies.is_empty()) {
            self.close();
            self.data = Some(section.payload());
        }
    }

    fn header(&self, section: &Section) -> Option<TableHeader> {
        let at = section.payload().slice(0, TABLE_HEADER_BYTES)?.offset();
        let bytes = self.segment.source.read_array::<24>(at).ok()?;
        Some(TableHeader::parse(&bytes))
    }

    fn add_copy(&mut self, section: &Section) {
        let payload = section.payload();
        let Some(header) = self.header(section) else {
            return self.note(section, "too few bytes", "a header and entries");
        };
        if !header.sums {
            return self.note(section, "a header with a wrong checksum", "a right one");
        }
        let at = payload.offset().saturating_add(TABLE_HEADER_BYTES);
        let room = between(at, payload.end());
        if header.entry_bytes() > room.len() || header.entries > ENTRIES_LIMIT {
            let found = format!("{} entries", header.entries);
            return self.note(section, found, format!("at most {}", room.len() >> 2));
        }
        let mut copy = TableCopy { at, header, has_sum: true };
        let behind = at.saturating_add(header.entry_bytes());
        let first = self.segment.source.read_array::<4>(at).map(u32::from_le_bytes);
        let first =
            first.ok().map(|first| header.base.saturating_add((first & (u32::MAX >> 1)).into()));
        if self.data.is_none() && room.len() > header.entry_bytes().saturating_add(4) {
            // Chunks stand inside, behind the entries, or behind their checksum.
            copy.has_sum = first != Some(behind);
            self.data = Some(between(behind, payload.end()));
        } else if room.len() < header.entry_bytes().saturating_add(4) {
            copy.has_sum = false;
        }
        if self.copies.first().is_some_and(|first| first.header.entries != header.entries) {
            let found = format!("{} entries", header.entries);
            return self.note(section, found, "as many as the table it is the copy of");
        }
        if self.copies.len() < 2 {
            self.copies.push(copy);
        }
    }

    fn note(&self, section: &Section, found: impl Into<String>, expected: impl Into<String>) {
        self.notes.add(EwfFinding {
            segment: self.segment.name.clone(),
            at: section.extent,
            structure: "table",
            found: found.into(),
            expected: expected.into(),
        });
    }

    /// Ends the group in hand.
    fn close(&mut self) {
        let copies = std::mem::take(&mut self.copies);
        let data = self.data.take();
        let group =
            |chunks, data, origin| Group { file: self.file, first: 0, chunks, data, origin };
        if let Some(copy) = copies.first() {
            // Tables without a section of chunks before them say alone where those are.
            let data = data.unwrap_or_else(|| between(0, self.segment.bytes));
            let chunks = u64::from(copy.header.entries);
            if chunks > 0 {
                let group = group(chunks, data, Origin::Copies(copies));
                self.items.push(Item::Known(group));
            }
            return;
        }
        let Some(data) = data.filter(|data| !data.is_empty()) else { return };
        let walk = Walk { data, chunk_bytes: self.sizes.chunk, tail_bytes: self.sizes.tail };
        let (found, is_whole) = walk.all(&*self.segment.source);
        let chunks = found.len() as u64;
        self.notes.add(EwfFinding {
            segment: self.segment.name.clone(),
            at: data,
            structure: "sectors",
            found: format!("no usable table; {chunks} chunks found by walking over them"),
            expected: "a table".to_owned(),
        });
        if chunks > 0 {
            let group = group(chunks, data, Origin::Walked(Arc::new(Table::Walked(found))));
            self.items.push(Item::Known(group));
        }
        if !is_whole {
            self.items.push(Item::Unknown(false));
        }
    }
}
