//! A binary index and its mirror: which copy is read, and what the records of one media file are.
//!
//! Facts: `docs/formats/hikvision.md` section 9.1. An index may be gigabytes long by its own header, so records are read one media file at a
//! time and nothing is kept of them.

use std::sync::Arc;

use daleel_core::{Extent, Finding, FindingKind, Findings, FormatError, ReadError, Source};

use super::layout::{
    FILE_ENTRY_BYTES, FILES_MAX, FileEntry, HEADER_BYTES, Header, Record, Shape, Slot,
};

/// Records of this many populated files are looked at to tell video and pictures apart.
const SAMPLED_FILES: u32 = 8;
/// File-table entries read at once.
const TABLE_STEP: u64 = 2048;

/// One copy of an index.
#[derive(Clone)]
pub struct Copy {
    /// Its path in the tree; `None` for a single file.
    pub path: Option<String>,
    /// Where its bytes come from.
    pub source: Arc<dyn Source>,
    /// Where it lies in `source`.
    pub extent: Extent,
}

impl Copy {
    /// A file of a tree.
    pub fn of_file(file: &daleel_core::TreeFile) -> Self {
        let extent = Extent::new(0, file.source.len());
        Self { path: Some(file.path.clone()), source: file.source.clone(), extent }
    }

    /// Bytes of it, in offsets of the source.
    pub fn at(&self, start: u64, length: u64) -> Extent {
        Extent::new(self.extent.offset().saturating_add(start), length)
    }

    /// Reads bytes of it.
    ///
    /// # Errors
    /// As [`Source::read_exact_at`].
    pub fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        self.source.read(self.at(start, length))
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        self.path.as_deref().unwrap_or("the index")
    }

    /// Its header.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn header(&self) -> Result<Header, FormatError> {
        let bytes = self
            .read(0, HEADER_BYTES)
            .map_err(|error| FormatError::read(super::layout::HEADER, error))?;
        Header::parse(&bytes, self.at(0, HEADER_BYTES))
    }

    /// A header made up from the file table alone, where the real one is damaged: the numbers of the files count up from 0 (section 6). It has
    /// no active slots.
    pub fn rebuilt_header(&self) -> Option<Header> {
        let step = usize::try_from(FILE_ENTRY_BYTES).ok()?;
        let mut files = 0u32;
        while files < FILES_MAX {
            let start =
                HEADER_BYTES.saturating_add(u64::from(files).saturating_mul(FILE_ENTRY_BYTES));
            let entries = TABLE_STEP.min(u64::from(FILES_MAX.saturating_sub(files)));
            let left = self.extent.len().saturating_sub(start);
            let length = entries.saturating_mul(FILE_ENTRY_BYTES).min(left);
            let bytes = self.read(start, length).unwrap_or_default();
            let before = files;
            for entry in bytes.chunks_exact(step) {
                if FileEntry::parse(entry).is_none_or(|entry| entry.number != files) {
                    break;
                }
                files = files.saturating_add(1);
            }
            if u64::from(files.saturating_sub(before)) < entries {
                break;
            }
        }
        let none =
            || Header { version: 0, files, counter: 0, next: 0, current: 0, slots: Vec::new() };
        // One entry has the number 0, which says nothing.
        (files > 1).then(none)
    }
}

/// How well the bytes of a copy look like an index of one shape: records that make sense, of those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Records that are there.
    pub populated: u32,
    /// Records without a fault.
    pub sound: u32,
}

impl Sampled {
    /// True when this is better than `other`; the share of sound records decides, then their number.
    fn beats(self, other: Self) -> bool {
        let share = |a: Self, b: Self| u64::from(a.sound).saturating_mul(u64::from(b.populated));
        (share(self, other), self.sound) > (share(other, self), other.sound)
    }
}

/// Looks at the first records of the first files that have any.
pub fn sample(copy: &Copy, header: &Header, shape: Shape) -> Sampled {
    const LOOKED_AT: u64 = 16;
    let mut sampled = Sampled::default();
    let mut files = 0u32;
    for file in 0..header.files.min(512) {
        let length = shape.record_bytes.saturating_mul(LOOKED_AT);
        let Ok(bytes) = copy.read(shape.file_offset(header.files, file), length) else { break };
        let before = sampled.populated;
        for record in records(&bytes, shape).filter_map(Record::parse) {
            sampled.populated = sampled.populated.saturating_add(1);
            let is_sound = record.fault().is_none() && !record.is_before_cameras();
            sampled.sound = sampled.sound.saturating_add(u32::from(is_sound));
        }
        files = files.saturating_add(u32::from(sampled.populated > before));
        if files >= SAMPLED_FILES {
            break;
        }
    }
    sampled
}

