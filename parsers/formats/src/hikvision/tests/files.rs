//! Cards, shares and indexes: folders as a device leaves them, written here from section 9 of `docs/formats/hikvision.md`.

use std::sync::Arc;

use daleel_core::{
    Extent, FileTree, FindingKind, Grade, Hole, Input, ReadError, Recorder, Recording,
    RecordingState, Source, TreeFile, Volume, Walk, WalkItem,
};
use proptest::prelude::*;

use crate::hikvision::files::{open, probe};

/// Bytes with places that cannot be read.
struct Holed(Vec<u8>, Extent);

impl Source for Holed {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        match self.1.intersection(Extent::new(offset, buf.len() as u64)) {
            Some(at) => Err(ReadError::Hole { at, hole: Hole::Unreadable }),
            None => self.0.read_exact_at(offset, buf),
        }
    }
}

const DAY: u32 = 1_748_000_000;
const RECORD: usize = 80;

/// A binary index.
#[derive(Clone)]
pub struct Index {
    pub bytes: Vec<u8>,
    files: usize,
    record_bytes: usize,
    records_per_file: usize,
}

impl Index {
    fn with(version: u32, files: usize, record_bytes: usize, records_per_file: usize) -> Self {
        let mut bytes = vec![0; 0x500 + files * (32 + record_bytes * records_per_file)];
        bytes[..8].copy_from_slice(&77u64.to_le_bytes());
        for (at, value) in [(8, version), (12, files as u32)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for slot in 0..49 {
            bytes[0x18 + slot * 24..][..2].fill(0xFF);
        }
        let mut index = Self { bytes, files, record_bytes, records_per_file };
        for file in 0..files {
            index.file(file, None, None);
        }
        index
    }

    /// An index of video.
    pub fn video(version: u32, files: usize) -> Self {
        Self::with(version, files, RECORD, 256)
    }

    fn pictures(files: usize) -> Self {
        Self::with(2, files, 96, 4096)
    }

    pub fn file(&mut self, file: usize, channel: Option<u16>, last: Option<u16>) {
        let at = 0x500 + file * 32;
        self.bytes[at..at + 4].copy_from_slice(&(file as u32).to_le_bytes());
        self.bytes[at + 4..at + 6].copy_from_slice(&channel.unwrap_or(0xFFFF).to_le_bytes());
        self.bytes[at + 6..at + 8].copy_from_slice(&last.unwrap_or(0xFFFF).to_le_bytes());
    }

    fn slot(&mut self, channel: usize, file: u16, segment: u16) {
        let at = 0x18 + channel * 24;
        self.bytes[at..at + 2].copy_from_slice(&file.to_le_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&segment.to_le_bytes());
        self.bytes[at + 4..at + 8].copy_from_slice(&DAY.to_le_bytes());
    }

    pub fn place(&self, file: usize, slot: usize) -> usize {
        0x500 + self.files * 32 + (file * self.records_per_file + slot) * self.record_bytes
    }

    /// A segment of `from..to` bytes that starts `start` seconds after a day begins; `to` 0 for one being written.
    pub fn record(&mut self, file: usize, slot: usize, start: u32, from: u32, to: u32) {
        let at = self.place(file, slot);
        let begin = DAY + start;
        let (end, end_us) = if to == 0 { (0, 0) } else { (begin + 10, 500_000) };
        let run = 0x10_0000 - 512 * slot as u32;
        let fields = [
            (0x08, begin),
            (0x0C, 250_000),
            (0x10, end),
            (0x14, end_us),
            (0x28, from),
            (0x2C, to),
            (0x48, run),
            (0x4C, run - 448),
        ];
        self.bytes[at] = 0x0D;
        for (offset, value) in fields {
            self.bytes[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    fn tree_file(&self, path: &str) -> TreeFile {
        file(path, self.bytes.clone())
    }
}

fn file(path: &str, bytes: Vec<u8>) -> TreeFile {
    TreeFile { path: path.to_owned(), source: Arc::new(bytes) }
}

fn media(path: &str, length: usize) -> TreeFile {
    file(path, vec![0x11; length])
}

fn tree(mut files: Vec<TreeFile>) -> Input {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Input::Tree(FileTree { files })
}

/// Opens an input that is recognised.
fn opened(input: &Input) -> Box<dyn Recorder> {
    let verdicts = probe(input);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    open(input.clone(), &verdicts[0]).unwrap()
}

fn list(recorder: &dyn Recorder) -> Vec<Recording> {
    recorder.recordings().map(Result::unwrap).collect()
}

fn texts(recorder: &dyn Recorder, kind: FindingKind) -> Vec<String> {
    let own = recorder.findings().iter().filter(|finding| finding.kind == kind);
    own.map(|finding| finding.text.clone()).collect()
}

/// Two files, the second being written: two current segments in the first, one closed and one open in the second, and residual ones behind them.
fn card() -> Index {
    let mut index = Index::video(2, 3);
    index.file(0, Some(1), Some(1));
    index.record(0, 0, 0, 0, 0x8000);
    index.record(0, 1, 20, 0x8000, 0xC000);
    // Written over by the pass that wrote the two before it.
    index.record(0, 2, 5, 0x4000, 0x8000);
    // The entry of the file in progress is of the pass before.
    index.file(1, Some(1), Some(3));
    index.slot(1, 1, 1);
    index.record(1, 0, 40, 0, 0x4000);
    index.record(1, 1, 60, 0x4000, 0);
    index.record(1, 2, 10, 0x2000, 0x6000);
    index.record(1, 3, 12, 0x8000, 0xA000);
    index
}

/// L-1, R-1: current, open and residual segments with their places, times and bytes.
#[test]
fn a_card_lists_what_is_current_and_what_is_left_of_earlier_passes() {
    let input = tree(vec![
        card().tree_file("card/index00.bin"),
        media("card/hiv00000.mp4", 0x10_0000),
        media("card/hiv00001.mp4", 0x10_0000),
    ]);
    let recorder = opened(&input);
    let found = list(&*recorder);
    let facts: Vec<_> =
        found.iter().map(|r| (r.id.as_str(), r.state, r.grade, r.first_byte, r.bytes)).collect();
    use Grade::{Indexed, Slack};
    use RecordingState::{Closed, Open, Residual};
    // The open segment may reach up to the lowest key-frame run of its pass, which is its own.
    let room = (0x10_0000 - 512 - 448) - 0x4000;
    assert_eq!(
        facts,
        [
            ("hiv00000-s0", Closed, Indexed, Some(0), 0x8000),
            ("hiv00000-s1", Closed, Indexed, Some(0x8000), 0x4000),
            ("hiv00000-s2-r", Residual, Slack, None, 0),
            ("hiv00001-s0", Closed, Indexed, Some(0), 0x4000),
            ("hiv00001-s1", Open, Indexed, Some(0x4000), room),
            ("hiv00001-s2-r", Residual, Slack, Some(0x4000), 0x2000),
            ("hiv00001-s3-r", Residual, Slack, Some(0x8000), 0x2000),
        ]
    );
    assert!(found.iter().all(|r| r.channel == Some(1)));
    let first = &found[0];
    assert_eq!(first.start.unwrap().to_string(), "2025-05-23T11:33:20.250");
    assert_eq!(first.end.unwrap().to_string(), "2025-05-23T11:33:30.500");
    assert_eq!(first.kind.as_deref(), Some("type 0d"));
    assert_eq!(first.file.as_deref(), Some("card/hiv00000.mp4"));
    let (seconds, rest) = first.stored[0].bytes.split_at(4);
    assert_eq!((seconds, rest), (&DAY.to_le_bytes()[..], &250_000u32.to_le_bytes()[..]));
    assert_eq!(found[4].end, None);
    let reason =
        |r: &Recording, text: &str| r.reasons.iter().any(|reason| reason.text.contains(text));
    assert!(reason(&found[2], "overwritten") && reason(&found[5], "partly overwritten"));
    assert!(reason(&found[6], "intact") && reason(&found[4], "was being written"));
    let counts = texts(&*recorder, FindingKind::NotListed);
    assert!(counts[0].contains("7 segment records, 3 of them residual"), "{counts:?}");
}

/// X-4: the stream of a recording is its bytes of the media file, and nothing that is gone is given.
#[test]
fn streams_lie_in_the_media_files() {
    let input = tree(vec![card().tree_file("index00.bin"), media("hiv00000.mp4", 0x9000)]);
    let recorder = opened(&input);
    let found = list(&*recorder);
    let stream = recorder.stream(&found[0]).unwrap();
    assert_eq!(stream.map.extents().collect::<Vec<_>>(), [Extent::new(0, 0x8000)]);
    // Cut by the end of its file.
    let cut = recorder.stream(&found[1]).unwrap();
    assert_eq!(cut.map.extents().collect::<Vec<_>>(), [Extent::new(0x8000, 0x1000)]);
    assert!(texts(&*recorder, FindingKind::Hole)[0].contains("hiv00000.mp4 ends at byte 36864"));
    let error = |recording| recorder.stream(recording).err().unwrap().to_string();
    assert!(error(&found[2]).contains("written over"), "{}", error(&found[2]));
    assert!(
        error(&found[3]).contains("hiv00001.mp4, which is not in the folder"),
        "{}",
        error(&found[3])
    );
    assert!(texts(&*recorder, FindingKind::NotCarried)[0].contains("hiv00001.mp4"));
    assert_eq!(recorder.native_extension(&found[0]), "mpg");
}

/// An index without its folder lists; what it cannot give it says.
#[test]
fn an_index_alone_lists_and_gives_no_streams() {
    for version in [2, 3] {
        let mut index = card();
        index.bytes[8] = version;
        let input = Input::Volume(Volume::whole(Arc::new(index.bytes)));
        assert!(probe(&input)[0].layout.contains("alone"));
        let recorder = opened(&input);
        let found = list(&*recorder);
        assert_eq!((found.len(), found[0].bytes, &found[0].file), (7, 0x8000, &None));
        let error = recorder.stream(&found[0]).err().unwrap().to_string();
        assert!(error.contains("only the index was given"), "{error}");
        assert!(texts(&*recorder, FindingKind::NotCarried)[0].contains("only the index"));
    }
}

/// I-4: the mirror serves where the first copy is damaged, and differences are said record by record.
#[test]
fn copies_are_compared_and_the_sound_one_is_used() {
    let good = card();
    let mut header = good.clone();
    header.bytes[8..16].fill(0x99);
    let input = tree(vec![header.tree_file("index00.bin"), good.tree_file("index01.bin")]);
    let recorder = opened(&input);
    assert_eq!(list(&*recorder).len(), 7);
    assert!(texts(&*recorder, FindingKind::DamagedIndex)[0].contains("index00.bin"));
    assert!(
        list(&*recorder)
            .iter()
            .filter(|r| r.state == RecordingState::Closed)
            .all(|r| r.grade == Grade::Indexed)
    );

    let mut other = good.clone();
    other.record(0, 0, 1, 0, 0x8000);
    let at = other.place(0, 1);
    other.bytes[at..at + RECORD].fill(0);
    let broken = good.place(1, 0);
    let mut first = good.clone();
    first.bytes[broken + 0x2C..broken + 0x30].fill(0);
    let input = tree(vec![first.tree_file("index00.bin"), other.tree_file("index01.bin")]);
    let recorder = opened(&input);
    let found = list(&*recorder);
    assert_eq!(found.len(), 7);
    assert_eq!(texts(&*recorder, FindingKind::CopyMismatch).len(), 3);
    let grades: Vec<_> = found.iter().map(|r| r.grade).collect();
    assert_eq!(grades[..2], [Grade::IndexConflict; 2]);
    // The first copy's record made no sense: the mirror's is used.
    assert_eq!((found[3].grade, found[3].bytes), (Grade::IndexConflict, 0x4000));
}

/// Q-6: a place that cannot be read loses its own records only, and none that the mirror has.
#[test]
fn holes_lose_their_own_records_only() {
    let index = card();
    let hole = Extent::new(index.place(0, 1) as u64, RECORD as u64);
    let holed = |path: &str| TreeFile {
        path: path.to_owned(),
        source: Arc::new(Holed(index.bytes.clone(), hole)),
    };
    let recorder = opened(&tree(vec![holed("index00.bin")]));
    let ids: Vec<_> = list(&*recorder).into_iter().map(|r| r.id).collect();
    assert_eq!((ids.len(), ids.contains(&"hiv00000-s1".to_owned())), (6, false));
    assert!(texts(&*recorder, FindingKind::Hole)[0].contains("1 record places of file 0"));
    let recorder = opened(&tree(vec![holed("index00.bin"), index.tree_file("index01.bin")]));
    assert_eq!(list(&*recorder).len(), 7);
    assert!(texts(&*recorder, FindingKind::Hole).is_empty());
}

/// A cut index is read as far as it goes.
#[test]
fn a_cut_index_says_what_is_missing() {
    let mut index = card();
    index.bytes.truncate(index.place(1, 0) + RECORD);
    let recorder = opened(&tree(vec![index.tree_file("index00.bin")]));
    assert_eq!(list(&*recorder).len(), 4);
    assert!(texts(&*recorder, FindingKind::Hole)[0].contains("bytes are missing"));
}

/// Several data folders: each index has the files of its own folder, and ids stay apart.
#[test]
fn each_index_speaks_of_its_own_folder() {
    let mut second = card();
    second.file(0, Some(4), Some(1));
    let recorder = opened(&tree(vec![
        card().tree_file("datadir0/index00.bin"),
        second.tree_file("datadir1/index00.bin"),
        media("datadir1/hiv00000.mp4", 0x10_0000),
        media("datadir1/hiv00077.mp4", 0x1000),
    ]));
    let found = list(&*recorder);
    assert_eq!(found.len(), 14);
    assert_eq!((found[0].id.as_str(), found[0].channel), ("datadir0/hiv00000-s0", Some(1)));
    assert_eq!((found[7].id.as_str(), found[7].channel), ("datadir1/hiv00000-s0", Some(4)));
    assert!(recorder.stream(&found[0]).is_err() && recorder.stream(&found[7]).is_ok());
    // Two channels in one index: a residual record belongs to neither for certain.
    assert_eq!(found[9].channel, None);
    let unlisted = texts(&*recorder, FindingKind::NotListed);
    assert!(unlisted.iter().any(|text| text.contains("datadir1/hiv00077.mp4")), "{unlisted:?}");
}

/// G-2: pictures of a store, with the times of their records.
#[test]
fn pictures_are_one_recording_for_each_store() {
    let picture = |fill: u8| [&[0xFF, 0xD8, 0xFF, 0xE0][..], &[fill; 90], &[0xFF, 0xD9]].concat();
    let mut store = vec![0; 0x4000];
    store[0x100..0x160].copy_from_slice(&picture(1));
    store[0x800..0x860].copy_from_slice(&picture(2));
    store[0x1000..0x1060].copy_from_slice(&picture(3));
    let mut index = Index::pictures(1);
    index.file(0, Some(1), Some(1));
    index.record(0, 0, 0, 0x100, 0x200);
    index.record(0, 1, 5, 0x800, 0x860);
    index.record(0, 2, 2, 0x1000, 0x1060);
    let recorder =
        opened(&tree(vec![index.tree_file("index00p.bin"), file("hiv00000.pic", store)]));
    let found = list(&*recorder);
    let ids: Vec<_> = found.iter().map(|r| (r.id.as_str(), r.state, r.bytes)).collect();
    assert_eq!(
        ids,
        [
            ("hiv00000-pic", RecordingState::Closed, 0x160),
            ("hiv00000-pic-r", RecordingState::Residual, 0x60)
        ]
    );
    assert_eq!(found[0].kind.as_deref(), Some("picture"));
    let stream = recorder.stream(&found[0]).unwrap();
    let mut frames = Vec::new();
    for item in Walk::new(&stream, recorder.parser(&found[0]), 0..stream.map.len()) {
        match item {
            WalkItem::Frame(frame) => frames.push(frame),
            WalkItem::Skipped { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let places: Vec<_> =
        frames.iter().map(|frame| stream.map.map(frame.payload[0].clone())[0]).collect();
    assert_eq!(places, [Extent::new(0x100, 96), Extent::new(0x800, 96)]);
    assert_eq!(frames[1].time.second.unwrap().to_string(), "2025-05-23T11:33:25.000");
    assert_eq!(
        (frames[1].time.millisecond, recorder.native_extension(&found[0])),
        (Some(250), "pic")
    );
}

/// Foreign files are not taken for an index, whatever they are called.
#[test]
fn other_files_are_not_claimed() {
    let mut almost = vec![0; 0x8000];
    almost[8] = 2;
    almost[12] = 1;
    for bytes in [
        vec![0; 0x8000],
        vec![0xFF; 0x8000],
        almost,
        b"SQLite format 3\0 of something else".to_vec(),
    ] {
        assert!(probe(&tree(vec![file("index00.bin", bytes.clone())])).is_empty());
        assert!(probe(&Input::Volume(Volume::whole(Arc::new(bytes)))).is_empty());
    }
    assert!(probe(&tree(vec![])).is_empty());
}

/// Q-6: a header from hell takes no memory and no time.
#[test]
fn sizes_from_the_header_are_not_believed() {
    let mut index = card();
    index.bytes[12..16].copy_from_slice(&100_000u32.to_le_bytes());
    // The file table ends after three entries.
    let input = tree(vec![index.tree_file("index00.bin")]);
    for verdict in probe(&input) {
        let recorder = open(input.clone(), &verdict).unwrap();
        assert!(recorder.recordings().count() < 1000);
    }
    index.bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(probe(&tree(vec![index.tree_file("index00.bin")])).is_empty());
}

/// `show`: the structures of an index and of a media file.
#[test]
fn structures_are_explained_where_they_lie() {
    let index = card();
    let record = index.place(1, 3) as u64;
    let input = tree(vec![index.tree_file("index00.bin"), media("hiv00001.mp4", 0x10_0000)]);
    let recorder = opened(&input);
    let show = |offset, file| {
        let found = recorder.describe(offset, Some(file)).unwrap();
        found.into_iter().map(|structure| structure.name).collect::<Vec<_>>()
    };
    assert_eq!(show(0x18 + 24, "index00.bin"), ["index header", "active slot of channel 1"]);
    assert_eq!(show(0x500 + 40, "index00.bin"), ["file table entry of file 1"]);
    assert_eq!(show(record + 8, "index00.bin"), ["segment record 3 of file 1"]);
    assert!(show(0x2000, "hiv00001.mp4").contains(&"segment 0 of file 1".to_owned()));
    assert!(
        show(0x10_0000 - 1, "hiv00001.mp4").contains(&"key-frame record 0 of segment 0".to_owned())
    );
    let found = recorder.describe(record + 8, Some("index00.bin")).unwrap();
    let start = found[0].fields.iter().find(|field| field.name == "start").unwrap();
    assert!(start.value.starts_with("2025-05-23T11:33:32.250"), "{}", start.value);
    assert!(found[0].purpose.contains("Residual"));
    assert!(recorder.describe(0, Some("elsewhere")).unwrap().is_empty());
}

/// A share of two cameras: who they are, and the log of the device.
#[test]
fn a_share_names_its_camera_and_gives_its_log() {
    let mut info = vec![0; 68];
    info[..9].copy_from_slice(b"DS-2CD123");
    info[0x40] = 3;
    let mut log = vec![0; 0x2000];
    let at = 0x800;
    log[at..at + 8].copy_from_slice(b"RATS\x14\0\0\0");
    log[at + 8..at + 12].copy_from_slice(&DAY.to_le_bytes());
    log[at + 12..at + 16].copy_from_slice(&[3, 0, 0x41, 0]);
    let recorder = opened(&tree(vec![
        file("info.bin", info),
        card().tree_file("datadir0/index00.bin"),
        file("datadir0/logCurFile.bin", log),
    ]));
    assert!(recorder.facts().contains(&("camera serial".to_owned(), "DS-2CD123".to_owned())));
    let missing = texts(&*recorder, FindingKind::NotCarried);
    assert!(missing.iter().any(|text| text.contains("states 3 data folders")), "{missing:?}");
    let events: Vec<_> = recorder.events().map(Result::unwrap).collect();
    assert_eq!((events.len(), events[0].log.as_ref()), (1, "logCurFile.bin"));
    assert_eq!(events[0].file.as_deref(), Some("datadir0/logCurFile.bin"));
    assert_eq!(events[0].time.unwrap().to_string(), "2025-05-23T11:33:20.000");
    let shown = recorder.describe(0x810, Some("datadir0/logCurFile.bin")).unwrap();
    assert_eq!(shown[0].at, events[0].at);
}

/// Both headers gone: the file table tells how many files there are, and the records are read as before.
#[test]
fn an_index_without_its_header_is_read_by_its_file_table() {
    let mut index = card();
    index.bytes[..0x500].fill(0);
    let recorder =
        opened(&tree(vec![index.tree_file("index00.bin"), media("hiv00000.mp4", 0x10_0000)]));
    let found = list(&*recorder);
    assert_eq!(found.len(), 7);
    assert_eq!(found[0].grade, Grade::IndexConflict);
    assert!(texts(&*recorder, FindingKind::Inferred)[0].contains("3 entries"));
}

/// A tree on a share: an entry is one media file, by its block on a disk that does not exist.
#[test]
fn a_recorder_on_a_share_is_read_by_its_tree() {
    use super::disk::{BASE, GIB, Plan};
    let (disk, layout) = Plan::new(30, 10).write();
    let start = layout.trees[0];
    let mut bytes = disk.volume().read(start, layout.tree_bytes).unwrap();
    // Pointers count from the start of the file.
    for at in [0x40, 0x48, 0x50, 0x58, 0x1018] {
        let value = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        bytes[at..at + 8].copy_from_slice(&value.wrapping_sub(start).to_le_bytes());
    }
    let folder = |index: Vec<u8>, mirror: Vec<u8>| {
        tree(vec![
            file("datadir0/index00.bin", index),
            file("datadir0/index01.bin", mirror),
            media("datadir0/hiv00003.mp4", 0x1000),
            media("datadir0/hiv00020.mp4", 0x1000),
        ])
    };
    let recorder = opened(&folder(bytes.clone(), bytes.clone()));
    let found = list(&*recorder);
    assert_eq!(found.len(), 11);
    let third = &found[3];
    assert_eq!(third.file.as_deref(), Some("datadir0/hiv00003.mp4"));
    assert_eq!((third.channel, third.bytes, third.grade), (Some(4), 0x1000, Grade::Indexed));
    assert!(found[4].reasons.iter().any(|reason| reason.text.contains("is file 4")));
    assert!(recorder.stream(&found[4]).err().unwrap().to_string().contains("hiv00004.mp4"));
    let unlisted = texts(&*recorder, FindingKind::NotListed);
    assert!(unlisted.iter().any(|text| text.contains("hiv00020.mp4")), "{unlisted:?}");

    // The mirror serves alone, and what only one copy has is said.
    let recorder = opened(&folder(vec![0x55; bytes.len()], bytes.clone()));
    assert_eq!(list(&*recorder).len(), 11);
    assert!(!texts(&*recorder, FindingKind::DamagedIndex).is_empty());
    let mut other = bytes.clone();
    let block = (BASE + 3 * GIB).to_le_bytes();
    let entry = other.windows(8).position(|window| window == block).unwrap() - 0x20;
    other[entry + 0x1C] ^= 1;
    let recorder = opened(&folder(bytes, other));
    let alone = list(&*recorder);
    assert_eq!(alone.iter().filter(|r| r.grade == Grade::IndexConflict).count(), 2);
    assert!(texts(&*recorder, FindingKind::CopyMismatch)[0].contains("only one of"));
}

/// SQLite indexes as the library itself leaves them, with a log that was never put into the database.
#[cfg(feature = "sqlite")]
mod sqlite {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    const TABLE: &str = "CREATE TABLE record_segment_idx_tb(file_no INTEGER, record_type INTEGER, start_time_tv_sec INTEGER,
        start_time_tv_usec INTEGER, end_time_tv_sec INTEGER, end_time_tv_usec INTEGER, start_offset INTEGER, end_offset INTEGER)";

    fn row(file: u32, start: u32, from: u32, to: u32) -> String {
        let begin = DAY + start;
        format!(
            "INSERT INTO record_segment_idx_tb VALUES ({file}, 3, {begin}, 250000, {}, 500000, {from}, {to})",
            begin + 10
        )
    }

    /// The three files that a camera has when it is switched off: database, log, and mirror without the log.
    fn files() -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch(TABLE).unwrap();
        for n in 0..50 {
            connection.execute_batch(&row(0, n * 20, n * 0x4000, n * 0x4000 + 0x3000)).unwrap();
        }
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        connection.execute_batch(&row(1, 5000, 0, 0x2000)).unwrap();
        connection
            .execute_batch("DELETE FROM record_segment_idx_tb WHERE start_offset = 0x4000")
            .unwrap();
        // Read while the connection is open: closing it would empty the log.
        let log = fs::read(folder.path().join("index-wal")).unwrap();
        (fs::read(&path).unwrap(), log)
    }

    fn folder(database: Vec<u8>, log: Vec<u8>, mirror: Vec<u8>) -> Box<dyn Recorder> {
        opened(&tree(vec![
            file("record_db_index00", database),
            file("record_db_index00-wal", log),
            file("record_db_index01", mirror),
            media("hiv00000.mp4", 0x10_0000),
            media("hiv00001.mp4", 0x10_0000),
            media("hiv00002.mp4", 0x1000),
        ]))
    }

    /// F-2: rows of the log count, and what was deleted in it is residual where the mirror still has it.
    #[test]
    fn a_database_is_read_with_its_log() {
        let (database, log) = files();
        let recorder = folder(database.clone(), log, database);
        let found = list(&*recorder);
        let count = |state| found.iter().filter(|r| r.state == state).count();
        assert_eq!((count(RecordingState::Closed), count(RecordingState::Residual)), (50, 1));
        let last = found.iter().find(|r| r.file.as_deref() == Some("hiv00001.mp4")).unwrap();
        assert_eq!(last.start.unwrap().to_string(), "2025-05-23T12:56:40.250");
        assert_eq!(
            (last.kind.as_deref(), last.bytes, last.channel),
            (Some("motion"), 0x2000, None)
        );
        let stream = recorder.stream(last).unwrap();
        assert_eq!(stream.map.extents().collect::<Vec<_>>(), [Extent::new(0, 0x2000)]);
        assert!(
            texts(&*recorder, FindingKind::Interpretation)[0]
                .contains("write-ahead log are applied")
        );
        assert!(
            texts(&*recorder, FindingKind::NotListed)
                .iter()
                .any(|text| text.contains("hiv00002.mp4"))
        );
    }

    #[test]
    fn damaged_databases_are_findings_and_the_mirror_serves() {
        let (database, log) = files();
        let mut broken = database.clone();
        broken[100..].fill(0x55);
        // The name of the table is what it is recognised by.
        broken[200..221].copy_from_slice(b"record_segment_idx_tb");
        let recorder = folder(broken.clone(), vec![0x55; log.len()], database);
        assert_eq!(list(&*recorder).len(), 50);
        let damaged = texts(&*recorder, FindingKind::DamagedIndex);
        assert!(damaged.iter().any(|text| text.contains("cannot be read")), "{damaged:?}");
        assert!(
            damaged.iter().any(|text| text.contains("record_db_index00-wal is not applied")),
            "{damaged:?}"
        );
        let recorder = folder(broken.clone(), Vec::new(), broken);
        assert!(list(&*recorder).is_empty());
    }

    #[test]
    fn a_database_alone_lists() {
        let (database, _) = files();
        let input = Input::Volume(Volume::whole(Arc::new(database)));
        let recorder = opened(&input);
        let found = list(&*recorder);
        assert_eq!((found.len(), found[0].bytes, &found[0].file), (50, 0x3000, &None));
        assert!(recorder.stream(&found[0]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Q-6: whatever stands in header, file table and records, every recording can be asked for everything.
    #[test]
    fn no_index_makes_it_panic(
        changes in prop::collection::vec((0usize..4, any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..60),
        pictures in any::<bool>(),
    ) {
        let mut index = if pictures { Index::pictures(2) } else { card() };
        for (area, place, bytes) in changes {
            let (from, length) = match area {
                0 => (0, 0x500),
                1 => (0x500, index.files * 32),
                _ => (index.place((area - 2).min(index.files - 1), 0), index.record_bytes * 6),
            };
            let at = (from + place.index(length)).min(index.bytes.len() - 4);
            index.bytes[at..at + 4].copy_from_slice(&bytes);
        }
        let name = if pictures { "index00p.bin" } else { "index00.bin" };
        let input = tree(vec![
            index.tree_file(name), card().tree_file("index01.bin"), media("hiv00000.mp4", 0x9000), media("hiv00001.pic", 0x9000),
        ]);
        for verdict in probe(&input) {
            let Ok(recorder) = open(input.clone(), &verdict) else { continue };
            for recording in recorder.recordings().take(200) {
                let Ok(recording) = recording else { continue };
                let _ = recorder.parser(&recording);
                if let Ok(stream) = recorder.stream(&recording) {
                    prop_assert!(!stream.map.is_empty());
                }
            }
            for offset in [0, 0x20, 0x510, 0x570, 0x5000] {
                let _ = recorder.describe(offset, Some(name));
                let _ = recorder.describe(offset, Some("hiv00000.mp4"));
            }
        }
    }
}
