//! Commands by hand, from the names of the standards; not the policy's CSV files.

/// (what, CDB in hex, data to the drive, it changes the content of blocks).
pub(super) type Row = (&'static str, &'static str, Vec<u8>, bool);

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn blocks(count: usize) -> Vec<u8> {
    vec![0xEE; 512 * count]
}

/// 512 bytes with a password in words 1-16.
fn password() -> Vec<u8> {
    let mut data = vec![0; 512];
    data[2..10].copy_from_slice(b"password");
    data
}

fn unmap_list() -> Vec<u8> {
    hex("0016 0010 00000000 0000000000000020 00000008 00000000")
}

fn trim_entry() -> Vec<u8> {
    let mut data = hex("2000000000000800");
    data.resize(512, 0);
    data
}

fn extended_copy_list() -> Vec<u8> {
    let mut data = hex("0000 0000 00000000 0000001C 00000000");
    data.extend(hex("02 00 0018 0000 0000 0000 0004 0000000000000000 0000000000000100"));
    data
}

fn scattered() -> Vec<u8> {
    let mut data = vec![0; 512];
    data[32..40].copy_from_slice(&77u64.to_be_bytes());
    data[40..44].copy_from_slice(&1u32.to_be_bytes());
    data.extend(blocks(1));
    data
}

fn sct_write_same() -> Vec<u8> {
    let mut data = vec![0; 512];
    data[..24].copy_from_slice(&hex("0200 0100 1000000000000000 0800000000000000 DEADBEEF"));
    data
}

