//! What a signed statement says, judged by what the host knows: a signature says who states something, not that it may be so.
//!
//! Facts: published policy, sections 1 and 3 (the commands that may reach a drive) and 7.4 (cards); published requirements, sections 4.3
//! (claims), 5.3 (counters run from attach, commands sent from power-up). The list of commands is written from the policy's words and not
//! taken from the firmware's code, so that a fault there shows here.

use wb_attest::{
    statement::{Command, Extent, Kind, Layer},
    verify::Statement,
};
use wb_policy::tables::{Decision, POLICY, POLICY_DIGEST, SubLayer};

/// SCSI operation codes that a bridge sends: TEST UNIT READY, REQUEST SENSE, INQUIRY, MODE SENSE(6), START UNIT, READ CAPACITY(10),
/// READ(10), LOG SENSE, READ(16), REPORT ZONES, SERVICE ACTION IN(16) for READ CAPACITY(16), SECURITY PROTOCOL IN.
const SENT_SCSI: [u8; 12] =
    [0x00, 0x03, 0x12, 0x1A, 0x1B, 0x25, 0x28, 0x4D, 0x88, 0x95, 0x9E, 0xA2];
/// ATA commands that it sends, with FEATURES where a code has others: READ NATIVE MAX ADDRESS EXT, READ LOG EXT, REPORT ZONES EXT, TRUSTED
/// RECEIVE, GET NATIVE MAX ADDRESS EXT, SMART READ DATA, READ THRESHOLDS, READ LOG and RETURN STATUS, DEVICE CONFIGURATION IDENTIFY, CHECK
/// POWER MODE, IDENTIFY DEVICE (12: asked for through the short pass-through), READ NATIVE MAX ADDRESS.
const SENT_ATA: [(u8, u16); 14] = [
    (0x27, 0),
    (0x2F, 0),
    (0x4A, 0),
    (0x5C, 0),
    (0x78, 0),
    (0xB0, 0xD0),
    (0xB0, 0xD1),
    (0xB0, 0xD5),
    (0xB0, 0xDA),
    (0xB1, 0xC2),
    (0xE5, 0),
    (0xEC, 0),
    (0xEC, 12),
    (0xF8, 0),
];
/// SERVICE ACTION IN(16) and its READ CAPACITY(16).
const READ_CAPACITY_16: (u8, u16) = (0x9E, 0x10);
/// Card commands: reset, conditions, registers, stop, status, block length, reads, application, OCR, CRC on.
const SENT_CARD: [u8; 12] = [0, 8, 9, 10, 12, 13, 16, 17, 18, 55, 58, 59];
/// Application commands: SD status, operating condition, SCR.
const SENT_CARD_APPLICATION: [u8; 3] = [13, 41, 51];
/// Commands that are named of those that must not be.
const NAMED_MAX: usize = 8;
/// The tamper bit that is no tamper input.
const CAPACITY_CHANGED: u32 = 1;

/// What cannot be so: claims that contradict each other, and commands that no bridge sends or passes on.
pub fn failures(statement: &Statement) -> Vec<String> {
    let mut failures: Vec<String> =
        statement.contradictions().iter().map(ToString::to_string).collect();
    let sent = statement.emitted.commands.first.iter().filter(|row| !may_be_sent(row.command));
    let sent: Vec<_> = sent.map(|row| (row.command, row.count)).collect();
    failures.extend(named("was sent to the drive", &sent));
    let own = statement.originated.steps.first.iter().filter(|step| !may_be_step(step.command));
    let own: Vec<_> = own.map(|step| (step.command, u64::from(step.times))).collect();
    failures.extend(named("is a step of its own", &own));
    let rows = statement.counters.rows.first.iter();
    let passed = rows.filter(|row| row.answers.forwarded > 0 && !may_be_forwarded(row.command));
    let passed: Vec<_> = passed.map(|row| (row.command, row.answers.forwarded)).collect();
    failures.extend(named("of the host was passed on", &passed));
    failures
}

/// What a person has to look at, and what the statement leaves open.
pub fn findings(statement: &Statement) -> Vec<String> {
    let errors = statement.coverage.errors.count;
    let tamper = statement.device.tamper;
    let all = [
        (
            statement.firmware.policy != POLICY_DIGEST,
            "the policy is not the one of this release of daleel".to_owned(),
        ),
        (
            tamper & CAPACITY_CHANGED != 0,
            "the medium's capacity changed while it was attached".to_owned(),
        ),
        (
            tamper & !CAPACITY_CHANGED != 0,
            format!("tamper inputs were active ({:#x})", tamper & !CAPACITY_CHANGED),
        ),
        (
            statement.drive.disagreement,
            "hidden area or disagreeing figures: the drive may have more blocks than it shows"
                .to_owned(),
        ),
        (errors > 0, format!("blocks could not be read in {errors} places")),
        (
            !statement.emitted.commands.is_whole(),
            "the list of the commands sent to the drive is cut, so not all of them could be judged"
                .to_owned(),
        ),
    ];
    all.into_iter().filter_map(|(is_so, text)| is_so.then_some(text)).collect()
}

