//! What is shown, decoded by programs that know nothing of this code: sg3_utils and hdparm.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use wb_policy::{
    capture::Capture,
    judge::Answer,
    present::State,
    sense::{self, AtaRegisters, Refusal, Sense},
};

use crate::{captures, inquiry, shown, shown_in, vpd};

/// Output of a program that reads `bytes` from the file named by its last argument; `None` with a visible line where the program is
/// not installed.
fn decoded(program: &str, arguments: &[&str], option: &str, bytes: &[u8]) -> Option<String> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("test").replace(':', "-");
    let file = std::env::temp_dir().join(format!("wb-policy-{}-{name}", std::process::id()));
    fs::write(&file, bytes).unwrap();
    let file_argument = format!("{option}={}", file.display());
    let output = Command::new(program).args(arguments).arg(file_argument).output();
    fs::remove_file(&file).unwrap();
    text(program, output)
}

fn text(program: &str, output: std::io::Result<std::process::Output>) -> Option<String> {
    let Ok(output) = output else {
        assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "{program} is missing");
        eprintln!("SKIPPED: {program} is not installed");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sg_inq(bytes: &[u8]) -> Option<String> {
    decoded("sg_inq", &["--raw"], "--inhex", bytes)
}

fn sg_vpd(bytes: &[u8]) -> Option<String> {
    decoded("sg_vpd", &["--raw", "--long"], "--inhex", bytes)
}

fn assert_has(text: &str, wanted: &[&str]) {
    for line in wanted {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
}

/// HWB-AM-03 by sg_inq: identity of each exhibit, no feature that the blocker does not offer.
#[test]
fn sg_inq_reads_the_identity() {
    let cases: [(Capture, &[&str]); 4] = [
        (
            captures::sata(),
            &[
                "RMB=0",
                "HiSUP=1",
                "version=0x06",
                "WDC WD10",
                "EZEX-08WN4A0",
                "level: 0112",
                "length=58 (0x3a)",
            ],
        ),
        (captures::stick(), &["RMB=1", "SanDisk", "Ultra", "level: 1.00", "length=36 (0x24)"]),
        (captures::big(), &["RMB=0", "ST20000N", "M007D-3DJ103", "level: SN03"]),
        (captures::card(), &["RMB=1", "version=0x05", "SD03 SD", "SU08G", "level: 8.0"]),
    ];
    for (capture, wanted) in cases {
        let Some(text) = sg_inq(&inquiry(&capture)) else { return };
        assert_has(&text, wanted);
        assert_has(&text, &["PQual=0", "PDT=0", "Resp_data_format=2", "NormACA=0", "disk"]);
        assert_has(&text, &["SCCS=0", "ACC=0", "TPGS=0", "3PC=0", "Protect=0", "EncServ=0"]);
        assert_has(&text, &["MultiP=0", "CmdQue=0"]);
        assert!(!text.contains("Version descriptor"), "{text}");
    }
}

/// 5.2 by sg_vpd: the pages of a disk.
#[test]
fn sg_vpd_reads_the_pages_of_a_disk() {
    let disk = captures::sata();
    let Some(list) = sg_vpd(&vpd(0x00, &disk)) else { return };
    assert_has(&list, &["0x00", "0x80", "0x83", "0x89", "0xb0", "0xb1", "0xb2"]);
    assert!(!list.contains("0x86") && !list.contains("0xc0"), "{list}");
    let page = |code| sg_vpd(&vpd(code, &disk)).unwrap();
    assert_has(&page(0x80), &["WD-WCC6Y1234567"]);
    assert_has(
        &page(0x83),
        &["T10 vendor identification", "WD-WCC6Y1234567", "0x50014ee2b1234567"],
    );
    assert_has(&page(0x89), &["JMicron", "USB to ATA", "WDC WD10EZEX-08WN4A0"]);
    assert_has(
        &page(0xB0),
        &[
            "(WSNZ): 0",
            "Maximum compare and write length: 0 blocks",
            "Maximum transfer length: 4194304 blocks",
            "Maximum unmap LBA count: 0",
            "Maximum unmap block descriptor count: 0",
            "Maximum write same length: 0 blocks",
            "Maximum atomic transfer length: 0 blocks",
            "Maximum atomic boundary size: 0 blocks",
        ],
    );
    assert_has(&page(0xB1), &["7200 rpm"]);
    assert_has(&page(0xB2), &["(LBPU): 0", "(LBPWS): 0", "(LBPWS10): 0", "Provisioning type: 0"]);
}

/// 7.4 by sg_vpd: the pages of a card.
#[test]
fn sg_vpd_reads_the_pages_of_a_card() {
    let card = captures::card();
    let Some(serial) = sg_vpd(&vpd(0x80, &card)) else { return };
    assert_has(&serial, &["1A2B3C4D"]);
    let page = |code| sg_vpd(&vpd(code, &card)).unwrap();
    assert_has(
        &page(0x83),
        &["T10 vendor identification", "SD03 SD", "0353445355303847801A2B3C4D00C7B5"],
    );
    assert_has(&page(0xB1), &["Non-rotating medium"]);
    assert_has(&page(0xB2), &["(LBPU): 0", "Provisioning type: 0"]);
}

/// 1.1 by sg_decode_sense: refusals in both formats, with the blocker's own FRU; a drive's read error with its address.
#[test]
fn sg_decode_sense_reads_refusals_and_errors() {
    let ask = |sense: &Sense, descriptor| {
        let capture = captures::sata();
        let registers = AtaRegisters::default();
        let state = State { capture: &capture, sense, registers: &registers, ident: true };
        let bytes = shown_in(Answer::RequestSense { descriptor, allocation: 252 }, &state);
        decoded("sg_decode_sense", &[], "--binary", &bytes)
    };
    // The decoder prints the unit code in decimal for the fixed format.
    for (descriptor, own) in [(false, "unit code: 87"), (true, "unit code: 0x57")] {
        let Some(text) = ask(&Sense::refusal(Refusal::WriteProtected), descriptor) else { return };
        assert_has(&text, &["Data Protect", "Write protected", own]);
        let text = ask(&Sense::refusal(Refusal::Field { byte: 14 }), descriptor).unwrap();
        assert_has(&text, &["Illegal Request", "Invalid field in cdb", "byte 14", own]);
        let error = Sense::new(sense::UNRECOVERED_READ).with_information(0x1234_5678);
        let text = ask(&error, descriptor).unwrap();
        assert_has(&text, &["Medium Error", "Unrecovered read error"]);
        assert!(text.to_lowercase().contains("12345678"), "{text}");
        assert!(!text.contains(own), "{text}");
    }
}

/// HWB-AM-03 by hdparm: the IDENTIFY data that come back are those of the drive, checksum included.
#[test]
fn hdparm_reads_the_identify_data() {
    let words: String = shown(Answer::AtaIdentify, &captures::sata())
        .chunks(2)
        .map(|pair| format!("{:04x} ", u16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    let run = || {
        let mut child = Command::new("/usr/sbin/hdparm")
            .arg("--Istdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdin.take().unwrap().write_all(words.as_bytes())?;
        child.wait_with_output()
    };
    let Some(text) = text("hdparm", run()) else { return };
    assert_has(
        &text,
        &["WDC WD10EZEX-08WN4A0", "WD-WCC6Y1234567", "01.01A01", "Checksum: correct"],
    );
    assert_has(&text, &["1953525168"]);
}
