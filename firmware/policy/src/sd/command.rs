//! The commands that the driver can send to a card, and the six bytes that carry them. There is no variant that writes.
//!
//! Facts: SD Physical Layer Simplified Specification, 4.5 (CRC7 and CRC16), 7.2 and 7.3.1 (SPI command format and set); the
//! published policy, sections 7.2 and 7.3.

use crc::{CRC_7_MMC, CRC_16_XMODEM, Crc};

use crate::geometry::BlockRange;

/// Length of a command frame.
pub const FRAME_BYTES: usize = 6;
/// Length of a data block of a card.
pub const BLOCK_BYTES: u32 = 512;

const CRC7: Crc<u8> = Crc::<u8>::new(&CRC_7_MMC);
const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// CRC16 of a data block, which follows it with the upper byte first.
#[must_use]
pub fn data_crc(block: &[u8]) -> u16 {
    CRC16.checksum(block)
}

/// Argument of a read command. It can only be made from a range within the captured size, and addresses the range's first
/// block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardAddress(u32);

impl CardAddress {
    /// The address: the block's number on a card with block addresses (CCS = 1), otherwise its first byte. `None` if the
    /// range's last block does not fit 32 bits.
    #[must_use]
    pub fn of(range: &BlockRange, block_addressed: bool) -> Option<Self> {
        let unit = if block_addressed { 1 } else { u64::from(BLOCK_BYTES) };
        let last = range.lba().checked_add(u64::from(range.blocks()))?.checked_sub(1)?;
        u32::try_from(last.checked_mul(unit)?).ok()?;
        u32::try_from(range.lba().checked_mul(unit)?).ok().map(Self)
    }

    /// The argument.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A command of the driver to a card in SPI mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdCommand {
    /// CMD0: reset, and SPI mode because chip select is low.
    GoIdle,
    /// CMD8: 2.7 to 3.6 V, check pattern AAh.
    SendInterfaceCondition,
    /// CMD9: card specific data.
    SendCsd,
    /// CMD10: card identification.
    SendCid,
    /// CMD12: end of a read of several blocks.
    StopTransmission,
    /// CMD13: status.
    SendStatus,
    /// CMD16: blocks of 512 bytes.
    SetBlockLength,
    /// CMD17: one block.
    ReadSingle(CardAddress),
    /// CMD18: blocks until CMD12.
    ReadMultiple(CardAddress),
    /// CMD55: an application command follows.
    Application,
    /// CMD58: operating conditions.
    ReadOcr,
    /// CMD59 with argument 1: check the CRC of commands.
    CrcOn,
    /// ACMD13: SD status.
    SdStatus,
    /// ACMD41: begin to initialise.
    SendOperatingCondition {
        /// The host knows high capacity cards; clear for cards that do not know CMD8.
        high_capacity: bool,
    },
    /// ACMD51: SD configuration.
    SendScr,
}

impl SdCommand {
    /// The command that reads a range: CMD17 for one block, CMD18 for more (7.4).
    #[must_use]
    pub fn read(range: &BlockRange, block_addressed: bool) -> Option<Self> {
        let address = CardAddress::of(range, block_addressed)?;
        Some(if range.blocks() == 1 {
            Self::ReadSingle(address)
        } else {
            Self::ReadMultiple(address)
        })
    }

    /// Command index.
    #[must_use]
    pub fn index(&self) -> u8 {
        match self {
            Self::GoIdle => 0,
            Self::SendInterfaceCondition => 8,
            Self::SendCsd => 9,
            Self::SendCid => 10,
            Self::StopTransmission => 12,
            Self::SendStatus | Self::SdStatus => 13,
            Self::SetBlockLength => 16,
            Self::ReadSingle(_) => 17,
            Self::ReadMultiple(_) => 18,
            Self::SendOperatingCondition { .. } => 41,
            Self::SendScr => 51,
            Self::Application => 55,
            Self::ReadOcr => 58,
            Self::CrcOn => 59,
        }
    }

    /// Argument.
    #[must_use]
    pub fn argument(&self) -> u32 {
        match self {
            Self::SendInterfaceCondition => 0x1AA,
            Self::SetBlockLength => BLOCK_BYTES,
            Self::ReadSingle(address) | Self::ReadMultiple(address) => address.get(),
            Self::CrcOn => 1,
            Self::SendOperatingCondition { high_capacity: true } => 0x4000_0000,
            Self::GoIdle
            | Self::SendCsd
            | Self::SendCid
            | Self::StopTransmission
            | Self::SendStatus
            | Self::Application
            | Self::ReadOcr
            | Self::SdStatus
            | Self::SendOperatingCondition { high_capacity: false }
            | Self::SendScr => 0,
        }
    }

