//! The bridge core in this process, in front of a model drive that obeys every write: does anything get through?
//!
//! This tests the code that the boards share, in this build; it says nothing about a board, its firmware image or its wiring. The
//! judge of what modifies is the model drive, which shares neither code nor tables with the bridge.

use anyhow::Result;
use serde::Serialize;
use wb_attest::{interface::Ending, sha256};
use wb_sim::{
    bridge::Setup,
    drive::{
        AtaFields, BadBlocks, BadKind, DriveConfig, ModelDrive, Request, judge_ata, judge_scsi,
    },
    host::Phase,
};

use super::{
    link::Link,
    record::{KEY_FILE, read_key},
    session::{Session, failure},
    sim::SimPort,
    verify::verify,
};
use crate::exit::{Exit, Failure};

/// Bytes that a forbidden command tries to send.
const DATA: u32 = 512;
/// Blocks read at once.
const READ_BLOCKS: u16 = 256;
/// Bytes of a command wrapper: all that the drive's bulk-OUT endpoint may ever be sent.
const WRAPPER_BYTES: usize = 31;
/// A block that the model cannot read.
const BAD_BLOCK: u64 = 40_000;
/// Service actions of commands that have some.
const SERVICE_ACTIONS: u8 = 32;

/// A check of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckJson {
    /// What was checked.
    pub name: &'static str,
    /// How often something was tried.
    pub tried: u64,
    /// How often it went as it has to.
    pub right: u64,
    /// What that means.
    pub expected: &'static str,
    /// It went right every time, and at least once.
    pub passed: bool,
}

impl CheckJson {
    const fn new(name: &'static str, expected: &'static str, tried: u64, right: u64) -> Self {
        Self { name, tried, right, expected, passed: tried > 0 && tried == right }
    }
}

/// What the self-test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelfTestJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// Every check passed.
    pub passed: bool,
    /// The checks.
    pub checks: Vec<CheckJson>,
    /// Refused modifying commands as the bridge counted them.
    pub refused_modifying: u64,
    /// What this does not test.
    pub notice: &'static str,
}

/// What the self-test does not test.
pub const NOTICE: &str = "this tests the code that the boards share, in this program; it says nothing about a board, its firmware image or its wiring";

