//! Writes units of the vendor's program stream for tests.

use daleel_core::CivilTime;

/// A pack header whose stuffing holds a picture counter.
pub fn pack(scr: u64, counter: u32) -> Vec<u8> {
    let mut bytes = plain_pack(scr);
    *bytes.last_mut().unwrap() = 0xFE;
    bytes.extend([0xFF, 0xFF]);
    bytes.extend(counter.to_be_bytes());
    bytes
}

/// A pack header without stuffing.
pub fn plain_pack(scr: u64) -> Vec<u8> {
    let clock = 1u64 << 46
        | (scr >> 30 & 7) << 43
        | 1 << 42
        | (scr >> 15 & 0x7FFF) << 27
        | 1 << 26
        | (scr & 0x7FFF) << 11
        | 1 << 10
        | 1;
    let mut bytes = vec![0, 0, 1, 0xBA];
    bytes.extend(&clock.to_be_bytes()[2..]);
    bytes.extend([0x01, 0x00, 0x03, 0xF8]);
    bytes
}

/// A map with a date, H.264 pictures of 704 x 576 at 25 a second, and A-law sound.
pub fn map(time: CivilTime, encryption: u8) -> Vec<u8> {
    let mut info = basic(time, encryption);
    info.extend([0x41, 0x12, b'H', b'K']);
    info.extend(0..16);
    let mut video =
        vec![0x42, 0x0E, 0x07, 0x10, 0x10, 0xEA, 0x02, 0xC0, 0x02, 0x40, 0x11, 0x10, 0xC0];
    video.extend(&(3600u32 << 1 | 1).to_be_bytes()[1..]);
    let sound = [0x43, 0x0A, 0x01, 0x40, 0xFE, 0x00, 0x7D, 0x03, 0x03, 0xE8, 0x03, 0xFF];
    let mut streams = Vec::new();
    for (kind, id, descriptors) in [(0x1Bu8, 0xE0u8, &video[..]), (0x90, 0xC0, &sound)] {
        streams.extend([kind, id]);
        streams.extend((descriptors.len() as u16).to_be_bytes());
        streams.extend(descriptors);
    }
    let mut bytes = vec![0, 0, 1, 0xBC];
    bytes.extend((10 + info.len() as u16 + streams.len() as u16).to_be_bytes());
    bytes.extend([0xF6, 0xFF]);
    bytes.extend((info.len() as u16).to_be_bytes());
    bytes.extend(info);
    bytes.extend((streams.len() as u16).to_be_bytes());
    bytes.extend(streams);
    bytes.extend([0; 4]);
    bytes
}

fn basic(time: CivilTime, encryption: u8) -> Vec<u8> {
    let text = time.to_string();
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap();
    let millisecond = number(20, 23);
    let packed = number(5, 7) << 28
        | number(8, 10) << 23
        | number(11, 13) << 18
        | number(14, 16) << 12
        | number(17, 19) << 6
        | 1 << 5
        | millisecond >> 5;
    let mut bytes = vec![0x40, 0x0E, b'H', b'K', 0x01, 0x00, (number(0, 4) - 2000) as u8];
    bytes.extend(packed.to_be_bytes());
    bytes.push((millisecond << 3) as u8 | encryption);
    bytes.extend([0x00, 0xFF, 0xFF, 0xFF]);
    bytes
}

/// A packet of at most 65 000 bytes of payload, with three or eight bytes of header fields.
pub fn packet(id: u8, pts: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    if let Some(pts) = pts {
        fields.push((0x21 | pts >> 29 & 0xE) as u8);
        fields.extend([(pts >> 22) as u8, (pts >> 14 | 1) as u8, (pts >> 7) as u8]);
        fields.push((pts << 1 | 1) as u8);
    }
    fields.extend([0xFF, 0xFF, 0xFC]);
    let mut bytes = vec![0, 0, 1, id];
    bytes.extend((3 + fields.len() as u16 + payload.len() as u16).to_be_bytes());
    bytes.extend([0x8C, if pts.is_some() { 0x80 } else { 0 }, fields.len() as u8]);
    bytes.extend(fields);
    bytes.extend(payload);
    bytes
}

/// Pictures of 40 ms, a key frame with a map and a date every twelve, a sound packet behind each.
pub fn stream(start: CivilTime, pictures: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..pictures {
        let pts = 900_000 + 3600 * u64::from(number);
        out.extend(pack(pts, 1000 + number));
        let key = number % 12 == 0;
        if key {
            out.extend(map(start.plus_millis(40 * i64::from(number)), 0));
        }
        let first = if key { 0x65 } else { 0x41 };
        let mut picture = vec![0, 0, 0, 1, first, 0x88, 0x84];
        picture.resize(500, 0x55);
        out.extend(packet(0xE0, Some(pts), &picture));
        out.extend(packet(0xC0, Some(pts), &[0xD5; 320]));
    }
    out
}

/// A media-info header in front of a program stream.
pub fn media_info(system: u8) -> Vec<u8> {
    let mut bytes = b"IMKH\x01\x02\0\0".to_vec();
    bytes.extend([system, 0, 1, 0, 0x11, 0x71, 1, 16]);
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(64_000u32.to_le_bytes());
    bytes.resize(40, 0);
    bytes
}
