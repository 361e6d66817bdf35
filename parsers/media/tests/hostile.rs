//! Bytes that come from anywhere: nothing panics, and what is split can be joined.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)] // A test program: a panic is the failure report.

use daleel_core::Codec;
use daleel_media::{
    AudioTrack, Mp4Options, Mp4Writer, MuxError, ParameterSets, VideoTrack, adts, annexb, h264,
    h265, jpeg, mpeg4, params,
    wav::{WavError, WavFormat, WavWriter},
};
use hex_literal::hex;
use proptest::{collection::vec, prelude::*};

const CODECS: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Mpeg4, Codec::Mjpeg];

/// Bytes with many start codes, emulation prevention bytes and parameter set headers among them.
fn coded_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..24),
        Just(vec![0, 0, 1]),
        Just(vec![0, 0, 0, 1]),
        Just(vec![0, 0, 3]),
        Just(vec![0; 5]),
        prop::sample::select(vec![
            vec![0, 0, 1, 0x67],
            vec![0, 0, 1, 0x68],
            vec![0, 0, 1, 0x65],
            vec![0, 0, 1, 0x40, 1],
            vec![0, 0, 1, 0x42, 1],
            vec![0, 0, 1, 0x44, 1],
            vec![0, 0, 1, 0x26, 1],
            vec![0, 0, 1, 0x20],
            vec![0, 0, 1, 0xb6],
            vec![0xff, 0xd8, 0xff, 0xc0],
            vec![0xff, 0xf1, 0x50, 0x80, 0x01, 0x3f, 0xfc, 0, 0],
        ]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A NAL unit: no start code within, no zero byte at the end.
fn nal() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..200).prop_map(|mut bytes| {
        for at in 2..bytes.len() {
            if bytes[at - 2..at] == [0, 0] && bytes[at] <= 3 {
                bytes[at] = 0x80;
            }
        }
        if bytes.last() == Some(&0) {
            bytes.push(0x80);
        }
        bytes
    })
}

/// Start codes as Annex B allows them before a NAL unit, trailing zeros of the one before included.
fn start_code() -> impl Strategy<Value = Vec<u8>> {
    (0usize..6).prop_map(|zeros| [vec![0; zeros], vec![0, 0, 1]].concat())
}

fn options(codec: Codec) -> Mp4Options {
    Mp4Options { video: VideoTrack { codec, timescale: 1000 } }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joined_nal_units_split_into_themselves(
        units in vec((start_code(), nal()), 1..20),
        trailing in 0usize..5,
    ) {
        let mut stream: Vec<u8> = units.iter().flat_map(|(code, nal)| [&code[..], nal].concat()).collect();
        stream.resize(stream.len() + trailing, 0);
        let split: Vec<&[u8]> = annexb::nal_units(&stream).map(|range| &stream[range]).collect();
        let joined: Vec<&[u8]> = units.iter().map(|(_, nal)| nal.as_slice()).collect();
        prop_assert_eq!(split, joined);
        prop_assert_eq!(annexb::nal_units(&stream).stray_bytes(), 0);
    }

    #[test]
    fn nal_units_of_any_bytes_are_apart_and_in_order(bytes in coded_bytes()) {
        let mut at = annexb::nal_units(&bytes).stray_bytes();
        for range in annexb::nal_units(&bytes) {
            prop_assert!(at <= range.start && range.start < range.end && range.end <= bytes.len());
            prop_assert!(bytes[at..range.start].iter().all(|&byte| byte <= 1), "start codes only");
            at = range.end;
        }
    }

    #[test]
    fn readers_take_any_bytes(bytes in coded_bytes()) {
        for kind in [0x67u8, 0x68, 0x40, 0x42, 0x44] {
            let nal = [&[kind, 1], &bytes[..]].concat();
            h264::Sps::parse(&nal);
            h264::parameter_set_id(&nal);
            h265::Sps::parse(&nal);
            h265::Parallelism::parse(&nal);
            h265::parameter_set_id(&nal);
        }
        if let Some(configuration) = mpeg4::configuration(&bytes) {
            mpeg4::size(configuration);
        }
        mpeg4::size(&bytes);
        if let Some(header) = jpeg::frame_header(&bytes) {
            jpeg::size(header);
        }
        adts::frames(&bytes).count();
        adts::sniff(&bytes);
        for codec in CODECS {
            params::is_key(codec, &bytes);
        }
    }

    #[test]
    fn the_rest_of_a_sequence_set_may_be_anything(tail in vec(any::<u8>(), 0..120)) {
        // Up to the VUI of a real set: what follows is read or given up.
        let head = hex!("420101016000000300900000030000030078a003c08010e5");
        h265::Sps::parse(&[&head[..], &tail].concat());
        h264::Sps::parse(&[&hex!("67640028"), &tail[..]].concat());
    }

    #[test]
    fn writers_take_any_bytes(
        which in 0usize..4,
        payloads in vec((coded_bytes(), any::<bool>(), -5i64..100), 1..12),
        sound in vec((coded_bytes(), -300i64..5_000), 0..6),
        aac in any::<bool>(),
    ) {
        let codec = CODECS[which];
        let mut writer = Mp4Writer::new(Vec::new(), options(codec)).unwrap();
        let audio = if aac { Codec::AacAdts } else { Codec::G711A };
        writer.audio_track(AudioTrack { codec: audio, sample_rate: 8_000, channels: 1 }).unwrap();
        let mut sets = ParameterSets::new(codec);
        let (mut tick, mut written) = (0i64, 0u32);
        for (payload, key, step) in &payloads {
            tick += step;
            sets.observe_unit(payload);
            written += u32::from(writer.video(payload, *key, tick).is_ok());
        }
        for (payload, tick) in &sound {
            let _ = writer.audio(payload, *tick);
        }
        let complete = sets.is_complete();
        match writer.finish_into(&sets, 1) {
            Ok((summary, file)) => {
                prop_assert!(complete);
                prop_assert_eq!(summary.video_samples, written);
                prop_assert_eq!(summary.bytes, u64::try_from(file.len()).unwrap());
            }
            Err(error) => prop_assert!(!complete || written == 0, "{error}"),
        }
    }
}

