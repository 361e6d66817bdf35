//! Memory cards: the commands that the driver can send over SPI, the table's verdict on every card command, and what a host
//! sees of a card.
//!
//! Facts: the published policy, sections 7 and 7.1 to 7.4; SD Physical Layer Simplified Specification, chapters 4 (commands, CRC),
//! 5 (registers) and 7 (SPI mode).

mod command;
mod registers;
mod verdict;

pub use command::{
    BLOCK_BYTES, CardAddress, FRAME_BYTES, SdCommand, SdFrame, data_crc, frame_is_allowed,
};
pub use registers::{
    CARD_BLOCK_BYTES, CardNames, CsdVersion, capture, csd_size, emmc_blocks, emmc_names, sd_names,
};
pub use verdict::{Application, CardLink, SdState, may_emit};
