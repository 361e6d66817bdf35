//! Command and status wrappers of the bulk-only transport, parsed strictly.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport, revision 1.0, sections 5.1 and 5.2; the published policy, section 6.1.

/// Length of a command block wrapper.
pub const CBW_BYTES: usize = 31;
/// Length of a command status wrapper.
pub const CSW_BYTES: usize = 13;
/// Longest command block that fits a wrapper.
pub const CDB_BYTES: usize = 16;

const CBW_SIGNATURE: [u8; 4] = *b"USBC";
const CSW_SIGNATURE: [u8; 4] = *b"USBS";

/// Direction of a data phase, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Host to device.
    Out,
    /// Device to host.
    In,
}

/// A SCSI command descriptor block of 1 to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cdb {
    bytes: [u8; CDB_BYTES],
    length: u8,
}

impl Cdb {
    /// The command block made of `bytes`, or `None` for a length outside 1 to 16.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let length = u8::try_from(bytes.len()).ok().filter(|length| *length > 0)?;
        let mut own = [0; CDB_BYTES];
        own.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { bytes: own, length })
    }

    /// A block of the bridge's own encoder, whose lengths are 6, 10, 12 and 16 bytes.
    pub(crate) fn of_encoder(given: &[u8]) -> Self {
        let mut bytes = [0; CDB_BYTES];
        for (own, byte) in bytes.iter_mut().zip(given) {
            *own = *byte;
        }
        Self { bytes, length: u8::try_from(given.len().min(CDB_BYTES)).unwrap_or(0) }
    }

    /// The operation code.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.get(0)
    }

    /// The byte at `index`, zero beyond the end of the block.
    #[must_use]
    pub fn get(&self, index: usize) -> u8 {
        self.as_bytes().get(index).copied().unwrap_or(0)
    }

    /// Two bytes at `index`, big-endian.
    #[must_use]
    pub fn u16(&self, index: usize) -> u16 {
        u16::from_be_bytes([self.get(index), self.get(index.saturating_add(1))])
    }

    /// Four bytes at `index`, big-endian.
    #[must_use]
    pub fn u32(&self, index: usize) -> u32 {
        let high = u32::from(self.u16(index));
        (high << 16) | u32::from(self.u16(index.saturating_add(2)))
    }

    /// Eight bytes at `index`, big-endian.
    #[must_use]
    pub fn u64(&self, index: usize) -> u64 {
        let high = u64::from(self.u32(index));
        (high << 32) | u64::from(self.u32(index.saturating_add(4)))
    }

    /// The block's own bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> u8 {
        self.length
    }

    /// Never: a block has an operation code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl core::fmt::Debug for Cdb {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cdb(")?;
        for (index, byte) in self.as_bytes().iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{byte:02X}")?;
        }
        f.write_str(")")
    }
}

/// A valid command block wrapper. What follows the command block in the wrapper is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cbw {
    /// Repeated in the status wrapper.
    pub tag: u32,
    /// Bytes the host means to move.
    pub transfer: u32,
    /// Direction of the data phase; without meaning when `transfer` is zero.
    pub direction: Direction,
    /// Logical unit, at most what the device announced.
    pub lun: u8,
    /// The command.
    pub cdb: Cdb,
}

/// Why a transfer is not a valid command block wrapper. The device then stalls both bulk endpoints until reset recovery
/// (Bulk-Only Transport 6.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CbwError {
    /// Not 31 bytes long.
    Length,
    /// Does not begin with `USBC`.
    Signature,
    /// A reserved bit is set in the flags, the unit or the length.
    Reserved,
    /// A logical unit that was not announced.
    Lun,
    /// A command length outside 1 to 16.
    CommandLength,
}

impl Cbw {
    /// Parses one transfer of the bulk-OUT endpoint.
    ///
    /// # Errors
    ///
    /// [`CbwError`] for whatever the transport calls not valid or not meaningful; nothing is repaired.
    pub fn parse(bytes: &[u8], max_lun: u8) -> Result<Self, CbwError> {
        let bytes: &[u8; CBW_BYTES] = bytes.try_into().map_err(|_| CbwError::Length)?;
        let [s0, s1, s2, s3, t0, t1, t2, t3, n0, n1, n2, n3, flags, lun, length, ref block @ ..] =
            *bytes;
        if [s0, s1, s2, s3] != CBW_SIGNATURE {
            return Err(CbwError::Signature);
        }
        if flags & 0x7F != 0 || lun & 0xF0 != 0 || length & 0xE0 != 0 {
            return Err(CbwError::Reserved);
        }
        if lun > max_lun {
            return Err(CbwError::Lun);
        }
        let command = block.get(..usize::from(length)).ok_or(CbwError::CommandLength)?;
        Ok(Self {
            tag: u32::from_le_bytes([t0, t1, t2, t3]),
            transfer: u32::from_le_bytes([n0, n1, n2, n3]),
            direction: if flags & 0x80 == 0 { Direction::Out } else { Direction::In },
            lun,
            cdb: Cdb::new(command).ok_or(CbwError::CommandLength)?,
        })
    }
}

/// Outcome of a command in its status wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CswStatus {
    /// Done.
    Passed,
    /// Refused or failed; sense data say why.
    Failed,
    /// Host and device disagree about the data phase.
    PhaseError,
}

/// The status wrapper that ends a command.
#[must_use]
pub fn csw(tag: u32, residue: u32, status: CswStatus) -> [u8; CSW_BYTES] {
    let [s0, s1, s2, s3] = CSW_SIGNATURE;
    let [t0, t1, t2, t3] = tag.to_le_bytes();
    let [r0, r1, r2, r3] = residue.to_le_bytes();
    let status = match status {
        CswStatus::Passed => 0,
        CswStatus::Failed => 1,
        CswStatus::PhaseError => 2,
    };
    [s0, s1, s2, s3, t0, t1, t2, t3, r0, r1, r2, r3, status]
}

/// What a drive's status wrapper said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Csw {
    /// Tag of the command it answers.
    pub tag: u32,
    /// Bytes asked for and not relevant.
    pub residue: u32,
    /// Outcome.
    pub status: CswStatus,
}

impl Csw {
    /// Parses what a drive sent as its status, or `None` if it is no valid status wrapper.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CSW_BYTES] = bytes.try_into().ok()?;
        let [s0, s1, s2, s3, t0, t1, t2, t3, r0, r1, r2, r3, status] = *bytes;
        let status = match status {
            0 => CswStatus::Passed,
            1 => CswStatus::Failed,
            2 => CswStatus::PhaseError,
            _ => return None,
        };
        ([s0, s1, s2, s3] == CSW_SIGNATURE).then_some(Self {
            tag: u32::from_le_bytes([t0, t1, t2, t3]),
            residue: u32::from_le_bytes([r0, r1, r2, r3]),
            status,
        })
    }
}