#[test]
fn start_codes_have_three_or_four_bytes() {
    assert!(annexb::starts_with_start_code(&[0, 0, 1, 0x67]));
    assert!(annexb::starts_with_start_code(&[0, 0, 0, 1, 0x67]));
    assert!(!annexb::starts_with_start_code(&[0, 0, 0, 0, 1]));
    assert!(!annexb::starts_with_start_code(&[0, 0]));
    assert_eq!(annexb::nal_units(&[9, 9, 0, 0, 0, 1, 0x67, 0, 0]).stray_bytes(), 2);
    let ranges: Vec<_> = annexb::nal_units(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 7, 8, 0, 0]).collect();
    assert_eq!((ranges.len(), ranges[0].clone()), (1, 10..12), "empty units are passed over");
}

/// What the caller must turn into a finding or a cut is an error, and the writer goes on after it.
#[test]
fn unusable_samples_are_refused_and_leave_no_trace() {
    let mut writer = Mp4Writer::new(Vec::new(), options(Codec::H264)).unwrap();
    let unit = hex!("00000001 6588");
    assert!(matches!(writer.video(&[1, 2, 3], true, 0), Err(MuxError::NoNalUnit(3))));
    assert!(matches!(writer.video(&[], true, 0), Err(MuxError::Empty)));
    writer.video(&unit, true, 10).unwrap();
    let repeated = writer.video(&unit, true, 10);
    assert!(matches!(repeated, Err(MuxError::Time { tick: 10, previous: 10 })));
    let far = 11 + i64::from(u32::MAX);
    assert!(matches!(writer.video(&unit, true, far), Err(MuxError::Gap(_))));
    let sample = writer.video(&[&[0xaa], &unit[..]].concat(), true, 11).unwrap();
    assert_eq!((sample.nal_units, sample.stray_bytes), (1, 1));
    let incomplete = writer.finish(&ParameterSets::new(Codec::H264), 1);
    assert!(matches!(incomplete, Err(MuxError::Incomplete(Codec::H264))));
}

#[test]
fn other_codecs_and_clocks_have_no_track() {
    for codec in [Codec::Pcm16, Codec::Unknown, Codec::Other("G.726")] {
        assert!(matches!(Mp4Writer::new(Vec::new(), options(codec)), Err(MuxError::Codec(_))));
        let mut writer = Mp4Writer::new(Vec::new(), options(Codec::H264)).unwrap();
        let track = AudioTrack { codec, sample_rate: 8_000, channels: 1 };
        assert!(matches!(writer.audio_track(track), Err(MuxError::Codec(_))));
    }
    let still = Mp4Options { video: VideoTrack { codec: Codec::H264, timescale: 0 } };
    assert!(matches!(Mp4Writer::new(Vec::new(), still), Err(MuxError::Timescale(0))));
}

#[test]
fn adts_headers_are_read_and_sniffed() {
    // AAC LC, 8 kHz, mono, nine bytes in all, no check sum.
    let frame = hex!("fff16c400 13ffc 2104");
    let header = adts::AdtsHeader::parse(&frame).unwrap();
    assert_eq!((header.object_type, header.sample_rate()), (2, Some(8_000)));
    assert_eq!((header.channels, header.header_bytes, header.frame_bytes), (1, 7, 9));
    assert_eq!((header.blocks, header.audio_specific_config()), (1, hex!("1588")));
    assert!(adts::sniff(&frame));
    assert!(!adts::sniff(&hex!("d5d5d5d5d5d5d5d5")));
    let two = [&frame[..], &frame, &frame[..8]].concat();
    let mut frames = adts::frames(&two);
    assert_eq!(
        frames.by_ref().map(|(_, block)| block.to_vec()).collect::<Vec<_>>(),
        [[0x21, 4]; 2]
    );
    assert_eq!(frames.rest().len(), 8);
}

#[test]
fn wave_files_have_the_header_of_the_specification() {
    let format = WavFormat { bits: 16, channels: 1, sample_rate: 8_000 };
    let mut writer = WavWriter::new(Vec::new(), format, 4).unwrap();
    writer.write(&[1, 0]).unwrap();
    writer.write(&[2, 0]).unwrap();
    assert!(matches!(writer.write(&[0]), Err(WavError::Length { announced: 4, written: 5 })));
    let wanted = hex!(
        "52494646 28000000 57415645 666d7420 10000000 0100 0100 401f0000 803e0000 0200 1000"
        "64617461 04000000 01000200"
    );
    assert_eq!(writer.finish().unwrap(), wanted);

    let format = WavFormat { bits: 8, channels: 1, sample_rate: 8_000 };
    let mut odd = WavWriter::new(Vec::new(), format, 1).unwrap();
    odd.write(&[0x80]).unwrap();
    assert_eq!(odd.finish().unwrap().len(), 46);
    let short = WavWriter::new(Vec::new(), format, 2).unwrap();
    assert!(matches!(short.finish(), Err(WavError::Length { announced: 2, written: 0 })));
    assert!(matches!(WavWriter::new(Vec::new(), format, 1 << 33), Err(WavError::TooLong(_))));
    let twelve = WavFormat { bits: 12, ..format };
    assert!(matches!(WavWriter::new(Vec::new(), twelve, 0), Err(WavError::Format(_))));
}
