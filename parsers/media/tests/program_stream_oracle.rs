//! Program streams that FFmpeg writes: every byte belongs to a unit, and the time stamps are those FFmpeg reads.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)] // A test program: a panic is the failure report.

mod support;

use std::path::Path;

use daleel_media::ps::{UnitAt, UnitKind, find_pack, is_start_code, unit_at};
use support::{have_encoder, run, scratch, store};

struct Walked {
    video: Vec<u64>,
    audio: Vec<u64>,
    packs: usize,
    mpeg1: usize,
}

/// Walks all units of a stream; every byte must belong to one.
fn walk(stream: &[u8]) -> Walked {
    let mut walked = Walked { video: vec![], audio: vec![], packs: 0, mpeg1: 0 };
    let mut at = 0;
    while at < stream.len() {
        assert!(is_start_code(&stream[at..]), "at {at}");
        // A window that grows as the reader asks for, as when reading a disk.
        let mut length = 1;
        let unit = loop {
            match unit_at(&stream[at..stream.len().min(at + length)], false) {
                UnitAt::NeedMore(needed) => {
                    assert!(needed > length && at + needed <= stream.len());
                    length = needed;
                }
                UnitAt::Unit(unit) => break unit,
                UnitAt::None => panic!("no unit at {at}"),
            }
        };
        match unit.kind {
            UnitKind::Pack(pack) => {
                assert_eq!(find_pack(&stream[at..]), Some(0));
                walked.packs += 1;
                walked.mpeg1 += usize::from(pack.is_mpeg1);
            }
            UnitKind::Pes(pes) => {
                let list = match pes.stream_id {
                    0xE0..=0xEF => &mut walked.video,
                    0xC0..=0xDF => &mut walked.audio,
                    _ => &mut vec![],
                };
                list.extend(pes.pts.map(|pts| pts.ticks));
            }
            UnitKind::SystemHeader | UnitKind::Map(_) | UnitKind::ProgramEnd => {}
        }
        at += unit.length;
    }
    assert_eq!(at, stream.len());
    walked
}

fn muxed(muxer: &str, video: &str, is_mpeg1: bool) {
    if !have_encoder(video) || !have_encoder("mp2") {
        return;
    }
    let inputs = "-f lavfi -i testsrc2=s=352x288:r=25:d=4 -f lavfi -i sine=r=44100:d=4";
    let coding = format!("-pix_fmt yuv420p -threads 1 -c:v {video} -bf 0 -g 12 -c:a mp2");
    let stream = run("ffmpeg", &format!("{inputs} {coding} -f {muxer} -"), Path::new("")).stdout;
    let walked = walk(&stream);
    assert!(walked.packs > 20);
    assert_eq!(walked.mpeg1, if is_mpeg1 { walked.packs } else { 0 });

    let dir = scratch();
    let file = store(&dir, "stream.mpg", &stream);
    for (stream, found) in [("v", &walked.video), ("a", &walked.audio)] {
        // Not parsed into frames, every packet FFmpeg gives is the payload of one PES packet.
        let arguments = format!(
            "-fflags noparse+nofillin -select_streams {stream} -show_entries packet=pts -of csv=p=0 {{}}"
        );
        let rows = run("ffprobe", &arguments, &file).text();
        let stated: Vec<u64> =
            rows.lines().filter_map(|row| row.trim_end_matches(',').parse().ok()).collect();
        assert!(found.len() > 10, "{muxer} {stream}");
        assert_eq!(*found, stated, "{muxer} {stream}");
    }
}

/// X-4, S-4: ISO/IEC 13818-1 packs.
#[test]
fn a_vob_is_walked_whole() {
    muxed("vob", "mpeg2video", false);
}

/// With navigation packets: private stream 2.
#[test]
fn a_dvd_stream_is_walked_whole() {
    muxed("dvd", "mpeg2video", false);
}

/// ISO/IEC 11172-1 packs.
#[test]
fn an_mpeg_1_stream_is_walked_whole() {
    muxed("mpeg", "mpeg1video", true);
}

/// H.264 in a program stream, as recorders write it.
#[test]
fn a_vob_with_h264_is_walked_whole() {
    muxed("vob", "libx264", false);
}
