//! A set of segment files as one medium: opening it, and what it states about itself.
//!
//! Facts: `docs/formats/ewf.md`. Opening reads descriptors, the small sections and the headers of tables, and no chunk;
//! only where a table is lost are its chunks walked over.

use std::{path::Path, sync::Arc};

use daleel_core::{Extent, Hole};

use super::{
    chain::{Chain, ChainEnd, Section, Walker},
    chunk::{self, ChunkError, Engines, Wanted},
    finding::{EwfError, EwfFinding, Notebook},
    groups::{self, Item, Sizes},
    header::{HeaderValues, Shape},
    layout::{self, Layout},
    metadata::Metadata,
    records::{Geometry, Kind},
    segments::{self, Numbered, Segment, SegmentInput},
    tables::{self, Group, Origin, Table, TableCache, Walk},
};
use crate::holes::Holes;

/// Largest chunk: 32,768 sectors of 4096 bytes, the most that any program offers.
const CHUNK_LIMIT: u64 = 128 << 20;
/// Largest sector.
const SECTOR_LIMIT: u32 = 65_536;
/// Largest `volume`, `header` or other small section that is read, in bytes.
const SMALL_LIMIT: u64 = 1 << 20;

/// An opened set of E01 segment files. Usable from several threads at a time.
pub struct EwfSet {
    segments: Vec<Segment>,
    missing: Vec<String>,
    is_end_missing: bool,
    geometry: Geometry,
    media_bytes: u64,
    chunk_bytes: usize,
    groups: Vec<Group>,
    holes: Holes,
    metadata: Metadata,
    tables: TableCache,
    engines: Engines,
    notes: Arc<Notebook>,
}

impl EwfSet {
    /// Opens the set that a file belongs to; any of its segments does.
    ///
    /// # Errors
    /// When the file is none, is of a kind that is not read, cannot be read, or no segment says how large the medium is.
    pub fn open(path: &Path) -> Result<Self, EwfError> {
        let (inputs, siblings) = segments::find(path)?;
        let notes = Arc::new(Notebook::default());
        for text in &siblings.notes {
            notes.add(about_set("files", text.clone(), "one file for each segment"));
        }
        Self::assemble(&inputs, notes, path, true, &|number| siblings.name_of(number))
    }

    /// Opens a set from bytes that may be no files.
    ///
    /// # Errors
    /// As [`EwfSet::open`].
    pub fn from_segments(inputs: Vec<SegmentInput>) -> Result<Self, EwfError> {
        let path = inputs.first().map(|input| input.path.clone()).unwrap_or_default();
        let mut own = Vec::new();
        for input in inputs {
            match segments::recognise(&*input.source) {
                segments::Recognised::Physical(_) => own.push(input),
                segments::Recognised::Unsupported(what) => {
                    return Err(EwfError::Unsupported { path: input.path, what });
                }
                segments::Recognised::No => {}
            }
        }
        if own.is_empty() {
            return Err(EwfError::NotEwf { path });
        }
        Self::assemble(&own, Arc::default(), &path, true, &|number| format!("segment {number}"))
    }

    fn assemble(
        inputs: &[SegmentInput],
        notes: Arc<Notebook>,
        path: &Path,
        may_follow_names: bool,
        name_of: &dyn Fn(u32) -> String,
    ) -> Result<Self, EwfError> {
        let Numbered { segments, missing, is_by_name } =
            segments::number(inputs.to_vec(), may_follow_names, &notes);
        let damaged = |what: String| EwfError::Damaged { path: path.to_owned(), what };
        let chains: Vec<Chain> = segments
            .iter()
            .map(|segment| Walker::new(&*segment.source, &segment.name, &notes).walk())
            .collect();
        if chains.iter().flat_map(|chain| &chain.sections).any(|s| s.kind == Kind::Logical) {
            let what = "a logical evidence file holds copied files and no medium; it is not read";
            return Err(EwfError::Unsupported { path: path.to_owned(), what: what.to_owned() });
        }
        let metadata = Metadata::read(&segments, &chains, &notes);
        let geometry = best_geometry(metadata.geometries())
            .ok_or_else(|| damaged("no segment says how large the medium is".to_owned()))?;
        let (chunk_bytes, media_bytes) = sizes(&geometry).map_err(damaged)?;
        let mut items = Vec::new();
        let sizes = Sizes { chunk: chunk_bytes, tail: tail_bytes(media_bytes, chunk_bytes) };
        groups::collect(&segments, &chains, &missing, sizes, &notes, &mut items);
        let end = chains.last().map_or(ChainEnd::Cut, |chain| chain.end);
        let chunks = media_bytes.div_ceil(chunk_bytes as u64);
        if !geometry.sums && counted(&items) != Some(chunks) {
            return Err(damaged("every statement of the size of the medium is damaged".to_owned()));
        }
        if is_by_name && counted(&items) != Some(chunks) {
            return Self::assemble(inputs, notes, path, false, name_of);
        }
        let layout = layout::place(items, chunks, end == ChainEnd::Done, &notes);
        let Layout { groups, holes } = layout;
        let holes = holes
            .iter()
            .map(|(range, hole)| (media_extent(range, chunk_bytes, media_bytes), *hole));
        let unreadable = unreadable(&metadata, &geometry, media_bytes);
        let holes = in_order(holes.chain(unreadable).collect());
        Ok(Self {
            missing: missing.into_iter().map(name_of).collect(),
            is_end_missing: end != ChainEnd::Done,
            segments,
            geometry,
            media_bytes,
            chunk_bytes,
            groups,
            holes,
            metadata,
            tables: TableCache::default(),
            engines: Engines::default(),
            notes,
        })
    }

