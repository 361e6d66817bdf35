//! What every command of the guest has to end with.
//!
//! Written by hand from the names that the standards give the commands (SPC-4, SBC-3, ZBC, SAT-3, ACS-3) and from the published policy,
//! sections 1.1, 2, 3 and 4; nothing here is taken from the policy's tables. The names are those of `firmware/guest`.

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// GOOD.
    Good,
    /// 07h/27h/00h, WRITE PROTECTED: it would change the medium, or what of it can be reached.
    Wp,
    /// 05h/20h/00h: an operation code that is not offered.
    Op,
    /// 05h/24h/00h, with the number of the byte that is not taken.
    Fld(u8),
    /// 05h/39h/00h SAVING PARAMETERS NOT SUPPORTED.
    Saving,
    /// 05h/21h/00h, an address behind the end.
    Lba,
    /// 01h/00h/1Dh ATA PASS THROUGH INFORMATION AVAILABLE: registers of the drive, which is not a refusal.
    Registers,
}

/// What the bridge has on its drive side, as far as answers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A USB disk behind SAT, its IDENTIFY data valid, and with an announced HPA feature set.
    Ata,
    /// A USB disk without SAT: what needs valid IDENTIFY data is refused.
    Scsi,
    /// An SD card: no pass-through at all, and no LOG SENSE.
    Card,
}

/// Commands that are refused with WRITE PROTECTED by every bridge.
const WP: &[&str] = &[
    // SBC, SPC: data that would reach the medium.
    "write_6",
    "write_10",
    "write_10_fua",
    "write_10_64k",
    "write_10_beyond",
    "write_10_none",
    "write_10_as_read",
    "write_10_no_data",
    "write_12",
    "write_16",
    "write_verify_10",
    "write_verify_12",
    "write_verify_16",
    "write_same_10",
    "write_same_10_unmap",
    "write_same_10_lbdata",
    "write_same_16",
    "write_same_16_unmap",
    "write_same_16_ndob",
    "write_same_16_ndob_unmap",
    "write_same_16_anchor",
    "unmap",
    "unmap_anchor",
    "compare_and_write",
    "orwrite_16",
    "write_stream_16",
    "write_atomic_16",
    "write_long_10",
    "write_long_10_uncorrectable",
    "xdwrite_10",
    "xpwrite_10",
    "xdwriteread_10",
    "xdwrite_16",
    "update_block",
    "copy_and_verify",
    "extended_copy",
    "populate_token",
    "write_using_token",
    // Without data, and no less destructive.
    "format_unit",
    "format_unit_default",
    "format_unit_list",
    "format_with_preset",
    "sanitize_overwrite",
    "sanitize_block_erase",
    "sanitize_crypto_erase",
    "sanitize_block_erase_ause",
    "sanitize_exit_failure",
    "erase_6",
    "erase_10",
    "erase_12",
    "zbc_reset_write_pointer",
    "zbc_finish_zone",
    "reassign_blocks",
    "close_track",
    "service_in_18_remove_element",
    "service_in_19_restore_elements",
    "service_in_1a_restore_elements_and_zones",
    "service_out_16_write_long",
    "service_out_16_write_scattered",
    "after_reset_write_10",
];

/// ATA commands in a pass-through that would change the medium or its accessibility (policy 4.1a, 4.3 to 4.5).
const ATA_WP: &[&str] = &[
    "ata16_write_dma_ext",
    "ata16_write_dma_ext_as_in",
    "ata16_write_dma_ext_no_length",
    "ata16_write_dma_fua_ext",
    "ata16_write_dma",
    "ata16_write_sectors",
    "ata16_write_sectors_ext",
    "ata16_write_multiple_ext",
    "ata16_write_fpdma_queued",
    "ata16_write_uncorrectable_ext",
    "ata16_write_log_ext",
    "ata16_write_log_dma_ext",
    "ata16_data_set_management_trim",
    "ata16_zero_ext",
    "ata16_set_max_address_ext",
    "ata16_set_max_address",
    "ata16_set_max_password",
    "ata16_accessible_max_address",
    "ata16_security_set_password",
    "ata16_security_unlock",
    "ata16_security_erase_prepare",
    "ata16_security_erase_unit",
    "ata16_security_disable_password",
    "ata16_dco_restore",
    "ata16_dco_freeze_lock",
    "ata16_dco_set",
    "ata16_sanitize_crypto_scramble",
    "ata16_sanitize_block_erase",
    "ata16_sanitize_overwrite",
    "ata16_sanitize_freeze_lock",
    "ata16_zac_reset_write_pointer",
    "ata16_cfa_erase",
    "ata16_format_track",
    "ata12_write_dma",
    "ata12_write_dma_ext",
    "ata12_write_sectors",
    "ata12_write_multiple",
    "ata12_data_set_management_trim",
    "ata12_set_max_address",
    "ata12_security_set_password",
    "ata12_security_erase_prepare",
    "ata12_security_erase_unit",
    "ata12_dco_restore",
    "ata12_sanitize_block_erase",
    "ata12_format_track",
];

