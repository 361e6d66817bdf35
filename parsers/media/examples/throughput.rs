//! Measures the two hot loops of extraction: splitting NAL units and muxing into nothing.
//!
//! `cargo run --release -p daleel-media --example throughput [ANNEX_B_FILE]`; without a file, 256 MiB of random
//! bytes framed as NAL units of 20 kB.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)] // A measuring program: it prints, and stops when something fails.

use std::time::Instant;

use daleel_core::Codec;
use daleel_media::{Mp4Options, Mp4Writer, ParameterSets, VideoTrack, annexb};
use hex_literal::hex;

/// `ffmpeg -f lavfi -i testsrc2=s=352x288 -frames:v 1 -c:v libx264 -bf 0 -f h264`: the parameter sets.
const SPS: [u8; 25] = hex!("6764000dacb202c12d80880000030008000003019078a15240");
const PPS: [u8; 6] = hex!("68ebc3cb22c0");

fn main() {
    let stream =
        std::env::args().nth(1).map_or_else(synthetic, |path| std::fs::read(path).unwrap());
    let units = split_units(&stream);
    let total: usize = units.iter().map(|unit| unit.len()).sum();
    println!("{} MiB in {} units", total >> 20, units.len());
    for _ in 0..5 {
        let start = Instant::now();
        let nals: usize = units.iter().map(|unit| annexb::nal_units(unit).count()).sum();
        let scan = total as f64 / start.elapsed().as_secs_f64() / 1e6;

        let start = Instant::now();
        mux(&units);
        let muxed = total as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("scan {scan:.0} MB/s ({nals} NAL units), mux {muxed:.0} MB/s");
    }
}

fn mux(units: &[&[u8]]) {
    let options = Mp4Options { video: VideoTrack { codec: Codec::H264, timescale: 1000 } };
    let mut writer = Mp4Writer::new(std::io::sink(), options).unwrap();
    let mut sets = ParameterSets::new(Codec::H264);
    sets.observe(&SPS[..]);
    sets.observe(&PPS[..]);
    for (tick, unit) in (0i64..).step_by(40).zip(units) {
        sets.observe_unit(unit);
        writer.video(unit, false, tick).unwrap();
    }
    writer.finish(&sets, 40).unwrap();
}

/// One payload for each slice NAL unit, with what stands before it.
fn split_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut start = 0;
    for nal in annexb::nal_units(stream) {
        if stream[nal.start] & 0x1f <= 5 {
            units.push(&stream[start..nal.end]);
            start = nal.end;
        }
    }
    units
}

fn synthetic() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut stream = Vec::with_capacity(257 << 20);
    while stream.len() < 256 << 20 {
        stream.extend_from_slice(&[0, 0, 0, 1, 0x41]);
        for _ in 0..2500 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.extend_from_slice(&state.to_le_bytes());
        }
        stream.push(0x80);
    }
    stream
}
