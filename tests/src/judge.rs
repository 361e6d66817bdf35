//! What `extract` wrote, read back as another program would, and compared with the generator's truth.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use daleel::export::records::{ClipJson, FrameJson, OtherJson};
use daleel_core::CivilTime;
use daleel_generator::truth::{Frame, FrameKind, Recording, Truth};

/// A clip or an entry of `other.jsonl` with the lines of its frames file.
pub struct Found {
    /// Its id.
    pub id: String,
    /// Camera.
    pub channel: Option<u32>,
    /// True for a playable clip.
    pub playable: bool,
    /// The .mp4, or the native file.
    pub file: PathBuf,
    /// True for sound without pictures.
    pub is_sound: bool,
    /// Codec.
    pub codec: String,
    /// Grade.
    pub grade: String,
    /// File of a folder that its extents count in.
    pub source_file: Option<String>,
    /// Its frames.
    pub frames: Vec<FrameJson>,
}

/// An output folder.
pub struct Extracted {
    /// The folder.
    pub folder: PathBuf,
    /// Lines of `clips.jsonl`.
    pub clips: Vec<ClipJson>,
    /// Lines of `other.jsonl`.
    pub other: Vec<OtherJson>,
    /// Both, with their frames.
    pub found: Vec<Found>,
    /// `summary.json`.
    pub summary: serde_json::Value,
}

/// Runs the program.
pub fn daleel(binary: &str, arguments: &[&str]) -> Output {
    Command::new(binary).args(arguments).output().unwrap()
}

/// Runs `extract` on an image and reads what it wrote.
///
/// # Panics
/// When it fails.
pub fn extract(binary: &str, image: &Path, folder: &Path, more: &[&str]) -> Extracted {
    let mut arguments = vec!["extract", image.to_str().unwrap(), "--out", folder.to_str().unwrap()];
    arguments.extend(more);
    let output = daleel(binary, &arguments);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    Extracted::read(folder)
}

fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Vec<T> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Extracted {
    /// Reads an output folder.
    ///
    /// # Panics
    /// When it is not as documented.
    pub fn read(folder: &Path) -> Self {
        let clips: Vec<ClipJson> = lines(&folder.join("clips.jsonl"));
        let other: Vec<OtherJson> = lines(&folder.join("other.jsonl"));
        let summary =
            serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap();
        let mut found: Vec<Found> = clips
            .iter()
            .map(|clip| Found {
                id: clip.id.clone(),
                channel: clip.channel,
                playable: true,
                is_sound: false,
                file: folder.join(&clip.file),
                codec: clip.codec.clone(),
                grade: clip.grade.clone(),
                source_file: clip.source_file.clone(),
                frames: lines(&folder.join(&clip.frames_file)),
            })
            .collect();
        found.extend(other.iter().map(|entry| Found {
            id: entry.id.clone(),
            channel: entry.channel,
            playable: false,
            is_sound: entry.kind == "audio",
            file: folder.join(&entry.file),
            codec: entry.codec.clone(),
            grade: entry.grade.clone(),
            source_file: entry.source_file.clone(),
            frames: lines(&folder.join(&entry.frames_file)),
        }));
        Self { folder: folder.to_owned(), clips, other, found, summary }
    }

    /// Where each frame went: file and first payload byte to clip and number.
    fn places(&self) -> Places {
        let mut places = BTreeMap::new();
        for (clip, found) in self.found.iter().enumerate() {
            for (n, frame) in found.frames.iter().enumerate() {
                assert_eq!(frame.n, n as u64, "{}: numbers run from 0", found.id);
                let place = (found.source_file.clone(), frame.extents[0][0]);
                let before = places.insert(place, (clip, n));
                assert!(before.is_none(), "a frame is in one clip only: {} {n}", found.id);
            }
        }
        places
    }

    /// Checks every documented property that needs no truth: sums, counts, order.
    pub fn check_contract(&self) {
        let sums = fs::read_to_string(self.folder.join("SHA256SUMS")).unwrap();
        let listed: BTreeMap<&str, &str> = sums
            .lines()
            .map(|line| line.split_once("  ").map(|(sum, path)| (path, sum)).unwrap())
            .collect();
        let mut files: Vec<String> = fs::read_dir(self.folder.join("clips"))
            .unwrap()
            .map(|entry| format!("clips/{}", entry.unwrap().file_name().to_str().unwrap()))
            .collect();
        files.extend(["clips.jsonl", "other.jsonl", "summary.json"].map(str::to_owned));
        files.sort();
        assert_eq!(listed.keys().map(ToString::to_string).collect::<Vec<_>>(), files);
        for (path, sum) in &listed {
            assert_eq!(&sha256(&self.folder.join(path)), sum, "{path}");
        }
        for clip in &self.clips {
            assert_eq!(listed[clip.file.as_str()], clip.sha256);
            assert!(
                clip.file.ends_with(".mp4") && clip.frames > 0 && clip.width > 0 && clip.height > 0
            );
            assert_eq!(clip.native.is_some(), clip.native_sha256.is_some());
            assert!(!clip.reasons.is_empty());
        }
        for found in &self.found {
            let offsets: Vec<_> = found.frames.iter().map(|frame| &frame.extents).collect();
            assert!(offsets.iter().all(|extents| !extents.is_empty()), "{}", found.id);
        }
        for clip in &self.clips {
            let found =
                self.found.iter().find(|found| found.id == clip.id && found.playable).unwrap();
            assert_eq!(found.frames.len() as u64, clip.frames);
            assert_eq!(found.frames.first().unwrap().time, clip.start);
            assert_eq!(found.frames.last().unwrap().time, clip.end);
        }
    }
}

