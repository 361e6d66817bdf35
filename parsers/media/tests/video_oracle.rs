//! MP4 files checked with FFmpeg: decoded frames, packet times, NAL units, decoder configurations.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)] // A test program: a panic is the failure report.

mod support;

use daleel_core::Codec;
use daleel_media::{annexb, h265};
use support::{
    access_units, encode, find_box, frame_hashes, have_encoder, irregular_ticks, jittering_ticks,
    jpeg_units, mux, packets, plain_hashes, run, scratch, store, visual_units, write_video, writer,
};

const X264: &str = "-c:v libx264 -preset ultrafast -bf 0 -g 12 -x264-params aud=1:filler=0 -f h264";
const X265: &str = "-c:v libx265 -preset ultrafast -x265-params \
                    bframes=0:keyint=12:aud=1:repeat-headers=1:log-level=none -f hevc";

/// One kind of stream and what FFmpeg calls it.
struct Case {
    codec: Codec,
    encoder: &'static str,
    arguments: &'static str,
    demuxer: &'static str,
    split: fn(&[u8]) -> Vec<Vec<u8>>,
}

fn h264() -> Case {
    Case {
        codec: Codec::H264,
        encoder: "libx264",
        arguments: X264,
        demuxer: "-f h264",
        split: |stream| access_units(Codec::H264, stream),
    }
}

fn h265() -> Case {
    Case {
        codec: Codec::H265,
        encoder: "libx265",
        arguments: X265,
        demuxer: "-f hevc",
        split: |stream| access_units(Codec::H265, stream),
    }
}

fn mpeg4() -> Case {
    Case {
        codec: Codec::Mpeg4,
        encoder: "mpeg4",
        arguments: "-c:v mpeg4 -g 12 -f m4v",
        demuxer: "-f m4v",
        split: visual_units,
    }
}

fn mjpeg() -> Case {
    Case {
        codec: Codec::Mjpeg,
        encoder: "mjpeg",
        arguments: "-pix_fmt yuvj420p -c:v mjpeg -f mjpeg",
        demuxer: "-f mjpeg",
        split: jpeg_units,
    }
}

/// Frames decode as from the elementary stream; times are those given, the gap included; FFmpeg has nothing to say
/// (X-2, X-7, T-7).
fn plays_exactly(case: &Case) {
    if !have_encoder(case.encoder) {
        return;
    }
    let frames = 50;
    let stream = encode("352x280", frames, case.arguments);
    let units = (case.split)(&stream);
    assert_eq!(units.len(), 50);
    let ticks = irregular_ticks(units.len());
    let file = mux(case.codec, &units, &ticks);

    let dir = scratch();
    let elementary = store(&dir, "stream", &stream);
    let mp4 = store(&dir, "clip.mp4", &file);
    let (wanted, _) = frame_hashes(&elementary, case.demuxer);
    let (decoded, times) = frame_hashes(&mp4, "");
    assert_eq!(decoded, wanted);
    let relative: Vec<i64> = ticks.iter().map(|tick| tick - ticks[0]).collect();
    assert_eq!(times, relative);

    // Without being told to pass times through, FFmpeg drops frames that come closer than the rate it guesses; for
    // JPEG it guesses the mean, which the gap makes useless.
    if case.codec != Codec::Mjpeg {
        let calm = mux(case.codec, &units, &jittering_ticks(units.len()));
        assert_eq!(plain_hashes(&store(&dir, "calm.mp4", &calm)), wanted);
    }

    let rows = packets(&mp4, "v", "pts,dts,duration,flags");
    let mut ends: Vec<i64> = relative[1..].to_vec();
    ends.push(relative[49] + 40);
    for (n, row) in rows.iter().enumerate() {
        let pts = relative[n].to_string();
        assert_eq!(row[..3], [pts.clone(), pts, (ends[n] - relative[n]).to_string()], "packet {n}");
        let key = daleel_media::params::is_key(case.codec, &units[n]).unwrap();
        assert_eq!(row[3].starts_with('K'), key, "packet {n}");
    }
    assert_eq!(rows.len(), 50);
    let shown = run("ffprobe", "-show_entries stream=width,height -of csv=p=0 {}", &mp4).quiet();
    assert_eq!(shown.trim(), "352,280");
}

#[test]
fn h264_plays_exactly() {
    plays_exactly(&h264());
}

