//! A program stream map and its descriptors explained.

use std::ops::Range;

use daleel_core::{Evidence, Extent, Structure};
use daleel_media::ps::{Descriptor, MapCrc, ProgramMap, Unit, descriptors};

use super::Shown;
use crate::hikvision::{
    codecs,
    descriptors::{self as vendor, Parsed},
};

use Evidence::{Confirmed as C, Inferred as I, SingleSource as S, Unknown as U};

/// The map, then each of its descriptors.
pub(super) fn structures(mut shown: Shown<'_>, map: &ProgramMap, unit: &Unit) -> Vec<Structure> {
    let (bytes, at) = (shown.bytes, shown.at);
    shown.start_code();
    shown.length();
    let version = map.version.to_string();
    shown.add(6..8, "version", version, "whether it is in force, and its number", C);
    let info = map.info.clone();
    let length = info.len().to_string();
    shown.add(8..10, "program info length", length, "bytes of descriptors that follow", C);
    let list = info.end..info.end.saturating_add(2);
    shown.add(list, "stream list length", "", "bytes of streams that follow", C);
    for stream in &map.streams {
        let head = stream.info.start.saturating_sub(4)..stream.info.start;
        let value = format!("{:02X}h as stream {:02X}h", stream.stream_type, stream.stream_id);
        let name = codecs::stream_type_name(stream.stream_type);
        shown.add(head, "stream", value, name, C);
    }
    let crc = bytes.len().saturating_sub(4)..bytes.len();
    let value = match map.crc {
        MapCrc::Holds => "holds",
        MapCrc::HoldsReversed => "holds, its bytes reversed",
        MapCrc::Zero => "zero: not filled in",
        MapCrc::Differs => "does not hold",
    };
    shown.add(crc, "CRC-32", value, "stored with its bytes reversed by this vendor", C);
    let purpose = "Names the streams and codecs; before key frames it carries the date.";
    let mut out = vec![shown.finish("program stream map", unit, purpose)];
    let ranges = map.streams.iter().map(|stream| stream.info.clone());
    for range in std::iter::once(info).chain(ranges) {
        out.extend(descriptors(bytes, range).map(|descriptor| structure(bytes, at, &descriptor)));
    }
    out
}

fn structure(bytes: &[u8], at: u64, descriptor: &Descriptor) -> Structure {
    let start = descriptor.body.start.saturating_sub(2);
    let place = at.saturating_add(start as u64);
    let own = bytes.get(start..descriptor.body.end).unwrap_or(&[]);
    let mut shown = Shown { bytes: own, at: place, fields: Vec::new() };
    shown.add(0..1, "tag", format!("{:02X}h", descriptor.tag), name(descriptor.tag), C);
    shown.add(1..2, "length", descriptor.body.len().to_string(), "bytes that follow", C);
    let body = own.get(2..).unwrap_or(&[]);
    match vendor::parse(descriptor.tag, body) {
        Some(parsed) => fields(&mut shown, &parsed),
        None => shown.add(
            2..own.len(),
            "content",
            "",
            "not this vendor's, or not of the length known",
            U,
        ),
    }
    Structure {
        name: format!("descriptor {:02X}h, {}", descriptor.tag, name(descriptor.tag)),
        at: Extent::new(place, own.len() as u64),
        purpose: purpose(descriptor.tag).to_owned(),
        fields: shown.fields,
    }
}

const fn name(tag: u8) -> &'static str {
    match tag {
        vendor::BASIC => "basic",
        vendor::DEVICE => "device",
        vendor::VIDEO => "video",
        vendor::AUDIO => "audio",
        vendor::CLIP => "video clip",
        vendor::STREAM => "stream",
        vendor::ENCRYPTION => "encryption",
        vendor::TIMING => "timing",
        _ => "unknown",
    }
}

const fn purpose(tag: u8) -> &'static str {
    match tag {
        vendor::BASIC => {
            "The recorder's clock at this picture, and whether the stream is encrypted."
        }
        vendor::DEVICE => "Device and channel; on no known recorder does it name the camera.",
        vendor::VIDEO => "Encoder, size and rate of the pictures.",
        vendor::AUDIO => "Sampling of the sound.",
        vendor::CLIP => "The part of the picture that is shown.",
        vendor::STREAM => "Stream types, and a frame number.",
        vendor::ENCRYPTION => "Its presence says that the stream is encrypted.",
        vendor::TIMING => "Rate and size once more.",
        _ => "Not known.",
    }
}

