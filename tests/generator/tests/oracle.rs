//! FFmpeg agrees: the footage decodes, its marks read back, and plain files are demuxed.
// Tests assert on bytes of their own making; a panic is the report of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod common;

use std::io::Write;

use common::{decode_gray, ffmpeg_is_here, joined, probe_packets};
use daleel_generator::footage::{AAC_STREAM, Footage, VideoCodec, aac_frames};
use daleel_generator::{bench, read_picture_mark, scenarios, write_scenario};

fn format(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "h264",
        VideoCodec::H265 => "hevc",
        VideoCodec::Mjpeg => "mjpeg",
        VideoCodec::Mpeg4 => "m4v",
    }
}

fn marks(format: &str, size: [u32; 2], stream: &[u8]) -> Vec<Option<(u8, u16)>> {
    let [width, height] = size.map(|side| side as usize);
    let gray = decode_gray(format, stream);
    assert_eq!(gray.len() % (width * height), 0);
    gray.chunks(width * height).map(|frame| read_picture_mark(frame, width, height)).collect()
}

#[test]
fn every_picture_of_the_footage_carries_its_camera_and_number() {
    if !ffmpeg_is_here("picture marks") {
        return;
    }
    for footage in Footage::ALL {
        let found = marks(format(footage.codec()), footage.size(), footage.stream());
        let expected: Vec<_> =
            (0..footage.units().len()).map(|n| Some((footage.camera(), n as u16))).collect();
        assert_eq!(found, expected, "{footage:?}");
    }
}

#[test]
fn ffprobe_counts_as_many_access_units_as_we_do() {
    if !ffmpeg_is_here("access units") {
        return;
    }
    let count = |format: &str, stream: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(stream).unwrap();
        probe_packets(format, file.path())[0].1
    };
    for footage in Footage::ALL {
        let found = count(format(footage.codec()), footage.stream());
        assert_eq!(found, footage.units().len(), "{footage:?}");
    }
    assert_eq!(count("aac", AAC_STREAM), aac_frames().len());
}

#[test]
fn ffprobe_demuxes_plain_files_completely() {
    if !ffmpeg_is_here("dhav demuxer") {
        return;
    }
    let cases: [(&str, &[(&str, usize)]); 9] = [
        ("dav-plain-h264", &[("h264", 200)]),
        ("dav-plain-h265", &[("hevc", 200)]),
        ("dav-audio-alaw", &[("h264", 200), ("pcm_alaw", 126)]),
        ("dav-audio-ulaw", &[("h264", 200), ("pcm_mulaw", 122)]),
        ("dav-audio-aac", &[("aac", 124), ("hevc", 200)]),
        ("dav-audio-pcm16", &[("h264", 200), ("pcm_s16le", 200)]),
        ("dav-dahua-header", &[("h264", 200)]),
        ("dav-ff-filler", &[("hevc", 200)]),
        ("dav-clock-jump", &[("h264", 200)]),
    ];
    for (name, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let truth = write_scenario(name, dir.path(), 1).unwrap();
        let found = probe_packets("dhav", &truth.image_path(dir.path()));
        let expected: Vec<_> = expected.iter().map(|(codec, n)| (codec.to_string(), *n)).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// What the truth calls the payload decodes to the pictures that the truth names.
#[test]
fn recordings_joined_by_their_extents_decode_to_their_marks() {
    if !ffmpeg_is_here("recordings decode") {
        return;
    }
    for (name, number) in
        [("dahua-interleaved", 2), ("dahua-gap", 0), ("dahua-long-frames-first-tags", 0)]
    {
        let scenario = scenarios().iter().find(|scenario| scenario.name == name).unwrap();
        let (image, truth) = scenario.build(1).unwrap();
        let recording = &truth.recordings[number];
        let stream: Vec<u8> =
            recording.video().flat_map(|frame| joined(&image, &frame.payload)).collect();
        let expected: Vec<_> =
            recording.video().map(|f| f.mark.map(|mark| (mark.camera, mark.number))).collect();
        assert_eq!(marks("h264", recording.size.unwrap(), &stream), expected, "{name}");
    }
}

#[test]
fn a_long_stream_decodes_and_is_demuxed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.dav");
    let facts = bench::long_dav(&path, 3_000_000, 4_000_000).unwrap();
    assert!(facts.bytes <= 3_000_000 && facts.bytes > 2_400_000, "{facts:?}");
    assert_eq!(facts.frames, facts.key_frames * 25);
    let rate = facts.bytes * 8000 / facts.milliseconds;
    assert!((3_600_000..4_400_000).contains(&rate), "{rate} bits a second");
    if !ffmpeg_is_here("long stream") {
        return;
    }
    assert_eq!(probe_packets("dhav", &path), [("h264".to_owned(), facts.frames as usize)]);
    let decoded = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "dhav", "-i"])
        .arg(&path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
}
