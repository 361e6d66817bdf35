//! nothing but the statement that was signed, for this session, is taken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

mod common;

use common::{Sample, expected, sign, sign_payload, signer};
use coset::{TaggedCborSerializable as _, cbor::Value};
use proptest::prelude::*;
use std::sync::LazyLock;
use wb_attest::statement::{Bounds, FormError, Signer, public_key};
use wb_attest::verify::{Finding, Reject, Signed, pem, public_key_from_pem};

static STATEMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| sign(&Sample::new().claims(), &Bounds::LARGE));

fn verify(bytes: &[u8]) -> Result<(), Reject> {
    Signed::parse(bytes)?.verify(&signer().public_key()).map(|_| ())
}

fn payload() -> Vec<u8> {
    coset::CoseSign1::from_tagged_slice(&STATEMENT).unwrap().payload.unwrap()
}

/// every bit of the message, flipped alone, is noticed.
#[test]
fn every_flipped_bit_is_rejected() {
    assert_eq!(verify(&STATEMENT), Ok(()));
    for at in 0..STATEMENT.len() {
        for bit in 0..8 {
            let mut wrong = STATEMENT.clone();
            wrong[at] ^= 1 << bit;
            assert!(verify(&wrong).is_err(), "byte {at}, bit {bit}");
        }
    }
}

/// a message that is cut short anywhere, or has anything behind it, is not taken.
#[test]
fn every_truncation_is_rejected() {
    for len in 0..STATEMENT.len() {
        assert!(Signed::parse(&STATEMENT[..len]).is_err(), "{len}");
    }
    for extra in [&[0][..], &[0xF6], &STATEMENT] {
        let long = [&STATEMENT, extra].concat();
        assert_eq!(Signed::parse(&long).err(), Some(Reject::Form(FormError::Length)));
    }
    assert_eq!(Signed::parse(&vec![0xD2; 70_000]).err(), Some(Reject::Form(FormError::Length)));
}

/// a statement of another session, checkpoint or firmware is noticed by what the host knows.
#[test]
fn a_replayed_statement_is_noticed() {
    let signed = Signed::parse(&STATEMENT).unwrap();
    let statement = signed.verify(&signer().public_key()).unwrap();
    assert_eq!(statement.findings(&expected()), []);
    let mut other = expected();
    other.start_nonce = [1; 32];
    assert_eq!(statement.findings(&other), [Finding::StartNonce]);
    other.end_nonce = [2; 32];
    assert_eq!(statement.findings(&other), [Finding::StartNonce, Finding::EndNonce]);
    let mut other = expected();
    (other.firmware, other.policy) = (Some([3; 32]), Some([4; 32]));
    assert_eq!(statement.findings(&other), [Finding::Firmware, Finding::Policy]);
    (other.firmware, other.policy) = (None, None);
    assert_eq!(statement.findings(&other), []);
}

/// a statement of another bridge, or one that names a key that did not sign it, is not taken.
#[test]
fn another_key_is_rejected() {
    let signed = Signed::parse(&STATEMENT).unwrap();
    assert_eq!(signed.verify(&public_key(&[9; 32])).err(), Some(Reject::KeyId));
    let tbs = signed.tbs();
    let forged = Signer::new(&[9; 32]).sign_in_chunks(|take| take(&tbs)).unwrap();
    let mut wrong = STATEMENT.clone();
    let at = wrong.len() - 64;
    wrong[at..].copy_from_slice(&forged);
    assert_eq!(verify(&wrong), Err(Reject::Signature));
    // The claims name another key than the header, signed by the header's key.
    let mut claims = payload();
    let id = signed.key_id().to_vec();
    let at = claims.windows(32).position(|bytes| bytes == id).unwrap();
    claims[at] ^= 1;
    assert_eq!(Signed::parse(&sign_payload(&claims)).err(), Some(Reject::KeyId));
    assert_eq!(verify(&sign_payload(&payload())), Ok(()), "unchanged it is taken");
}

/// 4.3: the three files of a statement have to be the same statement.
#[test]
fn mixed_files_are_rejected() {
    let signed = Signed::parse(&STATEMENT).unwrap();
    let (tbs, sig) = (signed.tbs(), *signed.signature());
    assert_eq!(Signed::from_files(&STATEMENT, &tbs, &sig), Ok(signed));
    let files = Err(Reject::Files);
    assert_eq!(Signed::from_files(&STATEMENT, &tbs[1..], &sig), files);
    assert_eq!(Signed::from_files(&STATEMENT, &tbs, &sig[..63]), files);
    assert_eq!(Signed::from_files(&STATEMENT, &tbs, &[0; 64]), files);
}