/// Policy section 2 and 3: class MOD of the SCSI layer, and what tunnels.
pub(super) fn scsi_rows() -> Vec<Row> {
    let none = Vec::new;
    vec![
        ("FORMAT UNIT with list", "04 10 00 00 00 00", vec![0; 4], true),
        ("FORMAT UNIT, FMTDATA=0", "04 00 00 00 00 00", none(), true),
        ("REASSIGN BLOCKS", "07 00 00 00 00 00", hex("00000004 00000010"), true),
        ("WRITE(6)", "0A 00 00 10 01 00", blocks(1), true),
        (
            "MODE SELECT(6)",
            "15 11 00 00 18 00",
            hex("00000000 0812 00 000000000000000000000000000000000000"),
            false,
        ),
        ("COPY", "18 00 00 00 1C 00", hex("00000000"), false),
        ("ERASE(6)", "19 01 00 00 00 00", none(), true),
        ("START STOP UNIT, stop", "1B 00 00 00 00 00", none(), false),
        ("START STOP UNIT, eject", "1B 00 00 00 02 00", none(), false),
        ("START STOP UNIT, standby", "1B 00 00 00 30 00", none(), false),
        ("SEND DIAGNOSTIC, self-test", "1D 04 00 00 00 00", none(), false),
        ("Cypress ATACB, SET MAX EXT", "24 24 00 BF 00 00 00 00 00 01 00 40 F9", none(), false),
        ("WRITE(10)", "2A 00 00000010 00 0001 00", blocks(1), true),
        ("ERASE(10)", "2C 00 00000010 00 0004 00", none(), true),
        ("WRITE AND VERIFY(10)", "2E 00 00000010 00 0001 00", blocks(1), true),
        ("SET LIMITS(10)", "33 00 00000010 00 0004 00", none(), false),
        ("FORMAT WITH PRESET", "38 00 00 00 00 00 00 00 00 00", none(), true),
        ("COPY AND VERIFY", "3A 00 00 00 00 00 00 00 04 00", hex("00000000"), false),
        ("WRITE BUFFER, download and save", "3B 05 00 000000 000200 00", blocks(1), false),
        ("WRITE BUFFER, data", "3B 02 00 000000 000200 00", blocks(1), false),
        ("WRITE BUFFER, activate", "3B 0F 00 000000 000000 00", none(), false),
        ("READ BUFFER, error history, new snapshot", "3C 1C 01 000000 000200 00", none(), false),
        ("READ BUFFER, error history, clear", "3C 1C FE 000000 000000 00", none(), false),
        ("READ BUFFER, vendor mode", "3C 01 00 000000 000200 00", none(), false),
        ("UPDATE BLOCK", "3D 00 00000010 00 0001 00", blocks(1), true),
        ("WRITE LONG(10), WR_UNCOR", "3F 40 00000010 00 0000 00", none(), true),
        ("WRITE LONG(10)", "3F 00 00000010 00 0200 00", blocks(1), true),
        ("CHANGE DEFINITION", "40 00 01 03 00 00 00 00 00 00", none(), false),
        ("WRITE SAME(10)", "41 00 00000010 00 0100 00", blocks(1), true),
        ("WRITE SAME(10), UNMAP", "41 08 00000010 00 0100 00", blocks(1), true),
        ("UNMAP", "42 00 00 00 00 00 00 00 18 00", unmap_list(), true),
        ("SANITIZE, overwrite", "48 01 00 00 00 00 00 00 08 00", hex("01000004 AABBCCDD"), true),
        ("SANITIZE, block erase", "48 02 00 00 00 00 00 00 00 00", none(), true),
        ("SANITIZE, cryptographic erase", "48 03 00 00 00 00 00 00 00 00", none(), true),
        ("SANITIZE, exit failure mode", "48 1F 00 00 00 00 00 00 00 00", none(), false),
        ("LOG SELECT, PCR", "4C 02 00 00 00 00 00 00 00 00", none(), false),
        ("LOG SENSE, SP", "4D 01 4D 00 00 00 00 00 FF 00", none(), false),
        ("XDWRITE(10)", "50 00 00000010 00 0001 00", blocks(1), true),
        ("XPWRITE(10)", "51 00 00000010 00 0001 00", blocks(1), true),
        ("XDWRITEREAD(10)", "53 00 00000010 00 0001 00", blocks(1), true),
        (
            "MODE SELECT(10)",
            "55 11 00 00 00 00 00 00 1C 00",
            hex("0000000000000000 0812 00 000000000000000000000000000000000000"),
            false,
        ),
        ("CLOSE TRACK/SESSION", "5B 00 01 00 00 00 00 00 00 00", none(), true),
        ("PERSISTENT RESERVE OUT", "5F 00 00 00 00 00 00 00 18 00", vec![1; 24], false),
        ("EXTENDED CDB", "7E 00 00 00 00 00 00 00 00 00", none(), false),
        ("WRITE(32), cut to 16 bytes", "7F 00 00 00 00 00 00 18 000B 0000 00000000", none(), false),
        ("ATA PASS-THROUGH(32), cut", "7F 00 00 00 00 00 00 18 1FF0 0000 00000000", none(), false),
        ("XDWRITE EXTENDED(16)", "80 00 0000000000000010 00000001 00 00", blocks(1), true),
        ("REBUILD(16)", "81 00 0000000000000010 00000001 00 00", none(), true),
        ("REGENERATE(16)", "82 00 0000000000000010 00000001 00 00", none(), true),
        ("EXTENDED COPY", "83 00 0000000000000000 0000002C 00 00", extended_copy_list(), true),
        ("ACCESS CONTROL OUT", "87 00 0000000000000000 00000004 00 00", vec![1; 4], false),
        ("WRITE(16)", "8A 00 0000000000000010 00000001 00 00", blocks(1), true),
        ("ORWRITE(16)", "8B 00 0000000000000010 00000001 00 00", blocks(1), true),
        ("WRITE ATTRIBUTE", "8D 00 0000000000000000 00000004 00 00", vec![1; 4], false),
        ("WRITE AND VERIFY(16)", "8E 00 0000000000000010 00000001 00 00", blocks(1), true),
        ("WRITE SAME(16)", "93 00 0000000000000010 00000100 00 00", blocks(1), true),
        ("WRITE SAME(16), NDOB", "93 01 0000000000000010 00000100 00 00", none(), true),
        ("WRITE SAME(16), ANCHOR", "93 19 0000000000000010 00000100 00 00", none(), true),
        ("ZBC OUT, close", "94 01 0000000000000000 00000000 00 00", none(), false),
        ("ZBC OUT, finish", "94 02 0000000000000000 00000000 00 00", none(), false),
        ("ZBC OUT, open", "94 03 0000000000000000 00000000 00 00", none(), false),
        ("ZBC OUT, reset all", "94 04 0000000000000000 00000000 01 00", none(), false),
        ("ZBC OUT, sequentialize", "94 10 0000000000000000 00000000 00 00", none(), false),
        ("ZBC IN, ZONE ACTIVATE", "95 08 0000000000000000 00000000 00 00", none(), false),
        ("WRITE BUFFER(16)", "96 05 0000000000000000 00000200 00 00", blocks(1), false),
        ("WRITE STREAM(16)", "9A 00 0000000000000010 0001 0001 00 00", blocks(1), true),
        ("WRITE ATOMIC(16)", "9C 00 0000000000000010 0000 0001 00 00", blocks(1), true),
        ("SERVICE ACTION BIDIRECTIONAL", "9D 00 0000000000000000 00000000 00 00", none(), false),
        ("STREAM CONTROL", "9E 34 0000000000000000 00000008 00 00", none(), false),
        ("BACKGROUND CONTROL", "9E 15 4000000000000000 00000000 00 00", none(), false),
        ("REMOVE ELEMENT AND TRUNCATE", "9E 18 0000000000001000 00000001 00 00", none(), true),
        ("RESTORE ELEMENTS AND REBUILD", "9E 19 0000000000000000 00000000 00 00", none(), true),
        ("REMOVE ELEMENT AND MODIFY ZONES", "9E 1A 0000000000000000 00000001 00 00", none(), true),
        ("BIND", "9F 0C 0000000000000000 00000004 00 00", vec![1; 4], false),
        ("WRITE LONG(16), WR_UNCOR", "9F 51 0000000000000010 0000 0000 00 00", none(), true),
        ("WRITE SCATTERED(16)", "9F 12 0000 0001 0000 0001 00000002 00 00", scattered(), true),
        ("COALESCING COPY", "9F 13 0000000000000010 00000004 00 00", none(), false),
        ("legacy RESET WRITE POINTER", "9F 14 0000000000000000 00000000 00 00", none(), false),
        ("SECURITY PROTOCOL IN, ComID", "A2 01 0002 00 00 00000200 00 00", none(), false),
        ("MAINTENANCE OUT, SET TIMESTAMP", "A4 0F 00 00 00 00 0000000C 00 00", vec![1; 12], false),
        ("SERVICE ACTION OUT(12)", "A9 1F 00 00 00 00 00000000 00 00", none(), false),
        ("WRITE(12)", "AA 00 00000010 00000001 00 00", blocks(1), true),
        ("ERASE(12)", "AC 00 00000010 00000004 00 00", none(), true),
        ("WRITE AND VERIFY(12)", "AE 00 00000010 00000001 00 00", blocks(1), true),
        ("SET LIMITS(12)", "B3 00 00000010 00000004 00 00", none(), false),
        ("SECURITY PROTOCOL OUT, TCG", "B5 01 0001 00 00 00000200 00 00", blocks(1), false),
        (
            "SECURITY PROTOCOL OUT, ATA password",
            "B5 EF 0001 00 00 00000024 00 00",
            password(),
            false,
        ),
        ("REDUNDANCY GROUP OUT", "BB 00 00000000 00000000 00 00", none(), false),
        ("SPARE OUT", "BD 00 00000000 00000000 00 00", none(), false),
        ("VOLUME SET OUT", "BF 00 00000000 00000000 00 00", none(), false),
        ("Seagate SetLed", "D2 00 00000000 00000000 00 00", none(), false),
        (
            "Prolific ATA, SMART disable",
            "D8 15 00 D9 06 7B 00000000 01 01 4F C2 A0 B0",
            none(),
            false,
        ),
        ("JMicron ATA, SECURITY FREEZE LOCK", "DF 10 00 0000 00 00 00 00 00 A0 F5", none(), false),
        ("ASMedia write configuration", "E1 50 00 00 00 00", blocks(1), false),
        ("ASMedia flash read or Realtek registers", "E2 00 00000000 00000000 00 00", none(), false),
        ("ASMedia firmware write", "E3 50 00000000 00000200 00 00", blocks(1), false),
        ("ASMedia XDATA read or Realtek NVMe", "E4 01 00 50C8A0 00 00 00 00 00 00", none(), false),
        ("ASMedia XDATA write", "E5 0C 00 50C8A0 00 00 00 00 00 00", none(), false),
        ("ASMedia NVMe Format", "E6 80 00 00 00 00 00 00 00 00 00 00", none(), true),
        ("ASMedia reset", "E8 00 51 00000000 00 00 00 00 00", none(), false),
        ("Sunplus ATA, SET MAX", "F8 00 22 00 00 00 01 00 10 00 40 F9", none(), false),
        ("Sunplus preset", "F8 00 23 00 00 00 01 00 10 00 00 00", none(), false),
        ("vendor specific C1h", "C1 00 00 00 00 00 00 00 00 00", none(), false),
        ("reserved 02h", "02 00 00 00 00 00", none(), false),
        ("reserved 60h", "60 00 00 00 00 00 00 00 00 00", none(), false),
    ]
}