#[test]
fn h265_plays_exactly() {
    plays_exactly(&h265());
}

#[test]
fn mpeg4_plays_exactly() {
    plays_exactly(&mpeg4());
}

#[test]
fn mjpeg_plays_exactly() {
    plays_exactly(&mjpeg());
}

fn nals(stream: &[u8]) -> Vec<&[u8]> {
    annexb::nal_units(stream).map(|range| &stream[range]).collect()
}

/// Every NAL unit is in the file byte for byte and in order: in the samples where FFmpeg finds them, and in what FFmpeg
/// writes back.
fn keeps_every_nal_unit(case: &Case, filter: &str, format: &str) {
    if !have_encoder(case.encoder) {
        return;
    }
    let stream = encode("176x144", 30, case.arguments);
    let units = (case.split)(&stream);
    // FFmpeg counts elementary streams in 25ths of a second and complains about closer times.
    let ticks: Vec<i64> = (0..30).map(|n| 7_000 + 43 * n).collect();
    let file = mux(case.codec, &units, &ticks);
    let dir = scratch();
    let mp4 = store(&dir, "clip.mp4", &file);

    let mut found: Vec<&[u8]> = Vec::new();
    for row in packets(&mp4, "v", "size,pos") {
        let (size, at): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        let mut sample = &file[at..at + size];
        while let Some((length, rest)) = sample.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
            found.push(&rest[..length]);
            sample = &rest[length..];
        }
    }
    assert_eq!(found, nals(&stream));

    let arguments = format!("-i {{}} -map 0:v -c copy -bsf:v {filter} -f {format} -");
    let copy = run("ffmpeg", &arguments, &mp4);
    assert_eq!(copy.stderr, "");
    // The H.265 filter puts the sets of the sample entry before each key frame, whether they are there or not.
    let counted = |nal: &&[u8]| case.codec == Codec::H264 || !h265::is_parameter_set(nal);
    let copied: Vec<&[u8]> = nals(&copy.stdout).into_iter().filter(counted).collect();
    let wanted: Vec<&[u8]> = nals(&stream).into_iter().filter(counted).collect();
    assert_eq!(copied, wanted);
}

#[test]
fn every_h264_nal_unit_is_kept() {
    keeps_every_nal_unit(&h264(), "h264_mp4toannexb", "h264");
}

#[test]
fn every_h265_nal_unit_is_kept() {
    keeps_every_nal_unit(&h265(), "hevc_mp4toannexb", "hevc");
}

/// The decoder configuration equals the one FFmpeg makes of the same stream, apart from the H.265 flag that says
/// whether the sets are complete.
fn configuration_matches(case: &Case, arguments: &str, kind: &[u8; 4]) {
    if !have_encoder(case.encoder) {
        return;
    }
    configuration_of_stream_matches(case, &encode("320x200", 3, arguments), kind);
}

fn configuration_of_stream_matches(case: &Case, stream: &[u8], kind: &[u8; 4]) {
    let units = (case.split)(stream);
    let ours = mux(case.codec, &units, &irregular_ticks(units.len()));
    let dir = scratch();
    let elementary = store(&dir, "stream", stream);
    let copied = dir.path().join("copy.mp4");
    let arguments = format!("{} -i {{}} -c copy -f mp4 {}", case.demuxer, copied.to_str().unwrap());
    run("ffmpeg", &arguments, &elementary);
    let theirs = std::fs::read(copied).unwrap();
    let clear_flags = |record: &[u8]| -> Vec<u8> {
        let mut record = record.to_vec();
        if kind == b"hvcC" {
            // Three arrays of one set each, in the order of their types.
            let mut at = 23;
            for _ in 0..record[22].min(3) {
                record[at] &= 0x7f;
                let length = u16::from_be_bytes([record[at + 3], record[at + 4]]);
                at += 5 + usize::from(length);
            }
            record[22] = 3;
            record.truncate(at);
        }
        record
    };
    assert_eq!(clear_flags(find_box(&ours, kind)), clear_flags(find_box(&theirs, kind)));
}

#[test]
fn avc_configuration_is_the_one_ffmpeg_writes() {
    for profile in ["baseline", "main", "high"] {
        let arguments = format!("-profile:v {profile} {X264}");
        configuration_matches(&h264(), &arguments, b"avcC");
    }
    configuration_matches(&h264(), &format!("-pix_fmt yuv444p {X264}"), b"avcC");
    configuration_matches(&h264(), &format!("-pix_fmt yuv422p10le {X264}"), b"avcC");
}

