//! Dahua disks and streams.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use daleel_core::{FrameKind, Input, Source, Volume, Walk, WalkItem};
use daleel_generator::scenarios;
use daleel_image::RawSource;
use daleel_tests::{
    judge::extract,
    oracle::{ffmpeg, ffprobe},
};

use crate::peer::{DALEEL, decode, marks, run, size_of};

/// Scenarios whose frames are all decodable where the clips begin: FFmpeg has nothing to complain of.
fn is_clean(name: &str) -> bool {
    // These hold frames that are cut, damaged, or whose key frame is not there; they are extracted and marked.
    ![
        "dahua-damaged-frames",
        "dahua-head-cut-gop",
        "dahua-watermark",
        "dav-head-cut",
        "dav-old-mpeg",
    ]
    .contains(&name)
}

/// Done 1 of the ground truth: every .mp4 decodes in FFmpeg without a warning, the decoded count is the truth's, and every picture carries the
/// camera and the number it should.
#[test]
fn every_clip_decodes_to_its_pictures() {
    if ffmpeg().is_none() {
        return;
    }
    let mut clips = 0;
    let mut pictures = 0;
    let dahua = scenarios().iter().filter(|scenario| scenario.family() == "dahua");
    for scenario in dahua.filter(|scenario| is_clean(scenario.name)) {
        let folder = tempfile::tempdir().unwrap();
        let truth = scenario.write(folder.path(), 11).unwrap();
        let extracted =
            extract(DALEEL, &truth.image_path(folder.path()), &folder.path().join("out"), &[]);
        let marks = marks(&truth);
        for found in extracted.found.iter().filter(|found| found.playable) {
            let name = format!("{} {}", scenario.name, found.id);
            let decoded = decode(&name, &found.file, size_of(&extracted, &found.id));
            assert_eq!(decoded.len(), found.frames.len(), "{name}: decoded frames");
            for (picture, line) in decoded.iter().zip(&found.frames) {
                if let Some(Some(mark)) = marks.get(&line.extents[0][0]) {
                    assert_eq!(*picture, Some(*mark), "{name} frame {}", line.n);
                    pictures += 1;
                }
            }
            clips += 1;
        }
    }
    assert!(clips > 100 && pictures > 10_000, "{clips} clips, {pictures} pictures");
}

/// Times in the .mp4 are those of the counter: packet times differ as the frames' counters do, gaps included (T-7, X-7).
#[test]
fn packet_times_follow_the_counter() {
    if ffprobe().is_none() {
        return;
    }
    for name in ["dahua-gap", "dahua-clock-jump", "dahua-four-partitions"] {
        let scenario = scenarios().iter().find(|scenario| scenario.name == name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let truth = scenario.write(folder.path(), 3).unwrap();
        // With a long threshold the gaps of the recording stay inside one clip.
        let out = folder.path().join("out");
        let extracted = extract(
            DALEEL,
            &truth.image_path(folder.path()),
            &out,
            &["--gap", "200000", "--clock-step", "through"],
        );
        let elapsed: BTreeMap<u64, i64> = truth
            .recordings
            .iter()
            .flat_map(|recording| recording.video())
            .map(|frame| (frame.payload[0][0], frame.elapsed_ms))
            .collect();
        for found in &extracted.found {
            let output = run(ffprobe()
                .unwrap()
                .args([
                    "-v",
                    "error",
                    "-select_streams",
                    "v",
                    "-show_entries",
                    "packet=pts",
                    "-of",
                    "csv=p=0",
                ])
                .arg(&found.file));
            let text = String::from_utf8(output.stdout).unwrap();
            let times: Vec<i64> =
                text.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
            let truth: Vec<i64> =
                found.frames.iter().map(|line| elapsed[&line.extents[0][0]]).collect();
            let from_start =
                |times: &[i64]| times.iter().map(|time| time - times[0]).collect::<Vec<_>>();
            assert_eq!(from_start(&times), from_start(&truth), "{name} {}", found.id);
        }
    }
}

/// A packet as a demuxer gives it: sound or picture, size, key flag (pictures only).
type Packet = (bool, u64, bool);

fn ours(file: &Path) -> Vec<Packet> {
    let source: Arc<dyn Source> = Arc::new(RawSource::open(file).unwrap());
    let input = Input::Volume(Volume::whole(source));
    let (family, verdict) = daleel_formats::identify(&input).into_iter().next().unwrap();
    let recorder = (family.open)(input, &verdict).unwrap();
    let recording = recorder.recordings().next().unwrap().unwrap();
    let stream = recorder.stream(&recording).unwrap();
    Walk::new(&stream, recorder.parser(&recording), 0..u64::MAX)
        .filter_map(|item| match item {
            WalkItem::Frame(frame) => match frame.kind {
                FrameKind::Video | FrameKind::Still => {
                    Some((false, frame.payload_len(), frame.key))
                }
                FrameKind::Audio => Some((true, frame.payload_len(), true)),
                FrameKind::Auxiliary => None,
            },
            _ => None,
        })
        .collect()
}

fn theirs(file: &Path) -> Vec<Packet> {
    let output = run(ffprobe()
        .unwrap()
        .args([
            "-v",
            "error",
            "-f",
            "dhav",
            "-show_entries",
            "packet=codec_type,size,flags",
            "-of",
            "csv=p=0",
        ])
        .arg(file));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let mut parts = line.split(',');
            let is_audio = parts.next().unwrap() == "audio";
            let size = parts.next().unwrap().parse().unwrap();
            (is_audio, size, is_audio || parts.next().unwrap().contains('K'))
        })
        .collect()
}

