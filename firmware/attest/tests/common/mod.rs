//! A session with everything in it, as test material.
#![allow(dead_code, clippy::print_stdout)] // each test program uses a part of it; skipping is said aloud

use wb_attest::Digest;
use wb_attest::digest::Engine;
use wb_attest::key::key_id;
use wb_attest::log::{CHUNK, Entry, Frontier};
use wb_attest::statement::{
    Answers, Asked, Ata, Audit, Bounds, Claims, Command, Counter, Counters, Coverage, Device,
    Drive, Edit, Emission, Emitted, EndReason, ErrorExtent, Extent, Firmware, Kind, Layer, List,
    LogState, Medium, NotRun, Originated, Protection, Refusal, RefusalKind, Refusals, Scsi,
    Session, Signer, Skip, Step, StepOutcome, Usb, encode, profile,
};
use wb_attest::verify::Expected;

pub const SEED: [u8; 32] = [0x42; 32];
pub const START_NONCE: Digest = [0x11; 32];
pub const END_NONCE: Digest = [0x22; 32];
pub const FIRMWARE: Digest = [0x33; 32];
pub const POLICY: Digest = [0x44; 32];

pub fn signer() -> Signer {
    Signer::new(&SEED)
}

pub fn expected() -> Expected {
    Expected {
        start_nonce: START_NONCE,
        end_nonce: END_NONCE,
        firmware: Some(FIRMWARE),
        policy: Some(POLICY),
    }
}

pub fn scsi(code: u8, sub: u16) -> Command {
    Command { layer: Layer::Scsi, code, sub }
}

/// The lists of a session; the claims borrow them.
#[derive(Clone)]
pub struct Sample {
    pub steps: Vec<Step>,
    pub not_run: Vec<NotRun>,
    pub rows: Vec<Counter>,
    pub commands: Vec<Emission>,
    pub first: Vec<Refusal>,
    pub last: Vec<Refusal>,
    pub extents: Vec<Extent>,
    pub errors: Vec<ErrorExtent>,
    pub lost: Vec<Extent>,
    pub entries: Vec<Entry>,
    pub inquiry: Vec<u8>,
    pub vpd83: Vec<u8>,
}

pub fn answers(forwarded: u64, synthesised: u64, wp: u64, op: u64, fld: u64) -> Answers {
    Answers {
        received: forwarded + synthesised + wp + op + fld,
        forwarded,
        synthesised,
        refused_wp: wp,
        refused_op: op,
        refused_fld: fld,
    }
}

pub fn entries(count: u64) -> Vec<Entry> {
    let mut log = Frontier::new();
    (0..count)
        .map(|i| {
            let digest = wb_attest::sha256(&[&i.to_be_bytes()]);
            log.push((i * 7) % 101, CHUNK, digest).unwrap()
        })
        .collect()
}

