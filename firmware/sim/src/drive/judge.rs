//! The model's own judgement of a command: its name by the standards, and whether it can modify.
//!
//! Written from the command names of SPC, SBC, ZBC, MMC, SAT, ACS and the published policy, sections
//! 2-4. A command is harmless only if it is listed here as harmless; what is reserved, vendor specific
//! or unknown modifies. So the list errs on the side that a test notices.

use super::bytes::{bit, low8, u8_at};

/// What the judge says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Name by the standards.
    pub name: &'static str,
    /// It can change the medium, its visible size, or any lasting state.
    pub modifying: bool,
}

const fn harmless(name: &'static str) -> Verdict {
    Verdict { name, modifying: false }
}

const fn modifying(name: &'static str) -> Verdict {
    Verdict { name, modifying: true }
}

/// Name used for everything that no standard defines for disks.
pub(crate) const UNKNOWN: &str = "unknown or vendor specific";

const fn unknown() -> Verdict {
    modifying(UNKNOWN)
}

/// Service action in byte 1.
pub(crate) fn service_action(cdb: &[u8]) -> u8 {
    u8_at(cdb, 1) & 0x1F
}

/// Judges a SCSI command of a device of this type. Pass-through commands are judged by [`ata`].
pub fn scsi(cdb: &[u8], device_type: u8) -> Verdict {
    let opcode = u8_at(cdb, 0);
    match opcode {
        0x42 if device_type == 0x05 => harmless("READ SUB-CHANNEL"),
        0xA1 if device_type == 0x05 => modifying("BLANK"),
        0x85 | 0xA1 => harmless("ATA PASS-THROUGH"),
        0xC0..=0xFF => unknown(),
        _ => read_only(cdb).map_or_else(|| by_service_action(cdb), harmless),
    }
}

/// Opcodes that are harmless whatever their fields say.
fn read_only(cdb: &[u8]) -> Option<&'static str> {
    Some(match u8_at(cdb, 0) {
        0x00 => "TEST UNIT READY",
        0x01 => "REZERO UNIT",
        0x03 => "REQUEST SENSE",
        0x08 => "READ(6)",
        0x0B => "SEEK(6)",
        0x12 => "INQUIRY",
        0x16 => "RESERVE(6)",
        0x17 => "RELEASE(6)",
        0x1A => "MODE SENSE(6)",
        0x1C => "RECEIVE DIAGNOSTIC RESULTS",
        0x1E => "PREVENT ALLOW MEDIUM REMOVAL",
        0x23 => "READ FORMAT CAPACITIES",
        0x25 => "READ CAPACITY(10)",
        0x28 => "READ(10)",
        0x2B => "SEEK(10)",
        0x2F => "VERIFY(10)",
        0x30..=0x32 => "SEARCH DATA",
        0x34 => "PRE-FETCH(10)",
        0x35 => "SYNCHRONIZE CACHE(10)",
        0x36 => "LOCK UNLOCK CACHE(10)",
        0x37 => "READ DEFECT DATA(10)",
        0x39 => "COMPARE",
        0x3E => "READ LONG(10)",
        0x43 => "READ TOC/PMA/ATIP",
        0x46 => "GET CONFIGURATION",
        0x4A => "GET EVENT STATUS NOTIFICATION",
        0x52 => "XDREAD(10)",
        0x56 => "RESERVE(10)",
        0x57 => "RELEASE(10)",
        0x5A => "MODE SENSE(10)",
        0x5E => "PERSISTENT RESERVE IN",
        0x84 => "THIRD-PARTY COPY IN",
        0x86 => "ACCESS CONTROL IN",
        0x88 => "READ(16)",
        0x8C => "READ ATTRIBUTE",
        0x8F => "VERIFY(16)",
        0x90 => "PRE-FETCH(16)",
        0x91 => "SYNCHRONIZE CACHE(16)",
        0x92 => "LOCK UNLOCK CACHE(16)",
        0xA0 => "REPORT LUNS",
        0xA8 => "READ(12)",
        0xAF => "VERIFY(12)",
        0xB0..=0xB2 => "SEARCH DATA(12)",
        0xB7 => "READ DEFECT DATA(12)",
        0xBA => "REDUNDANCY GROUP IN",
        0xBC => "SPARE IN",
        0xBE => "VOLUME SET IN",
        _ => return None,
    })
}

