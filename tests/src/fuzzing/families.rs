//! Recorder disks, cards and streams in files through the list of families, as the program opens them.

use std::{ops::Range, sync::Arc};

use daleel_core::{
    FileTree, Frame, Grade, Input, Recorder, Recording, RecordingState, Source, Stream, Structure,
    TreeFile, Volume, Walk,
};
use daleel_formats::identify;

use super::{
    checks,
    sectors::{SECTOR_BYTES, SectorDisk},
};

/// Recordings of one input that are walked. Chains of a small table can share all their clusters.
const RECORDINGS: usize = 32;
/// Bytes of a stream that are walked.
const STREAM_BYTES: u64 = 4 << 20;
/// Log lines that are looked at.
const EVENTS: usize = 1000;
/// Offsets that are described.
const OFFSETS: usize = 12;
/// Recordings of which two places are described. A place is searched for backwards from each, which takes most of a run.
const DESCRIBED: usize = 4;
/// Offsets of a card that are described.
const CARD_OFFSETS: usize = 4;
/// Families whose channels are numbers from 1 to 254.
const NUMBERED: &str = "hikvision";
/// The family that gives every byte of a disk to one recording at most, whatever its index says.
const DIVIDED: &str = "hikvision-disk";

/// The bytes are records of [`SectorDisk`]: a disk that any family may recognise, its recordings, their streams, its log,
/// and the explanation of its sectors.
pub fn disk(records: &[u8]) -> u64 {
    let disk = SectorDisk::new(records);
    let offsets = places(&disk, OFFSETS);
    let input = Input::Volume(Volume::whole(Arc::new(disk)));
    open_all(&input, |recorder| {
        let reached = read(recorder, &[]);
        describe(recorder, offsets.iter().copied(), None);
        reached
    })
}

/// The bytes are a `.dav` file.
pub fn dav_stream(bytes: &[u8]) -> u64 {
    stream(bytes, "a/b.dav")
}

/// The bytes are a program stream, with or without a file header.
pub fn hikvision_stream(bytes: &[u8]) -> u64 {
    stream(bytes, "a/b.mp4")
}

/// A file alone, and as the only file of a folder, where it must give the same.
fn stream(bytes: &[u8], path: &str) -> u64 {
    let source: Arc<dyn Source> = Arc::new(bytes.to_vec());
    let step = (bytes.len() / OFFSETS).max(1);
    let alone = open_all(&Input::Volume(Volume::whole(Arc::clone(&source))), |recorder| {
        describe(recorder, (0..bytes.len() as u64).step_by(step), None);
        read(recorder, &[])
    });
    let file = TreeFile { path: path.to_owned(), source };
    let in_folder = open_all(&Input::Tree(FileTree { files: vec![file] }), |recorder| {
        describe(recorder, [0, bytes.len() as u64 / 2].into_iter(), Some(path));
        read(recorder, &[path])
    });
    assert!(in_folder <= alone, "{in_folder} in a folder, {alone} alone");
    alone
}

/// The bytes are records of [`SectorDisk`], each region of them a file of a card: the index, a media file, what makes the mirror
/// of the index differ (alone it is the log of a database), another media file or the system log. The index is read alone,
/// then with the files beside it, then with its mirror too.
pub fn hikvision_files(records: &[u8]) -> u64 {
    let Some(index) = SectorDisk::file(records, &[0]) else { return 0 };
    let offsets = places(&index, CARD_OFFSETS);
    let alone = open_all(&Input::Volume(Volume::whole(Arc::new(index))), |recorder| {
        describe(recorder, offsets.iter().copied(), None);
        read(recorder, &[])
    });
    let mut files: Vec<TreeFile> =
        CARD.iter().filter_map(|file| card_file(records, file)).collect();
    let beside = folder(&files, &offsets);
    let mirror: Vec<_> = MIRROR.iter().filter_map(|file| card_file(records, file)).collect();
    if mirror.is_empty() {
        return alone + beside;
    }
    files.extend(mirror);
    alone + beside + folder(&files, &offsets)
}

/// Path of a file of a card, and the regions it is made of.
type CardFile = (&'static str, &'static [usize]);

const CARD: [CardFile; 6] = [
    ("a/index00.bin", &[0]),
    ("a/index00p.bin", &[0]),
    ("a/hiv00000.mp4", &[1]),
    ("a/hiv00000.pic", &[1]),
    ("a/hiv00001.mp4", &[3]),
    ("a/logMainFile.bin", &[3]),
];
const MIRROR: [CardFile; 2] = [("a/index01.bin", &[0, 2]), ("a/index00.bin-wal", &[2])];

fn card_file(records: &[u8], (path, regions): &CardFile) -> Option<TreeFile> {
    let file = SectorDisk::file(records, regions)?;
    Some(TreeFile { path: (*path).to_owned(), source: Arc::new(file) })
}

fn folder(files: &[TreeFile], offsets: &[u64]) -> u64 {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    open_all(&Input::Tree(FileTree { files: files.to_vec() }), |recorder| {
        for (path, offset) in paths.iter().cycle().zip(offsets) {
            describe(recorder, [*offset].into_iter(), Some(path));
        }
        read(recorder, &paths)
    })
}