/// ATA commands that are refused by their command byte (14 of the 16-byte form, 9 of the 12-byte form): settings, firmware, power, and
/// SMART, whose profile is off (policy 1.3: none of its rows counts then, the writing ones included).
const ATA_FLD: &[&str] = &[
    "ata16_security_freeze_lock",
    "ata16_set_features_write_cache_off",
    "ata16_set_features_write_cache_on",
    "ata16_set_features_apm",
    "ata16_smart_write_log",
    "ata16_smart_disable",
    "ata16_smart_enable",
    "ata16_smart_autosave",
    "ata16_smart_offline",
    "ata16_download_microcode",
    "ata16_download_microcode_dma",
    "ata16_write_buffer",
    "ata16_trusted_send",
    "ata16_sleep",
    "ata16_device_reset",
    "ata12_set_features",
    "ata12_smart_write_log",
    "ata12_download_microcode",
];

/// Operation codes that no bridge offers.
const OP: &[&str] = &[
    "write_32",
    "rezero_unit",
    "mode_select_6",
    "mode_select_6_save",
    "mode_select_6_block_descriptor",
    "mode_select_6_block_descriptor_back",
    "mode_select_6_none",
    "mode_select_10",
    "mode_select_10_save",
    "log_select_reset",
    "log_select",
    "send_diagnostic_self_test",
    "send_diagnostic_background",
    "send_diagnostic_page",
    "write_buffer_data",
    "write_buffer_microcode_save",
    "write_buffer_activate",
    "write_buffer_16",
    "read_buffer_vendor",
    "persistent_reserve_out_register",
    "persistent_reserve_out_aptpl",
    "persistent_reserve_out_clear",
    "reserve_6",
    "release_6",
    "reserve_10",
    "access_control_out",
    "write_attribute",
    "security_protocol_out_tcg",
    "security_protocol_out_ata_set_password",
    "security_protocol_out_ata_erase_prepare",
    "security_protocol_out_ata_erase_unit",
    "service_out_12",
    "service_bidirectional",
    "maintenance_out_identifying_information",
    "maintenance_out_timestamp",
    "maintenance_out_target_port_groups",
    "change_definition",
    "set_limits_10",
    "set_limits_12",
    "redundancy_group_out",
    "spare_out",
    "volume_set_out",
];

/// Answered without the drive, or read from it.
const GOOD: &[&str] = &[
    "synchronize_cache_10",
    "synchronize_cache_16",
    "prevent_removal",
    "allow_removal",
    "start_stop_stop",
    "start_stop_start",
    "start_stop_eject",
    "start_stop_load",
    "start_stop_standby",
    "start_stop_active",
    "after_reset_test_unit_ready",
    "after_reset_mode_sense",
    "inquiry",
    "mode_sense_6",
    "mode_sense_6_dbd",
    "mode_sense_10",
    "read_capacity_10",
    "read_capacity_16",
    "report_luns",
    "read_format_capacities",
    "request_sense",
    "test_unit_ready",
    "read_6_first",
    "read_6_256",
    "read_10_first",
    "read_12_first",
    "read_16_first",
    "read_16_last",
    "read_10_none",
];