/// The shape that the records of a copy fit best. `pictures` is what its name says; it decides where no record does.
pub fn shape_of(copy: &Copy, header: &Header, pictures: bool) -> (Shape, Sampled) {
    let mut shapes = [Shape::VIDEO, Shape::PICTURES, Shape::SHORT_PICTURES];
    if pictures {
        shapes.rotate_left(1);
    }
    let [first, rest @ ..] = shapes;
    rest.into_iter().fold((first, sample(copy, header, first)), |(best, sampled), shape| {
        // The first records of the first file lie at the same place in a video index and a short picture index: only the room tells them apart.
        let fits = shape.total_bytes(header.files) <= copy.extent.len();
        let other = sample(copy, header, shape);
        if fits && other.beats(sampled) { (shape, other) } else { (best, sampled) }
    })
}

fn records(bytes: &[u8], shape: Shape) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(usize::try_from(shape.record_bytes).unwrap_or(usize::MAX))
}

/// A record and where it was taken from.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its position among the records of its file.
    pub slot: u16,
    /// What it says.
    pub record: Record,
    /// Where it lies, in the copy named.
    pub at: Extent,
    /// Name of the copy it was taken from.
    pub copy: Arc<str>,
    /// Its stored times: offset and bytes.
    pub times: Vec<(&'static str, u64, [u8; 8])>,
    /// What the other copy says in its place, where the two differ.
    pub other: Option<String>,
}

/// The records of one media file.
#[derive(Debug, Default)]
pub struct FileRecords {
    /// Those that are there.
    pub held: Vec<Held>,
    /// What was noticed on the way.
    pub findings: Vec<Finding>,
}

/// An index as it is read: one copy, or two that are compared.
pub struct Index {
    /// The copy whose header is used.
    pub copy: Copy,
    /// The other one, where it has the same layout or a damaged header.
    pub mirror: Option<Copy>,
    /// Header in use.
    pub header: Header,
    /// True where no copy has a sound header, and this one was made up from the file table.
    pub is_rebuilt: bool,
    /// Layout of the segment table.
    pub shape: Shape,
    /// File table in use; shorter than the header says where the index is cut.
    pub table: Vec<FileEntry>,
    /// What was noticed.
    pub findings: Findings,
}

impl Index {
    /// Reads header and file table from up to two copies.
    ///
    /// # Errors
    /// When no copy has a usable header.
    pub fn read(copies: Vec<Copy>, pictures: bool) -> Result<Self, FormatError> {
        let mut findings = Findings::default();
        let mut sound = Vec::new();
        let mut damaged = Vec::new();
        for copy in copies {
            match copy.header() {
                Ok(header) => sound.push((copy, header)),
                Err(error) => damaged.push((copy, error)),
            }
        }
        let is_rebuilt = sound.is_empty();
        if is_rebuilt {
            sound = rebuild(&mut damaged, &mut findings);
        }
        // The copy changed last; of equal ones the first.
        let last_changed = sound.iter().map(|(_, header)| header.counter).max();
        let place = sound.iter().position(|(_, header)| Some(header.counter) == last_changed);
        let Some(place) = place else {
            let (_, error) = damaged.into_iter().next().ok_or_else(|| {
                let nowhere = Extent::new(0, 0);
                FormatError::field(super::layout::HEADER, nowhere, "index", "none", "an index")
            })?;
            return Err(error);
        };
        let (copy, header) = sound.remove(place);
        let (shape, _) = shape_of(&copy, &header, pictures);
        let mut mirror = None;
        for (other, error) in damaged {
            let text = format!(
                "{}: {error}; its records are compared where {} says they lie",
                other.name(),
                copy.name()
            );
            findings.note(FindingKind::DamagedIndex, error.at, text);
            mirror = Some(other);
        }
        for (other, other_header) in sound {
            if other_header.files == header.files {
                compare_headers((&copy, &header), (&other, &other_header), &mut findings);
                mirror = Some(other);
            } else {
                let text = format!(
                    "{} lists {} files, {} lists {}: the latter is not used",
                    copy.name(),
                    header.files,
                    other.name(),
                    other_header.files
                );
                findings.note(FindingKind::CopyMismatch, other.at(0, HEADER_BYTES), text);
            }
        }
        let table = Vec::new();
        let mut index = Self { copy, mirror, header, is_rebuilt, shape, table, findings };
        index.note_length();
        index.read_table();
        index.note_slots();
        Ok(index)
    }

