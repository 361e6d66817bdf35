//! The block at the beginning of the flash that tells the boot ROM how to read it. Both boards have 8 MiB of serial NOR flash on FlexSPI1, with four
//! data lines and the same commands.
//!
//! Facts: i.MX RT1060 reference manual, section "Serial NOR Flash Boot via FlexSPI"; data sheets of the Winbond W25Q64JV (Teensy 4.1) and the ISSI
//! IS25WP064A (EVK): fast read quad I/O EBh with 24 address bits and six dummy cycles.

use imxrt_boot_gen::{
    Imxrt,
    flexspi::{
        self, ColumnAddressWidth, Command, DeviceModeConfiguration, FlashPadType, Instr,
        LookupTable, Pads, ReadSampleClockSource, Sequence, SequenceBuilder, SerialClockOption,
        SerialFlashRegion, WaitTimeConfigurationCommands, opcodes::sdr::*,
    },
    serial_flash::nor,
};

pub use nor::ConfigurationBlock;

const CHIP: Imxrt = Imxrt::Imxrt1060;
/// Bytes of flash.
const FLASH: u32 = 8 << 20;

const FAST_READ_QUAD_IO: u8 = 0xEB;
const READ_STATUS: u8 = 0x05;
const WRITE_ENABLE: u8 = 0x06;
const ERASE_SECTOR: u8 = 0x20;
const PAGE_PROGRAM: u8 = 0x02;

const READ_DATA: Sequence = SequenceBuilder::new()
    .instr(Instr::new(CMD, Pads::One, FAST_READ_QUAD_IO))
    .instr(Instr::new(RADDR, Pads::Four, 24))
    .instr(Instr::new(DUMMY, Pads::Four, 6))
    .instr(Instr::new(READ, Pads::Four, 4))
    .build();
const STATUS: Sequence = SequenceBuilder::new()
    .instr(Instr::new(CMD, Pads::One, READ_STATUS))
    .instr(Instr::new(READ, Pads::One, 4))
    .build();
const ENABLE: Sequence =
    SequenceBuilder::new().instr(Instr::new(CMD, Pads::One, WRITE_ENABLE)).build();
const ERASE: Sequence = SequenceBuilder::new()
    .instr(Instr::new(CMD, Pads::One, ERASE_SECTOR))
    .instr(Instr::new(RADDR, Pads::One, 24))
    .build();
const PROGRAM: Sequence = SequenceBuilder::new()
    .instr(Instr::new(CMD, Pads::One, PAGE_PROGRAM))
    .instr(Instr::new(RADDR, Pads::One, 24))
    .instr(Instr::new(WRITE, Pads::One, 4))
    .build();

const TABLE: LookupTable = LookupTable::new()
    .command(Command::Read, READ_DATA)
    .command(Command::ReadStatus, STATUS)
    .command(Command::WriteEnable, ENABLE)
    .command(Command::EraseSector, ERASE)
    .command(Command::PageProgram, PROGRAM);

/// The block of either board. 60 MHz is slow for both chips, and enough: nothing runs from flash but the first steps.
#[must_use]
pub const fn block() -> ConfigurationBlock {
    let common = flexspi::ConfigurationBlock::new(TABLE)
        .read_sample_clk_src(ReadSampleClockSource::LoopbackFromDQSPad)
        .cs_hold_time(3)
        .cs_setup_time(3)
        .column_address_width(ColumnAddressWidth::OtherDevices)
        .device_mode_configuration(DeviceModeConfiguration::Disabled)
        .wait_time_cfg_commands(WaitTimeConfigurationCommands::disable())
        .flash_size(SerialFlashRegion::A1, FLASH)
        .serial_clk_freq(CHIP.serial_clock_frequency(SerialClockOption::MHz60))
        .serial_flash_pad_type(FlashPadType::Quad);
    ConfigurationBlock::new(CHIP, common)
        .page_size(256)
        .sector_size(4096)
        .ip_cmd_serial_clk_freq(Some(CHIP.ip_serial_clock_frequency(SerialClockOption::MHz30)))
}