#[test]
fn hevc_configuration_is_the_one_ffmpeg_writes() {
    configuration_matches(&h265(), X265, b"hvcC");
    configuration_matches(&h265(), &format!("-pix_fmt yuv422p10le {X265}"), b"hvcC");
    let rich = X265.replace(
        "log-level",
        "temporal-layers=3:hrd=1:vbv-maxrate=500:vbv-bufsize=500:\
                                          scaling-list=default:sar=5:log-level",
    );
    configuration_matches(&h265(), &rich, b"hvcC");
}

/// States `min_spatial_segmentation_idc` 37 at the end of a sequence parameter set whose VUI does not state it: its
/// last bits are a 0 for that, a 0 for extensions, and the stop bit.
fn with_segmentation(sps: &[u8]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut zeros = 0;
    for &byte in sps {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bits.extend((0..8).rev().map(|bit| byte >> bit & 1 == 1));
    }
    let stop = bits.iter().rposition(|&bit| bit).unwrap();
    bits.truncate(stop - 2);
    // Flag, three flags, ue(37), four times ue(0), no extension, stop bit.
    bits.extend("1000 00000100110 1111 0 1".chars().filter(|c| *c != ' ').map(|c| c == '1'));
    let bytes = bits.chunks(8).map(|bits| {
        bits.iter().zip([128, 64, 32, 16, 8, 4, 2, 1]).map(|(&bit, v)| u8::from(bit) * v).sum()
    });
    let mut nal = Vec::new();
    for byte in bytes {
        if byte <= 3 && nal.ends_with(&[0, 0]) {
            nal.push(3);
        }
        nal.push(byte);
    }
    nal
}

/// The last field that is read lies behind every optional part of a sequence parameter set.
#[test]
fn segmentation_behind_the_optional_parts_is_found() {
    let case = h265();
    if !have_encoder(case.encoder) {
        return;
    }
    for parts in [
        "repeat-headers",
        "hrd=1:vbv-maxrate=500:vbv-bufsize=500:repeat-headers",
        "scaling-list=default:sar=5:temporal-layers=3:repeat-headers",
        "bframes=4:ref=5:no-amp:no-sao:lossless=1:repeat-headers",
        "sar=17\\:16:overscan=show:videoformat=pal:range=full:colorprim=bt709:chromaloc=2:repeat-headers",
    ] {
        let arguments = X265.replace("repeat-headers", parts);
        let stream = encode("320x200", 3, &arguments);
        let mut changed = Vec::new();
        for nal in nals(&stream) {
            changed.extend_from_slice(&[0, 0, 1]);
            if h265::nal_unit_type(nal) == Some(h265::SPS) {
                let sps = with_segmentation(nal);
                let parsed = h265::Sps::parse(&sps).unwrap();
                assert_eq!(parsed.min_spatial_segmentation_idc, 37, "{parts}");
                changed.extend(sps);
            } else {
                changed.extend_from_slice(nal);
            }
        }
        // FFmpeg 5.1 writes 0 behind hypothetical decoder parameters.
        if !parts.contains("hrd") {
            configuration_of_stream_matches(&case, &changed, b"hvcC");
        }
    }
}

/// A clip may begin with frames that nothing on the medium can decode; they are kept, and the decoder starts at the
/// first key frame.
#[test]
fn frames_before_the_first_key_frame_are_kept() {
    for case in [h264(), h265()] {
        if !have_encoder(case.encoder) {
            return;
        }
        let stream = encode("176x144", 30, case.arguments);
        let units = (case.split)(&stream);
        let late = &units[5..]; // the next key frame is the thirteenth
        let mp4_bytes = mux(case.codec, late, &irregular_ticks(late.len()));
        let dir = scratch();
        let mp4 = store(&dir, "clip.mp4", &mp4_bytes);
        let rows = packets(&mp4, "v", "flags");
        assert_eq!(rows.len(), 25);
        let keys: Vec<usize> = (0..25).filter(|&n| rows[n][0].starts_with('K')).collect();
        assert_eq!(keys, [7, 19]);

        let from_key = (case.split)(&stream)[12..].concat();
        let (wanted, _) = frame_hashes(&store(&dir, "stream", &from_key), case.demuxer);
        let said =
            run("ffmpeg", "-i {} -fps_mode passthrough -enc_time_base 1:1000 -f framemd5 -", &mp4);
        let decoded = said.text();
        let decoded: Vec<_> = decoded.lines().filter_map(|line| line.rsplit_once(", ")).collect();
        let tail = &decoded[decoded.len() - wanted.len()..];
        assert!(tail.iter().map(|(_, hash)| *hash).eq(wanted.iter().map(String::as_str)));
    }
}

