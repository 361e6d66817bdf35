//! The answer to INFO, 160 bytes (published requirements, section 5.2).

use super::{GRAIN, LAYOUT, MIN_ANSWER};
use crate::Digest;
use crate::statement::Protection;

/// Bits of [`Info::flags`].
pub mod flag {
    /// A key exists.
    pub const KEY: u32 = 1;
    /// A drive is attached.
    pub const DRIVE: u32 = 1 << 1;
    /// A session is open.
    pub const SESSION: u32 = 1 << 2;
    /// A statement is ready.
    pub const STATEMENT: u32 = 1 << 3;
    /// Log entries were lost.
    pub const LOST: u32 = 1 << 4;
    /// Profile `ident` is on.
    pub const IDENT: u32 = 1 << 5;
    /// Profile `smart` is on.
    pub const SMART: u32 = 1 << 6;
    /// A modifying command was refused.
    pub const REFUSED: u32 = 1 << 7;
    /// A tamper event was seen.
    pub const TAMPER: u32 = 1 << 8;
    /// A hidden area, or figures that disagree (published policy, section 4.4).
    pub const HIDDEN: u32 = 1 << 9;
    /// The product id is the shared one for tests.
    pub const PROTOTYPE_PID: u32 = 1 << 10;
    /// A hardware hash engine is in use.
    pub const HASH_ENGINE: u32 = 1 << 11;
    /// Steps of the attach script were not run.
    pub const NOT_RUN: u32 = 1 << 12;
    /// All flags of this layout.
    pub const ALL: u32 = (1 << 13) - 1;
}

/// Who the bridge is and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// Bits of [`flag`].
    pub flags: u32,
    /// Largest answer of LEAVES and STATEMENT in bytes: a multiple of 64, 128 or more.
    pub answer: u16,
    /// How the key is kept; `None` without a key.
    pub protection: Option<Protection>,
    /// Power-ups so far.
    pub boot_counter: u32,
    /// Number of the session, 0 when there was none since power-up.
    pub session: u32,
    /// Bytes of the ready statement, 0 when there is none.
    pub statement: u32,
    /// Entries made in this session.
    pub entries: u64,
    /// Capacity of the drive in blocks.
    pub capacity: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Refused modifying commands since attach.
    pub refused: u32,
    /// Native max + 1 in blocks, 0 when it was not asked for.
    pub native_max: u64,
    /// Public key, zero without one.
    pub public_key: [u8; 32],
    /// SHA-256 of the firmware image.
    pub firmware: Digest,
    /// SHA-256 of the policy tables.
    pub policy: Digest,
}

/// Why 160 bytes are no INFO of this layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoError {
    /// Not 160 bytes.
    Length,
    /// Not `DLB`.
    Magic,
    /// Another layout version.
    Layout(u8),
    /// A reserved bit or byte is not zero.
    Reserved,
    /// The largest answer is not a multiple of 64 of at least 128.
    Answer(u16),
    /// Key protection is unknown, or does not fit the flag that says whether there is a key.
    Protection,
}

impl Info {
    /// Bytes of the answer.
    pub const SIZE: usize = 160;
    const MAGIC: [u8; 3] = *b"DLB";

    /// Whether all bits of `flags` are set.
    #[must_use]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// The wire form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let protection = self.protection.map_or(0, Protection::code);
        let mut out = [0; Self::SIZE];
        let [m0, m1, m2] = Self::MAGIC;
        let fields: [&[u8]; 17] = [
            &[m0, m1, m2, LAYOUT],
            &self.flags.to_be_bytes(),
            &self.answer.to_be_bytes(),
            &[protection],
            &[0],
            &self.boot_counter.to_be_bytes(),
            &self.session.to_be_bytes(),
            &self.statement.to_be_bytes(),
            &self.entries.to_be_bytes(),
            &self.capacity.to_be_bytes(),
            &self.block_size.to_be_bytes(),
            &self.refused.to_be_bytes(),
            &self.native_max.to_be_bytes(),
            &[0; 8],
            &self.public_key,
            &self.firmware,
            &self.policy,
        ];
        for (to, from) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`InfoError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InfoError> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().map_err(|_| InfoError::Length)?;
        let mut reader = Reader(bytes);
        let magic: [u8; 3] = reader.take()?;
        let [layout] = reader.take()?;
        if magic != Self::MAGIC {
            return Err(InfoError::Magic);
        }
        if layout != LAYOUT {
            return Err(InfoError::Layout(layout));
        }
        let flags = u32::from_be_bytes(reader.take()?);
        let answer = u16::from_be_bytes(reader.take()?);
        let [protection] = reader.take()?;
        let reserved: [u8; 1] = reader.take()?;
        let info = Self {
            flags,
            answer,
            protection: Protection::from_code(protection.into()),
            boot_counter: u32::from_be_bytes(reader.take()?),
            session: u32::from_be_bytes(reader.take()?),
            statement: u32::from_be_bytes(reader.take()?),
            entries: u64::from_be_bytes(reader.take()?),
            capacity: u64::from_be_bytes(reader.take()?),
            block_size: u32::from_be_bytes(reader.take()?),
            refused: u32::from_be_bytes(reader.take()?),
            native_max: u64::from_be_bytes(reader.take()?),
            public_key: {
                let reserved: [u8; 8] = reader.take()?;
                if reserved != [0; 8] {
                    return Err(InfoError::Reserved);
                }
                reader.take()?
            },
            firmware: reader.take()?,
            policy: reader.take()?,
        };
        if reserved != [0] || flags & !flag::ALL != 0 {
            return Err(InfoError::Reserved);
        }
        if answer < MIN_ANSWER || !answer.is_multiple_of(GRAIN) {
            return Err(InfoError::Answer(answer));
        }
        let keyless = protection == 0 && info.public_key == [0; 32];
        if info.has(flag::KEY) != info.protection.is_some() || info.has(flag::KEY) == keyless {
            return Err(InfoError::Protection);
        }
        Ok(info)
    }
}

/// Fixed fields one behind the other.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], InfoError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(InfoError::Length)?;
        self.0 = rest;
        Ok(*field)
    }
}