/// How the command of this name has to end; `None` for a name that is not known.
pub fn expect(name: &str, kind: Kind) -> Option<Expect> {
    let has = |list: &[&str]| list.contains(&name);
    if has(WP) {
        return Some(Expect::Wp);
    }
    if has(OP) {
        return Some(Expect::Op);
    }
    if has(GOOD) {
        return Some(Expect::Good);
    }
    if name.starts_with("ata") || name == "vendor_a1_jmicron_nvme" {
        // A card has no pass-through: the operation codes 85h and A1h are not offered (policy 7.4).
        return if kind == Kind::Card { Some(Expect::Op) } else { pass_through(name, kind) };
    }
    match name {
        // LOG SENSE with SP, which saves the parameters: byte 1. Not offered for cards.
        "log_sense_save" if kind == Kind::Card => Some(Expect::Op),
        "log_sense_save" => Some(Expect::Fld(1)),
        // ZONE ACTIVATE is a data-in command that changes zones (3.6); for cards the operation code is not offered.
        "zbc_in_zone_activate" if kind == Kind::Card => Some(Expect::Op),
        "zbc_in_zone_activate" => Some(Expect::Wp),
        // STREAM CONTROL and BACKGROUND CONTROL: the service action in byte 1 (3.5).
        "service_in_14_write_scattered_stream"
        | "service_in_15_remove_element_and_modify_zones" => Some(Expect::Fld(1)),
        "read_16_beyond" => Some(Expect::Lba),
        // PC = 11b, saved values (5.3).
        "mode_sense_6_saved" => Some(Expect::Saving),
        // A page that is not offered (5.2): the page code in byte 2.
        "vpd_ff" => Some(Expect::Fld(2)),
        "vpd_89" if kind != Kind::Ata => Some(Expect::Fld(2)),
        _ if name.starts_with("vpd_") => Some(Expect::Good),
        // The makers' operation codes C0h to FFh, and 24h (policy 1, rule 7).
        _ if name.starts_with("vendor_") => Some(Expect::Op),
        _ => None,
    }
}

fn pass_through(name: &str, kind: Kind) -> Option<Expect> {
    if ATA_WP.contains(&name) {
        return Some(Expect::Wp);
    }
    if ATA_FLD.contains(&name) {
        return Some(Expect::Fld(if name.starts_with("ata12") { 9 } else { 14 }));
    }
    match (name, kind) {
        ("ata_identify_16" | "ata_identify_12", Kind::Ata) => Some(Expect::Good),
        // The registers are asked for (CK_COND), and come as sense.
        ("ata16_read_native_max_ext", Kind::Ata) => Some(Expect::Registers),
        // Without valid IDENTIFY data nothing is asked of the drive (4.1): the command byte.
        ("ata_identify_16" | "ata16_read_native_max_ext", _) => Some(Expect::Fld(14)),
        ("ata_identify_12", _) => Some(Expect::Fld(9)),
        // PROTOCOL in byte 1: hard and soft reset, IDENTIFY as a data-out command, MULTIPLE_COUNT.
        (
            "ata16_hard_reset"
            | "ata16_soft_reset"
            | "ata16_identify_as_out"
            | "vendor_a1_jmicron_nvme",
            _,
        ) => Some(Expect::Fld(1)),
        _ => None,
    }
}

/// Commands that every run has: one that is missing was not tried.
pub fn expected_names() -> impl Iterator<Item = &'static str> {
    let single = [
        "log_sense_save",
        "zbc_in_zone_activate",
        "service_in_14_write_scattered_stream",
        "service_in_15_remove_element_and_modify_zones",
        "mode_sense_6_saved",
        "read_16_beyond",
        "ata16_read_native_max_ext",
        "ata16_identify_as_out",
        "vendor_a1_jmicron_nvme",
        "vendor_ff",
    ];
    [WP, ATA_WP, ATA_FLD, OP, GOOD].into_iter().flatten().copied().chain(single)
}

/// Names that look at the disk and do not try to change it.
pub fn is_harmless(name: &str) -> bool {
    matches!(
        name,
        "after_reset_test_unit_ready"
            | "after_reset_mode_sense"
            | "sg_reset_device"
            | "forced_rebind"
            | "system_flushbufs"
            | "forced_flushbufs"
            | "system_umount"
            | "forced_umount"
    )
}

/// Whether a bridge may end this operation code with GOOD at all: it reads, informs, or does nothing (policy 2 to 5 and 7.4). What is not
/// named here has to be refused whatever else the command says.
pub fn may_be_good(opcode: u8, kind: Kind) -> bool {
    match opcode {
        // TEST UNIT READY, REQUEST SENSE, READ(6), INQUIRY, MODE SENSE, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL.
        0x00 | 0x03 | 0x08 | 0x12 | 0x1A | 0x1B | 0x1E | 0x5A => true,
        // READ FORMAT CAPACITIES, READ CAPACITY(10), READ(10), SYNCHRONIZE CACHE, READ(16), READ CAPACITY(16) among others, REPORT LUNS.
        0x23 | 0x25 | 0x28 | 0x35 | 0x88 | 0x91 | 0x9E | 0xA0 | 0xA8 => true,
        // MAINTENANCE IN: REPORT SUPPORTED OPERATION CODES.
        0xA3 => true,
        // LOG SENSE, ATA PASS-THROUGH, REPORT ZONES, SECURITY PROTOCOL IN.
        0x4D | 0x85 | 0x95 | 0xA1 | 0xA2 => kind != Kind::Card,
        _ => false,
    }
}
