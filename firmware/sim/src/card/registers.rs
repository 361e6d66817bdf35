//! Registers of the model card (SD specification, chapter 5).

use super::Family;

/// A plausible card: manufacturer 03h, OID `SD`, product `MODEL`, revision 1.2.
pub(super) const CID: [u8; 16] = [
    0x03, b'S', b'D', b'M', b'O', b'D', b'E', b'L', 0x12, 0xCA, 0xFE, 0x00, 0x01, 0x01, 0x8A, 0x01,
];

/// Card specific data for a card of this size. Version 1 has `C_SIZE_MULT` 7 and `READ_BL_LEN` 9, so its size is a multiple of 512
/// blocks.
pub(super) fn csd(family: Family, blocks: u64) -> [u8; 16] {
    match family {
        Family::Standard | Family::StandardVersion1 | Family::SdioOnly | Family::Mmc => {
            let c_size = u128::from(blocks / 512).saturating_sub(1) & 0xFFF;
            (0x002E_0032_5B59_0000_0000_7F80_0A40_0001_u128 | (c_size << 62) | (0b111 << 47))
                .to_be_bytes()
        }
        Family::HighCapacity => {
            let c_size = u128::from(blocks / 1024).saturating_sub(1) & 0x3F_FFFF;
            (0x400E_0032_5B59_0000_0000_7F80_0A40_0001_u128 | (c_size << 48)).to_be_bytes()
        }
        Family::UltraCapacity => {
            let c_size = u128::from(blocks / 1024).saturating_sub(1) & 0xFFF_FFFF;
            (0x800E_0032_5B59_0000_0000_7F80_0A40_0001_u128 | (c_size << 48)).to_be_bytes()
        }
    }
}

/// SD configuration: specification version 3, both bus widths.
pub(super) const SCR: [u8; 8] = [0x02, 0x35, 0x80, 0x03, 0, 0, 0, 0];

/// SD status: speed class 4, allocation unit 4 MiB.
pub(super) fn sd_status() -> [u8; 64] {
    let mut status = [0; 64];
    for (own, byte) in status.iter_mut().zip([0, 0, 0, 0, 0, 0, 0, 0x28, 0x02, 0x02, 0x90]) {
        *own = byte;
    }
    status
}

/// Operating conditions: 2.7 to 3.6 V, powered up, and whether addresses count blocks.
pub(super) fn ocr(family: Family, ready: bool) -> [u8; 4] {
    let flags = match family {
        Family::HighCapacity => 0xC0,
        Family::UltraCapacity => 0xC8,
        _ => 0x80,
    };
    [if ready { flags } else { 0 }, 0xFF, 0x80, 0x00]
}