/// Fields of a vendor descriptor; offsets count from its tag.
fn fields(shown: &mut Shown<'_>, parsed: &Parsed) {
    let one = |at: usize| at..at.saturating_add(1);
    let pair = |(a, b): (u16, u16)| format!("{a} x {b}");
    let length = shown.bytes.len();
    let mut add = |range: Range<usize>, name, value: String, meaning: &str, evidence| {
        shown.add(range, name, value, meaning, evidence);
    };
    match parsed {
        Parsed::Basic(basic) => {
            add(2..4, "company mark", "HK".to_owned(), "", C);
            add(4..6, "definition version", format!("{:04X}h", basic.version), "", C);
            let time = basic.second.map_or("no date".to_owned(), |second| {
                format!("{} (recorder time)", second.plus_millis(basic.millisecond.into()))
            });
            let meaning = "year - 2000, then 4 bits month, 5 day, 5 hour, 6 minute, 6 second, 1 constant, 10 millisecond";
            add(6..12, "date", time, meaning, C);
            let kind = match basic.encryption {
                0 => "none",
                1 => "AES with 3 rounds",
                2 => "AES with 10 rounds",
                7 => "not stated: seen in clear streams",
                _ => "unknown",
            };
            add(one(11), "encryption type", basic.encryption.to_string(), kind, S);
            let camera = match basic.camera {
                0x80 => "fisheye",
                0x81 => "binocular",
                _ => "none",
            };
            add(one(12), "camera mark", format!("{:02X}h", basic.camera), camera, C);
        }
        Parsed::Device => {
            add(2..4, "company mark", "HK".to_owned(), "", C);
            add(4..20, "device and channel id", String::new(), "counts up from 0 where seen", C);
        }
        Parsed::Video(video) => {
            add(2..4, "encoder version", format!("{:04X}h", video.encoder), "", C);
            let (year, month, day) = video.built;
            add(4..6, "encoder date", format!("{year}-{month:02}-{day:02}"), "", C);
            add(6..10, "size", pair(video.size), "coded width and height", C);
            add(
                one(10),
                "coding flags",
                String::new(),
                "interlace, B pictures, SVC, references",
                C,
            );
            add(
                one(11),
                "watermark flags",
                String::new(),
                "watermark, deinterlacing, light storage",
                C,
            );
            add(one(12), "JPEG quality", String::new(), "FFh otherwise", C);
            let fixed = if video.fixed_rate { "fixed" } else { "not fixed" };
            let rate = vendor::frames_a_second(video.interval);
            let rate =
                rate.map_or("no rate".to_owned(), |rate| format!("{rate} a second, {fixed}"));
            add(13..16, "frame interval", format!("{} of 90 kHz", video.interval), &rate, C);
        }
        Parsed::Audio(audio) => {
            add(2..4, "frame length", audio.frame_bytes.to_string(), "bytes", C);
            add(one(4), "channels", audio.channels.to_string(), "lowest bit, plus 1", C);
            add(5..8, "sample rate", audio.sample_rate.to_string(), "22 bits", C);
            add(8..11, "bit rate", audio.bit_rate.to_string(), "22 bits", C);
        }
        Parsed::Clip(clip) => {
            add(2..6, "origin", pair(clip.origin), "left and top", C);
            add(6..10, "size", pair(clip.size), "0 is no cropping", C);
        }
        Parsed::Stream(stream) => {
            let kind = codecs::stream_type_name;
            add(
                one(2),
                "video stream type",
                format!("{:02X}h", stream.video),
                kind(stream.video),
                S,
            );
            add(
                one(3),
                "audio stream type",
                format!("{:02X}h", stream.audio),
                kind(stream.audio),
                S,
            );
            add(4..8, "frame number", stream.frame.to_string(), "", S);
        }
        Parsed::Encryption => add(2..length, "content", String::new(), "not documented", U),
        Parsed::Timing(timing) => {
            let meaning = "90000 / (2 x frames a second)";
            add(4..8, "units in tick", timing.units_in_tick.to_string(), meaning, C);
            let (width, height) = timing.size_eighths;
            add(10..12, "size / 8", format!("{width}, {height}"), "low bytes", I);
        }
    }
}
