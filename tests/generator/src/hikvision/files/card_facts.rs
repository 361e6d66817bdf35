//! The truth about one entry of a card, from what was written and what the folder holds now.

use super::card::CardPlan;
use super::database::{Database, Row, RowFate, places};
use super::facts::{RecordCopy, RecordState, Residual, SegmentFacts, Survival};
use super::folder::Folder;
use super::index::{FILE_BYTES, HEADER_BYTES, Index};
use super::item::moved;
use super::store::Written;
use crate::Error;
use crate::hikvision::{KeyRecord, RECORD_BYTES};
use crate::image::Image;
use crate::truth::{EntryFacts, EntryState, Frame, FrameKind, KeyIndexFact, Recording};

/// One copy of a binary index as it was written.
pub(super) struct Copy {
    pub name: String,
    pub index: Index,
    pub image: Image,
}

impl Copy {
    /// Copy `number` of an index; `mark` tells the picture index from the video index.
    pub fn new(plan: &CardPlan, index: Index, mark: &str, number: u32) -> Result<Copy, Error> {
        let name = format!("{}index{number:02}{mark}.bin", plan.folder);
        Ok(Copy { name, image: index.encode()?, index })
    }

    /// True where a part of the file is as it was written.
    fn holds(&self, folder: &Folder, offset: u64, length: u64) -> bool {
        folder.read(&self.name, [offset, length]) == Some(self.image.read(offset, length as usize))
    }

    /// True where a reader can tell which records count: header and entry of the file are whole.
    fn is_usable(&self, folder: &Folder, file: u16) -> bool {
        self.holds(folder, 0, HEADER_BYTES)
            && self.holds(folder, self.index.file_offset(file), FILE_BYTES)
    }

    fn record_of(&self, written: &Written, folder: &Folder) -> Option<RecordCopy> {
        let place = (written.file, written.segment);
        let record = self.index.records.get(&place)?;
        let own = (record.start, record.start_offset);
        if own != (written.item.start, written.offset as u32) {
            return None;
        }
        let valid = written.segment < self.index.valid_segments(written.file);
        let state = match (valid, record.end) {
            (false, _) => RecordState::Stale,
            (true, None) => RecordState::Open,
            (true, Some(_)) => RecordState::Valid,
        };
        let (offset, length) = (self.index.record_offset(place), self.index.shape.record_bytes());
        let fraction =
            if record.end.is_none() { record.start.millis().rem_euclid(1000) } else { 0 };
        Some(RecordCopy {
            file: self.name.clone(),
            extent: [offset, length],
            state,
            start: record.start.plus_ms(-fraction).to_string(),
            end: record.end.map(|end| end.to_string()),
            intact: self.holds(folder, offset, length),
        })
    }
}

/// The record of an item in one copy.
struct Found {
    record: RecordCopy,
    /// By the state it has there, the item is listed.
    counts: bool,
    /// A reader can tell so: the record and what makes it count are whole.
    usable: bool,
}

impl Found {
    fn new(copy: &Copy, written: &Written, folder: &Folder) -> Option<Found> {
        let record = copy.record_of(written, folder)?;
        let counts = matches!(record.state, RecordState::Valid | RecordState::Open);
        let usable = record.intact && copy.is_usable(folder, written.file);
        Some(Found { record, counts, usable })
    }
}

/// What is odd about a listed item; `number` copies list it, `main` where the first one does.
fn reason_listed(record: &RecordCopy, number: usize, main: bool) -> Option<&'static str> {
    match (number, main) {
        (..2, false) => Some("only the mirror of the index lists it"),
        (..2, true) => Some("the mirror of the index does not list it"),
        _ if record.end.is_none() => Some("it was never closed"),
        _ => None,
    }
}

fn reason_unlisted(found: &[Found], written: &Written) -> &'static str {
    let mut counted = found.iter().filter(|one| one.counts).peekable();
    if counted.peek().is_some() {
        if counted.any(|one| one.record.intact) {
            "its record is whole, the header of the index is damaged"
        } else {
            "the index that listed it is gone or damaged"
        }
    } else if written.formatted {
        "from before the card was initialised"
    } else if found.is_empty() {
        "of an earlier pass; its record was replaced"
    } else {
        "of an earlier pass; its record lies behind the last valid one"
    }
}

