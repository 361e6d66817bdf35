//! The header of an exported or camera file explained.
//!
//! Facts: `docs/formats/hikvision.md` sections 8.1 and 8.2.

use daleel_core::{Codec, Evidence, Extent, Structure};

use super::Shown;
use crate::hikvision::{codecs, header};

use Evidence::{Confirmed as C, SingleSource as S, Unknown as U};

/// A header of either kind; the bytes are known to begin with one.
pub(super) fn structure(bytes: &[u8], at: u64) -> Structure {
    let own = bytes.get(..header::HEADER_BYTES).unwrap_or(bytes);
    let mut shown = Shown { bytes: own, at, fields: Vec::new() };
    let purpose = if header::is_old(own) {
        shown.add(0..4, "magic", "4HKH", "the older header; its stream is not read", S);
        "Begins a file of old recorders."
    } else {
        media_info(&mut shown);
        "Begins an exported file, or one of a camera: names the codecs. The stream follows."
    };
    Structure {
        name: "file header".to_owned(),
        at: Extent::new(at, own.len() as u64),
        purpose: purpose.to_owned(),
        fields: shown.fields,
    }
}

fn media_info(shown: &mut Shown<'_>) {
    let bytes = shown.bytes;
    let number = |from: usize, length: usize| {
        let field = bytes.get(from..from.saturating_add(length)).unwrap_or(&[]);
        field.iter().rev().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte))
    };
    let code = |from| u16::try_from(number(from, 2)).unwrap_or(0);
    let coded = |from| format!("{:04X}h", code(from));
    let plain = |from, length| number(from, length).to_string();
    let name = |codec: Option<Codec>| codec.map_or("none, or not known", Codec::as_str);
    let meaning = "\"HKMI\", media info, stored little-endian; says nothing of encryption";
    shown.add(0x00..0x04, "magic", "IMKH", meaning, C);
    shown.add(0x04..0x06, "version", coded(0x04), "0101h, or 0201h in a file of 2022", C);
    shown.add(0x06..0x08, "device id", plain(0x06, 2), "", C);
    shown.add(0x08..0x0A, "system", coded(0x08), codecs::system_name(code(0x08)), C);
    shown.add(0x0A..0x0C, "video", coded(0x0A), name(codecs::header_video(code(0x0A))), C);
    shown.add(0x0C..0x0E, "audio", coded(0x0C), name(codecs::header_audio(code(0x0C))), C);
    shown.add(0x0E..0x0F, "channels", plain(0x0E, 1), "of the sound", C);
    shown.add(0x0F..0x10, "sample size", plain(0x0F, 1), "bits", C);
    shown.add(0x10..0x14, "sample rate", plain(0x10, 4), "a second", C);
    shown.add(0x14..0x18, "bit rate", plain(0x14, 4), "of the sound", C);
    shown.add(0x18..0x28, "reserved", "", "first byte 81h in the file seen", U);
}
