//! Sessions for the tests: a drive that announces everything, and what is taken away from it.
#![allow(dead_code)]

use wb_policy::{
    capture::{Asked, Bytes, Capture, Identify, IdentifyData, Kind},
    geometry::Geometry,
    judge::{Facts, Profiles},
    sense::NEEDS_START,
};

use super::oracle::Session;

/// 4096 GiB in blocks of 512: beyond 32 bits.
pub const BLOCKS: u64 = 1 << 33;

/// Everything is announced, listed and captured.
pub fn generous() -> Session {
    let mut pages = [0; 256];
    pages[0] = 1;
    for log in [0x03, 0x04, 0x06, 0x07, 0x08, 0x0C, 0x10, 0x11, 0x24, 0x25, 0x30, 0xE0] {
        pages[log] = 9;
    }
    for log in &mut pages[0x80..0xC0] {
        *log = 0x0102;
    }
    Session {
        ident: true,
        smart: true,
        card: false,
        rmb: false,
        pdt: 0,
        identify: true,
        announced: [true; 6],
        listed: true,
        cap: BLOCKS,
        needs_start: false,
        pages,
    }
}

/// IDENTIFY DEVICE data that announce the given features (3.2).
pub fn identify(announced: [bool; 6], valid: bool) -> IdentifyData {
    let [hpa, lba48, gpl, smart, amax, dco] = announced.map(u16::from);
    let mut data = [0; 512];
    let mut word = |number: usize, value: u16| {
        data[number * 2..number * 2 + 2].copy_from_slice(&value.to_le_bytes());
    };
    word(82, hpa << 10 | smart);
    word(83, 0x4000 | lba48 << 10 | dco << 11);
    word(84, 0x4000 | gpl << 5);
    word(119, 0x4000 | amax << 8);
    word(255, if valid { 0x00A5 } else { 0 });
    let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    data[511] = data[511].wrapping_sub(sum);
    IdentifyData(data)
}

fn vpd(page: u8) -> Vec<u8> {
    let length: u16 = if page == 0x89 { 568 } else { 60 };
    let mut bytes = vec![0, page];
    bytes.extend(length.to_be_bytes());
    bytes.resize(usize::from(length) + 4, 0);
    bytes
}

/// The capture of such a session.
pub fn capture(s: &Session) -> Capture {
    let mut capture = Capture::empty(if s.card { Kind::Card } else { Kind::Usb });
    let mut inquiry = [0; 36];
    inquiry[0] = s.pdt;
    inquiry[1] = if s.rmb { 0x80 } else { 0 };
    capture.inquiry = Bytes::new(&inquiry);
    capture.vpd.supported = Some(Bytes::new(&vpd(0x00)));
    capture.vpd.serial = Some(Bytes::new(&vpd(0x80)));
    capture.vpd.identification = Some(Bytes::new(&vpd(0x83)));
    capture.vpd.ata = Some(Bytes::new(&vpd(0x89)));
    capture.vpd.limits = Some(Bytes::new(&vpd(0xB0)));
    capture.vpd.characteristics = Some(Bytes::new(&vpd(0xB1)));
    capture.vpd.provisioning = Some(Bytes::new(&vpd(0xB2)));
    capture.geometry = Some(Geometry { blocks: s.cap, block_bytes: 512 });
    let data = identify(s.announced, s.identify);
    capture.identify = if s.identify { Identify::Valid(data) } else { Identify::Invalid(data) };
    assert_eq!(data.is_valid(), s.identify);
    let mut directory = [0; 512];
    for (log, pages) in s.pages.iter().enumerate() {
        directory[log * 2..log * 2 + 2].copy_from_slice(&pages.to_le_bytes());
    }
    capture.log_directory = Asked::Value(directory);
    capture.listed_bridge = s.listed;
    capture
}

pub fn facts<'a>(s: &Session, capture: &'a Capture) -> Facts<'a> {
    Facts {
        profiles: Profiles { ident: s.ident, smart: s.smart },
        capture,
        last_sense: s.needs_start.then_some(NEEDS_START),
    }
}

/// A generous session and what is missing from it, one thing at a time.
pub fn sessions() -> Vec<Session> {
    let all = generous();
    let mut only_directory = [0; 256];
    only_directory[0] = 1;
    let mut sessions = vec![
        all,
        Session { smart: false, ..all },
        Session { ident: false, ..all },
        Session { ident: false, smart: false, ..all },
        Session { card: true, rmb: true, ..all },
        Session { rmb: true, ..all },
        Session { pdt: 0x14, ..all },
        Session { identify: false, ..all },
        Session { listed: false, ..all },
        Session { needs_start: true, ..all },
        Session { pages: only_directory, ..all },
        Session { cap: 0, ..all },
        Session { cap: 1, ..all },
    ];
    for missing in 0..6 {
        let mut announced = [true; 6];
        announced[missing] = false;
        sessions.push(Session { announced, ..all });
    }
    sessions
}