/// Where frames went, by file and first payload byte.
type Places = BTreeMap<(Option<String>, u64), (usize, usize)>;

/// SHA-256 of a file.
pub fn sha256(path: &Path) -> String {
    use sha2::Digest;
    daleel::export::hashed::hex(&sha2::Sha256::digest(fs::read(path).unwrap()))
}

/// What a comparison allows.
#[derive(Clone, Copy)]
pub struct Allow {
    /// Frames that the truth calls not intact may be left out or reported as damaged; nothing else may differ.
    pub damaged: bool,
    /// Largest uncertainty that a frame may state, in milliseconds: an interval that says nothing would always hold the truth.
    pub uncertain_ms: u64,
}

impl Default for Allow {
    fn default() -> Self {
        Self { damaged: true, uncertain_ms: 502 }
    }
}

/// Compares what was extracted with the truth: every listed frame is there once, in order, in the right channel, with its extents, its
/// second and its true time inside the stated interval; and nothing else is.
///
/// # Panics
/// At the first difference.
pub fn compare(truth: &Truth, extracted: &Extracted, allow: Allow) {
    let places = extracted.places();
    let mut seen = vec![Vec::new(); extracted.found.len()];
    for recording in truth.listed() {
        compare_recording((truth, recording), extracted, &places, &mut seen, allow);
    }
    for (found, seen) in extracted.found.iter().zip(seen) {
        let audio_only = found.is_sound;
        for (n, frame) in found.frames.iter().enumerate() {
            let explained = seen.contains(&n)
                || audio_only
                || (allow.damaged && frame.state != "complete")
                || (["unindexed", "index-conflict"].contains(&found.grade.as_str())
                    && is_unlisted(truth, found, frame));
            assert!(explained, "{} frame {n} is of no listed recording: {frame:?}", found.id);
        }
    }
}