    /// Says where a copy ends before its records do.
    fn note_length(&mut self) {
        let wanted = self.shape.total_bytes(self.header.files);
        let copies = std::iter::once(&self.copy).chain(&self.mirror);
        for copy in copies.filter(|copy| copy.extent.len() < wanted) {
            let missing = wanted.saturating_sub(copy.extent.len());
            let text = format!(
                "{} ends at byte {}, the records of its {} files reach to {wanted}: {missing} bytes are missing",
                copy.name(),
                copy.extent.len(),
                self.header.files
            );
            self.findings.note(FindingKind::Hole, copy.at(copy.extent.len(), missing), text);
        }
    }

    fn read_table(&mut self) {
        let mut unreadable = 0u64;
        let mut from = 0u64;
        let files = u64::from(self.header.files);
        while from < files {
            let count = TABLE_STEP.min(files.saturating_sub(from));
            let start = HEADER_BYTES.saturating_add(from.saturating_mul(FILE_ENTRY_BYTES));
            let length = count.saturating_mul(FILE_ENTRY_BYTES);
            let own = read_pieces(&self.copy, start, length, FILE_ENTRY_BYTES);
            let other =
                self.mirror.as_ref().map(|copy| read_pieces(copy, start, length, FILE_ENTRY_BYTES));
            for n in 0..count {
                let number = u32::try_from(from.saturating_add(n)).unwrap_or(u32::MAX);
                let piece = |pieces: &Pieces| pieces.get(n).and_then(FileEntry::parse);
                let own = piece(&own);
                let other = other.as_ref().and_then(piece);
                let matches = |entry: &FileEntry| entry.number == number;
                let at = start.saturating_add(n.saturating_mul(FILE_ENTRY_BYTES));
                if let (Some(own), Some(other)) = (own, other)
                    && own != other
                {
                    let text = format!(
                        "file table, file {number}: {} and {} differ; {} is used",
                        self.copy.name(),
                        self.mirror.as_ref().map_or("", |copy| copy.name()),
                        if matches(&own) { "the former" } else { "the latter" }
                    );
                    let at = self.copy.at(at, FILE_ENTRY_BYTES);
                    self.findings.note(FindingKind::CopyMismatch, at, text);
                }
                let sound = [own, other].into_iter().flatten().find(matches);
                unreadable = unreadable.saturating_add(u64::from(sound.is_none()));
                // Without its entry nothing says which of a file's records are current.
                self.table.push(sound.unwrap_or(FileEntry {
                    number,
                    channel: None,
                    last: None,
                    start: 0,
                    end: 0,
                    status: 0,
                }));
            }
            if own.is_beyond_end() && other.is_none_or(|other| other.is_beyond_end()) {
                break;
            }
            from = from.saturating_add(count);
        }
        if unreadable > 0 {
            let at = self.copy.at(HEADER_BYTES, files.saturating_mul(FILE_ENTRY_BYTES));
            let text = format!(
                "{}: {unreadable} entries of the file table are damaged or cannot be read: the records of these files count as residual",
                self.copy.name()
            );
            self.findings.note(FindingKind::DamagedIndex, at, text);
        }
    }

    /// Slots that name what is not there are not used.
    fn note_slots(&mut self) {
        let (files, room) = (self.header.files, self.shape.records_per_file);
        let fits = |slot: &Slot| slot.file < files && u64::from(slot.segment) < room;
        let (sound, rest): (Vec<Slot>, Vec<Slot>) =
            self.header.slots.iter().copied().partition(fits);
        for slot in rest {
            let start = super::layout::SLOTS_OFFSET
                .saturating_add(u64::from(slot.channel).saturating_mul(super::layout::SLOT_BYTES));
            let text = format!(
                "{}: the active slot of channel {} names segment {} of file {}, which the index has no room for: not used",
                self.copy.name(),
                slot.channel,
                slot.segment,
                slot.file
            );
            let at = self.copy.at(start, super::layout::SLOT_BYTES);
            self.findings.note(FindingKind::DamagedIndex, at, text);
        }
        self.header.slots = sound;
    }

    /// Last record of a file that is current, and whether an active slot says so.
    pub fn last_current(&self, file: u32) -> (Option<u16>, Option<&Slot>) {
        let slot = self.header.slot_of(file);
        let entry = usize::try_from(file).ok().and_then(|file| self.table.get(file));
        match slot {
            Some(slot) => (Some(slot.segment), Some(slot)),
            None => (entry.and_then(|entry| entry.last), None),
        }
    }

