//! What must happen to every command, written by hand from the command names of the standards (SPC-4, SBC-3, ZBC, SAT-3, ACS-3) and the
//! published policy's prose; neither the policy's CSV files nor any code of the blocker is used.
//!
//! It speaks of a fixed disk of 65,536 blocks of 512 bytes, valid IDENTIFY data, everything announced. [`expect`] is about the default
//! model drive behind a bridge with profile `ident`, by an adapter that is not on the list; [`expect_in`] about other [`World`]s. Both say
//! which command blocks arrive at the drive, byte for byte, and what the host sees. Nothing of the simulation is used here, so that the
//! classifier alone can be held against it too.
#![allow(dead_code)] // each test binary takes what it needs
#![allow(clippy::cast_possible_truncation)] // the values are bounded where they are cast

/// Blocks of the drive.
pub const BLOCKS: u64 = 65_536;
/// Blocks of one READ to the drive: a slot of 32 KiB.
const PIECE: u64 = 64;

/// Data phase of a command as the host announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    None,
    In(u32),
    Out(u32),
}

impl Data {
    pub fn length(self) -> u32 {
        match self {
            Self::None => 0,
            Self::In(length) | Self::Out(length) => length,
        }
    }
}

/// What the host sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// GOOD.
    Good,
    /// The drive's own answer, good or bad.
    Drive,
    /// CHECK CONDITION with the ATA status return descriptor, as the host asked for.
    Registers,
    /// Refused: DATA PROTECT, WRITE PROTECTED.
    Wp,
    /// Refused: INVALID COMMAND OPERATION CODE.
    Op,
    /// Refused: INVALID FIELD IN CDB.
    Fld,
    /// Refused: LOGICAL BLOCK ADDRESS OUT OF RANGE.
    Lba,
    /// Refused: SAVING PARAMETERS NOT SUPPORTED.
    Spns,
    /// Host and command disagree about the data phase: phase error.
    Phase,
}

impl Seen {
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Wp | Self::Op | Self::Fld | Self::Lba | Self::Spns)
    }
}

/// What must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Commands at the drive, sense requests after a failure left out.
    pub down: Vec<Vec<u8>>,
    pub seen: Seen,
}

fn only(seen: Seen) -> Expected {
    Expected { down: Vec::new(), seen }
}

/// Modifying commands by operation code alone that are answered WRITE PROTECTED.
const WRITES: [(u8, &str); 34] = [
    (0x04, "FORMAT UNIT"),
    (0x07, "REASSIGN BLOCKS"),
    (0x0A, "WRITE(6)"),
    (0x18, "COPY"),
    (0x19, "ERASE(6)"),
    (0x2A, "WRITE(10)"),
    (0x2C, "ERASE(10)"),
    (0x2E, "WRITE AND VERIFY(10)"),
    (0x38, "FORMAT WITH PRESET"),
    (0x3A, "COPY AND VERIFY"),
    (0x3D, "UPDATE BLOCK"),
    (0x3F, "WRITE LONG(10)"),
    (0x41, "WRITE SAME(10)"),
    (0x42, "UNMAP"),
    (0x48, "SANITIZE"),
    (0x50, "XDWRITE(10)"),
    (0x51, "XPWRITE(10)"),
    (0x53, "XDWRITEREAD(10)"),
    (0x5B, "CLOSE TRACK/SESSION"),
    (0x80, "XDWRITE EXTENDED(16)"),
    (0x81, "REBUILD(16)"),
    (0x82, "REGENERATE(16)"),
    (0x83, "THIRD-PARTY COPY OUT"),
    (0x89, "COMPARE AND WRITE"),
    (0x8A, "WRITE(16)"),
    (0x8B, "ORWRITE(16)"),
    (0x8E, "WRITE AND VERIFY(16)"),
    (0x93, "WRITE SAME(16)"),
    (0x94, "ZBC OUT"),
    (0x9A, "WRITE STREAM(16)"),
    (0x9C, "WRITE ATOMIC(16)"),
    (0xAA, "WRITE(12)"),
    (0xAC, "ERASE(12)"),
    (0xAE, "WRITE AND VERIFY(12)"),
];