/// Opcodes whose fields decide.
fn by_service_action(cdb: &[u8]) -> Verdict {
    let action = service_action(cdb);
    match (u8_at(cdb, 0), action) {
        (0x1B, _) => start_stop(cdb),
        (0x3C | 0x9B, mode) => read_buffer(cdb, mode),
        (0x4D, _) if bit(cdb, 1, 0x01) => modifying("LOG SENSE with SP"),
        (0x4D, _) => harmless("LOG SENSE"),
        (0x7F, _) => variable_length(cdb),
        (0x95, 0x00) => harmless("REPORT ZONES"),
        (0x95, 0x06) => harmless("REPORT REALMS"),
        (0x95, 0x07) => harmless("REPORT ZONE DOMAINS"),
        (0x95, 0x08) => modifying("ZONE ACTIVATE"),
        (0x95, 0x09) => harmless("ZONE QUERY"),
        (0x9E, 0x0F) => harmless("RECEIVE BINDING REPORT"),
        (0x9E, 0x10) => harmless("READ CAPACITY(16)"),
        (0x9E, 0x11) => harmless("READ LONG(16)"),
        (0x9E, 0x12) => harmless("GET LBA STATUS"),
        (0x9E, 0x13) => harmless("REPORT REFERRALS"),
        (0x9E, 0x14) => modifying("STREAM CONTROL"),
        (0x9E, 0x15) => modifying("BACKGROUND CONTROL"),
        (0x9E, 0x16) => harmless("GET STREAM STATUS"),
        (0x9E, 0x17) => harmless("GET PHYSICAL ELEMENT STATUS"),
        (0x9E, 0x18) => modifying("REMOVE ELEMENT AND TRUNCATE"),
        (0x9E, 0x19) => modifying("RESTORE ELEMENTS AND REBUILD"),
        (0x9E, 0x1A) => modifying("REMOVE ELEMENT AND MODIFY ZONES"),
        (0xA2, _) => security_protocol_in(u8_at(cdb, 1), super::bytes::be(cdb, 2, 2)),
        (0xA3, 0x05 | 0x0A..=0x0F) => harmless("MAINTENANCE IN"),
        (0xAB, 0x01) => harmless("READ MEDIA SERIAL NUMBER"),
        (opcode, action) => super::names::modifying(opcode, action).map_or(unknown(), modifying),
    }
}

/// SBC START STOP UNIT: a spin-up alone is harmless; stop, load, eject and power conditions are not.
fn start_stop(cdb: &[u8]) -> Verdict {
    if u8_at(cdb, 4) & 0xF3 == 0x01 {
        harmless("START STOP UNIT, start")
    } else {
        modifying("START STOP UNIT")
    }
}

/// SPC READ BUFFER: the data, descriptor and echo modes are harmless; 1Ch makes or clears error
/// history unless it only returns the directory (buffer 00h); 01h is vendor specific.
fn read_buffer(cdb: &[u8], mode: u8) -> Verdict {
    match mode {
        0x00 | 0x02 | 0x03 | 0x0A | 0x0B => harmless("READ BUFFER"),
        0x1C if u8_at(cdb, 2) == 0 => harmless("READ BUFFER, error history directory"),
        0x1C => modifying("READ BUFFER, error history"),
        _ => unknown(),
    }
}

/// Variable length CDB: READ(32), VERIFY(32) and GET LBA STATUS(32) are harmless.
fn variable_length(cdb: &[u8]) -> Verdict {
    match super::bytes::be(cdb, 8, 2) {
        0x0009 => harmless("READ(32)"),
        0x000A => harmless("VERIFY(32)"),
        0x0012 => harmless("GET LBA STATUS(32)"),
        _ => modifying("VARIABLE LENGTH CDB"),
    }
}

/// SPC, TCG: information, level 0 discovery and the ATA security status are harmless; any other
/// ComID moves a session on.
pub(crate) fn security_protocol_in(protocol: u8, specific: u64) -> Verdict {
    match (protocol, specific) {
        (0x00, 0x0000..=0x0002) | (0x01, 0x0001) | (0xEF, 0x0000) => {
            harmless("SECURITY PROTOCOL IN")
        }
        _ => modifying("SECURITY PROTOCOL IN, session"),
    }
}

/// The fields of an ATA command that decide about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtaFields {
    /// COMMAND register.
    pub command: u8,
    /// FEATURES register.
    pub features: u16,
    /// COUNT register.
    pub count: u16,
    /// LBA register.
    pub lba: u64,
}

/// Judges an ATA command.
pub fn ata(fields: AtaFields) -> Verdict {
    ata_read_only(fields.command).map_or_else(|| ata_by_fields(fields), harmless)
}