/// ATA PASS-THROUGH(16) of a command.
pub(super) fn pass(
    protocol_extend: u8,
    features: u16,
    count: u16,
    lba: u64,
    command: u8,
) -> Vec<u8> {
    let [f1, f0] = features.to_be_bytes();
    let [c1, c0] = count.to_be_bytes();
    let [l0, l1, l2, l3, l4, l5, ..] = lba.to_le_bytes();
    vec![0x85, protocol_extend, 0x20, f1, f0, c1, c0, l3, l0, l4, l1, l5, l2, 0x40, command, 0x00]
}

/// Policy section 4: class MOD of the ATA layer. Protocol byte 06h/07h = non-data, 0Ah/0Bh = PIO out.
pub(super) fn ata_rows() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let none = Vec::new;
    let non = |features, count, lba, command| pass(0x06, features, count, lba, command);
    let non48 = |features, count, lba, command| pass(0x07, features, count, lba, command);
    let out48 = |features, count, lba, command| pass(0x0B, features, count, lba, command);
    let smart = |sub, count, log: u64| pass(0x06, sub, count, 0xC2_4F00 | log, 0xB0);
    let mut rows = vec![
        ("DATA SET MANAGEMENT", out48(1, 1, 0, 0x06), trim_entry()),
        (
            "DATA SET MANAGEMENT XL",
            out48(1, 1, 0, 0x07),
            [hex("2000000000000000 0800000000000000"), vec![0; 496]].concat(),
        ),
        ("SET MAX ADDRESS EXT, volatile", non48(0, 0, 9999, 0x37), none()),
        ("SET MAX ADDRESS EXT, persistent", non48(0, 1, 9999, 0x37), none()),
        ("WRITE LOG EXT", out48(0, 1, 0x80, 0x3F), blocks(1)),
        ("SCT WRITE SAME by log E0h", out48(0, 1, 0xE0, 0x3F), sct_write_same()),
        ("ZERO EXT", non48(0, 8, 16, 0x44), none()),
        ("WRITE UNCORRECTABLE EXT", non48(0x55, 1, 16, 0x45), none()),
        ("WRITE LOG DMA EXT", out48(0, 1, 0x80, 0x57), blocks(1)),
        ("TRUSTED NON-DATA", non(1, 0, 0, 0x5B), none()),
        ("TRUSTED SEND", out48(1, 1, 0, 0x5E), blocks(1)),
        ("TRUSTED SEND DMA", out48(1, 1, 0, 0x5F), blocks(1)),
        ("TRUSTED RECEIVE, ComID", pass(0x08, 1, 1, 0x0200, 0x5C), none()),
        ("WRITE FPDMA QUEUED", out48(1, 0, 16, 0x61), blocks(1)),
        ("NCQ NON-DATA, SET FEATURES", non48(0x0205, 0, 0, 0x63), none()),
        ("NCQ NON-DATA, ZERO EXT", non48(0x0006, 8, 16, 0x63), none()),
        ("NCQ NON-DATA, ZAC", non48(0x0007, 0, 0, 0x63), none()),
        ("SEND FPDMA QUEUED, TRIM", out48(1, 0x0000, 0, 0x64), trim_entry()),
        ("SEND FPDMA QUEUED, WRITE LOG", out48(1, 0x0200, 0x80, 0x64), blocks(1)),
        ("SET DATE & TIME EXT", non48(0, 0, 0x1234, 0x77), none()),
        ("SET ACCESSIBLE MAX ADDRESS EXT", non48(1, 0, 9999, 0x78), none()),
        ("FREEZE ACCESSIBLE MAX ADDRESS", non48(2, 0, 0, 0x78), none()),
        ("REMOVE ELEMENT AND TRUNCATE", non48(0, 1, 4096, 0x7C), none()),
        ("RESTORE ELEMENTS AND REBUILD", non48(0, 0, 0, 0x7D), none()),
        ("REMOVE ELEMENT AND MODIFY ZONES", non48(0, 1, 0, 0x7E), none()),
        ("DOWNLOAD MICROCODE", pass(0x0A, 0x07, 1, 0, 0x92), blocks(1)),
        ("DOWNLOAD MICROCODE DMA", pass(0x0C, 0x03, 1, 0, 0x93), blocks(1)),
        ("DOWNLOAD MICROCODE, activate", non(0x0F, 0, 0, 0x92), none()),
        ("MUTATE EXT", non48(0, 0, 1, 0x96), none()),
        ("ZAC MANAGEMENT OUT, reset", non48(0x0004, 0, 0, 0x9F), none()),
        ("ZAC MANAGEMENT IN, activate", non48(0x0008, 0, 0, 0x4A), none()),
        ("PACKET", pass(0x0A, 0, 0, 0, 0xA0), hex("0400000000000000 00000000")),
        ("NV CACHE", non48(0, 0, 0, 0xB6), none()),
        ("CFA ERASE SECTORS", non(0, 1, 16, 0xC0), none()),
        ("DCO RESTORE", non(0xC0, 0, 0, 0xB1), none()),
        ("DCO FREEZE LOCK", non(0xC1, 0, 0, 0xB1), none()),
        (
            "DCO SET",
            pass(0x0A, 0xC3, 1, 0, 0xB1),
            [hex("0200 0700 7F00 0F27000000000000"), vec![0; 498]].concat(),
        ),
        (
            "DCO SET DMA",
            pass(0x0C, 0xC5, 1, 0, 0xB1),
            [hex("0200 0700 7F00 0F27000000000000"), vec![0; 498]].concat(),
        ),
        ("SANITIZE, crypto", non48(0x0011, 0, 0x4372_7970, 0xB4), none()),
        ("SANITIZE, block", non48(0x0012, 0, 0x426B_4572, 0xB4), none()),
        ("SANITIZE, overwrite", non48(0x0014, 1, 0x4F57_0000_0000, 0xB4), none()),
        ("SANITIZE, freeze", non48(0x0020, 0, 0x4672_4C6B, 0xB4), none()),
        ("SANITIZE, antifreeze", non48(0x0040, 0, 0x416E_7469, 0xB4), none()),
        ("SANITIZE STATUS, clear failure", non48(0x0000, 1, 0, 0xB4), none()),
        ("WRITE BUFFER", pass(0x0A, 0, 1, 0, 0xE8), blocks(1)),
        ("READ BUFFER DMA or WRITE SAME", pass(0x0C, 0, 1, 0, 0xE9), none()),
        ("WRITE BUFFER DMA", pass(0x0C, 0, 1, 0, 0xEB), blocks(1)),
        ("SET FEATURES, write cache", non(0x02, 0, 0, 0xEF), none()),
        ("SET FEATURES, APM", non(0x05, 0x80, 0, 0xEF), none()),
        ("SECURITY SET PASSWORD", pass(0x0A, 0, 1, 0, 0xF1), password()),
        ("SECURITY UNLOCK", pass(0x0A, 0, 1, 0, 0xF2), password()),
        ("SECURITY ERASE PREPARE", non(0, 0, 0, 0xF3), none()),
        ("SECURITY ERASE UNIT", pass(0x0A, 0, 1, 0, 0xF4), password()),
        ("SECURITY FREEZE LOCK", non(0, 0, 0, 0xF5), none()),
        ("SECURITY DISABLE PASSWORD", pass(0x0A, 0, 1, 0, 0xF6), password()),
        ("SET MAX ADDRESS", non(0, 0, 9999, 0xF9), none()),
        ("SET MAX SET PASSWORD", pass(0x0A, 0x01, 1, 0, 0xF9), password()),
        ("SET MAX LOCK", non(0x02, 0, 0, 0xF9), none()),
        ("SET MAX FREEZE LOCK", non(0x04, 0, 0, 0xF9), none()),
        ("SMART AUTOSAVE off", smart(0xD2, 0x00, 0), none()),
        ("SMART SAVE ATTRIBUTES", smart(0xD3, 0, 0), none()),
        ("SMART OFF-LINE IMMEDIATE", smart(0xD4, 0, 2), none()),
        ("SMART READ LOG, vendor", smart(0xD5, 1, 0xA0), none()),
        ("SMART WRITE LOG", pass(0x0A, 0xD6, 1, 0xC2_4F80, 0xB0), blocks(1)),
        ("SMART WRITE LOG, SCT", pass(0x0A, 0xD6, 1, 0xC2_4FE0, 0xB0), sct_write_same()),
        ("SMART WRITE THRESHOLDS", pass(0x0A, 0xD7, 1, 0xC2_4F00, 0xB0), blocks(1)),
        ("SMART ENABLE", smart(0xD8, 0, 0), none()),
        ("SMART DISABLE", smart(0xD9, 0, 0), none()),
        ("SMART AUTOMATIC OFF-LINE", smart(0xDB, 0xF8, 0), none()),
        ("READ LOG EXT, queued error", pass(0x09, 0, 1, 0x10, 0x2F), none()),
        ("READ LOG EXT, counter reset", pass(0x09, 1, 1, 0x11, 0x2F), none()),
        ("READ LOG EXT, current status", pass(0x09, 1, 1, 0x24, 0x2F), none()),
        ("vendor specific 80h", non(0, 0, 0, 0x80), none()),
        ("vendor specific FAh", non(0, 0, 0, 0xFA), none()),
        ("retired 11h", non(0, 0, 0, 0x11), none()),
    ];
    let writes28 = [0x30, 0x31, 0x32, 0x33, 0x38, 0x3C, 0x50, 0xC5, 0xCA, 0xCB, 0xCD];
    let writes48 = [0x34, 0x35, 0x39, 0x3A, 0x3B, 0x3D, 0xCE];
    rows.extend(writes28.map(|command| ("WRITE, 28-bit", non(0, 1, 16, command), blocks(1))));
    rows.extend(writes48.map(|command| ("WRITE, 48-bit", out48(0, 1, 16, command), blocks(1))));
    rows.extend([0x36, 0x3E].map(|command| ("WRITE, queued", out48(1, 0, 16, command), blocks(1))));
    rows.push(("WRITE DMA QUEUED", non(1, 0, 16, 0xCC), blocks(1)));
    rows
}