/// Commands that are offered, with their length.
const OFFERED: [(u8, usize, &str); 23] = [
    (0x00, 6, "TEST UNIT READY"),
    (0x03, 6, "REQUEST SENSE"),
    (0x08, 6, "READ(6)"),
    (0x12, 6, "INQUIRY"),
    (0x1A, 6, "MODE SENSE(6)"),
    (0x1B, 6, "START STOP UNIT"),
    (0x1E, 6, "PREVENT ALLOW MEDIUM REMOVAL"),
    (0x23, 10, "READ FORMAT CAPACITIES"),
    (0x25, 10, "READ CAPACITY(10)"),
    (0x28, 10, "READ(10)"),
    (0x35, 10, "SYNCHRONIZE CACHE(10)"),
    (0x4D, 10, "LOG SENSE"),
    (0x5A, 10, "MODE SENSE(10)"),
    (0x85, 16, "ATA PASS-THROUGH(16)"),
    (0x88, 16, "READ(16)"),
    (0x91, 16, "SYNCHRONIZE CACHE(16)"),
    (0x95, 16, "ZBC IN"),
    (0x9E, 16, "SERVICE ACTION IN(16)"),
    (0xA0, 12, "REPORT LUNS"),
    (0xA1, 12, "ATA PASS-THROUGH(12)"),
    (0xA2, 12, "SECURITY PROTOCOL IN"),
    (0xA3, 12, "MAINTENANCE IN"),
    (0xA8, 12, "READ(12)"),
];

/// The length that a command of this group has; 16 where the group has none.
pub fn right_length(opcode: u8) -> usize {
    [6, 10, 10, 16, 16, 12, 16, 16][usize::from(opcode >> 5)]
}

/// What the answer to a command depends on besides the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Profile `ident` is active.
    pub ident: bool,
    /// Profile `smart` is active.
    pub smart: bool,
    /// The adapter is on the list of those that pass the rarer commands on unharmed (3.2).
    pub listed: bool,
    /// The drive's last word was 02/04/02: it waits for a spin-up (3.3).
    pub needs_start: bool,
}

impl World {
    /// The default model drive.
    pub const fn model(smart: bool) -> Self {
        Self { ident: true, smart, listed: false, needs_start: false }
    }
}

/// What must happen to a command before the default model drive; `smart`: that profile is active too.
pub fn expect(cdb: &[u8], data: Data, smart: bool) -> Expected {
    expect_in(World::model(smart), cdb, data)
}

/// LOG SENSE, the pass-throughs, ZBC IN, SECURITY PROTOCOL IN and MAINTENANCE IN exist with profile `ident` only.
const IDENT: [u8; 6] = [0x4D, 0x85, 0x95, 0xA1, 0xA2, 0xA3];

/// What must happen to a command.
pub fn expect_in(world: World, cdb: &[u8], data: Data) -> Expected {
    let byte = |at: usize| cdb.get(at).copied().unwrap_or(0);
    let opcode = byte(0);
    let action = byte(1) & 0x1F;
    if WRITES.iter().any(|(write, _)| *write == opcode) {
        return only(Seen::Wp);
    }
    // SERVICE ACTION OUT(16): WRITE LONG, WRITE SCATTERED, COALESCING COPY, RESET WRITE POINTER; the rest is not offered.
    if opcode == 0x9F {
        return only(if matches!(action, 0x11..=0x14) { Seen::Wp } else { Seen::Op });
    }
    if !world.ident && IDENT.contains(&opcode) {
        return only(Seen::Op);
    }
    let Some((_, length, _)) = OFFERED.iter().find(|(offered, ..)| *offered == opcode) else {
        return only(Seen::Op);
    };
    if *length != cdb.len() {
        return only(Seen::Fld);
    }
    match opcode {
        0x00 => sent(&[0, 0, 0, 0, 0, 0], 0, data),
        0x03 => answered(u32::from(byte(4)), data),
        0x08 | 0x28 | 0x88 | 0xA8 => read(cdb, data),
        0x12 => match (byte(1) & 1, byte(2)) {
            // ATA INFORMATION goes with profile `ident`.
            (1, 0x89) if !world.ident => only(Seen::Fld),
            (0, 0) | (1, 0x00 | 0x80 | 0x83 | 0x89 | 0xB0 | 0xB1 | 0xB2) => {
                answered(be(cdb, 3, 2) as u32, data)
            }
            _ => only(Seen::Fld),
        },
        0x1A => mode_sense(cdb, u32::from(byte(4)), data),
        0x5A => mode_sense(cdb, be(cdb, 7, 2) as u32, data),
        // A start without load, eject or power condition, for a drive that waits for one.
        0x1B if world.needs_start && byte(4) & 0xF3 == 0x01 => {
            sent(&[0x1B, 0, 0, 0, 1, 0], 0, data)
        }
        0x1B | 0x1E | 0x35 | 0x91 => only(Seen::Good),
        0x23 => answered(be(cdb, 7, 2) as u32, data),
        0x25 => sent(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, data),
        0x4D => log_sense(cdb, data),
        0x95 => zone_in(cdb, data),
        0x9E => match action {
            0x10 => {
                let cdb16 = [0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0];
                sent(&cdb16, be(cdb, 10, 4).min(32) as u32, data)
            }
            // REMOVE ELEMENT AND TRUNCATE, RESTORE ELEMENTS AND REBUILD, REMOVE ELEMENT AND MODIFY ZONES.
            0x18..=0x1A => only(Seen::Wp),
            _ => only(Seen::Fld),
        },
        0xA0 => match byte(2) {
            0x00..=0x02 | 0x10..=0x12 => answered(be(cdb, 6, 4) as u32, data),
            _ => only(Seen::Fld),
        },
        0xA2 => security_in(cdb, data),
        0xA3 => match (action, byte(2) & 7) {
            // All; one without service actions; one with; either.
            (0x0C, 0 | 3) | (0x0D, _) => answered(be(cdb, 6, 4) as u32, data),
            (0x0C, 1) if !has_service_actions(byte(3)) => answered(be(cdb, 6, 4) as u32, data),
            (0x0C, 2) if has_service_actions(byte(3)) => answered(be(cdb, 6, 4) as u32, data),
            _ => only(Seen::Fld),
        },
        _ => ata(world, cdb, data),
    }
}