    /// The channel of a file's current records, as stored.
    pub fn channel_of(&self, file: u32) -> Option<u16> {
        let entry = usize::try_from(file).ok().and_then(|file| self.table.get(file));
        self.header
            .slot_of(file)
            .map_or_else(|| entry.and_then(|entry| entry.channel), |slot| Some(slot.channel))
    }

    /// The one channel that this index names, where it names no other.
    pub fn only_channel(&self) -> Option<u16> {
        let slots = self.header.slots.iter().map(|slot| slot.channel);
        let mut named = self.table.iter().filter_map(|entry| entry.channel).chain(slots);
        let first = named.next()?;
        named.all(|channel| channel == first).then_some(first)
    }

    /// Where a record lies in a copy.
    pub fn record_at(&self, copy: &Copy, file: u32, slot: u64) -> Extent {
        let start = self.shape.file_offset(self.header.files, file);
        let within = slot.saturating_mul(self.shape.record_bytes);
        copy.at(start.saturating_add(within), self.shape.record_bytes)
    }

    /// The records of one media file, from both copies.
    pub fn records(&self, file: u32) -> FileRecords {
        let (start, step) =
            (self.shape.file_offset(self.header.files, file), self.shape.record_bytes);
        let length = self.shape.file_bytes();
        let own = read_pieces(&self.copy, start, length, step);
        let other = self.mirror.as_ref().map(|copy| (copy, read_pieces(copy, start, length, step)));
        let mut found = FileRecords::default();
        let lost = (0..self.shape.records_per_file)
            .filter(|n| {
                let other = other.as_ref().map(|(_, pieces)| pieces);
                own.get(*n).is_none() && other.is_none_or(|other| other.get(*n).is_none())
            })
            .count();
        if lost > 0 {
            let text =
                format!("{}: {lost} record places of file {file} cannot be read", self.copy.name());
            found.findings.push(Finding::at(FindingKind::Hole, self.copy.at(start, length), text));
        }
        if own.are_zero() && other.as_ref().is_none_or(|(_, pieces)| pieces.are_zero()) {
            return found;
        }
        let own_name: Arc<str> = self.copy.name().into();
        let other_name: Arc<str> = self.mirror.as_ref().map_or("", |copy| copy.name()).into();
        for n in 0..self.shape.records_per_file {
            let first = own.get(n).map(|bytes| (&self.copy, &own_name, bytes));
            let second = other
                .as_ref()
                .and_then(|(copy, pieces)| Some((*copy, &other_name, pieces.get(n)?)));
            let slot = u16::try_from(n).unwrap_or(u16::MAX);
            let held = choose(first, second, |copy, name, bytes, record| Held {
                slot,
                record,
                at: self.record_at(copy, file, n),
                copy: name.clone(),
                times: stored_times(bytes, self.record_at(copy, file, n)),
                other: None,
            });
            if let Some(held) = held {
                found.findings.extend(held.other.as_ref().map(|other| {
                    let text = format!("file {file}, record {slot} ({}): {other}", held.copy);
                    Finding::at(FindingKind::CopyMismatch, held.at, text)
                }));
                found.held.push(held);
            }
        }
        found
    }
}

/// Takes the copies whose file table tells how many files they speak of, where no header does.
fn rebuild(damaged: &mut Vec<(Copy, FormatError)>, findings: &mut Findings) -> Vec<(Copy, Header)> {
    let mut sound = Vec::new();
    for (copy, error) in std::mem::take(damaged) {
        let Some(header) = copy.rebuilt_header() else {
            damaged.push((copy, error));
            continue;
        };
        let text = format!(
            "{}: {error}; its file table has {} entries with their own number, so the records behind it are read. What was being written is not \
             known: where the file table is of an earlier pass, current records count as residual",
            copy.name(),
            header.files
        );
        findings.note(FindingKind::Inferred, error.at, text);
        sound.push((copy, header));
    }
    sound
}

/// Two headers that both can be used.
fn compare_headers(
    (copy, header): (&Copy, &Header),
    (other, other_header): (&Copy, &Header),
    findings: &mut Findings,
) {
    if header == other_header {
        return;
    }
    let text = format!(
        "headers differ: {} has change {} (next file {}, current file {}, {} active slots), {} has change {} (next file {}, current file {}, {} \
         active slots); the former is used",
        copy.name(),
        header.counter,
        header.next,
        header.current,
        header.slots.len(),
        other.name(),
        other_header.counter,
        other_header.next,
        other_header.current,
        other_header.slots.len()
    );
    findings.note(FindingKind::CopyMismatch, other.at(0, HEADER_BYTES), text);
}

