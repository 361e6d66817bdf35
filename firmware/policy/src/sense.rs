//! Sense data: the blocker's own refusals byte for byte, the drive's passed through as they came.
//!
//! Facts: SPC-4, section 4.5 (fixed and descriptor format); SAT-3, section 12.2.2.6 (ATA status return descriptor); the
//! published policy, sections 1.1 and 7.4. A refusal carries the field replaceable unit code 57h ('W'), so that nobody
//! takes it for an error of the drive.

/// Field replaceable unit code of a refusal.
pub const REFUSAL_FRU: u8 = 0x57;
/// Room for one set of sense data: the largest answer the bridge asks a drive for.
pub const SENSE_BYTES: usize = 32;
/// Length of sense data in fixed format.
pub const FIXED_BYTES: usize = 18;

/// Sense key and additional sense code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Sense key, 0 to 15.
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
}

impl Code {
    /// A code from its three numbers.
    #[must_use]
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq }
    }
}

/// Nothing to report.
pub const NO_SENSE: Code = Code::new(0x0, 0x00, 0x00);
/// NOT READY, initializing command required: the only state in which a spin-up reaches the drive.
pub const NEEDS_START: Code = Code::new(0x2, 0x04, 0x02);
/// NOT READY, in process of becoming ready.
pub const BECOMING_READY: Code = Code::new(0x2, 0x04, 0x01);
/// NOT READY, incompatible medium installed: a card that is refused as evidence.
pub const INCOMPATIBLE_MEDIUM: Code = Code::new(0x2, 0x30, 0x00);
/// NOT READY, medium not present.
pub const NOT_PRESENT: Code = Code::new(0x2, 0x3A, 0x00);
/// MEDIUM ERROR, unrecovered read error.
pub const UNRECOVERED_READ: Code = Code::new(0x3, 0x11, 0x00);
/// HARDWARE ERROR, internal target failure: also what a drive gets that breaks the rules of its transport.
pub const TARGET_FAILURE: Code = Code::new(0x4, 0x44, 0x00);
/// ILLEGAL REQUEST, logical block address out of range.
pub const LBA_OUT_OF_RANGE: Code = Code::new(0x5, 0x21, 0x00);
/// ILLEGAL REQUEST, logical unit not supported.
pub const NO_SUCH_UNIT: Code = Code::new(0x5, 0x25, 0x00);
/// UNIT ATTENTION, not ready to ready change, medium may have changed.
pub const MEDIUM_CHANGED: Code = Code::new(0x6, 0x28, 0x00);
/// UNIT ATTENTION, power on, reset or bus device reset.
pub const POWER_ON: Code = Code::new(0x6, 0x29, 0x00);
/// UNIT ATTENTION, capacity data has changed.
pub const CAPACITY_CHANGED: Code = Code::new(0x6, 0x2A, 0x09);
/// DATA PROTECT, access denied, no access rights: a card that was locked after it was attached.
pub const ACCESS_DENIED: Code = Code::new(0x7, 0x20, 0x02);
/// ABORTED COMMAND, logical unit communication time-out.
pub const TIMED_OUT: Code = Code::new(0xB, 0x08, 0x01);
/// ABORTED COMMAND, logical unit communication CRC error.
pub const CRC_ERROR: Code = Code::new(0xB, 0x08, 0x03);

/// Why the blocker refuses a command, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 07h/27h/00h: it would change the medium or what can be reached of it.
    WriteProtected,
    /// 05h/20h/00h: the operation code is not offered.
    OpCode,
    /// 05h/24h/00h: the operation code is offered, not with this field.
    Field {
        /// Offset of the offending byte in the command block.
        byte: u8,
    },
    /// 05h/21h/00h: beyond the captured capacity.
    OutOfRange,
    /// 05h/39h/00h: saved mode pages do not exist.
    SavingNotSupported,
}