fn by_kind(packets: &[Packet], is_audio: bool) -> Vec<Packet> {
    packets.iter().filter(|packet| packet.0 == is_audio).copied().collect()
}

/// Done 2: FFmpeg's demuxer and ours give the same frames, in count, size and key flags, on every generated .dav without split frames
/// that FFmpeg reads, and on the native exports of disks.
#[test]
fn ffmpeg_demuxes_the_same_frames() {
    if ffprobe().is_none() {
        return;
    }
    let mut compared = 0;
    for scenario in scenarios().iter().filter(|scenario| scenario.family() == "dahua") {
        let folder = tempfile::tempdir().unwrap();
        let truth = scenario.write(folder.path(), 5).unwrap();
        // FFmpeg does not skip an index, begins at the first key frame and takes pieces for frames; those are judged
        // by the truth alone.
        let beyond_ffmpeg = [
            "dav-old-mpeg",
            "dav-split",
            "dav-dhii-first",
            "dav-head-cut",
            "dav-encrypted",
            "dahua-long-frames",
            "dahua-long-frames-first-tags",
            "dahua-encrypted",
            "dahua-stills",
            "dahua-damaged-frames",
            "dahua-parameter-change",
            "dahua-open-recording",
            "dahua-watermark",
            "dahua-mpeg4",
            "dahua-head-cut-gop",
        ];
        if beyond_ffmpeg.contains(&scenario.name) {
            continue;
        }
        let image = truth.image_path(folder.path());
        let mut files = Vec::new();
        if truth.form == "dav" {
            files.push(image);
        } else {
            let extracted = extract(DALEEL, &image, &folder.path().join("out"), &["--native"]);
            files.extend(
                extracted
                    .clips
                    .iter()
                    .map(|clip| folder.path().join("out").join(clip.native.as_ref().unwrap())),
            );
        }
        for file in files {
            let (ours, theirs) = (ours(&file), theirs(&file));
            for is_audio in [false, true] {
                let name = format!("{} {}", scenario.name, file.display());
                assert_eq!(by_kind(&ours, is_audio), by_kind(&theirs, is_audio), "{name}");
            }
            compared += ours.len();
        }
    }
    assert!(compared > 10_000, "{compared} packets");
}

/// Done 2, split frames: FFmpeg counts pieces, so the joined bytes are compared.
#[test]
fn split_frames_join_to_the_same_bytes() {
    if ffmpeg().is_none() {
        return;
    }
    let scenario = scenarios().iter().find(|scenario| scenario.name == "dav-split").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let truth = scenario.write(folder.path(), 5).unwrap();
    let image = truth.image_path(folder.path());
    let theirs = run(ffmpeg()
        .unwrap()
        .args(["-v", "error", "-f", "dhav", "-i"])
        .arg(&image)
        .args(["-map", "0:v", "-c", "copy", "-f", "data", "-"]));
    let bytes = std::fs::read(&image).unwrap();
    let extracted = extract(DALEEL, &image, &folder.path().join("out"), &[]);
    let mut ours = Vec::new();
    for line in extracted.found.iter().flat_map(|found| &found.frames) {
        for [offset, length] in &line.extents {
            ours.extend_from_slice(&bytes[*offset as usize..(offset + length) as usize]);
        }
    }
    assert!(!ours.is_empty());
    assert_eq!(ours, theirs.stdout);
}