/// About as many places of a disk, each in a sector of its own, and not always at its begin.
fn places(disk: &SectorDisk, count: usize) -> Vec<u64> {
    let step = (disk.offsets().count() / count).max(1);
    let sector = SECTOR_BYTES as u64;
    disk.offsets().step_by(step).take(count).map(|start| start + start / sector % sector).collect()
}

/// Opens an input as every layout it is recognised as.
fn open_all(input: &Input, mut look: impl FnMut(&dyn Recorder) -> u64) -> u64 {
    let mut reached = 0;
    let mut before = 100;
    for (family, verdict) in identify(input) {
        assert!((1..=before).contains(&verdict.score), "best first: {verdict:?}");
        assert_eq!(verdict.family, family.name);
        before = verdict.score;
        reached += 1;
        match (family.open)(input.clone(), &verdict) {
            Ok(recorder) => reached += look(&*recorder),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    reached
}

/// Reads everything an opened input offers; gives the number of frames and log lines. `paths` are the files of a folder.
fn read(recorder: &dyn Recorder, paths: &[&str]) -> u64 {
    assert!(recorder.facts().iter().all(|(name, _)| !name.is_empty()));
    assert!(recorder.findings().iter().all(|finding| !finding.text.is_empty()));
    let mut reached = 0;
    let mut given = Vec::new();
    for (number, recording) in recorder.recordings().take(RECORDINGS).enumerate() {
        match recording {
            Ok(recording) => {
                check_recording(&recording, recorder.verdict().family, paths);
                let places = if number < DESCRIBED { 2 } else { 0 };
                reached += walk(recorder, &recording, &mut given, places);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if recorder.verdict().family == DIVIDED {
        checks::check_disjoint(given);
    }
    for event in recorder.events().take(EVENTS) {
        let text = event.map_or_else(|error| error.to_string(), |event| event.text);
        assert!(!text.contains(char::is_control), "a control character reaches the terminal");
        reached += 1;
    }
    reached
}

fn check_recording(recording: &Recording, family: &str, paths: &[&str]) {
    match recording.file.as_deref() {
        // An index can name files that are not there.
        Some(_) => assert!(!paths.is_empty(), "{recording:?}"),
        None => assert!(paths.is_empty(), "{recording:?}"),
    }
    let is_listed = recording.state != RecordingState::Residual;
    let is_indexed = matches!(recording.grade, Grade::Indexed | Grade::IndexConflict);
    assert!(is_listed || !is_indexed, "no longer shown, yet indexed: {recording:?}");
    if is_listed && family.starts_with(NUMBERED) {
        let is_number = |channel| (1..=254).contains(&channel);
        assert!(recording.channel.is_none_or(is_number), "{recording:?}");
    }
}

/// Walks a recording's stream, and describes as many `places` of it; gives the number of its frames, and adds the bytes of their
/// payload to those given.
fn walk(
    recorder: &dyn Recorder,
    recording: &Recording,
    given: &mut Vec<Range<u64>>,
    places: usize,
) -> u64 {
    let Ok(stream) = recorder.stream(recording) else { return 0 };
    check_place(&stream, recording);
    let range = 0..STREAM_BYTES;
    let frames =
        checks::walk(&stream, Walk::new(&stream, recorder.parser(recording), range.clone()), range);
    if recording.state != RecordingState::Residual {
        let payload = frames.iter().flat_map(|frame| &frame.payload);
        let extents = payload.flat_map(|range| stream.map.map(range.clone()));
        given.extend(extents.map(|extent| extent.offset()..extent.end()));
    }
    let entry = recording.index_entry.map(|entry| entry.offset());
    let all = entry.into_iter().chain(recording.first_byte).chain(starts(&stream, &frames));
    describe(recorder, all.take(places), recording.file.as_deref());
    frames.len() as u64
}

/// The stream of a file lies in the file. An image can end before its disk does: a stream may go on behind its end, where all
/// is a hole, but not for longer than the index says.
fn check_place(stream: &Stream, recording: &Recording) {
    let end = stream.map.extents().map(|extent| extent.end()).max().unwrap_or(0);
    let is_inside = end <= stream.source.len();
    let is_claimed = recording.file.is_none() && stream.map.len() <= recording.bytes;
    assert!(
        is_inside || is_claimed,
        "up to {end} of {}, {} bytes: {recording:?}",
        stream.source.len(),
        stream.map.len()
    );
}

fn starts<'a>(stream: &'a Stream, frames: &'a [Frame]) -> impl Iterator<Item = u64> + 'a {
    let first = |frame: &Frame| Some(stream.map.map(frame.start()..frame.end()).first()?.offset());
    frames.iter().filter_map(first)
}

fn describe(recorder: &dyn Recorder, offsets: impl Iterator<Item = u64>, path: Option<&str>) {
    for offset in offsets.take(OFFSETS) {
        match recorder.describe(offset, path) {
            Ok(structures) => structures.iter().for_each(check_structure),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn check_structure(structure: &Structure) {
    assert!(!structure.name.is_empty());
    for field in &structure.fields {
        assert!(!field.name.is_empty());
        assert!(field.raw.len() <= 4096, "{} bytes shown of one field", field.raw.len());
        assert!(!field.value.contains(char::is_control), "{field:?}");
    }
}