/// Only tag 18 with EdDSA in the protected header and nothing in the unprotected one is taken, also
/// when the rest is right.
#[test]
fn other_cose_messages_are_rejected() {
    let with = |at: usize, byte: u8| {
        let mut bytes = STATEMENT.clone();
        bytes[at] = byte;
        Signed::parse(&bytes).err()
    };
    let form = |error| Some(Reject::Form(error));
    assert_eq!(with(0, 0xD1), form(FormError::Opening));
    assert_eq!(with(1, 0x83), form(FormError::Opening));
    assert_eq!(with(6, 0x26), form(FormError::Algorithm), "ES256");
    assert_eq!(with(4, 0xA3), form(FormError::Protected));
    assert_eq!(with(42, 0xA1), form(FormError::Unprotected));
    assert_eq!(with(43, 0x5A), form(FormError::Payload));
    let untagged = &STATEMENT[1..];
    assert_eq!(Signed::parse(untagged).err(), form(FormError::Opening));
    // The key id in the unprotected header instead.
    let mut message = coset::CoseSign1::from_tagged_slice(&STATEMENT).unwrap();
    let id = std::mem::take(&mut message.protected.header.key_id);
    message.protected.original_data = None;
    message.unprotected.key_id = id;
    assert!(Signed::parse(&message.to_tagged_vec().unwrap()).is_err());
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    coset::cbor::ser::into_writer(value, &mut out).unwrap();
    out
}

/// All paths to items of a value.
fn paths(value: &Value, here: Vec<usize>, all: &mut Vec<Vec<usize>>) {
    all.push(here.clone());
    let below = |at: usize| here.iter().copied().chain([at]).collect();
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| paths(item, below(at), all));
        }
        Value::Map(pairs) => {
            pairs.iter().enumerate().for_each(|(at, (_, item))| paths(item, below(at), all));
        }
        _ => {}
    }
}

fn at<'v>(value: &'v mut Value, path: &[usize]) -> &'v mut Value {
    path.iter().fold(value, |value, at| match value {
        Value::Array(items) => &mut items[*at],
        Value::Map(pairs) => &mut pairs[*at].1,
        _ => unreachable!(),
    })
}

/// Claims of another shape, well encoded and well signed, are not taken: every item in turn replaced
/// by items of other types, every array and map with an item more and with each item missing.
#[test]
fn claims_of_another_shape_are_rejected() {
    let value: Value = coset::cbor::de::from_reader(&payload()[..]).unwrap();
    let mut all = Vec::new();
    paths(&value, vec![], &mut all);
    assert!(all.len() > 200);
    let rejected = |value: &Value, what: &str, path: &[usize]| {
        let bytes = sign_payload(&encoded(value));
        assert!(Signed::parse(&bytes).is_err(), "{what} at {path:?}");
    };
    for path in &all {
        for other in [
            Value::Integer((-1).into()),
            Value::Tag(0, Box::new(Value::Text("2026".into()))),
            Value::Float(1.5),
            Value::Array(vec![Value::Null; 9]),
            Value::Map(vec![(Value::Integer(0.into()), Value::Null)]),
        ] {
            let mut wrong = value.clone();
            *at(&mut wrong, path) = other.clone();
            rejected(&wrong, "other type", path);
        }
        let mut wrong = value.clone();
        match at(&mut wrong, path) {
            Value::Map(pairs) => {
                pairs.push((Value::Integer((-99_999).into()), Value::Null));
                rejected(&wrong, "unknown key", path);
                // Two keys may be missing: how the session before ended, and the ATA device.
                let optional = |key| (path == &[6] && key == 6) || (path == &[7] && key == 9);
                let mut without = value.clone();
                let Value::Map(pairs) = at(&mut without, path) else { unreachable!() };
                for key in 0..pairs.len() {
                    let mut without = value.clone();
                    let Value::Map(pairs) = at(&mut without, path) else { unreachable!() };
                    pairs.remove(key);
                    if !optional(key) {
                        rejected(&without, "missing key", path);
                    }
                }
            }
            Value::Array(items) => {
                items.push(Value::Null);
                rejected(&wrong, "longer array", path);
            }
            Value::Bytes(bytes) => {
                bytes.resize(700, 0);
                rejected(&wrong, "longer bytes", path);
            }
            Value::Text(text) => {
                text.push_str(&"x".repeat(70));
                rejected(&wrong, "longer text", path);
            }
            _ => {}
        }
    }
}

