//! The small sections of a set: geometry and its copies, case data, digests, the error list.

use daleel_core::Extent;

use super::{
    chain::{Chain, Section},
    finding::{EwfFinding, Notebook},
    header::{self, HeaderValues, Shape},
    records::{self, ERROR_HEADER_BYTES, Geometry, Kind, adler32, u32_at},
    segments::Segment,
    set::small_payload,
};

/// Most ranges of an error list.
const ERRORS_LIMIT: u64 = 1 << 20;

/// What the small sections say.
#[derive(Default)]
pub(super) struct Metadata {
    geometries: Vec<Geometry>,
    pub(super) values: HeaderValues,
    /// Shape of the texts, and of which section.
    pub(super) shapes: Vec<(Kind, Shape)>,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) sha1: Option<[u8; 20]>,
    /// First sector and number of sectors of each range of the error list.
    pub(super) errors: Vec<(u64, u64)>,
}

/// One section while it is read.
struct At<'a> {
    segment: &'a Segment,
    section: &'a Section,
    notes: &'a Notebook,
}

impl At<'_> {
    fn note(&self, structure: &'static str, found: impl Into<String>, expected: impl Into<String>) {
        self.notes.add(EwfFinding {
            segment: self.segment.name.clone(),
            at: self.section.extent,
            structure,
            found: found.into(),
            expected: expected.into(),
        });
    }
}

impl Metadata {
    /// Reads all of them.
    pub(super) fn read(segments: &[Segment], chains: &[Chain], notes: &Notebook) -> Self {
        let mut own = Self::default();
        for (segment, chain) in segments.iter().zip(chains) {
            for section in &chain.sections {
                own.read_section(&At { segment, section, notes });
            }
        }
        own
    }

    /// What states the size of the medium, best first: the section made for it, then its copies.
    pub(super) fn geometries(&self) -> &[Geometry] {
        &self.geometries
    }

    fn read_section(&mut self, at: &At) {
        let kind = at.section.kind;
        match kind {
            Kind::Volume | Kind::Data => self.read_geometry(at),
            Kind::Header | Kind::Header2 => self.read_header(at),
            Kind::XHeader => self.shapes.push((kind, Shape::default())),
            Kind::Hash | Kind::Digest => self.read_digest(at),
            Kind::Error2 => self.read_errors(at),
            Kind::Incomplete => {
                at.note(
                    "section `incomplete`",
                    "an acquisition that was not finished",
                    "a finished one",
                );
            }
            _ => {}
        }
    }

    fn read_geometry(&mut self, at: &At) {
        let name = if at.section.kind == Kind::Volume { "volume" } else { "data" };
        let Some(geometry) =
            small_payload(at.segment, at.section).and_then(|bytes| Geometry::parse(&bytes))
        else {
            at.note(name, "too few bytes", "94 or 1052");
            return;
        };
        if !geometry.sums {
            at.note(name, "a wrong checksum", "a right one");
        } else if let Some(first) = self.geometries.iter().find(|one| one.sums) {
            if !first.is_same_medium(&geometry) {
                let size = |one: &Geometry| {
                    format!("{} sectors of {} bytes", one.sectors, one.sector_bytes)
                };
                at.note(name, size(&geometry), format!("{} as in the first segment", size(first)));
            } else if first.set_identifier != geometry.set_identifier {
                at.note(
                    name,
                    "another set identifier",
                    "that of the first segment: is it of this image?",
                );
            }
        }
        self.geometries.push(geometry);
    }

    fn read_header(&mut self, at: &At) {
        let kind = at.section.kind;
        let name = if kind == Kind::Header { "header" } else { "header2" };
        let parsed = match small_payload(at.segment, at.section) {
            Some(bytes) => header::parse(&bytes),
            None => Err("more than a text"),
        };
        match parsed {
            Ok((values, shape)) => {
                // The first good copy of the wide text is the best one.
                let is_better = kind == Kind::Header2
                    && self.shapes.iter().all(|(own, _)| *own != Kind::Header2);
                if is_better {
                    let other = std::mem::replace(&mut self.values, values);
                    self.values.fill(other);
                } else {
                    self.values.fill(values);
                }
                self.shapes.push((kind, shape));
            }
            Err(found) => at.note(name, found, "a text in a zlib stream"),
        }
    }

    fn read_digest(&mut self, at: &At) {
        let bytes = small_payload(at.segment, at.section).unwrap_or_default();
        let digest = match at.section.kind {
            Kind::Hash => records::hash_md5(&bytes).map(|md5| (md5, [0; 20])),
            _ => records::digests(&bytes),
        };
        let Some((md5, sha1)) = digest else {
            at.note("digest", "a wrong checksum", "a right one; it is not used");
            return;
        };
        if md5 != [0; 16] {
            if self.md5.is_some_and(|first| first != md5) {
                at.note("digest", "another MD5", "that of the section before; it is not used");
            }
            self.md5.get_or_insert(md5);
        }
        if sha1 != [0; 20] {
            self.sha1.get_or_insert(sha1);
        }
    }

    fn read_errors(&mut self, at: &At) {
        let payload = at.section.payload();
        let header = payload
            .slice(0, ERROR_HEADER_BYTES)
            .and_then(|extent| at.segment.source.read(extent).ok());
        let Some((count, sums)) = header.as_deref().and_then(records::error_count) else {
            at.note("error2", "too few bytes", "a list of sectors");
            return;
        };
        let room = payload.len().saturating_sub(ERROR_HEADER_BYTES.saturating_add(4)) >> 3;
        let listed = u64::from(count).min(room).min(ERRORS_LIMIT);
        if !sums || listed != u64::from(count) {
            let expected =
                format!("a right checksum, and at most {room} ranges; {listed} are used");
            at.note("error2", format!("{count} ranges"), expected);
        }
        let entries = Extent::new(payload.offset().saturating_add(ERROR_HEADER_BYTES), listed << 3);
        let with_sum = Extent::new(entries.offset(), entries.len().saturating_add(4));
        let Ok(bytes) = at.segment.source.read(with_sum) else {
            at.note("error2", "a list that cannot be read", "a list of sectors");
            return;
        };
        let end = bytes.len().saturating_sub(4);
        let (entries, sum) = bytes.split_at_checked(end).unwrap_or_default();
        if u32_at(sum, 0) != Some(adler32(entries)) {
            at.note(
                "error2",
                "a list with a wrong checksum",
                "a right one; it is used, and may be wrong",
            );
        }
        self.errors.extend(entries.chunks_exact(8).filter_map(|entry| {
            let (first, count) = (u32_at(entry, 0)?, u32_at(entry, 4)?);
            (count > 0).then_some((u64::from(first), u64::from(count)))
        }));
    }
}
