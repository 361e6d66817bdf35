//! What a card says, as sense data (the published policy, section 7.4, second table; SD specification, 7.3.2 and 7.3.3).

use wb_policy::sense::{
    ACCESS_DENIED, CRC_ERROR, Code, LBA_OUT_OF_RANGE, TARGET_FAILURE, TIMED_OUT, UNRECOVERED_READ,
};

/// R1: the card is in idle state.
pub(super) const R1_IDLE: u8 = 0x01;
/// R1: illegal command.
pub(super) const R1_ILLEGAL: u8 = 0x04;
/// R1: the command's CRC was wrong.
pub(super) const R1_CRC: u8 = 0x08;
/// Erase sequence or address error, parameter error.
const R1_RANGE: u8 = 0x60;
/// R2: the card is locked.
pub(super) const R2_LOCKED: u8 = 0x01;
const R2_OUT_OF_RANGE: u8 = 0x80;
const R2_ECC_FAILED: u8 = 0x10;
const TOKEN_OUT_OF_RANGE: u8 = 0x08;
const TOKEN_ECC_FAILED: u8 = 0x04;

/// Sense for an R1 that is not clean; rows of the table in their order.
pub(super) fn of_r1(r1: u8) -> Option<Code> {
    if r1 == 0 {
        None
    } else if r1 & R1_CRC != 0 {
        Some(CRC_ERROR)
    } else if r1 & R1_RANGE != 0 {
        Some(LBA_OUT_OF_RANGE)
    } else {
        Some(TARGET_FAILURE)
    }
}

/// Sense for the second byte of R2.
pub(super) fn of_status(status: u8) -> Option<Code> {
    if status == 0 {
        None
    } else if status & R2_LOCKED != 0 {
        Some(ACCESS_DENIED)
    } else if status & R2_OUT_OF_RANGE != 0 {
        Some(LBA_OUT_OF_RANGE)
    } else if status & R2_ECC_FAILED != 0 {
        Some(UNRECOVERED_READ)
    } else {
        Some(TARGET_FAILURE)
    }
}

/// Sense for a byte that stands where data should begin and is no start token. What is not of the form 0000xxxxb is noise on the
/// line.
pub(super) fn of_token(token: u8) -> Code {
    if token & 0xF0 != 0 || token == 0 {
        CRC_ERROR
    } else if token & TOKEN_OUT_OF_RANGE != 0 {
        LBA_OUT_OF_RANGE
    } else if token & TOKEN_ECC_FAILED != 0 {
        UNRECOVERED_READ
    } else {
        TARGET_FAILURE
    }
}

/// The sense of a failed read once the card's status is known too: a lock explains every failure, and where the read itself gave
/// no reason the status may have one.
pub(super) fn with_status(found: Code, status: u8) -> Code {
    match of_status(status) {
        Some(ACCESS_DENIED) => ACCESS_DENIED,
        Some(code) if found == TIMED_OUT || found == TARGET_FAILURE => code,
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy 7.4: the rows for R1, in their order.
    #[test]
    fn response_bits_become_sense_in_the_order_of_the_table() {
        assert_eq!(of_r1(0x00), None);
        assert_eq!(of_r1(0x08), Some(CRC_ERROR));
        assert_eq!(of_r1(0x68), Some(CRC_ERROR));
        assert_eq!(of_r1(0x20), Some(LBA_OUT_OF_RANGE));
        assert_eq!(of_r1(0x44), Some(LBA_OUT_OF_RANGE));
        assert_eq!(of_r1(0x04), Some(TARGET_FAILURE));
    }

    /// Policy 7.4: data error tokens.
    #[test]
    fn error_tokens_become_sense_in_the_order_of_the_table() {
        for token in 0..=255_u8 {
            let expected = match token {
                0x08..=0x0F => LBA_OUT_OF_RANGE,
                0x04..=0x07 => UNRECOVERED_READ,
                0x01..=0x03 => TARGET_FAILURE,
                _ => CRC_ERROR,
            };
            assert_eq!(of_token(token), expected, "{token:02x}");
        }
    }

    /// Policy 7.4: a card that was locked after it was attached, and errors that only the status tells.
    #[test]
    fn status_explains_what_the_read_left_open() {
        assert_eq!(with_status(TARGET_FAILURE, 0x01), ACCESS_DENIED);
        assert_eq!(with_status(CRC_ERROR, 0x81), ACCESS_DENIED);
        assert_eq!(with_status(TIMED_OUT, 0x10), UNRECOVERED_READ);
        assert_eq!(with_status(TIMED_OUT, 0x80), LBA_OUT_OF_RANGE);
        assert_eq!(with_status(TIMED_OUT, 0x08), TARGET_FAILURE);
        assert_eq!(with_status(TIMED_OUT, 0x00), TIMED_OUT);
        assert_eq!(with_status(CRC_ERROR, 0x10), CRC_ERROR);
    }
}