type Candidate<'a> = (&'a Copy, &'a Arc<str>, &'a [u8]);

/// Of two copies of a record the one that makes sense; the first where both do.
fn choose(
    first: Option<Candidate<'_>>,
    second: Option<Candidate<'_>>,
    hold: impl Fn(&Copy, &Arc<str>, &[u8], Record) -> Held,
) -> Option<Held> {
    let (Some(a), Some(b)) = (first, second) else {
        // The other copy does not reach here, or cannot be read: that is said once, not for each record.
        let (copy, name, bytes) = first.or(second)?;
        return Some(hold(copy, name, bytes, Record::parse(bytes)?));
    };
    let (first, second) = (Record::parse(a.2), Record::parse(b.2));
    let take = |from: Candidate<'_>, record: Record, other: Option<String>| {
        let held = hold(from.0, from.1, from.2, record);
        Some(Held { other, ..held })
    };
    match (first, second) {
        (None, None) => None,
        (Some(record), Some(_)) if a.2 == b.2 => take(a, record, None),
        (Some(record), None) => take(a, record, Some(format!("{} has no record there", b.1))),
        (None, Some(record)) => take(b, record, Some(format!("{} has no record there", a.1))),
        (Some(one), Some(two)) => {
            let use_second = one.fault().is_some() && two.fault().is_none();
            let (from, record, name, left) =
                if use_second { (b, two, a.1, one) } else { (a, one, b.1, two) };
            take(from, record, Some(format!("{name} says {}", in_words(&left))))
        }
    }
}

fn in_words(record: &Record) -> String {
    let time = |stamp: super::layout::Stamp| {
        stamp.civil().map_or("no time".to_owned(), |time| time.to_string())
    };
    let fault = record.fault().map(|fault| format!(" ({fault})")).unwrap_or_default();
    format!(
        "{} to {}, bytes {} to {}, {}{fault}",
        time(record.start),
        time(record.end),
        record.start_offset,
        record.end_offset,
        record.kind_name()
    )
}

/// The fields of a record's times.
fn stored_times(record: &[u8], at: Extent) -> Vec<(&'static str, u64, [u8; 8])> {
    [("start time", 0x08usize), ("end time", 0x10)]
        .into_iter()
        .filter_map(|(name, offset)| {
            let bytes = record.get(offset..)?.first_chunk::<8>()?;
            Some((name, at.offset().saturating_add(offset as u64), *bytes))
        })
        .collect()
}

/// Bytes of a table read in one go; where that fails, record by record.
struct Pieces {
    bytes: Vec<u8>,
    step: usize,
    /// False where a record could not be read; empty where all could.
    readable: Vec<bool>,
    beyond_end: bool,
}

impl Pieces {
    fn get(&self, n: u64) -> Option<&[u8]> {
        let n = usize::try_from(n).ok()?;
        if self.readable.get(n) == Some(&false) {
            return None;
        }
        let start = n.checked_mul(self.step)?;
        self.bytes.get(start..start.checked_add(self.step)?)
    }

    fn are_zero(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    fn is_beyond_end(&self) -> bool {
        self.beyond_end
    }
}

fn read_pieces(copy: &Copy, start: u64, length: u64, step: u64) -> Pieces {
    // What lies past the end of the copy is not asked for.
    let there = length.min(copy.extent.len().saturating_sub(start));
    let whole = there.checked_div(step).unwrap_or(0).saturating_mul(step);
    let beyond_end = whole < length;
    let step_bytes = usize::try_from(step).unwrap_or(usize::MAX);
    if let Ok(bytes) = copy.read(start, whole) {
        return Pieces { bytes, step: step_bytes, readable: Vec::new(), beyond_end };
    }
    let mut pieces =
        Pieces { bytes: Vec::new(), step: step_bytes, readable: Vec::new(), beyond_end };
    for n in 0..whole.checked_div(step).unwrap_or(0) {
        let read = copy.read(start.saturating_add(n.saturating_mul(step)), step);
        pieces.readable.push(read.is_ok());
        match read {
            Ok(bytes) => pieces.bytes.extend_from_slice(&bytes),
            Err(_) => pieces.bytes.resize(pieces.bytes.len().saturating_add(step_bytes), 0),
        }
    }
    pieces
}