/// A recording in the making.
pub(super) struct Entry {
    recording: Recording,
    facts: SegmentFacts,
}

/// The recording of an item, before anything is known of its records.
pub(super) fn recording(written: &Written, folder: &Folder, media: &str, prefix: &str) -> Entry {
    let item = &written.item;
    let run = written.key_places.last().map(|lowest| [*lowest, item.run_bytes()]);
    let id = format!("{prefix}{:02}-s{:03}-{}", written.file, written.segment, written.pass);
    let frames: Vec<Frame> =
        item.frames.iter().map(|frame| placed(frame, written, folder, media)).collect();
    Entry {
        recording: Recording {
            channel: Some(item.channel.into()),
            codec: Some(item.codec.into()),
            size: Some(item.size),
            audio: item.audio.clone(),
            header: (item.header_bytes > 0).then_some([written.offset, item.header_bytes]),
            file: Some(media.into()),
            key_index: key_index(written, folder, media, &frames),
            frames,
            ..Recording::new(id)
        },
        facts: SegmentFacts {
            file: written.file,
            segment: Some(written.segment),
            pass: written.pass,
            extent: [written.offset, item.bytes.len() as u64],
            run,
            copies: Vec::new(),
            residual: None,
        },
    }
}

/// A frame at its place, compared with what the folder holds there.
fn placed(frame: &Frame, written: &Written, folder: &Folder, media: &str) -> Frame {
    let mut fact = moved(frame, written.offset);
    let original = |[at, length]: [u64; 2]| {
        let from = (at - written.offset) as usize;
        Some(written.item.bytes[from..from + length as usize].to_vec())
    };
    let whole = fact.extents.iter().all(|place| folder.read(media, *place) == original(*place));
    if fact.intact && !whole {
        fact.intact = false;
        let damage = folder.damage_at(media, &fact.extents);
        fact.reason = Some(match folder.get(media) {
            None => "its file is not there".into(),
            Some(_) => damage.unwrap_or("overwritten by a later pass").into(),
        });
    }
    fact
}

fn key_index(
    written: &Written,
    folder: &Folder,
    media: &str,
    frames: &[Frame],
) -> Vec<KeyIndexFact> {
    let fact = |(key, at): (&KeyRecord, &u64)| {
        let target = written.offset + u64::from(key.offset);
        let record = KeyRecord { offset: target as u32, ..*key }.encode(false);
        let extent = [*at, RECORD_BYTES as u64];
        let whole = |frame: &Frame| frame.extents[0][0] == target && frame.intact;
        KeyIndexFact {
            extent,
            time: key.time.second_text(),
            channel: key.channel,
            target,
            number: key.number,
            intact: folder.read(media, extent).as_deref() == Some(&record[..]),
            target_intact: frames.iter().any(whole),
        }
    };
    written.item.keys.iter().zip(&written.key_places).map(fact).collect()
}

impl Entry {
    /// Looks the item up in the copies of a binary index.
    pub fn list(&mut self, copies: &[Copy], written: &Written, folder: &Folder) {
        let found: Vec<Found> =
            copies.iter().filter_map(|copy| Found::new(copy, written, folder)).collect();
        let listing: Vec<&RecordCopy> =
            found.iter().filter(|one| one.counts && one.usable).map(|one| &one.record).collect();
        let reason = match listing.first() {
            Some(record) => {
                let main = copies.first().is_some_and(|copy| copy.name == record.file);
                reason_listed(record, listing.len(), main)
            }
            None => Some(reason_unlisted(&found, written)),
        };
        self.recording.listed = !listing.is_empty();
        self.recording.reason = reason.map(Into::into);
        if let Some(record) = listing.first() {
            self.set_times(record);
        }
        self.facts.copies = found.into_iter().map(|one| one.record).collect();
    }

    fn set_times(&mut self, record: &RecordCopy) {
        let second = |text: &String| text.chars().take(19).collect::<String>();
        self.recording.descriptor_begin = Some(second(&record.start));
        self.recording.descriptor_end = record.end.as_ref().map(second);
    }