/// Harmless commands of the SCSI layer.
pub(super) fn harmless_rows() -> Vec<Vec<u8>> {
    [
        "00 00 00 00 00 00",
        "01 00 00 00 00 00",
        "03 00 00 00 12 00",
        "08 00 00 10 01 00",
        "0B 00 00 10 00 00",
        "12 00 00 00 60 00",
        "12 01 00 00 FF 00",
        "12 01 80 00 FF 00",
        "12 01 83 00 FF 00",
        "12 01 89 02 3C 00",
        "12 01 B0 00 FF 00",
        "12 01 B1 00 FF 00",
        "12 01 B2 00 FF 00",
        "12 01 C0 00 FF 00",
        "16 00 00 00 00 00",
        "17 00 00 00 00 00",
        "1A 00 3F 00 C0 00",
        "1A 00 08 00 C0 00",
        "1B 00 00 00 01 00",
        "1C 01 00 00 FF 00",
        "1E 00 00 00 01 00",
        "23 00 00 00 00 00 00 00 FC 00",
        "25 00 00 00 00 00 00 00 00 00",
        "28 00 00 00 00 10 00 00 08 00",
        "2B 00 00 00 00 10 00 00 00 00",
        "2F 00 00 00 00 10 00 00 08 00",
        "34 00 00 00 00 10 00 00 08 00",
        "35 00 00 00 00 00 00 00 00 00",
        "37 00 00 00 00 00 00 00 08 00",
        "3C 02 00 00 00 00 00 02 00 00",
        "3C 03 00 00 00 00 00 00 04 00",
        "3C 1C 00 00 00 00 00 02 00 00",
        "3E 00 00 00 00 10 00 02 00 00",
        "4D 00 40 00 00 00 00 00 FF 00",
        "4D 00 4D 00 00 00 00 00 FF 00",
        "4D 00 6F 00 00 00 00 00 FF 00",
        "5A 00 3F 00 00 00 00 00 FF 00",
        "5E 00 00 00 00 00 00 00 08 00",
        "84 00 00 00 00 00 00 00 00 00 00 00 00 08 00 00",
        "88 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00",
        "8F 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00",
        "91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "95 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00",
        "9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
        "9E 12 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
        "A0 00 00 00 00 00 00 00 00 10 00 00",
        "A2 00 00 00 00 00 00 00 02 00 00 00",
        "A2 01 00 01 00 00 00 00 02 00 00 00",
        "A2 EF 00 00 00 00 00 00 02 00 00 00",
        "A3 0C 00 00 00 00 00 00 02 00 00 00",
        "A8 00 00 00 00 10 00 00 00 08 00 00",
        "AB 01 00 00 00 00 00 00 00 04 00 00",
    ]
    .map(hex)
    .to_vec()
}

