//! What is tested before the host can see the bridge.
//!
//! Facts: the published requirements, section 4.7 (the classifier is run against the published tables) and 4.4 (hash). SHA-256: FIPS 180-4
//! and its published examples.

use wb_attest::{
    Digest,
    digest::{HashEngine, Slot, Software},
    sha256,
};
use wb_policy::{
    capture::{Capture, Kind},
    cbw::Cdb,
    geometry::Geometry,
    judge::{Action, Facts, Profiles, classify},
    sense::Refusal,
    tables::{POLICY, POLICY_DIGEST},
};

/// The published policy as it was published, in the order in which its digest is computed.
const PUBLISHED: [&[u8]; 5] = [
    include_bytes!("../../../policy/tables/policy-scsi.csv"),
    include_bytes!("../../../policy/tables/policy-ata.csv"),
    include_bytes!("../../../policy/tables/policy-sdmmc.csv"),
    include_bytes!("../../../policy/tables/policy-acmd.csv"),
    include_bytes!("../../../policy/tables/policy-sub.csv"),
];

/// SHA-256 of `abc`.
const ABC: Digest = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];
/// The example of two blocks, and its SHA-256.
const TWO_BLOCKS: &[u8] = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
const OF_TWO_BLOCKS: Digest = [
    0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26, 0x93, 0x0c, 0x3e, 0x60, 0x39,
    0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff, 0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1,
];

/// Whether SHA-256 is right, in all slots at once and fed in uneven pieces.
pub fn hash() -> bool {
    let mut engine = Software::new();
    for piece in TWO_BLOCKS.chunks(7) {
        for slot in [Slot::A, Slot::C] {
            engine.update(slot, piece);
        }
    }
    engine.update(Slot::B, b"ab");
    engine.update(Slot::D, b"abc");
    engine.update(Slot::B, b"c");
    let digests = Slot::ALL.map(|slot| engine.finish(slot));
    digests == [OF_TWO_BLOCKS, ABC, OF_TWO_BLOCKS, ABC] && sha256(&[b"a", b"bc"]) == ABC
}

/// Whether the tables are the published ones, and the classifier refuses what they refuse.
pub fn policy() -> bool {
    sha256(&PUBLISHED) == POLICY_DIGEST && refuses_what_is_published() && judges_known_commands()
}

/// Fields of a line of the tables, in which commas between quotes belong to the field.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

/// A card of 8 GiB, so that only the policy refuses.
fn capture() -> Capture {
    let mut capture = Capture::empty(Kind::Card);
    capture.geometry = Some(Geometry { blocks: 1 << 24, block_bytes: 512 });
    capture
}

/// Length of a command by the group of its operation code (SPC-4, section 4.2.5.1).
fn length(opcode: u8) -> usize {
    match opcode >> 5 {
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => 6,
    }
}

fn action(bytes: &[u8], capture: &Capture) -> Option<Action> {
    let facts = Facts { profiles: Profiles::default(), capture, last_sense: None };
    Cdb::new(bytes).map(|cdb| classify(&POLICY, &facts, &cdb).action)
}

/// All 256 rows of the table of SCSI commands: what it denies is refused, and as write-protected where it says so.
fn refuses_what_is_published() -> bool {
    let capture = capture();
    let [scsi, ..] = PUBLISHED;
    let mut lines = scsi.split(|byte| *byte == b'\n').skip(1);
    (0..=u8::MAX).all(|opcode| {
        let mut fields = fields(lines.next().unwrap_or_default()).skip(3);
        let (decision, response) = (fields.next(), fields.next());
        let mut bytes = [0; 16];
        bytes[0] = opcode;
        let command = bytes.get(..length(opcode)).unwrap_or_default();
        let action = action(command, &capture);
        match (decision, response) {
            (Some(b"DENY"), Some(b"WP")) => action == Some(Action::Refuse(Refusal::WriteProtected)),
            (Some(b"DENY"), Some(_)) => matches!(action, Some(Action::Refuse(_))),
            (Some(_), Some(_)) => action.is_some(),
            _ => false,
        }
    })
}

/// Some commands by heart, independent of the tables.
fn judges_known_commands() -> bool {
    let capture = capture();
    let is_refused = |bytes: &[u8]| matches!(action(bytes, &capture), Some(Action::Refuse(_)));
    let write_10 = [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let format_unit = [0x04, 0, 0, 0, 0, 0];
    let unmap = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
    let crypto_erase = [0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0];
    let ata_write_dma = [0x85, 0x0C, 0x06, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0xCA, 0];
    let read_10 = [0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0];
    let beyond = [0x28, 0, 1, 0, 0, 0, 0, 0, 1, 0];
    let read = match action(&read_10, &capture) {
        Some(Action::Read(Some(range))) => (range.lba(), range.blocks()) == (5, 2),
        _ => false,
    };
    read && [&write_10[..], &format_unit, &unmap, &crypto_erase, &ata_write_dma, &beyond]
        .into_iter()
        .all(is_refused)
}
