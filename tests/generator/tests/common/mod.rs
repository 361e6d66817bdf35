//! Helpers of the tests: FFmpeg as an independent judge, and bytes of an image by extent.
#![allow(dead_code)] // every test binary uses a part of it

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use daleel_generator::image::Image;
use daleel_generator::truth::Extent;

/// The bytes of extents, joined.
pub fn joined(image: &Image, extents: &[Extent]) -> Vec<u8> {
    extents.iter().flat_map(|[offset, length]| image.read(*offset, *length as usize)).collect()
}

/// True when FFmpeg is here. Without it the test says so and passes, or fails where
/// `DALEEL_REQUIRE_ORACLES` is set.
pub fn ffmpeg_is_here(test: &str) -> bool {
    let here = ["ffmpeg", "ffprobe"].iter().all(|program| {
        let mut command = Command::new(program);
        command.arg("-version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    if !here {
        assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "{test}: FFmpeg is missing");
        println!("SKIPPED: {test}: FFmpeg is not installed");
    }
    here
}

/// Decodes an elementary stream to gray pictures, joined.
pub fn decode_gray(format: &str, stream: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(stream).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", format, "-i"])
        .arg(file.path())
        .args(["-vsync", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Codec name and packet count of every stream, sorted, as ffprobe sees a file.
pub fn probe_packets(format: &str, path: &Path) -> Vec<(String, usize)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-f", format, "-count_packets"])
        .args(["-show_entries", "stream=codec_name,nb_read_packets", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut streams: Vec<(String, usize)> = text
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(name, count)| (name.to_owned(), count.trim_end_matches(',').parse().unwrap()))
        .collect();
    streams.sort();
    streams
}
