//! The statement as independent readers see it: `coset`, `ciborium`, OpenSSL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

mod common;

use common::{SEED, Sample, answers, scsi, sign, signer, skip};
use coset::{CborSerializable as _, CoseSign1, TaggedCborSerializable as _, cbor};
use ed25519_dalek::Verifier as _;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command as Process;
use wb_attest::key::key_id;
use wb_attest::statement::{
    Bounds, Card, Claims, Counter, Edit, Emission, Error, ErrorExtent, Extent, Layer, List,
    MAX_STATEMENT, Medium, NotRun, Refusal, RefusalKind, Scsi, Skip, Source, Step, StepOutcome,
    encode, encoded_len, list_digest, public_key,
};
use wb_attest::verify::{Signed, pem};
use wb_attest::{Digest, sha256, statement};

/// 4.3: `coset` reads the message, finds EdDSA and the key id, makes the same signed bytes, accepts
/// the signature, and writes the same bytes again.
#[test]
fn coset_reads_the_message() {
    let sample = Sample::new();
    let bytes = sign(&sample.claims(), &Bounds::LARGE);
    let message = CoseSign1::from_tagged_slice(&bytes).unwrap();
    let header = &message.protected.header;
    assert_eq!(
        header.alg,
        Some(coset::RegisteredLabelWithPrivate::Assigned(coset::iana::Algorithm::EdDSA))
    );
    let public = signer().public_key();
    assert_eq!(header.key_id, key_id(&public));
    assert!(message.unprotected.is_empty());
    let signed = Signed::parse(&bytes).unwrap();
    assert_eq!(message.tbs_data(&[]), signed.tbs());
    let key = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
    message
        .verify_signature(&[], |signature, data| {
            key.verify(data, &ed25519_dalek::Signature::from_slice(signature).unwrap())
        })
        .unwrap();
    assert_eq!(message.clone().to_tagged_vec().unwrap(), bytes);
    assert!(CoseSign1::from_slice(&bytes).is_err(), "the tag is there");
}

/// 4.3: `ciborium`, which writes shortest forms, gives the payload back byte for byte, and all maps
/// have their keys in the order of their encodings.
#[test]
fn the_payload_is_deterministic() {
    fn ordered(value: &cbor::Value) {
        let bytes = |value: &cbor::Value| {
            let mut out = Vec::new();
            cbor::ser::into_writer(value, &mut out).unwrap();
            out
        };
        match value {
            cbor::Value::Map(pairs) => {
                assert!(pairs.is_sorted_by(|a, b| bytes(&a.0) < bytes(&b.0)));
                pairs.iter().for_each(|(_, value)| ordered(value));
            }
            cbor::Value::Array(items) => items.iter().for_each(ordered),
            _ => {}
        }
    }
    for bounds in [Bounds::LARGE, TINY] {
        let sample = Sample::new();
        let message = CoseSign1::from_tagged_slice(&sign(&sample.claims(), &bounds)).unwrap();
        let payload = message.payload.unwrap();
        let value: cbor::Value = cbor::de::from_reader(&payload[..]).unwrap();
        let mut again = Vec::new();
        cbor::ser::into_writer(&value, &mut again).unwrap();
        assert_eq!(again, payload);
        ordered(&value);
    }
}

/// The same claims give the same bytes, and one changed claim gives others.
#[test]
fn the_same_claims_give_the_same_bytes() {
    let sample = Sample::new();
    let bytes = sign(&sample.claims(), &Bounds::LARGE);
    assert_eq!(sign(&sample.claims(), &Bounds::LARGE), bytes);
    assert_eq!(encoded_len(&sample.claims(), &Bounds::LARGE), Ok(bytes.len()));
    let mut other = sample.claims();
    other.audit.seq += 1;
    assert_ne!(sign(&other, &Bounds::LARGE), bytes);
}

/// The whole message byte for byte, as SHA-256: a change of the format must be meant.
#[test]
fn the_encoding_is_frozen() {
    let sample = Sample::new();
    let bytes = sign(&sample.claims(), &Bounds::LARGE);
    let mut digits = String::new();
    sha256(&[&bytes]).iter().for_each(|byte| write!(digits, "{byte:02x}").unwrap());
    assert_eq!((bytes.len(), digits.as_str()), FROZEN);
    assert_eq!(&bytes[..4], &[0xD2, 0x84, 0x58, 38]);
    assert_eq!(bytes[bytes.len() - 66..][..2], [0x58, 64]);
}

