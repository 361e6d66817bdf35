//! Made-up drives: what is asked, what is not, and why.

use std::{cell::RefCell, io};

use wb_policy::down::DownCommand;

use crate::{
    devices::{
        ata::tests::identify,
        identity::{Asked, Drive, Report},
    },
    ioctl::Answer,
};

const BLOCKS: u64 = 1_953_525_168;

/// A SATA disk with a hidden area of 2,048 sectors and an overlay.
struct Sata {
    is_removable: bool,
    is_fixed_sense: bool,
    asked: RefCell<Vec<DownCommand>>,
}

impl Sata {
    fn new() -> Self {
        Self { is_removable: false, is_fixed_sense: false, asked: RefCell::default() }
    }
}

fn data(data: Vec<u8>) -> Answer {
    Answer { data, status: 0, host_status: 0, driver_status: 0, sense: Vec::new() }
}

fn sense(sense: Vec<u8>) -> Answer {
    Answer { data: Vec::new(), status: 2, host_status: 0, driver_status: 0, sense }
}

impl Drive for Sata {
    fn ask(&self, command: &DownCommand) -> io::Result<Answer> {
        self.asked.borrow_mut().push(*command);
        let cdb = command.encode(512).cdb;
        Ok(match command {
            DownCommand::Inquiry(_) => {
                let mut bytes = vec![0, 0, 5, 2, 31, 0, 0, 2];
                bytes.extend(b"ATA     ST1000VX001-1HH1CC43");
                bytes[1] = if self.is_removable { 0x80 } else { 0 };
                data(bytes)
            }
            DownCommand::Vpd(_) => match cdb.get(2) {
                0x00 => data(vec![0, 0, 0, 3, 0x00, 0x80, 0x83, 0xFF]),
                0x80 => data(b"\x00\x80\x00\x0A  W4Z0ABCDjunk".to_vec()),
                _ => {
                    let mut page = vec![0, 0x83, 0, 12 + 5 + 4, 1, 3, 0, 8];
                    page.extend([0x50, 0x00, 0xC5, 0x00, 0xA1, 0xB2, 0xC3, 0xD4]);
                    page.extend([2, 1, 0, 5]);
                    page.extend(b"ATA X");
                    page.extend([0xFF; 7]);
                    data(page)
                }
            },
            DownCommand::ReadCapacity10 => {
                let last = u32::try_from(BLOCKS - 1).unwrap();
                data([last.to_be_bytes(), 512_u32.to_be_bytes()].concat())
            }
            DownCommand::ReadCapacity16 => {
                let mut bytes = (BLOCKS - 1).to_be_bytes().to_vec();
                bytes.extend(512_u32.to_be_bytes());
                bytes.resize(32, 0);
                data(bytes)
            }
            DownCommand::AtaIdentify16 => {
                data(identify("W4Z0ABCD", "CC43", "ST1000VX001-1HH162", BLOCKS).to_vec())
            }
            DownCommand::ReadNativeMaxExt if self.is_fixed_sense => {
                // Upper bytes of the address are not zero, and there is no room for them.
                let mut bytes =
                    vec![0x70, 0, 1, 0, 0x50, 0x40, 0, 10, 0x20, 0xAF, 0x95, 0x70, 0, 0x1D];
                bytes.resize(18, 0);
                sense(bytes)
            }
            DownCommand::ReadNativeMaxExt => {
                let [_, _, l5, l4, l3, l2, l1, l0] = (BLOCKS + 2047).to_be_bytes();
                let mut bytes = vec![0x72, 1, 0, 0x1D, 0, 0, 0, 14, 9, 12, 1, 0, 0, 0];
                bytes.extend([l3, l0, l4, l1, l5, l2, 0x40, 0x50]);
                sense(bytes)
            }
            DownCommand::DcoIdentify => {
                let mut page = [0_u8; 512];
                page[6..14].copy_from_slice(&(BLOCKS + 4095).to_le_bytes());
                page[510] = 0xA5;
                let sum = page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
                page[511] = 0_u8.wrapping_sub(sum);
                data(page.to_vec())
            }
            _ => sense(vec![0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0]),
        })
    }
}

fn reason<T>(asked: &Asked<T>) -> &str {
    match asked {
        Asked::NotAsked { reason } => reason,
        _ => panic!("asked"),
    }
}

