//! Audio tracks checked with FFmpeg: all of it decodes, at the right times, and the video stays as it is.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)] // A test program: a panic is the failure report.

mod support;

use daleel_core::Codec;
use daleel_media::{AudioTrack, MuxError, adts};
use std::path::Path;
use support::{
    access_units, encode, frame_hashes, have_encoder, packets, run, scratch, store, write_video,
    writer,
};

const START: i64 = 5_000_000;
const RATE: u32 = 8_000;

/// A payload of audio and its time in milliseconds from the first video frame.
type Timed = (Vec<u8>, i64);

fn video() -> Vec<Vec<u8>> {
    let arguments = "-c:v libx264 -preset ultrafast -bf 0 -g 25 -f h264";
    access_units(Codec::H264, &encode("176x144", 100, arguments))
}

/// Four seconds of a tone, coded.
fn sound(arguments: &str) -> Vec<u8> {
    let source = "sine=frequency=440:sample_rate=8000:duration=4";
    run("ffmpeg", &format!("-f lavfi -i {source} {arguments} -"), Path::new("")).stdout
}

fn g711(codec: Codec) -> Vec<u8> {
    sound(if codec == Codec::G711A { "-f alaw" } else { "-f mulaw" })
}

/// Payloads of 40 ms, each at its time.
fn in_packets(sound: &[u8], first: i64) -> Vec<Timed> {
    let packets = sound.chunks(320).zip((first..).step_by(40));
    packets.map(|(bytes, time)| (bytes.to_vec(), time)).collect()
}

/// Muxes four seconds of video at 25 frames a second with the audio, in order of time.
fn mux(track: AudioTrack, audio: &[Timed]) -> Vec<u8> {
    let units = video();
    let ticks: Vec<i64> = (0..100).map(|n| START + 40 * n).collect();
    let mut writer = writer(Codec::H264);
    writer.audio_track(track).unwrap();
    let (early, late): (Vec<&Timed>, Vec<&Timed>) =
        audio.iter().partition(|(_, time)| *time < 2_000);
    for (bytes, time) in early {
        writer.audio(bytes, START + time).unwrap();
    }
    let sets = write_video(&mut writer, Codec::H264, &units, &ticks);
    for (bytes, time) in late {
        writer.audio(bytes, START + time).unwrap();
    }
    writer.finish_into(&sets, 40).unwrap().1
}

fn g711_track(codec: Codec) -> AudioTrack {
    AudioTrack { codec, sample_rate: RATE, channels: 1 }
}

/// The packets of a stream: time and duration in audio samples, length in bytes.
fn audio_packets(path: &Path) -> Vec<[i64; 3]> {
    let rows = packets(path, "a", "pts,duration,size");
    rows.iter().map(|row| [0, 1, 2].map(|n: usize| row[n].parse().unwrap())).collect()
}

/// Decoded audio as 16-bit samples with nothing filled in, and the video untouched: 100 frames from 0 on.
fn decoded(path: &Path, input: &str) -> Vec<u8> {
    let (hashes, times) = frame_hashes(path, input);
    assert_eq!(hashes.len(), 100);
    assert_eq!((times[0], times[99]), (0, 3_960));
    let arguments = format!("{input} -i {{}} -map 0:a -f s16le -");
    let said = run("ffmpeg", &arguments, path);
    assert_eq!(said.stderr, "");
    // Both streams at once, and into another file.
    run("ffmpeg", &format!("{input} -i {{}} -f null -"), path).quiet();
    let copy = path.with_extension("copy.mov");
    let copy = copy.to_str().unwrap();
    run("ffmpeg", &format!("{input} -i {{}} -map 0 -c copy -y {copy}"), path).quiet();
    said.stdout
}

/// G.711 as FFmpeg decodes it without a container.
fn reference(codec: Codec, sound: &[u8]) -> Vec<u8> {
    let dir = scratch();
    let path = store(&dir, "sound", sound);
    let format = if codec == Codec::G711A { "alaw" } else { "mulaw" };
    let arguments = format!("-f {format} -ar 8000 -ac 1 -i {{}} -f s16le -");
    run("ffmpeg", &arguments, &path).stdout
}

fn audio_equals_reference(codec: Codec) {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(codec);
    let file = mux(g711_track(codec), &in_packets(&sound, 0));
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &file);
    assert_eq!(decoded(&path, ""), reference(codec, &sound));
    let packets = audio_packets(&path);
    assert_eq!(packets.len(), 100);
    assert!((0i64..).zip(&packets).all(|(n, packet)| *packet == [320 * n, 320, 320]));
}

#[test]
fn a_law_decodes_whole() {
    audio_equals_reference(Codec::G711A);
}

#[test]
fn mu_law_decodes_whole() {
    audio_equals_reference(Codec::G711U);
}

/// Times that jitter by less than a tenth of a second do not tear the sound.
#[test]
fn jitter_is_joined() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    let mut timed = in_packets(&sound, 0);
    for (n, (_, time)) in (0i64..).zip(&mut timed) {
        *time += (n * 37) % 90;
    }
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    assert!(audio_packets(&path).iter().all(|packet| packet[1] == 320));
    assert_eq!(decoded(&path, ""), reference(Codec::G711A, &sound));
}