    /// Size of the medium in bytes.
    pub fn media_bytes(&self) -> u64 {
        self.media_bytes
    }

    /// Bytes per sector of the medium, as stated.
    pub fn sector_bytes(&self) -> u32 {
        self.geometry.sector_bytes
    }

    /// Bytes of the medium in every chunk but the last.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Number of chunks of the medium.
    pub fn chunk_count(&self) -> u64 {
        self.media_bytes.div_ceil(self.chunk_bytes as u64)
    }

    /// The bytes of the medium that a chunk holds; empty behind the last one.
    pub fn chunk_extent(&self, index: u64) -> Extent {
        let start = index.saturating_mul(self.chunk_bytes as u64).min(self.media_bytes);
        let left = self.media_bytes.saturating_sub(start);
        Extent::new(start, left.min(self.chunk_bytes as u64))
    }

    /// The segments that are there, ascending by number.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// File names of segments that are missing before the last one that is there.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// True when the last segment that is there is not the end of the set: more are missing, nobody knows how many, or
    /// the last one was cut.
    pub fn is_end_missing(&self) -> bool {
        self.is_end_missing
    }

    /// The identifier that all segments of the set carry; old files have none.
    pub fn set_identifier(&self) -> Option<[u8; 16]> {
        self.geometry.set_identifier
    }

    /// MD5 of the medium as the writing program stored it.
    pub fn md5(&self) -> Option<[u8; 16]> {
        self.metadata.md5
    }

    /// SHA-1 of the medium as the writing program stored it.
    pub fn sha1(&self) -> Option<[u8; 20]> {
        self.metadata.sha1
    }

    /// Case data.
    pub fn header(&self) -> &HeaderValues {
        &self.metadata.values
    }

