//! Sense data and ATA result registers.
//!
//! Facts: SPC-5 4.4 (fixed and descriptor format), SAT-4 12.2.2.7 (ATA Status Return descriptor) and
//! its fixed-format form.

use super::bytes::{be, low8, low32, put};

/// ATA result registers, as a command leaves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// 48-bit form: COUNT and LBA have their upper halves.
    pub extend: bool,
    /// ERROR register.
    pub error: u8,
    /// COUNT, 16 bits in the 48-bit form.
    pub count: u16,
    /// LBA, 48 or 28 bits.
    pub lba: u64,
    /// DEVICE register.
    pub device: u8,
    /// STATUS register; 50h = ready, no error.
    pub status: u8,
}

impl Registers {
    /// Command done, nothing to report.
    pub(crate) fn good(extend: bool) -> Self {
        Self { extend, error: 0, count: 0, lba: 0, device: 0x40, status: 0x50 }
    }

    /// Command aborted: ERR in STATUS, ABRT in ERROR.
    pub(crate) fn aborted(extend: bool) -> Self {
        Self { error: 0x04, status: 0x51, ..Self::good(extend) }
    }

    /// The command ended with ERR or DF.
    pub fn failed(&self) -> bool {
        self.status & 0x21 != 0
    }

    /// The 14 bytes of the ATA Status Return descriptor.
    pub fn descriptor(&self) -> [u8; 14] {
        let [l0, l1, l2, l3, l4, l5, ..] = self.lba.to_le_bytes();
        let [count_low, count_high] = self.count.to_le_bytes();
        let upper = |value: u8| if self.extend { value } else { 0 };
        [
            0x09,
            0x0C,
            u8::from(self.extend),
            self.error,
            upper(count_high),
            count_low,
            upper(l3),
            l0,
            upper(l4),
            l1,
            upper(l5),
            l2,
            self.device,
            self.status,
        ]
    }
}

/// How a bridge reports the registers of a pass-through command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFormat {
    /// Descriptor 09h in descriptor-format sense data.
    Descriptor,
    /// INFORMATION and COMMAND-SPECIFIC INFORMATION of fixed-format sense data.
    Fixed,
}

/// Why a command ended with CHECK CONDITION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// SENSE KEY.
    pub key: u8,
    /// ADDITIONAL SENSE CODE.
    pub asc: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub ascq: u8,
    /// INFORMATION, the failing block; `None` leaves VALID at 0.
    pub information: Option<u64>,
    /// FIELD REPLACEABLE UNIT CODE.
    pub fru: u8,
    /// Registers of a pass-through command and the format to give them in.
    pub registers: Option<(Registers, RegisterFormat)>,
}

