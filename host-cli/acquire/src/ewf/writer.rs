//! Putting chunks into segment files, in order.
//!
//! Facts: Expert Witness Compression Format (libyal), order of sections. One segment: `header2, header2, header, volume, (sectors, table,
//! table2)+, data, [error2], [digest], [hash], done`; of many, each but the last ends with `next` and each but the first begins with
//! `data`. Headers are written at once and never again: sets whose headers were kept back for later lost them (libyal/libewf
//! issues 22 and 104). A sectors section gets its descriptor when its length is known; until then there are zeros, and the file
//! ends for every reader where the last finished group ends.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    chunk::{Batch, Chunk},
    error::EwfError,
    header::{CaseText, SetFacts},
    names,
    plan::{OFFSETS_END, Plan},
    section::{self, DESCRIPTOR_BYTES, Kind},
    segment::Segment,
};
use crate::raw::{FileError, positioned};

/// A finished group: where its sectors section begins and how many chunks it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Offset of the sectors section in its segment, in bytes.
    pub start: u64,
    /// Chunks in it.
    pub entries: u32,
}

/// Where a set can be continued, once the files are on the disk up to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of the last segment, from 1.
    pub segment: u32,
    /// Length of that segment, in bytes.
    pub length: u64,
    /// Chunks of the medium in the set so far.
    pub chunks: u64,
    /// The last group; `None` when there is none in the set.
    pub group: Option<Group>,
}

/// A finished set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The segment files, in order.
    pub files: Vec<PathBuf>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Unreadable ranges, first sector and count, that the container has no room or no numbers for.
    pub errors_left_out: Vec<(u64, u64)>,
}

/// Writes one set.
#[derive(Debug)]
pub struct EwfWriter {
    pub(super) set: Set,
    pub(super) segment: Segment,
    pub(super) open: Option<OpenGroup>,
    pub(super) last: Option<Group>,
    pub(super) chunks: u64,
    /// Bytes of the segments before this one.
    pub(super) earlier_bytes: u64,
    stopped: bool,
}

/// What does not change while a set is written.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) folder: PathBuf,
    pub(super) stem: String,
    pub(super) plan: Plan,
    /// The payload of `volume` and `data`.
    pub(super) volume: Vec<u8>,
    /// Write past the page cache where the file system can.
    pub(super) direct: bool,
}

/// A group whose tables are not written yet.
#[derive(Debug)]
pub(super) struct OpenGroup {
    start: u64,
    entries: Vec<u32>,
}

impl Set {
    pub(super) fn new(folder: &Path, stem: &str, plan: &Plan, facts: &SetFacts) -> Self {
        Self {
            folder: folder.to_owned(),
            stem: stem.to_owned(),
            plan: plan.clone(),
            volume: section::volume(plan, facts),
            direct: true,
        }
    }

    /// The file of segment `number`.
    pub(super) fn path(&self, number: u32) -> Result<PathBuf, EwfError> {
        let extension = names::extension(number).ok_or(EwfError::Segments(number))?;
        Ok(self.folder.join(format!("{}.{extension}", self.stem)))
    }

    /// What stands before the first group of the first segment.
    pub(super) fn first_head(&self, text: &CaseText, facts: &SetFacts) -> Vec<u8> {
        let mut head = section::file_header(1);
        let header2 = super::header::header2(text, facts);
        section::append(&mut head, Kind::Header2, 0, &header2);
        section::append(&mut head, Kind::Header2, 0, &header2);
        section::append(&mut head, Kind::Header, 0, &super::header::header(text, facts));
        section::append(&mut head, Kind::Volume, 0, &self.volume);
        head
    }

    /// What stands before the first group of a later segment.
    pub(super) fn later_head(&self, number: u16) -> Vec<u8> {
        let mut head = section::file_header(number);
        section::append(&mut head, Kind::Data, 0, &self.volume);
        head
    }