    /// Whether it only means something after CMD55.
    #[must_use]
    pub fn is_application(&self) -> bool {
        matches!(self, Self::SdStatus | Self::SendOperatingCondition { .. } | Self::SendScr)
    }
}

/// Six bytes for a card: the only ones besides FFh that ever go to its data-in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdFrame([u8; FRAME_BYTES]);

impl SdFrame {
    /// Encodes a command with its CRC7, or `None` if the second list does not know the bytes.
    #[must_use]
    pub fn new(command: &SdCommand) -> Option<Self> {
        Self::checked(encode(command))
    }

    /// The probe of 7.2: CMD58 with a CRC7 that is wrong in all its bits. Its last byte, 03h, is far from the tokens that
    /// begin a block of data.
    #[must_use]
    pub fn crc_probe() -> Option<Self> {
        let [command, a, b, c, d, crc] = encode(&SdCommand::ReadOcr);
        Self::checked([command, a, b, c, d, crc ^ 0xFE])
    }

    fn checked(bytes: [u8; FRAME_BYTES]) -> Option<Self> {
        frame_is_allowed(&bytes).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; FRAME_BYTES] {
        &self.0
    }
}

fn encode(command: &SdCommand) -> [u8; FRAME_BYTES] {
    let [a, b, c, d] = command.argument().to_be_bytes();
    let head = [0x40 | command.index(), a, b, c, d];
    let [first, a, b, c, d] = head;
    [first, a, b, c, d, (CRC7.checksum(&head) << 1) | 1]
}

/// Second, independent list: may these bytes go to a card? Written over bytes, not over [`SdCommand`], with a CRC7 computed bit
/// by bit, and asked by the constructors of [`SdFrame`]. Only CMD58 passes with a wrong CRC.
#[must_use]
pub fn frame_is_allowed(frame: &[u8; FRAME_BYTES]) -> bool {
    let [first, a, b, c, d, last] = *frame;
    let argument = [a, b, c, d];
    let known = match first {
        0x40 | 0x49 | 0x4A | 0x4C | 0x4D | 0x73 | 0x77 | 0x7A => argument == [0, 0, 0, 0],
        0x48 => argument == [0, 0, 1, 0xAA],
        0x50 => argument == [0, 0, 2, 0],
        0x51 | 0x52 => true,
        0x69 => argument == [0, 0, 0, 0] || argument == [0x40, 0, 0, 0],
        0x7B => argument == [0, 0, 0, 1],
        _ => false,
    };
    let crc_is_right = last == (crc7_by_bits(&[first, a, b, c, d]) << 1) | 1;
    known && last & 1 == 1 && (crc_is_right || first == 0x7A)
}