/// ATA commands that are harmless whatever their registers say.
fn ata_read_only(command: u8) -> Option<&'static str> {
    Some(match command {
        0x00 => "NOP",
        0x03 => "CFA REQUEST EXTENDED ERROR",
        0x08 => "DEVICE RESET",
        0x0B => "REQUEST SENSE DATA EXT",
        0x10 => "RECALIBRATE",
        0x12 => "GET PHYSICAL ELEMENT STATUS",
        0x20 | 0x21 => "READ SECTOR(S)",
        0x22 | 0x23 => "READ LONG",
        0x24 => "READ SECTOR(S) EXT",
        0x25 => "READ DMA EXT",
        0x26 => "READ DMA QUEUED EXT",
        0x27 => "READ NATIVE MAX ADDRESS EXT",
        0x29 => "READ MULTIPLE EXT",
        0x2A | 0x2B => "READ STREAM EXT",
        0x40..=0x42 => "READ VERIFY SECTOR(S)",
        0x51 => "CONFIGURE STREAM",
        0x60 => "READ FPDMA QUEUED",
        0x70 => "SEEK",
        0x87 => "CFA TRANSLATE SECTOR",
        0x90 => "EXECUTE DEVICE DIAGNOSTIC",
        0x91 => "INITIALIZE DEVICE PARAMETERS",
        0x94 | 0x95 | 0x97..=0x99 => "legacy power management",
        0xA1 => "IDENTIFY PACKET DEVICE",
        0xA2 => "SERVICE",
        0xC4 => "READ MULTIPLE",
        0xC6 => "SET MULTIPLE MODE",
        0xC7 => "READ DMA QUEUED",
        0xC8 | 0xC9 => "READ DMA",
        0xD1 => "CHECK MEDIA CARD TYPE",
        0xDA => "GET MEDIA STATUS",
        0xDB => "ACKNOWLEDGE MEDIA CHANGE",
        0xDE | 0xDF => "MEDIA LOCK/UNLOCK",
        0xE0 => "STANDBY IMMEDIATE",
        0xE1 => "IDLE IMMEDIATE",
        0xE2 => "STANDBY",
        0xE3 => "IDLE",
        0xE4 => "READ BUFFER",
        0xE5 => "CHECK POWER MODE",
        0xE6 => "SLEEP",
        0xE7 => "FLUSH CACHE",
        0xEA => "FLUSH CACHE EXT",
        0xEC => "IDENTIFY DEVICE",
        0xED => "MEDIA EJECT",
        0xEE => "IDENTIFY DEVICE DMA",
        0xF8 => "READ NATIVE MAX ADDRESS",
        _ => return None,
    })
}

/// ATA commands whose registers decide.
fn ata_by_fields(fields: AtaFields) -> Verdict {
    let feature = low8(fields.features.into());
    match (fields.command, feature) {
        (0x2F | 0x47, _) => read_log(fields),
        (0x4A, _) if feature & 0x1F == 0x08 => modifying("ZONE ACTIVATE EXT"),
        (0x4A, _) if matches!(feature & 0x1F, 0x00 | 0x06 | 0x07 | 0x09) => {
            harmless("ZAC MANAGEMENT IN")
        }
        (0x5C | 0x5D, protocol) => security_protocol_in(protocol, fields.lba >> 8 & 0xFFFF),
        (0x65, _) => receive_queued(fields),
        (0x78, 0x00) => harmless("GET NATIVE MAX ADDRESS EXT"),
        (0xB0, sub) => smart(sub, low8(fields.lba)),
        (0xB1, 0xC2 | 0xC4) => harmless("DEVICE CONFIGURATION IDENTIFY"),
        (0xB4, 0x00) if fields.count & 1 == 0 => harmless("SANITIZE STATUS EXT"),
        (command, _) => super::names::ata_modifying(command).map_or(unknown(), modifying),
    }
}

/// ACS READ LOG EXT: logs that only report. 10h clears the queued error, 11h can reset counters,
/// 24h can capture a new status; vendor logs are unknown.
fn read_log(fields: AtaFields) -> Verdict {
    match low8(fields.lba) {
        0x11 if fields.features & 1 != 0 => modifying("READ LOG EXT, counter reset"),
        0x00..=0x09 | 0x0C | 0x0D | 0x11..=0x13 | 0x18 | 0x25 | 0x30 | 0x80..=0x9F | 0xE0 => {
            harmless("READ LOG EXT")
        }
        0x10 => modifying("READ LOG EXT, queued error"),
        _ => modifying("READ LOG EXT, vendor or capturing log"),
    }
}

/// ACS RECEIVE FPDMA QUEUED: sub-command in COUNT bits 12:8; 01h READ LOG, 02h ZAC MANAGEMENT IN.
fn receive_queued(fields: AtaFields) -> Verdict {
    let sub = low8(u64::from(fields.count) >> 8) & 0x1F;
    match sub {
        0x01 => read_log(AtaFields { features: 0, ..fields }),
        0x02 if fields.features >> 8 & 0x1F == 0 => harmless("RECEIVE FPDMA QUEUED"),
        _ => unknown(),
    }
}

/// ACS SMART by sub-command.
fn smart(sub: u8, log: u8) -> Verdict {
    match sub {
        0xD0 => harmless("SMART READ DATA"),
        0xD1 => harmless("SMART READ THRESHOLDS"),
        0xD5 if matches!(log, 0x00..=0x09 | 0x80..=0x9F | 0xE0) => harmless("SMART READ LOG"),
        0xDA => harmless("SMART RETURN STATUS"),
        _ => modifying("SMART"),
    }
}
