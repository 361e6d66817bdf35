//! DHFS disks and `.dav` files through the list of families, as the program opens them.

use std::sync::Arc;

use daleel_core::{
    FileTree, Frame, Input, Recorder, Recording, Source, Structure, TreeFile, Volume, Walk,
};
use daleel_formats::identify;

use super::{checks, sectors::SectorDisk};

/// Recordings of one input that are walked. Chains of a small table can share all their clusters.
const RECORDINGS: usize = 32;
/// Bytes of a stream that are walked.
const STREAM_BYTES: u64 = 4 << 20;
/// Log lines that are looked at.
const EVENTS: usize = 1000;
/// Offsets that are described.
const OFFSETS: usize = 12;

/// The bytes are records of [`SectorDisk`]: a disk that any family may recognise, its recordings, their streams, its log,
/// and the explanation of its sectors.
pub fn dahua_disk(records: &[u8]) -> u64 {
    let disk = Arc::new(SectorDisk::new(records));
    let step = (disk.offsets().count() / OFFSETS).max(1);
    // A place of its own in each sector.
    let offsets: Vec<u64> =
        disk.offsets().step_by(step).map(|start| start + start / 512 % 512).collect();
    let input = Input::Volume(Volume::whole(disk));
    open_all(&input, |recorder| {
        let reached = read(recorder, None);
        describe(recorder, offsets.iter().copied(), None);
        reached
    })
}

/// The bytes are a `.dav` file: alone, and as the only file of a folder, where it must give the same.
pub fn dav_stream(bytes: &[u8]) -> u64 {
    let source: Arc<dyn Source> = Arc::new(bytes.to_vec());
    let step = (bytes.len() / OFFSETS).max(1);
    let alone = open_all(&Input::Volume(Volume::whole(Arc::clone(&source))), |recorder| {
        describe(recorder, (0..bytes.len() as u64).step_by(step), None);
        read(recorder, None)
    });
    let path = "a/b.dav";
    let file = TreeFile { path: path.to_owned(), source };
    let in_folder = open_all(&Input::Tree(FileTree { files: vec![file] }), |recorder| {
        describe(recorder, [0, bytes.len() as u64 / 2].into_iter(), Some(path));
        read(recorder, Some(path))
    });
    assert!(in_folder <= alone, "{in_folder} in a folder, {alone} alone");
    alone
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

/// Reads everything an opened input offers; gives the number of frames and log lines.
fn read(recorder: &dyn Recorder, path: Option<&str>) -> u64 {
    assert!(recorder.facts().iter().all(|(name, _)| !name.is_empty()));
    assert!(recorder.findings().iter().all(|finding| !finding.text.is_empty()));
    let mut reached = 0;
    for recording in recorder.recordings().take(RECORDINGS) {
        match recording {
            Ok(recording) => reached += walk(recorder, &recording, path).len() as u64,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for event in recorder.events().take(EVENTS) {
        let text = event.map_or_else(|error| error.to_string(), |event| event.text);
        assert!(!text.contains(char::is_control), "a control character reaches the terminal");
        reached += 1;
    }
    reached
}

fn walk(recorder: &dyn Recorder, recording: &Recording, path: Option<&str>) -> Vec<Frame> {
    assert_eq!(recording.file.as_deref(), path);
    let Ok(stream) = recorder.stream(recording) else { return Vec::new() };
    let range = 0..STREAM_BYTES;
    let frames =
        checks::walk(&stream, Walk::new(&stream, recorder.parser(recording), range.clone()), range);
    let starts = frames
        .iter()
        .filter_map(|frame| Some(stream.map.map(frame.start()..frame.end()).first()?.offset()));
    let entry = recording.index_entry.map(|entry| entry.offset());
    let places = entry.into_iter().chain(recording.first_byte).chain(starts);
    describe(recorder, places.take(4), path);
    frames
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