    /// Which form of the format it is, by the program that introduced it: `EnCase 6`, `FTK`, `SMART`, ...
    pub fn form(&self) -> &'static str {
        form(&self.geometry, &self.metadata.shapes)
    }

    /// Ranges that the writing program could not read from the medium, in bytes of it. The image has zeros there.
    pub fn error_ranges(&self) -> Vec<Extent> {
        let unreadable = self.holes.as_slice().iter().filter(|(_, hole)| *hole == Hole::Unreadable);
        unreadable.map(|(extent, _)| *extent).collect()
    }

    /// Ranges of the medium that are known not to be in the image, or not from the medium: in missing segments, behind
    /// damaged tables, in the error list. Damaged chunks are found when they are read.
    pub(crate) fn holes(&self) -> &Holes {
        &self.holes
    }

    /// What is not as the format has it, those things included that were found while reading; and how many more there
    /// were than are kept.
    pub fn findings(&self) -> (Vec<EwfFinding>, u64) {
        self.notes.all()
    }

    /// Reads one chunk into the front of `buf` and gives the number of its bytes. What is read has the right checksum.
    ///
    /// Sectors that could not be read at the acquisition are the zeros that the image has for them. A buffer that is four
    /// bytes longer than [`EwfSet::chunk_bytes`] saves a copy; what lies behind the chunk in `buf` may be overwritten.
    ///
    /// # Errors
    /// Why there are no bytes, or none that can be trusted. `buf` then holds nothing of use.
    pub fn read_chunk(&self, index: u64, buf: &mut [u8]) -> Result<usize, ChunkError> {
        self.read_with_surplus(index, buf).map(|(length, _)| length)
    }

    /// What the last chunk holds behind the end of the medium; nothing in healthy sets. ewfacquire 20140813 stores files
    /// that end within a sector whole, states their whole sectors as the medium, and computes its MD5 over all.
    ///
    /// # Errors
    /// As [`EwfSet::read_chunk`] for the last chunk.
    pub fn surplus(&self) -> Result<Vec<u8>, ChunkError> {
        let last = self.chunk_count().saturating_sub(1);
        // At most the size of a chunk.
        let length = usize::try_from(self.chunk_extent(last).len()).unwrap_or(0);
        let mut buf = vec![0; length];
        self.read_with_surplus(last, &mut buf).map(|(_, surplus)| surplus)
    }

    fn read_with_surplus(
        &self,
        index: u64,
        buf: &mut [u8],
    ) -> Result<(usize, Vec<u8>), ChunkError> {
        let extent = self.chunk_extent(index);
        // At most the size of a chunk.
        let length = usize::try_from(extent.len()).unwrap_or(0);
        if length == 0 {
            return Err(ChunkError::Missing);
        }
        let (number, group) = self.group_of(index).ok_or_else(|| self.why_missing(extent))?;
        let segment = self.segments.get(group.file).ok_or(ChunkError::Missing)?;
        let table = self.table(number, group, segment);
        let inside = usize::try_from(index.saturating_sub(group.first)).unwrap_or(usize::MAX);
        let Some(place) = table.place(inside, group.data) else {
            let is_behind = table.stated(inside).is_some_and(|at| at >= segment.source.len());
            return Err(if is_behind { ChunkError::Missing } else { ChunkError::Table });
        };
        let wanted = Wanted { place, length, chunk_bytes: self.chunk_bytes };
        let surplus = chunk::read(&self.engines, &*segment.source, wanted, buf)?;
        if !surplus.is_empty() {
            self.notes.add(EwfFinding {
                segment: segment.name.clone(),
                at: Extent::new(place.at, place.room),
                structure: "last chunk",
                found: format!("{} bytes behind the end of the medium", surplus.len()),
                expected: "none; they are left out, and a stored digest may count them".to_owned(),
            });
        }
        Ok((length, surplus))
    }

    fn table(&self, number: usize, group: &Group, segment: &Segment) -> Arc<Table> {
        match &group.origin {
            Origin::Walked(table) => Arc::clone(table),
            Origin::Copies(copies) => self.tables.get(number, || {
                let tail_bytes = tail_bytes(self.media_bytes, self.chunk_bytes);
                let walk = Walk { data: group.data, chunk_bytes: self.chunk_bytes, tail_bytes };
                tables::load(copies, &*segment.source, &segment.name, &walk, &self.notes)
            }),
        }
    }

    fn group_of(&self, index: u64) -> Option<(usize, &Group)> {
        let behind = self.groups.partition_point(|group| group.first <= index);
        let number = behind.checked_sub(1)?;
        let group = self.groups.get(number)?;
        (index.saturating_sub(group.first) < group.chunks).then_some((number, group))
    }

    fn why_missing(&self, extent: Extent) -> ChunkError {
        let kinds = self.holes.within(extent).map(|(_, hole)| hole);
        let is_damaged = kinds.into_iter().any(|hole| hole == Hole::Damaged);
        if is_damaged { ChunkError::Table } else { ChunkError::Missing }
    }
}

/// Bytes of the last chunk where it is shorter than the others, else 0.
fn tail_bytes(media_bytes: u64, chunk_bytes: usize) -> usize {
    let tail = media_bytes.checked_rem(chunk_bytes as u64).unwrap_or(0);
    // Less than the size of a chunk.
    usize::try_from(tail).unwrap_or(0)
}

/// A finding about the set and not about bytes.
pub(super) fn about_set(
    structure: &'static str,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> EwfFinding {
    let (found, expected) = (found.into(), expected.into());
    EwfFinding { segment: String::new(), at: Extent::default(), structure, found, expected }
}

/// The payload of a small section; `None` when it is large or cannot be read.
pub(super) fn small_payload(segment: &Segment, section: &Section) -> Option<Vec<u8>> {
    let payload = section.payload();
    (payload.len() <= SMALL_LIMIT).then(|| segment.source.read(payload).ok()).flatten()
}

