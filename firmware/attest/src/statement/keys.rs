//! The map keys of the statement, one table for encoder, reader and CDDL.
//!
//! The claims set is a map as in an Entity Attestation Token: registered claims where one fits
//! (RFC 9711, section 10.2: eat_nonce, eat_profile, bootcount), all others in the range for
//! private use (RFC 8392, section 9.1: below -65536). Inside a claim the keys count from 0.

/// The tables of keys: name of the map in the CDDL, and its keys with their names there.
pub const TABLES: &[(&str, &[(i64, &str)])] = &[
    ("claims", CLAIMS),
    ("device", DEVICE),
    ("firmware", FIRMWARE),
    ("session", SESSION),
    ("drive", DRIVE),
    ("usb", USB),
    ("scsi", SCSI),
    ("ata", ATA),
    ("card", CARD),
    ("originated", ORIGINATED),
    ("counters", COUNTERS),
    ("emitted", EMITTED),
    ("refusals", REFUSALS),
    ("coverage", COVERAGE),
    ("log", LOG),
    ("audit", AUDIT),
    ("bounded-list", LIST),
];

macro_rules! table {
    ($(#[$doc:meta])* $table:ident: $($(#[$kdoc:meta])* $key:ident = $value:expr, $name:literal;)+) => {
        $(#[$doc])*
        pub const $table: &[(i64, &str)] = &[$(($key, $name)),+];
        $($(#[$kdoc])* pub(crate) const $key: i64 = $value;)+
    };
}

table! {
    /// The claims set. The CDDL lists it in this order, which is that of the encoded keys.
    CLAIMS:
    NONCES = 10, "nonces";
    PROFILE = 265, "profile";
    BOOTS = 267, "boot-counter";
    VERSION = -65537, "version";
    DEVICE_CLAIM = -65538, "device";
    FIRMWARE_CLAIM = -65539, "firmware";
    SESSION_CLAIM = -65540, "session";
    DRIVE_CLAIM = -65541, "drive";
    ORIGINATED_CLAIM = -65542, "originated";
    COUNTERS_CLAIM = -65543, "counters";
    EMITTED_CLAIM = -65544, "emitted";
    REFUSALS_CLAIM = -65545, "refusals";
    COVERAGE_CLAIM = -65546, "coverage";
    LOG_CLAIM = -65547, "log";
    EDITS_CLAIM = -65548, "edits";
    AUDIT_CLAIM = -65549, "audit";
}

table! {
    /// The bridge.
    DEVICE:
    KEY_ID = 0, "key-id";
    PROTECTION = 1, "key-protection";
    HARDWARE = 2, "hardware";
    TAMPER = 3, "tamper";
}

table! {
    /// What runs on it.
    FIRMWARE:
    IMAGE = 0, "digest";
    POLICY = 1, "policy";
    PROFILES = 2, "profiles";
    BUILD = 3, "build";
    ENGINE = 4, "hash-engine";
}

table! {
    /// Which session, which statement.
    SESSION:
    KIND = 0, "kind";
    NUMBER = 1, "number";
    CHECKPOINT = 2, "checkpoint";
    START = 3, "start";
    END = 4, "end";
    REASON = 5, "reason";
    PREVIOUS = 6, "previous";
}

table! {
    /// The drive. Either `usb` and `scsi` (and `ata`), or `card`.
    DRIVE:
    LUN = 0, "lun";
    CAPACITY = 1, "capacity";
    BLOCK_SIZE = 2, "block-size";
    NATIVE_MAX = 3, "native-max";
    DCO_MAX = 4, "dco-max";
    AMAX = 5, "amax";
    DISAGREEMENT = 6, "disagreement";
    USB_PART = 7, "usb";
    SCSI_PART = 8, "scsi";
    ATA_PART = 9, "ata";
    CARD_PART = 10, "card";
}

table! {
    /// The USB device in front of the drive.
    USB:
    DESCRIPTORS = 0, "descriptors";
    VENDOR = 1, "vendor";
    PRODUCT = 2, "product";
    RELEASE = 3, "release";
    USB_SERIAL = 4, "serial";
    LISTED = 5, "listed";
}

table! {
    /// The SCSI unit.
    SCSI:
    INQUIRY = 0, "inquiry";
    VPD80 = 1, "vpd-80";
    VPD83 = 2, "vpd-83";
}

table! {
    /// The ATA device behind it.
    ATA:
    MODEL = 0, "model";
    ATA_SERIAL = 1, "serial";
    ATA_FIRMWARE = 2, "firmware";
    WWN = 3, "wwn";
    IDENTIFY = 4, "identify";
    VALID = 5, "valid";
}

table! {
    /// A card.
    CARD:
    CID = 0, "cid";
    CSD = 1, "csd";
    SCR = 2, "scr";
    SD_STATUS = 3, "sd-status";
    SPI_CRC = 4, "spi-crc";
}

table! {
    /// Commands the bridge sent on its own.
    ORIGINATED:
    TOTAL = 0, "total";
    STEPS = 1, "steps";
    NOT_RUN = 2, "not-run";
}

table! {
    /// Commands of the host.
    COUNTERS:
    COUNTED = 0, "total";
    COUNTED_AT_START = 1, "total-at-start";
    ROWS = 2, "rows";
}

table! {
    /// Commands sent to the drive.
    EMITTED:
    CBWS = 0, "cbws";
    BULK_OUT = 1, "bulk-out-bytes";
    COMMANDS = 2, "commands";
}

table! {
    /// Refused commands.
    REFUSALS:
    REFUSED = 0, "total";
    MODIFYING = 1, "modifying";
    FIRST = 2, "first";
    LAST = 3, "last";
}

table! {
    /// What was read and what failed.
    COVERAGE:
    BLOCKS = 0, "blocks";
    EXTENTS = 1, "extents";
    ERRORS = 2, "errors";
}

table! {
    /// The digest log.
    LOG:
    ENTRIES = 0, "entries";
    ROOT = 1, "root";
    LOST = 2, "lost";
    ABANDONED = 3, "abandoned";
    LOST_RANGES = 4, "lost-ranges";
}

table! {
    /// The audit ring.
    AUDIT:
    HEAD = 0, "head";
    SEQ = 1, "seq";
}

table! {
    /// A list with a bound.
    LIST:
    LIST_COUNT = 0, "count";
    LIST_FIRST = 1, "first";
    LIST_DIGEST = 2, "digest";
    LIST_UNRECORDED = 3, "unrecorded";
}

/// The value of `profile`: a name of this format that nobody else uses.
pub const PROFILE_NAME: &str = "urn:uuid:5d0b1f4e-9a53-4a4c-8f0e-2b7c61d7a8e4";
/// The value of `version`.
pub const FORMAT_VERSION: u64 = 1;
/// Most bytes of an identity field that are encoded as they are.
pub const IDENTITY_LIMIT: usize = 256;
/// Most bytes on each side of a presentation edit that are encoded as they are.
pub const EDIT_LIMIT: usize = 32;
/// Most bytes of the bridge's own texts (hardware, build).
pub const TEXT_LIMIT: usize = 64;
