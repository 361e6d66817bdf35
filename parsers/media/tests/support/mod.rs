//! What the tests against FFmpeg share: running it, and cutting elementary streams into access units.
#![allow(dead_code)] // Each test program uses its part.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use daleel_core::Codec;
use daleel_media::{Mp4Options, Mp4Writer, ParameterSets, VideoTrack, annexb};

/// Whether FFmpeg is there. Says so when not; panics instead when `DALEEL_REQUIRE_ORACLES` is set.
pub fn have_ffmpeg() -> bool {
    let runs = |program| {
        let status = Command::new(program).arg("-version").stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let there = runs("ffmpeg") && runs("ffprobe");
    if !there {
        assert!(
            std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(),
            "DALEEL_REQUIRE_ORACLES is set and ffmpeg was not found"
        );
        eprintln!("SKIPPED: ffmpeg not found");
    }
    there
}

/// Whether this FFmpeg has an encoder; as [`have_ffmpeg`] when not.
pub fn have_encoder(name: &str) -> bool {
    if !have_ffmpeg() {
        return false;
    }
    let list = Command::new("ffmpeg").args(["-v", "quiet", "-encoders"]).output().unwrap();
    let there = String::from_utf8_lossy(&list.stdout).split_whitespace().any(|word| word == name);
    if !there {
        assert!(
            std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(),
            "DALEEL_REQUIRE_ORACLES is set and ffmpeg has no encoder {name}"
        );
        eprintln!("SKIPPED: ffmpeg has no encoder {name}");
    }
    there
}

/// What a program said.
pub struct Said {
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// The output, after checking that there was no warning.
    pub fn quiet(self) -> String {
        assert_eq!(self.stderr, "", "a warning");
        self.text()
    }
}

/// Runs a program with `-v warning` and the arguments, words split at spaces, `{}` replaced by `path`.
pub fn run(program: &str, arguments: &str, path: &Path) -> Said {
    let path = path.to_str().unwrap();
    let words = arguments.split_whitespace().map(|word| word.replace("{}", path));
    let mut command = Command::new(program);
    command.args(["-v", "warning"]).args(words).stdin(Stdio::null());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {stderr}");
    Said { stdout: output.stdout, stderr }
}

/// Encodes a test picture; `arguments` choose the codec and end in the output format.
pub fn encode(size: &str, frames: u32, arguments: &str) -> Vec<u8> {
    let source = format!("testsrc2=s={size}:r=25");
    let arguments = format!(
        "-f lavfi -i {source} -frames:v {frames} -pix_fmt yuv420p -threads 1 {arguments} -"
    );
    run("ffmpeg", &arguments, Path::new("")).stdout
}

/// Decoded frame hashes, and the times of the frames.
pub fn frame_hashes(path: &Path, input: &str) -> (Vec<String>, Vec<i64>) {
    let arguments = format!(
        "{input} -i {{}} -map 0:v -fps_mode passthrough -enc_time_base 1:1000 -f framemd5 -"
    );
    let text = run("ffmpeg", &arguments, path).quiet();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split(',').map(str::trim).collect();
            (fields[5].to_owned(), fields[2].parse::<i64>().unwrap())
        })
        .unzip()
}

/// Decoded frame hashes of all streams as FFmpeg gives them without being told anything about times.
pub fn plain_hashes(path: &Path) -> Vec<String> {
    let text = run("ffmpeg", "-i {} -f framemd5 -", path).quiet();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(", ").unwrap().1.to_owned()).collect()
}