impl Refusal {
    /// The three numbers.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::WriteProtected => Code::new(0x7, 0x27, 0x00),
            Self::OpCode => Code::new(0x5, 0x20, 0x00),
            Self::Field { .. } => Code::new(0x5, 0x24, 0x00),
            Self::OutOfRange => LBA_OUT_OF_RANGE,
            Self::SavingNotSupported => Code::new(0x5, 0x39, 0x00),
        }
    }

    /// Sense-key specific bytes: the field pointer into the command block where there is one.
    const fn specific(self) -> [u8; 3] {
        match self {
            Self::Field { byte } => [0xC0, 0x00, byte],
            Self::OpCode => [0xC0, 0x00, 0x00],
            Self::WriteProtected | Self::OutOfRange | Self::SavingNotSupported => [0; 3],
        }
    }
}

/// Registers of an ATA device after a command, as SAT returns them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtaRegisters {
    /// Set when the upper bytes are valid.
    pub extend: bool,
    /// ERROR.
    pub error: u8,
    /// COUNT, 16 bits with `extend`.
    pub count: u16,
    /// LBA, 48 bits with `extend`.
    pub lba: u64,
    /// DEVICE.
    pub device: u8,
    /// STATUS.
    pub status: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Made here: a refusal, a state of the bridge, or a card's error put into words.
    Own { code: Code, information: Option<u64>, fru: u8, specific: [u8; 3] },
    /// Registers that the host asked to see (CK_COND).
    Registers(AtaRegisters),
    /// As the drive gave it.
    Drive { bytes: [u8; SENSE_BYTES], length: u8 },
}

/// One set of sense data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense(Origin);

impl Sense {
    /// Sense of the bridge's own, which is no refusal: its state, or an error of a card (7.4).
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self(Origin::Own { code, information: None, fru: 0, specific: [0; 3] })
    }

    /// Sense of a refused command.
    #[must_use]
    pub const fn refusal(refusal: Refusal) -> Self {
        Self(Origin::Own {
            code: refusal.code(),
            information: None,
            fru: REFUSAL_FRU,
            specific: refusal.specific(),
        })
    }

    /// Registers as the ATA status return descriptor (SAT-3 12.2.2.6), key RECOVERED ERROR, 00h/1Dh.
    #[must_use]
    pub const fn registers(registers: AtaRegisters) -> Self {
        Self(Origin::Registers(registers))
    }

    /// A drive's answer to REQUEST SENSE, kept byte for byte. Too short an answer says nothing: NO SENSE.
    #[must_use]
    pub fn of_drive(answer: &[u8]) -> Self {
        let length = answer.len().min(SENSE_BYTES);
        let mut bytes = [0; SENSE_BYTES];
        for (own, given) in bytes.iter_mut().zip(answer) {
            *own = *given;
        }
        Self(Origin::Drive { bytes, length: u8::try_from(length).unwrap_or(0) })
    }

    /// Whether the bytes are the drive's own.
    #[must_use]
    pub fn is_from_drive(&self) -> bool {
        matches!(self.0, Origin::Drive { .. })
    }

    /// Whether this is a refusal by the blocker.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.0, Origin::Own { fru: REFUSAL_FRU, .. })
    }

    /// Key and additional sense code. Sense of a drive in no known format counts as NO SENSE.
    #[must_use]
    pub fn code(&self) -> Code {
        match &self.0 {
            Origin::Own { code, .. } => *code,
            Origin::Registers(_) => Code::new(0x1, 0x00, 0x1D),
            Origin::Drive { bytes, length } => code_of(bytes, *length),
        }
    }

    /// The INFORMATION field where it is valid: the failing block of a read.
    #[must_use]
    pub fn information(&self) -> Option<u64> {
        match &self.0 {
            Origin::Own { information, .. } => *information,
            Origin::Registers(_) => None,
            Origin::Drive { bytes, length } => information_of(bytes, *length),
        }
    }

    /// The registers in a drive's status return descriptor.
    #[must_use]
    pub fn ata_registers(&self) -> Option<AtaRegisters> {
        match &self.0 {
            Origin::Own { .. } => None,
            Origin::Registers(registers) => Some(*registers),
            Origin::Drive { bytes, length } => registers_of(bytes, *length),
        }
    }

    /// The same sense with VALID set and the failing block filled in (3.1). A drive's bytes keep all else; those whose format has
    /// no room for the address are left alone.
    #[must_use]
    pub fn with_information(mut self, lba: u64) -> Self {
        match &mut self.0 {
            Origin::Own { information, .. } => *information = Some(lba),
            Origin::Registers(_) => {}
            Origin::Drive { bytes, length } => set_information(bytes, *length, lba),
        }
        self
    }

    /// Answer to REQUEST SENSE: puts at most `out.len()` bytes and returns how many. A drive's bytes keep the
    /// drive's format; what was made here follows the host's DESC bit.
    pub fn render(&self, descriptor: bool, out: &mut [u8]) -> usize {
        match &self.0 {
            Origin::Drive { bytes, length } => {
                put(out, bytes.get(..usize::from(*length)).unwrap_or(bytes))
            }
            Origin::Registers(registers) => put(out, &registers_answer(registers)),
            Origin::Own { code, information, fru, specific } if descriptor => {
                described(*code, *information, *fru, *specific, out)
            }
            Origin::Own { code, information, fru, specific } => {
                put(out, &fixed(*code, *information, *fru, *specific))
            }
        }
    }
}

