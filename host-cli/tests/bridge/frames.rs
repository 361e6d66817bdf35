//! Log frames, decoded with an ELF file.

use std::path::Path;

use daleel::{
    bridge::frames::{Firmware, Item},
    exit::Exit,
};

use crate::{elf::Elf, rig::failed};

fn symbol(tag: &str, text: &str) -> String {
    format!(
        r#"{{"package":"p","tag":"{tag}","data":"{text}","disambiguator":"1","crate_name":"c"}}"#
    )
}

fn elf() -> Elf {
    Elf {
        symbols: vec![
            ("_defmt_version_ = 4".to_owned(), 0, false),
            ("_defmt_encoding_ = rzcobs".to_owned(), 0, false),
            (symbol("defmt_info", "drive of {=u8} heads"), 1, true),
            (symbol("defmt_warn", "refused"), 2, true),
        ],
        defmt: Some(16),
        ..Elf::default()
    }
}

/// rzCOBS: seven bytes with a mask of the zeros among them; a zero byte ends the frame.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in message.chunks(7) {
        let mut mask = 0_u8;
        for place in 0..7 {
            match group.get(place) {
                Some(0) | None => mask |= 1 << place,
                Some(byte) => out.push(*byte),
            }
        }
        assert_ne!(mask, 0, "a run without zeros has another form");
        out.push(mask);
    }
    out.push(0);
    out
}

fn decode(pieces: &[&[u8]]) -> Vec<Item> {
    let firmware = Firmware::parse(&elf().write(), Path::new("fw.elf")).unwrap();
    let mut decoder = firmware.decoder();
    let mut items = Vec::new();
    pieces.iter().for_each(|piece| decoder.take(piece, &mut |item| items.push(item)));
    items
}

fn texts(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| match item {
        Item::Frame(frame) => format!("{} {}", frame.level.unwrap(), frame.text),
        Item::Dropped => "dropped".to_owned(),
    };
    items.iter().map(text).collect()
}

/// 5.1: frames as they are, however they are cut by transfers.
#[test]
fn frames_are_decoded_however_they_arrive() {
    let stream = [frame(&[1, 0, 16]), frame(&[2, 0]), frame(&[1, 0, 255])].concat();
    let expected = ["info drive of 16 heads", "warn refused", "info drive of 255 heads"];
    assert_eq!(texts(&decode(&[&stream])), expected);
    for cut in 0..stream.len() {
        assert_eq!(texts(&decode(&[&stream[..cut], &stream[cut..]])), expected, "cut at {cut}");
    }
}

/// 5.1: what the bridge dropped is said; reading that begins in the middle of a frame is none of that.
#[test]
fn dropped_frames_are_said() {
    let (one, two) = (frame(&[1, 0, 16]), frame(&[2, 0]));
    let begun = [&one[2..], &two[..]].concat();
    assert_eq!(texts(&decode(&[&begun])), ["warn refused"]);
    let unknown = [two.clone(), frame(&[9, 0, 1]), two.clone()].concat();
    assert_eq!(texts(&decode(&[&unknown])), ["warn refused", "dropped", "warn refused"]);
    let endless = [two.clone(), vec![0x55; 10_000], vec![0], two].concat();
    let found = texts(&decode(&[&endless]));
    assert_eq!(
        (found.first().unwrap().as_str(), found.last().unwrap().as_str()),
        ("warn refused", "warn refused")
    );
    assert!(found.iter().any(|text| text == "dropped"), "{found:?}");
}

/// A firmware without log strings, and a file that is none, are refused.
#[test]
fn a_file_without_log_strings_is_refused() {
    let parse = |bytes: &[u8]| Firmware::parse(bytes, Path::new("fw.elf"));
    assert_eq!(failed(parse(&Elf::default().segment(0, &[1]).write())).0, Exit::Unsupported);
    assert_eq!(failed(parse(b"no ELF file")).0, Exit::Unsupported);
}