/// What a buffer that is too small, texts that are too long and unstable lists bring.
#[test]
fn errors_are_named() {
    struct Shrinking(std::cell::Cell<u64>);
    impl Source<Extent> for Shrinking {
        fn each(&self, visit: &mut dyn FnMut(&Extent)) {
            let count = self.0.replace(self.0.get().saturating_sub(1));
            (0..count).for_each(|lba| visit(&Extent { lba: lba * 2, blocks: 1 }));
        }
    }
    let sample = Sample::new();
    let claims = sample.claims();
    let needed = encoded_len(&claims, &Bounds::LARGE).unwrap();
    for len in [0, 1, 50, needed - 1] {
        let error = encode(&claims, &Bounds::LARGE, &mut vec![0; len]).unwrap_err();
        assert_eq!(error, Error::BufferTooSmall { needed });
    }
    assert!(encode(&claims, &Bounds::LARGE, &mut vec![0; needed]).is_ok());
    let mut wordy = claims;
    wordy.firmware.build = "0123456789012345678901234567890123456789012345678901234567890123+";
    assert_eq!(encoded_len(&wordy, &Bounds::LARGE), Err(Error::TextTooLong));
    let shrinking = Shrinking(9.into());
    let mut unstable = claims;
    unstable.coverage.extents = List::source(&shrinking);
    assert_eq!(encoded_len(&unstable, &Bounds::LARGE), Err(Error::Unstable));
    let many = vec![Extent { lba: u64::MAX, blocks: u64::MAX }; 9000];
    let mut long = claims;
    long.coverage.extents = List::slice(&many);
    let bounds = Bounds { coverage: 9000, ..Bounds::LARGE };
    assert_eq!(encoded_len(&long, &bounds), Err(Error::TooLong));
}

const TINY: Bounds = Bounds {
    originated: 1,
    not_run: 0,
    counters: 2,
    emitted: 1,
    coverage: 1,
    errors: 0,
    lost: 0,
    edits: 1,
};

/// 4.3: a cut list carries count, first entries and the digest with which the host that has the
/// same list recognises it; entries the device had no room for are counted apart.
#[test]
fn a_cut_list_is_recognised() {
    let sample = Sample::new();
    let mut claims = sample.claims();
    claims.coverage.extents = claims.coverage.extents.with_unrecorded(5);
    let bytes = sign(&claims, &TINY);
    let statement = Signed::parse(&bytes).unwrap().unverified().clone();
    let extents = &statement.coverage.extents;
    assert_eq!((extents.count, extents.unrecorded), (7, 5));
    assert_eq!(extents.first, &sample.extents[..1]);
    assert_eq!(extents.digest, Some(list_digest(&sample.extents)));
    // [[0, 1000], [4096, 300]] by hand.
    let by_hand = [0x82, 0x82, 0x00, 0x19, 0x03, 0xE8, 0x82, 0x19, 0x10, 0x00, 0x19, 0x01, 0x2C];
    assert_eq!(list_digest(&sample.extents), sha256(&[&by_hand]));
    assert_eq!(statement.counters.rows.digest, Some(list_digest(&sample.rows)));
    assert_eq!(statement.coverage.errors.first, []);
    assert_eq!(statement.coverage.errors.digest, Some(list_digest(&sample.errors)));
    assert!(statement.log.lost_ranges.is_whole());
    assert!(!extents.is_whole());
    let edits = &statement.edits;
    assert_eq!((edits.count, edits.first.len()), (2, 1));
    assert!(edits.digest.is_some());
}

/// Long names of a drive are cut the same way, and the drive cannot prevent a statement.
#[test]
fn long_names_are_cut() {
    let sample = Sample::new();
    let long = vec![0xAB; 3000];
    let mut claims = sample.claims();
    if let Medium::Usb { usb, scsi, .. } = &mut claims.drive.medium {
        usb.serial = &long[..257];
        *scsi = Scsi { inquiry: &long[..256], vpd80: Some(&long), vpd83: Some(&[]) };
    }
    let bytes = sign(&claims, &Bounds::LARGE);
    let signed = Signed::parse(&bytes).unwrap();
    let statement::Asked::Value(_) = signed.unverified().drive.native_max else { panic!() };
    let wb_attest::verify::Medium::Usb { usb, scsi, .. } = &signed.unverified().drive.medium else {
        panic!()
    };
    assert_eq!((usb.serial.len, usb.serial.first.len()), (257, 256));
    assert_eq!(usb.serial.digest, Some(sha256(&[&long[..257]])));
    assert_eq!((scsi.inquiry.len, scsi.inquiry.digest), (256, None));
    let vpd80 = scsi.vpd80.as_ref().unwrap();
    assert_eq!((vpd80.len, vpd80.digest), (3000, Some(sha256(&[&long]))));
    assert_eq!(scsi.vpd83.as_ref().unwrap().len, 0);
    let edits = &signed.unverified().edits.first;
    assert_eq!((edits[1].original.len, edits[1].original.first.len()), (40, 32));
}