/// A SATA port: everything is asked but SMART, and each answer is kept as it came.
#[test]
fn a_sata_disk_on_a_port_says_all() {
    let drive = Sata::new();
    let report = Report::of(&drive, true, false);
    assert_eq!(report.inquiry.value().unwrap().product, "ST1000VX001-1HH1");
    assert_eq!(report.unit_serial.value().unwrap(), "W4Z0ABCD");
    assert_eq!(*report.unit_names.value().unwrap(), ["naa.5000c500a1b2c3d4", "t10.ATA X"]);
    assert_eq!(report.capacity.value().unwrap().blocks, BLOCKS);
    let identified = report.identify.value().unwrap();
    assert_eq!(identified.model.as_deref(), Some("ST1000VX001-1HH162"));
    assert!(identified.is_valid && identified.sectors == BLOCKS);
    assert!(report.security.value().unwrap().is_frozen);
    assert_eq!(report.hpa.value().unwrap().hidden_sectors, 2048);
    assert_eq!(report.dco.value().unwrap().hidden_sectors, 4096);
    assert_eq!(reason(&report.amax), "the disk does not announce the feature");
    assert!(reason(&report.smart).starts_with("not taken"));
    let names: Vec<_> = report.pages.iter().map(|page| page.name).collect();
    let expected = [
        "inquiry.bin",
        "vpd-00.bin",
        "vpd-80.bin",
        "vpd-83.bin",
        "read-capacity-10.bin",
        "read-capacity-16.bin",
        "identify.bin",
        "dco-identify.bin",
    ];
    assert_eq!(names, expected);
    let findings = report.findings();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].contains("HPA: 2048 of"));
}

/// A command that an adapter could change into one that alters the disk is not sent through an adapter that is not known.
#[test]
fn an_unknown_adapter_gets_no_overlay_command() {
    let drive = Sata::new();
    let report = Report::of(&drive, false, false);
    assert!(reason(&report.dco).contains("not known to pass"));
    assert!(report.hpa.value().is_some());
    assert!(!drive.asked.borrow().contains(&DownCommand::DcoIdentify));
}

/// Sticks and card readers hang on ATA commands: they get none.
#[test]
fn a_removable_medium_gets_no_ata_command() {
    let drive = Sata { is_removable: true, ..Sata::new() };
    let report = Report::of(&drive, true, true);
    assert!(reason(&report.identify).contains("removable"));
    assert!(reason(&report.security).contains("removable"));
    assert!(reason(&report.hpa).contains("removable"));
    reason(&report.smart);
    assert!(drive.asked.borrow().iter().all(|command| command.encode(512).cdb.opcode() != 0x85));
}

/// SMART is asked only when that is wanted; nothing is made up when the disk refuses.
#[test]
fn smart_is_a_choice() {
    let drive = Sata::new();
    let report = Report::of(&drive, true, true);
    assert!(drive.asked.borrow().contains(&DownCommand::SmartReadData));
    assert_eq!(
        report.smart,
        Asked::NotAnswered { reason: "refused with sense 5h/20h/00h".to_owned() }
    );
}

/// Sense data in fixed format have no upper address bytes: no maximum is made of half an address.
#[test]
fn half_an_address_is_no_maximum() {
    let report = Report::of(&Sata { is_fixed_sense: true, ..Sata::new() }, true, false);
    assert!(matches!(report.hpa, Asked::NotAnswered { .. }));
}

struct Forbidden;

impl Drive for Forbidden {
    fn ask(&self, _: &DownCommand) -> io::Result<Answer> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Without the rights nothing is asked, and the report says why.
#[test]
fn without_rights_nothing_is_asked() {
    let report = Report::of(&Forbidden, true, true);
    assert!(reason(&report.inquiry).contains("rights of root"));
    assert!(reason(&report.capacity).contains("rights of root"));
    reason(&report.identify);
    assert!(report.pages.is_empty());
}

/// Whatever comes back, it is only looked at.
#[test]
fn noise_is_no_answer() {
    struct Noise(u8, usize);
    impl Drive for Noise {
        fn ask(&self, command: &DownCommand) -> io::Result<Answer> {
            let noise = vec![self.0; self.1];
            let is_data = !command.answers_in_registers();
            Ok(if is_data { data(noise) } else { sense(noise) })
        }
    }
    for byte in 0..=255 {
        for length in [1, 4, 8, 36, 255, 512] {
            let report = Report::of(&Noise(byte, length), true, true);
            assert!(report.hpa.value().is_none() && report.dco.value().is_none());
            report.findings();
        }
    }
}
