//! The published policy says byte for byte what the firmware sends and answers (HWB-AM-05, D-08).

use wb_policy::{
    down::{DownCommand, InquiryBytes, VpdPage},
    sense::{Refusal, Sense},
    tables::{Decision, POLICY},
};

const POLICY_TEXT: &str = include_str!("../../../../docs/write-blocker/policy.md");

fn bytes(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(" ")
}

/// Sections 3.2 and 4.1b: every command without parameters stands there as it is sent.
#[test]
fn canonical_commands_are_published() {
    for command in [
        DownCommand::TestUnitReady,
        DownCommand::RequestSense,
        DownCommand::RequestSenseRegisters,
        DownCommand::Inquiry(InquiryBytes::new(36).unwrap()),
        DownCommand::Vpd(VpdPage::new(0x00).unwrap()),
        DownCommand::Vpd(VpdPage::new(0x89).unwrap()),
        DownCommand::StartUnit,
        DownCommand::ReadCapacity10,
        DownCommand::ReadCapacity16,
        DownCommand::ModeSense,
        DownCommand::AtaIdentify16,
        DownCommand::AtaIdentify12,
        DownCommand::ReadNativeMaxExt,
        DownCommand::ReadNativeMax,
        DownCommand::GetNativeMaxExt,
        DownCommand::DcoIdentify,
        DownCommand::CheckPowerMode,
        DownCommand::SmartReadData,
        DownCommand::SmartReturnStatus,
    ] {
        let cdb = format!("`{}`", bytes(command.encode(512).cdb.as_bytes()));
        assert!(POLICY_TEXT.contains(&cdb), "{command:?} {cdb}");
    }
}

/// Section 1.1: the refusals in fixed format.
#[test]
fn refusals_are_published() {
    for refusal in [Refusal::WriteProtected, Refusal::OpCode, Refusal::OutOfRange] {
        let mut out = [0; 18];
        Sense::refusal(refusal).render(false, &mut out);
        let line = format!("`{}`", bytes(&out));
        assert!(POLICY_TEXT.contains(&line), "{refusal:?} {line}");
    }
    let mut out = [0; 18];
    Sense::refusal(Refusal::Field { byte: 0xEE }).render(false, &mut out);
    let line = format!("`{}`", bytes(&out).replace("EE", "n"));
    assert!(POLICY_TEXT.contains(&line), "{line}");
}

/// The table of files gives the numbers of rows as they are.
#[test]
fn numbers_of_rows_are_published() {
    for (file, rows) in [
        ("policy-scsi.csv", POLICY.scsi.len()),
        ("policy-ata.csv", POLICY.ata.len()),
        ("policy-sdmmc.csv", POLICY.sd.len()),
        ("policy-acmd.csv", POLICY.acmd.len()),
        ("policy-sub.csv", POLICY.sub.len()),
    ] {
        let line = format!("tables/{file}) | {rows} |");
        assert!(POLICY_TEXT.contains(&line), "{line}");
    }
}

/// Section 2 of the document names every SCSI code that is not refused outright.
#[test]
fn offered_codes_are_published() {
    let start = POLICY_TEXT.find("## 2. SCSI operation codes").unwrap();
    let section = &POLICY_TEXT[start..POLICY_TEXT.find("## 3. SCSI sub-tables").unwrap()];
    let rows = section.lines().take_while(|line| !line.starts_with("Everything"));
    let codes: Vec<_> = rows.filter_map(|line| line.split('|').nth(1)).collect();
    for (code, row) in POLICY.scsi.iter().enumerate() {
        let named = codes.iter().any(|cell| cell.contains(&format!("{code:02X}h")));
        assert_eq!(named, row.decision != Decision::Deny, "{code:02X}h");
    }
}