/// A card's registers arrive as they are.
#[test]
fn a_card_is_stated() {
    let sample = Sample::new();
    let mut claims = sample.claims();
    let status = [5; 64];
    claims.drive.medium = Medium::Card(Card {
        cid: [1; 16],
        csd: [2; 16],
        scr: Some([3; 8]),
        sd_status: Some(&status),
        spi_crc: true,
    });
    let signed = Signed::parse(&sign(&claims, &Bounds::SMALL)).unwrap();
    let wb_attest::verify::Medium::Card(card) = &signed.unverified().drive.medium else { panic!() };
    assert_eq!(
        (card.cid, card.csd, card.scr, card.spi_crc),
        ([1; 16], [2; 16], Some([3; 8]), true)
    );
    assert_eq!(card.sd_status.as_ref().unwrap().first, status);
}

/// As long as every claim can be.
struct Longest {
    sample: Sample,
    outside: Vec<u8>,
    last: Vec<Refusal>,
}

impl Longest {
    fn new() -> Self {
        let all = answers(u64::MAX / 8, u64::MAX / 8, u64::MAX / 8, u64::MAX / 8, u64::MAX / 8);
        let command = statement::Command { layer: Layer::Other, code: 0xFF, sub: 0xFFFF };
        let refusal =
            Refusal { uptime_us: u64::MAX, kind: RefusalKind::Fld, cdb: [0xFF; 16], cdb_len: 16 };
        let extent = Extent { lba: u64::MAX, blocks: u64::MAX };
        let mut sample = Sample::new();
        let outcome = StepOutcome::Sense([1; 32]);
        sample.steps = vec![Step { step: 255, command, times: u32::MAX, outcome }; 2000];
        sample.not_run = vec![NotRun { step: 255, sub: 255, reason: Skip::NotApplicable }; 2000];
        sample.rows = vec![Counter { command, answers: all, at_start: all }; 2000];
        sample.commands = vec![Emission { command, count: u64::MAX, at_start: u64::MAX }; 2000];
        sample.first = vec![refusal; 32];
        sample.extents = vec![extent; 2000];
        sample.errors =
            vec![ErrorExtent { lba: u64::MAX, blocks: u64::MAX, sense: [0xFF; 3] }; 2000];
        sample.lost = vec![extent; 2000];
        Self { sample, outside: vec![0xFF; 5000], last: vec![refusal; 32] }
    }

    fn claims<'a>(&'a self, edits: &'a [Edit<'a>], bare: &Claims<'a>) -> Claims<'a> {
        let sample = &self.sample;
        let mut claims = *bare;
        let text = "0123456789012345678901234567890123456789012345678901234567890123";
        claims.device.hardware = text;
        claims.firmware.build = text;
        claims.originated.steps = List::slice(&sample.steps).with_unrecorded(u64::MAX);
        claims.originated.not_run = List::slice(&sample.not_run).with_unrecorded(u64::MAX);
        claims.counters.rows = List::slice(&sample.rows).with_unrecorded(u64::MAX);
        claims.emitted.commands = List::slice(&sample.commands).with_unrecorded(u64::MAX);
        claims.coverage.extents = List::slice(&sample.extents).with_unrecorded(u64::MAX);
        claims.coverage.errors = List::slice(&sample.errors).with_unrecorded(u64::MAX);
        claims.log.lost_ranges = List::slice(&sample.lost).with_unrecorded(u64::MAX);
        claims.edits = List::slice(edits).with_unrecorded(u64::MAX);
        claims.refusals.first = &sample.first;
        claims.refusals.last = &self.last;
        if let Medium::Usb { usb, scsi, ata: Some(ata) } = &mut claims.drive.medium {
            let long = &self.outside[..];
            usb.serial = long;
            *scsi = Scsi { inquiry: long, vpd80: Some(long), vpd83: Some(long) };
            (ata.model, ata.serial, ata.firmware) = (long, long, long);
        }
        claims
    }
}

/// 4.3: whatever host and drive do, a statement stays below 64 KiB with the large bounds and below
/// 32 KiB with the small ones.
#[test]
fn no_statement_is_too_long() {
    let (longest, plain) = (Longest::new(), Sample::new());
    let edit = Edit {
        command: statement::Command { layer: Layer::Other, code: 0xFF, sub: 0xFFFF },
        offset: 0xFFFF,
        original: &longest.outside,
        presented: &longest.outside,
    };
    let edits = vec![edit; 2000];
    let claims = longest.claims(&edits, &plain.claims());
    let large = encoded_len(&claims, &Bounds::LARGE).unwrap();
    let small = encoded_len(&claims, &Bounds::SMALL).unwrap();
    println!("largest statements: {large} and {small} bytes");
    assert!(large <= MAX_STATEMENT - 512, "{large}");
    assert!(small <= 32_768 - 512, "{small}");
    assert!(encoded_len(&plain.claims(), &Bounds::LARGE).unwrap() < 4096);
}