/// Operation codes that a service action tells apart (SPC-4 6.35.1, SBC-3, MMC-6).
fn has_service_actions(opcode: u8) -> bool {
    matches!(opcode, 0x48 | 0x5E | 0x5F | 0x83 | 0x84 | 0x86 | 0x87 | 0x94 | 0x95 | 0x9D..=0x9F)
        || matches!(opcode, 0xA3 | 0xA4 | 0xA9 | 0xAB | 0xBA..=0xBF)
}

/// Where a refusal for INVALID FIELD points, as far as the standards leave no choice: the first byte that is missing or too many, and the
/// field of commands that have one field to refuse.
pub fn pointer(cdb: &[u8]) -> Option<u8> {
    let (_, length, _) = OFFERED.iter().find(|(offered, ..)| offered == &cdb[0])?;
    if cdb.len() != *length {
        return u8::try_from(cdb.len().min(*length)).ok();
    }
    match cdb[0] {
        0x08 => Some(5),
        0x28 | 0xA8 | 0x88 if cdb[1] & 0xE0 != 0 => Some(1),
        0x28 | 0xA8 | 0x88 => u8::try_from(length - 1).ok(),
        0x1A | 0x5A if matches!(cdb[2] & 0x3F, 0x08 | 0x0A | 0x1C | 0x3F) => Some(3),
        0x1A | 0x5A | 0xA0 => Some(2),
        0x9E => Some(1),
        _ => None,
    }
}