/// Runs all checks. `step` hears of each check as it begins.
///
/// # Errors
/// When the simulated bridge does not come up, or files cannot be written.
pub fn run(step: &mut dyn FnMut(&'static str)) -> Result<SelfTestJson> {
    let mut checks = vec![control()];
    let bad = BadBlocks { blocks: BAD_BLOCK..BAD_BLOCK.saturating_add(1), kind: BadKind::Medium };
    let mut config = DriveConfig::default();
    config.faults.bad = vec![bad];
    let port = SimPort::new(&Setup::default(), config);
    let failed = || Failure::new(Exit::Internal, "the simulated bridge does not come up");
    let mut link = Link::new(port.ok_or_else(failed)?);
    let before = link.port_mut().drive().map(ModelDrive::state_digest);
    let folder = tempfile::tempdir()?;
    let evidence = folder.path().join("bridge");
    Session::start(&mut link, &evidence, [0x5A; 32], false)?;
    // The first command of a host hears of the power-up.
    let _ = link.port_mut().host().command(&[0; 6], Phase::None);
    step("reading");
    checks.extend(reading(&mut link));
    step("SCSI commands");
    checks.extend(scsi(&mut link));
    step("ATA commands");
    checks.push(ata(&mut link));
    checks.push(nothing_changed(&mut link, before));
    step("statement");
    let info = link.info().map_err(failure)?;
    let stored = Session::resume(&mut link, &evidence)?.statement(Ending::Final, [0xA5; 32])?;
    let outcome = verify(&evidence, &read_key(&evidence.join(KEY_FILE))?)?;
    // Nothing is wrong, and the block that could not be read is the one thing to look at.
    let is_right = outcome.report.verified
        && !stored.is_wrong
        && stored.findings.len() == 1
        && stored.refused_modifying == u64::from(info.refused);
    let expected = "signed, verified offline, counters and log agree";
    checks.push(CheckJson::new("session statement", expected, 1, is_right.into()));
    checks.push(tampering(
        &evidence,
        &outcome.report.statements,
        &read_key(&evidence.join(KEY_FILE))?,
    )?);
    Ok(SelfTestJson {
        schema: "daleel.bridge-self-test/1",
        passed: checks.iter().all(|check| check.passed),
        checks,
        refused_modifying: stored.refused_modifying,
        notice: NOTICE,
    })
}

/// The model obeys when nothing stands in front of it: otherwise what follows would prove nothing.
fn control() -> CheckJson {
    let mut drive = ModelDrive::new(DriveConfig::default());
    let before = drive.state_digest();
    let write = [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    drive.execute(&Request::out(&write, &[0xEE; DATA as usize]));
    let has_changed = drive.state_digest() != before && drive.violations().count() == 1;
    CheckJson::new(
        "control: a write without the bridge",
        "changes the model drive",
        1,
        has_changed.into(),
    )
}

/// The whole drive through the bridge, and the block that fails.
fn reading(link: &mut Link<SimPort>) -> Vec<CheckJson> {
    let port = link.port_mut();
    let blocks = port.drive().map_or(0, |drive| drive.capacity().visible);
    let (mut tried, mut right) = (0_u64, 0_u64);
    for lba in (0..blocks).step_by(READ_BLOCKS.into()) {
        let range = lba..lba.saturating_add(READ_BLOCKS.into());
        if range.contains(&BAD_BLOCK) {
            continue;
        }
        tried = tried.saturating_add(1);
        let expected = port.drive().map(|drive| sha256(&[&drive.peek(lba, READ_BLOCKS.into())]));
        let read = read10(port, lba, READ_BLOCKS);
        right = right.saturating_add((read.map(|bytes| sha256(&[&bytes])) == expected).into());
    }
    let good = read10(port, BAD_BLOCK.saturating_sub(1), 1).is_some();
    let bad = read10(port, BAD_BLOCK, 1).is_none();
    let sense = port.host().sense().map(|(code, _)| code);
    let behind = read10(port, BAD_BLOCK.saturating_add(1), 1).is_some();
    let is_exact = good && bad && behind && sense == Ok([0x03, 0x11, 0x00]);
    vec![
        CheckJson::new("reading", "the model drive's bytes", tried, right),
        CheckJson::new(
            "a block that cannot be read",
            "fails alone, with the drive's own sense",
            1,
            is_exact.into(),
        ),
    ]
}

fn read10(port: &mut SimPort, lba: u64, blocks: u16) -> Option<Vec<u8>> {
    port.read(u32::try_from(lba).ok()?, blocks)
}

/// Refused or not, one command with what becomes of it.
#[derive(Default)]
struct Tally {
    tried: u64,
    refused: u64,
}

impl Tally {
    fn attempt(&mut self, port: &mut SimPort, cdb: &[u8], phase: Phase<'_>) {
        self.tried = self.tried.saturating_add(1);
        match port.host().command(cdb, phase) {
            Ok(outcome) if outcome.status == 1 => self.refused = self.refused.saturating_add(1),
            Ok(_) => {}
            // A transport that is out of step is no refusal.
            Err(_) => {
                port.host().recover();
            }
        }
    }

    const fn check(self, name: &'static str) -> CheckJson {
        CheckJson::new(name, "refused with CHECK CONDITION", self.tried, self.refused)
    }
}

/// All operation codes and service actions that the model calls modifying, with data to the drive, from it, and without.
fn scsi(link: &mut Link<SimPort>) -> [CheckJson; 2] {
    let (mut standard, mut vendor) = (Tally::default(), Tally::default());
    for opcode in 0..=u8::MAX {
        for action in 0..SERVICE_ACTIONS {
            let cdb = scsi_cdb(opcode, action);
            let verdict = judge_scsi(&cdb, 0);
            if !verdict.modifying {
                continue;
            }
            let is_vendor = opcode >= 0xC0 || verdict.name == UNKNOWN;
            let tally = if is_vendor { &mut vendor } else { &mut standard };
            for phase in [Phase::None, Phase::In(DATA), Phase::Zeros(DATA)] {
                tally.attempt(link.port_mut(), &cdb, phase);
            }
        }
    }
    [standard.check("modifying SCSI commands"), vendor.check("reserved and vendor SCSI commands")]
}

/// The model's name for what no standard defines.
const UNKNOWN: &str = "unknown or vendor specific";

/// A block of the opcode's length with a service action, an address of 0 and a length of 1.
fn scsi_cdb(opcode: u8, action: u8) -> Vec<u8> {
    let length: usize = match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    };
    let mut cdb = vec![0; length];
    let length_at = match length {
        6 => 4,
        10 => 8,
        12 => 9,
        _ => 13,
    };
    for (at, value) in [(0, opcode), (1, action), (length_at, 1)] {
        if let Some(byte) = cdb.get_mut(at) {
            *byte = value;
        }
    }
    cdb
}

/// All ATA commands and features that the model calls modifying, through both pass-through commands and every protocol.
fn ata(link: &mut Link<SimPort>) -> CheckJson {
    const FEATURES: [u8; 8] = [0x00, 0x01, 0x02, 0x55, 0xC0, 0xD2, 0xD6, 0xD8];
    // Protocol, T_DIR and T_LENGTH: no data, PIO in, PIO out, DMA out.
    const WAYS: [(u8, u8); 4] = [(3, 0x20), (4, 0x2E), (5, 0x26), (6, 0x26)];
    let mut tally = Tally::default();
    for command in 0..=u8::MAX {
        for features in FEATURES {
            let fields = AtaFields { command, features: features.into(), count: 1, lba: 0 };
            if !judge_ata(fields).modifying {
                continue;
            }
            for (protocol, flags) in WAYS {
                let phase = match flags {
                    0x2E => Phase::In(DATA),
                    0x26 => Phase::Zeros(DATA),
                    _ => Phase::None,
                };
                let head = protocol << 1;
                let long = [0x85, head, flags, 0, features, 0, 1, 0, 0, 0, 0, 0, 0, 0, command, 0];
                let short = [0xA1, head, flags, features, 1, 0, 0, 0, 0, command, 0, 0];
                tally.attempt(link.port_mut(), &long, phase);
                tally.attempt(link.port_mut(), &short, phase);
            }
        }
    }
    tally.check("modifying ATA commands, passed through")
}

/// Content, capacity and every lasting state of the model, and what was sent to it.
fn nothing_changed(link: &mut Link<SimPort>, before: Option<[u8; 32]>) -> CheckJson {
    let port = link.port_mut();
    let sent = port.bulk_out();
    let are_wrappers = sent.iter().all(|transfer| transfer.len() == WRAPPER_BYTES);
    let is_unchanged = before.is_some()
        && port.drive().map(ModelDrive::state_digest) == before
        && port.drive().is_some_and(|drive| drive.violations().next().is_none());
    let expected = "no modifying command and no data reached it; its state is the same";
    CheckJson::new("the model drive afterwards", expected, 1, (are_wrappers && is_unchanged).into())
}

/// Each file of a statement with one bit changed has to be noticed.
fn tampering(
    folder: &std::path::Path,
    statements: &[super::verify::CheckedJson],
    key: &[u8; 32],
) -> Result<CheckJson> {
    let (mut tried, mut noticed) = (0_u64, 0_u64);
    for name in statements.iter().filter_map(|one| one.file.strip_suffix(".cbor")) {
        for ending in ["cbor", "tbs", "sig", "log"] {
            let path = folder.join(format!("{name}.{ending}"));
            let held = std::fs::read(&path)?;
            let mut changed = held.clone();
            if let Some(byte) = changed.get_mut(held.len() / 2) {
                *byte ^= 1;
            }
            std::fs::write(&path, &changed)?;
            tried = tried.saturating_add(1);
            noticed = noticed.saturating_add(u64::from(!verify(folder, key)?.report.verified));
            std::fs::write(&path, &held)?;
        }
    }
    Ok(CheckJson::new("changed statement files", "noticed", tried, noticed))
}