fn put(out: &mut [u8], bytes: &[u8]) -> usize {
    let length = out.len().min(bytes.len());
    for (own, given) in out.iter_mut().zip(bytes) {
        *own = *given;
    }
    length
}

/// SPC-4 4.5.3.
fn fixed(code: Code, information: Option<u64>, fru: u8, specific: [u8; 3]) -> [u8; FIXED_BYTES] {
    // An address above 32 bits does not fit the fixed format, which then leaves VALID at zero (SPC-4 4.5.3).
    let information = information.and_then(|lba| u32::try_from(lba).ok());
    let response = if information.is_some() { 0xF0 } else { 0x70 };
    let [i0, i1, i2, i3] = information.unwrap_or(0).to_be_bytes();
    let [k0, k1, k2] = specific;
    [response, 0, code.key, i0, i1, i2, i3, 0x0A, 0, 0, 0, 0, code.asc, code.ascq, fru, k0, k1, k2]
}

/// SPC-4 4.5.2: information descriptor 00h, sense-key specific 02h, field replaceable unit 03h, each where it says something.
fn described(
    code: Code,
    information: Option<u64>,
    fru: u8,
    specific: [u8; 3],
    out: &mut [u8],
) -> usize {
    let mut all = [0_u8; 8 + 12 + 8 + 4];
    let mut length = 8_usize;
    let mut add = |bytes: &[u8]| {
        if let Some(room) = all.get_mut(length..length.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
            length = length.saturating_add(bytes.len());
        }
    };
    if let Some(lba) = information {
        let [a, b, c, d, e, f, g, h] = lba.to_be_bytes();
        add(&[0x00, 0x0A, 0x80, 0, a, b, c, d, e, f, g, h]);
    }
    if specific != [0; 3] {
        let [k0, k1, k2] = specific;
        add(&[0x02, 0x06, 0, 0, k0, k1, k2, 0]);
    }
    if fru != 0 {
        add(&[0x03, 0x02, 0, fru]);
    }
    let additional = u8::try_from(length.saturating_sub(8)).unwrap_or(0);
    put(&mut all, &[0x72, code.key, code.asc, code.ascq, 0, 0, 0, additional]);
    put(out, all.get(..length).unwrap_or(&all))
}

fn registers_answer(registers: &AtaRegisters) -> [u8; 22] {
    let [_, _, l5, l4, l3, l2, l1, l0] = registers.lba.to_be_bytes();
    let [c1, c0] = registers.count.to_be_bytes();
    let extend = u8::from(registers.extend);
    [
        0x72,
        0x01,
        0x00,
        0x1D,
        0,
        0,
        0,
        14,
        0x09,
        0x0C,
        extend,
        registers.error,
        c1,
        c0,
        l3,
        l0,
        l4,
        l1,
        l5,
        l2,
        registers.device,
        registers.status,
    ]
}

fn response_code(bytes: &[u8; SENSE_BYTES], length: u8) -> u8 {
    let first = bytes.first().copied().unwrap_or(0);
    if length == 0 { 0 } else { first & 0x7F }
}