impl Sample {
    pub fn new() -> Self {
        let none = Answers::default();
        let refusal = |uptime_us, kind, bytes: &[u8]| {
            let mut cdb = [0; 16];
            cdb[..bytes.len()].copy_from_slice(bytes);
            Refusal { uptime_us, kind, cdb, cdb_len: bytes.len() as u8 }
        };
        Self {
            steps: vec![
                Step {
                    step: 1,
                    command: scsi(0x12, 0),
                    times: 1,
                    outcome: StepOutcome::Good([1; 32]),
                },
                Step {
                    step: 5,
                    command: scsi(0x00, 0),
                    times: 3,
                    outcome: StepOutcome::Sense([2; 32]),
                },
                Step { step: 8, command: scsi(0x1A, 0x3F), times: 1, outcome: StepOutcome::Failed },
            ],
            not_run: vec![NotRun { step: 12, sub: 0, reason: Skip::BridgeNotListed }],
            rows: vec![
                Counter {
                    command: scsi(0x12, 0),
                    answers: answers(0, 3, 0, 0, 0),
                    at_start: answers(0, 2, 0, 0, 0),
                },
                Counter {
                    command: scsi(0x28, 0),
                    answers: answers(5000, 1, 0, 0, 2),
                    at_start: answers(12, 0, 0, 0, 0),
                },
                Counter { command: scsi(0x2A, 0), answers: answers(0, 0, 2, 0, 0), at_start: none },
            ],
            commands: vec![
                Emission { command: scsi(0x00, 0), count: 3, at_start: 3 },
                Emission { command: scsi(0x12, 0), count: 1, at_start: 1 },
                Emission { command: scsi(0x1A, 0x3F), count: 1, at_start: 1 },
                Emission { command: scsi(0x28, 0), count: 5000, at_start: 12 },
                Emission {
                    command: Command { layer: Layer::UsbControl, code: 6, sub: 0x80 },
                    count: 9,
                    at_start: 9,
                },
            ],
            first: vec![
                refusal(70, RefusalKind::Wp, &[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
                refusal(80, RefusalKind::Wp, &[0x2A, 0, 0, 0, 0, 1, 0, 0, 1, 0]),
                refusal(90, RefusalKind::Fld, &[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0]),
                refusal(91, RefusalKind::Fld, &[0x28, 0x20, 0, 0, 0, 0, 0, 0, 2, 0]),
            ],
            last: vec![],
            extents: vec![Extent { lba: 0, blocks: 1000 }, Extent { lba: 4096, blocks: 300 }],
            errors: vec![ErrorExtent { lba: 1000, blocks: 1, sense: [3, 0x11, 0] }],
            lost: vec![],
            entries: entries(13),
            inquiry: b"\x00\x00\x06\x02\x1f\x00\x00\x00Acme    Diskette\xff\xfe      0001".to_vec(),
            vpd83: vec![0x83; 30],
        }
    }

    pub fn claims(&self) -> Claims<'_> {
        let mut log = Frontier::new();
        for entry in &self.entries {
            log.append(entry).unwrap();
        }
        let sum = |pick: fn(&Counter) -> Answers| {
            let mut sums = [0; 6];
            for row in &self.rows {
                for (sum, figure) in sums.iter_mut().zip(pick(row).to_array()) {
                    *sum += figure;
                }
            }
            Answers::from_array(sums)
        };
        let cbws = self.commands.iter().filter(|row| row.command.layer <= Layer::Ata);
        let cbws = cbws.map(|row| row.count).sum();
        Claims {
            start_nonce: START_NONCE,
            end_nonce: END_NONCE,
            boot_counter: 17,
            device: Device {
                key_id: key_id(&signer().public_key()),
                protection: Protection::PlainFlash,
                hardware: "teensy41",
                tamper: 0,
            },
            firmware: Firmware {
                digest: FIRMWARE,
                policy: POLICY,
                profiles: profile::IDENT,
                build: "0.1.0",
                engine: Engine::Software,
            },
            session: Session {
                kind: Kind::Final,
                number: 2,
                checkpoint: 1,
                start_us: 5_000_000,
                end_us: 700_000_000,
                reason: EndReason::Finished,
                previous: Some(EndReason::Superseded),
            },
            drive: Drive {
                lun: 0,
                capacity: 234_441_648,
                block_size: 512,
                native_max: Asked::Value(234_441_648),
                dco_max: Asked::NotAsked(Skip::BridgeNotListed),
                amax: Asked::Failed,
                disagreement: false,
                medium: Medium::Usb {
                    usb: Usb {
                        descriptors: [9; 32],
                        vendor: 0x152D,
                        product: 0x0578,
                        release: 0x0100,
                        serial: b"A\0B\0",
                        listed: false,
                    },
                    scsi: Scsi { inquiry: &self.inquiry, vpd80: None, vpd83: Some(&self.vpd83) },
                    ata: Some(Ata {
                        model: b"ACME HD                                 ",
                        serial: b"WD-00000000000000001",
                        firmware: b"01.0",
                        wwn: Some(0x5001_4EE2_0000_0001),
                        identify: [7; 32],
                        valid: true,
                    }),
                },
            },
            originated: Originated {
                total: self.steps.iter().map(|step| u64::from(step.times)).sum(),
                steps: List::slice(&self.steps),
                not_run: List::slice(&self.not_run),
            },
            counters: Counters {
                total: sum(|row| row.answers),
                total_at_start: sum(|row| row.at_start),
                rows: List::slice(&self.rows),
            },
            emitted: Emitted {
                cbws,
                bulk_out_bytes: cbws * 31,
                commands: List::slice(&self.commands),
            },
            refusals: Refusals {
                total: (self.first.len() + self.last.len()) as u64,
                modifying: 2,
                first: &self.first,
                last: &self.last,
            },
            coverage: Coverage {
                blocks: self.extents.iter().map(|extent| extent.blocks).sum(),
                extents: List::slice(&self.extents),
                errors: List::slice(&self.errors),
            },
            log: LogState {
                entries: log.size(),
                root: log.root(),
                lost: self.lost.iter().map(|range| range.blocks).sum(),
                abandoned: 4,
                lost_ranges: List::slice(&self.lost),
            },
            edits: List::slice(
                const {
                    &[
                        Edit {
                            command: Command { layer: Layer::Scsi, code: 0x12, sub: 0 },
                            offset: 3,
                            original: &[0x12],
                            presented: &[0x02],
                        },
                        Edit {
                            command: Command { layer: Layer::Scsi, code: 0x12, sub: 0 },
                            offset: 58,
                            original: &[0x55; 40],
                            presented: &[],
                        },
                    ]
                },
            ),
            audit: Audit { head: [0xAA; 32], seq: 812 },
        }
    }
}

/// Encodes and signs.
pub fn sign(claims: &Claims<'_>, bounds: &Bounds) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let unsigned = encode(claims, bounds, &mut buffer).unwrap();
    let parts = unsigned.parts(&buffer).concat();
    let signature = signer().sign_in_chunks(|take| take(&parts)).unwrap();
    unsigned.attach(&mut buffer, &signature).unwrap().to_vec()
}

/// A message of the right form around any payload, signed.
pub fn sign_payload(payload: &[u8]) -> Vec<u8> {
    let key_id = key_id(&signer().public_key());
    let mut protected = vec![0xA2, 0x01, 0x27, 0x04, 0x58, 0x20];
    protected.extend(key_id);
    let head = |len: usize| match len {
        0..24 => vec![0x40 | len as u8],
        24..256 => vec![0x58, len as u8],
        _ => vec![0x59, (len >> 8) as u8, len as u8],
    };
    let body = [head(payload.len()), payload.to_vec()].concat();
    let protected = [head(protected.len()), protected].concat();
    let tbs =
        [b"\x84\x6ASignature1".to_vec(), protected.clone(), vec![0x40], body.clone()].concat();
    let signature = signer().sign_in_chunks(|take| take(&tbs)).unwrap();
    [vec![0xD2, 0x84], protected, vec![0xA0], body, vec![0x58, 64], signature.to_vec()].concat()
}

/// Tells that an independent program is missing; fails when it has to be there.
pub fn skip(what: &str) {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "missing: {what}");
    println!("SKIPPED: {what} is not installed");
}