/// RFC 8949, 4.2.1: claims in another encoding of the same values are not taken.
#[test]
fn other_encodings_are_rejected() {
    let claims = payload();
    let why = |payload: &[u8]| match Signed::parse(&sign_payload(payload)) {
        Err(Reject::Encoding { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(claims[..3], [0xB0, 0x0A, 0x82]);
    let replace = |from: &[u8], to: &[u8]| {
        let at = claims.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&claims[..at], to, &claims[at + from.len()..]].concat()
    };
    // The map's head with a longer count, indefinite, and with one pair too many.
    assert_eq!(why(&[&[0xB8, 16], &claims[1..]].concat()), "not the shortest form");
    assert_eq!(why(&[&[0xBF], &claims[1..], &[0xFF]].concat()), "reserved or indefinite length");
    assert_eq!(why(&[&[0xB1], &claims[1..]].concat()), "cut short");
    // Key 10 as 18 0A, as 19 000A, as 1B 0...0A.
    assert_eq!(why(&[&[0xB0, 0x18, 0x0A], &claims[2..]].concat()), "not the shortest form");
    assert_eq!(why(&[&[0xB0, 0x19, 0, 0x0A], &claims[2..]].concat()), "not the shortest form");
    // Boot counter 17 (key 267) as a longer integer.
    let boots = [0x19, 0x01, 0x0B, 0x11];
    let longer = [0x19, 0x01, 0x0B, 0x18, 0x11];
    assert_eq!(why(&replace(&boots, &longer)), "not the shortest form");
    let float = [0x19, 0x01, 0x0B, 0xF9, 0x4C, 0x40];
    assert_eq!(why(&replace(&boots, &float)), "a type that no statement has");
    let tagged = [0x19, 0x01, 0x0B, 0xC1, 0x11];
    assert_eq!(why(&replace(&boots, &tagged)), "a type that no statement has");
    // A key twice, and two keys in the wrong order.
    let doubled = [0x19, 0x01, 0x0B, 0x11, 0x19, 0x01, 0x0B, 0x11];
    let twice = [&[0xB1], &replace(&boots, &doubled)[1..]].concat();
    assert_eq!(why(&twice), "key out of order or twice");
    let version = [0x3A, 0, 1, 0, 0, 0x01];
    let swapped = replace(&[&boots[..], &version].concat(), &[&version[..], &boots].concat());
    assert_eq!(why(&swapped), "key out of order or twice");
    let text_key = [0x61, 0x61, 0x11];
    assert_eq!(why(&replace(&boots, &text_key)), "key is no integer");
    // Byte strings in pieces, bytes behind the end, nothing at all, nesting without end.
    let nonce = [&[0x58, 0x20][..], &[0x11; 32]].concat();
    let pieces = [&[0x5F][..], &nonce, &[0xFF]].concat();
    assert_eq!(why(&replace(&nonce, &pieces)), "reserved or indefinite length");
    assert_eq!(why(&[&claims[..], &[0]].concat()), "bytes behind the end");
    assert_eq!(why(&[]), "cut short");
    assert_eq!(why(&[0x81; 3000]), "too deep");
    // Counts that promise more than there is cost nothing.
    for head in [0x5B, 0x7B, 0x9B, 0xBB] {
        assert_eq!(why(&[&[head][..], &[0xFF; 8]].concat()), "cut short", "{head:02X}h");
    }
}

/// 4.3: `key.pem` is read back, and nothing else is taken for it.
#[test]
fn pem_is_read_strictly() {
    let public = signer().public_key();
    let text = pem(&public);
    assert_eq!(public_key_from_pem(&text), Ok(public));
    assert_eq!(public_key_from_pem(&text.replace('\n', "\r\n")), Ok(public));
    assert!(public_key_from_pem("").is_err());
    for at in 0..text.len() - 1 {
        let mut wrong = text.clone().into_bytes();
        wrong[at] = if wrong[at] == b'-' { b'_' } else { b'-' };
        assert!(public_key_from_pem(std::str::from_utf8(&wrong).unwrap()).is_err(), "{at}");
        let short = [&text[..at], &text[at + 1..]].concat();
        let newline = text.as_bytes()[at] == b'\n';
        assert_eq!(public_key_from_pem(&short).is_ok(), newline, "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No bytes make the reader panic or take something unsigned.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify(&bytes).is_err());
        prop_assert!(verify(&sign_payload(&bytes)).is_err());
    }

    /// Claims with bytes exchanged, signed again: either refused, or read and checked without a panic.
    #[test]
    fn disturbed_claims_are_survived(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)
    ) {
        let mut claims = payload();
        for (at, byte) in changes {
            let len = claims.len();
            claims[at % len] = byte;
        }
        if let Ok(signed) = Signed::parse(&sign_payload(&claims)) {
            let _ = signed.unverified().findings(&expected());
        }
    }
}