fn be(cdb: &[u8], from: usize, count: usize) -> u64 {
    cdb[from..from + count].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Answered by the bridge: GOOD, but a phase error where the host takes no data and there are some.
fn answered(bytes: u32, data: Data) -> Expected {
    only(if bytes == 0 || matches!(data, Data::In(_)) { Seen::Good } else { Seen::Phase })
}

/// Sent on. Where the host takes no data and there would be some, nothing is.
fn sent(down: &[u8], bytes: u32, data: Data) -> Expected {
    if bytes > 0 && !matches!(data, Data::In(_)) {
        return only(Seen::Phase);
    }
    Expected { down: vec![down.to_vec()], seen: Seen::Drive }
}

/// SBC-3 5.8 to 5.11. No protection information, no CONTROL bits; nothing beyond the end; split into pieces, never widened.
fn read(cdb: &[u8], data: Data) -> Expected {
    let (lba, blocks) = match cdb[0] {
        0x08 if cdb[4] == 0 => (be(cdb, 1, 3) & 0x1F_FFFF, 256),
        0x08 => (be(cdb, 1, 3) & 0x1F_FFFF, u64::from(cdb[4])),
        0x28 => (be(cdb, 2, 4), be(cdb, 7, 2)),
        0xA8 => (be(cdb, 2, 4), be(cdb, 6, 4)),
        _ => (be(cdb, 2, 8), be(cdb, 10, 4)),
    };
    if (cdb[0] != 0x08 && cdb[1] & 0xE0 != 0) || cdb[cdb.len() - 1] != 0 {
        return only(Seen::Fld);
    }
    if blocks == 0 {
        return only(Seen::Good);
    }
    if lba >= BLOCKS || blocks > BLOCKS - lba {
        return only(Seen::Lba);
    }
    let Data::In(wanted) = data else { return only(Seen::Phase) };
    let fit = blocks.min(u64::from(wanted) / 512);
    let pieces = (0..fit).step_by(PIECE as usize).map(|from| {
        let [a3, a2, a1, a0] = ((lba + from) as u32).to_be_bytes();
        let [n1, n0] = (PIECE.min(fit - from) as u16).to_be_bytes();
        vec![0x28, 0, a3, a2, a1, a0, 0, n1, n0, 0]
    });
    let seen = if u64::from(wanted) < blocks * 512 { Seen::Phase } else { Seen::Drive };
    Expected { down: pieces.collect(), seen }
}

/// SPC-4 6.13, 6.14: caching, control, informational exceptions, all. Saved values are not kept.
fn mode_sense(cdb: &[u8], allocation: u32, data: Data) -> Expected {
    match (cdb[2] >> 6, cdb[2] & 0x3F, cdb[3]) {
        (3, ..) => only(Seen::Spns),
        (_, 0x08 | 0x0A | 0x1C | 0x3F, 0x00 | 0xFF) => answered(allocation, data),
        _ => only(Seen::Fld),
    }
}

/// SPC-4 6.7: no SP, no PPC, cumulative values.
fn log_sense(cdb: &[u8], data: Data) -> Expected {
    let page = cdb[2] & 0x3F;
    let known = matches!(
        (page, cdb[3]),
        (
            0x00 | 0x02
                | 0x03
                | 0x05
                | 0x06
                | 0x0D
                | 0x0E
                | 0x10
                | 0x11
                | 0x15
                | 0x18
                | 0x19
                | 0x1A
                | 0x2F,
            0x00
        ) | (0x00, 0xFF)
    );
    if !known || cdb[1] & 0x03 != 0 || cdb[2] >> 6 != 1 {
        return only(Seen::Fld);
    }
    let wanted = be(cdb, 7, 2).min(8192) as u16;
    let [high, low] = (if wanted == 0 { 64 } else { wanted }).to_be_bytes();
    let down = [0x4D, 0, 0x40 | page, cdb[3], 0, 0, 0, high, low, 0];
    sent(&down, u32::from(wanted), data)
}

/// ZBC: REPORT ZONES goes; ZONE ACTIVATE is a write under an IN opcode; the other reports are not offered.
fn zone_in(cdb: &[u8], data: Data) -> Expected {
    match cdb[1] & 0x1F {
        0x00 => {}
        0x08 => return only(Seen::Wp),
        _ => return only(Seen::Fld),
    }
    if !matches!(cdb[14] & 0x3F, 0x00..=0x07 | 0x10 | 0x11 | 0x3F) {
        return only(Seen::Fld);
    }
    if be(cdb, 2, 8) >= BLOCKS {
        return only(Seen::Lba);
    }
    let wanted = be(cdb, 10, 4).min(8192) as u16;
    let [high, low] = (if wanted == 0 { 64 } else { wanted }).to_be_bytes();
    let mut down = vec![0x95, 0];
    down.extend(&cdb[2..10]);
    down.extend([0, 0, high, low, cdb[14] & 0xBF, 0]);
    sent(&down, u32::from(wanted), data)
}

/// Security protocols that only inform: protocol list, certificate, compliance; TCG level 0 discovery; ATA security status.
fn is_information(protocol: u8, specific: u64) -> bool {
    matches!((protocol, specific), (0x00, 0..=2) | (0x01, 1) | (0xEF, 0))
}

fn security_in(cdb: &[u8], data: Data) -> Expected {
    let in_blocks = cdb[4] & 0x80 != 0;
    let wanted = be(cdb, 6, 4) * if in_blocks { 512 } else { 1 };
    if !is_information(cdb[1], be(cdb, 2, 2)) || wanted > 4096 {
        return only(Seen::Fld);
    }
    let asked = if wanted == 0 { 64 } else { wanted };
    let count = if in_blocks { asked.div_ceil(512) } else { asked } as u16;
    let [high, low] = count.to_be_bytes();
    let flag = if in_blocks { 0x80 } else { 0 };
    let down = [0xA2, cdb[1], cdb[2], cdb[3], flag, 0, 0, 0, high, low, 0, 0];
    sent(&down, wanted as u32, data)
}

/// An ATA request, registers as ACS names them.
struct Ata {
    long: bool,
    protocol: u8,
    extend: bool,
    flags: u8,
    features: u16,
    count: u16,
    lba: u64,
    command: u8,
    is_plain: bool,
}

fn parse(cdb: &[u8]) -> Ata {
    let b = |at: usize| u64::from(cdb[at]);
    let long = cdb[0] == 0x85;
    let (features, count, lba, command) = if long {
        let lba = b(11) << 40 | b(9) << 32 | b(7) << 24 | b(12) << 16 | b(10) << 8 | b(8);
        (be(cdb, 3, 2) as u16, be(cdb, 5, 2) as u16, lba, cdb[14])
    } else {
        (u16::from(cdb[3]), u16::from(cdb[4]), b(7) << 16 | b(6) << 8 | b(5), cdb[9])
    };
    Ata {
        long,
        protocol: cdb[1] >> 1 & 0xF,
        extend: cdb[1] & 1 == 1,
        flags: cdb[2],
        features,
        count,
        lba,
        command,
        // MULTIPLE_COUNT, OFF_LINE, CONTROL.
        is_plain: cdb[1] >> 5 == 0 && cdb[2] >> 6 == 0 && cdb[cdb.len() - 1] == 0,
    }
}

/// ATA commands that write, erase, hide, lock or reconfigure, whatever their registers say.
const ATA_WRITES: [(u8, u8, &str); 32] = [
    (0x06, 0x06, "DATA SET MANAGEMENT"),
    (0x07, 0x07, "DATA SET MANAGEMENT XL"),
    (0x30, 0x31, "WRITE SECTOR(S)"),
    (0x32, 0x33, "WRITE LONG"),
    (0x34, 0x34, "WRITE SECTOR(S) EXT"),
    (0x35, 0x36, "WRITE DMA [QUEUED] EXT"),
    (0x37, 0x37, "SET MAX ADDRESS EXT"),
    (0x38, 0x38, "CFA WRITE SECTORS WITHOUT ERASE"),
    (0x39, 0x39, "WRITE MULTIPLE EXT"),
    (0x3A, 0x3B, "WRITE STREAM EXT"),
    (0x3C, 0x3C, "WRITE VERIFY"),
    (0x3D, 0x3E, "WRITE DMA [QUEUED] FUA EXT"),
    (0x3F, 0x3F, "WRITE LOG EXT"),
    (0x44, 0x44, "ZERO EXT"),
    (0x45, 0x45, "WRITE UNCORRECTABLE EXT"),
    (0x50, 0x50, "FORMAT TRACK"),
    (0x57, 0x57, "WRITE LOG DMA EXT"),
    (0x61, 0x61, "WRITE FPDMA QUEUED"),
    (0x63, 0x63, "NCQ NON-DATA"),
    (0x64, 0x64, "SEND FPDMA QUEUED"),
    (0x7C, 0x7E, "REMOVE ELEMENT, RESTORE ELEMENTS"),
    (0x96, 0x96, "MUTATE EXT"),
    (0x9F, 0x9F, "ZAC MANAGEMENT OUT"),
    (0xC0, 0xC0, "CFA ERASE SECTORS"),
    (0xC5, 0xC5, "WRITE MULTIPLE"),
    (0xCA, 0xCB, "WRITE DMA"),
    (0xCC, 0xCC, "WRITE DMA QUEUED"),
    (0xCD, 0xCD, "CFA WRITE MULTIPLE WITHOUT ERASE"),
    (0xCE, 0xCE, "WRITE MULTIPLE FUA EXT"),
    (0xF1, 0xF2, "SECURITY SET PASSWORD, UNLOCK"),
    (0xF3, 0xF4, "SECURITY ERASE PREPARE, UNIT"),
    (0xF6, 0xF6, "SECURITY DISABLE PASSWORD"),
];

fn ata_is_write(r: &Ata, smart: bool) -> bool {
    let [_, feature] = r.features.to_be_bytes();
    match r.command {
        // SET MAX ADDRESS, SET PASSWORD, LOCK, UNLOCK, FREEZE LOCK.
        0xF9 => true,
        // SET and FREEZE ACCESSIBLE MAX ADDRESS.
        0x78 => matches!(r.features, 1 | 2),
        // ZONE ACTIVATE EXT.
        0x4A => feature & 0x1F == 0x08,
        // DCO RESTORE, FREEZE LOCK, SET, SET DMA.
        0xB1 => matches!(feature, 0xC0 | 0xC1 | 0xC3 | 0xC5),
        // CRYPTO SCRAMBLE, BLOCK ERASE, OVERWRITE, FREEZE LOCK, ANTIFREEZE LOCK.
        0xB4 => matches!(r.features, 0x11 | 0x12 | 0x14 | 0x20 | 0x40),
        // SMART WRITE LOG; without the profile no SMART command is known at all.
        0xB0 => smart && feature == 0xD6,
        command => ATA_WRITES.iter().any(|(first, last, _)| (*first..=*last).contains(&command)),
    }
}

/// Protocol, EXTEND, number of blocks, and the command block at the drive (none: answered by the bridge).
type Canonical = (u8, bool, u64, Option<Vec<u8>>);

/// What a command that may go must look like, and what is sent for it.
fn canonical(r: &Ata, world: World) -> Option<Canonical> {
    let [high, feature] = r.features.to_be_bytes();
    let [_, c0] = r.count.to_be_bytes();
    let [l0, l1, l2, l3, l4, l5, ..] = r.lba.to_le_bytes();
    let registers = |protocol, feature, mid: u8, top: u8, command| {
        Some(vec![0x85, protocol, 0x20, 0, feature, 0, 0, 0, 0, 0, mid, 0, top, 0x40, command, 0])
    };
    match r.command {
        // READ NATIVE MAX ADDRESS EXT, READ NATIVE MAX ADDRESS, CHECK POWER MODE.
        0x27 => Some((3, true, 0, registers(7, 0, 0, 0, 0x27))),
        0xF8 => Some((3, false, 0, registers(6, 0, 0, 0, 0xF8))),
        0xE5 => Some((3, false, 0, registers(6, 0, 0, 0, 0xE5))),
        // GET NATIVE MAX ADDRESS EXT, DCO IDENTIFY: some adapters change them on the way.
        0x78 if world.listed && r.features == 0 => Some((3, true, 0, registers(7, 0, 0, 0, 0x78))),
        0xB1 if world.listed && feature == 0xC2 => {
            let down = vec![0x85, 8, 0x0E, 0, 0xC2, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0xB1, 0];
            Some((4, false, 1, Some(down)))
        }
        // IDENTIFY DEVICE [DMA] from the capture; FLUSH CACHE [EXT] has nothing to flush.
        0xEC => Some((4, false, 1, None)),
        0xEE => Some((6, false, 1, None)),
        0xE7 => Some((3, false, 0, None)),
        0xEA => Some((3, true, 0, None)),
        // READ LOG [DMA] EXT.
        0x2F | 0x47 => {
            let pages = u64::from(r.count);
            let page = u16::from_be_bytes([l4, l1]);
            let is_known = matches!(l0, 0x00 | 0x03 | 0x04 | 0x06..=0x08 | 0x0C | 0x30 | 0x80..=0x9F)
                || (l0 == 0x11 && r.features == 0);
            if !is_known || !(1..=16).contains(&pages) || page >= pages_of_log(l0) {
                return None;
            }
            let down = vec![0x85, 9, 0x0E, 0, 0, 0, c0, 0, l0, l4, l1, 0, 0, 0x40, 0x2F, 0];
            Some((if r.command == 0x2F { 4 } else { 6 }, true, pages, Some(down)))
        }
        // REPORT ZONES EXT; its other actions are not offered.
        0x4A => {
            let pages = u64::from(r.count);
            let is_known = matches!(high & 0x3F, 0x00..=0x07 | 0x10 | 0x11 | 0x3F);
            let is_inside = r.lba < BLOCKS;
            if feature & 0x1F != 0 || !is_known || !(1..=16).contains(&pages) || !is_inside {
                return None;
            }
            let options = high & 0xBF;
            let down =
                vec![0x85, 0x0D, 0x0E, options, 0, 0, c0, l3, l0, l4, l1, l5, l2, 0x40, 0x4A, 0];
            Some((6, true, pages, Some(down)))
        }
        // TRUSTED RECEIVE [DMA].
        0x5C | 0x5D => {
            let pages = u64::from(u16::from_be_bytes([l0, c0]));
            let specific = u64::from(u16::from_be_bytes([l2, l1]));
            if !is_information(feature, specific) || !(1..=8).contains(&pages) {
                return None;
            }
            let down = vec![0x85, 8, 0x0E, 0, feature, 0, c0, 0, 0, 0, l1, 0, l2, 0x40, 0x5C, 0];
            Some((if r.command == 0x5C { 4 } else { 6 }, false, pages, Some(down)))
        }
        // SMART READ DATA, READ THRESHOLDS, READ LOG, RETURN STATUS, with their signature in the LBA.
        0xB0 if world.smart && (l1, l2) == (0x4F, 0xC2) => {
            let data = |log| {
                vec![0x85, 8, 0x0E, 0, feature, 0, 1, 0, log, 0, 0x4F, 0, 0xC2, 0x40, 0xB0, 0]
            };
            match feature {
                0xD0 | 0xD1 => Some((4, false, 1, Some(data(0)))),
                0xD5 if matches!(l0, 0..=3 | 6 | 7 | 9 | 0xE0) && c0 == 1 => {
                    Some((4, false, 1, Some(data(l0))))
                }
                0xDA => Some((3, false, 0, registers(6, 0xDA, 0x4F, 0xC2, 0xB0))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Pages that the model drive's log directory lists.
pub fn pages_of_log(log: u8) -> u16 {
    match log {
        0x00 | 0x03 | 0x06 | 0x07 | 0x11 => 1,
        0x08 => 2,
        0x04 => 8,
        0x30 => 9,
        0x0C | 0x80..=0x9F => 16,
        _ => 0,
    }
}

/// Upper bytes that mean nothing to the command must be zero.
fn high_bytes_are_clean(r: &Ata) -> bool {
    let [features, _] = r.features.to_be_bytes();
    let [count, _] = r.count.to_be_bytes();
    let [_, _, _, l3, l4, l5, ..] = r.lba.to_le_bytes();
    let zone = r.command == 0x4A;
    let log = matches!(r.command, 0x2F | 0x47);
    count == 0 && (zone || (features == 0 && l3 == 0 && l5 == 0)) && (zone || log || l4 == 0)
}

fn ata(world: World, cdb: &[u8], data: Data) -> Expected {
    let r = parse(cdb);
    match r.protocol {
        // Hardware reset and SRST.
        0 | 1 => return only(Seen::Fld),
        // Return response information: the 14 bytes of the descriptor.
        15 => return answered(14, data),
        _ => {}
    }
    if ata_is_write(&r, world.smart) {
        return only(Seen::Wp);
    }
    let Some((protocol, extend, blocks, down)) = canonical(&r, world) else {
        return only(Seen::Fld);
    };
    let has_data = blocks > 0;
    // T_DIR in, BYT_BLOK in blocks, T_LENGTH in COUNT, T_TYPE 512 bytes; without data T_LENGTH alone counts.
    let flags = if has_data { r.flags & 0x1F == 0x0E } else { r.flags & 0x03 == 0 };
    let fits_form = r.long || !extend;
    let counted = matches!(r.command, 0x2F | 0x47 | 0x4A | 0x5C | 0x5D);
    let [_, count] = r.count.to_be_bytes();
    let wrapper =
        u64::from(data.length()) == blocks * 512 && (!has_data || matches!(data, Data::In(_)));
    let is_right = r.is_plain
        && r.protocol == protocol
        && r.extend == extend
        && fits_form
        && flags
        && (counted || u64::from(count) == blocks)
        && high_bytes_are_clean(&r)
        && wrapper;
    if !is_right {
        return only(Seen::Fld);
    }
    let wants_registers = r.flags & 0x20 != 0;
    let seen = match (&down, wants_registers) {
        (_, true) => Seen::Registers,
        (None, false) => Seen::Good,
        (Some(_), false) => Seen::Drive,
    };
    Expected { down: down.into_iter().collect(), seen }
}
