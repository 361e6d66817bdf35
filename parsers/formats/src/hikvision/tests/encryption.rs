//! Encrypted pictures are told from clear ones by what they hold, on real coded pictures and on the same with random bytes in them.

use daleel_core::Codec;
use daleel_media::{annexb, h264, h265};
use proptest::prelude::*;

use crate::hikvision::encryption::{Encryption, Stated, Verdict};

const H264: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam1.h264");
const H264_SMART: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam11-smart.h264");
const H264_LARGE: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam8-large.h264");
const H265: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam5.h265");
const MJPEG: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam9.mjpeg");
const MPEG4: &[u8] = include_bytes!("../../../../../tests/generator/footage/cam10.m4v");

const SAYS_NOTHING: Stated = Stated { kind: 0, descriptor: false, private: false };
const NOT_STATED: Stated = Stated { kind: 7, descriptor: false, private: false };
const TYPE_2: Stated = Stated { kind: 2, descriptor: false, private: false };
const DESCRIPTOR: Stated = Stated { kind: 0, descriptor: true, private: false };

/// One access unit: its packets' payloads, and whether decoding can start.
#[derive(Clone)]
struct Picture {
    pieces: Vec<Vec<u8>>,
    key: bool,
}

/// Which bytes a recorder encrypts.
#[derive(Clone, Copy, PartialEq)]
enum Cipher {
    /// All of each NAL unit behind its header.
    Units,
    /// Slices only.
    Slices,
    /// Slices with their NAL unit headers.
    Headers,
}

/// NAL units as packets, gathered into pictures.
fn pictures(codec: Codec, stream: &[u8]) -> Vec<Picture> {
    let mut out: Vec<Picture> = Vec::new();
    let mut begins = true;
    for range in annexb::nal_units(stream) {
        let nal = &stream[range];
        if begins {
            out.push(Picture { pieces: Vec::new(), key: false });
        }
        let picture = out.last_mut().unwrap();
        picture.pieces.push([&[0, 0, 0, 1][..], nal].concat());
        let (slice, key) = match codec {
            Codec::H264 => (h264::is_slice(nal), h264::is_idr(nal)),
            _ => (h265::is_slice(nal), h265::is_irap(nal)),
        };
        picture.key |= key;
        begins = slice;
    }
    out
}

/// Pictures by a mark at their start.
fn pictures_at(stream: &[u8], mark: &[u8]) -> Vec<Picture> {
    let mut starts: Vec<usize> = memchr::memmem::find_iter(stream, mark).collect::<Vec<_>>();
    starts.push(stream.len());
    starts
        .windows(2)
        .map(|pair| Picture { pieces: vec![stream[pair[0]..pair[1]].to_vec()], key: true })
        .collect()
}

/// Random bytes as a cipher leaves them; the same for the same seed.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

fn encrypt(codec: Codec, picture: &Picture, cipher: Cipher, random: &mut Random) -> Picture {
    let mut out = picture.clone();
    for piece in &mut out.pieces {
        let nal = &piece[4..];
        let (header, slice) = match codec {
            Codec::H264 => (1, h264::is_slice(nal)),
            Codec::H265 => (2, h265::is_slice(nal)),
            _ => (0, true),
        };
        if !slice && cipher != Cipher::Units {
            continue;
        }
        let from = if matches!(codec, Codec::Mjpeg) {
            0
        } else if cipher == Cipher::Headers {
            4
        } else {
            4 + header
        };
        let from = if codec == Codec::Mpeg4 { 3 } else { from };
        let whole_blocks = (piece.len() - from).min(4096) / 16 * 16;
        for byte in &mut piece[from..from + whole_blocks] {
            *byte = random.byte();
        }
    }
    out
}

/// Judges a picture by the first 256 bytes of up to eight packets, as the stream parser does.
fn judge(encryption: &mut Encryption, stated: Stated, codec: Codec, picture: &Picture) -> Verdict {
    let heads: Vec<&[u8]> =
        picture.pieces.iter().take(8).map(|piece| &piece[..piece.len().min(256)]).collect();
    encryption.judge(stated, codec, picture.key, &heads)
}

/// Why an H.264 picture is taken to be encrypted.
fn told(encryption: &mut Encryption, stated: Stated, picture: &Picture) -> Option<String> {
    match judge(encryption, stated, Codec::H264, picture) {
        Verdict::Encrypted(why) => Some(why.into_owned()),
        Verdict::Clear | Verdict::Open => None,
    }
}

/// How many of the pictures are taken to be encrypted; those that wait go with the one that is judged.
fn count(stated: Stated, codec: Codec, pictures: &[Picture]) -> usize {
    let mut encryption = Encryption::default();
    let (mut waiting, mut encrypted) = (0, 0);
    for picture in pictures {
        waiting += 1;
        match judge(&mut encryption, stated, codec, picture) {
            Verdict::Open => {}
            Verdict::Clear => waiting = 0,
            Verdict::Encrypted(_) => encrypted += std::mem::take(&mut waiting),
        }
    }
    encrypted
}