    /// Looks the item up in a database, its log and its mirror.
    pub fn list_row(&mut self, row: &Row, database: &Database, names: &[String; 3]) {
        let body = row.body();
        let [main, log, mirror] = names;
        let logged = places(&database.log, &body);
        let copy = |file: &String, at: u64, state| RecordCopy {
            file: file.clone(),
            extent: [at, body.len() as u64],
            state,
            start: row.start.to_string(),
            end: Some(row.end.to_string()),
            intact: true,
        };
        let alone = match row.fate {
            RowFate::Deleted => RecordState::Deleted,
            RowFate::Cleared => RecordState::Cleared,
            RowFate::Kept | RowFate::DeletedInLog | RowFate::InLog => RecordState::Valid,
        };
        let with_log = if logged.is_empty() { alone } else { RecordState::Superseded };
        let in_main = places(&database.main, &body);
        let mut copies: Vec<_> = in_main.iter().map(|at| copy(main, *at, with_log)).collect();
        for (n, at) in logged.iter().enumerate() {
            let state = match row.fate {
                RowFate::Deleted | RowFate::DeletedInLog => RecordState::Deleted,
                _ if n + 1 < logged.len() => RecordState::Superseded,
                _ => alone,
            };
            copies.push(copy(log, *at, state));
        }
        copies.extend(in_main.iter().map(|at| copy(mirror, *at, alone)));
        self.facts.copies = copies;
        self.facts.segment = None;
        let reason = match row.fate {
            RowFate::Kept => None,
            RowFate::InLog => Some("its row is only in the log of the database"),
            RowFate::Deleted => Some("its row was deleted"),
            RowFate::DeletedInLog => Some("its row was deleted; the older mirror still has it"),
            RowFate::Cleared => Some("its row has type 0, which is not valid"),
        };
        self.recording.listed = matches!(row.fate, RowFate::Kept | RowFate::InLog);
        self.recording.reason = reason.map(Into::into);
        if self.recording.listed {
            self.recording.descriptor_begin = Some(row.start.second_text());
            self.recording.descriptor_end = Some(row.end.second_text());
        }
    }

    /// Takes the entry of a tree; none where a later pass replaced it.
    pub fn list_entry(&mut self, entry: Option<EntryFacts>) {
        self.facts.segment = None;
        self.recording.listed =
            entry.iter().flat_map(|entry| &entry.copies).any(|copy| copy.intact);
        let first = entry.as_ref().and_then(|entry| entry.copies.first());
        self.recording.descriptor_begin = first.and_then(|copy| copy.start.clone());
        self.recording.descriptor_end = first.and_then(|copy| copy.end.clone());
        self.recording.reason = match first.map(|copy| copy.state) {
            None => Some("of an earlier pass; its entry was replaced".into()),
            Some(_) if !self.recording.listed => {
                Some("the index that listed it is gone or damaged".into())
            }
            Some(EntryState::Open) => Some("it was never closed".into()),
            Some(_) => None,
        };
        self.recording.entry = entry;
    }

    /// The finished recording.
    pub fn finish(mut self) -> Recording {
        if !self.recording.listed {
            self.facts.residual = Some(self.residual());
        }
        self.recording.segment = Some(self.facts);
        self.recording
    }

    fn residual(&self) -> Residual {
        let pictures = || {
            let kinds = [FrameKind::Video, FrameKind::Still];
            self.recording.frames.iter().filter(move |frame| kinds.contains(&frame.kind))
        };
        let intact: Vec<&Frame> = pictures().filter(|frame| frame.intact).collect();
        let begin = intact.iter().map(|frame| frame.extents[0][0]).min();
        let end = intact.iter().flat_map(|frame| &frame.extents).map(|[at, len]| at + len).max();
        let run = &self.recording.key_index;
        let whole = run.iter().filter(|key| key.intact).count();
        let frames = pictures().count();
        Residual {
            media: Survival::of(intact.len(), frames),
            run: (!run.is_empty()).then(|| Survival::of(whole, run.len())),
            frames: frames as u32,
            intact_frames: intact.len() as u32,
            intact_range: begin.zip(end).map(|(begin, end)| [begin, end]),
        }
    }
}