/// `packet=` fields of a stream, one row a packet.
pub fn packets(path: &Path, stream: &str, fields: &str) -> Vec<Vec<String>> {
    let arguments =
        format!("-select_streams {stream} -show_entries packet={fields} -of compact=p=0:nk=1 {{}}");
    let text = run("ffprobe", &arguments, path).quiet();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// Access units of an H.264 or H.265 stream: a slice that begins a picture ends the unit before it, with the
/// NAL units between.
pub fn access_units(codec: Codec, stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut has_slice = true;
    for range in annexb::nal_units(stream) {
        let nal = &stream[range];
        let (slice, first, suffix) = match codec {
            Codec::H264 => (matches!(nal[0] & 31, 1..=5), nal[1] & 0x80 != 0, false),
            _ => (nal[0] >> 1 < 32, nal[2] & 0x80 != 0, nal[0] >> 1 == 40),
        };
        if has_slice && !suffix && (!slice || first) {
            units.push(Vec::new());
            has_slice = false;
        }
        has_slice |= slice;
        let unit = units.last_mut().unwrap();
        unit.extend_from_slice(if unit.is_empty() { &[0, 0, 0, 1] } else { &[0, 0, 1] });
        unit.extend_from_slice(nal);
    }
    units
}

/// Pictures of an MPEG-4 part 2 stream, each with the headers before it.
pub fn visual_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = Vec::new();
    let mut has_picture = true;
    for at in 0..stream.len() - 3 {
        if stream[at..at + 3] == [0, 0, 1] {
            let picture = stream[at + 3] == 0xb6;
            if has_picture {
                starts.push(at);
                has_picture = false;
            }
            has_picture |= picture;
        }
    }
    starts.push(stream.len());
    starts.windows(2).map(|w| stream[w[0]..w[1]].to_vec()).collect()
}

/// Pictures of a stream of JPEG files.
pub fn jpeg_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> =
        (0..stream.len() - 2).filter(|&at| stream[at..at + 3] == [0xff, 0xd8, 0xff]).collect();
    starts.push(stream.len());
    starts.windows(2).map(|w| stream[w[0]..w[1]].to_vec()).collect()
}

/// Times of `count` frames that are irregular, down to a millisecond apart, with 10 seconds missing after half of them.
pub fn irregular_ticks(count: usize) -> Vec<i64> {
    ticks(count, [40, 37, 43, 61, 1])
}

/// As [`irregular_ticks`], but the frames as far apart as a recorder's that aims at 25 a second.
pub fn jittering_ticks(count: usize) -> Vec<i64> {
    ticks(count, [40, 37, 43, 61, 33])
}

fn ticks(count: usize, steps: [i64; 5]) -> Vec<i64> {
    let mut tick = 1_700_000_000_123i64;
    (0..count)
        .map(|n| {
            let now = tick;
            tick += steps[n % 5] + if n + 1 == count / 2 { 10_000 } else { 0 };
            now
        })
        .collect()
}

/// A directory for the files of one test.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file into a directory.
pub fn store(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A writer into memory with a clock of milliseconds.
pub fn writer(codec: Codec) -> Mp4Writer<Vec<u8>> {
    Mp4Writer::new(Vec::new(), Mp4Options { video: VideoTrack { codec, timescale: 1000 } }).unwrap()
}

/// Muxes access units at the ticks given; all of them come back as the parameter sets say.
pub fn mux(codec: Codec, units: &[Vec<u8>], ticks: &[i64]) -> Vec<u8> {
    let mut writer = writer(codec);
    let sets = write_video(&mut writer, codec, units, ticks);
    let (summary, file) = writer.finish_into(&sets, 40).unwrap();
    assert_eq!(summary.bytes, u64::try_from(file.len()).unwrap());
    assert_eq!(usize::try_from(summary.video_samples).unwrap(), units.len());
    file
}

/// Writes the video and collects its parameter sets.
pub fn write_video(
    writer: &mut Mp4Writer<Vec<u8>>,
    codec: Codec,
    units: &[Vec<u8>],
    ticks: &[i64],
) -> ParameterSets {
    let mut sets = ParameterSets::new(codec);
    for (unit, &tick) in units.iter().zip(ticks) {
        sets.observe_unit(unit);
        let key = daleel_media::params::is_key(codec, unit).unwrap();
        writer.video(unit, key, tick).unwrap();
    }
    sets
}

/// The body of the first box of a kind, by its bytes: enough for the small files of tests.
pub fn find_box<'a>(file: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    let at = file.windows(4).rposition(|w| w == kind).unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap());
    &file[at + 4..at - 4 + usize::try_from(size).unwrap()]
}