fn at(bytes: &[u8; SENSE_BYTES], length: u8, index: usize) -> u8 {
    if index < usize::from(length) { bytes.get(index).copied().unwrap_or(0) } else { 0 }
}

fn code_of(bytes: &[u8; SENSE_BYTES], length: u8) -> Code {
    let byte = |index| at(bytes, length, index);
    match response_code(bytes, length) {
        0x70 | 0x71 => Code::new(byte(2) & 0x0F, byte(12), byte(13)),
        0x72 | 0x73 => Code::new(byte(1) & 0x0F, byte(2), byte(3)),
        _ => NO_SENSE,
    }
}

/// Offset of the first descriptor of a type.
fn descriptor_at(bytes: &[u8; SENSE_BYTES], length: u8, kind: u8) -> Option<usize> {
    let end = usize::from(length).min(usize::from(at(bytes, length, 7)).saturating_add(8));
    let mut offset = 8_usize;
    while offset.saturating_add(2) <= end {
        if at(bytes, length, offset) == kind {
            return Some(offset);
        }
        let size = usize::from(at(bytes, length, offset.saturating_add(1)));
        offset = offset.saturating_add(2).saturating_add(size);
    }
    None
}

fn information_of(bytes: &[u8; SENSE_BYTES], length: u8) -> Option<u64> {
    let byte = |index| at(bytes, length, index);
    match response_code(bytes, length) {
        0x70 | 0x71 if byte(0) & 0x80 != 0 && length >= 7 => {
            Some(u64::from(u32::from_be_bytes([byte(3), byte(4), byte(5), byte(6)])))
        }
        0x72 | 0x73 => {
            let start = descriptor_at(bytes, length, 0x00)?;
            let valid = byte(start.checked_add(2)?) & 0x80 != 0;
            let whole: &[u8; 8] = bytes
                .get(start.checked_add(4)?..start.checked_add(12)?)
                .and_then(|field| field.try_into().ok())?;
            let inside = start.checked_add(12)? <= usize::from(length);
            (valid && inside).then(|| u64::from_be_bytes(*whole))
        }
        _ => None,
    }
}

fn set_information(bytes: &mut [u8; SENSE_BYTES], length: u8, lba: u64) {
    match response_code(bytes, length) {
        0x70 | 0x71 if length >= 7 => {
            // An address that does not fit is not shown, and neither is the part of it that the drive may have put there (SPC-4 4.5.3).
            let short = u32::try_from(lba).ok();
            if let Some(first) = bytes.first_mut() {
                *first = (*first & 0x7F) | if short.is_some() { 0x80 } else { 0x00 };
            }
            if let Some(field) = bytes.get_mut(3..7) {
                field.copy_from_slice(&short.unwrap_or(0).to_be_bytes());
            }
        }
        0x72 | 0x73 => {
            let Some(start) = descriptor_at(bytes, length, 0x00) else { return };
            if start.saturating_add(12) > usize::from(length) {
                return;
            }
            if let Some(flags) = bytes.get_mut(start.saturating_add(2)) {
                *flags |= 0x80;
            }
            if let Some(field) = bytes.get_mut(start.saturating_add(4)..start.saturating_add(12)) {
                field.copy_from_slice(&lba.to_be_bytes());
            }
        }
        _ => {}
    }
}

fn registers_of(bytes: &[u8; SENSE_BYTES], length: u8) -> Option<AtaRegisters> {
    if !matches!(response_code(bytes, length), 0x72 | 0x73) {
        return None;
    }
    let start = descriptor_at(bytes, length, 0x09)?;
    if start.checked_add(14)? > usize::from(length) {
        return None;
    }
    let byte = |offset: usize| at(bytes, length, start.saturating_add(offset));
    let lba = [0, 0, byte(10), byte(8), byte(6), byte(11), byte(9), byte(7)];
    Some(AtaRegisters {
        extend: byte(2) & 1 != 0,
        error: byte(3),
        count: u16::from_be_bytes([byte(4), byte(5)]),
        lba: u64::from_be_bytes(lba),
        device: byte(12),
        status: byte(13),
    })
}