fn compare_recording(
    (truth, recording): (&Truth, &Recording),
    extracted: &Extracted,
    places: &Places,
    seen: &mut [Vec<usize>],
    allow: Allow,
) {
    let mut last: BTreeMap<Lane, (usize, usize)> = BTreeMap::new();
    for (i, frame) in recording.frames.iter().enumerate() {
        if !matches!(frame.kind, FrameKind::Video | FrameKind::Still) {
            continue;
        }
        let name = format!("{} {} frame {i}", truth.scenario, recording.id);
        let place = places.get(&(recording.file.clone(), frame.payload[0][0]));
        let Some(&(clip, n)) = place else {
            assert!(!frame.intact, "{name} is missing ({frame:?})");
            continue;
        };
        seen[clip].push(n);
        let found = &extracted.found[clip];
        let line = &found.frames[n];
        if !frame.intact {
            let is_said = line.state != "complete" || line.reason.is_some();
            assert!(is_said || is_hidden(truth, frame), "{name} is not intact");
            continue;
        }
        assert_eq!(line.extents, frame.payload, "{name}");
        assert_eq!(found.channel, recording.channel, "{name}");
        assert_eq!(line.key, frame.key, "{name}");
        // Frames between encrypted key frames are clear and still cannot be decoded.
        assert_eq!(found.playable, !recording.frames.iter().any(|frame| frame.encrypted), "{name}");
        compare_time(&name, frame, line, allow);
        let kind = if frame.kind == FrameKind::Still { Lane::Still } else { Lane::Video };
        if let Some(before) = last.insert(kind, (clip, n)) {
            let follows = if before.0 == clip { n == before.1 + 1 } else { n == 0 };
            assert!(
                follows || !recording.frames[..i].iter().all(|frame| frame.intact),
                "{name} is out of order"
            );
        }
    }
}

/// True for a frame that no sound index lists: found in a file without the index, or by a damaged one, and said to be so.
fn is_unlisted(truth: &Truth, found: &Found, line: &FrameJson) -> bool {
    truth
        .recordings
        .iter()
        .filter(|recording| !recording.listed && recording.file == found.source_file)
        .flat_map(|recording| &recording.frames)
        .any(|frame| frame.payload == line.extents)
}

/// True where all that is wrong with a frame lies inside the payload of its packets: a program stream has no checksum that would show it.
fn is_hidden(truth: &Truth, frame: &Frame) -> bool {
    let overlap = |[a, a_bytes]: [u64; 2], [b, b_bytes]: [u64; 2]| {
        let (start, end) = (a.max(b), (a + a_bytes).min(b + b_bytes));
        end.saturating_sub(start)
    };
    let touched = |extents: &[[u64; 2]]| -> u64 {
        let each = truth.damage.iter().flat_map(|damage| {
            extents.iter().map(|extent| overlap([damage.offset, damage.length], *extent))
        });
        each.sum()
    };
    frame.stored.is_some() && touched(&frame.extents) == touched(&frame.payload)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Video,
    Still,
}

fn compare_time(name: &str, frame: &Frame, line: &FrameJson, allow: Allow) {
    let time: CivilTime =
        line.time.as_ref().unwrap_or_else(|| panic!("{name} has no time")).parse().unwrap();
    let truth: CivilTime = frame.true_time.parse().unwrap();
    if !frame.stored_second.is_empty() {
        let stored: CivilTime = frame.stored_second.parse().unwrap();
        assert_eq!(time.whole_second(), stored, "{name}: the stored second is exact");
    }
    // A date with milliseconds is the frame's time, to the millisecond.
    if let Some(stored) = frame.stored.as_ref().and_then(|stored| stored.time.as_ref()) {
        let stored: CivilTime = stored.parse().unwrap();
        // Milliseconds of 0 may not be filled in; then the time stamps tell more than the date.
        let is_known = stored.millis().rem_euclid(1000) != 0;
        let shown = if is_known { time } else { time.whole_second() };
        assert_eq!(shown, stored, "{name}: the stored date is exact");
    }
    let off = time.millis().abs_diff(truth.millis());
    let stated = line.uncertainty_ms.unwrap();
    assert!(stated <= allow.uncertain_ms, "{name}: {stated} ms of uncertainty");
    assert!(off <= stated, "{name}: {time} is {off} ms off {truth}, stated are {stated}");
}
