//! A bridge that lies: statements with changed claims, signed again with the key of the simulator.
//!
//! Facts: RFC 8949, section 4.2.1 (the deterministic encoding that statements have); `docs/schemas/bridge-statement.cddl` (the keys).

use std::{fs, path::Path};

use daleel::export::hashed::hex;
use wb_attest::{
    sha256,
    statement::{Signer, Unsigned},
    verify::Signed,
};

/// Seed of the simulator's key.
const SEED: [u8; 32] = [7; 32];

/// A CBOR item of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cbor {
    Int(i128),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Cbor>),
    Map(Vec<(i128, Cbor)>),
    Simple(u8),
}

impl Cbor {
    fn read(bytes: &mut &[u8]) -> Self {
        let first = take(bytes, 1)[0];
        let argument = match first & 31 {
            small @ 0..24 => u64::from(small),
            size @ 24..28 => take(bytes, 1 << (size - 24))
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            _ => panic!("no definite length"),
        };
        match first >> 5 {
            0 => Self::Int(argument.into()),
            1 => Self::Int(-1 - i128::from(argument)),
            2 => Self::Bytes(take(bytes, argument as usize).to_vec()),
            3 => Self::Text(take(bytes, argument as usize).to_vec()),
            4 => Self::Array((0..argument).map(|_| Self::read(bytes)).collect()),
            5 => {
                let pair = |bytes: &mut &[u8]| {
                    let Self::Int(key) = Self::read(bytes) else { panic!("key") };
                    (key, Self::read(bytes))
                };
                Self::Map((0..argument).map(|_| pair(bytes)).collect())
            }
            7 => Self::Simple(first),
            _ => panic!("no item of a statement"),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) if *value < 0 => head(out, 1, (-1 - value) as u64),
            Self::Int(value) => head(out, 0, *value as u64),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend(bytes);
            }
            Self::Text(bytes) => {
                head(out, 3, bytes.len() as u64);
                out.extend(bytes);
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(pairs) => {
                head(out, 5, pairs.len() as u64);
                for (key, value) in pairs {
                    Self::Int(*key).write(out);
                    value.write(out);
                }
            }
            Self::Simple(byte) => out.push(*byte),
        }
    }

    /// The item at a path of map keys and places in arrays.
    pub fn at(&mut self, path: &[i128]) -> &mut Self {
        path.iter().fold(self, |item, step| match item {
            Self::Map(pairs) => {
                let found = pairs.iter_mut().find(|(key, _)| key == step);
                &mut found.unwrap_or_else(|| panic!("{step} in {path:?}")).1
            }
            Self::Array(items) => &mut items[*step as usize],
            other => panic!("{other:?} at {step} in {path:?}"),
        })
    }

    /// Adds to a number.
    pub fn add(&mut self, path: &[i128], more: i128) {
        let Self::Int(value) = self.at(path) else { panic!("{path:?} is no number") };
        *value += more;
    }

    /// Adds an item at the end of an array.
    pub fn push(&mut self, path: &[i128], item: Self) {
        let Self::Array(items) = self.at(path) else { panic!("{path:?} is no array") };
        items.push(item);
    }
}

/// An array of numbers.
pub fn numbers(values: &[i128]) -> Cbor {
    Cbor::Array(values.iter().map(|value| Cbor::Int(*value)).collect())
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (code, from) = match argument {
        0..24 => {
            out.push(major << 5 | argument as u8);
            return;
        }
        24..0x100 => (24, 7),
        0x100..0x1_0000 => (25, 6),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 0),
    };
    out.push(major << 5 | code);
    out.extend(&bytes[from..]);
}

/// A statement with other claims, and a signature that fits.
pub fn forged(cose: &[u8], change: impl FnOnce(&mut Cbor)) -> Vec<u8> {
    let (layout, ..) = Unsigned::read(cose).unwrap();
    let payload = layout.payload(cose);
    let mut claims = Cbor::read(&mut &payload[..]);
    let mut same = Vec::new();
    claims.write(&mut same);
    assert_eq!(same, payload, "what is read is written");
    change(&mut claims);
    let mut payload_now = Vec::new();
    claims.write(&mut payload_now);
    let mut head_then = Vec::new();
    head(&mut head_then, 2, payload.len() as u64);
    let before = payload.as_ptr() as usize - cose.as_ptr() as usize - head_then.len();
    let mut forged = cose[..before].to_vec();
    head(&mut forged, 2, payload_now.len() as u64);
    forged.extend(&payload_now);
    forged.extend([0x58, 64]);
    forged.extend([0; 64]);
    let (layout, ..) = Unsigned::read(&forged).unwrap();
    let parts = layout.parts(&forged).concat();
    let signature = Signer::new(&SEED).sign_in_chunks(|sink| sink(&parts)).unwrap();
    layout.attach(&mut forged, &signature).unwrap().to_vec()
}

/// Puts a statement with other claims into the place of a stored one, with all its files and its line of the journal, as the host would have
/// stored it.
pub fn replace(folder: &Path, name: &str, change: impl FnOnce(&mut Cbor)) {
    let path = |ending: &str| folder.join(format!("{name}.{ending}"));
    let then = fs::read(path("cbor")).unwrap();
    let now = forged(&then, change);
    let signed = Signed::parse(&now).unwrap();
    fs::write(path("cbor"), &now).unwrap();
    fs::write(path("tbs"), signed.tbs()).unwrap();
    fs::write(path("sig"), signed.signature()).unwrap();
    let digests = (hex(&sha256(&[&then])), hex(&sha256(&[&now])));
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(path("json")).unwrap()).unwrap();
    json["statement"] = serde_json::to_value(signed.unverified()).unwrap();
    json["sha256"] = digests.1.clone().into();
    fs::write(path("json"), serde_json::to_vec_pretty(&json).unwrap()).unwrap();
    let session = name.split('.').next().unwrap();
    let journal = folder.join(format!("{session}.session.jsonl"));
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains(&digests.0));
    fs::write(&journal, text.replace(&digests.0, &digests.1)).unwrap();
}