/// Polynomial x^7 + x^3 + 1, starting at zero, most significant bit first.
fn crc7_by_bits(bytes: &[u8]) -> u8 {
    let mut crc = 0_u8;
    for byte in bytes {
        for bit in (0..8).rev() {
            let input = (byte >> bit) & 1;
            let feedback = ((crc >> 6) & 1) ^ input;
            crc = (crc << 1) & 0x7F;
            if feedback == 1 {
                crc ^= 0x09;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Geometry;

    fn frame(command: &SdCommand) -> Option<[u8; 6]> {
        SdFrame::new(command).map(|frame| *frame.as_bytes())
    }

    fn range(lba: u64, blocks: u32) -> BlockRange {
        let drive = Geometry { blocks: 1 << 40, block_bytes: 512 };
        drive.range(lba, blocks).expect("within the drive")
    }

    /// Policy 7.3: the frames of the attach script. CMD0 95h and CMD8 87h stand in the SD specification, 4.5 and 7.2.2.
    #[test]
    fn known_frames_of_the_attach_script() {
        use SdCommand::{
            Application, CrcOn, GoIdle, ReadOcr, SdStatus, SendCid, SendCsd,
            SendInterfaceCondition, SendOperatingCondition, SendScr, SendStatus, SetBlockLength,
            StopTransmission,
        };
        for (command, expected) in [
            (GoIdle, [0x40, 0, 0, 0, 0, 0x95]),
            (SendInterfaceCondition, [0x48, 0, 0, 1, 0xAA, 0x87]),
            (SendCsd, [0x49, 0, 0, 0, 0, 0xAF]),
            (SendCid, [0x4A, 0, 0, 0, 0, 0x1B]),
            (StopTransmission, [0x4C, 0, 0, 0, 0, 0x61]),
            (SendStatus, [0x4D, 0, 0, 0, 0, 0x0D]),
            (SetBlockLength, [0x50, 0, 0, 2, 0, 0x15]),
            (Application, [0x77, 0, 0, 0, 0, 0x65]),
            (ReadOcr, [0x7A, 0, 0, 0, 0, 0xFD]),
            (CrcOn, [0x7B, 0, 0, 0, 1, 0x83]),
            (SdStatus, [0x4D, 0, 0, 0, 0, 0x0D]),
            (SendOperatingCondition { high_capacity: true }, [0x69, 0x40, 0, 0, 0, 0x77]),
            (SendOperatingCondition { high_capacity: false }, [0x69, 0, 0, 0, 0, 0xE5]),
            (SendScr, [0x73, 0, 0, 0, 0, 0xC7]),
        ] {
            assert_eq!(frame(&command), Some(expected), "{command:?}");
        }
    }

    /// The example of the SD specification, 4.5: CMD17 with argument 0 has CRC7 2Ah.
    #[test]
    fn known_frame_of_a_read() {
        let read = SdCommand::read(&range(0, 1), true).expect("fits");
        assert_eq!(frame(&read), Some([0x51, 0, 0, 0, 0, 0x55]));
    }

    /// The example of the SD specification, 4.5: 512 bytes of FFh have CRC16 7FA1h.
    #[test]
    fn known_crc_of_a_block() {
        assert_eq!(data_crc(&[0xFF; 512]), 0x7FA1);
        assert_eq!(data_crc(&[0; 512]), 0);
    }

    /// Policy 7.2: the probe is CMD58 with a wrong CRC, and no byte of it is near a token (FCh, FEh) or an idle line.
    #[test]
    fn crc_probe_is_cmd58_with_wrong_crc() {
        let probe = SdFrame::crc_probe().expect("on the list");
        assert_eq!(probe.as_bytes(), &[0x7A, 0, 0, 0, 0, 0x03]);
    }

    /// Policy 7.4: address = LBA when CCS = 1, else LBA x 512, with a 32-bit check of the last block.
    #[test]
    fn addresses_fit_32_bits_or_do_not_exist() {
        let get = |lba, blocks, by_block| {
            CardAddress::of(&range(lba, blocks), by_block).map(CardAddress::get)
        };
        assert_eq!(get(7, 1, true), Some(7));
        assert_eq!(get(7, 1, false), Some(3584));
        assert_eq!(get(0x7F_FFFF, 1, false), Some(0xFFFF_FE00));
        assert_eq!(get(0x7F_FFFF, 2, false), None);
        assert_eq!(get(0x80_0000, 1, false), None);
        assert_eq!(get(0xFFFF_FFFF, 1, true), Some(0xFFFF_FFFF));
        assert_eq!(get(0xFFFF_FFFF, 2, true), None);
        assert_eq!(get(0x1_0000_0000, 1, true), None);
    }

    /// Policy 7.4: CMD17 for one block, CMD18 for more.
    #[test]
    fn one_block_is_cmd17_and_more_are_cmd18() {
        assert_eq!(SdCommand::read(&range(9, 1), true).map(|read| read.index()), Some(17));
        assert_eq!(SdCommand::read(&range(9, 2), true).map(|read| read.index()), Some(18));
    }

    /// Policy 7: of all first bytes with all-zero, all-one and single-bit arguments, only frames of the driver's commands pass the
    /// second list.
    #[test]
    fn second_list_knows_no_other_frame() {
        let patterns = (0..32).map(|bit| 1_u32 << bit).chain([0, u32::MAX, 0x1AA, 0xFFFF_FE00]);
        for argument in patterns {
            let [a, b, c, d] = argument.to_be_bytes();
            for first in 0..=255_u8 {
                let crc = (crc7_by_bits(&[first, a, b, c, d]) << 1) | 1;
                let expected = matches!(
                    (first, argument),
                    (0x40 | 0x49 | 0x4A | 0x4C | 0x4D | 0x73 | 0x77 | 0x7A | 0x69, 0)
                        | (0x48, 0x1AA)
                        | (0x50, 0x200)
                        | (0x51 | 0x52, _)
                        | (0x69, 0x4000_0000)
                        | (0x7B, 1)
                );
                assert_eq!(frame_is_allowed(&[first, a, b, c, d, crc]), expected);
                let damaged = frame_is_allowed(&[first, a, b, c, d, crc ^ 0x10]);
                assert_eq!(damaged, expected && first == 0x7A, "{first:02x} {argument:08x}");
                assert!(!frame_is_allowed(&[first, a, b, c, d, crc & 0xFE]));
            }
        }
    }
}