/// What cannot be so of two statements of one session, the earlier first: figures that only grow have shrunk, or what stays the same has
/// changed.
pub fn succession(earlier: &Statement, later: &Statement) -> Vec<&'static str> {
    let drive = |of: &Statement| (of.drive.capacity, of.drive.block_size, of.drive.medium.clone());
    let grows = |figure: fn(&Statement) -> u64| figure(earlier) <= figure(later);
    let checks = [
        (earlier.session.kind == Kind::Checkpoint, "a statement follows the final one"),
        (
            earlier.session.start_us == later.session.start_us
                && grows(|one| one.session.end_us)
                && earlier.session.previous == later.session.previous,
            "the bridge's clock went back, or the session began at another time",
        ),
        (earlier.start_nonce == later.start_nonce, "the start nonce is another one"),
        (earlier.firmware == later.firmware, "the firmware is another one"),
        (earlier.device.hardware == later.device.hardware, "the board is another one"),
        (drive(earlier) == drive(later), "the drive is another one"),
        (
            earlier.counters.total_at_start == later.counters.total_at_start
                && answers_grow(earlier, later),
            "a counter of the host's commands went back",
        ),
        (
            grows(|one| one.emitted.cbws) && grows(|one| one.originated.total),
            "a counter of the commands sent to the drive went back",
        ),
        (
            grows(|one| one.refusals.total) && grows(|one| one.refusals.modifying),
            "a counter of refused commands went back",
        ),
        (grows(|one| one.coverage.blocks), "fewer blocks were read than before"),
        (
            grows(|one| one.log.entries)
                && grows(|one| one.log.lost)
                && grows(|one| one.log.abandoned),
            "the digest log is shorter than before",
        ),
        (
            earlier.log.entries != later.log.entries || earlier.log.root == later.log.root,
            "the same number of log entries has another root",
        ),
        (grows(|one| one.audit.seq), "the audit ring is shorter than before"),
    ];
    checks.into_iter().filter_map(|(is_right, text)| (!is_right).then_some(text)).collect()
}

/// The same of two sessions between which the bridge was not switched off: what runs from power-up.
pub fn power_up(earlier: &Statement, later: &Statement) -> Vec<&'static str> {
    let grows = |figure: fn(&Statement) -> u64| figure(earlier) <= figure(later);
    let checks = [
        (
            earlier.session.end_us <= later.session.start_us,
            "it began before the one that came before it ended",
        ),
        (grows(|one| one.emitted.cbws), "a counter of the commands sent to the drive went back"),
        (grows(|one| one.audit.seq), "the audit ring is shorter than before"),
        (earlier.firmware == later.firmware, "the firmware changed without a power-up"),
    ];
    checks.into_iter().filter_map(|(is_right, text)| (!is_right).then_some(text)).collect()
}

/// Whether blocks lie within what was read. `extents` ascend and lie apart.
pub fn was_read(extents: &[Extent], lba: u64, blocks: u64) -> bool {
    let behind = extents.partition_point(|extent| extent.lba <= lba);
    let extent = behind.checked_sub(1).and_then(|place| extents.get(place));
    extent.is_some_and(|extent| {
        lba.saturating_add(blocks) <= extent.lba.saturating_add(extent.blocks)
    })
}

fn answers_grow(earlier: &Statement, later: &Statement) -> bool {
    let (before, after) = (earlier.counters.total.to_array(), later.counters.total.to_array());
    before.iter().zip(after).all(|(before, after)| *before <= after)
}

fn may_be_sent(command: Command) -> bool {
    let pair = (command.code, command.sub);
    match command.layer {
        Layer::Scsi if command.code == READ_CAPACITY_16.0 => pair == READ_CAPACITY_16,
        Layer::Scsi => SENT_SCSI.contains(&command.code),
        Layer::Ata => SENT_ATA.contains(&pair),
        Layer::Sd => SENT_CARD.contains(&command.code),
        Layer::SdApplication => SENT_CARD_APPLICATION.contains(&command.code),
        Layer::UsbControl | Layer::Interface | Layer::Invalid | Layer::Other => false,
    }
}

/// Control requests of the USB part are steps and no commands.
fn may_be_step(command: Command) -> bool {
    command.layer == Layer::UsbControl || may_be_sent(command)
}

/// Whether the published tables let a command of the host through in any form.
fn may_be_forwarded(command: Command) -> bool {
    let code = usize::from(command.code);
    let (decision, layer) = match command.layer {
        Layer::Scsi => (POLICY.scsi.get(code).map(|row| row.decision), SubLayer::Scsi),
        Layer::Ata => (POLICY.ata.get(code).map(|row| row.decision), SubLayer::Ata),
        // Commands for which there was no row left: which ones is not known.
        Layer::Other => return true,
        _ => return false,
    };
    let (_, rows) = POLICY.rows(layer, command.code);
    decision == Some(Decision::Forward) || rows.iter().any(|row| row.decision == Decision::Forward)
}

fn named(what: &str, commands: &[(Command, u64)]) -> Option<String> {
    let names = commands.iter().take(NAMED_MAX).map(|(command, count)| {
        format!("{:?} {:02X}h/{:04X}h, {count} times", command.layer, command.code, command.sub)
    });
    let names: Vec<_> = names.collect();
    let more = commands.len().saturating_sub(NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| {
        format!(
            "by its own words a command that the policy does not know {what}: {}{rest}",
            names.join("; ")
        )
    })
}