/// Harmless commands of the ATA layer: all the blocker can emit (policy 4.1b), and reads.
pub(super) fn ata_harmless_rows() -> Vec<Vec<u8>> {
    let mut rows = [
        "85 08 0E 00 00 00 01 00 00 00 00 00 00 40 EC 00",
        "A1 08 0E 00 01 00 00 00 40 EC 00 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 F8 00",
        "85 07 20 00 00 00 00 00 00 00 00 00 00 40 78 00",
        "85 08 0E 00 C2 00 01 00 00 00 00 00 00 40 B1 00",
        "85 06 20 00 00 00 00 00 00 00 00 00 00 40 E5 00",
        "85 09 0E 00 00 00 01 00 00 00 00 00 00 40 2F 00",
        "85 09 0E 00 00 00 01 00 30 00 01 00 00 40 2F 00",
        "85 09 0E 00 00 00 01 00 04 00 01 00 00 40 2F 00",
        "85 08 0E 00 00 00 01 00 00 00 00 00 00 40 5C 00",
        "85 08 0E 00 01 00 01 00 00 00 01 00 00 40 5C 00",
        "85 0D 0E 00 00 00 01 00 00 00 00 00 00 40 4A 00",
        "85 08 0E 00 D0 00 01 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D1 00 01 00 00 00 4F 00 C2 40 B0 00",
        "85 08 0E 00 D5 00 01 00 06 00 4F 00 C2 40 B0 00",
        "85 06 20 00 DA 00 00 00 00 00 4F 00 C2 40 B0 00",
        "85 1E 20 00 00 00 00 00 00 00 00 00 00 40 00 00",
    ]
    .map(hex)
    .to_vec();
    let commands =
        [0x20, 0x24, 0x25, 0x29, 0x40, 0x42, 0x60, 0xC4, 0xC8, 0xE0, 0xE1, 0xE4, 0xE7, 0xEA];
    rows.extend(commands.map(|command| pass(0x09, 1, 1, 16, command)));
    rows
}
