//! Commands that modify without a data phase, or with data-in: one test for each command of the table in section 1 of the published policy
//! (9.4; B2, B3, B7, B8; HWB-AM-01).
//!
//! Each shows that a drive would have obeyed, and that through the bridge it hears nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a check that cannot be made has to fail
#![allow(clippy::cast_possible_truncation)] // lengths of test data are small

mod attempt;
mod common;
mod oracle;

use attempt::{Answer, Answer::Counted, Answer::Refused};
use common::{controller, model};
use oracle::Seen::{Fld, Op, Wp};
use wb_sim::{
    drive::{DriveConfig, ModelDrive, Request},
    host::Phase,
    usb::OutResult,
};

macro_rules! scsi {
    ($($name:ident: $($cdb:literal),+ => $answer:expr;)+) => {$(
        #[test]
        fn $name() {
            $(attempt::no_data($cdb, $answer);)+
        }
    )+};
}

macro_rules! ata {
    ($($name:ident: $(($command:literal, $features:literal, $count:literal, $lba:literal, $extend:literal)),+ => $answer:expr;)+) => {$(
        #[test]
        fn $name() {
            $(attempt::ata_no_data($command, $features, $count, $lba, $extend, $answer);)+
        }
    )+};
}

scsi! {
    scsi_format_unit_without_list: "04 00 00 00 00 00" => Counted(Wp);
    scsi_erase_6: "19 01 00 00 00 00" => Counted(Wp);
    scsi_erase_10: "2C 00 00000010 00 0004 00" => Counted(Wp);
    scsi_erase_12: "AC 00 00000010 00000004 00 00" => Counted(Wp);
    scsi_format_with_preset: "38 00 00 00 00 00 00 00 00 00" => Counted(Wp);
    scsi_write_same_16_without_data: "93 01 0000000000000010 00000100 00 00" => Counted(Wp);
    scsi_write_long_10_uncorrectable: "3F 40 00000010 00 0000 00" => Counted(Wp);
    scsi_write_long_16_uncorrectable: "9F 51 0000000000000010 0000 0000 00 00" => Counted(Wp);
    scsi_sanitize_block_erase: "48 02 00 00 00 00 00 00 00 00" => Counted(Wp);
    scsi_sanitize_cryptographic_erase: "48 03 00 00 00 00 00 00 00 00" => Counted(Wp);
    scsi_sanitize_exit_failure_mode: "48 1F 00 00 00 00 00 00 00 00" => Counted(Wp);
    scsi_log_select_pcr: "4C 02 00 00 00 00 00 00 00 00" => Counted(Op);
    scsi_log_sense_sp: "4D 01 4D 00 00 00 00 00 FF 00", "4D 01 40 00 00 00 00 00 FF 00" => Counted(Fld);
    scsi_start_stop_unit_stop: "1B 00 00 00 00 00" => Answer::Local;
    scsi_start_stop_unit_eject: "1B 00 00 00 02 00" => Answer::Local;
    scsi_start_stop_unit_power_condition: "1B 00 00 00 30 00", "1B 00 00 00 B0 00" => Answer::Local;
    scsi_zbc_out_close: "94 01 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_zbc_out_finish: "94 02 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_zbc_out_open: "94 03 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_zbc_out_reset: "94 04 0000000000000000 00000000 01 00" => Counted(Wp);
    scsi_zbc_out_sequentialize: "94 10 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_zbc_in_zone_activate: "95 08 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_stream_control: "9E 34 0000000000000000 00000008 00 00" => Counted(Fld);
    scsi_background_control: "9E 15 4000000000000000 00000000 00 00" => Counted(Fld);
    scsi_remove_element_and_truncate: "9E 18 0000000000001000 00000001 00 00" => Counted(Wp);
    scsi_restore_elements_and_rebuild: "9E 19 0000000000000000 00000000 00 00" => Counted(Wp);
    scsi_remove_element_and_modify_zones: "9E 1A 0000000000000000 00000001 00 00" => Counted(Wp);
    scsi_write_buffer_activate: "3B 0F 00 000000 000000 00", "3B 0D 00 000000 000000 00" => Counted(Op);
    scsi_write_buffer_16_activate: "96 0F 0000000000000000 00000000 00 00" => Counted(Op);
    // Its other modes are harmless, so the policy has the code in class INFO.
    scsi_read_buffer_clear_error_history: "3C 1C FE 000000 000000 00", "3C 1C 01 000000 000200 00" => Refused(Op);
}