fn shell(dir: &Path, command: &str) -> (bool, String) {
    let out = Process::new("sh").arg("-c").arg(command).current_dir(dir).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    (out.status.success(), text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    })
}

/// 4.3: the four commands with which anybody checks a statement, run as they are published; a
/// changed byte fails each of them.
#[test]
fn openssl_checks_a_statement() {
    if Process::new("openssl").arg("version").output().is_err() {
        return skip("openssl");
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let sample = Sample::new();
    let claims = sample.claims();
    let signed = Signed::parse(&sign(&claims, &Bounds::LARGE)).unwrap();
    let public = public_key(&SEED);
    let save = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    save("NAME.cbor", signed.cbor());
    save("NAME.tbs", &signed.tbs());
    save("NAME.sig", signed.signature());
    save("key.pem", pem(&public).as_bytes());

    let verify =
        "openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in NAME.tbs -sigfile NAME.sig";
    assert!(shell(dir, verify).0);
    let (ok, id) =
        shell(dir, "openssl pkey -pubin -in key.pem -outform DER | tail -c 32 | sha256sum");
    assert!(ok && id.starts_with(&hex(&key_id(&public))));
    let tail = "tail -c 64 NAME.cbor | cmp - NAME.sig";
    assert!(shell(dir, tail).0);
    let stands = |digest: &Digest| {
        let grep = format!("od -An -v -tx1 NAME.tbs | tr -d ' \\n' | grep -c {}", hex(digest));
        shell(dir, &grep) == (true, "1\n".to_owned())
    };
    for digest in
        [&claims.log.root, &claims.start_nonce, &claims.end_nonce, &claims.firmware.digest]
    {
        assert!(stands(digest));
    }
    assert!(!stands(&[0x77; 32]));

    for at in [0, 20, signed.tbs().len() / 2, signed.tbs().len() - 1] {
        let mut wrong = signed.tbs();
        wrong[at] ^= 1;
        save("NAME.tbs", &wrong);
        assert!(!shell(dir, verify).0, "byte {at}");
    }
    save("NAME.tbs", &signed.tbs());
    let mut wrong = *signed.signature();
    wrong[63] ^= 0x10;
    save("NAME.sig", &wrong);
    assert!(!shell(dir, verify).0);
    assert!(!shell(dir, tail).0);
    save("NAME.sig", signed.signature());
    save("key.pem", pem(&public_key(&[1; 32])).as_bytes());
    assert!(!shell(dir, verify).0);
}

/// OpenSSL writes the key the same way as `key.pem`.
#[test]
fn openssl_writes_the_same_pem() {
    if Process::new("openssl").arg("version").output().is_err() {
        return skip("openssl");
    }
    let folder = tempfile::tempdir().unwrap();
    for seed in [[0; 32], [0xFF; 32], SEED] {
        let public = public_key(&seed);
        std::fs::write(folder.path().join("key.pem"), pem(&public)).unwrap();
        let (ok, text) = shell(folder.path(), "openssl pkey -pubin -in key.pem");
        assert!(ok);
        assert_eq!(text, pem(&public));
        assert_eq!(wb_attest::verify::public_key_from_pem(&text), Ok(public));
    }
}

/// A list that is made when it is asked for encodes as the slice does.
#[test]
fn sources_and_slices_are_the_same() {
    struct Made<'a>(&'a [Extent]);
    impl Source<Extent> for Made<'_> {
        fn each(&self, visit: &mut dyn FnMut(&Extent)) {
            self.0.iter().map(|e| Extent { ..*e }).for_each(|e| visit(&e));
        }
    }
    let sample = Sample::new();
    let made = Made(&sample.extents);
    let slice: &[Extent] = &sample.extents;
    for bounds in [Bounds::LARGE, TINY] {
        let mut claims = sample.claims();
        let expected = sign(&claims, &bounds);
        claims.coverage.extents = List::source(&made);
        assert_eq!(sign(&claims, &bounds), expected);
        claims.coverage.extents = List::source(&slice);
        assert_eq!(sign(&claims, &bounds), expected);
    }
    assert_eq!(
        format!("{:?}", List::slice(&[scsi(1, 2)])),
        "[Command { layer: Scsi, code: 1, sub: 2 }]"
    );
}

const FROZEN: (usize, &str) =
    (1274, "5a65595179f9362d36719f52069c22956f2f3c4d8186e33c9e64dcb2275a2502");