/// A clip without any key frame still has a table that says so: no sample is a sync sample.
#[test]
fn a_clip_without_a_key_frame_has_no_sync_sample() {
    let case = h264();
    if !have_encoder(case.encoder) {
        return;
    }
    let stream = encode("176x144", 30, case.arguments);
    let units = (case.split)(&stream);
    let mut writer = writer(case.codec);
    let sets = write_video(&mut writer, case.codec, &units[1..12], &irregular_ticks(11));
    assert!(!sets.is_complete());
    let mut sets = sets;
    sets.observe_unit(&units[0]);
    let (_, file) = writer.finish_into(&sets, 40).unwrap();
    assert_eq!(find_box(&file, b"stss"), [0; 8]);
    let dir = scratch();
    let mp4 = store(&dir, "clip.mp4", &file);
    let rows = packets(&mp4, "v", "flags");
    assert_eq!(rows.len(), 11);
    assert!(rows.iter().all(|row| !row[0].starts_with('K')));
}

/// Parameter sets that change within a clip: the sample entry says that they are in the stream, and the picture is
/// right on both sides of the change.
#[test]
fn replaced_parameter_sets_play_from_the_stream() {
    for (case, kind) in [(h264(), b"avc3"), (h265(), b"hev1")] {
        if !have_encoder(case.encoder) {
            return;
        }
        let first = encode("176x144", 12, case.arguments);
        let other = case.arguments.replace("ultrafast", "medium");
        let second = encode("176x144", 12, &other);
        let mut units = (case.split)(&first);
        units.extend((case.split)(&second));
        let file = mux(case.codec, &units, &irregular_ticks(units.len()));
        assert!(file.windows(4).any(|window| window == kind));
        let dir = scratch();
        let both = [first, second].concat();
        let (wanted, _) = frame_hashes(&store(&dir, "stream", &both), case.demuxer);
        let (decoded, _) = frame_hashes(&store(&dir, "clip.mp4", &file), "");
        assert_eq!(decoded, wanted);
    }
}

/// Several `mdat` boxes: chunks are found by their offsets.
#[test]
fn a_clip_of_many_chunks_plays_exactly() {
    let case = h264();
    if !have_encoder(case.encoder) {
        return;
    }
    let arguments = format!("-vf noise=alls=60:allf=t -qp 10 {X264}");
    let stream = encode("640x480", 40, &arguments);
    assert!(stream.len() > 2 * daleel_media::mp4::CHUNK_BYTES, "{}", stream.len());
    let units = (case.split)(&stream);
    let file = mux(case.codec, &units, &irregular_ticks(units.len()));
    assert!(find_box(&file, b"stco").len() >= 8 + 3 * 4);
    let dir = scratch();
    let demuxer = format!("-probesize 50000000 {}", case.demuxer);
    let (wanted, _) = frame_hashes(&store(&dir, "stream", &stream), &demuxer);
    let (decoded, _) = frame_hashes(&store(&dir, "clip.mp4", &file), "");
    assert_eq!(decoded, wanted);
}

/// The longest gap that is accepted (24 days in milliseconds) is read as it is.
#[test]
fn the_longest_gap_is_read_as_it_is() {
    let case = h264();
    if !have_encoder(case.encoder) {
        return;
    }
    let stream = encode("176x144", 3, case.arguments);
    let units = (case.split)(&stream);
    let longest = i64::from(daleel_media::mp4::MAX_DELTA_TICKS);
    let file = mux(case.codec, &units, &[0, longest, 2 * longest]);
    let dir = scratch();
    let rows = packets(&store(&dir, "clip.mp4", &file), "v", "pts");
    let times: Vec<i64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(times, [0, longest, 2 * longest]);
}