ata! {
    ata_set_max_address: (0xF9, 0, 0, 9999, false), (0xF9, 0, 1, 9999, false) => Counted(Wp);
    ata_set_max_lock_and_freeze: (0xF9, 2, 0, 0, false), (0xF9, 4, 0, 0, false) => Counted(Wp);
    ata_set_max_address_ext: (0x37, 0, 0, 9999, true), (0x37, 0, 1, 9999, true) => Counted(Wp);
    ata_dco_restore: (0xB1, 0xC0, 0, 0, false) => Counted(Wp);
    ata_dco_freeze_lock: (0xB1, 0xC1, 0, 0, false) => Counted(Wp);
    ata_write_uncorrectable_ext: (0x45, 0x55, 1, 16, true), (0x45, 0xAA, 1, 16, true) => Counted(Wp);
    ata_zero_ext: (0x44, 0, 8, 16, true) => Counted(Wp);
    ata_sanitize_crypto_scramble: (0xB4, 0x11, 0, 0x4372_7970, true) => Counted(Wp);
    ata_sanitize_block_erase: (0xB4, 0x12, 0, 0x426B_4572, true) => Counted(Wp);
    ata_sanitize_overwrite: (0xB4, 0x14, 1, 0x4F57_0000_0000, true) => Counted(Wp);
    ata_sanitize_freeze_lock: (0xB4, 0x20, 0, 0x4672_4C6B, true) => Counted(Wp);
    ata_sanitize_antifreeze_lock: (0xB4, 0x40, 0, 0x416E_7469, true) => Counted(Wp);
    ata_sanitize_status_that_clears_the_failure: (0xB4, 0x00, 1, 0, true) => Refused(Fld);
    ata_security_erase_prepare: (0xF3, 0, 0, 0, false) => Counted(Wp);
    ata_security_freeze_lock: (0xF5, 0, 0, 0, false) => Refused(Fld);
    ata_smart_autosave: (0xB0, 0xD2, 0x00, 0xC2_4F00, false), (0xB0, 0xD2, 0xF1, 0xC2_4F00, false) => Counted(Fld);
    ata_smart_save_attributes: (0xB0, 0xD3, 0, 0xC2_4F00, false) => Counted(Fld);
    ata_smart_off_line_immediate: (0xB0, 0xD4, 0, 0xC2_4F02, false) => Counted(Fld);
    ata_smart_enable: (0xB0, 0xD8, 0, 0xC2_4F00, false) => Counted(Fld);
    ata_smart_disable: (0xB0, 0xD9, 0, 0xC2_4F00, false) => Counted(Fld);
    ata_smart_automatic_off_line: (0xB0, 0xDB, 0xF8, 0xC2_4F00, false) => Counted(Fld);
    ata_ncq_non_data: (0x63, 0x0205, 0, 0, true), (0x63, 0x0006, 8, 16, true), (0x63, 0x0007, 0, 0, true) => Counted(Wp);
    ata_zac_management_out: (0x9F, 1, 0, 0, true), (0x9F, 2, 0, 0, true), (0x9F, 3, 0, 0, true), (0x9F, 4, 0, 0, true) => Counted(Wp);
    ata_zone_activate_ext: (0x4A, 8, 0, 0, true) => Counted(Wp);
    ata_set_date_and_time_ext: (0x77, 0, 0, 0x1234, true) => Counted(Fld);
    ata_set_accessible_max_address_ext: (0x78, 1, 0, 9999, true) => Counted(Wp);
    ata_freeze_accessible_max_address_ext: (0x78, 2, 0, 0, true) => Counted(Wp);
    ata_remove_element_and_truncate: (0x7C, 0, 1, 4096, true) => Counted(Wp);
    ata_restore_elements_and_rebuild: (0x7D, 0, 0, 0, true) => Counted(Wp);
    ata_remove_element_and_modify_zones: (0x7E, 0, 1, 0, true) => Counted(Wp);
    ata_mutate_ext: (0x96, 0, 0, 1, true) => Counted(Wp);
    ata_download_microcode_activate: (0x92, 0x0F, 0, 0, false) => Counted(Fld);
    ata_trusted_non_data: (0x5B, 1, 0, 0, false) => Counted(Fld);
    ata_cfa_erase_sectors: (0xC0, 0, 1, 16, false) => Counted(Wp);
}

/// SET FEATURES: every sub-command, as all change behaviour that may last.
#[test]
fn ata_set_features() {
    let mut host = attempt::open_bridge();
    for feature in 0..=u8::MAX {
        for cdb in [
            attempt::ata16(3, 0xEF, feature.into(), 0, 0, false),
            attempt::ata12(3, 0xEF, feature.into(), 0, 0),
        ] {
            attempt::model_obeys(&cdb, &[]);
            attempt::bridge_refuses(&mut host, &cdb, Phase::None, Counted(Fld));
        }
    }
}