fn footage() -> Vec<(Codec, Vec<Picture>)> {
    vec![
        (Codec::H264, pictures(Codec::H264, H264)),
        (Codec::H264, pictures(Codec::H264, H264_SMART)),
        (Codec::H264, pictures(Codec::H264, H264_LARGE)),
        (Codec::H265, pictures(Codec::H265, H265)),
        (Codec::Mjpeg, pictures_at(MJPEG, &[0xFF, 0xD8, 0xFF])),
        (Codec::Mpeg4, pictures_at(MPEG4, &[0, 0, 1, 0xB6])),
    ]
}

/// Clear footage is not lost under whatever the stream states (issue: withheld only where signs and pictures agree).
#[test]
fn clear_footage_is_clear_under_any_sign() {
    for (codec, pictures) in footage() {
        assert!(pictures.len() > 5, "{codec:?}");
        for stated in [SAYS_NOTHING, NOT_STATED, TYPE_2, DESCRIPTOR] {
            assert_eq!(count(stated, codec, &pictures), 0, "{codec:?} {stated:?}");
            // From the middle of a group of pictures as well.
            assert_eq!(count(stated, codec, &pictures[3..]), 0, "{codec:?} {stated:?}");
        }
    }
}

/// Encrypted pictures are told, stated or not, whichever part of the units is encrypted.
#[test]
fn encrypted_footage_is_told() {
    for (number, (codec, pictures)) in footage().into_iter().enumerate() {
        for cipher in [Cipher::Units, Cipher::Slices, Cipher::Headers] {
            for stated in [TYPE_2, SAYS_NOTHING, NOT_STATED] {
                for seed in 0..20 {
                    let mut random = Random(seed);
                    let encrypted: Vec<_> = pictures
                        .iter()
                        .map(|picture| encrypt(codec, picture, cipher, &mut random))
                        .collect();
                    let told = count(stated, codec, &encrypted);
                    if stated != TYPE_2 && !matches!(codec, Codec::H264 | Codec::H265) {
                        // Without NAL units, a statement of the stream is needed.
                        assert_eq!(told, 0, "{codec:?}");
                        continue;
                    }
                    let missed = encrypted.len() - told;
                    // A first picture that passes by chance; unit types that say nothing by themselves.
                    let allowed = if cipher == Cipher::Headers { 8 } else { 4 };
                    let allowed = if stated == TYPE_2 { 2 } else { allowed };
                    assert!(
                        missed <= allowed,
                        "{number} {codec:?} {stated:?} seed {seed}: {missed}"
                    );
                }
            }
        }
    }
}

/// A picture whose beginning is overwritten does not make its stream an encrypted one.
#[test]
fn one_odd_picture_does_not_count() {
    let pictures = pictures(Codec::H264, H264);
    for at in 1..pictures.len() {
        let mut odd = pictures.clone();
        odd[at] = encrypt(Codec::H264, &pictures[at], Cipher::Headers, &mut Random(at as u64));
        assert_eq!(count(SAYS_NOTHING, Codec::H264, &odd), 0, "{at}");
        assert_eq!(count(TYPE_2, Codec::H264, &odd), 0, "{at}");
    }
}

/// Where the recorder says something else from a picture on, what was before does not count.
#[test]
fn a_new_statement_is_judged_anew() {
    let clear = pictures(Codec::H264, H264);
    let mut encryption = Encryption::default();
    for picture in &clear {
        assert_eq!(told(&mut encryption, SAYS_NOTHING, picture), None);
    }
    let mut random = Random(7);
    let key = encrypt(Codec::H264, &clear[0], Cipher::Slices, &mut random);
    let why = told(&mut encryption, TYPE_2, &key).unwrap();
    assert_eq!(why, "type 2 (AES, 10 rounds) is stated, and slice headers are not readable");
    assert_eq!(told(&mut encryption, SAYS_NOTHING, &clear[0]), None);
}

#[test]
fn reasons_say_what_was_stated_and_what_was_seen() {
    let clear = pictures(Codec::H264, H264);
    let key = encrypt(Codec::H264, &clear[0], Cipher::Units, &mut Random(3));
    let why = |stated| told(&mut Encryption::default(), stated, &key).unwrap();
    let unreadable = "parameter sets are not readable";
    assert_eq!(
        why(SAYS_NOTHING),
        format!("{unreadable}, though the stream does not state encryption")
    );
    assert_eq!(why(NOT_STATED), why(SAYS_NOTHING));
    assert_eq!(why(DESCRIPTOR), format!("an encryption descriptor is there, and {unreadable}"));
    let private = Stated { private: true, ..SAYS_NOTHING };
    assert_eq!(why(private), format!("private encryption data are there, and {unreadable}"));
}

proptest! {
    /// S-9.
    #[test]
    fn no_bytes_panic(
        pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..40), 0..4),
        codec in prop::sample::select(vec![
            Codec::H264, Codec::H265, Codec::Mpeg4, Codec::Mjpeg, Codec::Unknown, Codec::Other("svac"),
        ]),
        kind in 0u8..8,
    ) {
        let heads: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut encryption = Encryption::default();
        for key in [true, false, true] {
            let stated = Stated { kind, ..SAYS_NOTHING };
            let _ = encryption.judge(stated, codec, key, &heads);
        }
    }
}
