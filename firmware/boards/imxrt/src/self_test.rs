//! What is tested before the host can see the bridge.
//!
//! Facts: the published requirements, sections 4.4 (hash) and 4.7 (the classifier is run against the published tables).

use wb_attest::{
    digest::{Software, known_answer_test},
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

use crate::light::Failure;

/// Puts a published table into the flash part of the image, and nowhere else.
macro_rules! published {
    ($name:ident, $path:literal) => {
        // SAFETY: the linker script keeps `.xip` in the mapped flash, and the bytes are constant.
        #[cfg_attr(target_os = "none", unsafe(link_section = ".xip.policy"))]
        static $name: [u8; include_bytes!($path).len()] = *include_bytes!($path);
    };
}

published!(SCSI, "../../../policy/tables/policy-scsi.csv");
published!(ATA, "../../../policy/tables/policy-ata.csv");
published!(CARD, "../../../policy/tables/policy-sdmmc.csv");
published!(CARD_APPLICATION, "../../../policy/tables/policy-acmd.csv");
published!(SUB, "../../../policy/tables/policy-sub.csv");

/// All tests; what failed first.
///
/// # Errors
/// [`Failure::Hash`] or [`Failure::Policy`].
pub fn run() -> Result<(), Failure> {
    if !known_answer_test(&mut Software::new()) {
        return Err(Failure::Hash);
    }
    let is_published = sha256(&[&SCSI, &ATA, &CARD, &CARD_APPLICATION, &SUB]) == POLICY_DIGEST;
    if is_published && refuses_what_is_published(&SCSI) && judges_known_commands() {
        Ok(())
    } else {
        Err(Failure::Policy)
    }
}

/// A disk that has a size, so that only the policy refuses.
fn capture() -> Capture {
    let mut capture = Capture::empty(Kind::Usb);
    capture.geometry = Some(Geometry { blocks: 1 << 24, block_bytes: 512 });
    capture
}

fn action(bytes: &[u8], capture: &Capture) -> Option<Action> {
    let facts = Facts { profiles: Profiles::default(), capture, last_sense: None };
    Cdb::new(bytes).map(|cdb| classify(&POLICY, &facts, &cdb).action)
}

/// Length of a command by the group of its operation code (SPC-4, section 4.2.5.1).
const fn length(opcode: u8) -> usize {
    match opcode >> 5 {
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => 6,
    }
}

/// The fields of a line, in which commas between quotes belong to the field.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

/// Columns of the table of SCSI commands before that of the decision.
const BEFORE_DECISION: usize = 3;

/// All 256 rows: what the table denies is refused, and as write-protected where it says so.
fn refuses_what_is_published(table: &[u8]) -> bool {
    let capture = capture();
    let mut lines = table.split(|byte| *byte == b'\n').skip(1);
    (0..=u8::MAX).all(|opcode| {
        let mut fields = fields(lines.next().unwrap_or_default()).skip(BEFORE_DECISION);
        let row = (fields.next(), fields.next());
        let mut bytes = [0; 16];
        bytes[0] = opcode;
        let action = action(bytes.get(..length(opcode)).unwrap_or_default(), &capture);
        match row {
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
    let read = match action(&[0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0], &capture) {
        Some(Action::Read(Some(range))) => (range.lba(), range.blocks()) == (5, 2),
        _ => false,
    };
    let refused: [&[u8]; 9] = [
        // READ(10) beyond the end.
        &[0x28, 0, 1, 0, 0, 0, 0, 0, 1, 0],
        // WRITE(10), WRITE(16).
        &[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[0x8A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        // FORMAT UNIT without data, UNMAP, SANITIZE by crypto erase.
        &[0x04, 0, 0, 0, 0, 0],
        &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        &[0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0],
        // ATA through SAT: SET MAX ADDRESS EXT, SECURITY FREEZE LOCK.
        &[0x85, 0x07, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x37, 0],
        &[0xA1, 0x06, 0x20, 0, 0, 0, 0, 0, 0, 0xF5, 0, 0],
        // A vendor's register access.
        &[0xE5, 0, 0, 0, 0, 0],
    ];
    read && refused
        .into_iter()
        .all(|bytes| matches!(action(bytes, &capture), Some(Action::Refuse(_))))
}

#[cfg(test)]
mod tests {
    use super::{SCSI, refuses_what_is_published, run};
    use std::string::String;

    /// 4.7: the test of the board passes on the published tables.
    #[test]
    fn the_self_test_passes() {
        assert_eq!(run(), Ok(()));
    }

    /// D-08: a table that denies what the classifier allows does not pass, and neither does one that is cut short.
    #[test]
    fn another_table_does_not_pass() {
        let table = String::from_utf8(SCSI.to_vec()).unwrap_or_default();
        let lines: std::vec::Vec<&str> = table.lines().collect();
        let read = lines.iter().position(|line| line.starts_with("0x28,")).unwrap_or(0);
        let mut changed = lines.clone();
        let denied = lines[read].replace(",FWD,", ",DENY,");
        assert_ne!(denied, lines[read]);
        changed[read] = &denied;
        assert!(!refuses_what_is_published(changed.join("\n").as_bytes()));
        assert!(!refuses_what_is_published(lines[..200].join("\n").as_bytes()));
    }
}