scsi! {
    bridge_asmedia_register_write: "E5 0C 00 50C8A0 00 00 00 00 00 00" => Refused(Op);
    bridge_asmedia_reset: "E8 00 51 00000000 00 00 00 00 00" => Refused(Op);
    bridge_jmicron_ata_no_data: "DF 10 00 0000 00 00 00 00 00 A0 F5", "DF 10 00 0000 00 01 00 10 00 40 F9" => Refused(Op);
    bridge_sunplus_ata_no_data: "F8 00 22 00 00 00 00 00 00 00 40 F5", "F8 00 22 00 00 00 01 00 10 00 40 F9" => Refused(Op);
    bridge_sunplus_preset: "F8 00 23 00 00 00 01 00 10 00 00 00" => Refused(Op);
    bridge_prolific_ata_no_data: "D8 15 00 D9 06 7B 00000000 01 01 4F C2 A0 B0" => Refused(Op);
}

scsi! {
    nvme_format: "E6 80 00 00 00 00 00 00 00 00 00 00", "E4 00 80 00 00 00 00 00 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_sanitize: "E6 84 00 00 00 00 00 00 00 00 00 02", "E4 00 84 00 00 00 00 02 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_namespace_delete: "E6 0D 00 00 00 00 00 00 00 00 00 01", "E4 00 0D 00 00 00 00 01 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_set_features_without_buffer: "E6 09 00 06 00 00 00 00 00 00 00 00", "E4 00 09 00 00 00 00 06 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_device_self_test: "E6 14 00 00 00 00 00 00 00 00 00 02", "E4 00 14 00 00 00 00 02 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_write_zeroes: "E6 08 00 00 00 00 00 00 00 00 00 10", "E4 00 08 00 00 00 00 10 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_write_uncorrectable: "E6 04 00 00 00 00 00 00 00 00 00 10", "E4 00 04 00 00 00 00 10 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_zone_management_send: "E6 79 00 00 00 00 00 00 00 00 00 04", "E4 00 79 00 00 00 00 04 00 00 00 00 00 00 00 00" => Refused(Op);
    nvme_firmware_commit: "E6 10 00 00 00 00 00 00 00 00 00 08", "E4 00 10 00 00 00 00 08 00 00 00 00 00 00 00 00" => Refused(Op);
}

/// Cypress ATACB is longer than the group of 24h has, and no length gets through.
#[test]
fn bridge_cypress_atacb() {
    let cdb = attempt::hex("24 24 00 BF 00 00 00 00 00 01 00 40 F9 00 00 00");
    attempt::model_obeys(&cdb, &[]);
    let mut host = attempt::open_bridge();
    for length in 1..=16 {
        attempt::bridge_refuses(&mut host, &cdb[..length], Phase::None, Refused(Op));
    }
}

/// WRITE SAME(32) with NDOB=1: its 32 bytes fit no wrapper, a wrapper that says so is no wrapper, and cut to 16 it is refused.
#[test]
fn scsi_write_same_32_without_data() {
    let mut cdb = attempt::hex("7F 00 00 00 00 00 00 18 000D 01 00 0000000000000010");
    cdb.resize(32, 0);
    cdb[31] = 8;
    let mut drive = ModelDrive::new(DriveConfig::default());
    let before = drive.state_digest();
    drive.execute(&Request::new(&cdb));
    assert_ne!(drive.state_digest(), before);

    let mut host = attempt::open_bridge();
    for length in 1..=16 {
        attempt::bridge_refuses(&mut host, &cdb[..length], Phase::None, Refused(Op));
    }
    let sent = controller(&host).bulk_out().len();
    for declared in 17..=0xFF_u8 {
        let mut bytes = wb_sim::host::wrapper(7, 0, 0, &cdb[..16]);
        bytes[14] = declared;
        assert!(matches!(host.raw(&bytes), OutResult::Ack(31)));
        host.device_mut().idle(1000);
        assert_eq!(host.raw(&bytes), OutResult::Stall, "{declared}");
        assert!(host.recover());
    }
    // All 47 bytes at once are no wrapper either.
    let mut long = wb_sim::host::wrapper(8, 0, 0, &cdb[..16]);
    long.extend(&cdb[16..]);
    long[14] = 32;
    host.raw(&long);
    host.device_mut().idle(1000);
    assert_eq!(host.raw(&long), OutResult::Stall);
    assert!(host.recover());
    assert_eq!(controller(&host).bulk_out().len(), sent);
    assert_eq!(model(&host).violations().count(), 0);
    assert_eq!(common::read10(&mut host, 0, 1).status, 0);
}