/// The first statement with a right checksum, else one that does not contradict itself.
fn best_geometry(candidates: &[Geometry]) -> Option<Geometry> {
    let right = candidates.iter().find(|one| one.sums);
    right.or_else(|| candidates.iter().find(|one| is_consistent(one))).cloned()
}

/// The ranges of the error list inside the medium, in bytes.
fn unreadable(
    metadata: &Metadata,
    geometry: &Geometry,
    media_bytes: u64,
) -> impl Iterator<Item = (Extent, Hole)> {
    let unit = u64::from(geometry.sector_bytes);
    metadata.errors.iter().filter_map(move |(first, count)| {
        let extent = Extent::new(first.saturating_mul(unit), count.saturating_mul(unit));
        Some((extent.intersection(Extent::new(0, media_bytes))?, Hole::Unreadable))
    })
}

/// Holes in ascending order; where two overlap, the one that begins first is named.
pub(super) fn in_order(mut holes: Vec<(Extent, Hole)>) -> Holes {
    holes.sort_by_key(|(extent, _)| *extent);
    let mut merged = Holes::default();
    holes.into_iter().for_each(|(extent, hole)| merged.push(extent, hole));
    merged
}

fn is_consistent(geometry: &Geometry) -> bool {
    let per_chunk = u64::from(geometry.sectors_per_chunk);
    per_chunk > 0 && geometry.chunks > 0 && geometry.sectors.div_ceil(per_chunk) == geometry.chunks
}

/// Bytes of a chunk and of the medium.
fn sizes(geometry: &Geometry) -> Result<(usize, u64), String> {
    let Geometry { sector_bytes, sectors_per_chunk, sectors, .. } = *geometry;
    if sector_bytes == 0 || sector_bytes > SECTOR_LIMIT {
        return Err(format!("it states {sector_bytes} bytes per sector"));
    }
    let chunk = u64::from(sector_bytes).saturating_mul(sectors_per_chunk.into());
    let chunk_bytes = usize::try_from(chunk).ok().filter(|_| (1..=CHUNK_LIMIT).contains(&chunk));
    let chunk_bytes =
        chunk_bytes.ok_or_else(|| format!("it states {sectors_per_chunk} sectors per chunk"))?;
    // An acquisition that was not finished may state its chunks alone.
    let bytes = match sectors {
        0 => geometry.chunks.checked_mul(chunk),
        sectors => sectors.checked_mul(sector_bytes.into()),
    };
    let bytes = bytes.filter(|bytes| i64::try_from(*bytes).is_ok() && *bytes > 0);
    let bytes = bytes.ok_or_else(|| format!("it states {sectors} sectors"))?;
    Ok((chunk_bytes, bytes))
}

fn counted(items: &[Item]) -> Option<u64> {
    items.iter().try_fold(0u64, |sum, item| match item {
        Item::Known(group) => sum.checked_add(group.chunks),
        Item::Unknown(_) => None,
    })
}

fn media_extent(chunks: &std::ops::Range<u64>, chunk_bytes: usize, media_bytes: u64) -> Extent {
    let unit = chunk_bytes as u64;
    let at = |chunk: u64| chunk.saturating_mul(unit).min(media_bytes);
    crate::holes::between(at(chunks.start), at(chunks.end))
}

fn form(geometry: &Geometry, shapes: &[(Kind, Shape)]) -> &'static str {
    let shape = |kind| shapes.iter().find(|(own, _)| *own == kind).map(|(_, shape)| shape);
    if let Some(is_smart) = geometry.old {
        return if is_smart { "SMART" } else { "original EWF" };
    }
    if shapes.iter().any(|(kind, _)| *kind == Kind::XHeader) {
        return "EWF-X of libewf";
    }
    match (shape(Kind::Header2), shape(Kind::Header)) {
        (Some(shape), _) if shape.has("ext") || shape.has("pid") => "EnCase 7",
        (Some(shape), _) if shape.has("md") || shape.has("sn") => "EnCase 6",
        (Some(shape), _) if shape.version == "1" => "EnCase 4",
        (Some(_), _) => "EnCase 5",
        (None, Some(shape)) if shape.version == "3" && shape.has("md") => "linen 6 or later",
        (None, Some(shape)) if shape.version == "3" => "linen 5",
        (None, Some(shape)) if shape.has("r") && !shape.has_cr => "FTK",
        (None, Some(shape)) if shape.has_cr => "EnCase 1 to 3",
        (None, _) => "unknown form",
    }
}