impl Sense {
    /// Sense with these three codes and nothing else.
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq, information: None, fru: 0, registers: None }
    }

    /// The same with INFORMATION = `lba`.
    pub(crate) const fn at(self, lba: u64) -> Self {
        Self { information: Some(lba), ..self }
    }

    /// 05h/20h/00h INVALID COMMAND OPERATION CODE.
    pub(crate) const INVALID_OPCODE: Self = Self::new(0x05, 0x20, 0x00);
    /// 05h/24h/00h INVALID FIELD IN CDB.
    pub(crate) const INVALID_FIELD: Self = Self::new(0x05, 0x24, 0x00);
    /// 05h/21h/00h LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub(crate) const OUT_OF_RANGE: Self = Self::new(0x05, 0x21, 0x00);
    /// 03h/11h/00h UNRECOVERED READ ERROR.
    pub(crate) const UNRECOVERED_READ: Self = Self::new(0x03, 0x11, 0x00);

    /// Bytes as REQUEST SENSE gives them: descriptor format when `descriptor` is set or the registers
    /// of a pass-through command come as descriptor 09h.
    pub fn encode(&self, descriptor: bool) -> Vec<u8> {
        let as_descriptor = matches!(self.registers, Some((_, RegisterFormat::Descriptor)));
        if descriptor || as_descriptor { self.descriptor() } else { self.fixed() }
    }

    fn fixed(&self) -> Vec<u8> {
        let mut bytes = vec![0; 18];
        put(&mut bytes, 0, &[0x70, 0, self.key, 0, 0, 0, 0, 0x0A]);
        put(&mut bytes, 12, &[self.asc, self.ascq, self.fru]);
        if let Some(lba) = self.information.and_then(|lba| u32::try_from(lba).ok()) {
            put(&mut bytes, 0, &[0xF0]);
            put(&mut bytes, 3, &lba.to_be_bytes());
        }
        if let Some((r, _)) = self.registers {
            let [l0, l1, l2, ..] = r.lba.to_le_bytes();
            let [count, count_high] = r.count.to_le_bytes();
            let flag = |set: bool, mask: u8| if set { mask } else { 0 };
            let upper = flag(r.extend, 0x80)
                | flag(r.extend && count_high != 0, 0x40)
                | flag(r.extend && r.lba > 0xFF_FFFF, 0x20);
            put(&mut bytes, 3, &[r.error, r.status, r.device, count]);
            put(&mut bytes, 8, &[upper, l0, l1, l2]);
        }
        bytes
    }

    fn descriptor(&self) -> Vec<u8> {
        let mut bytes = vec![0x72, self.key, self.asc, self.ascq, 0, 0, 0, 0];
        if let Some(lba) = self.information {
            bytes.extend([0x00, 0x0A, 0x80, 0]);
            bytes.extend(lba.to_be_bytes());
        }
        if self.fru != 0 {
            bytes.extend([0x03, 0x02, 0, self.fru]);
        }
        if let Some((registers, _)) = self.registers {
            bytes.extend(registers.descriptor());
        }
        let additional = u64::try_from(bytes.len().saturating_sub(8)).unwrap_or(0);
        put(&mut bytes, 7, &[low8(additional)]);
        bytes
    }

    /// Reads key, ASC, ASCQ and INFORMATION out of sense data of either format.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let at = |i: usize| bytes.get(i).copied();
        match at(0)? & 0x7F {
            0x70 | 0x71 => {
                let mut sense = Self::new(at(2)? & 0x0F, at(12)?, at(13)?);
                sense.information = (at(0)? & 0x80 != 0).then(|| u64::from(low32(be(bytes, 3, 4))));
                sense.fru = at(14)?;
                Some(sense)
            }
            0x72 | 0x73 => Some(Self::new(at(1)? & 0x0F, at(2)?, at(3)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Byte layouts of both formats.
    #[test]
    fn sense_layouts() {
        let sense = Sense::UNRECOVERED_READ.at(0x1234_5678);
        assert_eq!(sense.encode(false), hex!("F0 00 03 12345678 0A 00000000 11 00 00 000000"));
        assert_eq!(sense.encode(true), hex!("72 03 11 00 000000 0C 00 0A 80 00 0000000012345678"));
        let beyond = Sense::UNRECOVERED_READ.at(1 << 33).encode(false);
        assert_eq!(beyond[0], 0x70);
        assert_eq!(Sense::decode(&sense.encode(false)), Some(sense));
    }

    /// SAT: register order of descriptor 09h.
    #[test]
    fn register_descriptor_layout() {
        let registers = Registers {
            extend: true,
            error: 0,
            count: 0x0102,
            lba: 0x0605_0403_0201,
            device: 0x40,
            status: 0x50,
        };
        assert_eq!(registers.descriptor(), hex!("09 0C 01 00 01 02 04 01 05 02 06 03 40 50"));
        let sense = Sense {
            registers: Some((registers, RegisterFormat::Descriptor)),
            ..Sense::new(0x01, 0x00, 0x1D)
        };
        let bytes = sense.encode(false);
        assert_eq!(bytes.len(), 22);
        assert_eq!(bytes[7], 14);
    }
}