    /// Both tables of a group, to stand at `end`.
    pub(super) fn tables(&self, start: u64, end: u64, entries: &[u32]) -> Vec<u8> {
        let base = if self.plan.absolute_offsets() { 0 } else { start };
        let payload = section::table(base, entries);
        let mut tables = Vec::new();
        section::append(&mut tables, Kind::Table, end, &payload);
        section::append(&mut tables, Kind::Table2, end, &payload);
        tables
    }

    /// Creates segment `number` with `head` in it.
    fn create_segment(&self, number: u16, head: &[u8]) -> Result<Segment, EwfError> {
        let path = self.path(u32::from(number))?;
        let mut segment = Segment::create(number, path, self.direct)?;
        segment.append(head)?;
        segment.flush()?;
        positioned::sync_folder(&self.folder).map_err(FileError::new(
            "sync the folder",
            &self.folder,
            0,
        ))?;
        Ok(segment)
    }
}

impl EwfWriter {
    /// Begins a set: `folder/stem.E01` with everything that stands before the first chunk.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(
        folder: &Path,
        stem: &str,
        plan: &Plan,
        text: &CaseText,
        facts: &SetFacts,
    ) -> Result<Self, EwfError> {
        let set = Set::new(folder, stem, plan, facts);
        let segment = set.create_segment(1, &set.first_head(text, facts))?;
        Ok(Self::at(set, segment, 0, None, 0))
    }

    pub(super) const fn at(
        set: Set,
        segment: Segment,
        chunks: u64,
        last: Option<Group>,
        earlier_bytes: u64,
    ) -> Self {
        Self { set, segment, open: None, last, chunks, earlier_bytes, stopped: false }
    }

    /// Writes through the page cache from here on, for a destination that writes past it slowly.
    ///
    /// # Errors
    /// As [`EwfWriter::push`].
    pub fn through_cache(mut self) -> Result<Self, EwfError> {
        self.segment.use_cache()?;
        self.set.direct = false;
        Ok(self)
    }

    /// How the set is cut.
    pub const fn plan(&self) -> &Plan {
        &self.set.plan
    }

    /// Chunks of the medium so far.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Bytes of all files so far.
    pub const fn bytes(&self) -> u64 {
        self.earlier_bytes.saturating_add(self.segment.length())
    }

    /// Writes the chunks that come next.
    ///
    /// # Errors
    /// When a file cannot be written, or when the chunks do not fit the plan. After an error nothing more is written; the set can be
    /// continued from its last checkpoint with [`EwfWriter::resume`].
    pub fn push(&mut self, batch: &Batch) -> Result<(), EwfError> {
        self.guarded(|writer| writer.push_chunks(batch))
    }

    /// Ends the group. When the file ([`EwfWriter::sync_handle`]) has then been synced, the set can be continued from here.
    ///
    /// # Errors
    /// As [`EwfWriter::push`].
    pub fn end_group(&mut self) -> Result<Checkpoint, EwfError> {
        self.guarded(|writer| {
            writer.close_group()?;
            Ok(writer.segment.flush()?)
        })?;
        Ok(Checkpoint {
            segment: u32::from(self.segment.number),
            length: self.segment.length(),
            chunks: self.chunks,
            group: self.last,
        })
    }

    /// The file that is written now, to be synced by another thread. Segments before it are on the disk.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn sync_handle(&self) -> io::Result<File> {
        self.segment.try_clone()
    }

    /// Ends the set and puts it on the disk. `errors` are the unreadable ranges, first sector and count, in order; the hashes are over
    /// [`Plan::padded_bytes`].
    ///
    /// # Errors
    /// As [`EwfWriter::push`], and when chunks are missing.
    pub fn finish(
        mut self,
        errors: &[(u64, u64)],
        md5: Option<[u8; 16]>,
        sha1: Option<[u8; 20]>,
    ) -> Result<Finished, EwfError> {
        self.guarded(Self::close_group)?;
        let planned = u64::from(self.set.plan.chunks());
        if self.chunks != planned {
            let why = format!("the set has {} of {planned} chunks", self.chunks);
            return Err(EwfError::Plan(why));
        }
        let (listed, errors_left_out) = listed_errors(errors, self.set.plan.error_entries());
        let tail = self.tail(&listed, md5, sha1);
        self.guarded(|writer| Ok(writer.segment.append(&tail)?))?;
        self.segment.sync()?;
        let last = u32::from(self.segment.number);
        let files = (1..=last).map(|number| self.set.path(number)).collect::<Result<_, _>>()?;
        Ok(Finished { files, bytes: self.bytes(), errors_left_out })
    }

    /// What stands after the last group of the set.
    fn tail(
        &self,
        errors: &[(u32, u32)],
        md5: Option<[u8; 16]>,
        sha1: Option<[u8; 20]>,
    ) -> Vec<u8> {
        let start = self.segment.length();
        let mut tail = Vec::new();
        if self.segment.number == 1 {
            section::append(&mut tail, Kind::Data, start, &self.set.volume);
        }
        if !errors.is_empty() {
            section::append(&mut tail, Kind::Error2, start, &section::error2(errors));
        }
        if let (Some(md5), Some(sha1)) = (&md5, &sha1) {
            section::append(&mut tail, Kind::Digest, start, &section::digest(md5, sha1));
        }
        if let Some(md5) = &md5 {
            section::append(&mut tail, Kind::Hash, start, &section::hash(md5));
        }
        let end = start.saturating_add(tail.len() as u64);
        tail.extend_from_slice(&section::terminal(Kind::Done, end));
        tail
    }

    /// Runs `work`; after an error nothing runs any more.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, EwfError>,
    ) -> Result<T, EwfError> {
        if self.stopped {
            return Err(EwfError::Stopped);
        }
        let done = work(self);
        self.stopped = done.is_err();
        done
    }

    fn push_chunks(&mut self, batch: &Batch) -> Result<(), EwfError> {
        self.check(batch)?;
        let (mut chunks, mut bytes) = (batch.chunks.as_slice(), batch.bytes.as_slice());
        while let Some(next) = chunks.first() {
            self.make_room(next.len)?;
            let from = self.cursor();
            let (count, to) = self.admit(chunks, from);
            let len = usize::try_from(to.end.saturating_sub(from.end)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
            if from.entries == 0 {
                self.segment.leave_descriptor()?;
            }
            self.segment.append(now)?;
            self.chunks = self.chunks.saturating_add(count as u64);
            bytes = later;
            chunks = chunks.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// A batch that the plan has no place for is a mistake of the caller, found before anything of it is written.
    fn check(&self, batch: &Batch) -> Result<(), EwfError> {
        let sum: u64 = batch.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        if sum != batch.bytes.len() as u64 {
            let why = format!("{} bytes handed over as chunks of {sum}", batch.bytes.len());
            return Err(EwfError::Plan(why));
        }
        let after = self.chunks.saturating_add(batch.chunks.len() as u64);
        let planned = u64::from(self.set.plan.chunks());
        let largest = self.set.plan.chunk_bytes().saturating_add(4);
        let sized = |chunk: &Chunk| (1..=largest).contains(&u64::from(chunk.len));
        if after > planned || !batch.chunks.iter().all(sized) {
            let why = format!("chunks up to {after} of {planned}, the longest of {largest} bytes");
            return Err(EwfError::Plan(why));
        }
        Ok(())
    }

    /// Where the next chunk goes.
    fn cursor(&self) -> Cursor {
        let end = self.segment.length();
        match &self.open {
            Some(group) => Cursor { start: group.start, end, entries: group.entries.len() as u64 },
            None => Cursor { start: end, end: end.saturating_add(DESCRIPTOR_BYTES), entries: 0 },
        }
    }

    /// Ends the group where a chunk of `len` bytes does not fit, and the segment too if that is not enough.
    fn make_room(&mut self, len: u32) -> Result<(), EwfError> {
        let fits = |writer: &Self| writer.cursor().after(len).is_within(&writer.set.plan);
        if fits(self) {
            return Ok(());
        }
        self.close_group()?;
        if !fits(self) {
            self.next_segment()?;
        }
        if !fits(self) {
            return Err(EwfError::Plan(format!(
                "a segment has no room for a chunk of {len} bytes"
            )));
        }
        Ok(())
    }

    /// Takes as many of `chunks` into the group as fit: how many, and where the next one goes then.
    fn admit(&mut self, chunks: &[Chunk], mut cursor: Cursor) -> (usize, Cursor) {
        let plan = &self.set.plan;
        let base = if plan.absolute_offsets() { 0 } else { cursor.start };
        let group =
            self.open.get_or_insert_with(|| OpenGroup { start: cursor.start, entries: Vec::new() });
        let mut count = 0usize;
        for chunk in chunks {
            let after = cursor.after(chunk.len);
            if !after.is_within(plan) {
                break;
            }
            let offset = cursor.end.saturating_sub(base);
            group.entries.push(section::entry(offset, chunk.compressed));
            count = count.saturating_add(1);
            cursor = after;
        }
        (count, cursor)
    }

    /// Writes the tables of the open group, then the descriptor of its sectors section.
    fn close_group(&mut self) -> Result<(), EwfError> {
        let Some(group) = self.open.take() else { return Ok(()) };
        let (start, end) = (group.start, self.segment.length());
        self.segment.append(&self.set.tables(start, end, &group.entries))?;
        let sectors = section::descriptor(Kind::Sectors, start, end.saturating_sub(start));
        self.segment.patch(&sectors, start)?;
        let entries = u32::try_from(group.entries.len()).unwrap_or(u32::MAX);
        self.last = Some(Group { start, entries });
        Ok(())
    }

    /// Ends this segment, puts it on the disk, and begins the next.
    fn next_segment(&mut self) -> Result<(), EwfError> {
        let number = u32::from(self.segment.number).saturating_add(1);
        let number = u16::try_from(number).map_err(|_| EwfError::Segments(number))?;
        self.set.path(u32::from(number))?;
        let next = section::terminal(Kind::Next, self.segment.length());
        self.segment.append(&next)?;
        self.segment.sync()?;
        self.earlier_bytes = self.bytes();
        self.segment = self.set.create_segment(number, &self.set.later_head(number))?;
        Ok(())
    }
}

/// Where the next chunk of a group goes.
#[derive(Clone, Copy)]
struct Cursor {
    /// Of the sectors section.
    start: u64,
    /// Of the chunk.
    end: u64,
    /// Chunks before it in the group.
    entries: u64,
}

impl Cursor {
    const fn after(self, len: u32) -> Self {
        Self {
            start: self.start,
            end: self.end.saturating_add(len as u64),
            entries: self.entries.saturating_add(1),
        }
    }

    /// True when a group may reach to here, with its tables and the end of the set after it.
    fn is_within(&self, plan: &Plan) -> bool {
        let tables = section::table_bytes(self.entries).saturating_mul(2);
        self.entries <= u64::from(plan.group_entries())
            && self.end.saturating_sub(self.start) < OFFSETS_END
            && self.end.saturating_add(tables).saturating_add(plan.tail_reserve())
                <= plan.segment_bytes()
    }
}

/// The ranges that the error list can express, at most `most` of them, and what is left over of the others.
fn listed_errors(ranges: &[(u64, u64)], most: u32) -> (Ranges<u32>, Ranges<u64>) {
    let (mut listed, mut left) = (Vec::new(), Vec::new());
    for &(first, count) in ranges.iter().filter(|(_, count)| *count > 0) {
        let expressed = count.min(NUMBERS_END.saturating_sub(first));
        match (u32::try_from(first), u32::try_from(expressed)) {
            (Ok(sector), Ok(sectors)) if listed.len() < most as usize => {
                listed.push((sector, sectors));
                if expressed < count {
                    left.push((NUMBERS_END, count.saturating_sub(expressed)));
                }
            }
            _ => left.push((first, count)),
        }
    }
    (listed, left)
}

/// First sector and number of sectors, each.
type Ranges<T> = Vec<(T, T)>;

/// Sector numbers of the error list end here.
const NUMBERS_END: u64 = 1 << 32;
