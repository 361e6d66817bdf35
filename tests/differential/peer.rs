//! FFmpeg as the judge: what it decodes, and what it says meanwhile.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use daleel_generator::{read_picture_mark, truth};
use daleel_tests::{
    judge::Extracted,
    oracle::{ffmpeg, ffprobe},
};

/// The program that is judged.
pub const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");

/// Runs a program that must not fail.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Coded size of a clip's pictures.
pub fn size_of(extracted: &Extracted, id: &str) -> (usize, usize) {
    let clip = extracted.clips.iter().find(|clip| clip.id == id).unwrap();
    (clip.width as usize, clip.height as usize)
}

/// Picture marks by first payload byte.
pub fn marks(truth: &truth::Truth) -> BTreeMap<u64, Option<(u32, u32)>> {
    let frames = truth.recordings.iter().flat_map(|recording| &recording.frames);
    frames
        .map(|frame| {
            let mark = frame.mark.map(|mark| (u32::from(mark.camera), u32::from(mark.number)));
            (frame.payload[0][0], mark)
        })
        .collect()
}

/// Decodes a file; FFmpeg must not say a word. Gives what each picture carries.
pub fn decode(name: &str, file: &Path, (width, height): (usize, usize)) -> Vec<Option<(u32, u32)>> {
    let output = run(ffmpeg().unwrap().args(["-v", "warning", "-i"]).arg(file).args([
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:1000",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]));
    // What the scaler says of JPEG's own range is about the conversion to grey made here.
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> =
        said.lines().filter(|line| !line.contains("deprecated pixel format used")).collect();
    assert_eq!(said, Vec::<&str>::new(), "{name}");
    // The whole file, sound included, into nothing: no warning there either.
    let whole = run(ffmpeg().unwrap().args(["-v", "warning", "-i"]).arg(file).args([
        "-fps_mode",
        "passthrough",
        "-enc_time_base:v",
        "1:1000",
        "-f",
        "null",
        "-",
    ]));
    assert_eq!(String::from_utf8_lossy(&whole.stderr), "", "{name}");
    let shown = output.stdout.len() / (width * height);
    let cropped = (shown * width * height != output.stdout.len()).then(|| shown_size(file));
    let (width, height) = cropped.unwrap_or((width, height));
    output
        .stdout
        .chunks(width * height)
        .map(|picture| {
            read_picture_mark(picture, width, height)
                .map(|(camera, number)| (u32::from(camera), u32::from(number)))
        })
        .collect()
}

/// Size that is shown, where the coded picture is cropped.
fn shown_size(file: &Path) -> (usize, usize) {
    let output = run(ffprobe()
        .unwrap()
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(file));
    let text = String::from_utf8(output.stdout).unwrap();
    let (width, height) = text.trim().split_once(',').unwrap();
    (width.parse().unwrap(), height.parse().unwrap())
}