/// Two seconds without sound stay visible, and the sound after them is where it belongs.
#[test]
fn an_audio_gap_stays_and_moves_nothing() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    let mut timed = in_packets(&sound[..16_000], 0);
    timed.truncate(25);
    timed.extend(in_packets(&sound[8_000..16_000], 3_000));
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    let packets = audio_packets(&path);
    assert_eq!(packets.len(), 50);
    assert_eq!(packets[23], [7_360, 320, 320]);
    assert_eq!(packets[24], [7_680, 320 + 16_000, 320]);
    assert_eq!(packets[25], [24_000, 320, 320]);
    assert_eq!(decoded(&path, ""), reference(Codec::G711A, &sound[..16_000]));
    // With the gap filled by silence the second half begins at three seconds.
    let filled = run("ffmpeg", "-i {} -map 0:a -af aresample=async=1 -f s16le -", &path);
    let wanted = reference(Codec::G711A, &sound[8_000..16_000]);
    assert_eq!(filled.stdout[48_000..64_000], wanted);
}

/// Audio that overlaps the audio before it keeps all its bytes and does not fall behind.
#[test]
fn overlapping_audio_keeps_its_time() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    // The recorder's sample clock runs a quarter fast: 50 packets of 40 ms in 1.6 seconds.
    let timed: Vec<Timed> =
        sound.chunks(320).zip((0i64..).step_by(32)).map(|(b, t)| (b.to_vec(), t)).collect();
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    let packets = audio_packets(&path);
    for (n, packet) in (0i64..).zip(&packets) {
        assert!((packet[0] - 256 * n).abs() <= 1_200, "packet {n}: {packet:?}");
    }
    assert_eq!(packets.len(), 100);
    assert_eq!(decoded(&path, ""), reference(Codec::G711A, &sound));
}

/// Audio that begins after the video is heard later; the video is not moved.
#[test]
fn later_audio_starts_later() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    let timed = in_packets(&sound[..16_000], 1_234);
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    let packets = audio_packets(&path);
    assert_eq!(packets.len(), 50);
    assert_eq!(packets[0], [1_234 * 8, 320, 320]);
    assert_eq!(packets[49], [1_234 * 8 + 49 * 320, 320, 320]);
    assert_eq!(decoded(&path, ""), reference(Codec::G711A, &sound[..16_000]));
}

/// Audio that begins before the video is heard from the first frame on; all of it is in the file.
#[test]
fn earlier_audio_is_skipped_into() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    let timed = in_packets(&sound, -1_010);
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    let all = reference(Codec::G711A, &sound);
    assert_eq!(decoded(&path, ""), all[1_010 * 16..]);
    assert_eq!(decoded(&path, "-ignore_editlist 1"), all);
}

/// Audio of which nothing is heard does not disturb the video.
#[test]
fn audio_wholly_before_the_video_is_silent() {
    if !have_encoder("libx264") {
        return;
    }
    let sound = g711(Codec::G711A);
    let timed = in_packets(&sound[..8_000], -9_000);
    let dir = scratch();
    let path = store(&dir, "clip.mp4", &mux(g711_track(Codec::G711A), &timed));
    let (hashes, times) = frame_hashes(&path, "");
    assert_eq!((hashes.len(), times[0], times[99]), (100, 0, 3_960));
}

fn aac() -> Vec<u8> {
    sound("-c:a aac -f adts")
}

/// AAC loses its ADTS headers and nothing else; several frames in a payload are several samples.
#[test]
fn aac_decodes_as_from_adts() {
    if !have_encoder("libx264") || !have_encoder("aac") {
        return;
    }
    let stream = aac();
    let dir = scratch();
    let adts_path = store(&dir, "sound", &stream);
    let reference = run("ffmpeg", "-f aac -i {} -f s16le -", &adts_path).stdout;
    let track = AudioTrack { codec: Codec::AacAdts, sample_rate: 0, channels: 0 };

    let frames: Vec<&[u8]> = adts::frames(&stream)
        .scan(0usize, |at, (header, _)| {
            let from = *at;
            *at += header.frame_bytes;
            Some(&stream[from..*at])
        })
        .collect();
    let timed: Vec<Timed> =
        frames.chunks(3).zip((0i64..).step_by(384)).map(|(f, t)| (f.concat(), t)).collect();
    let path = store(&dir, "clip.mp4", &mux(track, &timed));
    assert_eq!(decoded(&path, ""), reference);
    let packets = audio_packets(&path);
    assert_eq!(packets.len(), frames.len());
    assert!((0i64..).zip(&packets).all(|(n, packet)| packet[..2] == [1_024 * n, 1_024]));

    let mut gapped = timed.clone();
    gapped.iter_mut().skip(4).for_each(|(_, time)| *time += 1_000);
    let path = store(&dir, "gap.mp4", &mux(track, &gapped));
    let packets = audio_packets(&path);
    assert_eq!(packets[11][1], 1_024 + 8_000);
    assert_eq!(packets[12][0], 12 * 1_024 + 8_000);
    assert_eq!(decoded(&path, ""), reference);

    for shift in [-700, 700] {
        let moved: Vec<Timed> = timed.iter().map(|(f, t)| (f.clone(), t + shift)).collect();
        let path = store(&dir, "moved.mp4", &mux(track, &moved));
        let heard = decoded(&path, "");
        let wanted = if shift < 0 { &reference[700 * 16..] } else { &reference[..] };
        assert_eq!(heard.len(), wanted.len());
    }
}

/// One file has one kind of audio.
#[test]
fn changed_audio_is_refused() {
    let mut writer = writer(Codec::H264);
    assert!(matches!(writer.audio(&[1], 0), Err(MuxError::NoAudioTrack)));
    writer.audio_track(g711_track(Codec::G711A)).unwrap();
    writer.audio_track(g711_track(Codec::G711A)).unwrap();
    let other = writer.audio_track(g711_track(Codec::G711U));
    assert!(matches!(other, Err(MuxError::AudioChanged)));
}
